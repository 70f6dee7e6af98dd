"""Bugs planted for the chapter's clauses to notice."""

from __future__ import annotations

import math

import numpy as np

from fixtures import oracles
from spec_tests.bug import Bug
from spec_tests.protocol import Cut, Implementation


def _unit(raw: np.ndarray) -> np.ndarray:
    return np.sort(raw)[::-1] / np.mean(raw)


def _cut(raw: np.ndarray, rank: int) -> Cut:
    return Cut(rank, float(np.sort(raw)[-rank]) if rank else math.nan)


def _sums(x: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.cumsum(np.log(x))


def _nearest(partial: np.ndarray) -> int:
    finite = np.where(np.isfinite(partial), partial, 1e300)
    return int(np.argmin(np.abs(finite))) + 1


def _first_below(x: np.ndarray) -> int:
    return int(np.flatnonzero(np.append(_sums(x), -1) < 0)[0])


def product_for_log_sum(self: Implementation, raw: np.ndarray) -> Cut:
    x = _unit(raw)
    with np.errstate(over="ignore", under="ignore"):
        below = np.flatnonzero(np.cumprod(x) < 1)
    return _cut(raw, int(below[0]) if below.size else x.size)


def first_cut(self: Implementation, raw: np.ndarray) -> Cut:
    return _cut(raw, min(_first_below(_unit(raw)) + 1, raw.size))


def last_cut(self: Implementation, raw: np.ndarray) -> Cut:
    return _cut(raw, max(1, _first_below(_unit(raw))))


def nearest_of_all(self: Implementation, raw: np.ndarray) -> Cut:
    """|S_k| is smallest at k = 1 when x_1 is a little above 1."""
    return _cut(raw, _nearest(_sums(_unit(raw))))


def no_rescale(self: Implementation, raw: np.ndarray) -> Cut:
    return _cut(raw, max(1, _first_below(np.sort(raw)[::-1])))


def trace_one(self: Implementation, raw: np.ndarray) -> Cut:
    return _cut(raw, max(1, _first_below(np.sort(raw)[::-1] / np.sum(raw))))


def ascending(self: Implementation, raw: np.ndarray) -> Cut:
    partial = np.cumsum(np.log(np.sort(raw) / np.mean(raw)))
    above = np.flatnonzero(partial > 0)
    return _cut(raw, raw.size - int(above[0]) if above.size else 1)


def zeros_left_out_of_the_mean(self: Implementation, raw: np.ndarray) -> Cut:
    return _cut(raw, oracles.erg_cut_mpmath(raw[raw > 0]).rank)


def residual_without_zeros(self: Implementation, raw: np.ndarray) -> float:
    return oracles.erg_cut_mpmath(raw[raw > 0]).log_det


def one_zero_too_many(self: Implementation, raw: np.ndarray) -> Cut:
    truth = oracles.erg_cut_mpmath(raw)
    return _cut(raw, truth.rank + (truth.status == "rank_limited"))


def flat_is_nothing(self: Implementation, raw: np.ndarray) -> Cut | None:
    return None if np.ptp(raw) == 0 else _cut(raw, oracles.erg_cut_mpmath(raw).rank)


def cut_of_nothing(self: Implementation, raw: np.ndarray) -> Cut:
    rank = oracles.erg_cut_mpmath(raw).rank
    return Cut(max(rank, 1), float(np.sort(raw)[-max(rank, 1)]))


def ten_for_e(self: Implementation, raw: np.ndarray) -> float:
    return oracles.erg_cut_mpmath(raw).log_det / math.log(10)


def residual_per_eigenvalue(self: Implementation, raw: np.ndarray) -> float:
    truth = oracles.erg_cut_mpmath(raw)
    return truth.log_det / truth.rank


def one_status_for_all(self: Implementation, raw: np.ndarray) -> str:
    return "ok"


BUGS: tuple[Bug, ...] = (
    Bug("product instead of a sum of logarithms", "ERG-04", "erg_cut", product_for_log_sum),
    Bug("first cut: always the k behind the sign change", "ERG-02", "erg_cut", first_cut),
    Bug("last cut: always the k before the sign change", "ERG-02", "erg_cut", last_cut),
    Bug("nearest |S_k| of all k, not of the two at the sign change", "ERG-01", "erg_cut", nearest_of_all),
    Bug("eigenvalues not rescaled to mean one", "ERG-05", "erg_cut", no_rescale),
    Bug("eigenvalues rescaled to trace one", "ERG-01", "erg_cut", trace_one),
    Bug("logarithms summed from the smallest eigenvalue up", "ERG-18", "erg_cut", ascending),
    Bug("zeros left out of the mean", "ERG-20", "erg_cut", zeros_left_out_of_the_mean),
    Bug("zeros left out of the residual", "ERG-21", "log_det", residual_without_zeros),
    Bug("one zero taken into the tail", "ERG-10", "erg_cut", one_zero_too_many),
    Bug("a flat spectrum has no cut", "ERG-09", "erg_cut", flat_is_nothing),
    Bug("a zero spectrum has a start of 0", "ERG-12", "erg_cut", cut_of_nothing),
    Bug("base-10 for natural logarithm in the residual", "ERG-03", "log_det", ten_for_e),
    Bug("residual divided by the rank", "ERG-03", "log_det", residual_per_eigenvalue),
    Bug("one status for every spectrum", "ERG-11", "erg_status", one_status_for_all),
)  # fmt: skip
