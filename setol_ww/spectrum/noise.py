"""Noise of given strengths on given sides: its bulk, its edge and the chance to lie beyond it.

Everything is in units of the mean variance of the entries. With even strengths these are Marchenko-Pastur and
Johnstone's law; else the law of `UnevenNoise`, and a mixture of it where pooled slices differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import scipy.optimize

from ..core.arrays import FloatArray
from ..theory.laws.edge import cumulant_factor, quick_tracy_widom_sf, tracy_widom_sf
from ..theory.laws.uneven_noise import UnevenNoise
from .strengths import Strengths

# Angles between which quantiles are interpolated, and points a knot where a law has few knots itself.
ANGLES, POINTS = np.linspace(0, np.pi / 2, 2049), 8


@dataclass(frozen=True)
class Noise:
    """Independent entries with mean variance 1 on N x M, `slices` of them pooled.

    `strengths` None is noise of one variance. Sides need not be whole where spikes lie in a few slices.
    """

    N: float
    M: float
    slices: int = 1
    strengths: Strengths | None = None
    #: Noise of the same strengths on sides that are hardly different.
    near: Noise | None = None

    @property
    def q(self) -> float:
        """M / N, at most 1."""
        return self.M / self.N

    @property
    def is_even(self) -> bool:
        """True when the bulk is Marchenko-Pastur."""
        return self.strengths is None or self.strengths.is_even

    def on(self, N: float, M: float) -> Noise:
        """The same noise on other sides."""
        return self if (N, M) == (self.N, self.M) else replace(self, N=N, M=M, near=self)

    @cached_property
    def law(self) -> UnevenNoise:
        """Of one slice of mean strength."""
        assert self.strengths is not None
        if self.near is not None:
            return self.near.law.at(self.q)
        sides = self.strengths.row, self.strengths.column
        longer, shorter = sides if self.strengths.rows >= self.strengths.columns else sides[::-1]
        return UnevenNoise(longer, shorter, self.q)

    @property
    def _shares(self) -> FloatArray:
        """Variances of the slices."""
        return np.ones(1) if self.strengths is None else self.strengths.slice

    @cached_property
    def support(self) -> tuple[float, float]:
        """Edges of the eigenvalues of W^T W / N."""
        if self.is_even:
            return (1 - math.sqrt(self.q)) ** 2, (1 + math.sqrt(self.q)) ** 2
        return self.law.lower * float(self._shares[0]), self.law.upper * float(self._shares[-1])

    def cdf(self, x: FloatArray) -> FloatArray:
        """Distribution function of the eigenvalues of W^T W / N that are not zero."""
        if self.is_even:
            return marchenko_pastur_cdf(x, self.q)
        return self._mixed(self.law.cdf, x)

    def pdf(self, x: FloatArray) -> FloatArray:
        """Density of the same, 0 outside the support."""
        if self.is_even:
            return marchenko_pastur_density(x, self.q)
        return self._mixed(lambda y: self.law.pdf(y) * y, x) / x

    def _mixed(self, function: Callable[[FloatArray], FloatArray], x: FloatArray) -> FloatArray:
        total: FloatArray = sum(function(x / share) for share in self._shares) / self._shares.size  # type: ignore[assignment]
        return total

    def quantile(self, p: FloatArray) -> FloatArray:
        """Inverse of `cdf`, by interpolation between points that are as fine as the law, however small its least."""
        if self.is_even:
            return marchenko_pastur_quantiles(p, self.q)
        if self._shares.size == 1:
            points, values = self.law.table(POINTS)
            return np.interp(p, values, self._shares[0] * points)
        points = self.law.points(max(2, POINTS // self._shares.size))
        x = np.sort(np.multiply.outer(self._shares, points).ravel())
        return np.interp(p, self.cdf(x), x)

    @cached_property
    def shift(self) -> float:
        """Factor by which the cumulants of the entries move the edge; NaN outside the domain of their series."""
        if self.strengths is None:
            return 1.0
        return cumulant_factor(self.N, self.M, self.strengths.k4, self.strengths.k6)

    @cached_property
    def centre_and_scale(self) -> tuple[float, float]:
        """Of the largest eigenvalue of W^T W of one slice of mean strength."""
        centre, scale = (float(value) for value in johnstone(self.N, self.M))
        if not self.is_even:
            sides = self.N - 0.5, self.M - 0.5
            law = self.law.at(sides[1] / sides[0])
            centre, scale = sides[0] * law.upper, sides[0] ** (1 / 3) * law.scale
        return centre * (1.0 if math.isnan(self.shift) else self.shift), scale

    def sf(self, value: float, nadler: float = 0.0) -> float:
        """Chance of an eigenvalue of W^T W of at least `value` anywhere; `nadler` moves it, in Tracy-Widom units."""
        centre, scale = self.centre_and_scale
        inside = 0.0
        for share in self._shares:
            tail = quick_tracy_widom_sf((value / float(share) - centre) / scale - nadler)
            inside += math.log1p(-min(tail, 1 - 1e-16))
        return -math.expm1(inside * self.slices / self._shares.size)

    def edge(self, level: float) -> float:
        """The eigenvalue that noise exceeds with this probability, without Nadler's correction."""
        centre, scale = self.centre_and_scale
        at = critical_value(-math.expm1(math.log1p(-level) / self.slices))[0]
        if self._shares.size == 1:
            return centre + scale * at
        top = float(self._shares[-1])
        low, high = top * (centre + scale * critical_value(level)[0]), top * (centre + scale * at)
        # One slice far stronger than all others, or all alike, up to the rounding of the law.
        if self.sf(low) <= level:
            return low
        if self.sf(high) >= level:
            return high
        return float(scipy.optimize.brentq(lambda x: self.sf(x) - level, low, high))


