"""Advice as YAML that its user reads: scalars quoted as JSON quotes them, which YAML takes whatever is in a name."""

from __future__ import annotations

import json
from typing import Any

from ..core.printable import visible
from ..weights.naming import titled
from .advice import Advice


def yaml_text(advice: Advice) -> str:
    """The file of a target, under a head that says what it is."""
    told = [f"advice on {advice.target} by setol-ww", advice.formula, f"measured: {advice.measured}", advice.warning]
    head = [f"# {visible(line)}" for line in told if line]
    return "\n".join([*head, *_WRITERS.get(advice.target, _numbers)(advice)]) + "\n"


def _numbers(advice: Advice) -> list[str]:
    return [f"target: {scalar(advice.target)}", f"{advice.column}:", *_mapping(_by_layer(advice))]


def _by_layer(advice: Advice) -> dict[str, Any]:
    return {titled(row["longname"], row["slice"]): row[advice.column] for row in advice.rows}


def _mapping(pairs: dict[str, Any]) -> list[str]:
    return [f"  {scalar(name)}: {scalar(value)}" for name, value in pairs.items()] or ["  {}"]


def _plan(advice: Advice) -> list[str]:
    return [f"target: {scalar(advice.target)}", "rules:", *_mapping(advice.rules())]


def _adapters(advice: Advice) -> list[str]:
    return [
        "rank_pattern:",
        *_mapping(advice.rank_pattern()),
        "alpha_pattern:",
        *_mapping(advice.alpha_pattern()),
    ]


def _axolotl(advice: Advice) -> list[str]:
    lines = ["unfrozen_parameters:"]
    for kind, patterns in advice.patterns_by_type().items():
        lines += [f"# {visible(kind)}"] * (kind != "always") + [f"- {scalar(pattern)}" for pattern in patterns]
    return lines


def scalar(value: Any) -> str:
    """One value; a string in double quotes.

    >>> scalar('fc "1"'), scalar(0.5), scalar(True)
    ('"fc \\\\"1\\\\""', '0.5', 'true')
    """
    return json.dumps(value, ensure_ascii=False)


_WRITERS = {"truncate": _plan, "lora-rank": _adapters, "unfreeze": _axolotl}
