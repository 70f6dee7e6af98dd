"""The fixtures against each other and against the numbers of theory.md: closed forms, quadrature, samples.

Nothing here imports the package. Seeds are fixed; the tolerance of a random check is at least four standard deviations.
"""

from __future__ import annotations

import ast
import math
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import kstest

from fixtures import free_probability as fp
from fixtures import laws, matrices, traps, windows
from fixtures.ensembles import marchenko_pastur_quantiles
from fixtures.oracles import erg_cut_mpmath

FIXTURES = Path(laws.__file__).parent
RATIOS = [1.0, 0.5, 0.25]
KAPPAS = [0.1, 0.5, 1.0, 3.0]
ATOMS = [0.1, 0.4, 0.5, 1.0, 3.0]
ARGUMENTS = [1e-6, 0.01, 0.3, 2.0, 50.0]


def covariance_eigenvalues(W: np.ndarray) -> np.ndarray:
    return np.linalg.eigvalsh(W.T @ W / W.shape[0])


# House rules


@pytest.mark.parametrize("name", ["laws", "matrices", "free_probability", "traps", "ensembles", "oracles", "windows"])
def test_fixtures_do_not_import_the_package_or_use_the_global_generator(name: str) -> None:
    tree = ast.parse((FIXTURES / f"{name}.py").read_text())
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not [module for module in names if module.split(".")[0] == "setol_ww"]
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "np.random":
            assert node.attr in ("default_rng", "Generator")


SAMPLERS = {
    "haar": lambda seed: matrices.haar(6, seed),
    "marchenko_pastur_matrix": lambda seed: matrices.marchenko_pastur_matrix(8, 5, 1.0, seed)[0],
    "lomax_matrix": lambda seed: matrices.lomax_matrix(8, 5, 1.5, seed)[0],
    "signed_pareto": lambda seed: matrices.signed_pareto(8, 5, 1.5, seed)[0],
    "inverse_marchenko_pastur": lambda seed: matrices.inverse_marchenko_pastur_eigenvalues(10, 0.5, seed)[0],
    "covariance_spike": lambda seed: matrices.covariance_spike(8, 5, 2.0, seed)[0],
    "signal_spike": lambda seed: matrices.signal_spike(8, 5, 2.0, seed)[0],
    "truncated_power_law": lambda seed: matrices.truncated_power_law_eigenvalues(9, 2.0, 1.0, 10.0, seed)[0],
    "free_cauchy": lambda seed: matrices.free_cauchy_matrix(6, 1.0, seed)[0],
    "levy_wigner": lambda seed: matrices.levy_wigner_eigenvalues(6, 1.5, seed)[0],
    "multiplicative_wishart": lambda seed: matrices.multiplicative_wishart_eigenvalues(6, seed)[0],
    "element_trap": lambda seed: matrices.element_trap(8, 5, 2.0, seed)[0],
    "mean_trap": lambda seed: matrices.mean_trap(8, 5, 2.0, seed)[0],
    "planted_rank": lambda seed: matrices.planted_rank(8, 5, 2, seed)[0],
    "shuffle": lambda seed: traps.shuffle(np.arange(30.0).reshape(6, 5), seed),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_depends_on_its_seed_and_on_nothing_else(name: str) -> None:
    np.random.seed(0)
    first = SAMPLERS[name](7)
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    assert np.array_equal(first, SAMPLERS[name](7))
    assert np.array_equal(state, np.random.get_state()[1])
    assert not np.array_equal(first, SAMPLERS[name](8))


# Marchenko-Pastur


@pytest.mark.parametrize(
    ("q", "fraction", "cut", "mean_log"),
    [(1.0, 0.7311, 0.1812, -1.0), (0.5, 0.8145, 0.3117, -0.3069), (0.25, 0.8699, 0.4336, None)],
)
def test_marchenko_pastur_truth_has_the_numbers_of_theory(q, fraction, cut, mean_log) -> None:
    truth = laws.marchenko_pastur_truth(q)
    assert truth.erg_fraction == pytest.approx(fraction, abs=5e-5)
    assert truth.erg_lambda_min == pytest.approx(cut, abs=5e-5)
    closed = -1 if q == 1 else -1 + (1 - q) / q * math.log(1 / (1 - q))
    assert truth.mean_log == pytest.approx(closed, abs=1e-11)
    assert mean_log is None or closed == pytest.approx(mean_log, abs=5e-5)
    assert (truth.lower, truth.upper) == pytest.approx(((1 - math.sqrt(q)) ** 2, (1 + math.sqrt(q)) ** 2))


def test_marchenko_pastur_truth_of_another_variance() -> None:
    one, other = laws.marchenko_pastur_truth(0.5), laws.marchenko_pastur_truth(0.5, 4.0)
    assert (other.erg_fraction, other.erg_lambda_min) == (one.erg_fraction, one.erg_lambda_min)
    assert (other.lower, other.upper) == pytest.approx((4 * one.lower, 4 * one.upper))
    assert other.mean_log == pytest.approx(one.mean_log + math.log(4))
    density = laws.marchenko_pastur_density(3.0, 0.5, 4.0)
    assert float(density) == pytest.approx(float(laws.marchenko_pastur_density(0.75, 0.5)) / 4)


@pytest.mark.parametrize("q", RATIOS)
def test_marchenko_pastur_mean_of_the_positive_logarithm(q) -> None:
    a, b = laws.marchenko_pastur_edges(q)
    value = mpmath.quad(lambda x: mpmath.log(x) * laws.marchenko_pastur_density(x, q), [max(a, 1), (1 + b) / 2, b])
    assert float(value) == pytest.approx({1.0: 0.2551, 0.5: 0.2072, 0.25: 0.1622}[q], abs=5e-5)


@pytest.mark.parametrize("q", RATIOS)
def test_marchenko_pastur_quantiles_have_the_cut_of_the_truth(q) -> None:
    values, truth = marchenko_pastur_quantiles(20_000, q), laws.marchenko_pastur_truth(q)
    x = np.sort(values / values.mean())[::-1]
    rank = int(np.argmin(np.abs(np.cumsum(np.log(x))[1000:]))) + 1001
    assert rank / x.size == pytest.approx(truth.erg_fraction, abs=2e-4)
    assert x[rank - 1] == pytest.approx(truth.erg_lambda_min, abs=3e-4)


def test_marchenko_pastur_moments_are_exact() -> None:
    half = Fraction(1, 2)
    assert [laws.marchenko_pastur_moment(n, half) for n in range(4)] == [1, 1, Fraction(3, 2), Fraction(11, 4)]
    assert [laws.marchenko_pastur_moment(n, 1) for n in range(8)] == [laws.catalan(n) for n in range(8)]
    assert [laws.marchenko_pastur_moment(n, 0) for n in range(4)] == [1, 1, 1, 1]
    assert isinstance(laws.marchenko_pastur_moment(0, 0.25), Fraction)
    cumulants = [Fraction(1, 3) ** n for n in range(6)]
    moments = [laws.marchenko_pastur_moment(n, Fraction(1, 3)) for n in range(1, 7)]
    assert fp.moments_by_enumeration(cumulants) == moments
    assert fp.free_cumulants_by_enumeration(moments) == cumulants


@pytest.mark.parametrize("q", RATIOS)
def test_marchenko_pastur_moments_by_quadrature(q) -> None:
    a, b = laws.marchenko_pastur_edges(q)
    for n in range(5):
        # Stieltjes with the density x^n (z - x) rho is the n-th moment.
        moment = laws.stieltjes_by_quadrature(
            lambda x, n=n: x**n * (9 - x) * laws.marchenko_pastur_density(x, q), a, b, 9
        )
        assert float(moment) == pytest.approx(float(laws.marchenko_pastur_moment(n, q)), rel=1e-12)


OFF_SUPPORT = [10.0, -0.7, 1 + 0.5j, 2 - 0.25j, -1 + 0.1j]


@pytest.mark.parametrize("z", OFF_SUPPORT)
@pytest.mark.parametrize("q", RATIOS)
def test_marchenko_pastur_stieltjes_closed_form_is_the_quadrature(q, z) -> None:
    a, b = laws.marchenko_pastur_edges(q)
    value = laws.stieltjes_by_quadrature(lambda x: laws.marchenko_pastur_density(x, q), a, b, z)
    assert abs(value - laws.marchenko_pastur_stieltjes(z, q)) < 1e-11
    assert mpmath.im(value) * mpmath.im(mpmath.mpc(z)) <= 0


@pytest.mark.parametrize("q", RATIOS)
def test_marchenko_pastur_r_inverts_stieltjes_up_to_the_edge(q) -> None:
    edge = 1 / (math.sqrt(q) * (1 + math.sqrt(q)))
    upper = laws.marchenko_pastur_edges(q)[1]
    assert float(mpmath.re(laws.marchenko_pastur_stieltjes(upper + 1e-13, q))) == pytest.approx(edge, rel=1e-5)
    assert upper * edge == pytest.approx(1 + 1 / math.sqrt(q))
    for t in (0.05 * edge, 0.5 * edge, 0.99 * edge):
        B = laws.marchenko_pastur_r(t, q) + 1 / mpmath.mpf(t)
        assert B > upper
        assert float(laws.marchenko_pastur_stieltjes(B, q)) == pytest.approx(t, rel=1e-9)
        integral = mpmath.quad(lambda z: laws.marchenko_pastur_r(z, q), [0, t])
        assert float(laws.marchenko_pastur_integrated_r(t, q)) == pytest.approx(float(integral), rel=1e-12)


@pytest.mark.parametrize(("rows", "columns", "sigma"), [(600, 600, 1.0), (800, 400, 0.3), (1200, 300, 2.0)])
def test_marchenko_pastur_matrix_follows_the_law(rows, columns, sigma) -> None:
    W, truth = matrices.marchenko_pastur_matrix(rows, columns, sigma, seed=3)
    values = covariance_eigenvalues(W)
    for n in (1, 2, 3, 4):
        exact = float(laws.marchenko_pastur_moment(n, columns / rows)) * sigma ** (2 * n)
        assert np.mean(values**n) == pytest.approx(exact, rel=0.03)
    assert values[-1] == pytest.approx(truth.upper, rel=0.03)
    assert values[0] == pytest.approx(truth.lower, abs=0.03 * truth.upper)
    if rows > columns:
        assert np.log(values).mean() == pytest.approx(truth.mean_log, abs=0.02)
    cut = erg_cut_mpmath(values)
    assert cut.rank / columns == pytest.approx(truth.erg_fraction, abs=0.012)  # theory T3
    assert values[columns - cut.rank] / values.mean() == pytest.approx(truth.erg_lambda_min, abs=0.03)


def test_wide_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="rows"):
        matrices.marchenko_pastur_matrix(4, 5, 1.0, 0)


