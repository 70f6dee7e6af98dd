"""What each thing is drawn with, the same in pictures and in the report: a colour on light and on dark paper, a mark.

After M. Okabe and K. Ito, "Color universal design" (2008); darker on light paper, where some of them are words too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..layer.verdict import State


@dataclass(frozen=True)
class Ink:
    """A colour on light and on dark paper."""

    light: str
    dark: str


@dataclass(frozen=True)
class Mark:
    """A shape for those who do not tell colours apart: our word, matplotlib's."""

    word: str
    matplotlib: str


ORANGE, BLUE, GREEN = Ink("#c24e00", "#ff9a4d"), Ink("#0072b2", "#5fb4ee"), Ink("#00855f", "#3fd0a4")
PURPLE, GREY = Ink("#a8487f", "#e59ac4"), Ink("#6b7280", "#a3abb3")

#: The two starts of the tail.
POWER_LAW, ERG = ORANGE, BLUE
STATES: Mapping[State, tuple[Ink, Mark]] = {
    State.IDEAL: (GREEN, Mark("star", "*")),
    State.SHORT_OF_IDEAL: (BLUE, Mark("circle", "o")),
    State.OVER_REGULARIZED: (ORANGE, Mark("triangle", "^")),
    State.UNDER_TRAINED: (PURPLE, Mark("square", "s")),
    State.UNDETERMINED: (GREY, Mark("diamond", "D")),
}


def css_variables() -> str:
    """The colours as variables of a style sheet: `--power`, `--erg`, and one by the word of each state.

    >>> css_variables().split()[:4]
    [':root', '{', '--power:', 'light-dark(#c24e00,']
    """
    inks = {"power": POWER_LAW, "erg": ERG, **{state.value: ink for state, (ink, _) in STATES.items()}}
    return "\n".join(
        [":root {", *(f"  --{name}: light-dark({ink.light}, {ink.dark});" for name, ink in inks.items()), "}"]
    )
