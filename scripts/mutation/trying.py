"""Mutants tried: each worker has a copy of the tree, each mutant a forked child that runs the chosen tests."""

from __future__ import annotations

import difflib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkItem, WorkResult

from . import covered
from .children import PYTEST, end, ended, start
from .draw import Candidate, candidate_of, mutated, room_of, statement

#: Seconds by the clock after which the tests of a mutant are ended.
PATIENCE = 600.0


@dataclass
class Running:
    """A mutant in a worker's copy."""

    item: WorkItem
    copy: Path
    tests: list[str]
    pid: int
    until: float
    before: str


def try_all(
    root: Path,
    folder: Path,
    session: WorkDB,
    choose: Callable[[Candidate], list[str]],
    workers: int,
    rooms: list[str],
    again: bool = False,
) -> None:
    """Try what the session has pending in `rooms`, with `again` what survived as well.

    A session that was stopped goes on where it was.
    """
    pending = sorted(session.pending_work_items, key=lambda item: item.job_id)
    if again:
        tried = sorted(session.completed_work_items, key=lambda pair: pair[0].job_id)
        pending = [item for item, result in tried if result.test_outcome is TestOutcome.SURVIVED] + pending
    pending = [item for item in pending if not rooms or room_of(candidate_of(item).module) in rooms]
    with copies(root, folder, workers) as free:
        running: list[Running] = []
        while pending or running:
            while pending and free:
                running.append(_begin(pending.pop(0), free.pop(), choose))
            time.sleep(0.1)
            for one in list(running):
                result = _result(one)
                if result is not None:
                    (one.copy / candidate_of(one.item).module).write_text(one.before, encoding="utf-8")
                    session.set_result(one.item.job_id, result)
                    running.remove(one)
                    free.append(one.copy)
                    print(_line(one.item, result), flush=True)


@contextmanager
def copies(root: Path, folder: Path, workers: int) -> Iterator[list[Path]]:
    """Copies of what git keeps of the tree, side by side, gone afterwards."""
    found = [folder / f"copy{number}" / root.name for number in range(workers)]
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    try:
        for copy in found:
            for name in filter(None, listed.split("\0")):
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, copy / name)
            if (root.parent / "shared").is_dir() and not (copy.parent / "shared").exists():
                (copy.parent / "shared").symlink_to((root.parent / "shared").resolve())
        yield list(found)
    finally:
        for copy in found:
            shutil.rmtree(copy.parent, ignore_errors=True)


def chooser(root: Path, kept: Path, seconds: float, most: int) -> Callable[[Candidate], list[str]]:
    """The tests that run a mutant's lines, by the kept coverage: so many, and no more than take so long."""
    store = covered.opened(kept)

    def choose(candidate: Candidate) -> list[str]:
        source = (root / candidate.module).read_text(encoding="utf-8")
        found = covered.tests_of(store, candidate.module, *statement(source, candidate.start[0]))
        return covered.within(found, seconds, most)

    return choose


def _begin(item: WorkItem, copy: Path, choose: Callable[[Candidate], list[str]]) -> Running:
    candidate = candidate_of(item)
    module = copy / candidate.module
    before, after, tests = module.read_text(encoding="utf-8"), mutated(copy, candidate), choose(candidate)
    module.write_text(after or before, encoding="utf-8")
    pid = start(lambda: _tested(tests), copy, copy.parent / "log") if tests and after else 0
    return Running(item, copy, tests, pid, time.monotonic() + PATIENCE, before)


def _tested(tests: list[str]) -> int:
    signal.alarm(int(PATIENCE))
    return int(pytest.main([*PYTEST, "-x", *tests]))


def _result(one: Running) -> WorkResult | None:
    if not one.pid:
        return WorkResult(WorkerOutcome.NO_TEST, "no test runs this line", TestOutcome.SURVIVED, _change(one))
    status = ended(one.pid)
    if status is None and time.monotonic() < one.until:
        return None
    if status is None:
        end(one.pid)
        return WorkResult(WorkerOutcome.NORMAL, "stopped by time", TestOutcome.KILLED, _change(one))
    log = (one.copy.parent / "log").read_text(encoding="utf-8", errors="replace")
    if status == 0:
        return WorkResult(WorkerOutcome.NORMAL, f"{len(one.tests)} tests passed", TestOutcome.SURVIVED, _change(one))
    killers = [line for line in log.splitlines() if line.startswith(("FAILED", "ERROR"))]
    said = killers[0] if killers else "\n".join(log.splitlines()[-8:])
    return WorkResult(WorkerOutcome.NORMAL, f"exit {status}: {said}", TestOutcome.KILLED, _change(one))


def _change(one: Running) -> str:
    """What the mutant changes: lines before, an arrow, lines after."""
    before = one.before.splitlines()
    after = (one.copy / candidate_of(one.item).module).read_text(encoding="utf-8").splitlines()
    for what, *spans in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what != "equal":
            old, new = before[spans[0] : spans[1]], after[spans[2] : spans[3]]
            return " -> ".join(" ".join(line.strip() for line in lines) for lines in (old, new))
    return ""


def _line(item: WorkItem, result: WorkResult) -> str:
    candidate = candidate_of(item)
    place = f"{candidate.module}:{candidate.start[0]}"
    return f"{item.job_id} {result.test_outcome.value:9} {place} {candidate.kind}: {result.output[:150]}"
