"""Figure 19: cost of power-law truncation and generalization gap against alpha of FC1 and FC2, last epoch.

Claim      As alpha falls towards 2 the cost of truncation on training and test images falls, and so does the gap
           between test and training error of the whole net, until alpha of FC1 passes below 2.
Command    python scripts/mlp3_truncation.py && python scripts/figure19.py
Run time   some seconds (the truncations before it 15 minutes)
Output     docs/figures/figure19.csv (one row a net and rule: alphas, ranks, costs, gap), .png
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from mlp3_cache import KNOBS, LAYERS, Claim, Plot, run, setting_colour

QUANTITIES = {
    "delta_train": ("cost on training images", "o"),
    "delta_test": ("cost on test images", "s"),
    "generalization_gap": ("test - training error, whole net", "x"),
}
HOTTEST = {"batch_size": 1, "learning_rate": 32}


def table(cache: Path) -> pd.DataFrame:
    from mlp3_truncation import truncation_table

    rows = pd.concat([truncation_table(cache, knob) for knob in KNOBS], ignore_index=True)
    rows = rows[rows["last"]].drop(columns="last")
    return rows.assign(generalization_gap=rows["test_error"] - rows["train_error"])


def draw(frame: pd.DataFrame):
    import matplotlib.pyplot as plt

    frame = frame[frame["rule"] == "powerlaw"]
    figure, axes = plt.subplots(2, 2, figsize=(10, 6.4), sharey="row")
    for row_of_axes, knob in zip(axes, ("learning_rate", "batch_size"), strict=True):
        for axis, layer in zip(row_of_axes, LAYERS, strict=True):
            part = frame[frame["knob"] == knob]
            for column, (label, marker) in QUANTITIES.items():
                colours = [setting_colour(knob, value) for value in part["value"]]
                axis.scatter(part[f"alpha_{layer}"], 100 * part[column], c=colours, marker=marker, s=18, linewidths=1)
                axis.scatter([], [], c="0.3", marker=marker, s=18, label=label)
            axis.axvline(2, color="r", lw=1)
            axis.set(
                xlabel=f"alpha of {layer}",
                title=f"{layer}, {knob.replace('_', ' ')} varied (violet: hottest), {len(part)} nets",
            )
        row_of_axes[0].set_ylabel("points")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def claims(frame: pd.DataFrame) -> list[Claim]:
    frame = frame[frame["rule"] == "powerlaw"]
    found = []
    for knob, rows in frame.groupby("knob", sort=False):
        hot = rows["value"] == HOTTEST[knob]
        for layer in LAYERS:
            texts, holds = [], True
            for column, (label, _) in QUANTITIES.items():
                r = np.corrcoef(rows[~hot][f"alpha_{layer}"], rows[~hot][column])[0, 1]
                texts.append(f"{label} r = {r:.2f}")
                holds = holds and r > 0.5
            found.append(
                Claim(f"{knob} without the hottest, {layer}: falls with alpha: {'; '.join(texts)}", bool(holds))
            )
        means = rows.groupby("value")[list(QUANTITIES)].mean()
        order = means.index.sort_values(ascending=knob == "batch_size")
        if hot.any():
            change = 100 * (means.loc[order[0]] - means.loc[order[1]])
            found.append(
                Claim(
                    f"{knob}: from {order[1]:g} to {order[0]:g} it gets worse: "
                    + ", ".join(f"{QUANTITIES[name][0]} {value:+.2f}" for name, value in change.items()),
                    bool((change > 0).all()),
                )
            )
    return found


PLOTS = {"figure19": Plot(table, draw, claims)}

if __name__ == "__main__":
    run(__doc__, PLOTS)
