"""Flax: nested maps of arrays as msgpack, each array a message of its shape, its type and its bytes.

A library for msgpack hands out every array in memory; here the values are walked over and read by their offsets
(https://github.com/msgpack/msgpack/blob/master/spec.md, flax/serialization.py).
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from .base import Contents, Format
from .blocks import Block, FileBlock
from .handle import Handle
from .pickles import Source
from .stored import Stored, contiguous, refuse_more_slices_than_bytes, shape_of
from .torch_objects import ITEMSIZES

DEEPEST = 100
ARRAY = 1
CHUNKED = "__msgpack_chunked_array__"
NUMBERS = dict(zip(range(0xCA, 0xD4), (">f", ">d", ">B", ">H", ">I", ">Q", ">b", ">h", ">i", ">q")))
# First bytes of what has its length behind it: bytes, extensions, text, lists and maps, by width of the length.
BYTES = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
EXTENSIONS = {0xC7: ">B", 0xC8: ">H", 0xC9: ">I"}
TEXTS = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
LISTS = {0xDC: ">H", 0xDD: ">I"}
MAPS = {0xDE: ">H", 0xDF: ">I"}
CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
LONGEST_TEXT = 2**16


def open_flax(handle: Handle) -> Contents:
    """The arrays, nested as they are in the file."""
    walk = _Walk(handle)
    tree = walk.value(0)
    if walk.source.position != handle.size:
        raise handle.unreadable(f"it goes on behind its end at byte {walk.source.position}")
    return Contents(tree, b"".join(walk.heads), plain=False)


class _Walk:
    """From value to value; bytes are passed over."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.source = Source(handle.text, handle.size)
        self.heads: list[bytes] = []

    def number(self, code: str) -> Any:
        """The next number."""
        return struct.unpack(code, self.source.take(struct.calcsize(code)))[0]

    def skip(self, size: int) -> int:
        """Where so many bytes begin, which are passed over."""
        at = self.source.position
        if size > self.handle.size - at:
            raise self.handle.unreadable(f"it is cut short: {size} bytes at {at} of {self.handle.size}")
        self.source = Source(self.handle.text, self.handle.size, at + size)
        return at

    def value(self, depth: int) -> Any:
        """The next value; of an array where it lies."""
        if depth > DEEPEST:
            raise ValueError("maps inside maps without an end")
        first = self.number(">B")
        if first < 0x80 or first >= 0xE0:
            return first if first < 0x80 else first - 256
        if first in CONSTANTS:
            return CONSTANTS[first]
        if first in NUMBERS:
            return self.number(NUMBERS[first])
        if first < 0x90 or first in MAPS:
            return self.map(first & 15 if first < 0x90 else self.number(MAPS[first]), depth)
        if first < 0xA0 or first in LISTS:
            count = first & 15 if first < 0xA0 else self.number(LISTS[first])
            return [self.value(depth + 1) for _ in range(count)]
        if first < 0xC0 or first in TEXTS:
            return self.text(first & 31 if first < 0xC0 else self.number(TEXTS[first]))
        if first in BYTES:
            size = self.number(BYTES[first])
            return FileBlock(self.skip(size), size)
        if first in EXTENSIONS or 0xD4 <= first <= 0xD8:
            return self.extension(self.number(EXTENSIONS[first]) if first in EXTENSIONS else 1 << (first - 0xD4), depth)
        raise ValueError(f"the byte {first:#x} at {self.source.position - 1}, which begins no value")

    def text(self, size: int) -> str:
        """The next text."""
        if size > LONGEST_TEXT:
            raise ValueError(f"a text of {size} bytes")
        found = self.source.take(size)
        self.heads.append(found)
        return found.decode("utf-8", "surrogateescape")

    def map(self, count: int, depth: int) -> Any:
        """The next map; of an array in several pieces that array."""
        found: dict[Any, Any] = {}
        for _ in range(count):
            key = self.value(depth + 1)
            if not isinstance(key, (str, int)):
                raise ValueError(f"a map with a {type(key).__name__} for a key")
            found[key] = self.value(depth + 1)
        return _joined(found, self.handle) if CHUNKED in found else found

    def extension(self, size: int, depth: int) -> Any:
        """The next array; other extensions are passed over."""
        kind, end = self.number(">b"), self.source.position + size
        if kind != ARRAY:
            self.skip(size)
            return None
        parts = self.value(depth + 1)
        if not isinstance(parts, list) or len(parts) != 3 or self.source.position != end:
            raise ValueError(f"an array at byte {end - size} without its shape, type and bytes")
        shape, dtype, block = shape_of(parts[0]), parts[1], parts[2]
        if not isinstance(block, FileBlock) or not isinstance(dtype, str):
            raise ValueError(f"an array at byte {end - size} without its type or bytes")
        self.heads.append(repr((shape, dtype)).encode("utf-8", "backslashreplace"))
        return _stored(shape, dtype, block, self.handle)


def _stored(shape: tuple[int, ...], dtype: str, block: Block, handle: Handle) -> Stored:
    refuse_more_slices_than_bytes(shape, handle.size)
    itemsize = ITEMSIZES.get(dtype, 0)
    if not itemsize:
        unfit = f"values of the type {ascii(dtype)[:40]} are no plain numbers"
        return Stored(shape, contiguous(shape), dtype[:40], 1, unfit=unfit)
    if block.size != math.prod(shape) * itemsize:
        raise handle.unreadable(f"an array of the shape {shape} of {dtype} in {block.size} bytes")
    return Stored(shape, contiguous(shape), dtype, itemsize, block)


def _joined(said: dict[Any, Any], handle: Handle) -> Stored:
    """An array of more bytes than one value of msgpack has."""
    shape, chunks = (_listed(said.get(key)) for key in ("shape", "chunks"))
    if not chunks or not all(isinstance(one, Stored) and one.block is not None for one in chunks):
        raise ValueError("an array in pieces without them")
    return _stored(shape_of(shape), chunks[0].dtype, _Pieces([one.block for one in chunks]), handle)


def _listed(value: Any) -> list[Any]:
    return [value[key] for key in sorted(value, key=int)] if isinstance(value, dict) else list(value or ())


class _Pieces:
    """Blocks one behind the other."""

    def __init__(self, blocks: list[Block]) -> None:
        self.blocks = blocks
        self.size, self.place = sum(block.size for block in blocks), blocks[0].place

    def read(self, handle: Handle, start: int, stop: int) -> np.ndarray:
        found, at = [], 0
        for block in self.blocks:
            low, high = max(start - at, 0), min(stop - at, block.size)
            if low < high:
                found.append(block.read(handle, low, high))
            at += block.size
        return np.concatenate(found) if found else np.empty(0, np.uint8)


FORMAT = Format("flax", (".msgpack",), "Flax's nested arrays as msgpack", open_flax)
