"""What the chapter claims."""

from __future__ import annotations

from spec_tests.clause import Clause

CLAUSES = (
    Clause(
        "CLASS-01",
        "Random initialisations, normal or uniform, of any size from 20 on are random-like; none is ever heavy-tailed.",
        "theory 4.1, E1",
        ("universality",),
        "random-like in seven of nine draws, heavy-tailed in none",
        "statistical",
        "below 1e-3 (three edge tests of nine at level .01)",
    ),
    Clause(
        "CLASS-02",
        "An orthogonal or flat layer is random-like.",
        "theory D3",
        ("universality",),
    ),
    Clause(
        "CLASS-03",
        "Noise with one to ten spikes is bulk+spikes.",
        "theory 4.4; paper Table 1",
        ("universality",),
        "in five of nine draws",
        "statistical",
        "below 1e-4",
    ),
    Clause(
        "CLASS-04",
        "Signed Pareto matrices of mu <= 1 are very heavy-tailed.",
        "theory T1, T2, E1",
        ("universality",),
        "in five of nine draws",
        "statistical",
        "below 1e-4",
    ),
    Clause(
        "CLASS-05",
        "Signed Pareto matrices of mu = 2 are heavy-tailed.",
        "theory T1, E1",
        ("universality",),
        "in five of nine draws",
        "statistical",
        "below 1e-3",
    ),
    Clause(
        "CLASS-06",
        "Quantiles of a power law that reaches beyond the edge of noise are of the class of their alpha, close below 2 "
        "of either, those of one that does not of none; those of Marchenko-Pastur, any Q, are random-like.",
        "theory 4.1, 4.5, E1; paper Table 1",
        ("universality",),
    ),
    Clause(
        "CLASS-07",
        "A layer of at most half the full rank is rank collapse.",
        "paper Table 1; theory D2",
        ("universality",),
    ),
    Clause("CLASS-08", "The scale of W does not change the class.", "theory I1", ("universality",)),
    Clause(
        "CLASS-09",
        "A zero layer and one of fewer than twenty eigenvalues have no class.",
        "api 4",
        ("universality",),
    ),
    Clause(
        "CLASS-10",
        "Independent noise is random-like whatever the strengths of its rows and columns; none of it is heavy-tailed.",
        "theory 11, 12",
        ("matrix_class",),
        "random-like in seven of nine draws, heavy-tailed in none",
        "statistical",
        "below 1e-3",
    ),
    Clause(
        "CLASS-11",
        "Spikes above noise of uneven rows are bulk+spikes.",
        "theory 12",
        ("matrix_class",),
        "in five of nine draws",
        "statistical",
        "below 1e-3",
    ),
    Clause(
        "CLASS-12",
        "Signed Pareto matrices of mu <= 1.5 stay heavy-tailed when their entries are known.",
        "theory 12",
        ("matrix_class",),
        "in seven of nine draws",
        "statistical",
        "below 1e-3",
    ),
)
