"""E1-E7: sections 2 and 3 of the paper, on heavy tails and correlation traps."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
import torch

from fixtures.ensembles import (
    gaussian_matrix,
    marchenko_pastur_quantiles,
    matrix_with_eigenvalues,
    pareto_eigenvalues,
    signed_pareto_matrix,
)
from fixtures.oracles import power_law_scan, singular_value_squares
from spec_tests.plain import RMT_Util, plain_analyze, plain_fit


def median_alpha(matrices) -> float:
    return float(np.median([plain_fit(singular_value_squares(W)).alpha for W in matrices]))


def test_E1_middle_row_needs_an_excluded_line():
    """The only line alpha = a mu + b through Table 1's middle row has b = -2, and the paper requires b >= 1."""
    slope, offset = np.linalg.solve([[2.0, 1.0], [4.0, 1.0]], [2.0, 6.0])
    assert slope == pytest.approx(2)
    assert offset == pytest.approx(-2)
    assert offset < 1


@pytest.mark.parametrize("mu", [1.0, 2.0, 3.0, 4.0])
def test_E1_tail_exponent_is_half_mu_plus_one(mu):
    """The square of a Pareto entry has a density falling as lambda^-(mu/2+1): 2 at mu = 2 and 3, not 6, at mu = 4."""
    survival = lambda x: mp.power(x, -mu / 2)  # noqa: E731
    density = lambda x: -mp.diff(survival, x)  # noqa: E731
    slope = -mp.log(density(mp.mpf(400)) / density(mp.mpf(100))) / mp.log(4)
    assert float(slope) == pytest.approx(mu / 2 + 1, abs=1e-8)


def test_E1_fit_of_pareto_matrices():
    """At mu = 1 WeightWatcher finds alpha = 1.5 = mu/2 + 1 for a signed Pareto matrix."""
    alpha = median_alpha(signed_pareto_matrix(300, 300, 1.0, seed) for seed in range(9))
    assert alpha == pytest.approx(1.5, abs=0.15)


def test_E1_weightwatcher_has_a_third_map():
    """`mu4alpha` inverts alpha = mu/2 + 1 below 2 only; above, it is not Table 1's middle row either."""
    assert RMT_Util.mu4alpha(1.5) == pytest.approx(1.0)
    for alpha in (2.5, 3.0, 5.0, 6.0):
        theirs = RMT_Util.mu4alpha(alpha)
        assert abs(theirs - 2 * (alpha - 1)) > 0.9
        assert abs(theirs - (alpha + 2) / 2) > 0.2


def cut_off_moment(alpha: float, power: int, top: float) -> float:
    """The moment of the density ~ x^-alpha on [1, top], by quadrature in ln x."""
    end = mp.log(top)
    weight = mp.quad(lambda t: mp.exp((1 - alpha) * t), mp.linspace(0, end, 9))
    return float(mp.quad(lambda t: mp.exp((1 + power - alpha) * t), mp.linspace(0, end, 9)) / weight)


@pytest.mark.parametrize("alpha, mean_finite, variance_finite", [(1.9, 0, 0), (2.1, 1, 0), (2.9, 1, 0), (3.1, 1, 1)])
def test_E2(alpha, mean_finite, variance_finite):
    """Mean: finite above alpha = 2. Variance: finite above alpha = 3, so 2 is not where it diverges."""
    for power, finite in ((1, mean_finite), (2, variance_finite)):
        first, second, third = (cut_off_moment(alpha, power, 10.0**digits) for digits in (20, 40, 60))
        assert (third - second <= 0.05 * (second - first) + 1e-9 * third) == bool(finite)


def test_E3():
    """Positive Pareto entries saturate near alpha = 3 for mu > 4; take the sign or the mean away and alpha doubles."""
    saturated = []
    for mu in (4.5, 6.0):
        positive = [np.random.default_rng(seed).pareto(mu, size=(200, 200)) for seed in range(9)]
        saturated.append(median_alpha(positive))
        signed = median_alpha(signed_pareto_matrix(200, 200, mu, seed) for seed in range(9))
        centred = median_alpha(W - W.mean() for W in positive)
        assert 2.7 < saturated[-1] < 3.4
        assert min(signed, centred) > 1.5 * saturated[-1]
    assert abs(saturated[0] - saturated[1]) < 0.3


