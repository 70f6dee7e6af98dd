"""Advice as the parameter groups of a torch optimiser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import InvalidInput
from .advice import Advice

KEYS = {"learning_rate": "lr", "weight_decay": "weight_decay"}


def param_groups(advice: Advice, model: Any) -> list[dict[str, Any]]:
    """One group a value, in the order in which the values come in the model."""
    if not hasattr(model, "named_modules"):
        raise InvalidInput(f"param_groups of {type(model).__name__} was asked; accepted is a torch.nn.Module")
    names: dict[int, list[str]] = {}
    parameters: dict[int, Any] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
        parameters[id(parameter)] = parameter
    values = {row["longname"]: row[advice.column] for row in advice.rows}
    _all_there(values, [name for known in names.values() for name in known])
    shares_rate = advice.column == "learning_rate"
    owners = {**_following(model, values), **{name: name for name in values}} if shares_rate else {}
    base = advice.options["base"]
    groups: dict[float, list[Any]] = {}
    tensors = {row["tensor"]: row["longname"] for row in advice.rows}
    for key, known in names.items():
        owner = next((one for name in known if (one := _owner(name, values, tensors, owners)) is not None), None)
        groups.setdefault(base if owner is None else values[owner], []).append(parameters[key])
    return [{"params": held, KEYS[advice.column]: value} for value, held in groups.items()]


def _owner(name: str, values: Mapping[str, float], tensors: Mapping[str, str], owners: Mapping[str, str]) -> str | None:
    """The layer whose value a parameter gets; None for the base value."""
    if name in tensors:
        return tensors[name]
    module = name.rpartition(".")[0]
    if module in owners:
        return owners[module]
    # A weight that is computed from others: `fc.parametrizations.weight.original0`, `fc.weight_g`.
    within = (layer for layer in values if name.startswith((f"{layer}.parametrizations.weight", f"{layer}.weight_")))
    return next(within, None)


def _following(model: Any, values: Mapping[str, float]) -> dict[str, str]:
    """The layer whose rate each batch norm takes: that called conv where it is called bn, else the one before it."""
    found: dict[str, str] = {}
    before = ""
    for name, module in model.named_modules():
        if name in values:
            before = name
        if "BatchNorm" in type(module).__name__:
            parent, _, last = name.rpartition(".")
            twin = ".".join(filter(None, (parent, last.replace("bn", "conv"))))
            follows = twin if twin in values else before
            found |= {name: follows} if follows else {}
    return found


def _all_there(values: Mapping[str, float], names: list[str]) -> None:
    for layer in values:
        if not any(name == layer or name.startswith(f"{layer}.") for name in names):
            raise InvalidInput(
                f"param_groups of a model without {layer!r} was asked; accepted is the model that the results are of. "
                f"This one has {', '.join(names[:5])}, ..."
            )
