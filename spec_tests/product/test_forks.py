"""Copies of this process at work: the table is that of one, whatever becomes of them, and nothing of them is left."""

from __future__ import annotations

import contextlib
import errno
import functools
import gc
import importlib.machinery
import io
import itertools
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed, parallel_config
from safetensors.torch import save_file
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix
from setol_ww.core import forks, manners
from setol_ww.core.errors import ChangedCheckpoint
from setol_ww.core.forks import Fork, ForkDied, answering, can_fork
from setol_ww.core.progress import progress_bar
from setol_ww.formats import reader
from setol_ww.scanning import pools, row, run
from setol_ww.watcher import model, records, shares
from setol_ww.watcher.shares import Turns, copies_for
from setol_ww.weights.plan import plan
from spec_tests.product.test_jobs import assert_same_bytes, damaged
from spec_tests.product.test_parity import MODELS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are copied on Linux alone")


@pytest.fixture
def copied(monkeypatch):
    """Any work is worth a copy; the list has the processes that were begun."""
    begun: list[Fork] = []

    class Counted(Fork):
        def __init__(self, *arguments) -> None:
            super().__init__(*arguments)
            begun.append(self)

    monkeypatch.setattr(shares, "FORKS_FROM", 0.0)
    monkeypatch.setattr(pools, "FORKS_FROM", 0.0)
    monkeypatch.setattr(shares, "Fork", Counted)
    monkeypatch.setattr(pools, "Fork", Counted)
    descriptors = set(os.listdir("/proc/self/fd"))
    with threadpool_limits(1, user_api="blas"):
        yield begun
    assert all(fork.is_over and not Path(f"/proc/{fork.number}").exists() for fork in begun)
    # One of them is that of the listing itself.
    assert len(set(os.listdir("/proc/self/fd")) - descriptors) <= 1


def small(count: int = 40) -> dict[str, torch.Tensor]:
    return {f"{place}.weight": torch.from_numpy(gaussian_matrix(40 + place, 30, seed=place)) for place in range(count)}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("options", [{}, {"randomize": True, "mp_fit": True}], ids=["detX", "randomize"])
def test_the_table_is_that_of_one_process(name, options, copied):
    alone = ww.analyze(MODELS[name](), **options)
    assert copied == []
    for n_jobs in (2, 4):
        found = ww.analyze(MODELS[name](), n_jobs=n_jobs, **options)
        assert_same_bytes(found, alone)
        assert found.attrs["coverage"] == alone.attrs["coverage"]
    assert len(copied) == min(2, len(alone)) - 1 + min(4, len(alone)) - 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"randomize": True},
        {"farms": True, "uncertainty": 3},
        {"layers": ["a", "*.qkv_proj", "conv"]},
        {"min_evals": 35, "max_evals": 100},
        {"layouts": {"attn.*": "skip", "b.weight": "rows:k=30,v=60"}},
        {"detX": False, "quality": False, "start_ids": 1},
    ],
    ids=lambda options: "+".join(options) or "detX",
)
def test_rows_of_every_fate(options, copied, tmp_path):
    """Slices, kernels, failures, what limits and layers leave out; from memory and from a file."""
    save_file(damaged(), tmp_path / "model.safetensors")
    for source in (damaged(), tmp_path / "model.safetensors"):
        alone, watcher = ww.analyze(source, **options), ww.WeightWatcher()
        found = watcher.analyze(source, n_jobs=3, **options)
        assert_same_bytes(found, alone)
        assert found.attrs["coverage"] == alone.attrs["coverage"]
        assert_same_bytes(watcher.results.table(), ww.examine(source, **options).table())
    assert len(copied) == 4


def test_a_scan_by_copies(copied, tmp_path):
    save_file({**damaged(), **small()}, tmp_path / "model.safetensors")
    options = {"randomize": True, "farms": True}
    alone = ww.scan(tmp_path, **options)
    assert_same_bytes(ww.scan(tmp_path, n_jobs=3, **options), alone)
    assert len(copied) == 3
    assert set(alone["status"]) == {"analyzed", "failed"}


