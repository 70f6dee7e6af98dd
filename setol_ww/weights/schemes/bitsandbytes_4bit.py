r"""nf4 and fp4 of bitsandbytes: :math:`W = map[c]\,a`, a the absmax of a run of elements, itself quantised or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from .base import Parts, Recipe, Refusal, Rows, Scheme, Stock, by, count, listed
from .bits import nibbles

STATE = ".quant_state.bitsandbytes__"


def recognise(stock: Stock) -> Iterator[Recipe | Refusal]:
    """`W` with `W.absmax`, `W.quant_map` and the JSON in `W.quant_state.bitsandbytes__nf4`."""
    for state in [one for one in stock.free() if STATE in one.name]:
        name, kind = state.name.split(STATE)
        near = {
            "scales": f"{name}.absmax",
            "map": f"{name}.quant_map",
            "scales_of_scales": f"{name}.nested_absmax",
            "map_of_scales": f"{name}.nested_quant_map",
        }
        there = {role: one for role, one in near.items() if one in stock}
        together = tuple(one for one in (name, state.name, *there.values()) if one in stock)
        if not {"scales", "map"} <= there.keys() or name not in stock:
            yield Refusal(
                together, f"{name} in {kind} needs {name}.absmax and {name}.quant_map; here is {listed(together)}"
            )
            continue
        try:
            about: dict[str, Any] = json.loads(stock.peek(state.name).astype(np.uint8).tobytes().decode())
            shape = tuple(int(side) for side in about["shape"])
            block, nested = int(about["blocksize"]), int(about.get("nested_blocksize") or 0)
            offset = float(about.get("nested_offset") or 0.0)
        except (ValueError, KeyError, TypeError) as error:
            yield Refusal(together, f"{name} in {kind}: {state.name} says nothing that can be read ({error})")
            continue
        if nested and len(there) < 4:
            needs = f"{name}.nested_absmax and {name}.nested_quant_map"
            yield Refusal(together, f"{name} in {kind}, quantised twice, needs {needs}; here is {listed(together)}")
            continue
        held = stock[name]
        width = {"uint8": 1, "int8": 1, "bfloat16": 2, "float16": 2, "float32": 4}.get(held.dtype, 0)
        if held.n_params * width != -(-count(shape) // 2) or block < 1:
            yield Refusal(together, f"{name} in {kind} has {held.n_params} of {held.dtype}, not enough for {by(shape)}")
            continue
        settings = (("block", block), ("nested", nested), ("offset", offset))
        parts = stock.parts(codes=name, state=state.name, **there)
        word = f"{kind} x absmax of {block}" + (" quantised" if nested else "")
        yield Recipe("bitsandbytes-4bit", name, shape, word, parts, settings)


def rows(recipe: Recipe, parts: Parts) -> Rows:
    """Runs of elements, which blocks cross where they must."""
    block, nested = recipe.setting("block"), recipe.setting("nested")
    width, number = count(recipe.shape[1:]), count(recipe.shape)
    levels = parts("map").astype(np.float32)
    is_bytes = recipe.main.dtype in ("uint8", "int8")
    column = (0,) * (len(recipe.main.shape) - 1)

    def packed(first: int, last: int) -> np.ndarray:
        if is_bytes and recipe.main.shape[0] * 2 >= number:
            return np.ascontiguousarray(parts("codes", (slice(first, last), *column))).view(np.uint8)
        return _all_bytes(parts.raw("codes"))[first:last]

    def absmax(first: int, last: int) -> np.ndarray:
        scales = parts("scales", (slice(first, last),)) if len(recipe.part("scales").shape) == 1 else None
        scales = parts("scales").reshape(-1)[first:last] if scales is None else scales
        if not nested:
            return scales.astype(np.float32)
        group = np.arange(first, last) // nested
        coarse = parts("scales_of_scales").astype(np.float32).reshape(-1)[group]
        fine = parts("map_of_scales").astype(np.float32).reshape(-1)[scales.astype(np.uint8)]
        return fine * coarse + np.float32(recipe.setting("offset"))

    def product(start: int, stop: int) -> np.ndarray:
        first, last = start * width, stop * width
        codes = nibbles(packed(first // 2, -(-last // 2)), high_first=True)[first % 2 :][: last - first]
        scales = absmax(first // block, -(-last // block))
        where = np.arange(first, last) // block - first // block
        return (levels[codes] * scales[where]).reshape(stop - start, *recipe.shape[1:])

    return product


def _all_bytes(values: Any) -> np.ndarray:
    """The bytes of a tensor of any type."""
    if hasattr(values, "detach"):
        import torch

        return values.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)


SCHEME = Scheme(
    "bitsandbytes-4bit",
    "`W = map[c] absmax`, `absmax = map'[a] absmax' + offset` where it is quantised too (bitsandbytes nf4, fp4)",
    "`X.weight` uint8, `X.weight.absmax`, `.quant_map`, `.quant_state.bitsandbytes__nf4`, `.nested_absmax`, "
    "`.nested_quant_map`",
    45,
    recognise,
    rows,
)
