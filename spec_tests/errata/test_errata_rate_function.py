"""E36-E40: appendices A.4 and A.6 of the paper, on the change of measure and Tanaka's derivation."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from spec_tests.errata.test_errata_measures import atomic_h, atomic_r, inverse_mp
from spec_tests.errata.test_errata_models import imp_edges, imp_r

A = np.array([[2.0, 0.4, 0.1], [0.4, 1.0, -0.2], [0.1, -0.2, 0.7]])
SIZE = len(A)


def rate(multiplier: np.ndarray) -> float:
    """-Tr(multiplier A) + ln det(multiplier)/2, the function under the supremum of Eq. 244."""
    return -np.trace(multiplier @ A) + np.linalg.slogdet(multiplier)[1] / 2


def plane_gaussian(matrix, variance=1.0) -> float:
    """The integral of exp(-s^T matrix s / variance) over the plane."""
    # The trapezoid rule is exact to rounding for a Gaussian.
    x = np.linspace(-12, 12, 401)
    form = matrix[0][0] * x[:, None] ** 2 + 2 * matrix[0][1] * x[:, None] * x + matrix[1][1] * x**2
    return float(np.sum(np.exp(-form / variance)) * (x[1] - x[0]) ** 2)


def test_E36_power_not_exponential():
    """N Gaussian integrals multiply to N2^N det^(-N/2): the constant is a power of N2, not exp(N2)."""
    matrix, rows = [[1.3, 0.4], [0.4, 0.9]], 5
    determinant = np.linalg.det(matrix)
    one = plane_gaussian(matrix)
    assert one == pytest.approx(np.pi / np.sqrt(determinant), rel=1e-6)
    constant = one**rows * determinant ** (rows / 2)
    assert constant == pytest.approx(np.pi**rows, rel=1e-5)
    assert constant > 5 * np.exp(np.pi)


def test_E36_variance():
    """pi sigma^2 to the power M/2 goes with 1/sigma^2 in the exponent, pi^(M/2) with none."""
    matrix, variance = [[1.3, 0.4], [0.4, 0.9]], 0.5
    root = np.sqrt(np.linalg.det(matrix))
    assert plane_gaussian(matrix, variance) * root == pytest.approx(np.pi * variance, rel=1e-6)
    assert plane_gaussian(matrix) * root == pytest.approx(np.pi, rel=1e-6)


def test_E37_hessian():
    """At the saddle A^-1/2 the second derivative is -2 Tr(A E A E): sixteen times the printed one."""
    saddle = np.linalg.inv(A) / 2
    rng = np.random.default_rng(37)
    directions = [np.diag([1.0, 0, 0]), *(e + e.T for e in rng.normal(size=(3, SIZE, SIZE)))]
    for E in directions:
        step = 1e-3 / np.linalg.norm(E)
        second = (rate(saddle + step * E) - 2 * rate(saddle) + rate(saddle - step * E)) / step**2
        form = E.ravel() @ np.kron(A, A) @ E.ravel()
        assert second == pytest.approx(-2 * form, rel=1e-3)
        assert second / (-form / 8) == pytest.approx(16, rel=1e-3)
        first = (rate(saddle + step * E) - rate(saddle - step * E)) / (2 * step)
        assert first == pytest.approx(0, abs=1e-4)
    step = 1e-3
    second = (rate(saddle + step * directions[0]) + rate(saddle - step * directions[0]) - 2 * rate(saddle)) / step**2
    assert second == pytest.approx(-2 * A[0, 0] ** 2, rel=1e-3)


def test_E37_determinant():
    """det of A (x) A is det(A)^(2M), and det(A)^(M+1) on symmetric matrices; the power M is neither."""
    determinant = np.linalg.det(A)
    assert np.linalg.det(np.kron(A, A)) == pytest.approx(determinant ** (2 * SIZE))
    basis = []
    for i in range(SIZE):
        for j in range(i, SIZE):
            E = np.zeros((SIZE, SIZE))
            E[i, j] = E[j, i] = 1.0
            basis.append(E / np.linalg.norm(E))
    on_symmetric = [[np.sum(first * (A @ second @ A)) for second in basis] for first in basis]
    assert np.linalg.det(on_symmetric) == pytest.approx(determinant ** (SIZE + 1))
    assert abs(determinant**SIZE / determinant ** (SIZE + 1) - 1) > 0.1


def test_E38_value_at_the_saddle():
    """The supremum is -M/2 - (M/2) ln 2 - ln det(A)/2; the printed value has the wrong sign of the log-determinant."""
    saddle = np.linalg.inv(A) / 2
    log_det = np.linalg.slogdet(A)[1]
    right = -SIZE / 2 - SIZE / 2 * np.log(2) - log_det / 2
    assert rate(saddle) == pytest.approx(right)
    assert abs(rate(saddle) - (-SIZE + log_det / 2)) > 0.1
    rng = np.random.default_rng(38)
    for step in rng.normal(size=(50, SIZE, SIZE)):
        nearby = saddle + 0.02 * (step + step.T)
        assert np.linalg.eigvalsh(nearby)[0] > 0
        assert rate(nearby) < right
    # The sign can be read off by rescaling A: the supremum falls by (M/2) ln 4 when A grows fourfold.
    assert -np.trace(saddle / 4 @ (4 * A)) + np.linalg.slogdet(saddle / 4)[1] / 2 - right == pytest.approx(
        -SIZE / 2 * np.log(4)
    )


@pytest.mark.parametrize("N", [2, 3, 7])
def test_E38_jacobian(N):
    """With det^((N-M-1)/2) the mean determinant of a 2 x 2 Wishart matrix is N(N-1), with det^(N/2) it is not."""

    # Eigenvalues v^2 and v^2 + d; the square removes the singularity of det^(-1/2) at N = 2.
    nodes, weights = np.polynomial.legendre.leggauss(120)
    v, d = 4.5 * (nodes[:, None] + 1), 50 * (nodes + 1)
    determinant = v**2 * (v**2 + d)
    measure = weights[:, None] * weights * d * np.exp(-(v**2) - d / 2) * 2 * v

    def mean_determinant(power):
        return np.sum(measure * determinant ** (power + 1)) / np.sum(measure * determinant**power)

    exact = mean_determinant((N - 3) / 2)
    assert exact == pytest.approx(N * (N - 1), rel=1e-3)
    assert mean_determinant(N / 2) > 1.8 * exact
    rng = np.random.default_rng(N)
    S = rng.normal(size=(40_000, N, 2))
    assert np.mean(np.linalg.det(np.swapaxes(S, 1, 2) @ S)) == pytest.approx(N * (N - 1), rel=0.06)


def test_E39_stationarity():
    """The derivative of the rate function is X/2 - (D - Y)^-1/2, so X = (D - Y)^-1; with a plus X would be negative."""
    D = 3.0 * np.eye(SIZE) + A
    Y = D - np.linalg.inv(A)
    E = np.random.default_rng(39).normal(size=(SIZE, SIZE))
    E, step = E + E.T, 1e-5

    def inner(point):
        return np.trace(A @ point) / 2 + np.linalg.slogdet(D - point)[1] / 2

    slope = (inner(Y + step * E) - inner(Y - step * E)) / (2 * step)
    assert slope == pytest.approx(0, abs=1e-7)
    other = 0.5 * Y
    slope = (inner(other + step * E) - inner(other - step * E)) / (2 * step)
    inverse = np.linalg.inv(D - other)
    assert slope == pytest.approx(np.trace((A - inverse) @ E) / 2, rel=1e-5)
    assert abs(slope - np.trace((A + inverse) @ E) / 2) > 0.1


def test_E39_trace_of_the_identity():
    """X (D - X^-1) is M x M, so its trace is Tr(XD) - M, whatever N."""
    N = 11
    W = np.random.default_rng(2).normal(size=(N, SIZE))
    X, D = W.T @ W / N, np.diag([3.0, 4.0, 5.0])
    assert np.trace(X @ (D - np.linalg.inv(X))) == pytest.approx(np.trace(X @ D) - SIZE)
    assert abs(np.trace(X @ (D - np.linalg.inv(X))) - (np.trace(X @ D) - N)) > 1


def test_E39_legendre_pair():
    """min over l of [d l - H(l) - ln l] is 1 + mean ln(d - x), and min over d of the mirror image gives H back."""
    values = np.array([0.2, 0.5, 1.0, 1.6, 2.7])
    for d in (3.2, 4.0, 8.0):
        right = 1 + np.mean(np.log(d - values))
        edge = np.mean(1 / (d - values))
        objective = lambda t, d=d: d * t - atomic_h(t, values) - np.log(t)  # noqa: E731
        found = minimize_scalar(objective, bounds=(edge / 3, edge * 3), method="bounded", options={"xatol": 1e-10})
        assert found.fun == pytest.approx(right, rel=1e-9)
        assert found.x == pytest.approx(edge, rel=1e-4)
        # As printed, with + ln l, nothing bounds the expression from below.
        assert d * 1e-9 - atomic_h(1e-9, values) + np.log(1e-9) < -20
        assert abs(found.fun - (1 - np.mean(np.log(d - values)))) > 0.5
    for level in (0.2, 0.9):
        mirror = lambda d, t=level: d * t - np.mean(np.log(d - values)) - np.log(t) - 1  # noqa: E731
        back = minimize_scalar(mirror, bounds=(2.71, 40), method="bounded", options={"xatol": 1e-10})
        assert back.fun == pytest.approx(atomic_h(level, values), rel=1e-7)


def test_E39_determinant_of_a_kronecker_difference():
    """The Gaussian integral over N x M matrices has all N M pairs (source minus student) in its determinant."""
    source, student = np.array([3.0, 4.0]), np.array([0.5, 1.0])
    whole = 1.0
    for s in source:
        for v in student:
            whole *= float(mp.quad(lambda w, c=s - v: mp.exp(-c * w * w / 2), [-12, 0, 12]))
    pairs = np.kron(np.diag(source), np.eye(2)) - np.kron(np.eye(2), np.diag(student))
    assert whole == pytest.approx((2 * np.pi) ** 2 / np.sqrt(np.linalg.det(pairs)))
    difference = np.linalg.det(np.diag(source) - np.diag(student))
    assert abs(whole - (2 * np.pi) ** 2 / np.sqrt(difference)) > 1


def test_E40_real_part_is_vacuous():
    """Up to G(edge) the inverse Marchenko-Pastur R is real and equals its real part and its modulus."""
    kappa = 0.5
    high = float(imp_edges(mp.mpf(kappa))[1])
    end = ((kappa + 1) * high - kappa) / high**2
    assert end < kappa / 2
    for t in np.linspace(0.02, 1, 8) * end:
        value = imp_r(kappa, mp.mpf(t))
        assert mp.im(value) == 0
        assert value == abs(value)
    x = inverse_mp(kappa, 1000)
    # Past it the R of the spectrum is still real, and not the printed real part kappa/z.
    for t in (0.5, 1.0, 3.0):
        assert atomic_r(t, x) > 2 * kappa / t


def test_E40_modulus():
    """The paper's remark on the modulus is right: past the branch point it breaks H' = R, the real part does not."""
    kappa, t, step = mp.mpf("0.5"), mp.mpf("0.6"), mp.mpf("1e-5")
    whole = lambda end: mp.quad(lambda z: imp_r(kappa, z), [0, kappa / 2, end])  # noqa: E731
    below, above = whole(t - step), whole(t + step)
    slope_of_modulus = (abs(above) - abs(below)) / (2 * step)
    slope_of_real = (mp.re(above) - mp.re(below)) / (2 * step)
    assert float(slope_of_real) == pytest.approx(float(kappa / t), rel=1e-5)
    assert abs(slope_of_modulus - abs(imp_r(kappa, t))) > 0.1
