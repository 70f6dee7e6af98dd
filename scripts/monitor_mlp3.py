"""A training run at a large rate, followed by a Monitor: MLP3 at learning rate x32, alpha of FC1 crossing 2.

Claim      Section 6 of arXiv 2507.17912: at rate x32 alpha of FC1 of MLP3 ends below 2.
Command    python scripts/monitor_mlp3.py             train, unless the history is there, and draw
           python scripts/monitor_mlp3.py --redraw    the picture from the history
           python scripts/monitor_mlp3.py --quick     one epoch, into a temporary folder
Run time   5 minutes on one core.
Output     docs/figures/monitor/: mlp3_x32.csv (the history), mlp3_x32_errors.csv (an epoch a row), mlp3_x32.png

A plain torch loop by the recipe of scripts/mlp3.py (ReLU, Xavier-normal weights, plain SGD at .32, batches of 32, 10 %
held out, seed 0), EPOCHS epochs, one call of `monitor.step` a batch. Without a monitor the run gives the same bits.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pandas as pd
import torch
from mlp3 import BASE_RATE, HELD_OUT, HIDDEN, load_data

import setol_ww as ww

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "figures" / "monitor"
RATE, BATCH, SEED, EPOCHS = 32, 32, 0, 40
LAYERS = ["fc1", "fc2"]
# Two small layers: of a larger net's time the default of .02 is enough.
SHARE = 0.05


def net_of(pixels: int) -> torch.nn.Sequential:
    """MLP3 with the recipe's first weights."""
    torch.manual_seed(SEED)
    sides = (pixels, *HIDDEN)
    layers = {f"fc{number}": torch.nn.Linear(*sides[number - 1 : number + 1]) for number in (1, 2, 3)}
    for layer in layers.values():
        torch.nn.init.xavier_normal_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    net = torch.nn.Sequential()
    for name, layer in layers.items():
        net.add_module(name, layer)
        if name != "fc3":
            net.add_module(f"relu_{name}", torch.nn.ReLU())
    return net


def error(net: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Share of wrong labels."""
    with torch.no_grad():
        return float((net(x).argmax(1) != y).float().mean())


def trained(epochs: int) -> tuple[ww.Monitor, pd.DataFrame]:
    """The run: its monitor, and loss and errors of every epoch."""
    data = load_data()
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    x_test, y_test = torch.from_numpy(data.x_test), torch.from_numpy(data.y_test)
    net = net_of(x.shape[1])
    order = torch.randperm(len(x))
    kept = order[int(HELD_OUT * len(order)) :]
    optimiser = torch.optim.SGD(net.parameters(), lr=BASE_RATE * RATE)
    alarms = {rule: lambda alarm: print(f"  {alarm}") for rule in ("alpha below 2", "trap", "moved")}
    every = len(kept) // BATCH // 2
    monitor = ww.Monitor(net, every, LAYERS, time_budget=SHARE, randomize=True, alarms=alarms)
    epochs_told, step = [], 0
    monitor.look(step)
    for epoch in range(1, epochs + 1):
        total = 0.0
        for batch in kept[torch.randperm(len(kept))].split(BATCH):
            loss = torch.nn.functional.cross_entropy(net(x[batch]), y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(batch)
            step += 1
            monitor.step(step)
        line = {"epoch": epoch, "step": step, "train_loss": total / len(kept), "test_error": error(net, x_test, y_test)}
        epochs_told.append(line)
        print(f"epoch {epoch}: loss {line['train_loss']:.5f}, test error {line['test_error']:.4f}")
    monitor.look(step)
    print(monitor)
    return monitor, pd.DataFrame(epochs_told)


def draw(history: pd.DataFrame, errors: pd.DataFrame, target: Path) -> None:
    """Alpha with its interval and what the monitor said of it, above the test error."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (above, below) = plt.subplots(
        2, 1, figsize=(7.5, 6), sharex=True, height_ratios=(2, 1), layout="constrained"
    )
    ww.plots.training(history, above)
    for line in list(above.get_lines()):
        rows = history[history["longname"] == line.get_label()]
        if not len(rows):
            continue
        above.fill_between(
            rows["step"], rows["tail_alpha_low"], rows["tail_alpha_high"], color=line.get_color(), alpha=0.15, lw=0
        )
        for word, marker in (("moved", "o"), ("leap of the tail's start", "x")):
            told = rows[rows["move"] == word]
            above.plot(told["step"], told["tail_alpha"], marker, color=line.get_color(), ms=8, mfc="none")
    above.set_title("MLP3 at learning rate x32: alpha, 90 % interval; o moved, x leap of the tail's start", fontsize=10)
    above.set_ylim(1.5, 4)
    above.set_xlabel("")
    below.plot(errors["step"], 100 * errors["test_error"], color="black", lw=1)
    below.set_ylabel("test error, %")
    below.set_xlabel("step")
    figure.savefig(target, dpi=120)


def main() -> None:
    """Train where nothing is there, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redraw", action="store_true", help="the picture alone")
    parser.add_argument("--quick", action="store_true", help="one epoch, into a temporary folder")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp()) if asked.quick else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "mlp3_x32.csv", folder / "mlp3_x32_errors.csv"
    if not asked.redraw:
        monitor, errors = trained(1 if asked.quick else EPOCHS)
        errors.to_csv(files[1], index=False, float_format="%.6g")
        monitor.history.drop(columns="reason").to_csv(files[0], index=False, float_format="%.6g")
    history = pd.read_csv(files[0], dtype={"slice": str, "move": str}).fillna({"slice": "", "move": ""})
    draw(history, pd.read_csv(files[1]), folder / "mlp3_x32.png")


if __name__ == "__main__":
    main()
