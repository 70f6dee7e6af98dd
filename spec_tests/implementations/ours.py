"""setol_ww behind the protocol."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

import setol_ww as ww
from setol_ww import transforms
from setol_ww.layer import quality as readings
from setol_ww.layer.result import analyze_spectrum
from setol_ww.layer.weightwatcher_columns import SIZES
from setol_ww.results.store import Store
from setol_ww.spectrum.starts import median_hill
from setol_ww.truncation.rules import optimal_threshold

from ..protocol import Bulk, Cut, Files, Implementation, Meeting, Moved, Row, Tail, Traps, Windows

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
            "stored_eigenvalues",
            "stored_rank",
            "scan",
            "scan_shards",
            "scan_resumed",
            "analyzed",
            "window_tail",
            "update",
            "update_stored",
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

    def matrix_class(self, W: np.ndarray) -> str:
        return ww.analyze_matrix(W).universality.universality_class.value

    def alpha_interval(self, raw: np.ndarray, seed: int) -> tuple[float, float]:
        fit = ww.fit_tail(ww.Spectrum.from_eigenvalues(raw), uncertainty=60, seed=seed)
        return fit.alpha_low, fit.alpha_high

    def median_hill(self, raw: np.ndarray) -> float:
        return median_hill(raw)

    def trap_carriers(self, W: np.ndarray, seed: int) -> list[str]:
        return [trap.carrier for trap in ww.find_traps(W, seed=seed).traps]

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

    def stored_eigenvalues(self, W: np.ndarray, dtype: str) -> np.ndarray:
        return ww.Spectrum.from_matrix(_stored(W, dtype)).raw

    def stored_rank(self, W: np.ndarray, dtype: str) -> int:
        return ww.Spectrum.from_matrix(_stored(W, dtype)).rank

    def scan(self, files: Files) -> list[Row]:
        with _checkpoint(files) as folder:
            return _rows(ww.scan(folder))

    def scan_shards(self, files: Files, n: int) -> tuple[list[list[Row]], list[Row]]:
        with _checkpoint(files) as folder:
            results = [folder / f"{i}.sqlite" for i in range(n)]
            parts = [_rows(ww.scan(folder, out, shard=(i, n))) for i, out in enumerate(results)]
            return parts, _rows(ww.merge_scans(results))

    def scan_resumed(self, files: Files, after: int) -> tuple[list[Row], list[Row]]:
        add_all = Store.add_all

        def broken_off(store: Store, records: Any) -> None:
            for record in records:
                if store.count == after:
                    raise KeyboardInterrupt
                add_all(store, [record])

        with _checkpoint(files) as folder:
            out = folder / "rows.sqlite"
            with mock.patch.object(Store, "add_all", broken_off), contextlib.suppress(KeyboardInterrupt):
                ww.scan(folder, out)
            return _rows(ww.merge_scans(out, partial=True)), _rows(ww.scan(folder, out))

    def analyzed(self, weights: Mapping[str, np.ndarray], workers: int) -> list[Row]:
        return analyzed(weights, workers)

    def window_tail(self, W: np.ndarray, Q: float, side: int) -> Windows | None:
        fit = ww.fit_submatrices(W, Q=Q, side=side, max_windows=W.size)
        return Windows(fit.alpha, fit.rank, fit.windows, fit.rows, fit.columns) if fit.rank else None

    def update(self, base: list[np.ndarray], tuned: list[np.ndarray]) -> Moved:
        base, tuned = (np.stack(one, axis=-1)[..., None] if len(one) > 1 else one[0] for one in (base, tuned))
        row = compared(base, tuned)
        names = ("update_in_base_ecs", "update_in_base_ecs_left", "update_in_base_ecs_right")
        turned = ("ecs_overlap_left", "ecs_overlap_right", "ecs_angle_left", "ecs_angle_right")
        return Moved(row["update_norm_share"], int(row["update_rank"]), *(row[name] for name in (*names, *turned)))

    def update_stored(self, base: np.ndarray, tuned: np.ndarray, dtype: str) -> int:
        return int(compared(_stored(base, dtype), _stored(tuned, dtype))["update_rank"])


def compared(base: Any, tuned: Any) -> Any:
    """The one row of a comparison."""
    return ww.compare({"conv.weight": base}, {"conv.weight": tuned}, progress=False).table().iloc[0]


def analyzed(weights: Mapping[str, np.ndarray], workers: int, seed: int = 0) -> list[Row]:
    """Rows of `analyze` with as many threads; BLAS with threads of its own would let one of them work at a time."""
    with threadpool_limits(1, user_api="blas"):
        frame = ww.analyze(dict(weights), randomize=True, n_jobs=workers, seed=seed)
    return [
        Row(
            f"{row['longname']}.weight",
            row["reason"] if row["status"] == "failed" else "",
            _numbers(row),
        )
        for row in frame.drop(columns="layer_id").to_dict("records")
    ]


def _stored(W: np.ndarray, dtype: str) -> Any:
    import torch

    return torch.from_numpy(W).to(getattr(torch, dtype))


@contextlib.contextmanager
def _checkpoint(files: Files) -> Iterator[Path]:
    """A folder with these files in it for as long as it is asked."""
    from safetensors.numpy import save_file

    with tempfile.TemporaryDirectory() as folder:
        for number, tensors in enumerate(files, start=1):
            # safetensors writes the bytes of a transposed view as they lie.
            as_they_are = {name: np.ascontiguousarray(W) for name, W in tensors.items()}
            save_file(as_they_are, Path(folder) / f"model-{number}.safetensors")
        yield Path(folder)


def _rows(frame: pd.DataFrame) -> list[Row]:
    """Every number but those that are known before a weight is read. The type of a column is that of all rows, and so
    says nothing of one: cells are looked at."""
    cells = frame.drop(columns=[*SIZES, "layer_id", "n_params"]).to_dict("records")
    return [
        Row(
            row["tensor"],
            "" if row["status"] == "analyzed" else row["reason"],
            _numbers(row),
        )
        for row in cells
    ]


def _numbers(cells: dict[str, Any]) -> dict[str, float]:
    """NaN for the two that every row is to have, where it has none."""
    nothing = {"norm": math.nan, "lambda_max": math.nan}
    return nothing | {name: float(x) for name, x in cells.items() if _is_number(x)}


def _is_number(cell: Any) -> bool:
    return isinstance(cell, (int, float)) and not isinstance(cell, bool) and not math.isnan(cell)


def implementation() -> SetolWW:
    """For `SETOL_SPEC_IMPL=setol_ww`."""
    return SetolWW()
