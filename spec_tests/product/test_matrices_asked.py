"""Linear algebra asked in every form, against numpy's: shapes, scales, blocks, what is not finite."""

from __future__ import annotations

import ctypes
import logging
import math
import sys
import tracemalloc

import numpy as np
import pytest
import threadpoolctl
import torch
from scipy.sparse.linalg import ArpackError

from fixtures.ensembles import gaussian_matrix
from setol_ww.core.errors import InvalidInput
from setol_ww.linalg import buckets, device, leading, routines, shuffles, subspaces, symmetric
from setol_ww.linalg import eigenvalues as eigen
from setol_ww.linalg.buckets import Buckets
from setol_ww.linalg.decomposed import Decomposed
from setol_ww.linalg.device import device_equal_eigenvalues, times_power_of_two
from setol_ww.linalg.directions import directions, factors, project, projected_blocks
from setol_ww.linalg.rounding import rounding_of, significand
from setol_ww.linalg.scaled import Scaled, is_moderate, moderate, representable, with_one_exponent
from setol_ww.linalg.shuffled import ShuffledHere
from setol_ww.linalg.svd import svd
from setol_ww.linalg.symmetric import symmetric_eigenpairs, symmetric_eigenvalues, tridiagonal
from setol_ww.theory.laws import edge

