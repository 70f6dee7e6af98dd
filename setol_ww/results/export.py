r"""Finished tables on disk, by the ending of the file, whole or not at all, and safe for what opens them.

`.csv`
    A cell that a spreadsheet would run, or that holds control characters or lone surrogates, is written as `'` and the
    text with `\n`, `\x1b`, `\ud800` for them. `read_table` takes it back, and where no name has lone surrogates (which
    a column of text of pandas 3 cannot hold) so does
    `pandas.read_csv(path, converters=csv_converters(path), keep_default_na=False, na_values=[""])`.
`.parquet`
    Words as they are. UTF-8 has no lone surrogates: a cell with one is written with `\ud800` and named in the file's
    own notes, from which `read_table` takes it back.
`.json`
    Words as they are, every character beyond ASCII by its number (a lone high surrogate before a lone low one reads as
    the character they make); NaN and infinite numbers are null.
`.html`
    Words escaped, and what does not show itself by its number.
"""

from __future__ import annotations

import csv
import html
import importlib.util
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from ..core.as_json import as_json
from ..core.checks import writable_file
from ..core.errors import InvalidInput
from ..core.printable import visible
from ..core.whole_file import written_whole
from .findings import has_surrogate

# Characters with which a cell begins that Excel, LibreOffice or Google Sheets compute; the wide ones do in some.
RUNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
MARK = "'"
UNSAFE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
ESCAPED = "escaped"
ESCAPE = re.compile(r"\\(\\|x[0-9a-f]{2}|u[0-9a-f]{4})")


def csv_cell(text: str) -> str:
    r"""A word as a cell of a CSV file: itself, or `'` and the word with backslashes for what is not safe there.

    Examples
    --------
    >>> csv_cell("fc.weight"), csv_cell("=cmd()"), csv_cell("-1.5")
    ('fc.weight', "'=cmd()", '-1.5')
    """
    runs = text.startswith(RUNS) and not _is_number(text)
    if not runs and not text.startswith(MARK) and not UNSAFE.search(text):
        return text
    return MARK + _escaped(text, UNSAFE)


def csv_text(cell: str) -> str:
    """`csv_cell` undone, a converter for `pandas.read_csv`."""
    return _unescaped(cell[1:]) if cell.startswith(MARK) else cell


def csv_converters(path: str | Path) -> dict[str, Callable[[str], str]]:
    """The converters with which `pandas.read_csv` gives the words of a table as they were.

    Only columns with a cell that begins with `'` get one; the others read as ever. A layer called `NA` stays one with
    `keep_default_na=False, na_values=[""]`.
    """
    return dict.fromkeys(_marked_columns(Path(path)), csv_text)


