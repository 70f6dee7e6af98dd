"""Advice equals the authors' procedures on the same spectra, keeps its budgets, has the form that its user takes."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import FrozenInstanceError
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import setol_ww as ww
from fixtures import advice as authors
from setol_ww.advice.budgets import counts, ranks
from setol_ww.advice.candidates import Candidate, rows_of
from setol_ww.advice.registry import MODULES, target_called
from setol_ww.cli.main import main
from setol_ww.results.export import read_table
from setol_ww.results.record import LayerRecord
from spec_tests.conftest import ROOT
from spec_tests.page_runner import commands, run_python, words

torch = pytest.importorskip("torch")
TARGETS = tuple(MODULES)


def results_of(layers, **identity) -> ww.Results:
    """Results of layers (name, eigenvalues, shape)."""
    records = []
    for position, (name, values, (rows, columns)) in enumerate(layers):
        told = {"longname": name, "tensor": f"{name}.weight", "shape": f"{rows} x {columns}", "layer_type": "dense"}
        spectrum = ww.Spectrum.from_eigenvalues(values, (rows, columns))
        facts = {"n_params": rows * columns, "N": max(rows, columns), "M": min(rows, columns), "slice": ""}
        records.append(LayerRecord(position, {**told, **facts, **identity}, spectrum=spectrum))
    return ww.Results.from_records(records)


def with_alphas(alphas, counts_=None, names=None, rows=None) -> ww.Results:
    """Layers whose median-Hill exponents are these."""
    counts_ = counts_ or [100] * len(alphas)
    names = names or [f"net.{chr(97 + i)}" for i in range(len(alphas))]
    rows = rows or [2 * count for count in counts_]
    return results_of(
        [
            (name, authors.with_alpha(alpha, count), (tall, count))
            for name, alpha, count, tall in zip(names, alphas, counts_, rows, strict=True)
        ]
    )


class Net(torch.nn.Module):
    """A convolution with its norm, an embedding tied to the head, linear layers, a layer of gates."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = torch.nn.Conv2d(8, 16, 3, bias=False), torch.nn.BatchNorm2d(16)
        self.embed = torch.nn.Embedding(80, 60)
        self.blocks = torch.nn.ModuleList(torch.nn.Linear(60, 60 + 10 * n) for n in range(4))
        self.norm = torch.nn.LayerNorm(60)
        self.head = torch.nn.Linear(60, 80, bias=False)
        self.head.weight = self.embed.weight


@pytest.fixture(scope="module")
def net() -> Net:
    torch.manual_seed(5)
    return Net()


@pytest.fixture(scope="module")
def examined(net) -> ww.Results:
    return ww.examine(net, progress=False)


@pytest.mark.parametrize(
    ("target", "column", "low", "high"),
    [("learning-rates", "learning_rate", 0.5, 1.5), ("weight-decay", "weight_decay", 0.6666, 3.0)],
)
def test_rates_and_decay_are_those_of_the_authors(target, column, low, high):
    alphas, counts_ = [3.3, 2.0, 3.0, 5.0, 7.0, 2.2], [100, 90, 100, 110, 30, 60]
    table = ww.recommend(with_alphas(alphas, counts_), target, base=0.2).table()
    np.testing.assert_allclose(table["alpha_hill"], alphas, rtol=1e-12)
    np.testing.assert_allclose(table[column], authors.balanced(alphas, counts_, 0.2, low, high), rtol=1e-12)
    assert table["reason"].tolist()[0] == "the first layer"
    assert table["reason"].tolist()[-2:] == ["30 eigenvalues, fewer than 50", "the last layer"]


@pytest.mark.parametrize(
    ("mapping", "want"),
    [
        ("linear", [0.5, 0.8333, 1.5]),
        ("sqrt", [0.7883, 0.9654, 1.2463]),
        ("log2", [0.6114, 0.9690, 1.4196]),
        ("step", [0.5, 0.8333, 1.1667]),
    ],
)
def test_every_map_of_tempbalance(mapping, want):
    advice = ww.recommend(with_alphas([2, 3, 5]), "learning-rates", base=1.0, mapping=mapping, keep_base=())
    np.testing.assert_allclose(advice.table()["learning_rate"], want, atol=5e-5)


@pytest.mark.parametrize(
    ("rows", "epsilon", "want"),
    [
        ([200, 200, 200], 0.3, [0.5069, 0.6517, 0.9414]),
        ([200, 200, 200], 0.2, [0.5727, 0.6682, 0.8591]),
        ([200, 200, 400], 0.3, [0.4667, 0.6000, 0.8667]),
    ],
)
def test_sparsity_is_that_of_the_authors(rows, epsilon, want):
    results = with_alphas([2, 3, 5], rows=rows)
    table = ww.recommend(results, "sparsity", sparsity=0.7, epsilon=epsilon).table()
    np.testing.assert_allclose(table["sparsity"], want, atol=5e-5)
    sizes = [100 * tall for tall in rows]
    np.testing.assert_allclose(table["sparsity"], authors.pruned([2, 3, 5], sizes, 0.7, epsilon), rtol=1e-10)


