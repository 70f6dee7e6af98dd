"""The registry of schemes, and the one place that puts stored tensors together: `joined` plans it, `read` does it."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Fetch, Ingredient, Parts, Recipe, Refusal, Rows, Scheme, Stock, count, listed, split
from .strangers import refusals as of_strangers

if TYPE_CHECKING:
    from ..tensors import WeightTensor

# Elements of a weight that are put together at a time.
BLOCK = 2**20
ROLES = {
    "codes": "codes of",
    "scales": "the scales of",
    "zeros": "the zero points of",
    "direction": "a factor of",
    "norms": "a factor of",
    "original": "a factor of",
    "mask": "the mask of",
    "base": "the base of",
    "down": "a factor of",
    "up": "a factor of",
    **{role: "a factor of" for role in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b")},
}


@functools.cache
def schemes() -> tuple[Scheme, ...]:
    """Every scheme of this folder, in the order in which they are asked."""
    package = importlib.import_module(__package__ or "")
    found: list[Scheme] = []
    for module in pkgutil.iter_modules(package.__path__):
        scheme = getattr(importlib.import_module(f"{__package__}.{module.name}"), "SCHEME", None)
        if isinstance(scheme, Scheme):
            found.append(scheme)
    return tuple(sorted(found, key=lambda scheme: (scheme.order, scheme.name)))


@functools.cache
def _by_name() -> dict[str, Scheme]:
    return {scheme.name: scheme for scheme in schemes()}


def read(recipe: Recipe, index: tuple, fetch: Fetch) -> Any:
    """The part of a weight that an index of integers and slices names, put together block by block of rows.

    A tensor of torch's where its parts are, float32 or wider.
    """
    parts = Parts(recipe, fetch)
    rows = _by_name()[recipe.scheme].rows(recipe, parts)
    values = _part(rows, recipe.shape, index)
    if recipe.setting("library") == "numpy":
        return values
    import torch

    return torch.from_numpy(values)


def _part(rows: Rows, shape: tuple[int, ...], index: tuple) -> np.ndarray:
    first, rest = (index[0], index[1:]) if index else (slice(None), ())
    places = range(shape[0])[first] if isinstance(first, slice) else range(shape[0])[first : first + 1 or None]
    if not len(places):
        return np.empty((0, *shape[1:]), np.float32)[(slice(None), *rest)]
    start, stop = places[0], places[-1] + 1
    step = max(1, BLOCK // max(1, count(shape[1:])))
    whole: np.ndarray | None = None
    for begin in range(start, stop, step):
        block = rows(begin, min(begin + step, stop))[(slice(None), *rest)]
        if whole is None:
            if stop - start <= step:
                whole = np.ascontiguousarray(block)
                break
            whole = np.empty((stop - start, *block.shape[1:]), block.dtype)
        whole[begin - start : begin - start + len(block)] = block
    assert whole is not None
    return whole[:: places.step] if isinstance(first, slice) else whole[0]


def joined(tensors: Sequence[WeightTensor], config: Mapping[str, Any] | None = None) -> list[WeightTensor]:
    """The tensors of a model with those put together that belong together.

    A weight that is made of stored tensors stands where the first of them stood; the others point to it and say what
    they are. Tensors that belong together but make no weight here are unfit and name each other.

    Parameters
    ----------
    tensors : sequence of WeightTensor
        All of the model, over all of its files.
    config : mapping, optional
        The config beside a checkpoint.

    Examples
    --------
    >>> import numpy as np
    >>> from setol_ww.weights.tensors import mapping_tensors
    >>> stored = {"fc.weight_orig": np.ones((3, 2), "f4"), "fc.weight_mask": np.eye(3, 2, dtype="f4")}
    >>> [(one.name, one.dtype, one.same_as) for one in joined(mapping_tensors(stored))][0]
    ('fc.weight', 'float32 x mask', '')
    """
    stock = Stock(tensors, config)
    there = {tensor.name for tensor in tensors if tensor.effective}
    made: dict[str, Recipe] = {}
    parts: dict[str, tuple[str, str]] = {}
    unfit: dict[str, str] = {}
    for found in _found(stock):
        if isinstance(found, Refusal):
            unfit.update(dict.fromkeys(found.names, found.reason))
            continue
        leader = stock[found.main.name].same_as
        if not leader and found.name not in there and stock[found.main.name].unfit in UNREADABLE:
            continue
        if found.name in stock.tensors and all(part.name != found.name for part in found.parts):
            reason = f"{listed(part.name for part in found.parts)} make up {found.name}, which is here too"
            unfit.update({part.name: reason for part in found.parts})
            continue
        if not leader and found.name not in there:
            made[found.main.name] = found
        for part in found.parts:
            parts.setdefault(part.name, (leader or found.name, ROLES.get(part.role, f"the {part.role} of")))
    return list(_placed(tensors, stock, made, parts, unfit))


UNREADABLE = ("it lies on the meta device and has no values",)


def _found(stock: Stock) -> Iterable[Recipe | Refusal]:
    """Recipes and refusals of every scheme, each tensor in one; then what no scheme knows."""
    for recognise in (*(scheme.recognise for scheme in schemes()), of_strangers):
        for found in list(recognise(stock)):
            names = found.names if isinstance(found, Refusal) else [part.name for part in found.parts]
            # The same scales may serve several weights; what is a weight's own, one.
            if names[0] in stock.taken:
                continue
            stock.taken.update(names)
            stock.refused.update(names if isinstance(found, Refusal) else ())
            yield found


def _placed(
    tensors: Sequence[WeightTensor],
    stock: Stock,
    made: Mapping[str, Recipe],
    parts: Mapping[str, tuple[str, str]],
    unfit: Mapping[str, str],
) -> Iterable[WeightTensor]:
    by_name = {tensor.name: tensor for tensor in tensors}
    for tensor in tensors:
        recipe = None if tensor.effective else made.get(tensor.name)
        if recipe is not None:
            yield _made(tensor, recipe, by_name)
        if recipe is not None and recipe.name == tensor.name:
            continue
        if tensor.effective:
            yield tensor
        elif tensor.name in parts and not tensor.same_as:
            leader, role = parts[tensor.name]
            yield replace(tensor, unfit="", same_as=leader, role=role)
        elif tensor.name in unfit and not tensor.same_as:
            yield replace(tensor, unfit=unfit[tensor.name])
        else:
            remark = tensor.remark or "; ".join(filter(None, (scheme.remark(tensor, stock) for scheme in schemes())))
            yield replace(tensor, remark=remark) if remark else tensor


def _made(tensor: WeightTensor, recipe: Recipe, by_name: Mapping[str, WeightTensor]) -> WeightTensor:
    """The weight of a recipe."""

    def fetch(part: Ingredient, index: tuple) -> Any:
        return by_name[part.name].read(index)

    if tensor.file is None and not hasattr(tensor.load(), "detach"):
        recipe = replace(recipe, settings=(*recipe.settings, ("library", "numpy")))
    elif tensor.file is not None and tensor.file.suffix in (".npz", ".npy"):
        recipe = replace(recipe, settings=(*recipe.settings, ("library", "numpy")))
    load = partial(read, recipe, (), fetch)
    base = split(tensor.name)[0]
    known_as = (*tensor.known_as, *sorted({tensor.name, base.removesuffix(".")} - {recipe.name, ""}))
    return replace(
        tensor,
        name=recipe.name,
        shape=recipe.shape,
        dtype=recipe.dtype,
        load=load,
        load_part=lambda index: read(recipe, index, fetch),
        unfit="",
        same_as="",
        effective=recipe.name != tensor.name,
        recipe=recipe,
        remark=recipe.remark,
        known_as=known_as if tensor.name != recipe.name else tensor.known_as,
    )
