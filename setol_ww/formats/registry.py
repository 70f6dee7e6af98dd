"""The formats there are, one entry each; accepted endings in errors and help texts are written from here."""

from __future__ import annotations

from ..core.errors import InvalidInput
from . import (
    flax_file,
    gguf_file,
    keras_file,
    numpy_file,
    onnx_file,
    pt2_file,
    safetensors_file,
    sb3_file,
    torch_distributed,
    torch_legacy,
    torch_zip,
)
from .base import Format
from .handle import Handle
from .places import Place

# Of two for one ending the first that accepts the file's first bytes opens it.
FORMATS: tuple[Format, ...] = (
    safetensors_file.FORMAT,
    torch_zip.FORMAT,
    torch_legacy.FORMAT,
    torch_zip.SCRIPT,
    torch_distributed.FORMAT,
    pt2_file.FORMAT,
    numpy_file.NPZ,
    numpy_file.NPY,
    gguf_file.FORMAT,
    onnx_file.FORMAT,
    keras_file.KERAS,
    keras_file.H5,
    flax_file.FORMAT,
    sb3_file.FORMAT,
)
# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
LFS_POINTER, LFS_MOST = b"version https://git-lfs.github.com/spec/", 1024
PAGES, PAGE_MOST = (b"<!doctype html", b"<html"), 2**20
SAFETENSORS = safetensors_file.FORMAT.endings
TORCH = torch_zip.FORMAT.endings
NUMPY = (*numpy_file.NPZ.endings, *numpy_file.NPY.endings)


def accepted() -> tuple[str, ...]:
    """The endings of all formats."""
    return tuple(dict.fromkeys(ending for one in FORMATS for ending in one.endings))


def ending_of(path: Place) -> str:
    """What the format of a file is told by.

    >>> from pathlib import Path
    >>> ending_of(Path("a/model.pt")), ending_of(Path("a/.metadata"))
    ('.pt', '.metadata')
    """
    return path.suffix or path.name


def needs_torch(path: Place) -> bool:
    """True for a file whose tensors are torch's.

    >>> from pathlib import Path
    >>> needs_torch(Path("model.safetensors")), needs_torch(Path("weights.npz"))
    (True, False)
    """
    return any(one.library == "torch" for one in FORMATS if ending_of(path) in one.endings)


def refuse_unknown(path: Place) -> None:
    """`InvalidInput` for an ending that no format has."""
    ending = ending_of(path)
    if not any(ending in one.endings for one in FORMATS):
        raise InvalidInput(f"the file {str(path)!r} was asked; accepted endings are {', '.join(accepted())}")


def refuse_notes(handle: Handle) -> None:
    """`UnreadableCheckpoint` for a pointer or a page that a download left where a file is to be."""
    if handle.size > PAGE_MOST:
        return
    head = handle.text(0, min(handle.size, len(LFS_POINTER))).lstrip().lower()
    if handle.size < LFS_MOST and head.startswith(LFS_POINTER):
        raise handle.unreadable(
            "it is a Git LFS pointer, a note where the weights are to be: fetch them with `git lfs pull` there"
        )
    if head.startswith(PAGES):
        raise handle.unreadable("it is a web page, as a download writes that was refused: fetch the file again")


def format_of(handle: Handle) -> Format:
    """The format of an open file, by its ending and its first bytes."""
    refuse_unknown(handle.path)
    refuse_notes(handle)
    for one in FORMATS:
        if ending_of(handle.path) in one.endings and one.accepts(handle):
            return one
    raise handle.unreadable("its first bytes are those of none of the formats with its ending")


def formats_table() -> str:
    """The formats as a table for help texts and documentation.

    >>> print(formats_table().splitlines()[0])
    .safetensors               names and tensors and nothing else (Hugging Face and others)
    """
    lines: dict[str, str] = {}
    for one in FORMATS:
        lines.setdefault(" ".join(one.endings), one.description)
    return "\n".join(f"{endings:26} {description}" for endings, description in lines.items())