def test_a_share_above_one_is_cut_and_the_budget_kept():
    """Alphas 2, 2, 5 at 0.8: the authors' shares are 0.622, 0.622 and 1.156."""
    advice = ww.recommend(with_alphas([2, 2, 5]), "sparsity", sparsity=0.8)
    assert authors.pruned([2, 2, 5], [1, 1, 1], 0.8, 0.3) == pytest.approx([0.6222, 0.6222, 1.1556], abs=1e-4)
    np.testing.assert_allclose(advice.table()["sparsity"], [0.7, 0.7, 1.0], rtol=1e-12)
    assert advice.table()["reason"].tolist()[2] == "cut to 1 from 1.156"
    assert any("above 1 in 1 layers" in note for note in advice.notes)


@given(
    st.lists(st.floats(1.2, 9), min_size=2, max_size=7),
    st.integers(0, 10**6),
    st.floats(0, 1),
    st.floats(0, 0.95),
)
def test_the_budget_of_zeros_is_kept_exactly(alphas, seed, share, epsilon):
    rows = np.random.default_rng(seed).integers(60, 500, len(alphas)).tolist()
    table = ww.recommend(
        with_alphas(alphas, [60] * len(alphas), rows=rows), "sparsity", sparsity=share, epsilon=epsilon
    ).table()
    total = table["n_params"].sum()
    assert table["sparsity"] @ table["n_params"] == pytest.approx(share * total, rel=1e-12)
    assert table["n_pruned"].sum() == round(share * total)
    assert table["sparsity"].between(0, 1).all()
    assert (table["n_pruned"] - table["sparsity"] * table["n_params"]).abs().max() < 1 + 1e-6
    if max(alphas) - min(alphas) > 1e-6:
        want = authors.filled(alphas, table["n_params"].tolist(), share, epsilon)
        np.testing.assert_allclose(table["sparsity"], want, rtol=1e-6, atol=1e-9)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=8), st.integers(0, 10**6), st.floats(1, 40))
def test_ranks_stay_within_their_budget_and_waste_less_than_one(weights, seed, mean):
    rng = np.random.default_rng(seed)
    costs, limits = rng.integers(20, 400, len(weights)), rng.integers(5, 200, len(weights))
    budget = mean * costs.sum()
    found = ranks(np.array(weights), costs, limits, budget)
    assert found @ costs <= budget * (1 + 1e-9)
    assert ((found >= 1) & (found <= limits)).all()
    room = found < limits
    assert not room.any() or budget - found @ costs < costs[room].max()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.integers(0, 10**6))
def test_whole_numbers_add_up(fractions, seed):
    sizes = np.random.default_rng(seed).integers(1, 1000, len(fractions))
    total = round(float(np.array(fractions) @ sizes))
    found = counts(np.array(fractions), sizes, total)
    assert found.sum() == total
    assert (np.abs(found - np.array(fractions) * sizes) <= 1 + 1e-6).all()
    assert ((found >= 0) & (found <= sizes)).all()


@pytest.mark.parametrize("target", TARGETS)
def test_other_names_and_another_order_change_no_number(target):
    """First and last stay where they are; the others change places and all change their names."""
    alphas, order = [3.1, 2.0, 4.0, 2.6, 5.0, 2.2], [0, 3, 1, 4, 2, 5]
    rows = [150, 220, 180, 260, 300, 210]
    column = target_called(target).column
    plain = ww.recommend(with_alphas(alphas, rows=rows), target).table()
    moved = with_alphas(
        [alphas[i] for i in order], names=[f"other.{'qwzrtp'[i]}" for i in order], rows=[rows[i] for i in order]
    )
    got = ww.recommend(moved, target).table()[column].to_numpy(dtype=float)
    np.testing.assert_allclose(got, plain[column].to_numpy(dtype=float)[order], rtol=1e-12)


@pytest.mark.parametrize("target", ["learning-rates", "weight-decay", "sparsity"])
@pytest.mark.parametrize("alphas", [[3.0], [3.0] * 4])
def test_equal_alphas_and_one_layer_change_nothing(target, alphas):
    """Where the authors' code divides by zero."""
    options = {} if target == "sparsity" else {"keep_base": ()}
    advice = ww.recommend(with_alphas(alphas), target, **options)
    base = advice.options.get("base", advice.options.get("sparsity"))
    np.testing.assert_allclose(advice.table()[advice.column], base, rtol=1e-12)
    assert any("no layer from another" in note or "one layer is left" in note for note in advice.notes)


