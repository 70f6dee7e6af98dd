"""Numbers that keep a budget: shares that add up, ranks that do not go beyond it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.arrays import FloatArray
from ..core.errors import InvalidInput

HALVINGS = 200


def shares(ratios: FloatArray, sizes: FloatArray, share: float, most: float = 1.0) -> FloatArray:
    r"""Shares :math:`s_i = \min(c, t r_i)` with :math:`\sum s_i n_i = S \sum n_i`.

    Where no :math:`t r_i` is above the cap c, that is AlphaPruning's :math:`r_i S \sum n / \sum n r`. Else what the
    capped ones cannot take is given to the others in proportion to their ratios, or evenly where all of these are 0.

    Examples
    --------
    >>> alone = np.array([0.7, 0.9, 1.3])
    >>> shares(alone, np.ones(3), 0.7).round(4).tolist()
    [0.5069, 0.6517, 0.9414]
    >>> shares(np.array([0.7, 0.7, 1.3]), np.ones(3), 0.8).round(4).tolist()
    [0.7, 0.7, 1.0]
    """
    found, free = np.zeros(ratios.shape), np.ones(ratios.shape, dtype=bool)
    left = share * sizes.sum()
    while free.any():
        weight = float(ratios[free] @ sizes[free])
        found[free] = ratios[free] * left / weight if weight > 0 else left / sizes[free].sum()
        over = free & (found > most)
        if not over.any():
            break
        found[over] = most
        free &= ~over
        left -= most * float(sizes[over].sum())
    return found


def counts(fractions: FloatArray, sizes: FloatArray, total: int) -> np.ndarray:
    """Whole numbers next to `fractions` x `sizes` that add up to `total`: the largest remainders are rounded up.

    >>> counts(np.array([0.5, 0.5, 0.5]), np.array([3, 3, 4]), 5).tolist()
    [2, 1, 2]
    """
    exact = fractions * sizes
    found = np.minimum(np.floor(exact + 1e-9), sizes).astype(np.int64)
    order = np.argsort(found - exact, kind="stable")
    missing = total - int(found.sum())
    room = [place for place in order if found[place] < sizes[place]]
    found[room[: max(missing, 0)]] += 1
    return found


def ranks(
    weights: FloatArray, costs: FloatArray, limits: Sequence[int], budget: float, *, least: int = 1
) -> np.ndarray:
    r"""Ranks :math:`r_i \approx t w_i` from `least` to their limits, t as large as :math:`\sum r_i c_i \le B` allows.

    What is left after rounding down is handed out one rank at a time, the largest remainder first, while it lasts.

    Raises
    ------
    InvalidInput
        Not even the least ranks fit.

    Examples
    --------
    >>> ranks(np.array([1.0, 2.0, 5.0]), np.ones(3), [100] * 3, 16).tolist()
    [2, 4, 10]
    >>> ranks(np.array([1.0, 2.0, 5.0]), np.ones(3), [6] * 3, 16).tolist()
    [4, 6, 6]
    """
    highest = np.asarray(limits)
    lowest = np.minimum(least, highest)
    if lowest @ costs > budget * (1 + 1e-12):
        raise InvalidInput(
            f"a budget of {budget:.0f} parameters was asked; accepted is one of at least {lowest @ costs:.0f}, which "
            f"rank {least} in every layer takes"
        )

    def at(scale: float) -> np.ndarray:
        return np.clip(np.floor(scale * weights + 1e-9), lowest, highest).astype(np.int64)

    low, high = 0.0, float(highest.max() / weights[weights > 0].min()) + 1
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle) @ costs <= budget * (1 + 1e-12) else (low, middle)
    found = at(low)
    remainders = low * weights - found
    left = budget * (1 + 1e-12) - found @ costs
    for place in sorted(range(found.size), key=lambda one: -remainders[one]):
        if found[place] < highest[place] and costs[place] <= left and weights[place] > 0:
            found[place] += 1
            left -= costs[place]
    return found
