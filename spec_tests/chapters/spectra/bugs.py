"""Bugs planted for the chapter's clauses to notice."""

from __future__ import annotations

import math

import numpy as np

from fixtures import oracles
from spec_tests.bug import Bug
from spec_tests.protocol import Implementation


def float32_when_large(self: Implementation, W: np.ndarray) -> np.ndarray:
    return oracles.singular_value_squares(W.astype(np.float32) if W.size > 4000 else W)


def not_squared(self: Implementation, W: np.ndarray) -> np.ndarray:
    return np.sqrt(oracles.singular_value_squares(W))


def rows_and_columns_swapped(self: Implementation, W: np.ndarray) -> np.ndarray:
    return np.sort(np.abs(np.linalg.eigvalsh(W @ W.T if W.shape[0] > W.shape[1] else W.T @ W)))


def divided_by_rows(self: Implementation, W: np.ndarray) -> np.ndarray:
    return oracles.singular_value_squares(W) / W.shape[0]


def float32_gram(self: Implementation, W: np.ndarray) -> np.ndarray:
    small = W.astype(np.float32)
    small = small if small.shape[0] >= small.shape[1] else small.T
    return np.sort(np.abs(np.linalg.eigvalsh(small.T @ small).astype(np.float64)))


def gram_alone(self: Implementation, W: np.ndarray) -> np.ndarray:
    tall = W if W.shape[0] >= W.shape[1] else W.T
    return np.sort(np.abs(np.linalg.eigvalsh(tall.T @ tall)))


def centred_columns(self: Implementation, W: np.ndarray) -> np.ndarray:
    return oracles.singular_value_squares(W - W.mean(axis=0))


def clipped_at_the_edge(self: Implementation, W: np.ndarray) -> np.ndarray:
    edge = np.var(W) * (math.sqrt(W.shape[0]) + math.sqrt(W.shape[1])) ** 2
    return np.minimum(oracles.singular_value_squares(W), edge)


def rank_at_single_precision(self: Implementation, W: np.ndarray) -> int:
    sigma = np.linalg.svd(W, compute_uv=False)
    return int(np.count_nonzero(sigma > 1e-2 * sigma[0]))


def one_slice_only(self: Implementation, matrices: list[np.ndarray]) -> np.ndarray:
    return oracles.singular_value_squares(matrices[0])


def unfolded(self: Implementation, matrices: list[np.ndarray]) -> np.ndarray:
    return oracles.singular_value_squares(np.concatenate(matrices, axis=1))


def summed_slices(self: Implementation, matrices: list[np.ndarray]) -> np.ndarray:
    return np.sort(sum(oracles.singular_value_squares(matrix) for matrix in matrices).repeat(len(matrices)))


def multiplied_as_stored(self: Implementation, W: np.ndarray, dtype: str) -> np.ndarray:
    """The Gram matrix of float16 weights in float16, of others in float32."""
    narrow = np.float16 if dtype == "float16" else np.float32
    tall = (W if W.shape[0] >= W.shape[1] else W.T).astype(narrow)
    return np.sort(np.abs(np.linalg.eigvalsh((tall.T @ tall).astype(np.float64))))


def full_blocks_only(self: Implementation, W: np.ndarray) -> np.ndarray:
    """The rows beyond the last full block of 4096 elements are left out."""
    tall = W if W.shape[0] >= W.shape[1] else W.T
    step = 4096 // tall.shape[1]
    whole = len(tall) // step * step if step else 0
    return oracles.singular_value_squares(tall[:whole] if whole else tall)


def overlapping_blocks(self: Implementation, W: np.ndarray) -> np.ndarray:
    """The row on the border of two blocks of 1000 is in both."""
    tall = W if W.shape[0] >= W.shape[1] else W.T
    parts = [tall[top : top + 1001] for top in range(0, len(tall), 1000)]
    return oracles.singular_value_squares(np.concatenate(parts))


def read_as_it_lies(self: Implementation, W: np.ndarray) -> np.ndarray:
    return oracles.singular_value_squares(W.ravel(order="K").reshape(W.shape))


def scaled_in_place(self: Implementation, W: np.ndarray) -> np.ndarray:
    largest = np.abs(W).max()
    W /= largest
    return oracles.singular_value_squares(W) * largest**2


def rank_at_the_precision_of_the_weights(self: Implementation, W: np.ndarray, dtype: str) -> int:
    eps = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype]
    sigma = np.linalg.svd(W, compute_uv=False)
    return int(np.count_nonzero(sigma > max(W.shape) * eps * sigma[0]))


def zeros_of_a_gram_matrix(self: Implementation, W: np.ndarray, dtype: str) -> np.ndarray:
    return gram_alone(self, W)


BUGS: tuple[Bug, ...] = (
    Bug("float32 for large matrices", "SPEC-09", "eigenvalues", float32_when_large),
    Bug("singular values, not their squares", "SPEC-03", "eigenvalues", not_squared),
    Bug("N and M swapped: the larger Gram matrix", "SPEC-01", "eigenvalues", rows_and_columns_swapped),
    Bug("divided by the number of rows", "SPEC-01", "eigenvalues", divided_by_rows),
    Bug("Gram matrix in float32", "SPEC-01", "eigenvalues", float32_gram),
    Bug("Gram matrix without a fallback for small singular values", "SPEC-06", "eigenvalues", gram_alone),
    Bug("columns centred first", "SPEC-02", "eigenvalues", centred_columns),
    Bug("spikes clipped at the bulk edge", "SPEC-08", "eigenvalues", clipped_at_the_edge),
    Bug("rank counted at one percent", "SPEC-04", "matrix_rank", rank_at_single_precision),
    Bug("one kernel slice instead of all", "SPEC-05", "pooled_eigenvalues", one_slice_only),
    Bug("convolution unfolded instead of pooled", "SPEC-05", "pooled_eigenvalues", unfolded),
    Bug("slices summed instead of pooled", "SPEC-05", "pooled_eigenvalues", summed_slices),
    Bug("half precision multiplied in half precision", "SPEC-10", "stored_eigenvalues", multiplied_as_stored),
    Bug("the last, incomplete block left out", "SPEC-11", "eigenvalues", full_blocks_only),
    Bug("blocks that share a row", "SPEC-11", "eigenvalues", overlapping_blocks),
    Bug("entries read as they lie in memory", "SPEC-12", "eigenvalues", read_as_it_lies),
    Bug("weights scaled in place", "SPEC-12", "eigenvalues", scaled_in_place),
    Bug("rank at the epsilon of the storage type", "SPEC-13", "stored_rank", rank_at_the_precision_of_the_weights),
    Bug("no fallback for the zeros of a stored layer", "SPEC-13", "stored_eigenvalues", zeros_of_a_gram_matrix),
)  # fmt: skip
