"""Where the product of the leading eigenvalues is one (Eq. 126 of the paper)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...layer.result import LayerResult
from ...spectrum.erg import partial_log_det
from . import lines, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def log_det(result: LayerResult, ax: Axes | None = None) -> Axes:
    r"""The cumulative log-determinant :math:`S_k = \sum_{i \le k} \ln x_{(i)}`, the cut k* and what is left there.

    Parameters
    ----------
    result : LayerResult
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        The product of the k leading eigenvalues is 1 where the line crosses 0. A layer without a cut is drawn as the
        sentence that says why.

    Raises
    ------
    InvalidInput
        No result.

    Notes
    -----
    arXiv 2507.17912, Eq. 126.

    Examples
    --------
    >>> import numpy as np, setol_ww as ww
    >>> result = ww.analyze_matrix(np.random.default_rng(0).normal(size=(200, 100)))
    >>> ww.plots.log_det(result).get_xlabel()
    'number k of leading eigenvalues'
    """
    mine, ax, is_done = lines.begun(result, ax)
    if is_done:
        return ax
    cut, tail = result.erg, result.tail
    partial = partial_log_det(result.spectrum)
    ax.axhline(0, label="S = 0: product (det X) = 1", **style.LEVEL)
    ax.plot(
        np.arange(1, partial.size + 1), partial, color=style.BLACK, linewidth=1.4, label="S, sum of the k largest ln x"
    )
    left = f"ERG cut k* = {cut.rank}, S = {cut.log_det:+.3f} is left"
    ax.axvline(cut.rank, **style.ERG)
    ax.plot([cut.rank], [cut.log_det], "o", color=style.ERG_COLOUR, label=left, zorder=4)
    if tail.rank:
        said = f"power-law tail of {tail.rank}, S = {partial[tail.rank - 1]:+.3g}"
        ax.axvline(tail.rank, **style.START)
        ax.plot([tail.rank], [partial[tail.rank - 1]], "s", color=style.POWER_LAW_COLOUR, label=said, zorder=4)
    # Far beyond the cut the sum falls without end and would leave nothing to see of where it crosses.
    top, edge = float(partial.max()), float(partial.min())
    ax.set_ylim(max(edge, -1.2 * max(top, 1.0)) - 0.05 * max(top, 1.0), 1.12 * max(top, 0.5))
    ax.set_xlim(0, partial.size * 1.02 + 1)
    ax.set_xlabel("number k of leading eigenvalues")
    ax.set_ylabel("S = sum of ln x over them (nat, x of mean 1)")
    style.note(ax, [lines.zeros(result)])
    style.legend(ax, outside=mine)
    return ax
