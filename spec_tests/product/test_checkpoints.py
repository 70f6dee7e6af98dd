"""Chapter 8: weights on disk."""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import setol_ww as ww
from setol_ww.formats import state
from setol_ww.formats.checkpoints import checkpoint_tensors


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "conv": nn.Conv2d(8, 16, 3),
            "block2": nn.Linear(60, 40),
            "block10": nn.Linear(40, 30),
            "norm": nn.LayerNorm(30),
        }
    )


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_index("longname").sort_index()[["alpha", "xmin", "lambda_max", "erg_rank", "delta_lambda_min"]]


def assert_like_the_model(path, model):
    """alpha and xmin to 1e-9: a layout in memory may differ by transposition."""
    np.testing.assert_allclose(numbers(ww.analyze(path)), numbers(ww.analyze(model)), rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_single_safetensors(tmp_path, model, dtype):
    model = model.to(dtype)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    assert_like_the_model(tmp_path / "model.safetensors", model)
    assert_like_the_model(str(tmp_path), model)


def test_safetensors_come_in_natural_order(tmp_path, model):
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    assert ww.analyze(tmp_path)["longname"].tolist() == ["block2", "block10", "conv"]


def test_shards_with_index(tmp_path, model):
    state = model.state_dict()
    shards = {
        "model-00001-of-00002.safetensors": ["conv.weight", "conv.bias", "block10.weight"],
        "model-00002-of-00002.safetensors": [
            "block2.weight",
            "block2.bias",
            "block10.bias",
            "norm.weight",
            "norm.bias",
        ],
    }
    for file, names in shards.items():
        save_file({name: state[name] for name in names}, tmp_path / file)
    index = {"weight_map": {name: file for file, names in shards.items() for name in names}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    save_file({"stranger.weight": torch.ones(20, 20)}, tmp_path / "other.safetensors")
    assert_like_the_model(tmp_path, model)
    (tmp_path / "model.safetensors.index.json").unlink()
    assert_like_the_model(tmp_path, model)


def test_a_tensor_the_index_names_in_vain_is_an_error(tmp_path):
    save_file({"a.weight": torch.ones(20, 20)}, tmp_path / "model-1.safetensors")
    index = {"weight_map": {"a.weight": "model-1.safetensors", "b.weight": "model-1.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ww.UnreadableCheckpoint, match=r"model-1.safetensors: the index names 'b.weight' in it"):
        ww.analyze(tmp_path)


def test_files_that_share_names_are_not_mixed(tmp_path):
    for name in ("epoch1.pt", "epoch2.pt"):
        torch.save({"fc.weight": torch.randn(20, 20)}, tmp_path / name)
    with pytest.raises(ww.InvalidInput, match=r"epoch1.pt and epoch2.pt both hold 'fc.weight'"):
        ww.analyze(tmp_path)


def test_hub_layouts(tmp_path, model):
    """Weights beside a trainer's own files, a second copy in another layout, and a leftover index."""
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    save_file(model.state_dict(), tmp_path / "consolidated.safetensors")
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": "pytorch_model-1.bin"}}))
    (tmp_path / "config.json").write_text("{}")
    assert_like_the_model(tmp_path, model)
    for file in tmp_path.iterdir():
        file.unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with (tmp_path / "training_args.bin").open("wb") as file:
        pickle.dump(Malicious(str(tmp_path / "executed")), file)
    assert_like_the_model(tmp_path, model)
    assert not (tmp_path / "executed").exists()


def test_missing_shard_is_named(tmp_path, model):
    index = {"weight_map": {"a.weight": "model-00001-of-00001.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ww.UnreadableCheckpoint, match=r"model-00001-of-00001.safetensors: named in .* but not there"):
        ww.analyze(tmp_path)


@pytest.mark.parametrize("ending", [".pt", ".pth", ".th", ".bin"])
@pytest.mark.parametrize("legacy", [False, True])
def test_torch_files(tmp_path, model, ending, legacy):
    file = tmp_path / f"weights{ending}"
    torch.save(model.state_dict(), file, _use_new_zipfile_serialization=not legacy)
    assert_like_the_model(file, model)
    assert_like_the_model(tmp_path, model)


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model", "net"])
def test_training_checkpoints_are_unwrapped(tmp_path, model, wrapper):
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({wrapper: state, "epoch": 3, "best": 0.5}, tmp_path / "checkpoint.pth")
    assert_like_the_model(tmp_path / "checkpoint.pth", model)
    assert_like_the_model({wrapper: model.state_dict(), "epoch": 3}, model)


def test_mappings_inside_a_mapping_are_named(tmp_path, model):
    torch.save({"encoder": model.state_dict(), "decoder": model.state_dict()}, tmp_path / "two.pt")
    with pytest.raises(ww.InvalidInput, match=r"mappings inside \(encoder, decoder; give one of them\)"):
        ww.analyze({"encoder": model.state_dict(), "decoder": model.state_dict()})


@pytest.mark.parametrize("dtype", [">f4", ">f8", "<f4", "f2"])
def test_byte_orders(tmp_path, dtype):
    W = np.random.default_rng(0).normal(size=(40, 30)).astype(dtype)
    np.save(tmp_path / "fc.npy", W)
    row = ww.analyze(tmp_path / "fc.npy").iloc[0]
    assert row["lambda_max"] == pytest.approx(np.linalg.norm(W.astype(float), 2) ** 2, rel=1e-9)


def test_numpy_files(tmp_path, model):
    arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    np.savez(tmp_path / "weights.npz", note=np.array("text"), **arrays)
    assert_like_the_model(tmp_path / "weights.npz", model)
    np.save(tmp_path / "block2.npy", arrays["block2.weight"])
    frame = ww.analyze(tmp_path / "block2.npy")
    assert frame["longname"].tolist() == ["block2"]
    assert frame["alpha"].iloc[0] == pytest.approx(numbers(ww.analyze(model)).loc["block2", "alpha"], rel=1e-9)


def test_tensors_are_read_lazily_and_dropped(tmp_path, model):
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    entries = checkpoint_tensors(tmp_path / "model.safetensors")
    assert {entry.name for entry in entries} == set(model.state_dict())
    shapes = {entry.name: entry.shape for entry in entries}
    assert shapes["conv.weight"] == (16, 8, 3, 3)
    torch.testing.assert_close(
        next(e for e in entries if e.name == "block2.weight").load(), model["block2"].weight.detach()
    )


class Malicious:
    """Unpickling this would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("ending", [".pt", ".bin", ".th"])
def test_code_in_a_file_is_never_run(tmp_path, ending):
    trap = tmp_path / "executed"
    with (tmp_path / f"model{ending}").open("wb") as file:
        pickle.dump({"fc.weight": Malicious(str(trap))}, file)
    torch.save({"fc.weight": torch.ones(3, 3), "extra": Malicious(str(trap))}, tmp_path / f"other{ending}")
    for name in (f"model{ending}", f"other{ending}"):
        with pytest.raises(ww.UnreadableCheckpoint, match=name):
            ww.analyze(tmp_path / name)
    assert not trap.exists()


def test_objects_in_numpy_files_are_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([[{}, {}]], dtype=object), allow_pickle=True)
    watcher = ww.WeightWatcher(tmp_path / "objects.npy")
    watcher.analyze()
    assert watcher.coverage["status"].tolist() == ["skipped"]
    assert "type object cannot be read" in watcher.coverage["reason"][0]


@pytest.mark.parametrize("keep", [0, 5, 100, 0.5, 0.99])
@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".npz", ".npy"])
def test_truncated_files_are_named(tmp_path, model, ending, keep):
    file = tmp_path / f"cut{ending}"
    state = model.state_dict()
    if ending == ".safetensors":
        save_file(state, file)
    elif ending == ".pt":
        torch.save(state, file)
    elif ending == ".npz":
        np.savez(file, **{name: tensor.numpy() for name, tensor in state.items()})
    else:
        np.save(file, state["block2.weight"].numpy())
    whole = file.read_bytes()
    file.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
    if ending == ".npy" and keep in (0.5, 0.99):
        frame = ww.analyze(file)  # the header is sound, so the layer is known and fails by itself
        assert frame["status"].tolist() == ["failed"]
        assert "cut.npy" in frame["reason"].iloc[0]
        return
    with pytest.raises(ww.UnreadableCheckpoint, match=f"cut{ending}") as caught:
        ww.analyze(file)
    assert isinstance(caught.value, OSError)


def test_a_corrupt_member_costs_only_its_layer(tmp_path, model):
    file = tmp_path / "weights.npz"
    np.savez(file, **{name: tensor.numpy() for name, tensor in model.state_dict().items()})
    damaged = bytearray(file.read_bytes())
    at = damaged.find(model["block2"].weight.detach().numpy().tobytes()[:64])
    damaged[at + 200] ^= 0xFF
    file.write_bytes(bytes(damaged))
    watcher = ww.WeightWatcher(file)
    frame = watcher.analyze(detX=True).set_index("longname")
    assert frame.loc["block2", "status"] == "failed"
    assert "weights.npz: BadZipFile" in frame.loc["block2", "reason"]
    assert frame.loc[["conv", "block10"], "status"].tolist() == ["success", "success"]
    assert watcher.coverage.set_index("longname").loc["block2.weight", "status"] == "failed"


@pytest.mark.parametrize(
    ("name", "message"),
    [("nothing.pt", "there is no such file"), ("weights.xyz", "accepted end"), ("", "holds no file ending in")],
)
def test_wrong_paths_are_refused(tmp_path, name, message):
    if name.endswith("xyz"):
        (tmp_path / name).write_bytes(b"GGUF")
    folder = tmp_path / name if name else tmp_path
    with pytest.raises(ww.InvalidInput, match=message):
        ww.analyze(folder)


def test_a_file_that_is_no_mapping(tmp_path):
    torch.save([1, 2, 3], tmp_path / "list.pt")
    with pytest.raises(ww.UnreadableCheckpoint, match="holds a list"):
        ww.analyze(tmp_path / "list.pt")
    torch.save(torch.randn(30, 20), tmp_path / "one.pt")
    assert ww.analyze(tmp_path / "one.pt")["longname"].tolist() == ["matrix"]


def test_resnets_from_their_files(data):
    for name, layers in (("resnet20-12fca82f.th", 20), ("resnet32-d509ac18.th", 32)):
        watcher = ww.WeightWatcher(data / "resnet_cifar10" / name)
        frame = watcher.analyze(detX=True)
        assert len(frame) == layers
        assert not frame["longname"].str.startswith("module.").any()
        assert (watcher.coverage["status"] == "analyzed").all()
        assert (frame["erg_status"] == "ok").all()


@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".th", ".npz", ".npy"])
def test_damaged_bytes_never_surprise(tmp_path, ending):
    """Bytes flipped at random, the header most: a table, possibly with failed rows, or the one documented error."""
    rng = np.random.default_rng(0)
    state = {"a.weight": torch.randn(12, 9), "b.weight": torch.randn(9, 10)}
    whole = tmp_path / f"whole{ending}"
    if ending == ".safetensors":
        save_file(state, whole)
    elif ending in (".pt", ".th"):
        torch.save(state, whole, _use_new_zipfile_serialization=ending == ".pt")
    elif ending == ".npz":
        np.savez(whole, **{name: tensor.numpy() for name, tensor in state.items()})
    else:
        np.save(whole, state["a.weight"].numpy())
    sound = whole.read_bytes()
    outcomes = set()
    for trial in range(60):
        damaged = bytearray(sound)
        reach = 200 if trial % 2 else len(damaged)
        for at in rng.integers(0, min(reach, len(damaged)), size=3):
            damaged[at] ^= int(rng.integers(1, 256))
        file = tmp_path / f"damaged{ending}"
        file.write_bytes(bytes(damaged))
        try:
            ww.analyze(file)
            outcomes.add("table")
        except ww.UnreadableCheckpoint as error:
            outcomes.add("unreadable" if f"damaged{ending}" in str(error) else f"no file named in: {error}")
        except ww.InvalidInput:
            outcomes.add("no weights")
    assert "unreadable" in outcomes
    assert outcomes <= {"table", "unreadable", "no weights"}


def test_names_at_the_top_do_not_count_as_those_inside(monkeypatch):
    """Mappings inside mappings end where their names become too many or too long together; a long list has no end."""
    monkeypatch.setattr(state, "MOST_LETTERS", 11)
    flat = {"a" * 99: 1, "b" * 99: 2}
    assert state._flat(flat) == flat
    assert state._flat({"a": {"b": 1, "c": {"d": 2}}}) == {"a.b": 1, "a.c.d": 2}
    with pytest.raises(ValueError, match="without an end"):
        state._flat({"a": {"b": 1, "c": {"long": 2}}})


@pytest.mark.parametrize("depth", [2, 3])
def test_modules_inside_modules_have_an_end(tmp_path, monkeypatch, depth):
    monkeypatch.setattr(state, "DEEPEST", 2)
    net: nn.Module = nn.Linear(9, 8)
    for _ in range(depth):
        net = nn.Sequential(net)
    torch.save(net, tmp_path / "net.pt")
    if depth == 2:
        assert ww.scan(tmp_path / "net.pt")["longname"].dropna().tolist()[0] == "0.0"
    else:
        with pytest.raises(ww.UnreadableCheckpoint, match=r"modules inside modules without an end$"):
            ww.scan(tmp_path / "net.pt")
