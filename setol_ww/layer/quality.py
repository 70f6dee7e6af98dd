r"""Layer quality :math:`\bar Q^2` in its readings: one small function each, and `quality` for all of them.

The paper (arXiv 2507.17912) defines :math:`\bar Q^2 = \sum_{i \le k} \int_0^{\lambda_i} R(z)\,dz` over the effective
correlation space (Eq. 131), gives five models of R for it (Tables 8 and 9), a cumulant series (Eq. 163) and one
figure with numbers (Fig. 24). These are different quantities. Eigenvalues x are unit-mean, k the rank of the ERG tail,
S the sum of x over it.

| wanted | use | it assumes |
|---|---|---|
| Eq. 131 as it stands, any spectrum | `q2` | nothing; the spectrum padded with zeros to N (Tanaka's normalisation) |
| a number of order one for light tails | `q2_norm` | nothing; argument x/k; with a heavy tail it grows with M |
| Eq. 163 to the letter | `q2_series5` | x_1^2 / k (`q2_rho`) below 0.5, else the series has left its disc: NaN |
| the quantity plotted in Fig. 24 | `q2_paper` | a power-law tail; a participation ratio, not free probability |
| a bulk with a few spikes | `q2_bs` | R constant, the sum of the eigenvalues |
| alpha = 2 with symmetric noise | `q2_fc` | R constant, the mean of the ECS |
| a nearly ideal layer | `q2_imp` | an inverse Marchenko-Pastur law with kappa = alpha_erg / 2 |
| a very heavy tail | `q2_lw` | 1 < alpha_erg < 2, else NaN |

With a rank that grows like M the value of Eq. 131 is a functional of the spectrum and no HCIZ integral (errata E15):
compare layers by it, do not read it as a free energy. A reading outside its domain is NaN and `q2_reason` says why.
Of a model, `get_summary` gives the geometric mean over layers (errata E5).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from ..core.arrays import FloatArray
from ..core.card import Card, Fact, Shown, number_text
from ..core.outcomes import Outcome
from ..core.tones import Tone
from ..spectrum.erg import ErgCut
from ..spectrum.esd import Spectrum
from ..spectrum.tail import TailFit
from ..theory.resolvents import Points, sum_of_integrated_r, sums_of_integrated_r
from ..theory.transforms import free_cumulants, free_cumulants_of

SERIES_ORDER = 5
SERIES_DOMAIN = 0.5
PAPER_ORDER = 3


@dataclass(frozen=True, repr=False)
class Quality(Shown):
    r"""Every reading of :math:`\bar Q^2` of one spectrum, unit-mean scale.

    Attributes
    ----------
    q2 : float
        :math:`\sum_{i \le k} H(x_i)`, H the integrated R of the ECS padded with zeros to N eigenvalues.
    q2_norm : float
        :math:`\sum_{i \le k} H(x_i / k)`, H that of the ECS by itself.
    q2_series5, q2_rho, q2_series_ok
        Eq. 163, its validity number :math:`x_1^2 / k`, and whether that is below 0.5.
    q2_paper : float
        The quantity of Fig. 24, in percent.
    q2_bs, q2_fc, q2_imp, q2_lw : float
        Tables 8 and 9 as corrected in the errata.
    kappa1, kappa2, kappa3, kappa4, kappa5 : float
        Free cumulants of the ECS, normalised trace.
    q2_reason : str
        Which readings are NaN and why; empty when none is.
    """

    q2: float
    q2_norm: float
    q2_series5: float
    q2_rho: float
    q2_series_ok: bool
    q2_paper: float
    q2_bs: float
    q2_fc: float
    q2_imp: float
    q2_lw: float
    kappa1: float
    kappa2: float
    kappa3: float
    kappa4: float
    kappa5: float
    q2_reason: str

    def _card(self) -> Card:
        if math.isnan(self.q2) and math.isnan(self.q2_norm):
            return Card("layer quality", [Fact("q2_norm", "not defined", Tone.CAUTION)], [self.q2_reason])
        others = ("q2_paper", "q2_bs", "q2_fc", "q2_imp", "q2_lw")
        told = ", ".join(f"{name} {number_text(getattr(self, name))}" for name in others)
        kappas = ", ".join(number_text(getattr(self, f"kappa{order}")) for order in range(1, SERIES_ORDER + 1))
        inside = "the series converges" if self.q2_series_ok else "outside the disc of the series"
        series = f"{number_text(self.q2_series5)}; x_1^2 / k = {number_text(self.q2_rho)}: {inside}"
        facts = [
            Fact("q2_norm", number_text(self.q2_norm)),
            Fact("q2", f"{number_text(self.q2)} (Eq. 131)"),
            Fact("q2_series5", series, Tone.GOOD if self.q2_series_ok else Tone.CAUTION),
            Fact("by models", told),
            Fact("cumulants", kappas),
        ]
        return Card("layer quality", facts, [self.q2_reason])


def quality(spectrum: Spectrum, tail: TailFit, erg: ErgCut) -> Quality:
    r"""Layer quality :math:`\bar Q^2` in every reading, with its domain of validity.

    Parameters
    ----------
    spectrum : Spectrum
        Only ratios of eigenvalues and the shape matter.
    tail : TailFit
        Of the same spectrum; only `q2_paper` uses it.
    erg : ErgCut
        Of the same spectrum: its `rank` leading eigenvalues are the effective correlation space.

    Returns
    -------
    Quality
        NaN with the cause in `q2_reason` where a reading is not defined; all NaN for a degenerate spectrum.

    Notes
    -----
    arXiv 2507.17912, Eqs. 131, 142-163, Tables 8 and 9, Fig. 24; errata E13-E34.

    Examples
    --------
    >>> from setol_ww import erg_cut, fit_tail
    >>> spectrum = Spectrum.from_eigenvalues([0.5, 0.8, 1.0, 1.2, 1.5])
    >>> found = quality(spectrum, fit_tail(spectrum), erg_cut(spectrum))
    >>> round(found.q2, 3), round(found.q2_norm, 3), round(found.q2_series5, 3)
    (5.32, 1.013, 1.013)
    """
    (found,) = qualities([(spectrum, tail, erg)])
    return found


def qualities(asked: Sequence[tuple[Spectrum, TailFit, ErgCut]]) -> list[Quality]:
    """`quality` of many layers, each to the bit what it is alone; small ones cost less together."""
    tails = [spectrum.unit_mean[spectrum.num_evals - erg.rank :] for spectrum, _, erg in asked]
    points = []
    for (spectrum, _, erg), x in zip(asked, tails):
        if erg.status is not Outcome.DEGENERATE:
            points += [_padded(x, spectrum.N * spectrum.slices), _normed(x)]
    sums = iter(sums_of_integrated_r(points))
    found = []
    for (spectrum, tail, erg), x in zip(asked, tails):
        if erg.status is Outcome.DEGENERATE:
            found.append(_undefined(f"no reading of the quality: {erg.status.sentence}"))
        else:
            found.append(_readings(spectrum, tail, erg, x, next(sums), next(sums)))
    return found


def _readings(spectrum: Spectrum, tail: TailFit, erg: ErgCut, x: FloatArray, padded: float, normed: float) -> Quality:
    """Every reading, of which two are there."""
    k, total = x.size, float(x.sum())
    rho = float(x[-1] ** 2 / k)
    kappa = free_cumulants_of(x, SERIES_ORDER).tolist()
    heavy = erg.alpha < 2
    reasons = []
    if not rho < SERIES_DOMAIN:
        reasons.append(f"q2_series5: x_1^2 / k = {rho:.3g}, the five-term series is used below {SERIES_DOMAIN} only")
    if not tail.rank:
        reasons.append(f"q2_paper: {tail.outcome.sentence}")
    if math.isnan(erg.alpha):
        reasons.append("q2_imp, q2_lw: the ERG tail has no spread and so no exponent")
    elif not heavy:
        reasons.append(f"q2_lw: alpha_erg = {erg.alpha:.2f} is not between 1 and 2")
    return Quality(
        q2=padded,
        q2_norm=normed,
        q2_series5=_series(x, kappa) if rho < SERIES_DOMAIN else math.nan,
        q2_rho=rho,
        q2_series_ok=rho < SERIES_DOMAIN,
        q2_paper=figure_24(spectrum, tail.rank) if tail.rank else math.nan,
        q2_bs=total * (total - k * float(x[0])),
        q2_fc=total / k * (total - k * float(x[0])),
        q2_imp=erg.alpha / 2 * k / (erg.alpha - 1),
        q2_lw=float(np.mean(x ** (erg.alpha - 1))) if heavy else math.nan,
        **{f"kappa{order}": value for order, value in enumerate(kappa, start=1)},
        q2_reason="; ".join(reasons),
    )


def padded_quality(x: FloatArray, N: int) -> float:
    r"""Eq. 131 exactly: :math:`\sum_i H(x_i)`, H of the law with weights 1/N on x and the rest at zero.

    Parameters
    ----------
    x : ndarray
        Positive eigenvalues of the ECS, unit-mean scale.
    N : int
        Size of the matrix whose nonzero eigenvalues these are, at least as many.

    Notes
    -----
    The N x N spectrum enters, not the M x M one: their R-transforms differ (errata E14). Between
    :math:`(\sum x)^2 / N` and :math:`x_1 \sum x`.

    Examples
    --------
    >>> round(padded_quality(np.ones(4), 4), 12)
    4.0
    """
    points = _padded(x, N)
    return sum_of_integrated_r(points.t, points.evals, points.weights)


def _padded(x: FloatArray, N: int) -> Points:
    if N == x.size:
        return Points(x, x, np.full(N, 1 / N))
    return Points(x, np.append(0.0, x), np.append(1 - x.size / N, np.full(x.size, 1 / N)))


def normed_quality(x: FloatArray) -> float:
    r""":math:`\sum_i H(x_i / k)`, H the integrated R of the k eigenvalues x by themselves: what Eq. 163 expands.

    Never below the square of their mean, and equal to it when they are all the same.

    Examples
    --------
    >>> round(normed_quality(np.array([2.0, 2.0, 2.0])), 12)
    4.0
    """
    points = _normed(x)
    return sum_of_integrated_r(points.t, points.evals, points.weights)


def _normed(x: FloatArray) -> Points:
    return Points(x / x.size, x, np.full(x.size, 1 / x.size))


def series_quality(x: FloatArray, order: int = SERIES_ORDER) -> float:
    r"""Eq. 163 wherever it is asked: :math:`\sum_{i \le k} \sum_{j \le order} \kappa_j (x_i / k)^j / j`.

    `quality` gives it only where it is right; beyond that it can be off by any power of ten.

    Examples
    --------
    >>> round(series_quality(np.ones(4)), 12)
    1.0
    """
    return _series(x, free_cumulants_of(x, order).tolist())


def figure_24(spectrum: Spectrum, tail_rank: int, order: int = PAPER_ORDER) -> float:
    r"""The quantity that Fig. 24 of arXiv 2507.17912 plots, in percent, of a tail of two or more distinct eigenvalues.

    With :math:`y_i` the tail eigenvalues centred and divided by their standard deviation, moments without the
    1/n that Eq. 160 lacks, :math:`m_j = \sum_i y_i^j`, free cumulants by Eq. 162, and the argument
    :math:`z_i = L_i / \sum L`, the share of the whole trace:
    :math:`100 \sum_i \sum_{j \le K} \kappa_j z_i^j / j`. With K = 2 this is :math:`50\, n \sum_i z_i^2`.

    Notes
    -----
    Identified by comparing readings of Eqs. 159-163 with the figure; see `scripts/figure24.py`.
    """
    leading = spectrum.unit_mean[spectrum.num_evals - tail_rank :]
    y = (leading - leading.mean()) / leading.std()
    powers = itertools.accumulate(itertools.repeat(y, order), np.multiply)
    kappa = free_cumulants([float(power.sum()) for power in powers])
    return 100 * _series(leading, kappa.tolist(), spectrum.num_evals)


def _series(x: FloatArray, kappa: list[float], divisor: int | None = None) -> float:
    """Sum over i and j of kappa_j z_i^j / j, z = x / divisor, by default over their number."""
    z = x / (divisor or x.size)
    powers = itertools.accumulate(itertools.repeat(z, len(kappa)), np.multiply)
    return float(sum(value * power.sum() / j for j, (value, power) in enumerate(zip(kappa, powers), start=1)))


def _undefined(reason: str) -> Quality:
    values: dict = {field.name: math.nan for field in fields(Quality)}
    return Quality(**{**values, "q2_series_ok": False, "q2_reason": reason})
