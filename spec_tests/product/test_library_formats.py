"""Chapter 8: formats that need a library of an extra: GGUF, ONNX, Keras."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import setol_ww as ww
from fixtures.file_bytes import gguf_file
from setol_ww.formats import keras_file as keras_format
from setol_ww.formats import onnx_file as protobuf
from setol_ww.formats.checkpoints import checkpoint_tensors
from spec_tests.product.test_more_formats import assert_damage_is_named, assert_rows, largest, plain, values

gguf = pytest.importorskip("gguf", reason="the extra setol-ww[gguf] is not installed")
onnx = pytest.importorskip("onnx", reason="the extra setol-ww[onnx] is not installed")
h5py = pytest.importorskip("h5py", reason="the extra setol-ww[keras] is not installed")

# GGUF.

QUANTISED = sorted(kind.name for kind, (per_block, _) in gguf.GGML_QUANT_SIZES.items() if per_block > 1)


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


# ONNX.


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


@pytest.mark.parametrize(("before", "value"), [(0, 1), (1, 2**7), (9, 2**63), (10, None)])
def test_a_number_has_ten_bytes_at_most(before, value):
    raw = [128] * before + [1]
    source = SimpleNamespace(position=0, take=lambda size: bytes(raw.pop(0) for _ in range(size)))
    if value is None:
        with pytest.raises(ValueError, match="without an end"):
            protobuf._varint(source)
    else:
        assert protobuf._varint(source) == value


@pytest.mark.parametrize(("depth", "sound"), [(3, True), (4, False)])
def test_groups_inside_groups_have_an_end(tmp_path, monkeypatch, depth, sound):
    path = tmp_path / "net.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("/".join("abcdef"[:depth]) + "/w", data=np.ones((3, 2)))
    monkeypatch.setattr(keras_format, "DEEPEST", 2)
    with h5py.File(path) as file:
        if sound:
            assert [name for name, _ in keras_format._datasets(h5py, file)] == ["a/b/c/w"]
        else:
            with pytest.raises(ValueError, match="groups inside groups without an end"):
                [*keras_format._datasets(h5py, file)]
    monkeypatch.setattr(keras_format, "DEEPEST", 99)
    monkeypatch.setattr(keras_format, "MOST", depth)
    with h5py.File(path) as file, pytest.raises(ValueError, match="without an end"):
        [*keras_format._datasets(h5py, file)]
