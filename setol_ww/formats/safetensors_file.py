"""Safetensors: eight bytes with the length of the header, the header as JSON, the tensors one behind the other.

The rules are those of the library, which refuses holes, overlaps and bytes behind the last tensor
(https://github.com/huggingface/safetensors#format); names that stand twice are refused too, which it leaves open.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from ..weights.tensors import natural_key
from .base import Contents, Format
from .blocks import FileBlock
from .handle import Handle
from .stored import Stored, contiguous, name_of, refuse_more_slices_than_bytes, shape_of, size_of

MAX_HEADER = 100_000_000
METADATA = "__metadata__"
# The library's words for types, and ours where they differ from them in more than case.
SAFETENSORS_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}
BITS = {
    **{code: int("".join(filter(str.isdigit, code[-2:]))) for code in SAFETENSORS_DTYPES if "_" not in code},
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "BOOL"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
    "C64": 64,
}
# What torch calls those that have no word above.
TORCH_NAMES = {
    "BOOL": "bool",
    "C64": "complex64",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F4": "float4_e2m1fn_x2",
}


def open_safetensors(handle: Handle) -> Contents:
    """The tensors in natural order of their names, for the format keeps none."""
    if handle.size < 8:
        raise handle.unreadable(f"it is cut short: a safetensors file has a header, this one {handle.size} bytes")
    length = int.from_bytes(handle.text(0, 8), "little")
    if length > MAX_HEADER or length > handle.size - 8:
        raise handle.unreadable(f"its header is to have {length} bytes; the file has {handle.size}")
    text = handle.text(8, length)
    if not text.startswith(b"{"):
        raise handle.unreadable("its header is no JSON object")
    header = json.loads(text.decode(), object_pairs_hook=_no_name_twice)
    metadata = header.pop(METADATA, None)
    if metadata is not None and not (
        isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
    ):
        raise handle.unreadable(f"its {METADATA} is no mapping of words to words")
    found = {name_of(name): _stored(name, entry, 8 + length, handle) for name, entry in header.items()}
    _refuse_holes(found, 8 + length, handle)
    return Contents({name: found[name] for name in sorted(found, key=natural_key)}, text)


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, number in Counter(name for name, _ in pairs).items() if number > 1)
        raise ValueError(f"the header names {ascii(twice)[:80]} twice")
    return found


def _stored(name: str, entry: Any, base: int, handle: Handle) -> Stored:
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise ValueError(f"the header of {ascii(name)[:80]} lacks its dtype, shape or data_offsets")
    shape, code = shape_of(entry["shape"]), entry["dtype"]
    if not isinstance(code, str) or code not in BITS:
        raise ValueError(f"{ascii(name)[:80]} has the type {ascii(code)[:40]}; known are {', '.join(sorted(BITS))}")
    offsets = entry["data_offsets"]
    if not isinstance(offsets, list) or len(offsets) != 2:
        raise ValueError(f"the data_offsets of {ascii(name)[:80]} are no pair")
    start, stop = (size_of(offset, "data_offset") for offset in offsets)
    tensor = _laid_out(shape, code, FileBlock(base + start, stop - start, name=name))
    refuse_more_slices_than_bytes(shape, handle.size)
    needed, rest = divmod(math.prod(shape) * BITS[code], 8)
    if rest or stop - start != needed:
        raise ValueError(f"{ascii(name)[:80]} has {stop - start} bytes; its shape and type need {needed}")
    return tensor


def _laid_out(shape: tuple[int, ...], code: str, block: FileBlock) -> Stored:
    dtype, itemsize = SAFETENSORS_DTYPES.get(code, code.lower()), max(1, BITS[code] // 8)
    unfit = f"the type {code} packs values across bytes, which torch has no type for" if BITS[code] == 6 else ""
    laid, declared = shape, None
    if code == "F4" and shape and shape[-1] % 2 == 0:
        laid, declared = (*shape[:-1], shape[-1] // 2), shape
    elif code == "F4":
        unfit = "an odd number of values of four bits"
    code = TORCH_NAMES.get(code, dtype)
    return Stored(laid, contiguous(laid), dtype, itemsize, block, unfit=unfit, code=code, declared=declared)


def _refuse_holes(found: dict[str, Stored], base: int, handle: Handle) -> None:
    end = base
    for offset, size in sorted(tensor.block.place for tensor in found.values() if tensor.block):
        if offset != end:
            raise handle.unreadable(f"its tensors overlap or leave a hole at byte {end}")
        end = offset + size
    if end != handle.size:
        raise handle.unreadable(
            f"it is cut short or too long: its header ends at byte {end}, the file at {handle.size}"
        )


FORMAT = Format(
    "safetensors", (".safetensors",), "names and tensors and nothing else (Hugging Face and others)", open_safetensors
)
