"""A training run: several checkpoints, each held against the first, as one table of layer and step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from ..core.errors import InvalidInput
from ..core.options import Options
from ..core.printable import GridColumn, grid, terminal_width
from ..formats.steps import step_of
from ..linalg.device import check_device
from ..results.printed import number, title
from ..results.results import Results
from .comparing import compare, compared, pair_of
from .comparison import Comparison
from .difference import TUNED
from .matching import Unmatched
from .sources import source_of

MISSING = "missing"


def compare_run(
    checkpoints: Sequence[Any], steps: Sequence[float] | None = None, *, update: bool = True, **options: Any
) -> pd.DataFrame:
    """Checkpoints of one run, each compared with the first: a row for each layer and step.

    Parameters
    ----------
    checkpoints : sequence
        Two or more of what `setol_ww.compare` takes, in the order of training.
    steps : sequence of float, optional
        Their steps, rising. By default those that they say themselves or are called by, as `setol-ww watch` reads them
        (`checkpoint-500`), where these rise, else 0, 1, 2, ...
    update : bool
        As in `compare`.
    **options
        Those of `compare`.

    Returns
    -------
    DataFrame
        `step`, then the columns of `Comparison.table()`; `*_tuned` are those of the step, `*_base` those of the first,
        `update_*` of what was learned since. The first checkpoint has its rows too, with differences of zero. A layer
        that is compared at one step and not at another has a row there whose `status` is `missing`, with the reason.

    Raises
    ------
    InvalidInput
        Fewer than two checkpoints, or steps that are not one a checkpoint and rising.

    Notes
    -----
    Layer by layer: one of the first checkpoint and one of another are in memory at a time, and each layer of the first
    is read and decomposed once.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> W, D = rng.normal(size=(60, 40)), rng.normal(size=(60, 40))
    >>> frame = compare_run([{"fc.weight": W + size * D} for size in (0, 0.1, 0.2)], steps=[0, 100, 200])
    >>> frame[["step", "longname", "update_norm_share"]].round(1).values.tolist()
    [[0, 'fc', 0.0], [100, 'fc', 0.1], [200, 'fc', 0.2]]
    """
    listed = list(checkpoints)
    if len(listed) < 2:
        raise InvalidInput(f"{len(listed)} checkpoints were asked; accepted are two or more of one run")
    at = steps_of(listed, steps)
    found = list(_compared(listed, update=update, **options))
    frames = [one.table() for one in found]
    known = {title(*one): one for frame in frames for one in zip(frame["longname"], frame["slice"])}
    frames = [_with_missing(frame, comparison.unmatched_rows, known) for frame, comparison in zip(frames, found)]
    for step, frame in zip(at, frames):
        frame.insert(0, "step", step)
    return pd.concat(frames, ignore_index=True)


def _with_missing(
    frame: pd.DataFrame, unmatched: Iterable[Unmatched], known: Mapping[str, tuple[str, str]]
) -> pd.DataFrame:
    """A row with the reason for each layer of the run that this step does not have."""
    missing = [(known[one.longname], one.reason) for one in unmatched if one.longname in known]
    rows = [{"longname": name, "slice": part, "status": MISSING, "reason": why} for (name, part), why in missing]
    return pd.concat([frame, pd.DataFrame(rows)]) if rows else frame


def _compared(checkpoints: list[Any], *, update: bool, **options: Any) -> Iterable[Comparison]:
    """Each with the first, whose layers are decomposed once; of kept results nothing is."""
    told = Options().changed(**options)
    sources = [source_of(one, f"checkpoints[{place}]") for place, one in enumerate(checkpoints)]
    models = [one for one in sources if not isinstance(one, Results)]
    if len(models) < len(sources):
        return (compare(checkpoints[0], one, update=update, **options) for one in checkpoints)
    check_device(told.device)
    return compared([pair_of(models[0], one, told) for one in models], told, update=update)


def steps_of(checkpoints: Sequence[Any], steps: Sequence[float] | None = None) -> list[float]:
    """The step of each checkpoint.

    >>> steps_of(["run/checkpoint-500", "run/checkpoint-1000"]), steps_of(["a.pt", "b.pt"])
    ([500, 1000], [0, 1])
    >>> steps_of(["step=500-loss=2.31.ckpt", "step=1000-loss=2.05.ckpt"])
    [500, 1000]
    """
    if steps is not None:
        told = list(steps)
        if len(told) != len(checkpoints) or not _rises(told):
            raise InvalidInput(f"steps={told!r} was asked; accepted are {len(checkpoints)} rising numbers")
        return told
    found = [step_of(Path(one)) if isinstance(one, (str, Path)) else None for one in checkpoints]
    numbers = [one for one in found if one is not None]
    return list(numbers) if len(numbers) == len(found) and _rises(numbers) else list(range(len(found)))


def _rises(numbers: Sequence[float]) -> bool:
    return all(one < other for one, other in pairwise(numbers))


def run_text(frame: pd.DataFrame, width: int | None = None) -> str:
    """Alpha of every layer at every step."""
    room = terminal_width(width)
    frame = frame.assign(layer=[title(one, part) for one, part in zip(frame["longname"], frame["slice"])])
    layers = list(dict.fromkeys(frame["layer"]))
    columns = [GridColumn("alpha at step", layers, right=False, least=room // 3)]
    for place, (step, rows) in enumerate(frame.groupby("step")):
        found = dict(zip(rows["layer"], rows[f"tail_alpha{TUNED}"]))
        cells = [number(found.get(layer), ".2f") for layer in layers]
        columns.append(GridColumn(f"{step:g}", cells, worth=place))
    return grid(columns, room)
