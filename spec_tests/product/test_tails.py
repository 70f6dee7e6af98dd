"""Chapter 3: the power-law tail."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import setol_ww as ww
from fixtures.ensembles import (
    gaussian_matrix,
    ideal_layer_eigenvalues,
    lognormal_eigenvalues,
    marchenko_pastur_quantiles,
    pareto_eigenvalues,
    signed_pareto_matrix,
)
from fixtures.oracles import power_law_scan
from setol_ww.layer.result import analyze_spectrum
from spec_tests.plain import plain_fit

CASES = {
    "Pareto": lambda seed: pareto_eigenvalues(150, 2.2, seed),
    "lognormal": lambda seed: lognormal_eigenvalues(150, 1.5, seed),
    "Gaussian matrix": lambda seed: ww.Spectrum.from_matrix(gaussian_matrix(200, 150, seed)).raw,
    "Pareto matrix": lambda seed: ww.Spectrum.from_matrix(signed_pareto_matrix(150, 120, 1.0, seed)).raw,
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", CASES)
def test_fit_is_the_full_scan_and_weightwatchers(name, seed):
    raw = CASES[name](seed)
    fit, truth, plain = ww.fit_tail(ww.Spectrum.from_eigenvalues(raw)), power_law_scan(raw), plain_fit(raw)
    for other_alpha, other_sigma, other_start, other_ks in (
        (truth.alpha, truth.sigma, truth.lambda_min, truth.ks),
        (plain.alpha, plain.sigma, plain.xmin, plain.D),
    ):
        assert fit.alpha == pytest.approx(other_alpha, rel=1e-9)
        assert fit.sigma == pytest.approx(other_sigma, rel=1e-9)
        assert fit.lambda_min_raw == pytest.approx(other_start, rel=1e-9)
        assert fit.ks == pytest.approx(other_ks, rel=1e-9)
    assert fit.rank == truth.rank == np.count_nonzero(raw >= plain.xmin)


@pytest.mark.parametrize("n", [3000, 15000])
def test_pruned_scan_of_a_large_spectrum_is_weightwatchers(n):
    for raw in (pareto_eigenvalues(n, 1.8, seed=n), marchenko_pastur_quantiles(n, 0.5)):
        fit, plain = ww.fit_tail(ww.Spectrum.from_eigenvalues(raw)), plain_fit(raw)
        assert fit.lambda_min_raw == pytest.approx(plain.xmin, rel=1e-12)
        assert fit.alpha == pytest.approx(plain.alpha, rel=1e-9)


@given(st.integers(0, 2**20), st.floats(1.3, 5.0), st.integers(20, 200), st.floats(-150, 150))
def test_alpha_does_not_depend_on_the_scale(seed, alpha, n, exponent):
    raw = pareto_eigenvalues(n, alpha, seed)
    one, other = (ww.fit_tail(ww.Spectrum.from_eigenvalues(values)) for values in (raw, raw * 2.0**exponent))
    assert other.rank == one.rank
    assert other.alpha == pytest.approx(one.alpha, rel=1e-9)
    assert other.lambda_min == pytest.approx(one.lambda_min, rel=1e-9)


def test_weightwatcher_depends_on_the_scale_and_we_do_not():
    """The same small layer at two scales: weightwatcher's absolute 1e-5 threshold cuts the second one's tail."""
    W = signed_pareto_matrix(300, 300, 1.5, seed=0)
    W *= 0.05 / np.std(W)
    ours = [ww.analyze(W * scale, detX=False, progress=False).iloc[0] for scale in (1.0, 1e-3)]
    assert ours[0]["tail_alpha"] == pytest.approx(ours[1]["tail_alpha"], rel=1e-9)
    assert abs(ours[0]["alpha"] - ours[1]["alpha"]) > 0.1


@pytest.mark.parametrize(("k", "M", "alpha"), [(60, 160, 2.0), (100, 300, 2.0), (200, 600, 2.0), (100, 175, 2.5)])
def test_ideal_layer_is_recovered(k, M, alpha):
    fit = ww.fit_tail(ww.Spectrum.from_eigenvalues(ideal_layer_eigenvalues(k, M, alpha)))
    assert fit.rank == k
    assert fit.alpha == pytest.approx(alpha, abs=1e-9)
    assert fit.outcome is ww.Outcome.OK


@given(st.integers(0, 2**20), st.floats(1.2, 6.0), st.integers(2, 150))
def test_hill_erg_identity(seed, alpha, n):
    """mean ln x over the tail = 1/(alpha - 1) + ln lambda_min, whatever the tail."""
    result = analyze_spectrum(ww.Spectrum.from_eigenvalues(pareto_eigenvalues(n, alpha, seed)))
    identity = 1 / (result.tail.alpha - 1) + math.log(result.tail.lambda_min)
    assert result.ecs.erg_metric == pytest.approx(identity, abs=1e-11 * (1 + abs(identity)))


@pytest.mark.parametrize(
    "raw",
    [
        np.linspace(1, 100, 1000),
        np.geomspace(1, 1.5, 500),
        np.concatenate([np.linspace(1.0, 1.1, 300), np.linspace(50.0, 50.5, 300)]),
        1.5 - np.cos(np.linspace(0.001, np.pi, 800)),
    ],
    ids=["even", "log-even", "two clumps", "arcsine"],
)
def test_no_power_law_is_a_poor_fit(raw):
    result = analyze_spectrum(ww.Spectrum.from_eigenvalues(raw))
    assert result.tail.outcome is ww.Outcome.POOR_FIT
    assert result.verdict.state is ww.State.UNDETERMINED
    assert "of no heavy tail" in result.verdict.reason


def test_goodness_of_fit_refuses_a_true_power_law_at_most_once_in_a_hundred():
    """The start is chosen to make the distance small, so the stated 1 % is an upper bound: 0 to 4 of 200 allowed."""
    refused = sum(
        ww.fit_tail(ww.Spectrum.from_eigenvalues(pareto_eigenvalues(200, 2.0, seed))).outcome is ww.Outcome.POOR_FIT
        for seed in range(200)
    )
    assert refused <= 4


@pytest.mark.parametrize(
    ("W", "outcome"),
    [
        (np.zeros((30, 20)), "degenerate"),
        (np.ones((30, 20)), "too_few"),
        (np.eye(25), "flat"),
        (np.full((25, 25), np.nan), "degenerate"),
        (np.arange(1.0, 10)[None, :], "too_few"),
        (gaussian_matrix(30, 10, seed=0), "small_sample"),
    ],
)
def test_outcomes(W, outcome):
    fit = ww.analyze_matrix(W).tail
    assert fit.outcome.value == outcome
    if outcome != "small_sample":
        assert fit.rank == 0
        assert all(math.isnan(number) for number in (fit.alpha, fit.sigma, fit.lambda_min, fit.ks))


def test_tied_eigenvalues_enter_together():
    raw = np.repeat(pareto_eigenvalues(60, 2.0, seed=1), 3)
    fit = ww.fit_tail(ww.Spectrum.from_eigenvalues(raw))
    assert fit.rank % 3 == 0
    assert fit.rank == np.count_nonzero(raw >= fit.lambda_min_raw)
    assert math.isfinite(fit.alpha)


@pytest.mark.parametrize(
    ("gof_p", "said", "tone"),
    [
        (0.1, "p = 0.1, a power law is not refused", "good"),
        (0.0996, "p = 0.1, a power law is refused", "caution"),
    ],
)
def test_the_pvalue_of_the_fit_in_words_at_its_limit(gof_p, said, tone):
    fit = ww.fit_tail(ww.Spectrum.from_eigenvalues(pareto_eigenvalues(150, 2.2, 0)))
    told = {fact.name: fact for fact in replace(fit, gof_p=gof_p)._card().facts}
    assert (told["fit"].said, told["fit"].tone.value) == (said, tone)
    assert "fit" not in {fact.name for fact in fit._card().facts}


def test_the_interval_of_the_fit_in_words():
    fit = ww.fit_tail(ww.Spectrum.from_eigenvalues(pareto_eigenvalues(150, 2.2, 0)))
    told = replace(fit, alpha_low=1.904, alpha_high=2.606, p_below_2=0.125)._card().facts
    assert [(fact.name, fact.said) for fact in told][1] == ("interval", "1.90 to 2.61 (90 %), below 2 in 12 % of them")
