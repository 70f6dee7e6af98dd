"""Spectra whose answers are known to the last bit: ties, sums of zero, draws without a tail, windows without one."""

from __future__ import annotations

import math

import numpy as np
import pytest

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix, pareto_eigenvalues, signed_pareto_matrix
from fixtures.oracles import power_law_scan, singular_value_squares
from setol_ww.layer.intervals import intervals
from setol_ww.spectrum import windows
from setol_ww.spectrum.ks_curve import ks_curve
from setol_ww.spectrum.starts import Scan, best_start, peak_alpha, tail_rates

of = ww.Spectrum.from_eigenvalues


# The trace-log cut: powers of two of mean 1, whose logarithms add up exactly.


@pytest.mark.parametrize(
    ("values", "rank", "log_det", "status"),
    [
        # Zeros, and a product of one: the sum has fallen to zero where the rank ends.
        ([0.0, 0.5, 0.5, 2.0, 2.0], 4, 0.0, "ok"),
        ([0.0, 0.0, 1.0, 2.0], 2, math.log(2) + 2 * math.log(4 / 3), "rank_limited"),
        # ln 2 and -ln 2: as near to zero with two as with three, so two.
        ([0.125, 0.125, 0.25, 0.5, 4.0], 2, math.log(2), "ok"),
        ([0.1249, 0.1249, 0.2502, 0.5, 4.0], 3, math.log(0.5004), "ok"),
    ],
)
def test_where_the_sum_of_logarithms_is_nearest_to_zero(values, rank, log_det, status):
    cut = ww.erg_cut(of(values))
    assert (cut.rank, cut.status.value) == (rank, status)
    assert cut.log_det == pytest.approx(log_det, abs=1e-12)
    assert cut.fraction == rank / len(values)


def test_a_sum_of_logarithms_above_zero_by_rounding_is_of_no_limited_rank():
    """The mean of nearly equal values is not below their geometric mean; what is computed may say so."""
    above = 0
    for seed in range(40):
        spectrum = of(1 + 1e-12 * np.random.default_rng(seed).random(30))
        cut = ww.erg_cut(spectrum)
        above += cut.rank == 30 and cut.log_det > 0
        assert cut.status is ww.Outcome.OK
    assert above > 5


@pytest.mark.parametrize(("seed", "copies"), [(184, 12), (195, 9), (230, 18)])
def test_one_value_more_than_once_has_no_exponent_though_rounding_spreads_it(seed, copies):
    rng = np.random.default_rng(seed)
    assert (int(rng.integers(2, 30)), int(rng.integers(1, 30))) == (copies, 1)
    spectrum = of(np.append(rng.random(1) * 0.5, np.full(copies, 1 + rng.random())))
    cut = ww.erg_cut(spectrum)
    assert (cut.rank, math.isnan(cut.alpha)) == (copies, True)
    assert cut.log_det > cut.rank * math.log(cut.lambda_min)
    assert "q2_imp, q2_lw: the ERG tail has no spread and so no exponent" in quality_of(spectrum).q2_reason


@pytest.mark.parametrize("ulps", [1, 2, 3, 4])
@pytest.mark.parametrize("value", [1.0, 1.1, 1.3, 1.5])
def test_an_exponent_of_values_that_hardly_differ_is_large_or_none(value, ulps):
    for copies in (1, 2, 4):
        largest = value + ulps * np.spacing(value)
        cut = ww.erg_cut(of([0.001, 0.001, *[value] * copies, largest]))
        assert cut.rank == copies + 1
        assert math.isnan(cut.alpha) or cut.alpha > 1e10


def quality_of(spectrum: ww.Spectrum) -> ww.Quality:
    return ww.quality(spectrum, ww.fit_tail(spectrum), ww.erg_cut(spectrum))


# Starts of a tail.

#: Logarithms of which the first start and the last have one distance to the last bit, the middle a larger one; where
#: bounds of the distances were looked at first, the one or the other of both would come first.
TIES = {
    "the first bounded lower": [0.0, 0.6084935839369382, 0.9438014269420908, 1.0],
    "bounded alike": [0.0, 0.598774895563321, 0.9127555772777217, 1.0],
    "the last bounded lower": [0.0, 0.6110779444292768, 0.9520570334847974, 1.0],
}


