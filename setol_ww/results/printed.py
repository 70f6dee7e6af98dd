"""Tables of ten columns for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..core.card import Card, error_text
from ..core.outcomes import Outcome
from ..core.printable import GridColumn, cells, first_parts, terminal_width, visible
from ..core.tones import Tone
from ..layer.classes import UniversalityClass
from ..layer.flags import tone_of
from ..layer.verdict import State
from ..weights.naming import titled

if TYPE_CHECKING:
    from .results import Results

#: A table in text or on a page shows so many rows at the start and at the end.
ROWS_SHOWN = 60
NO_NAME = "(no name)"
#: Words in the column of states where a layer has none.
STATUS_TONES = {"failed": Tone.BAD, "skipped": Tone.CAUTION}
TONES = {
    **STATUS_TONES,
    **{state.value: state.tone for state in State},
    **{kind.value: kind.tone for kind in UniversalityClass},
}


def ten_columns(frame: pd.DataFrame, width: int) -> list[GridColumn]:
    """The columns that say most, as text: layer, size, alpha with its error, ERG cut, delta, quality, class, state.

    A name may be cut to a third of `width`.
    """
    columns = Words(frame)
    lone = columns.words("setol_state")
    states = [state or status for state, status in zip(lone, columns.words("status"))]
    classes, flags = columns.words("universality_class"), columns.words("setol_flags")
    return [
        GridColumn("layer", columns.titles(), right=False, least=width // 3),
        GridColumn("N x M", columns.sizes(), worth=3),
        GridColumn("alpha", columns.with_error("tail_alpha", "tail_sigma")),
        GridColumn("k*", columns.numbers("erg_rank", ".0f"), worth=4),
        GridColumn("S_k*", columns.numbers("erg_log_det", "+.2f"), worth=6),
        GridColumn("delta", columns.numbers("delta_lambda_min", "+.3f"), worth=1),
        GridColumn("q2_norm", columns.numbers("q2_norm", ".3g"), worth=7),
        GridColumn("class", classes, right=False, worth=5, tones=tones_of(classes)),
        _flags_column(flags),
        GridColumn("state", states, right=False, tones=tones_of(states)),
    ]


def _flags_column(flags: Sequence[str]) -> GridColumn:
    """Flags, where room is short the first of a layer and how many more it has."""
    least = max((cells(first_parts(told, 0)) for told in flags), default=0)
    tones = [tone_of(flags_in(told)) for told in flags]
    return GridColumn("flags", flags, right=False, worth=8, least=least, tones=tones, cut=first_parts)


def tones_of(words: Iterable[str]) -> list[Tone]:
    """The tones of states, classes and statuses.

    >>> [tone.value for tone in tones_of(["ideal", "failed", "", "no word of ours"])]
    ['good', 'bad', 'plain', 'plain']
    """
    return [TONES.get(word, Tone.PLAIN) for word in words]


def flags_in(told: Any) -> list[str]:
    """The flags of a cell, which has commas between them."""
    return [flag.strip() for flag in told.split(",") if flag.strip()] if isinstance(told, str) else []


class Words:
    """Columns of a table as text; one that is not there is empty."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame, self.count = frame, len(frame)

    def values(self, name: str) -> list[Any]:
        """The cells of a column."""
        return self.frame[name].tolist() if name in self.frame else [None] * self.count

    def words(self, name: str) -> list[str]:
        """Words as they can be shown."""
        return [visible(value) if isinstance(value, str) else "" for value in self.values(name)]

    def numbers(self, name: str, form: str) -> list[str]:
        """Numbers in a form; - where there is none."""
        return [number(value, form) for value in self.values(name)]

    def with_error(self, name: str, error: str) -> list[str]:
        """Numbers with their standard errors."""
        pairs = zip(self.values(name), self.values(error))
        return [error_text(value, sigma, ".2f") if is_number(value) else "-" for value, sigma in pairs]

    def titles(self) -> list[str]:
        """Long names with their slices."""
        return [title(name, part) for name, part in zip(self.values("longname"), self.values("slice"))]

    def sizes(self) -> list[str]:
        """N x M, and how many of them where there are several."""
        rows = zip(self.values("N"), self.values("M"), self.values("rf"))
        return [
            f"{N:.0f} x {M:.0f}" + (f" ({rf:.0f})" if is_number(rf) and rf > 1 else "")
            if is_number(N) and is_number(M)
            else "-"
            for N, M, rf in rows
        ]


