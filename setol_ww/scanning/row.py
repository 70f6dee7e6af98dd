"""One record of a scan: read one part of one tensor, compute, let it go. This is what a worker does."""

from __future__ import annotations

import functools
import importlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ..core.arrays import as_weightwatcher_reads, is_cut_by_weightwatcher, to_numpy
from ..core.boundary import Attempt, attempt, attempt_each
from ..core.forks import in_every_copy
from ..core.options import Options
from ..core.plain import as_computed
from ..formats.checkpoints import read_job
from ..formats.places import place_of
from ..formats.reader import opened
from ..formats.registry import needs_torch
from ..layer.weightwatcher_columns import CONV_SCALE, FIT, NORMS, SIZES, weightwatcher_row
from ..results.findings import TableForm, with_all_cells
from ..results.record import FAILED, FARMS, STRENGTHS, TRAPS, LayerRecord, settings_of
from ..spectrum.esd import Spectrum
from ..spectrum.strengths import Strengths, strengths_of_each
from ..spectrum.windows import fit_submatrices
from ..traps.find import TrapReport, find_traps_of
from ..weights.layouts import Part
from ..weights.plan import Job

IDENTITY = ("longname", "slice", "layer_type", *SIZES, "dtype")
ADDED = ("layout", "layout_from", "tensor", "layer_id", "shape", "n_params")
VERDICT = ("status", "reason")
NOT_LOADED = "not loaded"


FORM = TableForm(before=(*IDENTITY, *FIT, *NORMS), after=(*VERDICT, *ADDED))


@dataclass(frozen=True)
class Asked:
    """What a worker is told beside its job: the options, and by file what its weights are to be known by."""

    options: Options = field(default_factory=Options)
    fingerprints: dict[str, str] = field(default_factory=dict, repr=False)


def work(jobs: Sequence[Job], asked: Asked) -> list[LayerRecord]:
    """The records of some jobs; what is wrong with the weights or the file of one becomes its reason.

    One BLAS thread, so that the numbers do not depend on how many workers there are. What is computed for all of them
    together is for each the same, to the bit, as alone.
    """
    # The import that a worker begins with is not the time of its first layer.
    load_libraries(jobs)
    with one_blas_thread():
        # Stage by stage: what a stage needs stays in the cache.
        last = {file: job.position for job in jobs for file in job.files}
        begun = [_begun(job, asked, [file for file in job.files if last[file] == job.position]) for job in jobs]
        started = time.perf_counter()
        begun = _with_entries(begun, asked.options)
        found = concluded([(one.record, one.reason) for one in begun], asked.options)
        share = (time.perf_counter() - started) / max(1, sum(not one.skipped for one in jobs))
    return [
        _ended(one.job, record, reason, one.seconds + share) for one, (record, reason) in zip(begun, found, strict=True)
    ]


@dataclass(frozen=True)
class _Begun:
    """A job under way.

    `record` is as far as it is, `reason` says why something is not there, `matrices` and `scale` are as
    `read_matrices` has them, `seconds` what it has taken.
    """

    job: Job
    record: LayerRecord
    reason: str = ""
    matrices: list[Any] = field(default_factory=list, repr=False)
    scale: float = 1.0
    seconds: float = 0.0


def _begun(job: Job, asked: Asked, read: list[str]) -> _Begun:
    """A job with its spectrum, where it has one; `read` are files that none of the jobs behind it reads."""
    record = LayerRecord(job.position, job.identity(), reason=job.note)
    if job.part is None or job.skipped:
        return _Begun(job, record)
    started = time.perf_counter()
    stored = attempt(job.title, NOT_LOADED, lambda: _read_of(job, read, asked.fingerprints))
    if stored.value is None:
        return _Begun(job, record, stored.reason, seconds=time.perf_counter() - started)
    begun = _with_spectrum(_Begun(job, record, "", *stored.value), asked.options.device)
    return replace(begun, seconds=time.perf_counter() - started)


