"""The slow and obvious computations of `fixtures/` behind the protocol: the suite's own target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fixtures import bulk as bulk_oracle
from fixtures import free_probability, oracles, updates, windows
from fixtures import traps as trap_oracle

from ..protocol import Bulk, Cut, Files, Implementation, Meeting, Moved, Row, Tail, Traps, Windows
from .oracle_laws import LAWS


class Oracle(Implementation):
    """Full SVDs, 40-digit sums, brute-force scans, enumerated partitions, bisection."""

    name = "oracle"
    version = "fixtures"

    def eigenvalues(self, W: np.ndarray) -> np.ndarray:
        return oracles.singular_value_squares(W)

    def pooled_eigenvalues(self, matrices: list[np.ndarray]) -> np.ndarray:
        return np.sort(np.concatenate([oracles.singular_value_squares(matrix) for matrix in matrices]))

    def matrix_rank(self, W: np.ndarray) -> int:
        return int(np.linalg.matrix_rank(W))

    def tail_fit(self, raw: np.ndarray) -> Tail | None:
        positive = np.sort(raw[raw > 1e-24 * np.max(raw, initial=0)])
        if positive.size < 2 or positive[-1] <= positive[0] * (1 + 1e-12):
            return None
        scan = oracles.power_law_scan(positive)
        return Tail(scan.alpha, scan.sigma, scan.lambda_min, scan.rank, scan.ks)

    def erg_cut(self, raw: np.ndarray) -> Cut | None:
        truth = oracles.erg_cut_mpmath(raw)
        if not truth.rank:
            return None
        return Cut(truth.rank, float(np.sort(raw)[-truth.rank]))

    def log_det(self, raw: np.ndarray) -> float:
        return oracles.erg_cut_mpmath(raw).log_det

    def erg_status(self, raw: np.ndarray) -> str:
        return oracles.erg_cut_mpmath(raw).status

    def meeting(self, raw: np.ndarray) -> Meeting:
        tail, cut = self.tail_fit(raw), self.erg_cut(raw)
        if tail is None or cut is None:
            return Meeting(math.nan, math.nan, math.nan, math.nan)
        x = np.sort(raw)[::-1] / np.mean(raw)
        spread = np.sum(np.log(x[: cut.rank] / x[cut.rank - 1]))
        return Meeting(
            (tail.lambda_min - cut.lambda_min) / np.mean(raw),
            cut.rank - tail.rank,
            float(np.mean(np.log(x[: tail.rank]))),
            1 + cut.rank / spread if spread > 0 else math.nan,
        )

    def bulk(self, raw: np.ndarray, shape: tuple[int, int], slices: int = 1) -> Bulk | None:
        largest = np.max(raw, initial=0)
        positive = raw[raw > 1e-24 * largest]
        if positive.size < 4 or positive.max() <= positive.min() * (1 + 1e-12):
            return None
        fit = bulk_oracle.bulk_by_distance(raw, max(shape), min(shape), slices)
        return Bulk(fit.sigma, fit.lambda_minus, fit.lambda_plus, fit.spikes)

    def free_cumulants(self, moments: list[float]) -> list[float]:
        return free_probability.free_cumulants_by_enumeration(moments)

    def moments_from_cumulants(self, cumulants: list[float]) -> list[float]:
        return free_probability.moments_by_enumeration(cumulants)

    def r_transform(self, t: float, atoms: np.ndarray, weights: np.ndarray | None = None) -> float:
        return float(free_probability.r_transform_bisection(t, atoms, weights))

    def integrated_r(self, t: float, atoms: np.ndarray, weights: np.ndarray | None = None) -> float:
        return float(free_probability.integrated_r_closed(t, atoms, weights))

    def law(self, name: str, *parameters: float) -> Any:
        return LAWS[name](*parameters)

    def quality(self, x: np.ndarray, N: int) -> float:
        # Forty digits cost a minute beyond some dozens of eigenvalues.
        exact = free_probability.quality_exact if len(x) <= 24 else free_probability.quality_by_roots
        return float(exact(x, N))

    def quality_series(self, x: np.ndarray) -> float:
        return float(free_probability.q2_series5(x))

    def quality_norm(self, x: np.ndarray) -> float:
        return free_probability.quality_by_roots(x, divisor=len(x))

    def quality_paper(self, raw: np.ndarray, tail_rank: int) -> float:
        return free_probability.figure_24(raw, tail_rank)

    def traps(self, W: np.ndarray, seed: int) -> Traps:
        shuffled = trap_oracle.shuffle(W, seed)
        return Traps(trap_oracle.count_traps(W, seed), float(oracles.singular_value_squares(shuffled)[-1]))

    def truncate(self, W: np.ndarray, rank: int) -> np.ndarray:
        left, sigma, right = np.linalg.svd(W, full_matrices=False)
        return (left[:, :rank] * sigma[:rank]) @ right[:rank]

    def truncate_slices(self, matrices: list[np.ndarray], rank: int) -> list[np.ndarray]:
        rows, columns = matrices[0].shape
        whole = self.truncate(oracles.block_diagonal(matrices), rank)
        return [whole[i * rows : (i + 1) * rows, i * columns : (i + 1) * columns].copy() for i in range(len(matrices))]

    def optimal_threshold(self, beta: float) -> float:
        return oracles.hard_threshold_mpmath(beta)

    def stored_eigenvalues(self, W: np.ndarray, dtype: str) -> np.ndarray:
        return oracles.singular_value_squares(W)

    def stored_rank(self, W: np.ndarray, dtype: str) -> int:
        return self.matrix_rank(W)

    def scan(self, files: Files) -> list[Row]:
        rows = {name: _row(name, W) for tensors in files for name, W in tensors.items() if W.ndim == 2}
        return [rows[name] for name in sorted(rows)]

    def scan_shards(self, files: Files, n: int) -> tuple[list[list[Row]], list[Row]]:
        matrices = {name: W for tensors in files for name, W in tensors.items() if W.ndim == 2}
        parts = [{name: _row(name, matrices[name]) for name in sorted(matrices)[i::n]} for i in range(n)]
        merged = {name: row for part in parts for name, row in part.items()}
        return [list(part.values()) for part in parts], [merged[name] for name in sorted(merged)]

    def scan_resumed(self, files: Files, after: int) -> tuple[list[Row], list[Row]]:
        matrices = {name: W for tensors in files for name, W in tensors.items() if W.ndim == 2}
        kept: dict[str, Row] = {}

        def go_on(most: float) -> list[Row]:
            for name in sorted(matrices.keys() - kept.keys()):
                if len(kept) >= most:
                    break
                kept[name] = _row(name, matrices[name])
            return [kept[name] for name in sorted(kept)]

        return go_on(after), go_on(math.inf)

    def analyzed(self, weights: Mapping[str, np.ndarray], workers: int) -> list[Row]:
        return self.scan([dict(weights)])

    def window_tail(self, W: np.ndarray, Q: float, side: int) -> Windows | None:
        pooled = windows.pooled_windows(W, Q, side)
        tail = self.tail_fit(pooled.raw)
        return None if tail is None else Windows(tail.alpha, tail.rank, pooled.count, pooled.rows, pooled.columns)

    def update(self, base: list[np.ndarray], tuned: list[np.ndarray]) -> Moved:
        first, second = (oracles.block_diagonal(one) for one in (base, tuned))
        if np.array_equal(first, second):
            return Moved(0.0, 0, *3 * [math.nan], 1.0, 1.0, 0.0, 0.0)
        found = updates.place(first, second, updates.erg_rank(base), updates.erg_rank(tuned))
        share = float(np.linalg.norm(second - first) / np.linalg.norm(first))
        sigma = np.linalg.svd(second - first, compute_uv=False)
        floor = 1e-13 * np.linalg.norm(first, 2)
        return Moved.of(found, Moved(share, int(np.sum(sigma > floor)), *7 * [math.nan]))

    def update_stored(self, base: np.ndarray, tuned: np.ndarray, dtype: str) -> int:
        first, second = (updates.rounded(one, dtype) for one in (base, tuned))
        sigma = np.linalg.svd(second - first, compute_uv=False)
        # The rounding itself, once more and of the exact matrices.
        errors = (updates.rounded(one, dtype) - one for one in (base, tuned))
        return int(np.sum(sigma > sum(np.linalg.norm(error, 2) for error in errors)))


def _row(name: str, W: np.ndarray) -> Row:
    """Sum and largest of the eigenvalues, or why there are none."""
    sound = W.size and W.dtype.kind == "f" and np.isfinite(W).all()
    raw = oracles.singular_value_squares(W) if sound else np.array([math.nan])
    numbers = {"norm": float(raw.sum()), "lambda_max": float(raw[-1])}
    return Row(name, "" if sound else f"no spectrum of {W.shape} {W.dtype} as it stands", numbers)


def implementation() -> Oracle:
    """For `SETOL_SPEC_IMPL=oracle`."""
    return Oracle()
