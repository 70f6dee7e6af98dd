"""How much time the monitor may take, as a share of the time that training takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..core.checks import is_finite
from ..core.errors import InvalidInput


def share_of(time_budget: float | None) -> float | None:
    """`time_budget` when it is None or a share above 0 and up to 1, else `InvalidInput`."""
    if time_budget is None:
        return None
    if not is_finite(time_budget) or not 0 < time_budget <= 1:
        raise InvalidInput(
            f"time_budget={time_budget!r} was asked; accepted is a share of the training time above 0 and up to 1, or "
            "None for no limit"
        )
    return float(time_budget)


@dataclass
class Budget:
    """Time spent against a share of the time since the first step.

    Attributes
    ----------
    share : float or None
        None for no limit.
    spent : float
        Seconds of work for the monitor, on whatever thread.
    waited : float
        Seconds of these that training waited; a step that has nothing to do takes a microsecond and is not counted.
    clock : callable
        Seconds, never going back.

    Examples
    --------
    >>> seconds = iter([0.0, 10.0])
    >>> budget = Budget(0.1, clock=lambda: next(seconds))
    >>> budget.tick(), budget.tick()
    (None, None)
    >>> budget.allows(1.0), budget.allows(1.1)
    (True, False)
    >>> budget.spend(2.5)
    >>> budget.allows(0.0)
    False
    """

    share: float | None
    spent: float = 0.0
    waited: float = 0.0
    clock: Callable[[], float] = time.perf_counter
    started: float | None = None
    last: float = 0.0

    def tick(self) -> None:
        """A step is done: training has lasted until now, from the first of these on."""
        self.last = self.clock()
        if self.started is None:
            self.started = self.last

    def allows(self, expected: float) -> bool:
        """Whether work of so many seconds fits into the share of the time so far; 0 where that is not known.

        Work whose time is not known may begin while nothing is owed, so that it may overdraw once.
        """
        if self.share is None:
            return True
        return self.spent + expected <= self.share * self.elapsed

    def spend(self, seconds: float, *, waited: bool = False) -> None:
        """So many seconds of work were done."""
        self.spent += seconds
        self.waited += seconds if waited else 0.0

    @property
    def elapsed(self) -> float:
        """Seconds from the first step to the last."""
        return 0.0 if self.started is None else self.last - self.started
