"""Results as tables and files: what each refusal says, what begins anew, and columns computed once or again."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_info

import setol_ww as ww
from setol_ww.core.options import Options
from setol_ww.layer import columns as register
from setol_ww.results import export as exports
from setol_ww.results import findings, store
from setol_ww.results.export import csv_cell, csv_converters, csv_of, export, refuse_unwritable
from setol_ww.results.findings import Groups, TableForm, as_column, frame_of, has_surrogate, kept_text
from setol_ww.results.record import FARMS, STRENGTHS, TRAPS, LayerRecord, settings_of
from setol_ww.results.results import Results, notes_of
from setol_ww.results.store import SCHEMA_VERSION, Store, is_store, store_path
from spec_tests.product.test_format_parts import open_in

ABOUT = {"path": "/m/a.npz", "files": [["a.npz", 7, 1]], "weights": "abc", "shard": None, "rows": [0, 1, 2]}
SETTINGS = ww.Settings()


def notes(form: TableForm | None = None) -> dict[str, Any]:
    return notes_of(Options(), form or TableForm())


def record(position: int, **more: Any) -> LayerRecord:
    W = np.random.default_rng(position).normal(size=(30, 20))
    identity = {"longname": f"l{position}", "slice": "", "layer_id": position}
    return LayerRecord(position, identity, spectrum=ww.Spectrum.from_matrix(W), **more)


def made(target: Path, positions: list[int], **about: Any) -> Path:
    with Store.open(target, {**ABOUT, **about}, notes()) as kept:
        kept.add_all([record(position) for position in positions])
    return target


def refusal(ask: Any, kind: type[Exception] = ww.InvalidInput) -> str:
    with pytest.raises(kind) as told:
        ask()
    return str(told.value)


# Stores.


def test_the_names_of_stores():
    names = ["a.setol", "a.SQLite", "a.db", "a.csv", "a.setol.csv", "a"]
    assert [is_store(Path(name)) for name in names] == [True, True, True, False, False, False]
    assert store_path(Path("x/a.setol")) == Path("x/a.setol")
    assert store_path(Path("x/a.csv")) == Path("x/a.csv.setol.sqlite")


def test_what_was_asked_otherwise_is_told_with_both_values(tmp_path):
    """Each by its name, one that is only on one side too; where the weights lie does not count."""
    path = made(tmp_path / "a.setol", [0])
    other = {**ABOUT, "path": "/elsewhere", "files": [], "weights": "x" * 300, "seed": 1}
    told = refusal(lambda: Store.open(path, {name: other[name] for name in other if name != "shard"}))
    assert told == (
        f"resuming {path} was asked; it holds results of another checkpoint or other options "
        f'(weights was "abc", now "{"x" * 99}...{"x" * 89}"; seed was null, now 1). Accepted are the same ones, '
        "another file, or, of a scan, resume=False, which starts anew"
    )
    with Store.open(path, {**ABOUT, "path": "/elsewhere", "files": []}) as kept:
        assert (kept.count, kept.about["path"]) == (1, "/m/a.npz")


@pytest.mark.parametrize("size", [198, 199])
def test_a_value_of_two_hundred_letters_is_told_whole(tmp_path, size):
    told = refusal(lambda: Store.open(made(tmp_path / "a.setol", []), {**ABOUT, "weights": "y" * size}))
    assert ("y" * size in told) == (size == 198)


def test_a_store_of_something_else_is_told(tmp_path):
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    sentence = f"the results file {path} was asked; it is a database of something else"
    for ask in (
        lambda: Store.open(path, ABOUT),
        lambda: Store.open(path, ABOUT, resume=False),
        lambda: Store.read(path),
    ):
        assert refusal(ask) == sentence
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]
    connection.close()
    empty = tmp_path / "b.db"
    empty.touch()
    assert refusal(lambda: Store.read(empty)) == f"the results {str(empty)!r} were asked; the file holds none"
    none = tmp_path / "c.db"
    assert refusal(lambda: Store.read(none)) == f"the results {str(none)!r} were asked; there is no such file"


@pytest.mark.parametrize("version", [1, SCHEMA_VERSION + 1])
def test_another_schema_word_for_word(tmp_path, version):
    path = made(tmp_path / "a.setol", [0])
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    assert (
        refusal(lambda: Store.read(path))
        == {
            1: f"the results file {path} was asked; it has schema 1 of an older version of setol-ww, which kept no "
            "spectra; accepted here is schema 2: run the analysis again",
            3: f"the results file {path} was asked; it has schema 3, a newer version of setol-ww wrote it; accepted "
            "here is schema 2: upgrade setol-ww",
        }[version]
    )


@pytest.mark.parametrize(
    ("statement", "cause"),
    [
        ("UPDATE rows SET seconds = 9.5 WHERE position = 1", "the checksum of the record at position 1 is wrong"),
        ("UPDATE about SET content = '{}'", "the checksum of its table 'about' is wrong"),
        ("UPDATE seal SET content = '{}'", "the checksum of its table 'seal' is wrong"),
        ("INSERT INTO seal VALUES (2, 'a', 'b')", "the checksum of its table 'seal' is wrong"),
        (
            "DELETE FROM rows WHERE position = 1",
            "2 records were written and 1 are there, or some are of an older state",
        ),
        ("DROP TABLE seal", "its tables are not those of a results file"),
    ],
)
def test_a_store_that_other_hands_changed_says_what_is_wrong(tmp_path, statement, cause):
    path = made(tmp_path / "a.setol", [0, 1])
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    assert refusal(lambda: Store.read(path), ww.UnreadableCheckpoint) == (
        f"{path}: the results in it are damaged, {cause}. Take a copy of the file, or run again with another file or "
        "resume=False, which starts anew"
    )


def test_beginning_anew_takes_the_logs_along(tmp_path):
    """What another program left beside the file belongs to rows that are gone."""
    for begin in (lambda path: Store.open(path, ABOUT, notes(), resume=False), lambda path: Store.open(path, ABOUT)):
        path = made(tmp_path / "a.setol", [0, 1])
        with begin(path) as kept:
            logs = [path.with_name(path.name + end) for end in ("-wal", "-shm")]
            for log in logs:
                log.touch()
            kept.remove()
        assert list(tmp_path.iterdir()) == []
    path = made(tmp_path / "a.setol", [0, 1])
    path.write_bytes(path.read_bytes()[:5000])
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).touch()
    with Store.open(path, ABOUT, notes(), resume=False) as kept:
        assert (kept.count, kept.positions()) == (0, set())
        assert not [file.name for file in tmp_path.iterdir() if file.name.endswith(("-wal", "-shm"))]
    assert len(ww.open_results(path)) == 0


def test_rows_that_go_and_come_are_counted(tmp_path):
    """Forgotten, kept again, counted anew: the seal is right after each, and what is not there changes nothing."""
    path = made(tmp_path / "a.setol", [0, 1, 2])
    with Store.open(path, ABOUT) as kept:
        kept.forget([7])
        assert kept.count == 3
        kept.forget([0, 2])
        assert (kept.count, kept.positions()) == (1, {1})
        kept.add_all([record(2), record(0, gave_up=True)])
        assert (kept.count, kept.gave_up) == (3, 1)
        kept.count_layers_anew({0: 5, 1: 1, 2: 7})
        assert [one.identity["layer_id"] for one in kept.records()] == [5, 1, 7]
    with Store.read(path) as again:
        assert (again.count, again.gave_up) == (3, 1)
        assert [one.identity["layer_id"] for one in again.records()] == [5, 1, 7]


def test_what_is_forgotten_or_counted_anew_is_so_on_the_disk(tmp_path):
    """When the call returns, whatever becomes of the process."""
    path = made(tmp_path / "a.setol", [0, 1])
    kept = Store.open(path, ABOUT)
    kept.forget([0])
    kept.close()
    with Store.read(path) as again:
        assert again.positions() == {1}
    kept = Store.open(path, ABOUT)
    kept.count_layers_anew({1: 9})
    kept.close()
    with Store.read(path) as again:
        assert [one.identity["layer_id"] for one in again.records()] == [9]


def test_a_store_is_made_whole_or_not_at_all(tmp_path, monkeypatch):
    """Stopped between two of its tables nothing of it is there, and the next one begins."""
    path = tmp_path / "a.setol"
    with monkeypatch.context() as patch:
        patch.setattr(store, "SCHEMA", (*store.SCHEMA[:2], "CREATE NONSENSE"))
        refusal(lambda: Store.open(path, ABOUT, notes()), ww.UnreadableCheckpoint)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()
    assert len(ww.open_results(made(path, [0]))) == 1


def test_a_row_that_is_refused_takes_the_rows_of_its_transaction_along(tmp_path):
    with Store.open(tmp_path / "a.setol", ABOUT, notes()) as kept:
        kept.add(record(0))
        refusal(lambda: kept.add_all([record(1), record(0)]), ww.UnreadableCheckpoint)
        assert (kept.count, kept.positions()) == (1, {0})
        kept.add(record(1))
    assert [one.position for one in ww.open_results(tmp_path / "a.setol").records] == [0, 1]


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        ("database is locked", ww.InvalidInput, "another process is writing to it"),
        ("attempt to write a readonly database", ww.InvalidInput, "it cannot be written: attempt to write"),
        ("unable to open database file", ww.InvalidInput, "it cannot be written: unable to open"),
        ("file is not a database", ww.InvalidInput, "it is no results file: file is not a database"),
        ("malformed", ww.UnreadableCheckpoint, "SQLite says: malformed"),
        ("database or disk is full", OSError, "the 3 finished rows in it are intact, make room and resume"),
        ("disk I/O error", OSError, "the 3 finished rows in it are intact, resume when the disk is sound"),
    ],
)
def test_what_an_error_of_sqlite_means(tmp_path, said, kind, told):
    """Of a file that is there, while it is written."""
    path = tmp_path / "a.setol"
    path.touch()
    with pytest.raises(kind, match=told) as caught, store._explained(path, 3, writing=True):
        raise sqlite3.OperationalError(said)
    numbers = {"database or disk is full": errno.ENOSPC, "disk I/O error": errno.EIO}
    assert getattr(caught.value, "errno", None) == numbers.get(said)


@pytest.mark.parametrize("said", ["disk I/O error", "attempt to write a readonly database"])
def test_a_file_that_is_gone_was_finished_by_another(tmp_path, said):
    path = tmp_path / "a.setol"
    with pytest.raises(ww.InvalidInput) as told, store._explained(path, 3, writing=True):
        raise sqlite3.OperationalError(said)
    assert str(told.value) == (
        f"the results file {path} was asked; another process finished it and removed it meanwhile"
    )


@pytest.mark.parametrize(
    "error", [MemoryError("x"), OverflowError("x"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x")]
)
def test_numbers_of_a_damaged_file_are_damage(error):
    damaged = pytest.raises(ww.UnreadableCheckpoint, match=f"are damaged, {type(error).__name__}: ")
    with damaged, store._explained(Path("a.setol")):
        raise error


def test_a_store_that_is_removed_is_closed(tmp_path):
    with Store.open(tmp_path / "a.setol", ABOUT, notes()) as kept:
        kept.add(record(0))
        assert (kept.count, kept.path) == (1, tmp_path / "a.setol")
        kept.remove()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(sqlite3.ProgrammingError):
        kept.positions()


def test_a_store_that_is_read_stays_as_it_was_until_it_is_closed(tmp_path):
    """Between two looks at it nobody else may write."""
    path = made(tmp_path / "a.setol", [0, 1])
    with contextlib.closing(sqlite3.connect(path, timeout=0)) as other:
        with Store.read(path) as kept:
            assert kept.positions() == {0, 1}
            with pytest.raises(sqlite3.OperationalError, match="database is locked"):
                other.execute("BEGIN EXCLUSIVE")
            assert len(kept.records()) == 2
        other.execute("BEGIN EXCLUSIVE")


def test_a_store_that_fails_while_its_records_are_read_is_named(tmp_path):
    path = made(tmp_path / "a.setol", [0])

    def failing(_: str) -> Any:
        raise sqlite3.DatabaseError("database disk image is malformed")

    with Store.read(path) as kept, contextlib.closing(kept.connection):
        kept.connection = SimpleNamespace(execute=failing, close=kept.connection.close)
        told = refusal(kept.records, ww.UnreadableCheckpoint)
    assert told.startswith(f"{path}: the results in it are damaged, SQLite says: database disk image is malformed.")


def test_a_refused_store_is_let_go_of(tmp_path):
    """No file stays open, whatever was wrong with it."""
    path = made(tmp_path / "a.setol", [0, 1])
    (tmp_path / "other.db").write_bytes(b"no database, but as long as the head of one is in a file of SQLite's" * 9)
    for _ in range(3):
        refusal(lambda: Store.open(path, {**ABOUT, "seed": 1}))
        refusal(lambda: Store.open(tmp_path / "other.db", ABOUT))
        refusal(lambda: Store.read(tmp_path / "other.db"))
        refusal(lambda: ww.merge_scans([path, path]))
    assert open_in(tmp_path) == []


def test_a_store_that_cannot_be_made_says_why(tmp_path, monkeypatch):
    path = tmp_path / "no" / "a.setol"
    assert refusal(lambda: Store.open(path, ABOUT)).startswith(
        f"the results file {path} was asked; it cannot be written: "
    )

    def refusing(*_: Any, **__: Any) -> Any:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(sqlite3, "connect", refusing)
    path = tmp_path / "a.setol"
    assert refusal(lambda: Store.open(path, ABOUT)) == (
        f"the results file {path} was asked; it cannot be written: unable to open database file"
    )


def test_what_stands_in_a_file_for_other_languages(tmp_path):
    """As docs/store.md has it: words that can be shown, sixteen bytes of checksum."""
    path = tmp_path / "a.setol"
    with Store.open(path, ABOUT, notes()) as kept:
        kept.add(LayerRecord(3, {"longname": "a\x1b", "slice": "q"}, "failed", "why", 1.5, True))
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT position, tensor, slice, status, seconds, gave_up, length(digest) FROM rows")
        assert rows.fetchall() == [(3, r"a\x1b", "q", "failed", 1.5, 1, 16)]
        pragmas = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        assert pragmas == [0x5E701, 2]
        assert connection.execute("SELECT length(digest) FROM seal").fetchone() == (16,)
    connection.close()


def test_a_record_as_it_is_printed_and_compared():
    """Without its numbers, and by itself alone: spectra are large."""
    one = LayerRecord(
        3, {"longname": "a", "slice": "q"}, "failed", "why", 1.5, True, record(0).spectrum, {"x": 1}, {"y": 2}
    )
    assert repr(one) == (
        "LayerRecord(position=3, identity={'longname': 'a', 'slice': 'q'}, status='failed', reason='why', seconds=1.5, "
        "gave_up=True)"
    )
    assert one == one
    assert one != replace(one)
    assert (one.longname, one.slice, one.tensor, one.title) == ("a", "q", "a", "a [q]")
    assert LayerRecord(0, {"slice": None}).slice == ""
    assert LayerRecord(0, {"longname": "a", "tensor": "a.w"}).tensor == "a.w"
    empty = LayerRecord(0, {})
    assert (empty.status, empty.reason, empty.seconds, empty.gave_up, empty.spectrum) == (
        "analyzed",
        "",
        0.0,
        False,
        None,
    )
    assert (empty.extras, empty.theirs, empty.cells, empty.cells_of) == ({}, {}, {}, "")
    *_, defined, rules = findings.key_of(SETTINGS).split()
    assert (len(defined), len(rules)) == (16, 16)


# Merging.


def test_what_merging_refuses_word_for_word(tmp_path):
    first = made(tmp_path / "1.setol", [0], shard=[0, 2], rows=[0])
    second = made(tmp_path / "2.setol", [1, 2], shard=[1, 2], rows=[1, 2])
    again = made(tmp_path / "3.setol", [0, 1], shard=[1, 2], rows=[0, 1])
    lacking = made(tmp_path / "4.setol", [1], shard=[1, 2], rows=[1, 2])
    other = made(tmp_path / "5.setol", [1], shard=[1, 2], rows=[1], weights="x", seed=3, path="/z", files=[])
    asked: dict[str, list[Path]] = {
        f"merging {[]} was asked; accepted are one or more files, each once": [],
        f"merging {[str(first), str(first)]} was asked; accepted are one or more files, each once": [first, first],
        f"merging {first} and {other} was asked; they differ in weights, seed": [first, other],
        f"merging was asked; 1 rows of {again} are in another file already": [first, again],
        f"merging was asked; {lacking} lacks 1 rows: run its scan to the end": [first, lacking],
        "merging was asked; the shards [1] are missing": [first],
    }
    for sentence, paths in asked.items():
        assert refusal(lambda paths=paths: ww.merge_scans(paths)) == sentence
    partly = ww.merge_scans([lacking, first], partial=True)
    assert partly["longname"].tolist() == ["l0", "l1"]
    whole = ww.merge_scans((path for path in (second, first)), tmp_path / "all.csv")
    assert whole["longname"].tolist() == ["l0", "l1", "l2"]
    assert ww.read_table(tmp_path / "all.csv")["longname"].tolist() == ["l0", "l1", "l2"]
    ww.merge_scans([second, first], tmp_path / "all.db")
    merged = ww.open_results(tmp_path / "all.db")
    assert (merged.about["shard"], merged.about["rows"], merged.missing) == (None, [0, 1, 2], 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*(f"{at}.setol" for at in range(1, 6)), "all.csv", "all.db"]
    )
    assert "accepted endings are" in refusal(lambda: ww.merge_scans([first], tmp_path / "a.txt"))


def test_stores_are_closed_after_a_merge(tmp_path):
    """Also where it was refused: a writer then has the file."""
    paths = [made(tmp_path / f"{at}.setol", [at], rows=[0, 1]) for at in range(2)]
    refusal(lambda: ww.merge_scans(paths))
    for path in paths:
        with Store.open(path, {**ABOUT, "rows": [0, 1]}) as kept:
            kept.forget([0, 1])
            assert kept.count == 0


def test_a_table_beside_its_store_is_merged_by_the_tables_name(tmp_path):
    made(tmp_path / "a.csv.setol.sqlite", [0, 1, 2])
    for name in ("a.csv", "a.csv.setol.sqlite"):
        assert ww.merge_scans(str(tmp_path / name))["longname"].tolist() == ["l0", "l1", "l2"]


# Columns, computed once or again.


def test_columns_are_in_their_groups_and_places():
    """Before, ours by group, behind; one that stands twice is there once."""
    form = TableForm(before=("longname", "alpha"), after=("status", "longname"))
    frames = {
        groups: list(findings.table([record(0)], form, ww.Settings(quality=False), groups))
        for groups in (Groups(), Groups(detX=False), Groups(farms=True), Groups(randomize=True))
    }
    plain = frames[Groups()]
    assert plain[:2] == ["longname", "alpha"]
    assert plain[-1] == "status"
    assert plain.count("longname") == 1
    by_group = {column.name: column.group for column in register.COLUMNS}
    assert not [name for name in frames[Groups(detX=False)] if by_group.get(name) == "ERG"]
    assert {"erg_rank", "setol_state"} <= set(plain)
    farms = [column.name for column in register.FARMS_COLUMNS]
    assert frames[Groups(farms=True)] == [*plain[:-1], *farms, "status"]
    assert "trap_count" in frames[Groups(randomize=True)]
    assert "trap_count" not in plain
    assert Groups() == Groups(detX=True, randomize=False, farms=False)


def test_columns_of_weightwatcher_are_ours_unless_it_gave_them_all():
    """A row of WeightWatcher's own is not computed beside it; of a part of it the rest is."""
    plain, partly = record(0), record(0, theirs={"alpha": 9.0})
    whole = record(0, theirs=dict.fromkeys(findings.WEIGHTWATCHERS, 1.0))
    cells = [findings.cells_of(one, one.result(SETTINGS)) for one in (plain, partly, whole)]
    assert [findings.WEIGHTWATCHERS <= set(one) for one in cells] == [True, True, False]
    form = TableForm(before=("longname", *sorted(findings.WEIGHTWATCHERS)))
    first, second, third = (findings.table([one], form).iloc[0] for one in (plain, partly, whole))
    assert second["alpha"] == 9.0
    assert second["D"] == first["D"]
    assert (third["alpha"], third["D"]) == (1.0, 1.0)


