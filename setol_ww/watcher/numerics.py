"""The same numbers as weightwatcher's, by Gram matrices and a pruned scan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..core.arrays import EPS_FLOAT64, FloatArray, to_numpy
from ..layer.weightwatcher_columns import best_weightwatcher_start
from ..spectrum.esd import Spectrum
from .upstream import rooms

# weightwatcher's own constants: below the threshold an eigenvalue is dropped, below the count it fits differently, and
# the last is added to logarithms' arguments.
THRESHOLD = 1e-5
FIT_MIN = 20
EPSILON = 1e-10
# exp(+-709) is the range of float64.
SAFE_LOGARITHM = 600.0
PLAIN_FIT = {
    "xmin": (None, -1),
    "xmax": (None, False),
    "plot": (False,),
    "fix_fingers": (None, False),
    "fit_type": ("power_law",),
    "pl_package": ("ww",),
    "sample": (False,),
}


def pooled_eigenvalues(
    spectra: Iterable[FloatArray], N: int, n_comp: int, scale: float = 1.0
) -> tuple[FloatArray, float, float, int]:
    """What `combined_eigenvalues` returns: eigenvalues, largest and (as it counts) smallest sigma, rank loss.

    `spectra` are those of the matrices, `scale` is the square of the factor by which these are still to be multiplied.
    """
    pooled, largest, smallest, rank_loss = [], 0.0, 0.0, 0
    for spectrum in spectra:
        values = scale * spectrum[-n_comp:]
        singular = np.sqrt(values)
        pooled.append(values)
        # Ascending: the ends are the extremes.
        last, first = float(singular[-1]), float(singular[0])
        largest, smallest = max(largest, last), max(smallest, first)
        rank_loss += singular.size - matrix_rank(singular, N)
    evals = np.sort(np.concatenate(pooled)) if len(pooled) > 1 else pooled[0]
    return evals, np.float64(largest), np.float64(smallest), rank_loss


def matrix_rank(singular: FloatArray, N: int) -> int:
    """Ascending singular values above weightwatcher's tolerance."""
    return int(np.count_nonzero(singular > singular[-1] * N * EPS_FLOAT64))


def norm_columns(ww_layer: Any) -> dict[str, Any]:
    """What `apply_norm_metrics` adds to a layer, in its order."""
    evals, alpha = ww_layer.evals, ww_layer.alpha
    norm, largest = np.sum(evals), evals.max()
    log_largest = np.log10(largest)
    singular = np.sqrt(evals)
    rank = matrix_rank(singular, ww_layer.N)
    squares = singular * singular
    p = squares / np.sum(squares) + EPSILON
    return {
        "norm": norm,
        "log_norm": np.log10(norm),
        "spectral_norm": largest,
        "log_spectral_norm": log_largest,
        "alpha": alpha,
        "alpha_weighted": alpha * log_largest,
        "log_alpha_norm": np.log10(np.sum(evals**alpha)),
        "stable_rank": norm / largest,
        "matrix_rank": rank,
        "entropy": -np.sum(p * np.log(p)) / np.log(rank + EPSILON),
    }


def detX_columns(ww_layer: Any) -> dict[str, Any]:
    """What `apply_detX` adds to a layer, in its order."""
    scaled, scale = rooms.rescale_eigenvalues(ww_layer.evals)
    count, first = first_below_one(scaled)
    gap = count - ww_layer.num_pl_spikes if ww_layer.has_column("num_pl_spikes") else np.nan
    return {
        "detX_num": count,
        "num_ERG_spikes": count,
        "ERG_gap": gap,
        # The names are weightwatcher's; the first one is on the scale of the weights.
        "detX_val": rooms.un_rescale_eigenvalues(scaled, scale)[first],
        "detX_val_unrescaled": scaled[first],
    }


def first_below_one(scaled: FloatArray) -> tuple[int, int]:
    """`detX_constraint(scaled, rescale=False)`: the scan starts where the sum of logarithms comes near to 0.

    Where a product could over- or underflow in any order of its factors, weightwatcher's own scan answers.
    """
    n = scaled.size
    if n < 2 or not 0 < scaled[0] < scaled[-1]:
        return rooms.detX_constraint(scaled, rescale=False)
    logs = np.log(scaled[::-1])
    if np.abs(logs).sum() > SAFE_LOGARITHM:
        return rooms.detX_constraint(scaled, rescale=False)
    near = np.flatnonzero(np.cumsum(logs) < 1e-9)
    for first in range(n - 1 - near[0] if near.size else 0, 0, -1):
        if np.prod(scaled[first:]) < 1.0:
            return n - first, first
    return n, 1


def default_fit(
    evals: np.ndarray, args: tuple, kwargs: dict[str, Any], spectrum: Spectrum | None = None
) -> tuple | None:
    """What `fit_powerlaw` returns by default, or None where weightwatcher would take another way.

    `spectrum` is that of the same eigenvalues, where it is known.
    """
    if args or any(kwargs.get(name, accepted[0]) not in accepted for name, accepted in PLAIN_FIT.items()):
        return None
    kept = evals[evals > THRESHOLD]
    if kept.size < FIT_MIN:
        return None
    log_x = np.log(kept)
    # Equal neighbours enter weightwatcher's scan one by one and divide by zero at the top: left to weightwatcher.
    if np.min(np.diff(log_x)) <= 1e-13:
        return None
    start = best_weightwatcher_start(log_x, np.arange(kept.size - 1), spectrum)
    n = kept.size - start
    rate = n / (log_x[start:].sum() - n * log_x[start])
    law = 1 - (kept[start:] / kept[start]) ** -rate
    distance = np.max(np.abs(law - np.arange(float(n)) / n))
    spikes = int(np.count_nonzero(evals >= kept[start]))
    alpha = 1 + rate
    warning = "over-trained" if alpha < 2 else "under-trained" if alpha > 6 else ""
    return alpha, -1, kept[start], kept[-1], distance, rate / np.sqrt(n), spikes, 0, -1, "success", warning


def bad_entries(matrices: list[Any]) -> str:
    """How many entries are NaN or infinite, as words; empty when none is."""
    arrays = [to_numpy(matrix) for matrix in matrices]
    nan = sum(int(np.isnan(array).sum()) for array in arrays)
    infinite = sum(int(np.isinf(array).sum()) for array in arrays)
    size = sum(array.size for array in arrays)
    return f"{nan} NaN and {infinite} Inf among its {size} entries" if nan or infinite else ""


def all_finite(matrices: list[Any]) -> bool:
    """False when an entry is NaN or infinite (or the sum of all overflows)."""
    return all(np.isfinite(np.sum(matrix, dtype=np.float64)) for matrix in matrices)


def spectrum_of(ww_layer: Any, eps: float) -> Spectrum:
    """The eigenvalues weightwatcher has computed, with the shape of the matrices they came from."""
    evals, count = ww_layer.evals, len(ww_layer.Wmats)
    shape = ww_layer.Wmats[0].shape
    if len(shape) != 2 or min(shape) * count != len(evals):
        return Spectrum.from_eigenvalues(evals, eps=eps)
    rows, columns = shape
    return Spectrum.from_eigenvalues(evals, (rows, columns), slices=count, eps=eps)
