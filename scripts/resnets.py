"""The tables of section 6 for two nets that others trained: ResNet-20 and ResNet-32 on CIFAR-10.

Claim      alpha and the gap between the two starts of the tail, layer by layer, and what truncation to either tail
           costs, beside cuts that know nothing of SETOL: the bulk edge, equal numbers of random components, the rest.
Command    python scripts/resnets.py             (--redraw: only the picture and the sentences)
Run time   10 minutes on one core, nearly all of it forward passes over 10 000 images
Output     docs/figures/resnets.csv (layers), resnets_truncation.csv (rules), resnets.png

Weights and images are in the shared data; the images are lossy JPEG decodes, so errors are higher than the published
8.3 % and 7.4 %: only their change counts.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
from mlp3_cache import FIGURES, Claim, read_csv, style, verdict, write_csv

import setol_ww as ww

NETS = {"resnet20": ("resnet20-12fca82f.th", 3), "resnet32": ("resnet32-d509ac18.th", 5)}
RULES = ("powerlaw", "erg", "mp", "gavish-donoho", "random:erg", "bulk")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 250
COLUMNS = {
    "longname": "layer",
    "num_evals": "num_evals",
    "alpha": "alpha",
    "tail_sigma": "alpha_sigma",
    "num_pl_spikes": "pl_rank",
    "erg_rank": "erg_rank",
    "erg_fraction": "erg_fraction",
    "delta_lambda_min": "delta_lambda_min",
    "erg_metric": "erg_metric",
    "setol_state": "setol_state",
    "tail_outcome": "tail_outcome",
}


def data_folder() -> Path:
    named = os.environ.get("SETOL_DATA")
    return Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"


def checkpoint(name: str) -> Path:
    return data_folder() / "resnet_cifar10" / NETS[name][0]


def cifar_resnet(blocks: int):
    """He et al.'s CIFAR ResNet with shortcuts that pad with zeros, names as in the checkpoints."""
    import torch
    from torch import nn
    from torch.nn.functional import pad

    class Block(nn.Module):
        def __init__(self, n_in: int, n_out: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(n_out)
            self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(n_out)
            self.stride, self.extra = stride, n_out - n_in

        def forward(self, x):
            inner = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
            if self.extra:
                x = pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.extra // 2, self.extra // 2))
            return torch.relu(inner + x)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
            n_in = 16
            for depth, n_out in enumerate((16, 32, 64), start=1):
                layers = []
                for index in range(blocks):
                    layers.append(Block(n_in, n_out, 2 if depth > 1 and index == 0 else 1))
                    n_in = n_out
                setattr(self, f"layer{depth}", nn.Sequential(*layers))
            self.linear = nn.Linear(64, 10)

        def forward(self, x):
            x = torch.relu(self.bn1(self.conv1(x)))
            x = self.layer3(self.layer2(self.layer1(x)))
            return self.linear(x.mean((2, 3)))

    return Net()


def trained(name: str):
    """The published net, in evaluation mode."""
    import torch

    net = cifar_resnet(NETS[name][1])
    state = torch.load(checkpoint(name), map_location="cpu", weights_only=True)["state_dict"]
    net.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})
    return net.eval()


def test_error(net) -> float:
    """Error on the decoded JPEG test images."""
    import torch

    with np.load(data_folder() / "cifar10_jpg" / "test.npz") as file:
        images, labels = file["x"], torch.from_numpy(file["y"].astype(np.int64))
    wrong = 0
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            x = torch.from_numpy(images[start : start + BATCH]).permute(0, 3, 1, 2).float() / 255
            x = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
            wrong += int((net(x).argmax(1) != labels[start : start + BATCH]).sum())
    return wrong / len(images)


def layer_table() -> pd.DataFrame:
    """alpha, cut, gaps and state of every layer."""
    parts = []
    for name in NETS:
        frame = ww.analyze(checkpoint(name))
        parts.append(frame[list(COLUMNS)].rename(columns=COLUMNS).assign(net=name))
    return pd.concat(parts, ignore_index=True)[["net", *COLUMNS.values()]]