def _marked_columns(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        head = next(rows, [])
        marked = {name for row in rows for name, cell in zip(head, row) if cell.startswith(MARK)}
    return [name for name in head if name in marked]


def _read_csv(path: Path) -> pd.DataFrame:
    marked = _marked_columns(path)
    frame = pd.read_csv(path, dtype=dict.fromkeys(marked, str), keep_default_na=False, na_values=[""])
    for name in marked:
        frame[name] = _objects_if_needed([csv_text(cell) if isinstance(cell, str) else cell for cell in frame[name]])
    return frame


def read_table(path: str | Path) -> pd.DataFrame:
    """A table that `export` wrote as `.csv`, `.json` or `.parquet`, with its words as they were.

    Raises
    ------
    InvalidInput
        Another ending, or no such file.
    """
    where = Path(path)
    ending = where.suffix.lower()
    if ending not in READERS:
        raise InvalidInput(f"the table {str(path)!r} was asked; accepted endings are {', '.join(READERS)}")
    if not where.is_file():
        raise InvalidInput(f"the table {str(path)!r} was asked; there is no such file")
    return READERS[ending](where)


def records(frame: Any) -> list[dict[str, Any]]:
    """Rows as JSON types, numbers that are not finite as null, every digit kept."""
    columns = {name: [None if one is pd.NA else as_json(one) for one in frame[name].tolist()] for name in frame}
    return [dict(zip(columns, cells)) for cells in zip(*columns.values())]


def csv_of(frame: pd.DataFrame) -> str:
    """The text of a CSV file."""
    return _with_words(frame, csv_cell).to_csv(index=False)


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    path.write_text(csv_of(frame), encoding="utf-8", newline="")


def _write_json(frame: pd.DataFrame, path: Path) -> None:
    # pandas' own JSON keeps ten decimal places.
    path.write_text(json.dumps(records(frame), indent=1, allow_nan=False), encoding="utf-8")


def _write_parquet(frame: pd.DataFrame, path: Path) -> None:
    escaped: dict[str, list[int]] = {}
    for name in _word_columns(frame):
        rows = [i for i, value in enumerate(frame[name]) if isinstance(value, str) and has_surrogate(value)]
        if rows:
            escaped[name] = rows
            frame = frame.assign(**{name: _replaced(frame[name], rows, lambda text: _escaped(text, SURROGATE))})
    frame.attrs = {ESCAPED: escaped} if escaped else {}
    frame.to_parquet(path, index=False)


def _write_html(frame: pd.DataFrame, path: Path) -> None:
    # pandas would give seven digits: small eigenvalues would read 0.
    table = _with_words(frame, visible).to_html(index=False, float_format=lambda number: repr(float(number)))
    path.write_text(PAGE.format(title=html.escape(f"{len(frame)} layers"), table=table), encoding="utf-8")


PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>setol-ww: {title}</title>
<style>
body {{ font: 14px sans-serif; margin: 1em }}
table {{ border-collapse: collapse }}
th, td {{ padding: 2px 8px; border: 1px solid #ddd; white-space: nowrap; text-align: left }}
th {{ position: sticky; top: 0; background: #fff }}
</style></head>
<body>
<h1>setol-ww: {title}</h1>
{table}
</body>
</html>
"""

WRITERS: dict[str, Callable[[Any, Path], Any]] = {
    ".csv": _write_csv,
    ".json": _write_json,
    ".html": _write_html,
    ".parquet": _write_parquet,
}
SURROGATE = re.compile(r"[\ud800-\udfff]")


def _read_parquet(path: Path) -> pd.DataFrame:
    frame = pd.read_parquet(path)
    for name, rows in frame.attrs.pop(ESCAPED, {}).items():
        frame[name] = _replaced(frame[name], rows, _unescaped)
    return frame


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": _read_csv,
    ".json": lambda path: _frame_of_json(json.loads(path.read_text(encoding="utf-8"))),
    ".parquet": _read_parquet,
}


def _frame_of_json(rows: list[dict[str, Any]]) -> pd.DataFrame:
    names = list(rows[0]) if rows else []
    return pd.DataFrame({name: _column_of_json([row[name] for row in rows]) for name in names})


def _column_of_json(values: list[Any]) -> Any:
    """A column without any value is one of numbers, as it was written."""
    return [float("nan")] * len(values) if all(one is None for one in values) else _objects_if_needed(values)


def _objects_if_needed(values: list[Any]) -> Any:
    bad = any(isinstance(value, str) and has_surrogate(value) for value in values)
    return pd.Series(values, dtype=object) if bad else values


def _word_columns(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]


def _with_words(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """The table with every word changed."""
    changed = {}
    for name in _word_columns(frame):
        values = [change(value) if isinstance(value, str) else value for value in frame[name]]
        changed[name] = pd.Series(values, index=frame.index, dtype=object)
    return frame.assign(**changed)


def _replaced(column: pd.Series, rows: list[int], change: Callable[[str], str]) -> pd.Series:
    values = column.tolist()
    for row in rows:
        values[row] = change(values[row])
    return pd.Series(values, index=column.index, dtype=object)


def _escaped(text: str, unsafe: re.Pattern[str]) -> str:
    """Backslashes doubled, what is unsafe by its number."""

    def shown(match: re.Match[str]) -> str:
        number = ord(match[0])
        return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"

    return unsafe.sub(shown, text.replace("\\", "\\\\"))


def _unescaped(text: str) -> str:
    return ESCAPE.sub(lambda match: "\\" if match[1] == "\\" else chr(int(match[1][1:], 16)), text)


def _is_number(text: str) -> bool:
    """True for what every spreadsheet reads as a number and nothing else."""
    return re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", text, re.ASCII) is not None


def refuse_unwritable(option: str, path: Path, endings: Any = tuple(WRITERS)) -> None:
    """`InvalidInput`, before any work, for an ending that is not known, a folder that is not there or takes no
    files, and parquet without a library for it."""
    writable_file(option, path.with_suffix(path.suffix.lower()), endings)
    if path.is_dir():
        raise InvalidInput(f"{option} {path} was asked; it cannot be written: it is a folder")
    if not os.access(path.resolve().parent, os.W_OK):
        raise InvalidInput(f"{option} {path} was asked; it cannot be written: its folder takes no files")
    if path.suffix.lower() == ".parquet" and not any(map(importlib.util.find_spec, ("pyarrow", "fastparquet"))):
        raise InvalidInput(f"{option} {path} was asked; it needs another package: pip install pyarrow")


def export(frame: Any, path: Path) -> None:
    """Write the table in the form of the path's ending."""
    plain = frame.copy(deep=False)
    plain.attrs = {}
    with written_whole(path) as part:
        WRITERS[path.suffix.lower()](plain, part)
