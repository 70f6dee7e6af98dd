"""Truncating one large bfloat16 layer: time against a dense float64 SVD of the same matrix, and against its spectrum.

Claim      A truncation costs about two to three times the layer's eigenvalues and a third of a dense SVD, and a further
           rule two matrix products.
Command    python scripts/bench/truncation.py [--rows 4096] [--columns 11008]
Run time   about two minutes on one core.

Time is CPU time of this process, one BLAS thread; ratios are taken in the same run.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

import setol_ww as ww


def seconds(action: Callable[[], Any]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--columns", type=int, default=11008)
    args = parser.parse_args()
    weight = torch.randn(args.rows, args.columns, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    layer = {"fc.weight": weight}
    ww.truncate({"warm.weight": weight[:9, :8].clone()}, "erg")
    times = {
        "eigenvalues": seconds(lambda: ww.Spectrum.from_matrix(weight)),
        "truncate, erg": seconds(lambda: ww.truncate(layer, "erg")),
        "evaluate, erg": seconds(lambda: ww.evaluate_truncation(layer, lambda _: 0.0, ["erg"])),
        "evaluate, four rules": seconds(
            lambda: ww.evaluate_truncation(layer, lambda _: 0.0, ["erg", "rank:100", "energy:0.9", "bulk"])
        ),
        "dense SVD": seconds(lambda: np.linalg.svd(weight.double().numpy(), full_matrices=False)),
    }
    for name, value in times.items():
        print(f"{name:<22}{value:8.1f} s   {value / times['eigenvalues']:6.2f} x eigenvalues")


if __name__ == "__main__":
    main()
