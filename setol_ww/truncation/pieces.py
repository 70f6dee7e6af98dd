"""The pieces of a model that can be truncated: views into its tensors, each part once, and why a tensor cannot be.

A piece is what one row of the table stands for: a matrix, the kernel slices of a convolution, one expert, one gate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.errors import InvalidInput
from ..formats.checkpoints import inner_mapping
from ..weights.layouts import Part, fused_parts, hidden_name, parts
from ..weights.tensors import WeightTensor, mapping_tensors, module_tensors

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
        """Views into the tensor that bypass autograd and its version counter."""
        return self.part.matrices(self.tensor.data) if self.part is not None else []

    def bad_entries(self) -> str:
        """How many entries are not finite."""
        bad = sum(int((~matrix.double().isfinite()).sum()) for matrix in self.matrices())
        return f"{bad} of {sum(matrix.numel() for matrix in self.matrices())} entries are not finite"


@dataclass(frozen=True, eq=False)
class Candidate:
    """A part of a tensor that is not loaded: a piece to be, and all it may be asked for by.

    Attributes
    ----------
    entry : WeightTensor
    part : Part, optional
    title : str
    known_as : frozenset
        Names, types and layer ids.
    """

    entry: WeightTensor
    part: Part | None
    title: str
    known_as: frozenset

    def piece(self, tensor: Any, reason: str = "") -> Piece:
        """The piece in a loaded tensor."""
        reason = reason or self.entry.unfit or (COMPUTED if self.entry.effective else "")
        if not reason and self.part is None:
            reason = f"a vector in the shape {' x '.join(map(str, self.entry.shape))}"
        return Piece(self.title, tensor, self.part, reason)


def pieces_of(model: Any, layers: Any = None) -> list[Piece]:
    """The pieces of the layers that were asked for, in the order of the model.

    Raises
    ------
    InvalidInput
        No module or mapping of tensors, no weights in it, or `layers` names none of them.
    """
    entries, aliases = _entries(model)
    listed = candidates(entries, aliases)
    if not listed:
        raise InvalidInput(f"truncating {type(model).__name__} was asked; it holds no weight of two or more dimensions")
    chosen = {id(candidate) for candidate in selected(listed, layers)}
    taken: list[tuple[int, int, str]] = []
    pieces = []
    tensors: dict[str, tuple[Any, str]] = {}
    for candidate in listed:
        entry = candidate.entry
        if entry.name not in tensors:
            tensors[entry.name] = _opened(entry, taken)
        if id(candidate) in chosen:
            pieces.append(candidate.piece(*tensors[entry.name]))
    return pieces


def candidates(entries: Sequence[WeightTensor], aliases: Mapping[str, Sequence[str]]) -> list[Candidate]:
    """Every part of every tensor of two or more dimensions, tied ones once."""
    shapes = {entry.name: entry.shape for entry in entries}
    listed = []
    for entry, number in numbered(entries):
        if not entry.is_candidate or entry.same_as:
            continue
        longname = entry.name.removesuffix(".weight")
        for part in _parts_of(entry, shapes) or [None]:
            title = f"{longname} [{part.label}]" if part and part.label else longname
            known_as = {number, title, part.layer_type if part else "", entry.owner}
            for name in (entry.name, *aliases.get(entry.name, ())):
                known_as |= {name, name.removesuffix(".weight"), name.removesuffix(".weight").rsplit(".", 1)[-1]}
            listed.append(Candidate(entry, part, title, frozenset(known_as - {""})))
    return listed


def numbered(entries: Sequence[WeightTensor]) -> list[tuple[WeightTensor, int]]:
    """Entries with the layer ids of `analyze`: the module's index, or `*.weight` counted from 1 and the rest behind."""
    if any(entry.owner_index >= 0 for entry in entries):
        return [(entry, entry.owner_index) for entry in entries]
    ordered = sorted(entries, key=lambda entry: not entry.name.endswith(".weight"))
    ids = {entry.name: position for position, entry in enumerate(ordered, start=1)}
    return [(entry, ids[entry.name]) for entry in entries]


def _entries(model: Any) -> tuple[list[WeightTensor], dict[str, list[str]]]:
    """The tensors of a model, and for tied ones the other names under which they are known."""
    if hasattr(model, "named_modules"):
        first: dict[int, str] = {}
        aliases: dict[str, list[str]] = {}
        for name, tensor in model.named_parameters(remove_duplicate=False):
            leader = first.setdefault(id(tensor), name)
            aliases.setdefault(leader, []).append(name)
        return module_tensors(model), aliases
    if isinstance(model, Mapping):
        entries = mapping_tensors(inner_mapping(model))
        aliases = {}
        for entry in entries:
            aliases.setdefault(entry.same_as or entry.name, []).append(entry.name)
        return entries, aliases
    raise InvalidInput(
        f"truncating {type(model).__name__} was asked; accepted is a torch.nn.Module or a mapping of names to tensors"
    )


def _parts_of(entry: WeightTensor, shapes: Mapping[str, Sequence[int]]) -> list[Part | None]:
    if entry.unfit:
        return []
    if entry.name.endswith("in_proj_weight"):
        fused, _ = fused_parts(entry.name, entry.shape, entry.owner)
        if fused:
            return list(fused)
    return list(parts(entry.name, entry.shape, entry.owner, shapes.get(hidden_name(entry.name))))


def _opened(entry: WeightTensor, taken: list[tuple[int, int, str]]) -> tuple[Any, str]:
    """The tensor itself (a numpy array as a tensor in the same memory), and why it cannot be written into."""
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
    if tensor.is_inference():
        return "it was made in inference mode and cannot be changed"
    if tensor.numel() > _extent(tensor):
        return "its elements share memory with each other (an expanded tensor)"
    return ""


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


def selected(listed: list[Candidate], layers: Any) -> list[Candidate]:
    """Those that `layers` asks for: named ones, or all but those with a minus."""
    asked = [layers] if isinstance(layers, (str, int, type)) or not isinstance(layers, Iterable) else list(layers)
    if layers is None or not asked:
        return listed
    wanted: set[Any] = set()
    unwanted: set[Any] = set()
    for which in asked:
        key = which.__name__ if isinstance(which, type) else which
        if not isinstance(key, (str, int, np.integer)) or isinstance(key, bool):
            raise _no_such_layers(layers, listed)
        excluded = key.startswith("-") if isinstance(key, str) else key < 0
        key = (key[1:] if isinstance(key, str) else -key) if excluded else key
        if not any(key in candidate.known_as for candidate in listed):
            raise _no_such_layers(layers, listed, which)
        (unwanted if excluded else wanted).add(key)
    chosen = [one for one in listed if (not wanted or wanted & one.known_as) and not unwanted & one.known_as]
    if not chosen:
        raise _no_such_layers(layers, listed)
    return chosen


def _no_such_layers(layers: Any, listed: list[Candidate], which: Any = None) -> InvalidInput:
    some = ", ".join(one.title for one in listed[:8]) + (f" and {len(listed) - 8} more" if len(listed) > 8 else "")
    no_such = f"{which!r} is none of the model's" if which is not None else "they select nothing"
    return InvalidInput(
        f"layers={layers!r} was asked; {no_such}. Accepted are names ({some}), types (dense, conv2d, Linear) and "
        "ids as in analyze, or the same with a minus for all but those"
    )
