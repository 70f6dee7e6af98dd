"""Chapter TRUNC: a matrix on its leading singular directions."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from fixtures import oracles
from spec_tests.runner import checks
from spec_tests.strategies import MatrixCase, matrices

# Close singular values at the cut are where an iterative method has not converged: drawn often, not by luck.
CLOSE = st.builds(MatrixCase, st.just("Gaussian"), st.just(80), st.just(80), st.integers(0, 3))
CASES = {"case": matrices(3, 40) | CLOSE, "share_kept": st.floats(0.05, 0.95)}


def rank_of(case: MatrixCase, share_kept: float) -> int:
    """A rank between one and one less than full."""
    side = min(case.rows, case.columns)
    return min(side - 1, max(1, round(share_kept * side)))


@checks.add("TRUNC-01", **CASES)
def keeps_the_leading_singular_values(impl, watch, case: MatrixCase, share_kept: float):
    rank = rank_of(case, share_kept)
    truth = np.sqrt(oracles.singular_value_squares(case.W))
    got = np.sqrt(oracles.singular_value_squares(impl.truncate(case.W, rank)))
    watch.close(
        "leading singular values over the largest", got[-rank:] / truth[-1], truth[-rank:] / truth[-1], tol=1e-13
    )
    watch.close("the others over the largest", got[:-rank] / truth[-1], 0 * got[:-rank], tol=1e-13)


@checks.add("TRUNC-02", **CASES)
def is_the_nearest_matrix_of_its_rank(impl, watch, case: MatrixCase, share_kept: float):
    rank = rank_of(case, share_kept)
    raw = oracles.singular_value_squares(case.W)
    residue = case.W - impl.truncate(case.W, rank)
    watch.close(
        "squared Frobenius error over |W|^2", np.sum(residue**2) / raw.sum(), raw[:-rank].sum() / raw.sum(), tol=1e-13
    )
    watch.close(
        "spectral error over sigma_1",
        np.linalg.norm(residue, 2) / np.sqrt(raw[-1]),
        np.sqrt(raw[-rank - 1] / raw[-1]),
        tol=1e-13,
    )


@checks.add("TRUNC-03", **CASES)
def splits_the_energy(impl, watch, case: MatrixCase, share_kept: float):
    kept = impl.truncate(case.W, rank_of(case, share_kept))
    whole = np.sum(case.W**2)
    watch.close("kept + lost energy", (np.sum(kept**2) + np.sum((case.W - kept) ** 2)) / whole, 1.0, tol=1e-13)
    watch.at_most(
        "share of directions minus share of energy",
        rank_of(case, share_kept) / min(case.rows, case.columns) - np.sum(kept**2) / whole,
        1e-13,
    )


@checks.add("TRUNC-04", **CASES)
def is_idempotent_at_its_rank(impl, watch, case: MatrixCase, share_kept: float):
    rank = rank_of(case, share_kept)
    once = impl.truncate(case.W, rank)
    scale = np.abs(case.W).max()
    watch.close("twice minus once", impl.truncate(once, rank) / scale, once / scale, tol=1e-10)


@checks.add("TRUNC-05", **CASES)
def commutes_with_transposition(impl, watch, case: MatrixCase, share_kept: float):
    rank, scale = rank_of(case, share_kept), np.abs(case.W).max()
    watch.close("transposed", impl.truncate(case.W.T, rank).T / scale, impl.truncate(case.W, rank) / scale, tol=1e-9)


@checks.add("TRUNC-06", **CASES)
def is_a_projection(impl, watch, case: MatrixCase, share_kept: float):
    kept = impl.truncate(case.W, rank_of(case, share_kept))
    overlap = np.abs(kept.T @ (case.W - kept)).max() / np.sum(case.W**2)
    watch.close("kept^T lost over |W|^2", overlap, 0.0, tol=1e-13)
