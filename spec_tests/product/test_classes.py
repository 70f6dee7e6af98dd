"""Universality classes of layers, with their evidence."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import setol_ww as ww
from fixtures import bulk as oracle
from fixtures import ensembles, matrices
from setol_ww.cli.demo import demo_nets
from setol_ww.layer import classes
from setol_ww.layer import columns as table
from setol_ww.layer.classes import _ratio_in_words, universality
from setol_ww.layer.result import analyze_spectrum
from setol_ww.layer.verdict import looks_like_noise
from setol_ww.spectrum.bulk import fit_bulk
from setol_ww.spectrum.likelihoods import Comparison
from setol_ww.spectrum.strengths import strengths_of


def of(W) -> ww.Universality:
    return ww.analyze_matrix(W).universality


def word(W) -> str:
    return of(W).universality_class.value


@pytest.mark.parametrize("shape", [(20, 20), (37, 30), (256, 64), (500, 500), (64, 768)])
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
    small, large = (ww.analyze_matrix(ensembles.gaussian_matrix(*shape, 1)) for shape in ((130, 130), (800, 400)))
    assert 2 < small.tail.alpha < 6 < large.tail.alpha
    for result in (small, large):
        assert result.verdict.state is ww.State.UNDER_TRAINED
        assert "no heavy tail" in result.verdict.reason


def test_noise_of_a_narrow_layer_is_not_called_under_trained():
    """Sixty by fifty, and nine slices of sixteen by sixteen: a heavy tail of alpha = 3 would often look like that."""
    slices = [ensembles.gaussian_matrix(16, 16, seed) for seed in range(9)]
    uneven = [part * np.exp(0.3 * np.random.default_rng(0).normal(size=(16, 1))) for part in slices]
    for drawn in ([ensembles.gaussian_matrix(60, 50, 1)], slices, uneven):
        found = analyze_spectrum(ww.Spectrum.from_slices(drawn), strengths=strengths_of(drawn))
        assert found.universality.universality_class is ww.UniversalityClass.RANDOM_LIKE
        assert found.verdict.state is ww.State.UNDETERMINED
        assert "too little power" in found.verdict.reason
        assert "little power" in found.flags


def test_a_planted_tail_is_seldom_denied_where_there_is_power():
    """alpha = 3 along random directions: of layers without the flag few are called noise, of those with it many."""
    denied: dict[bool, list[bool]] = {True: [], False: []}
    for M in (24, 50, 150):
        for seed in range(12):
            rng = np.random.default_rng([M, seed])
            directions, _ = np.linalg.qr(rng.normal(size=(M, M)))
            W = (rng.normal(size=(M, M)) * np.sqrt(ensembles.power_law_quantiles(M, 3.0))) @ directions
            kind = ww.analyze_matrix(W * np.exp(0.3 * rng.normal(size=(M, 1)))).universality
            denied[kind.noise_distance > 0.05].append(looks_like_noise(kind))
    assert np.mean(denied[False]) < 0.1
    assert np.mean(denied[True]) > 0.3


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


@pytest.mark.parametrize(("ends", "expected"), [((1.5, 1.98), "very heavy-tailed"), ((1.5, 2.0), "heavy-tailed")])
def test_very_heavy_is_a_tail_whose_whole_interval_is_below_two(ends, expected):
    W = ensembles.signed_pareto_matrix(200, 200, 1.25, 0)
    spectrum = ww.Spectrum.from_matrix(W)
    tail = replace(ww.fit_tail(spectrum), alpha_low=ends[0], alpha_high=ends[1])
    found = universality(spectrum, tail, ww.fit_bulk(spectrum))
    assert found.universality_class.value == expected


@pytest.mark.parametrize(("low", "expected"), [(6.0, "heavy-tailed"), (6.02, "weakly heavy-tailed")])
def test_weakly_heavy_is_a_tail_whose_whole_interval_is_above_six(low, expected):
    spectrum = ww.Spectrum.from_matrix(ensembles.signed_pareto_matrix(200, 200, 1.25, 0))
    tail = replace(ww.fit_tail(spectrum), alpha=6.5, alpha_low=low, alpha_high=7.0)
    assert universality(spectrum, tail, ww.fit_bulk(spectrum)).universality_class.value == expected


LOUD = {
    "one row": (0, 1, 30.0, (300, 200)),
    "three rows of many": (0, 3, 30.0, (1000, 100)),
    "ten rows": (0, 10, 6.0, (1000, 100)),
    "one column": (1, 1, 10.0, (128, 512)),
    "ten columns": (1, 10, 30.0, (200, 200)),
}


@pytest.mark.parametrize("kind", LOUD)
def test_noise_with_loud_lines_is_noise(kind):
    """A few rows or columns, each far stronger than all others, have eigenvalues of their own and are no spikes."""
    side, number, strength, shape = LOUD[kind]
    for seed in range(3):
        W = np.random.default_rng(seed).normal(size=shape)
        (W if side == 0 else W.T)[:number] *= strength
        found = ww.analyze_matrix(W)
        line = ("row", "column")[side]
        assert found.universality.universality_class.value == "random-like", found.reason
        assert found.universality.spikes == 0
        assert (found.bulk.loud, found.bulk.loud_side) == (number, line)
        theirs = "eigenvalue is that of a" if number == 1 else f"{number} largest eigenvalues are those of"
        assert theirs in found.reason
        assert f"{line}{'s' * (number > 1)} far stronger than all others; none of" in found.reason


def test_a_direction_beside_a_loud_row_is_still_a_spike():
    rng = np.random.default_rng(0)
    W = rng.normal(size=(300, 200)) + 0.3 * np.outer(rng.normal(size=300), rng.normal(size=200))
    W[0] *= 30
    found = ww.analyze_matrix(W)
    assert found.universality.universality_class.value == "bulk+spikes"
    assert (found.bulk.loud, found.universality.spikes) == (1, 1)
    assert found.universality.spike_share < 0.1
    assert "1 of 199 other eigenvalues" in found.reason


def test_a_direction_much_stronger_than_what_a_row_explains_is_no_loud_row():
    rng = np.random.default_rng(1)
    W = rng.normal(size=(300, 200))
    W[0] *= 10
    assert ww.analyze_matrix(W).bulk.loud == 1
    W += 3 * np.outer(rng.choice([-1, 1], 300), rng.choice([-1, 1], 200))
    assert ww.analyze_matrix(W).bulk.loud == 0


def test_strong_columns_of_a_square_layer_are_noise_as_strong_rows_are():
    """The equations of the law have a side; strengths of either are solved for."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        W = rng.normal(size=(200, 200)) * np.exp(rng.normal(size=(200, 1)))
        assert word(W) == word(W.T) == "random-like"


