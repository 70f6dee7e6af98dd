"""The Kolmogorov-Smirnov distance of every start of the tail (Fig. 1d of the paper), and which starts fit as well."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ..core.arrays import FloatArray
from .esd import Spectrum
from .starts import candidate_starts, ks_lower, tail_rates
from .tail import TailFit
from .uncertainty import MOST_ON_A_CURVE, best_of_neighbourhoods

# Standard deviation of the least distance over spectra with the fitted tail, times the root of the tail's length:
# 0.07 to 0.13 over exponents of 2 to 4 and tails of 20 to 300 eigenvalues.
SPREAD = 0.11
# Relative difference of two exponents that are one.
SAME = 1e-9


@dataclass(frozen=True, eq=False)
class KsCurve:
    """Candidate starts of one spectrum, ascending; at most 1600 of them, the fitted one always there.

    Attributes
    ----------
    lambda_min : ndarray
        The starts, unit mean.
    ranks : ndarray of int
        Number of eigenvalues in the tail of each.
    alphas, distances : ndarray
        Exponent and KS distance of each.
    best : int
        Place of the fitted start; -1 where there is no tail.
    second : int
        Place of the next best that fits as well within the error of the distance and is no neighbour of the first; -1
        where there is none.
    tolerance : float
        Distance up to which a start fits as well, NaN without a tail.
    """

    lambda_min: FloatArray = field(repr=False)
    ranks: np.ndarray = field(repr=False)
    alphas: FloatArray = field(repr=False)
    distances: FloatArray = field(repr=False)
    best: int
    second: int
    tolerance: float


def ks_curve(spectrum: Spectrum, tail: TailFit) -> KsCurve:
    r"""Distance :math:`D(\lambda_{\min}) = \max_i |F(\lambda_i) - i/n|` of each start.

    Parameters
    ----------
    spectrum : Spectrum
    tail : TailFit
        Of the same spectrum; where it was fitted with `uncertainty`, `second` is the start of its `alpha_2nd`.

    Returns
    -------
    KsCurve
        Empty where there is no tail.

    Notes
    -----
    arXiv 2507.17912, Fig. 1d; without drawn spectra the error of a distance is 0.11 over the root of the tail's length.

    Examples
    --------
    >>> from setol_ww import fit_tail
    >>> spectrum = Spectrum.from_eigenvalues(np.arange(1, 200) ** -0.8)
    >>> fit = fit_tail(spectrum)
    >>> curve = ks_curve(spectrum, fit)
    >>> bool(curve.distances[curve.best] == fit.ks == curve.distances.min())
    True
    """
    if not tail.rank:
        nothing = np.empty(0)
        return KsCurve(nothing, np.empty(0, dtype=int), nothing, nothing, -1, -1, math.nan)
    values = spectrum.unit_mean[spectrum.num_evals - spectrum.rank :]
    log_x, fitted = np.log(values), values.size - tail.rank
    starts = candidate_starts(log_x, 2 * spectrum.rounding)
    starts = np.union1d(starts[:: -(-starts.size // MOST_ON_A_CURVE)], [fitted])
    rates = tail_rates(log_x, starts)
    distances = np.array([ks_lower(log_x[start:] - log_x[start], rate) for start, rate in zip(starts, rates)])
    best = int(np.flatnonzero(starts == fitted)[0])
    distances[best] = tail.ks
    tolerance = tail.ks + SPREAD / math.sqrt(tail.rank)
    ranks, alphas = log_x.size - starts, 1 + rates
    second = _second(tail, ranks, alphas, distances, tolerance)
    return KsCurve(values[starts], ranks, alphas, distances, best, second, tolerance)


def _second(tail: TailFit, ranks: np.ndarray, alphas: FloatArray, distances: FloatArray, tolerance: float) -> int:
    if math.isfinite(tail.starts):
        same = np.flatnonzero(np.abs(alphas - tail.alpha_2nd) <= SAME * np.abs(alphas))
        return int(same[np.argmin(distances[same])]) if same.size else -1
    others = best_of_neighbourhoods(ranks, distances, tail.rank, tolerance)[1:]
    return int(others[0]) if others else -1
