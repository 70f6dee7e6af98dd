"""Time and peak memory of `compare` on one large layer of two files, in units of `scan` of both and of a Gram matrix.

Claim      The columns of both cost what two scans cost; the update (its spectrum, the singular directions of both
           models, shares and angles) four to five times as much again for Gaussian weights. Memory is that of one
           layer, whatever the models hold beside it: of 4096 x 11008 in bfloat16 1.8 GB, most of it the singular
           directions of both models.
Command    python scripts/bench/compare.py [--quick] [--out docs/figures/bench]
Run time   about three minutes on one core; --quick half a minute (1024 x 2752).
Output     compare.csv, compare.json (the machine)

Each case is a process of its own, because an allocator keeps what was freed. `tuned` is the base plus a rank-16 update
in bfloat16; `layers` other layers of the same size lie in both files and are read one after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from machine import FIGURES, PeakMemory, keep

# What is done, rows, columns, layers in the file.
CASES = [
    ("scan of both", 1024, 2752, 1),
    ("compare, no update", 1024, 2752, 1),
    ("compare", 1024, 2752, 1),
    ("compare", 1024, 2752, 4),
    ("scan of both", 4096, 11008, 1),
    ("compare", 4096, 11008, 1),
]
QUICK = range(4)
MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=FIGURES)
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case is not None:
        print(json.dumps(measure(*CASES[args.case])))
        return
    rows = []
    for number in QUICK if args.quick else range(len(CASES)):
        done = subprocess.run(
            [sys.executable, __file__, "--case", str(number)], capture_output=True, text=True, check=True
        )
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(" ".join(f"{key}={value}" for key, value in rows[-1].items()), flush=True)
    keep("compare", rows, args.out)


def models(rows: int, columns: int, layers: int, folder: str) -> tuple[str, str]:
    """Two files of so many layers."""
    import torch
    from safetensors.torch import save_file

    draw = torch.Generator().manual_seed(0)
    base, tuned = {}, {}
    for number in range(layers):
        weight = 0.02 * torch.randn(rows, columns, generator=draw)
        update = 2e-4 * torch.randn(rows, 16, generator=draw) @ torch.randn(16, columns, generator=draw)
        base[f"layers.{number}.weight"] = weight.bfloat16()
        tuned[f"layers.{number}.weight"] = (weight + update).bfloat16()
    paths = (f"{folder}/base.safetensors", f"{folder}/tuned.safetensors")
    for path, tensors in zip(paths, (base, tuned)):
        save_file(tensors, path)
    return paths


def measure(what: str, rows: int, columns: int, layers: int) -> dict:
    """CPU seconds and peak memory of one case."""
    import setol_ww as ww

    with tempfile.TemporaryDirectory() as folder:
        base, tuned = models(rows, columns, layers, folder)
        small = models(64, 48, 1, tempfile.mkdtemp(dir=folder))
        work = {
            "scan of both": lambda one, other: [ww.scan(path, progress=False) for path in (one, other)],
            "compare, no update": lambda one, other: ww.compare(one, other, update=False, progress=False),
            "compare": lambda one, other: ww.compare(one, other, progress=False),
        }[what]
        # Imports are neither time nor memory of the layer.
        work(*small)
        with PeakMemory() as peak:
            started = time.process_time()
            found = work(base, tuned)
            seconds = time.process_time() - started
        rank = "" if what != "compare" else int(found.table()["update_rank"].min())
    gram = 8 * min(rows, columns) ** 2
    return {
        "what": what,
        "rows": rows,
        "columns": columns,
        "layers": layers,
        "cpu_seconds": round(seconds, 1),
        "peak_mib": round(peak.grown / MIB),
        "peak_in_grams": round(peak.grown / gram, 2),
        "update_rank": rank,
    }


if __name__ == "__main__":
    main()
