"""Parameters of which this process holds a part: recognised by their types and marks, and refused with the way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..core.errors import InvalidInput

#: Attributes that libraries hang on a parameter, and whose it then is.
MARKS = {
    "ds_id": "DeepSpeed ZeRO-3",
    "ds_tensor": "DeepSpeed ZeRO-3",
    "_is_flat_param": "FSDP",
    "is_sharded": "a sharded parameter",
    "tensor_model_parallel": "Megatron tensor parallelism",
}
#: Classes in the ancestry of a module or a parameter.
CLASSES = {"FullyShardedDataParallel": "FSDP", "FSDPModule": "FSDP", "FlatParameter": "FSDP"}
WAY_OUT = (
    "accepted are whole parameters. Let the run write checkpoints and follow their folder from another process: "
    "setol-ww watch DIR"
)


def refuse_sharded(model: Any) -> None:
    """`InvalidInput` for a model whose parameters lie in several processes.

    Their values here are a part, or none, or left from an earlier step; what would be read is no weight.
    """
    for name, kind in _sharded(model):
        raise InvalidInput(f"a monitor of {name!r} was asked, which is sharded ({kind}): this process holds a part of "
                           f"it; {WAY_OUT}")  # fmt: skip


def _sharded(model: Any) -> Iterator[tuple[str, str]]:
    if hasattr(model, "named_modules"):
        for name, module in model.named_modules():
            kind = _by_class(module)
            if kind:
                yield name or type(module).__name__, kind
        parameters = model.named_parameters()
    else:
        parameters = model.items() if isinstance(model, Mapping) else ()
    for name, parameter in parameters:
        kind = _by_class(parameter) or _of_mesh(parameter) or _by_mark(parameter)
        if kind:
            yield str(name), kind


def _by_class(value: Any) -> str:
    ancestry = {one.__name__ for one in type(value).__mro__}
    return next((kind for word, kind in CLASSES.items() if word in ancestry), "")


def _by_mark(parameter: Any) -> str:
    marks = getattr(parameter, "__dict__", {})
    return next((kind for mark, kind in MARKS.items() if marks.get(mark, False) is not False), "")


def _of_mesh(parameter: Any) -> str:
    """DTensor that is not whole in every process."""
    if not (hasattr(parameter, "device_mesh") and hasattr(parameter, "placements")):
        return ""
    return "" if all(one.is_replicate() for one in parameter.placements) else "DTensor"
