"""E17-E24: section 5.4 of the paper, on model R-transforms, up to the inverse Marchenko-Pastur law."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

from fixtures.ensembles import power_law_quantiles
from spec_tests.errata.test_errata_measures import SPECTRA, atomic_h, atomic_r, ecs_rank, inverse_mp


def imp_edges(kappa):
    return tuple((kappa + 1 + sign * mp.sqrt(2 * kappa + 1)) / kappa for sign in (-1, 1))


def imp_integral(kappa, function):
    """The mean of a function under the inverse Marchenko-Pastur density."""
    low, high = imp_edges(mp.mpf(kappa))
    density = lambda x: kappa * mp.sqrt((high - x) * (x - low)) / (mp.pi * x**2)  # noqa: E731
    half = (high - low) / 2
    # x = centre - half cos(a) removes the square roots at both edges.
    return mp.quad(
        lambda a: density(low + half * (1 - mp.cos(a))) * function(low + half * (1 - mp.cos(a))) * half * mp.sin(a),
        mp.linspace(0, mp.pi, 5),
    )


def imp_r(kappa, z):
    return (kappa - mp.sqrt(kappa * (kappa - 2 * z))) / z


def imp_h(kappa, t):
    """The corrected integral of R from 0 to t, for t up to kappa/2."""
    s = mp.sqrt(1 - 2 * t / kappa)
    return 2 * kappa * ((1 - s) - mp.log(2 / (1 + s)))


def test_E17():
    """Just above the axis the imaginary part of G is minus pi times the density: semicircle and point masses."""
    semicircle = lambda x: mp.sqrt(4 - x * x) / (2 * mp.pi)  # noqa: E731
    for place in (-1.2, 0.3, 1.5):
        z = mp.mpc(place, mp.mpf("1e-3"))
        G = mp.quad(lambda x, z=z: semicircle(x) / (z - x), [-2, place - 0.01, place, place + 0.01, 2])
        assert float(-mp.im(G) / mp.pi) == pytest.approx(float(semicircle(place)), rel=0.01)
        assert mp.im(G) < 0
    assert (1 / (complex(0.5, 1e-3) - np.array([0.2, 0.9]))).imag.max() < 0


def test_E18():
    """R of equal point masses starts at their mean and rises: it is neither their sum nor constant."""
    values = np.array([0.5, 1.0, 3.0])
    assert atomic_r(1e-6, values) == pytest.approx(values.mean(), rel=1e-4)
    assert atomic_r(2.0, values) > 1.3 * values.mean()
    assert atomic_r(1e3, values) < values.max() < values.sum()
    # A constant R belongs to one point mass, at that constant.
    assert atomic_r(0.7, np.array([values.sum()])) == pytest.approx(values.sum())


def test_E18_free_sum_of_the_point_masses():
    """Adding R over parts is the spectrum of a sum of free matrices: for multiples of 1 a point mass at the total."""
    values = np.array([0.5, 1.0, 3.0])
    summed = np.linalg.eigvalsh(sum(v * np.eye(3) for v in values))
    np.testing.assert_allclose(summed, values.sum())


@pytest.mark.parametrize("name, share", [("mp1", 0.14), ("mp3", 0.34), ("imp", 0.28), ("ideal", 0.14)])
def test_E19(name, share):
    """The dropped term is rank times the smallest tail eigenvalue over the tail sum: 14 to 34 per cent of Q^2."""
    x = SPECTRA[name]
    tail = x[: ecs_rank(x)]
    total = tail.sum()
    exact, dropped = sum(total * (v - tail[-1]) for v in tail), total**2
    assert exact == pytest.approx(total * (total - len(tail) * tail[-1]))
    assert 1 - exact / dropped == pytest.approx(share, abs=0.01)


def test_E20():
    """The sum of the tail eigenvalues of X is the trace norm of X and ||W||_F^2/N, not the Frobenius norm of X."""
    rng = np.random.default_rng(20)
    W = rng.normal(size=(40, 6)) @ np.diag([3.0, 2, 1, 1, 0.5, 0.2])
    U, s, V = np.linalg.svd(W, full_matrices=False)
    tail = (U[:, :4] * s[:4]) @ V[:4]
    X = tail.T @ tail / 40
    total = np.sum(s[:4] ** 2 / 40)
    assert total == pytest.approx(np.linalg.norm(X, "nuc"))
    assert total == pytest.approx(np.linalg.norm(tail) ** 2 / 40)
    assert total > 1.1 * np.linalg.norm(X)


def test_E21():
    """The Cauchy law of centre a and width g has G = 1/(z - a + ig), so R = a - ig, and weight below 0."""
    a, g = mp.mpf("1.5"), mp.mpf("0.7")
    density = lambda x: g / mp.pi / ((x - a) ** 2 + g**2)  # noqa: E731
    for z in (mp.mpc(1, 2), mp.mpc(-0.5, 1)):
        G = mp.quad(lambda x, z=z: density(x) / (z - x), [-mp.inf, -5, 0, 2, 6, mp.inf])
        R = z - 1 / G
        assert abs(R - mp.mpc(a, -g)) < 1e-8
        assert abs(R - mp.mpc(a, g)) > 1
    below = mp.quad(density, [-mp.inf, -5, 0])
    assert float(below) == pytest.approx(0.5 - float(mp.atan(a / g)) / np.pi)
    assert below > 0.1


def test_E22_sum_is_not_the_largest():
    """For k quantiles of an alpha = 2 tail the sum is (ln k + 1.96)/2 times the largest: 3.6 times at k = 200."""
    for k in (50, 200, 1000):
        tail = power_law_quantiles(k, 2.0)
        assert tail.sum() / tail.max() == pytest.approx((np.log(k) + np.euler_gamma + 2 * np.log(2)) / 2, rel=1e-4)
    tail = power_law_quantiles(200, 2.0)
    assert tail.sum() / tail.max() == pytest.approx(3.63, abs=0.01)


def test_E22_logarithm():
    """The largest of k values goes as ln(k)/(alpha-1), not 1/alpha; and ln Q is half of ln Q^2."""
    top = [np.log(power_law_quantiles(200, alpha).max()) for alpha in (2.0, 3.0)]
    assert top[0] / top[1] == pytest.approx(2.0)
    a, largest = 1.3, 40.0
    quality = np.sqrt(a * largest)
    assert np.log(quality) == pytest.approx(np.log(a * largest) / 2)
    assert np.log(largest) > 1.5 * np.log(quality)


def test_E23():
    """The inverse Marchenko-Pastur R has no pole at 0: it is 1 + z/(2k) + z^2/(2k^2) + ..., the quadrature confirms."""
    z, k = sp.symbols("z kappa", positive=True)
    R = (k - sp.sqrt(k * (k - 2 * z))) / z
    assert sp.limit(R, z, 0) == 1
    series = sp.series(2 / (1 + sp.sqrt(1 - 2 * z / k)), z, 0, 3).removeO()
    assert sp.simplify(series - (1 + z / (2 * k) + z**2 / (2 * k**2))) == 0
    other = 2 / (1 + sp.sqrt(1 - 2 * z / k))
    assert float((R - other).subs({z: 0.2, k: 0.7})) == pytest.approx(0, abs=1e-12)
    for kappa in (0.5, 3.0):
        high = imp_edges(mp.mpf(kappa))[1]
        for place in (1.1 * high, 5 * high, 1000 * high):
            G = imp_integral(kappa, lambda x, b=place: 1 / (b - x))
            assert float(imp_r(kappa, G) - (place - 1 / G)) == pytest.approx(0, abs=1e-9 * float(place))
        mean = imp_integral(kappa, lambda x: x)
        assert float(mean) == pytest.approx(1)
        assert float(imp_integral(kappa, lambda x: x * x) - mean**2) == pytest.approx(1 / (2 * kappa))


@pytest.mark.parametrize("kappa, at_edge, start", [(0.5, 0.2426, 0.367), (1.0, 0.4641, 0.438), (3.0, 1.194, 0.565)])
def test_E24_branch_point_is_beyond_the_domain(kappa, at_edge, start):
    """The argument of R stays below G(edge) < kappa/2, and the ECS does not begin at kappa/2 on the other axis."""
    low, high = imp_edges(mp.mpf(kappa))
    green = lambda z: (z * (kappa + 1) - kappa - kappa * mp.sqrt((z - low) * (z - high))) / z**2  # noqa: E731
    assert float(green(1.1 * high) - imp_integral(kappa, lambda x: 1 / (1.1 * high - x))) == pytest.approx(0, abs=1e-9)
    G = green(high)
    assert float(G) == pytest.approx(at_edge, abs=6e-4)
    assert G < kappa / 2
    assert mp.im(imp_r(kappa, G)) == 0
    x = inverse_mp(kappa, 4000)
    assert x[ecs_rank(x) - 1] == pytest.approx(start, abs=2e-3)
    assert (x[ecs_rank(x) - 1] < kappa / 2) == (kappa >= 1)


@pytest.mark.parametrize("kappa", [0.5, 1.0, 3.0])
def test_E24_integral(kappa):
    """The integral from 0 has a closed form; kappa ln(l/l_min) is only the real part beyond kappa/2."""
    x = inverse_mp(kappa, 2000)
    for t in (0.05 * kappa, 0.2 * kappa, 0.35 * kappa):
        assert float(mp.quad(lambda z: imp_r(kappa, z), [0, t])) == pytest.approx(float(imp_h(kappa, t)), rel=1e-10)
        assert atomic_h(t, x) == pytest.approx(float(imp_h(kappa, t)), rel=2e-3)
    first, second = 0.6 * kappa, 2.0 * kappa
    beyond = mp.quad(lambda z: mp.re(imp_r(kappa, z)), [first, second])
    assert float(beyond) == pytest.approx(kappa * np.log(second / first), rel=1e-8)
    for t in (first, second):
        whole = mp.quad(lambda z: mp.re(imp_r(kappa, z)), [0, kappa / 2, t])
        assert float(whole) == pytest.approx(2 * kappa * (1 - np.log(2)) + kappa * np.log(2 * t / kappa), rel=1e-6)
    # The functional of the spectrum itself follows the largest eigenvalue there.
    true = atomic_h(second, x) - atomic_h(first, x)
    assert true > 1.2 * float(beyond)