def truncation_table() -> pd.DataFrame:
    """One forward pass for each rule."""
    import torch

    torch.set_num_threads(1)
    parts = []
    for name in NETS:
        frame = ww.evaluate_truncation(trained(name), lambda net: {"test_error": test_error(net)}, rules=RULES)
        parts.append(frame.drop(columns=["layer", "reason"]).assign(net=name, images=10000))
        print(parts[-1].to_string(), flush=True)
    return pd.concat(parts, ignore_index=True)


def draw(layers: pd.DataFrame, rules: pd.DataFrame):
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4))
    for position, (name, rows) in enumerate(layers.groupby("net")):
        left.errorbar(
            rows["alpha"],
            rows["delta_lambda_min"],
            xerr=rows["alpha_sigma"],
            fmt="os"[position],
            color=f"C{position}",
            ms=4,
            elinewidth=0.6,
            label=f"{name}, {len(rows)} layers",
        )
        part = rules[rules["net"] == name]
        places = np.arange(len(part)) + 0.38 * position
        bars = right.bar(places, 100 * part["delta_test_error"], 0.36, color=f"C{position}", label=name)
        labels = [f"{fraction:.0%}" for fraction in part["rank_fraction"]]
        right.bar_label(bars, labels, fontsize=7, padding=1)
    left.axvline(2, color="r", lw=1)
    left.axhline(0, color="r", lw=1)
    left.set(xlabel="alpha ± standard error", ylabel="delta lambda_min (unit mean)", title="layers")
    left.legend()
    right.set_xticks(np.arange(len(RULES)) + 0.19, RULES, rotation=20)
    right.set(ylabel="error truncated - whole [points]", ylim=(-1, 82))
    right.set_title("all layers truncated; share of the components kept above the bars")
    right.legend()
    return figure


def claims(layers: pd.DataFrame, rules: pd.DataFrame) -> list[Claim]:
    """What section 6 would say of these nets."""
    sound = layers[layers["tail_outcome"] == "ok"]
    above = sound[sound["alpha"] > 2]
    same = np.sign(sound["alpha"] - 2) == np.sign(sound["delta_lambda_min"])
    near = above[above["alpha"] < 6]
    slope, offset = np.polyfit(near["alpha"], near["delta_lambda_min"], 1)
    r2 = np.corrcoef(near["alpha"], near["delta_lambda_min"])[0, 1] ** 2
    cost = rules.set_index(["net", "rule"])["delta_test_error"].unstack() * 100
    share = rules.set_index(["net", "rule"])["rank_fraction"].unstack()

    def both(rule: str) -> str:
        return f"{cost[rule].min():.1f} to {cost[rule].max():.1f} points at {share[rule].mean():.0%} of the components"

    return [
        Claim(f"alpha between 2 and 6 in {len(near)} of {len(layers)} layers", len(near) > 0.8 * len(layers)),
        Claim(
            f"signs of alpha - 2 and delta agree in {same.sum()} of {len(sound)} layers with a fit", same.mean() > 0.9
        ),
        Claim(
            f"2 < alpha < 6: delta rises by {slope:.2f} to one of alpha, r² = {r2:.2f}, {offset + 2 * slope:+.2f} at 2",
            slope > 0 and r2 > 0.2,
        ),
        Claim(f"ERG truncation is harmless: {both('erg')}", cost["erg"].max() < 1),
        Claim(f"power-law truncation is harmless: {both('powerlaw')}", cost["powerlaw"].max() < 5),
        Claim(
            f"the ERG components are not any components: as many random ones cost {both('random:erg')}",
            bool((cost["random:erg"] > 5 * cost["erg"]).all()),
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redraw", action="store_true", help="picture and sentences from the CSVs that are there")
    if not parser.parse_args().redraw:
        write_csv(layer_table(), "resnets")
        write_csv(truncation_table(), "resnets_truncation")
    layers, rules = read_csv("resnets"), read_csv("resnets_truncation")
    style()
    draw(layers, rules).savefig(FIGURES / "resnets.png", metadata={"Software": None})
    found = claims(layers, rules)
    for claim in found:
        print(f"  {'holds' if claim.holds else 'FAILS'}: {claim.text}")
    print(f"resnets: {verdict(found)} ({sum(c.holds for c in found)} of {len(found)} claims)")


if __name__ == "__main__":
    main()
