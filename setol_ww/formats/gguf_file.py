"""GGUF: metadata, a table of tensors, and rows of blocks of codes; decoded by the `gguf` package part by part.

The package maps files; here its tables of types and its `dequantize` are used on bytes that are read by their offsets
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). Values are those of the file: what a converter changed
(the order of the rows of q and k, norms stored with 1 added) is not undone.
"""

from __future__ import annotations

import math
import re
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from .base import Contents, Format
from .blocks import FileBlock
from .computed import Coded, all_places
from .extras import needed
from .handle import Handle, Refused
from .pickles import Source
from .stored import Stored, contiguous, name_of, refuse_more_slices_than_bytes, shape_of

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_AXES = 8
DEEPEST = 8
# https://github.com/ggml-org/ggml/blob/master/docs/gguf.md: value types of metadata.
SCALARS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}
TEXT, ARRAY = 8, 9
PLAIN = {
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F64": "float64",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
}
PERMUTED = re.compile(r"(^|\.)attn_[qk]\.weight$")
ROTATED = "rows in the order of GGUF, which is another than the model's and changes no singular value"


@dataclass(frozen=True)
class _Entry:
    shape: tuple[int, ...]
    kind: int
    offset: int


def open_gguf(handle: Handle) -> Contents:
    """The tensors in the order of the file."""
    library = needed("gguf", ".gguf", "gguf")
    table = _Table(handle)
    metadata, entries = table.read()
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise ValueError(f"an alignment of {str(alignment)[:40]}, no power of two")
    end = table.source.position
    base = (end + alignment - 1) // alignment * alignment
    is_permuted = metadata.get("general.architecture") == "llama"
    tensors: dict[str, Stored] = {}
    for name, entry in entries.items():
        remark = ROTATED if is_permuted and PERMUTED.search(name) else ""
        tensors[name] = _stored(entry, base, table.swapped, remark, library, handle)
    tensors = {name: _with_factor(name, tensor, tensors) for name, tensor in tensors.items()}
    return Contents(tensors, handle.text(0, end))


class _Table:
    """The head of a file: nothing in it reserves memory that it does not hold."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.source = Source(handle.text, handle.size)
        self.order, self.swapped = "<", False

    def read(self) -> tuple[dict[str, Any], dict[str, _Entry]]:
        """Metadata (arrays left out) and tensors."""
        if self.source.take(4) != MAGIC:
            raise ValueError("it does not begin with GGUF")
        version = self.source.take(4)
        if version[:2] == b"\0\0" and version != b"\0\0\0\0":
            self.order = ">"
        self.swapped = (self.order == "<") != (sys.byteorder == "little")
        (number,) = struct.unpack(f"{self.order}I", version)
        if number not in VERSIONS:
            raise ValueError(f"a file of version {number}; known are {' and '.join(map(str, VERSIONS))}")
        tensors, pairs = self.number("Q"), self.number("Q")
        metadata: dict[str, Any] = {}
        for _ in range(pairs):
            key = self.text()
            metadata[key] = self.value(self.number("I"))
        entries: dict[str, _Entry] = {}
        for _ in range(tensors):
            name = name_of(self.text())
            if name in entries:
                raise ValueError(f"two tensors are called {ascii(name)[:80]}")
            axes = self.number("I")
            if axes > MAX_AXES:
                raise ValueError(f"a tensor of {axes} axes")
            shape = shape_of([self.number("Q") for _ in range(axes)][::-1])
            entries[name] = _Entry(shape, self.number("I"), self.number("Q"))
        return metadata, entries

    def number(self, code: str) -> Any:
        """The next number."""
        return struct.unpack(f"{self.order}{code}", self.source.take(struct.calcsize(f"={code}")))[0]

    def text(self) -> str:
        """The next text."""
        return self.source.take(self.number("Q")).decode("utf-8", "surrogateescape")

    def value(self, kind: int, depth: int = 0) -> Any:
        """The next value; of an array nothing is kept."""
        if kind in SCALARS:
            return self.number(SCALARS[kind])
        if kind == TEXT:
            return self.text()
        if kind != ARRAY or depth > DEEPEST:
            raise ValueError(f"metadata of the type {kind}")
        inner, count = self.number("I"), self.number("Q")
        if inner in SCALARS:
            self.source.take(count * struct.calcsize(f"={SCALARS[inner]}"))
            return None
        for _ in range(count):
            self.value(inner, depth + 1)
        return None


def _stored(entry: _Entry, base: int, swapped: bool, remark: str, library: Any, handle: Handle) -> Stored:
    shape = entry.shape
    refuse_more_slices_than_bytes(shape, handle.size * 32)
    try:
        kind = library.GGMLQuantizationType(entry.kind)
        per_block, block_bytes = library.GGML_QUANT_SIZES[kind]
    except (ValueError, KeyError):
        unfit = f"its type has the number {entry.kind}, which the gguf package that is installed does not know"
        return Stored(shape, contiguous(shape), f"gguf type {entry.kind}", 1, unfit=unfit)
    if shape and shape[-1] % per_block:
        raise ValueError(f"rows of {shape[-1]} values of the type {kind.name}, which come in blocks of {per_block}")
    size = math.prod(shape) // per_block * block_bytes
    if base + entry.offset + size > handle.size:
        raise handle.unreadable(
            f"it is cut short: a tensor of {size} bytes at {base + entry.offset} in a file of {handle.size}"
        )
    block = FileBlock(base + entry.offset, size)
    if kind.name in PLAIN:
        dtype = PLAIN[kind.name]
        return Stored(shape, contiguous(shape), dtype, block_bytes, block, swapped=swapped, remark=remark)
    decode = partial(library.quants.dequantize, qtype=kind)
    return Coded(
        shape,
        contiguous(shape),
        kind.name,
        1,
        block,
        unfit=_why_not_decoded(decode, kind.name, block_bytes, swapped, shape),
        values="float32",
        remark=remark,
        whole=shape,
        places=all_places(shape),
        per_block=per_block,
        block_bytes=block_bytes,
        decode=decode,
    )


def _why_not_decoded(decode: Callable, kind: str, block_bytes: int, swapped: bool, shape: tuple[int, ...]) -> str:
    if swapped:
        return f"values of type {kind} in the byte order of another machine are not decoded"
    if not shape:
        return f"a single value of type {kind}"
    try:
        decode(np.zeros((1, block_bytes), np.uint8))
    except NotImplementedError:
        return f"values of type {kind} are not decoded: the gguf package has no rule for them"
    return ""


def _with_factor(name: str, tensor: Stored, tensors: dict[str, Stored]) -> Stored:
    """A four-bit tensor with the factor that stands beside it, where there is one."""
    if not isinstance(tensor, Coded) or tensor.dtype != "NVFP4" or not name.endswith(".weight"):
        return tensor
    found = (tensors.get(beside) for beside in (f"{name.removesuffix('.weight')}.scale", f"{name}.scale"))
    factor = next((one for one in found if one is not None), None)
    if factor is None:
        return tensor
    if factor.dtype != "float32" or factor.n_elements not in (1, tensor.shape[0] if len(tensor.shape) > 2 else 1):
        raise Refused(f"the factor of {ascii(name)[:80]} is {factor.dtype} of the shape {factor.shape}")
    return replace(tensor, dtype="NVFP4 x scale", factor=factor)


FORMAT = Format("gguf", (".gguf",), "models of llama.cpp, every type that the gguf package decodes", open_gguf)
