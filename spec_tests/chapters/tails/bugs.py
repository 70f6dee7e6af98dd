"""Bugs planted for the chapter's clauses to notice."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from spec_tests.bug import Bug
from spec_tests.protocol import Implementation, Tail, chosen


def lost_beside_zeros(self: Implementation, raw: np.ndarray) -> Tail | None:
    fit = chosen("setol_ww").tail_fit(raw)
    return fit if fit is None or raw.min() > 0 else _with(fit, alpha=99.0)


def _fit_with(change: Callable[[Tail, np.ndarray], Tail]) -> Callable[..., Tail | None]:
    def broken(self: Implementation, raw: np.ndarray) -> Tail | None:
        fit = chosen("setol_ww").tail_fit(raw)
        return None if fit is None else change(fit, np.sort(raw))

    return broken


def _with(fit: Tail, **changes: float) -> Tail:
    return Tail(**{**vars(fit), **changes})


def absolute_threshold(self: Implementation, raw: np.ndarray) -> Tail | None:
    kept = raw[raw > 1e-5]
    return chosen("setol_ww").tail_fit(kept) if kept.size > 1 else None


def every_other_start(self: Implementation, raw: np.ndarray) -> Tail | None:
    values = np.sort(raw)
    return min((_longest(values[start:]) for start in range(0, values.size - 1, 2)), key=lambda fit: fit.ks)


def _longest(values: np.ndarray) -> Tail:
    """The whole spectrum as the tail, no choice of the start at all."""
    n = values.size
    alpha = 1 + n / np.sum(np.log(values / values[0]))
    law = 1 - (values / values[0]) ** (1 - alpha)
    return Tail(alpha, (alpha - 1) / math.sqrt(n), values[0], n, float(np.max(np.abs(law - np.arange(n) / n))))


def no_choice_of_the_start(self: Implementation, raw: np.ndarray) -> Tail | None:
    return _longest(np.sort(raw)) if np.ptp(raw) else None


def last_start_on_equal_values(self: Implementation, raw: np.ndarray) -> Tail | None:
    fit = chosen("setol_ww").tail_fit(raw)
    return None if fit is None else _with(fit, rank=fit.rank - 1)


def infinite_alpha(self: Implementation, raw: np.ndarray) -> Tail | None:
    fit = chosen("setol_ww").tail_fit(raw)
    return Tail(math.inf, math.inf, float(raw[0]), raw.size, 0.0) if fit is None and np.ptp(raw) == 0 else fit


def minus_one(self: Implementation, raw: np.ndarray) -> Tail | None:
    fit = chosen("setol_ww").tail_fit(raw)
    return Tail(-1, -1, -1, -1, -1) if fit is None and np.ptp(raw) else fit


def bias_corrected_when_few(self: Implementation, raw: np.ndarray) -> Tail | None:
    fit = chosen("setol_ww").tail_fit(raw)
    if fit is None or raw.size >= 20:
        return fit
    return _with(fit, alpha=1 + (fit.alpha - 1) * (fit.rank - 1) / fit.rank)


def two_kappa(self: Implementation, raw: np.ndarray) -> Tail | None:
    """The paper's alpha = 2 kappa, kappa read off the variance 1/(2 kappa) of the unit-mean spectrum."""
    fit = chosen("setol_ww").tail_fit(raw)
    return None if fit is None else _with(fit, alpha=1 / np.var(raw / raw.mean()))


def saturating_alpha(self: Implementation, raw: np.ndarray) -> Tail | None:
    fit = chosen("setol_ww").tail_fit(raw)
    return None if fit is None else _with(fit, alpha=min(fit.alpha, 4.0))


def _one_sided(fit: Tail, raw: np.ndarray) -> float:
    tail = raw[-fit.rank :]
    law = 1 - (tail / tail[0]) ** (1 - fit.alpha)
    return float(np.max(law - np.arange(tail.size) / tail.size))


def interval_of_a_mean(self: Implementation, raw: np.ndarray, seed: int) -> tuple[float, float]:
    """The error of a mean of as many draws of alpha: a tenth of that of alpha."""
    low, high = chosen("setol_ww").alpha_interval(raw, seed)
    return (low + high) / 2 - (high - low) / 20, (low + high) / 2 + (high - low) / 20


def threshold_below_the_tail(self: Implementation, raw: np.ndarray) -> float:
    ascending = np.sort(raw)
    start = int(ascending.size / 2)
    return 1 + (ascending.size - start) / float(np.sum(np.log(ascending[start:] / ascending[start - 1])))


BUGS: tuple[Bug, ...] = (
    Bug("alpha lost beside zeros", "TAIL-16", "tail_fit", lost_beside_zeros),
    Bug("absolute threshold on eigenvalues", "TAIL-02", "tail_fit", absolute_threshold),
    Bug("std with ddof: sigma over sqrt(n - 1)", "TAIL-03", "tail_fit",
        _fit_with(lambda fit, raw: _with(fit, sigma=fit.sigma * math.sqrt(fit.rank / (fit.rank - 1))))),
    Bug("bias-corrected alpha, (n - 1)/n", "TAIL-04", "tail_fit",
        _fit_with(lambda fit, raw: _with(fit, alpha=1 + (fit.alpha - 1) * (fit.rank - 1) / fit.rank))),
    Bug("base-10 for natural logarithm in alpha", "TAIL-06", "tail_fit",
        _fit_with(lambda fit, raw: _with(fit, alpha=1 + (fit.alpha - 1) * math.log(10)))),
    Bug("alpha of the distribution function, one too small", "TAIL-15", "tail_fit",
        _fit_with(lambda fit, raw: _with(fit, alpha=fit.alpha - 1))),
    Bug("half of mu: alpha halved", "TAIL-07", "tail_fit",
        _fit_with(lambda fit, raw: _with(fit, alpha=fit.alpha / 2))),
    Bug("tail without its smallest eigenvalue", "TAIL-04", "tail_fit",
        _fit_with(lambda fit, raw: _with(fit, rank=fit.rank - 1))),
    Bug("one-sided KS", "TAIL-05", "tail_fit",
        _fit_with(lambda fit, raw: _with(fit, ks=_one_sided(fit, raw)))),
    Bug("KS with upper steps i+1", "TAIL-05", "tail_fit",
        _fit_with(lambda fit, raw: _with(fit, ks=fit.ks + 1 / fit.rank))),
    Bug("no choice of the start", "TAIL-01", "tail_fit", no_choice_of_the_start),
    Bug("every other start tried", "TAIL-01", "tail_fit", every_other_start),
    Bug("tail starts between equal values", "TAIL-14", "tail_fit", last_start_on_equal_values),
    Bug("equal eigenvalues give alpha = inf", "TAIL-10", "tail_fit", infinite_alpha),
    Bug("a failed fit is -1", "TAIL-12", "tail_fit", minus_one),
    Bug("another estimator below twenty", "TAIL-11", "tail_fit", bias_corrected_when_few),
    Bug("alpha = 2 kappa for inverse Marchenko-Pastur", "TAIL-13", "tail_fit", two_kappa),
    Bug("alpha saturates at 4", "TAIL-09", "tail_fit", saturating_alpha),
    Bug("the error of a mean for that of alpha", "TAIL-17", "alpha_interval", interval_of_a_mean),
    Bug("Hill's threshold one below the tail", "TAIL-18", "median_hill", threshold_below_the_tail),
)  # fmt: skip
