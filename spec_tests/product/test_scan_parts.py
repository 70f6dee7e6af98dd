"""What a scan is made of, piece by piece: costs and estimates, who gets which job, rows with a reason, pools."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from threadpoolctl import threadpool_info, threadpool_limits

import setol_ww as ww
from setol_ww.core import forks
from setol_ww.core.errors import ChangedCheckpoint
from setol_ww.core.options import Options
from setol_ww.formats.checkpoints import checkpoint_fingerprint
from setol_ww.results.record import FARMS, STRENGTHS, TRAPS, LayerRecord
from setol_ww.results.store import Store, store_path
from setol_ww.scanning import cost as costs
from setol_ww.scanning import dispatch, jobs, pools, row, run
from setol_ww.scanning.cost import Pace, cost, shares
from setol_ww.scanning.row import Asked
from setol_ww.weights.plan import Job
from setol_ww.weights.tensors import mapping_tensors


def saved(path: Path, **weights: np.ndarray) -> Path:
    np.savez(path, **{f"{name}.weight": values for name, values in weights.items()})
    return path


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


# What a layer costs.


def test_a_cost_written_out():
    """A fixed part, N M^2 for the Gram matrix, two and a half M^3 for its eigenvalues."""
    assert cost(4, 3) == 700**3 + 4 * 9 + 2.5 * 27
    assert cost(3, 4, 5) == 700**3 + 5 * (4 * 9 + 2.5 * 27)
    assert shares([1.0, 1.0, 1.0], 3) == [0, 1, 2]
    assert shares([0.0, 0.0], 1) == [0, 0]


def test_the_pace_is_that_of_what_was_learnt(monkeypatch):
    """Probed by the second of two matrices of 768 x 512, the same each time, then by the layers."""
    seen, clock = [], iter([0.0, 9.0, 10.0, 12.0])
    monkeypatch.setattr(costs, "eigenvalues", lambda matrix: seen.append(matrix))
    monkeypatch.setattr(costs, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    pace = Pace()
    assert np.isnan(pace.estimate(5.0))
    pace.probe()
    units = 768 * 512**2 + 2.5 * 512**3
    assert (pace.units, pace.seconds) == (units, 2.0)
    assert [matrix.shape for matrix in seen] == [(768, 512)] * 2
    np.testing.assert_array_equal(seen[0], np.random.default_rng(0).normal(size=(768, 512)))
    assert pace.estimate(units) == 2.0
    assert pace.estimate(units, 4) == 0.5
    pace.learn(units, 6.0)
    assert pace.estimate(2 * units) == pytest.approx(8.0)


# Jobs.


def test_the_jobs_of_a_checkpoint(tmp_path):
    path = saved(tmp_path / "m.npz", a=draw(30, 20), b=draw(30, 20).astype(np.int8), c=draw(4, 3, 3, 3))
    found = jobs.jobs_of(path)
    assert [job.longname for job in found] == ["a", "b", "c"]
    assert [jobs.cost_of(job) for job in found] == [cost(30, 20), 0.0, cost(4, 3, 9)]
    assert jobs.shard_of(found, None) == found
    halves = [[job.longname for job in jobs.shard_of(found, (number, 2))] for number in range(2)]
    assert halves == [["a"], ["b", "c"]]
    left_out = jobs.jobs_of(path, "a")
    assert [jobs.cost_of(job) > 0 for job in left_out] == [True, False, False]
    np.savez(tmp_path / "bias.npz", bias=np.ones(4))
    with pytest.raises(ww.InvalidInput) as told:
        jobs.jobs_of(tmp_path / "bias.npz")
    assert str(told.value) == (
        f"the path {str(tmp_path / 'bias.npz')!r} was asked; it holds no weight of two or more dimensions"
    )


# Who gets which job.


@dataclass(eq=False)
class Handle:
    """A group under way."""

    group: list[Job]
    done: Callable[[], list[LayerRecord]]


class Pool:
    """Workers that do nothing, and die of layers as often as it is told."""

    death = (BrokenProcessPool,)
    is_here = False

    def __init__(self, number: int, dying: dict[str, int] | None = None, each: int = 1) -> None:
        self.number, self.dying, self.each = number, dict(dying or {}), each
        self.given: list[list[str]] = []
        self.most = 0

    def size(self) -> int:
        return self.number

    def submit(self, work: Any, group: Any, asked: Any) -> Any:
        self.given.append([job.title for job in group])
        return Handle(group, lambda: work(group, asked))

    def wait(self, handles: Any) -> Any:
        self.most = max(self.most, len(handles))
        return handles[-1:]

    def result(self, handle: Any) -> Any:
        for job in handle.group:
            if self.dying.get(job.title):
                self.dying[job.title] -= 1
                raise BrokenProcessPool
        return handle.done()

    def deaths(self, error: BaseException) -> int:
        return self.each

    def close(self) -> None:
        raise AssertionError("closed by nobody here")


def rows_of(group: Any, asked: Any) -> list[LayerRecord]:
    return [LayerRecord(job.position, job.identity()) for job in group]


def planned(**weights: np.ndarray) -> list[Job]:
    from setol_ww.weights.plan import plan

    return plan(mapping_tensors({f"{name}.weight": values for name, values in weights.items()}), None, None)


def test_the_dearest_comes_first_and_small_ones_together():
    """Sixteen at most, of any shape; 2**20 elements are small, one more is alone; what is skipped comes last."""
    small = {f"s{at}": draw(20, 10) for at in range(18)}
    weights = {
        "int": np.ones((9, 9), np.int8),
        **small,
        "edge": np.zeros((1024, 1024)),
        "edge2": np.zeros((1024, 1024)),
    }
    weights |= {"large": np.zeros((1024, 1025)), "large2": np.zeros((1024, 1025)), "tall": draw(10, 20)}
    done = [[one.longname for one in group] for group in dispatch.finished(planned(**weights), Asked(), work=rows_of)]
    names = [f"s{at}" for at in range(18)]
    assert done == [["large"], ["large2"], ["edge", "edge2", *names[:14]], [*names[14:], "tall"], ["int"]]


def test_all_matrices_of_a_tensor_count():
    weights = {"a": draw(20, 10, 3, 3), "b": draw(20, 10, 3, 3, seed=1), "c": draw(20, 10, 5, 5)}
    weights |= {"large": np.zeros((400, 300, 3, 3)), "large2": np.zeros((400, 300, 3, 3))}
    done = [[one.longname for one in group] for group in dispatch.finished(planned(**weights), Asked(), work=rows_of)]
    assert done == [["large"], ["large2"], ["c", "a", "b"]]


def test_a_layer_that_cannot_be_read_ahead_is_told_in_the_log(monkeypatch, caplog):
    def failing(job: Job) -> None:
        raise OSError("gone")

    monkeypatch.setattr(dispatch, "foresee_job", failing)
    weights = {"a": np.zeros((1200, 1000)), "b": np.zeros((1100, 1000)), "c": np.zeros((1000, 1000))}
    with caplog.at_level("DEBUG"):
        done = [one.longname for group in dispatch.finished(planned(**weights), Asked(), work=rows_of) for one in group]
    assert done == ["a", "b", "c"]
    assert caplog.messages == ["layer b: not foreseen", "layer c: not foreseen"]


def test_no_more_is_under_way_than_there_are_workers():
    """And every worker has some of what is left; rows that need no work are not sent to anyone."""
    weights = {f"s{at:02}": draw(20, 10) for at in range(24)}
    weights |= {"int": np.ones((9, 9), np.int8), "more": np.ones((9, 9), np.int8)}
    pool = Pool(3)
    done = [[one.longname for one in group] for group in dispatch.finished(planned(**weights), Asked(), pool, rows_of)]
    assert done[:2] == [["more"], ["int"]]
    assert pool.most == 3
    assert not any({"int", "more"} & set(group) for group in pool.given)
    assert sorted(name for group in done for name in group) == sorted(weights)
    # A sixth of those that are left at a time.
    assert [len(group) for group in pool.given] == [4, 3, 2, 2, 2, *[1] * 11]


def test_a_layer_that_killed_two_workers_is_given_up(caplog):
    weights = {"a": np.zeros((2000, 1000)), "b": np.zeros((1900, 1000))}
    pool = Pool(1, {"a": 1, "b": 2})
    with caplog.at_level("WARNING"):
        found = {
            one.longname: one
            for group in dispatch.finished(planned(**weights), Asked(), pool, rows_of)
            for one in group
        }
    assert pool.given == [["a"], ["b"], ["a"], ["b"]]
    assert found["a"].status == "analyzed"
    given_up = found["b"]
    assert (given_up.status, given_up.gave_up) == ("failed", True)
    assert given_up.reason == (
        "layer b: given up, 2 workers died of it (BrokenProcessPool). Beside its weights it takes about 15 MiB; the "
        "next scan with the same results file tries it again"
    )
    assert given_up.identity == planned(**weights)[1].identity()
    assert [record.getMessage() for record in caplog.records] == [
        f"layer {name}: its worker died (BrokenProcessPool)" for name in ("a", "b", "b")
    ]


def test_two_that_their_worker_died_of_are_tried_alone():
    pool = Pool(1, {"s0": 1})
    weights = {f"s{at}": draw(20, 10) for at in range(4)}
    found = [one.longname for group in dispatch.finished(planned(**weights), Asked(), pool, rows_of) for one in group]
    assert pool.given[0] == ["s0", "s1"]
    assert [["s0"] in pool.given, ["s1"] in pool.given] == [True, True]
    assert sorted(found) == sorted(weights)


def test_a_cluster_that_tried_three_times_has_tried_enough():
    pool = Pool(1, {"a": 9}, each=3)
    (group,) = dispatch.finished(planned(a=np.zeros((2000, 1000))), Asked(), pool, rows_of)
    assert group[0].reason.startswith("layer a: given up, 3 workers died of it")
    assert len(pool.given) == 1


def test_a_group_that_died_is_told_and_each_is_tried_alone(caplog):
    pool = Pool(1, {"s1": 1})
    weights = {f"s{at}": draw(20, 10) for at in range(8)}
    with caplog.at_level("WARNING"):
        found = [
            one.longname for group in dispatch.finished(planned(**weights), Asked(), pool, rows_of) for one in group
        ]
    assert sorted(found) == sorted(weights)
    assert pool.given[0] == ["s0", "s1", "s2", "s3"]
    assert [record.getMessage() for record in caplog.records] == ["4 layers from s0 on: their worker died"]
    assert all([name] in pool.given for name in pool.given[0])


# Pools.


@pytest.mark.parametrize("n_jobs", [0, True, 1.5, "2", None])
def test_what_is_no_number_of_workers(n_jobs):
    with pytest.raises(ww.InvalidInput) as told:
        pools.number_of_jobs(n_jobs)
    assert str(told.value) == (f"n_jobs={n_jobs!r} was asked; accepted is an integer other than 0, -1 for every core")


def test_workers_are_counted_as_joblib_does(monkeypatch):
    monkeypatch.setattr(pools.joblib, "cpu_count", lambda: 8)
    told = [pools.number_of_jobs(number) for number in (1, 3, np.int64(5), -1, -2, -8, -9, -20)]
    assert told == [1, 3, 5, 8, 7, 1, 1, 1]
    assert {type(number) for number in told} == {int}


def test_which_workers_there_are(monkeypatch):
    """No more than jobs; copies from 1e10 units on, processes from 1e12; a number of joblib's where none is asked."""
    made: list[tuple[str, int]] = []
    for kind in ("ThreadPool", "ForkPool", "LocalPool"):
        monkeypatch.setattr(pools, kind, lambda size, kind=kind: made.append((kind, size)))
    monkeypatch.setattr(pools, "can_fork", lambda: True)
    for n_jobs, number, units in ((4, 9, 0.0), (4, 2, 9.99e11), (4, 9, 1e12), (4, 1, 1e15)):
        make = pools.pool_maker(n_jobs)
        assert make is not None
        make(number, units)
    assert made == [("ThreadPool", 4), ("ForkPool", 2), ("LocalPool", 4), ("LocalPool", 1)]
    assert pools.pool_maker(1) is None
    with joblib.parallel_config(n_jobs=3):
        make = pools.pool_maker(1)
        assert make is not None
        make(9, 0.0)
        assert pools.pool_maker(2) is not None
    with joblib.parallel_config(backend="sequential"):
        assert pools.pool_maker(4) is None
    assert made[-1] == ("ThreadPool", 3)
    monkeypatch.setattr(pools, "number_of_jobs", lambda number: number)
    with joblib.parallel_config(backend="threading"), pytest.raises(ww.InvalidInput) as told:
        pools.pool_maker(2)
    assert str(told.value) == "the joblib backend ThreadingBackend was asked; accepted are loky, dask and ray"


