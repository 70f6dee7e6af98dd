"""Layers that no state and no flag calls for, but whose alpha lies apart from what is usual."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..layer.verdict import IDEAL_ALPHA, UNDER_TRAINED_ALPHA, State, says_no_tail
from .printed import is_number

USUAL = f"{IDEAL_ALPHA:g} to {UNDER_TRAINED_ALPHA:g}"
TOO_FEW = "few eigenvalues"


def apartness(row: Mapping[str, Any]) -> float:
    """How many standard errors alpha lies outside the usual range from 2 to 6; negative inside.

    Minus infinity where alpha says nothing: none, of no heavy tail, of few eigenvalues, or at the ideal point.

    Examples
    --------
    >>> apartness({"tail_alpha": 1.5, "tail_sigma": 0.1}), apartness({"tail_alpha": 5.0, "tail_sigma": 0.5})
    (5.0, -2.0)
    >>> apartness({"tail_alpha": 1.9, "tail_sigma": 0.05, "setol_state": "ideal"})
    -inf
    """
    flags = row.get("setol_flags")
    few = isinstance(flags, str) and TOO_FEW in flags
    ideal = row.get("setol_state") == State.IDEAL.value
    if not is_number(row.get("tail_alpha")) or few or ideal or says_no_tail(row.get("setol_reason")):
        return -math.inf
    alpha, sigma = float(row["tail_alpha"]), row.get("tail_sigma")
    outside = max(IDEAL_ALPHA - alpha, alpha - UNDER_TRAINED_ALPHA)
    return outside / float(sigma) if sigma is not None and is_number(sigma) and sigma > 0 else outside
