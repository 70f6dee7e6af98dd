"""Work done by threads before the walk asks for it: spectra of the next layers, shuffles, traps.

Gram matrices, eigenvalues and their vectors, singular values and shuffles work without Python's lock, so for large
layers threads are enough (for small ones see `shares`). What the generator of the run gives is drawn
by the walk itself in its order, and every decomposition has the BLAS threads of the caller: the numbers are those of
one job, to the last bit.
"""

from __future__ import annotations

import contextvars
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
        self.threads, self.pool = 0, None
        if n_jobs > 1:
            pools = blas_pools()
            inner = max((pool["num_threads"] for pool in pools), default=1)
            self.threads = n_jobs if inner == 1 else 1
            if inner > 1:
                logger.info("BLAS has %d threads: one decomposition at a time; OMP_NUM_THREADS=1 lets more run", inner)
            limits = limits_of_a_thread(pools)
            begin = functools.partial(threadpoolctl.threadpool_limits, limits) if limits else None
            self.pool = ThreadPoolExecutor(self.threads, initializer=begin)

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: types.TracebackType | None) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def later(self, work: Callable[..., Result], *arguments: Any) -> Callable[[], Result]:
        """What gives the result of `work`, which a thread begins now."""
        if self.pool is None:
            return functools.partial(work, *arguments)
        return self._submit(work, *arguments).result

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """`map` in its order; items are made by the caller's thread, not many more of them than there are threads."""
        if self.pool is None:
            yield from map(work, items)
            return
        begun: deque[Future[Result]] = deque()
        for item in items:
            begun.append(self._submit(work, item))
            # A shuffled layer is not to live until the next is asked for.
            del item
            if len(begun) > self.threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()

    def foreseen(self, items: Iterable[Item], begin: Callable[[Item], None], most: int) -> Iterator[Item]:
        """The items in their order, at most `most` of them ahead; `begin` is called for each as soon as it is there."""
        depth = min(self.threads, most)
        waiting: deque[Item] = deque()
        for item in items:
            begin(item)
            waiting.append(item)
            if len(waiting) > depth:
                yield waiting.popleft()
        yield from waiting

    def _submit(self, work: Callable[..., Result], *arguments: Any) -> Future[Result]:
        assert self.pool is not None
        # numpy's error state is the caller's.
        return self.pool.submit(contextvars.copy_context().run, work, *arguments)


def blas_pools() -> list[dict[str, Any]]:
    """What threadpoolctl knows of the BLAS libraries of this process."""
    return [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]


def limits_of_a_thread(pools: list[dict[str, Any]]) -> dict[str, int]:
    """BLAS threads, by library, where their number is that of the calling thread and not of the process."""
    return {
        pool["prefix"]: pool["num_threads"]
        for pool in pools
        if pool["internal_api"] == "mkl" or pool.get("threading_layer") == "openmp"
    }
