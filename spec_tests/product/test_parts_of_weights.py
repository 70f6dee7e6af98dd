"""Weights whose parts have rarer names or holders: put together, or left out with the names of all parts."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.utils import parametrizations, prune, spectral_norm

import setol_ww as ww
from spec_tests.odd_tensors import Loud, Wrapped


def matrix(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_t(4, size=shape).astype(np.float32))


def codes(dtype, *shape):
    return torch.ones(shape, dtype=dtype)


def largest(weight):
    return np.linalg.svd(weight.detach().double().numpy(), compute_uv=False)[0] ** 2


def numbers(frame):
    kept = frame[frame["lambda_max"].notna()]
    return {(row["longname"], row["slice"]): row["lambda_max"] for _, row in kept.iterrows()}


def reasons(frame):
    return {row["longname"]: row["reason"] for row in frame.attrs["coverage"]}


def attention():
    torch.manual_seed(0)
    return torch.nn.ModuleDict({"attn": torch.nn.MultiheadAttention(24, 4)})


def masked(net):
    prune.random_unstructured(net["attn"], "in_proj_weight", 0.5)


def normed(net):
    parametrizations.weight_norm(net["attn"], "in_proj_weight")
    with torch.no_grad():
        norms = net["attn"].parametrizations.in_proj_weight.original0
        norms.copy_(torch.logspace(-1, 1, 72)[:, None])


@pytest.mark.parametrize("change", [masked, normed])
def test_a_fused_projection_that_a_module_computes_is_read_as_it_acts(change):
    net = attention()
    change(net)
    acting = net["attn"].in_proj_weight.chunk(3)
    for source in (net, net.state_dict()):
        found = numbers(ww.analyze(source))
        for label, weight in zip("qkv", acting):
            assert found["attn.in_proj_weight", label] == pytest.approx(largest(weight), rel=1e-5)
        assert len(found) == 4


@pytest.mark.parametrize("change", [lambda net, name: prune.random_unstructured(net, name, 0.5), spectral_norm])
def test_a_recurrent_weight_that_a_module_computes_is_read_as_it_acts(change):
    torch.manual_seed(0)
    net = torch.nn.LSTM(20, 12).eval()
    change(net, "weight_hh_l0")
    net(torch.zeros(1, 1, 20))
    acting = net.weight_hh_l0.chunk(4)
    for source in (net, net.state_dict()):
        found = numbers(ww.analyze(source))
        for label, weight in zip("ifgo", acting):
            assert found["weight_hh_l0", label] == pytest.approx(largest(weight), rel=1e-4)


def test_a_pruned_bias_does_not_change_the_rows_of_its_weight():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(12, 10))
    prune.l1_unstructured(net[0], "weight", 0.5)
    prune.l1_unstructured(net[0], "bias", 0.5)
    assert numbers(ww.analyze(net)) == {("0", ""): pytest.approx(largest(net[0].weight))}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_a_scripted_lstm_without_a_forward_method_is_read():
    net = torch.nn.LSTM(12, 8)
    assert numbers(ww.analyze(torch.jit.script(net))) == pytest.approx(numbers(ww.analyze(net)))


@pytest.mark.parametrize(
    "name", ["fc.scores", "fc.popup_scores", "fc.mask_scores", "mask.fc.weight", "masks.fc.weight", "mask_fc_weight"]
)
def test_masks_and_scores_of_masks_are_no_weights_and_are_told_of(name):
    frame = ww.analyze({"fc.weight": matrix(12, 9), name: matrix(12, 9, seed=1).abs()})
    assert list(numbers(frame)) == [("fc", "")]
    assert name in frame["reason"].iloc[0]
    assert "no weight" in reasons(frame)[name]


def test_scores_of_another_shape_are_a_layer_of_their_own():
    assert len(numbers(ww.analyze({"fc.weight": matrix(12, 9), "fc.scores": matrix(7, 8)}))) == 2


NORM = "parametrizations.weight"


@pytest.mark.parametrize(
    "stored",
    [
        {"fc.weight_g": matrix(12, 1)},
        {f"fc.{NORM}.original0": matrix(12, 1)},
        {f"fc.{NORM}.original1": matrix(12, 9)},
        {
            f"fc.{NORM}.original0": matrix(12, 1),
            f"fc.{NORM}.original1": matrix(12, 9),
            f"fc.{NORM}.1.mask": matrix(12, 9),
        },
        {"fc.compressed": matrix(12, 9), "fc.bitmask": codes(torch.uint8, 12, 2)},
        {
            "fc.indices": codes(torch.int32, 1, 12, 3),
            "fc.centroids.weight": matrix(16, 8),
            "fc.perm": codes(torch.int16, 9),
        },
        {
            "fc.qweight": codes(torch.int32, 96, 8),
            "fc.qzeros": codes(torch.int32, 3, 8),
            "fc.scales": matrix(3, 64).half(),
            "fc.theta": matrix(8, 48).half(),
            "fc.pairs": codes(torch.int16, 8, 96),
        },
        {
            "fc.weight_packed": codes(torch.uint8, 64, 48),
            "fc.weight_scale": matrix(64, 6).abs().to(torch.float8_e4m3fn),
        },
        {"fc.weight": codes(torch.int8, 64, 32), "fc.weight.scale.0": matrix(64, 1, 4, 1)},
        {"fc.fp8_weight": matrix(12, 9).to(torch.float8_e4m3fn), "fc.fp8_scale": matrix(12, 1)},
    ],
    ids=[
        "g",
        "original0",
        "original1",
        "twice",
        "bitmask",
        "vptq",
        "paroquant",
        "nvfp4",
        "deepcompressor",
        "fp8_weight",
    ],
)
def test_parts_that_make_no_weight_are_left_out_by_name(stored, tmp_path):
    save_file(stored, tmp_path / "model.safetensors")
    frame = ww.scan(tmp_path / "model.safetensors")
    assert not numbers(frame)
    assert set(frame["tensor"]) == {name for name, tensor in stored.items() if tensor.dim() > 1}
    assert frame["reason"].astype(bool).all()


class Mixer(torch.nn.Module):
    """Holds a tensor called as an attention's, and is none."""

    def __init__(self):
        super().__init__()
        self.in_proj_weight = torch.nn.Parameter(matrix(36, 12))


