r"""The Marchenko-Pastur bulk of a spectrum, its edges, and the eigenvalues that lie above it.

A first variance comes from the median eigenvalue, which spikes do not move, whatever share of the norm they carry.
What lies above the Tracy-Widom edge of that noise is set aside one by one, and the variance is then the trace of the
rest: exact for pure noise, and for noise beside strong spikes up to 1/(N theta^2) (Kritchman and Nadler 2009).
An eigenvalue is tested against the trace it belongs to, for which Nadler's (2011) correction keeps the stated level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.optimize

from ..core.arrays import FloatArray
from ..core.errors import InvalidInput
from ..core.outcomes import Outcome
from ..linalg.scaled import representable
from ..theory.laws.edge import quick_tracy_widom_sf, tracy_widom_sf
from .esd import Spectrum

LEVEL = 0.01
MIN_EVALS = 4
# More than three quarters of the eigenvalues cannot be spikes: there would be no bulk to call them so.
LARGEST_SHARE_OF_SPIKES = 0.75
# 99 % point of the largest deviation in the count of eigenvalues, c_0 + c_1 ln M: eigenvalues repel each other, so it
# grows like a logarithm and not like sqrt(M). Fitted to Gaussian matrices of 10 to 1000 columns, `scripts/bulk_fit.py`.
CRITICAL_COUNT = (1.25, 0.40)
ANGLES = np.linspace(0, np.pi / 2, 2049)


@dataclass(frozen=True)
class BulkFit:
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

    @property
    def is_marchenko_pastur(self) -> bool:
        """True when the eigenvalues below the edge may be those of noise."""
        return self.outcome is Outcome.OK


@dataclass(frozen=True)
class _Noise:
    """Noise of standard deviation sqrt(variance) on N x M a slice, behind `spikes` eigenvalues.

    `shift` is Nadler's correction for the trace, in Tracy-Widom units.
    """

    variance: float
    edge: float
    spikes: int
    N: float
    M: float
    shift: float


def fit_bulk(spectrum: Spectrum, *, level: float = LEVEL) -> BulkFit:
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
    sides = {spectrum.N, spectrum.M} if spectrum.rank < spectrum.num_evals else {spectrum.N}
    fits = [_fit(spectrum, positive, float(side), level) for side in sorted(sides)]
    return min(fits, key=lambda fit: fit.ks)


def _fit(spectrum: Spectrum, positive: FloatArray, N: float, level: float) -> BulkFit:
    noise = separate(positive, N, spectrum.slices, level)
    q, unit = noise.M / noise.N, noise.variance * noise.N
    # The largest eigenvalue is judged by the noise as a whole, spikes or not.
    centre, scale = johnstone(N, positive.size / spectrum.slices)
    tail = quick_tracy_widom_sf((float(positive[-1]) / noise.variance - float(centre)) / float(scale) - noise.shift)
    bulk = positive[: positive.size - noise.spikes]
    ks = _ks(marchenko_pastur_cdf(bulk / unit, q))
    critical = (CRITICAL_COUNT[0] + CRITICAL_COUNT[1] * math.log(noise.M)) / (noise.M * math.sqrt(spectrum.slices))
    minus, plus = unit * (1 - math.sqrt(q)) ** 2, unit * (1 + math.sqrt(q)) ** 2
    unit_mean = spectrum.num_evals / float(spectrum.values.sum())
    return BulkFit(
        sigma=math.sqrt(unit * unit_mean),
        sigma_raw=representable(math.sqrt(noise.variance), spectrum.exponent // 2),
        lambda_minus=minus * unit_mean,
        lambda_plus=plus * unit_mean,
        edge=noise.edge * unit_mean,
        edge_raw=spectrum.in_raw_units(noise.edge),
        softrank=plus / float(positive[-1]),
        spikes=noise.spikes,
        pvalue=-math.expm1(spectrum.slices * math.log1p(-min(tail, 1 - 1e-16))),
        ks=ks,
        critical_ks=critical,
        N=noise.N,
        M=noise.M,
        outcome=Outcome.NO_BULK if ks > critical else Outcome.OK,
    )


def separate(positive: FloatArray, N: float, slices: int, level: float) -> _Noise:
    """Spikes and noise of ascending positive eigenvalues."""
    n = positive.size
    k = np.arange(max(1, min(n - slices, int(LARGEST_SHARE_OF_SPIKES * n))))
    sides = N - k / slices, n / slices - k / slices
    variance = np.cumsum(positive)[n - 1 - k] / (sides[0] * sides[1] * slices)
    at, slope = critical_value(-math.expm1(math.log1p(-level) / slices))
    centre, scale = johnstone(*sides)
    shrink = (centre / scale) ** 2 / (sides[0] * sides[1] * slices)
    edge = variance * (centre + scale * (at + slope * shrink))
    above = positive[n - 1 - k] > edge
    first = median_variance(positive, N, n / slices) * (centre[0] + scale[0] * at)
    spikes = min(int(np.count_nonzero(positive > first)), k.size - 1)
    while spikes < k.size - 1 and above[spikes]:
        spikes += 1
    while spikes > 0 and not above[spikes - 1]:
        spikes -= 1
    return _Noise(
        variance=float(variance[spikes]),
        edge=float(edge[spikes]),
        spikes=spikes,
        N=float(sides[0][spikes]),
        M=float(sides[1][spikes]),
        shift=slope * float(shrink[0]),
    )


def johnstone(N: FloatArray | float, M: FloatArray | float) -> tuple[FloatArray, FloatArray]:
    """`edge_law.centre_and_scale` for arrays of sides, which need not be integers where spikes lie in a few slices."""
    a, b = np.sqrt(np.asarray(N) - 0.5), np.sqrt(np.asarray(M) - 0.5)
    return (a + b) ** 2, (a + b) * (1 / a + 1 / b) ** (1 / 3)


@lru_cache(maxsize=64)
def critical_value(level: float) -> tuple[float, float]:
    """The t that a Tracy-Widom variable exceeds with this probability, and F''/F' there."""
    t, h = float(scipy.optimize.brentq(lambda x: tracy_widom_sf(x) - level, -8.0, 60.0, xtol=1e-10)), 0.01
    below, here, beyond = (tracy_widom_sf(t + step * h) for step in (-1, 0, 1))
    return t, (below - 2 * here + beyond) / h**2 / ((beyond - below) / (2 * h))


