"""`Advice`: a number for every layer, with its formula, its source and what following it did where it was tried."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ..core.as_json import as_json
from ..core.checks import path_of, writable_file
from ..core.errors import InvalidInput
from ..core.printable import GridColumn, grid, terminal_width, visible, wrapped
from ..results.printed import html_table, is_number, shortened_rows

SCHEMA = 1
ROWS_IN_TEXT = 12
#: Which targets have what, for the sentence of a refusal.
OFFERS = {
    "param_groups": ("learning-rates", "weight-decay"),
    "rank_pattern": ("lora-rank",),
    "alpha_pattern": ("lora-rank",),
    "rules": ("truncate",),
    "patterns": ("unfreeze",),
}


@dataclass(frozen=True)
class Advice:
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
    rows: tuple[dict[str, Any], ...] = field(repr=False)
    options: dict[str, Any]
    formula: str
    source: str
    measured: str
    warning: str = ""
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def table(self) -> pd.DataFrame:
        """One row a layer: name, size, what was read of its spectrum, the recommended number, the reason."""
        return pd.DataFrame(list(self.rows))

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
        return {_title(row): f"rank:{int(row['rank'])}" for row in self.rows}

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
        writable_file("path", target, (".yaml", ".yml"))
        target.write_text(yaml_text(self), encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON has it; `schema` counts the versions of this form."""
        told = {name: getattr(self, name) for name in ("target", "column", "options", "formula", "source")}
        told |= {name: getattr(self, name) for name in ("measured", "warning", "notes", "left_out")}
        rules = {"rules": self.rules()} if self.target == "truncate" else {}
        return {"schema": SCHEMA, **as_json(told), **rules, "rows": as_json([*self.rows])}

    def to_json(self) -> str:
        """The same as text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def lines(self, width: int | None = None) -> list[str]:
        """A few lines for a person."""
        room = terminal_width(width)
        told = [f"{self.target}: {len(self.rows)} layers", *grid(self._columns(ROWS_IN_TEXT), room).split("\n")]
        if len(self.rows) > ROWS_IN_TEXT:
            told.append(f"... {len(self.rows) - ROWS_IN_TEXT} more: .table()")
        said = [("formula", self.formula), ("source", self.source), ("measured", self.measured)]
        said += [("but", self.warning)] * bool(self.warning) + [("note", note) for note in self.notes]
        for word, text in said:
            told += wrapped(visible(text), room, f"{word + ':':<10}", " " * 10).split("\n")
        return told

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        said = [self.formula, self.source, self.measured, self.warning, *self.notes]
        words = "".join(f"<p>{html.escape(visible(text))}</p>" for text in said if text)
        return html_table(self._columns(len(self.rows))) + words

    def _columns(self, most: int) -> list[GridColumn]:
        frame = self.table() if most < len(self.rows) else shortened_rows(self.table())[0]
        frame = frame.head(most)
        shown = [name for name in frame if name not in ("longname", "slice", "tensor", "reason", "kind")]
        names = [visible(_title(row)) for row in frame.to_dict("records")]
        columns = [GridColumn("layer", names, right=False, least=16)]
        for name in shown:
            worth = 0 if name == self.column else 1
            columns.append(GridColumn(name, [_cell(value) for value in frame[name]], worth=worth))
        reasons = [visible(reason) for reason in frame["reason"]]
        return columns + [GridColumn("why not its own", reasons, right=False, least=12)] * any(reasons)

    def _offers(self, name: str) -> None:
        if self.target not in OFFERS[name]:
            offering = " and ".join(map(repr, OFFERS[name]))
            raise InvalidInput(f"{name} of advice on {self.target!r} was asked; accepted is {name} of {offering}")


def _title(row: Mapping[str, Any]) -> str:
    return f"{row['longname']} [{row['slice']}]" if row["slice"] else str(row["longname"])


def _cell(value: Any) -> str:
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return "yes" if value else "-"
    if not is_number(value):
        return "-" if value != value else visible(str(value))
    return f"{value:.4g}" if isinstance(value, float) else f"{value}"
