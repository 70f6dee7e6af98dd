r"""Packed integers of quanto: :math:`W = s\,q - t`, or :math:`(q - t)\,s` for integer t, in slabs of the first axis."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .base import FLOATS, Parts, Recipe, Refusal, Rows, Scheme, Stock, listed


def recognise(stock: Stock) -> Iterator[Recipe | Refusal]:
    """`X.weight._data._data` of bytes with `X.weight._scale` and `X.weight._shift`.

    The shape is not stored: of a weight of two axes with groups of g columns it follows only where rows are known, so
    the layer's bias has to be there, or one group be a row.
    """
    for base, tensor in stock.ending("_data"):
        if not base.endswith("._data.") or tensor.dtype != "uint8" or len(tensor.shape) != 2:
            continue
        name = base.removesuffix("._data.")
        scales, shift = f"{name}._scale", f"{name}._shift"
        if scales not in stock or shift not in stock:
            continue
        together = (tensor.name, scales, shift)
        bias = name.removesuffix("weight") + "bias"
        groups = stock[scales].shape[0]
        fits = stock[scales].shape == (groups, 1) == stock[shift].shape and stock[scales].dtype in FLOATS
        bits = [bits for bits in (2, 4) if -(-groups // (8 // bits)) == tensor.shape[0]]
        rows_of = stock[bias].shape[0] if bias in stock.tensors and len(stock[bias].shape) == 1 else 0
        if not fits or len(bits) != 1 or not rows_of or groups % rows_of:
            yield Refusal(
                together,
                f"{listed(together)} belong together, packed by quanto in groups; how many rows the weight has is not "
                "stored beside them",
            )
            continue
        shape = (rows_of, groups // rows_of * tensor.shape[1])
        word = f"qint{bits[0]} x scales of {tensor.shape[1]}"
        parts = stock.parts(codes=tensor.name, scales=scales, shift=shift)
        yield Recipe("quanto", name, shape, word, parts, (("bits", bits[0]),))


def rows(recipe: Recipe, parts: Parts) -> Rows:
    """Groups of a row lie one behind the other in the grouped matrix."""
    bits = recipe.setting("bits")
    packed = parts("codes")
    codes = np.concatenate([packed >> bits * slab & (2**bits - 1) for slab in range(8 // bits)])
    per_row = recipe.part("scales").shape[0] // recipe.shape[0]
    is_float = recipe.part("shift").dtype in FLOATS

    def product(start: int, stop: int) -> np.ndarray:
        which = slice(start * per_row, stop * per_row)
        grouped = codes[which].astype(np.float32)
        scales, shift = parts("scales", (which,)), parts("shift", (which,)).astype(np.float32)
        made = scales * grouped - shift if is_float else (grouped - shift) * scales
        return made.reshape(stop - start, -1)

    return product


SCHEME = Scheme(
    "quanto",
    "`W = s q - t`, or `(q - t) s` for integer t, slabs of the first axis, lowest bits first (quanto qint4, qint2)",
    "`X.weight._data._data` uint8, `X.weight._scale`, `X.weight._shift`, and `X.bias` for the number of rows",
    58,
    recognise,
    rows,
)
