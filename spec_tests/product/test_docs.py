"""The pages: what is made from registries is up to date, what they say to type runs, every link and name is there."""

from __future__ import annotations

import itertools
import re
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import setol_ww as ww
from setol_ww.cli.demo import demo_nets
from setol_ww.cli.main import main
from setol_ww.core.outcomes import Outcome
from setol_ww.formats.registry import FORMATS
from setol_ww.layer.flags import MEANINGS
from setol_ww.truncation.rules import NAMED
from spec_tests.conftest import ROOT
from spec_tests.kept_scripts import load_script
from spec_tests.page_runner import blocks, commands, expected_status, run_python, words

DOCS = ROOT / "docs"
MADE = sorted(path.stem for path in (ROOT / "scripts").glob("make_*_page.py"))
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "scripts").glob("*.md")]
    if path.parent.name != "changes"  # fragments are held by the test of releases, and as notes here
)
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
#: A web address on a page, in a comment or in a docstring is for people; these begin one.
ELSEWHERE = ("http://", "https://", "mailto:")


@pytest.mark.parametrize("script", MADE)
def test_a_page_from_a_registry_is_what_the_registry_says(script):
    made = load_script(script)
    assert made.PAGE.read_text(encoding="utf-8") == made.page(), f"python scripts/{script}.py"


def test_pages_hold_every_entry_of_their_registry():
    pages = {name: (DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("states", "formats", "rules", "laws")}
    for state in ww.State:
        assert f"| `{state.value}` | {state.meaning} | {state.next_step} |" in pages["states"]
    for flag, meaning in MEANINGS.items():
        assert f"| `{flag}` | {meaning} |" in pages["states"]
    for outcome in Outcome:
        assert f"| `{outcome.value}` | {outcome.sentence} |" in pages["states"]
    for one in FORMATS:
        assert f"| {one.name} | " in pages["formats"]
    for name in NAMED:
        assert pages["rules"].count(f"| `{name}` | ") == 2
    for name in ww.laws.__all__:
        law = getattr(ww.laws, name)
        assert f"\n## {name}\n" in pages["laws"] or law is ww.laws.Law
        for method, reason in law.lacks.items():
            assert f"- no `{method}`: {reason}\n" in pages["laws"]


def test_a_law_answers_what_its_page_says():
    """The table of the page, held against the laws themselves."""
    page = load_script("make_law_page")
    law = ww.laws.LevyWigner(1.5)
    assert page._answers(type(law), "integrated_r") == bool(law.integrated_r(1.0) > 0)
    with pytest.raises(ww.InvalidInput, match="no closed form"):
        law.pdf(1.0)
    assert not page._answers(type(law), "pdf")


def test_every_public_name_is_in_the_reference():
    page = (DOCS / "reference.md").read_text(encoding="utf-8")
    told = re.findall(r"^\.\. auto(?:function|class|exception|data):: (?:setol_ww\.)?(\w+)$", page, flags=re.MULTILINE)
    assert len(told) == len(set(told))
    assert set(told) == set(ww._HOME_OF)
    for module in ww._MODULES:
        assert f"`setol_ww.{module}`" in page
    drawn = re.findall(r"^\.\. autofunction:: setol_ww\.plots\.(\w+)$", page, flags=re.MULTILINE)
    assert sorted(drawn) == sorted(plot.name for plot in ww.plots.PLOTS)


def headings(text: str) -> set[str]:
    """Anchors of a page as GitHub makes them."""
    found = set()
    for line in re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    ):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", line).strip().lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in LINK.findall(re.sub(r"`[^`\n]*`", "", text)):
        if link.startswith(ELSEWHERE):
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in headings(target.read_text(encoding="utf-8")), f"{page}: {link}"


def test_every_page_is_in_a_table_of_contents():
    named = set()
    for page in (DOCS / "index.md", DOCS / "release-notes" / "index.md"):
        for tree in re.findall(
            r"^```\{toctree\}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            lines = [line for line in tree.splitlines() if line and not line.startswith(":")]
            named |= {path.resolve() for line in lines for path in page.parent.glob(f"{line}.md")}
    pages = {path.resolve() for path in DOCS.rglob("*.md") if path.parent.name != "changes"}
    assert pages - named == {DOCS / "index.md"}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """What the pages take for given: a trained net in a file, and a folder that transformers has written."""
    save_file(demo_nets()[16][0], tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    # What the pages show was printed so wide.
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def test_start_in_five_minutes(folder, capsys, monkeypatch):
    page = (DOCS / "start.md").read_text(encoding="utf-8")
    # The column of a page is no wider.
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["demo"]) == 0
    printed = capsys.readouterr().out.splitlines()
    (table,) = blocks(page, "text")
    assert set(table.splitlines()) <= set(printed)
    for line in commands(page):
        assert main(words(line)) == expected_status(line), line
    assert (folder / "layers.csv").is_file()
    said = run_python(page, {}, "start.md")
    assert said["details"]["longname"].tolist() == ["fc1", "fc2", "fc3"]
    assert (folder / "model.setol").is_file()


