"""Small layers shared out between this process and copies of it: each takes the next few as soon as it is free.

Small layers are Python for the most part, and threads have one lock for that.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import tempfile
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from ..core.forks import Fork, ForkDied, can_fork
from ..formats.places import is_url
from ..scanning.jobs import cost_of
from ..scanning.pools import FORKS_FROM
from ..weights.plan import TOGETHER, Job
from .model import Given
from .records import Record, Run
from .threads import blas_pools

logger = logging.getLogger(__name__)

# Seconds for a copy that does not work: it waits for what nobody gives back.
PATIENCE = 20.0


def may_be_weightwatchers(job: Job) -> bool:
    """True for a whole tensor that is asked for and that weightwatcher may have a row for."""
    return job.is_weightwatchers and not job.left_out


class Turns:
    """Which jobs are for this process: of batches in the order of the walk those whose numbers it draws.

    Parameters
    ----------
    batches : sequence of sequence of Job
        None of them: every job is.
    tickets : iterable of int
        Gives the next number, ascending, when it is asked; what others have drawn is not among them.

    Examples
    --------
    >>> jobs = [Job(place, "", f"{place}.weight", place, (2, 2), "float32") for place in range(4)]
    >>> turns = Turns([jobs[:2], jobs[2:3], jobs[3:]], [0, 2])
    >>> [turns.is_mine(job) for job in jobs]
    [True, True, False, True]
    """

    def __init__(self, batches: Sequence[Sequence[Job]] = (), tickets: Iterable[int] = ()) -> None:
        self.batches, self.tickets = batches, iter(tickets)
        self.number_of = {job.position: number for number, batch in enumerate(batches) for job in batch}
        self.ends = list(itertools.accumulate(map(len, batches)))
        self.mine: set[int] = set()
        self.last, self.told = -1, 0

    def is_mine(self, job: Job) -> bool:
        """Draws as far as the batch of the job: jobs are asked for in the order of the walk, some of them again."""
        if not self.batches:
            return True
        number = self.number_of[job.position]
        while self.last < number:
            self.last = next(self.tickets, len(self.batches))
            self.mine.add(self.last)
        return number in self.mine

    def groups_of(self, records: Iterable[Record], few: int) -> Iterator[list[Record]]:
        """The records of a batch at once; without batches small ones that follow each other `few` at once."""

        def kind(record: Record) -> tuple[bool, int | None]:
            job = record.job
            return (False, None) if job is None else (job.is_small, self.number_of.get(job.position))

        for (is_small, number), alike in itertools.groupby(records, kind):
            size = len(self.batches[number]) if number is not None else few if is_small else 1
            while group := list(itertools.islice(alike, size)):
                yield group

    def steps_of(self, record: Record) -> int:
        """How far the work of all is on after this record, beyond what was told before."""
        if not self.batches or record.job is None:
            return 1
        told, self.told = self.told, max(self.told, self.ends[self.number_of[record.job.position]])
        return self.told - told

    def steps_left(self) -> int:
        """How far the work of all is on after the last record, where others have done the last."""
        return self.ends[-1] - self.told if self.batches else 0


def copies_for(n_jobs: int, jobs: Sequence[Job], given: Given) -> int:
    """How many processes are to share these jobs; 1 where threads are as good, or copies of the process not safe."""
    costs = [(job.is_small, cost_of(job)) for job in jobs]
    total, small = sum(cost for _, cost in costs), sum(cost for is_small, cost in costs if is_small)
    if n_jobs == 1 or total < FORKS_FROM or 2 * small < total or not can_fork() or not _is_copied(given):
        return 1
    # With one BLAS thread alone are the numbers those of one job.
    if any(pool["num_threads"] > 1 for pool in blas_pools()):
        return 1
    return max(1, min(n_jobs, sum(not job.skipped for job in jobs)))


def _is_copied(given: Given) -> bool:
    """True where a copy of the process has the weights too: arrays and files of this machine, no open connections."""
    if given.is_on_disk:
        return not any(is_url(str(entry.file)) for entry in given.entries)
    # The entries keep what a mapping has given, which may read it from a file anew each time.
    asked = () if given.is_module else given.entries
    values = (entry.load() for entry in asked if entry.is_candidate and not entry.unfit and entry.recipe is None)
    return all(type(value).__module__.split(".")[0] in ("numpy", "torch") for value in values)


def worked_off(through: Callable[[Turns], None], run: Run, copies: int) -> None:
    """Every layer of a run, by this process and copies of it; what one that dies has begun this one does again.

    Parameters
    ----------
    through : callable
        Takes the layers whose turn it is through the steps, into the records of the run.
    run : Run
    copies : int
        Processes altogether.
    """
    batches = _in_batches(run.jobs, copies)
    forks: list[Fork] = []
    with contextlib.ExitStack() as stack:
        tickets: Iterable[int] = range(len(batches))
        try:
            tickets = stack.enter_context(_Tickets(len(batches)))
            for _ in range(copies - 1):
                forks.append(Fork(partial(_share_of_copy, through, run, batches, tickets)))
                stack.callback(forks[-1].end)
        except OSError as error:
            logger.warning("%d copies of this process can be made, not %d (%s)", len(forks), copies - 1, error)
        _, _, done = _share(through, run, batches, tickets)
        for fork in forks:
            done |= _taken(fork, run)
    left = sorted(set(range(len(batches))) - done)
    if left:
        through(Turns(batches, left))
    run.records.sort(key=_order)
    for place, record in enumerate(run.records):
        assert record.kept is not None
        record.kept = replace(record.kept, position=place)


def _share(
    through: Callable[[Turns], None], run: Run, batches: list[list[Job]], tickets: Iterable[int]
) -> tuple[list[Record], dict[int, str], set[int]]:
    """What one process has done: records, what limits leave out, and the numbers of its batches."""
    turns = Turns(batches, tickets)
    through(turns)
    return run.records, run.beyond, turns.mine


def _share_of_copy(
    through: Callable[[Turns], None], run: Run, batches: list[list[Job]], tickets: Iterable[int]
) -> tuple[list[Record], dict[int, str], set[int]]:
    # The bar of the process that was copied tells of all.
    run.progress = False
    return _share(through, run, batches, tickets)


def _taken(fork: Fork, run: Run) -> set[int]:
    """The numbers of the batches that a copy has done, its records added to those of the run."""
    try:
        records, beyond, mine = fork.answer(PATIENCE)
    except ForkDied as error:
        logger.warning("%s; its layers are analysed again", error)
        return set()
    run.records.extend(records)
    run.beyond.update(beyond)
    return mine


def _order(record: Record) -> tuple[bool, int]:
    assert record.job is not None
    return record.origin != "weightwatcher", record.job.position


def _in_batches(jobs: Sequence[Job], copies: int) -> list[list[Job]]:
    """Jobs in the order of the walk, small ones that follow each other together, fewer of them towards the end."""
    waiting = [job for job in jobs if not job.skipped]
    waiting.sort(key=lambda job: (not may_be_weightwatchers(job), job.position))
    batches: list[list[Job]] = []
    place = 0
    while place < len(waiting):
        most = min(TOGETHER, (len(waiting) - place) // (2 * copies) + 1)
        batch = list(itertools.takewhile(lambda job: job.is_small, waiting[place : place + most]))
        batches.append(batch or [waiting[place]])
        place += len(batches[-1])
    return batches


class _Tickets:
    """Numbers from 0 on, each drawn once, by whichever process comes first; nobody waits for anybody."""

    def __init__(self, count: int) -> None:
        self.count = count
        # Nothing is in it: its offset is one for all copies of the process, and moved by one of them at a time.
        self.file = tempfile.TemporaryFile()

    def __iter__(self) -> Iterator[int]:
        while (number := os.lseek(self.file.fileno(), 1, os.SEEK_CUR) - 1) < self.count:
            yield number

    def __enter__(self) -> _Tickets:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: types.TracebackType | None) -> None:
        self.file.close()
