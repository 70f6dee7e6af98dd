"""By what a file is known again: its structure, its size, and bytes of it from every tensor and many other places.

Name and time do not count: a copy elsewhere is the same file, another file under the same name is not. A change of
a few values between the places looked at can go unseen in a large file whose format keeps no checksums; up to 4 MiB
every byte counts. Of a remote file what its server says of the content (its ETag) stands for these bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .handle import Handle, reading
from .places import Place, handle_of
from .stored import Stored

BLOCK = 4096
BLOCKS = 64
WHOLE = 2**22
SEED = 0x5E701


@dataclass(frozen=True)
class Fingerprint:
    """What a file of weights is known by.

    Attributes
    ----------
    size : int
        Bytes.
    tensors : int
        How many.
    structure : str
        Digest of header, directory or pickle, and of the names, types and shapes in it.
    content : str
        Digest of the bytes that were looked at, or what a server says of them.
    """

    size: int
    tensors: int
    structure: str
    content: str

    @cached_property
    def digest(self) -> str:
        """All of it in one word."""
        return _digest([repr((self.size, self.tensors, self.structure, self.content)).encode()])


def fingerprint_of(handle: Handle, tensors: dict[str, Stored], structure: bytes) -> Fingerprint:
    """The fingerprint of an open file."""
    names = repr([(name, tensor.dtype, tensor.shape, tensor.strides) for name, tensor in tensors.items()])
    outline = _digest([structure, names.encode("utf-8", "backslashreplace")])
    if handle.version:
        return Fingerprint(handle.size, len(tensors), outline, handle.version)
    looked_at = (handle.text(offset, size) for offset, size in _places(handle.size, tensors.values()))
    return Fingerprint(handle.size, len(tensors), outline, _digest(looked_at))


def sampled(file: Place) -> bytes:
    """Name, size and bytes from many places of a file in which tensors of another lie."""
    with reading(file), handle_of(file) as handle:
        looked_at = (handle.text(offset, size) for offset, size in _places(handle.size, ()))
        return f"{file.name} {handle.size} {handle.version or _digest(looked_at)}".encode("utf-8", "backslashreplace")


def digest_of(fingerprints: Iterable[Fingerprint]) -> str:
    """One word for the files of a model, whatever they are called."""
    return _digest([" ".join(sorted(one.digest for one in fingerprints)).encode()])


def _digest(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()[:32]


def _places(size: int, tensors: Iterable[Stored]) -> list[tuple[int, int]]:
    """Offsets and lengths: the whole of a small file; else its ends, 64 places drawn, and two in every tensor."""
    if size <= WHOLE:
        return [(0, size)]
    rng = np.random.default_rng(SEED)
    places = {(0, BLOCK), (size - BLOCK, BLOCK)}
    places |= {(int(start), BLOCK) for start in rng.integers(0, size - BLOCK, BLOCKS)}
    for offset, length in sorted({tensor.block.place for tensor in tensors if tensor.block is not None}):
        last = max(0, length - BLOCK)
        for start in (int(rng.integers(0, last + 1)), last):
            places.add((offset + start, min(BLOCK, length)))
    return sorted(places)
