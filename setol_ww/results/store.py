"""Results of a scan on disk, row by row: an SQLite file that holds every finished row once, whenever the writer dies.

One transaction a row, write-ahead log, the whole file locked by its writer. A row is JSON as Python writes it: every
finite float64 comes back bit for bit (negative zero too), integers stay integers, NaN and inf stay what they are.
"""

from __future__ import annotations

import contextlib
import errno
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import InvalidInput

SUFFIX = ".setol.sqlite"
ENDINGS = (".sqlite", ".db")
FORMAT = 1
APPLICATION_ID = 0x5E701
# Where the weights lay: kept to be read by people; by what they are known again is `weights`, their fingerprint.
PLACE = ("path", "files")
SCHEMA = """
CREATE TABLE about (what TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE rows (position INTEGER PRIMARY KEY, tensor TEXT NOT NULL, slice TEXT NOT NULL, status TEXT NOT NULL,
                   seconds REAL NOT NULL, gave_up INTEGER NOT NULL, cells TEXT NOT NULL, UNIQUE (tensor, slice));
"""


def store_path(out: Path) -> Path:
    """Where the store of a results file lies: the file itself for .sqlite and .db, beside it for others."""
    return out if out.suffix in ENDINGS else out.with_name(out.name + SUFFIX)


def encode(row: dict[str, Any]) -> str:
    """A row as text; numbers of numpy become Python's own."""
    return json.dumps(row, default=_plain)


def decode(cells: str) -> dict[str, Any]:
    """What `encode` was given."""
    return json.loads(cells)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a cell of type {type(value).__name__} is neither a number nor a word")


class Store:
    """The rows of one scan. Made by `Store.open` for a writer, `Store.read` for finished or left files.

    Attributes
    ----------
    path : Path or None
        None keeps everything in memory.
    about : dict
        What the rows belong to: checkpoint, options, shard.
    count : int
        Number of rows.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path | None, about: dict[str, Any]) -> None:
        self.connection, self.path, self.about = connection, path, about
        self.count = self._ask("SELECT count(*) FROM rows")

    @classmethod
    def open(cls, path: Path | None, about: dict[str, Any], *, resume: bool = True) -> Store:
        """The store of a scan, with the rows it holds already.

        Raises
        ------
        InvalidInput
            It belongs to another checkpoint or other options, is being written by someone else, is no store, or
            cannot be written.
        """
        connection = _connect(path)
        try:
            with _explained(path, 0):
                found = _about(connection, path)
                if found is not None and resume:
                    _refuse_other(path, found, about)
                else:
                    _create(connection, about)
        except BaseException:
            connection.close()
            raise
        return cls(connection, path, about)

    @classmethod
    def read(cls, path: Path) -> Store:
        """A store as it was left."""
        if not path.is_file():
            raise InvalidInput(f"the results {str(path)!r} were asked; there is no such file")
        connection = _connect(path)
        try:
            with _explained(path, 0):
                about = _about(connection, path)
        except BaseException:
            connection.close()
            raise
        if about is None:
            connection.close()
            raise InvalidInput(f"the results {str(path)!r} were asked; the file holds none")
        return cls(connection, path, about)

    def add(self, position: int, row: dict[str, Any], seconds: float, gave_up: bool = False) -> None:
        """Keep one finished row; it is on disk when this returns."""
        with _explained(self.path, self.count), self.connection:
            self.connection.execute(
                "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?)",
                (position, row["tensor"], row["slice"], row["status"], seconds, int(gave_up), encode(row)),
            )
        self.count += 1

    @property
    def gave_up(self) -> int:
        """Number of rows whose worker died."""
        return self._ask("SELECT count(*) FROM rows WHERE gave_up")

    def forget_given_up(self) -> None:
        """Make room for another try of the layers whose workers died."""
        with _explained(self.path, self.count), self.connection:
            self.connection.execute("DELETE FROM rows WHERE gave_up")
        self.count = self._ask("SELECT count(*) FROM rows")

    def positions(self) -> set[int]:
        """Positions of the rows that are there."""
        return {position for (position,) in self.connection.execute("SELECT position FROM rows")}

    def rows(self) -> list[tuple[int, dict[str, Any], float]]:
        """Position, row, seconds, in the order of the table."""
        found = self.connection.execute("SELECT position, cells, seconds FROM rows ORDER BY position")
        return [(position, decode(cells), seconds) for position, cells, seconds in found]

    def _ask(self, query: str) -> int:
        return self.connection.execute(query).fetchone()[0]

    def close(self) -> None:
        """Fold the log into the file and let go of it."""
        self.connection.close()

    def remove(self) -> None:
        """Close, and delete the file."""
        self.close()
        if self.path is not None:
            self.path.unlink()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _connect(path: Path | None) -> sqlite3.Connection:
    """A connection that holds the file for itself: another process is refused, and so no shared memory is needed,
    which network file systems lack."""
    try:
        connection = sqlite3.connect(":memory:" if path is None else path, timeout=1.0)
    except sqlite3.OperationalError as error:
        raise InvalidInput(f"the results file {path} was asked; it cannot be written: {error}") from None
    return connection


def _about(connection: sqlite3.Connection, path: Path | None) -> dict[str, Any] | None:
    """What a file says it belongs to; None for a new one."""
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise InvalidInput(f"the results file {path} was asked; it is a database of something else")
    connection.execute("PRAGMA journal_mode = WAL")
    # A kill loses nothing that was committed; a power cut may lose the last rows, never the file.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("BEGIN IMMEDIATE")
    connection.commit()
    if not tables:
        return None
    return {what: json.loads(value) for what, value in connection.execute("SELECT what, value FROM about")}


def _create(connection: sqlite3.Connection, about: dict[str, Any]) -> None:
    """An empty store in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        for name in ("about", "rows"):
            connection.execute(f"DROP TABLE IF EXISTS {name}")
        for statement in SCHEMA.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.executemany("INSERT INTO about VALUES (?, ?)", [(w, json.dumps(v)) for w, v in about.items()])


