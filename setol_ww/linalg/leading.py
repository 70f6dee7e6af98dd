"""The largest eigenvalues of a symmetric matrix with their vectors, and all eigenvalues of the same matrix after them.

Up to `DENSE_SIDE` one reduction to a tridiagonal serves both; beyond it Lanczos' iteration finds the few that are asked
for and the matrix is reduced only where all are wanted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from ..core.arrays import FloatArray
from .routines import call, check_converged, integers, scipys, with_workspace
from .symmetric import eigenvalues_of_tridiagonal, symmetric_eigenvalues, tridiagonal

logger = logging.getLogger(__name__)

# Measured on one core: up to here a reduction is faster than Lanczos.
DENSE_SIDE = 1500
LANCZOS_TOLERANCE = 1e-8


class Leading:
    """Eigenpairs of the symmetric matrix whose lower triangle is given; its memory is used and lost.

    Parameters
    ----------
    lower : ndarray of float64, shape (M, M), Fortran order
        Entries above the diagonal are not read. All entries below must be finite.
    reduced : bool
        True reduces it now, whatever its size.

    Examples
    --------
    >>> pairs = Leading(np.asfortranarray(np.diag([1.0, 5.0, 2.0, 0.5])))
    >>> pairs.largest(2)[0].tolist(), pairs.all().tolist()
    ([5.0, 2.0], [0.5, 1.0, 2.0, 5.0])
    """

    def __init__(self, lower: FloatArray, *, reduced: bool = False) -> None:
        self.lower = np.require(lower, np.float64, ["F", "W"])
        self.side = lower.shape[0]
        self._tridiagonal: tuple[FloatArray, FloatArray, FloatArray] | None = None
        if reduced:
            self._reduced()

    @property
    def is_reduced(self) -> bool:
        """True once `all` costs next to nothing."""
        return self._tridiagonal is not None

    def largest(self, number: int) -> tuple[FloatArray, FloatArray]:
        """The `number` largest eigenvalues, descending, and their vectors in columns; deterministic."""
        found = None
        if not self.is_reduced and steps_pay(number, self.side):
            found = by_lanczos(self._times, self.side, number)
        values, vectors = found or self._by_reduction(number)
        order = np.argsort(-values, kind="stable")
        return values[order], vectors[:, order]

    def many(self, number: int) -> tuple[FloatArray, FloatArray]:
        """Every eigenvalue, ascending, and the vectors of the `number` largest in columns, the largest first.

        By divide and conquer (LAPACK's `stedc`), which costs the same for few and for all.
        """
        diagonal, beside, _ = self._reduced()
        values, vectors = eigenpairs_of_tridiagonal(diagonal, beside)
        return values, self._turned(np.asfortranarray(vectors[:, ::-1][:, :number]))

    def all(self) -> FloatArray:
        """Every eigenvalue, ascending. Nothing can be asked afterwards where nothing was reduced before."""
        if not self.is_reduced and self.side > DENSE_SIDE:
            return symmetric_eigenvalues(self.lower)
        diagonal, beside, _ = self._reduced()
        return eigenvalues_of_tridiagonal(diagonal, beside)

    def _by_reduction(self, number: int) -> tuple[FloatArray, FloatArray]:
        diagonal, beside, _ = self._reduced()
        values, vectors = largest_of_tridiagonal(diagonal, beside, number)
        return values, self._turned(vectors)

    def _turned(self, vectors: FloatArray) -> FloatArray:
        """Vectors of the tridiagonal as those of the matrix, in their memory."""
        number = vectors.shape[1]
        if not number:
            return vectors
        status, size = integers(), number * 64
        work, reflectors = np.empty(size), self._reduced()[2]
        sides = (self.side, number, self.lower, self.side, reflectors, vectors, self.side)
        call(scipys("dormtr"), "L", "L", "N", *sides, work, size, status)
        return vectors

    def _reduced(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Diagonal and subdiagonal of the tridiagonal, and what its reflectors need beside the matrix."""
        if self._tridiagonal is None:
            self._tridiagonal = tridiagonal(self.lower)
        return self._tridiagonal

    def _times(self, v: FloatArray) -> FloatArray:
        side, result = self.side, np.zeros(self.side)
        call(scipys("dsymv"), "L", side, 1.0, self.lower, side, np.ascontiguousarray(v), 1, 0.0, result, 1)
        return result


def steps_pay(number: int, side: int) -> bool:
    """Whether so many pairs of a matrix cost less by Lanczos' iteration than by its reduction."""
    return side > DENSE_SIDE and 4 * number < side


def by_lanczos(
    times: Callable[[FloatArray], FloatArray], side: int, number: int
) -> tuple[FloatArray, FloatArray] | None:
    """The `number` largest eigenvalues, in no order, and vectors of what multiplies a vector; None without convergence.

    Examples
    --------
    >>> values, vectors = by_lanczos(lambda v: np.arange(50.0) * v, 50, 2)
    >>> sorted(values.round(6).tolist()), vectors.shape
    ([48.0, 49.0], (50, 2))
    """
    product = LinearOperator((side, side), dtype=np.float64, matvec=lambda v: times(v.ravel()))
    start = np.random.default_rng(0).normal(size=side)
    try:
        return eigsh(product, k=number, which="LA", v0=start, tol=LANCZOS_TOLERANCE)
    except ArpackError as error:
        logger.info("Lanczos of side %d: %s; all of it is decomposed", side, error)
        return None


def largest_of_tridiagonal(diagonal: FloatArray, beside: FloatArray, number: int) -> tuple[FloatArray, FloatArray]:
    """The `number` largest eigenvalues, ascending, of a symmetric tridiagonal matrix, and vectors in columns.

    By bisection and inverse iteration (LAPACK's `stebz` and `stein`).

    Examples
    --------
    >>> values, vectors = largest_of_tridiagonal(np.array([2.0, 2.0]), np.array([1.0]), 1)
    >>> values.round(12).tolist(), (vectors[0] * vectors[1]).round(12).tolist()
    ([3.0], [0.5])
    """
    side, status = diagonal.size, integers()
    counts, blocks, ends = integers(2), integers(side), integers(side)
    values, work, whole = np.empty(side), np.empty(5 * side), integers(3 * side)
    # What LAPACK is given of nothing is still an address.
    beside = beside if beside.size else np.zeros(1)
    found, splits = counts[:1], counts[1:]
    # In the order of blocks, which `stein` wants; range and tolerance by number and by default.
    asked = "I", "B", side, 0.0, 0.0, side - number + 1, side, 0.0
    call(scipys("dstebz"), *asked, diagonal, beside, found, splits, values, blocks, ends, work, whole, status)
    check_converged("dstebz", status)
    number = int(found.view(np.int32)[0])
    vectors, failed = np.empty((side, number), order="F"), integers(max(1, number))
    of_these = diagonal, beside, number, values, blocks, ends, vectors, side
    call(scipys("dstein"), side, *of_these, work, whole, failed, status)
    check_converged("dstein", status)
    order = np.argsort(values[:number])
    return values[:number][order], np.asfortranarray(vectors[:, order])


def eigenpairs_of_tridiagonal(diagonal: FloatArray, beside: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Every eigenvalue, ascending, of a symmetric tridiagonal matrix, and vectors in columns (LAPACK's `stedc`).

    Examples
    --------
    >>> values, vectors = eigenpairs_of_tridiagonal(np.array([2.0, 2.0]), np.array([1.0]))
    >>> values.round(12).tolist(), (vectors[0] * vectors[1]).round(12).tolist()
    ([1.0, 3.0], [-0.5, 0.5])
    """
    side, status = diagonal.size, integers()
    values, rest, vectors = diagonal.copy(), np.append(beside, 0.0), np.empty((side, side), order="F")

    def run(*work: Any) -> None:
        call(scipys("dstedc"), "I", side, values, rest, vectors, max(1, side), *work, status)
        check_converged("dstedc", status)

    with_workspace(run)
    return values, vectors
