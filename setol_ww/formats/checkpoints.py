"""Weights on disk, opened without loading them: safetensors, torch files (weights only), npz, npy, directories.

No code in a file is ever run: torch files are read with `weights_only=True`, numpy files with `allow_pickle=False`.
"""

from __future__ import annotations

import json
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.arrays import dtype_word
from ..core.checks import path_of
from ..core.errors import InvalidInput, UnreadableCheckpoint
from ..weights.tensors import WeightTensor, mapping_tensors, natural_key, why_unfit

SAFETENSORS = (".safetensors",)
TORCH = (".pt", ".pth", ".th", ".bin", ".ckpt")
NUMPY = (".npz", ".npy")
ACCEPTED = SAFETENSORS + TORCH + NUMPY
# What the readers raise on damaged bytes, found by flipping them: torch's unpickler alone raises most of these.
BROKEN = (
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ValueError,
    LookupError,
    RuntimeError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    SyntaxError,
    MemoryError,
)
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "params", "weights")
SAFETENSORS_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


def checkpoint_tensors(path: str | Path) -> list[WeightTensor]:
    """Every tensor in a checkpoint, unloaded.

    Parameters
    ----------
    path : str or Path
        `.safetensors`, `.pt`, `.pth`, `.th`, `.bin`, `.npz`, `.npy`, or a directory: with a `*.index.json` the
        shards it names, else all files of the first of these kinds that is there.

    Returns
    -------
    list of WeightTensor
        In the order of the file; in natural order of the names for safetensors, which keeps none.

    Raises
    ------
    InvalidInput
        There is no such path, or its ending is not one of those above.
    UnreadableCheckpoint
        A file is truncated, corrupt, missing from its index, or would run code; the text names it.
    """
    path = path_of("path", path)
    if path.is_dir():
        return _directory_entries(path)
    if not path.exists():
        raise InvalidInput(f"the path {str(path)!r} was asked; there is no such file or directory")
    return file_tensors(path)


def _directory_entries(folder: Path) -> list[WeightTensor]:
    files, expected = directory_files(folder)
    entries: list[WeightTensor] = []
    where: dict[str, Path] = {}
    for file in files:
        for entry in file_tensors(file):
            if entry.name in where:
                raise InvalidInput(
                    f"the directory {str(folder)!r} was asked; {where[entry.name].name} and {file.name} both hold "
                    f"{entry.name!r}. Accepted are files of one model; or name one file"
                )
            where[entry.name] = file
            entries.append(entry)
    for name, file in expected.items():
        if name not in where:
            raise UnreadableCheckpoint(f"{file}: the index names {name!r} in it but it is not there")
    return sorted(entries, key=lambda entry: natural_key(entry.name)) if len(files) > 1 else entries


def directory_files(folder: Path) -> tuple[list[Path], dict[str, Path]]:
    """The files of a checkpoint directory, and by its index which file holds which tensor (empty without one).

    Safetensors before torch files before numpy files; of each kind those that an index names, else those called as
    hubs call them (`model*.safetensors`, `pytorch_model*.bin`), else all.
    """
    for endings, usual, index_name in (
        (SAFETENSORS, "model*.safetensors", "*.safetensors.index.json"),
        (TORCH, "pytorch_model*.bin", "*.bin.index.json"),
        (NUMPY, "", ""),
    ):
        files = sorted(
            (file for file in folder.iterdir() if file.suffix in endings and file.is_file()),
            key=lambda file: natural_key(file.name),
        )
        indices = sorted(folder.glob(index_name)) if index_name else []
        if indices and (files or endings == SAFETENSORS or not _has_weights(folder)):
            return _indexed_files(indices[0])
        named = [file for file in files if usual and file.match(usual)]
        if files:
            return named or files, {}
    raise InvalidInput(f"the directory {str(folder)!r} was asked; it holds no file ending in {', '.join(ACCEPTED)}")


def _has_weights(folder: Path) -> bool:
    return any(file.suffix in ACCEPTED and file.is_file() for file in folder.iterdir())


def _indexed_files(index: Path) -> tuple[list[Path], dict[str, Path]]:
    with reading(index):
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        expected = {name: index.parent / file for name, file in weight_map.items()}
    files = sorted(set(expected.values()), key=lambda file: natural_key(file.name))
    for file in files:
        if not file.exists():
            raise UnreadableCheckpoint(f"{file}: named in {index.name} but not there")
    return files, expected


def file_tensors(file: Path) -> list[WeightTensor]:
    """Entries of one file."""
    return [replace(entry, file=file) for entry in _entries_of(file)]


def tensor_named(file: Path, name: str) -> WeightTensor:
    """One entry of a file, without a look at the others where the format allows it."""
    entries = _safetensors_entries(file, name) if file.suffix in SAFETENSORS else file_tensors(file)
    for entry in entries:
        if entry.name == name:
            return replace(entry, file=file)
    raise UnreadableCheckpoint(f"{file}: {name!r} is not in it any more")


