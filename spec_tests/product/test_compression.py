"""Chapter 8: truncated checkpoints on disk, full and in factors, and the way back."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import setol_ww as ww
from setol_ww.cli.main import main
from setol_ww.truncation import checkpoints as compression


def net(dtype=torch.float32) -> nn.Module:
    """A model of all kinds of layers, its head tied to its embedding."""
    torch.manual_seed(0)
    model = nn.ModuleDict(
        {
            "embed": nn.Embedding(60, 24),
            "fc": nn.Linear(24, 40),
            "conv": nn.Conv2d(6, 8, 3),
            "attention": nn.MultiheadAttention(24, 2),
            "norm": nn.BatchNorm1d(5),
            "head": nn.Linear(24, 60, bias=False),
        }
    ).to(dtype)
    model["head"].weight = model["embed"].weight
    return model


def untied(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items() if name != "head.weight"}


@pytest.mark.parametrize("factorised", [False, True])
@pytest.mark.parametrize("rule", ["erg", "rank:4", "energy:0.7", "random:5", "bulk"])
def test_comes_back_as_the_truncated_model(tmp_path, rule, factorised):
    model = net()
    save_file(untied(model), tmp_path / "model.safetensors")
    manifest = ww.truncate_checkpoint(tmp_path / "model.safetensors", tmp_path / "out", rule, factorised=factorised)
    back = ww.load_factorised(tmp_path / "out")
    truth = ww.truncate(model, rule).state_dict()
    assert set(back) == set(untied(model))
    for name, tensor in back.items():
        assert tensor.dtype == truth[name].dtype
        if factorised:
            torch.testing.assert_close(tensor, truth[name], rtol=0, atol=1e-6)
        else:
            assert torch.equal(tensor, truth[name]), name
    assert manifest["parameters_before"] == sum(tensor.numel() for tensor in untied(model).values())
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert manifest["parameters_after"] == sum(tensor.numel() for tensor in stored.values())
    assert any(name.endswith(".weight.left") for name in stored) == (factorised and rule != "erg")


def test_the_manifest(tmp_path):
    model = net()
    save_file(untied(model), tmp_path / "model.safetensors")
    returned = ww.truncate_checkpoint(tmp_path / "model.safetensors", tmp_path / "out", "rank:4", factorised=True)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest == returned
    lines = {line["layer"]: line for line in manifest["layers"]}
    with ww.truncated(model, "rank:4") as plan:
        for line in plan:
            assert lines[line.layer]["rank"] == line.rank
            assert lines[line.layer]["kept_energy"] == pytest.approx(line.kept_energy, rel=1e-12)
    assert lines["fc"]["parameters_before"] == 24 * 40
    assert lines["fc"]["parameters_after"] == 4 * (24 + 40)
    assert lines["fc"]["factorised"]
    assert (lines["conv"]["parameters_after"], lines["conv"]["factorised"]) == (8 * 6 * 9, False)


def test_installed_factors_act_as_the_truncated_model(tmp_path):
    model = net().eval()
    save_file(untied(model), tmp_path / "model.safetensors")
    ww.truncate_checkpoint(tmp_path / "model.safetensors", tmp_path / "out", "rank:4", factorised=True)
    truth = ww.truncate(model, "rank:4")
    small = ww.install_factorised(net().eval(), tmp_path / "out")
    ids, x = torch.arange(60), torch.randn(7, 24)
    with torch.no_grad():
        torch.testing.assert_close(small["embed"](ids), truth["embed"](ids), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(small["fc"](x), truth["fc"](x), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(small["head"](x), truth["head"](x), rtol=1e-4, atol=1e-4)
    assert small["head"].weight is small["embed"].weight
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in truth.parameters())
    assert not any(module.training for module in small.modules())
    reloaded = ww.install_factorised(net(), tmp_path / "out")
    reloaded.load_state_dict(small.state_dict())


def test_a_model_that_is_one_layer(tmp_path):
    layer = nn.Linear(30, 20)
    save_file(dict(layer.state_dict()), tmp_path / "model.safetensors")
    ww.truncate_checkpoint(tmp_path, tmp_path / "out", "rank:3", factorised=True)
    small, x = ww.install_factorised(nn.Linear(30, 20), tmp_path / "out"), torch.randn(5, 30)
    torch.testing.assert_close(small(x), ww.truncate(layer, "rank:3")(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "wrong", [nn.Linear(30, 21), nn.Conv1d(30, 20, 1), nn.Sequential(nn.Linear(30, 20)), nn.ReLU()]
)
def test_factors_for_another_model(tmp_path, wrong):
    save_file(dict(nn.Linear(30, 20).state_dict()), tmp_path / "model.safetensors")
    ww.truncate_checkpoint(tmp_path, tmp_path / "out", "rank:3", factorised=True)
    with pytest.raises(ww.InvalidInput, match="installing"):
        ww.install_factorised(wrong, tmp_path / "out")


@pytest.mark.parametrize("change", ["other shape behind", "one more layer", "one layer fewer"])
def test_a_refused_model_keeps_its_layers(tmp_path, change):
    save_file(dict(nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 30)).state_dict()), tmp_path / "model.safetensors")
    ww.truncate_checkpoint(tmp_path, tmp_path / "out", "rank:3", factorised=True)
    last = {"other shape behind": [nn.Linear(20, 31)], "one layer fewer": []}
    model = nn.Sequential(nn.Linear(30, 20), *last.get(change, [nn.Linear(20, 30), nn.Linear(30, 4)]))
    layers, x = list(model), torch.randn(5, 30)
    with pytest.raises(ww.InvalidInput, match="installing"):
        ww.install_factorised(model, tmp_path / "out")
    assert [type(layer) for layer in model] == [nn.Linear] * len(layers)
    assert all(one is other for one, other in zip(model, layers, strict=True))
    assert len(model(x)) == 5


def test_tied_weights_in_factors_under_both_names(tmp_path):
    model = net()
    torch.save(model.state_dict(), tmp_path / "net.pt")
    ww.truncate_checkpoint(tmp_path / "net.pt", tmp_path / "out", "rank:3", factorised=True)
    small = ww.install_factorised(net(), tmp_path / "out")
    assert small["head"].weight is small["embed"].weight
    x, truth = torch.randn(5, 24), ww.truncate(model, "rank:3")
    torch.testing.assert_close(small["head"](x), truth["head"](x), rtol=1e-4, atol=1e-5)


def test_a_parameter_of_another_name_is_multiplied_back(tmp_path):
    model = nn.ParameterDict({"query": torch.randn(30, 20)})
    save_file({"query": model["query"].detach()}, tmp_path / "model.safetensors")
    ww.truncate_checkpoint(tmp_path, tmp_path / "out", "rank:3", factorised=True)
    installed = ww.install_factorised(nn.ParameterDict({"query": torch.zeros(30, 20)}), tmp_path / "out")
    torch.testing.assert_close(installed["query"], ww.truncate(model, "rank:3")["query"], rtol=0, atol=1e-5)


class Pincer(nn.Module):
    """Parameters that are called as factors are."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Parameter(torch.randn(7, 5)), nn.Parameter(torch.randn(4, 6))
        self.fc = nn.Linear(30, 20)


