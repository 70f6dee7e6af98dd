"""Tables of the formats, entry by entry: calls that are refused, names of variables, words of servers, their errors."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import setol_ww as ww
from fixtures.broken_files import called, mapping, npy_bytes, several, tensor, text, torch_archive, zipped
from fixtures.file_bytes import described, entry, gguf, initialiser, old_file, old_storage, onnx, safetensors, torch_tar
from setol_ww.formats import hub, remote, urls
from setol_ww.formats.checkpoints import checkpoint_tensors
from setol_ww.formats.handle import Handle
from setol_ww.formats.reader import forget, opened

# Calls in pickles.

#: What the standard library has, in Python 2 or 3, to run code or to reach beyond the process.
HARMFUL = (
    *("os.system", "os.path.join", "posix.system", "nt.system", "subprocess.Popen", "sys.exit", "socket.socket"),
    *("shutil.rmtree", "runpy.run_path", "importlib.import_module", "pty.spawn", "commands.getoutput"),
    *("webbrowser.open", "ctypes.CDLL", "pdb.run", "bdb.Bdb", "code.interact"),
    *(
        f"{module}.{name}"
        for module in ("builtins", "__builtin__")
        for name in ("eval", "exec", "execfile", "compile", "__import__", "open", "file", "breakpoint", "input")
    ),
)
HARMLESS = (
    "collections.deque",
    "argparse.Namespace",
    "builtins.slice",
    "mine.system",
    "osx.system",
    "pathlib.PosixPath",
)


@pytest.mark.parametrize("what", [*HARMFUL, *HARMLESS])
def test_what_would_run_code_is_refused_by_its_name(tmp_path, what):
    module, _, name = what.rpartition(".")
    content = mapping(w=tensor((3, 4), (4, 1)), x=called(module, name, several(text("a"))))
    path = tmp_path / "a.pt"
    path.write_bytes(torch_archive(content))
    if what in HARMLESS:
        assert [one.name for one in checkpoint_tensors(path)] == ["w"]
        return
    with pytest.raises(ww.UnreadableCheckpoint) as told:
        checkpoint_tensors(path)
    assert str(told.value) == f"{path}: refused, it is not plain weights (loaded elsewhere it would call {what})"


# Keras.

W, b = np.ones((3, 2), np.float32), np.ones(2, np.float32)
#: Classes of layers as paths have them, and the variables of each in the order in which Keras makes them.
MADE = {
    # Of several heads also the bias is a matrix.
    **{f"{name}_dense": {"kernel": W, "bias": W} for name in ("query", "key", "value", "output", "einsum")},
    "embedding": {"embeddings": W},
    "batch_normalization": {"gamma": b, "beta": b, "moving_mean": b, "moving_variance": b},
    "layer_normalization": {"gamma": b, "beta": b},
    "group_normalization": {"gamma": b, "beta": b},
    "cell": {"kernel": W, "recurrent_kernel": W, "bias": b},
    **{f"depthwise_conv{n}d": {"depthwise_kernel": np.ones((*[3] * n, 2, 1)), "bias": b} for n in (1, 2)},
    **{
        f"separable_conv{n}d": {
            "depthwise_kernel": np.ones((*[3] * n, 2, 1)),
            "pointwise_kernel": np.ones((*[1] * n, 2, 4)),
            "bias": b,
        }
        for n in (1, 2)
    },
    "dense": {"kernel": W, "bias": b},
}


@pytest.mark.parametrize("numbered", ["", "_3"])
def test_variables_of_every_class_of_keras_have_their_names(tmp_path, numbered):
    library = pytest.importorskip("h5py", reason="the extra setol-ww[keras] is not installed")
    path = tmp_path / "model.weights.h5"
    with library.File(path, "w") as file:
        for kind, variables in MADE.items():
            for at, values in enumerate(variables.values()):
                file.create_dataset(f"layers/{kind}{numbered}/vars/{at}", data=values)
    wanted = {f"{kind}{numbered}.{name}" for kind, variables in MADE.items() for name in variables}
    assert set(opened(path).headers) == wanted


@pytest.mark.parametrize(
    "kind", ["Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"]
)
def test_kernels_of_every_convolution_of_keras_have_their_axes(tmp_path, kind):
    """Told by the class in the config, or by the name that a path has of it; no other layer has axes of its own."""
    library = pytest.importorskip("h5py", reason="the extra setol-ww[keras] is not installed")
    sides = int(kind[4])
    step = f"conv{sides}d" + ("_transpose" if kind.endswith("Transpose") else "")
    kernel = np.ones((*[3] * sides, 2, 4), np.float32)
    path = tmp_path / "model.weights.h5"
    with library.File(path, "w") as file:
        file.create_dataset(f"layers/{step}/vars/0", data=kernel)
        file.create_dataset("mine/kernel:0", data=kernel)
        file.create_dataset("layers/dense/vars/0", data=kernel)
        file.attrs["model_config"] = f'{{"class_name": "{kind}", "config": {{"name": "mine"}}}}'
    facts = {name: dict(one.facts) for name, one in opened(path).headers.items()}
    axes = {"axes": (sides + 1, sides)}
    assert facts == {f"{step}.kernel": axes, "mine.kernel": axes, "dense.kernel": {}}


# Servers.

#: Words of file systems for what changes with the content, the surest first.
WORDS = ("ETag", "etag", "Content-MD5", "md5Hash", "VersionId", "generation", "LastModified", "Last-Modified")
WORDS += ("mtime", "last_modified", "updated", "created")


@pytest.mark.parametrize("first", range(len(WORDS)))
def test_the_surest_word_that_a_server_has_for_a_file(monkeypatch, first):
    told = {word: f"by {word}" for word in reversed(WORDS[first:])}

    class System:
        protocol = ("memory",)

        def invalidate_cache(self, path: str) -> None:
            pass

        def info(self, path: str) -> dict[str, Any]:
            return {"size": 7, **told}

    monkeypatch.setattr(urls.UrlPath, "_system", lambda self: (System(), "b/a.pt"))
    found = urls.UrlPath("memory://b/a.pt").info(fresh=True)
    assert found == remote.Info(7, f"by {WORDS[first]}")
    urls.forget_told()


CLIENTS = {
    "aiohttp": ("ClientError",),
    "httpx": ("HTTPError",),
    "httpx2": ("HTTPError",),
    "requests": ("RequestException",),
    "botocore.exceptions": ("BotoCoreError", "ClientError"),
    "huggingface_hub.errors": ("RepositoryNotFoundError",),
}


@pytest.mark.parametrize("module", CLIENTS)
def test_errors_of_every_client_are_failures_of_a_request(module, monkeypatch):
    """Of those that are loaded; nothing else that goes wrong is taken for one."""
    try:
        loaded: Any = importlib.import_module(module)
    except ImportError:
        loaded = SimpleNamespace(**{name: type(name, (Exception,), {}) for name in CLIENTS[module]})
        monkeypatch.setitem(sys.modules, module, loaded)
    found = remote.failures()
    assert {OSError, asyncio.TimeoutError, *(getattr(loaded, name) for name in CLIENTS[module])} <= set(found)
    assert not any(issubclass(kind, found) for kind in (ValueError, KeyError, MemoryError, KeyboardInterrupt))


class Answer:
    """What a server sends of a file, from a byte on."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def iter_bytes(self) -> list[bytes]:
        return [b"de", b"fg"]


