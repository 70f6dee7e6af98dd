"""The registry of layouts: each says of a tensor which matrices it holds, how that is known, or nothing.

One file of this folder is one layout: it holds a `LAYOUT`, and is asked in the order of `LAYOUT.order`. The first
whose `recognise` gives a reading decides.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...core.errors import InvalidInput
from .parts import Part

#: How a layout is known, strongest first: what the user says, the module's class, the config beside a checkpoint,
#: names and shapes.
KNOWN_FROM = ("asked", "module", "config", "names")


@dataclass(frozen=True)
class Situation:
    """What may be known of a tensor without reading a value of it.

    Attributes
    ----------
    name : str
        Name in the state dict.
    shape : tuple of int
    owner : str
        Class name of the module that holds it; empty where that is not known.
    facts : mapping
        Attributes of that module that tell a layout: `groups`, `num_heads`, ...
    shapes : mapping of str to tuple
        Shapes of all tensors of the model, by name.
    config : mapping
        The `config.json` beside a checkpoint; empty without one.
    """

    name: str
    shape: tuple[int, ...]
    owner: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def last(self) -> str:
        """The last word of the name."""
        return self.name.rsplit(".", 1)[-1]

    @property
    def parameter(self) -> str:
        """The last word that is not `weight`: what the layer is called."""
        pieces = self.name.split(".")
        return pieces[-2] if pieces[-1] == "weight" and len(pieces) > 1 else pieces[-1]


@dataclass(frozen=True)
class Reading:
    """Which matrices a tensor holds.

    Attributes
    ----------
    parts : tuple of Part
        None where it holds no matrix.
    known_from : str
        One of `KNOWN_FROM`.
    remark : str
        What the tensor may be besides, where nothing decides; why there is no part.
    """

    parts: tuple[Part, ...]
    known_from: str = "names"
    remark: str = ""


@dataclass(frozen=True)
class Layout:
    """One way in which matrices lie in a tensor.

    Attributes
    ----------
    name : str
        The word of `layouts=`.
    meaning : str
        One line for the documentation.
    order : int
        Smaller ones are asked first.
    recognise : callable
        `Situation -> Reading`, or None where this layout does not hold or cannot be told.
    asked : callable, optional
        `(Situation, words) -> Reading` for `layouts={"pattern": "name:words"}`; `InvalidInput` where the tensor
        cannot be read so.
    grammar : str
        How it is asked for, for instance `qkv:Q,K,V`.
    """

    name: str
    meaning: str
    order: int
    recognise: Callable[[Situation], Reading | None] = field(repr=False)
    asked: Callable[[Situation, str], Reading] | None = field(default=None, repr=False)
    grammar: str = ""


@functools.cache
def layouts() -> tuple[Layout, ...]:
    """Every layout of this folder, in the order in which they are asked."""
    package = importlib.import_module(__package__ or "")
    found = []
    for module in pkgutil.iter_modules(package.__path__):
        layout = getattr(importlib.import_module(f"{__package__}.{module.name}"), "LAYOUT", None)
        if isinstance(layout, Layout):
            found.append(layout)
    return tuple(sorted(found, key=lambda layout: (layout.order, layout.name)))


def read_as(situation: Situation) -> Reading:
    """The reading of a tensor by the first layout that recognises it.

    Examples
    --------
    >>> [part.label for part in read_as(Situation("experts.gate_up_proj", (4, 64, 32))).parts]
    ['0', '1', '2', '3']
    >>> read_as(Situation("conv.weight", (16, 8, 3, 3), "Conv2d")).parts[0].layout
    'conv2d 9 slices'
    """
    for layout in layouts():
        reading = layout.recognise(situation)
        if reading is not None:
            return reading
    return Reading((), remark=f"no layout is known for the shape {' x '.join(map(str, situation.shape))}")


def read_as_asked(situation: Situation, words: str) -> Reading:
    """The reading that the user says: `name` or `name:words`, as the layouts' grammars have it.

    Examples
    --------
    >>> reading = read_as_asked(Situation("attn.qkv.weight", (128, 64)), "qkv:64,32,32")
    >>> [(part.label, part.rows) for part in reading.parts], reading.known_from
    ([('q', 64), ('k', 32), ('v', 32)], 'asked')
    """
    name, _, rest = words.partition(":")
    by_name = {layout.name: layout for layout in layouts() if layout.asked is not None}
    layout = by_name.get(name.strip())
    if layout is None or layout.asked is None:
        accepted = ", ".join(layout.grammar for layout in by_name.values())
        raise InvalidInput(f"the layout {words!r} was asked for {situation.name}; accepted are {accepted}")
    return layout.asked(situation, rest.strip())


def numbers(situation: Situation, name: str, words: str) -> list[int]:
    """The whole numbers, separated by commas, in what the user says of a layout; else `InvalidInput`."""
    try:
        return [int(word) for word in words.split(",")]
    except ValueError:
        raise refused(situation, f"{name}:{words}", "whole numbers, separated by commas") from None


def refused(situation: Situation, words: str, accepted: str) -> InvalidInput:
    """The sentence that refuses a layout for a tensor."""
    shape = " x ".join(map(str, situation.shape))
    return InvalidInput(f"the layout {words!r} was asked for {situation.name} of shape {shape}; accepted is {accepted}")
