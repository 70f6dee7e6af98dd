"""A user's files before mypy and pyright: right use passes, each wrong use is reported on its line.

`tox -e types` runs this against the wheel, with both tools for certain.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import setol_ww as ww

HOME = Path(ww.__file__).parents[1]
INSTALLED = HOME.name == "site-packages"
TOOLS = ("mypy", "pyright")

RIGHT = """
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from typing_extensions import assert_type

import setol_ww as ww

W = np.random.default_rng(0).normal(size=(60, 40))
net = torch.nn.Sequential(torch.nn.Linear(60, 40))

spectrum = ww.Spectrum.from_matrix(W)
assert_type(spectrum, ww.Spectrum)
assert_type(ww.Spectrum.from_eigenvalues([1.0, 2.0]), ww.Spectrum)
tail, erg, bulk = ww.fit_tail(spectrum), ww.erg_cut(spectrum), ww.fit_bulk(spectrum)
assert_type(tail.alpha, float)
assert_type(tail.rank, int)
assert_type(erg, ww.ErgCut)
assert_type(erg.rank, int)
assert_type(bulk.spikes, int)
assert_type(ww.quality(spectrum, tail, erg), ww.Quality)
assert_type(ww.fit_submatrices(W, Q=2.0).alpha, float)

layer = ww.analyze_matrix(W, ww.Settings(quality=False))
assert_type(layer, ww.LayerResult)
assert_type(layer.quality, ww.Quality | None)
assert_type(layer.universality.universality_class, ww.UniversalityClass)
assert_type(layer.verdict.state, ww.State)

traps = ww.find_traps(W, seed=3)
assert_type(traps, ww.TrapReport)
assert_type(traps.count, int)
assert_type(ww.plots.esd(ww.analyze_matrix(W).with_traps(traps), scale="log-lin"), Axes)
assert_type(ww.remove_traps(W, traps).shape, tuple[Any, ...])
assert_type(ww.remove_traps(torch.zeros(60, 40)), torch.Tensor)

assert_type(ww.truncate(net, "erg"), torch.nn.Sequential)
with ww.truncated(net, "rank:3") as cuts:
    assert_type(cuts, list[ww.LayerCut])
assert_type(ww.truncate_checkpoint("model.npz", Path("out"), factorised=True), dict[str, Any])
curve: pd.DataFrame = ww.truncation_curve(net, lambda model: {"error": 0.1})
costs: pd.DataFrame = ww.evaluate_truncation(net, lambda model: 0.1, rules=["erg"])

table: pd.DataFrame = ww.analyze(net, randomize=True)
table = ww.scan(Path("model.safetensors"), n_jobs=2, layers=["dense"])
table = ww.merge_scans(["a.sqlite", "b.sqlite"])
watcher = ww.WeightWatcher(net)
table = watcher.analyze(detX=True, engine="fast")

found = ww.compare(net, {"0.weight": W.T}, uncertainty=20, update=False)
assert_type(found, ww.Comparison)
changes: pd.DataFrame = found.table(uncertainty=20)
left_out: pd.DataFrame = found.unmatched
found.report(Path("changes.html"))
run: pd.DataFrame = ww.compare_run(["a.pt", Path("b.pt")], steps=[0, 100])

assert_type(ww.transforms.r_transform(1.0, [1.0, 2.0]), float)
assert_type(ww.transforms.r_transform(W, [1.0, 2.0]), NDArray[np.float64])
assert_type(ww.transforms.stieltjes(1j, [1.0, 2.0]), complex)
assert_type(ww.laws.MarchenkoPastur(0.5).moment(2), float)
assert_type(ww.Outcome.FLAT.sentence, str)
assert_type(ww.__version__, str)
try:
    pass
except (ww.InvalidInput, ww.UnreadableCheckpoint):
    pass
"""

WRONG = """
import numpy as np
import torch

import setol_ww as ww

