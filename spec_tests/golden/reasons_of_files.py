"""Why tensors of sound files have no values that can be read: see `kept_words.py`."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from fixtures.broken_files import called, mapping, several, storage, text, torch_archive, zipped
from fixtures.file_bytes import described, entry, gguf, onnx, safetensors
from setol_ww.formats.checkpoints import checkpoint_tensors

from .kept_words import Call
from .refused_bytes import bfloat16, h5, holding, weight


def unread(call: Call) -> Call:
    """What is said of every tensor of the file that a call of `refused_bytes.py` reads."""

    def asked(folder: Path) -> str:
        try:
            call(folder)
        except OSError:
            pass
        (file,) = folder.iterdir()
        return "\n".join(f"{one.name}: {one.dtype}, {one.unfit}" for one in checkpoint_tensors(file))

    return asked


def file(name: str, content: bytes) -> Call:
    """Of a file of these bytes."""
    return unread(holding(name, content))


def pickled(made: bytes) -> Call:
    """Of one tensor in an archive of torch's."""
    return file("a.pt", torch_archive(mapping(w=made)))


SIDES = (several(b"K\x03", b"K\x04"), several(b"K\x04", b"K\x01"))
LAZY = b"}" + text("conj") + b"\x88s"
HELD = several(storage(12), b"K\x00", *SIDES, b"\x89", b"}", LAZY)
PACKED = several(storage(48, kind="QUInt4x2Storage"), b"K\x00", *SIDES, several(), b"\x89", b"}")
FLOAT = b"ctorch\nfloat32\n"
CLASS = b"cmine\nKind\n"

TORCH: dict[str, Call] = {
    "torch: conjugated": pickled(called("torch._utils", "_rebuild_tensor_v2", HELD)),
    "torch: four bits": pickled(called("torch._utils", "_rebuild_qtensor", PACKED)),
    "torch: a class": pickled(called("torch._utils", "_rebuild_wrapper_subclass", several(CLASS, FLOAT, *SIDES))),
    "torch: made by a stranger": pickled(called("mine", "make", several(storage(12)))),
    "pt2: pickled": file(
        "a.pt2",
        zipped(
            [
                (
                    "net/data/weights/model_weights_config.json",
                    json.dumps({"config": {"w": {**weight()["config"]["w"], "use_pickle": True}}}).encode(),
                )
            ]
        ),
    ),
}


def swapped(folder: Path) -> str:
    """A file of another machine, its values in blocks."""
    from gguf import GGUFWriter

    kinds, endian = importlib.import_module("gguf").GGMLQuantizationType, importlib.import_module("gguf").GGUFEndian
    writer = GGUFWriter(folder / "m.gguf", "llama", endianess=endian.BIG)
    writer.add_tensor("w", np.zeros((3, 34), np.uint8), raw_dtype=kinds.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return unread(lambda _: None)(folder)


def empty(file: Any) -> None:
    file.create_dataset("empty", data=importlib.import_module("h5py").Empty("f"))


def words(file: Any) -> None:
    file.create_dataset("words", data=np.array([[b"a", b"b"]]))


def virtual(file: Any) -> None:
    library = importlib.import_module("h5py")
    layout = library.VirtualLayout(shape=(3, 4), dtype="f4")
    layout[:] = library.VirtualSource("other.h5", "w", shape=(3, 4))
    file.create_virtual_dataset("w", layout)


def in_six_bits(code: str, size: int) -> bytes:
    return safetensors({"w": entry(code, (0, size))}, bytes(size))


WORDS = b"\x93\x92\x03\x04\xa5<U4__\xc4\x30" + bytes(48)

OTHERS: dict[str, Call] = {
    "safetensors: six bits": file("a.safetensors", in_six_bits("F6_E2M3", 9)),
    "safetensors: an odd number": file(
        "a.safetensors", safetensors({"w": {"dtype": "F4", "shape": [2, 3], "data_offsets": [0, 3]}}, bytes(3))
    ),
    "flax: words": file("a.msgpack", b"\x81\xa1w\xc7" + bytes([len(WORDS)]) + b"\x01" + WORDS),
    "gguf: a newer type": file("m.gguf", gguf(count=(1, 0), tensors=described("w", 4, 3, kind=999)) + bytes(200)),
    "gguf: a single value": file("m.gguf", gguf(count=(1, 0), tensors=described("w", kind=8)) + bytes(200)),
    "gguf: of another machine": swapped,
    "keras: nothing": unread(h5(empty)),
    "keras: words": unread(h5(words)),
    "keras: bfloat16 in chunks": unread(h5(bfloat16)),
    "keras: elsewhere": unread(h5(virtual)),
    "onnx: words": file("a.onnx", onnx(b"\x08\x03\x08\x04\x10\x08" + b"\x42\x01w")),
}

CALLS: dict[str, Call] = {**TORCH, **OTHERS}
