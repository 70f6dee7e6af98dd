"""Values to bytes and back, bit for bit: numbers, words, arrays, and the frozen results of an analysis.

A blob is a head of twelve bytes, the value as JSON, and the contents of its arrays one after the other:

| bytes | what |
|---|---|
| 0-1 | `SW` |
| 2 | version of this layout |
| 3 | 1 where the JSON is compressed by zlib, else 0 |
| 4-7, 8-11 | length of the JSON as stored and as it is, little-endian |

JSON has no word for most of what is kept; such a value is an object whose key `!` says what it is (`TAGS`). Arrays are
little-endian, in C order, their bytes sorted by place and compressed where that makes them smaller. Text is UTF-8 that
lets lone surrogates pass, for names of files may hold them.
"""

from __future__ import annotations

import dataclasses
import json
import math
import struct
import zlib
from collections.abc import Callable
from enum import Enum
from importlib import import_module
from typing import Any

import numpy as np

MAGIC, VERSION = b"SW", 1
HEAD = struct.Struct("<2sBBII")
LEVEL = 4
TAG = "!"
#: What may be kept beside numbers, words and arrays, and where it lives; nothing else is ever imported for a file.
KEPT = {
    "LayerRecord": "results.record",
    "Spectrum": "spectrum.esd",
    "SubmatrixFit": "spectrum.windows",
    "Strengths": "spectrum.strengths",
    "TrapReport": "traps.find",
    "Trap": "traps.find",
    "Element": "traps.location",
    "Outcome": "core.outcomes",
}


_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
#: Types whose values JSON has as they are.
PLAIN = frozenset((type(None), bool, int, str))


class Undecodable(ValueError):
    """A blob that says something this version does not know, or nothing at all."""


def pack(value: Any) -> bytes:
    """`value` as bytes.

    Parameters
    ----------
    value
        None, bool, int, float, str, numpy scalars and arrays of numbers, lists, tuples, dicts, and what is in `KEPT`.

    Raises
    ------
    TypeError
        Anything else.

    Examples
    --------
    >>> unpack(pack({"x": (1, -0.0, None)}))
    {'x': (1, -0.0, None)}
    """
    buffers: list[bytes] = []
    text = _JSON.encode(_plain(value, buffers))
    plain = text.encode("utf-8", "surrogatepass")
    small = zlib.compress(plain, LEVEL)
    shorter = len(small) < len(plain)
    stored = small if shorter else plain
    return b"".join([HEAD.pack(MAGIC, VERSION, int(shorter), len(stored), len(plain)), stored, *buffers])


def unpack(blob: bytes) -> Any:
    """What `pack` was given.

    Raises
    ------
    Undecodable
        Bytes of another make, of a newer version, or with a kind of value that this version does not know.
    """
    try:
        magic, version, compressed, stored, length = HEAD.unpack_from(blob)
        if magic != MAGIC:
            raise Undecodable("it is no record")
        if version != VERSION:
            raise Undecodable(f"its record has version {version}, this one reads {VERSION}")
        plain = bytes(blob[HEAD.size : HEAD.size + stored])
        if compressed:
            plain = zlib.decompressobj().decompress(plain, length)
        if len(plain) != length:
            raise Undecodable("its record is cut short")
        told = json.loads(plain.decode("utf-8", "surrogatepass"))
        return _value(told, memoryview(blob)[HEAD.size + stored :])
    except Undecodable:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, struct.error, zlib.error) as error:
        raise Undecodable(f"its record makes no sense ({type(error).__name__}: {error})") from error


