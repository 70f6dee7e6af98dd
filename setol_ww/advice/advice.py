"""`Advice`: a number for every layer, with its formula, its source and what following it did where it was tried."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ..core.as_json import as_json
from ..core.card import Card, Fact, Shown
from ..core.checks import path_of
from ..core.errors import InvalidInput
from ..core.printable import GridColumn, first_words, visible
from ..core.tones import Tone
from ..core.whole_file import written_whole
from ..results.export import refuse_unwritable
from ..results.findings import frame_of
from ..results.printed import Words, is_number, shortened_rows, with_gap
from ..weights.naming import titled
from .candidates import listed

SCHEMA = 1
ROWS_SHOWN = 10
HIDDEN_COLUMNS = frozenset({"longname", "slice", "tensor", "reason"})
#: Which targets have what, for the sentence of a refusal.
OFFERS = {
    "param_groups": ("learning-rates", "weight-decay"),
    "rank_pattern": ("lora-rank",),
    "alpha_pattern": ("lora-rank",),
    "rules": ("truncate",),
    "patterns": ("unfreeze",),
}


@dataclass(frozen=True, repr=False)
class Advice(Shown):
    """What to do to each layer. Made by `setol_ww.recommend`.

    Attributes
    ----------
    target : str
        `learning-rates`, `weight-decay`, `sparsity`, `lora-rank`, `unfreeze` or `truncate`.
    column : str
        The column of `table` with the recommended number: `learning_rate`, `weight_decay`, `sparsity`, `rank`,
        `unfreeze`, `rank`.
    rows : tuple of dict
        A mapping a layer; `reason` says why a layer got the base value, empty where its spectrum decided.
    options : dict
        Every option of the target with the value that was used.
    formula, source : str
        Where the numbers come from.
    measured : str
        What following such advice did where this project tried it, with errors; or that it was not tried.
    warning : str
        What the measurements say against it; empty where nothing.
    notes : tuple of str
        What is particular about these layers.
    left_out : dict of str to str
        Layers that the advice does not speak of, and why.
    """

    target: str
    column: str
    rows: tuple[dict[str, Any], ...]
    options: dict[str, Any]
    formula: str
    source: str
    measured: str
    warning: str = ""
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def table(self) -> pd.DataFrame:
        """One row a layer: name, size, what was read of its spectrum, the recommended number, the reason."""
        return frame_of(self.rows, dict.fromkeys(name for row in self.rows for name in row))

    def param_groups(self, model: Any) -> list[dict[str, Any]]:
        """Groups for a torch optimiser: every parameter of the model once, with its `lr` or its `weight_decay`.

        Weight and bias of a layer share a rate, a batch norm that of the convolution before it; a bias and a norm keep
        the base decay. Tied parameters are listed once, and what the results do not know gets the base value.

        Raises
        ------
        InvalidInput
            Another target, no torch module, or a layer that the model does not have.
        """
        self._offers("param_groups")
        from .groups import param_groups

        return param_groups(self, model)

    def rank_pattern(self) -> dict[str, int]:
        """PEFT's `rank_pattern`: a rank for each module, under a key that matches that module alone."""
        self._offers("rank_pattern")
        from .patterns import peft_key

        return {peft_key(row["longname"]): int(row["rank"]) for row in self.rows}

    def alpha_pattern(self) -> dict[str, float]:
        """PEFT's `alpha_pattern` for these ranks: alpha / r, by which PEFT multiplies, is then the same everywhere."""
        self._offers("alpha_pattern")
        from .patterns import peft_key

        return {peft_key(row["longname"]): row["lora_alpha"] for row in self.rows}

    def rules(self) -> dict[str, str]:
        """A truncation rule a layer, as `setol_ww.truncate(model, rules)` and `setol-ww truncate --plan` take them."""
        self._offers("rules")
        return {titled(row["longname"], row["slice"]): f"rank:{int(row['rank'])}" for row in self.rows}

    def patterns(self) -> list[str]:
        """Axolotl's `unfrozen_parameters`."""
        return [pattern for part in self.patterns_by_type().values() for pattern in part]

    def patterns_by_type(self) -> dict[str, list[str]]:
        """The same by type of layer, as Spectrum lists them."""
        self._offers("patterns")
        from .patterns import axolotl_patterns

        return axolotl_patterns(self)

    def to_yaml(self, path: str | Path) -> None:
        """Write what its user reads: Axolotl's key, PEFT's patterns, a truncation plan, else a number a layer.

        Raises
        ------
        InvalidInput
            Another ending than .yaml or .yml, or no such folder.
        """
        from .yaml_text import yaml_text

        target = path_of("path", path)
        refuse_unwritable("path", target, (".yaml", ".yml"))
        with written_whole(target) as part:
            part.write_text(yaml_text(self), encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON has it; `schema` counts the versions of this form."""
        told = {name: getattr(self, name) for name in ("target", "column", "options", "formula", "source")}
        told |= {name: getattr(self, name) for name in ("measured", "warning", "notes", "left_out")}
        rules = {"rules": self.rules()} if self.target == "truncate" else {}
        return {"schema": SCHEMA, **as_json(told), **rules, "rows": as_json([*self.rows])}

    def to_json(self) -> str:
        """The same as text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def _card(self) -> Card:
        facts = [
            Fact(self.column, self._range()),
            Fact("formula", self.formula),
            Fact("source", self.source),
            Fact("measured", self.measured),
            *([Fact("but", self.warning, Tone.CAUTION)] if self.warning else []),
        ]
        left = f"left as they are: {listed(self.left_out)}" if self.left_out else ""
        return Card(f"Advice on {self.target}, {len(self.rows)} layers", facts, [*self.notes, left], self._columns())

    def _range(self) -> str:
        values = [row[self.column] for row in self.rows]
        if self.column == "unfreeze":
            return f"{sum(values)} of {len(values)} layers"
        return f"{min(values):.3g} to {max(values):.3g}"

    def _columns(self) -> list[GridColumn]:
        frame, left_out = shortened_rows(self.table(), ROWS_SHOWN)
        shown = [name for name in frame if name not in HIDDEN_COLUMNS]
        columns = [GridColumn("layer", Words(frame).titles(), right=False, least=16)]
        for name in shown:
            worth = 0 if name == self.column else 1
            columns.append(GridColumn(name, [_cell(value) for value in frame[name]], worth=worth))
        reasons = [visible(reason) for reason in frame["reason"]]
        columns += [GridColumn("why not its own", reasons, right=False, least=12, cut=first_words)] * any(reasons)
        return [with_gap(column, len(frame) // 2, left_out) for column in columns] if left_out else columns

    def _offers(self, name: str) -> None:
        if self.target not in OFFERS[name]:
            offering = " and ".join(map(repr, OFFERS[name]))
            raise InvalidInput(f"{name} of advice on {self.target!r} was asked; accepted is {name} of {offering}")


def _cell(value: Any) -> str:
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return "yes" if value else "-"
    if not is_number(value):
        return "-" if value != value else visible(str(value))
    return f"{value:.4g}" if isinstance(value, float) else f"{value}"
