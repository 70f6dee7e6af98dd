"""The plan: a job for every row, told from names, shapes, types, classes and the config, never from values.

The only place that knows what a tensor means: `analyze`, `scan`, `truncate` and `examine` take their jobs from here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from ..core.errors import InvalidInput
from .layouts import Part, Reading, Situation, read_as, read_as_asked
from .naming import titled
from .schemes import Recipe
from .selector import Selector
from .tensors import WeightTensor

#: So many layers are worked on together, of so many entries each at most: what a call of numpy costs
#: is then shared, and what a stage needs stays in the cache.
TOGETHER, SMALL = 16, 2**20

#: Classes that tell nothing of the parameters they hold.
CONTAINERS = (
    "Module",
    "GraphModule",
    "InterpreterModule",
    "ParameterDict",
    "ParameterList",
    "Sequential",
    "ModuleDict",
)


@dataclass(frozen=True)
class Job:
    """One row to come. Small and picklable: a worker gets this and no weights.

    Attributes
    ----------
    position : int
        Place in the table; the key of the row.
    file : str
        Where the tensor lies; empty in memory.
    tensor : str
        Its full name.
    layer_id : int
        WeightWatcher's: the module's index, or tensors called `*.weight` counted from 1 (from 0 in a directory), the
        others behind.
    shape, dtype
        Of the tensor.
    part : Part, optional
        Which matrices of it; None where there are none.
    note : str
        Why it is not analysed, where `skipped`; else a remark for the column `reason`.
    skipped : bool
        There is nothing to analyse, or it was not asked for.
    left_out : bool
        `layers` does not ask for it.
    layout_from : str
        How the layout is known: `asked`, `module`, `config` or `names`.
    owner : str
        Class name of the module that holds it.
    known_as : frozenset of str
        Further names: of tied weights.
    recipe : Recipe, optional
        How the tensor is put together from stored ones, where it is.
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
    left_out: bool = False
    layout_from: str = ""
    owner: str = ""
    known_as: frozenset[str] = field(default=frozenset(), repr=False)
    recipe: Recipe | None = field(default=None, repr=False)

    @property
    def longname(self) -> str:
        """WeightWatcher's name of the layer."""
        return self.tensor.removesuffix(".weight")

    @property
    def is_small(self) -> bool:
        """True where it is worked on with others of few entries."""
        part = self.part
        return part is not None and not self.skipped and part.rows * part.columns * part.count <= SMALL

    @property
    def is_weightwatchers(self) -> bool:
        """True for a whole tensor that weightwatcher reads by its axes."""
        return self.part is not None and not self.label and self.part.is_weightwatchers

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it is read from; none in memory."""
        return self.recipe.files if self.recipe is not None else (self.file,) if self.file else ()

    @property
    def label(self) -> str:
        """The column `slice`."""
        return self.part.label if self.part else ""

    @property
    def title(self) -> str:
        """Long name with the slice."""
        return titled(self.longname, self.label)

    @property
    def names(self) -> frozenset[str]:
        """Everything it may be called in `layers`."""
        tensors = {self.tensor, *self.known_as}
        longnames = {name.removesuffix(".weight") for name in tensors}
        return frozenset({self.title, *tensors, *longnames, *(name.rsplit(".", 1)[-1] for name in longnames)})

    @property
    def types(self) -> frozenset[str]:
        """What it is: its layer type and the class of its module."""
        return frozenset({self.part.layer_type if self.part else "", self.owner} - {""})

    @property
    def n_params(self) -> int:
        """Elements of the part, or of the tensor where there is none."""
        part = self.part
        return part.rows * part.columns * part.count if part else math.prod(self.shape)

    def identity(self) -> dict[str, Any]:
        """What is known without reading a value; sizes are None where there is no matrix."""
        part = self.part
        sizes: dict[str, Any] = dict.fromkeys(("N", "M", "Q", "rf", "num_evals"))
        if part is not None:
            large, small = max(part.rows, part.columns), min(part.rows, part.columns)
            sizes = {"N": large, "M": small, "Q": large / small, "rf": part.count, "num_evals": part.num_evals}
        return {
            "longname": self.longname,
            "slice": self.label,
            "layer_type": part.layer_type if part else "",
            **sizes,
            "dtype": self.dtype,
            "layout": part.layout if part else "",
            "layout_from": self.layout_from if part else "",
            "tensor": self.tensor,
            "layer_id": self.layer_id,
            "shape": " x ".join(map(str, self.shape)),
            "n_params": self.n_params,
        }


def plan(
    tensors: Sequence[WeightTensor],
    layers: Any = None,
    layouts: Mapping[str, str] | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    start_ids: int | None = None,
) -> list[Job]:
    """Jobs for every tensor of two or more dimensions, in the order of the model.

    Parameters
    ----------
    tensors : sequence of WeightTensor
        All of the model: siblings tell what a tensor is.
    layers : optional
        What to analyse, see `setol_ww.weights.selector`; the rest is skipped with that reason.
    layouts : mapping of str to str, optional
        What the user says of tensors: patterns of their names, and how to read them (`qkv:64,32,32`, `stack:8`,
        `kernel:0,1`, `skip`, ...; docs/layouts.md has all).
    config : mapping, optional
        The config beside a checkpoint, or that of a module.
    start_ids : int, optional
        The first layer id: 0 for modules and directories, 1 for mappings and files by default.

    Raises
    ------
    InvalidInput
        `layers` or `layouts` names nothing here, or a tensor cannot be read as asked.

    Examples
    --------
    >>> import numpy as np
    >>> from setol_ww.weights.tensors import mapping_tensors
    >>> tensors = mapping_tensors({"attn.qkv_proj.weight": np.zeros((64, 32)), "norm.weight": np.zeros(32)})
    >>> config = {"model_type": "phi3", "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2}
    >>> [(job.label, job.part.rows, job.layout_from) for job in plan(tensors, config=config)]
    [('', 64, 'config'), ('q', 32, 'config'), ('k', 16, 'config'), ('v', 16, 'config')]
    """
    asked = dict(layouts or {})
    ids = layer_ids(tensors, start_ids)
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    aliases = _aliases(tensors)
    _refuse_idle(asked, tensors)
    jobs: list[Job] = []
    for tensor, layer_id in zip(tensors, ids):
        if tensor.is_candidate:
            known_as = frozenset({*aliases.get(tensor.name, ()), *tensor.known_as})
            jobs += _jobs_of(tensor, layer_id, known_as, _reading(tensor, shapes, asked, config or {}))
    jobs = [replace(job, position=position) for position, job in enumerate(jobs)]
    return _only(jobs, Selector.of(layers))


def layer_ids(tensors: Sequence[WeightTensor], start: int | None = None) -> list[int]:
    """WeightWatcher's ids: the index of the module, or `*.weight` counted from 1 (a directory: from 0), then the rest.

    >>> import numpy as np
    >>> from setol_ww.weights.tensors import mapping_tensors
    >>> layer_ids(mapping_tensors({"a.bias": np.zeros(2), "b.weight": np.zeros((2, 2))}))
    [2, 1]
    """
    if any(tensor.owner_index >= 0 for tensor in tensors):
        return [tensor.owner_index + (start or 0) for tensor in tensors]
    # It counts a directory from 0, in the order of its files.
    first = 0 if any(tensor.place >= 0 for tensor in tensors) else 1
    order = [(not tensor.name.endswith(".weight"), tensor.place) for tensor in tensors]
    ids = [0] * len(tensors)
    for number, place in enumerate(sorted(range(len(tensors)), key=order.__getitem__), start=start or first):
        ids[place] = number
    return ids


def _reading(
    tensor: WeightTensor, shapes: Mapping[str, Sequence[int]], asked: Mapping[str, str], config: Mapping[str, Any]
) -> Reading | None:
    """Which matrices a tensor holds; None for one that is no weight or stands for another."""
    if tensor.unfit or tensor.same_as:
        return None
    owner = "" if tensor.owner in CONTAINERS else tensor.owner
    situation = Situation(tensor.name, tensor.shape, owner, tensor.facts, shapes, config)
    for pattern, words in asked.items():
        if tensor.name == pattern or fnmatchcase(tensor.name, pattern):
            return read_as_asked(situation, words)
    return read_as(situation)


def _jobs_of(tensor: WeightTensor, layer_id: int, known_as: frozenset[str], reading: Reading | None) -> Iterable[Job]:
    file = "" if tensor.file is None else str(tensor.file)
    blank = Job(-1, file, tensor.name, layer_id, tensor.shape, tensor.dtype, owner=tensor.owner, known_as=known_as)
    blank = replace(blank, recipe=tensor.recipe)
    if reading is None:
        note = tensor.unfit or f"{tensor.role or 'tied to'} {tensor.same_as}, analysed there"
        return [replace(blank, note=note, skipped=True)]
    if not reading.parts:
        return [replace(blank, note=reading.remark, skipped=True)]
    remarks = "; ".join(remark for remark in (reading.remark, tensor.remark) if remark)
    known = replace(blank, note=remarks, layout_from=reading.known_from)
    layout = tensor.recipe.layout if tensor.recipe is not None else ""
    return [replace(known, part=replace(part, layout=layout or part.layout)) for part in reading.parts]


def _only(jobs: list[Job], selector: Selector) -> list[Job]:
    """Skip what `layers` does not ask for."""
    can = [job for job in jobs if not job.skipped]
    if not selector.wishes:
        return jobs
    # Refuses what names nothing here, be it a tensor that cannot be analysed.
    asked_for = [bool(wanted) for wanted in selector.chosen(jobs)]
    try:
        chosen = {job.position for job, wanted in zip(can, selector.chosen(can)) if wanted}
    except InvalidInput:
        # What names only tensors that cannot be analysed is told so by their rows.
        chosen = {job.position for job, wanted in zip(jobs, asked_for) if wanted}
    note = f"not among layers={selector.asked!r}"
    return [
        replace(job, left_out=not wanted)
        if job.skipped
        else job
        if job.position in chosen
        else replace(job, note=note, skipped=True, left_out=True)
        for job, wanted in zip(jobs, asked_for)
    ]


def _aliases(tensors: Sequence[WeightTensor]) -> dict[str, list[str]]:
    """The other names of tied weights, by their first."""
    aliases: dict[str, list[str]] = {}
    for tensor in tensors:
        if tensor.same_as and not tensor.role:
            aliases.setdefault(tensor.same_as, []).append(tensor.name)
    return aliases


def _refuse_idle(asked: Mapping[str, str], tensors: Sequence[WeightTensor]) -> None:
    """Refuse a pattern of `layouts` that names no tensor."""
    for pattern in asked:
        if not any(tensor.name == pattern or fnmatchcase(tensor.name, pattern) for tensor in tensors):
            some = ", ".join([tensor.name for tensor in tensors if tensor.is_candidate][:8])
            raise InvalidInput(
                f"layouts={dict(asked)!r} was asked; no tensor here is called {pattern!r}. Accepted are names of "
                f"tensors ({some}, ...) and patterns of them"
            )
