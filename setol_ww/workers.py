"""Jobs on one process, on several, or on whatever joblib backend is active (Dask, Ray): finished rows as they come.

A worker gets a job, that is a file and the name of a tensor, never weights. One that dies does not take a row with
it: the job is tried once more, elsewhere, and given up with a reason when that worker dies too.
"""

from __future__ import annotations

import itertools
import logging
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from .contracts import InvalidInput
from .jobs import Job
from .rows import Done, Options, given_up, work

logger = logging.getLogger(__name__)

DEATHS_ALLOWED = 2
Work = Callable[[Job, Options], Done]


def finished(jobs: Sequence[Job], options: Options, n_jobs: int = 1, work: Work = work) -> Iterator[Done]:
    """The rows of all jobs, each as soon as it is there, the dearest jobs begun first.

    Parameters
    ----------
    jobs : sequence of Job
    options : Options
    n_jobs : int
        Workers, negative as in joblib (-1: one for every core). 1 is this process, unless a joblib backend is active
        (`with joblib.parallel_config(backend="dask")`), which then does the work.
    work : callable
        What is done with each; to be found by name where the workers are.

    Raises
    ------
    InvalidInput
        n_jobs is 0 or no integer.
    """
    ordered = sorted(jobs, key=lambda job: (-job.cost, job.position))
    backend, number = chosen_backend(n_jobs)
    if backend is not None:
        yield from _through_backend(ordered, options, work, number)
    elif number == 1 or len(ordered) < 2:
        for job in ordered:
            yield work(job, options)
    else:
        yield from _in_processes(ordered, options, work, min(number, len(ordered)))


def chosen_backend(n_jobs: int) -> tuple[Any, int]:
    """The joblib backend to use, None for our own local processes, and how many workers."""
    import joblib
    from joblib.parallel import LokyBackend, SequentialBackend, get_active_backend

    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
        raise InvalidInput(f"n_jobs={n_jobs!r} was asked; accepted is an integer other than 0, -1 for every core")
    backend, configured = get_active_backend()
    if n_jobs == 1 and isinstance(configured, int):
        n_jobs = configured
    if isinstance(backend, SequentialBackend):
        return None, 1
    if isinstance(backend, LokyBackend):
        return None, n_jobs if n_jobs > 0 else joblib.effective_n_jobs(n_jobs)
    return backend, n_jobs


def number_of_workers(n_jobs: int) -> int:
    """How many workers that makes."""
    import joblib

    backend, number = chosen_backend(n_jobs)
    return number if backend is None else max(1, joblib.effective_n_jobs(-1 if number == 1 else number))


def _in_processes(jobs: Sequence[Job], options: Options, work: Work, number: int) -> Iterator[Done]:
    """Local processes by joblib's loky, an executor of one process each: whose process dies is known exactly."""
    from joblib.externals.loky.process_executor import ProcessPoolExecutor

    waiting = deque(jobs)
    deaths: dict[int, int] = {}
    idle = [ProcessPoolExecutor(max_workers=1) for _ in range(number)]
    running: dict[Future, tuple[Job, ProcessPoolExecutor]] = {}
    try:
        while waiting or running:
            while waiting and idle:
                job, executor = waiting.popleft(), idle.pop()
                running[executor.submit(work, job, options)] = job, executor
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job, executor = running.pop(future)
                try:
                    done = future.result()
                except BrokenProcessPool as error:
                    executor.shutdown(wait=True, kill_workers=True)
                    executor = ProcessPoolExecutor(max_workers=1)
                    done = _after_death(job, deaths, error)
                    if done is None:
                        waiting.append(job)
                idle.append(executor)
                if done is not None:
                    yield done
    finally:
        for executor in (*idle, *(executor for _, executor in running.values())):
            executor.shutdown(wait=True, kill_workers=True)


def _through_backend(jobs: Sequence[Job], options: Options, work: Work, number: int) -> Iterator[Done]:
    """The active joblib backend. It does not tell whose worker died, so those that were under way then are tried
    again one by one, after the others: who dies alone has killed its worker."""
    deaths: dict[int, int] = {}
    rounds = deque([list(jobs)])
    alone: list[Job] = []
    while rounds or alone:
        batch = rounds.popleft() if rounds else [alone.pop(0)]
        begun: dict[int, Job] = {}
        seen: set[int] = set()
        try:
            for done in _parallel(_noting(batch, begun, seen), options, work, number):
                del begun[done.position]
                yield done
        except deaths_of_workers() as error:
            for job in begun.values():
                given = _after_death(job, deaths, error)
                if given is None:
                    alone.append(job)
                else:
                    yield given
            rest = [job for job in batch if job.position not in seen]
            if rest:
                rounds.append(rest)


def _noting(jobs: Iterable[Job], begun: dict[int, Job], seen: set[int]) -> Iterator[Job]:
    for job in jobs:
        seen.add(job.position)
        begun[job.position] = job
        yield job


def _parallel(jobs: Iterator[Job], options: Options, work: Work, number: int) -> Iterator[Done]:
    """Rows as they come; backends without a way to hand them over (Ray) give them by twice their workers."""
    from joblib import Parallel, delayed, effective_n_jobs
    from joblib.parallel import get_active_backend

    shared = {"n_jobs": -1 if number == 1 else number, "batch_size": 1, "pre_dispatch": "n_jobs"}
    if get_active_backend()[0].supports_return_generator:
        yield from Parallel(return_as="generator_unordered", **shared)(delayed(work)(job, options) for job in jobs)
        return
    size = 2 * max(1, effective_n_jobs(shared["n_jobs"]))
    while chunk := list(itertools.islice(jobs, size)):
        yield from Parallel(**shared)(delayed(work)(job, options) for job in chunk)


def deaths_of_workers() -> tuple[type[BaseException], ...]:
    """What the backends that are loaded raise when a worker dies."""
    found: list[type[BaseException]] = [BrokenProcessPool]
    if "distributed" in sys.modules:
        found.append(sys.modules["distributed"].KilledWorker)
    if "ray" in sys.modules:
        found.append(sys.modules["ray"].exceptions.RayError)
    return tuple(found)


def _after_death(job: Job, deaths: dict[int, int], error: BaseException) -> Done | None:
    """The row of a job that has died once too often; None when it is to be tried again."""
    deaths[job.position] = deaths.get(job.position, 0) + 1
    logger.warning("layer %s: its worker died (%s)", job.title, type(error).__name__)
    if deaths[job.position] < DEATHS_ALLOWED:
        return None
    return given_up(job, f"given up, its worker died {DEATHS_ALLOWED} times ({type(error).__name__}); {_needs(job)}")


def _needs(job: Job) -> str:
    """What memory a job takes, in words: the usual reason why a worker dies."""
    assert job.part is not None
    gram = 8 * min(job.part.rows, job.part.columns) ** 2
    return f"beside its weights it takes about {2 * gram / 2**30:.2g} GiB"
