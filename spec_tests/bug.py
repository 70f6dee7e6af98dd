"""A planted bug: an implementation with one method broken, and the clause that has to notice.

A bug is planted in setol_ww where it has the capability, else in the oracle, through the adapter alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .protocol import Implementation, chosen


@dataclass(frozen=True)
class Bug:
    """What is broken, where, and which clause must fail."""

    name: str
    killer: str
    method: str
    broken: Callable[..., Any]
    base: str = "setol_ww"


def planted(bug: Bug) -> Implementation:
    """The base implementation with the bug in it."""
    sound = type(chosen(bug.base))
    return type(f"{sound.__name__}WithBug", (sound,), {bug.method: bug.broken, "expected_failures": {}})()


def kept_directions(W: np.ndarray, keep: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """W with its singular values replaced by `keep` of them."""
    left, sigma, right = np.linalg.svd(W, full_matrices=False)
    return (left * keep(sigma)) @ right
