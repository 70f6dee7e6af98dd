"""A `Monitor` in Lightning's Trainer: `Trainer(..., callbacks=[SetolCallback(every=500)])`."""

from __future__ import annotations

from typing import Any

from .callback import Following
from .libraries import library

Callback = library("lightning.pytorch", "lightning", "lightning").Callback


class SetolCallback(Following, Callback):  # type: ignore[valid-type,misc]
    """Follow the module of a Trainer, in its main process; parameters and attributes are those of `Following`."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Make the monitor."""
        self.begin(pl_module, trainer.is_global_zero)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A batch is done."""
        self.step(trainer.global_step)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Keep the history with the checkpoint."""
        self.keep()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Finish the layer that is being analysed, and keep the history."""
        self.finish()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Keep what there is."""
        self.finish()
