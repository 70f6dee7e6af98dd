"""The shuffle of a large matrix, made bucket by bucket: uniform, one for every type and order, in little memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix
from setol_ww.linalg import buckets as room
from setol_ww.linalg.buckets import Buckets, number_of_buckets
from setol_ww.linalg.eigenvalues import eigenvalues, gram
from setol_ww.linalg.shuffles import in_random_order, shuffle, sources_of
from setol_ww.traps.search import look


@pytest.fixture
def few(monkeypatch):
    """Every matrix that is longer than wide is large."""
    monkeypatch.setattr(room, "FEW_ENTRIES", 0)


def whole(found: Buckets, step: int = 3) -> np.ndarray:
    return np.concatenate([block.copy() for block in found.row_blocks(step)])


@pytest.mark.parametrize("number", [2, 16])
def test_every_order_is_equally_likely(number):
    """24 orders of four entries over 1 200 seeds, by Pearson's test at .001."""
    W = np.arange(4.0).reshape(2, 2)
    orders = [tuple(whole(Buckets(W, (seed, 0), number)).ravel()) for seed in range(1200)]
    counts = np.unique(np.array(orders), axis=0, return_counts=True)[1]
    assert counts.size == 24
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_an_entry_comes_to_every_place_as_often():
    """Where the first entry of each of ten stretches ends, in tenths, over 600 seeds; passes over several parts."""
    W = np.arange(1200).reshape(100, 12)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(room, "TOGETHER", 240)
        tenths = np.array(
            [np.argsort(Buckets(W, (seed,), 4).whole().ravel())[::120] * 10 // 1200 for seed in range(600)]
        )
    for stretch in tenths.T:
        assert scipy.stats.chisquare(np.bincount(stretch, minlength=10)).pvalue > 1e-4


def test_orders_of_different_seeds_and_slices_have_nothing_in_common():
    W = np.arange(60_000.0).reshape(3000, 20)
    first, *others = (Buckets(W, seed, 4).whole().ravel() for seed in ((0, 0), (0, 1), (1, 0), (0, 0, 1)))
    for other in others:
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.02
        assert np.count_nonzero(first == other) < 12


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16", "float8_e4m3fn", "int8"])
@pytest.mark.parametrize("form", ["rows", "columns", "every second"])
def test_the_order_is_that_of_the_shape(dtype, form, few):
    """Whatever the type, the order in memory, and whether blocks or all of it are asked."""
    stored = torch.arange(-60, 60).reshape(24, 5).to(getattr(torch, dtype))
    if form == "columns":
        stored = stored.T.contiguous().T
    elif form == "every second":
        stored = torch.stack([stored, stored], dim=2).reshape(24, 10)[:, ::2]
    assert number_of_buckets((24, 5)) == 8
    plain = Buckets(stored.double().numpy(), (7, 1), 8).whole()
    assert sorted(plain.ravel()) == sorted(stored.double().numpy().ravel())
    found = Buckets(stored, (7, 1), 8)
    for step in (1, 3, 7, 24):
        np.testing.assert_array_equal(whole(found, step), plain)
    drawn = shuffle(stored, (7, 1))
    assert (drawn.dtype, drawn.shape) == (stored.dtype, stored.shape)
    np.testing.assert_array_equal(drawn.double().numpy(), plain)
    sources = sources_of(np.arange(120), (24, 5), (7, 1))
    assert sorted(sources) == list(range(120))
    np.testing.assert_array_equal(stored.double().numpy().ravel()[sources], plain.ravel())


def test_numbers_of_buckets():
    """By the shape alone, turned or not; none where a copy is small."""
    for shape in ((1, 1), (4096, 4096), (30522, 384), (5000, 6500), (0, 7)):
        assert number_of_buckets(shape) == 1
    for shape, number in (((5800, 8200), 2), ((4096, 11008), 4), ((4096, 14336), 4), ((8192, 28672), 4)):
        assert number_of_buckets(shape) == number_of_buckets(shape[::-1]) == number
    assert number_of_buckets((250_000, 4096)) == 16


def test_the_gram_matrix_of_a_shuffle_needs_no_copy_of_it(few):
    W = gaussian_matrix(700, 50, seed=0)
    found = in_random_order(W, (3,))
    assert isinstance(found, Buckets)
    np.testing.assert_allclose(np.tril(gram(found)), np.tril(found.whole().T @ found.whole()), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(eigenvalues(found), eigenvalues(shuffle(W, (3,))), rtol=1e-9)
    assert isinstance(in_random_order(W[:50], (3,)), np.ndarray)


@pytest.mark.parametrize("kind", ["element", "mean", "none", "heavy"])
def test_traps_are_found_as_in_a_copy(kind, few):
    W = gaussian_matrix(900, 60, seed=1).astype(np.float32)
    if kind == "element":
        W[132, 17] = 60
    elif kind == "mean":
        W += 0.3
    elif kind == "heavy":
        W = (W**5).astype(np.float32)
    found = ww.find_traps(W)
    stored = ww.find_traps(torch.from_numpy(W).T)
    assert (found.count, found.lambda_max, found.pvalue) == (stored.count, stored.lambda_max, stored.pvalue)
    assert found.indices.tolist() == stored.indices[:, ::-1].tolist()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(room, "FEW_ENTRIES", 2**25)
        other = ww.find_traps(W)
    assert found.lambda_max != other.lambda_max
    assert [trap.carrier for trap in found.traps] == [trap.carrier for trap in other.traps]
    assert found.indices.tolist() == other.indices.tolist()
    if kind == "element":
        assert found.indices.tolist() == [[132, 17]]
        cleaned = ww.remove_traps(W)
        assert np.argwhere(cleaned != W).tolist() == [[132, 17]]


def test_entries_far_from_one_are_shuffled_as_they_were_scaled(few):
    W = gaussian_matrix(300, 40, seed=0)
    W[7, 3] = 50
    near, far = ww.find_traps(W), ww.find_traps(W * 2.0**-200)
    assert far.indices.tolist() == near.indices.tolist() == [[7, 3]]
    assert far.pvalue == near.pvalue


def grown(work: Callable[[], Any]) -> int:
    """Most bytes of numpy's arrays and Python's objects that are there at a time while `work` is done."""
    work()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_long_matrix_is_searched_without_a_copy(few, monkeypatch):
    monkeypatch.setattr(room, "TOGETHER", 2**17)
    W = np.random.default_rng(0).normal(size=(40_000, 96)).astype(np.float32)
    assert grown(lambda: look(W, (0, 0), 0.01)) < 0.6 * W.nbytes


def test_the_copy_of_a_wide_matrix_goes_before_its_gram_matrix_comes(few, monkeypatch):
    monkeypatch.setattr(room, "TOGETHER", 2**17)
    W = np.random.default_rng(0).normal(size=(1000, 4000)).astype(np.float32)
    assert grown(lambda: look(W, (0, 0), 0.01)) < W.nbytes + 0.5 * 8 * 1000**2