def test_the_workers_of_a_cluster_that_is_joblibs(monkeypatch):
    """Whatever number is asked: the cluster has its own."""

    class DaskDistributedBackend:
        client = "its client"

    class RayBackend:
        pass

    monkeypatch.setattr(pools, "DaskPool", lambda client: ("dask", client))
    monkeypatch.setattr(pools, "RayPool", lambda: "ray")
    for backend, pool in ((DaskDistributedBackend(), ("dask", "its client")), (RayBackend(), "ray")):
        monkeypatch.setattr(pools, "get_active_backend", lambda backend=backend: (backend, None))
        for number in (1, 3):
            make = pools.pool_maker(number)
            assert make is not None
            assert make(2, 0.0) == pool


class Client:
    """What a Dask client answers."""

    def __init__(self) -> None:
        self.cores: dict[str, int] = {}
        self.cancelled: list[Any] = []

    def ncores(self) -> dict[str, int]:
        return self.cores

    def submit(self, work: Any, *arguments: Any, pure: bool) -> Any:
        return SimpleNamespace(result=lambda: work(*arguments), pure=pure)

    def cancel(self, futures: list[Any]) -> None:
        self.cancelled += futures


def test_a_dask_pool(monkeypatch):
    distributed = pytest.importorskip("distributed", reason="needs dask[distributed]")
    asked: list[Any] = []
    monkeypatch.setattr(
        distributed, "wait", lambda handles, **told: (asked.append(told), SimpleNamespace(done={handles[0]}))[1]
    )
    client = Client()
    pool = pools.DaskPool(client)
    assert pool.size() == 1
    client.cores = {"one": 2, "two": 3}
    assert pool.size() == 5
    first, second = pool.submit(abs, -3), pool.submit(abs, -4)
    assert first.pure is False
    assert pool.wait(["one", "other"]) == ["one"]
    assert asked == [{"return_when": "FIRST_COMPLETED"}]
    assert pool.result(first) == 3
    pool.close()
    assert client.cancelled == [second]
    assert pool.death == (distributed.KilledWorker,)
    assert not pool.is_here
    assert pool.deaths(distributed.KilledWorker("task", None, 3)) == 4
    assert pool.deaths(RuntimeError()) == 1


