"""Many small layers of one shape: what an expert costs beside the bare eigenvalues of it.

Claim      A checkpoint of thousands of small experts costs per expert what one of few does, and little beside LAPACK.
Command    python scripts/bench/experts.py [--experts 64 512] [--signal] [--turns 2] [--stages]
           [--out docs/figures/bench]
Run time   a minute for 64 and 512 experts.
Output     experts.csv and experts_stages.csv (with `--signal` experts_signal.csv, experts_signal_stages.csv), their
           machines (.json).

Experts are 512 x 256 in bfloat16: noise, or with `--signal` noise and a graded signal, which makes rows and columns
uneven. Times are CPU time of one process with one BLAS thread, of each way the least of some turns. `over bare` is
that time over that of `speed.bare_eigenvalues` of each expert, which takes its turns among them. Ways: `mapping` is
`analyze` of a dict, `file` of a safetensors file, `scan` of the same file, `scan .pt` of a torch file. Stages are
those of one expert whose spectrum is known, the least of 20 calls.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import safetensors.torch
import torch
from machine import FIGURES, cpu_seconds, keep
from speed import bare_eigenvalues, take_turns

import setol_ww as ww
from setol_ww.layer.columns import row
from setol_ww.layer.quality import quality
from setol_ww.layer.result import analyze_spectrum
from setol_ww.layer.weightwatcher_columns import weightwatcher_row
from setol_ww.linalg.eigenvalues import eigenvalues
from setol_ww.spectrum.bulk import fit_bulk
from setol_ww.spectrum.erg import erg_cut
from setol_ww.spectrum.esd import Spectrum
from setol_ww.spectrum.strengths import strengths_of
from setol_ww.spectrum.tail import fit_tail
from setol_ww.watcher.numerics import default_fit

ROWS, COLUMNS = 512, 256
TURNS, CALLS = 2, 20


def experts(number: int, signal: bool) -> dict[str, torch.Tensor]:
    """The state dict of so many experts."""
    generator = torch.Generator().manual_seed(0)
    grades = 2 * torch.arange(1, COLUMNS // 8 + 1).float() ** -0.7
    found = {}
    for place in range(number):
        weight = torch.randn(ROWS, COLUMNS, generator=generator)
        if signal:
            left, right = (torch.randn(side, grades.numel(), generator=generator) for side in (ROWS, COLUMNS))
            weight += (left * grades) @ right.T
        found[f"experts.{place}.up.weight"] = (weight / 30).to(torch.bfloat16)
    return found


def least(run: Callable[[], Any], turns: int) -> float:
    """CPU time of the cheapest of several calls."""
    return min(cpu_seconds(run) for _ in range(turns))


def whole(number: int, signal: bool, folder: Path, turns: int) -> list[dict[str, Any]]:
    """Every way through so many experts."""
    weights = experts(number, signal)
    file, torch_file = folder / f"{number}.safetensors", folder / f"{number}.pt"
    safetensors.torch.save_file(weights, file)
    torch.save(weights, torch_file)
    ways: dict[str, Callable[[], Any]] = {
        "bare": lambda: [bare_eigenvalues(weight) for weight in weights.values()],
        "mapping": lambda: ww.analyze(weights),
        "file": lambda: ww.analyze(file),
        "scan": lambda: ww.scan(file),
        "scan .pt": lambda: ww.scan(torch_file),
    }
    best = take_turns({name: (way, turns) for name, way in ways.items()})
    rows = []
    for name in list(ways)[1:]:
        rows.append(
            {
                "experts": number,
                "weights": "signal" if signal else "noise",
                "way": name,
                "ms each": round(1000 * best[name] / number, 2),
                "over bare": round(best[name] / best["bare"], 2),
                "bare ms": round(1000 * best["bare"] / number, 2),
            }
        )
        print(rows[-1], flush=True)
    return rows


def stages(signal: bool) -> list[dict[str, Any]]:
    """What each stage costs for one expert."""
    weight = next(iter(experts(1, signal).values()))
    spectrum, strengths = Spectrum.from_matrix(weight), strengths_of([weight])
    tail, erg = fit_tail(spectrum), erg_cut(spectrum)
    result = analyze_spectrum(spectrum, strengths=strengths)
    names: dict[str, Callable[[], Any]] = {
        "eigenvalues": lambda: eigenvalues(weight),
        "strengths": lambda: strengths_of([weight]),
        "WeightWatcher's fit": lambda: default_fit(spectrum.raw, (), {}),
        "the same and norms in scan": lambda: weightwatcher_row(spectrum),
        "tail": lambda: fit_tail(spectrum),
        "erg": lambda: erg_cut(spectrum),
        "bulk": lambda: fit_bulk(spectrum, strengths=strengths),
        "quality": lambda: quality(spectrum, tail, erg),
        "cells": lambda: row(result),
    }
    bare = least(lambda: bare_eigenvalues(weight), CALLS)
    found = {name: least(run, CALLS) for name, run in names.items()}
    weights = "signal" if signal else "noise"
    return [
        {"weights": weights, "stage": name, "ms": round(1000 * seconds, 3), "over bare": round(seconds / bare, 3)}
        for name, seconds in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experts", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--signal", action="store_true", help="experts with uneven rows and columns")
    parser.add_argument("--turns", type=int, default=TURNS, help="of each way, the least of so many")
    parser.add_argument("--stages", action="store_true", help="only what the stages of one expert cost")
    parser.add_argument("--out", type=Path, default=FIGURES)
    args = parser.parse_args()
    torch.set_num_threads(1)
    ww.analyze({"warm.weight": torch.randn(64, 32)})
    for found in (rows := stages(args.signal)):
        print(found, flush=True)
    name = "experts_signal" if args.signal else "experts"
    print(keep(f"{name}_stages", rows, args.out))
    if args.stages:
        return
    with tempfile.TemporaryDirectory() as folder:
        table = [row for number in args.experts for row in whole(number, args.signal, Path(folder), args.turns)]
    print(keep(name, table, args.out))


if __name__ == "__main__":
    main()
