"""Work done by threads before the walk asks for it: spectra of the next layers, shuffles, traps.

LAPACK works without Python's lock, so threads are enough, and no weight is copied to another process. Everything that
is drawn is drawn by the walk itself in its order, and every decomposition has the BLAS threads that the process has:
the numbers are those of one job, to the last bit.
"""

from __future__ import annotations

import functools
import logging
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import threadpoolctl

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


class Ahead:
    """`n_jobs` threads, or none of its own for one job: then everything is done when it is asked for.

    Where BLAS itself has several threads it does one decomposition at a time, and so does one thread of ours.
    """

    def __init__(self, n_jobs: int = 1) -> None:
        self.threads = 0
        if n_jobs > 1:
            inner = blas_threads()
            self.threads = n_jobs if inner == 1 else 1
            if inner > 1:
                logger.info("BLAS has %d threads: one decomposition at a time; OMP_NUM_THREADS=1 lets more run", inner)
        self.pool = ThreadPoolExecutor(self.threads) if self.threads else None

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: types.TracebackType | None) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def later(self, work: Callable[..., Result], *arguments: Any) -> Callable[[], Result]:
        """What gives the result of `work`, which a thread begins now."""
        if self.pool is None:
            return functools.partial(work, *arguments)
        return self.pool.submit(work, *arguments).result

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """`map` in its order; items are made by the caller's thread, not many more of them than there are threads."""
        if self.pool is None:
            yield from map(work, items)
            return
        begun: deque[Future[Result]] = deque()
        for item in items:
            begun.append(self.pool.submit(work, item))
            if len(begun) > self.threads:
                yield begun.popleft().result()
        for future in begun:
            yield future.result()

    def foreseen(self, items: Iterable[Item], begin: Callable[[Item], None]) -> Iterator[Item]:
        """The items in their order; `begin` is called for each as soon as a thread may be free for it."""
        waiting: deque[Item] = deque()
        for item in items:
            if self.threads:
                begin(item)
            waiting.append(item)
            if len(waiting) > self.threads:
                yield waiting.popleft()
        yield from waiting


def blas_threads() -> int:
    """The most threads that a BLAS of this process would take."""
    pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    return max(pools, default=1)
