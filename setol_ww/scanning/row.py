"""One row of a scan: read one part of one tensor, compute, let it go. This is what a worker does."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ..core.arrays import dtype_word, precision, to_numpy
from ..core.boundary import attempt
from ..formats.checkpoints import read_job
from ..formats.reader import opened
from ..formats.registry import needs_torch
from ..layer import columns as table
from ..layer.result import analyze_spectrum
from ..layer.weightwatcher_columns import CONV_SCALE, FIT, NORMS, SIZES, weightwatcher_row
from ..linalg.eigenvalues import eigenvalues
from ..spectrum.esd import Spectrum
from ..traps.find import TrapReport, find_traps_of
from ..weights.plan import Job

IDENTITY = ("longname", "slice", "layer_type", *SIZES, "dtype")
ADDED = ("layout", "layout_from", "tensor", "layer_id", "shape", "n_params")
VERDICT = ("status", "reason")


@dataclass(frozen=True)
class Options:
    """What a row depends on beside its job: options, and by file what its weights are to be known by."""

    device: str = "cpu"
    randomize: bool = False
    seed: int = 0
    fingerprints: dict[str, str] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Done:
    """A finished row. `gave_up` marks one that says nothing about the weights: its worker died."""

    position: int
    row: dict[str, Any]
    seconds: float
    gave_up: bool = False


def columns(options: Options) -> list[str]:
    """The columns of a scan's table."""
    return [*IDENTITY, *FIT, *NORMS, *table.names(randomize=options.randomize), *VERDICT, *ADDED]


def work(job: Job, options: Options) -> Done:
    """The row of one job; what is wrong with its weights or its file becomes the row's reason.

    One BLAS thread, so that the numbers do not depend on how many workers there are.
    """
    row = job.identity()
    if job.part is None or job.skipped:
        return Done(job.position, {**row, "status": "skipped", "reason": job.note}, 0.0)
    if needs_torch(Path(job.file)):
        # The import that a worker begins with is not the time of its first layer.
        importlib.import_module("torch")
    started = time.perf_counter()
    with one_blas_thread():
        values, reason = _values(job, options)
    status = "failed" if reason else "analyzed"
    row = {**row, **values, "status": status, "reason": reason or job.note}
    return Done(job.position, row, time.perf_counter() - started)


def given_up(job: Job, reason: str) -> Done:
    """The row of a layer that killed its workers."""
    row = {**job.identity(), "status": "failed", "reason": f"layer {job.title}: {reason}"}
    return Done(job.position, row, 0.0, gave_up=True)


def _values(job: Job, options: Options) -> tuple[dict[str, Any], str]:
    """Everything computed, and why something is not."""
    read = attempt(job.title, "not loaded", lambda: _read_of(job, options.fingerprints))
    if read.value is None:
        return {}, read.reason
    matrices, eps, scale = read.value
    found = attempt(job.title, "no spectrum", lambda: pooled_spectrum(matrices, eps, options.device, scale))
    if found.value is None:
        return {}, found.reason
    spectrum = found.value
    if not np.isfinite(spectrum.raw).all():
        return {}, f"layer {job.title}: {bad_entries(matrices)}"
    findings = attempt(job.title, "no findings", lambda: (analyze_spectrum(spectrum), weightwatcher_row(spectrum)))
    if findings.value is None:
        return {}, findings.reason
    result, theirs = findings.value
    reason = ""
    if options.randomize:
        traps = attempt(job.title, "no traps", lambda: traps_of(job, matrices, scale, options.seed))
        reason = traps.reason
        result = result if traps.value is None else result.with_traps(traps.value)
    return {**theirs, **table.row(result, randomize=options.randomize)}, reason


def _read_of(job: Job, fingerprints: dict[str, str]) -> tuple[list[Any], float, float]:
    """`read_matrices` from files of these fingerprints, before and after."""
    _refuse_others(job, fingerprints)
    found = read_matrices(job)
    _refuse_others(job, fingerprints)
    return found


def _refuse_others(job: Job, fingerprints: dict[str, str]) -> None:
    for file in job.files:
        opened(Path(file), fingerprints.get(file, ""))


def read_matrices(job: Job) -> tuple[list[Any], float, float]:
    """The matrices of a job as they are stored, the epsilon of their entries, and what to multiply eigenvalues with.

    Only the job's part of the tensor is read. WeightWatcher halves the eigenvalues of kernel slices.
    """
    assert job.part is not None
    cut = read_job(job, job.part.index(job.shape))
    # weightwatcher cuts torch tensors to float32: what it has a row for, has the same row here.
    if (
        hasattr(cut, "detach")
        and len(job.shape) in (2, 4)
        and job.tensor.endswith(".weight")
        and not job.label
        and dtype_word(cut.dtype) == "float64"
    ):
        cut = cut.float()
    return job.part.matrices_of_cut(cut), precision(cut), CONV_SCALE if job.part.kind == "kernel" else 1.0


def traps_of(job: Job, matrices: list[Any], scale: float, seed: int) -> TrapReport:
    """The traps of a job's matrices, on the scale of WeightWatcher's eigenvalues."""
    assert job.part is not None
    scaled = matrices if scale == 1 else [to_numpy(matrix) * np.sqrt(scale) for matrix in matrices]
    return find_traps_of(scaled, seed=seed, kernel=job.part.kernel(job.shape) or None)


def pooled_spectrum(matrices: list[Any], eps: float, device: str, scale: float = 1.0) -> Spectrum:
    """`Spectrum.from_slices` on a device, eigenvalues times `scale`."""
    rows, side = matrices[0].shape
    raw = np.sort(np.concatenate([scale * eigenvalues(matrix, device) for matrix in matrices]))
    return Spectrum(raw, max(rows, side), min(rows, side), len(matrices), eps)


def bad_entries(matrices: list[Any]) -> str:
    """How many entries are not finite, as words; the fault of their squares when all are."""
    arrays = [to_numpy(matrix) for matrix in matrices]
    nan, infinite = (sum(int(count(array).sum()) for array in arrays) for count in (np.isnan, np.isinf))
    size = sum(array.size for array in arrays)
    if nan or infinite:
        return f"{nan} NaN and {infinite} Inf among its {size} entries"
    return "its entries are finite but their squares are not"


class _OneThread:
    """Counts who is inside: the limit is of the whole process, and ends with the last one."""

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0
        self.limits: Any = None

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


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """One BLAS thread for all of this process while anyone is inside."""
    _one_thread.enter()
    try:
        yield
    finally:
        _one_thread.leave()
