"""Correlation traps: the law of the edge, the sample of entries, place, removal, columns."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.sparse.linalg import ArpackNoConvergence
from scipy.special import airy

import setol_ww as ww
from fixtures import ensembles, matrices
from setol_ww.linalg import leading, shuffles, symmetric
from setol_ww.linalg.leading import Leading
from setol_ww.linalg.shuffles import shuffle, sources_of
from setol_ww.theory.laws import edge as edge_law
from setol_ww.traps import elements, search
from setol_ww.traps.elements import fit_tail_of_entries, read_entries, spread_ties
from setol_ww.traps.find import find_traps_of, trap_row
from setol_ww.traps.search import look, tall_entries


def painleve_survival(points: np.ndarray) -> np.ndarray:
    """1 - F_1 from the Hastings-McLeod solution of Painlevé II: another road than the determinant."""

    start = 13.0
    value, slope = airy(start)[:2]

    def whole(s, y):
        q, p, _, _, inner = y
        return [p, s * q + 2 * q**3, -q, -inner, -(q**2)]

    down = solve_ivp(
        whole, (start, points.min()), [value, slope, 0.0, 0.0, 0.0], rtol=1e-12, atol=1e-28, dense_output=True
    )
    _, _, first, outer, _ = down.sol(points)
    return -np.expm1(-(first + outer) / 2)


def test_tracy_widom_against_painleve_and_the_published_quantiles():
    points = np.array([-2.0, -1.0, 0.0, 0.979, 2.023, 3.272, 4.5, 6.0])
    ours = np.array([edge_law.tracy_widom_sf(x) for x in points])
    np.testing.assert_allclose(ours, painleve_survival(points), rtol=1e-5)
    np.testing.assert_allclose(ours[[3, 4, 5]], [0.05, 0.01, 0.001], rtol=1e-3)


def test_tracy_widom_keeps_its_digits_in_the_far_tail():
    """Against the leading terms of the right tail (Borot and Nadal 2012); they are off by the next term, s^(-3/2)."""
    for s in (15.0, 40.0, 70.0):
        leading_term = math.exp(-2 / 3 * s**1.5) / (4 * math.sqrt(math.pi) * s**0.75)
        assert edge_law.tracy_widom_sf(s) == pytest.approx(leading_term, rel=s**-1.5)
    assert edge_law.tracy_widom_sf(-20.0) == 1.0
    assert edge_law.tracy_widom_sf(1e6) == 0.0


def test_the_quick_law_is_the_law():
    for x in (*np.linspace(-12, 30, 200), edge_law.INTERPOLATED[0], edge_law.INTERPOLATED[1]):
        assert edge_law.quick_tracy_widom_sf(x) == pytest.approx(edge_law.tracy_widom_sf(x), rel=1e-7)


@pytest.mark.parametrize("N,M,theta", [(600, 300, 1.2), (300, 300, 3.0), (4096, 11008 // 4, 5.0)])
def test_strength_inverts_the_position_of_the_outlier(N, M, theta):
    q = M / N
    value = N * (1 + theta**2) * (q + theta**2) / theta**2
    assert edge_law.strength(value, N, M) == pytest.approx(theta, rel=1e-9)
    assert edge_law.strength(0.99 * N * (1 + math.sqrt(q)) ** 2, N, M) == 0.0


def test_edge_moves_with_the_cumulants_of_the_entries():
    """Mean of the largest eigenvalue over 200 matrices of Laplace entries, beside the Gaussian edge and ours."""
    rng = np.random.default_rng(0)
    N = M = 60
    centre, scale = edge_law.centre_and_scale(N, M)
    gaussian, ours = [], []
    for _ in range(200):
        V = rng.laplace(size=(N, M))
        entries = read_entries(V.ravel())
        largest = np.linalg.svd(V, compute_uv=False)[0] ** 2 / np.var(V)
        gaussian.append((largest - centre) / scale)
        ours.append((largest - edge_law.edge(N, M, entries.k4, entries.k6)) / scale)
    # The law has mean -1.207 and standard deviation 1.268: .09 for the mean of 200. At this size the sixth cumulant is
    # no small term any more: ours is off by less than .6, to the safe side, the Gaussian edge by almost 1.
    assert -1.8 < np.mean(ours) < -1.2
    assert np.mean(gaussian) > -0.5


def test_pvalue_of_exact_noise_is_calibrated():
    """Bidiagonal form of normal noise (Dumitriu and Edelman 2002) at 300 x 300, 300 draws, level .05."""
    from scipy.linalg import eigh_tridiagonal

    rng = np.random.default_rng(1)
    N = M = 300
    found = 0
    for _ in range(300):
        diagonal, below = np.sqrt(rng.chisquare(N - np.arange(M))), np.sqrt(rng.chisquare(M - 1 - np.arange(M - 1)))
        squares = diagonal**2
        squares[1:] += below**2
        pair = {"select": "i", "select_range": (M - 1, M - 1), "eigvals_only": True}
        largest = eigh_tridiagonal(squares, diagonal[:-1] * below, **pair)[0]
        found += edge_law.edge_pvalue(largest * N * M / squares.sum(), N, M) <= 0.05
    # 15 expected, standard deviation 3.8; both bounds have a chance of about 1e-3.
    assert 5 <= found <= 28


def test_entries_that_stand_apart_do_not_inflate_the_noise():
    W = np.random.default_rng(0).normal(size=(200, 100))
    W[0, 0], W[5, 5] = 1e8, -400.0
    entries = read_entries(W.ravel())
    assert entries.apart.tolist() == pytest.approx([1e8, 400], rel=1e-3)
    assert math.sqrt(entries.variance) == pytest.approx(1, abs=0.02)
    assert abs(entries.mean) < 0.03
    assert abs(entries.k4) < 0.2


def test_a_heavy_tail_is_its_own_explanation():
    """Student's t of 3 degrees: by the edge of normal entries a quarter of the matrices is trapped."""
    rng = np.random.default_rng(2)
    reports = [ww.find_traps(rng.standard_t(3, size=(100, 100)), seed=number) for number in range(40)]
    by_normal_edge = [edge_law.edge_pvalue(report.lambda_max / report.sigma**2, 100, 100) for report in reports]
    assert sum(report.count > 0 for report in reports) <= 4
    assert np.sum(np.array(by_normal_edge) <= 0.01) >= 10


