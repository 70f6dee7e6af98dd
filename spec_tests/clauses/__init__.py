"""The checks of the clauses, one file per chapter; importing this package fills `spec_tests.runner.checks`."""

from . import erg, free, golden, laws, meeting, quality, spectra, tails, traps, truncation

__all__ = ["erg", "free", "golden", "laws", "meeting", "quality", "spectra", "tails", "traps", "truncation"]
