"""Files, folders and remote files that are refused, by what is wrong with them: see `kept_words.py`."""

from __future__ import annotations

import importlib
import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch.distributed.checkpoint import metadata as kinds
from torch.distributed.checkpoint.filesystem import _StorageInfo

from fixtures.broken_files import (
    called,
    mapping,
    npy_bytes,
    several,
    tensor,
    text,
    torch_archive,
    torch_bytes,
    unzipped,
    zipped,
)
from fixtures.file_bytes import (
    entry,
    field,
    gguf_file,
    headed,
    initialiser,
    old_file,
    old_storage,
    onnx,
    safetensors,
    tar,
    torch_tar,
)
from setol_ww.formats.checkpoints import checkpoint_tensors, tensor_named
from setol_ww.formats.places import handle_of
from setol_ww.formats.reader import opened
from setol_ww.formats.remote import Info, RemotePath
from setol_ww.formats.urls import UrlPath

from .kept_words import Call, before


def read(path: Path) -> list[object]:
    """All values of a file or folder."""
    return [one.read() for one in checkpoint_tensors(path)]


def holding(name: str, content: bytes) -> Call:
    """Reading a file of these bytes."""

    def call(folder: Path) -> list[object]:
        (folder / name).write_bytes(content)
        return read(folder / name)

    return call


def sparse(name: str, size: int, asked: str = "") -> Call:
    """Reading a file of so many zeros, which take no place on a disk; or what it makes of its folder."""

    def call(folder: Path) -> list[object]:
        with (folder / name).open("wb") as file:
            file.truncate(size)
        return read(folder if asked == "folder" else folder / name)

    return call


def with_index(content: str) -> Call:
    """Reading a folder of one file with such an index."""

    def call(folder: Path) -> list[object]:
        (folder / "model.safetensors.index.json").write_text(content, encoding="utf-8")
        return read(folder)

    return call


def files(*names: str) -> Call:
    """Reading a folder in which there are such files, all empty."""

    def call(folder: Path) -> list[object]:
        for name in names:
            (folder / name).touch()
        return read(folder)

    return call


def pickled(content: bytes) -> Call:
    """Reading an archive of torch's with such a pickle."""
    return holding("a.pt", torch_archive(content))


def edited(content: bytes, old: bytes, new: bytes, count: int = -1) -> bytes:
    """The bytes with a piece in the place of another of its length, which has to be there."""
    assert old in content
    assert len(old) == len(new)
    return content.replace(old, new, count)


TWELVE = np.arange(12, dtype=np.float32).reshape(3, 4)
SOUND = torch_bytes({"w": torch.ones(3, 4)})
ARRAYS = zipped([("w.npy", npy_bytes(TWELVE))])
TWO = zipped([("v.npy", npy_bytes(TWELVE)), ("w.npy", npy_bytes(TWELVE))])


def header(written: str, version: int = 1) -> Call:
    """Reading an array with such a header."""
    return holding("h.npy", headed(written, bytes(48), version))


def descr(shape: str, kind: str = "'<f4'", order: str = "False") -> Call:
    return header(f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}}}")


NUMPY: dict[str, Call] = {
    "numpy: another beginning": holding("a.npy", b"NUMPY" + bytes(40)),
    "numpy: version 4": header("{}", version=4),
    "numpy: a sum": header("-" * 20 + "1"),
    "numpy: brackets in brackets": header("(" * 400 + ")" * 400),
    "numpy: a list": header("[1, 2]"),
    "numpy: without a shape": header("{'descr': '<f4', 'fortran_order': False}"),
    "numpy: an order that is a number": descr("(3, 4)", order="0"),
    "numpy: a shape that is a number": descr("9"),
    "numpy: a type without bytes": descr("(1000, 1000)", "'|S0'"),
    "numpy: more bytes than there are": descr("(9223372036854775807, 9)"),
    "numpy: a side below 0": descr("(-3, 3)"),
    "numpy: a side that is a truth": descr("(True, 3)"),
    "numpy: a type that is none": descr("(3, 4)", "'<q9'"),
}

