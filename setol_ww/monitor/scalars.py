"""A row of a history as named numbers, for whatever keeps curves."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

from .history import COLUMNS, TRAP_COLUMNS

PREFIX = "setol"
#: What has no curve of its own.
NOT_SHOWN = ("step", "seconds")


def scalars_of(row: Mapping[str, Any], prefix: str = PREFIX) -> dict[str, float]:
    """`prefix/layer/column` -> number, for the columns of a history that are finite numbers.

    Examples
    --------
    >>> scalars_of({"step": 3, "longname": "fc1", "slice": "", "tail_alpha": 2.5, "q2_norm": float("nan")})
    {'setol/fc1/tail_alpha': 2.5}
    """
    layer = f"{row['longname']}.{row['slice']}" if row["slice"] else row["longname"]
    shown = {name: row.get(name) for name in (*COLUMNS, *TRAP_COLUMNS) if name not in NOT_SHOWN}
    return {
        f"{prefix}/{layer}/{name}": float(value)
        for name, value in shown.items()
        if isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    }
