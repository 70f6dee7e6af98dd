"""Files that make no sense, byte by byte: each is refused by its name, with the cause, whatever reads it."""

from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributed.checkpoint import metadata as kinds
from torch.distributed.checkpoint.filesystem import _StorageInfo

import setol_ww as ww
from fixtures.broken_files import called, integer, mapping, several, storage, tensor, text, torch_archive
from fixtures.file_bytes import (
    FLOATS,
    ONE,
    PLACE,
    STORED,
    described,
    entry,
    field,
    gguf,
    initialiser,
    old_file,
    old_head,
    old_storage,
    onnx,
    piece,
    safetensors,
    torch_tar,
    word,
)
from setol_ww.formats.checkpoints import checkpoint_tensors

# Pickles and what is made of them, in an archive of torch's.

WHOLE = tensor((3, 4), (4, 1))
NUMPY = called("numpy.core.multiarray", "_reconstruct", several(b"cnumpy\nndarray\n", several(b"K\x00"), b"C\x01b"))


BYTES = storage(48, kind="QInt8Storage")


def quantised(*parameters: bytes) -> bytes:
    args = several(
        BYTES, b"K\x00", several(b"K\x03", b"K\x04"), several(b"K\x04", b"K\x01"),
        several(*parameters), b"\x89", b"}",
    )  # fmt: skip
    return called("torch._utils", "_rebuild_qtensor", args)


META = "_rebuild_meta_tensor_no_storage"
CHANNELS = b"ctorch\nper_channel_affine\n"

PICKLED = {
    "a line without an end": (b"I12345", "a line without an end"),
    "the top of nothing": (b"2", "it looks at an empty stack"),
    "a list for a key": (b"}]Ns", "a key that has none of its own: a list or dictionary"),
    "a long integer": (b"\x8b" + struct.pack("<i", 20_000) + b"x" * 20_000, "an integer of 20000 bytes"),
    "an item of a number": (b"K\x01NNs", "items are set in a int"),
    "an item behind a number": (b"K\x01Na", "something is appended to a int"),
    "a class called 1": (b"K\x01K\x02\x93", "a class without a name"),
    "an object of nothing": (b"(o", "an object without a class"),
    "the state of a number": (b"K\x01Nb", "it restores a int from a state"),
    "scales that are none": (
        mapping(w=quantised(CHANNELS, b"N", b"N", b"K\x00")),
        "a quantised tensor without its scales",
    ),
    "scales of another length": (
        mapping(w=quantised(CHANNELS, *2 * [tensor((4,), (1,), of=BYTES)], b"K\x00")),
        "scales of the shape (4,) along axis 0 of a tensor of the shape (3, 4)",
    ),
    "scales along an axis that is not there": (
        mapping(w=quantised(CHANNELS, *2 * [tensor((4,), (1,), of=BYTES)], b"K\x02")),
        "scales of the shape (4,) along axis 2 of a tensor of the shape (3, 4)",
    ),
    "a sparse tensor of nothing": (
        mapping(w=called("torch._utils", "_rebuild_sparse_tensor", several(b"N", b"N"))),
        "a sparse tensor without its parts",
    ),
    "a type without its order": (
        mapping(w=called("numpy", "dtype", several(text("f8"))) + several(b"K\x03", text("?")) + b"b"),
        "a type of numpy's without its byte order",
    ),
    "an array without its parts": (
        mapping(w=NUMPY + several(b"K\x01") + b"b"),
        "an array of numpy's without its shape, type and bytes",
    ),
    "an ordered mapping of triples": (
        mapping(w=called("collections", "OrderedDict", several(b"](" + several(b"N", b"N", b"N") + b"e"))),
        "an ordered dictionary of something else than pairs",
    ),
    "an ordered mapping of numbers": (
        mapping(w=called("collections", "OrderedDict", several(b"](K\x01e"))),
        "an ordered dictionary of something else than pairs",
    ),
    "bytes of a number": (
        mapping(w=called("_codecs", "encode", several(b"K\x01", text("latin1")))),
        "bytes written as something else than text",
    ),
    "a meta tensor of no type": (
        mapping(w=called("torch._utils", META, several(b"N", several(b"K\x03"), b"N", b"\x89"))),
        "a tensor of the type without a name",
    ),
    "a storage of two sizes": (
        mapping(a=WHOLE, b=tensor((2, 4), (4, 1), number=8)),
        "the storage '0' with two types or sizes",
    ),
}


