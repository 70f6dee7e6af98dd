r"""LLM.int8 of bitsandbytes: :math:`W = (q\,s) \cdot \tfrac{1}{127}`, s the largest absolute value of a row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .base import Parts, Recipe, Refusal, Rows, Scheme, Stock


def recognise(stock: Stock) -> Iterator[Recipe | Refusal]:
    """`X.weight` of int8 with `X.SCB`."""
    for base, tensor in stock.ending("weight"):
        scales, layout = f"{base}SCB", f"{base}weight_format"
        if tensor.dtype != "int8" or scales not in stock:
            continue
        if layout in stock and any(stock.integers(layout)):
            yield Refusal((tensor.name, scales), f"{tensor.name} with {scales} is in tiles of an old GPU format")
        elif len(tensor.shape) != 2 or stock[scales].shape != tensor.shape[:1]:
            yield Refusal((tensor.name, scales), f"{scales} has no value for every row of {tensor.name}")
        else:
            parts = stock.parts(codes=tensor.name, scales=scales, format=layout if layout in stock else "")
            yield Recipe("bitsandbytes-int8", tensor.name, tensor.shape, "int8 x row scales / 127", parts)


def rows(recipe: Recipe, parts: Parts) -> Rows:
    """Two products, in the order of the reference."""

    def product(start: int, stop: int) -> np.ndarray:
        which = (slice(start, stop),)
        scaled = parts("codes", which).astype(np.float32) * parts("scales", which).astype(np.float32)[:, None]
        return scaled * np.float32(1 / 127)

    return product


SCHEME = Scheme(
    "bitsandbytes-int8",
    "`W = (q s) (1/127)` (bitsandbytes `load_in_8bit`)",
    "`X.weight` int8, `X.SCB`",
    50,
    recognise,
    rows,
)
