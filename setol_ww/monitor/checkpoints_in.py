"""The checkpoints in a folder that a run writes to: what counts as one, its step, and whether it is complete."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import InvalidInput, UnreadableCheckpoint
from ..formats.checkpoints import checkpoint_files, checkpoint_fingerprint
from ..formats.folder import NO_MODEL, SHARD
from ..formats.reader import forget
from ..formats.registry import accepted
from ..formats.steps import step_of
from ..weights.tensors import natural_key

#: Names under which libraries write before they rename.
UNFINISHED = re.compile(r"^(\.|tmp)|\.(tmp|part|incomplete|lock)$")
#: Size and time of each file.
Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Found:
    """A complete checkpoint: its place, name in the folder, step, and by what its weights are known again."""

    path: Path
    name: str
    step: int | None
    weights: str


@dataclass
class Folder:
    """A folder looked at again and again; a checkpoint is complete when it did not change between two looks and opens.

    Attributes
    ----------
    path : Path
    refused : dict
        Why a checkpoint that rests cannot be read, by name.
    """

    path: Path
    refused: dict[str, str] = field(default_factory=dict)
    _seen: dict[str, Signature] = field(default_factory=dict)
    _settled: dict[str, Signature] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.path.is_dir():
            raise InvalidInput(f"watching {str(self.path)!r} was asked; accepted is a folder that is there")

    def look(self) -> list[Found]:
        """The checkpoints that came to rest since the last look, in the order of their names' numbers."""
        now = {path.name: signature_of(path) for path in self._candidates()}
        rested = [name for name, signature in now.items() if signature and self._seen.get(name) == signature]
        self._seen = now
        found = [self._opened(name) for name in rested if self._settled.get(name) != now[name]]
        return sorted(filter(None, found), key=lambda one: (one.step is None, one.step or 0, natural_key(one.name)))

    def _candidates(self) -> list[Path]:
        there = sorted(self.path.iterdir())
        return [path for path in there if not UNFINISHED.search(path.name) and _may_be_one(path)]

    def _opened(self, name: str) -> Found | None:
        path = self.path / name
        try:
            weights = checkpoint_fingerprint(path)[0]
            found = Found(path, name, step_of(path), weights)
        except (InvalidInput, OSError) as error:
            # Looked at again when it changes: a writer may have paused.
            self.refused[name] = str(error)
            found = None
        finally:
            forget()
        self._settled[name] = self._seen[name]
        if found is not None:
            self.refused.pop(name, None)
        return found


def signature_of(path: Path) -> Signature:
    """Size and time of each file of a checkpoint; empty for one that is going or holds no files yet."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        stats = [(file.name, file.stat()) for file in files if file.is_file()]
    except FileNotFoundError:
        return ()
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _may_be_one(path: Path) -> bool:
    """A file of weights, or a folder that holds some; links lead to checkpoints that stand here already."""
    if path.is_symlink():
        return False
    if path.is_dir():
        try:
            return bool(checkpoint_files(path))
        except UnreadableCheckpoint:
            return True
        except (InvalidInput, OSError):
            return False
    return path.suffix in accepted() and not NO_MODEL.search(path.name) and not SHARD.match(path.stem)
