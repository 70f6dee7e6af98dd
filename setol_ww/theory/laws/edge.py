"""The law of the largest eigenvalue of noise: where the bulk ends, how far chance goes beyond, what strength an
outlier has.

For a matrix V of N x M (N >= M) independent entries of mean 0 and variance 1 the largest eigenvalue of V^T V is, up to
terms of relative order N^(-2/3), centre + scale x with x of the Tracy-Widom law of order 1 (Johnstone 2001, with the
half integers of Ma 2012). Two corrections make this hold at 50 x 50 and for entries that are not normal:

- entries with fourth and sixth cumulants k4, k6 move the edge by the factor 1 + k4 / sqrt(N M) + k6 / (N M)
  (derivation: docs/traps.md);
- the variance is that of the very entries: dividing by it takes out the fluctuation of the trace (Nadler 2011, Eq. 6).
"""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy.special import airy, airye

from ...core.arrays import FloatArray

NODES, FAR_NODES = 40, 16
REACH = 16.0
# Below, the survival function is 1 to 9 digits; above, it is smaller than any level.
LOWEST, HIGHEST = -9.0, 100.0
STEP = 0.05
# The logarithm of the survival function is a polynomial of this degree there, to 1e-8.
INTERPOLATED, INTERPOLATION_DEGREE = (-8.0, 12.0), 50
TRACY_WIDOM_MEAN = -1.2065
# The cumulants move the edge by a series in 1 / sqrt(N M): beyond this shift, or where its second term is larger than
# its first, it says nothing.
LARGEST_SHIFT = 0.3


@functools.cache
def _quadrature() -> tuple[FloatArray, FloatArray]:
    return np.polynomial.legendre.leggauss(NODES)


def tracy_widom_sf(x: float) -> float:
    r"""Survival function of the Tracy-Widom law of order 1, relative error below 1e-10 for x from -4 to 20.

    :math:`F_1(x) = \det(1 - K)`, :math:`K(u, v) = \tfrac12 \mathrm{Ai}((u + v)/2)` on :math:`L^2(x, \infty)`
    (Ferrari and Spohn 2005), by Gauss-Legendre (Bornemann 2010); the logarithm of the determinant from the
    eigenvalues, so that the far tail keeps its digits.

    Parameters
    ----------
    x : float
        In units of the scale, from the centre.

    Examples
    --------
    >>> [round(tracy_widom_sf(x), 6) for x in (0.979, 2.023, 3.272)]
    [0.050022, 0.010008, 0.001]
    """
    if math.isnan(x):
        return math.nan
    if x < LOWEST:
        return 1.0
    if x > HIGHEST:
        return 0.0
    points, weights = _quadrature()
    width = REACH + 2 * max(0.0, -x)
    nodes, root = x + width * (points + 1) / 2, np.sqrt(weights * width / 2)
    kernel = root[:, None] * (airy((nodes[:, None] + nodes[None, :]) / 2)[0] / 2) * root[None, :]
    return float(-np.expm1(np.sum(np.log1p(-np.linalg.eigvalsh(kernel)))))


@functools.cache
def _laguerre() -> tuple[FloatArray, FloatArray]:
    return np.polynomial.laguerre.laggauss(FAR_NODES)


@functools.cache
def _log_sf() -> np.polynomial.Chebyshev:
    return np.polynomial.Chebyshev.interpolate(
        lambda points: np.log([tracy_widom_sf(x) for x in points]), INTERPOLATION_DEGREE, domain=INTERPOLATED
    )


def quick_tracy_widom_sf(x: float) -> float:
    """`tracy_widom_sf` to 1e-7 of itself, a hundred times faster from the second call on.

    Examples
    --------
    >>> round(quick_tracy_widom_sf(2.023) / tracy_widom_sf(2.023), 6)
    1.0
    """
    if x > INTERPOLATED[1]:
        return _far(x)
    return 1.0 if x < INTERPOLATED[0] else float(np.minimum(np.exp(_log_sf()(x)), 1.0))


