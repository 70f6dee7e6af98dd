"""Finished tables on disk, by the ending of the file, whole or not at all."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.checks import writable_file
from ..core.errors import InvalidInput

PART = ".part"


def records(frame: Any) -> list[dict[str, Any]]:
    """Rows as JSON types, NaN as null, every digit kept."""
    return [
        {
            name: None if value != value else getattr(value, "item", lambda value=value: value)()
            for name, value in row.items()
        }
        for row in frame.to_dict("records")
    ]


WRITERS: dict[str, Callable[[Any, Path], Any]] = {
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    # pandas' own JSON keeps ten decimal places and its HTML seven digits: small eigenvalues would read 0.
    ".json": lambda frame, path: path.write_text(json.dumps(records(frame), indent=1), encoding="utf-8"),
    ".html": lambda frame, path: frame.to_html(path, index=False, float_format=lambda number: repr(float(number))),
    ".parquet": lambda frame, path: frame.to_parquet(path, index=False),
}


def refuse_unwritable(option: str, path: Path, endings: Any = tuple(WRITERS)) -> None:
    """`InvalidInput`, before any work, for an ending that is not known, a folder that is not there or takes no
    files, and parquet without a library for it."""
    writable_file(option, path, endings)
    if path.is_dir():
        raise InvalidInput(f"{option} {path} was asked; it cannot be written: it is a folder")
    if not os.access(path.resolve().parent, os.W_OK):
        raise InvalidInput(f"{option} {path} was asked; it cannot be written: its folder takes no files")
    if path.suffix == ".parquet" and not any(map(importlib.util.find_spec, ("pyarrow", "fastparquet"))):
        raise InvalidInput(f"{option} {path} was asked; it needs another package: pip install pyarrow")


def export(frame: Any, path: Path) -> None:
    """Write the table beside its place and move it there, so that a reader sees the old file or the whole new one."""
    plain = frame.copy(deep=False)
    plain.attrs = {}
    part = path.with_name(f".{path.name}{PART}")
    try:
        WRITERS[path.suffix](plain, part)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
