"""E8-E16: sections 5.2.3 to 5.3 of the paper, on the effective correlation space and Tanaka's integral."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
from scipy.optimize import brentq

from fixtures.ensembles import ideal_layer_eigenvalues, marchenko_pastur_quantiles, pareto_eigenvalues
from spec_tests.plain import plain_fit


def atomic_r(t: float, values: np.ndarray, weights: np.ndarray | None = None) -> float:
    """B(t) - 1/t of a spectrum of point masses, B found above the largest one by bisection."""
    weights = np.full(len(values), 1 / len(values)) if weights is None else weights
    top = values.max()
    low, high = 0.999 * weights[values == top].sum() / t, 1.001 / t
    gap = brentq(lambda d: np.sum(weights / (d + top - values)) - t, low, high, xtol=1e-15, rtol=1e-14)
    return gap + top - 1 / t


def atomic_h(t: float, values: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The integral of `atomic_r` from 0 to t, as t B - 1 - ln t - sum of w ln(B - value)."""
    weights = np.full(len(values), 1 / len(values)) if weights is None else weights
    blue = atomic_r(t, values, weights) + 1 / t
    return t * blue - 1 - np.log(t) - np.sum(weights * np.log(blue - values))


def unit_mean(values: np.ndarray) -> np.ndarray:
    """Descending, divided by the mean."""
    return np.sort(values)[::-1] / np.mean(values)


def inverse_mp(kappa: float, n: int) -> np.ndarray:
    """Quantiles of the inverse Marchenko-Pastur law, unit mean, descending."""
    return unit_mean(1 / marchenko_pastur_quantiles(n, 1 / (1 + 2 * kappa)))


def ecs_rank(x: np.ndarray) -> int:
    """The last k at which the product of the k largest values is at least one."""
    return int(np.sum(np.cumsum(np.log(x)) >= 0))


def sphere_average(pairs: list, theta: float, digits: int) -> float:
    """(1/N) ln of the mean of exp(N theta/2 u^T A u) over the sphere; A has each of `pairs` as a double eigenvalue.

    Double eigenvalues make the squared coordinates uniform on a simplex, and the mean is then (n-1)! times the divided
    difference of exp at n theta a_i (Hermite and Genocchi): exact, with enough digits for its cancellation.
    """
    n = len(pairs)
    with mp.workdps(digits):
        nodes = [mp.mpf(a) * mp.mpf(theta) * n for a in pairs]
        total = mp.fsum(mp.exp(t) / mp.fprod(t - s for j, s in enumerate(nodes) if j != i) for i, t in enumerate(nodes))
        return float(mp.log(mp.factorial(n - 1) * total) / (2 * n))


SPECTRA = {
    "mp1": unit_mean(marchenko_pastur_quantiles(500, 1)),
    "mp3": unit_mean(marchenko_pastur_quantiles(500, 1 / 3)),
    "ideal": unit_mean(ideal_layer_eigenvalues(200, 560)),
    "imp": inverse_mp(0.5, 500),
}


def test_E8():
    """The projected M x M matrix has determinant 0; the product over the eigenvalues it keeps is the one meant."""
    rng = np.random.default_rng(8)
    basis, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    kept = np.array([4.0, 1.0, 0.25])
    A = (basis[:, :3] * kept) @ basis[:, :3].T
    assert abs(np.linalg.det(A)) < 1e-30
    assert np.prod(np.linalg.eigvalsh(A)[-3:]) == pytest.approx(1.0)


def test_E9():
    """With mean one the log-products start >= 0 and end <= 0; with norm M or N for W there may be no cut at all."""
    for seed in range(5):
        x = unit_mean(pareto_eigenvalues(200, 1.6 + 0.5 * seed, seed))
        sums = np.cumsum(np.log(x))
        assert sums[0] >= 0 >= sums[-1]
        scaled = np.cumsum(np.log(unit_mean(1e-3 * x)))
        np.testing.assert_allclose(scaled, sums, atol=1e-10)
    x, N = SPECTRA["mp3"], 1500
    # ||W||_F^2 = M or N gives X = W^T W / N the mean eigenvalue 1/N or 1/M.
    for mean in (1 / N, 1 / len(x)):
        assert np.all(np.cumsum(np.log(mean * x)) < 0)
    assert np.all(np.cumsum(np.log(4 * x)) > 0)