def _far(x: float) -> float:
    """Where the trace of the kernel is below 1e-13 it is the survival function: half of Airy's integral from x on."""
    if x > HIGHEST:
        return 0.0
    points, weights = _laguerre()
    u = x + points / math.sqrt(x)
    beyond = 2 / 3 * (u**1.5 - x**1.5)
    return 0.5 * math.exp(-2 / 3 * x**1.5) / math.sqrt(x) * float(weights @ (airye(u)[0] * np.exp(points - beyond)))


def centre_and_scale(N: int, M: int) -> tuple[float, float]:
    """Centre (a + b)^2 and scale (a + b)(1/a + 1/b)^(1/3) of the largest eigenvalue, a^2 = N - 1/2, b^2 = M - 1/2.

    Theory 4.1, without the division by N.

    Examples
    --------
    >>> [round(value, 2) for value in centre_and_scale(600, 300)]
    [1746.47, 19.31]
    """
    a, b = math.sqrt(N - 0.5), math.sqrt(M - 0.5)
    return (a + b) ** 2, (a + b) * (1 / a + 1 / b) ** (1 / 3)


def cumulant_factor(N: float, M: float, k4: float, k6: float) -> float:
    """1 + k4 / sqrt(N M) + k6 / (N M), and NaN where the series has no domain: its terms are not small or do not fall.

    Examples
    --------
    >>> cumulant_factor(100, 100, 3.0, 30.0), cumulant_factor(100, 100, 900.0, 1e6)
    (1.033, nan)
    """
    first, second = k4 / math.sqrt(N * M), k6 / (N * M)
    in_domain = abs(first) <= LARGEST_SHIFT and abs(second) <= LARGEST_SHIFT
    return 1 + first + second if in_domain else math.nan


def edge(N: int, M: int, k4: float = 0.0, k6: float = 0.0) -> float:
    """The end of the bulk in units of the variance: Johnstone's centre, moved by the cumulants of the entries.

    NaN where their series has no domain (`cumulant_factor`).
    """
    return centre_and_scale(N, M)[0] * cumulant_factor(N, M, k4, k6)


def edge_pvalue(value: float, N: int, M: int, k4: float = 0.0, k6: float = 0.0) -> float:
    """Chance that noise has an eigenvalue of `value` times the variance of its own entries, or a larger one.

    Hypothesis: independent entries of mean 0, one variance and finite moments, of any law with these cumulants. NaN
    where these do not tell the edge.
    """
    centre, scale = centre_and_scale(N, M)
    x = (value - edge(N, M, k4, k6)) / scale
    tail = quick_tracy_widom_sf(x)
    if not 0 < tail < 1:
        return tail
    # P(ratio > x) = sf - c sf'' to first order in the variance 2 c of the trace, and positive.
    bend = (quick_tracy_widom_sf(x + STEP) - 2 * tail + quick_tracy_widom_sf(x - STEP)) / STEP**2
    c = (centre / scale) ** 2 / (N * M)
    return min(1.0, tail * math.exp(-c * bend / tail))


def strength(value: float, N: int, M: int) -> float:
    """Strength theta of the rank-one part whose outlier lies at `value` (units of the variance); 0 inside the bulk.

    Inverse of (1 + theta^2)(q + theta^2) / theta^2 = value / N, theta >= q^(1/4), q = M / N (theory 4.4, 4.9).

    Examples
    --------
    >>> round(strength(17.335 * 1200, 1200, 400), 2)
    4.0
    """
    q, y = M / N, value / N
    half = y - 1 - q
    if half <= 0 or half * half < 4 * q:
        return 0.0
    return math.sqrt((half + math.sqrt(half * half - 4 * q)) / 2)


def threshold(N: int, M: int) -> float:
    """The strength q^(1/4) above which a rank-one part leaves the bulk."""
    return (M / N) ** 0.25
