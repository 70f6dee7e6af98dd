"""What the chapter claims."""

from __future__ import annotations

from spec_tests.clause import Clause

CLAUSES = (
    Clause(
        "SCAN-01",
        "Every matrix has one row, of its own numbers, in an order that the order in the files and their number leave "
        "alone.",
        "api, scan",
        ("scan",),
        "1e-11 relative; order and repetition exactly",
    ),
    Clause(
        "SCAN-02",
        "Of several shards one has a row, and the rows of all, merged, are those of one scan.",
        "api, scan",
        ("scan", "scan_shards"),
        "every bit",
    ),
    Clause(
        "SCAN-03",
        "A row does not depend on which other layers are there.",
        "api, scan",
        ("scan",),
        "every bit",
    ),
    Clause(
        "SCAN-04",
        "NaN, infinities, packed integers and no elements at all give a row with a reason, no number, and move no "
        "other row.",
        "api 4; landscape §1",
        ("scan",),
        "every bit",
    ),
    Clause(
        "SCAN-05",
        "A scan broken off after any number of rows has lost none of them, and resumed it is that of one go.",
        "api, scan",
        ("scan", "scan_resumed"),
        "every bit",
    ),
    Clause(
        "SCAN-06",
        "However many workers compute it, a table is the same, shuffles included.",
        "api 4, determinism",
        ("analyzed",),
        "1e-11 relative to the truth; every bit between them",
    ),
)