@pytest.mark.parametrize("factorised", [False, True])
def test_parameters_called_left_and_right_are_no_factors(tmp_path, factorised):
    model = nn.ModuleDict({"hand": Pincer()})
    save_file(dict(model.state_dict()), tmp_path / "model.safetensors")
    ww.truncate_checkpoint(tmp_path, tmp_path / "out", "rank:2", ["hand.fc"], factorised=factorised)
    back = ww.load_factorised(tmp_path / "out")
    assert set(back) == set(model.state_dict())
    installed = ww.install_factorised(nn.ModuleDict({"hand": Pincer()}), tmp_path / "out")
    for side in ("left", "right"):
        assert torch.equal(back[f"hand.{side}"], getattr(model["hand"], side))
        assert torch.equal(getattr(installed["hand"], side), getattr(model["hand"], side))


def test_a_factor_that_is_missing_or_of_another_size(tmp_path):
    save_file(dict(nn.Linear(30, 20).state_dict()), tmp_path / "model.safetensors")
    ww.truncate_checkpoint(tmp_path, tmp_path / "out", "rank:3", factorised=True)
    stored = load_file(tmp_path / "out" / "model.safetensors")
    for wrong, says in (
        ({"weight.left": stored["weight.left"], "bias": stored["bias"]}, "weight.right is not there"),
        (stored | {"weight.left": torch.ones(20, 4)}, "the factors of weight have the shapes"),
    ):
        save_file(wrong, tmp_path / "out" / "model.safetensors")
        with pytest.raises(ww.UnreadableCheckpoint, match=says):
            ww.load_factorised(tmp_path / "out")
    (tmp_path / "out" / "manifest.json").write_text("[]")
    with pytest.raises(ww.UnreadableCheckpoint, match=r"manifest\.json"):
        ww.load_factorised(tmp_path / "out")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_the_dtype_stays(tmp_path, dtype):
    model = net(dtype)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "net.pt")
    ww.truncate_checkpoint(tmp_path / "net.pt", tmp_path / "out", "rank:6", factorised=True)
    back, truth = ww.load_factorised(tmp_path / "out"), ww.truncate(model, "rank:6").state_dict()
    assert set(back) == set(truth)
    for name, tensor in back.items():
        assert tensor.dtype == truth[name].dtype
        scale = truth[name].abs().max().double()
        error = (tensor.double() - truth[name].double()).abs().max()
        assert error <= 8 * (torch.finfo(dtype).eps if tensor.is_floating_point() else 0) * scale, name
    assert torch.equal(back["head.weight"], back["embed.weight"])


