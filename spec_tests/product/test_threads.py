"""Chapter 9: several analyses at once, and a host that goes on with its own affairs meanwhile."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import os
import random
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import setol_ww as ww
from fixtures.ensembles import signed_pareto_matrix
from setol_ww.truncation.holds import memory_of

OPTIONS = {"randomize": True, "mp_fit": True, "detX": True, "progress": False}


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    normed = nn.utils.parametrizations.spectral_norm(nn.Linear(30, 24))
    model = nn.Sequential(nn.Linear(60, 40), nn.Conv2d(4, 8, 3), normed, nn.LSTM(12, 10), nn.Linear(12, 9))
    with torch.no_grad():
        model[0].weight.copy_(torch.from_numpy(signed_pareto_matrix(40, 60, 1.5, seed=seed)))
    return model.train()


def at_once(jobs: list[Callable[[], Any]]) -> list[Any]:
    """The results of the jobs, each in a thread of its own, begun together."""
    results: list[Any] = [None] * len(jobs)
    ready = threading.Barrier(len(jobs))

    def run(number: int) -> None:
        ready.wait()
        try:
            results[number] = jobs[number]()
        except BaseException as error:  # noqa: BLE001
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def assert_same_tables(tables: list[Any], truth: pd.DataFrame) -> None:
    for table in tables:
        assert isinstance(table, pd.DataFrame), table
        pd.testing.assert_frame_equal(table, truth, check_exact=True)


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_eight_analyses_of_one_model_give_eight_times_one_table(engine):
    model = net()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    # Of the reference's fits of the Marchenko-Pastur law each evaluates a density 237 times.
    options = {**OPTIONS, "layers": [1, 3] if engine == "reference" else []}
    alone = ww.analyze(model, engine=engine, **options)
    tables = at_once([lambda: ww.analyze(model, engine=engine, **options)] * 8)
    assert_same_tables(tables, alone)
    assert alone["rand_distance"].notna().any()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())


def test_analyses_of_several_models_do_not_mix():
    models = [net(seed) for seed in range(4)]
    alone = [ww.analyze(model, seed=seed, **OPTIONS) for seed, model in enumerate(models)]
    jobs = [lambda seed=seed, model=model: ww.analyze(model, seed=seed, **OPTIONS) for seed, model in enumerate(models)]
    for table, truth in zip(at_once(jobs * 2), alone * 2):
        assert_same_tables([table], truth)


def test_one_watcher_asked_by_several_threads():
    watcher, other = ww.WeightWatcher(net()), net(1)
    alone, of_other = ww.WeightWatcher(net()).analyze(**OPTIONS), ww.analyze(other, **OPTIONS)
    assert_same_tables(at_once([lambda: watcher.analyze(**OPTIONS)] * 4), alone)
    assert_same_tables([watcher.details], alone)
    assert watcher.coverage["longname"].tolist()[:2] == ["0.weight", "1.weight"]
    # Made here: `net` seeds torch's global generator.
    first = net()
    jobs = [lambda: watcher.analyze(other, **OPTIONS), lambda: ww.analyze(first, **OPTIONS)]
    for table, truth in zip(at_once(jobs * 2), [of_other, alone] * 2):
        assert_same_tables([table], truth)


class Host:
    """A host that draws, prints, sets variables, handlers, filters and levels while others work in its process."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.draws: list[tuple[float, float, float]] = []
        self.rounds = 0
        self.faults: list[str] = []
        self.thread = threading.Thread(target=self.live)

    def __enter__(self) -> Host:
        self.output, self.before = io.StringIO(), sys.stdout
        sys.stdout = self.output
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        self.ended_with, sys.stdout = sys.stdout, self.before

    def live(self) -> None:
        root, noisy = logging.getLogger(), logging.getLogger("weightwatcher")
        while not self.stop.is_set():
            self.rounds += 1
            self.draws.append((random.random(), float(np.random.random()), float(torch.rand(1, dtype=torch.float64))))
            sys.stdout.write("line\n")
            handler, name = logging.NullHandler(), f"HOST_{self.rounds}"
            root.addHandler(handler)
            noisy.setLevel(logging.ERROR + self.rounds % 7)
            os.environ[name] = "set"
            warnings.filterwarnings("ignore", message=name)
            filters, level = list(warnings.filters), noisy.level
            time.sleep(0.003)
            for kept, what in (
                (handler in root.handlers, "a handler"),
                (os.environ.get(name) == "set", "a variable"),
                (list(warnings.filters) == filters, "a filter"),
                (noisy.level == level, "a level"),
                (sys.stdout is self.output, "the standard output"),
                (noisy.handlers == [], "no handler of others"),
            ):
                if not kept:
                    self.faults.append(f"{what} in round {self.rounds}")
            root.removeHandler(handler)
            os.environ.pop(name, None)
            warnings.filters[:] = [one for one in warnings.filters if getattr(one[1], "pattern", "") != name]


