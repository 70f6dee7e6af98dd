"""What every law answers or refuses, and the integrals over laws with a density."""

from __future__ import annotations

import abc
import itertools
import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import scipy.optimize

from ...core.arrays import FloatArray
from ...core.checks import positive_integer
from ...core.errors import InvalidInput
from ..transforms import moments_from_cumulants, numbers_of

NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)
Function = Callable[[FloatArray], FloatArray]

NOT_POSITIVE = "the law is symmetric about its centre and reaches below zero: it has no logarithms of eigenvalues"


class Law:
    """Base of the laws: every method that a law lacks raises with the reason its class gives."""

    #: Method name -> why this law has none.
    lacks: dict[str, str] = {}  # noqa: RUF012 read only

    def _refuse(self, method: str) -> Any:
        reason = self.lacks.get(method, "it is not defined for this law")
        raise InvalidInput(f"{method} of {self!r} was asked; {reason}")

    @property
    def support(self) -> tuple[float, float]:
        """Smallest and largest point of the law."""
        return self._refuse("support")

    @property
    def mean(self) -> float:
        """First moment."""
        return self._refuse("mean")

    def moment(self, k: int) -> float:
        """Mean of x^k for a whole k >= 0, from the free cumulants."""
        if "moment" in self.lacks:
            return self._refuse("moment")
        number = positive_integer("k", k, least=0)
        return float(moments_from_cumulants(self.free_cumulants(number))[-1]) if number else 1.0

    def pdf(self, x: Any) -> Any:
        """Density, 0 outside the support."""
        return self._refuse("pdf")

    def cdf(self, x: Any) -> Any:
        """Distribution function."""
        return self._refuse("cdf")

    def stieltjes(self, z: Any) -> Any:
        """Stieltjes transform, G(z) ~ 1/z at infinity; real z off the support or complex z."""
        return self._refuse("stieltjes")

    def r_transform(self, t: Any) -> Any:
        """R-transform, R(t) = B(t) - 1/t."""
        return self._refuse("r_transform")

    def integrated_r(self, t: Any) -> Any:
        """Integral of R from 0 to t."""
        return self._refuse("integrated_r")

    def free_cumulants(self, n: int) -> FloatArray:
        """kappa_1 ... kappa_n."""
        return self._refuse("free_cumulants")

    @property
    def erg_lambda_min(self) -> float:
        """Start of the ERG tail on the unit-mean scale."""
        return self._refuse("erg_lambda_min")

    @property
    def erg_fraction(self) -> float:
        """Share of eigenvalues in the ERG tail."""
        return self._refuse("erg_fraction")


class Continuous(Law, abc.ABC):
    """A law on an interval, integrated in a variable that removes the singularities of its ends."""

    @abc.abstractmethod
    def _integral(self, function: Function, start: float, stop: float) -> float:
        """Integral of function times density between two points of the support."""

    def cdf(self, x: Any) -> Any:
        lower, upper = self.support
        points = np.clip(numbers_of("x", x), lower, upper)
        values = [self._integral(np.ones_like, lower, float(point)) for point in points.reshape(-1)]
        return where_known(points, np.clip(np.reshape(values, points.shape), 0.0, 1.0))

    @cached_property
    def erg_lambda_min(self) -> float:
        lower, upper = self.support

        def left(start: float) -> float:
            """Integral of ln(x / mean) over the tail from start * mean on."""
            return self._integral(lambda x: np.log(x / self.mean), start * self.mean, upper)

        smallest = max(lower, 1e-12 * upper) / self.mean
        if left(smallest) >= 0:  # a law so narrow that its logarithm is lost in rounding
            return smallest
        return float(scipy.optimize.brentq(left, smallest, 1.0, xtol=1e-14 * smallest, rtol=1e-13))

    @cached_property
    def erg_fraction(self) -> float:
        lower, upper = self.support
        return min(1.0, self._integral(np.ones_like, max(lower, self.erg_lambda_min * self.mean), upper))


