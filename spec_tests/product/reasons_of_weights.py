"""What is said of weights that are stored in parts, whole and with a part missing, cut or of another type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from fixtures import schemes as zoo
from setol_ww.weights.schemes import joined
from setol_ww.weights.tensors import WeightTensor, mapping_tensors

from .kept_words import Call


def read_as(tensors: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """A line for every tensor: its name, what it is read as, and what is said of it."""
    return [f"{one.name}: {words(one)}" for one in joined(mapping_tensors(tensors), config)]


def words(one: WeightTensor) -> str:
    """What a tensor is read as, else why it is not."""
    if one.same_as:
        return f"a part of {one.same_as}"
    return one.unfit or f"{one.dtype}{one.remark and f', {one.remark}'}"


def whole(name: str) -> Call:
    """Of a scheme as it is stored, with its config and without."""

    def call(_: object) -> str:
        stored = zoo.ZOO[name](np.random.default_rng(0))
        with_it, without = (read_as(stored.tensors, config) for config in (stored.config, {}))
        return "\n".join([*with_it, *(f"without a config, {line}" for line in without if line not in with_it)])

    return call


def changed(name: str, change: Callable[[dict[str, Any], str], None]) -> Call:
    """What is said anew after a change of one tensor, and of which: once, whatever the tensors that it is said of."""

    def call(_: object) -> str:
        stored = zoo.ZOO[name](np.random.default_rng(0))
        before, found = set(read_as(stored.tensors, stored.config)), dict[str, list[str]]()
        for one in stored.tensors:
            tensors = dict(stored.tensors)
            change(tensors, one)
            for new in sorted({line.partition(": ")[2] for line in read_as(tensors, stored.config)} - OF_ITSELF):
                if not any(line.endswith(f": {new}") for line in before):
                    found.setdefault(new, []).append(one)
        return "\n".join(f"{', '.join(names)}: {new}" for new, names in found.items()) or "nothing new"

    return call


def gone(tensors: dict[str, Any], name: str) -> None:
    del tensors[name]


def cut(tensors: dict[str, Any], name: str) -> None:
    """Without the last of its first axis; a number becomes two."""
    value = tensors[name]
    tensors[name] = value[:-1] if value.ndim else torch.stack([value, value])


def whole_numbers(tensors: dict[str, Any], name: str) -> None:
    tensors[name] = torch.zeros(tensors[name].shape, dtype=torch.int16)


#: What is said of a tensor without a look at others.
OF_ITSELF = {"float32", "float16", "int64"}

CALLS: dict[str, Call] = {
    **{f"{name}, whole": whole(name) for name in zoo.ZOO},
    **{f"{name}, a part gone": changed(name, gone) for name in zoo.ZOO},
    **{f"{name}, a part cut": changed(name, cut) for name in zoo.ZOO},
    **{f"{name}, a part of int16": changed(name, whole_numbers) for name in zoo.ZOO},
}
