"""Chapter 4: the SETOL state and its sentence."""

from __future__ import annotations

import math

import numpy as np
import pytest

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix, ideal_layer_eigenvalues, pareto_eigenvalues
from setol_ww.core.outcomes import Outcome
from setol_ww.layer.ecs import Ecs
from setol_ww.layer.result import analyze_spectrum
from setol_ww.layer.verdict import interval, judge
from setol_ww.spectrum.erg import ErgCut
from setol_ww.spectrum.tail import TailFit


def verdict(alpha: float, n: int, metric: float, delta: float, sigmas: float = 1.645, ends=(math.nan, math.nan)):
    """A verdict on numbers chosen by hand, consistent with the Hill/ERG identity."""
    lambda_min = math.exp(metric - 1 / (alpha - 1))
    sigma = (alpha - 1) / math.sqrt(n)
    tail = TailFit(alpha, sigma, lambda_min, lambda_min, n, 0.03, 0.5, Outcome.OK, *ends)
    erg = ErgCut(n, 0.3, lambda_min - delta, lambda_min - delta, 0.0, 2.0, Outcome.OK)
    return judge(tail, erg, Ecs(n, delta, 0.0, metric, sigma / (alpha - 1) ** 2), sigmas=sigmas)


@pytest.mark.parametrize(
    ("alpha", "n", "metric", "delta", "state"),
    [
        (2.00, 100, 0.00, 0.00, "ideal"),
        (1.95, 150, -0.01, -0.01, "ideal"),
        (2.09, 100, 0.05, 0.02, "ideal"),
        (1.70, 100, -0.20, -0.10, "over-regularized"),
        (1.99, 100, -0.50, -0.20, "undetermined"),
        (1.70, 100, 0.10, 0.10, "undetermined"),
        (2.05, 100, 0.30, 0.20, "short-of-ideal"),
        (3.50, 100, 0.70, 1.00, "short-of-ideal"),
        (6.00, 100, 0.70, 1.00, "short-of-ideal"),
        (6.01, 100, 0.70, 1.00, "short-of-ideal"),
        (7.20, 100, 0.70, 1.00, "short-of-ideal"),
        (7.50, 900, 0.70, 1.00, "under-trained"),
        (9.00, 100, 0.90, 3.00, "under-trained"),
        (2.00, 7, 0.00, 0.00, "undetermined"),
    ],
)
def test_states(alpha, n, metric, delta, state):
    judged = verdict(alpha, n, metric, delta)
    assert judged.state.value == state
    assert f"alpha = {alpha:.2f}" in judged.reason
    assert judged.reason.endswith(".")


def test_band_is_counted_in_standard_errors():
    assert verdict(2.15, 100, 0.0, 0.0, sigmas=0.5).state is ww.State.SHORT_OF_IDEAL
    assert verdict(2.15, 100, 0.0, 0.0, sigmas=1.5).state is ww.State.IDEAL


def test_a_resampled_interval_goes_before_the_inflated_error():
    assert verdict(2.15, 100, 0.0, 0.0, ends=(2.05, 2.3)).state is ww.State.SHORT_OF_IDEAL
    assert verdict(2.15, 100, 0.0, 0.0, ends=(1.9, 2.3)).state is ww.State.IDEAL
    assert verdict(7.5, 100, 0.7, 1.0, ends=(6.2, 9.0)).state is ww.State.UNDER_TRAINED
    assert "(6.20 to 9.00)" in verdict(7.5, 100, 0.7, 1.0, ends=(6.2, 9.0)).reason


@pytest.mark.parametrize(
    ("alpha", "metric", "delta", "said"),
    [
        (7.0, 0.7, 1.0, "cannot be told from 6"),
        (2.1, 0.5, 0.3, "cannot be told from 2, but the tail's det X is above 1"),
        (1.9, -0.5, -0.3, "cannot be told from 2, but the tail's det X is below 1"),
        (2.0, 0.0, 0.0, "alpha cannot be told from 2 nor det X from 1"),
        (3.0, 0.7, 1.0, "lies between 2 and 6"),
        (9.5, 0.7, 1.0, "above 6, hardly a heavy tail"),
        (1.5, 0.5, 0.3, "contradict each other"),
    ],
)
def test_words_say_what_cannot_be_told(alpha, metric, delta, said):
    assert said in verdict(alpha, 100, metric, delta).reason


def test_ideal_needs_an_interval_that_says_something():
    """Eight eigenvalues of a key matrix, alpha = 2.04 (1.28 to 2.79): that is ideal in nothing."""
    wide = verdict(2.04, 8, 0.30, 0.07, ends=(1.28, 2.79))
    assert wide.state is ww.State.UNDETERMINED
    assert "too wide to call that ideal" in wide.reason
    assert verdict(2.04, 100, 0.0, 0.0, ends=(1.7, 2.4)).state is ww.State.IDEAL
    assert verdict(2.04, 100, 0.0, 0.0, ends=(1.7, 3.1)).state is ww.State.UNDETERMINED


def test_every_state_names_its_next_step():
    assert len({state.next_step for state in ww.State}) == len(ww.State) == 5
    assert verdict(3.5, 100, 0.7, 1.0).next_step == ww.State.SHORT_OF_IDEAL.next_step
    assert not [state for state in ww.State if state.value == "trapped"]


def test_one_spike_makes_no_heavy_tail_of_noise():
    for shift, state in ((0.3, ww.State.UNDER_TRAINED), (3.0, ww.State.UNDETERMINED)):
        result = ww.analyze_matrix(gaussian_matrix(300, 200, 0) + shift)
        assert result.universality.universality_class.value == "bulk+spikes"
        assert result.verdict.state is state
        assert "the edge of the noise and one eigenvalue with" in result.verdict.reason


def test_a_true_two_is_not_missed():
    """Draws of a power law of alpha = 2 over a body: the default intervals of nine in ten contain it."""
    held = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        raw = np.concatenate([rng.random(350), pareto_eigenvalues(150, 2.0, seed)])
        low, high = interval(ww.fit_tail(ww.Spectrum.from_eigenvalues(raw)))
        held += low <= 2 <= high
    assert held >= 50


@pytest.mark.parametrize(("k", "M"), [(60, 160), (100, 300), (200, 600)])
def test_ideal_layer_is_ideal(k, M):
    judged = analyze_spectrum(ww.Spectrum.from_eigenvalues(ideal_layer_eigenvalues(k, M))).verdict
    assert judged.state is ww.State.IDEAL
    assert "lambda_min = 0.368, 1/e = 0.368" in judged.reason


def test_random_layer_is_under_trained():
    assert ww.analyze_matrix(gaussian_matrix(1200, 600, seed=0)).verdict.state is ww.State.UNDER_TRAINED


def test_very_heavy_layer_is_over_regularized():
    result = analyze_spectrum(ww.Spectrum.from_eigenvalues(pareto_eigenvalues(600, 1.4, seed=0)))
    assert result.ecs.delta_lambda_min < 0
    assert result.verdict.state is ww.State.OVER_REGULARIZED


def test_settings_are_checked():
    with pytest.raises(ww.InvalidInput, match="sigmas=0"):
        ww.Settings(sigmas=0)
