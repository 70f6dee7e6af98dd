"""E41-E46: appendices A.7 and A.8 of the paper, on the R-transforms of power laws."""

from __future__ import annotations

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

from fixtures.ensembles import power_law_quantiles
from spec_tests.errata.test_errata_measures import atomic_r, inverse_mp
from spec_tests.errata.test_errata_models import imp_r


def bare_green(alpha: int, z):
    """Eqs. 330-332 with lambda_0 = 1."""
    if alpha == 2:
        return 1 / z + mp.log(1 - z) / z**2
    if alpha == 3:
        return 1 / z + 2 / z**2 + 2 * mp.log(1 - z) / z**3
    return 1 / z + mp.mpf(3) / 2 / z**2 + 3 / z**3 + 3 * mp.log(1 - z) / z**4


def bare_r(alpha: int, z):
    """R at z < 0 as G^-1(z) - 1/z, the inverse taken below the support."""
    z = mp.mpf(z)
    with mp.workdps(60):
        low, high = 1 / z - 1, 1 / z + 60 + mp.log(1 / -z)
        high = min(high, mp.mpf("-1e-9"))
        place = mp.findroot(lambda b: bare_green(alpha, b) - z, (low, high), solver="anderson", tol=1e-45)
        return +(place - 1 / z)


def cut_green(b, low, high):
    """Eq. 338 corrected: alpha = 2 on [low, high]."""
    constant = mp.mpf(low * high) / (high - low)
    logs = mp.log(mp.mpf(high) / low) + mp.log((low - b) / (high - b))
    return constant * (logs / b**2 - 1 / (high * b) + 1 / (low * b))


def cut_r(z, low, high):
    """R at z > 0 as G^-1(z) - 1/z, the inverse taken above the support by bisection in ln(b - high)."""
    with mp.workdps(120):
        far, near = mp.log(1 / mp.mpf(z)), mp.mpf(-250)
        for _ in range(300):
            middle = (far + near) / 2
            near, far = (middle, far) if cut_green(high + mp.exp(middle), low, high) > z else (near, middle)
        return +(high + mp.exp(middle) - 1 / mp.mpf(z))


@pytest.mark.parametrize("alpha", [2, 3, 4])
def test_E41_transforms(alpha):
    """The three Stieltjes transforms agree with quadrature to 30 digits, with the principal logarithm."""
    with mp.workdps(40):
        for z in (mp.mpc(2, 1), mp.mpc(-1, "0.5"), mp.mpc(-3, 0), mp.mpc(5, -2)):
            whole = mp.quad(
                lambda u, z=z: (alpha - 1) * u ** (alpha - 2) / (z - 1 / u), [0, mp.mpf(1) / 4, mp.mpf(1) / 2, 1]
            )
            assert abs(whole - bare_green(alpha, z)) < mp.mpf(10) ** -30


def test_E41_moments():
    """m_k = (alpha-1)/(alpha-k-1) for k < alpha - 1, and at k = alpha - 1 the cut-off integral grows without end."""
    for alpha, k in ((3, 1), (4, 1), (4, 2)):
        value = mp.quad(lambda u, a=alpha, k=k: (a - 1) * u ** (a - 2 - k), [0, 1])
        assert float(value) == pytest.approx((alpha - 1) / (alpha - k - 1))
    for alpha in (2, 3, 4):
        k = alpha - 1
        grown = [mp.quad(lambda x, a=alpha, k=k: (a - 1) * x ** (k - a), [1, 10, 100, 1e3, end]) for end in (1e4, 1e8)]
        assert float(grown[1] / grown[0]) == pytest.approx(2.0, rel=0.01)


def test_E42_r_exists():
    """At alpha = 2 R is there for z < 0 and equals ln(1/-z) up to a vanishing rest; only analyticity at 0 fails."""
    rest = [abs(bare_r(2, -z) - mp.log(1 / mp.mpf(z))) for z in (1e-2, 1e-3, 1e-4, 1e-5)]
    assert all(later < 0.3 * earlier for earlier, later in pairwise(rest))
    assert float(bare_r(2, -1e-5)) == pytest.approx(11.514, abs=1e-3)
    assert bare_r(2, -1e-5) > bare_r(2, -1e-4) + 2


def test_E42_free_addition():
    """Two Haar-rotated alpha = 2 spectra add up to the one that twice this R gives."""
    values = power_law_quantiles(500, 2.0)
    rng = np.random.default_rng(42)
    H, _ = np.linalg.qr(rng.normal(size=(500, 500)))
    summed = np.linalg.eigvalsh(np.diag(values) + (H * values) @ H.T)
    for z in (-0.3, -0.1, -0.05):
        place = float(2 * bare_r(2, z) + 1 / mp.mpf(z))
        assert np.mean(1 / (place - summed)) == pytest.approx(z, rel=0.01)


def test_E43_alpha_three():
    """At alpha = 3 R is 2 plus z times [2 ln(1/-z) - 4], not the constant 2 of a point mass."""
    for z in (1e-3, 1e-4, 1e-5):
        short = 2 - z * (2 * np.log(1 / z) - 4)
        value = float(bare_r(3, -z))
        assert abs(value - short) < 0.02 * abs(value - 2)
    assert float(bare_r(3, -1e-3)) == pytest.approx(1.990120, abs=1e-6)
    assert float(bare_r(3, -0.1)) < 1.9
    assert atomic_r(0.5, np.array([2.0])) == pytest.approx(2.0)