@pytest.mark.parametrize("name", TIES)
def test_the_first_start_wins_a_tie(name):
    log_x, starts = np.array(TIES[name]), np.arange(3)
    rates = tail_rates(log_x, starts)
    steps = [
        1 - np.exp(-rate * (log_x[at:] - log_x[at])) - np.arange(4 - at) / (4 - at) for at, rate in enumerate(rates)
    ]
    distances = [np.abs(one).max() for one in steps]
    assert distances[0] == distances[2] < distances[1]
    assert best_start(log_x, starts) == Scan(log_x).best(starts) == Scan(log_x).best(np.array([0, 2])) == 0
    assert best_start(log_x, np.array([1, 2])) == 2


def alpha_of_starts(values: list[float], lowest: float, highest: float) -> float:
    """Hill's exponent at the start of the least distance, of starts from one value to another."""
    best, alpha = math.inf, math.nan
    for at, first in enumerate(values[:-1]):
        if lowest <= first <= highest:
            y = [math.log(value / first) for value in values[at:]]
            rate = len(y) / math.fsum(y)
            distance = max(abs(1 - math.exp(-rate * one) - number / len(y)) for number, one in enumerate(y))
            if distance < best:
                best, alpha = distance, 1 + rate
    return alpha


def test_starts_at_both_ends_of_the_peak_are_among_those_of_alphapruning():
    """From log10(.95 p) to 1.5 p, both ends included: where the peak p is at 1, and at a thousand."""
    low = sorted([1.0, 1.0005, 1.001, 1.002, 1.003] + [1.5 * (1 - place / 20) ** -0.7 for place in range(20)])
    assert peak_alpha(low) == pytest.approx(alpha_of_starts(low, 0.0, 1.5), rel=1e-9)
    assert abs(peak_alpha(low) - alpha_of_starts(low, 0.0, 1.4999)) > 0.1
    peak = 10 ** float(np.linspace(0, 5, 101)[60])
    first = math.log10(0.95 * peak)
    fullest = [peak * (1.001 + 1e-4 * place) for place in range(8)]
    high = sorted([1.0, *(first * (1 - place / 20) ** -2.0 for place in range(20)), *fullest, 1e5])
    assert np.argmax(np.histogram(np.log10(high), bins=100, range=(0, 5))[0]) == 60
    assert peak_alpha(high) == pytest.approx(alpha_of_starts(high, first, 1.5 * peak), rel=1e-9)
    assert abs(peak_alpha(high) - alpha_of_starts(high, first + 1e-9, 1.5 * peak)) > 1e-4


def test_a_curve_without_a_tail_is_empty():
    flat = of([1.0, 1.0, 1.0])
    curve = ks_curve(flat, ww.fit_tail(flat))
    assert (curve.best, curve.second, math.isnan(curve.tolerance)) == (-1, -1, True)
    sizes = [one.size for one in (curve.lambda_min, curve.ranks, curve.alphas, curve.distances)]
    assert (sizes, curve.ranks.dtype.kind) == ([0, 0, 0, 0], "i")


# Draws.


@pytest.mark.parametrize(("seed", "tails"), [(0, 0), (1, 1), (2, 1), (4, 0)])
def test_a_draw_without_a_tail_says_nothing_of_alpha(seed, tails):
    """Two values, drawn once: where the same is drawn twice nothing is known, not that alpha is above 2."""
    drawn = np.random.default_rng((seed, 0)).integers(2, size=2)
    assert len(set(drawn)) - 1 == tails
    fit = ww.fit_tail(of([1.0, 2.0]), uncertainty=1, seed=seed)
    for value in (fit.alpha_low, fit.alpha_high, fit.p_below_2, fit.lambda_min_low, fit.lambda_min_high):
        assert math.isnan(value) is (tails == 0)
    assert fit.gof_p == 1.0
    if tails:
        assert (fit.alpha_low, fit.alpha_high, fit.p_below_2) == (fit.alpha, fit.alpha, 0.0)
        assert fit.lambda_min_low == pytest.approx(2 / 3)


def test_draws_without_a_tail_are_left_out_and_no_others():
    """Three values of which two are one: all draws but those of one value have the same exponents."""
    values, number, seed = np.array([1.0, 1.0, 3.0]), 40, 6
    rng, alphas = np.random.default_rng((seed, 0)), []
    for _ in range(number):
        drawn = np.sort(values[rng.integers(3, size=3)])
        if drawn[0] < drawn[-1]:
            alphas.append(power_law_scan(drawn).alpha)
    assert drawn[0] < drawn[-1]
    assert 20 < len(alphas) < number - 5
    fit = ww.fit_tail(of(values), uncertainty=number, seed=seed)
    assert (fit.alpha_low, fit.alpha_high) == pytest.approx(tuple(np.percentile(alphas, [5, 95])), rel=1e-12)
    assert fit.p_below_2 == np.mean(np.array(alphas) < 2)


