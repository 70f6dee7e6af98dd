"""What a GPU would do, by the same functions of torch on the CPU: shuffles and traps, memory, work that overlaps."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from threadpoolctl import threadpool_limits
from torch.utils._python_dispatch import TorchDispatchMode

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix
from setol_ww.linalg import device as gpu
from setol_ww.linalg import shuffled as room
from setol_ww.linalg.eigenvalues import eigenvalues, scaled_eigenvalues_of
from setol_ww.linalg.shuffled import ShuffledHere, ShuffledThere, memory_of_a_shuffle
from setol_ww.scanning import pools
from setol_ww.traps import elements, search

# Loaded here: weightwatcher asks for CUDA once, when it is imported, and must not while one is pretended.
LOADED = ww.WeightWatcher


@pytest.fixture
def stand_in(monkeypatch) -> Iterator[list[tuple[str, Any]]]:
    """`cuda` is torch's CPU device, of as much memory as one wants; what was asked of it is told."""
    asked: list[tuple[str, Any]] = []
    computed = gpu.device_eigenvalues

    def device_eigenvalues(matrix, device, exponent=0):
        asked.append((device, tuple(matrix.shape)))
        return computed(matrix, "cpu", exponent)

    uploaded = search.tall_entries_there

    def tall_entries_there(matrix, device):
        asked.append((f"search on {device}", tuple(matrix.shape)))
        return uploaded(matrix, "cpu")

    monkeypatch.setattr(gpu, "device_eigenvalues", device_eigenvalues)
    monkeypatch.setattr(search, "tall_entries_there", tall_entries_there)
    for module in (elements, search):
        monkeypatch.setattr(module, "is_there", lambda entries: hasattr(entries, "detach"))
    monkeypatch.setattr(gpu, "free_memory", lambda device: float("inf"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    return asked


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_a_shuffle_there_answers_as_one_here(dtype, monkeypatch):
    """Gram matrix, pairs, sums, products and sources, each against the entries it has."""
    monkeypatch.setattr(gpu, "DEVICE_BLOCK_ELEMENTS", 11 * 40)
    W = torch.from_numpy(gaussian_matrix(90, 40, seed=0)).to(getattr(torch, dtype))
    there = ShuffledThere(W, (3, 1))
    entries = torch.cat(list(there.blocks())).numpy()
    plain = W.double().numpy()
    assert entries.shape == there.shape == (90, 40)
    assert not np.array_equal(entries, plain)
    np.testing.assert_array_equal(plain.ravel()[there.sources(np.arange(3600))], entries.ravel())
    for matrix, seed in ((W.clone(), (3, 1)), (W, (3, 2))):
        other = torch.cat(list(ShuffledThere(matrix, seed).blocks())).numpy()
        assert np.array_equal(other, entries) == (seed == (3, 1))
    pairs, sums = there.pairs()
    assert not pairs.is_reduced
    np.testing.assert_allclose(sums, entries.sum(axis=0), atol=1e-9)
    values, vectors = pairs.largest(3)
    truth = np.linalg.svd(entries, compute_uv=False) ** 2
    np.testing.assert_allclose(values, truth[:3], rtol=1e-12)
    np.testing.assert_allclose(pairs.all(), truth[::-1], rtol=1e-9)
    assert pairs.is_reduced
    np.testing.assert_allclose(there.times(vectors), entries @ vectors, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(there.times(vectors), axis=0) ** 2, values, rtol=1e-9)


def test_every_order_there_is_equally_likely():
    """24 orders of four entries over 2 400 seeds, by Pearson's test at .001."""
    W = torch.arange(4.0).reshape(2, 2)
    orders = [tuple(ShuffledThere(W, (seed, 0)).entries.ravel().tolist()) for seed in range(2400)]
    counts = np.unique(np.array(orders), axis=0, return_counts=True)[1]
    assert counts.size == 24
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("kind", ["element", "mean", "noise"])
def test_traps_are_those_of_the_cpu(kind, stand_in):
    """By another draw: the same elements and words, the largest eigenvalue within its sampling spread."""
    W = gaussian_matrix(120, 160, seed=2)
    if kind == "element":
        W[13, 17] = 40
    elif kind == "mean":
        W += 0.4
    here = ww.analyze({"a.weight": W}, randomize=True)
    there = ww.analyze({"a.weight": W}, randomize=True, device="cuda")
    assert sorted(stand_in) == [("cuda", (120, 160)), ("search on cuda", (120, 160))]
    assert there["trap_count"].tolist() == here["trap_count"].tolist() == [int(kind != "noise")]
    assert there["trap_lambda_max"][0] == pytest.approx(here["trap_lambda_max"][0], rel=0.1)
    assert there["max_rand_eval"][0] == pytest.approx(there["trap_lambda_max"][0], rel=1e-9)
    assert there["max_rand_eval"][0] != here["max_rand_eval"][0]
    own = [name for name in here if not name.startswith(("rand_", "trap_", "ww_", "max_rand"))]
    for name in own:
        if here[name].dtype == float:
            np.testing.assert_allclose(there[name], here[name], rtol=1e-9, err_msg=name)


def test_a_scan_asks_the_device_too(stand_in, tmp_path):
    np.save(tmp_path / "fc.npy", gaussian_matrix(120, 90, seed=0))
    frame = ww.scan(tmp_path / "fc.npy", randomize=True, device="cuda")
    assert stand_in == [("cuda", (120, 90)), ("search on cuda", (120, 90))]
    assert frame["status"].tolist() == ["analyzed"]


def test_jobs_of_a_scan_share_a_device(stand_in, tmp_path, monkeypatch):
    """Threads, however much there is to do: each knows what the others have of its memory."""
    monkeypatch.setattr(pools, "PROCESSES_FROM", 0)
    weights = {f"{name}.weight": gaussian_matrix(60, 40, seed=seed) for seed, name in enumerate("ab")}
    np.savez(tmp_path / "m.npz", **weights)
    found = ww.scan(tmp_path / "m.npz", device="cuda", n_jobs=2)
    assert sorted(stand_in) == [("cuda", (60, 40))] * 2
    np.testing.assert_allclose(found["lambda_max"], ww.scan(tmp_path / "m.npz")["lambda_max"], rtol=1e-12)


def test_a_shuffle_that_does_not_fit_is_that_of_the_cpu(stand_in, monkeypatch, caplog):
    monkeypatch.setattr(gpu, "free_memory", lambda device: memory_of_a_shuffle(120, 90) - 1)
    W = gaussian_matrix(120, 90, seed=0)
    found = search.look(W, (0, 0), 0.01, whole=True, device="cuda")[0]
    here = search.look(W, (0, 0), 0.01, whole=True)[0]
    assert found.spectrum.tolist() == here.spectrum.tolist()
    assert stand_in == []
    assert "a 120 x 90 matrix takes about 0 MiB on cuda" in caplog.text


def test_a_device_works_while_the_walk_fits(stand_in, monkeypatch):
    """The fit of the first layer waits for the device to have begun the second."""
    second, plain, plain_fit = threading.Event(), gpu.device_eigenvalues, ww.WeightWatcher.apply_powerlaw

    def begun(matrix, device, exponent=0):
        if matrix.shape[0] == 70:
            second.set()
        return plain(matrix, device, exponent)

    def fit(self, *arguments, **options):
        assert second.wait(timeout=60)
        return plain_fit(self, *arguments, **options)

    monkeypatch.setattr(gpu, "device_eigenvalues", begun)
    monkeypatch.setattr(ww.WeightWatcher, "apply_powerlaw", fit)
    weights = {"a.weight": gaussian_matrix(60, 40, seed=0), "b.weight": gaussian_matrix(70, 40, seed=1)}
    with threadpool_limits(1, user_api="blas"):
        assert ww.analyze(weights, device="cuda")["status"].tolist() == ["success", "success"]


class Inside:
    """Work that counts who is at it, and goes on when the other has come or waits outside."""

    def __init__(self) -> None:
        self.lock, self.now, self.most, self.other = threading.Lock(), 0, 0, threading.Event()

    def __call__(self) -> bool:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            if self.now == 2:
                self.other.set()
        assert self.other.wait(timeout=60)
        with self.lock:
            self.now -= 1
        return True


def in_threads(number: int, work: Any) -> list[Any]:
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(work())) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize(("needed", "at_once"), [(40, 2), (50, 2), (60, 1)])
def test_what_does_not_fit_beside_others_waits_for_them(monkeypatch, needed, at_once):
    """Of 100 bytes two may have 40 or 50 each at a time, and one 60."""
    work, outside = Inside(), threading.Condition()
    plain = outside.wait

    def wait() -> bool:
        work.other.set()
        return plain()

    monkeypatch.setattr(outside, "wait", wait)
    monkeypatch.setattr(gpu, "_memory", outside)
    monkeypatch.setattr(gpu, "free_memory", lambda device: 100.0)
    assert in_threads(2, lambda: gpu.on_device("cpu", (3, 3), needed, work)) == [True] * 2
    assert work.most == at_once


def test_what_was_promised_is_free_again(monkeypatch, caplog):
    monkeypatch.setattr(gpu, "free_memory", lambda device: 100.0)
    assert gpu.on_device("cpu", (3, 3), 101, lambda: 7) is None
    assert "a 3 x 3 matrix takes about 0 MiB on cpu" in caplog.text
    with pytest.raises(ZeroDivisionError):
        gpu.on_device("cpu", (3, 3), 60, lambda: 1 / 0)
    assert gpu.on_device("cpu", (3, 3), 100, lambda: 7) == 7


class Allocated(TorchDispatchMode):
    """Bytes of the storages that torch's functions make and that are still there, and the most of them."""

    def __init__(self, *given: torch.Tensor) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known = {tensor.untyped_storage().data_ptr() for tensor in given}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for tensor in found if isinstance(found, (tuple, list)) else (found,):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() not in self.known:
                self._hold(tensor.untyped_storage())
        return found

    def _hold(self, storage: Any) -> None:
        place, size = storage.data_ptr(), storage.nbytes()
        self.known.add(place)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._drop, place, size)

    def _drop(self, place: int, size: int) -> None:
        self.known.discard(place)
        self.now -= size


