"""Which layers are walked: weightwatcher's in its order, each readable, then what it passes over."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..core.arrays import EPS_FLOAT64, as_weightwatcher_reads, precision, to_numpy
from ..core.boundary import attempt
from ..core.plain import as_computed
from ..core.progress import progress_bar
from ..weights.layouts import Part
from ..weights.plan import TOGETHER, Job, layer_ids
from ..weights.tensors import WeightTensor, weight_as_it_acts
from .base import Base
from .combined import Seen
from .model import Given, LazyStateDict
from .records import Record, Run
from .shares import Turns, may_be_weightwatchers
from .upstream import LAYER_TYPE, START_IDS, rooms

UNFIT_FOR_A_FILE = re.compile(r"[^A-Za-z0-9._-]+")
LONGEST_PICTURE = 150


class StoredModuleLayer(rooms.PyTorchLayer):
    """A module's weight in the dtype it is stored in; weightwatcher's own class makes a float32 copy of all of it."""

    def get_weights_and_biases(self) -> tuple[bool, Any, bool, Any]:
        """weightwatcher's (has weights, weights, has biases, biases); biases are not looked at."""
        return True, as_weightwatcher_reads(weight_as_it_acts(self.layer)), False, None


class StoredMappingLayer(rooms.PyStateDictLayer):
    """An entry of a state dict in the dtype it is stored in."""

    def get_weights_and_biases(self) -> tuple[bool, Any, bool, Any]:
        """As `StoredModuleLayer`."""
        return True, self.model[f"{self.layer}.weight"], False, None


