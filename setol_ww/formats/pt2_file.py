"""`.pt2` archives of `torch.export.save`: a table of tensors as JSON and a member of plain bytes for each storage."""

from __future__ import annotations

import json
import sys
from typing import Any

from .base import Contents, Format
from .blocks import DeflatedBlock
from .handle import Handle, Refused
from .stored import Stored, name_of
from .torch_objects import ITEMSIZES, Maker, Storage
from .zip_members import Archive, archive_of, is_zip

# torch/_export/serde/schema.py: ScalarType.
DTYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    9: "complex32",
    10: "complex64",
    11: "complex128",
    12: "bool",
    13: "bfloat16",
    28: "uint16",
    29: "float8_e4m3fn",
    30: "float8_e5m2",
    31: "float8_e4m3fnuz",
    32: "float8_e5m2fnuz",
    33: "float8_e8m0fnu",
    34: "uint32",
    35: "uint64",
}
WEIGHTS = "data/weights/"


def open_pt2(handle: Handle) -> Contents:
    """Parameters and buffers of an exported program; the program itself is let be."""
    archive = archive_of(handle)
    tables = [name for name in archive.members if f"/{WEIGHTS}" in f"/{name}" and name.endswith("_weights_config.json")]
    if not tables:
        raise handle.unreadable(
            f"it is an archive without a table {WEIGHTS}*_weights_config.json; export it by torch 2.9"
        )
    several = len(tables) > 1
    maker = Maker(archive.unpacked_size())
    found: dict[str, Stored] = {}
    read = [archive.read(table) for table in tables]
    for table, text in zip(tables, read):
        config = json.loads(text.decode()).get("config")
        if not isinstance(config, dict):
            raise ValueError("a table of weights without a config")
        folder, _, file = table.rpartition("/")
        prefix = f"{file.removesuffix('_weights_config.json')}." if several else ""
        for name, entry in config.items():
            found[name_of(f"{prefix}{name}")] = _stored(archive, maker, folder, entry)
    return Contents(found, archive.structure() + b"".join(read))


def _stored(archive: Archive, maker: Maker, folder: str, entry: Any) -> Stored:
    meta = entry.get("tensor_meta") if isinstance(entry, dict) else None
    if not isinstance(meta, dict) or meta.get("dtype") not in DTYPES:
        raise ValueError(f"a tensor of the type {str(meta)[:80]}")
    dtype = DTYPES[meta["dtype"]]
    shape = [_integer(one) for one in meta["sizes"]]
    if entry.get("use_pickle"):
        return maker.without_values(shape, dtype, "its values are pickled, which an exported program seldom is")
    member = f"{folder}/{entry['path_name']}"
    if member not in archive.members:
        raise archive.handle.unreadable(f"the member {ascii(member)[:200]} is not in it")
    block = archive.block(member)
    if isinstance(block, DeflatedBlock):
        block.refuse_bomb(archive.handle)
    itemsize = ITEMSIZES[dtype]
    order = next((name for name in archive.members if name.rpartition("/")[2] == "byteorder"), "")
    swapped = bool(order) and archive.read(order).decode() != sys.byteorder
    storage = Storage(dtype, itemsize, block.size // itemsize, block, member, swapped=swapped)
    strides = [_integer(one) for one in meta["strides"]]
    return maker.cut(storage, _integer(meta["storage_offset"]), shape, strides)


def _integer(value: Any) -> int:
    number = value.get("as_int") if isinstance(value, dict) else value
    if type(number) is not int:
        raise Refused(f"a size that is no number ({ascii(value)[:60]})")
    return number


FORMAT = Format("pt2", (".pt2",), "torch.export.save, the program in it not run", open_pt2, is_zip)
