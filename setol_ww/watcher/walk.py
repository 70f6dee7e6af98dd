"""Which layers are walked: weightwatcher's in its order, each readable, then what it passes over."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from ..core.arrays import precision, to_numpy
from ..core.errors import UnreadableCheckpoint
from ..spectrum.esd import EPS_FLOAT64
from ..weights.layouts import Part, fused_parts, hidden_name, parts
from ..weights.tensors import WeightTensor, weight_as_it_acts
from .model import Given, LazyStateDict, as_cut, as_is
from .records import Record, Run
from .upstream import LAYER_TYPE, START_IDS, rooms

UNREADABLE = (UnreadableCheckpoint, MemoryError)


class StoredModuleLayer(rooms.PyTorchLayer):
    """A module's weight in the dtype it is stored in; weightwatcher's own class makes a float32 copy of all of it."""

    def get_weights_and_biases(self) -> tuple[bool, Any, bool, Any]:
        """weightwatcher's (has weights, weights, has biases, biases); biases are not looked at."""
        return True, as_cut(weight_as_it_acts(self.layer)), False, None


class StoredMappingLayer(rooms.PyStateDictLayer):
    """An entry of a state dict in the dtype it is stored in."""

    def get_weights_and_biases(self) -> tuple[bool, Any, bool, Any]:
        """As `StoredModuleLayer`."""
        return True, self.model[f"{self.layer}.weight"], False, None


