"""Keras: HDF5 files of weights, alone (`.h5`) or in an archive (`.keras`), with the layers' true names.

The `h5py` package reads the structure, by positioned reads of ours; values that lie in one piece are read by their
offset, others (in chunks, packed) by the package, a part at a time. Links to other files are not followed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.arrays import dtype_word
from .base import Contents, Format
from .blocks import FileBlock
from .computed import Computed, all_places
from .extras import needed
from .handle import Handle, Window
from .stored import Stored, contiguous, name_of, refuse_more_slices_than_bytes, shape_of
from .zip_members import archive_of, is_zip

WEIGHTS = "model.weights.h5"
MAGIC = b"\x89HDF\r\n\x1a\n"
DEEPEST = 100
MOST = 200_000
NOT_WEIGHTS = re.compile(r"^(optimizer|optimizer_weights|_layer_checkpoint_dependencies/optimizer)(/|$)")
# Variables by what a class is called in paths; a kernel and a bias of all others.
VARIABLES = {
    **dict.fromkeys(("query_dense", "key_dense", "value_dense", "output_dense", "einsum_dense"), ("kernel", "bias")),
    "embedding": ("embeddings",),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "layer_normalization": ("gamma", "beta"),
    "group_normalization": ("gamma", "beta"),
    "cell": ("kernel", "recurrent_kernel", "bias"),
    "depthwise_conv1d": ("depthwise_kernel", "bias"),
    "depthwise_conv2d": ("depthwise_kernel", "bias"),
    "separable_conv1d": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "separable_conv2d": ("depthwise_kernel", "pointwise_kernel", "bias"),
}
CONVOLUTION = re.compile(r"^conv[123]d(_?transpose)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Packed(Computed):
    """A dataset that does not lie in one piece."""

    window: tuple[int, int] = (0, 0)
    dataset: str = ""

    def compute(self, handle: Handle) -> Any:
        library = needed("h5py", handle.path.suffix, "keras")
        with library.File(Window(handle, *self.window).stream(), "r") as file:
            return np.array(file[self.dataset][self.index()])


def open_h5(handle: Handle) -> Contents:
    """The datasets of a file."""
    return _contents(handle, (0, handle.size), {})


def open_keras(handle: Handle) -> Contents:
    """The weights of an archive; of its config only the layers' classes are looked at."""
    archive = archive_of(handle)
    where = archive.place(WEIGHTS, "Keras")
    config = json.loads(archive.read("config.json")) if "config.json" in archive.members else {}
    contents = _contents(handle, where, dict(_classes(config)))
    return Contents(contents.tree, archive.structure() + contents.structure)


def _contents(handle: Handle, where: tuple[int, int], classes: dict[str, str]) -> Contents:
    library = needed("h5py", handle.path.suffix, "keras")
    tensors: dict[str, Stored] = {}
    with library.File(Window(handle, *where).stream(), "r") as file:
        said = file.attrs.get("model_config")
        if isinstance(said, (str, bytes)):
            classes = classes | dict(_classes(json.loads(said)))
        for path, dataset in _datasets(library, file):
            if NOT_WEIGHTS.match(path):
                continue
            name, kind = _named(file, path, dataset, classes)
            name = name_of(name if name not in tensors else path.replace("/", "."))
            if name in tensors:
                raise handle.unreadable(f"two of its datasets stand for {ascii(name)[:80]}")
            if name.endswith("pointwise_kernel"):
                kind = "Conv2D"
            tensors[name] = _stored(handle, where, path, dataset, kind, plain=not file.userblock_size)
    return Contents(tensors, repr([(name, one.shape, one.dtype) for name, one in tensors.items()]).encode())


def _classes(config: Any) -> Iterator[tuple[str, str]]:
    """Layers by name, and their classes."""
    left, seen = [config], 0
    while left:
        one = left.pop()
        seen += 1
        if seen > MOST:
            raise ValueError("a config without an end")
        if isinstance(one, dict):
            inner = one.get("config")
            if isinstance(inner, dict) and isinstance(inner.get("name"), str):
                yield inner["name"], str(one.get("class_name"))
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)


def _datasets(library: Any, file: Any) -> Iterator[tuple[str, Any]]:
    """Path and dataset, in the order of the file; no group twice."""
    left: list[tuple[str, Any]] = [("", file)]
    seen: set[int] = set()
    while left:
        path, group = left.pop()
        if path and not isinstance(group, library.Group):
            yield path, group
            continue
        address = library.h5o.get_info(group.id).addr
        if address in seen:
            continue
        seen.add(address)
        inside = []
        for name in group:
            if isinstance(group.get(name, getlink=True), library.HardLink):
                child = group[name]
                if isinstance(child, (library.Group, library.Dataset)):
                    inside.append((f"{path}/{name}".lstrip("/"), child))
        if len(seen) > MOST or path.count("/") > DEEPEST:
            raise ValueError("groups inside groups without an end")
        left.extend(reversed(inside))


