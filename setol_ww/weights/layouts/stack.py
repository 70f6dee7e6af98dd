"""Matrices stacked along leading axes or above one another: packed experts, and any other stack."""

from __future__ import annotations

import math

from ..architectures import MAY_HOLD
from .kernel import EXPERTS
from .parts import Part, position_in
from .registry import Layout, Reading, Situation, numbers, refused

MAY_BE_KERNEL = "read as {count} stacked matrices; it may be the kernel of a convolution: say layouts={{{name!r}: ...}}"


def stack_reading(situation: Situation, known_from: str, remark: str = "") -> Reading:
    """One part for each place of the leading axes."""
    shape = situation.shape
    leading, count = shape[:-2], math.prod(shape[:-2])
    layer_type = _type_of(situation)
    found = []
    for position in range(count):
        label = ",".join(map(str, position_in(position, leading)))
        layout = f"{layer_type} {label} of {' x '.join(map(str, leading))}"
        found.append(Part(label, layer_type, "index", shape[-2], shape[-1], start=position, layout=layout))
    return Reading(tuple(found), known_from, remark)


def above_one_another(situation: Situation, count: int, known_from: str) -> Reading:
    """As many matrices, one above the other, in a tensor of two axes."""
    rows, columns = situation.shape[0] // count, situation.shape[1]
    layer_type = _type_of(situation)
    found = [
        Part(
            str(number),
            layer_type,
            "rows",
            rows,
            columns,
            start=number * rows,
            stop=(number + 1) * rows,
            layout=f"{layer_type} {number} of {count}",
        )
        for number in range(count)
    ]
    return Reading(tuple(found), known_from)


def _type_of(situation: Situation) -> str:
    return "expert" if EXPERTS.search(situation.name) else "stack"


def _recognise(situation: Situation) -> Reading | None:
    shape = situation.shape
    if len(shape) < 3 or math.prod(shape[:-2]) < 2 or sum(side > 1 for side in shape) < 2:
        return None
    count = math.prod(shape[:-2])
    open_to_doubt = not situation.owner and not EXPERTS.search(situation.name) and situation.last == "weight"
    remark = MAY_BE_KERNEL.format(count=count, name=situation.name) if open_to_doubt else ""
    possible = MAY_HOLD.get(situation.parameter)
    if possible and not remark:
        remark = f"each may hold {' or '.join(possible)}: say layouts={{{situation.name!r}: ...}}"
    return stack_reading(situation, "module" if situation.owner else "names", remark)


def _asked(situation: Situation, words: str) -> Reading:
    shape, accepted = situation.shape, "stack:COUNT, the number of matrices along the leading axes or above one another"
    counts = numbers(situation, "stack", words) if words else []
    if len(shape) == 2:
        if len(counts) != 1 or counts[0] < 1 or shape[0] % counts[0]:
            raise refused(situation, f"stack:{words}", accepted)
        return above_one_another(situation, counts[0], "asked")
    if len(shape) < 2 or (counts and counts != [math.prod(shape[:-2])]):
        raise refused(situation, f"stack:{words}", accepted)
    return stack_reading(situation, "asked")


LAYOUT = Layout(
    "stack",
    "matrices stacked along leading axes, or so many above one another, a row for each",
    40,
    _recognise,
    _asked,
    "stack:COUNT",
)
