"""Finds the spec suite that comes with the package (or stands beside it in a checkout) and runs it."""

from __future__ import annotations

import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from ..core.checks import writable_file
from ..core.errors import InvalidInput
from ..views.text import WIDTH, paragraph

REPORTS = (".md", ".json", ".html")
NEEDED = ("pytest", "hypothesis", "mpmath")


def conform(
    implementation: str, profile: str, only: list[str], out: Path | None, seed: int | None = None
) -> tuple[Any, str, int]:
    """Run the clauses and write the report.

    Parameters
    ----------
    implementation : str
        `setol_ww`, `weightwatcher`, `oracle` or `package.module:factory`.
    profile : str
        `dev`, `ci` or `deep`.
    only : list of str
        Clause ids; all when empty.
    out : Path, optional
        `.md`, `.json` or `.html`.
    seed : int, optional
        Of the `deep` profile, to repeat a run; the others always draw the same examples.

    Returns
    -------
    Report, str, int
        What became of each clause, the same in lines, and an exit status: 0 when every clause passed, failed as known
        or is not claimed; 1 otherwise.

    Raises
    ------
    InvalidInput
        Unknown clause, implementation or ending of `out`, or the libraries of the suite are not installed.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise InvalidInput(f"the spec was asked; it needs {', '.join(missing)}: pip install 'setol-ww[spec]'")
    if out is not None:
        writable_file("--out", out, REPORTS)
    reporting, chapters = _suite()
    unknown = sorted(set(only) - set(chapters.BY_ID))
    if unknown:
        raise InvalidInput(f"the clause(s) {unknown} were asked; accepted are {', '.join(chapters.BY_ID)}")
    try:
        report = reporting.run_spec(implementation, profile, only, seed)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise InvalidInput(f"--implementation {implementation} was asked; it cannot be made: {error}") from error
    lines = _lines(report, chapters)
    if out is not None:
        reporting.write(report, out)
        lines.append(f"The report is in {out}.")
    return report, "\n".join(lines), 1 if report.exit_status else 0


def suite_folder() -> Path:
    """Folder that holds `spec_tests` and `fixtures`: inside the installed package, else the checkout's."""
    packed = Path(__file__).resolve().parents[1] / "suite"
    folder = packed if packed.is_dir() else Path(__file__).resolve().parents[2]
    if not (folder / "spec_tests" / "chapters").exists():
        raise InvalidInput(f"the spec was asked; its suite is neither in {packed} nor beside the package")
    return folder


def _suite() -> tuple[ModuleType, ModuleType]:
    # The working directory last: a user's own adapter is found there, and shadows nothing.
    for folder in (str(suite_folder()), str(Path.cwd())):
        if folder not in sys.path:
            sys.path.append(folder)
    from spec_tests import chapters, reporting

    return reporting, chapters


def _lines(report: Any, chapters: Any) -> list[str]:
    lines = [
        f"{report.implementation} {report.implementation_version}, profile {report.profile} ({report.seed}), "
        + ", ".join(f"{library} {number}" for library, number in report.versions.items()),
        "",
    ]
    for row in report.rows:
        statement = chapters.BY_ID[row.id].statement
        room = WIDTH - 30
        shown = statement if len(statement) <= room else statement[: room - 2] + ".."
        lines.append(f"{row.id:<9} {row.status:<17} {shown}")
    for row in report.rows:
        if row.status in ("fail", "unexpected pass"):
            case = f" Smallest case: {row.counterexample}." if row.counterexample else ""
            lines += ["", paragraph(f"{row.id}: {row.message}.{case}"), f"  {row.reproduce}"]
    lines += ["", *(paragraph(f"Not a clause, but wrong: {problem}") for problem in report.problems)]
    counts = Counter(row.status for row in report.rows)
    return [*lines, "", ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))]