def test_a_row_without_a_spectrum_keeps_what_it_has():
    one = LayerRecord(3, {"longname": "a"}, "skipped", "int8", cells={"tail_alpha": 2.5})
    assert findings.with_cells(one, SETTINGS) is one
    row = findings.row_of(one, SETTINGS, "another key")
    assert row == {"tail_alpha": 2.5, "status": "skipped", "reason": "int8", "longname": "a"}


def test_columns_of_the_same_settings_are_those_that_are_kept():
    kept = findings.with_cells(record(0), SETTINGS)
    assert kept.cells_of == findings.key_of(SETTINGS)
    marked = replace(kept, cells={**kept.cells, "tail_alpha": -1.0})
    table = findings.table([marked], TableForm())
    assert table["tail_alpha"].tolist() == [-1.0]
    again = findings.table([replace(marked, cells_of="older")], TableForm())
    assert again["tail_alpha"].tolist() == [kept.cells["tail_alpha"]]
    assert findings.key_of(ww.Settings(sigmas=2.0)) != findings.key_of(SETTINGS)


def test_the_key_changes_with_the_definition_of_a_column(monkeypatch):
    before = findings.key_of(SETTINGS)
    for name in ("COLUMNS", "UNCERTAINTY_COLUMNS"):
        with monkeypatch.context() as patch:
            first, *others = getattr(register, name)
            patch.setattr(register, name, (replace(first, meaning="another"), *others))
            assert findings.key_of(SETTINGS) != before
    with monkeypatch.context() as patch:
        patch.setattr(findings, "RULES_VERSION", findings.RULES_VERSION + 1)
        patch.setattr(findings, "_last_rules", ((), ""))
        assert findings.key_of(SETTINGS) != before
    monkeypatch.setattr(findings, "_last_rules", ((), ""))
    assert findings.key_of(SETTINGS) == before
    assert before.startswith(f"{ww.__version__} Settings(")


