"""SETOL diagnostics of trained weights, beside WeightWatcher's columns.

>>> import setol_ww as ww
>>> ww.erg_cut(ww.Spectrum.from_eigenvalues([0.1, 0.4, 0.5, 3.0])).rank
2

Public names are loaded when they are first used: importing the package loads neither torch nor weightwatcher nor
matplotlib.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from importlib import import_module
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

# Where each public name lives. `__init__.pyi` says the same to type checkers; a test holds them together.
_HOME_OF = {
    "InvalidInput": "core.errors",
    "UnreadableCheckpoint": "core.errors",
    "Outcome": "core.outcomes",
    "Spectrum": "spectrum.esd",
    "TailFit": "spectrum.tail",
    "fit_tail": "spectrum.tail",
    "ErgCut": "spectrum.erg",
    "erg_cut": "spectrum.erg",
    "Ecs": "layer.ecs",
    "Quality": "layer.quality",
    "quality": "layer.quality",
    "BulkFit": "spectrum.bulk",
    "fit_bulk": "spectrum.bulk",
    "Universality": "layer.classes",
    "UniversalityClass": "layer.classes",
    "SubmatrixFit": "spectrum.windows",
    "fit_submatrices": "spectrum.windows",
    "State": "layer.verdict",
    "Settings": "layer.result",
    "LayerResult": "layer.result",
    "analyze_matrix": "layer.result",
    "TrapReport": "traps.find",
    "find_traps": "traps.find",
    "remove_traps": "traps.removal",
    "truncate": "truncation.models",
    "truncated": "truncation.models",
    "evaluate_truncation": "truncation.models",
    "LayerCut": "truncation.models",
    "truncate_checkpoint": "truncation.checkpoints",
    "load_factorised": "truncation.checkpoints",
    "install_factorised": "truncation.checkpoints",
    "truncation_curve": "truncation.curves",
    "classification_metrics": "truncation.metrics",
    "perplexity": "truncation.metrics",
    "scan": "scanning.run",
    "merge_scans": "results.merge",
    "Results": "results.results",
    "open_results": "results.results",
    "Summary": "results.summary",
    "read_table": "results.export",
    "Advice": "advice.advice",
    "recommend": "advice.recommend",
    "Options": "core.options",
    "compare": "advice.comparing",
    "Comparison": "advice.comparison",
    "compare_run": "advice.runs",
    "analyze": "watcher",
    "examine": "watcher",
    "WeightWatcher": "watcher",
    "plug_in": "watcher",
    "plug_out": "watcher",
    "plugged_in": "watcher",
    "Monitor": "monitor.live",
    "Alarm": "monitor.alarms",
    "TrapEffect": "advice.trap_effect",
    "trap_effect": "advice.trap_effect",
}

# Modules that are public as they are: `ww.transforms.r_transform(...)`.
_MODULES = {
    "laws": "theory.laws",
    "monitor": "monitor",
    "plots": "views.plots",
    "transforms": "theory.transforms",
}

__all__ = ["__version__", *_MODULES, *_HOME_OF]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value: Any = _loaded(_MODULES[name])
    elif name in _HOME_OF:
        value = getattr(_loaded(_HOME_OF[name]), name)
    else:
        return _deprecated(name)
    globals()[name] = value
    return value


def _deprecated(name: str) -> Any:
    from .core.deprecation import DEPRECATED

    if name not in DEPRECATED:
        raise AttributeError(f"module 'setol_ww' has no attribute {name!r}")
    told = DEPRECATED[name]
    told.warn(name, stacklevel=4)
    return getattr(import_module(f"{__name__}.{told.home}"), told.name)


def _loaded(module: str) -> ModuleType:
    from .core.manners import importing

    name = f"{__name__}.{module}"
    # Nothing of the process is to be put back where nothing is loaded any more.
    with nullcontext() if name in sys.modules else importing():
        return import_module(name)


def __dir__() -> list[str]:
    return sorted(__all__)
