"""Noise whose rows, columns and slices differ in strength: its law, the strengths of a layer, its bulk."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import setol_ww as ww
from fixtures import ensembles, traps
from fixtures import uneven_noise as oracle
from setol_ww.spectrum import bulk
from setol_ww.spectrum.bulk import fit_bulk
from setol_ww.spectrum.noise import Noise, marchenko_pastur_cdf
from setol_ww.spectrum.strengths import _Lines, _profiles, strengths_of
from setol_ww.theory.laws.edge import cumulant_factor
from setol_ww.theory.laws.sides import Side, compressed
from setol_ww.theory.laws.uneven_noise import UnevenNoise

SHAPES = [(300, 200, (0.5, 0.0)), (240, 240, (0.3, 0.6)), (400, 60, (1.0, 0.2))]


@pytest.mark.parametrize("q", [0.05, 0.5, 1.0])
def test_even_strengths_give_marchenko_pastur_and_johnstone(q):
    law = UnevenNoise(np.ones(1024), np.ones(700), q)
    assert law.upper == pytest.approx((1 + math.sqrt(q)) ** 2, rel=1e-12)
    assert law.lower == pytest.approx((1 - math.sqrt(q)) ** 2, abs=1e-12)
    assert law.scale == pytest.approx((1 + math.sqrt(q)) ** (4 / 3) * q ** (-1 / 6), rel=1e-12)
    x = np.linspace(*law.support, 200)
    assert law.cdf(x) == pytest.approx(marchenko_pastur_cdf(x, q), abs=5e-4)
    N, M = 400, 400 * q
    sides = Noise(N, M), Noise(N, M, strengths=strengths_of([ensembles.gaussian_matrix(80, 80, 0)]))
    assert sides[0].centre_and_scale == pytest.approx(traps.johnstone(N, M), rel=1e-12)
    by_law = UnevenNoise([1.0], [1.0], (M - 0.5) / (N - 0.5))
    assert ((N - 0.5) * by_law.upper, (N - 0.5) ** (1 / 3) * by_law.scale) == pytest.approx(
        traps.johnstone(N, M), rel=1e-12
    )


@pytest.mark.parametrize(("rows", "columns", "spreads"), SHAPES)
def test_edges_are_those_of_a_scan(rows, columns, spreads):
    d, e = (oracle.lognormal_strengths(n, spread, 1) for n, spread in zip((rows, columns), spreads))
    law = UnevenNoise(d, e)
    assert law.upper == pytest.approx(oracle.upper_edge(d, e), rel=1e-9)
    assert law.mean == pytest.approx(float(np.mean(d) * np.mean(e)), rel=1e-12)
    values = oracle.eigenvalues(oracle.draw(d, e, 2))
    assert values[-1] == pytest.approx(law.upper, rel=0.15)
    assert values[0] > 0.7 * law.lower


@pytest.mark.parametrize(("strong", "few", "columns"), [(10, 1, 250), (10, 1, 375), (10, 2, 250), (1e4, 1, 250)])
def test_a_few_strong_rows_have_an_edge(strong, few, columns):
    """Newton's steps alone go to and fro between two points here."""
    d, e = np.ones(1000), np.ones(columns)
    d[:few] = strong
    assert UnevenNoise(d, e).upper == pytest.approx(oracle.upper_edge(d, e), rel=1e-8)


def test_density_is_that_of_the_fixed_point():
    d, e = oracle.lognormal_strengths(200, 0.5, 3), oracle.lognormal_strengths(150, 0.4, 4)
    law = UnevenNoise(d, e)
    # Beyond, single strong rows have a bump each, which the density of 64 strengths does not resolve.
    x = np.linspace(0.02, 0.25, 5) * law.upper
    slow = [oracle.smoothed_density(point, d, e, 1e-4 * law.upper) for point in x]
    assert law.pdf(x) == pytest.approx(slow, rel=0.02)
    p = np.linspace(0.05, 0.95, 19)
    assert law.cdf(law.quantile(p)) == pytest.approx(p, abs=1e-6)


