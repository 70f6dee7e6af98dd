"""Libraries that only some formats need, imported when one of their files is opened."""

from __future__ import annotations

import importlib
from types import ModuleType

from ..core.errors import InvalidInput


def needed(library: str, ending: str, extra: str) -> ModuleType:
    """A library, else `InvalidInput` with the extra that brings it.

    >>> needed("no_such_library", ".xyz", "xyz")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    setol_ww.core.errors.InvalidInput: reading .xyz needs: pip install 'setol-ww[xyz]' (No module named ...)
    """
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise lacking(ending, extra, error) from error


def lacking(ending: str, extra: str, error: ImportError) -> InvalidInput:
    """The error for a library that is not installed."""
    return InvalidInput(f"reading {ending} needs: pip install 'setol-ww[{extra}]' ({error})")
