"""`watch`: a folder of checkpoints followed while a run writes to it, by another process than the run's."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..core.checks import is_finite, path_of
from ..core.errors import InvalidInput
from ..core.options import Options
from ..results.printed import title
from ..results.record import ANALYZED, LayerRecord
from ..results.store import Store
from ..scanning.run import scan
from .checkpoints_in import Folder, Found
from .history import History
from .on_disk import OnDisk

EVERY, SETTLE = 30.0, 1.0
#: How the results of a scan that goes on after a kill end.
PART = ".part.setol"
#: Options of a scan that stand in `Options` by the same name.
SCANNED = ("randomize", "seed", "quality", "uncertainty", "device", "n_jobs")


@dataclass(frozen=True)
class Seen:
    """A checkpoint that was analysed: its step, name, the rows that came of it, and the seconds it took."""

    step: int
    name: str
    rows: tuple[dict[str, Any], ...]
    seconds: float

    def __str__(self) -> str:
        analysed = [row for row in self.rows if row["status"] == ANALYZED]
        told = [f"step {self.step}, {self.name}: {len(analysed)} layers in {self.seconds:.1f} s"]
        states: dict[str, int] = {}
        for row in analysed:
            states[row["setol_state"]] = states.get(row["setol_state"], 0) + 1
        told += [", ".join(f"{count} {state}" for state, count in states.items())] if states else []
        moved = [title(row["longname"], row["slice"]) for row in analysed if row["move"]]
        told += [f"alpha moved or leapt: {', '.join(moved[:4])}{', ...' if len(moved) > 4 else ''}"] if moved else []
        return "; ".join(told)


def watch(
    folder: str | Path,
    out: str | Path | None = None,
    *,
    every: float = EVERY,
    once: bool = False,
    settle: float = SETTLE,
    options: Options | None = None,
    tell: Callable[[Seen | str], Any] = lambda seen: None,
) -> pd.DataFrame:
    """Analyse every complete checkpoint of a folder, old and new, each once.

    A checkpoint is a file of weights or a folder of them directly in `folder`. It is complete when it has not changed
    between two looks and opens, all of its shards there. One that is written again under its name is looked at again.

    Parameters
    ----------
    folder : str or Path
    out : str or Path, optional
        Where the history goes: `.setol` with the spectra, or `.csv`, `.parquet`, `.json`, `.html`, written anew after
        each checkpoint, with the store beside it. Killed at any moment, the same call goes on: what is in it is not
        done again, and a checkpoint that was half done goes on where it was.
    every : float
        Seconds between two looks.
    once : bool
        Stop when everything that is there now is done.
    settle : float
        Seconds for which a checkpoint must rest where `once` is asked.
    options : Options, optional
        Of the analysis: `layers`, `randomize`, `quality`, `uncertainty`, `seed`, `layouts`, `n_jobs`, `device`.
    tell : callable
        Called with each `Seen`, and with a sentence for a checkpoint that cannot be read.

    Returns
    -------
    DataFrame
        The history: a row for each layer of each checkpoint. Without `once` it ends by an interrupt alone.

    Raises
    ------
    InvalidInput
        No such folder, an ending that is not accepted, or `out` holds a history made with other options.
    """
    for name, value in (("every", every), ("settle", settle)):
        if not is_finite(value) or not value > 0:
            raise InvalidInput(f"{name}={value!r} was asked; accepted is a number of seconds above 0")
    place, target = Folder(path_of("folder", folder)), None if out is None else path_of("out", out)
    kept = Kept(target, options or Options())
    told: dict[str, str] = {}
    while True:
        for found in _rested(place, settle if once else every):
            kept.take(found, tell)
        for name, reason in place.refused.items():
            if told.get(name) != reason:
                told[name] = reason
                tell(f"{name} is not read: {reason}")
        if once:
            return kept.history.frame()


def _rested(place: Folder, seconds: float) -> Iterator[Found]:
    """What is complete after a pause; the first look of all begins before it."""
    found = place.look()
    if not found:
        time.sleep(seconds)
        found = place.look()
    yield from found


class Kept:
    """The history of a folder, on disk after every checkpoint."""

    def __init__(self, target: Path | None, options: Options) -> None:
        self.target, self.options = target, options
        about = {"history_of": "checkpoints of a folder"}
        self.history = History(options, about)
        self.disk = None if target is None else OnDisk(target, options, self.history.about)
        if self.disk is not None:
            self.history = History(options, about, self.disk.records())
        self._done = {(one.identity.get("source"), one.identity.get("weights")) for one in self.history.records}

    def take(self, found: Found, tell: Callable[[Seen | str], Any]) -> None:
        """Analyse a checkpoint and keep it, unless it is there."""
        if (found.name, found.weights) in self._done:
            # A kill between the rows and the removal of their part.
            self._forget_parts(lambda weights: weights == short(found.weights))
            return
        started = time.perf_counter()
        try:
            records = self._records(found)
        except (InvalidInput, OSError) as error:
            tell(f"{found.name} is not read: {error}")
            return
        first = len(self.history.records)
        step = self._step(found)
        rows = tuple(self.history.add(step, record, found.name) for record in records)
        self._done.add((found.name, found.weights))
        if self.disk is not None:
            self.disk.add(self.history, first)
            self._forget_parts(lambda weights: True)
        tell(Seen(step, found.name, rows, time.perf_counter() - started))

    def _step(self, found: Found) -> int:
        """The step of the checkpoint; one more than the last where its name has none."""
        if found.step is not None:
            return found.step
        return 1 + max((row["step"] for row in self.history.rows), default=-1)

    def _records(self, found: Found) -> list[LayerRecord]:
        """The layers of a checkpoint; a scan that was killed goes on."""
        if self.target is None:
            with tempfile.TemporaryDirectory() as folder:
                return self._scanned(found, Path(folder) / "part.setol")
        self._forget_parts(lambda weights: weights != short(found.weights))
        return self._scanned(found, self.target.with_name(f".{self.target.name}.{short(found.weights)}{PART}"))

    def _scanned(self, found: Found, part: Path) -> list[LayerRecord]:
        told = {name: getattr(self.options, name) for name in SCANNED}
        layers = self.options.layers or None
        scan(found.path, part, layers=layers, layouts=self.options.layouts, progress=False, **told)
        with Store.read(part) as store:
            records = store.records()
        kept = [record for record in records if record.status != "skipped"]
        return [replace(one, identity={**one.identity, "weights": found.weights}) for one in kept]

    def _forget_parts(self, gone: Callable[[str], bool]) -> None:
        """Remove what killed scans have left, a part or the journal of its transaction, by the weights in its name."""
        if self.target is None:
            return
        pattern = re.compile(rf"{re.escape(f'.{self.target.name}.')}([0-9a-f]+){re.escape(PART)}(-journal)?")
        for path in self.target.parent.iterdir():
            part = pattern.fullmatch(path.name)
            if part and gone(part[1]):
                path.unlink(missing_ok=True)


def short(weights: str) -> str:
    """The weights of a checkpoint as they stand in the name of a file."""
    return weights[:16]
