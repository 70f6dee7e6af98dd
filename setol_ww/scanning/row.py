"""One row of a scan: read one part of one tensor, compute, let it go. This is what a worker does."""

from __future__ import annotations

import functools
import importlib
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ..core.arrays import EPS_FLOAT32, EPS_FLOAT64, to_numpy
from ..core.errors import UnreadableCheckpoint
from ..formats.checkpoints import SAFETENSORS, TORCH, file_tensors, tensor_named
from ..layer import columns as table
from ..layer.result import analyze_spectrum
from ..layer.weightwatcher_columns import CONV_FACTOR, FIT, NORMS, SIZES, classic_row
from ..linalg.eigenvalues import eigenvalues
from ..spectrum.esd import Spectrum
from ..spectrum.strengths import strengths_of
from ..traps.find import find_traps_of
from ..weights.plan import Job
from ..weights.tensors import WeightTensor

IDENTITY = ("longname", "slice", "layer_type", *SIZES, "dtype")
ADDED = ("tensor", "layer_id", "shape", "n_params")
VERDICT = ("status", "reason")


@dataclass(frozen=True)
class Options:
    """What a row depends on beside its weights."""

    device: str = "cpu"
    randomize: bool = False
    seed: int = 0


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
    if Path(job.file).suffix in (*SAFETENSORS, *TORCH):
        # The import that a worker begins with is not the time of its first layer.
        importlib.import_module("torch")
    started = time.perf_counter()
    with one_blas_thread():
        try:
            values, reason = _values(job, options)
        except (UnreadableCheckpoint, MemoryError) as error:
            values, reason = {}, f"layer {job.title}: not loaded, {error or type(error).__name__}"
        except np.linalg.LinAlgError as error:
            values, reason = {}, f"layer {job.title}: no spectrum, {type(error).__name__}: {error}"
    status = "failed" if reason else "analyzed"
    row = {**row, **values, "status": status, "reason": reason or job.note}
    return Done(job.position, row, time.perf_counter() - started)


def given_up(job: Job, reason: str) -> Done:
    """The row of a layer that killed its workers."""
    row = {**job.identity(), "status": "failed", "reason": f"layer {job.title}: {reason}"}
    return Done(job.position, row, 0.0, gave_up=True)


def _values(job: Job, options: Options) -> tuple[dict[str, Any], str]:
    """Everything computed, and why something is not."""
    matrices, eps = read_matrices(job)
    spectrum = pooled_spectrum(matrices, eps, options.device)
    if not np.isfinite(spectrum.raw).all():
        return {}, f"layer {job.title}: {bad_entries(matrices)}"
    result, reason = analyze_spectrum(spectrum, strengths=strengths_of(matrices)), ""
    if options.randomize:
        kernel = tuple(job.shape[2:]) if job.part is not None and job.part.kind == "kernel" else None
        try:
            result = result.with_traps(find_traps_of(matrices, seed=options.seed, kernel=kernel))
        except (np.linalg.LinAlgError, MemoryError) as error:
            reason = f"layer {job.title}: no traps, {type(error).__name__}: {error}"
    return {**classic_row(spectrum), **table.row(result, randomize=options.randomize)}, reason


def read_matrices(job: Job) -> tuple[list[Any], float]:
    """The matrices of a job as WeightWatcher scales them, and the epsilon of their entries.

    Only the job's part of the tensor is read.
    """
    assert job.part is not None
    cut = _entry(job).read(job.part.index(job.shape))
    # weightwatcher cuts torch tensors to float32: what it has a row for, has the same row here.
    if (
        hasattr(cut, "detach")
        and len(job.shape) in (2, 4)
        and job.tensor.endswith(".weight")
        and job.dtype == "float64"
    ):
        cut = cut.float()
    eps = EPS_FLOAT64 if str(cut.dtype).endswith("float64") else EPS_FLOAT32
    matrices = job.part.matrices_of_cut(cut)
    if job.part.kind == "kernel":
        matrices = [to_numpy(matrix) * CONV_FACTOR for matrix in matrices]
    return matrices, eps


def pooled_spectrum(matrices: list[Any], eps: float, device: str) -> Spectrum:
    """`Spectrum.from_slices` on a device."""
    rows, columns = matrices[0].shape
    raw = np.sort(np.concatenate([eigenvalues(matrix, device) for matrix in matrices]))
    return Spectrum(raw, max(rows, columns), min(rows, columns), len(matrices), eps)


def bad_entries(matrices: list[Any]) -> str:
    """How many entries are not finite, as words; the fault of their squares when all are."""
    arrays = [to_numpy(matrix) for matrix in matrices]
    nan, infinite = (sum(int(count(array).sum()) for array in arrays) for count in (np.isnan, np.isinf))
    size = sum(array.size for array in arrays)
    if nan or infinite:
        return f"{nan} NaN and {infinite} Inf among its {size} entries"
    return "its entries are finite but their squares are not"


def _entry(job: Job) -> WeightTensor:
    """The tensor of a job, looked up anew: a mapped file stays mapped no longer than a layer takes."""
    file = Path(job.file)
    try:
        stat = file.stat()
    except OSError as error:
        raise UnreadableCheckpoint(f"{file}: {error}") from error
    if file.suffix in TORCH and not zipfile.is_zipfile(file):
        return _kept(file, job.tensor, stat.st_mtime_ns)
    return tensor_named(file, job.tensor)


@functools.lru_cache(maxsize=1)
def _whole(file: Path, mtime_ns: int) -> dict[str, WeightTensor]:
    """Torch's old format cannot be mapped; the file read last stays, so that it is not read for every layer."""
    return {entry.name: entry for entry in file_tensors(file)}


def _kept(file: Path, name: str, mtime_ns: int) -> WeightTensor:
    entries = _whole(file, mtime_ns)
    if name not in entries:
        raise UnreadableCheckpoint(f"{file}: {name!r} is not in it any more")
    return entries[name]


def forget() -> None:
    """Let go of a file that was kept."""
    _whole.cache_clear()


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
