"""The targets of `recommend`: one file each, one line here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ..core.checks import one_of
from ..core.errors import InvalidInput

#: Name of each target and the module that has its `TARGET`.
MODULES = {
    "learning-rates": "learning_rates",
    "weight-decay": "weight_decay",
    "sparsity": "sparsity",
    "lora-rank": "lora_rank",
    "unfreeze": "unfreeze",
    "truncate": "truncate",
}


@dataclass(frozen=True)
class Draft:
    """What a target says of results: rows in the order of the model, notes, and layers it does not speak of."""

    rows: list[dict[str, Any]]
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """Something that a spectrum may decide.

    Attributes
    ----------
    name, column : str
    summary : str
        For the help text.
    formula, source : str
    advise : callable
        `Results` and keyword-only options to a `Draft`.
    warning : str
        What was measured against it.
    """

    name: str
    column: str
    summary: str
    formula: str
    source: str
    advise: Callable[..., Draft]
    warning: str = ""

    @property
    def defaults(self) -> dict[str, Any]:
        """Every option with its default value."""
        told = inspect.signature(self.advise).parameters.values()
        return {one.name: one.default for one in told if one.kind is inspect.Parameter.KEYWORD_ONLY}

    def options(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Every option with the value to be used; `InvalidInput` for one that it does not know."""
        unknown = [name for name in asked if name not in self.defaults]
        if unknown:
            accepted = ", ".join(f"{name}={value!r}" for name, value in self.defaults.items())
            raise InvalidInput(
                f"{unknown[0]}={asked[unknown[0]]!r} was asked of {self.name!r}; accepted are {accepted}"
            )
        return {**self.defaults, **asked}


def target_called(name: str) -> Target:
    """A target by its name.

    >>> target_called("sparsity").column
    'sparsity'
    """
    one_of("target", name, tuple(MODULES))
    return import_module(f"{__package__}.{MODULES[name]}").TARGET
