"""From a matrix to the eigenvalues of its smaller Gram matrix, in float64, block by block.

| function | use it for |
|---|---|
| `eigenvalues` | any matrix, of any size, dtype and aspect ratio: never a float64 copy of the whole |
| `scaled_eigenvalues` | the same at any scale of the entries, from 1e-323 to 1e308 |
| `singular_values` | rank-deficient matrices, which a Gram matrix cannot resolve; `eigenvalues` calls it by itself |
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..core.arrays import EPS_FLOAT64, FloatArray
from .buckets import Buckets
from .device import eigenvalues_on, equal_eigenvalues_on
from .routines import call, integers, scipys
from .scaled import Scaled, is_moderate
from .svd import svd
from .symmetric import symmetric_eigenvalues

logger = logging.getLogger(__name__)


# Eigenvalues of a Gram matrix carry an absolute error of a few eps * lambda_max. Below this share of lambda_max
# the error is no longer small beside the eigenvalue and the singular values are computed instead.
GRAM_RESOLUTION = 100 * EPS_FLOAT64
BLOCK_ELEMENTS = 2**18
# Columns that one step of the blocked QR reflects together.
QR_COLUMNS = 32


def eigenvalues(matrix: Any, device: str = "cpu") -> FloatArray:
    """Eigenvalues of the smaller Gram matrix, ascending, min(shape) of them; NaN when an entry is not finite.

    Parameters
    ----------
    matrix : ndarray or torch.Tensor, shape (rows, columns)
        Any real dtype; upcast block by block.
    device : str
        `cpu`, or a torch device such as `cuda`: see `linalg.device`.

    Notes
    -----
    Those beyond the range of float64 are inf or 0 here; `scaled_eigenvalues` has them.

    Beyond the matrix itself the memory is that of its Gram matrix, 8 M^2 bytes, a tenth of that
    (at least 2 MB) for a block of rows, and the eigensolver's workspace, about 105 M doubles; of a rank-deficient
    matrix 1.4 to 1.5 Gram matrices in all.
    """
    return scaled_eigenvalues(matrix, device).plain


def scaled_eigenvalues(matrix: Any, device: str = "cpu") -> Scaled:
    """`eigenvalues` of entries of any finite size.

    Where the squares of the entries leave the middle of float64's range, the entries are multiplied by a power of two
    first, which is exact: the values are then those of the scaled matrix, to the last bit.
    """
    if not min(matrix.shape):
        return Scaled(np.empty(0))
    values = _unscaled_eigenvalues(matrix, device, 0)
    if values is not None:
        return Scaled(values)
    exponent = size_exponent(matrix)
    if exponent is None:
        return Scaled(np.full(min(matrix.shape), np.nan))
    values = _unscaled_eigenvalues(matrix, device, exponent, at_any_size=True)
    assert values is not None
    return Scaled(values, 2 * exponent)


def scaled_eigenvalues_of(matrices: Sequence[Any], device: str = "cpu") -> list[Scaled]:
    """`scaled_eigenvalues` of each of some matrices of one shape; on a device they are decomposed together."""
    known = None
    if device != "cpu" and len(matrices) > 1 and min(matrices[0].shape):
        known = equal_eigenvalues_on(device, matrices)
    if known is None:
        return [scaled_eigenvalues(matrix, device) for matrix in matrices]
    found = [_resolved(matrix, values) for matrix, values in zip(matrices, known, strict=True)]
    return [
        scaled_eigenvalues(matrix, device) if values is None else Scaled(values)
        for matrix, values in zip(matrices, found, strict=True)
    ]


def _unscaled_eigenvalues(matrix: Any, device: str, exponent: int, *, at_any_size: bool = False) -> FloatArray | None:
    """Eigenvalues of the matrix times 2^-exponent; None where its squares are not of moderate size."""
    found = None if device == "cpu" else eigenvalues_on(device, matrix, exponent)
    if found is not None:
        return _resolved(matrix, found, exponent, at_any_size=at_any_size)
    total = gram(matrix, exponent)
    if not (at_any_size or is_moderate(np.diagonal(total).max())):
        return None
    return _resolved(matrix, symmetric_eigenvalues(total), exponent, at_any_size=True)


def _resolved(matrix: Any, values: FloatArray, exponent: int = 0, *, at_any_size: bool = False) -> FloatArray | None:
    """Eigenvalues of a Gram matrix, by singular values where it resolves none; None where they are not moderate."""
    if not (at_any_size or is_moderate(values[-1])):
        return None
    if values[0] < GRAM_RESOLUTION * values[-1]:
        logger.debug("rank-deficient %s x %s matrix: singular values computed", *matrix.shape)
        return singular_values(matrix, exponent) ** 2
    return np.maximum(values, 0.0)


def size_exponent(matrix: Any) -> int | None:
    """The e for which the largest |entry| is in [2^(e-1), 2^e); None when an entry is not finite."""
    largest = max((float(np.max(np.abs(block))) for block in row_blocks(matrix)), key=_nan_first)
    return int(np.frexp(largest)[1]) if np.isfinite(largest) else None


def _nan_first(value: float) -> float:
    return value if value == value else np.inf


def blocks(
    matrix: Any, axis: int, exponent: int = 0, elements: int = 0, dtype: type[np.floating] = np.float64
) -> Iterator[Any]:
    """Float64 blocks along one axis times 2^-exponent, contiguous row by row, each written over the one before.

    Where they end depends on the shape and on `elements`, the size of a block, alone, not on dtype, library or order
    in memory.
    """
    length, other = matrix.shape[axis], matrix.shape[1 - axis]
    # A tenth of the Gram matrix: small beside it, large enough for BLAS.
    elements = elements or max(BLOCK_ELEMENTS, min(matrix.shape) ** 2 // 10)
    step = max(1, min(length, elements // max(1, other)))
    if isinstance(matrix, Buckets):
        yield from matrix.row_blocks(step)
        return
    buffer = np.empty(step * other, dtype=dtype)
    for start in range(0, length, step):
        part = slice(start, start + step)
        source = matrix[part] if axis == 0 else matrix[:, part]
        block = buffer[: source.shape[0] * source.shape[1]].reshape(tuple(source.shape))
        if hasattr(source, "detach"):
            sys.modules["torch"].from_numpy(block).copy_(source.detach())
        else:
            np.copyto(block, source)
        if exponent:
            with np.errstate(under="ignore"):
                np.ldexp(block, -exponent, out=block)
        yield block


def gram(matrix: Any, exponent: int = 0) -> FloatArray:
    """Lower triangle of the smaller Gram matrix of the matrix times 2^-exponent, by BLAS `syrk` over blocks."""
    side = min(matrix.shape)
    is_tall = matrix.shape[0] >= matrix.shape[1]
    return gram_of(blocks(matrix, 0 if is_tall else 1, exponent) if side else (), side, is_tall)


def gram_of(blocks: Iterable[FloatArray], side: int, is_tall: bool = True) -> FloatArray:
    """`gram` of the matrix that these blocks make, of rows of a tall one or of columns of a wide one."""
    total, syrk = np.zeros((side, side), order="F"), scipys("dsyrk")
    for block in blocks:
        # Row by row is column by column of the transpose, which is what BLAS sees.
        rows, columns = block.shape
        trans, length = ("N", rows) if is_tall else ("T", columns)
        call(syrk, "L", trans, side, length, 1.0, block, columns, 1.0, total, side)
    return total


def row_blocks(matrix: Any, exponent: int = 0) -> Iterator[FloatArray]:
    """Float64 blocks of rows of the tall orientation of the matrix times 2^-exponent, each over the one before."""
    return blocks(matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T, 0, exponent)


def triangle(matrix: Any, exponent: int = 0) -> FloatArray:
    """R of the QR of the tall orientation times 2^-exponent: the same singular values and right singular vectors.

    Each block of rows is turned into the triangle so far (LAPACK's `tpqrt`): no stack of both is ever there.
    """
    side = min(matrix.shape)
    total, tpqrt, status = np.zeros((side, side), order="F"), scipys("dtpqrt"), integers()
    together = min(QR_COLUMNS, side)
    reflectors, work = np.empty((side, together)), np.empty((side, together))
    for block in row_blocks(matrix, exponent) if side else ():
        rows, below = block.shape[0], np.asfortranarray(block)
        call(tpqrt, rows, side, 0, together, total, side, below, rows, reflectors, together, work, status)
    return total


def singular_values(matrix: Any, exponent: int = 0) -> FloatArray:
    """Singular values of the matrix times 2^-exponent, ascending: blocked QR, then the SVD of the triangle."""
    return svd(triangle(matrix, exponent))[0][::-1]
