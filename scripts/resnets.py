"""The tables of section 6 for two nets that others trained: ResNet-20 and ResNet-32 on CIFAR-10.

Claim      alpha and the gap between the two starts of the tail, layer by layer, and what truncation to either tail
           costs, beside cuts that know nothing of SETOL: the bulk edge, equal numbers of random components, the rest.
Command    python scripts/resnets.py             (--redraw: only the picture and the sentences)
Run time   8 minutes on one core, nearly all of it forward passes over 10 000 images
Output     docs/figures/resnets.csv (layers), resnets_truncation.csv (rules), resnets.png

Weights and images are in the shared data; the images are lossy JPEG decodes, so errors are higher than the published
8.3 % and 7.4 %: only their change counts.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from mlp3_cache import FIGURES, Claim, read_csv, style, verdict, write_csv

import setol_ww as ww

NETS = {"resnet20": 20, "resnet32": 32}
RULES = ("powerlaw", "erg", "mp", "gavish-donoho", "random:erg", "bulk")
IMAGES = 10000
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


def layer_table() -> pd.DataFrame:
    """alpha, cut, gaps and state of every layer."""
    from cifar_resnet import trained

    parts = []
    for name, depth in NETS.items():
        frame = ww.analyze(trained(depth))
        parts.append(frame[list(COLUMNS)].rename(columns=COLUMNS).assign(net=name))
    return pd.concat(parts, ignore_index=True)[["net", *COLUMNS.values()]]


def truncation_table() -> pd.DataFrame:
    """One forward pass for each rule."""
    import torch
    from cifar_resnet import images, trained

    torch.set_num_threads(1)
    metrics = ww.classification_metrics(images(IMAGES))
    parts = []
    for name, depth in NETS.items():
        frame = ww.evaluate_truncation(trained(depth), metrics, rules=RULES)
        frame = frame[["rule", "rank", "rank_fraction", "kept_energy", "error", "base_error", "delta_error"]]
        parts.append(frame.assign(net=name, images=IMAGES))
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
        bars = right.bar(places, 100 * part["delta_error"], 0.36, color=f"C{position}", label=name)
        labels = [f"{fraction:.0%}" for fraction in part["rank_fraction"]]
        right.bar_label(bars, labels, fontsize=7, padding=1)
    left.axvline(2, color="r", lw=1)
    left.axhline(0, color="r", lw=1)
    left.set(xlabel="alpha ± standard error", ylabel="delta lambda_min (unit mean)", title="layers")
    left.legend()
    right.set_xticks(np.arange(len(RULES)) + 0.19, RULES, rotation=20)
    right.set(ylabel="error truncated - whole [points]", ylim=(-1, 82))
    right.set_title("all layers truncated; above: share of components kept")
    right.legend(loc="upper left", bbox_to_anchor=(0.16, 0.9))
    return figure


def claims(layers: pd.DataFrame, rules: pd.DataFrame) -> list[Claim]:
    """What section 6 would say of these nets."""
    sound = layers[layers["tail_outcome"] == "ok"]
    above = sound[sound["alpha"] > 2]
    same = np.sign(sound["alpha"] - 2) == np.sign(sound["delta_lambda_min"])
    near = above[above["alpha"] < 6]
    slope, offset = np.polyfit(near["alpha"], near["delta_lambda_min"], 1)
    r2 = np.corrcoef(near["alpha"], near["delta_lambda_min"])[0, 1] ** 2
    cost = rules.set_index(["net", "rule"])["delta_error"].unstack() * 100
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
