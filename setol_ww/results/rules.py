"""Rules over a summary, for `--fail-on`: `over-regularized>3`, `failed>0`, `ideal<2`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from ..core.errors import InvalidInput
from .summary import Summary

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
STATUSES = ("analyzed", "failed", "skipped", "missing")


@dataclass(frozen=True)
class Rule:
    """A comparison of a count: of layers of a state, class or flag, or of rows of a status.

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
    def of(cls, text: str) -> Rule:
        """From words; `InvalidInput` for anything that is no rule."""
        from ..layer.classes import UniversalityClass
        from ..layer.flags import MEANINGS
        from ..layer.verdict import State

        match = re.fullmatch(r"\s*(.+?)\s*(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d*)?)\s*", text)
        words = [*STATUSES, *(one.value for one in State), *(one.value for one in UniversalityClass), *MEANINGS]
        if match is None or match[1] not in words:
            raise InvalidInput(
                f"the rule {text!r} was asked; accepted are a word ({', '.join(dict.fromkeys(words))}), one of "
                f"{' '.join(COMPARISONS)}, and a number, for instance 'over-regularized>3'"
            )
        return cls(text, match[1], match[2], float(match[3]))

    def count(self, summary: Summary) -> int:
        """How many there are of the rule's word; a word that is a state and a class counts once for each layer."""
        if self.word in STATUSES:
            return int(getattr(summary, self.word))
        told = (summary.states, summary.classes, summary.flags)
        return max(counts.get(self.word, 0) for counts in told)

    def holds(self, summary: Summary) -> bool:
        """Whether the comparison is true."""
        return COMPARISONS[self.comparison](self.count(summary), self.number)
