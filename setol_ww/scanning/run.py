"""`scan`: a checkpoint of any size, one tensor at a time, resumable, in shards, on several workers.

| file | what it does |
|---|---|
| `jobs` | what there is to do: the plan of a checkpoint, and which of it a shard has |
| `row` | one row: read one part of one tensor, compute, let it go |
| `pools`, `dispatch` | who does it: this process, local processes, Dask, Ray; and what happens when one dies |
| `cost` | shards of equal work, and the estimate of the time |
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pandas as pd

from .. import __version__
from ..core.checks import path_of
from ..core.errors import ChangedCheckpoint, InvalidInput
from ..core.options import Options, layouts_of
from ..core.progress import progress_bar
from ..formats.checkpoints import checkpoint_files, checkpoint_fingerprint
from ..formats.folder import config_of
from ..formats.places import Place, is_url, place_of
from ..formats.reader import forget
from ..linalg.device import check_device
from ..results.export import WRITERS, export, refuse_unwritable
from ..results.record import LayerRecord
from ..results.results import Results, notes_of, table_with_coverage
from ..results.store import ENDINGS, Store, is_store, store_path
from ..weights.plan import Job
from .cost import Pace, in_words
from .dispatch import finished
from .jobs import cost_of, jobs_of, shard_of
from .pools import pool_maker
from .row import FORM, Asked, load_libraries, may_pass, one_blas_thread

BAR = "{percentage:3.0f}%|{bar}| {desc}"


def scan(
    path: str | Path,
    out: str | Path | None = None,
    *,
    resume: bool = True,
    shard: tuple[int, int] | None = None,
    n_jobs: int = 1,
    device: str = "cpu",
    layers: Sequence[str | int] | str | int | None = None,
    randomize: bool = False,
    seed: int = 0,
    detX: bool = True,
    quality: bool = True,
    uncertainty: int = 0,
    farms: bool = False,
    layouts: Mapping[str, str] | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Analyse a checkpoint larger than memory: one tensor resident, results kept as they come.

    Parameters
    ----------
    path : str or Path
        `.safetensors`, `.pt`, `.pth`, `.th`, `.bin`, `.ckpt`, `.npz`, `.npy`, or a directory of these; or a URL of
        one (`hf://org/model[@revision]`, `https://`, `s3://`, ...), read by ranges of bytes, none of it kept.
    out : str or Path, optional
        Where the table goes: `.csv`, `.parquet`, `.json`, `.html`, written whole at the end, with a store of the
        finished rows beside it meanwhile (`layers.csv.setol.sqlite`); or `.setol` (or `.sqlite`, `.db`), the store
        alone, which `open_results` opens. The
        store beside a finished table is removed, unless it is a shard (`merge_scans` needs it) or a layer's worker
        died (the same call tries that layer again).
    resume : bool
        Go on where a run with the same weights and options was killed, wherever they lie; False starts anew.
    shard : (int, int), optional
        `(i, n)`: only the i-th of n shards of equal work, i from 0. Each needs its own `out`.
    n_jobs : int
        Local workers, largest layers first; -1 for every core: processes, where one core would be done in seconds
        copies of this one (threads without Linux), and threads for what is done at once, is read over the network or
        is a device's. Each holds a tensor and its Gram matrix and works with one BLAS thread,
        so that the numbers do not depend on `n_jobs`. Within
        `joblib.parallel_config(backend="dask")` (or ray) the backend's workers do it.
    device : str
        `cpu`, or `cuda` where torch sees a GPU: spectra in float64 there.
    layers : sequence of str or int, optional
        Only these: names, patterns (`model.layers.3.*`), types (`dense`, `conv2d`, ...), or layer ids; negative ids
        leave out. The others are rows with status `skipped`.
    randomize : bool
        Add the columns of correlation traps: about doubles the time.
    seed : int
        Seed of the shuffles, the same for every layer, as in `analyze`.
    detX : bool
        The columns of the ERG condition and the state of a layer.
    quality : bool
        The quality columns `q2*` and `kappa1` to `kappa5`.
    uncertainty : int
        Number of resamplings of each spectrum for the errors of its numbers; 0 leaves them out.
    farms : bool
        Add `farms_*`, the exponent of square windows of each matrix, as `analyze` does.
    layouts : mapping of str to str, optional
        What is in a tensor, by its name or a pattern: `{"*.qkv_proj.weight": "qkv:64,32,32"}`.
    progress : bool, optional
        A bar with an estimate of the time, weighted by the cubic cost of each layer; by default only on a terminal.

    Returns
    -------
    pandas.DataFrame
        A row for every tensor of two or more dimensions and each of its slices, in the order of the file: identity,
        WeightWatcher's fit and norms by its definitions, our columns, `status` (`analyzed`, `skipped`, `failed`) and
        `reason`. `attrs["coverage"]` lists what became of every tensor, as that of `analyze` does.

    Raises
    ------
    InvalidInput
        An option, an ending or a folder is not accepted, before any work; the store belongs to something else or
        another process is writing to it.
    UnreadableCheckpoint
        A file is truncated, corrupt, missing, or not plain weights, or it changed while it was scanned. What was
        finished before stays in the store.
    OSError
        The disk is full. What was finished stays in the store.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/fc.npy", np.random.default_rng(0).normal(size=(60, 40)))
    ...     frame = scan(f"{folder}/fc.npy")
    >>> frame[["longname", "N", "M", "erg_rank", "status"]].values.tolist()
    [['fc', 60, 40, 31, 'analyzed']]
    """
    source = place_of(path)
    options = Options(
        layers=layers,
        randomize=randomize,
        seed=seed,
        detX=detX,
        quality=quality,
        uncertainty=uncertainty,
        farms=farms,
        device=device,
        n_jobs=n_jobs,
        layouts=layouts_of(layouts),
        progress=progress,
    )
    check_device(device)
    pool_maker(n_jobs)
    part, target = _checked_shard(shard), _target(out)
    weights, by_file = checkpoint_fingerprint(source)
    jobs = jobs_of(source, options.layers or None, options.layouts)
    mine = shard_of(jobs, part)
    # WeightWatcher numbers the tensors of a directory otherwise than those of a file.
    first_id = min((job.layer_id for job in jobs), default=0)
    if checkpoint_fingerprint(source)[0] != weights:
        raise ChangedCheckpoint(f"{source}: it changed while it was opened. Begin anew when it is written")
    about = {**_about(source, options, part, mine), "weights": weights, "first_id": first_id}
    asked = Asked(options, by_file)
    if target is None:
        records: list[LayerRecord] = []
        _work_off(mine, set(), asked, records.extend)
        records.sort(key=lambda record: record.position)
        return table_with_coverage(Results.from_records(records, options, about, form=FORM))
    with Store.open(store_path(target), about, notes_of(options, FORM), resume=resume) as store:
        store.forget(record.position for record in store.records() if may_pass(record))
        store.count_layers_anew({job.position: job.layer_id for job in mine})
        _work_off(mine, store.positions(), asked, store.add_all)
        frame = table_with_coverage(Results.of_store(store))
        if not is_store(target):
            export(frame, target)
            if part is None and not store.gave_up:
                store.remove()
    return frame


