"""Chapter 14: the notebook of the first steps runs and shows what stands in it."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from spec_tests.kept_scripts import load_script

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "run_quickstart.py"
NOTEBOOK = SCRIPT.parents[1] / "docs" / "quickstart.ipynb"

if not NOTEBOOK.exists():
    pytest.skip("the notebook is in the repository, not in the package", allow_module_level=True)


def outputs() -> list[str]:
    """What the cells of the notebook show, as text and as HTML."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    shown = [output for cell in cells for output in cell.get("outputs", [])]
    return [str(output.get("text", "")) + "".join(map(str, output.get("data", {}).values())) for output in shown]


def test_the_notebook_runs_and_shows_what_stands_in_it():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"],
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_its_outputs_say_what_they_are_to_say():
    shown = outputs()
    assert "2 ideal, 1 undetermined" in shown[1]
    assert 'background:#9fd8b0;color:#000">ideal' in shown[0]
    assert "trap: element" in "".join(shown)
    assert sum("<Figure size" in one for one in shown) == 2
    # Pictures are long runs of base64, which may look like the path of a file.
    told = [re.sub(r"[A-Za-z0-9+/=]{80,}", "", one[:2000]) for one in shown]
    assert not any(re.search(r"Traceback|Warning|/\w+/", one) for one in told)


def test_nothing_of_a_run_is_kept():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert set(notebook.metadata) == {"kernelspec"}
    assert not any("execution" in cell.metadata for cell in notebook.cells)
    assert nbformat.validate(notebook) is None


def test_another_output_is_noticed():
    script = load_script("run_quickstart")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    changed = nbformat.read(NOTEBOOK, as_version=4)
    code = next(cell for cell in changed.cells if cell.get("outputs"))
    code.outputs = []
    assert script.kinds(notebook) == script.kinds(nbformat.read(NOTEBOOK, as_version=4))
    assert script.kinds(notebook) != script.kinds(changed)


BAR = """
import warnings; warnings.simplefilter("error")
from setol_ww.core.progress import in_notebook, progress_bar
assert in_notebook()
with progress_bar(3, "layers", True) as bar:
    bar.update(3)
with progress_bar(3, "short work", None) as bar:
    bar.update(3)
"""
ASK = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(sys.argv[1])])
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
print(notebook.cells[0].outputs)
"""


def test_a_bar_in_a_notebook_without_widgets_is_text_and_warns_of_nothing(tmp_path):
    if importlib.util.find_spec("ipywidgets"):
        pytest.skip("ipywidgets are installed, so the bar is theirs")
    homes = dict.fromkeys(("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR"), str(tmp_path))
    words, told = [sys.executable, "-c", ASK, BAR], {**os.environ, **homes}
    done = subprocess.run(words, capture_output=True, text=True, env=told, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "3/3" in done.stdout
    assert "short work" not in done.stdout
    assert "Warning" not in done.stdout
