"""`analyze(n_jobs=...)`: threads change nothing in the numbers, and begin work before it is asked for."""

from __future__ import annotations

import itertools
import logging
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from threadpoolctl import threadpool_limits

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix, signed_pareto_matrix
from setol_ww.linalg import eigenvalues as eigen
from setol_ww.linalg import leading, shuffles
from setol_ww.linalg import symmetric as lapack
from setol_ww.watcher import subclass, together
from setol_ww.watcher import threads as ahead
from setol_ww.watcher.threads import Ahead
from spec_tests.product.test_parity import MODELS


def damaged() -> dict[str, torch.Tensor]:
    """Layers of every fate among sound ones: NaN, zero, rank one, a kernel, a fused projection, too small."""
    weights = {
        "a.weight": signed_pareto_matrix(120, 60, 2.5, seed=1),
        "nan.weight": np.full((40, 30), np.nan),
        "b.weight": gaussian_matrix(90, 130, seed=2),
        "zero.weight": np.zeros((30, 30)),
        "conv.weight": gaussian_matrix(32, 9 * 24, seed=3).reshape(32, 24, 3, 3),
        "rank.weight": np.outer(np.arange(1.0, 41.0), np.ones(35)),
        "attn.qkv_proj.weight": gaussian_matrix(192, 64, seed=4),
        "tiny.weight": gaussian_matrix(4, 3, seed=5),
        "c.weight": signed_pareto_matrix(150, 110, 1.5, seed=6),
    }
    return {name: torch.from_numpy(values).to(torch.bfloat16) for name, values in weights.items()}


@pytest.fixture(params=[1, 2], ids=["one BLAS thread", "two BLAS threads"])
def blas(request):
    with threadpool_limits(request.param, user_api="blas"):
        yield request.param


def assert_same_bytes(first: pd.DataFrame, second: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(first, second, check_exact=True)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("options", [{}, {"randomize": True, "mp_fit": True}], ids=["detX", "randomize"])
def test_the_table_does_not_depend_on_the_number_of_jobs(name, options, blas):
    alone = ww.analyze(MODELS[name](), **options)
    for n_jobs in (2, 5):
        assert_same_bytes(ww.analyze(MODELS[name](), n_jobs=n_jobs, **options), alone)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"randomize": True},
        {"farms": True},
        {"vectors": True},
        {"engine": "reference"},
    ],
    ids=lambda options: "+".join(options) or "detX",
)
def test_layers_that_fail_fail_alike(options, blas):
    assert_same_bytes(ww.analyze(damaged(), n_jobs=3, **options), ww.analyze(damaged(), **options))


def test_a_checkpoint_read_lazily(tmp_path, blas):
    save_file(damaged(), tmp_path / "model.safetensors")
    alone = ww.analyze(tmp_path, randomize=True)
    assert_same_bytes(ww.analyze(tmp_path, randomize=True, n_jobs=2), alone)
    assert set(alone["status"]) == {"failed", "success"}


def test_every_core_and_numpys_integers():
    model = MODELS["dense"]()
    for n_jobs in (-1, np.int64(2), -100):
        assert_same_bytes(ww.analyze(model, n_jobs=n_jobs), ww.analyze(model))


@pytest.mark.parametrize("n_jobs", [0, 1.5, "two", None, True])
def test_what_is_no_number_of_jobs_is_refused(n_jobs):
    with pytest.raises(ww.InvalidInput, match=r"n_jobs=.* was asked; accepted is an integer other than 0"):
        ww.analyze(gaussian_matrix(20, 20, seed=0), n_jobs=n_jobs)


def meeting(work, barrier: threading.Barrier, calls: range):
    """`work`, of which these calls wait until another of them has begun."""
    count = itertools.count()

    def waiting(*arguments, **options):
        if next(count) in calls:
            barrier.wait(timeout=60)
        return work(*arguments, **options)

    return waiting


