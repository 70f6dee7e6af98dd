"""The suite itself: its command, its reports, its documentation."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from setol_ww.cli import spec
from setol_ww.cli.main import main
from spec_tests import runner
from spec_tests.bug import planted
from spec_tests.chapters import BY_ID, CHAPTERS, fill_checks, planted_bugs
from spec_tests.conftest import ROOT
from spec_tests.protocol import METHODS, Implementation, Untested, chosen
from spec_tests.runner import Watch, checks, run

fill_checks()


def test_command_prints_a_line_a_clause_and_writes_reports(tmp_path, capsys):
    for ending in (".md", ".json", ".html"):
        out = tmp_path / f"report{ending}"
        assert main(["spec", "--only", "ERG-02", "ERG-03", "--out", str(out)]) == 0
        printed = capsys.readouterr().out
        assert re.search(r"^ERG-02    pass ", printed, re.MULTILINE)
        assert "2 pass" in printed
        assert max(len(line) for line in printed.splitlines()[1:] if str(out) not in line) <= 100
        assert "ERG-03" in out.read_text(encoding="utf-8")
    rows = {row["id"]: row for row in json.loads((tmp_path / "report.json").read_text())["rows"]}
    assert rows["ERG-02"]["examples"] >= 8
    assert 0 < rows["ERG-03"]["worst"] < 1


def test_what_an_implementation_does_not_answer_is_untested(tmp_path, capsys):
    out = tmp_path / "report.json"
    assert main(["spec", "--implementation", "oracle", "--only", "ERG-02", "CLASS-01", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^CLASS-01  untested ", printed, re.MULTILINE)
    assert "1 pass, 1 untested" in printed
    rows = {row["id"]: row for row in json.loads(out.read_text())["rows"]}
    assert rows["CLASS-01"]["status"] == "untested"


def test_known_failures_of_weightwatcher_are_told_apart(tmp_path, capsys):
    assert main(["spec", "--implementation", "weightwatcher", "--only", "ERG-01", "ERG-09", "MEET-01"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^ERG-01    pass ", printed, re.MULTILINE)
    assert re.search(r"^ERG-09    expected failure ", printed, re.MULTILINE)
    assert re.search(r"^MEET-01   untested ", printed, re.MULTILINE)


ADAPTER = """
from spec_tests.implementations.oracle import Oracle

class Broken(Oracle):
    name = "broken"
    required = frozenset({"eigenvalues", "erg_cut", "matrix_rank"})
    expected_failures = {EXPECTED}
    def eigenvalues(self, W):
        return 2 * super().eigenvalues(W)

class Partial(Broken):
    required = frozenset({"eigenvalues", "meeting"})
    meeting = None

def make():
    return Broken()
"""


@pytest.mark.parametrize(
    ("expected", "code", "said"),
    [
        ("{}", 1, r"SPEC-01   fail .*"),
        ('{"SPEC-01": "it doubles them all"}', 0, r"SPEC-01   expected failure"),
        ('{"SPEC-03": "this one holds"}', 1, r"SPEC-03   unexpected pass"),
        ('{"SPEC-99": "no such clause is there"}', 1, r"SPEC-01   fail"),
    ],
)
def test_a_strangers_implementation(tmp_path, capsys, monkeypatch, expected, code, said):
    name = f"adapter_{abs(hash(expected)) % 10**8}"
    (tmp_path / f"{name}.py").write_text(ADAPTER.replace("EXPECTED", expected.strip("{}")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["spec", "--implementation", f"{name}:make", "--only", "SPEC-01", "SPEC-03"]) == code
    printed = capsys.readouterr().out
    assert re.search(said, printed)
    if code and "fail " in printed:
        assert "Smallest case: case=Gaussian, 1 x 1, seed 0" in printed
        assert f"setol-ww spec --implementation {name}:make --profile dev --only SPEC-01" in printed


EVASIVE = {
    "evades": ("raise Untested('too hard')", 1, "fail .*"),
    "skips": ("raise unittest.SkipTest('too hard')", 1, "fail .*"),
    "crashes": ("raise ModuleNotFoundError('torch')", 1, "fail .*"),
    "stops": ("raise KeyboardInterrupt", 1, "fail .*"),
    "empty": ("return np.array([])", 1, "fail .*"),
}


@pytest.mark.parametrize("how", EVASIVE)
def test_no_way_around_a_claimed_clause(tmp_path, capsys, monkeypatch, how):
    body, code, said = EVASIVE[how]
    source = f"""
import unittest
import numpy as np
from spec_tests.protocol import Implementation, Untested