def test_what_is_asked_of_the_hub_for_a_part_of_a_file(monkeypatch):
    """The bytes of the file at its commit, as they are, by who may read it, within the hub's own time."""
    headers = {"Content-Range": "bytes 3-6/9"}
    asked: list[Any] = []
    looked_at: list[Any] = []

    def stream(method: str, url: str, **told: Any) -> Answer:
        asked.append((method, url, told))
        return Answer(headers)

    modules = {
        "huggingface_hub": SimpleNamespace(hf_hub_url=lambda repo, file, revision: f"{repo} {file} {revision}"),
        "huggingface_hub.utils": SimpleNamespace(
            get_session=lambda: SimpleNamespace(stream=stream),
            build_hf_headers=lambda: {"authorization": "Bearer x"},
            hf_raise_for_status=looked_at.append,
        ),
        "huggingface_hub.constants": SimpleNamespace(HF_HUB_DOWNLOAD_TIMEOUT=17),
    }
    monkeypatch.setattr(hub, "needed", lambda name, *_: modules[name])
    place = hub.HubPath("hf://org/net@abc/sub/a.npy")
    assert list(place.pieces(3, 7)) == [b"de", b"fg"]
    wanted = {"authorization": "Bearer x", "Range": "bytes=3-6", "Accept-Encoding": "identity"}
    assert asked == [("GET", "org/net sub/a.npy abc", {"headers": wanted, "timeout": 17})]
    assert len(looked_at) == 1
    for other in ({"Content-Range": "bytes 0-8/9"}, {}):
        headers.clear()
        headers.update(other)
        with pytest.raises(ww.UnreadableCheckpoint, match="its server does not give parts of files"):
            list(place.pieces(3, 7))


