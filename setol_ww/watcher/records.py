"""One call of analyze: a record for every row, the status of every tensor, and the finished tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..core.arrays import EPS_FLOAT32, FloatArray, is_cut_by_weightwatcher, to_numpy
from ..core.boundary import Attempt, attempt
from ..core.options import Options
from ..core.plain import as_computed
from ..layer.columns import farms_row
from ..layer.result import LayerResult, Settings
from ..results.coverage import COVERAGE_COLUMNS
from ..results.findings import TableForm, cells_of, key_of, results_of
from ..results.record import ANALYZED, FAILED, FARMS, STRENGTHS, TRAPS, LayerRecord
from ..results.results import Results
from ..spectrum.esd import Spectrum
from ..spectrum.strengths import Strengths
from ..spectrum.windows import SubmatrixFit
from ..traps.find import TrapReport
from ..weights.naming import titled
from ..weights.plan import Job
from ..weights.tensors import WeightTensor
from .combined import COMBINING, why_left_out
from .numerics import spectrum_of
from .threads import Ahead

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

# So many layers, or eigenvalues, are analysed together: what a call of numpy costs is then shared.
TOGETHER, SMALL = 16, 4096


@dataclass
class Record:
    """What is known of one row while weightwatcher works on its layer.

    `tensor` is the name of its weight, `origin` is `weightwatcher` or `setol_ww`, `label` the slice,
    `is_kernel` says that kernel slices are pooled, `failure` why there is no spectrum, `precision` the epsilon of the
    weights, `scale` the square of the factor by which the matrices are still to be multiplied, `norm` of that by which
    weightwatcher multiplies those stored, which `stored` loads; `asked` is the spectrum of our columns and
    the strengths of its entries, `spectra` gives the eigenvalues of each matrix and `strengths` those of its rows and
    columns, where they were begun ahead, `traps` what was found in its shuffle (`report` once it is there) and
    `shuffled` the eigenvalues of one shuffle after the other; `members` are the tensors that a mode combines, `known`
    weightwatcher's eigenvalues and their spectrum.
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
    norm: float = 1.0
    asked: tuple[Spectrum, Strengths | None] | None = None
    farms: SubmatrixFit | None = None
    spectra: list[Callable[[], FloatArray]] = field(default_factory=list)
    shuffled: list[FloatArray] = field(default_factory=list)
    traps: Callable[[], Attempt[TrapReport]] | None = None
    report: TrapReport | None = None
    strengths: Callable[[], Strengths] | None = None
    job: Job | None = None
    stored: Callable[[], Any] | None = None
    kept: LayerRecord | None = None
    members: tuple[str, ...] = ()
    known: tuple[Any, Spectrum] | None = None

    @property
    def title(self) -> str:
        """Long name with the slice."""
        return titled(self.longname, self.label)

    @property
    def has_row(self) -> bool:
        """True when weightwatcher gives the layer a row; it walks past others in some modes."""
        return not self.ww_layer.skipped and self.ww_layer.has_weights

    @property
    def is_whole(self) -> bool:
        """True when every eigenvalue of the layer is asked for."""
        return bool(self.ww_layer.num_components >= self.ww_layer.M)

    def spectrum(self) -> Spectrum:
        """The spectrum of the eigenvalues that weightwatcher has, made once for the same ones."""
        evals = self.ww_layer.evals
        if self.known is None or self.known[0] is not evals:
            self.known = evals, spectrum_of(self.ww_layer, self.precision)
        return self.known[1]

    def matrices(self) -> Iterator[Any]:
        """`own_matrices` scaled as weightwatcher scales them: as they are stored where that changes nothing."""
        matrices, scale = self.own_matrices()
        for matrix in matrices:
            yield matrix if scale == 1 else to_numpy(matrix) * np.sqrt(scale)

    def own_matrices(self) -> tuple[list[Any], float]:
        """The layer's matrices with the values that are stored, and what to multiply their eigenvalues with."""
        if self.stored is None or not self.is_cut:
            return list(self.ww_layer.Wmats), self.scale
        weight = as_computed(self.stored())
        return [weight[(..., *place)] for place in np.ndindex(*weight.shape[2:])], self.norm

    @cached_property
    def is_cut(self) -> bool:
        """True where weightwatcher's values are not those that are stored."""
        return self.stored is not None and is_cut_by_weightwatcher(as_computed(self.stored()))

    def identity(self, position: int) -> dict[str, Any]:
        """What is known of the row without a value of the weights."""
        known: dict[str, Any] = {"layout": "", "layout_from": "", "tensor": self.tensor or self.longname}
        if self.job is not None:
            known |= {name: value for name, value in self.job.identity().items() if value is not None}
        return {**known, "longname": self.longname, "slice": self.label, "row_origin": self.origin}

    def let_go(self, release: bool) -> None:
        """Drop what only the walk needs and, when nothing later needs the layer, its weights."""
        if release:
            self.ww_layer.weights, self.ww_layer.Wmats, self.ww_layer.evals = None, [], None
        self.traps = self.strengths = self.stored = self.known = None
        self.spectra, self.shuffled = [], []

    def close(self, position: int, result: Attempt[LayerResult] | None, key: str) -> None:
        """Keep the row, with what its spectrum says where it has one."""
        if result is not None:
            self.failure = self.failure or result.reason
        theirs = without_fit(self.ww_layer.get_row(), self.origin, self.failure)
        reason = self.failure or (self.job.note if self.job is not None else "") or _no_fit(theirs, self.longname)
        extras: dict[str, Any] = {FARMS: self.farms} if self.farms is not None else {}
        status = FAILED if self.failure else ANALYZED
        cells = farms_row(self.farms) if self.farms is not None else {}
        kept = LayerRecord(position, self.identity(position), status, reason, theirs=theirs, extras=extras, cells=cells)
        said = None if result is None else result.value
        self.kept = kept if said is None else self.with_findings(kept, said, key)
        self.ww_layer = self.asked = self.report = None

    def with_findings(self, kept: LayerRecord, result: LayerResult, key: str) -> LayerRecord:
        """The record with the spectrum, what was asked of the entries, and our columns."""
        result = result if self.report is None else result.with_traps(self.report)
        found = {TRAPS: result.traps, STRENGTHS: result.strengths}
        extras = {**kept.extras, **{name: value for name, value in found.items() if value is not None}}
        # A spectrum anew: what was computed of this one on the way is let go with it.
        kept = replace(kept, spectrum=replace(result.spectrum), extras=extras)
        cells = attempt(self.title, "no findings", lambda: cells_of(kept, result))
        if cells.value is None:
            return replace(kept, status=FAILED, reason=cells.reason)
        return replace(kept, cells=cells.value, cells_of=key)