@pytest.mark.parametrize("name", PICKLED)
def test_a_pickle_that_makes_no_sense(tmp_path, name):
    pickled, said = PICKLED[name]
    refused(tmp_path / "a.pt", torch_archive(pickled), said)


def read(path: Path) -> list[object]:
    return [one.read() for one in checkpoint_tensors(path)]


def refused(path: Path, content: bytes, said: str) -> None:
    path.write_bytes(content)
    with pytest.raises(ww.UnreadableCheckpoint) as caught:
        read(path)
    assert path.name in str(caught.value)
    assert said in str(caught.value)


def test_an_object_outside_of_a_pickle_that_has_no_outside():
    from setol_ww.formats.handle import Refused
    from setol_ww.formats.pickles import Machine, Source

    with pytest.raises(Refused, match="it names an object that lies outside of it"):
        Machine(Source.of(text("x") + b"Q."), {}).run()


# Files of torch before 1.6: pickles one behind the other, then the storages.


OLD = {
    "another version": (
        b"".join([old_head()[0], pickle.dumps(7, 2), *old_head()[2:]]),
        "it is a file of torch's in a version that is not known",
    ),
    "two sizes of one storage": (
        old_file(mapping(a=tensor((3, 4), (4, 1), of=old_storage(12)), b=tensor((2, 4), (4, 1), of=old_storage(8)))),
        "a storage with two types or sizes",
    ),
    "a view without its place": (
        old_file(mapping(a=tensor((3, 4), (4, 1), of=old_storage(12, several(b"N"))))),
        "a view of a storage without its place",
    ),
    "a view beyond": (
        old_file(mapping(a=tensor((3, 4), (4, 1), of=old_storage(12, several(text("1"), b"K\x05", b"K\x08"))))),
        "a view beyond its storage",
    ),
    "no list of storages": (
        old_file(mapping(a=tensor((3, 4), (4, 1), of=old_storage(12))), b"N"),
        "it does not say where its storages are",
    ),
}


@pytest.mark.parametrize("name", OLD)
def test_an_old_file_that_makes_no_sense(tmp_path, name):
    refused(tmp_path / "a.pt", *OLD[name])


# Files of torch 0.1, which are tar archives.


TARRED = {
    "cut short": (torch_tar()[:560], "it is a tar archive that is cut short or damaged"),
    "twice the same": (torch_tar()[:-1024] + torch_tar(), "two of its members are called 'storages'"),
    "a tensor of a storage without a number": (
        torch_tar(tensors=piece(b"K\x01") + piece(several(b"K\x05", b"N", b"N")) + PLACE),
        "a tensor whose storage has no number",
    ),
    "a tensor of 65 axes": (
        torch_tar(tensors=ONE + struct.pack("<ii", 65, 0) + bytes(2000)),
        "a tensor of 65 dimensions",
    ),
    "a tensor that is not there": (torch_tar(pickled=b"K\x07Q"), "an object outside of it that is not there"),
    "a storage beyond its member": (
        torch_tar(storages=FLOATS + struct.pack("<q", 1000) + bytes(48)),
        "it is cut short: its storages reach beyond their member",
    ),
    "a view without a place": (
        torch_tar(storages=STORED + piece(b"](" + several(b"K\x01") + b"e")),
        "a view of a storage without its place",
    ),
    "a view of nothing": (
        torch_tar(storages=STORED + piece(b"](" + several(b"K\x01", b"K\x09", b"K\x00", b"K\x02") + b"e")),
        "a view of a storage that is not there",
    ),
    "too many objects": (
        torch_tar(storages=piece(integer(2**40))),
        "a number of objects that their bytes cannot hold",
    ),
    "an object without a class": (
        torch_tar(storages=piece(b"K\x01") + piece(several(b"K\x00", b"N"))),
        "an object without its key, place and class",
    ),
}


@pytest.mark.parametrize("name", TARRED)
def test_a_tar_archive_that_makes_no_sense(tmp_path, name):
    refused(tmp_path / "a.pt", *TARRED[name])


