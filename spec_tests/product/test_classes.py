"""Universality classes of layers, with their evidence."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

import setol_ww as ww
from fixtures import bulk as oracle
from fixtures import ensembles, matrices
from setol_ww.cli.demo import demo_nets
from setol_ww.layer import columns as table
from setol_ww.layer.result import analyze_spectrum


def of(W) -> ww.Universality:
    return ww.analyze_matrix(W).universality


def word(W) -> str:
    return of(W).universality_class.value


@pytest.mark.parametrize("shape", [(4, 4), (10, 100), (37, 30), (256, 64), (500, 500), (64, 768)])
def test_initialisations_are_random_like(shape):
    rng = np.random.default_rng(0)
    bound = math.sqrt(6 / shape[1])
    for W in (
        rng.normal(size=shape),
        rng.uniform(-bound, bound, size=shape).astype(np.float32),
        matrices.degenerate("orthogonal", *shape, 1)[0].astype(np.float32),
    ):
        found = of(W)
        assert found.universality_class is ww.UniversalityClass.RANDOM_LIKE
        assert found.evidence.startswith("Random-like: ")
        assert found.spikes == 0


def test_noise_of_any_alpha_is_under_trained():
    """Small noise has a power-law fit between 2 and 6, large noise one above: both are the edge of a bulk."""
    small, large = (ww.analyze_matrix(ensembles.gaussian_matrix(*shape, 1)) for shape in ((60, 50), (800, 400)))
    assert 2 < small.tail.alpha < 6 < large.tail.alpha
    for result in (small, large):
        assert result.verdict.state is ww.State.UNDER_TRAINED
        assert "no heavy tail" in result.verdict.reason


@pytest.mark.parametrize("share", [0.05, 0.8])
def test_spikes_of_any_norm_are_bulk_and_spikes(share):
    found = of(oracle.spiked_noise(400, 200, 5, share, 2)[0])
    assert found.universality_class is ww.UniversalityClass.BULK_AND_SPIKES
    assert found.spikes == 5
    assert found.spike_share > share
    assert found.edge_pvalue < 1e-6
    assert found.heavy_against_bulk.z < 1.645
    assert "5 of 200 eigenvalues" in found.evidence


@pytest.mark.parametrize(
    ("mu", "expected"), [(0.75, "very heavy-tailed"), (1.25, "very heavy-tailed"), (2.0, "heavy-tailed")]
)
def test_pareto_matrices_are_heavy(mu, expected):
    found = of(ensembles.signed_pareto_matrix(400, 300, mu, 1))
    assert found.universality_class.value == expected
    assert found.universality_class.is_heavy
    assert found.heavy_against_bulk.ratio > 0
    assert found.heavy_law in ("power law", "truncated power law", "lognormal")
    assert found.bulk_ks > found.bulk_critical_ks
    assert found.alpha == ww.analyze_matrix(ensembles.signed_pareto_matrix(400, 300, mu, 1)).tail.alpha


def test_noise_of_uneven_rows_is_not_heavy():
    """No Marchenko-Pastur bulk at this size, and a dozen eigenvalues above its edge: still no heavy tail."""
    rng = np.random.default_rng(1)
    W = rng.normal(size=(900, 900)) * np.exp(0.1 * rng.normal(size=(900, 1))) * np.exp(0.1 * rng.normal(size=(1, 900)))
    left, right = (np.linalg.qr(rng.normal(size=(900, 3)))[0] for _ in range(2))
    found = of(W + 30 * (left * [2.0, 3.0, 4.0]) @ right.T)
    assert found.bulk_ks > found.bulk_critical_ks
    assert found.spikes > 3
    assert found.universality_class is ww.UniversalityClass.BULK_AND_SPIKES
    assert found.heavy_against_bulk.z < -1.645


def test_same_alpha_other_class():
    """alpha = 2.5 of noise with ten spikes, and of a power law."""
    spiked = ww.analyze_matrix(oracle.spiked_noise(200, 200, 10, 0.3, 0)[0])
    heavy = analyze_spectrum(ww.Spectrum.from_eigenvalues(ensembles.power_law_quantiles(200, spiked.tail.alpha)))
    assert heavy.tail.alpha == pytest.approx(spiked.tail.alpha, abs=0.05)
    assert 2 < spiked.tail.alpha < 6
    assert spiked.universality.universality_class.value == "bulk+spikes"
    assert heavy.universality.universality_class.value == "heavy-tailed"


def test_collapsed_and_undefined_layers():
    assert word(matrices.planted_rank(60, 40, 20, 0)[0]) == "rank collapse"
    assert word(matrices.planted_rank(60, 40, 21, 0)[0]) != "rank collapse"
    assert word(np.ones((7, 5))) == "rank collapse"
    assert "39 of 40" in of(np.ones((60, 40))).evidence
    broken = ensembles.gaussian_matrix(20, 20, 0)
    broken[0, 0] = np.inf
    for W in (np.zeros((5, 5)), broken, np.ones((3, 1)), ensembles.gaussian_matrix(3, 3, 0), np.empty((0, 4))):
        found = of(W)
        assert found.universality_class is ww.UniversalityClass.UNDETERMINED
        assert found.evidence.startswith("No class: ")


def test_short_tails_are_not_heavy():
    """Ten eigenvalues of a power law cannot show what they are of."""
    found = of(np.diag(np.sqrt(ensembles.power_law_quantiles(10, 1.6))))
    assert not found.universality_class.is_heavy
    assert "too short to be called heavy" in found.evidence


def test_demo_nets():
    """The first layer grows heavier with the learning rate, the last one of ten columns is not called heavy."""
    words = {
        (rate, name): word(values)
        for rate, (weights, _) in demo_nets().items()
        for name, values in weights.items()
        if values.ndim == 2
    }
    first = [words[rate, "fc1.weight"] for rate in (1, 16, 32)]
    assert first == ["heavy-tailed", "heavy-tailed", "very heavy-tailed"]
    assert not any("heavy" in words[rate, "fc3.weight"] for rate in (1, 16, 32))


def test_evidence_joins_the_reason_and_columns_stand_in_the_table():
    details = ww.analyze({"fc.weight": oracle.spiked_noise(200, 100, 4, 0.5, 1)[0]}, progress=False)
    row = details.iloc[0]
    assert row["universality_class"] == "bulk+spikes"
    assert "Bulk+spikes: 4 of 100 eigenvalues" in row["setol_reason"]
    assert row["bulk_spikes"] == 4
    assert row["bulk_sigma"] ** 2 == pytest.approx(0.5, abs=0.1)
    assert row["bulk_lambda_minus"] < 1 < row["bulk_lambda_plus"]
    assert 0 < row["bulk_softrank"] < 1
    assert 0 < row["bulk_ks"] < 0.1
    listed = table.names()
    assert listed.index("universality_class") < listed.index("setol_state")


def test_a_failed_layer_has_no_numbers():
    row = table.row(ww.analyze_matrix(np.zeros((8, 8))))
    assert row["universality_class"] == "undetermined"
    assert all(math.isnan(row[name]) for name in row if name.startswith("bulk_"))


def test_package_does_not_load_powerlaw():
    code = (
        "import sys, setol_ww as ww; ww.analyze_matrix([[1.0, 0.0], [0.0, 2.0]]); "
        "print([name for name in sys.modules if name.startswith(('powerlaw', 'weightwatcher', 'matplotlib'))])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
    assert said.stderr == ""


def test_nearly_flat_spectra_have_a_result():
    for seed in range(60):
        raw = 1 + 1e-11 * np.random.default_rng(seed).random(80)
        analyze_spectrum(ww.Spectrum.from_eigenvalues(raw))


def test_a_spectrum_without_a_bulk_is_not_called_random():
    """As many slices as eigenvalues, one of them zero: no slice has a bulk to be random."""
    raw = np.append(0.0, np.linspace(0.1, 4, 255))
    result = analyze_spectrum(ww.Spectrum.from_eigenvalues(raw, (258, 1), slices=256))
    assert result.universality.universality_class.value == "undetermined"
    assert "255 positive eigenvalues of 256 slices" in result.universality.evidence
