"""The checks of the chapter's clauses."""

from __future__ import annotations

from math import comb

import numpy as np
from hypothesis import strategies as st

from fixtures import free_probability, laws
from fixtures import matrices as ensembles
from fixtures.ensembles import marchenko_pastur_quantiles
from spec_tests.runner import checks
from spec_tests.strategies import ARGUMENTS, SEEDS, SpectrumCase, spectra

SMALL = spectra(1, 12, ("Pareto", "lognormal", "uniform"))


def moments_of(values: np.ndarray, order: int) -> list[float]:
    """m_1 ... m_order of the empirical law."""
    return [float(np.mean(values**k)) for k in range(1, order + 1)]


def unit(case: SpectrumCase) -> np.ndarray:
    """Unit-mean atoms."""
    return case.raw / case.raw.mean()


@checks.add("FREE-01", case=SMALL, order=st.integers(1, 6))
def cumulants_are_sums_over_noncrossing_partitions(impl, watch, case: SpectrumCase, order: int):
    moments = moments_of(unit(case), order)
    truth = free_probability.free_cumulants_by_enumeration(moments)
    scale = float(np.max(unit(case)))
    for n, (got, want) in enumerate(zip(impl.free_cumulants(moments), truth, strict=True), start=1):
        watch.close(f"kappa_{n} over lambda_max^n", got / scale**n, want / scale**n, tol=1e-10)


@checks.add("FREE-02", case=SMALL, order=st.integers(1, 6))
def round_trip(impl, watch, case: SpectrumCase, order: int):
    moments = moments_of(unit(case), order)
    back = impl.moments_from_cumulants(impl.free_cumulants(moments))
    scale = float(np.max(unit(case)))
    for n, (got, want) in enumerate(zip(back, moments, strict=True), start=1):
        watch.close(f"m_{n} over lambda_max^n", got / scale**n, want / scale**n, tol=1e-10)


@checks.add("FREE-03", case=SMALL, c=st.floats(0.1, 10), s=st.floats(-5, 5))
def scale_and_shift(impl, watch, case: SpectrumCase, c: float, s: float):
    x = unit(case)
    size = float(np.max(x)) + abs(s)
    kappa = impl.free_cumulants(moments_of(x, 5))
    scaled, shifted = impl.free_cumulants(moments_of(c * x, 5)), impl.free_cumulants(moments_of(x + s, 5))
    for n in range(1, 6):
        watch.close(f"kappa_{n} of c X", scaled[n - 1] / (c * size) ** n, kappa[n - 1] / size**n, tol=1e-9)
        want = kappa[n - 1] + (s if n == 1 else 0)
        watch.close(f"kappa_{n} of X + s", shifted[n - 1] / size**n, want / size**n, tol=1e-8)


@checks.add("FREE-04", case=SMALL)
def second_cumulant_is_the_variance(impl, watch, case: SpectrumCase):
    x = unit(case)
    watch.close(
        "kappa_2 over lambda_max^2",
        impl.free_cumulants(moments_of(x, 2))[1] / x.max() ** 2,
        x.var() / x.max() ** 2,
        tol=1e-10,
    )
    flat = impl.free_cumulants(moments_of(np.full(4, 2.0), 5))
    watch.close("cumulants of a point", flat, [2.0, 0, 0, 0, 0], tol=1e-9)


@checks.add("FREE-05", q=st.sampled_from([0.25, 0.5, 1.0]))
def marchenko_pastur_cumulants(impl, watch, q: float):
    moments = [float(laws.marchenko_pastur_moment(n, q)) for n in range(1, 7)]
    watch.close("kappa_1 ... kappa_6", impl.free_cumulants(moments), [q ** (n - 1) for n in range(1, 7)], tol=1e-9)


