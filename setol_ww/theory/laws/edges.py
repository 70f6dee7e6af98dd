r"""Both edges of the law of uneven noise, where x(s) = s / (a b) is stationary.

d ln x / d ln s = 1 - 1/alpha - 1/beta with alpha = d ln s / d ln a and beta = d ln s / d ln b. Above the bulk s, a and
b are positive and this slope rises; below it s is negative and its size lies between the shares of lines that have
strength, and times the distances from both the slope is nearly a straight line. From near an edge Newton's steps lead
to a and b at once; to there s is looked for, with the roots a and b of each.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .sides import Local, Side

# x(s) is flat at an edge: a step in ln s so small moves it by its square.
CLOSE, NEWTON = 1e-6, 100
# Steps of a and b at once: from within such a step of ln s, at most so many, none of them longer than that in ln; the
# bend is known to the last of them.
NEAR, TOGETHER, FARTHEST, LAST = 0.1, 6, 0.5, 1e-8


class Edge(NamedTuple):
    """a and b at an edge, and the size of s there with how it moves with each of them."""

    a: float
    b: float
    s: float
    column: Local
    row: Local

    @property
    def value(self) -> float:
        """The edge, x(s)."""
        return self.s / abs(self.a * self.b)

    @property
    def bend(self) -> float:
        """Second derivative of ln x in ln s."""
        return self.column.bend + self.row.bend

    def moved(self, ratio: float) -> Edge:
        """To first order that of a law with so many times this one's q."""
        change = math.log(ratio)
        of_s = self.column.bend / self.bend * change
        a = self.a * math.exp((of_s - change) / self.column.gain)
        return self._replace(a=a, b=self.b * math.exp(of_s / self.row.gain), s=self.s * math.exp(of_s))


def upper_edge(rows: Side, columns: Side, q: float, near: Edge | None = None) -> Edge:
    """The least x(s), s > 0: the one root of a slope that rises, by Newton's steps, from `near` first.

    A slope with steps in it, as a few strong rows make them, sends Newton's to and fro: what leaves the bracket or is
    over half of the step before halves the bracket instead.
    """
    found = near and _from_near(rows, columns, q, near.a, near.b)
    if found:
        return found
    log_s, column, row = math.log(q) / 2, 0.0, 0.0
    low, high, last = -math.inf, math.inf, math.inf
    for _ in range(NEWTON):
        s = math.exp(log_s)
        column, row = columns.above(s / q, column), rows.above(s, row)
        of_column, of_row = columns.at(1 / column), rows.at(1 / row)
        slope, bend = _slope(of_column, of_row)
        low, high = (log_s, high) if slope < 0 else (low, log_s)
        step = max(-1.0, min(1.0, -slope / bend))
        if high - low < math.inf and (not low < log_s + step < high or 2 * abs(step) > last):
            step = (low + high) / 2 - log_s
        if abs(step) < CLOSE:
            return Edge(1 / column, 1 / row, s, of_column, of_row)
        log_s, is_near, last = log_s + step, abs(step) < NEAR <= last, abs(step)
        # To first order where they move.
        column, row = column * math.exp(-step / of_column.gain), row * math.exp(-step / of_row.gain)
        found = _from_near(rows, columns, q, 1 / column, 1 / row) if is_near else None
        if found:
            return found
    raise RuntimeError(f"the upper edge at q={q} was not found in {NEWTON} steps")


def lower_edge(rows: Side, columns: Side, q: float, near: Edge | None = None) -> Edge | None:
    """The largest x(s), s < 0; None where as many rows as columns have strength and the bulk reaches down to 0."""
    few, many = (q * columns.share, rows.share)
    if math.isclose(few, many, rel_tol=1e-12):
        return None
    found = near and _from_near(rows, columns, q, near.a, near.b)
    if found:
        return found
    # The side with fewer strengths is followed beyond its pole, the other below zero.
    is_column = few < many
    beyond, other, units = (columns, rows, (q, 1.0)) if is_column else (rows, columns, (1.0, q))
    first, last = min(few, many), max(few, many)
    s, z, y = math.sqrt(first * last), math.inf, 0.0
    low, high = first, last
    for _ in range(NEWTON):
        if not low < s < high:
            s = (low + high) / 2
        z, y = beyond.below(s / units[0], z), other.negative(s / units[1], y)
        of_beyond, of_other = beyond.at(1 / z), other.at(-y)
        slope, bend = _slope(of_beyond, of_other)
        low, high = (s, high) if slope > 0 else (low, s)
        # Newton's step for slope (s - first) (last - s), in s.
        step = slope / (-bend / s - slope / (s - first) + slope / (last - s))
        if abs(step) < CLOSE * min(s - first, last - s) or high - low < CLOSE * CLOSE * s:
            break
        s += step
    ends = (1 / z, -y, s, of_beyond, of_other)
    return Edge(*ends) if is_column else Edge(-y, 1 / z, s, of_other, of_beyond)


def _slope(column: Local, row: Local) -> tuple[float, float]:
    """d ln x / d ln s, and its derivative in ln s."""
    return 1 - 1 / column.gain - 1 / row.gain, column.bend + row.bend


def _from_near(rows: Side, columns: Side, q: float, a: float, b: float) -> Edge | None:
    """The edge by Newton's steps of ln a and ln b, which are to give one s and no slope; None where they lead away."""
    for _ in range(TOGETHER):
        column, row = columns.at(a), rows.at(b)
        slope, bend = _slope(column, row)
        # A maximum of x below the bulk, a minimum above it.
        if column.room <= 0 or row.room <= 0 or bend * a * b <= 0:
            return None
        apart = math.log(q * column.s / row.s)
        of_s = -(slope + row.bend * apart) / bend
        steps = of_s / column.gain, (of_s + apart) / row.gain
        if max(map(abs, steps)) > FARTHEST:
            return None
        a, b = a * math.exp(steps[0]), b * math.exp(steps[1])
        if abs(steps[0]) < LAST * column.room and abs(steps[1]) < LAST * row.room:
            return Edge(a, b, row.s * math.exp(of_s + apart), column, row)
    return None
