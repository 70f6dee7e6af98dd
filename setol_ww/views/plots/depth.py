"""One number of every layer over the depth of the model, by kind of layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...results.results import Results
from . import style
from .asked import axis_label, kinds, meaning, numbers, table_of, unit_of
from .levels import draw_levels
from .points import NAMED, ends_of_alpha, faint, name_layers, sizes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Positive numbers over more than this factor get a logarithmic axis.
WIDE_SPREAD = 200.0


def depth(results: Results | pd.DataFrame, column: str = "tail_alpha", ax: Axes | None = None) -> Axes:
    """A column of the table over the layers in their order, by kind of layer.

    Parameters
    ----------
    results : Results or DataFrame
        Of `examine` or `open_results`, or the table of `analyze`.
    column : str
        Any numeric column: `tail_alpha`, `erg_fraction`, `q2_norm`, `trap_count`, ...
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        A line for each kind, of more than 40 layers the marks alone. A layer without the number is a tick at the lower
        end and a gap in its line. `tail_alpha` has 90 % intervals.

    Raises
    ------
    InvalidInput
        No table of layers, or no such numeric column.

    Examples
    --------
    >>> import numpy as np, setol_ww as ww
    >>> rng = np.random.default_rng(0)
    >>> weights = {f"fc{n}.weight": rng.normal(size=(60, 40)) for n in (1, 2)}
    >>> ww.plots.depth(ww.examine(weights, progress=False), "erg_fraction").get_ylabel()
    'erg_fraction (share)'
    """
    frame = table_of(results)
    values, at = numbers(frame, column), np.arange(len(frame))
    mine, ax = ax is None, style.axes_of(ax)
    ax.set_title(style.words(meaning(column) or column), fontsize="medium", wrap=True)
    if not np.isfinite(values).any():
        style.sentence(ax, f"No layer has a number in {column}." if len(frame) else "No layer was analysed.")
        return ax
    found = values[np.isfinite(values)]
    if unit_of(column) != "count" and found.min() > 0 and found.max() > WIDE_SPREAD * found.min():
        ax.set_yscale("log")
    draw_levels(ax, column, float(found.min()), float(found.max()))
    low, high = ends_of_alpha(frame) if column == "tail_alpha" else (None, None)
    of_each = kinds(frame)
    for kind, (colour, marker) in style.KINDS.items():
        ours = np.array([one is kind for one in of_each])
        if not np.isfinite(values[ours]).any():
            continue
        look: style.Look = {"color": colour, "marker": marker, "markersize": sizes(len(frame)), "linewidth": 0.9}
        if len(frame) > NAMED:
            # Lines through hundreds of layers hide the layers.
            look["linestyle"] = "none"
        ax.plot(at[ours], values[ours], label=kind.value, **look)
        if low is not None and high is not None:
            ax.vlines(at[ours], low[ours], high[ours], color=colour, linewidth=0.7, alpha=faint(len(frame)))
    _missing(ax, at[~np.isfinite(values)])
    name_layers(ax, frame)
    if unit_of(column) == "count" and found.min() >= 0:
        ax.set_ylim(-0.3, max(1.0, float(found.max())) * 1.1 + 0.2)
        ax.locator_params(axis="y", integer=True)
    else:
        # Intervals of hopeless fits may be as long as they like.
        ax.set_ylim(*_limits(found, ax.get_yscale() == "log"))
    ax.set_ylabel(style.words(axis_label(column)))
    style.legend(ax, outside=mine)
    return ax


def _limits(found: np.ndarray, is_log: bool) -> tuple[float, float]:
    low, high = float(found.min()), float(found.max())
    if is_log:
        return low / 1.6, high * 1.6
    room = 0.12 * (high - low) or 0.1 * max(abs(high), 1.0)
    return low - room, high + room


def _missing(ax: Axes, at: np.ndarray) -> None:
    if at.size:
        said = "1 layer without a number" if at.size == 1 else f"{at.size} layers without a number"
        look: style.Look = {"color": style.BLACK, "marker": "|", "linestyle": "none", "markersize": 10}
        ax.plot(at, np.full(at.size, 0.02), transform=ax.get_xaxis_transform(), label=said, **look)