@pytest.fixture
def ray(monkeypatch) -> ModuleType:
    """A module that answers as Ray does, and notes what it was asked."""
    module = ModuleType("ray")
    asked: list[Any] = []

    class Remote:
        def __init__(self, work: Any) -> None:
            self.work = work

        def options(self, **told: Any) -> Remote:
            asked.append(told)
            return self

        def remote(self, *arguments: Any) -> Any:
            return SimpleNamespace(result=self.work(*arguments))

    def remote(work: Any) -> Remote:
        asked.append("sent")
        return Remote(work)

    errors = {
        name: type(name, (Exception,), {}) for name in ("WorkerCrashedError", "OutOfMemoryError", "NodeDiedError")
    }
    module.exceptions = SimpleNamespace(**errors)  # type: ignore[attr-defined]
    module.asked, module.remote, module.resources = asked, remote, {"CPU": 3.0}  # type: ignore[attr-defined]
    module.is_initialized = lambda: False  # type: ignore[attr-defined]
    module.init = lambda **told: asked.append(told)  # type: ignore[attr-defined]
    module.cluster_resources = lambda: module.resources  # type: ignore[attr-defined]
    module.wait = lambda handles, num_returns: (handles[:num_returns], handles[num_returns:])  # type: ignore[attr-defined]
    module.get = lambda handle: handle.result  # type: ignore[attr-defined]
    module.cancel = lambda handle, force: asked.append((handle, force))  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "ray", module)
    return module


