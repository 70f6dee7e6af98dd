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
    pickled = archive.read(f"{prefix}{PICKLE}")
    storages = _Storages(archive, prefix)
    maker = Maker(archive.unpacked_size())
    tree = Machine(Source.of(pickled), maker.table, storages.load, maker.otherwise).run()
    return Contents(tree, archive.structure() + pickled, plain=False)


def _prefix(archive: Archive) -> str:
    found = [name for name in archive.members if name.count("/") == 1 and name.endswith(f"/{PICKLE}")]
    if len(found) != 1:
        raise archive.handle.unreadable(
            f"it is a zip archive with {len(found) or 'no'} {PICKLE} in it, where torch writes one"
        )
    prefix = found[0].removesuffix(PICKLE)
    if f"{prefix}constants.pkl" in archive.members:
        raise archive.handle.unreadable(
            "refused, it is not plain weights but a TorchScript archive, a program; save its state_dict() instead"
        )
    return prefix


class _Storages:
    """The storages of an archive, each made once."""

    def __init__(self, archive: Archive, prefix: str) -> None:
        self.archive, self.prefix = archive, prefix
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
            member = f"{self.prefix}data/{name}"
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
