"""What the chapter claims."""

from __future__ import annotations

from spec_tests.clause import Clause

CLAUSES = (
    Clause(
        "MEET-01",
        "mean ln x over the power-law tail = 1/(alpha - 1) + ln lambda_min.",
        "theory F1, I8",
        ("tail_fit", "meeting"),
        "1e-10",
    ),
    Clause(
        "MEET-02",
        "The mean ln x, the rank gap and delta_lambda_min have one sign once the gap is two.",
        "theory I6",
        ("meeting",),
    ),
    Clause(
        "MEET-03",
        "delta_lambda_min is zero for equal tails and follows the sign of the gap.",
        "theory I7",
        ("meeting",),
        "1e-12",
    ),
    Clause(
        "MEET-04",
        "delta_lambda_min is the power-law start minus the ERG start, in unit-mean scale.",
        "paper Eq. 164; theory E11, D5",
        ("tail_fit", "erg_cut", "meeting"),
        "1e-10",
    ),
    Clause(
        "MEET-05",
        "In the ideal layer both tails start at exp(-1/(alpha - 1)).",
        "theory F1, 4.6",
        ("tail_fit", "meeting"),
        "1e-10",
    ),
    Clause(
        "MEET-06",
        "alpha_erg is the Hill estimate of the ERG tail.",
        "theory D5, F1",
        ("erg_cut", "meeting"),
        "1e-9 relative",
    ),
    Clause("MEET-07", "The comparison does not depend on the scale of W.", "theory I1", ("meeting",), "1e-9"),
    Clause(
        "MEET-08",
        "Ideal, Marchenko-Pastur, very heavy, flat and non-power-law spectra have their states.",
        "theory F1, D6",
        ("state",),
    ),
    Clause(
        "MEET-09",
        "Zeros enter the comparison through the mean.",
        "theory D2, F1",
        ("tail_fit", "erg_cut", "meeting"),
        "1e-9",
    ),
)
