"""The code blocks of a page, run: commands by the program's own entry, Python in one namespace a page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAM = "setol-ww"


def blocks(page: str, *languages: str) -> list[str]:
    """The fenced blocks of these languages, in order; a fence without a word is of the language ''.

    >>> blocks("```python\\nx = 1\\n```\\n", "python")
    ['x = 1\\n']
    """
    return [code for language, code in FENCE.findall(page) if language in languages]


def commands(page: str) -> list[str]:
    """Every command line of the program, behind `&&` too, without what the shell does with its output."""
    lines = [
        part.strip()
        for block in blocks(page, "", "console", "bash")
        for line in block.splitlines()
        for part in line.split("&&")
    ]
    return [line for line in lines if Path(line.split(" ")[0]).name == PROGRAM]


def words(line: str) -> list[str]:
    """What a command line gives the program, without a comment behind it."""
    return shlex.split(line, comments=True)[1:]


def expected_status(line: str) -> int:
    """0, or what the comment behind the command says.

    >>> expected_status("setol-ww summary a --fail-on x  # exit status 3 when that holds")
    3
    """
    said = re.search(r"#.*status (\d)", line)
    return int(said.group(1)) if said else 0


def run_python(page: str, namespace: dict[str, Any], name: str) -> dict[str, Any]:
    """Every Python block of a page, one after the other, in a namespace that may hold what the page takes for given."""
    for number, code in enumerate(blocks(page, "python")):
        exec(compile(code, f"{name}, block {number}", "exec"), namespace)
    return namespace
