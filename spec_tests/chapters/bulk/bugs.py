"""Bugs planted for the chapter's clauses to notice."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from spec_tests.bug import Bug
from spec_tests.protocol import Bulk, Implementation, chosen


def _bulk_with(change: Callable[[Bulk, np.ndarray, tuple[int, int]], dict[str, float]]) -> Callable[..., Bulk | None]:
    def broken(self: Implementation, raw: np.ndarray, shape: tuple[int, int], slices: int = 1) -> Bulk | None:
        fit = chosen("setol_ww").bulk(raw, shape, slices)
        return None if fit is None else Bulk(**{**vars(fit), **change(fit, raw, shape)})

    return broken


def _beyond(raw: np.ndarray, edge: float) -> int:
    return int(np.count_nonzero(raw > edge))


def variance_of_all_entries(fit: Bulk, raw: np.ndarray, shape: tuple[int, int]) -> dict[str, float]:
    """Spikes inflate the noise they are judged by."""
    variance = raw.sum() / math.prod(shape)
    edge = variance * (math.sqrt(shape[0]) + math.sqrt(shape[1])) ** 2
    return {"sigma": math.sqrt(variance), "lambda_plus": edge, "spikes": _beyond(raw, 1.05 * edge)}


def spikes_above_the_bare_edge(fit: Bulk, raw: np.ndarray, shape: tuple[int, int]) -> dict[str, float]:
    return {"spikes": _beyond(raw, fit.lambda_plus)}


def quarter_circle_edge(fit: Bulk, raw: np.ndarray, shape: tuple[int, int]) -> dict[str, float]:
    """The lower edge of a square layer for every layer."""
    return {"lambda_minus": 0.0}


def edge_without_sigma(fit: Bulk, raw: np.ndarray, shape: tuple[int, int]) -> dict[str, float]:
    return {"lambda_plus": (math.sqrt(shape[0]) + math.sqrt(shape[1])) ** 2}


def sigma_over_the_columns(fit: Bulk, raw: np.ndarray, shape: tuple[int, int]) -> dict[str, float]:
    return {"sigma": fit.sigma * math.sqrt(max(shape) / min(shape))}


def all_columns_alive(fit: Bulk, raw: np.ndarray, shape: tuple[int, int]) -> dict[str, float]:
    return {"sigma": math.sqrt(raw.sum() / math.prod(shape))}


def subcritical_spikes(fit: Bulk, raw: np.ndarray, shape: tuple[int, int]) -> dict[str, float]:
    return {"spikes": _beyond(raw, 0.9 * fit.lambda_plus)}


def one_slice_of_all(self: Implementation, raw: np.ndarray, shape: tuple[int, int], slices: int = 1) -> Bulk | None:
    return chosen("setol_ww").bulk(raw[:: slices or 1][: min(shape)], shape)


def bulk_of_everything(self: Implementation, raw: np.ndarray, shape: tuple[int, int], slices: int = 1) -> Bulk:
    fit = chosen("setol_ww").bulk(raw, shape, slices)
    return Bulk(0.0, 0.0, 0.0, 0) if fit is None else fit


BUGS: tuple[Bug, ...] = (
    Bug("sigma of the bulk from the variance of all entries", "BULK-04", "bulk", _bulk_with(variance_of_all_entries)),
    Bug("spikes masked by the variance they inflate", "BULK-03", "bulk", _bulk_with(variance_of_all_entries)),
    Bug("no Tracy-Widom fluctuation at the edge", "BULK-02", "bulk", _bulk_with(spikes_above_the_bare_edge)),
    Bug("lower edge 0 for rectangular layers", "BULK-04", "bulk", _bulk_with(quarter_circle_edge)),
    Bug("edge of unit variance", "BULK-05", "bulk", _bulk_with(edge_without_sigma)),
    Bug("sigma by the smaller side", "BULK-01", "bulk", _bulk_with(sigma_over_the_columns)),
    Bug("dead columns in the variance", "BULK-07", "bulk", _bulk_with(all_columns_alive)),
    Bug("one slice for all", "BULK-08", "bulk", one_slice_of_all),
    Bug("a bulk of zeros for a zero layer", "BULK-06", "bulk", bulk_of_everything),
    Bug("signals below the threshold counted", "BULK-09", "bulk", _bulk_with(subcritical_spikes)),
)  # fmt: skip
