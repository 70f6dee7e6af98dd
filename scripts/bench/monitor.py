"""What a Monitor costs a training run: the same steps with and without it, in turns, in one process.

Command    python scripts/bench/monitor.py [--turns 3]
Run time   one minute on one core.
Output     docs/figures/bench/monitor.csv, and the table on the standard output

`ratio` is the median over the turns of the time of so many steps with a monitor over that without one, by the wall,
which needs a quiet machine; `cpu_ratio` the same of the processor's time of all threads; `overhead` what the monitor
says itself, and `waiting` what training waited for it, in its own measure. `every` is small to have looks at all.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

import setol_ww as ww

TARGET = Path(__file__).resolve().parents[2] / "docs" / "figures" / "bench" / "monitor.csv"
# Long enough for what the first looks overdraw to be paid back.
STEPS = {"mlp3": 1000, "transformer": 100}
EVERY = 20
SHARES = (0.02, 0.1)


def mlp3() -> tuple[torch.nn.Module, Callable[[], torch.Tensor]]:
    """784-300-100-10, batches of 32."""
    net = torch.nn.Sequential(
        torch.nn.Linear(784, 300), torch.nn.ReLU(), torch.nn.Linear(300, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10)
    )
    return net, lambda: net(torch.randn(32, 784)).square().mean()


def transformer() -> tuple[torch.nn.Module, Callable[[], torch.Tensor]]:
    """Two blocks of width 128, sequences of 32, batches of 8."""
    layer = torch.nn.TransformerEncoderLayer(128, 4, 512, batch_first=True)
    net = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    return net, lambda: net(torch.randn(8, 32, 128)).square().mean()


def seconds(
    loss_of: Callable, optimiser: torch.optim.Optimizer, steps: int, monitor: ww.Monitor | None
) -> tuple[float, float]:
    """Time of so many steps of training, by the wall and of the processor, all threads together."""
    started, busy = time.perf_counter(), time.process_time()
    for step in range(steps):
        loss = loss_of()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if monitor is not None:
            monitor.step(step)
    return time.perf_counter() - started, time.process_time() - busy


def main() -> None:
    """Both nets, both shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    rows = []
    for make in (mlp3, transformer):
        torch.manual_seed(0)
        net, loss_of = make()
        optimiser = torch.optim.SGD(net.parameters(), lr=1e-3)
        steps = STEPS[make.__name__]
        seconds(loss_of, optimiser, steps // 10, None)
        for share in SHARES:
            ratios, busy, overheads, waits, looks = [], [], [], [], 0
            for _ in range(asked.turns):
                without = seconds(loss_of, optimiser, steps, None)
                monitor = ww.Monitor(net, every=EVERY, time_budget=share)
                followed = seconds(loss_of, optimiser, steps, monitor)
                ratios.append(followed[0] / without[0])
                busy.append(followed[1] / without[1])
                looks += len(monitor.history)
                overheads.append(monitor.overhead)
                waits.append(monitor.waiting)
            row = {"net": make.__name__, "time_budget": share, "ms_a_step": 1000 * without[0] / steps}
            told = {"ratio": ratios, "cpu_ratio": busy, "overhead": overheads, "waiting": waits}
            rows.append({**row, **{name: statistics.median(one) for name, one in told.items()}, "looks": looks})
    frame = pd.DataFrame(rows)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(TARGET, index=False, float_format="%.4g")
    print(frame.to_string(index=False))


if __name__ == "__main__":
    main()