def test_E10():
    """The Gaussian integral over N x M matrices falls as det(A)^(-N/2): an extra trace would make it det(A)^(-NM/2)."""
    rows, columns = 3, 2

    def integral(A):
        """Over the rows, which are independent: each is a plane Gaussian, by the trapezoid rule."""
        x = np.linspace(-12, 12, 401)
        form = A[0][0] * x[:, None] ** 2 + 2 * A[0][1] * x[:, None] * x + A[1][1] * x**2
        return np.sum(np.exp(-form) * (x[1] - x[0]) ** 2) ** rows

    first, second = [[1.0, 0.3], [0.3, 1.2]], [[2.0, -0.4], [-0.4, 0.9]]
    ratio = np.log(integral(first) / integral(second))
    logs = np.log(np.linalg.det(first)) - np.log(np.linalg.det(second))
    assert ratio == pytest.approx(-rows / 2 * logs, rel=1e-6)
    assert abs(ratio + rows * columns / 2 * logs) > 0.3


def test_E11():
    """Power-law minus ERG start is negative for alpha < 2, positive above, as in the figures; the text reverses it."""
    for x, heavy in (
        (unit_mean(pareto_eigenvalues(500, 1.5, 4)), True),
        (SPECTRA["mp1"], False),
        (SPECTRA["mp3"], False),
        (unit_mean(ideal_layer_eigenvalues(60, 2900, 1.5)), None),
    ):
        fit = plain_fit(np.sort(x))
        gap = fit.xmin - x[ecs_rank(x) - 1]
        if heavy is None:
            assert gap == pytest.approx(0, abs=1e-4)
            continue
        assert (fit.alpha < 2) == heavy
        assert (gap < 0) == heavy
        # The text's sign, and a symbol table whose two terms are the same number.
        assert (-gap < 0) != heavy


def test_E12():
    """On an ERG tail the areas cancel about ln(lambda) = 0; about 1 they miss by the rank of the tail."""
    x = SPECTRA["ideal"]
    k = ecs_rank(x)
    logs = np.log(x[:k])
    assert np.sum(logs[logs > 0]) == pytest.approx(-np.sum(logs[logs < 0]), rel=1e-9)
    assert np.sum((logs - 1)[logs > 1]) + np.sum((logs - 1)[logs < 1]) == pytest.approx(-k, rel=1e-9)
    assert x[k - 1] == pytest.approx(np.exp(-1))
    assert x[-1] < 0.5 * x[k - 1]


def test_E13_large_N_value():
    """The exact integral of rank one tends to H(nb l)/2; nb H(l)/2 is off by half at nb = 5."""
    theta = 0.5
    for n, error in ((40, 0.023), (120, 0.010)):
        pairs = marchenko_pastur_quantiles(n, 0.6)
        for nb in (1, 2, 5):
            exact = sphere_average(list(pairs), nb * theta, 400)
            assert 0 < atomic_h(nb * theta, pairs) / 2 - exact < error
            if nb > 1:
                assert nb * atomic_h(theta, pairs) / 2 < 0.85 * exact
    assert 5 * atomic_h(theta, pairs) / 2 < 0.6 * exact


def test_E13_quality_depends_on_temperature():
    """The derivative in nb is l R(nb l)/2: kappa_1 l/2 at nb = 0, more at 1, and H(l)/2 only on average over [0, 1]."""
    pairs, theta = marchenko_pastur_quantiles(60, 0.6), 0.5
    for nb in (0.01, 1.0, 3.0):
        up, down = (sphere_average(list(pairs), (nb + step) * theta, 250) for step in (1e-3, -1e-3))
        assert (up - down) / 2e-3 == pytest.approx(theta * atomic_r(nb * theta, pairs) / 2, rel=0.03)
    low, high = theta * pairs.mean(), theta * atomic_r(theta, pairs)
    assert low < 0.75 * high
    nodes, weights = np.polynomial.legendre.leggauss(20)
    mean = np.sum(weights / 2 * [theta * atomic_r((t + 1) / 2 * theta, pairs) for t in nodes])
    assert mean == pytest.approx(atomic_h(theta, pairs), rel=1e-10)
    assert low < mean < high


