"""torch's files since 1.6: a zip archive with a pickle of the structure and a member for every storage."""

from __future__ import annotations

import sys
from typing import Any

from .base import Contents, Format
from .blocks import DeflatedBlock
from .handle import Handle, Refused
from .pickles import Machine, Source
from .stored import size_of
from .torch_objects import Maker, Storage, storage_type
from .torch_script import CONSTANTS, constant_tensors, is_script, script_tensors
from .zip_members import Archive, archive_of, is_zip

ENDINGS = (".pt", ".pth", ".th", ".bin", ".ckpt")
PICKLE = "data.pkl"
ORDERS = {b"little": "little", b"big": "big"}


def open_zip(handle: Handle) -> Contents:
    """The structure of an archive; its storages stay where they are."""
    archive = archive_of(handle)
    prefix = _prefix(archive)
    # torch.save can be told to leave the checksums out, which then are all 0.
    archive = Archive(handle, archive.members, checked=archive.members[f"{prefix}{PICKLE}"].CRC != 0)
    tree, pickled = _loaded(archive, f"{prefix}{PICKLE}", f"{prefix}data/", prefix)
    if f"{prefix}{CONSTANTS}" in archive.members:
        tree = _program(archive, prefix, tree)
    return Contents(tree, archive.structure() + pickled, plain=False)


def _loaded(archive: Archive, name: str, folder: str, prefix: str) -> tuple[Any, bytes]:
    """What a pickle is of whose storages lie in a folder, and the pickle."""
    pickled = archive.read(name)
    storages = _Storages(archive, prefix, folder)
    maker = Maker(archive.unpacked_size())
    return Machine(Source.of(pickled), maker.table, storages.load, maker.otherwise).run(), pickled


def _program(archive: Archive, prefix: str, tree: Any) -> dict[str, Any]:
    """The tensors of a TorchScript archive, whose code is let be."""
    if not is_script(tree):
        raise Refused("a TorchScript archive of something else than a module")
    found = script_tensors(tree)
    if not found:
        found = constant_tensors(_loaded(archive, f"{prefix}{CONSTANTS}", f"{prefix}constants/", prefix)[0])
    return found


def _prefix(archive: Archive) -> str:
    found = [name for name in archive.members if name.count("/") == 1 and name.endswith(f"/{PICKLE}")]
    if len(found) != 1:
        raise archive.handle.unreadable(
            f"it is a zip archive with {len(found) or 'no'} {PICKLE} in it, where torch writes one"
        )
    return found[0].removesuffix(PICKLE)


class _Storages:
    """The storages of an archive, each made once."""

    def __init__(self, archive: Archive, prefix: str, folder: str) -> None:
        self.archive, self.folder = archive, folder
        self.made: dict[str, Storage] = {}
        order = f"{prefix}byteorder"
        self.swapped = order in archive.members and self._order(archive.read(order)) != sys.byteorder

    def _order(self, word: bytes) -> str:
        if word not in ORDERS:
            raise self.archive.handle.unreadable(f"its byte order is {ascii(word)[:40]}, neither little nor big")
        return ORDERS[word]

    def load(self, key: Any) -> Storage:
        """The storage that a persistent id names."""
        if not isinstance(key, tuple) or len(key) != 5 or key[0] != "storage" or not isinstance(key[2], str):
            raise Refused("an object outside of it that is no storage")
        _, kind, name, _, number = key
        dtype, itemsize = storage_type(kind)
        number = size_of(number, "number of values")
        if name not in self.made:
            member = f"{self.folder}{name}"
            if member not in self.archive.members:
                raise self.archive.handle.unreadable(f"the member {ascii(member)[:200]} is not in it")
            block = self.archive.block(member)
            if isinstance(block, DeflatedBlock):
                block.refuse_bomb(self.archive.handle)
            if block.size != number * itemsize:
                raise Refused(f"a storage of {number} values of {dtype} in a member of {block.size} bytes")
            self.made[name] = Storage(dtype, itemsize, number, block, name, swapped=self.swapped)
        elif isinstance(again := self.made[name].block, DeflatedBlock):
            again.shared = True
        found = self.made[name]
        if (found.dtype, found.size) != (dtype, number):
            raise Refused(f"the storage {name[:80]!r} with two types or sizes")
        return found


FORMAT = Format("torch", ENDINGS, "torch.save, of a state dict, a training checkpoint or a module", open_zip, is_zip)
SCRIPT = Format(
    "TorchScript",
    (".pt", ".pth", ".torchscript", ".ptl"),
    "torch.jit.save, the code in it not run; a frozen program's weights have lost their names",
    open_zip,
    is_zip,
)