def test_a_ray_pool(ray):
    """Begun where it is not, its own prints not shown; a function is sent once, tried once, on one core."""
    pool = pools.RayPool()
    assert ray.asked == [{"log_to_driver": False}]
    assert pool.size() == 3
    handles = [pool.submit(abs, -number) for number in (3, 4)]
    assert ray.asked[1:] == ["sent", {"max_retries": 0, "num_cpus": 1}, {"max_retries": 0, "num_cpus": 1}]
    assert pool.wait(tuple(handles)) == handles[:1]
    assert pool.result(handles[0]) == 3
    pool.close()
    assert ray.asked[-1] == (handles[1], True)
    assert sum(isinstance(one, tuple) for one in ray.asked) == 1
    assert [kind.__name__ for kind in pool.death] == ["WorkerCrashedError", "OutOfMemoryError", "NodeDiedError"]
    assert pool.deaths(RuntimeError()) == 1
    assert not pool.is_here
    ray.resources = {}
    assert pool.size() == 1
    ray.resources = {"CPU": 0.0}
    assert pool.size() == 1
    ray.is_initialized = lambda: True
    before = len(ray.asked)
    pools.RayPool()
    assert len(ray.asked) == before


def test_threads_are_ended_and_what_waits_is_dropped():
    begun, goes = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        goes.wait(60)

    pool = pools.ThreadPool(1)
    pool.submit(slow)
    begun.wait(60)
    waiting = pool.submit(abs, -1)
    closing = threading.Thread(target=pool.close)
    closing.start()
    deadline = time.monotonic() + 60
    while not waiting.cancelled():
        assert time.monotonic() < deadline
    # Closed when the one that is under way is over.
    assert closing.is_alive()
    goes.set()
    closing.join(60)
    assert not closing.is_alive()
    assert (pool.size(), pool.is_here, pool.death, pool.deaths(RuntimeError())) == (1, True, (), 0)


@pytest.mark.parametrize("kind", ["ThreadPool", "LocalPool"])
def test_what_is_over_is_told_while_others_work(kind):
    goes = threading.Event()
    pool = pools.ThreadPool(2)
    try:
        slow, quick = pool.submit(goes.wait, 60), pool.submit(abs, -1)
        assert getattr(pools, kind).wait(pool, [slow, quick]) == [quick]
        assert not slow.done()
    finally:
        goes.set()
        pool.close()


def test_a_worker_looks_every_second_whether_it_is_still_wanted(monkeypatch):
    """In a thread that keeps no process from its end; with an error's status where its parent has gone."""
    done: list[Any] = []
    parents = iter([7, 7, 7, 1])

    def leave(status: int) -> None:
        done.append(("left", status))

    class Thread:
        def __init__(self, target: Any, daemon: bool = False) -> None:
            done.append(("daemon", daemon))
            self.start = target

    monkeypatch.setattr(forks, "os", SimpleNamespace(getppid=lambda: next(parents), _exit=leave))
    monkeypatch.setattr(forks, "time", SimpleNamespace(sleep=lambda seconds: done.append(("slept", seconds))))
    monkeypatch.setattr(forks, "threading", SimpleNamespace(Thread=Thread))
    forks.end_with(7)
    assert done == [("daemon", True), *[("slept", 1)] * 3, ("left", 1)]


def test_what_processes_are_asked():
    assert (pools.LocalPool.is_here, pools.LocalPool.death) == (False, (BrokenProcessPool,))
    assert pools.LocalPool.deaths(None, RuntimeError()) == 1  # type: ignore[arg-type]


# Rows.