def median_variance(positive: FloatArray, N: float, M: float) -> float:
    """Variance of the entries from the smaller half of the eigenvalues."""
    half = max(2, positive.size // 2)
    expected = marchenko_pastur_quantiles((np.arange(half) + 0.5) / positive.size, M / N)
    return float(positive[:half].sum() / (N * expected.sum()))


def marchenko_pastur_cdf(x: FloatArray, q: float) -> FloatArray:
    """Distribution function of unit variance and ratio q <= 1, closed form."""
    lower, upper = (1 - math.sqrt(q)) ** 2, (1 + math.sqrt(q)) ** 2
    inside = np.clip(x, lower, upper)
    up, down = np.sqrt(upper - inside), np.sqrt(inside - lower)
    first = np.arctan2(upper + lower - 2 * inside, 2 * up * down)
    second = np.arctan2(lower * up**2 - upper * down**2, 2 * (1 - q) * up * down)
    return (math.pi * q + up * down - (1 + q) * first + (1 - q) * second) / (2 * math.pi * q)


def marchenko_pastur_quantiles(p: FloatArray, q: float) -> FloatArray:
    """Inverse of `marchenko_pastur_cdf`, to 2e-6, by interpolation in the angle that removes the edges."""
    lower, upper = (1 - math.sqrt(q)) ** 2, (1 + math.sqrt(q)) ** 2
    cdf = marchenko_pastur_cdf(lower + (upper - lower) * np.sin(ANGLES) ** 2, q)
    return lower + (upper - lower) * np.sin(np.interp(p, cdf, ANGLES)) ** 2


def _ks(law: FloatArray) -> float:
    """Largest distance between a law at ascending points and their steps."""
    step = np.arange(law.size) / law.size
    return float(max(np.max(law - step), np.max(step + 1 / law.size - law)))


def _no_fit(outcome: Outcome) -> BulkFit:
    nan = math.nan
    return BulkFit(nan, nan, nan, nan, nan, nan, nan, 0, nan, nan, nan, nan, nan, outcome)
