"""What weightwatcher's code gets in place of the things of the process it would touch.

Its prints go nowhere, its warnings nowhere, its log only where the host has asked for it, its shuffles come from the
generator of the analysis that runs, its figures belong to no window.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

NAME = "weightwatcher"

_generator: ContextVar[np.random.RandomState | None] = ContextVar("generator of the analysis", default=None)
_listener: ContextVar[list[str] | None] = ContextVar("who listens to weightwatcher", default=None)


@contextlib.contextmanager
def drawing_from(generator: np.random.RandomState) -> Iterator[None]:
    """weightwatcher's code draws from this generator inside; elsewhere from numpy's global one, as ever."""
    token = _generator.set(generator)
    try:
        yield
    finally:
        _generator.reset(token)


@contextlib.contextmanager
def listening() -> Iterator[list[str]]:
    """What weightwatcher's code warns of inside, as sentences; nobody else hears it."""
    said: list[str] = []
    token = _listener.set(said)
    try:
        yield said
    finally:
        _listener.reset(token)


def silent(*_: Any, **__: Any) -> None:
    """In place of whatever speaks or sets something."""


@contextlib.contextmanager
def no_warnings(*_: Any, **__: Any) -> Iterator[None]:
    """In place of `warnings.catch_warnings`: numpy is told to be silent, in this thread alone."""
    with np.errstate(all="ignore"):
        yield


@contextlib.contextmanager
def nothing(*_: Any, **__: Any) -> Iterator[None]:
    """In place of a redirection of the process's standard output: what is printed is silent anyway."""
    yield


class Logger:
    """In place of one of its loggers: errors pass, and the rest from the level that the host has set."""

    def __init__(self, name: str = NAME) -> None:
        self.name = name

    def log(self, level: int, message: Any, *values: Any, **_: Any) -> None:
        """As `logging.Logger.log`."""
        said = _listener.get()
        if said is not None:
            if level >= logging.WARNING:
                said.append(_sentence(message, values).strip())
            return
        if level < logging.ERROR:
            # Without a level of the host's only errors pass. Asked only now: most of what it says is debugging.
            asked = logging.getLogger(self.name).level
            if not asked or level < asked:
                return
        logging.getLogger(self.name).log(level, "%s", _sentence(message, values))

    def debug(self, message: Any, *values: Any, **_: Any) -> None:
        """As `logging.Logger.debug`."""
        self.log(logging.DEBUG, message, *values)

    def info(self, message: Any, *values: Any, **_: Any) -> None:
        """As `logging.Logger.info`."""
        self.log(logging.INFO, message, *values)

    def warning(self, message: Any, *values: Any, **_: Any) -> None:
        """As `logging.Logger.warning`."""
        self.log(logging.WARNING, message, *values)

    def error(self, message: Any, *values: Any, **_: Any) -> None:
        """As `logging.Logger.error`."""
        self.log(logging.ERROR, message, *values)

    def fatal(self, message: Any, *values: Any, **_: Any) -> None:
        """As `logging.Logger.fatal`."""
        self.log(logging.CRITICAL, message, *values)

    critical, exception = fatal, error
    setLevel = staticmethod(silent)


def _sentence(message: Any, values: tuple) -> str:
    try:
        return str(message) % values if values else str(message)
    except TypeError:
        # It passes values that its own message has no place for.
        return " ".join(map(str, (message, *values)))


class Random:
    """In place of `numpy.random`: the generator of the analysis that runs."""

    def __getattr__(self, name: str) -> Any:
        generator = _generator.get()
        return getattr(np.random if generator is None else generator, name)


def mean(values: Any, *arguments: Any, **options: Any) -> Any:
    """`numpy.mean`; of nothing it is NaN without a warning."""
    return np.mean(values, *arguments, **options) if np.size(values) else np.float64(np.nan)


def variance(values: Any, *arguments: Any, **options: Any) -> Any:
    """`numpy.var`; of nothing it is NaN without a warning."""
    return np.var(values, *arguments, **options) if np.size(values) else np.float64(np.nan)


def concat(frames: Any, **options: Any) -> pd.DataFrame:
    """`pandas.concat` without frames that have no columns, of which pandas warns."""
    return pd.concat([frame for frame in frames if len(frame.columns)] or frames, **options)


class Frames:
    """In place of the class `pandas.DataFrame`: of a dict, `from_records` makes what it made before pandas 3."""

    def __call__(self, *arguments: Any, **options: Any) -> pd.DataFrame:
        return pd.DataFrame(*arguments, **options)

    from_records = __call__


def with_others(module: ModuleType, **others: Any) -> ModuleType:
    """A module of the same contents but for some names; looked up as fast."""
    twin = ModuleType(module.__name__)
    twin.__dict__.update({**vars(module), **others})
    twin.__dict__.setdefault("__getattr__", lambda name: getattr(module, name))
    return twin


