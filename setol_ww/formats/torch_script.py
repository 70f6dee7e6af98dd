"""TorchScript archives: the pickle of their modules is read as any other, their code is not.

A module is an object of a class of the archive (`__torch__...`) with its tensors and modules as attributes; what its
class was called tells how its weight is laid out. A frozen program has its weights among the constants.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from .pickles import Global, Placeholder
from .state import DEEPEST, LONGEST_NAME, is_sealed, sealed
from .stored import Stored
from .torch_objects import Quantised

CONSTANTS = "constants.pkl"
ROOT = "__torch__"
MANGLED = re.compile(r"\.___torch_mangle_\d+")
MOST = 100_000


def script_tensors(tree: Any) -> dict[str, Any]:
    """The tensors of a scripted or traced module under the names of its state dict."""
    found: dict[str, Any] = {}
    left: list[tuple[str, Any, int]] = [("", tree, 0)]
    visits = 0
    while left:
        prefix, module, depth = left.pop()
        visits += 1
        if depth > DEEPEST or visits > MOST or len(prefix) > 10 * LONGEST_NAME:
            raise ValueError("modules inside modules without an end")
        if is_sealed(module):
            found[prefix.removesuffix(".")] = _packed(module.state)
            continue
        facts = {"owner": owner} if (owner := class_of(module)) else {}
        attributes = {name: value for name, value in module.attributes().items() if isinstance(name, str)}
        for name, value in attributes.items():
            if isinstance(value, Stored):
                found[f"{prefix}{name}"] = replace(value, facts=facts)
            elif isinstance(value, (list, tuple)):
                found |= {f"{prefix}{name}.{at}": one for at, one in enumerate(value) if isinstance(one, Stored)}
        children = [(f"{prefix}{name}.", one, depth + 1) for name, one in attributes.items() if is_script(one)]
        left.extend(reversed(children))
    return found


def _packed(state: Any) -> Any:
    """The quantised weight in the state of an object of torch's own, else an entry that says what is there."""
    parts = state if isinstance(state, tuple) else ()
    flat = [one for part in parts for one in (part if isinstance(part, (list, tuple)) else (part,))]
    weights = [one for one in flat if isinstance(one, Quantised)]
    return weights[0] if len(weights) == 1 else sealed()


def is_script(value: Any) -> bool:
    """True for an object of a class of the archive."""
    return isinstance(value, Placeholder) and isinstance(value.what, Global) and value.what.module.startswith(ROOT)


def class_of(module: Placeholder) -> str:
    """What its class was called before it was scripted; empty for one that tells nothing.

    >>> class_of(Placeholder(Global("__torch__.torch.nn.modules.conv.___torch_mangle_3", "Conv2d")))
    'Conv2d'
    """
    what = MANGLED.sub("", f"{module.what}")
    return what.rpartition(".")[2] if what.startswith(f"{ROOT}.torch.nn.modules.") else ""


def constant_tensors(tree: Any) -> dict[str, Any]:
    """The tensors among the constants of a frozen program, whose names are lost: `constants.0`, ..."""
    values = tree if isinstance(tree, (tuple, list)) else ()
    return {f"constants.{at}": value for at, value in enumerate(values) if isinstance(value, Stored)}