def test_shards_stay_shards(tmp_path):
    model = net()
    state = untied(model)
    names = list(state)
    shards = {"model-00001-of-00002.safetensors": names[:3], "model-00002-of-00002.safetensors": names[3:]}
    weight_map = {}
    for file, held in shards.items():
        save_file({name: state[name] for name in held}, tmp_path / file)
        weight_map |= dict.fromkeys(held, file)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    ww.truncate_checkpoint(tmp_path, tmp_path / "out", "rank:4")
    written = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())["weight_map"]
    assert written == weight_map
    back, truth = ww.load_factorised(tmp_path / "out"), ww.truncate(model, "rank:4").state_dict()
    assert all(torch.equal(tensor, truth[name]) for name, tensor in back.items())
    assert np.linalg.matrix_rank(back["fc.weight"].numpy()) == 4
    assert set(ww.analyze(tmp_path / "out")["longname"]) >= {"embed", "fc", "conv"}


def test_what_is_no_weight_goes_through_untouched(tmp_path):
    state = {
        "fc.weight": torch.randn(8, 6),
        "scalar": torch.tensor(3.5),
        "empty.weight": torch.empty(0, 4),
        "ids": torch.arange(12).reshape(3, 4),
        "flag": torch.tensor([True, False]),
        "eight.weight": torch.randn(8, 8).to(torch.float8_e4m3fn),
        "broken.weight": torch.tensor([[1.0, float("nan")], [2.0, 3.0]]),
        "name with spaces/and é": torch.ones(2),
    }
    save_file(state, tmp_path / "model.safetensors")
    ww.truncate_checkpoint(tmp_path / "model.safetensors", tmp_path / "out", "rank:2", layers=["fc", "broken"])
    back = load_file(tmp_path / "out" / "model.safetensors")
    assert set(back) == set(state)
    for name in set(state) - {"fc.weight"}:
        assert back[name].dtype == state[name].dtype
        assert back[name].shape == state[name].shape
        same = back[name].reshape(-1).view(torch.uint8), state[name].reshape(-1).view(torch.uint8)
        assert torch.equal(*same), name
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    lines = {line["layer"]: line for line in manifest["layers"]}
    assert set(lines) == {"fc", "broken"}
    assert lines["broken"]["reason"] == "1 of 4 entries are not finite"
    assert lines["broken"]["kept_energy"] is None


