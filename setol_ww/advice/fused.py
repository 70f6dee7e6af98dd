"""Weights that one model stores in one tensor and another apart: q, k and v, gate and up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .pairing import Pairing, paired

#: What a part is called where it is a layer of its own.
WORDS = {
    "q": ("q_proj", "q", "query", "wq", "to_q", "attn_q", "q_lin", "query_proj"),
    "k": ("k_proj", "k", "key", "wk", "to_k", "attn_k", "k_lin", "key_proj"),
    "v": ("v_proj", "v", "value", "wv", "to_v", "attn_v", "v_lin", "value_proj"),
    "gate": ("gate_proj", "gate", "w1", "ffn_gate", "wi_0"),
    "up": ("up_proj", "up", "w3", "ffn_up", "wi_1"),
}

REMARK = "layers that one model has apart are held against the parts of a fused tensor of the other"


@dataclass(frozen=True)
class Layer:
    """A row of one model.

    Attributes
    ----------
    name, label : str
        Of its tensor, and the slice.
    is_part : bool
        Whether it lies in its tensor as it would on its own.
    row : Any
        What is compared: a job, a record.
    """

    name: str
    label: str
    is_part: bool
    row: Any = field(repr=False)


@dataclass(frozen=True)
class Pieces:
    """Layers of one model and parts of fused tensors of another that are the same.

    Attributes
    ----------
    names : Pairing
        Of whole tensors, with what their parts tell of prefixes.
    partners : dict
        (tensor, slice) in the first model -> the layer of the second; one of both is a part.
    """

    names: Pairing
    partners: dict[tuple[str, str], Layer] = field(default_factory=dict)

    @classmethod
    def of(
        cls, ours: Sequence[str], theirs: Sequence[str], layers: Sequence[Layer], of_theirs: Sequence[Layer]
    ) -> Pieces:
        """Among the names of two models, by the layers of both.

        Examples
        --------
        >>> fused = [Layer("attn.qkv", "q", True, None), Layer("attn.qkv", "k", True, None)]
        >>> found = Pieces.of(["attn.qkv"], ["attn.k"], fused, [Layer("attn.k", "", False, None)])
        >>> found.partner("attn.qkv", "k").name, found.partner("attn.qkv", "q")
        ('attn.k', None)
        """
        mine, other = _apart(layers, ours, theirs), _apart(of_theirs, theirs, ours)
        names = paired([*ours, *mine], [*theirs, *other])
        whole = {name: one for name, one in names.partners.items() if name not in mine and one not in other}
        first, second = ({layer.name: layer for layer in one if not layer.label} for one in (layers, of_theirs))
        found = {}
        for name, partner in names.partners.items():
            layer, piece = mine.get(name) or first.get(name), other.get(partner) or second.get(partner)
            # A layer and a layer, or a part and a part, are no news.
            if layer is None or piece is None or (name in mine) == (partner in other):
                continue
            if layer.name not in whole and piece.name not in whole.values():
                found[layer.name, layer.label] = piece
        return cls(Pairing(whole, names.remarks), found)

    def partner(self, name: str, label: str) -> Layer | None:
        """What a layer of the first model is held against; None where its name says it."""
        return self.partners.get((name, label))

    def has_parts(self, name: str, label: str) -> bool:
        """Whether this is the whole of a tensor whose parts have partners."""
        return not label and any(name == one and part for one, part in self.partners)

    @property
    def tensors(self) -> set[str]:
        """The tensors of the second model that have partners."""
        return {layer.name for layer in self.partners.values()}

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be said of the comparison."""
        return (*self.names.remarks, *([REMARK] if self.partners else []))


def _apart(layers: Iterable[Layer], own: Iterable[str], others: Iterable[str]) -> dict[str, Layer]:
    """Names that parts of fused tensors would have on their own, as the other model has them and this one has not."""
    words, there, found = last_words(others), set(own), dict[str, Layer]()
    for layer in layers:
        if layer.is_part:
            found |= {name: layer for name in names_apart(layer.name, layer.label, words) if name not in there}
    return found


def names_apart(name: str, label: str, used: Iterable[str]) -> Iterator[str]:
    """What a part of a fused tensor may be called on its own, of the words that are `used` there.

    Examples
    --------
    >>> list(names_apart("h.0.attn.qkv_proj.weight", "q", {"q_proj", "k_proj"}))
    ['h.0.attn.q_proj.weight']
    >>> list(names_apart("attn.in_proj_weight", "v", {"v_proj_weight"})), list(names_apart("attn.qkv", "v", {"v"}))
    (['attn.v_proj_weight'], ['attn.v'])
    """
    holder, _, last = name.removesuffix(".weight").rpartition(".")
    ending = ".weight" if name.endswith((".weight", "_weight")) else ""
    before = f"{holder}." if holder else ""
    for word in WORDS.get(label, ()):
        if word in used and word != last:
            yield f"{before}{word}{ending}"
        if f"{word}_weight" in used:
            yield f"{before}{word}_weight"


def last_words(names: Iterable[str]) -> set[str]:
    """How the layers of a model are called: the last words of their names.

    >>> sorted(last_words(["a.q_proj.weight", "b.in_proj_weight"]))
    ['in_proj_weight', 'q_proj']
    """
    return {name.removesuffix(".weight").rpartition(".")[2] for name in names}
