"""Chapter 9: Ctrl-C at any moment. Weights, flags and handlers are as before, and the next analysis is right."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import setol_ww as ww
from setol_ww.linalg import routines

PACKAGE = str(Path(ww.__file__).parent)
# In CI a seeded sample of all lines; with the `deep` profile every one.
MOST = 10**9 if os.environ.get("SETOL_SPEC_PROFILE") == "deep" else 60


#: Threads of whatever ran before in this process, which may end at any time.
others: set[threading.Thread] = set()


@pytest.fixture(autouse=True)
def _threads() -> None:
    others.clear()
    others.update(threading.enumerate())


@pytest.fixture(autouse=True)
def _ctrl_c() -> Iterator[None]:
    """Python's own handler: what a shell starts in the background ignores the signal from the beginning."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def net() -> nn.Module:
    torch.manual_seed(1)
    normed = nn.utils.parametrizations.spectral_norm(nn.Linear(9, 8))
    return nn.Sequential(nn.Linear(12, 9), nn.Conv1d(3, 4, 2), normed).train()


def state_of(model: nn.Module) -> list[Any]:
    """Everything of the model and of the process that is to stay."""
    root = logging.getLogger()
    return [
        [(name, value.numpy().tobytes()) for name, value in model.state_dict(keep_vars=False).items()],
        [(p.requires_grad, p._version, p.data_ptr()) for p in model.parameters()],
        [(module.training, sorted(vars(module))) for module in model.modules()],
        [list(root.handlers), root.level, logging.getLogger("weightwatcher").level],
        [list(warnings.filters), signal.getsignal(signal.SIGINT), id(sys.stdout), np.geterr()],
        [np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), random.getstate()],
        [torch.is_grad_enabled(), sorted(os.environ), set(threading.enumerate()) - others],
    ]


def interrupted_at(number: int, call: Callable[[], Any]) -> tuple[bool, int]:
    """Ctrl-C before the traced line of this number: was it raised, and how many lines were seen."""
    seen = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal seen
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            seen += 1
            if seen == number:
                signal.raise_signal(signal.SIGINT)
        return trace

    tracer = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True, seen
    finally:
        sys.settrace(tracer)
    return False, seen


def in_place(model: nn.Module) -> None:
    with ww.truncated(model, "rank:2"):
        pass


CALLS = {
    "analyze": lambda model: ww.analyze(model, randomize=True, progress=False),
    "watcher": lambda model: ww.WeightWatcher(model).analyze(vectors=True, engine="reference", progress=False),
    "truncated": in_place,
    "evaluate": lambda model: ww.evaluate_truncation(model, lambda one: 1.0, rules=["rank:2", "erg"]),
    "truncate": lambda model: ww.truncate(model, "rank:2"),
}


@pytest.mark.parametrize("name", CALLS)
def test_everything_is_as_before_an_interrupt_at_any_line(name):
    model = net()
    call = lambda: CALLS[name](model)  # noqa: E731
    truth = call()
    before = state_of(model)
    _, lines = interrupted_at(-1, call)
    assert lines > 150
    chosen = sorted(random.Random(name).sample(range(1, lines + 1), min(lines, MOST)))
    raised = 0
    for number in chosen:
        was, _ = interrupted_at(number, call)
        raised += was
        after = state_of(model)
        assert [one == other for one, other in zip(after, before)] == [True] * len(before), f"line {number} of {lines}"
    assert raised >= 0.9 * len(chosen), "an interrupt is not to be swallowed"
    if isinstance(truth, pd.DataFrame):
        pd.testing.assert_frame_equal(call(), truth, check_exact=True)
    # What was held is let go: another thread may begin.
    refused: list[BaseException] = []
    thread = threading.Thread(target=lambda: _quietly(lambda: ww.truncate(model, "rank:2"), refused))
    thread.start()
    thread.join()
    assert refused == []


@pytest.mark.parametrize("per_layer", [False, True])
def test_weights_are_back_while_the_interrupt_is_handled_that_came_on_the_way_out_of_a_block(per_layer):
    """`with` ends in a function of contextlib's: stopped before its first line it never reaches what puts back."""
    model = net()
    before = [value.clone() for value in model.parameters()]

    def stopped_at_exit(number: int) -> bool:
        seen = 0

        def trace(frame: Any, event: str, _: Any) -> Any:
            nonlocal seen
            if event == "call" and frame.f_code is contextlib._GeneratorContextManager.__exit__.__code__:
                seen += 1
                if seen == number:
                    raise KeyboardInterrupt
            return None

        tracer = sys.gettrace()
        sys.settrace(trace)
        try:
            ww.evaluate_truncation(model, lambda one: 1.0, rules=["rank:2", "bulk"], per_layer=per_layer)
        except KeyboardInterrupt:
            sys.settrace(tracer)
            # Here the traceback is alive, and with it every generator that was not finished.
            assert all(torch.equal(now, then) for now, then in zip(model.parameters(), before)), f"exit {number}"
            return True
        finally:
            sys.settrace(tracer)
        return False

    number = 1
    while stopped_at_exit(number):
        number += 1
    assert number > 3


def _quietly(call: Callable[[], Any], raised: list[BaseException]) -> None:
    try:
        call()
    except ww.InvalidInput as error:
        raised.append(error)


def test_a_watcher_is_usable_after_an_interrupt():
    """It keeps the table of its last finished analysis."""
    model = net()
    watcher = ww.WeightWatcher(model)
    truth = watcher.analyze(randomize=True, progress=False)
    _, lines = interrupted_at(-1, lambda: watcher.analyze(randomize=True, progress=False))
    for number in sorted(random.Random(0).sample(range(1, lines + 1), MOST if MOST < lines else lines)):
        interrupted_at(number, lambda: watcher.analyze(randomize=True, progress=False))
        pd.testing.assert_frame_equal(watcher.details, truth, check_exact=True)
    pd.testing.assert_frame_equal(watcher.analyze(randomize=True, progress=False), truth, check_exact=True)
    assert len(watcher.describe()) == 3
    assert len(watcher.get_summary()) > 5


def test_arguments_of_lapack_are_of_numpys_own_types_and_alive():
    """numpy swallows an interrupt while it translates a type of ctypes, and hands LAPACK an array of objects."""
    assert np.dtype(routines.Integer).kind == "i"
    assert routines.Integer in (np.int64, np.int32)
    with pytest.raises(TypeError, match="accepted are numbers"):
        routines.call(lambda *_: None, np.empty(1, dtype=object))
    seen: list[Any] = []
    routines.call(lambda *given: seen.extend(one.value for one in given), 7, 2.5, "N", np.ones(3))
    assert all(isinstance(address, int) and address for address in seen)


def test_interrupts_from_another_thread_while_lapack_works():
    """Signals at random moments of real work: a KeyboardInterrupt each time, never a wrong table, never a crash."""
    weights = {"a.weight": np.random.default_rng(0).normal(size=(300, 200))}
    truth = ww.analyze(weights, randomize=True, progress=False)
    draw, interrupted = random.Random(3), 0
    for _ in range(8):
        timer = threading.Timer(draw.uniform(0, 0.05), signal.raise_signal, (signal.SIGINT,))
        try:
            timer.start()
            ww.analyze(weights, randomize=True, progress=False)
            timer.join()
        except KeyboardInterrupt:
            interrupted += 1
        timer.join()
    assert interrupted >= 4
    pd.testing.assert_frame_equal(ww.analyze(weights, randomize=True, progress=False), truth, check_exact=True)
