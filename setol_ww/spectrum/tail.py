"""The power-law tail of a spectrum: Clauset's maximum-likelihood exponent, tail start chosen by Kolmogorov-Smirnov.

The estimator is WeightWatcher's default one (continuous power law, every eigenvalue a candidate start, the one
with the smallest KS distance wins) with two repairs: eigenvalues are dropped by the numerical rank and not below
an absolute 1e-5, so alpha does not depend on the scale of W; and equal eigenvalues enter the tail together.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from ..core.arrays import FloatArray
from ..core.card import Card, Fact, Shown, number_text, outcome_fact
from ..core.errors import InvalidInput
from ..core.outcomes import Outcome
from ..core.tones import Tone
from .esd import Spectrum
from .starts import candidate_starts, ks_lower
from .uncertainty import doubt

SMALL_SAMPLE = 20
# Half the 90 % interval of a normal law in standard deviations.
INTERVAL_SIGMAS = 1.6449
# Upper 1 % point of (D - 0.2/n)(sqrt(n) + 0.26 + 0.5/sqrt(n)) for an exponential law with estimated scale
# (M. A. Stephens, J. Am. Stat. Assoc. 69, 730, 1974); ln(x / lambda_min) is exponential in a power-law tail.
STEPHENS_1_PERCENT = 1.308
# Below this p-value Clauset, Shalizi and Newman (SIAM Review 51, 661, 2009) refuse a power law.
REFUSED = 0.1


@dataclass(frozen=True, repr=False)
class TailFit(Shown):
    """A fitted power-law tail with its standard error and verdict.

    Attributes
    ----------
    alpha, sigma : float
        Exponent of the density and its asymptotic standard error (alpha - 1) / sqrt(rank).
    lambda_min, lambda_min_raw : float
        Start of the tail, unit-mean and raw (NaN where float64 does not hold it).
    rank : int
        Number of eigenvalues in the tail, the start included; 0 without a fit.
    ks : float
        Kolmogorov-Smirnov distance as WeightWatcher computes its `D` (lower steps of the empirical law).
    gof : float
        Stephens' modified two-sided KS statistic; a power law is refused at 1 % above 1.308. The start of the
        tail was chosen to make it small, so a refusal is certain and an acceptance is not.
    outcome : Outcome
        `ok`, `poor_fit`, `small_sample`, `flat`, `too_few` or `degenerate`.
    alpha_low, alpha_high : float
        90 % interval of alpha with the choice of the start in it; this and what follows NaN without `uncertainty`.
    gof_p : float
        Clauset's p-value: share of spectra that have a power-law tail and fit it worse. Uniform for independent draws
        of the law alone; too large for the eigenvalues of a matrix, which repel each other (docs/uncertainty.md).
    p_below_2 : float
        Share of the resampled alphas below 2.
    starts : float
        Number of starts that fit as well within the error of the distance, each the best of its neighbourhood.
    alpha_2nd : float
        Exponent at the next best of them.
    lambda_min_low, lambda_min_high : float
        90 % interval of the start, on the scale of `lambda_min`.
    """

    alpha: float
    sigma: float
    lambda_min: float
    lambda_min_raw: float
    rank: int
    ks: float
    gof: float
    outcome: Outcome
    alpha_low: float = math.nan
    alpha_high: float = math.nan
    gof_p: float = math.nan
    p_below_2: float = math.nan
    starts: float = math.nan
    alpha_2nd: float = math.nan
    lambda_min_low: float = math.nan
    lambda_min_high: float = math.nan

    def _card(self) -> Card:
        if not self.rank:
            return Card("power-law tail", [outcome_fact("outcome", self.outcome)])
        facts = [
            Fact("alpha", f"{self.alpha:.3f} ± {self.sigma:.3f}"),
            Fact("tail", f"the {self.rank} largest eigenvalues, from {self.lambda_min:.3g} times their mean on"),
            Fact("KS distance", number_text(self.ks)),
            outcome_fact("outcome", self.outcome),
        ]
        return Card("power-law tail", [*facts[:1], *self._interval(), *facts[1:], *self._gof(), *self._starts()])

    def _interval(self) -> list[Fact]:
        if math.isnan(self.alpha_low):
            return []
        ends = f"{self.alpha_low:.2f} to {self.alpha_high:.2f} (90 %), below 2 in {100 * self.p_below_2:.2g} % of them"
        return [Fact("interval", ends)]

    def _gof(self) -> list[Fact]:
        if math.isnan(self.gof_p):
            return []
        refused = self.gof_p < REFUSED
        said = "a power law is refused" if refused else "a power law is not refused"
        return [Fact("fit", f"p = {self.gof_p:.2g}, {said}", Tone.CAUTION if refused else Tone.GOOD)]

    def _starts(self) -> list[Fact]:
        if not self.starts > 1:
            return []
        said = f"{self.starts:.0f} fit as well, the next best with alpha {self.alpha_2nd:.2f}"
        return [Fact("starts", said, Tone.CAUTION)]


def fit_tail(spectrum: Spectrum, uncertainty: int = 0, seed: int = 0) -> TailFit:
    r"""Power-law fit :math:`\rho(\lambda) \propto \lambda^{-\alpha}` of the upper tail.

    :math:`\alpha = 1 + n / \sum_{i \le n} \ln(\lambda_i / \lambda_{\min})` for each candidate start; the start
    with the least :math:`\max_i |F(\lambda_i) - i/n|` is taken, the smallest start on a tie.

    Parameters
    ----------
    spectrum : Spectrum
        Only ratios of eigenvalues matter. Eigenvalues beyond the numerical rank are left out.
    uncertainty : int
        Number of spectra that are drawn for the interval of alpha and the goodness of fit, 200 for two digits; 0 for
        none, and NaN.
    seed : int
        Of these.

    Returns
    -------
    TailFit
        NaN with outcome `flat`, `too_few` or `degenerate` where there is no tail; never -1 or inf.

    Notes
    -----
    A. Clauset, C. R. Shalizi, M. E. J. Newman, SIAM Review 51, 661 (2009), Eq. 3.1 and section 3.3.
    Equal to WeightWatcher's `alpha, sigma, xmin, num_pl_spikes, D` wherever no eigenvalue is below 1e-5,
    twenty or more are there and none are tied.

    Examples
    --------
    >>> fit = fit_tail(Spectrum.from_eigenvalues([1.0, 1.5, 2.0, 4.0, 9.0] * 8))
    >>> fit.rank, fit.outcome.value
    (40, 'ok')
    >>> fit = fit_tail(Spectrum.from_eigenvalues(np.arange(1, 200) ** -0.8), uncertainty=50)
    >>> fit.alpha_low < fit.alpha < fit.alpha_high, fit.gof_p > 0.1
    (True, True)
    """
    if isinstance(uncertainty, bool) or not isinstance(uncertainty, (int, np.integer)) or uncertainty < 0:
        raise InvalidInput(f"uncertainty={uncertainty!r} was asked; accepted is a number of draws, 0 for none")
    if not spectrum.is_defined:
        return _no_fit(Outcome.DEGENERATE)
    if spectrum.is_flat:
        return _no_fit(Outcome.FLAT if spectrum.num_evals > 1 else Outcome.TOO_FEW)
    log_x = spectrum.scan.log_x
    resolution = 2 * spectrum.rounding
    starts = candidate_starts(log_x, resolution)
    if not starts.size:
        return _no_fit(Outcome.TOO_FEW)
    start = spectrum.scan.best(starts)
    tail = log_x[start:] - log_x[start]
    n = tail.size
    rate = n / tail.sum()
    ks, gof = ks_lower(tail, rate), _stephens(tail, rate)
    outcome = Outcome.OK
    if log_x.size < SMALL_SAMPLE:
        outcome = Outcome.SMALL_SAMPLE
    elif gof > STEPHENS_1_PERCENT:
        outcome = Outcome.POOR_FIT
    at = spectrum.num_evals - n
    return TailFit(
        alpha=float(1 + rate),
        sigma=float(rate / math.sqrt(n)),
        lambda_min=float(spectrum.unit_mean[at]),
        lambda_min_raw=spectrum.in_raw_units(float(spectrum.values[at])),
        rank=n,
        ks=ks,
        gof=gof,
        outcome=outcome,
        **(asdict(doubt(log_x, n, resolution, uncertainty, seed)) if uncertainty else {}),
    )


def _stephens(tail: FloatArray, rate: float) -> float:
    n = tail.size
    law, step = 1 - np.exp(-rate * tail), np.arange(n)
    two_sided = max(np.max(law - step / n), np.max((step + 1) / n - law))
    return float((two_sided - 0.2 / n) * (math.sqrt(n) + 0.26 + 0.5 / math.sqrt(n)))


def _no_fit(outcome: Outcome) -> TailFit:
    nan = math.nan
    return TailFit(nan, nan, nan, nan, 0, nan, nan, outcome)
