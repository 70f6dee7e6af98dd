"""Fused attention projections: q, k and v in one tensor, where a class, a name or what lies beside leaves one reading.

The tensor stays whole where it can be read in several ways, and the remark names them.
"""

from __future__ import annotations

import re

from ...core.errors import InvalidInput
from ..architectures import BESIDE, MAY_HOLD, MODULES, THIRDS
from .cuts import beside_whole, cut, matrix_axes
from .dense import whole
from .formulas import Unknown, in_numbers
from .kernel import kernel_reading
from .registry import Layout, Reading, Situation, numbers, read_as_asked, refused

ATTENTION = re.compile("att|mha", re.IGNORECASE)
# Of timm and the many that name their layers like it.
VISION_BLOCK = re.compile(r"^(.*\.|)blocks\.\d+\.attn\.qkv\.weight$")


def _recognise(situation: Situation) -> Reading | None:
    shape, parameter = situation.shape, situation.parameter
    if situation.last == "in_proj_weight" and len(shape) == 2 and shape[0] == 3 * shape[1] and _may_attend(situation):
        # The name is that of torch.nn.MultiheadAttention alone. WeightWatcher has no row for it, nor we of its whole.
        return _cut(situation, "rows", shape[0], "names")
    if parameter == "c_attn" and len(shape) == 2 and shape[1] == 3 * shape[0]:
        # Inputs x outputs, which of all fused projections only GPT-2's is.
        return beside_whole(
            situation, _cut(situation, "columns", shape[1], "module" if situation.owner == "Conv1D" else "names")
        )
    if parameter == "c_attn" and "crossattention" in situation.name and len(shape) == 2 and shape[1] == 2 * shape[0]:
        return beside_whole(situation, cut(situation, "columns", f"k={shape[0]},v={shape[0]}", "names"))
    known = _by_module(situation) or _by_what_lies_beside(situation)
    if known is not None:
        return known
    return _undecided(situation)


def _may_attend(situation: Situation) -> bool:
    """False for a class that by its name and by what it holds is no attention."""
    beside = situation.name.removesuffix("in_proj_weight") + "out_proj.weight"
    return not situation.owner or ATTENTION.search(situation.owner) is not None or beside in situation.shapes


def _cut(situation: Situation, side: str, of: int, known_from: str) -> Reading:
    return cut(situation, side, f"q={of // 3},k={of // 3},v={of // 3}", known_from)


def _by_module(situation: Situation) -> Reading | None:
    """Where the module that holds the projection is of a known class."""
    holder = str(situation.facts.get("holder", ""))
    for entry in MODULES:
        if not re.search(entry.name, situation.name) or not any(re.fullmatch(one, holder) for one in entry.types):
            continue
        if all(situation.facts.get(f"holder.{key}") == value for key, value in entry.when.items()):
            known = {
                key.removeprefix("holder."): value
                for key, value in situation.facts.items()
                if key.startswith("holder.") and isinstance(value, int)
            }
            return _in_words(situation, entry.words, known, "module")
    return None


def _by_what_lies_beside(situation: Situation) -> Reading | None:
    """Where a bias table or the like leaves one reading, as it does for vision transformers."""
    if situation.parameter != "qkv":
        return None
    prefix = situation.name.removesuffix("qkv.weight")
    for one in BESIDE:
        found = situation.shapes.get(f"{prefix}{one.beside}", ())
        sides = (len(situation.shape), len(found))
        if re.search(one.name, situation.name) and sides == (one.axes, one.beside_axes):
            return _in_words(situation, one.words, {"S": int(found[-1])}, "names")
    block = VISION_BLOCK.match(situation.name)
    if block and f"{block[1]}patch_embed.proj.weight" in situation.shapes:
        return _in_words(situation, THIRDS, {}, "names")
    return None


def _in_words(situation: Situation, words: str, known: dict[str, int], known_from: str) -> Reading | None:
    """The reading in words of the register; None where its widths are not there or do not fit."""
    try:
        told = in_numbers(words, situation.shape, known)
        reading = read_as_asked(situation, told)
    except (Unknown, InvalidInput):
        return None
    return beside_whole(situation, Reading(reading.parts, known_from))


def _undecided(situation: Situation) -> Reading | None:
    """The whole, with the readings that are possible; None for a tensor that has but one."""
    shape, parameter = situation.shape, situation.parameter
    possible = MAY_HOLD.get(parameter) or (MAY_HOLD["qkv"] if "qkv" in parameter.lower() else None)
    fused = len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1))
    if possible is None or not fused or (parameter == "in_proj" and shape[0] <= shape[1]):
        return None
    third = shape[0] // 3
    widths = (third, third, third) if shape[0] == 3 * shape[1] else ("Q", "K", "V")
    told = " or ".join(one.format(a=widths[0], b=widths[1], c=widths[2]) for one in possible)
    kind = situation.config.get("model_type") or situation.config.get("architecture")
    about = f"; the register does not have {parameter!r} of the model type {kind!r}" if kind else ""
    remark = f"analysed whole; it may hold {told}{about}: say layouts={{{situation.name!r}: ...}}"
    own = (whole(situation),) if len(shape) == 2 else kernel_reading(situation, "names").parts
    return Reading(own, "module" if situation.owner else "names", remark)


def _asked(situation: Situation, words: str) -> Reading:
    listed, _, repeated = words.partition(" x ")
    widths, heads = numbers(situation, "qkv", listed), numbers(situation, "qkv", repeated or "1")
    shape, accepted = situation.shape, "qkv:Q,K,V[ x HEADS], widths that sum to the rows or columns, multiples of HEADS"
    if len(widths) != 3 or len(heads) != 1 or min(*widths, *heads) < 1 or len(shape) < 2:
        raise refused(situation, f"qkv:{words}", accepted)
    rows, columns = (shape[axis] for axis in matrix_axes(shape))
    if sum(widths) not in (rows, columns) or any(width % heads[0] for width in widths):
        raise refused(situation, f"qkv:{words}", accepted)
    named = ",".join(f"{name}={width}" for name, width in zip("qkv", widths)) + f" x {heads[0]}"
    return cut(situation, "rows" if sum(widths) == rows else "columns", named, "asked")


LAYOUT = Layout(
    "qkv",
    "q, k and v of a fused attention projection, one after the other; with ` x HEADS` those of each head together",
    20,
    _recognise,
    _asked,
    "qkv:Q,K,V[ x HEADS]",
)
