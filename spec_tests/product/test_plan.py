"""The plan: ids, labels, what is asked for, and what the user says of a tensor; the same for every way of asking."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import weightwatcher

import setol_ww as ww
from setol_ww.cli.main import main
from setol_ww.weights.plan import plan
from setol_ww.weights.selector import Selector
from setol_ww.weights.tensors import mapping_tensors, module_tensors
from spec_tests.quietly import quiet


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


STATE = {
    "embed.weight": draw(40, 12),
    "layers.0.fc1.weight": draw(30, 20, seed=1),
    "layers.0.fc1.bias": draw(30),
    "layers.1.fc1.weight": draw(30, 20, seed=2),
    "layers.1.fc2.weight": draw(20, 30, seed=3),
    "conv.weight": draw(8, 6, 3, 3, seed=4),
    "rows[1].weight": draw(15, 10, seed=5),
}


def largest(matrix: np.ndarray) -> float:
    return float(np.linalg.svd(matrix, compute_uv=False)[0] ** 2)


def test_nested_experts_are_labelled_as_they_lie():
    """Two axes of experts: every label is the index of its matrix."""
    tensor = draw(2, 3, 12, 9)
    frame = ww.analyze({"experts.w1": tensor})
    assert frame["slice"].tolist() == [f"{i},{j}" for i in range(2) for j in range(3)]
    for _, row in frame.iterrows():
        place = tuple(map(int, row["slice"].split(",")))
        assert row["lambda_max"] == pytest.approx(largest(tensor[place]), rel=1e-9)


def test_ids_are_weightwatchers():
    state = {name: torch.from_numpy(W).float() for name, W in STATE.items() if "conv" not in name}
    net = torch.nn.Sequential(torch.nn.Linear(30, 20), torch.nn.ReLU(), torch.nn.Linear(20, 10))
    for model, tensors in ((state, mapping_tensors(state)), (net, module_tensors(net))):
        with quiet():
            theirs = weightwatcher.WeightWatcher(model).describe()
        ours = {job.longname: job.layer_id for job in plan(tensors) if not job.label}
        known = dict(zip(theirs["longname"], theirs["layer_id"]))
        assert known
        assert {name: ours[name] for name in known} == known


@pytest.mark.parametrize(
    ("layers", "wanted"),
    [
        ("embed", ["embed"]),
        (["layers.0.fc1", "conv"], ["layers.0.fc1", "conv"]),
        ("layers.1.fc1.weight", ["layers.1.fc1"]),
        ("fc1", ["layers.0.fc1", "layers.1.fc1"]),
        ("layers.1.*", ["layers.1.fc1", "layers.1.fc2"]),
        ("layers.?.fc2", ["layers.1.fc2"]),
        ("rows[1]", ["rows[1]"]),
        ("conv2d", ["conv"]),
        (1, ["embed"]),
        ([1, 2], ["embed", "layers.0.fc1"]),
        ("-layers.*", ["embed", "conv", "rows[1]"]),
        (["layers.*", "-fc2"], ["layers.0.fc1", "layers.1.fc1"]),
        ([-1, "-conv2d"], ["layers.0.fc1", "layers.1.fc1", "layers.1.fc2", "rows[1]"]),
        ([], ["embed", "layers.0.fc1", "layers.1.fc1", "layers.1.fc2", "conv", "rows[1]"]),
    ],
    ids=str,
)
def test_one_dialect_of_layers(layers, wanted, tmp_path):
    """analyze, scan and truncate answer alike; what is not asked for is told as skipped."""
    frame = ww.analyze(STATE, layers=layers)
    assert sorted(frame["longname"]) == sorted(wanted)
    coverage = {row["longname"]: row for row in frame.attrs["coverage"]}
    left = {name.removesuffix(".weight") for name, row in coverage.items() if row["status"] == "skipped"}
    assert left == {"embed", "conv", "rows[1]", *LAYERS} - set(wanted)
    np.savez(tmp_path / "net.npz", **STATE)
    scanned = ww.scan(tmp_path / "net.npz", layers=layers)
    assert sorted(scanned.loc[scanned["status"] == "analyzed", "longname"]) == sorted(wanted)
    with ww.truncated({name: W.copy() for name, W in STATE.items()}, "rank:2", layers=layers) as cuts:
        assert sorted(cut.layer for cut in cuts) == sorted(wanted)


LAYERS = ("layers.0.fc1", "layers.1.fc1", "layers.1.fc2")


def test_words_of_digits_are_names_where_a_layer_is_called_so():
    net = torch.nn.Sequential(torch.nn.Linear(30, 20), torch.nn.Linear(20, 10))
    assert ww.analyze(net, layers="0")["longname"].tolist() == ["0"]
    assert ww.analyze(net, layers=1)["longname"].tolist() == ["0"]
    assert ww.analyze(STATE, layers="1")["longname"].tolist() == ["embed"]
    assert ww.analyze(net, layers=torch.nn.Linear)["longname"].tolist() == ["0", "1"]


@pytest.mark.parametrize("layers", ["layers.0.fcl", ["embed", "layers.0.fcl"], "-layers.0.fcl"], ids=str)
def test_the_nearest_names_are_told(layers, tmp_path, capsys):
    np.savez(tmp_path / "net.npz", **STATE)
    told = r"nothing here is called '-?layers.0.fcl'. Accepted are names \(layers\.0\.fc1, "
    for asked in (ww.analyze, lambda model, layers: ww.scan(tmp_path / "net.npz", layers=layers), ww.truncate):
        with pytest.raises(ww.InvalidInput, match=told):
            asked(STATE, layers=layers)
    if isinstance(layers, str):
        assert main(["analyze", str(tmp_path / "net.npz"), f"--layers={layers}"]) == 2
        assert "nothing here is called" in capsys.readouterr().err


@pytest.mark.parametrize("layers", [1.5, [None], True, [""], "-", {"a": 1}.items()], ids=str)
def test_what_layers_cannot_be(layers):
    with pytest.raises(ww.InvalidInput, match="accepted are layer ids, names, patterns of names and types"):
        Selector.of(layers)


def test_everything_left_out_is_refused():
    with pytest.raises(ww.InvalidInput, match="leaves out every layer"):
        ww.analyze({"fc.weight": draw(20, 10)}, layers="-fc")


def test_what_the_user_says_of_a_tensor(tmp_path):
    """`layouts=` decides over every guess, in each way of asking; a row says that it was asked."""
    stored = {"a.qkv.weight": draw(50, 20), "b.table": draw(30, 20, seed=1), "c.w": draw(3, 12, 9, seed=2)}
    layouts = {"*.qkv.weight": "qkv:20,15,15", "b.table": "skip", "c.w": "kernel:1,2"}
    np.savez(tmp_path / "net.npz", **stored)
    scanned = ww.scan(tmp_path / "net.npz", layouts=layouts)
    for frame in (ww.analyze(stored, layouts=layouts), scanned[scanned["status"] == "analyzed"]):
        found = {(row["longname"], row["slice"]): row for _, row in frame.iterrows()}
        assert set(found) == {("a.qkv", "q"), ("a.qkv", "k"), ("a.qkv", "v"), ("c.w", "")}
        for label, rows in (("q", slice(0, 20)), ("k", slice(20, 35)), ("v", slice(35, 50))):
            truth = largest(stored["a.qkv.weight"][rows])
            assert found["a.qkv", label]["lambda_max"] == pytest.approx(truth, rel=1e-9)
        assert found["c.w", ""]["rf"] == 3
        truth = max(map(largest, stored["c.w"])) / 2
        assert found["c.w", ""]["lambda_max"] == pytest.approx(truth, rel=1e-9)
        assert {row["layout_from"] for row in found.values()} == {"asked"}
    assert "layouts= says" in scanned.set_index("longname").loc["b.table", "reason"]


@pytest.mark.parametrize(
    ("layouts", "said"),
    [
        ({"nothing": "skip"}, "no tensor here is called 'nothing'"),
        ({"fc.weight": "spiral"}, "accepted are"),
        ({"fc.weight": "qkv:1,2,3"}, "widths that sum to the rows or columns"),
        ({"fc.weight": "qkv:a,b,c"}, "whole numbers"),
        ({"fc.weight": "stack:3"}, "stack:COUNT"),
        ({"fc.weight": "kernel:0,1"}, "kernel:ROWS,COLUMNS"),
    ],
    ids=str,
)
def test_what_cannot_be_said_of_a_tensor(layouts, said):
    with pytest.raises(ww.InvalidInput, match=said):
        ww.analyze({"fc.weight": draw(20, 10)}, layouts=layouts)


def test_the_summary_has_weightwatchers_values_under_its_keys():
    """Rows that weightwatcher does not have enter means of ours only."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv1d(64, 64, 3), torch.nn.Linear(200, 100))
    theirs, ours = weightwatcher.WeightWatcher(net), ww.WeightWatcher(net)
    with quiet():
        theirs.analyze()
        wanted = theirs.get_summary()
    ours.analyze()
    told = ours.get_summary()
    for key, value in wanted.items():
        assert told[key] == pytest.approx(value, rel=1e-9), key


