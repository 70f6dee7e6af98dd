"""Peak memory of `analyze` beyond the weights, layer by layer, in units of the Gram matrix's 8 M^2 bytes.

Claim      At most 1.4 x 8 M^2 bytes beyond the weights for M >= 2048 with `detX=True`, bfloat16 and float32 alike,
           module, mapping or file, for a vocabulary of 128256 rows, and where the rank is deficient; at most 1.6
           with `randomize` at 4096 x 11008.
Command    python scripts/bench/memory.py [--quick] [--out docs/figures/bench]
Run time   about four minutes on one core; --quick half a minute.
Output     memory.csv, memory.json (the machine).

Each case is a process of its own, because an allocator keeps what was freed. `plain` is WeightWatcher 0.7.7 on the
same weights.
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

# Who, what, rows, columns, dtype, options.
CASES = [
    ("setol_ww", "module", 2048, 2048, "float32", {}),
    ("plain", "module", 2048, 2048, "float32", {}),
    ("setol_ww", "module", 4096, 4096, "bfloat16", {}),
    ("plain", "module", 4096, 4096, "bfloat16", {}),
    ("setol_ww", "module", 4096, 11008, "bfloat16", {}),
    ("plain", "module", 4096, 11008, "bfloat16", {}),
    ("setol_ww", "mapping", 4096, 11008, "bfloat16", {}),
    ("setol_ww", "module", 4096, 11008, "float32", {}),
    ("setol_ww", "file", 4096, 11008, "bfloat16", {}),
    ("setol_ww", "module", 4096, 11008, "bfloat16", {"randomize": True}),
    ("setol_ww", "module, trapped", 4096, 11008, "bfloat16", {"randomize": True}),
    ("setol_ww", "module", 128256, 4096, "bfloat16", {}),
    ("setol_ww", "module, rank deficient", 4096, 4096, "bfloat16", {}),
]
QUICK = [0, 2, 4, 6]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of cases, in the order of CASES")
    parser.add_argument("--out", type=Path, default=FIGURES)
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case is not None:
        print(json.dumps(measure(*CASES[args.case])))
        return
    rows = []
    for number in args.only or (QUICK if args.quick else range(len(CASES))):
        done = subprocess.run(
            [sys.executable, __file__, "--case", str(number)], capture_output=True, text=True, check=True
        )
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(" ".join(f"{key}={value}" for key, value in rows[-1].items()), flush=True)
        keep("memory", rows, args.out)


def measure(who: str, given: str, rows: int, columns: int, dtype: str, options: dict) -> dict:
    """One analysis in this process, after a small one that loads all code."""
    import torch

    import setol_ww as ww
    from spec_tests.plain import plain_analyze

    torch.set_num_threads(1)
    analyze = plain_analyze if who == "plain" else ww.analyze
    analyze(torch.nn.Linear(30, 30), detX=True, **options)
    with tempfile.TemporaryDirectory() as folder:
        model = weights(given, rows, columns, getattr(torch, dtype), Path(folder))
        with PeakMemory() as memory:
            started = time.process_time()
            frame = analyze(model, detX=True, **options)
            seconds = time.process_time() - started
    side, size = min(rows, columns), rows * columns
    width = 2 if dtype == "bfloat16" else 4
    beyond = memory.grown - (width * size if given == "file" else 0)
    return {
        "who": who,
        "given": given,
        "rows": rows,
        "columns": columns,
        "dtype": dtype,
        "options": " ".join(options),
        "analysed": int(frame["alpha"].notna().sum()) if len(frame) else 0,
        "weights_MiB": round(width * size / 2**20, 1),
        "gram_MiB": round(8 * side * side / 2**20, 1),
        "beyond_weights_MiB": round(beyond / 2**20, 1),
        "in_grams": round(beyond / (8 * side * side), 3),
        "cpu_seconds": round(seconds, 2),
    }


def weights(given: str, rows: int, columns: int, dtype, folder: Path):
    """A layer with noise and a graded signal, made in blocks of rows so that no wider copy of it is ever there."""
    import torch

    generator = torch.Generator().manual_seed(0)
    weight = torch.empty(rows, columns, dtype=dtype)
    right = torch.randn(40, columns, generator=generator) * torch.arange(1, 41).float()[:, None] ** -0.7
    for start in range(0, rows, 1024):
        part = weight[start : start + 1024]
        noise = torch.randn(part.shape, generator=generator)
        part.copy_((noise + torch.randn(part.shape[0], 40, generator=generator) @ right) * 0.02)
    if given.endswith("trapped"):
        weight.view(-1)[:: weight.numel() // 20] = 10.0
    if given.endswith("rank deficient"):
        weight[-rows // 32 :] = 0
    if given.startswith("module"):
        layer = torch.nn.Linear(1, 1, bias=False)
        layer.weight = torch.nn.Parameter(weight, requires_grad=False)
        return layer
    if given == "mapping":
        return {"layer.weight": weight}
    from safetensors.torch import save_file

    save_file({"layer.weight": weight}, folder / "layer.safetensors")
    return folder / "layer.safetensors"


if __name__ == "__main__":
    main()
