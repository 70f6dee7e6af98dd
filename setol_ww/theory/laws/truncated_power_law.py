"""The power law between two ends."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.integrate
import scipy.optimize

from ...core.arrays import FloatArray
from ...core.checks import positive_integer
from ...core.errors import InvalidInput
from ..transforms import free_cumulants_of, numbers_of
from .base import Continuous, Function, positive, where_known

NODES, WEIGHTS = np.polynomial.legendre.leggauss(200)
OverDistance = Callable[[FloatArray, FloatArray], FloatArray]

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
        return np.reshape([self._stieltjes(point) for point in points.reshape(-1)], points.shape)[()]

    def _stieltjes(self, z: Any) -> Any:
        """By adaptive quadrature in ln x."""
        if np.isnan(z):
            return z
        if np.isreal(z):
            if self.lower <= np.real(z) <= self.upper:
                raise InvalidInput(f"G of {self!r} was asked at {z.item()!r}; accepted are points off the support")
            if np.real(z) > self.upper:
                value = self._mean_over_distance(math.log(float(np.real(z)) - self.upper), _over_distance)
                return value + 0j if np.iscomplexobj(z) else value

        def weighted(y: float) -> complex:
            u = math.exp(y)
            return complex(u ** (1 - self.alpha) / (z - self.lower * u))

        total, end = self._power_integral(-self.alpha), math.log(self.upper / self.lower)
        # Rounding of the integrand, which is as large as 1 over the distance of z from the support, can do no better.
        enough = 1e-13 * total / abs(z - min(max(np.real(z), self.lower), self.upper))
        value = scipy.integrate.quad(weighted, 0.0, end, epsabs=enough, epsrel=1e-11, limit=400, complex_func=True)[0]
        value /= total
        return value if np.iscomplexobj(z) else value.real

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


def _in_logarithm(start: float, stop: float) -> tuple[FloatArray, FloatArray]:
    """Gauss-Legendre nodes and weights for an integral from start to stop, in the logarithm."""
    ratio = math.log(stop / start)
    x = start * np.exp(ratio * (NODES + 1) / 2)
    return x, WEIGHTS * x * ratio / 2


def _over_distance(x: FloatArray, distance: FloatArray) -> FloatArray:
    return 1 / distance
