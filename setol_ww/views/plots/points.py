"""What pictures of many layers share: intervals of alpha from a table, sizes of marks, the axis with the layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...core.arrays import FloatArray
from ...layer.intervals import alpha_ends
from . import style
from .asked import numbers, titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More layers are numbered and not named.
NAMED = 40
# So many names fit side by side, a little inclined; more stand upright.
INCLINED = 6
NAME_WIDTH = 26
# Of a letter of the smallest print, and how far a name stands from its point, in points.
LETTER, LINE, AWAY = 4.4, 9.0, 6.0
# Half of a large mark.
RING = 6.5


def ends_of_alpha(frame: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    """Ends of the 90 % interval of `tail_alpha`: the resampled one where the table has it, else from its error."""
    names = ("tail_alpha", "tail_sigma", "tail_alpha_low", "tail_alpha_high")
    alpha, sigma, low, high = (numbers(frame, name, needed=False) for name in names)
    return alpha_ends(alpha, sigma, low, high)


def sizes(number: int) -> float:
    """Points of a mark where there are so many."""
    return float(np.clip(8 - 0.9 * np.log2(max(number, 4) / 4), 3.5, 8))


def faint(number: int) -> float:
    """How opaque the bars of so many points are, not to hide the points."""
    return float(np.clip(25 / max(number, 1), 0.12, 0.7))


def name_layers(ax: Axes, frame: pd.DataFrame) -> None:
    """The axis of the layers in their order: names, or numbers where there are too many."""
    ax.set_xlim(-0.6, len(frame) - 0.4)
    if len(frame) > NAMED:
        ax.set_xlabel("layer, counted in the order of the table")
        return
    names = [style.name(title, NAME_WIDTH) for title in titles(frame)]
    upright = len(names) > INCLINED
    place = {"rotation": 90} if upright else {"rotation": 15, "ha": "right", "rotation_mode": "anchor"}
    ax.set_xticks(range(len(names)), names, fontsize="x-small", **place)
    ax.set_xlabel("layer")


def write_names(
    ax: Axes, x: FloatArray, y: FloatArray, names: Sequence[str], *, around: tuple[float, float] | None = None
) -> None:
    """Names beside points, each at the first place around its point where no point and no name before it is.

    Above or below, not level with it: bars of errors are there. A mark at `around` is left free too.
    """
    box = ax.get_window_extent()
    scale = 72 / ax.figure.dpi
    places = ax.transData.transform(np.column_stack([x, y])) * scale
    taken = [_Box(at[0] - 3, at[1] - 3, 6, 6) for at in places]
    if around is not None:
        left, bottom = ax.transData.transform(around) * scale - RING
        taken.append(_Box(left, bottom, 2 * RING, 2 * RING))
    right = box.x1 * scale
    for (across, up), name, value in sorted(zip(places, names, zip(x, y)), key=lambda one: -float(one[0][1])):
        width = LETTER * len(name)
        places_around = [
            _Box(across + (AWAY if side > 0 else -AWAY - width), up + lift - LINE / 2, width, LINE)
            for lift in (8, -8, 17, -17, 26, -26)
            for side in (1, -1)
        ]
        inside = [
            one for one in places_around if box.x0 * scale < one.left and one.left + width < right
        ] or places_around
        free = next((one for one in inside if not any(one.meets(other) for other in taken)), inside[0])
        taken.append(free)
        shift = free.left - across, free.bottom - up + LINE / 2
        far = abs(shift[1]) > 16
        arrow = {"arrowstyle": "-", "color": style.GREY, "linewidth": 0.5} if far else None
        look: style.Look = {"fontsize": "x-small", "verticalalignment": "center", "arrowprops": arrow}
        ax.annotate(name, value, shift, textcoords="offset points", **look)


@dataclass(frozen=True)
class _Box:
    left: float
    bottom: float
    width: float
    height: float

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.left + other.width
            and other.left < self.left + self.width
            and self.bottom < other.bottom + other.height
            and other.bottom < self.bottom + self.height
        )