class SoftEdges(Continuous):
    """Density sqrt((b - x)(x - a)) times a smooth factor; x = a + (b - a) sin^2 theta."""

    @abc.abstractmethod
    def _factor(self, x: FloatArray) -> FloatArray:
        """The smooth factor."""

    @abc.abstractmethod
    def _inner_r(self, t: FloatArray) -> FloatArray:
        """R below `r_limit`."""

    @abc.abstractmethod
    def _inner_integrated_r(self, t: FloatArray) -> FloatArray:
        """Integral of R below `r_limit`."""

    @property
    def r_limit(self) -> float:
        """G at the upper edge: the analytic R is that of the law for t up to here."""
        return float(self.stieltjes(self.support[1]))

    def saturated_r(self, t: Any) -> Any:
        """R of a large spectrum of this law at any t > 0: past `r_limit` it is upper edge - 1/t."""
        points = positive(t)
        inside = self._inner_r(np.minimum(points, self.r_limit))
        return np.where(points <= self.r_limit, inside, self.support[1] - 1 / points)[()]

    def saturated_integrated_r(self, t: Any) -> Any:
        """Integral of `saturated_r` from 0 to t."""
        points = positive(t)
        inside = np.minimum(points, self.r_limit)
        beyond = self.support[1] * (points - inside) - np.log(points / inside)
        return (self._inner_integrated_r(inside) + beyond)[()]

    def pdf(self, x: Any) -> Any:
        lower, upper = self.support
        points = numbers_of("x", x)
        inside = (points > lower) & (points < upper)
        safe = np.where(inside, points, (lower + upper) / 2)
        density = np.where(inside, self._factor(safe) * np.sqrt((upper - safe) * (safe - lower)), 0.0)
        return where_known(points, density)

    def _integral(self, function: Function, start: float, stop: float) -> float:
        if stop <= start:
            return 0.0
        lower, upper = self.support
        first, last = (math.asin(math.sqrt(min(1.0, (x - lower) / (upper - lower)))) for x in (start, stop))
        # The factor has a pole at x = 0, as far from theta = 0 as sqrt(lower / upper): pieces that grow from there.
        growing = math.sqrt(lower / upper) * 4.0 ** np.arange(40) if lower > 0 else np.empty(0)
        corners = [first, *growing[(growing > first) & (growing < last)], last]
        return sum(self._piece(function, *ends) for ends in itertools.pairwise(corners))

    def _piece(self, function: Function, first: float, last: float) -> float:
        lower, upper = self.support
        theta = spread(first, last)
        x = lower + (upper - lower) * np.sin(theta) ** 2
        root_times_slope = 2 * (upper - lower) ** 2 * (np.sin(theta) * np.cos(theta)) ** 2
        return float(np.sum(WEIGHTS * function(x) * self._factor(x) * root_times_slope) * (last - first) / 2)

    def _root(self, points: np.ndarray) -> np.ndarray:
        """sqrt((z - a)(z - b)) with the branch that grows like z."""
        lower, upper = self.support
        if np.iscomplexobj(points):
            return np.sqrt(points - lower) * np.sqrt(points - upper)
        if ((points > lower) & (points < upper) | (points == lower) & (lower == 0)).any():
            raise InvalidInput(
                f"G of {self!r} was asked inside the support; accepted are real points outside or complex"
            )
        return np.sign(points - upper + (points == upper)) * np.sqrt((points - lower) * (points - upper))


def spread(first: float, last: float) -> FloatArray:
    """Gauss-Legendre nodes between two points."""
    return first + (last - first) * (NODES + 1) / 2


def where_known(points: FloatArray, values: FloatArray) -> Any:
    """Values at points, NaN at a point that is NaN; a number for a number."""
    return np.where(np.isnan(points), np.nan, values)[()]


def positive(t: Any) -> FloatArray:
    """`t` as an array, when it is positive and finite."""
    points: FloatArray = numbers_of("t", t)
    if not (np.isfinite(points).all() and (points > 0).all()):
        raise InvalidInput(f"t={t!r} was asked; accepted are positive finite numbers")
    return points
