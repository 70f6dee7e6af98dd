"""A truncation plan: a rule of its own for each layer it names, from a mapping or a file."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.checks import path_of
from ..core.errors import InvalidInput
from ..formats.extras import needed
from .rules import Rule, Undefined, as_rule

ENDINGS = (".json", ".yaml", ".yml")
NAMES_SHOWN = 5


@dataclass(frozen=True)
class Plan:
    """Rules by the name of the layer, with the slice in brackets as in the table; all others stay whole."""

    rules: Mapping[str, Rule]
    name: str = "plan"

    def of(self, title: str) -> Rule:
        """The rule of a layer."""
        return self.rules.get(title, NOT_NAMED)

    def refuse_strangers(self, titles: Iterable[str]) -> None:
        """`InvalidInput` where the plan names a layer that is not there."""
        known = list(titles)
        for name in self.rules:
            if name not in known:
                near = difflib.get_close_matches(name, known, NAMES_SHOWN, 0.3) or known[:NAMES_SHOWN]
                raise InvalidInput(
                    f"a plan for {name!r} was asked; no layer here is called so. Accepted are: {', '.join(near)}"
                )


def _nothing(spectrum: Any) -> int:
    raise Undefined("the plan does not name it")


NOT_NAMED = Rule("plan", _nothing)


def as_rules(asked: Any) -> Rule | Plan:
    """One rule for every layer, or the plan that a mapping of names to rules is.

    Raises
    ------
    InvalidInput
        As `as_rule`; a plan that names no layer, or something that is no name.

    Examples
    --------
    >>> as_rules({"fc1": "rank:3"}).of("fc1").name, as_rules("erg").of("fc1").name
    ('rank:3', 'erg')
    """
    if not isinstance(asked, Mapping):
        return as_rule(asked)
    if not asked or not all(isinstance(name, str) for name in asked):
        raise InvalidInput(f"rule={asked!r:.200} was asked; accepted is a mapping of names of layers to rules")
    return Plan({name: as_rule(rule) for name, rule in asked.items()})


def read_plan(path: str | Path) -> dict[str, str]:
    """The rules of a plan file, as `setol_ww.recommend(results, "truncate")` writes it: `rules`, a rule a layer.

    Raises
    ------
    InvalidInput
        Another ending, no such file, or no rules in it.
    """
    file = path_of("plan", path)
    if file.suffix.lower() not in ENDINGS:
        raise InvalidInput(f"the plan {file} was asked; accepted endings are {', '.join(ENDINGS)}")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the plan {file} was asked; it cannot be read: {error}") from None
    told = _parsed(text, file)
    rules = told.get("rules") if isinstance(told, Mapping) else None
    if not isinstance(rules, Mapping) or not rules or not all(isinstance(rule, str) for rule in rules.values()):
        raise InvalidInput(f"the plan {file} was asked; accepted is a file with `rules`, a rule for each layer by name")
    return {str(name): rule for name, rule in rules.items()}


def _parsed(text: str, file: Path) -> Any:
    if file.suffix.lower() == ".json":
        try:
            return json.loads(text)
        except ValueError as error:
            raise InvalidInput(f"the plan {file} was asked; it is no JSON: {error}") from None
    yaml = needed("yaml", file.suffix, "yaml")
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput(f"the plan {file} was asked; it is no YAML: {error}") from None
