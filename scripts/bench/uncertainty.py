"""The intervals of `uncertainty=200` against the layer's eigenvalues: CPU time, paired in one run.

Claim      From M = 2048 on all of them together cost less than the eigenvalues of the layer.
Command    python scripts/bench/uncertainty.py [--sides 512 1024 2048 4096]
Run time   a minute on one core
Output     docs/figures/bench/uncertainty.csv, its machine (.json), and the table printed

`eigenvalues` is `Spectrum.from_matrix` of a square float32 matrix with a bulk and a tail; `tail` is the interval of
alpha, the goodness of fit and the competing starts, `both_tails` the intervals of delta and of the layer quality.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import pandas as pd
from machine import FIGURES, cpu_seconds, keep

import setol_ww as ww
from setol_ww.layer.intervals import intervals

DRAWS, REPEATS = 200, 3


def weight(M: int) -> np.ndarray:
    """Noise with a graded signal of one eighth of the rank."""
    rng = np.random.default_rng(0)
    grades = np.arange(1, M // 8 + 1) ** -0.7
    signal = (rng.normal(size=(M, M // 8)) * grades) @ rng.normal(size=(M // 8, M))
    return (rng.normal(size=(M, M)) + 2 * signal).astype(np.float32)


def row(M: int) -> dict[str, float]:
    """One size: the least of a few turns of each."""
    W = weight(M)
    spectrum = ww.Spectrum.from_matrix(W)
    turns = {
        "eigenvalues": lambda: ww.Spectrum.from_matrix(W),
        "fit": lambda: ww.fit_tail(spectrum),
        "fit_and_tail": lambda: ww.fit_tail(spectrum, DRAWS),
        "both_tails": lambda: intervals(spectrum, DRAWS, 0),
    }
    best = dict.fromkeys(turns, float("inf"))
    for _ in range(REPEATS):
        for name, turn in turns.items():
            best[name] = min(best[name], cpu_seconds(turn))
    tail = best["fit_and_tail"] - best["fit"]
    return {
        "M": M,
        "draws": DRAWS,
        "eigenvalues_ms": round(1e3 * best["eigenvalues"], 1),
        "tail_ms": round(1e3 * tail, 1),
        "both_tails_ms": round(1e3 * best["both_tails"], 1),
        "ratio": round((tail + best["both_tails"]) / best["eigenvalues"], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024, 2048, 4096])
    parser.add_argument("--out", type=Path, default=FIGURES)
    asked = parser.parse_args()
    rows = [row(M) for M in asked.sides]
    keep("uncertainty", rows, asked.out)
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
