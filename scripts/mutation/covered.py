"""Which test runs which line: coverage of every test, file by file, kept in one sqlite file that grows.

Lines are those of the text a module had when a test was watched, which is kept too: in a text that has changed since, a
line is looked up as the one it was.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import itertools
import operator
import os
import pkgutil
import signal
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from .children import PYTEST, in_child

#: Processor seconds after which a test is left out: a mutant would wait for it.
MOST_SECONDS = 20.0

TABLES = """
create table if not exists tests (id integer primary key, name text unique, file text, seconds real);
create table if not exists texts (id integer primary key, module text, content text, unique (module, content));
create table if not exists lines (text integer, line integer, test integer);
create table if not exists files (file text primary key, seconds real);
create index if not exists by_line on lines (text, line);
create index if not exists by_test on lines (test);
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
        begin = _seconds()
        signal.signal(signal.SIGPROF, _too_slow)
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.coverage.switch_context("")
            self.seconds[item.nodeid] = _seconds() - begin

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self.unfit.add(report.nodeid)


def _seconds() -> float:
    """Processor seconds of this process and of those it started that have ended."""
    return sum(os.times()[:4])


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
            text = _text(store, root, path)
            rows = [(text, line, 0) for line in data.lines(path) or ()]
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
        text = _text(store, root, path)
        rows = [
            (text, line, known.get(context, 0))
            for line, contexts in data.contexts_by_lineno(path).items()
            for context in contexts
            if context in known
        ]
        store.executemany("insert into lines values (?, ?, ?)", rows)
    store.execute("insert or replace into files values (?, ?)", (file, sum(seconds.values())))


def _text(store: sqlite3.Connection, root: Path, path: str) -> int:
    """The number of a module's present text."""
    told = os.path.relpath(path, root), Path(path).read_text(encoding="utf-8")
    store.execute("insert or ignore into texts (module, content) values (?, ?)", told)
    return int(store.execute("select id from texts where module = ? and content = ?", told).fetchone()[0])


def files(kept: Path) -> list[str]:
    """The test files that were watched."""
    with sqlite3.connect(kept) as store:
        return [file for (file,) in store.execute("select file from files order by file")]


class Coverage:
    """The kept coverage, read."""

    def __init__(self, kept: Path) -> None:
        self.store = sqlite3.connect(kept)
        self.sizes = dict(self.store.execute("select test, count(*) from lines group by test"))
        self.names = {
            test: (name, seconds) for test, name, seconds in self.store.execute("select id, name, seconds from tests")
        }

    def tests_of(self, module: str, content: str, first: int, last: int) -> tuple[list[tuple[str, float]], bool]:
        """The tests that run one of the lines, (name, seconds) in order, and whether an import runs them.

        Of lines that an import runs they are those of the module: some test or other was the first to import it, all
        that use it see the line. First come those that run little else than the module: they are about it, others pass
        through. Of every test function the first case comes before the second cases of others: forty cases of one see
        less than forty functions.
        """
        texts = self.store.execute("select id, content from texts where module = ?", (module,)).fetchall()
        spans = {text: _as_it_was(kept, content, first, last) for text, kept in texts}
        hit = {test for text, span in spans.items() for test in self._hitting(text, *span)}
        imported = 0 in hit
        mine: Counter[int] = Counter()
        for text in spans:
            asked = "select test, count(*) from lines where text = ? group by test"
            mine.update(dict(self.store.execute(asked, (text,))))
        chosen = [test for test in (mine if imported else hit) if test in self.names]
        return self._in_turn({test: mine[test] / self.sizes[test] for test in chosen}), imported

    def _hitting(self, text: int, first: int, last: int) -> list[int]:
        asked = "select distinct test from lines where text = ? and line between ? and ?"
        return [test for (test,) in self.store.execute(asked, (text, first, last))]

    def _in_turn(self, shares: dict[int, float]) -> list[tuple[str, float]]:
        cases: defaultdict[str, list[tuple[float, str, float]]] = defaultdict(list)
        for test, share in shares.items():
            name, seconds = self.names[test]
            cases[name.partition("[")[0]].append((-share, name, seconds))
        turns = itertools.zip_longest(*(sorted(every) for every in cases.values()))
        return [(name, seconds) for turn in turns for _, name, seconds in sorted(filter(None, turn))]


@functools.lru_cache(maxsize=64)
def _blocks(old: str, new: str) -> list[tuple[str, int, int, int, int]]:
    return difflib.SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False).get_opcodes()


def _as_it_was(old: str, new: str, first: int, last: int) -> tuple[int, int]:
    """Where lines of a text stood in an older one; of lines that are new, the ones around and in the place of them."""
    if old == new:
        return first, last
    begins, ends = [], []
    for what, at, end, begin, stop in _blocks(old, new):
        if begin < last and stop >= first:
            begins.append(at + max(first - 1 - begin, 0) + 1 if what == "equal" else at)
            ends.append(at + min(last, stop) - begin if what == "equal" else end + 1)
    return min(begins), max(ends)


def within(tests: list[tuple[str, float]], seconds: float, most: int) -> tuple[list[str], float]:
    """As many tests, in order, as cost at most `seconds` together, at most `most`, one at the least; what they cost.

    Of the first dozen, and of the rest, those of one file follow one another: what a file sets up stays.
    """
    chosen: list[str] = []
    left = seconds
    for name, took in tests:
        if len(chosen) < most and took <= left:
            chosen.append(name)
            left -= took
    if tests and not chosen:
        return [min(tests, key=operator.itemgetter(1))[0]], seconds
    return [*_by_file(chosen[:12]), *_by_file(chosen[12:])], seconds - left


def _by_file(tests: list[str]) -> list[str]:
    found: dict[str, list[str]] = defaultdict(list)
    for test in tests:
        found[test.partition("::")[0]].append(test)
    return [test for every in found.values() for test in every]
