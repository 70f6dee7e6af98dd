"""The Levy-Wigner R-transform of Table 8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...core.errors import InvalidInput
from .base import Law, positive


@dataclass(frozen=True)
class LevyWigner(Law):
    r"""Table 8's power, :math:`R(t) = \alpha_l t^{\alpha_l - 1}` with :math:`\alpha_l = \alpha - 1`, alpha in (1, 2).

    Its integral is :math:`t^{\alpha - 1}`, the term of the paper's AlphaHat. With this real positive factor it is
    formal: R of a law never has a positive imaginary part for t below the real axis, and this has. The free stable law
    on the positive half-line has :math:`R(-t) = \alpha_l t^{\alpha_l - 1}` for t > 0, the same numbers on the other
    side of the singularity at 0. Matrices of independent stable entries have the same tail index and another law.

    Examples
    --------
    >>> float(LevyWigner(1.5).integrated_r(4.0))
    2.0
    """

    alpha: float
    lacks = {  # noqa: RUF012 read only
        "mean": "its R-transform is singular at 0: there is no mean",
        "moment": "its R-transform is singular at 0: there are no moments",
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
        return ((self.alpha - 1) * positive(t) ** (self.alpha - 2))[()]

    def integrated_r(self, t: Any) -> Any:
        return (positive(t) ** (self.alpha - 1))[()]
