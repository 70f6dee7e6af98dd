"""Mutation testing itself: what is drawn, which tests are chosen, what is killed, how it goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from spec_tests.conftest import ROOT
from spec_tests.kept_scripts import load_script

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


@pytest.fixture
def copied(tree: Path, tmp_path: Path) -> Path:
    """The small package with its coverage, for one test: what that tries and changes no other sees, in any order."""
    shutil.copytree(tree.parent, tmp_path / "small")
    return tmp_path / "small" / tree.name


def mutants(root: Path, *words: object, status: int = 0) -> str:
    """What `scripts/mutants.py` prints of the package in `root`, ending with a status."""
    script = [sys.executable, str(ROOT / "scripts" / "mutants.py"), *map(str, words)]
    where = ["--root", str(root), "--folder", str(root.parent / "kept")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = subprocess.run([*script, *where], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == status, done.stderr
    return done.stdout


def test_coverage_tells_which_test_runs_a_line(tree: Path) -> None:
    with sqlite3.connect(tree.parent / "kept" / "covered.sqlite") as store:
        found = store.execute(
            "select line, group_concat(name) from (select distinct line, name from lines join tests on tests.id = test "
            "join texts on texts.id = text where module = 'setol_ww/theory/wages.py' order by name) group by line"
        ).fetchall()
    last = len(PACKAGE.splitlines())
    tests = dict(found)
    assert tests[last] == "spec_tests/test_wages.py::test_grown"
    assert tests[last - 4] == "spec_tests/test_wages.py::test_grown,spec_tests/test_wages.py::test_pay"
    assert last - 5 not in tests


def test_a_refusal_that_no_test_runs_is_told(tree: Path) -> None:
    line = len(PACKAGE.splitlines()) - 5
    told = [f"setol_ww/theory/wages.py:{line}: raise ValueError('no hours')", "1 refusals are run by no test"]
    assert mutants(tree, "unrun", status=1).splitlines() == told


TRIED = re.compile(r"^([0-9a-f]{12}) (\w+) +setol_ww/theory/wages.py:(\d+) ([^:]+): (.*)$", re.MULTILINE)


def test_what_no_test_sees_survives_and_the_rest_is_killed(copied: Path) -> None:
    said = mutants(copied, "try", "--sample", 100, "--seed", 3, "--workers", 2)
    lines = TRIED.findall(said)
    assert {kind for _, _, _, kind, _ in lines} >= {"boundary", "number", "arithmetic", "keyword dropped", "text"}
    last = str(len(PACKAGE.splitlines()))
    fates = {(line, kind): fate for _, fate, line, kind, _ in lines}
    assert fates[last, "keyword dropped"] == "killed"
    assert fates[last, "text"] == "survived"
    assert fates[str(int(last) - 6), "boundary"] == "survived"
    assert "no test runs this line" in next(why for _, _, line, _, why in lines if line == str(int(last) - 5))
    assert "killed" in said.splitlines()[-1]
    again = mutants(copied, "try", "--sample", 100, "--seed", 3)
    assert TRIED.findall(again) == []
    assert again.splitlines()[-1] == said.splitlines()[-1]
    # A line more above: what was found stays with its mutants, the kept coverage finds their lines, and what survived
    # is tried once more.
    wages = copied / "setol_ww/theory/wages.py"
    wages.write_text(
        wages.read_text(encoding="utf-8").replace("\n\n\ndef pay", "\n\nYEAR = 12\n\n\ndef pay"), encoding="utf-8"
    )
    assert TRIED.findall(mutants(copied, "try", "--sample", 100, "--seed", 3)) == []
    survivors = [(key, str(int(line) + 2), kind) for key, fate, line, kind, _ in lines if fate == "survived"]
    once_more = TRIED.findall(mutants(copied, "try", "--sample", 100, "--seed", 3, "--again"))
    assert sorted((key, line, kind) for key, fate, line, kind, _ in once_more) == sorted(survivors)
    assert {fate for _, fate, _, _, _ in once_more} == {"survived"}


TWO_WORKERS = """
import os, sys
from pathlib import Path
from mutation import trying

