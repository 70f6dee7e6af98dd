"""Eigenvalues of a matrix now, and its leading directions when they are wanted: one reduction for both."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.arrays import EPS_FLOAT64, precision
from .directions import Directions, directions
from .eigenvalues import GRAM_RESOLUTION, gram, scaled_eigenvalues, singular_values
from .leading import Leading
from .scaled import Scaled, is_moderate


class Decomposed:
    """Eigenvalues of the smaller Gram matrix of a matrix, as `scaled_eigenvalues` has them, and what else it says.

    Attributes
    ----------
    eigenvalues : Scaled
        To the last bit those of `scaled_eigenvalues` up to the side from which that reduces in two stages.

    Notes
    -----
    Until `leading` was asked the reduced Gram matrix is kept, 8 M^2 bytes; of weights stored in float64, on a device,
    or of a size beyond the middle of float64's range nothing is kept, and they are decomposed again.

    Examples
    --------
    >>> found = Decomposed(np.diag([1.0, 5.0, 2.0]).astype(np.float32))
    >>> found.eigenvalues.plain.tolist(), np.abs(found.leading(1).vectors.T).tolist()
    ([1.0, 4.0, 25.0], [[0.0, 1.0, 0.0]])
    """

    def __init__(self, matrix: Any, device: str = "cpu") -> None:
        self.matrix = matrix
        self._pairs = self._reduced() if device == "cpu" else None
        if self._pairs is None:
            self.eigenvalues = scaled_eigenvalues(matrix, device)
            return
        values = self._pairs.all()
        if values[0] < GRAM_RESOLUTION * values[-1]:
            values = singular_values(matrix) ** 2
        self.eigenvalues = Scaled(np.maximum(values, 0.0))

    def _reduced(self) -> Leading | None:
        """Of the Gram matrix; None where it does not serve."""
        if not min(self.matrix.shape) or precision(self.matrix) == EPS_FLOAT64:
            return None
        total = gram(self.matrix)
        if not is_moderate(float(np.diagonal(total).max())):
            return None
        return Leading(total, reduced=True)

    def leading(self, count: int) -> Directions | None:
        """All singular values, and the vectors of at least the `count` largest; None where an entry is not finite.

        Asked once.
        """
        pairs, self._pairs = self._pairs, None
        if pairs is None:
            return directions(self.matrix)
        values, vectors = pairs.many(min(count, pairs.side))
        return Directions(np.sqrt(np.maximum(values[::-1], 0.0)), vectors)
