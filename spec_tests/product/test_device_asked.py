"""What a device is asked of memory, streams and blocks, by stand-ins for torch's own functions of CUDA."""

from __future__ import annotations

import logging
import math
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fixtures.ensembles import gaussian_matrix
from setol_ww.core.errors import InvalidInput
from setol_ww.linalg import device as gpu
from setol_ww.linalg import filtered
from setol_ww.linalg.shuffled import PairsThere, ShuffledThere


def test_what_is_there_is_a_tensor_of_another_device():
    assert gpu.is_there(torch.empty(2, device="meta")) is True
    for here in (torch.empty(2), np.empty(2)):
        assert gpu.is_there(here) is False


@pytest.fixture
def streams(monkeypatch) -> SimpleNamespace:
    """CUDA is there and was begun; streams are numbered, and what was done with them is told."""
    told = SimpleNamespace(made=[], waits=[], entered=[])

    class Stream:
        def __init__(self, device):
            self.device = device
            told.made.append(self)

        def wait_stream(self, other):
            told.waits.append((self, other))

    @contextmanager
    def stream(one):
        told.entered.append(one)
        yield

    for name, stand_in in (
        ("is_initialized", lambda: True), ("Stream", Stream), ("stream", stream),
        ("current_stream", lambda device: f"the caller's on {device}"),
        ("empty_cache", lambda: told.made.append("emptied")),
    ):  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(gpu, "free_memory", lambda device: math.inf)
    monkeypatch.setattr(gpu, "_of_thread", threading.local())
    return told


def test_each_thread_has_one_stream_on_a_device_behind_the_callers(streams):
    def work():
        return streams.entered[-1]

    first = gpu.on_device("cuda:0", (2, 2), 1, work)
    assert gpu.on_device("cuda:0", (2, 2), 1, work) is first
    other = gpu.on_device("cuda:1", (2, 2), 1, work)
    thread = threading.Thread(target=lambda: gpu.on_device("cuda:0", (2, 2), 1, work))
    thread.start()
    thread.join()
    assert streams.made == [first, other, streams.entered[-1]]
    assert len(set(streams.made)) == 3
    assert [one.device for one in streams.made] == ["cuda:0", "cuda:1", "cuda:0"]
    assert streams.waits == [(one, f"the caller's on {one.device}") for one in streams.entered]
    assert len(streams.entered) == 4
    assert gpu.on_device("cpu", (2, 2), 1, lambda: 5) == 5
    assert len(streams.entered) == 4


