"""Where the bytes of tensors lie: a run of bytes of the file, a deflated member of an archive, or memory.

A block knows its size and hands out a range of its bytes. Its checksum, where there is one, is looked at once, when
bytes of it are read for the first time.
"""

from __future__ import annotations

import zlib
from typing import Protocol

import numpy as np

from .handle import Handle, Window, reading
from .places import Place, handle_of

CHUNK = 2**20
# Weights hardly shrink; what grows more than a hundredfold, to more than this, was made to fill the memory.
MAX_RATIO = 100
RATIO_FROM = 2**26
# A storage that many tensors are cut from is inflated once, if it is no larger; the last one stays.
KEPT = 2**26


class Block(Protocol):
    """Bytes of one storage.

    Attributes
    ----------
    size : int
        Number of bytes, after inflating.
    place : tuple of int
        Offset and number of the bytes in the file that hold it; (0, 0) for one in memory.
    """

    size: int
    place: tuple[int, int]

    def read(self, handle: Handle, start: int, stop: int) -> np.ndarray:
        """The bytes from `start` to `stop` as writable uint8."""


class FileBlock:
    """Bytes that lie in the file as they are."""

    def __init__(self, offset: int, size: int, crc: int | None = None, name: str = "") -> None:
        self.place, self.size, self.crc, self.name = (offset, size), size, crc, name

    def read(self, handle: Handle, start: int, stop: int) -> np.ndarray:
        _refuse_outside(self, handle, start, stop)
        taken = handle.read(self.place[0] + start, stop - start)
        if self.crc is not None:
            found = zlib.crc32(taken.data) if stop - start == self.size else self._whole_crc(handle)
            _refuse_crc(handle, self.name, found, self.crc)
            self.crc = None
        return taken

    def _whole_crc(self, handle: Handle) -> int:
        found = 0
        for start in range(0, self.size, CHUNK):
            found = zlib.crc32(handle.text(self.place[0] + start, min(CHUNK, self.size - start)), found)
        return found


class DeflatedBlock:
    """A deflated member, inflated piece by piece; no more is kept than is asked for, or all where it is `shared`."""

    def __init__(self, offset: int, packed: int, size: int, crc: int | None, name: str = "") -> None:
        self.place, self.size, self.crc, self.name = (offset, packed), size, crc, name
        self.shared = False

    def read(self, handle: Handle, start: int, stop: int) -> np.ndarray:
        _refuse_outside(self, handle, start, stop)
        self.refuse_bomb(handle)
        if self.shared and self.size <= KEPT:
            return _whole_of(self, handle)[start:stop].copy()
        return self._inflated(handle, start, stop)

    def _inflated(self, handle: Handle, start: int, stop: int) -> np.ndarray:
        taken = np.empty(stop - start, dtype=np.uint8)
        position = crc = 0
        for piece in self._pieces(handle):
            crc = zlib.crc32(piece, crc)
            low, high = max(start, position), min(stop, position + len(piece))
            if low < high:
                taken[low - start : high - start] = np.frombuffer(piece, np.uint8)[low - position : high - position]
            position += len(piece)
            if position > self.size:
                break
            if self.crc is None and position >= stop and stop < self.size:
                return taken
        if position != self.size:
            raise handle.unreadable(
                f"the member {self.name!r} inflates to {'more' if position > self.size else position} than the "
                f"{self.size} bytes it declares"
            )
        if self.crc is not None:
            _refuse_crc(handle, self.name, crc, self.crc)
            self.crc = None
        return taken

    def head(self, handle: Handle, size: int) -> bytes:
        """The first bytes, at most `size`, their checksum not looked at."""
        head = b""
        for piece in self._pieces(handle, size):
            head += piece
            if len(head) >= size:
                break
        return head[:size]

    def refuse_bomb(self, handle: Handle) -> None:
        """`UnreadableCheckpoint` for a member that grows as no weights do."""
        if self.size > RATIO_FROM and self.size > MAX_RATIO * self.place[1]:
            raise handle.unreadable(
                f"the member {self.name!r} declares {self.size} bytes packed in {self.place[1]}, which no weights are"
            )

    def _pieces(self, handle: Handle, most: int = CHUNK):
        machine = zlib.decompressobj(-zlib.MAX_WBITS)
        offset, packed = self.place
        for start in range(0, packed, CHUNK):
            waiting = handle.text(offset + start, min(CHUNK, packed - start))
            while waiting and not machine.eof:
                piece = machine.decompress(waiting, most)
                waiting = machine.unconsumed_tail
                yield piece
        while not machine.eof:
            piece = machine.decompress(b"", most) if most else b""
            if not piece:
                return
            yield piece


_last: dict[DeflatedBlock, np.ndarray] = {}


def _whole_of(block: DeflatedBlock, handle: Handle) -> np.ndarray:
    whole = _last.get(block)
    if whole is None:
        whole = block._inflated(handle, 0, block.size)
        _last.clear()
        _last[block] = whole
    return whole


def forget_inflated() -> None:
    """Let go of the storage that was inflated last."""
    _last.clear()


class MemoryBlock:
    """Bytes that came with the structure of the file, as arrays inside a pickle do."""

    def __init__(self, content: bytes) -> None:
        self.content, self.size, self.place = content, len(content), (0, 0)

    def read(self, handle: Handle, start: int, stop: int) -> np.ndarray:
        _refuse_outside(self, handle, start, stop)
        return np.frombuffer(bytearray(self.content[start:stop]), np.uint8)


class OtherFileBlock:
    """Bytes that lie in another file."""

    def __init__(self, file: Place, offset: int, size: int) -> None:
        self.file, self.offset, self.size, self.place = file, offset, size, (0, 0)

    def read(self, handle: Handle, start: int, stop: int) -> np.ndarray:
        _refuse_outside(self, handle, start, stop)
        with reading(self.file), handle_of(self.file) as other:
            return other.read(self.offset + start, stop - start)


class InsideBlock:
    """A block of a file that lies in another, from a byte on."""

    def __init__(self, block: Block, offset: int, within: int) -> None:
        self.block, self.offset, self.within, self.size = block, offset, within, block.size
        self.place = (offset + block.place[0], block.place[1]) if block.place[1] else (0, 0)

    def read(self, handle: Handle, start: int, stop: int) -> np.ndarray:
        return self.block.read(Window(handle, self.offset, self.within), start, stop)


def _refuse_outside(block: Block, handle: Handle, start: int, stop: int) -> None:
    if not 0 <= start <= stop <= block.size:
        raise handle.unreadable(f"bytes {start} to {stop} are asked of a storage of {block.size}")


def _refuse_crc(handle: Handle, name: str, found: int, stored: int) -> None:
    if found != stored:
        raise handle.unreadable(f"BadZipFile: the checksum of the member {name!r} is not that of its bytes")
