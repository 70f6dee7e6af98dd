"""What a picture is asked to draw: a layer's result or a table of layers, else a refusal that says what would do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...core.arrays import FloatArray
from ...core.errors import InvalidInput
from ...layer.columns import COLUMNS, FARMS_COLUMNS, UNCERTAINTY_COLUMNS
from ...layer.result import LayerResult
from ...results.printed import title
from ...results.results import Results
from ...weights.kinds import Kind, kind_of

_REGISTER = {column.name: column for column in (*COLUMNS, *UNCERTAINTY_COLUMNS, *FARMS_COLUMNS)}


def layer_of(result: Any) -> LayerResult:
    """`result` when it is one layer's, else `InvalidInput`."""
    if not isinstance(result, LayerResult):
        raise InvalidInput(
            f"a picture of {_kind(result)} was asked; accepted is a LayerResult, as setol_ww.analyze_matrix(W) and "
            "results.layer(name) give it"
        )
    return result


def table_of(results: Any) -> pd.DataFrame:
    """The table of `Results`, or a table as it is, of rows that are layers."""
    if isinstance(results, Results):
        results = results.table()
    if not isinstance(results, pd.DataFrame) or "longname" not in results:
        raise InvalidInput(
            f"a picture of {_kind(results)} was asked; accepted are Results, as setol_ww.examine and "
            "setol_ww.open_results give them, and a table of layers with the column longname, as setol_ww.analyze does"
            + ("; several models are several arguments" if isinstance(results, (list, tuple, dict)) else "")
        )
    if "status" in results:
        results = results[results["status"] != "skipped"]
    return results.reset_index(drop=True)


def numbers(frame: pd.DataFrame, column: str, *, needed: bool = True) -> FloatArray:
    """A column as numbers, NaN where a row has none; all NaN where the table lacks it and it is not `needed`.

    Raises
    ------
    InvalidInput
        There is no such column, or it holds words; the numeric ones are told.
    """
    if column not in frame and not needed:
        return np.full(len(frame), np.nan)
    # A table without rows has no types.
    if column not in frame or (len(frame) and not pd.api.types.is_numeric_dtype(frame[column].infer_objects())):
        ours = [one for one in frame if one in _REGISTER and pd.api.types.is_numeric_dtype(frame[one])]
        raise InvalidInput(f"column={column!r} was asked; accepted is one of {', '.join(map(repr, ours))}, ...")
    found = frame[column].to_numpy(dtype=np.float64, copy=True)
    found[~np.isfinite(found)] = np.nan
    return found


def kinds(frame: pd.DataFrame) -> list[Kind]:
    """What each row is for."""
    types = frame["layer_type"] if "layer_type" in frame else [""] * len(frame)
    return [kind_of(str(name), kind) for name, kind in zip(frame["longname"], types)]


def titles(frame: pd.DataFrame) -> list[str]:
    """Name and slice of each row, as they can be shown."""
    parts: Sequence[Any] = frame["slice"] if "slice" in frame else [""] * len(frame)
    return [title(name, part) for name, part in zip(frame["longname"], parts)]


def unit_of(column: str) -> str:
    """The unit of a column of ours; empty for somebody else's."""
    known = _REGISTER.get(column)
    return known.unit if known else ""


def axis_label(column: str) -> str:
    """A column's name with its unit."""
    unit = unit_of(column)
    return f"{column} ({unit})" if unit else column


def meaning(column: str) -> str:
    """What the column is, in the register's words; empty for others."""
    known = _REGISTER.get(column)
    return known.meaning if known else ""


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"