def _work_off(jobs: list[Job], there: set[int], asked: Asked, keep: Callable[[list[LayerRecord]], None]) -> None:
    """Every job whose row is not `there` yet, each row kept as it comes."""
    left = {job.position: job for job in jobs if job.position not in there}
    is_remote = any(map(is_url, asked.fingerprints))
    make = pool_maker(asked.options.n_jobs, asked.options.device, is_remote=is_remote)
    heavy = sum(not job.skipped for job in left.values())
    pool = make(heavy, sum(map(cost_of, left.values()))) if make is not None and heavy else None
    is_here = pool is None or pool.is_here
    if is_here:
        # Every library of threads is there before they are limited or copied, once for all layers.
        load_libraries(left.values())
    try:
        workers = pool.size() if pool else 1
        with (
            one_blas_thread() if is_here else nullcontext(),
            _bar(jobs, there, workers, asked.options.progress) as advance,
        ):
            for done in finished(list(left.values()), asked, pool):
                keep(done)
                for record in done:
                    advance(left[record.position], record.seconds)
    finally:
        forget()
        if pool is not None:
            pool.close()


@contextmanager
def _bar(
    jobs: list[Job], there: set[int], workers: int, progress: bool | None
) -> Iterator[Callable[[Job, float], None]]:
    """A bar over work units; the function it gives moves it on by a finished job."""
    costly = [job for job in jobs if cost_of(job)]
    left = sum(cost_of(job) for job in costly if job.position not in there)
    number = sum(job.position in there for job in costly)
    pace = Pace()
    total = sum(cost_of(job) for job in costly)
    with progress_bar(total, "layers", progress, form=BAR, initial=total - left) as bar:

        def show() -> None:
            estimate = in_words(pace.estimate(left, min(workers, len(costly) - number) or 1))
            bar.tell(f"{number} of {len(costly)} layers, about {estimate} left")

        def advance(job: Job, seconds: float) -> None:
            nonlocal left, number
            if not cost_of(job) or bar.disable:
                return
            left, number = left - cost_of(job), number + 1
            if seconds:
                pace.learn(cost_of(job), seconds)
            bar.update(cost_of(job))
            show()

        if not bar.disable:
            pace.probe()
            show()
        yield advance


def _about(path: Place, options: Options, shard: tuple[int, int] | None, jobs: list[Job]) -> dict[str, Any]:
    """What rows belong to: they go on only with the same."""
    files = [(file.name, file.stat()) for file in checkpoint_files(path)]
    return {
        "version": __version__,
        "path": str(path.resolve()),
        "files": [[name, stat.st_size, stat.st_mtime_ns] for name, stat in files],
        **options.key(),
        "config": config_of(path),
        "shard": None if shard is None else list(shard),
        "rows": [job.position for job in jobs],
    }


def _checked_shard(shard: Any) -> tuple[int, int] | None:
    if shard is None:
        return None
    try:
        number, count = (operator.index(value) for value in shard)
    except (TypeError, ValueError):
        number, count = 0, 0
    if not 0 <= number < count:
        raise InvalidInput(f"shard={shard!r} was asked; accepted is a pair (i, n) of integers with 0 <= i < n")
    return number, count


def _target(out: str | Path | None) -> Path | None:
    if out is None:
        return None
    target = path_of("out", out)
    refuse_unwritable("out", target, (*WRITERS, *ENDINGS))
    return target
