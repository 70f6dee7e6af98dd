"""Which words of the package no test knows: refusals first, then reasons, remarks and whatever else is a sentence.

A text is known where three words of it in a row, its own where it has such, stand in a text of a test, in a file that a
test compares (`printed`, `drawings` or `words` of `golden/files/`), or on a page that is made of a registry and is
compared. That says that somebody wrote the words down twice, not that a test would fail without them: `tox -e mutants`
tries it.

Sentences that no test said when this began are in `unsaid.txt`, which is to become shorter: `python -m spec_tests.said`
takes out of it what is said by now.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .conftest import ROOT
from .kept_scripts import load_script

UNSAID = Path(__file__).with_name("unsaid.txt")

WORD = re.compile(r"\w+(?:[.'-]\w+)*")
#: Words in a row that tell a text.
RUN = 3
#: Folders of files that tests compare.
KEPT = ("printed", "drawings", "words")
#: Calls whose texts are for machines: patterns, SQL, subscripts.
FOR_MACHINES = {"compile", "einsum", "execute", "fullmatch", "match", "search", "sub"}
#: Where names of bugs and of clauses stand, which no test compares with anything.
NO_TESTS = {"bugs.py", "planting.py", "said.py"}


@dataclass(frozen=True)
class Text:
    """What is said in one place, in pieces between what is filled in."""

    module: str
    line: int
    pieces: tuple[str, ...]
    is_refusal: bool

    def runs(self) -> set[str]:
        """Its words, three in a row; of a shorter piece all of them."""
        return {run for piece in self.pieces for run in runs(piece)}

    @property
    def key(self) -> str:
        """What tells it from others, whatever line it stands in."""
        return f"{self.module}: {' '.join(' ... '.join(self.pieces).split())}"[:120].rstrip()

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {' ... '.join(self.pieces)}"


def runs(piece: str, length: int = RUN) -> Iterator[str]:
    """The runs of a piece, of one that is shorter all its words."""
    words = WORD.findall(piece)
    for at in range(max(len(words) - length, 0) + 1 if words else 0):
        yield " ".join(words[at : at + length])


def unknown(package: Path, known: set[str]) -> list[Text]:
    """The texts of a package of which no run is known."""
    texts = [text for path in sorted(package.rglob("*.py")) for text in texts_of(path, package.parent)]
    heard = Counter(run for text in texts for run in text.runs())
    found = []
    for text in texts:
        own = {run for run in text.runs() if heard[run] == 1} or text.runs()
        if own and not own & known:
            found.append(text)
    return found


def texts_of(path: Path, root: Path) -> Iterator[Text]:
    """The refusals of a module, each a text, and its other sentences."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module, passed = path.relative_to(root).as_posix(), set(map(id, _docstrings(tree)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in FOR_MACHINES:
            passed |= set(map(id, ast.walk(node)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            pieces = tuple(piece for piece in _pieces(node.exc, passed) if len(WORD.findall(piece)) > 1)
            passed |= set(map(id, ast.walk(node)))
            yield Text(module, node.lineno, pieces, True)
    for node in ast.walk(tree):
        if id(node) not in passed and isinstance(node, (ast.JoinedStr, ast.Constant)):
            pieces = tuple(piece for piece in _pieces(node, passed) if len(piece.split()) >= RUN)
            passed |= set(map(id, ast.walk(node)))
            yield from (Text(module, node.lineno, (piece,), False) for piece in pieces if set(runs(piece)))


def _pieces(node: ast.AST, passed: set[int]) -> Iterator[str]:
    """What is written, without words that run into what is filled in."""
    inside: set[int] = set()
    for one in ast.walk(node):
        if isinstance(one, ast.JoinedStr):
            last = len(one.values) - 1
            for at, value in enumerate(one.values):
                if isinstance(value, ast.Constant):
                    inside.add(id(value))
                    begin = value.value if at == 0 else re.sub(r"^\w+", "", value.value)
                    yield begin if at == last else re.sub(r"\w+$", "", begin)
        elif isinstance(one, ast.Constant) and isinstance(one.value, str) and id(one) not in inside | passed:
            yield one.value


def _docstrings(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value


def known_runs(tests: Path, others: Iterable[Path] = ()) -> set[str]:
    """The runs of all texts of tests, of what is kept beside them, and of other files."""
    found: set[str] = set()
    for path in sorted(tests.rglob("*.py")):
        if path.name not in NO_TESTS:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            passed = set(map(id, _docstrings(tree)))
            # Of a pattern the words, as they are without its marks.
            found |= {run for piece in _pieces(tree, passed) for run in _all_runs(piece.replace("\\", ""))}
    kept = [path for folder in KEPT for path in sorted(tests.rglob(f"{folder}/*")) if path.suffix in (".txt", ".html")]
    for path in [*kept, *others]:
        found |= _all_runs(path.read_text(encoding="utf-8"))
    return found


def _all_runs(piece: str) -> set[str]:
    """Its runs of two and of three words."""
    return {run for length in range(2, RUN + 1) for run in runs(piece, length)}


def made_pages(root: Path) -> list[Path]:
    """The pages that are made of registries, each compared by `test_docs.py`."""
    return [load_script(path.stem).PAGE for path in sorted((root / "scripts").glob("make_*_page.py"))]


def of_the_package() -> list[Text]:
    """The texts of this package that no test knows."""
    return unknown(ROOT / "setol_ww", known_runs(ROOT / "spec_tests", made_pages(ROOT)))


def allowed() -> set[str]:
    """The sentences that need not be known."""
    return {line for line in UNSAID.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")}


def main() -> None:
    """Take out of the list what a test knows by now."""
    left = {text.key for text in of_the_package()}
    lines = UNSAID.read_text(encoding="utf-8").splitlines(keepends=True)
    UNSAID.write_text("".join(one for one in lines if one[0] in "#\n" or one.rstrip("\n") in left), encoding="utf-8")


if __name__ == "__main__":
    main()