def checkpoint_files(path: Path) -> list[Path]:
    """The files a checkpoint is made of: the file itself, or those of a directory that are read."""
    return directory_files(path)[0] if path.is_dir() else [path]


def _entries_of(file: Path) -> list[WeightTensor]:
    if file.suffix in SAFETENSORS:
        return _safetensors_entries(file)
    if file.suffix in TORCH:
        return mapping_tensors(unwrap(load_torch(file), file))
    if file.suffix == ".npz":
        return _npz_entries(file)
    if file.suffix == ".npy":
        return _npy_entries(file)
    raise InvalidInput(f"the file {str(file)!r} was asked; accepted endings are {', '.join(ACCEPTED)}")


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Whatever a reader raises on a broken file becomes `UnreadableCheckpoint` with the file's name."""
    from safetensors import SafetensorError

    try:
        yield
    except UnreadableCheckpoint:
        raise
    except pickle.UnpicklingError as error:
        raise UnreadableCheckpoint(f"{file}: refused, it is not plain weights ({_first_line(error)})") from error
    except (SafetensorError, *BROKEN) as error:
        raise UnreadableCheckpoint(f"{file}: {type(error).__name__}: {_first_line(error)}") from error


def load_torch(file: Path) -> Any:
    """`torch.load` of plain weights, memory-mapped where the format allows it."""
    import torch

    # torch warns of pickles written with another protocol; whether they load is what counts.
    with reading(file), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))


def unwrap(loaded: Any, file: Path) -> dict[str, Any]:
    """The state dict inside a training checkpoint, without the `module.` of data-parallel wrappers."""
    if hasattr(loaded, "shape"):
        loaded = {"matrix.weight": loaded}
    if not isinstance(loaded, Mapping):
        raise UnreadableCheckpoint(f"{file}: it holds a {type(loaded).__name__}, not a mapping of names to tensors")
    named = {str(name): tensor for name, tensor in inner_mapping(loaded).items()}
    if named and all(name.startswith("module.") for name in named):
        named = {name.removeprefix("module."): tensor for name, tensor in named.items()}
    return named


def inner_mapping(mapping: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The mapping of tensors inside the usual wrappers (`state_dict`, `model`, ...), else the mapping itself."""
    for _ in WRAPPERS:
        inner = next((mapping[name] for name in WRAPPERS if isinstance(mapping.get(name), Mapping)), None)
        if inner is None:
            break
        mapping = inner
    return mapping


def _safetensors_entries(file: Path, only: str | None = None) -> list[WeightTensor]:
    from safetensors import safe_open

    def loader(name: str) -> Callable[[], Any]:
        def load() -> Any:
            with reading(file), safe_open(file, framework="pt", device="cpu") as opened:
                return opened.get_tensor(name)

        return load

    def part_loader(name: str) -> Callable[[tuple], Any]:
        def load_part(index: tuple) -> Any:
            with reading(file), safe_open(file, framework="pt", device="cpu") as opened:
                return opened.get_slice(name)[index]

        return load_part

    entries = []
    with reading(file), safe_open(file, framework="pt", device="cpu") as opened:
        names = frozenset(opened.keys())
        for name in sorted(names, key=natural_key) if only is None else names & {only}:
            part = opened.get_slice(name)
            shape, code = tuple(part.get_shape()), part.get_dtype()
            dtype = SAFETENSORS_DTYPES.get(code, code.lower())
            unfit = why_unfit(name, shape, dtype, names)
            entries.append(WeightTensor(name, shape, dtype, loader(name), unfit=unfit, load_part=part_loader(name)))
    return entries


def _npz_entries(file: Path) -> list[WeightTensor]:
    def loader(member: str) -> Callable[[], Any]:
        def load() -> Any:
            with reading(file), np.load(file, allow_pickle=False) as opened:
                return opened[member]

        return load

    entries = []
    with reading(file), zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                shape, dtype = _npy_header(member)
            name = info.filename.removesuffix(".npy")
            entries.append(WeightTensor(name, shape, dtype, loader(name), unfit=why_unfit(name, shape, dtype)))
    return entries


def _npy_entries(file: Path) -> list[WeightTensor]:
    def load() -> Any:
        with reading(file):
            return np.load(file, mmap_mode="r", allow_pickle=False)

    with reading(file), file.open("rb") as opened:
        shape, dtype = _npy_header(opened)
    name = f"{file.stem}.weight"
    return [WeightTensor(name, shape, dtype, load, unfit=why_unfit(name, shape, dtype))]


def _npy_header(stream: Any) -> tuple[tuple[int, ...], str]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype_word(dtype)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:200] or "no further detail"
