"""Chapter 14: results on disk. Killed, damaged, of another version: the same table or a named error."""

from __future__ import annotations

import functools
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import setol_ww as ww
from setol_ww.core.options import Options
from setol_ww.results import store as stores
from setol_ww.results.findings import with_cells
from setol_ww.results.record import LayerRecord, settings_of
from setol_ww.results.results import Results, notes_of
from setol_ww.results.store import APPLICATION_ID, SCHEMA_VERSION, Store

NAMED = (ww.InvalidInput, ww.UnreadableCheckpoint)
ABOUT = {"path": "/models/m.safetensors", "files": [["m.safetensors", 7, 1]], "rows": list(range(8))}


@functools.cache
def record(position: int, seed: int = 0) -> LayerRecord:
    """A layer of 40 x 30, the last of them failed."""
    identity = {"longname": f"layers.{position}", "slice": "", "tensor": f"layers.{position}.weight", "n_params": 1200}
    if position == 7:
        return LayerRecord(7, identity, "failed", "layer layers.7: no spectrum", 0.5)
    W = np.random.default_rng([position, seed]).normal(size=(40, 30)) ** 3
    plain = LayerRecord(position, identity, seconds=0.25 + position, spectrum=ww.Spectrum.from_matrix(W))
    return with_cells(plain, settings_of(Options()))


def notes() -> dict:
    return notes_of(Options(), Results.from_records([]).form)


def written(path: Path, number: int = 8) -> Path:
    with Store.open(path, ABOUT, notes()) as store:
        for position in range(number):
            store.add(record(position))
    return path


def table(path: Path) -> pd.DataFrame:
    return ww.open_results(path).table()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    return written(tmp_path_factory.mktemp("store") / "a.setol").read_bytes()


@pytest.fixture(scope="module")
def truth(tmp_path_factory, whole) -> pd.DataFrame:
    path = tmp_path_factory.mktemp("truth") / "a.setol"
    path.write_bytes(whole)
    return table(path)


def check(path: Path, truth: pd.DataFrame) -> str:
    """The same table, or a named error that names the file."""
    try:
        found = table(path)
    except NAMED as error:
        return type(error).__name__ if str(path) in str(error) else "unnamed"
    return "same" if found.equals(truth) and list(found) == list(truth) else "another table"


def assert_named_or_same(outcomes: Iterable[str]) -> None:
    assert set(outcomes) <= {"same", "InvalidInput", "UnreadableCheckpoint"}


