r"""GPTQ: :math:`W_{nk} = s_{g(k) n}\,(q_{kn} - z_{g(k) n})`, the groups in any order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .base import FLOATS, Parts, Recipe, Refusal, Rows, Scheme, Stock, is_of, listed, mapping
from .bits import unpacked

REPACKED = ("marlin", "bitblas", "qqq", "exllama", "gptq_p", "ipex")


def recognise(stock: Stock) -> Iterator[Recipe | Refusal]:
    """`X.qweight` packed along its first axis, with `X.qzeros`, `X.scales` and perhaps `X.g_idx`."""
    for base, tensor in stock.ending("qweight"):
        zeros, scales, order = (f"{base}{word}" for word in ("qzeros", "scales", "g_idx"))
        if zeros not in stock or scales not in stock or tensor.dtype not in ("int32", "uint32"):
            continue
        if any(len(stock[name].shape) != 2 for name in (tensor.name, zeros, scales)):
            continue
        (groups, columns), packed = stock[scales].shape, tensor.shape
        bits, rest = divmod(32 * stock[zeros].shape[1], columns)
        if packed[1] != columns or stock[zeros].shape[0] != groups or stock[scales].dtype not in FLOATS:
            continue
        together = tuple(name for name in (tensor.name, zeros, scales, order) if name in stock)
        about, said = settings_of(stock, base), f"{listed(together)} belong together"
        kind = str(about.get("checkpoint_format") or about.get("quant_method") or "").lower()
        if kind in REPACKED:
            yield Refusal(together, f"{said} in the format {kind}, repacked for a GPU; give the {base}qweight of GPTQ")
            continue
        if rest or bits not in (2, 3, 4, 8):
            yield Refusal(
                together, f"{said}, codes of {32 * stock[zeros].shape[1] / columns:g} bits, not those of GPTQ"
            )
            continue
        if 32 * packed[0] % bits:
            yield Refusal(together, f"{said}, but {packed[0]} words hold no whole number of codes of {bits} bits")
            continue
        inputs = 32 * packed[0] // bits
        if order in stock and stock[order].shape != (inputs,):
            yield Refusal(together, f"{said}, but g_idx has not the {inputs} inputs of {bits} bits")
            continue
        size = -(-inputs // groups)
        told = about.get("group_size")
        if order not in stock and type(told) is int and told > 0:
            size = told
        settings = (("bits", bits), ("size", size), ("offset", 0 if _is_v2(kind, about) else 1))
        parts = stock.parts(codes=tensor.name, zeros=zeros, scales=scales, order=order if order in stock else "")
        remark = "" if about else "no config says of which version it is: zero points are taken as stored less one"
        word = f"gptq {bits} bit x " + ("row scales" if groups == 1 else f"scales of {size}")
        yield Recipe("gptq", f"{base}weight", (columns, inputs), word, parts, settings, remark=remark)


def settings_of(stock: Stock, base: str) -> Mapping[str, Any]:
    """What the config says of one module: its own words over those for all."""
    about = dict(stock.quantisation)
    for pattern, own in mapping(about.get("dynamic")).items():
        if not pattern.startswith("-") and is_of(pattern.removeprefix("+:"), base.rstrip(".")):
            about.update(mapping(own))
    return about


def _is_v2(kind: str, about: Mapping[str, Any]) -> bool:
    """True where zero points are stored as they are; the first version stores them less one."""
    packing = str(about.get("packing_format") or "").lower()
    if str(about.get("quant_method") or "").lower() in ("auto-round", "auto_round", "intel/auto-round"):
        return "auto_gptq" not in packing
    return kind == "gptq_v2"


def rows(recipe: Recipe, parts: Parts) -> Rows:
    """Outputs are columns of the packed tensor, which is read whole."""
    bits, (outputs, inputs) = recipe.setting("bits"), recipe.shape
    words = parts("codes")
    zeros = unpacked(parts("zeros"), bits, outputs) + recipe.setting("offset")
    scales = parts("scales").astype(np.float32)
    if recipe.has("order"):
        group = parts("order").astype(np.int64)
        group = np.where(group < 0, 0, group)
    else:
        group = np.arange(inputs) // recipe.setting("size")

    def product(start: int, stop: int) -> np.ndarray:
        codes = unpacked(np.ascontiguousarray(words[:, start:stop].T), bits, inputs)
        offset = codes - zeros[:, start:stop].T[:, group]
        return offset.astype(np.float32) * scales[:, start:stop].T[:, group]

    return product


SCHEME = Scheme(
    "gptq",
    "`W[n, k] = s[g(k), n] (q[k, n] - z[g(k), n])`, z stored less one unless `checkpoint_format` is `gptq_v2`",
    "`X.qweight` int32 (inputs x bits / 32, outputs), `X.qzeros`, `X.scales`, `X.g_idx`",
    70,
    recognise,
    rows,
)
