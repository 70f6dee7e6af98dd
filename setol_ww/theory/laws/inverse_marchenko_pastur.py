"""The inverse Marchenko-Pastur law: the paper's model of an ideal layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.arrays import FloatArray
from ...core.checks import positive_integer
from ...core.errors import InvalidInput
from ..transforms import numbers_of
from .base import SoftEdges, positive


@dataclass(frozen=True)
class InverseMarchenkoPastur(SoftEdges):
    r"""Inverses of Marchenko-Pastur eigenvalues, scaled to mean 1; kappa = (Q - 1)/2 of the inverted law.

    :math:`\rho(x) = \kappa \sqrt{(b-x)(x-a)} / (\pi x^2)`, :math:`R(t) = 2/(1 + s)`,
    :math:`\int_0^t R = 2\kappa[(1-s) - \ln(2/(1+s))]` with :math:`s = \sqrt{1 - 2t/\kappa}` (Eq. 151, corrected),
    :math:`\kappa_n = C_{n-1} / (2\kappa)^{n-1}` with the Catalan numbers.

    | wanted | for t | use |
    |---|---|---|
    | the closed form of R | up to its branch point kappa/2 | `r_transform`, `integrated_r` |
    | R of a large spectrum | any t > 0 | `saturated_r`, `saturated_integrated_r` |
    | Eq. 151 past the branch point, as Eq. 152 uses it | from kappa/2 on | `formal_r`, `formal_integrated_r` |

    The first two agree up to `r_limit` = G(upper edge), which is always below kappa/2.

    Examples
    --------
    >>> law = InverseMarchenkoPastur(0.5)
    >>> round(law.erg_fraction, 4), round(law.erg_lambda_min, 4), round(law.r_limit, 4)
    (0.7112, 0.3669, 0.2426)
    """

    kappa: float

    def __post_init__(self) -> None:
        if not 0 < self.kappa < math.inf:
            raise InvalidInput(f"{self!r} was asked; accepted is kappa > 0")

    @property
    def support(self) -> tuple[float, float]:
        upper = (self.kappa + 1 + math.sqrt(2 * self.kappa + 1)) / self.kappa
        return 1 / upper, upper

    @property
    def mean(self) -> float:
        return 1.0

    def _factor(self, x: FloatArray) -> FloatArray:
        return self.kappa / (np.pi * x * x)

    def stieltjes(self, z: Any) -> Any:
        r""":math:`(2\kappa + 1) / (z(\kappa + 1) - \kappa + \kappa\sqrt{(z-a)(z-b)})`, free of cancellation."""
        points, kappa = numbers_of("z", z, complex_too=True), self.kappa
        return ((2 * kappa + 1) / (points * (kappa + 1) - kappa + kappa * self._root(points)))[()]

    def r_transform(self, t: Any) -> Any:
        """Closed form for t <= kappa/2; the law's own R is that up to `r_limit`."""
        return self._inner_r(self._up_to_branch_point(t))[()]

    def integrated_r(self, t: Any) -> Any:
        """Closed form for t <= kappa/2."""
        return self._inner_integrated_r(self._up_to_branch_point(t))[()]

    def formal_r(self, t: Any) -> Any:
        r"""Eq. 357, the closed form continued past its branch point, complex: not the R of any spectrum.

        :math:`(\kappa - i\sqrt{\kappa(2t - \kappa)})/t`, whose real part the paper integrates.
        """
        points = self._from_branch_point(t)
        return ((self.kappa - 1j * np.sqrt(self.kappa * (2 * points - self.kappa))) / points)[()]

    def formal_integrated_r(self, t: Any) -> Any:
        r"""Real part of the closed form continued past its branch point, t >= kappa/2: not the law's integral.

        :math:`2\kappa(1 - \ln 2) + \kappa \ln(2t/\kappa)`; differences of it are the paper's Eq. 152.
        """
        points = self._from_branch_point(t)
        return (2 * self.kappa * (1 - math.log(2)) + self.kappa * np.log(2 * points / self.kappa))[()]

    def _up_to_branch_point(self, t: Any) -> FloatArray:
        points = positive(t)
        if (points > self.kappa / 2).any():
            raise InvalidInput(
                f"R of {self!r} at t={t!r} was asked; accepted is t <= kappa/2, its branch point; for larger t a "
                f"spectrum has saturated_r, and the paper's continuation is formal_r"
            )
        return points

    def _from_branch_point(self, t: Any) -> FloatArray:
        points = positive(t)
        if (points < self.kappa / 2).any():
            raise InvalidInput(f"the formal continuation at t={t!r} was asked; accepted is t >= kappa/2")
        return points

    def _inner_r(self, t: FloatArray) -> FloatArray:
        return 2 / (1 + np.sqrt(1 - 2 * t / self.kappa))

    def _inner_integrated_r(self, t: FloatArray) -> FloatArray:
        # 1 - s without its cancellation; ln(2/(1 + s)) is -ln(1 - (1 - s)/2).
        u = 2 * t / self.kappa
        missing = u / (1 + np.sqrt(1 - u))
        return 2 * self.kappa * np.where(u < 1e-3, _series(missing / 2), missing + np.log1p(-missing / 2))

    def free_cumulants(self, n: int) -> FloatArray:
        order = range(positive_integer("n", n))
        return np.array([math.comb(2 * k, k) / (k + 1) / (2 * self.kappa) ** k for k in order])


def _series(y: FloatArray) -> FloatArray:
    """2 y + ln(1 - y) for small y, where the two leave y - y^2/2 - y^3/3 - ..."""
    return y - sum(y**n / n for n in range(2, 7))
