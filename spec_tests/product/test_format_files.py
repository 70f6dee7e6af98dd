"""Files of every format, made byte by byte: rare but sound ones are read, each refusal is told word for word."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from collections import Counter, OrderedDict, defaultdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.distributed.checkpoint import metadata as kinds
from torch.distributed.checkpoint.filesystem import _StorageInfo

import setol_ww as ww
from fixtures.broken_files import called, integer, mapping, several, storage, tensor, text, torch_archive
from fixtures.file_bytes import (
    ONE,
    described,
    field,
    gguf,
    initialiser,
    old_file,
    old_storage,
    onnx,
    safetensors,
    torch_tar,
    word,
)
from setol_ww.formats import (
    checkpoints,
    folder,
    hub,
    keras_file,
    places,
    reader,
    state,
    torch_distributed,
    torch_script,
    urls,
    zip_members,
)
from setol_ww.formats.checkpoints import checkpoint_files, checkpoint_tensors, foresee_job, read_job
from setol_ww.formats.flax_file import open_flax
from setol_ww.formats.handle import Handle
from setol_ww.formats.pickles import Global, Placeholder
from setol_ww.formats.reader import opened
from setol_ww.formats.remote import Forbidden, Info, RemotePath
from setol_ww.scanning.jobs import jobs_of

gguf_library = pytest.importorskip("gguf", reason="the extra setol-ww[gguf] is not installed")
onnx_library = pytest.importorskip("onnx", reason="the extra setol-ww[onnx] is not installed")
h5py = pytest.importorskip("h5py", reason="the extra setol-ww[keras] is not installed")


def refusal(ask: Any, kind: type[BaseException] = ww.UnreadableCheckpoint) -> str:
    with pytest.raises(kind) as told:
        ask()
    return str(told.value)


def written(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def found(path: Path) -> dict[str, Any]:
    return {one.name: one for one in checkpoint_tensors(path)}


def plain(value: Any) -> np.ndarray:
    return value.float().numpy() if hasattr(value, "float") else np.asarray(value)


# GGUF.


def big(version: int = 3, pairs: bytes = b"", tensors: bytes = b"", count: tuple[int, int] = (0, 0)) -> bytes:
    return b"GGUF" + struct.pack(">IQQ", version, *count) + pairs + tensors


def test_gguf_of_the_other_byte_order(tmp_path):
    """Plain values are turned; codes are not decoded, and say so."""
    values = np.arange(12, dtype=">f4").reshape(3, 4)

    def described_big(name: str, *sides: int, kind: int = 0, offset: int = 0) -> bytes:
        raw = name.encode()
        head = struct.pack(">Q", len(raw)) + raw
        return head + struct.pack(f">I{len(sides)}QIQ", len(sides), *sides, kind, offset)

    table = big(count=(2, 0), tensors=described_big("w", 4, 3) + described_big("q", 32, 1, kind=8, offset=64))
    padding = bytes(-len(table) % 32)
    path = written(tmp_path / "a.gguf", table + padding + values.tobytes() + bytes(16) + bytes(34))
    tensors = found(path)
    assert tensors["w"].shape == (3, 4)
    assert plain(tensors["w"].read()).tolist() == values.tolist()
    assert tensors["q"].unfit == "values of type Q8_0 in the byte order of another machine are not decoded"
    assert refusal(lambda: opened(written(tmp_path / "b.gguf", big(version=9)))).endswith(
        "a file of version 9; known are 2 and 3"
    )
    assert found(written(tmp_path / "c.gguf", gguf(version=2))) == {}
    assert "a file of version 0" in refusal(lambda: opened(written(tmp_path / "d.gguf", gguf(version=0))))


def test_metadata_of_every_type_is_passed_over(tmp_path):
    """Numbers, texts, arrays of them and arrays of arrays; the alignment is what was said."""
    scalars = [struct.pack("<I", kind) + struct.pack(f"<{code}", 1) for kind, code in enumerate("BbHhIif?")]
    scalars += [
        struct.pack("<I", kind) + struct.pack(f"<{code}", 1) for kind, code in ((10, "Q"), (11, "q"), (12, "d"))
    ]
    arrays = [struct.pack("<IIQ", 9, 5, 3) + bytes(12), struct.pack("<IIQ", 9, 8, 2) + word("a") + word("bc")]
    arrays.append(struct.pack("<IIQ", 9, 9, 1) + struct.pack("<IQ", 0, 5) + bytes(5))
    values = [*scalars, struct.pack("<I", 8) + word("words"), *arrays]
    pairs = b"".join(word(f"k{at}") + value for at, value in enumerate(values))
    for alignment in (None, 8, 64, 1):
        more = b"" if alignment is None else word("general.alignment") + struct.pack("<II", 4, alignment)
        number = len(values) + (alignment is not None)
        table = gguf(count=(1, number), pairs=pairs + more, tensors=described("w", 2, 3))
        padding = bytes(-len(table) % (alignment or 32))
        path = written(tmp_path / f"{alignment}.gguf", table + padding + np.arange(6, dtype="<f4").tobytes())
        assert plain(found(path)["w"].read()).tolist() == [[0, 1], [2, 3], [4, 5]]
    deep = struct.pack("<I", 9) + b"".join(struct.pack("<IQ", 9, 1) for _ in range(20))
    assert "metadata of the type 9" in refusal(
        lambda: opened(written(tmp_path / "deep.gguf", gguf(count=(0, 1), pairs=word("a") + deep)))
    )
    for value in (0, 3, 6, 2**32 - 1):
        pair = word("general.alignment") + struct.pack("<II", 4, value)
        assert f"an alignment of {value}, no power of two" in refusal(
            lambda pair=pair: opened(written(tmp_path / "al.gguf", gguf(count=(0, 1), pairs=pair)))
        )


def test_a_type_of_gguf_without_a_size_is_not_known(tmp_path, monkeypatch):
    kind = gguf_library.GGMLQuantizationType.F32
    monkeypatch.delitem(gguf_library.GGML_QUANT_SIZES, kind)
    table = gguf(count=(1, 0), tensors=described("w", 4, 3))
    path = written(tmp_path / "a.gguf", table + bytes(-len(table) % 32) + bytes(48))
    assert found(path)["w"].dtype == "gguf type 0"


@pytest.mark.parametrize(("depth", "sound"), [(9, True), (10, False)])
def test_arrays_inside_of_arrays_have_an_end(tmp_path, depth, sound):
    """Ten of them with the outermost; nothing of them is kept."""
    value = b"".join(struct.pack("<IQ", 9, 1) for _ in range(depth - 1)) + struct.pack("<IQ", 0, 1) + b"\0"
    pair = word("a") + struct.pack("<I", 9) + value
    path = written(tmp_path / "a.gguf", gguf(count=(0, 1), pairs=pair))
    if sound:
        assert found(path) == {}
    else:
        assert "metadata of the type 9" in refusal(lambda: opened(path))


def test_gguf_types_that_are_none_and_tensors_without_axes(tmp_path):
    q8 = 8
    table = gguf(
        count=(4, 0),
        tensors=described("a", 4, 3, kind=999)
        + described("b")
        + described("c", kind=q8)
        + described("d", 2, 1, 1, 1, 1, 1, 1, 3),
    )
    path = written(tmp_path / "a.gguf", table + bytes(-len(table) % 32) + bytes(64))
    tensors = found(path)
    assert tensors["a"].unfit == ("its type has the number 999, which the gguf package that is installed does not know")
    assert tensors["a"].dtype == "gguf type 999"
    assert (tensors["b"].shape, float(tensors["b"].read())) == ((), 0.0)
    assert tensors["c"].unfit == "a single value of type Q8_0"
    assert tensors["d"].shape == (3, 1, 1, 1, 1, 1, 1, 2)
    short = gguf(count=(1, 0), tensors=described("w", 4, 3))
    padded = short + bytes(-len(short) % 32)
    assert refusal(lambda: opened(written(tmp_path / "b.gguf", padded + bytes(47)))).endswith(
        f"it is cut short: a tensor of 48 bytes at {len(padded)} in a file of {len(padded) + 47}"
    )
    assert found(written(tmp_path / "c.gguf", padded + bytes(48)))["w"].shape == (3, 4)


def test_rows_of_llama_are_said_to_be_turned(tmp_path):
    arch = word("general.architecture") + struct.pack("<I", 8)
    for name, turned in (("llama", True), ("qwen2", False)):
        names = ["blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight", "xattn_q.weight"]
        table = gguf(count=(4, 1), pairs=arch + word(name), tensors=b"".join(described(one, 4, 3) for one in names))
        path = written(tmp_path / f"{name}.gguf", table + bytes(-len(table) % 32) + bytes(48))
        said = {one.name: one.remark for one in checkpoint_tensors(path)}
        assert [bool(said[one]) for one in names] == [turned, turned, False, False]
        assert not turned or said[names[0]] == (
            "rows in the order of GGUF, which is another than the model's and changes no singular value"
        )


@pytest.mark.parametrize(
    ("kind", "sides", "said"), [(1, (1,), "float16 of the shape (1,)"), (0, (3,), "float32 of the shape (3,)")]
)
def test_a_factor_of_another_type_or_number_is_refused(tmp_path, kind, sides, said):
    nvfp4 = gguf_library.GGMLQuantizationType.NVFP4
    per_block, size = gguf_library.GGML_QUANT_SIZES[nvfp4]
    table = gguf(
        count=(2, 0),
        tensors=described("a.weight", per_block, 2, kind=int(nvfp4))
        + described("a.scale", *sides, kind=kind, offset=128),
    )
    path = written(tmp_path / "a.gguf", table + bytes(-len(table) % 32) + bytes(max(128, 2 * size) + 12))
    assert f"the factor of 'a.weight' is {said}" in refusal(lambda: opened(path))


# ONNX.


def varint(number: int) -> bytes:
    raw = b""
    while number > 127:
        raw, number = raw + bytes([number & 127 | 128]), number >> 7
    return raw + bytes([number])


def test_onnx_messages_as_any_writer_has_them(tmp_path):
    """Packed sides, fields of fixed width and of no meaning between them, a tensor of no axes."""
    fixed = bytes([15 << 3 | 1]) + bytes(8) + bytes([3 << 3 | 5]) + bytes(4)
    packed = field(1, varint(200) + varint(3)) + b"\x10\x01" + fixed + field(8, b"w") + field(9, bytes(2400))
    single = b"\x10\x01" + field(8, b"s") + field(9, np.float32(7).tobytes())
    path = written(tmp_path / "a.onnx", bytes([1 << 3]) + varint(8) + onnx(packed, single) + field(2, b"torch"))
    tensors = found(path)
    assert (tensors["w"].shape, tensors["w"].dtype) == ((200, 3), "float32")
    assert (tensors["s"].shape, float(tensors["s"].read())) == ((), 7.0)
    for content, said in (
        (bytes([1 << 3 | 3]), "a field of the kind 3 at byte 1"),
        (field(7, field(1, b"\xff" * 3) + field(5, single)), "a damaged message ("),
        (field(7, b"x" * 9)[:-1], "it is cut short: a field of 9 bytes at 2 reaches beyond 10"),
    ):
        assert said in refusal(lambda content=content: opened(written(tmp_path / "b.onnx", content)))


def test_onnx_numbers_that_are_not_bytes(tmp_path):
    """float_data and its kind, in all and in part; another number of them than the shape says."""
    from onnx import TensorProto, helper

    truth = {"f": np.arange(6.0).reshape(2, 3), "i": np.arange(6).reshape(2, 3), "h": np.arange(6.0).reshape(2, 3) / 4}
    made = [
        helper.make_tensor("f", TensorProto.FLOAT, (2, 3), truth["f"].ravel()),
        helper.make_tensor("i", TensorProto.INT32, (2, 3), truth["i"].ravel()),
        helper.make_tensor("h", TensorProto.BFLOAT16, (2, 3), truth["h"].ravel()),
        helper.make_tensor("t", TensorProto.STRING, (2,), [b"a", b"b"]),
    ]
    onnx_library.save_model(helper.make_model(helper.make_graph([], "g", [], [], made)), tmp_path / "a.onnx")
    tensors = found(tmp_path / "a.onnx")
    for name, values in truth.items():
        np.testing.assert_array_equal(plain(tensors[name].read()), values)
        np.testing.assert_array_equal(plain(tensors[name].read((slice(None), slice(1, 3)))), values[:, 1:3])
    assert tensors["h"].dtype == "bfloat16"
    unfit = {name: one.unfit for name, one in opened(tmp_path / "a.onnx").headers.items()}
    assert unfit["t"] == "values of the type 8 of ONNX (text, or several in a byte) are not read"
    made[0].float_data.append(1.0)
    content = helper.make_model(helper.make_graph([], "g", [], [], made[:1])).SerializeToString()
    tensors = found(written(tmp_path / "b.onnx", content))
    refusal(tensors["f"].read)


def test_onnx_values_beside_a_file_that_is_too_short(tmp_path):
    """From where to where, and the last byte that is enough."""
    content = onnx(initialiser("w", None, location="w.bin", offset="4", length="48"))
    path = written(tmp_path / "a.onnx", content)
    written(tmp_path / "w.bin", bytes(51))
    assert refusal(lambda: opened(path)) == f"{path}: a tensor lies at bytes 4 to 52 of w.bin, which is shorter"
    written(tmp_path / "w.bin", bytes(4) + np.arange(12, dtype="<f4").tobytes())
    assert plain(found(path)["w"].read()).tolist() == np.arange(12.0).reshape(3, 4).tolist()
    written(path, onnx(initialiser("w", None, location="w.bin", offset="4")))
    assert plain(found(path)["w"].read((1, 2))).tolist() == 6.0


def dequantised(
    path: Path, codes: np.ndarray, scales: np.ndarray, zeros: np.ndarray | None, **told: int
) -> dict[str, Any]:
    from onnx import helper, numpy_helper

    parts = {"w": codes, "s": scales} | ({} if zeros is None else {"z": zeros})
    node = helper.make_node("DequantizeLinear", list(parts), ["y"], **told)
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in parts.items()]
    onnx_library.save_model(helper.make_model(helper.make_graph([node], "g", [], [], stored)), path)
    return found(path)


def test_scales_that_do_not_fit_leave_integers_as_they_are(tmp_path):
    codes, scale, zero = np.arange(-6, 6, dtype=np.int8).reshape(4, 3), np.float32(0.5), np.int8(1)
    path = tmp_path / "a.onnx"
    whole = dequantised(path, codes, scale, zero)["w"]
    assert whole.dtype == "int8 x scales"
    np.testing.assert_array_equal(plain(whole.read()), (codes - 1.0) * 0.5)
    without = dequantised(path, codes, scale, None)["w"]
    np.testing.assert_array_equal(plain(without.read()), codes * 0.5)
    rows = np.arange(1, 5, dtype=np.float32)
    along = dequantised(path, codes, rows, None, axis=-2)["w"]
    np.testing.assert_array_equal(plain(along.read()), codes * rows[:, None])
    np.testing.assert_array_equal(plain(along.read((2, slice(0, 2)))), codes[2, :2] * 3.0)
    np.testing.assert_array_equal(plain(along.read((slice(0, 4, 2), 1))), codes[::2, 1] * rows[::2])
    last = dequantised(path, codes, np.arange(1, 4, dtype=np.float32), np.ones(3, np.int8))["w"]
    np.testing.assert_array_equal(plain(last.read()), (codes - 1.0) * np.arange(1, 4))
    for scales, zeros, told in (
        (np.ones(5, np.float32), None, {}),
        (np.ones(3, np.float32), np.ones(2, np.int8), {}),
        (np.ones(4, np.float32), None, {"axis": 2}),
        (np.ones(3, np.float32), None, {"axis": -3}),
        (np.float64(0.5), None, {}),
        (scale, None, {"block_size": 2}),
    ):
        assert dequantised(path, codes, scales, zeros, **told)["w"].dtype == "int8"
    assert dequantised(path, codes.astype(np.float32), scale, None)["w"].dtype == "float32"
    assert dequantised(path, codes.astype(np.uint8), scale, None)["w"].dtype == "uint8 x scales"
    vector = dequantised(path, codes[0], scale, None, axis=0)["w"]
    np.testing.assert_array_equal(plain(vector.read()), codes[0] * 0.5)


def test_what_nodes_say_of_their_weights(tmp_path):
    """Groups and axes of a convolution; the name of a layer where a tensor's own was made up."""
    from onnx import helper, numpy_helper

    names = ["onnx::MatMul_7", "val_3", "own", "onnx::Conv_2", "onnx::Add_1"]
    stored = [
        numpy_helper.from_array(np.ones((2, 2, 1, 1) if "Conv" in one else (2, 2), np.float32), one) for one in names
    ]
    nodes = [
        helper.make_node("MatMul", ["x", names[0]], ["a"], name="/encoder/layer.0/fc/MatMul"),
        helper.make_node("Gemm", ["x", names[1]], ["b"], name="/head/Gemm"),
        helper.make_node("MatMul", ["x", names[2]], ["c"], name="/encoder/q/MatMul"),
        helper.make_node("Conv", ["x", names[3]], ["d"], name="Conv_1", group=2),
        helper.make_node("Add", ["x", names[4]], ["e"], name="/a/b/Add"),
        helper.make_node("Relu", ["x"], ["f"], name="/a/b/Relu"),
    ]
    onnx_library.save_model(helper.make_model(helper.make_graph(nodes, "g", [], [], stored)), tmp_path / "a.onnx")
    tensors = found(tmp_path / "a.onnx")
    assert list(tensors) == ["encoder.layer.0.fc.weight", "head.weight", "own", "onnx::Conv_2", "onnx::Add_1"]
    assert dict(tensors["onnx::Conv_2"].facts) == {"axes": (0, 1), "groups": 2}
    assert dict(tensors["own"].facts) == {}