def test_the_sound_files_beside_them_are_read(tmp_path):
    """What is broken above is so by the one thing that is said."""
    sound = {
        "zip.pt": torch_archive(mapping(w=WHOLE)),
        "old.pt": old_file(mapping(w=tensor((3, 4), (4, 1), of=old_storage(12)))),
        "tar.pt": torch_tar(),
    }
    for name, content in sound.items():
        (tmp_path / name).write_bytes(content)
        (one,) = checkpoint_tensors(tmp_path / name)
        assert np.asarray(one.read()).tolist() == np.arange(12.0).reshape(3, 4).tolist(), name


# Checkpoints of torch.distributed.


def distributed(folder: Path, chunks: list[tuple[tuple[int, int], tuple[int, int]]], **told: object) -> str:
    """The metadata of a tensor of 6 x 4 in these parts (offsets, sides), each in a file of its own; what refuses it."""
    properties = told.get("properties", kinds.TensorProperties(dtype=torch.float32))
    parts = [kinds.ChunkStorageMetadata(torch.Size(at), torch.Size(sides)) for at, sides in chunks]
    entry = kinds.TensorStorageMetadata(properties, torch.Size((6, 4)), parts)
    places = {}
    for number, (at, _) in enumerate(chunks):
        buffer = io.BytesIO()
        torch.save(told.get("values", torch.ones(chunks[number][1])), buffer)
        (folder / f"{number}.distcp").write_bytes(buffer.getvalue())
        info = _StorageInfo(f"{number}.distcp", 0, len(buffer.getvalue()))
        places[kinds.MetadataIndex("w", torch.Size(at))] = info
    planner = {"w": ("w",)} if "planner" not in told else told["planner"]
    entries = {"w": entry, **told.get("others", {})}
    kept = kinds.Metadata(entries, planner, {} if told.get("lost") else places)
    (folder / ".metadata").write_bytes(pickle.dumps(kept))
    with pytest.raises(ww.UnreadableCheckpoint) as caught:
        read(folder)
    return str(caught.value)


HALVES = [((0, 0), (3, 4)), ((3, 0), (3, 4))]


def test_parts_of_a_distributed_tensor_that_make_no_sense(tmp_path):
    assert "the parts of 'w' hold 12 of 24 values" in distributed(tmp_path, HALVES[:1])
    assert "two parts of 'w' overlap" in distributed(tmp_path, [HALVES[0], ((2, 0), (3, 4))])
    assert "a part of (3, 4) at (4, 0) of a tensor of (6, 4)" in distributed(tmp_path, [((4, 0), (3, 4))])
    assert "where the part of 'w' at (0, 0) lies is not said" in distributed(tmp_path, HALVES, lost=True)
    assert "a part of a tensor of float32 is of float64" in distributed(
        tmp_path, HALVES, values=torch.ones(3, 4, dtype=torch.float64)
    )
    assert "there is no tensor of the shape (3, 4)" in distributed(tmp_path, HALVES, values=torch.ones(2, 4))
    assert "a tensor without a type" in distributed(tmp_path, HALVES, properties=(1, 2))
    deep = {"w": ("w",), "v": ("w", "v")}
    other = kinds.TensorStorageMetadata(kinds.TensorProperties(dtype=torch.float32), torch.Size((0, 4)), [])
    assert "a tensor inside of a tensor (v)" in distributed(tmp_path, HALVES, planner=deep, others={"v": other})


# Safetensors, Flax, GGUF and ONNX.


ARRAY = b"\x93\x92\x03\x04\xa7float32\xc4\x30" + bytes(48)

