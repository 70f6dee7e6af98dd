"""Kept results held against each other: rows of one layer, part and size, in one order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..core.errors import InvalidInput
from ..results.record import SKIPPED, LayerRecord
from ..results.results import Results
from .fused import Layer, Pieces
from .matching import IN_PARTS, NO_SUCH, Unmatched

#: What spectra that are kept can still be asked.
ASKED_OF_KEPT = ("detX", "quality", "uncertainty", "seed", "progress")
SIZE = ("N", "M")
CUT_OTHERWISE = "the {} results have this layer in other parts; accepted are results made under the same layouts"


def settled(results: Results, asked: Mapping[str, Any]) -> Results:
    """The results under other options, as far as kept spectra serve them."""
    refused = [name for name in asked if name not in ASKED_OF_KEPT]
    if refused:
        raise InvalidInput(
            f"{refused[0]}={asked[refused[0]]!r} was asked of two kept results; accepted are "
            f"{', '.join(ASKED_OF_KEPT)}; for the rest give the weights"
        )
    options = results.options.changed(**{name: value for name, value in asked.items() if name != "progress"})
    return Results(results.records, options, results.about, results.notes, results.form)


def aligned(base: Results, tuned: Results) -> tuple[Results, Results, tuple[Unmatched, ...], tuple[str, ...]]:
    """The rows that both have, at the same places; those that one has alone; what was done to names."""
    called = [list(dict.fromkeys(record.longname for record in one.records)) for one in (base, tuned)]
    layers = [[_layer(record) for record in one.records] for one in (base, tuned)]
    pieces = Pieces.of(called[0], called[1], layers[0], layers[1])
    names = pieces.names
    theirs = {(record.longname, record.slice): record for record in tuned.records}
    theirs_called = {record.longname for record in tuned.records}
    pairs: list[tuple[LayerRecord, LayerRecord]] = []
    unmatched: list[Unmatched] = []
    for record in base.records:
        piece = pieces.partner(record.longname, record.slice)
        key = (names.partners.get(record.longname, ""), record.slice) if piece is None else (piece.name, piece.label)
        other = theirs.get(key)
        side, reason = _why_not(record, other, cut_otherwise=key[0] in theirs_called)
        if pieces.has_parts(record.longname, record.slice):
            reason = IN_PARTS.format("tuned")
        if other is None or reason:
            unmatched.append(_unmatched(record, side, reason))
        else:
            pairs.append((record, other))
        if other is not None:
            del theirs[key]
    ours_called = {*names.partners.values(), *pieces.tensors}
    for record in theirs.values():
        in_parts = record.longname in pieces.tensors and not record.slice
        missing = IN_PARTS if in_parts else CUT_OTHERWISE if record.longname in ours_called else NO_SUCH
        reason = record.reason if record.status == SKIPPED else missing.format("base")
        unmatched.append(_unmatched(record, "tuned", reason))
    first, second = (
        one.of([replace(pair[side], position=place) for place, pair in enumerate(pairs)])
        for side, one in enumerate((base, tuned))
    )
    return first, second, tuple(unmatched), pieces.remarks


def _layer(record: LayerRecord) -> Layer:
    """A spectrum is that of the transpose too: any slice is what it would be on its own."""
    return Layer(record.longname, record.slice, bool(record.slice) and record.status != SKIPPED, record)


def _why_not(record: LayerRecord, other: LayerRecord | None, *, cut_otherwise: bool) -> tuple[str, str]:
    if record.status == SKIPPED:
        return "base", record.reason
    if other is None:
        return "base", (CUT_OTHERWISE if cut_otherwise else NO_SUCH).format("tuned")
    if other.status == SKIPPED:
        return "tuned", other.reason
    sizes = [" x ".join(str(one.identity.get(name)) for name in SIZE) for one in (record, other)]
    known = all(one.spectrum is not None for one in (record, other))
    if known and sizes[0] != sizes[1]:
        return "both", f"its size is {sizes[0]} in the base and {sizes[1]} in the tuned model"
    return "", ""


def _unmatched(record: LayerRecord, side: str, reason: str) -> Unmatched:
    return Unmatched(record.title, side, str(record.identity.get("shape") or ""), reason)
