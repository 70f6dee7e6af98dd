"""The step of training that a checkpoint is of, as it says itself or as it is called."""

from __future__ import annotations

import json
import re
from pathlib import Path

STEP = re.compile(r"step\D?(\d+)", re.IGNORECASE)
NUMBER = re.compile(r"\d+")
#: What Trainer writes beside a model, with the step in it.
TRAINER_STATE = "trainer_state.json"


def step_of(path: Path) -> int | None:
    """The step of a checkpoint: what Trainer noted in it, `step` and a number in its name, or the last number there.

    >>> [step_of(Path(name)) for name in ("epoch=1-step=500.ckpt", "checkpoint-20", "model_0007.pt", "last.ckpt")]
    [500, 20, 7, None]
    """
    try:
        noted = json.loads((path / TRAINER_STATE).read_text(encoding="utf-8")).get("global_step")
    except (OSError, ValueError, AttributeError):
        noted = None
    if isinstance(noted, int):
        return noted
    stem = path.name if path.is_dir() else path.stem
    numbers = STEP.findall(stem) or NUMBER.findall(stem)
    return int(numbers[-1]) if numbers else None
