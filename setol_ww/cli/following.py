"""The command that follows a run: `watch`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..core.options import add_flags, from_flags
from ..results.export import WRITERS
from ..results.store import ENDINGS
from .asking import INTERRUPTED, command, say

WATCH_EXAMPLE = """examples:
  setol-ww watch runs/llama/ --out llama.setol
  setol-ww watch runs/llama/ --out llama.csv --every 300 --layers dense -lm_head
  setol-ww watch runs/llama/ --once

Killed or interrupted, the same command goes on where it was. Ctrl-C ends it.
"""


def add_watch(commands: Any) -> None:
    """`setol-ww watch`."""
    asked = command(commands, "watch", "follow a folder of checkpoints while a run writes to it", WATCH_EXAMPLE, _watch)
    asked.add_argument("folder", metavar="DIR", type=Path, help="where the run puts its checkpoints")
    asked.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help=f"the history: {', '.join(ENDINGS)} with the spectra, or a table: {', '.join(WRITERS)}",
    )
    asked.add_argument("--every", metavar="S", type=float, default=30.0, help="seconds between two looks (default 30)")
    asked.add_argument("--once", action="store_true", help="stop when what is there now is done")
    add_flags(asked, "layers", "randomize", "seed", "uncertainty", "device", "n_jobs", "layouts", "progress")


def _watch(asked: argparse.Namespace) -> int:
    from ..monitor.folder import watch

    options = from_flags(asked)
    quiet = options.progress is False

    def tell(seen: object) -> None:
        if not quiet:
            say(f"{seen}\n")
            sys.stdout.flush()

    try:
        history = watch(
            asked.folder,
            asked.out,
            every=asked.every,
            once=asked.once,
            options=options.changed(progress=None),
            tell=tell,
        )
    except KeyboardInterrupt:
        kept = f"; the same command goes on with what is in {asked.out}" if asked.out else ""
        sys.stderr.write(f"setol-ww: interrupted{kept}\n")
        return INTERRUPTED
    if not quiet:
        where = f" are in {asked.out}" if asked.out else ""
        say(f"{len(history)} rows of {history['step'].nunique()} checkpoints{where}.\n")
    return 0
