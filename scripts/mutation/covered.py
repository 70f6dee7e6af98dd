"""Which test runs which line: coverage of every test, file by file, kept in one sqlite file that grows."""

from __future__ import annotations

import importlib
import itertools
import os
import pkgutil
import signal
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from .children import PYTEST, in_child

#: Processor seconds after which a test is left out: a mutant would wait for it.
MOST_SECONDS = 20.0

TABLES = """
create table if not exists tests (id integer primary key, name text unique, file text, seconds real);
create table if not exists lines (module text, line integer, test integer);
create table if not exists files (file text primary key, seconds real);
create index if not exists by_line on lines (module, line);
"""


class Watcher:
    """A pytest plugin: a context of coverage for every test, its seconds, an end to slow ones."""

    def __init__(self, coverage: object) -> None:
        self.coverage = coverage
        self.seconds: dict[str, float] = {}
        self.unfit: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.coverage.switch_context(item.nodeid)
        begin = time.process_time()
        signal.signal(signal.SIGPROF, _too_slow)
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.coverage.switch_context("")
            self.seconds[item.nodeid] = time.process_time() - begin

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self.unfit.add(report.nodeid)


def _too_slow(*_: object) -> None:
    pytest.skip(f"more than {MOST_SECONDS} s")


def collect(root: Path, kept: Path, files: list[str], limit: float, again: bool = False) -> None:
    """Run `files` one after another, each in a child of its own; those that are kept only where `again` is asked."""
    with sqlite3.connect(kept) as store:
        store.executescript(TABLES)
    in_child(lambda: _imported(root, kept), root, limit, kept.with_suffix(f".{os.getpid()}.log"))
    for file in files:
        # Asked anew each time: several of these may run side by side.
        if again or not store.execute("select 1 from files where file = ?", (file,)).fetchone():
            begin = time.monotonic()
            outcome = in_child(
                lambda file=file: _watched(root, kept, file), root, limit, kept.with_suffix(f".{os.getpid()}.log")
            )
            print(f"{file}: {outcome}, {time.monotonic() - begin:.0f} s", flush=True)


def _imported(root: Path, kept: Path) -> int:
    """Keep which lines an import runs, as those of a test 0: they are seen by whatever uses the module."""
    from coverage import Coverage

    coverage = Coverage(data_file=None, source=[str(root / "setol_ww")], messages=False)
    coverage.start()
    import setol_ww

    for module in pkgutil.walk_packages(setol_ww.__path__, "setol_ww."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    coverage.stop()
    data = coverage.get_data()
    with sqlite3.connect(kept, timeout=60) as store:
        store.execute("delete from lines where test = 0")
        for path in data.measured_files():
            rows = [(os.path.relpath(path, root), line, 0) for line in data.lines(path) or ()]
            store.executemany("insert into lines values (?, ?, ?)", rows)
    return 0


def _watched(root: Path, kept: Path, file: str) -> int:
    from coverage import Coverage

    coverage = Coverage(data_file=None, source=[str(root / "setol_ww")], branch=False, messages=False)
    watcher = Watcher(coverage)
    coverage.start()
    status = pytest.main([*PYTEST, file], plugins=[watcher])
    coverage.stop()
    passed = {test: seconds for test, seconds in watcher.seconds.items() if test not in watcher.unfit}
    with sqlite3.connect(kept, timeout=60) as store:
        _keep(store, file, root, coverage.get_data(), passed)
    return int(status)


def _keep(store: sqlite3.Connection, file: str, root: Path, data: object, seconds: dict[str, float]) -> None:
    store.execute("delete from lines where test in (select id from tests where file = ?)", (file,))
    store.execute("delete from tests where file = ?", (file,))
    store.executemany(
        "insert into tests (name, file, seconds) values (?, ?, ?)",
        [(test, file, took) for test, took in seconds.items()],
    )
    known = dict(store.execute("select name, id from tests where file = ?", (file,)))
    for path in data.measured_files():
        module = os.path.relpath(path, root)
        rows = [
            (module, line, known.get(context, 0))
            for line, contexts in data.contexts_by_lineno(path).items()
            for context in contexts
            if context in known
        ]
        store.executemany("insert into lines values (?, ?, ?)", rows)
    store.execute("insert or replace into files values (?, ?)", (file, sum(seconds.values())))


def tests_of(store: sqlite3.Connection, module: str, first: int, last: int) -> list[tuple[str, float]]:
    """The tests that run one of the lines: (name, seconds), in order; of lines of an import those of the module.

    First come those that run little else than the module: they are about it, others pass through. Of every test
    function the first case comes before the second cases of others: forty cases of one see less than forty functions.
    """
    ask = (
        "select name, seconds, count(*) * 1.0 / coalesce((select size from sizes where sizes.test = lines.test), 9000) "
        "from lines join tests on tests.id = test "
        "where module = ? and test in (select test from lines where {}) group by test"
    )
    here = "module = ? and line between ? and ?"
    if store.execute(f"select 1 from lines where test = 0 and {here}", (module, first, last)).fetchone():
        # Some test or other was the first to import the module; all that use it see the line.
        found = store.execute(ask.format("module = ?"), (module, module)).fetchall()
    else:
        found = store.execute(ask.format(here), (module, module, first, last)).fetchall()
    cases: defaultdict[str, list[tuple[float, str, float]]] = defaultdict(list)
    for name, seconds, share in found:
        cases[name.partition("[")[0]].append((-share, name, seconds))
    turns = itertools.zip_longest(*(sorted(every) for every in cases.values()))
    return [(name, seconds) for turn in turns for _, name, seconds in sorted(filter(None, turn))]


def opened(kept: Path) -> sqlite3.Connection:
    """The kept coverage, with the number of lines that each test runs."""
    store = sqlite3.connect(kept)
    store.execute("create temporary table sizes as select test, count(*) as size from lines group by test")
    store.execute("create unique index temp.by_test on sizes (test)")
    return store


def within(tests: list[tuple[str, float]], seconds: float, most: int) -> list[str]:
    """As many tests, in order, as cost at most `seconds` together, at most `most`; one at the least."""
    chosen, left = [], seconds
    for name, took in tests:
        if len(chosen) < most and (took <= left or not chosen):
            chosen.append(name)
            left -= took
    return chosen
