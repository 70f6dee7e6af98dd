"""The Marchenko-Pastur law: independent entries."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.arrays import FloatArray
from ...core.checks import positive_integer
from ...core.errors import InvalidInput
from ..transforms import numbers_of
from .base import SoftEdges


@dataclass(frozen=True)
class MarchenkoPastur(SoftEdges):
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
        if not 0 < self.q <= 1 or not 0 < self.sigma2 < math.inf:
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
        r""":math:`2 / (z + \sigma^2 (q - 1) + \sqrt{(z-a)(z-b)})`: the usual form without its cancellation."""
        points = numbers_of("z", z, complex_too=True)
        return (2 / (points + self.sigma2 * (self.q - 1) + self._root(points)))[()]

    @property
    def r_limit(self) -> float:
        """G at the upper edge: R of the law is the analytic function below it."""
        return 1 / (self.sigma2 * math.sqrt(self.q) * (1 + math.sqrt(self.q)))

    def r_transform(self, t: Any) -> Any:
        """sigma2 / (1 - q sigma2 t) up to `r_limit`, beyond it the saturated upper edge - 1/t."""
        return self.saturated_r(t)

    def integrated_r(self, t: Any) -> Any:
        """-ln(1 - q sigma2 t) / q up to `r_limit`, beyond it saturated."""
        return self.saturated_integrated_r(t)

    def _inner_r(self, t: FloatArray) -> FloatArray:
        return self.sigma2 / (1 - self.q * self.sigma2 * t)

    def _inner_integrated_r(self, t: FloatArray) -> FloatArray:
        return -np.log1p(-self.q * self.sigma2 * t) / self.q

    def free_cumulants(self, n: int) -> FloatArray:
        order = np.arange(1, positive_integer("n", n) + 1)
        return self.q ** (order - 1.0) * self.sigma2**order