SAFETENSORS: dict[str, Call] = {
    "safetensors: five bytes": holding("a.safetensors", b"12345"),
    "safetensors: a longer header": holding("a.safetensors", struct.pack("<Q", 1000) + b"{}"),
    "safetensors: one name twice": holding("a.safetensors", struct.pack("<Q", 18) + b'{"w": {}, "w": {}}'),
    "safetensors: without a shape": holding("a.safetensors", safetensors({"w": {"dtype": "F32"}})),
    "safetensors: longer": holding("a.safetensors", safetensors({"w": entry()}, bytes(50))),
    "safetensors: a name that is no text": holding("a.safetensors", safetensors({"\ud800": entry()})),
}

BELOW_ZERO = b"\x8b" + struct.pack("<i", -1)
#: A text that is encoded many times over.
COPIES = text("x" * 2000) + b"q\x00(" + called("_codecs", "encode", several(b"h\x00", text("latin1"))) * 99 + b"l"
#: Thirty mappings, each of which holds the next one twice.
DOUBLED = (b"}" + b"q\x00") + (b"}(" + text("a") + b"h\x00" + text("b") + b"h\x00uq\x00") * 30
META = "_rebuild_meta_tensor_no_storage"
SIDES = (b"ctorch\nfloat32\n", several(b"K\x03", b"K\x04"), several(b"K\x04", b"K\x01"), b"\x89")


def storage_of(kind: bytes) -> bytes:
    """A storage of such a class."""
    return several(text("storage"), kind, text("0"), text("cpu"), b"K\x0c") + b"Q"


PICKLES: dict[str, Call] = {
    "pickle: an opcode that is none": pickled(b"\xff"),
    "pickle: a mark that is not there": pickled(b"}u"),
    "pickle: copies": pickled(COPIES),
    "pickle: a length below 0": pickled(BELOW_ZERO),
    "pickle: a key alone": pickled(b"}(Nu"),
    "pickle: an empty memo": pickled(b"h\x07"),
    "pickle: a pair of one": pickled(b"N\x86"),
    "pickle: protocol 9": pickled(b"\x80\x09N"),
    "pickle: a tensor over a number": pickled(mapping(w=tensor((3, 4), (4, 1), of=b"K\x07"))),
    "pickle: fewer strides": pickled(mapping(w=tensor((3, 4), (4,)))),
    "pickle: a storage of the class of a number": pickled(mapping(w=tensor((3, 4), (4, 1), of=storage_of(b"K\x07")))),
    "pickle: a storage of a class that is none": pickled(mapping(w=tensor((3, 4), (4, 1), of=storage_of(b"ca\nB\n")))),
    "pickle: many times the same": pickled(mapping(w=tensor((3, 4000), (4, 0)))),
    "pickle: beyond its storage": pickled(mapping(w=tensor((3, 40), (40, 1)))),
    "pickle: no mapping": pickled(b"K\x07"),
    "pickle: mappings in mappings": pickled(DOUBLED),
    "pickle: a tensor without values": pickled(mapping(w=called("torch._utils", META, several(*SIDES)))),
}


def of_old_torch() -> dict[str, Call]:
    """Files of torch before 1.6 and 0.2."""
    whole = mapping(w=tensor((3, 4), (4, 1), of=old_storage(12)))
    sound = old_file(whole)
    return {
        "old torch: another number at its head": holding("a.pt", pickle.dumps(7, 2)),
        "old torch: a storage that none uses": holding("a.pt", old_file(whole, b"](" + text("0") + text("1") + b"e")),
        "old torch: another number of values": holding(
            "a.pt", edited(sound, struct.pack("<q", 12) + bytes(4), struct.pack("<q", 13) + bytes(4))
        ),
        "old torch: cut short": holding("a.pt", sound[:-4]),
        "tar: without its pickle": holding("a.pt", tar(storages=b"", tensors=b"")),
        "tar: what is sound but for its end": holding("a.pt", torch_tar()[:700]),
    }


