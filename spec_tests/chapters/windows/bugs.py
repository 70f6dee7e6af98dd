"""Bugs planted for the chapter's clauses to notice."""

from __future__ import annotations

import math

import numpy as np

from fixtures import oracles, windows
from spec_tests.bug import Bug
from spec_tests.protocol import Implementation, Windows, chosen


def _tail_of(raw: np.ndarray, of: windows.WindowsTruth) -> Windows | None:
    fit = chosen("setol_ww").tail_fit(np.sort(raw))
    return None if fit is None else Windows(fit.alpha, fit.rank, of.count, of.rows, of.columns)


def first_window_only(self: Implementation, W: np.ndarray, Q: float, side: int) -> Windows | None:
    of = windows.pooled_windows(W, Q, side)
    tall = W if W.shape[0] >= W.shape[1] else W.T
    return _tail_of(oracles.singular_value_squares(tall[: of.rows, : of.columns]), of)


def remainder_left_out(self: Implementation, W: np.ndarray, Q: float, side: int) -> Windows | None:
    """What is left over beside windows that stand edge to edge."""
    of = windows.pooled_windows(W, Q, side)
    tall = W if W.shape[0] >= W.shape[1] else W.T
    return chosen("oracle").window_tail(
        tall[: tall.shape[0] // of.rows * of.rows, : tall.shape[1] // of.columns * of.columns], Q, side
    )


def the_matrix_for_its_windows(self: Implementation, W: np.ndarray, Q: float, side: int) -> Windows | None:
    return _tail_of(oracles.singular_value_squares(W), windows.pooled_windows(W, Q, side))


def windows_as_it_lies(self: Implementation, W: np.ndarray, Q: float, side: int) -> Windows | None:
    """Rows stay rows: of a wide matrix the windows are other ones."""
    columns = max(1, min(W.shape[1], math.floor(W.shape[0] / Q), side))
    rows = min(W.shape[0], round(Q * columns))
    corners = [(i, j) for i in windows.even_starts(W.shape[0], rows) for j in windows.even_starts(W.shape[1], columns)]
    raw = np.concatenate([oracles.singular_value_squares(W[i : i + rows, j : j + columns]) for i, j in corners])
    return _tail_of(raw, windows.WindowsTruth(raw, len(corners), rows, columns))


def windows_above_an_absolute_threshold(self: Implementation, W: np.ndarray, Q: float, side: int) -> Windows | None:
    of = windows.pooled_windows(W, Q, side)
    kept = of.raw[of.raw > 1e-5]
    return _tail_of(kept, of) if kept.size > 1 else None


def windows_averaged(self: Implementation, W: np.ndarray, Q: float, side: int) -> Windows | None:
    """The mean of every so many pooled eigenvalues: one spectrum of the size of a window."""
    of = windows.pooled_windows(W, Q, side)
    return _tail_of(of.raw.reshape(-1, of.count).mean(axis=1), of)


BUGS: tuple[Bug, ...] = (
    Bug("the first window only", "FARMS-01", "window_tail", first_window_only),
    Bug("the remainder beside the windows left out", "FARMS-01", "window_tail", remainder_left_out),
    Bug("the matrix for its windows", "FARMS-01", "window_tail", the_matrix_for_its_windows),
    Bug("windows in the orientation of W", "FARMS-02", "window_tail", windows_as_it_lies),
    Bug("an absolute threshold on the eigenvalues of windows", "FARMS-02", "window_tail",
        windows_above_an_absolute_threshold),
    Bug("spectra of windows averaged", "FARMS-03", "window_tail", windows_averaged),
)  # fmt: skip
