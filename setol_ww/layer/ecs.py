"""Where the power-law tail and the trace-log cut of one layer meet and differ."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..core.card import Card, Fact, Shown, error_text, number_text
from ..core.outcomes import Outcome
from ..spectrum.erg import ErgCut, partial_log_det
from ..spectrum.esd import Spectrum
from ..spectrum.tail import TailFit


@dataclass(frozen=True, repr=False)
class Ecs(Shown):
    """The effective correlation space (the ERG tail) held against the power-law tail. Unit-mean scale.

    Attributes
    ----------
    rank : int
        Rank k* of the effective correlation space.
    delta_lambda_min : float
        Start of the power-law tail minus start of the ERG tail (arXiv 2507.17912, Eq. 164).
    rank_gap : float
        k* minus the rank of the power-law tail.
    erg_metric : float
        Mean of ln x over the power-law tail; 0 where that tail has det = 1.
    erg_metric_sigma : float
        Standard error of `erg_metric` for a given start of the tail.
    """

    rank: int
    delta_lambda_min: float
    rank_gap: float
    erg_metric: float
    erg_metric_sigma: float

    def _card(self) -> Card:
        return Card(
            "power-law tail against ERG tail",
            [
                Fact("ERG rank", str(self.rank)),
                Fact("rank gap", f"{number_text(self.rank_gap, '+.0f')} (ranks, ERG minus power-law)"),
                Fact("delta", f"{number_text(self.delta_lambda_min, '+.3g')} (starts, power-law minus ERG)"),
                Fact("mean ln x", error_text(self.erg_metric, self.erg_metric_sigma, "+.3g", ".3g")),
            ],
        )


def ecs(spectrum: Spectrum, tail: TailFit, erg: ErgCut) -> Ecs:
    r"""Compare the two starts of the tail.

    :math:`\Delta\lambda_{\min} = \lambda^{PL}_{\min} - \lambda^{ECS}_{\min}` and
    :math:`\langle \ln x \rangle_{tail} = 1/(\alpha - 1) + \ln \lambda^{PL}_{\min}`, the Hill/ERG identity, whose
    zero at alpha = 2 is lambda_min = 1/e. Its standard error follows from that of alpha:
    :math:`\sigma / (\alpha - 1)^2`.

    Parameters
    ----------
    spectrum : Spectrum
    tail : TailFit
        Of the same spectrum.
    erg : ErgCut
        Of the same spectrum.

    Returns
    -------
    Ecs
        NaN for every comparison when there is no power-law tail or no cut.

    Examples
    --------
    >>> from setol_ww import Spectrum, erg_cut, fit_tail
    >>> spectrum = Spectrum.from_eigenvalues([0.1, 0.2, 0.4, 1.0, 3.0])
    >>> ecs(spectrum, fit_tail(spectrum), erg_cut(spectrum)).rank
    3
    """
    if not tail.rank or erg.status is Outcome.DEGENERATE:
        return Ecs(erg.rank, math.nan, math.nan, math.nan, math.nan)
    return Ecs(
        rank=erg.rank,
        delta_lambda_min=tail.lambda_min - erg.lambda_min,
        rank_gap=float(erg.rank - tail.rank),
        erg_metric=float(partial_log_det(spectrum)[tail.rank - 1] / tail.rank),
        erg_metric_sigma=tail.sigma / (tail.alpha - 1) ** 2,
    )
