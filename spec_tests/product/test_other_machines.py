"""What depends on a machine and must not: ties, byte order, widths of integers; the streams and memory of a GPU."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import setol_ww as ww
from setol_ww.linalg import device, routines
from setol_ww.linalg.decomposed import Decomposed
from setol_ww.linalg.shuffles import is_large
from setol_ww.linalg.subspaces import leading_subspaces
from setol_ww.theory.laws import base
from setol_ww.traps.elements import Entries
from setol_ww.traps.find import find_traps_of
from setol_ww.traps.location import locate

ENTRIES = Entries(0.0, 1.0, 0.0, 0.0, 0.0, None, True, np.empty(0))


class Nothing:
    """A shuffled matrix in which no element stands apart."""

    shape = (40, 35)


def test_equal_singular_values_are_taken_in_the_order_of_slices():
    """A sort that is not stable takes those that the processor's own instructions happen to."""
    found = leading_subspaces([Decomposed(np.diag([3.0, 2.0, 2.0, 1.0])) for _ in range(10)], 17)
    assert [one.size for one in found] == [3, 3, 3, 2, 1, 1, 1, 1, 1, 1]


def test_equal_carriers_are_taken_in_the_order_of_the_matrix():
    """Ten elements of each of three sizes, each with its own pair of vectors: all of a size have one leverage."""
    weights = np.sqrt(np.tile([0.5, 1.0, 0.75], 10))
    place = locate(Nothing(), np.eye(40)[:, :30] * weights, np.eye(35)[:, :30] * weights, np.zeros(30), ENTRIES)
    assert place.positions.tolist() == [36 * n for start in (1, 2, 0) for n in range(start, 30, 3)]
    assert place.leverage == pytest.approx(np.repeat([1.0, 0.75**2, 0.25], 10))


def test_what_takes_more_than_sixteen_megabytes_is_large():
    for shape, large in (((2**10, 2**11), False), ((2**11, 2**10), False), ((2**10, 2**11 + 1), True)):
        assert is_large(np.broadcast_to(0.0, shape)) is large


def test_integers_have_64_bits_whatever_a_library_reads_of_them():
    """One of 32 bits reads the lower half, one of 64 bits all of it, of negative ones too."""
    seen: list[Any] = []

    def routine(*references: ctypes.c_void_p) -> None:
        number, text, size, array = references
        seen.append(ctypes.c_int64.from_address(number.value).value)
        seen.append(ctypes.c_int32.from_address(number.value).value)
        seen.append(ctypes.string_at(text.value))
        seen.append(ctypes.c_double.from_address(size.value).value)
        seen.append(array.value)

    whole = routines.integers(3)
    assert (whole.dtype, whole.tolist()) == (np.int64, [0, 0, 0])
    routines.call(routine, -5, "L", 2.5, whole)
    assert seen == [-5, -5, b"L", 2.5, whole.ctypes.data]
    for wrong in (np.array(["a"]), np.array([object()])):
        with pytest.raises(TypeError, match="was given to a routine; accepted are numbers"):
            routines.call(routine, wrong)


def test_a_blas_is_asked_by_name_where_the_lower_half_comes_first(monkeypatch):
    symbols = ("scipy_dgemm_", "dgemm_", "scipy_dgemm_64_", "dgemm_64_")
    assert routines.loaded(("no such routine",), 0) is None
    assert callable(routines.loaded(symbols, 2))
    monkeypatch.setattr(sys, "byteorder", "big")
    assert routines.loaded(symbols, 2) is None


def test_a_workspace_is_asked_for_and_then_given():
    asked: list[tuple[int, int, int, int]] = []

    def run(work: np.ndarray, size: int, whole: np.ndarray, number: int) -> None:
        asked.append((work.size, size, whole.size, number))
        work[0], whole[0] = 17.0, 5

    routines.with_workspace(run)
    assert asked == [(1, -1, 1, -1), (17, 17, 5, 5)]


def test_a_law_is_made_of_all_its_parts():
    """A new law that lacks one cannot be made: it would answer None."""
    assert base.Continuous.__abstractmethods__ == {"_integral"}
    assert base.SoftEdges.__abstractmethods__ == {"_factor", "_inner_r", "_inner_integrated_r"}
    for law in (base.Continuous, base.SoftEdges):
        with pytest.raises(TypeError):
            law()