@pytest.mark.parametrize("spreads", [(0.0, 0.0), (0.5, 0.0), (0.3, 0.5), (1.0, 0.0)])
def test_eigenvalues_follow_the_law(spreads):
    d, e = (oracle.lognormal_strengths(n, spread, 5) for n, spread in zip((500, 400), spreads))
    values = oracle.eigenvalues(oracle.draw(d, e, 6))
    steps = (np.arange(values.size) + 0.5) / values.size
    assert UnevenNoise(d, e).cdf(values) == pytest.approx(steps, abs=0.012)


def test_the_distribution_function_is_that_of_all_strengths():
    """Counted by the potential from few strengths, and integrated from the slow density of all of them."""
    d, e = oracle.lognormal_strengths(60, 0.4, 3), oracle.lognormal_strengths(40, 0.3, 4)
    law = UnevenNoise(d, e)
    angle = np.linspace(0, np.pi / 2, 161)
    x = law.lower + (law.upper - law.lower) * np.sin(angle) ** 2
    density = [oracle.smoothed_density(point, d, e, 1e-5 * law.upper, 5000) for point in x]
    rise = np.array(density) * (law.upper - law.lower) * np.sin(2 * angle)
    slow = np.concatenate([[0.0], np.cumsum((rise[1:] + rise[:-1]) / 2 * np.diff(angle))])
    assert law.cdf(x) == pytest.approx(slow, abs=2e-3)


def test_a_neighbouring_law_is_found_from_this_one():
    """Roots that start where another ratio's are end where those of a law from nothing do."""
    rng = np.random.default_rng(0)
    for number in range(30):
        rows, columns = rng.integers(3, 200, size=2)
        d, e = (oracle.lognormal_strengths(n, float(rng.choice([0.05, 0.3, 1.0])), number) for n in (rows, columns))
        d[: number % 3] = 0.0
        law = UnevenNoise(d, e)
        law.cdf(1.0)
        near, fresh = law.at(0.9 * law.q), UnevenNoise(d, e, 0.9 * law.q)
        assert near.support == pytest.approx(fresh.support, rel=1e-10)
        assert near.scale == pytest.approx(fresh.scale, rel=1e-4)
        x = np.linspace(*fresh.support, 40)
        assert near.cdf(x) == pytest.approx(fresh.cdf(x), abs=1e-7)


@pytest.mark.parametrize("width", [0.1, 0.5, 100.0])
def test_few_strengths_have_the_moments_of_all(width):
    """The first three of each group, and so of the side; zeros count in the weights."""
    strengths = np.sort(np.append(oracle.lognormal_strengths(500, 0.6, 2), np.zeros(100)))
    points, weights = Side(strengths).rule(width)
    assert points.size <= 96
    assert weights.sum() == pytest.approx(500 / 600)
    for power in (1, 2, 3):
        assert weights @ points**power == pytest.approx(np.mean(strengths**power), rel=1e-9)


def test_a_distribution_function_never_falls():
    d = np.where(np.arange(246) % 2, 100.0, 1.0)
    law = UnevenNoise(d, np.ones(5))
    assert np.all(np.diff(law.cdf(np.linspace(*law.support, 1000))) >= 0)
    assert np.all(law.pdf(np.linspace(*law.support, 1000)) >= 0)


def test_a_gap_and_dead_lines():
    d = np.where(np.arange(600) < 200, 100.0, np.where(np.arange(600) < 260, 0.0, 1.0))
    law = UnevenNoise(d, np.ones(400))
    values = oracle.eigenvalues(oracle.draw(d, np.ones(400), 7))
    steps = (np.arange(values.size) + 0.5) / values.size
    assert law.cdf(values) == pytest.approx(steps, abs=0.02)
    assert law.upper > 30 > 4 > law.lower > 0


def test_largest_eigenvalue_has_the_tracy_widom_scale():
    """Standardised by edge and scale the largest has mean -1.2 and standard deviation 1.27, up to finite size."""
    d, e = oracle.lognormal_strengths(200, 0.1, 0), oracle.lognormal_strengths(150, 0.1, 1)
    noise = UnevenNoise(d, e)
    top = [oracle.eigenvalues(oracle.draw(d, e, seed))[-1] for seed in range(200)]
    x = (np.array(top) - noise.upper) / (noise.scale * 200 ** (-2 / 3))
    assert np.mean(x) == pytest.approx(-1.21, abs=0.4)
    assert np.std(x) == pytest.approx(1.27, abs=0.25)


