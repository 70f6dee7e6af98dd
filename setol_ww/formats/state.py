"""The names of tensors in what a file holds: wrappers of training scripts taken off, whole modules as a state dict."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..core.errors import UnreadableCheckpoint
from ..weights.tensors import FACTS, SEALED
from .base import Contents
from .handle import Handle
from .pickles import Global, Placeholder, word_of
from .places import Place
from .stored import Stored, contiguous, name_of
from .torch_objects import Array, Quantised

logger = logging.getLogger(__name__)

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "params", "weights")
# Copies of a model that training keeps beside it; read where there is no other.
COPIES = (
    *("ema", "params_ema", "model_ema", "ema_model", "ema_state_dict", "model_ema_state_dict", "g_ema", "net_ema"),
    *("student", "teacher", "generator", "policy"),
)
# What training keeps beside the weights.
TRAINING = re.compile(
    r"(^|[._])(optim|opt_state|sched|lr_sched|scaler|rng|callbacks?$|loops$|hparams|hyper_param|history|metrics|grads?$|"
    r"momentum)",
    re.IGNORECASE,
)
PACKING = re.compile(r"__torch__\.torch\.classes\.(quantized|rnn|sparse|xnnpack|mkldnn)\b")
# A layer of float16 is packed as the pair of its weight and its bias.
PACKED_HALF = re.compile(r"_packed_params\._packed_params\.0$")
PREFIX = "module."
NESTED = 40
MOST_NAMES, MOST_LETTERS = 100_000, 2**23
DEEPEST = 200
LONGEST_NAME = 1000


def named_tensors(contents: Contents, handle: Handle) -> dict[str, Stored]:
    """The tensors of a file by name, in its order; what is no tensor is left out."""
    if contents.plain:
        return contents.tree
    tensors: dict[str, Stored] = {}
    remark = _other_models(contents.tree)
    for name, value in unwrap(contents.tree, handle.path).items():
        # A packed layer of torch.ao is its weight and its bias.
        value = value[0] if isinstance(value, tuple) and value and isinstance(value[0], Quantised) else value
        tensor = value.stored if isinstance(value, Array) else sealed() if is_sealed(value) else value
        if isinstance(tensor, Quantised):
            tensors |= {name_of(one): part for one, part in tensor.named(name).items()}
        elif isinstance(tensor, Stored):
            name = PACKED_HALF.sub("weight", name)
            tensors[name_of(name)] = replace(tensor, remark=remark) if remark else tensor
        else:
            logger.debug("%s in %s is no tensor but %s: left out", ascii(name)[:200], handle.path, word_of(value))
    return tensors


def is_sealed(value: Any) -> bool:
    """True for an object of a class of torch's own that packs the weights of quantised or prepared layers."""
    if not isinstance(value, Placeholder):
        return False
    state = value.state
    told = state[1] if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], str) else ""
    return bool(PACKING.match(told if str(value.what) == "torch.ScriptObject" else str(value.what)))


def sealed() -> Stored:
    """What stands for weights whose shapes such an object does not tell."""
    return Stored((0, 0), contiguous((0, 0)), "packed", 1, unfit=SEALED)


def unwrap(loaded: Any, file: Place) -> dict[str, Any]:
    """The state dict inside a training checkpoint, without the `module.` of data-parallel wrappers."""
    if hasattr(loaded, "shape"):
        loaded = {"matrix.weight": loaded}
    if isinstance(loaded, (list, tuple)) and any(map(_is_tensor, loaded)):
        loaded = dict(enumerate(loaded))
    mapping = as_mapping(loaded)
    if mapping is None:
        raise UnreadableCheckpoint(f"{file}: it holds a {word_of(loaded)}, not a mapping of names to tensors")
    inside = inner_mapping(mapping)
    if _is_optimizer(inside):
        return {}
    named = {str(name): tensor for name, tensor in inside.items() if _is_name(name)}
    for name in [name for name, value in named.items() if _is_module(value)]:
        named |= {f"{name}.{inner}": value for inner, value in state_dict_of(named[name]).items()}
    named = _flat(named)
    if named and all(name.startswith(PREFIX) for name in named):
        named = {name.removeprefix(PREFIX): tensor for name, tensor in named.items()}
    return named


def _flat(named: dict[str, Any]) -> dict[str, Any]:
    """Tensors in mappings and lists under a name (`{"encoder": {...}}`), but for what belongs to training."""
    found: dict[str, Any] = {}
    left = [(name, value, 0) for name, value in reversed(list(named.items()))]
    visits = letters = 0
    while left:
        name, value, depth = left.pop()
        visits += 1
        letters += len(name) if depth else 0
        if visits > MOST_NAMES or letters > MOST_LETTERS:
            raise ValueError("mappings inside mappings without an end")
        inner = _inside(value) if depth < NESTED and not TRAINING.search(name) else None
        if inner is None:
            found[name] = value
            continue
        inside = [(f"{name}.{key}", one, depth + 1) for key, one in inner.items() if _is_name(key)]
        left.extend(reversed(inside))
    return found


def _inside(value: Any) -> Mapping[Any, Any] | None:
    """A mapping or list of tensors, or of such; None for anything else."""
    if isinstance(value, (list, tuple)) and value and all(map(_is_tensor, value)):
        return dict(enumerate(value))
    return value if isinstance(value, dict) and value and not _is_optimizer(value) else None


