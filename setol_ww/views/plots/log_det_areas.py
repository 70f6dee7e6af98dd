"""The areas that cancel over the ERG tail (Fig. 11 of the paper)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...layer.result import LayerResult
from . import lines, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# How far beyond the cut the eigenvalues go on, as a share of it.
BEYOND = 0.25


def log_det_areas(result: LayerResult, ax: Axes | None = None) -> Axes:
    r"""ln x of each eigenvalue by its rank: over the ERG tail the areas above and below 0 cancel.

    Parameters
    ----------
    result : LayerResult
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        The area above is :math:`\sum \ln x` over x > 1, the area below that over x < 1 down to the cut; what is left of
        their sum is :math:`S_{k^*}`. A layer without a cut is drawn as the sentence that says why.

    Raises
    ------
    InvalidInput
        No result.

    Notes
    -----
    arXiv 2507.17912, Fig. 11, which shades the density over ln x; by rank the shaded areas are the sums themselves.

    Examples
    --------
    >>> import numpy as np, setol_ww as ww
    >>> result = ww.analyze_matrix(np.random.default_rng(0).normal(size=(200, 100)))
    >>> ww.plots.log_det_areas(result).get_ylabel()
    'ln x (x of mean 1)'
    """
    mine, ax, is_done = lines.begun(result, ax)
    if is_done:
        return ax
    cut, tail = result.erg, result.tail
    logs = np.log(lines.positive(result)[::-1])
    inside = logs[: cut.rank]
    gain, loss = float(inside[inside > 0].sum()), float(inside[inside < 0].sum())
    shown = min(logs.size, cut.rank + max(3, int(BEYOND * cut.rank)))
    edges = np.arange(cut.rank + 1) + 0.5
    above: style.Look = {"color": style.SKY, "edgecolor": style.BLUE, "hatch": "///", "linewidth": 0}
    below: style.Look = {"color": style.ORANGE, "edgecolor": style.VERMILLION, "hatch": "\\\\\\", "linewidth": 0}
    ax.stairs(np.maximum(inside, 0), edges, fill=True, label=f"x > 1: ln x sums to {gain:+.4g}", **above)
    ax.stairs(np.minimum(inside, 0), edges, fill=True, label=f"x < 1: ln x sums to {loss:+.4g}", **below)
    ax.stairs(logs[:shown], np.arange(shown + 1) + 0.5, baseline=None, color=style.BLACK, label="ln x by rank")
    ax.axhline(0, **style.LEVEL)
    ax.axvline(cut.rank + 0.5, label=f"ERG cut k* = {cut.rank}: {cut.log_det:+.3f} is left", **style.ERG)
    if tail.rank and tail.rank <= shown:
        ax.axvline(tail.rank + 0.5, label=f"power-law tail of {tail.rank}", **style.START)
    ax.set_xlim(0.5, shown + 0.5)
    ax.set_ylim(1.15 * min(float(logs[:shown].min()), -0.1), 1.1 * max(float(logs[0]), 0.1))
    ax.set_xlabel("rank of the eigenvalue, the largest first")
    ax.set_ylabel("ln x (x of mean 1)")
    style.legend(ax, outside=mine)
    return ax
