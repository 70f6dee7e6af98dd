"""Every lock, by threads that are made to meet where it is held."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import setol_ww as ww
from setol_ww.core import manners
from setol_ww.formats import reader as readers
from setol_ww.formats import remote
from setol_ww.formats.places import place_of
from setol_ww.scanning import row as rows
from setol_ww.watcher import plugin, standins

PAUSE = 0.02


def together(*works: Callable[[], Any]) -> list[Any]:
    """What each work gives, all begun at one moment in threads of their own."""
    start, found = threading.Barrier(len(works)), [None] * len(works)

    def run(number: int) -> None:
        start.wait()
        found[number] = works[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return found


class Watched(OrderedDict):
    """A mapping that takes its time, and counts how often two threads were in it at once."""

    def __init__(self) -> None:
        self.inside: list[int] = []
        self.met = 0
        super().__init__()

    def _slowly(self, work: Callable[..., Any], *given: Any, **options: Any) -> Any:
        me = threading.get_ident()
        self.met += any(other != me for other in self.inside)
        self.inside.append(me)
        time.sleep(PAUSE / 4)
        try:
            return work(*given, **options)
        finally:
            self.inside.remove(me)

    def __contains__(self, key: Any) -> bool:
        return self._slowly(super().__contains__, key)

    def setdefault(self, *given: Any) -> Any:
        return self._slowly(super().setdefault, *given)

    def get(self, *given: Any) -> Any:
        return self._slowly(super().get, *given)

    def clear(self) -> None:
        return self._slowly(super().clear)

    def __setitem__(self, key: Any, value: Any) -> None:
        return self._slowly(super().__setitem__, key, value)


class Reader:
    """Stands for a file that was opened."""

    def __init__(self, path: Any) -> None:
        time.sleep(PAUSE)
        self.path = path
        made.append(path)

    def is_current(self) -> bool:
        return True


made: list[Any] = []


@pytest.mark.parametrize("first", ["get", "drop", "clear"])
@pytest.mark.parametrize("second", ["get", "drop", "clear"])
def test_no_two_threads_are_among_the_readers(monkeypatch, first, second):
    monkeypatch.setattr(readers, "FileReader", Reader)
    kept = readers._Readers()
    one = kept.get(place_of("a.npy"))
    kept.slots = Watched()
    works = {"get": lambda: kept.get(place_of("b.npy")), "drop": lambda: kept.drop(one), "clear": kept.clear}
    together(*(works[name] for name in (first, second) * 3))
    assert kept.slots.met == 0


def test_a_file_is_opened_by_one_thread_while_others_wait(monkeypatch):
    monkeypatch.setattr(readers, "FileReader", Reader)
    made.clear()
    kept = readers._Readers()
    found = together(*[lambda: kept.get(place_of("a.npy"))] * 4)
    assert len(made) == 1
    assert len(set(map(id, found))) == 1


def test_a_file_that_was_touched_is_read_anew_once(tmp_path: Path, monkeypatch):
    path = tmp_path / "fc.npy"
    np.save(path, np.arange(6.0).reshape(2, 3))
    reader = readers.FileReader(place_of(path))
    os.utime(path, (1, 1))
    plain, looked = readers._opened, []

    def slow(handle: Any) -> Any:
        looked.append(1)
        time.sleep(PAUSE)
        return plain(handle)

    monkeypatch.setattr(readers, "_opened", slow)
    found = together(*[lambda: reader.read("fc.weight")] * 4)
    assert len(looked) == 1
    assert all(np.array_equal(one, found[0]) for one in found)


@pytest.mark.parametrize("first", ["get", "put", "clear"])
@pytest.mark.parametrize("second", ["get", "put", "clear"])
def test_no_two_threads_are_among_the_blocks_of_urls(first, second):
    blocks = remote._Blocks()
    blocks.kept = Watched()
    works = {"get": lambda: blocks.get("a"), "put": lambda: blocks.put("a", b"1"), "clear": blocks.clear}
    together(*(works[name] for name in (first, second) * 3))
    assert blocks.kept.met == 0


class Limits:
    """Stands for the limit of the threads of a process: how often one was set and lifted."""

    def __init__(self, number: int) -> None:
        assert number == 1
        time.sleep(PAUSE)
        limits.append("set")

    def restore_original_limits(self) -> None:
        lifting.set()
        time.sleep(3 * PAUSE)
        limits.append("lifted")


limits: list[str] = []
lifting = threading.Event()


def test_threads_are_limited_once_for_all_and_until_the_last_is_done(monkeypatch):
    monkeypatch.setattr(rows, "threadpool_limits", Limits)
    limits.clear()
    count = rows._OneThread()
    together(*[count.enter] * 4)
    assert (limits, count.inside) == (["set"], 4)
    together(*[count.leave] * 3)
    assert limits == ["set"]
    lifting.clear()
    together(count.leave, lambda: (lifting.wait(60), count.enter()))
    assert (limits, count.inside) == (["set", "lifted", "set"], 1)
    count.leave()
    assert (limits, count.inside) == (["set", "lifted", "set", "lifted"], 0)


class Host:
    """A module that imports weightwatcher's class, and takes its time to say so."""

    def __init__(self) -> None:
        self.there: Any = "the host's own"

    @property
    def WeightWatcher(self) -> Any:
        time.sleep(PAUSE)
        return self.there

    @WeightWatcher.setter
    def WeightWatcher(self, value: Any) -> None:
        self.there = value


def test_blocks_in_several_threads_give_the_host_its_class_back(monkeypatch):
    host = Host()
    monkeypatch.setattr(plugin, "HOST_MODULES", (host,))
    plug = plugin._Plug()
    together(*[lambda: plug.change(blocks=1)] * 4)
    assert host.there is ww.WeightWatcher
    together(*[lambda: plug.change(blocks=-1)] * 4)
    assert host.there == "the host's own"


class Alone:
    """Counts how often somebody came while another was inside."""

    def __init__(self) -> None:
        self.inside = self.met = self.came = 0

    def pass_through(self) -> None:
        self.came += 1
        self.met += self.inside
        self.inside += 1
        time.sleep(PAUSE)
        self.inside -= 1


def test_one_thread_at_a_time_imports_and_may_do_so_inside_of_its_own():
    alone = Alone()

    def work() -> None:
        with manners.importing(), manners.importing():
            alone.pass_through()

    together(*[work] * 4)
    assert (alone.came, alone.met) == (4, 0)


def test_figures_of_several_threads_are_written_one_at_a_time():
    alone, figures = Alone(), standins.Figures()

    class Figure:
        def savefig(self, *_: Any, **__: Any) -> None:
            alone.pass_through()

    def work() -> None:
        figures.figure = Figure()
        figures.savefig("a.png")

    together(*[work] * 4)
    assert (alone.came, alone.met) == (4, 0)
