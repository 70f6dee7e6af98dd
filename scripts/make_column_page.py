"""Write docs/columns.md from the register of columns.

Claim      The page lists every column of ours, from the one place where they are defined.
Command    python scripts/make_column_page.py
Run time   a second.
"""

from __future__ import annotations

from pathlib import Path

from setol_ww.layer.columns import as_markdown

PAGE = Path(__file__).resolve().parents[1] / "docs" / "columns.md"
HEAD = """# Columns

WeightWatcher's columns keep their names, meaning and values and stand first. Ours stand behind them and never
overwrite one. Eigenvalues are on the unit-mean scale (divided by their mean) unless the unit says `raw`.

Three columns say where a row comes from: `slice` (which part of a tensor: an expert, a gate, q, k or v; empty for the
whole), `row_origin` (`weightwatcher`, or `setol_ww` for what WeightWatcher passes over) and `reason` (why a layer could
not be analysed; empty otherwise). A layer with NaN or Inf, or one that could not be read, has `status` "failed", its
identity and its reason, and NaN elsewhere.

`status` and `warning` are otherwise WeightWatcher's word on WeightWatcher's fit, and where that fit fails its columns
hold its -1 (in rows of our own: NaN). Our word on our fit is `tail_outcome`; our columns are NaN where nothing is
defined, never -1 or infinite.

WeightWatcher reads torch weights as float32, so float64 weights lose digits in its rows, and ours are computed from the
same eigenvalues; `setol_ww.analyze_matrix` and rows of our own keep float64.

"""


def page() -> str:
    """The whole page."""
    return HEAD + as_markdown()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
