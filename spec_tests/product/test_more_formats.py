"""Chapter 8: formats of other libraries: their matrices are those that were written, and broken files are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import setol_ww as ww
from setol_ww.formats import torch_distributed
from setol_ww.formats.checkpoints import checkpoint_tensors

ERRORS = (ww.InvalidInput, ww.UnreadableCheckpoint)
RNG = np.random.default_rng(0)


def values(path: Path) -> dict[str, np.ndarray]:
    return {one.name: plain(one.read()) for one in checkpoint_tensors(path)}


def plain(value: object) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.float() if value.dtype == torch.bfloat16 else value
    return np.asarray(value)


def largest(matrix: np.ndarray) -> float:
    return float(np.linalg.svd(np.asarray(matrix, float), compute_uv=False)[0] ** 2)


def assert_rows(path: Path, truth: dict[str, np.ndarray], **more) -> None:
    """The rows of `analyze` and `scan` are those of the matrices, by numpy's SVD."""
    for frame in (ww.analyze(path), ww.scan(path)):
        rows = frame[frame["longname"].isin(truth)].set_index("longname")
        assert sorted(rows.index) == sorted(truth), list(frame["longname"])
        for name, matrix in truth.items():
            sides = sorted(matrix.shape)
            assert (rows.loc[name, "M"], rows.loc[name, "N"]) == tuple(sides), name
            top = rows.loc[name, "lambda_max"]
            np.testing.assert_allclose(top, largest(matrix), rtol=1e-4, err_msg=name)
            for column in more.keys() & rows.columns:
                assert more[column] in rows.loc[name, column], (name, rows.loc[name, column])


def assert_damage_is_named(path: Path, number: int = 60) -> None:
    """Cut short or with bytes turned it gives values or one of the two errors."""
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    broken = path.with_name(f"broken{path.suffix}")
    said: list[str] = []
    for at in range(number):
        damaged = bytearray(content[: int(rng.integers(len(content)))] if at % 3 == 0 else content)
        for _ in range(at % 3):
            damaged[int(rng.integers(min(len(damaged), 2048)))] = int(rng.integers(256))
        broken.write_bytes(bytes(damaged))
        try:
            for tensor in checkpoint_tensors(broken):
                if not tensor.unfit:
                    assert plain(tensor.read()).shape == tensor.shape
        except ERRORS as error:
            said.append(str(error))
    assert all(broken.name in sentence for sentence in said), said
    assert len(said) > number // 4


# torch's programs.


