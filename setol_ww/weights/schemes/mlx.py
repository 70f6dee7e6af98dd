r"""MLX, affine: :math:`W = q\,s + b` in the type of the scales, as `mx.dequantize` rounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from .base import FLOATS, Parts, Recipe, Refusal, Rows, Scheme, Stock, as_torch, listed
from .bits import unpacked

BITS, SIZES = (2, 3, 4, 5, 6, 8), (16, 32, 64, 128)
SAY = "the `quantization` (bits, group_size) of the config.json that MLX writes beside it tells"


def recognise(stock: Stock) -> Iterator[Recipe | Refusal]:
    """`X.weight` of uint32 with `X.scales` and `X.biases`."""
    for base, tensor in stock.ending("weight"):
        scales, offsets = f"{base}scales", stock.first(f"{base}biases", f"{base}qbiases")
        if tensor.dtype not in ("uint32", "int32") or scales not in stock or not offsets:
            continue
        together = (tensor.name, scales, offsets)
        shape = stock[scales].shape
        fits = stock[offsets].shape == shape and len(shape) == len(tensor.shape) and shape[:-1] == tensor.shape[:-1]
        if not fits or len(shape) < 2 or stock[scales].dtype not in FLOATS or tensor.dtype != "uint32":
            continue
        own = stock.quantisation.get(base.removesuffix("."))
        about = own if isinstance(own, Mapping) else stock.quantisation
        readings = [
            (bits, size)
            for bits in BITS
            for size in SIZES
            if shape[-1] * size * bits == 32 * tensor.shape[-1]
            and about.get("bits", bits) == bits
            and about.get("group_size", size) == size
        ]
        if len(readings) != 1:
            ways = " or ".join(f"as {bits} bits in groups of {size}" for bits, size in readings) or "in no known way"
            yield Refusal(together, f"{listed(together)} belong together and can be read {ways}; {SAY}")
            continue
        ((bits, size),) = readings
        parts = stock.parts(codes=tensor.name, scales=scales, offsets=offsets)
        made = (*shape[:-1], shape[-1] * size)
        word = f"mlx {bits} bit x scales of {size}"
        yield Recipe("mlx", tensor.name, made, word, parts, (("bits", bits), ("size", size)))


def rows(recipe: Recipe, parts: Parts) -> Rows:
    """Product and sum, each rounded to the type of the scales."""
    import torch

    bits, size = recipe.setting("bits"), recipe.setting("size")

    def affine(start: int, stop: int) -> np.ndarray:
        which = (slice(start, stop),)
        codes = torch.from_numpy(unpacked(parts("codes", which), bits, recipe.shape[-1]))
        scales, offsets = (as_torch(parts.raw(role, which)) for role in ("scales", "offsets"))
        codes = codes.to(scales.dtype).unflatten(-1, (-1, size))
        weight = codes * scales[..., None] + offsets[..., None]
        weight = weight.flatten(-2)
        return (weight if weight.dtype == torch.float64 else weight.float()).numpy()

    return affine


SCHEME = Scheme(
    "mlx",
    "`W = q s + b` (MLX `affine`, and `metal` of transformers)",
    "`X.weight` uint32, `X.scales`, `X.biases`",
    72,
    recognise,
    rows,
)
