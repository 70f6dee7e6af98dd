"""Laws asked in every form: numbers, lists, arrays of any shape and type; at their ends, at nothing, beyond limits."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import scipy.special

import setol_ww as ww
from fixtures.free_probability import free_cumulants_by_enumeration, moments_by_enumeration
from fixtures.uneven_noise import lognormal_strengths
from setol_ww.theory import transforms
from setol_ww.theory.laws import edge
from setol_ww.theory.laws.base import Law, positive

LAWS: dict[str, Law] = {
    "Marchenko-Pastur": ww.laws.MarchenkoPastur(0.5, 3.0),
    "square": ww.laws.MarchenkoPastur(1.0),
    "inverse": ww.laws.InverseMarchenkoPastur(1.5),
    "power law": ww.laws.TruncatedPowerLaw(2.0, 1.0, 10.0),
    "Cauchy": ww.laws.FreeCauchy(1.0, 0.5),
    "Levy": ww.laws.LevyWigner(1.5),
    "Wishart": ww.laws.MultiplicativeWishart(0.5, 0.3),
    "uneven": ww.laws.UnevenNoise(lognormal_strengths(30, 0.4, 1), lognormal_strengths(20, 0.3, 2)),
}
#: A method and points that every law which has it accepts.
ASKED: dict[str, list[float]] = {
    "pdf": [-1, 0, 1, 2, 3, 50],
    "cdf": [-1, 0, 1, 2, 3, 50],
    "quantile": [0, 1, 0, 1, 0, 1],
    "stieltjes": [-3, 12, 13, -5, 200, -1],
    "r_transform": [0.125, 0.0625, 0.03125, 0.25, 0.1875, 0.2],
    "integrated_r": [0.125, 0.0625, 0.03125, 0.25, 0.1875, 0.2],
    "saturated_r": [1, 2, 3, 4, 5, 100],
    "saturated_integrated_r": [1, 2, 3, 4, 5, 100],
    "formal_r": [1, 2, 3, 4, 5, 100],
    "formal_integrated_r": [1, 2, 3, 4, 5, 100],
}
THERE = [
    (name, method)
    for name, law in LAWS.items()
    for method in ASKED
    if hasattr(law, method) and method not in law.lacks and (name, method) != ("Cauchy", "stieltjes")
]


@pytest.mark.parametrize(("name", "method"), THERE)
def test_the_form_of_an_answer_is_that_of_the_question(name, method):
    """A number for a number, an array of the shape of an array; lists, whole numbers and float32 are numbers too."""
    ask, points = getattr(LAWS[name], method), ASKED[method]
    plain = np.array([ask(float(point)) for point in points])
    assert all(np.ndim(ask(float(point))) == 0 for point in points)
    assert not isinstance(ask(float(points[0])), np.ndarray)
    assert ask([]).shape == (0,)
    for shape in ((6,), (2, 3), (3, 1, 2)):
        found = ask(np.array(points, dtype=np.float64).reshape(shape))
        assert found.shape == shape
        np.testing.assert_allclose(found.ravel(), plain, rtol=1e-13)
    np.testing.assert_array_equal(ask(list(points)), ask(np.array(points, dtype=np.float64)))
    narrow = np.array(points, dtype=np.float32)
    for stored in (narrow, narrow.astype(np.longdouble), [[float(one)] for one in narrow]):
        found = np.ravel(ask(stored))
        assert found.dtype.itemsize in (8, 16)
        np.testing.assert_allclose(found, ask(narrow.astype(np.float64)), rtol=1e-12)


TRANSFORMS = ("r_transform", "integrated_r", "r_derivative", "blue")


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_of_a_spectrum_take_numbers_of_any_type(name):
    ask, atoms = getattr(ww.transforms, name), [1, 2, 5]
    plain = np.array([ask(float(t), [1.0, 2.0, 5.0]) for t in (1, 2, 7)])
    assert ask(2, atoms) == plain[1]
    for t in ([1, 2, 7], np.array([1, 2, 7], dtype=np.float32), np.array([True, 2, 7])):
        found = ask(t, np.array(atoms, dtype=np.float32))
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, plain, rtol=1e-14)
    np.testing.assert_allclose(ask(np.array([[[1], [2], [7]]]), atoms)[0, :, 0], plain, rtol=1e-14)
    assert ask([], atoms).shape == (0,)
    narrow = np.float32(0.1)
    assert ask(narrow, [narrow, 1.0]) == pytest.approx(ask(float(narrow), [float(narrow), 1.0]), rel=1e-14)


@pytest.mark.parametrize("wrong", [0, -1.0, math.inf, math.nan, [1.0, 0.0], [[2.0, -math.inf]]])
def test_a_point_of_r_is_positive_and_finite(wrong):
    said = f"t={wrong!r} was asked; accepted are positive finite numbers"
    for name in ("r_transform", "integrated_r"):
        for law in (LAWS["square"], LAWS["inverse"], LAWS["power law"], LAWS["Levy"], LAWS["Wishart"]):
            with pytest.raises(ww.InvalidInput) as refused:
                getattr(law, name)(wrong)
            assert str(refused.value) == said
    for name in TRANSFORMS:
        with pytest.raises(ww.InvalidInput) as refused:
            getattr(ww.transforms, name)(wrong, [1.0, 2.0])
        assert str(refused.value) == said
    assert positive(np.float32(2.0)).dtype == np.float64


@pytest.mark.parametrize(("name", "method"), THERE)
def test_what_is_no_number_is_refused_by_its_name(name, method):
    ask = getattr(LAWS[name], method)
    letter = {"pdf": "x", "cdf": "x", "quantile": "p", "stieltjes": "z"}.get(method, "t")
    for wrong in ("a", None, [[1.0], [1.0, 2.0]], 10**400):
        with pytest.raises(ww.InvalidInput, match=rf"^{letter} .* were given"):
            ask(wrong)
    if letter in ("x", "p"):
        with pytest.raises(ww.InvalidInput, match=f"^{letter} of type complex128 were given; accepted are real"):
            ask(1j)
    if letter in ("x", "z"):
        assert math.isnan(ask(math.nan))
        assert np.isnan(ask([math.nan, ASKED[method][0]])).tolist() == [True, False]


@pytest.mark.parametrize("name", ["Marchenko-Pastur", "square", "inverse", "power law"])
def test_a_real_point_is_off_the_support_and_a_complex_one_anywhere(name):
    """Both ends of the support on both sides; just above the axis the imaginary part is the density."""
    law = LAWS[name]
    lower, upper = law.support
    # Where the density does not go to 0 quadrature needs some distance, and G diverges.
    soft = name != "power law"
    for end, sign in ((lower, -1.0), (upper, 1.0)):
        inside = np.nextafter(end, -sign * math.inf)
        outside = np.nextafter(end, sign * math.inf) if soft else end * (1 + 1e-3 * sign)
        for point in (outside, outside + sign):
            assert np.sign(law.stieltjes(point)) == sign
        assert law.stieltjes([outside, outside + sign]).shape == (2,)
        for refused in (inside, (lower + upper) / 2, [outside, inside], *(() if soft and end > 0 else (end,))):
            with pytest.raises(ww.InvalidInput, match=r"G of .* was asked"):
                law.stieltjes(refused)
        if soft and end > 0:
            assert law.stieltjes(end) == pytest.approx(law.stieltjes(outside), rel=1e-6)
    height = 1e-7 if soft else 1e-2
    for x in np.linspace(lower, upper, 7)[1:-1]:
        G = law.stieltjes(x + 1j * height)
        assert -G.imag / math.pi == pytest.approx(law.pdf(x), rel=1e-4 if soft else 0.05)
        assert law.stieltjes(x - 1j * height) == pytest.approx(np.conj(G), rel=1e-9)
    assert law.stieltjes(complex(upper + 1)) == pytest.approx(law.stieltjes(upper + 1), rel=1e-12)
    assert isinstance(law.stieltjes(complex(upper + 1)), complex)


@pytest.mark.parametrize("name", ["Marchenko-Pastur", "inverse"])
def test_r_saturates_at_its_limit_without_a_jump(name):
    """Below it the closed form, beyond it the edge less 1/t; values, slopes and integrals on both sides."""
    law = LAWS[name]
    edge, limit = law.support[1], law.r_limit
    assert limit == pytest.approx(law.stieltjes(edge), rel=1e-9)
    assert law.saturated_r(limit) == pytest.approx(edge - 1 / limit, rel=1e-9)
    for share in (1e-6, 0.5, 1 - 1e-9):
        assert law.saturated_r(share * limit) == law.r_transform(share * limit)
        assert law.saturated_integrated_r(share * limit) == law.integrated_r(share * limit)
    for factor in (1 + 1e-9, 2.0, 1e6):
        t = factor * limit
        assert law.saturated_r(t) == pytest.approx(edge - 1 / t, rel=1e-13)
        beyond = edge * (t - limit) - math.log(factor)
        assert law.saturated_integrated_r(t) == pytest.approx(law.integrated_r(limit) + beyond, rel=1e-12)


TINY, INF, NAN = 5e-324, math.inf, math.nan
#: Parameters that are accepted up to the limits, those at or beyond them, what is said of these.
PARAMETERS: dict[type[Law], tuple[list[tuple[float, ...]], list[tuple[float, ...]], str]] = {
    ww.laws.MarchenkoPastur: (
        [(TINY,), (1,), (0.5, TINY), (0.5, 1e308)],
        [(0,), (1.0000001,), (-1,), (NAN,), (0.5, 0), (0.5, -1.0), (0.5, INF), (0.5, NAN)],
        "0 < q <= 1 and sigma2 > 0",
    ),
    ww.laws.InverseMarchenkoPastur: ([(1e-9,), (1e9,)], [(0,), (-1,), (INF,), (NAN,)], "kappa > 0"),
    ww.laws.TruncatedPowerLaw: (
        [(2.0, TINY, 1.0), (0.0, 1.0, 1.0000001), (-3, 1, 1e308)],
        [(2, 0, 1), (2, 1, 1), (2, 2, 1), (2, 1, INF), (INF, 1, 2), (NAN, 1, 2), (2, NAN, 1), (2, 1, NAN)],
        "0 < lower < upper and a finite alpha",
    ),
    ww.laws.FreeCauchy: ([(0.0, TINY), (-5, 1)], [(0.0, 0.0), (0.0, -1.0), (0.0, NAN)], "gamma > 0"),
    ww.laws.LevyWigner: ([(1.0000001,), (1.9999999,)], [(1,), (2,), (NAN,)], "1 < alpha < 2"),
    ww.laws.MultiplicativeWishart: (
        [(TINY, 1.0), (1.0, TINY)],
        [(0, 1), (1, 0), (-1, 1), (1, -1), (NAN, 1), (1, NAN)],
        "epsilon > 0 and phi > 0",
    ),
}


@pytest.mark.parametrize("law", PARAMETERS)
def test_a_law_is_accepted_up_to_the_ends_of_its_parameters(law):
    accepted, refused, said = PARAMETERS[law]
    for parameters in accepted:
        law(*parameters)
    for parameters in refused:
        with pytest.raises(ww.InvalidInput, match=rf"^{law.__name__}\(.*\) was asked; accepted .*{said}$"):
            law(*parameters)


@pytest.mark.parametrize("number", range(1, 9))
def test_cumulants_and_moments_are_those_of_noncrossing_partitions(number):
    """Of few, by closed formulas, and of many, by powers of a series; there and back, with weights and without."""
    atoms, weights = np.array([-1.0, 0.5, 2.0, 2.5]), np.array([1.0, 2.0, 0.0, 3.0])
    mass = weights / weights.sum()
    m = [float(np.sum(mass * atoms**k)) for k in range(1, number + 1)]
    assert ww.transforms.moments(atoms, number, weights) == pytest.approx(m, rel=1e-13)
    truth = free_cumulants_by_enumeration(m)
    assert ww.transforms.free_cumulants(m) == pytest.approx(truth, rel=1e-10, abs=1e-11)
    assert ww.transforms.free_cumulants_of(atoms, number, weights) == pytest.approx(truth, rel=1e-11, abs=1e-12)
    assert ww.transforms.moments_from_cumulants(truth) == pytest.approx(m, rel=1e-11)
    assert moments_by_enumeration(truth) == pytest.approx(m, rel=1e-9)
    flat = ww.transforms.free_cumulants_of([3.0, 3.0], number)
    assert flat.tolist() == [3.0] + [0.0] * (number - 1)


def test_blocks_of_points_are_one_by_one(monkeypatch):
    """Few points at a time, or one, as many atoms ask for."""
    atoms, t = np.array([0.5, 1.0, 4.0]), np.geomspace(0.1, 10, 7)
    z = np.linspace(5, 9, 7)
    whole = [getattr(ww.transforms, name)(t, atoms) for name in TRANSFORMS] + [ww.transforms.stieltjes(z, atoms)]
    for elements in (1, 3, 7, 9, 100):
        monkeypatch.setattr(transforms, "BLOCK_ELEMENTS", elements)
        again = [getattr(ww.transforms, name)(t, atoms) for name in TRANSFORMS] + [ww.transforms.stieltjes(z, atoms)]
        np.testing.assert_allclose(again, whole, rtol=1e-14)


def test_weights_are_normalised_and_dropped_where_they_are_zero():
    """The largest atom of weight 0 has no say in what lies above the spectrum."""
    for name in TRANSFORMS:
        ask = getattr(ww.transforms, name)
        plain = ask([0.1, 3.0], [1.0, 2.0, 2.0])
        np.testing.assert_allclose(ask([0.1, 3.0], [1.0, 2.0, 9.0], [5.0, 10.0, 0.0]), plain, rtol=1e-13)
        np.testing.assert_allclose(ask([0.1, 3.0], [1.0, 2.0], [1e-300, 2e-300]), plain, rtol=1e-13)
    assert ww.transforms.stieltjes(9.0, [1.0, 9.0], [1, 0]) == 1 / 8
    assert ww.transforms.moments([1, 3], 2, [1, 1]).tolist() == [2.0, 5.0]


@pytest.mark.parametrize("law", [LAWS["Marchenko-Pastur"], LAWS["square"], LAWS["inverse"], LAWS["power law"]])
def test_the_tail_of_the_cut_has_a_mean_logarithm_of_zero(law):
    """From `erg_lambda_min` times the mean on, and as large a share of eigenvalues as `erg_fraction` says."""
    start, upper = law.erg_lambda_min * law.mean, law.support[1]
    theta = np.linspace(0, math.pi / 2, 200_001)
    x = start + (upper - start) * np.sin(theta) ** 2
    density = law.pdf(x) * (upper - start) * np.sin(2 * theta)
    assert np.trapezoid(density * np.log(x / law.mean), theta) == pytest.approx(0, abs=1e-8)
    assert np.trapezoid(density, theta) == pytest.approx(law.erg_fraction, abs=1e-8)
    assert law.cdf(start) == pytest.approx(1 - law.erg_fraction, abs=1e-9)
    assert law.moment(0) == 1.0
    assert law.moment(1) == pytest.approx(law.mean, rel=1e-12)


@pytest.mark.parametrize(
    "law",
    [
        ww.laws.UnevenNoise(np.ones(9), np.ones(9), 0.02),
        ww.laws.MarchenkoPastur(0.02),
        ww.laws.MarchenkoPastur(1e-6, 1e-100),
        ww.laws.InverseMarchenkoPastur(50.0),
        ww.laws.TruncatedPowerLaw(-300.0, 1.0, 1.1),
        ww.laws.TruncatedPowerLaw(300.0, 1.0, 9.0),
    ],
    ids=repr,
)
def test_a_narrow_law_is_nothing_beyond_its_ends_in_silence(law):
    lower, upper = law.support
    points = np.array([-math.inf, -1e300, 0.0, lower / 2, lower * 0.999, upper * 1.001, 10 * upper, 1e300, math.inf])
    with np.errstate(all="raise", under="ignore"):
        assert law.pdf(points).tolist() == [0.0] * 9
        assert law.cdf(points) == pytest.approx([0.0] * 5 + [1.0] * 4, abs=1e-9)
        x = np.geomspace(lower, upper, 4001)
        assert np.trapezoid(law.pdf(x), x) == pytest.approx(1, rel=0.01)
        assert law.cdf(x[2000]) == pytest.approx(np.trapezoid(law.pdf(x[:2001]), x[:2001]), abs=0.01)


UNIFORM = [(0.5, 2.0), (1e-3, 40.0), (3.0, 3.001)]


@pytest.mark.parametrize(("a", "b"), UNIFORM)
@pytest.mark.parametrize("size", [1e-9, 1e-4, 0.02, 0.7, 5.0, 28.0, 60.0, 900.0])
def test_r_of_a_uniform_law_has_a_closed_form(a, b, size):
    """G(B) = ln((B - a)/(B - b))/(b - a), so R = a + w/(1 - exp(-w t)) - 1/t; up to the saturated end."""
    law, w, t = ww.laws.TruncatedPowerLaw(0.0, a, b), b - a, size / (b - a)
    with mpmath.workdps(50):
        exact_w, exact_t = mpmath.mpf(b) - a, mpmath.mpf(t)
        R = a + exact_w / (1 - mpmath.exp(-exact_w * exact_t)) - 1 / exact_t
        H = a * exact_t + mpmath.log(mpmath.expm1(exact_w * exact_t) / (exact_w * exact_t))
    assert law.r_transform(t) == pytest.approx(float(R), rel=1e-11)
    assert law.integrated_r(t) == pytest.approx(float(H), rel=1e-11)
    assert law.mean == pytest.approx((a + b) / 2, rel=1e-13)
    assert law.pdf((a + b) / 2) == pytest.approx(1 / w, rel=1e-9)
    assert law.cdf(a + w / 4) == pytest.approx(0.25, rel=1e-9)


@pytest.mark.parametrize("distance", [1e-15, 1e-13, 1e-9, 1e-3, 0.4, 0.6, 1.1, 30.0, 1e9])
def test_the_stieltjes_transform_of_an_inverse_square_has_a_closed_form(distance):
    """C [(1/a - 1/b)/z + ln(b (z - a)/(a (z - b)))/z^2] with C = a b/(b - a), however near z lies to the upper end."""
    a, b = 1.0, 8.0
    law = ww.laws.TruncatedPowerLaw(2.0, a, b)

    def exact(z):
        with mpmath.workdps(40):
            z = mpmath.mpmathify(z)
            logarithm = mpmath.log(b * (z - a) / (a * (z - b)))
            return complex(a * b / (b - a) * ((1 / mpmath.mpf(a) - 1 / mpmath.mpf(b)) / z + logarithm / z**2))

    z = b * (1 + distance)
    assert law.stieltjes(z) == pytest.approx(exact(z).real, rel=1e-11)
    t = exact(z).real
    with mpmath.workdps(40):
        R = float(mpmath.mpf(z) - 1 / mpmath.mpf(t))
    if 1e-4 < distance < 100:
        assert law.r_transform(t) == pytest.approx(R, rel=1e-9)
    if distance >= 1e-3:
        for far in (-distance, a / 2, z + 0.5j, -2 - distance * 1j):
            assert law.stieltjes(far) == pytest.approx(exact(far), rel=1e-9)


@pytest.mark.parametrize("name", ["Marchenko-Pastur", "square", "inverse", "power law", "Cauchy", "uneven"])
def test_a_distribution_rises_from_0_to_1(name):
    law = LAWS[name]
    lower, upper = (max(end, -1e3) for end in law.support)
    values = law.cdf(np.linspace(lower, min(upper, 1e3), 500))
    assert np.all((values >= 0) & (values <= 1))
    assert np.all(np.diff(values) >= -1e-13)
    assert values[[0, -1]] == pytest.approx([0, 1], abs=1e-3)


@pytest.mark.parametrize("x", [-4.0, -2.0, 0.0, 1.5, 4.0, 10.0, 20.0])
def test_tracy_widoms_law_to_ten_digits(x):
    """By twice as many nodes farther out: a determinant, and to the right of 0 its expansion in traces."""
    nodes, weights = np.polynomial.legendre.leggauss(90)
    width = 26 + 2 * abs(x)
    u, root = x + width * (nodes + 1) / 2, np.sqrt(weights * width / 2)
    kernel = root[:, None] * scipy.special.airy((u[:, None] + u) / 2)[0] / 2 * root
    powers = [np.trace(np.linalg.matrix_power(kernel, k)) for k in range(1, 9)]
    symmetric = [1.0]
    for order in range(1, 9):
        signs = [(-1) ** k * symmetric[order - 1 - k] * powers[k] for k in range(order)]
        symmetric.append(math.fsum(signs) / order)
    expanded = -math.fsum((-1) ** order * one for order, one in enumerate(symmetric) if order)
    truth = expanded if x >= 0 else 1 - np.linalg.det(np.eye(90) - kernel)
    assert edge.tracy_widom_sf(x) == pytest.approx(truth, rel=1e-10)
    assert edge.quick_tracy_widom_sf(x) == pytest.approx(truth, rel=1e-7)


def test_tracy_widoms_law_far_out():
    for law in (edge.tracy_widom_sf, edge.quick_tracy_widom_sf):
        assert [law(x) for x in (-math.inf, -1e6, -30.0, 1e6, math.inf)] == [1.0, 1.0, 1.0, 0.0, 0.0]
        assert math.isnan(law(math.nan))


@pytest.mark.parametrize(("N", "M", "k4", "k6"), [(60, 40, 0.0, 0.0), (300, 20, 0.5, -2.0), (20, 300, 0.5, -2.0)])
def test_the_chance_of_an_edge_is_the_law_of_the_largest_without_that_of_the_trace(N, M, k4, k6):
    """sf - c sf'' to first order in the variance 2 c of the trace, in units of the scale."""
    a, b = math.sqrt(N - 0.5), math.sqrt(M - 0.5)
    centre, scale = (a + b) ** 2, (a + b) * (1 / a + 1 / b) ** (1 / 3)
    moved = centre * (1 + k4 / math.sqrt(N * M) + k6 / (N * M))
    assert edge.edge(N, M, k4, k6) == pytest.approx(moved, rel=1e-13)
    assert edge.centre_and_scale(N, M) == pytest.approx((centre, scale), rel=1e-13)
    c = (centre / scale) ** 2 / (N * M)
    chances = []
    for x in np.linspace(-9.5, 14, 24):
        sf = edge.tracy_widom_sf(x)
        bend = (edge.tracy_widom_sf(x + 0.05) - 2 * sf + edge.tracy_widom_sf(x - 0.05)) / 0.05**2
        found = edge.edge_pvalue(moved + x * scale, N, M, k4, k6)
        assert found == pytest.approx(min(1.0, sf * math.exp(-c * bend / sf)), rel=1e-3, abs=1e-300)
        chances.append(found)
    assert np.all(np.diff(chances) <= 1e-7)
    assert math.isnan(edge.edge_pvalue(math.nan, N, M))
    assert math.isnan(edge.edge_pvalue(centre, N, M, 1e3 * math.sqrt(N * M), 0.0))


@pytest.mark.parametrize(("a", "b"), [(1e-300, 1.0), (1e-9, 1.0), (0.02, 7.0)])
def test_the_cut_of_a_law_that_is_even_in_logarithms_has_a_closed_form(a, b):
    """Alpha 1: the mean logarithm over [s, b] is that of its middle, so s / mean = mean / b."""
    law = ww.laws.TruncatedPowerLaw(1.0, a, b)
    mean = (b - a) / math.log(b / a)
    assert law.mean == pytest.approx(mean, rel=1e-13)
    assert law.erg_lambda_min == pytest.approx(mean / b, rel=1e-12)
    assert law.erg_fraction == pytest.approx(2 * math.log(b / mean) / math.log(b / a), rel=1e-11)
    assert law.pdf([a, b]) == pytest.approx([1 / a / math.log(b / a), 1 / b / math.log(b / a)], rel=1e-9)
    assert law.pdf([np.nextafter(a, 0), np.nextafter(b, 2 * b)]).tolist() == [0.0, 0.0]
    assert law.cdf([a, math.sqrt(a * b), b]) == pytest.approx([0, 0.5, 1], abs=1e-12)


@pytest.mark.parametrize("law", [ww.laws.MarchenkoPastur(1e-20, 2.0), ww.laws.InverseMarchenkoPastur(1e20)], ids=repr)
def test_the_tail_of_a_law_of_almost_no_width_is_all_of_it(law):
    """Its mean logarithm is lost in rounding."""
    assert law.erg_lambda_min == law.support[0] / law.mean
    assert law.erg_fraction == pytest.approx(1, abs=1e-6)
    assert law.erg_fraction <= 1


def stieltjes_of_inverse_squares(z, lower: float, upper: float):
    """G of the density proportional to x^-2, in partial fractions, to forty digits."""
    with mpmath.workdps(40):
        z, low, high = mpmath.mpmathify(z), mpmath.mpf(lower), mpmath.mpf(upper)

        def antiderivative(x):
            return -1 / (z * x) + (mpmath.log(x) - mpmath.log(z - x if z.imag else abs(z - x))) / z**2

        return complex((antiderivative(high) - antiderivative(low)) / (1 / low - 1 / high))


@pytest.mark.parametrize(("lower", "upper"), [(1.0, 100.0), (0.1, 0.7), (1e-6, 1e3), (1.0, 1.001)])
def test_a_power_law_is_known_as_near_to_its_support_as_numbers_are(lower, upper):
    """Left of it, above and below its points, about its ends, far away, at 0 and at infinity."""
    law, middle = ww.laws.TruncatedPowerLaw(2.0, lower, upper), math.sqrt(lower * upper)
    near = [10.0**-power for power in (0.3, 1, 3, 6, 9, 12, 15)]
    points = [lower * (1 - off) for off in near] + [-lower, -upper, lower / 50, -lower / 50, upper * 7 + 0j, 5j * upper]
    points += [complex(at, sign * off * at) for at in (lower, middle, upper) for off in near for sign in (1, -1)]
    points += [complex(upper * (1 + off), off * upper) for off in near]
    for z in points:
        assert complex(law.stieltjes(z)) == pytest.approx(stieltjes_of_inverse_squares(z, lower, upper), rel=3e-12)
        assert np.iscomplexobj(law.stieltjes(z)) == isinstance(z, complex)
    assert law.stieltjes(0.0) == pytest.approx(-law.moment(-1), rel=1e-12)
    assert law.stieltjes([math.inf, -math.inf]).tolist() == [0.0, 0.0]
    alone = [law.stieltjes(complex(z)) for z in points]
    assert law.stieltjes(np.array(points)).tolist() == pytest.approx(alone, rel=1e-14)


@pytest.mark.parametrize("alpha", [-2.0, 0.5, 6.0, 25.0])
def test_the_imaginary_part_beside_a_power_law_is_its_density(alpha):
    law = ww.laws.TruncatedPowerLaw(alpha, 1.0, 40.0)
    x = np.geomspace(1.01, 39.0, 40)
    np.testing.assert_allclose(-law.stieltjes(x + 1e-13j).imag / math.pi, law.pdf(x), rtol=1e-8, atol=1e-12)


def test_which_moments_there_are():
    law = ww.laws.MarchenkoPastur(0.5)
    assert law.moment(0) == 1.0
    for refused in (-1, 1.5, True, "1"):
        with pytest.raises(ww.InvalidInput) as told:
            law.moment(refused)
        assert str(told.value) == f"k={refused!r} was asked; accepted is an integer of 0 or more"
