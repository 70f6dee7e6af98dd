"""What a format is: its endings, its line in the documentation, and how one of its files is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .handle import Handle
from .places import Place


@dataclass(frozen=True)
class Contents:
    """A file as it was opened: structure and no values.

    Attributes
    ----------
    tree : object
        What the file holds: a mapping of names to `Stored` tensors, or for formats that keep any object that
        object, mappings and placeholders around them.
    structure : bytes
        The bytes that say what lies where: header, directory, pickle.
    plain : bool
        True for a format that holds names and tensors and nothing else; False where there may be wrappers.
    beside : tuple of Path
        Other files in which values lie.
    """

    tree: Any
    structure: bytes = field(repr=False)
    plain: bool = True
    beside: tuple[Place, ...] = ()


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes
    ----------
    name : str
        As help texts call it.
    endings : tuple of str
    description : str
        One line.
    open : callable
        Takes a `Handle` and gives the `Contents`, reading no values.
    accepts : callable
        Tells by the first bytes which of the formats of one ending a file is.
    library : str
        Whose arrays its tensors are.
    extra : str
        The extra of this package that brings the library it needs; empty where none is needed.
    """

    name: str
    endings: tuple[str, ...]
    description: str
    open: Callable[[Handle], Contents]
    accepts: Callable[[Handle], bool] = lambda handle: True
    library: str = "torch"
    extra: str = ""
