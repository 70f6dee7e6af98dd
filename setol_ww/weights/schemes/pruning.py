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
    """`X.weight_orig` and `X.weight_mask`; scores and masks that lie beside a weight under other names are none."""
    yield from _beside_a_weight(stock)
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


def _beside_a_weight(stock: Stock) -> Iterator[Refusal]:
    """Scores of which a mask is made, and masks that lie elsewhere than at their weight."""
    for _, tensor in stock.ending("weight"):
        found = _mask_of(tensor, stock)
        if found and not stock[found].unfit:
            what = "scores that choose a mask of" if found.endswith("scores") else "a mask of"
            yield Refusal((found,), f"no weight: {found} has {what} {tensor.name}")


def _mask_of(tensor: WeightTensor, stock: Stock) -> str:
    """What lies beside a weight and says which of its elements act; empty for nothing."""
    name, base = tensor.name, split(tensor.name)[0]
    if len(tensor.shape) < 2:
        return ""
    alike = [f"{name}_mask", f"{name}.mask", f"{base}mask", f"{base}scores"]
    alike += [f"mask.{name}", f"masks.{name}", f"mask_{name.replace('.', '_')}"]
    found = [one for one in alike if one in stock.tensors and stock[one].shape == tensor.shape]
    # Scores of whole rows, columns or blocks are smaller.
    found += [one for one in (f"{base}mask_scores", f"{base}popup_scores") if one in stock.tensors]
    return found[0] if found else ""


def rows(recipe: Recipe, parts: Parts) -> Rows:
    """The product, row by row."""

    def product(start: int, stop: int):
        original = parts("original", (slice(start, stop),))
        return original * parts("mask", (slice(start, stop),)).astype(original.dtype)

    return product


def remark(tensor: WeightTensor, stock: Stock) -> str:
    """Of a weight with a mask, or scores of one, beside it under another name than pruning gives it."""
    mask = _mask_of(tensor, stock) if split(tensor.name)[1] == "weight" else ""
    what = f"that {mask} beside it choose" if mask.endswith("scores") else f"{mask} beside it"
    return f"as it is stored: the mask {what} is not applied" if mask else ""


SCHEME = Scheme(
    "pruning",
    "`W = original x mask` (torch.nn.utils.prune)",
    "`X.weight_orig`, `X.weight_mask`",
    30,
    recognise,
    rows,
    remark,
)