# Keras.


def h5(path: Path, **datasets: Any) -> dict[str, Any]:
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            value(file) if callable(value) else file.create_dataset(name, data=value)
    return found(path)


def test_keras_datasets_of_every_kind(tmp_path):
    def odd(file: Any) -> None:
        file.create_dataset("empty/kernel", data=h5py.Empty("f4"))
        file.create_dataset("words/kernel", data=["a", "b"], dtype=h5py.string_dtype())
        half = file.create_dataset("half/kernel", data=np.array([[0x3F80, 0x4000]], np.uint16))
        half.attrs["dtype"] = "bfloat16"
        packed = file.create_dataset("packed/kernel", data=np.ones((4, 4), np.uint16), chunks=(2, 2))
        packed.attrs["dtype"] = "bfloat16"
        file.create_dataset("big/kernel", data=np.arange(6.0).reshape(2, 3), dtype=">f8")
        file.create_dataset("chunks/kernel", data=np.arange(20.0).reshape(4, 5), chunks=(2, 2), compression="gzip")

    tensors = h5(tmp_path / "a.h5", odd=odd)
    assert tensors["empty.kernel"].unfit == "it is an empty dataset"
    assert "are no plain numbers" in tensors["words.kernel"].unfit
    assert (tensors["half.kernel"].dtype, tensors["half.kernel"].read().tolist()) == ("bfloat16", [[1.0, 2.0]])
    assert tensors["packed.kernel"].unfit == "values of type bfloat16 in chunks are not read"
    assert tensors["packed.kernel"].dtype == "bfloat16"
    assert plain(tensors["big.kernel"].read()).tolist() == [[0, 1, 2], [3, 4, 5]]
    chunks = np.arange(20.0).reshape(4, 5)
    np.testing.assert_array_equal(tensors["chunks.kernel"].read((slice(1, 4), slice(0, 5, 2))), chunks[1:4, ::2])
    np.testing.assert_array_equal(tensors["chunks.kernel"].read((2,)), chunks[2])


def test_names_of_keras_variables(tmp_path):
    """By class where they are numbered, by their own names else; a variable too many keeps its number."""
    W, b = np.ones((3, 2)), np.ones(2)
    kernel = np.ones((3, 3, 2, 4))

    def named(file: Any) -> None:
        for path, value in {
            "layers/dense/vars/0": W, "layers/dense/vars/1": b, "layers/embedding_3/vars/0": W,
            "layers/batch_normalization/vars/0": b, "layers/batch_normalization/vars/3": b,
            "layers/batch_normalization/vars/4": b, "layers/separable_conv2d/vars/0": kernel,
            "layers/separable_conv2d/vars/1": np.ones((1, 1, 2, 4)), "layers/separable_conv2d/vars/2": b,
            "layers/depthwise_conv2d/vars/0": kernel, "layers/own/vars/0": b, "layers/own/vars/1": W,
            "layers/lstm/cell/vars/1": W, "layers/layer_normalization/vars/0": b,
            "layers/group_normalization/vars/1": b,
            "_layer_checkpoint_dependencies/optimizer/vars/0": W, "optimizer_weights/x": W, "optimizers/vars/0": W,
        }.items():  # fmt: skip
            file.create_dataset(path, data=value)
        file["layers/dense/vars"].attrs["name"] = "head"

    tensors = h5(tmp_path / "a.weights.h5", named=named)
    assert sorted(tensors) == sorted(
        [
            *("head.kernel", "head.bias", "embedding_3.embeddings", "batch_normalization.gamma"),
            *("batch_normalization.moving_variance", "batch_normalization.vars.4"),
            *("separable_conv2d.depthwise_kernel", "separable_conv2d.pointwise_kernel", "separable_conv2d.bias"),
            *("depthwise_conv2d.depthwise_kernel", "own.vars.0", "own.vars.1", "lstm.cell.recurrent_kernel"),
            *("layer_normalization.gamma", "group_normalization.beta", "optimizers.kernel"),
        ]
    )
    assert dict(tensors["separable_conv2d.pointwise_kernel"].facts) == {"axes": (3, 2)}
    assert dict(tensors["separable_conv2d.depthwise_kernel"].facts) == {}


def test_two_datasets_of_one_name_keep_their_paths(tmp_path):
    W = np.ones((3, 2))

    def twice(file: Any) -> None:
        for name in ("a", "b"):
            file.create_dataset(f"layers/{name}/vars/0", data=W)
            file[f"layers/{name}/vars"].attrs["name"] = "same"

    assert list(h5(tmp_path / "a.weights.h5", twice=twice)) == ["same.kernel", "layers.b.vars.0"]

    def thrice(file: Any) -> None:
        twice(file)
        file.create_dataset("x/layers.b.vars.0", data=W)
        file.create_dataset("layers.b.vars.0", data=W)

    assert "two of its datasets stand for 'layers.b.vars.0'" in refusal(
        lambda: h5(tmp_path / "b.weights.h5", thrice=thrice)
    )


