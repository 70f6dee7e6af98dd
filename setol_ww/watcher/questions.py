"""What is asked of single layers, without an analysis: which row is meant, and its layer with the weights."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ..core.errors import InvalidInput
from ..layer.result import Settings
from ..results.findings import frame_of
from ..weights.plan import Job, plan
from .model import Given
from .records import Record, Run
from .upstream import DEFAULT_PARAMS, START_IDS, rooms
from .walk import Walk

LEAD = ("layer_id", "name")
OURS_BEHIND = ("slice", "row_origin", "layout", "layout_from", "reason")
NEAREST = 5


@dataclass(frozen=True)
class Rows:
    """The rows that a table of this model has.

    `layouts` are what the user said of its tensors, `params` weightwatcher's parameters.
    """

    given: Given
    params: Mapping[str, Any] = field(default_factory=DEFAULT_PARAMS.copy)
    layouts: Mapping[str, str] = field(default_factory=dict)

    def jobs(self, layers: Any = None) -> list[Job]:
        """What there is to analyse, in the order of the model."""
        given, start = self.given, self.params.get(START_IDS)
        jobs = plan(given.entries, layers, self.layouts, config=given.config, start_ids=start)
        return [job for job in jobs if not job.skipped]

    def walk(self, jobs: list[Job], limits: Mapping[str, int] | None = None, sizes_only: bool = False) -> Walk:
        """weightwatcher's way over the layers of some jobs."""
        run = Run(self.given.entries, "reference", "cpu", False, Settings(), dict(limits or {}), jobs, [], False)
        iterator = rooms.WWLayerIterator(self.given.model, None, params=self.params)
        if not self.params["pool"]:
            iterator = rooms.WW2xSliceIterator(self.given.model, None, params=self.params)
        as_stored = sizes_only and not self.params["conv2d_fft"]
        return Walk(iterator, self.given, self.params, run, False, as_stored, sizes_only=sizes_only)

    def record(self, job: Job) -> Record:
        """One row with its matrices.

        Raises
        ------
        InvalidInput
            They cannot be read; the reason is told.
        """
        lazy = self.given.is_on_disk
        record = next(record for record in self.walk([job]).records() if record.has_row)
        if record.failure:
            raise InvalidInput(f"the layer {job.title!r} was asked; {record.failure}")
        if lazy:
            self.given.model.forget()
        return record

    def job_of(self, layer: Any, part: str = "") -> Job:
        """The row that an id or a name means; the first where none is given.

        Raises
        ------
        InvalidInput
            There is none (the nearest names are told), or there are several (their names are told).
        """
        jobs = self.jobs()
        if isinstance(layer, tuple) and len(layer) == 2:
            layer, part = layer
        if layer is None and not part:
            return self._first_of_weightwatchers(jobs)
        found = self._called(layer, jobs)
        named = [job for job in found if not part or job.label == part]
        whole = [job for job in named if not job.label]
        if len(named) == 1 or whole:
            return (whole or named)[0]
        if named or found:
            titles = ", ".join(repr(job.title) for job in named or found)
            what = f"the layer {layer!r}" + (f", slice {part!r}" if part else "")
            raise InvalidInput(f"{what} was asked; rows of that name are {titles}. Accepted is one of these names")
        raise InvalidInput(self._no_such(layer, jobs))

    def _called(self, layer: Any, jobs: Sequence[Job]) -> list[Job]:
        """The jobs that an id or a name may mean: of full names before last words, as weightwatcher's first."""
        if isinstance(layer, numbers.Integral) and not isinstance(layer, bool):
            return [job for job in jobs if job.layer_id == layer]
        full = [job for job in jobs if layer in (job.title, job.longname, job.tensor, *job.known_as)]
        if full or not isinstance(layer, str):
            return full
        last = [job for job in jobs if layer in job.names]
        return [job for job in last if job.tensor == last[0].tensor]

    def _first_of_weightwatchers(self, jobs: Sequence[Job]) -> Job:
        record = next((record for record in self.walk(list(jobs), sizes_only=True).records() if record.has_row), None)
        if record is None or record.job is None:
            raise InvalidInput("the first layer was asked; the model has none that can be analysed")
        return record.job

    def _no_such(self, layer: Any, jobs: Sequence[Job]) -> str:
        names = list(dict.fromkeys(job.title for job in jobs))
        nearest = difflib.get_close_matches(str(layer), names, NEAREST, 0.3) or names[:NEAREST]
        ids = sorted({job.layer_id for job in jobs})
        return (
            f"the layer {layer!r} was asked; there is none of that id or name. Nearest are "
            f"{', '.join(map(repr, nearest))}; ids go from {ids[0]} to {ids[-1]}"
            if ids
            else f"the layer {layer!r} was asked; the model has none that can be analysed"
        )

    def sizes(self, layers: Any, limits: Mapping[str, int]) -> pd.DataFrame:
        """weightwatcher's table of layers and sizes, with every row that `analyze` gives."""
        rows = []
        for record in self.walk(self.jobs(layers), limits, sizes_only=True).records():
            layer, pooled = record.ww_layer, self.params["pool"]
            count = layer.num_components if self.params["conv2d_fft"] else layer.M * (layer.rf if pooled else 1)
            layer.add_column("num_evals", count)
            known = record.identity(0)
            note = record.job.note if record.job is not None else ""
            rows.append({**{name: known.get(name, "") for name in OURS_BEHIND}, "reason": note, **layer.get_row()})
            layer.weights, layer.Wmats = None, []
        theirs = sorted({name for row in rows for name in row} - {*LEAD, *OURS_BEHIND})
        return frame_of(rows, (*LEAD, *theirs, *OURS_BEHIND)) if rows else pd.DataFrame()
