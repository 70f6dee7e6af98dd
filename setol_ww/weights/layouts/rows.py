"""Several matrices above one another: q, k and v, gate and up, B, C and x."""

from __future__ import annotations

from .cuts import cut
from .registry import Layout

LAYOUT = Layout(
    "rows",
    "matrices above one another, in the order of their names; with ` x GROUPS` in turn, as q, k and v of each head",
    60,
    lambda situation: None,
    lambda situation, words: cut(situation, "rows", words, "asked"),
    "rows:NAME=WIDTH,...[ x GROUPS]",
)