@pytest.mark.parametrize("target", TARGETS)
def test_a_layer_that_failed_has_a_reason_and_spoils_no_other(target):
    weights = {f"net.{n}.weight": np.random.default_rng(n).normal(size=(90 + n, 70)) for n in range(5)}
    sound = ww.recommend(weights, target).table()
    weights["net.2.weight"] = weights["net.2.weight"].copy()
    weights["net.2.weight"][3, 4] = np.nan
    advice = ww.recommend(weights, target)
    if target == "truncate":
        assert "1 NaN" in advice.left_out["net.2"]
        return
    table = advice.table().set_index("longname")
    assert "net.2" in table["reason"]["net.2"]
    assert not table[advice.column].isna().any()
    if target == "sparsity":
        assert table["sparsity"]["net.2"] == 0.5
        assert table["sparsity"] @ table["n_params"] == pytest.approx(0.5 * table["n_params"].sum())
    assert len(table) == len(sound)


def test_snr_is_that_of_spectrum():
    sigma = [10, 4, 3, 2.5, 2, 1.5, 1.2, 1]
    for rows, want in ((16, 0.342105), (8, 0.207317)):
        results = results_of([("net.0.q", [s * s for s in sigma], (rows, 8))])
        got = ww.recommend(results, "unfreeze", share=1.0).table()["snr"].item()
        assert got == pytest.approx(want, abs=5e-7)
        assert got == pytest.approx(authors.snr(sigma, rows, 8), rel=1e-12)


def test_half_of_each_type_is_trained_rounded_down():
    rng = np.random.default_rng(0)
    weights = {f"model.layers.{n}.{kind}.weight": rng.normal(size=(40, 30)) for kind in ("q", "up") for n in range(5)}
    for n, spike in enumerate([0, 30, 10, 50, 5]):
        weights[f"model.layers.{n}.q.weight"] = weights[f"model.layers.{n}.q.weight"] + spike / 30
    weights["odd.weight"] = rng.normal(size=(40, 30))
    ratios = [authors.snr(np.linalg.svd(weights[f"model.layers.{n}.q.weight"])[1], 40, 30) for n in range(5)]
    # A spike raises the energy above the edge; Spectrum's ratio it lowers, which is over the largest singular value.
    wanted = {"snr": np.argsort(ratios)[-2:], "edge": [1, 3]}
    for by in ("snr", "edge"):
        advice = ww.recommend(weights, "unfreeze", by=by)
        table = advice.table()
        assert table.groupby("type")["unfreeze"].sum().to_dict() == {"q": 2, "up": 2, "": 0}
        q = table[table["type"] == "q"]
        assert set(q[q["unfreeze"]]["longname"]) == {f"model.layers.{n}.q" for n in wanted[by]}
        assert any("rounds down to no layer" in note for note in advice.notes)


def test_axolotl_trains_what_is_meant_and_nothing_else(tmp_path):
    yaml = pytest.importorskip("yaml")
    rng = np.random.default_rng(1)
    names = [f"model.layers.{n}.{kind}" for n in range(12) for kind in ("experts.1", "experts.10", "gate", "gate_proj")]
    names += ["model.layersX0.gate", "lm_head", "model.embed_tokens"]
    advice = ww.recommend({f"{name}.weight": rng.normal(size=(30, 20)) for name in names}, "unfreeze")
    advice.to_yaml(tmp_path / "unfrozen.yaml")
    patterns = yaml.safe_load((tmp_path / "unfrozen.yaml").read_text("utf-8"))["unfrozen_parameters"]
    assert patterns[:2] == ["^lm_head.weight$", "^model.embed_tokens.weight$"]
    wanted = set(advice.table().query("unfreeze")["longname"]) | {"lm_head", "model.embed_tokens"}
    assert {name for name in names if authors.axolotl_trains(f"{name}.weight", patterns)} == wanted
    assert not authors.axolotl_trains("base.model.layers.1.gate.weight", patterns)
    assert any(pattern.endswith("gate_proj") for pattern in patterns), "as Spectrum writes it where nothing clashes"


def test_every_parameter_is_in_one_group_and_tied_ones_once(net, examined):
    for target, key in (("learning-rates", "lr"), ("weight-decay", "weight_decay")):
        groups = ww.recommend(examined, target, base=0.3, min_evals=10).param_groups(net)
        listed = [id(parameter) for group in groups for parameter in group["params"]]
        assert sorted(listed) == sorted(id(parameter) for parameter in net.parameters())
        assert all(set(group) == {"params", key} for group in groups)
        torch.optim.SGD(groups, lr=0.3)


