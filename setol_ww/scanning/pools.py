"""Who does the work: threads, copies of this process, others, a Dask cluster, a Ray cluster; joblib is asked which.

Jobs are submitted one by one rather than through `joblib.Parallel`, which ends with the first death of a worker, does
not tell whose it was, and does the work in the calling process where a cluster is down to one worker. No more are
under way than there are workers, so that a death has one piece of work to it.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import logging
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

import joblib
import numpy as np
from joblib.externals.loky.process_executor import ProcessPoolExecutor
from joblib.parallel import LokyBackend, SequentialBackend, get_active_backend

from ..core.errors import InvalidInput
from ..core.forks import Fork, ForkDied, Stay, answering, can_fork, end_with

logger = logging.getLogger(__name__)

# Work units of `cost`, some tenth of a second of one core: a copy of this process is there after 10 ms.
FORKS_FROM = 1e10
# Some twelve seconds of one core: a process of its own takes two to begin.
PROCESSES_FROM = 1e12
# Seconds without an answer of any copy: those that do not even work wait for what nobody gives back.
PATIENCE = 60.0


class Pool(Protocol):
    """Workers.

    Attributes
    ----------
    death : tuple of types
        What the result of a job raises whose worker died.
    is_here : bool
        True where the workers are threads of this process, or begin as copies of it.
    """

    death: tuple[type[BaseException], ...]
    is_here: bool

    def size(self) -> int:
        """How many workers there are now."""

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Begin a job; a handle for it."""

    def wait(self, handles: Sequence[Any]) -> Sequence[Any]:
        """Those that are over, at least one."""

    def result(self, handle: Any) -> Any:
        """What a job that is over gave, or the error it ended with."""

    def deaths(self, error: BaseException) -> int:
        """How many workers died of it."""

    def close(self) -> None:
        """Drop what is under way, and end the workers if they are our own."""


class ThreadPool:
    """Threads of this process, for work that is over before a process has begun."""

    death: tuple[type[BaseException], ...] = ()
    is_here = True

    def __init__(self, size: int) -> None:
        self.number, self.executor = size, ThreadPoolExecutor(size)

    def size(self) -> int:
        return self.number

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future:
        # numpy's error state is the caller's.
        return self.executor.submit(contextvars.copy_context().run, work, *arguments)

    def wait(self, handles: Sequence[Future]) -> Sequence[Future]:
        return list(wait(handles, return_when=FIRST_COMPLETED).done)

    def result(self, handle: Future) -> Any:
        return handle.result()

    def deaths(self, error: BaseException) -> int:
        return 0

    def close(self) -> None:
        self.executor.shutdown(cancel_futures=True)


class LocalPool:
    """Processes of joblib's loky, an executor of one process each."""

    death: tuple[type[BaseException], ...] = (BrokenProcessPool,)
    is_here = False

    def __init__(self, size: int) -> None:
        self.idle = [self._executor() for _ in range(size)]
        self.busy: dict[Future, Any] = {}

    @staticmethod
    def _executor() -> Any:
        return ProcessPoolExecutor(max_workers=1, initializer=end_with, initargs=(os.getpid(),))

    def size(self) -> int:
        return len(self.idle) + len(self.busy)

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future:
        executor = self.idle.pop()
        future = executor.submit(work, *arguments)
        self.busy[future] = executor
        return future

    def wait(self, handles: Sequence[Future]) -> Sequence[Future]:
        return list(wait(handles, return_when=FIRST_COMPLETED).done)

    def result(self, handle: Future) -> Any:
        executor = self.busy.pop(handle)
        if isinstance(handle.exception(), self.death):
            executor.shutdown(wait=True, kill_workers=True)
            executor = self._executor()
        self.idle.append(executor)
        return handle.result()

    def deaths(self, error: BaseException) -> int:
        return 1

    def close(self) -> None:
        for executor in (*self.idle, *self.busy.values()):
            executor.shutdown(wait=True, kill_workers=True)


class ForkPool:
    """Copies of this process, there at once, for files of this machine; where one cannot be made it works itself."""

    death: tuple[type[BaseException], ...] = (ForkDied,)
    is_here = True

    def __init__(self, size: int) -> None:
        self.number = size
        self.idle: list[Fork | Stay] = []
        self.busy: list[Fork | Stay] = []

    def size(self) -> int:
        return self.number

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Fork | Stay:
        worker = self.idle.pop() if self.idle else self._worker()
        self.busy.append(worker)
        with contextlib.suppress(ForkDied):
            # Of its death tells the answer.
            worker.ask(work, *arguments)
        return worker

    def _worker(self) -> Fork | Stay:
        try:
            return Fork()
        except OSError as error:
            if not any(isinstance(worker, Stay) for worker in (*self.idle, *self.busy)):
                logger.warning("no further copy of this process can be made (%s): it works itself", error)
            return Stay()

    def wait(self, handles: Sequence[Fork | Stay]) -> Sequence[Fork | Stay]:
        copies = [handle for handle in handles if isinstance(handle, Fork)]
        # This process itself begins when it is asked for the result.
        over: list[Fork | Stay] = [handle for handle in handles if isinstance(handle, Stay)]
        while not over:
            over.extend(answering(copies, PATIENCE) or (copy for copy in copies if not copy.is_at_work()))
        return over

    def result(self, handle: Fork | Stay) -> Any:
        self.busy.remove(handle)
        try:
            return handle.answer(0) if isinstance(handle, Fork) else handle.answer()
        except ForkDied:
            handle.end()
            raise
        finally:
            if not handle.is_over:
                self.idle.append(handle)

    def deaths(self, error: BaseException) -> int:
        return 1

    def close(self) -> None:
        for worker in (*self.idle, *self.busy):
            worker.end()


