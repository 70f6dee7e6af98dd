"""`Comparison`: two models layer by layer, their differences with errors, and what could not be compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..core.card import Card, Shown
from ..core.upstairs import upstairs
from ..results.export import records as rows_as_json
from ..results.findings import frame_of, kept_text
from ..results.record import FAILED
from ..results.results import Results
from .difference import IDENTITY, columns_of_both
from .matching import Unmatched
from .update import UPDATE_COLUMNS, Update

if TYPE_CHECKING:
    from .changes import ComparisonSummary

SCHEMA = 1
COMPARED = "compared"
UNMATCHED_COLUMNS = tuple(one.name for one in fields(Unmatched))


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Shown):
    """What changed between two models; made by `setol_ww.compare`.

    Attributes
    ----------
    base, tuned : Results
        The rows that both have, in the same order; `base` is None for an adapter by itself.
    updates : tuple of Update
        The update of each row; empty where the weights were not at hand.
    notes : tuple of str
        What is to be said of each pair: other types, a vocabulary that was resized.
    unmatched_rows : tuple of Unmatched
    remarks : tuple of str
        What was done to names, and a vocabulary that was resized.
    names : (str, str)
        What the two models were given as.
    """

    base: Results | None
    tuned: Results
    updates: tuple[Update, ...]
    notes: tuple[str, ...]
    unmatched_rows: tuple[Unmatched, ...]
    remarks: tuple[str, ...]
    names: tuple[str, str]

    def table(self, **settings: Any) -> pd.DataFrame:
        """One row a layer: identity, `update_*`, changed words, `d_*` with errors, `*_base`, `*_tuned`, `status`.

        Parameters
        ----------
        **settings
            As of `Results.table`: `uncertainty`, `quality`, `sigmas`, `detX`; computed from the spectra.

        Examples
        --------
        >>> import numpy as np, setol_ww as ww
        >>> W = np.random.default_rng(0).normal(size=(60, 40))
        >>> table = ww.compare({"fc.weight": W}, {"fc.weight": 2 * W}).table()
        >>> table[["d_tail_alpha", "d_tail_alpha_beyond", "update_norm_share"]].round(3).values.tolist()
        [[0.0, False, 1.0]]
        """
        tuned = self.tuned.table(**settings)
        base = tuned if self.base is None else self.base.table(**settings)
        columns: dict[str, Any] = {name: base[name].to_numpy() for name in IDENTITY if name in base}
        for name in UPDATE_COLUMNS if self.updates else ():
            columns[name] = [getattr(update, name) for update in self.updates]
        if self.base is not None:
            columns |= columns_of_both(base, tuned)
        status, reasons = self._verdicts()
        columns |= {"status": status, "reason": reasons}
        return pd.DataFrame({name: kept_text(column) for name, column in columns.items()})

    @property
    def unmatched(self) -> pd.DataFrame:
        """Layers that are not compared: `longname`, `side` (`base`, `tuned`, `both`), `shape`, `reason`."""
        return frame_of([asdict(row) for row in self.unmatched_rows], UNMATCHED_COLUMNS)

    def summary(self) -> ComparisonSummary:
        """What changed beyond errors, and the layers to look at first, in at most twenty lines."""
        from .changes import ComparisonSummary

        return ComparisonSummary.of(self)

    def report(self, path: str | Path) -> None:
        """Write the HTML report of the tuned model with a section on what changed."""
        upstairs("views.report").write_report(self.tuned, path, self)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON has it; `schema` counts the versions of this form."""
        return {
            "schema": SCHEMA,
            "base": self.names[0],
            "tuned": self.names[1],
            "remarks": list(self.remarks),
            "rows": rows_as_json(self.table()),
            "unmatched": [asdict(row) for row in self.unmatched_rows],
            "summary": self.summary().to_dict(),
        }

    def __len__(self) -> int:
        return len(self.tuned)

    def _card(self) -> Card:
        from .printed import comparison_card

        return comparison_card(self)

    def _verdicts(self) -> tuple[list[str], list[str]]:
        """Status and reason of every row."""
        rows = zip(self.tuned.records if self.base is None else self.base.records, self.tuned.records)
        status, reasons = [], []
        for (one, other), note in zip(rows, self.notes):
            failed = [record.reason for record in (one, other) if record.status == FAILED]
            status.append(FAILED if failed else COMPARED)
            reasons.append("; ".join(dict.fromkeys(failed or filter(None, (note, one.reason, other.reason)))))
        return status, reasons
