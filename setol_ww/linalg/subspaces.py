"""Leading singular subspaces of a matrix or of pooled slices: what of another matrix lies in them, and their angles.

Slices are the blocks of one block-diagonal matrix, whose singular values are pooled: one slice may have more of the
leading ones than another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.arrays import FloatArray
from .decomposed import Decomposed
from .directions import Directions
from .eigenvalues import blocks, eigenvalues, row_blocks, size_exponent
from .scaled import Scaled, with_one_exponent


@dataclass(frozen=True)
class Subspace:
    """Orthonormal leading singular vectors of one matrix: left (rows, k) and right (columns, k), descending."""

    left: FloatArray
    right: FloatArray

    @property
    def size(self) -> int:
        """Number of directions."""
        return int(self.left.shape[1])


@dataclass(frozen=True)
class Shares:
    """What share of the squared Frobenius norm of a matrix projections keep.

    Attributes
    ----------
    left, right, both : float
        Of :math:`P_L D`, :math:`D P_R` and :math:`P_L D P_R`.
    """

    left: float
    right: float
    both: float


@dataclass(frozen=True)
class Angles:
    """Principal angles of two subspaces.

    Attributes
    ----------
    overlap : float
        Mean squared cosine, 1 where the smaller lies in the larger, 0 where they are orthogonal.
    largest : float
        The largest angle in degrees, 0 to 90.
    """

    overlap: float
    largest: float


def leading_subspaces(matrices: Sequence[Decomposed], count: int) -> list[Subspace] | None:
    """The subspaces of the `count` largest of the pooled singular values, one a slice; None for entries not finite.

    Examples
    --------
    >>> found = leading_subspaces([Decomposed(np.diag(one)) for one in ([3.0, 1.0], [2.5, 2.0])], 3)
    >>> [one.size for one in found]
    [1, 2]
    """
    found = [one.leading(count) for one in matrices]
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return None
    sigmas, _ = with_one_exponent([Scaled(one.sigma, one.exponent) for one in known])
    order = np.argsort(-np.concatenate(sigmas), kind="stable")[:count]
    slice_of = order // max(1, min(matrices[0].matrix.shape))
    sizes = np.bincount(slice_of, minlength=len(known))
    return [_leading(one.matrix, *rest) for one, *rest in zip(matrices, known, sizes.tolist(), strict=True)]


def _leading(matrix: Any, found: Directions, count: int) -> Subspace:
    short = np.ascontiguousarray(found.vectors[:, :count])
    long, at = np.empty((max(matrix.shape), count)), 0
    for block in row_blocks(matrix, found.exponent):
        np.matmul(block, short, out=long[at : at + block.shape[0]])
        at += block.shape[0]
    long /= np.maximum(np.linalg.norm(long, axis=0), np.finfo(float).tiny)
    return Subspace(long, short) if matrix.shape[0] >= matrix.shape[1] else Subspace(short, long)


def shares(matrices: Sequence[Any], subspaces: Sequence[Subspace]) -> Shares:
    r"""What share of the energy of some slices lies in the subspaces of others.

    :math:`\sum_s \|P_L D_s P_R\|_F^2 / \sum_s \|D_s\|_F^2` with the projectors of each slice, and with one of them.

    Parameters
    ----------
    matrices : sequence of array_like, each (rows, columns)
        Finite, on any scale, not all zero (NaN then).
    subspaces : sequence of Subspace
        One for each.
    """
    exponents = [size_exponent(matrix) for matrix in matrices]
    exponent = max((one for one in exponents if one is not None), default=0)
    parts = np.zeros(4)
    for matrix, subspace in zip(matrices, subspaces, strict=True):
        parts += _energies(matrix, subspace, exponent)
    whole, left, right, both = parts.tolist()
    if not whole > 0:
        return Shares(math.nan, math.nan, math.nan)
    return Shares(*(min(1.0, part / whole) for part in (left, right, both)))


def _energies(matrix: Any, subspace: Subspace, exponent: int) -> FloatArray:
    """Energy of one slice as a whole, on the left, on the right and on both directions."""
    whole = right = 0.0
    onto = np.zeros((subspace.size, matrix.shape[1]))
    for rows, block in _placed_blocks(matrix, exponent):
        onto += subspace.left[rows].T @ block
        whole += float(np.vdot(block, block))
        across = block @ subspace.right
        right += float(np.vdot(across, across))
    corner = onto @ subspace.right
    return np.array([whole, float(np.vdot(onto, onto)), right, float(np.vdot(corner, corner))])


def _placed_blocks(matrix: Any, exponent: int) -> Iterator[tuple[slice, FloatArray]]:
    """Float64 blocks of rows with their places."""
    at = 0
    for block in blocks(matrix, 0, exponent):
        yield slice(at, at + block.shape[0]), block
        at += block.shape[0]


def angles(first: Sequence[FloatArray], second: Sequence[FloatArray]) -> Angles:
    r"""Principal angles of two subspaces, given by orthonormal columns, one block a slice.

    :math:`\cos\theta_i = \sigma_i(A^T B)`; as many angles as the smaller subspace has dimensions. NaN where one is
    empty.

    Notes
    -----
    Bjoerck and Golub, Math. Comp. 27, 579 (1973). The arc of a cosine resolves angles down to 1e-5 degrees.

    Examples
    --------
    >>> found = angles([np.eye(3)[:, :2]], [np.eye(3)[:, 1:]])
    >>> found.overlap, round(found.largest, 6)
    (0.5, 90.0)
    """
    dimensions = min(sum(one.shape[1] for one in first), sum(one.shape[1] for one in second))
    if not dimensions:
        return Angles(math.nan, math.nan)
    squares = [eigenvalues(one.T @ other) for one, other in zip(first, second, strict=True) if _both(one, other)]
    found = np.minimum(np.sort(np.concatenate([np.empty(0), *squares]))[::-1], 1.0)
    # In slices of different ranks some directions have none to meet.
    least = float(found[dimensions - 1]) if found.size >= dimensions else 0.0
    return Angles(min(1.0, float(np.sum(found)) / dimensions), math.degrees(math.acos(math.sqrt(least))))


def _both(one: FloatArray, other: FloatArray) -> bool:
    return bool(one.shape[1] and other.shape[1])
