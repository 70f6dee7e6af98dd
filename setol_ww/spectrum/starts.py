"""Where a power-law tail starts: by the least Kolmogorov-Smirnov distance, and as two published procedures have it.

| function | start |
|---|---|
| `best_start` | every eigenvalue a candidate, the least KS distance wins (Clauset, WeightWatcher) |
| `median_hill` | the median eigenvalue (TempBalance, AlphaDecay): no search, no scale |
| `peak_alpha` | the least KS distance up to the peak of the density (AlphaPruning); depends on the scale |
"""

from __future__ import annotations

import math
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from ..core.arrays import FloatArray, as_vector
from ..core.errors import InvalidInput

# Points of a tail, as shares of its length, on which its distance is bounded from below: of all, then of those left.
COARSE, FINE = (np.linspace(0, 1, count)[:, np.newaxis] for count in (12, 96))
# Smaller numbers lose digits, and their powers of ten are 0.
SMALLEST = np.finfo(np.float64).tiny
# Of AlphaPruning: bins of the histogram of log10, and the candidates around its peak.
BINS, PEAK_FROM, PEAK_TO = 100, 0.95, 1.5


def median_hill(values: Any, position: float = 2.0) -> float:
    r"""Hill's exponent above the median: :math:`1 + n / \sum_j \ln(\lambda_j / \lambda_i)`, i = int(N / position).

    The procedure of TempBalance (NeurIPS 2023), AlphaDecay and their kin (`xmin_mid`, `xmin_pos` = 2); the smallest
    member of the tail counts in n. NaN where that eigenvalue is zero or all above it are equal.

    Examples
    --------
    >>> round(median_hill(range(1, 9)), 6), round(median_hill(range(1, 9), 1.5), 6)
    (5.045318, 7.7899)
    """
    if not position > 1:
        raise InvalidInput(f"position={position!r} was asked; accepted is a number above 1")
    ascending = np.sort(as_vector(np.asarray(values)))
    start = int(ascending.size / position)
    if start >= ascending.size or not ascending[start] > 0:
        return math.nan
    total = float(np.sum(np.log(ascending[start:] / ascending[start])))
    return 1 + (ascending.size - start) / total if total > 0 else math.nan


def peak_alpha(values: Any, scan: Scan | None = None) -> float:
    r"""AlphaPruning's `alpha_peak` (`fix-finger`): the least KS distance with starts up to 1.5 times the peak.

    The peak p is the left edge of the fullest of 100 bins of log10. As published, the lower bound compares an
    eigenvalue with log10(.95 p): below p = 1 that is none. The number depends on the scale of W for that. NaN where
    there is no candidate, or an eigenvalue is beyond what float64 holds. `scan` is of the same eigenvalues, where there
    is one, on any scale.

    Examples
    --------
    >>> round(peak_alpha(range(1, 9)), 5)
    1.75439
    """
    ascending = np.sort(as_vector(np.asarray(values)))
    ascending = ascending[ascending > 0]
    if ascending.size < 2 or not SMALLEST < ascending[0] < ascending[-1] < math.inf:
        return math.nan
    logs = np.log10(ascending)
    edges = np.linspace(logs[0], logs[-1], BINS + 1)
    below = np.append(logs.searchsorted(edges[:-1]), logs.size)
    peak = 10 ** float(edges[(below[1:] - below[:-1]).argmax()])
    if scan is None or scan.log_x.size != ascending.size:
        scan = Scan(np.log(ascending))
    allowed = (ascending >= math.log10(PEAK_FROM * peak)) & (ascending <= PEAK_TO * peak)
    starts = np.flatnonzero(allowed & (scan.log_x[-1] > scan.log_x))
    return float(1 + scan.rates[scan.best(starts)]) if starts.size else math.nan


def candidate_starts(log_x: FloatArray, resolution: float) -> np.ndarray:
    """Indices at which a tail may start: first of equal values, with a spread above rounding behind it."""
    first = np.ones(log_x.size, dtype=bool)
    first[1:] = log_x[1:] > log_x[:-1]
    return np.flatnonzero(first & (log_x[-1] - log_x > resolution))


