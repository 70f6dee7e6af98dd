"""What the chapter claims."""

from __future__ import annotations

from spec_tests.clause import Clause

CLAUSES = (
    Clause(
        "TAIL-01",
        "The tail is that of the full scan of all starts by Kolmogorov-Smirnov distance.",
        "Clauset et al. 2009; theory D4",
        ("tail_fit",),
        "1e-9 relative",
    ),
    Clause("TAIL-02", "alpha does not depend on the scale of the eigenvalues.", "theory I1, W4", ("tail_fit",), "1e-9"),
    Clause(
        "TAIL-03",
        "The standard error is (alpha - 1) / sqrt(n).",
        "Clauset et al. 2009, Eq. 3.2",
        ("tail_fit",),
        "1e-9 relative",
    ),
    Clause(
        "TAIL-04",
        "alpha is the Hill estimate of exactly the eigenvalues from the start on.",
        "theory F1",
        ("tail_fit",),
        "1e-9 relative",
    ),
    Clause(
        "TAIL-05",
        "The KS distance reported is that of the tail reported.",
        "Clauset et al. 2009, Eq. 3.9",
        ("tail_fit",),
        "1e-9",
    ),
    Clause(
        "TAIL-06",
        "The ideal layer's tail is found exactly: its size and its exponent.",
        "theory 4.6",
        ("tail_fit",),
        "1e-9",
    ),
    Clause(
        "TAIL-07",
        "Signed Pareto elements of index mu give alpha = mu/2 + 1 for mu = .75, 1, 1.25 (Table 1, corrected).",
        "paper Eq. 6, Table 1; theory T2, E1",
        ("eigenvalues", "tail_fit"),
        ".2 on the median of 15",
        "statistical",
        "1e-6 an example (fixed seeds here)",
    ),
    Clause(
        "TAIL-08",
        "alpha grows with mu: the medians at mu = 1, 2, 3 are ordered with gaps above .5.",
        "theory T2",
        ("eigenvalues", "tail_fit"),
        ".5",
        "statistical",
        "below 1e-6 (fixed seeds here)",
    ),
    Clause(
        "TAIL-09",
        "alpha does not saturate for mu > 4: that is an effect of elements that are not centred.",
        "paper Fig. 3b; theory E3",
        ("eigenvalues", "tail_fit"),
        "medians above 5 and in (2.7, 4.5)",
        "statistical",
        "below 1e-4 (fixed seeds here)",
    ),
    Clause("TAIL-10", "Equal eigenvalues have no tail, no exponent of infinity.", "theory §7", ("tail_fit",)),
    Clause(
        "TAIL-11",
        "Fewer than twenty eigenvalues are fitted by the same estimator.",
        "theory W5, F1",
        ("tail_fit",),
        "1e-9 relative",
    ),
    Clause("TAIL-12", "Where there is nothing to fit there is no number: not -1 either.", "theory §7", ("tail_fit",)),
    Clause(
        "TAIL-13",
        "alpha of inverse Marchenko-Pastur is 1.53 + 1.24 kappa for kappa <= .5, not 2 kappa.",
        "paper Fig. 12; theory E25, T4",
        ("tail_fit",),
        ".2 on the median of 15",
        "statistical",
        "below 1e-4 (fixed seeds here)",
    ),
    Clause(
        "TAIL-14",
        "Equal eigenvalues are in the tail together or not at all.",
        "theory F1",
        ("tail_fit",),
        "1e-9 relative",
    ),
    Clause(
        "TAIL-15",
        "The exponent of 2000 and 5000 power-law quantiles is recovered.",
        "theory 4.5",
        ("tail_fit",),
        "four standard errors",
    ),
    Clause("TAIL-16", "Zeros do not touch the tail.", "theory D2", ("tail_fit",), "1e-9 relative"),
)
