"""A `Monitor` in the Trainer of transformers: `Trainer(..., callbacks=[SetolCallback(every=500)])`."""

from __future__ import annotations

from typing import Any

from .callback import Following
from .libraries import library

TrainerCallback = library("transformers", "hf", "'transformers[torch]'").TrainerCallback


class SetolCallback(Following, TrainerCallback):  # type: ignore[valid-type,misc]
    """Follow the model of a Trainer, in its main process; parameters and attributes are those of `Following`."""

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Make the monitor."""
        self.begin(model, state.is_world_process_zero)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A step of the optimiser is done."""
        self.step(state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep the history with the checkpoint."""
        self.keep()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Finish the layer that is being analysed, and keep the history."""
        self.finish()
