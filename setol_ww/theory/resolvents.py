r"""The integral of R summed over very many points of one atomic law, without a root for each point.

With :math:`B = \lambda_{\max} + e^u`, both :math:`t = G(B)` and R are explicit in u and analytic in the strip
:math:`|\mathrm{Im}\, u| < \pi`, whatever the atoms: no :math:`B - \lambda_j` vanishes there. A Chebyshev sum over the
range of u therefore converges like :math:`\rho^{-n}` with a :math:`\rho` that depends on the length of the range alone,
:math:`H = \int_0^t R` follows from integrating :math:`R\, dG/du` term by term, and k points over k atoms cost about
50 k operations instead of ten k squared.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.polynomial import chebyshev

from ..core.arrays import FloatArray
from .hermite import hermite
from .transforms import integrated_r

DIRECT_POINTS = 24
DIGITS = 10
# Share of the half-width pi of the strip that the Bernstein ellipse may take: at its rim G has poles.
STRIP = 0.9
BLOCK_ELEMENTS = 2**20
# H is expanded to second order around the points found, so its error is about the third power of this.
CLOSE_ENOUGH = 3e-5
MAX_NEWTON = 5
# The range of u may be longer than the points need: two steps bring it near enough.
NEWTON_STEPS_TO_A_BOUND = 2


def sum_of_integrated_r(t: FloatArray, evals: FloatArray, weights: FloatArray) -> float:
    r""":math:`\sum_i H(t_i)`, H the integral of R from 0 as `transforms.integrated_r` has it.

    Parameters
    ----------
    t : ndarray, shape (points,)
        Positive.
    evals, weights : ndarray, shape (atoms,)
        Not negative and not all zero; weights that sum to one.

    Returns
    -------
    float
        To 1e-12 of itself, for points and atoms over twelve decades.

    Examples
    --------
    >>> t = np.linspace(0.1, 2, 200)
    >>> atoms, weights = np.array([0.0, 1.0, 3.0]), np.array([0.5, 0.25, 0.25])
    >>> many = sum_of_integrated_r(t, atoms, weights)
    >>> bool(abs(many / integrated_r(t, atoms, weights).sum() - 1) < 1e-12)
    True
    """
    smallest, largest = float(t.min()), float(t.max())
    if t.size <= DIRECT_POINTS or largest <= smallest * (1 + 1e-6):
        return float(np.sum(integrated_r(t, evals, weights)))
    top = float(evals.max())
    below = top - evals
    first, last = math.log(_distance_below(largest, below, weights)), -math.log(smallest)
    half = (last - first) / 2
    nodes, to_coefficients = _grid(_count(half))
    G, R, dG, dR = _at_nodes(top, below, weights, np.exp(first + half * (1 + nodes)))
    columns = to_coefficients @ np.stack([np.log(G), dG / G, R, dR, R * dG], axis=1)
    H = _integral(columns[:, 4]) * half
    # Every Chebyshev polynomial is 1 at the right end.
    H[0] += _integral_at(1 / smallest, top, below, weights) - H.sum()
    columns[:, 4] = H
    log_t = np.log(t)
    at = hermite(log_t, np.log(G)[::-1], nodes[::-1], (G / dG)[::-1] / half)
    for _ in range(MAX_NEWTON):
        found, slope, mean, mean_slope, integral = (_chebyshev(at, nodes.size) @ columns).T
        off = log_t - found
        if np.max(np.abs(off)) <= CLOSE_ENOUGH:
            break
        at = at + off / (slope * half)
    else:
        return float(np.sum(integrated_r(t, evals, weights)))
    # H about the G that was found: its slope there is R, its curvature dR/dG = (dR/du) / (G dlnG/du).
    step = -t * np.expm1(-off)
    return float(np.sum(integral + step * (mean + step * mean_slope / (2 * slope * (t - step)))))


def _distance_below(t: float, below: FloatArray, weights: FloatArray) -> float:
    """A bound below the distance of B(t) from the largest atom: a few of Newton's steps, which climb to it."""
    d = max(float(weights[below == 0].sum()) / t, (1 - 1e-15) / t - float(weights @ below))
    for _ in range(NEWTON_STEPS_TO_A_BOUND):
        g = 1 / (d + below)
        G = float(weights @ g)
        d += max(0.0, (G / t - 1) * G / float(weights @ (g * g)))
    return d * (1 - 1e-12)


def _integral_at(distance: float, top: float, below: FloatArray, weights: FloatArray) -> float:
    """H at t = G(top + distance), as `transforms.integrated_r` has it."""
    g = 1 / (distance + below)
    G = float(weights @ g)
    gap = float((weights * below) @ g) / G
    return G * (top - gap) - float(weights @ np.log1p(G * (below - gap)))


def _count(half: float) -> int:
    """How many Chebyshev points an ellipse inside the strip of analyticity asks for."""
    return 4 + math.ceil(DIGITS * math.log(10) / math.asinh(STRIP * math.pi / half))


@functools.lru_cache(maxsize=64)
def _grid(count: int) -> tuple[FloatArray, FloatArray]:
    """Ascending Chebyshev points, and what turns values there into coefficients of the interpolant."""
    angles = math.pi * (np.arange(count) + 0.5) / count
    to_coefficients = np.cos(np.outer(np.arange(count), angles[::-1])) * (2 / count)
    to_coefficients[0] /= 2
    return -np.cos(angles), to_coefficients


def _chebyshev(x: FloatArray, count: int) -> FloatArray:
    """Chebyshev polynomials 0 ... count - 1 at points in [-1, 1], which rounding may have left."""
    return np.asarray(chebyshev.chebvander(np.clip(x, -1.0, 1.0), count - 1), dtype=np.float64)


def _integral(coefficients: FloatArray) -> FloatArray:
    """Coefficients of an antiderivative, as many as were given."""
    padded = np.append(coefficients, [0.0, 0.0])
    padded[0] *= 2
    k = np.arange(1, coefficients.size)
    return np.concatenate([[0.0], (padded[k - 1] - padded[k + 1]) / (2 * k)])


def _at_nodes(
    top: float, below: FloatArray, weights: FloatArray, distance: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """G, R, dG/du, dR/du at B = top + distance, distance = exp(u); R as a mean of the atoms, without cancellation."""
    rows = max(1, BLOCK_ELEMENTS // below.size)
    sums = np.stack([weights, weights * below], axis=1)
    parts = []
    for start in range(0, distance.size, rows):
        g = 1 / (distance[start : start + rows, None] + below)
        parts.append(np.hstack([g @ sums, (g * g) @ sums]))
    G, gap, squares, gap_squares = np.concatenate(parts).T
    mean_gap = gap / G
    return G, top - mean_gap, -distance * squares, distance * (gap_squares - mean_gap * squares) / G
