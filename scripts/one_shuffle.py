"""One shuffle of a layer against WeightWatcher's two: every column of the random matrix has the same law.

Claim: with `engine="fast"` the columns `max_rand_eval`, `rand_*` and `ww_*`, which come from the one shuffle that is
searched for traps, are distributed over seeds as WeightWatcher's own are (`engine="reference"`). For each size and
column a two-sample Kolmogorov-Smirnov test of 200 against 200 draws; none is below .01 over the number of tests.

Command: `python scripts/one_shuffle.py` (about ten minutes on one core); `--draws 20` for a look.
Output: docs/figures/one_shuffle.csv; `first_*` is the draw of seed 0, which a test computes again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp

import setol_ww as ww

OUT = Path(__file__).resolve().parents[1] / "docs" / "figures" / "one_shuffle.csv"
LEVEL = 0.01
COLUMNS = (
    *("max_rand_eval", "rand_distance", "ww_softrank", "ww_maxdist", "num_traps"),
    *("rand_sigma_mp", "rand_num_spikes", "rand_mp_softrank", "rand_bulk_max", "rand_bulk_min"),
)
#: Below 100 eigenvalues WeightWatcher pools five shuffles. The third is a kernel of four slices.
SHAPES = ((60, 40), (300, 120), (40, 30, 2, 2))


def weight(shape: tuple[int, ...]) -> np.ndarray:
    """A layer whose elements have heavy tails, in float32 as one is stored."""
    return np.random.default_rng(5).standard_t(4, size=shape).astype(np.float32)


def draws(shape: tuple[int, ...], engine: str, seeds: range) -> pd.DataFrame:
    """The random columns of one layer under many seeds."""
    layer = {"a.weight": weight(shape)}
    rows = [
        ww.analyze(
            layer, randomize=True, mp_fit=True, detX=False, quality=False, engine=engine, seed=seed, progress=False
        )
        for seed in seeds
    ]
    table = pd.concat(rows, ignore_index=True)
    return table[[name for name in COLUMNS if name in table]]


def compared(shape: tuple[int, ...], number: int) -> list[dict]:
    """A row for every column: means, spreads and the p-value of equal laws."""
    ours, theirs = draws(shape, "fast", range(number)), draws(shape, "reference", range(number))
    return [
        {
            "shape": " x ".join(map(str, shape)),
            "column": name,
            "draws": number,
            "first_fast": ours[name].iloc[0],
            "first_reference": theirs[name].iloc[0],
            "mean_fast": ours[name].mean(),
            "mean_reference": theirs[name].mean(),
            "sd_fast": ours[name].std(),
            "sd_reference": theirs[name].std(),
            "p": ks_2samp(ours[name], theirs[name]).pvalue,
        }
        for name in theirs
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200)
    asked = parser.parse_args()
    table = pd.DataFrame([row for shape in SHAPES for row in compared(shape, asked.draws)])
    print(table.to_string(index=False, float_format="%.4g"))
    limit = LEVEL / len(table)
    print(f"smallest p {table['p'].min():.3g} of {len(table)} tests; {limit:.2g} is the limit of the family")
    if asked.draws >= 200:
        table.to_csv(OUT, index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
