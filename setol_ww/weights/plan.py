"""What a scan has to do: one job for every row, told from the names, shapes and types in a checkpoint alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from ..core.errors import InvalidInput
from .cost import cost
from .layouts import Part, fused_parts, hidden_name, parts
from .tensors import WeightTensor

NAMES_SHOWN = 12


@dataclass(frozen=True)
class Job:
    """One row to come. Small and picklable: a worker gets this and no weights.

    Attributes
    ----------
    position : int
        Place in the table; the key of the row.
    file : str
        Where the tensor lies.
    tensor : str
        Its full name.
    layer_id : int
        WeightWatcher's: tensors called `*.weight` counted from 1, the others behind.
    shape, dtype
        Of the tensor.
    part : Part, optional
        Which matrices of it; None where there are none.
    note : str
        Why it is not analysed, where `part` is None or `skipped`; else a remark for the column `reason`.
    """

    position: int
    file: str
    tensor: str
    layer_id: int
    shape: tuple[int, ...]
    dtype: str
    part: Part | None = None
    note: str = ""
    skipped: bool = False

    @property
    def longname(self) -> str:
        """WeightWatcher's name of the layer."""
        return self.tensor.removesuffix(".weight")

    @property
    def title(self) -> str:
        """Long name with the slice."""
        return f"{self.longname} [{self.part.label}]" if self.part and self.part.label else self.longname

    @property
    def cost(self) -> float:
        """Work units; 0 for a row that needs no work."""
        return cost(self.part.rows, self.part.columns, self.part.count) if self.part and not self.skipped else 0.0

    def identity(self) -> dict[str, Any]:
        """What is known without reading a value; sizes are None where there is no matrix."""
        part = self.part
        sizes: dict[str, Any] = dict.fromkeys(("N", "M", "Q", "rf", "num_evals"))
        n_params = 1
        for side in self.shape:
            n_params *= side
        if part is not None:
            large, small = max(part.rows, part.columns), min(part.rows, part.columns)
            sizes = {"N": large, "M": small, "Q": large / small, "rf": part.count, "num_evals": part.num_evals}
            n_params = large * small * part.count
        return {
            "longname": self.longname,
            "slice": part.label if part else "",
            "layer_type": part.layer_type if part else "",
            **sizes,
            "dtype": self.dtype,
            "tensor": self.tensor,
            "layer_id": self.layer_id,
            "shape": " x ".join(map(str, self.shape)),
            "n_params": n_params,
        }


def plan(entries: Sequence[WeightTensor], layers: Sequence[str | int] | None = None) -> list[Job]:
    """Jobs for every tensor of two or more dimensions, in the order given.

    Parameters
    ----------
    entries : sequence of WeightTensor
        All of a checkpoint.
    layers : sequence of str or int, optional
        What to analyse; the rest is skipped with that reason. See `setol_ww.scan`.

    Raises
    ------
    InvalidInput
        There is nothing of that name.
    """
    ids = _layer_ids(entries)
    shapes = {entry.name: entry.shape for entry in entries}
    jobs: list[Job] = []
    for entry in entries:
        if entry.is_candidate:
            jobs += _jobs_of(entry, ids[entry.name], shapes)
    jobs = [replace(job, position=position) for position, job in enumerate(jobs)]
    return jobs if layers is None else _only(jobs, layers)


def _layer_ids(entries: Iterable[WeightTensor]) -> dict[str, int]:
    ordered = sorted(entries, key=lambda entry: not entry.name.endswith(".weight"))
    return {entry.name: number for number, entry in enumerate(ordered, start=1)}


def _jobs_of(entry: WeightTensor, layer_id: int, shapes: dict[str, tuple[int, ...]]) -> list[Job]:
    blank = Job(-1, str(entry.file), entry.name, layer_id, entry.shape, entry.dtype)
    if entry.unfit or entry.same_as:
        note = entry.unfit or f"tied to {entry.same_as}, analysed there"
        return [replace(blank, note=note, skipped=True)]
    fused, remark = fused_parts(entry.name, entry.shape, entry.owner)
    # WeightWatcher has no row for in_proj_weight, so its whole, three matrices in one, is none of ours either.
    whole = [] if fused and entry.name.endswith("in_proj_weight") else _own_parts(entry, shapes)
    found = [*whole, *fused]
    if not found:
        return [replace(blank, note=f"a vector in the shape {' x '.join(map(str, entry.shape))}", skipped=True)]
    return [replace(blank, part=part, note=remark) for part in found]


def _own_parts(entry: WeightTensor, shapes: dict[str, tuple[int, ...]]) -> list[Part]:
    """The matrices of a tensor; `*.weight` of four dimensions is a convolution, as WeightWatcher has it."""
    owner = "Conv2d" if len(entry.shape) == 4 and entry.name.endswith(".weight") else entry.owner
    return parts(entry.name, entry.shape, owner, shapes.get(hidden_name(entry.name)))


def _only(jobs: list[Job], layers: Sequence[str | int]) -> list[Job]:
    """Skip what `layers` does not name."""
    for which in layers:
        if not any(_is_meant(job, which) for job in jobs):
            names = sorted({job.longname for job in jobs if job.part})
            shown = ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
            types = sorted({job.part.layer_type for job in jobs if job.part})
            raise InvalidInput(
                f"layers={list(layers)!r} was asked; nothing here is called {which!r}. Accepted are names or patterns "
                f"({shown}), types ({', '.join(types)}) and layer ids"
            )
    excluded = [which for which in layers if isinstance(which, int) and which < 0]
    wanted = [which for which in layers if which not in excluded]
    kept = []
    for job in jobs:
        named = not wanted or any(_is_meant(job, which) for which in wanted)
        if job.skipped or (named and not any(_is_meant(job, which) for which in excluded)):
            kept.append(job)
        else:
            kept.append(replace(job, note=f"not among layers={list(layers)!r}", skipped=True))
    return kept


def _is_meant(job: Job, which: str | int) -> bool:
    if isinstance(which, int):
        return job.layer_id == abs(which)
    # A name may itself hold brackets, which a pattern would read as a set of characters.
    if which in (job.longname, job.tensor, job.part.layer_type if job.part else ""):
        return True
    return fnmatchcase(job.longname, which)
