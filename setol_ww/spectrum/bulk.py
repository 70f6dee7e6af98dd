r"""The bulk of a spectrum, its edges, and the eigenvalues that lie above it.

The bulk is that of independent entries: Marchenko-Pastur where rows, columns and slices are even or nothing is known of
them, else the law of their strengths (`spectrum.noise`).

A first variance comes from the median eigenvalue, which spikes do not move, whatever share of the norm they carry.
What lies above the Tracy-Widom edge of that noise is set aside one by one, and the variance is then the trace of the
rest: exact for pure noise, and for noise beside strong spikes up to 1/(N theta^2) (Kritchman and Nadler 2009).
An eigenvalue is tested against the trace it belongs to, for which Nadler's (2011) correction keeps the stated level.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from ..core.arrays import FloatArray
from ..core.card import Card, Fact, Shown, chance_text, outcome_fact
from ..core.errors import InvalidInput
from ..core.outcomes import Outcome
from ..linalg.scaled import representable
from .esd import Spectrum
from .loud import LoudLines, loud_lines
from .noise import Noise, critical_value, johnstone
from .strengths import Strengths

LEVEL = 0.01
MIN_EVALS = 4
# More than three quarters of the eigenvalues cannot be spikes: there would be no bulk to call them so.
LARGEST_SHARE_OF_SPIKES = 0.75
# 99 % point of the largest deviation in the count of eigenvalues, c_0 + c_1 ln M: eigenvalues repel each other, so it
# grows like a logarithm and not like sqrt(M). Fitted to Gaussian matrices of 10 to 1000 columns, `scripts/bulk_fit.py`.
CRITICAL_COUNT = (1.25, 0.40)
# Rounds in which the strengths' edge is brought to the sides that spikes leave.
ROUNDS = 3


@dataclass(frozen=True, repr=False)
class BulkFit(Shown):
    """A Marchenko-Pastur bulk with its verdict; the scale is unit mean unless the name says `raw`.

    Attributes
    ----------
    sigma, sigma_raw : float
        Square root of the mean bulk eigenvalue on the unit-mean scale (1 for pure noise, its square the share of the
        noise), and standard deviation of the entries of the noise in units of W.
    lambda_minus, lambda_plus : float
        Edges sigma^2 (1 -+ sqrt q)^2 of the bulk, q of the matrix without the directions of the spikes.
    edge, edge_raw : float
        Tracy-Widom edge at the level of the fit: above it an eigenvalue is a spike.
    softrank : float
        lambda_plus over the largest eigenvalue: about 1 for noise, 0 for a heavy tail.
    spikes : int
        Number of eigenvalues above the edge.
    pvalue : float
        Probability that noise has a largest eigenvalue as large as this one, Tracy-Widom law of order 1.
    ks, critical_ks : float
        Kolmogorov-Smirnov distance of the eigenvalues below the edge to their Marchenko-Pastur law, and its 1 %
        critical value for noise.
    N, M : float
        Sides of the noise that is left, per slice.
    loud, loud_side : int, str
        So many of the largest eigenvalues are those of rows (`row`) or columns (`column`) far stronger than all
        others; they are no spikes, and the fit is that of what they leave.
    noise : Noise
        The law of the bulk, in units of sigma_raw^2 N; None without a fit.
    outcome : Outcome
        `ok`, `no_bulk`, `flat`, `too_few` or `degenerate`.
    """

    sigma: float
    sigma_raw: float
    lambda_minus: float
    lambda_plus: float
    edge: float
    edge_raw: float
    softrank: float
    spikes: int
    pvalue: float
    ks: float
    critical_ks: float
    N: float
    M: float
    outcome: Outcome
    noise: Noise | None = None
    loud: int = 0
    loud_side: str = ""

    @property
    def is_marchenko_pastur(self) -> bool:
        """True when the eigenvalues below the edge may be those of noise."""
        return self.outcome is Outcome.OK

    def _card(self) -> Card:
        facts = [outcome_fact("outcome", self.outcome)]
        if not math.isnan(self.sigma):
            facts = [
                Fact("noise", f"{100 * self.sigma**2:.3g} % of the variance, sigma {self.sigma_raw:.3g} in units of W"),
                Fact("bulk", f"{self.lambda_minus:.3g} to {self.lambda_plus:.3g} times the mean eigenvalue"),
                Fact("spikes", f"{self.spikes} eigenvalues above {self.edge:.3g}", more=chance_text(self.pvalue)),
                *(
                    [Fact("loud lines", f"{self.loud} of the largest eigenvalues, by {self.loud_side}s")]
                    if self.loud
                    else []
                ),
                Fact("KS distance", f"{self.ks:.3g}, critical at 1 %: {self.critical_ks:.3g}"),
                *facts,
            ]
        return Card("Marchenko-Pastur bulk", facts)


@dataclass(frozen=True)
class _Split:
    """Noise of standard deviation sqrt(variance) behind `spikes` eigenvalues.

    `shift` is Nadler's correction for the trace, in Tracy-Widom units.
    """

    variance: float
    edge: float
    spikes: int
    noise: Noise
    shift: float


def fit_bulk(spectrum: Spectrum, *, level: float = LEVEL, strengths: Strengths | None = None) -> BulkFit:
    r"""Marchenko-Pastur fit: :math:`\lambda_\pm = \sigma^2 (1 \pm \sqrt q)^2` and the eigenvalues above the edge.

    :math:`\lambda_{k+1}` of :math:`k` spikes is one more when
    :math:`\lambda_{k+1} > \hat\sigma^2_k (\mu + s\,(t + v\,F''/F'))` with
    :math:`\hat\sigma^2_k = \sum_{i>k} \lambda_i / ((N - k)(M - k))`, :math:`\mu, s` Johnstone's centre and scale for
    :math:`(N - k, M - k)`, :math:`t` the Tracy-Widom quantile of 1 - level, :math:`F` that law and
    :math:`v = (\mu/s)^2 / ((N - k)(M - k))` Nadler's correction.

    Parameters
    ----------
    spectrum : Spectrum
        Zero eigenvalues are left out: their columns (or rows) count as dead. Slices are pooled noise of one variance.
    level : float
        Probability that noise without a spike is given one.
    strengths : Strengths, optional
        Of the entries: the edge is then that of noise with these rows, columns, slices and cumulants.

    Returns
    -------
    BulkFit
        NaN and no spikes with outcome `flat`, `too_few` (fewer than 4 eigenvalues or one a slice) or `degenerate`.

    Notes
    -----
    Johnstone, Ann. Stat. 29, 295 (2001); Kritchman and Nadler, IEEE Trans. Signal Process. 57, 3930 (2009);
    Nadler, J. Multivar. Anal. 102, 363 (2011), Eq. 6, for beta = 1.

    Examples
    --------
    >>> import numpy as np
    >>> W = np.random.default_rng(0).normal(scale=0.1, size=(300, 300))
    >>> W[:, 0] += 4 * W[:, 1]
    >>> bulk = fit_bulk(Spectrum.from_matrix(W))
    >>> bulk.spikes, round(bulk.sigma_raw, 3), bulk.outcome.value
    (1, 0.1, 'ok')
    """
    if not 0 < level < 0.5:
        raise InvalidInput(f"level={level!r} was asked; accepted is a probability between 0 and 0.5")
    if not spectrum.is_defined:
        return _no_fit(Outcome.DEGENERATE)
    if spectrum.rank < max(MIN_EVALS, spectrum.slices):
        return _no_fit(Outcome.TOO_FEW)
    if spectrum.is_flat:
        return _no_fit(Outcome.FLAT)
    positive = spectrum.values[spectrum.num_evals - spectrum.rank :]
    # Dead columns leave an N x rank matrix, dead rows an M x rank one.
    longer = spectrum.N if strengths is None else max(strengths.rows, strengths.columns)
    shorter = positive.size / spectrum.slices
    sides = {max(longer, shorter)} | ({float(spectrum.M)} if spectrum.rank < spectrum.num_evals else set())
    whole = [Noise(float(side), shorter, spectrum.slices, strengths) for side in sorted(sides)]
    best = min((_fit(spectrum, positive, noise, level) for noise in whole), key=lambda fit: fit.ks)
    # Beside the eigenvalue of a loud line a smaller spike would not be seen.
    for lines in loud_lines(strengths) if strengths is not None else ():
        best = _beside(lines, spectrum, positive, best, level)
    return best


def _beside(lines: LoudLines, spectrum: Spectrum, positive: FloatArray, fit: BulkFit, level: float) -> BulkFit:
    """The fit to what loud lines leave, where the largest eigenvalues are theirs; else the one there is."""
    slices = spectrum.slices
    sides = float(lines.longer), positive.size / slices
    found = separate(positive, Noise(*sides, slices, lines.rest), level)
    theirs = min(found.spikes, lines.most * slices)
    if not theirs or not lines.explain(positive[-theirs:] / found.variance, slices):
        return fit
    whole = Noise(sides[0] - theirs / slices, sides[1] - theirs / slices, slices, lines.rest)
    return replace(_fit(spectrum, positive[:-theirs], whole, level), loud=theirs, loud_side=lines.side)


def _fit(spectrum: Spectrum, positive: FloatArray, whole: Noise, level: float) -> BulkFit:
    found = separate(positive, whole, level)
    noise = found.noise
    unit = found.variance * noise.N
    # The largest eigenvalue is judged by the noise as a whole, spikes or not.
    tail = whole.sf(float(positive[-1]) / found.variance, found.shift)
    bulk = positive[: positive.size - found.spikes]
    ks = _ks(noise.cdf(bulk / unit))
    critical = (CRITICAL_COUNT[0] + CRITICAL_COUNT[1] * math.log(noise.M)) / (noise.M * math.sqrt(spectrum.slices))
    lower, upper = (edge * unit for edge in noise.support)
    unit_mean = spectrum.num_evals / float(spectrum.values.sum())
    return BulkFit(
        sigma=math.sqrt(unit * unit_mean),
        sigma_raw=representable(math.sqrt(found.variance), spectrum.exponent // 2),
        lambda_minus=lower * unit_mean,
        lambda_plus=upper * unit_mean,
        edge=found.edge * unit_mean,
        edge_raw=spectrum.in_raw_units(found.edge),
        softrank=upper / float(positive[-1]),
        spikes=found.spikes,
        pvalue=tail,
        ks=ks,
        critical_ks=critical,
        N=noise.N,
        M=noise.M,
        outcome=Outcome.NO_BULK if ks > critical else Outcome.OK,
        noise=noise,
    )


def separate(positive: FloatArray, whole: Noise, level: float) -> _Split:
    """Spikes and noise of ascending positive eigenvalues."""
    n, slices = positive.size, whole.slices
    k, sides, even, raised, shift, at = _edges(n, whole.N, slices, level)
    variance = np.cumsum(positive)[n - 1 - k] / (sides[0] * sides[1] * slices)
    start = median_variance(positive, whole) * whole.edge(level)
    spikes = min(int(np.count_nonzero(positive > start)), k.size - 1)
    noise = whole
    for _ in range(ROUNDS):
        # Strengths and cumulants move the edge by a factor that hardly depends on how many spikes are taken out.
        centre, scale = johnstone(noise.N, noise.M)
        edge = variance * (even * (noise.edge(level) / float(centre + scale * at)) + raised)
        above = positive[n - 1 - k] > edge
        before = spikes
        while spikes < k.size - 1 and above[spikes]:
            spikes += 1
        while spikes > 0 and not above[spikes - 1]:
            spikes -= 1
        noise = whole.on(float(sides[0][spikes]), float(sides[1][spikes]))
        if spikes == before or whole.is_even:
            break
    return _Split(
        variance=float(variance[spikes]),
        edge=float(edge[spikes]),
        spikes=spikes,
        noise=noise,
        shift=shift,
    )


@functools.lru_cache(maxsize=64)
def _edges(
    n: int, N: float, slices: int, level: float
) -> tuple[np.ndarray, tuple[FloatArray, FloatArray], FloatArray, FloatArray, float, float]:
    """Of n positive eigenvalues without k spikes, in units of their variance: many layers have one shape.

    The numbers k, the sides that are left, the edges of even noise, Nadler's correction of each, that of k = 0 in
    Tracy-Widom units, and the quantile of that law.
    """
    k = np.arange(max(1, min(n - slices, int(LARGEST_SHARE_OF_SPIKES * n))))
    sides = N - k / slices, n / slices - k / slices
    at, slope = critical_value(-math.expm1(math.log1p(-level) / slices))
    centre, scale = johnstone(*sides)
    shrink = (centre / scale) ** 2 / (sides[0] * sides[1] * slices)
    return k, sides, centre + scale * at, scale * slope * shrink, slope * float(shrink[0]), at


def median_variance(positive: FloatArray, noise: Noise) -> float:
    """Variance of the entries from the smaller half of the eigenvalues."""
    half = max(2, positive.size // 2)
    expected = (
        _lower_half(half, positive.size, noise.q) if noise.is_even else _sum_of_quantiles(noise, half, positive.size)
    )
    return float(positive[:half].sum() / (noise.N * expected))


def _sum_of_quantiles(noise: Noise, half: int, size: int) -> float:
    return float(noise.quantile((np.arange(half) + 0.5) / size).sum())


@functools.lru_cache(maxsize=64)
def _lower_half(half: int, size: int, q: float) -> float:
    """The same of Marchenko-Pastur: many layers have one shape."""
    return _sum_of_quantiles(Noise(1.0, q), half, size)


def _ks(law: FloatArray) -> float:
    """Largest distance between a law at ascending points and their steps."""
    step = np.arange(law.size) / law.size
    return float(max(np.max(law - step), np.max(step + 1 / law.size - law)))


def _no_fit(outcome: Outcome) -> BulkFit:
    nan = math.nan
    return BulkFit(nan, nan, nan, nan, nan, nan, nan, 0, nan, nan, nan, nan, nan, outcome)
