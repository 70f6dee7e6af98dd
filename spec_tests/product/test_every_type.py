"""Every type of number that a format has: its word, and its values bit by bit, as the format's own library has them."""

from __future__ import annotations

import importlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.file_bytes import gguf_file
from setol_ww.formats.checkpoints import checkpoint_tensors
from setol_ww.formats.reader import opened

SIDES = (3, 4)
#: The types of torch that its files hold; one that the torch at hand lacks is left out.
TORCHS = [
    name
    for name in (
        *("float64", "float32", "float16", "bfloat16", "complex128", "complex64", "complex32", "bool"),
        *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bits16", "bits8"),
        *("bits1x8", "bits2x4", "bits4x2"),
        *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2"),
    )
    if hasattr(torch, name)
]


def made(name: str) -> torch.Tensor:
    """A matrix of a type of torch's of any bits; those of a truth are 0 or 1."""
    kind = getattr(torch, name)
    rng = np.random.default_rng(len(name))
    drawn = rng.integers(0, 2 if kind == torch.bool else 256, (SIDES[0], SIDES[1] * kind.itemsize)).astype(np.uint8)
    return torch.from_numpy(drawn).view(kind)


def bits(values: Any) -> bytes:
    if not isinstance(values, torch.Tensor):
        return np.ascontiguousarray(values).tobytes()
    return values.contiguous().view(torch.uint8).numpy().tobytes()


def read(path: Path) -> tuple[str, tuple[int, ...], bytes]:
    """Type, shape and bits of the one tensor of a file."""
    one, values = found(path)
    return one.dtype, one.shape, bits(values)


def found(path: Path) -> tuple[Any, Any]:
    """What a file says of its one tensor, and the values where it has some."""
    reader = opened(path)
    (one,) = reader.headers.values()
    return one, None if one.unfit else reader.read(one.name)


