"""Which layer of one model is compared with which of another, part by part, and why others are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from ..weights.kinds import is_table
from ..weights.layouts import Part
from ..weights.plan import Job, plan
from ..weights.tensors import WeightTensor
from .fused import Layer, Pieces
from .pairing import paired
from .sources import Source, is_update

NO_SUCH = "the {} model has no layer of that name"
HEAD = "lm_head.weight"
UNCHANGED = "the adapter does not change it"
IN_PARTS = "the {} model has its parts apart: they are compared"


@dataclass(frozen=True)
class Match:
    """A layer, or a part of one, in both models.

    Attributes
    ----------
    jobs : (Job, Job)
        The row in the first and in the second model; the same part of both.
    tensors : (WeightTensor, WeightTensor)
        Where the values are.
    note : str
        What is to be said of the pair.
    """

    jobs: tuple[Job, Job]
    tensors: tuple[WeightTensor, WeightTensor]
    note: str = ""


@dataclass(frozen=True)
class Unmatched:
    """A layer that is not compared: of which model (`base`, `tuned`, `both`), and why."""

    longname: str
    side: str
    shape: str
    reason: str


@dataclass
class Matching:
    """What is compared, what is not, and what was done to names."""

    matches: list[Match] = field(default_factory=list)
    unmatched: list[Unmatched] = field(default_factory=list)
    remarks: tuple[str, ...] = ()


def matched(
    base: Source, tuned: Source, layers: Any = None, layouts: Mapping[str, str] | None = None, *, partial: bool = False
) -> Matching:
    """The layers of two models, matched by name; `partial` where the second has only what it changes.

    The first model's plan says what a tensor holds: a state dict beside a module is cut as the module says.
    """
    said, of_theirs = _told_of(base, tuned, layouts or {})
    jobs = plan(base.tensors, layers, said, config=base.config)
    ours, theirs = _Names(base), _Names(tuned)
    pieces = Pieces(paired(ours.all, theirs.all))
    if not all(set(names.own) <= set(met) for names, met in zip((ours, theirs), pieces.names.sides)):
        others = plan(tuned.tensors, None, of_theirs, config=tuned.config)
        pieces = Pieces.of(ours.all, theirs.all, _layers(jobs), _layers(others))
    pairing = pieces.names
    found = Matching(remarks=pieces.remarks)
    rows = (_table_rows(base), _table_rows(tuned))
    met: set[tuple[str, str]] = set()
    for name in ours.all:
        leader, partner = ours.leader[name], pairing.partners.get(name, "")
        other = theirs.leader.get(partner)
        if other is not None:
            # A weight tied on both sides is one; tied on one side only it is two.
            if (leader.name, other.name) in met or (name != leader.name and partner != other.name):
                continue
            met.add((leader.name, other.name))
        elif name != leader.name:
            continue
        for job in jobs:
            if job.tensor != leader.name or job.left_out:
                continue
            piece = pieces.partner(job.tensor, job.label)
            if piece is not None:
                _add_piece(found, job, leader, theirs.leader[piece.name], piece.row)
                continue
            job = job if name == leader.name else replace(job, tensor=name)
            none = "; ".join(filter(None, (NO_SUCH.format("tuned"), job.note)))
            missing = (
                UNCHANGED if partial else IN_PARTS.format("tuned") if pieces.has_parts(job.tensor, job.label) else none
            )
            _add(found, job, leader, other, rows, missing)
    if not layers:
        used = {*pairing.partners.values(), *pieces.tensors}
        alone = [theirs.leader[name] for name in theirs.own if name not in used]
        found.unmatched += [_lone(tensor) for tensor in alone if tensor.is_candidate]
    return found


def _told_of(base: Source, tuned: Source, layouts: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """What was said of tensors of each model; what names none of either is left to be refused."""
    sides = []
    for source in (base, tuned):
        names = [tensor.name for tensor in source.tensors]
        sides.append({one: words for one, words in layouts.items() if any(fnmatchcase(name, one) for name in names)})
    idle = {one: words for one, words in layouts.items() if not any(one in side for side in sides)}
    return {**sides[0], **idle}, sides[1]


def _layers(jobs: Sequence[Job]) -> list[Layer]:
    """Jobs as rows; rows of a tensor are what they would be on their own, columns would be transposed."""
    return [Layer(job.tensor, job.label, _is_rows(job), job) for job in jobs if not job.skipped]


def _is_rows(job: Job) -> bool:
    return job.part is not None and job.part.kind == "rows"


def _add_piece(found: Matching, job: Job, ours: WeightTensor, theirs: WeightTensor, piece: Job) -> None:
    """The match of a part and a layer, `piece` the job of the other model; or why there is none."""
    side, reason = _why_not(job, ours, theirs)
    sizes = [_by((one.part.rows, one.part.columns)) if one.part is not None else "none" for one in (job, piece)]
    if not reason and sizes[0] != sizes[1]:
        side, reason = "both", f"its shape is {sizes[0]} in the base and {sizes[1]} in the tuned model"
    if reason:
        found.unmatched.append(Unmatched(job.title, side, _by(ours.shape), reason))
        return
    second = _in(theirs, replace(job, part=piece.part, tensor=theirs.name))
    held = "; ".join(filter(None, (job.note, f"held against {second.title} of the tuned model")))
    found.matches.append(Match((job, second), (ours, theirs), _note(held, ours, theirs)))


class _Names:
    """The weights of a model by name: `own` are those that stand for themselves, others lead to the same tensor."""

    def __init__(self, source: Source) -> None:
        tensors = source.tensors
        by_name = {tensor.name: tensor for tensor in tensors}
        self.own = [tensor.name for tensor in tensors if not tensor.same_as and tensor.is_candidate]
        self.leader = {name: by_name[name] for name in self.own}
        for tensor in tensors:
            leader = by_name.get(tensor.same_as)
            if leader is not None and not tensor.role and tensor.is_candidate:
                self.leader.setdefault(tensor.name, leader)
        for name in self.own:
            for other in by_name[name].known_as:
                if other not in by_name and by_name[name].recipe is None:
                    self.leader.setdefault(other, by_name[name])
        self.leader |= {name: tensor for name, tensor in tied_by_config(source) if name not in self.leader}
        self.all = list(self.leader)


def tied_by_config(source: Source) -> list[tuple[str, WeightTensor]]:
    """The output layer that a saved model leaves out because its config ties it to the table of words."""
    size = source.config.get("vocab_size")
    tables = [one for one in source.tensors if len(one.shape) == 2 and _is_table(one.name, one.owner)]
    words = [one for one in tables if one.shape[0] == size and not one.same_as]
    return [(HEAD, words[0])] if source.config.get("tie_word_embeddings") is True and len(words) == 1 else []


def _lone(tensor: WeightTensor) -> Unmatched:
    alone = f"an update that is not added to its base: {tensor.remark}" if is_update(tensor) else ""
    reason = tensor.unfit or alone or NO_SUCH.format("base")
    return Unmatched(tensor.name.removesuffix(".weight"), "tuned", _by(tensor.shape), reason)


def _add(found: Matching, job: Job, ours: WeightTensor, theirs: WeightTensor | None, rows: Any, missing: str) -> None:
    """The match of one job, or why there is none."""
    part, note = job.part, job.note
    reason = missing if theirs is None else ""
    if theirs is not None:
        side, reason = _why_not(job, ours, theirs)
        if not reason and ours.shape != theirs.shape:
            part, note = _shared_rows(job, theirs, rows)
            side, reason = "both", "" if part else note
            if part:
                found.remarks = tuple(dict.fromkeys((*found.remarks, note)))
    else:
        side = "base"
    if reason or theirs is None:
        found.unmatched.append(Unmatched(job.title, side, _by(ours.shape), reason))
        return
    first = replace(job, part=part, shape=ours.shape)
    second = _in(theirs, replace(first, tensor=theirs.name if job.tensor == ours.name else job.tensor))
    found.matches.append(Match((first, second), (ours, theirs), _note(note, ours, theirs)))


def _in(theirs: WeightTensor, job: Job) -> Job:
    """A job of the tensor of the other model, of which its values are asked wherever they lie."""
    return replace(job, shape=theirs.shape, dtype=theirs.dtype, note=theirs.remark)


def _note(note: str, ours: WeightTensor, theirs: WeightTensor) -> str:
    """What is to be said of a pair."""
    types = "" if ours.dtype == theirs.dtype else f"types {ours.dtype} and {theirs.dtype}"
    return "; ".join(dict.fromkeys(filter(None, (note, theirs.remark, types))))


def _why_not(job: Job, ours: WeightTensor, theirs: WeightTensor) -> tuple[str, str]:
    """Which model's tensor cannot be compared, and why; empty where both can."""
    if job.part is None or job.skipped:
        return ("both" if theirs.unfit else "base"), job.note
    if theirs.unfit:
        return "tuned", theirs.unfit
    if is_update(ours) != is_update(theirs):
        return "both", "one is an update of an adapter, the other a weight"
    return "", ""


