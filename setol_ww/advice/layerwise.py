"""The work of a comparison, layer by layer: each layer of a base is read and decomposed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from ..core.arrays import as_matrix
from ..core.boundary import attempt
from ..core.options import Options
from ..core.plain import as_computed
from ..core.progress import progress_bar
from ..linalg.decomposed import Decomposed
from ..results.record import ANALYZED, FAILED, LayerRecord
from ..scanning.pools import number_of_jobs
from ..scanning.row import NOT_LOADED, concluded, measured, one_blas_thread, scale_of
from ..weights.plan import Job
from ..weights.tensors import WeightTensor
from .matching import Match
from .update import Side, Update, pooled, update_of


@dataclass(frozen=True)
class Row:
    """One layer of both models, and what is to be said of it."""

    base: LayerRecord
    tuned: LayerRecord
    update: Update
    note: str


@dataclass(frozen=True, eq=False)
class Looked:
    """One layer of one model: its record, and what an update needs of it; None where it failed."""

    record: LayerRecord
    side: Side | None


def rows_of(matchings: Sequence[Sequence[Match]], options: Options, *, update: bool) -> list[list[Row]]:
    """The rows of several comparisons, in their order.

    What they have in common, the same part of the same tensor of their bases, is looked at once; two parts are in
    memory at a time.
    """
    groups: dict[Any, list[tuple[int, int, Match]]] = {}
    for number, matches in enumerate(matchings):
        for place, match in enumerate(matches):
            groups.setdefault((id(match.tensors[0]), match.jobs[0].tensor, match.jobs[0].part), []).append(
                (number, place, match)
            )

    def work(group: list[tuple[int, int, Match]]) -> list[tuple[int, int, Row]]:
        match = group[0][2]
        base = looked_at(match.jobs[0], match.tensors[0], options)
        return [(number, place, _row(base, one, options, update)) for number, place, one in group]

    found: list[list[Any]] = [[None] * len(matches) for matches in matchings]
    for done in worked(list(groups.values()), options, work):
        for number, place, row in done:
            found[number][place] = row
    return found


def _row(base: Looked, match: Match, options: Options, update: bool) -> Row:
    """Look at the other part, and at the difference."""
    job, tensor = match.jobs[1], match.tensors[1]
    tuned = base if tensor is match.tensors[0] else looked_at(job, tensor, options)
    found = Update()
    if update and base.side is not None and tuned.side is not None:
        sides = base.side, tuned.side
        tried = attempt(match.jobs[0].title, "no update", lambda: update_of(*sides, device=options.device))
        found = tried.value or Update(update_reason=tried.reason)
    return Row(base.record, tuned.record, found, match.note)


def looked_at(job: Job, tensor: WeightTensor, options: Options) -> Looked:
    """Read one layer and analyse it."""
    blank = LayerRecord(job.position, job.identity(), reason=job.note)
    read = attempt(job.title, NOT_LOADED, lambda: _matrices(job, tensor))
    if read.value is None:
        return Looked(replace(blank, status=FAILED, reason=read.reason), None)
    assert job.part is not None
    matrices, scale = read.value, scale_of(job.part)
    parts: list[Decomposed] = []

    def spectrum() -> Any:
        parts.extend(Decomposed(as_matrix(matrix), options.device) for matrix in matrices)
        return pooled(parts)

    begun = measured(blank, job, matrices, scale, options, spectrum)
    ((record, reason),) = concluded([begun], options)
    record = replace(record, status=FAILED if reason else ANALYZED, reason=reason or job.note)
    if record.spectrum is None or reason:
        return Looked(record, None)
    return Looked(record, Side(parts, job.dtype, record.spectrum, scale))


def _matrices(job: Job, tensor: WeightTensor) -> list[Any]:
    assert job.part is not None
    return job.part.matrices_of_cut(as_computed(tensor.read(job.part.index(tensor.shape))))


def worked(items: Sequence[Any], options: Options, work: Callable[[Any], Any]) -> Iterator[Any]:
    """What `work` makes of each, in order, by threads where they were asked; with a bar."""
    with ExitStack() as stack:
        stack.enter_context(one_blas_thread())
        bar = stack.enter_context(progress_bar(len(items), "layers", options.progress))
        done: Iterable[Any] = map(work, items)
        if options.n_jobs != 1:
            pool = ThreadPoolExecutor(number_of_jobs(options.n_jobs))
            stack.callback(pool.shutdown)
            done = pool.map(work, items)
        for one in done:
            yield one
            bar.update()
