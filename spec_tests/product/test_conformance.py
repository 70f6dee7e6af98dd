"""The suite itself: its command, its reports, its documentation."""

from __future__ import annotations

import json
import re

import pytest

from setol_ww.cli import main
from spec_tests import clauses, teeth  # noqa: F401 clauses fills the checks
from spec_tests.conftest import ROOT
from spec_tests.protocol import METHODS, Implementation, Untested, chosen
from spec_tests.register import BY_ID
from spec_tests.runner import Watch, checks, run


def test_command_prints_a_line_a_clause_and_writes_reports(tmp_path, capsys):
    for ending in (".md", ".json", ".html"):
        out = tmp_path / f"report{ending}"
        assert main(["spec", "--only", "ERG-02", "ERG-03", "TRAP-01", "--out", str(out)]) == 0
        printed = capsys.readouterr().out
        assert re.search(r"^ERG-02    pass ", printed, re.MULTILINE)
        assert re.search(r"^TRAP-01   untested ", printed, re.MULTILINE)
        assert "2 pass, 1 untested" in printed
        assert max(len(line) for line in printed.splitlines()[1:] if str(out) not in line) <= 100
        assert "ERG-03" in out.read_text(encoding="utf-8")
    rows = {row["id"]: row for row in json.loads((tmp_path / "report.json").read_text())["rows"]}
    assert rows["ERG-02"]["examples"] >= 8
    assert 0 < rows["ERG-03"]["worst"] < 1
    assert rows["TRAP-01"]["status"] == "untested"


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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
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
    bug = next(bug for bug in teeth.BUGS if bug.name == "eigenvalues rescaled to trace one")
    with pytest.raises(AssertionError) as caught:
        run("ERG-01", teeth.planted(bug), Watch(), profile_name="ci")
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
    for bug in teeth.BUGS:
        assert f"| {bug.name} | {bug.base}.{bug.method} | {bug.killer} |" in kills.replace("\\|", "|")


def test_oracle_answers_everything_but_the_state():
    assert set(METHODS) - chosen("oracle").answers() == {"state"}
    assert set(checks.by_id) == set(BY_ID)
