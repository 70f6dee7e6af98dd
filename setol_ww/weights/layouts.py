"""Which matrices a weight tensor holds: dense, pooled kernel slices, stacked experts, recurrent gates, fused q/k/v.

A layout is read from the shape, the name and, where there is a module, its class. Nothing is loaded here; a `Part`
knows how to take its matrices out of the tensor once that is in memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

GATES = {4: ("i", "f", "g", "o"), 3: ("r", "z", "n")}
FUSED_NAMES = ("in_proj_weight", "qkv", "qkv_proj", "c_attn", "Wqkv", "in_proj")
INTERLEAVED_NAMES = ("query_key_value", "wqkv")
MAX_KERNEL_GUESS = 32


@dataclass(frozen=True)
class Part:
    """One row of the table: matrices of one shape whose eigenvalues are pooled.

    Attributes
    ----------
    label : str
        The column `slice`; empty when the part is the whole tensor.
    layer_type : str
        `dense`, `embedding`, `conv1d`, `conv2d`, `conv3d`, `expert`, `gate`, `attention` or `stack`.
    kind : str
        How the matrices are cut: `whole`, `kernel` (trailing axes), `index` (leading axes), `rows`, `columns`.
    start, stop : int
        Position of the cut; for `index` the flattened leading index is `start`.
    rows, columns : int
        Shape of each matrix.
    count : int
        Number of pooled matrices.
    """

    label: str
    layer_type: str
    kind: str
    rows: int
    columns: int
    start: int = 0
    stop: int = 0
    count: int = 1

    @property
    def num_evals(self) -> int:
        """Eigenvalues of this part."""
        return min(self.rows, self.columns) * self.count

    def index(self, shape: Sequence[int]) -> tuple:
        """Where the part lies in a tensor of this shape, as an index of numpy's; empty when it needs all of it.

        >>> Part("1,2", "expert", "index", 64, 32, start=5).index((4, 3, 64, 32))
        (1, 2)
        """
        if self.kind == "index":
            return _position(self.start, shape[:-2])
        if self.kind == "rows":
            return (slice(self.start, self.stop),)
        if self.kind == "columns":
            return (slice(None), slice(self.start, self.stop))
        return ()

    def matrices_of_cut(self, cut: Any) -> list[Any]:
        """The 2-D views of what `index` has taken out of the tensor."""
        return self.matrices(cut) if self.kind in ("whole", "kernel") else [cut]

    def matrices(self, tensor: Any) -> list[Any]:
        """The 2-D views of `tensor` (numpy or torch, of any strides) that belong to this part."""
        if self.kind == "whole":
            return [tensor[(0,) * (len(tensor.shape) - 2)]]
        if self.kind == "kernel":
            return [tensor[(slice(None), slice(None), *place)] for place in np.ndindex(*tensor.shape[2:])]
        if self.kind == "index":
            return [tensor[tuple(int(axis) for axis in np.unravel_index(self.start, tensor.shape[:-2]))]]
        if self.kind == "rows":
            return [tensor[self.start : self.stop]]
        return [tensor[:, self.start : self.stop]]


def parts(name: str, shape: Sequence[int], owner: str = "", hidden_shape: Sequence[int] | None = None) -> list[Part]:
    """The whole-tensor reading of a weight: one part, one per stacked matrix or gate, none for a vector in disguise.

    Parameters
    ----------
    name : str
        Name in the state dict.
    shape : sequence of int
    owner : str
        Class name of the module that holds it, where known.
    hidden_shape : sequence of int, optional
        Shape of the hidden-to-hidden weight beside a recurrent input weight, which tells the number of gates.

    Examples
    --------
    >>> [part.label for part in parts("experts.gate_up_proj", (4, 64, 32))]
    ['0', '1', '2', '3']
    >>> parts("conv.weight", (16, 8, 3, 3), "Conv2d")[0].count
    9
    """
    last = name.rsplit(".", 1)[-1]
    if len(shape) == 2:
        gates = _gates(last, shape, owner, hidden_shape)
        if gates:
            return gates
        layer_type = "embedding" if "embedding" in owner.lower() else "dense"
        return [Part("", layer_type, "whole", shape[0], shape[1])]
    if _is_convolution(name, shape, owner):
        layer_type = f"conv{len(shape) - 2}d"
        return [Part("", layer_type, "kernel", shape[0], shape[1], count=math.prod(shape[2:]))]
    leading = math.prod(shape[:-2])
    layer_type = "expert" if re.search(r"expert|moe", name, re.IGNORECASE) else "stack"
    if sum(side > 1 for side in shape) < 2:
        return []
    if leading == 1:
        return [Part("", "dense", "whole", shape[-2], shape[-1])]
    return [
        Part(_index_label(position, shape[:-2]), layer_type, "index", shape[-2], shape[-1], start=position)
        for position in range(leading)
    ]


def fused_parts(name: str, shape: Sequence[int], owner: str = "") -> tuple[list[Part], str]:
    """The q, k, v parts of a fused attention projection, beside its whole, and why not where it has none.

    q is as wide as the model, k and v share what is left (equal thirds without grouped queries).

    Examples
    --------
    >>> [(part.label, part.start, part.stop) for part in fused_parts("attn.qkv_proj.weight", (96, 64))[0]]
    [('q', 0, 64), ('k', 64, 80), ('v', 80, 96)]
    """
    pieces = name.split(".")
    parameter = pieces[-2] if pieces[-1] == "weight" and len(pieces) > 1 else pieces[-1]
    if len(shape) != 2 or parameter not in FUSED_NAMES + INTERLEAVED_NAMES:
        return [], ""
    if parameter in INTERLEAVED_NAMES:
        return [], "analysed whole; q, k and v are interleaved by head in a way the name does not tell"
    by_columns = owner == "Conv1D" or shape[1] == 3 * shape[0]
    fused, width = (shape[1], shape[0]) if by_columns else (shape[0], shape[1])
    if not width < fused <= 3 * width or (fused - width) % 2:
        return [], ""
    key = (fused - width) // 2
    kind = "columns" if by_columns else "rows"
    bounds = (("q", 0, width), ("k", width, width + key), ("v", width + key, fused))
    found = []
    for label, start, stop in bounds:
        rows, columns = (shape[0], stop - start) if by_columns else (stop - start, shape[1])
        found.append(Part(label, "attention", kind, rows, columns, start=start, stop=stop))
    return found, ""


def hidden_name(name: str) -> str:
    """Name of the hidden-to-hidden weight that belongs to a recurrent input weight; empty for any other."""
    return name.replace("weight_ih", "weight_hh") if "weight_ih" in name else ""


def _gates(last: str, shape: Sequence[int], owner: str, hidden_shape: Sequence[int] | None) -> list[Part]:
    """Gate matrices of a recurrent weight in PyTorch's order, empty when it is none or the number is not known."""
    if not re.match(r"weight_(ih|hh)", last):
        return []
    count = {"LSTM": 4, "LSTMCell": 4, "GRU": 3, "GRUCell": 3}.get(owner, 0)
    hidden = shape if last.startswith("weight_hh") else hidden_shape
    if not owner and hidden is not None and hidden[0] % hidden[1] == 0:
        count = hidden[0] // hidden[1]
    if count not in GATES or shape[0] % count:
        return []
    rows = shape[0] // count
    return [
        Part(label, "gate", "rows", rows, shape[1], start=gate * rows, stop=(gate + 1) * rows)
        for gate, label in enumerate(GATES[count])
    ]


def _is_convolution(name: str, shape: Sequence[int], owner: str) -> bool:
    """True when the trailing axes are a kernel."""
    if owner:
        return bool(re.search(r"conv(transpose)?\dd", owner, re.IGNORECASE))
    if re.search(r"expert|moe", name, re.IGNORECASE):
        return False
    if len(shape) >= 4:
        return True
    if re.search(r"conv", name, re.IGNORECASE):
        return True
    return name.endswith(".weight") and shape[2] <= MAX_KERNEL_GUESS and shape[2] < min(shape[:2])


def _index_label(position: int, leading: Sequence[int]) -> str:
    return ",".join(map(str, _position(position, leading)))


def _position(position: int, leading: Sequence[int]) -> tuple[int, ...]:
    indices = []
    for size in reversed(leading):
        indices.append(position % size)
        position //= size
    return tuple(reversed(indices))