def test_before_cuda_was_begun_there_is_no_stream(streams, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert gpu.on_device("cuda", (2, 2), 1, lambda: 5) == 5
    assert streams.made == streams.entered == []


@pytest.mark.parametrize("begun", [True, False])
def test_memory_that_ran_out_is_let_go_and_the_cpu_does_it(begun, streams, monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: begun)

    def full():
        raise torch.OutOfMemoryError("  CUDA out of memory.\nmore words")

    with caplog.at_level(logging.WARNING, logger="setol_ww"):
        assert gpu.on_device("cuda", (30, 20), 1, full) is None
    said = "a 30 x 20 matrix: cuda ran out of memory (CUDA out of memory.), the CPU does it"
    assert [record.getMessage() for record in caplog.records] == [said]
    assert ("emptied" in streams.made) is begun
    # What else goes wrong is not of the memory.
    with pytest.raises(RuntimeError, match="other"):
        gpu.on_device("cuda", (30, 20), 1, lambda: (_ for _ in ()).throw(RuntimeError("other")))


def test_what_does_not_fit_is_told_in_mebibytes(monkeypatch, caplog):
    """Exactly what is free fits; a byte more does not."""
    monkeypatch.setattr(gpu, "free_memory", lambda device: 5 * 2**20 + 7.0)
    assert gpu.on_device("cpu", (300, 200), 5 * 2**20 + 7, lambda: 1) == 1
    with caplog.at_level(logging.WARNING, logger="setol_ww"):
        assert gpu.on_device("cpu", (300, 200), 6 * 2**20 + 1, lambda: 1) is None
    assert [record.getMessage() for record in caplog.records] == [
        "a 300 x 200 matrix takes about 6 MiB on cpu, where 5 MiB are free: it is computed on the CPU"
    ]


def test_many_matrices_are_told_the_memory_they_take_together(monkeypatch):
    """So many at once as a limit has Gram matrices, each beside the blocks of one."""
    asked = []

    def on_device(device, shape, needed, work):
        asked.append((device, shape, needed))
        return work()

    monkeypatch.setattr(gpu, "on_device", on_device)
    matrices = [gaussian_matrix(9, 5, seed=n) for n in range(5)]
    grams = 8 * gpu.GRAM_MATRICES * 5**2
    one = gpu.memory_needed(9, 5)
    for limit, numbers in ((2 * grams, [2, 2, 1]), (2 * grams - 1, [1] * 5), (1, [1] * 5), (100 * grams, [5])):
        asked.clear()
        monkeypatch.setattr(gpu, "BATCH_BYTES", limit)
        found = gpu.equal_eigenvalues_on("cpu", matrices)
        assert asked == [("cpu", (9, 5), one + (number - 1) * grams) for number in numbers]
        for values, matrix in zip(found, matrices, strict=True):
            np.testing.assert_allclose(values, np.linalg.svd(matrix, compute_uv=False)[::-1] ** 2, rtol=1e-9)
    monkeypatch.setattr(gpu, "on_device", lambda *_: None)
    assert gpu.equal_eigenvalues_on("cpu", matrices) is None


@pytest.mark.parametrize("shape", [(23, 7), (7, 23), (8, 8)])
def test_blocks_there_are_rows_of_the_tall_matrix(shape, monkeypatch):
    W = gaussian_matrix(*shape, seed=0)
    tall = W if shape[0] >= shape[1] else W.T
    for elements in (1, 3 * min(shape), 3 * min(shape) + 1, 10**6):
        monkeypatch.setattr(gpu, "DEVICE_BLOCK_ELEMENTS", elements)
        for form in (
            W,
            W.astype(np.float32),
            np.asfortranarray(W),
            torch.from_numpy(W),
            torch.from_numpy(W).bfloat16(),
        ):
            stored = form.double().numpy() if hasattr(form, "double") else form.astype(np.float64)
            stored = stored if shape[0] >= shape[1] else stored.T
            blocks = list(gpu.device_blocks(form, "cpu", 2))
            assert {block.dtype for block in blocks} == {torch.float64}
            lines = max(1, elements // min(shape))
            assert [len(block) for block in blocks[:-1]] == [lines] * (len(blocks) - 1)
            np.testing.assert_array_equal(torch.cat(blocks).numpy(), stored / 4)
        gram, sums = gpu.device_gram(W, "cpu", 1)
        np.testing.assert_allclose(gram.numpy(), tall.T @ tall / 4, atol=1e-12)
        np.testing.assert_allclose(sums.numpy(), tall.sum(axis=0) / 2, atol=1e-12)
    needs = torch.ones(3, 2, dtype=torch.float64, requires_grad=True)
    assert not gpu.device_gram(needs, "cpu")[0].requires_grad
    bad = np.where(W == W[1, 2], np.inf, W)
    assert np.isnan(gpu.device_eigenvalues(bad, "cpu")).tolist() == [True] * min(shape)


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("cuda", "device='cuda' was asked; torch {torch} sees no CUDA here; {accepted}"),
        ("mps", "device='mps' was asked, which computes no float64 eigenvalues; {accepted}"),
        ("meta", "device='meta' was asked, which computes no float64 eigenvalues; {accepted}"),
    ],
)
def test_a_device_that_does_not_serve_is_refused_in_words(device, said, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    accepted = "accepted are 'cpu' and, where torch sees a GPU, 'cuda' or 'cuda:N'"
    with pytest.raises(InvalidInput) as refused:
        gpu.check_device(device)
    assert str(refused.value) == said.format(torch=torch.__version__, accepted=accepted)
    for unknown in ("nonsense", 3.5, None):
        with pytest.raises(InvalidInput) as refused:
            gpu.check_device(unknown)
        assert str(refused.value).startswith(f"device={unknown!r} was asked, which torch does not know (")
        assert str(refused.value).endswith(f"); {accepted}")
    assert gpu.check_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert gpu.check_device("cuda:1") == "cuda:1"


def test_pairs_there_know_their_values_once():
    W = gaussian_matrix(30, 12, seed=1)
    pairs = PairsThere(torch.from_numpy(W.T @ W))
    assert pairs.is_reduced is False
    values, vectors = pairs.largest(3)
    assert pairs.is_reduced is True
    kept = pairs._values
    _, sigma, V = np.linalg.svd(W, full_matrices=False)
    assert values == pytest.approx(sigma[:3] ** 2, rel=1e-10)
    assert np.abs(np.sum(vectors.T * V[:3], axis=1)) == pytest.approx(1, abs=1e-8)
    assert pairs.all()[::-1] == pytest.approx(sigma**2, rel=1e-10)
    assert pairs._values is kept
    # A copy: what was told does not change with what is done to it.
    values[:] = 0
    assert pairs.largest(3)[0] == pytest.approx(sigma[:3] ** 2, rel=1e-10)


def test_a_shuffle_there_lets_its_entries_go():
    W = torch.arange(12.0).reshape(4, 3)
    there = ShuffledThere(W, (5,))
    right = gaussian_matrix(3, 2, seed=2)
    expected = there.entries.double().numpy() @ right
    np.testing.assert_allclose(there.times(right), expected, atol=1e-12)
    np.testing.assert_allclose(there.times(np.asfortranarray(right)), expected, atol=1e-12)
    there.let_go()
    assert there.entries is None
    assert sorted(there.sources(np.arange(12))) == list(range(12))


@pytest.mark.parametrize("gap", [1e-2, 0.0])
def test_a_filter_finds_what_stands_above_a_flat_rest(gap, monkeypatch):
    """Among a few more than are wanted, whose place among equal ones is nobody's."""
    side, number = 120, 3
    rng = np.random.default_rng(3)
    values = np.sort(np.append(np.linspace(0.5, 1, side - number), 1 + gap * np.arange(1, number + 1)))
    basis = np.linalg.qr(rng.normal(size=(side, side)))[0]
    total = torch.from_numpy((basis * values) @ basis.T)
    sides = []
    plain = torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda matrix: sides.append(matrix.shape[0]) or plain(matrix))
    found = filtered.leading_vectors(total, torch.from_numpy(values), number).numpy()
    assert side not in sides
    np.testing.assert_allclose(found.T @ found, np.eye(number), atol=1e-10)
    off = np.linalg.norm(total.numpy() @ found - found * values[::-1][:number], axis=0)
    assert off.max() < 5e-8


