"""Pictures of finished results, one file each: results in, `Axes` out.

Never shows, saves or computes. The first picture loads matplotlib, none loads pyplot; an `Axes` made here belongs to a
figure of its own that pyplot does not know: `ax.figure.savefig("picture.png", dpi=300)`.
"""

from __future__ import annotations

from .ccdf import ccdf
from .comparison import comparison
from .depth import depth
from .esd import esd
from .histogram import histogram
from .ideal_plane import ideal_plane
from .ks import ks
from .log_det import log_det
from .log_det_areas import log_det_areas
from .qualities import qualities
from .registry import PLOTS
from .training import training
from .traps import traps
from .truncation_curve import truncation_curve

__all__ = [
    "PLOTS",
    "ccdf",
    "comparison",
    "depth",
    "esd",
    "histogram",
    "ideal_plane",
    "ks",
    "log_det",
    "log_det_areas",
    "qualities",
    "training",
    "traps",
    "truncation_curve",
]
