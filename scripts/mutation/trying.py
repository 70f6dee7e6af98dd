"""Mutants tried: each worker has a copy of the tree, each mutant a forked child that runs the chosen tests."""

from __future__ import annotations

import compileall
import difflib
import json
import os
import py_compile
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import covered, keeping, warm
from .children import PYTEST, end, in_child, start
from .draw import Candidate, mutated, statement
from .keeping import Trial

#: The tests to try a mutant with, in order, what they take in seconds, and whether an import runs its line.
Choice = tuple[list[str], float, bool]
HOUSE = "spec_tests/product/test_house.py"
#: They look at every module and run lines of none, so that no coverage tells of them.
EVERYWHERE = [
    f"{HOUSE}::test_what_is_found_cannot_be_changed",
    f"{HOUSE}::test_text_is_read_and_written_in_utf8",
    f"{HOUSE}::test_types_and_names_of_the_package_have_one_home",
    f"{HOUSE}::test_nothing_is_asked_by_its_place_alone",
    f"{HOUSE}::test_what_a_module_says_it_has_is_there",
    "spec_tests/product/test_manners.py::test_no_module_loads_what_it_may_do_without",
]
#: Seconds by the clock after which a mutant that was imported anew is ended.
PATIENCE = 400.0


def try_all(
    root: Path, folder: Path, pending: list[Candidate], choosing: Callable[[], Callable[..., Choice]], workers: int
) -> None:
    """Try every mutant in turn and keep what became of it; each worker has what `choosing` makes for itself.

    Raises `ChildProcessError` where a worker ended before its last mutant.
    """
    files = covered.files(folder / "covered.sqlite")
    with copies(root, folder, min(workers, len(pending) or 1)) as found:

        def work(number: int) -> None:
            _work(found[number], folder, pending[number :: len(found)], choosing(), files)

        pids = [_forked(work, number) for number in range(1, len(found))]
        work(0)
        if any([os.waitpid(pid, 0)[1] for pid in pids]):
            raise ChildProcessError("a worker ended before its last mutant")


def _forked(work: Callable[[int], None], number: int) -> int:
    """The id of a child that does `work` of a number; it ends with status 1 where that fails."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work(number)
        status = 0
    finally:
        if status:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _work(copy: Path, folder: Path, mine: list[Candidate], choose: Callable[..., Choice], files: list[str]) -> None:
    with House(copy, files) as house:
        for candidate in mine:
            trial = Attempt(copy, candidate, house).done(choose)
            if trial is not None:
                keeping.keep(folder, trial)
                place = f"{trial.module}:{trial.line}"
                # In one piece: where streams are not buffered `print` writes the end of a line apart.
                sys.stdout.write(f"{trial.key} {trial.fate:9} {place} {trial.kind}: {trial.why[:150]}\n")
                sys.stdout.flush()


class House:
    """A process that has collected `files` in `copy`: see `warm`."""

    def __init__(self, copy: Path, files: list[str]) -> None:
        self.copy, self.files = copy, files
        #: Tests that fail without a mutant too, and those that are known not to.
        self.unfit: set[str] = set()
        self.sound: set[str] = set()

    def __enter__(self) -> House:
        reading, asks = os.pipe()
        answers, writing = os.pipe()
        log = self.copy.parent.parent / "house.log"
        self.pid = start(lambda: self._serve(reading, writing, (asks, answers)), self.copy, log)
        os.close(reading)
        os.close(writing)
        self.asks, self.answers = os.fdopen(asks, "w"), os.fdopen(answers)
        # Not before everything is imported may a module be changed.
        #: What there is to run: tests of the coverage may be gone since.
        self.there: set[str] = set(json.loads(self.answers.readline()))
        return self

    def _serve(self, reading: int, writing: int, others: tuple[int, int]) -> int:
        for other in others:
            os.close(other)
        files = [file for file in self.files if (self.copy / file).exists()]
        # Tests rewritten by pytest are kept for the children that import anew: only modules of the package change.
        sys.dont_write_bytecode = False
        plugin = warm.Server(self.copy, reading, writing)
        return int(pytest.main([*PYTEST, "--continue-on-collection-errors", *files], plugins=[plugin]))

    def __exit__(self, *_: object) -> None:
        self.asks.close()
        self.answers.close()
        end(self.pid)

    def ask(self, module: str, before: str, after: str | None, tests: list[str], seconds: float) -> tuple[str, str]:
        """The fate of a mutant (without one where `after` is None), and why."""
        asked = {"module": module, "before": before, "after": after, "tests": tests, "seconds": seconds}
        print(json.dumps(asked), file=self.asks, flush=True)
        fate, why = json.loads(self.answers.readline())
        return fate, why

    def is_sound(self, killer: str) -> bool:
        """Whether a test passes without a mutant."""
        if killer not in self.sound | self.unfit:
            fate, _ = self.ask("", "", None, [killer], covered.MOST_SECONDS)
            (self.sound if fate == "survived" else self.unfit).add(killer)
        return killer in self.sound


class Attempt:
    """One mutant in a worker's copy."""

    def __init__(self, copy: Path, candidate: Candidate, house: House) -> None:
        self.copy, self.candidate, self.house = copy, candidate, house
        self.path = copy / candidate.module
        self.before = self.path.read_text(encoding="utf-8")
        self.after = mutated(copy, candidate)

    def done(self, choose: Callable[..., Choice]) -> Trial | None:
        """What became of it; None where it says what was said before."""
        if self.after is None:
            return None
        while True:
            found, seconds, imported = choose(self.candidate, self.before, self.house.unfit)
            tests = [test for test in found if test in self.house.there]
            fate, why = self._tried(tests, seconds, imported) if tests else ("survived", "no test runs this line")
            killer = why.partition(" - ")[0]
            if fate == "survived" or killer not in tests or self.house.is_sound(killer):
                break
        at = self.candidate
        return Trial(at.key, at.module, at.start[0], at.kind, changed(self.before, self.after), fate, why)

    def _tried(self, tests: list[str], seconds: float, imported: bool) -> tuple[str, str]:
        try:
            self.path.write_text(self.after or "", encoding="utf-8")
            if not imported:
                fate, why = self.house.ask(self.candidate.module, self.before, self.after, tests, seconds)
                if fate != "cold":
                    return fate, why
            return self._cold(tests)
        finally:
            self.path.write_text(self.before, encoding="utf-8")

    def _cold(self, tests: list[str]) -> tuple[str, str]:
        log = self.copy.parent / "log"
        status = in_child(lambda: _tested(tests), self.copy, PATIENCE, log)
        said = log.read_text(encoding="utf-8", errors="replace").splitlines()
        if status == 0:
            return "survived", f"{len(tests)} tests passed"
        if status is None:
            return "killed", "stopped by time"
        killers = [line.partition(" ")[2] for line in said if line.startswith(("FAILED", "ERROR"))]
        return "killed", killers[0] if killers else f"exit {status}: " + "\n".join(said[-8:])


