"""Eigenvalues of a symmetric matrix in place, by the two-stage reduction where it is faster.

LAPACK's `dsyevd_2stage` reduces a full matrix to a band by matrix products and the band to a tridiagonal by bulge
chasing; the usual `dsyevd` spends half of its work in matrix-vector products, which are bound by memory once the
matrix has left the cache. scipy does not wrap the routine, but a BLAS that is loaded with it contains it.
"""

from __future__ import annotations

import logging

import numpy as np

from .contracts import FloatArray
from .fortran import Integer, Routine, call, loaded, scipys

logger = logging.getLogger(__name__)

# Measured on one core with OpenBLAS 0.3.31 (scripts/bench/speed.py): even at 2500, 1.5 times faster at 4096.
TWO_STAGE_FROM = 2560
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
    routine = two_stage_routine() if lower.shape[0] >= TWO_STAGE_FROM else None
    return eigenvalues_by(routine or scipys("dsyevd"), np.require(lower, np.float64, ["F", "W"]))


def eigenvalues_by(routine: Routine, lower: FloatArray) -> FloatArray:
    """`symmetric_eigenvalues` by `dsyevd` or a routine of the same arguments.

    The two-stage one has about 105 M doubles of workspace, the usual one 66 M at most.
    """
    side = lower.shape[0]
    values, status = np.empty(side), np.zeros(1, dtype=Integer)
    work, integers = np.zeros(1), np.zeros(1, dtype=Integer)
    sizes = -1, -1
    for is_query in (True, False):
        call(routine, "N", "L", side, lower, max(1, side), values, work, sizes[0], integers, sizes[1], status)
        if status[0]:
            # Its upper half is not written by a library of 32-bit integers.
            info = int(status.view(np.int32)[0])
            raise np.linalg.LinAlgError(f"LAPACK's dsyevd: the eigenvalues did not converge (info {info})")
        if is_query:
            sizes = max(1, int(work[0])), max(1, int(integers[0]))
            work, integers = np.empty(sizes[0]), np.zeros(sizes[1], dtype=Integer)
    return values


def two_stage_routine() -> Routine | None:
    """LAPACK's `dsyevd_2stage` in the libraries this process has loaded; None where there is none."""
    routine = loaded(SYMBOLS, strings=2)
    if routine is None:
        logger.debug("no dsyevd_2stage in the BLAS that is loaded: dsyevd at every size")
    return routine