def test_a_class_that_is_no_attention_has_no_queries():
    net = torch.nn.ModuleDict({"mixer": Mixer()})
    frame = ww.analyze(net)
    assert list(numbers(frame)) == [("mixer.in_proj_weight", "")]
    assert "it may hold q, k, v" in frame["reason"].iloc[0]


@pytest.mark.parametrize("name", ["attn.dense_qkv", "attn.qkv_packed", "attn.mixed_qkv_layer"])
def test_a_fused_projection_under_any_name_says_what_it_may_hold(name):
    frame = ww.analyze({f"{name}.weight": matrix(36, 12)})
    assert list(numbers(frame)) == [(name, "")]
    assert "it may hold q, k, v" in frame["reason"].iloc[0]


class SubMConv3d(torch.nn.Module):
    """Outputs x places x inputs, as spconv stores them."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(matrix(16, 3, 3, 3, 12))


@pytest.mark.parametrize(
    "layer", [SubMConv3d(), torch.nn.Conv1d(2, 4, 15), torch.nn.Conv3d(3, 8, (1, 3, 3))], ids=["last", "long", "flat"]
)
def test_a_convolution_and_its_state_dict_have_the_same_matrices(layer):
    net = torch.nn.ModuleDict({"conv": layer})
    as_module, as_mapping = ww.analyze(net), ww.analyze(net.state_dict())
    assert numbers(as_mapping) == pytest.approx(numbers(as_module))
    assert len(as_module) == 1


def test_the_bias_of_a_graph_convolution_tells_its_relations():
    stored = {"conv1.weight": matrix(30, 16, 8), "conv1.root": matrix(16, 8), "conv1.bias": torch.zeros(8)}
    found = numbers(ww.analyze(stored))
    assert found["conv1", "29"] == pytest.approx(largest(stored["conv1.weight"][29]))
    assert len(found) == 31


def test_a_kernel_that_only_its_shape_tells_says_what_else_it_may_be():
    (row,) = ww.analyze({"score.weight": matrix(64, 32, 4)}).to_dict("records")
    assert row["layer_type"] == "conv1d"
    assert "it may be 64 stacked matrices" in row["reason"]


@pytest.mark.parametrize("as_index", [False, True])
def test_the_config_names_the_file_that_is_the_model(as_index, tmp_path):
    save_file({"fc.weight": matrix(12, 9)}, tmp_path / "model.safetensors")
    save_file({"fc.weight": 3 * matrix(12, 9)}, tmp_path / "v2.safetensors")
    named = "v2.safetensors.index.json" if as_index else "v2.safetensors"
    if as_index:
        (tmp_path / named).write_text(json.dumps({"weight_map": {"fc.weight": "v2.safetensors"}}))
    (tmp_path / "config.json").write_text(json.dumps({"transformers_weights": named}))
    assert numbers(ww.scan(tmp_path)) == {("fc", ""): pytest.approx(9 * largest(matrix(12, 9)))}


class Plain(torch.Tensor):
    """Of a class of its own, and otherwise like any other."""


@pytest.mark.parametrize(
    ("made", "is_cut"),
    [(Wrapped, False), (lambda one: one.as_subclass(Loud), False), (lambda one: one.as_subclass(Plain), True)],
)
def test_a_tensor_with_rules_of_its_own_stays_and_the_others_are_truncated(made, is_cut):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(12, 10), torch.nn.Linear(10, 8))
    # A module's setter would ask the tensor.
    net[0]._parameters["weight"] = made(matrix(10, 12))
    with ww.truncated(net, "rank:2") as plan:
        assert [cut.rank for cut in plan] == [2 if is_cut else 10, 2]
        assert np.linalg.matrix_rank(net[1].weight.detach().numpy()) == 2
    assert ("decides by itself" in plan[0].reason) is not is_cut
    assert ww.evaluate_truncation(net, lambda model: 0.0, rules=("rank:2",))["rank"].tolist() == [4 if is_cut else 12]