class Walk:
    """Takes every layer through weightwatcher's steps, one after the other.

    Of a checkpoint on disk one layer's weights are in memory, and one more where threads work ahead.

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
        True in modes that combine layers (stacked, intra, peft, base_model): weightwatcher's walk stays as it is.
    as_stored : bool
        True where nothing but our own numerics reads the weights: no copy of a layer is made in another dtype.
    """

    def __init__(
        self, iterator: Any, given: Given, params: Any, run: Run, own_only: bool, as_stored: bool = False
    ) -> None:
        self.iterator, self.given, self.params, self.run = iterator, given, params, run
        self.own_only = own_only or given.is_foreign
        self.as_stored = as_stored and not self.own_only

    def through(self, steps: Callable[[Any], None], begin: Callable[[Record], None]) -> None:
        """Carry out `steps` on every layer and keep its row.

        `begin` is told of layers ahead, where their matrices are what will be decomposed.
        """
        lazy = self.given.model if isinstance(self.given.model, LazyStateDict) else None
        if lazy is not None:
            lazy.as_stored = self.as_stored
        total = sum(entry.is_candidate for entry in self.given.entries)
        disable = None if self.run.progress is None else not self.run.progress
        with tqdm(total=total, desc="layers", disable=disable, file=sys.stderr) as bar:
            ahead = self.run.ahead
            # What is read from a disk ahead is in memory beside the layer that is walked.
            most = 0 if not self.as_stored else 1 if self.given.is_on_disk else ahead.threads
            for record in ahead.foreseen(self.records(), begin, most):
                if not record.has_row:
                    continue
                self.run.records.append(record)
                steps(record.ww_layer)
                record.close(self.run.detX, release=not self.own_only, randomize=self.run.randomize)
                if lazy is not None:
                    lazy.forget()
                bar.update()
        if lazy is not None:
            lazy.as_stored = False

    def records(self) -> Iterator[Record]:
        """A record with its layer for every row."""
        if not self.own_only:
            self.iterator.model_iter = self.module_layers() if self.given.is_module else self.mapping_layers()
        for ww_layer in self.iterator:
            tensor = self.tensor_of(ww_layer)
            self.run.status[tensor] = ("analyzed", "")
            record = Record(ww_layer, ww_layer.longname, "weightwatcher", tensor)
            if getattr(ww_layer.weights, "dtype", None) == np.float64:
                record.precision = EPS_FLOAT64
            yield record
        for entry, layer_id in self.numbered():
            if entry.is_candidate and not entry.same_as:
                yield from self.passed_over(entry, layer_id)

    def module_layers(self) -> Iterator[Any]:
        """weightwatcher's view of a torch module: the layers it can read, each weight once, no module touched."""
        fit = {(entry.owner_index, entry.name) for entry in self.given.entries if not entry.unfit and not entry.same_as}
        kind = StoredModuleLayer if self.as_stored else rooms.PyTorchLayer
        for index, (prefix, module) in enumerate(self.given.model.named_modules()):
            if (index, _weight_of(prefix)) not in fit:
                continue
            layer = kind(module, index + (self.params[START_IDS] or 0), longname=prefix)
            dimensions = 4 if layer.the_type == LAYER_TYPE.CONV2D else 2
            if weight_as_it_acts(module).dim() == dimensions and layer.the_type not in (
                LAYER_TYPE.NORM,
                LAYER_TYPE.UNKNOWN,
            ):
                yield layer

    def mapping_layers(self) -> Iterator[Any]:
        """weightwatcher's view of a state dict: 2-D and 4-D tensors named `*.weight`, numbered as it numbers them."""
        kind = StoredMappingLayer if self.as_stored else rooms.PyStateDictLayer
        for entry, layer_id in self.numbered():
            readable = not entry.unfit and not entry.same_as and len(entry.shape) in (2, 4) and entry.shape[0] > 1
            if not readable or not entry.name.endswith(".weight"):
                continue
            # What cannot be read here is left to `passed_over`, which gives it a failed row.
            with contextlib.suppress(*UNREADABLE):
                yield kind(self.given.model, layer_id, entry.name.removesuffix(".weight"))

    def tensor_of(self, ww_layer: Any) -> str:
        """Name of the tensor a layer of weightwatcher's stands for."""
        if not self.given.is_module:
            return f"{ww_layer.longname}.weight"
        module = getattr(ww_layer.framework_layer, "layer", None)
        return self.weight_names.get(id(module), f"{ww_layer.longname}.weight")

    @functools.cached_property
    def weight_names(self) -> dict[int, str]:
        """Name of the weight of every module, by identity."""
        return {id(module): _weight_of(prefix) for prefix, module in self.given.model.named_modules()}

    @functools.cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor by name."""
        return {entry.name: entry.shape for entry in self.given.entries}

    def numbered(self) -> list[tuple[WeightTensor, int]]:
        """Entries with weightwatcher's layer ids: the module's, or `*.weight` counted from 1 and the rest behind."""
        entries = self.given.entries
        if self.given.is_module:
            start = self.params[START_IDS] or 0
            return [(entry, entry.owner_index + start) for entry in entries]
        ordered = sorted(entries, key=lambda entry: not entry.name.endswith(".weight"))
        ids = {entry.name: position for position, entry in enumerate(ordered, start=self.params[START_IDS] or 1)}
        return [(entry, ids[entry.name]) for entry in entries]

    def passed_over(self, entry: WeightTensor, layer_id: int) -> Iterator[Record]:
        """Records for what weightwatcher left of a tensor, or the reason why there are none."""
        status = self.run.status
        if entry.unfit or self.own_only:
            status.setdefault(
                entry.name, ("skipped", entry.unfit or "this mode analyses weightwatcher's own layers only")
            )
            return
        fused, why_not = fused_parts(entry.name, entry.shape, entry.owner)
        wanted = fused
        if status.get(entry.name, ("", ""))[0] == "analyzed":
            status[entry.name] = ("analyzed", why_not)
        elif not (fused and entry.name.endswith("in_proj_weight")):
            wanted = parts(entry.name, entry.shape, entry.owner, self.shapes.get(hidden_name(entry.name))) + fused
            if not wanted:
                status[entry.name] = ("skipped", f"a vector in the shape {' x '.join(map(str, entry.shape))}")
        tensor = functools.cache(entry.load)
        for part in wanted:
            yield from self.part_record(entry, layer_id, part, tensor)

    def part_record(
        self, entry: WeightTensor, layer_id: int, part: Part, tensor: Callable[[], Any]
    ) -> Iterator[Record]:
        """The record of one part of a tensor, unless a filter or a limit of the user's leaves it out.

        `tensor` loads the whole once for all parts; only the part is converted.
        """
        longname = entry.name.removesuffix(".weight")
        layer = self.layer_for(longname, layer_id, part)
        why = _beyond(part, self.run.limits)
        if self.iterator.apply_filters(layer):
            why = f"not among layers={self.run.layers!r}"
        if why:
            self.run.status.setdefault(entry.name, ("skipped", why))
            return
        record = Record(layer, longname, "setol_ww", entry.name, part.label, part.kind == "kernel")
        try:
            convert = as_is if self.as_stored else to_numpy
            layer.Wmats = [convert(matrix) for matrix in part.matrices(tensor())]
            record.precision = precision(layer.Wmats[0])
        except UNREADABLE as error:
            record.failure = f"layer {record.title}: not loaded, {error}"
        self.run.status[entry.name] = ("analyzed", self.run.status.get(entry.name, ("", ""))[1])
        yield record

    def layer_for(self, longname: str, layer_id: int, part: Part) -> Any:
        """A layer of weightwatcher's kind, without its matrices yet."""
        stub = rooms.FrameworkLayer(
            None, layer_id, longname.rsplit(".", 1)[-1], longname, the_type=part.layer_type, framework="pytorch"
        )
        layer = rooms.WWLayer(stub, layer_id=layer_id, make_weights=False, params=self.params)
        layer.has_weights = True
        layer.N, layer.M, layer.rf = max(part.rows, part.columns), min(part.rows, part.columns), part.count
        layer.num_components = part.num_evals
        return layer


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
