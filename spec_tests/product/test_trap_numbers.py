"""Every number of a report on traps by a second computation: from the entries, and the eigenvalues of the shuffle."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch

import setol_ww as ww
from fixtures import trap_numbers
from setol_ww.traps.elements import read_entries
from setol_ww.traps.find import find_traps_of

from ..golden.kept import small_matrices


def drawn(law: str, shape: tuple[int, int], *sizes: float, seed: int = 0) -> np.ndarray:
    """Entries of a law, and single ones of these sizes."""
    rng = np.random.default_rng([seed, *law.encode()])
    W = {
        "normal": lambda: rng.normal(size=shape),
        "flat": lambda: rng.uniform(-1, 1, size=shape),
        "exponential": lambda: rng.laplace(size=shape),
        "shifted": lambda: rng.normal(size=shape) + 0.05,
        "t(3)": lambda: rng.standard_t(3, size=shape),
        "t(1.5)": lambda: rng.standard_t(1.5, size=shape),
        "t(0.4)": lambda: rng.standard_t(0.4, size=shape),
    }[law]()
    for number, size in enumerate(sizes):
        W[(7 * number + 3) % shape[0], (11 * number + 5) % shape[1]] = size
    return W


CASES = {
    "normal": drawn("normal", (90, 60)),
    "one element": drawn("normal", (90, 60), 9.0),
    "wide, four elements": drawn("normal", (60, 150), 30.0, -25.0, 20.0, 11.0),
    "one that chance explains": drawn("normal", (40, 30), 7.3, seed=2),
    "flat": drawn("flat", (70, 70), 4.0),
    "exponential": drawn("exponential", (80, 50), 40.0),
    "off the middle": drawn("shifted", (200, 90), -14.0),
    "heavy": drawn("t(3)", (100, 80)),
    "heavy, one beyond it": drawn("t(3)", (100, 80), 900.0),
    "without an edge": drawn("t(1.5)", (80, 60)),
    "without an edge, one beyond": drawn("t(1.5)", (80, 60), 1e6),
    "as heavy as is read": drawn("t(0.4)", (60, 50)),
    "large": drawn("normal", (260, 500), 25.0),
}


@functools.cache
def expected_of(name: str) -> trap_numbers.Numbers:
    return trap_numbers.numbers(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_what_the_entries_say(name):
    W = CASES[name]
    found, expected = read_entries(W.ravel()), expected_of(name)
    assert found.apart == pytest.approx(expected.apart)
    assert (found.mean, math.sqrt(found.variance)) == pytest.approx((expected.mean, expected.sigma), rel=1e-9)
    assert (found.k4, found.k6) == pytest.approx((expected.k4, expected.k6), rel=1e-7, abs=1e-7)
    assert (found.tail.start, found.tail.count) == (expected.tail.start, expected.tail.count)
    assert (found.tail.shape, found.tail.width) == pytest.approx((expected.tail.shape, expected.tail.width), rel=1e-4)
    for size, rank in ((1.1, 1), (2.0, 1), (2.0, 3), (9.0, 2)):
        size *= found.tail.start
        assert found.tail_pvalue(size, rank) == pytest.approx(expected.tail.chance(size, rank), rel=0.01)


@pytest.mark.parametrize("level", [0.01, 0.3])
@pytest.mark.parametrize("name", CASES)
def test_the_report_of_a_matrix(name, level):
    W = CASES[name]
    report = ww.find_traps(W, level=level)
    entries = expected_of(name)
    N, M = max(W.shape), min(W.shape)
    expected = trap_numbers.outliers(entries, W.shape, report.shuffled, level)
    first = expected[0]
    assert report.lambda_max == pytest.approx(report.shuffled[-1], rel=1e-12)
    assert report.edge == pytest.approx(
        entries.sigma**2 * trap_numbers.edge_of(N, M, entries.k4, entries.k6), rel=1e-9, nan_ok=True
    )
    assert (report.sigma, report.mean) == pytest.approx((entries.sigma, entries.mean), rel=1e-9)
    assert report.threshold == pytest.approx((M / N) ** 0.25)
    assert close(report.pvalue_edge, first.by_edge)
    assert close(report.pvalue, first.pvalue)
    assert report.count == len(expected) - 1
    told = {trap.eigenvalue: trap for trap in report.traps}
    assert sorted(told) == pytest.approx(sorted(one.value for one in expected[:-1]))
    for one in expected[:-1]:
        trap = told[min(told, key=lambda value, one=one: abs(value - one.value))]
        assert close(trap.pvalue, one.pvalue)
        assert trap.strength == pytest.approx(one.strength, rel=1e-9)
    assert report.strength == pytest.approx(max((one.strength for one in expected[:-1]), default=0.0), rel=1e-9)


def close(pvalue: float, expected: float) -> bool:
    """To two digits, far out in the tail to some of its exponent."""
    if math.isnan(expected):
        return math.isnan(pvalue)
    if expected < 1e-6:
        return math.isclose(math.log(max(pvalue, 1e-320)), math.log(max(expected, 1e-320)), rel_tol=0.01)
    return math.isclose(pvalue, expected, rel_tol=0.01)


@pytest.mark.parametrize("seed", [0, 2, 4])
def test_without_an_edge_a_shift_is_judged_by_the_mean(seed):
    """Normal whatever the law: its chance is erfc(|m| sqrt(N M) / sigma / sqrt 2), and it comes first."""
    W = np.random.default_rng([seed, 1]).standard_t(1.5, size=(90, 60))
    W += 2 * np.median(np.abs(W))
    report = ww.find_traps(W)
    assert math.isnan(report.edge)
    z = abs(report.mean) * math.sqrt(W.size) / report.sigma
    shifts = [trap for trap in report.traps if trap.carrier == "mean shift"]
    if abs(report.mean) * math.sqrt(60) / report.sigma < report.threshold:
        assert shifts == []
    else:
        assert report.pvalue == shifts[0].pvalue == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-9)


def test_a_shift_that_large_elements_hide_is_where_one_of_its_strength_is():
    """No leading vector is constant: told are |m| sqrt(M) / sigma and the eigenvalue that goes with it."""
    W = np.random.default_rng([0, 1]).standard_t(1.5, size=(90, 60))
    W += 0.5 * np.median(np.abs(W))
    report = ww.find_traps(W)
    (shift,) = report.traps
    assert shift.carrier == "mean shift"
    theta = abs(report.mean) * math.sqrt(60) / report.sigma
    assert shift.strength == pytest.approx(theta, rel=1e-9)
    square, q = theta**2, 60 / 90
    assert shift.eigenvalue == pytest.approx(report.sigma**2 * 90 * (1 + square) * (q + square) / square, rel=1e-9)
    assert report.lambda_max == pytest.approx(report.shuffled[-1], rel=1e-12)
    cleaned = ww.remove_traps(W, report)
    np.testing.assert_allclose(W - cleaned, report.mean, rtol=1e-9)


@pytest.mark.parametrize("seed", [5, 13, 16])
def test_without_an_edge_a_shift_is_looked_for_among_many(seed):
    """Behind more than four of heavy elements it still is an eigenvalue of the shuffle."""
    W = np.random.default_rng([seed, 1]).standard_t(1.5, size=(90, 60))
    W += 2 * np.median(np.abs(W))
    report = ww.find_traps(W)
    (shift,) = report.traps
    assert shift.carrier == "mean shift"
    ranks = np.flatnonzero(np.isclose(report.shuffled[::-1], shift.eigenvalue, rtol=1e-9))
    assert ranks.size == 1
    assert ranks[0] >= 4


NARROW = [(1.1, (200, 6), 5), (1.1, (200, 6), 10), (1.3, (60, 8), 43), (1.3, (40, 5), 26), (1.5, (40, 5), 40),
          (1.5, (200, 6), 1), (1.1, (40, 5), 54)]  # fmt: skip


@pytest.mark.parametrize(("degrees", "shape", "seed"), NARROW)
def test_a_hidden_shift_of_a_narrow_matrix_beside_its_elements(degrees, shape, seed):
    """As many traps as columns at most; the shift names no element, and shares of elements are shares."""
    W = np.random.default_rng([seed, shape[1]]).standard_t(degrees, size=shape)
    W += np.median(np.abs(W))
    report = ww.find_traps(W)
    carriers = [trap.carrier for trap in report.traps]
    assert carriers.count("mean shift") == 1
    assert carriers.count("element") == len(report.elements) == report.count - 1 < shape[1]
    assert np.all((report.leverage >= 0.08) & (report.leverage <= 1 + 1e-12))


@pytest.mark.parametrize("scale", [1e-60, 1e-9, 1e9, 1e60])
def test_all_eigenvalues_have_the_scale_of_the_entries(scale):
    W = CASES["one element"]
    plain, scaled = ww.find_traps(W), ww.find_traps(W * scale)
    np.testing.assert_allclose(scaled.shuffled, plain.shuffled * scale**2, rtol=1e-9)


def test_one_shift_of_a_small_matrix_and_the_element_beside_it():
    """Vectors of few entries lie near the constant ones by chance; only one of them is the shift."""
    told = []
    for seed in range(24):
        W = np.random.default_rng([seed, 2]).normal(size=(14, 9)) + 1.5
        W[3, 4] = 12
        report = ww.find_traps(W)
        told.append([trap.carrier for trap in report.traps])
        assert {one.index for one in report.elements} <= {(3, 4)}
    assert {tuple(carriers) for carriers in told} == {("mean shift",), ("mean shift", "element")}
    assert told.count(["mean shift", "element"]) >= 6


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, np.int32, np.int64, np.uint16, "bfloat16"])
def test_entries_of_every_type_are_read_in_float64(dtype):
    """The same numbers in float64 say the same of themselves, to the last bit, in an array and in a tensor."""
    W = np.round(30 * np.random.default_rng(0).normal(size=(90, 60)))
    W[13, 17] = 120
    given = torch.from_numpy(W).to(torch.bfloat16) if dtype == "bfloat16" else (W - W.min()).astype(dtype)
    wide = given.double().numpy() if dtype == "bfloat16" else given.astype(np.float64)
    one, other = ww.find_traps(given), ww.find_traps(wide)
    for name in ("sigma", "mean", "edge", "threshold", "count"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.lambda_max == pytest.approx(other.lambda_max, rel=1e-6)
    assert [trap.carrier for trap in one.traps] == [trap.carrier for trap in other.traps]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_what_narrow_entries_say_is_computed_in_float64(dtype, seed):
    """The median of an even number of them too, which lies between two of their type."""
    W = drawn("t(3)", (60, 42), 30.0, seed=seed).astype(dtype)
    one, other = read_entries(W.ravel()), read_entries(W.ravel().astype(np.float64))
    for name in ("mean", "variance", "k4", "k6", "centre", "tail", "has_known_tail"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.apart.tolist() == other.apart.tolist()


def test_small_matrices_of_any_law():
    """Counts, chances and shares are within what they can be; nothing is found any more in what is left."""
    carriers: set[str] = set()
    for seed, W in enumerate(small_matrices()):
        report = ww.find_traps(W, seed=seed, level=0.1)
        if report.reason:
            continue
        assert report.count == len(report.traps) <= min(W.shape)
        assert (report.count > 0) == (report.pvalue <= 0.1)
        assert [trap.pvalue for trap in report.traps] == sorted(trap.pvalue for trap in report.traps)
        assert sum(trap.carrier == "mean shift" for trap in report.traps) <= 1
        assert len(report.elements) == len({one.index for one in report.elements})
        assert np.all((report.leverage >= 0.08) & (report.leverage <= 1 + 1e-9))
        assert [W[one.index] for one in report.elements] == [one.value for one in report.elements]
        cleaned = ww.remove_traps(W, report)
        assert ww.find_traps(cleaned, seed=seed, level=0.1).count == 0
        carriers |= {trap.carrier for trap in report.traps}
    assert carriers == {"element", "mean shift", "spread"}


PAIRS = [
    ("one element", "normal"),
    ("one element", "without an edge"),
    ("without an edge, one beyond", "normal"),
    ("heavy, one beyond it", "heavy"),
]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_slices_are_judged_together(first, second):
    """What is told is of the slice that stands out most; a chance is that of the smallest of two."""
    slices = [CASES[first], np.resize(CASES[second], CASES[first].shape)]
    alone, both = find_traps_of(slices[:1]), find_traps_of(slices)
    for name in ("lambda_max", "edge", "threshold", "sigma", "mean"):
        assert getattr(both, name) == pytest.approx(getattr(alone, name), nan_ok=True)
    assert both.edge_reason == alone.edge_reason
    for name in ("pvalue", "pvalue_edge"):
        one = getattr(alone, name)
        assert getattr(both, name) == pytest.approx(1 - (1 - one) ** 2, rel=1e-6, abs=1e-12, nan_ok=True)
    assert both.shape == (*slices[0].shape, 2)
    assert [one.index for one in both.elements] == [(*one.index, 0) for one in alone.elements]
    assert {trap.slice for trap in both.traps} <= {0}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_tensor_is_cleaned_to_the_bits_of_its_array(dtype):
    W = drawn("normal", (60, 40), 12.0)
    shifted = (W + 0.5).astype(dtype)
    loose = next(
        given
        for given in (np.random.default_rng(seed).normal(size=(40, 40)).astype(dtype) for seed in range(60))
        if {trap.carrier for trap in ww.find_traps(given, level=0.2).traps} == {"spread"}
    )
    for given, level in ((shifted, 0.01), (loose, 0.2)):
        cleaned = ww.remove_traps(given, ww.find_traps(given, level=level))
        there = ww.remove_traps(torch.from_numpy(given), ww.find_traps(given, level=level))
        assert cleaned.dtype == given.dtype
        assert np.count_nonzero(cleaned != given) > given.size // 2
        np.testing.assert_array_equal(there.numpy(), cleaned)


@pytest.mark.parametrize(
    ("shape", "enough"), [((7, 3), True), ((3, 7), True), ((10, 2), False), ((5, 4), False), ((6, 3), False)]
)
def test_how_many_entries_a_bulk_needs(shape, enough):
    report = ww.find_traps(np.random.default_rng(0).normal(size=shape))
    N, M = max(shape), min(shape)
    said = f"{N} x {M} entries are too few for a bulk; 3 rows and columns and 21 are needed"
    assert report.reason == ("" if enough else said)


def test_entries_that_are_all_one_have_no_noise():
    """Without a warning of numpy's: there is nothing to divide by."""
    for value in (0.0, 0.25, -8.0):
        found = read_entries(np.full(60, value))
        assert (found.variance, found.k4, found.k6, found.tail, found.has_known_tail) == (0, 0, 0, None, True)
        assert found.mean == pytest.approx(value)


@pytest.mark.parametrize("sizes", [(1e7, 1e5), (1e5, 1e7), (1e7, 0.0), (0.0, 1e7)])
def test_of_slices_that_stand_out_as_much_the_one_farther_out_is_told(sizes):
    """Both chances are 0 to the last number there is; by the largest eigenvalue over the noise of its slice."""
    slices = [drawn("normal", (90, 60), size, seed=seed) for seed, size in enumerate(sizes)]
    report = find_traps_of(slices)
    assert report.lambda_max == pytest.approx(1e14, rel=0.01)
    assert report.elements[0].value == 1e7
    assert report.sigma == pytest.approx(np.std(slices[sizes.index(1e7)][np.abs(slices[sizes.index(1e7)]) < 100]))
    if 0.0 not in sizes:
        assert {trap.pvalue for trap in report.traps} == {0.0}