@checks.add("FREE-06")
def catalan_numbers(impl, watch):
    catalan = [comb(2 * n, n) // (n + 1) for n in range(1, 4)]
    watch.close(
        "moments of the semicircle",
        impl.moments_from_cumulants([0.0, 1.0, 0.0, 0.0, 0.0, 0.0])[1::2],
        catalan,
        tol=1e-9,
    )
    all_ones = [comb(2 * n, n) / (n + 1) for n in range(1, 7)]
    watch.close("moments of all cumulants 1", impl.moments_from_cumulants([1.0] * 6), all_ones, tol=1e-9)
    watch.close(
        "cumulants of Fuss-Catalan",
        impl.free_cumulants([float(laws.fuss_catalan(k)) for k in range(1, 5)]),
        [1, 2, 5, 14],
        tol=1e-9,
    )


@checks.add("FREE-07", seed=st.integers(0, 30), share=0.1)
def additive_under_free_convolution(impl, watch, seed: int):
    n, rng = 200, np.random.default_rng(seed)
    a, b = rng.random(n), rng.exponential(size=n)
    rotation = ensembles.haar(n, seed)
    total = np.linalg.eigvalsh(np.diag(a) + (rotation * b) @ rotation.T)
    kappa = [impl.free_cumulants(moments_of(x, 2)) for x in (a, b, total)]
    spread = 2 * np.sqrt(2 * kappa[0][1] * kappa[1][1]) / n
    watch.close("kappa_1", kappa[2][0], kappa[0][0] + kappa[1][0], tol=1e-9)
    watch.close("kappa_2", kappa[2][1], kappa[0][1] + kappa[1][1], tol=6 * spread)


@checks.add("FREE-08", case=SMALL, t=ARGUMENTS, tied=st.booleans())
def r_against_forty_digits(impl, watch, case: SpectrumCase, t: float, tied: bool):
    x = np.append(unit(case), unit(case)[-1:]) if tied else unit(case)
    truth = float(free_probability.r_transform_bisection(t, x))
    watch.near("R(t)", impl.r_transform(t, x), truth, rel=1e-10)


@checks.add("FREE-09", case=SMALL, t=ARGUMENTS)
def r_is_a_mean_of_eigenvalues(impl, watch, case: SpectrumCase, t: float):
    x = unit(case)
    got, later = impl.r_transform(t, x), impl.r_transform(2 * t, x)
    watch.at_most("kappa_1 - R", x.mean() - got, 1e-9 * x.max())
    watch.at_most("R - lambda_max", got - x.max(), 1e-9 * x.max())
    watch.at_most("lambda_max - (1 - w)/t - R", x.max() - (1 - 1 / x.size) / t - got, 1e-9 * x.max())
    watch.at_most("R(t) - R(2t)", got - later, 1e-9 * x.max())


@checks.add("FREE-10", case=SMALL, t=ARGUMENTS, c=st.floats(0.1, 10))
def r_scales_and_shifts(impl, watch, case: SpectrumCase, t: float, c: float):
    x = unit(case)
    watch.near("R of c X", impl.r_transform(t, c * x), c * impl.r_transform(c * t, x), rel=1e-9)
    watch.near("R of X + c", impl.r_transform(t, x + c), impl.r_transform(t, x) + c, rel=1e-9)


@checks.add("FREE-11", case=SMALL, zeros=st.integers(1, 20), t=ARGUMENTS)
def weights_are_repetitions(impl, watch, case: SpectrumCase, zeros: int, t: float):
    x = unit(case)
    padded = np.concatenate([np.zeros(zeros), x])
    weights = np.concatenate([[zeros / padded.size], np.full(x.size, 1 / padded.size)])
    atoms = np.concatenate([[0.0], x])
    watch.near("R", impl.r_transform(t, atoms, weights), impl.r_transform(t, padded), rel=1e-9)
    watch.near("integral of R", impl.integrated_r(t, atoms, weights), impl.integrated_r(t, padded), rel=1e-9)
    watch.at_most(
        "padding raises the integral by", impl.integrated_r(t, padded) - impl.integrated_r(t, x), 1e-9 * t * x.max()
    )


@checks.add("FREE-12", q=st.sampled_from([0.25, 0.5, 1.0]), share=0.1)
def marchenko_pastur_r(impl, watch, q: float):
    x = marchenko_pastur_quantiles(300, q)
    edge = 1 / (np.sqrt(q) * (1 + np.sqrt(q)))
    watch.near("R inside the edge", impl.r_transform(0.5 * edge, x), 1 / (1 - q * 0.5 * edge), rel=5e-3)
    watch.near("integral inside the edge", impl.integrated_r(0.5 * edge, x), -np.log(1 - q * 0.5 * edge) / q, rel=5e-3)
    # Far outside the edge R saturates at lambda_max - 1/t; the last atom stands a little inside the edge.
    watch.near("R ten edges out", impl.r_transform(10 * edge, x), x.max() - 0.1 / edge, rel=1e-3)


@checks.add("FREE-13", case=SMALL, t=ARGUMENTS)
def integral_against_quadrature(impl, watch, case: SpectrumCase, t: float):
    truth = float(free_probability.integrated_r_closed(t, unit(case)))
    watch.near("integral of R", impl.integrated_r(t, unit(case)), truth, rel=1e-10)


@checks.add("FREE-14", case=SMALL, t=ARGUMENTS)
def integral_has_r_as_its_slope(impl, watch, case: SpectrumCase, t: float):
    x = unit(case)
    points = t * (1 + np.array([-2, -1, 1, 2]) * 1e-3)
    H = [impl.integrated_r(point, x) for point in points]
    slope = (H[0] - 8 * H[1] + 8 * H[2] - H[3]) / (12e-3 * t)
    watch.near("slope", slope, impl.r_transform(t, x), rel=1e-8)


@checks.add("FREE-15", case=SMALL, t=ARGUMENTS, c=st.floats(0.1, 10))
def integral_bounds_scale_and_shift(impl, watch, case: SpectrumCase, t: float, c: float):
    x, H = unit(case), impl.integrated_r(t, unit(case))
    watch.at_most("kappa_1 t - H", x.mean() * t - H, 1e-9 * t * x.max())
    watch.at_most("H - lambda_max t", H - x.max() * t, 1e-9 * t * x.max())
    watch.near("H of c X", impl.integrated_r(t, c * x), impl.integrated_r(c * t, x), rel=1e-9)
    watch.near("H of X + c", impl.integrated_r(t, x + c), H + c * t, rel=1e-9)
    middle = impl.integrated_r(1.5 * t, x)
    watch.at_most(
        "convexity: 2 H(1.5 t) - H(t) - H(2 t)", 2 * middle - H - impl.integrated_r(2 * t, x), 1e-9 * t * x.max()
    )


@checks.add("FREE-16", case=SMALL, t=ARGUMENTS, seed=SEEDS)
def larger_eigenvalues_give_more(impl, watch, case: SpectrumCase, t: float, seed: int):
    x = unit(case)
    more = x + np.random.default_rng(seed).random(x.size)
    watch.at_most("R - R'", impl.r_transform(t, x) - impl.r_transform(t, more), 1e-9 * x.max())
    watch.at_most("H - H'", impl.integrated_r(t, x) - impl.integrated_r(t, more), 1e-9 * t * x.max())
    nearer = (x + x.mean()) / 2
    watch.at_most(
        "a majorised spectrum gives more by", impl.integrated_r(t, nearer) - impl.integrated_r(t, x), 1e-9 * t * x.max()
    )


@checks.add("FREE-17", value=st.floats(0.1, 10), t=ARGUMENTS)
def a_point_is_linear(impl, watch, value: float, t: float):
    watch.near("R", impl.r_transform(t, np.full(5, value)), value, rel=1e-10)
    watch.near("H", impl.integrated_r(t, np.full(5, value)), value * t, rel=1e-10)


@checks.add("FREE-18", kappa=st.sampled_from([0.5, 1.0, 3.0]), share=0.1)
def inverse_marchenko_pastur_integral(impl, watch, kappa: float):
    x = laws.inverse_marchenko_pastur_quantiles(400, kappa)
    edge = ((kappa + 1) + np.sqrt(2 * kappa + 1)) / kappa
    t = 0.3 * kappa * (kappa + 1 - kappa / edge) / (2 * kappa + 1)
    t = min(t, 0.2 * kappa)
    s = np.sqrt(1 - 2 * t / kappa)
    watch.near("H", impl.integrated_r(t, x / x.mean()), 2 * kappa * ((1 - s) - np.log(2 / (1 + s))), rel=1e-2)


@checks.add("FREE-19", case=SMALL, t=ARGUMENTS, seed=SEEDS)
def unequal_weights(impl, watch, case: SpectrumCase, t: float, seed: int):
    weights = np.random.default_rng(seed).random(case.n) + 0.01
    weights /= weights.sum()
    for what, got, truth in (
        ("R", impl.r_transform, free_probability.r_transform_bisection),
        ("integral of R", impl.integrated_r, free_probability.integrated_r_closed),
    ):
        watch.near(what, got(t, unit(case), weights), float(truth(t, unit(case), weights)), rel=1e-9)


SPREAD_OUT = {
    "uniform": lambda n, rng: rng.random(n),
    "exponential": lambda n, rng: rng.exponential(size=n),
    "Marchenko-Pastur": lambda n, rng: marchenko_pastur_quantiles(n, 0.5),
    "inverse Marchenko-Pastur": lambda n, rng: laws.inverse_marchenko_pastur_quantiles(n, 0.5),
    "power law": lambda n, rng: laws.truncated_power_law_quantiles(n, 2.0, 0.2, 20.0),
    "two signs": lambda n, rng: np.linspace(-1.0, 2.0, n),
}


@checks.add(
    "FREE-20", one=st.sampled_from(sorted(SPREAD_OUT)), other=st.sampled_from(sorted(SPREAD_OUT)), seed=SEEDS, share=0.5
)
def three_cumulants_and_r_add(impl, watch, one: str, other: str, seed: int):
    n, rng = 100, np.random.default_rng(seed)
    a, b = SPREAD_OUT[one](n, rng), SPREAD_OUT[other](n, rng)
    rotation = ensembles.haar(n, seed)
    total = np.linalg.eigvalsh(np.diag(a) + (rotation * b) @ rotation.T)
    kappa = np.array([impl.free_cumulants(moments_of(x, 3)) for x in (a, b, total)])
    defect = kappa[2] - kappa[0] - kappa[1]
    spread = free_probability.additivity_spread(a, b)
    size = np.max(np.abs(a)) + np.max(np.abs(b))
    watch.close("kappa_1 over size", defect[0] / size, 0.0, tol=1e-11)
    watch.close("kappa_2", defect[1], 0.0, tol=6 * spread[0])
    watch.close("kappa_3", defect[2], 0.0, tol=6 * spread[1])
    t = 0.05 / size  # the series of R: what is left of its higher terms is below a tenth of those two
    R = [impl.r_transform(t, x) for x in (a, b, total)]
    watch.close("R", R[2] - R[0] - R[1], 0.0, tol=7 * (spread[0] * t + spread[1] * t * t))


@checks.add("FREE-21", case=SMALL, part=st.sampled_from([1e-12, 1e-9, 1e6, 1e9]))
def ends_of_r_and_the_blue_function(impl, watch, case: SpectrumCase, part: float):
    x = unit(case)
    t = part / x.max() if part < 1 else part / (x.max() - np.partition(x, -2)[-2]) if case.n > 1 else part
    R = impl.r_transform(t, x)
    want = x.mean() + x.var() * t if part < 1 else x.max() - (1 - 1 / x.size) / t
    watch.near("R near 0 or infinity", R, want, rel=1e-9)
    watch.near("order of atoms", impl.r_transform(t, x[::-1].copy()), R, rel=1e-10)
    t = 0.3 / x.mean()
    B = impl.r_transform(t, x) + 1 / t
    watch.that(B > x.max(), f"B = {B} is not above the largest atom {x.max()}")
    watch.near("G(B)", np.mean(1 / (B - x)), t, rel=1e-7)


@checks.add("FREE-22", case=SMALL, t=ARGUMENTS, down=st.floats(0.1, 3))
def atoms_below_zero(impl, watch, case: SpectrumCase, t: float, down: float):
    x = unit(case) - down
    size = float(np.max(np.abs(x))) + down
    R, H = (float(f(t, x)) for f in (free_probability.r_transform_bisection, free_probability.integrated_r_closed))
    watch.close("R over the largest atom", impl.r_transform(t, x) / size, R / size, tol=1e-10)
    watch.close("integral of R over t times it", impl.integrated_r(t, x) / t / size, H / t / size, tol=1e-10)
    watch.close("R of X + c - c", (impl.r_transform(t, x + down) - down) / size, R / size, tol=1e-10)


@checks.add("FREE-23", case=SMALL, t=ARGUMENTS, zeros=st.integers(1, 20), flat=st.floats(0, 1))
def convex_order(impl, watch, case: SpectrumCase, t: float, zeros: int, flat: float):
    x = unit(case)
    nearer = (1 - flat) * x + flat * x.mean()
    slack = 1e-9 * x.max()
    watch.at_most("a majorised spectrum has more R by", impl.r_transform(t, nearer) - impl.r_transform(t, x), slack)
    padded = np.append(x, np.zeros(zeros))
    watch.at_most("padding raises R by", impl.r_transform(t, padded) - impl.r_transform(t, x), slack)
    watch.at_most("mean of the padded - R", padded.mean() - impl.r_transform(t, padded), slack)


@checks.add("FREE-24", seed=SEEDS, t=ARGUMENTS, low=st.integers(-12, 6), padded=st.booleans())
def twelve_decades(impl, watch, seed: int, t: float, low: int, padded: bool):
    x = 10.0 ** (low + 12 * np.random.default_rng(seed).random(12))
    x[0], x[-1] = 10.0**low, 10.0 ** (low + 12)
    weights = np.full(12, 1 / 12)
    if padded:
        x, weights = np.append(x, 0.0), np.append(weights / 100, 0.99)
    watch.near(
        "R", impl.r_transform(t, x, weights), float(free_probability.r_transform_bisection(t, x, weights)), rel=1e-10
    )
    watch.near(
        "integral of R",
        impl.integrated_r(t, x, weights),
        float(free_probability.integrated_r_closed(t, x, weights)),
        rel=1e-10,
    )


@checks.add("FREE-25")
def rank_one_spherical_integral(impl, watch):
    N, level = 120, 0.5
    x = marchenko_pastur_quantiles(N, 0.6)
    for beta in (1, 2, 5):
        exact = float(free_probability.rank_one_spherical_integral(beta * level, x, 8))
        H = impl.integrated_r(beta * level, x) - free_probability.spherical_correction([beta * level], x)
        watch.near(f"integral of R to {beta} lambda, against the sphere", H, exact, rel=2e-3)
        if beta > 1:
            as_printed = beta * impl.integrated_r(level, x)
            watch.at_most("n beta times the integral to lambda, as printed", as_printed, 0.85 * exact)


@checks.add("FREE-26")
def spherical_integral_by_monte_carlo(impl, watch):
    x, level = marchenko_pastur_quantiles(60, 0.6), 0.1
    for beta in (1, 2, 5):
        thetas = [beta * level, 0.6 * beta * level]
        drawn, error = free_probability.low_rank_spherical_monte_carlo(thetas, x, 20_000, seed=26)
        total = sum(impl.integrated_r(theta, x) for theta in thetas)
        correction = free_probability.spherical_correction(thetas, x)
        watch.close(f"sum of integrals at n beta = {beta}", total - correction, drawn, tol=5 * error + correction / 5)
        if beta == 5:
            as_printed = beta * sum(impl.integrated_r(theta / beta, x) for theta in thetas)
            watch.at_most("as printed", as_printed, 0.92 * drawn)


@checks.add("FREE-27")
def normalisation_of_the_larger_side(impl, watch):
    N, M = 60, 30
    inner = marchenko_pastur_quantiles(M, 0.5)
    outer = np.append(inner, np.zeros(N - M))
    atoms, weights = np.append(inner, 0.0), np.append(np.full(M, 1 / N), 1 - M / N)
    for t in (0.05, 0.5):
        exact = float(free_probability.rank_one_spherical_integral(t, outer, 8))
        correction = free_probability.spherical_correction([t], outer)
        watch.near("N x N side", impl.integrated_r(t, atoms, weights) - correction, exact, rel=5e-3)
        watch.at_most("1.6 of it, against the M x M side", 1.6 * exact, impl.integrated_r(t, inner))
    small = 1e-7
    watch.near("kappa_1 of the N x N side", impl.r_transform(small, atoms, weights), inner.mean() * M / N, rel=1e-5)