def test_nothing_lies_beside_a_store_and_reading_changes_nothing(tmp_path):
    path = written(tmp_path / "a.setol")
    before = path.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["a.setol"]
    table(path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.setol"]
    assert path.read_bytes() == before


def test_every_byte_of_the_header(tmp_path, whole, truth):
    path = tmp_path / "a.setol"
    outcomes = set()
    for place in range(100):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(whole)
            damaged[place] ^= flip
            path.write_bytes(damaged)
            outcomes.add(check(path, truth))
    assert outcomes == {"same", "InvalidInput", "UnreadableCheckpoint"}


@pytest.mark.parametrize("seed", range(4))
def test_flips_anywhere(tmp_path, whole, truth, seed):
    """Single bits, single bytes and bursts, over all pages; the rest of a page is not used."""
    rng = np.random.default_rng(seed)
    path = tmp_path / "a.setol"
    outcomes = []
    for _ in range(150):
        damaged = bytearray(whole)
        length = int(rng.choice([1, 1, 2, 16, 600]))
        place = int(rng.integers(100, len(whole) - length))
        if length == 1:
            damaged[place] ^= 1 << int(rng.integers(8))
        else:
            damaged[place : place + length] = rng.bytes(length)
        path.write_bytes(damaged)
        outcomes.append(check(path, truth))
    assert_named_or_same(outcomes)
    assert outcomes.count("UnreadableCheckpoint") > 45


def test_flips_in_the_structure_of_every_page(tmp_path, whole, truth):
    """The heads of pages and cells, where a flip hides, doubles or reorders rows."""
    path = tmp_path / "a.setol"
    size = int.from_bytes(whole[16:18], "big")
    rng = np.random.default_rng(0)
    outcomes = []
    for page in range(len(whole) // size):
        for _ in range(25):
            damaged = bytearray(whole)
            damaged[page * size + (100 if page == 0 else 0) + int(rng.integers(40))] ^= int(rng.integers(1, 256))
            path.write_bytes(damaged)
            outcomes.append(check(path, truth))
    assert_named_or_same(outcomes)
    assert "UnreadableCheckpoint" in outcomes


@pytest.mark.parametrize("length", [0, 1, 15, 16, 99, 100, 4095, 4096, 8192, -4096, -1])
def test_a_file_cut_short(tmp_path, whole, truth, length):
    path = tmp_path / "a.setol"
    path.write_bytes(whole[:length])
    assert check(path, truth) in ("InvalidInput", "UnreadableCheckpoint")


def test_pages_of_an_older_state(tmp_path, truth):
    """Every page of the file as it was some rows before, one at a time."""
    path = tmp_path / "a.setol"
    whole = written(path).read_bytes()
    older = written(tmp_path / "b.setol", 5).read_bytes()
    size = int.from_bytes(whole[16:18], "big")
    outcomes = []
    for page in range(len(older) // size):
        mixed = bytearray(whole)
        mixed[page * size : (page + 1) * size] = older[page * size : (page + 1) * size]
        path.write_bytes(mixed)
        outcomes.append(check(path, truth))
    assert_named_or_same(outcomes)
    assert "UnreadableCheckpoint" in outcomes


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM rows WHERE position = 3",
        "DELETE FROM rows",
        "DELETE FROM seal",
        "DELETE FROM about",
        "UPDATE rows SET seconds = seconds + 1 WHERE position = 2",
        "UPDATE rows SET status = 'failed' WHERE position = 2",
        "UPDATE rows SET position = 20 WHERE position = 2",
        "UPDATE rows SET gave_up = 1 WHERE position = 2",
        "UPDATE rows SET tensor = 'another' WHERE position = 2",
        "UPDATE rows SET record = (SELECT record FROM rows WHERE position = 3) WHERE position = 2",
        "UPDATE rows SET record = zeroblob(20), digest = zeroblob(16) WHERE position = 2",
        "INSERT INTO rows SELECT 9, tensor, slice, status, seconds, gave_up, record, digest FROM rows LIMIT 1",
        "UPDATE about SET content = replace(CAST(content AS TEXT), 'models', 'modelz')",
        "CREATE TABLE more (x)",
        "ALTER TABLE rows ADD COLUMN more",
        "DROP TABLE seal",
    ],
)
def test_a_store_changed_by_other_hands(tmp_path, truth, statement):
    path = written(tmp_path / "a.setol")
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    assert check(path, truth) == "UnreadableCheckpoint"


def test_a_record_exchanged_with_its_checksum_is_noticed_by_the_seal(tmp_path, truth):
    path = written(tmp_path / "a.setol")
    other = stores._row(record(2, seed=1))
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE rows SET record = ?, digest = ? WHERE position = 2", (other[-1], stores._digest(other))
        )
    connection.close()
    with pytest.raises(ww.UnreadableCheckpoint, match="are of an older state"):
        table(path)


def test_damage_is_named_before_anything_is_added_and_another_start_is_possible(tmp_path, whole, truth):
    path = tmp_path / "a.setol"
    damaged = bytearray(whole)
    damaged[-600:-500] = bytes(100)
    path.write_bytes(damaged)
    with pytest.raises(ww.UnreadableCheckpoint, match="are damaged"):
        Store.open(path, ABOUT, notes())
    assert path.read_bytes() == bytes(damaged)
    with Store.open(path, ABOUT, notes(), resume=False) as store:
        for position in range(8):
            store.add(record(position))
    assert check(path, truth) == "same"


