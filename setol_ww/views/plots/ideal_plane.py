"""The plane of the ideal point: the exponent against the gap between both starts (Figs. 21 to 23 of the paper)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ...core.arrays import FloatArray
from ...core.checks import one_of
from ...layer.verdict import IDEAL_ALPHA
from ...results.results import Results
from . import style
from .asked import axis_label, numbers, table_of, titles
from .points import ends_of_alpha, faint, sizes, write_names

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

AGAINST = {"delta_lambda_min": ("delta_low", "delta_high"), "pl_lambda_min": (None, None)}
IDEAL = {"delta_lambda_min": 0.0, "pl_lambda_min": math.exp(-1)}
# Layers up to this many have their names beside them.
NAMED = 12
NAME_WIDTH = 22
# Exponents beyond it are of no heavy tail; they are drawn at the right end.
LARGEST_ALPHA = 10.0
ROOM = 0.15


def ideal_plane(results: Results | pd.DataFrame, ax: Axes | None = None, *, against: str = "delta_lambda_min") -> Axes:
    r"""Each layer by its exponent and the gap of the two starts; an ideal layer is at (2, 0).

    Parameters
    ----------
    results : Results or DataFrame
        Of `examine` or `open_results`, or the table of `analyze` with `detX=True`.
    ax : matplotlib.axes.Axes, optional
    against : str
        `delta_lambda_min`, start of the power-law tail minus start of the ERG tail: 0 where both are the same tail.
        `pl_lambda_min`, start of the power-law tail: det X = 1 on that tail along the curve
        :math:`\lambda_{\min} = e^{-1/(\alpha - 1)}`, which alpha = 2 meets at 1/e.

    Returns
    -------
    matplotlib.axes.Axes
        Bars are 90 % intervals: those of alpha always, those of delta where the table has them (`uncertainty`).
        Colours and marks are states. Layers without a tail, or with an exponent above 10, are counted in a note.

    Raises
    ------
    InvalidInput
        No table of layers, no such column, or another `against`.

    Notes
    -----
    arXiv 2507.17912, Eq. 164 and Figs. 21 to 23. Over a power-law tail the mean of ln x is
    :math:`1/(\alpha - 1) + \ln \lambda_{\min}` (errata F1), 0 on the curve.

    Examples
    --------
    >>> import numpy as np, setol_ww as ww
    >>> rng = np.random.default_rng(0)
    >>> weights = {f"fc{n}.weight": rng.normal(size=(60, 40)) for n in (1, 2)}
    >>> ww.plots.ideal_plane(ww.examine(weights, progress=False)).get_xlabel()
    'tail_alpha (exponent)'
    """
    one_of("against", against, tuple(AGAINST))
    frame = table_of(results)
    alpha, y = numbers(frame, "tail_alpha"), numbers(frame, against)
    mine, ax = ax is None, style.axes_of(ax)
    ax.set_title("each layer against the ideal point of the theory", fontsize="medium")
    sound = np.isfinite(alpha) & np.isfinite(y)
    if not sound.any():
        style.sentence(ax, "No layer has a power-law tail and an ERG cut." if len(frame) else "No layer was analysed.")
        return ax
    shown = sound & (alpha <= LARGEST_ALPHA)
    _conditions(ax, against, alpha[shown])
    _layers(ax, frame, np.minimum(alpha, LARGEST_ALPHA), y, sound, against)
    _limits(ax, np.minimum(alpha[sound], LARGEST_ALPHA), y[sound], against)
    if np.count_nonzero(sound) <= NAMED:
        names = [style.name(title, NAME_WIDTH) for title, ours in zip(titles(frame), sound) if ours]
        write_names(ax, np.minimum(alpha[sound], LARGEST_ALPHA), y[sound], names, around=(IDEAL_ALPHA, IDEAL[against]))
    ax.set_xlabel(axis_label("tail_alpha"))
    ax.set_ylabel(axis_label(against))
    style.note(ax, _notes(len(frame), sound, alpha))
    style.legend(ax, outside=mine)
    return ax


def _conditions(ax: Axes, against: str, alpha: FloatArray) -> None:
    """Where each condition holds, and the point where both do."""
    ax.axvline(IDEAL_ALPHA, color=style.BLACK, linewidth=0.9, label="α = 2")
    if against == "delta_lambda_min":
        ax.axhline(0, color=style.BLACK, linestyle="--", linewidth=0.9, label="both starts meet: det X = 1")
    else:
        end = max(float(alpha.max(initial=3.0)) * 1.1, 3.0)
        x = np.linspace(1.05, end, 400)
        curve = np.exp(-1 / (x - 1))
        ax.plot(x, curve, color=style.BLACK, linestyle="--", linewidth=0.9, label="det X = 1 on the power-law tail")
    look: style.Look = {"markersize": 12, "markerfacecolor": "none", "markeredgecolor": style.BLACK}
    said = "ideal point (2, 0)" if not IDEAL[against] else "ideal point (2, 1/e)"
    ax.plot([IDEAL_ALPHA], [IDEAL[against]], "o", label=said, zorder=5, **look)


def _layers(ax: Axes, frame: pd.DataFrame, alpha: FloatArray, y: FloatArray, sound: np.ndarray, against: str) -> None:
    from matplotlib.colors import to_rgba

    low, high = ends_of_alpha(frame)
    below, above = (
        numbers(frame, end, needed=False) if end else np.full(len(frame), np.nan) for end in AGAINST[against]
    )
    states = frame["setol_state"].to_numpy() if "setol_state" in frame else np.full(len(frame), "undetermined")
    for state, (colour, marker) in style.STATES.items():
        ours = sound & (states == state)
        if not ours.any():
            continue
        bars: style.Look = {
            "xerr": _bars(alpha[ours], low[ours], np.minimum(high[ours], LARGEST_ALPHA)),
            "yerr": _bars(y[ours], below[ours], above[ours]),
        }
        size = sizes(len(frame)) * (1.6 if marker == "*" else 1.0)
        look: style.Look = {
            "color": colour,
            "markersize": size,
            "elinewidth": 0.8,
            "ecolor": to_rgba(colour, faint(len(frame))),
        }
        edge: style.Look = {"markeredgecolor": style.BLACK, "markeredgewidth": 0.4}
        ax.errorbar(
            alpha[ours], y[ours], fmt=marker, label=f"{state}: {np.count_nonzero(ours)}", **bars, **look, **edge
        )


def _bars(middle: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Lengths of bars to both sides; none where an end is not known."""
    return np.nan_to_num(np.maximum([middle - low, high - middle], 0))


def _limits(ax: Axes, alpha: FloatArray, y: FloatArray, against: str) -> None:
    ideal = IDEAL[against]
    left, right = min(1.5, float(alpha.min())), max(2.5, float(alpha.max()))
    bottom, top = min(ideal, float(y.min())), max(ideal, float(y.max()))
    room = ROOM * max(top - bottom, 0.2)
    ax.set_xlim(left - 0.05 * (right - left), right + 0.08 * (right - left))
    ax.set_ylim(bottom - room, top + room)


def _notes(number: int, sound: np.ndarray, alpha: FloatArray) -> list[str]:
    without = number - int(np.count_nonzero(sound))
    beyond = int(np.count_nonzero(sound & (alpha > LARGEST_ALPHA)))
    return [
        f"{without} of {number} layers have no tail or no ERG cut" if without else "",
        f"{beyond} with α above {LARGEST_ALPHA:g} stand at the right end" if beyond else "",
    ]