def test_E14():
    """The exact integral over N x N matrices follows the spectrum with its N-M zeros, half the value without them."""
    inner = marchenko_pastur_quantiles(15, 0.5)
    outer = np.append(inner, np.zeros(15))
    # Zeros spread by 1e-30, to keep the nodes of the divided difference apart.
    nodes = [mp.mpf(float(a)) for a in inner] + [mp.mpf(10) ** -30 * i for i in range(15)]
    for theta in (0.05, 0.5):
        exact = sphere_average(nodes, theta, 900)
        assert exact == pytest.approx(atomic_h(theta, outer) / 2, rel=0.02)
        assert atomic_h(theta, inner) / 2 > 1.6 * exact


def test_E14_transforms_of_the_two_sides():
    """G_N = G_M/Q + (1 - 1/Q)/z, so the means differ by Q and R_N is not R_M."""
    inner, Q = np.array([0.3, 1.0, 2.4]), 2
    outer = np.append(inner, np.zeros(3))
    for z in (3.0, -1.0, 7.5):
        assert np.mean(1 / (z - outer)) == pytest.approx(np.mean(1 / (z - inner)) / Q + (1 - 1 / Q) / z)
    assert atomic_r(1e-6, outer) == pytest.approx(inner.mean() / Q, rel=1e-4)
    assert atomic_r(1e-6, inner) == pytest.approx(inner.mean(), rel=1e-4)


def test_E15_rank_is_not_small():
    """The effective rank is a finite share of M on every spectrum of the paper, from 36 to 85 per cent."""
    shares = {name: ecs_rank(x) / len(x) for name, x in SPECTRA.items()}
    assert shares["mp1"] == pytest.approx(0.7311, abs=0.004)
    assert shares["mp3"] == pytest.approx(0.849, abs=0.004)
    assert shares["imp"] == pytest.approx(0.7112, abs=0.004)
    assert shares["ideal"] == pytest.approx(200 / 560, abs=0.002)


def test_E15_formula_fails_at_full_rank():
    """For W = sqrt(N l) times orthogonal the integral is exp(N l Tr A / 2) with no averaging: below the formula."""
    a, level, N = marchenko_pastur_quantiles(12, 0.5), 0.8, 12
    rng = np.random.default_rng(15)
    for _ in range(3):
        basis, _ = np.linalg.qr(rng.normal(size=(N, N)))
        W = np.sqrt(N * level) * np.linalg.qr(rng.normal(size=(N, N)))[0]
        exponent = np.trace(W.T @ (basis * a) @ basis.T @ W) / 2 / N
        assert exponent == pytest.approx(level * a.sum() / 2, rel=1e-10)
        assert N * atomic_h(level, a) / 2 > 1.2 * exponent


@pytest.mark.parametrize("name, share", [("mp1", 0.08), ("mp3", 0.29), ("ideal", 0.13), ("imp", 0.14)])
def test_E16(name, share):
    """Starting the integral at the smallest tail eigenvalue takes rank times H of it away: 8 to 29 per cent."""
    x = SPECTRA[name]
    tail = x[: ecs_rank(x)]
    start = tail[-1]
    nodes, weights = np.polynomial.legendre.leggauss(30)

    def from_start(end):
        half = (end - start) / 2
        return half * np.sum(weights * [atomic_r(start + half * (u + 1), tail) for u in nodes])

    whole = sum(atomic_h(end, tail) for end in tail)
    lost = len(tail) * atomic_h(start, tail)
    assert lost / whole == pytest.approx(share, abs=0.01)
    for end in tail[[len(tail) // 2, len(tail) // 4]]:
        assert from_start(end) == pytest.approx(atomic_h(end, tail) - atomic_h(start, tail), rel=1e-6)
