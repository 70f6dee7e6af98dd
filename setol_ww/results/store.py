"""Results on disk: an SQLite file that holds every finished record once, whenever its writer dies, and knows damage.

One transaction a record or a few small ones, a rollback journal that is gone between them, the whole file locked by its
writer. Every record and what the file says of itself have a checksum; the seal counts the records and adds up their
checksums, so that a lost, doubled or older record is noticed. docs/store.md has the tables for readers in other
languages.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import sqlite3
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.errors import InvalidInput, UnreadableCheckpoint
from ..core.printable import visible
from .codec import Undecodable, pack, unpack
from .record import LayerRecord

SUFFIX = ".setol.sqlite"
ENDINGS = (".setol", ".sqlite", ".db")
#: Version of the tables. A file of a higher one is refused.
SCHEMA_VERSION = 2
APPLICATION_ID = 0x5E701
# Where the weights lay: kept to be read by people; by what they are known again is `weights`, their fingerprint.
PLACE = ("path", "files")
SCHEMA = (
    "CREATE TABLE about (id INTEGER PRIMARY KEY, content BLOB NOT NULL, digest BLOB NOT NULL)",
    "CREATE TABLE seal (id INTEGER PRIMARY KEY, content BLOB NOT NULL, digest BLOB NOT NULL)",
    "CREATE TABLE rows (position INTEGER PRIMARY KEY, tensor TEXT NOT NULL, slice TEXT NOT NULL, status TEXT NOT NULL, "
    "seconds REAL NOT NULL, gave_up INTEGER NOT NULL, record BLOB NOT NULL, digest BLOB NOT NULL)",
)
DIGEST_BYTES = 16
MODULUS = 1 << 8 * DIGEST_BYTES
#: Where the number of the application lies in the header of an SQLite file.
MAGIC, APPLICATION_ID_AT = b"SQLite format 3\0", 68
ROWS = "SELECT position, tensor, slice, status, seconds, gave_up, record, digest FROM rows ORDER BY position"


def is_store(path: Path) -> bool:
    """True for a name that a store bears itself."""
    return path.suffix.lower() in ENDINGS


def store_path(out: Path) -> Path:
    """Where the store of a results file lies: the file itself for .setol, .sqlite and .db, beside it for others."""
    return out if is_store(out) else out.with_name(out.name + SUFFIX)


class Store:
    """The records of one run. Made by `Store.open` for a writer, `Store.read` for finished or left files.

    Attributes
    ----------
    path : Path
        The file.
    about : dict
        What the records belong to (checkpoint, options, shard): a file is gone on with only for the same.
    notes : dict
        What else is worth knowing (versions, coverage); not compared.
    count : int
        Number of records.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: Path, about: dict[str, Any], notes: dict[str, Any]
    ) -> None:
        self.connection, self.path, self.about, self.notes = connection, path, about, notes
        self.count, self.total = _sealed(connection, path)

    @classmethod
    def open(
        cls,
        path: Path,
        about: dict[str, Any],
        notes: dict[str, Any] | None = None,
        *,
        resume: bool = True,
    ) -> Store:
        """The store of a run, with the records it holds already.

        Raises
        ------
        InvalidInput
            It belongs to another checkpoint or other options, is being written by someone else, is no store or one of
            another version, or cannot be written.
        UnreadableCheckpoint
            It is damaged; `resume=False` starts anew all the same.
        """
        connection = _locked(path) if resume else _emptied(path)
        try:
            with _explained(path):
                if _tables(connection, path):
                    found = _verified(connection, path)
                    _refuse_other(path, found["about"], about)
                else:
                    _create(connection, about, notes or {})
                    found = _about(connection, path)
        except BaseException:
            connection.close()
            raise
        return cls(connection, path, found["about"], found["notes"])

    @classmethod
    def read(cls, path: Path) -> Store:
        """A store as it was left; nothing in it is changed.

        Raises
        ------
        InvalidInput
            There is none, it is of something else or of a newer version, or someone is writing to it.
        UnreadableCheckpoint
            It is damaged.
        """
        if not path.is_file():
            raise InvalidInput(f"the results {str(path)!r} were asked; there is no such file")
        mode = "rw" if os.access(path, os.W_OK) and os.access(path.resolve().parent, os.W_OK) else "ro"
        with _explained(path):
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=1.0)
        try:
            with _explained(path):
                # One state of the file, until it is closed.
                connection.execute("BEGIN")
                if not _tables(connection, path):
                    raise InvalidInput(f"the results {str(path)!r} were asked; the file holds none")
                found = _verified(connection, path)
        except BaseException:
            connection.close()
            raise
        return cls(connection, path, found["about"], found["notes"])

    def add(self, record: LayerRecord) -> None:
        """Keep one finished record; it is on disk when this returns."""
        self.add_all([record])

    def add_all(self, records: Iterable[LayerRecord]) -> None:
        """Keep some in one transaction."""
        count, total = self.count, self.total
        with _explained(self.path, self.count, writing=True), self.connection:
            for record in records:
                row = _row(record)
                digest = _digest(row)
                self.connection.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, digest))
                count, total = count + 1, (total + int.from_bytes(digest, "big")) % MODULUS
            _seal(self.connection, count, total)
        self.count, self.total = count, total

    @property
    def gave_up(self) -> int:
        """Number of records whose worker died."""
        return self.connection.execute("SELECT count(*) FROM rows WHERE gave_up").fetchone()[0]

    def forget(self, positions: Iterable[int]) -> None:
        """Make room for another try of these layers."""
        listed = [(position,) for position in positions]
        with _explained(self.path, self.count, writing=True), self.connection:
            asked = "SELECT digest FROM rows WHERE position = ?"
            gone = [row for one in listed for row in self.connection.execute(asked, one).fetchall()]
            if gone:
                self.connection.executemany("DELETE FROM rows WHERE position = ?", listed)
                self.count -= len(gone)
                self.total = (self.total - sum(int.from_bytes(digest, "big") for (digest,) in gone)) % MODULUS
                _seal(self.connection, self.count, self.total)

    def count_layers_anew(self, layer_ids: Mapping[int, int]) -> None:
        """Give records the layer ids of these positions: the same weights may lie where layers count from another."""
        other = [one for one in self.records() if one.identity.get("layer_id") != layer_ids.get(one.position)]
        with _explained(self.path, self.count, writing=True), self.connection:
            for record in other:
                identity = {**record.identity, "layer_id": layer_ids.get(record.position)}
                row = _row(replace(record, identity=identity))
                old = "SELECT digest FROM rows WHERE position = ?"
                (gone,) = self.connection.execute(old, (record.position,)).fetchone()
                self.connection.execute("DELETE FROM rows WHERE position = ?", (record.position,))
                digest = _digest(row)
                self.connection.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, digest))
                self.total = (self.total + int.from_bytes(digest, "big") - int.from_bytes(gone, "big")) % MODULUS
            if other:
                _seal(self.connection, self.count, self.total)

    def positions(self) -> set[int]:
        """Positions of the records that are there."""
        return {position for (position,) in self.connection.execute("SELECT position FROM rows")}

    def records(self) -> list[LayerRecord]:
        """All records in the order of the table."""
        with _explained(self.path):
            return [_record(row, self.path) for row in self.connection.execute(ROWS)]

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    def remove(self) -> None:
        """Close, and delete the file, with an empty journal that SQLite leaves of a writer killed as it began."""
        self.close()
        self.path.unlink()
        _unlink_logs(self.path)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def damaged(path: Path, cause: str) -> UnreadableCheckpoint:
    """The error for a store that does not hold what was written to it."""
    return UnreadableCheckpoint(
        f"{path}: the results in it are damaged, {cause}. Take a copy of the file, or run again with another file "
        "or resume=False, which starts anew"
    )


