"""Chapter 1: eigenvalues of W^T W."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix, signed_pareto_matrix
from fixtures.oracles import singular_value_squares
from setol_ww.linalg import eigenvalues as room


@pytest.mark.parametrize("shape", [(60, 40), (40, 60), (50, 50), (700, 3), (1, 9), (9, 1)])
def test_gram_agrees_with_svd(shape):
    W = gaussian_matrix(*shape, seed=1)
    spectrum = ww.Spectrum.from_matrix(W)
    truth = singular_value_squares(W)
    np.testing.assert_allclose(spectrum.raw, truth, rtol=1e-10, atol=1e-13 * truth[-1])
    assert (spectrum.N, spectrum.M, spectrum.num_evals) == (max(shape), min(shape), min(shape))
    assert spectrum.unit_mean.mean() == pytest.approx(1, rel=1e-14)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_every_torch_type_is_upcast_exactly(dtype):
    W = torch.from_numpy(gaussian_matrix(70, 30, seed=2)).to(getattr(torch, dtype))
    truth = singular_value_squares(W.to(torch.float64).numpy())
    np.testing.assert_allclose(ww.Spectrum.from_matrix(W).raw, truth, rtol=1e-11)


def test_blocks_do_not_matter(monkeypatch):
    tall, deficient = gaussian_matrix(501, 20, seed=3), np.outer(np.arange(1.0, 41), np.arange(1.0, 13))
    whole = ww.Spectrum.from_matrix(tall).raw, ww.Spectrum.from_matrix(deficient)
    monkeypatch.setattr(room, "BLOCK_ELEMENTS", 7 * 20)
    np.testing.assert_allclose(ww.Spectrum.from_matrix(tall).raw, whole[0], rtol=1e-12)
    np.testing.assert_allclose(ww.Spectrum.from_matrix(tall.T).raw, whole[0], rtol=1e-12)
    blocked = ww.Spectrum.from_matrix(deficient)
    assert blocked.rank == whole[1].rank == 1
    np.testing.assert_allclose(blocked.raw[-1], whole[1].raw[-1], rtol=1e-12)


@pytest.mark.parametrize("rank", [1, 5, 29])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rank_of_deficient_matrices(rank, dtype):
    W = (gaussian_matrix(80, rank, seed=4) @ gaussian_matrix(rank, 30, seed=5)).astype(dtype)
    assert ww.Spectrum.from_matrix(W).rank == rank == np.linalg.matrix_rank(W)


def test_small_singular_values_are_resolved():
    """A Gram matrix alone would return noise below 1e-8 of the largest singular value."""
    sigma = 10.0 ** -np.arange(12)
    left, _ = np.linalg.qr(gaussian_matrix(40, 12, seed=6))
    right, _ = np.linalg.qr(gaussian_matrix(12, 12, seed=7))
    spectrum = ww.Spectrum.from_matrix((left * sigma) @ right.T)
    np.testing.assert_allclose(np.sqrt(spectrum.raw[::-1]), sigma, rtol=2e-4)
    assert spectrum.rank == 12


def test_heavy_tails_span_decades():
    W = signed_pareto_matrix(60, 40, mu=0.5, seed=8)
    truth = singular_value_squares(W)
    np.testing.assert_allclose(ww.Spectrum.from_matrix(W).raw[-10:], truth[-10:], rtol=1e-10)


def test_half_precision_keeps_its_rank():
    """max(N, M) * eps of bfloat16 exceeds 1 for 128 rows: taken literally every such layer had rank 0."""
    W = torch.from_numpy(gaussian_matrix(256, 128, seed=9)).bfloat16()
    assert ww.Spectrum.from_matrix(W).rank == 128


def test_pooled_slices_are_the_block_diagonal_sum():
    slices = [gaussian_matrix(12, 8, seed=seed) for seed in range(3)]
    pooled = ww.Spectrum.from_slices(slices)
    block = np.zeros((36, 24))
    for position, matrix in enumerate(slices):
        block[12 * position : 12 * position + 12, 8 * position : 8 * position + 8] = matrix
    np.testing.assert_allclose(pooled.raw, ww.Spectrum.from_matrix(block).raw, rtol=1e-11)
    assert (pooled.N, pooled.M, pooled.slices, pooled.Q) == (12, 8, 3, 1.5)


def test_eigenvalues_in_any_order():
    spectrum = ww.Spectrum.from_eigenvalues([3, 1, 2], (7, 3))
    assert spectrum.raw.tolist() == [1, 2, 3]
    assert (spectrum.N, spectrum.M) == (7, 3)
    squares = ww.Spectrum.from_eigenvalues(range(1, 7), slices=2)
    assert (squares.N, squares.M, squares.slices, squares.num_evals, squares.Q) == (3, 3, 2, 6, 1.0)
    assert ww.Spectrum.from_eigenvalues([1, 2], (2, 9), eps=0.5).eps == 0.5


@pytest.mark.parametrize(
    "wrong", [np.zeros(5), np.zeros((2, 2, 2)), np.array([["a"]]), np.ones((2, 2), dtype=complex), torch.ones(3)]
)
def test_not_a_matrix_is_refused(wrong):
    with pytest.raises(ww.InvalidInput, match="accepted is a real matrix of two dimensions"):
        ww.Spectrum.from_matrix(wrong)


@pytest.mark.parametrize(
    ("raw", "shape", "message"),
    [([-1.0, 2.0], None, "none below 0"), ([1.0, 2.0], (5, 3), "accepted are 3"), ([[1.0]], None, "accepted: 1-D")],
)
def test_impossible_eigenvalues_are_refused(raw, shape, message):
    with pytest.raises(ww.InvalidInput, match=message):
        ww.Spectrum.from_eigenvalues(raw, shape)


def test_slices_of_different_shapes_are_refused():
    with pytest.raises(ww.InvalidInput, match="one common shape"):
        ww.Spectrum.from_slices([np.ones((3, 2)), np.ones((4, 2))])


@pytest.mark.parametrize("factor", [0.5, 2.0, 3.0])
def test_a_spectrum_times_a_factor_is_that_of_the_matrix_times_its_root(factor):
    """Slices, shape and precision stay, and so does the spectrum itself where nothing changes."""
    slices = [gaussian_matrix(9, 4, seed=seed).astype(np.float32) for seed in range(2)]
    spectrum = ww.Spectrum.from_slices(slices)
    found = spectrum.times(factor)
    np.testing.assert_allclose(found.raw, factor * spectrum.raw, rtol=1e-15)
    assert (found.N, found.M, found.slices, found.eps, found.rank) == (9, 4, 2, spectrum.eps, 8)
    assert spectrum.times(1) is spectrum
