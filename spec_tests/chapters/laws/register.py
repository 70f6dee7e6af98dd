"""What the chapter claims."""

from __future__ import annotations

from spec_tests.clause import Clause

CLAUSES = (
    Clause(
        "LAW-01",
        "The density has its support, is 0 outside, and has mass one.",
        "theory 4.1, 4.3, 4.5",
        ("law",),
        "1e-10 relative; 1e-5 in the mass",
    ),
    Clause(
        "LAW-02",
        "The distribution function is the integral of the density.",
        "theory 4.1",
        ("law",),
        "1e-9",
    ),
    Clause("LAW-03", "Mean and six moments, by quadrature.", "theory 4.1, 4.5", ("law",), "1e-9 relative"),
    Clause(
        "LAW-04",
        "The Stieltjes transform below, above and beside the support, by quadrature; z G tends to 1 far out.",
        "theory 4.1, 4.3, E17",
        ("law",),
        "1e-8 relative",
    ),
    Clause(
        "LAW-05", "R + 1/t is the inverse of the Stieltjes transform.", "theory 3.3, I12", ("law",), "1e-8 relative"
    ),
    Clause(
        "LAW-06",
        "The integral of R in closed form is the integral of R, between mean t and upper end t.",
        "theory I13, I17, E24",
        ("law",),
        "1e-8 relative",
    ),
    Clause(
        "LAW-07",
        "Free cumulants are those of the moments; of Marchenko-Pastur powers of q, of its inverse Catalan numbers.",
        "theory 4.1, E23, I11",
        ("law",),
        "1e-10",
    ),
    Clause(
        "LAW-08",
        "Over the ERG tail of a law the mean of ln x is 0, and the ERG fraction is its mass.",
        "theory D3, 4.1, 4.3",
        ("law",),
        "1e-8",
    ),
    Clause(
        "LAW-09",
        "ERG cuts of Marchenko-Pastur at q = 1, .5, .25 and of its inverse at kappa = .1, .5, 1, 3.",
        "theory 4.1, 4.3, E25",
        ("law",),
        "6e-4 in the fraction, 6e-5 in the start",
    ),
    Clause(
        "LAW-10",
        "A spectrum of quantiles has the R, the integral, the variance and the ERG cut of its law.",
        "theory 4.1, 4.3, 4.5",
        ("law", "r_transform", "integrated_r"),
        "2e-2 of 400 atoms; 2 atoms in the cut",
    ),
    Clause(
        "LAW-11",
        "Beyond the edge R of Marchenko-Pastur saturates at lambda_+ - 1/t, in the law and in its atoms.",
        "Guionnet and Maida 2005; theory 3.3",
        ("law", "r_transform"),
        "1e-7; atoms within the gap of the last one and their weight",
    ),
    Clause(
        "LAW-12",
        "R of inverse Marchenko-Pastur ends at kappa/2, above G of the edge; what lies past it is formal.",
        "paper Eqs. 151-152, 354-360; theory E23, E24, E40, E46",
        ("law", "r_transform"),
        "1e-9; 2e-2 of 400 atoms",
    ),
    Clause(
        "LAW-13",
        "Laws scale; inverse Marchenko-Pastur is the law of the inverses.",
        "theory I12, I13, 4.3, E25",
        ("law",),
        "1e-8 relative",
    ),
    Clause(
        "LAW-14",
        "Truncated power laws of alpha = 2, 3, 4 have the first two cumulants of the appendix.",
        "paper Eqs. 342-353; theory E44",
        ("law",),
        "1e-11; 2e-3 in the slope of R",
    ),
    Clause(
        "LAW-15",
        "At a hard end R exists for every t and stays below the end; two terms of its series do not.",
        "theory E45",
        ("law",),
        "6e-4",
    ),
    Clause(
        "LAW-16",
        "Free Cauchy has R = a - i gamma, and that pole.",
        "paper Eq. 145; theory E21",
        ("law",),
        "1e-11",
    ),
    Clause(
        "LAW-17",
        "Multiplicative Wishart as corrected is odd, and a difference of two free Marchenko-Pastur laws.",
        "paper Table 8; theory E29",
        ("law",),
        "1e-10 relative",
    ),
    Clause("LAW-18", "Levy-Wigner has b = alpha - 1.", "paper Eqs. 153-154; theory E27", ("law",), "1e-11 relative"),
    Clause(
        "LAW-19",
        "The Levy-Wigner power is R at -t of the free stable law on the positive half-line.",
        "Bercovici and Pata 1999; theory E28",
        ("law", "r_transform", "integrated_r"),
        "5e-3 of 500 atoms; 3e-2 in the integral",
    ),
    Clause(
        "LAW-20",
        "What a law does not have, and parameters outside its range, are refused with the reason.",
        "theory E21, E28, E29; api §1",
        ("law",),
    ),
    Clause(
        "LAW-21",
        "The quality of the formal continuation is kappa k / (alpha_erg - 1).",
        "paper Eq. 152; theory E26, F1, I8",
        ("law", "erg_cut", "meeting"),
        "1e-8 relative",
    ),
)
