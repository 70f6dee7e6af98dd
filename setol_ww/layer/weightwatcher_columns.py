r"""WeightWatcher's definitions read off a spectrum, without WeightWatcher: for tables that do not pass through it.

Eigenvalues are raw: :math:`\sigma^2` of W, half of that for the pooled kernel slices of a convolution
(`CONV_SCALE`). Where WeightWatcher writes -1, inf or a number that means nothing, these are NaN; its `sigma` of fewer
than 8 eigenvalues, which is negative there, is the standard error here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.arrays import FloatArray
from ..spectrum.esd import Spectrum
from ..spectrum.starts import best_start

# WeightWatcher 0.7.7's own constants.
THRESHOLD = 1e-5
SMALL_SAMPLE = 20
SMALL_TAIL = 8
ENTROPY_EPSILON = 1e-10
# What the eigenvalues of the kernel slices of a convolution are multiplied with.
CONV_SCALE = 0.5
# Logarithms closer than this are equal but for rounding.
TIED = 1e-13
FIT = ("alpha", "xmin", "D", "sigma", "num_pl_spikes")
SIZES = ("N", "M", "Q", "rf", "num_evals")
NORMS = ("lambda_max", "norm", "stable_rank", "entropy")


def weightwatcher_row(spectrum: Spectrum) -> dict[str, Any]:
    """WeightWatcher's fit and norms of one spectrum by column name.

    Examples
    --------
    >>> row = weightwatcher_row(Spectrum.from_eigenvalues([1.0 / k for k in range(1, 41)]))
    >>> row["num_pl_spikes"], round(row["alpha"], 3), round(row["stable_rank"], 3)
    (40, 2.074, 4.279)
    """
    with np.errstate(over="ignore", under="ignore"):
        threshold = float(np.ldexp(THRESHOLD, -spectrum.exponent))
    fit = dict(zip(FIT, weightwatcher_fit(spectrum.values, threshold, spectrum)))
    return {**fit, "xmin": spectrum.in_raw_units(fit["xmin"]), **weightwatcher_norms(spectrum)}


def weightwatcher_norms(spectrum: Spectrum) -> dict[str, float]:
    r"""Largest eigenvalue, :math:`\sum L`, their ratio, and the entropy :math:`-\sum p \ln p / \ln \mathrm{rank}`.

    The entropy of a spectrum of rank one or zero is 0/0: NaN.
    """
    evals = spectrum.values
    if not (evals.size and np.isfinite(evals).all()):
        return dict.fromkeys(NORMS, math.nan)
    largest, norm = evals[-1], np.sum(evals)
    if not largest > 0:
        return dict(zip(NORMS, (0.0, 0.0, math.nan, math.nan)))
    singular = np.sqrt(evals)
    rank = int(np.count_nonzero(singular > singular[-1] * spectrum.N * np.finfo(np.float64).eps))
    p = evals / norm + ENTROPY_EPSILON
    entropy = -np.sum(p * np.log(p)) / np.log(rank + ENTROPY_EPSILON) if rank > 1 else math.nan
    raw = (spectrum.in_raw_units(float(value)) for value in (largest, norm))
    return dict(zip(NORMS, (*raw, float(norm / largest), float(entropy))))


def best_weightwatcher_start(log_x: FloatArray, starts: np.ndarray, spectrum: Spectrum | None) -> int:
    """WeightWatcher's start among those asked; the one of our tail where that is the same question."""
    is_the_same = spectrum is not None and spectrum.rank == log_x.size and starts.size == log_x.size - 1
    return spectrum.scan.best_of_all if spectrum is not None and is_the_same else best_start(log_x, starts)


def weightwatcher_fit(
    raw: FloatArray, threshold: float = THRESHOLD, spectrum: Spectrum | None = None
) -> tuple[float, float, float, float, float]:
    """WeightWatcher's power-law fit: alpha, xmin, D, sigma, num_pl_spikes; all NaN where none is possible.

    Eigenvalues up to `threshold` are dropped, WeightWatcher's 1e-5 whatever the scale of W. With fewer than 20 left the
    exponent is the bias-corrected 1 + (n - 1) / sum ln(x / xmin) and a tail has at least 8 (all of them where there
    are fewer). `spectrum` is that of the same eigenvalues, where it is known.
    """
    kept = raw[raw > threshold] if np.isfinite(raw).all() else raw[:0]
    log_x = np.log(kept)
    spread = np.flatnonzero(log_x.max(initial=-math.inf) - log_x > TIED)
    if not spread.size:
        return (math.nan,) * 5
    small = kept.size < SMALL_SAMPLE
    start = _small_start(kept, log_x, spread) if small else best_weightwatcher_start(log_x, spread, spectrum)
    rate, distance = _fit_from(kept, log_x, start, small)
    spikes = int(np.count_nonzero(raw >= kept[start]))
    sigma = rate / math.sqrt(kept.size - start)
    return float(1 + rate), float(kept[start]), float(distance), float(sigma), spikes


def _small_start(kept: FloatArray, log_x: FloatArray, starts: np.ndarray) -> int:
    long_enough = [start for start in starts if kept.size - start >= SMALL_TAIL]
    return int(min(long_enough or [0], key=lambda start: _fit_from(kept, log_x, start, small=True)[1]))


def _fit_from(kept: FloatArray, log_x: FloatArray, start: int, small: bool) -> tuple[float, float]:
    """alpha - 1 and the KS distance of the tail from `start` on."""
    n = kept.size - start
    rate = (n - small) / (log_x[start:].sum() - n * log_x[start])
    with np.errstate(over="ignore"):
        # A ratio beyond float64 has the law's end for its value.
        law = 1 - (kept[start:] / kept[start]) ** -rate
    return rate, float(np.max(np.abs(law - np.arange(float(n)) / n)))