# What a checksum is over.


def _row(record: LayerRecord) -> tuple[Any, ...]:
    """The columns of a record but for its checksum; the words are there for readers of the table by SQL."""
    words = (visible(record.tensor), visible(record.slice), record.status)
    return record.position, *words, float(record.seconds), int(record.gave_up), pack(record)


def _digest(values: tuple[Any, ...]) -> bytes:
    """Checksum over the values of a row, each with its type and length."""
    hashed = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for value in values:
        content = value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogatepass")
        hashed.update(struct.pack("<cQ", type(value).__name__[:1].encode(), len(content)))
        hashed.update(content)
    return hashed.digest()


def _seal(connection: sqlite3.Connection, count: int, total: int) -> None:
    content = json.dumps({"count": count, "total": f"{total:032x}"}).encode()
    connection.execute("INSERT OR REPLACE INTO seal VALUES (1, ?, ?)", (content, _digest(("seal", content))))


def _sealed(connection: sqlite3.Connection, path: Path) -> tuple[int, int]:
    """Number of records and sum of their checksums, as they were written."""
    told = _checked(connection, path, "seal")
    return told["count"], int(told["total"], 16)


def _checked(connection: sqlite3.Connection, path: Path, name: str) -> dict[str, Any]:
    """The one row of the table `about` or `seal`."""
    rows = connection.execute(f"SELECT content, digest FROM {name}").fetchall()
    if len(rows) != 1 or _digest((name, rows[0][0])) != rows[0][1]:
        raise damaged(path, f"the checksum of its table {name!r} is wrong")
    return json.loads(rows[0][0].decode("utf-8", "surrogatepass"))


