"""A result as people read it: a title, a few facts, sentences. Made once, shown as text here and as HTML by `views`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .colour import painted
from .outcomes import Outcome
from .printable import GridColumn, cells, grid, padded, shortened, terminal_width, visible, wrapped
from .tones import Tone
from .upstairs import upstairs

#: Columns of a `repr`.
ONE_LINE = 100
#: Below it a p-value is not told by its digits.
SMALLEST = 1e-300


@dataclass(frozen=True)
class Fact:
    """One thing that is told: what it is, what it came to, how to take it, and what explains it.

    The words say without the tone what it says.
    """

    name: str
    said: str
    tone: Tone = Tone.PLAIN
    more: str = ""

    @property
    def whole(self) -> str:
        """What is said, with its explanation."""
        return f"{self.said} ({self.more})" if self.more else self.said


@dataclass(frozen=True)
class Card:
    """What a result says of itself.

    Attributes
    ----------
    title : str
    facts : sequence of Fact
    notes : sequence of str
        Sentences below; an empty one is left out.
    table : sequence of GridColumn
        Between facts and sentences.
    """

    title: str
    facts: Sequence[Fact]
    notes: Sequence[str] = ()
    table: Sequence[GridColumn] = ()


def card_text(card: Card, width: int | None = None, *, colour: bool = False) -> str:
    """A card in lines that fit: the title, a fact a line, the table, the sentences.

    Examples
    --------
    >>> print(card_text(Card("Tail", [Fact("alpha", "2.03"), Fact("outcome", "ok", Tone.GOOD)], ["Sound."]), 80))
    Tail
      alpha    2.03
      outcome  ok
    Sound.
    """
    room = terminal_width(width)
    names = [visible(fact.name) for fact in card.facts]
    size = max(map(cells, names), default=0)
    lines = [wrapped(visible(card.title), room, later="  ")] if card.title else []
    for name, fact in zip(names, card.facts):
        told = wrapped(visible(fact.whole), room, later=" " * (size + 4), first=" " * (size + 4)).lstrip()
        lines.append(f"  {padded(name, size)}  {painted(told, fact.tone) if colour else told}".rstrip())
    if card.table:
        lines.append(grid(card.table, room, colour=colour))
    return "\n".join([*lines, *(wrapped(visible(note), room, later="  ") for note in card.notes if note)])


def card_line(kind: str, card: Card) -> str:
    """A card in one short line, for `repr`.

    Examples
    --------
    >>> card_line("TailFit", Card("Tail", [Fact("alpha", "2.03"), Fact("outcome", "ok")]))
    '<TailFit: alpha 2.03; outcome ok>'
    """
    if not card.facts:
        # A table: what stands below it says of what.
        note = visible(next(iter(card.notes), card.title))
        return f"<{kind}: {note if cells(note) <= ONE_LINE - 5 - cells(kind) else note.partition('. ')[0]}>"
    line = f"{kind}:"
    for number, fact in enumerate(card.facts):
        more = visible(f"{';' if number else ''} {fact.name} {fact.said}")
        if number and cells(line + more) > ONE_LINE - 5:
            return f"<{line} ...>"
        line += shortened(more, ONE_LINE - 5 - cells(line))
    return f"<{line}>"


def number_text(value: Any, form: str = ".3g") -> str:
    """A number in a form; - where there is none.

    >>> number_text(0.12345), number_text(float("nan"))
    ('0.123', '-')
    """
    return "-" if value is None or value != value else format(value, form)


def error_text(value: Any, error: Any, form: str = ".3g", of_error: str = "") -> str:
    """A number and its error in a form, that of the error by itself where it has one; - where there is no number.

    >>> error_text(1.234, 0.5, ".2f"), error_text(1.234, float("nan"), "+.2f", ".2f"), error_text(None, 0.5)
    ('1.23 ± 0.50', '+1.23', '-')
    """
    told, doubt = number_text(value, form), number_text(error, of_error or form)
    return told if "-" in (told, doubt) else f"{told} ± {doubt}"


def chance_text(pvalue: float) -> str:
    """A p-value; one too small to be told apart from 0 by its bound.

    >>> chance_text(0.0123), chance_text(0.0)
    ('p = 0.012', 'p < 1e-300')
    """
    return f"p = {pvalue:.2g}" if pvalue > SMALLEST else f"p < {SMALLEST:g}"


def outcome_fact(name: str, outcome: Outcome) -> Fact:
    """How a number came about, with its sentence where it is not as defined.

    >>> outcome_fact("outcome", Outcome.FLAT).whole
    'flat (all eigenvalues are equal within rounding)'
    """
    more = "" if outcome is Outcome.OK else outcome.sentence
    return Fact(name, outcome.value, OUTCOME_TONES.get(outcome, Tone.CAUTION), more)


#: What is neither sound nor without a number calls for caution.
OUTCOME_TONES = {Outcome.OK: Tone.GOOD, Outcome.DEGENERATE: Tone.BAD, Outcome.TOO_FEW: Tone.BAD}


class Shown:
    """Prints itself: `str` a few lines, `repr` one, a card in a notebook. A dataclass of it says `repr=False`."""

    def _card(self) -> Card:
        """What is told of it."""
        raise NotImplementedError

    def __str__(self) -> str:
        return card_text(self._card())

    def __repr__(self) -> str:
        return card_line(type(self).__name__, self._card())

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text("..." if cycle else str(self))

    def _repr_html_(self) -> str:
        return str(upstairs("views.notebook").card_html(self._card()))
