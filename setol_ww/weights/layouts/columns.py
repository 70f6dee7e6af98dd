"""Several matrices side by side: what `rows` is of a tensor that is stored as inputs x outputs."""

from __future__ import annotations

from .cuts import cut
from .registry import Layout

LAYOUT = Layout(
    "columns",
    "matrices side by side, where a tensor is stored as inputs x outputs; with ` x GROUPS` in turn",
    61,
    lambda situation: None,
    lambda situation, words: cut(situation, "columns", words, "asked"),
    "columns:NAME=WIDTH,...[ x GROUPS]",
)
