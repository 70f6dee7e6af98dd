"""Commands as a program uses them: the keys of every answer in JSON, exit statuses, what an interrupt leaves."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

import setol_ww as ww
from setol_ww.cli import spec as spec_command
from setol_ww.cli import versions
from setol_ww.cli.asking import with_minus
from setol_ww.cli.demo import demo_nets
from setol_ww.cli.main import main


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    """The smallest layer of two nets, as weights and as results."""
    folder = tmp_path_factory.mktemp("nets")
    for name, rate in (("one", 32), ("two", 16)):
        np.savez(folder / f"{name}.npz", **{"fc3.weight": demo_nets()[rate][0]["fc3.weight"]})
        ww.examine(folder / f"{name}.npz", progress=False).save(folder / f"{name}.setol")
    return folder


@pytest.fixture
def here(nets, tmp_path, monkeypatch):
    """A working directory with them."""
    shutil.copytree(nets, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
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


class Work(Exception):
    """Work that was begun."""


REFUSED = {
    "analyze one.npz --out t.txt": "accepted endings are",
    "analyze one.npz two.npz --out t.setol": "was asked of 2 paths",
    "analyze one.npz --json --out -": "accepted is one of them",
    "analyze one.npz --seed -1": "seed=-1",
    "analyze one.npz two.npz --uncertainty=-3": "uncertainty=-3",
    "scan one.npz two.npz --out t.csv": "one of them at a time",
    "scan one.npz --out t.csv --jobs 0": "n_jobs=0",
    "report one.npz --out r.txt": "accepted endings are .html",
    "report one.npz --out r.csv --compare two.npz": "accepted endings are .html",
    "compare one.npz two.npz --out c.txt": "accepted endings are .csv",
    "compare one.npz two.npz --fail-on strange>0": "'strange>0' was asked",
    "compare one.npz two.npz one.npz --fail-on beyond>0": "were asked of 3 paths",
    "summary one.npz --fail-on odd": "'odd' was asked",
    "summary one.npz two.npz": "one of them at a time",
    "recommend one.npz --target sparsity --set other=1": "other=1 was asked of 'sparsity'",
    "recommend one.npz --target sparsity --set sparsity": "accepted is NAME=VALUE",
    "recommend one.npz --target sparsity --out r.html": "accepted endings are .csv, .json, .yaml, .yml",
    "truncate one.npz --rule erg --plan p.yaml --out new": "accepted is one of them",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_done_is_refused_before_any_work(words, here, capsys, monkeypatch):
    def begun(*_: object, **__: object) -> None:
        raise Work

    for place in (
        *("watcher.WeightWatcher.analyze", "watcher.examine", "scanning.run.scan", "advice.comparing.compare"),
        *("advice.runs.compare_run", "truncation.checkpoints.truncate_checkpoint", "advice.recommend.recommend"),
    ):
        monkeypatch.setattr(f"setol_ww.{place}", begun)
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("setol-ww: ")
    assert REFUSED[words] in err
    assert err.count("\n") == 1
    assert sorted(path.name for path in here.iterdir()) == ["one.npz", "one.setol", "two.npz", "two.setol"]


def test_that_work_would_be_seen(here, monkeypatch):
    """The test above forbids what the same commands do when nothing is wrong."""
    monkeypatch.setattr("setol_ww.watcher.examine", lambda *_, **__: (_ for _ in ()).throw(Work))
    with pytest.raises(Work):
        main(["summary", "one.npz"])


@pytest.mark.parametrize(
    ("words", "spelled"),
    [
        ("analyze a --layers", "analyze a --layers"),
        ("analyze a --layers --quiet", "analyze a --layers --quiet"),
        ("analyze a --layers x y --quiet z", "analyze a --layers=x --layers=y --quiet z"),
        ("analyze a --layers -x", "analyze a --layers=-x"),
        ("analyze a --layers x -h -y", "analyze a --layers=x -h -y"),
        ("analyze a --layers=x -y --jobs 3", "analyze a --layers=x --layers=-y --jobs 3"),
        ("analyze --layers x -- --layers -y", "analyze --layers=x -- --layers -y"),
        ("analyze --layer x -y", "analyze --layer x -y"),
    ],
)
def test_words_behind_layers_may_begin_with_a_minus(words, spelled):
    assert with_minus(words.split()) == spelled.split()
    assert with_minus([]) == []


def test_paths_at_the_end_of_layers_are_paths_in_their_order(here, capsys):
    assert main("analyze --quiet --out both.csv --layers fc3 one.npz two.npz".split()) == 0
    assert ww.read_table("both.csv")["path"].tolist() == ["one.npz", "two.npz"]
    assert main("analyze --quiet --layers one.npz two.npz".split()) == 2
    assert "nothing here is called 'one.npz'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["analyze", "no\x1b[31m.pt"], r"no\x1b[31m.pt"),
        (["bo\x1bgus"], r"bo\x1bgus"),
        (["analyze", "a", "--jobs", "\x07"], r"\x07"),
    ],
)
def test_what_was_asked_is_repeated_without_control_characters(words, shown, capsys):
    try:
        status = main(words)
    except SystemExit as left:
        status = left.code
    err = capsys.readouterr().err
    assert status == 2
    assert shown in err
    assert not set("\x1b\x07") & set(err)


def test_what_the_system_refuses_is_told_with_status_2(here, capsys, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("setol_ww.truncation.checkpoints.truncate_checkpoint", full)
    assert main("truncate one.npz --out small".split()) == 2
    assert capsys.readouterr() == ("", "setol-ww: [Errno 28] No space left on device\n")


def test_options_of_truncate_reach_the_checkpoint(here, monkeypatch):
    seen = []

    def truncated(*told: object, **options: object) -> dict:
        seen.append((*map(str, told), options))
        return {"layers": []}

    monkeypatch.setattr("setol_ww.truncation.checkpoints.truncate_checkpoint", truncated)
    assert main("truncate one.npz --out small --json".split()) == 0
    assert main("truncate one.npz --rule random:2 --seed 7 --layers fc3 --factorised --out s --quiet".split()) == 0
    assert seen == [
        ("one.npz", "small", "erg", "None", {"factorised": False, "seed": 0, "progress": None}),
        ("one.npz", "s", "random:2", "('fc3',)", {"factorised": True, "seed": 7, "progress": False}),
    ]


def test_a_line_of_a_run_that_is_followed_is_seen_at_once(here, monkeypatch):
    leaf, end = os.pipe()
    with os.fdopen(leaf, "rb", buffering=0) as reader, os.fdopen(end, "w", encoding="utf-8") as stream:
        os.set_blocking(leaf, False)

        def watched(*_: object, tell, **__: object):
            tell("step 3")
            assert reader.read() == b"step 3\n"
            raise KeyboardInterrupt

        monkeypatch.setattr("setol_ww.monitor.folder.watch", watched)
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["watch", "."]) == 130


def test_every_answer_that_tells_states_is_in_colour_where_it_is_wanted(here, capsys, monkeypatch):
    for name, rate in (("before", 1), ("after", 32)):
        np.savez(f"{name}.npz", **{"fc2.weight": demo_nets()[rate][0]["fc2.weight"]})
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)
    states = {words: "undetermined" for words in ("analyze one.npz", "scan one.npz --out s.csv", "summary one.setol")}
    states |= {"compare before.npz after.npz --no-update": "undetermined -> ideal", "demo --out nets": "ideal"}
    for colour in ("1", ""):
        monkeypatch.setenv("FORCE_COLOR", colour)
        for words, state in states.items():
            assert main(words.split()) == 0
            assert (f"m{state}\x1b[0m" in capsys.readouterr().out) == bool(colour), words


def test_the_demonstration_in_json_names_its_files_and_is_quiet_when_asked(here, capsys):
    told = answer(capsys, "demo --out nets")
    assert set(told) == {"schema", "files", "rows"}
    assert told["files"] == {
        name: f"nets/{file}"
        for name, file in (("report", "report.html"), ("picture", "nets.png"), ("results", "nets.setol"))
    }
    names = [row["longname"] for row in told["rows"]]
    assert names == [f"{layer} @ x{rate}" for rate in (1, 16, 32) for layer in ("fc1", "fc2", "fc3")]
    assert ww.open_results("nets/nets.setol").about["source"] == "three nets of the demonstration"
    assert main("demo --out nets --quiet".split()) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        *(("scan a", "--out"), ("merge a", "--out"), ("merge --out t.csv", "FILE"), ("report a", "--out")),
        *(("recommend a", "--target"), ("truncate a", "--out"), ("watch", "DIR"), ("completion", "shell")),
        *(("analyze a --engine slow", "slow"), ("recommend a --target rest", "rest"), ("spec --profile x", "'x'")),
        *(("scan a --out b --shard 1-2", "not of the form I/N"), ("scan a --out b --shard 1/", "not of the form I/N")),
        *(("scan a --out b --shard /2", "not of the form I/N"), ("scan a --out b --shard 1/b", "not of the form I/N")),
        *(("watch d --every soon", "soon"), ("spec --seed x", "'x'"), ("analyze a --uncertainty x", "'x'")),
    ],
)
def test_what_a_command_lacks_or_cannot_read_is_named(words, missing, capsys):
    with pytest.raises(SystemExit) as left:
        main(words.split())
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert missing in err
    assert f"see setol-ww {words.split()[0]} --help" in err
