r"""The integral of R summed over very many points of one atomic law, without a root for each point.

With :math:`B = \lambda_{\max} + e^u`, both :math:`t = G(B)` and R are explicit in u and analytic in the strip
:math:`|\mathrm{Im}\, u| < \pi`, whatever the atoms: no :math:`B - \lambda_j` vanishes there. A Chebyshev sum over the
range of u therefore converges like :math:`\rho^{-n}` with a :math:`\rho` that depends on the length of the range alone,
:math:`H = \int_0^t R` follows from integrating :math:`R\, dG/du` term by term, and k points over k atoms cost about
50 k operations instead of ten k squared.

Laws of a few hundred atoms cost more in calls than in operations: many of them go through one set of calls. Sizes are
filled up to the next of a few, with points and atoms that do not count, so that a law's sum has the same bits alone and
among others.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ..core.arrays import FloatArray
from .hermite import hermite_rows
from .transforms import integrated_r

DIRECT_POINTS = 24
DIGITS = 10
# Share of the half-width pi of the strip that the Bernstein ellipse may take: at its rim G has poles.
STRIP = 0.9
BLOCK_ELEMENTS = 2**20
# Elements that laws worked on together have: what is computed of them stays in the cache.
TOGETHER = 2**18
# Sizes are filled up to multiples of these.
ATOMS_STEP, NODES_STEP = 32, 4
# H is expanded to second order around the points found, so its error is about the third power of this.
CLOSE_ENOUGH = 3e-5
MAX_NEWTON = 5
# The range of u may be longer than the points need: two steps bring it near enough.
NEWTON_STEPS_TO_A_BOUND = 2

Item = TypeVar("Item")


@dataclass(frozen=True)
class Points:
    """Positive points `t` and the law they are asked of: atoms that are not negative, and weights that sum to one."""

    t: FloatArray
    evals: FloatArray
    weights: FloatArray

    @property
    def are_few(self) -> bool:
        """Whether a root for each point is cheaper, or the only way."""
        return bool(self.t.size <= DIRECT_POINTS or self.t.max() <= self.t.min() * (1 + 1e-6))

    @property
    def size(self) -> int:
        """Atoms and points, filled up."""
        return _filled_up(max(self.t.size, self.evals.size), ATOMS_STEP)

    def one_by_one(self) -> float:
        """The sum by a root for each point."""
        return float(np.sum(integrated_r(self.t, self.evals, self.weights)))


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
    return sums_of_integrated_r([Points(t, evals, weights)])[0]


def sums_of_integrated_r(asked: Sequence[Points]) -> list[float]:
    """`sum_of_integrated_r` of many laws, each to the bit what it is alone.

    Examples
    --------
    >>> t, atoms = np.linspace(0.1, 2, 200), np.array([1.0, 3.0])
    >>> one, other = (Points(t, atoms, np.array(weights)) for weights in ([0.5, 0.5], [0.25, 0.75]))
    >>> sums_of_integrated_r([one, other]) == sums_of_integrated_r([one]) + sums_of_integrated_r([other])
    True
    """
    found = {place: points.one_by_one() for place, points in enumerate(asked) if points.are_few}
    left = [(place, points) for place, points in enumerate(asked) if place not in found]
    for size, same in _by(lambda pair: pair[1].size, left):
        sums = _sums([points for _, points in same], size)
        found |= {place: one for (place, _), one in zip(same, sums)}
    return [found[place] for place in range(len(asked))]


def _sums(asked: list[Points], size: int) -> list[float]:
    """Of laws that are filled up to one size."""
    found = [math.nan] * len(asked)
    laws = [_Law.of(points, size) for points in asked]
    firsts = _distances_below(laws)
    ranges = []
    for place, (law, first) in enumerate(zip(laws, np.log(firsts).tolist())):
        ranges.append((place, first, (-math.log(law.smallest) - first) / 2))
    for count, same in _by(lambda one: _count(one[2]), ranges):
        step = max(1, TOGETHER // (count * size))
        for start in range(0, len(same), step):
            places, first, half = zip(*same[start : start + step])
            sums = _interpolated([laws[place] for place in places], np.array(first), np.array(half), count)
            for place, one in zip(places, sums.tolist()):
                found[place] = one
    return [points.one_by_one() if math.isnan(one) else one for points, one in zip(asked, found)]


@dataclass(frozen=True)
class _Law:
    """Points and atoms filled up to one size: atoms of weight 0 at the largest, points that are not counted."""

    t: FloatArray
    counted: FloatArray
    top: float
    below: FloatArray
    weights: FloatArray
    smallest: float
    largest: float

    @classmethod
    def of(cls, points: Points, size: int) -> _Law:
        top, smallest, largest = float(points.evals.max()), float(points.t.min()), float(points.t.max())
        t, counted, below, weights = np.full(size, largest), np.zeros(size), np.zeros(size), np.zeros(size)
        t[: points.t.size], counted[: points.t.size] = points.t, 1.0
        below[: points.evals.size], weights[: points.evals.size] = top - points.evals, points.weights
        return cls(t, counted, top, below, weights, smallest, largest)


def _interpolated(laws: list[_Law], first: FloatArray, half: FloatArray, count: int) -> FloatArray:
    """The sums of laws of one size over ranges of u that ask for one number of nodes; NaN where Newton fails."""
    nodes, to_coefficients = _grid(count)
    top, smallest = np.array([law.top for law in laws]), np.array([law.smallest for law in laws])
    below, weights, t = (np.stack([getattr(law, name) for law in laws]) for name in ("below", "weights", "t"))
    G, R, dG, dR = _at_nodes(top, below, weights, np.exp(first[:, None] + half[:, None] * (1 + nodes)))
    columns = to_coefficients @ np.stack([np.log(G), dG / G, R, dR, R * dG], axis=2)
    H = _integrals(columns[:, :, 4]) * half[:, None]
    # Every Chebyshev polynomial is 1 at the right end.
    H[:, 0] += _integral_at(1 / smallest, top, below, weights) - H.sum(axis=1)
    columns[:, :, 4] = H
    rows = np.ascontiguousarray(columns.transpose(0, 2, 1))
    log_t = np.log(t)
    at = hermite_rows(
        log_t, np.log(G)[:, ::-1], np.tile(nodes[::-1], (len(laws), 1)), (G / dG)[:, ::-1] / half[:, None]
    )
    sums, left = np.full(len(laws), math.nan), np.arange(len(laws))
    for _ in range(MAX_NEWTON):
        found, slope, mean, mean_slope, integral = (rows[left] @ _chebyshev(at[left], count)).transpose(1, 0, 2)
        off = log_t[left] - found
        # H about the G that was found: its slope there is R, its curvature dR/dG = (dR/du) / (G dlnG/du).
        step = -t[left] * np.expm1(-off)
        parts = integral + step * (mean + step * mean_slope / (2 * slope * (t[left] - step)))
        near = np.abs(off).max(axis=1) <= CLOSE_ENOUGH
        counted = np.stack([laws[place].counted for place in left])
        sums[left[near]] = (parts * counted).sum(axis=1)[near]
        at[left] += off / (slope * half[left, None])
        left = left[~near]
        if not left.size:
            break
    return sums


def _distances_below(laws: list[_Law]) -> FloatArray:
    """Bounds below the distance of B from the largest atom, at the largest t: a few of Newton's steps, which climb."""
    below, weights = (np.stack([getattr(law, name) for law in laws]) for name in ("below", "weights"))
    t = np.array([law.largest for law in laws])
    d = np.maximum((weights * (below == 0)).sum(axis=1) / t, (1 - 1e-15) / t - (weights * below).sum(axis=1))
    for _ in range(NEWTON_STEPS_TO_A_BOUND):
        g = 1 / (d[:, None] + below)
        share = weights * g
        G = share.sum(axis=1)
        d += np.maximum(0.0, (G / t - 1) * G / (share * g).sum(axis=1))
    return d * (1 - 1e-12)


