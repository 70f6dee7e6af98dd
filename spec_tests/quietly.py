"""Plain weightwatcher imported and run quietly, for comparisons: everything of the process is put back afterwards."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator

import numpy as np

from setol_ww.core.manners import importing_quietly


@contextlib.contextmanager
def quiet(seed: int | None = None) -> Iterator[None]:
    """Its prints, warnings and log kept in, its draws from numpy's global generator put back."""
    state = np.random.get_state()
    try:
        with (
            importing_quietly(),
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            if seed is not None:
                np.random.seed(seed)
            yield
    finally:
        np.random.set_state(state)
