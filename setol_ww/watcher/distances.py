"""Distances of the layers of two models, paired by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from ..core.boundary import attempt
from ..core.errors import InvalidInput
from ..results.findings import frame_of
from ..weights.plan import Job
from .numerics import bad_entries
from .questions import Rows

METHODS = ("raw", "euclidean", "cka")
NO_BIAS = "unknown"
COLUMNS = ("layer_id", "method", "name", "delta_W", "delta_b", "M", "N", "b_shape", "longname")
BEHIND = ("slice", "row_origin", "reason")
NOTHING = {"delta_W": np.nan, "delta_b": np.nan, "b_shape": NO_BIAS}


def distances_of(first: Rows, second: Rows, method: str, layers: Any) -> tuple[float, float, pd.DataFrame]:
    """Mean distances of weights and of biases, and the rows behind them."""
    others = {job.title: job for job in second.jobs()}
    jobs = {job.position: job for job in first.jobs(layers)}
    rows = []
    for record in first.walk(list(jobs.values())).records():
        if not record.has_row or record.job is None:
            continue
        other, layer = others.get(record.job.title), record.ww_layer
        known = {name: layer.get_row().get(name) for name in ("layer_id", "name", "longname", "slice_id")}
        row = {
            **known,
            "method": method,
            "slice": record.label,
            "row_origin": record.origin,
            "M": layer.M,
            "N": layer.N,
            **NOTHING,
        }
        rows.append({**row, **_distance(record, second, other, method)})
        layer.weights, layer.Wmats = None, []
    sliced = ("slice_id",) if any(row["slice_id"] is not None for row in rows) else ()
    frame = frame_of(rows, [*COLUMNS, *sliced, *BEHIND], ("b_shape",))
    frame.index = pd.Index(frame.pop("layer_id"), name="layer_id")
    # weightwatcher's means are over its own rows.
    counted = [row for row in rows if row["row_origin"] == "weightwatcher"] or rows
    return _mean(row["delta_W"] for row in counted), _mean(row["delta_b"] for row in counted), frame


def _distance(record: Any, second: Rows, other: Job | None, method: str) -> dict[str, Any]:
    """What the two layers differ by, or why that cannot be said."""
    title = record.job.title
    if other is None:
        return {"reason": f"layer {title}: the other model has none of that name"}
    if other.shape != record.job.shape:
        here, there = (" x ".join(map(str, shape)) for shape in (record.job.shape, other.shape))
        return {"reason": f"layer {title}: its shape is {here}, in the other model {there}"}
    if record.failure:
        return {"reason": record.failure}
    found = attempt(title, "no distance", lambda: _measured(record.ww_layer, _twin(record, second, other), method))
    return {"reason": found.reason, **(found.value or {})}


def _twin(record: Any, second: Rows, other: Job) -> Any:
    """The same row of the other model: the same slice where a convolution is taken apart."""
    number = getattr(record.ww_layer, "slice_id", 0) or 0
    same = [one for one in second.walk([other]).records() if (getattr(one.ww_layer, "slice_id", 0) or 0) == number]
    if not same or same[0].failure:
        why = f": {same[0].failure}" if same else ""
        raise InvalidInput(f"the other model's {other.title} cannot be read{why}")
    return same[0].ww_layer


def _measured(mine: Any, theirs: Any, method: str) -> dict[str, Any]:
    for layer, whose in ((mine, "its matrices"), (theirs, "those of the other model")):
        bad = bad_entries(layer.Wmats)
        if bad:
            raise InvalidInput(f"{whose} have {bad}")
    if method != "raw" or mine.weights is None:
        over = [_of_matrices(one, other, method) for one, other in zip(mine.Wmats, theirs.Wmats, strict=True)]
        whole = float(np.sqrt(np.sum(np.square(over)))) if method == "raw" else float(np.mean(over))
        return {"delta_W": whole, "delta_b": 0.0}
    _, ours, _, our_bias = mine.get_weights_and_biases()
    _, others, _, other_bias = theirs.get_weights_and_biases()
    # weightwatcher's sizes of a tensor are its longest and its shortest side, a kernel's too.
    sizes = {"M": min(ours.shape), "N": max(ours.shape), "delta_W": _of_matrices(ours, others, method), "delta_b": 0.0}
    if our_bias is None or other_bias is None or len(our_bias) != len(other_bias):
        return sizes
    return {**sizes, "b_shape": len(our_bias), "delta_b": _of_matrices(our_bias, other_bias, method)}


def _of_matrices(one: Any, other: Any, method: str) -> float:
    if method != "cka":
        return float(np.linalg.norm(one - other))
    norm = np.sqrt(np.linalg.norm(one.T @ one) * np.linalg.norm(other @ other.T))
    return float(np.linalg.norm(one.T @ other) / (norm if norm >= 1e-6 else norm + 1e-6))


def _mean(values: Iterable[float]) -> float:
    found = [value for value in values if np.isfinite(value)]
    return float(np.mean(found)) if found else float("nan")
