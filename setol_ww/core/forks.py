"""Copies of this process that do a part of its work: there in a few milliseconds, with every weight in place.

A copy (`fork`) shares the memory of the process until one of them writes to it, so nothing is sent to it; what it finds
comes back through a pipe. Only where that is known to be safe: on Linux, in a process none of whose libraries runs
threads of its own that a copy would miss.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

# Their threads are not in a copy, which then waits for them for ever.
NOT_TO_BE_COPIED = ("jax", "tensorflow")
# Seconds of a processor: whoever waits for ever uses less, but for one look a second at the process it is a copy of.
AT_WORK = 0.1


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
        """`first` is done without being asked for, and need not be found by its name.

        `OSError` where the system has no room for another process or pipe.
        """
        parent, locked = os.getpid(), _locked(len(sys.modules))
        self.used, self.death = 0.0, ""
        self.pipe, theirs = multiprocessing.Pipe()
        _flush()
        with contextlib.ExitStack() as undone:
            undone.callback(self.pipe.close)
            # What arrives before a copy has let go of the handlers is not for it.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            try:
                # The end of the pipe is seen only where nobody else holds it.
                with theirs:
                    self.number = os.fork()
                    if not self.number:
                        self.pipe.close()
                        _as_copy(first, theirs, parent, mask, locked)
                undone.callback(self.end)
            finally:
                # An interrupt comes here.
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            undone.pop_all()

    def ask(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Have it do something that it finds by its name; `ForkDied` where it is not there any more."""
        try:
            self.pipe.send((work, arguments))
        except ConnectionError as error:
            raise self._death() from error

    def answer(self, seconds: float | None = None) -> Any:
        """What it found, or the error it met; `ForkDied` where it has died, or for so long was not even at work."""
        try:
            while not self.pipe.poll(seconds):
                if not self.is_at_work():
                    raise ForkDied("a copy of this process neither answers nor works any more")
            found, error = self.pipe.recv()
        except (EOFError, ConnectionError) as end:
            raise self._death() from end
        if error is not None:
            raise error
        return found

    def is_at_work(self) -> bool:
        """True where it has used a processor since this was asked last."""
        before = self.used
        with contextlib.suppress(OSError):
            # The clock of a process, as `clock_getcpuclockid` numbers it.
            self.used = time.clock_gettime(~self.number << 3 | 2)
        return self.used > before + AT_WORK

    @property
    def is_over(self) -> bool:
        """True when it was ended."""
        return self.pipe.closed

    def end(self) -> None:
        """End it at once, whatever it is doing."""
        if self.is_over:
            return
        # Of one that has ended the host may have been told, and its number may be another process's by now.
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            if os.waitpid(self.number, os.WNOHANG) == (0, 0):
                os.kill(self.number, signal.SIGKILL)
                os.waitpid(self.number, 0)
        self.pipe.close()

    def _death(self) -> ForkDied:
        if not self.death:
            try:
                _, status = os.waitpid(self.number, 0)
                self.death = f"ended with exit code {os.waitstatus_to_exitcode(status)}"
            except ChildProcessError:
                self.death = "ended, and its exit code was told to somebody else"
        return ForkDied(f"a copy of this process {self.death}")


class _Whole:
    """What a copy does: where it ends the copy ends, and nothing goes on that the process was at when it was copied."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: types.TracebackType | None) -> None:
        try:
            if kind is not None and error is not None:
                sys.__excepthook__(kind, error, trace)
        finally:
            os._exit(error is not None)


def _as_copy(
    first: Callable[[], Any] | None, theirs: Connection, parent: int, mask: set[Any], locked: Sequence[Any]
) -> None:
    with _Whole():
        _let_go(locked)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        end_with(parent)
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


def _let_go(locked: Sequence[Any]) -> None:
    """In a copy: what is the host's stays with the process that was copied."""
    # Its garbage, which would be finalised in both.
    gc.freeze()
    # Signals that it handles, sent to all processes of a terminal or a job at once.
    for number in signal.valid_signals():
        if number == signal.SIGINT or callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_IGN)
    # Locks that other threads held.
    for one in locked:
        one.lock = threading.RLock()


@functools.lru_cache(maxsize=1)
def _locked(modules: int) -> list[Any]:
    """Cached properties of this package, in so many modules: before Python 3.12 a class has one lock for each."""
    ours = [vars(module) for name, module in list(sys.modules.items()) if name.split(".")[0] == __name__.split(".")[0]]
    kinds = {one for known in ours for one in list(known.values()) if isinstance(one, type)}
    known = [one for kind in kinds for one in vars(kind).values() if isinstance(one, functools.cached_property)]
    return [one for one in known if hasattr(one, "lock")]


def in_every_copy(begin: Callable[[], None]) -> None:
    """Have something begun anew in every copy of this process, ours or the host's, where nobody gives back locks that
    other threads held."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=begin)


def _flush() -> None:
    """Write what waits to be written, which a copy would write again."""
    for stream in (sys.stdout, sys.stderr):
        # They may be closed, or the disk behind them full.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()


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


class Stay:
    """In place of a copy that cannot be made: this process does what is asked, once the answer is wanted.

    Examples
    --------
    >>> stay = Stay()
    >>> stay.ask(divmod, 45, 7)
    >>> stay.answer(), stay.is_over
    ((6, 3), False)
    """

    is_over = False

    def ask(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Keep in mind what is to be done."""
        self.work = functools.partial(work, *arguments)

    def answer(self) -> Any:
        """What it finds now."""
        return self.work()

    def end(self) -> None:
        """Nothing is under way."""


def answering(forks: Sequence[Fork], seconds: float | None = None) -> list[Fork]:
    """Those of which an answer, or their end, is there; waits for one, for so long at most."""
    ready = set(wait([fork.pipe for fork in forks], seconds))
    return [fork for fork in forks if fork.pipe in ready]


def can_fork() -> bool:
    """True where copies of this process are safe: on Linux, with no library loaded that does not outlive it."""
    if sys.platform != "linux" or multiprocessing.current_process().daemon:
        return False
    torch = sys.modules.get("torch")
    return not any(name in sys.modules for name in NOT_TO_BE_COPIED) and not (torch is not None and _is_at_work(torch))


def _is_at_work(torch: Any) -> bool:
    """True where torch is being imported by another thread, has a GPU or speaks with other ranks."""
    if getattr(torch.__spec__, "_initializing", False) or torch.cuda.is_initialized():
        return True
    return bool(torch.distributed.is_available() and torch.distributed.is_initialized())
