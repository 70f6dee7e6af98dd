"""One number of every layer over the steps of a training run (Fig. 27 of the paper)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...core.errors import InvalidInput
from ...results.printed import title
from . import style
from .asked import axis_label, meaning, numbers
from .levels import draw_levels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More layers have a thin grey line each, and their median and middle half stand out.
NAMED = 7
NEEDED = ("step", "longname")


def training(history: pd.DataFrame, ax: Axes | None = None, *, column: str = "tail_alpha") -> Axes:
    """A column over the steps, one line for each layer; their median and middle half where there are more than seven.

    Parameters
    ----------
    history : DataFrame
        One row a step and layer, with the columns `step`, `longname`, `slice` and those of the table.
    ax : matplotlib.axes.Axes, optional
    column : str
        Any numeric column.

    Returns
    -------
    matplotlib.axes.Axes
        A row without a number is a gap; layers may be looked at at different steps.

    Raises
    ------
    InvalidInput
        No such table, or no such numeric column.

    Examples
    --------
    >>> import pandas as pd, setol_ww as ww
    >>> history = pd.DataFrame({"step": [0, 100], "longname": "fc1", "tail_alpha": [4.1, 2.9]})
    >>> ww.plots.training(history).get_xlabel()
    'step'
    """
    frame = _history(history)
    values = numbers(frame, column)
    mine, ax = ax is None, style.axes_of(ax)
    ax.set_title(style.words(meaning(column) or column), fontsize="medium", wrap=True)
    if not np.isfinite(values).any():
        style.sentence(ax, f"No step has a number in {column}." if len(frame) else "No step was analysed.")
        return ax
    draw_levels(ax, column, float(np.nanmin(values)), float(np.nanmax(values)))
    wide = frame.assign(value=values).pivot_table(
        index="step", columns="who", values="value", aggfunc="last", dropna=False, sort=False
    )
    wide = wide[list(dict.fromkeys(frame["who"]))].sort_index()
    looked = pd.crosstab(frame["step"], frame["who"]).reindex(index=wide.index, columns=wide.columns) > 0
    if wide.shape[1] <= NAMED:
        for number, who in enumerate(wide):
            colour, dashes, marker = style.series(number)
            look: style.Look = {"color": colour, "linestyle": dashes, "marker": marker, "markersize": 3.5}
            line = wide[who][looked[who]]
            ax.plot(line.index, line, label=style.name(who), **look)
    else:
        # A monitor looks at one layer after the other: at other steps a layer is as it was at its last look.
        _many(ax, wide.where(looked, wide.ffill()))
    ax.set_xlabel("step")
    ax.set_ylabel(style.words(axis_label(column)))
    style.legend(ax, outside=mine)
    return ax


def _many(ax: Axes, wide: pd.DataFrame) -> None:
    for number, who in enumerate(wide):
        said = f"{wide.shape[1]} layers" if not number else "_"
        ax.plot(wide.index, wide[who], color=style.GREY, linewidth=0.5, alpha=0.6, label=said)
    low, middle, high = (wide.quantile(share, axis=1) for share in (0.25, 0.5, 0.75))
    ax.fill_between(wide.index, low, high, color=style.SKY, alpha=0.35, linewidth=0, label="middle half of them")
    ax.plot(wide.index, middle, color=style.BLUE, linewidth=2, label="their median")


def _history(history: Any) -> pd.DataFrame:
    if not isinstance(history, pd.DataFrame) or any(name not in history for name in NEEDED):
        raise InvalidInput(
            f"a picture of a {type(history).__name__} was asked; accepted is a table of one row a step and layer, with "
            f"the columns {', '.join(NEEDED)}"
        )
    parts = history["slice"] if "slice" in history else [""] * len(history)
    who = [title(name, part) for name, part in zip(history["longname"], parts)]
    return history.assign(who=pd.Series(who, index=history.index, dtype=object)).reset_index(drop=True)
