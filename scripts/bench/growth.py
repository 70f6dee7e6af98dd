"""How a scan of a mixture of 1T parameters would go over 1, 64 and 1 024 workers: a simulation from measured costs.

Claim      The scan scales until it waits for its longest layer, the one process that hands out layers, or the disk.
Command    python scripts/bench/growth.py [--measure] [--disk 2 20] [--out docs/figures/bench]
Run time   seconds; with `--measure` five minutes on a quiet core.
Output     growth.csv: a line for each number of workers; with `--measure` also growth_costs.csv and its machine.

The model has 61 layers of 384 experts, 7168 wide, 2048 inside: 70 823 tensors. `--measure` takes the CPU seconds of a
scan of one tensor of each shape, one BLAS thread, and of what the calling process does for each layer; of the two
shapes that take minutes the seconds are those of `setol_ww.scanning.cost` at the rate of the experts (`source`).

Simulated is what `scan` does: the dearest layer first, to the worker that is free; its bytes come from one disk
(`--disk`, GB a second for all workers together), one after the other; its record is taken by the calling process, which
looks at all workers that are under way. `shards` are commands of their own with `--shard`, each of one worker, which
have nothing in common but the disk: the longer of the two, which overlap. `limit` is the largest of four bounds: all
work over all workers, the longest layer, the caller's own time, the disk's. Assumed are workers as fast as the core
measured, each with the memory it needs.
"""

from __future__ import annotations

import argparse
import csv
import heapq
import os
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
from machine import FIGURES, cpu_seconds, keep
from safetensors.torch import save_file

import setol_ww as ww
from setol_ww.core.options import Options
from setol_ww.scanning import pools
from setol_ww.scanning.cost import cost, shares
from setol_ww.scanning.jobs import jobs_of
from setol_ww.scanning.row import Asked, load_libraries, work
from setol_ww.weights import plan

LAYERS, EXPERTS, WIDE, INSIDE, VOCABULARY = 61, 384, 7168, 2048, 163840
WORKERS = (1, 16, 64, 128, 256, 512, 1024, 4096)
# Python, torch and this package in a worker.
BASE_BYTES = 250 * 2**20
# Beyond these work units a shape is not measured.
MOST_UNITS = 4e11


@dataclass(frozen=True)
class Cost:
    """What one tensor of a shape costs; `seconds` of a worker, `number` of them in the model."""

    rows: int
    columns: int
    number: int
    seconds: float
    source: str

    @property
    def stored(self) -> int:
        """Bytes in the file."""
        return 2 * self.rows * self.columns

    @property
    def memory(self) -> int:
        """Bytes of a worker: the tensor and two Gram matrices."""
        return BASE_BYTES + self.stored + 16 * min(self.rows, self.columns) ** 2


@dataclass(frozen=True)
class Caller:
    """Seconds of the calling process: for a layer, and for each worker that is under way when it takes one."""

    per_layer: float
    per_worker: float


def shapes() -> dict[tuple[int, int], int]:
    """How many tensors of each shape the model has."""
    return {
        (INSIDE, WIDE): LAYERS * 2 * (EXPERTS + 1),
        (WIDE, INSIDE): LAYERS * (EXPERTS + 1),
        (EXPERTS, WIDE): LAYERS,
        (1536, WIDE): LAYERS,
        (12288, 1536): LAYERS,
        (576, WIDE): LAYERS,
        (16384, 512): LAYERS,
        (WIDE, 8192): LAYERS,
        (VOCABULARY, WIDE): 2,
    }


def measured(folder: Path) -> list[Cost]:
    """The costs, each shape by a scan of one tensor of it."""
    found: list[Cost] = []
    for (rows, columns), number in shapes().items():
        units = cost(rows, columns)
        if units > MOST_UNITS:
            rate = found[0].seconds / cost(found[0].rows, found[0].columns)
            found.append(Cost(rows, columns, number, round(units * rate, 3), "rate of the experts"))
            continue
        path = folder / "one.safetensors"
        weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0)) / 50
        save_file({"a.weight": weight.bfloat16()}, path)
        job = jobs_of(path)[0]
        load_libraries([job])
        found.append(
            Cost(rows, columns, number, round(cpu_seconds(partial(work, [job], Asked(Options()))), 3), "measured")
        )
        print(found[-1], flush=True)
    return found


