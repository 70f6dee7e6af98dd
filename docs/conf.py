"""Sphinx: `tox -e docs` makes the site of the pages of this folder and the docstrings; a warning is an error."""

from __future__ import annotations

from typing import Any

import setol_ww

project = "setol-ww"
author = "The setol-ww developers"
copyright = author
release = setol_ww.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
exclude_patterns = ["changes"]
nb_execution_mode = "off"
suppress_warnings = ["myst.strikethrough"]

# Types are words of the docstrings ("array of shape (n,)"), not references; signatures have the names alone.
default_role = "code"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
doctest_global_setup = """
import numpy as np
import setol_ww as ww
from setol_ww import *
from setol_ww.theory.laws import *
from setol_ww.theory.transforms import *
"""

html_theme = "furo"
html_title = f"setol-ww {release}"
html_copy_source = False

# Pages outside this folder that are included by one inside: links to them lead there.
INSIDE = {"](../CONTRIBUTING.md": "](extending.md", "](../scripts/README.md": "](scripts.md"}


def _lead_inside(app: Any, name: str, source: list[str]) -> None:
    for outside, inside in INSIDE.items():
        source[0] = source[0].replace(outside, inside)


def _with_tables(app: Any, what: str, name: str, thing: object, options: Any, lines: list[str]) -> None:
    """Tables in docstrings are Markdown's, readable in `help`; reStructuredText has them as lists."""
    told: list[str] = []
    for line in lines:
        if not line.startswith("|"):
            told.append(line)
        elif set(line) - set("|-"):
            if not told[-1].startswith("     "):
                told += [".. list-table::", "   :header-rows: 1", ""]
            first, *others = line.strip("| ").split(" | ")
            told += [f"   * - {first}", *(f"     - {cell}" for cell in others)]
    lines[:] = told


def setup(app: Any) -> None:
    """What Sphinx asks of a configuration."""
    app.connect("source-read", _lead_inside)
    app.connect("autodoc-process-docstring", _with_tables, priority=1)
