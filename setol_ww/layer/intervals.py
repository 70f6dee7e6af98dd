"""Intervals: the one of alpha, and of what depends on both starts of the tail, from the same resampled spectra."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core.arrays import FloatArray
from ..core.card import Card, Fact, Shown, number_text
from ..core.outcomes import Outcome
from ..spectrum.erg import erg_cut
from ..spectrum.esd import Spectrum
from ..spectrum.starts import best_start, candidate_starts
from ..spectrum.tail import INTERVAL_SIGMAS
from ..spectrum.uncertainty import HIGH, LOW, MOST_STARTS, resample
from ..theory.laws.sides import compressed
from .quality import normed_quality

# The quality of so many equally likely eigenvalues of the ERG tail moves as that of all of them does.
LARGEST_TAIL = 64
# The standard error with the choice of the start in it, over that for a known start: docs/uncertainty.md.
INFLATION = 1.25


def half_widths(value: Any, error: Any, low: Any, high: Any) -> tuple[FloatArray, FloatArray]:
    """Half intervals below and above numbers: to the resampled ends where both are there, else `error` either way.

    Examples
    --------
    >>> [side.tolist() for side in half_widths(np.array([2.0, 2.0]), 0.5, np.array([1.9, np.nan]), 2.2)]
    [[0.10000000000000009, 0.5], [0.20000000000000018, 0.5]]
    """
    known = np.isfinite(low) & np.isfinite(high)
    below, above = np.maximum(np.subtract(value, low), 0.0), np.maximum(np.subtract(high, value), 0.0)
    return np.where(known, below, error), np.where(known, above, error)


def alpha_ends(
    alpha: Any, sigma: Any, low: Any = math.nan, high: Any = math.nan, sigmas: float = INTERVAL_SIGMAS
) -> tuple[FloatArray, FloatArray]:
    """Lower and upper ends for alphas: the resampled intervals where there are some, else by the inflated errors.

    Parameters
    ----------
    alpha, sigma, low, high : array_like
        The fits, their standard errors for known starts, and the ends of resampled 90 % intervals or NaN.
    sigmas : float
        How many standard errors the interval has on each side; a resampled one is stretched alike.

    Returns
    -------
    tuple of ndarray
        No lower end is below 1, which no exponent is.

    Examples
    --------
    >>> low, high = alpha_ends(3.0, 0.2)
    >>> round(float(low), 3), round(float(high), 3)
    (2.589, 3.411)
    """
    below, above = half_widths(alpha, INTERVAL_SIGMAS * INFLATION * np.asarray(sigma), low, high)
    width = sigmas / INTERVAL_SIGMAS
    with np.errstate(invalid="ignore"):
        return np.maximum(1.0, alpha - width * below), alpha + width * above


@dataclass(frozen=True, repr=False)
class Intervals(Shown):
    """Lower and upper ends, 90 %; NaN where too few resampled spectra have both tails."""

    delta_low: float
    delta_high: float
    q2_norm_low: float
    q2_norm_high: float

    def _card(self) -> Card:
        pairs = (("delta", self.delta_low, self.delta_high), ("q2_norm", self.q2_norm_low, self.q2_norm_high))
        facts = [Fact(name, f"{number_text(low)} to {number_text(high)}") for name, low, high in pairs]
        return Card("intervals (90 %)", facts)


def intervals(spectrum: Spectrum, number: int, seed: int) -> Intervals:
    """Percentiles over `number` spectra of eigenvalues drawn with replacement, both starts chosen anew.

    The quality of each is that of its ERG tail compressed to 64 values, and counted relative to that of the spectrum
    itself compressed alike.

    Examples
    --------
    >>> ends = intervals(Spectrum.from_eigenvalues(np.arange(1, 200) ** -0.8), 50, 0)
    >>> ends.delta_low < ends.delta_high, ends.q2_norm_low < ends.q2_norm_high
    (True, True)
    """
    log_x = np.log(spectrum.unit_mean[spectrum.num_evals - spectrum.rank :])
    zeros = np.zeros(spectrum.num_evals - spectrum.rank)
    found = [_of_one(spectrum, drawn, zeros) for drawn in resample(log_x, number, seed)]
    kept = np.array([one for one in found if one is not None]).reshape(-1, 2)
    if kept.shape[0] < max(2, number // 2):
        return Intervals(*4 * [math.nan])
    (delta_low, q2_low), (delta_high, q2_high) = np.percentile(kept, [LOW, HIGH], axis=0)
    exact = _erg_tail(spectrum)
    factor = normed_quality(exact) / normed_quality(compressed(exact, LARGEST_TAIL)) if exact.size else math.nan
    return Intervals(float(delta_low), float(delta_high), float(q2_low * factor), float(q2_high * factor))


def _of_one(spectrum: Spectrum, log_x: FloatArray, zeros: FloatArray) -> tuple[float, float] | None:
    """delta_lambda_min and the quality of one resampled spectrum; None without a tail."""
    starts = candidate_starts(log_x, 2 * spectrum.rounding)
    if not starts.size:
        return None
    start = best_start(log_x, starts[:: -(-starts.size // MOST_STARTS)])
    values = np.concatenate([zeros, np.exp(log_x)])
    drawn = replace(spectrum, values=values)
    erg = erg_cut(drawn)
    if erg.status is not Outcome.OK:
        return None
    delta = float(drawn.unit_mean[zeros.size + start]) - erg.lambda_min
    return delta, normed_quality(compressed(drawn.unit_mean[drawn.num_evals - erg.rank :], LARGEST_TAIL))


def _erg_tail(spectrum: Spectrum) -> FloatArray:
    rank = erg_cut(spectrum).rank
    return spectrum.unit_mean[spectrum.num_evals - rank :] if rank else np.empty(0)
