"""Piecewise cubics through values and slopes."""

from __future__ import annotations

import numpy as np

from ..core.arrays import FloatArray


def hermite(x: FloatArray, knots: FloatArray, values: FloatArray, slopes: FloatArray) -> FloatArray:
    """The cubic of each piece at `x`; knots ascending, the first and last piece go on beyond them."""
    at, width, s = _place(x, knots)
    rise = values[at + 1] - values[at]
    first, second = slopes[at] * width - rise, rise - slopes[at + 1] * width
    return values[at] + s * rise + s * (1 - s) * (first * (1 - s) + second * s)


def hermite_rows(x: FloatArray, knots: FloatArray, values: FloatArray, slopes: FloatArray) -> FloatArray:
    """`hermite` of each row of `x` between the knots of that row."""
    count = knots.shape[1]
    at = np.stack([np.searchsorted(row, points) for row, points in zip(knots, x)]) - 1
    at = np.minimum(np.maximum(at, 0), count - 2) + count * np.arange(len(knots))[:, None]
    knots, values, slopes = knots.ravel(), values.ravel(), slopes.ravel()
    left, low = knots[at], values[at]
    width, rise = knots[at + 1] - left, values[at + 1] - low
    s = (x - left) / width
    first, second = slopes[at] * width - rise, rise - slopes[at + 1] * width
    return low + s * rise + s * (1 - s) * (first * (1 - s) + second * s)


def hermite_slope(x: FloatArray, knots: FloatArray, values: FloatArray, slopes: FloatArray) -> FloatArray:
    """Derivative of `hermite`."""
    at, width, s = _place(x, knots)
    rise = values[at + 1] - values[at]
    first, second = slopes[at] * width - rise, rise - slopes[at + 1] * width
    return (rise + first * (1 - s) * (1 - 3 * s) + second * s * (2 - 3 * s)) / width


def _place(x: FloatArray, knots: FloatArray) -> tuple[np.ndarray, FloatArray, FloatArray]:
    """Piece of each point, its width, and how far the point is in it."""
    at = np.clip(np.searchsorted(knots, x) - 1, 0, knots.size - 2)
    width = knots[at + 1] - knots[at]
    return at, width, (x - knots[at]) / width