@pytest.mark.parametrize(
    ("layers", "calls", "options"),
    [
        (4, range(4), {}),
        # Of one layer the spectrum comes alone; then its two shuffles are decomposed at once.
        (1, range(1, 3), {"randomize": True}),
    ],
    ids=["spectra of layers", "shuffles"],
)
def test_work_is_begun_before_it_is_asked_for(monkeypatch, layers, calls, options):
    barrier = threading.Barrier(2)
    monkeypatch.setattr(subclass, "eigenvalues", meeting(subclass.eigenvalues, barrier, calls))
    weights = {f"{letter}.weight": gaussian_matrix(140, 120, seed=1) for letter in "abcd"[:layers]}
    with threadpool_limits(1, user_api="blas"):
        frame = ww.analyze(weights, n_jobs=2, **options)
    assert len(frame) == layers
    assert not barrier.broken


@pytest.mark.parametrize(
    "form", [dict, lambda weights: torch.nn.ModuleDict({k[0]: linear(W) for k, W in weights.items()})]
)
def test_a_model_in_memory_has_all_threads(monkeypatch, form):
    """Four decompositions wait for each other, in a mapping and in a module."""
    barrier = threading.Barrier(4)
    monkeypatch.setattr(subclass, "eigenvalues", meeting(subclass.eigenvalues, barrier, range(4)))
    weights = {f"{letter}.weight": gaussian_matrix(50, 40, seed=1) for letter in "abcd"}
    with threadpool_limits(1, user_api="blas"):
        assert len(ww.analyze(form(weights), n_jobs=4)) == 4
    assert not barrier.broken


def linear(W: np.ndarray) -> torch.nn.Module:
    layer = torch.nn.Linear(W.shape[1], W.shape[0], bias=False)
    layer.weight = torch.nn.Parameter(torch.from_numpy(W).float())
    return layer


def test_traps_are_searched_while_the_walk_goes_on(monkeypatch):
    """The search waits for a step of the walk that comes before it is asked for."""
    walked = threading.Event()
    plain, plain_fit = subclass.find_traps_of, ww.WeightWatcher.apply_powerlaw

    def after_the_fit(*arguments, **options):
        assert walked.wait(timeout=60)
        return plain(*arguments, **options)

    def fit(self, *arguments, **options):
        walked.set()
        return plain_fit(self, *arguments, **options)

    monkeypatch.setattr(subclass, "find_traps_of", after_the_fit)
    monkeypatch.setattr(ww.WeightWatcher, "apply_powerlaw", fit)
    with threadpool_limits(1, user_api="blas"):
        assert ww.analyze(gaussian_matrix(60, 40, seed=0), n_jobs=2, randomize=True)["trap_count"].tolist() == [0]


@pytest.mark.parametrize("norm", [True, False])
def test_traps_of_the_next_layer_are_begun_with_its_spectrum(monkeypatch, norm):
    """The walk waits for a first spectrum until the traps of a layer after it are there, kernels scaled as ever."""
    options = {"randomize": True, "conv2d_norm": norm}
    weights = {"a.weight": gaussian_matrix(60, 40, seed=0), "b.weight": gaussian_matrix(8, 72, seed=1)}
    weights["b.weight"] = weights["b.weight"].reshape(8, 8, 3, 3)
    alone, searched = ww.analyze(weights, **options), threading.Event()
    plain, plain_esd = subclass.find_traps_of, ww.WeightWatcher.apply_esd

    def search(matrices, **asked):
        found = plain(matrices, **asked)
        if len(matrices) == 9:
            searched.set()
        return found

    def waiting(self, *arguments, **asked):
        assert searched.wait(timeout=60)
        return plain_esd(self, *arguments, **asked)

    monkeypatch.setattr(subclass, "find_traps_of", search)
    monkeypatch.setattr(ww.WeightWatcher, "apply_esd", waiting)
    with threadpool_limits(1, user_api="blas"):
        assert_same_bytes(ww.analyze(weights, n_jobs=2, **options), alone)


