"""Chapter 11: free probability on its own, beyond what the clauses draw."""

from __future__ import annotations

import math
import tracemalloc

import mpmath
import numpy as np
import pytest

import setol_ww as ww
from fixtures import laws
from fixtures.ensembles import marchenko_pastur_quantiles, pareto_eigenvalues
from fixtures.free_probability import free_cumulants_by_enumeration, integrated_r_closed, r_transform_bisection
from setol_ww import transforms
from setol_ww.theory import resolvents
from setol_ww.theory.resolvents import DIRECT_POINTS, Points


@pytest.mark.parametrize("t", [1e-6, 1e-3, 1.0, 30.0, 1e3])
def test_r_and_its_integral_over_twelve_decades(t):
    x = 10.0 ** np.linspace(-6, 6, 25)
    for weights in (None, np.linspace(1, 3, 25) / np.linspace(1, 3, 25).sum()):
        assert ww.transforms.r_transform(t, x, weights) == pytest.approx(
            float(r_transform_bisection(t, x, weights)), rel=1e-10
        )
        assert ww.transforms.integrated_r(t, x, weights) == pytest.approx(
            float(integrated_r_closed(t, x, weights)), rel=1e-10
        )


@pytest.mark.parametrize("decades", [(0, 12), (-12, 0), (-6, 6)])
@pytest.mark.parametrize("t", [1e-12, 1e-6, 1e-3, 1.0, 1e3, 1e9])
def test_twelve_decades_anywhere_and_an_atom_at_zero(decades, t):
    """At the largest eigenvalue 1 + t (R - lambda) is the weight of that atom, which the difference has lost."""
    x = np.append(10.0 ** np.linspace(*decades, 25), 0.0)
    weights = np.append(np.full(25, 1 / 400), 1 - 25 / 400)
    for atoms, w in ((x[:-1], None), (x, weights)):
        R, H = r_transform_bisection(t, atoms, w, 60), integrated_r_closed(t, atoms, w, 60)
        assert ww.transforms.r_transform(t, atoms, w) == pytest.approx(float(R), rel=1e-12)
        assert ww.transforms.integrated_r(t, atoms, w) == pytest.approx(float(H), rel=1e-12)
        with mpmath.workdps(60):
            mass = [mpmath.mpf(1) / len(atoms)] * len(atoms) if w is None else [mpmath.mpf(float(v)) for v in w]
            h = [1 / (1 + mpmath.mpf(t) * (R - mpmath.mpf(float(v)))) for v in atoms]
            over = mpmath.fsum(m * a * a for m, a in zip(mass, h))
            slope = mpmath.fsum(m * (a * (R - mpmath.mpf(float(v)))) ** 2 for m, a, v in zip(mass, h, atoms)) / over
        assert ww.transforms.r_derivative(t, atoms, w) == pytest.approx(float(slope), rel=1e-12)


@pytest.mark.parametrize("t", [1e-300, 1e-200, 1e200])
def test_t_neither_over_nor_underflows(t):
    R, H = ww.transforms.r_transform(t, [1.0, 3.0]), ww.transforms.integrated_r(t, [1.0, 3.0])
    assert R == (2.0 if t < 1 else 3.0)
    assert pytest.approx(R * t, rel=1e-12) == H
    assert ww.transforms.r_derivative(t, [1.0, 3.0]) == (pytest.approx(1.0) if t < 1 else 0.0)


def test_padding_with_zeros_is_a_weighted_atom():
    x, N = pareto_eigenvalues(30, 2.0, seed=0), 100
    atoms, weights = np.append(x, 0.0), np.append(np.full(30, 1 / N), 1 - 30 / N)
    padded = np.append(x, np.zeros(N - 30))
    t = np.geomspace(1e-4, 1e2, 9)
    np.testing.assert_allclose(
        ww.transforms.integrated_r(t, atoms, weights), ww.transforms.integrated_r(t, padded), rtol=1e-12
    )


