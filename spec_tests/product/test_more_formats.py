"""Chapter 8: formats of other libraries: their matrices are those that were written, and broken files are refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import setol_ww as ww
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


# GGUF.

gguf = pytest.importorskip("gguf", reason="the extra setol-ww[gguf] is not installed")
QUANTISED = sorted(kind.name for kind, (per_block, _) in gguf.GGML_QUANT_SIZES.items() if per_block > 1)


def gguf_file(path: Path, tensors: dict[str, tuple[np.ndarray, object]], arch: str = "llama") -> Path:
    writer = gguf.GGUFWriter(path, arch)
    writer.add_array("tokenizer.ggml.tokens", ["a", "bc"])
    for name, (data, kind) in tensors.items():
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def packed(kind: object, rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Codes of a type: quantised values where the package writes it, else random bytes with small scales."""
    per_block, size = gguf.GGML_QUANT_SIZES[kind]
    try:
        return gguf.quants.quantize(rng.normal(size=(rows, columns)).astype(np.float32), kind)
    except NotImplementedError:
        return rng.integers(0, 60, size=(rows, columns // per_block * size)).astype(np.uint8)


@pytest.mark.parametrize("name", QUANTISED)
def test_gguf_types_are_those_of_the_package(tmp_path, name):
    kind = gguf.GGMLQuantizationType[name]
    codes = packed(kind, 24, 512, np.random.default_rng(len(name)))
    path = gguf_file(tmp_path / "m.gguf", {"blk.0.ffn_up.weight": (codes, kind)})
    (tensor,) = checkpoint_tensors(path)
    assert (tensor.shape, tensor.dtype) == ((24, 512), name)
    try:
        truth = gguf.quants.dequantize(codes, kind)
    except NotImplementedError:
        assert "no rule" in tensor.unfit
        return
    assert not tensor.unfit
    np.testing.assert_array_equal(np.asarray(tensor.read()), truth)
    for index in ((slice(3, 9),), (slice(None), slice(250, 300)), (5,), (slice(0, 20, 3), slice(7, 400, 11)), (2, 300)):
        np.testing.assert_array_equal(np.asarray(tensor.read(index)), truth[index], err_msg=str(index))


def test_gguf_rows_experts_and_plain_types(tmp_path):
    rng = np.random.default_rng(3)
    q8 = gguf.GGMLQuantizationType.Q8_0
    wide = rng.normal(size=(96, 64)).astype(np.float32)
    experts = gguf.quants.quantize(rng.normal(size=(3, 40, 64)).astype(np.float32), q8)
    half = rng.normal(size=(50, 60)).astype(np.float16)
    path = gguf_file(
        tmp_path / "m.gguf",
        {
            "blk.0.attn_q.weight": (gguf.quants.quantize(wide, q8), q8),
            "blk.0.ffn_up_exps.weight": (experts, q8),
            "output.weight": (half, None),
            "blk.0.attn_norm.weight": (np.ones(64, np.float32), None),
        },
    )
    assert_rows(path, {"blk.0.attn_q": gguf.quants.dequantize(gguf.quants.quantize(wide, q8), q8)}, dtype="Q8_0")
    assert_rows(path, {"output": half.astype(float)}, dtype="float16")
    found = ww.scan(path).set_index("longname")
    assert "order of GGUF" in found.loc["blk.0.attn_q", "reason"]
    truth = gguf.quants.dequantize(experts, q8)
    rows = found[found.index.str.contains("ffn_up_exps")]
    np.testing.assert_allclose(sorted(rows["lambda_max"]), sorted(map(largest, truth)), rtol=1e-4)
    assert_damage_is_named(path)


def test_gguf_parts_cost_the_memory_of_a_part(tmp_path):
    import tracemalloc

    q8 = gguf.GGMLQuantizationType.Q8_0
    codes = gguf.quants.quantize(np.random.default_rng(0).normal(size=(2048, 4096)).astype(np.float32), q8)
    path = gguf_file(tmp_path / "m.gguf", {"a.weight": (codes, q8)})
    (tensor,) = checkpoint_tensors(path)
    whole = 4 * 2048 * 4096
    for index, most in (((slice(100, 164),), whole / 2), ((), 1.6 * whole)):
        tracemalloc.start()
        tensor.read(index)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < most


def test_types_that_cannot_be_written_back_are_refused(tmp_path):
    q8 = gguf.GGMLQuantizationType.Q8_0
    codes = gguf.quants.quantize(np.random.default_rng(0).normal(size=(60, 64)).astype(np.float32), q8)
    path = gguf_file(tmp_path / "m.gguf", {"a.weight": (codes, q8)})
    with pytest.raises(ww.InvalidInput, match="safetensors has no such type"):
        ww.truncate_checkpoint(path, tmp_path / "out", "rank:5")
    assert not (tmp_path / "out").exists()


def test_gguf_shards_are_one_model(tmp_path):
    for number in (1, 2):
        weight = {f"blk.{number}.ffn_up.weight": (np.ones((30, 20), np.float32), None)}
        gguf_file(tmp_path / f"m-0000{number}-of-00002.gguf", weight)
    assert list(values(tmp_path)) == ["blk.1.ffn_up.weight", "blk.2.ffn_up.weight"]
    (tmp_path / "m-00001-of-00002.gguf").unlink()
    with pytest.raises(ww.UnreadableCheckpoint, match="1 of 2 shards are missing"):
        checkpoint_tensors(tmp_path)


def test_the_factor_of_four_bit_tensors(tmp_path):
    """Every expert has its own, which stands beside them."""
    kind = gguf.GGMLQuantizationType.NVFP4
    codes = packed(kind, 3 * 20, 128, np.random.default_rng(2)).reshape(3, 20, -1)
    factors = np.array([0.5, 3.0, 7.0], np.float32)
    stack = {"blk.0.ffn_up_exps.weight": (codes, kind), "blk.0.ffn_up_exps.scale": (factors, None)}
    path = gguf_file(tmp_path / "m.gguf", stack)
    tensor = checkpoint_tensors(path)[0]
    truth = gguf.quants.dequantize(codes, kind) * factors[:, None, None]
    assert tensor.dtype == "NVFP4 x scale"
    np.testing.assert_array_equal(plain(tensor.read()), truth)
    np.testing.assert_array_equal(plain(tensor.read((1, slice(2, 9)))), truth[1, 2:9])
    np.testing.assert_array_equal(plain(tensor.read((slice(1, 3), 4, slice(60, 70)))), truth[1:3, 4, 60:70])


@pytest.mark.parametrize(
    ("ending", "library", "extra"),
    [(".gguf", "gguf", "gguf"), (".onnx", "onnx", "onnx"), (".h5", "h5py", "keras"), (".keras", "h5py", "keras")],
)
def test_a_missing_library_is_named(tmp_path, monkeypatch, ending, library, extra):
    path = tmp_path / f"m{ending}"
    write = {".gguf": lambda to: gguf_file(to, {"a.weight": (np.ones((3, 2), np.float32), None)}), ".onnx": onnx_file}
    write.get(ending, keras_file)(path)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ww.InvalidInput, match=rf"reading \{ending} needs: pip install 'setol-ww\[{extra}\]'"):
        ww.scan(path)


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


# ONNX.

onnx = pytest.importorskip("onnx", reason="the extra setol-ww[onnx] is not installed")


def onnx_file(path: Path, outside: bool = False, typed: bool = False) -> dict[str, np.ndarray]:
    """A graph with a grouped kernel, a MatMul whose weight lost its name, and a Gemm."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(7)
    truth = {
        "conv.weight": rng.normal(size=(8, 3, 5, 3)).astype(np.float32),
        "onnx::MatMul_12": rng.normal(size=(30, 20)).astype(np.float32),
        "out.weight": rng.normal(size=(12, 20)).astype(np.float16),
    }
    if typed:
        half = [int(one) for one in truth["out.weight"].view(np.uint16).reshape(-1)]
        initialisers = [
            helper.make_tensor(name, TensorProto.FLOAT, value.shape, value.reshape(-1).tolist())
            for name, value in truth.items()
            if name != "out.weight"
        ]
        message = TensorProto(name="out.weight", data_type=TensorProto.FLOAT16, dims=(12, 20), int32_data=half)
        initialisers.append(message)
        narrow = np.arange(12, dtype=np.float32).reshape(3, 4)
        initialisers.append(helper.make_tensor("narrow", TensorProto.BFLOAT16, (3, 4), narrow.reshape(-1).tolist()))
        truth["narrow"] = narrow
    else:
        initialisers = [numpy_helper.from_array(value, name) for name, value in truth.items()]
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight"], ["a"], name="/conv/Conv", group=2),
        helper.make_node("MatMul", ["a", "onnx::MatMul_12"], ["b"], name="/block/fc/MatMul"),
        helper.make_node("Gemm", ["b", "out.weight"], ["c"], name="/out/Gemm", transB=1),
    ]
    graph = helper.make_graph(nodes, "g", [], [], initialisers)
    onnx.save_model(
        helper.make_model(graph), path, save_as_external_data=outside, location="weights.data", size_threshold=0
    )
    return truth


@pytest.mark.parametrize("how", ["inside", "outside", "typed"])
def test_onnx_initialisers(tmp_path, how):
    truth = onnx_file(tmp_path / "m.onnx", how == "outside", how == "typed")
    truth["block.fc.weight"] = truth.pop("onnx::MatMul_12")
    found = values(tmp_path / "m.onnx")
    assert set(found) == set(truth)
    for name, value in truth.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    (tensor,) = [one for one in checkpoint_tensors(tmp_path / "m.onnx") if one.name == "block.fc.weight"]
    index = (slice(2, 9, 3), slice(4, 11))
    np.testing.assert_array_equal(np.asarray(tensor.read(index)), truth["block.fc.weight"][index])
    assert_rows(
        tmp_path / "m.onnx", {name[:-7]: truth[name].astype(float) for name in ("block.fc.weight", "out.weight")}
    )
    conv = ww.scan(tmp_path / "m.onnx").set_index("longname").loc["conv"]
    assert (conv["layout_from"], sorted((conv["M"], conv["N"]))) == ("module", [3, 8])
    assert "2 blocks of 4 x 3" in conv["reason"]


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_onnx_integers_with_their_scales(tmp_path, axis):
    from onnx import helper, numpy_helper

    rng = np.random.default_rng(4)
    codes = rng.integers(-128, 128, size=(14, 9)).astype(np.int8)
    number = () if axis is None else (codes.shape[axis],)
    scales, zeros = rng.uniform(0.01, 0.1, number).astype(np.float32), rng.integers(-5, 5, number).astype(np.int8)
    parts = {"w": codes, "w_scale": scales, "w_zero": zeros}
    node = helper.make_node("DequantizeLinear", list(parts), ["y"], **({} if axis is None else {"axis": axis}))
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in parts.items()]
    onnx.save_model(helper.make_model(helper.make_graph([node], "g", [], [], stored)), tmp_path / "m.onnx")
    shape = (-1, 1) if axis == 0 else (1, -1)
    truth = (codes.astype(np.float32) - zeros.astype(np.float32).reshape(shape)) * scales.reshape(shape)
    tensor = checkpoint_tensors(tmp_path / "m.onnx")[0]
    np.testing.assert_array_equal(plain(tensor.read()), truth)
    for index in ((slice(2, 11, 3), slice(1, 5)), (3,), (slice(None), 4)):
        np.testing.assert_array_equal(plain(tensor.read(index)), truth[index])
    assert_rows(tmp_path / "m.onnx", {"w": truth}, dtype="int8 x scales")


@pytest.mark.parametrize("location", ["../weights.data", "/etc/hostname", "a/../../b", ""])
def test_onnx_files_that_lead_elsewhere_are_refused(tmp_path, location):
    (tmp_path / "in").mkdir()
    onnx_file(tmp_path / "in" / "m.onnx", outside=True)
    model = onnx.load(tmp_path / "in" / "m.onnx", load_external_data=False)
    for entry in model.graph.initializer[1].external_data:
        entry.value = location if entry.key == "location" else entry.value
    (tmp_path / "in" / "m.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "weights.data").write_bytes((tmp_path / "in" / "weights.data").read_bytes())
    with pytest.raises(ww.UnreadableCheckpoint, match="accepted are files beside it"):
        checkpoint_tensors(tmp_path / "in" / "m.onnx")


def test_onnx_damage(tmp_path):
    onnx_file(tmp_path / "m.onnx")
    assert_damage_is_named(tmp_path / "m.onnx")
    onnx_file(tmp_path / "o.onnx", outside=True)
    (tmp_path / "weights.data").write_bytes(b"short")
    with pytest.raises(ww.UnreadableCheckpoint, match="shorter"):
        ww.scan(tmp_path / "o.onnx")


# Keras.

h5py = pytest.importorskip("h5py", reason="the extra setol-ww[keras] is not installed")


def keras_truth() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(9)
    shapes = {"stem.kernel": (3, 5, 6, 9), "line.kernel": (4, 7, 11), "head.kernel": (20, 12), "head.bias": (12,)}
    shapes |= {"att.query.kernel": (14, 3, 6), "att.query.bias": (3, 6), "rnn.lstm_cell.recurrent_kernel": (8, 32)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


KERAS_PATHS = {
    "stem.kernel": "layers/conv2d/vars/0",
    "line.kernel": "layers/conv1d/vars/0",
    "head.kernel": "layers/dense_1/vars/0",
    "head.bias": "layers/dense_1/vars/1",
    "att.query.kernel": "layers/multi_head_attention/query_dense/vars/0",
    "att.query.bias": "layers/multi_head_attention/query_dense/vars/1",
    "rnn.lstm_cell.recurrent_kernel": "layers/lstm/cell/vars/1",
}
KERAS_CLASSES = {"stem": "Conv2D", "line": "Conv1D", "head": "Dense"}


def keras_config() -> str:
    import json

    layers = [{"class_name": kind, "config": {"name": name}} for name, kind in KERAS_CLASSES.items()]
    return json.dumps({"class_name": "Sequential", "config": {"name": "net", "layers": layers}})


def keras_file(path: Path, packed: bool = False) -> Path:
    """As Keras 3 writes it, its `.keras`, `.weights.h5` and `.h5`."""
    import io
    import zipfile

    how = {"compression": "gzip", "chunks": True} if packed else {}
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for name, value in keras_truth().items():
            layer, *inner, variable = name.split(".")
            if path.name.endswith(".weights.h5") or path.suffix == ".keras":
                file.create_dataset(KERAS_PATHS[name], data=value, **how)
                held = file[KERAS_PATHS[name].rpartition("/")[0]]
                held.attrs["name"] = inner[0] if inner else layer
                if inner:
                    held.parent.parent.require_group("vars").attrs["name"] = layer
            else:
                place = "/".join(["model_weights", layer, "net", layer, *inner, f"{variable}:0"])
                file.create_dataset(place, data=value, **how)
        file.create_dataset("optimizer/vars/1", data=np.ones((4, 4)))
        if path.name == "model.h5":
            file.attrs["model_config"] = keras_config()
    if path.suffix == ".keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", keras_config())
            archive.writestr("model.weights.h5", stream.getvalue())
    else:
        path.write_bytes(stream.getvalue())
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["net.keras", "net.weights.h5", "model.h5"])
def test_keras_layers_have_their_names_and_kernels_their_axes(tmp_path, name, packed):
    path, truth = keras_file(tmp_path / name, packed), keras_truth()
    found = values(path)
    assert set(found) == set(truth)
    for key, value in truth.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)
    (tensor,) = [one for one in checkpoint_tensors(path) if one.name == "head.kernel"]
    np.testing.assert_array_equal(tensor.read((slice(1, 17, 3), 4)), truth["head.kernel"][1:17:3, 4])
    assert_rows(path, {"head.kernel": truth["head.kernel"]})
    rows = ww.scan(path).set_index("longname")
    assert rows.loc["att.query.kernel", "lambda_max"] == pytest.approx(
        largest(truth["att.query.kernel"].reshape(14, 18)), rel=1e-4
    )
    assert len(rows.loc[["rnn.lstm_cell.recurrent_kernel"]]) == 4
    for key, slices, sides in (("stem.kernel", 15, [6, 9]), ("line.kernel", 4, [7, 11])):
        assert sorted((rows.loc[key, "M"], rows.loc[key, "N"])) == sides
        tops = [largest(one) for one in truth[key].reshape(slices, *truth[key].shape[-2:])]
        # WeightWatcher divides a kernel by the square root of 2.
        assert rows.loc[key, "lambda_max"] == pytest.approx(max(tops) / 2, rel=1e-4)


def test_keras_links_to_other_files_are_not_followed(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["w"] = np.ones((5, 4))
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["layer/kernel"] = np.ones((6, 5))
        file["layer/linked"] = h5py.ExternalLink("secret.h5", "w")
        file["layer/circle"] = file["layer"]
        file.create_dataset("layer/raw", (5, 4), "f8", external=[(str(tmp_path / "secret.h5"), 0, 160)])
    found = {one.name: one.unfit for one in checkpoint_tensors(tmp_path / "m.h5")}
    assert set(found) == {"layer.kernel", "layer.raw"}
    assert "other files" in found["layer.raw"]


def test_keras_damage(tmp_path):
    assert_damage_is_named(keras_file(tmp_path / "net.keras"), 30)
    assert_damage_is_named(keras_file(tmp_path / "net.weights.h5"), 30)


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
