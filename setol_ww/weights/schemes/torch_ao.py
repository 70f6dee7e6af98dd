r"""Quantised tensors of torch.ao: :math:`W = (q - z)\,s`, one scale or one of each channel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .base import Parts, Recipe, Refusal, Rows, Scheme, Stock
from .blocks import grid_of, in_words, spread

TYPES = ("qint8", "quint8", "qint32")


def recognise(stock: Stock) -> Iterator[Recipe | Refusal]:
    """Tensors of torch's quantised types; their scales come beside them when a file or a mapping is opened."""
    for tensor in stock.free():
        if tensor.dtype not in TYPES:
            continue
        scales, zeros = (f"{tensor.name}.{word}" for word in ("q_scale", "q_zero_point"))
        if scales not in stock or zeros not in stock:
            continue
        grid = grid_of(tensor.shape, stock[scales].shape)
        if grid is None:
            yield Refusal((tensor.name, scales, zeros), f"the scales of {tensor.name} are not those of its channels")
            continue
        name = tensor.name
        if name.endswith("._packed_params._packed_params") or name == "_packed_params._packed_params":
            name = name.removesuffix("_packed_params._packed_params") + "weight"
        parts = stock.parts(codes=tensor.name, scales=scales, zeros=zeros)
        word = f"{tensor.dtype} x {in_words(tensor.shape, grid)}"
        yield Recipe("torch.ao", name, tensor.shape, word, parts, (("grid", grid),))


def rows(recipe: Recipe, parts: Parts) -> Rows:
    """The product as torch has it: of one scale in float32, of channels in float64, rounded once."""
    grid = recipe.setting("grid")
    wide = np.float64 if recipe.part("scales").shape else np.float32

    def spread_over(role: str, start: int, stop: int) -> np.ndarray:
        values = parts(role).astype(wide)
        values = values.reshape((*values.shape, *(1,) * (len(recipe.shape) - values.ndim)))
        return spread(values, grid, (stop - start, *recipe.shape[1:]), start)

    def product(start: int, stop: int) -> np.ndarray:
        codes = parts("codes", (slice(start, stop),)).astype(wide)
        return ((codes - spread_over("zeros", start, stop)) * spread_over("scales", start, stop)).astype(np.float32)

    return product


SCHEME = Scheme(
    "torch.ao",
    "`W = (q - z) s`, of one scale in float32, of channels in float64 and rounded (torch.ao.quantization)",
    "a tensor of type qint8, quint8 or qint32; `X._packed_params._packed_params`",
    40,
    recognise,
    rows,
)
