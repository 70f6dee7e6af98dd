"""What is said of the measured effect of advice follows from the committed numbers, and these from the code."""

from __future__ import annotations

import numpy as np
import pytest

import setol_ww as ww
from setol_ww.advice.evidence import MEASURED, NOT_MEASURED, READOUT, measured
from setol_ww.advice.registry import MODULES
from spec_tests.conftest import ROOT
from spec_tests.kept_scripts import load_script

pytest.importorskip("numba")
STEMS = ("training", "pruning", "truncation", "tuning")


@pytest.fixture(scope="module")
def scripts():
    return {stem: load_script(f"advice_{stem}") for stem in STEMS}


@pytest.fixture(scope="module")
def frames():
    cache = load_script("mlp3_cache")
    return {stem: cache.read_csv(f"advice/{stem}") for stem in STEMS}


def points(mean: float, error: float) -> str:
    return f"{mean:+.2f} ± {error:.2f}"


def test_the_sentences_on_rates_and_decay_are_those_of_the_numbers(scripts, frames):
    script, frame = scripts["training"], frames["training"]
    for target, method, others in (
        ("learning-rates", "tempbalance", ("plain", "tempbalance reversed")),
        ("weight-decay", "alphadecay", ("uniform decay", "alphadecay reversed")),
    ):
        for other in others:
            mean, error, count = script.gap(frame, method, other)
            assert f"{points(mean, error)} points" in MEASURED[target], (target, other, mean, error)
            assert f"{count} seeds" in MEASURED[target]
            assert not mean < -2 * error, "it helped: the warning is out of date"
        assert READOUT in ww.recommend({"a": np.eye(4) + 1.0}, target).warning


@pytest.mark.parametrize("net", ["MLP3", "ResNet-20"])
def test_the_sentences_on_sparsity_are_those_of_the_numbers(scripts, frames, net):
    for other in ("uniform", "erk"):
        gap = scripts["pruning"].differences(frames["pruning"], net, other)
        assert points(gap["mean"][0.9], gap["se"][0.9]) in MEASURED["sparsity"], (other, gap)
        assert not (gap["mean"] < -2 * gap["se"]).any(), "it helped: the warning is out of date"


@pytest.mark.parametrize("net", ["MLP3", "ResNet-20"])
def test_the_sentences_on_truncation_are_those_of_the_numbers(scripts, frames, net):
    budget = {"MLP3": 0.1, "ResNet-20": 0.6}[net]
    for method in ("plan by energy", "plan by ERG"):
        gap = scripts["truncation"].differences(frames["truncation"], net, method, "equal energy")
        assert points(gap["mean"][budget], gap["se"][budget]) in MEASURED["truncate"], (method, gap)


def test_the_sentence_on_lora_ranks_is_that_of_the_numbers(scripts, frames):
    script, frame = scripts["tuning"], frames["tuning"]
    for rank in script.RANKS:
        for method in ("erg", "spikes"):
            mean, error, count = script.gap(frame, "lora", method, "one rank", rank)
            assert points(mean, error) in MEASURED["lora-rank"], (rank, method, mean, error)
            assert f"{count} seeds" in MEASURED["lora-rank"]


def test_the_sentence_on_unfreezing_is_that_of_the_numbers(scripts, frames):
    script, frame = scripts["tuning"], frames["tuning"]
    rivals = [("snr", "random"), ("snr", "top"), ("edge", "random"), ("edge", "top"), ("edge", "bottom")]
    for method, other in rivals:
        mean, error, count = script.gap(frame, "unfreeze", method, other)
        assert points(mean, error) in MEASURED["unfreeze"], (method, other, mean, error)
        assert f"{count} seeds" in MEASURED["unfreeze"]


def test_what_is_held_against_each_other_has_as_many_parameters(frames):
    frame = frames["tuning"]
    lora = frame[frame["part"] == "lora"].pivot_table(index=["rank", "seed"], columns="method", values="parameters")
    # Whole ranks: what is left of the budget is less than one of the dearest layer.
    assert (lora.max(axis=1) - lora.min(axis=1) < 784 + 128).all()
    chosen = frame[(frame["part"] == "unfreeze") & ~frame["method"].isin(["all", "none"])]
    assert chosen["parameters"].nunique() == 1


