"""Rules on numbers at their limits: on both sides and at the limit itself, one unit in the last place apart."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix, signed_pareto_matrix
from fixtures.oracles import power_law_scan, singular_value_squares
from setol_ww.layer import classes
from setol_ww.layer.intervals import intervals
from setol_ww.layer.result import analyze_spectrum
from setol_ww.layer.weightwatcher_columns import weightwatcher_fit, weightwatcher_norms
from setol_ww.linalg import leading
from setol_ww.linalg.buckets import number_of_buckets
from setol_ww.linalg.device import free_memory, memory_needed
from setol_ww.linalg.directions import directions, factors, project
from setol_ww.linalg.leading import steps_pay
from setol_ww.linalg.shuffled import memory_of_a_shuffle
from setol_ww.linalg.subspaces import Subspace, angles, leading_subspaces, shares
from setol_ww.spectrum.likelihoods import Comparison, vuong
from setol_ww.spectrum.loud import loud_lines
from setol_ww.spectrum.starts import candidate_starts, median_hill, peak_alpha
from setol_ww.spectrum.strengths import number_of_loud, strengths_of
from setol_ww.spectrum.uncertainty import best_of_neighbourhoods
from setol_ww.theory.laws import edge
from setol_ww.theory.laws.sides import compressed
from setol_ww.traps.elements import fit_tail_of_entries, places_beyond, read_entries
from setol_ww.traps.find import find_traps_of
from setol_ww.traps.location import CARRIES, Element, Place, in_words
from setol_ww.traps.search import of_moderate_size, shift_pvalue

EPS = 2.0**-52


def above(value: float) -> float:
    return float(np.nextafter(value, math.inf))


def below(value: float) -> float:
    return float(np.nextafter(value, -math.inf))


# Spectra.


def test_an_eigenvalue_at_the_rounding_is_zero():
    limit = (4 * EPS) ** 2
    for least, rank in ((below(limit), 3), (limit, 3), (above(limit), 4)):
        spectrum = ww.Spectrum.from_eigenvalues([least, 0.25, 0.5, 1.0])
        assert spectrum.rank == rank
        assert spectrum.above_rounding.values[0] == least * (rank == 4)


def test_eigenvalues_are_flat_up_to_twice_the_rounding():
    limit = 1 - 2 * 4 * EPS
    for least, flat in ((below(limit), False), (limit, True), (above(limit), True)):
        assert ww.Spectrum.from_eigenvalues([least, 1.0, 1.0, 1.0]).is_flat == flat


def test_a_side_counts_in_the_rounding_up_to_16384():
    for side, counted in ((2**14 - 1, 2**14 - 1), (2**14, 2**14), (2**14 + 1, 2**14), (10**7, 2**14)):
        assert ww.Spectrum.from_eigenvalues([1.0, 2.0], (side, 2)).rounding == counted * EPS


def test_a_negative_eigenvalue_is_zero_up_to_a_share_of_the_largest():
    assert ww.Spectrum.from_eigenvalues([-2e-8, 2.0]).values.tolist() == [0.0, 2.0]
    with pytest.raises(ww.InvalidInput, match="the eigenvalue -2e-08 was given"):
        ww.Spectrum.from_eigenvalues([below(-2e-8), 2.0])


@pytest.mark.parametrize(
    ("values", "outcome"), [([1.0], "too_few"), ([1.0, 1.0], "flat"), ([1.0, 2.0], "small_sample")]
)
def test_one_eigenvalue_is_too_few_and_two_are_a_tail(values, outcome):
    assert ww.fit_tail(ww.Spectrum.from_eigenvalues(values)).outcome.value == outcome


def test_the_first_product_below_one():
    """As weightwatcher counts: 0 for one value or equal ones, all where no product falls below one."""
    exact = [analyze_spectrum(ww.Spectrum.from_eigenvalues(values)).detX_num_exact for values in
             ([1.0], [1.0, 1.0], [1.0, 2.0], [1.0, 1.0, 4.0], [0.0, 1.0, 1.0], [0.1, 0.2, 0.3, 5.0])]  # fmt: skip
    assert exact == [0, 0, 2, 3, 3, 2]


def test_three_quarters_of_the_eigenvalues_are_spikes_at_most():
    """Each eigenvalue is as large as all below it: all but a bulk that must be left is above the edge."""
    for number in (40, 61):
        assert ww.fit_bulk(ww.Spectrum.from_eigenvalues(2.0 ** -np.arange(number))).spikes == int(0.75 * number) - 1
    pooled = ww.Spectrum.from_eigenvalues(2.0 ** -np.arange(40), (10, 2), slices=20)
    assert ww.fit_bulk(pooled).spikes == 40 - 20 - 1


# Starts of a tail.


def test_a_start_needs_more_than_the_rounding_behind_it():
    log_x = np.array([0.0, 1.0, 1.0, 2.0])
    assert candidate_starts(log_x, 2.0).tolist() == []
    assert candidate_starts(log_x, below(2.0)).tolist() == [0]
    assert candidate_starts(log_x, 1.0).tolist() == [0]
    assert candidate_starts(log_x, below(1.0)).tolist() == [0, 1]


def test_the_median_start_at_the_ends():
    assert math.isnan(median_hill([]))
    assert math.isnan(median_hill([3.0]))
    assert math.isnan(median_hill([0.0, 0.0, 0.0, 1.0]))
    assert median_hill([0.0, 1.0, math.e]) == pytest.approx(1 + 2 / 1)


def test_the_peak_needs_two_normal_numbers_that_differ():
    tiny = np.finfo(float).tiny
    for values in ([], [2.0], [0.0, 2.0], [1.0, 1.0], [tiny, 1.0]):
        assert math.isnan(peak_alpha(values)), values
    for values in ([1.0, 2.0], [above(tiny), 1.0], [0.0, 1.0, 2.0]):
        assert math.isfinite(peak_alpha(values)), values


def test_neighbours_are_one_start_up_to_a_share_of_the_tail():
    """Up to the tolerance itself, of tails of eight and more, one of a neighbourhood, the best first."""
    ranks = np.array([400, 390, 380, 369, 20, 8, 7])
    distances = np.array([0.05, 0.04, 0.05, 0.03, 0.06, 0.05, 0.01])
    best = lambda rank, tolerance: best_of_neighbourhoods(ranks, distances, rank, tolerance)  # noqa: E731
    assert best(200, 0.05) == [3, 1, 5]
    assert best(199, 0.05) == [3, 1, 0, 2, 5]
    assert best(220, 0.05) == [3, 5]
    assert best(200, 0.06) == [3, 1, 5, 4]
    assert best(200, below(0.06)) == [3, 1, 5]
    assert best(7, 0.01) == [6]
    assert best(8, 0.01) == []


# Strengths.


def test_strengths_of_whole_numbers_are_numbers():
    few, many = compressed([3, 1, 2], 5), compressed(np.arange(10), 5)
    assert (few.dtype, few.tolist()) == (np.float64, [1.0, 2.0, 3.0])
    assert many.tolist() == [0.5, 2.5, 4.5, 6.5, 8.5]
    assert compressed([3, 1, 2], 3).tolist() == [1.0, 2.0, 3.0]
    assert compressed([3, 1, 2], 2) == pytest.approx([4 / 3, 8 / 3])


def test_a_line_is_loud_from_four_times_the_next_on():
    assert number_of_loud(np.log([1.0] * 40 + [4.0])) == 1
    assert number_of_loud(np.log([1.0] * 40 + [3.9999999])) == 0
    assert number_of_loud(np.log([1.0] * 39 + [9.0, 9.0])) == 2
    # One in twenty at most, and ten.
    assert number_of_loud(np.log([1.0] * 38 + [9.0, 9.0])) == 2
    assert number_of_loud(np.log([1.0] * 37 + [9.0, 9.0])) == 0
    assert number_of_loud(np.log([1.0] * 390 + [9.0] * 10)) == 10
    assert number_of_loud(np.log([1.0] * 390 + [9.0] * 11)) == 0
    assert number_of_loud(np.log([1.0] * 40 + [9.0]), least=math.log(9.0) * (1 - 1e-12)) == 1
    assert number_of_loud(np.log([1.0] * 40 + [9.0]), least=math.log(9.0) * (1 + 1e-12)) == 0
    assert number_of_loud(np.log([1.0])) == 0


@pytest.mark.parametrize("slices", [1, 4])
def test_eigenvalues_are_those_of_a_loud_row_up_to_a_factor(slices):
    """One and a half times what a row of power p has, p M + N p / (p - 1), either way; of each slice one."""
    W = gaussian_matrix(300, 200, seed=0)
    W[7] *= 30
    (lines,) = loud_lines(strengths_of([W] * slices))
    power = 30.0**2 * np.mean(gaussian_matrix(300, 200, seed=0)[7] ** 2) / np.mean(np.delete(W, 7, axis=0) ** 2)
    expected = slices * (power * 200 + 300 * power / (power - 1))
    assert (lines.side, lines.most, lines.longer) == ("row", 1, 300)
    assert float(lines.energies.sum()) * slices == pytest.approx(expected, rel=0.05)
    exact = float(lines.energies.sum()) * slices
    for factor, explained in ((1.4999, True), (1.5001, False), (1 / 1.4999, True), (1 / 1.5001, False)):
        assert lines.explain(np.full(slices, factor * exact / slices), slices) is explained, factor


def test_two_lines_have_a_spread_and_one_has_none():
    W = gaussian_matrix(2, 4000, seed=0) * np.array([[1.0], [10.0]])
    found = strengths_of([W])
    assert found.row_spread == pytest.approx(math.log(10) / math.sqrt(2), rel=0.02)
    assert found.row.size == 2
    assert strengths_of([W[:1]]).row_spread == 0


def test_laws_that_differ_by_a_constant_cannot_be_compared():
    assert vuong(np.ones(4), np.zeros(4)) == Comparison(4.0, 0.0, 1.0)
    assert vuong(np.zeros(4), np.ones(4), 2) == Comparison(-2.0, 0.0, 1.0)


# Laws of the edge.


def test_the_edge_has_a_law_up_to_its_limits():
    for law in (edge.tracy_widom_sf, edge.quick_tracy_widom_sf):
        assert 0 < law(100.0) < 1e-280
        assert law(above(100.0)) == 0
        assert law(-20.0) == 1
    assert edge.tracy_widom_sf(below(-9.0)) == 1
    assert edge.edge_pvalue(1e9, 60, 40) == 0
    assert edge.edge_pvalue(0.0, 60, 40) == 1


def test_cumulants_move_the_edge_up_to_their_limit():
    assert edge.cumulant_factor(10, 10, 3.0, 0.0) == pytest.approx(1.3)
    assert edge.cumulant_factor(10, 10, -3.0, 30.0) == pytest.approx(1.0)
    for cumulants in ((above(3.0), 0.0), (below(-3.0), 0.0), (0.0, above(30.0)), (0.0, below(-30.0))):
        assert math.isnan(edge.cumulant_factor(10, 10, *cumulants)), cumulants
    assert math.isnan(edge.edge_pvalue(200.0, 10, 10, 4.0, 0.0))


def test_a_strength_begins_at_the_threshold():
    assert edge.strength(9.0, 4, 1) == pytest.approx(edge.threshold(4, 1), rel=1e-12)
    assert edge.strength(below(9.0), 4, 1) == 0
    assert edge.strength(0.01, 4, 1) == 0


# Linear algebra.


def test_a_copy_is_made_in_buckets_beyond_a_size_and_a_ratio():
    assert [number_of_buckets(shape) for shape in ((4096, 8192), (8192, 4096), (4096, 8193))] == [1, 1, 2]
    assert [number_of_buckets((10**4, long)) for long in (14000, 14001)] == [1, 2]
    assert [number_of_buckets((4096, 4096 * times)) for times in (3, 9, 10, 100)] == [4, 8, 16, 16]


def test_steps_pay_for_a_few_pairs_of_a_large_matrix():
    assert [steps_pay(1, 1500), steps_pay(1, 1501)] == [False, True]
    assert [steps_pay(500, 2000), steps_pay(500, 2001)] == [False, True]


def test_the_memory_of_a_shuffle_by_its_parts():
    """Values twice, and the largest of the order, of what is read, and of what is decomposed beside a block."""
    for side, length in ((1500, 3000), (3000, 3000), (100, 10**6)):
        entries = side * length
        decomposed = 24 * min(entries, 2**25) + 8 * 6 * side**2
        expected = 16 * entries + max(32 * entries, 64 * min(entries, 2**22), decomposed)
        assert memory_of_a_shuffle(length, side) == memory_of_a_shuffle(side, length) == expected
        assert memory_needed(length, side) == memory_needed(side, length) == decomposed
    # A block has a row at least.
    assert memory_needed(2**26, 1) == 24 * 2**25 + 48
    assert memory_of_a_shuffle(2, 2**25 + 1) == 16 * (2**26 + 2) + 32 * (2**26 + 2)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(6, 6), (7, 5), (5, 7)])
def test_directions_are_those_of_the_svd(shape, dtype):
    """A square matrix has right ones; its projections and factors are not those of its transpose."""
    W = gaussian_matrix(*shape, seed=0).astype(dtype)
    U, sigma, V = np.linalg.svd(W.astype(float), full_matrices=False)
    found = directions(W)
    assert found.sigma == pytest.approx(sigma, rel=1e-6)
    short = V if shape[0] >= shape[1] else U.T
    assert np.abs(np.einsum("ki,ik->k", short, found.vectors)) == pytest.approx(1, abs=1e-6)
    for rank in (0, 1, 2, 3, 4, 5):
        truth = (U[:, :rank] * sigma[:rank]) @ V[:rank]
        left, right = factors(W, found, np.arange(rank))
        np.testing.assert_allclose(left @ right, truth, atol=1e-5)
        np.testing.assert_allclose(project(W, rank), truth, atol=1e-10)
        np.testing.assert_allclose((left**2).sum(axis=0), sigma[:rank], rtol=1e-5)
        np.testing.assert_allclose((right**2).sum(axis=1), sigma[:rank], rtol=1e-5)


@pytest.mark.parametrize("shape", [(6, 6), (7, 5), (5, 7)])
def test_what_lies_in_a_subspace_is_that_of_both_projectors(shape):
    from setol_ww.linalg.decomposed import Decomposed

    W, D = gaussian_matrix(*shape, seed=0), gaussian_matrix(*shape, seed=1)
    U, _, V = np.linalg.svd(W, full_matrices=False)
    one = leading_subspaces([Decomposed(W)], 2)[0]
    assert (one.left.shape, one.right.shape) == ((shape[0], 2), (shape[1], 2))
    left, right = U[:, :2] @ U[:, :2].T, V[:2].T @ V[:2]
    np.testing.assert_allclose(one.left @ one.left.T, left, atol=1e-10)
    np.testing.assert_allclose(one.right @ one.right.T, right, atol=1e-10)
    whole, found = np.sum(D**2), shares([D], [one])
    for part, projected in ((found.left, left @ D), (found.right, D @ right), (found.both, left @ D @ right)):
        assert part == pytest.approx(np.sum(projected**2) / whole, rel=1e-9)
    assert all(math.isnan(x) for x in vars(shares([np.zeros(shape)], [one])).values())


def test_angles_of_subspaces_that_are_one_and_of_none():
    same = angles([np.eye(4)[:, :2]], [np.eye(4)[:, :2]])
    assert (same.overlap, same.largest) == (1.0, 0.0)
    turned = angles([np.eye(4)[:, :1]], [np.array([[1.0], [1.0], [0.0], [0.0]]) / math.sqrt(2)])
    assert (turned.overlap, turned.largest) == (pytest.approx(0.5), pytest.approx(45.0))
    # In slices: one of two directions meets none.
    apart = angles([np.eye(3)[:, :1], np.eye(3)[:, :0]], [np.eye(3)[:, :1], np.eye(3)[:, :0]])
    assert (apart.overlap, apart.largest) == (1.0, 0.0)
    crossed = angles([np.eye(3)[:, :1], np.eye(3)[:, :0]], [np.eye(3)[:, :0], np.eye(3)[:, :1]])
    assert (crossed.overlap, crossed.largest) == (0.0, 90.0)
    assert math.isnan(angles([np.eye(3)[:, :0]], [np.eye(3)[:, :1]]).overlap)
    assert Subspace(np.eye(3)[:, :2], np.eye(2)).size == 2


def test_the_memory_of_a_gpu_is_what_is_free_and_what_torch_keeps_unused(monkeypatch):
    for name, told in (("memory_reserved", 700), ("memory_allocated", 200), ("mem_get_info", (1000, 8000))):
        monkeypatch.setattr(torch.cuda, name, lambda device, told=told: told)
    assert free_memory("cuda") == free_memory("cuda:3") == 1500
    assert free_memory("cpu") == math.inf


# Windows.


def test_windows_of_a_square_matrix_stand_side_by_side():
    """Twice as long as wide: halves of its columns, not of its rows."""
    W = signed_pareto_matrix(40, 40, 3.0, seed=0)
    W[:, :20] *= 3.0
    by_hand = np.sort(np.concatenate([singular_value_squares(W[:, :20]), singular_value_squares(W[:, 20:])]))
    fit = ww.fit_submatrices(W, Q=2)
    assert (fit.windows, fit.rows, fit.columns) == (2, 40, 20)
    assert fit.alpha == pytest.approx(power_law_scan(by_hand).alpha, rel=1e-9)
    assert fit.sigma > 0


# Entries and traps.


def test_a_tail_of_twenty_sizes_is_known():
    sizes = np.arange(60.0, 0.0, -1.0) ** 1.5
    for count, known in ((20, False), (21, True)):
        found = fit_tail_of_entries(sizes[:count])
        assert (found is not None) is known
    assert (found.start, found.count) == (sizes[20], 20)
    twenty = np.concatenate([np.repeat(np.arange(20.0, 0.0, -1.0), 3), [0.5]])
    assert fit_tail_of_entries(twenty) is not None
    assert fit_tail_of_entries(np.append(twenty[3:], 0.5)) is not None
    assert fit_tail_of_entries(twenty[3:]) is None
    # All but the censored ones are of one size.
    assert fit_tail_of_entries(np.append(np.arange(40.0, 20.0, -1.0), np.ones(181))) is None


def test_a_tail_says_nothing_up_to_its_start():
    found = read_entries(gaussian_matrix(60, 40, seed=0).ravel())
    start = found.tail.start
    assert found.tail_pvalue(start) == 0
    assert found.tail_pvalue(above(start), 1) == pytest.approx(1)
    counted = np.count_nonzero(np.abs(gaussian_matrix(60, 40, seed=0) - found.centre) > start)
    assert found.tail.count == counted
    assert found.tail.expected_beyond(start) == counted


def test_elements_of_exactly_a_size_are_beyond_it():
    blocks = [np.array([[1.0, 3.0], [-3.0, below(3.0)]]), np.array([[5.0, 0.0]])]
    assert places_beyond(blocks, 0.0, 3.0) == [1, 2, 4]
    assert places_beyond(blocks, 1.0, 4.0) == [2, 4]


def test_all_eigenvalues_of_a_shuffle_are_told_where_they_cost_nothing_or_are_asked_for(monkeypatch):
    W = gaussian_matrix(60, 40, seed=0)
    every = find_traps_of([W]).shuffled
    assert every.size == 40
    assert every.sum() == pytest.approx(np.sum(W**2))
    monkeypatch.setattr(leading, "DENSE_SIDE", 10)
    assert find_traps_of([W]).shuffled.size == 0
    assert find_traps_of([W], whole=True).shuffled == pytest.approx(every)


def test_a_trap_along_the_mean_is_a_shift_from_a_share_on():
    place = Place(np.array([3]), np.array([0.5]), np.array([CARRIES, below(CARRIES), 1.0]))
    assert place.shifts.tolist() == [True, False, True]


def test_a_shift_leaves_the_bulk_at_the_threshold():
    """Its strength |m| sqrt(M) / sigma against (M / N)^(1/4), here a half: below nothing is said of it."""
    entries = read_entries(gaussian_matrix(60, 40, seed=0).ravel())
    chance = lambda mean: shift_pvalue(replace(entries, mean=mean, variance=1.0), 256, 16)  # noqa: E731
    assert chance(below(0.125)) == chance(-below(0.125)) == 1
    assert chance(0.125) == chance(-0.125) == pytest.approx(math.erfc(8 / math.sqrt(2)))


def test_entries_are_scaled_beyond_twenty_powers_of_two():
    for largest, exponent in ((2.0**20, 21), (below(2.0**20), 0), (2.0**-21, 0), (below(2.0**-21), -21)):
        W = np.array([[largest, 0.0], [-largest / 2, 0.0]])
        scaled, found = of_moderate_size(W)
        assert found == exponent
        assert np.array_equal(np.ldexp(scaled, found), W)
    # The size of a negative one counts too.
    assert of_moderate_size(torch.tensor([[-(2.0**30), 1.0]]))[1] == 31


def element(row: int, column: int, sigmas: float) -> Element:
    return Element((row, column), sigmas, sigmas, 0.5)


def test_elements_in_words_by_their_number():
    five = [element(7, column, 20.0 + column) for column in range(4)] + [element(1, 9, -3.0)]
    told = {number: in_words(five[:number], None, 0, {}) for number in range(6)}
    assert told[0] == ""
    assert told[1] == "element (7, 0) = +20.0 sigma"
    assert told[2] == "element (7, 0) = +20.0 sigma, element (7, 1) = +21.0 sigma"
    three = "element (7, 0) = +20.0 sigma, element (7, 1) = +21.0 sigma, element (7, 2) = +22.0 sigma"
    assert told[3] == f"3 of 3 elements in row 7, {three}"
    assert told[4] == f"4 of 4 elements in row 7, {three}, 1 more elements"
    assert told[5] == f"4 of 5 elements in row 7, {three}, 2 more elements"
    turned = [Element(one.index[::-1], one.value, one.sigmas, one.leverage) for one in five]
    assert in_words(turned, None, 0, {}).startswith("4 of 5 elements in column 7, element (0, 7)")
    assert in_words([*five, five[-1]], None, 0, {}).startswith("element (7, 0)")


def test_every_carrier_in_words_with_its_chance():
    chances = {"element": "p = 1", "mean shift": "p = 2", "spread": "p = 3"}
    assert in_words([element(1, 2, 9.0)], -0.25, 2, chances) == (
        "element (1, 2) = +9.0 sigma (p = 1), mean shift -0.25 sigma (p = 2), "
        "2 that no element and no shift carries (p = 3)"
    )
    assert in_words([], 0.0, 0, {"mean shift": ""}) == "mean shift +0 sigma"


# Classes.

PLAIN = ww.fit_bulk(ww.Spectrum.from_eigenvalues(np.linspace(0.5, 1.5, 100)))


def test_noise_is_near_up_to_its_distance():
    limit = classes.largest_distance(PLAIN)
    for ks, near in ((below(limit), True), (limit, True), (above(limit), False)):
        assert classes.is_near_noise(replace(PLAIN, ks=ks)) is near


HEAVY = ww.Spectrum.from_matrix(signed_pareto_matrix(150, 120, 1.5, seed=0))


@pytest.mark.parametrize("rank", [7, 8])
def test_a_tail_of_eight_is_long_enough_to_be_heavy(rank):
    told = classes.universality(HEAVY, replace(ww.fit_tail(HEAVY), rank=rank), ww.fit_bulk(HEAVY))
    assert (f"a tail of {rank} of 120 is too short to be called heavy." in told.evidence) is (rank == 7)
    assert bool(told.heavy_law) is (rank == 8)


#: z of the comparison of a heavy tail with spikes, by which it leans to the first, and loses to the last.
LEANS, LOSES = 1.282, -1.96


@pytest.mark.parametrize(("z", "spikes", "word"), [
    (LOSES, 5, "undetermined"), (below(LOSES), 5, "bulk+spikes"),
    (below(LOSES), 30, "bulk+spikes"), (below(LOSES), 31, "undetermined"),
    (below(LOSES), 0, "undetermined"),
])  # fmt: skip
def test_spikes_by_likelihood_alone(z, spikes, word, monkeypatch):
    """Where the rest is not exactly noise, and spikes are a quarter of the rank at most."""
    monkeypatch.setattr(classes, "vuong", lambda *_, **__: Comparison(-9.0, z, 0.01))
    limit = classes.largest_distance(ww.fit_bulk(HEAVY))
    bulk = replace(ww.fit_bulk(HEAVY), spikes=spikes, ks=above(limit))
    assert classes.universality(HEAVY, ww.fit_tail(HEAVY), bulk).universality_class.value == word


def test_how_far_from_noise_is_far():
    why = lambda z=0.0, **kind: classes._why_heavy(HEAVY, replace(PLAIN, spikes=0, **kind), z)  # noqa: E731
    far, leans = "what is left is far from any noise", "what is left is more than twice as far from its law as noise is"
    assert why(ks=0.1, critical_ks=0.01) == ""
    assert why(ks=above(0.1), critical_ks=0.01) == far
    assert why(ks=0.25, critical_ks=0.125) == ""
    assert why(ks=above(0.25), critical_ks=0.125) == far
    # Leaning to a heavy tail, where less than that is twice as far as noise may be.
    near = {"critical_ks": 0.03}
    limit = 2 * classes.largest_distance(replace(PLAIN, **near))
    assert limit < 0.1
    assert why(above(LEANS), ks=limit, **near) == ""
    assert why(LEANS, ks=above(limit), **near) == ""
    assert why(above(LEANS), ks=above(limit), **near).startswith(leans)


def test_what_reaches_the_edge_at_the_ends():
    bulk = ww.fit_bulk(HEAVY)
    assert classes.reaches_the_edge(HEAVY, bulk)
    for spikes in (0, 120, 121):
        assert not classes.reaches_the_edge(HEAVY, replace(bulk, spikes=spikes))
    assert not classes.reaches_the_edge(HEAVY, replace(bulk, noise=None))


def test_settings_that_draw_nothing_are_the_same_with_any_seed():
    assert ww.Settings(seed=5) == ww.Settings()
    assert ww.Settings(seed=5, uncertainty=9) != ww.Settings(uncertainty=9)


def test_intervals_need_two_spectra_with_both_tails():
    spectrum = ww.Spectrum.from_eigenvalues(np.arange(1, 100) ** -0.8)
    assert all(math.isnan(end) for end in vars(intervals(spectrum, 1, 0)).values())
    assert all(math.isfinite(end) for end in vars(intervals(spectrum, 2, 0)).values())


def test_the_series_is_used_below_a_half_alone():
    """Two equal eigenvalues have x_1^2 / k = 1/2 exactly, three a third."""
    two, three = (analyze_spectrum(ww.Spectrum.from_eigenvalues([1.0] * number)).quality for number in (2, 3))
    assert (two.q2_rho, two.q2_series_ok) == (0.5, False)
    assert math.isnan(two.q2_series5)
    assert "q2_series5: x_1^2 / k = 0.5, the five-term series is used below 0.5 only" in two.q2_reason
    assert (three.q2_rho, three.q2_series_ok) == (pytest.approx(1 / 3), True)
    assert three.q2_series5 == pytest.approx(1)
    assert "q2_series5" not in three.q2_reason


# weightwatcher's columns.


def test_weightwatchers_fit_is_of_what_is_above_its_threshold():
    values = 4.1e-4 / np.arange(40, 0, -1)
    without = weightwatcher_fit(values)
    assert without[4] == 40
    assert weightwatcher_fit(np.append(1e-5, values)) == without
    assert weightwatcher_fit(np.append(above(1e-5), values))[4] == 41
    assert weightwatcher_fit(np.append(0.5, values / values[0]), threshold=0.5)[4] == 40
    for nothing in (np.empty(0), np.array([1e-5]), np.array([1.0]), np.ones(30), np.array([1.0, math.nan])):
        fit = weightwatcher_fit(nothing)
        assert len(fit) == 5
        assert all(math.isnan(number) for number in fit)


def test_weightwatchers_rank_is_without_what_rounds_to_nothing():
    """Singular values beyond N epsilon of the largest: the entropy is divided by the logarithm of their number."""
    limit = (2.0 * 4 * EPS) ** 2
    p = np.array([0.2, 0.8]) + 1e-10
    for least, rank in ((limit, 2), (limit * (1 + 8 * EPS), 3)):
        told = weightwatcher_norms(ww.Spectrum.from_eigenvalues([0.0, least, 1.0, 4.0]))
        assert told["entropy"] == pytest.approx(-float(np.sum(p * np.log(p))) / math.log(rank), rel=1e-7)
    assert math.isnan(weightwatcher_norms(ww.Spectrum.from_eigenvalues([0.0, 1.0]))["entropy"])