def test_E4():
    """With total mass one B(z) - 1/z is finite at 0 and tends to the mean; with total mass M it has a pole (M-1)/z."""
    values = np.array([0.5, 1.0, 2.5, 4.0])

    def blue(z, mass):
        equation = lambda b: mp.fsum(mass / len(values) / (b - float(v)) for v in values) - z  # noqa: E731
        return mp.findroot(equation, (float(values.max()) + mass / len(values) / z, mass / z + 4), solver="anderson")

    for z in (1e-3, 1e-4):
        assert float(blue(z, 1) - 1 / z) == pytest.approx(values.mean(), abs=4 * z)
        assert float(blue(z, 4) - 1 / z) == pytest.approx(3 / z, rel=1e-2)


def test_E5():
    """ln of a product of layer qualities is their sum; the layer average is ln of the geometric mean."""
    quality = np.random.default_rng(5).lognormal(size=12)
    average = np.mean(np.log(quality))
    assert np.log(np.prod(quality)) == pytest.approx(12 * average)
    assert abs(np.log(np.prod(quality)) - average) > 0.5
    assert np.log(np.prod(quality) ** (1 / 12)) == pytest.approx(average)


def test_E6_fluctuation_of_the_edge():
    """The top eigenvalue of X = W^T W / N fluctuates as M^-2/3: by 4^(2/3) = 2.52 less at four times the size."""
    spread = []
    for size in (40, 160):
        rng = np.random.default_rng(size)
        spread.append(np.std([singular_value_squares(rng.normal(size=(size, size)))[-1] / size for _ in range(300)]))
    assert np.log(spread[0] / spread[1]) / np.log(4) == pytest.approx(2 / 3, abs=0.12)


def test_E6_threshold_of_the_tool():
    """WeightWatcher adds the square root of that scale, O(M^-1/3): a spike four scales out passes for noise."""
    N, M = 600, 300
    bulk = marchenko_pastur_quantiles(M - 1, M / N)
    edge = (1 + np.sqrt(M / N)) ** 2
    scale = np.sqrt(M / N) * (edge / M) ** (2 / 3)
    spikes = []
    for distance in (0.0, 4 * scale, 1.6 * np.sqrt(scale)):
        W = matrix_with_eigenvalues(N * np.append(bulk, edge + distance), N, seed=3)
        layer = torch.nn.Linear(M, N, bias=False)
        layer.weight.data = torch.tensor(W, dtype=torch.float32)
        spikes.append(plain_analyze(torch.nn.Sequential(layer), mp_fit=True)["num_spikes"].iloc[0])
    assert spikes == [0, 0, 1]
    assert np.sqrt(scale) > 5 * scale


def test_E6_variance_says_nothing_about_alpha():
    """The variance of the entries can be given any value by rescaling W, at the same alpha."""
    raw = pareto_eigenvalues(150, 1.8, seed=1)
    first, second = power_law_scan(raw), power_law_scan(1e4 * raw)
    assert second.alpha == pytest.approx(first.alpha, rel=1e-9)
    assert second.alpha < 2
    assert np.sum(1e4 * raw) / raw.sum() == pytest.approx(1e4)


def test_E7():
    """One large element makes a trap although the mean of W stays within two standard errors of 0."""
    size = 300
    W = gaussian_matrix(size, size, seed=7)
    W -= W.mean()
    W[0, 0] = 2.0 * np.sqrt(size)
    shuffled = np.random.default_rng(8).permutation(W.ravel()).reshape(size, size)
    shuffled /= shuffled.std()
    edge, scale = 4.0, (4.0 / size) ** (2 / 3)
    top = singular_value_squares(shuffled)[::-1] / size
    assert top[0] > edge + 10 * scale
    assert top[1] < edge + 3 * scale
    assert abs(shuffled.mean()) * size < 2