def test_rank_zero_and_eight_bits(tmp_path):
    state = {
        "noise.weight": torch.from_numpy(np.random.default_rng(2).normal(size=(40, 30))),
        "eight.weight": torch.randn(8, 8).to(torch.float8_e4m3fn),
    }
    save_file(state, tmp_path / "model.safetensors")
    ww.truncate_checkpoint(tmp_path, tmp_path / "out", "gavish-donoho", factorised=True, layers=["noise"])
    back = ww.load_factorised(tmp_path / "out")
    assert torch.equal(back["noise.weight"], torch.zeros(40, 30, dtype=torch.float64))
    ww.truncate_checkpoint(tmp_path, tmp_path / "eight", "rank:2", layers=["eight"])
    cut = ww.load_factorised(tmp_path / "eight")["eight.weight"]
    truth = ww.truncate({"w.weight": state["eight.weight"].double()}, "rank:2")["w.weight"]
    assert cut.dtype == torch.float8_e4m3fn
    assert torch.equal(cut.double(), truth.to(torch.float8_e4m3fn).double())


def test_numpy_files_and_what_has_no_place(tmp_path):
    W = np.random.default_rng(0).normal(size=(20, 12))
    np.savez(tmp_path / "net.npz", **{"fc.weight": W, "big.weight": W.astype(">f4"), "meta": np.array("text")})
    manifest = ww.truncate_checkpoint(tmp_path / "net.npz", tmp_path / "out", "rank:3")
    back = ww.load_factorised(tmp_path / "out")
    assert set(back) == {"fc.weight", "big.weight"}
    assert manifest["left_out"][0].startswith("meta")
    assert np.linalg.matrix_rank(back["fc.weight"].numpy()) == 3
    assert np.linalg.matrix_rank(back["big.weight"].numpy(), tol=1e-4) == 3


def test_names_of_any_length_in_any_script(tmp_path):
    tensors = {f"{'層' * 190}{number}.weight": torch.randn(30, 20) for number in range(4)}
    tensors |= {f"{'x' * 500}.weight": torch.randn(30, 20), 'quoted "\n".weight': torch.randn(30, 20)}
    torch.save(tensors, tmp_path / "net.pt")
    ww.truncate_checkpoint(tmp_path / "net.pt", tmp_path / "out", "rank:3", factorised=True)
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert set(stored) == {f"{name}{end}" for name in tensors for end in (".left", ".right")}
    truth = ww.truncate(tensors, "rank:3")
    for name, tensor in ww.load_factorised(tmp_path / "out").items():
        torch.testing.assert_close(tensor, truth[name], rtol=0, atol=1e-5)


def test_a_header_without_room_is_an_error(tmp_path, monkeypatch):
    save_file({"x" * 400: torch.randn(30, 20)}, tmp_path / "model.safetensors")
    monkeypatch.setattr(compression.Writer, "ROOM_PER_TENSOR", -300)
    with pytest.raises(ww.InvalidInput, match="its names and shapes need"):
        ww.truncate_checkpoint(tmp_path / "model.safetensors", tmp_path / "out", "rank:3")
    assert not (tmp_path / "out").exists()


def test_names_that_cannot_be_written(tmp_path):
    one = torch.randn(30, 20)
    torch.save({"x.weight": one, "x.weight.left": torch.ones(3)}, tmp_path / "twice.pt")
    with pytest.raises(ww.InvalidInput, match=r"'x\.weight\.left' was asked; accepted is one of each name"):
        ww.truncate_checkpoint(tmp_path / "twice.pt", tmp_path / "out", "rank:3", factorised=True)
    torch.save({"\ud800.weight": one}, tmp_path / "half.pt")
    with pytest.raises(ww.InvalidInput, match="names in Unicode"):
        ww.truncate_checkpoint(tmp_path / "half.pt", tmp_path / "out", "rank:3")
    assert not (tmp_path / "out").exists()