def _about(connection: sqlite3.Connection, path: Path) -> dict[str, Any]:
    return _checked(connection, path, "about")


def _record(row: tuple[Any, ...], path: Path) -> LayerRecord:
    """The record in a row, when it is the one that was written."""
    if _digest(row[:-1]) != row[-1]:
        raise damaged(path, f"the checksum of the record at position {row[0]!r} is wrong")
    try:
        record = unpack(row[-2])
    except Undecodable as error:
        raise UnreadableCheckpoint(f"{path}: the record at position {row[0]} cannot be read, {error}") from None
    return record


# Opening.


def _locked(path: Path) -> sqlite3.Connection:
    """A connection for a writer, which alone has the file until it is closed."""
    try:
        path.touch()
        mark = _mark(path)
        connection = sqlite3.connect(path, timeout=1.0)
    except (sqlite3.OperationalError, OSError) as error:
        raise InvalidInput(f"the results file {path} was asked; it cannot be written: {error}") from None
    try:
        with _explained(path):
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            _tables(connection, path)
            # What was committed is in the file itself, where checksums find every flip. A log beside it would be cut,
            # without a word, at its first wrong byte.
            connection.execute("PRAGMA journal_mode = DELETE")
            # A kill loses nothing that was committed.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN EXCLUSIVE")
            connection.commit()
            if _mark(path) != mark:
                raise InvalidInput(_finished_meanwhile(path))
    except BaseException:
        connection.close()
        raise
    return connection


def _emptied(path: Path) -> sqlite3.Connection:
    """The same for a file that is to begin anew, whatever state its results are in."""
    try:
        connection = _locked(path)
        if not _tables(connection, path):
            return connection
        connection.close()
    except UnreadableCheckpoint:
        if not _is_ours(path):
            raise
    os.truncate(path, 0)
    _unlink_logs(path)
    return _locked(path)


def _unlink_logs(path: Path) -> None:
    """Delete what SQLite keeps beside a file."""
    for log in ("-journal", "-wal", "-shm"):
        path.with_name(path.name + log).unlink(missing_ok=True)


def _mark(path: Path) -> Any:
    """Which file lies at the path."""
    try:
        return path.stat().st_dev, path.stat().st_ino
    except OSError:
        return "gone"


def _tables(connection: sqlite3.Connection, path: Path) -> int:
    """Number of tables in a file; a database of something else is refused."""
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise InvalidInput(f"the results file {path} was asked; it is a database of something else")
    return tables


def _is_ours(path: Path) -> bool:
    """Whether the header of the file says that it was made here."""
    with path.open("rb") as file:
        header = file.read(100)
    at = APPLICATION_ID_AT
    return header.startswith(MAGIC) and header[at : at + 4] == APPLICATION_ID.to_bytes(4, "big")


