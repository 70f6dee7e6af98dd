r"""HQQ: :math:`W = (q - z)\,s` of groups, codes in slabs of the first axis, the first in the highest bits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .base import FLOATS, Parts, Recipe, Refusal, Rows, Scheme, Stock, as_torch, by, count, listed

META = (
    *("shape", "nbits", "group_size", "axis", "packing", "view_as_float", "compute_dtype", "encoded_state_dict"),
    *("offload_meta", "quant_scale", "quant_zero", "unpack_view_dtype", "channel_wise", "optimize", "round_zero"),
)


#: Of these the values are looked at.
TOLD = ("shape", "nbits", "axis", "group_size")


def recognise(stock: Stock) -> Iterator[Recipe | Refusal]:
    """`X.W_q`, `X.scale`, `X.zero` and the tensors that describe them."""
    for base, tensor in stock.ending("W_q"):
        names = {word: f"{base}{word}" for word in ("scale", "zero", *META) if f"{base}{word}" in stock}
        together = (tensor.name, *names.values())
        said = f"{listed(together)} belong together"
        if not {"scale", "zero", "shape", "nbits", "axis"} <= names.keys():
            yield Refusal(together, f"{said}, but of HQQ some are missing: scale, zero, shape, nbits, axis are needed")
            continue
        told = {word: stock.integers(names[word]) for word in TOLD if word in names}
        if not all(told.values()):
            empty = listed(names[word] for word, numbers in told.items() if not numbers)
            yield Refusal(together, f"{said}, but {empty} of HQQ has no number in it")
            continue
        shape, (bits, *_), (axis, *_) = (told[word] for word in ("shape", "nbits", "axis"))
        size = told.get("group_size", (0,))[0]
        floats = stock[names["scale"]].dtype in FLOATS and stock[names["zero"]].dtype in FLOATS
        packed = tensor.dtype in ("uint8", "int32") and bits in (8, 4, 3, 2, 1)
        if not (floats and packed and _holds(tensor.shape, bits, shape)) or axis not in (0, 1):
            what = f"HQQ of {bits} bits in {tensor.dtype} of {by(tensor.shape)} for {by(shape)}"
            yield Refusal(together, f"{said}: {what}, not known")
            continue
        size = size or shape[-1]
        parts = (*stock.parts(codes=tensor.name, scales=names["scale"], zeros=names["zero"]),)
        parts += tuple(stock.part("description", names[word]) for word in META if word in names)
        settings = (("bits", bits), ("axis", axis), ("size", size))
        yield Recipe("hqq", f"{base}weight", shape, f"hqq {bits} bit x scales of {size}", parts, settings)


def _holds(packed: tuple[int, ...], bits: int, shape: tuple[int, ...]) -> bool:
    """True where the words hold these elements, and fewer than a row of words more."""
    slabs = _slabs(bits)
    return len(packed) == 2 and 0 <= slabs * count(packed) - count(shape) < slabs * packed[1]


def _slabs(bits: int) -> int:
    """Codes in a word."""
    return 10 if bits == 3 else 8 // bits


def rows(recipe: Recipe, parts: Parts) -> Rows:
    """The whole, since groups may run along the columns; then rows of it."""
    import torch

    bits, axis, number = recipe.setting("bits"), recipe.setting("axis"), count(recipe.shape)
    packed, scales, zeros = parts("codes"), *(as_torch(parts.raw(role)) for role in ("scales", "zeros"))
    slabs = _slabs(bits)
    codes = np.concatenate([packed >> bits * (slabs - 1 - slab) & (2**bits - 1) for slab in range(slabs)])
    length = number // max(scales.shape[1 - axis], 1) if axis == 1 else recipe.setting("size")
    grouped = torch.from_numpy(codes)[:length] if axis == 0 else torch.from_numpy(codes)[: scales.shape[0]]
    weight = ((grouped.to(scales.dtype) - zeros) * scales).reshape(recipe.shape).float().numpy()
    return lambda start, stop: weight[start:stop]


SCHEME = Scheme(
    "hqq",
    "`W = (q - z) s` in groups, slabs of the first axis from the highest bits down (HQQ)",
    "`X.W_q`, `X.scale`, `X.zero`, `X.shape`, `X.nbits`, `X.axis`, ...",
    73,
    recognise,
    rows,
)
