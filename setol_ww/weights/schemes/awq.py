r"""AWQ, order of its GEMM kernel: :math:`W_{nk} = s_{gn}\,(q_{kn} - z_{gn})`, eight outputs interleaved in a word."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .base import FLOATS, Parts, Recipe, Refusal, Rows, Scheme, Stock, listed

#: Which four bits of a word hold each of eight outputs.
PLACES = np.array([0, 4, 1, 5, 2, 6, 3, 7])
#: What ParoQuant keeps beside the codes: angles, which pairs they turn, and scales of the inputs.
ROTATIONS = ("theta", "pairs", "channel_scales")


def recognise(stock: Stock) -> Iterator[Recipe | Refusal]:
    """`X.qweight` packed along its second axis, with `X.qzeros` and `X.scales`."""
    for base, tensor in stock.ending("qweight"):
        zeros, scales = f"{base}qzeros", f"{base}scales"
        if zeros not in stock or scales not in stock or tensor.dtype not in ("int32", "uint32"):
            continue
        if any(len(stock[name].shape) != 2 for name in (tensor.name, zeros, scales)):
            continue
        (groups, outputs), (inputs, words) = stock[scales].shape, tensor.shape
        together = (tensor.name, zeros, scales)
        rotated = tuple(one for one in (f"{base}{word}" for word in ROTATIONS) if one in stock)
        if rotated:
            names = (*together, *rotated)
            yield Refusal(names, f"{listed(names)} belong together: rotated, which is not undone")
            continue
        about = stock.quantisation
        if words * 8 != outputs or stock[zeros].shape != (groups, words) or stock[scales].dtype not in FLOATS:
            continue
        version = str(about.get("version") or "gemm").lower()
        if version not in ("gemm", "exllama"):
            yield Refusal(together, f"{listed(together)} belong together, AWQ in the version {version}, not known")
            continue
        if not groups or inputs % groups:
            yield Refusal(together, f"{listed(together)} belong together, but {inputs} inputs make no {groups} groups")
            continue
        size = inputs // groups
        word = f"awq 4 bit x scales of {size}"
        parts = stock.parts(codes=tensor.name, zeros=zeros, scales=scales)
        yield Recipe("awq", f"{base}weight", (outputs, inputs), word, parts, (("size", size),))


def rows(recipe: Recipe, parts: Parts) -> Rows:
    """Outputs are columns of the packed tensor, which is read whole."""
    words, zero_words = (parts(role).view(np.uint32) for role in ("codes", "zeros"))
    scales = parts("scales").astype(np.float32)
    group = np.arange(recipe.shape[1]) // recipe.setting("size")

    def columns(packed: np.ndarray, start: int, stop: int) -> np.ndarray:
        which = np.arange(start, stop)
        return (packed[:, which // 8] >> (4 * PLACES[which % 8]).astype(np.uint32) & 15).astype(np.int32)

    def product(start: int, stop: int) -> np.ndarray:
        offset = columns(words, start, stop) - columns(zero_words, start, stop)[group]
        return (offset.astype(np.float32) * scales[group, start:stop]).T

    return product


SCHEME = Scheme(
    "awq",
    "`W[n, k] = s[g, n] (q[k, n] - z[g, n])`, output 8c + j of a word at bits 4 (0 4 1 5 2 6 3 7)[j] (`version: gemm`)",
    "`X.qweight` int32 (inputs, outputs / 8), `X.qzeros`, `X.scales`",
    71,
    recognise,
    rows,
)
