r"""Closed-form laws of layer spectra: density, Stieltjes transform, R-transform, cumulants and ERG cut.

| law | what it models | has |
|---|---|---|
| `MarchenkoPastur` | W^T W / N of independent entries | everything |
| `InverseMarchenkoPastur` | an ideal layer in the paper's fifth model | everything; R up to kappa/2 |
| `TruncatedPowerLaw` | a power law between two ends | everything but a closed R (solved numerically) |
| `FreeCauchy` | alpha = 2 with symmetric noise | no mean, no cumulants, no ERG cut |
| `LevyWigner` | alpha in (1, 2) | R and its integral only |
| `MultiplicativeWishart` | products of random matrices | R, its integral and cumulants, in the corrected form |

A method that does not exist for a law raises `InvalidInput` with the reason. Numbers of equations and tables are those
of arXiv 2507.17912; where its formula is wrong (docs/errata.md) the corrected one stands here.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.integrate
import scipy.optimize

from .contracts import FloatArray, InvalidInput, positive_integer
from .transforms import free_cumulants

NODES, WEIGHTS = np.polynomial.legendre.leggauss(200)


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


class _Continuous(Law, abc.ABC):
    """A law on an interval, integrated in a variable that removes the singularities of its ends."""

    @abc.abstractmethod
    def _integral(self, function: Callable[[FloatArray], FloatArray], start: float, stop: float) -> float:
        """Integral of function times density between two points of the support."""

    def cdf(self, x: Any) -> Any:
        lower, upper = self.support
        points = np.clip(np.asarray(x, dtype=float), lower, upper)
        values = [self._integral(np.ones_like, lower, float(point)) for point in points.reshape(-1)]
        return np.reshape(values, points.shape)[()]

    @cached_property
    def erg_lambda_min(self) -> float:
        lower, upper = self.support

        def left(start: float) -> float:
            return self._integral(lambda x: np.log(x / self.mean), start, upper)

        smallest = max(lower, 1e-12 * upper)
        return float(scipy.optimize.brentq(left, smallest, self.mean, xtol=1e-14, rtol=1e-13)) / self.mean

    @cached_property
    def erg_fraction(self) -> float:
        return 1 - float(self.cdf(self.erg_lambda_min * self.mean))


class _SoftEdges(_Continuous):
    """Density sqrt((b - x)(x - a)) times a smooth factor; x = a + (b - a) sin^2 theta."""

    @abc.abstractmethod
    def _factor(self, x: FloatArray) -> FloatArray:
        """The smooth factor."""

    def pdf(self, x: Any) -> Any:
        lower, upper = self.support
        points = np.asarray(x, dtype=float)
        inside = (points > lower) & (points < upper)
        safe = np.where(inside, points, (lower + upper) / 2)
        return np.where(inside, self._factor(safe) * np.sqrt((upper - safe) * (safe - lower)), 0.0)[()]

    def _integral(self, function: Callable[[FloatArray], FloatArray], start: float, stop: float) -> float:
        if stop <= start:
            return 0.0
        lower, upper = self.support
        first, last = (math.asin(math.sqrt(min(1.0, (x - lower) / (upper - lower)))) for x in (start, stop))
        theta = _spread(first, last)
        x = lower + (upper - lower) * np.sin(theta) ** 2
        root_times_slope = 2 * (upper - lower) ** 2 * (np.sin(theta) * np.cos(theta)) ** 2
        return float(np.sum(WEIGHTS * function(x) * self._factor(x) * root_times_slope) * (last - first) / 2)

    def _root(self, z: Any) -> Any:
        """sqrt((z - a)(z - b)) with the branch that grows like z."""
        lower, upper = self.support
        points = np.asarray(z)
        if np.iscomplexobj(points):
            return np.sqrt(points - lower) * np.sqrt(points - upper)
        if ((points > lower) & (points < upper)).any():
            raise InvalidInput(
                f"G of {self!r} was asked inside the support; accepted are real points outside or complex"
            )
        return np.sign(points - upper + (points == upper)) * np.sqrt((points - lower) * (points - upper))


@dataclass(frozen=True)
class MarchenkoPastur(_SoftEdges):
    r"""Eigenvalues of W^T W / N for independent entries of variance sigma2 and q = M/N <= 1.

    :math:`\rho(x) = \sqrt{(b-x)(x-a)} / (2 \pi q \sigma^2 x)`, :math:`R(t) = \sigma^2/(1 - q \sigma^2 t)`,
    :math:`\kappa_n = q^{n-1} \sigma^{2n}`.

    Examples
    --------
    >>> law = MarchenkoPastur(1.0)
    >>> round(law.erg_fraction, 4), round(law.erg_lambda_min, 4), law.free_cumulants(3).tolist()
    (0.7311, 0.1812, [1.0, 1.0, 1.0])
    """

    q: float
    sigma2: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.q <= 1 or not self.sigma2 > 0:
            raise InvalidInput(f"{self!r} was asked; accepted are 0 < q <= 1 and sigma2 > 0")

    @property
    def support(self) -> tuple[float, float]:
        return self.sigma2 * (1 - math.sqrt(self.q)) ** 2, self.sigma2 * (1 + math.sqrt(self.q)) ** 2

    @property
    def mean(self) -> float:
        return self.sigma2

    def _factor(self, x: FloatArray) -> FloatArray:
        return 1 / (2 * np.pi * self.q * self.sigma2 * x)

    def stieltjes(self, z: Any) -> Any:
        points = np.asarray(z)
        q, sigma2 = self.q, self.sigma2
        return ((points + sigma2 * (q - 1) - self._root(points)) / (2 * q * sigma2 * points))[()]

    @property
    def r_limit(self) -> float:
        """G at the upper edge: R of the law is the analytic function below it."""
        return 1 / (self.sigma2 * math.sqrt(self.q) * (1 + math.sqrt(self.q)))

    def r_transform(self, t: Any) -> Any:
        """sigma2 / (1 - q sigma2 t) up to `r_limit`, beyond it the saturated upper edge - 1/t."""
        points = _positive(t)
        analytic = self.sigma2 / (1 - self.q * self.sigma2 * np.minimum(points, self.r_limit))
        return np.where(points <= self.r_limit, analytic, self.support[1] - 1 / points)[()]

    def integrated_r(self, t: Any) -> Any:
        points = _positive(t)
        inside = np.minimum(points, self.r_limit)
        beyond = self.support[1] * (points - inside) - np.log(points / inside)
        return (-np.log1p(-self.q * self.sigma2 * inside) / self.q + beyond)[()]

    def free_cumulants(self, n: int) -> FloatArray:
        order = np.arange(1, positive_integer("n", n) + 1)
        return self.q ** (order - 1.0) * self.sigma2**order


@dataclass(frozen=True)
class InverseMarchenkoPastur(_SoftEdges):
    r"""Inverses of Marchenko-Pastur eigenvalues, scaled to mean 1; kappa = (Q - 1)/2 of the inverted law.

    :math:`\rho(x) = \kappa \sqrt{(b-x)(x-a)} / (\pi x^2)`, :math:`R(t) = 2/(1 + s)`,
    :math:`\int_0^t R = 2\kappa[(1-s) - \ln(2/(1+s))]` with :math:`s = \sqrt{1 - 2t/\kappa}` (Eq. 151, corrected),
    :math:`\kappa_n = C_{n-1} / (2\kappa)^{n-1}` with the Catalan numbers.

    Examples
    --------
    >>> law = InverseMarchenkoPastur(0.5)
    >>> round(law.erg_fraction, 4), round(law.erg_lambda_min, 4)
    (0.7112, 0.3669)
    """

    kappa: float

    def __post_init__(self) -> None:
        if not self.kappa > 0:
            raise InvalidInput(f"{self!r} was asked; accepted is kappa > 0")

    @property
    def support(self) -> tuple[float, float]:
        root = math.sqrt(2 * self.kappa + 1)
        return (self.kappa + 1 - root) / self.kappa, (self.kappa + 1 + root) / self.kappa

    @property
    def mean(self) -> float:
        return 1.0

    def _factor(self, x: FloatArray) -> FloatArray:
        return self.kappa / (np.pi * x * x)

    def stieltjes(self, z: Any) -> Any:
        points = np.asarray(z)
        return ((points * (self.kappa + 1) - self.kappa - self.kappa * self._root(points)) / points**2)[()]

    @property
    def r_limit(self) -> float:
        """G at the upper edge, always below kappa/2: R of the law is the closed form below it."""
        return float(self.stieltjes(self.support[1]))

    def r_transform(self, t: Any) -> Any:
        """Closed form for t <= kappa/2; the law's own R is that up to `r_limit`."""
        return (2 / (1 + self._s(t)))[()]

    def integrated_r(self, t: Any) -> Any:
        s = self._s(t)
        return (2 * self.kappa * ((1 - s) - np.log(2 / (1 + s))))[()]

    def formal_integrated_r(self, t: Any) -> Any:
        r"""Real part of the closed form continued past its branch point, t > kappa/2: not the law's integral.

        :math:`2\kappa(1 - \ln 2) + \kappa \ln(2t/\kappa)`; differences of it are the paper's Eq. 152.
        """
        points = _positive(t)
        if (points < self.kappa / 2).any():
            raise InvalidInput(f"the formal continuation at t={t!r} was asked; accepted is t >= kappa/2")
        return (2 * self.kappa * (1 - math.log(2)) + self.kappa * np.log(2 * points / self.kappa))[()]

    def _s(self, t: Any) -> FloatArray:
        points = _positive(t)
        if (points > self.kappa / 2).any():
            raise InvalidInput(f"R of {self!r} at t={t!r} was asked; accepted is t <= kappa/2, its branch point")
        return np.sqrt(1 - 2 * points / self.kappa)

    def free_cumulants(self, n: int) -> FloatArray:
        order = range(positive_integer("n", n))
        return np.array([math.comb(2 * k, k) / (k + 1) / (2 * self.kappa) ** k for k in order])


