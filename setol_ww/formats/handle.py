"""A file open for reading: a regular one, read by position, never mapped; whatever goes wrong names the file.

A mapped file that somebody cuts short ends the process with SIGBUS, and one that is written anew changes under the
arrays that lie on it; positioned reads give an error, or what was there when they were made.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import InvalidInput, UnreadableCheckpoint

if TYPE_CHECKING:
    from .places import Place

# What the standard library's readers of zip archives, JSON and text raise on damaged bytes, found by flipping them.
BROKEN = (
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ValueError,
    LookupError,
    RuntimeError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    SyntaxError,
    MemoryError,
)


class Refused(ValueError):
    """A file that is no plain data."""


class NoText(ValueError):
    """A name that cannot be written down."""


@contextmanager
def reading(file: Place) -> Iterator[None]:
    """Whatever a reader raises on a broken file becomes `UnreadableCheckpoint` with the file's name."""
    try:
        yield
    except (InvalidInput, UnreadableCheckpoint):
        raise
    except NoText as error:
        raise InvalidInput(f"the file {str(file)!r} was asked; it has {error}, accepted are names in Unicode") from None
    except Refused as error:
        raise UnreadableCheckpoint(f"{file}: refused, it is not plain weights ({_first_line(error)})") from error
    except BROKEN as error:
        raise UnreadableCheckpoint(f"{file}: {type(error).__name__}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:200] or "no further detail"


class Handle:
    """One regular file, open.

    Attributes
    ----------
    path : Path
        Or the place of a URL, where a kind of handle reads elsewhere.
    size : int
        In bytes, when it was opened.
    identity : tuple
        Device, inode, size and the times of its last change: while they stay, so does the file.
    version : str
        A word that stands for the content, where its place has one; empty for a file of this machine.
    """

    path: Place
    identity: tuple[Any, ...]
    version = ""

    def __init__(self, path: Path) -> None:
        self.path = self.local = path
        # Some devices do something when they are opened; a FIFO waits for its other end.
        self._refuse_special(os.stat(path))
        self.descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        try:
            found = os.fstat(self.descriptor)
            self._refuse_special(found)
        except BaseException:
            os.close(self.descriptor)
            raise
        self.size = found.st_size
        self.identity = identity_of(found)

    def _refuse_special(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise self.unreadable(f"it is {_kind(found.st_mode)}, not a regular file")

    def unreadable(self, cause: str) -> UnreadableCheckpoint:
        """The error that names this file."""
        return UnreadableCheckpoint(f"{self.path}: {cause}")

    def read(self, offset: int, size: int) -> np.ndarray:
        """Exactly so many bytes as writable uint8, or `UnreadableCheckpoint`; none are reserved that are not there."""
        self.refuse_outside(offset, size)
        taken = np.empty(size, dtype=np.uint8)
        view, done = taken.data, 0
        while done < size:
            got = os.preadv(self.descriptor, [view[done : done + 2**30]], offset + done)
            if not got:
                raise self.unreadable(f"it is cut short: it ended at byte {offset + done} while it was read")
            done += got
        return taken

    def foresee(self, offset: int, size: int) -> None:
        """Have the system read these bytes meanwhile, where it can: they are asked for soon."""
        if hasattr(os, "posix_fadvise"):
            # Not every file system takes advice.
            with contextlib.suppress(OSError):
                os.posix_fadvise(self.descriptor, offset, size, os.POSIX_FADV_WILLNEED)

    def refuse_outside(self, offset: int, size: int) -> None:
        """`UnreadableCheckpoint` for bytes that it has not."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise self.unreadable(
                f"it is cut short: bytes {offset} to {offset + size} are asked of {self.size} that it has"
            )

    def text(self, offset: int, size: int) -> bytes:
        """As `read`, as bytes."""
        return self.read(offset, size).tobytes()

    def stream(self) -> io.RawIOBase:
        """A seekable stream of its own position."""
        return _Raw(self)

    def same(self) -> bool:
        """True while the path still leads to this very file, unchanged since it was opened."""
        return self.identity == identity_of(os.stat(self.local))

    def close(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Window(Handle):
    """A run of bytes of an open file, as a file of its own: a member of an archive, a tensor saved by itself."""

    def __init__(self, handle: Handle, offset: int, size: int) -> None:
        if offset < 0 or size < 0 or offset + size > handle.size:
            raise handle.unreadable(f"it is cut short: bytes {offset} to {offset + size} of {handle.size} are named")
        self.handle, self.offset = handle, offset
        self.path, self.identity, self.size = handle.path, handle.identity, size

    def read(self, offset: int, size: int) -> np.ndarray:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise self.unreadable(f"bytes {offset} to {offset + size} are asked of a part of {self.size}")
        return self.handle.read(self.offset + offset, size)

    def same(self) -> bool:
        """True while the file that it is of stays."""
        return self.handle.same()

    def close(self) -> None:
        """The file stays open for who opened it."""


def identity_of(found: os.stat_result) -> tuple[int, ...]:
    """Device, inode, size and the times of the last change of a file."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _kind(mode: int) -> str:
    for test, word in (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a character device"),
        (stat.S_ISBLK, "a block device"),
    ):
        if test(mode):
            return word
    return "something else"


class _Raw(io.RawIOBase):
    def __init__(self, handle: Handle) -> None:
        self.handle, self.position = handle, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.handle.size}[whence]
        if start + offset < 0:
            raise OSError(f"a position of {start + offset} was asked")
        self.position = start + offset
        return self.position

    def tell(self) -> int:
        return self.position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self.handle.size - self.position)
        taken = self.handle.text(self.position, left if size is None or size < 0 else min(size, left)) if left else b""
        self.position += len(taken)
        return taken

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        taken = self.read(len(view))
        view[: len(taken)] = taken
        return len(taken)