@pytest.mark.parametrize(
    ("version", "words"), [(SCHEMA_VERSION + 1, "newer version"), (1, "older version"), (0, "older")]
)
def test_another_schema_is_refused_by_name(tmp_path, version, words):
    path = written(tmp_path / "a.setol")
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    for ask in (lambda: table(path), lambda: Store.open(path, ABOUT)):
        with pytest.raises(ww.InvalidInput, match=f"a.setol was asked; it has schema .* {words}"):
            ask()


def test_the_schema_of_an_earlier_release_starts_anew_only_when_asked(tmp_path):
    path = tmp_path / "a.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("CREATE TABLE about (what TEXT PRIMARY KEY, value TEXT NOT NULL)")
    connection.close()
    with pytest.raises(ww.InvalidInput, match="older version of setol-ww, which kept no spectra"):
        Store.open(path, ABOUT)
    with Store.open(path, ABOUT, notes(), resume=False) as store:
        assert store.count == 0


BARE = """
import os, signal, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from spec_tests.product.test_store import ABOUT, notes
from setol_ww.results import store as stores
made = stores.Store.open(Path(sys.argv[1]), ABOUT, notes())
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_by_itself(program: str, path: Path) -> None:
    """Run a program on `path` that ends in its own death."""
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program.format(root=root), str(path)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_store_is_there_before_its_first_record(tmp_path):
    """Killed between the making of the file and the first layer: what it is of is known, and the run goes on."""
    path = tmp_path / "a.setol"
    killed_by_itself(BARE, path)
    with Store.read(path) as left:
        assert left.about["path"] == ABOUT["path"]
        assert left.records() == []
    with pytest.raises(ww.InvalidInput, match="another checkpoint"):
        Store.open(path, {**ABOUT, "rows": [1]}, notes())
    assert len(table(written(path))) == 8


HALF = """
import os, signal, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from spec_tests.product.test_store import ABOUT, notes, record
from setol_ww.results import store as stores
made = stores.Store.open(Path(sys.argv[1]), ABOUT, notes())
made.add_all([record(position) for position in range(8)])
# Pages go to the file before the end of the transaction, and their older state to the journal.
made.connection.execute("PRAGMA cache_size = 1")
made.connection.execute("PRAGMA cache_spill = 1")
made.connection.execute("BEGIN")
made.connection.execute("UPDATE rows SET record = zeroblob(9000), digest = zeroblob(16)")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> tuple[bytes, bytes]:
    """A store and its journal, killed in the middle of a transaction that has gone to the disk in part."""
    path = tmp_path_factory.mktemp("killed") / "a.setol"
    killed_by_itself(HALF, path)
    journal = path.with_name("a.setol-journal").read_bytes()
    assert len(journal) > 4096
    return path.read_bytes(), journal


def left(folder: Path, killed: tuple[bytes, bytes]) -> Path:
    path = folder / "a.setol"
    path.write_bytes(killed[0])
    path.with_name("a.setol-journal").write_bytes(killed[1])
    return path


def test_a_kill_in_a_transaction_is_undone_by_whoever_opens(tmp_path, killed, whole, truth):
    assert killed[0] != whole
    assert check(left(tmp_path, killed), truth) == "same"


def test_flips_in_the_journal_of_a_killed_writer(tmp_path, killed, truth):
    rng = np.random.default_rng(0)
    outcomes = []
    for number in range(150):
        journal = bytearray(killed[1])
        place = number % 28 if number < 60 else int(rng.integers(len(journal)))
        journal[place] ^= int(rng.integers(1, 256))
        outcomes.append(check(left(tmp_path, (killed[0], bytes(journal))), truth))
    assert_named_or_same(outcomes)
    assert {"same", "UnreadableCheckpoint"} <= set(outcomes)


def test_flips_in_the_file_of_a_killed_writer(tmp_path, killed, truth):
    rng = np.random.default_rng(1)
    outcomes = []
    for _ in range(100):
        content = bytearray(killed[0])
        content[int(rng.integers(len(content)))] ^= int(rng.integers(1, 256))
        outcomes.append(check(left(tmp_path, (bytes(content), killed[1])), truth))
    assert_named_or_same(outcomes)


