"""Singular directions of a matrix, and its projection onto some of them.

W on its k leading singular directions is W P with P = V_k V_k^T (right), the same as P_L W with P_L = U_k U_k^T.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.arrays import EPS_FLOAT64, FloatArray, as_matrix, precision
from ..core.errors import InvalidInput
from .eigenvalues import gram, row_blocks, size_exponent, triangle
from .scaled import is_moderate
from .svd import svd
from .symmetric import symmetric_eigenpairs


@dataclass(frozen=True)
class Directions:
    """Singular values of one matrix, descending, and orthonormal singular vectors of its shorter side.

    Attributes
    ----------
    sigma : ndarray of float64, shape (M,)
        In units of 2^exponent.
    vectors : ndarray of float64, shape (M, M)
        Column i belongs to sigma[i]: right singular vectors of a tall or square matrix, left ones of a wide matrix.
        Only as many as were asked for.
    exponent : int
        0 but for entries whose squares leave the middle of float64's range.
    """

    sigma: FloatArray
    vectors: FloatArray
    exponent: int = 0


def directions(matrix: Any) -> Directions | None:
    r"""Singular values and vectors in float64; None where an entry is not finite.

    Weights stored in float64: blocked QR, then the SVD of the triangle. Weights stored in less: the eigenvectors of
    the Gram matrix, which is several times cheaper. Those mix two directions by at most
    :math:`\epsilon\sigma_1^2/|\sigma_i^2-\sigma_j^2|`, so that a projection is off by
    :math:`\epsilon\sigma_1^2/(\sigma_i+\sigma_j)`, 1e-13 of the largest singular value at a cut at a hundredth of it
    and never more than the square root of epsilon (1.5e-8), below the rounding of the stored weights.
    """
    if not min(matrix.shape):
        return Directions(np.empty(0), np.empty((0, 0)))
    found = _directions(matrix, 0)
    if found is None:
        exponent = size_exponent(matrix)
        found = None if exponent is None else _directions(matrix, exponent, at_any_size=True)
    return found


def _directions(matrix: Any, exponent: int, *, at_any_size: bool = False) -> Directions | None:
    """Those of the matrix times 2^-exponent; None where its squares are not of moderate size."""
    wide = precision(matrix) == EPS_FLOAT64
    total = triangle(matrix, exponent) if wide else gram(matrix, exponent)
    squares = np.einsum("ij,ij->j", total, total) if wide else np.diagonal(total)
    if not (at_any_size or is_moderate(float(squares.max()))):
        return None
    if wide:
        sigma, right = svd(total, right=True)
        return Directions(sigma, right.T, exponent)
    values, vectors = symmetric_eigenpairs(total)
    return Directions(np.sqrt(np.maximum(values[::-1], 0.0)), vectors[:, ::-1], exponent)


def projected_blocks(matrix: Any, found: Directions, kept: np.ndarray) -> Iterator[FloatArray]:
    """Float64 row blocks of the tall orientation of the projection of `matrix` on the kept ones of its directions.

    The smaller of kept and dropped is multiplied out: W P or W - W (1 - P), P = V_k V_k^T.
    """
    vectors = found.vectors
    few = 2 * kept.size <= vectors.shape[1]
    chosen = kept if few else np.setdiff1d(np.arange(vectors.shape[1]), kept)
    basis = np.ascontiguousarray(vectors[:, chosen])
    for block in row_blocks(matrix, found.exponent):
        part = (block @ basis) @ basis.T
        yield _ldexp(part if few else block - part, found.exponent)


def _ldexp(values: FloatArray, exponent: int) -> FloatArray:
    with np.errstate(under="ignore"):
        return np.ldexp(values, exponent) if exponent else values


def factors(matrix: Any, found: Directions, kept: np.ndarray) -> tuple[FloatArray, FloatArray]:
    """Float64 matrices left (rows, k) and right (k, columns), whose product is the projection, of balanced size.

    Each carries the root of the singular values: left = U_k sqrt(Sigma_k), right = sqrt(Sigma_k) V_k^T.
    """
    basis = np.ascontiguousarray(found.vectors[:, kept])
    root = np.sqrt(found.sigma[kept])
    inverse = np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
    blocks = row_blocks(matrix, found.exponent)
    tall = np.concatenate([np.empty((0, kept.size)), *((block @ basis) * inverse for block in blocks)])
    half = found.exponent // 2
    tall, short = _ldexp(tall, found.exponent - half), _ldexp((basis * root).T, half)
    return (tall, short) if matrix.shape[0] >= matrix.shape[1] else (short.T, tall.T)


def project(W: Any, rank: int) -> FloatArray:
    r"""W on its leading singular directions, :math:`W_k = \sum_{i \le k} \sigma_i u_i v_i^T`, in float64.

    Parameters
    ----------
    W : array_like or torch.Tensor, shape (rows, columns)
        Real and finite.
    rank : int
        Number k of directions, 0 to min(rows, columns).

    Returns
    -------
    ndarray of float64, shape (rows, columns)
        The nearest matrix of rank k in every unitarily invariant norm (Eckart-Young-Mirsky).

    Raises
    ------
    InvalidInput
        W is no finite real matrix, or has no such rank.

    Examples
    --------
    >>> project([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]], 1).tolist()
    [[3.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    matrix = as_matrix(W)
    if isinstance(rank, bool) or not isinstance(rank, (int, np.integer)) or not 0 <= rank <= min(matrix.shape):
        raise InvalidInput(f"rank={rank!r} was asked; accepted is an integer from 0 to {min(matrix.shape)}")
    found = directions(matrix.astype(np.float64) if isinstance(matrix, np.ndarray) else matrix.double())
    if found is None:
        raise InvalidInput("a matrix with entries that are not finite was given; accepted is a finite one")
    tall = np.concatenate([np.empty((0, min(matrix.shape))), *projected_blocks(matrix, found, np.arange(rank))])
    return tall if matrix.shape[0] >= matrix.shape[1] else tall.T
