"""One call of analyze: a record for every row, the status of every tensor, and the finished tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..core.arrays import EPS_FLOAT32, FloatArray, to_numpy
from ..layer import columns as table
from ..layer.result import LayerResult, Settings
from ..spectrum.windows import SubmatrixFit
from ..traps.find import TrapReport
from ..weights.plan import Job
from ..weights.tensors import WeightTensor
from .threads import Ahead

NOT_OURS = "this mode analyses weightwatcher's own layers only"
COVERAGE_COLUMNS = ["longname", "shape", "dtype", "n_params", "status", "reason"]
IDENTITY = ["slice", "row_origin", "reason", "layout", "layout_from"]
# What weightwatcher's table has for every layer, so that a table of failures has it too.
THEIR_COLUMNS = [
    *("D", "M", "N", "Q", "alpha", "alpha_weighted", "entropy", "has_esd", "lambda_max", "layer_id", "layer_type"),
    *("log_alpha_norm", "log_norm", "log_spectral_norm", "longname", "matrix_rank", "name", "norm", "num_evals"),
    *("num_pl_spikes", "rank_loss", "rf", "sigma", "spectral_norm", "stable_rank", "status", "sv_max", "sv_min"),
    *("warning", "weak_rank_loss", "xmax", "xmin"),
]
THEIR_DETX_COLUMNS = ["ERG_gap", "detX_num", "detX_val", "detX_val_unrescaled", "num_ERG_spikes"]
# Where weightwatcher writes -1 for a fit that failed, and what it derives from that.
SENTINELS = ["alpha", "D", "sigma", "xmin", "num_pl_spikes", "alpha_weighted", "log_alpha_norm"]


@dataclass
class Record:
    """What is known of one row while weightwatcher works on its layer.

    `tensor` is the name of its weight, `origin` is `weightwatcher` or `setol_ww`, `label` the slice,
    `is_kernel` says that kernel slices are pooled, `failure` why there is no spectrum, `precision` the epsilon of the
    weights, `scale` the square of the factor by which the matrices are still to be multiplied; `spectra` gives the
    eigenvalues of each matrix and `traps` what was found in them, where they were begun ahead, `shuffled` eigenvalues
    of its shuffles, one after the other, and `draws` the shuffles.
    """

    ww_layer: Any
    longname: str
    origin: str
    tensor: str = ""
    label: str = ""
    is_kernel: bool = False
    failure: str = ""
    precision: float = EPS_FLOAT32
    scale: float = 1.0
    result: LayerResult | None = None
    farms: SubmatrixFit | None = None
    spectra: list[Callable[[], FloatArray]] = field(default_factory=list)
    draws: Iterator[Any] = field(default_factory=lambda: iter(()))
    shuffled: Iterator[FloatArray] | None = None
    traps: Callable[[], TrapReport] | None = None
    job: Job | None = None
    theirs: dict[str, Any] = field(default_factory=dict)
    row: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Long name with the slice."""
        return f"{self.longname} [{self.label}]" if self.label else self.longname

    @property
    def has_row(self) -> bool:
        """True when weightwatcher gives the layer a row; it walks past others in some modes."""
        return not self.ww_layer.skipped and self.ww_layer.has_weights

    def matrices(self) -> Iterator[Any]:
        """The layer's matrices scaled as weightwatcher scales them: as they are stored where that changes nothing."""
        for matrix in self.ww_layer.Wmats:
            yield matrix if self.scale == 1 else to_numpy(matrix) * np.sqrt(self.scale)

    def layout(self) -> dict[str, str]:
        """What was taken out of the tensor, and how that is known; empty where weightwatcher combined layers."""
        if self.job is None or self.job.part is None:
            return {"layout": "", "layout_from": ""}
        return {"layout": self.job.part.layout, "layout_from": self.job.layout_from}

    def close(self, detX: bool, release: bool, randomize: bool = False) -> None:
        """Keep the row and, when nothing later needs the layer, let its weights go."""
        self.theirs = self.ww_layer.get_row()
        note = self.job.note if self.job is not None else ""
        self.row = {"slice": self.label, "row_origin": self.origin, "reason": self.failure or note}
        self.row |= self.layout()
        if self.result is not None:
            detX_num = getattr(self.ww_layer, "detX_num", None)
            self.row.update(table.row(self.result, detX=detX, detX_num=detX_num, randomize=randomize))
        if self.farms is not None:
            self.row.update(table.farms_row(self.farms))
        if release:
            self.ww_layer.weights, self.ww_layer.Wmats, self.ww_layer.evals = None, [], None
        self.ww_layer = self.result = self.shuffled = self.traps = None
        self.spectra, self.draws = [], iter(())


