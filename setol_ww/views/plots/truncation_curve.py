"""Pictures of finished results, drawn on an `Axes` that the caller made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.checks import one_of
from ...core.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

LINES = {
    "top": ("C0", "-", "leading components"),
    "random": ("C7", "--", "random components"),
    "bottom": ("C3", ":", "smallest components"),
}
MARKS = {
    "erg": ("o", "ERG"),
    "powerlaw": ("s", "power law"),
    "mp": ("^", "Marchenko-Pastur edge"),
    "gavish-donoho": ("D", "Gavish-Donoho"),
    "energy": (".", "energy levels"),
    "bulk": ("x", "bulk (complement of ERG)"),
}


def plot_truncation_curve(
    frame: pd.DataFrame,
    axes: Any,
    *,
    metric: str = "error",
    layer: str = "all",
    against: str = "rank_fraction",
) -> Any:
    """Error over kept rank, families as lines and rules as marks, the untruncated model as a level.

    Parameters
    ----------
    frame : DataFrame
        Of `truncation_curve`; rows of several runs (seeds) are averaged, a bar spans their extremes.
    axes : matplotlib.axes.Axes
    metric : str
        Column of the vertical axis.
    layer : str
        A value of the column `layer`.
    against : str
        `rank_fraction` or `kept_energy`.

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    InvalidInput
        No such metric or layer in the table.
    """
    one_of("against", against, ("rank_fraction", "kept_energy"))
    one_of("layer", layer, tuple(dict.fromkeys(frame["layer"])))
    if f"base_{metric}" not in frame:
        known = [name.removeprefix("base_") for name in frame if name.startswith("base_")]
        raise InvalidInput(f"metric={metric!r} was asked; accepted is one of {', '.join(map(repr, known))}")
    rows = frame[frame["layer"] == layer]
    for curve, (colour, style, label) in LINES.items():
        mean = rows[rows["curve"] == curve].groupby("rule", sort=False)[[against, metric]].mean().sort_values(against)
        axes.plot(mean[against], mean[metric], color=colour, linestyle=style, label=label)
    for curve, (marker, label) in MARKS.items():
        points = rows[rows["curve"] == curve].groupby("rule", sort=False)
        middle, low, high = points[[against, metric]].mean(), points[metric].min(), points[metric].max()
        spread = np.maximum([middle[metric] - low, high - middle[metric]], 0)
        axes.errorbar(middle[against], middle[metric], spread, fmt=marker, color="black", markersize=5, label=label)
    axes.axhline(rows[f"base_{metric}"].mean(), color="C2", linewidth=0.8, label="not truncated")
    axes.set_xlabel("share of components kept" if against == "rank_fraction" else "share of energy kept")
    axes.set_ylabel(metric.replace("_", " "))
    axes.set_title(layer)
    return axes
