r"""What a layer costs, for shards of equal work and for an estimate of the time: a cubic model with one measured rate.

A Gram matrix takes :math:`N M^2` and its eigenvalues a multiple of :math:`M^3`, for each pooled matrix; in units of
the former. One rate, in seconds per unit, is measured on this machine.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..linalg.eigenvalues import eigenvalues

# Eigenvalues against the Gram matrix of a square layer, one BLAS thread: measured 1.7 to 2.8 for M from 1024 to 4096.
EIGENVALUES_PER_GRAM = 2.5
# Opening a file, the fits, the row: about as long as the Gram matrix of a layer of 700 x 700.
FIXED = 700.0**3
PROBE = (768, 512)


def cost(rows: int, columns: int, count: int = 1) -> float:
    """Work units of `count` matrices of one shape.

    >>> round(cost(4096, 11008) / cost(4096, 4096), 2)
    1.48
    """
    large, small = float(max(rows, columns)), float(min(rows, columns))
    return FIXED + count * (large * small**2 + EIGENVALUES_PER_GRAM * small**3)


def shares(costs: Sequence[float], number: int) -> list[int]:
    """Which of `number` shards takes each job: the dearest first, always to the shard with the least work so far.

    The same for everyone who asks; the dearest shard has at most 4/3 of the least possible (Graham 1969).

    >>> shares([5.0, 4.0, 3.0, 3.0, 3.0], 2)
    [0, 1, 1, 0, 1]
    """
    loads = [(0.0, shard) for shard in range(number)]
    owner = [0] * len(costs)
    for job in sorted(range(len(costs)), key=lambda job: (-costs[job], job)):
        load, owner[job] = loads[0]
        heapq.heapreplace(loads, (load + costs[job], owner[job]))
    return owner


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