def test_names_of_older_keras_files(tmp_path):
    W = np.ones((3, 2))
    tensors = h5(
        tmp_path / "a.h5",
        one=lambda file: [
            file.create_dataset(path, data=W)
            for path in ("model_weights/fc/fc/kernel:0", "deep/net/deep/kernel:12", "plain/kernel", "alone", "x/vars/y")
        ],
    )
    assert sorted(tensors) == ["alone", "deep.kernel", "fc.kernel", "plain.kernel", "x.vars.y"]
    config = {
        "class_name": "M",
        "config": {"name": "net", "layers": [{"class_name": "Conv2D", "config": {"name": "c"}}]},
    }
    assert dict(keras_file._classes(config)) == {"net": "M", "c": "Conv2D"}
    assert dict(keras_file._classes([{"config": {"name": 3}}, {"config": []}, "x"])) == {}


def test_a_config_has_an_end(monkeypatch):
    monkeypatch.setattr(keras_file, "MOST", 5)
    assert list(keras_file._classes([1, 2, 3, 4])) == []
    with pytest.raises(ValueError, match="a config without an end"):
        list(keras_file._classes([1, 2, 3, 4, 5]))


# Archives.


def archive(path: Path, *members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as made:
        for name, content in members:
            made.writestr(name, content)
    return path


def test_members_word_for_word(tmp_path):
    path = archive(tmp_path / "a.zip", ("m", b"0123456789"), ("é", b"x"))
    content = path.read_bytes()
    directory = content.index(b"PK\x01\x02")

    def changed(at: int, byte: bytes) -> Any:
        written(path, content[:at] + byte + content[at + len(byte) :])
        with Handle(path) as handle:
            return zip_members.archive_of(handle).block("m")

    assert changed(0, content[:1]).place == (31, 10)
    cases = {
        (directory + 8, b"\x01"): "the member 'm' is encrypted",
        (0, b"XX"): "the member 'm' is not where the directory of the archive says",
        (30, b"n"): "the member 'm' of the directory is called b'n' where it lies",
        (directory + 10, b"\x0c"): "the member 'm' is packed by bzip2; accepted are stored and deflated ones",
        (directory + 10, b"\x0e"): "the member 'm' is packed by LZMA; accepted are stored and deflated ones",
        (directory + 10, b"\x5d"): "the member 'm' is packed by zstandard; accepted are stored and deflated ones",
        (directory + 10, b"\x63"): "the member 'm' is packed by method 99; accepted are stored and deflated ones",
        (directory + 24, b"\x0b"): "the member 'm' is stored as it is in another size than its own",
        (directory + 20, b"\xff\xff"): "it is cut short: the member 'm' reaches beyond its end",
    }
    for (at, byte), said in cases.items():
        assert refusal(lambda at=at, byte=byte: changed(at, byte)) == f"{path}: {said}"
    with Handle(written(path, content)) as handle:
        made = zip_members.archive_of(handle)
        assert (made.read("m"), made.read("é"), made.head("m", 3), made.head("m", 99)) == (
            b"0123456789",
            b"x",
            b"012",
            b"0123456789",
        )
        assert made.unpacked_size() == 11
        assert made.place("m", "X") == (31, 10)
        assert refusal(lambda: made.place("n", "X")) == f"{path}: it is a zip archive without the member n of X"
        assert (
            made.structure()
            == repr([("m", 10, 10, made.members["m"].CRC), ("é", 1, 1, made.members["é"].CRC)]).encode()
        )
    with Handle(archive(path, ("m", bytes(1000)), method=zipfile.ZIP_DEFLATED)) as handle:
        made = zip_members.archive_of(handle)
        assert refusal(lambda: made.place("m", "X")) == (
            f"{path}: the member m is deflated, which X never does; write the archive anew"
        )
        assert made.head("m", 10) == bytes(10)
    bomb = SimpleNamespace(file_size=2**26 + 1, compress_size=2**26 // 100)
    sound = SimpleNamespace(file_size=2**26, compress_size=1)
    assert zip_members.Archive(None, {"a": bomb, "b": sound}).unpacked_size() == 2**26  # type: ignore[arg-type, dict-item]


@pytest.mark.parametrize(
    ("content", "zipped"), [(b"PK\3\4", True), (b"PK\5\6", True), (b"PK\3", False), (b"PK\1\2x", False)]
)
def test_an_archive_is_told_by_its_first_four_bytes(tmp_path, content, zipped):
    with Handle(written(tmp_path / "a", content)) as handle:
        assert zip_members.is_zip(handle) is zipped


@pytest.mark.parametrize(
    ("content", "is_one"), [(b"\x89HDF\r\n\x1a\n", True), (b"\x89HDF\r\n\x1a", False), (b"x" * 8, False)]
)
def test_an_hdf5_file_is_told_by_its_first_eight_bytes(tmp_path, content, is_one):
    with Handle(written(tmp_path / "a", content)) as handle:
        assert keras_file._is_hdf5(handle) is is_one


# Exported programs.


def exported(path: Path, config: Any, **members: bytes) -> Path:
    listed = [("a/data/weights/model_weights_config.json", json.dumps(config).encode())]
    return archive(path, *listed, *((name.replace("__", "/"), content) for name, content in members.items()))


def entry(**more: Any) -> dict[str, Any]:
    meta = {"dtype": 7, "sizes": [{"as_int": 2}, {"as_int": 3}], "strides": [{"as_int": 3}, {"as_int": 1}]}
    return {"path_name": "w0", "use_pickle": False, "tensor_meta": {**meta, "storage_offset": {"as_int": 0}, **more}}


VALUES = np.arange(6, dtype="<f4")


def test_weights_of_a_program(tmp_path):
    data = {"a__data__weights__w0": VALUES.tobytes()}
    tensors = found(exported(tmp_path / "a.pt2", {"config": {"fc.weight": entry()}}, **data))
    assert tensors["fc.weight"].read().tolist() == [[0, 1, 2], [3, 4, 5]]
    turned = {"a__data__weights__w0": VALUES.byteswap().tobytes(), "a__byteorder": b"big"}
    tensors = found(exported(tmp_path / "b.pt2", {"config": {"w": entry()}}, **turned))
    assert tensors["w"].read().tolist() == [[0, 1, 2], [3, 4, 5]]
    part = entry(sizes=[2], strides=[2], storage_offset=1)
    tensors = found(exported(tmp_path / "c.pt2", {"config": {"w": part}}, **data, a__byteorder=b"little"))
    assert tensors["w"].read().tolist() == [1, 3]
    pickled = {**entry(), "use_pickle": True}
    tensors = found(exported(tmp_path / "d.pt2", {"config": {"w": pickled}}, **data))
    assert tensors["w"].unfit == "its values are pickled, which an exported program seldom is"
    two = [
        (f"a/data/weights/{name}_weights_config.json", json.dumps({"config": {"w": entry()}}).encode()) for name in "mn"
    ]
    path = archive(tmp_path / "e.pt2", *two, ("a/data/weights/w0", VALUES.tobytes()))
    assert list(found(path)) == ["m.w", "n.w"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ([], "AttributeError"),
        ({}, "a table of weights without a config"),
        ({"config": []}, "a table of weights without a config"),
        ({"config": {"w": {}}}, "a tensor of the type None"),
        ({"config": {"w": 3}}, "a tensor of the type None"),
        ({"config": {"w": entry(dtype=99)}}, "a tensor of the type {'dtype': 99"),
        ({"config": {"w": {**entry(), "path_name": "w9"}}}, "the member 'a/data/weights/w9' is not in it"),
        ({"config": {"w": entry(sizes=[{"as_expr": "s0"}])}}, "a size that is no number ({'as_expr': 's0'})"),
        ({"config": {"w": entry(storage_offset=1.5)}}, "a size that is no number (1.5)"),
    ],
)
def test_tables_of_a_program_that_make_no_sense(tmp_path, config, said):
    path = exported(tmp_path / "a.pt2", config, a__data__weights__w0=VALUES.tobytes())
    assert said in refusal(lambda: opened(path))
    other = archive(tmp_path / "b.pt2", ("a/version", b"1"))
    assert refusal(lambda: opened(other)).endswith(
        "it is an archive without a table data/weights/*_weights_config.json; export it by torch 2.9"
    )


# What pickles of torch make.

UTILS = "torch._utils"
FLOAT = b"ctorch\nfloat32\n"
PLACED = tensor((3, 4), (4, 1))


def pickled(tmp_path: Path, value: bytes) -> Any:
    return found(written(tmp_path / "a.pt", torch_archive(mapping(w=value))))["w"]


def test_tensors_without_values_say_why(tmp_path):
    sides = several(b"K\x03", b"K\x04")
    hooks = called("collections", "OrderedDict", b")")
    lazily = several(
        storage(12), b"K\x00", sides, several(b"K\x04", b"K\x01"), b"\x89", hooks, mapping(conj=b"\x88", neg=b"\x88")
    )
    bits = several(
        storage(48, kind="QUInt4x2Storage"), b"K\x00", sides, several(b"K\x04", b"K\x01"), several(b"N"), b"\x89", b"}"
    )
    layout = called("torch.serialization", "_get_layout", several(text("torch.sparse_csr")))
    calls = {
        "_rebuild_nested_tensor": several(PLACED, b"N", b"N", b"N"),
        "_rebuild_meta_tensor_no_storage": several(FLOAT, sides, b"N", b"\x89"),
        "_rebuild_wrapper_subclass": several(b"cmy\nTensor\n", FLOAT, sides),
        "_rebuild_device_tensor_from_cpu_tensor": several(PLACED, FLOAT, text("xla"), b"\x89"),
        "_rebuild_xla_tensor": several(b"N", FLOAT, text("xla"), b"\x89"),
        "_rebuild_tensor_v2": lazily,
        "_rebuild_qtensor": bits,
        "_rebuild_sparse_tensor": several(layout, several(PLACED, PLACED, sides)),
    }
    elsewhere = "it was saved from a device that torch has no files of"
    wanted = [
        ((0, 0), "its shape is not that of a matrix: it is a nested tensor"),
        ((3, 4), "it lies on the meta device and has no values"),
        ((3, 4), "it is a tensor of the class my.Tensor"),
        ((3, 4), elsewhere),
        ((0, 0), elsewhere),
        ((3, 4), "its values are to be changed when they are read (conj, neg)"),
        ((3, 4), "packed or quantised integers of type quint4x2 are not weights"),
        ((3, 4), "it is a sparse tensor (torch.sparse_csr)"),
    ]
    told = {name: (called(UTILS, name, calls[name]), *one) for name, one in zip(calls, wanted, strict=True)}
    unknown = "its shape is not that of a matrix: my.make makes it, which is not known here"
    told["unknown"] = (called("my", "make", several(storage(12))), (0, 0), unknown)
    for name, (value, shape, said) in told.items():
        made = pickled(tmp_path, value)
        assert (made.shape, made.unfit) == (shape, said), name
        assert made.dtype in ("float32", "quint4x2"), name


def test_tensors_inside_of_calls(tmp_path):
    """Parameters, types of their own, typed storages, arrays of numpy's by every way."""
    hooks = called("collections", "OrderedDict", b")")
    parameter = called(UTILS, "_rebuild_parameter", several(PLACED, b"\x88", hooks))
    laid = several(storage(12), b"K\x00", several(b"K\x03", b"K\x04"), several(b"K\x04", b"K\x01"))
    rebuilt = several(b"ctorch._utils\n_rebuild_tensor\n", b"cmy\nOwn\n", laid, b"}")
    own = called("torch._tensor", "_rebuild_from_type_v2", rebuilt)
    sides, steps = several(b"K\x02", b"K\x03"), several(b"K\x03", b"K\x01")
    untyped = storage(48, kind="UntypedStorage")
    typed = called(UTILS, "_rebuild_tensor_v3", several(untyped, b"K\x04", sides, steps, b"\x89", hooks, FLOAT))
    assert pickled(tmp_path, parameter).read().tolist() == np.arange(12.0).reshape(3, 4).tolist()
    assert pickled(tmp_path, own).read().tolist() == np.arange(12.0).reshape(3, 4).tolist()
    # The offset of a typed storage counts its values.
    assert pickled(tmp_path, typed).read().tolist() == [[4, 5, 6], [7, 8, 9]]
    for array in (
        np.arange(6.0).reshape(2, 3),
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.asfortranarray(np.eye(2, 3)),
    ):
        for protocol in (2, 5):
            content = pickle.dumps({"w": array}, protocol)
            zipped = archive(tmp_path / "n.pt", ("a/data.pkl", content), ("a/version", b"3\n"))
            made = found(zipped)["w"]
            np.testing.assert_array_equal(plain(made.read()), array)
    scalar = archive(tmp_path / "s.pt", ("a/data.pkl", pickle.dumps({"w": np.float64(2.5)}, 2)), ("a/version", b"3\n"))
    assert float(plain(found(scalar)["w"].read())) == 2.5
    objects = archive(
        tmp_path / "o.pt", ("a/data.pkl", pickle.dumps({"w": np.array([None])}, 2)), ("a/version", b"3\n")
    )
    assert found(objects)["w"].unfit == "values of type object cannot be read as real weights: they are pickled"
    dates = np.zeros((2, 2), "M8[s]")
    dated = archive(tmp_path / "d.pt", ("a/data.pkl", pickle.dumps({"w": dates}, 2)), ("a/version", b"3\n"))
    assert found(dated)["w"].unfit


@pytest.mark.parametrize("kind", [dict, OrderedDict, Counter, partial(defaultdict, list)])
@pytest.mark.parametrize("protocol", [2, 4])
def test_tensors_inside_of_mappings_of_pythons(tmp_path, kind, protocol):
    """Of whatever class: a wrapper, and a mapping inside of it."""
    held = kind({"w": torch.arange(12.0).reshape(3, 4)})
    path = tmp_path / "a.pt"
    torch.save({"state_dict": kind({"layer": held}), "steps": Counter("aab")}, path, pickle_protocol=protocol)
    (one,) = checkpoint_tensors(path)
    assert one.name == "layer.w"
    assert one.read().tolist() == np.arange(12.0).reshape(3, 4).tolist()


def test_a_type_of_numpy_in_five_words_is_one(tmp_path):
    """As early versions of it wrote their types; later ones say more."""
    kind = called("numpy", "dtype", several(text("f8"))) + several(b"K\x03", text("<"), b"NNN") + b"b"
    content = np.arange(6, dtype="<f8").tobytes()
    held = several(b"K\x01", several(b"K\x02", b"K\x03"), kind, b"\x89", b"C" + bytes([len(content)]) + content)
    made = called("numpy.core.multiarray", "_reconstruct", several(b"cnumpy\nndarray\n", several(b"K\x00"), b"C\x01b"))
    assert pickled(tmp_path, made + held + b"b").read().tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_tar_archive_may_end_with_its_last_member(tmp_path):
    """Without the blocks that pad it and end the archive."""
    content = torch_tar().rstrip(b"\0")
    assert opened(written(tmp_path / "a.pt", content)).read("w").tolist() == np.arange(12.0).reshape(3, 4).tolist()
    assert "a tar archive that is cut short" in refusal(lambda: opened(written(tmp_path / "b.pt", content[:-1])))


def test_what_a_storage_holds_is_not_exceeded(tmp_path):
    for shape, strides, offset, said in (
        ((3, 4), (4, 1), 1, "the shape (3, 4) with strides (4, 1) at 1 in a storage of 12 values"),
        ((4, 4), (4, 1), 0, "the shape (4, 4) with strides (4, 1) at 0 in a storage of 12 values"),
        ((3, 4), (4,), 0, "a tensor of 2 dimensions with 1 strides"),
        (
            (1000, 1000),
            (0, 0),
            0,
            "the shape (1000, 1000) with strides (0, 0) repeats values beyond the size of the file",
        ),
    ):
        path = written(tmp_path / "a.pt", torch_archive(mapping(w=tensor(shape, strides, offset))))
        assert said in refusal(lambda path=path: opened(path))
    last = found(written(tmp_path / "a.pt", torch_archive(mapping(w=tensor((2, 4), (4, 1), 4)))))["w"]
    assert last.read().tolist() == np.arange(4.0, 12).reshape(2, 4).tolist()
    one = found(written(tmp_path / "a.pt", torch_archive(mapping(w=tensor((1, 4), (99, 1), 0)))))["w"]
    assert one.read().tolist() == [[0, 1, 2, 3]]


def test_tied_tensors_are_one(tmp_path):
    parts = mapping(a=PLACED, b=PLACED, c=tensor((4, 3), (3, 1)), d=tensor((2, 4), (4, 1)), e=tensor((2, 4), (4, 1), 4))
    tensors = found(written(tmp_path / "a.pt", torch_archive(parts)))
    assert {name: one.same_as for name, one in tensors.items()} == {"a": "", "b": "a", "c": "", "d": "", "e": ""}


# Distributed checkpoints.


def test_parts_that_are_compressed_are_said_to_be(tmp_path):
    part = kinds.ChunkStorageMetadata(torch.Size((0, 0)), torch.Size((3, 4)))
    properties = kinds.TensorProperties(dtype=torch.float32)
    known = kinds.TensorStorageMetadata(properties, torch.Size((3, 4)), [part])
    info = _StorageInfo("0.distcp", 0, 9)
    object.__setattr__(info, "transform_descriptors", ["zstd"])
    stored = {kinds.MetadataIndex("w", torch.Size((0, 0))): info}
    content = pickle.dumps(kinds.Metadata({"w": known}, {"w": ("w",)}, stored))
    written(tmp_path / ".metadata", content)
    (one,) = checkpoint_tensors(tmp_path)
    assert one.unfit == "its parts are compressed or encrypted (transform_descriptors)"
    assert (one.shape, one.dtype) == ((3, 4), "float32")


def test_metadata_has_an_end(tmp_path, monkeypatch):
    path = written(tmp_path / ".metadata", b"N.")
    monkeypatch.setattr(torch_distributed, "MAX_METADATA", 1)
    assert refusal(lambda: opened(path)).endswith("metadata of 2 bytes")
    monkeypatch.setattr(torch_distributed, "MAX_METADATA", 2)
    assert "it is no metadata of torch.distributed.checkpoint" in refusal(lambda: opened(path))


@pytest.mark.parametrize("place", [range(2, 9), range(0, 10, 3), range(9, 10), range(1, 8, 2), 4, 0])
@pytest.mark.parametrize(("at", "side"), [(0, 10), (3, 4), (8, 2), (0, 1), (4, 1), (9, 1)])
def test_where_places_lie_in_a_part(place, at, side):
    """By going through them one by one."""
    whole = np.arange(10)
    part = whole[at : at + side]
    told = torch_distributed._overlap(place, at, side)
    if isinstance(place, int):
        wanted = whole[place] if at <= place < at + side else None
        assert (None if told is None else part[told[1]]) == wanted
        return
    inside = [number for number in place if at <= number < at + side]
    if told is None:
        assert not inside
        return
    target, source = told
    made = np.full(len(place), -1)
    made[target] = part[source]
    assert made.tolist() == [number if number in inside else -1 for number in place]


# Safetensors.


def test_half_bytes_and_types_of_their_own(tmp_path):
    """Two values a byte along the last axis; six bits, which nothing reads; one of every type that torch has."""

    def head(**tensors: tuple[str, list[int], int]) -> bytes:
        at, told = 0, {}
        for name, (code, shape, size) in tensors.items():
            told[name] = {"dtype": code, "shape": shape, "data_offsets": [at, at + size]}
            at += size
        return safetensors(told, bytes(at))

    content = head(
        a=("F4", [3, 4], 6), b=("F4", [4, 1], 2), c=("F6_E2M3", [4, 1], 3), d=("BOOL", [2, 2], 4),
        e=("C64", [2, 2], 32), f=("F8_E8M0", [2, 2], 4), g=("F8_E4M3FNUZ", [2, 2], 4), h=("F8_E5M2FNUZ", [2, 2], 4),
        i=("BF16", [2, 2], 8),
    )  # fmt: skip
    one = opened(written(tmp_path / "a.safetensors", content))
    tensors = one.headers
    assert tensors["a"].shape == (3, 4)
    assert tensors["b"].unfit == "an odd number of values of four bits"
    assert tensors["c"].unfit == "the type F6_E2M3 packs values across bytes, which torch has no type for"
    dtypes = {name: str(one.read(name).dtype) for name in "defghi"}
    assert dtypes == {
        "d": "torch.bool", "e": "torch.complex64", "f": "torch.float8_e8m0fnu", "g": "torch.float8_e4m3fnuz",
        "h": "torch.float8_e5m2fnuz", "i": "torch.bfloat16",
    }  # fmt: skip
    for content, said in (
        (bytes(7), "it is cut short: a safetensors file has a header, this one 7 bytes"),
        (bytes(8), "its header is no JSON object"),
        (struct.pack("<Q", 9) + b"{}", "its header is to have 9 bytes; the file has 10"),
        (struct.pack("<Q", 100_000_001) + b"{}", "its header is to have 100000001 bytes; the file has 10"),
        (
            safetensors({"w": {"dtype": "F32", "shape": [2]}}),
            "the header of 'w' lacks its dtype, shape or data_offsets",
        ),
        (head(w=("F32", [2, 2], 12)), "'w' has 12 bytes; its shape and type need 16"),
        (head(w=("F6_E2M3", [3], 2)), "'w' has 2 bytes; its shape and type need 2"),
        (head(w=("F32", [2], 8)) + b"x", "it is cut short or too long: its header ends at byte"),
        (struct.pack("<Q", 20) + b'{"a": 1, "a": 2}    ', "the header names 'a' twice"),
    ):
        assert said in refusal(lambda content=content: opened(written(tmp_path / "b.safetensors", content)))
    empty = written(tmp_path / "c.safetensors", struct.pack("<Q", 2) + b"{}")
    assert found(empty) == {}


# Folders.


@pytest.mark.parametrize(
    ("name", "is_model"),
    [
        *(("optimizer.pt", False), ("optimizer_0.bin", False), ("scheduler.pt", False), ("lr_scheduler.pt", False)),
        *(("grad_scaler.pt", False), ("scaler.pt", False), ("training_args.bin", False), ("trainer_args.pt", False)),
        *(
            ("train_args.pt", False),
            ("rng_state.pth", False),
            ("rng_state_3.pth", False),
            ("random_states_0.pkl", False),
        ),
        *(
            ("sampler.bin", False),
            ("custom_checkpoint_1.pkl", False),
            ("optim.pt", False),
            ("optim_state_dict.pt", False),
        ),
        *(
            ("args.bin", False),
            ("x_optim_states.pt", False),
            ("consolidated.00.pth", False),
            ("trainer_state.pt", False),
        ),
        *(("net.pt", True), ("model.bin", True), ("my_optimizer.pt", True), ("argsx.bin", True), ("optim_x.pt", True)),
        *(
            ("optimizer.txt", True),
            ("optimizer.safetensors", False),
            ("optimizer.npz", False),
            ("xconsolidated.pt", True),
        ),
    ],
)
def test_what_training_leaves_beside_a_model(name, is_model):
    assert (folder.NO_MODEL.search(name) is None) is is_model


def layer_file(path: Path, name: str = "fc.weight") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: torch.ones(4, 3)}, path)
    return path