def without_fit(theirs: dict[str, Any], origin: str, failure: str) -> dict[str, Any]:
    """weightwatcher's cells of a row; of a fit that there is not no judgement, and in our rows no -1."""
    if failure:
        theirs = {**theirs, "status": "failed"}
    if theirs.get("status") != "failed":
        return theirs
    if not failure and origin == "setol_ww":
        theirs = {**theirs, **dict.fromkeys(SENTINELS, np.nan)}
    return {**theirs, "warning": ""} if isinstance(theirs.get("warning"), str) else theirs


def _no_fit(theirs: dict[str, Any], longname: str) -> str:
    """The reason of a row whose fit failed."""
    if theirs.get("status") != "failed":
        return ""
    return f"layer {longname}: no power law fits its {theirs.get('num_evals', 0):.0f} eigenvalues"


@dataclass
class Run:
    """One call of analyze.

    `jobs` is the plan, `limits` are those that the user gave and `beyond` what they leave out, by the position of the
    job, `waiting` the places of records that are not closed; `layers` is for weightwatcher, where it chooses itself,
    `mode` how it combines layers there; `seed` is that of the shuffles, `ahead` has the threads.
    """

    entries: list[WeightTensor]
    engine: str
    device: str
    detX: bool
    settings: Settings
    limits: dict[str, int]
    jobs: list[Job]
    layers: Any
    progress: bool | None
    randomize: bool = False
    seed: int = 0
    farms: bool = False
    mode: str = ""
    ahead: Ahead = field(default_factory=Ahead)
    generator: np.random.RandomState = field(init=False)
    records: list[Record] = field(default_factory=list)
    beyond: dict[int, str] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        # The stream of `numpy.random.seed`, which weightwatcher's shuffles would come from.
        self.generator = np.random.RandomState(self.seed)

    def keep(self, *, at_once: bool) -> None:
        """Close the record of the last layer, small ones a few at once."""
        self.waiting.append(len(self.records) - 1)
        asked = [self.records[place].asked for place in self.waiting]
        values = sum(one[0].num_evals for one in asked if one is not None)
        if at_once or len(asked) >= TOGETHER or values > SMALL:
            self.close()

    def close(self) -> None:
        """Close the records that wait: what their spectra say is computed together."""
        waiting, self.waiting = [(place, self.records[place]) for place in self.waiting], []
        asked = [(one.title, *one.asked) for _, one in waiting if one.asked is not None]
        results, key = iter(results_of(asked, self.settings, "not analysed")), key_of(self.settings)
        for place, record in waiting:
            record.close(place, None if record.asked is None else next(results), key)

    def record_of(self, ww_layer: Any) -> Record:
        """The record of the layer weightwatcher is working on."""
        return next(record for record in reversed(self.records) if record.ww_layer is ww_layer)

    def shape_of(self, record: Record) -> tuple[int, ...]:
        """Shape of the tensor a record is of; empty where it is not known."""
        return self._shapes.get(record.tensor, ())

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {entry.name: tuple(entry.shape) for entry in reversed(self.entries)}

    def results(self, options: Options, about: dict[str, Any]) -> Results:
        """Every row with its spectrum: weightwatcher's columns before ours."""
        kept = [record.kept for record in self.records if record.kept is not None]
        known = {name for record in kept for name in record.theirs}
        if "alpha" not in known:
            known |= {*THEIR_COLUMNS, *(THEIR_DETX_COLUMNS if self.detX else [])}
        lead = ("layer_id", "name")
        before = (*lead, *sorted(known - set(lead)))
        # What weightwatcher did not come to is no number of ours.
        rows = [replace(one, theirs={name: one.theirs.get(name, np.nan) for name in before}) for one in kept]
        form = TableForm(before=(*before, *IDENTITY), after=(), objects=("status",))
        return Results.from_records(rows, options, about, form=form, coverage=self.coverage())

    def coverage(self) -> list[dict[str, Any]]:
        """What became of every tensor of two or more dimensions."""
        failures: dict[str, list[str]] = {}
        walked: dict[str, int] = {}
        first = {entry.name: entry.same_as or entry.name for entry in self.entries}
        for record in self.records:
            for tensor in {first.get(name, name) for name in record.members or (record.tensor,)}:
                walked[tensor] = walked.get(tensor, 0) + 1
                if record.failure:
                    failures.setdefault(tensor, []).append(record.failure)
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
            remarks = [job.note for job in jobs if job.note and not job.skipped] or [COMBINING.get(self.mode, "")]
            return "analyzed", "; ".join(dict.fromkeys(remarks))
        return "skipped", "; ".join(note for note in notes if note) or why_left_out(self.mode)
