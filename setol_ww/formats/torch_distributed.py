"""Folders of `torch.distributed.checkpoint`: `.metadata` says which bytes of which `*.distcp` are what of a tensor.

Each part is a file of `torch.save` by itself. Both pickles are read as any other of torch's: nothing of them is run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from .base import Contents, Format
from .computed import Computed, Place, all_places
from .handle import Handle, Refused, Window, reading
from .pickles import Global, Machine, Placeholder, Source
from .places import Place as FilePlace
from .places import handle_of
from .stored import Stored, contiguous, name_of, refuse_more_slices_than_bytes, shape_of, size_of, sizes_of
from .torch_objects import ITEMSIZES, Maker
from .torch_zip import open_zip

ENDING = ".metadata"
MAX_METADATA = 2**30
TENSOR, INDEX = "TensorStorageMetadata", "MetadataIndex"
# Overlaps are looked for among so many parts.
MOST_COMPARED = 2048


@dataclass(frozen=True)
class Chunk:
    """A part of a tensor: where it begins, its shape, and the bytes that hold it."""

    offsets: tuple[int, ...]
    shape: tuple[int, ...]
    file: FilePlace
    start: int
    size: int


@dataclass(frozen=True)
class Chunked(Computed):
    """A tensor in parts; of each only what is asked for is read."""

    chunks: tuple[Chunk, ...] = ()

    def compute(self, handle: Handle) -> Any:
        import torch

        made = torch.empty(self.shape, dtype=getattr(torch, self.dtype))
        # Of so many parts it was not looked whether two overlap, and leave a hole.
        filled = torch.zeros(self.shape, dtype=torch.bool) if len(self.chunks) > MOST_COMPARED else None
        for chunk in self.chunks:
            where = [_overlap(place, at, side) for place, at, side in zip(self.places, chunk.offsets, chunk.shape)]
            if all(one is not None for one in where):
                target = tuple(one[0] for one in where if one is not None and one[0] is not None)
                values = _read(chunk, tuple(one[1] for one in where if one is not None))
                if values.dtype != made.dtype:
                    found = str(values.dtype).removeprefix("torch.")
                    raise handle.unreadable(f"a part of a tensor of {self.dtype} is of {found}")
                made[target] = values
                if filled is not None:
                    filled[target] = True
        if filled is not None and not filled.all():
            raise handle.unreadable(f"of {made.numel()} values its parts hold {int(filled.sum())}")
        return made


def _overlap(place: Place, at: int, side: int) -> tuple[slice | None, slice | int] | None:
    """Where the places of an axis that lie in a part go to, and where in the part they lie; None for none."""
    if isinstance(place, int):
        return (None, place - at) if at <= place < at + side else None
    first = max(0, -((place.start - at) // place.step))
    last = min(len(place), -((place.start - at - side) // place.step))
    if first >= last:
        return None
    inside = place[first:last]
    return slice(first, last), slice(inside.start - at, inside[-1] + 1 - at, place.step)


def _read(chunk: Chunk, index: tuple) -> Any:
    with reading(chunk.file), handle_of(chunk.file) as handle:
        window = Window(handle, chunk.start, chunk.size)
        stored = open_zip(window).tree
        if not isinstance(stored, Stored) or stored.shape != chunk.shape:
            raise handle.unreadable(f"at byte {chunk.start} there is no tensor of the shape {chunk.shape}")
        return stored.part(index).read(window)


def open_metadata(handle: Handle) -> Contents:
    """The tensors of a folder, nested as they were saved."""
    if handle.size > MAX_METADATA:
        raise handle.unreadable(f"metadata of {handle.size} bytes")
    pickled = handle.text(0, handle.size)
    metadata = Machine(Source.of(pickled), Maker(2**62).table).run()
    said = metadata.attributes() if isinstance(metadata, Placeholder) else {}
    entries, places, paths = (said.get(key) for key in ("state_dict_metadata", "storage_data", "planner_data"))
    if not isinstance(entries, dict) or not isinstance(places, dict):
        raise Refused("it is no metadata of torch.distributed.checkpoint")
    stored_at = dict(_stored_at(places))
    tree: dict[Any, Any] = {}
    files: set[FilePlace] = set()
    for name, entry in entries.items():
        if _is(entry, TENSOR):
            tensor = _tensor(name_of(name), entry.attributes(), stored_at, handle)
            files |= {chunk.file for chunk in tensor.chunks}
            _put(tree, paths.get(name) if isinstance(paths, dict) else None, name, tensor)
    absent = sorted(file.name for file in files if not file.is_file())
    if absent:
        raise handle.unreadable(f"{len(absent)} of its files are missing ({', '.join(absent[:4])})")
    return Contents(tree, pickled, plain=False, beside=tuple(sorted(files, key=str)))


def _is(value: Any, name: str) -> bool:
    return isinstance(value, Placeholder) and isinstance(value.what, Global) and value.what.name == name


def _stored_at(places: dict[Any, Any]) -> Iterator[tuple[tuple[str, tuple[int, ...]], Any]]:
    for key, value in places.items():
        if _is(key, INDEX) and isinstance(value, Placeholder):
            said = key.attributes()
            if said.get("offset") is not None:
                yield (str(said.get("fqn")), sizes_of(said["offset"], "offset")), value.attributes()


def _put(tree: dict[Any, Any], path: Any, name: str, tensor: Stored) -> None:
    """A tensor where it was in the mappings that were saved; by its flat name where that is not known."""
    steps = path if isinstance(path, tuple) and 0 < len(path) < 20 else (name,)
    inner = tree
    for step in steps[:-1]:
        inner = inner.setdefault(step, {})
        if not isinstance(inner, dict):
            raise Refused(f"a tensor inside of a tensor ({name[:80]})")
    inner[steps[-1]] = tensor


def _tensor(name: str, said: Any, stored_at: dict[Any, Any], handle: Handle) -> Chunked:
    shape, dtype = shape_of(said.get("size")), _dtype(said.get("properties"))
    chunks = []
    for one in said.get("chunks") or ():
        facts = one.attributes() if isinstance(one, Placeholder) else {}
        offsets, sides = sizes_of(facts.get("offsets"), "offset"), shape_of(facts.get("sizes"))
        inside = len(offsets) == len(sides) == len(shape)
        if not inside or any(at + side > whole for at, side, whole in zip(offsets, sides, shape)):
            raise Refused(f"a part of {sides} at {offsets} of a tensor of {shape}")
        where = stored_at.get((name, offsets))
        if not where:
            raise handle.unreadable(f"where the part of {ascii(name)[:80]} at {offsets} lies is not said")
        if where.get("transform_descriptors"):
            unfit = "its parts are compressed or encrypted (transform_descriptors)"
            return Chunked(shape, contiguous(shape), dtype, 1, unfit=unfit)
        file = _beside(handle, where.get("relative_path"))
        start, size = size_of(where.get("offset"), "offset"), size_of(where.get("length"), "length")
        chunks.append(Chunk(offsets, sides, file, start, size))
    _refuse_gaps(name, shape, chunks, handle)
    refuse_more_slices_than_bytes(shape, sum(chunk.size for chunk in chunks))
    strides, itemsize = contiguous(shape), ITEMSIZES[dtype]
    return Chunked(shape, strides, dtype, itemsize, whole=shape, places=all_places(shape), chunks=tuple(chunks))


def _refuse_gaps(name: str, shape: tuple[int, ...], chunks: list[Chunk], handle: Handle) -> None:
    held = sum(math.prod(chunk.shape) for chunk in chunks)
    if held != math.prod(shape):
        raise handle.unreadable(f"the parts of {ascii(name)[:80]} hold {held} of {math.prod(shape)} values")
    if not 1 < len(chunks) <= MOST_COMPARED or not shape:
        return
    low = np.array([chunk.offsets for chunk in chunks], dtype=object).astype(np.int64)
    high = low + np.array([chunk.shape for chunk in chunks], dtype=object).astype(np.int64)
    for at in range(len(chunks) - 1):
        common = (np.minimum(high[at], high[at + 1 :]) > np.maximum(low[at], low[at + 1 :])).all(axis=1)
        if common.any():
            raise handle.unreadable(f"two parts of {ascii(name)[:80]} overlap")


def _dtype(properties: Any) -> str:
    """The type among the properties, which are a tuple as its class pickles them."""
    state = properties.state if isinstance(properties, Placeholder) else None
    listed: Iterable[Any] = state.values() if isinstance(state, dict) else state if isinstance(state, tuple) else ()
    for one in listed:
        if isinstance(one, Global) and one.module == "torch" and one.name in ITEMSIZES:
            return one.name
    raise Refused("a tensor without a type")


def _beside(handle: Handle, file: Any) -> FilePlace:
    """A file that the metadata names, which has to lie in its folder."""
    path = PurePosixPath(file) if isinstance(file, str) else PurePosixPath("/")
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in str(file) or "\0" in str(file):
        raise handle.unreadable(f"it names the file {ascii(file)[:200]}; accepted are files beside it")
    return handle.path.parent / str(path)


FORMAT = Format("torch.distributed", (ENDING,), "folders of torch.distributed.checkpoint (`*.distcp`)", open_metadata)
