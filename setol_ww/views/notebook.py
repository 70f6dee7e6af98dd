"""A result in a notebook: its card as HTML.

Styles stand at each element, so that nothing leaks into the page and a viewer that drops style sheets shows the same.
Text and lines take the colours of the page, light or dark; a coloured cell brings both of its colours along.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..core.card import Card, Fact
from ..core.printable import GridColumn, visible
from ..core.tones import Tone

# Black on each has a contrast of at least 9 to 1.
COLOURS = {Tone.GOOD: "#9fd8b0", Tone.CAUTION: "#f2d479", Tone.BAD: "#f4a7a0"}
FONT = "font-size:13px;line-height:1.4"
LINE = "border-bottom:1px solid rgba(128,128,128,.35)"
# A column of words that is wider is broken into lines.
WIDE = 24
CELL = f"padding:2px 10px 2px 4px;vertical-align:top;{LINE}"


def card_html(card: Card) -> str:
    """A card as HTML, every text escaped.

    Examples
    --------
    >>> card_html(Card("<fc>", [Fact("state", "ideal", Tone.GOOD)])).count("&lt;fc&gt;")
    1
    """
    parts = [f'<div style="font-weight:600">{_text(card.title)}</div>'] if card.title else []
    if card.facts:
        parts.append(_table("", [_fact(fact) for fact in card.facts]))
    if card.table:
        parts.append(grid_html(card.table))
    parts += [f'<div style="max-width:60em">{_text(note)}</div>' for note in card.notes if note]
    return f'<div style="{FONT}">{"".join(parts)}</div>'


def grid_html(columns: Sequence[GridColumn]) -> str:
    """Columns as an HTML table, every text escaped."""
    head = "".join(_cell("th", column.head, column) for column in columns)
    rows = zip(*(column.toned() for column in columns), strict=True)
    return _table(
        f"<thead><tr>{head}</tr></thead>",
        ["".join(_cell("td", text, column, tone) for (text, tone), column in zip(row, columns)) for row in rows],
    )


def _table(head: str, rows: Sequence[str]) -> str:
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    style = "border-collapse:collapse;margin:4px 0;background:none;color:inherit;font-size:inherit"
    return f'<div style="overflow-x:auto"><table style="{style}">{head}<tbody>{body}</tbody></table></div>'


def _fact(fact: Fact) -> str:
    name = f'<th style="{CELL};text-align:left;font-weight:normal;opacity:.75">{_text(fact.name)}</th>'
    return f'{name}<td style="{CELL};text-align:left;{_colours(fact.tone)}">{_text(fact.whole)}</td>'


def _cell(tag: str, text: str, column: GridColumn, tone: Tone = Tone.PLAIN) -> str:
    side = "right" if column.right else "left"
    wrap = "white-space:nowrap" if column.right or column.width <= WIDE else "white-space:normal"
    return f'<{tag} style="{CELL};text-align:{side};{wrap};{_colours(tone)}">{_text(text)}</{tag}>'


def _colours(tone: Tone) -> str:
    return f"background:{COLOURS[tone]};color:#000" if tone in COLOURS else ""


def _text(text: str) -> str:
    return escape(visible(text))
