"""Error over kept rank for the rules and families of a truncation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...core.checks import one_of
from ...core.errors import InvalidInput
from . import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES: dict[str, tuple[str, Any, str]] = {
    "top": (style.BLUE, "-", "leading components"),
    "random": (style.GREY, "--", "random components"),
    "bottom": (style.VERMILLION, (0, (1, 1.5)), "smallest components"),
}
MARKS: dict[str, tuple[str, str, str]] = {
    "erg": ("o", style.ERG_COLOUR, "ERG"),
    "powerlaw": ("s", style.POWER_LAW_COLOUR, "power law"),
    "mp": ("^", style.GREEN, "Marchenko-Pastur edge"),
    "gavish-donoho": ("D", style.PURPLE, "Gavish-Donoho"),
    "energy": (".", style.BLACK, "energy levels"),
    "bulk": ("x", style.BLACK, "bulk (complement of ERG)"),
}
AXES = {"rank_fraction": "share of components kept", "kept_energy": "share of energy kept"}


def truncation_curve(
    frame: pd.DataFrame,
    ax: Axes | None = None,
    *,
    metric: str = "error",
    layer: str = "all",
    against: str = "rank_fraction",
) -> Axes:
    """Error over kept rank, families as lines and rules as marks, the untruncated model as a level.

    Parameters
    ----------
    frame : DataFrame
        Of `setol_ww.truncation_curve`; rows of several runs (seeds) are averaged, a bar spans their extremes.
    ax : matplotlib.axes.Axes, optional
    metric : str
        Column of the vertical axis.
    layer : str
        A value of the column `layer`.
    against : str
        `rank_fraction` or `kept_energy`.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidInput
        No such table, metric or layer.

    Examples
    --------
    >>> import torch, setol_ww as ww
    >>> net = torch.nn.Linear(60, 40, bias=False)
    >>> frame = ww.truncation_curve(net, lambda model: model.weight.norm().item(), fractions=[0.5])
    >>> ww.plots.truncation_curve(frame, metric="metric").get_xlabel()
    'share of components kept'
    """
    if not isinstance(frame, pd.DataFrame) or not {"curve", "layer", "rule", *AXES} <= set(frame):
        raise InvalidInput(
            f"a picture of a {type(frame).__name__} was asked; accepted is a table of setol_ww.truncation_curve"
        )
    one_of("against", against, tuple(AXES))
    one_of("layer", layer, tuple(dict.fromkeys(frame["layer"])))
    if f"base_{metric}" not in frame:
        known = [name.removeprefix("base_") for name in frame if name.startswith("base_")]
        raise InvalidInput(f"metric={metric!r} was asked; accepted is one of {', '.join(map(repr, known))}")
    mine, ax = ax is None, style.axes_of(ax)
    rows = frame[frame["layer"] == layer]
    for curve, (colour, dashes, label) in LINES.items():
        mean = rows[rows["curve"] == curve].groupby("rule", sort=False)[[against, metric]].mean().sort_values(against)
        if len(mean):
            ax.plot(mean[against], mean[metric], color=colour, linestyle=dashes, label=label)
    for curve, (marker, colour, label) in MARKS.items():
        points = rows[rows["curve"] == curve].groupby("rule", sort=False)
        if not len(points):
            continue
        middle, low, high = points[[against, metric]].mean(), points[metric].min(), points[metric].max()
        spread = np.maximum([middle[metric] - low, high - middle[metric]], 0)
        look: style.Look = {"color": colour, "ecolor": style.BLACK, "elinewidth": 0.8, "markersize": 6, "label": label}
        ax.errorbar(middle[against], middle[metric], spread, fmt=marker, **look)
    level: style.Look = {"color": style.GREEN, "linestyle": (0, (7, 1.5)), "linewidth": 1.0}
    ax.axhline(rows[f"base_{metric}"].mean(), label="not truncated", **level)
    ax.set_xlabel(AXES[against])
    ax.set_ylabel(style.words(metric.replace("_", " ")))
    ax.set_title(style.name("all layers" if layer == "all" else layer, 60), fontsize="medium")
    style.legend(ax, outside=mine)
    return ax