def _is_optimizer(value: Any) -> bool:
    """True for the state dict of an optimizer of torch's, whatever it is called."""
    return isinstance(value, Mapping) and isinstance(value.get("state"), Mapping) and "param_groups" in value


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "shape") and not isinstance(value, Quantised)


def _other_models(tree: Any) -> str:
    """What to say where a file holds several models or copies of one: which is read and which are not."""
    mapping = as_mapping(tree)
    if mapping is None:
        return ""
    usual = [name for name in (*WRAPPERS, *COPIES) if _holds_tensors(mapping.get(name))]
    read = next((name for name in usual if name in WRAPPERS), usual[0] if len(usual) == 1 else "")
    more = [name for name, value in mapping.items() if name not in usual and _is_left_out(name, value)]
    others = [name for name in (*usual, *more) if name != read]
    if not read or not others:
        return ""
    listed = ", ".join(repr(one) for one in others[:6]) + (f" and {len(others) - 6} more" if len(others) > 6 else "")
    return f"read from '{read}' of the file, which also holds {listed}"


def _is_left_out(name: Any, value: Any) -> bool:
    """True for what may be weights beside those that are read: a mapping of tensors, or a matrix."""
    if not _is_name(name) or TRAINING.search(str(name)):
        return False
    is_matrix = isinstance(value, (Stored, Array)) and len(value.shape) >= 2
    return is_matrix or (not _is_optimizer(value) and _holds_tensors(value))


def _holds_tensors(value: Any) -> bool:
    mapping = as_mapping(value)
    return mapping is not None and any(isinstance(one, (Stored, Array)) for one in mapping.values())


def _is_name(key: Any) -> bool:
    """True for text, numbers and short tuples of them: nothing else is written out as a name."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(part is None or isinstance(part, (int, float)) or _is_short(part) for part in parts) or isinstance(
        key, str
    )


def _is_short(part: Any) -> bool:
    return isinstance(part, str) and len(part) <= LONGEST_NAME


def inner_mapping(mapping: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The mapping of tensors inside the usual wrappers (`state_dict`, `model`, ...), else the mapping itself."""
    for _ in WRAPPERS:
        found = (as_mapping(mapping.get(name)) for name in WRAPPERS)
        inner = next((one for one in found if one is not None), None)
        if inner is None:
            copies = [mapping.get(name) for name in COPIES]
            there = [one for one in copies if isinstance(one, Mapping) and _holds_tensors(one)]
            inner = there[0] if len(there) == 1 else None
        if inner is None:
            break
        mapping = inner
    return mapping


def as_mapping(value: Any) -> Mapping[Any, Any] | None:
    """A mapping, what stands for one, or the state dict of a module that was pickled whole; None for anything else."""
    if isinstance(value, Mapping):
        return value
    if not isinstance(value, Placeholder):
        return None
    if _is_module(value):
        return state_dict_of(value)
    return value.entries or None


def _is_module(value: Any) -> bool:
    if not isinstance(value, Placeholder):
        return False
    attributes = value.attributes()
    return isinstance(attributes.get("_parameters"), dict) and isinstance(attributes.get("_modules"), dict)


def state_dict_of(module: Placeholder) -> dict[str, Any]:
    """Parameters and buffers of a pickled module under the names that its `state_dict` would give them.

    Modules that hold each other in a circle, or one in so many places that the names would be too many, are refused.
    """
    found: dict[str, Any] = {}
    left = [_Visit("", module, 0)]
    visits = characters = 0
    while left:
        visit = left.pop()
        visits += 1
        attributes = visit.module.attributes()
        outside = attributes.get("_non_persistent_buffers_set")
        outside_names = outside.items if isinstance(outside, Placeholder) else []
        unsaved = {name for name in outside_names if isinstance(name, str)}
        facts = _facts_of(visit.module)
        for kind in ("_parameters", "_buffers"):
            owned = attributes.get(kind)
            for name, value in owned.items() if isinstance(owned, dict) else ():
                if value is not None and not (kind == "_buffers" and name in unsaved):
                    of_layer = isinstance(value, Stored) and kind == "_parameters"
                    found[f"{visit.prefix}{name}"] = replace(value, facts=facts) if of_layer else value
                    characters += len(visit.prefix)
        inner = attributes.get("_modules")
        children = inner.items() if isinstance(inner, dict) else ()
        for name, child in reversed(list(children)):
            prefix = f"{visit.prefix}{name}."
            if _is_module(child):
                left.append(_Visit(prefix, child, visit.depth + 1))
        if visit.depth > DEEPEST or visits > 100_000 or characters > 2**26 or len(visit.prefix) > 10 * LONGEST_NAME:
            raise ValueError("modules inside modules without an end")
    return found


def _facts_of(module: Placeholder) -> dict[str, Any]:
    """What a pickled layer of torch's tells of its weight: its class, groups, channels."""
    what = module.what
    if not isinstance(what, Global) or not what.module.startswith("torch.nn.modules."):
        return {}
    told = {name: value for name, value in module.attributes().items() if name in FACTS and _are_numbers(value)}
    return {"owner": what.name, **told}


def _are_numbers(value: Any) -> bool:
    return all(isinstance(one, int) for one in (value if isinstance(value, tuple) and value else (value,)))


class _Visit:
    __slots__ = ("depth", "module", "prefix")

    def __init__(self, prefix: str, module: Placeholder, depth: int) -> None:
        self.prefix, self.module, self.depth = prefix, module, depth
