r"""Four-bit floats: MXFP4, :math:`W = e2m1\cdot 2^{b-127}` of 32, and NVFP4, :math:`W = e2m1\,(s\,s_2)` of 16."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .base import E8M0, Parts, Recipe, Refusal, Rows, Scheme, Stock, as_numpy, listed, split
from .bits import E2M1, e8m0, nibbles

#: How many codes an element holds; a file says the shape of F4 in values.
HELD = {"uint8": 2, "int8": 2, "f4": 1, "uint32": 8}
MARKS = ("pre_quant_scale", "weight_g_idx", "svdquant_lora_a")


def recognise(stock: Stock) -> Iterator[Recipe | Refusal]:
    """`P_blocks` with `P_scales`, or a module's packed weight with scales of 32 or 16 elements."""
    yield from _blocks(stock)
    for base, tensor in stock.ending("weight", "weight_packed"):
        if tensor.dtype not in HELD or len(tensor.shape) < 2:
            continue
        scales = stock.first(f"{base}weight_scale", f"{base}scale", f"{base}weight_scale_inv", f"{base}scales")
        if not scales or f"{base}biases" in stock:
            continue
        inputs = tensor.shape[-1] * HELD[tensor.dtype]
        found, leading = stock[scales], tensor.shape[:-1]
        if found.shape[:-1] != leading:
            continue
        together = [tensor.name, scales]
        whole = stock.first(f"{base}weight_scale_2", f"{base}weight_global_scale")
        together += [one for one in (whole, *(f"{base}{mark}" for mark in (*MARKS, "comfy_quant"))) if one in stock]
        if f"{base}comfy_quant" in stock or any(f"{base}{mark}" in stock for mark in MARKS):
            yield Refusal(
                tuple(dict.fromkeys(together)),
                f"{listed(together)} belong together: codes of four bits in an order or with a transform not undone",
            )
            continue
        if tensor.name.endswith("weight_packed") and not whole and _is_e4m3(tensor.dtype, found.dtype):
            yield Refusal(
                tuple(together),
                f"{listed(together)} belong together with {base}weight_global_scale, which is not here",
            )
            continue
        word, settings = "", dict[str, Any]()
        if found.dtype in E8M0 and found.shape[-1] * 32 == inputs and not whole:
            word, settings = "mxfp4 x 1x32 scales", {"block": 32}
        elif found.shape[-1] * 16 == inputs and _is_e4m3(tensor.dtype, found.dtype):
            word = "nvfp4 x 1x16 scales" + (" x one scale" if whole else "")
            settings = {"block": 16, "divide": whole.endswith("weight_global_scale")}
        if not word:
            continue
        parts = stock.parts(codes=tensor.name, scales=scales, whole=whole)
        yield Recipe("fp4", f"{base}weight", (*leading, inputs), word, parts, tuple(settings.items()))


def _is_e4m3(codes: str, scales: str) -> bool:
    """MLX, whose codes are words, keeps the bytes of its scales without a type."""
    return scales == "float8_e4m3fn" or (codes == "uint32" and scales == "uint8")


def e4m3(codes: np.ndarray) -> np.ndarray:
    """Bytes as float8 e4m3; what is decoded already stays."""
    if codes.dtype != np.uint8:
        return codes
    import torch

    return torch.from_numpy(codes).view(torch.float8_e4m3fn).float().numpy()


def _blocks(stock: Stock) -> Iterator[Recipe | Refusal]:
    """The experts of gpt-oss, rows as outputs."""
    for tensor in stock.free():
        base, last = split(tensor.name)
        stem = base + last.removesuffix("_blocks")
        if not last.endswith("_blocks") or tensor.dtype != "uint8":
            continue
        if (
            f"{stem}_scales" not in stock
            or stock[f"{stem}_scales"].shape != tensor.shape[:-1]
            or tensor.shape[-1] != 16
        ):
            yield Refusal((tensor.name,), f"{tensor.name} needs {stem}_scales of one scale a block, which is not here")
            continue
        parts = stock.parts(codes=tensor.name, scales=f"{stem}_scales")
        shape = (*tensor.shape[:-2], tensor.shape[-2] * 32)
        yield Recipe("fp4", stem, shape, "mxfp4 x 1x32 scales", parts, (("block", 32),))


def rows(recipe: Recipe, parts: Parts) -> Rows:
    """Values of the codes times their scales, low four bits first."""
    block = recipe.setting("block")

    def product(start: int, stop: int) -> np.ndarray:
        which = (slice(start, stop),)
        codes = nibbles(np.ascontiguousarray(parts("codes", which)))
        values = E2M1[codes].reshape(*(stop - start, *recipe.shape[1:-1]), -1, block)
        scales = parts("scales", which)
        scales = e8m0(scales) if block == 32 else e4m3(scales)
        if recipe.has("whole"):
            whole = as_numpy(parts.raw("whole")).astype(np.float32)
            whole = whole.reshape(-1) if whole.size == 1 else whole[start:stop].reshape(-1, *(1,) * (scales.ndim - 1))
            scales = scales / whole if recipe.setting("divide") else scales * whole
        return (values * scales[..., None]).reshape(stop - start, *recipe.shape[1:])

    return product


SCHEME = Scheme(
    "fp4",
    "MXFP4 `W = e2m1 2^(b - 127)` of 32, NVFP4 `W = e2m1 (s s2)` or `e2m1 (s / g)` of 16, low four bits first",
    "`P_blocks`, `P_scales` (gpt-oss); `X.weight` uint32 with `scales` (MLX); "
    "`X.weight` or `weight_packed` of bytes with `weight_scale` or `scale`, and "
    "`weight_scale_2` (ModelOpt) or `weight_global_scale` (compressed-tensors)",
    55,
    recognise,
    rows,
)
