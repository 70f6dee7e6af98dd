r"""Weight norm: :math:`W = g\,v / \lVert v \rVert`, the norm over all axes but that of g."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from .base import FLOATS, SAVE_COMPUTED, Parts, Recipe, Refusal, Rows, Scheme, Stock, as_torch, by, listed, split

OLD = re.compile(r"(weight\w*)_v")
NORMS = re.compile(r"(weight\w*)_g|original0")
NEW = re.compile(r"(?:(.*)\.)?parametrizations\.(\w+)\.original1")


def recognise(stock: Stock) -> Iterator[Recipe | Refusal]:
    """`X.weight_g` and `X.weight_v`, or `X.parametrizations.weight.original0` and `original1`."""
    for tensor in stock.free():
        new, base_last = NEW.fullmatch(tensor.name), split(tensor.name)
        if new:
            name = f"{new[1]}.{new[2]}" if new[1] else new[2]
            norms = tensor.name.removesuffix("1") + "0"
        else:
            old = OLD.fullmatch(base_last[1])
            if old is None:
                continue
            name = base_last[0] + old[1]
            norms = f"{name}_g"
            # A spectral norm has a weight_v too, a vector beside weight_orig.
            if f"{name}_orig" in stock or len(tensor.shape) < 2:
                continue
        further = _further(stock, tensor.name) if new else []
        if further:
            together = (tensor.name, *(one for one in (norms,) if one in stock), *further)
            yield Refusal(
                together, f"{listed(together)} belong together: a weight parametrised twice, not known; {SAVE_COMPUTED}"
            )
            continue
        if norms not in stock:
            if not tensor.owner and not any(f"{name}_{one}" in stock for one in "qk"):
                yield Refusal(
                    (tensor.name,), f"{tensor.name} is the direction of a weight norm, whose norms {norms} are not here"
                )
            continue
        if tensor.dtype not in FLOATS or len(tensor.shape) < 1:
            continue
        dim = _dim(stock[norms].shape, tensor.shape)
        if dim is None and stock[norms].shape == tensor.shape and not new:
            # Two weights of one shape, as gates are called.
            continue
        if dim is None:
            yield Refusal(
                (tensor.name, norms),
                f"{tensor.name} ({by(tensor.shape)}) and {norms} ({by(stock[norms].shape)}) are no weight norm: the "
                "second is to have one axis of the first",
            )
            continue
        parts = stock.parts(direction=tensor.name, norms=norms)
        yield Recipe("weight-norm", name, tensor.shape, f"{tensor.dtype} weight norm", parts, (("dim", dim),))
    yield from _norms_alone(stock)


def _further(stock: Stock, name: str) -> list[str]:
    """What other steps of the parametrisation keep; a weight norm keeps nothing."""
    around = split(name)[0]
    return [one for step in range(4) for one in stock.siblings(f"{around}{step}.")]


def _norms_alone(stock: Stock) -> Iterator[Refusal]:
    """Norms whose direction is not here: a table, no weight."""
    for tensor in stock.free():
        old = NORMS.fullmatch(split(tensor.name)[1])
        if old is None or tensor.owner or sum(side > 1 for side in tensor.shape) > 1:
            continue
        direction = tensor.name.removesuffix("_g") + "_v" if old[1] else tensor.name.removesuffix("0") + "1"
        if direction not in stock.tensors:
            yield Refusal(
                (tensor.name,), f"{tensor.name} are the norms of a weight norm, whose {direction} is not here"
            )


def _dim(norms: tuple[int, ...], shape: tuple[int, ...]) -> int | None:
    """The axis that the norms keep, -1 for none of them; None where the shapes are of no weight norm."""
    if not norms or (set(norms) == {1} and len(norms) != len(shape)):
        return -1
    if len(norms) != len(shape):
        return None
    long = [axis for axis, side in enumerate(norms) if side != 1]
    if not long:
        return 0 if shape[0] == 1 else -1
    return long[0] if len(long) == 1 and norms[long[0]] == shape[long[0]] else None


def rows(recipe: Recipe, parts: Parts) -> Rows:
    """`torch._weight_norm`, of some rows alone where each has a norm of its own."""
    import torch

    dim = recipe.setting("dim")

    def normed(index: tuple = ()) -> np.ndarray:
        direction, norms = as_torch(parts.raw("direction", index)), as_torch(parts.raw("norms", index))
        weight = torch._weight_norm(direction, norms, dim)
        return weight.numpy() if weight.dtype == torch.float64 else weight.float().numpy()

    if dim == 0:
        return lambda start, stop: normed((slice(start, stop),))
    whole = normed()
    return lambda start, stop: whole[start:stop]


SCHEME = Scheme(
    "weight-norm",
    "`W = g v / |v|` (torch.nn.utils.weight_norm, old and parametrised)",
    "`X.weight_g`, `X.weight_v`; `X.parametrizations.weight.original0`, `.original1`",
    10,
    recognise,
    rows,
)
