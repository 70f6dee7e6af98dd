r"""Whether alpha moved between two looks at a layer, or only the start of its tail leapt.

The start of a power-law tail is a choice among candidates that often fit nearly as well; a small change of the weights
may tip it, and alpha leaps although nothing happened to the spectrum. So two looks are compared at one start too, the
old one and the new one: a start is a number of eigenvalues k, and

.. math:: \alpha_k = 1 + k / \sum_{i \le k} \ln(\lambda_i / \lambda_k).

| word | when |
|---|---|
| `moved` | the fitted alphas differ beyond their error, and at one start alpha does too, to the same side |
| `leap of the tail's start` | the fitted alphas differ beyond their error, but not alpha at one and the same start |
| empty | the fitted alphas are equal within their error, or there is nothing to compare with |

The error is that of two independent spectra, which two looks at one net are not: they differ by less. Rates of wrong
words on planted truth: docs/monitor.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ..core.arrays import FloatArray
from ..layer.intervals import INFLATION
from ..spectrum.esd import Spectrum
from ..spectrum.starts import tail_rates

MOVED, LEAPT = "moved", "leap of the tail's start"
# Standard errors of a difference, two-sided 1 % of a normal law.
SIGMAS = 2.576


@dataclass(frozen=True)
class Mark:
    """A look that later ones are compared with: positive eigenvalues, ascending logarithms, and the tail's length."""

    log_x: FloatArray = field(repr=False)
    rank: int

    @classmethod
    def of(cls, spectrum: Spectrum | None, rank: float) -> Mark | None:
        """None where there is no tail.

        Examples
        --------
        >>> Mark.of(Spectrum.from_eigenvalues([1.0, 2.0, 4.0]), 2).rank
        2
        """
        if spectrum is None or not spectrum.rank or not rank >= 1:
            return None
        return cls(np.log(spectrum.values[spectrum.num_evals - spectrum.rank :]), int(rank))

    def alpha(self, rank: int) -> float:
        """Exponent of the tail of the `rank` largest; NaN where there are fewer or all are equal."""
        if not 2 <= rank <= self.log_x.size or self.log_x[-1] <= self.log_x[-rank]:
            return math.nan
        return float(1 + tail_rates(self.log_x, np.array([self.log_x.size - rank]))[0])


def move(before: Mark, after: Mark) -> str:
    """The word for what happened between two looks at one layer.

    Examples
    --------
    >>> heavy, light = (np.log(np.arange(400, 0, -1.0)) * -power for power in (2.0, 0.5))
    >>> move(Mark(heavy, 300), Mark(light, 300)), move(Mark(heavy, 300), Mark(heavy, 100))
    ('moved', '')
    """
    then, now = before.alpha(before.rank), after.alpha(after.rank)
    if not _differ(then, before.rank, now, after.rank):
        return ""
    at_one_start = ((before.alpha(rank), after.alpha(rank), rank) for rank in (before.rank, after.rank))
    beyond = any(
        _differ(one, rank, other, rank) and (other - one) * (now - then) > 0 for one, other, rank in at_one_start
    )
    return MOVED if beyond else LEAPT


def _differ(first: float, first_rank: int, second: float, second_rank: int) -> bool:
    """Whether two exponents differ beyond the error of their difference; False where one is missing."""
    error = math.hypot((first - 1) / math.sqrt(first_rank), (second - 1) / math.sqrt(second_rank))
    return abs(second - first) > SIGMAS * INFLATION * error
