r"""The law of noise whose rows and columns differ in strength: W_ij = r_i c_j g_ij, g independent of variance 1.

With d_i = r_i^2, e_j = c_j^2 and q = M/N the resolvent of W^T W / N closes in one parameter s:

- a(s) solves :math:`q\,\langle a e/(1 - a e)\rangle = s`, b(s) solves :math:`\langle b d/(1 - b d)\rangle = s`;
- :math:`x(s) = s / (a b)`, where :math:`s = \frac1N \sum_j \lambda_j/(x - \lambda_j)`.

Above the bulk s runs over the positive numbers and the upper edge is the least x(s); below it s is negative and the
lower edge the largest x(s); inside s is complex and the density of the M eigenvalues is -Im s / (pi q x). Each of a
and b is one root of a function that is monotone, and so is d ln x / d ln s = 1 - 1/alpha - 1/beta, in which alpha =
d ln s / d ln a and beta = d ln s / d ln b: an edge is the root of that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.optimize

from ...core.arrays import FloatArray
from ...core.errors import InvalidInput
from .base import Law

# Relative precision of the roots behind an edge.
TOLERANCE = 1e-14
# Share of the upper edge below which a law without a lower edge is followed by its root.
HARD_EDGE = 1e-7
# Newton's steps to the upper edge, and how near the last one has to be: x(s) is flat there.
NEWTON, CLOSE = 100, 1e-9
# Relative precision of what the lower edge is the flat top of.
FLAT = 1e-12
# Points of the density (twice), and strengths that it is computed from.
NODES = 64
# The resolvent is followed from the one height above the axis (in upper edges) down to the other (in x), by at most
# this factor at once; on the way roots need not be exact.
START, END, STEP = 2.0, 1e-6, 10.0
COARSE, FINE, ROUNDS, LAST_ROUNDS = 0.03, 1e-8, 30, 150


@dataclass(frozen=True, eq=False)
class UnevenNoise(Law):
    r"""Eigenvalues of W^T W / N for independent entries of variance d_i e_j.

    Parameters
    ----------
    d, e : array_like
        Strengths of rows and columns, all of them or equally likely quantiles; not negative. Some are positive.
    q : float, optional
        M / N; the ratio of the numbers of strengths when left out.
    nodes : int
        Points of the density (twice) and strengths that it is computed from; the edges use all that are given.

    Examples
    --------
    >>> even = UnevenNoise(np.ones(200), np.ones(100))
    >>> round(even.upper, 12) == round((1 + 0.5**0.5) ** 2, 12)
    True
    >>> UnevenNoise([1, 1, 4], np.ones(3)).upper > UnevenNoise([2, 2, 2], np.ones(3)).upper
    True
    """

    d: FloatArray = field(repr=False)
    e: FloatArray = field(repr=False)
    q: float = math.nan
    nodes: int = NODES

    lacks = {  # noqa: RUF012 read only
        "r_transform": "it has no closed form where strengths differ",
        "integrated_r": "it has no closed form where strengths differ",
        "free_cumulants": "they are those of the compound law, which is not written here",
        "moment": "only the mean is written here",
        "erg_lambda_min": "no logarithmic integral is written here",
        "erg_fraction": "no logarithmic integral is written here",
    }

    def __post_init__(self) -> None:
        for name in ("d", "e"):
            given = np.sort(np.asarray(getattr(self, name), dtype=np.float64).ravel())
            if not given.size or not np.isfinite(given).all() or given[0] < 0 or not given[-1] > 0:
                raise InvalidInput(f"strengths {name}={getattr(self, name)!r} were asked; accepted: finite, >= 0")
            object.__setattr__(self, name, given)
        if math.isnan(self.q):
            object.__setattr__(self, "q", self.e.size / self.d.size)
        if not 0 < self.q < math.inf:
            raise InvalidInput(f"q={self.q!r} was asked; accepted is a positive ratio of columns to rows")

    @property
    def mean(self) -> float:
        """Mean eigenvalue, <d> <e>."""
        return float(self.d.mean() * self.e.mean())

    @cached_property
    def upper(self) -> float:
        """Upper edge: the least x(s), s > 0."""
        s, a, b = self._upper
        return s / (a * b)

    @cached_property
    def scale(self) -> float:
        r"""What one Tracy-Widom unit is times N^(2/3): (x''(s) / 2)^(1/3) x^(2/3) at the upper edge.

        The density ends as (1 / (pi q x)) sqrt(2 (E - x) / x''), which the Airy density of the largest of N matches at
        this length; (1 + sqrt q)^(4/3) q^(-1/6) for even strengths, Johnstone's.
        """
        s, a, b = self._upper
        bend = _bend(a * self.e) + _bend(b * self.d)
        return float((self.upper * bend / (2 * s * s)) ** (1 / 3) * self.upper ** (2 / 3))

    @cached_property
    def _upper(self) -> tuple[float, float, float]:
        """s, a and b at the upper edge: the one root of a slope that rises, by Newton's steps.

        A slope with steps in it, as a few strong rows make them, sends Newton's to and fro: what leaves the bracket or
        is over half of the step before halves the bracket instead.
        """
        log_s, low, high, last = math.log(self.q) / 2, -math.inf, math.inf, math.inf
        for _ in range(NEWTON):
            s = math.exp(log_s)
            a, b = _root(self.e, s / self.q), _root(self.d, s)
            slope = 1 - 1 / _gain(a * self.e) - 1 / _gain(b * self.d)
            low, high = (log_s, high) if slope < 0 else (low, log_s)
            step = max(-1.0, min(1.0, -slope / (_bend(a * self.e) + _bend(b * self.d))))
            if high - low < math.inf and (not low < log_s + step < high or 2 * abs(step) > last):
                step = (low + high) / 2 - log_s
            if abs(step) < CLOSE:
                return s, a, b
            log_s, last = log_s + step, abs(step)
        raise RuntimeError(f"the upper edge of {self!r} was not found in {NEWTON} steps")

    @cached_property
    def lower(self) -> float:
        """Lower edge: the largest x(s) below the bulk; 0 where as many rows as columns have strength."""
        rows, columns = np.count_nonzero(self.d) / self.d.size, self.q * np.count_nonzero(self.e) / self.e.size
        if math.isclose(rows, columns, rel_tol=1e-12):
            return 0.0
        # The side with fewer strengths is followed beyond its pole, the other below zero.
        if columns < rows:
            beyond, below, ends = self.e, self.d, (columns, rows)
        else:
            beyond, below, ends = self.d, self.e, (rows, columns)
        beyond, below = beyond[beyond > 0], below[below > 0]
        over = ends[0] / beyond.size, ends[1] / below.size

        def negative(s: float) -> tuple[float, float]:
            """1/a in (0, min), -b > 0 for s = -|s|, |s| between the two shares."""
            top = float(beyond[0])
            z = scipy.optimize.brentq(
                lambda y: over[0] * float(np.sum(beyond / (beyond - y))) - s,
                0.0,
                top * (1 - 1e-15),
                xtol=1e-300,
                rtol=FLAT,
            )
            scale = 1 / float(below.mean())
            high = scale
            while over[1] * float(np.sum(high * below / (1 + high * below))) < s:
                high *= 4
            b = scipy.optimize.brentq(
                lambda y: over[1] * float(np.sum(y * below / (1 + y * below))) - s, 0.0, high, xtol=1e-300, rtol=FLAT
            )
            return z, b

        def value(share: float) -> float:
            s = ends[0] + share * (ends[1] - ends[0])
            z, b = negative(s)
            return -s * z / b

        found = scipy.optimize.minimize_scalar(value, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-7})
        return max(0.0, -float(found.fun))

    @property
    def support(self) -> tuple[float, float]:
        """Lower and upper edge; there may be gaps between them."""
        return self.lower, self.upper

    @cached_property
    def _grid(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Points of the support, density and distribution function there.

        Half of the points stand even in the angle that removes the edges, half in that of ln x: strengths that differ
        much give eigenvalues over many powers of ten.
        """
        lower, upper = self.support
        weakest = [side[side > 0][0] / side.mean() for side in (self.d, self.e)]
        lowest = max(lower, HARD_EDGE * upper * min(weakest))
        shares = np.sin(np.linspace(0, np.pi / 2, self.nodes)) ** 2
        x = np.unique(np.concatenate([lowest + (upper - lowest) * shares, lowest * (upper / lowest) ** shares]))
        x = x[(x > lowest) & (x < upper)]
        s = descend(x, compressed(self.d, self.nodes), compressed(self.e, self.nodes), self.q)
        density = np.maximum(-s.imag, 0) / (math.pi * self.q * x)
        x = np.concatenate([[lowest], x, [upper]])
        # At a hard edge the density diverges as x^(-1/2).
        first = density[0] * math.sqrt(x[1] / lowest) if lowest > lower else 0.0
        density = np.concatenate([[first], density, [0.0]])
        below = 2 * lowest * first if lowest > lower else 0.0
        steps = np.diff(np.log(x)) * (x[1:] * density[1:] + x[:-1] * density[:-1]) / 2
        cdf = below + np.concatenate([[0.0], np.cumsum(steps)])
        return x, density, cdf / cdf[-1]

    def pdf(self, x: Any) -> Any:
        """Density of the eigenvalues that are not zero, 0 outside the support; to some 1e-3 of its height."""
        nodes, density, _ = self._grid
        points = np.asarray(x, dtype=np.float64)
        with np.errstate(divide="ignore"):
            inside = np.interp(np.log(points), np.log(nodes), density * nodes) / points
        return np.where((points > self.lower) & (points < self.upper), inside, 0.0)[()]

    def cdf(self, x: Any) -> Any:
        """Distribution function of the eigenvalues that are not zero."""
        nodes, _, cdf = self._grid
        points = np.asarray(x, dtype=np.float64)
        inside = np.interp(points, nodes, cdf)
        return np.where(points < nodes[0], cdf[0] * np.sqrt(np.maximum(points, 0) / nodes[0]), inside)[()]

    def quantile(self, p: Any) -> Any:
        """Inverse of `cdf`."""
        nodes, _, cdf = self._grid
        return np.interp(p, cdf, nodes)[()]


