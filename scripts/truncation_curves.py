"""Test error against kept rank: is the ERG cut special, or just large?

Claim      Just large, on these nets. The curve of the leading components has no feature at the ERG cut.
           MLP3 (batch 32, rates x1, x16, x32, three seeds each): the ERG cut keeps 52 to 79 % of FC1 and 61 to 69 % of
           FC2 (91 to 95 % of the energy) and moves the test error by -.0007 to +.0009, one layer at a time or both; but
           already the leading 67, 28 and 17 % of FC1 (means over seeds, as all below) cost nothing within one standard
           error (.0013). The same total rank dealt out by one share of the energy costs the same to .0005.
           What is special are the leading directions: as many random ones cost .25 to .51 in FC1, the complement .89.
           The power-law cut of FC1 costs .008 at x1, at most .0006 at x16 and .0002 at x32, where it meets the ERG cut.
           Marchenko-Pastur edge and Gavish-Donoho keep 3 to 26 % and cut too deep at x1 (.08 and .31 in FC1).
           ResNet-20: the ERG cut of all layers (65 % of the components) is not free: +.034 of 2000 images, as one share
           of the energy at equal rank (+.029), less than one share of the components (+.083). The power-law cut leaves
           chance. One layer at a time (500 images, one standard error .018) the ERG cut costs at most .016, and half of
           the leading components cost less than .045 in 18 of 20 layers.
Command    python scripts/truncation_curves.py mlp3           MLP3 at batch 32, rates x1, x16, x32, seeds 0-2
           python scripts/truncation_curves.py resnet         ResNet-20, 2000 JPEG test images, all layers together
           python scripts/truncation_curves.py resnet-layers  one layer at a time, fewer points, 500 images
           python scripts/truncation_curves.py pictures       from the tables
Run time   3, 1.5, 2 and 0.1 minutes of one core
Output     docs/figures/truncation_curves/{mlp3,resnet20,resnet20_layers}.csv, mlp3.png, resnet20.png, and cuts.csv (how
           each rule's cut compares with the least rank that costs no more than one standard error)

Needs the nets of `scripts/mlp3.py` in the cache and the data of `SETOL_DATA`. Errors of MLP3 are on MNIST's 10 000 test
images and 4000 of the training images; the training images held out are not told apart. ResNet-20 is measured on
lossy JPEG copies of CIFAR-10's test images: look at changes, not at levels.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from cifar_resnet import images, trained
from mlp3 import CACHE, load_data
from torch import nn

import setol_ww as ww

logger = logging.getLogger("truncation_curves")

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "figures" / "truncation_curves"
RATES, SEEDS, BATCH_SIZE = (1, 16, 32), (0, 1, 2), 32
FRACTIONS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.75, 0.9)
TRAINED_ON = 4000
MARKED = ("erg", "powerlaw", "mp", "gavish-donoho")


def mlp3_net(path: Path) -> nn.Sequential:
    """The net of one file as a torch module; its layers are fc1, fc2, fc3."""
    net = nn.Sequential()
    with np.load(path) as arrays:
        for depth in (1, 2, 3):
            weight, bias = (torch.from_numpy(arrays[f"fc{depth}.{what}"]) for what in ("weight", "bias"))
            layer = nn.Linear(weight.shape[1], weight.shape[0])
            layer.weight.data, layer.bias.data = weight, bias
            net.add_module(f"fc{depth}", layer)
            if depth < 3:
                net.add_module(f"relu{depth}", nn.ReLU())
    return net


def mlp3_table(cache: Path) -> pd.DataFrame:
    """Curves of FC1, FC2 and both of every net."""
    data = load_data()
    splits = {
        "test": [(torch.from_numpy(data.x_test), torch.from_numpy(data.y_test))],
        "train": [(torch.from_numpy(data.x[:TRAINED_ON]), torch.from_numpy(data.y[:TRAINED_ON]))],
    }
    frames = []
    for rate in RATES:
        for seed in SEEDS:
            net = mlp3_net(cache / f"mlp3_lr{rate}_bs{BATCH_SIZE}_seed{seed}.npz")
            frame = ww.truncation_curve(
                net, ww.classification_metrics(splits), layers=["fc1", "fc2"], fractions=FRACTIONS, seed=seed
            )
            frames.append(frame.assign(lr_scale=rate, seed=seed))
            logger.info("rate x%d, seed %d", rate, seed)
    return pd.concat(frames, ignore_index=True)


def resnet_table(count: int) -> pd.DataFrame:
    """Curves of ResNet-20 with all layers truncated together."""
    metrics = ww.classification_metrics({"test": images(count)})
    frame = ww.truncation_curve(trained(20), metrics, fractions=FRACTIONS, per_layer=False)
    return frame.assign(images=count)


def resnet_layers_table(count: int) -> pd.DataFrame:
    """ResNet-20 with one layer truncated at a time, few points each."""
    metrics = ww.classification_metrics({"test": images(count)})
    frame = ww.truncation_curve(
        trained(20), metrics, fractions=(0.25, 0.5, 0.75), rules=("erg", "powerlaw"), energies=()
    )
    return frame[frame["layer"] != "all"].assign(images=count)


def without_loss(frame: pd.DataFrame, run: list[str], images_tested: int) -> pd.DataFrame:
    """For each rule: its rank beside the smallest rank of the leading components that costs no error.

    `free_fraction` is the smallest share on the curve of the leading components from which on the test error stays
    within one standard error, sqrt(e (1 - e) / images), of the untruncated one. `delta_share_of_equal_rank` and
    `delta_energy_of_equal_rank` are what the same total rank costs when it is dealt out over the layers by one share of
    the components, or by one share of the energy (the same thing for a single layer).
    """
    rows = []
    for key, curve in frame.groupby([*run, "layer"], sort=False):
        base = curve["base_test_error"].iloc[0]
        within = base + np.sqrt(base * (1 - base) / images_tested)
        top = curve[curve["curve"] == "top"].sort_values("rank_fraction")
        lossy = top[top["test_error"] > within]["rank_fraction"].max()
        free = (
            top[top["rank_fraction"] > lossy]["rank_fraction"].min() if lossy == lossy else top["rank_fraction"].min()
        )
        for rule in MARKED:
            mine = curve[curve["curve"] == rule].iloc[0]
            beside = {
                other: curve[curve["curve"] == f"{other}:{rule}"].iloc[0]["delta_test_error"]
                for other in ("random", "bottom")
            }
            rows.append(
                {
                    **dict(zip([*run, "layer"], key)),
                    "rule": rule,
                    **{name: mine[name] for name in ("rank", "rank_fraction", "kept_energy", "delta_test_error")},
                    **{f"delta_{other}_of_equal_rank": value for other, value in beside.items()},
                    "delta_share_of_equal_rank": between(top, mine),
                    "delta_energy_of_equal_rank": between(curve[curve["curve"] == "energy"], mine),
                    "free_fraction": free,
                }
            )
    return pd.DataFrame(rows)


def between(points: pd.DataFrame, mine: pd.Series) -> float:
    """Change of the test error at the rank of `mine` on another curve, linear between its points, NaN beyond them."""
    points = points.sort_values("rank_fraction")
    return float(
        np.interp(mine["rank_fraction"], points["rank_fraction"], points["delta_test_error"], left=np.nan, right=np.nan)
    )


def pictures() -> None:
    """Both pictures and the table of cuts, from the tables alone."""
    from matplotlib.figure import Figure

    mlp3, resnet = (pd.read_csv(FOLDER / f"{name}.csv") for name in ("mlp3", "resnet20"))
    figure = Figure(figsize=(13, 11), layout="constrained")
    grid = figure.subplots(3, 3, sharey=True)
    for row, layer in enumerate(("fc1", "fc2", "all")):
        for column, rate in enumerate(RATES):
            axes = grid[row, column]
            ww.plots.truncation_curve(mlp3[mlp3["lr_scale"] == rate], axes, metric="test_error", layer=layer)
            axes.set_title(f"{'both layers' if layer == 'all' else layer}, learning rate x{rate}")
            axes.set_yscale("log")
    grid[0, 0].legend(fontsize=8)
    figure.savefig(FOLDER / "mlp3.png", dpi=90)
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for axes, against in zip(figure.subplots(1, 2, sharey=True), ("rank_fraction", "kept_energy")):
        ww.plots.truncation_curve(resnet, axes, metric="test_error", against=against)
        axes.set_title("ResNet-20, all layers")
    axes.legend(fontsize=8)
    figure.savefig(FOLDER / "resnet20.png", dpi=90)
    cuts = [
        without_loss(mlp3, ["lr_scale", "seed"], 10000).assign(net="MLP3"),
        without_loss(resnet, ["images"], int(resnet["images"].iloc[0])).assign(net="ResNet-20").drop(columns="images"),
    ]
    table = pd.concat(cuts, ignore_index=True)
    table.to_csv(FOLDER / "cuts.csv", index=False, float_format="%.6g")
    print(table.groupby(["net", "lr_scale", "layer", "rule"], dropna=False).mean(numeric_only=True).to_string())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=("mlp3", "resnet", "resnet-layers", "pictures"))
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--images", type=int, default=2000, help="test images for ResNet-20")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    FOLDER.mkdir(parents=True, exist_ok=True)
    if "mlp3" in args.what:
        mlp3_table(args.cache).to_csv(FOLDER / "mlp3.csv", index=False, float_format="%.6g")
    if "resnet" in args.what:
        resnet_table(args.images).to_csv(FOLDER / "resnet20.csv", index=False, float_format="%.6g")
    if "resnet-layers" in args.what:
        table = resnet_layers_table(args.images // 4)
        table.to_csv(FOLDER / "resnet20_layers.csv", index=False, float_format="%.6g")
    if "pictures" in args.what:
        pictures()


if __name__ == "__main__":
    main()