class DaskPool:
    """The workers of a Dask cluster, which come and go."""

    is_here = False

    def __init__(self, client: Any) -> None:
        from distributed import KilledWorker

        self.death: tuple[type[BaseException], ...] = (KilledWorker,)
        self.client = client
        self.futures: list[Any] = []

    def size(self) -> int:
        # While a lone worker is started anew there is none; its scheduler keeps a job until then.
        return max(1, sum(self.client.ncores().values()))

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Any:
        future = self.client.submit(work, *arguments, pure=False)
        self.futures.append(future)
        return future

    def wait(self, handles: Sequence[Any]) -> Sequence[Any]:
        from distributed import wait

        return list(wait(handles, return_when="FIRST_COMPLETED").done)

    def result(self, handle: Any) -> Any:
        self.futures.remove(handle)
        return handle.result()

    def deaths(self, error: BaseException) -> int:
        # Dask itself tries elsewhere, `distributed.scheduler.allowed-failures` times, before it says so.
        return getattr(error, "allowed_failures", 0) + 1

    def close(self) -> None:
        self.client.cancel(self.futures)


class RayPool:
    """The workers of a Ray cluster, one core a job."""

    is_here = False

    def __init__(self) -> None:
        import ray

        if not ray.is_initialized():
            ray.init(log_to_driver=False)
        errors = ray.exceptions
        self.death: tuple[type[BaseException], ...] = (
            errors.WorkerCrashedError,
            errors.OutOfMemoryError,
            errors.NodeDiedError,
        )
        self.ray = ray
        # Each call of `ray.remote` sends the function to the cluster anew.
        self.remote = functools.cache(ray.remote)
        self.references: list[Any] = []

    def size(self) -> int:
        return max(1, int(self.ray.cluster_resources().get("CPU", 1)))

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Any:
        reference = self.remote(work).options(max_retries=0, num_cpus=1).remote(*arguments)
        self.references.append(reference)
        return reference

    def wait(self, handles: Sequence[Any]) -> Sequence[Any]:
        return self.ray.wait(list(handles), num_returns=1)[0]

    def result(self, handle: Any) -> Any:
        self.references.remove(handle)
        return self.ray.get(handle)

    def deaths(self, error: BaseException) -> int:
        return 1

    def close(self) -> None:
        for reference in self.references:
            self.ray.cancel(reference, force=True)


def number_of_jobs(n_jobs: int) -> int:
    """A number of workers as joblib counts them, -1 being every core; else `InvalidInput`."""
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, (int, np.integer)) or n_jobs == 0:
        raise InvalidInput(f"n_jobs={n_jobs!r} was asked; accepted is an integer other than 0, -1 for every core")
    return int(n_jobs) if n_jobs > 0 else max(1, joblib.cpu_count() + 1 + int(n_jobs))


def pool_maker(n_jobs: int, device: str = "cpu", *, is_remote: bool = False) -> Callable[[int, float], Pool] | None:
    """What makes the pool that `n_jobs` and the active joblib backend ask for; None for this process alone.

    The arguments of what is returned are the number of jobs, beyond which no worker is started, and their work units,
    which choose between threads, copies of this process and processes of their own. On a device they are threads
    whatever the work: they share its memory, and know what the others have of it. `is_remote` says that something is
    read over the network, whose connections no copy of the process shares.
    """
    number = number_of_jobs(n_jobs)
    backend, configured = get_active_backend()
    name = type(backend).__name__
    # What joblib gives its own workers, nobody has asked for.
    is_nested = bool(getattr(backend, "nesting_level", 0))
    if name == "DaskDistributedBackend":
        return lambda jobs, units: DaskPool(backend.client)
    if name == "RayBackend":
        return lambda jobs, units: RayPool()
    if not isinstance(backend, (LokyBackend, SequentialBackend)) and not is_nested:
        raise InvalidInput(f"the joblib backend {name} was asked; accepted are loky, dask and ray")
    if n_jobs == 1 and isinstance(configured, int) and not is_nested:
        number = number_of_jobs(configured)
    if number <= 1 or isinstance(backend, SequentialBackend):
        return None

    def make(jobs: int, units: float) -> Pool:
        # A daemon has no processes of its own.
        if device == "cpu" and units >= PROCESSES_FROM and not multiprocessing.current_process().daemon:
            return LocalPool(min(number, jobs))
        is_copied = device == "cpu" and units >= FORKS_FROM and not is_remote and can_fork()
        return (ForkPool if is_copied else ThreadPool)(min(number, jobs))

    return make