def _shared_rows(job: Job, theirs: WeightTensor, rows: tuple[set[int], set[int]]) -> tuple[Part | None, str]:
    """The rows that two tables of a vocabulary have in common; without a part why there are none to compare."""
    part, here, there = job.part, job.shape, theirs.shape
    said = f"its shape is {_by(here)} in the base and {_by(there)} in the tuned model"
    alike = len(here) == len(there) == 2 and here[1:] == there[1:] and part is not None and part.kind == "whole"
    if not alike or part is None:
        return None, said
    # Another head on the same body shares no row.
    if here[0] not in rows[0] or there[0] not in rows[1]:
        return None, said
    shared = min(here[0], there[0])
    cut = replace(part, kind="rows", start=0, stop=shared, rows=shared, layout=f"{part.layout}, first {shared} rows")
    return cut, f"the vocabulary was resized: the first {shared} rows of {here[0]} and {there[0]} are compared"


def _table_rows(source: Source) -> set[int]:
    """Numbers of rows of the tables of words and places of a model; an output layer over words has as many."""
    told = source.config.get("vocab_size")
    tables = [one for one in source.tensors if len(one.shape) == 2 and _is_table(one.name, one.owner)]
    return {one.shape[0] for one in tables} | ({told} if isinstance(told, int) else set())


def _is_table(name: str, owner: str) -> bool:
    return "embedding" in owner.lower() or is_table(name.removesuffix(".weight"))


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