# Inverse Marchenko-Pastur


@pytest.mark.parametrize(
    ("kappa", "fraction", "cut"), [(0.1, 0.480, 0.2513), (0.5, 0.711, 0.3669), (1, 0.791, 0.4377), (3, 0.881, 0.5652)]
)
def test_inverse_marchenko_pastur_truth_has_the_numbers_of_theory(kappa, fraction, cut) -> None:
    truth = laws.inverse_marchenko_pastur_truth(kappa)
    assert truth.erg_fraction == pytest.approx(fraction, abs=5e-4)
    assert truth.erg_lambda_min == pytest.approx(cut, abs=5e-5)
    assert truth.lower * truth.upper == pytest.approx(1)
    density = lambda x: laws.inverse_marchenko_pastur_density(x, kappa)  # noqa: E731
    z = truth.upper + 5
    moments = [
        float(laws.stieltjes_by_quadrature(lambda x, n=n: x**n * (z - x) * density(x), truth.lower, truth.upper, z))
        for n in range(3)
    ]
    assert moments[:2] == pytest.approx([1, 1], abs=1e-12)
    assert moments[2] - 1 == pytest.approx(truth.variance, rel=1e-10)


def test_the_ideal_kappa_is_one_half() -> None:
    truth = laws.inverse_marchenko_pastur_truth(0.5)  # theory E25: alpha_erg = 1 - 1/ln(lambda_ECS) = 1.997
    assert 1 - 1 / math.log(truth.erg_lambda_min) == pytest.approx(1.997, abs=5e-4)
    assert truth.erg_lambda_min == pytest.approx(1 / math.e, abs=1.1e-3)


@pytest.mark.parametrize("kappa", KAPPAS)
def test_inverse_marchenko_pastur_quantiles_are_reciprocals_of_marchenko_pastur(kappa) -> None:
    q = 1 / (1 + 2 * kappa)
    other = (1 - q) / marchenko_pastur_quantiles(500, q)[::-1]
    assert laws.inverse_marchenko_pastur_quantiles(500, kappa) == pytest.approx(other, rel=1e-6)
    truth = laws.inverse_marchenko_pastur_truth(kappa)
    assert float(np.log(other).mean()) == pytest.approx(truth.mean_log, abs=2e-3)


@pytest.mark.parametrize("kappa", KAPPAS)
def test_inverse_marchenko_pastur_quantiles_have_the_moments_and_the_cut(kappa) -> None:
    values, truth = laws.inverse_marchenko_pastur_quantiles(20_000, kappa), laws.inverse_marchenko_pastur_truth(kappa)
    assert values.mean() == pytest.approx(1, abs=1e-4)
    assert values.var() == pytest.approx(truth.variance, rel=1e-3)
    x = values[::-1] / values.mean()
    rank = int(np.argmin(np.abs(np.cumsum(np.log(x))[1000:]))) + 1001
    assert rank / x.size == pytest.approx(truth.erg_fraction, abs=2e-4)


@pytest.mark.parametrize("z", [-0.7, 1 + 0.5j, 2 - 0.25j])
@pytest.mark.parametrize("kappa", KAPPAS)
def test_inverse_marchenko_pastur_stieltjes_closed_form_is_the_quadrature(kappa, z) -> None:
    a, b = laws.inverse_marchenko_pastur_edges(kappa)
    for point in (z, b + 1):
        value = laws.stieltjes_by_quadrature(lambda x: laws.inverse_marchenko_pastur_density(x, kappa), a, b, point)
        assert abs(value - laws.inverse_marchenko_pastur_stieltjes(point, kappa)) < 1e-11


@pytest.mark.parametrize(("kappa", "edge"), [(0.5, 0.2426), (1, 0.4641), (3, 1.194)])
def test_inverse_marchenko_pastur_r_is_real_up_to_the_edge(kappa, edge) -> None:
    """Theory E23, E24: no pole at 0, and G at the edge stays below kappa / 2."""
    upper = laws.inverse_marchenko_pastur_edges(kappa)[1]
    at_edge = float(mpmath.re(laws.inverse_marchenko_pastur_stieltjes(upper * (1 + 1e-14), kappa)))
    assert at_edge == pytest.approx(edge, abs=6e-4)
    assert at_edge < kappa / 2
    for t in (0.01 * edge, 0.5 * edge, 0.98 * edge):
        B = laws.inverse_marchenko_pastur_r(t, kappa) + 1 / mpmath.mpf(t)
        assert float(laws.inverse_marchenko_pastur_stieltjes(B, kappa)) == pytest.approx(t, rel=1e-9)
        integral = mpmath.quad(lambda z: laws.inverse_marchenko_pastur_r(z, kappa), [0, t])
        assert float(laws.inverse_marchenko_pastur_integrated_r(t, kappa)) == pytest.approx(float(integral), rel=1e-12)
    series = mpmath.taylor(lambda z: laws.inverse_marchenko_pastur_r(z, kappa), 0, 2)
    assert [float(term) for term in series] == pytest.approx([1, 1 / (2 * kappa), 1 / (2 * kappa**2)], rel=1e-8)