def test_reading_the_table(folder):
    page = (DOCS / "reading.md").read_text(encoding="utf-8")
    layer = run_python(page, {}, "reading.md")["layer"]
    assert layer.verdict.state in ww.State
    columns = set(ww.analyze("model.safetensors", randomize=True, uncertainty=20))
    for cell in re.findall(r"^\| (`.*?) \| ", page, flags=re.MULTILINE):
        for name in re.findall(r"`(\w+)`", cell):
            assert name in columns, name


def net(weights: dict[str, np.ndarray]) -> torch.nn.Module:
    """A net of the demonstration as a torch module."""
    sizes, relu = (784, 300, 100, 10), torch.nn.ReLU()
    layers = [(f"fc{place}", torch.nn.Linear(*pair)) for place, pair in enumerate(itertools.pairwise(sizes), 1)]
    model = torch.nn.Sequential(OrderedDict([layers[0], ("r1", relu), layers[1], ("r2", relu), layers[2]]))
    model.load_state_dict({name: torch.from_numpy(values.copy()) for name, values in weights.items()})
    return model


def test_truncation(folder):
    page = (DOCS / "truncation.md").read_text(encoding="utf-8")
    model = net(demo_nets()[16][0])
    drawn = torch.utils.data.TensorDataset(torch.randn(60, 784), torch.arange(60) % 10)
    loader = torch.utils.data.DataLoader(drawn, batch_size=20)
    said = run_python(page, {"ww": ww, "model": model, "test_loader": loader}, "truncation.md")
    assert set(said["frame"]["rule"]) == {"powerlaw", "erg", "gavish-donoho", "random:erg", "bulk"}
    for line in commands(page):
        assert main(words(line)) == 0, line
    assert set(ww.load_factorised("small/")) == set(demo_nets()[16][0])


def test_a_comparison(folder):
    for name, rate in (("base", 1), ("tuned", 32)):
        save_file(demo_nets()[rate][0], folder / f"{name}.safetensors")
    page = (DOCS / "compare.md").read_text(encoding="utf-8")
    assert main(words(commands(page)[0])) == 0
    said = run_python(page, {}, "compare.md")
    assert said["moved"]["longname"].tolist() == ["fc1"]
    shown = blocks(page, "text")[0]
    for line in ("alpha 3.75 -> 1.94, beyond ± 0.64", "1 of 3, 2 state changed, 1 class changed, 1 flags added"):
        assert line in shown
        assert line in str(said["changed"].summary())


def test_a_hugging_face_model(folder):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        hidden_size=64, num_hidden_layers=1, num_attention_heads=2, intermediate_size=96, vocab_size=128
    )
    transformers.BertModel(config).save_pretrained(folder / "checkpoint")
    page = (DOCS / "huggingface.md").read_text(encoding="utf-8")
    local = [line for line in commands(page) if "hf://" not in line]
    assert len(local) == 2
    for line in local:
        assert main(words(line)) == 0, line
    assert len(run_python(page, {}, "huggingface.md")["details"]) > 5


def test_the_laws_of_the_page():
    assert run_python((DOCS / "laws.md").read_text(encoding="utf-8"), {}, "laws.md")["law"].support[0] > 0


@pytest.mark.parametrize("page", PAGES)
def test_python_on_a_page_is_python(page):
    for code in blocks((ROOT / page).read_text(encoding="utf-8"), "python"):
        compile(code, page, "exec")
