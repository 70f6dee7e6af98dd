r"""Laws of one tail by maximum likelihood, and two of them compared.

In y = ln(x / x_min) >= 0 the power law, the truncated power law and the lognormal are exponential families,
:math:`e^{-ay}`, :math:`e^{-ay - c(e^y - 1)}` with :math:`c \ge 0` and :math:`e^{-ay - by^2}` with :math:`b \ge 0`:
the power law is the border of both others, their log-likelihoods are concave and Newton's method finds the maximum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..core.arrays import FloatArray
from .bulk import BulkFit

NODES, WEIGHTS = np.polynomial.legendre.leggauss(48)
MAX_STEPS = 60
# Nearer to the border than this, the law is the power law.
BORDER = 1e-7
# Scales of the bulk on the tail.
STRETCHES = np.linspace(1.0, 1.2, 9)


@dataclass(frozen=True)
class TailLaw:
    """A law fitted to y = ln(x / x_min): its two exponents, and its log-density at every y.

    The density is exp(-exponent y - bend f(y)) up to its norm, f(y) = e^y - 1 (truncated power law, where bend is the
    cut-off rate times x_min and the power of x is -(exponent + 1)) or y^2 (lognormal, bend = 1 / (2 s^2)).
    """

    exponent: float
    bend: float
    log_density: FloatArray

    @property
    def log_likelihood(self) -> float:
        """Sum of the log-densities."""
        return float(self.log_density.sum())


@dataclass(frozen=True)
class Comparison:
    """Vuong's test of two densities on the same points.

    `ratio` is the log-likelihood ratio, positive when the first fits better, `z` its standardised value and `pvalue`
    the two-sided probability that laws equally near to the truth differ as much.
    """

    ratio: float
    z: float
    pvalue: float


def vuong(first: FloatArray, second: FloatArray, more_parameters: int = 0) -> Comparison:
    r"""Log-likelihood ratio of two laws, :math:`z = R / (\sqrt n\,s)`, s the spread of the pointwise ratios.

    `more_parameters` that the second law has count against it as in Akaike's criterion, one nat each.
    Vuong, Econometrica 57, 307 (1989); Clauset et al., SIAM Review 51, 661 (2009), Eq. C.6. Eigenvalues repel each
    other, so that p-values for independent points are larger than the true ones: a small one can be trusted.

    Examples
    --------
    >>> round(vuong(np.array([0.1, 0.3, 0.2]), np.zeros(3)).ratio, 3)
    0.6
    """
    difference = first - second
    ratio, spread = float(difference.sum()) + more_parameters, float(difference.std())
    if not spread > 0:
        return Comparison(ratio, 0.0, 1.0)
    z = ratio / (math.sqrt(difference.size) * spread)
    return Comparison(ratio, z, math.erfc(abs(z) / math.sqrt(2)))


def power_law(y: FloatArray) -> TailLaw:
    """Hill's exponential in y, alpha - 1 = n / sum y."""
    rate = y.size / float(y.sum())
    return TailLaw(rate, 0.0, math.log(rate) - rate * y)


def truncated_power_law(y: FloatArray) -> TailLaw:
    """x^-alpha e^(-lambda x) above x_min, alpha = exponent + 1 and lambda = bend / x_min."""
    return _bent(y, np.expm1)


def lognormal(y: FloatArray) -> TailLaw:
    """A lognormal law above x_min, of variance 1 / (2 bend) in ln x."""
    return _bent(y, np.square)


def _bent(y: FloatArray, feature: Callable[[FloatArray], FloatArray]) -> TailLaw:
    # Far out the feature may be inf, and the density is 0.
    with np.errstate(over="ignore", under="ignore"):
        return _of_maximum(y, feature)