def _verified(connection: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """What a file says of itself, after everything in it was held against its checksums."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION:
        raise InvalidInput(_other_version(path, version))
    found = [word for (word,) in connection.execute("PRAGMA quick_check")]
    if found != ["ok"]:
        raise damaged(path, f"SQLite says: {found[0]}")
    made = connection.execute("SELECT sql FROM sqlite_master ORDER BY rowid").fetchall()
    if made != [(statement,) for statement in SCHEMA]:
        raise damaged(path, "its tables are not those of a results file")
    about = _about(connection, path)
    if about["schema"] != version:
        raise damaged(path, f"its header says schema {version}, its content {about['schema']}")
    count = total = 0
    for row in connection.execute(ROWS):
        if _digest(row[:-1]) != row[-1]:
            raise damaged(path, f"the checksum of the record at position {row[0]!r} is wrong")
        count, total = count + 1, (total + int.from_bytes(row[-1], "big")) % MODULUS
    sealed, sum_ = _sealed(connection, path)
    if count != sealed or total != sum_:
        raise damaged(path, f"{sealed} records were written and {count} are there, or some are of an older state")
    return about


def _other_version(path: Path, version: int) -> str:
    if version > SCHEMA_VERSION:
        return (
            f"the results file {path} was asked; it has schema {version}, a newer version of setol-ww wrote it; "
            f"accepted here is schema {SCHEMA_VERSION}: upgrade setol-ww"
        )
    return (
        f"the results file {path} was asked; it has schema {version or 1} of an older version of setol-ww, which kept "
        f"no spectra; accepted here is schema {SCHEMA_VERSION}: run the analysis again"
    )


def _create(connection: sqlite3.Connection, about: dict[str, Any], notes: dict[str, Any]) -> None:
    """An empty store in one transaction."""
    told = {"schema": SCHEMA_VERSION, "about": about, "notes": notes}
    content = json.dumps(told, ensure_ascii=False).encode("utf-8", "surrogatepass")
    connection.execute("BEGIN EXCLUSIVE")
    with connection:
        for statement in SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("INSERT INTO about VALUES (1, ?, ?)", (content, _digest(("about", content))))
        _seal(connection, 0, 0)


def _refuse_other(path: Path, found: dict[str, Any], asked: dict[str, Any]) -> None:
    """Refuse to go on with results of something else."""
    asked = json.loads(json.dumps(asked, ensure_ascii=False))
    other = [what for what in {**asked, **found} if what not in PLACE and found.get(what) != asked.get(what)]
    if other:
        shown = "; ".join(f"{what} was {_short(found.get(what))}, now {_short(asked.get(what))}" for what in other)
        raise InvalidInput(
            f"resuming {path} was asked; it holds results of another checkpoint or other options ({shown}). "
            "Accepted are the same ones, another file, or, of a scan, resume=False, which starts anew"
        )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:100]}...{text[-90:]}"


def _finished_meanwhile(path: Path) -> str:
    return f"the results file {path} was asked; another process finished it and removed it meanwhile"


@contextlib.contextmanager
def _explained(path: Path, rows: int = 0, *, writing: bool = False) -> Iterator[None]:
    """SQLite's errors as what they mean to the caller."""
    try:
        yield
    except sqlite3.Error as error:
        said = str(error)
        if "locked" in said:
            raise InvalidInput(f"the results file {path} was asked; another process is writing to it") from None
        if ("I/O" in said or "readonly" in said) and not path.exists():
            raise InvalidInput(_finished_meanwhile(path)) from None
        if writing and ("full" in said or "I/O" in said):
            number = errno.ENOSPC if "full" in said else errno.EIO
            advice = "make room and resume" if "full" in said else "resume when the disk is sound"
            text = f"no more can be written ({said}); the {rows} finished rows in it are intact, {advice}"
            raise OSError(number, text, str(path)) from error
        if "not a database" in said:
            raise InvalidInput(f"the results file {path} was asked; it is no results file: {said}") from None
        if "readonly" in said or "unable to open" in said:
            raise InvalidInput(f"the results file {path} was asked; it cannot be written: {said}") from None
        raise damaged(path, f"SQLite says: {said}") from None
    except (MemoryError, OverflowError, UnicodeDecodeError) as error:
        # Lengths, numbers and words of a damaged file, before SQLite or a checksum finds them wrong.
        raise damaged(path, f"{type(error).__name__}: {error}") from None