def _named(file: Any, path: str, dataset: Any, classes: dict[str, str]) -> tuple[str, str]:
    """The name of a variable after its layer's, and the layer's class."""
    steps = path.split("/")
    if len(steps) > 1 and steps[-2] == "vars" and steps[-1].isdigit():
        return _of_keras_3(file, steps, dataset, classes)
    if steps[0] == "model_weights":
        steps = steps[1:]
    # Keras writes layer/[model/]layer/variable:0.
    if len(steps) > 2 and steps[0] in steps[1:-1]:
        steps = steps[len(steps) - 1 - steps[::-1].index(steps[0], 1) :]
    steps = [re.sub(r":\d+$", "", step) for step in steps]
    kind = next((classes[step] for step in reversed(steps[:-1]) if step in classes), "")
    return ".".join(steps), kind


def _of_keras_3(file: Any, steps: list[str], dataset: Any, classes: dict[str, str]) -> tuple[str, str]:
    """`layers/dense_1/vars/0`: numbered by class; the layer's own name is an attribute of `vars`."""
    names, kinds = [], []
    for at, step in enumerate(steps[:-2]):
        if step == "layers":
            continue
        held = file.get("/".join([*steps[: at + 1], "vars"]))
        said = held.attrs.get("name") if held is not None else None
        names.append(said if isinstance(said, str) and said else step)
        kinds.append(re.sub(r"_\d+$", "", step))
    kind = classes.get(names[-1], kinds[-1]) if names else ""
    found = VARIABLES.get(kinds[-1] if kinds else "")
    variables = found or ("kernel", "bias")
    number = int(steps[-1]) if len(steps[-1]) < 9 else len(variables)
    is_vector = len(dataset.shape or ()) < 2
    known = number < len(variables) and (found is not None or (number > 0) == is_vector)
    return ".".join([*names, variables[number] if known else f"vars.{steps[-1]}"]), kind


def _stored(handle: Handle, where: tuple[int, int], path: str, dataset: Any, kind: str, plain: bool) -> Stored:
    if dataset.shape is None:
        return Stored((0,), (1,), "float32", 4, unfit="it is an empty dataset")
    shape, dtype = shape_of([int(side) for side in dataset.shape]), dataset.dtype
    strides = contiguous(shape)
    elsewhere = "it lies in other files" if dataset.external or dataset.is_virtual else ""
    odd = f"values of the type {dtype} are no plain numbers" if dtype.kind not in "biufcV" or dtype.hasobject else ""
    if elsewhere or odd:
        refuse_more_slices_than_bytes(shape, handle.size)
        return Stored(shape, strides, dtype_word(dtype), dtype.itemsize, unfit=elsewhere or odd, library="numpy")
    is_bfloat16 = str(dataset.attrs.get("dtype", "")) == "bfloat16" and dtype.itemsize == 2
    facts = {}
    if CONVOLUTION.match(kind) and len(shape) > 2:
        facts = {"axes": (len(shape) - 1, len(shape) - 2)}
    offset = dataset.id.get_offset() if plain else None
    if offset is not None and dataset.id.get_storage_size() == dataset.size * dtype.itemsize:
        Window(handle, *where).read(offset, 0)
        block = FileBlock(where[0] + offset, dataset.id.get_storage_size())
        if is_bfloat16:
            return Stored(shape, strides, "bfloat16", 2, block, facts=facts)
        word = dtype_word(dtype)
        return Stored(shape, strides, word, dtype.itemsize, block, library="numpy", code=dtype.str, facts=facts)
    refuse_more_slices_than_bytes(shape, handle.size * 1000)
    return Packed(
        shape,
        strides,
        "bfloat16" if is_bfloat16 else dtype_word(dtype),
        dtype.itemsize,
        library="numpy",
        unfit="values of type bfloat16 in chunks are not read" if is_bfloat16 else "",
        facts=facts,
        whole=shape,
        places=all_places(shape),
        window=where,
        dataset=path,
    )


def _is_hdf5(handle: Handle) -> bool:
    return handle.size >= len(MAGIC) and handle.text(0, len(MAGIC)) == MAGIC


KERAS = Format(
    "keras", (".keras",), "models of Keras 3, with the layers' own names", open_keras, is_zip, "numpy", "keras"
)
H5 = Format(
    "hdf5", (".h5", ".hdf5"), "weights and models of Keras, and other HDF5 files", open_h5, _is_hdf5, "numpy", "keras"
)
