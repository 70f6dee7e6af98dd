"""numpy's files: an array behind a header of text (npy), or a zip archive of such (npz); objects stay unread."""

from __future__ import annotations

import ast
import re
from typing import Any

import numpy as np

from ..core.arrays import dtype_word
from .base import Contents, Format
from .blocks import Block, FileBlock
from .handle import Handle
from .places import Place
from .stored import Stored, contiguous, name_of, refuse_more_slices_than_bytes, shape_of
from .zip_members import archive_of, is_zip

MAGIC = b"\x93NUMPY"
# numpy refuses longer headers, too.
MAX_HEADER = 10_000
DEEPEST = 20
PLAIN = re.compile(r"[<>=|]?[biufcSUVmMO?]\d{0,9}(\[[\w/]{1,20}\])?")
PYTHON_2 = re.compile(r"(?<=\d)L\b")
KEYS = {"descr", "fortran_order", "shape"}


def open_npy(handle: Handle) -> Contents:
    """One array, called after its file."""
    header, start = _header(handle.text(0, min(handle.size, MAX_HEADER + 12)))
    name = f"{_stem(handle.path)}.weight"
    array = _array(header, FileBlock(0, handle.size), start)
    return Contents({name: array}, repr(header).encode())


def _stem(path: Place) -> str:
    """The name of a file without its ending; bytes that are no text are written out."""
    return path.stem.encode("utf-8", "backslashreplace").decode()


def open_npz(handle: Handle) -> Contents:
    """The arrays of an archive; members that are none are left out unless they are called like one."""
    archive = archive_of(handle)
    found: dict[str, Stored] = {}
    for member in archive.members:
        name = name_of(member.removesuffix(".npy"))
        head = archive.head(member, MAX_HEADER + 12)
        if not head.startswith(MAGIC) and name == member:
            continue
        if name in found:
            raise handle.unreadable(f"two of its members stand for {ascii(name)[:80]}")
        header, start = _header(head)
        found[name] = _array(header, archive.block(member), start)
    return Contents(found, archive.structure())


def _header(head: bytes) -> tuple[dict[str, Any], int]:
    """What stands at the head of an array, and where its values begin; `ValueError` for what numpy would not read."""
    if not head.startswith(MAGIC) or len(head) < 12:
        raise ValueError("it does not begin as a file of numpy's does")
    version, wide = head[6], head[6] > 1
    if version not in (1, 2, 3) or head[7] != 0:
        raise ValueError(f"a header of version {version}.{head[7]}; known are 1.0, 2.0 and 3.0")
    start = 12 if wide else 10
    length = int.from_bytes(head[8:start], "little")
    if length > MAX_HEADER or start + length > len(head):
        raise ValueError(f"a header of {length} bytes; {len(head) - start} are there, {MAX_HEADER} accepted")
    text = head[start : start + length].decode("utf-8" if version == 3 else "latin-1")
    return _parsed(text, version), start + length


def _parsed(text: str, version: int) -> dict[str, Any]:
    # Python's parser is not to be led deep, nor to compute.
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", text)
    depth = 0
    for letter in bare:
        depth += (letter in "([{") - (letter in ")]}")
        if depth > DEEPEST or letter in "-+~*":
            raise ValueError("a header that is no list of type, order and shape")
    header = ast.literal_eval(PYTHON_2.sub("", text) if version < 3 else text)
    if not isinstance(header, dict) or header.keys() != KEYS or type(header["fortran_order"]) is not bool:
        raise ValueError("a header without exactly a descr, a fortran_order and a shape")
    if not isinstance(header["shape"], tuple):
        raise ValueError("a shape that is no tuple")
    return header


def _array(header: dict[str, Any], block: Block, start: int) -> Stored:
    shape, dtype = shape_of(header["shape"]), _dtype(header["descr"])
    refuse_more_slices_than_bytes(shape, block.size)
    strides = tuple(reversed(contiguous(shape[::-1]))) if header["fortran_order"] else contiguous(shape)
    if not dtype.itemsize and 0 not in shape:
        raise ValueError(f"the type {dtype.str}, whose elements have no bytes")
    unfit = "values of type object cannot be read as real weights: they are pickled" if dtype.hasobject else ""
    return Stored(
        shape,
        strides,
        dtype_word(dtype),
        dtype.itemsize,
        _Behind(block, start),
        library="numpy",
        code=dtype.str,
        unfit=unfit,
    )


def _dtype(descr: Any) -> np.dtype:
    if isinstance(descr, str):
        if not PLAIN.fullmatch(descr):
            raise ValueError(f"the type {ascii(descr)[:80]}")
        return np.dtype(descr)
    return np.lib.format.descr_to_dtype(descr)


class _Behind:
    """A block without the bytes of a header before it, which its checksum is of as well."""

    def __init__(self, block: Block, start: int) -> None:
        self.block, self.start = block, start
        self.size, self.place = max(0, block.size - start), block.place

    def read(self, handle: Handle, start: int, stop: int) -> np.ndarray:
        return self.block.read(handle, self.start + start, self.start + stop)


NPY = Format("npy", (".npy",), "one array of numpy's, called after its file", open_npy, library="numpy")
NPZ = Format("npz", (".npz",), "arrays of numpy's by name, packed or not", open_npz, is_zip, library="numpy")
