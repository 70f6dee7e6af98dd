"""Refusals, each by a call that asks for it: what is said, word for word, is kept in `refusals.txt` beside this file.

`python -m spec_tests.product.refusals` writes the file anew; read the difference before it is committed.
"""

from __future__ import annotations

import difflib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

KEPT = Path(__file__).with_name("refusals.txt")
HEAD = "# What is refused, and the words of it: written by `python -m spec_tests.product.refusals`.\n"

#: A call that is refused; it is given an empty folder.
Call = Callable[[Path], Any]


def told(call: Call, folder: Path) -> str:
    """Type and text of the refusal, or the reason that is answered in the place of one; the folder left out."""
    try:
        answered = call(folder)
    except (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}".replace(str(folder), "<folder>")
    if isinstance(answered, str):
        return f"reason: {answered}".replace(str(folder), "<folder>")
    return f"nothing is refused, the answer is {answered!r:.200}"


def before(words: str, call: Call) -> Call:
    """The same refusal up to these words: what comes behind is another library's."""

    def asked(folder: Path) -> Any:
        try:
            return call(folder)
        except ValueError as error:
            raise type(error)(str(error).partition(words)[0]) from None

    return asked


def calls() -> dict[str, Call]:
    """All of them by name."""
    from . import refused_bytes, refused_calls

    return {**refused_bytes.CALLS, **refused_calls.CALLS}


def kept() -> dict[str, str]:
    """What is kept, by name."""
    entries = KEPT.read_text(encoding="utf-8").removeprefix(HEAD).strip().split("\n\n")
    return {name: text for name, _, text in (entry.partition("\n") for entry in entries)}


def written(found: dict[str, str]) -> str:
    """The file of these."""
    return HEAD + "".join(f"\n{name}\n{text}\n" for name, text in found.items())


def main() -> None:
    """Write the file anew, and print what is different."""
    found = {}
    for name, call in calls().items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = told(call, Path(folder))
    before, after = KEPT.read_text(encoding="utf-8") if KEPT.is_file() else "", written(found)
    KEPT.write_text(after, encoding="utf-8")
    sys.stdout.writelines(difflib.unified_diff(before.splitlines(True), after.splitlines(True), "before", "after", n=1))


if __name__ == "__main__":
    main()
