"""The jobs of a scan: those of a checkpoint's plan, what each costs, and which of them a shard has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import InvalidInput
from ..formats.checkpoints import checkpoint_tensors
from ..formats.folder import config_of
from ..formats.places import Place
from ..weights.plan import Job, plan
from .cost import cost, shares


def jobs_of(path: Place, layers: Any = None, layouts: Mapping[str, str] | None = None) -> list[Job]:
    """Jobs for every tensor of two or more dimensions of a checkpoint, in the order of the file.

    Raises
    ------
    InvalidInput
        There is nothing to analyse in it, or nothing of that name.
    UnreadableCheckpoint
        A file is damaged, missing, or would run code.
    """
    tensors = checkpoint_tensors(path)
    if not any(tensor.is_candidate for tensor in tensors):
        raise InvalidInput(f"the path {str(path)!r} was asked; it holds no weight of two or more dimensions")
    return plan(tensors, layers, layouts, config=config_of(path))


def cost_of(job: Job) -> float:
    """Work units; 0 for a row that needs no work."""
    return cost(job.part.rows, job.part.columns, job.part.count) if job.part and not job.skipped else 0.0


def shard_of(jobs: Sequence[Job], shard: tuple[int, int] | None) -> list[Job]:
    """The jobs of one shard of n; all of them without one."""
    if shard is None:
        return list(jobs)
    owner = shares([cost_of(job) for job in jobs], shard[1])
    return [job for job, number in zip(jobs, owner) if number == shard[0]]
