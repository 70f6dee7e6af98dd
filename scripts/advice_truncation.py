"""Does it help to plan ranks? Truncation plans of `recommend` against one share of energy and one share of the ranks.

Claim      At equal parameters (two factors a layer, whole where these are no smaller) the plans of
           `ww.recommend(results, "truncate")` leave a smaller test error than the same share of energy in each layer.
Command    python scripts/advice_truncation.py   (nets of advice_training.py first; --redraw from the CSV alone)
Run time   three minutes on one core
Output     docs/figures/advice/truncation.csv, truncation.png

MLP3: the plain nets of advice_training.py at their best rate, five seeds, all test images. ResNet-20: one net, 600 JPEG
copies of the CIFAR-10 test images, norms as they stand.
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

BUDGETS = {"MLP3": (0.02, 0.05, 0.1, 0.2, 0.4), "ResNet-20": (0.4, 0.6, 0.8)}
METHODS = ("plan by energy", "plan by ERG", "equal energy", "equal rank share")
SEEDS, IMAGES = range(5), 600
COLOURS = dict(zip(METHODS, ("C3", "C2", "C0", "C1"), strict=True))


def equal(table: pd.DataFrame, spectra: list[ww.Spectrum], method: str, share: float) -> list[int]:
    """Ranks of one share of energy, or of the ranks, in every layer: the largest share within the budget."""
    sides = np.array([spectrum.N + spectrum.M for spectrum in spectra])
    sizes = table["n_params"].to_numpy()
    kept = [np.cumsum(spectrum.unit_mean[::-1]) / spectrum.num_evals for spectrum in spectra]

    def at(level: float) -> np.ndarray:
        if method == "equal energy":
            ranks = np.array([int(np.searchsorted(one, level * one[-1] * (1 - 1e-12))) + 1 for one in kept])
        else:
            ranks = np.array([max(1, int(level * one.size)) for one in kept])
        whole = ranks * sides >= sizes
        return np.where(whole, [one.size for one in kept], ranks)

    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        cost = np.minimum(at(middle) * sides, sizes).sum()
        low, high = (middle, high) if cost <= share * sizes.sum() else (low, middle)
    return at(low).tolist()


def ranks(results: ww.Results, method: str, share: float) -> tuple[dict[str, str], float]:
    """A rule a layer, and the share of the parameters that it comes to."""
    by = "erg" if method == "plan by ERG" else "energy"
    table = ww.recommend(results, "truncate", parameters=share, by=by).table()
    spectra = [results.layer(name).spectrum for name in table["longname"]]
    if method.startswith("equal"):
        table["rank"] = equal(table, spectra, method, share)
    sides = np.array([spectrum.N + spectrum.M for spectrum in spectra])
    cost = np.minimum(table["rank"] * sides, table["n_params"]).sum()
    rules = {name: f"rank:{rank}" for name, rank in zip(table["longname"], table["rank"], strict=True)}
    return rules, float(cost / table["n_params"].sum())


class Nets:
    """What is cut and measured, loaded once."""

    def __init__(self, cache: Path) -> None:
        import torch
        from advice_training import nets_of
        from cifar_resnet import images, trained

        torch.set_num_threads(1)
        self.digits, self.nets, self.resnet = mlp3.load_data(), dict(nets_of(cache)), trained(20)
        self.metrics = ww.classification_metrics(images(IMAGES))
        self.found: dict = {}

    def model(self, net: str, seed: int):
        return self.resnet if net == "ResNet-20" else self.nets[seed]

    def error(self, net: str, model) -> float:
        if net == "ResNet-20":
            return self.metrics(model)["error"]
        layers = [(model[f"fc{n}.weight"].T, model[f"fc{n}.bias"]) for n in (1, 2, 3)]
        return mlp3.error_rate(layers, self.digits.x_test, self.digits.y_test)

    def measured(self, net: str, seed: int, budget: float, method: str) -> dict:
        model = self.model(net, seed)
        if budget == 1:
            return {"parameters": 1.0, "error": self.error(net, model)}
        if (net, seed) not in self.found:
            weights = {name: value for name, value in model.items() if "weight" in name} if net == "MLP3" else model
            self.found[net, seed] = ww.examine(weights, progress=False)
        rules, parameters = ranks(self.found[net, seed], method, budget)
        with ww.truncated(model, rules, progress=False):
            return {"parameters": parameters, "error": self.error(net, model)}


def settings() -> list[dict]:
    """In the order of the table."""
    kinds = [("MLP3", seed) for seed in SEEDS] + [("ResNet-20", 0)]
    return [
        {"net": net, "seed": seed, "budget": budget, "method": method}
        for net, seed in kinds
        for budget, method in [(1.0, "whole"), *((b, method) for b in BUDGETS[net] for method in METHODS)]
    ]


def table(cache: Path) -> pd.DataFrame:
    return grown(cache.with_name("advice") / "truncation.csv", settings(), Nets(cache).measured)


def differences(frame: pd.DataFrame, net: str, method: str, other: str) -> pd.DataFrame:
    """Error of a method minus another's by budget, in points: mean and standard error over seeds (or images)."""
    return gaps(frame[(frame["net"] == net) & (frame["budget"] < 1)], "budget", method, other, IMAGES)


def draw(frame: pd.DataFrame):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(BUDGETS), figsize=(9, 3.8))
    for axis, net in zip(axes, BUDGETS, strict=True):
        draw_errors(axis, frame[frame["net"] == net], "budget", COLOURS)
        axis.set(title=net, xlabel="parameters kept [%]", xscale="log")
        axis.set_xticks([100 * budget for budget in BUDGETS[net]], [f"{100 * budget:g}" for budget in BUDGETS[net]])
        axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    axes[0].set_ylabel("test error [%]")
    axes[0].legend()
    return figure


def claims(frame: pd.DataFrame) -> list[Claim]:
    found = []
    for net in BUDGETS:
        for method in METHODS[:2]:
            for other in METHODS[2:]:
                gap = differences(frame, net, method, other)
                text = f"{net}: {method} minus {other} in points of error, at parameters of {told(gap)}"
                found.append(Claim(text, is_mostly_better(gap)))
    return found


PLOTS = {"advice/truncation": Plot(table, draw, claims)}

if __name__ == "__main__":
    run(__doc__, PLOTS)
