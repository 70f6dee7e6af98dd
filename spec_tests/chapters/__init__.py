"""The spec, a folder a chapter: `register` holds its clauses, `clauses` their checks, `bugs` what they must notice.

A new chapter is a folder and its name in `CHAPTERS`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from spec_tests.bug import Bug
from spec_tests.clause import Clause

#: In the order of the report.
CHAPTERS = (
    "spectra",
    "erg",
    "tails",
    "meeting",
    "free",
    "laws",
    "quality",
    "bulk",
    "classes",
    "traps",
    "truncation",
    "scans",
    "windows",
    "comparing",
    "golden",
)


def _part(chapter: str, part: str) -> Any:
    return import_module(f"{__name__}.{chapter}.{part}")


CLAUSES: tuple[Clause, ...] = tuple(clause for chapter in CHAPTERS for clause in _part(chapter, "register").CLAUSES)
BY_ID = {clause.id: clause for clause in CLAUSES}
INVARIANTS = tuple(f"I{number}" for number in range(1, 19))


def fill_checks() -> None:
    """Load the checks of every chapter into `spec_tests.runner.checks`."""
    for chapter in CHAPTERS:
        _part(chapter, "clauses")


def planted_bugs() -> tuple[Bug, ...]:
    """The bugs of every chapter."""
    return tuple(bug for chapter in CHAPTERS for bug in _part(chapter, "bugs").BUGS)
