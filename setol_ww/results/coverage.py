"""What became of every tensor, read off the records of its rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .record import ANALYZED, FAILED, SKIPPED, LayerRecord

COVERAGE_COLUMNS = ("longname", "shape", "dtype", "n_params", "status", "reason")


class Told(list):
    """Rows of a coverage that hang on a table (`attrs["coverage"]`): never copied, so that they weigh nothing.

    pandas copies what hangs on a table for every row that is looked at: 13 s for a text table of 2 000 rows.
    """

    def __copy__(self) -> Told:
        return self

    def __deepcopy__(self, memo: Any) -> Told:
        return self


def coverage_of(records: Iterable[LayerRecord]) -> list[dict[str, Any]]:
    """One row a tensor: failed where any part of it failed, analysed where any part was."""
    tensors: dict[str, list[LayerRecord]] = {}
    for record in records:
        tensors.setdefault(record.tensor, []).append(record)
    return [_row(name, found) for name, found in tensors.items()]


def _row(name: str, records: list[LayerRecord]) -> dict[str, Any]:
    first = records[0].identity
    shape = shape_of(first.get("shape"))
    failed = [record for record in records if record.status == FAILED]
    done = [record for record in records if record.status == ANALYZED]
    if failed:
        share = "" if len(failed) == len(records) else f"{len(failed)} of {len(records)} slices: "
        status, reason = FAILED, share + "; ".join(dict.fromkeys(record.reason for record in failed))
    else:
        told = done or records
        status = ANALYZED if done else SKIPPED
        reason = "; ".join(dict.fromkeys(record.reason for record in told if record.reason))
    n_params = math.prod(shape) if shape else first.get("n_params", math.nan)
    facts = (name, shape, first.get("dtype", ""), n_params, status, reason)
    return dict(zip(COVERAGE_COLUMNS, facts))


def shape_of(told: Any) -> tuple[int, ...]:
    """`"60 x 40"` or a sequence as a tuple; empty where nothing is told."""
    if isinstance(told, str):
        return tuple(int(side) for side in told.split(" x ")) if told else ()
    return tuple(told or ())
