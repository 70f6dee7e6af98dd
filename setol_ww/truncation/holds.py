"""Which weights are truncated at the moment, and by which thread: no other may truncate, evaluate or copy them then.

There is no lock that an interrupt could leave closed: a place in a dictionary is taken in one step, and what refers to
it is weak, so that a hold whose end was cut off ends with the objects of that call.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..core.errors import InvalidInput
from .pieces import Piece


class Hold:
    """One thread's hold on weights: the tensors too, so that their memory is nobody else's meanwhile."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.thread = threading.current_thread()
        self.titles = {memory_of(piece.tensor): piece.title for piece in pieces if not piece.reason}
        self.tensors = [piece.tensor for piece in pieces if not piece.reason]
        self.taken: list[int] = []
        # Memory that another thread began to truncate while this hold was a reader's.
        self.disturbed: list[tuple[int, threading.Thread]] = []

    @property
    def is_over(self) -> bool:
        """True when its thread ended inside."""
        return not self.thread.is_alive()


_writers: dict[int, weakref.ref[Hold]] = {}
_readers: dict[int, weakref.ref[Hold]] = {}


@contextlib.contextmanager
def truncating(pieces: Sequence[Piece]) -> Iterator[None]:
    """Hold the weights of these pieces against all other threads; the same thread may hold them again.

    Raises
    ------
    InvalidInput
        Another thread has truncated some of them.
    """
    mine = Hold(pieces)
    try:
        for memory in sorted(mine.titles):
            holder = _taken_by(memory, mine)
            if holder is not None:
                raise refusal(mine, [(memory, holder.thread)])
        for reader in _alive(_readers.values()):
            if reader.thread is not mine.thread:
                reader.disturbed += [(memory, mine.thread) for memory in mine.taken if memory in reader.titles]
        yield
    finally:
        for memory in mine.taken:
            _writers.pop(memory, None)


@contextlib.contextmanager
def copying(pieces: Sequence[Piece]) -> Iterator[None]:
    """Any number of threads may read these weights; one whose copy another has truncated meanwhile is refused.

    Raises
    ------
    InvalidInput
        Another thread has truncated some of them before the body or in it.
    """
    mine = Hold(pieces)
    _readers[id(mine)] = weakref.ref(mine)
    try:
        for memory in mine.titles:
            known = _writers.get(memory)
            writer = known() if known is not None else None
            if writer is not None and writer.thread is not mine.thread and not writer.is_over:
                raise refusal(mine, [(memory, writer.thread)])
        yield
        if mine.disturbed:
            raise refusal(mine, mine.disturbed)
    finally:
        _readers.pop(id(mine), None)


def memory_of(tensor: Any) -> int:
    """Where a tensor's memory begins, one number for all views; without memory the object itself."""
    if hasattr(tensor, "untyped_storage") and not tensor.is_meta:
        return tensor.untyped_storage().data_ptr() or id(tensor)
    return id(tensor)


def _taken_by(memory: int, mine: Hold) -> Hold | None:
    """None when the memory is held by this thread now, else who holds it."""
    place = weakref.ref(mine)
    while True:
        known = _writers.setdefault(memory, place)
        if known is place:
            mine.taken.append(memory)
            return None
        holder = known()
        if holder is not None and holder.thread is mine.thread:
            return None
        if holder is not None and not holder.is_over:
            return holder
        _writers.pop(memory, None)


def _alive(places: Iterable[weakref.ref[Hold]]) -> list[Hold]:
    return [hold for hold in (place() for place in list(places)) if hold is not None]


def refusal(mine: Hold, others: Sequence[tuple[int, threading.Thread]]) -> InvalidInput:
    """The sentence that refuses."""
    titles = [mine.titles[memory] for memory, _ in others]
    return InvalidInput(
        f"truncating {titles[0]} was asked, but the thread {others[0][1].name!r} has truncated the same weights; "
        "accepted is one thread at a time, or a copy of the model for each (copy.deepcopy)"
    )