def test_report_says_where():
    W = np.random.default_rng(3).normal(size=(300, 200))
    W[132, 17] = 40.0
    report = ww.find_traps(W)
    assert report.count == 1
    assert report.indices.tolist() == [[132, 17]]
    assert 0.5 < report.leverage[0] <= 1
    assert "element (132, 17) = +40" in report.sentence
    assert report.strength == pytest.approx(40 / math.sqrt(300), rel=0.05)
    assert report.strength > report.threshold
    assert report.lambda_max > report.edge


def test_report_names_a_row_a_column_and_a_shift():
    W = np.random.default_rng(3).normal(size=(300, 200))
    row, column = W.copy(), W.copy()
    row[12, ::40] += 50
    column[::60, 5] += 50
    assert "elements in row 12" in ww.find_traps(row).sentence
    assert "elements in column 5" in ww.find_traps(column).sentence
    shifted = ww.find_traps(W + 0.8)
    assert "mean shift +0.8" in shifted.sentence
    assert shifted.indices.shape == (0, 2)
    assert shifted.strength == pytest.approx(0.8 * math.sqrt(200), rel=0.05)


def test_transpose_is_shuffled_alike_even_when_square():
    W, truth = matrices.element_trap(80, 80, 2.5, 1)
    one, other = ww.find_traps(W), ww.find_traps(W.T)
    assert one.lambda_max == other.lambda_max
    assert other.indices.tolist() == [list(truth.element[::-1])]


def test_the_shuffle_can_be_undone():
    tall = np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)
    shuffled = shuffle(tall, (4, 0))
    sources = sources_of(np.arange(600), (30, 20), (4, 0))
    np.testing.assert_array_equal(tall.reshape(-1)[sources], shuffled.reshape(-1))
    assert not np.array_equal(tall, shuffled)


def test_leading_eigenvalues_of_large_matrices():
    """Lanczos from 1501 columns on; the spectrum is known by construction, so that no LAPACK is needed."""
    size = 1504
    reflector = np.random.default_rng(0).normal(size=size)
    reflector /= np.linalg.norm(reflector)
    turn = np.eye(size) - 2 * np.outer(reflector, reflector)
    spectrum = np.linspace(0.1, 4, size)
    spectrum[-2:] = 5.0, 7.0
    gram = (turn * spectrum) @ turn
    values, vectors = Leading(np.asfortranarray(np.tril(gram))).largest(3)
    np.testing.assert_allclose(values, [7.0, 5.0, spectrum[-3]], rtol=1e-9)
    np.testing.assert_allclose(gram @ vectors, vectors * values, atol=1e-6)
    again, _ = Leading(np.asfortranarray(np.tril(gram))).largest(3)
    assert again.tolist() == values.tolist()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_torch_tensors_keep_their_type(dtype):
    W = torch.randn(200, 120, generator=torch.Generator().manual_seed(0)).to(dtype)
    W[5, 6] = 40.0
    before = W.clone()
    cleaned = ww.remove_traps(W)
    assert isinstance(cleaned, torch.Tensor)
    assert cleaned.dtype == dtype
    assert torch.equal(W, before)
    assert int((cleaned != W).sum()) == 1
    assert ww.find_traps(cleaned).count == 0
    assert ww.find_traps(W).indices.tolist() == [[5, 6]]