def test_one_layer_that_fails_costs_its_row_alone(monkeypatch, caplog):
    """Three computed together: each is then computed by itself, and the one that fails says why."""
    caplog.set_level("DEBUG", logger="setol_ww.core.boundary")
    real, asked = findings.analyze_spectra, []

    def failing(pairs: Any, settings: Any) -> Any:
        asked.append(len(pairs))
        if any(spectrum.N == 31 for spectrum, _ in pairs):
            raise ZeroDivisionError("odd")
        return real(pairs, settings)

    odd = LayerRecord(1, {"longname": "odd"}, spectrum=ww.Spectrum.from_matrix(np.eye(31, 20) + 0.5))
    monkeypatch.setattr(findings, "analyze_spectra", failing)
    told = findings.with_all_cells([record(0), odd, record(2)], SETTINGS)
    assert asked == [3, 1, 1, 1]
    assert caplog.messages == ["layer l0 and 2 more: no findings", "layer odd: no findings"]
    assert [one.value is None for one in told] == [False, True, False]
    assert told[1].reason == "layer odd: no findings, ZeroDivisionError: odd"
    kept = told[2].value
    assert kept is not None
    assert kept.cells["erg_rank"] == record(2).result().erg.rank
    assert findings.with_all_cells([], SETTINGS) == []
    monkeypatch.setattr(findings, "cells_of", lambda *_: 1 / 0)
    assert findings.table([record(0)], TableForm())[["status", "reason"]].values.tolist() == [
        ["failed", "layer l0: no findings, ZeroDivisionError: division by zero"]
    ]
    assert findings.with_all_cells([record(0)], SETTINGS)[0].value is None


