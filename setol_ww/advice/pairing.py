"""Which name of one model is which of another: the same, without wrappers the same, or one prefix apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..weights.naming import bare

#: A prefix is believed when it brings together at least this share of the names that are left.
SHARE = 0.5


@dataclass(frozen=True)
class Pairing:
    """Names of one model with their partners in the other.

    Attributes
    ----------
    partners : dict
        Name in the first model -> name in the second.
    remarks : tuple of str
        What was taken off the names, in sentences.
    """

    partners: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def sides(self) -> tuple[set[str], set[str]]:
        """The names of each model that have a partner."""
        return set(self.partners), set(self.partners.values())


def paired(first: Iterable[str], second: Iterable[str]) -> Pairing:
    """The names of two models brought together, each used once; order does not matter.

    Equal names first; then what is equal without the wrappers of torch.compile, FSDP, data parallelism and PEFT; then
    what is equal when one side loses a prefix (`model.`, `transformer.`, ...) that at least half of the names left
    have.

    Examples
    --------
    >>> paired(["fc.weight", "head.weight"], ["module.fc.weight"]).partners
    {'fc.weight': 'module.fc.weight'}
    >>> paired(["h.0.weight", "h.1.weight"], ["model.h.0.weight", "model.h.1.weight", "head.weight"]).partners
    {'h.0.weight': 'model.h.0.weight', 'h.1.weight': 'model.h.1.weight'}
    """
    left, right = list(dict.fromkeys(first)), list(dict.fromkeys(second))
    there = set(right)
    partners = {name: name for name in left if name in there}
    remarks = []
    ours, theirs = _bare(left, partners, partners.values()), _bare(right, {}, partners.values())
    found = {ours[name]: theirs[name] for name in ours if name in theirs}
    if found:
        remarks.append("names are compared without the wrappers of torch.compile, FSDP, data parallelism and PEFT")
    partners |= found
    while True:
        ours, theirs = _bare(left, partners, ()), _bare(right, {}, partners.values())
        prefix, is_first = _prefix(ours, theirs)
        if not prefix:
            break
        longer, shorter = (ours, theirs) if is_first else (theirs, ours)
        found = {longer[name]: shorter[name[len(prefix) :]] for name in longer if _has(name, prefix, shorter)}
        partners |= found if is_first else {other: name for name, other in found.items()}
        remarks.append(f"names of {'the first' if is_first else 'the second'} model are compared without {prefix!r}")
    return Pairing({name: partners[name] for name in left if name in partners}, tuple(remarks))


def _bare(names: Iterable[str], taken: Iterable[str], also: Iterable[str]) -> dict[str, str]:
    """Names without wrappers -> names, of those that are not taken; what two of them are without wrappers is none."""
    gone = {*taken, *also}
    free = [name for name in names if name not in gone]
    counts = Counter(map(bare, free))
    return {bare(name): name for name in free if counts[bare(name)] == 1}


def _has(name: str, prefix: str, others: dict[str, str]) -> bool:
    return name.startswith(prefix) and name[len(prefix) :] in others


def _prefix(first: dict[str, str], second: dict[str, str]) -> tuple[str, bool]:
    """The prefix that most names of one side have before a name of the other, and whether it is the first's."""
    votes: Counter[tuple[str, bool]] = Counter()
    for is_first, longer, shorter in ((True, first, second), (False, second, first)):
        for name in longer:
            words = name.split(".")
            for cut in range(1, len(words)):
                if ".".join(words[cut:]) in shorter:
                    votes[".".join(words[:cut]) + ".", is_first] += 1
    if not votes:
        return "", False
    (prefix, is_first), number = max(votes.items(), key=lambda one: (one[1], one[0]))
    enough = number >= SHARE * min(len(first), len(second))
    return (prefix, is_first) if enough else ("", False)
