"""Chapter 8: readers of files: what they give, what they refuse, and how they notice that a file has changed."""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import socket
import struct
import tarfile
import threading
import time
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import setol_ww as ww
from fixtures.broken_files import (
    called,
    mapping,
    safetensors_bytes,
    several,
    storage,
    tensor,
    text,
    torch_archive,
    torch_bytes,
    unzipped,
    zipped,
)
from fixtures.file_bytes import headed
from setol_ww.core.errors import ChangedCheckpoint
from setol_ww.formats import blocks
from setol_ww.formats import folder as folder_format
from setol_ww.formats import reader as readers
from setol_ww.formats.checkpoints import checkpoint_tensors, tensor_named
from setol_ww.formats.handle import Handle
from setol_ww.formats.reader import opened
from setol_ww.formats.registry import FORMATS, accepted, formats_table
from setol_ww.weights.tensors import natural_key

W = np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)
# Seconds that tell a hang, on any machine.
HANG = 60.0
TWELVE = np.arange(12, dtype=np.float32)


def values(path: Path) -> dict[str, object]:
    return {one.name: one.read() for one in checkpoint_tensors(path)}


def saved(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def assert_same_state(found: dict, truth: dict) -> None:
    assert list(found) == list(truth)
    for name, value in truth.items():
        assert found[name].dtype == value.dtype, name
        assert torch.equal(found[name], value.detach()), name


# What torch files hold.


class Net(nn.Module):
    """Every kind of name that a state dict has, and one that it has not."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 5)
        self.inner = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
        self.tied = self.first
        self.register_buffer("table", torch.ones(4, 4))
        self.register_buffer("unsaved", torch.ones(4, 4), persistent=False)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_module_that_was_saved_whole_has_the_names_of_its_state_dict(tmp_path, legacy):
    net = Net()
    for content in (net, {"model": net, "epoch": 1}):
        torch.save(content, tmp_path / "net.pt", _use_new_zipfile_serialization=not legacy)
        assert_same_state(values(tmp_path / "net.pt"), net.state_dict())
    torch.save({"model": None, "ema": net}, tmp_path / "net.pt", _use_new_zipfile_serialization=not legacy)
    assert_same_state(values(tmp_path / "net.pt"), {f"ema.{name}": one for name, one in net.state_dict().items()})
    tied = {one.name: one.same_as for one in checkpoint_tensors(tmp_path / "net.pt")}
    assert tied["ema.tied.weight"] == "ema.first.weight"


@pytest.mark.parametrize("legacy", [False, True])
def test_objects_beside_the_weights_cost_nothing(tmp_path, legacy):
    state = {"a.weight": torch.randn(5, 4), "half": torch.randn(3, 3).bfloat16()}
    content = {
        "state_dict": OrderedDict(state),
        "args": argparse.Namespace(lr=1e-3, path=Path("x")),
        "best": np.float64(3),
    }
    torch.save(content, tmp_path / "c.ckpt", _use_new_zipfile_serialization=not legacy)
    assert_same_state(values(tmp_path / "c.ckpt"), state)
    arrays = {"a.weight": W, "f": np.asfortranarray(W), "scalar": np.float32(2), "big": W.astype(">f4")}
    torch.save(arrays, tmp_path / "n.pt", _use_new_zipfile_serialization=not legacy)
    for name, value in values(tmp_path / "n.pt").items():
        np.testing.assert_array_equal(value, arrays[name])


def test_strides_offsets_and_tied_weights(tmp_path):
    base = torch.randn(12, 10)
    state = {"t": base.t(), "part": base[2:7, 3:9], "steps": base[::3, ::2], "one": base, "two": base, "none": base[:0]}
    torch.save(state, tmp_path / "s.pt")
    assert_same_state(values(tmp_path / "s.pt"), state)
    assert [one.same_as for one in checkpoint_tensors(tmp_path / "s.pt")] == ["", "", "", "", "one", ""]
    for one in checkpoint_tensors(tmp_path / "s.pt")[:4]:
        for index in ((1,), (slice(1, 3),), (slice(None), slice(1, 4)), (2, 3), (slice(0, 4, 2),), (-1,)):
            assert torch.equal(one.read(index), state[one.name][index]), (one.name, index)


def test_what_has_no_values_says_why(tmp_path):
    state = {
        "sparse": torch.eye(4).to_sparse(),
        "meta": torch.empty(3, 3, device="meta"),
        "expanded": torch.ones(3).expand(4, 3),
        "good.weight": torch.randn(9, 8),
    }
    torch.save(state, tmp_path / "s.pt")
    said = {one.name: one.unfit for one in checkpoint_tensors(tmp_path / "s.pt")}
    assert "sparse" in said["sparse"]
    assert "meta device" in said["meta"]
    assert "repeat values" in said["expanded"]
    assert not said["good.weight"]
    assert ww.analyze(tmp_path / "s.pt")["longname"].tolist() == ["good"]
    with pytest.raises(ww.UnreadableCheckpoint, match=r"s\.pt: its strides repeat values"):
        tensor_named(tmp_path / "s.pt", "expanded").read()


def test_a_tensor_of_an_unknown_kind_is_mentioned(tmp_path):
    odd = called("torch._utils", "_rebuild_tensor_v9", several(storage(12)))
    saved(tmp_path / "f.pt", torch_archive(mapping(odd=odd, w=tensor((3, 4), (4, 1)))))
    said = {one.name: one.unfit for one in checkpoint_tensors(tmp_path / "f.pt")}
    assert said == {"odd": said["odd"], "w": ""}
    assert "_rebuild_tensor_v9 makes it" in said["odd"]


@pytest.mark.parametrize("order", ["little", "big"])
def test_byte_orders_of_archives(tmp_path, order):
    data = TWELVE.astype(">f4" if order == "big" else "<f4").tobytes()
    content = torch_archive(mapping(w=tensor((3, 4), (4, 1))), ("data/0", data), ("byteorder", order.encode()))
    assert torch.equal(values(saved(tmp_path / "b.pt", content))["w"], torch.arange(12.0).reshape(3, 4))
    content = torch_archive(mapping(w=tensor((3, 4), (4, 1))), ("data/0", data), ("byteorder", b"middle"))
    with pytest.raises(ww.UnreadableCheckpoint, match="byte order"):
        checkpoint_tensors(saved(tmp_path / "b.pt", content))


def tar_of(state: dict[str, torch.Tensor], views: bool = False) -> bytes:
    """A file as torch 0.1 wrote it."""
    storages, tensors = io.BytesIO(), io.BytesIO()
    pickle.dump(len(state), storages, 2)
    pickle.dump(len(state), tensors, 2)
    for key, one in enumerate(state.values()):
        pickle.dump((key, "cpu", torch.FloatStorage), storages, 2)
        storages.write(struct.pack("<q", one.numel()) + one.numpy().tobytes())
        pickle.dump((100 + key, 200 + key if views else key, torch.FloatTensor), tensors, 2)
        tensors.write(struct.pack("<ii", one.dim(), 0))
        tensors.write(struct.pack(f"<{2 * one.dim() + 1}q", *one.shape, *one.stride(), 0))
    pickle.dump(
        [(200 + key, key, 0, one.numel()) for key, one in enumerate(state.values())] if views else [], storages, 2
    )

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            return str(100 + value) if isinstance(value, int) else None

    main = io.BytesIO()
    Pickler(main, 2).dump(OrderedDict(zip(state, range(len(state)))))
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:", format=tarfile.PAX_FORMAT) as tar:
        for name, content in (("sys_info", b""), ("storages", storages), ("tensors", tensors), ("pickle", main)):
            raw = content if isinstance(content, bytes) else content.getvalue()
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    return file.getvalue()


@pytest.mark.parametrize("views", [False, True])
def test_tar_archives_of_the_first_torch(tmp_path, views):
    state = {"a.weight": torch.randn(7, 5), "b.bias": torch.randn(4)}
    path = saved(tmp_path / "old.pth", tar_of(state, views))
    assert_same_state(dict(torch.load(path, weights_only=False)), state)
    assert_same_state(values(path), state)
    content = path.read_bytes()
    for cut in range(0, len(content.rstrip(b"\0")), 500):
        with pytest.raises(ww.UnreadableCheckpoint, match=r"old\.pth"):
            checkpoint_tensors(saved(path, content[:cut]))


def test_old_files_by_their_storages(tmp_path):
    base = torch.randn(6, 5)
    state = {"a": base, "b": base[2:], "c": base.t(), "d": torch.randn(3).double()}
    path = saved(tmp_path / "old.pt", torch_bytes(state, legacy=True))
    assert_same_state(values(path), state)
    content = path.read_bytes()
    path.write_bytes(content[:-3])
    with pytest.raises(ww.UnreadableCheckpoint, match="cut short"):
        checkpoint_tensors(path)


# Members of archives.


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_right_and_checked(tmp_path, method):
    state = {"a.weight": torch.randn(40, 30), "b": torch.randn(8, 6, 4)}
    state["c"] = state["a.weight"][3:20]
    content = zipped(unzipped(torch_bytes(state)), method)
    path = saved(tmp_path / "m.pt", content)
    assert_same_state(values(path), state)
    assert torch.equal(tensor_named(path, "b").read((5,)), state["b"][5])
    damaged = bytearray(content)
    place = (
        content.index(state["a.weight"].numpy().tobytes()[:40]) if method == zipfile.ZIP_STORED else len(content) // 3
    )
    damaged[place + 20] ^= 1
    saved(path, bytes(damaged))
    with pytest.raises(ww.UnreadableCheckpoint, match=r"m\.pt"):
        tensor_named(path, "a.weight").read((slice(0, 2),))
    assert torch.equal(tensor_named(path, "b").read(), state["b"])


def test_checksums_that_were_left_out(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"w": torch.arange(6.0)}, tmp_path / "n.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(values(tmp_path / "n.pt")["w"], torch.arange(6.0))


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("ending", [".pt", ".npz"])
def test_other_packings_are_refused(tmp_path, method, ending):
    file = io.BytesIO()
    np.savez(file, a=W)
    members = unzipped(file.getvalue() if ending == ".npz" else torch_bytes({"a": torch.from_numpy(W)}))
    path = saved(tmp_path / f"p{ending}", zipped(members, method))
    with pytest.raises(ww.UnreadableCheckpoint, match=r"packed by (LZMA|bzip2); accepted are stored and deflated"):
        checkpoint_tensors(path)


def test_a_member_that_would_fill_the_memory(tmp_path):
    """A gigabyte of zeros in a megabyte, as the storage of a tensor that asks for it and of one that does not."""
    packed = zipped([("a/data/0", b"\0" * 2**27)], zipfile.ZIP_DEFLATED)
    assert len(packed) < 2**18
    zeros = ("data/0", b"\0" * 2**27)
    for number in (12, 2**25):
        shape = (4, number // 4)
        pickled = mapping(w=tensor(shape, (shape[1], 1), number=number))
        path = saved(tmp_path / "z.pt", torch_archive(pickled, zeros, method=zipfile.ZIP_DEFLATED))
        with pytest.raises(ww.UnreadableCheckpoint, match=r"declares 134217728 bytes packed in"):
            checkpoint_tensors(path)


def test_an_array_in_more_bytes_than_it_declares(tmp_path):
    content = bytearray(zipped([("a.npy", npy(W) + b"\0" * 5000)], zipfile.ZIP_DEFLATED))
    declared = struct.pack("<I", len(npy(W)) + 5000)
    for place in [at for at in range(len(content)) if content[at : at + 4] == declared]:
        content[place : place + 4] = struct.pack("<I", len(npy(W)))
    path = saved(tmp_path / "a.npz", bytes(content))
    with pytest.raises(ww.UnreadableCheckpoint, match="inflates to more than"):
        values(path)


def test_names_that_stand_twice(tmp_path):
    for members in ([("a.npy", npy(W)), ("a.npy", npy(W * 2))], [("a.npy", npy(W)), ("a", npy(W * 2))]):
        with pytest.raises(ww.UnreadableCheckpoint, match=r"two members called|two of its members stand for"):
            checkpoint_tensors(saved(tmp_path / "t.npz", zipped(members)))
    content = safetensors_bytes({"aa": W, "ab": W}).replace(b'"ab"', b'"aa"')
    with pytest.raises(ww.UnreadableCheckpoint, match="names 'aa' twice"):
        checkpoint_tensors(saved(tmp_path / "t.safetensors", content))


# numpy's headers.


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("dtype", [">f4", "<f8", "f2", ">i4", "U3", "c8", "?"])
@pytest.mark.parametrize("fortran", [False, True])
def test_arrays_as_numpy_reads_them(tmp_path, dtype, fortran):
    array = np.random.default_rng(0).normal(size=(4, 3, 5)).astype(dtype)
    np.save(tmp_path / "a.npy", np.asfortranarray(array) if fortran else array)
    one = checkpoint_tensors(tmp_path / "a.npy")[0]
    assert one.read().dtype == array.dtype
    np.testing.assert_array_equal(one.read(), array)
    for index in ((2,), (1, 2), (slice(1, 3),), (slice(None), slice(0, 2))):
        np.testing.assert_array_equal(one.read(index), array[index])


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 3, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 3), }",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (3, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 9, }",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<q9', 'fortran_order': False, 'shape': (3, 3), }",
        "{'descr': '|S0', 'fortran_order': False, 'shape': (1000000, 1000000), }",
        "(" * 4000 + ")" * 4000,
        "-" * 9000 + "1",
        "9" * 9000,
        " " * 20_000,
    ],
    ids=range(13),
)
def test_headers_that_ask_for_too_much_or_make_no_sense(tmp_path, header):
    path = saved(tmp_path / "h.npy", headed(header, bytes(36)))
    started = time.perf_counter()
    with pytest.raises(ww.UnreadableCheckpoint, match=r"h\.npy"):
        checkpoint_tensors(path)
    assert time.perf_counter() - started < HANG


def test_a_matrix_that_its_bytes_cannot_hold_fails_alone(tmp_path):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    path = saved(tmp_path / "h.npy", headed(header, bytes(36)))
    frame = ww.scan(path)
    assert frame["status"].tolist() == ["failed"]
    assert "h.npy: bytes" in frame["reason"].iloc[0]


def test_headers_of_python_2(tmp_path):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (30L, 20L), }"
    np.testing.assert_array_equal(values(saved(tmp_path / "h.npy", headed(header, W.tobytes())))["h.weight"], W)


# Names.


def test_numbers_of_every_kind_in_names(tmp_path):
    names = ["a.10", "a.9", "a.²", "a.٣", "9" * 4400, "1" * 4400, "a.010", "state_dict", "x" * 5000]
    path = saved(tmp_path / "n.safetensors", safetensors_bytes({name: W for name in names}))
    found = [one.name for one in checkpoint_tensors(path)]
    assert found == sorted(names, key=natural_key)
    assert found.index("a.9") < found.index("a.10")
    assert found.index("1" * 4400) < found.index("9" * 4400)
    torch.save({"state_dict": torch.from_numpy(W), "weights": torch.from_numpy(W)}, tmp_path / "n.pt")
    assert list(values(tmp_path / "n.pt")) == ["state_dict", "weights"]


def test_paths_that_cannot_be(tmp_path):
    for path in (
        tmp_path / ("x" * 300 + ".npy"),
        tmp_path / "a\0b.npy",
        tmp_path / "nothing.pt",
        tmp_path / "n.pt" / "x.pt",
    ):
        with pytest.raises(ww.InvalidInput, match="there is no such file"):
            checkpoint_tensors(path)
    odd = Path(os.fsdecode(bytes(tmp_path) + b"/\xff\xfe.npy"))
    np.save(odd, W)
    assert [one.name for one in checkpoint_tensors(odd)] == ["\\udcff\\udcfe.weight"]


# What is no regular file.


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "directory"])
def test_only_regular_files_are_read(tmp_path, kind, link):
    path = tmp_path / ("real" if link else "m.safetensors")
    with socket.socket(socket.AF_UNIX) as server:
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "socket":
            server.bind(str(path))
        elif kind == "device":
            path.symlink_to("/dev/zero")
        else:
            path.mkdir()
        if link:
            (tmp_path / "m.safetensors").symlink_to(path)
        started = time.perf_counter()
        with pytest.raises((ww.UnreadableCheckpoint, ww.InvalidInput), match=r"not a regular file|holds no file"):
            checkpoint_tensors(tmp_path / "m.safetensors")
        assert time.perf_counter() - started < HANG


def test_links_lead_where_they_lead(tmp_path):
    """A hub's cache: links to files called after their content, in another folder."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "1"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    save_file({"a.weight": torch.from_numpy(W)}, blobs / "6f3a")
    (snapshot / "model.safetensors").symlink_to(Path("../../blobs/6f3a"))
    (blobs / "7777").write_text('{"weight_map": {"a.weight": "model.safetensors"}}')
    (snapshot / "model.safetensors.index.json").symlink_to(Path("../../blobs/7777"))
    for path in (snapshot, snapshot / "model.safetensors"):
        assert torch.equal(values(path)["a.weight"], torch.from_numpy(W))


@pytest.mark.parametrize(
    "entry",
    [
        '"../m.safetensors"',
        '"/etc/m.safetensors"',
        "3",
        "null",
        '["m.safetensors"]',
        '"a\\u0000.safetensors"',
        '"x"',
        '""',
    ],
)
def test_indices_name_files_beside_them(tmp_path, entry):
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"a.weight": torch.from_numpy(W)}, tmp_path / "m.safetensors")
    (folder / "model.safetensors.index.json").write_text(f'{{"weight_map": {{"a.weight": {entry}}}}}')
    with pytest.raises(ww.UnreadableCheckpoint, match=r"index\.json"):
        checkpoint_tensors(folder)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"weight_map": []}', "[" * 100_000, '{"weight_map": {"a": ' + "9" * 5000 + "}}"]
)
def test_indices_that_make_no_sense(tmp_path, content):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ww.UnreadableCheckpoint, match=r"index\.json"):
        checkpoint_tensors(tmp_path)


