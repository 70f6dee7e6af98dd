"""The Marchenko-Pastur bulk and the laws of a tail, against slower and more obvious computations."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import powerlaw
import pytest

import setol_ww as ww
from fixtures import bulk as oracle
from fixtures import ensembles, laws, matrices, traps
from setol_ww.spectrum import likelihoods
from setol_ww.spectrum.noise import (
    critical_value,
    marchenko_pastur_cdf,
    marchenko_pastur_density,
    marchenko_pastur_quantiles,
)
from spec_tests.quietly import quiet


def spectrum(W) -> ww.Spectrum:
    return ww.Spectrum.from_matrix(W)


@pytest.mark.parametrize("q", [0.05, 0.5, 0.99, 1.0])
def test_distribution_function_is_the_integral_of_the_density(q):
    lower, upper = laws.marchenko_pastur_edges(q)
    for share in (0.1, 0.5, 0.9):
        x = lower + share * (upper - lower)
        integral = mpmath.quad(lambda t: laws.marchenko_pastur_density(t, q), [lower, (lower + x) / 2, x])
        assert float(marchenko_pastur_cdf(np.array(x), q)) == pytest.approx(float(integral), abs=1e-7)
    assert marchenko_pastur_cdf(np.array([0.0, 9.0]), q) == pytest.approx([0.0, 1.0], abs=1e-12)
    p = np.linspace(0.01, 0.99, 50)
    assert marchenko_pastur_cdf(marchenko_pastur_quantiles(p, q), q) == pytest.approx(p, abs=2e-6)


def test_density_of_the_likelihood_is_that_of_the_law():
    for q in (0.2, 1.0):
        x = np.array([0.5, 1.0, 1.9])
        truth = [float(laws.marchenko_pastur_density(value, q)) for value in x]
        assert marchenko_pastur_density(x, q) == pytest.approx(truth, rel=1e-12)


@pytest.mark.parametrize("level", [0.1, 0.05, 0.01, 0.001])
def test_critical_values_are_the_published_ones(level):
    t, slope = critical_value(level)
    assert t == pytest.approx(traps.tracy_widom_1_quantile(round(1 - level, 12)), abs=6e-4)
    h = 1e-3
    below, here, beyond = (traps.tracy_widom_1_cdf(t + step * h) for step in (-1, 0, 1))
    assert slope == pytest.approx((below - 2 * here + beyond) / h**2 / ((beyond - below) / (2 * h)), rel=2e-3)


@pytest.mark.parametrize(("shape", "spikes"), [((120, 120), 4), ((200, 80), 6), ((90, 90), 0)])
def test_agrees_with_the_nearest_law(shape, spikes):
    W = oracle.spiked_noise(*shape, spikes, 0.6, 3)[0] if spikes else ensembles.gaussian_matrix(*shape, 3)
    made = spectrum(W)
    fit, truth = ww.fit_bulk(made), oracle.bulk_by_distance(made.raw, *shape)
    assert fit.spikes == truth.spikes == spikes
    assert fit.sigma_raw == pytest.approx(truth.sigma, rel=4 / math.sqrt(shape[0] * shape[1]))
    assert fit.lambda_plus * made.raw.mean() == pytest.approx(truth.lambda_plus, rel=0.05)


def test_one_spike_of_the_whole_norm_hides_nothing():
    W = ensembles.gaussian_matrix(300, 200, 1)
    W += 1e6 * np.outer(np.ones(300), np.ones(200)) / 1e2
    fit = ww.fit_bulk(spectrum(W))
    assert (fit.spikes, fit.outcome.value) == (1, "ok")
    assert fit.sigma_raw == pytest.approx(1.0, rel=0.02)
    assert fit.softrank < 1e-6
    assert fit.pvalue == 0.0


def test_noise_has_sigma_one_in_unit_mean_and_a_softrank_of_about_one():
    fit = ww.fit_bulk(spectrum(ensembles.gaussian_matrix(400, 300, 2, scale=0.03)))
    assert fit.sigma == pytest.approx(1.0, abs=1e-12)
    assert fit.sigma_raw == pytest.approx(0.03, rel=0.01)
    assert fit.softrank == pytest.approx(1.0, abs=0.05)
    assert 0.001 < fit.pvalue < 1
    assert fit.lambda_plus == pytest.approx((1 + math.sqrt(0.75)) ** 2, rel=1e-12)
    assert fit.edge > fit.lambda_plus


def test_pvalue_and_spike_agree_at_the_level():
    """Among 300 draws of noise: those with p below the level have the spike and no others."""
    fits = [ww.fit_bulk(spectrum(ensembles.gaussian_matrix(40, 30, seed)), level=0.1) for seed in range(300)]
    single = [fit for fit in fits if fit.spikes <= 1]
    assert 10 < sum(fit.spikes for fit in single) < 50
    # A spike is left out of the variance: what it leaves is a little less, and p a little smaller.
    assert all(fit.pvalue >= 0.1 for fit in single if not fit.spikes)
    assert all(fit.pvalue < 0.1 for fit in single if fit.spikes)


def test_a_stricter_level_finds_fewer():
    W, _ = matrices.signal_spike(200, 100, 1.1, 5)
    counts = [ww.fit_bulk(spectrum(W), level=level).spikes for level in (0.3, 0.01, 1e-8)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]
    for level in (0, 0.5, -1):
        with pytest.raises(ww.InvalidInput, match="level"):
            ww.fit_bulk(spectrum(W), level=level)


@pytest.mark.parametrize("mu", [0.5, 1.0, 1.5])
def test_a_heavy_tail_has_no_bulk(mu):
    fit = ww.fit_bulk(spectrum(ensembles.signed_pareto_matrix(300, 300, mu, 0)))
    assert fit.outcome is ww.Outcome.NO_BULK
    assert fit.spikes > 30
    assert 0 < fit.lambda_plus < fit.edge


@pytest.mark.parametrize(
    ("kind", "outcome"), [("zero", "degenerate"), ("rank one", "too_few"), ("constant", "too_few"), ("flat", "flat")]
)
def test_degenerate_layers(kind, outcome):
    W, _ = matrices.degenerate(kind, 20, 12, 0)
    fit = ww.fit_bulk(spectrum(W))
    assert fit.outcome.value == outcome
    assert fit.spikes == 0
    assert all(math.isnan(value) for value in (fit.sigma, fit.lambda_plus, fit.softrank, fit.ks, fit.pvalue))


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (3, 50), (4, 4), (5, 900)])
def test_tiny_layers_have_an_outcome(shape):
    fit = ww.fit_bulk(spectrum(ensembles.gaussian_matrix(*shape, 0)))
    assert fit.outcome.value == ("too_few" if min(shape) < 4 else "ok")


def test_a_nan_has_no_bulk():
    W = ensembles.gaussian_matrix(20, 20, 0)
    W[3, 3] = np.nan
    assert ww.fit_bulk(spectrum(W)).outcome is ww.Outcome.DEGENERATE


def test_dead_rows_and_dead_columns():
    W = ensembles.gaussian_matrix(200, 150, 4)
    rows, columns = W.copy(), W.copy()
    rows[80:], columns[:, 80:] = 0, 0
    assert ww.fit_bulk(spectrum(columns)).sigma_raw == pytest.approx(1.0, rel=0.03)
    fit = ww.fit_bulk(spectrum(rows))
    assert fit.sigma_raw == pytest.approx(1.0, rel=0.03)
    assert (fit.N, fit.M, fit.spikes) == (150, 80, 0)


def test_slices_of_three_columns():
    """A first convolution: 3 channels, 9 kernel places."""
    made = ww.Spectrum.from_slices([ensembles.gaussian_matrix(16, 3, seed) for seed in range(9)])
    fit = ww.fit_bulk(made)
    assert (fit.outcome.value, fit.spikes) == ("ok", 0)
    assert fit.sigma_raw == pytest.approx(1.0, abs=0.15)


def test_slices_that_are_nearly_all_dead():
    slices = [np.zeros((16, 3)) for _ in range(9)]
    slices[0], slices[1] = ensembles.gaussian_matrix(16, 3, 0), ensembles.gaussian_matrix(16, 3, 1)
    made = ww.Spectrum.from_slices(slices)
    assert ww.fit_bulk(made).outcome is ww.Outcome.TOO_FEW
    slices[2] = ensembles.gaussian_matrix(16, 3, 2)
    assert ww.fit_bulk(ww.Spectrum.from_slices(slices)).N > 0


@pytest.fixture(scope="module")
def tails():
    """Logarithms of tails: a power law, one cut off, a lognormal."""
    rng = np.random.default_rng(7)
    cut = ensembles.pareto_eigenvalues(4000, 2.2, 0)
    cut = np.sort(cut[rng.random(cut.size) < np.exp(-0.1 * (cut - 1))])
    lognormal = ensembles.lognormal_eigenvalues(2000, 0.8, 1)
    lognormal = lognormal[lognormal > 1]
    return {"power law": ensembles.pareto_eigenvalues(500, 2.5, 2), "cut": cut, "lognormal": lognormal}


def fitted(x: np.ndarray) -> powerlaw.Fit:
    with quiet():
        return powerlaw.Fit(x, xmin=float(x.min()), verbose=False)


def test_a_power_law_is_the_border_of_both_others(tails):
    """Its mean of (ln x)^2 is above that of the exponential law: bending down would lose likelihood.

    powerlaw's lognormal runs away to mu = -959 here and returns a likelihood that overflows say nothing of.
    """
    y = np.log(tails["power law"] / tails["power law"][0])
    straight = likelihoods.power_law(y)
    assert np.mean(y**2) > 2 / straight.exponent**2
    for bent in (likelihoods.truncated_power_law(y), likelihoods.lognormal(y)):
        assert bent.bend == 0
        assert bent.log_likelihood == straight.log_likelihood


@pytest.mark.parametrize("kind", ["cut", "lognormal"])
def test_laws_of_a_tail_are_those_of_the_powerlaw_package(tails, kind):
    x = tails[kind]
    y, theirs = np.log(x / x[0]), fitted(x)
    to_y = float(np.log(x).sum())
    with quiet():
        straight, cut, bent = theirs.power_law, theirs.truncated_power_law, theirs.lognormal
        their = [float(np.log(law.pdf(x)).sum()) + to_y for law in (straight, cut, bent)]
    ours = [law(y) for law in (likelihoods.power_law, likelihoods.truncated_power_law, likelihoods.lognormal)]
    assert ours[0].exponent + 1 == pytest.approx(straight.alpha, rel=1e-9)
    assert ours[0].log_likelihood == pytest.approx(their[0], abs=1e-6)
    for law, value in zip(ours[1:], their[1:]):
        # Their optimiser stops a little short of the maximum, or at a bound of its own.
        assert law.log_likelihood > value - 1e-3
        assert law.log_likelihood >= ours[0].log_likelihood - 1e-9
    if kind == "cut":
        assert ours[1].log_likelihood == pytest.approx(their[1], abs=0.05)
        assert ours[1].bend == pytest.approx(cut.parameter2 * x[0], rel=0.1)
    if kind == "lognormal":
        assert ours[2].log_likelihood == pytest.approx(their[2], abs=0.05)


@pytest.mark.parametrize("kind", ["power law", "cut", "lognormal"])
def test_densities_have_mass_one(tails, kind):
    x = tails[kind]
    y = np.log(x / x[0])
    for law, feature in (
        (likelihoods.truncated_power_law, mpmath.expm1),
        (likelihoods.lognormal, lambda t: t**2),
    ):
        fit = law(y)
        offset = float(fit.log_density[0] + fit.exponent * y[0] + fit.bend * float(feature(mpmath.mpf(y[0]))))
        mass = mpmath.quad(
            lambda t, f=feature, s=fit, o=offset: mpmath.exp(o - s.exponent * t - s.bend * f(t)),
            [0, float(y[-1]), 3 * float(y[-1]), 60],
        )
        assert float(mass) == pytest.approx(1.0, abs=1e-6)


def test_a_bend_is_found_where_it_is_and_only_there(tails):
    gain = {}
    for kind, x in tails.items():
        y = np.log(x / x[0])
        straight = likelihoods.power_law(y).log_likelihood
        gain[kind] = likelihoods.truncated_power_law(y).log_likelihood - straight
    assert gain["power law"] < 2
    assert gain["cut"] > 10
    assert gain["lognormal"] > 10


def test_vuong_is_that_of_the_powerlaw_package():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=60), rng.normal(size=60) + 0.1
    ours = likelihoods.vuong(first, second)
    ratio, pvalue = powerlaw.loglikelihood_ratio(first, second)
    assert ours.ratio == pytest.approx(ratio, rel=1e-12)
    assert ours.pvalue == pytest.approx(pvalue, rel=1e-9)
    assert likelihoods.vuong(first, second, more_parameters=2).ratio == pytest.approx(ratio + 2, rel=1e-12)
    same = likelihoods.vuong(first, first)
    assert (same.ratio, same.z, same.pvalue) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("spikes", [0, 3])
def test_density_of_bulk_and_spikes_has_mass_one(spikes):
    """At the scale of the fit: the integral over a fine grid of y from the start of the tail to the largest spike."""
    W = oracle.spiked_noise(300, 200, 3, 0.3, 0)[0] if spikes else ensembles.gaussian_matrix(300, 200, 0)
    made = spectrum(W)
    fit = ww.fit_bulk(made)
    tail = made.unit_mean[-60:]
    assert likelihoods.STRETCHES[0] == 1
    log_density = likelihoods._bulk_and_spikes(tail, fit, 1.0)
    assert log_density.shape == tail.shape
    assert np.isfinite(log_density).all()
    unit, q = fit.sigma**2, fit.M / fit.N
    grid = np.linspace(math.log(tail[0]), math.log(unit * (1 + math.sqrt(q)) ** 2), 20001)
    inside = np.exp(np.interp(grid, np.log(tail), log_density))
    bulk_mass = float(np.sum((inside[1:] + inside[:-1]) / 2) * (grid[1] - grid[0]))
    assert bulk_mass == pytest.approx((60 - spikes) / 60, abs=0.05)
    if spikes:
        anywhere = 0.5 / 60 / math.log(tail[-1] / tail[0])
        spikes_part = (np.exp(log_density[-1]) - anywhere) * math.log(tail[-1] / fit.edge)
        assert spikes_part == pytest.approx(3 / 60, rel=1e-9)


def test_a_tail_of_spikes_and_of_what_lies_below_the_bulk_may_lie_anywhere():
    """Uniform in ln x from its start to the largest, where no point is of the bulk."""
    fit = ww.fit_bulk(spectrum(ensembles.gaussian_matrix(300, 100, 0)))
    below, above = fit.lambda_minus * np.geomspace(0.1, 0.5, 4), fit.edge * np.geomspace(2, 9, 6)
    for tail in (np.concatenate([below, above]), above):
        expected = -math.log(math.log(tail[-1] / tail[0]))
        np.testing.assert_allclose(likelihoods.bulk_and_spikes(tail, fit), expected, rtol=1e-12)
    # One of the bulk among them, and not every density is that of anywhere.
    found = likelihoods.bulk_and_spikes(np.concatenate([below, [1.0], above]), fit)
    assert found[4] > found[0] == pytest.approx(math.log(4 / 11 / math.log(above[-1] / below[0])))
