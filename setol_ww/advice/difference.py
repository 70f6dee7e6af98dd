"""One table of two: the columns of both, their differences with errors, and the words that changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from ..core.arrays import FloatArray
from ..layer.classes import UniversalityClass
from ..layer.intervals import INFLATION, half_widths
from ..results.printed import flags_in
from ..spectrum.tail import INTERVAL_SIGMAS

BASE, TUNED, DIFFERENCE, ERROR, BEYOND = "_base", "_tuned", "d_", "_error", "_beyond"
#: What names a row or says how large it is; the same on both sides.
IDENTITY = ("longname", "slice", "layer_type", "N", "M", "Q", "rf", "num_evals", "layout")
#: What each side has of its own and no difference is taken of.
OWN = ("tensor", "dtype", "shape", "n_params", "layer_id", "layout_from", "name", "row_origin", "status", "reason")
#: Ends of 90 % intervals, and standard errors with the factor that makes them half of one.
ENDS = {
    "tail_alpha": ("tail_alpha_low", "tail_alpha_high"),
    "delta_lambda_min": ("delta_low", "delta_high"),
    "q2_norm": ("q2_norm_low", "q2_norm_high"),
}
SIGMAS = {
    "tail_alpha": ("tail_sigma", INFLATION * INTERVAL_SIGMAS),
    "alpha": ("sigma", INFLATION * INTERVAL_SIGMAS),
    "farms_alpha": ("farms_sigma", INTERVAL_SIGMAS),
}
#: Words whose change is told, and the column that tells it.
CHANGES = {"setol_state": "state_change", "universality_class": "class_change"}
#: Classes whose alpha is that of a tail; that of others is the edge of a bulk.
HEAVY = tuple(one.value for one in UniversalityClass if one.is_heavy)
FLAGS = "setol_flags"
ARROW = " -> "


def columns_of_both(base: pd.DataFrame, tuned: pd.DataFrame) -> dict[str, Any]:
    """The columns of two tables of the same rows side by side, with differences; see `docs/compare.md`.

    Examples
    --------
    >>> first, second = (pd.DataFrame({"tail_alpha": [alpha], "tail_sigma": [0.1]}) for alpha in (3.0, 2.0))
    >>> found = columns_of_both(first, second)
    >>> [found[f"d_tail_alpha{end}"].tolist()[0] for end in ("", "_beyond")]
    [-1.0, True]
    """
    shared = [name for name in base if name in tuned and name not in IDENTITY]
    numeric = [name for name in shared if name not in OWN and _is_number(base[name]) and _is_number(tuned[name])]
    found: dict[str, Any] = dict(changes(base, tuned))
    for name in numeric:
        found |= _difference(name, base, tuned)
    for suffix, frame in ((BASE, base), (TUNED, tuned)):
        found |= {f"{name}{suffix}": frame[name].to_numpy() for name in shared if name not in ("status", "reason")}
    return found


def _is_number(column: pd.Series) -> bool:
    return bool(is_numeric_dtype(column) and not is_bool_dtype(column))


def _difference(name: str, base: pd.DataFrame, tuned: pd.DataFrame) -> dict[str, Any]:
    with np.errstate(invalid="ignore", over="ignore"):
        moved = tuned[name].to_numpy(float) - base[name].to_numpy(float)
    found: dict[str, Any] = {f"{DIFFERENCE}{name}": moved}
    if name in ENDS or name in SIGMAS:
        error = error_of(name, base, tuned, moved)
        if error is not None:
            found[f"{DIFFERENCE}{name}{ERROR}"] = error
            found[f"{DIFFERENCE}{name}{BEYOND}"] = np.abs(moved) > error
    return found


def error_of(name: str, base: pd.DataFrame, tuned: pd.DataFrame, moved: FloatArray) -> FloatArray | None:
    r"""Half the 90 % interval of each difference on the side of zero; None where there are no errors.

    :math:`\sqrt{a^2 + b^2}` of the half intervals of both models that point at each other, as if the two spectra had
    been drawn independently. Those of a model and of itself a little later were not: the error is on the safe side.
    """
    first, second = sides_of(name, base), sides_of(name, tuned)
    if first is None or second is None:
        return None
    rises = moved > 0
    return np.where(rises, np.hypot(first[1], second[0]), np.hypot(first[0], second[1]))


def sides_of(name: str, frame: pd.DataFrame) -> tuple[FloatArray, FloatArray] | None:
    """Half intervals below and above a column; None where the table has neither ends nor a standard error."""
    sigma, factor = SIGMAS.get(name, ("", 0.0))
    ends = [end for end in ENDS.get(name, ()) if end in frame]
    if sigma not in frame and len(ends) < 2:
        return None
    nothing = np.full(len(frame), np.nan)
    error = factor * frame[sigma].to_numpy(float) if sigma in frame else nothing
    low, high = (frame[end].to_numpy(float) for end in ends) if len(ends) == 2 else (nothing, nothing)
    return half_widths(frame[name].to_numpy(float), error, low, high)


def moved_tails(table: pd.DataFrame) -> list[bool]:
    """For each row of a comparison whether alpha moved beyond its error and is that of a tail, before or after."""
    beyond = _cells(table, f"{DIFFERENCE}tail_alpha{BEYOND}", False)
    classes = [_cells(table, f"universality_class{side}", "") for side in (BASE, TUNED)]
    return [bool(moved) and any(word in HEAVY for word in words) for moved, *words in zip(beyond, *classes)]


def _cells(table: pd.DataFrame, name: str, nothing: Any) -> list[Any]:
    return table[name].tolist() if name in table else [nothing] * len(table)


def changes(base: pd.DataFrame, tuned: pd.DataFrame) -> dict[str, list[str]]:
    """Words that are others than before (`ideal -> over-regularized`), flags that came and went; empty for none."""
    found: dict[str, list[str]] = {}
    for name, column in CHANGES.items():
        if name in base and name in tuned:
            found[column] = [_arrow(one, other) for one, other in zip(base[name], tuned[name])]
    if FLAGS in base and FLAGS in tuned:
        pairs = [(flags_in(one), flags_in(other)) for one, other in zip(base[FLAGS], tuned[FLAGS])]
        found["flags_added"] = [", ".join(flag for flag in after if flag not in before) for before, after in pairs]
        found["flags_removed"] = [", ".join(flag for flag in before if flag not in after) for before, after in pairs]
    return found


def _arrow(one: Any, other: Any) -> str:
    told = isinstance(one, str) and isinstance(other, str)
    return f"{one}{ARROW}{other}" if told and one != other else ""
