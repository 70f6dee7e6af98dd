"""The readings of the layer quality, of one layer or over all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...layer.columns import COLUMNS
from ...layer.result import LayerResult
from ...results.results import Results
from . import lines, style
from .asked import numbers, table_of
from .points import NAMED, name_layers, sizes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

READINGS = ("q2", "q2_norm", "q2_series5", "q2_paper", "q2_bs", "q2_fc", "q2_imp", "q2_lw")
UNITS = {column.name: column.unit for column in COLUMNS}
NO_QUALITY = "The quality was left out: Settings(quality=True)."


def qualities(result_or_results: LayerResult | Results | pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Every reading of the quality, logarithmic: different quantities, not estimates of one.

    Parameters
    ----------
    result_or_results : LayerResult, Results or DataFrame
        One layer: a mark for each reading. A model: each reading over the layers, of more than 40 the marks alone.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        A reading outside its domain has no mark; of one layer the reason stands beside it (`q2_reason`).

    Raises
    ------
    InvalidInput
        Neither a result nor a table of layers with a column of quality.

    Notes
    -----
    docs/quality.md says which reading answers which question.

    Examples
    --------
    >>> import numpy as np, setol_ww as ww
    >>> result = ww.analyze_matrix(np.random.default_rng(0).normal(size=(200, 100)))
    >>> ww.plots.qualities(result).get_xscale()
    'log'
    """
    if isinstance(result_or_results, LayerResult):
        return _of_a_layer(result_or_results, ax)
    return _over_layers(table_of(result_or_results), ax)


def _of_a_layer(result: LayerResult, ax: Axes | None) -> Axes:
    ax = style.axes_of(ax)
    ax.set_title(lines.title_of(result), fontsize="medium")
    found = result.quality
    if found is None:
        style.sentence(ax, NO_QUALITY)
        return ax
    values = np.array([getattr(found, name) for name in READINGS])
    defined = np.isfinite(values) & (values > 0)
    if not defined.any():
        style.sentence(ax, found.q2_reason or "No reading of the quality is defined.")
        return ax
    ax.set_xscale("log")
    rows = np.arange(len(READINGS))
    ax.hlines(rows[defined], values[defined].min() / 3, values[defined].max() * 30, color=style.PALE, linewidth=0.8)
    ax.plot(values[defined], rows[defined], "o", color=style.BLUE)
    why = dict(_reasons(found.q2_reason))
    for row, (name, value) in enumerate(zip(READINGS, values)):
        said = f"{value:.3g}" if np.isfinite(value) else f"not defined: {why.get(name, 'outside its domain')}"
        place = (value, row) if defined[row] else (values[defined].min() / 2.5, row)
        ax.annotate(style.words(said), place, (7, 0), textcoords="offset points", fontsize="x-small", va="center")
    ax.set_yticks(rows, [f"{name} ({UNITS[name]})" for name in READINGS])
    ax.invert_yaxis()
    ax.set_xlim(values[defined].min() / 3, values[defined].max() * 30)
    ax.set_xlabel("value, each in its unit")
    return ax


def _reasons(text: str) -> list[tuple[str, str]]:
    """Reading and reason of each part of `q2_reason`."""
    pairs = []
    for part in text.split("; "):
        names, _, reason = part.partition(": ")
        pairs += [(name, reason) for name in names.split(", ")]
    return pairs


def _over_layers(frame: pd.DataFrame, ax: Axes | None) -> Axes:
    there = [name for name in READINGS if name in frame] or ["q2_norm"]
    values = {name: numbers(frame, name) for name in there}
    mine, ax = ax is None, style.axes_of(ax)
    ax.set_title("readings of the layer quality", fontsize="medium")
    values = {name: np.where(of > 0, of, np.nan) for name, of in values.items()}
    values = {name: of for name, of in values.items() if np.isfinite(of).any()}
    if not values:
        style.sentence(ax, "No layer has a quality.")
        return ax
    ax.set_yscale("log")
    for number, (name, of) in enumerate(values.items()):
        colour, dashes, marker = style.series(number)
        look: style.Look = {
            "color": colour,
            # Lines through hundreds of layers hide the layers.
            "linestyle": "none" if len(frame) > NAMED else dashes,
            "marker": marker,
            "markersize": sizes(len(frame)),
            "linewidth": 0.9,
        }
        ax.plot(np.arange(len(frame)), of, label=f"{name} ({UNITS[name]})", **look)
    name_layers(ax, frame)
    ax.set_ylabel("value, each in its unit")
    style.legend(ax, outside=mine)
    return ax