class Net(nn.Module):
    """Kernels, tied and nested layers, buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(6, 9, 5)
        self.fc = nn.Linear(9, 7)
        self.tied = self.fc
        self.norm = nn.BatchNorm2d(9)
        self.layers = nn.ModuleList([nn.Linear(7, 7), nn.Linear(7, 9)])
        self.register_buffer("mask", torch.ones(4, 4))

    def forward(self, x):
        x = self.fc(self.norm(self.conv(x)).mean((2, 3)))
        for layer in self.layers:
            x = layer(x)
        return self.tied(x)


# torch says that TorchScript is no longer recommended; its files stay.
scripted = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


def script(net: nn.Module, path: Path) -> None:
    torch.jit.script(net).save(path)


def trace(net: nn.Module, path: Path) -> None:
    torch.jit.trace(net, torch.zeros(2, 6, 8, 8)).save(path)


def export(net: nn.Module, path: Path) -> None:
    torch.export.save(torch.export.export(net, (torch.zeros(2, 6, 8, 8),)), path)


@scripted
@pytest.mark.parametrize(("write", "ending"), [(script, ".pt"), (trace, ".torchscript"), (export, ".pt2")])
def test_programs_have_the_tensors_and_rows_of_their_modules(tmp_path, write, ending):
    torch.manual_seed(0)
    net = Net().eval()
    path = tmp_path / f"net{ending}"
    write(net, path)
    truth, found = net.state_dict(), values(path)
    assert set(found) == set(truth)
    for name, value in truth.items():
        np.testing.assert_array_equal(found[name], value.numpy(), err_msg=name)
    matrices = {name.removesuffix(".weight"): truth[name].numpy() for name in ("fc.weight", "layers.1.weight")}
    assert_rows(path, matrices | {"layers.0": truth["layers.0.weight"].numpy()})
    from_module, from_file = ww.analyze(net).set_index("longname"), ww.analyze(path).set_index("longname")
    assert sorted(from_file.index) == sorted(from_module.index)
    assert from_file.loc["conv", "lambda_max"] == pytest.approx(from_module.loc["conv", "lambda_max"], rel=1e-6)
    assert ww.scan(path).set_index("longname").loc["conv", "layout"] == "conv2d 25 slices"


@scripted
def test_frozen_programs_have_weights_without_names(tmp_path):
    net = nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5)).eval()
    torch.jit.freeze(torch.jit.script(net)).save(tmp_path / "net.pt")
    found = {one.shape: np.asarray(one.read()) for one in checkpoint_tensors(tmp_path / "net.pt")}
    for weight in (net[0].weight, net[2].weight):
        np.testing.assert_array_equal(found[tuple(weight.shape)], weight.detach().numpy())


@scripted
def test_code_in_programs_is_not_run(tmp_path):
    script(Net(), tmp_path / "net.pt")
    import zipfile

    with zipfile.ZipFile(tmp_path / "net.pt") as old, zipfile.ZipFile(tmp_path / "other.pt", "w") as new:
        for member in old.namelist():
            content = b"raise SystemExit" if member.endswith(".py") else old.read(member)
            new.writestr(member, content)
    assert values(tmp_path / "other.pt").keys() == values(tmp_path / "net.pt").keys()


@scripted
@pytest.mark.parametrize("write", [script, export])
def test_damaged_programs_are_refused(tmp_path, write):
    path = tmp_path / ("net.pt2" if write is export else "net.pt")
    write(nn.Sequential(nn.Conv2d(6, 3, 1)), path)
    assert_damage_is_named(path)


# Checkpoints of training scripts.


def state(seed: int) -> dict[str, torch.Tensor]:
    return {"fc.weight": torch.randn(8, 6, generator=torch.Generator().manual_seed(seed)), "fc.bias": torch.zeros(8)}


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ({"model": state(1), "optimizer": {"state": {0: {"exp_avg": torch.ones(8, 6)}}}}, ["fc.weight", "fc.bias"]),
        ({"net": state(1), "epoch": 3}, ["fc.weight", "fc.bias"]),
        ({"params_ema": state(1)}, ["fc.weight", "fc.bias"]),
        ({"ema": state(1), "step": torch.tensor(3)}, ["fc.weight", "fc.bias"]),
        (
            {"student": state(1), "teacher": state(2)},
            ["student.fc.weight", "student.fc.bias", "teacher.fc.weight", "teacher.fc.bias"],
        ),
        ({"encoder": state(1), "optim_g": state(2)}, ["encoder.fc.weight", "encoder.fc.bias"]),
        ({"state_dict": {"model.fc.weight": torch.ones(3, 2)}, "callbacks": {}}, ["model.fc.weight"]),
        ([torch.ones(3, 2), torch.ones(2)], ["0", "1"]),
        ({"layers": [torch.ones(3, 2), torch.ones(4, 2)]}, ["layers.0", "layers.1"]),
    ],
)
def test_usual_nestings(tmp_path, content, names):
    torch.save(content, tmp_path / "last.ckpt")
    assert list(values(tmp_path / "last.ckpt")) == names


def test_the_model_that_is_read_is_named_where_there_are_several(tmp_path):
    torch.save({"params": state(1), "params_ema": state(2)}, tmp_path / "net.pth")
    assert_rows(tmp_path / "net.pth", {"fc": state(1)["fc.weight"].numpy()})
    reason = ww.scan(tmp_path / "net.pth")["reason"][0]
    assert "read from 'params'" in reason
    assert "'params_ema'" in reason


# torch.distributed.checkpoint.

single = pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")


def cut_apart(folder: Path, tensor: torch.Tensor, rows: int, columns: int) -> None:
    """A folder as ranks write it that hold one block each, by torch's own classes."""
    import pickle

    from torch.distributed.checkpoint import metadata as kinds
    from torch.distributed.checkpoint.filesystem import _StorageInfo

    chunks, storage = [], {}
    for top in range(0, tensor.shape[0], rows):
        for left in range(0, tensor.shape[1], columns):
            part = tensor[top : top + rows, left : left + columns].clone()
            at, file = torch.Size((top, left)), folder / f"__{top}_{left}.distcp"
            with file.open("wb") as stream:
                stream.write(b"x" * left)
                torch.save(part, stream)
            index = kinds.MetadataIndex("fc.weight", at, len(chunks))
            storage[index] = _StorageInfo(file.name, left, file.stat().st_size - left)
            chunks.append(kinds.ChunkStorageMetadata(at, part.shape))
    known = kinds.TensorStorageMetadata(kinds.TensorProperties(tensor.dtype), tensor.shape, chunks)
    (folder / ".metadata").write_bytes(pickle.dumps(kinds.Metadata({"fc.weight": known}, None, storage)))


