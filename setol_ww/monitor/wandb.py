"""The curves of a history in Weights & Biases: `log=WandbLog(run)` of a `Monitor`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import InvalidInput
from .libraries import library
from .scalars import PREFIX, scalars_of

wandb = library("wandb", "wandb", "wandb")
STEP = f"{PREFIX}/step"


class WandbLog:
    """Log each row to a run, one curve for each layer and number, over an axis of their own, `setol/step`.

    Parameters
    ----------
    run : wandb.Run, optional
        `wandb.run`, the current one, without it.

    Raises
    ------
    InvalidInput
        There is no current run.

    Notes
    -----
    A row comes some steps after the one it is of; W&B takes no values for steps that are over, so the step is a value
    of its own and the axis of these curves.
    """

    def __init__(self, run: Any = None) -> None:
        self.run = wandb.run if run is None else run
        if self.run is None:
            raise InvalidInput("WandbLog() was asked without a run; accepted is a run, or one begun with wandb.init()")
        self.run.define_metric(STEP, hidden=True)
        self.run.define_metric(f"{PREFIX}/*", step_metric=STEP)

    def __call__(self, row: Mapping[str, Any]) -> None:
        self.run.log({STEP: row["step"], **scalars_of(row)})
