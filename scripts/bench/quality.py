"""All quality columns of a layer against its eigenvalues: CPU time, paired in one run.

Claim      Every reading of the quality together costs a few percent of the layer's eigenvalues from M = 512 on, and
           nothing that can be seen from M = 1024 on.
Command    python scripts/bench/quality.py [--sides 512 1024 2048 4096]
Run time   a minute on one core; with 4096 about three
Output     docs/figures/bench/quality.csv and the table printed

`eigenvalues` is `Spectrum.from_matrix` of a float32 matrix (float64 Gram and divide and conquer); `quality` is
`setol_ww.quality` on its result. Kinds: Gaussian, and signed Pareto entries of index 2, whose ERG tail is short.
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

OUT = Path(__file__).resolve().parents[2] / "docs" / "figures" / "bench" / "quality.csv"
KINDS = {
    "Gaussian": lambda rng, shape: rng.normal(size=shape),
    "Pareto 2": lambda rng, shape: (rng.pareto(2, size=shape) + 1) * rng.choice([-1, 1], size=shape),
}


def cpu(work, repeats: int) -> float:
    """Least CPU seconds of a call."""
    best = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


def row(kind: str, Q: int, M: int) -> dict:
    W = KINDS[kind](np.random.default_rng(0), (Q * M, M)).astype(np.float32)
    spectrum = ww.Spectrum.from_matrix(W)
    tail, cut = ww.fit_tail(spectrum), ww.erg_cut(spectrum)
    ww.quality(spectrum, tail, cut)
    solve = cpu(lambda: ww.Spectrum.from_matrix(W), max(2, 3000 // M))
    # process_time counts in steps of a microsecond or more: a hundred calls to one reading of the clock.
    readings = cpu(lambda: [ww.quality(spectrum, tail, cut) for _ in range(100)], 5) / 100
    return {
        **{"kind": kind, "N": Q * M, "M": M, "erg_rank": cut.rank},
        **{"eigenvalues_ms": 1e3 * solve, "quality_ms": 1e3 * readings, "percent": 100 * readings / solve},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024, 2048])
    args = parser.parse_args()
    frame = pd.DataFrame([row(kind, Q, M) for M in args.sides for Q in (1, 4) for kind in KINDS])
    OUT.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(OUT, index=False, float_format="%.4g", lineterminator="\n")
    print(frame.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