def exported(path: Path, tensors: dict[str, tuple[int, torch.Tensor]]) -> Path:
    """A program of torch.export with these tensors, each by the number of its type."""
    config = {}
    with zipfile.ZipFile(path, "w") as archive:
        for at, (name, (number, values)) in enumerate(tensors.items()):
            sides, steps = ([{"as_int": one} for one in told] for told in (values.shape, values.stride()))
            meta = {"dtype": number, "sizes": sides, "strides": steps, "storage_offset": {"as_int": 0}}
            config[name] = {"path_name": f"weight_{at}", "tensor_meta": meta}
            archive.writestr(f"net/data/weights/weight_{at}", bits(values))
        archive.writestr("net/data/weights/model_weights_config.json", json.dumps({"config": config}))
    return path


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", TORCHS)
def test_types_of_torch(tmp_path, name, legacy):
    truth = made(name)
    torch.save({"w": truth}, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    assert read(tmp_path / "a.pt") == (name, SIDES, bits(truth))


def test_types_of_exported_programs(tmp_path):
    """By torch's own numbers for them."""
    numbers = importlib.import_module("torch._export.serde.serialize")._TORCH_TO_SERIALIZE_DTYPE
    known = {str(kind).removeprefix("torch."): int(number) for kind, number in numbers.items()}
    assert len(known) > 15
    for name, number in known.items():
        truth = made(name)
        exported(tmp_path / "a.pt2", {"w": (number, truth)})
        assert read(tmp_path / "a.pt2") == (name, SIDES, bits(truth))


#: Where the word of a file is not torch's.
OF_SAFETENSORS = {"complex64": "c64", "float8_e4m3fnuz": "f8_e4m3fnuz", "float8_e5m2fnuz": "f8_e5m2fnuz"}


def test_types_of_safetensors(tmp_path):
    library = importlib.import_module("safetensors.torch")
    for kind in library._TYPES.values():
        truth = made(str(kind).removeprefix("torch."))
        library.save_file({"w": truth}, tmp_path / "a.safetensors")
        name = str(kind).removeprefix("torch.")
        one, values = found(tmp_path / "a.safetensors")
        assert (one.dtype, one.shape) == (OF_SAFETENSORS.get(name, name), SIDES)
        assert (values.dtype, bits(values)) == (kind, bits(truth))


def test_types_of_onnx(tmp_path):
    """Of each type of the format the values that its package makes of the same bytes, or a reason."""
    onnx = pytest.importorskip("onnx", reason="the extra setol-ww[onnx] is not installed")
    helper, path = onnx.helper, tmp_path / "a.onnx"
    unread = set()
    for kind in onnx.TensorProto.DataType.values():
        if kind in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
            continue
        size = helper.tensor_dtype_to_np_dtype(kind).itemsize
        drawn = np.random.default_rng(kind).integers(0, 2 if kind == onnx.TensorProto.BOOL else 256, 12 * size)
        tensor = onnx.TensorProto(name="w", data_type=kind, dims=SIDES, raw_data=drawn.astype(np.uint8).tobytes())
        onnx.save_model(helper.make_model(helper.make_graph([], "g", [], [], [tensor])), path)
        one, values = found(path)
        if one.unfit:
            unread.add(onnx.TensorProto.DataType.Name(kind))
            continue
        assert (one.shape, bits(values)) == (SIDES, tensor.raw_data)
        truth = onnx.numpy_helper.to_array(tensor)
        wide = values.to(torch.complex128 if values.is_complex() else torch.float64).numpy()
        np.testing.assert_array_equal(wide, truth.astype(wide.dtype), err_msg=one.dtype)
    assert {name[:4] for name in unread} <= {"UINT", "INT4", "INT2", "FLOA"}
    assert all(name.endswith(("2", "4", "M1", "M3")) for name in unread)


def test_plain_types_of_gguf(tmp_path):
    gguf = pytest.importorskip("gguf", reason="the extra setol-ww[gguf] is not installed")
    words = {"F": "float", "I": "int", "B": "bfloat"}
    plain = [kind for kind, (per_block, _) in gguf.GGML_QUANT_SIZES.items() if per_block == 1]
    assert len(plain) == 8
    for kind in plain:
        name = words[kind.name[0]] + kind.name.removeprefix("B")[1:]
        truth = made(name)
        raw = np.frombuffer(bits(truth), np.uint8).reshape(SIDES[0], -1)
        path = gguf_file(tmp_path / "a.gguf", {"w": (raw, kind)})
        assert read(path) == (name, SIDES, bits(truth))


NUMPYS = [f"{order}{code}" for order in "<>" for code in ("f2", "f4", "f8", "i2", "i4", "i8", "u2", "u4", "u8", "c8")]


@pytest.mark.parametrize("ending", [".npy", ".h5"])
@pytest.mark.parametrize("code", [*NUMPYS, "i1", "u1", "?"])
def test_types_of_numpy(tmp_path, code, ending):
    """In either order of bytes; HDF5 keeps truths as numbers of its own."""
    kind, path = np.dtype(code), tmp_path / f"a{ending}"
    drawn = np.random.default_rng(7).integers(0, 2 if code == "?" else 100, SIDES)
    truth = drawn.astype(kind)
    if ending == ".h5":
        library = pytest.importorskip("h5py", reason="the extra setol-ww[keras] is not installed")
        with library.File(path, "w") as file:
            file.create_dataset("w", data=truth)
    else:
        np.save(path, truth)
    one, values = found(path)
    assert (one.dtype, one.shape) == (kind.name, SIDES)
    np.testing.assert_array_equal(values, truth)
    assert values.dtype == kind


@pytest.mark.parametrize("name", TORCHS)
def test_types_of_flax(tmp_path, name):
    msgpack = pytest.importorskip("msgpack", reason="msgpack writes the file")
    truth = made(name)
    packed = msgpack.ExtType(1, msgpack.packb((SIDES, name, bits(truth))))
    (tmp_path / "a.msgpack").write_bytes(msgpack.packb({"w": packed}))
    assert read(tmp_path / "a.msgpack") == (name, SIDES, bits(truth))


#: Names that mean something in a pickle: a wrapper, a copy, the prefix of data-parallel runs, what training keeps.
NAMES = ("module.a.weight", "module.state_dict", "module.ema", "module.optimizer.w", "module.model")


def written(path: Path, values: dict[str, np.ndarray]) -> Path:
    """A file of these tensors in the format of its ending."""
    if path.suffix == ".safetensors":
        importlib.import_module("safetensors.numpy").save_file(values, path)
    elif path.suffix == ".npz":
        np.savez(path, **values)
    elif path.suffix == ".gguf":
        gguf_file(path, {name: (one, None) for name, one in values.items()})
    elif path.suffix == ".onnx":
        onnx = importlib.import_module("onnx")
        tensors = [onnx.numpy_helper.from_array(one, name) for name, one in values.items()]
        onnx.save_model(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], tensors)), path)
    elif path.suffix == ".h5":
        with importlib.import_module("h5py").File(path, "w") as file:
            for name, one in values.items():
                file.create_dataset(name, data=one)
    else:
        exported(path, {name: (7, torch.from_numpy(one)) for name, one in values.items()})
    return path


@pytest.mark.parametrize("ending", [".safetensors", ".npz", ".gguf", ".onnx", ".h5", ".pt2"])
def test_names_are_names_where_a_format_has_nothing_else(tmp_path, ending):
    """As in `module.` of a pickle, which is taken off there, and in what is not read beside a model."""
    values = {name: np.full((2, 3), float(at), np.float32) for at, name in enumerate(NAMES)}
    library = {".gguf": "gguf", ".onnx": "onnx", ".h5": "h5py"}.get(ending, "numpy")
    pytest.importorskip(library, reason="an extra is not installed")
    path = written(tmp_path / f"a{ending}", values)
    held = {one.name: float(np.asarray(one.read())[0, 0]) for one in checkpoint_tensors(path)}
    assert held == {name: float(at) for at, name in enumerate(NAMES)}