def test_shapes_follow_the_argument():
    x, t = [1.0, 2.0, 5.0], np.array([[0.1, 1.0], [2.0, 7.0]])
    for function in (
        ww.transforms.r_transform,
        ww.transforms.integrated_r,
        ww.transforms.r_derivative,
        ww.transforms.blue,
    ):
        assert function(t, x).shape == (2, 2)
        assert function(t, x)[1, 0] == pytest.approx(function(2.0, x), rel=1e-13)
        assert np.ndim(function(2.0, x)) == 0


def test_stieltjes_off_the_real_line_and_its_inverse():
    x, w = np.array([1.0, 2.0, 7.0]), np.array([0.5, 0.2, 0.3])
    z = np.array([3 + 1j, -2.0 + 0.5j])
    np.testing.assert_allclose(ww.transforms.stieltjes(z, x, w), [sum(w / (point - x)) for point in z], rtol=1e-14)
    t = np.array([0.01, 0.5, 20.0])
    np.testing.assert_allclose(ww.transforms.stieltjes(ww.transforms.blue(t, x, w), x, w), t, rtol=1e-9)


def test_derivative_is_the_slope():
    x, t, step = pareto_eigenvalues(40, 2.5, seed=1), np.geomspace(0.01, 3, 7), 1e-5
    rise = ww.transforms.r_transform(t * (1 + step), x) - ww.transforms.r_transform(t * (1 - step), x)
    np.testing.assert_allclose(ww.transforms.r_derivative(t, x), rise / (2 * step * t), rtol=1e-5)
    assert ww.transforms.r_derivative(1e-7, x) == pytest.approx(np.var(x), rel=1e-4)


@pytest.mark.parametrize("order", [8, 12, 16])
def test_high_cumulants_of_a_spectrum_keep_their_digits(order):
    """Against the same definition carried out in 120 digits by the power series of C (Lagrange inversion)."""
    x = marchenko_pastur_quantiles(60, 0.5)
    with mpmath.workdps(120):
        m = [mpmath.fsum(mpmath.mpf(float(value)) ** k for value in x) / len(x) for k in range(1, order + 1)]
        truth = [float(value) for value in by_inversion(m)]
    got = ww.transforms.free_cumulants_of(x, order)
    np.testing.assert_allclose(got, truth, rtol=1e-11, atol=1e-11 * np.max(np.abs(truth)))


def by_inversion(m: list) -> list:
    """Free cumulants by the functional relation M(x) = C(x M(x)), solved order by order."""
    kappa: list = []
    for n in range(1, len(m) + 1):
        # Coefficient n of sum_k kappa_k (x M(x))^k with the kappas known so far.
        total = mpmath.mpf(0)
        power = [mpmath.mpf(1)] + [mpmath.mpf(0)] * n
        series = [mpmath.mpf(1), *m[:n]]
        for k in range(1, n):
            power = [mpmath.fsum(power[i] * series[j - i] for i in range(j + 1)) for j in range(n + 1)]
            total += kappa[k - 1] * power[n - k]
        kappa.append(m[n - 1] - total)
    return kappa


def test_inversion_oracle_agrees_with_enumeration():
    m = [float(laws.marchenko_pastur_moment(n, 0.5)) for n in range(1, 7)]
    np.testing.assert_allclose(
        [float(value) for value in by_inversion([mpmath.mpf(value) for value in m])],
        free_cumulants_by_enumeration(m),
        rtol=1e-12,
    )


