"""Chapter 8: what truncation does to a model, and that it leaves nothing behind."""

from __future__ import annotations

import copy
import signal
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

import setol_ww as ww
from fixtures import ensembles, oracles
from fixtures.matrices import haar
from setol_ww.truncation import models as truncation
from setol_ww.truncation import pieces as selection
from setol_ww.truncation import rules as cuts

RULES = ("erg", "powerlaw", "mp", "gavish-donoho", "bulk", "rank:3", "energy:0.9", "random:3", "bottom:erg")
NAN_ROW = [1.0, float("nan"), 2.0]


def bits(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every byte of the state."""
    return {name: tensor.detach().clone().contiguous().view(torch.uint8) for name, tensor in model.state_dict().items()}


def assert_same_bits(model: nn.Module, before: dict[str, torch.Tensor]) -> None:
    after = bits(model)
    assert [name for name in before if not torch.equal(before[name], after[name])] == []


def leading(matrix: np.ndarray, rank: int) -> np.ndarray:
    """Truncation by a dense float64 SVD."""
    left, sigma, right = np.linalg.svd(np.asarray(matrix, dtype=np.float64), full_matrices=False)
    return (left[:, :rank] * sigma[:rank]) @ right[:rank]


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(12, 9), nn.Conv2d(4, 5, 2), nn.MultiheadAttention(8, 2), nn.LSTM(6, 5), nn.Embedding(20, 6)
    )


# What is kept


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (50, 50), (1, 8), (300, 20)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_dense_layers_against_a_dense_svd_in_float64(shape, dtype):
    W = torch.from_numpy(ensembles.gaussian_matrix(*shape, seed=3) * np.geomspace(1, 0.01, shape[1])).to(dtype)
    rank = oracles.erg_cut_mpmath(oracles.singular_value_squares(W.double().numpy())).rank
    cut = ww.truncate({"fc.weight": W})["fc.weight"]
    truth = torch.from_numpy(leading(W.double().numpy(), rank))
    assert cut.dtype == dtype
    if dtype == torch.float64:
        assert (cut - truth).abs().max() <= 1e-14 * np.linalg.norm(W.numpy(), 2)
    else:
        # Rounded once from float64: at most one step of the dtype away where the truth lies between two numbers.
        assert (cut.double() - truth).abs().max() <= torch.finfo(dtype).eps * truth.abs().max() / 2
        assert (cut != truth.to(dtype)).sum() <= 0.001 * W.numel() + (1 if dtype == torch.float32 else 0)


def test_ill_conditioned_single_precision_is_below_its_rounding():
    """The Gram matrix cannot resolve what lies below 1e-8 of the largest; float32 cannot store it."""
    W = haar(80, seed=1) * np.geomspace(1, 1e-12, 80) @ haar(80, seed=2)
    stored = torch.from_numpy(W).float()
    for rank in (5, 30, 60):
        cut = ww.truncate({"fc.weight": stored}, f"rank:{rank}")["fc.weight"]
        assert np.abs(cut.double().numpy() - leading(stored.double().numpy(), rank)).max() < 3e-8
        exact = ww.truncate({"fc.weight": torch.from_numpy(W)}, f"rank:{rank}")["fc.weight"]
        assert np.abs(exact.numpy() - leading(W, rank)).max() < 1e-14


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv1d(16, 24, 5),
        nn.Conv2d(16, 24, 3),
        nn.Conv3d(12, 16, 2),
        nn.ConvTranspose1d(16, 24, 3),
        nn.ConvTranspose2d(16, 24, 3),
        nn.Conv2d(16, 24, 3, groups=2),
        nn.Conv2d(16, 24, 3).to(memory_format=torch.channels_last),
        nn.Conv2d(12, 12, 3, groups=12),
    ],
    ids=lambda module: module.extra_repr().replace(" ", ""),
)
def test_convolutions_are_cut_at_one_singular_value_over_their_slices(module):
    weight = module.weight.detach().double().numpy()
    slices = list(np.moveaxis(weight.reshape(*weight.shape[:2], -1), 2, 0))
    raw = np.sort(np.concatenate([oracles.singular_value_squares(one) for one in slices]))
    rank = oracles.erg_cut_mpmath(raw).rank
    with ww.truncated(module) as plan:
        assert (plan[0].rank, plan[0].num_evals) == (rank, raw.size)
        cut = module.weight.detach().double().numpy().reshape(*weight.shape[:2], -1)
        for position, one in enumerate(slices):
            own = np.count_nonzero(oracles.singular_value_squares(one) >= raw[-rank] * (1 - 1e-9))
            np.testing.assert_allclose(cut[:, :, position], leading(one, own), atol=1e-7)
    assert plan[0].kept_energy == pytest.approx(raw[-rank:].sum() / raw.sum(), rel=1e-9)


class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.randn(3, 24, 16))


class Conv1D(nn.Module):
    """As in transformers: inputs x outputs."""

    def __init__(self, inside: int, outside: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inside, outside))


@pytest.mark.parametrize(
    ("model", "name", "matrices"),
    [
        (nn.ModuleDict({"experts": Experts()}), "experts.gate_up_proj", lambda W: {str(i): W[i] for i in range(3)}),
        (nn.Sequential(nn.MultiheadAttention(16, 2)), "0.in_proj_weight", lambda W: dict(zip("qkv", np.split(W, 3)))),
        (nn.Sequential(nn.LSTM(12, 10)), "0.weight_hh_l0", lambda W: dict(zip("ifgo", np.split(W, 4)))),
        (nn.Sequential(nn.LSTM(12, 10)), "0.weight_ih_l0", lambda W: dict(zip("ifgo", np.split(W, 4)))),
        (nn.Sequential(nn.GRUCell(12, 10)), "0.weight_hh", lambda W: dict(zip("rzn", np.split(W, 3)))),
        (nn.Sequential(nn.Embedding(70, 12)), "0.weight", lambda W: {"": W}),
        (nn.ModuleDict({"c_fc": Conv1D(16, 40)}), "c_fc.weight", lambda W: {"": W}),
        (nn.ModuleDict({"c_attn": Conv1D(16, 48)}), "c_attn.weight", lambda W: {"": W}),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_every_part_of_a_tensor_by_itself(model, name, matrices):
    before = model.state_dict()[name].double().numpy()
    title = name.removesuffix(".weight")
    with ww.truncated(model) as plan:
        lines = {line.layer: line for line in plan}
        after = model.state_dict()[name].double().numpy().copy()
    for (label, was), is_now in zip(matrices(before).items(), matrices(after).values()):
        rank = oracles.erg_cut_mpmath(oracles.singular_value_squares(was)).rank
        assert lines[f"{title} [{label}]" if label else title].rank == rank < min(was.shape)
        np.testing.assert_allclose(is_now, leading(was, rank), atol=2e-6)


def test_kept_and_complement_add_up_to_the_layer():
    model = small_net().double()
    before = copy.deepcopy(model.state_dict())
    kept, rest = ww.truncate(model, "erg").state_dict(), ww.truncate(model, "bulk").state_dict()
    for name, tensor in before.items():
        if tensor.dim() > 1:
            torch.testing.assert_close(kept[name] + rest[name], tensor, rtol=0, atol=1e-14)


def test_a_transposed_weight_is_cut_to_the_transposed_result():
    W = torch.randn(48, 30, dtype=torch.float64)
    a, b = ww.truncate({"a.weight": W.clone()})["a.weight"], ww.truncate({"a.weight": W.T.clone()})["a.weight"]
    torch.testing.assert_close(a, b.T, rtol=0, atol=1e-14)


def test_idempotent_at_fixed_rank_but_not_under_the_erg_rule():
    model = nn.Linear(60, 50).double()
    once = ww.truncate(model, "rank:20")
    torch.testing.assert_close(ww.truncate(once, "rank:20").weight, once.weight, rtol=0, atol=1e-14)
    ecs = ww.truncate(model, "erg")
    with ww.truncated(ecs, "erg") as plan:
        first = oracles.erg_cut_mpmath(oracles.singular_value_squares(model.weight.detach().numpy())).rank
        # The zeros lower the mean, so every component that is left lies above it: nothing more is cut.
        assert plan[0].rank >= first


# Rules


def spectrum(raw) -> ww.Spectrum:
    return ww.Spectrum.from_eigenvalues(np.asarray(raw, dtype=float))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(n=st.integers(2, 150), mu=st.floats(0.6, 4), seed=st.integers(0, 999))
def test_ranks_of_the_named_rules_against_the_oracles(n, mu, seed):
    raw = ensembles.pareto_eigenvalues(n, 1 + mu, seed)
    whole = spectrum(raw)
    assert cuts.as_rule("erg").kept(whole).size == oracles.erg_cut_mpmath(raw).rank
    assert cuts.as_rule("powerlaw").kept(whole).size == oracles.power_law_scan(raw).rank
    descending = np.sort(raw)[::-1]
    for share in (0.3, 0.9, 0.999):
        k = cuts.as_rule(f"energy:{share}").kept(whole).size
        assert descending[:k].sum() >= share * raw.sum() * (1 - 1e-12) > descending[: k - 1].sum() - 1e-9 * raw.sum()


@pytest.mark.parametrize("q", [1.0, 0.5, 0.2])
@pytest.mark.parametrize("spikes", [1, 4, 20])
def test_edge_and_threshold_find_planted_spikes(q, spikes):
    rows = 400
    columns = int(q * rows)
    rng = np.random.default_rng(5)
    W = rng.normal(size=(rows, columns)) * 0.03
    left, right = haar(rows, seed=1)[:, :spikes], haar(columns, seed=2)[:, :spikes]
    W += 0.03 * np.sqrt(rows) * (left * np.linspace(5, 9, spikes)) @ right.T
    found = ww.Spectrum.from_matrix(W)
    assert cuts.as_rule("gavish-donoho").kept(found).size == spikes
    assert cuts.as_rule("mp").kept(found).size == spikes


@pytest.mark.parametrize("beta", [1.0, 0.5, 0.1])
def test_pure_noise_has_nothing_above_the_threshold(beta):
    W = np.random.default_rng(2).normal(size=(300, int(300 * beta)))
    found = ww.Spectrum.from_matrix(W)
    assert cuts.as_rule("gavish-donoho").kept(found).size == 0
    assert cuts.as_rule("mp").kept(found).size == 0
    with ww.truncated({"fc.weight": torch.from_numpy(W)}, "gavish-donoho") as plan:
        assert (plan[0].rank, plan[0].rank_fraction, plan[0].kept_energy, plan[0].reason) == (0, 0.0, 0.0, "")


def test_random_components_are_seeded_by_layer():
    model = nn.Sequential(nn.Linear(40, 30), nn.Linear(40, 30)).double()
    model[1].weight.data.copy_(model[0].weight.data)
    first, again, other = (ww.truncate(model, "random:7", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first[0].weight, again[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)
    assert not torch.equal(first[0].weight, first[1].weight)
    assert torch.equal(ww.truncate(model, "random:7", layers=["1"])[1].weight, first[1].weight)
    sigma, kept = (np.linalg.svd(net[0].weight.detach(), compute_uv=False) for net in (model, first))
    assert sum(np.abs(sigma - one).min() < 1e-12 for one in kept[:7]) == 7
    assert kept[7] < 1e-13


@pytest.mark.parametrize("seed", [-1, "a", 1.0, True, None, 2**32])
@pytest.mark.parametrize("rule", ["random:3", "erg"])
def test_a_seed_that_is_none_is_refused_before_anything_is_made(seed, rule, tmp_path, monkeypatch):
    net = two_layers()
    np.save(tmp_path / "fc.npy", np.ones((9, 7)))
    monkeypatch.setattr(copy, "deepcopy", None)
    for ask in (
        lambda: ww.truncate(net, rule, seed=seed),
        lambda: ww.truncated(net, rule, seed=seed).__enter__(),
        lambda: ww.evaluate_truncation(net, None, rules=[rule], seed=seed),
        lambda: ww.truncation_curve(net, None, seed=seed),
        lambda: ww.truncate_checkpoint(tmp_path / "fc.npy", tmp_path / "out", rule, seed=seed),
    ):
        with pytest.raises(ww.InvalidInput, match="seed="):
            ask()
    assert not (tmp_path / "out").exists()


def test_seeds_of_numpy_are_seeds():
    net = two_layers()
    assert torch.equal(
        ww.truncate(net, "random:3", seed=np.int64(5))[0].weight, ww.truncate(net, "random:3", seed=5)[0].weight
    )


def test_as_many_as_another_rule():
    found = ww.Spectrum.from_matrix(np.random.default_rng(0).normal(size=(50, 40)))
    k = ww.erg_cut(found).rank
    assert cuts.as_rule("bottom:erg").kept(found).tolist() == list(range(40 - k, 40))
    assert cuts.as_rule("random:erg").kept(found, (1, 2)).size == k
    assert cuts.as_rule("bulk").kept(found).tolist() == list(range(k, 40))


def test_a_callable_is_a_rule():
    model = nn.Linear(40, 30)
    with ww.truncated(model, lambda s: s.M // 3) as plan:
        assert plan[0].rank == 10
        assert np.linalg.matrix_rank(model.weight.detach()) == 10
    for answer in (2.5, -1, True, None):
        with pytest.raises(ww.InvalidInput, match="integer from 0 to 30"):
            ww.truncate(model, lambda s, answer=answer: answer)


@pytest.mark.parametrize(
    "rule",
    ["ERG", "rank", "rank:", "rank:0", "rank:1.5", "rank:-3", "energy:0", "energy:1.5", "energy:x", "energy", "random",
     "random:laplace", "bulk:3", "erg:2", "", 7, None, ["erg"], "bottom:"],
)  # fmt: skip
def test_an_unknown_rule_repeats_the_question(rule):
    model = nn.Linear(5, 4)
    with pytest.raises(ww.InvalidInput) as raised:
        ww.truncate(model, rule)
    assert repr(rule) in str(raised.value)
    assert "gavish-donoho" in str(raised.value)
    with pytest.raises(ww.InvalidInput), ww.truncated(model, rule):
        pass


@pytest.mark.parametrize(
    ("weight", "rule", "says"),
    [
        (torch.zeros(6, 5), "erg", "no positive finite eigenvalue"),
        (torch.zeros(6, 5), "rank:2", "no positive finite eigenvalue"),
        (torch.eye(6), "powerlaw", "all eigenvalues are equal"),
        (torch.ones(6, 5), "powerlaw", "fewer than two distinct"),
        (torch.ones(6, 5), "gavish-donoho", "half of the eigenvalues or more are zero"),
        (torch.ones(6, 5), "mp", "no Marchenko-Pastur bulk"),
        (torch.eye(6), "mp", "no Marchenko-Pastur bulk: all eigenvalues are equal"),
        (torch.tensor([NAN_ROW, [1, 2, float("inf")]]), "erg", "2 of 6 entries are not finite"),
        (torch.randn(6, 5).to(torch.int8), "erg", "int8"),
        (torch.randn(1, 1, 5), "erg", "a vector in the shape 1 x 1 x 5"),
        (torch.randn(5, 1).expand(5, 5), "erg", "share memory"),
        (torch.randn(6, 5, device="meta"), "erg", "meta device"),
    ],
    ids=lambda case: str(tuple(case.shape)) if hasattr(case, "shape") else str(case)[:20],
)
def test_a_layer_without_a_cut_stays_whole_and_says_why(weight, rule, says):
    sound = torch.randn(20, 30)
    with ww.truncated({"odd.weight": weight, "fc.weight": sound}, rule) as plan:
        assert says in plan[0].reason
        assert plan[0].rank == plan[0].num_evals
    same = torch.equal(weight.nan_to_num(), weight.clone().nan_to_num()) if weight.device.type == "cpu" else True
    assert same
    assert plan[1].reason == ""
    if weight.device.type == "cpu":
        cut = ww.truncate({"odd.weight": weight.clone(), "fc.weight": sound}, rule)
        assert torch.equal(cut["odd.weight"].nan_to_num(), weight.nan_to_num())


def test_arrays_that_cannot_be_written_into_stay_and_say_why():
    W = np.random.default_rng(0).normal(size=(9, 7))
    fixed = W.copy()
    fixed.flags.writeable = False
    arrays = {"fixed.weight": fixed, "turned.weight": W[::-1], "foreign.weight": W.astype(">f8"), "fc.weight": W.copy()}
    with torch.inference_mode():
        arrays["inferred.weight"] = torch.randn(9, 7)
    with ww.truncated(arrays, "rank:2") as plan:
        reasons = {line.layer: line.reason for line in plan}
        assert np.linalg.matrix_rank(arrays["fc.weight"]) == 2
    assert reasons["fixed"] == "its array is read-only"
    assert "negative" in reasons["turned"]
    assert "byte order" in reasons["foreign"]
    assert "inference mode" in reasons["inferred"]
    assert reasons["fc"] == ""
    assert np.array_equal(arrays["fc.weight"], W)


def test_a_state_dict_inside_a_training_checkpoint():
    state = nn.Linear(8, 6).state_dict()
    cut = ww.truncate({"epoch": 3, "state_dict": state}, "rank:2")
    assert cut["epoch"] == 3
    assert np.linalg.matrix_rank(cut["state_dict"]["weight"]) == 2
    assert np.linalg.matrix_rank(state["weight"]) == 6


def test_eight_bits_that_are_no_number():
    weight = torch.randn(6, 5).to(torch.float8_e4m3fn)
    weight[0, 0] = float("nan")
    with ww.truncated({"fc.weight": weight}) as plan:
        assert plan[0].reason == "1 of 30 entries are not finite"


def test_flat_and_rank_limited_spectra_lose_nothing():
    for weight in (torch.eye(6, dtype=torch.float64), torch.ones(6, 5, dtype=torch.float64)):
        cut = ww.truncate({"fc.weight": weight}, "erg")["fc.weight"]
        torch.testing.assert_close(cut, weight, rtol=0, atol=1e-14)


def test_a_convolution_with_fewer_components_than_slices_can_still_be_analysed():
    model = ww.truncate(nn.Sequential(nn.Conv2d(6, 8, 3), nn.Linear(12, 10)), "rank:4")
    frame = ww.analyze(model, detX=True).set_index("longname")
    assert frame.loc["0", "erg_rank"] == 4
    with ww.truncated(model, "mp") as plan:
        assert plan[0].reason.startswith("mp has no cut")


# Which layers


@pytest.mark.parametrize(
    ("layers", "changed"),
    [
        (None, {"0", "1", "2.in_proj", "2.out_proj", "3", "4"}),
        ([], {"0", "1", "2.in_proj", "2.out_proj", "3", "4"}),
        (["0"], {"0"}),
        ("0.weight", {"0"}),
        (["dense"], {"0", "2.out_proj"}),
        (["conv2d", "embedding"], {"1", "4"}),
        ([nn.Linear], {"0"}),
        (["LSTM"], {"3"}),
        ([1, 2], {"0", "1"}),
        ([-1], {"1", "2.in_proj", "2.out_proj", "3", "4"}),
        (["-LSTM", "-0"], {"1", "2.in_proj", "2.out_proj", "4"}),
        (["out_proj"], {"2.out_proj"}),
        (["attention", "gate"], {"2.in_proj", "3"}),
    ],
)
def test_layers_by_name_type_and_id(layers, changed):
    model = small_net()
    cut = ww.truncate(model, "rank:1", layers=layers)
    differing = {
        name
        for (name, before), after in zip(model.named_parameters(), cut.parameters())
        if not torch.equal(before, after)
    }
    assert {name.removesuffix(".weight").split("_weight")[0].split(".weight")[0] for name in differing} == changed


@pytest.mark.parametrize("layers", [["fc9"], [99], ["0", "nonsense"], [2.5], [True], 3.5, ["0", "-0"]])
def test_layers_that_are_not_there(layers):
    with pytest.raises(ww.InvalidInput) as raised:
        ww.truncate(small_net(), "erg", layers=layers)
    assert repr(layers) in str(raised.value)


def test_ids_are_those_of_analyze():
    model = small_net()
    frame = ww.analyze(model)
    for layer_id, rows in frame.groupby("layer_id"):
        with ww.truncated(model, "rank:2", layers=[int(layer_id)]) as plan:
            assert {line.layer.split(" ")[0] for line in plan} == set(rows["longname"])


@pytest.mark.parametrize("model", [nn.ReLU(), {}, {"bias": torch.ones(3)}, 3, "model.pt", nn.BatchNorm2d(3)])
def test_nothing_to_truncate(model):
    with pytest.raises(ww.InvalidInput, match="truncating"):
        ww.truncate(model)


def test_tied_weights_are_cut_once_under_any_of_their_names():
    model = nn.ModuleDict({"embed": nn.Embedding(60, 16), "head": nn.Linear(16, 60, bias=False)})
    model["head"].weight = model["embed"].weight
    before = model["embed"].weight.detach().clone()
    cut = ww.truncate(model, layers=["head"])
    assert cut["head"].weight is cut["embed"].weight
    assert torch.equal(model["head"].weight, before)
    with ww.truncated(model) as plan:
        assert len(plan) == 1
        truth = leading(before.numpy(), plan[0].rank)
        np.testing.assert_allclose(model["head"].weight.detach().numpy(), truth, atol=1e-6)
    assert torch.equal(model["embed"].weight, before)


def test_views_of_one_memory_are_cut_once():
    shared = torch.randn(30, 20)
    model = nn.ModuleDict({"encode": nn.Linear(20, 30, bias=False), "decode": nn.Linear(30, 20, bias=False)})
    model["encode"].weight.data = shared
    model["decode"].weight.data = shared.T
    before = shared.clone()
    with ww.truncated(model, "rank:4") as plan:
        assert [line.reason for line in plan] == ["", "it shares its memory with encode.weight, truncated there"]
        assert np.linalg.matrix_rank(model["decode"].weight.detach()) == 4
    assert torch.equal(shared, before)


def test_neighbours_in_one_storage_are_both_cut():
    flat = torch.randn(2 * 20 * 30)
    model = nn.Sequential(nn.Linear(30, 20, bias=False), nn.Linear(30, 20, bias=False))
    for position, layer in enumerate(model):
        layer.weight.data = flat[position * 600 : (position + 1) * 600].view(20, 30)
    before = flat.clone()
    with ww.truncated(model, "rank:4") as plan:
        assert [line.reason for line in plan] == ["", ""]
        assert [np.linalg.matrix_rank(layer.weight.detach()) for layer in model] == [4, 4]
    assert torch.equal(flat, before)


@pytest.mark.parametrize(
    "wrap",
    [
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
        nn.utils.parametrizations.orthogonal,
        lambda layer: prune.random_unstructured(layer, "weight", 0.5),
    ],
    ids=["weight_norm", "spectral_norm", "orthogonal", "pruned"],
)
def test_a_parametrised_weight_is_refused_with_the_reason(wrap):
    torch.manual_seed(0)
    model = nn.Sequential(wrap(nn.Linear(20, 30)), nn.Linear(20, 30)).train()
    before = bits(model)
    with ww.truncated(model, "rank:3") as plan:
        lines = {line.layer: line for line in plan}
        assert "parametrised" in lines["0"].reason
        assert lines["1"].reason == ""
        assert np.linalg.matrix_rank(model[1].weight.detach()) == 3
    assert_same_bits(model, before)


# In place, and back


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_restored_bit_for_bit(rule, dtype):
    model = small_net().to(dtype)
    model[0].weight.data[0, 0] = -0.0
    before = bits(model)
    with ww.truncated(model, rule):
        assert any(not torch.equal(before[name], after) for name, after in bits(model).items())
        assert {tensor.dtype for tensor in model.parameters()} == {dtype}
    assert_same_bits(model, before)


def test_nothing_but_values_changes_inside_and_nothing_after():
    model = small_net().train()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    model[1].weight.grad = torch.ones_like(model[1].weight)
    calls = []
    model[0].register_forward_hook(lambda *_: calls.append(1))
    model[1].weight.register_hook(lambda gradient: gradient)
    optimiser = torch.optim.Adam(model.parameters())

    def state():
        return (
            [
                (id(p), p.data_ptr(), p.dtype, p.device, p.requires_grad, p._version, p.stride())
                for p in model.parameters()
            ],
            [module.training for module in model.modules()],
            [sorted(vars(module)) for module in model.modules()],
            [id(p) for group in optimiser.param_groups for p in group["params"]],
            id(model[1].weight.grad),
            [len(module._forward_hooks) for module in model.modules()],
            torch.get_rng_state().tolist(),
            torch.is_grad_enabled(),
            signal.getsignal(signal.SIGINT),
        )

    before, random = state(), np.random.get_state()[1].tolist()
    with ww.truncated(model, "random:2"):
        assert state() == before
    assert state() == before
    assert np.random.get_state()[1].tolist() == random
    assert torch.equal(model[1].weight.grad, torch.ones_like(model[1].weight))


def two_layers() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(40, 30), nn.Linear(30, 20))


def test_restored_when_the_evaluation_converts_the_model():
    model = two_layers()
    before = bits(model)

    def converting(one: nn.Module) -> float:
        one.double()
        norm = one[0].weight.detach().norm().item()
        one.float()
        return norm

    rules = ["rank:3", "energy:1", "rank:20", "random:3"]
    frame = ww.evaluate_truncation(model, converting, rules=rules)
    assert_same_bits(model, before)
    truth = ww.evaluate_truncation(two_layers(), lambda one: one[0].weight.detach().double().norm().item(), rules=rules)
    pd.testing.assert_frame_equal(frame, truth, check_exact=True)


def test_restored_in_the_dtype_the_body_leaves():
    model = two_layers()
    truth = copy.deepcopy(model).half()
    with ww.truncated(model, "rank:3"):
        model.half()
    assert_same_bits(model, bits(truth))


def test_a_tensor_put_in_the_place_of_another_stays():
    model = two_layers()
    second = model[1].weight.detach().clone()
    with ww.truncated(model, "rank:3"):
        model[0].weight = nn.Parameter(torch.ones(30, 40))
    assert bool((model[0].weight == 1).all())
    assert torch.equal(model[1].weight, second)


def test_a_graph_made_before_still_gives_its_gradient():
    model = nn.Linear(8, 6)
    x = torch.randn(3, 8, requires_grad=True)
    (truth,) = torch.autograd.grad(model(x).square().sum(), x)
    loss = model(x).square().sum()
    with ww.truncated(model, "rank:1"):
        pass
    assert torch.equal(torch.autograd.grad(loss, x)[0], truth)


class Broken(Exception):
    """What a test raises."""


@pytest.mark.parametrize("kind", [Broken, KeyboardInterrupt, SystemExit, MemoryError, GeneratorExit])
def test_restored_after_an_exception_in_the_body(kind):
    model = small_net()
    before = bits(model)
    with pytest.raises(kind), ww.truncated(model):
        raise kind
    assert_same_bits(model, before)

    def evaluate(net):
        if not torch.equal(net[0].weight.view(torch.uint8), before["0.weight"]):
            raise kind
        return 1.0

    with pytest.raises(kind):
        ww.evaluate_truncation(model, evaluate, rules=["rank:2"])
    assert_same_bits(model, before)


@pytest.mark.parametrize("step", range(1, 12))
@pytest.mark.parametrize("kind", [Broken, KeyboardInterrupt])
def test_restored_after_a_fault_in_the_middle_of_applying(step, kind, monkeypatch):
    model = small_net()
    before = bits(model)
    blocks, count = truncation.projected_blocks, 0

    def failing(*arguments):
        nonlocal count
        count += 1
        for block in blocks(*arguments):
            yield block
            if count == step:
                raise kind

    monkeypatch.setattr(truncation, "projected_blocks", failing)
    with pytest.raises(kind), ww.truncated(model, "rank:2"):
        pass
    assert count == step
    assert_same_bits(model, before)


@pytest.fixture
def ctrl_c():
    """Python's own handler: what a shell starts in the background ignores the signal from the beginning."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def within(model: nn.Module) -> None:
    with ww.truncated(model, "rank:2"):
        pass


def evaluated(model: nn.Module) -> None:
    ww.evaluate_truncation(model, lambda _: 1.0, "rank:2", progress=False)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("run", [within, evaluated])
def test_restored_when_interrupted_at_any_line(run):
    """Ctrl-C before each line that truncation runs, those that put values back too, until one run sees none."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 4), nn.Conv1d(3, 4, 2))
    before = bits(model)
    ours = {truncation.__file__, selection.__file__, cuts.__file__}

    def interrupted_at(number: int) -> bool:
        seen = 0

        def trace(frame, event, _):
            nonlocal seen
            if frame.f_code.co_filename not in ours:
                return None
            if event == "line":
                seen += 1
                if seen == number:
                    signal.raise_signal(signal.SIGINT)
            return trace

        handler, tracer = signal.getsignal(signal.SIGINT), sys.gettrace()
        sys.settrace(trace)
        try:
            run(model)
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(tracer)
            signal.signal(signal.SIGINT, handler)
        return False

    number = 1
    while interrupted_at(number):
        assert_same_bits(model, before)
        number += 1
    assert number > 150


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("where", ["evaluate", "restore"])
def test_a_real_interrupt(where, monkeypatch):
    model = small_net()
    before = bits(model)
    if where == "restore":
        # The signal arrives while the second layer is put back: all are.
        put_back, calls = truncation.put_back, []

        def interrupted(*arguments):
            calls.append(arguments)
            if len(calls) == 2:
                signal.raise_signal(signal.SIGINT)
            put_back(*arguments)

        monkeypatch.setattr(truncation, "put_back", interrupted)
    in_body = signal.SIGINT if where == "evaluate" else 0
    with pytest.raises(KeyboardInterrupt), ww.truncated(model, "rank:2"):
        in_body and signal.raise_signal(in_body)
    assert_same_bits(model, before)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_copy_leaves_the_model_alone():
    model = small_net()
    before = bits(model)
    cut = ww.truncate(model, "rank:2")
    assert_same_bits(model, before)
    assert type(cut) is type(model)
    assert not {p.data_ptr() for p in cut.parameters()} & {p.data_ptr() for p in model.parameters()}
    arrays = {"fc.weight": np.random.default_rng(0).normal(size=(9, 7)), "fc.bias": np.ones(9)}
    kept = arrays["fc.weight"].copy()
    np.testing.assert_allclose(ww.truncate(arrays, "rank:2")["fc.weight"], leading(kept, 2), atol=1e-14)
    assert np.array_equal(arrays["fc.weight"], kept)


# Evaluation


def norm_of(model: nn.Module) -> dict[str, float]:
    return {"square": sum(p.detach().double().square().sum().item() for p in model.parameters()), "one": 1.0}


def test_the_table_of_an_evaluation():
    model = small_net()
    frame = ww.evaluate_truncation(model, norm_of, rules=["powerlaw", "erg"])
    assert list(frame) == [
        *("rule", "layer", "rank", "rank_fraction", "kept_energy", "square", "one"),
        *("base_square", "base_one", "delta_square", "delta_one", "num_evals", "reason"),
    ]
    assert frame["rule"].tolist() == ["powerlaw", "erg"]
    assert frame["layer"].tolist() == ["all", "all"]
    base = norm_of(model)["square"]
    assert (frame["base_square"] == base).all()
    np.testing.assert_allclose(frame["delta_square"], frame["square"] - base)
    assert (frame["delta_square"] < 0).all()
    with ww.truncated(model, "erg") as plan:
        assert frame["square"][1] == norm_of(model)["square"]
        assert frame["rank"][1] == sum(line.rank for line in plan)
        assert frame["rank_fraction"][1] == frame["rank"][1] / sum(line.num_evals for line in plan)


def test_one_layer_at_a_time():
    model = small_net()
    frame = ww.evaluate_truncation(model, norm_of, rules=["rank:2", "erg"], per_layer=True)
    with ww.truncated(model, "erg") as plan:
        titles = [line.layer for line in plan]
    assert frame["layer"].tolist() == [title for title in titles for _ in range(2)]
    for _, row in frame.iterrows():
        matrix_name = row["layer"].split(" ")[0]
        alone = ww.truncate(model, row["rule"], layers=[row["layer"]])
        assert row["square"] == norm_of(alone)["square"], matrix_name
    # The energy lost by each layer alone adds up to that of all together.
    together = ww.evaluate_truncation(model, norm_of, rules=["rank:2", "erg"])
    for _, row in together.iterrows():
        alone = frame[frame["rule"] == row["rule"]]["delta_square"].sum()
        assert row["delta_square"] == pytest.approx(alone, rel=1e-6)


def test_directions_are_computed_once_for_all_rules(monkeypatch):
    model, seen = small_net(), []
    real = truncation.directions
    monkeypatch.setattr(truncation, "directions", lambda matrix: seen.append(matrix.shape) or real(matrix))
    ww.evaluate_truncation(model, norm_of, rules=RULES)
    matrices = 1 + 4 + 3 + 1 + 8 + 1
    assert len(seen) == matrices
    ww.evaluate_truncation(model, norm_of, rules=RULES, per_layer=True)
    assert len(seen) == 2 * matrices


def test_a_bare_number_is_a_metric_and_rules_may_be_one():
    model = nn.Linear(20, 10)
    frame = ww.evaluate_truncation(model, lambda net: torch.linalg.norm(net.weight), rules="rank:3")
    assert {"metric", "base_metric", "delta_metric"} <= set(frame)
    assert len(frame) == 1


@pytest.mark.parametrize("answer", [None, "good", {}, {"rank": 1.0}, {"a": "b"}, {"a": None}])
def test_an_answer_that_is_no_metric(answer):
    with pytest.raises(ww.InvalidInput, match="evaluate answered"):
        ww.evaluate_truncation(nn.Linear(5, 4), lambda net: answer)
    with pytest.raises(ww.InvalidInput, match="at least one rule"):
        ww.evaluate_truncation(nn.Linear(5, 4), norm_of, rules=[])


def test_metrics_that_change_their_names_are_refused():
    names = iter(["a", "b"])
    with pytest.raises(ww.InvalidInput, match="one set of names"):
        ww.evaluate_truncation(nn.Linear(5, 4), lambda net: {next(names): 1.0}, rules=["rank:1"])


def test_a_layer_left_whole_has_the_base_and_the_reason():
    model = nn.Sequential(nn.Linear(6, 6, bias=False), nn.Linear(6, 8, bias=False))
    model[0].weight.data.copy_(torch.eye(6))
    frame = ww.evaluate_truncation(model, norm_of, rules=["powerlaw"], per_layer=True).set_index("layer")
    assert frame.loc["0", ["rank", "delta_square"]].tolist() == [6, 0]
    assert "no power-law tail" in frame.loc["0", "reason"]
    both = ww.evaluate_truncation(model, norm_of, rules=["powerlaw"])
    assert both["reason"][0].startswith("0: powerlaw has no cut")


def test_the_bar_is_on_standard_error_and_only_when_asked(capsys):
    model = nn.Linear(5, 4)
    ww.evaluate_truncation(model, norm_of)
    ww.evaluate_truncation(model, norm_of, progress=False)
    assert capsys.readouterr() == ("", "")
    ww.evaluate_truncation(model, norm_of, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "truncations: 2 of 2 in " in err
    ww.truncate(model)
    with ww.truncated(model):
        pass
    assert capsys.readouterr() == ("", "")
    ww.truncate(model, progress=True)
    assert "layers: " in capsys.readouterr().err


def test_a_plan_makes_a_table():
    with ww.truncated(small_net()) as plan:
        frame = pd.DataFrame(plan)
    assert list(frame)[:5] == ["rule", "layer", "rank", "rank_fraction", "kept_energy"]
    assert len(frame) == 1 + 1 + 3 + 1 + 8 + 1


# Curves


def test_curves_compare_at_equal_size():
    model = small_net()
    frame = ww.truncation_curve(model, norm_of, fractions=[0.25, 0.5], energies=[0.9], layers=["0", "1"])
    assert set(frame["layer"]) == {"all", "0", "1"}
    assert set(frame["curve"]) == {
        *("top", "random", "bottom", "energy", "bulk"),
        *(
            prefix + rule
            for rule in ("erg", "powerlaw", "mp", "gavish-donoho")
            for prefix in ("", "random:", "bottom:")
        ),
    }
    for layer, rows in frame.groupby("layer"):
        by = rows.set_index("curve")
        assert by.loc["erg", "rank"] == by.loc["random:erg", "rank"] == by.loc["bottom:erg", "rank"], layer
        assert by.loc["erg", "kept_energy"] > by.loc["random:erg", "kept_energy"] > by.loc["bottom:erg", "kept_energy"]
        assert by.loc["erg", "rank"] + by.loc["bulk", "rank"] == by.loc["erg", "num_evals"]
        assert by.loc["energy", "kept_energy"] >= 0.9
        assert by.loc["top", "rank_fraction"].tolist() == pytest.approx([0.25, 0.5], abs=0.1)
    for wrong in ({"fractions": [0, 0.5]}, {"rules": ["rank:3"]}, {"energies": [1.5]}):
        with pytest.raises(ww.InvalidInput):
            ww.truncation_curve(model, norm_of, **wrong)


def test_a_picture_of_curves():
    from matplotlib.figure import Figure

    frames = [
        ww.truncation_curve(small_net(), norm_of, fractions=[0.25, 0.5], layers=["0", "1"], seed=seed)
        for seed in (0, 1)
    ]
    axes = Figure().subplots()
    assert ww.plots.truncation_curve(pd.concat(frames), axes, metric="square") is axes
    labels = axes.get_legend_handles_labels()[1]
    assert {"leading components", "random components", "smallest components", "ERG", "not truncated"} <= set(labels)
    for wrong in ({"metric": "error"}, {"metric": "square", "layer": "9"}, {"metric": "square", "against": "size"}):
        with pytest.raises(ww.InvalidInput):
            ww.plots.truncation_curve(frames[0], axes, **wrong)


def test_a_plan_for_strangers_names_five_that_are_near():
    net = torch.nn.Sequential(*(torch.nn.Linear(9, 9) for _ in range(8)))
    with pytest.raises(ww.InvalidInput, match=r"Accepted are: (\d, ){4}\d$"):
        ww.truncate(net, {"x": "rank:2"})


def test_weights_that_lie_side_by_side_in_one_memory_are_two():
    flat = torch.randn(3200, generator=torch.Generator().manual_seed(0))
    net = torch.nn.Sequential(torch.nn.Linear(40, 40, bias=False), torch.nn.Linear(40, 40, bias=False))
    net[0].weight.data, net[1].weight.data = flat[1600:].view(40, 40), flat[:1600].view(40, 40)
    with ww.truncated(net, "rank:3"):
        ranks = [int(torch.linalg.matrix_rank(layer.weight.double(), rtol=1e-4)) for layer in net]
    assert ranks == [3, 3]


def test_a_model_of_one_layer_has_no_second_curve_of_its_own():
    net = torch.nn.Sequential(torch.nn.Linear(12, 9))
    frame = ww.truncation_curve(net, norm_of, fractions=[0.5], energies=[], rules=[])
    assert set(frame["layer"]) == {"all"}
