"""The picture of the README: the layers of the three demonstration nets in the plane of the ideal point.

Claim      The picture is that of `ww.plots.ideal_plane` on the table that `setol-ww demo` prints.
Command    python scripts/make_readme_picture.py
Run time   some seconds
Output     docs/figures/readme.csv (the columns that are drawn), docs/figures/readme.png
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import setol_ww as ww
from setol_ww.cli.demo import demo_table

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures"
DRAWN = ["longname", "tail_alpha", "tail_sigma", "delta_lambda_min", "setol_state"]


def table() -> pd.DataFrame:
    """The drawn columns of all nine layers."""
    return demo_table()[0][DRAWN]


if __name__ == "__main__":
    table().to_csv(FIGURES / "readme.csv", index=False)
    axes = ww.plots.ideal_plane(pd.read_csv(FIGURES / "readme.csv"))
    axes.figure.savefig(FIGURES / "readme.png", dpi=150)
