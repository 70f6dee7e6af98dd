"""The multiplicative Wishart R-transform of Table 8, corrected."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.arrays import FloatArray
from ...core.checks import positive_integer
from ...core.errors import InvalidInput
from .base import NOT_POSITIVE, Law, positive


@dataclass(frozen=True)
class MultiplicativeWishart(Law):
    r"""Table 8's multiplicative Wishart with the numerator that makes it an R-transform.

    :math:`R(t) = \epsilon\phi t / (2 - \epsilon\phi^2 t^2)`: odd, so the law is symmetric with mean 0. As printed, with
    t^2 in the numerator, the variance is 0 and the third cumulant is not, which no law has (errata E29).
    It is the law of the difference of two free Marchenko-Pastur matrices, each with eigenvalues in steps of
    :math:`\phi\sqrt{\epsilon/2}` at the rate :math:`1/(2\phi)`.

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
        points = positive(t)
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