def test_removal_of_many_keeps_the_rest():
    W = np.random.default_rng(5).normal(size=(300, 200)).astype(np.float32)
    planted = W.copy()
    for place in range(6):
        planted[17 * place, 31 * place] = 30 + 10 * place
    cleaned = ww.remove_traps(planted + np.float32(0.4))
    assert cleaned.dtype == np.float32
    assert ww.find_traps(cleaned).count == 0
    np.testing.assert_array_equal(ww.remove_traps(cleaned), cleaned)
    untouched = planted == W
    moved = (planted + np.float32(0.4) - cleaned)[untouched]
    assert np.ptp(moved) < 1e-6
    assert moved.mean() == pytest.approx(0.4, abs=0.02)


def test_an_outlier_that_nothing_carries_is_shrunk():
    """Noise that a strict level calls trapped: every entry moves by far less than its noise."""
    found = None
    for number in range(60):
        W = np.random.default_rng(number).normal(size=(40, 40))
        report = ww.find_traps(W, level=0.2)
        if report.count and all(trap.carrier == "spread" for trap in report.traps):
            found = W, report
            break
    assert found is not None
    W, report = found
    cleaned = ww.remove_traps(W, report)
    assert ww.find_traps(cleaned, level=0.2).count == 0
    assert np.abs(cleaned - W).max() < 0.5
    assert "no element and no shift" in report.sentence


def test_permutation_pvalue_counts_shuffles_of_the_other_entries():
    W = np.random.default_rng(7).normal(size=(120, 80))
    plain = ww.find_traps(W, n_permutations=19)
    assert 0.05 <= plain.pvalue_permutation <= 1
    assert math.isnan(ww.find_traps(W).pvalue_permutation)
    W[3, 4] = 40
    assert ww.find_traps(W, n_permutations=19).pvalue_permutation == pytest.approx(0.05)
    assert ww.find_traps(W + 1, n_permutations=19).pvalue_permutation == pytest.approx(0.05)


def test_kernel_slices_are_judged_together():
    K = np.random.default_rng(0).normal(size=(32, 16, 3, 3))
    assert ww.find_traps(K).count == 0
    K[4, 5, 1, 2] = 20
    report = ww.find_traps(K)
    assert report.count == 1
    assert report.indices.tolist() == [[4, 5, 1, 2]]
    cleaned = ww.remove_traps(K, report)
    assert np.argwhere(cleaned != K).tolist() == [[4, 5, 1, 2]]
    slices = [K[:, :, i, j] for i in range(3) for j in range(3)]
    pooled = find_traps_of(slices)
    assert (pooled.count, pooled.pvalue) == (report.count, report.pvalue)
    assert trap_row(slices)["trap_count"] == 1


TINY = 1e-200 * np.random.default_rng(0).normal(size=(30, 30))


@pytest.mark.parametrize("power", [-1000, -560, 500, 1000])
def test_traps_do_not_depend_on_the_scale(power):
    """To the last bit at powers of two, also where squares overflow or vanish; raw numbers are NaN there."""
    W = np.random.default_rng(0).normal(size=(60, 40))
    W[13, 17] = 30
    one, other = ww.find_traps(W), ww.find_traps(np.ldexp(W, power))
    assert (one.count, one.pvalue, one.strength) == (other.count, other.pvalue, other.strength)
    assert one.count == 1
    assert one.indices.tolist() == other.indices.tolist() == [[13, 17]]
    assert other.sigma == math.ldexp(one.sigma, power)
    assert np.isnan(other.lambda_max) == np.isnan(other.traps[0].eigenvalue) == (abs(power) > 512)
    assert ww.find_traps(ww.remove_traps(np.ldexp(W, power))).count == 0


@pytest.mark.parametrize(
    "W,why",
    [
        (np.zeros((40, 30)), "zero"),
        (np.full((40, 30), 0.25), "equal"),
        (np.full((30, 30), np.nan), "900 NaN and 0 Inf"),
        (np.where(np.eye(30) > 0, np.inf, 1.0), "0 NaN and 30 Inf"),
        (np.ones((1, 50)), "too few"),
        (np.empty((0, 5)), "too few"),
        (np.where(np.arange(900).reshape(30, 30) == 7, 1.0, TINY), "variance"),
    ],
)
def test_without_noise_there_is_a_reason_and_no_number(W, why):
    report = ww.find_traps(W)
    assert why in report.reason
    assert report.count == 0
    assert not report.is_defined
    for number in (report.lambda_max, report.edge, report.strength, report.pvalue, report.sigma):
        assert math.isnan(number)
    assert report.reason in report.sentence
    np.testing.assert_array_equal(ww.remove_traps(W), W)
    assert all(math.isnan(value) for value in trap_row([W]).values())