OTHERS = {
    "safetensors, a list": (".safetensors", safetensors([1]), "its header is no JSON object"),
    "safetensors, metadata of numbers": (
        ".safetensors",
        safetensors({"__metadata__": {"a": 1}, "w": entry()}),
        "its __metadata__ is no mapping of words to words",
    ),
    "safetensors, another type": (
        ".safetensors",
        safetensors({"w": entry("F31")}),
        "'w' has the type 'F31'; known are BF16, BOOL",
    ),
    "safetensors, one offset": (
        ".safetensors",
        safetensors({"w": entry(offsets=[0])}),
        "the data_offsets of 'w' are no pair",
    ),
    "safetensors, a hole": (
        ".safetensors",
        safetensors({"w": entry(offsets=[4, 52])}, bytes(52)),
        "its tensors overlap or leave a hole at byte",
    ),
    "flax, more": (".msgpack", b"\x80\x80", "it goes on behind its end at byte 1"),
    "flax, no value": (".msgpack", b"\xc1", "the byte 0xc1 at 0, which begins no value"),
    "flax, deep": (".msgpack", b"\x81\xa1a" * 2000 + b"\x80", "maps inside maps without an end"),
    "flax, a long text": (".msgpack", b"\xdb" + struct.pack(">I", 2**31) + b"x", "a text of 2147483648 bytes"),
    "flax, a list for a key": (".msgpack", b"\x81\x90\x80", "a map with a list for a key"),
    "flax, an array of words": (
        ".msgpack",
        b"\x81\xa1w\xc7\x0d\x01" + b"\x93\x92\x03\x04\xa7float32\xa0",
        "without its type or bytes",
    ),
    "flax, another size": (
        ".msgpack",
        b"\x81\xa1w\xc7" + bytes([len(ARRAY)]) + b"\x01" + ARRAY.replace(b"\x92\x03", b"\x92\x02"),
        "an array of the shape (2, 4) of float32 in 48 bytes",
    ),
    "gguf, another start": (".gguf", b"GGML" + bytes(20), "it does not begin with GGUF"),
    "gguf, version 9": (".gguf", gguf(version=9), "a file of version 9; known are 2 and 3"),
    "gguf, an alignment of 3": (
        ".gguf",
        gguf(count=(0, 1), pairs=word("general.alignment") + struct.pack("<II", 4, 3)),
        "an alignment of 3, no power of two",
    ),
    "gguf, metadata of no type": (
        ".gguf",
        gguf(count=(0, 1), pairs=word("a") + struct.pack("<I", 99)),
        "metadata of the type 99",
    ),
    "gguf, one name twice": (
        ".gguf",
        gguf(count=(2, 0), tensors=described("w", 4, 3) + described("w", 4, 3)) + bytes(200),
        "two tensors are called 'w'",
    ),
    "gguf, nine axes": (".gguf", gguf(count=(1, 0), tensors=described("w", *[1] * 9)), "a tensor of 9 axes"),
    "gguf, half a block": (
        ".gguf",
        gguf(count=(1, 0), tensors=described("w", 40, 3, kind=8)) + bytes(400),
        "rows of 40 values of the type Q8_0, which come in blocks of 32",
    ),
    "onnx, no graph": (".onnx", field(2, b"torch"), "there is no graph with initialisers in it"),
    "onnx, a number without an end": (".onnx", b"\xff" * 30, "a number without an end at byte"),
    "onnx, one name twice": (".onnx", onnx(initialiser("w"), initialiser("w")), "two of its tensors are called 'w'"),
    "onnx, no values": (
        ".onnx",
        onnx(initialiser("w", None).replace(b"\x08\x03", b"\x08\x7f")),
        "'w' has no values for the shape (127, 4)",
    ),
    "onnx, another size": (".onnx", onnx(initialiser("w", bytes(44))), "'w' has 44 bytes; its shape and type need 48"),
    "onnx, a file that is not there": (
        ".onnx",
        onnx(initialiser("w", None, location="gone.bin")),
        "a tensor lies in the file 'gone.bin', which is not there",
    ),
    "onnx, an offset in words": (
        ".onnx",
        onnx(initialiser("w", None, location="a.onnx", offset="two")),
        "'two' where a number belongs",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_file_that_makes_no_sense(tmp_path, name):
    ending, content, said = OTHERS[name]
    pytest.importorskip({".gguf": "gguf", ".onnx": "onnx"}.get(ending, "numpy"), reason="an extra is not installed")
    refused(tmp_path / f"a{ending}", content, said)


def test_parts_of_a_tensor_are_asked_forward_and_within_its_axes(tmp_path):
    from safetensors.torch import save_file

    save_file({"w": torch.ones(30, 20)}, tmp_path / "a.safetensors")
    (one,) = checkpoint_tensors(tmp_path / "a.safetensors")
    with pytest.raises(ww.UnreadableCheckpoint, match=r"the index \(0, 0, 0\) was asked of a tensor of 2 dimensions"):
        one.read((0, 0, 0))
    with pytest.raises(ww.UnreadableCheckpoint, match="accepted are slices that go forward"):
        one.read((slice(None, None, -1),))
