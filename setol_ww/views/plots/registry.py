"""The pictures there are, each with a line on what it shows: help, page and tests are made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
from .training import training
from .traps import traps
from .truncation_curve import truncation_curve


@dataclass(frozen=True)
class Plot:
    """One picture.

    Attributes
    ----------
    name : str
        Of the function in `setol_ww.plots`.
    takes : str
        What it draws.
    shows : str
        What there is to see, in a line.
    draw : callable
    """

    name: str
    takes: str
    shows: str
    draw: Callable[..., Any]


LAYER, MODEL = "a layer's result", "results of a model"
PLOTS: tuple[Plot, ...] = (
    Plot("esd", LAYER, "spectrum with its tail, both starts, the noise and its edge, traps", esd),
    Plot("ccdf", LAYER, "share of eigenvalues above each, with the fitted tail", ccdf),
    Plot("ks", LAYER, "how well the power law fits from each start on, and the second best start", ks),
    Plot("log_det", LAYER, "cumulative log-determinant, the ERG cut and what is left there", log_det),
    Plot("log_det_areas", LAYER, "ln x by rank: the areas that cancel over the ERG tail", log_det_areas),
    Plot("traps", LAYER, "spectrum beside that of the shuffled entries, their edge and the traps", traps),
    Plot("qualities", f"{LAYER}, or {MODEL}", "every reading of the layer quality", qualities),
    Plot("depth", MODEL, "a column over the layers, by kind of layer", depth),
    Plot("ideal_plane", MODEL, "alpha against the gap of both starts, with the ideal point", ideal_plane),
    Plot("histogram", "results of several models", "how alpha is spread over the layers of each", histogram),
    Plot("truncation_curve", "a table of truncation_curve", "error over kept rank, by rule", truncation_curve),
    Plot("comparison", "a comparison", "a column before and after, by layer", comparison),
    Plot("training", "the history of a run", "a column over the steps of training, by layer", training),
)
