"""A tensor as it is stored: its bytes, type, shape and strides; and the part of it that an index names, read alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from .blocks import Block
from .handle import Handle, NoText

MAX_DIMENSIONS = 64
LARGEST = 2**63 - 1
WIDEST = 16


@dataclass(frozen=True)
class Header:
    """What a file says of a tensor.

    Attributes
    ----------
    name : str
    shape : tuple of int
    dtype : str
        Without the library's prefix, for instance `bfloat16`.
    unfit : str
        Why it has no values that can be read; empty when it has.
    same_as : str
        Name of an earlier tensor that is the same one, value by value in the same storage.
    values : str
        Type of the values that are handed out, where `dtype` says what was undone.
    facts : mapping
        What the file says of the layer that holds it, as attributes of a module do: `axes`, `groups`, ...
    remark : str
        What is to be said of it where it is analysed.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    unfit: str = ""
    same_as: str = ""
    values: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    remark: str = ""


@dataclass(frozen=True)
class Stored:
    """Where and how the values of a tensor lie.

    Attributes
    ----------
    shape, strides : tuple of int
        In elements.
    dtype : str
        As in `Header`; for numpy the whole type as numpy writes it is in `code`.
    block : Block, optional
        None for a tensor without values, `unfit` saying why.
    offset : int
        Of the first element in its block, in elements.
    itemsize : int
        Bytes of an element.
    library : str
        Whose arrays are handed out: `torch` or `numpy`.
    code : str
        How the library calls the type, where that is not `dtype`: numpy's code with the byte order, which is kept.
    swapped : bool
        True for bytes in the order of another machine that are turned when they are read.
    unfit : str
        Why it has no values that can be read.
    key : object
        Two tensors of one key are one.
    declared : tuple of int, optional
        The shape that the file gives, where several values share an element.
    values, facts, remark
        As in `Header`.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    itemsize: int
    block: Block | None = None
    offset: int = 0
    library: Literal["torch", "numpy"] = "torch"
    code: str = ""
    swapped: bool = False
    unfit: str = ""
    key: Any = None
    declared: tuple[int, ...] | None = None
    values: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    remark: str = ""

    @property
    def n_elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def span(self) -> tuple[int, int]:
        """The first element in the block and the one after the last."""
        if 0 in self.shape:
            return self.offset, self.offset
        last = sum((side - 1) * step for side, step in zip(self.shape, self.strides, strict=True))
        return self.offset, self.offset + last + 1

    def part(self, index: tuple) -> Stored:
        """The part that an index of integers and slices names, as numpy has it."""
        shape, strides, offset = list(self.shape), list(self.strides), self.offset
        if len(index) > len(shape):
            raise IndexError(f"the index {index} was asked of a tensor of {len(shape)} dimensions")
        kept_shape, kept_strides = [], []
        for axis, (side, step) in enumerate(zip(shape, strides)):
            which = index[axis] if axis < len(index) else slice(None)
            if isinstance(which, slice):
                places = range(side)[which]
                if places.step < 0:
                    raise IndexError(f"the index {index} was asked; accepted are slices that go forward")
                offset += places.start * step if len(places) else 0
                kept_shape.append(len(places))
                kept_strides.append(step * places.step)
            else:
                offset += range(side)[which] * step
        return replace(self, shape=tuple(kept_shape), strides=tuple(kept_strides), offset=offset, declared=None)

    def read(self, handle: Handle) -> Any:
        """The values; of the file only the bytes from the first to the last of them."""
        if self.unfit or self.block is None:
            raise handle.unreadable(self.unfit)
        start, stop = self.span()
        if self.n_elements > stop - start:
            raise handle.unreadable(REPEATED)
        flat = self.block.read(handle, start * self.itemsize, stop * self.itemsize)
        return self._numpy(flat) if self.library == "numpy" else self._torch(flat, handle)

    def _numpy(self, flat: np.ndarray) -> np.ndarray:
        dtype = np.dtype(self.code)
        strides = tuple(step * dtype.itemsize for step in self.strides)
        values = np.ndarray(
            self.shape, dtype, flat if flat.size else np.empty(dtype.itemsize or 1, np.uint8), 0, strides
        )
        if self.swapped:
            return values.astype(dtype.newbyteorder("="))
        return values if 2 * self.n_elements * dtype.itemsize > flat.size else values.copy()

    def _torch(self, flat: np.ndarray, handle: Handle) -> Any:
        import torch

        dtype = getattr(torch, self.code or self.dtype, None)
        if not isinstance(dtype, torch.dtype) or dtype.itemsize != self.itemsize:
            raise handle.unreadable(
                f"the torch that is installed ({torch.__version__}) has no type {self.code or self.dtype}"
            )
        if self.swapped and self.n_elements:
            word = self.itemsize // 2 if dtype.is_complex else self.itemsize
            # Of a single element it would stay a view that runs backwards, which torch takes none of.
            flat = np.ascontiguousarray(flat.reshape(-1, word)[:, ::-1]).reshape(-1)
        if self.n_elements == 0:
            return torch.empty(self.shape, dtype=dtype)
        values = torch.from_numpy(flat).view(dtype)
        values = values.as_strided(self.shape, self.strides)
        # A few columns are not to hold the memory of all of them.
        return values if 2 * self.n_elements > values.untyped_storage().nbytes() // self.itemsize else values.clone()


REPEATED = "its strides repeat values: there are fewer in the file than in its shape"


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a tensor whose last axis runs fastest.

    >>> contiguous((4, 3, 2))
    (6, 2, 1)
    """
    steps, step = [], 1
    for side in reversed(shape):
        steps.append(step)
        step *= max(side, 1)
    return tuple(reversed(steps))


def shape_of(values: Any) -> tuple[int, ...]:
    """A shape as a file has it, else `ValueError`: not too many integers from 0, for fewer than 2**63 bytes."""
    shape = sizes_of(values, "shape")
    if math.prod(side for side in shape if side) > LARGEST // WIDEST:
        raise ValueError("a shape with more bytes than 2**63 - 1")
    return shape


def sizes_of(values: Any, what: str) -> tuple[int, ...]:
    """Integers from 0 to 2**63 - 1, at most 64 of them, else `ValueError`."""
    if not isinstance(values, (tuple, list)) or len(values) > MAX_DIMENSIONS:
        raise ValueError(f"a {what} that is no list of at most {MAX_DIMENSIONS} integers")
    return tuple(size_of(side, what) for side in values)


def size_of(value: Any, what: str) -> int:
    """An integer from 0 to 2**63 - 1, else `ValueError`."""
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise ValueError(f"a {what} that is no integer from 0 to 2**63 - 1")
    return value


def refuse_more_slices_than_bytes(shape: Sequence[int], there: int) -> None:
    """`ValueError` for a shape whose matrices alone, at one byte each, would be more than the bytes that are there."""
    if len(shape) > 2 and 0 not in shape and max(math.prod(shape[:-2]), math.prod(shape[2:])) > there:
        raise ValueError(f"the shape {tuple(shape)} has more slices than the {there} bytes behind it")


def name_of(value: Any) -> str:
    """A name of a tensor that can be written down, else `NoText`."""
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NoText(f"a tensor called {ascii(text)[:80]}") from None
    return text
