"""Forked children that have the libraries loaded already, each with an end by time."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
import traceback
import types
from collections.abc import Callable
from pathlib import Path

#: Loaded once in the parent: a child that imports them itself takes seconds before its first test.
LIBRARIES = (
    "numpy", "scipy.optimize", "scipy.stats", "scipy.linalg", "pandas", "torch", "safetensors", "matplotlib.figure",
    "hypothesis", "weightwatcher",
)  # fmt: skip

#: How a child calls pytest; some of its plugins are among the libraries. The examples of docstrings are tests too.
PYTEST = ["-q", "-p", "no:cacheprovider", "--tb=line", "-W", "ignore::pytest.PytestAssertRewriteWarning",
          "--doctest-modules", "--ignore-glob=*suite*"]  # fmt: skip


def load_libraries() -> None:
    """All but the package under test."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    for name in LIBRARIES:
        importlib.import_module(name)
    assert not any(name.partition(".")[0] == "setol_ww" for name in sys.modules)


def start(task: Callable[[], int], root: Path, log: Path) -> int:
    """Fork a child that does `task` in `root`, and say its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        os.setsid()
        said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.chdir(root)
        sys.path.insert(0, str(root))
        # Processes that the tests spawn would run the script of the parent once more.
        sys.modules["__main__"] = types.ModuleType("__main__")
        os.environ["PYTHONPATH"] = str(root)
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        status = task()
    finally:
        if sys.exc_info()[0]:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def ended(pid: int) -> int | None:
    """The exit status of a child, None while it runs; minus the signal where one ended it."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def end(pid: int) -> None:
    """Kill a child and everything it started."""
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def in_child(task: Callable[[], int], root: Path, limit: float, log: Path) -> int | None:
    """The exit status of `task` in a child, None where it took longer than `limit` seconds."""
    pid = start(task, root, log)
    until = time.monotonic() + limit
    while (status := ended(pid)) is None:
        if time.monotonic() > until:
            end(pid)
            return None
        time.sleep(0.2)
    return status
