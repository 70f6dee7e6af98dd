"""Intervals of what depends on both starts of the tail, from the resampled spectra behind the interval of alpha."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..core.arrays import FloatArray
from ..core.card import Card, Fact, Shown, number_text
from ..core.outcomes import Outcome
from ..spectrum.erg import erg_cut
from ..spectrum.esd import Spectrum
from ..spectrum.starts import best_start, candidate_starts
from ..spectrum.uncertainty import HIGH, LOW, MOST_STARTS, resample
from ..theory.laws.sides import compressed
from .quality import normed_quality

# The quality of so many equally likely eigenvalues of the ERG tail moves as that of all of them does.
LARGEST_TAIL = 64


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
    drawn = replace(spectrum, values=values, exponent=0)
    erg = erg_cut(drawn)
    if erg.status is not Outcome.OK:
        return None
    delta = float(drawn.unit_mean[zeros.size + start]) - erg.lambda_min
    return delta, normed_quality(compressed(drawn.unit_mean[drawn.num_evals - erg.rank :], LARGEST_TAIL))


def _erg_tail(spectrum: Spectrum) -> FloatArray:
    rank = erg_cut(spectrum).rank
    return spectrum.unit_mean[spectrum.num_evals - rank :] if rank else np.empty(0)