@pytest.mark.parametrize("number", [6, 8, 9, 10])
def test_intervals_need_half_of_the_draws(number):
    """Of two values a draw has a tail where it has both of them."""
    known = set()
    for seed in range(30):
        rng = np.random.default_rng((seed, 0))
        both = sum(len(set(rng.integers(2, size=2))) == 2 for _ in range(number))
        found = intervals(of([1.0, 2.0]), number, seed)
        assert all(math.isfinite(end) is (both >= number // 2) for end in vars(found).values()), both
        known.add(both - number // 2)
    assert {-1, 0} <= known


def test_draws_whose_cut_ends_with_the_rank_have_no_interval():
    """Zeros beside ones and a two: the tail of a draw has a start, its logarithms no sum of zero."""
    found = intervals(of([0.0, 0.0, 1.0, 1.0, 1.0, 2.0]), 9, 0)
    assert all(math.isnan(end) for end in vars(found).values())
    assert str(found) == "intervals (90 %)\n  delta    - to -\n  q2_norm  - to -"


# Windows.


def test_windows_without_a_tail_have_no_part_in_the_spread():
    """One slice of three is zero, and where all that is drawn is zero there is no exponent."""
    slices = [np.zeros((30, 30)), np.zeros((30, 30)), signed_pareto_matrix(30, 30, 2.0, seed=1)]
    rng, alphas = np.random.default_rng(4), []
    squares = [singular_value_squares(W) for W in slices]
    for _ in range(40):
        drawn = np.sort(np.concatenate([squares[place] for place in rng.integers(3, size=3)]))
        if drawn[-1] > 0:
            alphas.append(power_law_scan(drawn[drawn > 0]).alpha)
    assert 20 < len(alphas) < 40
    fit = ww.fit_submatrices(slices, seed=4)
    assert (fit.windows, fit.outcome.value) == (3, "ok")
    assert fit.sigma == pytest.approx(max(np.std(alphas, ddof=1), (fit.alpha - 1) / math.sqrt(fit.rank)), rel=1e-9)


def test_one_sample_of_windows_has_no_spread(monkeypatch):
    """Of two samples one is zero throughout: the error is that of the fit."""
    slices = [np.zeros((30, 30)), signed_pareto_matrix(30, 30, 2.0, seed=1)]
    monkeypatch.setattr(windows, "RESAMPLES", 2)
    drawn = {}
    for seed in range(100):
        rng = np.random.default_rng(seed)
        drawn[sum(bool(rng.integers(2, size=2).any()) for _ in range(2))] = seed
    for number in (0, 1, 2):
        fit = ww.fit_submatrices(slices, seed=drawn[number])
        assert fit.sigma >= (fit.alpha - 1) / math.sqrt(fit.rank)
        if number < 2:
            assert fit.sigma == pytest.approx((fit.alpha - 1) / math.sqrt(fit.rank), rel=1e-12)


def test_windows_of_a_list_of_lists_are_those_of_its_matrix():
    W = gaussian_matrix(24, 12, seed=0)
    assert ww.fit_submatrices(W.tolist()) == ww.fit_submatrices(W)
    for nothing in ([], [[]]):
        with pytest.raises(ww.InvalidInput, match="accepted is a real matrix of two dimensions"):
            ww.fit_submatrices(nothing[0] if nothing else nothing)


def test_windows_in_words():
    told = str(ww.fit_submatrices(np.zeros((60, 20))))
    assert told == (
        "power-law tail of windows\n  windows  3 of 20 x 20\n"
        "  outcome  degenerate (no positive finite eigenvalue, so nothing is defined)"
    )
    fit = ww.fit_submatrices(signed_pareto_matrix(60, 20, 2.0, seed=0))
    assert str(fit).split("\n") == [
        "power-law tail of windows",
        f"  alpha    {fit.alpha:.3f} ± {fit.sigma:.3f}",
        "  windows  3 of 20 x 20",
        f"  tail     the {fit.rank} largest of the pooled eigenvalues",
        f"  outcome  {fit.outcome.value}",
    ]


@pytest.mark.parametrize("seed", range(6))
def test_the_fitted_start_is_one_of_those_that_fit_as_well(seed):
    """Of one draw, whose distances have no spread: to the last bit none may be as near as the fit itself."""
    spectrum = of(pareto_eigenvalues(60, 2.0, seed))
    fit = ww.fit_tail(spectrum, uncertainty=1)
    assert fit.starts == 1
    assert math.isnan(fit.alpha_2nd)
    assert "starts" not in [fact.name for fact in fit._card().facts]