NAN, INF = math.nan, math.inf
SHAPES = [(1, 1), (1, 5), (5, 1), (7, 7), (31, 20), (20, 31), (33, 33), (70, 40), (40, 70)]


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of few lines, so that every shape has several."""
    monkeypatch.setattr(eigen, "BLOCK_ELEMENTS", 48)


def forms(W: np.ndarray) -> list:
    """One matrix as rows and columns in memory, as a part of a larger one, as a tensor."""
    larger = np.zeros((2 * W.shape[0], W.shape[1] + 1))
    larger[::2, 1:] = W
    return [W, np.asfortranarray(W), larger[::2, 1:], torch.from_numpy(W.copy()), torch.from_numpy(W.T.copy()).T]


# Eigenvalues.


@pytest.mark.parametrize("shape", SHAPES)
def test_gram_triangle_and_values_are_numpys(shape, small_blocks):
    W = gaussian_matrix(*shape, seed=1)
    tall = W if shape[0] >= shape[1] else W.T
    sigma = np.linalg.svd(W, compute_uv=False)
    for form in forms(W):
        for exponent in (0, 3, -2):
            units = 2.0**-exponent
            gram, triangle = eigen.gram(form, exponent), eigen.triangle(form, exponent)
            np.testing.assert_allclose(np.tril(gram), np.tril(tall.T @ tall) * units**2, atol=1e-12)
            assert np.count_nonzero(np.triu(gram, 1)) == np.count_nonzero(np.tril(triangle, -1)) == 0
            np.testing.assert_allclose(triangle.T @ triangle, tall.T @ tall * units**2, atol=1e-11)
            np.testing.assert_allclose(eigen.singular_values(form, exponent), sigma[::-1] * units, rtol=1e-9)
        found = eigen.scaled_eigenvalues(form)
        assert (found.exponent, found.values.dtype, found.values.shape) == (0, np.float64, sigma.shape)
        np.testing.assert_allclose(found.values, sigma[::-1] ** 2, rtol=1e-9)


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0)])
def test_a_matrix_without_entries_has_no_values(shape):
    W = np.empty(shape)
    assert eigen.eigenvalues(W).shape == eigen.singular_values(W).shape == (0,)
    assert eigen.gram(W).shape == eigen.triangle(W).shape == (0, 0)
    assert eigen.scaled_eigenvalues_of([W, W], "cuda")[1].plain.shape == (0,)
    found = directions(W)
    assert (found.sigma.shape, found.vectors.shape, found.exponent) == ((0,), (0, 0), 0)
    assert Decomposed(W).eigenvalues.plain.shape == (0,)
    assert project(W, 0).shape == shape


@pytest.mark.parametrize("power", [-1060, -701, -160, -140, 141, 160, 500, 1000])
@pytest.mark.parametrize("shape", [(12, 8), (8, 12)])
def test_entries_of_any_size_have_the_values_of_entries_near_one(shape, power, small_blocks):
    """To the last bit where a power of two is all that differs, at both ends of float64 too."""
    W = np.round(gaussian_matrix(*shape, seed=2) * 2**12) / 2**12
    sigma = np.linalg.svd(W, compute_uv=False)
    far, rounding = np.ldexp(W, power), 1e-9 + 2.0 ** (max(-1074, -1074 - power) + 2)
    found = eigen.scaled_eigenvalues(far)
    roots = np.ldexp(np.sqrt(found.values), found.exponent // 2 - power)
    assert found.exponent % 2 == 0
    assert (found.exponent == 0) == (abs(power) < 150)
    np.testing.assert_allclose(roots[::-1], sigma, rtol=1e-9)
    ways = directions(far)
    np.testing.assert_allclose(np.ldexp(ways.sigma, ways.exponent - power), sigma, rtol=1e-9)
    kept = np.array([0, 2])
    U, _, V = np.linalg.svd(W, full_matrices=False)
    truth = (U[:, kept] * sigma[kept]) @ V[kept]
    part = np.concatenate([block.copy() for block in projected_blocks(far, ways, kept)])
    part = part if shape[0] >= shape[1] else part.T
    np.testing.assert_allclose(np.ldexp(part, -power), truth, atol=rounding)
    left, right = factors(far, ways, kept)
    np.testing.assert_allclose(np.ldexp(left, -(power // 2)) @ np.ldexp(right, power // 2 - power), truth, atol=1e-9)
    # Of balanced size: neither has more than its half of the power, but for an odd one.
    assert 2.0**-4 < np.abs(left).max() / np.abs(right).max() < 2.0**4


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("at", [(0, 0), (9, 4), (29, 5)])
def test_what_is_not_finite_has_no_values_wherever_it_stands(dtype, bad, at, small_blocks):
    W = gaussian_matrix(30, 6, seed=3).astype(dtype)
    W[at] = bad
    for form in (W, W.T, torch.from_numpy(W)):
        assert eigen.size_exponent(form) is None
        with np.errstate(invalid="ignore", over="ignore"):
            assert np.isnan(eigen.eigenvalues(form)).tolist() == [True] * 6
            assert directions(form) is None
            found = Decomposed(form)
            assert np.isnan(found.eigenvalues.plain).tolist() == [True] * 6
            assert found.leading(2) is None
            assert subspaces.leading_subspaces([Decomposed(np.eye(30, 6)), Decomposed(W)], 2) is None
    with (
        pytest.raises(InvalidInput, match="entries that are not finite was given; accepted is a finite one"),
        np.errstate(invalid="ignore", over="ignore"),
    ):
        project(W, 1)


def test_the_size_of_a_matrix_is_that_of_its_largest_entry_in_any_block(small_blocks):
    W = np.full((40, 6), 0.25)
    for at in ((0, 0), (20, 3), (39, 5)):
        for largest, exponent in ((1.0, 1), (np.nextafter(1.0, 0), 0), (-3.0, 2), (0.5, 0), (2.0**-1074, -1)):
            W[at] = largest
            assert eigen.size_exponent(W) == eigen.size_exponent(W.T) == exponent
        W[at] = 0.25
    assert eigen.size_exponent(np.zeros((40, 6))) == 0
    assert eigen.size_exponent(np.full((2, 2), 2.0**-1074)) == -1073


@pytest.mark.parametrize("W", [np.zeros((9, 4)), np.zeros((9, 4), dtype=np.float32), torch.zeros(9, 4).bfloat16()])
def test_zeros_have_values_that_are_zero(W, monkeypatch):
    assert eigen.eigenvalues(W).tolist() == [0.0] * 4
    assert Decomposed(W).eigenvalues.plain.tolist() == [0.0] * 4
    found = directions(W)
    assert found.sigma.tolist() == [0.0] * 4
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(4), atol=1e-12)
    for part in factors(W, found, np.array([0, 1])):
        assert not part.any()
    # On a device as well, where the Gram matrix is its own.
    monkeypatch.setattr(eigen, "eigenvalues_on", lambda device, matrix, exponent: np.zeros(4))
    assert eigen.scaled_eigenvalues(W, "stand-in").plain.tolist() == [0.0] * 4


@pytest.mark.parametrize("ratio", [1e-6, 1e-7, 1e-8, 1e-12])
def test_small_values_are_as_exact_as_large_ones(ratio, caplog):
    """Where a Gram matrix does not resolve the smallest its singular values are computed, and told in the log."""
    basis = np.linalg.qr(gaussian_matrix(30, 8, seed=4))[0]
    W = basis * np.append(np.linspace(1, 2, 7), ratio)
    with caplog.at_level(logging.DEBUG, logger="setol_ww"):
        found = eigen.eigenvalues(W)
    resolved = ratio**2 > 100 * 2.0**-52 * 4
    assert ("rank-deficient 30 x 8 matrix: singular values computed" in caplog.text) is not resolved
    assert found[0] == pytest.approx(ratio**2, rel=2 * 2.0**-52 * (4 / ratio**2 if resolved else 8 / ratio))
    W = W.astype(np.float32)
    assert Decomposed(W).eigenvalues.plain == pytest.approx(eigen.eigenvalues(W), rel=1e-12)


def test_deficient_values_on_a_device_are_the_cpus(monkeypatch):
    W = gaussian_matrix(20, 8, seed=5)
    W[:, 3] = W[:, 4]
    truth = eigen.eigenvalues(W)
    asked = []

    def on_device(device, matrix, exponent):
        asked.append((device, exponent))
        tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
        return np.linalg.eigvalsh(tall.T @ tall)

    monkeypatch.setattr(eigen, "eigenvalues_on", on_device)
    assert eigen.eigenvalues(W, "there").tolist() == truth.tolist()
    assert asked == [("there", 0)]
    assert eigen.eigenvalues(W).tolist() == truth.tolist()
    monkeypatch.setattr(eigen, "equal_eigenvalues_on", lambda device, some: [np.linalg.eigvalsh(W.T @ W)] * len(some))
    assert [one.plain.tolist() for one in eigen.scaled_eigenvalues_of([W, W], "there")] == [truth.tolist()] * 2
    for shape in ((5, 1), (1, 5), (1, 1)):
        assert eigen.eigenvalues(np.ones(shape), "there").tolist() == [max(shape)]
    # One alone is asked for as one.
    asked.clear()
    assert eigen.scaled_eigenvalues_of([W], "there")[0].plain.tolist() == truth.tolist()
    assert asked == [("there", 0)]


def test_matrices_of_one_shape_there_each_with_what_is_bad():
    some = [gaussian_matrix(9, 5, seed=n) for n in range(3)]
    some[1][2, 2] = NAN
    found = device_equal_eigenvalues(some, "cpu")
    assert np.isnan(found[1]).all()
    for place in (0, 2):
        np.testing.assert_allclose(found[place], np.linalg.svd(some[place], compute_uv=False)[::-1] ** 2, rtol=1e-9)
    assert times_power_of_two(torch.ones(1, dtype=torch.float64), -1074).item() == 2.0**-1074


def test_blocks_are_one_place_in_memory_in_the_type_that_is_asked():
    W = np.arange(24, dtype=np.int8).reshape(6, 4)
    for form in (W, torch.from_numpy(W.copy())):
        found = [(block.dtype, block.ctypes.data, block.copy()) for block in eigen.blocks(form, 0, elements=8)]
        assert {(dtype, place) for dtype, place, _ in found} == {(np.dtype(np.float64), found[0][1])}
        assert np.concatenate([block for *_, block in found]).tolist() == W.tolist()
        (narrow,) = eigen.blocks(form, 1, dtype=np.float32)
        assert (narrow.dtype, narrow.flags.c_contiguous, narrow.tolist()) == (np.float32, True, W.tolist())
        halves = [block.tolist() for block in eigen.blocks(form, 0, exponent=1)]
        assert halves == [(W / 2).tolist()]
    turned = np.concatenate([block.copy() for block in eigen.row_blocks(W.T)])
    assert turned.tolist() == W.tolist()


def test_a_block_is_a_tenth_of_the_gram_matrix_or_a_quarter_of_a_million_entries():
    for shape, axis, first in (((2**19, 2), 0, 2**17), ((2, 2**19), 1, 2**17), ((3000, 2000), 0, 200), ((5, 2), 0, 5)):
        block = next(eigen.blocks(np.broadcast_to(np.float32(1), shape), axis))
        assert block.shape[axis] == first


# Symmetric matrices.


@pytest.mark.parametrize("side", [1, 2, 3, 4, 40])
def test_pairs_of_a_symmetric_matrix_by_every_way(side, monkeypatch):
    """Of three equal eigenvalues too: orthonormal vectors that the matrix stretches; in Fortran's order or copied."""
    basis = np.linalg.qr(gaussian_matrix(side, side, seed=6))[0]
    values = np.sort(np.append(np.arange(1.0, side - 1), np.full(min(side, 3), 2.5))[:side])
    total = (basis * values) @ basis.T
    lower = np.tril(total) + np.triu(np.full((side, side), 7e7), 1)
    assert symmetric_eigenvalues(np.array(lower, order="F")) == pytest.approx(values, abs=1e-12 * side)
    assert symmetric_eigenvalues(np.array(lower, order="C")) == pytest.approx(values, abs=1e-12 * side)
    found, vectors = symmetric_eigenpairs(np.array(lower, order="F"))
    assert found == pytest.approx(values, abs=1e-12 * side)
    np.testing.assert_allclose(total @ vectors, vectors * found, atol=1e-11)
    diagonal, beside, reflectors = tridiagonal(np.array(lower, order="F"))
    assert (diagonal.size, beside.size, reflectors.size) == (side, side - 1, max(1, side - 1))
    whole = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    assert np.linalg.eigvalsh(whole) == pytest.approx(values, abs=1e-11)
    for reduced, dense in ((False, 1500), (True, 1500), (True, 0)):
        monkeypatch.setattr(leading, "DENSE_SIDE", dense)
        for number in {1, side}:
            pairs = leading.Leading(np.array(lower, order="F"), reduced=reduced)
            assert pairs.is_reduced is reduced
            for largest, ways in (pairs.largest(number), (pairs.many(number)[0][::-1][:number], pairs.many(number)[1])):
                assert largest == pytest.approx(values[::-1][:number], abs=1e-11)
                assert ways.shape == (side, number)
                np.testing.assert_allclose(ways.T @ ways, np.eye(number), atol=1e-10)
                np.testing.assert_allclose(total @ ways, ways * largest, atol=1e-10)
            assert pairs.many(0)[1].shape == (side, 0)
            assert pairs.many(number)[0] == pytest.approx(values, abs=1e-11)
            assert pairs.is_reduced
            assert pairs.all() == pytest.approx(values, abs=1e-11)