def test_folders_without_a_model_word_for_word(tmp_path):
    written(tmp_path / "a" / "optimizer.pt", b"x")
    written(tmp_path / "a" / "args.bin", b"x")
    written(tmp_path / "a" / "notes.txt", b"x")
    kinds_ = ", ".join(folder.accepted())
    assert refusal(lambda: checkpoint_files(tmp_path / "a"), ww.InvalidInput) == (
        f"the directory {str(tmp_path / 'a')!r} was asked; it holds no file ending in {kinds_} but args.bin, "
        "optimizer.pt, which training leaves beside a model"
    )
    (tmp_path / "b").mkdir()
    assert refusal(lambda: checkpoint_files(tmp_path / "b"), ww.InvalidInput) == (
        f"the directory {str(tmp_path / 'b')!r} was asked; it holds no file ending in {kinds_}"
    )
    written(tmp_path / "c" / "0.distcp", b"x")
    assert refusal(lambda: checkpoint_files(tmp_path / "c")) == (
        f"{tmp_path / 'c'}: it holds *.distcp without the .metadata that says what lies in them"
    )
    layer_file(tmp_path / "d" / "model.fp16.safetensors")
    layer_file(tmp_path / "d" / "model.fp32.safetensors")
    assert refusal(lambda: checkpoint_files(tmp_path / "d"), ww.InvalidInput) == (
        f"the directory {str(tmp_path / 'd')!r} was asked; it holds the variants model.fp16.safetensors, "
        "model.fp32.safetensors. Accepted is one of them: name the file"
    )
    for number in (2, 4, 5, 6, 7, 8):
        layer_file(tmp_path / "e" / f"m-0000{number}-of-00008.safetensors", f"{number}.weight")
    assert refusal(lambda: checkpoint_files(tmp_path / "e")) == (
        f"{tmp_path / 'e'}: 2 of 8 shards are missing (m-00001-of-00008.safetensors, m-00003-of-00008.safetensors). "
        "Fetch them, or name one file"
    )
    for number in range(2):
        layer_file(tmp_path / "f" / f"m-0000{number}-of-00002.safetensors", f"{number}.weight")
    assert len(checkpoint_files(tmp_path / "f")) == 2
    written(tmp_path / "g" / "consolidated.00.pth", b"x")
    assert [file.name for file in checkpoint_files(tmp_path / "g")] == ["consolidated.00.pth"]


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["net.npz", "net.pt", "net.safetensors"], ["net.safetensors"]),
        (["net.npz", "net.pt"], ["net.pt"]),
        (["b.npz", "a.npy"], ["a.npy", "b.npz"]),
        (["model-a.safetensors", "other.safetensors"], ["model-a.safetensors"]),
        (["pytorch_model-x.bin", "other.bin"], ["pytorch_model-x.bin"]),
        (["model.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        (["diffusion_pytorch_model.safetensors", "pytorch_model.bin"], ["diffusion_pytorch_model.safetensors"]),
        (["adapter_model.bin", "x.bin"], ["adapter_model.bin"]),
        (["a.gguf", "b.onnx"], ["a.gguf"]),
        (["model.fp16.safetensors", "x.safetensors"], ["model.fp16.safetensors"]),
        (["x10.pt", "x9.pt"], ["x9.pt", "x10.pt"]),
    ],
)
def test_which_files_of_a_folder_come_first(tmp_path, names, wanted):
    for name in names:
        written(tmp_path / name, b"x")
    assert [file.name for file in checkpoint_files(tmp_path)] == wanted