class Scan:
    """The starts of one tail: what more than one question for the best of some of them needs is computed once.

    `log_x` are the ascending logarithms of the eigenvalues, on any scale.

    Examples
    --------
    >>> scan = Scan(np.log(np.arange(1.0, 9.0)))
    >>> scan.best_of_all, scan.best(np.array([0, 1]))
    (3, 1)
    """

    def __init__(self, log_x: FloatArray) -> None:
        self.log_x = log_x

    @cached_property
    def rates(self) -> FloatArray:
        """alpha - 1 at every start; inf or NaN where no eigenvalue is larger."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return tail_rates(self.log_x, np.arange(self.log_x.size))

    @cached_property
    def bounds(self) -> FloatArray:
        """Lower bounds of the distance at every start but the last."""
        number = self.log_x.size
        with np.errstate(invalid="ignore"):
            return _distance_at(self.log_x, slice(number - 1), self.rates[:-1], *_coarse_points(number))

    @cached_property
    def best_of_all(self) -> int:
        """The best of all starts but the last, where no two eigenvalues are equal."""
        return _best(self.log_x, np.arange(self.log_x.size - 1), self.rates[:-1], self.bounds)

    def best(self, starts: np.ndarray) -> int:
        """`best_start` of ascending `starts`, behind each of which there is a larger eigenvalue."""
        if starts.size == self.log_x.size - 1:
            return self.best_of_all
        return _best(self.log_x, starts, self.rates[starts], self.bounds[starts])


def best_start(log_x: FloatArray, starts: np.ndarray) -> int:
    """The start with the least KS distance, the first of equal ones.

    Each candidate's distance is bounded from below on a few of its points; whose bound is above the distance of the
    most likely one are out, the others are bounded on more points and evaluated in the order of their bounds, until
    no bound is below the best distance. The answer is that of the full scan.
    """
    rates = tail_rates(log_x, starts)
    return _best(log_x, starts, rates, _sampled_ks(log_x, starts, rates, COARSE))


def _best(log_x: FloatArray, starts: np.ndarray, rates: FloatArray, bounds: FloatArray) -> int:
    """`best_start` from the rates and coarse bounds of the candidates."""
    likely = int(np.argmin(bounds))
    left = bounds <= ks_lower(log_x[starts[likely] :] - log_x[starts[likely]], rates[likely])
    starts, rates = starts[left], rates[left]
    bounds = _sampled_ks(log_x, starts, rates, FINE)
    best, chosen = math.inf, int(starts[0])
    for candidate in np.argsort(bounds):
        if bounds[candidate] > best:
            break
        start = int(starts[candidate])
        distance = ks_lower(log_x[start:] - log_x[start], rates[candidate])
        if distance < best or (distance == best and start < chosen):
            best, chosen = distance, start
    return chosen


def tail_rates(log_x: FloatArray, starts: np.ndarray) -> FloatArray:
    """alpha - 1 = n / sum ln(x_i / x_start) for every start."""
    suffix = np.cumsum(log_x[::-1])[::-1]
    n = log_x.size - starts
    return n / (suffix[starts] - n * log_x[starts])


def _sampled_ks(log_x: FloatArray, starts: np.ndarray, rates: FloatArray, shares: FloatArray) -> FloatArray:
    """Lower bounds of the distance at these starts."""
    return _distance_at(log_x, starts, rates, *_points(log_x.size, starts, shares))


def _points(number: int, starts: np.ndarray, shares: FloatArray) -> tuple[np.ndarray, FloatArray]:
    """Which of so many eigenvalues are points of the tail of each start, and the empirical law there."""
    n = number - starts
    step = np.minimum((shares * n).astype(np.int64), n - 1)
    return starts + step, step / n


@lru_cache(maxsize=8)
def _coarse_points(number: int) -> tuple[np.ndarray, FloatArray]:
    """Those of every start but the last: many layers have one shape."""
    return _points(number, np.arange(number - 1), COARSE)


def _distance_at(
    log_x: FloatArray, starts: np.ndarray | slice, rates: FloatArray, at: np.ndarray, empirical: FloatArray
) -> FloatArray:
    """The largest distance at some points of each tail."""
    law = np.expm1(-rates * (log_x[at] - log_x[starts]))
    law += empirical
    # The full distance is computed from the same numbers in another order: leave room for its rounding.
    return np.abs(law, out=law).max(axis=0) - 1e-12


def ks_lower(tail: FloatArray, rate: float) -> float:
    """max |F(y_i) - i/n| of an exponential law in y = ln(x / x_min), lower steps: WeightWatcher's D."""
    return float(np.abs(1 - np.exp(-rate * tail) - np.arange(tail.size) / tail.size).max())
