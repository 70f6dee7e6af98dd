"""Rules over a summary, for `--fail-on`: `over-regularized>3`, `failed>0`, `ideal<2`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ..core.errors import InvalidInput

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
STATUSES = ("analyzed", "failed", "skipped", "missing")


class Counted(Protocol):
    """A summary that says how many there are of each word."""

    @property
    def counts(self) -> Mapping[str, int]:
        """By word."""


@dataclass(frozen=True)
class Rule:
    """A comparison of a count: of layers of a state, class or flag, of rows of a status, or of another word.

    Examples
    --------
    >>> rule = Rule.of("over-regularized > 3")
    >>> rule.word, rule.comparison, rule.number
    ('over-regularized', '>', 3.0)
    """

    text: str
    word: str
    comparison: str
    number: float

    @classmethod
    def of(cls, text: str, words: Iterable[str] = ()) -> Rule:
        """From words, by default those of a model's summary; `InvalidInput` for anything that is no rule."""
        words = list(words) or _words_of_results()
        match = re.fullmatch(r"\s*(.+?)\s*(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d*)?)\s*", text)
        if match is None or match[1] not in words:
            raise InvalidInput(
                f"the rule {text!r} was asked; accepted are a word ({', '.join(words)}), one of "
                f"{' '.join(COMPARISONS)}, and a number, for instance '{words[0]}>3'"
            )
        return cls(text, match[1], match[2], float(match[3]))

    def count(self, summary: Counted) -> int:
        """How many there are of the rule's word."""
        return summary.counts.get(self.word, 0)

    def holds(self, summary: Counted) -> bool:
        """Whether the comparison is true."""
        return COMPARISONS[self.comparison](self.count(summary), self.number)


def _words_of_results() -> list[str]:
    from ..layer.classes import UniversalityClass
    from ..layer.flags import MEANINGS
    from ..layer.verdict import State

    states = [one.value for one in State]
    return list(dict.fromkeys((*STATUSES, *states, *(one.value for one in UniversalityClass), *MEANINGS)))