def test_E43_alpha_four():
    """At alpha = 4 the two printed terms are right and the rest is of order z^2 ln z, not 0."""
    rest = [float((bare_r(4, -z) - (mp.mpf(3) / 2 - mp.mpf(3) / 4 * z)) / z**2) for z in (1e-3, 1e-5, 1e-7)]
    steps = np.diff(rest) / np.log(100)
    assert abs(steps[1]) > 1
    assert steps[1] == pytest.approx(steps[0], rel=0.05)


def test_E44_transform():
    """Eq. 338 holds with ln(l_max - z), and with log(lambda - z) at no other lambda tried."""
    low, high = 1, 10
    constant = mp.mpf(10) / 9
    for z in (mp.mpc(2, 1), mp.mpc(-3, 0), mp.mpc(12, 2)):
        whole = mp.quad(lambda x, z=z: constant / x**2 / (z - x), [1, 2, 4, 10])
        assert abs(whole - cut_green(z, low, high)) < 1e-10
        for other in (1, 5):
            logs = mp.log(high) - mp.log(other - z) - mp.log(low) + mp.log(low - z)
            assert abs(whole - constant * (logs / z**2 - 1 / (high * z) + 1 / (low * z))) > 1e-3


def test_E44_inverse():
    """With w = G(z) the transform is G^-1(w) - 1/w: mixing z and 1/w leaves another number."""
    low, high, w = 1, 10, mp.mpf("0.05")
    r = cut_r(w, low, high)
    assert abs(cut_green(r + 1 / w, low, high) - w) < 1e-20
    z = r + 1 / w
    assert abs(cut_green(r + 1 / z, low, high) - w) > 0.01


@pytest.mark.parametrize("alpha", [2, 3, 4])
def test_E44_cumulants(alpha):
    """The constants and first two cumulants of the truncated laws are right, at alpha = 2, 3 and 4."""
    x, a, b = sp.symbols("x a b", positive=True)
    norm = 1 / sp.integrate(x**-alpha, (x, a, b))
    constants = {
        2: a * b / (b - a),
        3: 2 * a**2 * b**2 / (b**2 - a**2),
        4: 3 * a**3 * b**3 / (b**3 - a**3),
    }
    constant = constants[alpha]
    means = {
        2: constants[2] * sp.log(b / a),
        3: 2 * a * b / (a + b),
        4: 3 * a * b * (b**2 - a**2) / (2 * (b**3 - a**3)),
    }
    squares = {2: constants[2] * (b - a), 3: constants[3] * sp.log(b / a), 4: constants[4] * (1 / a - 1 / b)}
    at = {a: sp.Rational(7, 10), b: sp.Rational(93, 10)}
    first, second = (norm * sp.integrate(x ** (power - alpha), (x, a, b)) for power in (1, 2))
    for mine, printed in ((norm, constant), (first, means[alpha]), (second, squares[alpha])):
        assert float((mine - printed).subs(at)) == pytest.approx(0, abs=1e-12)
    if alpha == 2:
        assert sp.simplify(squares[2] - a * b) == 0
    values = np.quantile(power_law_quantiles(4000, float(alpha)), np.linspace(0, 0.9, 2001))
    z, mean, var = 1e-3, values.mean(), values.var()
    assert atomic_r(z, values) == pytest.approx(mean + var * z, rel=1e-4)


def test_E44_recursion_source():
    """The moments of Eq. 333 belong to the bare law: on [1, 10] the mean is not (alpha-1)/(alpha-2)."""
    cut = mp.quad(lambda x: x**-2, [1, 10]) / mp.quad(lambda x: x**-3, [1, 10])
    assert float(cut) == pytest.approx(20 / 11)
    assert abs(float(cut) - 2) > 0.15


def test_E45():
    """On [1, 10] at alpha = 2 two terms give 2.73, 3.59, 12.9 at z = .05, .3, 3; R is 2.77, 6.67, 9.66."""
    low, high = 1, 10
    mean = mp.mpf(10) / 9 * mp.log(10)
    variance = 10 - mean**2
    for z, exact, two in ((0.05, 2.768, 2.731), (0.3, 6.67, 3.59), (3.0, 9.66, 12.9)):
        assert float(cut_r(z, low, high)) == pytest.approx(exact, rel=2e-3)
        assert float(mean + variance * z) == pytest.approx(two, rel=2e-3)
    assert mean + 3 * variance > high > cut_r(3.0, low, high)
    # G is unbounded at the hard edge, so R is defined for every z > 0.
    edge = [cut_green(high + mp.mpf(10) ** -n, low, high) for n in (4, 8, 12)]
    assert float(edge[2] - edge[1]) == pytest.approx(float(edge[1] - edge[0]), rel=1e-3)
    assert edge[1] - edge[0] > 0.1


def test_E46():
    """The algebra past the branch point is right, and the spectrum's own R is real there: nearly l_max - 1/z."""
    kappa, z = sp.Rational(1, 2), sp.symbols("z", positive=True)
    for place in (0.3, 0.7, 4.0):
        value = complex(imp_r(mp.mpf("0.5"), mp.mpf(place)))
        assert value.real == pytest.approx(float(kappa) / place)
        assert abs(value.imag) == pytest.approx(float(sp.sqrt(kappa * (2 * z - kappa)).subs(z, place)) / place)
    assert float(sp.integrate(kappa / z, (z, 0.4, 2.0))) == pytest.approx(0.5 * np.log(5))
    x = inverse_mp(0.5, 2000)
    for place in (1.0, 4.0):
        assert atomic_r(place, x) == pytest.approx(x[0] - 1 / place, abs=0.05 * x[0])
        assert atomic_r(place, x) > 4 * 0.5 / place
