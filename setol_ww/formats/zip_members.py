"""Members of a zip archive as blocks: stored or deflated, each name once, their checksums looked at when they are read.

The standard library reads the directory; the bytes are read by their offsets.
"""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass
from typing import IO, cast

from .blocks import MAX_RATIO, RATIO_FROM, DeflatedBlock, FileBlock
from .handle import Handle

LOCAL_HEADER = struct.Struct("<4s22xHH")
MAGIC = b"PK\x03\x04"
EMPTY = b"PK\x05\x06"
ENCRYPTED = 0x1
UTF_8 = 0x800


@dataclass(frozen=True)
class Archive:
    """The members of an archive by name, in the order of its directory."""

    handle: Handle
    members: dict[str, zipfile.ZipInfo]
    checked: bool = True

    def place(self, name: str, writer: str) -> tuple[int, int]:
        """Offset and size of a member that is read in its place, which its writer never deflates."""
        if name not in self.members:
            raise self.handle.unreadable(f"it is a zip archive without the member {name} of {writer}")
        block = self.block(name)
        if isinstance(block, DeflatedBlock):
            raise self.handle.unreadable(
                f"the member {name} is deflated, which {writer} never does; write the archive anew"
            )
        return block.place

    def block(self, name: str) -> FileBlock | DeflatedBlock:
        """Where the bytes of a member lie."""
        info, handle = self.members[name], self.handle
        if info.flag_bits & ENCRYPTED:
            raise handle.unreadable(f"the member {name!a} is encrypted")
        magic, name_size, extra_size = LOCAL_HEADER.unpack(handle.text(info.header_offset, LOCAL_HEADER.size))
        if magic != MAGIC:
            raise handle.unreadable(f"the member {name!a} is not where the directory of the archive says")
        offset = info.header_offset + LOCAL_HEADER.size + name_size + extra_size
        there = handle.text(info.header_offset + LOCAL_HEADER.size, name_size)
        if there.decode("utf-8" if info.flag_bits & UTF_8 else "cp437") != info.orig_filename:
            raise handle.unreadable(f"the member {name!a} of the directory is called {there[:100]!a} where it lies")
        if offset + info.compress_size > handle.size:
            raise handle.unreadable(f"it is cut short: the member {name!a} reaches beyond its end")
        crc = info.CRC if self.checked else None
        if info.compress_type == zipfile.ZIP_STORED:
            if info.compress_size != info.file_size:
                raise handle.unreadable(f"the member {name!a} is stored as it is in another size than its own")
            return FileBlock(offset, info.file_size, crc, name)
        if info.compress_type == zipfile.ZIP_DEFLATED:
            return DeflatedBlock(offset, info.compress_size, info.file_size, crc, name)
        method = {12: "bzip2", 14: "LZMA", 93: "zstandard"}.get(info.compress_type, f"method {info.compress_type}")
        raise handle.unreadable(f"the member {name!a} is packed by {method}; accepted are stored and deflated ones")

    def unpacked_size(self) -> int:
        """Bytes of all members, those that declare more than weights unpack to left out."""
        sizes = ((one.file_size, one.compress_size) for one in self.members.values())
        return sum(size for size, packed in sizes if size <= max(RATIO_FROM, MAX_RATIO * packed))

    def read(self, name: str) -> bytes:
        """A whole member, its checksum looked at."""
        block = self.block(name)
        return block.read(self.handle, 0, block.size).tobytes()

    def head(self, name: str, size: int) -> bytes:
        """The first bytes of a member, at most `size`."""
        block = self.block(name)
        if isinstance(block, DeflatedBlock):
            return block.head(self.handle, size)
        return self.handle.text(block.place[0], min(size, block.size))

    def structure(self) -> bytes:
        """The directory in one piece: names, sizes and checksums."""
        return repr(
            [(one.filename, one.file_size, one.compress_size, one.CRC) for one in self.members.values()]
        ).encode()


def is_zip(handle: Handle) -> bool:
    """True for an archive with nothing before it."""
    return handle.size >= len(MAGIC) and handle.text(0, len(MAGIC)) in (MAGIC, EMPTY)


def archive_of(handle: Handle) -> Archive:
    """The archive that a file is."""
    members: dict[str, zipfile.ZipInfo] = {}
    with zipfile.ZipFile(cast(IO[bytes], handle.stream())) as archive:
        for info in archive.infolist():
            if info.filename in members:
                raise handle.unreadable(f"it has two members called {ascii(info.filename)[:80]}")
            members[info.filename] = info
    return Archive(handle, members)