def test_a_file_in_the_cache_is_that_of_the_commit(monkeypatch, tmp_path):
    """The cache may have another commit's; one of another size was cut short."""
    kept = tmp_path / "a.npy"
    np.save(kept, W)
    asked: list[Any] = []

    def cached(repo: str, file: str, revision: str = "main") -> str | None:
        asked.append((repo, file, revision))
        return str(kept) if revision == "abc" else None

    files = {"a.npy": remote.Info(kept.stat().st_size, "v7")}
    monkeypatch.setattr(hub, "_files", {("org/net", commit): files for commit in ("abc", "other")})
    monkeypatch.setattr(hub, "needed", lambda *_: SimpleNamespace(try_to_load_from_cache=cached))
    with hub.HubPath("hf://org/net@abc/a.npy").handle() as handle:
        assert (str(handle.path), handle.version, handle.size) == (
            "hf://org/net@abc/a.npy", "v7", kept.stat().st_size,
        )  # fmt: skip
        assert handle.text(0, 6) == b"\x93NUMPY"
    assert type(hub.HubPath("hf://org/net@other/a.npy").handle()) is remote.RemoteHandle
    kept.write_bytes(b"short")
    assert type(hub.HubPath("hf://org/net@abc/a.npy").handle()) is remote.RemoteHandle
    assert asked == [("org/net", "a.npy", commit) for commit in ("abc", "other", "abc")]


