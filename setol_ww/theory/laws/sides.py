r"""The squared strengths of one side of a matrix, and the roots of the means that the law of its noise is made of.

Every root is found by Newton's steps on a harmonic mean, which is concave in its argument: from the right side they
never pass the root, and from any other place the first step leads to that side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ...core.arrays import FloatArray

# A step of so small a share of the distance to the next pole is the last: the error that it leaves is its square.
LAST_STEP, MOST_STEPS = 1e-7, 200
# Groups of strengths at most.
MOST_GROUPS = 48
# A spread within a group that is less, relative to its mean, is none.
NO_SPREAD = 1e-12


class Local(NamedTuple):
    """s at one a: its size, d ln s / d ln a, d(-1 / that) / d ln s, and how far in ln a the next pole is, 1 at most."""

    s: float
    gain: float
    bend: float
    room: float


@dataclass(frozen=True, eq=False)
class Side:
    """Squared strengths t of the lines of one side, ascending; lines of strength 0 count in the means.

    A bracket <.> below is a mean over all lines.
    """

    strengths: FloatArray

    @cached_property
    def live(self) -> FloatArray:
        """Those that are not zero."""
        return self.strengths[np.searchsorted(self.strengths, 0.0, side="right") :]

    @cached_property
    def share(self) -> float:
        """Share of lines that are not zero."""
        return self.live.size / self.strengths.size

    @cached_property
    def mean(self) -> float:
        """Mean strength."""
        return float(self.strengths.mean())

    @cached_property
    def _mean_inverse(self) -> float:
        return float(np.mean(1 / self.live))

    def above(self, value: float, near: float = 0.0) -> float:
        """The z above all strengths with <t / (z - t)> = value > 0, looked for from `near` on."""
        t, size = self.live, self.strengths.size
        top = float(t[-1])
        floor = max(top * (1 + 1 / (value * size)), self.mean * (1 + 1 / value))
        z = max(floor, near)
        for _ in range(MOST_STEPS):
            inverse = 1 / (z - t)
            found = float(t @ inverse) / size
            step = (found - value) * found * size / (value * float((t * inverse) @ inverse))
            z = max(floor, z + step)
            if abs(step) <= LAST_STEP * (z - top):
                break
        return z

    def below(self, value: float, near: float = math.inf) -> float:
        """The z between 0 and the least strength with <t / (t - z)> = value > `share`."""
        t, size = self.live, self.strengths.size
        least = float(t[0])
        ceiling = min(least * (1 - 1 / (value * size)), (1 - self.share / value) / self._mean_inverse)
        z = min(ceiling, near)
        for _ in range(MOST_STEPS):
            inverse = 1 / (t - z)
            found = float(t @ inverse) / size
            step = (value - found) * found * size / (value * float((t * inverse) @ inverse))
            z = min(ceiling, z + step)
            if abs(step) <= LAST_STEP * (least - z):
                break
        return z

    def negative(self, value: float, near: float = 0.0) -> float:
        """The y > 0 with <y t / (1 + y t)> = value < `share`."""
        t, rest = self.live, 1 - value / self.share
        floor = (1 / rest - 1) * self.share / self.mean
        y = max(floor, near)
        for _ in range(MOST_STEPS):
            inverse = 1 / (1 + y * t)
            found = float(inverse.sum()) / t.size
            step = (found - rest) * found * t.size / (rest * float((t * inverse) @ inverse))
            y = max(floor, y + step)
            if abs(step) <= LAST_STEP * y:
                break
        return y

    def at(self, a: float) -> Local:
        """The size of s = <a t / (1 - a t)> and how it moves with a, which is no strength's inverse."""
        weighted = a * self.live
        inverse = 1 / (1 - weighted)
        terms = weighted * inverse
        first, second = float(weighted @ inverse), float(terms @ inverse)
        gain = second / first
        # d second / d ln a = sum at (1 + at) / (1 - at)^3.
        third = 2 * float((terms * inverse) @ inverse) - second
        # Their largest and least tell on which side of the poles a is.
        least, largest = float(weighted[0]), float(weighted[-1])
        room = 1.0 if a < 0 else 1 - largest if largest < 1 else least - 1
        return Local(abs(first) / self.strengths.size, gain, (third / second - gain) / gain**2, min(room, 1.0))

    def rule(self, width: float) -> tuple[FloatArray, FloatArray]:
        """A few strengths and their weights that means of smooth functions need, zeros left out.

        Groups of this width in ln t at most, each by the two-point rule with its first three moments.
        """
        number = min(MOST_GROUPS, max(1, math.ceil(math.log(float(self.live[-1]) / float(self.live[0])) / width)))
        if number not in self._rules:
            self._rules[number] = self._rule(number)
        return self._rules[number]

    @cached_property
    def _rules(self) -> dict[int, tuple[FloatArray, FloatArray]]:
        return {}

    def _rule(self, number: int) -> tuple[FloatArray, FloatArray]:
        """Of so many groups."""
        t = self.live
        # A border that the next one stands on begins an empty group.
        ends = np.append(np.searchsorted(t, _borders(float(t[0]), float(t[-1]), number)), t.size)
        counts = ends[1:] - ends[:-1]
        starts, counts = ends[:-1][counts > 0], counts[counts > 0]
        means = np.add.reduceat(t, starts) / counts
        off = t - np.repeat(means, counts)
        squares = off * off
        spread = np.sqrt(np.add.reduceat(squares, starts) / counts)
        wide = spread > NO_SPREAD * means
        skew = np.add.reduceat(squares * off, starts) / counts / np.where(wide, spread, 1.0) ** 3
        root = np.sqrt(skew * skew + 4)
        lower, upper = (skew - root) / 2, (skew + root) / 2
        weights = counts / self.strengths.size
        points = np.concatenate([means + np.where(wide, lower * spread, 0.0), (means + upper * spread)[wide]])
        return points, np.concatenate([np.where(wide, upper / root, 1.0) * weights, (-lower / root * weights)[wide]])


def _borders(least: float, largest: float, number: int) -> FloatArray:
    """Lower borders of the groups."""
    borders: FloatArray = least * (largest / least) ** (np.arange(number) / number)
    borders[0] = 0.0
    return borders


def compressed(strengths: FloatArray, size: int) -> FloatArray:
    """At most `size` equally likely strengths with the same mean: means over equal shares of the ascending ones."""
    given = np.sort(np.asarray(strengths, dtype=np.float64))
    if given.size <= size:
        return given
    total = np.concatenate([[0.0], np.cumsum(given)])
    ends = np.interp(np.linspace(0, given.size, size + 1), np.arange(given.size + 1), total)
    return np.diff(ends) * (size / given.size)
