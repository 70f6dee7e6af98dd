"""torch's files before 1.6, pickles with the storages behind them, and before 0.1.10, tar archives.

Only the structure is read when a file is opened; a storage is a run of bytes of the file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from .base import Contents, Format
from .blocks import FileBlock
from .handle import Handle, Refused
from .pickles import Machine, Source
from .stored import Stored, size_of
from .torch_objects import Maker, Storage, storage_type
from .torch_zip import ENDINGS

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
TAR_BLOCK = 512
TAR_MEMBERS = ("storages", "tensors", "pickle")


def open_legacy(handle: Handle) -> Contents:
    """The structure of an old file."""
    return _open_tar(handle) if _is_tar(handle) else _open_pickles(handle)


def _open_pickles(handle: Handle) -> Contents:
    source, maker = Source(handle.text, handle.size), Maker(handle.size)
    table = maker.table
    if Machine(source, table).run() != MAGIC:
        raise handle.unreadable("it is no file of torch's: it begins as neither an archive nor a pickle of its own")
    if Machine(source, table).run() != PROTOCOL:
        raise handle.unreadable("it is a file of torch's in a version that is not known")
    Machine(source, table).run()
    storages = _Storages()
    tree = Machine(source, table, storages.load, maker.otherwise).run()
    keys = Machine(source, table).run()
    structure = handle.text(0, source.position)
    _place(storages, keys, source.position, handle)
    return Contents(tree, structure, plain=False)


class _Storages:
    """Storages by key; where their bytes are is known when the whole structure is."""

    def __init__(self) -> None:
        self.made: dict[Any, Storage] = {}

    def load(self, key: Any) -> Any:
        """What a persistent id names: a storage, a view of one, or the class of a module with its source."""
        kind = key[0] if isinstance(key, tuple) and key else None
        if kind == "module" and len(key) > 1:
            return key[1]
        if kind != "storage" or len(key) != 6 or not isinstance(key[2], (str, int)):
            raise Refused("an object outside of it that is no storage")
        _, what, root, _, number, view = key
        dtype, itemsize = storage_type(what)
        number = size_of(number, "number of values")
        if root not in self.made:
            self.made[root] = Storage(dtype, itemsize, number, FileBlock(0, number * itemsize), root)
        found = self.made[root]
        if (found.dtype, found.size) != (dtype, number):
            raise Refused("a storage with two types or sizes")
        return found if view is None else _view(found, view)


def _view(storage: Storage, view: Any) -> Storage:
    if not isinstance(view, tuple) or len(view) != 3:
        raise Refused("a view of a storage without its place")
    first, number = size_of(view[1], "offset of a view"), size_of(view[2], "size of a view")
    if first + number > storage.size:
        raise Refused("a view beyond its storage")
    return Storage(storage.dtype, storage.itemsize, number, storage.block, storage.key, first)


def _place(storages: _Storages, keys: Any, position: int, handle: Handle) -> None:
    """Where each storage begins: one behind the other, each behind the number of its values."""
    if not isinstance(keys, list) or any(not isinstance(key, (str, int)) for key in keys):
        raise handle.unreadable("it does not say where its storages are")
    if len(set(keys)) < len(keys) or set(keys) != set(storages.made):
        raise handle.unreadable("the storages it has and those it uses are not the same")
    for key in keys:
        storage = storages.made[key]
        (number,) = struct.unpack("<q", handle.text(position, 8))
        if number != storage.size:
            raise handle.unreadable(f"a storage of {storage.size} values says that it has {number}")
        size = storage.size * storage.itemsize
        if position + 8 + size > handle.size:
            raise handle.unreadable(f"it is cut short: its storages reach beyond its {handle.size} bytes")
        storage.block.place = (position + 8, size)
        position += 8 + size


@dataclass(frozen=True)
class _Member:
    offset: int
    size: int


def _is_tar(handle: Handle) -> bool:
    """A tar archive by the checksum of its first header, which even the oldest have."""
    if handle.size < TAR_BLOCK:
        return False
    header = handle.text(0, TAR_BLOCK)
    plain = header[:148] + b" " * 8 + header[156:]
    return _octal(header[148:156]) == sum(plain) and any(header)


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    return int(digits, 8) if digits and all(digit in b"01234567" for digit in digits) else -1


def _members(handle: Handle) -> dict[str, _Member]:
    found: dict[str, _Member] = {}
    offset = 0
    while offset + TAR_BLOCK <= handle.size:
        header = handle.text(offset, TAR_BLOCK)
        if not any(header):
            break
        size = _octal(header[124:136])
        if size < 0 or offset + TAR_BLOCK + size > handle.size:
            raise handle.unreadable("it is a tar archive that is cut short or damaged")
        name = header[:100].split(b"\0")[0].decode("latin-1").removeprefix("./")
        if name in found:
            raise handle.unreadable(f"two of its members are called {name!a}")
        found[name] = _Member(offset + TAR_BLOCK, size)
        offset += TAR_BLOCK + -(-size // TAR_BLOCK) * TAR_BLOCK
    return found


def _open_tar(handle: Handle) -> Contents:
    members = _members(handle)
    absent = [name for name in TAR_MEMBERS if name not in members]
    if absent:
        raise handle.unreadable(f"it is a tar archive without {', '.join(absent)}: no file of torch's")
    storages = _tar_storages(handle, members["storages"])
    tensors: dict[int, Stored] = {}
    source = _source(handle, members["tensors"])
    maker = Maker(handle.size)
    for _ in range(_number(Machine(source).run(), members["tensors"].size)):
        key, root, _ = _triple(Machine(source).run())
        if type(root) is not int:
            raise Refused("a tensor whose storage has no number")
        (dimensions, _) = struct.unpack("<ii", source.take(8))
        if not 0 <= dimensions <= 64:
            raise Refused(f"a tensor of {dimensions} dimensions")
        sizes, strides = (struct.unpack(f"<{dimensions}q", source.take(8 * dimensions)) for _ in range(2))
        (offset,) = struct.unpack("<q", source.take(8))
        tensors[key] = maker.cut(storages.get(root), offset, sizes, strides)

    def load(key: Any) -> Any:
        if isinstance(key, tuple) and key:
            return key[0]
        if not isinstance(key, (str, int)) or len(str(key)) > 30 or int(key) not in tensors:
            raise Refused("an object outside of it that is not there")
        return tensors[int(key)]

    tree = Machine(_source(handle, members["pickle"]), maker.table, load).run()
    structure = b"".join(handle.text(one.offset, one.size) for one in (members["tensors"], members["pickle"]))
    return Contents(tree, structure, plain=False)


def _tar_storages(handle: Handle, member: _Member) -> dict[int, Storage]:
    objects: dict[int, Storage] = {}
    source = _source(handle, member)
    for _ in range(_number(Machine(source).run(), member.size)):
        key, _, what = _triple(Machine(source).run())
        dtype, itemsize = storage_type(what)
        (number,) = struct.unpack("<q", source.take(8))
        size = size_of(number, "number of values") * itemsize
        if source.position + size > source.size:
            raise handle.unreadable("it is cut short: its storages reach beyond their member")
        objects[key] = Storage(dtype, itemsize, number, FileBlock(source.position, size), key)
        source = Source(handle.text, source.size, source.position + size)
    views = Machine(source).run()
    for view in views if isinstance(views, list) else ():
        if not isinstance(view, tuple) or any(type(number) is not int for number in view) or len(view) != 4:
            raise Refused("a view of a storage without its place")
        root = objects.get(view[1])
        if root is None:
            raise Refused("a view of a storage that is not there")
        objects[view[0]] = _view(root, view[1:])
    return objects


def _source(handle: Handle, member: _Member) -> Source:
    return Source(handle.text, member.offset + member.size, member.offset)


def _number(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise Refused("a number of objects that their bytes cannot hold")
    return value


def _triple(value: Any) -> tuple[Any, Any, Any]:
    if not isinstance(value, tuple) or len(value) != 3 or type(value[0]) is not int:
        raise Refused("an object without its key, place and class")
    return value


FORMAT = Format("torch, old", ENDINGS, "torch.save of torch before 1.6, and its tar archives", open_legacy)