def member(old: str, new: bytes | None, content: bytes = SOUND) -> bytes:
    """An archive with one of its members of other bytes, or without it."""
    members = [(name, new if name.endswith(old) else inside) for name, inside in unzipped(content)]
    return zipped([(name, inside) for name, inside in members if inside is not None])


def directory(content: bytes, at: int, form: str, value: int) -> bytes:
    """An archive whose directory says something else of its first member."""
    place = content.index(b"PK\x01\x02") + at
    packed = struct.pack(form, value)
    return content[:place] + packed + content[place + len(packed) :]


def script(tree: bytes) -> bytes:
    """An archive with the constants of a program and such a pickle."""
    members = [(name, inside) for name, inside in unzipped(SOUND) if not name.endswith("data.pkl")]
    folder = members[0][0].partition("/")[0]
    return zipped([*members, (f"{folder}/data.pkl", tree), (f"{folder}/constants.pkl", b"\x80\x02).")])


def nested_modules(number: int) -> bytes:
    """A pickle of modules of an archive's own, one in another."""
    begin = b"c__torch__\nNet\n)\x81}" + text("inner")
    return b"\x80\x02" + begin * number + b"N" + b"sb" * number + b"."


ARCHIVES: dict[str, Call] = {
    "zip: encrypted": holding("a.npz", directory(ARRAYS, 8, "<H", 1)),
    "zip: not where it should be": holding(
        "a.npz", TWO.replace(b"PK\x03\x04", b"PK\x03\x05").replace(b"PK\x03\x05", b"PK\x03\x04", 1)
    ),
    "zip: called otherwise where it lies": holding("a.npz", edited(ARRAYS, b"w.npy", b"v.npy", 1)),
    "zip: longer than the file": holding("a.npz", directory(ARRAYS, 20, "<I", 2**20)),
    "zip: no arrays of numpy's": holding("a.npz", zipped([("w.npy", b"nothing")])),
    "zip: stored in another size": holding("a.npz", directory(ARRAYS, 20, "<I", 20)),
    "zip: another beginning": holding("a.npz", bytes(40)),
    "torch: no pickle": holding("a.pt", member("data.pkl", None)),
    "torch: an order of bytes that is none": holding("a.pt", member("byteorder", b"middle")),
    "torch: a storage that is not there": holding("a.pt", member("data/0", None)),
    "torch: a program of a number": holding("a.pt", script(b"\x80\x02K\x07.")),
    "torch: a program without an end": holding("a.pt", script(nested_modules(2000))),
}


def exported(config: object, *, tables: tuple[str, ...] = ("model",)) -> Call:
    """Reading an exported program with such a table of weights."""
    members = [(f"net/data/weights/{name}_weights_config.json", json.dumps(config).encode()) for name in tables]
    return holding("a.pt2", zipped([("net/version", b"1"), *members]))


def weight(**meta: object) -> dict[str, object]:
    said = {"dtype": 7, "sizes": [{"as_int": 3}], "strides": [1], "storage_offset": {"as_int": 0}, **meta}
    return {"config": {"w": {"path_name": "weight_0", "tensor_meta": said}}}


PROGRAMS: dict[str, Call] = {
    "pt2: without a table": exported({}, tables=()),
    "pt2: a table without a config": exported({"a": 1}),
    "pt2: a type that is none": exported(weight(dtype=99)),
    "pt2: a side in words": exported(weight(sizes=[{"as_expr": "s0"}])),
    "pt2: a member that is not there": exported(weight()),
}


FLOATS = kinds.TensorProperties(dtype=torch.float32)


