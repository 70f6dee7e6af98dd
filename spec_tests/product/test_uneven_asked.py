"""The law of uneven noise against its equations solved the plain way: edges, scale, density, quantiles, gaps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.optimize

from fixtures import uneven_noise as oracle
from fixtures.uneven_noise import lognormal_strengths
from setol_ww.theory.laws.sides import Side, compressed
from setol_ww.theory.laws.uneven_noise import UnevenNoise

STRENGTHS: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "few": (np.array([0.5, 1.0, 4.0]), np.array([1.0, 2.0])),
    "tall": (lognormal_strengths(60, 0.5, 1), lognormal_strengths(30, 0.3, 2)),
    "wide": (lognormal_strengths(20, 0.7, 3), lognormal_strengths(50, 0.2, 4)),
    "even columns": (lognormal_strengths(40, 0.8, 5), np.full(25, 3.0)),
    "dead lines": (np.append(np.zeros(10), np.geomspace(0.1, 5, 40)), np.array([0.0, 0.0, 1.0, 1.0, 9.0])),
    "more dead rows": (np.append(np.zeros(45), np.ones(5)), lognormal_strengths(30, 0.2, 6)),
    "strong row": (np.append(np.ones(50), 300.0), np.ones(20)),
    "strong columns": (lognormal_strengths(50, 0.1, 7), np.append(np.ones(20), [50.0, 60.0])),
}


def of_negative_s(s: float, d: np.ndarray, e: np.ndarray, q: float) -> float:
    """x(s) for s = -size: a beyond the pole of the side with fewer lines, b below zero; both by bisection."""

    def mean(a: float, t: np.ndarray) -> float:
        return float(np.mean(a * t / (1 - a * t)))

    few, many = (e, d) if q * np.mean(e > 0) < np.mean(d > 0) else (d, e)
    least = few[few > 0].min()
    units = (q, 1.0) if few is e else (1.0, q)
    z = scipy.optimize.brentq(lambda z: mean(1 / z, few) + s / units[0], 1e-14 * least, least * (1 - 1e-12), rtol=1e-14)
    y = scipy.optimize.brentq(lambda log: mean(-math.exp(log), many) + s / units[1], -60, 60, xtol=1e-13)
    return s * z / math.exp(y)


def lower_edge(d: np.ndarray, e: np.ndarray, q: float) -> float:
    shares = sorted((q * float(np.mean(e > 0)), float(np.mean(d > 0))))
    if math.isclose(*shares, rel_tol=1e-12):
        return 0.0
    found = scipy.optimize.minimize_scalar(
        lambda share: -of_negative_s(shares[0] + share * (shares[1] - shares[0]), d, e, q),
        bounds=(1e-4, 1 - 1e-4), method="bounded", options={"xatol": 1e-8},
    )  # fmt: skip
    return float(-found.fun)


@pytest.mark.parametrize("name", STRENGTHS)
def test_both_edges_and_the_scale_are_those_of_the_equations(name):
    d, e = STRENGTHS[name]
    law = UnevenNoise(d, e)
    assert law.q == e.size / d.size
    assert law.upper == pytest.approx(oracle.upper_edge(d, e), rel=1e-8)
    assert law.lower == pytest.approx(lower_edge(d, e, law.q), rel=1e-7)
    assert law.support == (law.lower, law.upper)
    # The curvature at the least x(s), by differences in ln s.
    log_s, step = math.log(law._upper.s), 1e-3
    below, at, above = (oracle.x_of(math.exp(log_s + n * step), d, e) for n in (-1, 0, 1))
    assert at == pytest.approx(law.upper, rel=1e-10)
    bend = (below - 2 * at + above) / step**2 / law._upper.s**2
    assert law.scale == pytest.approx((bend / 2) ** (1 / 3) * law.upper ** (2 / 3), rel=1e-3)


@pytest.mark.parametrize("q", [0.05, 0.6, 1.0, 3.0])
def test_another_ratio_is_another_law(q):
    d, e = STRENGTHS["tall"]
    for law in (UnevenNoise(d, e, q), UnevenNoise(d, e).at(q), UnevenNoise(d, e).at(0.5 * q).at(q)):
        assert law.q == q
        assert law.lower == pytest.approx(lower_edge(d, e, q), rel=1e-7)
        assert law.mean == pytest.approx(np.mean(d) * np.mean(e), rel=1e-12)
        assert law.cdf(law.upper) == 1.0


@pytest.mark.parametrize("name", STRENGTHS)
def test_density_distribution_and_quantiles_are_of_one_law(name):
    law = UnevenNoise(*STRENGTHS[name])
    lower, upper = law.support
    angle = np.linspace(0, math.pi / 2, 4001)
    x = lower + (upper - lower) * np.sin(angle) ** 2
    cdf = law.cdf(x)
    assert (cdf[0], cdf[-1]) == (0.0, 1.0)
    assert law.cdf([lower - 1, -upper, upper * 2]).tolist() == [0.0, 0.0, 1.0]
    assert np.all(np.diff(cdf) >= -1e-12)
    middles = (x[1:] + x[:-1]) / 2
    # But for the knots, where a cubic begins anew.
    assert np.mean(np.isclose(law.pdf(middles) * np.diff(x), np.diff(cdf), rtol=1e-3, atol=3e-7)) > 0.99
    assert law.pdf([lower, upper, lower - 1, upper + 1]).tolist() == [0.0] * 4
    p = np.linspace(0, 1, 101)
    values = law.quantile(p)
    assert np.all(np.diff(values) > 0)
    np.testing.assert_allclose(law.cdf(values), p, atol=1e-6)
    assert values[[0, -1]] == pytest.approx([lower, upper], rel=1e-9, abs=1e-12 * upper)
    assert law.quantile([-0.5, 1.5]) == pytest.approx([lower, upper], rel=1e-9, abs=1e-12 * upper)
    for number in (1, 3):
        points = law.points(number)
        assert points[[0, -1]] == pytest.approx([lower, upper], rel=1e-12, abs=1e-12 * upper)
        assert np.all(np.diff(points) > 0)
        assert points.size == number * (law.points(1).size - 1) + 1
    # The mean eigenvalue, over those that are not zero.
    share = min(np.mean(law.d > 0), law.q * np.mean(law.e > 0)) / law.q
    assert share * np.mean(law.quantile((np.arange(5000) + 0.5) / 5000)) == pytest.approx(law.mean, rel=0.01)


@pytest.mark.parametrize("seed", range(8))
def test_a_distribution_with_gaps_never_falls(seed):
    rng = np.random.default_rng(seed)
    d = np.where(np.arange(100) < rng.integers(1, 99), 10.0 ** rng.integers(1, 5), 1.0)
    e = np.where(np.arange(60) < rng.integers(1, 59), 10.0 ** rng.integers(0, 4), 1.0)
    law = UnevenNoise(d, e, float(rng.choice([0.1, 0.5, 1.0, 3.0])))
    lower, upper = law.support
    values = law.cdf(lower + (upper - lower) * np.sin(np.linspace(0, math.pi / 2, 20_000)) ** 2)
    assert np.diff(values).min() >= -1e-10


@pytest.mark.parametrize("name", ["few", "tall", "wide", "dead lines", "strong columns"])
def test_the_resolvent_and_its_counts_solve_the_equations(name):
    """Wherever it is looked for from; few strengths in the place of all of them."""
    law = UnevenNoise(*STRENGTHS[name])
    equations = law._equations
    x = law.support[0] + (law.upper - law.lower) * np.array([0.03, 0.2, 0.5, 0.9, 0.99])
    a = equations.solve(x)
    z = x * (1 + 1e-6j)
    rows, columns = equations.rows, equations.columns
    mean = lambda t, w, u: (t / (1 - np.multiply.outer(u, t))) @ w  # noqa: E731
    b = mean(columns.strengths, columns.weights, a) / z
    np.testing.assert_allclose(mean(rows.strengths, rows.weights, b) / z, a, rtol=1e-6)
    assert np.all(a.imag < 0)
    assert np.all(b.imag < 0)
    for guess in (a * (1 + 1e-3j), a * (0.3 - 0.4j), np.full(5, 1e-9 - 1e-9j)):
        np.testing.assert_allclose(equations.solve(x, guess), a, rtol=1e-4)
    beyond, density = equations.counts(x, a)
    rise = (equations.counts(x * 1.0001, equations.solve(x * 1.0001))[0] - beyond) / (x * 1e-4)
    np.testing.assert_allclose(density, -rise, rtol=2e-2, atol=1e-6)
    assert np.all(np.diff(beyond) <= 0)


@pytest.mark.parametrize("a", [0.1, 0.3, -2.0, 5.0])
def test_means_of_a_side_count_its_dead_lines(a):
    """And their slopes are differences of them, in logarithms."""
    side = Side(np.array([0.0, 0.0, 1.0, 3.0]))
    assert (side.share, side.mean, side.live.tolist()) == (0.5, 1.0, [1.0, 3.0])

    def s(a: float) -> float:
        return float(np.mean(a * side.strengths / (1 - a * side.strengths)))

    def gain(a: float) -> float:
        return (s(a * (1 + 1e-5)) - s(a * (1 - 1e-5))) / (2e-5 * s(a))

    found, bend = side.at(a)[1:3]
    assert found == pytest.approx(gain(a), rel=1e-6)
    assert bend == pytest.approx((1 / gain(a * (1 - 1e-3)) - 1 / gain(a * (1 + 1e-3))) / 2e-3 / gain(a), rel=1e-3)


@pytest.mark.parametrize("start", [0.0, 1e-3, 0.9, 3.1, 1e3, 1e9])
def test_roots_of_a_side_are_found_from_anywhere(start):
    side = Side(np.array([0.5, 1.0, 3.0]))
    for value in (1e-4, 0.7, 40.0):
        assert side.above(value, start) == pytest.approx(side.above(value), rel=1e-9)
    for value in (1.0001, 3.0, 400.0):
        assert side.below(value, start) == pytest.approx(side.below(value), rel=1e-9)
    for value in (1e-4, 0.3, 0.9999):
        assert side.negative(value, start) == pytest.approx(side.negative(value), rel=1e-9)


@pytest.mark.parametrize("width", [0.05, 0.1, 0.5, 2.0])
def test_groups_are_as_wide_as_was_asked_and_keep_their_moments(width):
    strengths = np.sort(np.append(np.geomspace(0.1, 10, 400), np.zeros(100)))
    points, weights = Side(strengths).rule(width)
    groups = min(48, math.ceil(math.log(100) / width))
    assert points.size == weights.size == 2 * groups
    borders = 0.1 * 100 ** (np.arange(groups + 1) / groups)
    inside = (points[:, None] >= borders[:-1] * (1 - 1e-9)) & (points[:, None] <= borders[1:] * (1 + 1e-9))
    assert inside.sum(axis=0).tolist() == [2] * groups
    for power in range(4):
        moments = [np.sum(weights[mine] * points[mine] ** power) for mine in inside.T]
        place = np.clip(np.searchsorted(borders, strengths[100:], side="right") - 1, 0, groups - 1)
        truth = np.bincount(place, strengths[100:] ** power, minlength=groups) / 500
        np.testing.assert_allclose(moments, truth, rtol=2e-2 if power == 3 else 1e-9)


def test_a_group_of_equal_strengths_is_one_point():
    points, weights = Side(np.array([0.0, 2.0, 2.0, 2.0, 50.0])).rule(0.5)
    assert (points.tolist(), weights.tolist()) == ([2.0, 50.0], [0.6, 0.2])
    assert compressed(np.array([5.0, 1.0]), 2).tolist() == [1.0, 5.0]
    assert compressed(np.arange(7.0), 3) == pytest.approx([(0 + 1 + 2 / 3) * 3 / 7, 3.0, (6 + 5 + 4 / 3) * 3 / 7])


@pytest.mark.parametrize("number", [13, 21, 47, 155, 248, 249])
def test_where_one_side_finds_no_root_the_other_does(number):
    """A few strong lines among uneven ones: at some points the unknown of the more even side is not found."""
    rng = np.random.default_rng(number)
    rows, columns = rng.choice([20, 60, 120], 2)

    def strengths(size: int, least: int) -> np.ndarray:
        strong = np.where(np.arange(size) < rng.integers(least, 5), 10.0 ** rng.integers(1, 6), 1.0)
        return strong * np.exp(rng.normal(size=size) * rng.choice([0, 0.3, 1]))

    d, e = strengths(rows, 1), strengths(columns, 0)
    law = UnevenNoise(*((e, d) if number % 2 else (d, e)))
    equations, x = law._equations, law.points(1)[1:-1]
    a = equations.solve(x)
    z = x * (1 + 1e-6j)
    found = a
    for side in (equations.columns, equations.rows):
        found = (side.strengths / (1 - np.multiply.outer(found, side.strengths))) @ side.weights / z
    np.testing.assert_allclose(found, a, rtol=1e-5)
    assert np.all(a.imag < 0)


def test_strengths_of_any_type_are_computed_in_float64():
    for d, e in (([1, 2, 7], [3, 1]), (np.float32([0.1, 0.7]), np.float32([0.3])), ([[4.0, 1.0]], (2, 1))):
        law, plain = UnevenNoise(d, e), UnevenNoise(np.ravel(d).astype(float), np.ravel(e).astype(float))
        assert law.d.dtype == law.e.dtype == np.float64
        assert (law.q, law.support, law.mean) == (plain.q, plain.support, plain.mean)
        assert np.all(np.diff(law.d) >= 0)
        x = np.linspace(*plain.support, 9)
        assert law.cdf(x).tolist() == plain.cdf(x).tolist()


@pytest.mark.parametrize("off", [1e-6, -1e-6, 1e-10])
def test_a_nearly_square_law_has_nearly_no_lower_edge(off):
    law = UnevenNoise(np.ones(30), np.ones(30), 1 + off)
    assert law.lower == pytest.approx((1 - math.sqrt(1 + off)) ** 2, rel=1e-3)
    assert UnevenNoise(np.ones(30), np.ones(30), 1 + 1e-14).lower == 0.0
