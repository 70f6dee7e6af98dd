"""Fused attention projections: q, k and v in one tensor, beside its whole, for which WeightWatcher has a row."""

from __future__ import annotations

from collections.abc import Sequence

from .dense import whole
from .parts import Part
from .registry import Layout, Reading, Situation, numbers, refused

FUSED_NAMES = ("in_proj_weight", "qkv", "qkv_proj", "c_attn", "Wqkv", "in_proj")
INTERLEAVED_NAMES = ("query_key_value", "wqkv")
INTERLEAVED = "analysed whole; q, k and v are interleaved by head in a way the name does not tell"
LABELS = ("q", "k", "v")


def _recognise(situation: Situation) -> Reading | None:
    """q as wide as the model, k and v share what is left (equal thirds without grouped queries)."""
    shape, parameter = situation.shape, situation.parameter
    known_from = "module" if situation.owner else "names"
    if len(shape) != 2 or parameter not in FUSED_NAMES + INTERLEAVED_NAMES:
        return None
    if parameter in INTERLEAVED_NAMES:
        return Reading((whole(situation),), known_from, INTERLEAVED)
    by_columns = situation.owner == "Conv1D" or shape[1] == 3 * shape[0]
    fused, width = (shape[1], shape[0]) if by_columns else (shape[0], shape[1])
    if not width < fused <= 3 * width or (fused - width) % 2:
        return None
    key = (fused - width) // 2
    cut = _cut(shape, (width, key, key), by_columns)
    # WeightWatcher has no row for in_proj_weight, so its whole, three matrices in one, is none of ours either.
    own = () if situation.last == "in_proj_weight" else (whole(situation),)
    return Reading((*own, *cut), known_from)


def _cut(shape: Sequence[int], widths: Sequence[int], by_columns: bool) -> tuple[Part, ...]:
    kind = "columns" if by_columns else "rows"
    of = f"{','.join(LABELS)} {'+'.join(map(str, widths))}"
    found, start = [], 0
    for label, width in zip(LABELS, widths, strict=True):
        rows, columns = (shape[0], width) if by_columns else (width, shape[1])
        found.append(
            Part(label, "attention", kind, rows, columns, start=start, stop=start + width, layout=f"{label} of {of}")
        )
        start += width
    return tuple(found)


def _asked(situation: Situation, words: str) -> Reading:
    widths = numbers(situation, "qkv", words)
    shape = situation.shape
    if len(shape) != 2 or len(widths) != 3 or min(widths) < 1 or sum(widths) not in shape:
        raise refused(situation, f"qkv:{words}", "qkv:Q,K,V, three widths that sum to the rows or to the columns")
    return Reading(_cut(shape, widths, by_columns=sum(widths) != shape[0]), "asked")


LAYOUT = Layout(
    "qkv", "q, k and v of a fused attention projection, one after the other", 20, _recognise, _asked, "qkv:Q,K,V"
)
