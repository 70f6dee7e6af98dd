"""Which weights are truncated at the moment, and by which thread: no other may truncate, evaluate or copy them then."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import InvalidInput
from .pieces import Piece


@dataclass(frozen=True, eq=False)
class Hold:
    """One thread's hold on memory of weights, with the tensors, so that the memory is nobody else's meanwhile."""

    thread: threading.Thread
    writing: bool
    tensors: tuple[Any, ...]
    memory: frozenset[int]


# Weak: a hold whose end was cut off by an interrupt ends with the objects of that call.
_holds: weakref.WeakSet[Hold] = weakref.WeakSet()
_lock = threading.RLock()


@contextlib.contextmanager
def held(pieces: Sequence[Piece], *, writing: bool = True) -> Iterator[None]:
    """Hold the weights of these pieces: against all other threads, or against those that write.

    The same thread may hold them again, and any number of threads may read.

    Raises
    ------
    InvalidInput
        Another thread holds some of them.
    """
    tensors = tuple(piece.tensor for piece in pieces if not piece.reason)
    mine = Hold(threading.current_thread(), writing, tensors, frozenset(map(memory_of, tensors)))
    with _lock:
        for other in list(_holds):
            strangers = other.thread is not mine.thread and (other.writing or writing)
            if strangers and other.thread.is_alive() and other.memory & mine.memory:
                titles = [
                    piece.title for piece in pieces if not piece.reason and memory_of(piece.tensor) in other.memory
                ]
                raise InvalidInput(refusal(other, titles))
        _holds.add(mine)
    try:
        yield
    finally:
        _holds.discard(mine)


def memory_of(tensor: Any) -> int:
    """Where a tensor's memory begins, one number for all views; without memory the object itself."""
    if hasattr(tensor, "untyped_storage") and not tensor.is_meta:
        return tensor.untyped_storage().data_ptr() or id(tensor)
    return id(tensor)


def refusal(other: Hold, titles: Sequence[str]) -> str:
    """The sentence that refuses."""
    some = ", ".join(titles[:4]) + (f" and {len(titles) - 4} more" if len(titles) > 4 else "")
    doing = "has truncated" if other.writing else "is copying"
    return (
        f"truncating {some} was asked while the thread {other.thread.name!r} {doing} the same weights; accepted is one "
        "thread at a time, or a copy of the model for each (copy.deepcopy)"
    )
