"""Write docs/columns.md from the register of columns.

Claim      The page lists every column of ours, from the one place where they are defined.
Command    python scripts/make_column_page.py
Run time   a second.
"""

from __future__ import annotations

from pathlib import Path

from setol_ww.table import as_markdown

PAGE = Path(__file__).resolve().parents[1] / "docs" / "columns.md"
HEAD = """# Columns

WeightWatcher's columns keep their names, meaning and values and stand first. Ours stand behind them and never
overwrite one. Eigenvalues are on the unit-mean scale (divided by their mean) unless the unit says `raw`.

Three columns say where a row comes from: `slice` (which part of a tensor: an expert, a gate, q, k or v; empty for the
whole), `row_origin` (`weightwatcher`, or `setol_ww` for what WeightWatcher passes over) and `reason` (why a layer
failed; empty otherwise). A failed layer has `status` "failed", its identity and its reason, and NaN elsewhere.

"""


def page() -> str:
    """The whole page."""
    return HEAD + as_markdown()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
