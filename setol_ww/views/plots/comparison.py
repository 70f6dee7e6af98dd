"""What changed between two models, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...advice.comparison import Comparison
from ...advice.difference import BASE, BEYOND, DIFFERENCE, TUNED
from ...core.arrays import FloatArray
from ...core.errors import InvalidInput
from . import style
from .asked import axis_label, numbers
from .levels import draw_levels
from .points import name_layers, sizes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

NO_BASE = (
    "There is no base model to compare with: of an adapter by itself the size of its update is known, "
    "column='update_norm'."
)


def comparison(comparison: Comparison, ax: Axes | None = None, *, column: str = "tail_alpha") -> Axes:
    """A column before and after, a line for each layer from one to the other.

    Parameters
    ----------
    comparison : Comparison
        As `setol_ww.compare` gives it.
    ax : matplotlib.axes.Axes, optional
    column : str
        A column of both (`tail_alpha`, `q2_norm`, ...), or one of the comparison itself (`update_norm_share`, ...).

    Returns
    -------
    matplotlib.axes.Axes
        Layers whose number moved beyond its error stand out, where the comparison knows errors. A layer without the
        number on one side has a mark on the other alone.

    Raises
    ------
    InvalidInput
        No comparison, or no such numeric column.

    Examples
    --------
    >>> import numpy as np, setol_ww as ww
    >>> W = np.random.default_rng(0).normal(size=(60, 40))
    >>> found = ww.compare({"fc.weight": W}, {"fc.weight": 2 * W})
    >>> ww.plots.comparison(found).get_ylabel()
    'tail_alpha (exponent)'
    """
    if not isinstance(comparison, Comparison):
        raise InvalidInput(
            f"a picture of a {type(comparison).__name__} was asked; accepted is a Comparison, as setol_ww.compare makes"
        )
    table = comparison.table()
    mine, ax = ax is None, style.axes_of(ax)
    first, second = (style.name(one, 40) for one in comparison.names)
    ax.set_title(f"{first} → {second}" if first != second else "before → after", fontsize="medium")
    if comparison.base is None and column not in table:
        style.sentence(ax, NO_BASE)
        return ax
    before, after = _sides(table, column)
    shown = np.concatenate([before, after])
    shown = shown[np.isfinite(shown)]
    if not shown.size:
        style.sentence(ax, f"No layer has a number in {column}." if len(table) else "No layer is in both models.")
        return ax
    draw_levels(ax, column, float(shown.min()), float(shown.max()))
    _moves(ax, before, after, _beyond(table, column))
    name_layers(ax, table)
    ax.set_ylabel(style.words(axis_label(column)))
    without = len(comparison.unmatched_rows)
    layers = "1 layer" if without == 1 else f"{without} layers"
    style.note(ax, [f"{layers} could not be compared: comparison.unmatched says why" if without else ""])
    style.legend(ax, outside=mine)
    return ax


def _sides(table: pd.DataFrame, column: str) -> tuple[FloatArray, FloatArray]:
    """The column of both models; of a column of the comparison itself nothing before."""
    if f"{column}{BASE}" in table:
        return numbers(table, f"{column}{BASE}"), numbers(table, f"{column}{TUNED}")
    if column not in table:
        known = [name.removesuffix(BASE) for name in table if f"{DIFFERENCE}{name.removesuffix(BASE)}" in table]
        raise InvalidInput(f"column={column!r} was asked; accepted is one of {', '.join(map(repr, known))}, ...")
    return np.full(len(table), np.nan), numbers(table, column)


def _beyond(table: pd.DataFrame, column: str) -> np.ndarray | None:
    """Which layers moved beyond their error; None where no errors are known."""
    name = f"{DIFFERENCE}{column}{BEYOND}"
    return table[name].to_numpy(dtype=bool) if name in table else None


def _moves(ax: Axes, before: FloatArray, after: FloatArray, beyond: np.ndarray | None) -> None:
    at, size = np.arange(before.size), sizes(before.size)
    both = np.isfinite(before) & np.isfinite(after)
    groups = [(both, style.GREY, 1.0, "")]
    if beyond is not None:
        groups = [
            (both & ~beyond, style.GREY, 1.0, "moved within its error"),
            (both & beyond, style.VERMILLION, 2.2, "moved beyond its error"),
        ]
    for ours, colour, width, said in groups:
        if ours.any():
            label: dict[str, Any] = {"label": f"{said}: {np.count_nonzero(ours)}"} if said else {}
            ax.vlines(at[ours], before[ours], after[ours], color=colour, linewidth=width, zorder=1, **label)
    if np.isfinite(before).any():
        look: style.Look = {"markerfacecolor": "white", "markeredgecolor": style.BLUE, "markersize": size}
        ax.plot(at, before, "o", label="before", **look)
    ax.plot(at, after, "o", color=style.BLUE, markersize=size, label="after")
