"""What the callbacks of training libraries share: settings, a monitor from the start of training, its history kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .live import Monitor


class Following:
    """A `Monitor` that training begins, steps and finishes; `out` and `settings` are as in the callbacks."""

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