def test_strengths_are_begun_with_the_spectrum(monkeypatch):
    """The walk waits for the strengths of a later layer before it looks at the first spectrum; a failure is its own."""
    weights = {f"{letter}.weight": gaussian_matrix(60 + i, 40, seed=i) for i, letter in enumerate("abc")}
    alone, begun = ww.analyze(weights), threading.Event()
    plain, plain_esd = subclass.strengths_of, ww.WeightWatcher.apply_esd

    def strengths(matrices):
        if matrices[0].shape[0] == 61:
            begun.set()
        return plain(matrices)

    def waiting(self, *arguments, **asked):
        assert begun.wait(timeout=60)
        return plain_esd(self, *arguments, **asked)

    monkeypatch.setattr(subclass, "strengths_of", strengths)
    monkeypatch.setattr(ww.WeightWatcher, "apply_esd", waiting)
    with threadpool_limits(1, user_api="blas"):
        assert_same_bytes(ww.analyze(weights, n_jobs=2), alone)
    monkeypatch.undo()

    def failing(matrices):
        if matrices[0].shape[0] == 61:
            raise MemoryError("7 GiB")
        return plain(matrices)

    monkeypatch.setattr(subclass, "strengths_of", failing)
    monkeypatch.setattr(together, "strengths_of", failing)
    monkeypatch.setattr(together, "strengths_of_each", lambda layers: list(map(failing, layers)))
    with threadpool_limits(1, user_api="blas"):
        assert_same_bytes(ww.analyze(weights, n_jobs=2), ww.analyze(weights))


def test_large_layers_by_every_routine(monkeypatch, blas):
    """Two-stage solver, Lanczos, shuffles as stored and several blocks, at lowered thresholds."""
    monkeypatch.setattr(lapack, "TWO_STAGE_FROM", 30)
    monkeypatch.setattr(leading, "DENSE_SIDE", 20)
    monkeypatch.setattr(shuffles, "IN_CACHE", 0)
    monkeypatch.setattr(eigen, "BLOCK_ELEMENTS", 64)
    alone = ww.analyze(damaged(), randomize=True)
    assert_same_bytes(ww.analyze(damaged(), randomize=True, n_jobs=3), alone)
    monkeypatch.undo()
    usual = ww.analyze(damaged(), randomize=True)
    for column in ("alpha", "max_rand_eval", "trap_lambda_max"):
        np.testing.assert_allclose(alone[column], usual[column], rtol=1e-7)


@pytest.mark.parametrize("error", [np.linalg.LinAlgError("no"), MemoryError("7 GiB")])
@pytest.mark.parametrize("n_jobs", [1, 3])
def test_a_search_for_traps_that_fails_costs_its_columns_and_says_so(monkeypatch, error, n_jobs):
    weights = {f"{letter}.weight": gaussian_matrix(60, 40, seed=1) for letter in "ab"}
    usual = ww.analyze(weights, randomize=True)
    plain, count = subclass.find_traps_of, itertools.count()

    def failing(*arguments, **options):
        if not next(count):
            raise error
        return plain(*arguments, **options)

    monkeypatch.setattr(subclass, "find_traps_of", failing)
    with threadpool_limits(1, user_api="blas"):
        frame = ww.analyze(weights, randomize=True, n_jobs=n_jobs)
    told = [name for name in frame if name.startswith("trap_")] + ["status", "reason"]
    pd.testing.assert_frame_equal(frame.drop(columns=told), usual.drop(columns=told))
    (failed,) = frame.index[frame["trap_count"].isna()]
    assert frame["status"].tolist() == ["failed" if place == failed else "success" for place in (0, 1)]
    assert frame.loc[failed, "reason"].endswith(f"no traps, {type(error).__name__}: {error}")


@pytest.mark.parametrize("n_jobs", [2, 4])
def test_a_shuffle_that_fails_moves_no_other_layer(monkeypatch, n_jobs):
    """Draws go on as if it had not failed, whoever had drawn how far."""
    weights = {f"{letter}.weight": gaussian_matrix(60 + i, 40, seed=i) for i, letter in enumerate("abc")}
    plain = subclass.eigenvalues
    spectrum = plain(torch.from_numpy(weights["b.weight"]), "cpu")

    def failing(matrix, device):
        found = plain(matrix, device)
        if tuple(matrix.shape) == (61, 40) and not np.array_equal(found, spectrum):
            raise np.linalg.LinAlgError("no convergence")
        return found

    usual = ww.analyze(weights, randomize=True)
    monkeypatch.setattr(subclass, "eigenvalues", failing)
    alone = ww.analyze(weights, randomize=True)
    assert alone["max_rand_eval"].isna().tolist() == [False, True, False]
    assert alone["status"].tolist() == ["success", "failed", "success"]
    assert alone["reason"][1] == "layer b: no randomised spectrum, LinAlgError: no convergence"
    assert alone["max_rand_eval"][2] == usual["max_rand_eval"][2]
    with threadpool_limits(1, user_api="blas"):
        assert_same_bytes(ww.analyze(weights, randomize=True, n_jobs=n_jobs), alone)


