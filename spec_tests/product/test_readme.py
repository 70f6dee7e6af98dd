"""The README: one page, its picture near the top and of a real analysis, every command on it run by the program's own
entry on real files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from safetensors.numpy import save_file

from setol_ww.cli.demo import demo_nets
from spec_tests.conftest import ROOT
from spec_tests.kept_scripts import load_script
from spec_tests.page_runner import blocks, commands, expected_status, run_python, words

PAGE = (ROOT / "README.md").read_text(encoding="utf-8")
ENTRY = Path(sys.executable).with_name("setol-ww")
LINES = commands(PAGE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A trained net under the name that the page gives it."""
    made = tmp_path_factory.mktemp("readme")
    save_file(demo_nets()[32][0], made / "model.safetensors")
    return made


def test_it_is_one_page_with_a_picture_near_its_top():
    lines = PAGE.splitlines()
    assert len(lines) <= 90
    (picture,) = [number for number, line in enumerate(lines) if line.startswith("![")]
    assert picture < 10


def test_the_picture_is_of_the_demonstration():
    kept = pd.read_csv(ROOT / "docs" / "figures" / "readme.csv")
    pd.testing.assert_frame_equal(kept, load_script("make_readme_picture").table(), rtol=1e-6, atol=1e-9)


def test_the_page_has_commands_and_the_one_that_ci_runs():
    assert len(LINES) >= 4
    assert [line for line in LINES if line.endswith("setol-ww demo")]
    install = [line for line in blocks(PAGE, "")[0].splitlines() if line.endswith("&& .venv/bin/tox")]
    assert len(install) == 1
    assert "grep -m 1 '&& .venv/bin/tox$' README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("line", LINES)
def test_a_command_runs(folder, line):
    if not ENTRY.is_file():
        pytest.skip("setol-ww is not installed beside this Python")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [ENTRY, *words(line)], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode in {0, expected_status(line)}, done.stderr
    assert done.stdout.strip()


def test_a_rule_that_holds_ends_as_the_page_says(folder):
    (line,) = [line for line in LINES if "--fail-on" in line]
    assert expected_status(line) == 3
    asked = [word.replace("over-regularized>3", "ideal>1") for word in words(line)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-m", "setol_ww", *asked], cwd=folder, env=environment, capture_output=True)
    assert done.returncode == 3


def test_the_python_of_the_page_runs(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    said = run_python(PAGE, {}, "README.md")
    assert said["details"]["setol_state"].tolist() == ["ideal", "ideal", "undetermined"]
    assert "3 of 3 rows analysed" in capsys.readouterr().out
