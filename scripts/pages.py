"""What the scripts that write a page from a registry share: a table in Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; a bar in a cell is escaped.

    >>> print(table(["a"], [["x|y"]]), end="")
    | a |
    |---|
    | x\\|y |
    """
    lines = [head, *rows]
    told = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([told[0], "|" + "---|" * len(head), *told[1:]]) + "\n"


def prose(documented: object) -> str:
    """What a docstring says before its sections, formulas as Markdown has them.

    >>> prose(str.upper)
    'Return a copy of the string converted to uppercase.'
    """
    said = inspect.cleandoc(documented.__doc__ or "")
    before = re.split(r"^\w+\n-+$", said, maxsplit=1, flags=re.MULTILINE)[0].strip()
    return re.sub(r":math:`([^`]*)`", r"$\1$", before)
