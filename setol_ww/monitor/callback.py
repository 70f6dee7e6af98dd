"""What the callbacks of training libraries share: settings, a monitor from the start of training, its history kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .live import Monitor


class Following:
    """A `Monitor` that training begins, steps and finishes.

    Parameters
    ----------
    out : path, optional
        Where the history is kept: `.setol`, or a table by its ending with the store beside it. Written while training
        goes on and with every checkpoint, so that a run that is killed has it; one that is resumed goes on there.
    **settings
        Of `Monitor`: `every`, `layers`, `time_budget`, `log`, `alarms`, ...

    Attributes
    ----------
    monitor : Monitor or None
        From the beginning of training on; None in other processes than the main one.

    Raises
    ------
    InvalidInput
        When training begins: settings that `Monitor` does not accept, or sharded parameters (FSDP, ZeRO-3).
    """

    def __init__(self, out: str | Path | None = None, **settings: Any) -> None:
        self.settings = {"out": out, **settings}
        self.monitor: Monitor | None = None

    def begin(self, model: Any, is_main: bool) -> None:
        """Make the monitor, in the main process alone."""
        self.monitor = Monitor(model, **self.settings) if is_main else None

    def step(self, number: int) -> None:
        """A step is done."""
        if self.monitor is not None:
            self.monitor.step(number)

    def keep(self) -> None:
        """Keep the history as it is now."""
        if self.monitor is not None:
            self.monitor.keep()

    def finish(self) -> None:
        """Finish the layer that is being analysed, and keep the history."""
        if self.monitor is not None:
            self.monitor.close()