def _ended(job: Job, record: LayerRecord, reason: str, seconds: float) -> LayerRecord:
    if job.part is None or job.skipped:
        return replace(record, status="skipped")
    return replace(record, status="failed" if reason else "analyzed", reason=reason or job.note, seconds=seconds)


def load_libraries(jobs: Iterable[Job]) -> None:
    """Import what reads the weights of these jobs."""
    if any(needs_torch(place_of(file)) for file in {job.file for job in jobs if not job.skipped}):
        importlib.import_module("torch")


def may_pass(record: LayerRecord) -> bool:
    """True for a record that says nothing about the weights: its worker died, its file was away, memory was short."""
    causes = (f": {NOT_LOADED}, ", "MemoryError")
    return record.gave_up or (record.status == FAILED and any(cause in record.reason for cause in causes))


def given_up(job: Job, reason: str) -> LayerRecord:
    """The record of a layer that killed its workers."""
    reason = f"layer {job.title}: {reason}"
    return LayerRecord(job.position, job.identity(), status="failed", reason=reason, gave_up=True)


def concluded(begun: Sequence[tuple[LayerRecord, str]], options: Options) -> list[tuple[LayerRecord, str]]:
    """Records with the columns of their spectra, where they have one."""
    findings = iter(with_all_cells([one for one, _ in begun if one.spectrum is not None], settings_of(options)))
    found = []
    for record, reason in begun:
        cells = None if record.spectrum is None else next(findings)
        found.append((record, reason) if cells is None else (cells.value or record, reason or cells.reason))
    return found


def measured(
    record: LayerRecord,
    job: Job,
    matrices: list[Any],
    scale: float,
    options: Options,
    spectrum_of: Callable[[], Spectrum] | None = None,
) -> tuple[LayerRecord, str]:
    """The record with its spectrum and what its entries say, and why something is not there.

    Any number of BLAS threads. `spectrum_of` is called for the spectrum of the matrices where it comes from elsewhere.
    """
    begun = _with_spectrum(_Begun(job, record, "", matrices, scale), options.device, spectrum_of)
    (ended,) = _with_entries([begun], options)
    return ended.record, ended.reason


def _with_spectrum(begun: _Begun, device: str, spectrum_of: Callable[[], Spectrum] | None = None) -> _Begun:
    job, matrices = begun.job, begun.matrices
    own = spectrum_of or (lambda: Spectrum.from_slices(matrices, device=device))
    found = attempt(job.title, "no spectrum", lambda: spectra_of(job, matrices, begun.scale, device, own()))
    if found.value is None:
        return replace(begun, reason=found.reason)
    spectrum, upstream = found.value
    if not np.isfinite(spectrum.values).all():
        return replace(begun, reason=f"layer {job.title}: {bad_entries(matrices)}")
    # Where WeightWatcher reads other numbers its columns cannot be asked of the spectrum that is kept.
    theirs = {} if upstream is spectrum else weightwatcher_row(upstream)
    return replace(begun, record=replace(begun.record, spectrum=spectrum, theirs=theirs))


def _with_entries(begun: Sequence[_Begun], options: Options) -> list[_Begun]:
    """Those that have a spectrum with what their entries say; what is computed together comes first."""
    titled = [(one.job.title, one.matrices) for one in begun if one.record.spectrum is not None]
    strengths = iter(attempt_each(titled, "no strengths", strengths_of_each))
    return [one if one.record.spectrum is None else _with_extras(one, next(strengths), options) for one in begun]


