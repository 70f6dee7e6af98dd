"""Results as the data of the page: plain values for JSON, nothing computed but thinned and rounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from ...core.as_json import as_json
from ...core.printable import visible
from ...layer import columns as register
from ...layer.flags import MEANINGS
from ...results.apart import apartness
from ...results.glosses import MEANS
from ...results.printed import is_number, title
from ...results.record import SKIPPED, LayerRecord
from ...results.summary import Look, Summary
from ...weights.kinds import kind_of
from ..palette import STATES
from . import words
from .curves import curves_of

if TYPE_CHECKING:
    from ...results.results import Results

SCHEMA = 1
DIGITS = 5
#: Layers that are shown with a picture before anything else.
SHOWN_FIRST = 3
#: Columns that are open when the page is, in their order; the layer itself stands before them.
LEADING = (
    *("setol_state", "tail_alpha", "tail_sigma", "erg_rank", "erg_fraction", "delta_lambda_min", "q2_norm"),
    *("universality_class", "setol_flags", "N", "M"),
)
#: Columns that stand in the page in other ways.
TOLD_ELSEWHERE = ("longname", "slice", "setol_reason", "name", "has_esd")
#: File names that many models bear; the folder says which.
SAYS_NOTHING = ("model", "pytorch_model", "adapter_model", "consolidated", "weights", "checkpoint", "best", "last")
IDENTITY, THEIRS = "layer", "WeightWatcher"
ABOUT_LAYERS = {
    "layer_id": "number of the layer, as WeightWatcher counts",
    "layer_type": "type of the layer",
    "N": "larger side of the matrix",
    "M": "smaller side of the matrix",
    "Q": "N / M",
    "rf": "number of kernel slices that are pooled",
    "num_evals": "number of eigenvalues",
    "dtype": "type in which the weights are stored",
    "shape": "shape of the tensor",
    "n_params": "number of weights",
    "tensor": "name of the tensor in the file",
    "layout": "how the tensor was cut into matrices",
    "layout_from": "how that is known",
    "row_origin": "which rows of the tensor",
    "status": "analyzed or failed",
    "reason": "why it failed, or a remark",
}


def page_data(results: Results) -> dict[str, Any]:
    """Everything that the page shows of results."""
    kept = results.of(record for record in results.records if record.status != SKIPPED)
    table = kept.table(detX=True)
    rows = table.to_dict("records")
    summary = results.summary()
    shown = [name for name in table.columns if name not in TOLD_ELSEWHERE]
    return {
        "schema": SCHEMA,
        "name": name_of(results),
        "summary": summary_data(summary),
        "looks": looks_data(summary, rows),
        "columns": [column_data(name) for name in shown],
        "leading": [name for name in LEADING if name in shown],
        "cells": {name: [cell(row[name]) for row in rows] for name in shown},
        "titles": [title(record.longname, record.slice) for record in kept.records],
        "reasons": [visible(said) if isinstance(said := row.get("setol_reason"), str) else "" for row in rows],
        "kinds": [kind_of(record.longname, _word(record.identity.get("layer_type"))).value for record in kept.records],
        **steps_data(rows),
        "curves": [_curves(record) for record in kept.records],
        "coverage": coverage_data(results),
        "provenance": provenance(results),
        "glossary": words.GLOSSARY,
        "states": states_data(),
        "flags": MEANINGS,
        "classes": words.CLASSES,
    }


def name_of(results: Results) -> str:
    """What was analysed."""
    return said_name(str(results.about.get("source") or results.about.get("path") or ""))


def said_name(told: str) -> str:
    """The name of a model without the folders it lies in, which are nobody's business.

    >>> said_name("/weights/llama/model.safetensors"), said_name("/weights/net.pt")
    ('llama/model.safetensors', 'net.pt')
    """
    parts = PurePath(told).parts
    if not parts or told in ("dict", "builtins.dict"):
        return "a model in memory"
    return visible("/".join(parts[-2:] if parts[-1].startswith(SAYS_NOTHING) else parts[-1:]))


def summary_data(summary: Summary) -> dict[str, Any]:
    """Counts with what the words mean, and means."""
    return as_json(
        {
            "analyzed": summary.analyzed,
            "rows": summary.rows,
            "failed": summary.failed,
            "skipped": summary.skipped,
            "missing": summary.missing,
            "share": summary.share,
            "states": summary.states,
            "classes": summary.classes,
            "flags": summary.flags,
            "means": [
                {"label": mean.label, "value": mean.value, "error": mean.error, "meaning": MEANS.get(mean.column, "")}
                for mean in summary.means
            ],
            "concerns": len(summary.look_first),
        }
    )


def looks_data(summary: Summary, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Which layers to look at and why; where few call for it, those whose alpha is furthest out of the usual range."""
    places = {(str(row["longname"]), _slice(row)): number for number, row in reversed([*enumerate(rows)])}
    asked: list[tuple[int, Look | None]] = [
        (places[look.layer, look.slice], look) for look in summary.look_first if (look.layer, look.slice) in places
    ]
    taken = {place for place, _ in asked}
    others = [n for n, row in enumerate(rows) if n not in taken and is_number(row.get("tail_alpha"))]
    others.sort(key=lambda n: -apartness(rows[n]))
    asked += [(n, None) for n in others[: max(0, SHOWN_FIRST - len(asked))]]
    looks = [{"layer": place, "why": "" if look is None else look.why} for place, look in asked]
    for told, (place, look) in zip(looks[:SHOWN_FIRST], asked):
        row = rows[place]
        told |= {
            "calls": look is not None,
            "headline": words.headline(row, look),
            "because": words.because(row, look),
            "also": words.quiet_flags(row),
        }
    return looks