def test_misuse_is_refused():
    W = np.random.default_rng(0).normal(size=(30, 20))
    for options in ({"seed": -1}, {"seed": 0.5}, {"level": 0}, {"level": 1.5}, {"n_permutations": 0}):
        with pytest.raises(ww.InvalidInput, match="was asked"):
            ww.find_traps(W, **options)
    with pytest.raises(ww.InvalidInput):
        ww.find_traps(np.arange(5.0))
    with pytest.raises(ww.InvalidInput, match="floats"):
        ww.remove_traps(np.arange(600).reshape(30, 20))
    with pytest.raises(ww.InvalidInput, match="shape"):
        ww.remove_traps(W, ww.find_traps(W.T))
    with pytest.raises(ww.InvalidInput):
        find_traps_of([])


def test_host_generator_is_left_alone():
    state = np.random.get_state()[1].tolist()
    ww.find_traps(ensembles.gaussian_matrix(60, 40, 0), n_permutations=3)
    assert np.random.get_state()[1].tolist() == state


def test_columns_and_state_of_a_trapped_layer():
    weights = {
        "plain.weight": ensembles.gaussian_matrix(120, 100, 0),
        "trapped.weight": ensembles.gaussian_matrix(120, 100, 1),
    }
    weights["trapped.weight"][7, 9] = 40
    weights["zero.weight"] = np.zeros((60, 50))
    frame = ww.analyze(weights, randomize=True, seed=3, progress=False).set_index("longname")
    assert frame.loc["plain", "trap_count"] == 0
    assert frame.loc["trapped", "trap_count"] == 1
    assert frame.loc["trapped", "setol_state"] == "undetermined"
    assert frame.loc["trapped", "setol_flags"] == "little power, trap: element"
    assert "1 trap: element (7, 9)" in frame.loc["trapped", "setol_reason"]
    assert frame.loc["plain", "setol_flags"] == ""
    assert frame.loc["zero", [name for name in frame if name.startswith("trap_")]].isna().all()
    direct = ww.find_traps(weights["trapped.weight"].astype(np.float32), seed=3)
    assert frame.loc["trapped", "trap_lambda_max"] == pytest.approx(direct.lambda_max, rel=1e-6)
    assert not [name for name in ww.analyze(weights, progress=False) if name.startswith("trap_")]


def test_tall_entries_take_the_same_orientation_of_a_square_matrix():
    W = np.random.default_rng(0).normal(size=(20, 20))
    np.testing.assert_array_equal(tall_entries(W)[0], tall_entries(W.T)[0])
    np.testing.assert_array_equal(tall_entries(-W)[0], -tall_entries(W)[0])


#: In what entries are read and shuffled: small matrices, and such as are larger than the cache.
READ_AS = {
    **dict.fromkeys((torch.float32, np.float32, torch.int8, torch.float8_e4m3fn), ("float32",) * 2),
    **dict.fromkeys((torch.float64, np.float64, torch.int64, torch.int32, np.int64, np.int8), ("float64",) * 2),
    torch.float16: ("float32", "float16"),
    np.float16: ("float32", "float16"),
    torch.bfloat16: ("float32", "bfloat16"),
}


@pytest.mark.parametrize("dtype", READ_AS, ids=str)
def test_entries_are_read_as_widely_as_they_need(dtype, monkeypatch):
    """A large matrix of 16 bits is not made twice as large; no whole number loses a digit."""
    W = np.arange(60).reshape(10, 6) % 9
    given = torch.from_numpy(W).to(dtype) if isinstance(dtype, torch.dtype) else W.astype(dtype)
    found = [tall_entries(given)[0]]
    monkeypatch.setattr(shuffles, "IN_CACHE", 59)
    found.append(tall_entries(given)[0])
    assert tuple(str(one.dtype).removeprefix("torch.") for one in found) == READ_AS[dtype]
    for one in found:
        assert np.array_equal(one if isinstance(one, np.ndarray) else one.double().numpy(), W)


def spiked() -> np.ndarray:
    W = np.random.default_rng(0).normal(size=(300, 200))
    W[132, 17] = 40
    return W