def test_lanczos_that_does_not_converge_is_told_and_all_is_reduced(monkeypatch, caplog):
    W = gaussian_matrix(40, 30, seed=7)
    truth = np.linalg.svd(W, compute_uv=False) ** 2

    def never(*_, **asked):
        assert (asked["k"], asked["which"], asked["tol"]) == (2, "LA", 1e-8)
        raise ArpackError(-9999)

    monkeypatch.setattr(leading, "DENSE_SIDE", 10)
    pairs = leading.Leading(eigen.gram(W))
    by_steps = pairs.largest(2)
    assert not pairs.is_reduced
    again = leading.Leading(eigen.gram(W)).largest(2)
    assert by_steps[0].tolist() == again[0].tolist()
    assert by_steps[1].tolist() == again[1].tolist()
    monkeypatch.setattr(leading, "eigsh", never)
    with caplog.at_level(logging.INFO, logger="setol_ww"):
        values, vectors = pairs.largest(2)
    assert "Lanczos of side 30: " in caplog.text
    assert "all of it is decomposed" in caplog.text
    assert pairs.is_reduced
    assert values == pytest.approx(truth[:2], rel=1e-12)
    np.testing.assert_allclose(np.abs(np.sum(vectors * by_steps[1], axis=0)), 1, atol=1e-9)


def test_a_large_matrix_is_not_reduced_where_all_values_alone_are_asked(monkeypatch):
    """At the limit it is, beyond it the memory is given to the solver."""
    W = gaussian_matrix(40, 30, seed=8)
    for dense, reduced in ((30, True), (29, False)):
        monkeypatch.setattr(leading, "DENSE_SIDE", dense)
        pairs = leading.Leading(eigen.gram(W))
        assert pairs.all() == pytest.approx(np.linalg.svd(W, compute_uv=False)[::-1] ** 2, rel=1e-10)
        assert pairs.is_reduced is reduced


