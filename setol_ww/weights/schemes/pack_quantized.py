r"""Packed integers of compressed-tensors: :math:`W = (q - z)\,s`, :math:`q = c - 2^{b-1}`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .base import FLOATS, Parts, Recipe, Refusal, Rows, Scheme, Stock, listed
from .bits import unpacked


def recognise(stock: Stock) -> Iterator[Recipe | Refusal]:
    """`X.weight_packed` of int32 with `X.weight_scale` and `X.weight_shape`."""
    for base, tensor in stock.ending("weight_packed"):
        scales, sides, zeros, order = (f"{base}weight_{word}" for word in ("scale", "shape", "zero_point", "g_idx"))
        if tensor.dtype != "int32" or scales not in stock or sides not in stock or len(tensor.shape) != 2:
            continue
        together = tuple(one for one in (tensor.name, scales, sides, zeros, order) if one in stock)
        said = f"{listed(together)} belong together"
        shape = stock.integers(sides)
        fits = [bits for bits in range(2, 9) if len(shape) == 2 and -(-shape[1] * bits // 32) == tensor.shape[1]]
        told = [about.get("num_bits") for about in stock.weights_of_groups]
        fits = [bits for bits in fits if bits in told] or fits
        if len(fits) != 1 or shape[0] != tensor.shape[0] or stock[scales].dtype not in FLOATS:
            yield Refusal(together, f"{said}; how many bits a code has is not to be told from {shape}")
            continue
        groups = stock[scales].shape[-1] if len(stock[scales].shape) == 2 else 1
        if stock[scales].shape[0] != shape[0] or shape[1] % groups:
            yield Refusal(together, f"{said}, but the scales are not those of {shape[0]} rows")
            continue
        size = shape[1] // groups
        names = {"zeros": zeros, "order": order}
        there = {role: one for role, one in names.items() if one in stock}
        parts = stock.parts(codes=tensor.name, scales=scales, sides=sides, **there)
        word = f"int{fits[0]} packed x " + ("row scales" if groups == 1 else f"scales of {size}")
        settings = (("bits", fits[0]), ("size", size))
        yield Recipe("pack-quantized", f"{base}weight", shape, word, parts, settings)


def rows(recipe: Recipe, parts: Parts) -> Rows:
    """Rows of codes with their scales; zero points are packed along the rows."""
    bits, size, (outputs, inputs) = recipe.setting("bits"), recipe.setting("size"), recipe.shape
    half = 2 ** (bits - 1)
    group = parts("order").astype(np.int64) if recipe.has("order") else np.arange(inputs) // size
    zeros = unpacked(np.ascontiguousarray(parts("zeros").T), bits, outputs).T - half if recipe.has("zeros") else None

    def product(start: int, stop: int) -> np.ndarray:
        which = (slice(start, stop),)
        codes = unpacked(np.ascontiguousarray(parts("codes", which)), bits, inputs) - half
        scales = parts("scales", which).astype(np.float32).reshape(stop - start, -1)
        if zeros is not None:
            codes = codes - zeros[start:stop][:, group]
        return codes.astype(np.float32) * scales[:, group]

    return product


SCHEME = Scheme(
    "pack-quantized",
    "`W = (c - 2^(b-1) - z) s` (compressed-tensors `pack-quantized`)",
    "`X.weight_packed` int32, `X.weight_scale`, `X.weight_shape`, `X.weight_zero_point`, `X.weight_g_idx`",
    52,
    recognise,
    rows,
)