def job_of(tmp_path: Path, values: np.ndarray, name: str = "a") -> Job:
    return next(job for job in jobs.jobs_of(saved(tmp_path / f"{name}.npz", **{name: values})) if job.longname == name)


def test_the_columns_around_ours():
    assert row.FORM.before == (
        *("longname", "slice", "layer_type", "N", "M", "Q", "rf", "num_evals", "dtype"),
        *("alpha", "xmin", "D", "sigma", "num_pl_spikes", "lambda_max", "norm", "stable_rank", "entropy"),
    )
    assert row.FORM.after == (
        *("status", "reason"),
        *("layout", "layout_from", "tensor", "layer_id", "shape", "n_params"),
    )


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        (LayerRecord(0, {}, "failed", "layer a: not loaded, gone"), True),
        (LayerRecord(0, {}, "failed", "layer a: no spectrum, MemoryError: short"), True),
        (LayerRecord(0, {}, "failed", "layer a: no spectrum, ValueError: odd"), False),
        (LayerRecord(0, {}, "failed", "not loaded"), False),
        (LayerRecord(0, {}, "analyzed", "layer a: not loaded, gone"), False),
        (LayerRecord(0, {}, "failed", "its worker died", gave_up=True), True),
        (LayerRecord(0, {}, "analyzed", ""), False),
    ],
)
def test_what_may_pass(record, wanted):
    assert row.may_pass(record) is wanted


@pytest.mark.parametrize(
    ("patched", "kept", "what"),
    [
        ("strengths_of_each", STRENGTHS, "no strengths"),
        ("find_traps_of", TRAPS, "no traps"),
        ("fit_submatrices", FARMS, "no windows"),
    ],
)
def test_what_the_entries_do_not_say_costs_itself_alone(tmp_path, monkeypatch, patched, kept, what):
    """Each by its name; the row has its numbers, its status and its reason all the same."""
    job, asked = job_of(tmp_path, draw(40, 30)), Asked(Options(randomize=True, farms=True, seed=3))
    ((sound,),) = [row.work([job], asked)]
    assert set(sound.extras) == {STRENGTHS, TRAPS, FARMS}
    assert (sound.status, sound.reason) == ("analyzed", "")

    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("odd")

    monkeypatch.setattr(row, patched, broken)
    (found,) = row.work([job], asked)
    assert set(found.extras) == {STRENGTHS, TRAPS, FARMS} - {kept}
    assert (found.status, found.reason) == ("failed", f"layer a: {what}, ZeroDivisionError: odd")
    assert found.cells["erg_rank"] == sound.cells["erg_rank"]


def test_of_several_reasons_the_first_is_told(tmp_path, monkeypatch):
    """Without a spectrum there is nothing to ask of the entries."""
    job, asked = job_of(tmp_path, draw(40, 30)), Asked(Options(randomize=True, farms=True))

    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("odd")

    told = []
    for patched in ("fit_submatrices", "find_traps_of", "strengths_of_each"):
        monkeypatch.setattr(row, patched, broken)
        (found,) = row.work([job], asked)
        told.append((found.reason.split(",")[0], found.spectrum is None, len(found.extras)))
    monkeypatch.setattr(row.Spectrum, "from_slices", broken)
    (found,) = row.work([job], asked)
    told.append((found.reason, found.spectrum is None, len(found.extras)))
    assert told == [
        ("layer a: no windows", False, 2),
        ("layer a: no traps", False, 1),
        ("layer a: no strengths", False, 0),
        ("layer a: no spectrum, ZeroDivisionError: odd", True, 0),
    ]


def test_traps_and_windows_have_the_seed_of_the_options(tmp_path):
    W = draw(60, 40)
    W[3, 4] = 30
    job = job_of(tmp_path, W)
    found = {seed: row.work([job], Asked(Options(randomize=True, farms=True, seed=seed)))[0] for seed in (3, 4)}
    for seed, one in found.items():
        traps = ww.find_traps(W, seed=seed)
        assert one.extras[TRAPS].pvalue == traps.pvalue
        np.testing.assert_array_equal(one.extras[TRAPS].shuffled, traps.shuffled)
        assert one.extras[FARMS] == ww.fit_submatrices(W, seed=seed)
    plain = row.work([job], Asked())[0]
    assert set(plain.extras) == {STRENGTHS}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([[np.nan, np.inf, -np.inf], [1, 2, 3]], "layer a: 1 NaN and 2 Inf among its 6 entries"),
        ([[np.nan, np.nan, 0], [1, 2, 3]], "layer a: 2 NaN and 0 Inf among its 6 entries"),
    ],
)
def test_entries_that_are_not_finite_are_counted(tmp_path, values, reason):
    (found,) = row.work([job_of(tmp_path, np.array(values, float))], Asked())
    assert (found.status, found.reason, found.spectrum) == ("failed", reason, None)
    assert found.seconds > 0


