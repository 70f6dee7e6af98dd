"""Bugs planted for the chapter's clauses to notice."""

from __future__ import annotations

import math

import numpy as np

from spec_tests.bug import Bug, kept_directions
from spec_tests.protocol import Implementation


def keeps_the_smallest(self: Implementation, W: np.ndarray, rank: int) -> np.ndarray:
    return kept_directions(W, lambda sigma: np.where(np.arange(sigma.size) >= sigma.size - rank, sigma, 0))


def one_too_many(self: Implementation, W: np.ndarray, rank: int) -> np.ndarray:
    return kept_directions(W, lambda sigma: np.where(np.arange(sigma.size) <= rank, sigma, 0))


def keeps_the_norm(self: Implementation, W: np.ndarray, rank: int) -> np.ndarray:
    kept = kept_directions(W, lambda sigma: np.where(np.arange(sigma.size) < rank, sigma, 0))
    return kept * np.linalg.norm(W) / np.linalg.norm(kept)


def soft_threshold(self: Implementation, W: np.ndarray, rank: int) -> np.ndarray:
    return kept_directions(W, lambda sigma: np.maximum(sigma - sigma[rank], 0))


def rows_of_a_tall_matrix(self: Implementation, W: np.ndarray, rank: int) -> np.ndarray:
    """The leading directions of the first rows stand for those of the whole."""
    right = np.linalg.svd(W[: min(W.shape)], full_matrices=False)[2]
    return W @ right[:rank].T @ right[:rank]


def not_orthonormal(self: Implementation, W: np.ndarray, rank: int) -> np.ndarray:
    return kept_directions(W, lambda sigma: np.where(np.arange(sigma.size) < rank, 1.01 * sigma, 0))


def one_less_when_rank_deficient(self: Implementation, W: np.ndarray, rank: int) -> np.ndarray:
    less = int(np.linalg.matrix_rank(W, tol=1e-9 * np.linalg.norm(W, 2)) < min(W.shape))
    return kept_directions(W, lambda sigma: np.where(np.arange(sigma.size) < rank - less, sigma, 0))


def as_many_of_each(self: Implementation, matrices: list[np.ndarray], rank: int) -> list[np.ndarray]:
    each = max(1, round(rank / len(matrices)))
    return [kept_directions(one, lambda sigma: np.where(np.arange(sigma.size) < each, sigma, 0)) for one in matrices]


def unfolded_and_cut(self: Implementation, matrices: list[np.ndarray], rank: int) -> list[np.ndarray]:
    side_by_side = np.concatenate(matrices, axis=1)
    kept = kept_directions(side_by_side, lambda sigma: np.where(np.arange(sigma.size) < rank, sigma, 0))
    return np.split(kept, len(matrices), axis=1)


def cubic_threshold(self: Implementation, beta: float) -> float:
    return 0.56 * beta**3 - 0.95 * beta**2 + 1.82 * beta + 1.43


def threshold_of_known_noise(self: Implementation, beta: float) -> float:
    return math.sqrt(2 * (beta + 1) + 8 * beta / (beta + 1 + math.sqrt(beta**2 + 14 * beta + 1)))


BUGS: tuple[Bug, ...] = (
    Bug("the smallest singular values kept", "TRUNC-01", "truncate", keeps_the_smallest),
    Bug("off by one in the rank", "TRUNC-01", "truncate", one_too_many),
    Bug("truncation rescaled to the old norm", "TRUNC-03", "truncate", keeps_the_norm),
    Bug("soft instead of hard threshold", "TRUNC-02", "truncate", soft_threshold),
    Bug("the same projection whatever the orientation", "TRUNC-05", "truncate", rows_of_a_tall_matrix),
    Bug("projected by vectors that are not orthonormal", "TRUNC-06", "truncate", not_orthonormal),
    Bug("truncated again at another rank", "TRUNC-04", "truncate", one_less_when_rank_deficient),
    Bug("every kernel slice cut at its own rank", "TRUNC-07", "truncate_slices", as_many_of_each),
    Bug("kernel slices unfolded before they are cut", "TRUNC-07", "truncate_slices", unfolded_and_cut),
    Bug("the cubic approximation of the hard threshold", "TRUNC-08", "optimal_threshold", cubic_threshold),
    Bug("the hard threshold for known noise", "TRUNC-08", "optimal_threshold", threshold_of_known_noise),
)  # fmt: skip
