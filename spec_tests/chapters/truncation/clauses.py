"""The checks of the chapter's clauses."""

from __future__ import annotations

from dataclasses import replace

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


@checks.add("TRUNC-07", share=0.5, case=matrices(3, 12), count=st.integers(2, 5), share_kept=st.floats(0.05, 0.95))
def cuts_kernel_slices_at_one_singular_value(impl, watch, case: MatrixCase, count: int, share_kept: float):
    # Slices of different size of entries: a cut for each by itself would keep as many of each.
    slices = [replace(case, seed=case.seed + i).W * 2.0**i for i in range(count)]
    n = count * min(case.rows, case.columns)
    rank = min(n - 1, max(1, round(share_kept * n)))
    raw = np.sort(np.concatenate([oracles.singular_value_squares(one) for one in slices]))
    kept = impl.truncate_slices(slices, rank)
    found = np.sort(np.concatenate([oracles.singular_value_squares(one) for one in kept]))
    watch.close("leading ones over the largest", found[-rank:] / raw[-1], raw[-rank:] / raw[-1], tol=1e-12)
    watch.close("the others over the largest", found[:-rank] / raw[-1], 0 * found[:-rank], tol=1e-12)
    lost = sum(float(np.sum((one - cut) ** 2)) for one, cut in zip(slices, kept, strict=True))
    watch.close("squared error over |W|^2", lost / raw.sum(), raw[:-rank].sum() / raw.sum(), tol=1e-12)


@checks.add("TRUNC-08", share=0.15, beta=st.floats(0.01, 1.0) | st.sampled_from([1.0, 0.5, 0.25]))
def hard_threshold_is_exact(impl, watch, beta: float):
    watch.near("omega(beta)", impl.optimal_threshold(beta), oracles.hard_threshold_mpmath(beta), rel=1e-9)