# A GPU, told by stand-ins of torch's functions.


class Stream:
    def __init__(self, of: str) -> None:
        self.of, self.waited = of, []

    def wait_stream(self, other: Any) -> None:
        self.waited.append(other)


@pytest.fixture
def gpu(monkeypatch) -> list[Any]:
    """What is entered and asked there."""
    told: list[Any] = []

    @contextlib.contextmanager
    def stream(one: Stream) -> Iterator[None]:
        told.append(one)
        yield
        told.append("left")

    for name, what in {
        "is_initialized": lambda: True,
        "Stream": Stream,
        "current_stream": lambda of: f"caller's on {of}",
        "stream": stream,
        "empty_cache": lambda: told.append("emptied"),
        "memory_reserved": lambda of: 0,
        "memory_allocated": lambda of: 0,
        "mem_get_info": lambda of: (1000, 1000),
    }.items():
        monkeypatch.setattr(torch.cuda, name, what)
    return told


def in_a_thread(work: Callable[[], Any]) -> Any:
    """A thread of its own has streams of its own."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_each_thread_works_in_its_own_stream_behind_the_callers(gpu):
    def twice() -> list[Any]:
        seen = []
        for of in ("cuda", "cuda", "cuda:1"):
            answer = device.on_device(of, (3, 2), 1000, lambda: gpu[-1])
            assert gpu[-1] == "left"
            seen.append(answer)
        return seen

    first, second = in_a_thread(twice), in_a_thread(twice)
    assert first[0] is first[1] is not first[2]
    assert first[0] is not second[0]
    assert (first[0].of, first[2].of) == ("cuda", "cuda:1")
    assert first[0].waited == ["caller's on cuda"] * 2
    assert first[2].waited == ["caller's on cuda:1"]
    # Without a GPU there is no stream.
    assert device.on_device("cpu", (3, 2), 1000, lambda: len(gpu)) == len(gpu)


def test_what_needs_one_byte_more_than_there_is_goes_to_the_cpu(gpu, caplog):
    assert device.on_device("cuda", (3, 2), 1000, lambda: 5) == 5
    assert device.on_device("cuda", (3, 2), 1001, lambda: 5) is None
    assert device.on_device("cuda", (3, 2), 1000, lambda: 5) == 5
    assert caplog.messages == [
        "a 3 x 2 matrix takes about 0 MiB on cuda, where 0 MiB are free: it is computed on the CPU"
    ]


def test_memory_that_runs_out_all_the_same_is_given_back(gpu, caplog):
    def work() -> None:
        raise torch.OutOfMemoryError("out of it\nand more")

    assert device.on_device("cuda", (3, 2), 1000, work) is None
    assert gpu[-1] == "emptied"
    assert caplog.messages == ["a 3 x 2 matrix: cuda ran out of memory (out of it), the CPU does it"]
    assert device.on_device("cuda", (3, 2), 1000, lambda: 5) == 5


@pytest.mark.parametrize(("asked", "said"), [
    ("abacus", "which torch does not know"), (3.5, "which torch does not know"), ("cuda", "sees no CUDA here"),
    ("meta", "which computes no float64 eigenvalues"), ("mps", "which computes no float64 eigenvalues"),
])  # fmt: skip
def test_a_device_is_refused_with_what_would_do(asked, said, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ww.InvalidInput) as caught:
        device.check_device(asked)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"device={asked!r} was asked")
    assert str(caught.value).endswith("accepted are 'cpu' and, where torch sees a GPU, 'cuda' or 'cuda:N'")
    assert device.check_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device.check_device("cuda:1") == "cuda:1"


def test_slices_of_a_kernel_have_their_place_in_it():
    """By default the number of the matrix; one matrix has none."""
    parts = [np.random.default_rng(n).normal(size=(40, 30)) for n in range(4)]
    parts[3][2, 5] = 40.0
    assert find_traps_of(parts).indices.tolist() == [[2, 5, 3]]
    assert find_traps_of(parts, kernel=(2, 2)).indices.tolist() == [[2, 5, 1, 1]]
    assert find_traps_of(parts[3:]).indices.tolist() == [[2, 5]]
