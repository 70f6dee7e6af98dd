"""Chapter 14: the command line as it is used: on a terminal (a real pseudo-terminal), in a pipe, from a shell."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import importlib.util
import json
import os
import pty
import re
import select
import shlex
import shutil
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tqdm.notebook import tqdm_notebook

import setol_ww as ww
from setol_ww.cli.asking import with_minus
from setol_ww.cli.completion import SHELLS, completion_of
from setol_ww.cli.demo import demo_nets
from setol_ww.cli.main import main, parser
from setol_ww.core import progress
from setol_ww.core.printable import cells
from setol_ww.core.progress import in_notebook, progress_bar

PAINT = re.compile(r"\x1b\[\d*m")
RUN = [sys.executable, "-m", "setol_ww"]
# These answer with something else than an analysis; each has a test of its own.
WITHOUT_JSON = {"completion", "watch", "report"}


@pytest.fixture(scope="module")
def net(tmp_path_factory) -> str:
    """The demonstration's net at 32 times the rate: ideal and undetermined layers."""
    path = tmp_path_factory.mktemp("net") / "net32.npz"
    np.savez(path, **demo_nets()[32][0])
    return str(path)


@pytest.fixture(scope="module")
def kept(net) -> str:
    """Its results."""
    path = net.replace(".npz", ".setol")
    ww.examine(net, progress=False).save(path)
    return path


