r"""Pruning: :math:`W` times its mask of zeros and ones, element by element."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .base import FLOATS, Parts, Recipe, Refusal, Rows, Scheme, Stock, by, split

if TYPE_CHECKING:
    from ..tensors import WeightTensor

ORIGINAL = re.compile(r"(\w+)_orig")


def recognise(stock: Stock) -> Iterator[Recipe | Refusal]:
    """`X.weight_orig` and `X.weight_mask`."""
    for tensor in stock.free():
        base, last = split(tensor.name)
        found = ORIGINAL.fullmatch(last)
        if found is None or tensor.dtype not in FLOATS or not tensor.shape:
            continue
        name = base + found[1]
        mask = f"{name}_mask"
        if mask not in stock:
            if not found[1].startswith("weight"):
                continue
            yield Refusal(
                (tensor.name,),
                f"{tensor.name} is what {name} was made from; its mask {mask} or its vector {name}_u is not here",
            )
        elif stock[mask].shape != tensor.shape:
            shapes = f"{by(tensor.shape)} and {by(stock[mask].shape)}"
            yield Refusal((tensor.name, mask), f"{tensor.name} and its mask {mask} differ in shape: {shapes}")
        else:
            parts = stock.parts(original=tensor.name, mask=mask)
            yield Recipe("pruning", name, tensor.shape, f"{tensor.dtype} x mask", parts)


def rows(recipe: Recipe, parts: Parts) -> Rows:
    """The product, row by row."""

    def product(start: int, stop: int):
        original = parts("original", (slice(start, stop),))
        return original * parts("mask", (slice(start, stop),)).astype(original.dtype)

    return product


def remark(tensor: WeightTensor, stock: Stock) -> str:
    """Of a weight with a mask beside it under another name than pruning gives it."""
    base, last = split(tensor.name)
    mask = stock.first(f"{tensor.name}_mask", f"{base}mask") if last == "weight" else ""
    is_its = bool(mask) and stock[mask].shape == tensor.shape
    return f"as it is stored: the mask {mask} beside it is not applied" if is_its else ""


SCHEME = Scheme(
    "pruning",
    "`W = original x mask` (torch.nn.utils.prune)",
    "`X.weight_orig`, `X.weight_mask`",
    30,
    recognise,
    rows,
    remark,
)