@pytest.mark.parametrize("shape", [(300, 300), (1500, 120), (100, 2000)])
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_no_more_memory_is_taken_than_was_told(shape, dtype, monkeypatch):
    """As torch allocates, beside the solver's workspace, four Gram matrices, which it does not tell."""
    monkeypatch.setattr(gpu, "DEVICE_BLOCK_ELEMENTS", 20_000)
    monkeypatch.setattr(room, "DEVICE_BLOCK_ELEMENTS", 20_000)
    W = torch.from_numpy(gaussian_matrix(*shape, seed=0)).to(getattr(torch, dtype))
    solver = 4 * 8 * min(shape) ** 2
    with Allocated(W) as told:
        gpu.device_eigenvalues(W, "cpu")
    assert 8 * min(shape) ** 2 < told.most + solver <= gpu.memory_needed(*shape) + 10_000
    tall = W if shape[0] >= shape[1] else W.T.contiguous()
    with Allocated(tall) as told:
        there = ShuffledThere(tall, (0,))
        pairs, _ = there.pairs()
        pairs.largest(4)
        there.sources(np.arange(5))
    assert 8 * tall.numel() < told.most <= memory_of_a_shuffle(*shape) + 100_000


def test_here_and_there_are_asked_alike():
    """A shuffle of the CPU answers the same questions of its own draw."""
    W = gaussian_matrix(60, 30, seed=0)
    here = ShuffledHere(W, (5,))
    entries = np.concatenate([block.copy() for block in here.blocks()])
    np.testing.assert_array_equal(W.ravel()[here.sources(np.arange(1800))], entries.ravel())
    pairs, sums = here.pairs()
    np.testing.assert_allclose(sums, entries.sum(axis=0))
    np.testing.assert_allclose(pairs.all(), np.linalg.svd(entries, compute_uv=False)[::-1] ** 2, rtol=1e-9)


