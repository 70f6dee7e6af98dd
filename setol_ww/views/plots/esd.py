"""The spectrum of one layer with everything that was read off it (Figs. 1, 5 and 20 of the paper)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ...core.arrays import FloatArray
from ...core.checks import one_of
from ...layer.result import LayerResult
from ...traps.find import TrapReport
from . import lines, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCALES = ("log-log", "lin-lin", "log-lin")
FEWEST_BINS, MOST_BINS = 8, 70
# On a linear axis the largest of a heavy tail would leave nothing else to see.
SHOWN = 0.95


def esd(result: LayerResult, ax: Axes | None = None, *, scale: str = "log-log") -> Axes:
    r"""The spectrum: tail, its start and the second best, ERG start, noise with its edge, traps.

    Parameters
    ----------
    result : LayerResult
        As `analyze_matrix` and `Results.layer` give it; with `uncertainty` the interval of the start is drawn, with
        traps (`randomize`) the spectrum of the shuffled entries (the law of its bulk where only the largest of them are
        known, above 1500 columns), its edge and the traps.
    ax : matplotlib.axes.Axes, optional
        A new one, of a figure that pyplot does not know, when left out.
    scale : str
        `log-log`: density in a unit of x, a power law is a line of slope -alpha; `lin-lin`: the same on plain axes, the
        largest 5 % beyond the right end; `log-lin`: share of eigenvalues in a decade over the logarithm of x.

    Returns
    -------
    matplotlib.axes.Axes
        A layer without a positive eigenvalue is drawn as the sentence that says why.

    Raises
    ------
    InvalidInput
        Another scale, or no result.

    Notes
    -----
    arXiv 2507.17912, Figs. 1, 5 and 20. x is the eigenvalue over the mean of all, zeros among them.

    Examples
    --------
    >>> import numpy as np, setol_ww as ww
    >>> result = ww.analyze_matrix(np.random.default_rng(0).normal(size=(200, 100)))
    >>> ww.plots.esd(result).get_title()
    '200 x 100: under-trained; class: random-like'
    """
    one_of("scale", scale, SCALES)
    mine, ax, is_done = lines.begun(result, ax)
    if is_done:
        return ax
    x = lines.positive(result)
    shown, notes = _range(x, scale)
    _axes_scales(ax, scale)
    edges = _edges(x.size, shown, scale)
    top = _histogram(ax, result, x, edges, scale)
    _laws(ax, result, edges, scale)
    lines.draw_starts(ax, result)
    _edge(ax, result)
    _traps(ax, result, scale)
    ax.set_xlim(*shown)
    if scale != "lin-lin":
        style.log_axis(ax.xaxis, *shown)
    _y_limits(ax, scale, top)
    style.note(ax, [*notes, lines.zeros(result), lines.without_tail(result)])
    style.legend(ax, outside=mine)
    return ax


def _range(x: FloatArray, scale: str) -> tuple[tuple[float, float], list[str]]:
    """Ends of the axis of x, and what lies beyond them in words."""
    low, high = float(x[0]), float(x[-1])
    if scale == "lin-lin":
        end = float(np.quantile(x, SHOWN)) * 1.2
        if high <= 2.0 * end:
            return (0.0, 1.08 * high), []
        beyond = int(np.count_nonzero(x > end))
        return (0.0, end), [f"{beyond} larger eigenvalues up to {high:.3g} are beyond the right end"]
    first = max(low, float(np.quantile(x, 0.02)) / 3)
    below = int(np.count_nonzero(x < first))
    notes = [f"{below} smaller eigenvalues down to {low:.1g} are beyond the left end"] if below else []
    return (first / 1.25, high * 1.5), notes


def _axes_scales(ax: Axes, scale: str) -> None:
    horizontal, vertical = scale.split("-")
    if horizontal == "log":
        ax.set_xscale("log")
    if vertical == "log":
        ax.set_yscale("log", nonpositive="clip")
    ax.set_xlabel(lines.X_LABEL)
    ax.set_ylabel("share of eigenvalues in a decade" if scale == "log-lin" else "density: share of eigenvalues / x")


def _factor(x: FloatArray, scale: str) -> FloatArray:
    """From a density in x to what the vertical axis shows."""
    return math.log(10) * x if scale == "log-lin" else np.ones_like(x)


def _edges(number: int, shown: tuple[float, float], scale: str) -> FloatArray:
    """Bins of the histograms."""
    bins = int(np.clip(2 * math.sqrt(number), FEWEST_BINS, MOST_BINS))
    if scale == "lin-lin":
        return np.linspace(0, shown[1], bins + 1)
    return np.geomspace(shown[0] * 1.05, shown[1] / 1.05, bins + 1)


def _heights(x: FloatArray, edges: FloatArray, scale: str, number: int) -> FloatArray:
    """Shares of `number` eigenvalues in a unit of what the horizontal axis counts."""
    counts, _ = np.histogram(x, edges)
    heights: FloatArray = counts / (number * np.diff(np.log10(edges) if scale == "log-lin" else edges))
    return heights


def _histogram(ax: Axes, result: LayerResult, x: FloatArray, edges: FloatArray, scale: str) -> FloatArray:
    """The bars; returns their heights."""
    heights = _heights(x, edges, scale, result.spectrum.num_evals)
    ax.stairs(heights, edges, fill=True, label=f"{result.spectrum.num_evals} eigenvalues", **style.EIGENVALUES)
    return heights[heights > 0]


def _laws(ax: Axes, result: LayerResult, edges: FloatArray, scale: str) -> None:
    noise = lines.noise_density(result)
    if noise is not None:
        x, density = noise
        ax.plot(x, density * _factor(x, scale), label=lines.noise_in_words(result), **style.NOISE)
    if result.traps is not None and result.traps.is_defined:
        _shuffled(ax, result, result.traps, edges, scale)
    if result.tail.rank:
        x = np.geomspace(result.tail.lambda_min, 1.1 * float(edges[-1]), lines.POINTS)
        density = lines.tail_density(result, x)
        ax.plot(x, density * _factor(x, scale), label=f"power law, {lines.alpha_in_words(result)}", **style.TAIL)


def _shuffled(ax: Axes, result: LayerResult, traps: TrapReport, edges: FloatArray, scale: str) -> None:
    """The spectrum of the shuffled entries where all of it is known, else the law of its bulk."""
    values = lines.shuffled_spectrum(result, traps)
    if values.size:
        heights = _heights(values, edges, scale, values.size)
        ax.stairs(heights, edges, label="eigenvalues, entries shuffled", **style.SHUFFLED)
        return
    law = lines.shuffled_density(result, traps)
    if law is not None:
        x, density = law
        ax.plot(x, density * _factor(x, scale), label=lines.shuffled_in_words(result), **style.SHUFFLED)


def _edge(ax: Axes, result: LayerResult) -> None:
    bulk = result.bulk
    if bulk.noise is not None:
        loud = f", {bulk.loud} of loud {bulk.loud_side}s" if bulk.loud else ""
        said = f"edge of the noise, {bulk.edge:.3g}: {bulk.spikes} above{loud}"
        ax.axvline(bulk.edge, label=said, **style.EDGE)


def _traps(ax: Axes, result: LayerResult, scale: str) -> None:
    """The edge of the shuffled matrix and its traps as marks on the axis of x."""
    traps = result.traps
    if traps is None or not traps.is_defined:
        return
    marks: style.Look = {"transform": ax.get_xaxis_transform(), "clip_on": False}
    edge = lines.unit_mean_of(result, traps.edge)
    if math.isfinite(edge):
        shown = {**style.TRAP, "marker": "|", "markersize": 12, "markeredgecolor": style.GREEN, "markeredgewidth": 2}
        ax.plot([edge], [0.0], label=f"edge of the shuffled matrix, {edge:.3g}", **shown, **marks)
    found = [lines.unit_mean_of(result, trap.eigenvalue) for trap in traps.traps]
    if found:
        said = "1 trap" if len(found) == 1 else f"{len(found)} traps"
        ax.plot(found, [0.02] * len(found), label=said, **style.TRAP, **marks)


def _y_limits(ax: Axes, scale: str, heights: FloatArray) -> None:
    if not heights.size:
        return
    if scale == "log-log":
        ax.set_ylim(heights.min() / 4, heights.max() * 5)
    else:
        ax.set_ylim(0, heights.max() * 1.45)