def test_eigenvalues_and_directions_of_one_reduction():
    """To the last bit those of the matrix alone; asked again, or on a device, it is decomposed anew."""
    for shape in ((30, 12), (12, 30), (9, 9)):
        W = gaussian_matrix(*shape, seed=17).astype(np.float32)
        found = Decomposed(W)
        assert found.eigenvalues.plain.tolist() == eigen.scaled_eigenvalues(W).plain.tolist()
        U, sigma, V = np.linalg.svd(W.astype(float), full_matrices=False)
        short = V if shape[0] >= shape[1] else U.T
        for count in (3, 99):
            ways = Decomposed(W).leading(count)
            assert ways.sigma == pytest.approx(sigma, rel=1e-7)
            assert ways.vectors.shape == (min(shape), min(count, min(shape)))
            np.testing.assert_allclose(np.abs(np.einsum("ki,ik->k", short[:count], ways.vectors)), 1, atol=1e-6)
        assert found.leading(2).vectors.shape == (min(shape), 2)
        assert found.leading(2).vectors.shape == (min(shape), min(shape))


def test_directions_of_graded_float64_weights_are_those_of_the_svd():
    """Small ones too, which the eigenvectors of a Gram matrix mix."""
    basis, ways = (np.linalg.qr(gaussian_matrix(side, 8, seed=side))[0] for side in (30, 8))
    W = (basis * 10.0 ** -np.arange(0, 12, 1.5)) @ ways.T
    found = Decomposed(W).leading(8)
    assert found.sigma == pytest.approx(10.0 ** -np.arange(0, 12, 1.5), rel=1e-3)
    np.testing.assert_allclose(np.abs(np.sum(found.vectors * ways, axis=0)), 1, atol=1e-3)


def test_a_device_decomposes_the_values_and_directions_are_the_cpus(monkeypatch):
    W = gaussian_matrix(20, 6, seed=18).astype(np.float32)
    asked = []
    monkeypatch.setattr(eigen, "eigenvalues_on", lambda *given: asked.append(given[0]))
    found = Decomposed(W, "there")
    assert asked == ["there"]
    assert found.eigenvalues.plain.tolist() == eigen.scaled_eigenvalues(W).plain.tolist()
    assert found.leading(2).vectors.shape == (6, 6)


def test_matrices_of_no_side_and_of_nothing_but_zeros():
    empty = np.empty((0, 0))
    assert symmetric_eigenvalues(empty.copy()).shape == (0,)
    assert [part.shape for part in symmetric_eigenpairs(empty.copy())] == [(0,), (0, 0)]
    (none,) = subspaces.leading_subspaces([Decomposed(np.empty((3, 0)))], 2)
    assert (none.left.shape, none.right.shape) == ((3, 0), (0, 0))
    (flat,) = subspaces.leading_subspaces([Decomposed(np.zeros((4, 2)))], 1)
    assert (flat.left.shape, flat.right.shape) == ((4, 1), (2, 1))
    assert not flat.left.any()
    assert np.linalg.norm(flat.right) == pytest.approx(1)


@pytest.mark.parametrize("right", [False, True])
def test_the_svd_in_place_is_numpys(right):
    for side in (0, 1, 2, 30):
        square = gaussian_matrix(side, side, seed=9) if side else np.empty((0, 0))
        _, sigma, V = np.linalg.svd(square) if side else (None, np.empty(0), np.empty((0, 0)))
        values, rows = svd(np.array(square, order="F"), right=right)
        np.testing.assert_allclose(values, sigma, rtol=1e-10)
        assert rows.shape == ((side, side) if right else (0, 0))
        if right and side:
            np.testing.assert_allclose(np.abs(np.sum(rows * V, axis=1)), 1, atol=1e-9)


# Routines.


def test_what_a_routine_is_given_has_its_place_and_type():
    word = 8 if sys.byteorder == "little" else 4
    assert (routines.integers().nbytes, routines.integers(5).nbytes) == (word, 5 * word)
    assert not routines.integers(3).any()
    seen = []
    routines.call(lambda *addresses: seen.extend(addresses), "L", 3, 2.5, np.ones(2), np.int64(4))
    assert len(seen) == 5
    # A size of -1 asks for a workspace: all of the word is read by a library of 64-bit integers.
    wide = ctypes.c_int64 if word == 8 else ctypes.c_int
    read: list[int] = []
    routines.call(lambda *given: read.extend(wide.from_address(one.value).value for one in given), -1, 2**31 - 1)
    assert read == [-1, 2**31 - 1]
    for wrong in (np.array([object()]), np.array(["a"]), np.array([1j]), np.array([True])):
        with pytest.raises(TypeError, match=r"an array of type .* was given to a routine; accepted are numbers"):
            routines.call(print, wrong)
    with pytest.raises(TypeError):
        routines.call(print, None)


def test_a_routine_is_looked_for_in_every_blas_and_in_nothing_else(monkeypatch):
    there = [one for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"]
    names = [name for name in (*symmetric.SYMBOLS, "dsyevd_", "scipy_dsyevd_", "dsyevd_64_", "scipy_dsyevd_64_")
             if routines.loaded([name], 2) is not None]  # fmt: skip
    if not names:
        pytest.skip("no BLAS that is loaded tells its routines")
    other = {"user_api": "openmp", "filepath": "no such library"}
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: [other, *there])
    assert routines.loaded(["no_such_routine", names[0]], 2) is not None
    monkeypatch.setattr(sys, "byteorder", "big")
    assert routines.loaded(names, 2) is None


def test_a_workspace_is_as_large_as_was_asked_for():
    sizes = []

    def run(work, size, whole, whole_size):
        sizes.append((work.size, size, whole.size, whole_size))
        if size == -1:
            work[0], whole[0] = 37.0, 11

    routines.with_workspace(run)
    assert sizes == [(1, -1, 1, -1), (37, 37, 11, 11)]


LOWER = np.asfortranarray(np.diag([3.0, 1.0, 2.0, 5.0]) + np.diag([0.1, 0.2, 0.3], -1))
#: A routine that ends without convergence, and what asks it.
ASKING = {
    "dstebz": lambda: leading.largest_of_tridiagonal(np.ones(4), np.ones(3), 2),
    "dstein": lambda: leading.largest_of_tridiagonal(np.ones(4), np.ones(3), 2),
    "dstedc": lambda: leading.eigenpairs_of_tridiagonal(np.ones(4), np.ones(3)),
    "dsterf": lambda: symmetric_eigenvalues(LOWER.copy(order="F")),
    "dsyevd": lambda: symmetric_eigenpairs(LOWER.copy(order="F")),
    "dgesdd": lambda: svd(LOWER.copy(order="F")),
}


