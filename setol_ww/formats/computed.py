"""Tensors that do not lie in a file as they are: in blocks of codes, in chunks, behind a library of their own.

`Computed` keeps which places along each axis were asked for; what makes the values of them is a format's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from .blocks import Block
from .handle import Handle
from .stored import Stored, contiguous

# Values that are decoded in one step.
STEP = 2**19
Place = range | int


@dataclass(frozen=True)
class Computed(Stored):
    """A tensor that is computed part by part.

    Attributes
    ----------
    whole : tuple of int
        Its shape where it is stored.
    places : tuple of range or int
        What is asked of each axis of that.
    """

    whole: tuple[int, ...] = ()
    places: tuple[Place, ...] = ()

    def part(self, index: tuple) -> Computed:
        if len(index) > len(self.shape):
            raise IndexError(f"the index {index} was asked of a tensor of {len(self.shape)} dimensions")
        asked = list(index) + [slice(None)] * (len(self.shape) - len(index))
        places: list[Place] = []
        for place in self.places:
            taken = place[asked.pop(0)] if isinstance(place, range) else place
            if isinstance(taken, range) and taken.step < 0:
                raise IndexError(f"the index {index} was asked; accepted are slices that go forward")
            places.append(taken)
        shape = shape_at(places)
        return replace(self, shape=shape, strides=contiguous(shape), places=tuple(places))

    def read(self, handle: Handle) -> Any:
        if self.unfit:
            raise handle.unreadable(self.unfit)
        return self.compute(handle)

    def compute(self, handle: Handle) -> Any:
        """The values at the places."""
        raise NotImplementedError

    def index(self) -> tuple:
        """The places as an index of numpy's."""
        return tuple(
            slice(place.start, place.stop, place.step) if isinstance(place, range) else place for place in self.places
        )


def shape_at(places: list[Place]) -> tuple[int, ...]:
    """The shape of what lies at some places."""
    return tuple(len(place) for place in places if isinstance(place, range))


def all_places(shape: tuple[int, ...]) -> tuple[Place, ...]:
    """Every place of a shape."""
    return tuple(range(side) for side in shape)


@dataclass(frozen=True)
class Coded(Computed):
    """Rows of blocks along the last axis, each so many values in so many bytes.

    Attributes
    ----------
    per_block, block_bytes : int
        Values and bytes of a block.
    decode : callable
        Takes rows of bytes and gives rows of float32.
    factor : Stored, optional
        One factor for the whole, or one for each index of the first axis.
    """

    per_block: int = 1
    block_bytes: int = 1
    decode: Callable[[np.ndarray], np.ndarray] = np.asarray
    factor: Stored | None = None

    def compute(self, handle: Handle) -> Any:
        import torch

        *leading, last = [range(place, place + 1) if isinstance(place, int) else place for place in self.places]
        if not math.prod(self.shape):
            return torch.empty(self.shape)
        first, stop = last[0] // self.per_block, last[-1] // self.per_block + 1
        columns = slice(last[0] - first * self.per_block, last[-1] + 1 - first * self.per_block, last.step)
        made = np.empty((math.prod(map(len, leading)), len(last)), np.float32)
        done = 0
        for row, number in _runs(leading, self.whole[:-1], max(1, STEP // ((stop - first) * self.per_block))):
            made[done : done + number] = self._rows(handle, row, number, first, stop)[:, columns]
            done += number
        made = made.reshape([*map(len, leading), len(last)])
        if self.factor is not None:
            made *= _factors(np.asarray(self.factor.read(handle), np.float32).reshape(-1), leading, made.ndim)
        return torch.from_numpy(made.reshape(self.shape))

    def _rows(self, handle: Handle, row: int, number: int, first: int, stop: int) -> np.ndarray:
        """Rows one behind the other, of each the blocks from `first` to `stop`."""
        width = self.whole[-1] // self.per_block * self.block_bytes
        low, high = first * self.block_bytes, stop * self.block_bytes
        raw = cast(Block, self.block).read(handle, row * width + low, (row + number - 1) * width + high)
        if high - low < width:
            padded = np.zeros(number * width, np.uint8)
            padded[: raw.size] = raw
            raw = padded.reshape(number, width)[:, : high - low]
        # Codes of no meaning may be infinite; that is for the analysis to say.
        with np.errstate(all="ignore"):
            return self.decode(np.ascontiguousarray(raw.reshape(number, high - low)))


def _factors(factors: np.ndarray, leading: list[range], dimensions: int) -> np.ndarray:
    taken = factors if factors.size == 1 else factors[leading[0].start : leading[0].stop : leading[0].step]
    return taken.reshape([-1] + [1] * (dimensions - 1))


def _runs(leading: list[range], whole: tuple[int, ...], most: int):
    """Rows that stand one behind the other, as first row and number, at most so many at once."""
    if not leading:
        yield 0, 1
        return
    *outer, rows = leading
    for place in np.ndindex(*map(len, outer)):
        row = 0
        for axis, at in enumerate(place):
            row = row * whole[axis] + outer[axis][at]
        row *= whole[-1]
        if rows.step == 1:
            for start in range(0, len(rows), most):
                yield row + rows[start], min(most, len(rows) - start)
        else:
            for at in rows:
                yield row + at, 1
