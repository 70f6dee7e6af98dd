"""The checks of the chapter's clauses."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from fixtures import ensembles, oracles
from fixtures import matrices as planted
from spec_tests.runner import checks
from spec_tests.strategies import FEWEST, INDEPENDENT_ENTRIES, SCALES, SEEDS, MatrixCase, matrices

DEGENERATE = ("zero", "rank one", "constant", "orthogonal", "zero rows")


@checks.add("SPEC-01", case=matrices())
def agrees_with_svd(impl, watch, case: MatrixCase):
    truth = oracles.singular_value_squares(case.W)
    got = impl.eigenvalues(case.W)
    watch.equal("number of eigenvalues", len(got), min(case.rows, case.columns))
    watch.close("eigenvalues over the largest", got / truth[-1], truth / truth[-1], tol=1e-12)


@checks.add("SPEC-02", case=matrices(2), seed=SEEDS)
def sees_singular_values_only(impl, watch, case: MatrixCase, seed: int):
    W, rng = case.W, np.random.default_rng(seed)
    truth = impl.eigenvalues(W)
    left, _ = np.linalg.qr(rng.normal(size=(case.rows, case.rows)))
    right, _ = np.linalg.qr(rng.normal(size=(case.columns, case.columns)))
    for what, other in (
        ("transpose", W.T),
        ("rows permuted", rng.permutation(W, axis=0)),
        ("columns permuted", rng.permutation(W, axis=1)),
        ("sign", -W),
        ("rotated", left @ W @ right),
    ):
        watch.close(
            f"{what}: eigenvalues over the largest", impl.eigenvalues(other) / truth[-1], truth / truth[-1], tol=1e-12
        )


@checks.add("SPEC-03", case=matrices(), scale=SCALES)
def scales_with_the_square(impl, watch, case: MatrixCase, scale: float):
    got = impl.eigenvalues(scale * case.W) / scale**2
    truth = impl.eigenvalues(case.W)
    watch.close("eigenvalues over the largest", got / truth[-1], truth / truth[-1], tol=1e-12)


@checks.add("SPEC-04", rank=st.integers(1, 12), extra=st.integers(0, 20), seed=SEEDS, scale=SCALES)
def counts_the_rank(impl, watch, rank: int, extra: int, seed: int, scale: float):
    rows, columns = 40, rank + extra
    graded = scale * ensembles.gaussian_matrix(rows, rank, seed) * np.logspace(0, -4, rank)
    W = graded @ ensembles.gaussian_matrix(rank, columns, seed + 1)
    watch.equal("rank", impl.matrix_rank(W), rank)
    watch.at_most("smallest non-zero over largest", -impl.eigenvalues(W)[-rank], 0)
    zeros = impl.eigenvalues(W)[: min(rows, columns) - rank]
    watch.at_most(
        "largest of the zeros over the largest", float(np.max(zeros, initial=0) / impl.eigenvalues(W)[-1]), 1e-24
    )


@checks.add("SPEC-05", count=st.integers(1, 9), rows=st.integers(2, 12), columns=st.integers(2, 12), seed=SEEDS)
def pools_slices_as_a_block_diagonal(impl, watch, count: int, rows: int, columns: int, seed: int):
    rows, columns = max(rows, columns), min(rows, columns)
    slices = [ensembles.gaussian_matrix(rows, columns, seed + i) for i in range(count)]
    block = np.zeros((count * rows, count * columns))
    for i, matrix in enumerate(slices):
        block[i * rows : (i + 1) * rows, i * columns : (i + 1) * columns] = matrix
    truth, got = oracles.singular_value_squares(block), impl.pooled_eigenvalues(slices)
    watch.equal("number of eigenvalues", len(got), count * columns)
    watch.close("eigenvalues over their mean", got / got.mean(), truth / truth.mean(), tol=1e-11)


@checks.add("SPEC-06")
def resolves_twelve_decades(impl, watch):
    sigma = 10.0 ** -np.arange(12)
    W = ensembles.matrix_with_eigenvalues(sigma**2, 40, seed=0)
    watch.close(
        "log10 of the singular values", np.log10(np.sqrt(impl.eigenvalues(W)[::-1])), -np.arange(12.0), tol=1e-3
    )


@checks.add("SPEC-07", q=st.sampled_from([1.0, 0.5, 0.25]), seed=st.integers(0, 50), share=0.2)
def marchenko_pastur_edges(impl, watch, q: float, seed: int):
    columns = 300
    rows = round(columns / q)
    raw = impl.eigenvalues(ensembles.gaussian_matrix(rows, columns, seed)) / rows
    lower, upper = (1 - np.sqrt(q)) ** 2, (1 + np.sqrt(q)) ** 2
    width = (np.sqrt(rows) + np.sqrt(columns)) * (1 / np.sqrt(rows) + 1 / np.sqrt(columns)) ** (1 / 3) / rows
    watch.close("largest eigenvalue in Tracy-Widom widths", (raw[-1] - upper) / width, -1.2, tol=5.5)
    watch.close("smallest eigenvalue", raw[0], lower, tol=max(6 * width, 0.06 * lower))
    watch.close("mean", raw.mean(), 1.0, tol=6 * np.sqrt(2 / (rows * columns)))


@checks.add(
    "SPEC-08",
    theta=st.sampled_from([0.3, 1.5, 4.0]),
    kind=st.sampled_from(["covariance", "signal"]),
    seed=st.integers(0, 50),
    share=0.3,
)
def spikes_stand_where_bbp_says(impl, watch, theta: float, kind: str, seed: int):
    plant = planted.covariance_spike if kind == "covariance" else planted.signal_spike
    W, truth = plant(900, 300, theta, seed)
    largest = impl.eigenvalues(W)[-1] / 900
    watch.equal("the spike is an outlier", truth.is_outlier, theta > truth.threshold)
    if truth.is_outlier:
        watch.near("largest eigenvalue", largest, truth.location, rel=0.25)
        watch.that(largest > truth.edge * 1.02, f"the spike at {largest:.3f} is not above the edge {truth.edge:.3f}")
    else:
        watch.near("largest eigenvalue: the edge", largest, truth.edge, rel=0.06)


@checks.add(
    "SPEC-09",
    shape=st.sampled_from([(400, 150), (150, 400), (300, 300), (3000, 70)]),
    seed=st.integers(0, 50),
    share=0.2,
)
def agrees_with_svd_at_layer_sizes(impl, watch, shape, seed: int):
    W = ensembles.gaussian_matrix(*shape, seed)
    truth = oracles.singular_value_squares(W)
    watch.close("eigenvalues over the largest", impl.eigenvalues(W) / truth[-1], truth / truth[-1], tol=1e-13)


STORED = st.sampled_from(["float32", "float16", "bfloat16"])


def held(W: np.ndarray, dtype: str) -> np.ndarray:
    """W over its largest entry, rounded to values that `dtype` holds exactly; bfloat16 is half a float32."""
    W = (W / np.abs(W).max()).astype(np.float32)
    if dtype == "bfloat16":
        return (W.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32).astype(np.float64)
    return W.astype(dtype).astype(np.float64)


@checks.add("SPEC-10", case=matrices(FEWEST), dtype=STORED)
def storage_rounds_weights_alone(impl, watch, case: MatrixCase, dtype: str):
    W = held(case.W, dtype)
    truth, got = oracles.singular_value_squares(W), impl.stored_eigenvalues(W, dtype)
    watch.close(f"eigenvalues in {dtype} over the largest", got / truth[-1], truth / truth[-1], tol=1e-12)


@checks.add(
    "SPEC-11",
    columns=st.integers(2, 6),
    power=st.sampled_from([20, 19, 18, 17, 16, 14, 12, 10]),
    more=st.integers(-1, 1),
    turned=st.booleans(),
    seed=st.integers(0, 50),
)
def every_row_counts_once(impl, watch, columns: int, power: int, more: int, turned: bool, seed: int):
    W = ensembles.gaussian_matrix(2**power // columns + more, columns, seed)
    truth, got = oracles.singular_value_squares(W), impl.eigenvalues(W.T if turned else W)
    watch.close("eigenvalues over the largest", got / truth[-1], truth / truth[-1], tol=1e-12)


def layouts(W: np.ndarray) -> dict[str, np.ndarray]:
    """The same matrix in other places of memory."""
    rows, columns = W.shape
    apart = np.full((2 * rows, 3 * columns), np.nan)
    apart[::2, 1::3] = W
    read_only = W.copy()
    read_only.flags.writeable = False
    return {
        "columns first": np.asfortranarray(W),
        "a transposed view": W.T.copy().T,
        "backwards": W[::-1, ::-1].copy()[::-1, ::-1],
        "every second row and third column of an array": apart[::2, 1::3],
        "read-only": read_only,
    }


@checks.add("SPEC-12", case=matrices(2, 60, (*INDEPENDENT_ENTRIES, "inverse Marchenko-Pastur")))
def sees_no_memory(impl, watch, case: MatrixCase):
    W = case.W.copy()
    truth = impl.eigenvalues(W)
    watch.that(bool((W == case.W).all()), "the matrix that was given has changed")
    for what, other in layouts(W).items():
        got = impl.eigenvalues(other)
        watch.close(f"{what}: eigenvalues over the largest", got / truth[-1], truth / truth[-1], tol=1e-13)
        watch.that(bool((other == W).all()), f"{what}: the matrix that was given has changed")


@checks.add(
    "SPEC-13",
    columns=st.integers(FEWEST, 32),
    share_of_rank=st.floats(0.05, 1),
    kind=st.sampled_from(["Gaussian", "inverse Marchenko-Pastur"]),
    dtype=STORED,
    turned=st.booleans(),
    seed=SEEDS,
)
def keeps_the_rank_as_stored(
    impl, watch, columns: int, share_of_rank: float, kind: str, dtype: str, turned: bool, seed
):
    rank = max(1, int(share_of_rank * columns))
    W = held(MatrixCase(kind, 40, rank, seed).W, dtype)
    W = W[:, np.arange(columns) % rank]
    W = W.T if turned else W
    watch.equal(f"rank in {dtype}", impl.stored_rank(W, dtype), rank)
    raw = impl.stored_eigenvalues(W, dtype)
    watch.equal("number of eigenvalues", len(raw), columns)
    watch.at_most(
        "largest of the zeros over the largest", float(np.max(raw[: columns - rank], initial=0) / raw[-1]), 1e-24
    )
