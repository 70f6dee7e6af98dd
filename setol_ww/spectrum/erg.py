"""The trace-log cut: how many leading eigenvalues multiply to one.

SETOL's effective correlation space starts where the product of the leading eigenvalues, on the unit-mean scale,
is nearest to 1 (the ERG condition det X = 1, arXiv 2507.17912, Eqs. 124-126 with the normalisation of this
project's errata E8-E10). Everything here is a cumulative sum of logarithms, so no size over- or underflows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..core.arrays import FloatArray
from ..core.card import Card, Fact, Shown, number_text, outcome_fact
from ..core.outcomes import Outcome
from .esd import Spectrum


@dataclass(frozen=True, repr=False)
class ErgCut(Shown):
    """Where the partial log-determinant crosses zero.

    Attributes
    ----------
    rank : int
        Number k* of leading eigenvalues in the ERG tail; 0 when `status` is degenerate.
    fraction : float
        k* over the number of eigenvalues.
    lambda_min, lambda_min_raw : float
        The smallest eigenvalue of the tail, unit-mean and raw (NaN where float64 does not hold it).
    log_det : float
        S_k*, the sum of the logarithms of the tail on the unit-mean scale: what is left over of det = 1.
    alpha : float
        Hill exponent of the ERG tail; NaN when the tail has no spread.
    status : Outcome
        `ok`, `flat`, `rank_limited` or `degenerate`.
    """

    rank: int
    fraction: float
    lambda_min: float
    lambda_min_raw: float
    log_det: float
    alpha: float
    status: Outcome

    def _card(self) -> Card:
        if not self.rank:
            return Card("ERG cut (det X = 1)", [outcome_fact("status", self.status)])
        return Card(
            "ERG cut (det X = 1)",
            [
                Fact("k*", f"{self.rank} eigenvalues, {100 * self.fraction:.3g} % of all"),
                Fact("start", f"{self.lambda_min:.3g} times the mean eigenvalue"),
                Fact("S_k*", f"{self.log_det:+.3g}, left of ln det X"),
                Fact("alpha", f"{number_text(self.alpha, '.3f')} (Hill, of this tail)"),
                outcome_fact("status", self.status),
            ],
        )


def erg_cut(spectrum: Spectrum) -> ErgCut:
    r"""The number k* of leading eigenvalues whose product is nearest to one.

    With :math:`S_k = \sum_{i \le k} \ln x_{(i)}` over the unit-mean eigenvalues in descending order,
    k0 is the number of k with :math:`S_k \ge 0` (a prefix, because S is concave and starts positive) and
    k* is k0 or k0 + 1, whichever has the smaller :math:`|S_k|`; the smaller k on a tie.

    Parameters
    ----------
    spectrum : Spectrum
        Only ratios of eigenvalues matter; zeros count in the mean and not in the logarithms.

    Returns
    -------
    ErgCut
        `flat` (all equal: k* = M), `rank_limited` (the rank ends before the sum falls to zero: k* = rank) and
        `degenerate` (nothing positive and finite: NaN) are statuses, not errors.

    Notes
    -----
    Source: arXiv 2507.17912, Eq. 126; the choice between k0 and k0 + 1 is this project's convention D3.

    Examples
    --------
    >>> cut = erg_cut(Spectrum.from_eigenvalues([0.1, 0.4, 0.5, 3.0]))
    >>> cut.rank, round(cut.log_det, 4), cut.status.value
    (2, 0.4055, 'ok')
    """
    if not spectrum.is_defined:
        return ErgCut(0, math.nan, math.nan, math.nan, math.nan, math.nan, Outcome.DEGENERATE)
    if spectrum.is_flat:
        return _cut(spectrum, spectrum.num_evals, 0.0, Outcome.FLAT)
    partial = partial_log_det(spectrum)
    k0 = leading_nonnegative(partial)
    if k0 == partial.size:
        limited = k0 < spectrum.num_evals and partial[-1] > 0
        return _cut(spectrum, k0, float(partial[-1]), Outcome.RANK_LIMITED if limited else Outcome.OK)
    rank = k0 if abs(partial[k0 - 1]) <= abs(partial[k0]) else k0 + 1
    return _cut(spectrum, rank, float(partial[rank - 1]), Outcome.OK)


def partial_log_det(spectrum: Spectrum) -> FloatArray:
    """S_1 ... S_r on the unit-mean scale, r the numerical rank."""
    return np.cumsum(np.log(spectrum.unit_mean[::-1][: spectrum.rank]))


def leading_nonnegative(partial: FloatArray) -> int:
    """Length of the leading run of S_k >= 0."""
    below = np.flatnonzero(partial < 0)
    return int(below[0]) if below.size else partial.size


def first_product_below_one(spectrum: Spectrum) -> int:
    """WeightWatcher's own rule for `detX_num`, in log space: the first k whose product is below one.

    0 for fewer than two eigenvalues or equal ones and n when no product falls below one, as WeightWatcher
    answers; no rank rule, an eigenvalue of zero makes the product zero.
    """
    values = spectrum.unit_mean[::-1]
    if values.size < 2 or not spectrum.is_defined or not values[-1] < values[0]:
        return 0
    with np.errstate(divide="ignore"):
        partial = np.cumsum(np.log(values))
    return min(leading_nonnegative(partial) + 1, values.size)


def _cut(spectrum: Spectrum, rank: int, log_det: float, status: Outcome) -> ErgCut:
    smallest = spectrum.num_evals - rank
    lambda_min = float(spectrum.unit_mean[smallest])
    spread = log_det - rank * math.log(lambda_min)
    has_spread = status is not Outcome.FLAT and spectrum.values[-1] > spectrum.values[smallest]
    return ErgCut(
        rank=rank,
        fraction=rank / spectrum.num_evals,
        lambda_min=lambda_min,
        lambda_min_raw=spectrum.in_raw_units(float(spectrum.values[smallest])),
        log_det=log_det,
        alpha=1 + rank / spread if has_spread and spread > 0 else math.nan,
        status=status,
    )
