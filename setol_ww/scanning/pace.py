"""How long a scan takes: seconds per unit of work, measured on this machine, and durations in words."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from ..linalg.eigenvalues import eigenvalues
from ..weights.cost import FIXED, cost

PROBE = (768, 512)


@dataclass
class Pace:
    """Seconds per work unit, by a small matrix at first and by the finished layers from then on."""

    units: float = 0.0
    seconds: float = 0.0

    def learn(self, units: float, seconds: float) -> None:
        """Take a finished layer into account."""
        self.units += units
        self.seconds += seconds

    def probe(self) -> None:
        """Time the eigenvalues of a matrix of 768 x 512, about 20 ms; the second of two, the first warms up."""
        matrix = np.random.default_rng(0).normal(size=PROBE)
        for _ in range(2):
            started = time.perf_counter()
            eigenvalues(matrix)
            self.units, self.seconds = cost(*PROBE) - FIXED, time.perf_counter() - started

    def estimate(self, units: float, workers: int = 1) -> float:
        """Seconds that so many units take; NaN before anything is measured."""
        return self.seconds / self.units * units / workers if self.units else float("nan")


def in_words(seconds: float) -> str:
    """A duration as one reads it.

    >>> in_words(4.2), in_words(300), in_words(7400), in_words(300000)
    ('4 s', '5 min', '2 h 03 min', '3 d 11 h')
    """
    if not np.isfinite(seconds):
        return "?"
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    hours = round(seconds / 3600)
    return f"{minutes // 60} h {minutes % 60:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
