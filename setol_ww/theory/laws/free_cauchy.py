"""The free Cauchy law: no moment at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.errors import InvalidInput
from ..transforms import numbers_of
from .base import NOT_POSITIVE, Law


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
        "moment": "a Cauchy law has no moments",
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
        return (self.gamma / np.pi / ((numbers_of("x", x) - self.a) ** 2 + self.gamma**2))[()]

    def cdf(self, x: Any) -> Any:
        return (0.5 + np.arctan((numbers_of("x", x) - self.a) / self.gamma) / np.pi)[()]

    def stieltjes(self, z: Any) -> Any:
        """1/(z - a + i gamma) for Im z > 0."""
        points = numbers_of("z", z, complex_too=True)
        if not (points.imag > 0).all():
            raise InvalidInput(f"G of {self!r} at z={z!r} was asked; accepted are z with a positive imaginary part")
        return (1 / (points - self.a + 1j * self.gamma))[()]

    def r_transform(self, t: Any) -> Any:
        """The same complex number for every t."""
        return np.full(numbers_of("t", t, complex_too=True).shape, complex(self.a, -self.gamma))[()]

    def integrated_r(self, t: Any) -> Any:
        return (numbers_of("t", t, complex_too=True) * complex(self.a, -self.gamma))[()]
