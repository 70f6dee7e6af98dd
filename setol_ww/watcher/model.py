"""Whatever the user gave, as weightwatcher takes it and as a list of entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..core.arrays import as_weightwatcher_reads, is_cut_by_weightwatcher, to_numpy
from ..core.errors import InvalidInput
from ..core.plain import as_computed
from ..formats.checkpoints import checkpoint_fingerprint, checkpoint_tensors, inner_mapping
from ..formats.folder import config_of
from ..formats.places import place_of
from ..weights.schemes import joined
from ..weights.tensors import WeightTensor, config_of_module, mapping_tensors, module_tensors


class LazyStateDict(dict):
    """A dict of tensors that are loaded when asked for; the last one stays, weightwatcher asks three times.

    `as_stored` gives tensors in the dtype they are stored in, else as numpy arrays, both cut as weightwatcher cuts;
    `cut` are the names of those loaded whose values that changes.
    """

    def __init__(self, entries: list[WeightTensor]) -> None:
        super().__init__({entry.name: None for entry in entries})
        self._entries = {entry.name: entry for entry in entries}
        self._last: tuple[str, Any] = ("", None)
        self.as_stored = False
        self.cut: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        if self._last[0] != name:
            self.forget()
            plain = as_computed(self._entries[name].load())
            if is_cut_by_weightwatcher(plain):
                self.cut.add(name)
            tensor = as_weightwatcher_reads(plain)
            self._last = (name, tensor if self.as_stored else to_numpy(tensor))
        return self._last[1]

    def items(self) -> Iterator[tuple[str, Any]]:  # type: ignore[override]
        """Every name with its tensor."""
        return ((name, self[name]) for name in self)

    def forget(self) -> None:
        """Drop the tensor that was loaded last."""
        self._last = ("", None)


@dataclass(frozen=True)
class Given:
    """A model as weightwatcher takes it, and its tensors as we see them.

    `is_foreign` marks Keras and ONNX models, which weightwatcher reads by itself and we do not; `is_on_disk` those
    whose tensors come into memory when they are asked for. `source` is what the user gave,
    `config` is the model's, beside it or in it, `fingerprint` that of its files.
    """

    source: Any
    model: Any
    entries: list[WeightTensor]
    is_module: bool = False
    is_foreign: bool = False
    is_on_disk: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    @property
    def described(self) -> str:
        """What it is, in a few words for the record: a path, or the class of the model."""
        if isinstance(self.source, (str, Path)):
            return str(self.source)
        return f"{type(self.source).__module__}.{type(self.source).__qualname__}"

    def changeable(self) -> Any:
        """The model as weightwatcher changes it: a module, the user's own dict, or a dict of what lies on disk."""
        if not isinstance(self.model, LazyStateDict):
            return self.model
        inner = inner_mapping(self.source) if isinstance(self.source, Mapping) else None
        return inner if isinstance(inner, dict) else dict(self.model.items())


def adapt(model: Any) -> Given:
    """A model in any accepted form; `InvalidInput` for anything else and for one without weights."""
    ancestry = [f"{cls.__module__}.{cls.__name__}" for cls in type(model).__mro__]
    if any(name.startswith("torch.") and name.endswith(".Module") for name in ancestry):
        config = config_of_module(model)
        given = Given(model, model, joined(module_tensors(model), config), is_module=True, config=config)
    elif isinstance(model, (str, Path)):
        lazy, place = _lazy(model, checkpoint_tensors(model)), place_of(model)
        weights, _ = checkpoint_fingerprint(place)
        given = replace(lazy, is_on_disk=True, config=config_of(place), fingerprint=weights)
    elif isinstance(model, Mapping):
        given = _lazy(model, joined(mapping_tensors(inner_mapping(model))))
    elif hasattr(model, "shape") and hasattr(model, "dtype") and len(model.shape) == 2:
        given = _lazy(model, mapping_tensors({"matrix.weight": model}))
    elif any(name.split(".")[0] in ("keras", "tensorflow", "onnx") for name in ancestry):
        return Given(model, model, [], is_foreign=True)
    else:
        raise InvalidInput(asked(model))
    if not any(entry.is_candidate for entry in given.entries):
        raise InvalidInput(asked(model))
    return given


def asked(model: Any) -> str:
    """The sentence that refuses a model."""
    what = f"{type(model).__name__} of shape {tuple(model.shape)}" if hasattr(model, "shape") else repr(model)[:200]
    if isinstance(model, Mapping) and any(isinstance(value, Mapping) for value in model.values()):
        nested = [str(name) for name, value in model.items() if isinstance(value, Mapping)]
        what = f"a mapping with mappings inside ({', '.join(nested)[:200]}; give one of them)"
    return (
        f"analysing {what} was asked; it holds no weight of two or more dimensions. Accepted are a torch.nn.Module, "
        "a mapping of names to tensors, a 2-D array, or the path of a checkpoint"
    )


def _lazy(source: Any, entries: list[WeightTensor]) -> Given:
    return Given(source, LazyStateDict(entries), entries)
