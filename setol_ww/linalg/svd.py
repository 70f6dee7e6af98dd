"""Singular values of a square matrix in place, with right singular vectors where they are wanted."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.arrays import FloatArray
from .routines import call, check_converged, integers, scipys, with_workspace


def svd(square: FloatArray, *, right: bool = False) -> tuple[FloatArray, FloatArray]:
    """Singular values, descending, and right singular vectors in rows; the memory of the matrix is overwritten.

    Parameters
    ----------
    square : ndarray of float64, shape (M, M), Fortran order
        All entries must be finite.
    right : bool
        Without it there are no vectors, an array of shape (0, 0).

    Raises
    ------
    numpy.linalg.LinAlgError
        When the iteration does not converge.

    Examples
    --------
    >>> values, rows = svd(np.asfortranarray([[0.0, -2.0], [1.0, 0.0]]), right=True)
    >>> values.tolist(), np.abs(rows).tolist()
    ([2.0, 1.0], [[0.0, 1.0], [1.0, 0.0]])
    """
    total = np.require(square, np.float64, ["F", "W"])
    side = total.shape[0]
    values, status, whole = np.empty(side), integers(), integers(8 * side)
    rows = np.empty((side, side) if right else (0, 0), order="F")
    # Left ones are written over the matrix.
    vectors = np.zeros(1), 1, rows if right else np.zeros(1), max(1, rows.shape[0])

    def run(work: FloatArray, size: int, *_: Any) -> None:
        sides = (side, side, total, max(1, side))
        call(scipys("dgesdd"), "O" if right else "N", *sides, values, *vectors, work, size, whole, status)
        check_converged("dgesdd", status)

    with_workspace(run)
    return values, rows
