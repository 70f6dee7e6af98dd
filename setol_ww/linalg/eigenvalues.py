"""From a matrix to the eigenvalues of its smaller Gram matrix, in float64, block by block.

| function | use it for |
|---|---|
| `eigenvalues` | any matrix, of any size, dtype and aspect ratio: never a float64 copy of the whole |
| `singular_values` | rank-deficient matrices, which a Gram matrix cannot resolve; `eigenvalues` calls it by itself |
| `device_eigenvalues` | the same numbers by torch on a GPU |
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.linalg

from ..core.arrays import EPS_FLOAT64, FloatArray
from ..core.errors import InvalidInput
from .routines import call, scipys
from .symmetric import symmetric_eigenvalues

logger = logging.getLogger(__name__)


# Eigenvalues of a Gram matrix carry an absolute error of a few eps * lambda_max. Below this share of lambda_max
# the error is no longer small beside the eigenvalue and the singular values are computed instead.
GRAM_RESOLUTION = 100 * EPS_FLOAT64
BLOCK_ELEMENTS = 2**18
DEVICE_BLOCK_ELEMENTS = 2**25
# Columns that one step of the blocked QR reflects together.
QR_COLUMNS = 32


def eigenvalues(matrix: Any, device: str = "cpu") -> FloatArray:
    """Eigenvalues of the smaller Gram matrix, ascending, min(shape) of them; NaN when an entry is not finite.

    Parameters
    ----------
    matrix : ndarray or torch.Tensor, shape (rows, columns)
        Any real dtype; upcast block by block.
    device : str
        `cpu`, or a torch device such as `cuda`: see `device_eigenvalues`.

    Notes
    -----
    Beyond the matrix itself the memory is that of its Gram matrix, 8 M^2 bytes, a tenth of that
    (at least 2 MB) for a block of rows, and the eigensolver's workspace, about 105 M doubles; of a rank-deficient
    matrix 1.4 to 1.5 Gram matrices in all.
    """
    side = min(matrix.shape)
    if not side:
        return np.empty(0)
    values = device_eigenvalues(matrix, device) if device != "cpu" else _cpu_eigenvalues(matrix)
    if values[-1] > 0 and values[0] < GRAM_RESOLUTION * values[-1]:
        logger.debug("rank-deficient %s x %s matrix: singular values computed", *matrix.shape)
        return singular_values(matrix) ** 2
    return np.maximum(values, 0.0)


def _cpu_eigenvalues(matrix: Any) -> FloatArray:
    total = gram(matrix)
    if not np.isfinite(np.diagonal(total)).all():
        return np.full(total.shape[0], np.nan)
    return symmetric_eigenvalues(total)


def device_eigenvalues(matrix: Any, device: str) -> FloatArray:
    """`eigenvalues` without the fallback for rank deficiency, by torch on a device, in float64.

    The blocks travel in the dtype they are stored in and are upcast there.
    """
    import torch

    tensor = matrix if hasattr(matrix, "detach") else torch.from_numpy(np.ascontiguousarray(matrix))
    tall = tensor if tensor.shape[0] >= tensor.shape[1] else tensor.T
    side = tall.shape[1]
    total = torch.zeros((side, side), dtype=torch.float64, device=device)
    step = max(1, DEVICE_BLOCK_ELEMENTS // side)
    for start in range(0, tall.shape[0], step):
        block = tall[start : start + step].to(device=device).to(torch.float64)
        total.addmm_(block.T, block)
    if not bool(torch.isfinite(torch.diagonal(total)).all()):
        return np.full(side, np.nan)
    return torch.linalg.eigvalsh(total).cpu().numpy()


def check_device(device: str) -> str:
    """`device` when torch can compute on it here, else `InvalidInput`."""
    if device == "cpu":
        return device
    import torch

    try:
        kind = torch.device(device).type
    except (RuntimeError, TypeError) as error:
        raise InvalidInput(f"device={device!r} was asked, which torch does not know ({error}); {_DEVICES}") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise InvalidInput(f"device={device!r} was asked; torch {torch.__version__} sees no CUDA here; {_DEVICES}")
    if kind != "cuda":
        raise InvalidInput(f"device={device!r} was asked, which computes no float64 eigenvalues; {_DEVICES}")
    return device


_DEVICES = "accepted are 'cpu' and, where torch sees a GPU, 'cuda' or 'cuda:N'"


def blocks(matrix: Any, axis: int) -> Iterator[FloatArray]:
    """Float64 blocks along one axis, contiguous row by row, each written over the one before."""
    length, other = matrix.shape[axis], matrix.shape[1 - axis]
    # A tenth of the Gram matrix: small beside it, large enough for BLAS.
    elements = max(BLOCK_ELEMENTS, min(matrix.shape) ** 2 // 10)
    step = min(length, max(1, elements // max(1, other)))
    buffer = np.empty(step * other)
    for start in range(0, length, step):
        part = slice(start, start + step)
        source = matrix[part] if axis == 0 else matrix[:, part]
        block = buffer[: source.shape[0] * source.shape[1]].reshape(tuple(source.shape))
        if hasattr(source, "detach"):
            sys.modules["torch"].from_numpy(block).copy_(source.detach())
        else:
            np.copyto(block, source)
        yield block


def gram(matrix: Any) -> FloatArray:
    """Lower triangle of the smaller Gram matrix, accumulated by BLAS `syrk` over blocks."""
    side = min(matrix.shape)
    is_tall = matrix.shape[0] >= matrix.shape[1]
    total, syrk = np.zeros((side, side), order="F"), scipys("dsyrk")
    for block in blocks(matrix, axis=0 if is_tall else 1) if side else ():
        # Row by row is column by column of the transpose, which is what BLAS sees.
        rows, columns = block.shape
        trans, length = ("N", rows) if is_tall else ("T", columns)
        call(syrk, "L", trans, side, length, 1.0, block, columns, 1.0, total, side)
    return total


def row_blocks(matrix: Any) -> Iterator[FloatArray]:
    """Float64 blocks of rows of the tall orientation of `matrix`, each written over the one before."""
    return blocks(matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T, axis=0)


def triangle(matrix: Any) -> FloatArray:
    """R of the QR of the tall orientation: the same singular values and right singular vectors.

    Each block of rows is turned into the triangle so far (LAPACK's `tpqrt`): no stack of both is ever there.
    """
    side = min(matrix.shape)
    total = np.zeros((side, side), order="F")
    for block in row_blocks(matrix) if side else ():
        total, *_, info = scipy.linalg.lapack.dtpqrt(
            0, min(QR_COLUMNS, side), total, np.asfortranarray(block), overwrite_a=True, overwrite_b=True
        )
        if info:
            raise ValueError(f"LAPACK's dtpqrt refused its argument {-info}")
    return total


def singular_values(matrix: Any) -> FloatArray:
    """Singular values, ascending: blocked QR, then the SVD of the triangle."""
    return np.sort(scipy.linalg.svdvals(triangle(matrix), overwrite_a=True, check_finite=False))
