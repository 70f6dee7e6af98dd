"""Every limit on both sides and at it: what an option accepts, and where a rule begins to hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix, marchenko_pastur_quantiles, pareto_eigenvalues, signed_pareto_matrix
from setol_ww.core.options import Options
from setol_ww.core.outcomes import Outcome
from setol_ww.layer import classes, flags
from setol_ww.layer.classes import Universality, UniversalityClass
from setol_ww.layer.result import analyze_spectrum
from setol_ww.layer.verdict import looks_like_noise
from setol_ww.linalg.directions import project
from setol_ww.monitor.budget import share_of
from setol_ww.scanning.run import _checked_shard
from setol_ww.spectrum.likelihoods import Comparison
from setol_ww.spectrum.starts import median_hill
from setol_ww.spectrum.tail import TailFit
from setol_ww.truncation.rules import as_rule, energy

NOISE = gaussian_matrix(40, 30, seed=0)
TINY, NAN = 5e-324, math.nan


@cache
def results() -> Any:
    weights = {f"layers.{n}.fc.weight": signed_pareto_matrix(90, 60 + n, 2.5, seed=n) for n in range(4)}
    return ww.examine(weights, progress=False)


def advice(target: str, **options: Any) -> Any:
    return ww.recommend(results(), target, **options)


#: An option: how it is asked, values that are accepted up to the limits, values just beyond, what is said of these.
OPTIONS: dict[str, tuple[Callable[[Any], Any], list[Any], list[Any], str]] = {
    "level of traps": (lambda x: ww.find_traps(NOISE, level=x), [1e-300, 1 - 2**-53], [0, 1, True, NAN], "0 and 1"),
    "seed of traps": (lambda x: ww.find_traps(NOISE, seed=x), [0, 2**80], [-1, 0.0, True], "an integer of 0 or more"),
    "permutations": (lambda x: ww.find_traps(NOISE, n_permutations=x), [1, 2], [0, 1.0, True], "of 1 or more"),
    "level of the bulk": (
        lambda x: ww.fit_bulk(ww.Spectrum.from_matrix(NOISE), level=x), [1e-9, 0.4999999], [0, 0.5, NAN], "0 and 0.5",
    ),
    "sigmas": (lambda x: ww.Settings(sigmas=x), [TINY, 9], [0, -1, True, NAN], "a positive number"),
    "uncertainty": (lambda x: ww.Settings(uncertainty=x), [0, 1], [-1, 1.0, True], "an integer of 0 or more"),
    "uncertainty of a fit": (
        lambda x: ww.fit_tail(ww.Spectrum.from_matrix(NOISE), x), [0, 1], [-1, 1.0, True], "0 for none",
    ),
    "position": (lambda x: median_hill(range(1, 30), x), [1.0001, 9], [1, 0.5, NAN], "a number above 1"),
    "Q": (lambda x: ww.fit_submatrices(NOISE, Q=x), [1, 1.0], [0.9999999, math.inf, NAN], "a number of 1 or more"),
    "side": (lambda x: ww.fit_submatrices(NOISE, side=x), [1, 30], [0, 1.0, True], "an integer of 1 or more"),
    "windows": (lambda x: ww.fit_submatrices(NOISE, max_windows=x), [1], [0, True], "an integer of 1 or more"),
    "rank of a projection": (lambda x: project(NOISE, x), [0, 30], [-1, 31, True], "an integer from 0 to 30"),
    "seed": (lambda x: Options(seed=x), [0, 2**32 - 1], [-1, 2**32, 1.0, True], "0 to 2**32 - 1"),
    "jobs": (lambda x: Options(n_jobs=x), [1, -1, -9], [0, 1.5, True], "an integer other than 0"),
    "draws": (lambda x: Options(uncertainty=x), [0, 1], [-1, True], "uncertainty="),
    "shard": (_checked_shard, [(0, 1), (2, 3), None], [(1, 1), (3, 3), (-1, 2), (0, 0), (0,), (0.0, 1)], "0 <= i < n"),
    "budget of time": (share_of, [TINY, 1, 1.0, None], [0, 1.0000001, True, NAN], "above 0 and up to 1"),
    "steps between rounds": (lambda x: ww.Monitor({"a": NOISE}, every=x), [1], [0, 1.0, True], "1 or more"),
    "sparsity": (lambda x: advice("sparsity", sparsity=x, most=0.9), [0, 0.9], [-1e-9, 0.9000001, NAN], "sparsity <="),
    "most sparsity": (lambda x: advice("sparsity", sparsity=0.0, most=x), [1e-9, 1], [0, 1.0000001], "<= most <= 1"),
    "epsilon": (lambda x: advice("sparsity", epsilon=x), [0, 1], [-1e-9, 1.0000001, NAN], "a number from 0 to 1"),
    "share to train": (lambda x: advice("unfreeze", share=x), [1e-9, 1], [0, 1.0000001, NAN], "above 0 and up to 1"),
    "base rate": (lambda x: advice("learning-rates", base=x), [TINY, 9], [0, -1, NAN], "a number above 0"),
    "lowest factor": (lambda x: advice("learning-rates", low=x), [0, 1.5], [-1e-9, 1.5000001], "0 <= low <= high"),
    "least rank": (lambda x: advice("lora-rank", rank=8, least=x), [1, 8], [0, 9], "accepted is"),
    "scale of adapters": (lambda x: advice("lora-rank", scale=x), [TINY, 9], [0, -1, NAN], "a number above 0"),
    "parameters": (lambda x: advice("truncate", parameters=x), [0.5, 1], [0, 1.0000001, NAN], "above 0 and up to 1"),
    "energy of a plan": (lambda x: advice("truncate", energy=x), [1e-9, 1], [0, 1.0000001], "above 0 and up to 1"),
    "energy of a rule": (lambda x: as_rule(f"energy:{x}"), [1e-9, 1], [0, 1.0000001, "nan"], "energy:"),
    "rank of a rule": (lambda x: as_rule(f"rank:{x}"), [1, 10**6], [0, -1, 1.5], "rank:"),
    "aspect ratio of a law": (lambda x: ww.laws.MarchenkoPastur(x), [1e-6, 1], [0, 1.0000001, NAN], "0 < q <= 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_accepted_up_to_its_limits_and_not_beyond(name):
    ask, accepted, refused, said = OPTIONS[name]
    for value in accepted:
        ask(value)
    for value in refused:
        with pytest.raises(ww.InvalidInput) as caught:
            ask(value)
        assert said in str(caught.value), value
        assert str(value) in str(caught.value) or repr(value) in str(caught.value), value


# Where a rule begins to hold.


@pytest.mark.parametrize(
    ("alpha", "word"),
    [
        (1.9999999, "very heavy-tailed"),
        (2.0, "heavy-tailed"),
        (6.0, "heavy-tailed"),
        (6.0000001, "weakly heavy-tailed"),
    ],
)
def test_a_heavy_tail_is_named_by_its_alpha(alpha, word):
    exact = TailFit(alpha, 0.0, 0.5, 0.5, 50, 0.03, 0.5, Outcome.OK)
    assert classes._by_alpha(exact).value == word


def test_uneven_from_a_visible_spread_on():
    kind = Universality(UniversalityClass.RANDOM_LIKE, "")
    tail = ww.fit_tail(ww.Spectrum.from_matrix(NOISE))

    def found(**spreads: float) -> tuple[str, ...]:
        told = {"row_spread": 0.0, "column_spread": 0.0, "slice_spread": 0.0, **spreads}
        return flags.flags_of(kind, tail, SimpleNamespace(**told), None)

    for side in ("row", "column", "slice"):
        assert found(**{f"{side}_spread": 0.05}) == ()
        assert found(**{f"{side}_spread": 0.05 + 1e-12}) == (f"uneven {side}s",)


@pytest.mark.parametrize(
    ("starts", "second", "flagged"),
    [(1, 5.0, False), (2, 5.0, True), (2, 3.25, False), (2, 3.2500001, True), (2, 2.75, False), (2, NAN, False)],
)
def test_a_start_is_ambiguous_where_another_has_another_alpha(starts, second, flagged):
    tail = replace(ww.fit_tail(ww.Spectrum.from_matrix(NOISE)), alpha=3.0, sigma=0.25, starts=starts, alpha_2nd=second)
    kind = Universality(UniversalityClass.RANDOM_LIKE, "")
    assert ("ambiguous tail start" in flags.flags_of(kind, tail, None, None)) is flagged


@pytest.mark.parametrize(("zeros", "collapsed"), [(19, False), (20, True), (21, True)])
def test_a_rank_has_collapsed_where_half_of_it_is_gone(zeros, collapsed):
    spectrum = ww.Spectrum.from_eigenvalues([0.0] * zeros + np.linspace(1, 3, 40 - zeros).tolist())
    found = classes._without_a_test(spectrum, ww.fit_bulk(spectrum))
    assert (found is not None and found.universality_class is UniversalityClass.RANK_COLLAPSE) is collapsed


@pytest.mark.parametrize(("number", "outcome"), [(3, "too_few"), (4, "ok")])
def test_four_eigenvalues_are_enough_for_a_bulk(number, outcome):
    found = ww.fit_bulk(ww.Spectrum.from_matrix(gaussian_matrix(9, number, seed=0)))
    assert (found.outcome.value, math.isnan(found.sigma)) == (outcome, outcome == "too_few")


@pytest.mark.parametrize(("number", "small"), [(19, True), (20, False)])
def test_twenty_eigenvalues_are_no_small_sample(number, small):
    found = ww.fit_tail(ww.Spectrum.from_eigenvalues(np.arange(1, number + 1) ** -1.0))
    assert (found.outcome.value == "small_sample") is small


@pytest.mark.parametrize(("spikes", "share", "noise"), [(7, 0.1, True), (7, 0.1000001, False), (8, 0.1, False)])
def test_a_few_weak_spikes_are_noise(spikes, share, noise):
    kind = Universality(UniversalityClass.BULK_AND_SPIKES, "", spikes=spikes, spike_share=share)
    assert looks_like_noise(kind) is noise


@pytest.mark.parametrize(("share", "rank"), [(0.4, 1), (0.4000001, 2), (0.7, 2), (0.7000001, 3), (1.0, 4)])
def test_energy_at_the_sum_of_a_rank_is_that_rank(share, rank):
    spectrum = ww.Spectrum.from_eigenvalues([1.0, 2.0, 3.0, 4.0])
    assert energy(spectrum, share) == rank


# What a class rests on: numbers of `setol_ww/layer/classes.py` and `docs/classes.md`, on a heavy-tailed spectrum.

HEAVY = ww.Spectrum.from_matrix(signed_pareto_matrix(150, 120, 1.5, seed=0))
LARGE = ww.Spectrum.from_eigenvalues(pareto_eigenvalues(300, 2.0, seed=0))
#: A bulk whose rest is noise: KS distance up to one and a half critical values.
NEAR = {"ks": 0.01, "critical_ks": 0.02}
#: One whose rest is farther from its law than twice what noise has, and nearer than what cannot be noise.
APART = {"ks": 0.095, "critical_ks": 0.03}

#: Bulk, z of the comparison of heavy tail and spikes: heavy or not.
EVIDENCE: list[tuple[ww.Spectrum, dict[str, Any], float, bool]] = [
    (HEAVY, {**NEAR, "spikes": 5}, 2.326, False),
    (HEAVY, {**NEAR, "spikes": 5}, 2.3260001, True),
    (HEAVY, {**NEAR, "spikes": 10}, 0.0, False),
    (HEAVY, {**NEAR, "spikes": 11}, 0.0, True),
    (HEAVY, {**NEAR, "spikes": 11}, -1.96, True),
    (HEAVY, {**NEAR, "spikes": 11}, -1.9600001, False),
    (LARGE, {**NEAR, "spikes": 15}, 0.0, False),
    (LARGE, {**NEAR, "spikes": 16}, 0.0, True),
    (HEAVY, {**APART, "spikes": 5}, 1.282, False),
    (HEAVY, {**APART, "spikes": 5}, 1.2820001, True),
    (HEAVY, {**APART, "spikes": 5, "ks": 0.09}, 1.2820001, False),
    (HEAVY, {**APART, "spikes": 5, "ks": 0.1}, 0.0, False),
    (HEAVY, {**APART, "spikes": 5, "ks": 0.1000001}, 0.0, True),
    (HEAVY, {"ks": 0.12, "critical_ks": 0.06, "spikes": 5}, 0.0, False),
    (HEAVY, {"ks": 0.1200001, "critical_ks": 0.06, "spikes": 5}, 0.0, True),
]


@pytest.mark.parametrize("number", range(len(EVIDENCE)))
def test_a_tail_is_heavy_by_evidence_beyond_a_limit(number, monkeypatch):
    spectrum, told, z, heavy = EVIDENCE[number]
    monkeypatch.setattr(classes, "vuong", lambda *_, **__: Comparison(9.0, z, 0.01))
    bulk = replace(ww.fit_bulk(spectrum), pvalue=1e-9, **told)
    found = classes.universality(spectrum, ww.fit_tail(spectrum), bulk)
    assert found.universality_class.is_heavy is heavy
    assert found.heavy_against_bulk.z == z


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ({"spikes": 1, "pvalue": 0.001}, "bulk+spikes"),
        ({"spikes": 1, "pvalue": 0.0010001}, "random-like"),
        ({"spikes": 2, "pvalue": 0.0010001}, "bulk+spikes"),
        ({"spikes": 0, "pvalue": 0.5, "ks": 0.03}, "random-like"),
        ({"spikes": 0, "pvalue": 0.5, "ks": 0.0300001}, "undetermined"),
        ({"spikes": 30, "pvalue": 0.0}, "bulk+spikes"),
        ({"spikes": 31, "pvalue": 0.0}, "undetermined"),
    ],
)
def test_what_is_noise_and_what_are_spikes(told, word, monkeypatch):
    """Where nothing speaks for a heavy tail, of 120 eigenvalues."""
    monkeypatch.setattr(classes, "vuong", lambda *_, **__: Comparison(-1.0, -0.5, 0.6))
    monkeypatch.setattr(classes, "_why_heavy", lambda *_: "")
    bulk = replace(ww.fit_bulk(HEAVY), **{**NEAR, **told})
    assert classes.universality(HEAVY, ww.fit_tail(HEAVY), bulk).universality_class.value == word


@pytest.mark.parametrize(("distance", "little"), [(0.05, False), (0.0500001, True)])
def test_there_is_little_power_where_noise_may_be_far_from_its_law(distance, little):
    bulk = replace(ww.fit_bulk(HEAVY), spikes=0, ks=0.0, critical_ks=distance / 1.5)
    found = classes.universality(HEAVY, ww.fit_tail(HEAVY), bulk)
    assert found.noise_distance == distance
    assert found.flags == (("little power",) if little else ())


@pytest.mark.parametrize(("gap", "apart"), [(1.79, False), (1.81, True)])
def test_a_gap_parts_spikes_from_a_tail(gap, apart):
    """Five beyond it, of logarithms .1 apart: (1 + 5 g / (.1 + .2 + .3 + .4))^-4 is 1e-4 at g = 1.8."""
    noise = marchenko_pastur_quantiles(195, 0.5)
    values = np.append(noise, noise[-1] * np.exp(gap + 0.1 * np.arange(5)))
    found = analyze_spectrum(ww.Spectrum.from_eigenvalues(values, (390, 200)))
    assert (found.bulk.spikes, found.universality.apart) == (5, apart)
    assert ("a gap parts them from the rest" in found.reason) is apart


@pytest.mark.parametrize(("share", "reached"), [(0.939, False), (0.941, True)])
def test_a_tail_reaches_the_edge_of_the_noise(share, reached):
    """Where the largest eigenvalue below the edge is beyond .94 of the noise's own."""
    bulk = replace(ww.fit_bulk(HEAVY), spikes=20)
    place = HEAVY.unit_mean[-21] / float(bulk.noise.quantile(np.array([share]))[0])
    found = replace(bulk, lambda_plus=place * (1 + math.sqrt(bulk.noise.q)) ** 2)
    assert classes.reaches_the_edge(HEAVY, found) is reached