def test_a_checkpoint_is_read_one_layer_ahead(tmp_path, monkeypatch):
    save_file({f"{name}.weight": torch.randn(40, 30) for name in "abcdefgh"}, tmp_path / "m.safetensors")
    read: list[int] = []
    plain = subclass.WeightWatcher._begin

    def begin(self, *arguments):
        read.append(1)
        return plain(self, *arguments)

    monkeypatch.setattr(subclass.WeightWatcher, "_begin", begin)
    walked: list[int] = []
    steps = subclass.WeightWatcher._steps

    def counted(self, *arguments):
        assert len(read) <= len(walked) + 2
        walked.append(1)
        return steps(self, *arguments)

    monkeypatch.setattr(subclass.WeightWatcher, "_steps", counted)
    with threadpool_limits(1, user_api="blas"):
        assert len(ww.analyze(tmp_path, n_jobs=8)) == len(read) == 8


def test_threads_have_the_limits_that_are_of_one_thread(monkeypatch):
    pools = [
        {"user_api": "blas", "internal_api": "mkl", "prefix": "libmkl_rt", "num_threads": 1},
        {"user_api": "blas", "internal_api": "openblas", "prefix": "libopenblas", "num_threads": 1},
        {"user_api": "openmp", "internal_api": "openmp", "prefix": "libgomp", "num_threads": 4},
    ]
    set_by: list[tuple] = []
    monkeypatch.setattr(ahead.threadpoolctl, "threadpool_info", lambda: pools)
    monkeypatch.setattr(ahead.threadpoolctl, "threadpool_limits", lambda limits: set_by.append(limits))
    with Ahead(2) as work:
        assert work.later(int, "7")() == 7
    assert set_by == [{"libmkl_rt": 1}]


def test_the_callers_error_state_holds_in_threads():
    with np.errstate(divide="raise"), threadpool_limits(1, user_api="blas"), Ahead(2) as work:
        failing = work.later(np.divide, np.ones(1), np.zeros(1))
        with pytest.raises(FloatingPointError):
            failing()


def test_blas_with_threads_of_its_own_decomposes_one_at_a_time(caplog):
    with threadpool_limits(2, user_api="blas"), caplog.at_level(logging.INFO, logger="setol_ww"), Ahead(4) as work:
        assert work.threads == 1
    assert "BLAS has 2 threads: one decomposition at a time" in caplog.text
    with threadpool_limits(1, user_api="blas"), Ahead(4) as work:
        assert {pool["num_threads"] for pool in ahead.blas_pools()} == {1}
        assert work.threads == 4


def test_no_thread_is_left_behind(monkeypatch):
    before = set(threading.enumerate())
    weights = {f"{letter}.weight": gaussian_matrix(60, 40, seed=0) for letter in "abcd"}

    def broken(matrix, device):
        raise KeyboardInterrupt

    with threadpool_limits(1, user_api="blas"):
        ww.analyze(weights, n_jobs=4)
        assert set(threading.enumerate()) <= before
        monkeypatch.setattr(subclass, "eigenvalues", broken)
        with pytest.raises(KeyboardInterrupt):
            ww.analyze(weights, n_jobs=4)
    assert set(threading.enumerate()) <= before


def test_items_are_made_in_order_and_few_of_them_wait():
    made: list[int] = []

    def items():
        for number in range(20):
            made.append(number)
            yield number

    with threadpool_limits(1, user_api="blas"), Ahead(3) as work:
        for position, result in enumerate(work.map(lambda number: number**2, items())):
            assert result == position**2
            assert len(made) <= position + 4
    with Ahead(1) as alone:
        assert list(alone.map(str, [1, 2])) == ["1", "2"]
        assert alone.later(divmod, 7, 2)() == (3, 1)