@pytest.mark.parametrize(
    "options",
    [
        {"randomize": True, "mp_fit": True},
        {"engine": "reference", "randomize": True, "mp_fit": True, "vectors": True, "layers": [2]},
        {"fit": "TPL", "pl_package": "powerlaw", "layers": [2]},
        {"plot": True, "randomize": True, "vectors": True, "layers": [2]},
        {"intra": True},
        {"conv2d_fft": True},
    ],
    ids=str,
)
def test_a_host_at_work_notices_nothing(options, tmp_path):
    """What it set stays set, every line arrives, and no number is drawn twice."""
    model = net()
    if "plot" in options:
        options = {**options, "savefig": str(tmp_path / "pictures")}
    level = logging.getLogger("weightwatcher").level
    ww.analyze(model, **options, progress=False)
    try:
        with Host() as host:
            while host.rounds < 5:
                ww.analyze(model, **options, progress=False)
            ww.WeightWatcher(model).describe()
    finally:
        logging.getLogger("weightwatcher").setLevel(level)
    assert host.faults == []
    assert host.ended_with is host.output
    assert host.output.getvalue() == "line\n" * host.rounds
    for draws in zip(*host.draws):
        assert len(set(draws)) == len(draws)


SETTERS = [
    (warnings.catch_warnings, "__enter__"),
    (warnings, "simplefilter"),
    (warnings, "filterwarnings"),
    (warnings, "warn"),
    (np.random, "seed"),
    (np.random, "set_state"),
    (np.random, "shuffle"),
    (torch, "set_rng_state"),
    (torch, "manual_seed"),
    (type(os.environ), "__setitem__"),
    (type(os.environ), "__delitem__"),
    (contextlib.redirect_stdout, "__enter__"),
    (logging.Logger, "addHandler"),
    (logging.Logger, "removeHandler"),
    (logging.Logger, "setLevel"),
    (logging, "basicConfig"),
    (nn.Module, "train"),
    (signal, "signal"),
]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"randomize": True, "mp_fit": True, "vectors": True},
        {"engine": "reference", "randomize": True, "mp_fit": True, "vectors": True, "layers": [2]},
        {"fit": "TPL", "pl_package": "powerlaw", "layers": [1]},
        {"fix_fingers": "clip_xmax"},
        {"plot": True, "deltas": True, "layers": [2]},
        {"stacked": True, "n_jobs": 2},
        {"intra": True},
        {"conv2d_fft": True},
        {"pool": False, "farms": True},
    ],
    ids=str,
)
def test_nothing_that_sets_something_of_the_process_is_called(options, monkeypatch, tmp_path):
    """By whomever: libraries that we call count as we do. The first analysis loads what is loaded once."""
    model, called = net(), []
    if "plot" in options:
        options = {**options, "savefig": str(tmp_path)}
    ww.analyze(model, **options, progress=False)
    with ww.truncated(model, "rank:2"):
        pass

    def watched(owner: Any, name: str) -> Any:
        real = getattr(owner, name)

        def setter(*arguments: Any, **named: Any) -> Any:
            called.append((f"{owner.__name__}.{name}", "".join(traceback.format_stack(limit=4)[:-1])))
            return real(*arguments, **named)

        return setter

    with monkeypatch.context() as patched:
        for owner, name in SETTERS:
            patched.setattr(owner, name, watched(owner, name))
        watcher = ww.WeightWatcher(model)
        watcher.analyze(**options, progress=False)
        watcher.get_summary()
        watcher.describe()
        with ww.truncated(model, "rank:2"):
            pass
    assert called == []


