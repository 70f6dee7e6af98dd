"""The pieces of a model that can be truncated: views into its tensors, each part once, and why a tensor cannot be.

A piece is what one row of the table stands for: a matrix, the kernel slices of a convolution, one expert, one gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import InvalidInput
from ..core.plain import is_subclass
from ..formats.checkpoints import inner_mapping
from ..weights.layouts import Part
from ..weights.plan import Job, plan
from ..weights.schemes import joined
from ..weights.schemes.base import listed
from ..weights.tensors import WeightTensor, config_of_module, mapping_tensors, module_tensors

COMPUTED = "it is computed from other parameters (parametrised), which a truncated value would not change rightly"


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of one tensor, in the memory of the model.

    Attributes
    ----------
    title : str
        Name in the table, the slice in brackets.
    tensor : torch.Tensor
    part : Part, optional
        None for a tensor that has no matrices.
    reason : str
        Why it stays whole; empty when it can be truncated.
    """

    title: str
    tensor: Any
    part: Part | None
    reason: str = ""

    @property
    def num_evals(self) -> int:
        """Number of singular components."""
        return self.part.num_evals if self.part is not None else 0

    def matrices(self) -> list[Any]:
        """Views into the tensor that bypass autograd and its version counter; copies of a part that is no view."""
        return self.part.matrices(self.tensor.data) if self.part is not None else []

    def put(self, matrices: Sequence[Any]) -> None:
        """Write back what `matrices` gave, where it was no view."""
        if self.part is not None and not self.part.is_view:
            self.part.put(self.tensor.data, matrices)

    def bad_entries(self) -> str:
        """How many entries are not finite."""
        bad = sum(int((~matrix.double().isfinite()).sum()) for matrix in self.matrices())
        return f"{bad} of {sum(matrix.numel() for matrix in self.matrices())} entries are not finite"


def pieces_of(
    model: Any, layers: Any = None, layouts: Mapping[str, str] | None = None, *, asked: str = "truncating"
) -> list[Piece]:
    """The pieces of the layers that were asked for, in the order of the model; `asked` names the work in a refusal.

    Raises
    ------
    InvalidInput
        No module or mapping of tensors, no weights in it, or `layers` names none of them.
    """
    tensors = model_tensors(model, asked)
    jobs = planned(tensors, layers, layouts, config_of_module(model))
    if not jobs:
        raise InvalidInput(f"{asked} {type(model).__name__} was asked; it holds no weight of two or more dimensions")
    by_name = {tensor.name: tensor for tensor in tensors}
    taken: list[tuple[int, int, str]] = []
    pieces = []
    opened: dict[str, tuple[Any, str]] = {}
    for job in jobs:
        tensor = by_name[job.tensor]
        if tensor.name not in opened:
            opened[tensor.name] = _opened(tensor, taken)
        if not job.left_out:
            pieces.append(piece_of(tensor, job, *opened[tensor.name]))
    return pieces


def planned(
    tensors: Sequence[WeightTensor],
    layers: Any = None,
    layouts: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
) -> list[Job]:
    """The jobs of a truncation: every matrix once, tied weights once.

    Where a tensor has a row for its whole and rows for pieces of it, the whole is cut, as WeightWatcher analyses it,
    unless only pieces are asked for.
    """
    tied = {tensor.name for tensor in tensors if tensor.same_as}
    jobs = [job for job in plan(tensors, layers, layouts, config=config) if job.tensor not in tied]
    whole = {job.tensor for job in jobs if job.part is not None and not job.label and not job.left_out}
    return [job for job in jobs if not (job.label and job.tensor in whole)]


def piece_of(tensor: WeightTensor, job: Job, values: Any, reason: str = "") -> Piece:
    """The piece of a job in a loaded tensor."""
    reason = reason or _made_of(tensor) or (job.note if job.part is None else "")
    return Piece(job.title, values, job.part, reason)


def _made_of(tensor: WeightTensor) -> str:
    """Why a weight that is put together from others cannot be written back; empty for one that is stored."""
    if tensor.recipe is None:
        return COMPUTED if tensor.effective else ""
    names = listed(part.name for part in tensor.recipe.parts)
    return (
        f"it is put together from {names} ({tensor.dtype}), which a truncated value cannot be written back into; save "
        "the weights as they act first"
    )


def model_tensors(model: Any, asked: str) -> list[WeightTensor]:
    """The tensors of a module or mapping in memory; `asked` begins the sentence that refuses anything else."""
    if hasattr(model, "named_modules"):
        return joined(module_tensors(model), config_of_module(model))
    if isinstance(model, Mapping):
        return joined(mapping_tensors(inner_mapping(model)))
    raise InvalidInput(
        f"{asked} {type(model).__name__} was asked; accepted is a torch.nn.Module or a mapping of names to tensors"
    )


def _opened(entry: WeightTensor, taken: list[tuple[int, int, str]]) -> tuple[Any, str]:
    """The tensor itself (a numpy array as a tensor in the same memory), and why it cannot be written into."""
    if entry.recipe is not None:
        return None, ""
    tensor = entry.load()
    if entry.unfit or entry.effective:
        return tensor, ""
    if not hasattr(tensor, "detach"):
        if not tensor.flags.writeable:
            return tensor, "its array is read-only"
        import torch

        try:
            tensor = torch.from_numpy(tensor)
        except (TypeError, ValueError) as error:
            return tensor, f"an array that torch cannot hold in place: {error}"
    return tensor, _why_not_written(tensor) or _shared_with(tensor, taken, entry.name)


def _why_not_written(tensor: Any) -> str:
    """Why a value cannot be written into a tensor; empty when it can."""
    if is_subclass(tensor) and _has_own_rules(type(tensor)):
        return f"it is a {type(tensor).__name__}, which decides by itself what is written into it"
    if tensor.is_inference():
        return "it was made in inference mode and cannot be changed"
    if tensor.numel() > _extent(tensor):
        return "its elements share memory with each other (an expanded tensor)"
    return ""


def _has_own_rules(kind: type) -> bool:
    """True for a class of tensors that answers torch's functions itself: it may have no memory, or allow no writing."""
    known = ("torch", "torch.nn.parameter", "torch._tensor")
    own = [
        vars(one) for one in kind.__mro__ if one.__module__ not in known and not one.__module__.startswith("torch._C")
    ]
    return any(name in words for words in own for name in ("__torch_function__", "__torch_dispatch__"))


def _extent(tensor: Any) -> int:
    """Number of elements between the first and the last, both included."""
    return 1 + sum((side - 1) * abs(stride) for side, stride in zip(tensor.shape, tensor.stride()))


def _shared_with(tensor: Any, taken: list[tuple[int, int, str]], name: str) -> str:
    """Why not, when another tensor of the model lies in the same memory; else the place is taken."""
    start = tensor.data_ptr()
    stop = start + _extent(tensor) * tensor.element_size()
    for other_start, other_stop, other in taken:
        if start < other_stop and other_start < stop and tensor.device.type != "meta":
            return f"it shares its memory with {other}, truncated there"
    taken.append((start, stop, name))
    return ""
