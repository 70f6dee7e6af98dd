"""What the chapter claims."""

from __future__ import annotations

from spec_tests.clause import Clause

CLAUSES = (
    Clause(
        "SPEC-01",
        "The eigenvalues of W^T W are the squared singular values, min(N, M) of them.",
        "theory D1",
        ("eigenvalues",),
        "1e-12 of the largest",
    ),
    Clause(
        "SPEC-02",
        "Only singular values enter: transposition, permutations, sign and rotations change nothing.",
        "theory I1",
        ("eigenvalues",),
        "1e-12 of the largest",
    ),
    Clause(
        "SPEC-03",
        "Multiplying W by a multiplies every eigenvalue by a squared.",
        "theory I1",
        ("eigenvalues",),
        "1e-12 of the largest",
    ),
    Clause(
        "SPEC-04",
        "A matrix of planted rank r has r eigenvalues; the others are zero at double precision.",
        "theory D2",
        ("eigenvalues", "matrix_rank"),
        "1e-24 of the largest",
    ),
    Clause(
        "SPEC-05",
        "Pooled kernel slices have the spectrum of their block-diagonal sum.",
        "theory §8",
        ("pooled_eigenvalues",),
        "1e-11 on unit-mean scale",
    ),
    Clause(
        "SPEC-06",
        "Singular values twelve decades apart are all resolved.",
        "theory D2",
        ("eigenvalues",),
        "1e-3 in log10",
    ),
    Clause(
        "SPEC-07",
        "Gaussian matrices end at the Marchenko-Pastur edges, to within Tracy-Widom widths.",
        "theory 4.1",
        ("eigenvalues",),
        "5.5 widths around the mean",
        "statistical",
        "below 1e-4 an example (Tracy-Widom 1 tails)",
    ),
    Clause(
        "SPEC-08",
        "A spike leaves the bulk above the BBP threshold, at the BBP location, in covariance and in signal plus noise.",
        "theory 4.4, 4.1",
        ("eigenvalues",),
        ".25 of the location (6 standard deviations at theta = 1.5), .06 of the edge",
        "statistical",
        "below 1e-6",
    ),
    Clause(
        "SPEC-09",
        "The same holds at the sizes of layers, tall, wide and square.",
        "theory D1",
        ("eigenvalues",),
        "1e-13 of the largest",
    ),
    Clause(
        "SPEC-10",
        "Weights stored in 32 or 16 bits have the spectrum of the same values in float64.",
        "theory D1; landscape 2.15",
        ("stored_eigenvalues",),
        "1e-12 of the largest",
    ),
    Clause(
        "SPEC-11",
        "Of a long matrix no row is lost and none counted twice, however many rows are taken at a time.",
        "theory D1",
        ("eigenvalues",),
        "1e-12 of the largest",
    ),
    Clause(
        "SPEC-12",
        "Order in memory, strides and views change nothing, and the matrix given is left as it was.",
        "theory D1, I1",
        ("eigenvalues",),
        "1e-13 of the largest",
    ),
    Clause(
        "SPEC-13",
        "A repeated column adds a zero and no rank, in every storage type.",
        "theory D2",
        ("stored_eigenvalues", "stored_rank"),
        "1e-24 of the largest",
    ),
)