def test_the_file_that_a_config_names(tmp_path):
    for name in ("model.safetensors", "other.safetensors", "shard.safetensors"):
        layer_file(tmp_path / name)
    written(tmp_path / "own.safetensors.index.json", json.dumps({"weight_map": {"fc.weight": "shard.safetensors"}}))
    for named, wanted in (
        ("other.safetensors", "other.safetensors"),
        ("own.safetensors.index.json", "shard.safetensors"),
        ("none.safetensors", "model.safetensors"),
        ("config.json", "model.safetensors"),
        (3, "model.safetensors"),
    ):
        written(tmp_path / "config.json", json.dumps({"transformers_weights": named}))
        assert [file.name for file in checkpoint_files(tmp_path)] == [wanted]
    written(tmp_path / "b" / "net.pt.index.json", json.dumps({"weight_map": {"w": "x.pt"}}))
    written(tmp_path / "b" / "x.pt", b"x")
    written(tmp_path / "b" / "y.pt", b"x")
    assert [file.name for file in checkpoint_files(tmp_path / "b")] == ["x.pt"]


@pytest.mark.parametrize("named", ["/x.pt", "../x.pt", "a\\b.pt", "a\0.pt", "x.txt", "", "a/../../x.pt"])
def test_an_index_names_files_beside_it_word_for_word(tmp_path, named):
    path = written(tmp_path / "model.safetensors.index.json", json.dumps({"weight_map": {"w": named}}))
    assert refusal(lambda: checkpoint_files(path)) == (
        f"{path}: it names the file {named!a}; accepted are files beside it ending in {', '.join(folder.accepted())}"
    )
    written(path, json.dumps({"weight_map": {"w": 3}}))
    assert refusal(lambda: checkpoint_files(path)) == f"{path}: it names a int where a file belongs"
    written(path, json.dumps({"weight_map": {"w": "sub/x.pt"}}))
    assert refusal(lambda: checkpoint_files(path)) == (
        f"{tmp_path / 'sub' / 'x.pt'}: named in model.safetensors.index.json but not there"
    )
    written(tmp_path / "sub" / "x.pt", b"x")
    assert checkpoint_files(path) == [tmp_path / "sub" / "x.pt"]


def test_an_index_has_an_end(tmp_path, monkeypatch):
    path = written(tmp_path / "model.safetensors.index.json", "{}")
    monkeypatch.setattr(folder, "MAX_INDEX", 1)
    assert refusal(lambda: checkpoint_files(path)).endswith("an index of 2 bytes")
    monkeypatch.setattr(folder, "MAX_INDEX", 2)
    assert refusal(lambda: checkpoint_files(path)).endswith("it has no weight_map, a mapping of tensors to files")


def test_what_lies_beside_a_config_belongs_to_it(tmp_path, monkeypatch, caplog):
    """Under the key where it belongs, where the config itself says nothing there."""
    written(tmp_path / "config.json", json.dumps({"a": 1}))
    written(tmp_path / "quantize_config.json", json.dumps({"bits": 4}))
    written(tmp_path / "adapter_config.json", json.dumps({"r": 8}))
    written(tmp_path / "hf_quant_config.json", json.dumps({"quantization": {"bits": 8}}))
    assert folder.config_of(tmp_path) == {"a": 1, "quantization_config": {"bits": 4}, "adapter_config": {"r": 8}}
    (tmp_path / "quantize_config.json").unlink()
    assert folder.config_of(tmp_path)["quantization_config"] == {"bits": 8}
    written(tmp_path / "config.json", json.dumps({"quantization_config": {"own": 1}}))
    assert folder.config_of(tmp_path / "net.safetensors")["quantization_config"] == {"own": 1}
    save_file({"w": torch.ones(2, 2)}, tmp_path / "m.safetensors", metadata={"format": "mlx"})
    assert folder.config_of(tmp_path)["weights_format"] == "mlx"
    assert folder.config_of(tmp_path / "m.safetensors")["weights_format"] == "mlx"
    save_file({"w": torch.ones(2, 2)}, tmp_path / "a.safetensors", metadata={"format": "pt"})
    folder._writer_told.cache_clear()
    assert "weights_format" not in folder.config_of(tmp_path)
    for text_ in ("[1]", "{", "\xff"):
        written(tmp_path / "config.json", text_.encode("latin-1"))
        assert "a" not in folder.config_of(tmp_path)
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == 2
    assert warned[0].startswith(f"{tmp_path / 'config.json'} cannot be read (")
    assert warned[0].endswith("): layouts are told without it")
    written(tmp_path / "config.json", json.dumps({"a": 1}))
    monkeypatch.setattr(folder, "MAX_CONFIG", 8)
    assert folder.config_of(tmp_path)["a"] == 1
    monkeypatch.setattr(folder, "MAX_CONFIG", 7)
    assert "a" not in folder.config_of(tmp_path)


@pytest.mark.parametrize(("longer", "told"), [(0, "mlx"), (1, None)])
def test_a_header_that_is_too_long_for_a_config_does_not_tell_its_writer(tmp_path, monkeypatch, longer, told):
    head = b'{"__metadata__": {"format": "mlx"}}'
    written(tmp_path / "m.safetensors", struct.pack("<Q", len(head)) + head)
    monkeypatch.setattr(folder, "MAX_CONFIG", len(head) - longer)
    assert folder.config_of(tmp_path).get("weights_format") == told


def test_a_config_that_never_ends_is_none(tmp_path, caplog):
    """Lists inside of lists, in a config and in the head of a file; what cannot be opened at all."""
    deep = b"[" * 200_000
    written(tmp_path / "config.json", deep)
    written(tmp_path / "m.safetensors", struct.pack("<Q", len(deep)) + deep)
    assert folder.config_of(tmp_path) == {}
    assert "RecursionError" in caplog.text or "recursion" in caplog.text
    for content in (
        struct.pack("<Q", 3) + b"{x}",
        struct.pack("<Q", 2) + b"[]",
        b"",
        struct.pack("<Q", 20) + b'{"__metadata__": []}',
    ):
        written(tmp_path / "m.safetensors", content)
        assert folder.config_of(tmp_path) == {}


class Silent(RemotePath):
    """A server that does not answer now."""

    def info(self, fresh: bool = False) -> Any:
        return Info(9, "v")

    def pieces(self, start: int, stop: int) -> Any:
        raise ww.UnreadableCheckpoint("no answer")

    def iterdir(self) -> Any:
        return iter([self / "m.safetensors"])


class Forbidding(Silent):
    def info(self, fresh: bool = False) -> Any:
        raise Forbidden("not for you")