def _with_extras(begun: _Begun, strengths: Attempt[Strengths], options: Options) -> _Begun:
    job, matrices = begun.job, begun.matrices
    extras: dict[str, Any] = {} if strengths.value is None else {STRENGTHS: strengths.value}
    reason = strengths.reason
    if options.randomize:
        stage = functools.partial(traps_of, job, matrices, begun.scale, options.seed, options.device)
        traps = attempt(job.title, "no traps", stage)
        reason = reason or traps.reason
        extras = extras if traps.value is None else {**extras, TRAPS: traps.value}
    if options.farms:
        windows = attempt(
            job.title, "no windows", lambda: fit_submatrices(matrices, seed=options.seed, device=options.device)
        )
        reason = reason or windows.reason
        extras = extras if windows.value is None else {**extras, FARMS: windows.value}
    return replace(begun, record=replace(begun.record, extras=extras), reason=reason, matrices=[])


def _read_of(job: Job, read: list[str], fingerprints: Mapping[str, str]) -> tuple[list[Any], float]:
    """`read_matrices`; where what is `read` by then has other fingerprints than these, that is what is said."""
    try:
        return read_matrices(job)
    finally:
        for file in read:
            opened(file, fingerprints.get(file, ""))


def read_matrices(job: Job) -> tuple[list[Any], float]:
    """The matrices of a job as they are stored, and what to multiply eigenvalues with.

    Only the job's part of the tensor is read. WeightWatcher halves the eigenvalues of kernel slices.
    """
    assert job.part is not None
    stored = as_computed(read_job(job, job.part.index(job.shape)))
    return job.part.matrices_of_cut(stored), scale_of(job.part)


def scale_of(part: Part) -> float:
    """What to multiply eigenvalues with: WeightWatcher halves those of kernel slices."""
    return CONV_SCALE if part.kind == "kernel" else 1.0


def spectra_of(job: Job, matrices: list[Any], scale: float, device: str, own: Spectrum) -> tuple[Spectrum, Spectrum]:
    """The spectrum of what is stored, for our columns, and of what WeightWatcher reads, for its columns.

    They differ where WeightWatcher has a row for a tensor that it cuts to float32; `own` is that of the matrices.
    """
    spectrum = own.times(scale)
    if not (is_read_by_weightwatcher(job) and is_cut_by_weightwatcher(matrices[0])):
        return spectrum, spectrum
    read = [as_weightwatcher_reads(matrix) for matrix in matrices]
    return spectrum, Spectrum.from_slices(read, device=device).times(scale)


def is_read_by_weightwatcher(job: Job) -> bool:
    """True where WeightWatcher has a row for the tensor as a whole."""
    return len(job.shape) in (2, 4) and job.tensor.endswith(".weight") and job.is_weightwatchers


def traps_of(job: Job, matrices: list[Any], scale: float, seed: int, device: str = "cpu") -> TrapReport:
    """The traps of a job's matrices, on the scale of WeightWatcher's eigenvalues."""
    assert job.part is not None
    scaled = matrices if scale == 1 else [to_numpy(matrix) * np.sqrt(scale) for matrix in matrices]
    return find_traps_of(scaled, seed=seed, kernel=job.part.kernel(job.shape) or None, device=device)


def bad_entries(matrices: list[Any]) -> str:
    """How many entries are not finite, as words."""
    arrays = [to_numpy(matrix) for matrix in matrices]
    nan, infinite = (sum(int(count(array).sum()) for array in arrays) for count in (np.isnan, np.isinf))
    size = sum(array.size for array in arrays)
    return f"{nan} NaN and {infinite} Inf among its {size} entries"


class _OneThread:
    """Counts who is inside: the limit is of the whole process, and ends with the last one."""

    def __init__(self) -> None:
        self.inside = 0
        self.limits: Any = None
        self.let_go()

    def let_go(self) -> None:
        """Make a lock that nobody has."""
        self.lock = threading.Lock()

    def enter(self) -> None:
        with self.lock:
            if not self.inside:
                self.limits = threadpool_limits(1)
            self.inside += 1

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.limits.restore_original_limits()


_one_thread = _OneThread()
# The limit holds on there.
in_every_copy(_one_thread.let_go)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """One BLAS thread for all of this process while anyone is inside."""
    _one_thread.enter()
    try:
        yield
    finally:
        _one_thread.leave()
