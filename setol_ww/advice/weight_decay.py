r"""A weight decay for each layer, as AlphaDecay sets it.

:math:`\lambda_i = \lambda\,[s_1 + (s_2 - s_1)(\alpha_i - \min\alpha)/(\max\alpha - \min\alpha)]`, alpha by Hill's
formula above the median eigenvalue, s1 = 0.6666, s2 = 3 with Adam and 5 with AdamW (He et al., AlphaDecay, 2025;
`WeightDecayUnbalance.py`). The first and the last linear layer and those of fewer than 50 eigenvalues keep the base
decay. The mean is not kept: with s2 = 3 the layers are decayed more on the whole. The authors set it every 500 updates.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..results.results import Results
from .by_alpha import advise as by_alpha
from .evidence import READOUT
from .registry import Draft, Target

COLUMN = "weight_decay"


def advise(
    results: Results,
    *,
    base: float = 0.1,
    low: float = 0.6666,
    high: float = 3.0,
    mapping: str = "linear",
    position: float = 2.0,
    min_evals: int = 50,
    keep_base: Sequence[str] = ("first", "last"),
) -> Draft:
    """Decays; every option as in `learning_rates`, `base` the decay that the factors multiply."""
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
    "weight-decay",
    COLUMN,
    "a weight decay for each layer by its alpha (AlphaDecay)",
    "base * (low + (high - low) (alpha - min) / (max - min)), alpha = median Hill; first, last and small layers: base",
    "AlphaDecay, He et al., 2025 (github.com/hed-ucas/AlphaDecay, WeightDecayUnbalance.py)",
    advise,
    READOUT,
)