def _plain(value: Any, buffers: list[bytes]) -> Any:
    """`value` in JSON's own types."""
    # Most are words and finite numbers, which JSON has.
    kind = type(value)
    if kind in PLAIN or (kind is float and math.isfinite(value)):
        return value
    if isinstance(value, Enum):
        return {TAG: "word", "of": _kept_name(type(value)), "value": value.value}
    if isinstance(value, np.generic):
        return _scalar(value)
    if isinstance(value, (int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {TAG: "float", "is": repr(value)}
    if isinstance(value, np.ndarray):
        return _array(value, buffers)
    if isinstance(value, list):
        return [_plain(one, buffers) for one in value]
    if isinstance(value, tuple):
        return {TAG: "tuple", "of": [_plain(one, buffers) for one in value]}
    if isinstance(value, dict):
        if TAG not in value and all(type(key) is str for key in value):
            # A call for each of a hundred words would take longer than all that is told here.
            return {key: one if type(one) in PLAIN else _plain(one, buffers) for key, one in value.items()}
        return {TAG: "dict", "of": [[_plain(key, buffers), _plain(one, buffers)] for key, one in value.items()]}
    if dataclasses.is_dataclass(value):
        told = {one.name: _plain(getattr(value, one.name), buffers) for one in dataclasses.fields(value)}
        return {TAG: "record", "of": _kept_name(type(value)), "fields": told}
    raise TypeError(f"a value of type {type(value).__name__} cannot be kept; accepted are numbers, words and results")


def _kept_name(kind: type) -> str:
    name = kind.__name__
    if KEPT.get(name) is None or not kind.__module__.endswith(KEPT[name]):
        raise TypeError(f"a value of type {name} cannot be kept; accepted are {', '.join(KEPT)}")
    return name


def _kind(name: str) -> Any:
    if name not in KEPT:
        raise Undecodable(f"it holds a value of type {name!r}: a newer version of setol-ww wrote it")
    return getattr(import_module(f"..{KEPT[name]}", __package__), name)


def _scalar(value: np.generic) -> Any:
    if value.dtype.kind == "U":
        return str(value)
    if value.dtype.kind not in "biuf":
        raise TypeError(f"a number of type {value.dtype} cannot be kept; accepted are real ones")
    kind = value.dtype.newbyteorder("<")
    return {TAG: "scalar", "dtype": kind.str, "hex": np.asarray(value).astype(kind).tobytes().hex()}


def _array(array: np.ndarray, buffers: list[bytes]) -> dict[str, Any]:
    if array.dtype.kind not in "biuf":
        raise TypeError(f"an array of type {array.dtype} cannot be kept; accepted are real numbers")
    kind = array.dtype.newbyteorder("<")
    plain = np.ascontiguousarray(array).astype(kind, copy=False).tobytes()
    by_place = np.frombuffer(plain, np.uint8).reshape(-1, kind.itemsize).T.tobytes()
    small = zlib.compress(by_place, LEVEL)
    sorted_ = len(small) < len(plain)
    stored = small if sorted_ else plain
    at = sum(map(len, buffers))
    buffers.append(stored)
    shape = list(array.shape)
    return {TAG: "array", "dtype": kind.str, "shape": shape, "at": at, "bytes": len(stored), "by_place": sorted_}


def _value(told: Any, buffers: memoryview) -> Any:
    """`_plain` undone."""
    if isinstance(told, list):
        return [_value(one, buffers) for one in told]
    if not isinstance(told, dict):
        return told
    if TAG not in told:
        # Most values are neither.
        return {key: _value(one, buffers) if type(one) in (dict, list) else one for key, one in told.items()}
    if told[TAG] not in TAGS:
        raise Undecodable(f"it holds a value called {told[TAG]!r}: a newer version of setol-ww wrote it")
    return TAGS[told[TAG]](told, buffers)


def _read_array(told: dict[str, Any], buffers: memoryview) -> np.ndarray:
    kind, shape = np.dtype(told["dtype"]), tuple(told["shape"])
    size = math.prod(shape) * kind.itemsize
    stored = bytes(buffers[told["at"] : told["at"] + told["bytes"]])
    if told["by_place"]:
        stored = zlib.decompressobj().decompress(stored, size or 1)
        if len(stored) == size:
            stored = np.frombuffer(stored, np.uint8).reshape(kind.itemsize, -1).T.tobytes()
    if kind.kind not in "biuf" or len(stored) != size:
        raise Undecodable("its record is cut short")
    return np.frombuffer(stored, kind).reshape(shape).astype(kind.newbyteorder("="))


def _read_scalar(told: dict[str, Any], _: memoryview) -> Any:
    kind = np.dtype(told["dtype"])
    return np.frombuffer(bytes.fromhex(told["hex"]), kind).astype(kind.newbyteorder("="))[0]


def _read_record(told: dict[str, Any], buffers: memoryview) -> Any:
    kind = _kind(told["of"])
    unknown = set(told["fields"]) - {one.name for one in dataclasses.fields(kind)}
    if unknown:
        raise Undecodable(f"its {told['of']} has {', '.join(sorted(unknown))}: a newer version of setol-ww wrote it")
    return kind(**{name: _value(one, buffers) for name, one in told["fields"].items()})


#: What each word under `!` means: how its value is read.
TAGS: dict[str, Callable[[dict[str, Any], memoryview], Any]] = {
    "float": lambda told, _: float(told["is"]),
    "tuple": lambda told, buffers: tuple(_value(one, buffers) for one in told["of"]),
    "dict": lambda told, buffers: {_value(key, buffers): _value(one, buffers) for key, one in told["of"]},
    "scalar": _read_scalar,
    "array": _read_array,
    "word": lambda told, _: _kind(told["of"])(told["value"]),
    "record": _read_record,
}
