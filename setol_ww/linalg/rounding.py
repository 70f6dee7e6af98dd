"""What rounding weights to their type puts into a difference of two of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.arrays import FloatArray
from .eigenvalues import blocks

#: Bits behind the point of the significand.
MANTISSA = {
    "float64": 52,
    "float32": 23,
    "float16": 10,
    "bfloat16": 7,
    "float8_e4m3fn": 3,
    "float8_e4m3fnuz": 3,
    "float8_e5m2": 2,
    "float8_e5m2fnuz": 2,
}


#: Narrower types whose values one often finds in a wider one, by their bits.
NARROWER = (7, 10, 23)


def significand(matrix: Any, dtype: str) -> int | None:
    """Bits of the significand to which the values of a matrix were rounded; None for a type that is not known.

    Those of its type, or of a narrower one (bfloat16, float16, float32) where all values are exactly of that one: a
    model trained in bfloat16 and saved in float32.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)
    >>> significand(values, "float32"), significand(values.astype(np.float64), "float64"), significand(values, "nf4")
    (23, 23, None)
    """
    most = MANTISSA.get(dtype)
    if most is None:
        return None
    used = np.int64(0)
    for block in blocks(matrix, 0):
        used |= np.bitwise_or.reduce(block.view(np.int64), axis=None)
    fraction = int(used) & (2**52 - 1)
    found = 52 - ((fraction & -fraction).bit_length() - 1) if fraction else 0
    return min(most, found) if found in NARROWER else most


@dataclass(frozen=True)
class Rounding:
    r"""Variances of rounding errors, summed over matrices.

    Attributes
    ----------
    energy : float
        Expected squared Frobenius norm.
    rows, columns : ndarray
        The same of each row and of each column.
    """

    energy: float
    rows: FloatArray
    columns: FloatArray

    @property
    def edge(self) -> float:
        r"""What the largest singular value of the errors stays below, :math:`\max_i |s_i| + \max_j |s_j|`.

        The root mean square norms of the strongest row and column: :math:`s(\sqrt N + \sqrt M)` where all entries have
        one standard deviation s, as Marchenko-Pastur has it.

        Notes
        -----
        A. S. Bandeira, R. van Handel, Ann. Probab. 44, 2479 (2016), Theorem 1.1, leading terms.
        """
        return math.sqrt(self.rows.max(initial=0.0)) + math.sqrt(self.columns.max(initial=0.0))


def rounding_of(matrices: Sequence[tuple[Any, int]]) -> Rounding:
    r"""Rounding errors of the sum or difference of matrices of one shape, each given with the bits of its significand.

    An entry w is stored to :math:`u = 2^{e - p}`, e its binary exponent and p those bits; errors are even in
    :math:`\pm u/2` and of variance :math:`u^2/12`.

    Examples
    --------
    >>> rounding_of([(np.ones((2, 2)), 7)]).energy == 4 * 2.0**-14 / 12
    True
    """
    shape = tuple(matrices[0][0].shape)
    rows, columns = np.zeros(shape[0]), np.zeros(shape[1])
    for matrix, bits in matrices:
        at = 0
        for block in blocks(matrix, 0):
            # A zero is exact.
            with np.errstate(over="ignore", under="ignore"):
                steps = np.ldexp((block != 0).astype(float), np.frexp(block)[1] - 1 - bits)
                variances = np.square(steps, out=steps) / 12
            rows[at : at + block.shape[0]] += variances.sum(axis=1)
            columns += variances.sum(axis=0)
            at += block.shape[0]
    return Rounding(float(rows.sum()), rows, columns)
