"""Commands as a program uses them: the keys of every answer in JSON, exit statuses, what an interrupt leaves."""

from __future__ import annotations

import json
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

import setol_ww as ww
from setol_ww.cli import spec as spec_command
from setol_ww.cli import versions
from setol_ww.cli.demo import demo_nets
from setol_ww.cli.main import main


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with the smallest layer of two nets, as weights and as results."""
    monkeypatch.chdir(tmp_path)
    for name, rate in (("one", 32), ("two", 16)):
        np.savez(f"{name}.npz", **{"fc3.weight": demo_nets()[rate][0]["fc3.weight"]})
        ww.examine(f"{name}.npz", progress=False).save(f"{name}.setol")
    return tmp_path


def answer(capsys, words: str) -> dict:
    """What a command says in JSON; nothing else is said."""
    assert main([*words.split(), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.endswith("}\n")
    # Indented by one, for people who look at it.
    assert out.split("\n")[1].startswith(' "')
    return json.loads(out, parse_constant=pytest.fail)


ROW = {"longname": "fc3"}
ANSWERS = {
    "analyze one.npz": {"schema": 1, "path": "one.npz"},
    "scan one.npz --out s.csv": {"schema": 1, "path": "one.npz", "out": "s.csv"},
    "merge part.setol --out m.csv": {"schema": 1, "out": "m.csv"},
    "truncate one.npz --rule rank:2 --out small": {"schema": 1, "out": "small"},
    "report one.setol --out r.html": {"out": "r.html"},
    "compare one.setol two.setol": {"schema": 1},
    "summary one.setol": {"schema": 1},
    "recommend one.setol --target sparsity": {"schema": 1},
}


def test_the_keys_of_every_answer(here, capsys):
    assert main("scan one.npz --out part.setol --shard 0/1 --quiet".split()) == 0
    told = {words: answer(capsys, words) for words in ANSWERS}
    for words, expected in ANSWERS.items():
        assert expected.items() <= told[words].items(), words
    for words in ("analyze one.npz", "scan one.npz --out s.csv", "merge part.setol --out m.csv"):
        (row,) = told[words]["rows"]
        assert row["longname"] == "fc3", words
        assert row["tail_rank"] == 8, words
        assert set(told[words]) == {*ANSWERS[words], "rows", *(["coverage"] if words.startswith("analyze") else [])}
    (covered,) = told["analyze one.npz"]["coverage"]
    assert (covered["longname"], covered["status"]) == ("fc3.weight", "analyzed")
    summary = ww.open_results("one.setol").summary().to_dict()
    assert told["summary one.setol"] == summary
    assert told["report one.setol --out r.html"] == {"out": "r.html", **summary}
    assert told["compare one.setol two.setol"] == ww.compare("one.setol", "two.setol").to_dict()
    assert told["recommend one.setol --target sparsity"]["schema"] == 1
    assert [path.name for path in here.glob("*.html")] == ["r.html"]


def test_a_table_on_the_standard_output_is_the_table_alone(here, capsys):
    assert main(["analyze", "one.npz", "two.npz", "--out", "-"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.split("\n")
    assert lines[0].startswith("path,layer_id,name,")
    assert [line.split(",")[0] for line in lines[1:]] == ["one.npz", "two.npz", ""]
    main(["analyze", "one.npz", "--out", "t.csv", "--quiet"])
    assert ww.read_table("t.csv")["longname"].tolist() == ["fc3"]
    assert capsys.readouterr() == ("", "")


def test_the_one_word_behind_layers_is_no_path(here, capsys):
    assert main(["analyze", "--layers", "one.npz"]) == 2
    assert capsys.readouterr().err.startswith("setol-ww: a PATH is needed")
    assert main(["analyze", "--layers", "fc3", "one.npz", "--quiet"]) == 0


def test_a_run_of_weights_has_updates_unless_they_are_not_wanted(here, capsys):
    for words, there in (("", True), ("--no-update", False)):
        assert main(f"compare one.npz two.npz one.npz --out run.csv --quiet {words}".split()) == 0
        table = ww.read_table("run.csv")
        assert table["step"].tolist() == [0, 1, 2]
        known = "update_norm" in table and bool(table["update_norm"].notna().any())
        assert known == there, words
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("words", "place", "said"),
    [
        ("analyze one.npz", "setol_ww.watcher.WeightWatcher", "setol-ww: interrupted before the end\n"),
        (
            "scan one.npz --out s.csv",
            "setol_ww.scanning.run.scan",
            "setol-ww: interrupted; the same command goes on with what is in s.csv\n",
        ),
        (
            "watch . --out h.csv",
            "setol_ww.monitor.folder.watch",
            "setol-ww: interrupted; the same command goes on with what is in h.csv\n",
        ),
        ("watch .", "setol_ww.monitor.folder.watch", "setol-ww: interrupted\n"),
    ],
)
def test_an_interrupt_ends_a_command_with_130(words, place, said, here, capsys, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(place, interrupted)
    assert main(words.split()) == 130
    assert capsys.readouterr() == ("", said)


def test_what_watch_is_told_reaches_the_folder(here, capsys, monkeypatch):
    seen = {}

    def watched(folder, out, *, every, once, options, tell):
        seen.update(folder=str(folder), out=out, every=every, once=once, options=options)
        tell("a line")
        return ww.read_table("t.csv")

    main(["analyze", "one.npz", "--out", "t.csv", "--quiet"])
    table = ww.read_table("t.csv").assign(step=[3])
    monkeypatch.setattr(ww.read_table.__module__ and sys.modules["setol_ww.monitor.folder"], "watch", watched)
    monkeypatch.setattr(ww, "read_table", lambda path: table)
    capsys.readouterr()
    assert main(["watch", "runs", "--every", "2.5", "--layers", "fc3", "--seed", "4"]) == 0
    assert capsys.readouterr().out == "a line\n1 rows of 1 checkpoints.\n"
    options = seen.pop("options")
    assert seen == {"folder": "runs", "out": None, "every": 2.5, "once": False}
    assert (options.layers, options.seed, options.progress) == (("fc3",), 4, None)
    assert main(["watch", "runs", "--once", "--out", "h.csv", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert (seen["every"], seen["once"], str(seen["out"])) == (30.0, True, "h.csv")


def test_all_that_a_report_of_a_problem_needs(capsys, monkeypatch):
    pools = [
        {"user_api": "blas", "internal_api": "openblas", "version": "0.3", "num_threads": 2},
        {"user_api": "openmp", "internal_api": "openmp", "version": None, "num_threads": 8},
        {"user_api": "blas", "internal_api": "openblas", "version": "0.3", "num_threads": 2},
        {"user_api": "blas", "internal_api": "mkl", "version": "1", "num_threads": 1},
    ]
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: pools)
    monkeypatch.setattr(versions, "LIBRARIES", ("numpy", "no-such-library"))
    assert main(["--version", "--verbose"]) == 0
    told = dict(line.split(None, 1) for line in capsys.readouterr().out.strip().split("\n"))
    assert told["setol-ww"] == ww.__version__
    assert told["numpy"] == np.__version__
    assert told["no-such-library"] == "not installed"
    assert told["python"] == ".".join(map(str, sys.version_info[:3]))
    assert told["BLAS"] == "openblas 0.3, 2 thread(s); mkl 1, 1 thread(s)"
    assert told["platform"].endswith(" cores")
    monkeypatch.setattr("threadpoolctl.threadpool_info", list)
    assert main(["--version", "--verbose"]) == 0
    assert capsys.readouterr().out.endswith("BLAS             none that threadpoolctl knows\n")


def test_the_report_of_the_spec_in_lines(tmp_path, monkeypatch):
    """A clause that fails has its case and how to see it again; what is wrong besides is said at the end."""
    reporting, chapters = spec_command._suite()
    first, second, third = list(chapters.BY_ID)[:3]
    row = {"message": "", "counterexample": "", "reproduce": ""}
    rows = [
        SimpleNamespace(id=first, status="pass", **row),
        SimpleNamespace(id=second, status="fail", message="1 is not 2", counterexample="n=1", reproduce="run this"),
        SimpleNamespace(
            id=third, status="unexpected pass", message="it passes", counterexample="", reproduce="run that"
        ),
    ]
    report = SimpleNamespace(
        implementation="mine", implementation_version="1", profile="ci", seed=7, versions={"numpy": "2", "scipy": "1"},
        rows=rows, problems=["a clause twice"], exit_status=4,
    )  # fmt: skip
    asked = []
    monkeypatch.setattr(reporting, "run_spec", lambda *told: asked.append(told) or report)
    monkeypatch.setattr(reporting, "write", lambda report, out: out.write_text("report"))
    found, text, status = spec_command.conform("mine:make", "ci", [first, second], tmp_path / "r.md", 7)
    assert asked == [("mine:make", "ci", [first, second], 7)]
    assert (found, status) == (report, 1)
    lines = text.split("\n")
    assert lines[0] == "mine 1, profile ci (7), numpy 2, scipy 1"
    for number, one in enumerate(rows):
        statement = chapters.BY_ID[one.id].statement
        shown = lines[2 + number]
        assert shown.startswith(f"{one.id:<9} {one.status:<17} ")
        assert shown[28:] == (
            statement if len(shown) < spec_command.WIDTH - 2 else statement[: spec_command.WIDTH - 32] + ".."
        )
    assert lines[5:12] == [
        "", f"{second}: 1 is not 2. Smallest case: n=1.", "  run this", "", f"{third}: it passes.", "  run that", "",
    ]  # fmt: skip
    assert lines[12:] == [
        "Not a clause, but wrong: a clause twice", "", "1 fail, 1 pass, 1 unexpected pass",
        f"The report is in {tmp_path / 'r.md'}.",
    ]  # fmt: skip
    report.exit_status = 0
    assert spec_command.conform("mine:make", "ci", [], None)[2] == 0
    assert Counter(one.status for one in rows)["fail"] == 1
