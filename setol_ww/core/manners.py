"""Manners: weightwatcher is imported and run without leaving a trace in the host process.

On import weightwatcher 0.7.7 installs a root log handler at INFO and silences all warnings; while running it draws
from numpy's global generator, prints and warns. Inside `quiet` all of that is undone again.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator

import numpy as np

NOISY_LOGGERS = ("weightwatcher", "matplotlib")


@contextlib.contextmanager
def quiet(seed: int | None = None) -> Iterator[None]:
    """Run the body and put the host back: loggers, warning filters, global RNG, figures,
    environment, standard output.

    Parameters
    ----------
    seed : int, optional
        Seeds numpy's global generator for the body, because weightwatcher shuffles with it.

    Notes
    -----
    A level that the host has given to weightwatcher's logger is respected; without one, only errors pass.
    """
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in NOISY_LOGGERS}
    figures = open_figures()
    environment = dict(os.environ)
    numpy_state = np.random.get_state()
    torch_state = _torch_state()
    if levels["weightwatcher"] == logging.NOTSET:
        logging.getLogger("weightwatcher").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            if seed is not None:
                np.random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy_state)
        if torch_state is not None:
            sys.modules["torch"].set_rng_state(torch_state)
        for handler in list(root.handlers):
            if handler not in handlers:
                root.removeHandler(handler)
        for logger, before in ((root, level), *((logging.getLogger(name), kept) for name, kept in levels.items())):
            # Setting a level clears the caches of all loggers of the process.
            if logger.level != before:
                logger.setLevel(before)
        # scikit-learn, which weightwatcher imports, sets variables of the OpenMP runtime.
        changed = set(environment.items()) ^ set(dict(os.environ).items())
        for name in {name for name, _ in changed}:
            if name in environment:
                os.environ[name] = environment[name]
            else:
                del os.environ[name]
        for number in open_figures() - figures:
            sys.modules["matplotlib.pyplot"].close(number)


def open_figures() -> set[int]:
    """Numbers of the open pyplot figures; none where pyplot is not loaded."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    return set(pyplot.get_fignums()) if pyplot is not None else set()


def _torch_state() -> object:
    torch = sys.modules.get("torch")
    return torch.get_rng_state() if torch is not None else None