def caller_of(folder: Path, layers: int = 400, workers: int = 1024) -> Caller:
    """What the calling process takes: of a scan by two workers, and of waiting for one of many."""
    path = folder / "many.safetensors"
    save_file({f"{place}.weight": torch.randn(40, 30) for place in range(layers)}, path)
    # By processes, whose CPU time is not of this one, and one by one, as layers of this size come.
    pools.PROCESSES_FROM = plan.SMALL = 0
    per_layer = cpu_seconds(lambda: ww.scan(path, n_jobs=2)) / layers
    futures: list[Future] = [Future() for _ in range(workers)]
    futures[0].set_result(None)
    turns = 20
    looks = cpu_seconds(lambda: [wait(futures, return_when=FIRST_COMPLETED) for _ in range(turns)])
    return Caller(round(per_layer, 6), round(looks / turns / workers, 9))


def simulated(costs: Sequence[Cost], caller: Caller, workers: int, disk: float) -> dict[str, float]:
    """One scan by so many workers that one process hands layers to: its seconds, and how long that process is busy."""
    waiting = deque(sorted((one for one in costs for _ in range(one.number)), key=lambda one: -one.seconds))
    clock = disk_free = busy = 0.0
    running: list[float] = []

    def hand_out() -> None:
        nonlocal disk_free
        one = waiting.popleft()
        disk_free = max(disk_free, clock) + one.stored / disk
        heapq.heappush(running, disk_free + one.seconds)

    while waiting and len(running) < workers:
        hand_out()
    while running:
        taken = caller.per_layer + caller.per_worker * len(running)
        clock = max(clock, heapq.heappop(running)) + taken
        busy += taken
        if waiting:
            hand_out()
    return {"wall": clock, "caller": busy}


def sharded(costs: Sequence[Cost], workers: int, disk: float) -> dict[str, float]:
    """As many commands of one worker each, of equal work."""
    every = [one for one in costs for _ in range(one.number)]
    load = [0.0] * workers
    for one, owner in zip(every, shares([one.seconds for one in every], workers)):
        load[owner] += one.seconds
    return {"wall": max(*load, sum(one.stored for one in every) / disk), "caller": 0.0}


def line(way: str, costs: Sequence[Cost], found: dict[str, float], workers: int, disk: float) -> dict[str, Any]:
    """What a simulation says, and what it waited for."""
    total, stored = (sum(getattr(one, name) * one.number for one in costs) for name in ("seconds", "stored"))
    longest = max(costs, key=lambda one: one.seconds)
    bounds = {
        "work": total / workers,
        "longest layer": longest.seconds,
        "caller": found["caller"],
        "disk": stored / disk,
    }
    return {
        "way": way,
        "disk_gb_s": disk / 1e9,
        "workers": workers,
        "layers": sum(one.number for one in costs),
        "wall_h": round(found["wall"] / 3600, 3),
        "core_h": round(total / 3600, 1),
        "efficiency": round(total / workers / found["wall"], 3),
        "read_tb": round(stored / 1e12, 3),
        "largest_worker_gib": round(max(one.memory for one in costs) / 2**30, 2),
        "limit": max(bounds, key=bounds.__getitem__),
        **{f"{name.replace(' ', '_')}_h": round(seconds / 3600, 3) for name, seconds in bounds.items()},
    }


def kept(out: Path) -> tuple[list[Cost], Caller]:
    """Costs that were measured before."""
    with (out / "growth_costs.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    costs = [
        Cost(int(row["rows"]), int(row["columns"]), int(row["number"]), float(row["seconds"]), row["source"])
        for row in rows
        if row["rows"]
    ]
    of_caller = {row["source"]: float(row["seconds"]) for row in rows if not row["rows"]}
    return costs, Caller(of_caller["caller, a layer"], of_caller["caller, a worker under way"])


def measure(out: Path) -> None:
    """Write growth_costs.csv."""
    with tempfile.TemporaryDirectory() as folder:
        costs, caller = measured(Path(folder)), caller_of(Path(folder))
    rows = [{**one.__dict__} for one in costs]
    rows.append({"source": "caller, a layer", "seconds": caller.per_layer})
    rows.append({"source": "caller, a worker under way", "seconds": f"{caller.per_worker:.3g}"})
    print(keep("growth_costs", rows, out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="measure the costs anew")
    parser.add_argument("--disk", type=float, nargs="+", default=[2.0, 20.0], help="GB a second, all workers together")
    parser.add_argument("--out", type=Path, default=FIGURES)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.measure:
        measure(args.out)
    costs, caller = kept(args.out)
    rows = []
    for disk in (1e9 * one for one in args.disk):
        for workers in WORKERS:
            rows.append(line("one scan", costs, simulated(costs, caller, workers, disk), workers, disk))
            rows.append(line("shards", costs, sharded(costs, workers, disk), workers, disk))
            print(rows[-2], rows[-1], sep="\n", flush=True)
    print(keep("growth", rows, args.out))


if __name__ == "__main__":
    main()
