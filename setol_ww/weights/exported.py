"""Modules without classes: what the graph of `torch.export` calls with a weight tells what it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: Operators by the class whose weight is their second argument, and the place of `groups` among their arguments.
CLASS_OF = {
    **{f"conv{n}d": (f"Conv{n}d", 6) for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": (f"ConvTranspose{n}d", 6) for n in (1, 2, 3)},
    "linear": ("Linear", None),
}
EMBEDDING = "embedding"


def called_with(model: Any) -> dict[str, tuple[str, int]]:
    """By the name of each weight the class it would belong to, and its groups; empty for a model without a graph.

    Examples
    --------
    >>> import torch
    >>> net = torch.export.export(torch.nn.Conv2d(4, 6, 1, groups=2), (torch.zeros(1, 4, 2, 2),)).module()
    >>> called_with(net)
    {'weight': ('Conv2d', 2)}
    """
    found = {}
    for operator, arguments in _calls(model):
        if operator == EMBEDDING and arguments:
            kind, place, weight = "Embedding", None, arguments[0]
        elif operator in CLASS_OF and len(arguments) > 1:
            (kind, place), weight = CLASS_OF[operator], arguments[1]
        else:
            continue
        if getattr(weight, "op", "") == "get_attr":
            groups = arguments[place] if place is not None and len(arguments) > place else 1
            found[str(weight.target)] = (kind, groups if isinstance(groups, int) else 1)
    return found


def _calls(model: Any) -> Iterator[tuple[str, tuple]]:
    """Names of the operators that a graph of torch.fx calls, with their arguments."""
    # A scripted module has a graph too, which fails where it has no method `forward`, as that of an LSTM.
    held = vars(model)
    graph = held.get("_graph", held.get("graph"))
    if graph is None or not type(graph).__module__.startswith("torch.fx"):
        return
    for node in graph.nodes:
        if node.op == "call_function" and "aten" in str(node.target):
            yield str(node.target).split(".")[1], tuple(node.args)
