"""How well the tail fits from each start on (Fig. 1d of the paper)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ...layer.result import LayerResult
from . import lines, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def ks(result: LayerResult, ax: Axes | None = None) -> Axes:
    r"""Kolmogorov-Smirnov distance of the power law against the start of the tail: the least wins.

    Parameters
    ----------
    result : LayerResult
        Its `ks_curve` is drawn.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        Starts below the dashed level fit as well within the error of the distance: alpha is as good there. A layer
        without a tail is drawn as the sentence that says why.

    Raises
    ------
    InvalidInput
        No result.

    Notes
    -----
    arXiv 2507.17912, Fig. 1d; Clauset, Shalizi, Newman 2009, section 3.3.

    Examples
    --------
    >>> import numpy as np, setol_ww as ww
    >>> result = ww.analyze_matrix(np.random.default_rng(0).normal(size=(200, 100)))
    >>> ww.plots.ks(result).get_ylabel()
    'KS distance D of the tail'
    """
    mine, ax, is_done = lines.begun(result, ax, lines.without_tail)
    if is_done:
        return ax
    curve, tail = result.ks_curve, result.tail
    ax.plot(curve.lambda_min, curve.distances, color=style.GREY, linewidth=1.0, label="D of each start")
    said = f"fits as well up to {curve.tolerance:.3f}"
    ax.axhline(curve.tolerance, color=style.BLACK, linestyle="--", linewidth=0.8, label=said)
    low, high = tail.lambda_min_low, tail.lambda_min_high
    if math.isfinite(low) and math.isfinite(high):
        ax.axvspan(low, high, color=style.POWER_LAW_COLOUR, alpha=0.15, linewidth=0, label="90 % interval of the start")
    best = f"least D = {tail.ks:.3f} at {tail.lambda_min:.3g}: {lines.alpha_in_words(result)}"
    ax.plot([tail.lambda_min], [tail.ks], "o", color=style.POWER_LAW_COLOUR, label=best, zorder=4)
    ax.axvline(tail.lambda_min, **style.START)
    if curve.second >= 0:
        at = curve.second
        said = f"second best, D = {curve.distances[at]:.3f} at {curve.lambda_min[at]:.3g}: α = {curve.alphas[at]:.2f}"
        place = [curve.lambda_min[at]], [curve.distances[at]]
        ax.plot(*place, "s", color=style.PURPLE, markeredgecolor=style.BLACK, label=said, zorder=4)
    if result.erg.rank:
        ax.axvline(result.erg.lambda_min, label=f"ERG start, {result.erg.lambda_min:.3g}", **style.ERG)
    ax.set_xscale("log")
    style.log_axis(ax.xaxis, *ax.get_xlim())
    ax.set_ylim(bottom=0)
    ax.set_xlabel(f"start of the tail: {lines.X_LABEL}")
    ax.set_ylabel("KS distance D of the tail")
    style.legend(ax, outside=mine)
    return ax
