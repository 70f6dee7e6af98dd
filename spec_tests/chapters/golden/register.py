"""What the chapter claims."""

from __future__ import annotations

from spec_tests.clause import Clause

CLAUSES = (
    Clause(
        "GOLD-01",
        "The published delta of Falcon-7B and Llama-13B is Eq. 164 in unit-mean scale.",
        "paper Figs 22-23; theory §9, E11",
        (),
        "1e-5",
    ),
    Clause(
        "GOLD-02",
        "In all 410 published rows, as they are printed, alpha, xmin and the counts agree in sign as F1 demands.",
        "theory F1, I6",
        (),
    ),
    Clause(
        "GOLD-03",
        "In the published layers delta does not fall towards 0 as alpha falls to 2: there is no funnel.",
        "paper Fig. 23; theory §9",
        (),
        "R^2 <= .1",
    ),
    Clause("GOLD-04", "The published sigma is (alpha - 1) / sqrt(n).", "Clauset et al. 2009", (), "1e-12"),
)