def thousands(folder: Path) -> object:
    """More parts than are compared, of which one stands in the place of another."""
    content = torch_bytes(torch.ones(1, 2))
    (folder / "0.distcp").write_bytes(content)
    parts, places = [], {}
    for row in range(2049):
        at, info = torch.Size((max(row, 1), 0)), _StorageInfo("0.distcp", 0, len(content))
        parts.append(kinds.ChunkStorageMetadata(at, torch.Size((1, 2))))
        places[kinds.MetadataIndex("w", at)] = info
    held = {"w": kinds.TensorStorageMetadata(FLOATS, torch.Size((2049, 2)), parts)}
    (folder / ".metadata").write_bytes(pickle.dumps(kinds.Metadata(held, {"w": ("w",)}, places)))
    return read(folder)


def distributed(change: Callable[[Path, dict[Any, Any]], None]) -> Call:
    """Reading a folder of torch.distributed with one tensor in two parts, after a change of its files or places."""

    def call(folder: Path) -> list[object]:
        parts, places = [], {}
        for number, at in enumerate((0, 3)):
            content = torch_bytes(torch.ones(3, 4))
            (folder / f"{number}.distcp").write_bytes(content)
            offsets = torch.Size((at, 0))
            parts.append(kinds.ChunkStorageMetadata(offsets, torch.Size((3, 4))))
            places[kinds.MetadataIndex("w", offsets)] = _StorageInfo(f"{number}.distcp", 0, len(content))
        held = {"w": kinds.TensorStorageMetadata(FLOATS, torch.Size((6, 4)), parts)}
        change(folder, places)
        (folder / ".metadata").write_bytes(pickle.dumps(kinds.Metadata(held, {"w": ("w",)}, places)))
        return read(folder)

    return call


def longer(folder: Path, places: dict[Any, Any]) -> None:
    for place in places.values():
        place.length = 2**20


def leading_out(folder: Path, places: dict[Any, Any]) -> None:
    """The directory of the first part says that its member begins far behind its end."""
    content = (folder / "0.distcp").read_bytes()
    (folder / "0.distcp").write_bytes(directory(content, 42, "<I", 2**20))


DISTRIBUTED: dict[str, Call] = {
    "distributed: parts alone": files("0.distcp"),
    "distributed: another pickle": holding(".metadata", pickle.dumps({"a": 1}, 2)),
    "distributed: metadata of 1 GiB": sparse(".metadata", 2**30 + 1),
    "distributed: a file that is gone": distributed(lambda folder, _: (folder / "1.distcp").unlink()),
    "distributed: a part beyond its file": distributed(longer),
    "distributed: parts in the place of others": thousands,
    "distributed: a part that leads out of itself": distributed(leading_out),
}

FOLDERS: dict[str, Call] = {
    "folder: two variants": files("model.fp16.safetensors", "model.int8.safetensors"),
    "folder: an index of 1 GiB": sparse("model.safetensors.index.json", 2**30 + 1, asked="folder"),
    "index: a number": with_index('{"weight_map": {"w": 3}}'),
    "index: a path": with_index('{"weight_map": {"w": "../m.safetensors"}}'),
    "index: another ending": with_index('{"weight_map": {"w": "m.txt"}}'),
    "index: no mapping": with_index('{"weight_map": []}'),
}


# Files of other libraries, each looked up when it is asked for.


def flax(folder: Path) -> object:
    """A map that says it is an array in pieces, and has none."""
    content = b"\x81\xa1w\x83\xb9__msgpack_chunked_array__\xc3\xa5shape\x81\xa10\x04\xa6chunks\x80"
    return holding("a.msgpack", content)(folder)


def gguf_of(made: Callable[[Any], dict[str, tuple[np.ndarray, Any]]], cut: int = 0) -> Call:
    def call(folder: Path) -> object:
        path = gguf_file(folder / "m.gguf", made(importlib.import_module("gguf")))
        path.write_bytes(path.read_bytes()[: -cut or None])
        return read(path)

    return call


