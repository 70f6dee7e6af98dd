"""A process that has collected every test and forks a child per mutant, into whose functions the mutant is put.

A mutant inside a function is new code for a function object that lives already, so neither the package nor the tests
are imported anew. One that changes what an import does (a constant, a decorator, a default) is answered `cold`.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import resource
import signal
import sys
import types
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.main import pytest_runtestloop

#: Processor seconds and seconds by the clock beyond those of its tests after which a mutant is ended.
PATIENCE, CLOCK = 20.0, 240.0


class Server:
    """A pytest plugin that answers requests, lines of JSON, in the place of running what was collected."""

    def __init__(self, root: Path, asks: int, answers: int) -> None:
        self.root, self.asks, self.answers = root, asks, answers
        self.failed = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        self.functions = _functions(self.root)
        for cache in _caches():
            cache.cache_clear()
        gc.freeze()
        with os.fdopen(self.asks) as asks, os.fdopen(self.answers, "w") as answers:
            print(json.dumps(list(self.items)), file=answers, flush=True)
            for line in asks:
                print(json.dumps(self._answer(session, json.loads(line))), file=answers, flush=True)
        return True

    def _answer(self, session: pytest.Session, asked: dict[str, Any]) -> list[str]:
        """(`killed`, `survived` or `cold`; why)."""
        swaps = []
        if asked["after"] is not None:
            live = self.functions[str(self.root / asked["module"])]
            found = swaps_of(asked["before"], asked["after"], str(self.root / asked["module"]), live)
            if found is None:
                return ["cold", "what an import does is changed"]
            swaps = found
        session.items = [self.items[name] for name in asked["tests"] if name in self.items]
        if not session.items:
            return ["survived", "no test runs this line"]
        said = self.root.parent / "said"
        said.write_text("stopped by time", encoding="utf-8")
        pid = os.fork()
        if not pid:
            self._child(session, swaps, asked["seconds"], said)
        _, status = os.waitpid(pid, 0)
        _end_group(pid)
        if os.waitstatus_to_exitcode(status) == 0:
            return ["survived", f"{len(session.items)} tests passed"]
        return ["killed", said.read_text(encoding="utf-8")]

    def _child(self, session: pytest.Session, swaps: list[tuple[Any, Any]], seconds: float, said: Path) -> None:
        status = 1
        try:
            os.setsid()
            limit = int(3 * seconds + PATIENCE)
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
            signal.alarm(int(3 * seconds + CLOCK))
            session.config.option.maxfail, session.testsfailed, session.shouldfail = 1, 0, False
            for function, code in swaps:
                function.__code__ = code
            pytest_runtestloop(session)
            status = int(bool(self.failed))
        finally:
            self.failed = self.failed or repr(sys.exc_info()[1])
            if status:
                said.write_text(self.failed, encoding="utf-8")
            os._exit(status)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            text = (crash.message if crash else str(report.longrepr)).splitlines() or [""]
            self.failed = f"{report.nodeid} - {text[0][:150]}"


def _end_group(pid: int) -> None:
    """Whatever the child started and left."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _caches() -> list[Any]:
    """Caches of package, tests and oracles: what they remember of the collection was computed without the mutant."""
    found = [each for each in gc.get_objects() if type(each) is functools._lru_cache_wrapper]
    return [each for each in found if each.__module__.partition(".")[0] in ("setol_ww", "spec_tests", "fixtures")]


def _functions(root: Path) -> dict[str, list[types.FunctionType]]:
    """Every function object of the package that lives, by its file; of strange proxies the type alone is asked."""
    found: defaultdict[str, list[types.FunctionType]] = defaultdict(list)
    for each in gc.get_objects():
        if type(each) is types.FunctionType and each.__code__.co_filename.startswith(str(root / "setol_ww")):
            found[each.__code__.co_filename].append(each)
    return found


def swaps_of(
    before: str, after: str, path: str, live: list[types.FunctionType]
) -> list[tuple[types.FunctionType, types.CodeType]] | None:
    """Function objects and the code each gets; None where that cannot be, or would not do."""
    found = []
    for old, new in _changed(compile(before, path, "exec"), compile(after, path, "exec")):
        if old is None or new is None:
            return None
        outermost = len(found)
        for one, other in _with_inner(old, new):
            mine = [function for function in live if function.__code__ == one]
            if mine and (other is None or len(one.co_freevars) != len(other.co_freevars)):
                return None
            found += [(function, other) for function in mine]
        if live and not any(function.__code__ == old for function, _ in found[outermost:]):
            return None
    return found


def _with_inner(old: types.CodeType, new: types.CodeType) -> Iterator[tuple[types.CodeType, types.CodeType | None]]:
    """A function and those inside of it: what it made when the package was imported lives as well."""
    yield old, new
    mine, yours = _inner(old), _inner(new)
    alike = [each.co_name for each in mine] == [each.co_name for each in yours]
    for one, other in zip(mine, yours if alike else [None] * len(mine), strict=True):
        if other is None:
            yield one, None
        elif _whole(one) != _whole(other):
            yield from _with_inner(one, other)


def _changed(old: types.CodeType, new: types.CodeType) -> Iterator[tuple[types.CodeType | None, types.CodeType | None]]:
    """The outermost functions that differ; (None, None) where the code of a module or of a class's body does."""
    mine, yours = _inner(old), _inner(new)
    if _own(old) != _own(new) or [each.co_name for each in mine] != [each.co_name for each in yours]:
        yield None, None
        return
    for one, other in zip(mine, yours, strict=True):
        if one.co_flags & 2:  # CO_NEWLOCALS: a function, not the body of a class
            if _whole(one) != _whole(other):
                yield one, other
        else:
            yield from _changed(one, other)


def _inner(code: types.CodeType) -> list[types.CodeType]:
    return [each for each in code.co_consts if isinstance(each, types.CodeType)]


def _own(code: types.CodeType) -> tuple[Any, ...]:
    constants = [repr(each) for each in code.co_consts if not isinstance(each, types.CodeType)]
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars


def _whole(code: types.CodeType) -> tuple[Any, ...]:
    return (*_own(code), *(_whole(each) for each in _inner(code)))
