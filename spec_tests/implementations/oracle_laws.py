"""The laws of `fixtures.laws` behind the protocol: closed forms in mpmath, the rest by quadrature and bisection."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
from scipy.optimize import brentq

from fixtures import free_probability, laws


class OracleLaw:
    """A law with a density, everything by quadrature; the subclasses put closed forms in their place."""

    def __init__(self, *parameters: float) -> None:
        self.parameters = parameters
        if not self.accepted():
            raise ValueError(f"the parameters {parameters} are outside the range of {type(self).__name__}")

    def accepted(self) -> bool:
        return True

    def mean_of(self, function: Any, start: float | None = None) -> Any:
        return laws.expectation(type(self).__name__, self.parameters, function, start)

    @property
    def support(self) -> tuple[float, float]:
        return laws.law_ends(type(self).__name__, self.parameters)

    @property
    def mean(self) -> float:
        return self.moment(1)

    def moment(self, k: int) -> float:
        return self.mean_of(lambda x: x**k)

    def cdf(self, x: float) -> float:
        return 1 - self.mean_of(lambda x: 1.0, x)

    def free_cumulants(self, n: int) -> list[float]:
        moments = [self.moment(k) for k in range(1, n + 1)]
        return [float(value) for value in free_probability.free_cumulants_by_enumeration(moments)]

    @property
    def erg_lambda_min(self) -> float:
        mean, lower = self.mean, self.support[0]
        smallest = max(lower / mean, 1e-9)
        return brentq(lambda x: self.mean_of(lambda y: math.log(y / mean), x * mean), smallest, 1.0, xtol=1e-13)

    @property
    def erg_fraction(self) -> float:
        return self.mean_of(lambda x: 1.0, self.erg_lambda_min * self.mean)


class MarchenkoPastur(OracleLaw):
    def __init__(self, q: float, sigma2: float = 1.0) -> None:
        self.q, self.sigma2 = q, sigma2
        super().__init__(q, sigma2)

    def accepted(self) -> bool:
        return 0 < self.q <= 1 and self.sigma2 > 0

    def moment(self, k: int) -> float:
        return float(laws.marchenko_pastur_moment(k, self.q)) * self.sigma2**k

    def free_cumulants(self, n: int) -> list[float]:
        exact = [laws.marchenko_pastur_moment(k, self.q) * Fraction(self.sigma2) ** k for k in range(1, n + 1)]
        return [float(value) for value in free_probability.free_cumulants_by_enumeration(exact)]

    def pdf(self, x: float) -> float:
        return float(laws.marchenko_pastur_density(x, self.q, self.sigma2))

    def stieltjes(self, z: complex) -> complex:
        with mpmath.workdps(40):
            value = complex(laws.marchenko_pastur_stieltjes(mpmath.mpmathify(z) / self.sigma2, self.q)) / self.sigma2
        return value if np.iscomplexobj(z) else value.real

    def _edge(self) -> float:
        return 1 / (math.sqrt(self.q) * (1 + math.sqrt(self.q)))

    def r_transform(self, t: float) -> float:
        t, upper = t * self.sigma2, self.support[1]
        return self.sigma2 * float(laws.marchenko_pastur_r(t, self.q)) if t < self._edge() else upper - self.sigma2 / t

    def integrated_r(self, t: float) -> float:
        t, edge = t * self.sigma2, self._edge()
        inside = float(laws.marchenko_pastur_integrated_r(min(t, edge), self.q))
        return inside + (self.support[1] / self.sigma2 * (t - edge) - math.log(t / edge) if t > edge else 0.0)


class InverseMarchenkoPastur(OracleLaw):
    def __init__(self, kappa: float) -> None:
        self.kappa = kappa
        super().__init__(kappa)

    def accepted(self) -> bool:
        return self.kappa > 0

    def moment(self, k: int) -> float:
        return float(self._moment(k))

    def _moment(self, k: int) -> Any:
        """In thirty digits: cumulants of a narrow law lose half of them."""
        with mpmath.workdps(30):
            upper = (mpmath.mpf(self.kappa) + 1 + mpmath.sqrt(2 * mpmath.mpf(self.kappa) + 1)) / self.kappa
            z = 2 * upper
            return laws.stieltjes_by_quadrature(
                lambda x: x**k * (z - x) * laws.inverse_marchenko_pastur_density(x, self.kappa), 1 / upper, upper, z, 30
            )

    def free_cumulants(self, n: int) -> list[float]:
        with mpmath.workdps(30):
            moments = [self._moment(k) for k in range(1, n + 1)]
            return [float(value) for value in free_probability.free_cumulants_by_enumeration(moments)]

    def pdf(self, x: float) -> float:
        return float(laws.inverse_marchenko_pastur_density(x, self.kappa))

    def stieltjes(self, z: complex) -> complex:
        with mpmath.workdps(40):
            value = complex(laws.inverse_marchenko_pastur_stieltjes(z, self.kappa))
        return value if np.iscomplexobj(z) else value.real

    def r_transform(self, t: float) -> float:
        self._check(t)
        return float(laws.inverse_marchenko_pastur_r(t, self.kappa))

    def integrated_r(self, t: float) -> float:
        self._check(t)
        return float(laws.inverse_marchenko_pastur_integrated_r(t, self.kappa))

    def _check(self, t: float) -> None:
        if t > self.kappa / 2:
            raise ValueError("past the branch point kappa/2 the closed form is not real")

    def formal_integrated_r(self, t: float) -> float:
        with mpmath.workdps(30):
            s = mpmath.sqrt(mpmath.mpc(1 - 2 * mpmath.mpf(t) / self.kappa))
            return float(mpmath.re(2 * self.kappa * ((1 - s) - mpmath.log(2 / (1 + s)))))


class TruncatedPowerLaw(OracleLaw):
    def __init__(self, alpha: float, lower: float, upper: float) -> None:
        self.alpha, self.lower, self.upper = alpha, lower, upper
        super().__init__(alpha, lower, upper)

    def accepted(self) -> bool:
        return 0 < self.lower < self.upper

    def moment(self, k: int) -> float:
        return float(laws.truncated_power_law_moment(k, self.alpha, self.lower, self.upper))

    def pdf(self, x: float) -> float:
        return float(laws.truncated_power_law_density(x, self.alpha, self.lower, self.upper))

    def stieltjes(self, z: complex) -> complex:
        if np.isreal(z) and np.real(z) > self.upper:
            value = self._over_distance(math.log(float(np.real(z)) - self.upper), lambda x, d: 1 / d)
            return value + 0j if np.iscomplexobj(z) else value
        value = self.mean_of(lambda x: 1 / (z - x))
        return complex(value) if np.iscomplexobj(z) else float(np.real(value))

    def _over_distance(self, log_d: float, function: Any) -> float:
        """Mean of function(x, B - x) for B = upper + exp(log_d): in ln x, or near the end in ln(B - x)."""
        d, total = math.exp(log_d), float(laws._power_integral(-self.alpha, self.lower, self.upper))
        middle = self.upper if d > self.upper / 10 else max(self.lower, self.upper / 2)

        def in_x(y: float) -> float:
            x = math.exp(y)
            return math.exp(y * (1 - self.alpha)) / total * function(x, self.upper - x + d)

        def in_distance(y: float) -> float:
            x = min(max(self.upper + d - math.exp(y), middle), self.upper)
            return x**-self.alpha / total * math.exp(y) * function(x, math.exp(y))

        value = 0.0
        if middle > self.lower:
            value += laws._quadrature(in_x, np.linspace(math.log(self.lower), math.log(middle), 5)).real
        if middle < self.upper:
            value += laws._quadrature(in_distance, np.linspace(log_d, math.log(self.upper - middle + d), 9)).real
        return value

    def _log_distance(self, t: float) -> float:
        """ln(B - upper), or the logarithm of a distance that is rounding where B is nearer still."""
        nearest = math.log(1e-14 * self.upper)

        def off(y: float) -> float:
            return self._over_distance(y, lambda x, d: 1 / d) / t - 1

        return brentq(off, nearest, -math.log(t), xtol=1e-13, rtol=1e-14) if off(nearest) > 0 else nearest

    def r_transform(self, t: float) -> float:
        y = self._log_distance(t)
        over = self._over_distance(y, lambda x, d: 1 / d)
        return self._over_distance(y, lambda x, d: x / d) / t if over > t * (1 - 1e-9) else self.upper - 1 / t

    def integrated_r(self, t: float) -> float:
        y = self._log_distance(t)
        B = self.upper + math.exp(y)
        return t * B - 1 - self._over_distance(y, lambda x, d: math.log(t * d))


class _OnlyR:
    def __getattr__(self, name: str) -> Any:
        raise ValueError(f"{type(self).__name__} has no {name}: it is given by its transforms alone")


class FreeCauchy(_OnlyR):
    def __init__(self, a: float, gamma: float) -> None:
        if gamma <= 0:
            raise ValueError("the width has to be positive")
        self.a, self.gamma = a, gamma

    def pdf(self, x: float) -> float:
        return self.gamma / math.pi / ((x - self.a) ** 2 + self.gamma**2)

    def cdf(self, x: float) -> float:
        return 0.5 + math.atan((x - self.a) / self.gamma) / math.pi

    def stieltjes(self, z: complex) -> complex:
        return 1 / (z - self.a + 1j * self.gamma)

    def r_transform(self, t: float) -> complex:
        return complex(self.a, -self.gamma)

    def integrated_r(self, t: float) -> complex:
        return t * complex(self.a, -self.gamma)


class LevyWigner(_OnlyR):
    def __init__(self, alpha: float) -> None:
        if not 1 < alpha < 2:
            raise ValueError("the exponent has to lie between 1 and 2")
        self.alpha = alpha

    def r_transform(self, t: float) -> float:
        return (self.alpha - 1) * t ** (self.alpha - 2)

    def integrated_r(self, t: float) -> float:
        return t ** (self.alpha - 1)


class MultiplicativeWishart(_OnlyR):
    """As the difference of two free compound Poisson laws: jumps +-c at the rate 1/(2 phi), c = phi sqrt(epsilon/2)."""

    def __init__(self, epsilon: float, phi: float) -> None:
        if epsilon <= 0 or phi <= 0:
            raise ValueError("epsilon and phi have to be positive")
        self.jump, self.rate = phi * math.sqrt(epsilon / 2), 1 / (2 * phi)
        self.mean = 0.0

    def free_cumulants(self, n: int) -> list[float]:
        return [self.rate * (self.jump**k + (-self.jump) ** k) for k in range(1, n + 1)]

    def moment(self, k: int) -> float:
        return free_probability.moments_by_enumeration(self.free_cumulants(k))[-1] if k else 1.0

    def r_transform(self, t: float) -> float:
        if t * self.jump >= 1:
            raise ValueError("past the pole of R there is no value")
        return self.rate * self.jump * (1 / (1 - self.jump * t) - 1 / (1 + self.jump * t))

    def integrated_r(self, t: float) -> float:
        if t * self.jump >= 1:
            raise ValueError("past the pole of R there is no value")
        return -self.rate * (math.log(1 - self.jump * t) + math.log(1 + self.jump * t))


LAWS = {
    law.__name__: law
    for law in (
        MarchenkoPastur,
        InverseMarchenkoPastur,
        TruncatedPowerLaw,
        FreeCauchy,
        LevyWigner,
        MultiplicativeWishart,
    )
}
