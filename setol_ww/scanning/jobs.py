"""What a scan has to do: the jobs of a checkpoint, and those of one shard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core.errors import InvalidInput
from ..formats.checkpoints import checkpoint_tensors
from ..weights.plan import Job, plan


def jobs_of(path: Path, layers: Sequence[str | int] | None = None) -> list[Job]:
    """Jobs for every tensor of two or more dimensions, in the order of the file.

    Parameters
    ----------
    path : Path
        As `setol_ww.scan`.
    layers : sequence of str or int, optional
        What to analyse; the rest is skipped with that reason. See `setol_ww.scan`.

    Raises
    ------
    InvalidInput
        There is nothing to analyse in the checkpoint, or nothing of that name.
    UnreadableCheckpoint
        A file is damaged, missing, or would run code.
    """
    entries = checkpoint_tensors(path)
    if not any(entry.is_candidate for entry in entries):
        raise InvalidInput(f"the path {str(path)!r} was asked; it holds no weight of two or more dimensions")
    return plan(entries, layers)


def shard_of(jobs: Sequence[Job], shard: tuple[int, int] | None) -> list[Job]:
    """The jobs of one shard of n; all of them without one."""
    if shard is None:
        return list(jobs)
    owner = shares([job.cost for job in jobs], shard[1])
    return [job for job, number in zip(jobs, owner) if number == shard[0]]


def shares(costs: Sequence[float], number: int) -> list[int]:
    """Which of `number` shards takes each job: the dearest first, always to the shard with the least work so far.

    The same for everyone who asks; the dearest shard has at most 4/3 of the least possible (Graham 1969).

    >>> shares([5.0, 4.0, 3.0, 3.0, 3.0], 2)
    [0, 1, 1, 0, 1]
    """
    load = [0.0] * number
    owner = [0] * len(costs)
    for job in sorted(range(len(costs)), key=lambda job: (-costs[job], job)):
        owner[job] = min(range(number), key=lambda shard: (load[shard], shard))
        load[owner[job]] += costs[job]
    return owner