def _tested(tests: list[str]) -> int:
    signal.alarm(int(PATIENCE))
    return int(pytest.main([*PYTEST, "-x", *tests]))


def chooser(kept: Path, seconds: float, most: int) -> Callable[[Candidate, str, set[str]], Choice]:
    """The tests that run a mutant's lines, by the kept coverage: so many, and no more than take so long."""
    coverage = covered.Coverage(kept)

    def choose(candidate: Candidate, content: str, unfit: set[str]) -> Choice:
        span = statement(content, candidate.start[0])
        found, imported = coverage.tests_of(candidate.module, content, *span)
        chosen, took = covered.within([each for each in found if each[0] not in unfit], seconds, most)
        return [*chosen, *EVERYWHERE], took, imported

    return choose


@contextmanager
def copies(root: Path, folder: Path, workers: int) -> Iterator[list[Path]]:
    """Copies of what git keeps of the tree, side by side, gone afterwards."""
    found = [folder / f"copy{number}-{os.getpid()}" / root.name for number in range(workers)]
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    try:
        for copy in found:
            for name in filter(None, listed.split("\0")):
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, copy / name)
            if (root.parent / "shared").is_dir() and not (copy.parent / "shared").exists():
                (copy.parent / "shared").symlink_to((root.parent / "shared").resolve())
            # By hash, not by time: a mutant of the same length in the same second is another module.
            by_hash = py_compile.PycInvalidationMode.CHECKED_HASH
            compileall.compile_dir(copy / "setol_ww", quiet=1, invalidation_mode=by_hash)
        yield list(found)
    finally:
        for copy in found:
            shutil.rmtree(copy.parent, ignore_errors=True)


def changed(before: str, after: str) -> str:
    """What a mutant changes: lines before, an arrow, lines after."""
    old, new = before.splitlines(), after.splitlines()
    for what, *spans in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what != "equal":
            sides = old[spans[0] : spans[1]], new[spans[2] : spans[3]]
            return " -> ".join(" ".join(line.strip() for line in lines) for lines in sides)
    return ""
