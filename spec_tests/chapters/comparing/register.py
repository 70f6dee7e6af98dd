"""What the chapter claims."""

from __future__ import annotations

from spec_tests.clause import Clause

CLAUSES = (
    Clause(
        "COMP-01",
        "A matrix and itself: no norm, no rank, and the same effective correlation space.",
        "theory D3",
        ("update",),
        "exact",
    ),
    Clause(
        "COMP-02",
        "Shares of the update inside the base's ECS and principal angles of both ECS are those of projectors written "
        "out; slices are one block-diagonal matrix.",
        "theory D3; Bjoerck and Golub 1973",
        ("update",),
        "1e-8; angles 1e-4 degrees",
    ),
    Clause(
        "COMP-03",
        "An update planted inside (outside) the ECS has its rank, its norm share, and lies inside (outside).",
        "theory D3",
        ("update",),
        "1e-8",
    ),
    Clause(
        "COMP-04",
        "Rotations of rows and columns and the scale change nothing; transposition exchanges left and right.",
        "theory I1",
        ("update",),
        "1e-7",
    ),
    Clause(
        "COMP-05",
        "The angles between the two spaces are the same from either side.",
        "Bjoerck and Golub 1973",
        ("update",),
        "1e-9; angles 1e-4 degrees",
    ),
    Clause(
        "COMP-06",
        "What is inside both is at most what is inside one; what a D without a direction has inside is k^2 / (N M).",
        "theory D3",
        ("update",),
        "six standard errors",
    ),
    Clause(
        "COMP-07",
        "Rounding to a narrow type is no update: its rank is 0, and a planted rank is found through it.",
        "Bandeira and van Handel 2016",
        ("update_stored",),
        "exact",
    ),
)
