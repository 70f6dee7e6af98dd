"""How a number is spread over the layers of one model or several (Fig. 6 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import InvalidInput
from ...results.results import Results
from . import style
from .asked import axis_label, numbers, table_of
from .levels import draw_levels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

BINS = 30
# The end of the axis of an exponent: what lies beyond is of no heavy tail, and counted in the words beside it.
LARGEST_ALPHA = 10.0


def histogram(
    *results: Results | pd.DataFrame,
    labels: Sequence[str] = (),
    column: str = "tail_alpha",
    ax: Axes | None = None,
) -> Axes:
    """Histograms of a column over the layers of several models, as shares of the layers of each.

    Parameters
    ----------
    *results : Results or DataFrame
        One for each model.
    labels : sequence of str
        A name for each; numbered when left out.
    column : str
        Any numeric column.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        Layers without the number are left out and counted in the words beside it, and exponents above 10 too.

    Raises
    ------
    InvalidInput
        No table of layers, no such column, or another number of labels.

    Notes
    -----
    arXiv 2507.17912, Fig. 6.

    Examples
    --------
    >>> import numpy as np, setol_ww as ww
    >>> rng = np.random.default_rng(0)
    >>> weights = {f"fc{n}.weight": rng.normal(size=(60, 40)) for n in (1, 2)}
    >>> results = ww.examine(weights, progress=False)
    >>> ww.plots.histogram(results, labels=["noise"]).get_ylabel()
    'share of the layers'
    """
    if not results:
        raise InvalidInput("a histogram of nothing was asked; accepted are Results or tables of layers")
    if labels and len(labels) != len(results):
        raise InvalidInput(f"labels={list(labels)!r} was asked for {len(results)} models; accepted is one for each")
    names = labels or [f"model {number}" for number in range(1, len(results) + 1)]
    frames = [table_of(one) for one in results]
    values = [numbers(frame, column) for frame in frames]
    mine, ax = ax is None, style.axes_of(ax)
    ax.set_title(style.words(f"{column} over the layers"), fontsize="medium")
    end = LARGEST_ALPHA if "alpha" in column else np.inf
    kept = [of[np.isfinite(of) & (of <= end)] for of in values]
    if not sum(of.size for of in kept):
        style.sentence(ax, f"No layer has a number in {column}.")
        return ax
    edges = _edges(np.concatenate(kept))
    for number, (name, of, inside) in enumerate(zip(names, values, kept)):
        colour, dashes, _ = style.series(number)
        counts, _ = np.histogram(inside, edges)
        heights = counts / max(of.size, 1)
        said = style.label(f"{name}: {_counted(of, inside, end)}")
        ax.stairs(heights, edges, color=colour, linestyle=dashes, linewidth=1.8, label=said)
        ax.stairs(heights, edges, color=colour, fill=True, alpha=0.12)
    draw_levels(ax, column, float(edges[0]), float(edges[-1]), vertical=True)
    ax.set_ylim(bottom=0)
    ax.set_xlabel(style.words(axis_label(column)))
    ax.set_ylabel("share of the layers")
    style.legend(ax, outside=mine)
    return ax


def _edges(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return np.array([low - 0.5, low + 0.5])
    return np.linspace(low, high, int(np.clip(2 * np.sqrt(values.size), 5, BINS)) + 1)


def _counted(of: np.ndarray, inside: np.ndarray, end: float) -> str:
    without, beyond = int(np.count_nonzero(np.isnan(of))), int(np.count_nonzero(of > end))
    parts = [f"{inside.size} layers" if inside.size != 1 else "1 layer"]
    parts += [f"{beyond} beyond {end:g}"] * bool(beyond) + [f"{without} without a number"] * bool(without)
    return ", ".join(parts)