@pytest.mark.parametrize("asked", ["head.weight", "head", "embed.weight", "hea*"])
def test_a_tied_weight_is_chosen_by_either_of_its_names(asked):
    shared = torch.randn(30, 20)
    frame = ww.analyze({"embed.weight": shared, "fc.weight": torch.randn(20, 20), "head.weight": shared}, layers=asked)
    assert frame["longname"].tolist() == ["embed"]


def test_two_matrices_are_a_stack_and_one_is_none():
    jobs = plan(mapping_tensors({"experts.w1": torch.randn(2, 6, 5), "one.w1": torch.randn(1, 6, 5)}))
    assert [(job.tensor, job.label) for job in jobs if not job.skipped and "," not in job.label] == [
        ("experts.w1", "0"),
        ("experts.w1", "1"),
        ("one.w1", ""),
    ]


def test_layers_that_name_only_what_cannot_be_analysed_are_told_by_their_rows():
    state = {"a.weight": np.ones((9, 8)), "b.weight": np.ones((9, 8), complex)}
    frame = ww.analyze(state, layers=["b"])
    told = {row["longname"]: row["reason"] for row in frame.attrs["coverage"]}
    assert not len(frame.dropna(subset=["lambda_max"]))
    assert "complex" in told["b.weight"]
    assert told["a.weight"] == "not among layers=['b']"


