"""Jobs done by this process or by a pool: finished records as they come, none lost when a worker dies.

A worker gets jobs, that is a file and the name of a tensor, never weights: one, or a few small ones. When
it dies of several each is tried alone; when it dies of one the job is tried once more by another, and given up with a
reason when that one dies too.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial
from typing import Any

from ..core.boundary import attempt
from ..formats.checkpoints import foresee_job
from ..results.record import LayerRecord
from ..weights.plan import TOGETHER, Job
from .jobs import cost_of
from .pools import Pool
from .row import Asked, given_up, work

logger = logging.getLogger(__name__)

DEATHS = 2
Work = Callable[[Sequence[Job], Asked], list[LayerRecord]]


def finished(
    jobs: Sequence[Job], asked: Asked, pool: Pool | None = None, work: Work = work
) -> Iterator[list[LayerRecord]]:
    """The records of all jobs as soon as they are there, those of a few small layers at once, the dearest jobs first.

    Parameters
    ----------
    jobs : sequence of Job
    asked : Asked
    pool : Pool, optional
        This process without one.
    work : callable
        What is done with each; to be found by name where the workers are.
    """
    waiting = deque(sorted(jobs, key=lambda job: (-cost_of(job), job.position)))
    while waiting and (pool is None or waiting[-1].skipped):
        if pool is not None:
            yield work([waiting.pop()], asked)
            continue
        group = _next_together(waiting)
        if waiting:
            # Its bytes come from the disk while these are computed.
            attempt(waiting[0].title, "not foreseen", partial(foresee_job, waiting[0]))
        yield work(group, asked)
    if pool is None:
        return
    running: dict[Any, list[Job]] = {}
    deaths: Counter[int] = Counter()
    alone: set[int] = set()
    while waiting or running:
        size = pool.size()
        while waiting and len(running) < size:
            # Every worker is to have some of what is left.
            group = _next_together(waiting, alone, len(waiting) // (2 * size))
            running[pool.submit(work, group, asked)] = group
        for handle in pool.wait(list(running)):
            group = running.pop(handle)
            try:
                done = pool.result(handle)
            except pool.death as error:
                if len(group) > 1:
                    # Which of them it died of is told by each alone.
                    logger.warning("%d layers from %s on: their worker died", len(group), group[0].title)
                    alone.update(job.position for job in group)
                    waiting.extend(group)
                    continue
                (job,) = group
                deaths[job.position] += pool.deaths(error)
                logger.warning("layer %s: its worker died (%s)", job.title, type(error).__name__)
                if deaths[job.position] < DEATHS:
                    waiting.append(job)
                    continue
                done = [given_up(job, _why(job, deaths[job.position], error))]
            yield done


def _next_together(waiting: deque[Job], alone: Container[int] = (), most: int = TOGETHER) -> list[Job]:
    """The next job, taken off, and small ones behind a small one, without those at positions in `alone`."""
    group = [waiting.popleft()]
    while waiting and len(group) < min(most, TOGETHER):
        if any(not job.is_small or job.position in alone for job in (group[-1], waiting[0])):
            break
        group.append(waiting.popleft())
    return group


def _why(job: Job, deaths: int, error: BaseException) -> str:
    """The end of a job, with what usually is behind it."""
    assert job.part is not None
    gram = 8 * min(job.part.rows, job.part.columns) ** 2
    return (
        f"given up, {deaths} workers died of it ({type(error).__name__}). Beside its weights it takes about "
        f"{2 * gram / 2**20:.0f} MiB; the next scan with the same results file tries it again"
    )
