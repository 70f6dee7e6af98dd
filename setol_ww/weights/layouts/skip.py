"""A tensor that the user says is no weight."""

from __future__ import annotations

from .registry import Layout, Reading, Situation, refused


def _asked(situation: Situation, words: str) -> Reading:
    if words:
        raise refused(situation, f"skip:{words}", "skip")
    return Reading((), "asked", "left out: layouts= says that it is no weight")


LAYOUT = Layout("skip", "no weight: left out", 100, lambda situation: None, _asked, "skip")
