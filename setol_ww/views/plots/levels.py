"""Values of a column that mean something of their own, with the words for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...layer.verdict import IDEAL_ALPHA, UNDER_TRAINED_ALPHA
from . import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ALPHA = (
    (IDEAL_ALPHA, f"ideal: α = {IDEAL_ALPHA:g}"),
    (UNDER_TRAINED_ALPHA, f"no heavy tail above {UNDER_TRAINED_ALPHA:g}"),
)
LEVELS: dict[str, tuple[tuple[float, str], ...]] = {
    "tail_alpha": _ALPHA,
    "alpha": _ALPHA,
    "delta_lambda_min": ((0.0, "both starts meet"),),
    "erg_metric": ((0.0, "det X = 1 on the power-law tail"),),
    "erg_rank_gap": ((0.0, "both tails as long"),),
}


def draw_levels(ax: Axes, column: str, low: float, high: float, *, vertical: bool = False) -> None:
    """Those of a column that lie between its least and largest number, or near them."""
    line = ax.axvline if vertical else ax.axhline
    room = 0.5 * max(abs(low), abs(high))
    for (level, said), look in zip(LEVELS.get(column, ()), style.LEVELS):
        if low - room <= level <= high + room:
            line(level, label=said, **look)
