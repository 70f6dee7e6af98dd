"""Eigenvalues of a symmetric matrix in place, by the two-stage reduction where it is faster.

LAPACK's `dsyevd_2stage` reduces a full matrix to a band by matrix products and the band to a tridiagonal by bulge
chasing; the usual `dsyevd` spends half of its work in matrix-vector products, which are bound by memory once the
matrix has left the cache. scipy does not wrap the routine, but the BLAS it has loaded contains it.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import sys
from collections.abc import Callable

import numpy as np
import scipy.linalg

from .contracts import FloatArray

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
    if routine is not None and lower.flags.f_contiguous and lower.dtype == np.float64:
        return two_stage_eigenvalues(lower, routine)
    return scipy.linalg.eigh(lower, lower=True, eigvals_only=True, overwrite_a=True, driver="evd", check_finite=False)


def two_stage_eigenvalues(lower: FloatArray, routine: Callable[..., None]) -> FloatArray:
    """`symmetric_eigenvalues` by one LAPACK routine, with about 105 M doubles of workspace."""
    side = lower.shape[0]
    values = np.empty(side)
    work, integers = np.empty(1), np.zeros(1, dtype=np.int64)
    _call(routine, lower, values, work, -1, integers, -1)
    work = np.empty(int(work[0]))
    integers = np.zeros(max(1, int(integers[0])), dtype=np.int64)
    info = _call(routine, lower, values, work, work.size, integers, integers.size)
    if info:
        raise np.linalg.LinAlgError(f"dsyevd_2stage: the eigenvalues did not converge (info {info})")
    return values


@functools.cache
def two_stage_routine() -> Callable[..., None] | None:
    """LAPACK's `dsyevd_2stage` in the libraries this process has loaded; None where there is none."""
    if sys.byteorder != "little":
        return None
    # It knows which BLAS libraries are loaded, and from where.
    import threadpoolctl

    for library in threadpoolctl.threadpool_info():
        if library["user_api"] != "blas":
            continue
        loaded = ctypes.CDLL(library["filepath"])
        for symbol in SYMBOLS:
            if hasattr(loaded, symbol):
                routine = getattr(loaded, symbol)
                routine.restype = None
                return routine
    logger.debug("no dsyevd_2stage in the BLAS that is loaded: dsyevd at every size")
    return None


def _call(
    routine: Callable[..., None],
    lower: FloatArray,
    values: FloatArray,
    work: FloatArray,
    work_size: int,
    integers: np.ndarray,
    integers_size: int,
) -> int:
    """One call by reference. Integers are passed in 64 bits; a library of 32-bit integers reads the lower half."""
    side, info = ctypes.c_int64(lower.shape[0]), ctypes.c_int64(0)
    routine(
        ctypes.c_char_p(b"N"),
        ctypes.c_char_p(b"L"),
        ctypes.byref(side),
        ctypes.c_void_p(lower.ctypes.data),
        ctypes.byref(side),
        ctypes.c_void_p(values.ctypes.data),
        ctypes.c_void_p(work.ctypes.data),
        ctypes.byref(ctypes.c_int64(work_size)),
        ctypes.c_void_p(integers.ctypes.data),
        ctypes.byref(ctypes.c_int64(integers_size)),
        ctypes.byref(info),
        # Fortran compilers pass the lengths of strings behind all arguments.
        ctypes.c_size_t(1),
        ctypes.c_size_t(1),
    )
    return info.value
