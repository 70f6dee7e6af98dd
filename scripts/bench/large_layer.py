"""One 4096 x 11008 bfloat16 layer, end to end: time against the bare eigensolver, peak memory beyond the weights.

Claim      `analyze(detX=True)` on the widest layer of a 7B model costs little more than its eigenvalues.
Command    python scripts/bench/large_layer.py [--columns 11008] [--rows 4096]
Run time   about half a minute on one core.

Time is CPU time of this process; the ratio is against Gram + `eigvalsh` of the same matrix in the same run.
"""

from __future__ import annotations

import argparse
import os
import resource
import threading
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scipy.linalg
import torch

import setol_ww as ww


class PeakMemory:
    """Largest resident set while the body runs, sampled every 5 ms."""

    def __enter__(self) -> PeakMemory:
        self.start = self.peak = resident()
        self.running = True
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def watch(self) -> None:
        while self.running:
            self.peak = max(self.peak, resident())
            time.sleep(0.005)

    def __exit__(self, *_: object) -> None:
        self.running = False
        self.thread.join()


def resident() -> int:
    """Resident bytes of this process (Linux); elsewhere the largest so far."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--columns", type=int, default=11008)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    layer = torch.nn.Linear(args.columns, args.rows, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(args.rows, args.columns) * 0.02)
        layer.weight += torch.randn(args.rows, 40) @ torch.randn(40, args.columns) * 0.01
    layer = layer.bfloat16()
    ww.analyze(torch.nn.Linear(30, 30))

    with PeakMemory() as memory:
        started = time.process_time()
        frame = ww.analyze(layer)
        whole = time.process_time() - started

    weight = layer.weight.detach().double().numpy()
    started = time.process_time()
    scipy.linalg.eigh(weight @ weight.T, eigvals_only=True, driver="evd", overwrite_a=True, check_finite=False)
    bare = time.process_time() - started

    side, elements = min(weight.shape), weight.size
    print(frame[["num_evals", "alpha", "erg_rank", "erg_log_det", "detX_num", "detX_num_error"]].to_string())
    print(f"analyze / (Gram + eigvalsh), CPU time: {whole / bare:.2f}")
    print(
        f"peak memory beyond the model: {(memory.peak - memory.start) / 2**20:.0f} MiB "
        f"= {(memory.peak - memory.start) / (8 * side * side):.2f} x 8 M^2 bytes; the bf16 weights themselves are "
        f"{2 * elements / 2**20:.0f} MiB, the float32 copy weightwatcher makes {4 * elements / 2**20:.0f} MiB"
    )
    assert np.isfinite(frame["erg_rank"]).all()


if __name__ == "__main__":
    main()
