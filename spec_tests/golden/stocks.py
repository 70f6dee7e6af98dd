"""Small models as lists of stored tensors, a line each, for what is told of them without a value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from setol_ww.weights.tensors import WeightTensor

TOLD = Path(__file__).parent / "files" / "told"
TYPES = {
    "f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64", "e4m3": "float8_e4m3fn",
    "e5m2": "float8_e5m2", "e8m0": "float8_e8m0fnu", "i8": "int8", "u8": "uint8", "i16": "int16", "i32": "int32",
    "u32": "uint32", "i64": "int64", "f4": "f4", "qi8": "qint8", "meta": "float32",
}  # fmt: skip
META = "it lies on the meta device and has no values"


def tensors_of(text: str) -> list[WeightTensor]:
    """Lines `name type AxB`, `name type [values]` where the values say how others are stored, `name json {...}`."""
    found = []
    for line in filter(None, map(str.strip, text.strip().split("\n"))):
        name, kind, rest = line.split(" ", 2) if line.count(" ") > 1 else (*line.split(" "), "")
        values: Any = None
        if kind == "json":
            values = np.frombuffer(rest.encode(), np.uint8)
        elif rest.startswith("["):
            values = np.array(json.loads(rest), np.int64)
        shape = values.shape if values is not None else tuple(int(side) for side in rest.split("x") if side)
        dtype = "uint8" if kind == "json" else TYPES[kind]
        found.append(
            WeightTensor(
                name,
                shape,
                dtype,
                load=lambda values=values, shape=shape: np.zeros(shape, np.float32) if values is None else values,
                unfit=META if kind == "meta" else "",
            )
        )
    return found


def stocks() -> Iterator[tuple[str, list[WeightTensor], dict[str, Any]]]:
    """Each model of `told/stocks.in.txt`: every scheme as it is meant, and its conditions not held."""
    for block in (TOLD / "stocks.in.txt").read_text(encoding="utf-8").split("\n\n"):
        head, _, text = block.partition("\n")
        name, _, config = head.removeprefix("# ").partition(" | ")
        yield name, tensors_of(text), json.loads(config or "{}")
