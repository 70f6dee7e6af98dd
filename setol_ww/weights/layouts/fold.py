"""A matrix whose rows or columns lie in several axes: attention kernels with an axis for the heads."""

from __future__ import annotations

import math
import re

from .parts import Part
from .registry import Layout, Reading, Situation, numbers, refused

INPUTS_FIRST = re.compile(r"\b(query|key|value)\W?kernel$")
OUTPUTS_LAST = re.compile(r"\b(attention_output|out)\W?kernel$")


def fold_reading(situation: Situation, leading: int, known_from: str) -> Reading:
    """The matrix whose rows are the first `leading` axes, its columns the others."""
    shape = situation.shape
    rows, columns = math.prod(shape[:leading]), math.prod(shape[leading:])
    layout = f"{' x '.join(map(str, shape))} as {rows} x {columns}"
    return Reading((Part("", "dense", "fold", rows, columns, start=leading, layout=layout),), known_from)


def _recognise(situation: Situation) -> Reading | None:
    """The kernels of Keras' and Flax' attention: inputs x heads x width, and heads x width x outputs."""
    if len(situation.shape) != 3:
        return None
    if INPUTS_FIRST.search(situation.name):
        return fold_reading(situation, 1, "names")
    return fold_reading(situation, 2, "names") if OUTPUTS_LAST.search(situation.name) else None


def _asked(situation: Situation, words: str) -> Reading:
    leading = numbers(situation, "fold", words)
    if len(leading) != 1 or not 0 < leading[0] < len(situation.shape):
        raise refused(situation, f"fold:{words}", "fold:AXES, how many of its leading axes are rows")
    return fold_reading(situation, leading[0], "asked")


LAYOUT = Layout(
    "fold", "one matrix, the first axes together its rows, the others its columns", 25, _recognise, _asked, "fold:AXES"
)
