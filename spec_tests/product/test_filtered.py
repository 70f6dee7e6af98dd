"""Leading eigenvectors on a device by a polynomial filter, against LAPACK's of the same matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from setol_ww.linalg import filtered
from setol_ww.linalg.filtered import leading_vectors


def gram_of(kind: str, side: int = 300) -> np.ndarray:
    rng = np.random.default_rng(5)
    W = rng.normal(size=(2 * side, side))
    if kind == "mean":
        W += 2
    elif kind.startswith("element"):
        W[3, 5] = float(kind.split()[1])
    elif kind == "heavy":
        W = rng.standard_t(1.5, size=W.shape)
    elif kind == "sparse":
        W *= rng.random(W.shape) < 0.02
    elif kind == "rank":
        W = W[:, :3] @ rng.normal(size=(3, side))
    elif kind == "equal":
        return np.eye(side)
    return W.T @ W


@pytest.fixture
def by_all(monkeypatch) -> list[int]:
    """The sides of which all vectors were computed."""
    sides: list[int] = []
    plain = torch.linalg.eigh

    def eigh(matrix):
        sides.append(matrix.shape[0])
        return plain(matrix)

    monkeypatch.setattr(torch.linalg, "eigh", eigh)
    return sides


@pytest.mark.parametrize("number", [1, 4, 40])
@pytest.mark.parametrize("kind", ["noise", "mean", "element 100", "element 1e4", "heavy", "sparse"])
def test_vectors_are_those_of_a_full_decomposition(kind, number, by_all):
    total = torch.from_numpy(gram_of(kind))
    values, truth = np.linalg.eigh(total.numpy())
    found = leading_vectors(total, torch.from_numpy(values), number).numpy()
    assert total.shape[0] not in by_all
    # Rounds: one where nothing stands apart.
    assert len(by_all) <= (1 if kind in ("noise", "sparse") else 5)
    assert found.shape == (300, number)
    np.testing.assert_allclose(found.T @ found, np.eye(number), atol=1e-12)
    wanted = values[::-1][:number]
    off = np.linalg.norm(total.numpy() @ found - found * wanted, axis=0)
    assert np.all(off <= 2e-8 * wanted[-1] + 1e-13 * wanted[0])
    gaps = np.abs(np.subtract.outer(wanted, values)) + np.where(np.subtract.outer(wanted, values) == 0, np.inf, 0)
    overlaps = np.abs(np.sum(found * truth[:, ::-1][:, :number], axis=0))
    assert np.all(1 - overlaps <= (off / gaps.min(axis=1)) ** 2 + 1e-10)


@pytest.mark.parametrize("kind", ["rank", "equal", "element 1e11", "element 4e7"])
def test_what_a_filter_cannot_part_is_decomposed_whole(kind, by_all):
    total = torch.from_numpy(gram_of(kind))
    values = torch.linalg.eigvalsh(total)
    found = leading_vectors(total, values, 4)
    assert by_all == [300]
    off = torch.linalg.vector_norm(total @ found - found * values[-4:].flip(0), dim=0)
    assert bool((off <= 1e-13 * values[-1]).all())


def test_a_block_of_half_the_matrix_is_decomposed_whole(by_all):
    """2 (2 k + 8) columns of 57 are filtered, of 56 not; all at once too."""
    for side, whole in ((57, False), (56, True)):
        total = torch.from_numpy(gram_of("noise", side))
        leading_vectors(total, torch.linalg.eigvalsh(total), 10)
        assert (side in by_all) == whole
    total = torch.from_numpy(gram_of("noise", 6))
    found = leading_vectors(total, torch.linalg.eigvalsh(total), 6)
    np.testing.assert_allclose((found.T @ total @ found).diagonal(), np.linalg.eigvalsh(total.numpy())[::-1])


def test_a_filter_that_does_not_converge_is_given_up(monkeypatch, by_all):
    monkeypatch.setattr(filtered, "ROUNDS", 1)
    monkeypatch.setattr(filtered, "HIGHEST_DEGREE", 2)
    total = torch.from_numpy(gram_of("noise"))
    values = torch.linalg.eigvalsh(total)
    found = leading_vectors(total, values, 4)
    assert by_all[-1] == 300
    np.testing.assert_allclose((found.T @ total @ found).diagonal(), values.flip(0)[:4])


@pytest.mark.parametrize("kind", ["noise", "heavy", "mean"])
def test_a_weak_filter_comes_there_in_more_rounds(kind, monkeypatch, by_all):
    """What is near enough is taken out of the matrix, and the others go on, up to the same residuals."""
    monkeypatch.setattr(filtered, "GAIN", 4.0)
    total = torch.from_numpy(gram_of(kind))
    values = torch.linalg.eigvalsh(total)
    found = leading_vectors(total, values, 6)
    assert 300 not in by_all
    assert 2 <= len(by_all) <= 20
    off = torch.linalg.vector_norm(total @ found - found * values[-6:].flip(0), dim=0)
    assert bool((off <= 1.1e-8 * values[-6]).all())
    np.testing.assert_allclose((found.T @ found).numpy(), np.eye(6), atol=1e-9)


def test_an_eigenvalue_is_filtered_up_to_the_size_at_which_it_hides_the_others(by_all):
    """Rounding of the largest against a thousandth of the last that is wanted."""
    total = torch.from_numpy(gram_of("element 1.5e7"))
    values = torch.linalg.eigvalsh(total)
    assert 1e-4 < 4e-15 * values[-1] / values[-4] < 1e-3
    leading_vectors(total, values, 4)
    assert 300 not in by_all


def test_the_same_vectors_each_time():
    total = torch.from_numpy(gram_of("heavy"))
    values = torch.linalg.eigvalsh(total)
    assert torch.equal(leading_vectors(total, values, 5), leading_vectors(total, values, 5))
