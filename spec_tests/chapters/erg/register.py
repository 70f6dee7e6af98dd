"""What the chapter claims."""

from __future__ import annotations

from spec_tests.clause import Clause

CLAUSES = (
    Clause(
        "ERG-01",
        "The cut lies within one of the sign change of the partial log-determinant.",
        "theory I9, W1",
        ("erg_cut",),
        "|k - k*| <= 1",
    ),
    Clause(
        "ERG-02",
        "Of the two k beside the sign change the one with the smaller |S_k| is taken.",
        "theory D3; paper Eq. 126",
        ("erg_cut",),
        "equality; 1e-12 in the start",
    ),
    Clause(
        "ERG-03",
        "The residual is the sum of ln x over the tail, to forty digits' truth.",
        "theory D3",
        ("log_det",),
        "1e-9",
    ),
    Clause(
        "ERG-04",
        "The cut is right at 3000 to 16384 eigenvalues, where a product over- or underflows.",
        "theory I9, W2, E10",
        ("erg_cut",),
        "|k - k*| <= 1",
    ),
    Clause(
        "ERG-05",
        "Multiplying the eigenvalues by a number changes nothing but the raw start of the tail.",
        "theory I1, E9",
        ("erg_cut",),
        "1e-12 in the start",
    ),
    Clause(
        "ERG-06",
        "Transposition, permutation and scale of W leave the cut alone.",
        "theory I1",
        ("eigenvalues", "erg_cut"),
    ),
    Clause(
        "ERG-07",
        "Every eigenvalue above the mean is in the ECS, at most one beyond k0 is, and its mean is >= 1.",
        "theory I2, I5",
        ("erg_cut",),
        "1e-12",
    ),
    Clause(
        "ERG-08",
        "The residual is at most half the logarithm of the next eigenvalue.",
        "theory I3",
        ("log_det",),
        "1e-9",
    ),
    Clause("ERG-09", "A flat spectrum is taken whole.", "theory D3, I4", ("erg_cut",)),
    Clause(
        "ERG-10",
        "Zeros count in the mean and not in the logarithms: the cut ends at the rank.",
        "theory D2, E8",
        ("erg_cut",),
        "1e-12 in the start",
    ),
    Clause(
        "ERG-11", "Flat, rank-limited and degenerate spectra are told from ordinary ones.", "theory D3", ("erg_status",)
    ),
    Clause("ERG-12", "A spectrum of zeros has no cut and no invented start of a tail.", "theory D1", ("erg_cut",)),
    Clause(
        "ERG-13",
        "Of two eigenvalues 1-d and 1+d one is taken when d exceeds (sqrt 5 - 1)/2.",
        "theory D3",
        ("erg_cut",),
    ),
    Clause("ERG-14", "c copies of a spectrum are cut between c k0 and c k0 + c.", "theory I10", ("erg_cut",)),
    Clause(
        "ERG-15",
        "Marchenko-Pastur quantiles are cut at .7311, .8145, .8699 of M for Q = 1, 2, 4.",
        "theory 4.1",
        ("erg_cut",),
        "1.5e-3 in k/M, 3e-3 in the start",
    ),
    Clause(
        "ERG-16",
        "Gaussian matrices are cut where the Marchenko-Pastur law says.",
        "theory T3",
        ("eigenvalues", "erg_cut"),
        ".012 in k/M, .03 in the start",
        "statistical",
        "beyond 6 standard deviations",
    ),
    Clause(
        "ERG-17",
        "Inverse Marchenko-Pastur spectra are cut at .480, .711, .791, .881 for kappa = .1, .5, 1, 3.",
        "theory 4.3, E25",
        ("erg_cut",),
        "4e-3",
    ),
    Clause(
        "ERG-18",
        "The partial log-determinant changes sign once, and its end is not positive.",
        "theory I4, I6, F2",
        ("erg_cut",),
        "1e-9",
    ),
    Clause("ERG-19", "A rank-one matrix has x_1 = M.", "theory I5", ("eigenvalues",), "1e-12"),
    Clause(
        "ERG-20",
        "Zeros beside unequal eigenvalues lower the mean and so lengthen the ERG tail.",
        "theory D2",
        ("erg_cut",),
        "|k - k*| <= 1",
    ),
    Clause("ERG-21", "The residual is taken on the mean that counts the zeros.", "theory D2, D3", ("log_det",), "1e-8"),
)
