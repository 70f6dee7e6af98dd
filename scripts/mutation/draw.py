"""Which mutants there are, which of them are drawn, and a key of each that outlives changes of the code elsewhere."""

from __future__ import annotations

import ast
import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import mutate_code

from .operators import KIND_OF, operator

PACKAGE = "setol_ww"


@dataclass(frozen=True)
class Candidate:
    """A place where an operator can act: `occurrence` counts the operator's places in the module.

    `scope` is the function or class the place stands in, with those around it; `key` goes by module, scope, operator
    and the line's text, and by how many such places come before it in the scope. What was found of a mutant so stays
    with it while the code around it changes, and goes when its own line does.
    """

    module: str
    operator: str
    occurrence: int
    start: tuple[int, int]
    end: tuple[int, int]
    scope: str
    key: str

    @property
    def kind(self) -> str:
        return KIND_OF[self.operator]


def room_of(module: str) -> str:
    """The room a module stands in, `setol_ww` for the package's own three files."""
    parts = Path(module).parts
    return parts[1] if len(parts) > 2 else PACKAGE


def modules(root: Path, rooms: list[str]) -> list[str]:
    """Paths from `root` of the package's modules in `rooms`, all without any."""
    found = sorted(str(path.relative_to(root)) for path in (root / PACKAGE).rglob("*.py"))
    return [path for path in found if not rooms or room_of(path) in rooms]


def candidates(root: Path, module: str) -> Iterator[Candidate]:
    """Every place of every operator in one module."""
    lines = (root / module).read_text(encoding="utf-8").splitlines()
    nodes = list(ast_nodes(get_ast_from_path(root / module)))
    for name in KIND_OF:
        acting, occurrence, alike = operator(name), 0, Counter()
        for node in nodes:
            for start, end in acting.mutation_positions(node):
                scope = _scope(node)
                content = "\n".join((module, scope, name, lines[start[0] - 1].strip()))
                key = hashlib.sha1(f"{content}\n{alike[content]}".encode()).hexdigest()[:12]
                yield Candidate(module, name, occurrence, start, end, scope, key)
                alike[content] += 1
                occurrence += 1


def _scope(node: Any) -> str:
    names = []
    while node is not None:
        if node.type in ("funcdef", "classdef"):
            names.append(node.name.value)
        node = node.parent
    return ".".join(reversed(names))


def mutated(root: Path, candidate: Candidate) -> str | None:
    """The module with the mutant; None where it does not compile, or says what it said before."""
    before = (root / candidate.module).read_text(encoding="utf-8")
    if candidate.operator == "RemoveDecorator" and "@overload" in before.splitlines()[candidate.start[0] - 1]:
        return None
    after = mutate_code(before, operator(candidate.operator), candidate.occurrence)
    try:
        return None if after is None or _meaning(after) == _meaning(before) else str(after)
    except SyntaxError:
        return None


def _meaning(source: str) -> str:
    """The syntax tree without types: with `from __future__ import annotations` they are not run."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
    return ast.dump(tree)


def statement(source: str, line: int) -> tuple[int, int]:
    """First and last line of the statement a line belongs to, of a block its head: coverage tells statements."""
    first, last = line, line
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and node.end_lineno is not None:
            begin = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
            body = getattr(node, "body", None)
            end = max(begin, body[0].lineno - 1) if body else node.end_lineno
            if begin <= line <= end:
                first, last = begin, end
    return first, last


def sample(root: Path, number: int, seed: int, rooms: list[str]) -> list[Candidate]:
    """`number` mutants: rooms in turn, in a room kinds in turn, a kind's places by chance."""
    pots = _pots(root, rooms, lambda candidate: room_of(candidate.module))
    return _drawn(pots, number, seed, lambda candidate: mutated(root, candidate) is not None)


def of_functions(root: Path, each: int, seed: int, rooms: list[str]) -> list[Candidate]:
    """`each` mutants of every function, as far as there are: kinds in turn, a kind's places by chance.

    Whether they compile and say something else is not asked before they are tried: there are many.
    """
    pots = _pots(root, rooms, lambda candidate: f"{candidate.module} {candidate.scope}")
    return _drawn(pots, each * len(pots), seed, lambda candidate: True)


Pots = dict[str, dict[str, list[Candidate]]]


def _pots(root: Path, rooms: list[str], pot: Callable[[Candidate], str]) -> Pots:
    """The candidates of each pot, by kind."""
    found: Pots = defaultdict(lambda: defaultdict(list))
    for module in modules(root, rooms):
        for candidate in candidates(root, module):
            found[pot(candidate)][candidate.kind].append(candidate)
    return found


def _drawn(pots: Pots, number: int, seed: int, sound: Callable[[Candidate], bool]) -> list[Candidate]:
    """`number` mutants that are `sound`: pots in turn, in a pot kinds in turn, a kind's places by chance."""
    random_ = random.Random(seed)
    turns = [_in_turn(kinds, random_) for _, kinds in sorted(pots.items())]
    random_.shuffle(turns)
    drawn: list[Candidate] = []
    while turns and len(drawn) < number:
        for turn in list(turns):
            found = next((each for each in turn if sound(each)), None)
            if found is None:
                turns.remove(turn)
            else:
                drawn.append(found)
    return drawn[:number]


def _in_turn(kinds: dict[str, list[Candidate]], random_: random.Random) -> Iterator[Candidate]:
    piles = [random_.sample(pile, len(pile)) for _, pile in sorted(kinds.items())]
    random_.shuffle(piles)
    while piles:
        for pile in piles:
            yield pile.pop()
        piles = [pile for pile in piles if pile]
