"""Tensors that hold several matrices side by side: their names and widths, one after the other or in groups."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from .dense import whole
from .kernel import EXPERTS, kernel_reading
from .parts import Part, position_in
from .registry import Reading, Situation, refused

ATTENTION = {"q", "k", "v", "latent", "rope", "gate"}
LEAST = 1


def cut(situation: Situation, side: str, words: str, known_from: str) -> Reading:
    """The parts that `NAME=WIDTH,NAME=WIDTH x GROUPS` names: widths of the whole, in groups that repeat."""
    accepted = f"{side}:NAME=WIDTH,NAME=WIDTH,... x GROUPS, widths that sum to the {side}, each a multiple of GROUPS"
    names, groups = _parsed(words)
    shape, axes = situation.shape, matrix_axes(situation.shape)
    if len(shape) < 2 or not names or min(width for _, width in names) < LEAST or groups < 1:
        raise refused(situation, f"{side}:{words}", accepted)
    long = shape[axes[side == "columns"]]
    if sum(width for _, width in names) != long or any(width % groups for _, width in names):
        raise refused(situation, f"{side}:{words}", accepted)
    leading = [length for axis, length in enumerate(shape) if axis not in {one % len(shape) for one in axes}]
    found: list[Part] = []
    for place in range(math.prod(leading)):
        found += _parts(situation, side, names, groups, place, leading)
    return Reading(tuple(found), known_from)


def beside_whole(situation: Situation, reading: Reading) -> Reading:
    """The parts, and before them the whole where WeightWatcher has a row for it."""
    if situation.last != "weight" or len(situation.shape) not in (2, 4):
        return reading
    if len(situation.shape) == 4:
        own = kernel_reading(situation, reading.known_from).parts
    else:
        own = (whole(situation),)
    return Reading((*own, *reading.parts), reading.known_from, reading.remark)


def matrix_axes(shape: Sequence[int]) -> tuple[int, int]:
    """Which axes are the matrix: the first two of a kernel of one place, else the last two."""
    return (0, 1) if len(shape) > 2 and math.prod(shape[2:]) == 1 else (-2, -1)


def _parts(
    situation: Situation, side: str, names: Sequence[tuple[str, int]], groups: int, place: int, leading: Sequence[int]
) -> list[Part]:
    shape, axes = situation.shape, matrix_axes(situation.shape)
    height, width = shape[axes[0]], shape[axes[1]]
    is_expert = bool(EXPERTS.search(situation.name))
    at = ",".join(map(str, position_in(place, leading))) if math.prod(leading) > 1 else ""
    of = f"{','.join(name for name, _ in names)} {'+'.join(str(size) for _, size in names)}"
    of += f" in {groups} groups" if groups > 1 else ""
    of += f", {'expert' if is_expert else 'stack'} {at} of {' x '.join(map(str, leading))}" if at else ""
    attention = {name for name, _ in names} <= ATTENTION and not is_expert and "v" in dict(names)
    kind = "expert" if is_expert else "attention" if attention else "fused"
    found, start = [], 0
    for name, size in names:
        stop = start + size // groups
        found.append(
            Part(
                f"{at} {name}".strip(),
                kind,
                side,
                size if side == "rows" else height,
                width if side == "rows" else size,
                start=start,
                stop=stop,
                layout=f"{name} of {of}",
                axes=axes,
                period=sum(one for _, one in names) // groups if groups > 1 else 0,
                place=place,
            )
        )
        start = stop
    return found


def _parsed(words: str) -> tuple[list[tuple[str, int]], int]:
    """Names with their widths, and the number of groups; no names where the words cannot be read."""
    listed, _, repeated = words.partition(" x ")
    pairs = [re.fullmatch(r"\s*([\w-]+)\s*=\s*(\d+)\s*", one) for one in listed.split(",")]
    groups = re.fullmatch(r"\s*(\d*)\s*", repeated)
    names = [(pair[1], int(pair[2])) for pair in pairs if pair is not None]
    if len(names) != len(pairs) or groups is None or len({name for name, _ in names}) < len(names):
        return [], 0
    return names, int(groups[1] or 1)
