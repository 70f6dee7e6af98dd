"""Copies of this process that do a part of its work: there in a few milliseconds, with every weight in place.

A copy (`fork`) shares the memory of the process until one of them writes to it, so nothing is sent to it; what it finds
comes back through a pipe. Only where that is known to be safe: on Linux, in a process none of whose libraries runs
threads of its own that a copy would miss.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

# Their threads are not in a copy, which then waits for them for ever.
NOT_TO_BE_COPIED = ("jax", "tensorflow")


class ForkDied(RuntimeError):
    """A copy of this process ended before it had answered."""


class Fork:
    """One copy of this process, which does what it is asked, one thing after the other, and ends with this process.

    Examples
    --------
    >>> if can_fork():
    ...     fork = Fork()
    ...     fork.ask(divmod, 45, 7)
    ...     assert fork.answer() == (6, 3)
    ...     fork.end()
    """

    def __init__(self, first: Callable[[], Any] | None = None) -> None:
        """`first` is done without being asked for, and need not be found by its name."""
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_as_copy, args=(first, self.pipe, theirs, os.getpid()), daemon=True)
        self.process.start()
        # The end of the pipe is seen only where nobody else holds it.
        theirs.close()

    def ask(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Have it do something that it finds by its name; `ForkDied` where it is not there any more."""
        try:
            self.pipe.send((work, arguments))
        except ConnectionError as error:
            raise self._death() from error

    def answer(self, seconds: float | None = None) -> Any:
        """What it found, or the error it met; `ForkDied` where it has died, or has said nothing for so long."""
        try:
            if not self.pipe.poll(seconds):
                raise ForkDied(f"a copy of this process has not answered within {seconds:.0f} s")
            found, error = self.pipe.recv()
        except (EOFError, ConnectionError) as end:
            raise self._death() from end
        if error is not None:
            raise error
        return found

    @property
    def is_over(self) -> bool:
        """True when it was ended."""
        return self.pipe.closed

    def end(self) -> None:
        """End it at once, whatever it is doing."""
        if not self.is_over:
            self.process.kill()
            self.process.join()
            self.process.close()
            self.pipe.close()

    def _death(self) -> ForkDied:
        self.process.join()
        return ForkDied(f"a copy of this process ended with exit code {self.process.exitcode}")


def _as_copy(first: Callable[[], Any] | None, pipe: Connection, theirs: Connection, parent: int) -> None:
    pipe.close()
    end_with(parent)
    # An interrupt is for the process that was copied, which ends its copies.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if "torch" in sys.modules:
        # The threads of its OpenMP runtime are not here.
        sys.modules["torch"].set_num_threads(1)
    # The process that was copied may end at any time.
    with contextlib.suppress(EOFError, ConnectionError):
        if first is not None:
            theirs.send(_told(first))
        while True:
            work, arguments = theirs.recv()
            theirs.send(_told(work, *arguments))


def _told(work: Callable[..., Any], *arguments: Any) -> tuple[Any, Exception | None]:
    """What was found, or what is wrong with a file, the disk or the memory; anything else ends the copy."""
    try:
        return work(*arguments), None
    except (OSError, MemoryError) as error:
        return None, error


def end_with(parent: int) -> None:
    """In a worker: end within a second of the process that began it, which may have been killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def answering(forks: Sequence[Fork]) -> list[Fork]:
    """Those of which an answer, or their end, is there; waits for one."""
    ready = set(wait([fork.pipe for fork in forks]))
    return [fork for fork in forks if fork.pipe in ready]


def can_fork() -> bool:
    """True where copies of this process are safe: on Linux, with no library loaded that does not outlive it."""
    if sys.platform != "linux" or multiprocessing.current_process().daemon:
        return False
    torch = sys.modules.get("torch")
    return not any(name in sys.modules for name in NOT_TO_BE_COPIED) and not (
        torch is not None and (torch.cuda.is_initialized() or _is_distributed(torch))
    )


def _is_distributed(torch: Any) -> bool:
    return bool(torch.distributed.is_available() and torch.distributed.is_initialized())