def here_or_there(act):
    """`fit_powerlaw` that begins with `act` in a copy of this process."""
    plain, parent = ww.WeightWatcher.fit_powerlaw, os.getpid()

    def fit(self, *arguments, **options):
        if os.getpid() != parent:
            act()
        return plain(self, *arguments, **options)

    return fit


def ends_in_the_middle():
    """Kills the process that asks the third time."""
    count = itertools.count()
    return lambda: os.kill(os.getpid(), signal.SIGKILL) if next(count) == 2 else None


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (ends_in_the_middle(), "ended with exit code -9; its layers are analysed again"),
        (lambda: time.sleep(100), "neither answers nor works any more; its layers are analysed again"),
    ],
    ids=["dies", "hangs"],
)
def test_what_a_copy_leaves_is_done_here(act, said, copied, monkeypatch, caplog):
    alone = ww.analyze(small())
    monkeypatch.setattr(ww.WeightWatcher, "fit_powerlaw", here_or_there(act))
    monkeypatch.setattr(shares, "PATIENCE", 60.0 if "ended" in said else 0.1)
    with caplog.at_level(logging.WARNING, logger="setol_ww"):
        assert_same_bytes(ww.analyze(small(), n_jobs=2), alone)
    assert said in caplog.text


def test_a_file_that_changes_under_a_copy_ends_the_run(copied, monkeypatch):
    def changed():
        raise ChangedCheckpoint("model.safetensors: it changed while it was read")

    monkeypatch.setattr(ww.WeightWatcher, "fit_powerlaw", here_or_there(changed))
    with pytest.raises(ChangedCheckpoint, match="it changed while it was read"):
        ww.analyze(small(), n_jobs=2)


