"""Spectra on a GPU beside the CPU: the same numbers, time per size, the drivers that torch offers, a whole checkpoint.

Claim      `device="cuda"` gives the eigenvalues of the CPU to 1e-9 at every shape and dtype, and faster from some size;
           all layers of a 7B model in under a minute, with `randomize` in under two.
Command    python scripts/bench/gpu.py [--device cuda] [--part parity sizes drivers traps model] [--jobs 8] [--quick]
Run time   about five minutes on an H100, of which the CPU's 8192 is one; `--quick` leaves out what is beyond 1024. Each
           part is on disk before the next begins; no part is begun later than `--until` seconds (540).
Output     gpu_parity.csv, gpu_sizes.csv, gpu_drivers.csv, gpu_traps.csv, gpu_model.csv, each with the name of the card
           in every line.

`--device cpu` runs the same code with torch's CPU device as a stand-in: it shows that the bench works, says nothing of
a GPU, and its lines have `stand-in` for a card. Seconds are by the clock, the device waited for, the least of three
turns after one that warms up. `parity` is the largest difference of an eigenvalue relative to itself, or to 1e-5 of the
largest one where it is below that. `traps` shuffles and searches a square layer on both: other draws, of which the
largest eigenvalues are told. `MiB told` is what a layer is said to take of the device's memory before it goes there,
`MiB taken` the most that torch allocated. `model` takes all weights of a 7B model through one `analyze` and
one `scan`, with `--jobs` threads; with `--quick` those of a narrow one.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import torch
from machine import FIGURES, keep
from safetensors.torch import load_file
from scale import MODELS, generate, shapes

import setol_ww as ww
from setol_ww.linalg.device import device_eigenvalues, memory_needed
from setol_ww.linalg.eigenvalues import eigenvalues
from setol_ww.linalg.shuffled import memory_of_a_shuffle
from setol_ww.traps.find import find_traps_of

SHAPES = ((64, 64), (100, 1000), (1000, 100), (513, 512), (1024, 1024), (4096, 1024), (2048, 2048), (4096, 4096))
DTYPES = ("float64", "float32", "bfloat16", "float16", "float8_e4m3fn", "int8")
SIZES = (512, 1024, 2048, 4096, 8192)
QUICK = 1024
TURNS = 3
STAND_IN = "stand-in: torch on the CPU"


def weight(rows: int, columns: int, dtype: str = "bfloat16") -> torch.Tensor:
    """Noise and a strong direction, as a type has it."""
    generator = torch.Generator().manual_seed(rows + columns)
    values = torch.randn(rows, columns, generator=generator)
    values[:, 0] *= 5
    return (20 * values).to(torch.int8) if dtype == "int8" else values.to(getattr(torch, dtype))


def seconds(run: Callable[[], Any], device: str, turns: int = TURNS) -> float:
    """The least time of several calls after one, of the first where no turns are asked, until the device is done."""
    times = []
    for _ in range(turns + 1):
        started = time.perf_counter()
        run()
        if device != "cpu":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return min(times[1:] or times)


def mebibytes_taken(run: Callable[[], Any], device: str) -> tuple[float, Any]:
    """The most that torch has allocated on the device during a call beyond what was there (CPU: NaN); its answer."""
    if device == "cpu":
        return math.nan, run()
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    answer = run()
    torch.cuda.synchronize(device)
    return (torch.cuda.max_memory_allocated(device) - before) / 2**20, answer


def parity(device: str, largest: int) -> list[dict[str, Any]]:
    """The eigenvalues of both, every shape in every dtype."""
    rows = []
    for shape in SHAPES:
        if max(shape) > largest:
            continue
        for dtype in DTYPES:
            W = weight(*shape, dtype)
            here, there = eigenvalues(W), device_eigenvalues(W, device)
            off = np.abs(there - here) / np.maximum(here, 1e-5 * here[-1])
            rows.append({"rows": shape[0], "columns": shape[1], "dtype": dtype, "off": f"{off.max():.1e}"})
            assert off.max() < 1e-9, rows[-1]
    return rows


def sizes(device: str, largest: int) -> list[dict[str, Any]]:
    """A square layer in bfloat16 on both; `moved` is with the weights on the device before."""
    rows = []
    for side in SIZES:
        if side > largest:
            continue
        W = weight(side, side)
        there = W.to(device)
        cpu = seconds(lambda W=W: eigenvalues(W), "cpu", 0 if side > 2048 else TURNS)
        whole = seconds(lambda W=W: device_eigenvalues(W, device), device)
        moved = seconds(lambda W=there: device_eigenvalues(W, device), device)
        memory = {
            "MiB told": memory_needed(side, side) / 2**20,
            "MiB taken": mebibytes_taken(lambda W=W: device_eigenvalues(W, device), device)[0],
        }
        times = {"cpu s": cpu, "device s": whole, "moved s": moved, "times faster": cpu / whole}
        rows.append({"side": side, **times, **memory})
        print(rows[-1], flush=True)
    return rows


def drivers(device: str, largest: int) -> list[dict[str, Any]]:
    """`eigvalsh` in float64 by each library that torch can be told to prefer, alone and eight at once."""
    rows = []
    before = torch.backends.cuda.preferred_linalg_library()
    names = ("cusolver", "magma") if device != "cpu" else ("default",)
    for name in names:
        if device != "cpu":
            torch.backends.cuda.preferred_linalg_library(name)
        for side in SIZES:
            # MAGMA is in part a program of the CPU's.
            if side > (min(largest, 4096) if name == "magma" else largest):
                continue
            W = weight(side, side, "float32").to(device).double()
            gram = W.T @ W
            row = {"driver": name, "side": side, "s": seconds(lambda gram=gram: torch.linalg.eigvalsh(gram), device)}
            if side <= 2048:
                eight = gram.expand(8, side, side).contiguous()
                row["s of eight, each"] = seconds(lambda eight=eight: torch.linalg.eigvalsh(eight), device) / 8
            rows.append(row)
            print(row, flush=True)
    if device != "cpu":
        torch.backends.cuda.preferred_linalg_library(before)
    return rows


def traps(device: str, largest: int) -> list[dict[str, Any]]:
    """The search for traps in a square layer in bfloat16, with all eigenvalues of the shuffle, on both."""
    rows = []
    for side in SIZES:
        if side > min(largest, 4096):
            continue
        W, found = weight(side, side), {}

        def look(where: str, W: torch.Tensor = W, found: dict[str, Any] = found) -> None:
            found[where] = find_traps_of([W], whole=True, device=where)

        cpu, there = seconds(lambda look=look: look("cpu"), "cpu", 0), seconds(lambda look=look: look(device), device)
        memory = {
            "MiB told": memory_of_a_shuffle(side, side) / 2**20,
            "MiB taken": mebibytes_taken(lambda look=look: look(device), device)[0],
        }
        values = {f"{kind} largest": found[at].shuffled[-1] for kind, at in (("cpu", "cpu"), ("device", device))}
        rows.append({"side": side, "cpu s": cpu, "device s": there, "times faster": cpu / there, **values, **memory})
        print(rows[-1], flush=True)
    return rows


def model(device: str, quick: bool, jobs: int) -> list[dict[str, Any]]:
    """All layers of a 7B model, in memory and from its shards; of a narrow one with `--quick`."""
    hidden, ffn, kv, vocabulary, blocks = (256, 688, 256, 2000, 32) if quick else MODELS["7B (Llama 2)"]
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch), shapes(hidden, ffn, kv, vocabulary, blocks), device)
        shards = sorted(Path(scratch).glob("*.safetensors"))
        weights = {name: tensor for shard in shards for name, tensor in load_file(shard).items()}
        few = dict(list(weights.items())[:2])
        for way, look, all_of_it, part in (
            ("analyze, in memory", partial(ww.analyze, n_jobs=jobs), weights, few),
            ("analyze, in memory, randomize", partial(ww.analyze, n_jobs=jobs, randomize=True), weights, few),
            ("scan of shards", partial(ww.scan, n_jobs=jobs), scratch, shards[-1]),
        ):
            look(part, device=device)
            whole = partial(look, all_of_it, device=device)
            memory, took = mebibytes_taken(partial(seconds, whole, device, 0), device)
            asked = {"hidden": hidden, "layers": len(weights), "way": way, "jobs": jobs}
            rows.append({**asked, "s": took, "MiB taken": memory})
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu as a stand-in")
    parts = ("parity", "model", "sizes", "drivers", "traps")
    parser.add_argument("--part", choices=parts, nargs="+", default=parts)
    parser.add_argument("--quick", action="store_true", help="nothing beyond 1024")
    parser.add_argument("--jobs", type=int, default=8, help="threads of the CPU that fit and read entries meanwhile")
    parser.add_argument("--until", type=float, default=540, help="seconds after which no part is begun")
    parser.add_argument("--out", type=Path, default=FIGURES)
    args = parser.parse_args()
    if args.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"torch {torch.__version__} sees no GPU here; --device cpu runs the same code on a stand-in")
    torch.set_num_threads(1)
    card = STAND_IN if args.device == "cpu" else torch.cuda.get_device_name(args.device)
    largest = QUICK if args.quick else max(SIZES)
    runs: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "parity": lambda: parity(args.device, largest),
        "sizes": lambda: sizes(args.device, largest),
        "drivers": lambda: drivers(args.device, largest),
        "traps": lambda: traps(args.device, largest),
        "model": lambda: model(args.device, args.quick, args.jobs),
    }
    print(f"card: {card}")
    began = time.perf_counter()
    for name in args.part:
        if time.perf_counter() - began > args.until:
            print(f"{name}: left out, {args.until:g} seconds are over")
            continue
        rows = [
            {"card": card, **{key: f"{value:.3g}" if isinstance(value, float) else value for key, value in row.items()}}
            for row in runs[name]()
        ]
        print(keep(f"gpu_{name}", rows, args.out))


if __name__ == "__main__":
    main()
