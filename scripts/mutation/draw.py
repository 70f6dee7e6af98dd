"""A seeded sample of mutants, the same number from every room as far as there are, kinds in turn within a room."""

from __future__ import annotations

import ast
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import mutate_code
from cosmic_ray.work_item import MutationSpec, WorkItem

from .operators import KIND_OF, operator

PACKAGE = "setol_ww"


@dataclass(frozen=True)
class Candidate:
    """A place where an operator can act: `occurrence` counts the operator's places in the module."""

    module: str
    operator: str
    occurrence: int
    start: tuple[int, int]
    end: tuple[int, int]

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
    nodes = list(ast_nodes(get_ast_from_path(root / module)))
    for name in KIND_OF:
        acting, occurrence = operator(name), 0
        for node in nodes:
            for start, end in acting.mutation_positions(node):
                yield Candidate(module, name, occurrence, start, end)
                occurrence += 1


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
    random_ = random.Random(seed)
    by_room: dict[str, dict[str, list[Candidate]]] = defaultdict(lambda: defaultdict(list))
    for module in modules(root, rooms):
        for candidate in candidates(root, module):
            by_room[room_of(module)][candidate.kind].append(candidate)
    turns = [_in_turn(kinds, random_) for _, kinds in sorted(by_room.items())]
    drawn: list[Candidate] = []
    while turns and len(drawn) < number:
        for turn in list(turns):
            found = next((each for each in turn if mutated(root, each) is not None), None)
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


def work_item(number: int, candidate: Candidate) -> WorkItem:
    """How cosmic-ray's session keeps a mutant: `cr-report` and `cr-html` read it too."""
    spec = MutationSpec(
        module_path=candidate.module,
        operator_name=candidate.operator,
        occurrence=candidate.occurrence,
        start_pos=candidate.start,
        end_pos=candidate.end,
    )
    return WorkItem.single(job_id=f"{number:05d}", mutation=spec)


def candidate_of(item: WorkItem) -> Candidate:
    """The mutant of a kept item."""
    (spec,) = item.mutations
    return Candidate(str(spec.module_path), spec.operator_name, spec.occurrence, spec.start_pos, spec.end_pos)
