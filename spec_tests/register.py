"""The register of clauses: what is claimed, where it comes from, how strictly, and what it needs.

Tier `exact` is an identity held to rounding; `statistical` is a claim about an ensemble, with the rate at which a
correct implementation fails it stated. A clause is `pending` while the capability it speaks of is still being built in
setol_ww; it runs against every implementation that has it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Clause:
    """One claim.

    Attributes
    ----------
    id, statement, source : str
    tier : str
        `exact` or `statistical`.
    needs : tuple of str
        Methods of the protocol.
    tolerance : str
        In words, for the report.
    error_rate : str
        For statistical clauses: how often a correct implementation fails one example.
    pending : bool
    """

    id: str
    statement: str
    source: str
    needs: tuple[str, ...]
    tolerance: str = "equality"
    tier: str = "exact"
    error_rate: str = ""
    pending: bool = False


SPECTRUM = (
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
)

ERG = (
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

TAIL = (
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

MEET = (
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

FREE = (
    Clause(
        "FREE-01",
        "Free cumulants are the moments less the sums over non-crossing partitions.",
        "paper Eq. 161-162; theory E32, E33, I11",
        ("free_cumulants",),
        "1e-10",
    ),
    Clause(
        "FREE-02",
        "Moments to cumulants and back is the identity.",
        "theory I11",
        ("free_cumulants", "moments_from_cumulants"),
        "1e-10",
    ),
    Clause(
        "FREE-03",
        "kappa_n scales with c^n; a shift moves kappa_1 alone.",
        "theory I11",
        ("free_cumulants",),
        "1e-8",
    ),
    Clause(
        "FREE-04",
        "kappa_2 is the variance; a point has no cumulant beyond the first.",
        "theory I11",
        ("free_cumulants",),
        "1e-9",
    ),
    Clause(
        "FREE-05",
        "The Marchenko-Pastur law has kappa_n = q^(n-1).",
        "theory 4.1, I11",
        ("free_cumulants",),
        "1e-9",
    ),
    Clause(
        "FREE-06",
        "Semicircle and free Poisson moments are Catalan numbers.",
        "theory I11, 4.7",
        ("free_cumulants", "moments_from_cumulants"),
        "1e-9",
    ),
    Clause(
        "FREE-07",
        "Cumulants add under free convolution.",
        "theory I11, 3.1",
        ("free_cumulants",),
        "6 standard deviations",
        "statistical",
        "below 1e-8",
    ),
    Clause(
        "FREE-08",
        "R(t) of an atomic law, ties included, against forty digits for t from 1e-6 to 1e3.",
        "theory F3, 3.3",
        ("r_transform",),
        "1e-10 relative",
    ),
    Clause(
        "FREE-09",
        "R lies between kappa_1 and lambda_max, does not fall, and obeys its lower bound.",
        "theory I12",
        ("r_transform",),
        "1e-9",
    ),
    Clause(
        "FREE-10",
        "R of cX at t is c R of X at ct; a shift adds.",
        "theory I12",
        ("r_transform",),
        "1e-9 relative",
    ),
    Clause(
        "FREE-11",
        "Weights act as repetitions; padding with zeros lowers the integral.",
        "theory I14, E14",
        ("r_transform", "integrated_r"),
        "1e-9 relative",
    ),
    Clause(
        "FREE-12",
        "R of Marchenko-Pastur is 1/(1 - qz) inside the edge and saturates beyond it.",
        "theory 4.1, 3.3, I17",
        ("r_transform", "integrated_r"),
        "5e-3 of 300 atoms",
    ),
    Clause(
        "FREE-13",
        "The integral of R in closed form against high precision.",
        "theory F4, I13",
        ("integrated_r",),
        "1e-10 relative",
    ),
    Clause(
        "FREE-14",
        "The slope of the integral is R.",
        "theory I13",
        ("r_transform", "integrated_r"),
        "1e-8 relative",
    ),
    Clause(
        "FREE-15",
        "The integral is convex, between kappa_1 t and lambda_max t, scales and shifts.",
        "theory I13",
        ("integrated_r",),
        "1e-9",
    ),
    Clause(
        "FREE-16",
        "R and its integral grow with every eigenvalue and with majorisation.",
        "theory I14",
        ("r_transform", "integrated_r"),
        "1e-9",
    ),
    Clause(
        "FREE-17",
        "A flat spectrum has constant R and a linear integral.",
        "theory I13",
        ("r_transform", "integrated_r"),
        "1e-10 relative",
    ),
    Clause(
        "FREE-18",
        "The inverse Marchenko-Pastur integral agrees with its closed form.",
        "theory E24, I17",
        ("integrated_r",),
        "1e-2 of 400 atoms",
    ),
    Clause(
        "FREE-19",
        "Unequal weights, against high precision.",
        "theory 3.3",
        ("r_transform", "integrated_r"),
        "1e-9 relative",
    ),
    Clause(
        "FREE-20",
        "Three cumulants, and R, add under free convolution within their derived fluctuation, law by law.",
        "theory I11, 3.1",
        ("free_cumulants", "r_transform"),
        "6 standard deviations of a Haar rotation; 7 in R",
        "statistical",
        "below 1e-7",
    ),
    Clause(
        "FREE-21",
        "R goes to kappa_1 + kappa_2 t at 0 and to lambda_max - (1 - w)/t at infinity; G(R + 1/t) = t above the atoms.",
        "theory I12",
        ("r_transform",),
        "1e-9 relative for t from 1e-12 to 1e9 of the gap",
    ),
    Clause(
        "FREE-22",
        "Atoms below zero are a law like any other.",
        "theory 3.3, I12",
        ("r_transform", "integrated_r"),
        "1e-10 of the largest atom",
    ),
    Clause(
        "FREE-23",
        "R falls with the convex order and with padding by zeros.",
        "theory I14",
        ("r_transform",),
        "1e-9",
    ),
    Clause(
        "FREE-24",
        "Over twelve decades of eigenvalues and t from 1e-6 to 1e3, with and without a padding of zeros.",
        "theory F3, F4, 3.3",
        ("r_transform", "integrated_r"),
        "1e-10 relative",
    ),
    Clause(
        "FREE-25",
        "The spherical integral of rank one is that of R to n beta lambda, not n beta times that to lambda.",
        "paper Eqs. 128-131, 251; theory E13",
        ("integrated_r",),
        "2e-3 relative, after the term in 1/N",
    ),
    Clause(
        "FREE-26",
        "The spherical integral of rank two by Monte Carlo is the sum of the integrals of R, at n beta = 1, 2, 5.",
        "paper Eq. 131; theory E13, F4",
        ("integrated_r",),
        "5 standard errors and a fifth of the term in 1/N",
        "statistical",
        "below 1e-6 (fixed seed here)",
    ),
    Clause(
        "FREE-27",
        "The spherical integral follows the N x N side with its zeros, not the M x M side.",
        "theory E14, F4",
        ("r_transform", "integrated_r"),
        "5e-3 relative, after the term in 1/N",
    ),
)

LAW = (
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

QUALITY = (
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

TRAP = (
    Clause(
        "TRAP-01",
        "Gaussian noise has no trap.",
        "theory T5, 4.1",
        ("traps",),
        "count 0",
        "statistical",
        "at most the stated level of the detector",
        pending=True,
    ),
    Clause(
        "TRAP-02",
        "One element at 2.5 times the threshold is one trap.",
        "theory 4.9, T5",
        ("traps",),
        "count 1",
        "statistical",
        "below 1e-3",
        pending=True,
    ),
    Clause(
        "TRAP-03",
        "A mean shift at 2.5 times the threshold is one trap.",
        "theory 4.9, E7",
        ("traps",),
        "count 1",
        "statistical",
        "below 1e-3",
        pending=True,
    ),
    Clause(
        "TRAP-04",
        "One element at .7 of the threshold is none.",
        "theory 4.9, T5",
        ("traps",),
        "count 0",
        "statistical",
        "at most the stated level of the detector",
        pending=True,
    ),
    Clause("TRAP-05", "The shuffle follows its seed.", "api §4", ("traps",), "1e-12", pending=True),
    Clause("TRAP-06", "The scale of W and its orientation do not matter.", "theory I1", ("traps",), pending=True),
    Clause(
        "TRAP-07",
        "A trap on a small layer is counted once.",
        "theory §7",
        ("traps",),
        "count 1",
        "statistical",
        "below 1e-3",
        pending=True,
    ),
    Clause(
        "TRAP-08",
        "The shuffle moves every element: structure of rows does not survive it.",
        "theory 4.9",
        ("traps",),
        "0.15 around 0.75",
        "statistical",
        "below 1e-6",
        pending=True,
    ),
    Clause(
        "TRAP-09",
        "Two planted elements are two traps.",
        "theory 4.9",
        ("traps",),
        "count 2",
        "statistical",
        "below 1e-3",
        pending=True,
    ),
)

TRUNCATION = (
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

GOLDEN = (
    Clause(
        "GOLD-01",
        "The published delta of Falcon-7B and Llama-13B is Eq. 164 in unit-mean scale.",
        "paper Figs 22-23; theory §9, E11",
        (),
        "1e-5",
    ),
    Clause(
        "GOLD-02",
        "In all 410 published rows alpha, xmin and the counts agree in sign as F1 demands.",
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

BULK = (
    Clause(
        "BULK-01",
        "The standard deviation of noise is that of its entries, square and rectangular.",
        "theory 4.1",
        ("bulk",),
        "5 / sqrt(N M), seven standard deviations of the trace",
        "statistical",
        "below 1e-6",
    ),
    Clause(
        "BULK-02",
        "Noise has a spike no more often than the level of the edge test says.",
        "theory 4.1; Johnstone 2001",
        ("bulk",),
        "at most 16 of 400 draws at level .01",
        "statistical",
        "below 1e-5 of the 400 draws",
    ),
    Clause(
        "BULK-03",
        "Every planted spike is counted, although spikes carry up to 80 % of the norm.",
        "theory 4.4; landscape 2.9",
        ("bulk",),
        "the planted number, one more in a draw of noise above the level",
        "statistical",
        "below 1e-3 (two noise eigenvalues above the level)",
    ),
    Clause(
        "BULK-04",
        "Spikes with up to 80 % of the norm move neither sigma nor the edges.",
        "theory 4.1, 4.4",
        ("bulk",),
        "sigma 6 / sqrt(N M); edge (2 spikes + 14) / sqrt(N M), relative",
        "statistical",
        "below 1e-6",
    ),
    Clause(
        "BULK-05",
        "The scale of W moves sigma and the edges with it and no spike.",
        "theory I1",
        ("bulk",),
        "1e-9 relative",
    ),
    Clause("BULK-06", "Zero, flat and tiny spectra have no bulk, and no numbers made up for one.", "api 4", ("bulk",)),
    Clause(
        "BULK-07",
        "Dead columns are left out: sigma is that of the live ones.",
        "theory D2",
        ("bulk",),
        "6 / sqrt(N M)",
        "statistical",
        "below 1e-6",
    ),
    Clause(
        "BULK-08",
        "Pooled kernel slices have one sigma, and a spike of one slice is one spike.",
        "theory §8, W7",
        ("bulk",),
        "6 / sqrt(slices N M); planted number or one more",
        "statistical",
        "below 1e-3",
    ),
    Clause(
        "BULK-09",
        "A signal below the BBP threshold is no spike.",
        "theory 4.4",
        ("bulk",),
        "none in at least five of nine draws",
        "statistical",
        "below 1e-4",
    ),
)

CLASS = (
    Clause(
        "CLASS-01",
        "Random initialisations, normal or uniform, of any size from 4 on are random-like; none is ever heavy-tailed.",
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
        "Signed Pareto matrices of mu <= 1.25 are very heavy-tailed.",
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
        "Quantiles of a power law are of the class of their alpha; those of Marchenko-Pastur, any Q, are random-like.",
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
        "A zero layer and one of fewer than four eigenvalues have no class.",
        "api 4",
        ("universality",),
    ),
)

CLAUSES: tuple[Clause, ...] = (
    *(*SPECTRUM, *ERG, *TAIL, *MEET, *FREE, *LAW, *QUALITY),
    *(*BULK, *CLASS, *TRAP, *TRUNCATION, *GOLDEN),
)
BY_ID = {clause.id: clause for clause in CLAUSES}
INVARIANTS = tuple(f"I{number}" for number in range(1, 19))
