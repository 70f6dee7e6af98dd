"""A part of a tensor: matrices of one shape whose eigenvalues are pooled, and how they are taken out of it."""

from __future__ import annotations

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
        `dense`, `embedding`, `conv1d`, `conv2d`, `conv3d`, `expert`, `gate`, `attention` or `stack`.
    kind : str
        How the matrices are cut: `whole`, `kernel` (all axes but two), `index` (leading axes), `rows`, `columns`.
    start, stop : int
        Position of the cut; for `index` the flattened leading index is `start`.
    rows, columns : int
        Shape of each matrix.
    count : int
        Number of pooled matrices.
    layout : str
        What was taken out of the tensor, in words: the column `layout`.
    axes : (int, int)
        For `kernel`: which axes of the tensor are the matrix; the others are the kernel.
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
    axes: tuple[int, int] = (0, 1)

    @property
    def num_evals(self) -> int:
        """Eigenvalues of this part."""
        return min(self.rows, self.columns) * self.count

    def index(self, shape: Sequence[int]) -> tuple:
        """Where the part lies in a tensor of this shape, as an index of numpy's; empty when it needs all of it.

        >>> Part("1,2", "expert", "index", 64, 32, start=5).index((4, 3, 64, 32))
        (1, 2)
        """
        if self.kind == "index":
            return position_in(self.start, shape[:-2])
        if self.kind == "rows":
            return (slice(self.start, self.stop),)
        if self.kind == "columns":
            return (slice(None), slice(self.start, self.stop))
        return ()

    def kernel(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The sides of the kernel whose slices are pooled; empty for a part of any other kind."""
        return tuple(shape[axis] for axis in self._places(shape)) if self.kind == "kernel" else ()

    def matrices_of_cut(self, cut: Any) -> list[Any]:
        """The 2-D views of what `index` has taken out of the tensor."""
        return self.matrices(cut) if self.kind in ("whole", "kernel") else [cut]

    def matrices(self, tensor: Any) -> list[Any]:
        """The 2-D views of `tensor` (numpy or torch, of any strides) that belong to this part."""
        if self.kind == "whole":
            return [tensor[(0,) * (len(tensor.shape) - 2)]]
        if self.kind == "kernel":
            return self._slices(tensor)
        if self.kind == "index":
            return [tensor[position_in(self.start, tensor.shape[:-2])]]
        if self.kind == "rows":
            return [tensor[self.start : self.stop]]
        return [tensor[:, self.start : self.stop]]

    def _places(self, shape: Sequence[int]) -> list[int]:
        return [axis for axis in range(len(shape)) if axis not in self.axes]

    def _slices(self, tensor: Any) -> list[Any]:
        places = self._places(tensor.shape)
        found = []
        for place in np.ndindex(*(int(tensor.shape[axis]) for axis in places)):
            index: list[Any] = [slice(None)] * len(tensor.shape)
            for axis, at in zip(places, place):
                index[axis] = at
            matrix = tensor[tuple(index)]
            found.append(matrix if self.axes[0] < self.axes[1] else matrix.T)
        return found


def position_in(position: int, leading: Sequence[int]) -> tuple[int, ...]:
    """The index of leading axes at a flattened position, the last axis fastest.

    >>> position_in(5, (4, 3))
    (1, 2)
    """
    indices = []
    for size in reversed(leading):
        indices.append(position % size)
        position //= size
    return tuple(int(index) for index in reversed(indices))