class Evasive(Implementation):
    required = frozenset({{"eigenvalues"}})
    expected_failures = {{"SPEC-03": "it is known to be wrong by a factor"}}
    def eigenvalues(self, W):
        {body}

def make():
    return Evasive()
"""
    (tmp_path / f"evasive_{how}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["spec", "--implementation", f"evasive_{how}:make", "--only", "SPEC-01", "SPEC-03"]) == code
    printed = capsys.readouterr().out
    assert re.search(f"^SPEC-01   {said}", printed, re.MULTILINE)
    if how == "crashes":
        assert re.search("^SPEC-03   fail ", printed, re.MULTILINE)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('expected_failures = {"ERG-999": "no such clause at all"}', "ERG-999"),
        ('required = frozenset({"tail_ft"})', "tail_ft"),
    ],
)
@pytest.mark.parametrize("only", [[], ["--only", "GOLD-04"]])
def test_mistakes_in_the_adapter_are_told(tmp_path, capsys, monkeypatch, line, said, only):
    name = f"mistaken_{said.replace('-', '_')}_{len(only)}"
    source = [
        "from spec_tests.protocol import Implementation",
        "class M(Implementation):",
        "    required = frozenset()",
    ]
    (tmp_path / f"{name}.py").write_text("\n".join([*source, f"    {line}", "def make():", "    return M()"]))
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["spec", "--implementation", f"{name}:make", *only]) == 1
    assert re.search(f"Not a clause, but wrong: .*{said}", capsys.readouterr().out.replace("\n", " "))


def test_host_settings_of_pytest_do_not_leak(monkeypatch, capsys):
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k GOLD --maxfail=1")
    assert main(["spec", "--only", "ERG-01", "ERG-02"]) == 0
    assert "2 pass" in capsys.readouterr().out
    assert os.environ["PYTEST_ADDOPTS"] == "-k GOLD --maxfail=1"


def test_deep_runs_name_the_seed_that_repeats_them(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(runner.PROFILES, "deep", (15, False))
    outs = []
    for seed in ("7", "7", "8"):
        assert (
            main(["spec", "--profile", "deep", "--seed", seed, "--only", "ERG-03", "--out", str(tmp_path / "r.json")])
            == 0
        )
        assert f"profile deep (seed {seed})" in capsys.readouterr().out
        outs.append(json.loads((tmp_path / "r.json").read_text())["rows"][0]["worst"])
    assert outs[0] == outs[1] != outs[2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "no/folder/report.md"], "no such folder"),
        (["--only", "ERG-99"], "accepted are SPEC-01"),
        (["--implementation", "nobody"], "accepted are setol_ww, weight"),
        (["--implementation", "json:dumps"], "cannot be made"),
        (["--out", "report.pdf"], "accepted endings are .md"),
    ],
)
def test_wrong_questions(arguments, said, capsys):
    assert main(["spec", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_what_is_left_alone_is_untested():
    nothing = Implementation()
    assert nothing.answers() == frozenset()
    for method in METHODS:
        with pytest.raises(Untested):
            getattr(nothing, method)(*[None] * (getattr(Implementation, method).__code__.co_argcount - 1))


def test_a_watch_refuses_what_is_not_a_number():
    for wrong in (float("nan"), float("inf"), [1.0, float("nan")]):
        with pytest.raises(AssertionError, match=r"not finite|has shape"):
            Watch().close("it", wrong, 1.0, tol=1e9)
    with pytest.raises(AssertionError, match="above"):
        Watch().at_most("it", float("nan"), 1.0)
    watch = Watch()
    watch.close("it", 1.5, 1.0, tol=1.0)
    assert watch.worst == 0.5


def test_failures_shrink_to_a_sentence():
    """A bug that only shows on spectra of three or more is reported on three."""
    bug = next(bug for bug in planted_bugs() if bug.name == "eigenvalues rescaled to trace one")
    with pytest.raises(AssertionError) as caught:
        run("ERG-01", planted(bug), Watch(), profile_name="ci")
    notes = "\n".join(caught.value.__notes__)
    assert re.search(r"case=Pareto [\d.]+, n = \d, seed 0", notes), notes


def test_example_in_the_documentation_runs(monkeypatch, capsys):
    page, example = (ROOT / "docs" / name for name in ("spec.md", "example_implementation.py"))
    assert example.read_text(encoding="utf-8") in page.read_text(encoding="utf-8")
    assert len(example.read_text().splitlines()) <= 40
    monkeypatch.syspath_prepend(ROOT / "docs")
    assert main(["spec", "--implementation", "example_implementation:make", "--profile", "ci"]) == 0
    printed = capsys.readouterr().out
    assert "fail" not in printed
    assert int(re.search(r"(\d+) pass", printed).group(1)) >= 40


def test_committed_pages_are_of_this_register():
    report = (ROOT / "docs" / "spec-report.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| ([A-Z]+-\d+) \|", report, re.MULTILINE) == list(BY_ID)
    for clause in BY_ID.values():
        assert clause.statement in report.replace("\\|", "|")
    kills = (ROOT / "docs" / "teeth.md").read_text(encoding="utf-8")
    for bug in planted_bugs():
        assert f"| {bug.name} | {bug.base}.{bug.method} | {bug.killer} |" in kills.replace("\\|", "|")
    (counted,) = re.findall(r"(\d+) numbered clauses", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert int(counted) == len(BY_ID)


@pytest.mark.parametrize("time", range(2))
def test_every_test_begins_with_the_same_generators(time):
    drawn = random.random(), np.random.random(), float(torch.rand(1))
    known = torch.rand(1, generator=torch.Generator().manual_seed(0))
    assert drawn == (random.Random(0).random(), np.random.RandomState(0).random_sample(), float(known))


def test_a_chapter_is_one_place():
    """Every folder of chapters is in the list, and its clauses, checks and bugs are of one prefix that no other has."""
    folder = ROOT / "spec_tests" / "chapters"
    assert {path.parent.name for path in folder.glob("*/__init__.py")} == set(CHAPTERS)
    prefixes = []
    for chapter in CHAPTERS:
        register, bugs = (import_module(f"spec_tests.chapters.{chapter}.{part}") for part in ("register", "bugs"))
        named = {clause.id.split("-")[0] for clause in register.CLAUSES}
        named |= {bug.killer.split("-")[0] for bug in bugs.BUGS}
        home = f"spec_tests.chapters.{chapter}.clauses"
        named |= {id.split("-")[0] for id, check in checks.by_id.items() if check.function.__module__ == home}
        assert len(named) == 1, (chapter, named)
        prefixes += named
    assert len(set(prefixes)) == len(CHAPTERS)


def test_oracle_answers_everything_but_judgements_and_what_traps_are_made_of():
    judged = {"state", "universality", "matrix_class", "trap_pvalue", "trap_elements", "trap_carriers", "remove_traps"}
    judged |= {"alpha_interval", "median_hill"}
    assert set(METHODS) - chosen("oracle").answers() == judged
    assert set(checks.by_id) == set(BY_ID)


DRAWS = """
import sys
import spec_tests.chapters
from spec_tests import runner
spec_tests.chapters.fill_checks()
if sys.argv[1] == "more":
    import spec_tests.reporting, setol_ww.cli.main, spec_tests.implementations.upstream
    spec_tests.chapters.planted_bugs()
