"""Matrices stacked along leading axes: packed experts, and any other stack."""

from __future__ import annotations

import math

from .kernel import EXPERTS
from .parts import Part, position_in
from .registry import Layout, Reading, Situation, numbers, refused


def stack_reading(situation: Situation, known_from: str) -> Reading:
    """One part for each place of the leading axes."""
    shape = situation.shape
    leading, count = shape[:-2], math.prod(shape[:-2])
    layer_type = "expert" if EXPERTS.search(situation.name) else "stack"
    found = []
    for position in range(count):
        label = ",".join(map(str, position_in(position, leading)))
        layout = f"{layer_type} {label} of {' x '.join(map(str, leading))}"
        found.append(Part(label, layer_type, "index", shape[-2], shape[-1], start=position, layout=layout))
    return Reading(tuple(found), known_from)


def _recognise(situation: Situation) -> Reading | None:
    shape = situation.shape
    if len(shape) < 3 or math.prod(shape[:-2]) < 2 or sum(side > 1 for side in shape) < 2:
        return None
    return stack_reading(situation, "module" if situation.owner else "names")


def _asked(situation: Situation, words: str) -> Reading:
    count = math.prod(situation.shape[:-2])
    if len(situation.shape) < 3 or (words and numbers(situation, "stack", words) != [count]):
        raise refused(situation, f"stack:{words}", "stack:COUNT, the number of matrices along the leading axes")
    return stack_reading(situation, "asked")


LAYOUT = Layout("stack", "matrices stacked along leading axes, a row for each", 40, _recognise, _asked, "stack:COUNT")
