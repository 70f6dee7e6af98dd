r"""Spectral norm: :math:`W = M / \sigma`, :math:`\sigma = u \cdot M v` with the vectors stored, no power step."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .base import FLOATS, SAVE_COMPUTED, Parts, Recipe, Refusal, Rows, Scheme, Stock, as_torch, by, count, split

OLD = re.compile(r"(weight\w*)_orig")
NEW = re.compile(r"(?:(.*)\.)?parametrizations\.(\w+)\.original")


def recognise(stock: Stock) -> Iterator[Recipe | Refusal]:
    """`X.weight_orig`, `weight_u`, `weight_v`, or `parametrizations.weight.original` with `.0._u`, `.0._v`."""
    for tensor in stock.free():
        new, (base, last) = NEW.fullmatch(tensor.name), split(tensor.name)
        old = OLD.fullmatch(last)
        if new:
            name = f"{new[1]}.{new[2]}" if new[1] else new[2]
            around = tensor.name.removesuffix("original")
            near = [*stock.siblings(around), *(one for step in "012" for one in stock.siblings(f"{around}{step}."))]
            others = [one for one in near if one != tensor.name]
            left, right = f"{around}0._u", f"{around}0._v"
            if set(others) != {left, right}:
                what = f", with {', '.join(others[:4])}" if others else ""
                yield Refusal(
                    (tensor.name, *others), f"the original of a parametrised weight{what}, not known; {SAVE_COMPUTED}"
                )
                continue
        elif old:
            name = base + old[1]
            left, right = f"{name}_u", f"{name}_v"
            if left not in stock:
                continue
        else:
            continue
        if right not in stock:
            # Before torch 1.1 v was not stored; it follows from u and W.
            yield Refusal(
                (tensor.name, left), f"{tensor.name} and {left} are a spectral norm without {right}; {SAVE_COMPUTED}"
            )
            continue
        if tensor.dtype not in FLOATS or len(tensor.shape) < 2:
            continue
        dim = _dim(tensor.shape, count(stock[left].shape), count(stock[right].shape))
        if dim is None:
            yield Refusal(
                (tensor.name, left, right),
                f"{tensor.name} ({by(tensor.shape)}) with {left} and {right} is no spectral norm: their lengths fit no "
                "axis",
            )
            continue
        parts = stock.parts(original=tensor.name, left=left, right=right)
        yield Recipe("spectral-norm", name, tensor.shape, f"{tensor.dtype} / spectral norm", parts, (("dim", dim),))


def _dim(shape: tuple[int, ...], left: int, right: int) -> int | None:
    fits = [axis for axis in (0, 1) if shape[axis] == left and count(shape) == left * right]
    return fits[0] if fits else None


def rows(recipe: Recipe, parts: Parts) -> Rows:
    """sigma of the whole, then rows of the quotient."""
    original = as_torch(parts.raw("original"))
    moved = original.movedim(recipe.setting("dim"), 0).flatten(1)
    left, right = (as_torch(parts.raw(role)).to(moved.dtype) for role in ("left", "right"))
    sigma = left.dot(moved.mv(right))

    def quotient(start: int, stop: int):
        weight = original[start:stop] / sigma
        return (weight if str(weight.dtype) == "torch.float64" else weight.float()).numpy()

    return quotient


SCHEME = Scheme(
    "spectral-norm",
    "`W = M / (u . M v)` (torch.nn.utils.spectral_norm, old and parametrised)",
    "`X.weight_orig`, `X.weight_u`, `X.weight_v`; `X.parametrizations.weight.original`, `.0._u`, `.0._v`",
    20,
    recognise,
    rows,
)