@single
def test_distributed_checkpoints_as_torch_writes_them(tmp_path):
    import torch.distributed.checkpoint as dcp

    content = {"model": state(1) | {"half": torch.randn(3, 3).bfloat16()}, "step": 3, "optim": {"m": torch.ones(8, 6)}}
    dcp.save(content, checkpoint_id=tmp_path / "one")
    found = {one.name: one.read() for one in checkpoint_tensors(tmp_path / "one")}
    assert list(found) == ["fc.weight", "fc.bias", "half"]
    assert all(torch.equal(found[name], content["model"][name]) for name in found)
    assert_rows(tmp_path / "one", {"fc": state(1)["fc.weight"].numpy()})


@pytest.mark.parametrize(("rows", "columns"), [(10, 24), (40, 5), (7, 9), (40, 24)])
def test_distributed_tensors_are_read_from_their_parts(tmp_path, rows, columns):
    whole = torch.randn(40, 24, generator=torch.Generator().manual_seed(3))
    cut_apart(tmp_path, whole, rows, columns)
    (tensor,) = checkpoint_tensors(tmp_path)
    assert torch.equal(tensor.read(), whole)
    for index in ((slice(3, 21),), (slice(1, 40, 3), slice(2, 23, 4)), (8,), (slice(None), 11), (39, 23)):
        assert torch.equal(tensor.read(index), whole[index]), index
    assert_rows(tmp_path, {"fc": whole.numpy()})
    next(tmp_path.glob("*.distcp")).unlink()
    with pytest.raises(ww.UnreadableCheckpoint, match="missing"):
        ww.scan(tmp_path)


def test_distributed_metadata_that_leads_elsewhere_or_runs_code_is_refused(tmp_path):
    import pickle

    cut_apart(tmp_path, torch.randn(8, 6), 8, 6)
    good = (tmp_path / ".metadata").read_bytes()
    (tmp_path / ".metadata").write_bytes(good.replace(b"__0_0.distcp", b"../../o.dist"))
    with pytest.raises(ww.UnreadableCheckpoint, match="accepted are files beside it"):
        checkpoint_tensors(tmp_path)
    (tmp_path / ".metadata").write_bytes(pickle.dumps(print))
    with pytest.raises(ww.UnreadableCheckpoint, match="no metadata"):
        checkpoint_tensors(tmp_path)
    (tmp_path / ".metadata").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ww.UnreadableCheckpoint, match="it would call"):
        checkpoint_tensors(tmp_path)
    (tmp_path / ".metadata").unlink()
    with pytest.raises(ww.UnreadableCheckpoint, match="distcp"):
        checkpoint_tensors(tmp_path)


def test_a_distributed_part_that_changed_is_noticed(tmp_path):
    cut_apart(tmp_path, torch.randn(8, 6), 8, 6)
    (tensor,) = checkpoint_tensors(tmp_path)
    content = bytearray((tmp_path / "__0_0.distcp").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "__0_0.distcp").write_bytes(bytes(content))
    with pytest.raises(ww.UnreadableCheckpoint):
        tensor.read()


# Flax and Stable-Baselines3.

msgpack = pytest.importorskip("msgpack", reason="msgpack, which the extra setol-ww[test] brings, is not installed")