# One reader.


@pytest.mark.parametrize("ending", [".pt", ".safetensors", ".npz"])
def test_a_tensor_is_looked_up_in_constant_time(tmp_path, ending):
    state = {f"layers.{number}.weight": torch.randn(8, 8) for number in range(2000)}
    path = tmp_path / f"m{ending}"
    if ending == ".npz":
        np.savez(path, **{name: one.numpy() for name, one in state.items()})
    elif ending == ".pt":
        torch.save(state, path)
    else:
        save_file(state, path)
    started = time.perf_counter()
    for name in state:
        tensor_named(path, name).read()
    assert time.perf_counter() - started < HANG


@pytest.mark.parametrize("ending", [".pt", ".th", ".safetensors", ".npz", ".npy"])
def test_opening_and_parts_read_little(tmp_path, monkeypatch, ending):
    big = torch.zeros(3000, 2000)
    path = tmp_path / f"m{ending}"
    if ending in (".npz", ".npy"):
        np.savez(path, w=big.numpy()) if ending == ".npz" else np.save(path, big.numpy())
    elif ending == ".safetensors":
        save_file({"w": big}, path)
    else:
        torch.save({"w": big}, path, _use_new_zipfile_serialization=ending == ".pt")
    amount = []
    real = Handle.read
    monkeypatch.setattr(
        Handle, "read", lambda handle, offset, size: (amount.append(size), real(handle, offset, size))[1]
    )
    one = checkpoint_tensors(path)[0]
    assert sum(amount) < 2**21
    if ending in (".th", ".safetensors", ".npy"):
        amount.clear()
        assert tuple(one.read((slice(5, 7),)).shape) == (2, 2000)
        assert sum(amount) < 20_000


