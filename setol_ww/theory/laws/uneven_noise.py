r"""The law of noise whose rows and columns differ in strength: W_ij = r_i c_j g_ij, g independent of variance 1.

With d_i = r_i^2, e_j = c_j^2 and q = M/N the resolvent of W^T W / N closes in one parameter s:

- a(s) solves :math:`q\,\langle a e/(1 - a e)\rangle = s`, b(s) solves :math:`\langle b d/(1 - b d)\rangle = s`;
- :math:`x(s) = s / (a b)`, where :math:`s = \frac1N \sum_j \lambda_j/(x - \lambda_j)`.

Above the bulk s runs over the positive numbers and the upper edge is the least x(s); below it s is negative and the
lower edge the largest x(s) (`edges`); inside s is complex and the density of the M eigenvalues is -Im s / (pi q x)
(`separable`). Each of a and b is one root of a function that is monotone (`sides`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ...core.arrays import FloatArray
from ...core.errors import InvalidInput
from ..hermite import hermite, hermite_slope
from ..transforms import numbers_of
from .base import Law, where_known
from .edges import Edge, lower_edge, upper_edge
from .separable import Separable
from .sides import Side

# Share of the upper edge below which a law without a lower edge is followed by its root.
HARD_EDGE = 1e-7
# Knots of the distribution function: even in the angle that removes the edges, and more a power of ten where the
# support is over so many.
KNOTS, KNOTS_A_DECADE, DECADES, SAME_KNOT = 32, 8, 1.5, 1e-4
# A knot at this share of the first and of the last piece.
NEAR_EDGE = 0.25
# A cubic is monotone up to so many times the mean slope of its piece.
STEEPEST = 3.0
# Points a knot of the first guess of a quantile, and Newton's steps from there.
DENSE, POLISH = 16, 3


@dataclass(frozen=True, eq=False)
class UnevenNoise(Law):
    r"""Eigenvalues of W^T W / N for independent entries of variance d_i e_j.

    Edges are those of all strengths. Density and distribution function are those of two strengths for each factor of
    e^(1/2) in strength, on some tens of knots: within 1e-3 for spreads of r and c up to .5, 4e-3 where single strong
    columns have a bump each.

    Parameters
    ----------
    d, e : array_like
        Strengths of rows and columns, all of them or equally likely quantiles; not negative. Some are positive.
    q : float, optional
        M / N; the ratio of the numbers of strengths when left out.

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
    #: A law of the same strengths, whose roots are near those of this one.
    near: UnevenNoise | None = field(default=None, repr=False)

    lacks = {  # noqa: RUF012 read only
        "stieltjes": "it has no closed form where strengths differ",
        "r_transform": "it has no closed form where strengths differ",
        "integrated_r": "it has no closed form where strengths differ",
        "free_cumulants": "they are those of the compound law, which is not written here",
        "moment": "only the mean is written here",
        "erg_lambda_min": "no logarithmic integral is written here",
        "erg_fraction": "no logarithmic integral is written here",
    }

    def __post_init__(self) -> None:
        for name in ("d", "e") if self.near is None else ():
            given = np.sort(np.asarray(getattr(self, name), dtype=np.float64).ravel())
            if not given.size or not np.isfinite(given).all() or given[0] < 0 or not given[-1] > 0:
                asked = f"strengths {name}={getattr(self, name)!r} were asked"
                raise InvalidInput(f"{asked}; accepted: finite, >= 0, some above 0")
            object.__setattr__(self, name, given)
        if math.isnan(self.q):
            object.__setattr__(self, "q", self.e.size / self.d.size)
        if not 0 < self.q < math.inf:
            raise InvalidInput(f"q={self.q!r} was asked; accepted is a positive ratio of columns to rows")

    def at(self, q: float) -> UnevenNoise:
        """The law of the same strengths at another ratio."""
        return replace(self, q=q, near=self)

    def _nearest(self, name: str) -> UnevenNoise | None:
        """The law on the way to this one that has found something already; None where none has."""
        law = self.near
        while law is not None and name not in law.__dict__:
            law = law.near
        return law

    def _edge_nearby(self, name: str) -> Edge | None:
        """An edge of the nearest law that has it, moved as it moves with q."""
        law = self._nearest(name)
        if law is None or law.__dict__[name] is None:
            return None
        edge: Edge = law.__dict__[name]
        return edge.moved(self.q / law.q)

    @cached_property
    def _sides(self) -> tuple[Side, Side]:
        return (Side(self.d), Side(self.e)) if self.near is None else self.near._sides

    @property
    def mean(self) -> float:
        """Mean eigenvalue, <d> <e>."""
        return float(self.d.mean() * self.e.mean())

    @cached_property
    def _upper(self) -> Edge:
        return upper_edge(*self._sides, self.q, self._edge_nearby("_upper"))

    @property
    def upper(self) -> float:
        """Upper edge: the least x(s), s > 0."""
        return self._upper.value

    @cached_property
    def scale(self) -> float:
        r"""What one Tracy-Widom unit is times N^(2/3): (x''(s) / 2)^(1/3) x^(2/3) at the upper edge.

        The density ends as (1 / (pi q x)) sqrt(2 (E - x) / x''), which the Airy density of the largest of N matches at
        this length; (1 + sqrt q)^(4/3) q^(-1/6) for even strengths, Johnstone's.
        """
        edge = self._upper
        return float((self.upper * edge.bend / (2 * edge.s * edge.s)) ** (1 / 3) * self.upper ** (2 / 3))

    @cached_property
    def _lower(self) -> Edge | None:
        return lower_edge(*self._sides, self.q, self._edge_nearby("_lower"))

    @property
    def lower(self) -> float:
        """Lower edge: the largest x(s) below the bulk; 0 where as many rows as columns have strength."""
        return 0.0 if self._lower is None else self._lower.value

    @cached_property
    def support(self) -> tuple[float, float]:
        """Lower and upper edge; there may be gaps between them."""
        return self.lower, self.upper

    @cached_property
    def _knots(self) -> FloatArray:
        """Angles inside the support: even, even in ln x where that is over many powers of ten, one near each edge."""
        lower, upper = self.support
        weakest = min(float(side.live[0]) / side.mean for side in self._sides)
        lowest = max(lower, HARD_EDGE * upper * weakest)
        angles = np.pi / 2 * np.arange(1, KNOTS) / KNOTS
        decades = math.log10(upper / lowest)
        if decades > DECADES:
            shares = np.arange(lower > 0, math.ceil(KNOTS_A_DECADE * decades)) / math.ceil(KNOTS_A_DECADE * decades)
            angles = np.sort(np.concatenate([angles, self._angle(lowest * (upper / lowest) ** shares)]))
        angles = angles[np.append(True, np.diff(angles) > SAME_KNOT * angles[1:])]
        # A density goes to 0 there, a cubic hardly: it is to do so on a short piece.
        first, last = NEAR_EDGE * angles[0], np.pi / 2 - NEAR_EDGE * (np.pi / 2 - angles[-1])
        return np.concatenate([[first], angles, [last]])

    def _angle(self, x: FloatArray) -> FloatArray:
        """theta of x = lower + (upper - lower) sin^2 theta."""
        lower, upper = self.support
        angles: FloatArray = np.arcsin(np.sqrt(np.clip((x - lower) / (upper - lower), 0.0, 1.0)))
        return angles

    def _point(self, angle: FloatArray) -> FloatArray:
        lower, upper = self.support
        points: FloatArray = lower + (upper - lower) * np.sin(angle) ** 2
        return points

    def _stretch(self, angle: FloatArray) -> FloatArray:
        """dx / dtheta."""
        lower, upper = self.support
        return (upper - lower) * np.sin(2 * angle)

    @cached_property
    def _equations(self) -> Separable:
        return Separable(*self._sides, self.q)

    @cached_property
    def _resolvent(self) -> np.ndarray:
        """a at the knots."""
        law = self._nearest("_resolvent")
        guess = None if law is None else np.interp(self._knots, law._knots, law._resolvent)
        return self._equations.solve(self._point(self._knots), guess)

    @cached_property
    def _curve(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Angles, distribution function and its slope there, both ends among them."""
        angles, rows, columns = self._knots, *self._sides
        beyond, density = self._equations.counts(self._point(angles), self._resolvent)
        share = min(rows.share, self.q * columns.share) / self.q
        cdf = np.maximum.accumulate(np.clip(1 - beyond / share, 0.0, 1.0))
        slope = density / share * self._stretch(angles)
        # At a hard edge the density diverges as x^(-1/2), and the slope is finite.
        first = cdf[0] / angles[0] if self._lower is None else 0.0
        angles, cdf = np.concatenate([[0.0], angles, [np.pi / 2]]), np.concatenate([[0.0], cdf, [1.0]])
        # At the edges of gaps the density is steeper than a cubic may be.
        steps = STEEPEST * np.diff(cdf) / np.diff(angles)
        slope = np.minimum(
            np.concatenate([[first], slope, [0.0]]), np.minimum(np.append(steps, np.inf), np.append(np.inf, steps))
        )
        return angles, cdf, slope

    def _dense(self, number: int) -> FloatArray:
        """So many angles a knot."""
        knots = self._curve[0]
        places = np.arange(number * (knots.size - 1) + 1) / number
        return np.interp(places, np.arange(knots.size), knots)

    def points(self, number: int) -> FloatArray:
        """Ascending points of the support, so many for each of some tens of knots, between which `cdf` hardly bends."""
        return self._point(self._dense(number))

    def table(self, number: int) -> tuple[FloatArray, FloatArray]:
        """`points` and `cdf` there."""
        angles = self._dense(number)
        return self._point(angles), np.clip(hermite(angles, *self._curve), 0.0, 1.0)

    def pdf(self, x: Any) -> Any:
        """Density of the eigenvalues that are not zero, 0 outside the support.

        To 1e-3 of its height inside, some 1e-2 near the edges, 1e-1 where single strong columns have a bump each.
        """
        points = numbers_of("x", x)
        inside = (points > self.lower) & (points < self.upper)
        angle = self._angle(np.where(inside, points, self.upper / 2 + self.lower / 2))
        density = np.maximum(hermite_slope(angle, *self._curve), 0.0) / self._stretch(angle)
        return where_known(points, np.where(inside, density, 0.0))

    def cdf(self, x: Any) -> Any:
        """Distribution function of the eigenvalues that are not zero."""
        return np.clip(hermite(self._angle(numbers_of("x", x)), *self._curve), 0.0, 1.0)[()]

    def quantile(self, p: Any) -> Any:
        """Inverse of `cdf`."""
        knots, cdf, slope = self._curve
        dense = self._dense(DENSE)
        values = np.maximum.accumulate(hermite(dense, knots, cdf, slope))
        wanted = numbers_of("p", p)
        at = np.searchsorted(values, wanted).clip(1, dense.size - 1)
        angle = np.interp(wanted, values, dense)
        for _ in range(POLISH):
            rise = hermite_slope(angle, knots, cdf, slope)
            step = (wanted - hermite(angle, knots, cdf, slope)) / np.where(rise > 0, rise, math.inf)
            angle = np.clip(angle + step, dense[at - 1], dense[at])
        return self._point(angle)[()]
