"""What is refused, whatever part of the package refuses it: the type of the error, what was asked, what is accepted."""

from __future__ import annotations

import math
import os
import sqlite3
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

import setol_ww as ww
from fixtures.file_bytes import headed
from setol_ww.advice.budgets import ranks
from setol_ww.cli.main import main
from setol_ww.cli.spec import conform, suite_folder
from setol_ww.core import plain
from setol_ww.linalg.directions import project
from setol_ww.results import codec
from setol_ww.results.export import refuse_unwritable
from setol_ww.results.results import Results
from setol_ww.results.store import _explained
from setol_ww.views.plots.asked import table_of
from setol_ww.watcher.standins import KernelDensity
from spec_tests.product.test_formats import saved


def noise(rows: int = 40, columns: int = 30) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, columns))


def skipped() -> Results:
    """Results of a model of which nothing could be analysed."""
    return ww.examine({"a.weight": np.full((40, 30), np.nan)}, progress=False)


def convolution() -> Results:
    return ww.examine(nn.Sequential(nn.Conv2d(20, 20, 3)), progress=False)


def zero() -> Results:
    return ww.examine({"a.weight": np.zeros((40, 30))}, progress=False)


class Wordy(nn.Module):
    """Answers words, not logits."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(60, 40)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x).long()


def sharded() -> Any:
    """Stands for a tensor of which this process has one part of four."""
    placement = types.SimpleNamespace(is_replicate=lambda: False)
    return types.SimpleNamespace(device_mesh=types.SimpleNamespace(size=lambda: 4), placements=(placement,))


def trapped_model() -> nn.Module:
    model = Wordy()
    with torch.no_grad():
        model.fc.weight[3, 4] = 9.0
    return model


Case = tuple[Callable[[], Any], str]

#: What is asked, and a telling part of the refusal.
ASKED: dict[str, Case] = {
    "a budget below the smallest": (
        lambda: ranks(np.ones(3), np.ones(3), [100] * 3, 5, least=2),
        "a budget of 5 parameters was asked; accepted is one of at least 6, which rank 2 in every layer takes",
    ),
    "advice from nothing": (
        lambda: ww.recommend(skipped(), "sparsity"),
        "advice was asked for 1 rows; accepted are results with a spectrum",
    ),
    "ranks of no linear layer": (
        lambda: ww.recommend(convolution(), "lora-rank"),
        "ranks of adapters were asked; accepted are results with a linear layer",
    ),
    "ranks of no spectrum": (
        lambda: ww.recommend(zero(), "truncate"),
        "ranks were asked; accepted are results with a layer whose spectrum is defined",
    ),
    "traps of a model without logits": (
        lambda: ww.trap_effect(trapped_model()),
        "trap_effect of Wordy was asked; it answers no logits, accepted is a model that returns a tensor",
    ),
    "comparison with a vector": (
        lambda: ww.compare({"a": np.ones(3)}, {"a": np.ones((30, 30))}),
        "this one holds no weight of two or more dimensions",
    ),
    "part of a distributed tensor": (
        lambda: plain._local(sharded()),
        "a DTensor sharded over 4 processes was given, of which this one has a part; accepted is the whole",
    ),
    "projection of too high a rank": (
        lambda: project(noise(), 31),
        "rank=31 was asked; accepted is an integer from 0 to 30",
    ),
    "projection of a negative rank": (lambda: project(noise(), -1), "rank=-1 was asked; accepted is an integer"),
    "projection of what is not finite": (
        lambda: project(np.full((3, 3), np.inf), 1),
        "a matrix with entries that are not finite was given; accepted is a finite one",
    ),
    "free Cauchy on the real line": (
        lambda: ww.laws.FreeCauchy(0.0, 1.0).stieltjes(1.0),
        "at z=1.0 was asked; accepted are z with a positive imaginary part",
    ),
    "a power law inside its support": (
        lambda: ww.laws.TruncatedPowerLaw(2.0, 1.0, 9.0).stieltjes(4.0),
        "accepted are points off the support",
    ),
    "a Wishart product of nothing": (
        lambda: ww.laws.MultiplicativeWishart(0.0, 1.0),
        "accepted are epsilon > 0 and phi > 0",
    ),
    "a Wishart product of no shape": (
        lambda: ww.laws.MultiplicativeWishart(1.0, 0.0),
        "accepted are epsilon > 0 and phi > 0",
    ),
    "truncation of vectors": (
        lambda: ww.truncate({"a": torch.ones(3)}, "rank:1"),
        "truncating dict was asked; it holds no weight of two or more dimensions",
    ),
    "a plan of nothing": (
        lambda: ww.truncate(nn.Linear(30, 20), {}),
        "rule={} was asked; accepted is a mapping of names of layers to rules",
    ),
    "a plan of numbers": (
        lambda: ww.truncate(nn.Linear(30, 20), {1: "erg"}),
        "rule={1: 'erg'} was asked; accepted is a mapping of names of layers to rules",
    ),
    "a picture of several tables": (
        lambda: table_of([1, 2]),
        "accepted are Results, as setol_ww.examine and setol_ww.open_results give them",
    ),
    "one of several pictures": (lambda: table_of([1, 2]), "; several models are several arguments"),
    "layouts where layers are combined": (
        lambda: ww.analyze(nn.Linear(60, 40), stacked=True, layouts={"weight": "dense"}),
        "layouts={'weight': 'dense'} was asked where weightwatcher combines layers by itself",
    ),
    "too many arguments": (
        lambda: ww.WeightWatcher(nn.Linear(60, 40)).analyze(*[None] * 80),
        "the arguments do not fit (too many positional arguments); accepted are, in this order, ['model'",
    ),
    "a layer that is not finite": (
        lambda: ww.WeightWatcher({"a.weight": np.full((40, 30), np.nan)}).get_ESD(layer="a"),
        "the eigenvalues of layer 'a' were asked; it has 1200 NaN and 0 Inf among its 1200 entries",
    ),
    "dense of a tensor of three axes": (
        lambda: ww.analyze({"a.weight": np.ones((2, 30, 20))}, layouts={"a.weight": "dense"}),
        "dense for a tensor of two axes",
    ),
    "dense with words": (
        lambda: ww.analyze({"a.weight": noise()}, layouts={"a.weight": "dense:3"}),
        "dense for a tensor of two axes",
    ),
    "gates that do not divide the rows": (
        lambda: ww.analyze({"a.weight": noise(41)}, layouts={"a.weight": "gates:3"}),
        "gates:3 or gates:4, whose number divides the rows",
    ),
    "five gates": (
        lambda: ww.analyze({"a.weight": noise()}, layouts={"a.weight": "gates:5"}),
        "gates:3 or gates:4, whose number divides the rows",
    ),
    "skip with words": (
        lambda: ww.analyze({"a.weight": noise()}, layouts={"a.weight": "skip:this"}),
        "the layout 'skip:this' was asked for a.weight of shape 40 x 30; accepted is skip",
    ),
}


@pytest.mark.parametrize("name", ASKED)
def test_misuse_says_what_was_asked_and_what_is_accepted(name):
    call, said = ASKED[name]
    with pytest.raises(ww.InvalidInput) as caught:
        call()
    assert said in str(caught.value)


@pytest.fixture
def net(tmp_path) -> str:
    np.savez(tmp_path / "net.npz", fc1=noise(), fc2=noise(50, 40))
    return str(tmp_path / "net.npz")


#: Words of a command line, and a telling part of what it says on standard error; NET is a file of weights.
COMMANDS = {
    "no path": ("analyze", "a PATH is needed: a file of weights or a folder of them, before the options"),
    "a store of several": (
        "analyze NET NET --out a.setol",
        "--out a.setol was asked of 2 paths; accepted are .csv",
    ),
    "two paths of one": ("scan NET NET --out a.csv", "accepted is one of them at a time"),
    "a rule of several": ("compare NET NET NET --json", "--fail-on and --json were asked of 3 paths; accepted are two"),
    "a plan that is not there": (
        "truncate NET --plan no.yaml --out x",
        "the plan no.yaml was asked; it cannot be read",
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_was_asked_and_what_is_accepted(name, net, tmp_path, monkeypatch, capsys):
    words, said = COMMANDS[name]
    monkeypatch.chdir(tmp_path)
    assert main(words.replace("NET", net).split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


@pytest.mark.parametrize("words", ["analyze NET --out a.csv", "compare NET NET --out a.csv"])
def test_a_table_that_could_not_be_written_at_the_end(words, net, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with mock.patch("os.replace", side_effect=OSError(28, "No space left on device")):
        assert main([*words.replace("NET", net).split(), "--quiet"]) == 2
    assert "--out a.csv was asked; it cannot be written: [Errno 28] No space left on device" in capsys.readouterr().err


def test_what_is_not_installed_is_named(monkeypatch, capsys):
    import sys

    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert "pip install 'setol-ww[completion]'" in capsys.readouterr().err
    monkeypatch.setattr("setol_ww.cli.spec.find_spec", lambda name: None)
    with pytest.raises(ww.InvalidInput, match=r"the spec was asked; it needs pytest, .*pip install 'setol-ww\[spec\]'"):
        conform("setol_ww", "ci", [], None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ww.InvalidInput, match=r"a\.parquet was asked; it needs another package: pip install pya"):
        refuse_unwritable("--out", Path("a.parquet"))


def test_a_suite_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("setol_ww.cli.spec.__file__", str(tmp_path / "a" / "b" / "spec.py"))
    with pytest.raises(ww.InvalidInput, match=r"its suite is neither in .* nor beside the package"):
        suite_folder()


def test_a_place_that_takes_no_file(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(ww.InvalidInput, match=r"a\.csv was asked; it cannot be written: it is a folder"):
        refuse_unwritable("--out", tmp_path / "a.csv")
    with (
        mock.patch("os.access", return_value=False),
        pytest.raises(ww.InvalidInput, match="its folder takes no files"),
    ):
        refuse_unwritable("--out", tmp_path / "b.csv")


@pytest.mark.parametrize(
    ("error", "there", "said"),
    [
        ("attempt to write a readonly database", False, "another process finished it and removed it meanwhile"),
        ("attempt to write a readonly database", True, "it cannot be written: attempt to write a readonly database"),
        ("unable to open database file", True, "it cannot be written: unable to open database file"),
        ("database is locked", True, "another process is writing to it"),
        ("file is not a database", True, "it is no results file: file is not a database"),
    ],
)
def test_what_sqlite_says_in_words(tmp_path, error, there, said):
    path = tmp_path / "a.setol"
    if there:
        path.touch()
    with pytest.raises(ww.InvalidInput) as caught, _explained(path):
        raise sqlite3.OperationalError(error)
    assert str(caught.value) == f"the results file {path} was asked; {said}"


def test_a_value_of_a_newer_version_is_not_guessed():
    head = {codec.TAG: "quaternion", "of": [1, 2, 3, 4]}
    with pytest.raises(codec.Undecodable, match="it holds a value called 'quaternion': a newer version"):
        codec._value(head, memoryview(b""))


def test_a_density_of_what_is_not_finite():
    with pytest.raises(ValueError, match="the kernel 'gaussian' was asked; accepted is 'linear'"):
        KernelDensity("gaussian", 1.0)
    for points in (np.empty((0, 1)), np.array([[math.nan]])):
        with pytest.raises(ValueError, match="no density of no points, or of points that are not finite"):
            KernelDensity("linear", 1.0).fit(points)
    with pytest.raises(ValueError, match="no density where x is not finite"):
        KernelDensity("linear", 1.0).fit(np.ones((3, 1))).score_samples(np.array([[math.inf]]))


def test_a_layer_whose_bytes_are_not_there(tmp_path):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    path = saved(tmp_path / "h.npy", headed(header, bytes(36)))
    with pytest.raises(ww.InvalidInput, match=r"the layer 'h' was asked; layer h: not loaded, .*h\.npy: bytes 81"):
        ww.WeightWatcher(path).get_ESD(layer=1)


def test_a_name_that_the_package_has_not():
    with pytest.raises(AttributeError, match="module 'setol_ww' has no attribute 'analyse'"):
        ww.analyse  # noqa: B018


def test_a_file_that_may_not_be_looked_at(tmp_path, monkeypatch):
    def stat(self: Path, **_: Any) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", stat)
    with pytest.raises(ww.UnreadableCheckpoint, match=r"net\.safetensors: Permission denied"):
        ww.scan(tmp_path / "net.safetensors")
