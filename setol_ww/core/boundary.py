"""The one place that catches what a layer may throw: out of memory, a tensor of an odd kind, a defect of ours.

A failure is a value: the row goes on with the reason, the other layers as usual. `KeyboardInterrupt` and the like pass,
and so does a file that changed under the run, which ends it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from .errors import ChangedCheckpoint

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Attempt(Generic[Value]):
    """What a stage of a layer gave, or why it gave nothing (`reason`, then `value` is None)."""

    value: Value | None
    reason: str = ""


def attempt(title: str, what: str, stage: Callable[[], Value]) -> Attempt[Value]:
    """Carry out one stage of a layer.

    Parameters
    ----------
    title : str
        The layer.
    what : str
        What is missing without it: `no spectrum`, `no traps`, `not loaded`.
    stage : callable

    Examples
    --------
    >>> attempt("fc1", "no spectrum", lambda: 1 / 0).reason
    'layer fc1: no spectrum, ZeroDivisionError: division by zero'
    >>> attempt("fc1", "no spectrum", lambda: 3)
    Attempt(value=3, reason='')
    """
    try:
        return Attempt(stage())
    except ChangedCheckpoint:
        raise
    except Exception as error:
        logger.debug("layer %s: %s", title, what, exc_info=True)
        return Attempt(None, f"layer {title}: {what}, {in_words(error)}")


def attempt_each(
    titled: Sequence[tuple[str, Item]], what: str, stage: Callable[[list[Item]], list[Value]]
) -> list[Attempt[Value]]:
    """`attempt` of one stage of many layers together, and where that fails of each alone.

    Examples
    --------
    >>> inverses = attempt_each([("fc1", 0), ("fc2", 2)], "no inverse", lambda values: [1 / value for value in values])
    >>> [one.value for one in inverses], inverses[0].reason
    ([None, 0.5], 'layer fc1: no inverse, ZeroDivisionError: division by zero')
    """
    if not titled:
        return []
    title = titled[0][0] if len(titled) == 1 else f"{titled[0][0]} and {len(titled) - 1} more"
    whole = attempt(title, what, lambda: stage([one for _, one in titled]))
    if whole.value is not None:
        return [Attempt(value) for value in whole.value]
    if len(titled) == 1:
        return [Attempt(None, whole.reason)]
    return [found for one in titled for found in attempt_each([one], what, stage)]


def in_words(error: BaseException) -> str:
    """Type and first line of an error; of a file that cannot be read its own sentence.

    >>> in_words(ValueError("first\\nsecond")), in_words(MemoryError())
    ('ValueError: first', 'MemoryError')
    """
    said = str(error).strip().split("\n")[0]
    if isinstance(error, OSError) and said:
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