def test_weight_and_bias_share_a_rate_and_a_norm_follows_its_convolution(net, examined):
    advice = ww.recommend(examined, "learning-rates", base=0.3, keep_base=())
    value = {id(parameter): group["lr"] for group in advice.param_groups(net) for parameter in group["params"]}
    told = advice.table().set_index("longname")["learning_rate"]
    for name in ("blocks.0", "blocks.2"):
        layer = net.get_submodule(name)
        assert value[id(layer.weight)] == value[id(layer.bias)] == told[name]
    assert value[id(net.bn1.weight)] == value[id(net.bn1.bias)] == told["conv1"] != 0.3
    assert value[id(net.norm.weight)] == value[id(net.embed.weight)] == 0.3
    decays = ww.recommend(examined, "weight-decay", base=0.3, keep_base=()).param_groups(net)
    value = {id(parameter): group["weight_decay"] for group in decays for parameter in group["params"]}
    assert value[id(net.blocks[2].bias)] == value[id(net.bn1.weight)] == 0.3 != value[id(net.blocks[2].weight)]


def test_groups_of_a_computed_weight_and_of_another_model(net, examined):
    layer = torch.nn.Sequential(torch.nn.Linear(60, 70), torch.nn.Linear(70, 80), torch.nn.Linear(80, 60))
    torch.nn.utils.parametrizations.weight_norm(layer[1])
    advice = ww.recommend(layer, "weight-decay", keep_base=("0",))
    value = {id(p): group["weight_decay"] for group in advice.param_groups(layer) for p in group["params"]}
    told = advice.table().set_index("longname")["weight_decay"]
    assert value[id(layer[1].parametrizations.weight.original1)] == told["1"] != 0.1
    with pytest.raises(ww.InvalidInput, match="without '0'"):
        advice.param_groups(net)
    with pytest.raises(ww.InvalidInput, match=r"torch\.nn\.Module"):
        advice.param_groups({"a": 1})


def test_first_and_last_of_an_alphabetical_listing():
    """safetensors lists lm_head first and layer 10 before layer 2."""
    names = [f"model.layers.{n}.q_proj" for n in range(12)] + ["lm_head", "model.embed_tokens"]
    weights = {f"{name}.weight": np.random.default_rng(3).normal(size=(70, 60)) for name in sorted(names)}
    table = ww.recommend(weights, "learning-rates").table().set_index("longname")
    assert table["reason"]["model.layers.0.q_proj"] == "the first layer"
    assert table["reason"]["lm_head"] == "the last layer"
    assert table["reason"]["model.embed_tokens"].startswith("an embedding")
    assert table["reason"]["model.layers.9.q_proj"] == ""


def test_blocks_have_one_sparsity_and_the_rest_is_left_out():
    rng = np.random.default_rng(4)
    weights = {
        f"model.layers.{n}.{kind}.weight": rng.standard_t(3 + n, size=(80, 60)) for n in range(3) for kind in "qk"
    }
    weights |= {"model.embed_tokens.weight": rng.normal(size=(90, 60)), "lm_head.weight": rng.normal(size=(90, 60))}
    advice = ww.recommend(weights, "sparsity", sparsity=0.6)
    table = advice.table()
    assert set(advice.left_out) == {"model.embed_tokens", "lm_head"}
    assert table.groupby("block")["sparsity"].nunique().tolist() == [1, 1, 1]
    peaks = ww.examine(weights, progress=False).table().set_index("longname")["alpha_peak"]
    np.testing.assert_allclose(table["alpha_peak"], peaks[table["longname"]], rtol=1e-12)
    means = [np.mean([peaks[f"model.layers.{n}.{kind}"] for kind in "qk"]) for n in range(3)]
    want = np.repeat(authors.pruned(means, [1, 1, 1], 0.6, 0.3), 2)
    np.testing.assert_allclose(table["sparsity"], want, rtol=1e-10)
    alone = ww.recommend(weights, "sparsity", sparsity=0.6, blocks=False).table()
    assert alone["sparsity"].nunique() == len(alone) == 7