def environment(**told: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    return {**kept, "TERM": "xterm-256color", **told}


def on_terminal(words: list[str], columns: int = 100, typed: bytes = b"", **told: str) -> str:
    """What a process writes to a terminal of so many columns."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with subprocess.Popen(words, stdin=follower, stdout=follower, stderr=follower, env=environment(**told)) as process:
        os.close(follower)
        if typed:
            os.write(leader, typed)
        shown = b""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            if not select.select([leader], [], [], 0.5)[0]:
                continue
            try:
                part = os.read(leader, 65536)
            except OSError:
                # Linux says so when the last one has closed the other side.
                break
            if not part:
                break
            shown += part
        process.wait(timeout=20)
    os.close(leader)
    return shown.decode().replace("\r\n", "\n")


def in_pipe(words: list[str], **told: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, env=environment(**told), timeout=120, check=False)


@pytest.mark.parametrize("columns", [70, 160])
def test_a_terminal_has_colour_and_lines_that_fit(net, columns, tmp_path):
    shown = on_terminal([*RUN, "scan", net, "--out", str(tmp_path / "a.csv")], columns)
    assert "\x1b[32mideal\x1b[0m" in shown
    assert "\x1b[33mundetermined\x1b[0m" in shown
    # The last line has the path of the table, which is not broken.
    lines = PAINT.sub("", shown).replace("\r", "\n").strip().split("\n")[:-1]
    assert max(map(cells, lines)) <= columns
    assert max(map(cells, lines)) > columns - 30


def test_no_color_on_a_terminal(kept):
    shown = on_terminal([*RUN, "summary", kept], NO_COLOR="1")
    assert "2 ideal" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("told", "coloured"), [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)]
)
def test_a_pipe_has_colour_only_where_it_is_forced(kept, told, coloured, capsys, monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert main(["summary", kept]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert ("\x1b[32mideal\x1b[0m" in out) is coloured
    assert "\x1b" not in PAINT.sub("", out)


LONG = (
    "from setol_ww.core.progress import progress_bar\n"
    "with progress_bar(3, 'layers', PROGRESS) as bar:\n"
    "    for _ in range(3):\n"
    "        bar.update()\n"
    "import threading; assert threading.active_count() == 1\n"
)


def test_a_bar_moves_on_a_terminal():
    shown = on_terminal([sys.executable, "-W", "error", "-c", LONG.replace("PROGRESS", "True")], 80)
    assert "3/3" in shown
    assert "\r" in shown
    assert max(map(cells, PAINT.sub("", shown).replace("\r", "\n").split("\n"))) <= 80


@pytest.mark.parametrize("delay", [0, 0.3, 60])
def test_a_bar_that_is_told_leaves_a_line_of_its_own_or_none(delay):
    work = (
        f"import time; from setol_ww.core import progress; progress.DELAY = {delay}\n"
        "with progress.progress_bar(2, 'layers', None, form=progress.LINE) as bar:\n"
        "    for word in ('one', 'two'):\n"
        "        time.sleep(0.2); bar.update(); bar.tell(word)\n"
        "print('next')\n"
    )
    shown = on_terminal([sys.executable, "-W", "error", "-c", work])
    assert shown.split("\n")[-2].split("\r")[-1] == "next"
    assert ("two" in shown) == (delay < 1)


def test_short_work_has_no_bar_on_a_terminal():
    # Of two seconds a machine at work may lose as many.
    later = "from setol_ww.core import progress; progress.DELAY *= 30\n"
    assert on_terminal([sys.executable, "-W", "error", "-c", later + LONG.replace("PROGRESS", "None")]) == ""


@pytest.mark.parametrize(("progress", "lines"), [("None", 0), ("False", 0), ("True", 2)])
def test_a_pipe_has_lines_or_nothing(progress, lines):
    done = in_pipe([sys.executable, "-W", "error", "-c", LONG.replace("PROGRESS", progress)])
    assert (done.returncode, done.stdout) == (0, "")
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", done.stderr)
    assert len(done.stderr.splitlines()) == lines
    if lines:
        assert done.stderr.splitlines()[-1].startswith("layers: 3 of 3 in ")


def test_bars_in_one_another_leave_no_control_characters_in_a_pipe(capsys):
    with progress_bar(2, "outer", True) as outer:
        with progress_bar(2, "inner", True, leave=False) as inner:
            inner.update(2)
        outer.update(2)
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", capsys.readouterr().err)


def test_without_a_standard_error_there_is_no_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with progress_bar(1, "layers", True) as bar:
        bar.update()
    assert not in_notebook()


def commands() -> dict[str, argparse.ArgumentParser]:
    root = parser()
    return dict(zip(sorted(_names(root)), (_names(root)[name] for name in sorted(_names(root)))))


def _names(root: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return next(dict(action.choices) for action in root._actions if isinstance(action, argparse._SubParsersAction))


@pytest.mark.parametrize("name", commands())
def test_help_has_an_example_that_parses(name, capsys):
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    examples = [line.partition("#")[0].strip() for line in said.split("example")[-1].split("\n")]
    examples = [line for line in examples if line.startswith("setol-ww ")]
    words = [shlex.split(line.partition(" > ")[0])[1:] for line in examples]
    assert name in {parser().parse_args(with_minus(one)).command for one in words}


@pytest.mark.parametrize("name", sorted(set(commands()) - WITHOUT_JSON))
def test_every_command_can_be_quiet_and_can_answer_in_json(name):
    flags = {flag for action in commands()[name]._actions for flag in action.option_strings}
    assert {"--quiet", "--json"} <= flags


def asked_of(net: str, folder: Path) -> dict[str, list[str]]:
    shard = str(folder / "shard.setol")
    assert main(["scan", net, "--out", shard, "--quiet"]) == 0
    return {
        "analyze": ["analyze", net],
        "scan": ["scan", net, "--out", str(folder / "scan.csv"), "--no-resume"],
        "merge": ["merge", shard, "--out", str(folder / "merged.csv")],
        "summary": ["summary", net],
        "compare": ["compare", shard, shard],
        "recommend": ["recommend", shard, "--target", "sparsity"],
        "truncate": ["truncate", net, "--rule", "rank:3", "--out", str(folder / "small")],
        "spec": ["spec", "--only", "ERG-01"],
    }


def test_one_answer_in_json_or_none(net, tmp_path, capsys):
    for name, words in asked_of(net, tmp_path).items():
        capsys.readouterr()
        assert main([*words, "--json"]) == 0, name
        out, err = capsys.readouterr()
        told = json.loads(out, parse_constant=pytest.fail)
        assert told["schema"] == 1, name
        assert err == "", name
        if name == "truncate":
            words[-1] += "er"
        assert main([*words, "--quiet"]) == 0, name
        assert capsys.readouterr() == ("", ""), name


class Screen:
    """Standard output and error of this process on a pseudo-terminal each, and what comes to stand there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: dict[str, bytes] = {}
        self.streams, self.threads = [], []
        for name in ("stdout", "stderr"):
            leader, follower = pty.openpty()
            fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
            stream = os.fdopen(follower, "w", encoding="utf-8")
            monkeypatch.setattr(sys, name, stream)
            self.streams.append(stream)
            self.threads.append(threading.Thread(target=self.read, args=(name, leader)))
            self.threads[-1].start()

    def read(self, name: str, leader: int) -> None:
        self.shown[name] = b""
        with os.fdopen(leader, "rb", buffering=0) as file, contextlib.suppress(OSError):
            while part := file.read(65536):
                self.shown[name] += part

    def closed(self) -> tuple[str, str]:
        for stream in self.streams:
            stream.close()
        for thread in self.threads:
            thread.join(60)
        return tuple(self.shown[name].decode().replace("\r\n", "\n") for name in ("stdout", "stderr"))


def on_screen(words: list[str]) -> tuple[str, str]:
    with pytest.MonkeyPatch.context() as patched:
        screen = Screen(patched)
        try:
            assert main(words) == 0
        finally:
            shown = screen.closed()
    return shown


#: Commands that tell states and classes.
COLOURED = {"analyze", "scan", "summary"}


@pytest.mark.parametrize("told", ["", "NO_COLOR"])
def test_every_command_on_a_terminal(told, net, tmp_path, monkeypatch):
    """Words in colour where it tells states, no bar for short work; JSON is JSON there too, and quiet is quiet."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    if told:
        monkeypatch.setenv(told, "1")
    for name, words in asked_of(net, tmp_path).items():
        if name == "truncate":
            words[-1] += "".join(("er", told))
        out, err = on_screen(words)
        assert out.strip(), name
        assert err == "", name
        assert ("\x1b[" in out) == (name in COLOURED and not told), name
        if told:
            continue
        words[-1] += "-again" if name == "truncate" else ""
        out, err = on_screen([*words, "--json"])
        assert json.loads(out)["schema"] == 1, name
        assert err == "", name
        words[-1] += "-quiet" if name == "truncate" else ""
        assert on_screen([*words, "--quiet"]) == ("", ""), name


@pytest.mark.parametrize("words", [["analyze"], ["scan", "--out", "OUT"]])
def test_long_work_has_a_bar_on_a_terminal_which_quiet_lacks(words, net, tmp_path, monkeypatch):
    monkeypatch.setattr("setol_ww.core.progress.DELAY", 0.0)
    asked = [words[0], net, *(str(tmp_path / "a.csv") if word == "OUT" else word for word in words[1:])]
    out, err = on_screen(asked)
    assert "3/3" in err or "3 of 3" in err
    assert "\r" in err
    assert "3/3" not in out
    again = ["--no-resume"] if words[0] == "scan" else []
    assert on_screen([*asked, *again, "--quiet"]) == ("", "")
    assert json.loads(on_screen([*asked, *again, "--json"])[0])["schema"] == 1


def test_json_of_several_is_a_list_in_their_order(net, tmp_path, capsys):
    other = str(tmp_path / "other.npz")
    np.savez(other, **demo_nets()[1][0])
    assert main(["analyze", other, net, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["path"] for one in told] == [other, net]
    assert [len(one["rows"]) for one in told] == [3, 3]
    assert told[1]["rows"][0]["tail_alpha"] == ww.analyze(net, progress=False)["tail_alpha"][0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bogus"], "choose from 'analyze'"),
        ([], "setol-ww --help"),
        (["analyze", "net.npz", "--jobs", "many"], "setol-ww analyze --help"),
        (["analyze", "no-such-file.pt"], "no-such-file.pt"),
        (["analyze", "NET", "--json", "--out", "-"], "accepted is one of them"),
        (["analyze", "NET", "--layers", "fc9"], "Accepted are names (fc3, fc2, fc1)"),
        (["scan", "NET", "--out", "a.xyz"], "accepted endings are .csv"),
        (["summary", "layers.csv"], "it has no spectra. Accepted are weights, and a .setol file"),
        (["summary", "NET", "--fail-on", "odd>1"], "one of >= <= == != > <"),
        (["truncate", "NET", "--rule", "odd", "--out", "x"], "erg"),
        (["merge", "nothing.setol", "--out", "a.csv"], "nothing.setol"),
        (["completion", "ksh"], "'bash', 'zsh', 'fish'"),
    ],
)
def test_an_error_is_one_line_with_the_way_out(words, said, net, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        status = main([net if word == "NET" else word for word in words])
    except SystemExit as left:
        status = left.code
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith("setol-ww")
    assert err.count("\n") == 1
    assert said in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["--layers", "-fc1"], ["--layers=-fc1"], ["--layers", "dense", "-fc1"]])
def test_a_layer_left_out_behind_a_minus(words, net, capsys):
    assert main(["analyze", net, *words, "--json"]) == 0
    assert [row["longname"] for row in json.loads(capsys.readouterr().out)["rows"]] == ["fc2", "fc3"]


@pytest.mark.parametrize("shell", SHELLS)
def test_completions_know_every_command(shell):
    said = completion_of(parser(), shell)
    assert all(name in said for name in commands())
    assert "randomize" in said


def test_every_path_is_completed_with_files_and_every_folder_with_folders():
    shtab = pytest.importorskip("shtab")
    root = parser()
    completion_of(root, "zsh")
    found = {
        name: {action.dest: action.complete for action in one._actions if hasattr(action, "complete")}
        for name, one in _names(root).items()
    }
    files = {
        "analyze": "paths out", "scan": "paths out", "merge": "results out", "summary": "paths",
        "report": "paths out compare", "compare": "paths out", "recommend": "paths out", "watch": "out",
        "truncate": "paths plan", "spec": "out", "demo": "", "completion": "",
    }  # fmt: skip
    expected = {name: dict.fromkeys(words.split(), shtab.FILE) for name, words in files.items()}
    for name, word in {"watch": "folder", "truncate": "out", "demo": "out"}.items():
        expected[name][word] = shtab.DIRECTORY
    assert found == expected


def completed(shell: str, line: str, script: Path) -> str:
    """What a real shell makes of a line with the key of completion behind it."""
    if shell == "fish":
        return in_pipe(["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"]).stdout
    start = {
        "bash": ["bash", "--noprofile", "--norc", "-i"],
        "zsh": ["zsh", "-f", "-i"],
    }[shell]
    folder = f"fpath=({script.parent} $fpath); autoload -Uz compinit; compinit -u -D\n"
    load = f"source {script}\n" if shell == "bash" else folder
    typed = (
        f'PS1=; setol-ww() {{ print_words "$@"; }}; print_words() {{ printf \'<%s>\' "$@"; }}\n{load}{line}\t\nexit\n'
    )
    return on_terminal(start, 200, typed.encode(), INPUTRC="/dev/null")


@pytest.mark.parametrize(
    ("line", "word"),
    [("setol-ww su", "summary"), ("setol-ww analyze --rando", "--randomize"), ("setol-ww spec --profile d", "de")],
)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes(shell, line, word, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "_setol-ww"
    script.write_text(completion_of(parser(), shell), encoding="utf-8")
    shown = completed(shell, line, script)
    assert f"<{word}>" in shown if shell != "fish" else word in shown


@pytest.mark.parametrize("there", [True, False])
def test_a_notebook_without_widgets_has_a_bar_of_text(there, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: there or None)
    assert (progress._widget() is progress._Bar) == (not there)
    assert issubclass(progress._widget(), tqdm_notebook if there else progress._Bar)