def flax_bytes(tree: dict, most: int = 2**30) -> bytes:
    """As `flax.serialization.msgpack_serialize` writes it, arrays of more bytes than `most` in pieces."""

    def array(value: object) -> msgpack.ExtType:
        assert isinstance(value, (np.ndarray, torch.Tensor))
        if isinstance(value, torch.Tensor):
            parts = (tuple(value.shape), "bfloat16", value.view(torch.int16).numpy().tobytes())
        else:
            parts = (value.shape, value.dtype.name, value.tobytes())
        return msgpack.ExtType(1, msgpack.packb(parts, use_bin_type=True))

    def cut(value: object) -> object:
        if isinstance(value, dict):
            return {key: cut(one) for key, one in value.items()}
        if not isinstance(value, np.ndarray) or value.nbytes <= most:
            return value
        flat, step = value.ravel(), most // value.itemsize
        pieces = {str(at): flat[start : start + step] for at, start in enumerate(range(0, flat.size, step))}
        shape = {str(at): side for at, side in enumerate(value.shape)}
        return {"__msgpack_chunked_array__": True, "shape": shape, "chunks": pieces}

    return msgpack.packb(cut(tree), default=array, strict_types=True)


@pytest.mark.parametrize("most", [2**30, 128])
def test_flax_arrays(tmp_path, most):
    rng = np.random.default_rng(5)
    dense = rng.normal(size=(24, 10)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 6, 8)).astype(np.float32)
    half = torch.randn(5, 4).bfloat16()
    tree = {
        "params": {"Dense_0": {"kernel": dense, "bias": np.zeros(10)}, "deep": {"er": {"Conv_0": {"kernel": kernel}}}},
        "opt_state": {"0": {"mu": {"Dense_0": {"kernel": dense}}}},
        "step": 70_000,
    }
    path = tmp_path / "model.msgpack"
    path.write_bytes(flax_bytes(tree, most))
    found = values(path)
    assert list(found) == ["Dense_0.kernel", "Dense_0.bias", "deep.er.Conv_0.kernel"]
    np.testing.assert_array_equal(found["Dense_0.kernel"], dense)
    np.testing.assert_array_equal(found["deep.er.Conv_0.kernel"], kernel)
    assert_rows(path, {"Dense_0.kernel": dense})
    conv = ww.scan(path).set_index("longname").loc["deep.er.Conv_0.kernel"]
    assert conv["lambda_max"] == pytest.approx(max(map(largest, kernel.reshape(9, 6, 8))) / 2, rel=1e-4)
    assert_damage_is_named(path)
    path.write_bytes(flax_bytes({"a": {"half": half}}))
    (tensor,) = checkpoint_tensors(path)
    assert (tensor.name, tensor.dtype) == ("a.half", "bfloat16")
    assert torch.equal(tensor.read(), half)


def test_the_policy_of_stable_baselines(tmp_path):
    import io
    import zipfile

    stream = io.BytesIO()
    policy = {"mlp.0.weight": torch.randn(16, 9), "action.weight": torch.randn(4, 16), "log_std": torch.zeros(4)}
    torch.save(policy, stream)
    path = tmp_path / "ppo.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", '{"policy_class": {":serialized:": "gASV"}}')
        archive.writestr("policy.pth", stream.getvalue())
        archive.writestr("pytorch_variables.pth", b"cos\nsystem\n(S'true'\ntR.")
    found = {one.name: one.read() for one in checkpoint_tensors(path)}
    assert list(found) == list(policy)
    assert all(torch.equal(found[name], value) for name, value in policy.items())
    assert_rows(path, {"mlp.0": policy["mlp.0.weight"].numpy(), "action": policy["action.weight"].numpy()})
    assert_damage_is_named(path, 30)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other", b"")
    with pytest.raises(ww.UnreadableCheckpoint, match=r"without the member policy\.pth"):
        ww.scan(path)


def test_a_sharded_tensor_without_a_path_stays_under_its_flat_name():
    tree: dict = {}
    for path in ((), tuple(range(20)), "a.b", None):
        torch_distributed._put(tree, path, f"net.{path}", 1)
    torch_distributed._put(tree, ("net", 0), "net.0", 2)
    torch_distributed._put(tree, tuple(range(19)), "deep", 3)
    assert [*tree][:4] == ["net.()", f"net.{tuple(range(20))}", "net.a.b", "net.None"]
    assert tree["net"] == {0: 2}
    inner = tree
    for step in range(19):
        inner = inner[step]
    assert inner == 3
