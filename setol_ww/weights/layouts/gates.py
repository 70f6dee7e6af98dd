"""Recurrent weights: the matrices of the gates, one above the other in PyTorch's order."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .parts import Part
from .registry import Layout, Reading, Situation, numbers, refused

GATES = {4: ("i", "f", "g", "o"), 3: ("r", "z", "n")}
NUMBER = {"LSTM": 4, "LSTMCell": 4, "GRU": 3, "GRUCell": 3}


def _recognise(situation: Situation) -> Reading | None:
    """The gates; None when the tensor is no recurrent weight or the number of gates is not known."""
    last, shape, owner = situation.last, situation.shape, situation.owner
    if len(shape) != 2 or not re.match(r"weight_(ih|hh)", last):
        return None
    count = NUMBER.get(owner, 0)
    hidden = shape if last.startswith("weight_hh") else situation.shapes.get(_hidden_name(situation.name))
    if not owner and hidden is not None and hidden[0] % hidden[1] == 0:
        count = hidden[0] // hidden[1]
    if count not in GATES or shape[0] % count:
        return None
    return Reading(_gates(shape, GATES[count]), "module" if owner else "names")


def _gates(shape: Sequence[int], labels: Sequence[str]) -> tuple[Part, ...]:
    rows = shape[0] // len(labels)
    return tuple(
        Part(
            label,
            "gate",
            "rows",
            rows,
            shape[1],
            start=gate * rows,
            stop=(gate + 1) * rows,
            layout=f"gate {label} of {','.join(labels)}",
        )
        for gate, label in enumerate(labels)
    )


def _hidden_name(name: str) -> str:
    """Name of the hidden-to-hidden weight beside a recurrent input weight, which tells the number of gates."""
    return name.replace("weight_ih", "weight_hh") if "weight_ih" in name else ""


def _asked(situation: Situation, words: str) -> Reading:
    count = numbers(situation, "gates", words)
    if len(count) != 1 or count[0] not in GATES or len(situation.shape) != 2 or situation.shape[0] % count[0]:
        raise refused(situation, f"gates:{words}", "gates:3 or gates:4, whose number divides the rows")
    return Reading(_gates(situation.shape, GATES[count[0]]), "asked")


LAYOUT = Layout(
    "gates", "gates of an LSTM (i, f, g, o) or GRU (r, z, n), by rows", 10, _recognise, _asked, "gates:COUNT"
)
