"""What every room agrees on: outcomes with their sentence, the two exceptions, checks at the door."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class InvalidInput(ValueError):
    """Something was asked that cannot be answered; the text repeats what was asked and what is accepted."""


class UnreadableCheckpoint(OSError):
    """A file could not be read as weights; the text names the file and the cause."""


class Outcome(str, Enum):
    """How a number came about. The value is the word in the table, `sentence` says it to a reader.

    >>> Outcome.FLAT.value, Outcome.FLAT.sentence
    ('flat', 'all eigenvalues are equal within rounding')
    """

    sentence: str

    OK = "ok", "computed as defined"
    FLAT = "flat", "all eigenvalues are equal within rounding"
    RANK_LIMITED = (
        "rank_limited",
        "the log-determinant is still positive at the last non-zero eigenvalue: det = 1 cannot be met",
    )
    DEGENERATE = "degenerate", "no positive finite eigenvalue, so nothing is defined"
    TOO_FEW = "too_few", "fewer than two distinct positive eigenvalues, so there is no tail to fit"
    SMALL_SAMPLE = "small_sample", "fewer than 20 positive eigenvalues: the fit is the usual one but says little"
    POOR_FIT = "poor_fit", "the tail is no power law: its KS distance is above the 1 % critical value"
    NO_BULK = "no_bulk", "the eigenvalues below the edge of the noise do not follow a Marchenko-Pastur law"

    def __new__(cls, word: str, sentence: str) -> Outcome:
        member = str.__new__(cls, word)
        member._value_ = word
        member.sentence = sentence
        return member


def positive_integer(name: str, value: int) -> int:
    """`value` when it is an integer of at least 1, else `InvalidInput`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InvalidInput(f"{name}={value!r} was asked; accepted is an integer of 1 or more")
    return int(value)


def seed_of(seed: int) -> int:
    """`seed` when it is an integer from 0 to 2**32 - 1, else `InvalidInput`."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
        raise InvalidInput(f"seed={seed!r} was asked; accepted is an integer from 0 to 2**32 - 1")
    return int(seed)


def path_of(name: str, value: str | Path) -> Path:
    """`value` as a path when it can be one, else `InvalidInput`."""
    try:
        return Path(value)
    except TypeError:
        raise InvalidInput(f"{name}={value!r:.200} was asked; accepted is the path of a file or a folder") from None


def writable_file(option: str, path: Path, endings: Iterable[str]) -> None:
    """`InvalidInput` for a file of another ending or in a folder that is not there, before any work is done."""
    if path.suffix not in endings:
        raise InvalidInput(f"{option} {path} was asked; accepted endings are {', '.join(endings)}")
    if not path.resolve().parent.is_dir():
        raise InvalidInput(f"{option} {path} was asked; it cannot be written: there is no such folder")


def one_of(name: str, value: object, accepted: tuple) -> object:
    """`value` when it is among `accepted`, else `InvalidInput`."""
    if value not in accepted:
        raise InvalidInput(f"{name}={value!r} was asked; accepted is one of {', '.join(map(repr, accepted))}")
    return value