@pytest.mark.parametrize("kappa", KAPPAS)
def test_inverse_marchenko_pastur_sample(kappa) -> None:
    values, truth = matrices.inverse_marchenko_pastur_eigenvalues(400, kappa, seed=0)
    assert values.mean() == pytest.approx(1, abs=1e-14)
    assert np.all(np.diff(values) >= 0)
    if kappa >= 0.5:
        assert values.var() == pytest.approx(truth.variance, rel=0.05)
        cut = erg_cut_mpmath(values)
        assert cut.rank / 400 == pytest.approx(truth.erg_fraction, abs=0.012)  # theory T3
        assert values[400 - cut.rank] == pytest.approx(truth.erg_lambda_min, abs=0.015)
    assert (
        kstest(values, lambda x: np.searchsorted(laws.inverse_marchenko_pastur_quantiles(4000, kappa), x) / 4000)[0]
        < 0.02
    )


# Truncated power law


@pytest.mark.parametrize("alpha", [0.0, 1.0, 1.5, 2.0, 3.0, 4.0])
def test_truncated_power_law_moments_by_quadrature(alpha) -> None:
    for k in range(5):
        direct = mpmath.quad(lambda x, k=k: x**k * laws.truncated_power_law_density(x, alpha, 0.5, 7), [0.5, 1, 2, 7])
        assert float(laws.truncated_power_law_moment(k, alpha, 0.5, 7)) == pytest.approx(float(direct), rel=1e-12)


@pytest.mark.parametrize("alpha", [1.0, 1.5, 2.0, 3.5])
def test_truncated_power_law_quantiles_and_draws(alpha) -> None:
    values = laws.truncated_power_law_quantiles(20_000, alpha, 1, 10)
    assert np.all(np.diff(values) > 0)
    assert 1 < values[0] < values[-1] < 10
    for k in (1, 2, 3):
        exact = float(laws.truncated_power_law_moment(k, alpha, 1, 10))
        assert np.mean(values**k) == pytest.approx(exact, rel=1e-5)
    draws, truth = matrices.truncated_power_law_eigenvalues(4000, alpha, 1, 10, seed=5)
    assert truth == alpha
    assert kstest(draws, lambda x: np.searchsorted(values, x) / values.size).pvalue > 0.001


def test_truncated_power_law_of_exponent_two() -> None:
    """Theory E44: kappa_2 = lambda_0 lambda_max - kappa_1^2 and C = lambda_0 lambda_max / (lambda_max - lambda_0)."""
    a, b = 1, 10
    mean = laws.truncated_power_law_moment(1, 2, a, b)
    assert float(mean) == pytest.approx(a * b / (b - a) * math.log(b / a))
    assert float(laws.truncated_power_law_moment(2, 2, a, b)) == pytest.approx(a * b)


def test_truncated_power_law_r_beyond_two_terms() -> None:
    """Theory E45 (a = 1, b = 10, alpha = 2): two terms give 2.731, 3.59, 12.9; R is 2.768, 6.67 and below 10."""
    mean = float(laws.truncated_power_law_moment(1, 2, 1, 10))
    variance = 10 - mean**2
    assert [mean + variance * z for z in (0.05, 0.3, 3)] == pytest.approx([2.731, 3.59, 12.9], abs=0.06)
    atoms = laws.truncated_power_law_quantiles(1000, 2, 1, 10)
    R = [float(fp.r_transform_bisection(z, atoms, digits=15)) for z in (0.05, 0.3, 3)]
    assert R == pytest.approx([2.768, 6.67, 10 - 1 / 3], abs=0.06)

    def G(B):
        return float(
            laws.stieltjes_by_quadrature(lambda x: laws.truncated_power_law_density(x, 2, 1, 10), 1, 10, B, digits=8)
        )

    assert brentq(lambda B: G(B) - 0.05, 20, 30, xtol=1e-6) - 20 == pytest.approx(2.768, abs=5e-4)
    assert G(10 + 1e-5) < 0.3  # so that B(.3) and B(3) are 10 to five digits: R(.3) = 6.667, R(3) = 9.667


# Heavy-tailed matrices


@pytest.mark.parametrize("mu", [0.75, 1.0, 3.0])
def test_entries_of_the_heavy_tailed_matrices(mu) -> None:
    W, alpha = matrices.lomax_matrix(200, 100, mu, seed=1)
    assert alpha == mu / 2 + 1
    assert W.min() > 0
    assert kstest(W.ravel(), lambda x: 1 - (1 + x) ** -mu).pvalue > 0.001
    W, alpha = matrices.signed_pareto(200, 100, mu, seed=1)
    assert alpha == mu / 2 + 1
    assert np.abs(W).min() >= 1
    assert kstest(np.abs(W).ravel(), lambda x: 1 - x**-mu).pvalue > 0.001
    assert abs(np.sign(W).mean()) < 4 / math.sqrt(W.size)


def hill(values: np.ndarray, n: int) -> float:
    tail = np.sort(values)[-n:]
    return 1 + n / np.sum(np.log(tail / tail[0]))


@pytest.mark.parametrize("mu", [0.75, 1.0, 1.25])
def test_tail_exponent_of_the_heavy_tailed_matrices(mu) -> None:
    for sampler in (matrices.lomax_matrix, matrices.signed_pareto):
        fits = [hill(covariance_eigenvalues(sampler(300, 300, mu, seed)[0]), 60) for seed in range(7)]
        assert float(np.median(fits)) == pytest.approx(mu / 2 + 1, abs=0.2)  # theory T2


@pytest.mark.parametrize("alpha_l", [0.7, 1.0, 1.5, 2.0])
def test_symmetric_stable_has_its_characteristic_function(alpha_l) -> None:
    x = matrices.symmetric_stable(np.random.default_rng(2), alpha_l, 40_000)
    for t in (0.3, 1.0, 2.0):
        assert np.cos(t * x).mean() == pytest.approx(math.exp(-(t**alpha_l)), abs=4 * 0.7 / 200)
        assert abs(np.sin(t * x).mean()) < 4 * 0.7 / 200


def test_levy_wigner_is_normalised_symmetric_and_heavy() -> None:
    for alpha_l in (0.8, 1.2):
        tails, medians = [], []
        for seed in range(5):
            values, alpha = matrices.levy_wigner_eigenvalues(400, alpha_l, seed)
            assert alpha == alpha_l + 1
            tails.append(hill(np.abs(values), 20))
            medians.append(np.median(values))
        assert float(np.median(tails)) == pytest.approx(alpha, abs=0.4)
        assert max(np.abs(medians)) < 0.05
    widths = [np.median(np.abs(matrices.levy_wigner_eigenvalues(n, 1.2, 0)[0])) for n in (200, 400, 800)]
    assert max(widths) / min(widths) < 1.1
    values, _ = matrices.levy_wigner_eigenvalues(
        400, 2.0, 0
    )  # Gaussian of variance 2: the semicircle of radius 2 sqrt 2
    assert np.mean(values**2) == pytest.approx(2, rel=0.05)
    assert np.mean(values**4) == pytest.approx(8, rel=0.05)
    assert values[-1] == pytest.approx(2 * math.sqrt(2), rel=0.03)


def test_free_cauchy_has_the_stieltjes_transform_of_the_cauchy_law() -> None:
    """Theory E21: G(z) = 1/(z + i gamma) for Im z > 0, that is R = -i gamma."""
    gamma, found = 0.7, []
    for seed in range(8):
        X, truth = matrices.free_cauchy_matrix(300, gamma, seed)
        assert truth == gamma
        assert np.array_equal(X, X.T)
        found.append([np.mean(1 / (z - np.linalg.eigvalsh(X))) for z in (1j, 0.5 + 0.5j)])
    assert np.abs(np.mean(found, axis=0) - [1 / 1.7j, 1 / (0.5 + 1.2j)]).max() < 0.05