def test_what_is_made_is_made_where_the_matrix_is():
    """Whatever device torch makes tensors on by default."""
    W = torch.from_numpy(gaussian_matrix(80, 60, seed=4))
    gram, sums = gpu.device_gram(W, "meta")
    assert (gram.device.type, sums.device.type) == ("meta", "meta")
    total = W.T @ W
    values = torch.linalg.eigvalsh(total)
    plain = filtered.leading_vectors(total, values, 3)
    order = ShuffledThere(W, (2,)).entries
    with torch.device("meta"):
        assert torch.equal(filtered.leading_vectors(total, values, 3), plain)
        assert torch.allclose(gpu.device_gram(W, "cpu")[0], total)
        there = ShuffledThere(W, (2,))
        assert torch.equal(there.entries, order)
        np.testing.assert_allclose(there.pairs()[1], order.numpy().sum(axis=0), atol=1e-12)
        assert len(there.sources(np.arange(4))) == 4


def test_a_filter_that_has_nothing_to_part_with_gives_up():
    """Where the rest is one number, and where the last that is wanted is the first of the rest: to the last bit."""
    flat = torch.diag(torch.tensor([1.0] * 40 + [5.0], dtype=torch.float64))
    assert filtered.leading_vectors(flat, flat.diagonal(), 1).abs().argmax().item() == 40
    tied = torch.diag(torch.tensor([0.5] * 20 + [1.0] * 30, dtype=torch.float64))
    found = filtered.leading_vectors(tied, tied.diagonal(), 2)
    np.testing.assert_allclose((found.T @ tied @ found).numpy(), np.eye(2), atol=1e-12)
    none = torch.zeros(40, 40, dtype=torch.float64)
    assert filtered.leading_vectors(none, none.diagonal(), 2).shape == (40, 2)


@pytest.mark.parametrize("degree", [1, 2, 3, 12])
@pytest.mark.parametrize("taken", [0, 2])
def test_a_filter_is_chebyshevs_polynomial(degree, taken):
    """1 at the largest eigenvalue, at most one over what it is there from the smallest to the bar."""
    values = np.append(np.linspace(0.5, 2.0, 20), [2.5, 3.0, 4.0])
    total = torch.diag(torch.from_numpy(values))
    vectors = torch.eye(23, dtype=torch.float64)
    rest = filtered._Rest(total, vectors[:, :0], total.diagonal()[:0])
    rest = rest.without(vectors[:, 23 - taken :], torch.from_numpy(values[23 - taken :]))
    left = np.append(values[: 23 - taken], np.zeros(taken))
    largest = left.max()
    found = filtered._polynomial(rest, vectors, (1.25, 0.75), largest, degree).diagonal().numpy()
    chebyshev = np.polynomial.Chebyshev([0] * degree + [1])
    np.testing.assert_allclose(found, chebyshev((left - 1.25) / 0.75) / chebyshev((largest - 1.25) / 0.75), rtol=1e-9)
