"""Weights on disk or elsewhere, opened without loading them: a file of any format in the registry, or a directory.

No code in a file is ever run, no file is mapped, and a file that changes while it is read is noticed (`reader`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from ..core.errors import InvalidInput, UnreadableCheckpoint
from ..weights.plan import Job
from ..weights.schemes import Ingredient, joined, read
from ..weights.tensors import WeightTensor, natural_key, why_unfit
from .fingerprint import digest_of
from .folder import INDEX, config_of, directory_files, indexed_files, snapshot_of
from .places import Place, is_url, place_of
from .reader import FileReader, opened
from .registry import SAFETENSORS, refuse_unknown
from .state import inner_mapping, unwrap
from .stored import Header

# Elements from which on a matrix is worth to be read ahead: smaller ones are there before it could begin.
FORESEEN_FROM = 2**20

__all__ = [
    "checkpoint_files",
    "checkpoint_fingerprint",
    "checkpoint_tensors",
    "file_tensors",
    "foresee_job",
    "inner_mapping",
    "read_job",
    "stored_tensors",
    "tensor_named",
    "unwrap",
]


def checkpoint_tensors(path: str | Place) -> list[WeightTensor]:
    """Every tensor in a checkpoint, unloaded, those that belong together put together (`setol_ww.weights.schemes`).

    Parameters
    ----------
    path : str or Path
        A file with an ending in the registry of formats, a `*.index.json`, a directory (`formats.folder` says which of
        its files are the model), or a model in a hub cache (`models--org--name`); or a URL of one:
        `hf://org/model[@revision]`, `https://`, `s3://` and what fsspec knows.

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

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/net.npz", **{"fc.weight": np.ones((4, 3))})
    ...     print([(one.name, one.shape, one.dtype) for one in checkpoint_tensors(f"{folder}/net.npz")])
    [('fc.weight', (4, 3), 'float64')]
    """
    path = place_of(path)
    return joined(stored_tensors(path), config_of(snapshot_of(path)))


def stored_tensors(path: Place) -> list[WeightTensor]:
    """Every tensor in a checkpoint as it is stored, none put together; errors as `checkpoint_tensors`."""
    in_files = is_directory(path) or path.name.endswith(INDEX)
    return _directory_tensors(path) if in_files else file_tensors(path)


def is_directory(path: Place) -> bool:
    """True for a directory, False for anything else that is there; `InvalidInput` where nothing can be.

    A link leads to where it leads; a file that may not be looked at is there.
    """
    try:
        path.stat()
        return path.is_dir()
    except UnreadableCheckpoint:
        raise
    except PermissionError as error:
        raise UnreadableCheckpoint(f"{path}: {error.strerror}") from error
    except (OSError, ValueError) as error:
        why = "" if isinstance(error, FileNotFoundError) else f" ({getattr(error, 'strerror', None) or error})"
        raise InvalidInput(f"the path {str(path)[:300]!r} was asked; there is no such file or directory{why}") from None


def _directory_tensors(folder: Place) -> list[WeightTensor]:
    files, expected = files_of(folder)
    entries: list[WeightTensor] = []
    where: dict[str, Place] = {}
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
    entries = _in_places(entries, list(expected))
    return sorted(entries, key=lambda entry: natural_key(entry.name)) if len(files) > 1 else entries


def _in_places(entries: list[WeightTensor], indexed: list[str]) -> list[WeightTensor]:
    """The tensors with their places as WeightWatcher counts them: file by file, in each as the index has them, else in
    the order of names for safetensors and of the file for others.

    From the third file of a directory without an index on, WeightWatcher 0.7.7 counts earlier files twice; here every
    layer counts once.
    """
    listed = {name: number for number, name in enumerate(indexed)}

    def order(number: int) -> tuple[str, int, str, int]:
        entry = entries[number]
        name = entry.name if entry.file is not None and entry.file.suffix in SAFETENSORS else ""
        return str(entry.file), listed.get(entry.name, len(listed)), name, number

    places = {number: place for place, number in enumerate(sorted(range(len(entries)), key=order))}
    return [replace(entry, place=places[number]) for number, entry in enumerate(entries)]


def files_of(path: Place) -> tuple[list[Place], dict[str, Place]]:
    """The files of a directory, of a hub cache, or those that an index names, and which of them holds which tensor."""
    return indexed_files(path) if path.name.endswith(INDEX) else directory_files(snapshot_of(path))


def file_tensors(file: Place) -> list[WeightTensor]:
    """The tensors of one file, as they are stored."""
    refuse_unknown(file)
    reader = opened(file)
    return [_tensor(reader, header) for header in reader.headers.values()]


def tensor_named(file: Place, name: str) -> WeightTensor:
    """One tensor of a file, without a look at the others."""
    reader = opened(file)
    if name not in reader.headers:
        raise UnreadableCheckpoint(f"{file}: {name!r} is not in it any more")
    return _tensor(reader, reader.headers[name])


def read_job(job: Job, index: tuple = ()) -> Any:
    """The tensor of a job, or the part of it that an index names; from all of the files that it is read from."""
    if job.recipe is None:
        return tensor_named(place_of(job.file), job.tensor).read(index)
    return read(job.recipe, index, _stored_part)


def foresee_job(job: Job) -> None:
    """Have the system read meanwhile what `read_job` is asked for next, if it is large and lies on this machine."""
    part = job.part
    if job.skipped or job.recipe is not None or part is None or is_url(job.file):
        return
    if part.rows * part.columns * part.count >= FORESEEN_FROM:
        opened(job.file).foresee(job.tensor, part.index(job.shape))


def _stored_part(part: Ingredient, index: tuple) -> Any:
    return tensor_named(place_of(part.file), part.name).read(index)


def _tensor(reader: FileReader, header: Header) -> WeightTensor:
    read = partial(reader.read, header.name)
    owner = str(header.facts.get("owner", ""))
    dtype = header.values or header.dtype
    return WeightTensor(
        header.name,
        header.shape,
        header.dtype,
        read,
        unfit=header.unfit or why_unfit(header.name, header.shape, dtype, reader.headers, owner),
        same_as=header.same_as,
        file=reader.path,
        load_part=read,
        owner=owner,
        facts={fact: value for fact, value in header.facts.items() if fact != "owner"},
        remark=header.remark,
    )


def checkpoint_files(path: Place) -> list[Place]:
    """The files a checkpoint is made of: the file itself, or those of a directory that are read."""
    return files_of(path)[0] if is_directory(path) or path.name.endswith(INDEX) else [path]


def checkpoint_fingerprint(path: Place) -> tuple[str, dict[str, str]]:
    """By what a checkpoint is known again, in one word, and the same of each of its files."""
    fingerprints = {str(file): opened(file).fingerprint for file in checkpoint_files(path)}
    return digest_of(fingerprints.values()), {file: one.digest for file, one in fingerprints.items()}
