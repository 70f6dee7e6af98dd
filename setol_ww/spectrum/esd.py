"""The eigenvalues of W^T W in float64, with the shape and the precision they came from.

Scale is always named: `raw` is sigma^2 of W as it stands, `unit_mean` is raw divided by its mean, the scale on
which the trace-log condition of SETOL is stated (arXiv 2507.17912, Eq. 126; mean eigenvalue 1, so Tr X = M).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..core.arrays import EPS_FLOAT64, FloatArray, as_matrix, as_vector, precision
from ..core.checks import positive_integer
from ..core.errors import InvalidInput
from ..linalg.device import check_device
from ..linalg.eigenvalues import scaled_eigenvalues_of
from ..linalg.scaled import Scaled, moderate, representable, with_one_exponent
from .starts import Scan

# The rank rule max(N, M) * eps reaches 1 for a table of millions of rows, although rounding errors of a column grow
# with its square root at most: the size counts no further than this.
LARGEST_SIDE_OF_ROUNDING = 2**14


@dataclass(frozen=True)
class Spectrum:
    r"""Eigenvalues :math:`L_i = \sigma_i^2` of :math:`W^T W`, ascending, of one matrix or of pooled slices.

    Made by `Spectrum.from_matrix`, `Spectrum.from_slices` or `Spectrum.from_eigenvalues`.

    Attributes
    ----------
    values : ndarray of float64, ascending
        Eigenvalues in units of 2^exponent; all NaN when W has an entry that is not finite.
    N, M : int
        Larger and smaller side of W (of one slice when slices are pooled).
    slices : int
        Number of pooled matrices; `raw` has `M * slices` values.
    eps : float
        Machine epsilon of the stored weights. Half precision counts as float32: its values are exact in
        float32, and the literal rule max(N, M) * eps would call every layer of 128 rows rank zero.
    exponent : int
        0 unless the largest eigenvalue lies outside 2^-300 to 2^300; whatever depends on ratios alone is computed
        from `values` and is the same, to the last bit, at every power of two.

    Examples
    --------
    >>> spectrum = Spectrum.from_matrix([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> spectrum.raw.tolist(), spectrum.unit_mean.tolist(), spectrum.Q
    ([1.0, 4.0], [0.4, 1.6], 1.5)
    """

    values: FloatArray = field(repr=False)
    N: int
    M: int
    slices: int = 1
    eps: float = EPS_FLOAT64
    exponent: int = 0

    def __post_init__(self) -> None:
        found = moderate(Scaled(self.values, self.exponent))
        object.__setattr__(self, "values", found.values)
        object.__setattr__(self, "exponent", found.exponent)

    @cached_property
    def raw(self) -> FloatArray:
        """Eigenvalues in units of W squared; inf or 0 where float64 does not hold them, as for entries of 1e160."""
        return Scaled(self.values, self.exponent).plain

    def in_raw_units(self, value: float) -> float:
        """A number in units of `values`, such as one of them, in units of W squared; NaN beyond float64."""
        return representable(value, self.exponent)

    def times(self, factor: float) -> Spectrum:
        """The spectrum of W times the root of `factor`."""
        return self if factor == 1 else replace(self, values=self.values * factor)

    @property
    def Q(self) -> float:
        """Aspect ratio N / M, at least 1; NaN for an empty matrix."""
        return self.N / self.M if self.M else math.nan

    @property
    def num_evals(self) -> int:
        """Number of eigenvalues, zeros among them: M times the number of slices."""
        return self.values.size

    @cached_property
    def is_defined(self) -> bool:
        """True when the eigenvalues are finite and at least one is positive."""
        return bool(self.values.size and np.isfinite(self.values).all() and self.values[-1] > 0)

    @cached_property
    def unit_mean(self) -> FloatArray:
        """Eigenvalues divided by their mean, so the mean is 1; all NaN when none is positive and finite."""
        if not self.is_defined:
            return np.full(self.values.shape, np.nan)
        return self.values * (self.values.size / self.values.sum())

    @property
    def rounding(self) -> float:
        r"""Relative rounding of singular values, :math:`\max(N, M)\,\epsilon`, sides beyond 16384 not counted."""
        return min(max(self.N, self.M), LARGEST_SIDE_OF_ROUNDING) * self.eps

    @cached_property
    def rank(self) -> int:
        r"""Numerical rank :math:`\#\{\sigma > \max(N, M)\,\epsilon\,\sigma_1\}`, summed over pooled slices."""
        if not self.is_defined:
            return 0
        return int(np.count_nonzero(self.values > self.rounding**2 * self.values[-1]))

    @property
    def above_rounding(self) -> Spectrum:
        """The same with exact zeros beyond the numerical rank, where eigenvalues are rounding errors of zero.

        >>> Spectrum.from_eigenvalues([1e-40, 1.0, 2.0]).above_rounding.values.tolist()
        [0.0, 1.0, 2.0]
        """
        zeros = self.num_evals - self.rank
        return replace(self, values=np.concatenate([np.zeros(zeros), self.values[zeros:]])) if zeros else self

    @cached_property
    def scan(self) -> Scan:
        """The starts that a power-law tail of the eigenvalues within the rank may have, in logarithms of unit mean."""
        return Scan(np.log(self.unit_mean[self.num_evals - self.rank :]))

    @cached_property
    def is_flat(self) -> bool:
        """True when the singular values differ by no more than the rounding of the weights."""
        return self.is_defined and bool(self.values[0] >= self.values[-1] * (1 - 2 * self.rounding))

    @classmethod
    def from_matrix(cls, W: Any, *, device: str = "cpu") -> Spectrum:
        r"""Spectrum of one matrix: float64 Gram matrix by row blocks, then a symmetric eigensolver.

        Where the smallest eigenvalue is below 1e-14 of the largest (rank-deficient matrices) the singular
        values are computed instead, because a Gram matrix cannot resolve them.

        Parameters
        ----------
        W : array_like or torch.Tensor, shape (rows, columns)
            Any real dtype, bfloat16 and float8 among them; upcast block by block, never as a whole.

        device : str
            `cpu`, or `cuda` where torch sees a GPU: the same computation in float64 there.

        Raises
        ------
        InvalidInput
            When W is not a two-dimensional array of real numbers, or the device is not there.

        Notes
        -----
        An entry that is not finite gives NaN eigenvalues and rank 0; an empty matrix gives an empty spectrum.
        """
        return cls.from_slices([W], device=device)

    @classmethod
    def from_slices(cls, matrices: Iterable[Any], *, device: str = "cpu") -> Spectrum:
        """Pooled spectrum of equal-sized matrices, as WeightWatcher pools the kernel slices of a convolution.

        Equal to the spectrum of their block-diagonal sum. Parameters and errors as `from_matrix`.
        """
        checked = [as_matrix(matrix) for matrix in matrices]
        shapes = sorted({tuple(sorted(matrix.shape)) for matrix in checked})
        if len(shapes) != 1:
            raise InvalidInput(f"slices of shapes {shapes} were asked to be pooled; accepted is one common shape")
        check_device(device)
        found = scaled_eigenvalues_of(checked, device)
        return cls.pooled(found, checked[0].shape, min(precision(matrix) for matrix in checked))

    @classmethod
    def pooled(cls, found: Sequence[Scaled], shape: tuple[int, int], eps: float) -> Spectrum:
        """From the eigenvalues of each of several matrices of one shape."""
        parts, exponent = with_one_exponent(found)
        values = np.sort(np.concatenate(parts)) if parts else np.empty(0)
        return cls(values, max(shape), min(shape), max(1, len(parts)), eps, exponent)

    @classmethod
    def from_eigenvalues(
        cls,
        raw: Any,
        shape: tuple[int, int] | None = None,
        *,
        slices: int = 1,
        eps: float = EPS_FLOAT64,
    ) -> Spectrum:
        """Spectrum from eigenvalues of W^T W that are known already.

        Parameters
        ----------
        raw : array_like, one-dimensional
            In any order and on any scale; a negative value within rounding of zero counts as zero.
        shape : (int, int), optional
            Shape of W (of one slice); a square matrix with as many rows as eigenvalues when left out.
        slices, eps
            As the attributes.

        Raises
        ------
        InvalidInput
            Not one-dimensional, not real, clearly negative, or not min(shape) * slices values.
        """
        values = np.sort(as_vector(raw))
        if values.size and values[0] < -1e-8 * abs(values[-1]):
            raise InvalidInput(f"the eigenvalue {values[0]:g} was given; W^T W has none below 0")
        side = values.size // positive_integer("slices", slices)
        if shape is not None and len(shape) != 2:
            raise InvalidInput(f"shape={shape!r} was asked; accepted is a pair (rows, columns)")
        rows, columns = shape if shape is not None else (side, side)
        if min(rows, columns) * slices != values.size:
            raise InvalidInput(
                f"{values.size} eigenvalues were given for shape {rows} x {columns} and {slices} slice(s); "
                f"accepted are {min(rows, columns) * slices}"
            )
        return cls(np.maximum(values, 0.0), max(rows, columns), min(rows, columns), slices, eps)
