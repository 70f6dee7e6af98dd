"""Refusals that no test runs, by the coverage that is kept: a test of each is a matter of one call.

Those of abstract methods are left out; one that only another process runs counts as not run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from .covered import Coverage
from .draw import modules


def refusals(root: Path, kept: Path) -> list[str]:
    """Module, line and words of every `raise` of an error of its own that no test runs."""
    coverage, found = Coverage(kept), []
    for module in modules(root, []):
        content = (root / module).read_text(encoding="utf-8")
        for node in _raises(content):
            tests, _ = coverage.tests_of(module, content, node.lineno, node.lineno)
            if not tests:
                found.append(f"{module}:{node.lineno}: {' '.join(ast.unparse(node).split())}")
    return found


def _raises(content: str) -> Iterator[ast.Raise]:
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Raise) and node.exc is not None and ast.unparse(node.exc) != "NotImplementedError":
            yield node
