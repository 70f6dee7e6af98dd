"""The section on what changed between two models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...advice.comparing import compare
from ...advice.comparison import Comparison
from ...core.as_json import as_json
from ...core.printable import visible
from ...results.printed import title
from ...results.record import SKIPPED
from ...results.store import is_store
from .payload import cell, said_name

if TYPE_CHECKING:
    from ...results.results import Results

#: Columns of the section, in their order, and what they mean.
COLUMNS = {
    "d_tail_alpha": "alpha after minus alpha before",
    "d_tail_alpha_error": "half the 90 % interval of that difference; a smaller one cannot be told from none",
    "d_tail_alpha_beyond": "whether alpha moved beyond that",
    "state_change": "states before and after, where they differ",
    "class_change": "kinds of spectrum before and after, where they differ",
    "flags_added": "flags that were not there before",
    "d_delta_lambda_min": "delta after minus delta before",
    "d_q2_norm": "layer quality after minus before",
    "update_norm_share": "size of the update over the size of the layer before",
    "update_rank": "number of directions the update has",
    "update_in_base_ecs": "share of the update inside the ERG tail of the layer before",
}
#: Options with which weights are analysed to be held against results.
SHARED = ("randomize", "seed", "uncertainty", "farms", "quality", "device", "n_jobs", "layouts", "progress")


def comparison_of(results: Results, other: Any) -> Comparison:
    """`other` as it is where it is a comparison, else what changed from it to the results."""
    if isinstance(other, Comparison):
        return other
    has_spectra = hasattr(other, "records") or (isinstance(other, (str, Path)) and is_store(Path(other)))
    asked = {} if has_spectra else {name: getattr(results.options, name) for name in SHARED}
    return compare(other, results, **asked)


def compared_data(comparison: Comparison, results: Results) -> dict[str, Any]:
    """What the section shows; a row says which layer of the page it is, none where it is not there."""
    kept = [record for record in results.records if record.status != SKIPPED]
    places = {(record.longname, record.slice): number for number, record in reversed([*enumerate(kept)])}
    table, summary = comparison.table(), comparison.summary()
    rows = table.to_dict("records")
    shown = [name for name in COLUMNS if name in table]
    layers = [places.get((record.longname, record.slice)) for record in comparison.tuned.records]
    by_name = {(str(row["longname"]), _slice(row)): number for number, row in enumerate(rows)}
    return {
        "names": [said_name(name) for name in comparison.names],
        "rows": len(rows),
        "same": summary.same,
        "counts": summary.counts,
        "changes": [f"{visible(one.mean.label)} {one.told}" for one in summary.changes],
        "sizes": as_json({name: cell(value) for name, value in summary.sizes.items()}),
        "remarks": [visible(remark) for remark in summary.remarks],
        "looks": [[layers[by_name[look.layer, look.slice]], look.title, look.why] for look in summary.look_first],
        "columns": [{"name": name, "meaning": COLUMNS[name]} for name in shown],
        "layers": layers,
        "titles": [title(record.longname, record.slice) for record in comparison.tuned.records],
        "cells": {name: [cell(row[name]) for row in rows] for name in shown},
        "unmatched": _unmatched(comparison.unmatched.to_dict("records")),
    }


def _unmatched(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [[visible(str(row[name])) for name in ("longname", "side", "shape", "reason")] for row in rows]


def _slice(row: Mapping[str, Any]) -> str:
    return row["slice"] if isinstance(row.get("slice"), str) else ""
