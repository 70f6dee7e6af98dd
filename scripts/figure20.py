"""Figure 20: spectra of FC1 at learning rates x8, x16, x32 with the two starts of the tail.

Claim      The ERG start lies left of the power-law start, they come closer as the rate rises, and at x32 they cross.
Command    python scripts/figure20.py            (nets of mlp3.py first; --redraw from the CSV alone)
Run time   some seconds
Output     docs/figures/figure20.csv (histogram of seed SEED, both starts: of that seed and over seeds), .png

log10 of the unit-mean eigenvalue throughout, as in the published picture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from mlp3_cache import Claim, Plot, nets, over_seeds, published, reading, run

RATES = (8, 16, 32)
SEED = 0
EDGES = np.linspace(-3.5, 2.1, 57)
STARTS = {"log10_pl": "log10_lambda_PLmin", "log10_erg": "log10_lambda_detX1"}
# The published starts are of one net of unknown seed.
TOLERANCE = 0.06


def table(cache: Path) -> pd.DataFrame:
    starts, counts = [], []
    for setting, net in nets("learning_rate", cache=cache, values=RATES):
        spectrum = net.spectrum("FC1")
        found = reading(spectrum)
        logs = {"log10_pl": np.log10(found["pl_lambda_min"]), "log10_erg": np.log10(found["erg_lambda_min"])}
        starts.append({"lr": setting["value"], "seed": setting["seed"], **logs, "alpha": found["alpha"]})
        if setting["seed"] == SEED:
            count, _ = np.histogram(np.log10(np.maximum(spectrum.unit_mean, 10 ** EDGES[0])), EDGES)
            histogram = {"log10_low": EDGES[:-1], "log10_high": EDGES[1:], "eigenvalues": count}
            counts.append(pd.DataFrame({"lr": setting["value"], **histogram}))
    means = over_seeds(pd.DataFrame(starts), ["lr"], [*STARTS, "alpha"])
    of_seed = pd.DataFrame(starts).query("seed == @SEED").drop(columns="seed")
    theirs = published("plot_fig20_thresholds_FC1").rename(
        columns={"lr_x0.01": "lr", **{theirs: f"published_{ours}" for ours, theirs in STARTS.items()}}
    )
    theirs = theirs.drop(columns="delta_from_read")
    one = pd.concat(counts)
    for part in (of_seed, means, theirs):
        one = one.merge(part, on="lr", how="left")
    return one


def draw(frame: pd.DataFrame):
    import matplotlib.pyplot as plt

    groups = list(frame.groupby("lr"))
    figure, axes = plt.subplots(1, len(groups), figsize=(3.8 * len(groups), 3.8), sharey=True, squeeze=False)
    for axis, (rate, rows) in zip(axes[0], groups, strict=True):
        row = rows.iloc[0]
        axis.stairs(rows["eigenvalues"], [*rows["log10_low"], rows["log10_high"].iloc[-1]], fill=True, color="0.75")
        for start, colour, name in (("log10_pl", "r", "power-law start"), ("log10_erg", "purple", "ERG start")):
            axis.axvline(row[start], color=colour, label=f"{name}, seed {SEED}")
            mean, sd = row[f"{start}_mean"], row[f"{start}_sd"]
            axis.axvspan(mean - sd, mean + sd, color=colour, alpha=0.2, lw=0, label="mean ± sd over seeds")
            axis.axvline(row[f"published_{start}"], color=colour, ls=":", label="published, one net")
        axis.set(
            xlabel="log10 of the eigenvalue (unit mean)",
            title=f"learning rate x{rate:g}, alpha {row['alpha_mean']:.2f} (n = {row['n']:g})",
            xlim=(-1.6, 1.6),
        )
    axes[0][0].set_ylabel("eigenvalues of FC1 in a bin")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def claims(frame: pd.DataFrame) -> list[Claim]:
    rows = frame.groupby("lr").first()
    gap = {rate: row["log10_pl_mean"] - row["log10_erg_mean"] for rate, row in rows.iterrows()}
    text = ", ".join(f"x{rate:g}: {value:+.3f}" for rate, value in gap.items())
    found = [
        Claim(f"distance of the starts in decades, mean over seeds: {text}", list(gap) == list(RATES)),
        Claim("it shrinks as the rate rises", bool(np.all(np.diff(list(gap.values())) < 0))),
        Claim("it is below 0 at x32", gap.get(32, 1) < 0),
    ]
    for start, name in (("log10_pl", "power-law start"), ("log10_erg", "ERG start")):
        off = (rows[f"{start}_mean"] - rows[f"published_{start}"]).abs()
        found.append(
            Claim(f"{name} within {off.max():.3f} decades of the published, asked {TOLERANCE}", off.max() < TOLERANCE)
        )
    return found


PLOTS = {"figure20": Plot(table, draw, claims)}

if __name__ == "__main__":
    run(__doc__, PLOTS)
