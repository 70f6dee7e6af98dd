"""setol_ww behind the protocol."""

from __future__ import annotations

from typing import Any

import numpy as np

import setol_ww as ww
from setol_ww import readings, transforms
from setol_ww.analysis import analyze_spectrum
from setol_ww.cuts import optimal_threshold

from ..protocol import Bulk, Cut, Implementation, Meeting, Tail, Traps

# A clause on noise is to fail for a reason, not once in a hundred examples.
TRAP_LEVEL = 1e-4


class SetolWW(Implementation):
    """The package of this project."""

    name = "setol_ww"
    version = ww.__version__
    required = frozenset(
        {
            "eigenvalues",
            "pooled_eigenvalues",
            "matrix_rank",
            "tail_fit",
            "erg_cut",
            "log_det",
            "erg_status",
            "meeting",
            "state",
            "bulk",
            "universality",
            "free_cumulants",
            "moments_from_cumulants",
            "r_transform",
            "integrated_r",
            "quality",
            "quality_series",
            "quality_norm",
            "quality_paper",
            "law",
            "traps",
            "trap_pvalue",
            "trap_elements",
            "remove_traps",
            "truncate",
            "truncate_slices",
            "optimal_threshold",
        }
    )

    def eigenvalues(self, W: np.ndarray) -> np.ndarray:
        return ww.Spectrum.from_matrix(W).raw

    def pooled_eigenvalues(self, matrices: list[np.ndarray]) -> np.ndarray:
        return ww.Spectrum.from_slices(matrices).raw

    def matrix_rank(self, W: np.ndarray) -> int:
        return ww.Spectrum.from_matrix(W).rank

    def tail_fit(self, raw: np.ndarray) -> Tail | None:
        fit = ww.fit_tail(ww.Spectrum.from_eigenvalues(raw))
        return Tail(fit.alpha, fit.sigma, fit.lambda_min_raw, fit.rank, fit.ks) if fit.rank else None

    def erg_cut(self, raw: np.ndarray) -> Cut | None:
        cut = ww.erg_cut(ww.Spectrum.from_eigenvalues(raw))
        return Cut(cut.rank, cut.lambda_min_raw) if cut.rank else None

    def log_det(self, raw: np.ndarray) -> float:
        return ww.erg_cut(ww.Spectrum.from_eigenvalues(raw)).log_det

    def erg_status(self, raw: np.ndarray) -> str:
        return ww.erg_cut(ww.Spectrum.from_eigenvalues(raw)).status.value

    def meeting(self, raw: np.ndarray) -> Meeting:
        result = analyze_spectrum(ww.Spectrum.from_eigenvalues(raw))
        both = result.ecs
        return Meeting(both.delta_lambda_min, both.rank_gap, both.erg_metric, result.erg.alpha)

    def state(self, raw: np.ndarray) -> str:
        return analyze_spectrum(ww.Spectrum.from_eigenvalues(raw)).verdict.state.value

    def bulk(self, raw: np.ndarray, shape: tuple[int, int], slices: int = 1) -> Bulk | None:
        spectrum = ww.Spectrum.from_eigenvalues(raw, shape, slices=slices)
        fit = ww.fit_bulk(spectrum)
        if not fit.N > 0:
            return None
        unit = float(np.mean(raw))
        return Bulk(fit.sigma_raw, fit.lambda_minus * unit, fit.lambda_plus * unit, fit.spikes)

    def universality(self, raw: np.ndarray, shape: tuple[int, int]) -> str:
        result = analyze_spectrum(ww.Spectrum.from_eigenvalues(raw, shape))
        return result.universality.universality_class.value

    def free_cumulants(self, moments: list[float]) -> list[float]:
        return transforms.free_cumulants(moments).tolist()

    def moments_from_cumulants(self, cumulants: list[float]) -> list[float]:
        return transforms.moments_from_cumulants(cumulants).tolist()

    def r_transform(self, t: float, atoms: np.ndarray, weights: np.ndarray | None = None) -> float:
        return float(transforms.r_transform(t, atoms, weights))

    def integrated_r(self, t: float, atoms: np.ndarray, weights: np.ndarray | None = None) -> float:
        return float(transforms.integrated_r(t, atoms, weights))

    def quality(self, x: np.ndarray, N: int) -> float:
        return readings.padded_quality(x, N)

    def quality_series(self, x: np.ndarray) -> float:
        return readings.series_quality(x)

    def quality_norm(self, x: np.ndarray) -> float:
        return readings.normed_quality(x)

    def quality_paper(self, raw: np.ndarray, tail_rank: int) -> float:
        spectrum = ww.Spectrum.from_eigenvalues(raw)
        return readings.figure_24(spectrum, tail_rank)

    def law(self, name: str, *parameters: float) -> Any:
        return getattr(ww.laws, name)(*parameters)

    def traps(self, W: np.ndarray, seed: int) -> Traps:
        report = ww.find_traps(W, seed=seed, level=TRAP_LEVEL)
        return Traps(report.count, report.lambda_max)

    def trap_pvalue(self, W: np.ndarray, seed: int) -> float:
        return ww.find_traps(W, seed=seed).pvalue

    def trap_elements(self, W: np.ndarray, seed: int) -> list[tuple[int, int]]:
        return [(int(row), int(column)) for row, column in ww.find_traps(W, seed=seed, level=TRAP_LEVEL).indices]

    def remove_traps(self, W: np.ndarray, seed: int) -> np.ndarray:
        return ww.remove_traps(W, ww.find_traps(W, seed=seed, level=TRAP_LEVEL))

    def truncate(self, W: np.ndarray, rank: int) -> np.ndarray:
        return ww.truncate({"weight": W}, f"rank:{rank}")["weight"]

    def truncate_slices(self, matrices: list[np.ndarray], rank: int) -> list[np.ndarray]:
        kernel = np.stack(matrices, axis=-1)[..., None]
        cut = ww.truncate({"conv.weight": kernel}, f"rank:{rank}")["conv.weight"]
        return [cut[:, :, position, 0] for position in range(len(matrices))]

    def optimal_threshold(self, beta: float) -> float:
        return optimal_threshold(beta)


def implementation() -> SetolWW:
    """For `SETOL_SPEC_IMPL=setol_ww`."""
    return SetolWW()
