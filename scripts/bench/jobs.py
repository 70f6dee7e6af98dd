"""What a second job gains: `analyze` and `scan` with one and with two, in time on the wall and in CPU time.

Claim      Two jobs are at least 1.7 times as fast as one on two idle cores.
Command    python scripts/bench/jobs.py [--only PART_OF_A_NAME ...] [--turns 2] [--out docs/figures/bench]
Run time   about four minutes on two idle cores; on busy ones the times on the wall say nothing.
Output     jobs.csv and its machine (jobs.json: look at its `load`).

One BLAS thread each. `1 s` and `2 s` are the least of so many turns, taken alternately; two jobs begin their workers
within their time. `cpu of 2 over 1` is what two jobs cost in CPU time beside one.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
from experts import experts
from machine import FIGURES, keep
from safetensors.torch import save_file
from speed import minilm, mlp3, with_signal
from torch import nn

import setol_ww as ww

NETS, EXPERTS = 60, 512
Weights = Mapping[str, torch.Tensor]


def weights_of(model: nn.Module) -> Weights:
    """The weights of two or more dimensions, contiguous."""
    return {name: value.clone() for name, value in with_signal(model).state_dict().items() if value.dim() >= 2}


def many_mlp3() -> Weights:
    return weights_of(nn.ModuleList([mlp3() for _ in range(NETS)]))


def wide(side: int, number: int) -> Weights:
    return weights_of(nn.Sequential(*[nn.Linear(side, side) for _ in range(number)]))


def trapped() -> Weights:
    """A few elements in each that are far too large."""
    weights = wide(2048, 4)
    for weight in weights.values():
        weight.view(-1)[:: weight.numel() // 20] = 10.0
    return weights


def deficient() -> Weights:
    """Rows of zeros, which make eigenvalues that a Gram matrix cannot resolve."""
    weights = wide(1024, 8)
    for weight in weights.values():
        weight[-32:] = 0
    return weights


def convolutions() -> Weights:
    return weights_of(nn.Sequential(*[nn.Conv2d(512, 512, 3) for _ in range(3)]))


RANDOMIZE = {"randomize": True}
# What is analysed, whether from a file by `scan`, and with which options.
CASES: dict[str, tuple[Callable[[], Weights], bool, dict[str, Any]]] = {
    f"{NETS} MLP3": (many_mlp3, False, {}),
    f"{NETS} MLP3, randomize": (many_mlp3, False, RANDOMIZE),
    "MiniLM": (lambda: weights_of(minilm()), False, {}),
    "MiniLM, randomize": (lambda: weights_of(minilm()), False, RANDOMIZE),
    "MiniLM, scan": (lambda: weights_of(minilm()), True, {}),
    f"{EXPERTS} experts": (lambda: experts(EXPERTS, False), False, {}),
    f"{EXPERTS} experts, scan": (lambda: experts(EXPERTS, False), True, {}),
    "3 conv 512, randomize": (convolutions, False, RANDOMIZE),
    "4 linear 2048": (lambda: wide(2048, 4), False, {}),
    "4 linear 2048, randomize": (lambda: wide(2048, 4), False, RANDOMIZE),
    "4 linear 2048 with traps, randomize": (trapped, False, RANDOMIZE),
    "8 linear 1024, rank deficient": (deficient, False, {}),
}


def times(run: Callable[[], Any]) -> tuple[float, float]:
    """Time on the wall, and CPU time of the process and of those it has ended."""
    wall, cpu = time.perf_counter(), os.times()
    run()
    return time.perf_counter() - wall, sum(os.times()[:4]) - sum(cpu[:4])


def measured(name: str, turns: int, folder: Path) -> dict[str, Any]:
    """One case with one and with two jobs."""
    make, is_scan, options = CASES[name]
    weights = dict(make())
    file = folder / "model.safetensors"
    if is_scan:
        save_file(weights, file)

    def run(jobs: int) -> Any:
        return ww.scan(file, n_jobs=jobs, **options) if is_scan else ww.analyze(weights, n_jobs=jobs, **options)

    best = {1: (math.inf, math.inf), 2: (math.inf, math.inf)}
    for _ in range(turns):
        for jobs in best:
            best[jobs] = min(best[jobs], times(lambda jobs=jobs: run(jobs)))
    (one, alone), (two, both) = best[1], best[2]
    return {
        "case": name,
        "times faster": round(one / two, 2),
        "1 s": round(one, 3),
        "2 s": round(two, 3),
        "cpu of 2 over 1": round(both / alone, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[""], help="cases whose name has one of these in it")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--out", type=Path, default=FIGURES)
    args = parser.parse_args()
    torch.set_num_threads(1)
    ww.analyze({"warm.weight": torch.randn(64, 32)}, randomize=True, n_jobs=2)
    rows = []
    for name in CASES:
        if any(part in name for part in args.only):
            with tempfile.TemporaryDirectory() as folder:
                rows.append(measured(name, args.turns, Path(folder)))
            print(rows[-1], flush=True)
    print(keep("jobs", rows, args.out))


if __name__ == "__main__":
    main()