def test_a_file_that_is_another_is_noticed_when_it_is_read_and_where_it_cannot_be(tmp_path, monkeypatch):
    """By the fingerprint that the scan began with, once a read."""
    job = job_of(tmp_path, draw(40, 30))
    _, known = checkpoint_fingerprint(tmp_path / "a.npz")
    assert list(known) == [job.file]
    assert row.work([job], Asked(Options(), known))[0].status == "analyzed"
    with pytest.raises(ChangedCheckpoint):
        row.work([job], Asked(Options(), {job.file: "of another"}))

    def unread(job: Job) -> Any:
        raise ValueError("not what was expected there")

    with monkeypatch.context() as patch:
        patch.setattr(row, "read_matrices", unread)
        assert "ValueError: not what" in row.work([job], Asked(Options(), known))[0].reason
        with pytest.raises(ChangedCheckpoint):
            row.work([job], Asked(Options(), {job.file: "of another"}))
    rounds: list[str] = []
    monkeypatch.setattr(row, "opened", lambda file, expected: rounds.append(expected))
    row.work([job], Asked(Options(), known))
    assert rounds == [known[job.file]]


def test_rows_that_need_no_work_have_no_time(tmp_path):
    path = saved(tmp_path / "m.npz", a=draw(40, 30), b=np.ones((4, 4), np.int8))
    found = row.work(jobs.jobs_of(path), Asked())
    assert [(one.status, one.seconds > 0) for one in found] == [("analyzed", True), ("skipped", False)]
    assert found[1].seconds == 0.0
    assert "int8" in found[1].reason
    assert row.work([jobs.jobs_of(path)[1]], Asked())[0].seconds == 0.0


def test_time_of_all_is_shared_by_those_that_were_computed(tmp_path, monkeypatch):
    """Each has its own reading and spectrum, and an equal share of the columns that are computed together."""
    path = saved(tmp_path / "m.npz", a=draw(40, 30), b=draw(40, 30, seed=1), c=np.ones((4, 4), np.int8))
    clock = iter([0.0, 1.0, 10.0, 13.0, 20.0, 26.0])
    monkeypatch.setattr(row, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert [one.seconds for one in row.work(jobs.jobs_of(path), Asked())] == [4.0, 6.0, 0.0]


def test_one_thread_until_the_last_is_done():
    def blas() -> set[int]:
        return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}

    with threadpool_limits(2):
        before = blas()
        with row.one_blas_thread():
            with pytest.raises(ZeroDivisionError), row.one_blas_thread():
                raise ZeroDivisionError
            assert blas() == {1}
        assert blas() == before == {2}


def test_weightwatchers_numbers_of_what_it_reads_otherwise(tmp_path):
    """torch's float64, which it cuts to float32: its norm is of what is left, our eigenvalues are of the whole."""
    W = torch.tensor(draw(40, 30)) * (1 + 1e-7)
    save_file({"a.weight": W, "b.weight": W.float(), "c.bias_matrix": W.clone()}, tmp_path / "m.safetensors")
    found = {one.longname: one for one in row.work(jobs.jobs_of(tmp_path / "m.safetensors"), Asked())}
    squares = np.linalg.svd(W.numpy(), compute_uv=False)[::-1] ** 2
    np.testing.assert_allclose(found["a"].spectrum.raw, squares, rtol=1e-12)
    assert not np.allclose(found["b"].spectrum.raw, squares, rtol=1e-9)
    assert set(found["a"].theirs) == {*row.FIT, *row.NORMS}
    largest = found["a"].theirs["lambda_max"]
    assert largest == pytest.approx(found["b"].spectrum.raw[-1], rel=1e-12)
    assert largest != pytest.approx(squares[-1], rel=1e-10)
    assert (found["b"].theirs, found["c.bias_matrix"].theirs) == ({}, {})


def test_kernels_are_on_weightwatchers_scale(tmp_path):
    """Half the eigenvalues of each slice, and of the traps of all of them."""
    kernel = draw(8, 6, 3, 3).astype(np.float32)
    kernel[1, 2, 0, 0] = 40
    (conv,) = row.work([job_of(tmp_path, kernel, "k")], Asked(Options(randomize=True)))
    slices = [kernel[:, :, i, j].astype(float) for i in range(3) for j in range(3)]
    squares = np.concatenate([np.linalg.svd(one, compute_uv=False) ** 2 for one in slices])
    np.testing.assert_allclose(conv.spectrum.raw, np.sort(squares) / 2, rtol=1e-5)
    whole = ww.find_traps(kernel)
    assert conv.extras[TRAPS].lambda_max == pytest.approx(whole.lambda_max / 2, rel=1e-5)


