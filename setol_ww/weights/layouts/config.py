"""What the config beside a checkpoint, or the config of a module, tells of a tensor: the register of architectures."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ...core.errors import InvalidInput
from ..architectures import DEFAULTS, REGISTER, WIDTHS, Entry
from .cuts import beside_whole
from .formulas import Unknown, holds, in_numbers, value_of
from .registry import Layout, Reading, Situation, read_as, read_as_asked

INNER = ("attn_config", "ffn_config")


def _recognise(situation: Situation) -> Reading | None:
    """The reading of the first entry that fits; whole with a remark where entries are there and none fits."""
    tried = []
    for kind, config in _configs(situation.config):
        for entry in _entries_about(kind, situation.name, config):
            known = known_widths(kind, config)
            if not holds(entry.fits, situation.shape, known):
                continue
            tried.append(f"{kind} has {entry.words}")
            try:
                reading = read_as_asked(situation, in_numbers(entry.words, situation.shape, known))
            except (Unknown, InvalidInput):
                continue
            if not reading.parts:
                return Reading((), "config", f"no weight: a table that {kind} does not train")
            return beside_whole(situation, Reading(reading.parts, "config"))
    if not tried:
        return None
    shape = " x ".join(map(str, situation.shape))
    rest = read_as(replace(situation, config={}))
    remark = f"the config says that {'; '.join(tried)}, which does not fit the shape {shape}"
    return Reading(rest.parts, rest.known_from, "; ".join(filter(None, (remark, rest.remark))))


def _configs(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The config and those of the models inside (text, vision), each with its type."""
    for one in (config, *(value for value in config.values() if isinstance(value, Mapping))):
        for key in ("model_type", "architecture", "_class_name"):
            if isinstance(one.get(key), str):
                yield one[key], one
                break


def known_widths(kind: str, config: Mapping[str, Any]) -> dict[str, int]:
    """Whole numbers of a config by their keys, and the widths of `WIDTHS` that follow."""
    said: dict[str, Any] = {**DEFAULTS.get(kind, {}), **config}
    for inner in INNER:
        if isinstance(config.get(inner), Mapping):
            said |= config[inner]
    known = {key: value for key, value in said.items() if isinstance(value, int) and not isinstance(value, bool)}
    for name, (keys, formula) in WIDTHS.items():
        values = [known[key] for key in keys if key in known]
        if values:
            known[name] = values[0]
        elif formula:
            try:
                known[name] = value_of(formula, (1, 1), known)
            except Unknown:
                continue
    return known


def _entries_about(kind: str, name: str, config: Mapping[str, Any]) -> Iterator[Entry]:
    """The entries about a tensor of this name in a model with this config."""
    inner = [config[key] for key in INNER if isinstance(config.get(key), Mapping)]
    said = [*inner, config, DEFAULTS.get(kind, {})]
    for pattern, entry in _entries_of(kind):
        if pattern.search(name) and all(
            next((one[key] for one in said if key in one), None) == value for key, value in entry.when.items()
        ):
            yield entry


@functools.lru_cache(maxsize=32)
def _entries_of(kind: str) -> tuple[tuple[re.Pattern[str], Entry], ...]:
    """The entries of a model type, with the patterns of their names."""
    of_kind = [entry for entry in REGISTER if any(re.fullmatch(one, kind) for one in entry.types)]
    return tuple((re.compile(entry.name), entry) for entry in of_kind)


LAYOUT = Layout("config", "what the register of architectures says, by the config", 5, _recognise)
