"""The base model that weights are compared with: paired with them by name, so that differences are of one layer."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from ..core.arrays import as_weightwatcher_reads, to_numpy
from ..core.boundary import attempt
from ..core.plain import as_computed
from ..weights.plan import Job
from ..weights.tensors import WeightTensor
from .model import Given


class Base:
    """The tensors of a base model; `subtract` takes them from the matrices of a layer, or says why it cannot."""

    def __init__(self, given: Given) -> None:
        self.entries = {entry.name: entry for entry in given.entries}

    def subtract(self, ww_layer: Any, job: Job) -> str:
        """Make the matrices of a layer differences to the base; the reason where there is nothing to subtract."""
        entry, why = self._entry_of(job)
        if entry is None:
            return why
        read = attempt(job.title, "not subtracted", lambda: self._matrices(ww_layer, job, entry))
        if read.value is None:
            return read.reason
        ww_layer.Wmats = read.value
        return ""

    def _entry_of(self, job: Job) -> tuple[WeightTensor | None, str]:
        """The tensor of the same name (or of a name it is tied to) and shape."""
        names = [job.tensor, *sorted(job.known_as)]
        entry = next((self.entries[name] for name in names if name in self.entries), None)
        if entry is None:
            return None, f"layer {job.title}: the base model has no tensor {job.tensor!r}"
        if entry.shape != job.shape:
            here, there = (" x ".join(map(str, shape)) for shape in (job.shape, entry.shape))
            return None, f"layer {job.title}: its shape is {here}, in the base model {there}"
        if entry.unfit:
            return None, f"layer {job.title}: in the base model {entry.unfit}"
        return entry, ""

    def _matrices(self, ww_layer: Any, job: Job, entry: WeightTensor) -> list[Any]:
        assert job.part is not None
        mine = ww_layer.Wmats
        if ww_layer.weights is None:
            cut = as_computed(entry.read(job.part.index(entry.shape)))
            theirs = [to_numpy(matrix) for matrix in job.part.matrices_of_cut(cut)]
            return [np.subtract(left, right, dtype=np.float64) for left, right in zip(mine, theirs, strict=True)]
        # A layer of weightwatcher's: its own cut of the tensor, and differences in its own precision.
        twin = copy.copy(ww_layer)
        twin.weights = to_numpy(as_weightwatcher_reads(entry.load()))
        twin.set_weight_matrices(twin.weights)
        theirs = twin.Wmats if len(twin.Wmats) == len(mine) else [twin.Wmats[ww_layer.slice_id]]
        return [left - right.astype(left.dtype, copy=False) for left, right in zip(mine, theirs, strict=True)]