def test_strengths_that_are_none_are_refused():
    for d, e, q in (([0.0], [1.0], 1), ([-1.0, 2.0], [1.0], 1), ([1.0], [np.nan], 1), ([1.0], [1.0], 0.0)):
        with pytest.raises(ww.InvalidInput, match="asked"):
            UnevenNoise(d, e, q)
    with pytest.raises(ww.InvalidInput, match="no closed form"):
        UnevenNoise([1.0], [1.0]).r_transform(0.1)


def test_compressed_strengths_keep_the_mean():
    strengths = oracle.lognormal_strengths(5000, 0.7, 0)
    few = compressed(strengths, 100)
    assert few.size == 100
    assert few.mean() == pytest.approx(strengths.mean(), rel=1e-12)
    assert np.all(np.diff(few) >= 0)
    assert compressed(strengths[:7], 10).size == 7


@pytest.mark.parametrize("law", ["normal", "uniform", "laplace", "t3", "pareto", "sparse"])
def test_sampling_is_no_unevenness(law):
    """Even rows and columns are even whatever the law of the entries."""
    uneven = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        W = {
            "normal": lambda r=rng: r.normal(size=(120, 80)),
            "uniform": lambda r=rng: r.uniform(-1, 1, size=(120, 80)),
            "laplace": lambda r=rng: r.laplace(size=(120, 80)),
            "t3": lambda r=rng: r.standard_t(3, size=(120, 80)),
            "pareto": lambda s=seed: ensembles.signed_pareto_matrix(120, 80, 1.0, s),
            "sparse": lambda r=rng: r.normal(size=(120, 80)) * (r.random((120, 80)) < 0.2),
        }[law]()
        uneven += not strengths_of([W]).is_even
    assert uneven <= 1


@pytest.mark.parametrize("spread", [0.1, 0.3, 0.5])
def test_spreads_are_recovered(spread):
    d, e = oracle.lognormal_strengths(300, spread, 1), np.ones(200)
    found = strengths_of([oracle.draw(d, e, 2)])
    assert found.row_spread == pytest.approx(float(np.std(np.log(d))) / 2, rel=0.1)
    assert found.column_spread == found.slice_spread == 0
    assert found.k4 == pytest.approx(0, abs=0.4)
    turned = strengths_of([oracle.draw(d, e, 2).T])
    assert (turned.column_spread, turned.row_spread) == pytest.approx((found.row_spread, 0))


def test_cumulants_are_those_of_the_entries_without_strengths():
    rng = np.random.default_rng(3)
    d = oracle.lognormal_strengths(1000, 0.2, 4)
    found = strengths_of([np.sqrt(d)[:, None] * rng.laplace(size=(1000, 600))])
    assert found.k4 == pytest.approx(3, abs=0.3)
    assert found.k6 == pytest.approx(30, abs=15)
    raw = np.sqrt(d)[:, None] * np.random.default_rng(3).laplace(size=(1000, 600))
    assert np.mean(raw**4) / np.mean(raw**2) ** 2 - 3 > 3.5


def test_strengths_of_slices_scales_and_types():
    slices = [k * ensembles.gaussian_matrix(60, 40, k) for k in (1, 2, 3)]
    found = strengths_of(slices)
    assert found.slice == pytest.approx(np.array([1, 4, 9]) * 3 / 14, rel=0.1)
    W = oracle.draw(oracle.lognormal_strengths(90, 0.5, 0), np.ones(70), 1)
    whole = strengths_of([W])
    for other in (1e-150 * W, 1e120 * W, torch.from_numpy(W)):
        again = strengths_of([other])
        assert again.row == pytest.approx(whole.row, rel=1e-9)
        assert again.k6 == pytest.approx(whole.k6, rel=1e-6)
    half = strengths_of([torch.from_numpy(W).bfloat16()])
    assert half.row_spread == pytest.approx(whole.row_spread, rel=0.01)
    large = strengths_of([oracle.draw(oracle.lognormal_strengths(3000, 0.5, 0), np.ones(30), 1)])
    assert large.row.size == 1024
    assert pickle.loads(pickle.dumps(large)).row == pytest.approx(large.row)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_entries_that_are_not_finite_have_no_cumulants(broken):
    W = ensembles.gaussian_matrix(20, 20, 0)
    W[3, 3] = broken
    assert math.isnan(strengths_of([W]).k4)
    assert math.isnan(strengths_of([np.zeros((4, 4))]).k4)