def test_a_server_that_does_not_answer_is_said(caplog):
    """And no layout is told without what it has: the next time it may."""
    for ask in (
        lambda: folder._json_of(Silent("m://x/config.json")),
        lambda: folder._writer_in(Silent("m://x/m.safetensors")),
        lambda: checkpoints.is_directory(Forbidding("m://x")),
    ):
        assert refusal(ask) in ("no answer", "not for you")
    assert not Forbidding("m://x/a.pt").is_file()
    assert caplog.messages == ["not for you; it is taken as not there"]


def test_paths_that_may_not_be_looked_at(tmp_path, monkeypatch):
    path = written(tmp_path / "a.npy", b"x")
    for error, kind, said in (
        (PermissionError(13, "Permission denied"), ww.UnreadableCheckpoint, f"{path}: Permission denied"),
        (
            OSError(5, "odd"),
            ww.InvalidInput,
            f"the path {str(path)!r} was asked; there is no such file or directory (odd)",
        ),
        (
            ValueError("null"),
            ww.InvalidInput,
            f"the path {str(path)!r} was asked; there is no such file or directory (null)",
        ),
    ):

        def stat(*_: Any, error: BaseException = error, **__: Any) -> Any:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(Path, "stat", stat)
            assert refusal(lambda: checkpoints.is_directory(path), kind) == said


def test_a_snapshot_of_a_cache_word_for_word(tmp_path):
    cache = tmp_path / "models--org--net"
    (cache / "snapshots").mkdir(parents=True)
    said = f"the path {str(cache)!r} was asked; its snapshots are {{}}. Accepted is one of them"
    assert refusal(lambda: folder.snapshot_of(cache), ww.InvalidInput) == said.format("none")
    for name in ("aaa", "bbb"):
        (cache / "snapshots" / name).mkdir()
    written(cache / "snapshots" / "file", b"x")
    assert refusal(lambda: folder.snapshot_of(cache), ww.InvalidInput) == said.format("aaa, bbb")
    written(cache / "refs" / "main", "bbb\n")
    assert folder.snapshot_of(cache) == cache / "snapshots" / "bbb"
    written(cache / "refs" / "main", "ccc")
    refusal(lambda: folder.snapshot_of(cache), ww.InvalidInput)
    (cache / "snapshots" / "aaa").rmdir()
    assert folder.snapshot_of(cache) == cache / "snapshots" / "bbb"
    assert folder.snapshot_of(tmp_path) == tmp_path


def test_tensors_of_several_files_in_their_order_and_places(tmp_path):
    """Rows by natural order of names, places as files and their index have them; none twice, none missing."""
    save_file({"l10.weight": torch.ones(4, 3), "l9.weight": torch.ones(4, 3)}, tmp_path / "a.safetensors")
    save_file({"l2.weight": torch.ones(4, 3)}, tmp_path / "b.safetensors")
    where = {"l2.weight": "b.safetensors", "l9.weight": "a.safetensors", "l10.weight": "a.safetensors"}
    index = written(tmp_path / "model.safetensors.index.json", json.dumps({"weight_map": where}))
    told = [(one.name, one.place) for one in checkpoint_tensors(index)]
    assert told == [("l2.weight", 2), ("l9.weight", 0), ("l10.weight", 1)]
    index.unlink()
    told = [(one.name, one.place) for one in checkpoint_tensors(tmp_path)]
    assert told == [("l2.weight", 2), ("l9.weight", 1), ("l10.weight", 0)]
    save_file({"l2.weight": torch.ones(4, 3)}, tmp_path / "c.safetensors")
    assert refusal(lambda: checkpoint_tensors(tmp_path), ww.InvalidInput) == (
        f"the directory {str(tmp_path)!r} was asked; b.safetensors and c.safetensors both hold 'l2.weight'. Accepted "
        "are files of one model; or name one file"
    )
    written(index, json.dumps({"weight_map": {**where, "gone": "b.safetensors"}}))
    assert refusal(lambda: checkpoint_tensors(index)) == (
        f"{tmp_path / 'b.safetensors'}: the index names 'gone' in it but it is not there"
    )
    assert refusal(lambda: checkpoint_tensors(tmp_path / "none"), ww.InvalidInput) == (
        f"the path {str(tmp_path / 'none')!r} was asked; there is no such file or directory"
    )
    long = "x" * 300
    assert refusal(lambda: checkpoint_tensors(tmp_path / long), ww.InvalidInput).endswith(
        "there is no such file or directory (File name too long)"
    )


def test_a_job_is_foreseen_where_it_is_large_and_here(tmp_path, monkeypatch):
    save_file({"a.weight": torch.ones(1024, 1024), "b.weight": torch.ones(1023, 1024)}, tmp_path / "m.safetensors")
    large, small = sorted(jobs_of(tmp_path / "m.safetensors"), key=lambda job: job.longname)
    asked: list[tuple[str, Any]] = []
    monkeypatch.setattr(reader.FileReader, "foresee", lambda self, name, index: asked.append((name, index)))
    for job in (large, small):
        foresee_job(job)
    assert [name for name, _ in asked] == ["a.weight"]
    from dataclasses import replace

    for odd in (
        replace(large, skipped=True),
        replace(large, part=None),
        replace(large, file="https://x/a.safetensors"),
    ):
        foresee_job(odd)
    assert len(asked) == 1
    assert read_job(small, (slice(0, 2),)).shape == (2, 1024)
    gone = replace(small, tensor="none")
    assert refusal(lambda: read_job(gone)) == f"{tmp_path / 'm.safetensors'}: 'none' is not in it any more"
    assert refusal(lambda: opened(tmp_path / "m.safetensors").read("none")) == (
        f"{tmp_path / 'm.safetensors'}: 'none' is not in it"
    )
    assert checkpoints.checkpoint_fingerprint(tmp_path)[1].keys() == {str(tmp_path / "m.safetensors")}


# What a training checkpoint holds.


def unwrapped(content: Any, path: Path) -> list[str]:
    torch.save(content, path)
    return list(found(path))


W = {"w": torch.ones(3, 2)}


def test_wrappers_copies_and_what_is_no_model(tmp_path):
    path = tmp_path / "a.pt"
    for wrapper in ("state_dict", "model_state_dict", "model", "net", "network", "module", "params", "weights"):
        assert unwrapped({wrapper: W, "other": {"v": torch.ones(2, 2)}}, path) == ["w"]
    for copy in (
        "ema",
        "params_ema",
        "model_ema",
        "ema_model",
        "ema_state_dict",
        "model_ema_state_dict",
        "g_ema",
        "net_ema",
    ):
        assert unwrapped({copy: W, "step": 3}, path) == ["w"]
    assert unwrapped({"state_dict": {"model": W}}, path) == ["w"]
    assert unwrapped({"module.w": torch.ones(2, 2), "module.v": torch.ones(2, 2)}, path) == ["w", "v"]
    assert unwrapped({"module.w": torch.ones(2, 2), "v": torch.ones(2, 2)}, path) == ["module.w", "v"]
    assert unwrapped({"ema": W, "student": W}, path) == ["ema.w", "student.w"]
    training = ("optim", "my_optimizer", "opt_state", "scheduler", "lr_sched", "scaler", "rng", "callbacks", "loops",
                "hparams", "hyper_parameters", "history", "metrics", "grad", "momentum_buffer")  # fmt: skip
    assert unwrapped({"enc": W, **dict.fromkeys(training, W)}, path) == ["enc.w"]
    kept = ("programs", "gradient_free", "callbacks_net", "looped")
    assert unwrapped(dict.fromkeys(kept, W), path) == [f"{name}.w" for name in kept]
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(2, 2))])
    assert unwrapped(optimizer.state_dict(), path) == []
    assert unwrapped({"enc": W, "o": optimizer.state_dict()}, path) == ["enc.w"]
    assert unwrapped(torch.ones(3, 2), path) == ["matrix.weight"]
    assert unwrapped((torch.ones(3, 2), 5), path) == ["0"]
    torch.save(3, path)
    assert refusal(lambda: found(path)) == f"{path}: it holds a int, not a mapping of names to tensors"


def test_which_of_several_models_is_read_is_said(tmp_path):
    path = tmp_path / "a.pt"
    others = {f"m{at}": W for at in range(7)}
    cases = {
        "read from 'model' of the file, which also holds 'ema'": {"model": W, "ema": W},
        "read from 'params_ema' of the file, which also holds 'head'": {"params_ema": W, "head": W},
        "read from 'net' of the file, which also holds 'x'": {"net": W, "x": torch.ones(2, 2)},
        "read from 'net' of the file, which also holds 'm0', 'm1', 'm2', 'm3', 'm4', 'm5' and 1 more": {
            "net": W,
            **others,
        },
        "read from 'net' of the file, which also holds 'm0', 'm1', 'm2', 'm3', 'm4', 'm5'": {
            "net": W,
            **dict(list(others.items())[:6]),
        },
        "": {"net": W, "x": torch.ones(2), "optimizer": W, "epoch": 3},
    }
    for said, content in cases.items():
        torch.save(content, path)
        assert found(path)["w"].remark == said


def test_names_inside_of_mappings_have_an_end(monkeypatch):
    """So many names, so many letters beyond the top, so deep."""
    monkeypatch.setattr(state, "MOST_NAMES", 4)
    many = {"a": {str(at): torch.ones(1) for at in range(3)}}
    assert len(state._flat(many)) == 3
    with pytest.raises(ValueError, match="mappings inside mappings without an end"):
        state._flat({"a": {str(at): torch.ones(1) for at in range(4)}})
    monkeypatch.setattr(state, "MOST_NAMES", 100)
    monkeypatch.setattr(state, "MOST_LETTERS", 9)
    assert list(state._flat(many)) == ["a.0", "a.1", "a.2"]
    with pytest.raises(ValueError, match="without an end"):
        state._flat({"ab": many["a"]})
    monkeypatch.setattr(state, "MOST_LETTERS", 10**6)
    monkeypatch.setattr(state, "NESTED", 2)
    deep = {"a": {"b": {"c": {"d": torch.ones(1)}}}}
    (name,) = state._flat(deep)
    assert name == "a.b.c"


def test_what_is_written_out_as_a_name():
    for key in ("x" * 5000, 3, 1.5, None, ("a", 3), ("x" * 1000,), ()):
        assert state._is_name(key)
    for key in (("x" * 1001,), (("a",),), (b"a",), b"a", object()):
        assert not state._is_name(key)


# Flax.


def test_maps_inside_maps_have_an_end(tmp_path):
    """A hundred inside of each other, and not one more; what they are called is part of what a file is known by."""
    array = b"\xc7\x12\x01" + b"\x93\x92\x01\x01\xa7float32\xc4\x04" + bytes(4)
    for depth, sound in ((97, True), (98, False)):
        path = written(tmp_path / f"{depth}.msgpack", b"\x81\xa1a" * depth + array)
        with Handle(path) as handle:
            if sound:
                assert open_flax(handle).structure.startswith(b"a" * depth)
            else:
                assert refusal(lambda handle=handle: open_flax(handle), ValueError) == "maps inside maps without an end"
    with Handle(written(tmp_path / "a.msgpack", b"\x81\xa3abc" + array)) as handle:
        assert open_flax(handle).structure == b"abcfloat32((1, 1), 'float32')"


