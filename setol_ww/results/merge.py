"""One table from the records in one store or several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from ..core.checks import path_of
from ..core.errors import InvalidInput
from .export import WRITERS, export, refuse_unwritable
from .results import Results
from .store import ENDINGS, PLACE, SUFFIX, Store, is_store, store_path

# What the shards of one scan may differ in.
OF_ONE_SHARD = (*PLACE, "shard", "rows")


def merge_scans(
    results: str | Path | Iterable[str | Path], out: str | Path | None = None, *, partial: bool = False
) -> pd.DataFrame:
    """One table from the stores of shards, or from what a killed scan has left.

    Parameters
    ----------
    results : str or Path, or a sequence of them
        As `out` was given to `scan`, or the stores beside them. They stay as they are.
    out : str or Path, optional
        As for `scan`: a table by its ending, or with `.setol`, `.sqlite`, `.db` one store of them all.
    partial : bool
        Accept that rows are missing.

    Returns
    -------
    pandas.DataFrame
        The table of an unsharded scan.

    Raises
    ------
    InvalidInput
        The stores are of different checkpoints or options, one is given twice, or rows are missing.
    UnreadableCheckpoint
        A store is damaged.
    """
    target = None if out is None else path_of("out", out)
    if target is not None:
        refuse_unwritable("out", target, (*WRITERS, *ENDINGS))
    merged = merged_results(results, partial=partial)
    frame = merged.table()
    if target is not None and is_store(target):
        merged.save(target)
    elif target is not None:
        export(frame, target)
    return frame


def merged_results(results: str | Path | Iterable[str | Path], *, partial: bool = False) -> Results:
    """The results of all shards as one; errors as of `merge_scans`."""
    listed = [results] if isinstance(results, (str, Path)) or not isinstance(results, Iterable) else results
    paths = [_existing_store(path_of("results", result)) for result in listed]
    if len({path.resolve() for path in paths}) < len(paths) or not paths:
        raise InvalidInput(f"merging {list(map(str, paths))} was asked; accepted are one or more files, each once")
    stores: list[Store] = []
    try:
        for path in paths:
            stores.append(Store.read(path))
        _refuse_mixture(stores, partial)
        return Results.of_stores(stores)
    finally:
        for store in stores:
            store.close()


def _existing_store(path: Path) -> Path:
    return path if path.name.endswith(SUFFIX) else store_path(path)


def _refuse_mixture(stores: Sequence[Store], partial: bool) -> None:
    """Refuse stores that are not shards of one scan, and incomplete ones."""
    first = stores[0]
    seen: set[int] = set()
    for store in stores:
        told = {**first.about, **store.about}
        other = [what for what in told if what not in OF_ONE_SHARD and store.about.get(what) != first.about.get(what)]
        if other:
            raise InvalidInput(f"merging {first.path} and {store.path} was asked; they differ in {', '.join(other)}")
        twice = seen & store.positions()
        if twice:
            raise InvalidInput(f"merging was asked; {len(twice)} rows of {store.path} are in another file already")
        seen |= store.positions()
        missing = set(store.about.get("rows", ())) - store.positions()
        if missing and not partial:
            raise InvalidInput(f"merging was asked; {store.path} lacks {len(missing)} rows: run its scan to the end")
    shards = [store.about.get("shard") or (0, 1) for store in stores]
    counts = {count for _, count in shards}
    if len(counts) > 1:
        raise InvalidInput(f"merging was asked of shards of {sorted(counts)}; accepted are shards of one number")
    absent = sorted(set(range(max(counts))) - {number for number, _ in shards})
    if absent and not partial:
        raise InvalidInput(f"merging was asked; the shards {absent} are missing")
