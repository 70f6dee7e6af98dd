"""Recurrent weights: the matrices of the gates, one above the other in PyTorch's order, side by side in Keras'."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .parts import Part
from .registry import Layout, Reading, Situation, numbers, refused

GATES = {4: ("i", "f", "g", "o"), 3: ("r", "z", "n")}
#: Keras stores inputs x outputs, and the gates in another order.
KERAS_GATES = {4: ("i", "f", "c", "o"), 3: ("z", "r", "h")}
NUMBER = {"LSTM": 4, "LSTMCell": 4, "GRU": 3, "GRUCell": 3}


def _recognise(situation: Situation) -> Reading | None:
    """The gates; None when the tensor is no recurrent weight or the number of gates is not known."""
    shape, owner = situation.shape, situation.owner
    if len(shape) != 2:
        return None
    if re.match(r"weight_(ih|hh)", situation.last):
        count = NUMBER.get(owner, 0) or (0 if owner in ("RNN", "RNNCell") else _count_of(situation))
        if count not in GATES or shape[0] % count:
            return None
        return Reading(_gates(shape, GATES[count]), "module" if owner in NUMBER else "names")
    keras = _keras(situation)
    return None if keras is None else Reading(_gates(shape, KERAS_GATES[keras], "columns"), "names")


def _count_of(situation: Situation) -> int:
    """How many gates the hidden-to-hidden weight tells, which is square but for them; 0 where it does not."""
    name, last = situation.name, situation.last
    beside = {kind: situation.shapes.get(name.removesuffix(last) + f"weight_{kind}{last[9:]}") for kind in ("hh", "hr")}
    hidden = beside["hh"] or (situation.shape if last.startswith("weight_hh") else None)
    width = beside["hr"][1] if beside["hr"] else hidden[1] if hidden else 0
    return hidden[0] // width if hidden and width and hidden[0] % width == 0 else 0


def _keras(situation: Situation) -> int | None:
    """Gates of the kernels of a Keras layer, by the recurrent one, which is square but for them."""
    name = situation.name
    if not re.search(r"(^|\W)(recurrent_)?kernel$", name):
        return None
    recurrent = re.sub(r"(recurrent_)?kernel$", "recurrent_kernel", name)
    shape = situation.shape if name == recurrent else situation.shapes.get(recurrent)
    if not shape or len(shape) != 2 or shape[1] % shape[0]:
        return None
    count = shape[1] // shape[0]
    return count if count in KERAS_GATES and situation.shape[1] == shape[1] else None


def _gates(shape: Sequence[int], labels: Sequence[str], side: str = "rows") -> tuple[Part, ...]:
    width = shape[side == "columns"] // len(labels)
    rows, columns = (width, shape[1]) if side == "rows" else (shape[0], width)
    return tuple(
        Part(
            label,
            "gate",
            side,
            rows,
            columns,
            start=gate * width,
            stop=(gate + 1) * width,
            layout=f"gate {label} of {','.join(labels)}",
        )
        for gate, label in enumerate(labels)
    )


def _asked(situation: Situation, words: str) -> Reading:
    count = numbers(situation, "gates", words)
    if len(count) != 1 or count[0] not in GATES or len(situation.shape) != 2 or situation.shape[0] % count[0]:
        raise refused(situation, f"gates:{words}", "gates:3 or gates:4, whose number divides the rows")
    return Reading(_gates(situation.shape, GATES[count[0]]), "asked")


LAYOUT = Layout(
    "gates", "gates of an LSTM (i, f, g, o) or GRU (r, z, n), by rows", 10, _recognise, _asked, "gates:COUNT"
)