def test_values_of_msgpack_that_are_no_arrays(tmp_path):
    """Of every kind, passed over by their lengths."""
    values = [
        *(b"\x05", b"\xff", b"\xc0", b"\xc2", b"\xc3", b"\xca" + bytes(4), b"\xcb" + bytes(8), b"\xcc\1", b"\xcd\0\1"),
        *(b"\xce" + bytes(4), b"\xcf" + bytes(8), b"\xd0\1", b"\xd1\0\1", b"\xd2" + bytes(4), b"\xd3" + bytes(8)),
        *(b"\xa2ab", b"\xd9\2ab", b"\xda\0\2ab", b"\xdb\0\0\0\2ab", b"\xc4\2ab", b"\xc5\0\2ab", b"\xc6\0\0\0\2ab"),
        *(
            b"\x92\1\2",
            b"\xdc\0\2\1\2",
            b"\xdd\0\0\0\2\1\2",
            b"\x81\xa1a\1",
            b"\xde\0\1\xa1a\1",
            b"\xdf\0\0\0\1\xa1a\1",
        ),
        *(b"\xd4\5x", b"\xd5\5xx", b"\xd6\5" + b"x" * 4, b"\xd7\5" + b"x" * 8, b"\xd8\5" + b"x" * 16),
        *(b"\xc7\2\5xx", b"\xc8\0\2\5xx", b"\xc9\0\0\0\2\5xx"),
    ]
    array = b"\xc7\x12\x01" + b"\x93\x92\x01\x01\xa7float32\xc4\x04" + np.float32(7).tobytes()
    for value in values:
        path = written(tmp_path / "a.msgpack", b"\x82\xa1n" + value + b"\xa1w" + array)
        assert float(opened(path).read("w")) == 7.0
        short = written(tmp_path / "b.msgpack", b"\x81\xa1n" + value[:-1])
        if len(value) > 1:
            refusal(lambda short=short: opened(short))
    numbers = b"\x93" + b"\xff" + b"\xcd\1\2" + b"\xd1\xff\xfe"
    with Handle(written(tmp_path / "c.msgpack", numbers)) as handle:
        assert open_flax(handle).tree == [-1, 258, -2]
    with Handle(written(tmp_path / "d.msgpack", b"\x95\x7f\xe0\xc0\xc2\xc3")) as handle:
        assert open_flax(handle).tree == [127, -32, None, False, True]


# Files of the first torch.


@pytest.mark.parametrize("axes", [64, 65])
def test_tensors_of_sixty_four_axes(tmp_path, axes):
    place = struct.pack("<ii", axes, 0) + struct.pack(f"<{axes}q", *[1] * axes) * 2 + struct.pack("<q", 3)
    path = written(tmp_path / "a.pt", torch_tar(tensors=ONE + place))
    if axes == 64:
        assert float(opened(path).read("w")) == 3.0
    else:
        assert "a tensor of 65 dimensions" in refusal(lambda: opened(path))


# Readers.


def test_a_reader_knows_its_file(tmp_path, monkeypatch):
    """One while the file stays; another for another content; the last ones are kept."""
    path = layer_file(tmp_path / "a.safetensors")
    first = opened(path)
    assert opened(str(path)) is first
    assert opened(path, first.fingerprint.digest) is first
    changed = (
        f"{path}: it changed while it was read; what was read before is of other weights. Begin anew when it is written"
    )
    assert refusal(lambda: opened(path, "another")) == changed
    first.close()
    second = opened(path)
    assert second is not first
    first.close()
    assert opened(path) is second
    save_file({"fc.weight": torch.zeros(4, 3)}, path)
    assert not second.is_current()
    assert refusal(lambda: second.read("fc.weight")) == changed
    assert opened(path).read("fc.weight").sum() == 0
    assert f"kept among the last {reader.KEPT}." in " ".join(str(opened.__doc__).split())
    monkeypatch.setattr(reader, "KEPT", 2)
    for name in "bcd":
        opened(layer_file(tmp_path / f"{name}.safetensors"))
    assert len(reader._readers.slots) == 2
    for name in "bcbd":
        opened(tmp_path / f"{name}.safetensors")
    assert [path.stem for path in reader._readers.slots] == ["b", "d"]
    reader.forget()
    assert len(reader._readers.slots) == 0
    with pytest.raises(TypeError):
        opened(path).headers["x"] = 3  # type: ignore[index]


def test_a_file_that_changes_in_the_middle_of_a_read(tmp_path, monkeypatch):
    """A read that fails of it, and one that succeeds with bytes of both, are of a file that changed."""
    path = layer_file(tmp_path / "a.safetensors")
    for fails in (True, False):
        one = opened(path)

        def read(self: Any, handle: Any, fails: bool = fails) -> Any:
            save_file({"fc.weight": torch.rand(4, 3)}, path)
            if fails:
                raise ww.UnreadableCheckpoint("cut short")
            return 3

        with monkeypatch.context() as patch:
            patch.setattr(reader.Stored, "read", read)
            assert "it changed while it was read" in refusal(lambda one=one: one.read("fc.weight"))
    one = opened(path)
    with monkeypatch.context() as patch:
        patch.setattr(reader.Stored, "read", lambda self, handle: (_ for _ in ()).throw(ww.UnreadableCheckpoint("x")))
        assert refusal(lambda: one.read("fc.weight")) == "x"
    for error in (ww.InvalidInput("x"), ww.UnreadableCheckpoint("x")):
        one = opened(path)
        written(path, path.read_bytes())
        with monkeypatch.context() as patch:
            patch.setattr(reader, "_opened", lambda handle, error=error: (_ for _ in ()).throw(error))
            assert "it changed while it was read" in refusal(lambda one=one: one.read("fc.weight"))
    # Touched and the same: it is read, and known by its new time.
    one = opened(path)
    written(path, path.read_bytes())
    assert one.read("fc.weight").shape == (4, 3)
    assert one.is_current()


def test_what_repeats_its_values_has_none(tmp_path):
    torch.save({"w": torch.ones(1, 3).expand(4, 3), "v": torch.ones(4, 3)}, tmp_path / "a.pt")
    headers = opened(tmp_path / "a.pt").headers
    assert (headers["w"].unfit, headers["v"].unfit) == (
        "its strides repeat values: there are fewer in the file than in its shape",
        "",
    )


def test_only_what_is_asked_for_is_foreseen(tmp_path, monkeypatch):
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(Handle, "foresee", lambda self, offset, size: seen.append((offset, size)))
    path = layer_file(tmp_path / "a.safetensors")
    one = opened(path)
    base = path.stat().st_size - 48
    one.foresee("fc.weight")
    one.foresee("fc.weight", (slice(1, 3),))
    one.foresee("fc.weight", (2, 1))
    one.foresee("none")
    assert seen == [(base, 48), (base + 12, 24), (base + 28, 4)]
    np.savez_compressed(tmp_path / "b.npz", w=np.zeros((40, 30)))
    packed = opened(tmp_path / "b.npz")
    packed.foresee("w", (slice(1, 3),))
    with zipfile.ZipFile(tmp_path / "b.npz") as made:
        assert seen[-1][1] == made.infolist()[0].compress_size


# Addresses.


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("hf://org/net", ("org/net", "main", "")),
        ("hf://net", ("net", "main", "")),
        ("hf://org/net@v1", ("org/net", "v1", "")),
        ("hf://org/net@v1/a/b.bin", ("org/net", "v1", "a/b.bin")),
        ("hf://org/net/a/", ("org/net", "main", "a")),
        ("hf://org/net@refs/pr/3/a", ("org/net", "refs/pr/3", "a")),
        ("hf://org/net@a%2Fb", ("org/net", "a/b", "")),
        ("hf://datasets/x", None),
        ("hf://spaces/x", None),
        ("hf://buckets/x/y", None),
        ("hf://", None),
        ("hf://a b/c", None),
    ],
)
def test_parts_of_an_address_of_the_hub(url, parts):
    if parts is None:
        assert refusal(lambda: hub._parts(url), ww.InvalidInput) == (
            f"reading {url!r} was asked; accepted is hf://org/model[@revision][/file]"
        )
    else:
        assert hub._parts(url) == parts


def test_what_is_an_address():
    for url in ("https://x/a.pt", "s3://b/a", "simplecache::s3://b/a", "a+b.c://x", "A://x", "a::b::c://x"):
        assert places.is_url(url)
    for word_ in ("a.pt", "/a/b", "C:\\x", "1a://x", "://x", "a:/x", Path("https://x"), None, "x y://z"):
        assert not places.is_url(word_)
    assert places.place_of("file:///nets/a%20b.pt") == Path("/nets/a b.pt")
    url = urls.UrlPath("memory://x")
    assert places.place_of(url) is url
    assert isinstance(places.place_of("memory://x"), urls.UrlPath)


@pytest.mark.parametrize(
    ("path", "base", "name"),
    [
        ("b/a.pt", "b/", "a.pt"),
        ("b/a/", "b/", "a"),
        ("b/a.pt?x=1", "b/", "a.pt"),
        ("b/c/a.pt", "b/", ""),
        ("b/", "b/", ""),
        ("other/a", "b/", ""),
    ],
)
def test_names_below_a_folder(path, base, name):
    assert urls._name_below(path, base) == name


