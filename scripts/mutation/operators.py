"""Operators of mutation: cosmic-ray's, one likely slip each, and five of our own for what those leave alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cosmic_ray.exceptions import CosmicRayTestingException
from cosmic_ray.operators import exception_replacer
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator
from parso.python.tree import Name

Span = tuple[tuple[int, int], tuple[int, int]]

# Of cosmic-ray's: a shift in place of a sum fails in every test, and would only flatter the share.
_BINARY = ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "Pow_Mul", "FloorDiv_Mul", "Mod_FloorDiv", "BitOr_BitAnd",
           "BitAnd_BitOr", "LShift_RShift", "RShift_LShift")  # fmt: skip
_BOUNDARIES = ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt")
_COMPARISONS = ("Eq_NotEq", "NotEq_Eq", "Lt_GtE", "LtE_Gt", "Gt_LtE", "GtE_Lt", "Is_IsNot", "IsNot_Is")
_LOGIC = ("AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd")
_LOOPS = ("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop")


def _rewritten(node: Any, code: str) -> Any:
    """A leaf in the place of `node` that reads `code`."""
    first = node.get_first_leaf()
    return Name(code, node.start_pos, prefix=first.prefix)


def _code(node: Any) -> str:
    return str(node.get_code(include_prefix=False))


class KeywordDropped(Operator):  # type: ignore[misc]
    """A call loses one of its keyword arguments: a seed, a level, an option that is not passed on."""

    def _keywords(self, node: Any) -> list[Any]:
        if node.type == "arglist" and node.parent.type == "trailer":
            candidates = node.children
        elif node.type == "trailer" and len(node.children) == 3:
            candidates = [node.children[1]]
        else:
            return []
        return [child for child in candidates if child.type == "argument" and child.children[1] == "="]

    def mutation_positions(self, node: Any) -> Iterator[Span]:
        for keyword in self._keywords(node):
            yield keyword.start_pos, keyword.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        gone = self._keywords(node)[index]
        if node.type == "trailer":
            return _rewritten(node, "()")
        rest = [_code(child) for child in node.children if child is not gone and child != ","]
        return _rewritten(node, ", ".join(rest))

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


class CallDropped(Operator):  # type: ignore[misc]
    """A statement that only calls is not run: a commit, a close, a check, a line of output."""

    def mutation_positions(self, node: Any) -> Iterator[Span]:
        if node.type == "simple_stmt" and node.children[0].type == "atom_expr" and _code(node).rstrip().endswith(")"):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        return _rewritten(node, "pass\n")

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


class ContextDropped(Operator):  # type: ignore[misc]
    """A block runs without its `with`: without the lock, the settings, the guard. Those with a name are left alone."""

    def mutation_positions(self, node: Any) -> Iterator[Span]:
        if node.type == "with_stmt" and " as " not in "".join(_code(child) for child in node.children[1:-2]):
            yield node.start_pos, node.children[-2].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.children = [_rewritten(node.children[0], "if True"), *node.children[-2:]]
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


class BranchNeverTaken(Operator):  # type: ignore[misc]
    """An `if` whose body never runs: a refusal, a special case, a reason that is not given."""

    def mutation_positions(self, node: Any) -> Iterator[Span]:
        if node.type == "if_stmt" and "TYPE_CHECKING" not in _code(node.children[1]):
            yield node.children[1].start_pos, node.children[1].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.children[1] = _rewritten(node.children[1], "False")
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


class TextMisspelt(Operator):  # type: ignore[misc]
    """A text, a key or a piece of a sentence, with a letter more at its end; docstrings are left alone."""

    def mutation_positions(self, node: Any) -> Iterator[Span]:
        if node.type == "string" and len(node.value) > 2 and node.value[:3] not in ('"""', "'''", 'r""'):
            if node.parent.type not in ("simple_stmt", "strings"):
                yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        return _rewritten(node, f"{node.value[:-1]}x{node.value[-1]}")

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


class ExceptionReplacer(exception_replacer.ExceptionReplacer):  # type: ignore[misc]
    """cosmic-ray's, which fails at an exception with a dot in a list of several (`struct.error`)."""

    def mutate(self, node: Any, index: int) -> Any:
        self._name_nodes(node)[index].get_first_leaf().value = CosmicRayTestingException.__name__
        return node


OURS = {operator.__name__: operator for operator in (
    KeywordDropped, CallDropped, ContextDropped, BranchNeverTaken, TextMisspelt, ExceptionReplacer,
)}  # fmt: skip

#: Kind of slip: names of its operators.
KINDS: dict[str, tuple[str, ...]] = {
    "boundary": tuple(f"ReplaceComparisonOperator_{name}" for name in _BOUNDARIES),
    "comparison": tuple(f"ReplaceComparisonOperator_{name}" for name in _COMPARISONS),
    "arithmetic": tuple(f"ReplaceBinaryOperator_{name}" for name in _BINARY),
    "sign": ("ReplaceUnaryOperator_Delete_USub", "ReplaceUnaryOperator_Delete_Not"),
    "number": ("NumberReplacer",),
    "logic": _LOGIC,
    "loop": _LOOPS,
    "except": ("ExceptionReplacer",),
    "decorator": ("RemoveDecorator",),
    "keyword dropped": ("KeywordDropped",),
    "call dropped": ("CallDropped",),
    "with dropped": ("ContextDropped",),
    "branch never taken": ("BranchNeverTaken",),
    "text": ("TextMisspelt",),
}
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names}


def operator(name: str) -> Any:
    """An operator by its name in `KINDS`."""
    return OURS[name]() if name in OURS else get_operator(f"core/{name}")()