def test_threads_open_a_file_once(tmp_path, monkeypatch):
    path = saved(tmp_path / "m.safetensors", safetensors_bytes({"a": W}))
    calls = []
    real = readers._opened
    monkeypatch.setattr(readers, "_opened", lambda handle: (calls.append(1), time.sleep(0.05), real(handle))[2])
    threads = [threading.Thread(target=opened, args=(path,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_no_file_stays_open(tmp_path):
    path = saved(tmp_path / "m.safetensors", safetensors_bytes({"a": W}))
    before = len(os.listdir("/proc/self/fd"))
    reader = opened(path)
    reader.read("a")
    assert len(os.listdir("/proc/self/fd")) == before
    reader.close()
    assert opened(path) is not reader


def test_the_registry_documents_itself():
    assert {ending for one in FORMATS for ending in one.endings} == set(accepted())
    assert all(ending in formats_table() and one.description for one in FORMATS for ending in one.endings)


# Files that change.


def rewritten(path: Path, content: bytes, how: str) -> None:
    """Another content under the same name, of the same size and with the time of before."""
    stat = path.stat()
    if how == "replaced":
        other = path.with_name("other")
        other.write_bytes(content)
        os.replace(other, path)
    else:
        with path.open("r+b") as file:
            file.write(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("how", ["replaced", "in place"])
@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".npy"])
def test_a_file_that_changed_is_noticed(tmp_path, how, ending):
    def content(scale: float) -> bytes:
        if ending == ".pt":
            return torch_bytes({"a": torch.from_numpy(W * scale)})
        return safetensors_bytes({"a": W * scale}) if ending == ".safetensors" else npy(W * scale)

    path = saved(tmp_path / f"m{ending}", content(1))
    one = checkpoint_tensors(path)[0]
    one.read()
    time.sleep(0.02)
    os.utime(path, ns=(1, 1))
    one.read()
    rewritten(path, content(2), how)
    with pytest.raises(ChangedCheckpoint, match="changed while it was read"):
        one.read()
    with pytest.raises(ChangedCheckpoint):
        one.read((0,))
    assert np.allclose(np.asarray(checkpoint_tensors(path)[0].read()), W * 2)


def test_one_tensor_of_many_that_changed_is_noticed(tmp_path):
    """Larger than what is looked at whole: every tensor is looked at in places of its own."""
    arrays = {f"l{number}": np.full((100, 100), number, dtype=np.float32) for number in range(150)}
    path = saved(tmp_path / "m.safetensors", safetensors_bytes(arrays))
    before = opened(path).fingerprint
    copy = saved(tmp_path / "copy.safetensors", path.read_bytes())
    assert opened(copy).fingerprint == before
    for name in ("l0", "l77", "l149"):
        saved(tmp_path / "tuned.safetensors", safetensors_bytes({**arrays, name: arrays[name] + 1}))
        assert opened(tmp_path / "tuned.safetensors").fingerprint != before


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_change_under_a_scan_ends_it(tmp_path, monkeypatch, n_jobs):
    """The rows of before stay in the store; the same scan goes on with neither file's rows mixed."""
    path = saved(tmp_path / "m.safetensors", safetensors_bytes({f"l{number}": W for number in range(70)}))
    other = safetensors_bytes({f"l{number}": W * 3 for number in range(70)})
    from setol_ww.scanning import run

    real, told = run.Store.add_all, []

    def add_all(store, records):
        real(store, records)
        told.append(store.count)
        if len(told) == 1:
            rewritten(path, other, "replaced")

    monkeypatch.setattr(run.Store, "add_all", add_all)
    with pytest.raises(ww.UnreadableCheckpoint, match="changed while it was read"):
        ww.scan(path, tmp_path / "o.sqlite", n_jobs=n_jobs)
    monkeypatch.undo()
    with pytest.raises(ww.InvalidInput, match="weights was"):
        ww.scan(path, tmp_path / "o.sqlite")
    kept = ww.merge_scans(tmp_path / "o.sqlite", partial=True)
    assert told[0] <= len(kept) < 70
    np.testing.assert_allclose(kept["lambda_max"], np.linalg.norm(W.astype(float), 2) ** 2, rtol=1e-6)


def test_a_file_cut_short_under_a_scan_ends_it_and_not_the_process(tmp_path):
    path = saved(tmp_path / "m.safetensors", safetensors_bytes({"a": W, "b": W}))
    entries = checkpoint_tensors(path)
    os.truncate(path, 1000)
    with pytest.raises(ChangedCheckpoint, match="changed while it was read"):
        entries[1].read()


def test_a_change_under_analyze_ends_it(tmp_path, monkeypatch):
    path = saved(tmp_path / "m.safetensors", safetensors_bytes({"a.weight": W, "b.weight": W}))
    real = readers.FileReader.read

    def read(reader, name, index=()):
        found = real(reader, name, index)
        if name == "a.weight":
            rewritten(path, safetensors_bytes({"a.weight": W * 3, "b.weight": W * 3}), "replaced")
        return found

    monkeypatch.setattr(readers.FileReader, "read", read)
    with pytest.raises(ww.UnreadableCheckpoint, match="changed while it was read"):
        ww.analyze(path)


def test_shards_of_two_checkpoints_are_not_merged(tmp_path):
    stores = []
    for number, scale in enumerate((1, 2)):
        path = saved(tmp_path / f"m{number}.safetensors", safetensors_bytes({f"l{k}": W * scale for k in range(4)}))
        stores.append(tmp_path / f"s{number}.sqlite")
        ww.scan(path, stores[-1], shard=(number, 2))
    with pytest.raises(ww.InvalidInput, match="they differ in weights"):
        ww.merge_scans(stores)
    copy = saved(tmp_path / "elsewhere.safetensors", (tmp_path / "m0.safetensors").read_bytes())
    ww.scan(copy, stores[1], shard=(1, 2), resume=False)
    assert len(ww.merge_scans(stores)) == 4


def test_harmful_calls_are_named(tmp_path):
    content = torch_archive(mapping(w=tensor((3, 4), (4, 1)), x=called("subprocess", "run", several(text("ls")))))
    with pytest.raises(ww.UnreadableCheckpoint, match=r"h\.pt: refused, .*would call subprocess\.run"):
        checkpoint_tensors(saved(tmp_path / "h.pt", content))


def test_a_deflated_storage_of_many_tensors_is_inflated_once(tmp_path, monkeypatch):
    base = torch.randn(400, 30)
    content = zipped(unzipped(torch_bytes({f"l{k}": base[k : k + 20] for k in range(300)})), zipfile.ZIP_DEFLATED)
    path = saved(tmp_path / "s.pt", content)
    calls = []
    real = blocks.DeflatedBlock._inflated
    monkeypatch.setattr(blocks.DeflatedBlock, "_inflated", lambda *which: (calls.append(1), real(*which))[1])
    found = values(path)
    assert all(torch.equal(found[f"l{k}"], base[k : k + 20]) for k in range(300))
    assert sum(calls) < 10


def test_half_bytes_are_not_taken_apart_into_more_slices_than_bytes(tmp_path):
    """At two values a byte a shape may have twice as many matrices as bytes, each a row of the table."""
    path = tmp_path / "net.safetensors"
    header = json.dumps({"w": {"dtype": "F4", "shape": [4000, 1, 1], "data_offsets": [0, 2000]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(2000))
    with pytest.raises(ww.UnreadableCheckpoint, match=rf"has more slices than the {path.stat().st_size} bytes"):
        ww.scan(path)


def test_a_member_that_inflates_to_more_is_read_no_further(tmp_path):
    pieces = [b"abc", b"def", b"ghi", b"jkl"]
    block = blocks.DeflatedBlock(0, 9, 4, None, "member")
    left = iter(pieces)
    block._pieces = lambda handle: left
    handle = SimpleNamespace(unreadable=ValueError)
    with pytest.raises(ValueError, match="inflates to more than the 4 bytes"):
        block._inflated(handle, 0, 4)
    assert [*left] == pieces[2:]


@pytest.mark.parametrize(
    ("size", "packed", "refused"),
    [
        (blocks.RATIO_FROM, 1, False),
        (blocks.RATIO_FROM + 100, blocks.RATIO_FROM // 100 + 2, False),
        (100 * blocks.RATIO_FROM, blocks.RATIO_FROM, False),
        (100 * blocks.RATIO_FROM + 1, blocks.RATIO_FROM, True),
        (blocks.RATIO_FROM + 1, 1, True),
    ],
)
def test_a_member_that_grows_is_refused_from_a_hundred_times_on(size, packed, refused):
    block = blocks.DeflatedBlock(0, packed, size, None, "member")
    if refused:
        with pytest.raises(ValueError, match=f"declares {size} bytes packed in {packed}, which no weights are"):
            block.refuse_bomb(SimpleNamespace(unreadable=ValueError))
    else:
        block.refuse_bomb(SimpleNamespace(unreadable=ValueError))


@pytest.mark.parametrize(
    ("header", "writer"),
    [
        (b'{"__metadata__": {"format": "mlx"}}', "mlx"),
        (b'{"__metadata__": {"format": "pt"}}', ""),
        (b'{"__metadata__": {"format": 7}}', ""),
        (b'{"__metadata__": []}', ""),
        (b"[]", ""),
        (b"{", ""),
        (b"[" * 200_000, ""),
    ],
)
def test_the_program_that_wrote_a_file_as_far_as_it_says(tmp_path, header, writer):
    path = tmp_path / "net.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    assert folder_format._writer_in(path) == writer
    assert folder_format._writer_in(tmp_path / "none.safetensors") == ""
