"""How a word or a number is to be taken: green, yellow, red, or plain. What has a tone says it in words too."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Tone(str, Enum):
    """Three tones, and none."""

    PLAIN = "plain"
    GOOD = "good"
    CAUTION = "caution"
    BAD = "bad"


def gravest(tones: Iterable[Tone]) -> Tone:
    """The gravest of some tones; plain of none.

    >>> gravest([Tone.BAD, Tone.GOOD]).value
    'bad'
    """
    return max(tones, key=list(Tone).index, default=Tone.PLAIN)
