"""The page in one file: data, our own code and style, and the libraries, put together.

Nothing is loaded: the page's own policy forbids every request, and of scripts it allows those in it by their digests.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from ...core.checks import path_of
from ...core.whole_file import written_whole
from ...results.export import refuse_unwritable
from ..palette import css_variables
from .compared import compared_data, comparison_of
from .payload import page_data

if TYPE_CHECKING:
    from ...advice.comparison import Comparison
    from ...results.results import Results

ENDINGS = (".html", ".htm")
LIBRARIES = ("d3.min.js", "plot.umd.min.js", "tabulator.min.js")
LICENCES = ("d3.LICENSE", "plot.LICENSE", "tabulator-tables.LICENSE")
#: Our own code in the order in which it is read; one scope.
OURS = ("base.js", "charts.js", "overview.js", "table.js", "compared.js", "panel.js", "main.js")
SOURCE_MAP = re.compile(r"^(//[#@]|/\*#) sourceMappingURL=.*$", re.MULTILINE)


def write_report(results: Results, path: str | Path, compare: Any = None) -> None:
    """Write the page, whole or not at all.

    Parameters
    ----------
    results : Results
    path : str or Path
        Ending in `.html` or `.htm`.
    compare : optional
        What `results` is held against.

    Raises
    ------
    InvalidInput
        Another ending, or a folder that is not there or takes no files.
    """
    target = path_of("path", path)
    refuse_unwritable("path", target, ENDINGS)
    with written_whole(target) as part:
        part.write_text(report_page(results, compare), encoding="utf-8", newline="")


def write_comparison(comparison: Comparison, path: str | Path) -> None:
    """The page of the tuned model with a section on what changed; parameters and errors as of `write_report`."""
    write_report(comparison.tuned, path, comparison)


def report_page(results: Results, compare: Any = None) -> str:
    """The text of the page."""
    data = page_data(results)
    if compare is not None:
        data["compared"] = compared_data(comparison_of(results, compare), results)
    scripts = [*(_library(name) for name in LIBRARIES), _ours()]
    return Template(_read("page.html")).substitute(
        policy=policy(scripts),
        title=html.escape(f"SETOL report: {data['name']}"),
        style="\n".join([_library("tabulator.min.css"), css_variables(), _read("page.css")]),
        summary=html.escape("\n".join(results.summary().lines())),
        licences=html.escape("\n\n".join(f"{name.partition('.')[0]}\n{_read(f'vendor/{name}')}" for name in LICENCES)),
        data=embedded(data),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )


def embedded(data: Any) -> str:
    r"""JSON that stays text inside a `<script>`, whatever is in it.

    >>> embedded({"name": "</script><script>alert(1)</script>"})
    '{"name":"\\u003c/script>\\u003cscript>alert(1)\\u003c/script>"}'
    """
    told = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return told.replace("<", "\\u003c")


def policy(scripts: list[str]) -> str:
    """What the page may do: run these scripts, and nothing from anywhere else."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _ours() -> str:
    return '(() => {\n"use strict";\n' + "\n".join(_read(name) for name in OURS) + "})();\n"


def _library(name: str) -> str:
    return SOURCE_MAP.sub("", _read(f"vendor/{name}"))


def _read(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")