@pytest.mark.parametrize("name", ASKING)
def test_a_routine_that_does_not_converge_is_an_error_by_its_name(name, monkeypatch):
    """Where its status, the last of its arguments, is not 0; every other one stays as it is."""

    def call(routine, *arguments):
        routines.call(routine, *arguments)
        if routine is routines.scipys(name):
            arguments[-1][0] = 2

    ASKING[name]()
    for module in (leading, symmetric, sys.modules["setol_ww.linalg.svd"]):
        monkeypatch.setattr(module, "call", call)
    with pytest.raises(np.linalg.LinAlgError, match=rf"^LAPACK's {name} did not converge \(info 2\)$"):
        ASKING[name]()


@pytest.mark.parametrize("info", [1, -4, 7])
def test_a_status_other_than_zero_is_an_error(info):
    status = routines.integers()
    routines.check_converged("dsterf", status)
    status[0] = info
    with pytest.raises(np.linalg.LinAlgError, match=rf"^LAPACK's dsterf did not converge \(info {info}\)$"):
        routines.check_converged("dsterf", status)


# Numbers with an exponent.


def test_the_middle_of_float64s_range():
    assert [is_moderate(2.0**power) for power in (-301, -300, 0, 300, 301)] == [False, True, True, True, False]
    assert [
        is_moderate(value) for value in (np.nextafter(2.0**300, INF), np.nextafter(2.0**-300, 0), 0.0, INF, NAN)
    ] == [False] * 5


@pytest.mark.parametrize("power", [-1000, -301, -300, 0, 299, 300, 301, 1001])
def test_numbers_out_of_the_middle_are_moved_by_an_even_power(power):
    found = moderate(Scaled(np.ldexp(np.array([0.0, 0.375, 1.0]), power), 6))
    is_far = not -300 <= power <= 300
    assert found.exponent % 2 == 0
    assert (found.exponent == 6) is not is_far
    assert np.ldexp(found.values, found.exponent - 6 - power).tolist() == [0.0, 0.375, 1.0]
    if is_far:
        assert 1 / 2 <= found.values[-1] < 2
    for none in (np.empty(0), np.zeros(3), np.array([1.0, INF]), np.array([NAN])):
        same = Scaled(none, 5)
        assert moderate(same) is same


def test_parts_are_brought_to_the_exponent_of_the_largest_number():
    """Not of the largest exponent; to the last bit; what is too small beside it is 0 in silence."""
    parts = [Scaled(np.array([1.0, 3.0]), 4), Scaled(np.array([0.0, 2.0**90]), -80), Scaled(np.array([5.0]), 4)]
    with np.errstate(all="raise"):
        values, exponent = with_one_exponent(parts)
        assert exponent == -80
        assert [one.tolist() for one in values] == [[2.0**84, 3 * 2.0**84], [0.0, 2.0**90], [5 * 2.0**84]]
        values, exponent = with_one_exponent([Scaled(np.array([1.0]), 900), Scaled(np.array([1.0]), -900)])
        assert (exponent, [one.tolist() for one in values]) == (900, [[1.0], [0.0]])
        values, exponent = with_one_exponent([Scaled(np.array([1.5]), 900), Scaled(np.array([0.0]), 990)])
        assert (exponent, [one.tolist() for one in values]) == (900, [[1.5], [0.0]])
        values, exponent = with_one_exponent([Scaled(np.array([1.5, INF]), 8), Scaled(np.array([1.0]), 2)])
        assert (exponent, values[1].tolist()) == (2, [1.0])
    same = Scaled(np.array([1.0]), 3)
    assert with_one_exponent([same])[0][0] is same.values


def test_a_number_is_representable_or_none():
    with np.errstate(all="raise"):
        assert representable(1.5, 1023) == 1.5 * 2.0**1023
        assert math.isnan(representable(1.5, 1024))
        assert math.isnan(representable(-1.5, 1024))
        assert representable(1.0, -1074) == 2.0**-1074
        assert math.isnan(representable(1.0, -1076))
        assert math.isnan(representable(-1.0, -1076))
        assert representable(0.0, -5000) == representable(0.0, 5000) == 0.0
        assert math.isnan(representable(NAN, 3))
        assert representable(INF) == INF
        assert math.isnan(representable(INF, 1))
        far = Scaled(np.array([1.0, 2.0**-60]), 1030)
        assert far.plain.tolist() == [INF, 2.0**970]
        assert Scaled(np.array([1.0, 2.0**60]), -1100).plain.tolist() == [0.0, 2.0**-1040]
    assert far.values is Scaled(far.values).plain


# Shuffles.


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("large", [False, True])
def test_a_matrix_is_shuffled_in_place_only_where_it_may_be_and_has_the_form(kind, large, monkeypatch):
    monkeypatch.setattr(shuffles, "IN_CACHE", 0 if large else 100)
    stored = np.arange(30.0).reshape(6, 5)

    def given(matrix):
        return torch.from_numpy(matrix) if kind == "torch" else matrix

    truth = np.asarray(shuffles.shuffle(given(stored.copy()), (3,)))
    assert sorted(truth.ravel()) == list(range(30))
    for overwrite in (False, True):
        for matrix in (stored.copy(), np.asfortranarray(stored), np.repeat(stored, 2, axis=0)[::2]):
            found = np.asarray(shuffles.shuffle(given(matrix), (3,), overwrite=overwrite))
            np.testing.assert_array_equal(found, truth)
            kept = np.array_equal(matrix, stored)
            assert kept == (not (overwrite and matrix.flags.c_contiguous))
            assert np.shares_memory(found, matrix) == (not kept)
            assert found.flags.c_contiguous
        narrow = stored.astype(np.float32)
        found = np.asarray(shuffles.shuffle(given(narrow), (3,), overwrite=overwrite))
        np.testing.assert_array_equal(found, truth)
        assert found.dtype == (np.float32 if large else np.float64)
        assert np.array_equal(narrow, stored) == (not (overwrite and large))


