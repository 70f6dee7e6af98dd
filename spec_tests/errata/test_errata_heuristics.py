"""E25-E30: section 5.4 of the paper, from the fit of the inverse Marchenko-Pastur law to the Levy models."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

from fixtures.ensembles import marchenko_pastur_quantiles, pareto_eigenvalues
from fixtures.oracles import singular_value_squares
from spec_tests.errata.test_errata_measures import ecs_rank, inverse_mp, unit_mean
from spec_tests.errata.test_errata_models import imp_edges, imp_integral
from spec_tests.plain import plain_fit


@pytest.mark.parametrize("kappa, alpha", [(0.05, 1.59), (0.1, 1.65), (0.25, 1.85), (0.5, 2.15)])
def test_E25_fits(kappa, alpha):
    """WeightWatcher's alpha of inverse Wishart matrices is about 1.53 + 1.24 kappa, not 2 kappa."""
    rows, columns = round((1 + 2 * kappa) * 300), 300
    fits = []
    for seed in range(9):
        Y = np.random.default_rng(seed).normal(size=(rows, columns))
        fits.append(plain_fit(np.sort(1 / singular_value_squares(Y))).alpha)
    assert np.median(fits) == pytest.approx(alpha, abs=0.12)
    assert np.median(fits) > 2 * kappa + 0.8


def test_E25_limit_of_small_kappa():
    """Between far-apart edges the density falls as x^(-3/2), so alpha tends to 3/2 and not to 0."""
    for kappa in (1e-3, 1e-5):
        low, high = imp_edges(mp.mpf(kappa))
        density = lambda x, k=kappa, a=low, b=high: k * mp.sqrt((b - x) * (x - a)) / (mp.pi * x * x)  # noqa: E731
        middle = mp.sqrt(low * high)
        slope = -mp.diff(lambda t, f=density: mp.log(f(mp.exp(t))), mp.log(middle))
        assert float(slope) == pytest.approx(1.5, abs=3 * kappa**0.5)


def test_E25_kappa_half_is_the_ideal_point():
    """kappa = (Q-1)/2 is right: 1/x under Marchenko-Pastur has relative variance 1/(Q-1); kappa = 1/2 is ideal."""
    for q in (0.5, 0.25):
        values = 1 / marchenko_pastur_quantiles(20_000, q)
        assert np.var(values) / values.mean() ** 2 == pytest.approx(1 / (1 / q - 1), rel=2e-3)
        kappa = (1 / q - 1) / 2
        variance = imp_integral(kappa, lambda x: x * x) - imp_integral(kappa, lambda x: x) ** 2
        assert float(variance) == pytest.approx(1 / (1 / q - 1), rel=1e-8)
    x = inverse_mp(0.5, 8000)
    k = ecs_rank(x)
    assert x[k - 1] == pytest.approx(np.exp(-1), abs=2e-3)
    assert 1 + k / np.sum(np.log(x[:k] / x[k - 1])) == pytest.approx(2.0, abs=0.01)


def test_E26():
    """Summed over the tail kappa ln(l/l_min) is kappa rank/(Hill - 1), and -kappa rank ln(l_min) on an ERG tail."""
    kappa = 0.5
    x = unit_mean(pareto_eigenvalues(300, 2.1, 26))
    k = ecs_rank(x)
    tail = x[:k]
    quality = kappa * np.sum(np.log(tail / tail[-1]))
    hill = 1 + k / np.sum(np.log(tail / tail[-1]))
    assert quality == pytest.approx(kappa * k / (hill - 1))
    assert quality == pytest.approx(-kappa * k * np.log(tail[-1]), rel=0.01)
    # Twice the logarithms: every version of Q^2 doubles, ln Q gains ln(2)/2 only, and Table 9's ln Q would double.
    stretched = tail[-1] * (tail / tail[-1]) ** 2
    doubled = kappa * np.sum(np.log(stretched / stretched[-1]))
    assert doubled == pytest.approx(2 * quality)
    gain = np.log(np.sqrt(doubled / quality))
    assert gain == pytest.approx(np.log(2) / 2)
    table = 2 * (2 * kappa) * np.log(tail[0] / tail[-1])
    summary = 0.5 * np.log(stretched[0] / tail[0])
    assert table > 10 * gain
    assert summary > 4 * gain


def test_E27_integral():
    """The integral of b z^(alpha-2) is b l^(alpha-1)/(alpha-1): with b = alpha-1 it is l^(alpha-1)."""
    level, alpha = sp.symbols("lambda alpha", positive=True)
    power = alpha - 1
    whole = level**power / power
    assert sp.simplify(sp.diff(whole, level) - level ** (alpha - 2)) == 0
    number = float(mp.quad(lambda t: t ** (-0.5), [0, 3]))
    assert float(whole.subs({alpha: 1.5, level: 3})) == pytest.approx(number)
    printed = (level ** (alpha - 2) / (alpha - 2)).subs({alpha: 1.5, level: 3})
    assert float(printed) < 0 < number
    assert float((power * whole).subs({alpha: 1.5, level: 3})) == pytest.approx(3**0.5)


def test_E27_range():
    """For alpha <= 1 the power is not integrable at 0, so Levy exponents in (0, 1) go with alpha in (1, 2) only."""
    for alpha, finite in ((0.7, False), (1.2, True), (1.8, True)):
        pieces = [mp.quad(lambda t, a=alpha: t ** (mp.mpf(a) - 2), [cut, cut * 1000]) for cut in (1e-12, 1e-9, 1e-6)]
        assert (pieces[0] < pieces[2]) == finite


