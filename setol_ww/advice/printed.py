"""A comparison for people: what its card says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ..core.card import Card, error_text
from ..core.printable import GridColumn, terminal_width
from ..core.tones import Tone
from ..results.printed import Words, is_number, shortened_rows, tones_of, with_gap
from .difference import ARROW, BASE, ERROR, TUNED, moved_tails

if TYPE_CHECKING:
    from .comparison import Comparison


def comparison_card(comparison: Comparison) -> Card:
    """A line a layer, and what else there is."""
    frame, left_out = shortened_rows(comparison.table())
    found = [one for one in columns(frame, terminal_width()) if not one.worth or any(map(_says, one.cells))]
    if left_out:
        found = [with_gap(one, len(frame) // 2, left_out) for one in found]
    left = len(comparison.unmatched_rows)
    said = (
        f"{len(comparison)} rows, {left} not compared. change: of alpha with half its 90 % interval, * a tail's beyond "
        "it; update: its norm over that of the weight; in ECS: share of it inside the base's effective correlation "
        "space. All columns: .table(); in short: .summary(); what is not compared: .unmatched."
    )
    return Card("", (), [said], found if len(frame) else ())


def columns(frame: pd.DataFrame, width: int) -> list[GridColumn]:
    """The columns that say most, as text; `*` marks a tail whose alpha moved beyond its error."""
    words = Words(frame)
    states = words.words("state_change")
    moved = moved_tails(frame)
    return [
        GridColumn("layer", words.titles(), right=False, least=width // 3),
        GridColumn("N x M", words.sizes(), worth=6),
        GridColumn("alpha", words.numbers(f"tail_alpha{BASE}", ".2f"), worth=2),
        GridColumn("tuned", words.numbers(f"tail_alpha{TUNED}", ".2f"), worth=2),
        GridColumn(
            "change", _changes(words, moved), worth=1, tones=[Tone.CAUTION if one else Tone.PLAIN for one in moved]
        ),
        GridColumn("k*", _both(words, "erg_rank", ".0f"), worth=5),
        GridColumn("update", words.numbers("update_norm_share", ".2g"), worth=1),
        GridColumn("norm", words.numbers("update_norm", ".3g"), worth=9),
        GridColumn("rank", words.numbers("update_rank", ".0f"), worth=1),
        GridColumn("in ECS", words.numbers("update_in_base_ecs", ".2f"), worth=3),
        GridColumn("turned", words.numbers("ecs_angle_right", ".0f"), worth=7),
        GridColumn(
            "state", states, right=False, worth=4, tones=tones_of(state.rpartition(ARROW)[2] for state in states)
        ),
    ]


def _says(cell: str) -> bool:
    return cell not in ("", "-")


def _changes(words: Words, moved: list[bool]) -> list[str]:
    rows = zip(words.values("d_tail_alpha"), words.values(f"d_tail_alpha{ERROR}"), moved)
    return [
        error_text(value, error, "+.2f", ".2f") + "*" * bool(is_beyond) if is_number(value) else "-"
        for value, error, is_beyond in rows
    ]


def _both(words: Words, name: str, form: str) -> list[str]:
    pairs = zip(words.numbers(f"{name}{BASE}", form), words.numbers(f"{name}{TUNED}", form))
    return [one if one == other else f"{one}{ARROW}{other}" for one, other in pairs]