@pytest.mark.parametrize("side", [0, 1])
def test_noise_with_half_of_its_lines_nearly_dead_is_noise(side):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        W = rng.normal(size=(200, 200)) * np.where(rng.random(200) < 0.55, 1e-3, 1.0)[:, None]
        assert word(W if side == 0 else W.T) == "random-like"


def test_noise_of_uneven_rows_is_not_heavy():
    """No Marchenko-Pastur bulk at this size, and a dozen eigenvalues above its edge: three spikes above its own."""
    rng = np.random.default_rng(1)
    W = rng.normal(size=(900, 900)) * np.exp(0.1 * rng.normal(size=(900, 1))) * np.exp(0.1 * rng.normal(size=(1, 900)))
    left, right = (np.linalg.qr(rng.normal(size=(900, 3)))[0] for _ in range(2))
    W += 40 * (left * [2.0, 3.0, 4.0]) @ right.T
    found, blind = of(W), ww.fit_bulk(ww.Spectrum.from_matrix(W))
    assert blind.ks > blind.critical_ks
    assert blind.spikes > 3
    assert (found.spikes, found.universality_class) == (3, ww.UniversalityClass.BULK_AND_SPIKES)
    assert found.bulk_ks < found.bulk_critical_ks


@pytest.mark.parametrize("kind", ["rows", "columns", "both", "third doubled", "dead third", "slices"])
def test_independent_noise_of_any_strengths_is_random_like(kind):
    counted = Counter()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        W, r, c = rng.normal(size=(240, 160)), rng.normal(size=(240, 1)), rng.normal(size=(1, 160))
        if kind == "slices":
            slices = [(1 + (k == 4)) * rng.normal(size=(64, 32)) for k in range(9)]
            made = analyze_spectrum(ww.Spectrum.from_slices(slices), strengths=strengths_of(slices))
            counted[made.universality.universality_class.value] += 1
            continue
        W = {
            "rows": W * np.exp(0.5 * r),
            "columns": W * np.exp(0.5 * c),
            "both": W * np.exp(0.3 * r) * np.exp(0.5 * c),
            "third doubled": W * np.where(np.arange(240) % 3, 1, 2)[:, None],
            "dead third": W * (np.arange(240) % 3 > 0)[:, None],
        }[kind]
        counted[word(W)] += 1
    assert counted["random-like"] >= 19, counted
    assert not any("heavy" in name for name in counted)


