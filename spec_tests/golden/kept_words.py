"""What is said, word for word: calls that are refused or answer in words, a file of `files/words/` for each module.

`python -m spec_tests.golden.kept_words` writes the files anew; read the difference before it is committed.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

#: Modules beside this one with calls by name, `CALLS`; their words are in files of their names.
MODULES = (
    *("refused_bytes", "refused_calls", "reasons_of_files", "reasons_of_weights"),
    *("words_of_commands", "words_of_answers", "words_of_layers", "words_of_laws"),
)
KEPT = Path(__file__).parent / "files" / "words"

#: A call that is refused, or answers words; it is given an empty folder.
Call = Callable[[Path], Any]


def told(call: Call, folder: Path) -> str:
    """Type and text of the refusal, else the words that are answered; the folder and empty lines left out."""
    try:
        with at_one_width():
            answered = call(folder)
    except (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        answered = f"{type(error).__name__}: {error}"
    text = answered if isinstance(answered, str) else f"nothing is said, the answer is {answered!r:.200}"
    lines = (line.rstrip() for line in text.replace(str(folder), "<folder>").splitlines())
    return "\n".join(line for line in lines if line)


@contextlib.contextmanager
def at_one_width() -> Iterator[None]:
    """A width of lines and no colours, whatever terminal the tests run in."""
    with mock.patch.dict(os.environ, {"COLUMNS": "110", "NO_COLOR": "1"}):
        yield


def before(words: str, call: Call) -> Call:
    """The same refusal up to these words: what comes behind is another library's."""

    def asked(folder: Path) -> Any:
        try:
            return call(folder)
        except ValueError as error:
            raise type(error)(str(error).partition(words)[0]) from None

    return asked


def calls(module: str) -> dict[str, Call]:
    """Those of a module by name."""
    return importlib.import_module(f".{module}", __package__).CALLS


def kept(module: str) -> dict[str, str]:
    """What is kept of a module, by name."""
    entries = (KEPT / f"{module}.txt").read_text(encoding="utf-8").strip().split("\n\n")
    return {name: text for name, _, text in (entry.partition("\n") for entry in entries)}


def main() -> None:
    """Write the files anew, and print what is different."""
    for module in MODULES:
        found = {}
        for name, call in calls(module).items():
            with tempfile.TemporaryDirectory() as folder:
                found[name] = told(call, Path(folder))
        file = KEPT / f"{module}.txt"
        before = file.read_text(encoding="utf-8") if file.is_file() else ""
        after = "\n".join(f"{name}\n{text}\n" for name, text in found.items())
        file.write_text(after, encoding="utf-8")
        lines = before.splitlines(True), after.splitlines(True)
        sys.stdout.writelines(difflib.unified_diff(*lines, f"{module} before", f"{module} after", n=1))


if __name__ == "__main__":
    main()