def compressed(strengths: FloatArray, size: int) -> FloatArray:
    """At most `size` equally likely strengths with the same mean: means over equal shares of the ascending ones."""
    given = np.sort(np.asarray(strengths, dtype=np.float64))
    if given.size <= size:
        return given
    total = np.concatenate([[0.0], np.cumsum(given)])
    ends = np.interp(np.linspace(0, given.size, size + 1), np.arange(given.size + 1), total)
    return np.diff(ends) * (size / given.size)


def descend(x: FloatArray, d: FloatArray, e: FloatArray, q: float) -> np.ndarray:
    """The parameter s just above the real points x > 0, followed from far above the axis down.

    With b = q <e / (1 - a e)> / z the a with z a = <d / (1 - b d)> is one root in the lower half-plane, where the
    averaged fixed-point step always leads and Newton's, taken where it stays there, leads fast.
    """
    top = START * float(x[-1])
    a = d.mean() / (x + 1j * top)
    heights = 2 + math.ceil(math.log(top / (END * float(x[0]))) / math.log(STEP))
    for part in np.linspace(0, 1, heights):
        z = x + 1j * top * (END * x / top) ** part
        left = np.arange(x.size)
        tolerance, rounds = (COARSE, ROUNDS) if part < 1 else (FINE, LAST_ROUNDS)
        for number in range(rounds):
            step, newton = _steps(a[left], z[left], d, e, q, damped=number % 3 == 2)
            a[left] += step
            left = left[(np.abs(step) > tolerance * np.abs(a[left])) | ~newton]
            if not left.size:
                break
    return a * _sums(a, e, q)[0]


