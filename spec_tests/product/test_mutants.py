"""Mutation testing itself: what is drawn, which tests are chosen, what is killed, how it goes on."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from spec_tests.conftest import ROOT

pytest.importorskip("cosmic_ray", reason="mutation testing needs the extra `mutants`")
pytest.importorskip("coverage", reason="mutation testing needs the extra `mutants`")

DEEP = os.environ.get("SETOL_SPEC_PROFILE") == "deep"

PACKAGE = '''
"""Two rooms of a package as ours is."""


def pay(hours: int, rate: float = 1.0) -> float:
    if hours < 0:
        raise ValueError("no hours")
    return hours * rate


def grown(seed: int) -> str:
    return str(pay(seed, rate=2.0)) + "!"
'''
TESTS = """
from setol_ww.theory import wages


def test_pay():
    assert wages.pay(3) == 3
    assert wages.pay(3, 2.0) == 6


def test_grown():
    assert wages.grown(2).startswith("4")
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small package with its tests, in git, of which every test is covered."""
    root = tmp_path_factory.mktemp("small") / "tree"
    for name, content in {
        "setol_ww/__init__.py": "",
        "setol_ww/theory/__init__.py": "",
        "setol_ww/theory/wages.py": PACKAGE,
        "spec_tests/test_wages.py": TESTS,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    assert "test_wages.py: 0" in mutants(root, "cover")
    return root


def mutants(root: Path, *words: object) -> str:
    """What `scripts/mutants.py` prints of the package in `root`."""
    script = [sys.executable, str(ROOT / "scripts" / "mutants.py"), *map(str, words)]
    where = ["--root", str(root), "--folder", str(root.parent / "kept")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = subprocess.run([*script, *where], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_coverage_tells_which_test_runs_a_line(tree: Path) -> None:
    with sqlite3.connect(tree.parent / "kept" / "covered.sqlite") as store:
        found = store.execute(
            "select line, group_concat(name) from (select distinct line, name from lines join tests on tests.id = test "
            "where module = 'setol_ww/theory/wages.py' order by name) group by line"
        ).fetchall()
    last = len(PACKAGE.splitlines())
    tests = dict(found)
    assert tests[last] == "spec_tests/test_wages.py::test_grown"
    assert tests[last - 4] == "spec_tests/test_wages.py::test_grown,spec_tests/test_wages.py::test_pay"
    assert last - 5 not in tests


def test_what_no_test_sees_survives_and_the_rest_is_killed(tree: Path) -> None:
    said = mutants(tree, "try", "--sample", 100, "--seed", 3, "--workers", 2)
    lines = re.findall(r"^\d+ (\w+) +setol_ww/theory/wages.py:(\d+) ([^:]+): (.*)$", said, re.MULTILINE)
    assert {kind for _, _, kind, _ in lines} >= {"boundary", "number", "arithmetic", "keyword dropped", "text"}
    last = str(len(PACKAGE.splitlines()))
    fates = {(line, kind): fate for fate, line, kind, _ in lines}
    assert fates[last, "keyword dropped"] == "killed"
    assert fates[last, "text"] == "survived"
    assert fates[str(int(last) - 6), "boundary"] == "survived"
    assert "no test runs this line" in next(why for _, line, _, why in lines if line == str(int(last) - 5))
    assert "killed" in said.splitlines()[-1]
    again = mutants(tree, "try", "--sample", 100, "--seed", 3)
    assert re.findall(r"^\d+ (?:killed|survived)", again, re.MULTILINE) == []
    assert again.splitlines()[-1] == said.splitlines()[-1]
    other = mutants(tree, "try", "--sample", 4, "--seed", 4)
    assert len(re.findall(r"^\d+ (?:killed|survived)", other, re.MULTILINE)) == 4


@pytest.mark.skipif(not DEEP, reason="twenty mutants of the numerical rooms: with SETOL_SPEC_PROFILE=deep")
def test_twenty_mutants_of_the_numerical_rooms(tmp_path: Path) -> None:
    """Four of five at least, of a fixed draw; what survives is in the message."""
    files = [
        f"spec_tests/product/test_{name}.py" for name in ("transforms", "laws", "readings", "tails", "erg", "bulk")
    ]
    script = [sys.executable, "scripts/mutants.py"]
    told = ["--folder", str(tmp_path)]
    rooms = ["--sample", "20", "--seed", "20", "--rooms", "theory", "spectrum", "--least", ".8"]
    subprocess.run([*script, "cover", *files, *told], cwd=ROOT, check=True)
    done = subprocess.run([*script, "try", *told, *rooms], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "\n".join(line for line in done.stdout.splitlines() if "survived" in line)