def test_haar_is_orthogonal_and_uniform() -> None:
    draws = np.array([matrices.haar(5, seed) for seed in range(1000)])
    assert np.abs(draws @ draws.transpose(0, 2, 1) - np.eye(5)).max() < 1e-13
    traces, squares = np.trace(draws, axis1=1, axis2=2), np.trace(draws @ draws, axis1=1, axis2=2)
    assert traces.mean() == pytest.approx(0, abs=4 / math.sqrt(1000))
    assert (traces**2).mean() == pytest.approx(1, abs=4 * math.sqrt(2 / 1000))
    assert squares.mean() == pytest.approx(1, abs=4 * math.sqrt(3 / 1000))
    assert np.abs((draws**2).mean(axis=0) - 0.2).max() < 4.5 * math.sqrt(2 * 0.8 * 0.2 / 7 / 1000) + 0.01
    assert 430 < np.sum(np.linalg.det(draws) > 0) < 570


def test_multiplicative_wishart_has_fuss_catalan_moments() -> None:
    assert [laws.fuss_catalan(k) for k in range(6)] == [1, 1, 3, 12, 55, 273]
    values, edge = matrices.multiplicative_wishart_eigenvalues(800, seed=0)
    for k in (1, 2, 3, 4):
        assert np.mean(values**k) == pytest.approx(laws.fuss_catalan(k), rel=0.03)
    assert values[-1] == pytest.approx(edge, rel=0.06)
    # The free multiplicative convolution of two Marchenko-Pastur laws: kappa_n are the moments of one, Catalan.
    cumulants = fp.free_cumulants_by_enumeration([Fraction(laws.fuss_catalan(k)) for k in range(1, 7)])
    assert cumulants == [laws.catalan(n) for n in range(1, 7)]


# Spikes


@pytest.mark.parametrize("theta", [0.3, 1.5, 4.0, 10.0])
def test_spikes_lie_where_theory_says(theta) -> None:
    q = 1 / 3
    for sampler, threshold in ((matrices.covariance_spike, q**0.5), (matrices.signal_spike, q**0.25)):
        largest = []
        for seed in range(4):
            W, truth = sampler(900, 300, theta, seed)
            largest.append(covariance_eigenvalues(W)[-1])
        assert truth.threshold == pytest.approx(threshold)
        assert truth.edge == pytest.approx((1 + math.sqrt(q)) ** 2)
        assert truth.is_outlier == (theta > threshold)
        deviation = math.sqrt(2 * (1 + theta) ** 2 / 900)
        assert np.mean(largest) == pytest.approx(truth.location, abs=max(0.05, 4 * deviation / 2))


def test_spike_truth_is_continuous_and_has_the_numbers_of_theory() -> None:
    location = lambda sampler, theta: sampler(300, 100, theta, 0)[1].location  # noqa: E731
    found = [location(matrices.covariance_spike, theta) for theta in (1.5, 4, 10)]
    assert found == pytest.approx([3.056, 5.42, 11.37], abs=4e-3)
    assert [location(matrices.signal_spike, theta) for theta in (1.5, 4)] == pytest.approx([3.731, 17.354], abs=6e-4)
    for sampler in (matrices.covariance_spike, matrices.signal_spike):
        truth = sampler(300, 100, 2.0, 0)[1]
        below, above = (location(sampler, truth.threshold * factor) for factor in (1 - 1e-6, 1 + 1e-6))
        assert below == truth.edge
        assert above == pytest.approx(truth.edge, abs=1e-9)


# Degenerate and low rank

