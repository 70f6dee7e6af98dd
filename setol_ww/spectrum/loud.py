r"""Rows or columns far stronger than all others: each has an eigenvalue of its own, which is no spike of the noise.

A row of power p, in units of the mean power of the others, has the eigenvalue of a spiked covariance,
:math:`\sigma^2 (p M + N \langle e^2\rangle p / (p - 1))` for columns of power e with mean 1; columns alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..core.arrays import FloatArray
from .strengths import Strengths, number_of_loud

# What loud lines are estimated to have, and what eigenvalues have that are theirs, differ by this factor at most.
ALIKE = 1.5


@dataclass(frozen=True)
class LoudLines:
    """The loud lines of one side: at most how many, the energy they have in all, and the strengths of all others.

    `energies` are in units of the variance of the other lines' entries, descending, of `each` lines at once; `longer`
    is the longer side of the whole matrix.
    """

    side: str
    longer: int
    each: float
    energies: FloatArray
    rest: Strengths

    @property
    def most(self) -> int:
        """So many lines at most."""
        return round(self.each * self.energies.size)

    def explain(self, found: FloatArray, slices: int) -> bool:
        """Whether eigenvalues, in the same units, may be those of the lines.

        >>> import numpy as np
        >>> from setol_ww.spectrum.strengths import strengths_of
        >>> W = np.random.default_rng(0).normal(size=(300, 200)) * np.where(np.arange(300) == 7, 30.0, 1.0)[:, None]
        >>> lines = next(loud_lines(strengths_of([W])))
        >>> lines.most, lines.explain(np.array([30.0**2 * 200]), 1), lines.explain(np.array([1e6]), 1)
        (1, True, False)
        """
        expected = float(self.energies.sum()) * slices
        return expected / ALIKE < float(found.sum()) < expected * ALIKE


def loud_lines(strengths: Strengths) -> Iterator[LoudLines]:
    """Loud rows, loud columns, where there are some."""
    for side, other in (("row", "column"), ("column", "row")):
        powers = getattr(strengths, side)
        number = number_of_loud(np.log(powers))
        if not number:
            continue
        lines, length = getattr(strengths, f"{side}s"), getattr(strengths, f"{other}s")
        others, each = powers[:-number], lines / powers.size
        even = others / others.mean() if others[-1] > others[0] else np.ones(1)
        loud = powers[: -number - 1 : -1] / others.mean() * each - (each - 1)
        across = getattr(strengths, other)
        bias = lines * float(np.mean(across**2)) * loud / (loud - 1)
        gone = round(number * each)
        # Each takes a line of either side: its own, and the direction that it has.
        rest = replace(strengths, **{side: even, f"{side}s": lines - gone, f"{other}s": max(1, length - gone)})
        yield LoudLines(side, max(lines, length), each, loud * length + bias, rest)
