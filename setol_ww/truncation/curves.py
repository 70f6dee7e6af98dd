"""Error against kept rank: is the cut of a rule special, or just large?

Three families of choices run over all sizes: the leading components (no choice of that size keeps more energy), random
ones, and the smallest ones (the complement of the leading). The cuts of the rules are points of the first family, each
with its two baselines of equal size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from ..core.checks import seed_of
from ..core.errors import InvalidInput
from .models import Bench, Evaluate, evaluated
from .pieces import pieces_of
from .rules import NAMED, Rule, as_rule, fraction_rule

FRACTIONS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
ENERGIES = (0.5, 0.8, 0.9, 0.95, 0.99)
FAMILIES = ("top", "random", "bottom")


def truncation_curve(
    model: Any,
    evaluate: Evaluate,
    layers: Any = None,
    *,
    fractions: Iterable[float] = FRACTIONS,
    rules: Sequence[str] = tuple(NAMED),
    energies: Iterable[float] = ENERGIES,
    per_layer: bool = True,
    layouts: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> pd.DataFrame:
    """A model's metrics over the share of singular components kept, for each layer and for all together.

    Parameters
    ----------
    model, evaluate, layers, layouts, seed, progress
        As in `evaluate_truncation`.
    fractions : iterable of float
        Shares of the components, in (0, 1), for the families `top`, `random` and `bottom`.
    rules : sequence of str
        Cuts to be marked; each is evaluated beside as many random and as many of the smallest components, and `erg`
        beside its complement `bulk` too.
    energies : iterable of float
        Shares of the energy, in (0, 1].
    per_layer : bool
        Curves of the single layers too.

    Returns
    -------
    DataFrame
        As `evaluate_truncation`, and first the column `curve`: `top`, `random`, `bottom`, `energy`, the name of a rule,
        `random:RULE`, `bottom:RULE` or `bulk`. `rank_fraction` and `kept_energy` make sizes comparable.

    Raises
    ------
    InvalidInput
        A fraction outside (0, 1), an unknown rule, or as in `evaluate_truncation`.

    Examples
    --------
    >>> import torch, setol_ww as ww
    >>> net = torch.nn.Linear(60, 40, bias=False)
    >>> norm = lambda model: model.weight.norm().item()
    >>> frame = ww.truncation_curve(net, norm, fractions=[0.5], energies=[], rules=["erg"], per_layer=False)
    >>> frame["curve"].tolist()
    ['top', 'random', 'bottom', 'erg', 'random:erg', 'bottom:erg', 'bulk']
    """
    asked = _asked(list(fractions), list(rules), list(energies))
    bench = Bench(pieces_of(model, layers, layouts), seed_of(seed))
    tasks = [("all", bench.pieces, [rule for _, rule in asked])]
    if per_layer and len(bench.pieces) > 1:
        tasks += [(piece.title, [piece], [rule for _, rule in asked]) for piece in bench.pieces if not piece.reason]
    frame = evaluated(bench, evaluate, model, tasks, progress)
    curve_of = {rule.name: curve for curve, rule in asked}
    frame.insert(0, "curve", frame["rule"].map(curve_of))
    return frame


def _asked(fractions: list[float], rules: list[str], energies: list[float]) -> list[tuple[str, Rule]]:
    """Curve and rule of every point."""
    if not all(0 < share < 1 for share in fractions):
        raise InvalidInput(f"fractions={fractions!r} was asked; accepted are numbers between 0 and 1")
    asked = [(where, fraction_rule(share, where)) for where in FAMILIES for share in fractions]
    asked += [("energy", as_rule(f"energy:{share!r}")) for share in energies]
    for name in rules:
        if name not in NAMED:
            raise InvalidInput(f"rules={rules!r} was asked; accepted are {', '.join(map(repr, NAMED))}")
        asked += [(name, as_rule(name)), *((f"{where}:{name}", as_rule(f"{where}:{name}")) for where in FAMILIES[1:])]
        if name == "erg":
            asked.append(("bulk", as_rule("bulk")))
    return asked