def test_what_a_layer_says_of_itself(monkeypatch):
    """Its extras have a part: the strengths of its lines, its traps."""
    W = np.random.default_rng(0).normal(size=(60, 40)) * np.linspace(0.2, 4, 60)[:, None]
    traps = ww.find_traps(W)
    seen: list[Any] = []
    real = findings.analyze_spectra
    monkeypatch.setattr(
        findings, "analyze_spectra", lambda pairs, settings: seen.extend(pairs) or real(pairs, settings)
    )
    from setol_ww.spectrum.strengths import strengths_of

    strengths = strengths_of([W])
    one = LayerRecord(
        0, {"longname": "a"}, spectrum=ww.Spectrum.from_matrix(W), extras={STRENGTHS: strengths, TRAPS: traps}
    )
    (told,) = findings.with_all_cells([one], SETTINGS)
    assert seen[0][1] is strengths
    assert told.value is not None
    assert told.value.cells["trap_count"] == traps.count
    assert told.value.cells == findings.with_cells(one, SETTINGS).cells
    assert (findings.has_traps([one]), findings.has_traps([record(0)]), findings.has_traps([])) == (True, False, False)
    assert FARMS not in one.extras


def test_columns_are_computed_again_with_one_thread(monkeypatch):
    """As many bits as when they were computed; the host's own number is back afterwards."""
    before = [one["num_threads"] for one in threadpool_info()]
    seen: list[set[int]] = []
    real = findings.cells_of

    def looking(*asked: Any) -> dict[str, Any]:
        seen.append({one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"})
        return real(*asked)

    limits = findings.threadpool_limits
    entered: list[int] = []
    monkeypatch.setattr(findings, "cells_of", looking)
    monkeypatch.setattr(findings, "threadpool_limits", lambda number: entered.append(number) or limits(number))
    findings.table([record(0)], TableForm())
    assert entered == [1]
    assert seen == [{1}]
    assert [one["num_threads"] for one in threadpool_info()] == before
    kept = findings.with_cells(record(0), SETTINGS)
    entered.clear()
    findings.table([kept, LayerRecord(1, {"longname": "b"}, "failed")], TableForm())
    assert entered == []


def test_the_types_of_columns():
    assert as_column([1, 2.5, np.float32(3)]).dtype == np.float64
    assert as_column([np.float32(1), np.float32(2)]).dtype == np.float32
    assert as_column([1, 2]).dtype.kind == "i"
    assert as_column([True, False]) == [True, False]
    assert as_column(["a", 1.0]) == ["a", 1.0]
    assert as_column([]) == []
    assert as_column(["a"], True).dtype == object
    assert as_column(["\ud800"]).dtype == object
    assert as_column([(1, 2)]) == [(1, 2)]
    assert kept_text(["a", "\udfff"]).dtype == object
    plain = np.arange(2)
    assert kept_text(plain) is plain
    edges = [("\ud7ff", False), ("\ud800", True), ("\udfff", True), ("\ue000", False), ("a", False), ("", False)]
    assert [(text, has_surrogate(text)) for text in (one for one, _ in edges)] == edges
    frame = frame_of([{"a": 1, "b": "x"}, {"a": 2}], ["b", "a", "c"], ("b",))
    assert list(frame) == ["b", "a", "c"]
    assert frame["b"].dtype == object
    assert frame["a"].tolist() == [1, 2]
    assert frame["c"].isna().all()
    assert list(frame.index) == [0, 1]
    assert list(frame_of([], ["a"])) == ["a"]


# What results say of themselves.


def test_results_as_json():
    rows = [LayerRecord(1, {"longname": "b", "n_params": 6}, "failed", "why", seconds=2.0), record(0, seconds=0.5)]
    results = Results.from_records(rows, about={"weights": "abc", "rows": [0, 1, 2]})
    told = json.loads(json.dumps(results.to_dict(), allow_nan=False))
    assert list(told) == ["schema", "options", "versions", "fingerprint", "missing", "rows", "coverage"]
    assert (told["schema"], told["fingerprint"], told["missing"]) == (1, "abc", 1)
    assert told["options"] == json.loads(json.dumps(Options().as_dict()))
    assert sorted(told["versions"]) == ["machine", "numpy", "pandas", "python", "scipy", "setol-ww"]
    assert told["versions"]["numpy"] == np.__version__
    assert told["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert [row["longname"] for row in told["rows"]] == ["l0", "b"]
    assert told["coverage"][1] == {
        "longname": "b", "shape": [], "dtype": "", "n_params": 6, "status": "failed", "reason": "why",
    }  # fmt: skip
    assert (results.seconds, results.layers, len(results)) == ([0.5, 2.0], [("l0", ""), ("b", "")], 2)
    assert results.of(results.records[:1]).about == results.about
    assert Results.from_records([]).fingerprint == ""
    versions = results.versions
    versions.clear()
    assert results.versions


def test_a_coverage_that_was_told_is_kept(tmp_path):
    told = [{"longname": "a.weight", "shape": (3, 4), "dtype": "f", "n_params": 12, "status": "skipped", "reason": "x"}]
    results = Results.from_records([record(0)], coverage=told)
    results.save(tmp_path / "a.setol")
    for each in (results, ww.open_results(tmp_path / "a.setol")):
        assert each.coverage_rows == told
        assert each.coverage["shape"].tolist() == [(3, 4)]
        assert each.coverage["shape"].dtype == object


def test_what_results_cannot_be_asked_word_for_word():
    layers = [("fc1", ""), ("fc2", ""), ("attn", "q"), ("attn", "k"), *((f"z{at}", "") for at in range(6))]
    rows = [
        LayerRecord(at, {"longname": name, "slice": part}, "failed", "why") for at, (name, part) in enumerate(layers)
    ]
    results = Results.from_records(rows)
    asked = {
        ("fc3", ""): "the layer 'fc3' was asked; there is none of that name. Nearest are 'fc2', 'fc1', 'z3'",
        ("attn", ""): "the layer 'attn' was asked; it has the slices 'q', 'k'",
        ("attn", "v"): "the layer 'attn', slice 'v' was asked; it has the slices 'q', 'k'",
        (
            "++",
            "",
        ): "the layer '++' was asked; there is none of that name. Nearest are 'fc1', 'fc2', 'attn', 'z0', 'z1'",
        ("fc1", ""): "the layer 'fc1' was asked; it has no spectrum, failed: why",
        ("attn [k]", ""): "the layer 'attn [k]' was asked; it has no spectrum, failed: why",
    }
    for words, sentence in asked.items():
        assert refusal(lambda words=words: results.layer(*words)) == sentence
    settings = "sigmas, quality, uncertainty, seed, detX, randomize, farms"
    accepted = refusal(lambda: results.table(odd=1)).partition("accepted are ")[2]
    assert accepted.split(", ")[-3:] == settings.split(", ")[-3:]
    assert refusal(lambda: results.table(n_jobs=2)) == (
        "n_jobs=2 was asked of a table; it was settled when the weights were read. Accepted are "
        f"{accepted}; for another n_jobs analyse the weights again"
    )
    assert refusal(lambda: results.table(farms=True)) == (
        "farms=True was asked of a table; it needs the weights, and they were read without it. Analyse them again with "
        "farms=True"
    )
    assert "trap_count" in Results.from_records([]).table(randomize=True)
    twice = Results.from_records(
        [LayerRecord(0, {"longname": "a"}, "failed", "why"), replace(record(1), identity={"longname": "a"})]
    )
    assert twice.layer("a").spectrum.num_evals == 20


def test_saving_leaves_a_file_of_something_else(tmp_path):
    path = tmp_path / "a.setol"
    results = Results.from_records([record(0)])
    results.save(path)
    before = path.read_bytes()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA application_id = 7")
    connection.close()
    assert "it is a database of something else" in refusal(lambda: results.save(path))
    path.write_bytes(before)
    results.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.setol"]
    with Store.open(path, {}) as kept:
        assert kept.count == 1


def test_the_settings_of_options():
    options = Options(quality=False, uncertainty=7, seed=3)
    assert settings_of(options) == ww.Settings(quality=False, uncertainty=7, seed=3)
    assert settings_of(options, sigmas=0.5, quality=True).quality is True
    assert settings_of(options, sigmas=0.5).sigmas == 0.5


# Tables in files.


@pytest.mark.parametrize(
    ("word", "cell"),
    [
        ("-1.5", "-1.5"),
        ("+1e5", "+1e5"),
        ("-1.", "-1."),
        ("-1e", "'-1e"),
        ("-x", "'-x"),
        ("-\uff11", "'-\uff11"),
        ("a\\b", "a\\b"),
        ("=a\\b", "'=a\\\\b"),
        ("a\x1fb", "'a\\x1fb"),
        ("a\x20b", "a b"),
        ("a\x7fb", "'a\\x7fb"),
        ("a\x80b", "a\x80b"),
        ("\ud800", "'\\ud800"),
        ("'", "''"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_word_as_a_cell(word, cell):
    assert csv_cell(word) == cell


def test_a_csv_word_for_word(tmp_path):
    words = pd.Series(["=1", None, "b,c", 'd"e'], dtype=object)
    frame = pd.DataFrame({"n": [1, 2, 3, 4], "x": [0.1, np.nan, np.inf, 1e-300], "w": words, "ok": [True] * 4})
    frame.attrs["heavy"] = object()
    text = 'n,x,w,ok\n1,0.1,\'=1,True\n2,,,True\n3,inf,"b,c",True\n4,1e-300,"d""e",True\n'
    assert csv_of(frame) == text
    for name in ("a.csv", "b.CSV"):
        export(frame, tmp_path / name)
        assert (tmp_path / name).read_bytes() == text.encode()
    assert csv_converters(tmp_path / "a.csv").keys() == {"w"}
    read = ww.read_table(tmp_path / "a.csv")
    assert read["w"].tolist()[0] == "=1"
    assert math.isnan(read["w"][1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.CSV"]
    assert "heavy" in frame.attrs


def test_an_html_table_word_for_word(tmp_path):
    frame = pd.DataFrame({"longname": ["a<b", "c\x1b"], "x": [1e-9, 0.1]})
    export(frame, tmp_path / "a.html")
    lines = (tmp_path / "a.html").read_text(encoding="utf-8").splitlines()
    assert lines[2] == '<head><meta charset="utf-8"><title>setol-ww: 2 layers</title>'
    assert "<h1>setol-ww: 2 layers</h1>" in lines
    cells = [line.strip() for line in lines if line.strip().startswith(("<td>", "<th>"))]
    assert cells == [
        "<th>longname</th>",
        "<th>x</th>",
        "<td>a&lt;b</td>",
        "<td>1e-09</td>",
        r"<td>c\x1b</td>",
        "<td>0.1</td>",
    ]
    assert "body { font: 14px sans-serif; margin: 1em }" in lines
    assert lines[-1] == "</html>"


def test_a_json_table_word_for_word(tmp_path):
    words = pd.Series(["\ud800", None], dtype=object)
    empty = pd.Series([None, None], dtype=object)
    missing = pd.Series(["a", pd.NA], dtype="string")
    frame = pd.DataFrame({"w": words, "none": empty, "x": [np.nan, 2.0], "s": missing, "i": np.array([1, 2])})
    export(frame, tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text(encoding="ascii").split("\n")[:8] == [
        "[", " {", r'  "w": "\ud800",', '  "none": null,', '  "x": null,', '  "s": "a",', '  "i": 1', " },",
    ]  # fmt: skip
    read = ww.read_table(tmp_path / "a.json")
    assert read["w"].dtype == object
    assert read["none"].dtype == np.float64
    assert read["i"].tolist() == [1, 2]
    (tmp_path / "b.json").write_text("[]")
    assert ww.read_table(tmp_path / "b.json").shape == (0, 0)


def test_what_cannot_be_written_word_for_word(tmp_path, monkeypatch):
    (tmp_path / "folder.csv").mkdir()
    path = tmp_path / "folder.csv"
    assert refusal(lambda: refuse_unwritable("--out", path)) == (
        f"--out {path} was asked; it cannot be written: it is a folder"
    )
    refuse_unwritable("--out", tmp_path / "A.CSV")
    with monkeypatch.context() as patch:
        patch.setattr(
            exports.os, "access", lambda folder, mode: (folder, mode) != (tmp_path.resolve(), exports.os.W_OK)
        )
        assert refusal(lambda: refuse_unwritable("--out", tmp_path / "a.csv")) == (
            f"--out {tmp_path / 'a.csv'} was asked; it cannot be written: its folder takes no files"
        )
    libraries: set[str] = set()
    util = SimpleNamespace(find_spec=lambda name: name if name in libraries else None)
    monkeypatch.setattr(exports, "importlib", SimpleNamespace(util=util))
    refuse_unwritable("--out", tmp_path / "a.csv")
    assert refusal(lambda: refuse_unwritable("--out", tmp_path / "a.PARQUET")) == (
        f"--out {tmp_path / 'a.PARQUET'} was asked; it needs another package: pip install pyarrow"
    )
    for library in ("pyarrow", "fastparquet"):
        libraries = {library}
        refuse_unwritable("--out", tmp_path / "a.parquet")
    for name, sentence in {
        "a.xlsx": "accepted endings are .csv, .json, .parquet",
        "a.csv": "there is no such file",
    }.items():
        where = str(tmp_path / name)
        assert refusal(lambda where=where: ww.read_table(where)) == f"the table {where!r} was asked; {sentence}"