def _of_maximum(y: FloatArray, feature: Callable[[FloatArray], FloatArray]) -> TailLaw:
    """Maximum of the likelihood of exp(-a y - b f(y)), b >= 0; the power law when that is on the border.

    In y / max y and f(y) / f(max y): damped Newton steps on mean log-likelihood t.m - A(t), whose gradient is the
    difference of data and model means and whose Hessian is minus their covariance.
    """
    straight, top = power_law(y), float(y[-1])
    ends = np.array([0, 0.5, 1, 2, max(4, 40 / (straight.exponent * top))]) * top
    half = np.diff(ends) / 2
    points = (ends[:-1, None] + half[:, None] * (NODES + 1)).ravel()
    weights = (half[:, None] * WEIGHTS).ravel()
    largest = float(feature(np.array(top)))
    # Where the feature is this large the density is zero.
    grid = np.stack([points / top, np.minimum(feature(points) / largest, 1e12)])
    data = np.array([y.mean() / top, float(np.mean(feature(y))) / largest])

    def state(theta: FloatArray) -> tuple[float, FloatArray, float]:
        logs = theta @ grid
        highest = float(logs.max())
        shares = weights * np.exp(logs - highest)
        total = float(shares.sum())
        norm = highest + math.log(total)
        return float(theta @ data) - norm, shares / total, norm

    theta = np.array([-straight.exponent * top, -0.1])
    value, shares, norm = state(theta)
    for _ in range(MAX_STEPS):
        mean = grid @ shares
        (first, both), (_, second) = (grid * shares) @ grid.T - np.multiply.outer(mean, mean)
        off, determinant = data - mean, first * second - both * both
        if not determinant:
            # A tail without spread: the feature is a multiple of y and says nothing more.
            return straight
        step = np.array([second * off[0] - both * off[1], first * off[1] - both * off[0]]) / determinant
        # A step over the border ends nine tenths of the way to it.
        size = min(1.0, 0.9 * -theta[1] / step[1]) if step[1] > 0 else 1.0
        new, new_shares, new_norm = state(theta + size * step)
        while new < value - 1e-13 and size > 1e-6:
            size /= 2
            new, new_shares, new_norm = state(theta + size * step)
        gained = new - value
        theta, value, shares, norm = theta + size * step, new, new_shares, new_norm
        if gained < 1e-10 or theta[1] > -BORDER:
            break
    if theta[1] > -BORDER or value * y.size <= straight.log_likelihood:
        return straight
    log_density = theta[0] * y / top + theta[1] * feature(y) / largest - norm
    return TailLaw(-theta[0] / top, -theta[1] / largest, log_density)


def bulk_and_spikes(tail: FloatArray, bulk: BulkFit) -> FloatArray:
    """Log-density in y of a bulk of noise with its spikes, given that x >= the smallest of `tail`.

    What lies above the edge of the noise is a spike, anywhere up to the largest of them: uniform in ln x. At least half
    a point may lie anywhere, and as many as lie below the lower edge: no point decides by being impossible.
    The bulk may end a little beyond its edge: its scale on the tail is a parameter, from 1 to 1.2 times that of the
    fit. Three parameters: scale, share of the spikes, their largest.

    Parameters
    ----------
    tail : ndarray, ascending
        Eigenvalues on the unit-mean scale, at least one.
    bulk : BulkFit
        Of the spectrum they belong to.
    """
    tried = [_bulk_and_spikes(tail, bulk, stretch) for stretch in STRETCHES]
    return max(tried, key=lambda log_density: float(log_density.sum()))


def _bulk_and_spikes(tail: FloatArray, bulk: BulkFit, stretch: float) -> FloatArray:
    """The same at one scale."""
    assert bulk.noise is not None
    x = tail / (stretch * bulk.sigma**2)
    lower, upper = bulk.noise.support
    edge = max(upper, bulk.edge / bulk.sigma**2)
    spikes, stray = np.count_nonzero(x > edge) / tail.size, max(float(np.count_nonzero(x < lower)), 0.5) / tail.size
    width = math.log(tail[-1] / tail[0])
    if spikes + stray >= 1:
        return np.full(tail.size, math.log(1 / width))
    # Noise with a finite number of eigenvalues ends softly: between the end of the law and the edge it has the density
    # of the last eigenvalue, and nothing is known of less than one.
    soft = 1 / (bulk.noise.M * bulk.noise.slices)
    mass = max(1 - float(bulk.noise.cdf(x[:1])[0]), soft)
    density = np.where(x <= upper, bulk.noise.pdf(x), 0.0) * x / mass
    beyond = (x > upper) & (x <= edge)
    density[beyond] = soft * x[beyond] / (mass * (edge - upper))
    density *= 1 - spikes - stray
    # A single spike is not known better than the edge is.
    density[x > edge] = spikes / max(math.log(max(x[-1] / edge, 1.0)), (edge - upper) / upper, 1e-6)
    return np.log(density + stray / width)
