"""Checks at the door: the value when it is what is accepted, else `InvalidInput` that repeats what was asked."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .errors import InvalidInput


def positive_integer(name: str, value: int, *, least: int = 1) -> int:
    """`value` when it is an integer of at least 1 (or `least`), else `InvalidInput`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InvalidInput(f"{name}={value!r} was asked; accepted is an integer of {least} or more")
    return int(value)


def is_finite(*values: object) -> bool:
    """True where all of these are finite real numbers; a bool is none.

    >>> is_finite(0.5, 2), is_finite("0.5"), is_finite(True), is_finite(float("nan"))
    (True, False, False, False)
    """
    return all(
        isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value) for value in values
    )


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