def test_names_of_other_families_have_their_blocks_embeddings_and_heads():
    """GGUF calls blocks `blk`, GPT-J a layer of its MLP `fc_out`; T5 has layers inside of its blocks."""
    draws = np.random.default_rng(5)
    gguf = [f"blk.{n}.attn_{kind}" for n in range(2) for kind in "qk"] + ["token_embd", "output"]
    advice = ww.recommend({f"{name}.weight": draws.normal(size=(70, 60)) for name in gguf}, "sparsity")
    assert advice.table()["block"].tolist() == ["blk.0", "blk.0", "blk.1", "blk.1"]
    assert set(advice.left_out) == {"token_embd", "output"}
    gptj = sorted([f"transformer.h.{n}.mlp.fc_{side}" for n in range(3) for side in ("in", "out")] + ["lm_head"])
    table = ww.recommend({f"{name}.weight": draws.normal(size=(70, 60)) for name in gptj}, "learning-rates").table()
    assert table["longname"].tolist()[-2:] == ["transformer.h.2.mlp.fc_out", "lm_head"]
    assert table["reason"].tolist()[1:] == [""] * 5 + ["the last layer"]
    t5 = [f"encoder.block.{n}.layer.{part}.wi" for n in range(2) for part in range(2)]
    table = ww.recommend({f"{name}.weight": draws.normal(size=(70, 60)) for name in t5}, "sparsity").table()
    assert table["block"].nunique() == 2


def test_a_linear_module_called_as_embeddings_are_is_advised():
    net = torch.nn.Sequential()
    for name in ("first", "shared", "emb", "last"):
        net.add_module(name, torch.nn.Linear(60, 60))
    table = ww.recommend(net, "sparsity").table()
    assert table["longname"].tolist() == ["first", "shared", "emb", "last"]


def test_slices_of_one_tensor_have_one_rate():
    attention = torch.nn.MultiheadAttention(64, 4)
    results = ww.examine(attention, progress=False)
    advice = ww.recommend(results, "learning-rates", keep_base=(), base=1.0)
    table = advice.table().set_index("longname")
    alphas = results.table().set_index(["longname", "slice"])["alpha_hill"]
    want = np.mean([alphas["in_proj_weight", part] for part in "qkv"])
    assert table["alpha_hill"]["in_proj_weight"] == pytest.approx(want)
    assert len(rows_of(results)) == 4
    assert any("in_proj_weight" in note for note in advice.notes)
    value = {id(p): group["lr"] for group in advice.param_groups(attention) for p in group["params"]}
    assert value[id(attention.in_proj_weight)] == table["learning_rate"]["in_proj_weight"]