class Walk:
    """Takes every layer through weightwatcher's steps, one after the other.

    Of a checkpoint on disk one layer's weights are in memory, or those of a few small ones, and one more where threads
    work ahead.

    Parameters
    ----------
    iterator : weightwatcher's layer iterator
        Its own walk over the model is replaced where the model is a module or a mapping.
    given : Given
    params : dict
        weightwatcher's parameters.
    run : Run
        Filled on the way.
    own_only : bool
        True in modes that combine layers (stacked, intra, peft): weightwatcher's walk stays as it is.
    as_stored : bool
        True where nothing but our own numerics reads the weights: no copy of a layer is made in another dtype.
    base : Base, optional
        A base model, whose weights are taken from those of the layers.
    sizes_only : bool
        True where no value of our own rows is wanted.
    turns : Turns, optional
        Which jobs are for this process; all of them without.
    """

    def __init__(
        self,
        iterator: Any,
        given: Given,
        params: Any,
        run: Run,
        own_only: bool,
        as_stored: bool = False,
        *,
        base: Base | None = None,
        sizes_only: bool = False,
        turns: Turns | None = None,
    ) -> None:
        self.iterator, self.given, self.params, self.run = iterator, given, params, run
        self.own_only = own_only or given.is_foreign
        self.as_stored = as_stored and not self.own_only
        self.base, self.sizes_only, self.turns = base, sizes_only, turns or Turns()
        self.pictures: set[str] = set()

    def through(self, steps: Callable[[Any], None], begin: Callable[[list[Record]], None]) -> None:
        """Carry out `steps` on every layer and keep its row.

        `begin` is told of layers ahead, where their matrices are what will be decomposed: of small ones a few at once.
        """
        lazy = self.given.model if isinstance(self.given.model, LazyStateDict) else None
        if lazy is not None:
            lazy.as_stored = self.as_stored
        total = sum(entry.is_candidate for entry in self.given.entries)
        with progress_bar(total, "layers", self.run.progress) as bar:
            for record in self.foreseen(begin):
                if not record.has_row:
                    continue
                self.run.records.append(record)
                if not record.failure:
                    outcome = attempt(record.title, "not analysed", functools.partial(steps, record.ww_layer))
                    record.failure = record.failure or outcome.reason
                record.let_go(release=not self.own_only)
                self.run.keep(at_once=self.own_only)
                if lazy is not None:
                    lazy.forget()
                bar.update(self.turns.steps_of(record))
            self.run.close()
            bar.update(self.turns.steps_left())
        if lazy is not None:
            lazy.as_stored = False

    def foreseen(self, begin: Callable[[list[Record]], None]) -> Iterator[Record]:
        """The records in their order, after `begin` was told of them."""
        if not self.as_stored:
            yield from self.records()
            return
        threads = self.run.ahead.threads
        # Every thread is to have some of them.
        few = sum(not job.skipped for job in self.run.jobs) // (4 * threads) if threads else TOGETHER
        groups = self.turns.groups_of(self.records(), max(1, min(few, TOGETHER)))
        # What is read from a disk ahead is in memory beside the layer that is walked.
        most = 1 if self.given.is_on_disk else threads
        for group in self.run.ahead.foreseen(groups, begin, most):
            yield from group

    def records(self) -> Iterator[Record]:
        """A record with its layer for every row: weightwatcher's, then the jobs of the plan it has no row for."""
        if self.own_only:
            seen = Seen(self.iterator, self.run.mode, self.tensor_of)
            for ww_layer in self.iterator:
                record = self.upstream_record(ww_layer, None)
                record.members = seen.members(ww_layer)
                yield record
            return
        whole = self.whole
        self.iterator.model_iter = self.module_layers() if self.given.is_module else self.mapping_layers()
        # What is asked for, the plan has told.
        self.iterator.filter_types = self.iterator.filter_ids = self.iterator.filter_names = None
        done = set()
        for ww_layer in self.iterator:
            job = whole.get(self.tensor_of(ww_layer))
            # A layer beyond its own limits weightwatcher walks past.
            if job is not None and not ww_layer.skipped and ww_layer.has_weights:
                done.add(job.position)
                yield self.upstream_record(ww_layer, job)
        by_name = {entry.name: entry for entry in self.given.entries}
        # A tensor is loaded once for all of its parts.
        load = functools.lru_cache(maxsize=1)(lambda name: as_computed(by_name[name].load()))
        for job in self.run.jobs:
            if not job.skipped and job.position not in done and self.turns.is_mine(job):
                yield from self.own_record(job, functools.partial(_matrices, job, by_name[job.tensor], load))

    def upstream_record(self, ww_layer: Any, job: Job | None) -> Record:
        """The record of a layer of weightwatcher's."""
        tensor = job.tensor if job is not None else self.tensor_of(ww_layer)
        record = Record(ww_layer, ww_layer.longname, "weightwatcher", tensor, job=job)
        # Where layers are combined there is no tensor that is stored, nor of a difference.
        if job is not None and self.base is None and not self.is_known_as_stored(job.tensor):
            record.stored = self.stored[job.tensor]
        if getattr(ww_layer.weights, "dtype", None) == np.float64:
            record.precision = EPS_FLOAT64
        if self.base is not None and job is not None:
            record.failure = self.base.subtract(ww_layer, job)
        return record

    def is_known_as_stored(self, tensor: str) -> bool:
        """True for a tensor loaded from a file that weightwatcher reads as it is: not to be loaded again."""
        return isinstance(self.given.model, LazyStateDict) and tensor not in self.given.model.cut

    @functools.cached_property
    def whole(self) -> dict[str, Job]:
        """The jobs of whole tensors that are asked for, by the tensor: what weightwatcher may have rows for."""
        return {job.tensor: job for job in self.run.jobs if may_be_weightwatchers(job)}

    @functools.cached_property
    def stored(self) -> dict[str, Callable[[], Any]]:
        """What loads a tensor as it is stored, by name."""
        return {entry.name: entry.load for entry in self.given.entries}

    def module_layers(self) -> Iterator[Any]:
        """weightwatcher's view of a torch module: the layers it can read, each weight once, no module touched."""
        fit = {
            (entry.owner_index, entry.name)
            for entry in self.given.entries
            if not entry.unfit and not entry.same_as and entry.recipe is None
        }
        kind = StoredModuleLayer if self.as_stored else rooms.PyTorchLayer
        for index, (prefix, module) in enumerate(self.given.model.named_modules()):
            job = self.whole.get(_weight_of(prefix))
            if (index, _weight_of(prefix)) not in fit or job is None or not self.turns.is_mine(job):
                continue
            number = index + (self.params[START_IDS] or 0)
            made = functools.partial(kind, module, number, longname=prefix)
            layer = attempt(prefix, "not loaded", made).value
            # What has no values here gets a failed row of its own.
            weight = attempt(prefix, "not loaded", functools.partial(_plain_weight, module)).value
            dimensions = 4 if layer is not None and layer.the_type == LAYER_TYPE.CONV2D else 2
            if layer is None or weight is None or weight.ndim != dimensions:
                continue
            if layer.the_type not in (LAYER_TYPE.NORM, LAYER_TYPE.UNKNOWN):
                yield layer

    def mapping_layers(self) -> Iterator[Any]:
        """weightwatcher's view of a state dict: 2-D and 4-D tensors named `*.weight`, numbered as it numbers them."""
        kind = StoredMappingLayer if self.as_stored else rooms.PyStateDictLayer
        for entry, layer_id in zip(self.given.entries, layer_ids(self.given.entries, self.params[START_IDS])):
            readable = not entry.unfit and not entry.same_as and len(entry.shape) in (2, 4)
            job = self.whole.get(entry.name)
            if not readable or not entry.name.endswith(".weight") or job is None or not self.turns.is_mine(job):
                continue
            # What cannot be read here gets a failed row of its own.
            name = entry.name.removesuffix(".weight")
            layer = attempt(name, "not loaded", functools.partial(kind, self.given.model, layer_id, name)).value
            if layer is not None:
                yield layer

    def tensor_of(self, ww_layer: Any) -> str:
        """Name of the tensor a layer of weightwatcher's stands for, whatever a mode has called the layer."""
        read = ww_layer.framework_layer
        longname = getattr(read, "longname", ww_layer.longname)
        if not self.given.is_module:
            return f"{longname}.weight"
        return self.weight_names.get(id(getattr(read, "layer", None)), f"{longname}.weight")

    @functools.cached_property
    def weight_names(self) -> dict[int, str]:
        """Name of the weight of every module, by identity."""
        return {id(module): _weight_of(prefix) for prefix, module in self.given.model.named_modules()}

    def own_record(self, job: Job, matrices: Callable[[], list[Any]]) -> Iterator[Record]:
        """The record of a job that weightwatcher has no row for, unless a limit of the user's leaves it out."""
        assert job.part is not None
        part = job.part
        layer = self.layer_for(job, part)
        why = _beyond(part, self.run.limits)
        if why:
            self.run.beyond[job.position] = why
            return
        record = Record(layer, job.longname, "setol_ww", job.tensor, part.label, part.kind == "kernel", job=job)
        if self.sizes_only:
            yield record
            return
        convert = as_computed if self.as_stored else to_numpy
        read = attempt(job.title, "not loaded", lambda: [convert(matrix) for matrix in matrices()])
        record.failure = read.reason
        layer.Wmats = read.value or []
        if layer.Wmats:
            record.precision = precision(layer.Wmats[0])
        if self.base is not None and not record.failure:
            record.failure = self.base.subtract(layer, job)
        yield record

    def layer_for(self, job: Job, part: Part) -> Any:
        """A layer of weightwatcher's kind, without its matrices yet."""
        stub = rooms.FrameworkLayer(
            None,
            job.layer_id,
            job.longname.rsplit(".", 1)[-1],
            job.longname,
            the_type=part.layer_type,
            framework="pytorch",
            plot_id=self.picture_of(job),
        )
        layer = rooms.WWLayer(stub, layer_id=job.layer_id, make_weights=False, params=self.params)
        layer.has_weights = True
        layer.N, layer.M, layer.rf = max(part.rows, part.columns), min(part.rows, part.columns), part.count
        layer.num_components = part.num_evals
        return layer

    def picture_of(self, job: Job) -> str:
        """What stands in the names of a row's pictures: weightwatcher's id alone would be that of several rows."""
        words = UNFIT_FOR_A_FILE.sub("_", f"{job.layer_id}.{job.title}")[:LONGEST_PICTURE]
        taken = itertools.count(2)
        name = words
        # Some file systems do not tell capitals from small letters.
        while name.lower() in self.pictures:
            name = f"{words}-{next(taken)}"
        self.pictures.add(name.lower())
        return name


def _matrices(job: Job, entry: WeightTensor, load: Callable[[str], Any]) -> list[Any]:
    """The matrices of a job; of a weight that is put together only the part is."""
    assert job.part is not None
    if entry.recipe is None:
        return job.part.matrices(load(entry.name))
    return job.part.matrices_of_cut(entry.read(job.part.index(entry.shape)))


def _plain_weight(module: Any) -> Any:
    return as_computed(weight_as_it_acts(module))


def _weight_of(prefix: str) -> str:
    return f"{prefix}.weight" if prefix else "weight"


def _beyond(part: Part, limits: dict[str, int]) -> str:
    """Why a limit that the user gave leaves a part out."""
    n, N = part.num_evals, max(part.rows, part.columns)
    if limits.get("min_evals") and n < limits["min_evals"]:
        return f"{n} eigenvalues, fewer than min_evals={limits['min_evals']}"
    if limits.get("max_evals") and n > limits["max_evals"]:
        return f"{n} eigenvalues, more than max_evals={limits['max_evals']}"
    if limits.get("max_N") and N > limits["max_N"]:
        return f"N = {N}, more than max_N={limits['max_N']}"
    return ""
