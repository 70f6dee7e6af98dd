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
from fixtures.ensembles import gaussian_matrix, signed_pareto_matrix
from setol_ww.core.options import Options
from setol_ww.core.outcomes import Outcome
from setol_ww.layer import classes, flags
from setol_ww.layer.classes import Universality, UniversalityClass
from setol_ww.layer.verdict import looks_like_noise
from setol_ww.linalg.directions import project
from setol_ww.monitor.budget import share_of
from setol_ww.scanning.run import _checked_shard
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
        assert found(**{f"{side}_spread": flags.VISIBLE}) == ()
        assert found(**{f"{side}_spread": flags.VISIBLE + 1e-12}) == (f"uneven {side}s",)


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
