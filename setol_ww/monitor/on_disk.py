"""A history on disk: what is new is added while the run goes on, so that a run that is killed leaves it behind."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.boundary import attempt
from ..core.options import Options
from ..core.whole_file import written_whole
from ..results.export import WRITERS, export, refuse_unwritable
from ..results.record import LayerRecord
from ..results.results import notes_of
from ..results.store import ENDINGS, Store, is_store, store_path
from .history import FORM, History

logger = logging.getLogger(__name__)

#: Writing takes at most this share of the time, but for what is asked for (`due=True`).
SHARE = 0.02


@dataclass(frozen=True)
class OnDisk:
    """The store of a history, and the table that is asked for, where it is another file.

    Attributes
    ----------
    target : Path
        `.setol` with the spectra; of another ending a table, with the store beside it.
    options : Options
    about : mapping
        Whose history it is: a file of another's is refused.
    """

    target: Path
    options: Options
    about: Mapping[str, Any] = field(repr=False)

    def __post_init__(self) -> None:
        refuse_unwritable("out", self.target, (*WRITERS, *ENDINGS))

    @property
    def store(self) -> Path:
        """Where the rows and their spectra lie."""
        return store_path(self.target)

    def records(self) -> list[LayerRecord]:
        """What is there.

        Raises
        ------
        InvalidInput
            It is the history of another run or of other options, or another process writes to it.
        UnreadableCheckpoint
            It is damaged.
        """
        with self._opened(self.store) as store:
            return store.records()

    def add(self, history: History, start: int) -> None:
        """The rows from `start` on, and the table anew."""
        with self._opened(self.store) as store:
            store.add_all(history.records[start:])
        self._export(history)

    def only(self, history: History) -> None:
        """These rows in the place of what is there."""
        with written_whole(self.store) as part, self._opened(part) as store:
            store.add_all(history.records)
        self._export(history)

    def _opened(self, path: Path) -> Store:
        return Store.open(path, dict(self.about), notes_of(self.options, FORM))

    def _export(self, history: History) -> None:
        if not is_store(self.target):
            export(history.frame(), self.target)


class Keeper:
    """Adds the rows of a running history to its file; what cannot be written is said, and tried again.

    Parameters
    ----------
    disk : OnDisk
    clock : callable
        Seconds, never going back.
    """

    def __init__(self, disk: OnDisk, clock: Callable[[], float] = time.perf_counter) -> None:
        self.disk, self.clock = disk, clock
        self.refused = ""
        self._there: list[LayerRecord] | None = disk.records()
        self._written = 0
        self._next = clock()

    def begin(self, step: int, options: Options, about: Mapping[str, Any]) -> History:
        """The history that a run goes on with which does `step` first: what is kept of the steps before."""
        there = self._there or []
        history = History(options, about, [one for one in there if one.identity.get("step", step) < step])
        self._there, self._written = None, len(history.records)
        if self._written < len(there):
            self._try(lambda: self.disk.only(history))
        return history

    def keep(self, history: History, *, due: bool = False) -> None:
        """Write what is new, where the time since the last writing allows it or it is due."""
        number, started = len(history.records), self.clock()
        if number == self._written or not (due or started >= self._next):
            return
        if self._try(lambda: self.disk.add(history, self._written)):
            self._written = number
        ended = self.clock()
        self._next = ended + (ended - started) / SHARE

    def __str__(self) -> str:
        refused = f"; the last rows are not: {self.refused}" if self.refused else ""
        return f"{self._written} rows are in {self.disk.target}{refused}"

    def _try(self, write: Callable[[], None]) -> bool:
        """Whether it could be written; training goes on in any case."""
        reason = attempt("of the history", f"{self.disk.target} not written", write).reason
        if reason and reason != self.refused:
            logger.warning("%s; training goes on, and it is tried again", reason)
        self.refused = reason
        return not reason
