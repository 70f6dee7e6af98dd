"""The tail exponent of submatrices of one aspect ratio: what a layer's shape adds to alpha is taken out.

The bulk of a sample spectrum depends on the aspect ratio of W, and with it the exponent fitted to the spectrum:
two layers of the same law and different shapes have different alphas. Here the spectrum is that of windows of one
fixed aspect ratio that slide over W, their eigenvalues pooled (the method of arXiv 2506.06280, written from its
description). It estimates another quantity than `tail_alpha`, with an uncertainty of its own, and costs the
eigenvalues of small matrices only, whatever the size of W.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.arrays import as_matrix, precision
from ..core.card import Card, Fact, Shown, outcome_fact
from ..core.checks import positive_integer
from ..core.errors import InvalidInput
from ..core.outcomes import Outcome
from ..linalg.device import check_device
from ..linalg.eigenvalues import scaled_eigenvalues
from ..linalg.scaled import Scaled
from .esd import Spectrum
from .tail import TailFit, fit_tail

RESAMPLES = 40


@dataclass(frozen=True, repr=False)
class SubmatrixFit(Shown):
    """The power-law tail of the pooled spectrum of windows.

    Attributes
    ----------
    alpha : float
        Exponent of the pooled spectrum.
    sigma : float
        Its standard error: the larger of the asymptotic one, (alpha - 1) / sqrt(n), and the spread of alpha when
        windows are drawn anew with replacement. Windows that share rows or columns are not independent: n counts
        `rank` only in the share of windows that have none in common. `docs/large-layers.md` has measured coverages.
    windows : int
        Number of windows.
    rows, columns : int
        Shape of a window in the tall orientation of W.
    rank : int
        Number of pooled eigenvalues in the tail.
    outcome : Outcome
        As of `fit_tail`; NaN alpha and sigma where there is no fit.
    """

    alpha: float
    sigma: float
    windows: int
    rows: int
    columns: int
    rank: int
    outcome: Outcome

    def _card(self) -> Card:
        windows = Fact("windows", f"{self.windows} of {self.rows} x {self.columns}")
        if math.isnan(self.alpha):
            return Card("power-law tail of windows", [windows, outcome_fact("outcome", self.outcome)])
        alpha = Fact("alpha", f"{self.alpha:.3f} ± {self.sigma:.3f}")
        tail = Fact("tail", f"the {self.rank} largest of the pooled eigenvalues")
        return Card("power-law tail of windows", [alpha, windows, tail, outcome_fact("outcome", self.outcome)])


def fit_submatrices(
    W: Any,
    *,
    Q: float = 1.0,
    side: int = 512,
    max_windows: int = 32,
    seed: int = 0,
    device: str = "cpu",
) -> SubmatrixFit:
    r"""Power-law tail of the pooled eigenvalues of windows of `Q * columns` rows and `columns` columns.

    The windows have :math:`\min(M, \lfloor N/Q \rfloor, side)` columns and stand on an even grid that covers W; at
    most `max_windows` of them, evenly chosen, are computed.

    Parameters
    ----------
    W : array_like or torch.Tensor, shape (rows, columns), or a list of such (slices of a convolution)
        In any orientation: the longer side counts as rows.
    Q : float
        Aspect ratio of every window, at least 1.
    side : int
        Largest number of columns of a window.
    max_windows : int
        Per matrix.
    seed : int
        Of the resampling of windows behind `sigma`.
    device : str
        As of `Spectrum.from_matrix`.

    Raises
    ------
    InvalidInput
        W is no real matrix, or an option is out of range.

    Notes
    -----
    One window (a matrix of aspect ratio Q that is not larger than `side`) gives the fit of W itself. An entry that
    is not finite gives NaN with outcome `degenerate`.

    Examples
    --------
    >>> import numpy as np
    >>> fit = fit_submatrices(np.random.default_rng(0).standard_t(3, size=(400, 100)))
    >>> fit.windows, fit.rows, fit.columns, fit.outcome.value
    (4, 100, 100, 'ok')
    """
    if not (isinstance(Q, (int, float)) and 1 <= Q < math.inf):
        raise InvalidInput(f"Q={Q!r} was asked; accepted is a number of 1 or more")
    positive_integer("side", side)
    positive_integer("max_windows", max_windows)
    check_device(device)
    given = W if isinstance(W, list) and W and hasattr(W[0], "shape") else [W]
    matrices = [as_matrix(matrix) for matrix in given]
    spectra: list[Scaled] = []
    rows = columns = apart = 0
    for matrix in matrices:
        tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
        rows, columns = window_shape(tall.shape, Q, side)
        corners = window_corners(tall.shape, (rows, columns), max_windows)
        apart += min(len({top for top, _ in corners}), len({left for _, left in corners}))
        for top, left in corners:
            spectra.append(scaled_eigenvalues(tall[top : top + rows, left : left + columns], device))
    eps = min(precision(matrix) for matrix in matrices)
    fit = _pooled_fit(spectra, rows, columns, eps)
    spread = _resampled_spread(spectra, rows, columns, eps, seed) if math.isfinite(fit.alpha) else math.nan
    asymptotic = fit.sigma * math.sqrt(len(spectra) / apart) if apart else math.nan
    sigma = float(np.fmax(asymptotic, spread))
    return SubmatrixFit(fit.alpha, sigma, len(spectra), rows, columns, fit.rank, fit.outcome)


def window_shape(shape: Iterable[int], Q: float, side: int) -> tuple[int, int]:
    """Rows and columns of a window in a tall matrix."""
    N, M = shape
    columns = max(1, min(M, int(N / Q), side)) if N and M else 0
    return min(N, round(Q * columns)), columns


def window_corners(shape: Iterable[int], window: tuple[int, int], max_windows: int) -> list[tuple[int, int]]:
    """Upper left corners of an even grid of windows that covers the matrix, thinned evenly to `max_windows`."""
    if 0 in window:
        return []
    starts = []
    for length, part in zip(shape, window):
        count = -(-length // part)
        starts.append(np.round(np.linspace(0, length - part, count)).astype(int))
    corners = [(int(top), int(left)) for top in starts[0] for left in starts[1]]
    # Steps that are no divisor of the grid's width, so that thinning does not keep to a few columns.
    step = max(len(corners) / max_windows, 1.0)
    return [corners[int((place + 0.5) * step)] for place in range(min(len(corners), max_windows))]


def _pooled_fit(spectra: list[Scaled], rows: int, columns: int, eps: float) -> TailFit:
    return fit_tail(Spectrum.pooled(spectra, (rows, columns), eps))


def _resampled_spread(spectra: list[Scaled], rows: int, columns: int, eps: float, seed: int) -> float:
    """Standard deviation of alpha over samples of the windows with replacement; NaN for fewer than two windows."""
    count = len(spectra)
    if count < 2:
        return math.nan
    rng = np.random.default_rng(seed)
    alphas = []
    for _ in range(RESAMPLES):
        drawn = [spectra[position] for position in rng.integers(count, size=count)]
        alphas.append(_pooled_fit(drawn, rows, columns, eps).alpha)
    found = [alpha for alpha in alphas if math.isfinite(alpha)]
    return float(np.std(found, ddof=1)) if len(found) > 1 else math.nan