def test_a_log_that_another_program_left(tmp_path, whole, truth):
    """A store that was put into WAL mode by other hands, its log flipped: the rows are in the file itself."""
    path = tmp_path / "a.setol"
    rng = np.random.default_rng(0)
    path.write_bytes(whole)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA user_version = 2")
    connection.commit()
    content, log = path.read_bytes(), path.with_name("a.setol-wal").read_bytes()
    connection.close()
    assert len(log) > 4096
    outcomes = []
    for _ in range(60):
        flipped = bytearray(log)
        flipped[int(rng.integers(len(log)))] ^= int(rng.integers(1, 256))
        path.write_bytes(content)
        path.with_name("a.setol-shm").unlink(missing_ok=True)
        path.with_name("a.setol-wal").write_bytes(flipped)
        outcomes.append(check(path, truth))
    assert_named_or_same(outcomes)


def test_readers_do_not_wait_for_each_other_and_a_writer_is_told(tmp_path, truth):
    path = written(tmp_path / "a.setol")
    with Store.read(path), Store.read(path):
        assert check(path, truth) == "same"
    with Store.open(path, ABOUT, notes()), pytest.raises(ww.InvalidInput, match="another process is writing to it"):
        ww.open_results(path)


def test_a_store_where_nothing_may_be_written(tmp_path, truth):
    path = written(tmp_path / "a.setol")
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        assert check(path, truth) == "same"
    finally:
        tmp_path.chmod(0o755)


def test_a_layer_that_was_given_up_leaves_the_seal_right(tmp_path, truth):
    path = tmp_path / "a.setol"
    with Store.open(path, ABOUT, notes()) as store:
        for position in range(7):
            store.add(record(position))
        store.add(LayerRecord(7, record(7).identity, "failed", "its worker died", gave_up=True))
        assert store.gave_up == 1
    with Store.open(path, ABOUT, notes()) as store:
        store.forget([7])
        assert store.positions() == set(range(7))
        store.add(record(7))
    assert check(path, truth) == "same"


def test_the_same_position_twice_is_refused(tmp_path):
    with Store.open(tmp_path / "a.setol", ABOUT, notes()) as store:
        store.add(record(1))
        with pytest.raises(ww.UnreadableCheckpoint, match="UNIQUE"):
            store.add(record(1))
        assert store.count == 1
        store.add(record(2))
    assert len(ww.open_results(tmp_path / "a.setol")) == 2


def shard(folder: Path, number: int, count: int, position: int) -> Path:
    path = folder / f"{number}-{count}.setol"
    with Store.open(path, {**ABOUT, "shard": [number, count], "rows": [position]}, notes()) as store:
        store.add(record(position))
    return path


def test_shards_of_two_numbers_are_not_merged(tmp_path):
    first, second, third = shard(tmp_path, 0, 2, 0), shard(tmp_path, 2, 3, 1), shard(tmp_path, 1, 3, 2)
    for partial in (False, True):
        with pytest.raises(ww.InvalidInput, match=r"shards of \[2, 3\]; accepted are shards of one number"):
            ww.merge_scans([first, second], partial=partial)
    with pytest.raises(ww.InvalidInput, match=r"the shards \[0\] are missing"):
        ww.merge_scans([second, third])
    assert ww.merge_scans([second, third], partial=True)["longname"].tolist() == ["layers.1", "layers.2"]


def test_a_file_that_sqlite_does_not_open_is_named(tmp_path, monkeypatch):
    path = tmp_path / "layers.setol"
    with Store.open(path, ABOUT, notes()):
        pass

    def refusing(*_, **__):
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(sqlite3, "connect", refusing)
    with pytest.raises(ww.InvalidInput, match=r"layers\.setol was asked; another process is writing"):
        stores.Store.read(path)
