"""What the chapter claims."""

from __future__ import annotations

from spec_tests.clause import Clause

CLAUSES = (
    Clause(
        "QUAL-01",
        "q2 is the sum of integrated R over the ECS in Tanaka's N x N normalisation.",
        "theory F4, §10, E14",
        ("quality",),
        "1e-9 relative",
    ),
    Clause("QUAL-02", "(sum x)^2 / N <= q2 <= x_1 sum x.", "theory I15", ("quality",), "1e-9 relative"),
    Clause(
        "QUAL-03",
        "q2 of a full square spectrum is Schur-convex, at least M, and M when flat.",
        "theory I15",
        ("quality",),
        "1e-9 relative",
    ),
    Clause(
        "QUAL-04",
        "The five-term series agrees with the exact reading inside its domain rho < .3.",
        "theory F3, I16",
        ("quality_series",),
        "1e-2",
    ),
    Clause(
        "QUAL-05",
        "q2_series5 is Eq. 163 to the letter.",
        "paper Eq. 163; theory §10",
        ("quality_series",),
        "1e-9 relative",
    ),
    Clause(
        "QUAL-06",
        "q2 and q2_norm of long spectra are the sums over one root for each eigenvalue.",
        "theory 3.3, §10",
        ("quality", "quality_norm"),
        "1e-10 relative",
    ),
    Clause(
        "QUAL-07",
        "q2_norm is what Eq. 163 expands: the exact sum at x/k, never below kappa_1 squared, equal to it when flat.",
        "theory 3.4, I13",
        ("quality_norm",),
        "1e-9 relative",
    ),
    Clause(
        "QUAL-08",
        "q2_paper is the quantity identified in Fig. 24; at K = 2 half the tail's rank times its participation ratio.",
        "theory §9",
        ("quality_paper",),
        "1e-9 relative",
    ),
    Clause(
        "QUAL-09",
        "Padding with more zeros lowers q2; repeating a spectrum and N c times multiplies it by c.",
        "theory I14, E14",
        ("quality",),
        "1e-9 relative",
    ),
)
