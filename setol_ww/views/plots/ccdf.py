"""The share of eigenvalues above each, without bins, with the fitted tail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...layer.result import LayerResult
from . import lines, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def ccdf(result: LayerResult, ax: Axes | None = None) -> Axes:
    r"""The share of eigenvalues at or above each, log-log: a power law is a line of slope 1 - alpha.

    Parameters
    ----------
    result : LayerResult
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        A layer without a positive eigenvalue is drawn as the sentence that says why.

    Raises
    ------
    InvalidInput
        No result.

    Examples
    --------
    >>> import numpy as np, setol_ww as ww
    >>> result = ww.analyze_matrix(np.random.default_rng(0).normal(size=(200, 100)))
    >>> ww.plots.ccdf(result).get_yscale()
    'log'
    """
    mine, ax, is_done = lines.begun(result, ax)
    if is_done:
        return ax
    x = lines.positive(result)
    number = result.spectrum.num_evals
    share = np.arange(x.size, 0, -1) / number
    ax.step(x, share, where="pre", color=style.GREY, linewidth=1.6, label=f"{number} eigenvalues")
    if result.tail.rank:
        at = np.geomspace(result.tail.lambda_min, x[-1] * 1.3, lines.POINTS)
        label = f"power law, {lines.alpha_in_words(result)}"
        ax.plot(at, lines.tail_survival(result, at), label=label, **style.TAIL)
    lines.draw_starts(ax, result)
    ax.set_xscale("log")
    ax.set_yscale("log")
    shown = max(float(x[0]), float(np.quantile(x, 0.02)) / 3) / 1.25, float(x[-1]) * 1.5
    ax.set_xlim(*shown)
    ax.set_ylim(0.5 / number, 2)
    style.log_axis(ax.xaxis, *shown)
    style.log_axis(ax.yaxis, 0.5 / number, 2)
    ax.set_xlabel(lines.X_LABEL)
    ax.set_ylabel("share of eigenvalues at or above x")
    style.note(ax, [lines.zeros(result), lines.without_tail(result)])
    style.legend(ax, outside=mine)
    return ax
