"""The power law between two ends."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.optimize
import scipy.special

from ...core.arrays import FloatArray
from ...core.checks import positive_integer
from ...core.errors import InvalidInput
from ..transforms import free_cumulants_of, numbers_of
from .base import Continuous, Function, positive, where_known

NODES, WEIGHTS = np.polynomial.legendre.leggauss(200)
OverDistance = Callable[[FloatArray, FloatArray], FloatArray]

#: In parts of the support's length in ln x: nearer to its ends and to its points a pole is taken out of the integral.
NEAR, HIGH = 0.01, 0.1
#: B_2k / (2k)!, the coefficients of w / (e^w - 1) behind the first two.
SERIES = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000)

#: Nearer to the upper end than this part of it the density is taken as constant.
NEAREST = 1e-14


@dataclass(frozen=True)
class TruncatedPowerLaw(Continuous):
    r"""Density proportional to :math:`x^{-\alpha}` on [lower, upper], any real alpha.

    With a = lower and b = upper, and moments in closed form for every alpha (logarithms where an exponent vanishes),
    A.7.8 of the paper reads

    | alpha | density | kappa_1 | kappa_2 |
    |---|---|---|---|
    | 2 | C/x^2, C = ab/(b - a) | C ln(b/a) | ab - kappa_1^2 |
    | 3 | C/x^3, C = 2a^2b^2/(b^2 - a^2) | 2ab/(a + b) | C ln(b/a) - kappa_1^2 |
    | 4 | C/x^4, C = 3a^3b^3/(b^3 - a^3) | 3ab(b^2 - a^2)/(2(b^3 - a^3)) | C(1/a - 1/b) - kappa_1^2 |

    The Stieltjes transform is quadrature and R solves G(B) = t above the upper end, which exists for every t > 0
    because G diverges there.

    Examples
    --------
    >>> law = TruncatedPowerLaw(2.0, 1.0, 10.0)
    >>> round(law.mean, 4), round(float(law.r_transform(0.05)), 3)
    (2.5584, 2.768)
    """

    alpha: float
    lower: float
    upper: float

    def __post_init__(self) -> None:
        if not (0 < self.lower < self.upper < math.inf and math.isfinite(self.alpha)):
            raise InvalidInput(f"{self!r} was asked; accepted are 0 < lower < upper and a finite alpha")

    @property
    def support(self) -> tuple[float, float]:
        return self.lower, self.upper

    @property
    def mean(self) -> float:
        return self.moment(1)

    def moment(self, k: float) -> float:
        """Mean of x^k, for any real k."""
        return self.lower**k * self._power_integral(k - self.alpha) / self._power_integral(-self.alpha)

    def _power_integral(self, power: float, stop: float | None = None) -> float:
        """Integral of u^power from 1 to stop/lower, u = x/lower."""
        ratio = math.log((self.upper if stop is None else stop) / self.lower)
        exponent = (power + 1) * ratio
        # expm1(y)/y is 1 at y = 0: the logarithmic case without a branch.
        return ratio * (math.expm1(exponent) / exponent if exponent else 1.0)

    def pdf(self, x: Any) -> Any:
        points = numbers_of("x", x)
        inside = (points >= self.lower) & (points <= self.upper)
        u = np.where(inside, points, self.lower) / self.lower
        density = np.where(inside, u**-self.alpha / (self.lower * self._power_integral(-self.alpha)), 0.0)
        return where_known(points, density)

    def cdf(self, x: Any) -> Any:
        points = np.clip(numbers_of("x", x), self.lower, self.upper)
        total = self._power_integral(-self.alpha)
        return np.reshape([self._power_integral(-self.alpha, p) / total for p in points.reshape(-1)], points.shape)[()]

    def _nodes(self, start: float, stop: float) -> tuple[FloatArray, FloatArray]:
        """Points and weights of the law between two of its points: Gauss in ln x, where the density is exponential."""
        x, weights = _in_logarithm(start, stop)
        return x, weights * self.pdf(np.clip(x, self.lower, self.upper))

    def _integral(self, function: Function, start: float, stop: float) -> float:
        x, weights = self._nodes(start, stop)
        return float(np.sum(weights * function(x)))

    def free_cumulants(self, n: int) -> FloatArray:
        """Of the nodes, whose moments are those of the law: centred and rescaled they keep their digits."""
        x, weights = self._nodes(self.lower, self.upper)
        kappa = free_cumulants_of(x, positive_integer("n", n), weights)
        kappa[0] = self.mean
        return kappa

    def stieltjes(self, z: Any) -> Any:
        points = numbers_of("z", z, complex_too=True)
        flat = points.reshape(-1)
        for point in flat[(flat.imag == 0) & (flat.real >= self.lower) & (flat.real <= self.upper)]:
            raise InvalidInput(f"G of {self!r} was asked at {point.item()!r}; accepted are points off the support")
        values = np.full(flat.size, np.nan, dtype=flat.dtype)
        beyond = (flat.imag == 0) & (flat.real > self.upper)
        logs = np.log(flat.real[beyond] - self.upper)
        values[beyond] = [self._mean_over_distance(float(log_d), _over_distance) for log_d in logs]
        rest = ~beyond & ~np.isnan(flat)
        found = self._in_logarithm_of(flat[rest].astype(np.complex128))
        values[rest] = found if np.iscomplexobj(flat) else found.real
        return np.reshape(values, points.shape)[()]

    def _in_logarithm_of(self, z: np.ndarray) -> np.ndarray:
        """By quadrature in y = ln(x / lower), however near z lies to the support.

        z - x is z (1 - e^w) with w = y - ln(z / lower): of 1 / (1 - e^w) the pole -1/w is integrated in closed form
        where it lies near the path, and what is left has none within pi of it.
        """
        power, end = 1 - self.alpha, math.log(self.upper / self.lower)
        y, weights = end * (NODES + 1) / 2, WEIGHTS * end / 2
        density = np.exp(power * y)
        # z = 0 and infinity have no logarithm; they are not near.
        pole = np.full(z.size, np.inf, dtype=np.complex128)
        there = (z != 0) & np.isfinite(z)
        pole[there] = _log_ratio(z[there], self.lower)
        outside = np.maximum(-pole.real, pole.real - end)
        near = (outside < NEAR * end) & (np.abs(pole.imag) < HIGH * end)
        total = np.empty(z.size, dtype=np.complex128)
        total[~near] = (density / (z[~near, None] - self.lower * np.exp(y))) @ weights
        z, pole = z[near], pole[near]
        w = y - pole[:, None]
        steep = (np.expm1(power * w) / w) @ weights + np.log(-_log_ratio(z, self.upper)) - np.log(-pole)
        total[near] = ((density * _without_pole(w)) @ weights - np.exp(power * pole) * steep) / z
        return total / self._power_integral(-self.alpha)

    def _mean_over_distance(self, log_d: float, function: OverDistance) -> float:
        """Mean of function(x, B - x) for B = upper + exp(log_d), however near B lies to the end.

        Far from the end it is an integral in ln x. Nearer only the lower half is, and the upper one in ln(B - x), where
        a pole at B is smooth; within NEAREST of the end the density is constant and the integral one of 1/(B - x).
        """
        d, nearest = math.exp(log_d), math.log(NEAREST * self.upper)
        split = self.upper if d > self.upper else max(self.lower, self.upper / 2)
        x, weights = self._nodes(self.lower, split)
        total = np.sum(weights * function(x, self.upper - x + d))
        if split == self.upper:
            return float(total)
        distance, weights = _in_logarithm(math.exp(max(log_d, nearest)), self.upper - split + d)
        near = np.clip(self.upper + d - distance, split, self.upper)
        total += np.sum(weights * self.pdf(near) * function(near, distance))
        if log_d < nearest:
            end = np.array([self.upper]), np.exp([nearest])
            total += self.pdf(self.upper) * (nearest - log_d) * (function(*end) * end[1])[0]
        return float(total)

    def _log_distance(self, t: float) -> float:
        """ln(B - upper) with G(B) = t: at most ln(1/t), and without a lower limit, because G diverges at the end."""

        def off(log_d: float) -> float:
            return math.log(self._mean_over_distance(log_d, _over_distance) / t)

        low = math.log(NEAREST * self.upper) - t / float(self.pdf(self.upper)) - 1
        return float(scipy.optimize.brentq(off, low, -math.log(t), xtol=1e-14, rtol=1e-14, maxiter=2000))

    def _blue(self, t: float) -> tuple[float, float]:
        """R(t) and ln(B(t) - upper). R as the mean of x weighted with 1/(B - x): B - 1/t would lose its digits."""
        log_d = self._log_distance(t)
        weighted = self._mean_over_distance(log_d, lambda x, distance: x / distance)
        return weighted / self._mean_over_distance(log_d, _over_distance), log_d

    def r_transform(self, t: Any) -> Any:
        points = positive(t)
        return np.reshape([self._blue(point)[0] for point in points.reshape(-1)], points.shape)[()]

    def integrated_r(self, t: Any) -> Any:
        r""":math:`t R(t) - \int \rho(x) \ln(t (B - x)) dx`, as for atoms."""
        points = positive(t)
        return np.reshape([self._integrated_r(point) for point in points.reshape(-1)], points.shape)[()]

    def _integrated_r(self, t: float) -> float:
        R, log_d = self._blue(t)

        def logs(x: FloatArray, distance: FloatArray) -> FloatArray:
            # t (B - x) = 1 + t (R - x), and the latter keeps its digits near 1.
            small = t * (R - x)
            near = np.abs(small) < 0.5
            return np.where(near, np.log1p(np.where(near, small, 0.0)), np.log(t * distance))

        return t * R - self._mean_over_distance(log_d, logs)


def _log_ratio(z: np.ndarray, end: float) -> np.ndarray:
    """ln(z / end), with all its digits where z is near."""
    off = (z - end) / end
    near = np.abs(off) < 0.5
    ratio: np.ndarray = np.where(near, scipy.special.log1p(np.where(near, off, 0.0)), np.log(z / end))
    return ratio


def _without_pole(w: np.ndarray) -> np.ndarray:
    """1/w - 1/(e^w - 1), by its series where both are large."""
    small = np.abs(w) < 0.5
    square = w * w
    series = np.polynomial.polynomial.polyval(square, SERIES)
    apart = np.where(small, 1.0, w)
    found: np.ndarray = np.where(small, 0.5 - w * series, 1 / apart - 1 / np.expm1(apart))
    return found


def _in_logarithm(start: float, stop: float) -> tuple[FloatArray, FloatArray]:
    """Gauss-Legendre nodes and weights for an integral from start to stop, in the logarithm."""
    ratio = math.log(stop / start)
    x = start * np.exp(ratio * (NODES + 1) / 2)
    return x, WEIGHTS * x * ratio / 2


def _over_distance(x: FloatArray, distance: FloatArray) -> FloatArray:
    return 1 / distance
