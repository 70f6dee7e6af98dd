"""Chapter 14: tables for spreadsheets, browsers and other programs."""

from __future__ import annotations

import html.parser
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import setol_ww as ww
from setol_ww.results.export import csv_cell, csv_converters, csv_text, export

# Characters with which a cell begins that a spreadsheet computes.
RUNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝")
NAMES = [
    *["=1+1", "+cmd", "-cmd|'/c calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "'quoted", "''", "-1", "+1.5e3"],
    *["plain.weight", "a,b", 'a"b', "a\\x41", "\\", "<script>alert(1)</script>", "a\x1b[31mred", "x\ny", "\u202eabc"],
    *["層.weight", "\ud800lone", "\\ud800", "a\\\udcff", "a\0b", " =1 ", "-", "=", "-0x1", "1e5", "NA", "null"],
]


@pytest.fixture
def frame() -> pd.DataFrame:
    columns = {
        "longname": pd.Series(NAMES, dtype=object),
        "alpha": np.linspace(-3, 1e-300, len(NAMES)),
        "count": np.arange(len(NAMES)) - 4,
        "reason": [""] * len(NAMES),
        "gap": [np.nan, *range(1, len(NAMES))],
        "ok": [True, None] * (len(NAMES) // 2) + [False] * (len(NAMES) % 2),
    }
    return pd.DataFrame(columns)


def test_no_cell_of_a_csv_runs_and_all_are_read_back(frame, tmp_path):
    path = tmp_path / "a.csv"
    export(frame, path)
    raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name, cell in zip(NAMES, raw["longname"]):
        harmless = cell.lstrip("+-").replace(".", "").replace("e", "").isdigit()
        assert not cell.startswith(RUNS) or harmless, cell
        assert not set(cell) & {"\x1b", "\n", "\r", "\t", "\0"}, name
    read = ww.read_table(path)
    assert read["longname"].tolist() == NAMES
    for name in ("alpha", "count", "gap"):
        assert read[name].to_numpy(float).tobytes() == frame[name].to_numpy(float).tobytes()


def test_pandas_reads_a_csv_with_the_converters(frame, tmp_path):
    """All but lone surrogates, which its own columns of text cannot hold."""
    path = tmp_path / "a.csv"
    sound = frame[[name.isascii() or "\\ud" not in ascii(name) for name in NAMES]]
    export(sound, path)
    read = pd.read_csv(path, converters=csv_converters(path), keep_default_na=False, na_values=[""])
    assert len(read) > len(NAMES) - 4
    assert read["longname"].tolist() == sound["longname"].tolist()
    assert list(csv_converters(path)) == ["longname"]


@given(st.text(st.characters(exclude_categories=())))
def test_a_word_in_a_cell_and_back(text):
    cell = csv_cell(text)
    assert csv_text(cell) == text
    cell.encode("utf-8")
    assert cell == text or cell.startswith("'")


@pytest.mark.parametrize("ending", [".parquet", ".json", ".PARQUET", ".Json"])
def test_names_survive(frame, tmp_path, ending):
    path = tmp_path / f"a{ending}"
    export(frame, path)
    read = ww.read_table(path)
    assert read["longname"].tolist() == NAMES
    assert read["alpha"].to_numpy().tobytes() == frame["alpha"].to_numpy().tobytes()
    assert list(read) == list(frame)


def test_parquet_changes_only_what_utf8_cannot_say(frame, tmp_path):
    export(frame, tmp_path / "a.parquet")
    plain = pd.read_parquet(tmp_path / "a.parquet")["longname"]
    changed = {name: read for name, read in zip(NAMES, plain) if name != read}
    assert changed == {"\ud800lone": "\\ud800lone", "a\\\udcff": "a\\\\\\udcff"}


def test_json_is_json(tmp_path):
    words = pd.Series(["\ud800", None, "é", "x"], dtype=object)
    told = pd.DataFrame({"a": [np.nan, np.inf, -np.inf, 1e-300], "b": words, "c": [True] * 4})
    export(told, tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text(encoding="ascii")

    def refuse(token):
        raise AssertionError(token)

    rows = json.loads(text, parse_constant=refuse)
    assert rows == [
        {"a": None, "b": "\ud800", "c": True},
        {"a": None, "b": None, "c": True},
        {"a": None, "b": "é", "c": True},
        {"a": 1e-300, "b": "x", "c": True},
    ]


def test_html_is_a_page_and_runs_nothing(frame, tmp_path):
    export(frame, tmp_path / "a.HTML")
    text = (tmp_path / "a.HTML").read_text(encoding="utf-8")
    tags: set[str] = set()

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.add(tag)

    Reader().feed(text)
    assert {"html", "head", "meta", "title", "body", "h1", "table"} <= tags
    assert "script" not in tags
    assert text.startswith("<!DOCTYPE html>")
    assert "&lt;script&gt;" in text
    assert not set(text) & {"\x1b", "\u202e", "\0"}
    assert "\\u202eabc" in text
    assert repr(float(frame["alpha"][1])) in text


def test_a_table_of_another_ending_is_refused(tmp_path):
    for name, message in (("a.xlsx", "accepted endings are .csv, .json, .parquet"), ("a.csv", "no such file")):
        with pytest.raises(ww.InvalidInput, match=message):
            ww.read_table(tmp_path / name)


def test_an_empty_table(tmp_path):
    for ending in (".csv", ".json", ".html", ".parquet"):
        export(pd.DataFrame({"longname": [], "alpha": []}), tmp_path / f"a{ending}")
    assert json.loads((tmp_path / "a.json").read_text()) == []
    assert list(ww.read_table(tmp_path / "a.csv")) == ["longname", "alpha"]