def test_peft_builds_the_ranks_that_are_advised():
    peft = pytest.importorskip("peft")

    class Tiny(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList(torch.nn.Linear(60, 50) for _ in range(12))
            self.q = torch.nn.Linear(60, 60)
            self.outer = torch.nn.ModuleDict({"q": torch.nn.Linear(60, 40)})

    torch.manual_seed(0)
    model = Tiny()
    for n, layer in enumerate(model.layers):
        layer.weight.data += n * torch.outer(torch.randn(50), torch.randn(60)) / 60
    advice = ww.recommend(model, "lora-rank", rank=6, scale=2.0)
    table = advice.table().set_index("longname")
    assert table["rank"].nunique() > 1
    budget = 6 * sum(sum(layer.weight.shape) for layer in model.modules() if isinstance(layer, torch.nn.Linear))
    assert budget - 120 < table["lora_params"].sum() <= budget
    config = peft.LoraConfig(
        r=1,
        lora_alpha=999,
        target_modules=list(table.index),
        rank_pattern=advice.rank_pattern(),
        alpha_pattern=advice.alpha_pattern(),
    )
    adapted = peft.get_peft_model(model, config)
    for name, row in table.iterrows():
        layer = adapted.base_model.model.get_submodule(name)
        assert layer.lora_A["default"].weight.shape[0] == row["rank"], name
        assert layer.scaling["default"] == pytest.approx(2.0)
    assert sum(p.numel() for name, p in adapted.named_parameters() if "lora_" in name) == table["lora_params"].sum()
    before = {name: p.detach().clone() for name, p in adapted.named_parameters()}
    optimiser = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        sum(
            layer(torch.ones(3, layer.in_features)).square().sum() for layer in adapted.base_model.model.layers
        ).backward()
        optimiser.step()
    moved = {name for name, p in adapted.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if ".layers." in name and "lora_" in name}


def test_lora_ranks_by_spikes_and_rslora():
    rng = np.random.default_rng(0)
    weights = {f"net.{n}.weight": rng.normal(size=(90, 70)) for n in range(3)}
    planted = rng.normal(size=(90, 5)) @ rng.normal(size=(5, 70))
    weights["net.1.weight"] = weights["net.1.weight"] + planted
    advice = ww.recommend(weights, "lora-rank", by="spikes", rank=4, rslora=True)
    assert advice.table()["bulk_spikes"].tolist() == [0, 5, 0]
    assert advice.table()["rank"].tolist() == [1, 10, 1]
    assert advice.table()["lora_alpha"].tolist() == pytest.approx([1, math.sqrt(10), 1])


@pytest.mark.parametrize("by", ["energy", "erg"])
@pytest.mark.parametrize("share", [0.1, 0.4, 0.9, 1.0])
def test_a_plan_keeps_its_budget_of_parameters(examined, by, share):
    table = ww.recommend(examined, "truncate", parameters=share, by=by).table()
    total = table["n_params"].sum()
    assert table["parameters"].sum() <= share * total
    assert (table["rank"] >= 1).all()
    whole = table["rank"] == table["num_evals"]
    assert (table["parameters"][whole] == table["n_params"][whole]).all()
    assert share < 1 or whole.all()
    one_more = 2 * 150
    # A layer that the next component makes whole may take more than one component's parameters.
    assert whole.any() or share * total - table["parameters"].sum() < one_more


@pytest.mark.parametrize("by", ["energy", "erg"])
def test_a_plan_keeps_its_energy_with_no_component_to_spare(examined, by):
    table = ww.recommend(examined, "truncate", energy=0.8, by=by).table()
    kept = (table["kept_energy"] * table["num_evals"]).sum() / table["num_evals"].sum()
    assert 0.8 <= kept < 0.85
    spectra = {row.title: row.spectra[0] for row in rows_of(examined)}
    for row in table.itertuples():
        values = spectra[row.longname].unit_mean[::-1]
        assert row.kept_energy == pytest.approx(values[: row.rank].sum() / values.size)


def test_no_plan_of_equal_cost_keeps_more_energy(examined):
    """Every exchange of components between two layers loses."""
    found = ww.recommend(examined, "truncate", parameters=0.3).table()
    spectra = {row.title: row.spectra[0] for row in rows_of(examined)}
    last, following = [], []
    for row in found[found["rank"] < found["num_evals"]].itertuples():
        spectrum = spectra[row.longname]
        values = spectrum.unit_mean[::-1] / (spectrum.N + spectrum.M)
        last.append(values[row.rank - 1])
        following.append(values[row.rank])
    assert min(last) >= max(following)


def test_a_plan_cuts_models_checkpoints_and_on_the_command_line(net, examined, tmp_path, capsys):
    advice = ww.recommend(examined, "truncate", parameters=0.3)
    rules = advice.rules()
    told = advice.table().set_index("longname")["rank"].to_dict()
    with ww.truncated(net, rules) as cut:
        assert {line.layer: line.rank for line in cut if not line.reason} == told
        assert [line.layer for line in cut if line.reason] == ["embed"]
        assert "the plan does not name it" in next(line.reason for line in cut if line.layer == "embed")
    frame = ww.evaluate_truncation(net, lambda model: 1.0, rules)
    assert frame["rule"].tolist() == ["plan"]
    torch.save(net.state_dict(), tmp_path / "net.pt")
    for number, name in enumerate(("plan.yaml", "plan.json")):
        assert (
            main(
                ["recommend", str(tmp_path / "net.pt"), "--target", "truncate", "--set", "parameters=0.3"]
                + ["--out", str(tmp_path / name), "--quiet"]
            )
            == 0
        )
        out = tmp_path / f"small{number}"
        assert main(["truncate", str(tmp_path / "net.pt"), "--plan", str(tmp_path / name), "--out", str(out)]) == 0
        manifest = json.loads((out / "manifest.json").read_text("utf-8"))
        assert {line["layer"]: line["rank"] for line in manifest["layers"] if line["layer"] in told} == told
        assert manifest["rule"] == "plan"
    assert "in proportion to k*" not in capsys.readouterr().out
    with pytest.raises(ww.InvalidInput, match=r"a plan for 'block\.0'.*Accepted are: .*blocks\.0"):
        ww.truncate(net, {"block.0": "rank:3"})


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("plan.txt", "rules: {}", "accepted endings"),
        ("plan.json", "{", "no JSON"),
        ("plan.json", '{"rules": {}}', "with `rules`"),
        ("plan.yaml", "rules: [1", "no YAML"),
        ("plan.yaml", "rules: {a: 3}", "with `rules`"),
    ],
)
def test_a_plan_file_that_is_none_is_refused(tmp_path, capsys, name, text, said):
    np.save(tmp_path / "net.npy", np.eye(5))
    (tmp_path / name).write_text(text, "utf-8")
    asked = ["truncate", str(tmp_path / "net.npy"), "--plan", str(tmp_path / name), "--out", str(tmp_path / "out")]
    assert main(asked) == 2
    assert said in capsys.readouterr().err
    assert main([*asked, "--rule", "erg"]) == 2
    assert "one of them" in capsys.readouterr().err


