"""The history of a run: one row for each look at a layer, tidy, with the spectra kept as `Results`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from .. import __version__
from ..core.checks import path_of
from ..core.options import Options
from ..layer.intervals import alpha_ends
from ..results.export import WRITERS, export, refuse_unwritable
from ..results.findings import TableForm, frame_of, key_of, row_of
from ..results.record import LayerRecord, settings_of
from ..results.results import Results
from ..results.store import ENDINGS, is_store
from .moves import Mark, move

ENDS = ("tail_alpha_low", "tail_alpha_high")
COLUMNS = (
    *("step", "longname", "slice", "tail_alpha", *ENDS, "tail_sigma", "tail_rank", "tail_outcome", "alpha_hill"),
    *("pl_lambda_min", "erg_rank", "erg_fraction", "erg_lambda_min", "delta_lambda_min", "q2_norm"),
    *("universality_class", "setol_state", "setol_flags", "move", "seconds", "status", "reason"),
)
TRAP_COLUMNS = ("trap_count", "trap_pvalue", "trap_strength")
#: Around the columns of `Results.table` of a history.
FORM = TableForm(
    before=("step", "longname", "slice", "move", *ENDS, "layer_type", "N", "M", "Q", "rf", "num_evals", "dtype"),
    after=("seconds", "status", "reason", "tensor", "shape", "n_params", "source"),
)


class History:
    """Looks at the layers of one run in the order in which they were taken.

    Attributes
    ----------
    options : Options
        Under which the layers were analysed.
    about : dict
        Whose history it is.
    records : list of LayerRecord
        One a row; `position` is its place here.
    rows : list of dict
        All columns of each by name.
    """

    def __init__(self, options: Options, about: Mapping[str, Any], records: Iterable[LayerRecord] = ()) -> None:
        self.options = options
        self.about = {"version": __version__, **options.key(), **about}
        self.records: list[LayerRecord] = []
        self.rows: list[dict[str, Any]] = []
        self._marks: dict[tuple[str, str], Mark] = {}
        for record in records:
            self._keep(record, record.identity.get("move", ""))

    def add(self, step: int, record: LayerRecord, source: str = "") -> dict[str, Any]:
        """Keep a look at a layer; its row.

        Parameters
        ----------
        step : int
            The step whose weights were looked at.
        record : LayerRecord
            Of the layer.
        source : str
            The checkpoint, where it is from one.
        """
        word = self._move_of(record)
        told = {"step": step, "move": word, "seconds": record.seconds, "source": source}
        identity = {**record.identity, **told, **_ends(record)}
        return self._keep(replace(record, position=len(self.records), identity=identity), word)

    def frame(self) -> pd.DataFrame:
        """The tidy table: a row for each step and layer."""
        return frame_of(self.rows, [*COLUMNS, *(TRAP_COLUMNS if self.options.randomize else ())])

    def results(self) -> Results:
        """The same with the spectra: every column, other settings, any layer at any step."""
        return Results.from_records(self.records, self.options, self.about, form=FORM)

    def save(self, path: str | Path) -> None:
        """Keep it: `.setol` with the spectra, else the tidy table by its ending.

        Raises
        ------
        InvalidInput
            Another ending, or no such folder.
        """
        target = path_of("path", path)
        refuse_unwritable("path", target, (*WRITERS, *ENDINGS))
        if is_store(target):
            self.results().save(target)
        else:
            export(self.frame(), target)

    def _keep(self, record: LayerRecord, word: str) -> dict[str, Any]:
        self.records.append(record)
        settings = settings_of(self.options)
        row = row_of(record, settings, key_of(settings))
        self.rows.append(row)
        key, mark = _key(record), Mark.of(record.spectrum, row.get("tail_rank", math.nan))
        if mark is not None and (word or key not in self._marks):
            self._marks[key] = mark
        return row

    def _move_of(self, record: LayerRecord) -> str:
        before, after = self._marks.get(_key(record)), Mark.of(record.spectrum, _cell(record, "tail_rank"))
        return move(before, after) if before is not None and after is not None else ""


def history_of(results: Results) -> pd.DataFrame:
    """The tidy table of a history that was kept (`ww.open_results("run.setol")`)."""
    return History(results.options, results.about, results.records).frame()


def _key(record: LayerRecord) -> tuple[str, str]:
    return record.longname, record.slice


def _cell(record: LayerRecord, name: str) -> float:
    return float(record.cells.get(name, math.nan))


def _ends(record: LayerRecord) -> dict[str, float]:
    """90 % interval of alpha: resampled where it was, else by the inflated standard error."""
    alpha, sigma, low, high = (_cell(record, name) for name in ("tail_alpha", "tail_sigma", *ENDS))
    return dict(zip(ENDS, map(float, alpha_ends(alpha, sigma, low, high))))
