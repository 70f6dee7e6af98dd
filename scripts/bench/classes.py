"""The Marchenko-Pastur fit and the universality class of a layer against its eigenvalues: CPU time, paired in one run.

Claim      Both together cost a few per cent of the layer's eigenvalues at M = 1024 and nothing that can be seen beyond.
Command    python scripts/bench/classes.py [--sides 512 1024 4096]
Run time   half a minute on one core; with 4096 about two
Output     docs/figures/bench/classes.csv and the table printed

`eigenvalues` is `Spectrum.from_matrix` of a float32 matrix (float64 Gram and divide and conquer). Kinds: Gaussian,
Gaussian with twenty spikes, and signed Pareto entries of index 1.5: none, one and both of the tests of a class.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd

import setol_ww as ww
from setol_ww.layer.classes import universality

OUT = Path(__file__).resolve().parents[2] / "docs" / "figures" / "bench" / "classes.csv"


def _spiked(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    left, right = rng.normal(size=(shape[0], 20)), rng.normal(size=(shape[1], 20))
    return rng.normal(size=shape) + (left * np.linspace(2, 6, 20)) @ right.T / np.sqrt(shape[1])


KINDS = {
    "Gaussian": lambda rng, shape: rng.normal(size=shape),
    "20 spikes": _spiked,
    "Pareto 1.5": lambda rng, shape: (rng.pareto(1.5, size=shape) + 1) * rng.choice([-1, 1], size=shape),
}


def cpu(work, calls: int, repeats: int) -> float:
    """Least CPU seconds of a call, the clock read once for several calls."""
    best = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        for _ in range(calls):
            work()
        best = min(best, time.process_time() - started)
    return best / calls


def row(kind: str, M: int) -> dict:
    """Milliseconds of each step for one layer."""
    W = KINDS[kind](np.random.default_rng(0), (M, M)).astype(np.float32)
    spectrum = ww.Spectrum.from_matrix(W)
    tail, bulk = ww.fit_tail(spectrum), ww.fit_bulk(spectrum)
    found = universality(spectrum, tail, bulk)
    solve = cpu(lambda: ww.Spectrum.from_matrix(W), 1, max(1, 2048 // M))
    fit = cpu(lambda: ww.fit_bulk(spectrum), 10, 5)
    kinds = cpu(lambda: universality(spectrum, tail, bulk), 10, 5)
    return {
        **{"kind": kind, "M": M, "tail": tail.rank, "class": found.universality_class.value},
        **{"eigenvalues_ms": 1e3 * solve, "bulk_ms": 1e3 * fit, "class_ms": 1e3 * kinds},
        "percent": 100 * (fit + kinds) / solve,
    }


def main() -> None:
    """Prints the table and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024, 4096])
    args = parser.parse_args()
    frame = pd.DataFrame([row(kind, M) for M in args.sides for kind in KINDS])
    OUT.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(OUT, index=False, float_format="%.4g", lineterminator="\n")
    print(frame.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