def test_what_a_file_system_says_of_a_file(monkeypatch):
    """Its size, and the first word that changes with its content; kept for a while, unless it is asked afresh."""
    told: list[dict[str, Any]] = []
    asked: list[str] = []

    class System:
        protocol = ("memory",)

        def invalidate_cache(self, path: str) -> None:
            asked.append(f"anew {path}")

        def info(self, path: str) -> dict[str, Any]:
            return told[-1]

    monkeypatch.setattr(urls.UrlPath, "_system", lambda self: (System(), "b/a.pt"))
    place = urls.UrlPath("memory://b/a.pt")
    for said, wanted in (
        ({"size": 7, "ETag": '"abc"', "mtime": 3}, (7, "abc", False)),
        ({"size": 7, "md5Hash": "m", "LastModified": "l"}, (7, "m", False)),
        ({"size": 7, "created": 5, "updated": 6}, (7, "6", False)),
        ({"size": None}, (-1, "", False)),
        ({"size": 7, "partial": False}, (-1, "", False)),
        ({"size": 7, "partial": True}, (7, "", False)),
        ({"type": "directory"}, (0, "", True)),
    ):
        told.append(said)
        info = place.info(fresh=True)
        assert info is not None
        assert (info.size, info.version, info.is_folder) == wanted
    assert asked == ["anew b/a.pt"] * 7
    told.append({"size": 99})
    clock = [0.0]
    monkeypatch.setattr(urls, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    urls.forget_told()
    assert place.info().size == 99  # type: ignore[union-attr]
    told.append({"size": 100})
    clock[0] = 10.0
    assert place.info().size == 99  # type: ignore[union-attr]
    clock[0] = 10.5
    assert place.info().size == 100  # type: ignore[union-attr]
    monkeypatch.setattr(urls, "KEPT", 1)
    urls.UrlPath("memory://b/other.pt").info()
    assert list(urls._told) == ["memory://b/other.pt"]
    urls.forget_told()
    assert urls._told == {}


# Modules that were saved whole.


class OwnLinear(torch.nn.Linear):
    """A class of a user's."""


def test_what_a_pickled_layer_tells_of_its_weight(tmp_path):
    """Its class and the numbers of it, where it is one of torch's; of nothing else, and of no buffer."""
    net = torch.nn.Sequential(torch.nn.Conv2d(4, 6, 3, groups=2), OwnLinear(3, 2), torch.nn.BatchNorm1d(3))
    net[0].groups_told, net[0].out_channels = "two", "six"
    torch.save(net, tmp_path / "a.pt")
    headers = opened(tmp_path / "a.pt").headers
    facts = {name: dict(header.facts) for name, header in headers.items()}
    assert facts["0.weight"]["owner"] == "Conv2d"
    assert facts["0.weight"]["groups"] == 2
    assert "out_channels" not in facts["0.weight"]
    assert (facts["1.weight"], facts["2.running_mean"]) == ({}, {})
    assert facts["2.weight"]["owner"] == "BatchNorm1d"
    assert not state._are_numbers(())
    assert [state._are_numbers(one) for one in (3, (3, 4), (3, "a"), "a", None, 1.5)] == [True, True, *[False] * 4]


# Programs of TorchScript.


def scripted(name: str, **attributes: bytes) -> bytes:
    """An object of a class of the archive with its attributes."""
    module, _, last = name.rpartition(".")
    return f"c{module}\n{last}\n".encode() + b")\x81" + mapping(**attributes) + b"b"


def program(path: Path, tree: bytes, constants: bytes = b")") -> Path:
    values = np.arange(12, dtype="<f4").tobytes()
    members = [("data/0", values), ("constants.pkl", b"\x80\x02" + constants + b"."), ("constants/0", values)]
    return written(path, torch_archive(tree, *members))


def test_tensors_of_a_program_by_their_places(tmp_path):
    """Attributes, lists of them, modules inside; what the class was called is told of torch's own."""
    linear = scripted("__torch__.torch.nn.modules.linear.___torch_mangle_3.Linear", weight=PLACED, scale=b"K\x03")
    parts, own = b"](" + PLACED + b"N" + PLACED + b"e", scripted("__torch__.Own", w=PLACED)
    tree = scripted("__torch__.Net", fc=linear, parts=parts, own=own)
    reader_ = opened(program(tmp_path / "a.pt", tree))
    assert list(reader_.headers) == ["parts.0", "parts.2", "fc.weight", "own.w"]
    assert dict(reader_.headers["fc.weight"].facts) == {"owner": "Linear"}
    assert dict(reader_.headers["own.w"].facts) == {}
    assert reader_.read("fc.weight").tolist() == np.arange(12.0).reshape(3, 4).tolist()


def test_a_frozen_program_has_its_tensors_among_the_constants(tmp_path):
    frozen = program(tmp_path / "a.pt", scripted("__torch__.Net", n=b"K\x03"), several(b"K\x01", PLACED, b"N", PLACED))
    assert list(opened(frozen).headers) == ["constants.1", "constants.3"]
    assert opened(frozen).read("constants.1").shape == (3, 4)
    other = program(tmp_path / "b.pt", mapping(w=PLACED))
    assert "a TorchScript archive of something else than a module" in refusal(lambda: opened(other))


def test_modules_inside_of_a_program_have_an_end(tmp_path, monkeypatch):
    tree = scripted("__torch__.A", b=scripted("__torch__.B", c=scripted("__torch__.C", w=PLACED)))
    path = program(tmp_path / "a.pt", tree)
    assert list(opened(path).headers) == ["b.c.w"]
    for limit, enough in (("DEEPEST", 2), ("MOST", 3)):
        reader.forget()
        with monkeypatch.context() as patch:
            patch.setattr(torch_script, limit, enough)
            assert list(opened(path).headers) == ["b.c.w"]
            reader.forget()
            patch.setattr(torch_script, limit, enough - 1)
            assert "modules inside modules without an end" in refusal(lambda: opened(path))


def test_a_persistent_id_of_an_old_file_may_be_a_class(tmp_path):
    """The class of a module with its source, of files before 0.4 and of tar archives."""
    module = several(text("module"), b"cmy\nNet\n", text("a.py"), text("class Net: pass")) + b"Q"
    inner = old_file(mapping(w=tensor((3, 4), (4, 1), of=old_storage(12)), net=module))
    assert list(opened(written(tmp_path / "a.pt", inner)).headers) == ["w"]
    tarred = torch_tar(pickled=b"}(" + text("w") + b"K\x05Q" + text("n") + several(text("name"), b"K\x01") + b"Qu")
    assert list(opened(written(tmp_path / "b.pt", tarred)).headers) == ["w"]


# Shapes that no bytes are behind.


def test_shapes_of_more_matrices_than_bytes_are_refused_by_every_format(tmp_path):
    """Before anybody counts them one by one."""
    many = 10**8
    npy = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({many}, 1, 1)}}".encode()
    flax = b"\x93\x93\xce" + struct.pack(">I", many) + b"\x01\x01\xa7float32\xc4\x04" + bytes(4)
    text_ = varint(many)
    nameless = b"\x08" + text_ + b"\x08\x01\x08\x01\x10\x08" + field(8, b"w")
    meta = called(
        UTILS,
        "_rebuild_meta_tensor_no_storage",
        several(FLOAT, several(integer(many), b"K\x01", b"K\x01"), b"N", b"\x89"),
    )
    files = {
        "a.npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", len(npy)) + npy + bytes(4),
        "a.msgpack": b"\x81\xa1w\xc7" + bytes([len(flax)]) + b"\x01" + flax,
        "a.gguf": gguf(count=(1, 0), tensors=described("w", 1, 1, many)) + bytes(64),
        "a.onnx": onnx(nameless),
        "a.pt": torch_archive(mapping(w=meta)),
    }
    for name, content in files.items():
        path = written(tmp_path / name, content)
        assert f"the shape ({many}, 1, 1) has more slices than the " in refusal(lambda path=path: opened(path)), name
    for name, dtype in (("words.h5", h5py.string_dtype()), ("numbers.h5", "f4")):
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            file.create_dataset("w", shape=(many, 1, 1), dtype=dtype, chunks=(10**6, 1, 1))
        assert "has more slices than the " in refusal(lambda path=path: opened(path)), name


# The hub.


class Hub:
    """What `huggingface_hub` answers of models."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def model_info(self, repo: str, revision: str, files_metadata: bool) -> Any:
        assert files_metadata
        self.asked.append(f"{repo}@{revision}")
        if repo == "org/none":
            raise FileNotFoundError("none")
        lfs = SimpleNamespace(sha256="abc")
        listed = [("model.safetensors", 9, lfs, "b1"), ("config.json", 3, None, "b2"), ("sub/a.bin", None, None, None)]
        siblings = [SimpleNamespace(rfilename=n, size=s, lfs=one, blob_id=b) for n, s, one, b in listed]
        return SimpleNamespace(sha=f"sha-{revision}", siblings=None if repo == "org/empty" else siblings)


def test_what_the_hub_says_of_a_model(monkeypatch):
    """Asked once for a commit; sizes, checksums and folders of its files; the last models are kept."""
    api = Hub()
    monkeypatch.setattr(hub, "needed", lambda *_: SimpleNamespace(HfApi=lambda: api))
    monkeypatch.setattr(hub, "_files", {})
    model = hub.HubPath("hf://org/net@v1")
    assert [one.url for one in model.iterdir()] == [
        *("hf://org/net@v1/model.safetensors", "hf://org/net@v1/config.json", "hf://org/net@v1/sub"),
    ]
    infos = {name: (model / name).info() for name in ("model.safetensors", "config.json", "sub/a.bin", "sub", "none")}
    assert infos == {
        "model.safetensors": Info(9, "abc"),
        "config.json": Info(3, "b2"),
        "sub/a.bin": Info(-1, ""),
        "sub": Info(0, is_folder=True),
        "none": None,
    }
    assert [one.name for one in (model / "sub").iterdir()] == ["a.bin"]
    assert model.info() == Info(0, is_folder=True)
    assert str((model / "sub" / "a.bin").parent) == "hf://org/net@v1/sub"
    assert model.parent is model
    assert api.asked == ["org/net@v1"]
    assert set(hub._files) == {("org/net", "v1"), ("org/net", "sha-v1")}
    assert hub._commit_of(model, "org/empty", "v2") == "sha-v2"
    assert hub._files["org/empty", "v2"] == {}
    said = refusal(lambda: hub._commit_of(model, "org/none", "v1"))
    assert said == (
        f"{model}: the hub knows no such model or revision. Look at the name; of a private or gated model you need the "
        "rights, and a token: `hf auth login`"
    )
    assert model.hint(500) == (
        "Check the network; HF_HUB_OFFLINE=1 reads what the cache has; the same call goes on with what was kept"
    )
    monkeypatch.setattr(hub, "KEPT", 4)
    hub._commit_of(model, "org/net", "v3")
    assert set(hub._files) == {("org/net", "v3"), ("org/net", "sha-v3")}


# Modules inside of modules.


def whole_module(modules: dict[str, Any], parameters: dict[str, Any] | None = None) -> Placeholder:
    made = Placeholder(Global("my", "Net"))
    made.state = {"_parameters": parameters or {}, "_modules": modules}
    return made


def test_names_of_modules_have_an_end():
    """So many places, so many letters in all, so long a name."""
    leaf = whole_module({}, {"w": 1})
    ends = "modules inside modules without an end"
    for number, sound in ((99_999, True), (100_000, False)):
        net = whole_module({str(at): leaf for at in range(number)})
        if sound:
            assert len(state.state_dict_of(net)) == number
        else:
            assert refusal(lambda net=net: state.state_dict_of(net), ValueError) == ends
    wide = whole_module({}, dict.fromkeys(map(str, range(2**10)), 1))
    for number, sound in ((2**6, True), (2**6 + 1, False)):
        net = whole_module({f"{at:01023}": wide for at in range(number)})
        if sound:
            assert len(state.state_dict_of(net)) == 2**16
        else:
            assert refusal(lambda net=net: state.state_dict_of(net), ValueError) == ends
    for length, sound in ((9_999, True), (10_000, False)):
        net = whole_module({"x" * length: leaf})
        if sound:
            assert list(state.state_dict_of(net)) == [f"{'x' * length}.w"]
        else:
            assert refusal(lambda net=net: state.state_dict_of(net), ValueError) == ends


def test_what_a_state_dict_leaves_out():
    """Nothing that is None, no buffer that is said not to be saved; modules are in their order."""
    inner = {"b": whole_module({}, {"w": 1, "none": None}), "a": whole_module({}, {"v": 2}), "odd": 3}
    net = whole_module(inner, {"top": 0})
    net.state["_buffers"] = {"kept": 4, "gone": 5}
    outside = Placeholder(Global("builtins", "set"))
    outside.items = ["gone", 7]
    net.state["_non_persistent_buffers_set"] = outside
    assert list(state.state_dict_of(net).items()) == [("top", 0), ("kept", 4), ("b.w", 1), ("a.v", 2)]
    assert state.as_mapping(net) == state.state_dict_of(net)
    assert state.as_mapping(3) is None
    assert state.as_mapping(Placeholder("x")) is None
    filled = Placeholder("x")
    filled.entries = {"a": 1}
    assert state.as_mapping(filled) == {"a": 1}