def test_everything_is_computed_where_it_was_asked(tmp_path, monkeypatch):
    """Spectra, what WeightWatcher reads, traps and windows: on one device."""
    seen: list[tuple[str, str]] = []
    spectra, traps, windows = row.Spectrum.from_slices, row.find_traps_of, row.fit_submatrices

    def from_slices(matrices: Any, device: str = "cpu") -> Any:
        seen.append(("spectrum", device))
        return spectra(matrices)

    def find(*asked: Any, device: str = "cpu", **more: Any) -> Any:
        seen.append(("traps", device))
        return traps(*asked, **more)

    def fit(*asked: Any, device: str = "cpu", **more: Any) -> Any:
        seen.append(("windows", device))
        return windows(*asked, **more)

    monkeypatch.setattr(row.Spectrum, "from_slices", staticmethod(from_slices))
    monkeypatch.setattr(row, "find_traps_of", find)
    monkeypatch.setattr(row, "fit_submatrices", fit)
    save_file({"a.weight": torch.tensor(draw(40, 30))}, tmp_path / "m.safetensors")
    options = Options(randomize=True, farms=True, device="cuda")
    (found,) = row.work(jobs.jobs_of(tmp_path / "m.safetensors"), Asked(options))
    assert found.status == "analyzed"
    assert seen == [("spectrum", "cuda"), ("spectrum", "cuda"), ("traps", "cuda"), ("windows", "cuda")]


def test_what_a_worker_is_told_prints_without_fingerprints():
    asked = Asked(Options(), {"a": "b"})
    assert "fingerprints" not in repr(asked)
    assert (Asked().options, Asked().fingerprints) == (Options(), {})


# The run.


@pytest.mark.parametrize("shard", [3, (1, 1), (-1, 2), (2, 2), (0, 0), (0, 1, 2), ("a", 2), (0.0, 2), "01", (1,)])
def test_what_is_no_shard(tmp_path, shard):
    path = saved(tmp_path / "m.npz", a=draw(40, 30))
    with pytest.raises(ww.InvalidInput) as told:
        ww.scan(path, shard=shard)
    assert str(told.value) == f"shard={shard!r} was asked; accepted is a pair (i, n) of integers with 0 <= i < n"


def test_shards_of_numpys_numbers_have_their_jobs(tmp_path):
    path = saved(tmp_path / "m.npz", a=draw(40, 30), b=draw(50, 30), c=draw(60, 30))
    parts = [ww.scan(path, shard=np.array([number, 2]))["longname"].tolist() for number in range(2)]
    assert parts == [["c"], ["a", "b"]]
    assert ww.scan(path, shard=(0, 1))["longname"].tolist() == ["a", "b", "c"]


def test_what_a_store_says_of_its_scan(tmp_path):
    """What rows are gone on with by; the shard and its rows; what else was computed with."""
    path = saved(tmp_path / "m.npz", a=draw(40, 30), b=draw(50, 30))
    out = tmp_path / "a.setol"
    ww.scan(path, out, shard=(1, 2), seed=3, farms=True)
    results = ww.open_results(out)
    about = results.about
    assert about["version"] == ww.__version__
    assert about["path"] == str(path.resolve())
    stat = path.stat()
    assert about["files"] == [["m.npz", stat.st_size, stat.st_mtime_ns]]
    assert (about["shard"], about["rows"], about["first_id"], about["config"]) == ([1, 2], [0], 1, {})
    assert (about["seed"], about["farms"]) == (3, True)
    assert "n_jobs" not in about
    assert results.fingerprint == about["weights"]
    assert len(about["weights"]) == 32
    assert set(results.notes) == {"options", "form", "versions"}
    assert results.form == row.FORM


def test_a_store_beside_a_table_stays_for_a_shard_and_for_what_was_given_up(tmp_path, monkeypatch):
    path = saved(tmp_path / "m.npz", a=draw(40, 30), b=draw(50, 30))
    out = tmp_path / "a.csv"
    ww.scan(path, out, shard=(0, 2))
    assert store_path(out).exists()
    with pytest.raises(ww.InvalidInput, match="shard was"):
        ww.scan(path, out)
    store_path(out).unlink()
    real = run.finished

    def dying(left: list[Job], asked: Asked, pool: Any) -> Iterator[list[LayerRecord]]:
        for job in left:
            if job.longname == "b":
                yield [row.given_up(job, "given up, its worker died")]
            else:
                yield row.work([job], asked)

    monkeypatch.setattr(run, "finished", dying)
    frame = ww.scan(path, out)
    assert frame["status"].tolist() == ["analyzed", "failed"]
    assert frame["reason"].tolist() == ["", "layer b: given up, its worker died"]
    assert ww.read_table(out)["status"].tolist() == ["analyzed", "failed"]
    assert store_path(out).exists()
    seen: list[list[str]] = []
    monkeypatch.setattr(
        run,
        "finished",
        lambda left, asked, pool: real((seen.append([job.longname for job in left]), left)[1], asked, pool),
    )
    assert ww.scan(path, out)["status"].tolist() == ["analyzed", "analyzed"]
    assert seen == [["b"]]
    assert not store_path(out).exists()


class Bar:
    """A bar that notes what it is told."""

    def __init__(self, disable: bool = False) -> None:
        self.disable = disable
        self.told: list[str] = []
        self.moved: list[float] = []

    def tell(self, text: str) -> None:
        self.told.append(text)

    def update(self, units: float) -> None:
        self.moved.append(units)