from hypothesis import strategies as st
drawn = []
runner.checks.add("DRAWS", seed=st.integers(0, 1000), x=st.floats(0, 9))(
    lambda impl, watch, seed, x: drawn.append((seed, x)) or watch.that(True, "")
)
runner.run("DRAWS", None, runner.Watch(), profile_name="ci")
print(drawn)
"""


def test_examples_do_not_depend_on_what_else_is_imported(tmp_path):
    """hypothesis mixes literals of loaded modules into its draws; ours are the same in every process."""
    script = tmp_path / "draws.py"
    script.write_text(DRAWS, encoding="utf-8")
    bare, more = (
        subprocess.run(
            [sys.executable, str(script), which],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ).stdout
        for which in ("bare", "more")
    )
    assert bare.count("(") == 40
    assert bare == more


def test_the_committed_report_has_no_failure_but_weightwatchers():
    rows = [line.split("|") for line in (ROOT / "docs" / "spec-report.md").read_text("utf-8").splitlines()]
    verdicts = [(cells[1].strip(), cells[5], cells[7]) for cells in rows if len(cells) == 9]
    assert len(verdicts) > 100
    assert not [verdict for verdict in verdicts if "FAIL" in verdict[1] + verdict[2]]


def test_a_statement_is_cut_where_it_has_no_room():
    room = spec.WIDTH - 30
    statements = {f"C-{length}": "x" * length for length in (room - 1, room, room + 1)}
    clauses = {name: SimpleNamespace(statement=said) for name, said in statements.items()}
    told = [SimpleNamespace(id=name, status="pass") for name in clauses]
    report = SimpleNamespace(
        implementation="ours", implementation_version="1", profile="dev", seed=0, versions={}, rows=told, problems=[]
    )
    lines = spec._lines(report, SimpleNamespace(BY_ID=clauses))
    shown = [line.split()[-1] for line in lines[2:5]]
    assert shown == ["x" * (room - 1), "x" * room, "x" * (room - 2) + ".."]
    assert lines[-1] == "3 pass"
