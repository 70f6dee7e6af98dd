"""Refusals that no test runs, by the coverage that is kept: a test of each is a matter of one call.

Of those that only another process runs, and those of abstract methods, nothing is said here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from .covered import Coverage
from .draw import modules

#: Refusals that a test runs in another process, which no coverage sees, by module and words of the statement.
ELSEWHERE: tuple[tuple[str, str], ...] = ()


def refusals(root: Path, kept: Path) -> list[str]:
    """Module, line and words of every `raise` of an error of its own that no test runs."""
    coverage, found = Coverage(kept), []
    for module in modules(root, []):
        content = (root / module).read_text(encoding="utf-8")
        for node in _raises(content):
            said = " ".join(ast.unparse(node).split())
            tests, _ = coverage.tests_of(module, content, node.lineno, node.lineno)
            if not tests and not any(module == where and words in said for where, words in ELSEWHERE):
                found.append(f"{module}:{node.lineno}: {said}")
    return found


def _raises(content: str) -> Iterator[ast.Raise]:
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Raise) and node.exc is not None and ast.unparse(node.exc) != "NotImplementedError":
            yield node