def _integral_at(distance: FloatArray, top: FloatArray, below: FloatArray, weights: FloatArray) -> FloatArray:
    """H at t = G(top + distance) of each law, as `transforms.integrated_r` has it."""
    share = weights / (distance[:, None] + below)
    G = share.sum(axis=1)
    gap = (share * below).sum(axis=1) / G
    return G * (top - gap) - (weights * np.log1p(G[:, None] * (below - gap[:, None]))).sum(axis=1)


def _count(half: float) -> int:
    """How many Chebyshev points an ellipse inside the strip of analyticity asks for."""
    return _filled_up(4 + math.ceil(DIGITS * math.log(10) / math.asinh(STRIP * math.pi / half)), NODES_STEP)


@functools.lru_cache(maxsize=64)
def _grid(count: int) -> tuple[FloatArray, FloatArray]:
    """Ascending Chebyshev points, and what turns values there into coefficients of the interpolant."""
    angles = math.pi * (np.arange(count) + 0.5) / count
    to_coefficients = np.cos(np.outer(np.arange(count), angles[::-1])) * (2 / count)
    to_coefficients[0] /= 2
    return -np.cos(angles), to_coefficients


def _chebyshev(x: FloatArray, count: int) -> FloatArray:
    """Chebyshev polynomials 0 ... count - 1, along a new axis before the last, at points in [-1, 1], which rounding may
    have left."""
    x = np.minimum(np.maximum(x, -1.0), 1.0)
    found = np.empty((*x.shape[:-1], count, x.shape[-1]))
    found[..., 0, :], found[..., 1, :] = 1.0, x
    twice = 2 * x
    for order in range(2, count):
        np.multiply(twice, found[..., order - 1, :], out=found[..., order, :])
        found[..., order, :] -= found[..., order - 2, :]
    return found


def _integrals(coefficients: FloatArray) -> FloatArray:
    """Coefficients of an antiderivative of each row, as many as were given."""
    padded = np.concatenate([coefficients, np.zeros((len(coefficients), 2))], axis=1)
    padded[:, 0] *= 2
    found = np.zeros_like(coefficients)
    found[:, 1:] = (padded[:, :-3] - padded[:, 2:-1]) / (2 * np.arange(1, coefficients.shape[1]))
    return found


def _at_nodes(
    top: FloatArray, below: FloatArray, weights: FloatArray, distance: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """G, R, dG/du, dR/du of each law at B = top + distance, distance = exp(u); R as a mean of the atoms, without
    cancellation."""
    rows = max(1, BLOCK_ELEMENTS // below.shape[1])
    sums = np.stack([weights, weights * below], axis=2)
    parts = []
    for start in range(0, distance.shape[1], rows):
        g = 1 / (distance[:, start : start + rows, None] + below[:, None, :])
        parts.append(np.concatenate([g @ sums, (g * g) @ sums], axis=2))
    G, gap, squares, gap_squares = np.concatenate(parts, axis=1).transpose(2, 0, 1)
    mean_gap = gap / G
    return G, top[:, None] - mean_gap, -distance * squares, distance * (gap_squares - mean_gap * squares) / G


def _filled_up(number: int, step: int) -> int:
    return -(-number // step) * step


def _by(key: Callable[[Item], int], items: Sequence[Item]) -> Iterator[tuple[int, list[Item]]]:
    """Items that have something in common, in their order."""
    groups: dict[int, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    yield from groups.items()
