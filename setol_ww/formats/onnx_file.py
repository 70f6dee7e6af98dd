"""ONNX: the initialisers of a graph, read by their offsets; of its nodes only what tells how a kernel is laid out.

The package parses a message whole, weights included; here the fields of the outer messages are walked over, and the
package reads nodes and the few tensors whose values are not plain bytes
(https://protobuf.dev/programming-guides/encoding/, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from .base import Contents, Format
from .blocks import Block, FileBlock, OtherFileBlock
from .computed import Computed, all_places
from .extras import needed
from .handle import Handle
from .pickles import Source
from .places import Place
from .stored import Stored, contiguous, name_of, refuse_more_slices_than_bytes, shape_of
from .torch_objects import ITEMSIZES

# Fields of ModelProto, GraphProto and TensorProto.
GRAPH, NODE, INITIALIZER = 7, 1, 5
DIMS, KIND, NAME, RAW, EXTERNAL, LOCATION = 1, 2, 8, 9, 13, 14
DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8_e4m3fn",
    18: "float8_e4m3fnuz",
    19: "float8_e5m2",
    20: "float8_e5m2fnuz",
    24: "float8_e8m0fnu",
}
# Nodes that hold tensors themselves are no layers.
MAX_NODE = 2**16
MAX_TYPED = 2**31
MADE_UP = re.compile(r"^(onnx::|val_\d|_val_\d)")


@dataclass
class _Tensor:
    start: int
    size: int
    dims: list[int] = field(default_factory=list)
    kind: int = 0
    name: str = ""
    raw: tuple[int, int] | None = None
    external: dict[str, str] = field(default_factory=dict)
    is_external: bool = False


@dataclass(frozen=True)
class Typed(Computed):
    """A tensor whose values are numbers of the message, not bytes."""

    message: tuple[int, int] = (0, 0)

    def compute(self, handle: Handle) -> Any:
        import torch

        onnx = needed("onnx", ".onnx", "onnx")
        parsed = _parsed(onnx.TensorProto, handle.text(*self.message))
        values = needed("onnx.numpy_helper", ".onnx", "onnx").to_array(parsed)
        if values.shape != self.whole:
            raise handle.unreadable(f"a tensor of the shape {values.shape} where {self.whole} is declared")
        taken = np.array(values[self.index()])
        if taken.dtype.kind == "V" or self.dtype.startswith(("float8", "bfloat")):
            # A type of ml_dtypes, whose values are all of float32.
            taken = taken.astype(np.float32)
        return torch.from_numpy(taken).to(getattr(torch, self.dtype))


@dataclass(frozen=True)
class Dequantised(Computed):
    """Integers less their zero points, times their scales: one of each, or one for each place of an axis."""

    codes: Stored = field(kw_only=True)
    scales: Stored = field(kw_only=True)
    zeros: Stored | None = None
    axis: int = 0

    def compute(self, handle: Handle) -> Any:
        import torch

        found = torch.as_tensor(self.codes.part(self.index()).read(handle)).float()
        if self.zeros is not None:
            found = found - self._along(self.zeros.read(handle))
        return found * self._along(self.scales.read(handle))

    def _along(self, values: Any) -> Any:
        import torch

        values = torch.as_tensor(values).float().reshape(-1)
        place = self.places[self.axis]
        if values.numel() == 1 or isinstance(place, int):
            return values[0 if values.numel() == 1 else place]
        after = sum(isinstance(one, range) for one in self.places[self.axis + 1 :])
        return values[place.start : place.stop : place.step].reshape([-1] + [1] * after)


def _dequantised(codes: Stored, scales: Stored | None, zeros: Stored | None, axis: int) -> Stored:
    """A weight of integers with its scales; as it is where they do not fit."""
    if not codes.shape or not -len(codes.shape) <= axis < len(codes.shape) or codes.unfit or scales is None:
        return codes
    axis %= len(codes.shape)
    fits = all(one is None or one.shape in ((), (1,), (codes.shape[axis],)) for one in (scales, zeros))
    if not fits or not codes.dtype.startswith(("int", "uint")) or not scales.dtype.startswith(("float16", "float32")):
        return codes
    return Dequantised(
        codes.shape,
        codes.strides,
        f"{codes.dtype} x scales",
        codes.itemsize,
        codes.block,
        values="float32",
        facts=codes.facts,
        places=all_places(codes.shape),
        codes=codes,
        scales=scales,
        zeros=zeros,
        axis=axis,
    )


def _parsed(kind: Any, message: bytes) -> Any:
    """A small message by the package; `ValueError` where it is none."""
    errors = needed("google.protobuf.message", ".onnx", "onnx")
    try:
        return kind.FromString(message)
    except errors.DecodeError as error:
        raise ValueError(f"a damaged message ({error})") from error


def open_onnx(handle: Handle) -> Contents:
    """The initialisers in the order of the graph."""
    library = needed("onnx", ".onnx", "onnx")
    found: list[_Tensor] = []
    facts: dict[str, dict[str, Any]] = {}
    layers: dict[str, str] = {}
    quantised: dict[str, tuple[str, str, int]] = {}
    for number, value in _fields(handle, 0, handle.size):
        if number == GRAPH and isinstance(value, tuple):
            for inner, one in _fields(handle, *_span(value)):
                if inner == NODE and isinstance(one, tuple) and one[1] <= MAX_NODE:
                    _look_at(_parsed(library.NodeProto, handle.text(*one)), facts, layers, quantised)
                elif inner == INITIALIZER and isinstance(one, tuple):
                    found.append(_tensor(handle, one))
    if not found:
        raise handle.unreadable("there is no graph with initialisers in it")
    tensors: dict[str, Stored] = {}
    stored: dict[str, Stored] = {}
    names: dict[str, str] = {}
    beside: set[Place] = set()
    for tensor in found:
        name = layers.get(tensor.name, tensor.name) if MADE_UP.match(tensor.name) else tensor.name
        name = name_of(tensor.name if name in tensors else name)
        if name in tensors:
            raise handle.unreadable(f"two of its tensors are called {ascii(name)[:80]}")
        tensors[name] = stored[tensor.name] = _stored(handle, tensor, facts.get(tensor.name, {}), beside)
        names[tensor.name] = name
    for codes, (scales, zeros, axis) in quantised.items():
        if codes in stored and (not zeros or zeros in stored):
            tensors[names[codes]] = _dequantised(stored[codes], stored.get(scales), stored.get(zeros), axis)
    structure = repr([(name, one.shape, one.dtype, one.block and one.block.place) for name, one in tensors.items()])
    return Contents(tensors, structure.encode("utf-8", "backslashreplace"), beside=tuple(sorted(beside, key=str)))


def _span(value: tuple[int, int]) -> tuple[int, int]:
    return value[0], value[0] + value[1]


def _fields(handle: Handle, start: int, stop: int) -> Iterator[tuple[int, int | tuple[int, int]]]:
    """The fields of a message: numbers, or offset and size of what has a length."""
    source = Source(handle.text, stop, start)
    while source.position < stop:
        key = _varint(source)
        number, wire = key >> 3, key & 7
        if wire == 0:
            yield number, _varint(source)
        elif wire in (1, 5):
            source.take(8 if wire == 1 else 4)
        elif wire == 2:
            size, at = _varint(source), source.position
            if size > stop - at:
                raise handle.unreadable(f"it is cut short: a field of {size} bytes at {at} reaches beyond {stop}")
            yield number, (at, size)
            if size <= len(source.buffer) - source.at:
                source.at += size
            else:
                source = Source(handle.text, stop, at + size)
        else:
            raise ValueError(f"a field of the kind {wire} at byte {source.position}")


def _varint(source: Source) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = source.take(1)[0]
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (2**64 - 1)
    raise ValueError(f"a number without an end at byte {source.position}")


def _tensor(handle: Handle, where: tuple[int, int]) -> _Tensor:
    made = _Tensor(*where)
    for number, value in _fields(handle, *_span(where)):
        if isinstance(value, int):
            if number == DIMS:
                made.dims.append(value)
            elif number == KIND:
                made.kind = value
            elif number == LOCATION:
                made.is_external = value == 1
        elif number == DIMS:
            packed = Source(handle.text, value[0] + min(value[1], 1024), value[0])
            while packed.position < packed.size:
                made.dims.append(_varint(packed))
        elif number == NAME:
            made.name = handle.text(value[0], min(value[1], 4096)).decode("utf-8", "surrogateescape")
        elif number == RAW:
            made.raw = value
        elif number == EXTERNAL:
            words = {at: handle.text(*one).decode() for at, one in _fields(handle, *_span(value)) if type(one) is tuple}
            made.external[words.get(1, "")] = words.get(2, "")
    return made


def _stored(handle: Handle, tensor: _Tensor, facts: dict[str, Any], beside: set[Place]) -> Stored:
    shape = shape_of(tensor.dims)
    dtype = DTYPES.get(tensor.kind, f"onnx type {tensor.kind}")
    strides, itemsize = contiguous(shape), ITEMSIZES.get(dtype, 1)
    if tensor.kind not in DTYPES:
        refuse_more_slices_than_bytes(shape, handle.size * 8)
        unfit = f"values of the type {tensor.kind} of ONNX (text, or several in a byte) are not read"
        return Stored(shape, strides, dtype, 1, unfit=unfit)
    needs = math.prod(shape) * itemsize
    if not tensor.is_external and tensor.raw is None:
        if needs > MAX_TYPED or math.prod(shape) > 8 * tensor.size:
            raise handle.unreadable(f"{ascii(tensor.name)[:80]} has no values for the shape {shape}")
        whole = (tensor.start, tensor.size)
        return Typed(shape, strides, dtype, itemsize, facts=facts, whole=shape, places=all_places(shape), message=whole)
    block: Block
    if tensor.is_external:
        block = _outside(handle, tensor, needs)
        beside.add(block.file)
    else:
        block = FileBlock(*(tensor.raw or (0, 0)))
    if block.size != needs:
        raise handle.unreadable(f"{ascii(tensor.name)[:80]} has {block.size} bytes; its shape and type need {needs}")
    return Stored(shape, strides, dtype, itemsize, block, facts=facts)


def _outside(handle: Handle, tensor: _Tensor, needs: int) -> OtherFileBlock:
    """The bytes of a tensor in a file beside; one that leaves the folder is refused."""
    location = tensor.external.get("location", "")
    path = PurePosixPath(location)
    odd = "\\" in location or "\0" in location or ":" in location
    if not location or path.is_absolute() or ".." in path.parts or odd:
        raise handle.unreadable(f"a tensor lies in the file {ascii(location)[:200]}; accepted are files beside it")
    file = handle.path.parent / str(path)
    if not file.is_file():
        raise handle.unreadable(f"a tensor lies in the file {ascii(location)[:200]}, which is not there")
    offset = _number(tensor.external.get("offset", "0"))
    length = _number(tensor.external["length"]) if "length" in tensor.external else needs
    if offset + length > file.stat().st_size:
        raise handle.unreadable(f"a tensor lies at bytes {offset} to {offset + length} of {location}, which is shorter")
    return OtherFileBlock(file, offset, length)


def _number(text: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text):
        raise ValueError(f"{ascii(text)[:40]} where a number belongs")
    return int(text)


def _look_at(
    node: Any, facts: dict[str, dict[str, Any]], layers: dict[str, str], quantised: dict[str, tuple[str, str, int]]
) -> None:
    """What a node says of its weight: groups and axes of a kernel, the layer's name where it is lost, scales."""
    if len(node.input) < 2:
        return
    if node.op_type == "DequantizeLinear":
        said = {one.name: one.i for one in node.attribute}
        if not said.get("block_size"):
            zeros = node.input[2] if len(node.input) > 2 else ""
            quantised[node.input[0]] = (node.input[1], zeros, said.get("axis", 1))
    if node.op_type in ("Conv", "ConvTranspose"):
        groups = next((one.i for one in node.attribute if one.name == "group"), 1)
        facts[node.input[1]] = {"axes": (0, 1), "groups": max(1, groups)}
    steps = [step for step in node.name.split("/") if step]
    if node.op_type in ("MatMul", "Gemm", "Conv", "ConvTranspose") and len(steps) > 1:
        layers[node.input[1]] = f"{'.'.join(steps[:-1])}.weight"


FORMAT = Format(
    "onnx", (".onnx",), "initialisers of a graph, in the file or in files beside it", open_onnx, extra="onnx"
)
