"""Files that lie elsewhere, read by ranges of bytes: what every kind of place shares; nothing is written to disk.

A place is a URL that answers what is asked of a `Path` here. A request that fails for a while (no connection, 429, 5xx)
is made again, and a tensor that broke off goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import fnmatch
import io
import logging
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np

from ..core.errors import UnreadableCheckpoint
from .handle import Handle

# Small reads (headers, directories of archives, one-dimensional tensors) are cut from blocks, the last ones of which
# stay.
BLOCK = 2**15
BLOCKS_KEPT = 128
# The last large part stays if it is no larger than this: what analyses a tensor may read it three times.
LAST_KEPT = 2**28
# Seconds between the tries of one request, the first of them at once.
WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)
LONGEST_WAIT = 60.0
FOR_A_WHILE = {408, 425, 429, 500, 502, 503, 504}
EXTRA = "remote"
# What the clients raise beside OSError when a request fails. They are not imported before they are needed.
CLIENT_ERRORS = (
    ("aiohttp", "ClientError"),
    ("httpx", "HTTPError"),
    ("httpx2", "HTTPError"),
    ("requests", "RequestException"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("huggingface_hub.errors", "RepositoryNotFoundError"),
)

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Forbidden(UnreadableCheckpoint):
    """A file that its server gives to others, or that is not there where a server does not tell."""


@dataclass(frozen=True)
class Info:
    """What a place says of a file.

    Attributes
    ----------
    size : int
        In bytes; -1 where it is not said, 0 for a folder.
    version : str
        A word that changes with the content: its ETag, checksum or time; empty where none is said.
    is_folder : bool
    """

    size: int
    version: str = ""
    is_folder: bool = False


class RemotePath:
    """A URL with the manners of a `Path`, as far as files of weights are looked for and read.

    Attributes
    ----------
    url : str
    """

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def name(self) -> str:
        """The last part, without a query."""
        return self.url.partition("?")[0].rstrip("/").rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The ending of the name."""
        stem, dot, ending = self.name.rpartition(".")
        return f".{ending}" if dot and stem and ending else ""

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return self.name[: len(self.name) - len(self.suffix)]

    @property
    def parent(self) -> RemotePath:
        """The folder it is in."""
        return type(self)(self.url.partition("?")[0].rstrip("/").rpartition("/")[0])

    def __truediv__(self, name: str) -> RemotePath:
        return type(self)(f"{self.url.partition('?')[0].rstrip('/')}/{name}")

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and self.url == other.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __lt__(self, other: RemotePath) -> bool:
        return self.url < other.url

    def info(self, fresh: bool = False) -> Info | None:
        """What is there, None for nothing; `fresh` asks the server again."""
        raise NotImplementedError

    def iterdir(self) -> Iterator[RemotePath]:
        """The files and folders in a folder."""
        raise NotImplementedError

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` to `stop`, one behind the other, as they come."""
        raise NotImplementedError

    def hint(self, status: int | None) -> str:
        """What to try after a request failed."""
        if status in (401, 403):
            return "Give its client the rights to read it, or ask its owner"
        return "Check the network and the address; the same call goes on with what was kept"

    def handle(self) -> Handle:
        """It, open for reading."""
        return RemoteHandle(self)

    def exists(self) -> bool:
        """True where something is there."""
        return self.info() is not None

    def is_file(self) -> bool:
        """True for a file that may be read; servers that list nothing forbid what is not there."""
        try:
            found = self.info()
        except Forbidden as error:
            logger.warning("%s; it is taken as not there", error)
            return False
        return found is not None and not found.is_folder

    def is_dir(self) -> bool:
        """True for a folder."""
        found = self.info()
        return found is not None and found.is_folder

    def stat(self) -> SimpleNamespace:
        """Its size, as `Path.stat` gives it; `FileNotFoundError` for nothing."""
        found = self.info()
        if found is None:
            raise FileNotFoundError(f"{self.url}: nothing is there")
        return SimpleNamespace(st_size=found.size, st_mtime_ns=0)

    def match(self, pattern: str) -> bool:
        """True when the name is of a pattern."""
        return fnmatch.fnmatchcase(self.name, pattern)

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        """The files of a folder whose names are of a pattern."""
        return (file for file in self.iterdir() if file.match(pattern))

    def resolve(self) -> RemotePath:
        """Itself."""
        return self

    def open(self, mode: str = "rb") -> io.RawIOBase:
        """A seekable stream of bytes."""
        return self.handle().stream()

    def read_bytes(self) -> bytes:
        """All of it."""
        with self.handle() as handle:
            return handle.text(0, handle.size)

    def read_text(self, encoding: str = "utf-8") -> str:
        """All of it as text."""
        return self.read_bytes().decode(encoding)


class RemoteHandle(Handle):
    """A remote file, open: read by ranges, each request tried again where it failed for a while.

    Its `version` is what the place says of its content, which stands for the content in fingerprints.
    """

    def __init__(self, path: RemotePath) -> None:
        self.path = self.place = path
        found = path.info()
        if found is None:
            raise FileNotFoundError(f"{path}: nothing is there")
        if found.is_folder:
            raise self.unreadable("it is a folder, not a file")
        if found.size < 0:
            raise self.unreadable("its server does not say how large it is; fetch it, and read the copy")
        self.size, self.version, self.identity = found.size, found.version or "unversioned", (found.size, found.version)

    def read(self, offset: int, size: int) -> np.ndarray:
        self.refuse_outside(offset, size)
        if size > LAST_KEPT:
            return self._fetched(offset, size)
        if size >= BLOCK:
            return _last.of((self.path, self.identity, offset, size), lambda: self._fetched(offset, size)).copy()
        first, last = offset // BLOCK, (offset + max(size, 1) - 1) // BLOCK
        joined = b"".join(self._block(number) for number in range(first, last + 1) if size)
        start = offset - first * BLOCK
        return np.frombuffer(bytearray(joined[start : start + size]), np.uint8)

    def _block(self, number: int) -> bytes:
        key = (self.path, self.identity, number)
        kept = _blocks.get(key)
        if kept is None:
            start = number * BLOCK
            kept = self._fetched(start, min(BLOCK, self.size - start)).tobytes()
            _blocks.put(key, kept)
        return kept

    def _fetched(self, offset: int, size: int) -> np.ndarray:
        taken, done, failed = np.empty(size, dtype=np.uint8), 0, 0
        while done < size:
            try:
                for piece in self.place.pieces(offset + done, offset + size):
                    if len(piece) > size - done:
                        raise self.unreadable("its server sends other bytes than those that were asked")
                    taken[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
                    done, failed = done + len(piece), 0
                if done < size:
                    raise ConnectionError(f"the connection ended at byte {offset + done} of {offset + size}")
            except UnreadableCheckpoint:
                raise
            except failures() as error:
                wait_or_refuse(self.place, error, failed)
                failed += 1
        return taken

    def same(self) -> bool:
        """True while the place says of it what it said when it was opened."""
        found = self.place.info(fresh=True)
        return found is not None and (found.size, found.version) == self.identity

    def close(self) -> None:
        """Nothing is held open."""


class _Blocks:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.kept: OrderedDict[Any, bytes] = OrderedDict()

    def get(self, key: Any) -> bytes | None:
        with self.lock:
            if key in self.kept:
                self.kept.move_to_end(key)
            return self.kept.get(key)

    def put(self, key: Any, block: bytes) -> None:
        with self.lock:
            self.kept[key] = block
            while len(self.kept) > BLOCKS_KEPT:
                self.kept.popitem(last=False)

    def clear(self) -> None:
        with self.lock:
            self.kept.clear()


class _Last:
    def __init__(self) -> None:
        self.kept: tuple[Any, np.ndarray] | None = None

    def of(self, key: Any, fetch: Callable[[], np.ndarray]) -> np.ndarray:
        kept = self.kept
        if kept is None or kept[0] != key:
            # Let go of the old one before the new one is there.
            self.kept = kept = None
            self.kept = kept = (key, fetch())
        return kept[1]

    def clear(self) -> None:
        self.kept = None


_blocks, _last = _Blocks(), _Last()


def forget_blocks() -> None:
    """Let go of the parts of remote files that were read last."""
    _blocks.clear()
    _last.clear()


def failures() -> tuple[type[BaseException], ...]:
    """What a failed request raises, by the clients that are loaded."""
    found = [getattr(sys.modules[module], name) for module, name in CLIENT_ERRORS if module in sys.modules]
    return (OSError, asyncio.TimeoutError, *found)


def status_of(error: BaseException | None) -> int | None:
    """The status that a server answered with, as the clients tell it; None where it did not answer."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            told = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:
            told = getattr(response, "status_code", None) or getattr(error, "status", None)
        if isinstance(told, int):
            return told
        error = error.__cause__
    return None


def is_absent(error: BaseException) -> bool:
    """True for an answer that says that there is nothing."""
    status = status_of(error)
    return status in (404, 410) or (status is None and isinstance(error, FileNotFoundError) and not error.__cause__)


def asked_again(place: RemotePath, ask: Callable[[], T]) -> T | None:
    """The answer to a request, made again where it failed for a while; None where there is nothing."""
    failed = 0
    while True:
        try:
            return ask()
        except UnreadableCheckpoint:
            raise
        except failures() as error:
            if is_absent(error):
                return None
            wait_or_refuse(place, error, failed)
            failed += 1


def wait_or_refuse(place: RemotePath, error: BaseException, failed: int) -> None:
    """Wait after a request that failed; `UnreadableCheckpoint` when waiting does not help, or was enough."""
    status = status_of(error)
    lasting = isinstance(error, PermissionError) if status is None else status not in FOR_A_WHILE
    if lasting or failed >= len(WAITS):
        tries = f" in {failed + 1} tries" if failed else ""
        answer = f"its server answered with status {status}" if status else f"it could not be reached{tries}"
        why = str(error).strip().split("\n")[0][:200] or type(error).__name__
        kind = Forbidden if status in (401, 403) or isinstance(error, PermissionError) else UnreadableCheckpoint
        raise kind(f"{place}: {answer} ({why}). {place.hint(status)}") from error
    wait = max(WAITS[failed], min(wait_asked_by(error), LONGEST_WAIT))
    logger.info("%s: %s; the request is made again in %s s", place, error, wait)
    time.sleep(wait)


def wait_asked_by(error: BaseException | None) -> float:
    """Seconds to wait as the server asks for (`Retry-After`), 0 where it does not."""
    while error is not None:
        headers = getattr(getattr(error, "response", None), "headers", None) or getattr(error, "headers", None)
        told = headers.get("Retry-After") if headers is not None and hasattr(headers, "get") else None
        if isinstance(told, str) and told.isdecimal():
            return float(told)
        error = error.__cause__
    return 0.0
