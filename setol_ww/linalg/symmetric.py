"""Eigenvalues of a symmetric matrix in place, by the two-stage reduction where it is faster.

LAPACK's `dsyevd_2stage` reduces a full matrix to a band by matrix products and the band to a tridiagonal by bulge
chasing; the usual `dsyevd` spends half of its work in matrix-vector products, which are bound by memory once the
matrix has left the cache. scipy does not wrap the routine, but a BLAS that is loaded with it contains it.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

import numpy as np

from ..core.arrays import FloatArray
from .routines import Routine, call, check_converged, integers, loaded, scipys, with_workspace

logger = logging.getLogger(__name__)

# Measured on one core with OpenBLAS 0.3.31 (scripts/bench/speed.py): even at 2500, 1.4 times faster at 4096.
TWO_STAGE_FROM = 2560
# Columns that `sytrd` reduces before it touches the others, told by its workspace: LAPACK's own 32 whatever the size
# take 1.2 to 1.3 times as long as 8 from 48 to 400 columns, 1.15 times up to 800, and are even from 1000 on.
NARROW, WIDE, NARROW_BELOW = 8, 32, 1400
SYMBOLS = ("scipy_dsyevd_2stage_", "dsyevd_2stage_", "scipy_dsyevd_2stage_64_", "dsyevd_2stage_64_")


def symmetric_eigenvalues(lower: FloatArray) -> FloatArray:
    """Eigenvalues, ascending, of the symmetric matrix whose lower triangle is given; its memory is overwritten.

    Parameters
    ----------
    lower : ndarray of float64, shape (M, M), Fortran order
        Entries above the diagonal are not read. All entries below must be finite.

    Raises
    ------
    numpy.linalg.LinAlgError
        When the iteration does not converge.

    Examples
    --------
    >>> symmetric_eigenvalues(np.asfortranarray([[2.0, 0.0], [1.0, 2.0]])).round(12).tolist()
    [1.0, 3.0]
    """
    lower = np.require(lower, np.float64, ["F", "W"])
    routine = two_stage_routine() if lower.shape[0] >= TWO_STAGE_FROM else None
    if routine is not None:
        return eigenvalues_by(routine, lower)
    # What `dsyevd` calls, without its own look at the size of the entries.
    diagonal, beside, _ = tridiagonal(lower)
    return eigenvalues_of_tridiagonal(diagonal, beside)


def tridiagonal(lower: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Diagonal and subdiagonal of the tridiagonal matrix with the same eigenvalues, by LAPACK's `sytrd`.

    The matrix, and the third of what is returned, are left with the reflectors that turn its vectors back.
    """
    side, status = lower.shape[0], integers()
    size = side * (NARROW if side < NARROW_BELOW else WIDE)
    diagonal, beside = np.empty(side), np.empty(max(1, side - 1))
    reflectors, work = np.empty(max(1, side - 1)), np.empty(size)
    call(scipys("dsytrd"), "L", side, lower, side, diagonal, beside, reflectors, work, size, status)
    return diagonal, beside[: side - 1], reflectors


def eigenvalues_of_tridiagonal(diagonal: FloatArray, beside: FloatArray) -> FloatArray:
    """Every eigenvalue, ascending, of a symmetric tridiagonal matrix (LAPACK's `sterf`).

    Examples
    --------
    >>> eigenvalues_of_tridiagonal(np.array([2.0, 2.0]), np.array([1.0])).round(12).tolist()
    [1.0, 3.0]
    """
    values, rest, status = diagonal.copy(), beside.copy(), integers()
    call(scipys("dsterf"), values.size, values, rest, status)
    check_converged("dsterf", status)
    return values


def symmetric_eigenpairs(lower: FloatArray) -> tuple[FloatArray, FloatArray]:
    """`symmetric_eigenvalues` and orthonormal eigenvectors in columns, which take the memory of the matrix.

    Examples
    --------
    >>> values, vectors = symmetric_eigenpairs(np.asfortranarray([[2.0, 0.0], [1.0, 2.0]]))
    >>> values.round(12).tolist(), (vectors[0] * vectors[1]).round(12).tolist()
    ([1.0, 3.0], [-0.5, 0.5])
    """
    lower = np.require(lower, np.float64, ["F", "W"])
    return eigenvalues_by(scipys("dsyevd"), lower, "V"), lower


def eigenvalues_by(routine: Routine, lower: FloatArray, vectors: str = "N") -> FloatArray:
    """`symmetric_eigenvalues` by `dsyevd` or a routine of the same arguments; `V` leaves vectors in `lower`.

    The two-stage one has about 105 M doubles of workspace, the usual one 34 M and two matrices with vectors.
    """
    side = lower.shape[0]
    values, status = np.empty(side), integers()

    def run(*work: Any) -> None:
        call(routine, vectors, "L", side, lower, max(1, side), values, *work, status)
        check_converged("dsyevd", status)

    with_workspace(run)
    return values


@functools.cache
def two_stage_routine() -> Routine | None:
    """LAPACK's `dsyevd_2stage` in the libraries this process has loaded; None where there is none."""
    routine = loaded(SYMBOLS, strings=2)
    if routine is None:
        logger.debug("no dsyevd_2stage in the BLAS that is loaded: dsyevd at every size")
    return routine