def test_a_law_of_one_more_parameter_is_taken_where_it_gains_two():
    near = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        values = pareto_eigenvalues(200, 2.0 + rng.random(), seed)
        cut = 0.02 + 0.1 * rng.random()
        values = values[rng.random(200) < np.exp(-cut * (values - 1))]
        found = analyze_spectrum(ww.Spectrum.from_eigenvalues(values), ww.Settings(quality=False)).universality
        gains = {"truncated power law": found.truncation_gain, "lognormal": found.lognormal_gain}
        best = max(gains, key=gains.__getitem__)
        assert found.heavy_law == (best if gains[best] > 2 else "power law")
        near.append(gains[best] - 2)
    assert min(abs(one) for one in near if one > 0) < 0.2
    assert min(abs(one) for one in near if one < 0) < 0.2


@pytest.mark.parametrize(("alpha", "known"), [(1.9999999, True), (2.0, False), (NAN, False)])
def test_the_model_of_levy_and_wigner_is_for_exponents_below_two(alpha, known):
    cut = replace(ww.erg_cut(HEAVY), alpha=alpha)
    found = ww.quality(HEAVY, ww.fit_tail(HEAVY), cut)
    x = HEAVY.unit_mean[-cut.rank :]
    assert found.q2_lw == pytest.approx(np.mean(x ** (alpha - 1)) if known else NAN, nan_ok=True)
    said = {True: "", False: "; q2_lw: alpha_erg = 2.00 is not between 1 and 2"}[known]
    if alpha != alpha:
        said = "; q2_imp, q2_lw: the ERG tail has no spread and so no exponent"
    rho = f"q2_series5: x_1^2 / k = {x[-1] ** 2 / cut.rank:.3g}, the five-term series is used below 0.5 only"
    assert found.q2_reason == rho + said
