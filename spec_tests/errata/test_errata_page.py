"""The page and the checks belong together."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "errata.md"
CHECK = re.compile(r"test_E(\d+)(?:_\w+)?")


def entries() -> dict[int, str]:
    """The text under each heading `## E<n>.`; a number that stands twice is an error."""
    parts = re.split(r"^## E(\d+)\. .+$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    numbers = [int(number) for number in parts[1::2]]
    assert [number for number, times in Counter(numbers).items() if times > 1] == []
    return dict(zip(numbers, parts[2::2]))


def checks() -> list[str]:
    """Names of the tests in this folder that belong to an erratum."""
    names = []
    for path in sorted(Path(__file__).parent.glob("test_errata*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names += [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and CHECK.fullmatch(node.name)]
    return names


def test_every_erratum_has_an_entry_and_a_check():
    """E1 to E47 stand on the page once each and name tests of their own number; every test here is named."""
    page, names = entries(), checks()
    assert sorted(page) == list(range(1, 48))
    assert [name for name, times in Counter(names).items() if times > 1] == []
    named = []
    for number, text in page.items():
        line = [part for part in text.splitlines() if part.startswith("Check: ")]
        assert len(line) == 1, f"E{number}"
        here = re.findall(r"`(test_E\w+)`", line[0])
        assert here, f"E{number}"
        assert set(here) <= set(names), f"E{number}"
        assert {int(CHECK.fullmatch(name).group(1)) for name in here} == {number}
        named += here
    assert sorted(named) == sorted(names)
