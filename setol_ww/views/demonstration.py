"""The picture of the demonstration: one layer of each net, and all layers about the ideal point."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..results.results import Results
from .plots.esd import esd
from .plots.ideal_plane import ideal_plane

SIZE, DPI = (13.0, 9.5), 150


def demo_picture(results: Results, layers: Sequence[str], path: Path) -> None:
    """Spectra of `layers` side by side above the plane of the ideal point, into a file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    grid = figure.add_gridspec(2, len(layers), height_ratios=(4, 5))
    for column, name in enumerate(layers):
        ax = esd(results.layer(name), figure.add_subplot(grid[0, column]))
        ax.set_title(name)
        # Under the picture: inside, it would lie on the tail.
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize="small", frameon=False)
    ideal_plane(results, figure.add_subplot(grid[1, :])).set_title("all layers of the three nets")
    figure.savefig(path, dpi=DPI)
