"""Chapter 8: broken and hostile files of every format. A table that other readers have too, or one of two errors."""

from __future__ import annotations

import contextlib
import resource
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import setol_ww as ww
from fixtures.broken_files import HOSTILE, BrokenFile, Unread, broken_files, hostile_files, read_elsewhere
from setol_ww.formats import pickles
from setol_ww.formats.checkpoints import checkpoint_tensors
from spec_tests.runner import profile

FILES = {"dev": 300, "ci": 300, "deep": 20_000}
SEED = 13
SECONDS = 5.0
# Seconds that tell a hang, on any machine.
HANG = 60.0
MEMORY = 2**29
ERRORS = (ww.InvalidInput, ww.UnreadableCheckpoint)


class TooSlow(BaseException):
    """A file held the reader up; no error that anybody handles."""


@contextlib.contextmanager
def limits(seconds: float = SECONDS, memory: int = MEMORY) -> Iterator[None]:
    """No more time of the processor and address space than this beside what the process has."""

    def late(*_: object) -> None:
        raise TooSlow

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def plain(value: object) -> np.ndarray:
    """Values as numpy has them, floating point as float64."""
    if isinstance(value, torch.Tensor):
        value = (value.double() if value.is_floating_point() else value).numpy()
    array = np.asarray(value)
    return array.astype(float) if array.dtype.kind == "f" else array


def ours(path: Path) -> dict[str, np.ndarray | None] | str:
    """The tensors of a file by our reader, None for one that cannot be read; the error where there are none."""
    found: dict[str, np.ndarray | None] = {}
    said: list[str] = []
    try:
        with limits():
            for tensor in checkpoint_tensors(path):
                try:
                    found[tensor.name] = plain(tensor.read())
                    assert found[tensor.name].shape == tensor.shape
                except ww.UnreadableCheckpoint as error:
                    said.append(str(error))
                    found[tensor.name] = None
    except ERRORS as error:
        said.append(str(error))
        return said[-1]
    finally:
        assert all(path.name in sentence and "MemoryError" not in sentence for sentence in said), said
    return found


def verdict(path: Path) -> str:
    """How a file went: `refused`, or `read` as other readers do; a sentence when it went wrong."""
    found = ours(path)
    if isinstance(found, str):
        return "refused"
    try:
        truth = read_elsewhere(path)
    except Unread as error:
        return "empty" if not any(value is not None for value in found.values()) else f"read by us alone: {error}"
    there = [name for name in found if name in truth]
    if there != [name for name in truth if name in found] and path.suffix != ".safetensors":
        return f"another order: {list(found)}, elsewhere {list(truth)}"
    absent = {name for name in truth if name not in found}
    absent |= {name for name, value in found.items() if value is not None and name not in truth}
    if absent:
        return f"names on one side only: {sorted(absent)}"
    for name, value in found.items():
        if value is None:
            continue
        if truth[name] is None:
            return f"{name} is read by us alone"
        if not same(value, plain(truth[name])):
            return f"other values of {name}"
    return "read"


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal shapes and values; records by their bytes."""
    if one.dtype.kind == "V":
        return one.shape == other.shape and one.tobytes() == other.tobytes()
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def written(folder: Path, file: BrokenFile) -> Path:
    path = folder / f"broken{file.ending}"
    path.unlink(missing_ok=True)
    path.write_bytes(file.content)
    return path


def test_a_table_as_others_have_it_or_one_of_two_errors(tmp_path):
    """Seeded damage of every format; what is read is read alike by another library."""
    outcomes: Counter[str] = Counter()
    wrong = []
    for file in broken_files(FILES[profile()], SEED):
        path = written(tmp_path, file)
        try:
            outcome = verdict(path)
        except (Exception, TooSlow) as error:  # noqa: BLE001 - anything but the two errors is what is looked for
            outcome = f"{type(error).__name__}: {error}"
        outcomes[outcome if outcome in ("refused", "read", "empty") else "wrong"] += 1
        if outcome not in ("refused", "read", "empty"):
            wrong.append(f"{file.label}: {outcome[:300]}")
        if "sound" in file.label and outcome != "read":
            wrong.append(f"{file.label}: {ours(path)}")
    assert not wrong, "\n".join(wrong[:20])
    assert outcomes["read"] > 0.1 * sum(outcomes.values()), outcomes
    assert outcomes["refused"] > 0.3 * sum(outcomes.values()), outcomes


def test_the_whole_way_to_a_table(tmp_path):
    """Some of the files through `scan` and `analyze`: the same largest eigenvalues, or one of the two errors."""
    tables = 0
    for file in list(broken_files(FILES["dev"], SEED + 1))[::10]:
        path = written(tmp_path, file)
        try:
            with limits(60, 4 * MEMORY):
                frame = ww.scan(path)
        except ERRORS:
            with pytest.raises(ERRORS):
                ww.analyze(path)
            continue
        tables += 1
        analysed = ww.analyze(path)
        assert set(analysed["longname"]) == set(frame.loc[frame["status"] != "skipped", "longname"]), file.label
        truth = {name.removesuffix(".weight"): value for name, value in read_elsewhere(path).items()}
        for row in frame[(frame["status"] == "analyzed") & (frame["slice"] == "")].itertuples():
            matrix = truth[row.longname].astype(float)
            assert row.lambda_max == pytest.approx(np.linalg.norm(matrix, 2) ** 2, rel=1e-6), file.label
    assert tables > 5


@pytest.mark.parametrize("label", HOSTILE)
def test_hostile_pickles(tmp_path, monkeypatch, label):
    """Refused in no time and little memory, nothing of them run; a file that is read holds what others read."""
    monkeypatch.chdir(tmp_path)
    for file in hostile_files():
        if file.label.startswith(f"{label}, "):
            path = written(tmp_path, file)
            started = time.perf_counter()
            found = ours(path)
            assert time.perf_counter() - started < HANG
            assert isinstance(found, str) or not found, (file.label, found)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("line", "value"),
    [(b"'abc'", "abc"), (b'"a\\x41"', "aA"), (b"''", ""), (b"'\\xff'", b"\xff")],
)
def test_strings_of_the_oldest_pickles(line, value):
    machine = SimpleNamespace(source=SimpleNamespace(line=lambda: line), stack=[])
    pickles._string_line(machine)
    assert machine.stack == [value]


@pytest.mark.parametrize("line", [b"", b"'", b"abc", b"'abc\"", b"xabcx", b"abc'"])
def test_strings_without_their_quotes_are_refused(line):
    machine = SimpleNamespace(source=SimpleNamespace(line=lambda: line), stack=[])
    with pytest.raises(pickles.Refused, match="a string without its quotes"):
        pickles._string_line(machine)
