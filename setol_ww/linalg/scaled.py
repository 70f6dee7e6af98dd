"""Positive numbers of any size: float64 and one common power of two.

Squares of finite weights leave the range of float64 from entries of 1e154 on, and are not precise below 1e-140. A power
of two changes no bit of a number's mantissa, so that what depends on ratios alone is the same at every scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.arrays import FloatArray

# Within 2^-300 to 2^300 neither LAPACK's own scaling begins, nor is anything lost that counts beside the largest.
MODERATE_EXPONENT = 300


@dataclass(frozen=True)
class Scaled:
    """The numbers `values` times 2^`exponent`.

    Examples
    --------
    >>> Scaled(np.array([0.5, 1.0]), 3).plain.tolist()
    [4.0, 8.0]
    """

    values: FloatArray
    exponent: int = 0

    @property
    def plain(self) -> FloatArray:
        """As float64: inf or 0 where that does not hold them."""
        if not self.exponent:
            return self.values
        with np.errstate(over="ignore", under="ignore"):
            return np.ldexp(self.values, self.exponent)


def is_moderate(largest: float) -> bool:
    """True in the middle of float64's range."""
    return bool(2.0**-MODERATE_EXPONENT <= largest <= 2.0**MODERATE_EXPONENT)


def moderate(found: Scaled) -> Scaled:
    """The same numbers, their largest moved near 1 where it is not of moderate size; ascending.

    The exponent stays even, so that roots are scaled by a power of two as well.
    """
    values = found.values
    largest = float(values[-1]) if values.size else 0.0
    if not 0 < largest < math.inf or is_moderate(largest):
        return found
    exponent = 2 * (int(np.frexp(largest)[1]) // 2)
    return Scaled(np.ldexp(values, -exponent), found.exponent + exponent)


def with_one_exponent(parts: Sequence[Scaled]) -> tuple[list[FloatArray], int]:
    """The values of each part in units of one power of two, that of the part with the largest number."""
    largest, common = max(((_size(part), part.exponent) for part in parts), default=(-math.inf, 0))
    if largest == -math.inf:
        common = 0
    with np.errstate(under="ignore"):
        return [
            part.values if part.exponent == common else np.ldexp(part.values, part.exponent - common) for part in parts
        ], common


def representable(value: float, exponent: int = 0) -> float:
    """value times 2^exponent; NaN where that is beyond the range of float64, never inf or a 0 that stands for more.

    Examples
    --------
    >>> representable(1.5, 2), representable(1.5, 2000), representable(1.5, -2000)
    (6.0, nan, nan)
    """
    if not exponent:
        return value
    with np.errstate(over="ignore", under="ignore"):
        number = float(np.ldexp(value, exponent))
    return math.nan if math.isinf(number) or (number == 0) != (value == 0) else number


def _size(part: Scaled) -> float:
    """Binary exponent of the largest number; -inf without a positive one."""
    largest = float(np.max(part.values, initial=0.0))
    return float(np.frexp(largest)[1]) + part.exponent if 0 < largest < math.inf else -math.inf
