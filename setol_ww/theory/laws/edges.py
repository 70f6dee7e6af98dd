r"""Both edges of the law of uneven noise, where x(s) = s / (a b) is stationary.

d ln x / d ln s = 1 - 1/alpha - 1/beta with alpha = d ln s / d ln a and beta = d ln s / d ln b. Above the bulk s, a and
b are positive and this slope rises; below it s is negative and its size lies between the shares of lines that have
strength, and times the distances from both the slope is nearly a straight line.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .sides import Side

# x(s) is flat at an edge: a step in ln s so small moves it by its square.
CLOSE, NEWTON = 1e-6, 100


class Edge(NamedTuple):
    """s at an edge, 1/a and 1/b there (of the lower edge their sizes), and the second derivative of ln x in ln s."""

    s: float
    column: float
    row: float
    bend: float

    @property
    def value(self) -> float:
        """The edge, x(s)."""
        return self.s * self.column * self.row


def upper_edge(rows: Side, columns: Side, q: float, near: Edge | None = None) -> Edge:
    """The least x(s), s > 0: the one root of a slope that rises, by Newton's steps from `near` on.

    A slope with steps in it, as a few strong rows make them, sends Newton's to and fro: what leaves the bracket or is
    over half of the step before halves the bracket instead.
    """
    log_s, column, row = (math.log(near.s), near.column, near.row) if near else (math.log(q) / 2, 0.0, 0.0)
    low, high, last = -math.inf, math.inf, math.inf
    for _ in range(NEWTON):
        s = math.exp(log_s)
        column, row = columns.above(s / q, column), rows.above(s, row)
        (alpha, alpha_bend), (beta, beta_bend) = columns.gain_and_bend(1 / column), rows.gain_and_bend(1 / row)
        slope, bend = 1 - 1 / alpha - 1 / beta, alpha_bend + beta_bend
        low, high = (log_s, high) if slope < 0 else (low, log_s)
        step = max(-1.0, min(1.0, -slope / bend))
        if high - low < math.inf and (not low < log_s + step < high or 2 * abs(step) > last):
            step = (low + high) / 2 - log_s
        if abs(step) < CLOSE:
            return Edge(s, column, row, bend)
        log_s, last = log_s + step, abs(step)
        # To first order where they move.
        column, row = column * math.exp(-step / alpha), row * math.exp(-step / beta)
    raise RuntimeError(f"the upper edge at q={q} was not found in {NEWTON} steps")


def lower_edge(rows: Side, columns: Side, q: float, near: Edge | None = None) -> Edge | None:
    """The largest x(s), s < 0; None where as many rows as columns have strength and the bulk reaches down to 0."""
    few, many = (q * columns.share, rows.share)
    if math.isclose(few, many, rel_tol=1e-12):
        return None
    # The side with fewer strengths is followed beyond its pole, the other below zero.
    beyond, other = (columns, rows) if few < many else (rows, columns)
    units = (q, 1.0) if few < many else (1.0, q)
    first, last = min(few, many), max(few, many)
    s, z, y = (near.s, near.column, 1 / near.row) if near else (math.sqrt(first * last), math.inf, 0.0)
    low, high = first, last
    for _ in range(NEWTON):
        if not low < s < high:
            s = (low + high) / 2
        z, y = beyond.below(s / units[0], z), other.negative(s / units[1], y)
        (alpha, alpha_bend), (beta, beta_bend) = beyond.gain_and_bend(1 / z), other.gain_and_bend(-y)
        slope, bend = 1 - 1 / alpha - 1 / beta, alpha_bend + beta_bend
        low, high = (s, high) if slope > 0 else (low, s)
        # Newton's step for slope (s - first) (last - s), in s.
        step = slope / (-bend / s - slope / (s - first) + slope / (last - s))
        if abs(step) < CLOSE * min(s - first, last - s) or high - low < CLOSE * CLOSE * s:
            break
        s += step
    return Edge(s, z, 1 / y, bend)
