"""One spectrum thinned to what a screen can show, small enough for thousands of them in one page."""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Any

import numpy as np

from ...core.arrays import FloatArray
from ...spectrum.erg import partial_log_det
from ...spectrum.esd import Spectrum

#: Points of a curve: half of them evenly over the ranks, half over their logarithm.
POINTS = 200
FEWEST_BINS, MOST_BINS = 8, 44
LEVELS = 65535
#: Closer logarithms are one place on any screen.
DISTINCT = 1e-6


def curves_of(spectrum: Spectrum) -> dict[str, Any] | None:
    """What the pictures of one layer are drawn from; None of fewer than two distinct positive eigenvalues.

    Returns
    -------
    dict
        `n`, `rank` of the spectrum; `ranks` (k of the largest, from 1), and packed `log_x`, their eigenvalues, and
        `log_det`, the sums :math:`S_k = \\sum_{i \\le k} \\ln x_i`; `bins`, counts of :math:`\\ln x` between the two
        `ends`. Natural logarithms on the unit-mean scale.

    Examples
    --------
    >>> told = curves_of(Spectrum.from_eigenvalues([0.1, 0.4, 0.5, 3.0]))
    >>> told["n"], told["ranks"], sum(told["bins"])
    (4, [1, 2, 3, 4], 4)
    """
    if not spectrum.is_defined:
        return None
    log_x = np.log(spectrum.unit_mean[::-1][: spectrum.rank])
    if log_x[0] - log_x[-1] < DISTINCT:
        return None
    ranks = thinned(log_x.size)
    counts, ends = histogram(log_x)
    return {
        "n": spectrum.num_evals,
        "rank": spectrum.rank,
        "ranks": ranks,
        "log_x": packed(log_x[np.array(ranks) - 1]),
        "log_det": packed(partial_log_det(spectrum)[np.array(ranks) - 1]),
        "bins": counts,
        "ends": ends,
    }


@lru_cache(maxsize=64)
def _thinned(count: int) -> tuple[int, ...]:
    half = POINTS // 2
    told = np.concatenate([np.geomspace(1, count, half), np.linspace(1, count, half)])
    return tuple(int(rank) for rank in np.unique(np.rint(told).astype(int)))


def thinned(count: int) -> list[int]:
    """At most `POINTS` whole numbers from 1 to `count`, both ends among them.

    >>> thinned(5)
    [1, 2, 3, 4, 5]
    """
    return list(_thinned(count))


def histogram(log_x: FloatArray) -> tuple[list[int], list[float]]:
    """Counts in bins of equal width of descending logarithms; the least hundredth lies left of them.

    >>> histogram(np.log([8.0, 4.0, 2.0, 1.0]))[0]
    [1, 0, 1, 0, 0, 1, 0, 1]
    """
    low = float(log_x[-1 - log_x.size // 100])
    high = max(float(log_x[0]), low + 1e-9)
    number = int(np.clip(2 * log_x.size**0.4, FEWEST_BINS, MOST_BINS))
    counts, _ = np.histogram(log_x, bins=number, range=(low, high))
    return counts.tolist(), [round(low, 5), round(high, 5)]


def packed(values: FloatArray) -> dict[str, Any]:
    """Numbers in 65 536 steps between their least and greatest: two bytes each, little end first, as base 64.

    >>> packed(np.array([0.0, 1.0, 2.0]))
    {'from': 0.0, 'to': 2.0, 'steps': 'AAAAgP//'}
    """
    low, high = float(values.min()), float(values.max())
    unit = (high - low) / LEVELS or 1.0
    steps = np.rint((values - low) / unit).astype("<u2")
    return {"from": low, "to": high, "steps": base64.b64encode(steps.tobytes()).decode("ascii")}
