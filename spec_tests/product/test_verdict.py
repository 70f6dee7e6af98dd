"""Chapter 4: the SETOL state and its sentence."""

from __future__ import annotations

import math

import pytest

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix, ideal_layer_eigenvalues, pareto_eigenvalues
from setol_ww.core.outcomes import Outcome
from setol_ww.layer.ecs import Ecs
from setol_ww.layer.result import analyze_spectrum
from setol_ww.layer.verdict import judge
from setol_ww.spectrum.erg import ErgCut
from setol_ww.spectrum.tail import TailFit


def verdict(alpha: float, n: int, metric: float, delta: float, sigmas: float = 1.0):
    """A verdict on numbers chosen by hand, consistent with the Hill/ERG identity."""
    lambda_min = math.exp(metric - 1 / (alpha - 1))
    sigma = (alpha - 1) / math.sqrt(n)
    tail = TailFit(alpha, sigma, lambda_min, lambda_min, n, 0.03, 0.5, Outcome.OK)
    erg = ErgCut(n, 0.3, lambda_min - delta, lambda_min - delta, 0.0, 2.0, Outcome.OK)
    return judge(tail, erg, Ecs(n, delta, 0.0, metric, sigma / (alpha - 1) ** 2), sigmas=sigmas)


@pytest.mark.parametrize(
    ("alpha", "n", "metric", "delta", "state"),
    [
        (2.00, 100, 0.00, 0.00, "ideal"),
        (1.95, 150, -0.01, -0.01, "ideal"),
        (2.09, 100, 0.05, 0.02, "ideal"),
        (1.70, 100, -0.20, -0.10, "over-regularized"),
        (1.99, 100, -0.50, -0.20, "over-regularized"),
        (1.70, 100, 0.10, 0.10, "undetermined"),
        (2.05, 100, 0.30, 0.20, "short-of-ideal"),
        (3.50, 100, 0.70, 1.00, "short-of-ideal"),
        (6.00, 100, 0.70, 1.00, "short-of-ideal"),
        (6.01, 100, 0.70, 1.00, "under-trained"),
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
    assert verdict(2.15, 100, 0.0, 0.0).state is ww.State.SHORT_OF_IDEAL
    assert verdict(2.15, 100, 0.0, 0.0, sigmas=2.0).state is ww.State.IDEAL


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