def _refuse_other(path: Path | None, found: dict[str, Any], asked: dict[str, Any]) -> None:
    """Refuse to go on with results of something else."""
    asked = json.loads(json.dumps(asked))
    other = [what for what in {**asked, **found} if what not in PLACE and found.get(what) != asked.get(what)]
    if other:
        shown = "; ".join(f"{what} was {_short(found.get(what))}, now {_short(asked.get(what))}" for what in other)
        raise InvalidInput(
            f"resuming {path} was asked; it holds results of another checkpoint or other options ({shown}). "
            "Accepted are the same ones, another file, or resume=False, which starts anew"
        )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:100]}...{text[-90:]}"


@contextlib.contextmanager
def _explained(path: Path | None, rows: int) -> Iterator[None]:
    """SQLite's errors as what they mean to the caller."""
    try:
        yield
    except sqlite3.OperationalError as error:
        said = str(error)
        if "locked" in said:
            raise InvalidInput(f"the results file {path} was asked; another process is writing to it") from None
        if ("I/O" in said or "readonly" in said) and path is not None and not path.exists():
            raise InvalidInput(
                f"the results file {path} was asked; another process finished it and removed it meanwhile"
            ) from None
        if "full" in said or "I/O" in said:
            number = errno.ENOSPC if "full" in said else errno.EIO
            advice = "make room and resume" if "full" in said else "resume when the disk is sound"
            text = f"no more can be written ({said}); the {rows} finished rows in it are intact, {advice}"
            raise OSError(number, text, str(path)) from error
        raise InvalidInput(f"the results file {path} was asked; it cannot be written: {said}") from None
    except sqlite3.DatabaseError as error:
        raise InvalidInput(f"the results file {path} was asked; it is no results file: {error}") from None