def test_the_hosts_own_weightwatcher_draws_and_prints_as_ever():
    """Its module is not the one that we run: numpy's generator and prints are the host's there."""
    from spec_tests.quietly import quiet

    with quiet():
        import weightwatcher
    evals = np.sort(np.random.default_rng(0).pareto(2.0, 15) + 1)
    with quiet(3):
        first = weightwatcher.weightwatcher.permute_matrix(np.arange(12.0).reshape(3, 4))[1]
        drawn = np.random.get_state()[2]
    assert first.tolist() == np.random.RandomState(3).permutation(12).tolist()
    assert drawn != np.random.RandomState(3).get_state()[2]
    heard = io.StringIO()
    before, sys.stdout = sys.stdout, heard
    try:
        weightwatcher.WW_powerlaw.WWFit(evals)
        ww.WeightWatcher().fit_powerlaw(evals, plot=False)
    finally:
        sys.stdout = before
    assert heard.getvalue() == "SMALL N PL FIT\n"
    assert issubclass(ww.WeightWatcher, weightwatcher.WeightWatcher)


def test_a_computed_weight_is_read_without_touching_its_module():
    """In training a spectral norm steps at each access, and a parametrisation may count its calls."""

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.seen = torch.zeros(())

        def forward(self, weight):
            self.calls += 1
            self.seen += 1
            return 2 * weight if not self.training else 3 * weight

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 16), nn.utils.parametrizations.spectral_norm(nn.Linear(20, 16))).train()
    nn.utils.parametrize.register_parametrization(model[0], "weight", Counting())
    counting = model[0].parametrizations.weight[0]
    called: list[int] = []
    counting.register_forward_hook(lambda *_: called.append(1))
    counting.calls.zero_()
    counting.seen.zero_()
    called.clear()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    frame = ww.analyze(model).set_index("longname")
    assert {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])} == set()
    assert (counting.seen.item(), called, counting.training) == (0, [], True)
    still = copy.deepcopy(model).eval()
    for name in ("0", "1"):
        largest = torch.linalg.svdvals(still.get_submodule(name).weight.detach().double())[0].item() ** 2
        assert frame.loc[name, "lambda_max"] == pytest.approx(largest, rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize("wrap", [nn.utils.weight_norm, nn.utils.spectral_norm], ids=["weight", "spectral"])
def test_a_weight_computed_by_a_hook_is_that_of_the_parameters_now(wrap):
    """torch writes `module.weight` at the next forward pass only."""
    torch.manual_seed(0)
    layer = wrap(nn.Linear(20, 16))
    layer(torch.ones(1, 20))
    stored = layer.weight
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn(parameter.shape))
    buffers = {name: value.clone() for name, value in layer.named_buffers()}
    found = ww.analyze(nn.Sequential(layer))["lambda_max"].iloc[0]
    assert layer.weight is stored
    assert all(torch.equal(value, buffers[name]) for name, value in layer.named_buffers())
    layer.eval()(torch.ones(1, 20))
    assert found == pytest.approx(torch.linalg.svdvals(layer.weight.detach().double())[0].item() ** 2, rel=1e-6)