@pytest.fixture
def together(monkeypatch, stand_in) -> list[int]:
    """How many matrices each call of the solver was given."""
    numbers: list[int] = []
    plain = gpu.device_equal_eigenvalues

    def counted(matrices, device):
        numbers.append(len(matrices))
        return plain(matrices, "cpu")

    monkeypatch.setattr(gpu, "device_equal_eigenvalues", counted)
    return numbers


def test_slices_of_a_kernel_are_decomposed_together(together, monkeypatch, tmp_path):
    """By `analyze` and by `scan`, as many as a limit holds; each as it would be alone, whatever its fate."""
    kernel = gaussian_matrix(24, 9 * 16, seed=0).reshape(24, 16, 3, 3)
    kernel[:, :, 0, 0] = np.outer(np.arange(24.0), np.ones(16))
    kernel[:, :, 1, 2] *= 1e-170
    weights = {"a.weight": kernel, "b.weight": gaussian_matrix(40, 30, seed=1)}
    here, there = ww.analyze(weights), ww.analyze(weights, device="cuda")
    assert together == [9]
    for name in ("lambda_max", "sv_min", "matrix_rank", "tail_alpha", "erg_rank"):
        np.testing.assert_allclose(there[name], here[name], rtol=1e-9, err_msg=name)
    np.savez(tmp_path / "m.npz", **weights)
    monkeypatch.setattr(gpu, "BATCH_BYTES", 8 * gpu.GRAM_MATRICES * 16**2 * 4)
    scanned = ww.scan(tmp_path / "m.npz", device="cuda")
    assert together == [9, 4, 4, 1]
    np.testing.assert_allclose(scanned["lambda_max"], ww.scan(tmp_path / "m.npz")["lambda_max"], rtol=1e-9)


def test_one_bad_slice_is_its_own(together):
    matrices = [gaussian_matrix(20, 10, seed=n) for n in range(3)]
    matrices[1][3, 4] = np.nan
    found = scaled_eigenvalues_of(matrices, "cuda")
    assert together == [3]
    assert np.isnan(found[1].plain).all()
    for place in (0, 2):
        np.testing.assert_allclose(found[place].plain, eigenvalues(matrices[place]), rtol=1e-9)