def test_elements_and_correlations_are_told_apart():
    """The same very heavy spectrum by Pareto elements, and by light entries that are correlated."""
    elements = ensembles.signed_pareto_matrix(300, 200, 1.0, 0)
    spectrum = ww.Spectrum.from_matrix(elements).raw
    correlated = ensembles.matrix_with_eigenvalues(spectrum, 300, 1)
    for W, carrier in ((elements, "elements"), (correlated, "correlations")):
        found = of(W)
        assert found.universality_class.value == "very heavy-tailed"
        assert found.carrier == carrier
        assert carrier in found.evidence.lower()
    blind = analyze_spectrum(ww.Spectrum.from_eigenvalues(spectrum, (300, 200))).universality
    assert blind.carrier == ""
    assert "the entries are not known" in blind.evidence


def test_no_matrix_and_few_eigenvalues_are_undetermined():
    slices = [ensembles.gaussian_matrix(64, 1, seed) * seed for seed in range(1, 26)]
    depthwise = analyze_spectrum(ww.Spectrum.from_slices(slices), strengths=strengths_of(slices)).universality
    head = of(oracle.spiked_noise(100, 10, 3, 0.5, 0)[0])
    for found, flag in ((depthwise, "no matrix"), (head, "few eigenvalues")):
        assert found.universality_class is ww.UniversalityClass.UNDETERMINED
        assert found.flags == (flag,)


def test_many_spikes_are_no_bulk_with_spikes():
    """A third of the eigenvalues above the edge: whatever it is, no bulk with spikes."""
    W = ensembles.gaussian_matrix(300, 150, 0) @ ensembles.gaussian_matrix(150, 150, 1)
    found = of(W)
    assert found.spikes > 50
    assert found.universality_class is not ww.UniversalityClass.BULK_AND_SPIKES


def test_same_alpha_other_class():
    """alpha = 2.5 of noise with ten spikes, and of a power law."""
    spiked = ww.analyze_matrix(oracle.spiked_noise(200, 200, 10, 0.3, 0)[0])
    heavy = analyze_spectrum(ww.Spectrum.from_eigenvalues(ensembles.power_law_quantiles(200, spiked.tail.alpha)))
    assert heavy.tail.alpha == pytest.approx(spiked.tail.alpha, abs=0.05)
    assert 2 < spiked.tail.alpha < 6
    assert spiked.universality.universality_class.value == "bulk+spikes"
    assert heavy.universality.universality_class.value == "heavy-tailed"


@pytest.mark.parametrize("spikes", [0, 1, 3, 12])
def test_a_spectrum_narrower_than_noise_has_no_heavy_tail(spikes):
    """Orthogonal weights with a little noise on them, some directions four times as strong."""
    for seed, noise in itertools.product(range(3), (0.05, 0.1, 0.3, 0.5)):
        rng = np.random.default_rng([8, spikes, seed])
        strengths = np.where(np.arange(160) < spikes, 4.0, 1.0)
        left, right = (np.linalg.qr(rng.normal(size=(160, 160)))[0] for _ in range(2))
        result = ww.analyze_matrix((left * strengths) @ right + noise * rng.normal(size=(160, 160)) / np.sqrt(160))
        found = result.universality
        assert not found.universality_class.is_heavy, found.evidence
        assert found.spikes == spikes
        assert result.verdict.state is not ww.State.UNDER_TRAINED
        assert "a gap parts" in found.evidence or not spikes or "too short" in found.evidence


def test_a_tail_that_ends_below_the_edge_is_not_called_heavy():
    """A power law of alpha = 4.5 among 100 eigenvalues: the largest is 3 times the mean, noise has 4."""
    found = analyze_spectrum(ww.Spectrum.from_eigenvalues(ensembles.power_law_quantiles(100, 4.5))).universality
    assert not found.spikes
    assert found.universality_class is ww.UniversalityClass.UNDETERMINED
    assert "a heavy tail would reach beyond it" in found.evidence


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
    assert "too few to tell" in found.evidence