def title(longname: Any, part: Any = "") -> str:
    """Long name with the slice, as it can be shown; blanks cannot.

    >>> title("attn.qkv", "q"), title(" ")
    ('attn.qkv [q]', '(no name)')
    """
    told = visible(titled(str(longname), part if isinstance(part, str) else ""))
    return told if told.strip() else NO_NAME


def has_failed(row: Mapping[str, Any]) -> bool:
    """Whether nothing was found of a layer; where WeightWatcher's fit alone failed ours has an outcome.

    >>> has_failed({"status": "failed"}), has_failed({"status": "failed", "tail_outcome": "ok"})
    (True, False)
    """
    return row.get("status") == "failed" and not isinstance(row.get("tail_outcome"), str)


def is_number(value: Any) -> bool:
    """True for a number that is one."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)


def number(value: Any, form: str) -> str:
    """A number in a form; - where there is none."""
    return format(value, form) if is_number(value) else "-"


def alpha_told(row: Mapping[str, Any]) -> str:
    """alpha with its error, and whether the tail is a power law at all.

    >>> alpha_told({"tail_alpha": 1.62, "tail_sigma": 0.04, "tail_outcome": "poor_fit"})
    'alpha 1.62 ± 0.04, of a tail that is no power law'
    """
    sigma = row.get("tail_sigma")
    told = f"alpha {row['tail_alpha']:.2f}" + (f" ± {sigma:.2f}" if is_number(sigma) else "")
    return told + (", of a tail that is no power law" if row.get("tail_outcome") == Outcome.POOR_FIT.value else "")


def shortened_rows(frame: pd.DataFrame, most: int = ROWS_SHOWN) -> tuple[pd.DataFrame, int]:
    """The first and last rows of a long table, and how many are left out."""
    if len(frame) <= most:
        return frame, 0
    half = most // 2
    return pd.concat([frame.iloc[:half], frame.iloc[-half:]]), len(frame) - 2 * half


def results_card(results: Results) -> Card:
    """Ten columns of the analysed layers, and what else there is."""
    # Rows first: nothing is computed for what is not shown.
    seen = [record for record in results.records if record.status != "skipped"]
    frame, left_out = shortened_rows(results.of(seen).table())
    columns = ten_columns(frame, terminal_width())
    columns = [column for column in columns if column.worth == 0 or any(column.cells)]
    if left_out:
        columns = [with_gap(column, len(frame) // 2, left_out) for column in columns]
    return Card("", (), [_rest(results)], columns if seen else ())


def with_gap(column: GridColumn, half: int, left_out: int) -> GridColumn:
    """The column with a cell that says how many rows are left out at a place."""
    gap = f"... {left_out} more ..." if column.head == "layer" else ""
    cells = [*column.cells[:half], gap, *column.cells[half:]]
    tones = [*column.tones[:half], Tone.PLAIN, *column.tones[half:]] if column.tones else ()
    return replace(column, cells=cells, tones=tones)


def _rest(results: Results) -> str:
    skipped = sum(record.status == "skipped" for record in results.records)
    failed = sum(record.status == "failed" for record in results.records)
    said = f"{len(results)} row{'s' if len(results) != 1 else ''}, {failed} failed, {skipped} skipped"
    if results.missing:
        said += f", {results.missing} not come to yet"
    return f"{said}. All columns: .table(); in short: .summary(); one layer: .layer(name)."
