r"""A learning rate for each layer, as TempBalance sets it.

:math:`\eta_i = \eta\,[s_1 + (s_2 - s_1)(\alpha_i - \min\alpha)/(\max\alpha - \min\alpha)]`, alpha by Hill's formula
above the median eigenvalue, s1 = 0.5 and s2 = 1.5 (Zhou et al., Temperature Balancing, NeurIPS 2023; `tempbalance.py`,
MIT). The first and the last layer and those of fewer than 50 eigenvalues keep the base rate. The mean rate is not kept:
it moves with the spread of the alphas. The authors read the alphas after every epoch and multiply the rate of their
schedule.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..results.results import Results
from .by_alpha import advise as by_alpha
from .evidence import READOUT
from .registry import Draft, Target

COLUMN = "learning_rate"


def advise(
    results: Results,
    *,
    base: float = 0.1,
    low: float = 0.5,
    high: float = 1.5,
    mapping: str = "linear",
    position: float = 2.0,
    min_evals: int = 50,
    keep_base: Sequence[str] = ("first", "last"),
) -> Draft:
    """Rates.

    Parameters
    ----------
    results : Results
    base : float
        The rate that the factors multiply: the present one of a schedule. 0.1 is the authors' start.
    low, high : float
        Factors of the smallest and the largest alpha.
    mapping : str
        `linear`; `sqrt`, `log2` (mean factor 1) or `step` (by rank).
    position : float
        The tail starts at eigenvalue int(N / position).
    min_evals : int
        A layer with fewer keeps the base rate.
    keep_base : sequence of str
        `first`, `last` (in the order of the model), names or patterns.
    """
    return by_alpha(
        results,
        COLUMN,
        base=base,
        low=low,
        high=high,
        mapping=mapping,
        position=position,
        min_evals=min_evals,
        keep_base=keep_base,
    )


TARGET = Target(
    "learning-rates",
    COLUMN,
    "a rate for each layer by its alpha (TempBalance)",
    "base * (low + (high - low) (alpha - min) / (max - min)), alpha = median Hill; first, last and small layers: base",
    "TempBalance, Zhou et al., NeurIPS 2023 (github.com/YefanZhou/TempBalance, tempbalance.py)",
    advise,
    READOUT,
)