@pytest.mark.parametrize("target", TARGETS)
def test_every_advice_says_its_formula_its_source_and_what_was_measured(examined, target, tmp_path):
    advice = ww.recommend(examined, target)
    text = str(advice)
    for part in (advice.formula, advice.source, advice.measured):
        assert part
        assert part.split()[0] in text
    assert advice.column in advice.table()
    assert len(text.splitlines()) < 40
    assert repr(advice).startswith(f"<Advice: {advice.column} ")
    assert "<table" in advice._repr_html_()
    told = json.loads(advice.to_json())
    assert advice.to_json().startswith('{\n "schema": 1,\n "target": ')
    assert (told["schema"], told["target"], len(told["rows"])) == (1, target, len(advice.rows))
    with pytest.raises(FrozenInstanceError):
        advice.target = "other"
    yaml = pytest.importorskip("yaml")
    advice.to_yaml(tmp_path / "advice.yaml")
    assert yaml.safe_load((tmp_path / "advice.yaml").read_text("utf-8"))


def test_a_name_from_a_file_is_no_markup_and_no_yaml(tmp_path):
    yaml = pytest.importorskip("yaml")
    name = 'a"<b>: [\x1b]\n#é'
    results = results_of([(name, authors.with_alpha(3, 60), (80, 60)), ("plain", authors.with_alpha(2, 60), (80, 60))])
    for target in ("sparsity", "truncate", "lora-rank", "learning-rates"):
        advice = ww.recommend(results, target)
        assert "<b>" not in advice._repr_html_()
        assert "\x1b" not in str(advice)
        advice.to_yaml(tmp_path / "x.yaml")
        parts = [
            part for part in yaml.safe_load((tmp_path / "x.yaml").read_text("utf-8")).values() if type(part) is dict
        ]
        assert all(len(part) == 2 for part in parts)
        assert target == "lora-rank" or next(iter(parts[0])) == name


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("nothing", {}, "target='nothing' was asked; accepted is one of 'learning-rates'"),
        ("sparsity", {"sparse": 0.5}, "sparse=0.5 was asked of 'sparsity'; accepted are sparsity=0.5"),
        ("sparsity", {"sparsity": 1.2}, "sparsity=1.2"),
        ("sparsity", {"epsilon": 2}, "epsilon=2"),
        ("sparsity", {"alpha": "tail"}, "alpha='tail'"),
        ("sparsity", {"blocks": True}, "no layer is in a numbered block"),
        ("learning-rates", {"base": 0}, "base=0"),
        ("learning-rates", {"low": 2}, "low=2, high=1.5"),
        ("learning-rates", {"mapping": "cubic"}, "mapping='cubic'"),
        ("learning-rates", {"keep_base": ("conv9",)}, "nothing is called 'conv9'"),
        ("lora-rank", {"rank": 0}, "rank=0"),
        ("lora-rank", {"least": 17}, "least=17, rank=16"),
        ("unfreeze", {"share": 0}, "share=0"),
        ("truncate", {"parameters": 0.5, "energy": 0.5}, "accepted is one of them"),
        ("truncate", {"parameters": 0.0001}, "which rank 1 takes"),
        ("truncate", {"by": "alpha"}, "by='alpha'"),
        ("sparsity", {"sparsity": "0.7"}, "sparsity='0.7'"),
        ("sparsity", {"sparsity": True}, "sparsity=True"),
        ("sparsity", {"most": [1]}, "most=[1]"),
        ("sparsity", {"epsilon": None}, "epsilon=None"),
        ("sparsity", {"blocks": "yes"}, "blocks='yes'"),
        ("learning-rates", {"base": "fast"}, "base='fast'"),
        ("learning-rates", {"base": float("inf")}, "base=inf"),
        ("weight-decay", {"high": None}, "high=None"),
        ("weight-decay", {"position": "middle"}, "position='middle'"),
        ("learning-rates", {"keep_base": 3}, "keep_base=3"),
        ("lora-rank", {"scale": "two"}, "scale='two'"),
        ("lora-rank", {"scale": float("nan")}, "scale=nan"),
        ("lora-rank", {"rslora": "no"}, "rslora='no'"),
        ("unfreeze", {"share": None}, "share=None"),
        ("truncate", {"parameters": "half"}, "parameters='half'"),
        ("truncate", {"energy": "all"}, "energy='all'"),
    ],
)
def test_what_cannot_be_answered_is_refused(target, options, said):
    with pytest.raises(ww.InvalidInput) as refused:
        ww.recommend(with_alphas([2, 3, 4]), target, **options)
    assert said in str(refused.value)


