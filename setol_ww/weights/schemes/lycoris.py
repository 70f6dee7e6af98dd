r"""Updates of LyCORIS: LoHa, :math:`s\,(a_1 b_1) \circ (a_2 b_2)`, and LoKr, :math:`s\,w_1 \otimes w_2`."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from .base import FLOATS, Parts, Recipe, Refusal, Rows, Scheme, Stock, as_torch, count
from .lora import KOHYA

FACTOR = re.compile(r"(.+)\.(hada_w1_a|lokr_w1|lokr_w1_a)")
ROLES = {
    "hada": ("w1_a", "w1_b", "w2_a", "w2_b"),
    "lokr": ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b"),
}
NAMES = {"hada": "LoHa", "lokr": "LoKr"}


def recognise(stock: Stock) -> Iterator[Recipe | Refusal]:
    """`P.hada_w1_a` and its three, or `P.lokr_w1` and `P.lokr_w2`, whole or in factors."""
    firsts = [(tensor, found) for tensor in stock.free() if (found := FACTOR.fullmatch(tensor.name)) is not None]
    if not firsts:
        return
    bases = {name.removesuffix(".weight").replace(".", "_"): name for name in stock.tensors if name.endswith(".weight")}
    for tensor, found in firsts:
        layer, kind = found[1], found[2][:4]
        there = {role: f"{layer}.{kind}_{role}" for role in ROLES[kind] if f"{layer}.{kind}_{role}" in stock}
        shapes = {role: stock[name].shape for role, name in there.items()}
        plain = all(len(shape) == 2 for shape in shapes.values()) and tensor.dtype in FLOATS
        # Tucker factors and magnitudes are left to the one who says that they are not known.
        marked = any(f"{layer}.{mark}" in stock for mark in ("hada_t1", "lokr_t2", "dora_scale"))
        first, second = _sides(shapes, "w1"), _sides(shapes, "w2")
        if not plain or marked or not first or not second or (kind == "hada" and first != second):
            continue
        shape = first if kind == "hada" else (first[0] * second[0], first[1] * second[1])
        ranks = [shapes[role][0] for role in ("w1_b", "w2_b") if role in shapes]
        alpha = f"{layer}.alpha" if f"{layer}.alpha" in stock and ranks else ""
        base = bases.get(KOHYA.sub("", layer, count=1).replace(".", "_"), "")
        fits = base in stock and stock[base].dtype in FLOATS and count(stock[base].shape) == count(shape)
        fits = fits and stock[base].shape[0] == shape[0]
        what = NAMES[kind] + (f" r={ranks[0]}" if ranks else "")
        settings = (("kind", kind), ("rank", ranks[0] if ranks else 0))
        if fits:
            held = stock[base]
            parts = stock.parts(base=base, **there, alpha=alpha)
            yield Recipe("lycoris", base, held.shape, f"{held.dtype} + {what}", parts, settings)
        elif base not in stock:
            words = f"{tensor.dtype} {what} update"
            yield Recipe("lycoris", f"{layer}.weight", shape, words, stock.parts(**there, alpha=alpha), settings, what)


def _sides(shapes: dict[str, tuple[int, ...]], name: str) -> tuple[int, int] | None:
    """The sides of a matrix that is stored whole or in two factors; None where it is not all here."""
    if name in shapes:
        rows, columns = shapes[name]
        return rows, columns
    left, right = shapes.get(f"{name}_a"), shapes.get(f"{name}_b")
    return (left[0], right[1]) if left and right and left[1] == right[0] else None


def rows(recipe: Recipe, parts: Parts) -> Rows:
    """The update as a whole, which is as small as its layer; then rows of the sum."""
    import torch

    def matrix(name: str) -> torch.Tensor:
        if recipe.has(name):
            return as_torch(parts.raw(name)).float()
        return as_torch(parts.raw(f"{name}_a")).float() @ as_torch(parts.raw(f"{name}_b")).float()

    scale = float(parts("alpha").reshape(-1)[0]) / recipe.setting("rank") if recipe.has("alpha") else 1.0
    first, second = matrix("w1"), matrix("w2")
    product = first * second if recipe.setting("kind") == "hada" else torch.kron(first, second)
    update: np.ndarray = (product * scale).reshape(recipe.shape).numpy()

    def added(start: int, stop: int) -> np.ndarray:
        part = update[start:stop]
        return parts("base", (slice(start, stop),)) + part if recipe.has("base") else part

    return added


SCHEME = Scheme(
    "lycoris",
    "LoHa `W + s (a1 b1) o (a2 b2)`, LoKr `W + s (w1 x w2)` (Kronecker), `s = alpha / r`, 1 for LoKr without factors; "
    "the update alone where the base is not here",
    "`P.hada_w1_a`, `hada_w1_b`, `hada_w2_a`, `hada_w2_b`; `P.lokr_w1`, `P.lokr_w2` or `lokr_w1_a`, `lokr_w1_b`, ...; "
    "`P.alpha`",
    89,
    recognise,
    rows,
)
