"""The curves of a history in TensorBoard: `log=TensorBoardLog("runs/1")` of a `Monitor`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .libraries import library
from .scalars import scalars_of

SummaryWriter = library("torch.utils.tensorboard", "tensorboard", "tensorboard").SummaryWriter


class TensorBoardLog:
    """Write each row to event files, one curve for each layer and number: `setol/LAYER/COLUMN` at the row's step.

    Parameters
    ----------
    writer : torch.utils.tensorboard.SummaryWriter or path
        The run's own writer, or a folder for one.

    Examples
    --------
    >>> import tempfile, torch, setol_ww as ww
    >>> log = TensorBoardLog(tempfile.mkdtemp())
    >>> monitor = ww.Monitor(torch.nn.Linear(60, 40), log=log, time_budget=None)
    >>> monitor.step(0)
    >>> log.close()
    """

    def __init__(self, writer: Any) -> None:
        self.writer = SummaryWriter(str(writer)) if isinstance(writer, (str, Path)) else writer

    def __call__(self, row: Mapping[str, Any]) -> None:
        for name, value in scalars_of(row).items():
            self.writer.add_scalar(name, value, row["step"])

    def close(self) -> None:
        """Close the writer."""
        self.writer.close()
