r"""How far alpha can be trusted when the start of its tail was chosen from the data.

The standard error (alpha - 1) / sqrt(n) is that of a known start; real spectra have several that fit nearly as well,
and alpha leaps between them. Here everything is drawn anew and the start chosen anew each time:

- `resample`: eigenvalues with replacement. The percentiles of alpha are its interval. Eigenvalues repel each other, so
  that a rigid spectrum (noise, a trained layer) varies less than that: the interval is then too wide, not too narrow.
- `simulate`: the tail from the fitted law, the body from its eigenvalues (Clauset et al. 2009, section 4.1). The share
  of distances above the observed one is the p-value of the power law.

Coverages on ensembles of known truth: docs/uncertainty.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..core.arrays import FloatArray
from .starts import best_start, candidate_starts, ks_lower, tail_rates

# The interval holds nine in ten.
LOW, HIGH = 5.0, 95.0
# Candidate starts of a drawn spectrum: every so many-th where there are more.
MOST_STARTS = 400
# And of a spectrum whose starts are held against each other.
MOST_ON_A_CURVE = 4 * MOST_STARTS
# Starts nearer to each other than this share of the tail are one.
NEIGHBOURHOOD = 0.05


@dataclass(frozen=True)
class Draws:
    """Fits of drawn spectra: exponents, KS distances, and logarithms of the starts."""

    alphas: FloatArray
    distances: FloatArray
    log_starts: FloatArray


@dataclass(frozen=True)
class Doubt:
    """What the draws say of one fit: the fields of `TailFit` by the same names."""

    alpha_low: float
    alpha_high: float
    gof_p: float
    p_below_2: float
    starts: float
    alpha_2nd: float
    lambda_min_low: float
    lambda_min_high: float


def doubt(log_x: FloatArray, rank: int, resolution: float, number: int, seed: int) -> Doubt:
    """Interval, goodness of fit and competing starts of the tail of the `rank` largest.

    Parameters
    ----------
    log_x : ndarray, ascending
        Logarithms of the positive eigenvalues.
    rank : int
        Length of the fitted tail.
    resolution : float
        Rounding of the logarithms.
    number, seed : int
        Of the draws.
    """
    resampled, simulated = (
        _fits(draws, resolution) for draws in (resample(log_x, number, seed), simulate(log_x, rank, number, seed))
    )
    tail = log_x[-rank:] - log_x[-rank]
    distance = ks_lower(tail, rank / float(tail.sum()))
    starts, second = competing_starts(log_x, resolution, rank, distance + float(np.std(simulated.distances)))
    low, high = np.percentile(resampled.alphas, [LOW, HIGH])
    first, last = np.exp(np.percentile(resampled.log_starts, [LOW, HIGH]))
    return Doubt(
        alpha_low=float(low),
        alpha_high=float(high),
        gof_p=_share(simulated, simulated.distances >= distance),
        p_below_2=_share(resampled, resampled.alphas < 2),
        starts=float(starts),
        alpha_2nd=second,
        lambda_min_low=float(first),
        lambda_min_high=float(last),
    )


def _share(draws: Draws, held: np.ndarray) -> float:
    """Share of the draws of which something holds; NaN where none of them has a tail."""
    return float(np.mean(held)) if np.isfinite(draws.alphas).all() else math.nan


def resample(log_x: FloatArray, number: int, seed: int) -> Iterator[FloatArray]:
    """So many spectra of as many eigenvalues, drawn with replacement, ascending."""
    rng = np.random.default_rng((seed, 0))
    for _ in range(number):
        yield np.sort(log_x[rng.integers(log_x.size, size=log_x.size)])


def simulate(log_x: FloatArray, rank: int, number: int, seed: int) -> Iterator[FloatArray]:
    """So many spectra with a power-law tail of the fitted exponent above a body drawn with replacement."""
    rng = np.random.default_rng((seed, 1))
    body, tail = log_x[:-rank], log_x[-rank:] - log_x[-rank]
    mean = float(tail.mean())
    for _ in range(number):
        above = rng.binomial(log_x.size, rank / log_x.size) if body.size else log_x.size
        drawn = body[rng.integers(body.size, size=log_x.size - above)] if body.size else body
        yield np.sort(np.concatenate([drawn, log_x[-rank] + mean * rng.standard_exponential(above)]))


def _fits(draws: Iterator[FloatArray], resolution: float) -> Draws:
    """Each drawn spectrum fitted, its start chosen anew; those without a tail are left out."""
    found = []
    for log_x in draws:
        starts = candidate_starts(log_x, resolution)
        if not starts.size:
            continue
        start = best_start(log_x, starts[:: -(-starts.size // MOST_STARTS)])
        tail = log_x[start:] - log_x[start]
        rate = tail.size / float(tail.sum())
        found.append((1 + rate, ks_lower(tail, rate), log_x[start]))
    columns = np.array(found).reshape(-1, 3).T if found else np.full((3, 1), math.nan)
    return Draws(*columns)


def competing_starts(log_x: FloatArray, resolution: float, rank: int, tolerance: float) -> tuple[int, float]:
    """Number of starts with a distance up to `tolerance` that are the best of their neighbourhood, and alpha at the
    second best of them; NaN where there is one.
    """
    starts = candidate_starts(log_x, resolution)
    starts = starts[:: -(-starts.size // MOST_ON_A_CURVE)]
    rates = tail_rates(log_x, starts)
    distances = np.array([ks_lower(log_x[start:] - log_x[start], rate) for start, rate in zip(starts, rates)])
    best = best_of_neighbourhoods(log_x.size - starts, distances, rank, tolerance)
    return max(len(best), 1), float(1 + rates[best[1]]) if len(best) > 1 else math.nan


def best_of_neighbourhoods(ranks: np.ndarray, distances: FloatArray, rank: int, tolerance: float) -> list[int]:
    """Places of the starts with a distance up to `tolerance` that are the best of their neighbourhood, best first.

    Parameters
    ----------
    ranks, distances : ndarray
        Length of the tail and KS distance of each start, the longest tail first.
    rank : int
        Length of the fitted tail, from which the size of a neighbourhood is taken.
    """
    # A tail of a few fits anything.
    within = np.flatnonzero((distances <= tolerance) & (ranks >= min(rank, 8)))
    if not within.size:
        return []
    apart = max(1.0, NEIGHBOURHOOD * rank)
    groups = np.split(within, np.flatnonzero(-np.diff(ranks[within]) > apart) + 1)
    return sorted((int(group[int(np.argmin(distances[group]))]) for group in groups), key=lambda at: distances[at])