def bars(monkeypatch: pytest.MonkeyPatch, disable: bool = False) -> list[tuple[Bar, dict[str, Any]]]:
    made: list[tuple[Bar, dict[str, Any]]] = []

    @contextmanager
    def bar(total: float, what: str, progress: Any, **told: Any) -> Iterator[Bar]:
        made.append((Bar(disable), {"total": total, "what": what, "progress": progress, **told}))
        yield made[-1][0]

    monkeypatch.setattr(run, "progress_bar", bar)
    return made


def test_a_bar_moves_by_the_work_that_is_done(tmp_path, monkeypatch):
    """The dearest first; with what was there from an earlier run; the time that is left by the pace so far."""
    monkeypatch.setattr(Pace, "probe", lambda self: self.learn(cost(768, 512), 0.0))
    path = saved(tmp_path / "m.npz", a=draw(40, 30), b=draw(1100, 1000), c=np.ones((4, 4), np.int8))
    whole = [cost(40, 30), cost(1100, 1000)]
    made = bars(monkeypatch)
    ww.scan(path, progress=True)
    ((bar, told),) = made
    assert told == {
        "total": sum(whole), "what": "layers", "progress": True, "initial": 0.0,
        "form": "{percentage:3.0f}%|{bar}| {desc}",
    }  # fmt: skip
    assert bar.moved == whole[::-1]
    assert [one.partition(",")[0] for one in bar.told] == ["0 of 2 layers", "1 of 2 layers", "2 of 2 layers"]
    assert bar.told[0] == "0 of 2 layers, about 0 s left"
    assert bar.told[-1] == "2 of 2 layers, about 0 s left"
    # Left by a run that was killed: the dearest is there.
    out = tmp_path / "a.setol"
    plain = Store.add_all

    def once(self: Store, records: Any) -> None:
        plain(self, records)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "add_all", once)
        with pytest.raises(KeyboardInterrupt):
            ww.scan(path, out)
    ww.scan(path, out)
    bar, told = made[-1]
    assert (told["total"], told["initial"], told["progress"]) == (sum(whole), pytest.approx(whole[1]), None)
    assert bar.moved == whole[:1]
    assert [one.partition(",")[0] for one in bar.told] == ["1 of 2 layers", "2 of 2 layers"]


def test_the_time_that_is_left_is_that_of_the_workers(monkeypatch):
    """Of three layers and two workers half of the whole; of the last layer all of it; at the pace of those so far."""
    made = bars(monkeypatch)
    monkeypatch.setattr(Pace, "probe", lambda self: self.learn(cost(40, 30), 10.0))
    work = planned(a=draw(40, 30), b=draw(40, 30), c=draw(40, 30), d=np.ones((4, 4), np.int8))
    with run._bar(work, set(), 2, True) as advance:
        advance(work[3], 1.0)
        advance(work[0], 30.0)
        advance(work[1], 0.0)
        advance(work[2], 10.0)
    bar = made[0][0]
    assert bar.told == [
        "0 of 3 layers, about 15 s left",
        "1 of 3 layers, about 20 s left",
        "2 of 3 layers, about 20 s left",
        "3 of 3 layers, about 0 s left",
    ]
    quiet = bars(monkeypatch, disable=True)
    with run._bar(work, set(), 2, False) as advance:
        advance(work[0], 1.0)
    assert (quiet[0][0].told, quiet[0][0].moved) == ([], [])


@pytest.mark.parametrize("interrupted", [False, True])
def test_what_is_known_of_files_is_let_go(tmp_path, monkeypatch, interrupted):
    path = saved(tmp_path / "m.npz", a=draw(40, 30))
    let_go: list[str] = []
    monkeypatch.setattr(run, "forget", lambda: let_go.append("files"))
    if interrupted:
        monkeypatch.setattr(run, "finished", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            ww.scan(path)
    else:
        ww.scan(path)
    assert let_go == ["files"]


def test_a_checkpoint_that_changes_while_it_is_opened(tmp_path, monkeypatch):
    path = saved(tmp_path / "m.npz", a=draw(40, 30))
    answers = iter([("one", {}), ("other", {})])
    monkeypatch.setattr(run, "checkpoint_fingerprint", lambda source: next(answers))
    with pytest.raises(ww.UnreadableCheckpoint) as told:
        ww.scan(path)
    assert str(told.value) == f"{path}: it changed while it was opened. Begin anew when it is written"


def test_libraries_are_there_before_threads_are_limited(tmp_path, monkeypatch):
    """torch for files of torch's, for none of numpy's, and not for rows that need no work."""
    asked: list[str] = []
    monkeypatch.setattr(row, "importlib", SimpleNamespace(import_module=asked.append))
    saved(tmp_path / "m.npz", a=draw(40, 30))
    save_file(
        {"a.weight": torch.ones(4, 3), "b.weight": torch.ones(4, 3, dtype=torch.int8)}, tmp_path / "m.safetensors"
    )
    row.load_libraries(jobs.jobs_of(tmp_path / "m.npz"))
    assert asked == []
    both = jobs.jobs_of(tmp_path / "m.safetensors")
    row.load_libraries([job for job in both if job.skipped])
    assert asked == []
    row.load_libraries(both)
    assert asked == ["torch"]
