"""Release habits: fragments and notes, the checklist on trees with one fault each, versions that agree."""

from __future__ import annotations

import ast
import re
import subprocess
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from setol_ww.core.deprecation import DEPRECATED
from spec_tests.conftest import ROOT
from spec_tests.kept_scripts import load_script

NOTES = load_script("release_notes")
CHECK = load_script("release_check")


def test_the_fragments_and_the_changelog_of_this_tree():
    assert NOTES.check() == []


def test_nothing_is_overdue_in_this_tree():
    assert list(CHECK.nothing_overdue(CHECK.version_of(), DEPRECATED)) == []


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "begins with a bullet"),
        ("A sentence.\n", "begins with a bullet"),
        ("- one\nand more\n", "two spaces"),
        ("- one\n\n- two\n", "two spaces"),
        ("- see [page](docs/page.md)\n", "to begin with ../"),
    ],
)
def test_a_fragment_that_is_no_bullets_is_told(tmp_path, text, said):
    (tmp_path / "one.md").write_text(text)
    assert any(said in line for line in NOTES.ill_formed(tmp_path / "one.md"))


@pytest.fixture
def tree(tmp_path) -> Path:
    """A tree that may be released as 1.2.0."""
    files = {
        "setol_ww/__init__.py": '__version__ = "1.2.0"\n',
        "pyproject.toml": '[project]\ndynamic = ["version"]\n\n[project.urls]\nSource = "https://example.org"\n',
        "CITATION.cff": "version: 1.2.0\ndate-released: 2027-01-02\n",
        "docs/changes/README.md": "# Changes\n",
        "docs/release-notes/index.md": "# Release notes\n",
        "docs/release-notes/1.2.0.md": "# 1.2.0 (2027-01-02)\n\n- Twelve, see [a page](../a.md).\n",
        "docs/release-notes/0.9.0.md": "# 0.9.0\n\n- Nine.\n",
        "docs/release-notes/0.10.0.md": "# 0.10.0\n\n- Ten.\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "CHANGELOG.md").write_text(NOTES.changelog(tmp_path))
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    return tmp_path


def problems(tree: Path) -> list[str]:
    steps = (CHECK.one_version, CHECK.dated_notes, CHECK.has_addresses, CHECK.clean_and_untagged)
    return [line for step in steps for line in step(tree)]


def test_a_tree_that_may_be_released_has_no_problem(tree):
    assert problems(tree) == []


@pytest.mark.parametrize(
    "file, before, after, said",
    [
        ("setol_ww/__init__.py", "1.2.0", "1.2.0.dev0", "is no X.Y.Z"),
        ("setol_ww/__init__.py", "1.2.0", "1.3.0", "CITATION.cff says 1.2.0, the package 1.3.0"),
        ("pyproject.toml", "[project]", '[project]\nversion = "1.2.0"', "a version of its own"),
        ("CITATION.cff", "2027-01-02", "2026-01-02", "does not say `date-released: 2027-01-02`"),
        ("docs/release-notes/1.2.0.md", "(2027-01-02)", "(unreleased)", "begins with '# 1.2.0 (unreleased)'"),
        ("docs/release-notes/1.2.0.md", "Twelve", "Dozen", "not what the notes make it"),
        ("pyproject.toml", "Source", "Paper", "no Source"),
        ("CITATION.cff", "date", "date", "not committed"),
    ],
)
def test_one_fault_is_one_problem_told(tree, file, before, after, said):
    path = tree / file
    path.write_text(path.read_text().replace(before, after) + ("\n" if before == after else ""))
    assert any(said in line for line in problems(tree)), problems(tree)


def test_a_fragment_that_is_left_is_told_and_gathered(tree):
    (tree / "docs" / "changes" / "new.md").write_text("- Something new.\n")
    assert "fragments are left: new.md" in problems(tree)
    with pytest.raises(SystemExit, match=r"1\.2\.0\.md is released"):
        NOTES.gather(tree)
    (tree / "docs" / "release-notes" / "1.3.0.md").write_text("# 1.3.0 (unreleased)\n\n- First.\n")
    NOTES.gather(tree)
    assert NOTES.fragments(tree) == []
    told = NOTES.changelog(tree)
    assert "## 1.3.0 (unreleased)\n\n- First.\n- Something new.\n\n## 1.2.0 (2027-01-02)\n" in told
    assert re.findall(r"^## (\S+)", told, re.MULTILINE) == ["1.3.0", "1.2.0", "0.10.0", "0.9.0"]
    assert "see [a page](docs/a.md)" in told


def test_a_tag_is_free_before_and_right_at_publishing(tree):
    assert list(CHECK.clean_and_untagged(tree, "v1.2.0")) == []
    assert list(CHECK.clean_and_untagged(tree, "v1.1.0")) == ["the tag v1.1.0 is not v1.2.0"]
    subprocess.run(["git", "tag", "v1.2.0"], cwd=tree, check=True)
    assert list(CHECK.clean_and_untagged(tree)) == ["the tag v1.2.0 is there already"]


def test_a_name_past_its_removal_is_told():
    old = {"a": SimpleNamespace(removed_in="0.10.0"), "b": SimpleNamespace(removed_in="0.9.0")}
    assert [line.split()[0] for line in CHECK.nothing_overdue("0.9.3", old)] == ["setol_ww.b"]
    assert len(list(CHECK.nothing_overdue("0.10.0", old))) == 2


def wheel_of(tree: Path, left_out: str = "", beside: str = "") -> Path:
    """A wheel of the tree by hand."""
    names = ["setol_ww/__init__.py", "setol_ww/suite/spec_tests/protocol.py", "x-1.dist-info/licenses/LICENSE"]
    with zipfile.ZipFile(tree / "x.whl", "w") as archive:
        for name in [*names, *filter(None, [beside])]:
            if name != left_out:
                archive.writestr(name, "")
    return tree / "x.whl"


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"left_out": "setol_ww/__init__.py"}, "lacks setol_ww/__init__.py"),
        ({"left_out": "setol_ww/suite/spec_tests/protocol.py"}, "lacks the spec suite"),
        ({"left_out": "x-1.dist-info/licenses/LICENSE"}, "lacks the licence"),
        ({"beside": "tests/__init__.py"}, "would install tests beside"),
    ],
)
def test_what_a_wheel_lacks_is_told(tree, changed, said):
    assert list(CHECK.wheel_holds(wheel_of(tree), tree)) == []
    (told,) = CHECK.wheel_holds(wheel_of(tree, **changed), tree)
    assert said in told


