"""Sums of integrated R over very many points, and the cubics that guess where they lie, each the plain way."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.interpolate

from fixtures.ensembles import pareto_eigenvalues
from setol_ww.theory import resolvents
from setol_ww.theory.hermite import hermite, hermite_rows, hermite_slope
from setol_ww.theory.resolvents import Points, sum_of_integrated_r, sums_of_integrated_r
from setol_ww.theory.transforms import integrated_r

RNG = np.random.default_rng(3)
KNOTS = np.sort(RNG.random((3, 7)), axis=1) * 4
VALUES, SLOPES = RNG.normal(size=(3, 7)), RNG.normal(size=(3, 7))


def asked_of(knots: np.ndarray) -> np.ndarray:
    """Knots themselves, between them, and beyond both ends."""
    return np.sort(np.concatenate([knots, (knots[1:] + knots[:-1]) / 2, [knots[0] - 0.3, knots[-1] + 0.4]]))


@pytest.mark.parametrize("row", [0, 1, 2])
def test_pieces_are_hermites_cubics(row):
    x, pieces = asked_of(KNOTS[row]), (KNOTS[row], VALUES[row], SLOPES[row])
    truth = scipy.interpolate.CubicHermiteSpline(*pieces, extrapolate=True)
    np.testing.assert_allclose(hermite(x, *pieces), truth(x), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(hermite_slope(x, *pieces), truth(x, 1), rtol=1e-8, atol=1e-8)


def test_rows_of_pieces_are_each_its_own():
    x = np.stack([asked_of(row) for row in KNOTS])
    splines = [scipy.interpolate.CubicHermiteSpline(*row, extrapolate=True) for row in zip(KNOTS, VALUES, SLOPES)]
    truth = [spline(at) for spline, at in zip(splines, x)]
    np.testing.assert_allclose(hermite_rows(x, KNOTS, VALUES, SLOPES), truth, rtol=1e-10, atol=1e-10)


def test_two_knots_are_one_piece():
    pieces = np.array([1.0, 3.0]), np.array([2.0, -1.0]), np.array([0.5, 4.0])
    truth, x = scipy.interpolate.CubicHermiteSpline(*pieces, extrapolate=True), np.array([0.5, 1.0, 2.0, 3.0, 3.5])
    np.testing.assert_allclose(hermite(x, *pieces), truth(x), rtol=1e-12)
    np.testing.assert_allclose(hermite_slope(x, *pieces), truth(x, 1), rtol=1e-12)
    np.testing.assert_allclose(hermite_rows(x[None], *(one[None] for one in pieces))[0], truth(x), rtol=1e-12)


def law(kind: str) -> tuple[np.ndarray, np.ndarray]:
    if kind == "padded":
        return np.append(pareto_eigenvalues(40, 2.0, seed=0), 0.0), np.append(np.full(40, 0.01), 0.6)
    if kind == "two":
        return np.array([1.0, 3.0]), np.array([0.25, 0.75])
    if kind == "one":
        return np.array([2.5]), np.array([1.0])
    if kind == "twelve decades":
        return 10.0 ** np.linspace(-6, 6, 33), np.full(33, 1 / 33)
    atoms = pareto_eigenvalues(97, 3.0, seed=1)
    return atoms, np.linspace(1, 2, 97) / np.linspace(1, 2, 97).sum()


LAWS = ("padded", "two", "one", "twelve decades", "many")
POINTS = {
    "near": np.linspace(0.5, 0.6, 25),
    "wide": np.geomspace(1e-3, 1e2, 90),
    "twelve decades": np.geomspace(1e-9, 1e3, 130),
    "in no order": np.random.default_rng(1).exponential(size=70),
}


@pytest.fixture
def never_one_by_one(monkeypatch):
    """No sum may come from a root for each point, as where Newton's steps fail."""

    def one_by_one(points):
        raise AssertionError(f"{points.t.size} points one by one")

    monkeypatch.setattr(Points, "one_by_one", one_by_one)


@pytest.mark.parametrize("points", POINTS)
@pytest.mark.parametrize("kind", LAWS)
def test_a_sum_is_that_of_the_roots_without_finding_them(kind, points, never_one_by_one):
    t, (atoms, weights) = POINTS[points], law(kind)
    assert sum_of_integrated_r(t, atoms, weights) == pytest.approx(np.sum(integrated_r(t, atoms, weights)), rel=2e-12)


def test_many_laws_are_each_as_alone_to_the_last_bit(never_one_by_one, monkeypatch):
    """Laws of several sizes and numbers of nodes, in any order, and in parts of few."""
    asked = [Points(t, *law(kind)) for kind in LAWS for t in POINTS.values()]
    alone = [sums_of_integrated_r([points])[0] for points in asked]
    assert len(set(alone)) == len(alone)
    assert sums_of_integrated_r(asked) == alone
    assert sums_of_integrated_r(asked[::-1]) == alone[::-1]
    monkeypatch.setattr(resolvents, "TOGETHER", 1)
    monkeypatch.setattr(resolvents, "BLOCK_ELEMENTS", 1)
    assert sums_of_integrated_r(asked) == pytest.approx(alone, rel=1e-13)
    assert sums_of_integrated_r([]) == []


def test_few_points_come_one_by_one_and_keep_their_places():
    atoms, weights = law("many")
    asked = [Points(t, atoms, weights) for t in (POINTS["wide"][:24], POINTS["wide"], np.full(50, 0.3), POINTS["near"])]
    assert [points.are_few for points in asked] == [True, False, True, False]
    truth = [float(np.sum(integrated_r(points.t, atoms, weights))) for points in asked]
    assert sums_of_integrated_r(asked) == pytest.approx(truth, rel=1e-12)
    assert sums_of_integrated_r(asked)[2] == pytest.approx(50 * integrated_r(0.3, atoms, weights), rel=1e-13)


def test_where_newtons_steps_fail_the_roots_are_found(monkeypatch):
    monkeypatch.setattr(resolvents, "MAX_NEWTON", 0)
    atoms, weights = law("many")
    t = POINTS["wide"]
    assert sum_of_integrated_r(t, atoms, weights) == float(np.sum(integrated_r(t, atoms, weights)))


@pytest.mark.parametrize(
    ("points", "atoms", "size"), [(31, 2, 32), (32, 2, 32), (33, 2, 64), (2, 65, 96), (25, 64, 64)]
)
def test_sizes_are_filled_up_to_multiples_of_32(points, atoms, size):
    assert Points(np.linspace(1, 2, points), np.ones(atoms), np.full(atoms, 1 / atoms)).size == size