class KernelDensity:
    """In place of scikit-learn's, which sets warning filters at each call: the one kernel that is asked for, in 1-D.

    Equal to about 1e-13, the accuracy of the sums of logarithms there.
    """

    # Distances at a time.
    BLOCK = 2**20

    def __init__(self, kernel: str, bandwidth: float) -> None:
        if kernel != "linear":
            raise ValueError(f"the kernel {kernel!r} was asked; accepted is 'linear'")
        self.bandwidth = bandwidth

    def fit(self, points: np.ndarray) -> KernelDensity:
        """Points of shape (n, 1), finite and at least one."""
        self.points = np.sort(np.asarray(points, dtype=np.float64)[:, 0])
        if not (self.points.size and np.isfinite(self.points).all()):
            raise ValueError("no density of no points, or of points that are not finite")
        return self

    def score_samples(self, x: np.ndarray) -> np.ndarray:
        r"""Logarithms of :math:`\frac{1}{n h} \sum_i \max(0, 1 - |x - x_i| / h)`."""
        x, h = np.asarray(x, dtype=np.float64)[:, 0], self.bandwidth
        if not np.isfinite(x).all():
            raise ValueError("no density where x is not finite")
        density = np.empty(x.size)
        step = max(1, self.BLOCK // self.points.size)
        for start in range(0, x.size, step):
            some = x[start : start + step]
            # Of points in order only those within reach of these abscissae count.
            first, last = np.searchsorted(self.points, (some.min() - h, some.max() + h))
            share = np.abs(some[:, np.newaxis] - self.points[first:last])
            np.maximum(1 - share / h, 0, out=share)
            density[start : start + step] = share.sum(axis=1)
        with np.errstate(divide="ignore"):
            return np.log(density) - np.log(self.points.size * h)


class Figures(threading.local):
    """In place of `matplotlib.pyplot`: one figure at a time for each thread, known to no figure manager.

    Files are written as before; a notebook shows the figures, elsewhere no window opens.
    """

    writing = threading.Lock()

    def __init__(self) -> None:
        self.figure: Any = None

    def new(self, **options: Any) -> Any:
        """A new current figure."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.figure = Figure(**options)
        FigureCanvasAgg(self.figure)
        return self.figure

    def gca(self) -> Any:
        """The axes of the current figure."""
        return (self.figure or self.new()).gca()

    def subplots(self, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Any, Any]:
        """As in pyplot."""
        figure = self.new(**options)
        return figure, figure.subplots(rows, columns)

    def title(self, text: str) -> None:
        """As in pyplot."""
        self.gca().set_title(text)

    def xlabel(self, text: str) -> None:
        """As in pyplot."""
        self.gca().set_xlabel(text)

    def ylabel(self, text: str) -> None:
        """As in pyplot."""
        self.gca().set_ylabel(text)

    def xscale(self, scale: str) -> None:
        """As in pyplot."""
        self.gca().set_xscale(scale)

    def legend(self, *arguments: Any, **options: Any) -> None:
        """As in pyplot, where there is something to name; matplotlib warns where there is nothing."""
        if arguments or self.gca().get_legend_handles_labels()[0]:
            self.gca().legend(*arguments, **options)

    def savefig(self, name: str) -> None:
        """The current figure in a file."""
        # matplotlib's caches of fonts and its parser of formulas are of the process.
        with self.writing:
            (self.figure or self.new()).savefig(name, bbox_inches="tight")

    def show(self) -> None:
        """The figure in a notebook."""
        notebook = sys.modules.get("IPython")
        if notebook is not None and notebook.get_ipython() is not None and self.figure is not None:
            notebook.display.display(self.figure)

    def clf(self) -> None:
        """Let the current figure go."""
        self.figure = None

    def __getattr__(self, name: str) -> Any:
        """What else draws, draws in the current axes: `hist`, `plot`, `scatter`, `axvline`, ..."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.gca(), name)


def save_figure(figures: Figures, title: str, plot_id: Any, folder: str) -> None:
    """weightwatcher's `save_fig`: its file names; two threads may make the folder at once."""
    os.makedirs(folder, exist_ok=True)
    figures.savefig(f"{folder}/ww.layer{plot_id}.{title}.png")


random, figures = Random(), Figures()

SUBSTITUTES: dict[str, Any] = {
    "numpy": with_others(np, random=random, mean=mean, var=variance),
    "numpy.random": random,
    "pandas": with_others(pd, DataFrame=Frames(), concat=concat),
    "logging": SimpleNamespace(
        getLogger=Logger,
        basicConfig=silent,
        **{name: getattr(logging, name) for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")},
    ),
    "warnings": SimpleNamespace(catch_warnings=no_warnings, simplefilter=silent, filterwarnings=silent, warn=silent),
    "sklearn.neighbors": SimpleNamespace(KernelDensity=KernelDensity),
    "contextlib": SimpleNamespace(redirect_stdout=nothing, redirect_stderr=nothing),
    "matplotlib.pyplot": SimpleNamespace(pyplot=figures),
}