def test_one_tensor_at_a_time(tmp_path, monkeypatch):
    import weakref

    state = {f"fc{number}.weight": torch.randn(50, 40) for number in range(6)}
    save_file(state, tmp_path / "model.safetensors")
    alive, most = weakref.WeakSet(), 0
    real = compression._loaded

    def watched(entry):
        nonlocal most
        tensor = real(entry)
        alive.add(tensor)
        most = max(most, len(alive))
        return tensor

    monkeypatch.setattr(compression, "_loaded", watched)
    ww.truncate_checkpoint(tmp_path, tmp_path / "out", "rank:3", factorised=True)
    assert most <= 2


@pytest.mark.parametrize("fresh", [True, False])
def test_a_failure_leaves_no_half_checkpoint(tmp_path, monkeypatch, fresh):
    save_file(untied(net()), tmp_path / "model.safetensors")
    if not fresh:
        (tmp_path / "out").mkdir()
    add = compression.Writer.add

    def failing(self, name, tensor, code):
        if len(self.header) > 2:
            raise KeyboardInterrupt
        add(self, name, tensor, code)

    monkeypatch.setattr(compression.Writer, "add", failing)
    with pytest.raises(KeyboardInterrupt):
        ww.truncate_checkpoint(tmp_path / "model.safetensors", tmp_path / "out", "rank:3")
    assert (tmp_path / "out").exists() == (not fresh)
    assert fresh or not os.listdir(tmp_path / "out")


def test_what_is_asked_wrongly(tmp_path, capsys):
    save_file(untied(net()), tmp_path / "model.safetensors")
    source, out = str(tmp_path / "model.safetensors"), str(tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("keep")
    save_file({"bias": torch.ones(3)}, tmp_path / "bias.safetensors")
    for arguments, says in (
        ([source, "--out", out, "--rule", "lasso"], "rule='lasso' was asked; accepted is one of 'erg'"),
        ([source, "--out", out, "--rule", "random:3", "--seed", "-1"], "seed=-1 was asked"),
        ([source, "--out", out, "--layers", "fc9"], "layers=['fc9'] was asked"),
        ([source, "--out", str(tmp_path / "full")], "a folder that is not there yet or empty"),
        ([source, "--out", str(tmp_path / "no" / "such")], "no such parent folder"),
        ([str(tmp_path / "gone.pt"), "--out", out], "no such file or directory"),
        ([str(tmp_path / "bias.safetensors"), "--out", out], "no weight of two or more dimensions"),
    ):
        assert main(["truncate", *arguments]) == 2
        assert says in capsys.readouterr().err
        assert not os.path.exists(out)
    assert os.listdir(tmp_path / "full") == ["notes.txt"]
    with pytest.raises(ww.InvalidInput, match=r"manifest\.json"):
        ww.load_factorised(tmp_path)


def test_a_damaged_input_is_named(tmp_path, capsys):
    (tmp_path / "model.safetensors").write_bytes(b"nothing of the kind")
    assert main(["truncate", str(tmp_path / "model.safetensors"), "--out", str(tmp_path / "out")]) == 2
    assert "model.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_line(tmp_path):
    save_file(untied(net()), tmp_path / "model.safetensors")
    arguments = ["truncate", "model.safetensors", "--rule", "rank:4", "--out", "small", "--factorised"]
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            "import sys; from setol_ww.cli.main import main; sys.exit(main())",
            *arguments,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert "attention.in_proj_weight [q]" in done.stdout
    assert "parameters before" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert sorted(os.listdir(tmp_path / "small")) == ["manifest.json", "model.safetensors"]


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["truncate", "--help"])
    assert "setol-ww truncate model.safetensors --rule erg --out truncated/" in capsys.readouterr().out
