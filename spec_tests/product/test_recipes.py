"""The extensions of CONTRIBUTING.md, as they stand there: each is one entry or file and works everywhere at once."""

from __future__ import annotations

import ast
import re
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from scipy.integrate import quad

import setol_ww as ww
from fixtures import free_probability
from fixtures.oracles import singular_value_squares
from setol_ww.cli.main import main
from setol_ww.formats import reader, registry
from setol_ww.layer import columns
from setol_ww.truncation import rules
from setol_ww.weights.layouts import registry as layouts
from spec_tests.conftest import ROOT

EXTENSIONS = ["A column", "A layout", "A format", "A truncation rule", "A law"]


def recipe(title: str) -> str:
    """The code below a heading."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    _, _, after = page.partition(f"\n### {title}\n")
    section = re.split(r"^##", after, maxsplit=1, flags=re.MULTILINE)[0]
    (code,) = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return code


def test_the_page_names_the_five():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (.*)$", page.partition("## Five extensions")[2], re.MULTILINE) == EXTENSIONS


def draw(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, columns)) ** 3


def test_a_column(monkeypatch, tmp_path):
    """In analyze, in a scan, in the page, NaN where nothing is defined."""
    code = recipe("A column")
    (entry,) = ast.parse(code).body
    assert isinstance(entry, ast.Expr), "the recipe is one entry"
    column = eval(compile(ast.Expression(entry.value), "CONTRIBUTING.md", "eval"), vars(columns))
    monkeypatch.setattr(columns, "COLUMNS", (*columns.COLUMNS, column))
    weights = {"fc.weight": draw(60, 40), "zero.weight": np.zeros((30, 20))}
    np.savez(tmp_path / "net.npz", **weights)
    truth = singular_value_squares(weights["fc.weight"])
    for frame in (ww.analyze(weights), ww.scan(tmp_path / "net.npz")):
        row, zero = (frame[frame["longname"] == name].iloc[0] for name in ("fc", "zero"))
        assert row["erg_energy"] == pytest.approx(truth[-int(row["erg_rank"]) :].sum() / truth.sum(), rel=1e-10)
        assert np.isnan(zero["erg_energy"])
    assert "erg_energy" not in ww.analyze(weights, detX=False)
    assert "| `erg_energy` |" in columns.as_markdown()


class GatedLinear(torch.nn.Linear):
    """A class that only the recipe knows."""


def test_a_layout(monkeypatch, tmp_path):
    """Known by its module, asked for in a file, cut by a truncation, refused where it does not fit."""
    namespace = {"__name__": "setol_ww.weights.layouts.gated", "__package__": "setol_ww.weights.layouts"}
    exec(compile("from __future__ import annotations\n" + recipe("A layout"), "CONTRIBUTING.md", "exec"), namespace)
    known = sorted([*layouts.layouts(), namespace["LAYOUT"]], key=lambda layout: layout.order)
    monkeypatch.setattr(layouts, "layouts", lambda: tuple(known))
    net = torch.nn.Sequential(GatedLinear(30, 80, bias=False))
    W = net[0].weight.detach().double().numpy()
    np.savez(tmp_path / "net.npz", **{"0.weight": W})
    truth = {label: singular_value_squares(W[rows]).max() for label, rows in HALVES.items()}
    asked = ww.scan(tmp_path / "net.npz", layouts={"0.weight": "gated"})
    for frame, known_from in ((ww.analyze(net), "module"), (asked, "asked")):
        found = frame[frame["slice"] != ""].set_index("slice")
        assert found["lambda_max"].to_dict() == pytest.approx(truth, rel=1e-6)
        assert set(found["layout_from"]) == {known_from}
    with pytest.raises(ww.InvalidInput, match="even number of rows"):
        ww.analyze({"fc.weight": draw(9, 5)}, layouts={"fc.weight": "gated"})


HALVES = {"value": slice(0, 40), "gate": slice(40, 80)}


def test_a_format(monkeypatch, tmp_path):
    """A file and a folder of it, parts, what is damaged, the endings that are accepted."""
    namespace = {"__name__": "setol_ww.formats.plain_file", "__package__": "setol_ww.formats"}
    exec(compile(recipe("A format"), "CONTRIBUTING.md", "exec"), namespace)
    monkeypatch.setattr(registry, "FORMATS", (*registry.FORMATS, namespace["FORMAT"]))
    W = draw(60, 40).astype("<f4")
    (tmp_path / "fc.plain").write_bytes(b"60 40\n" + W.tobytes())
    squares = singular_value_squares(W.astype(float))
    for path in (tmp_path, tmp_path / "fc.plain"):
        for frame in (ww.analyze(path), ww.scan(path)):
            assert frame["longname"].tolist() == ["fc"]
            assert frame["lambda_max"].iloc[0] == pytest.approx(squares.max(), rel=1e-6)
    assert np.array_equal(reader.opened(tmp_path / "fc.plain").read("fc.weight", (slice(3, 5),)), W[3:5])
    (tmp_path / "fc.plain").write_bytes(b"60 forty\n" + W.tobytes())
    with pytest.raises(ww.UnreadableCheckpoint, match=r"fc\.plain: ValueError"):
        ww.analyze(tmp_path)
    (tmp_path / "fc.plain").write_bytes(b"60 40\n" + W.tobytes()[:-1])
    assert ww.scan(tmp_path)["status"].tolist() == ["failed"]
    with pytest.raises(ww.InvalidInput, match=r"\.safetensors, .*, \.plain"):
        ww.analyze(__file__)
    assert "one matrix behind a line with its shape" in registry.formats_table()


def test_a_truncation_rule(monkeypatch, tmp_path):
    """In truncate, as what another rule is measured by, on the command line, among what is accepted."""
    monkeypatch.setattr(rules, "NAMED", dict(rules.NAMED))
    namespace = dict(vars(rules))
    exec(compile(recipe("A truncation rule"), "CONTRIBUTING.md", "exec"), namespace)
    net = torch.nn.Sequential(torch.nn.Linear(60, 40, bias=False))
    squares = singular_value_squares(net[0].weight.detach().double().numpy())
    wanted = int(np.ceil(squares.sum() / squares.max()))
    for rule in ("stable-rank", "bottom:stable-rank", namespace["stable_rank"]):
        with ww.truncated(net, rule) as cuts:
            assert [cut.rank for cut in cuts] == [wanted], rule
    W = draw(60, 40)
    np.savez(tmp_path / "net.npz", **{"fc.weight": W})
    asked = ["truncate", str(tmp_path / "net.npz"), "--rule", "stable-rank", "--out", str(tmp_path / "out")]
    assert main(asked) == 0
    squares = singular_value_squares(W)
    kept = ww.load_factorised(tmp_path / "out")["fc.weight"]
    assert np.linalg.matrix_rank(np.asarray(kept)) == np.ceil(squares.sum() / squares.max())
    with pytest.raises(ww.InvalidInput, match="'stable-rank', 'bulk'"):
        ww.truncate(net, "no such rule")


def test_a_law(monkeypatch):
    """Against quadrature and the cumulants of its moments."""
    code = recipe("A law")
    name = "setol_ww.theory.laws.semicircle"
    module = ModuleType(name)
    module.__package__ = "setol_ww.theory.laws"
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(code, "CONTRIBUTING.md", "exec"), vars(module))
    law = module.Semicircle(1.0, 0.25)
    assert isinstance(law, ww.laws.Law)
    moments = [quad(lambda x, k=k: x**k * law.pdf(x), *law.support)[0] for k in range(5)]
    assert moments[0] == pytest.approx(1)
    assert [law.moment(k) for k in range(5)] == pytest.approx(moments)
    assert law.free_cumulants(4) == pytest.approx(
        np.array(free_probability.free_cumulants_by_enumeration(moments[1:]), dtype=float), abs=1e-9
    )
    assert law.integrated_r(0.7) == pytest.approx(quad(law.r_transform, 1e-12, 0.7)[0])
    with pytest.raises(ww.InvalidInput, match="no logarithms"):
        law.erg_fraction  # noqa: B018 asked for its refusal
    with pytest.raises(ww.InvalidInput, match="s2 > 0"):
        module.Semicircle(0.0, 0.0)