first = os.getpid()

def work(*_):
    assert os.getpid() == first, "the second worker's fault"

trying._work = work
trying.try_all(Path(sys.argv[1]), Path(sys.argv[2]), [1, 2], list, 2)
"""


def test_a_worker_that_ends_early_is_told(tree: Path) -> None:
    """Else its mutants are missing, and the share killed is that of the others."""
    script = [sys.executable, "-c", TWO_WORKERS, str(tree), str(tree.parent / "kept")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 1
    assert "AssertionError: the second worker's fault" in done.stderr
    assert done.stderr.splitlines()[-1] == "ChildProcessError: a worker ended before its last mutant"


def test_of_every_function_the_same_number(copied: Path) -> None:
    mutants(copied, "try", "--functions", 2, "--seed", 5, "--rooms", "theory")
    drawn = (copied.parent / "kept" / "functions-2-5-theory.drawn").read_text(encoding="utf-8").split()
    tried = map(json.loads, (copied.parent / "kept" / "tried.jsonl").read_text(encoding="utf-8").splitlines())
    line_of = {each["key"]: each["line"] for each in tried}
    first = PACKAGE.splitlines().index("def pay(hours: int, rate: float = 1.0) -> float:")
    inside = [line_of[key] > first for key in drawn]
    assert inside.count(True) == 4
    assert sum(line_of[key] >= len(PACKAGE.splitlines()) - 1 for key in drawn) == 2


def test_a_mutant_is_put_into_the_functions_that_live() -> None:
    """And refused where an import would have run it: a default, a constant, a decorator, the body of a class."""
    warm = load_script("mutation/warm")
    before = "class A:\n    n = 3\n    def f(self, a=1):\n        return [a + k for k in (1, 2)]\n"
    scope: dict = {}
    exec(compile(before, "a.py", "exec"), scope)
    live = [scope["A"].f]

    def put(old: str, new: str) -> int | None:
        swaps = warm.swaps_of(before, before.replace(old, new), "a.py", live)
        for function, code in swaps or ():
            function.__code__ = code
        return None if swaps is None else len(swaps)

    assert (put("n = 3", "n = 4"), put("a=1", "a=2"), put("    def", "    @id\n    def")) == (None, None, None)
    assert put("n = 3", "n = 3") == 0
    assert put("a + k", "a - k") == 1
    assert scope["A"]().f() == [0, -1]


def test_a_mutant_is_put_into_what_functions_made_as_well() -> None:
    """As a decorator's wrapper, made by an import."""
    warm = load_script("mutation/warm")
    before = "def adding(n):\n    def add(k):\n        return n + k\n    return add\nadd = adding(3)\n"
    scope: dict = {}
    exec(compile(before, "a.py", "exec"), scope)
    swaps = warm.swaps_of(before, before.replace("n + k", "n - k"), "a.py", [scope["adding"], scope["add"]])
    for function, code in swaps:
        function.__code__ = code
    assert (scope["add"](1), scope["adding"](5)(1)) == (2, 4)


@pytest.mark.skipif(not DEEP, reason="twenty mutants of the numerical rooms: with SETOL_SPEC_PROFILE=deep")
def test_twenty_mutants_of_the_numerical_rooms(tmp_path: Path) -> None:
    """Three of five at least, some of them change nothing that can be seen; what survives is in the message."""
    files = [
        f"spec_tests/product/test_{name}.py" for name in ("transforms", "laws", "readings", "tails", "erg", "bulk")
    ]
    script = [sys.executable, "scripts/mutants.py"]
    told = ["--folder", str(tmp_path)]
    rooms = ["--sample", "20", "--seed", "20", "--rooms", "theory", "spectrum", "--least", ".6"]
    subprocess.run([*script, "cover", *files, *told], cwd=ROOT, check=True)
    done = subprocess.run([*script, "try", *told, *rooms], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "\n".join(line for line in done.stdout.splitlines() if "survived" in line)