FORMS = {
    "C": lambda W: W,
    "Fortran": np.asfortranarray,
    "turned": lambda W: W.T.copy().T,
    "float64": lambda W: W.astype(np.float64),
    "float16": lambda W: W.astype(np.float16),
    "torch": torch.from_numpy,
    "torch, turned": lambda W: torch.from_numpy(W.T.copy()).T,
    "parameter": lambda W: torch.nn.Parameter(torch.from_numpy(W)),
    "bfloat16": lambda W: torch.from_numpy(W).bfloat16(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("is_wide", [False, True])
def test_a_large_layer_is_shuffled_without_touching_it(form, is_wide, monkeypatch):
    """Large ones are shuffled in place where that is a copy of our own; the report is that of a small one."""
    W = FORMS[form](spiked().astype(np.float32).T.copy() if is_wide else spiked().astype(np.float32))
    before = W.detach().clone() if hasattr(W, "detach") else W.copy()
    small = ww.find_traps(W)
    monkeypatch.setattr(shuffles, "IN_CACHE", 0)
    large = ww.find_traps(W)
    assert (large.count, large.elements[0].index) == (1, (17, 132) if is_wide else (132, 17))
    assert large.sentence == small.sentence
    assert large.lambda_max == pytest.approx(small.lambda_max, rel=1e-6)
    assert bool((W == before).all())


@pytest.mark.parametrize("order", ["fortran", "torch permuted"])
def test_kernels_of_any_order_in_memory_are_cleaned(order):
    K = np.random.default_rng(0).normal(size=(64, 48, 3, 3))
    K[5, 6, 1, 2] = 40
    given = (
        np.asfortranarray(K)
        if order == "fortran"
        else torch.from_numpy(K.transpose(3, 2, 0, 1).copy()).permute(2, 3, 1, 0)
    )
    cleaned = ww.remove_traps(given)
    assert type(cleaned) is type(given)
    assert np.argwhere(np.asarray(cleaned) != K).tolist() == [[5, 6, 1, 2]]
    assert ww.find_traps(cleaned).count == 0


@pytest.mark.parametrize(
    ("scale", "dtype"),
    [*((scale, "f8") for scale in (1e-135, 1e-60, 1e60, 1e145)), *((scale, "f4") for scale in (1e-37, 1e-30, 1e36))],
)
def test_the_scale_of_the_weights_does_not_matter(scale, dtype):
    W = spiked()
    scaled = (W * scale).astype(dtype)
    plain, report = ww.find_traps(W), ww.find_traps(scaled)
    assert (report.count, report.indices.tolist()) == (1, [[132, 17]])
    assert report.traps[0].carrier == "element"
    assert report.elements[0].sigmas == pytest.approx(plain.elements[0].sigmas, rel=1e-5)
    assert math.log(report.pvalue) == pytest.approx(math.log(plain.pvalue), rel=1e-3)
    for name, power in (("lambda_max", 2), ("edge", 2), ("sigma", 1), ("mean", 1), ("strength", 0)):
        assert getattr(report, name) == pytest.approx(getattr(plain, name) * scale**power, rel=1e-4, abs=0)
    assert report.traps[0].eigenvalue == report.lambda_max
    cleaned = ww.remove_traps(scaled)
    assert np.argwhere(cleaned != scaled).tolist() == [[132, 17]]
    assert cleaned[132, 17] == pytest.approx(plain.mean * scale, rel=1e-3, abs=0)


@pytest.mark.parametrize("scale", [1e-60, 1e60])
def test_shifts_permutations_and_spread_outliers_at_any_scale(scale):
    W = np.random.default_rng(0).normal(size=(120, 80))
    shifted = ww.remove_traps((W + 0.8) * scale) / scale
    np.testing.assert_allclose(shifted, ww.remove_traps(W + 0.8), atol=1e-9)
    plain, scaled = (ww.find_traps(W * unit, n_permutations=9).pvalue_permutation for unit in (1, scale))
    assert scaled == plain
    W = np.random.default_rng(7).normal(size=(40, 40))
    loose, report = (ww.find_traps(W * unit, level=0.2) for unit in (1, scale))
    assert [trap.carrier for trap in loose.traps] == [trap.carrier for trap in report.traps] == ["spread"]
    cleaned = ww.remove_traps(W * scale, report) / scale
    np.testing.assert_allclose(cleaned, ww.remove_traps(W, loose), atol=1e-9)


def test_an_element_beyond_all_squares_does_not_hide_the_others():
    """The sixth power of the noise beside it is no number of float64 any more."""
    W = spiked()
    W[3, 4] = 1e60
    assert {tuple(place) for place in ww.find_traps(W).indices.tolist()} >= {(3, 4)}
    entries = read_entries(W.ravel())
    assert abs(entries.k4) < 0.1
    assert abs(read_entries(W.ravel() * 1e-60).k6) == pytest.approx(abs(entries.k6), rel=1e-6)


def test_survival_of_nan_is_nan():
    assert math.isnan(edge_law.tracy_widom_sf(math.nan))


def test_lanczos_that_does_not_converge_is_no_end(monkeypatch):
    def failing(product, k, **options):
        raise ArpackNoConvergence("no convergence (%s iterations, %s/%s eigenvectors converged)", [], [])

    usual = ww.find_traps(spiked())
    monkeypatch.setattr(leading, "DENSE_SIDE", 20)
    monkeypatch.setattr(leading, "eigsh", failing)
    assert ww.find_traps(spiked()).sentence == usual.sentence


def test_eigenvalues_that_do_not_converge_are_none(monkeypatch):
    """LAPACK's status is heeded: a solver that gave up gives no eigenvalues."""

    def failing(name, *arguments):
        real(name, *arguments)
        arguments[-1][:] = 3

    real, solver = symmetric.call, leading.Leading(np.diag([3.0, 1.0, 2.0, 5.0]))
    np.testing.assert_allclose(solver.all(), [1, 2, 3, 5])
    monkeypatch.setattr(symmetric, "call", failing)
    with pytest.raises(np.linalg.LinAlgError, match="dsterf"):
        solver.all()


def test_a_sum_beyond_all_numbers_is_no_warning():
    """Entries that are finite while their sum is not."""
    W = np.random.default_rng(0).uniform(0.5, 1.0, size=(60, 40)) * 1e308
    assert ww.find_traps(W).sentence == ww.find_traps(W / 1e308).sentence


def test_a_solver_that_fails_costs_one_layer(monkeypatch):
    from setol_ww.watcher import subclass

    def failing(matrices, **options):
        if matrices[0].shape == (50, 40):
            raise np.linalg.LinAlgError("did not converge")
        return find_traps_of(matrices, **options)

    monkeypatch.setattr(subclass, "find_traps_of", failing)
    weights = {
        f"{name}.weight": ensembles.gaussian_matrix(50 + place % 2, 40, place) for place, name in enumerate("abc", 1)
    }
    weights["d.weight"] = ensembles.gaussian_matrix(60, 40, 5) * 1e-60
    frame = ww.analyze(weights, randomize=True, progress=False).set_index("longname")
    assert "did not converge" in frame.loc["b", "reason"]
    assert frame.loc["b", "status"] == "failed"
    assert math.isnan(frame.loc["b", "trap_pvalue"])
    assert (frame.loc[["a", "c", "d"], "trap_count"] == 0).all()


def quantised(W: np.ndarray, bits: int) -> np.ndarray:
    step = np.abs(W).max() / (2 ** (bits - 1) - 1)
    return np.round(W / step) * step


def in_fp8(W: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(W).to(torch.float8_e4m3fn)


@pytest.mark.parametrize("store", [in_fp8, lambda W: quantised(W, 8), lambda W: quantised(W, 6)])
def test_traps_in_quantised_weights(store):
    report = ww.find_traps(store(spiked()))
    assert report.indices.tolist() == [[132, 17]]
    assert report.pvalue < 1e-20


def test_false_positives_in_quantised_weights():
    """At the rate of the same matrices in float64 (measured in docs/traps.md), for normal and for heavy tails."""
    rng = np.random.default_rng(11)
    for draw, most in ((lambda: rng.normal(size=(100, 60)), 3), (lambda: rng.standard_t(3, size=(100, 60)), 7)):
        samples = [draw() for _ in range(40)]
        for store in (in_fp8, lambda W: quantised(W, 8)):
            assert sum(ww.find_traps(store(W)).count > 0 for W in samples) <= most


def test_without_a_tail_nothing_is_claimed_of_large_elements():
    signs = np.sign(np.random.default_rng(0).normal(size=(300, 200)))
    # No sign is larger than another: the edge alone decides.
    assert 0.01 < ww.find_traps(signs).pvalue < 1
    signs[132, 17] = 40
    report = ww.find_traps(signs)
    assert report.count == 0
    assert math.isnan(report.pvalue)
    assert "too few distinct sizes" in report.reason
    assert "No trap" not in report.sentence


def test_fp8_is_cleaned_in_its_own_type():
    W = np.random.default_rng(0).normal(size=(300, 200)) + 0.3
    W[132, 17] = 40
    given = in_fp8(W)
    cleaned = ww.remove_traps(given)
    assert cleaned.dtype == torch.float8_e4m3fn
    assert ww.find_traps(cleaned).count == 0
    assert float(cleaned.float().mean()) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_an_element_has_the_same_index_in_the_table_and_in_the_report(engine):
    model = torch.nn.Sequential(torch.nn.Conv2d(48, 64, 3), torch.nn.Conv2d(64, 48, 3), torch.nn.Conv1d(48, 64, 5))
    with torch.no_grad():
        for layer in model:
            layer.weight[(5, 6, 1, 2)[: layer.weight.ndim]] = 3
    reasons = ww.analyze(model, randomize=True, progress=False, engine=engine).setol_reason.tolist()
    assert len(reasons) == 3
    for layer, reason in zip(model, reasons):
        place = tuple(ww.find_traps(layer.weight).indices[0].tolist())
        assert place == (5, 6, 1, 2)[: layer.weight.ndim]
        assert f"element {place} " in reason


def test_a_scan_names_the_same_index(tmp_path):
    weight = torch.randn(48, 64, 3, 3, generator=torch.Generator().manual_seed(0))
    weight[5, 6, 1, 2] = 40
    torch.save({"conv.weight": weight}, tmp_path / "model.pt")
    frame = ww.scan(tmp_path / "model.pt", randomize=True)
    assert "element (5, 6, 1, 2) " in getattr(frame, "details", frame).setol_reason.iloc[0]


def test_odd_input_is_refused_in_words():
    W = spiked()
    for call in (ww.find_traps, ww.remove_traps):
        with pytest.raises(ww.InvalidInput, match="one length"):
            call([[1.0, 2.0], [3.0]])
    with pytest.raises(ww.InvalidInput, match="kernel"):
        ww.find_traps(np.empty((5, 4, 0)))
    assert "too few" in ww.find_traps(np.empty((0, 5, 3))).reason
    with pytest.raises(ww.InvalidInput, match="level"):
        ww.find_traps(W, level="x")
    with pytest.raises(ww.InvalidInput, match="report"):
        ww.remove_traps(W, report=3)
    report = ww.find_traps(W)
    assert (report == report, report == ww.find_traps(W)) == (True, False)


ENTRIES = {
    "t(2.2)": lambda rng: rng.standard_t(2.2, size=(256, 256)),
    "t(3)": lambda rng: rng.standard_t(3, size=(256, 256)),
    "t(5)": lambda rng: rng.standard_t(5, size=(256, 256)),
    "normal": lambda rng: rng.normal(size=(256, 256)),
}


@pytest.mark.parametrize("law", ENTRIES)
def test_a_shift_of_three_thresholds_is_found_under_any_tail(law):
    """In 19 of 20 draws at level .01; without the shift there is none, and an edge is told or said to be none."""
    found = false = 0
    for seed in range(20):
        W = ENTRIES[law](np.random.default_rng(seed))
        W /= W.std()
        shifted = ww.find_traps(W + 3 / 16, seed=0)
        found += any(trap.carrier == "mean shift" for trap in shifted.traps)
        assert not shifted.edge > 1.3 * shifted.lambda_max
        assert math.isnan(shifted.edge) == bool(shifted.edge_reason)
        assert not shifted.edge_reason or "There is no edge" in shifted.sentence
        false += any(trap.carrier == "mean shift" for trap in ww.find_traps(W, seed=0).traps)
    assert found >= 19
    assert false == 0


def test_heavy_elements_are_no_traps_without_an_edge():
    counted = [ww.find_traps(ENTRIES["t(2.2)"](np.random.default_rng(seed))).count for seed in range(20)]
    assert sum(count > 0 for count in counted) <= 2
    W = ENTRIES["t(2.2)"](np.random.default_rng(0))
    W[3, 4] = 3000 * np.median(np.abs(W))
    report = ww.find_traps(W)
    assert report.indices.tolist() == [[3, 4]]


def test_each_pvalue_belongs_to_its_own_trap():
    W = ensembles.gaussian_matrix(300, 200, 0)
    W[132, 17] = 22
    report = ww.find_traps(W + 0.2)
    by_carrier = {trap.carrier: trap.pvalue for trap in report.traps}
    assert set(by_carrier) == {"element", "mean shift"}
    assert f"element (132, 17) = +22.0 sigma (p = {by_carrier['element']:.1g})" in report.sentence
    assert "mean shift +0.2 sigma (p < 1e-300)" in report.sentence


def test_sizes_of_so_many_bins_are_spread():
    """Two sizes say nothing of a law between; three do, and those that are all distinct stay."""
    for sizes, spread in (([2.0, 2.0, 1.0, 1.0], False), ([3.0, 2.0, 2.0, 1.0], True), ([3.0, 2.0, 1.0], False)):
        found = spread_ties(np.array(sizes), lambda: 1)
        assert np.array_equal(found, sizes) != spread
        assert found.size == len(sizes)
        assert np.all(np.diff(found) <= 0)


def test_the_tail_of_entries_is_in_their_unit():
    largest = np.sort(np.random.default_rng(0).exponential(size=300))[::-1] + 5
    one, thousand = fit_tail_of_entries(largest), fit_tail_of_entries(largest * 1024)
    assert thousand.width == pytest.approx(1024 * one.width, rel=1e-9)
    assert one.width == pytest.approx(1.0, rel=0.2)


def test_the_pilot_elements_are_a_prime_number():
    assert elements.PILOT > 2**16
    assert all(elements.PILOT % divisor for divisor in range(2, math.isqrt(elements.PILOT) + 1))


@pytest.mark.parametrize(
    ("number", "kernel", "shape"),
    [(1, None, (30, 20)), (3, None, (30, 20, 3)), (4, (2, 2), (30, 20, 2, 2)), (1, (1, 1), (30, 20, 1, 1))],
)
def test_the_shape_of_what_was_searched(number, kernel, shape):
    matrices = np.random.default_rng(0).normal(size=(number, 30, 20))
    assert find_traps_of(list(matrices), kernel=kernel).shape == shape


@pytest.mark.parametrize("draw", [14, 76])
def test_a_shift_behind_a_large_element_of_a_known_edge_is_found(draw):
    """The largest element is one that the others' tail explains, and there is an edge: what lies behind it is seen."""
    rng = np.random.default_rng([20_261_126, draw, *b"Student t2.2"])
    W = rng.standard_t(2.2, size=(256, 256))
    W /= W.std()
    before, after = ww.find_traps(W, seed=draw), ww.find_traps(W + 3 / 16, seed=draw)
    assert math.isfinite(before.edge)
    assert before.count == 0
    assert before.lambda_max > 1.3 * before.edge
    assert [trap.carrier for trap in after.traps] == ["mean shift"]


def test_without_an_edge_an_element_speaks_beyond_the_start_of_the_tail_alone():
    told = SimpleNamespace(tail=SimpleNamespace(start=3.0), tail_pvalue=lambda size, rank: 0.01 * rank)
    none = SimpleNamespace(tail=None, tail_pvalue=told.tail_pvalue)
    assert [search._element_pvalue(told, size, 2, True) for size in (2.9, 3.0, 3.1)] == [1.0, 1.0, 0.02]
    assert [search._element_pvalue(told, size, 2, False) for size in (2.9, 3.0, 3.1)] == [0.02] * 3
    assert [search._element_pvalue(none, 9.0, 1, edgeless) for edgeless in (True, False)] == [1.0, 0.01]


def test_ties_are_spread_over_half_the_smaller_gap():
    """Sizes 1, 3 and 7, two, three and one of them: the middles of equal parts of bins as wide as the smaller gap."""
    spread = elements.spread_ties(np.array([7.0, 3.0, 3.0, 3.0, 1.0, 1.0]), lambda: 2)
    assert spread == pytest.approx([7.0, 3 + 2 / 3, 3.0, 3 - 2 / 3, 1.5, 0.5])
    # Of four elements of size 1 the upper two are there.
    cut = elements.spread_ties(np.array([7.0, 3.0, 3.0, 3.0, 1.0, 1.0]), lambda: 4)
    assert cut[-2:] == pytest.approx([1.75, 1.25])


def test_lanczos_without_convergence_is_none_and_said(monkeypatch, caplog):
    def failing(*_, **__):
        raise ArpackNoConvergence("no convergence (%s iterations, %s/%s eigenvectors converged)", [], [])

    monkeypatch.setattr(leading, "eigsh", failing)
    with caplog.at_level("INFO", logger="setol_ww"):
        assert leading.by_lanczos(lambda vector: vector, 50, 2) is None
    assert "Lanczos of side 50" in caplog.text


def test_the_excess_of_a_shuffle_is_without_the_elements_that_stand_apart():
    W = np.random.default_rng(0).normal(size=(90, 60))
    W[3, 5] = 60.0
    (seen, _), (plain, _) = look(W, (0, 0), 0.05), look(np.where(W == 60.0, 0.0, W), (0, 0), 0.05)
    assert (seen.entries.apart.size, plain.entries.apart.size) == (1, 0)
    assert search.reference_excess(W, seen, (1,)) < 5
    assert search.reference_excess(W, replace(seen, entries=plain.entries), (1,)) > 50


def test_a_matrix_is_reduced_at_once_where_that_is_asked():
    matrix = np.asfortranarray(np.diag([1.0, 5.0, 2.0, 0.5]))
    assert [Leading(matrix.copy(order="F"), reduced=reduced).is_reduced for reduced in (True, False)] == [True, False]