def test_a_spike_is_found_above_uneven_noise_and_none_in_it():
    d = oracle.lognormal_strengths(300, 0.5, 0)
    none = found = 0
    for seed in range(20):
        W = oracle.draw(d, np.ones(200), seed)
        none += fit_bulk(ww.Spectrum.from_matrix(W), strengths=strengths_of([W])).spikes
        rng = np.random.default_rng(seed)
        u, v = rng.normal(size=300), rng.normal(size=200)
        W += 6 * math.sqrt(300) * np.outer(u / np.linalg.norm(u), v / np.linalg.norm(v))
        found += fit_bulk(ww.Spectrum.from_matrix(W), strengths=strengths_of([W])).spikes == 1
    assert none <= 1
    assert found >= 18
    # The edge of one variance takes the unevenness for spikes.
    assert ww.fit_bulk(ww.Spectrum.from_matrix(oracle.draw(d, np.ones(200), 0))).spikes > 3


def test_slices_of_unequal_variance_have_a_bulk_of_their_own():
    slices = [(1 + (k == 4)) * ensembles.gaussian_matrix(120, 60, k) for k in range(9)]
    made = ww.Spectrum.from_slices(slices)
    fit = fit_bulk(made, strengths=strengths_of(slices))
    assert (fit.outcome.value, fit.spikes) == ("ok", 0)
    assert fit_bulk(made).spikes > 10


@pytest.mark.parametrize("ratio", [3.0, 10.0, 100.0])
def test_the_edge_of_one_strong_slice_is_its_own(ratio):
    """The chance that one of the others lies beyond it is none: that of the strong one alone is the level."""
    slices = [ensembles.gaussian_matrix(60, 40, k) * (ratio if k == 1 else 1.0) for k in range(3)]
    made, strengths = ww.Spectrum.from_slices(slices), strengths_of(slices)
    noise = Noise(60.0, 40.0, 3, strengths)
    for level in (0.3, 0.1, 0.05, 0.01, 0.001, 1e-4, 1e-6):
        alone = Noise(60.0, 40.0, strengths=replace(strengths, slice=np.ones(1)))
        assert noise.edge(level) == pytest.approx(float(strengths.slice[-1]) * alone.edge(level), rel=1e-7)
        assert noise.sf(noise.edge(level)) == pytest.approx(level, rel=1e-6)
        assert fit_bulk(made, level=level, strengths=strengths).outcome.value == "ok"


def test_the_edge_of_slices_that_hardly_differ_is_that_of_equal_ones():
    strengths = strengths_of([k * ensembles.gaussian_matrix(60, 40, k) for k in (1, 2, 3)])
    alike = replace(strengths, slice=np.array([1 - 1e-14, 1.0, 1 + 1e-14]))
    equal = Noise(60.0, 40.0, 3, replace(strengths, slice=np.ones(1)))
    for level in (0.3, 0.1, 0.05, 0.01, 0.001, 1e-4, 1e-6):
        assert Noise(60.0, 40.0, 3, alike).edge(level) == pytest.approx(equal.edge(level), rel=1e-7)


def test_cumulants_outside_their_domain_have_no_factor():
    assert cumulant_factor(200, 100, 3.0, 30.0) == pytest.approx(1 + 3 / math.sqrt(20000) + 30 / 20000)
    assert math.isnan(cumulant_factor(200, 100, 100.0, 0.0))
    assert math.isnan(cumulant_factor(200, 100, 1.0, 1e5))
    assert math.isnan(cumulant_factor(200, 100, math.nan, math.nan))


def test_lines_without_zeros_have_no_noise_of_their_number():
    """The spread of the strengths is what the variance of the logarithms has beyond that of the sampling."""
    variance = np.array([0.4 * 1.1])
    counts = np.full(40, 100.0)
    means = np.exp(np.linspace(-0.2, 0.2, 40))
    observed = np.var(4 * np.log(means), ddof=1)
    noise = 16 * 0.4 * 1.1 / 100
    [(_, spread)] = _profiles(_Lines((means * counts)[None], counts[None]), variance)
    assert spread == pytest.approx(math.sqrt(observed - noise) / 2, rel=1e-12)
    # One line with half of its entries: where zeros are scattered their number varies as well.
    counts[0] = 50
    observed = np.var(4 * np.log(means) + np.log(counts / 100), ddof=1)
    noise = np.mean(16 * 0.4 * 1.1 / counts + np.where(counts < 100, 1 / counts, 0))
    [(_, spread)] = _profiles(_Lines((means * counts)[None], counts[None]), variance)
    assert spread == pytest.approx(math.sqrt(observed - noise) / 2, rel=1e-12)


