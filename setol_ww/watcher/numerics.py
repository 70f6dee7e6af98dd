"""The same numbers as weightwatcher's, by Gram matrices and a pruned scan."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..contracts import FloatArray
from ..spectrum import Spectrum, eigenvalues
from ..tails import best_start
from .upstream import rooms

# weightwatcher's own constants: below the threshold an eigenvalue is dropped, below the count it fits differently.
THRESHOLD = 1e-5
FIT_MIN = 20
PLAIN_FIT = {
    "xmin": (None, -1),
    "xmax": (None, False),
    "plot": (False,),
    "fix_fingers": (None, False),
    "fit_type": ("power_law",),
    "pl_package": ("ww",),
    "sample": (False,),
}


def pooled_eigenvalues(matrices: list[np.ndarray], N: int, n_comp: int) -> tuple[FloatArray, float, float, int]:
    """What `combined_eigenvalues` returns: eigenvalues, largest and (as it counts) smallest sigma, rank loss."""
    pooled, largest, smallest, rank_loss = [], 0.0, 0.0, 0
    for matrix in matrices:
        values = eigenvalues(matrix)[-n_comp:]
        singular = np.sqrt(values)
        pooled.append(values)
        largest, smallest = max(largest, singular[-1]), max(smallest, singular[0])
        rank_loss += rooms.calc_rank_loss(singular, N)
    return np.sort(np.concatenate(pooled)), np.float64(largest), np.float64(smallest), rank_loss


def shuffled_eigenvalues(matrices: list[np.ndarray], n_comp: int, num_replicas: int) -> FloatArray:
    """Eigenvalues of element-wise shuffles, drawn in the order in which weightwatcher draws them."""
    pooled = []
    for _ in range(num_replicas):
        for matrix in matrices:
            shuffled = matrix.flatten()
            np.random.shuffle(shuffled)
            pooled.append(eigenvalues(shuffled.reshape(matrix.shape))[-n_comp:])
    return np.sort(np.concatenate(pooled))


def default_fit(evals: np.ndarray, args: tuple, kwargs: dict[str, Any]) -> tuple | None:
    """What `fit_powerlaw` returns by default, or None where weightwatcher would take another way."""
    if args or any(kwargs.get(name, accepted[0]) not in accepted for name, accepted in PLAIN_FIT.items()):
        return None
    kept = evals[evals > THRESHOLD]
    if kept.size < FIT_MIN:
        return None
    log_x = np.log(kept)
    # Equal neighbours enter weightwatcher's scan one by one and divide by zero at the top: left to weightwatcher.
    if np.min(np.diff(log_x)) <= 1e-13:
        return None
    start = best_start(log_x, np.arange(kept.size - 1))
    n = kept.size - start
    rate = n / (log_x[start:].sum() - n * log_x[start])
    law = 1 - (kept[start:] / kept[start]) ** -rate
    distance = np.max(np.abs(law - np.arange(float(n)) / n))
    spikes = int(np.count_nonzero(evals >= kept[start]))
    alpha = 1 + rate
    warning = "over-trained" if alpha < 2 else "under-trained" if alpha > 6 else ""
    return alpha, -1, kept[start], kept[-1], distance, rate / np.sqrt(n), spikes, 0, -1, "success", warning


def bad_entries(matrices: list[np.ndarray]) -> str:
    """How many entries are NaN or infinite, as words; empty when none is."""
    if all(np.isfinite(np.sum(matrix, dtype=np.float64)) for matrix in matrices):
        return ""
    nan = sum(int(np.isnan(matrix).sum()) for matrix in matrices)
    infinite = sum(int(np.isinf(matrix).sum()) for matrix in matrices)
    size = sum(matrix.size for matrix in matrices)
    return f"{nan} NaN and {infinite} Inf among its {size} entries" if nan or infinite else ""


def spectrum_of(ww_layer: Any, eps: float) -> Spectrum:
    """The eigenvalues weightwatcher has computed, with the shape of the matrices they came from."""
    evals, count = ww_layer.evals, len(ww_layer.Wmats)
    shape = ww_layer.Wmats[0].shape
    if len(shape) != 2 or min(shape) * count != len(evals):
        return Spectrum.from_eigenvalues(evals, eps=eps)
    rows, columns = shape
    return Spectrum.from_eigenvalues(evals, (rows, columns), slices=count, eps=eps)