def test_slices_that_do_not_fit_are_the_cpus(together, monkeypatch):
    monkeypatch.setattr(gpu, "free_memory", lambda device: 0)
    matrices = [gaussian_matrix(20, 10, seed=n) for n in range(3)]
    found = scaled_eigenvalues_of(matrices, "cuda")
    assert together == []
    for one, matrix in zip(found, matrices):
        assert one.plain.tolist() == eigenvalues(matrix).tolist()


LARGE = 2 * 1024 * 1024 + 2048


@pytest.mark.parametrize(
    "source",
    [
        gaussian_matrix(50, 70, seed=3),
        gaussian_matrix(70, 50, seed=3).astype(np.float16),
        gaussian_matrix(60, 60, seed=3).astype(np.float32),
        (20 * gaussian_matrix(60, 60, seed=3).T).astype(np.int8),
        torch.from_numpy(gaussian_matrix(50, 70, seed=3)).to(torch.bfloat16),
        torch.from_numpy(20 * gaussian_matrix(70, 50, seed=3)).to(torch.int32),
        torch.from_numpy(gaussian_matrix(1024, LARGE // 1024, seed=3)).to(torch.bfloat16),
        gaussian_matrix(LARGE // 1024, 1024, seed=3).astype(np.float16),
    ],
    ids=["wide", "half", "square", "int8", "bfloat16", "int32", "large bfloat16", "large half"],
)
def test_entries_there_are_those_of_the_cpu(source):
    """Turned alike and of the same dtype and values, row by row in memory."""
    here, turned = search.tall_entries(source)
    there, turned_there = search.tall_entries_there(source, "cpu")
    assert turned_there == turned
    assert there.is_contiguous()
    here = here if hasattr(here, "detach") else torch.from_numpy(here)
    assert there.dtype == here.dtype
    assert torch.equal(there, here)


def planted(kind: str) -> np.ndarray:
    W = np.random.default_rng(7).standard_t(6, size=(90, 70))
    if kind == "apart":
        W[3, 4], W[50, 60] = 60, -70
    elif kind == "few sizes":
        W = np.round(W)
    elif kind == "tiny":
        W *= 2.0**-900
    elif kind == "huge":
        W *= 2.0**700
    return W


@pytest.mark.parametrize("kind", ["noise", "apart", "few sizes", "tiny", "huge"])
@pytest.mark.parametrize("block", [6300, 1024])
def test_entries_are_read_there_as_here(kind, block, stand_in, monkeypatch):
    """Mean, cumulants, tail and what stands apart, whatever the blocks; and where the large ones are."""
    monkeypatch.setattr(elements, "READ_ELEMENTS", block)
    W = planted(kind)
    tall, exponent = search.of_moderate_size(torch.from_numpy(W))
    plain, same = search.of_moderate_size(W)
    assert exponent == same
    assert (exponent != 0) == (kind in ("tiny", "huge"))
    np.testing.assert_array_equal(tall.numpy(), plain)
    there, here = elements.read_entries(tall.reshape(-1)), elements.read_entries(plain.reshape(-1))
    for name in ("mean", "variance", "k4", "k6", "centre"):
        assert getattr(there, name) == pytest.approx(getattr(here, name), rel=1e-11, abs=1e-13), name
    assert there.tail == here.tail
    assert there.has_known_tail == here.has_known_tail
    assert there.apart.tolist() == here.apart.tolist()
    assert (len(there.apart) >= 2) == (kind == "apart")
    size = float(np.sort(np.abs(plain - here.centre), axis=None)[-5])
    places = elements.places_beyond([tall[:40], tall[40:]], there.centre, size)
    assert places == elements.places_beyond([plain], here.centre, size)
    assert len(places) == (5 if kind != "few sizes" else len(places)) >= 5


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda W: W.fill(0), "all entries are zero"),
        (lambda W: W.fill(2.5), "all entries are equal, so there is no noise to compare with"),
        (lambda W: W.ravel().__setitem__(slice(3), np.nan), "3 NaN and 0 Inf among its 1200 entries"),
        (lambda W: W.ravel().__setitem__(slice(2), [np.inf, -np.inf]), "0 NaN and 2 Inf among its 1200 entries"),
    ],
)
def test_a_search_there_refuses_what_one_here_does(spoil, reason, stand_in):
    W = gaussian_matrix(40, 30, seed=0)
    spoil(W)
    assert search.look(W, (0, 0), 0.01, device="cuda") == search.look(W, (0, 0), 0.01) == (None, reason)
    assert stand_in == [("search on cuda", (40, 30))]