def test_E27_alpha_hat():
    """alpha log10(l_max) is the last formula plus log10(l_max); that formula is log Q^2, twice log Q."""
    tail = unit_mean(pareto_eigenvalues(400, 1.5, 27))
    alpha, top = 1.5, tail[0]
    one_term = np.log10(top ** (alpha - 1))
    assert alpha * np.log10(top) - one_term == pytest.approx(np.log10(top))
    assert np.log10(np.sqrt(top ** (alpha - 1))) == pytest.approx(one_term / 2)
    assert np.log10(top) > 1


def quartile_ratio(values: np.ndarray) -> float:
    """The first quartile of the absolute value over its median."""
    first, median = np.quantile(np.abs(values), [0.25, 0.5])
    return first / median


def test_E28_not_the_free_stable_law():
    """Haar-rotated Cauchy spectra add up to a Cauchy law; symmetric matrices of Cauchy entries have another one."""
    size, cauchy = 300, np.tan(np.pi / 8)
    diagonal = np.tan(np.pi * ((np.arange(size) + 0.5) / size - 0.5))
    free, entries = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        H, r = np.linalg.qr(rng.normal(size=(size, size)))
        H = H * np.sign(np.diag(r))
        free.append(quartile_ratio(np.linalg.eigvalsh(np.diag(diagonal) + (H * diagonal) @ H.T)))
        upper = np.triu(rng.standard_cauchy((size, size)))
        entries.append(quartile_ratio(np.linalg.eigvalsh(upper + np.triu(upper, 1).T)))
    assert np.median(free) == pytest.approx(cauchy, abs=0.02)
    assert max(entries) < cauchy - 0.03


def test_E28_no_value_at_zero():
    """Below Levy exponent 1 the power z^(a-1) has no limit at 0, where R of a law with a mean takes the mean."""
    z = sp.symbols("z", positive=True)
    assert sp.limit(z ** sp.Rational(-1, 2), z, 0, "+") == sp.oo
    assert sp.limit(z ** sp.Rational(1, 2), z, 0, "+") == 0


def test_E28_sign_of_the_factor():
    """z^(-1/2)/2 has Im > 0 below the axis, which no R of a law has; as R(-z) it gives a density of mass one."""
    z = 0.3 - 0.1j
    assert (z**-0.5 / 2).imag > 0
    values = np.array([0.2, 1.0, 5.0])
    for point in (40 + 3j, 9 + 30j):
        G = np.mean(1 / (point - values))
        assert G.imag < 0
        assert (point - 1 / G).imag < 0
    # With u = sqrt(-G) the equation x = R(G) + 1/G is x u^2 - u/2 + 1 = 0.
    density = lambda x: mp.sqrt(x - mp.mpf(1) / 16) / (2 * mp.pi * x**2)  # noqa: E731
    for x in (0.1, 0.7, 6.0):
        u = (0.5 + 1j * np.sqrt(4 * x - 0.25)) / (2 * x)
        G = -u * u
        assert x * u * u - u / 2 + 1 == pytest.approx(0, abs=1e-12)
        assert abs(G.imag) / np.pi == pytest.approx(float(density(mp.mpf(x))))
        assert (-G) ** -0.5 / 2 + 1 / G == pytest.approx(x)
    assert float(mp.quad(density, [mp.mpf(1) / 16, 1, 10, mp.inf])) == pytest.approx(1)


def test_E29():
    """The printed series has mean and variance 0 and a third cumulant; with z above, the integral is a logarithm."""
    z, e, f = sp.symbols("z epsilon phi", positive=True)
    printed = sp.series(e * f * z**2 / (2 - e * f**2 * z**2), z, 0, 5).removeO()
    first, second, third = (printed.coeff(z, n) for n in range(3))
    assert (first, second) == (0, 0)
    assert sp.simplify(third - e * f / 2) == 0
    # m2 = kappa_2 + kappa_1^2 = 0 forces a point mass at 0, whose third moment m3 = kappa_3 would be 0.
    right = e * f * z / (2 - e * f**2 * z**2)
    assert sp.series(right, z, 0, 2).removeO().coeff(z, 1) == e * f / 2
    assert sp.simplify(right + right.subs(z, -z)) == 0
    whole = -sp.log(1 - e * f**2 * z**2 / 2) / (2 * f)
    assert whole.subs(z, 0) == 0
    assert sp.simplify(sp.diff(whole, z) - right) == 0
    values = {e: 0.8, f: 0.5}
    # Two free Marchenko-Pastur matrices, one subtracted: jumps c at the rate 1/(2 phi), and -c.
    c = f * sp.sqrt(e / 2)
    assert sp.simplify(right - (c / (1 - c * z) - c / (1 + c * z)) / (2 * f)) == 0
    assert float(mp.quad(lambda t: right.subs(values).subs(z, t), [0, 1.2])) == pytest.approx(
        float(whole.subs(values).subs(z, 1.2))
    )


def test_E30():
    """Free Cauchy is the Levy case of exponent 1, a constant R; the inverse Wishart R is not constant."""
    z, a, b, level, kappa = sp.symbols("z a b alpha_l kappa", positive=True)
    levy = a + b * z ** (level - 1)
    assert sp.diff(levy.subs(level, 1), z) == 0
    wishart = 2 / (1 + sp.sqrt(1 - 2 * z / kappa))
    assert sp.diff(wishart, z).subs({z: 0, kappa: 1}) == sp.Rational(1, 2)
