"""Means over the layers of a model, and whether those of two models can be told apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.special

from ..core.as_json import as_json
from ..core.errors import InvalidInput
from .printed import is_number

SCHEMA = 1
#: Two means that errors as large as theirs set apart less often than this are told apart.
LEVEL = 0.05


@dataclass(frozen=True)
class Mean:
    """A mean over layers with its standard error; `count` layers have the number, `geometric` is one of logarithms."""

    column: str
    label: str
    value: float
    error: float
    count: int
    geometric: bool = False

    @property
    def additive(self) -> tuple[float, float]:
        """Mean and standard error where errors add: of a geometric mean, those of the logarithms."""
        return (math.log(self.value), self.error / self.value) if self.geometric else (self.value, self.error)

    def __str__(self) -> str:
        return f"{self.value:.3g} ± {self.error:.2g} over {self.count} layers"


@dataclass(frozen=True)
class Apart:
    """Two means of one column and what their errors say of the difference.

    Attributes
    ----------
    first, second : Mean
    difference, error : float
        First minus second with its standard error; of geometric means, of the logarithms.
    pvalue : float
        Chance of a difference as large between models with the same mean: Welch's test, two-sided.
    """

    first: Mean
    second: Mean
    difference: float
    error: float
    pvalue: float

    @property
    def word(self) -> str:
        """`larger` or `smaller`, what the first is, or `indistinguishable`."""
        if not self.pvalue < LEVEL:
            return "indistinguishable"
        return "larger" if self.difference > 0 else "smaller"

    def __bool__(self) -> bool:
        return self.pvalue < LEVEL

    def to_dict(self) -> dict[str, Any]:
        """Both means, the difference and the word as JSON has them; `schema` counts the versions of this form."""
        return {"schema": SCHEMA, **as_json(asdict(self)), "word": self.word}

    def __str__(self) -> str:
        chance = f"p = {self.pvalue:.2g}" if self.pvalue >= 1e-4 else "p < 1e-4"
        return f"{self.first} and {self.second}: {self.word} ({chance})"


def mean_of(values: Sequence[Any], column: str, label: str, geometric: bool = False) -> Mean | None:
    """The mean of the cells that are numbers with its standard error; None where fewer than two are.

    Examples
    --------
    >>> str(mean_of([2.0, 3.0, 4.0, float("nan")], "tail_alpha", "alpha"))
    '3 ± 0.58 over 3 layers'
    """
    told = np.array([float(value) for value in values if is_number(value)])
    kept = told[np.isfinite(told) & ((told > 0) | (not geometric))]
    if kept.size < 2:
        return None
    kept = np.log(kept) if geometric else kept
    mean, error = float(kept.mean()), float(kept.std(ddof=1) / math.sqrt(kept.size))
    if geometric:
        mean, error = math.exp(mean), math.exp(mean) * error
    return Mean(column, label, mean, error, int(kept.size), geometric)


def told_apart(first: Mean, second: Mean) -> Apart:
    r"""Whether the means of two models differ by more than their errors: Welch's test at a level of .05.

    :math:`t = (m_1 - m_2) / \sqrt{s_1^2 + s_2^2}` with the errors' own degrees of freedom: three layers say less than
    three hundred. Layers count as draws of their model; of two checkpoints of one model the layers are pairs, and their
    differences layer by layer tell more.

    Parameters
    ----------
    first, second : Mean
        Of one column, as `mean_of` or `Summary.means` have them.

    Returns
    -------
    Apart
        True where the means are told apart; `word` says how, and p is NaN where an error is.

    Notes
    -----
    B. L. Welch, Biometrika 34, 28 (1947).

    Examples
    --------
    >>> cool, hot = (mean_of(alphas, "tail_alpha", "alpha") for alphas in ([3.4, 3.9, 3.6], [2.1, 2.4, 2.2]))
    >>> print(told_apart(cool, hot))
    3.63 ± 0.15 over 3 layers and 2.23 ± 0.088 over 3 layers: larger (p = 0.0026)
    >>> bool(told_apart(cool, cool))
    False
    """
    if first.column != second.column or first.geometric != second.geometric:
        raise InvalidInput(
            f"the means of {first.column!r} and {second.column!r} were asked; accepted are two of one column"
        )
    (mean, spread), (other, other_spread) = first.additive, second.additive
    difference, error = mean - other, math.hypot(spread, other_spread)
    if not error > 0:
        pvalue = math.nan if math.isnan(error) else float(difference == 0)
        return Apart(first, second, difference, error, pvalue)
    # In shares of the error: squares of tiny errors would be zero.
    freedom = 1 / sum((s / error) ** 4 / (one.count - 1) for one, s in ((first, spread), (second, other_spread)))
    return Apart(first, second, difference, error, 2 * float(scipy.special.stdtr(freedom, -abs(difference) / error)))