SHAPES = [(12, 7), (7, 12), (6, 6), (5, 1), (1, 5), (1, 1), (4, 2)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", matrices.DEGENERATE_KINDS)
def test_degenerate_matrices_are_what_they_say(kind, shape) -> None:
    for seed in range(3):
        W, facts = matrices.degenerate(kind, *shape, seed)
        assert W.shape == shape
        assert np.linalg.matrix_rank(W) == facts["rank"]
        values = np.linalg.svd(W, compute_uv=False)
        assert (values[-1] > 0 and values[0] / max(values[-1], 1e-300) < 1 + 1e-12) == facts["flat"]
    if kind == "tied" and min(shape) > 3:
        exact = np.sort(np.abs(W[W != 0]))
        assert exact.tolist() == (1.0 + np.arange(min(shape)) // 2).tolist()


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        matrices.degenerate("round", 3, 3, 0)


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_planted_rank(rank) -> None:
    for shape in ((9, 5), (5, 9)):
        W, truth = matrices.planted_rank(*shape, rank, seed=2)
        assert truth == np.linalg.matrix_rank(W) == rank


# Partitions and cumulants


def test_partitions_are_counted_by_catalan_and_bell_numbers() -> None:
    assert [len(fp.noncrossing_partitions(n)) for n in range(1, 8)] == [1, 2, 5, 14, 42, 132, 429]
    assert [len(fp.set_partitions(n)) for n in range(1, 8)] == [1, 2, 5, 15, 52, 203, 877]
    for n in (4, 5):
        found = fp.set_partitions(n)
        assert len({frozenset(map(frozenset, blocks)) for blocks in found}) == len(found)
        assert all(sorted(sum(blocks, ())) == list(range(n)) for blocks in found)
    crossing = [blocks for blocks in fp.set_partitions(4) if blocks not in fp.noncrossing_partitions(4)]
    assert crossing == [((0, 2), (1, 3))]


rationals = st.lists(st.fractions(-3, 3, max_denominator=6), min_size=1, max_size=6)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(rationals)
def test_cumulants_and_moments_are_inverse(moments) -> None:
    assert fp.moments_by_enumeration(fp.free_cumulants_by_enumeration(moments)) == moments
    assert fp.free_cumulants_by_enumeration(fp.moments_by_enumeration(moments)) == moments


def lagrange_cumulant(n: int, moments: list[Fraction]) -> Fraction:
    """kappa_n = -[x^n] M(x)^(1-n) / (n - 1), theory 3.1: the power by repeated series division."""
    series = [Fraction(1), *moments[:n]]
    inverse = [Fraction(1)]
    for i in range(1, n + 1):
        inverse.append(-sum(series[j] * inverse[i - j] for j in range(1, i + 1)))
    power = [Fraction(1)] + [Fraction(0)] * n
    for _ in range(n - 1):
        power = [sum(power[j] * inverse[i - j] for j in range(i + 1)) for i in range(n + 1)]
    return -power[n] / (n - 1)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.lists(st.fractions(-3, 3, max_denominator=6), min_size=6, max_size=6))
def test_enumeration_printed_formulas_and_lagrange_agree(m) -> None:
    cumulants = fp.free_cumulants_by_enumeration(m)
    assert cumulants[:5] == fp.free_cumulants5(m)  # Eq. 162, theory E33
    assert cumulants[1:] == [lagrange_cumulant(n, m) for n in range(2, 7)]
    m1, m2, m3, m4, m5, m6 = m
    sixth = m6 - 6 * m5 * m1 - 6 * m4 * m2 + 21 * m4 * m1**2 - 3 * m3**2 + 42 * m3 * m2 * m1 - 56 * m3 * m1**3
    sixth += 7 * m2**3 - 84 * m2**2 * m1**2 + 126 * m2 * m1**4 - 42 * m1**6
    assert cumulants[5] == sixth


@settings(derandomize=True, max_examples=15, deadline=None)
@given(st.lists(st.fractions(0, 4, max_denominator=4), min_size=2, max_size=6), st.fractions(-2, 2, max_denominator=3))
def test_scaling_and_shift_of_cumulants(atoms, c) -> None:
    """Theory 3.1 and I11: kappa_n(cX) = c^n kappa_n; a shift moves kappa_1 alone."""

    def cumulants(values):
        return fp.free_cumulants_by_enumeration([sum(v**n for v in values) / len(values) for n in range(1, 6)])

    kappa = cumulants(atoms)
    assert cumulants([c * value for value in atoms]) == [c**n * kappa[n - 1] for n in range(1, 6)]
    assert cumulants([c + value for value in atoms]) == [kappa[0] + c, *kappa[1:]]


def test_cumulants_of_known_laws() -> None:
    assert fp.moments_by_enumeration([0, 1, 0, 0, 0, 0]) == [0, 1, 0, 2, 0, 5]  # the semicircle
    assert fp.moments_by_enumeration([1] * 6) == [laws.catalan(n) for n in range(1, 7)]
    assert fp.free_cumulants_by_enumeration([Fraction(3) ** n for n in range(1, 6)]) == [3, 0, 0, 0, 0]
    # Theory E29: R = eps phi z^2 / (2 - eps phi^2 z^2) would have kappa_1 = kappa_2 = 0 and kappa_3 > 0, so m_2 = 0.
    assert fp.moments_by_enumeration([0, 0, Fraction(1, 2)]) == [0, 0, Fraction(1, 2)]
    # Theory E31: centred moments have kappa_1 = 0, and so has the leading term of Q^2.
    assert fp.free_cumulants_by_enumeration([0, 1, Fraction(1, 2)])[0] == 0


def test_the_recursion_as_printed_differs_at_order_three() -> None:
    """Theory E32: all partitions, products of moments: m_3 - 3 m_1 m_2 - m_1^3 where + 2 m_1^3 is right."""
    m = [Fraction(2), Fraction(7), Fraction(31)]
    printed = m[2] - sum(
        math.prod(m[len(block) - 1] for block in blocks) for blocks in fp.set_partitions(3) if len(blocks) > 1
    )
    assert printed == m[2] - 3 * m[0] * m[1] - m[0] ** 3
    assert fp.free_cumulants_by_enumeration(m)[2] == m[2] - 3 * m[0] * m[1] + 2 * m[0] ** 3


def test_inverse_marchenko_pastur_cumulants_are_the_coefficients_of_r() -> None:
    """Theory E23 by exact moments of kappa = 1/2: G at infinity gives 1, 2, 6, 22, 90 (large Schroeder numbers)."""
    moments = [Fraction(n) for n in (1, 2, 6, 22, 90)]
    a, b = laws.inverse_marchenko_pastur_edges(0.5)
    for n, moment in enumerate(moments, start=1):
        found = laws.stieltjes_by_quadrature(
            lambda x, n=n: x**n * (9 - x) * laws.inverse_marchenko_pastur_density(x, 0.5), a, b, 9
        )
        assert float(found) == pytest.approx(float(moment), rel=1e-11)
    cumulants = fp.free_cumulants_by_enumeration(moments)
    assert cumulants == [1, 1, 2, 5, 14]
    series = mpmath.taylor(lambda z: laws.inverse_marchenko_pastur_r(z, 0.5), 0, 4)
    assert [float(term) for term in series] == pytest.approx([float(value) for value in cumulants], rel=1e-6)


# The R-transform of atoms


@pytest.mark.parametrize("t", ARGUMENTS)
def test_r_of_two_atoms_is_the_root_of_a_quadratic(t) -> None:
    a, b, w = mpmath.mpf(1), mpmath.mpf(4), mpmath.mpf(1) / 4
    with mpmath.workdps(60):
        t = mpmath.mpf(t)
        # w (B - a) + (1 - w)(B - b) with weight 1 - w on a: t (B - a)(B - b) = B - (1 - w) b - w a.
        p, c = -(t * (a + b) + 1), t * a * b + (1 - w) * b + w * a
        B = (-p + mpmath.sqrt(p * p - 4 * t * c)) / (2 * t)
        R = fp.r_transform_bisection(t, [a, b], [Fraction(3, 4), Fraction(1, 4)])
        assert abs(R - (B - 1 / t)) < mpmath.mpf(10) ** -38


@pytest.mark.parametrize("weights", [None, [0.1, 0.2, 0.3, 0.3, 0.1]])
@pytest.mark.parametrize("t", ARGUMENTS)
def test_r_is_the_weighted_mean_of_the_atoms(weights, t) -> None:
    """Theory 3.3: R = sum w lambda g / sum w g with g = 1/(B - lambda), and the bounds of I12."""
    w = [mpmath.mpf(1) / 5] * 5 if weights is None else [mpmath.mpf(value) / mpmath.fsum(weights) for value in weights]
    R = fp.r_transform_bisection(t, ATOMS, weights)
    with mpmath.workdps(40):
        g = [1 / (R + 1 / mpmath.mpf(t) - atom) for atom in map(mpmath.mpf, ATOMS)]
        mean = mpmath.fsum(w[i] * ATOMS[i] * g[i] for i in range(5)) / mpmath.fsum(w[i] * g[i] for i in range(5))
    assert abs(R - mean) < 1e-14 * R
    assert mpmath.fsum(wi * atom for wi, atom in zip(w, ATOMS)) <= R * (1 + mpmath.mpf(10) ** -14) < 3
    assert R >= 3 - (1 - w[-1]) / t


@pytest.mark.parametrize("weights", [None, [0.1, 0.2, 0.3, 0.3, 0.1]])
@pytest.mark.parametrize("t", [1e-3, 0.3, 20.0])
def test_integrated_r_by_two_routes(weights, t) -> None:
    closed = fp.integrated_r_closed(t, ATOMS, weights)
    assert abs(fp.integrated_r_quadrature(t, ATOMS, weights, digits=12) - closed) < 1e-12 * closed


def test_r_at_zero_scaling_shift_order_and_ties() -> None:
    assert float(fp.r_transform_bisection(0, ATOMS)) == pytest.approx(np.mean(ATOMS))
    assert fp.integrated_r_closed(0, ATOMS) == fp.integrated_r_quadrature(0, ATOMS) == 0
    R, atoms = fp.r_transform_bisection, [Fraction(atom).limit_denominator(10) for atom in ATOMS]
    with mpmath.workdps(40):
        assert abs(R(0.5, [2 * a for a in atoms]) - 2 * R(1, atoms)) < 1e-35  # R_cX(t) = c R_X(ct), I12
        assert abs(R(0.5, [2 + a for a in atoms]) - 2 - R(0.5, atoms)) < 1e-35
        assert abs(R(0.5, atoms[::-1]) - R(0.5, atoms)) < 1e-35
        assert abs(R(0.5, atoms + atoms) - R(0.5, atoms)) < 1e-35
        assert abs(R(0.5, [1, 1, 4], None) - R(0.5, [1, 4], [Fraction(2, 3), Fraction(1, 3)])) < 1e-35
        assert abs(R(0.5, [1, 9, 4], [0.5, 0, 0.5]) - R(0.5, [1, 4])) < 1e-35
        assert abs(R(7, [2.5]) - 2.5) < 1e-35
        assert abs(fp.integrated_r_closed(7, [2.5, 2.5]) - 17.5) < 1e-35
    with pytest.raises(ValueError, match="sum to"):
        R(0.5, [1, 4], [0.5, 0.6])
    with pytest.raises(ValueError, match="one nonnegative weight"):
        R(0.5, [1, 4], [1.5, -0.5])
    with pytest.raises(ValueError, match="t >= 0"):
        R(-1, ATOMS)


def test_integrated_r_is_convex_monotone_and_schur_convex() -> None:
    """Theory I13, I14."""
    grid = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    H = [float(fp.integrated_r_closed(t, ATOMS)) for t in grid]
    assert np.all(np.diff(H, 2) > 0)
    assert all(np.mean(ATOMS) * t <= value <= 3 * t for t, value in zip(grid, H))
    more = [atom + 0.1 for atom in ATOMS]
    spread = [0.0, 0.4, 0.5, 1.0, 3.1]  # ATOMS is majorised by this
    for t in grid[1:]:
        base = fp.integrated_r_closed(t, ATOMS)
        assert base < fp.integrated_r_closed(t, more)
        assert base < fp.integrated_r_closed(t, spread)
        assert base > fp.integrated_r_closed(t, [*ATOMS, 0.0])
    slope = (fp.integrated_r_closed(1 + 1e-10, ATOMS) - fp.integrated_r_closed(1 - 1e-10, ATOMS)) / 2e-10
    assert float(slope) == pytest.approx(float(fp.r_transform_bisection(1, ATOMS)), rel=1e-6)


@pytest.mark.parametrize("q", RATIOS)
def test_atomic_r_approaches_marchenko_pastur_and_then_saturates(q) -> None:
    """Theory 3.3: R = 1/(1 - qt) up to the edge value of t, lambda_max - 1/t beyond it."""
    atoms = marchenko_pastur_quantiles(300, q)
    edge = 1 / (math.sqrt(q) * (1 + math.sqrt(q)))
    for t in (0.1 * edge, 0.7 * edge):
        exact = float(laws.marchenko_pastur_r(t, q))
        assert float(fp.r_transform_bisection(t, atoms, digits=15)) == pytest.approx(exact, rel=0.015)
        exact = float(laws.marchenko_pastur_integrated_r(t, q))
        assert float(fp.integrated_r_closed(t, atoms, digits=15)) == pytest.approx(exact, rel=0.01)
    for t in (1.5 * edge, 10 * edge):
        saturated = laws.marchenko_pastur_edges(q)[1] - 1 / t
        assert float(fp.r_transform_bisection(t, atoms, digits=15)) == pytest.approx(saturated, abs=0.1)


def test_saturation_has_the_numbers_of_theory() -> None:
    atoms = marchenko_pastur_quantiles(1000, 0.5)
    edge = 1 / (math.sqrt(0.5) * (1 + math.sqrt(0.5)))
    R = [float(fp.r_transform_bisection(factor * edge, atoms, digits=12)) for factor in (1.5, 10)]
    assert R == pytest.approx([2.0915, 2.774], abs=0.008)  # 2.0915, 2.774 are of one random matrix
    upper = laws.marchenko_pastur_edges(0.5)[1]
    assert [upper - 1 / (factor * edge) for factor in (1.5, 10)] == pytest.approx([2.109, 2.793], abs=6e-4)
    analytic = [float(laws.marchenko_pastur_r(factor * edge, 0.5)) for factor in (1.5, 10)]
    assert analytic == pytest.approx([2.64, -0.32], abs=6e-3)


# The rank-one spherical integral


@pytest.mark.parametrize(("a", "b", "theta"), [(0.5, 2.0, 1.3), (1.0, 1.0, 0.7), (-1.0, 3.0, 4.0)])
def test_spherical_integral_in_two_and_three_dimensions(a, b, theta) -> None:
    exact = theta * (a + b) / 2 + mpmath.log(mpmath.besseli(0, theta * (a - b) / 2))
    assert abs(fp.rank_one_spherical_integral(theta, [a, b]) - exact) < 1e-13 * max(1, exact)
    s = 1.5 * theta  # u_3 is uniform on (-1, 1)
    exact = 2 / mpmath.mpf(3) * (s * a + mpmath.log(mpmath.quad(lambda u: mpmath.exp(s * (b - a) * u**2), [0, 1])))
    assert abs(fp.rank_one_spherical_integral(theta, [a, a, b]) - exact) < 1e-13 * max(1, exact)


@pytest.mark.parametrize("theta", [0.2, 0.6, 1.5])
def test_spherical_integral_by_monte_carlo(theta) -> None:
    for atoms in (ATOMS, [0, 1, 1, 2, 2, 3, 3, 3]):
        value, error = fp.rank_one_spherical_monte_carlo(theta, atoms, samples=100_000, seed=4)
        assert error < 0.01
        assert abs(float(fp.rank_one_spherical_integral(theta, atoms)) - value) < 4 * error


def test_spherical_integral_is_flat_on_the_sphere() -> None:
    assert abs(fp.rank_one_spherical_integral(0.8, [2.5] * 7) - 2) < 1e-13
    value, error = fp.rank_one_spherical_monte_carlo(0.8, [2.5] * 7, 100, 0)
    assert value == pytest.approx(2)
    assert error < 1e-12


@pytest.mark.parametrize("theta", [0.25, 1.0, 5.0])
def test_spherical_integral_tends_to_the_integral_of_r(theta) -> None:
    """(2/N) ln E exp((N theta/2) u^T A u) -> H(theta) from below, beyond the edge value of theta too."""
    defects = []
    for copies in (2, 8, 32):
        exact = fp.integrated_r_closed(theta, ATOMS, digits=20)
        defects.append(float(exact - fp.rank_one_spherical_integral(theta, ATOMS * copies, digits=10)))
    assert 0 < defects[2] < defects[1] / 2.5 < defects[0] / 6
    assert defects[2] < 0.012 * float(exact)


def test_the_integral_of_r_is_not_linear_in_its_argument() -> None:
    """Theory E13: with t = n beta lambda the exact integral follows H(t), not n beta H(lambda)."""
    atoms = marchenko_pastur_quantiles(60, 1.0)
    exact = [float(fp.rank_one_spherical_integral(0.25 * n, atoms, digits=10)) for n in (1, 2, 5)]
    right = [float(fp.integrated_r_closed(0.25 * n, atoms, digits=15)) for n in (1, 2, 5)]
    assert exact == pytest.approx(right, rel=0.05)
    assert 1.1 < exact[1] / (2 * right[0])
    assert 1.5 < exact[2] / (5 * right[0])
    # The paper's Q^2 = sum H(lambda_i) is the average over t in [0, 1] of Q^2(t) = sum lambda_i R(t lambda_i).
    left = mpmath.quad(
        lambda t: sum(a * fp.r_transform_bisection(t * a, ATOMS, digits=15) for a in map(mpmath.mpf, ATOMS)),
        [0, 0.125, 0.25, 0.5, 1],
        method="gauss-legendre",
        maxdegree=3,
    )
    assert float(left) == pytest.approx(float(sum(fp.integrated_r_closed(a, ATOMS) for a in ATOMS)), rel=1e-8)


def test_zero_padding_is_not_a_duality() -> None:
    """Theory E14: G_N = G_M / Q + (1 - 1/Q) / z, kappa_1(A_N) = kappa_1(A_M) / Q, and the sphere in R^N follows A_N."""
    atoms = marchenko_pastur_quantiles(30, 0.5)
    padded = [*atoms, *([0.0] * 30)]
    weights = [Fraction(1, 60)] * 30 + [Fraction(1, 2)]
    R = fp.r_transform_bisection
    assert float(R(0, padded)) == pytest.approx(float(R(0, atoms)) / 2)
    assert abs(R(0.7, padded) - R(0.7, [*atoms, 0.0], weights)) < 1e-15
    sphere = float(fp.rank_one_spherical_integral(0.05, padded)) / 2
    assert sphere == pytest.approx(float(fp.integrated_r_closed(0.05, padded)) / 2, rel=5e-3)
    assert float(fp.integrated_r_closed(0.05, atoms)) / 2 > 1.9 * sphere


# Quality


def test_quality_of_flat_spectra_and_bounds() -> None:
    """Theory I15: k = N and flat gives k; (1/N)(sum x)^2 <= q2 <= x_1 sum x; Schur convex."""
    assert abs(fp.quality_exact([1.0] * 5, 5) - 5) < 1e-25
    x = [3.0, 2.0, 1.5, 0.9]
    for N in (4, 5, 12):
        value = fp.quality_exact(x, N)
        assert sum(x) ** 2 / N <= value <= x[0] * sum(x)
        assert value < fp.quality_exact([3.1, 2.0, 1.5, 0.8], N)
    assert fp.quality_exact([2.0, 1.0, 0.5, 0.5], 4) > 4
    with pytest.raises(ValueError, match="N=3"):
        fp.quality_exact(x, 3)


def test_quality_is_the_sum_of_quadratures() -> None:
    x, N = [3.0, 2.0, 0.9], 7
    weights = [Fraction(1, 7)] * 3 + [Fraction(4, 7)]
    direct = sum(fp.integrated_r_quadrature(value, [*x, 0], weights, digits=10) for value in x)
    assert abs(fp.quality_exact(x, N) - direct) < 1e-9
    with mpmath.workdps(40):
        padded = sum(fp.integrated_r_closed(value, [*x, 0, 0, 0, 0]) for value in x)
        assert abs(fp.quality_exact(x, N) - padded) < 1e-28


def effective_space(values: np.ndarray) -> np.ndarray:
    x = np.sort(values / values.mean())[::-1]
    return x[: erg_cut_mpmath(x).rank]


def quality_in_doubles(x: np.ndarray, N: int) -> float:
    """The sum of H(x_i) by brentq on the logarithm of B - lambda_max."""
    atoms, weights = np.append(x, 0), np.append(np.full(x.size, 1 / N), 1 - x.size / N)
    total = 0.0
    for t in x:
        f = lambda log, t=t: np.sum(weights / (np.exp(log) + x[0] - atoms)) - t  # noqa: E731
        R = x[0] + math.exp(brentq(f, math.log(1 / N / t) - 1, math.log(1 / t) + 1, xtol=1e-14)) - 1 / t
        total += t * R - np.sum(weights * np.log1p(t * (R - atoms)))
    return total


@pytest.mark.parametrize(("q", "theory", "tolerance"), [(1.0, 1209, 0.005), (1 / 3, 464.1, 0.02)])
def test_quality_of_marchenko_pastur(q, theory, tolerance) -> None:
    """Theory 3.4: q2 at M = 500 for Q = 1 and 3 (of one random matrix: seeds of Q = 3 give 453 to 462)."""
    x = effective_space(marchenko_pastur_quantiles(30, q))
    exact = float(fp.quality_exact(x, round(30 / q), digits=15))
    assert quality_in_doubles(x, round(30 / q)) == pytest.approx(exact, rel=1e-10)
    x = effective_space(marchenko_pastur_quantiles(500, q))
    assert quality_in_doubles(x, round(500 / q)) == pytest.approx(theory, rel=tolerance)


def test_series_of_five_terms() -> None:
    """Theory 3.4: 1.811 (MP Q = 1), 1.267 (MP Q = 3), 1.693 (IMP .5, one random matrix)."""
    for values, expected in (
        (marchenko_pastur_quantiles(500, 1.0), 1.811),
        (marchenko_pastur_quantiles(500, 1 / 3), 1.267),
        (laws.inverse_marchenko_pastur_quantiles(500, 0.5), 1.693),
    ):
        assert float(fp.q2_series5(effective_space(values))) == pytest.approx(expected, rel=0.006)
    x = [Fraction(3), Fraction(2), Fraction(3, 2)]
    kappa = fp.free_cumulants_by_enumeration([sum(v**n for v in x) / 3 for n in range(1, 6)])
    exact = sum(kappa[j - 1] * (v / 3) ** j / j for v in x for j in range(1, 6))
    assert float(fp.q2_series5(x)) == pytest.approx(float(exact), rel=1e-14)


@pytest.mark.parametrize("q", [1 / 3, 1 / 6])
def test_series_is_the_exact_functional_where_its_validity_number_is_small(q) -> None:
    """Theory I16: rho = x_1^2 / k < .3 leaves less than one percent."""
    x = effective_space(marchenko_pastur_quantiles(40, q))
    k = x.size
    assert x[0] ** 2 / k < 0.3
    exact = sum(fp.integrated_r_closed(mpmath.mpf(value) / k, x, digits=12) for value in x)
    assert float(fp.q2_series5(x) / exact) == pytest.approx(1, abs=1e-3)
    assert float(fp.q2_series5(x)) > x.mean() ** 2


# Traps


def test_shuffle_permutes_all_entries() -> None:
    W = np.arange(24.0).reshape(4, 6)
    V = traps.shuffle(W, 0)
    assert V.shape == W.shape
    assert not np.array_equal(V, W)
    assert sorted(V.ravel()) == sorted(W.ravel())
    assert np.array_equal(W, np.arange(24.0).reshape(4, 6))


@pytest.mark.parametrize("p", traps.TRACY_WIDOM_1)
def test_tracy_widom_table_is_the_fredholm_determinant(p) -> None:
    exact = brentq(lambda s: traps.tracy_widom_1_cdf(s) - p, -4, 6, xtol=1e-10)
    assert traps.tracy_widom_1_quantile(p) == pytest.approx(exact, abs=6e-4)
    assert {0.95: 0.979, 0.99: 2.023, 0.999: 3.272}.get(p, traps.tracy_widom_1_quantile(p)) == traps.TRACY_WIDOM_1[p]


def test_tracy_widom_mean_and_deviation() -> None:
    nodes, weights = np.polynomial.legendre.leggauss(60)
    s, weights = -1 + 8 * nodes, 8 * weights  # (-9, 7)
    cdf = np.array([traps.tracy_widom_1_cdf(value) for value in s])
    assert np.all(np.diff(cdf) > -1e-12)
    assert traps.tracy_widom_1_cdf(-2.0, 40) == pytest.approx(traps.tracy_widom_1_cdf(-2.0, 80), abs=1e-12)
    mean, second = 7 - weights @ cdf, 49 - 2 * weights @ (s * cdf)
    assert mean == pytest.approx(-1.2065, abs=1e-4)
    assert math.sqrt(second - mean**2) == pytest.approx(1.268, abs=1e-4)
    with pytest.raises(ValueError, match="not one of"):
        traps.tracy_widom_1_quantile(0.5)


def test_johnstone_centres_the_largest_eigenvalue() -> None:
    for shape in ((100, 100), (150, 60), (60, 150)):
        centre, scale = traps.johnstone(*shape)
        draws = (np.random.default_rng(seed).normal(size=shape) for seed in range(150))
        z = np.array([(np.linalg.norm(W, 2) ** 2 - centre) / scale for W in draws])
        assert z.mean() == pytest.approx(-1.2065, abs=4 * 1.268 / math.sqrt(150))
        assert z.std() == pytest.approx(1.268, abs=0.35)


SIZES = [(50, 50), (100, 100), (300, 300), (600, 300), (1000, 1000), (4096, 4096)]


def weightwatcher_threshold(rows: int, columns: int) -> float:
    """Lambda_plus + sqrt(TW), TW = Q^(-1/2) lambda_plus^(2/3) M^(-2/3), sigma = 1, theory 4.1."""
    q = columns / rows
    edge = (1 + math.sqrt(q)) ** 2
    return edge + math.sqrt(math.sqrt(q) * edge ** (2 / 3) * columns ** (-2 / 3))


@pytest.mark.parametrize(("shape", "units"), list(zip(SIZES, [2.54, 3.1, 4.3, 5.7, 6.4, 10.1])))
def test_the_other_threshold_in_tracy_widom_units(shape, units) -> None:
    centre, scale = traps.johnstone(*shape)
    assert (weightwatcher_threshold(*shape) * shape[0] - centre) / scale == pytest.approx(units, abs=0.06)


@pytest.mark.parametrize(("shape", "strength"), list(zip(SIZES, [1.38, 1.33, 1.27, 1.28, 1.22, 1.17])))
def test_the_strength_at_which_the_other_threshold_is_crossed(shape, strength) -> None:
    """Theory 4.9."""
    q, threshold = shape[1] / shape[0], weightwatcher_threshold(*shape)
    found = brentq(lambda s: matrices.signal_spike_truth(q, s * q**0.25).location - threshold, 1 + 1e-9, 3)
    assert found == pytest.approx(strength, abs=0.006)


def test_robust_variance_is_that_of_normal_entries() -> None:
    W = 0.3 * np.random.default_rng(0).normal(size=(400, 200)) + 5
    assert traps.robust_variance(W) == pytest.approx(0.09, rel=4 * 2.32 / math.sqrt(W.size))


@pytest.mark.parametrize("trap", [matrices.element_trap, matrices.mean_trap])
@pytest.mark.parametrize("shape", [(200, 200), (300, 150)])
def test_traps_are_counted_where_theory_says(trap, shape) -> None:
    """Theory T5: none at strengths up to .8, exactly one from 2."""
    for seed in range(5):
        for strength, count in ((0.0, 0), (0.8, 0), (2.0, 1), (3.0, 1)):
            W, truth = trap(*shape, strength, seed)
            assert truth.theta == pytest.approx(strength * (shape[1] / shape[0]) ** 0.25)
            assert truth.is_outlier == (strength > 1) == (count == 1)
            assert traps.count_traps(W, seed + 100) == count
            assert traps.count_traps(3 * W.T, seed + 100) == count
    assert (truth.element is None) == (trap is matrices.mean_trap)


def test_the_trap_matrices_differ_from_noise_by_their_trap() -> None:
    W, truth = matrices.element_trap(60, 30, 3.0, seed=1)
    noise, _ = matrices.element_trap(60, 30, 0.0, seed=1)
    changed = np.argwhere(W != noise)
    assert [tuple(row) for row in changed] == [truth.element]
    assert np.linalg.norm(W - noise, 2) / math.sqrt(60) == pytest.approx(truth.theta)
    W, truth = matrices.mean_trap(60, 30, 3.0, seed=1)
    noise, _ = matrices.mean_trap(60, 30, 0.0, seed=1)
    assert np.linalg.norm(W - noise, 2) / math.sqrt(60) == pytest.approx(truth.theta)
    assert np.ptp(W - noise) < 1e-14


def test_no_traps_in_noise() -> None:
    found = [traps.count_traps(np.random.default_rng(seed).normal(size=(80, 50)), seed) for seed in range(200)]
    assert sum(found) <= 2


def test_trap_outliers_lie_where_the_signal_spike_does() -> None:
    for trap in (matrices.element_trap, matrices.mean_trap):
        largest = [covariance_eigenvalues(trap(600, 200, 2.5, seed)[0])[-1] for seed in range(6)]
        truth = matrices.signal_spike_truth(1 / 3, trap(600, 200, 2.5, 0)[1].theta)
        assert np.mean(largest) == pytest.approx(truth.location, abs=0.3)


# What the chapter LAW leans on


@pytest.mark.parametrize(
    ("name", "parameters", "second"),
    [
        ("MarchenkoPastur", (0.5, 3.0), 9 * 1.5),
        ("MarchenkoPastur", (1.0, 1.0), 2.0),
        ("InverseMarchenkoPastur", (0.1,), 6.0),
        ("InverseMarchenkoPastur", (3.0,), 1 + 1 / 6),
        ("TruncatedPowerLaw", (2.0, 1.0, 10.0), 10.0),
        ("TruncatedPowerLaw", (1.0, 1.0, 10.0), 49.5 / math.log(10)),
    ],
)
def test_expectation_over_a_law(name, parameters, second) -> None:
    assert laws.expectation(name, parameters, lambda x: 1.0) == pytest.approx(1, rel=1e-12)
    assert laws.expectation(name, parameters, lambda x: x * x) == pytest.approx(second, rel=1e-11)
    middle = sum(laws.law_ends(name, parameters)) / 2
    above = laws.expectation(name, parameters, lambda x: x, middle)
    below = laws.expectation(name, parameters, lambda x: x if x < middle else 0.0)
    assert above + below == pytest.approx(laws.expectation(name, parameters, lambda x: x), rel=1e-5)
    value = laws.expectation(name, parameters, lambda x: 1 / (1 + 1j - x))
    assert value.imag < 0
    assert abs(value) < 1


def test_positive_free_stable_quantiles() -> None:
    values = laws.positive_free_stable_quantiles(2000)
    density = lambda x: np.sqrt(x - 1 / 16) / (2 * np.pi * x**2)  # noqa: E731
    for part in (0.2, 0.5, 0.8):
        mass = quad(density, 1 / 16, np.quantile(values, part))[0]
        assert mass == pytest.approx(part, abs=1e-3)


@pytest.mark.parametrize("n", [20, 60])
def test_spread_of_cumulants_under_free_convolution(n) -> None:
    """400 rotations: standard deviations within 5 standard errors, 1/sqrt(2 * 400) each, of the exact ones."""
    rng = np.random.default_rng(n)
    a, b = rng.random(n), rng.exponential(size=n)
    defects = []
    for seed in range(400):
        H = matrices.haar(n, seed)
        total = np.linalg.eigvalsh(np.diag(a) + (H * b) @ H.T)
        central = [[float(np.mean((x - x.mean()) ** k)) for k in (2, 3)] for x in (a, b, total)]
        defects.append(np.subtract(central[2], np.add(central[0], central[1])))
    ratio = np.std(defects, axis=0) / fp.additivity_spread(a, b)
    assert ratio == pytest.approx([1, 1], abs=5 / math.sqrt(800))
    assert (np.abs(np.mean(defects, axis=0)) < 5 * np.std(defects, axis=0) / 20).all()


@pytest.mark.parametrize("thetas", [(0.3,), (0.3, 0.2), (0.3, 0.2, 0.1)])
def test_low_rank_spherical_integral_and_its_first_correction(thetas) -> None:
    """The sum of integrals is off by several standard errors, and by a tenth of that after the first correction."""
    atoms = marchenko_pastur_quantiles(30, 0.6)
    value, error = fp.low_rank_spherical_monte_carlo(thetas, atoms, 40_000, seed=1)
    total = float(sum(fp.integrated_r_closed(theta, atoms) for theta in thetas))
    correction = fp.spherical_correction(thetas, atoms)
    assert correction > 6 * error
    assert value == pytest.approx(total - correction, abs=5 * error + 0.1 * correction)
    if len(thetas) == 1:
        assert fp.rank_one_spherical_monte_carlo(0.3, atoms, 40_000, 2)[0] == pytest.approx(value, abs=7 * error)
        exact = float(fp.rank_one_spherical_integral(0.3, atoms, 8))
        assert exact == pytest.approx(total - correction, abs=0.2 * correction)


# Windows


@pytest.mark.parametrize(
    ("length", "part", "starts"), [(5, 5, [0]), (6, 3, [0, 3]), (7, 3, [0, 2, 4]), (8, 3, [0, 2, 5]), (6, 5, [0, 1])]
)
def test_windows_begin_evenly_from_edge_to_edge(length, part, starts) -> None:
    assert windows.even_starts(length, part) == starts


def test_windows_of_single_entries_are_their_squares() -> None:
    W = np.arange(1.0, 13).reshape(3, 4)
    found = windows.pooled_windows(W, 1.0, 1)
    assert (found.count, found.rows, found.columns) == (12, 1, 1)
    assert found.raw == pytest.approx(np.arange(1.0, 13) ** 2)
    # Tall, 4 x 3: two windows of 3 rows and one column beside each of three columns.
    found = windows.pooled_windows(W, 3.0, 2)
    assert (found.count, found.rows, found.columns) == (6, 3, 1)
    by_hand = sorted(float(np.sum(W[i, j : j + 3] ** 2)) for i in range(3) for j in (0, 1))
    assert found.raw == pytest.approx(by_hand)
