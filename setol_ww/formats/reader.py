"""One way to read every format: a reader for a file, opened once per process, that notices when the file changes.

No file stays open: a read opens it, checks that it is the one whose structure is known, and lets it go. So nothing
keeps deleted files on disk, and any number of files can be known at once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from ..core.errors import ChangedCheckpoint, InvalidInput, UnreadableCheckpoint
from ..core.forks import in_every_copy
from .base import Contents
from .blocks import forget_inflated
from .fingerprint import Fingerprint, fingerprint_of, sampled
from .handle import Handle, reading
from .places import Place, handle_of, place_of
from .registry import format_of, refuse_unknown
from .remote import forget_blocks
from .state import named_tensors
from .stored import REPEATED, Header, Stored
from .urls import forget_told

KEPT = 512


class Reader(Protocol):
    """A file of tensors.

    Attributes
    ----------
    path : Path
    fingerprint : Fingerprint
        Of the file whose structure is known here.
    headers : mapping of str to Header
        In the order of the file; of a format that keeps none in natural order.
    """

    path: Place
    fingerprint: Fingerprint

    @property
    def headers(self) -> Mapping[str, Header]:
        """What the file says of each tensor."""

    def read(self, name: str, index: tuple = ()) -> Any:
        """A tensor, or the part of it that an index of numpy's (integers and slices) names."""

    def close(self) -> None:
        """Forget the file."""


class FileReader:
    """The `Reader` of every format in the registry."""

    def __init__(self, path: Place) -> None:
        self.path = path
        self._lock = threading.Lock()
        with reading(path), handle_of(path) as handle:
            self._tensors, self._headers, self.fingerprint, beside = _opened(handle)
            self._identity: tuple[Any, ...] = handle.identity
            self._beside = {file: _identity_at(file) for file in beside}
            if not handle.same():
                raise _changed(path)

    @property
    def headers(self) -> Mapping[str, Header]:
        return MappingProxyType(self._headers)

    def read(self, name: str, index: tuple = ()) -> Any:
        if name not in self._tensors:
            raise UnreadableCheckpoint(f"{self.path}: {name!r} is not in it")
        with reading(self.path), handle_of(self.path) as handle:
            self.refuse_changed(handle)
            stored = self._tensors[name]
            try:
                values = stored.part(index).read(handle) if index else stored.read(handle)
            except UnreadableCheckpoint:
                self._refuse_touched(handle)
                raise
            self._refuse_touched(handle)
            return values

    def foresee(self, name: str, index: tuple = ()) -> None:
        """Have the system read meanwhile what `read` is asked for soon."""
        stored = self._tensors.get(name)
        if stored is None or stored.unfit or stored.block is None:
            return
        (start, stop), (offset, size) = stored.part(index).span(), stored.block.place
        if stored.block.size == size:
            offset, size = offset + start * stored.itemsize, (stop - start) * stored.itemsize
        with reading(self.path), handle_of(self.path) as handle:
            handle.foresee(offset, size)

    def close(self) -> None:
        _readers.drop(self)

    def is_taken(self) -> bool:
        """True while somebody looks again whether it is the same file."""
        return self._lock.locked()

    def is_current(self) -> bool:
        """True while the path leads to the file that was opened, by inode, size and times."""
        with reading(self.path), handle_of(self.path) as handle:
            return self._is_known(handle)

    def _is_known(self, handle: Handle) -> bool:
        beside = all(_identity_at(file) == identity for file, identity in self._beside.items())
        return beside and handle.identity == self._identity

    def refuse_changed(self, handle: Handle) -> None:
        """`ChangedCheckpoint` unless an open file is the one known here, or the same in every place looked at."""
        if self._is_known(handle):
            return
        with self._lock:
            if self._is_known(handle):
                return
            try:
                _, _, found, beside = _opened(handle)
            except (InvalidInput, UnreadableCheckpoint) as error:
                raise _changed(self.path) from error
            if found != self.fingerprint:
                raise _changed(self.path)
            self._identity = handle.identity
            self._beside = {file: _identity_at(file) for file in beside}

    def _refuse_touched(self, handle: Handle) -> None:
        """After a read: the bytes may be of a file that was rewritten meanwhile."""
        if not handle.same() or not self._is_known(handle):
            with handle_of(self.path) as again:
                self.refuse_changed(again)


