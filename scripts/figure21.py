"""Figure 21: the gap between the two starts of the tail against alpha, for FC1 and FC2 of MLP3.

Claim      In FC1 (alpha, delta lambda_min) marches along a line to (2, 0) as batches get smaller or rates larger and
           crosses both lines at the last step; FC2 shows a weaker tendency, which breaks down at the last step.
Command    python scripts/figure21.py            (nets of mlp3.py first; --redraw from the CSV alone)
Run time   some seconds
Output     docs/figures/figure21.csv (one row a net and layer, the published means beside), .png

delta lambda_min = power-law start minus ERG start, unit mean (Eq. 164).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from mlp3_cache import (
    KNOB_LABELS,
    KNOBS,
    LAYERS,
    Claim,
    Plot,
    nets,
    over_seeds,
    published,
    reading,
    run,
    setting_colour,
    within,
)

READING_ERROR = 0.01
HOTTEST = {"batch_size": 1, "learning_rate": 32}
NEXT = {"batch_size": 2, "learning_rate": 16}
THEIRS = {
    "alpha_mean": "published_alpha",
    "alpha_bar": "published_alpha_bar",
    "detX_delta_mean": "published_delta",
    "detX_delta_bar": "published_delta_bar",
}


def net_rows(setting: dict, net) -> list[dict]:
    return [{**setting, "layer": layer, **reading(net.spectrum(layer))} for layer in LAYERS]


def table(cache: Path) -> pd.DataFrame:
    rows = [row for knob in KNOBS for setting, net in nets(knob, cache=cache) for row in net_rows(setting, net)]
    theirs = published("plot_fig15_16_21_alpha_detX").rename(columns=THEIRS)
    return pd.DataFrame(rows).merge(theirs, on=["knob", "value", "layer"], how="left")


def draw(frame: pd.DataFrame):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(10, 7))
    for row_of_axes, knob in zip(axes, ("learning_rate", "batch_size"), strict=True):
        for axis, layer in zip(row_of_axes, LAYERS, strict=True):
            part = frame[(frame["knob"] == knob) & (frame["layer"] == layer)]
            for value, rows in part.groupby("value"):
                colour = setting_colour(knob, value)
                axis.errorbar(
                    rows["alpha"],
                    rows["delta_lambda_min"],
                    xerr=rows["alpha_sigma"],
                    fmt="o",
                    ms=4,
                    color=colour,
                    elinewidth=0.4,
                    label=f"{value:g}  (n = {len(rows)})",
                )
                known = rows.iloc[0]
                axis.errorbar(
                    known["published_alpha"],
                    known["published_delta"],
                    known["published_delta_bar"],
                    known["published_alpha_bar"],
                    fmt="s",
                    mfc="none",
                    mec="k",
                    ecolor="k",
                    ms=7,
                    elinewidth=0.8,
                    zorder=5,
                )
            axis.axvline(2, color="r", lw=1)
            axis.axhline(0, color="r", lw=1)
            axis.set(xlabel=f"alpha of {layer}", ylabel="delta lambda_min (unit mean)", title=layer)
            if layer == "FC2":
                axis.legend(title=KNOB_LABELS[knob], loc="lower right", ncols=2)
    figure.suptitle("each net with the standard error of its fit; squares: published means and bars", fontsize=9)
    return figure


def claims(frame: pd.DataFrame) -> list[Claim]:
    found = []
    known = frame.dropna(subset=["published_delta"])
    for layer in LAYERS:
        columns = ["published_delta", "published_delta_bar"]
        means = over_seeds(known[known["layer"] == layer], ["knob", "value", *columns], ["delta_lambda_min"])
        gap = means["delta_lambda_min_mean"] - means["published_delta"]
        near = within(gap, means["delta_lambda_min_sd"], 0, means["published_delta_bar"], reading_error=READING_ERROR)
        found.append(
            Claim(
                f"{layer}: mean delta lambda_min within 2 sd of the published at {near.sum()} of {len(near)} settings, "
                f"mean gap {gap.abs().mean():.3f}, largest {gap.abs().max():.3f}",
                bool(near.all()),
            )
        )
    for knob, rows in frame.groupby("knob", sort=False):
        label = KNOB_LABELS[knob]
        fc1, fc2 = (rows[rows["layer"] == layer] for layer in LAYERS)
        slope, offset = np.polyfit(fc1["alpha"], fc1["delta_lambda_min"], 1)
        r = np.corrcoef(fc1["alpha"], fc1["delta_lambda_min"])[0, 1]
        at_two = slope * 2 + offset
        found.append(
            Claim(
                f"{label}, FC1: a line of slope {slope:.2f}, r² = {r**2:.3f} over {len(fc1)} nets, "
                f"{at_two:+.3f} at alpha = 2",
                r**2 > 0.95 and abs(at_two) < 0.1,
            )
        )
        same = np.sign(fc1["alpha"] - 2) == np.sign(fc1["delta_lambda_min"])
        hot = fc1[fc1["value"] == HOTTEST[knob]]
        crossed = (hot["alpha"] < 2) & (hot["delta_lambda_min"] < 0)
        found.append(
            Claim(
                f"{label}, FC1: both lines crossed at {HOTTEST[knob]} in {crossed.sum()} of {len(hot)} nets "
                f"(alpha {hot['alpha'].mean():.3f}, delta {hot['delta_lambda_min'].mean():+.3f} ± "
                f"{hot['delta_lambda_min'].std():.3f}); alpha - 2 and delta of one sign in {same.sum()} of {len(fc1)}",
                bool(crossed.all()) and len(hot) > 0,
            )
        )
        ends = [fc2[fc2["value"] == end[knob]]["delta_lambda_min"] for end in (NEXT, HOTTEST)]
        if min(len(end) for end in ends) > 1:
            step = ends[1].mean() - ends[0].mean()
            error = np.sqrt(sum(end.var() / len(end) for end in ends))
            found.append(
                Claim(
                    f"{label}, FC2: from {NEXT[knob]} to {HOTTEST[knob]} delta grows: {step:+.3f} ± {error:.3f}",
                    step > 2 * error,
                )
            )
    return found


PLOTS = {"figure21": Plot(table, draw, claims)}

if __name__ == "__main__":
    run(__doc__, PLOTS)