def states_data() -> dict[str, dict[str, str]]:
    """Each state: what it means, what to do next, and its mark."""
    return {
        state.value: {"meaning": state.meaning, "next": state.next_step, "mark": mark.word}
        for state, (_, mark) in STATES.items()
    }


def steps_data(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What to do next, each sentence once, and which of them is for which layer."""
    told = [words.next_step(row) for row in rows]
    steps = list(dict.fromkeys(told))
    return {"steps": steps, "step": [steps.index(said) for said in told]}


def column_data(name: str) -> dict[str, Any]:
    """What the register says of a column."""
    found = _REGISTERED.get(name)
    if found is not None:
        told = (found.group, found.unit, found.meaning, found.source)
    elif name in ABOUT_LAYERS:
        told = (IDENTITY, "", ABOUT_LAYERS[name], "")
    else:
        told = (THEIRS, "", "WeightWatcher's own column", "WeightWatcher 0.7.7")
    return dict(zip(("name", "group", "unit", "meaning", "source"), (name, *told)))


_REGISTERED = {
    column.name: column
    for column in (*register.COLUMNS, *register.UNCERTAINTY_COLUMNS, *register.FARMS_COLUMNS, register.DETX_ERROR)
}


def cell(value: Any) -> Any:
    """A value with five digits where it is a number; null for one that is none; text as it can be shown.

    >>> cell(1 / 3), cell(12), cell(float("nan")), cell("a\\u202eb")
    (0.33333, 12, None, 'a\\\\u202eb')
    """
    plain = as_json(value)
    if isinstance(plain, float):
        return int(plain) if plain.is_integer() and abs(plain) < 1e15 else float(f"{plain:.{DIGITS}g}")
    if isinstance(plain, (list, dict)):
        return visible(str(plain))
    return visible(plain) if isinstance(plain, str) else plain


def coverage_data(results: Results) -> list[list[Any]]:
    """What became of every tensor: name, shape, type, number of weights, status, reason."""
    return [
        [
            title(row["longname"]),
            " x ".join(map(str, row["shape"])),
            cell(row["dtype"]),
            cell(row["n_params"]),
            row["status"],
            visible(str(row["reason"])),
        ]
        for row in results.coverage_rows
    ]


def provenance(results: Results) -> list[list[str]]:
    """How it was made: versions, options, fingerprint."""
    options = results.options.as_dict()
    told = [
        ("analysed", name_of(results)),
        ("fingerprint of the weights", results.fingerprint or "none: they did not come from a file"),
        *((name, str(version)) for name, version in results.versions.items()),
        ("options", ", ".join(f"{name}={value!r}" for name, value in options.items())),
    ]
    return [[name, visible(value)] for name, value in told]


def _curves(record: LayerRecord) -> dict[str, Any] | None:
    return None if record.spectrum is None else curves_of(record.spectrum)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _slice(row: Mapping[str, Any]) -> str:
    return row["slice"] if isinstance(row.get("slice"), str) else ""
