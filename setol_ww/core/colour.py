"""Colour on a terminal, where it is wanted: never in a pipe, never against `NO_COLOR`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from .tones import Tone

ANSI = {Tone.GOOD: "32", Tone.CAUTION: "33", Tone.BAD: "31"}


def wants_colour(stream: Any) -> bool:
    """Whether to write in colour to `stream`: as `NO_COLOR` says, else `FORCE_COLOR`, else on a terminal that can.

    A variable that is set and not empty counts (no-color.org, force-color.org); `TERM=dumb` cannot.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return os.environ.get("TERM") != "dumb" and bool(getattr(stream, "isatty", bool)())


def painted(text: str, tone: Tone) -> str:
    r"""`text` in the colour of `tone`, the words of each line by themselves.

    >>> painted("ideal", Tone.GOOD)
    '\x1b[32mideal\x1b[0m'
    """
    if tone not in ANSI:
        return text
    lines = (re.match(r"(\s*)(.*)", line) for line in text.split("\n"))
    return "\n".join(f"{one[1]}\x1b[{ANSI[tone]}m{one[2]}\x1b[0m" if one[2] else one[0] for one in lines if one)


def words_painted(text: str, tones: Mapping[str, Tone]) -> str:
    r"""`text`, a list of our own words with numbers and commas, with each known word in its colour.

    >>> words_painted("1 ideal, 2 not ideal", {"ideal": Tone.GOOD, "not ideal": Tone.BAD})
    '1 \x1b[32mideal\x1b[0m, 2 \x1b[31mnot ideal\x1b[0m'
    """
    parts = text.split(", ")
    for number, part in enumerate(parts):
        # One word may end in another.
        word = max((one for one in tones if part.strip().rstrip(",").endswith(f" {one}")), key=len, default="")
        if word:
            at = part.rindex(word)
            parts[number] = part[:at] + painted(word, tones[word]) + part[at + len(word) :]
    return ", ".join(parts)