def test_what_a_source_archive_lacks_is_told(tree):
    with tarfile.open(tree / "x.tar.gz", "w:gz") as archive:
        archive.add(tree / "pyproject.toml", "x-1/pyproject.toml")
    (told,) = CHECK.source_holds(tree / "x.tar.gz")
    assert "README.md" in told
    assert "pyproject.toml" not in told


def test_hooks_and_workflows_say_what_is_tested():
    """The hook's ruff is that of constraints.txt; what a workflow runs is there."""
    pinned = dict(re.findall(r"^(\S+?)==([^;\s]+)", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE))
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    assert re.findall(r"ruff-pre-commit\n    rev: v(\S+)", hooks) == [pinned["ruff"]]
    tox = (ROOT / "tox.ini").read_text("utf-8")
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = workflow.read_text("utf-8")
        for script in re.findall(r"python (scripts/\S+\.py)|run: (\.ci/run)", text):
            assert (ROOT / "".join(script)).is_file()
        for named in re.findall(r"tox -e ([\w,]+)", text):
            assert all(f"[testenv:{one}]" in tox for one in named.split(","))
    assert "setol-ww --version --verbose" in (ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text("utf-8")


def test_the_floor_of_torch_is_that_of_its_advisories():
    """SECURITY.md says it, pyproject.toml has it, and nothing of ours loads a pickle through torch."""
    (floor,) = re.findall(r'"torch>=([\d.]+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    page = (ROOT / "SECURITY.md").read_text("utf-8")
    assert f"`torch>={floor}`" in page
    repaired = [tuple(map(int, one.split("."))) for one in re.findall(r"\| (\d+\.\d+\.\d+) \|$", page, re.MULTILINE)]
    assert len(repaired) == 2
    assert all((*map(int, floor.split(".")), 0) >= one for one in repaired)
    for path in (ROOT / "setol_ww").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            assert not (isinstance(node, ast.Attribute) and ast.unparse(node) in ("torch.load", "pickle.load")), path


def test_nothing_new_lies_at_the_top():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    folders = {"setol_ww", "spec_tests", "fixtures", "scripts", "docs", ".ci", ".github"}
    files = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CITATION.cff", "LICENSE"}
    files |= {"pyproject.toml", "tox.ini", "constraints.txt", ".gitignore", ".pre-commit-config.yaml"}
    assert {path.split("/")[0] for path in listed} <= folders | files