FUSED = "layers.0.self_attn.qkv_proj.weight"


def parts_of(shape: tuple[int, ...], config: dict, name: str = FUSED) -> tuple[list[tuple[str, int]], str]:
    """Labels and rows of the parts of a tensor of a model with this config, and what is said of it."""
    jobs = plan(mapping_tensors({name: np.zeros(shape)}), config=config)
    return [(job.label, job.part.rows) for job in jobs if job.label], jobs[0].note


def test_the_first_key_of_a_width_that_a_config_has_counts():
    both = {"num_attention_heads": 4, "n_head": 2, "num_key_value_heads": 2, "num_kv_heads": 4, "n_embd": 64}
    config = {"model_type": "llama", "hidden_size": 32, "dim": 16, **both}
    assert parts_of((64, 32), config) == ([("q", 32), ("k", 16), ("v", 16)], "")


def test_an_entry_that_does_not_fit_leaves_the_tensor_to_the_next():
    config = {"model_type": "mpt", "d_model": 8, "n_heads": 4, "kv_n_heads": 2}
    several = {**config, "attn_config": {"attn_type": "multiquery_attention"}}
    name = "blocks.0.attn.Wqkv.weight"
    assert parts_of((12, 8), several, name)[0] == [("q", 8), ("k", 2), ("v", 2)]
    assert parts_of((16, 8), several, name)[0] == [("q", 8), ("k", 4), ("v", 4)]


def test_a_config_that_says_its_type_twice_is_asked_once():
    config = {"model_type": "llama", "architecture": "llama", "hidden_size": 32, "num_attention_heads": 4}
    labels, said = parts_of((70, 32), config)
    assert labels == []
    assert said.startswith(
        "the config says that llama has rows:q=H*d,k=K*d,v=K*d, which does not fit the shape 70 x 32"
    )
