"""Work that kills its worker, for tests of what happens then; a module of its own so that workers find it by name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from setol_ww.results.record import LayerRecord
from setol_ww.scanning import row as rows
from setol_ww.scanning.row import Asked
from setol_ww.weights.plan import Job


def sleep(seconds: float) -> None:
    """Nothing, for so long."""
    time.sleep(seconds)


def work(group: Sequence[Job], asked: Asked) -> list[LayerRecord]:
    """As `rows.work`; a layer called `dies_N` kills its worker the first N times it is tried."""
    for job in group:
        if job.longname.startswith("dies_"):
            tries = Path(job.file).parent / f"{job.longname}.tries"
            tries.open("a").write("x")
            if len(tries.read_text()) <= int(job.longname.removeprefix("dies_")):
                os.kill(os.getpid(), signal.SIGKILL)
    return rows.work(group, asked)