@dataclass
class Run:
    """One call of analyze.

    `jobs` is the plan, `limits` are those that the user gave and `beyond` what they leave out, by the position of the
    job; `seed` is that of the shuffles, `ahead` has the threads.
    """

    entries: list[WeightTensor]
    engine: str
    device: str
    detX: bool
    settings: Settings
    limits: dict[str, int]
    jobs: list[Job]
    progress: bool | None
    randomize: bool = False
    seed: int = 0
    farms: bool = False
    ahead: Ahead = field(default_factory=Ahead)
    records: list[Record] = field(default_factory=list)
    beyond: dict[int, str] = field(default_factory=dict)

    def record_of(self, ww_layer: Any) -> Record:
        """The record of the layer weightwatcher is working on."""
        return next(record for record in reversed(self.records) if record.ww_layer is ww_layer)

    def shape_of(self, record: Record) -> tuple[int, ...]:
        """Shape of the tensor a record is of; empty where it is not known."""
        return next((tuple(entry.shape) for entry in self.entries if entry.name == record.tensor), ())

    def frame(self) -> pd.DataFrame:
        """weightwatcher's table with our columns behind it."""
        known = {name for record in self.records for name in record.theirs}
        if "alpha" not in known:
            known |= {*THEIR_COLUMNS, *(THEIR_DETX_COLUMNS if self.detX else [])}
        lead = ["layer_id", "name"]
        columns = [
            *lead,
            *sorted(known - set(lead)),
            *IDENTITY,
            *table.names(self.detX, self.settings.quality, self.randomize),
        ]
        columns += [column.name for column in table.FARMS_COLUMNS if self.farms]
        for record in self.records:
            if record.failure:
                record.theirs["status"] = "failed"
            elif record.origin == "setol_ww" and record.theirs.get("status") == "failed":
                record.theirs.update(dict.fromkeys(SENTINELS, np.nan))
        rows = [record.theirs | record.row for record in self.records]
        values = {name: as_column([row.get(name, np.nan) for row in rows]) for name in columns}
        values["status"] = np.array(values["status"], dtype=object)
        return pd.DataFrame(values)

    def coverage(self) -> list[dict[str, Any]]:
        """What became of every tensor of two or more dimensions."""
        failures: dict[str, list[str]] = {}
        walked: dict[str, int] = {}
        for record in self.records:
            walked[record.tensor] = walked.get(record.tensor, 0) + 1
            if record.failure:
                failures.setdefault(record.tensor, []).append(record.failure)
        planned: dict[str, list[Job]] = {}
        for job in self.jobs:
            planned.setdefault(job.tensor, []).append(job)
        computed = {entry.name for entry in self.entries if entry.effective}
        rows = []
        for entry in self.entries:
            if not entry.is_candidate or entry.effective:
                continue
            leader = entry.same_as or entry.name
            status, reason = self._became(planned.get(leader, []), walked.get(leader, 0))
            failed = failures.get(leader, [])
            if failed:
                share = "" if len(failed) == walked[leader] else f"{len(failed)} of {walked[leader]} slices: "
                status, reason = "failed", share + "; ".join(failed)
            elif entry.same_as and status == "analyzed":
                role = entry.role or ("a factor of" if leader in computed else "tied to")
                status = "skipped" if role == "tied to" else "analyzed"
                reason = f"{role} {leader}, analysed there"
            shape = entry.shape if entry.recipe is None else entry.recipe.main.shape
            facts = (entry.name, shape, entry.dtype, math.prod(shape), status, reason)
            rows.append(dict(zip(COVERAGE_COLUMNS, facts)))
        return rows

    def _became(self, jobs: list[Job], walked: int) -> tuple[str, str]:
        """Status and reason of a tensor with these jobs, of which so many have rows."""
        notes = list(dict.fromkeys(self.beyond.get(job.position, job.note) for job in jobs))
        if walked:
            remarks = [job.note for job in jobs if job.note and not job.skipped]
            return "analyzed", "; ".join(dict.fromkeys(remarks))
        return "skipped", "; ".join(note for note in notes if note) or NOT_OURS


def as_column(values: list[Any]) -> Any:
    """A numeric array where all values are numbers, which pandas need not look at one by one; else the list."""
    if values and all(isinstance(value, (int, float, np.number)) and not isinstance(value, bool) for value in values):
        return np.array(values)
    return values