def test_strengths_are_of_the_lines_that_live():
    W = np.random.default_rng(0).normal(size=(31, 22))
    W[4], W[:, 7], W[:, 9] = 0, 0, 0
    found = strengths_of([W])
    assert (found.rows, found.columns) == (30, 20)


def test_a_law_of_many_strengths_prints_in_a_line():
    assert repr(UnevenNoise(np.ones(300), np.ones(200), 1.5)) == "UnevenNoise(q=1.5)"


def test_the_variance_is_that_of_the_smaller_half_of_the_law():
    """The quantiles at the middles of so many equal shares of the law; by bisection of its distribution here."""
    law = UnevenNoise([1.0, 1.0, 4.0] * 20, np.ones(30))
    noise = SimpleNamespace(quantile=law.quantile)
    by_hand = 0.0
    for number in range(5):
        low, high = law.support
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if law.cdf(middle) < (number + 0.5) / 10 else (low, middle)
        by_hand += low
    assert bulk._sum_of_quantiles(noise, 5, 10) == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("strengths", [[0.01, 0.02, 5.0], [40.0, 50.0, 60.0, 900.0], [0.0, 0.0, 0.5, 0.5, 3.0], [2.0]])
@pytest.mark.parametrize("value", [1e-3, 0.3, 1.7, 50.0])
def test_the_three_roots_of_a_side_are_roots(strengths, value):
    """By the means themselves, those over all lines."""
    t = np.array(strengths)
    side = Side(t)
    live = t[t > 0]
    above = side.above(value)
    assert above > t.max()
    assert np.sum(live / (above - live)) / t.size == pytest.approx(value, rel=1e-9)
    if value > side.share:
        below = side.below(value)
        assert 0 < below < live.min()
        assert np.sum(live / (live - below)) / t.size == pytest.approx(value, rel=1e-9)
    if value < side.share:
        y = side.negative(value)
        assert y > 0
        assert np.sum(y * live / (1 + y * live)) / t.size == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(
    ("values", "half"), [([1.0, 9.0], 2), ([1.0, 2.0, 9.0], 2), ([1.0, 2.0, 4.0, 8.0, 16.0, 32.0], 3)]
)
def test_the_smaller_half_is_two_eigenvalues_at_least(values, half):
    noise = SimpleNamespace(is_even=False, quantile=lambda p: p, N=10)
    shares = sum((number + 0.5) / len(values) for number in range(half))
    assert bulk.median_variance(np.array(values), noise) == pytest.approx(sum(values[:half]) / 10 / shares)


@pytest.mark.parametrize(("q", "points"), [(1.0, [1e-5, 1e-3, 0.1]), (0.25, [0.2505, 0.255, 0.3])])
def test_even_strengths_have_the_density_of_marchenko_and_pastur_up_to_the_edge(q, points):
    """Hard at 0, where it diverges, and soft, where it goes to 0 as a root."""
    law = UnevenNoise(np.ones(round(20 * q)), np.ones(20), q)
    truth = ww.laws.MarchenkoPastur(q)
    assert law.support == pytest.approx(truth.support, abs=1e-9)
    assert law.cdf(points) == pytest.approx(truth.cdf(points), rel=3e-2, abs=3e-6)
    assert law.pdf(points) == pytest.approx(truth.pdf(points), rel=5e-2)


@pytest.mark.parametrize(("rows", "columns"), [([2.0, 2.0], [3.0, 3.0]), ([1.0, 1.0, 4.0], [0.5, 1.5])])
def test_the_mean_of_the_law_is_the_product_of_the_mean_strengths(rows, columns):
    assert UnevenNoise(rows, columns).mean == pytest.approx(np.mean(rows) * np.mean(columns), rel=1e-12)
