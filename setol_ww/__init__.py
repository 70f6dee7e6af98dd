"""SETOL diagnostics of trained weights, beside WeightWatcher's columns.

>>> import setol_ww as ww
>>> ww.erg_cut(ww.Spectrum.from_eigenvalues([0.1, 0.4, 0.5, 3.0])).rank
2

Public names are loaded when they are first used: importing the package loads neither torch nor weightwatcher nor
matplotlib.
"""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

_ROOM_OF = {
    "InvalidInput": "contracts",
    "UnreadableCheckpoint": "contracts",
    "Outcome": "contracts",
    "Spectrum": "spectrum",
    "TailFit": "tails",
    "fit_tail": "tails",
    "ErgCut": "erg",
    "erg_cut": "erg",
    "Ecs": "ecs",
    "Quality": "readings",
    "quality": "readings",
    "BulkFit": "bulk",
    "fit_bulk": "bulk",
    "Universality": "classes",
    "UniversalityClass": "classes",
    "SubmatrixFit": "submatrices",
    "fit_submatrices": "submatrices",
    "State": "verdict",
    "Settings": "analysis",
    "LayerResult": "analysis",
    "analyze_matrix": "analysis",
    "TrapReport": "traps",
    "find_traps": "traps",
    "remove_traps": "trap_removal",
    "truncate": "truncation",
    "truncated": "truncation",
    "evaluate_truncation": "truncation",
    "LayerCut": "truncation",
    "truncate_checkpoint": "compression",
    "load_factorised": "compression",
    "install_factorised": "compression",
    "truncation_curve": "curves",
    "plot_truncation_curve": "plots",
    "classification_metrics": "metrics",
    "perplexity": "metrics",
    "scan": "streaming",
    "merge_scans": "merging",
    "analyze": "watcher",
    "WeightWatcher": "watcher",
}

# Rooms that are public as they are: `ww.transforms.r_transform(...)`.
_ROOMS = ("laws", "transforms")

__all__ = ["__version__", *_ROOMS, *_ROOM_OF]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return _room(name)
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'setol_ww' has no attribute {name!r}")
    value = getattr(_room(_ROOM_OF[name]), name)
    globals()[name] = value
    return value


def _room(name: str) -> ModuleType:
    # Loading scipy and torch adds warning filters of theirs, joblib and threadpoolctl variables of the OpenMP runtime;
    # the host's stay as they were.
    environment = set(os.environ)
    with warnings.catch_warnings():
        room = import_module(f".{name}", __name__)
    for added in set(os.environ) - environment:
        del os.environ[added]
    return room


def __dir__() -> list[str]:
    return sorted(__all__)
