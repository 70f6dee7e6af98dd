"""`compare`: two models layer by layer, two parts of tensors in memory at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from tqdm import tqdm

from ..core.boundary import attempt
from ..core.errors import InvalidInput
from ..core.options import Options
from ..core.plain import as_computed
from ..linalg.device import check_device
from ..results.record import ANALYZED, FAILED, SKIPPED, LayerRecord
from ..results.results import Results
from ..scanning.pools import number_of_jobs
from ..scanning.row import FORM, NOT_LOADED, computed, one_blas_thread, scale_of
from ..weights.plan import Job, plan
from ..weights.tensors import WeightTensor
from .comparison import Comparison
from .kept import aligned, settled
from .matching import Match, Matching, Unmatched, matched
from .sources import Source, applied, is_update, source_of
from .update import Side, Update, lone_update, update_of


def compare(base: Any, tuned: Any, *, update: bool = True, **options: Any) -> Comparison:
    """What changed between two models, layer by layer, with errors.

    Parameters
    ----------
    base, tuned
        Each a `torch.nn.Module`, a mapping of names to tensors, a matrix, a path or URL of a checkpoint, or kept
        results (`Results`, a `.setol` file). A PEFT or LyCORIS adapter beside a model is that model with the adapter in
        it; with `base=None` it is looked at by itself.
    update : bool
        Whether the update `tuned - base` is decomposed too, which takes five to six times as long as the columns of
        both; results alone have none.
    **options
        Those of `setol_ww.Options` (`layers`, `uncertainty`, `randomize`, ...), for both models. `n_jobs` threads have
        two parts in memory each. Of two kept results: `detX`, `quality`, `uncertainty` and `seed`.

    Returns
    -------
    Comparison
        `.table()` with the columns of both (`*_base`, `*_tuned`), their differences `d_*` = tuned - base, errors
        `d_*_error` (half the 90 % interval), `d_*_beyond`, and `update_*`; `.summary()`, `.unmatched`, `.report(path)`.

    Raises
    ------
    InvalidInput
        A source or an option is not accepted, or no layer of one model has its name in the other.
    UnreadableCheckpoint
        A file is damaged, or changed while it was read.

    Notes
    -----
    Layers are matched by name (`advice.pairing`); the columns of either model are those of `scan`. A layer that cannot
    be compared is in `.unmatched` with the reason, one whose weights are not finite has a row that failed.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> base = {"fc.weight": rng.normal(size=(60, 40))}
    >>> tuned = {"module.fc.weight": base["fc.weight"] + np.outer(np.ones(60), np.ones(40)) / 40}
    >>> table = compare(base, tuned).table()
    >>> table[["longname", "update_rank", "d_erg_rank", "state_change"]].values.tolist()
    [['fc', 1.0, 0.0, '']]
    """
    told = Options().changed(**options)
    check_device(told.device)
    second = source_of(tuned, "tuned")
    if base is None:
        return _alone(second, told)
    first = source_of(base, "base")
    if isinstance(first, Results) or isinstance(second, Results):
        return _of_results(first, second, told, options)
    first, second, partial = _with_adapters(first, second)
    found = matched(first, second, told.layers or None, told.layouts, partial=partial)
    if not found.matches:
        raise InvalidInput(_nothing_shared(first, second, found))
    rows = list(_worked(found.matches, told, lambda match: _row(match, told, update)))
    return Comparison(
        base=_results((row.base for row in rows), told, first),
        tuned=_results((row.tuned for row in rows), told, second),
        updates=tuple(row.update for row in rows) if update else (),
        notes=tuple(row.note for row in rows),
        unmatched_rows=tuple(found.unmatched),
        remarks=found.remarks,
        names=(first.described, second.described),
    )


@dataclass(frozen=True)
class _Row:
    """One layer of both models, and what is to be said of it."""

    base: LayerRecord
    tuned: LayerRecord
    update: Update
    note: str


def _with_adapters(first: Source, second: Source) -> tuple[Source, Source, bool]:
    """An adapter beside a model becomes that model with the adapter in it; whether one of them is."""
    if second.is_adapter and not first.is_adapter:
        return first, applied(second, first), True
    if first.is_adapter and not second.is_adapter:
        return applied(first, second), second, True
    return first, second, False


def _results(records: Iterable[LayerRecord], options: Options, source: Source) -> Results:
    placed = [replace(record, position=place) for place, record in enumerate(records)]
    return Results.from_records(placed, options, {"path": source.described}, form=FORM)


def _row(match: Match, options: Options, update: bool) -> _Row:
    """Read both parts, analyse them, and their difference."""
    job, other = match.jobs
    mine, theirs = _side(job, match.tensors[0], options), _side(other, match.tensors[1], options)
    found = Update()
    if update and mine[1] is not None and theirs[1] is not None:
        sides = mine[1], theirs[1]
        tried = attempt(job.title, "no update", lambda: update_of(*sides, device=options.device))
        found = tried.value or Update(update_reason=tried.reason)
    return _Row(mine[0], theirs[0], found, match.note)


def _side(job: Job, tensor: WeightTensor, options: Options) -> tuple[LayerRecord, Side | None]:
    """The record of one layer, and what its update needs of it; None where it failed."""
    read = attempt(job.title, NOT_LOADED, lambda: _matrices(job, tensor))
    record = _record(job, read.value, read.reason, options)
    if read.value is None or record.spectrum is None or record.status != ANALYZED:
        return record, None
    return record, Side(read.value, job.dtype, record.spectrum, _scale(job))


def _matrices(job: Job, tensor: WeightTensor) -> list[Any]:
    assert job.part is not None
    return job.part.matrices_of_cut(as_computed(tensor.read(job.part.index(tensor.shape))))


def _scale(job: Job) -> float:
    return 1.0 if job.part is None else scale_of(job.part)


def _record(job: Job, matrices: list[Any] | None, reason: str, options: Options) -> LayerRecord:
    record = LayerRecord(job.position, job.identity(), reason=job.note)
    if matrices is None:
        return replace(record, status=FAILED, reason=reason)
    record, reason = computed(record, job, matrices, _scale(job), options)
    return replace(record, status=FAILED if reason else ANALYZED, reason=reason or job.note)


def _worked(items: Sequence[Any], options: Options, work: Callable[[Any], Any]) -> Iterator[Any]:
    """What `work` makes of each, in order, by threads where they were asked; with a bar."""
    disable = None if options.progress is None else not options.progress
    with ExitStack() as stack:
        stack.enter_context(one_blas_thread())
        bar = stack.enter_context(tqdm(total=len(items), desc="layers", disable=disable, file=sys.stderr))
        done: Iterable[Any] = map(work, items)
        if options.n_jobs != 1:
            pool = ThreadPoolExecutor(number_of_jobs(options.n_jobs))
            stack.callback(pool.shutdown, cancel_futures=True)
            done = pool.map(work, items)
        for one in done:
            yield one
            bar.update()


def _alone(source: Source | Results, options: Options) -> Comparison:
    """An adapter without its base."""
    if isinstance(source, Results) or not source.is_adapter:
        raise InvalidInput(
            "one model was asked by itself (base=None); accepted is an adapter, whose update is looked at by itself, "
            "or two models"
        )
    by_name = {tensor.name: tensor for tensor in source.tensors}
    jobs = [job for job in plan(source.tensors, options.layers or None, options.layouts, config=source.config)]
    mine = [job for job in jobs if not job.skipped and is_update(by_name[job.tensor])]
    left = [job for job in jobs if job.part is None and not by_name[job.tensor].same_as]

    def worked(job: Job) -> _Row:
        record, side = _side(job, by_name[job.tensor], options)
        return _Row(record, record, Update() if side is None else lone_update(side), job.note)

    rows = list(_worked(mine, options, worked))
    return Comparison(
        base=None,
        tuned=_results((row.tuned for row in rows), options, source),
        updates=tuple(row.update for row in rows),
        notes=tuple(row.note for row in rows),
        unmatched_rows=tuple(Unmatched(job.title, "tuned", " x ".join(map(str, job.shape)), job.note) for job in left),
        remarks=(),
        names=("", source.described),
    )


def _of_results(
    first: Source | Results, second: Source | Results, options: Options, asked: dict[str, Any]
) -> Comparison:
    """Kept results on one side or both: spectra alone, no update."""
    if isinstance(first, Results) and isinstance(second, Results):
        first, second = (settled(one, asked) for one in (first, second))
    names = tuple(_told(one) for one in (first, second))
    sides = [one if isinstance(one, Results) else _examined(one, options) for one in (first, second)]
    base, tuned, unmatched, remarks = aligned(*sides)
    if not len(base):
        raise InvalidInput(f"comparing {names[0]} with {names[1]} was asked; they have no layer of one name and size")
    return Comparison(base, tuned, (), tuple("" for _ in base.records), unmatched, remarks, (names[0], names[1]))


def _told(side: Source | Results) -> str:
    return str(side.about.get("path") or "kept results") if isinstance(side, Results) else side.described


def _examined(source: Source, options: Options) -> Results:
    """The results of one model alone."""
    by_name = {tensor.name: tensor for tensor in source.tensors}
    jobs = plan(source.tensors, options.layers or None, options.layouts, config=source.config)
    done = _worked(jobs, options, lambda job: _examined_row(job, by_name[job.tensor], options))
    return _results(done, options, source)


def _examined_row(job: Job, tensor: WeightTensor, options: Options) -> LayerRecord:
    if job.part is None or job.skipped:
        return LayerRecord(job.position, job.identity(), status=SKIPPED, reason=job.note)
    return _side(job, tensor, options)[0]


def _nothing_shared(first: Source, second: Source, found: Matching) -> str:
    """Why there is nothing to compare."""
    some = [", ".join([one.name for one in side.tensors if one.is_candidate][:3]) for side in (first, second)]
    why = "; ".join(f"{one.longname}: {one.reason}" for one in found.unmatched[:3])
    return (
        f"comparing {first.described} with {second.described} was asked; no layer of one can be held against one of "
        f"the other ({why}). The first has {some[0]}, ..., the second {some[1]}, ...; accepted are two versions of one "
        "model"
    )