def test_a_watcher_follows_its_model(tmp_path):
    """Weights assigned, modules exchanged, arrays of a mapping replaced, a file written anew."""
    model, arrays = net(), {"fc.weight": np.random.default_rng(0).normal(size=(30, 20))}
    np.save(tmp_path / "fc.npy", arrays["fc.weight"])
    watchers = [ww.WeightWatcher(model), ww.WeightWatcher(arrays), ww.WeightWatcher(tmp_path / "fc.npy")]
    for watcher in watchers:
        watcher.analyze()
    model[0] = nn.Linear(50, 20)
    model.load_state_dict({name: 3 * value for name, value in model.state_dict().items()}, assign=True)
    arrays["fc.weight"] = np.random.default_rng(1).normal(size=(40, 25))
    arrays["second.weight"] = np.random.default_rng(2).normal(size=(40, 25))
    np.save(tmp_path / "fc.npy", arrays["second.weight"])
    for watcher, source in zip(watchers, (model, arrays, tmp_path / "fc.npy")):
        pd.testing.assert_frame_equal(watcher.analyze(detX=True), ww.analyze(source), check_exact=True)
        assert watcher.describe()["M"].tolist() == watcher.details["M"].tolist()[: len(watcher.describe())]


# Truncation


def cut_meanwhile(model: Any, call: Callable[[], Any]) -> Any:
    """What `call` gives or raises in another thread while this one has truncated the model."""
    with ww.truncated(model, "rank:2"):
        return at_once([call])[0]


@pytest.mark.parametrize(
    "call",
    [
        lambda model: ww.evaluate_truncation(model, lambda one: 1.0, rules=["rank:3"]),
        lambda model: ww.truncate(model, "rank:3"),
        lambda model: ww.truncated(model, "rank:3").__enter__(),
        lambda model: ww.truncate(dict(model.state_dict()), "rank:3"),
        lambda model: ww.truncate(model[0], "rank:3"),
    ],
    ids=["evaluate", "copy", "in place", "its state dict", "a part of it"],
)
def test_a_model_that_another_thread_has_truncated_is_refused(call):
    model = nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 10))
    before = copy.deepcopy(model.state_dict())
    refusal = cut_meanwhile(model, lambda: call(model))
    assert isinstance(refusal, ww.InvalidInput), refusal
    assert "has truncated the same weights" in str(refusal)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    again = at_once([lambda: call(model)])[0]
    assert not isinstance(again, BaseException), again


def test_other_models_and_the_same_thread_are_not_refused():
    model, other = nn.Linear(30, 20), nn.Linear(30, 20)
    assert isinstance(cut_meanwhile(model, lambda: ww.truncate(other, "rank:3")), nn.Module)
    with ww.truncated(model, "rank:9"), ww.truncated(model, "rank:2"):
        assert int(torch.linalg.matrix_rank(model.weight.detach())) == 2
        assert isinstance(ww.truncate(model, "rank:1"), nn.Module)
    assert all(isinstance(one, nn.Module) for one in at_once([lambda: ww.truncate(model, "rank:3")] * 4))


def test_a_hold_ends_with_its_thread():
    """A thread that died inside holds nothing any more."""
    model = nn.Linear(30, 20)
    left_open: list[Any] = []

    def leave() -> None:
        manager = ww.truncated(model, "rank:2")
        manager.__enter__()
        left_open.append(manager)

    at_once([leave])
    assert isinstance(ww.truncate(model, "rank:3"), nn.Module)
    left_open[0].__exit__(None, None, None)


def test_views_are_one_memory():
    tensor = torch.ones(4, 3)
    assert memory_of(tensor) == memory_of(tensor[2:]) == memory_of(tensor.T) != memory_of(tensor.clone())
    nothing, other = torch.empty(4, 3, device="meta"), np.ones(3)
    assert [memory_of(nothing), memory_of(other)] == [id(nothing), id(other)]
