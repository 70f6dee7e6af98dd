"""A convolution: one matrix for each place in its kernel, their eigenvalues pooled as WeightWatcher pools them."""

from __future__ import annotations

import math
import re

from .parts import Part
from .registry import Layout, Reading, Situation, numbers, refused

MAX_KERNEL_GUESS = 32
EXPERTS = re.compile(r"expert|moe", re.IGNORECASE)


def kernel_reading(situation: Situation, known_from: str, axes: tuple[int, int] = (0, 1)) -> Reading:
    """All slices of a kernel whose matrix lies in `axes`."""
    shape = situation.shape
    count = math.prod(side for axis, side in enumerate(shape) if axis not in axes)
    layer_type = f"conv{len(shape) - 2}d"
    part = Part(
        "",
        layer_type,
        "kernel",
        shape[axes[0]],
        shape[axes[1]],
        count=count,
        layout=f"{layer_type} {count} slices",
        axes=axes,
    )
    return Reading((part,), known_from)


def _recognise(situation: Situation) -> Reading | None:
    if len(situation.shape) < 3 or not _is_convolution(situation):
        return None
    return kernel_reading(situation, "module" if situation.owner else "names")


def _is_convolution(situation: Situation) -> bool:
    """True when the trailing axes are a kernel."""
    name, shape, owner = situation.name, situation.shape, situation.owner
    if owner:
        return bool(re.search(r"conv(transpose)?\dd", owner, re.IGNORECASE))
    if len(shape) == 4 and name.endswith(".weight"):
        # WeightWatcher reads it so, whatever its name.
        return True
    if EXPERTS.search(name):
        return False
    if len(shape) >= 4:
        return True
    if re.search(r"conv", name, re.IGNORECASE):
        return True
    return name.endswith(".weight") and shape[2] <= MAX_KERNEL_GUESS and shape[2] < min(shape[:2])


def _asked(situation: Situation, words: str) -> Reading:
    axes = numbers(situation, "kernel", words or "0,1")
    sides = len(situation.shape)
    if sides < 3 or len(set(axes)) != 2 or not all(0 <= axis < sides for axis in axes):
        raise refused(situation, f"kernel:{words}", "kernel:ROWS,COLUMNS, two axes of three or more")
    return kernel_reading(situation, "asked", (axes[0], axes[1]))


LAYOUT = Layout(
    "kernel",
    "a convolution: a matrix in two axes (`kernel:0,1`) for each place of the others, pooled",
    30,
    _recognise,
    _asked,
    "kernel:ROWS,COLUMNS",
)
