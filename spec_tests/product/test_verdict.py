"""Chapter 4: the SETOL state and its sentence."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix, ideal_layer_eigenvalues, pareto_eigenvalues
from setol_ww.advice.difference import sides_of
from setol_ww.core.options import Options
from setol_ww.core.outcomes import Outcome
from setol_ww.layer.classes import LITTLE_POWER, NO_MATRIX, Universality, UniversalityClass
from setol_ww.layer.ecs import Ecs
from setol_ww.layer.flags import flags_of
from setol_ww.layer.result import Settings, analyze_spectrum
from setol_ww.layer.verdict import _beyond, _lie, interval, judge
from setol_ww.monitor.history import History
from setol_ww.spectrum.erg import ErgCut
from setol_ww.spectrum.tail import TailFit
from setol_ww.views.plots.points import ends_of_alpha


def verdict(
    alpha: float, n: int, metric: float, delta: float, sigmas: float = 1.645, ends=(math.nan, math.nan), kind=None
):
    """A verdict on numbers chosen by hand, consistent with the Hill/ERG identity."""
    lambda_min = math.exp(metric - 1 / (alpha - 1))
    sigma = (alpha - 1) / math.sqrt(n)
    tail = TailFit(alpha, sigma, lambda_min, lambda_min, n, 0.03, 0.5, Outcome.OK, *ends)
    erg = ErgCut(n, 0.3, lambda_min - delta, lambda_min - delta, 0.0, 2.0, Outcome.OK)
    return judge(tail, erg, Ecs(n, delta, 0.0, metric, sigma / (alpha - 1) ** 2), sigmas=sigmas, kind=kind)


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


def sound(alpha=2.5, ends=(2.25, 2.75), metric=0.5, error=0.0, delta=0.5, **changed):
    """A verdict on numbers of which each can be put exactly on a limit."""
    made = {"rank": 50, "outcome": Outcome.OK, "cut": Outcome.OK, "kind": None, **changed}
    tail = TailFit(alpha, 0.1, 0.5, 0.5, made["rank"], 0.03, 0.5, made["outcome"], *ends)
    erg = ErgCut(50, 0.3, 0.4, 0.4, 0.0, 2.0, made["cut"])
    return judge(tail, erg, Ecs(50, delta, 0.0, metric, error / (1.6449 * 1.25)), kind=made["kind"])


def kind(word: str, **changed):
    return Universality(UniversalityClass(word), "", **changed)


#: On either side of every limit, and on it: state and the sentence behind the numbers.
AT_LIMITS = {
    "interval ends at 2": (
        {"alpha": 1.75, "ends": (1.625, 2.0), "metric": -0.5, "delta": -0.5},
        "undetermined",
        "alpha cannot be told from 2, but the tail's det X is below 1, where over-regularized layers are",
    ),
    "interval ends below 2": (
        {"alpha": 1.75, "ends": (1.625, 1.9375), "metric": -0.5, "delta": -0.5},
        "over-regularized",
        "alpha is below 2 and the power-law tail starts below the ERG tail",
    ),
    "below 2, tails start together": (
        {"alpha": 1.75, "ends": (1.625, 1.9375), "metric": -0.5, "delta": 0.0},
        "undetermined",
        "alpha is below 2 but the power-law tail does not start below the ERG tail: the two criteria contradict each "
        "other",
    ),
    "interval begins at 2": (
        {"ends": (2.0, 2.75)},
        "short-of-ideal",
        "alpha cannot be told from 2, but the tail's det X is above 1",
    ),
    "interval begins above 2": ({}, "short-of-ideal", "alpha lies between 2 and 6, and det X is not 1"),
    "above 2 with det X at its error": (
        {"metric": 0.25, "error": 0.25},
        "short-of-ideal",
        "alpha lies between 2 and 6, and det X = 1 holds within its error",
    ),
    "above 2 with det X just beyond its error": (
        {"metric": 0.2500001, "error": 0.25},
        "short-of-ideal",
        "alpha lies between 2 and 6, and det X is not 1",
    ),
    "ideal": (
        {"alpha": 2.0, "ends": (1.75, 2.25), "metric": 0.0, "delta": 0.0},
        "ideal",
        "alpha cannot be told from 2 nor det X from 1 (lambda_min = 0.500, 1/e = 0.368)",
    ),
    "ideal with det X below 1 within its error": (
        {"alpha": 2.0, "ends": (1.75, 2.25), "metric": -0.25, "error": 0.25},
        "ideal",
        "alpha cannot be told from 2 nor det X from 1 (lambda_min = 0.500, 1/e = 0.368)",
    ),
    "from 1.5": (
        {"alpha": 2.0, "ends": (1.5, 2.25), "metric": 0.0},
        "undetermined",
        "neither alpha can be told from 2 nor det X from 1, but the interval is too wide to call that ideal",
    ),
    "to 3": (
        {"alpha": 2.0, "ends": (1.75, 3.0), "metric": 0.0},
        "undetermined",
        "neither alpha can be told from 2 nor det X from 1, but the interval is too wide to call that ideal",
    ),
    "interval begins at 6": (
        {"alpha": 7.0, "ends": (6.0, 8.0)},
        "short-of-ideal",
        "alpha is above 2 and cannot be told from 6, and det X is not 1",
    ),
    "interval begins above 6": (
        {"alpha": 7.0, "ends": (6.125, 8.0)},
        "under-trained",
        "alpha is above 6, hardly a heavy tail yet",
    ),
    "interval ends at 6": (
        {"alpha": 5.0, "ends": (4.0, 6.0), "metric": 0.0},
        "short-of-ideal",
        "alpha is above 2 and cannot be told from 6, and det X = 1 holds within its error",
    ),
    "interval ends below 6": (
        {"alpha": 5.0, "ends": (4.0, 5.875)},
        "short-of-ideal",
        "alpha lies between 2 and 6, and det X is not 1",
    ),
}


@pytest.mark.parametrize("name", AT_LIMITS)
def test_both_sides_of_every_limit_and_the_limit(name):
    numbers, state, said = AT_LIMITS[name]
    judged = sound(**numbers)
    told = {"alpha": 2.5, "ends": (2.25, 2.75), "metric": 0.5, "error": 0.0, "delta": 0.5, **numbers}
    begin = (
        f"alpha = {told['alpha']:.2f} ({told['ends'][0]:.2f} to {told['ends'][1]:.2f}), mean ln x of the tail = "
        f"{told['metric']:+.3f} ± {told['error']:.3f}, delta_lambda_min = {told['delta']:+.3f}: "
    )
    assert (judged.state.value, judged.reason) == (state, f"{begin}{said}.")


SPIKE = {"spikes": 1, "spike_share": 0.05}
#: What is said where no tail is judged.
WITHOUT = {
    "alpha = 2.50 ± 0.10 on a tail of 7 eigenvalues: fewer than 8 say too little.": {"rank": 7},
    f"alpha = 2.50 ± 0.10 on a tail of 50 eigenvalues, but {Outcome.FLAT.sentence}.": {"outcome": Outcome.FLAT},
    f"alpha = 2.50 ± 0.10 on a tail of 50 eigenvalues, but no ERG cut: {Outcome.FLAT.sentence}.": {"cut": Outcome.FLAT},
    f"No power-law tail: {Outcome.DEGENERATE.sentence}.": {"rank": 0, "outcome": Outcome.DEGENERATE},
    "No state: eigenvalues of single columns or rows are their norms, no spectrum.": {
        "kind": kind("undetermined", flags=(NO_MATRIX,))
    },
    "alpha = 2.50 is of no heavy tail that could be shown: no eigenvalue is above the edge of noise, although they do "
    "not follow its law.": {"kind": kind("undetermined", noise_distance=0.1)},
    "alpha = 2.50 is of no heavy tail that could be shown: 7 eigenvalues with 10 % of the trace lie above the edge of "
    "noise, too little for a tail.": {"kind": kind("undetermined", spikes=7, spike_share=0.1, noise_distance=0.1)},
    "alpha = 2.50 is of no heavy tail that could be shown: 60 eigenvalues with 90 % of the trace lie above the edge of "
    "noise, apart from the rest.": {
        "kind": kind("undetermined", spikes=60, spike_share=0.9, noise_distance=0.1, apart=True)
    },
    "alpha = 2.50 is of no heavy tail: this is the edge of a random-like bulk.": {"kind": kind("random-like")},
    "alpha = 2.50 is of no heavy tail that could be shown: this is the edge of a random-like bulk; but there is too "
    "little power: noise of "
    "this size may lie 0.3 from its law, and a heavy tail of alpha = 3 would often look like it.": {
        "kind": kind("random-like", flags=(LITTLE_POWER,), noise_distance=0.3)
    },
    "alpha = 2.50 is of no heavy tail: this is the edge of the noise and one eigenvalue with 5 % of the trace beyond "
    "it.": {"kind": kind("bulk+spikes", **SPIKE)},
    "alpha = 2.50 is of no heavy tail: this is the edge of the noise and 7 eigenvalues with 10 % of the trace beyond "
    "it.": {"kind": kind("bulk+spikes", spikes=7, spike_share=0.1)},
    "alpha = 2.50 is of no heavy tail: this is the edge of the noise and 7 eigenvalues with 11 % of the trace beyond "
    "it: more than noise, but no tail whose alpha could be judged.": {
        "kind": kind("bulk+spikes", spikes=7, spike_share=0.11)
    },
}


@pytest.mark.parametrize("said", WITHOUT)
def test_every_reason_for_no_tail_in_its_words(said):
    assert sound(**WITHOUT[said]).reason == said


def test_states_without_a_tail():
    states = [sound(**changed).state.value for changed in WITHOUT.values()]
    assert states == ["undetermined"] * 8 + [
        "under-trained",
        "undetermined",
        "under-trained",
        "under-trained",
        "undetermined",
    ]


def test_a_tail_of_eight_is_enough_to_be_judged_where_a_class_has_shown_it():
    assert "between 2 and 6" in sound(rank=8).reason
    assert "between 2 and 6" in sound(kind=kind("heavy-tailed", spikes=8, noise_distance=0.1)).reason
    assert "between 2 and 6" in sound(kind=kind("undetermined")).reason


@pytest.mark.parametrize("spikes", [8, 90])
def test_no_state_by_the_alpha_of_a_tail_that_the_class_denies(spikes):
    """However many eigenvalues are above the edge: class and state of one row say the same of the tail."""
    denied = sound(kind=kind("bulk+spikes", spikes=spikes, spike_share=0.5))
    unshown = sound(kind=kind("undetermined", spikes=spikes, spike_share=0.5, noise_distance=0.1))
    assert denied.state is unshown.state is ww.State.UNDETERMINED
    assert f"this is the edge of the noise and {spikes} eigenvalues with 50 % of the trace beyond it" in denied.reason
    assert "above the edge of noise, too little evidence for a tail." in unshown.reason


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


@pytest.mark.parametrize(
    ("share", "state"),
    [(0.96, "undetermined"), (0.1000001, "undetermined"), (0.1, "under-trained"), (0.05, "under-trained")],
)
def test_a_steep_tail_with_most_of_the_trace_is_not_under_trained(share, state):
    """202 of 576 eigenvalues with 96 % of the trace above the edge are no layer that has not begun to learn."""
    kind = Universality(ww.UniversalityClass.WEAKLY_HEAVY_TAILED, "", spikes=202, spike_share=share)
    judged = verdict(9.5, 100, 0.7, 1.0, kind=kind)
    assert judged.state.value == state
    assert ("hardly a heavy tail" in judged.reason) is (state == "under-trained")


def test_strong_directions_apart_from_the_rest_have_no_tail():
    """Sixty directions of one strength with 94 % of the trace, whatever a fit to them says."""
    rng = np.random.default_rng(1)
    left, right = (np.linalg.qr(rng.normal(size=(n, 60)))[0] for n in (300, 200))
    strengths = np.linspace(4.9, 5.1, 60)
    result = ww.analyze_matrix(rng.normal(size=(300, 200)) / np.sqrt(300) + (left * strengths) @ right.T)
    assert result.universality.spike_share > 0.9
    assert result.verdict.state is ww.State.UNDETERMINED
    assert "60 eigenvalues with 94 % of the trace lie above the edge of noise, apart from the rest" in result.reason
    assert "a gap parts them from the rest" in result.reason


def test_where_likelihood_prefers_spikes_no_alpha_is_judged():
    """Twenty spikes of a tenth of the eigenvalues: a class that denies the tail, and no state by its alpha."""
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(n, 20)))[0] for n in (300, 200))
    result = ww.analyze_matrix(rng.normal(size=(300, 200)) / np.sqrt(300) + 2 * left @ right.T)
    assert result.universality.universality_class.value == "bulk+spikes"
    assert result.universality.spikes >= 8
    assert result.verdict.state is ww.State.UNDETERMINED
    assert "more than noise, but no tail whose alpha could be judged" in result.verdict.reason


def test_no_state_rests_on_a_tail_that_could_not_be_shown():
    """Few eigenvalues above the edge and no noise below it: class and state say that nothing is known."""
    result = ww.analyze_matrix(few_beyond(3))
    assert result.universality.universality_class.value == "undetermined"
    assert 0 < result.universality.spikes < 8
    assert result.verdict.state is ww.State.UNDETERMINED
    assert "of no heavy tail that could be shown: 3 eigenvalues" in result.verdict.reason
    assert "too little for a tail" in result.verdict.reason


def few_beyond(spikes: int) -> np.ndarray:
    """An orthogonal matrix with as much noise, and a few strong directions."""
    rng = np.random.default_rng(1)
    left, right = (np.linalg.qr(rng.normal(size=(200, 200)))[0] for _ in range(2))
    strengths = np.where(np.arange(200) < spikes, 4.0, 1.0)
    return (left * strengths) @ right + rng.normal(size=(200, 200)) / np.sqrt(200)


def test_a_trap_is_not_called_learned():
    W = gaussian_matrix(300, 200, 0)
    W[3, 4] = 1000
    said = ww.analyze_matrix(W).with_traps(ww.find_traps(W)).reason
    assert "one eigenvalue with 94 % of the trace beyond it: more than noise" in said
    assert "learned" not in said


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


def test_one_rule_gives_every_interval_of_alpha():
    """The verdict, pictures, the history of a run and the error of a difference have the same ends."""
    draws = np.random.default_rng(2)
    results = ww.examine({f"l{n}.weight": draws.standard_t(2 + n, size=(90, 70)) for n in range(3)}, progress=False)
    for resampled in (0, 30):
        frame = results.table(uncertainty=resampled)
        low, high = ends_of_alpha(frame)
        settings = Settings(uncertainty=resampled)
        fits = [interval(record.result(settings).tail) for record in results.records]
        np.testing.assert_allclose(np.transpose([low, high]), fits, rtol=1e-12)
        below, above = sides_of("tail_alpha", frame)
        alpha = frame["tail_alpha"].to_numpy()
        np.testing.assert_allclose([np.maximum(1, alpha - below), alpha + above], [low, high], rtol=1e-12)
    history = History(Options(), {})
    rows = [history.add(0, record) for record in results.records]
    low, high = ends_of_alpha(results.table())
    np.testing.assert_allclose([[row[f"tail_alpha_{end}"] for row in rows] for end in ("low", "high")], [low, high])


def test_the_verdict_has_the_errors_that_were_asked_for():
    spectrum = ww.Spectrum.from_eigenvalues(pareto_eigenvalues(300, 1.9, 0))
    found = {sigmas: analyze_spectrum(spectrum, Settings(sigmas=sigmas)) for sigmas in (0.01, 2.0, 50.0)}
    for sigmas, result in found.items():
        told = judge(result.tail, result.erg, result.ecs, sigmas=sigmas, kind=result.universality)
        assert result.verdict == told
    assert found[0.01].verdict.state != found[50.0].verdict.state


@pytest.mark.parametrize(
    ("spikes", "number", "verb"),
    [(0, "0 eigenvalues", "lie"), (1, "one eigenvalue", "lies"), (2, "2 eigenvalues", "lie")],
)
def test_spikes_in_words(spikes, number, verb):
    kind = SimpleNamespace(spikes=spikes, spike_share=0.046)
    assert _beyond(kind) == f"{number} with 5 % of the trace"
    assert _lie(kind) == verb


def test_flags_at_their_limits():
    kind, tail = SimpleNamespace(flags=()), ww.fit_tail(ww.Spectrum.from_eigenvalues(pareto_eigenvalues(99, 2.0, 0)))
    for spread, said in ((0.05, ()), (0.0501, ("uneven rows", "uneven columns", "uneven slices"))):
        strengths = SimpleNamespace(row_spread=spread, column_spread=spread, slice_spread=spread)
        assert set(flags_of(kind, tail, strengths, None)) == set(said)
        assert flags_of(SimpleNamespace(flags=("no matrix",)), tail, strengths, None) == ("no matrix",)
    for starts, second, said in ((1.0, 9.0, ()), (1.01, 9.0, ("ambiguous tail start",)), (1.01, tail.alpha, ())):
        assert flags_of(kind, replace(tail, starts=starts, alpha_2nd=second), None, None) == said
    assert not Universality(UniversalityClass.UNDETERMINED, "").apart


def test_the_reason_has_what_is_said_of_traps_where_there_are_any():
    result = analyze_spectrum(ww.Spectrum.from_eigenvalues(pareto_eigenvalues(99, 2.0, 0)))
    plain = f"{result.verdict.reason} {result.universality.evidence}"
    for traps, said in ((None, plain), (0, plain), (2, f"{plain} Two traps.")):
        report = None if traps is None else SimpleNamespace(count=traps, sentence="Two traps.")
        assert replace(result, traps=report).reason == said
