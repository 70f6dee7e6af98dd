"""A part of a tensor: matrices of one shape whose eigenvalues are pooled, and how they are taken out of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Part:
    """One row of the table: matrices of one shape whose eigenvalues are pooled.

    Attributes
    ----------
    label : str
        The column `slice`; empty when the part is the whole tensor.
    layer_type : str
        `dense`, `embedding`, `conv1d`, `conv2d`, `conv3d`, `expert`, `gate`, `attention`, `fused` or `stack`.
    kind : str
        How the matrices are cut: `whole`, `kernel` (pooled over all axes but two), `index` (one place of all axes
        but two), `rows`, `columns` (of one such place), `fold` (leading axes are rows, the rest columns).
    start, stop : int
        Position of the cut; for `index` the flattened place is `start`, for `fold` the number of leading axes.
    rows, columns : int
        Shape of each matrix.
    count : int
        Number of pooled matrices.
    layout : str
        What was taken out of the tensor, in words: the column `layout`.
    axes : (int, int)
        Which axes of the tensor are the matrix, rows first.
    period : int
        For `rows` and `columns`: the cut from `start` to `stop` repeats after so many; 0 where it does not.
    place : int
        For `rows` and `columns`: the flattened place of the axes that are not `axes`.
    groups : int
        For `kernel`: number of blocks on the diagonal of each slice, which are stacked by rows.
    """

    label: str
    layer_type: str
    kind: str
    rows: int
    columns: int
    start: int = 0
    stop: int = 0
    count: int = 1
    layout: str = ""
    axes: tuple[int, int] = (-2, -1)
    period: int = 0
    place: int = 0
    groups: int = 1

    @property
    def num_evals(self) -> int:
        """Eigenvalues of this part."""
        return min(self.rows, self.columns) * self.count

    @property
    def is_view(self) -> bool:
        """True when `matrices` gives views into a tensor, False when it gives copies, which `put` writes back."""
        return self.kind != "fold" and (not self.period or self.stop - self.start == 1)

    @property
    def is_weightwatchers(self) -> bool:
        """True for the matrices that WeightWatcher's own row of a tensor called `weight` is of."""
        return self.kind == "whole" or (self.kind == "kernel" and self.axes == (0, 1) and self.groups == 1)

    def index(self, shape: Sequence[int]) -> tuple:
        """Where the part lies in a tensor of this shape, as an index of numpy's; empty when it needs all of it.

        >>> Part("1,2", "expert", "index", 64, 32, start=5).index((4, 3, 64, 32))
        (1, 2)
        """
        if self.kind not in ("index", "rows", "columns"):
            return ()
        found = self._at(shape, self.start if self.kind == "index" else self.place)
        if self.kind != "index" and not self.period:
            found[self._axes(shape)[self.kind == "columns"]] = slice(self.start, self.stop)
        while found and found[-1] == slice(None):
            found.pop()
        return tuple(found)

    def kernel(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The sides of the kernel whose slices are pooled; empty for a part of any other kind."""
        pooled = self.kind == "kernel" and self.groups == 1
        return tuple(shape[axis] for axis in self._places(shape)) if pooled else ()

    def matrices_of_cut(self, cut: Any) -> list[Any]:
        """The matrices in what `index` has taken out of the tensor."""
        if self.kind in ("whole", "kernel", "fold"):
            return self.matrices(cut)
        turned = cut.T if self.axes[0] > self.axes[1] else cut
        return [self._repeated(turned)] if self.period else [turned]

    def matrices(self, tensor: Any) -> list[Any]:
        """The matrices of this part of `tensor` (numpy or torch, of any strides): views where `is_view`."""
        shape = tensor.shape
        if self.kind == "fold":
            return [tensor.reshape(math.prod(shape[: self.start]), -1)]
        if self.kind == "kernel":
            return self._slices(tensor)
        if self.kind == "whole":
            return [self._matrix_at(tensor, 0)]
        matrix = self._matrix_at(tensor, self.start if self.kind == "index" else self.place)
        if self.kind == "index":
            return [matrix]
        if self.period:
            return [self._repeated(matrix)]
        return [matrix[self.start : self.stop] if self.kind == "rows" else matrix[:, self.start : self.stop]]

    def put(self, tensor: Any, matrices: Sequence[Any]) -> None:
        """Write matrices that are no views back into the torch tensor they were taken from."""
        if self.kind == "fold":
            tensor.copy_(matrices[0].reshape(tensor.shape))
        elif not self.is_view:
            blocks = self._blocks(self._matrix_at(tensor, self.place))
            blocks.copy_(matrices[0].reshape(blocks.shape))

    def _repeated(self, matrix: Any) -> Any:
        """Every `period` rows or columns those from `start` to `stop`."""
        if self.stop - self.start == 1:
            one = slice(self.start, None, self.period)
            return matrix[one] if self.kind == "rows" else matrix[:, one]
        return self._blocks(matrix).reshape(self.rows, self.columns)

    def _blocks(self, matrix: Any) -> Any:
        """The repeated cut as a view of three axes."""
        rows, columns = matrix.shape
        if self.kind == "rows":
            return matrix.reshape(rows // self.period, self.period, columns)[:, self.start : self.stop]
        return matrix.reshape(rows, columns // self.period, self.period)[:, :, self.start : self.stop]

    def _axes(self, shape: Sequence[int]) -> tuple[int, int]:
        return self.axes[0] % len(shape), self.axes[1] % len(shape)

    def _places(self, shape: Sequence[int]) -> list[int]:
        return [axis for axis in range(len(shape)) if axis not in self._axes(shape)]

    def _at(self, shape: Sequence[int], position: int) -> list[Any]:
        """The index of the matrix at a flattened place of the other axes."""
        places = self._places(shape)
        found: list[Any] = [slice(None)] * len(shape)
        for axis, at in zip(places, position_in(position, [shape[axis] for axis in places])):
            found[axis] = at
        return found

    def _matrix_at(self, tensor: Any, position: int) -> Any:
        matrix = tensor[tuple(self._at(tensor.shape, position))]
        rows, columns = self._axes(tensor.shape)
        return matrix if rows < columns else matrix.T

    def _slices(self, tensor: Any) -> list[Any]:
        count = self.count // self.groups
        slices = [self._matrix_at(tensor, position) for position in range(count)]
        if self.groups == 1:
            return slices
        bounds = [(group * self.rows, (group + 1) * self.rows) for group in range(self.groups)]
        return [matrix[start:stop] for matrix in slices for start, stop in bounds]


def position_in(position: int, leading: Sequence[int]) -> tuple[int, ...]:
    """The index of leading axes at a flattened position, the last axis fastest.

    >>> position_in(5, (4, 3))
    (1, 2)
    """
    return tuple(int(index) for index in np.unravel_index(position, tuple(leading))) if leading else ()