@pytest.mark.parametrize("seed", [(0,), (3, 1), (2**80, 0, 7)])
def test_the_order_of_a_seed_is_kept(seed):
    """Of few entries numpy's own; of buckets by the definition: each entry draws one, each is shuffled by itself."""
    W = np.arange(210.0).reshape(30, 7)
    plain = W.ravel().copy()
    np.random.default_rng(seed).shuffle(plain)
    np.testing.assert_array_equal(shuffles.shuffle(W, seed).ravel(), plain)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(buckets, "TOGETHER", 90 if len(seed) > 1 else 3)
        found = Buckets(W, seed, 4)
        *orders, drawing = np.random.SeedSequence(seed).spawn(5)
        # Twelve rows at a time, or one at the least; eight draws from a number, its least byte first.
        numbers, drawn = np.random.default_rng(drawing), []
        for entries in (84, 84, 42) if len(seed) > 1 else [7] * 30:
            words = numbers.integers(0, 2**64, -(-entries // 8), dtype=np.uint64)
            drawn += [int(word) >> 8 * place & 3 for word in words for place in range(8)][:entries]
        expected = []
        for number, order in enumerate(orders):
            mine = W.ravel()[np.array(drawn) == number]
            np.random.default_rng(order).shuffle(mine)
            expected += mine.tolist()
        assert found.whole().ravel().tolist() == expected
        assert found.counts.tolist() == np.bincount(drawn, minlength=4).tolist()
        assert np.concatenate([block.ravel().copy() for block in found.row_blocks(4)]).tolist() == expected
        assert W.ravel()[found.sources(np.arange(210))].tolist() == expected


def test_from_a_size_on_a_copy_stays_as_it_is_stored():
    for shape, large in (((2**21, 1), False), ((2**21 + 1, 1), True), ((3, 700_000), True)):
        assert shuffles.is_large(np.broadcast_to(np.float32(0), shape)) is large


def test_from_a_side_on_a_matrix_goes_by_two_stages(monkeypatch):
    """And so many Gram matrices of a side are decomposed together on a device as two gigabytes hold."""
    asked = []

    def reduced(lower):
        asked.append(lower.shape[0])
        return np.zeros(1), np.zeros(0), None

    monkeypatch.setattr(symmetric, "tridiagonal", reduced)
    monkeypatch.setattr(symmetric, "eigenvalues_by", lambda routine, lower: asked.append(routine))
    monkeypatch.setattr(symmetric, "two_stage_routine", lambda: "two stages")
    for side in (2559, 2560):
        symmetric_eigenvalues(np.empty((side, side), order="F"))
    assert asked == [2559, "two stages"]
    monkeypatch.setattr(device, "on_device", lambda where, shape, needed, work: [needed])
    for side, together in ((4729, 2), (4730, 1)):
        told = device.equal_eigenvalues_on("cuda", [np.broadcast_to(0.0, (side, side))] * 2)
        one = device.memory_needed(side, side)
        assert told == ([one + 48 * side**2] if together == 2 else [one, one])


def test_places_of_a_large_matrix_take_half_the_memory_of_numpys_integers():
    """From a size on, which small ones do not reach."""
    for size, bytes_of_one in ((2**21, 8), (2**21 + 1, 4)):
        tracemalloc.start()
        try:
            (found,) = shuffles.sources_of(np.array([5]), (size, 1), (1,))
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert 0 <= found < size
        assert bytes_of_one * size <= most < (bytes_of_one + 1) * size


def test_where_entries_of_a_shuffle_come_from(monkeypatch):
    W = np.arange(60).reshape(12, 5)
    places = np.array([[0, 59], [7, 7]])
    for limit in (0, 2**21):
        monkeypatch.setattr(shuffles, "IN_CACHE", limit)
        found = shuffles.sources_of(places, W.shape, (4, 2))
        assert (found.dtype, found.shape) == (np.dtype(int), (2, 2))
        np.testing.assert_array_equal(W.ravel()[found], shuffles.shuffle(W, (4, 2)).ravel()[places])
    none = shuffles.sources_of(np.empty(0, dtype=int), W.shape, (4, 2))
    assert (none.dtype, none.shape) == (np.dtype(int), (0,))
    found = Buckets(W, (4, 2), 4)
    np.testing.assert_array_equal(W.ravel()[found.sources(places)], found.whole().ravel()[places])
    assert found.counts.sum() == 60


def test_a_shuffle_here_answers_by_its_entries():
    W = gaussian_matrix(50, 20, seed=10)
    here = ShuffledHere(W, (1,))
    entries = np.concatenate([block.copy() for block in here.blocks()])
    assert here.shape == entries.shape == (50, 20)
    np.testing.assert_array_equal(W.ravel()[here.sources(np.arange(1000))], entries.ravel())
    pairs, sums = here.pairs()
    np.testing.assert_allclose(sums, entries.sum(axis=0), atol=1e-12)
    np.testing.assert_allclose(pairs.all()[::-1], np.linalg.svd(entries, compute_uv=False) ** 2, rtol=1e-9)
    right = gaussian_matrix(20, 3, seed=11)
    np.testing.assert_allclose(here.times(right), entries @ right, atol=1e-12)
    here.let_go()
    assert here.entries is None


# Subspaces, projections, rounding.


def test_leading_directions_of_pooled_slices_are_the_largest_of_all(small_blocks):
    slices = [gaussian_matrix(20, 9, seed=n) * 4.0**n for n in range(3)] + [2.0**600 * gaussian_matrix(20, 9, seed=7)]
    decomposed = [np.linalg.svd(one, full_matrices=False) for one in slices]
    pooled = np.sort(np.concatenate([sigma for _, sigma, _ in decomposed]))[::-1]
    for turned in (False, True):
        for count in (1, 9, 12, 20, 36):
            given = [Decomposed(one.T if turned else one) for one in slices]
            found = subspaces.leading_subspaces(given, count)
            sizes = [int(np.sum(sigma >= pooled[count - 1])) for _, sigma, _ in decomposed]
            assert [one.size for one in found] == sizes
            for one, size, (U, _, V) in zip(found, sizes, decomposed):
                U, V = (V.T, U.T) if turned else (U, V)
                np.testing.assert_allclose(one.left @ one.left.T, U[:, :size] @ U[:, :size].T, atol=1e-9)
                np.testing.assert_allclose(one.right @ one.right.T, V[:size].T @ V[:size], atol=1e-9)


@pytest.mark.parametrize("power", [0, -900, 900])
def test_shares_of_slices_are_of_all_their_energy(power, small_blocks):
    rng = np.random.default_rng(12)
    slices = [rng.normal(size=(14, 6)) * scale for scale in (1.0, 5.0, 0.1)]
    bases = [
        subspaces.Subspace(np.linalg.qr(rng.normal(size=(14, k)))[0], np.linalg.qr(rng.normal(size=(6, k)))[0])
        for k in (1, 2, 6)
    ]
    found = subspaces.shares([np.ldexp(one, power) for one in slices], bases)
    whole = sum(np.sum(one**2) for one in slices)
    left = sum(np.sum((basis.left.T @ one) ** 2) for one, basis in zip(slices, bases))
    right = sum(np.sum((one @ basis.right) ** 2) for one, basis in zip(slices, bases))
    both = sum(np.sum((basis.left.T @ one @ basis.right) ** 2) for one, basis in zip(slices, bases))
    assert (found.left, found.right, found.both) == pytest.approx(
        (left / whole, right / whole, both / whole), rel=1e-12
    )
    whole_space = subspaces.Subspace(np.eye(14), np.eye(6))
    same = subspaces.shares(slices[:1], [whole_space])
    assert (same.left, same.right, same.both) == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        subspaces.shares(slices, bases[:2])
    bad = subspaces.shares([np.where(np.arange(84).reshape(14, 6) == 5, NAN, slices[0])], [whole_space])
    assert all(math.isnan(one) for one in (bad.left, bad.right, bad.both))


def test_angles_of_pooled_subspaces_are_those_of_the_blocks():
    rng = np.random.default_rng(13)
    first = [np.linalg.qr(rng.normal(size=(9, k)))[0] for k in (2, 3)]
    second = [np.linalg.qr(rng.normal(size=(9, k)))[0] for k in (4, 1)]
    # Two dimensions of the second slice's three meet one: of five on both sides the smallest cosine is 0.
    cosines = np.concatenate([np.linalg.svd(a.T @ b, compute_uv=False) for a, b in zip(first, second)])
    found = subspaces.angles(first, second)
    assert found.overlap == pytest.approx(np.sum(cosines**2) / 5, rel=1e-9)
    assert found.largest == 90.0
    near = [first[0] @ np.array([[1.0], [0.0]])], [first[0] @ np.array([[math.cos(0.3)], [math.sin(0.3)]])]
    assert subspaces.angles(*near).largest == pytest.approx(math.degrees(0.3), rel=1e-9)
    assert subspaces.angles(*near).overlap == pytest.approx(math.cos(0.3) ** 2, rel=1e-9)
    alone = subspaces.angles(first, [np.empty((9, 0)), np.empty((9, 0))])
    assert math.isnan(alone.overlap)
    assert math.isnan(alone.largest)


def test_a_subspace_lies_in_itself_whatever_rounding_says():
    """Of some unit vectors the square is more than 1."""
    vectors = [gaussian_matrix(9, 1, seed=n) for n in range(60)]
    vectors = [one / np.linalg.norm(one) for one in vectors]
    assert max(eigen.eigenvalues(one.T @ one)[0] for one in vectors) > 1
    for one in vectors:
        found = subspaces.angles([one], [one])
        assert 1 - 1e-14 < found.overlap <= 1
        assert 0 <= found.largest < 1e-5
    assert subspaces.shares([vectors[0]], [subspaces.Subspace(vectors[0], np.eye(1))]).left <= 1


@pytest.mark.parametrize("shape", [(9, 5), (5, 9), (6, 6)])
def test_projections_keep_few_or_drop_few(shape, small_blocks):
    W = gaussian_matrix(*shape, seed=14)
    U, sigma, V = np.linalg.svd(W, full_matrices=False)
    found = directions(W)
    for kept in ([], [0], [1, 3], [0, 1, 2], [0, 1, 2, 3, 4], [4, 0]):
        kept = np.array(kept, dtype=int)
        truth = (U[:, kept] * sigma[kept]) @ V[kept]
        part = np.concatenate([block.copy() for block in projected_blocks(W, found, kept)])
        np.testing.assert_allclose(part if shape[0] >= shape[1] else part.T, truth, atol=1e-12)
        left, right = factors(W, found, kept)
        assert (left.shape, right.shape) == ((shape[0], kept.size), (kept.size, shape[1]))
        np.testing.assert_allclose(left @ right, truth, atol=1e-12)
    for wrong in (-1, min(shape) + 1, 1.0, True, None, "1"):
        with pytest.raises(InvalidInput) as refused:
            project(W, wrong)
        assert str(refused.value) == f"rank={wrong!r} was asked; accepted is an integer from 0 to {min(shape)}"
    assert project(W, np.int32(2)).shape == shape
    assert project(W.astype(np.float32), 1).dtype == np.float64
    whole = np.arange(6).reshape(3, 2)
    np.testing.assert_allclose(project(torch.from_numpy(whole), 2), whole, atol=1e-14)


TYPES = {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7, "float8_e4m3fn": 3, "float8_e5m2": 2}
TYPES |= {"float8_e4m3fnuz": 3, "float8_e5m2fnuz": 2}


@pytest.mark.parametrize("dtype", TYPES)
def test_the_bits_of_a_significand_are_those_that_the_values_use(dtype):
    """Of a narrower type where all are of that one, which is told for the three that are known to be saved so."""
    assert significand(np.ones((2, 2)), dtype) == TYPES[dtype]
    for bits in range(53):
        W = np.full((3, 4), 1.0)
        W[2, 1] = -(1 + 2.0**-bits)
        expected = bits if bits in (7, 10, 23) and bits < TYPES[dtype] else TYPES[dtype]
        assert significand(W, dtype) == expected, bits
    assert significand(np.ones((2, 2)), "int8") is None


def test_rounding_by_entries(small_blocks):
    """Each to half of its last place, even over that: a twelfth of the squared step; a zero is exact."""
    W = gaussian_matrix(30, 4, seed=15)
    W[3], W[0, 0], W[1, 1] = 0.0, 1.0, np.nextafter(1.0, 0)
    D = gaussian_matrix(30, 4, seed=16) * 100
    steps = lambda matrix, bits: np.where(matrix == 0, 0, np.spacing(np.abs(matrix)) * 2.0 ** (52 - bits)) ** 2 / 12  # noqa: E731
    both = steps(W, 7) + steps(D, 23)
    found = rounding_of([(W, 7), (torch.from_numpy(D), 23)])
    assert found.energy == pytest.approx(both.sum(), rel=1e-12)
    assert found.rows == pytest.approx(both.sum(axis=1), rel=1e-12)
    assert found.columns == pytest.approx(both.sum(axis=0), rel=1e-12)
    assert found.edge == pytest.approx(math.sqrt(both.sum(axis=1).max()) + math.sqrt(both.sum(axis=0).max()), rel=1e-12)
    assert rounding_of([(np.empty((0, 3)), 7)]).edge == 0.0
    with np.errstate(all="raise"):
        assert rounding_of([(np.full((2, 2), 1e-300), 7)]).energy == 0.0
        assert rounding_of([(np.full((2, 2), 1e300), 7)]).energy == INF


def test_the_mean_of_the_largest_eigenvalue_in_tracy_widom_units():
    points = np.arange(-8, 20, 0.05)
    survival = np.array([edge.quick_tracy_widom_sf(x) for x in points])
    assert edge.TRACY_WIDOM_MEAN == pytest.approx(-8 + 0.05 * (np.sum(survival) - 0.5), abs=1e-3)


@pytest.mark.parametrize("power", [-1060, -500, 0, 500])
@pytest.mark.parametrize("shape", [(12, 8), (8, 12)])
def test_entries_of_any_size_are_read_in_silence(shape, power, small_blocks):
    """Also where the host wants to hear of every underflow and overflow."""
    W = np.ldexp(gaussian_matrix(*shape, seed=19), power)
    with np.errstate(all="raise"):
        ways = directions(W)
        left, right = factors(W, ways, np.array([0, 1]))
        part = np.concatenate([block.copy() for block in projected_blocks(W, ways, np.array([0, 1]))])
        assert np.isfinite(eigen.scaled_eigenvalues(W).plain).all() or power > 0
        found = subspaces.shares([W], subspaces.leading_subspaces([Decomposed(W)], 2))
    assert found.both == pytest.approx(np.sum(ways.sigma[:2] ** 2) / np.sum(ways.sigma**2), rel=1e-6)
    assert np.isfinite(left).all()
    assert np.isfinite(right).all()
    assert part.any()


def test_directions_of_a_large_matrix_are_there_after_its_values(monkeypatch):
    """Beyond the side from which all values alone are found in its memory."""
    monkeypatch.setattr(leading, "DENSE_SIDE", 5)
    W = gaussian_matrix(30, 12, seed=20).astype(np.float32)
    found = Decomposed(W)
    _, sigma, V = np.linalg.svd(W.astype(float), full_matrices=False)
    assert np.sqrt(found.eigenvalues.plain[::-1]) == pytest.approx(sigma, rel=1e-7)
    np.testing.assert_allclose(np.abs(np.sum(found.leading(3).vectors.T * V[:3], axis=1)), 1, atol=1e-6)


def test_slices_without_a_leading_direction_have_an_empty_subspace():
    for order in ((3.0, 2.0, 0.1), (0.1, 3.0, 2.0), (0.1, 0.2, 9.0)):
        given = [Decomposed(size * np.diag([1.0, 0.99])) for size in order]
        found = subspaces.leading_subspaces(given, 2)
        largest = sorted((size * share for size in order for share in (1.0, 0.99)), reverse=True)[1]
        assert [one.size for one in found] == [sum(size * share >= largest for share in (1.0, 0.99)) for size in order]
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        subspaces.angles([np.eye(3)[:, :1]] * 2, [np.eye(3)[:, :1]])


def test_a_matrix_may_itself_be_shuffled():
    for kind in (np.ascontiguousarray, torch.from_numpy):
        W = gaussian_matrix(9, 4, seed=21)
        here = ShuffledHere(kind(W), (1,), overwrite=True)
        assert np.shares_memory(np.asarray(here.entries), W)
        assert not np.shares_memory(np.asarray(ShuffledHere(kind(W), (1,)).entries), W)
    for shape in ((3, 0), (0, 3)):
        assert rounding_of([(np.empty(shape), 7)]).edge == 0.0
