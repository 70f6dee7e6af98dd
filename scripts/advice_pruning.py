"""Does it help to prune by alpha? AlphaPruning's ratios against uniform and ERK ones, by magnitude, without training.

Claim      At equal global sparsity AlphaPruning's ratios leave a smaller test error than uniform ratios and than ERK's
           (Erdos-Renyi-Kernel, rigl), on MLP3 and on ResNet-20.
Command    python scripts/advice_pruning.py      (nets of advice_training.py first; --redraw from the CSV alone)
Run time   five minutes on one core, nearly all of it ResNet-20
Output     docs/figures/advice/pruning.csv, pruning.png

MLP3: the plain nets of advice_training.py at their best rate, five seeds, all test images. ResNet-20: one net, 400 JPEG
copies of the CIFAR-10 test images, with its batch norms as they stand and with their statistics taken anew from 200
others. Weights are cut by magnitude in each layer, biases and norms stay. AlphaPruning with its default spread 0.3 as
published, which may take small layers away whole; and `bounded`: layers of fewer than 50 eigenvalues, whose alpha says
little, get the budget's share, and every layer keeps at least half of what a uniform cut leaves it. `reversed` has the
ratios of the latter in the opposite order of alpha: a control (MLP3).
"""

from __future__ import annotations

from pathlib import Path

import mlp3
import numpy as np
import pandas as pd
from advice_cache import grown
from advice_errors import draw_errors, gaps, is_mostly_better, told
from mlp3_cache import Claim, Plot, run

import setol_ww as ww
from setol_ww.advice.budgets import shares

BOUNDED = "alphapruning, bounded"
SPARSITIES = (0.5, 0.6, 0.7, 0.8, 0.9)
METHODS = ("uniform", "erk", "alphapruning", BOUNDED, "reversed")
SEEDS = range(5)
IMAGES, RECALIBRATION = 400, 200
NORMS_ANEW = "ResNet-20, norms anew"
COLOURS = {"uniform": "C0", "erk": "C1", "alphapruning": "C3", BOUNDED: "C4", "reversed": "0.6"}


def erk(shapes: list[tuple[int, ...]], sparsity: float) -> np.ndarray:
    """Sparsity of each layer: densities in proportion to sum over product of the sides, layers above 1 stay dense.

    `sparse_utils.py` of github.com/google-research/rigl.
    """
    sizes = np.array([np.prod(shape) for shape in shapes], dtype=float)
    raw = np.array([sum(shape) / np.prod(shape) for shape in shapes])
    dense = np.zeros(len(shapes), dtype=bool)
    while True:
        kept = (1 - sparsity) * sizes.sum() - sizes[dense].sum()
        scale = kept / (raw * sizes)[~dense].sum()
        over = ~dense & (scale * raw > 1)
        if not over.any():
            return np.where(dense, 0, 1 - scale * raw)
        dense |= over & (raw == raw[over].max())


def ratios(results: ww.Results, method: str, sparsity: float) -> dict[str, float]:
    """Sparsity of each layer by its name."""
    bounded = {"min_evals": 50, "most": (1 + sparsity) / 2} if method in (BOUNDED, "reversed") else {}
    table = ww.recommend(results, "sparsity", sparsity=sparsity, **bounded).table()
    sizes = table["n_params"].to_numpy(dtype=float)
    if method == "uniform":
        found = np.full(len(table), sparsity)
    elif method == "erk":
        shapes = {one.longname: tuple(map(int, one.identity["shape"].split(" x "))) for one in results.records}
        found = erk([shapes[name] for name in table["longname"]], sparsity)
    elif method in ("alphapruning", BOUNDED):
        found = table["sparsity"].to_numpy()
    else:
        ratio = table["ratio"].to_numpy()
        judged = ~table["reason"].str.contains("fewer than").to_numpy()
        found = np.full(len(table), sparsity)
        found[judged] = shares((2 - ratio)[judged], sizes[judged], sparsity, bounded["most"])
    assert abs(found @ sizes / sizes.sum() - sparsity) < 1e-9
    return dict(zip(table["longname"], found, strict=True))


def cut(weight: np.ndarray, share: float) -> np.ndarray:
    """The weight without its smallest entries."""
    number = round(share * weight.size)
    flat = weight.ravel().copy()
    flat[np.argsort(np.abs(flat), kind="stable")[:number]] = 0
    return flat.reshape(weight.shape)


