"""What TempBalance and AlphaDecay share: median-Hill exponents of the layers, mapped to factors of a base value."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from ..core.checks import is_finite, one_of, positive_integer
from ..core.errors import InvalidInput
from ..results.results import Results
from ..spectrum.starts import median_hill
from .candidates import Candidate, tensors_of, titles
from .maps import MAPS
from .registry import Draft

#: Places that `keep_base` knows beside names.
PLACES = ("first", "last")


def advise(
    results: Results,
    column: str,
    *,
    base: float,
    low: float,
    high: float,
    mapping: str,
    position: float,
    min_evals: int,
    keep_base: Sequence[str],
) -> Draft:
    """A factor of each layer times the base value."""
    if not is_finite(base) or not base > 0:
        raise InvalidInput(f"base={base!r} was asked; accepted is a number above 0")
    if not is_finite(low, high) or not 0 <= low <= high:
        raise InvalidInput(f"low={low!r}, high={high!r} was asked; accepted is 0 <= low <= high")
    one_of("mapping", mapping, tuple(MAPS))
    if not is_finite(position) or not position > 1:
        raise InvalidInput(f"position={position!r} was asked; accepted is a number above 1")
    candidates = tensors_of(results)
    alphas = [candidate.mean(lambda spectrum: _alpha(spectrum, position)) for candidate in candidates]
    reasons = _kept_at_base(candidates, keep_base, positive_integer("min_evals", min_evals))
    for place, alpha in enumerate(alphas):
        if not reasons[place] and not np.isfinite(alpha):
            reasons[place] = "alpha_hill is not defined for its eigenvalues"
    judged = np.array([not reason for reason in reasons])
    factors = np.ones(len(candidates))
    factors[judged] = MAPS[mapping](np.array(alphas)[judged], low, high)
    rows = [
        {
            "longname": candidate.longname,
            "slice": "",
            "tensor": candidate.tensor,
            "n_params": candidate.n_params,
            "num_evals": candidate.num_evals,
            "alpha_hill": alpha,
            "factor": float(factor),
            column: base * float(factor),
            "reason": reason,
        }
        for candidate, alpha, factor, reason in zip(candidates, alphas, factors, reasons)
    ]
    return Draft(rows, notes=tuple(_notes(np.array(alphas)[judged], candidates)))


def _alpha(spectrum: Any, position: float) -> float:
    return median_hill(spectrum.above_rounding.values, position)


def _kept_at_base(candidates: list[Candidate], keep_base: Sequence[str], min_evals: int) -> list[str]:
    """Why each candidate keeps the base value; empty where its alpha decides."""
    asked = [keep_base] if isinstance(keep_base, str) else keep_base
    if not isinstance(asked, (list, tuple, set, frozenset)) or not all(isinstance(word, str) for word in asked):
        raise InvalidInput(f"keep_base={keep_base!r} was asked; accepted are 'first', 'last' and names or patterns")
    layers = [candidate for candidate in candidates if not (candidate.is_embedding or candidate.is_bare)]
    ends = {"first": layers[:1], "last": layers[-1:]}
    reasons = []
    for candidate in candidates:
        said = [f"the {place} layer" for place in PLACES if place in asked and candidate in ends[place]]
        if candidate.is_embedding:
            said = ["an embedding, which the method does not read"]
        elif any(fnmatchcase(name, word) for word in asked for name in (candidate.title, candidate.tensor)):
            said = ["asked to keep the base value"]
        elif not said and candidate.failure:
            said = [candidate.failure]
        elif not said and candidate.num_evals < min_evals:
            said = [f"{candidate.num_evals} eigenvalues, fewer than {min_evals}"]
        reasons.append("".join(said[:1]))
    unknown = [word for word in asked if word not in PLACES and "asked to keep the base value" not in reasons]
    if unknown:
        raise InvalidInput(
            f"keep_base={keep_base!r} was asked; nothing is called {unknown[0]!r}. Accepted are 'first', 'last' and "
            f"names or patterns of layers: {titles(candidates)}"
        )
    return reasons


def _notes(alphas: np.ndarray, candidates: list[Candidate]) -> list[str]:
    said = []
    if alphas.size == 0:
        said.append("no layer is left to be judged by its alpha: every layer keeps the base value")
    elif not np.ptp(alphas) > 0:
        said.append(
            "one layer is left to be judged: there is nothing to compare its alpha with, and it keeps the base value"
            if alphas.size == 1
            else "all alphas are equal and tell no layer from another: every layer keeps the base value"
        )
    bare = [candidate for candidate in candidates if candidate.is_bare]
    if bare:
        said.append(f"no weights of a Linear or a convolution, which is all that the authors read: {titles(bare)}")
    sliced = [candidate for candidate in candidates if len(candidate.records) > 1]
    if sliced:
        said.append(f"the mean alpha of the slices stands for the whole tensor of {titles(sliced)}")
    return said