W = np.random.default_rng(0).normal(size=(60, 40))
net = torch.nn.Linear(60, 40)
spectrum = ww.Spectrum.from_matrix(W)
ww.analyse(net)  # wrong
ww.find_traps(W, seed="x")  # wrong
ww.plots.esd(W)  # wrong
ww.scan(1)  # wrong
ww.scan("model.npz", jobs=2)  # wrong
ww.scan("model.npz", shard=3)  # wrong
ww.fit_tail(W)  # wrong
ww.fit_tail(spectrum).exponent  # wrong
ww.erg_cut(spectrum).rank.upper()  # wrong
ww.quality(spectrum)  # wrong
ww.analyze_matrix(W, {"quality": False})  # wrong
ww.truncate(net, seed="0")  # wrong
ww.truncate_checkpoint(3, "out")  # wrong
ww.evaluate_truncation(net, 0.5)  # wrong
ww.fit_submatrices(W, Q="2")  # wrong
ww.transforms.no_such_transform  # wrong
ww.laws.MarchenkoPastur("half")  # wrong
ww.WeightWatcher(net).analyze(seed="x")  # wrong
ww.contracts  # wrong
"""


@pytest.fixture(scope="module", params=TOOLS)
def errors(request, tmp_path_factory) -> dict[str, dict[int, str]]:
    """Lines with errors of both files, by file; each tool reads them as a user's project."""
    tool = request.param
    if find_spec(tool) is None:
        pytest.skip(f"{tool} is needed and not installed here; tox -e types has it")
    folder = tmp_path_factory.mktemp(tool)
    for name, text in (("right.py", RIGHT), ("wrong.py", WRONG)):
        (folder / name).write_text(text, encoding="utf-8")
    # An editable install is invisible to both: the checkout is named to them. A wheel they find by themselves.
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    if tool == "mypy":
        environment |= {} if INSTALLED else {"MYPYPATH": str(HOME)}
        options = ["--strict", "--ignore-missing-imports", "--config-file=", "--cache-dir=cache"]
    else:
        found = {} if INSTALLED else {"extraPaths": [str(HOME)]}
        (folder / "pyrightconfig.json").write_text(json.dumps(found), encoding="utf-8")
        options = ["--outputjson", f"--pythonpath={sys.executable}"]
    ran = subprocess.run(
        [sys.executable, "-m", tool, *options, *(["--follow-imports=silent"] if tool == "mypy" else [])]
        + ["right.py", "wrong.py"],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
    )
    return {"mypy": _of_mypy, "pyright": _of_pyright}[tool](ran.stdout, ran.stderr)


def _of_mypy(said: str, complained: str) -> dict[str, dict[int, str]]:
    assert re.search(r"^(Found \d+ error|Success)", said, re.MULTILINE), said + complained
    lines: dict[str, dict[int, str]] = {"right.py": {}, "wrong.py": {}}
    for file, line, message in re.findall(r"^(\S+):(\d+): error: (.*)$", said, re.MULTILINE):
        lines[file][int(line)] = message
    return lines


def _of_pyright(said: str, complained: str) -> dict[str, dict[int, str]]:
    assert said.lstrip().startswith("{"), said + complained
    lines: dict[str, dict[int, str]] = {"right.py": {}, "wrong.py": {}}
    for found in json.loads(said)["generalDiagnostics"]:
        if found["severity"] == "error":
            lines[Path(found["file"]).name][found["range"]["start"]["line"] + 1] = found["message"]
    return lines


def test_right_use_passes(errors):
    assert errors["right.py"] == {}


def test_wrong_use_is_reported_on_its_line(errors):
    wrong = {number for number, line in enumerate(WRONG.splitlines(), start=1) if line.endswith("# wrong")}
    assert len(wrong) > 15
    assert set(errors["wrong.py"]) == wrong
    first = errors["wrong.py"][min(wrong)]
    assert "analyse" in first or "attribute" in first
