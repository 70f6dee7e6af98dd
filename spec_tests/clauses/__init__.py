"""The checks of the clauses, one file per chapter; importing this package fills `spec_tests.runner.checks`."""

from . import (
    bulk,
    classes,
    erg,
    free,
    golden,
    laws,
    meeting,
    quality,
    scans,
    spectra,
    tails,
    traps,
    truncation,
    windows,
)

__all__ = [
    "bulk",
    "classes",
    "erg",
    "free",
    "golden",
    "laws",
    "meeting",
    "quality",
    "scans",
    "spectra",
    "tails",
    "traps",
    "truncation",
    "windows",
]