class Nets:
    """What is pruned and measured, loaded once."""

    def __init__(self, cache: Path) -> None:
        import torch
        from advice_training import nets_of
        from cifar_resnet import images, trained

        torch.set_num_threads(1)
        self.digits, self.nets, self.trained = mlp3.load_data(), dict(nets_of(cache)), trained
        x, y = images(IMAGES + RECALIBRATION, batch=IMAGES + RECALIBRATION)[0]
        for_norms = np.arange(len(y)) % (len(y) // RECALIBRATION) == 1
        self.for_norms, self.x, self.y = x[for_norms], x[~for_norms], y[~for_norms]
        self.found: dict = {}

    def results(self, net: str, seed: int) -> ww.Results:
        if (net, seed) not in self.found:
            weights = {name: value for name, value in self.nets.get(seed, {}).items() if name.endswith("weight")}
            self.found[net, seed] = ww.examine(weights if net == "MLP3" else self.trained(20), progress=False)
        return self.found[net, seed]

    def measured(self, net: str, seed: int, sparsity: float, method: str) -> dict:
        """Test error, and with the statistics of the norms taken anew where there are norms."""
        chosen = ratios(self.results(net, seed), method, sparsity) if sparsity else {}
        return self.mlp3(seed, chosen) if net == "MLP3" else self.resnet(chosen)

    def mlp3(self, seed: int, chosen: dict[str, float]) -> dict:
        net = self.nets[seed]
        layers = [(cut(net[f"fc{n}.weight"], chosen.get(f"fc{n}", 0.0)).T, net[f"fc{n}.bias"]) for n in (1, 2, 3)]
        return {"error": mlp3.error_rate(layers, self.digits.x_test, self.digits.y_test), "error_norms_anew": np.nan}

    def resnet(self, chosen: dict[str, float]) -> dict:
        import torch

        net, errors = self.trained(20), []
        for name, share in chosen.items():
            weight = net.get_submodule(name).weight.data
            weight.copy_(torch.from_numpy(cut(weight.numpy(), share)))
        for anew in (False, True):
            if anew:
                take_statistics(net, self.for_norms)
            with torch.no_grad():
                errors.append(float((net(self.x).argmax(1) != self.y).float().mean()))
        return dict(zip(("error", "error_norms_anew"), errors, strict=True))


def take_statistics(net, x) -> None:
    """Mean and variance of every batch norm from these images."""
    import torch

    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = 1.0
    net.train()
    with torch.no_grad():
        net(x)
    net.eval()


def settings() -> list[dict]:
    """In the order of the table."""
    kinds = [("MLP3", seed) for seed in SEEDS] + [("ResNet-20", 0)]
    levels = [(0.0, "whole"), *((sparsity, method) for sparsity in SPARSITIES for method in METHODS)]
    return [
        {"net": net, "seed": seed, "sparsity": sparsity, "method": method}
        for net, seed in kinds
        for sparsity, method in levels
        if net == "MLP3" or method != "reversed"
    ]


def table(cache: Path) -> pd.DataFrame:
    wide = grown(cache.with_name("advice") / "pruning.csv", settings(), Nets(cache).measured)
    anew = wide.dropna(subset="error_norms_anew").assign(net=NORMS_ANEW, error=lambda rows: rows["error_norms_anew"])
    return pd.concat([wide, anew], ignore_index=True).drop(columns="error_norms_anew")


def differences(frame: pd.DataFrame, net: str, other: str, method: str = BOUNDED) -> pd.DataFrame:
    """A method's error minus another's, by sparsity: mean and standard error over seeds (or images), in points."""
    return gaps(frame[(frame["net"] == net) & (frame["sparsity"] > 0)], "sparsity", method, other, IMAGES)


def draw(frame: pd.DataFrame):
    import matplotlib.pyplot as plt

    nets = list(dict.fromkeys(frame["net"]))
    figure, axes = plt.subplots(1, len(nets), figsize=(11, 3.6))
    for axis, net in zip(axes, nets, strict=True):
        draw_errors(axis, frame[frame["net"] == net], "sparsity", COLOURS)
        axis.set(title=net, xlabel="sparsity [%]")
    axes[0].set_ylabel("test error [%]")
    axes[0].legend()
    return figure


def claims(frame: pd.DataFrame) -> list[Claim]:
    found = []
    for net in dict.fromkeys(frame["net"]):
        rivals = [(BOUNDED, "uniform"), (BOUNDED, "erk"), ("alphapruning", "uniform")]
        for method, other in [*rivals, *([(BOUNDED, "reversed")] if net == "MLP3" else [])]:
            gap = differences(frame, net, other, method)
            text = f"{net}: {method} minus {other} in points of error, {told(gap)}"
            found.append(Claim(text, is_mostly_better(gap)))
    return found


PLOTS = {"advice/pruning": Plot(table, draw, claims)}

if __name__ == "__main__":
    run(__doc__, PLOTS)