def test_demo_nets():
    """The first layer is heavy-tailed, at x32 of an alpha that cannot be told from 2; the last one is not called so."""
    words = {
        (rate, name): word(values)
        for rate, (weights, _) in demo_nets().items()
        for name, values in weights.items()
        if values.ndim == 2
    }
    first = [words[rate, "fc1.weight"] for rate in (1, 16, 32)]
    assert first == ["heavy-tailed"] * 3
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
    assert "256 slices of one column" in result.universality.evidence


def test_one_eigenvalue_a_little_above_the_edge_is_chance():
    """Among 300 draws of noise those with one at the level of 1 % are random-like but for the smallest p-values."""
    counted, said = Counter(), []
    for seed in range(300):
        result = ww.analyze_matrix(ensembles.gaussian_matrix(40, 30, seed))
        counted[result.universality.universality_class.value] += 1
        if result.bulk.spikes == 1 and result.bulk.pvalue > 0.004:
            said.append(result.universality.evidence)
    assert counted["random-like"] >= 297
    assert all("as chance has it" in sentence for sentence in said)


@pytest.mark.parametrize(
    ("z", "said"),
    [
        (2.336, "a power law fits better than noise + spikes"),
        (2.326, "likelihood does not decide between a power law and noise + spikes"),
        (-1.96, "likelihood does not decide between a power law and noise + spikes"),
        (-1.97, "noise + spikes fits better than a power law"),
    ],
)
def test_the_comparison_in_words_at_its_limits(z, said):
    tail = ww.fit_tail(ww.Spectrum.from_eigenvalues(np.arange(1, 200) ** -0.8))
    told = _ratio_in_words(tail, "power law", Comparison(1.25, z, 0.5))
    assert told == f"on the tail of {tail.rank} {said} (log-likelihood ratio +1.2, Vuong p = 0.5)"


@pytest.mark.parametrize(("spikes", "light"), [(0, False), (1, True), (25, True), (26, False)])
def test_spikes_are_a_quarter_of_the_rank_at_most(spikes, light, monkeypatch):
    spectrum = ww.Spectrum.from_eigenvalues(ensembles.pareto_eigenvalues(100, 2.0, 0))
    assert spectrum.rank == 100
    tail, bulk = ww.fit_tail(spectrum), fit_bulk(spectrum)
    for name, stand_in in {
        "is_near_noise": lambda bulk: True,
        "_is_chance": lambda bulk: False,
        "_compared": lambda spectrum, tail, bulk, found: found,
    }.items():
        monkeypatch.setattr(classes, name, stand_in)
    found = classes._tested(spectrum, tail, replace(bulk, spikes=max(spikes, 1)) if spikes else replace(bulk, spikes=0))
    said = {True: classes.UniversalityClass.BULK_AND_SPIKES, False: classes.UniversalityClass.UNDETERMINED}[light]
    assert found.universality_class == (said if spikes else classes.UniversalityClass.RANDOM_LIKE)


def test_how_far_noise_may_be_from_its_law():
    """So many critical values, what the fourth cumulant accounts for, and one eigenvalue where strengths differ."""
    uneven = SimpleNamespace(is_even=False, strengths=SimpleNamespace(k4=6.0))
    even = SimpleNamespace(is_even=True, strengths=None)
    few = {"critical_ks": 0.02, "N": 400, "M": 100}
    assert classes.largest_distance(SimpleNamespace(noise=None, **few)) == pytest.approx(0.03)
    assert classes.largest_distance(SimpleNamespace(noise=even, **few)) == pytest.approx(0.03)
    assert classes.largest_distance(SimpleNamespace(noise=uneven, **few)) == pytest.approx(0.03 + 6 / 200 / 2 + 0.01)
    uneven.strengths.k4 = -1e9
    assert classes.largest_distance(SimpleNamespace(noise=uneven, **few)) == pytest.approx(0.03 + 0.1 + 0.01)


@pytest.mark.parametrize(
    ("spikes", "pvalue", "chance"),
    [(1, 0.001, False), (1, 0.001001, True), (2, 0.5, False), (0, 0.5, False)],
)
def test_one_eigenvalue_above_the_edge_is_chance_beyond_the_limit(spikes, pvalue, chance):
    assert classes._is_chance(SimpleNamespace(spikes=spikes, pvalue=pvalue)) is chance