def johnstone(N: FloatArray | float, M: FloatArray | float) -> tuple[FloatArray, FloatArray]:
    """`edge_law.centre_and_scale` for arrays of sides, which need not be integers where spikes lie in a few slices."""
    a, b = np.sqrt(np.asarray(N) - 0.5), np.sqrt(np.asarray(M) - 0.5)
    return (a + b) ** 2, (a + b) * (1 / a + 1 / b) ** (1 / 3)


@lru_cache
def critical_value(level: float) -> tuple[float, float]:
    """The t that a Tracy-Widom variable exceeds with this probability, and F''/F' there."""
    t, h = float(scipy.optimize.brentq(lambda x: tracy_widom_sf(x) - level, -8.0, 60.0)), 0.01
    below, here, beyond = (tracy_widom_sf(t + step * h) for step in (-1, 0, 1))
    return t, (below - 2 * here + beyond) / h**2 / ((beyond - below) / (2 * h))


def marchenko_pastur_cdf(x: FloatArray, q: float) -> FloatArray:
    """Distribution function of unit variance and ratio q <= 1, closed form."""
    lower, upper = (1 - math.sqrt(q)) ** 2, (1 + math.sqrt(q)) ** 2
    inside = np.clip(x, lower, upper)
    up, down = np.sqrt(upper - inside), np.sqrt(inside - lower)
    first = np.arctan2(upper + lower - 2 * inside, 2 * up * down)
    second = np.arctan2(lower * up**2 - upper * down**2, 2 * (1 - q) * up * down)
    return (math.pi * q + up * down - (1 + q) * first + (1 - q) * second) / (2 * math.pi * q)


def marchenko_pastur_density(x: FloatArray, q: float) -> FloatArray:
    """Density of unit variance and ratio q <= 1, 0 outside its support."""
    lower, upper = (1 - math.sqrt(q)) ** 2, (1 + math.sqrt(q)) ** 2
    inside = np.clip(x, max(lower, 1e-300), upper)
    return np.sqrt((upper - inside) * (inside - lower)) / (2 * math.pi * q * inside)


def marchenko_pastur_quantiles(p: FloatArray, q: float) -> FloatArray:
    """Inverse of `marchenko_pastur_cdf`, to 2e-6, by interpolation in the angle that removes the edges."""
    lower, upper = (1 - math.sqrt(q)) ** 2, (1 + math.sqrt(q)) ** 2
    return lower + (upper - lower) * np.sin(np.interp(p, _cdf_at_angles(q), ANGLES)) ** 2


@lru_cache
def _cdf_at_angles(q: float) -> FloatArray:
    """The Marchenko-Pastur law where it is interpolated: many layers have one shape."""
    lower, upper = (1 - math.sqrt(q)) ** 2, (1 + math.sqrt(q)) ** 2
    return marchenko_pastur_cdf(lower + (upper - lower) * np.sin(ANGLES) ** 2, q)