@pytest.mark.parametrize("name", ["rank_pattern", "alpha_pattern", "rules", "patterns", "param_groups"])
def test_a_form_that_a_target_lacks_names_the_one_that_has_it(name):
    arguments = [None] if name == "param_groups" else []
    with pytest.raises(ww.InvalidInput, match=rf"{name} of advice on 'sparsity' was asked; accepted is {name} of '"):
        getattr(ww.recommend(with_alphas([2, 3]), "sparsity"), name)(*arguments)


def test_the_page_runs(net, tmp_path, monkeypatch):
    pytest.importorskip("peft")
    from safetensors.torch import save_file

    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "recommend.md").read_text("utf-8")
    model = copy.deepcopy(net)
    said = run_python(page, {"model": model}, "recommend.md")
    weights = [
        m.weight for m in model.modules() if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d)) and m is not model.head
    ]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    assert zeros == round(0.7 * sum(weight.numel() for weight in weights))
    assert set(said["config"].rank_pattern) == {f"^blocks\\.{n}" for n in range(4)}
    save_file({f"net.{n}.weight": torch.randn(60, 50) for n in range(4)}, "model.safetensors")
    for line in commands(page):
        assert main(words(line)) == 0, line
    assert len(json.loads((tmp_path / "small" / "manifest.json").read_text("utf-8"))["layers"]) == 4


def test_recommend_on_the_command_line(tmp_path, capsys):
    results = ww.examine({f"net.{n}.weight": np.random.default_rng(n).normal(size=(90, 70)) for n in range(4)})
    results.save(tmp_path / "net.setol")
    kept = ww.recommend(tmp_path / "net.setol", "sparsity", sparsity=0.7).table()
    pd.testing.assert_frame_equal(kept, ww.recommend(results, "sparsity", sparsity=0.7).table())
    asked = ["recommend", str(tmp_path / "net.setol"), "--target", "sparsity", "--set", "sparsity=0.7"]
    for ending in ("csv", "json", "yaml"):
        assert main([*asked, "--out", str(tmp_path / f"out.{ending}")]) == 0
    table = pd.read_csv(tmp_path / "out.csv")
    assert table["sparsity"] @ table["n_params"] == pytest.approx(0.7 * table["n_params"].sum())
    assert json.loads((tmp_path / "out.json").read_text("utf-8"))["options"]["sparsity"] == 0.7
    assert "net.0" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.setol", "out.csv", "out.json", "out.yaml"]
    assert main([*asked, "--out", str(tmp_path / "out.txt")]) == 2
    assert main([*asked, "--set", "sparsity"]) == 2
    assert "accepted is NAME=VALUE" in capsys.readouterr().err


def test_a_name_in_a_table_of_advice_is_no_formula(tmp_path):
    draws = np.random.default_rng(6)
    weights = {f"{name}.weight": draws.normal(size=(60, 50)) for name in ("=1+1", "fc")}
    ww.examine(weights, progress=False).save(tmp_path / "net.setol")
    out = tmp_path / "out.csv"
    assert main(["recommend", str(tmp_path / "net.setol"), "--target", "sparsity", "--out", str(out)]) == 0
    cells = [line.split(",")[0] for line in out.read_text("utf-8").splitlines()[1:]]
    assert all(cell.startswith(("fc", "'", '"')) for cell in cells), cells
    assert set(read_table(out)["longname"]) == {"=1+1", "fc"}


def test_types_without_a_number_have_a_name():
    assert ww.recommend(with_alphas([2]), "unfreeze").notes == (
        "of some types the share rounds down to no layer: layers without a number",
    )


def test_one_numbered_block_is_none():
    """Of two blocks and more the layers outside are left out and each block gets its mean; of one, neither."""
    names = ["layers.0.a", "layers.0.b", "head"]
    alone = ww.recommend(with_alphas([2.0, 3.0, 4.0], names=names), "sparsity").table()
    same = ww.recommend(with_alphas([2.0, 3.0, 4.0], names=names), "sparsity", blocks=False).table()
    pd.testing.assert_frame_equal(alone, same)
    two = ww.recommend(with_alphas([2.0, 3.0, 4.0], names=["layers.0.a", "layers.1.b", "head"]), "sparsity").table()
    assert (len(alone), len(two)) == (3, 2)


def test_why_the_parts_of_a_layer_have_no_spectrum():
    records = [
        SimpleNamespace(spectrum=None, reason="no room", status="failed"),
        SimpleNamespace(spectrum=1, reason="", status="analyzed"),
        SimpleNamespace(spectrum=None, reason="", status="skipped"),
    ]
    assert Candidate.failure.fget(SimpleNamespace(records=records)) == "no room; skipped"
    assert Candidate.failure.fget(SimpleNamespace(records=records[1:2])) == ""
