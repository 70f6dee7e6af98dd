"""What was drawn and what became of each mutant tried: plain lines in a folder, so that a stopped run goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from .draw import Candidate


@dataclass(frozen=True)
class Trial:
    """A mutant tried once. `fate` is `killed` or `survived`; `why` names the test that failed, or how many did not."""

    key: str
    module: str
    line: int
    kind: str
    change: str
    fate: str
    why: str

    @property
    def killed(self) -> bool:
        return self.fate == "killed"


@dataclass(frozen=True)
class Story:
    """The first trial of a mutant and its last: those before and after tests were written for it."""

    first: Trial
    last: Trial


def drawn(folder: Path, name: str, draw: Callable[[], list[Candidate]]) -> list[str]:
    """Keys of the draw called `name`: those kept, else those of `draw()`, which are then kept."""
    kept = folder / f"{name}.drawn"
    if not kept.exists():
        kept.write_text("".join(f"{each.key}\n" for each in draw()), encoding="utf-8")
    return kept.read_text(encoding="utf-8").split()


def keep(folder: Path, trial: Trial) -> None:
    """Add a trial; a line is written in one piece, so that several workers may."""
    with (folder / "tried.jsonl").open("a", encoding="utf-8") as kept:
        kept.write(json.dumps(asdict(trial), ensure_ascii=False) + "\n")


def stories(folder: Path) -> dict[str, Story]:
    """What became of every mutant tried, by key."""
    kept = folder / "tried.jsonl"
    found: dict[str, Story] = {}
    for line in kept.read_text(encoding="utf-8").splitlines() if kept.exists() else ():
        trial = Trial(**json.loads(line))
        found[trial.key] = Story(found[trial.key].first if trial.key in found else trial, trial)
    return found
