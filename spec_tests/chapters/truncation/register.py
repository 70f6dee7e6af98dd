"""What the chapter claims."""

from __future__ import annotations

from spec_tests.clause import Clause

CLAUSES = (
    Clause(
        "TRUNC-01",
        "The leading singular values stay, the others are zero.",
        "theory §8, I18",
        ("truncate",),
        "1e-13",
    ),
    Clause(
        "TRUNC-02",
        "No matrix of that rank is nearer, in Frobenius or spectral norm.",
        "theory §8, I18",
        ("truncate",),
        "1e-13",
    ),
    Clause(
        "TRUNC-03",
        "Kept and lost energy add up; the kept share is at least the share of directions.",
        "theory §8, I18",
        ("truncate",),
        "1e-13",
    ),
    Clause(
        "TRUNC-04",
        "Truncating again at the same rank changes nothing.",
        "theory §8, I18",
        ("truncate",),
        "1e-10",
    ),
    Clause("TRUNC-05", "Truncation commutes with transposition.", "theory §8, I18", ("truncate",), "1e-9"),
    Clause(
        "TRUNC-06",
        "Kept and lost parts are orthogonal: a projection.",
        "theory §8, I18",
        ("truncate",),
        "1e-13",
    ),
    Clause(
        "TRUNC-07",
        "Kernel slices are cut at one singular value: their ranks add up, and no slices of that rank are nearer.",
        "theory §8",
        ("truncate_slices",),
        "1e-12",
    ),
    Clause(
        "TRUNC-08",
        "The hard threshold for unknown noise is that of the median of the Marchenko-Pastur law.",
        "Gavish and Donoho, arXiv 1305.5870",
        ("optimal_threshold",),
        "1e-9",
    ),
)
