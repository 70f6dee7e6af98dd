"""What takes long leaves Python's lock to others: another thread goes on meanwhile."""

from __future__ import annotations

import inspect
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg

import setol_ww
from fixtures.ensembles import gaussian_matrix
from setol_ww.linalg.directions import directions
from setol_ww.linalg.eigenvalues import eigenvalues, gram, singular_values
from setol_ww.linalg.leading import Leading, largest_of_tridiagonal
from setol_ww.linalg.shuffles import shuffle, sources_of
from setol_ww.linalg.svd import svd
from setol_ww.linalg.symmetric import symmetric_eigenpairs, symmetric_eigenvalues

# Tenths of the work in which another thread has run; tries, of which one is enough where others take the cores.
ENOUGH, TRIES = 5, 20

pytestmark = pytest.mark.skipif(
    not hasattr(time, "pthread_getcpuclockid"), reason="this system does not tell the CPU time of another thread"
)


def tenths_with_another(work: Callable[[], Any]) -> int:
    """In how many tenths of the work of this thread, by its CPU time, another thread of Python has run.

    Whoever keeps the lock through one long call lets others run at both ends of it, however long this thread has to
    wait for a core there.
    """
    clock = time.pthread_getcpuclockid(threading.get_ident())
    seen, over = [], threading.Event()

    def other() -> None:
        while not over.is_set():
            seen.append(time.clock_gettime(clock))
            time.sleep(0.0005)

    thread = threading.Thread(target=other)
    thread.start()
    try:
        began = time.clock_gettime(clock)
        work()
        ended = time.clock_gettime(clock)
    finally:
        over.set()
        thread.join()
    return len({int(10 * (at - began) / (ended - began)) for at in seen if began < at < ended})


def tridiagonal(side: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=side), rng.normal(size=side - 1)


def noise(rows: int, columns: int) -> np.ndarray:
    return gaussian_matrix(rows, columns, seed=0)


# What is worked on, made anew for each try, and the work.
WORK: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "gram": (lambda: noise(3000, 700), gram),
    "eigenvalues": (lambda: gram(noise(900, 900)), symmetric_eigenvalues),
    "eigenpairs": (lambda: gram(noise(600, 600)), symmetric_eigenpairs),
    "singular values": (lambda: noise(600, 600), singular_values),
    "singular vectors": (lambda: np.asfortranarray(noise(500, 500)), lambda W: svd(W, right=True)),
    "directions": (lambda: noise(450, 450), directions),
    "leading pairs": (lambda: gram(noise(1000, 1000)), lambda S: Leading(S).largest(4)),
    "tridiagonal": (lambda: tridiagonal(3000), lambda T: largest_of_tridiagonal(*T, 60)),
    "rank deficient": (lambda: noise(500, 30) @ np.eye(30, 500), eigenvalues),
    "shuffle": (lambda: np.zeros((3000, 1000), np.float32), lambda W: shuffle(W, (0,))),
    "sources": (lambda: np.arange(5), lambda places: sources_of(places, (3000, 1000), (0,))),
}


@pytest.mark.parametrize("name", WORK)
def test_another_thread_goes_on(name):
    """Under load the other may come too late to a turn: one of several tries is enough."""
    make, work = WORK[name]
    for _ in range(TRIES):
        what = make()
        if tenths_with_another(lambda: work(what)) >= ENOUGH:  # noqa: B023
            return
    pytest.fail(f"{name}: in {TRIES} tries another thread ran in fewer than {ENOUGH} tenths of it")


def test_nothing_is_decomposed_by_scipys_wrappers():
    """They keep the lock; `linalg.routines` calls the same routines without it."""
    package = Path(inspect.getfile(setol_ww)).parent
    imports = re.compile(r"^\s*(?:import|from) scipy\.linalg\b", re.MULTILINE)
    # A wheel holds the suite with its oracles as well.
    rooms = [path for path in package.rglob("*.py") if not {"cli", "suite"} & set(path.relative_to(package).parts)]
    assert len(rooms) > 100
    assert [path.name for path in rooms if imports.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("side", [1, 2, 3, 40, 300])
def test_the_largest_of_a_tridiagonal_are_scipys(side):
    diagonal, beside = tridiagonal(side)
    for number in {1, min(side, 7), side}:
        values, vectors = largest_of_tridiagonal(diagonal, beside, number)
        pair = {"select": "i", "select_range": (side - number, side - 1)}
        theirs, their_vectors = scipy.linalg.eigh_tridiagonal(diagonal, beside, **pair)
        assert values.tolist() == theirs.tolist()
        assert np.abs(vectors).tolist() == np.abs(their_vectors).tolist()


def test_blocks_of_a_tridiagonal_are_put_in_order():
    """LAPACK finds each block's eigenvalues by themselves."""
    diagonal, beside = np.array([5.0, 1.0, 4.0, 2.0, 3.0]), np.zeros(4)
    values, vectors = largest_of_tridiagonal(diagonal, beside, 3)
    assert values.tolist() == [3.0, 4.0, 5.0]
    assert np.argmax(np.abs(vectors), axis=0).tolist() == [4, 2, 0]


@pytest.mark.parametrize("side", [1, 2, 30, 120])
def test_singular_vectors_are_those_of_the_matrix(side):
    W = gaussian_matrix(side, side, seed=side)
    values, rows = svd(np.array(W, order="F"), right=True)
    np.testing.assert_allclose(values, np.linalg.svd(W, compute_uv=False), rtol=1e-11)
    np.testing.assert_allclose(rows @ rows.T, np.eye(side), atol=1e-12)
    np.testing.assert_allclose(W.T @ W, (rows.T * values**2) @ rows, atol=1e-10 * side)
    np.testing.assert_allclose(svd(np.array(W, order="F"))[0], values, rtol=1e-11)
