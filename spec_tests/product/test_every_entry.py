"""Tables of the formats, entry by entry: calls that are refused, names of variables, words of servers, their errors."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

import setol_ww as ww
from fixtures.broken_files import called, mapping, several, tensor, text, torch_archive
from setol_ww.formats import remote, urls
from setol_ww.formats.checkpoints import checkpoint_tensors
from setol_ww.formats.reader import opened

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
    **{f"{name}_dense": {"kernel": W, "bias": b} for name in ("query", "key", "value", "output", "einsum")},
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
    "aiohttp": "ClientError",
    "httpx": "HTTPError",
    "requests": "RequestException",
    "botocore.exceptions": "BotoCoreError ClientError",
    "huggingface_hub.errors": "RepositoryNotFoundError",
}


@pytest.mark.parametrize("module", CLIENTS)
def test_errors_of_every_client_are_failures_of_a_request(module):
    """Of those that are loaded; nothing else that goes wrong is taken for one."""
    loaded = pytest.importorskip(module, reason="the client is not installed")
    found = remote.failures()
    for name in CLIENTS[module].split():
        assert getattr(loaded, name) in found, name
    assert {OSError, asyncio.TimeoutError} <= set(found)
    assert not any(issubclass(kind, found) for kind in (ValueError, KeyError, MemoryError, KeyboardInterrupt))
