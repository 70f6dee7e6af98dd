r"""Text for people: names as they can be shown, widths as a terminal has them, lines that fit.

A name comes from a file that anyone may have written. Sent to a terminal as it stands it may move the cursor, change
colours or turn the line around; here such characters are shown by their number and nothing is lost silently.
"""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .colour import painted
from .tones import Tone

NARROWEST, WIDEST, USUAL = 60, 200, 100
# Control characters, formats (direction marks, zero widths), lone surrogates, line and paragraph separators, and what
# no character is.
HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp", "Cn"))
SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
CUT = ".."


def visible(text: str) -> str:
    r"""`text` with every character that does not show itself written as its number.

    Examples
    --------
    >>> visible("a\x1b[31mred\nnext")
    'a\\x1b[31mred\\nnext'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) if unicodedata.category(character) in HIDDEN else character for character in text)


def _shown(character: str) -> str:
    number = ord(character)
    if character in SHORT:
        return SHORT[character]
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def cells(text: str) -> int:
    """How many columns of a terminal `text` takes: two for East Asian wide characters, none for marks on another.

    Examples
    --------
    >>> cells("abc"), cells("層"), cells("e\u0301")
    (3, 2, 1)
    """
    if text.isascii():
        return len(text)
    return sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def padded(text: str, width: int, *, right: bool = False) -> str:
    """`text` filled up with blanks to `width` columns, on its left with `right`."""
    blanks = " " * max(0, width - cells(text))
    return blanks + text if right else text + blanks


def shortened(text: str, width: int) -> str:
    """`text` in at most `width` columns, cut in its middle.

    Examples
    --------
    >>> shortened("model.layers.0.self_attn.q_proj", 20)
    'model.lay..tn.q_proj'
    """
    if cells(text) <= width:
        return text
    half = (width - len(CUT)) // 2
    return f"{_fitting(text, half)}{CUT}{_fitting(text[::-1], half)[::-1]}"


def first_words(text: str, width: int) -> str:
    """A sentence in at most `width` columns: its first words where it has more.

    Examples
    --------
    >>> first_words("integers are no weights as they stand", 20)
    'integers are no ..'
    """
    if cells(text) <= width:
        return text
    kept = _fitting(text, width - cells(CUT) - 1)
    whole = kept if text[len(kept)] == " " else kept.rpartition(" ")[0]
    return f"{whole.rstrip()} {CUT}" if whole.strip() else shortened(text, width)


def first_parts(text: str, width: int) -> str:
    """A list with commas in `width` columns: its first parts, one at least, and how many more there are.

    Examples
    --------
    >>> first_parts("few eigenvalues, uneven rows, little power", 20)
    'few eigenvalues +2'
    """
    if cells(text) <= width:
        return text
    parts = text.split(", ")
    told = text
    for kept in range(len(parts) - 1, 0, -1):
        told = f"{', '.join(parts[:kept])} +{len(parts) - kept}"
        if cells(told) <= width:
            break
    return told


def abbreviated(name: str, width: int) -> str:
    """A dotted name in at most `width` columns: words before the last become their first letter, the foremost first.

    Numbers stay, for they tell blocks apart; what is still too long is cut in its middle.

    Examples
    --------
    >>> abbreviated("encoder.layer.14.attention.self.value", 24)
    'e.l.14.a.self.value'
    >>> abbreviated("encoder", 4)
    'e..r'
    """
    words = name.split(".")
    for place, word in enumerate(words[:-1]):
        if cells(".".join(words)) <= width:
            break
        words[place] = word if word.isdigit() else word[:1]
    return shortened(".".join(words), width)


def _fitting(text: str, width: int) -> str:
    """As much of the start as fits."""
    taken = 0
    for number, character in enumerate(text):
        taken += _cells(character)
        if taken > width:
            return text[:number]
    return text


def terminal_width(width: int | None = None) -> int:
    """Columns to write in: `width` or the terminal's own, between 60 and 200; 100 where there is no terminal."""
    found = shutil.get_terminal_size((USUAL, 24)).columns if width is None else width
    return min(max(found, NARROWEST), WIDEST)


def wrapped(text: str, width: int, first: str = "", later: str = "") -> str:
    """Words of `text` in lines of at most `width` columns; `first` and `later` begin the lines."""
    lines, line, begun = [], first, False
    for word in text.split():
        for piece in _pieces(word, width - max(cells(first), cells(later))):
            if begun and cells(line) + 1 + cells(piece) > width:
                lines.append(line)
                line, begun = later, False
            line += (" " if begun else "") + piece
            begun = True
    return "\n".join([*lines, line]) if begun or not lines else "\n".join(lines)


def _pieces(word: str, width: int) -> list[str]:
    """A word in parts that fit a line, of two columns at the least: a wide character has as many."""
    parts, room = [], max(width, 2)
    while cells(word) > room:
        start = _fitting(word, room)
        parts.append(start)
        word = word[len(start) :]
    return [*parts, word] if word else parts


@dataclass(frozen=True)
class GridColumn:
    """A column of a table in text: its head, its cells, and what it is worth where room is short.

    `worth` 0 stays always; the highest goes first. `least` is the width down to which the cells may be cut, as `cut`
    does it; None does not cut them. `tones` say how the cells are to be taken; none are plain.
    """

    head: str
    cells: Sequence[str]
    right: bool = True
    worth: int = 0
    least: int | None = None
    tones: Sequence[Tone] = ()
    cut: Callable[[str, int], str] = shortened

    @property
    def width(self) -> int:
        """Columns that the widest cell takes."""
        return max((cells(self.head), *map(cells, self.cells)))

    def toned(self) -> list[tuple[str, Tone]]:
        """Every cell with its tone."""
        return list(zip(self.cells, self.tones or [Tone.PLAIN] * len(self.cells), strict=True))


def grid(columns: Iterable[GridColumn], width: int, *, colour: bool = False) -> str:
    """A table of at most `width` columns: a head, a line, a line each row.

    Columns that may be cut are cut first, then columns are left out by their worth. With `colour` cells with a tone
    are painted.
    """
    kept = list(columns)
    while _narrowest(kept) > width and any(column.worth for column in kept):
        kept.remove(max(kept, key=lambda column: column.worth))
    room = width - 2 * (len(kept) - 1)
    widths = [column.width for column in kept]
    for number, column in enumerate(kept):
        if column.least is not None:
            excess = max(0, sum(widths) - room)
            widths[number] = max(min(column.least, widths[number]), widths[number] - excess)
    total = sum(widths) + 2 * (len(kept) - 1)

    def line(texts: Sequence[tuple[str, Tone]]) -> str:
        shown = []
        for (text, tone), size, column in zip(texts, widths, kept, strict=True):
            word = column.cut(text, size)
            blanks = " " * (size - cells(word))
            word = painted(word, tone) if colour else word
            shown.append(blanks + word if column.right else word + blanks)
        return "  ".join(shown).rstrip()

    head = line([(column.head, Tone.PLAIN) for column in kept])
    rows = zip(*(column.toned() for column in kept), strict=True)
    return "\n".join([head, "-" * total, *map(line, rows)])


def _narrowest(columns: Sequence[GridColumn]) -> int:
    sizes = [column.width if column.least is None else min(column.least, column.width) for column in columns]
    return sum(sizes) + 2 * (len(columns) - 1)
