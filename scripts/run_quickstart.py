"""The notebook of the first steps, run: its cells in `docs/quickstart.ipynb` with what they put out on this machine.

Claim      Every cell of the notebook runs and shows what stands in it.
Command    python scripts/run_quickstart.py [--check]
Run time   half a minute
Output     docs/quickstart.ipynb; with --check nothing, and an exit status of 1 where a cell fails or shows another kind
           of thing than the notebook has
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "quickstart.ipynb"
#: Of a run, not of the notebook.
FLEETING = ("execution",)


def run(path: Path, folder: str) -> Any:
    """The notebook with the outputs of a run in `folder`, and what would differ from run to run left out."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        for name in FLEETING:
            cell.metadata.pop(name, None)
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return notebook


def kinds(notebook: Any) -> list[list[list[str]]]:
    """What kinds of things each cell puts out."""
    return [
        [sorted(output.get("data", {output.get("name", output.output_type): 0})) for output in cell.get("outputs", [])]
        for cell in notebook.cells
    ]


def main() -> int:
    """Run, and write or check."""
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("--check", action="store_true")
    check = asked.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"IPYTHONDIR": folder, "JUPYTER_RUNTIME_DIR": folder, "JUPYTER_DATA_DIR": folder}
        done = run(NOTEBOOK, folder)
    if not check:
        nbformat.write(done, NOTEBOOK)
        return 0
    there, now = kinds(nbformat.read(NOTEBOOK, as_version=4)), kinds(done)
    for number, (one, other) in enumerate(zip(there, now, strict=True)):
        if one != other:
            print(f"cell {number} shows {other}, and {one} stands in the notebook", file=sys.stderr)
    return int(there != now)


if __name__ == "__main__":
    sys.exit(main())
