"""Batch size and learning rate: two knobs, or one? MLP3 nets of both series at equal rate per image.

Claim      The two series of section 6 are one experiment made twice, as far as these nets tell: one at batch size 32/c
           and rate x1 and one at batch size 32 and rate xc take the same step for each image, and no difference is
           found in alpha of both layers, in test error and in epochs, whichever layers are trained.
Command    python scripts/one_knob.py            (nets of mlp3.py first; --redraw from the CSV alone)
Run time   some seconds
Output     docs/figures/one_knob.csv (each net), .png

`heat` is rate / 0.01 times 32 / batch size: 1 for both series at their common setting, above it for hotter nets. A
difference of means at equal heat is held against the standard error of both means; the range is that over the heats
at which both series have nets. A claim holds where no difference is beyond 3 standard errors and the typical one is
below 15 % of the range.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from mlp3_cache import KNOBS, LAYERS, Claim, Plot, nets, reading, run

TRAINED = ("all", "fc1", "fc2")
QUANTITIES = {"alpha_FC1": "alpha of FC1", "alpha_FC2": "alpha of FC2", "test_error": "test error", "epochs": "epochs"}
# What is compared: not the alpha of a layer that does not move.
MOVES = {
    "all": tuple(QUANTITIES),
    "fc1": ("alpha_FC1", "test_error", "epochs"),
    "fc2": ("alpha_FC2", "test_error", "epochs"),
}
KNOB_NAMES = {"batch_size": "batch sizes", "learning_rate": "rates"}
TRAINED_WORDS = {"all": "all layers trained", "fc1": "FC1 alone", "fc2": "FC2 alone"}
STANDARD_ERRORS = 3.0
SHARE_OF_RANGE = 0.15


def table(cache: Path) -> pd.DataFrame:
    rows = []
    for train in TRAINED:
        for knob in KNOBS:
            for setting, net in nets(knob, train, cache=cache):
                heat = setting["value"] if knob == "learning_rate" else 32 / setting["value"]
                alphas = {f"alpha_{layer}": reading(net.spectrum(layer))["alpha"] for layer in LAYERS}
                facts = {name: net.meta[name] for name in ("test_error", "epochs")}
                rows.append({"train": train, **setting, "heat": heat, **alphas, **facts})
    return pd.DataFrame(rows)


def pairs(frame: pd.DataFrame, train: str, quantity: str) -> pd.DataFrame:
    """Of each heat above 1 that both series have: both means, their difference and its standard error."""
    part = frame[(frame["train"] == train) & (frame["heat"] > 1)]
    first, second = (
        part[part["knob"] == knob].groupby("heat")[quantity].agg(["mean", "std", "size"]).add_prefix(f"{knob}_")
        for knob in KNOBS
    )
    both = first.join(second, how="inner").dropna()
    difference = both["batch_size_mean"] - both["learning_rate_mean"]
    squares = (both[f"{knob}_std"] ** 2 / both[f"{knob}_size"] for knob in KNOBS)
    return both.assign(difference=difference, se=np.sqrt(sum(squares)))


def draw(frame: pd.DataFrame):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(TRAINED), 3, figsize=(11, 8.5), sharex=True)
    for row_of_axes, train in zip(axes, TRAINED, strict=True):
        alpha = "alpha_FC2" if train == "fc2" else "alpha_FC1"
        for axis, quantity in zip(row_of_axes, (alpha, "test_error", "epochs"), strict=True):
            for shift, (knob, word) in zip((0.97, 1.03), KNOB_NAMES.items(), strict=True):
                part = frame[(frame["train"] == train) & (frame["knob"] == knob)]
                scale = 100 if quantity == "test_error" else 1
                means = part.groupby("heat")[quantity].agg(["mean", "std", "size"])
                n = (
                    f"{means['size'].min()}"
                    if means["size"].nunique() == 1
                    else f"{means['size'].min()} to {means['size'].max()}"
                )
                axis.errorbar(
                    means.index * shift,
                    scale * means["mean"],
                    scale * means["std"],
                    fmt="o-" if knob == "batch_size" else "s--",
                    ms=4,
                    lw=0.8,
                    capsize=2,
                    label=f"{word}, n = {n}",
                )
            axis.set(xscale="log", title=f"{TRAINED_WORDS[train]}: {QUANTITIES[quantity]}{' [%]' * (scale == 100)}")
            axis.set_xticks([0.5, 1, 2, 4, 8, 16, 32], ["½", "1", "2", "4", "8", "16", "32"])
            axis.minorticks_off()
        row_of_axes[0].legend()
    for axis in axes[-1]:
        axis.set_xlabel("rate / 0.01 x 32 / batch size")
    return figure


def claims(frame: pd.DataFrame) -> list[Claim]:
    found = []
    for train in TRAINED:
        for quantity in MOVES[train]:
            compared = pairs(frame, train, quantity)
            if compared.empty:
                found.append(Claim(f"{TRAINED_WORDS[train]}, {QUANTITIES[quantity]}: nets are missing", False))
                continue
            scale, unit = (100, " points") if quantity == "test_error" else (1, "")
            means = compared[[f"{knob}_mean" for knob in KNOBS]].to_numpy()
            typical, spread = compared["difference"].abs().mean(), means.max() - means.min()
            beyond = (compared["difference"].abs() > STANDARD_ERRORS * compared["se"]).sum()
            found.append(
                Claim(
                    f"{TRAINED_WORDS[train]}, {QUANTITIES[quantity]}: means of the two series at equal heat differ by "
                    f"{scale * typical:.2g}{unit} on average, of a range of {scale * spread:.2g}; by more than "
                    f"{STANDARD_ERRORS:g} standard errors at {beyond} of {len(compared)} heats",
                    bool(beyond == 0 and typical < SHARE_OF_RANGE * spread),
                )
            )
    return found


PLOTS = {"one_knob": Plot(table, draw, claims)}

if __name__ == "__main__":
    run(__doc__, PLOTS)