def test_memory_is_that_of_a_block():
    x = pareto_eigenvalues(16384, 2.0, seed=0)
    tracemalloc.start()
    ww.transforms.integrated_r(np.geomspace(1e-3, 1e2, 500), x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * 8 * 2**20  # a dozen arrays of a block; all points at once would be 500 x 16384 x 8 bytes each


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ww.transforms.r_transform(0.0, [1.0]), "positive finite"),
        (lambda: ww.transforms.r_transform([1.0, np.nan], [1.0]), "positive finite"),
        (lambda: ww.transforms.integrated_r(-1.0, [1.0]), "positive finite"),
        (lambda: ww.transforms.r_transform(1.0, []), "not empty"),
        (lambda: ww.transforms.r_transform(1.0, [1.0, np.inf]), "finite"),
        (lambda: ww.transforms.r_transform(1.0, [1.0, 2.0], [1.0]), "weights of shape"),
        (lambda: ww.transforms.r_transform(1.0, [1.0, 2.0], [1.0, -1.0]), "not negative"),
        (lambda: ww.transforms.stieltjes(2.0, [1.0, 2.0]), "at an eigenvalue"),
        (lambda: ww.transforms.moments([1.0], 0), "order=0"),
        (lambda: ww.transforms.free_cumulants([]), "non-empty"),
    ],
)
def test_misuse_is_refused(call, message):
    with pytest.raises(ww.InvalidInput, match=message):
        call()


@pytest.mark.parametrize(
    "asked",
    [
        lambda: transforms.moments([1j], 2),
        lambda: transforms.moments(["a"], 2),
        lambda: transforms.free_cumulants("a"),
        lambda: transforms.r_transform(1j, [1.0, 2.0]),
        lambda: transforms.r_transform("1", [1.0, 2.0]),
        lambda: transforms.stieltjes(1 + 0j, [1.0, 2.0]),
        lambda: transforms.integrated_r(1.0, [[1.0], [1.0, 2.0]]),
    ],
)
def test_what_is_no_number_is_refused(asked):
    with pytest.raises(ww.InvalidInput):
        asked()


def test_no_point_gives_no_value():
    assert transforms.stieltjes([], [1.0, 2.0]).shape == transforms.r_transform([], [1.0, 2.0]).shape == (0,)


def test_misuse_is_told_by_the_name_of_what_was_given():
    for wrong in ([], [1.0, math.nan], [[1.0]]):
        with pytest.raises(ww.InvalidInput, match=r"^cumulants \[.* were given; accepted is a non-empty list"):
            transforms.moments_from_cumulants(wrong)


@pytest.mark.parametrize("count", [4, 9, 16])
def test_the_grid_interpolates(count):
    """Coefficients from values at the nodes give these values back, and a polynomial between them."""
    nodes, to_coefficients = resolvents._grid(count)
    assert np.all(np.diff(nodes) > 0)
    values = nodes**3 - 2 * nodes + 0.5
    x = np.linspace(-1, 1, 11)
    found = (to_coefficients @ values) @ resolvents._chebyshev(x, count)
    np.testing.assert_allclose(found, x**3 - 2 * x + 0.5, atol=1e-13)


def test_few_points_are_those_with_a_root_for_each():
    atoms = np.ones(3), np.full(3, 1 / 3)
    assert Points(np.linspace(1, 2, DIRECT_POINTS), *atoms).are_few is True
    assert Points(np.linspace(1, 2, DIRECT_POINTS + 1), *atoms).are_few is False
    assert Points(np.linspace(1, 1 + 1e-7, 99), *atoms).are_few is True
    assert Points(np.linspace(1, 1 + 1e-5, 99), *atoms).are_few is False


def test_an_odd_argument_is_refused_by_its_name():
    for ask, name in (
        (lambda: ww.transforms.r_transform("x", [1.0, 2.0]), "t"),
        (lambda: ww.transforms.integrated_r([["x"]], [1.0, 2.0]), "t"),
        (lambda: ww.transforms.r_transform(0.5, "x"), "eigenvalues"),
        (lambda: ww.transforms.free_cumulants_of([1.0, 2.0], "x"), "order"),
    ):
        with pytest.raises(ww.InvalidInput, match=rf"^{name}\b"):
            ask()


def test_a_negative_weight_is_refused():
    for weights in ([-0.5, 1.5], [-1e-9, 1.0], [0.0, 0.0]):
        with pytest.raises(ww.InvalidInput, match="weights"):
            ww.transforms.r_transform(0.5, [1.0, 2.0], weights)
    assert ww.transforms.r_transform(0.5, [1.0, 2.0], [0.0, 1.0]) == pytest.approx(2.0)