def _identity_at(file: Place) -> tuple[Any, ...]:
    with handle_of(file) as handle:
        return handle.identity


def _changed(path: Place) -> ChangedCheckpoint:
    return ChangedCheckpoint(
        f"{path}: it changed while it was read; what was read before is of other weights. Begin anew when it is written"
    )


def _opened(handle: Handle) -> tuple[dict[str, Stored], dict[str, Header], Fingerprint, tuple[Place, ...]]:
    with reading(handle.path):
        contents: Contents = format_of(handle).open(handle)
        tensors = named_tensors(contents, handle)
        structure = contents.structure + b"".join(map(sampled, contents.beside))
        return tensors, _headers(tensors), fingerprint_of(handle, tensors, structure), contents.beside


def _headers(tensors: Mapping[str, Stored]) -> dict[str, Header]:
    headers: dict[str, Header] = {}
    first: dict[Any, str] = {}
    for name, tensor in tensors.items():
        same_as = first.setdefault(tensor.key, name) if tensor.key is not None else name
        unfit = tensor.unfit
        if not unfit and tensor.block is not None and 0 not in tensor.shape:
            start, stop = tensor.span()
            unfit = REPEATED if tensor.n_elements > stop - start else ""
        shape = tensor.shape if tensor.declared is None else tensor.declared
        same_as = "" if same_as == name else same_as
        headers[name] = Header(name, shape, tensor.dtype, unfit, same_as, tensor.values, tensor.facts, tensor.remark)
    return headers


class _Readers:
    """The readers of this process, the ones asked for last, each opened by one thread while the others wait for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.slots: OrderedDict[Place, _Slot] = OrderedDict()

    def take_over(self) -> None:
        """In a copy of the process: nobody gives back the locks that other threads held."""
        self.lock = threading.Lock()
        self.slots = OrderedDict((path, slot) for path, slot in self.slots.items() if not slot.is_taken())

    def get(self, path: Place) -> FileReader:
        with self.lock:
            slot = self.slots.setdefault(path, _Slot())
            self.slots.move_to_end(path)
            while len(self.slots) > KEPT:
                self.slots.popitem(last=False)
        with slot.lock:
            if slot.reader is None or not slot.reader.is_current():
                slot.reader = FileReader(path)
            return slot.reader

    def drop(self, reader: FileReader) -> None:
        with self.lock:
            slot = self.slots.get(reader.path)
            if slot is not None and slot.reader is reader:
                del self.slots[reader.path]

    def clear(self) -> None:
        with self.lock:
            self.slots.clear()


class _Slot:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.reader: FileReader | None = None

    def is_taken(self) -> bool:
        """True while somebody opens the file, for the first time or again."""
        return self.lock.locked() or (self.reader is not None and self.reader.is_taken())


_readers = _Readers()
in_every_copy(_readers.take_over)


def opened(path: str | Place, expected: str = "") -> FileReader:
    """The reader of a file, made once per process and kept among the last 512.

    Parameters
    ----------
    path : str or Path
        Or a URL.
    expected : str
        Digest of the fingerprint that the file must have.

    Raises
    ------
    InvalidInput
        No format has its ending.
    UnreadableCheckpoint
        It is not there, no regular file, damaged; `ChangedCheckpoint` when it is not the one expected.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/fc.npy", np.arange(6.0).reshape(2, 3))
    ...     reader = opened(f"{folder}/fc.npy")
    ...     print(list(reader.headers), reader.read("fc.weight", (1,)))
    ['fc.weight'] [3. 4. 5.]
    """
    path = place_of(path)
    refuse_unknown(path)
    reader = _readers.get(path)
    if expected and reader.fingerprint.digest != expected:
        raise _changed(path)
    return reader


def forget() -> None:
    """Let go of all that is known of files."""
    _readers.clear()
    forget_inflated()
    forget_blocks()
    forget_told()
