"""Words of a layout with names in the place of numbers, as the register of architectures has them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .cuts import matrix_axes


class Unknown(Exception):
    """A width that is not known, or no whole number."""


def in_numbers(words: str, shape: Sequence[int], known: Mapping[str, int]) -> str:
    """The words with every formula worked out; `Unknown` where one cannot be.

    >>> in_numbers("rows:q=H*d,k=R/6 x H", (24, 8), {"H": 2, "d": 8})
    'rows:q=16,k=4 x 2'
    """
    name, colon, rest = words.partition(":")
    if not colon:
        return words
    listed, by, groups = rest.partition(" x ")
    worked = []
    for one in listed.split(","):
        label, equals, formula = one.rpartition("=")
        worked.append(f"{label}{equals}{value_of(formula, shape, known)}")
    tail = f"{by}{value_of(groups, shape, known)}" if by else ""
    return f"{name}:{','.join(worked)}{tail}"


def holds(equation: str, shape: Sequence[int], known: Mapping[str, int]) -> bool:
    """True where both sides of an equation are the same number; an empty one holds.

    >>> holds("R = 8*C", (32, 4), {})
    True
    """
    left, equals, right = equation.partition("=")
    try:
        return not equals or value_of(left, shape, known) == value_of(right, shape, known)
    except Unknown:
        return False


def value_of(formula: str, shape: Sequence[int], known: Mapping[str, int]) -> int:
    """The value of a sum of products and quotients of names and numbers.

    >>> value_of("2*I + R/3", (24, 8), {"I": 5})
    18
    """
    rows, columns = matrix_axes(shape)
    sides = {"R": shape[rows], "C": shape[columns]}
    total = 0
    for term in formula.split("+"):
        value, by = 1, "*"
        for piece in re.split(r"([*/])", term.replace(" ", "")):
            if piece in ("*", "/"):
                by = piece
                continue
            factor = int(piece) if piece.isdigit() else known.get(piece, sides.get(piece))
            if not isinstance(factor, int) or (by == "/" and (not factor or value % factor)):
                raise Unknown(f"{piece} in {formula}")
            value = value * factor if by == "*" else value // factor
        total += value
    return total
