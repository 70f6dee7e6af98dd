"""What a model that is being trained holds at the moment: its jobs, and a copy of one of them."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core.arrays import to_numpy
from ..core.boundary import attempt
from ..core.errors import InvalidInput
from ..core.options import Options
from ..core.plain import as_computed
from ..results.record import ANALYZED, FAILED, LayerRecord
from ..scanning.row import concluded, measured, scale_of
from ..truncation.pieces import model_tensors
from ..weights.plan import Job, plan
from ..weights.tensors import WeightTensor, config_of_module, mapping_tensors, why_unfit
from .sharded import refuse_sharded

WARM = (48, 32)
GONE = "the model has no layer of that name any more"
#: Wrappers that hold the whole model under another name.
WRAPPERS = {"_orig_mod": ("OptimizedModule",), "module": ("DistributedDataParallel", "DataParallel")}


@dataclass(frozen=True, eq=False)
class Copy:
    """The matrices of one layer in memory of their own, or why there are none."""

    job: Job
    matrices: list[np.ndarray]
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Layer:
    """A matrix of the model, to be copied when its turn comes, or why there is none to copy (`missing`)."""

    job: Job
    tensor: WeightTensor
    missing: str = ""

    def copied(self) -> Copy:
        """A copy as it is now; nothing of the model changes."""
        if self.missing:
            return Copy(self.job, [], f"layer {self.job.title}: {self.missing}")
        found = attempt(self.job.title, "not copied", self._matrices)
        return Copy(self.job, found.value or [], found.reason)

    def _matrices(self) -> list[np.ndarray]:
        assert self.job.part is not None
        values = as_computed(self.tensor.load())
        return [np.array(to_numpy(matrix)) for matrix in self.job.part.matrices(values)]


def unwrapped(model: Any) -> Any:
    """The model inside what torch.compile and data parallelism wrap around it."""
    for name, classes in WRAPPERS.items():
        if type(model).__name__ in classes:
            return unwrapped(getattr(model, name))
    return model


def layers_of_model(model: Any, options: Options) -> list[Layer]:
    """The matrices that are to be looked at, in the order of the model; weights without values with the reason.

    Raises
    ------
    InvalidInput
        Sharded parameters, no module or mapping of tensors, no weights, no layers of that name.
    """
    inner = unwrapped(model)
    refuse_sharded(inner)
    tensors = model_tensors(inner, "a monitor of")
    config: Mapping[str, Any] = config_of_module(inner)
    jobs = plan(tensors, options.layers or None, options.layouts, config=config)
    by_name = {tensor.name: tensor for tensor in tensors}
    layers = [
        Layer(job, by_name[job.tensor], job.note if job.skipped else "")
        for job in jobs
        if (job.part is not None and not job.skipped) or _has_no_values(job, by_name[job.tensor])
    ]
    if all(one.missing for one in layers):
        why = "".join(f" ({one.job.title}: {one.missing})" for one in layers[:1])
        raise InvalidInput(
            f"a monitor of {type(inner).__name__} was asked; it holds no weight of two or more dimensions that can be "
            f"looked at{why}"
        )
    return layers


def _has_no_values(job: Job, tensor: WeightTensor) -> bool:
    """Whether a weight that was asked for cannot be read because of how it is stored: on the meta device, ..."""
    if job.left_out or tensor.same_as or not tensor.unfit:
        return False
    return 0 in tensor.shape or not why_unfit(tensor.name, tensor.shape, tensor.dtype, (), tensor.owner)


def layers_now(model: Any, options: Options, before: Sequence[Layer], chosen: Container[str] | None) -> list[Layer]:
    """`layers_of_model` of a run that goes on, whatever has become of the model: of all titles or of the `chosen` ones.

    What was followed `before` and is not there any more comes last, once, with the reason.
    """
    every = options.changed(layers=None)
    tried = attempt(type(model).__name__, "not looked at", lambda: layers_of_model(model, every))
    now = [one for one in tried.value or () if chosen is None or one.job.title in chosen]
    there = {one.job.title for one in now}
    gone = [one for one in before if not one.missing and one.job.title not in there]
    return [*now, *(replace(one, missing=tried.reason or GONE) for one in gone)]


def analysed(copy: Copy, options: Options) -> LayerRecord:
    """What one copy says; what is wrong with it becomes the reason of its row.

    No thread setting of the process is touched, and nothing is drawn from a generator of the host.
    """
    job = copy.job
    blank = LayerRecord(job.position, job.identity(), reason=job.note)
    if copy.reason:
        return replace(blank, status=FAILED, reason=copy.reason)
    assert job.part is not None
    scale = scale_of(job.part)

    def says() -> list[tuple[LayerRecord, str]]:
        return concluded([measured(blank, job, copy.matrices, scale, options)], options)

    found = attempt(job.title, "not analysed", says)
    ((record, reason),) = found.value or [(blank, found.reason)]
    return replace(record, status=FAILED if reason else ANALYZED, reason=reason or job.note)


def warm_up(options: Options) -> None:
    """Analyse a small matrix: what is loaded on first use is loaded now, in the caller's thread."""
    matrix = np.random.default_rng(0).normal(size=WARM)
    (job,) = plan(mapping_tensors({"weight": matrix}))
    analysed(Copy(job, [matrix]), options)