@dataclass(frozen=True)
class TruncatedPowerLaw(_Continuous):
    r"""Density proportional to :math:`x^{-\alpha}` on [lower, upper], any real alpha.

    Moments are closed (logarithms where an exponent vanishes, as in A.7 for alpha = 2, 3, 4); the Stieltjes transform
    is quadrature and R solves G(B) = t above the upper end, which exists for every t > 0 because G diverges there.

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
        if not 0 < self.lower < self.upper:
            raise InvalidInput(f"{self!r} was asked; accepted are 0 < lower < upper")

    @property
    def support(self) -> tuple[float, float]:
        return self.lower, self.upper

    def moment(self, k: float) -> float:
        """Mean of x^k."""
        return self._power_integral(k - self.alpha) / self._power_integral(-self.alpha)

    @property
    def mean(self) -> float:
        return self.moment(1)

    def _power_integral(self, power: float, stop: float | None = None) -> float:
        """Integral of x^power from lower to stop."""
        stop = self.upper if stop is None else stop
        ratio = math.log(stop / self.lower)
        exponent = (power + 1) * ratio
        # expm1(y)/y is 1 at y = 0: the logarithmic case without a branch.
        return self.lower ** (power + 1) * ratio * (math.expm1(exponent) / exponent if exponent else 1.0)

    def pdf(self, x: Any) -> Any:
        points = np.asarray(x, dtype=float)
        inside = (points >= self.lower) & (points <= self.upper)
        return np.where(inside, np.where(inside, points, 1.0) ** -self.alpha / self._power_integral(-self.alpha), 0.0)[
            ()
        ]

    def cdf(self, x: Any) -> Any:
        points = np.clip(np.asarray(x, dtype=float), self.lower, self.upper)
        total = self._power_integral(-self.alpha)
        return np.reshape([self._power_integral(-self.alpha, p) / total for p in points.reshape(-1)], points.shape)[()]

    def _integral(self, function: Callable[[FloatArray], FloatArray], start: float, stop: float) -> float:
        """In ln x, where the density is an exponential."""
        first, last = math.log(start), math.log(stop)
        x = np.exp(_spread(first, last))
        return float(np.sum(WEIGHTS * function(x) * self.pdf(x) * x) * (last - first) / 2)

    def stieltjes(self, z: Any) -> Any:
        points = np.asarray(z)
        return np.reshape([self._stieltjes(point) for point in points.reshape(-1)], points.shape)[()]

    def _stieltjes(self, z: Any) -> Any:
        """By adaptive quadrature in ln x, real and imaginary part apart."""
        if np.isreal(z):
            if self.lower <= np.real(z) <= self.upper:
                raise InvalidInput(f"G of {self!r} was asked at {z!r}; accepted are points off the support")
            if np.real(z) > self.upper:
                return self._mean_over_distance(math.log(float(np.real(z)) - self.upper), _over_distance)
        ends = math.log(self.lower), math.log(self.upper)
        total = self._power_integral(-self.alpha)

        def weighted(y: float) -> complex:
            return complex(math.exp(y * (1 - self.alpha)) / (z - math.exp(y)) / total)

        value = scipy.integrate.quad(weighted, *ends, epsabs=0, epsrel=1e-10, limit=400, complex_func=True)[0]
        return value if np.iscomplexobj(z) else value.real

    def _mean_over_distance(self, log_d: float, function: Callable[[FloatArray, FloatArray], FloatArray]) -> float:
        """Mean of function(x, B - x) for B = upper + exp(log_d), however near B lies to the end.

        The lower half is integrated in ln x, the upper in ln(B - x), where a pole at B is smooth. Nearer to the end
        than 1e-14 of it the density is constant and the integral a difference of logarithms.
        """
        d, split, nearest = math.exp(log_d), max(self.lower, self.upper / 2), math.log(1e-14 * self.upper)
        x = np.exp(_spread(math.log(self.lower), math.log(split)))
        total = np.sum(WEIGHTS * self.pdf(x) * x * function(x, self.upper - x + d)) * math.log(split / self.lower) / 2
        first, last = max(log_d, nearest), math.log(self.upper - split + d)
        distance = np.exp(_spread(first, last))
        near = np.clip(self.upper + d - distance, split, self.upper)
        total += np.sum(WEIGHTS * self.pdf(near) * distance * function(near, distance)) * (last - first) / 2
        if log_d < nearest:
            end = np.array([self.upper]), np.exp([nearest])
            total += self.pdf(self.upper) * (nearest - log_d) * (function(*end) * end[1])[0]
        return float(total)

    def _log_distance(self, t: float) -> float:
        """ln(B - upper) with G(B) = t: at most ln(1/t), and without a lower limit, because G diverges at the end."""

        def off(log_d: float) -> float:
            return math.log(self._mean_over_distance(log_d, _over_distance) / t)

        low = math.log(1e-14 * self.upper) - t / float(self.pdf(self.upper)) - 1
        return float(scipy.optimize.brentq(off, low, -math.log(t), xtol=1e-13, rtol=1e-14))

    def r_transform(self, t: Any) -> Any:
        """As the mean of x weighted with 1/(B - x): B - 1/t would lose the digits of a small t."""
        points = _positive(t)

        def one(t: float) -> float:
            log_d = self._log_distance(t)
            weighted = self._mean_over_distance(log_d, lambda x, distance: x / distance)
            return weighted / self._mean_over_distance(log_d, _over_distance)

        return np.reshape([one(point) for point in points.reshape(-1)], points.shape)[()]

    def integrated_r(self, t: Any) -> Any:
        points = _positive(t)

        def one(t: float) -> float:
            log_d = self._log_distance(t)
            logs = self._mean_over_distance(log_d, lambda x, distance: np.log(t * distance))
            return t * (self.upper + math.exp(log_d)) - 1 - logs

        return np.reshape([one(point) for point in points.reshape(-1)], points.shape)[()]

    def free_cumulants(self, n: int) -> FloatArray:
        return free_cumulants([self.moment(k) for k in range(1, positive_integer("n", n) + 1)])


NOT_POSITIVE = "the law is symmetric about its centre and reaches below zero: it has no logarithms of eigenvalues"


@dataclass(frozen=True)
class FreeCauchy(Law):
    r"""Cauchy law of centre a and width gamma: :math:`R = a - i\gamma` on the physical branch (Eq. 145, corrected).

    Examples
    --------
    >>> complex(FreeCauchy(1.0, 0.5).r_transform(2.0))
    (1-0.5j)
    """

    a: float
    gamma: float
    lacks = {  # noqa: RUF012 read only
        "mean": "a Cauchy law has no mean: a is its centre",
        "free_cumulants": "a Cauchy law has no moments and so no cumulants",
        "erg_lambda_min": NOT_POSITIVE,
        "erg_fraction": NOT_POSITIVE,
    }

    def __post_init__(self) -> None:
        if not self.gamma > 0:
            raise InvalidInput(f"{self!r} was asked; accepted is gamma > 0")

    @property
    def support(self) -> tuple[float, float]:
        return -math.inf, math.inf

    def pdf(self, x: Any) -> Any:
        return (self.gamma / np.pi / ((np.asarray(x, dtype=float) - self.a) ** 2 + self.gamma**2))[()]

    def cdf(self, x: Any) -> Any:
        return (0.5 + np.arctan((np.asarray(x, dtype=float) - self.a) / self.gamma) / np.pi)[()]

    def stieltjes(self, z: Any) -> Any:
        """1/(z - a + i gamma) for Im z > 0."""
        points = np.asarray(z, dtype=complex)
        if not (points.imag > 0).all():
            raise InvalidInput(f"G of {self!r} at z={z!r} was asked; accepted are z with a positive imaginary part")
        return (1 / (points - self.a + 1j * self.gamma))[()]

    def r_transform(self, t: Any) -> Any:
        """The same complex number for every t."""
        return np.full(np.shape(t), complex(self.a, -self.gamma))[()]

    def integrated_r(self, t: Any) -> Any:
        return (np.asarray(t) * complex(self.a, -self.gamma))[()]


@dataclass(frozen=True)
class LevyWigner(Law):
    r"""Free stable law of index :math:`\alpha_l = \alpha - 1`: :math:`R(t) = \alpha_l t^{\alpha_l - 1}` (Table 8).

    For alpha in (1, 2), where R is singular at 0 and its integral is :math:`t^{\alpha - 1}`. Matrices of independent
    stable entries have the same tail index and another law.

    Examples
    --------
    >>> float(LevyWigner(1.5).integrated_r(4.0))
    2.0
    """

    alpha: float
    lacks = {  # noqa: RUF012 read only
        "mean": "its R-transform is singular at 0: there is no mean",
        "free_cumulants": "its R-transform is singular at 0: there are no cumulants",
        "pdf": "its density has no closed form",
        "cdf": "its distribution function has no closed form",
        "stieltjes": "it has no closed form",
        "support": "only its R-transform is modelled",
        "erg_lambda_min": "only its R-transform is modelled",
        "erg_fraction": "only its R-transform is modelled",
    }

    def __post_init__(self) -> None:
        if not 1 < self.alpha < 2:
            raise InvalidInput(f"{self!r} was asked; accepted is 1 < alpha < 2")

    def r_transform(self, t: Any) -> Any:
        return ((self.alpha - 1) * _positive(t) ** (self.alpha - 2))[()]

    def integrated_r(self, t: Any) -> Any:
        return (_positive(t) ** (self.alpha - 1))[()]


@dataclass(frozen=True)
class MultiplicativeWishart(Law):
    r"""Table 8's multiplicative Wishart with the numerator that makes it an R-transform.

    :math:`R(t) = \epsilon\phi t / (2 - \epsilon\phi^2 t^2)`: odd, so the law is symmetric with mean 0. As printed, with
    t^2 in the numerator, the variance is 0 and the third cumulant is not, which no law has (errata E29).

    Examples
    --------
    >>> MultiplicativeWishart(1.0, 2.0).free_cumulants(4).tolist()
    [0.0, 1.0, 0.0, 2.0]
    """

    epsilon: float
    phi: float
    lacks = {  # noqa: RUF012 read only
        "pdf": "its density has no closed form here",
        "cdf": "its distribution function has no closed form here",
        "stieltjes": "it has no closed form here",
        "support": "only its R-transform is modelled",
        "erg_lambda_min": NOT_POSITIVE,
        "erg_fraction": NOT_POSITIVE,
    }

    def __post_init__(self) -> None:
        if not (self.epsilon > 0 and self.phi > 0):
            raise InvalidInput(f"{self!r} was asked; accepted are epsilon > 0 and phi > 0")

    @property
    def mean(self) -> float:
        return 0.0

    @property
    def r_limit(self) -> float:
        """Pole of R."""
        return math.sqrt(2 / self.epsilon) / self.phi

    def _inside(self, t: Any) -> FloatArray:
        points = _positive(t)
        if (points >= self.r_limit).any():
            raise InvalidInput(f"R of {self!r} at t={t!r} was asked; accepted is t below its pole {self.r_limit:g}")
        return points

    def r_transform(self, t: Any) -> Any:
        points = self._inside(t)
        return (self.epsilon * self.phi * points / (2 - self.epsilon * (self.phi * points) ** 2))[()]

    def integrated_r(self, t: Any) -> Any:
        points = self._inside(t)
        return (-np.log1p(-self.epsilon * (self.phi * points) ** 2 / 2) / (2 * self.phi))[()]

    def free_cumulants(self, n: int) -> FloatArray:
        kappa = np.zeros(positive_integer("n", n))
        kappa[1::2] = [
            (self.epsilon * self.phi / 2) * (self.epsilon * self.phi**2 / 2) ** k for k in range(kappa[1::2].size)
        ]
        return kappa


def _over_distance(x: FloatArray, distance: FloatArray) -> FloatArray:
    return 1 / distance


def _spread(first: float, last: float) -> FloatArray:
    """Gauss-Legendre nodes between two points."""
    return first + (last - first) * (NODES + 1) / 2


def _positive(t: Any) -> FloatArray:
    points = np.asarray(t, dtype=np.float64)
    if not (np.isfinite(points).all() and (points > 0).all()):
        raise InvalidInput(f"t={t!r} was asked; accepted are positive finite numbers")
    return points
