"""`compare`: two models layer by layer, two parts of tensors in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.errors import InvalidInput
from ..core.options import Options
from ..linalg.device import check_device
from ..results.record import SKIPPED, LayerRecord
from ..results.results import Results
from ..scanning.row import FORM
from ..weights.plan import Job, plan
from ..weights.tensors import WeightTensor
from .comparison import Comparison
from .kept import aligned, settled
from .layerwise import Row, looked_at, rows_of, worked
from .matching import Matching, Unmatched, matched
from .sources import Source, applied, is_update, source_of
from .update import Update, lone_update


def compare(base: Any, tuned: Any, *, update: bool = True, **options: Any) -> Comparison:
    """What changed between two models, layer by layer, with errors.

    Parameters
    ----------
    base, tuned
        Each a `torch.nn.Module`, a mapping of names to tensors, a matrix, a path or URL of a checkpoint, or kept
        results (`Results`, a `.setol` file). A PEFT or LyCORIS adapter beside a model is that model with the adapter in
        it; with `base=None` it is looked at by itself.
    update : bool
        Whether the update `tuned - base` is decomposed too, which takes two to five times as long as the columns of
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
    (found,) = compared([pair_of(first, second, told)], told, update=update)
    return found


@dataclass(frozen=True)
class Pair:
    """Two models, and what of one is what of the other."""

    base: Source
    tuned: Source
    found: Matching


def pair_of(base: Source, tuned: Source, options: Options) -> Pair:
    """Two models matched; `InvalidInput` where nothing of one is in the other."""
    base, tuned, partial = _with_adapters(base, tuned)
    found = matched(base, tuned, options.layers or None, options.layouts, partial=partial)
    if not found.matches:
        raise InvalidInput(_nothing_shared(base, tuned, found))
    return Pair(base, tuned, found)


def compared(pairs: Sequence[Pair], options: Options, *, update: bool) -> list[Comparison]:
    """The comparison of each pair; what they have in common is looked at once."""
    listed = rows_of([pair.found.matches for pair in pairs], options, update=update)
    return [
        Comparison(
            base=_results((row.base for row in rows), options, pair.base),
            tuned=_results((row.tuned for row in rows), options, pair.tuned),
            updates=tuple(row.update for row in rows) if update else (),
            notes=tuple(row.note for row in rows),
            unmatched_rows=tuple(pair.found.unmatched),
            remarks=pair.found.remarks,
            names=(pair.base.described, pair.tuned.described),
        )
        for pair, rows in zip(pairs, listed)
    ]


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

    def work(job: Job) -> Row:
        found = looked_at(job, by_name[job.tensor], options)
        return Row(found.record, found.record, Update() if found.side is None else lone_update(found.side), job.note)

    rows = list(worked(mine, options, work))
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
    done = worked(jobs, options, lambda job: _examined_row(job, by_name[job.tensor], options))
    return _results(done, options, source)


def _examined_row(job: Job, tensor: WeightTensor, options: Options) -> LayerRecord:
    if job.part is None or job.skipped:
        return LayerRecord(job.position, job.identity(), status=SKIPPED, reason=job.note)
    return looked_at(job, tensor, options).record


def _nothing_shared(first: Source, second: Source, found: Matching) -> str:
    """Why there is nothing to compare."""
    some = [", ".join([one.name for one in side.tensors if one.is_candidate][:3]) for side in (first, second)]
    why = "; ".join(f"{one.longname}: {one.reason}" for one in found.unmatched[:3])
    return (
        f"comparing {first.described} with {second.described} was asked; no layer of one can be held against one of "
        f"the other ({why}). The first has {some[0]}, ..., the second {some[1]}, ...; accepted are two versions of one "
        "model"
    )
