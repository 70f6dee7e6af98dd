"""What can be compared: a model's tensors unloaded, an adapter as an update of another model, or kept results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..core.errors import InvalidInput
from ..formats.checkpoints import inner_mapping, stored_tensors
from ..formats.folder import config_of, snapshot_of
from ..formats.places import is_url, place_of
from ..results.results import Results, open_results
from ..results.store import is_store
from ..weights.naming import bare
from ..weights.schemes import joined
from ..weights.tensors import WeightTensor, config_of_module, mapping_tensors, module_tensors
from .pairing import paired

#: What an update that cannot be added to its base is called behind the layer.
LONE = re.compile(r"\.lora(\.[^.]+)?(?=\.weight$)")


@dataclass(frozen=True)
class Source:
    """The tensors of a model.

    Attributes
    ----------
    described : str
        What was given, in a few words.
    stored : list of WeightTensor
        As they are stored.
    config : mapping
        Beside a checkpoint, or a module's own.
    tensors : list of WeightTensor
        Those that belong together put together.
    """

    described: str
    stored: list[WeightTensor] = field(repr=False)
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    tensors: list[WeightTensor] = field(default_factory=list, repr=False)

    @classmethod
    def of(cls, described: str, stored: Iterable[WeightTensor], config: Mapping[str, Any]) -> Source:
        """With the tensors put together."""
        listed = list(stored)
        return cls(described, listed, config, joined(listed, config))

    @property
    def is_adapter(self) -> bool:
        """True for the updates of an adapter, whose base is not here."""
        layers = {bare(LONE.sub("", tensor.name)) for tensor in self.tensors if is_update(tensor)}
        own = {bare(tensor.name) for tensor in self.tensors if not is_update(tensor) and not tensor.same_as}
        return bool(layers) and not layers & own


def source_of(given: Any, name: str) -> Source | Results:
    """A model in any accepted form, or kept results; `InvalidInput` for anything else.

    Examples
    --------
    >>> import numpy as np
    >>> [one.name for one in source_of({"fc.weight": np.eye(3)}, "base").tensors]
    ['fc.weight']
    """
    if isinstance(given, Results):
        return given
    if isinstance(given, (str, Path)):
        if not is_url(given) and is_store(Path(given)):
            return open_results(given)
        place = place_of(given)
        return _filled(Source.of(str(given), stored_tensors(place), config_of(snapshot_of(place))), given, name)
    kind = type(given).__qualname__
    if hasattr(given, "named_modules"):
        config = {**config_of_module(given), **_adapter_in(given)}
        return _filled(Source.of(kind, module_tensors(given), config), given, name)
    if isinstance(given, Mapping):
        return _filled(Source.of(kind, mapping_tensors(inner_mapping(given)), {}), given, name)
    if hasattr(given, "shape") and hasattr(given, "dtype") and len(given.shape) == 2:
        return Source.of(kind, mapping_tensors({"matrix.weight": given}), {})
    raise InvalidInput(_refusal(given, name))


def _adapter_in(module: Any) -> dict[str, Any]:
    """What a model of PEFT says of its one adapter, as the config beside a saved one does."""
    told = getattr(module, "peft_config", None)
    configs = list(told.values()) if isinstance(told, Mapping) else []
    to_dict = getattr(configs[0], "to_dict", None) if len(configs) == 1 else None
    return {"adapter_config": to_dict()} if callable(to_dict) else {}


def _filled(source: Source, given: Any, name: str) -> Source:
    if not any(tensor.is_candidate for tensor in source.tensors):
        raise InvalidInput(f"{_refusal(given, name)}; this one holds no weight of two or more dimensions")
    return source


def _refusal(given: Any, name: str) -> str:
    what = repr(given)[:200] if isinstance(given, (str, Path)) else type(given).__name__
    return (
        f"{name}={what} was asked; accepted are a torch.nn.Module, a mapping of names to tensors, a matrix, the path "
        "or URL of a checkpoint or of an adapter, and Results or the .setol file of kept ones"
    )


def is_update(tensor: WeightTensor) -> bool:
    """True for the update of an adapter by itself."""
    return tensor.recipe is not None and tensor.recipe.is_update


def applied(adapter: Source, base: Source) -> Source:
    """The base with an adapter in it: of its tensors those that the adapter changes, added up or put in their place.

    The names of the base become those that the adapter has for them.
    """
    touched = [tensor.name for tensor in adapter.tensors if is_update(tensor)]
    names = paired([tensor.name for tensor in base.tensors], touched).partners
    renamed = [replace(one, name=names.get(one.name, one.name)) for one in base.stored]
    own = {tensor.name for tensor in adapter.stored}
    config = {**base.config, "adapter_config": adapter.config.get("adapter_config", {})}
    stored = [*(one for one in renamed if one.name not in own), *adapter.stored]
    whole = joined(stored, config)
    changed = [one for one in whole if one.name in own or (one.recipe is not None and _is_of(one, own))]
    return Source(adapter.described, stored, config, changed)


def _is_of(tensor: WeightTensor, names: set[str]) -> bool:
    """Whether a weight is put together from one of these."""
    return tensor.recipe is not None and any(part.name in names for part in tensor.recipe.parts)
