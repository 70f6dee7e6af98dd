"""The checks of the chapter's clauses."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from fixtures import ensembles, oracles, windows
from spec_tests.protocol import Windows
from spec_tests.runner import checks
from spec_tests.strategies import SCALES, SEEDS, MatrixCase, matrices

CASES = {
    "case": matrices(3, 16, ("Gaussian", "Pareto 3", "inverse Marchenko-Pastur")),
    "Q": st.sampled_from([1.0, 1.5, 2.5, 3.0]),
    "side": st.integers(2, 20),
}


def answered(impl, watch, W: np.ndarray, Q: float, side: int) -> Windows:
    """The answer where there has to be one."""
    found = impl.window_tail(W, Q, side)
    watch.that(found is not None, "there is no tail")
    return found


def same_tail(watch, what: str, got: Windows, want: Windows) -> None:
    """Counts exactly, alpha to the rounding of the smallest eigenvalues."""
    for name in ("count", "rows", "columns", "rank"):
        watch.equal(f"{what}: {name}", getattr(got, name), getattr(want, name))
    watch.near(f"{what}: alpha", got.alpha, want.alpha, rel=1e-9)


@checks.add("FARMS-01", **CASES)
def all_windows_are_pooled(impl, watch, case: MatrixCase, Q: float, side: int):
    truth = windows.pooled_windows(case.W, Q, side)
    tail = oracles.power_law_scan(truth.raw)
    found = answered(impl, watch, case.W, Q, side)
    same_tail(watch, "windows", found, Windows(tail.alpha, tail.rank, truth.count, truth.rows, truth.columns))
    if truth.count == 1:
        whole = impl.tail_fit(impl.eigenvalues(case.W))
        same_tail(watch, "one window", found, Windows(whole.alpha, whole.rank, 1, truth.rows, truth.columns))


@checks.add("FARMS-02", scale=SCALES, **CASES)
def sees_neither_scale_nor_orientation(impl, watch, case: MatrixCase, Q: float, side: int, scale: float):
    found = answered(impl, watch, case.W, Q, side)
    same_tail(watch, f"times {scale}", answered(impl, watch, -scale * case.W, Q, side), found)
    # A square matrix has no longer side for windows that have one.
    if case.rows != case.columns or Q == 1:
        same_tail(watch, "transposed", answered(impl, watch, case.W.T, Q, side), found)


@checks.add(
    "FARMS-03",
    down=st.integers(1, 3),
    across=st.integers(1, 3),
    side=st.integers(2, 10),
    fifths=st.integers(7, 25),
    seed=SEEDS,
)
def every_eigenvalue_is_pooled(impl, watch, down: int, across: int, side: int, fifths: int, seed: int):
    count = down * across
    raw = ensembles.power_law_quantiles(count * side, fifths / 5)
    blocks = [ensembles.matrix_with_eigenvalues(raw[i::count], side, seed + i) for i in range(count)]
    W = np.block([blocks[i * across : (i + 1) * across] for i in range(down)])
    alpha = 1 + raw.size / float(np.sum(np.log(raw / raw[0])))
    same_tail(watch, "blocks", answered(impl, watch, W, 1.0, side), Windows(alpha, count * side, count, side, side))