def test_an_interrupt_ends_the_copies(copied, monkeypatch):
    parent = os.getpid()

    def interrupted(self, *arguments, **options):
        if os.getpid() == parent:
            raise KeyboardInterrupt
        time.sleep(100)

    monkeypatch.setattr(ww.WeightWatcher, "apply_detX", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ww.analyze(small(), n_jobs=3)
    assert len(copied) == 2


def test_an_interrupt_while_the_process_is_copied_ends_the_copy(copied, monkeypatch):
    fork, made = os.fork, []

    def interrupted():
        made.append(fork())
        if made[-1]:
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        return made[-1]

    monkeypatch.setattr(os, "fork", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Fork(lambda: time.sleep(100))
    assert not Path(f"/proc/{made[0]}").exists()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


SHARED_OUT = """
    import os, signal, sys, time
    import numpy as np
    import setol_ww as ww
    from setol_ww.watcher import shares
    shares.FORKS_FROM = 0.0
    plain, parent = ww.WeightWatcher.fit_powerlaw, os.getpid()

    def slow(self, *arguments, **options):
        os.write(1, f"{os.getpid() == parent} {os.getpid()}\\n".encode())
        time.sleep(0.3)
        return plain(self, *arguments, **options)

    ww.WeightWatcher.fit_powerlaw = slow
    rng = np.random.default_rng(0)
    ww.analyze({f"{place}.weight": rng.normal(size=(40, 30)) for place in range(400)}, n_jobs=2)
"""


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_copies_end_with_the_process(sign):
    """An interrupt comes to all of them, as from a terminal; a kill to the process alone."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SHARED_OUT)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    seen: dict[str, int] = {}
    while len(seen) < 2:
        mine, number = process.stdout.readline().split()
        seen[mine] = int(number)
    if sign == signal.SIGINT:
        os.killpg(process.pid, sign)
    else:
        process.kill()
    # Copies write to the same pipes: both are at their ends when none is left.
    _, said = process.communicate(timeout=60)
    assert process.returncode == (-sign if sign == signal.SIGKILL else -signal.SIGINT)
    # A process that is ending closes its files first.
    patience = time.monotonic() + 60
    while not is_a_zombie(seen["False"]):
        assert time.monotonic() < patience
        time.sleep(0.01)
    assert said.count("Traceback") == (sign == signal.SIGINT)


def is_a_zombie(process: int) -> bool:
    """Ended, with nobody who has asked for its exit code."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_daemon_has_no_copies():
    context = multiprocessing.get_context("fork")
    theirs, ours = context.Pipe()
    process = context.Process(target=lambda: ours.send(can_fork()), daemon=True)
    process.start()
    process.join()
    assert theirs.recv() is False
    assert can_fork()


@pytest.mark.parametrize("name", ["jax", "tensorflow"])
def test_beside_libraries_with_threads_of_their_own_there_are_no_copies(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    assert not can_fork()


def test_beside_a_gpu_other_systems_and_other_ranks_there_are_no_copies(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_initialized", lambda: True)
        assert not can_fork()
    with monkeypatch.context() as patch:
        patch.setattr(torch.distributed, "is_initialized", lambda: True)
        assert not can_fork()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        assert not can_fork()
    monkeypatch.delitem(sys.modules, "torch")
    assert can_fork()


def test_a_subclass_sees_every_layer(copied):
    """What its methods keep is here."""

    class Keeping(ww.WeightWatcher):
        def fit_powerlaw(self, evals, *arguments, **options):
            kept.append(len(evals))
            return super().fit_powerlaw(evals, *arguments, **options)

    kept: list[int] = []
    Keeping().analyze(small(), n_jobs=2)
    assert kept == [30] * 40
    assert copied == []


def test_while_another_thread_imports_torch_there_are_no_copies(monkeypatch):
    half = types.ModuleType("torch")
    half.__spec__ = importlib.machinery.ModuleSpec("torch", None)
    half.__spec__._initializing = True
    monkeypatch.setitem(sys.modules, "torch", half)
    assert not can_fork()


def jobs_of(weights, **options):
    given = model.adapt(weights)
    return given, plan(given.entries, **options)


def test_copies_are_for_much_work_in_small_layers(monkeypatch):
    """`FORKS_FROM` units at least, half of them in small layers, with one BLAS thread, of arrays."""
    one = jobs_of({"a.weight": np.ones((60, 50))})[1][0]
    many = [one] * 40
    given = model.adapt({"a.weight": np.ones((60, 50))})
    large = jobs_of({"a.weight": np.broadcast_to(1.0, (2048, 2048))})[1][0]
    with threadpool_limits(1, user_api="blas"):
        assert copies_for(4, many, given) == 4
        assert copies_for(1, many, given) == 1
        assert copies_for(4, [one], given) == 1
        assert copies_for(4, [*many, large], given) == 1
        monkeypatch.setattr(shares, "FORKS_FROM", 0.0)
        assert copies_for(4, [one, one], given) == 2
        assert copies_for(4, [large, large], given) == 1

        class Theirs(np.ndarray):
            pass

        assert copies_for(4, many, model.adapt({"a.weight": np.ones((60, 50)).view(Theirs)})) == 1
        assert copies_for(4, many, model.adapt(MODELS["dense"]())) == 4
        with monkeypatch.context() as patch:
            patch.setattr(shares, "can_fork", lambda: False)
            assert copies_for(4, many, given) == 1
    with threadpool_limits(2, user_api="blas"):
        assert copies_for(4, many, given) == 1


def test_what_a_mapping_gives_is_asked_for_once(copied):
    """It may read a file. What is no array of numpy's or torch's is for threads; what is no weight does not count."""

    class Lazy(dict):
        def values(self):
            raise AssertionError("read a second time")

    assert_same_bytes(ww.analyze(Lazy(small()), n_jobs=2), ww.analyze(small()))
    assert_same_bytes(ww.analyze({**small(), "epoch": 3, "names": ["a"]}, n_jobs=2), ww.analyze(small()))
    assert len(copied) == 2
    array = gaussian_matrix(40, 30, seed=0)
    asked = {"layouts": {"matrix.weight": "rows:a=20,b=20"}}
    assert_same_bytes(ww.analyze(array, n_jobs=2, **asked), ww.analyze(array, **asked))
    assert len(copied) == 3

    class Theirs(np.ndarray):
        pass

    assert_same_bytes(ww.analyze(array.view(Theirs), n_jobs=2, **asked), ww.analyze(array, **asked))
    assert len(copied) == 3


def test_what_is_read_over_the_network_is_for_threads(monkeypatch, tmp_path):
    monkeypatch.setattr(shares, "FORKS_FROM", 0.0)
    np.save(tmp_path / "a.npy", np.ones((60, 50)))
    given = model.adapt(tmp_path / "a.npy")
    with threadpool_limits(1, user_api="blas"):
        assert copies_for(2, plan(given.entries) * 2, given) == 2
        for entry in given.entries:
            object.__setattr__(entry, "file", "https://127.0.0.1/a.npy")
        assert copies_for(2, plan(given.entries) * 2, given) == 1


def test_which_workers_a_scan_has(monkeypatch):
    make = functools.partial(pools.pool_maker, 3)
    for kind, units, options in (
        (pools.ThreadPool, 0.99e10, {}),
        (pools.ForkPool, 1e10, {}),
        (pools.ForkPool, 0.99e12, {}),
        (pools.LocalPool, 1e12, {}),
        (pools.ThreadPool, 1e11, {"is_remote": True}),
        (pools.ThreadPool, 1e11, {"device": "cuda"}),
    ):
        pool = make(**options)(2, units)
        assert (type(pool), pool.size()) == (kind, 2)
        pool.close()
    monkeypatch.setattr(pools, "can_fork", lambda: False)
    pool = make()(2, 1e11)
    assert type(pool) is pools.ThreadPool
    pool.close()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_scan_within_a_worker_of_joblib(n_jobs, tmp_path):
    """joblib gives its workers a backend that nobody has asked for."""
    save_file(small(4), tmp_path / "model.safetensors")
    (found,) = Parallel(n_jobs=2, backend="threading")([delayed(ww.scan)(tmp_path, n_jobs=n_jobs)])
    assert_same_bytes(found, ww.scan(tmp_path))
    with parallel_config(backend="threading"), pytest.raises(ww.InvalidInput, match="ThreadingBackend was asked"):
        ww.scan(tmp_path, n_jobs=n_jobs)


def test_a_daemon_scans_in_threads(monkeypatch):
    """It may have no processes of its own."""
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    for units in (1e11, 1e13):
        pool = pools.pool_maker(2)(2, units)
        assert type(pool) is pools.ThreadPool
        pool.close()


def test_a_scan_of_a_url_has_threads(monkeypatch, tmp_path):
    """Told by the files of the checkpoint."""
    asked = []
    monkeypatch.setattr(run, "pool_maker", lambda *arguments, **options: asked.append(options))
    for file in ("https://127.0.0.1/model.safetensors", "/models/model.safetensors"):
        run._work_off([], set(), row.Asked(fingerprints={file: ""}), lambda records: None)
    assert asked == [{"is_remote": True}, {"is_remote": False}]


@pytest.mark.parametrize("copies", [2, 3, 8])
def test_every_job_is_one_processs(copies):
    """Processes that draw in any order have each job once, in the order of the walk."""
    weights = {**small(50), "large.weight": np.broadcast_to(1.0, (2048, 2048)), **damaged()}
    _, jobs = jobs_of(weights)
    batches = shares._in_batches(jobs, copies)
    order = [job for batch in batches for job in batch]
    assert sorted(job.position for job in order) == [job.position for job in jobs if not job.skipped]
    assert [job.position for job in order if shares.may_be_weightwatchers(job)] == [
        job.position for job in jobs if shares.may_be_weightwatchers(job)
    ]
    assert [len(batch) for batch in batches if not batch[0].is_small] == [1]
    sizes = [len(batch) for batch in batches]
    assert sizes[0] == min(16, len(order) // (2 * copies) + 1)
    assert sizes[-1] == 1
    rng = np.random.default_rng(copies)
    with shares._Tickets(len(batches)) as tickets:
        turns = [Turns(batches, tickets) for _ in range(copies)]
        mine: list[list[int]] = [[] for _ in range(copies)]
        asking = [iter([*order, *order]) for _ in range(copies)]
        left = list(range(copies))
        while left:
            who = int(rng.choice(left))
            job = next(asking[who], None)
            if job is None:
                left.remove(who)
            elif turns[who].is_mine(job):
                mine[who].append(job.position)
    for seen in mine:
        # Asked again, it is the answer of before.
        assert seen[: len(seen) // 2] == seen[len(seen) // 2 :]
    assert sorted(itertools.chain(*(seen[: len(seen) // 2] for seen in mine))) == sorted(job.position for job in order)


def test_a_bar_moves_by_what_all_have_done():
    _, jobs = jobs_of(small(6))
    turns = Turns([jobs[:2], jobs[2:5], jobs[5:]], [1, 2])
    records = [types.SimpleNamespace(job=job) for job in jobs]
    assert [turns.is_mine(job) for job in jobs] == [False, False, True, True, True, True]
    assert [turns.steps_of(record) for record in records[2:5]] == [5, 0, 0]
    # The last of them another may have done.
    assert turns.steps_left() == 1
    assert (turns.steps_of(records[5]), turns.steps_left(), Turns().steps_left()) == (1, 0, 0)
    assert [Turns().steps_of(record) for record in records] == [1] * 6
    assert turns.steps_of(types.SimpleNamespace(job=None)) == 1


def test_any_number_of_tickets():
    with shares._Tickets(100_000) as tickets:
        assert list(tickets) == list(range(100_000))
        assert list(tickets) == []


def test_tickets_are_drawn_once_by_processes_that_draw_at_once():
    with shares._Tickets(4000) as tickets:
        others = [Fork(lambda: list(tickets)) for _ in range(3)]
        mine = list(tickets)
        drawn = [mine, *(other.answer() for other in others)]
    for other in others:
        other.end()
    assert sorted(itertools.chain(*drawn)) == list(range(4000))
    assert all(numbers == sorted(numbers) for numbers in drawn)


def fails(kind: str) -> None:
    if kind == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    raise {"file": ww.UnreadableCheckpoint("a.npy: not there"), "memory": MemoryError("7 GiB"), "defect": KeyError(1)}[
        kind
    ]


def test_a_pool_of_copies(copied, capfd):
    """What is wrong with a file or the memory is told; of anything else the copy dies, and another takes its place."""
    pool = pools.ForkPool(2)
    first, second = pool.submit(divmod, 45, 7), pool.submit(fails, "file")
    done = []
    while len(done) < 2:
        done.extend(handle for handle in pool.wait([first, second]) if handle not in done)
    assert pool.result(first) == (6, 3)
    with pytest.raises(ww.UnreadableCheckpoint, match="not there"):
        pool.result(second)
    assert len(copied) == 2
    for kind, code in (("dies", -9), ("defect", 1)):
        handle = pool.submit(fails, kind)
        assert pool.wait([handle]) == [handle]
        with pytest.raises(pool.death[0], match=f"a copy of this process ended with exit code {code}"):
            pool.result(handle)
        assert handle.is_over
        assert pool.deaths(ForkDied()) == 1
    with pytest.raises(MemoryError, match="7 GiB"):
        pool.result(*pool.wait([pool.submit(fails, "memory")]))
    assert len(copied) == 3
    # One that died while nobody asked it for anything is told of by the next answer.
    idle = pool.idle[-1]
    os.kill(idle.number, signal.SIGKILL)
    os.waitid(os.P_PID, idle.number, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ForkDied, match="-9"):
        pool.result(*pool.wait([pool.submit(divmod, 1, 1)]))
    pool.submit(time.sleep, 100)
    pool.close()
    assert "KeyError: 1" in capfd.readouterr().err


def test_answers_as_they_come():
    slow, quick = Fork(lambda: time.sleep(60)), Fork(lambda: "quick")
    assert answering([slow, quick]) == [quick]
    assert quick.answer() == "quick"
    with pytest.raises(ForkDied, match="neither answers nor works any more"):
        slow.answer(0.01)
    assert not slow.is_over
    for fork in (slow, quick):
        fork.end()
        assert fork.is_over


@pytest.mark.parametrize("taken", ["registry", "opening", "opening again"])
def test_no_lock_of_another_thread_is_missed_by_a_copy(taken, tmp_path):
    """Another thread is opening a file, importing, and inside one BLAS thread as the process is copied."""
    np.save(tmp_path / "a.npy", np.ones((3, 2)))
    known = reader.opened(tmp_path / "a.npy")
    slot = reader._readers.slots[known.path]
    held = {"registry": reader._readers.lock, "opening": slot.lock, "opening again": known._lock}[taken]
    inside, over = threading.Event(), threading.Event()

    def busy():
        with held, manners._importing, row.one_blas_thread(), row._one_thread.lock:
            inside.set()
            over.wait(60)

    def reads():
        with manners.importing(), row.one_blas_thread():
            found = reader.opened(tmp_path / "a.npy")
            # What nobody was at work with is known in the copy too.
            assert (found is known) == (taken == "registry")
            return found.read("a.weight").tolist()

    thread = threading.Thread(target=busy)
    thread.start()
    inside.wait(60)
    fork = Fork(reads)
    try:
        assert fork.answer(60) == [[1.0, 1.0]] * 3
    finally:
        fork.end()
        over.set()
        thread.join()


@pytest.fixture
def one_copy(monkeypatch):
    """The system has room for one copy of this process, and no more."""
    fork, made = os.fork, itertools.count()

    def at_most_one():
        if next(made):
            raise BlockingIOError(errno.EAGAIN, "no more processes")
        return fork()

    monkeypatch.setattr(os, "fork", at_most_one)


def test_where_no_more_copies_can_be_made_the_work_is_done_by_those_there_are(copied, one_copy, tmp_path, caplog):
    alone = ww.analyze(small())
    assert_same_bytes(ww.analyze(small(), n_jobs=4), alone)
    assert "1 copies of this process can be made, not 3 ([Errno 11] no more processes)" in caplog.text
    # Now there is not even one.
    assert_same_bytes(ww.analyze(small(), n_jobs=4), alone)
    assert "0 copies of this process" in caplog.text
    save_file(small(), tmp_path / "model.safetensors")
    assert_same_bytes(ww.scan(tmp_path, n_jobs=4), ww.scan(tmp_path))
    assert caplog.text.count("no further copy of this process can be made ([Errno 11] no more processes)") == 1


def test_a_scan_by_a_copy_and_this_process(copied, one_copy, tmp_path):
    save_file({**damaged(), **small()}, tmp_path / "model.safetensors")
    assert_same_bytes(ww.scan(tmp_path, n_jobs=3), ww.scan(tmp_path))
    assert len(copied) == 1


def test_without_a_pipe_or_a_temporary_file_this_process_does_it_all(copied, monkeypatch, caplog):
    def no_room(*arguments):
        raise OSError(errno.EMFILE, "Too many open files")

    alone = ww.analyze(small())
    for owner, name in ((shares.tempfile, "TemporaryFile"), (forks.multiprocessing, "Pipe")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, no_room)
            assert_same_bytes(ww.analyze(small(), n_jobs=2), alone)
    assert caplog.text.count("0 copies of this process can be made, not 1 ([Errno 24] Too many open files)") == 2
    assert copied == []


@pytest.mark.parametrize("handler", ["ignored", "reaped"])
def test_a_host_that_is_told_of_the_end_of_its_children(handler, copied, tmp_path, monkeypatch):
    """Whoever waits for the end of every child leaves nothing to wait for."""

    def reap(number, frame):
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass

    save_file(small(), tmp_path / "model.safetensors")
    alone = ww.analyze(small()), ww.scan(tmp_path)
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN if handler == "ignored" else reap)
    try:
        assert_same_bytes(ww.analyze(small(), n_jobs=3), alone[0])
        assert_same_bytes(ww.scan(tmp_path, n_jobs=3), alone[1])
        fork = Fork(lambda: os.kill(os.getpid(), signal.SIGKILL))
        with pytest.raises(ForkDied, match=r"its exit code was told to somebody else|exit code -9"):
            fork.answer()
        fork.end()
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert len(copied) == 5


def test_signals_that_the_host_handles_are_not_for_its_copies(tmp_path):
    """As a scheduler sends them: to every process of a job, each of which would else save or queue the job again."""
    seen = tmp_path / "seen"

    def handle(number, frame):
        seen.write_text(seen.read_text() + f"{os.getpid()}\n" if seen.exists() else f"{os.getpid()}\n")

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGUSR1)}
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    wakeup = signal.set_wakeup_fd(writing)
    fork = Fork()
    try:
        fork.ask(divmod, 45, 7)
        assert fork.answer() == (6, 3)
        for number in before:
            os.kill(fork.number, number)
        fork.ask(divmod, 45, 7)
        assert fork.answer() == (6, 3)
        assert not seen.exists()
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
    finally:
        fork.end()
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
    os.write(writing, b"end")
    assert os.read(reading, 10) == b"end"
    os.close(reading)
    os.close(writing)


def test_what_the_host_throws_away_is_finalised_there_alone(tmp_path):
    class Thrown:
        def __del__(self):
            with (tmp_path / "finalised").open("a") as log:
                log.write("once ")

    one = Thrown()
    one.itself = one
    gc.disable()
    try:
        del one
        fork = Fork(gc.collect)
        fork.answer()
        fork.end()
        assert not (tmp_path / "finalised").exists()
    finally:
        gc.enable()
    gc.collect()
    assert (tmp_path / "finalised").read_text() == "once "


def test_a_cached_property_that_another_thread_computes_is_not_waited_for():
    """Before Python 3.12 a class has one lock for each of them."""
    inside, over = threading.Event(), threading.Event()

    class Slow:
        @property
        def entries(self):
            inside.set()
            over.wait(60)
            return []

    shapes = vars(records.Run)["_shapes"]
    thread = threading.Thread(target=lambda: shapes.__get__(Slow()))
    thread.start()
    inside.wait(60)
    fork = Fork(lambda: shapes.__get__(types.SimpleNamespace(entries=[])))
    try:
        assert fork.answer(5) == {}
    finally:
        fork.end()
        over.set()
        thread.join()


def test_one_bar_tells_of_all(copied, capfd):
    ww.analyze(small(), n_jobs=3, progress=True)
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(" in ")[0] for line in lines] == ["layers: 0 of 40", "layers: 40 of 40"]


def test_no_bar_where_standard_error_is_closed(monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    assert len(ww.analyze(gaussian_matrix(40, 30, seed=0), progress=True)) == 1


def test_the_lock_of_bars_is_not_waited_for():
    """tqdm has one for all bars of a process, those that are not shown too."""
    inside, over = threading.Event(), threading.Event()

    def shows():
        with tqdm.get_lock():
            inside.set()
            over.wait(60)

    thread = threading.Thread(target=shows)
    thread.start()
    inside.wait(60)
    fork = Fork(lambda: [bar.update() for bar in [progress_bar(3, "layers", False)]])
    try:
        assert fork.answer(5) == [None]
    finally:
        fork.end()
        over.set()
        thread.join()


def test_a_copy_that_works_is_waited_for(monkeypatch):
    """However long; one that waits itself is not."""

    def works():
        until = time.process_time() + 1.2
        while time.process_time() < until:
            pass
        return "done"

    fork, waits = Fork(works), Fork(lambda: time.sleep(60))
    try:
        assert fork.answer(1.0) == "done"
        with pytest.raises(ForkDied, match="neither answers nor works any more"):
            waits.answer(0.5)
    finally:
        fork.end()
        waits.end()


def test_a_pool_gives_a_copy_up_that_neither_answers_nor_works(copied, monkeypatch):
    monkeypatch.setattr(pools, "PATIENCE", 0.2)
    pool = pools.ForkPool(2)
    handle = pool.submit(time.sleep, 60)
    with pytest.raises(ForkDied, match="neither answers nor works any more"):
        pool.result(*pool.wait([handle]))
    assert handle.is_over
    pool.close()


def test_a_copy_has_one_thread_of_torch_and_no_interrupts(monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda number: seen.append(number))
    seen: list[int] = []
    fork = Fork(lambda: (seen, signal.getsignal(signal.SIGINT)))
    assert fork.answer() == ([1], signal.SIG_IGN)
    fork.end()
    assert seen == []
    assert forks.NOT_TO_BE_COPIED == ("jax", "tensorflow")
