"""A layer beside its shuffled entries (Fig. 5 of the paper): what sticks out of the bulk there is a trap."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ...layer.result import LayerResult
from ...traps.find import TrapReport
from . import lines, style
from .asked import layer_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOT_SHUFFLED = (
    "The entries were not shuffled: analyse with randomize=True, or result.with_traps(setol_ww.find_traps(W))."
)


def traps(result: LayerResult, ax: Axes | None = None) -> Axes:
    """The spectrum and that of the shuffled entries, the edge of noise there, and the traps beyond it.

    Parameters
    ----------
    result : LayerResult
        With traps: `randomize=True`, or `result.with_traps(find_traps(W))`.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        Shares of eigenvalues in a decade over the logarithm of x. Of the shuffled matrix: its eigenvalues where all are
        known (up to 1500 columns), the law of its bulk (Marchenko-Pastur's with the variance of its entries), its
        largest eigenvalue and the traps. Where the entries were not shuffled or tell nothing, the sentence saying so.

    Raises
    ------
    InvalidInput
        No result.

    Notes
    -----
    arXiv 2507.17912, section 3.3.1 and Fig. 5; docs/traps.md.

    Examples
    --------
    >>> import numpy as np, setol_ww as ww
    >>> W = np.random.default_rng(0).normal(size=(200, 100)) + 0.5
    >>> result = ww.analyze_matrix(W).with_traps(ww.find_traps(W))
    >>> ww.plots.traps(result).get_title()
    '1 trap: mean shift +0.51 sigma (p < 1e-300).'
    """
    layer_of(result)
    report = result.traps
    mine, ax = ax is None, style.axes_of(ax)
    if report is None:
        style.sentence(ax, NOT_SHUFFLED)
        return ax
    reason = lines.why_nothing(result) or ("" if report.is_defined else report.sentence)
    if reason:
        style.sentence(ax, reason)
        return ax
    ax.set_title(style.words(report.sentence), fontsize="medium", wrap=True)
    beyond = [lines.unit_mean_of(result, value) for value in (report.lambda_max, report.edge)]
    x = lines.positive(result)
    shown = _range(np.append(x, [value for value in beyond if math.isfinite(value)]))
    edges = np.geomspace(*shown, int(np.clip(2 * math.sqrt(x.size), 8, 70)) + 1)
    _histogram(
        ax, x, edges, result.spectrum.num_evals, label="eigenvalues of the layer", fill=True, **style.EIGENVALUES
    )
    values = lines.shuffled_spectrum(result, report)
    if values.size:
        _histogram(ax, values, edges, values.size, label="eigenvalues, entries shuffled", **style.SHUFFLED)
    _noise(ax, result, report)
    _marks(ax, result, report)
    ax.set_xscale("log")
    ax.set_xlim(*shown)
    ax.set_ylim(bottom=0)
    style.log_axis(ax.xaxis, *shown)
    ax.set_xlabel(lines.X_LABEL)
    ax.set_ylabel("share of eigenvalues in a decade")
    style.note(ax, [lines.zeros(result), report.edge_reason and f"No edge: {report.edge_reason}"])
    style.legend(ax, outside=mine)
    return ax


def _range(x: np.ndarray) -> tuple[float, float]:
    return max(float(x.min()), float(np.quantile(x, 0.02)) / 3) / 1.3, float(x.max()) * 1.4


def _histogram(ax: Axes, x: np.ndarray, edges: np.ndarray, number: int, **look: Any) -> None:
    counts, _ = np.histogram(x, edges)
    ax.stairs(counts / (number * np.diff(np.log10(edges))), edges, **look)


def _noise(ax: Axes, result: LayerResult, report: TrapReport) -> None:
    law = lines.shuffled_density(result, report)
    if law is not None:
        x, density = law
        ax.plot(x, density * x * math.log(10), label=lines.shuffled_in_words(result), **style.NOISE)


def _marks(ax: Axes, result: LayerResult, report: TrapReport) -> None:
    edge, largest = (lines.unit_mean_of(result, value) for value in (report.edge, report.lambda_max))
    if math.isfinite(edge):
        ax.axvline(edge, label=f"edge of their noise, {edge:.3g}", **style.EDGE)
    if math.isfinite(largest):
        line: style.Look = {"color": style.ORANGE, "linewidth": 1.4}
        ax.axvline(largest, label=f"largest of the shuffled, {largest:.3g}", **line)
    for carrier in dict.fromkeys(trap.carrier for trap in report.traps):
        found = [lines.unit_mean_of(result, trap.eigenvalue) for trap in report.traps if trap.carrier == carrier]
        said = f"trap: {carrier}" if len(found) == 1 else f"{len(found)} traps: {carrier}"
        look: style.Look = {**style.TRAP, "marker": style.CARRIERS[carrier]}
        ax.plot(found, [0.03] * len(found), transform=ax.get_xaxis_transform(), label=said, **look)