def factor(beside: np.ndarray) -> Call:
    """A four-bit tensor with such a factor beside it."""

    def made(gguf: Any) -> dict[str, tuple[np.ndarray, Any]]:
        kind = gguf.GGMLQuantizationType.NVFP4
        _, size = gguf.GGML_QUANT_SIZES[kind]
        codes = np.zeros((20, 128 // gguf.GGML_QUANT_SIZES[kind][0] * size), np.uint8)
        return {"up.weight": (codes, kind), "up.scale": (beside, None)}

    return gguf_of(made)


def h5(write: Callable[[Any], None], name: str = "a.h5") -> Call:
    def call(folder: Path) -> object:
        with importlib.import_module("h5py").File(folder / name, "w") as file:
            write(file)
        return read(folder / name)

    return call


def two_of_one(file: Any) -> None:
    """The name of the second is that of the first, so it has its folders too; the third is called so."""
    for place in ("a/kernel", "a/x/a/kernel", "a.x.a/kernel"):
        file.create_dataset(place, data=np.ones((3, 4)))


def large_config(file: Any) -> None:
    file.create_dataset("w", data=np.ones((3, 4)))
    file.attrs["model_config"] = json.dumps([[0] * 1000] * 201)


def bfloat16(file: Any) -> None:
    """As Keras keeps them, but in chunks."""
    made = file.create_dataset("w", data=np.ones((30, 40), np.uint16).view("V2"), chunks=(10, 10))
    made.attrs["dtype"] = "bfloat16"


def packed_keras(folder: Path) -> object:
    with zipfile.ZipFile(folder / "a.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(1000))
    return read(folder / "a.keras")


def packed_part(index: tuple[object, ...]) -> Call:
    """A part of a tensor that is put together from chunks."""

    def call(folder: Path) -> object:
        with importlib.import_module("h5py").File(folder / "a.h5", "w") as file:
            file.create_dataset("w", data=TWELVE, compression="gzip")
        return checkpoint_tensors(folder / "a.h5")[0].read(index)

    return call


def short_values(folder: Path) -> object:
    """A tensor of ONNX whose numbers, written one by one, are fewer than its shape needs."""
    proto = importlib.import_module("onnx").TensorProto(name="w", data_type=1, dims=(3, 4), float_data=[1.0] * 6)
    return holding("a.onnx", onnx(proto.SerializeToString()))(folder)


def unpacked_otherwise(folder: Path) -> object:
    """A type that the onnx that is installed makes another shape of."""
    proto = importlib.import_module("onnx").TensorProto(name="w", data_type=1, dims=(3, 4), float_data=[1.0] * 12)
    with mock.patch("onnx.numpy_helper.to_array", return_value=np.ones(12)):
        return holding("a.onnx", onnx(proto.SerializeToString()))(folder)


def damaged_message(folder: Path) -> object:
    """Numbers of four bytes in eleven."""
    return holding("a.onnx", onnx(initialiser("w", None) + field(4, bytes(11))))(folder)


def beyond(folder: Path) -> object:
    (folder / "w.bin").write_bytes(b"short")
    return holding("a.onnx", onnx(initialiser("w", None, location="w.bin")))(folder)


LIBRARIES: dict[str, Call] = {
    "flax: an array in no pieces": flax,
    "gguf: cut short": gguf_of(lambda _: {"w": (np.ones((3, 4), np.float32), None)}, cut=40),
    "gguf: a factor of another shape": factor(np.ones(7, np.float32)),
    "gguf: a factor of another type": factor(np.ones(1, np.float16)),
    "keras: two of one name": h5(two_of_one),
    "keras: a config without an end": h5(large_config),
    "keras: deflated": packed_keras,
    "keras: a part of too many axes": packed_part((0, 0, 0)),
    "keras: of bfloat16 in chunks": h5(bfloat16),
    "keras: a part backwards": packed_part((slice(None, None, -1),)),
    "onnx: fewer values": short_values,
    "onnx: unpacked to another shape": unpacked_otherwise,
    "onnx: a damaged message": before(" (", damaged_message),
    "onnx: beyond its file": beyond,
    "onnx: a field of no kind": holding("a.onnx", b"\x07\x00"),
}


# Files that change, and what is asked of them.


def safe(folder: Path) -> Path:
    (folder / "a.safetensors").write_bytes(safetensors({"w": entry()}))
    return folder / "a.safetensors"


def cut_while_read(folder: Path) -> object:
    path = safe(folder)
    with handle_of(path) as handle:
        path.write_bytes(b"")
        return handle.read(0, 10)


def before_it_begins(folder: Path) -> object:
    with handle_of(safe(folder)) as handle:
        return handle.stream().seek(-5)


def changed_while_opened(folder: Path) -> object:
    path = safe(folder)
    with mock.patch("setol_ww.formats.handle.Handle.same", return_value=False):
        return opened(path)


def newer_type(folder: Path) -> object:
    """A type that the format has and the torch that is installed has not."""
    path = folder / "a.safetensors"
    path.write_bytes(safetensors({"w": entry("F8_E8M0", (0, 12))}, bytes(12)))
    with mock.patch.object(torch, "__version__", "2.0"), mock.patch.object(torch, "float8_e8m0fnu", None):
        return read(path)


ASKED: dict[str, Call] = {
    "file: cut short while it is read": cut_while_read,
    "file: a place before it begins": before_it_begins,
    "file: changed while it is opened": changed_while_opened,
    "file: a tensor that it has not": lambda folder: opened(safe(folder)).read("v"),
    "file: a tensor that it has no more": lambda folder: tensor_named(safe(folder), "v"),
    "file: a newer type": newer_type,
}


class Place(RemotePath):
    """A remote file that answers as it is told to."""

    answers: Info | None = Info(8, "1")
    sends: bytes = b""

    def info(self, fresh: bool = False) -> Info | None:
        return self.answers

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        yield self.sends


def remote(call: Callable[[Any], object], **told: object) -> Call:
    """What a remote file is asked that answers so; none waits between its tries."""

    def asked(folder: Path) -> object:
        place = type("Place", (Place,), told)("memory://net/a.safetensors")
        with mock.patch("setol_ww.formats.remote.WAITS", ()):
            return call(place)

    return asked


def of_a_server_without_parts(_: Path) -> object:
    """A file of fsspec's whose server sends all of it: fsspec has a sentence for that."""
    stream = mock.MagicMock()
    stream.open.return_value.__enter__.return_value.read.side_effect = ValueError("the whole of it")
    with (
        mock.patch.object(UrlPath, "_system", return_value=(stream, "a")),
        mock.patch.object(UrlPath, "info", return_value=Info(8, "1")),
        mock.patch("setol_ww.formats.urls._is_web", return_value=True),
    ):
        return list(UrlPath("https://net/a.safetensors").pieces(0, 8))


REMOTE: dict[str, Call] = {
    "remote: nothing": remote(lambda place: place.handle(), answers=None),
    "remote: the size of nothing": remote(lambda place: place.stat(), answers=None),
    "remote: a folder": remote(lambda place: place.handle(), answers=Info(0, is_folder=True)),
    "remote: no size": remote(lambda place: place.handle(), answers=Info(-1)),
    "remote: no parts": of_a_server_without_parts,
    "remote: other bytes": remote(lambda place: place.read_bytes(), sends=bytes(9)),
    "remote: it ends": remote(lambda place: place.read_bytes()),
}

CALLS: dict[str, Call] = {
    **NUMPY,
    **SAFETENSORS,
    **PICKLES,
    **of_old_torch(),
    **ARCHIVES,
    **PROGRAMS,
    **DISTRIBUTED,
    **FOLDERS,
    **LIBRARIES,
    **ASKED,
    **REMOTE,
}