def _steps(
    a: np.ndarray, z: np.ndarray, d: FloatArray, e: FloatArray, q: float, *, damped: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The next step of each a, and whether it is Newton's; a long one is `damped` or not taken."""
    column, column_slope = _sums(a, e, q)
    row, row_slope = _sums(column / z, d, 1.0)
    step = (row - z * a) / (z - row_slope * column_slope / z)
    size = np.minimum(1.0, 0.5 * np.abs(a) / np.maximum(np.abs(step), 1e-300))
    stays = ((a + size * step).imag < 0) & ((column / z).imag < 0) & (damped | (size == 1))
    return np.where(stays, size * step, (row / z - a) / 2), stays & (size == 1)


def _sums(a: np.ndarray, strengths: FloatArray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """share <e / (1 - a e)> and its derivative in a, for each a."""
    weighted = strengths / (1 - a[:, None] * strengths)
    return share * weighted.mean(axis=1), share * (weighted * weighted).mean(axis=1)


def _root(strengths: FloatArray, s: float) -> float:
    """The a in (0, 1 / max) with <a e / (1 - a e)> = s.

    In z = 1/a the harmonic mean 1 / <e / (z - e)> is concave: Newton's steps from below never pass the root 1/s.
    """
    top, mean = float(strengths[-1]), float(strengths.mean())
    z = max(top * (1 + 1 / (s * strengths.size)), mean * (1 + 1 / s))
    for _ in range(200):
        inverse = 1 / (z - strengths)
        terms = strengths * inverse
        value = float(terms.mean())
        step = (value - s) * value / (s * float((terms @ inverse) / strengths.size))
        z += step
        if step <= TOLERANCE * z:
            break
    return 1 / z


def _gain(ae: FloatArray) -> float:
    """d ln s / d ln a = <ae / (1 - ae)^2> / <ae / (1 - ae)>."""
    inverse = 1 / (1 - ae)
    terms = ae * inverse
    return float(terms @ inverse) / float(terms.sum())


def _bend(ae: FloatArray) -> float:
    """d(-1 / gain) / d ln s."""
    inverse = 1 / (1 - ae)
    terms = ae * inverse
    first, second = float(terms.sum()), float(terms @ inverse)
    gain = second / first
    # d second / d ln a = sum ae (1 + ae) / (1 - ae)^3.
    third = float((terms * inverse) @ (inverse * (1 + ae)))
    return (third / second - gain) / gain**2
