"""A tensor that is one matrix; what is left when no other layout holds."""

from __future__ import annotations

import math

from .parts import Part
from .registry import Layout, Reading, Situation, refused


def whole(situation: Situation) -> Part:
    """The one matrix of a tensor whose leading axes are all 1."""
    layer_type = "embedding" if "embedding" in situation.owner.lower() else "dense"
    return Part("", layer_type, "whole", situation.shape[-2], situation.shape[-1], layout=layer_type)


def _recognise(situation: Situation) -> Reading | None:
    shape = situation.shape
    known_from = "module" if situation.owner else "names"
    if len(shape) == 2:
        return Reading((whole(situation),), known_from)
    if sum(side > 1 for side in shape) < 2:
        return Reading((), known_from, f"a vector in the shape {' x '.join(map(str, shape))}")
    return Reading((whole(situation),), known_from) if math.prod(shape[:-2]) == 1 else None


def _asked(situation: Situation, words: str) -> Reading:
    if words or len(situation.shape) < 2 or math.prod(situation.shape[:-2]) != 1:
        raise refused(situation, f"dense:{words}" if words else "dense", "dense for a tensor of two axes")
    return Reading((whole(situation),), "asked")


LAYOUT = Layout("dense", "one matrix, as it is stored", 50, _recognise, _asked, "dense")
