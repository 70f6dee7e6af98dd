"""Alarms: a rule that begins to hold for a layer calls what the user gave for it, once, on the thread of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..core.as_json import as_json
from ..core.errors import InvalidInput
from ..core.outcomes import Outcome
from ..layer.verdict import IDEAL_ALPHA, MIN_TAIL
from ..weights.naming import titled
from .moves import MOVED

SCHEMA = 1
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Alarm:
    """A rule that holds for a layer since this look.

    Attributes
    ----------
    rule : str
        Its name; of a function of the user's, the function's.
    step : int
        Of the look.
    layer : str
        Long name, the slice in brackets.
    sentence : str
        What was seen.
    row : mapping
        All columns of the look.
    """

    rule: str
    step: int
    layer: str
    sentence: str
    row: Row = field(repr=False)

    def __str__(self) -> str:
        return f"step {self.step}, {self.layer}: {self.sentence}"

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON has it; `schema` counts the versions of this form."""
        return {"schema": SCHEMA, **as_json(asdict(self))}


def is_below_2(row: Row) -> bool:
    """Alpha of a sound fit is below 2 with its whole 90 % interval.

    >>> is_below_2({"tail_outcome": "ok", "tail_rank": 40, "tail_alpha_high": 1.9})
    True
    """
    sound = row.get("tail_outcome") == Outcome.OK.value and row.get("tail_rank", 0) >= MIN_TAIL
    return bool(sound and row["tail_alpha_high"] < IDEAL_ALPHA)


def has_trap(row: Row) -> bool:
    """The layer has a correlation trap; always False without `randomize=True`."""
    return bool(row.get("trap_count", 0) > 0)


def has_moved(row: Row) -> bool:
    """Alpha moved beyond its error since the look that it is compared with."""
    return row.get("move") == MOVED


#: Name -> rule, and its sentence, filled in from the row.
RULES: dict[str, tuple[Callable[[Row], bool], str]] = {
    "alpha below 2": (
        is_below_2,
        "alpha = {tail_alpha:.2f} is below 2 beyond its error ({tail_alpha_low:.2f} to {tail_alpha_high:.2f})",
    ),
    "trap": (has_trap, "{trap_count:.0f} correlation trap(s) (p = {trap_pvalue:.1g})"),
    "moved": (has_moved, "alpha moved beyond its error, to {tail_alpha:.2f}"),
}


class Alarms:
    """Rules with what they call; each calls when it begins to hold for a layer, and again after it did not hold."""

    def __init__(self, asked: Mapping[Any, Callable[[Alarm], Any]] | None, *, randomize: bool) -> None:
        self._rules = [_rule(key, call) for key, call in (asked or {}).items()]
        if not randomize and any(name == "trap" for name, *_ in self._rules):
            raise InvalidInput(
                "alarms={'trap': ...} was asked without randomize=True; accepted is both, for traps are found in the "
                "shuffled entries"
            )
        self._holding: set[tuple[str, str]] = set()

    def look(self, row: Row) -> None:
        """Call what this row calls for."""
        layer = titled(row["longname"], row["slice"])
        for name, holds, sentence, call in self._rules:
            key = (name, layer)
            if not holds(row):
                self._holding.discard(key)
            elif key not in self._holding:
                self._holding.add(key)
                call(Alarm(name, int(row["step"]), layer, sentence.format_map(row), row))


def _rule(key: Any, call: Any) -> tuple[str, Callable[[Row], bool], str, Callable[[Alarm], Any]]:
    if not callable(call):
        raise InvalidInput(f"alarms={{{key!r}: {call!r}}} was asked; accepted is a function of one Alarm")
    if callable(key):
        name = getattr(key, "__name__", type(key).__name__)
        return name, key, name.replace("{", "{{").replace("}", "}}"), call
    if key not in RULES:
        raise InvalidInput(
            f"the alarm {key!r} was asked; accepted are {', '.join(map(repr, RULES))} or a function of a row that "
            "answers true or false"
        )
    return key, *RULES[key], call
