"""Chapter FREE: moments, free cumulants, the R-transform and its integral."""

from __future__ import annotations

from math import comb

import numpy as np
from hypothesis import strategies as st

from fixtures import free_probability, laws
from fixtures import matrices as ensembles
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
    from fixtures.ensembles import marchenko_pastur_quantiles

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
