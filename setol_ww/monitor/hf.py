"""A `Monitor` in the Trainer of transformers: `Trainer(..., callbacks=[SetolCallback(every=500)])`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .libraries import library
from .live import Monitor

TrainerCallback = library("transformers", "hf", "'transformers[torch]'").TrainerCallback


class SetolCallback(TrainerCallback):  # type: ignore[valid-type,misc]
    """Follow the model of a Trainer, in its main process.

    Parameters
    ----------
    out : path, optional
        Where the history is kept when training ends: `.setol`, or a table by its ending.
    **settings
        Of `Monitor`: `every`, `layers`, `time_budget`, `log`, `alarms`, ...

    Attributes
    ----------
    monitor : Monitor or None
        From the beginning of training on; None in other processes.

    Raises
    ------
    InvalidInput
        When training begins: settings that `Monitor` does not accept, or sharded parameters (FSDP, ZeRO-3).
    """

    def __init__(self, out: str | Path | None = None, **settings: Any) -> None:
        self.out, self.settings = out, settings
        self.monitor: Monitor | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Make the monitor."""
        self.monitor = Monitor(model, **self.settings) if state.is_world_process_zero else None

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A step of the optimiser is done."""
        if self.monitor is not None:
            self.monitor.step(state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Finish the layer that is being analysed, and keep the history."""
        if self.monitor is not None:
            self.monitor.close()
            if self.out is not None:
                self.monitor.save(self.out)