def test_a_file_system_that_takes_no_advice_is_read_all_the_same(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", W)

    def refusing(*_: object) -> None:
        raise OSError("no advice")

    monkeypatch.setattr(os, "posix_fadvise", refusing, raising=False)
    opened(tmp_path / "a.npy").foresee("a.weight")
    assert opened(tmp_path / "a.npy").read("a.weight").tolist() == W.tolist()


def test_a_tensor_is_read_at_once(tmp_path, monkeypatch):
    """By one request of the system, of up to 1 GiB; it may give less, then the rest is asked for."""
    values = np.arange(10_000.0).reshape(100, 100)
    np.save(tmp_path / "a.npy", values)
    real, asked = os.preadv, []

    def half(descriptor: int, buffers: list[Any], offset: int) -> int:
        (buffer,) = buffers
        asked.append(len(buffer))
        return real(descriptor, [buffer[: max(len(buffer) // 2, 1)]], offset)

    reader = opened(tmp_path / "a.npy")
    with Handle(tmp_path / "a.npy") as handle:
        monkeypatch.setattr(os, "preadv", half)
        assert handle.text(0, 80_000) == (tmp_path / "a.npy").read_bytes()[:80_000]
    assert asked[:3] == [80_000, 40_000, 20_000]
    assert reader.read("a.weight").tolist() == values.tolist()


# By what files are known again.

#: A scan that began with an earlier version goes on with this one: the digests stay.
KNOWN = {
    "a.npy": "7fef43bdc0495f4057b47c8455cb36cd",
    "large.npy": "5a0f090185de29a38d289e5f127a93a2",
    "a.npz": "99a0bceb1b3b6ce506342853c1e447ac",
    "a.safetensors": "b926a68a97f5a67bfd996baaa3792ec1",
    "a.pt": "e362cf3d932003effd3eaff9a6d228bf",
    "old.pt": "19d7f5677c256ba0788b176cd55a0c19",
    "tar.pt": "243aa8452634cbb24fc300377c44373c",
    "a.gguf": "58348ebd018f321307a0ecb8eaa6812a",
    "a.onnx": "67322e0263ebfe9baf5657446069aa36",
    "a.msgpack": "e48666a307cb89acfa30250e1ade24e6",
    "a.pt2": "e83daf1854654f3ed0915f7fe2b586dc",
    "a.zip": "1ac3ed49681b930dab80b6ea24cb423e",
}


def files_of_all() -> dict[str, bytes]:
    """The same bytes on every machine, of each format that one can write so."""
    array = np.arange(12, dtype="<f4").reshape(3, 4)
    npy = npy_bytes(array)
    flax = b"\x93\x92\x03\x04\xa7float32\xc4\x30" + array.tobytes()
    meta = {"dtype": 7, "sizes": [3, 4], "strides": [4, 1], "storage_offset": 0}
    table = json.dumps({"config": {"w": {"path_name": "w0", "tensor_meta": meta}}}).encode()
    large = npy_bytes(np.resize(np.arange(251, dtype=np.uint8), (2**11, 2**11 + 8)))
    return {
        "a.npy": npy,
        "large.npy": large,
        "a.npz": zipped([("v.npy", npy), ("w.npy", npy)]),
        "a.safetensors": safetensors({"w": entry()}),
        "a.pt": torch_archive(mapping(v=tensor((3, 4), (4, 1)), w=tensor((2, 4), (4, 1), 4))),
        "old.pt": old_file(mapping(w=tensor((3, 4), (4, 1), of=old_storage(12)))),
        "tar.pt": torch_tar(),
        "a.gguf": gguf(count=(1, 0), tensors=described("w", 4, 3)) + bytes(200),
        "a.onnx": onnx(initialiser("v"), initialiser("w")),
        "a.msgpack": b"\x81\xa1w\xc7" + bytes([len(flax)]) + b"\x01" + flax,
        "a.pt2": zipped([("a/data/weights/model_weights_config.json", table), ("a/data/weights/w0", array.tobytes())]),
        "a.zip": zipped([("policy.pth", torch_archive(mapping(w=tensor((3, 4), (4, 1)))))]),
    }


def test_a_file_is_known_by_the_same_word_as_before(tmp_path):
    digests = {}
    for name, content in files_of_all().items():
        library = {".gguf": "gguf", ".onnx": "onnx"}.get(Path(name).suffix, "numpy")
        if importlib.util.find_spec(library) is None:
            continue
        (tmp_path / name).write_bytes(content)
        digests[name] = opened(tmp_path / name).fingerprint.digest
    assert digests == {name: KNOWN[name] for name in digests}
    assert {"a.npy", "a.pt", "a.safetensors"} <= digests.keys()


# Limits, on both sides.


def words_of(path: Path) -> str:
    """Why a file is not read, or the names of its tensors."""
    try:
        return " ".join(opened(path).headers)
    except ww.UnreadableCheckpoint as error:
        return str(error)


def test_a_header_of_safetensors_has_a_hundred_million_bytes_at_most(tmp_path, monkeypatch):
    """As the library has it; a longer one is refused before it is read."""
    texts = Handle.text
    monkeypatch.setattr(Handle, "text", lambda self, at, size: texts(self, at, size) if size < 1000 else b"long")
    path = tmp_path / "a.safetensors"
    for length, said in ((10**8, "its header is no JSON object"), (10**8 + 1, "its header is to have 100000001 bytes")):
        with path.open("wb") as file:
            file.write(struct.pack("<Q", length))
            file.truncate(8 + length)
        assert said in words_of(path)


@pytest.mark.parametrize("code", ["F6_E2M3", "F6_E3M2"])
def test_four_values_of_six_bits_are_three_bytes(tmp_path, code):
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors({"w": {"dtype": code, "shape": [3, 4], "data_offsets": [0, 9]}}, bytes(9)))
    (one,) = opened(path).headers.values()
    assert (one.dtype, one.unfit) == (
        code.lower(), f"the type {code} packs values across bytes, which torch has no type for",
    )  # fmt: skip


@pytest.mark.parametrize(("axes", "said"), [(8, "w"), (9, "a tensor of 9 axes")])
def test_a_tensor_of_gguf_has_eight_axes_at_most(tmp_path, axes, said):
    pytest.importorskip("gguf", reason="the extra setol-ww[gguf] is not installed")
    path = tmp_path / "a.gguf"
    path.write_bytes(gguf(count=(1, 0), tensors=described("w", *[1] * axes)) + bytes(200))
    assert words_of(path).endswith(said)


@pytest.mark.parametrize(("size", "name"), [(2**16, "block.fc.weight"), (2**16 + 1, "onnx::MatMul_12")])
def test_a_node_of_onnx_that_is_larger_than_any_is_not_looked_at(tmp_path, size, name):
    """A constant holds its tensor in the node: what a layer says of its weight is short."""
    onnx = pytest.importorskip("onnx", reason="the extra setol-ww[onnx] is not installed")
    node = onnx.helper.make_node("MatMul", ["x", "onnx::MatMul_12"], ["y"], name="/block/fc/MatMul", doc_string="a")
    node.doc_string = "a" * (size - node.ByteSize() - 1)
    node.doc_string = "a" * (len(node.doc_string) + size - node.ByteSize())
    assert node.ByteSize() == size
    tensor = onnx.numpy_helper.from_array(np.ones((3, 4), np.float32), "onnx::MatMul_12")
    onnx.save_model(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [], [tensor])), tmp_path / "a.onnx")
    assert words_of(tmp_path / "a.onnx") == name


@pytest.mark.parametrize(("size", "sound"), [(199_999, True), (200_000, False)])
def test_a_config_of_keras_has_two_hundred_thousand_values_at_most(tmp_path, size, sound):
    library = pytest.importorskip("h5py", reason="the extra setol-ww[keras] is not installed")
    with library.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("w", data=W)
        file.attrs["model_config"] = f"[{','.join('0' * size)}]"
    assert words_of(tmp_path / "a.h5").endswith("w" if sound else "a config without an end")


def test_five_hundred_and_twelve_files_are_known_at_once(tmp_path):
    """The one that was asked for longest ago is opened anew."""
    forget()
    for number in range(513):
        np.save(tmp_path / f"{number}.npy", W)
    first, *others = (opened(tmp_path / f"{number}.npy") for number in range(512))
    assert opened(tmp_path / "0.npy") is first
    opened(tmp_path / "512.npy")
    assert opened(tmp_path / "0.npy") is first
    assert opened(tmp_path / "2.npy") is others[1]
    assert opened(tmp_path / "1.npy") is not others[0]
    forget()


@pytest.mark.parametrize(("size", "fetched"), [(2**28, 1), (2**28 + 1, 2)])
def test_the_last_part_of_a_remote_file_stays_up_to_a_quarter_of_a_gib(monkeypatch, size, fetched):
    """What analyses a tensor may read it three times."""

    class Place(remote.RemotePath):
        def info(self, fresh: bool = False) -> remote.Info:
            return remote.Info(2**30, "v1")

    asked: list[int] = []
    monkeypatch.setattr(remote.RemoteHandle, "_fetched", lambda self, at, size: (asked.append(size), np.empty(0))[1])
    handle = Place("memory://a.npy").handle()
    for _ in range(2):
        handle.read(0, size)
    assert asked == [size] * fetched
    remote.forget_blocks()