def test_a_run_of_each_way_of_tuning_on_few_images(scripts, monkeypatch):
    """What is said to move is what moves."""
    pytest.importorskip("peft")
    import torch

    script, few = scripts["tuning"], torch.Generator().manual_seed(0)
    some = torch.rand(64, 784, generator=few), torch.randint(0, 5, (64,), generator=few)
    monkeypatch.setattr(script, "digits", lambda: dict.fromkeys(("learned", "tuned", "held out", "test"), some))
    monkeypatch.setattr(script, "EPOCHS", 1)
    monkeypatch.setitem(script.PRETRAINING, "epochs", 1)
    script.pretrained.cache_clear()
    threads = torch.get_num_threads()
    try:
        block = script.SIDE * (script.SIDE + 1)
        for method in script.UNFREEZE:
            number = {"all": script.BLOCKS, "none": 0}.get(method, script.CHOSEN)
            assert script.measured("unfreeze", method, 0, 0.1, 0)["parameters"] == number * block
        budget = 4 * (784 + script.SIDE + script.BLOCKS * 2 * script.SIDE)
        for method in script.LORA:
            moved = script.measured("lora", method, 4, 0.1, 0)["parameters"]
            assert budget - 912 < moved <= budget
    finally:
        script.pretrained.cache_clear()
        torch.set_num_threads(threads)


def test_what_was_not_tried_says_so():
    assert measured("something else") == NOT_MEASURED
    assert {measured(target) for target in MODULES} <= set(MEASURED.values())


def test_the_findings_have_every_claim_of_the_scripts(scripts, frames):
    """How many of the claims held stands on the page."""
    page = (ROOT / "docs" / "findings.md").read_text("utf-8")
    for stem in STEMS:
        found = scripts[stem].claims(frames[stem])
        held = sum(claim.holds for claim in found)
        assert f"{held} of {len(found)} claims](figures/advice/{stem}.csv)" in page, (stem, held, len(found))


def test_every_run_is_there_once_and_its_factors_are_those_of_the_methods(scripts, frames):
    script, frame = scripts["training"], frames["training"]
    settings = frame[["method", "rate", "decay", "seed"]]
    assert not settings.duplicated().any()
    assert {(run.method, run.rate, run.decay, run.seed) for run in script.rate_runs()} <= set(
        settings.itertuples(index=False, name=None)
    )
    for method, part in frame.groupby("method"):
        factors = part[["factor_FC1", "factor_FC2"]]
        assert set(np.unique(factors.to_numpy())) <= set(np.round(script.Run(method, 1, 0, 0).factors, 9))
        # Two layers: one is always the smaller, the other the larger.
        assert "plain" in method or "uniform" in method or (factors.nunique(axis=1) == 2).all()


def test_the_plans_and_the_equal_shares_cost_the_same(frames):
    frame = frames["truncation"]
    cut = frame[frame["budget"] < 1]
    assert (cut["parameters"] <= cut["budget"] * (1 + 1e-9)).all()
    plans = cut[cut["method"].str.startswith("plan")]
    assert (plans["parameters"] > 0.9 * plans["budget"]).all()


def test_erk_is_that_of_its_authors(scripts):
    """The vectors of rigl's formula, by hand; there the zeros of each layer are rounded down first."""
    erk = scripts["pruning"].erk
    np.testing.assert_allclose(erk([(16, 3, 3, 3), (32, 16, 3, 3), (10, 32)], 0.8), [0.4484, 0.8883, 0], atol=1e-3)
    np.testing.assert_allclose(erk([(64, 64), (256, 64), (10, 256)], 0.8), [0.7983, 0.8739, 0.3293], atol=1e-3)


def test_a_run_of_each_method_on_few_images(scripts):
    """The smaller alpha has the smaller rate; a rate at which the net diverges is said to have done so."""
    script, mlp3 = scripts["training"], load_script("mlp3")
    rng = np.random.default_rng(0)
    x = rng.random((300, 784)).astype(np.float32) * (rng.random((300, 784)) < 0.2)
    data = mlp3.Data(x, rng.integers(0, 10, 300), x[:50], rng.integers(0, 10, 50))
    rows = script.sparse_rows(x)
    for method in (*script.RATE_METHODS, *script.DECAY_METHODS):
        _, row = script.train(data, rows, script.Run(method, 0.1, 0.001, 0), epochs=2)
        assert not row["diverged"]
        low, high = script.Run(method, 0.1, 0.001, 0).factors
        assert sorted([row["factor_FC1"], row["factor_FC2"]]) == pytest.approx(sorted([low, high]))
    _, row = script.train(data, rows, script.Run("plain", 1e4, 0.0, 0), epochs=3)
    assert row["diverged"]


def test_one_pruned_resnet_is_what_the_table_says(scripts, frames, monkeypatch):
    script = scripts["pruning"]
    if not (script.mlp3.data_folder() / "cifar10_jpg").is_dir():
        pytest.skip("the CIFAR images are in the shared data, named by SETOL_DATA")
    monkeypatch.setattr(load_script("advice_training"), "nets_of", lambda cache: iter(()))
    nets = script.Nets(ROOT)
    got = nets.measured("ResNet-20", 0, 0.7, "alphapruning")
    frame = frames["pruning"]
    row = frame[(frame["sparsity"] == 0.7) & (frame["method"] == "alphapruning")].set_index("net")["error"]
    assert got["error"] == pytest.approx(row["ResNet-20"], abs=0.004)
    assert got["error_norms_anew"] == pytest.approx(row[script.NORMS_ANEW], abs=0.004)
