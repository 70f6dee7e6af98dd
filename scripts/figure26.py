"""Figure 26: training and test error against alpha of FC1 and FC2 through training, all layers trained.

Claim      For each learning rate error and alpha fall together along a line of its own; only x32 takes FC1 below 2;
           slower rates reach training error 0 before alpha of FC1 reaches 2; alpha of FC2 never goes below 2.
Command    python scripts/figure26.py            (nets of mlp3.py first; --redraw from the CSV alone)
Run time   half a minute
Output     docs/figures/figure26.csv (each net in bins of alpha), .png

From epoch FIRST_EPOCH on, as in the paper. The training error is the running one of an epoch.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from mlp3_cache import LAYERS, Claim, Plot, binned, nets, over_seeds, run, setting_colour, trajectory

FIRST_EPOCH = 5
BIN = 0.05
ERRORS = ("train_error", "test_error")
# Lines are fitted where the paper fits them.
FITTED = "alpha > 2 and train_error > 0.001"
HOTTEST = 32
TRAINED = "all"


def table(cache: Path) -> pd.DataFrame:
    parts = [
        binned(trajectory(net, layer, FIRST_EPOCH), BIN).assign(layer=layer, lr=setting["value"], seed=setting["seed"])
        for layer in LAYERS
        for setting, net in nets("learning_rate", TRAINED, cache=cache)
    ]
    return pd.concat(parts, ignore_index=True)[
        ["layer", "lr", "seed", "alpha", "epochs", "last_epoch", "train_error", "test_error"]
    ]


def line_of(rows: pd.DataFrame, error: str) -> tuple[float, float, float]:
    """Slope, offset and r² of an error against alpha."""
    slope, offset = np.polyfit(rows["alpha"], rows[error], 1)
    return slope, offset, np.corrcoef(rows["alpha"], rows[error])[0, 1] ** 2


def draw(frame: pd.DataFrame):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(10, 7), sharex="row")
    for row_of_axes, layer in zip(axes, LAYERS, strict=True):
        part = frame[frame["layer"] == layer]
        for axis, error in zip(row_of_axes, ERRORS, strict=True):
            for rate, rows in part.groupby("lr"):
                colour = setting_colour("learning_rate", rate)
                means = over_seeds(rows, ["alpha"], [error]).sort_values("alpha")
                axis.errorbar(
                    means["alpha"],
                    100 * means[f"{error}_mean"],
                    100 * means[f"{error}_sd"],
                    fmt="o",
                    ms=2.5,
                    elinewidth=0.6,
                    color=colour,
                    label=f"x{rate:g}  (n = {rows['seed'].nunique()})",
                )
                fitted = rows.query(FITTED)
                if fitted["alpha"].nunique() > 2:
                    slope, offset, _ = line_of(fitted, error)
                    ends = np.array([fitted["alpha"].min(), fitted["alpha"].max()])
                    axis.plot(ends, 100 * (slope * ends + offset), "k--", lw=0.8)
            axis.axvline(2, color="r", lw=1)
            axis.set(xlabel=f"alpha of {layer} (bins of {BIN})", ylabel=f"{error.replace('_', ' ')} [%]", title=layer)
        row_of_axes[1].set_ylim(1.2, 6)
    axes[0][0].legend(title="learning rate")
    figure.suptitle("mean ± sd over seeds in a bin; dashed: line through the bins of a rate", fontsize=9)
    return figure


def claims(frame: pd.DataFrame) -> list[Claim]:
    found = []
    for layer in LAYERS:
        part = frame[frame["layer"] == layer]
        fits = {
            (rate, error): line_of(rows, error)
            for rate, rows in part.query(FITTED).groupby("lr")
            for error in ERRORS
            if rows["alpha"].nunique() > 2
        }
        for error in ERRORS:
            lines = {rate: fit for (rate, fitted), fit in fits.items() if fitted == error}
            texts = ", ".join(f"x{rate:g} {100 * slope:.1f}" for rate, (slope, _, _) in lines.items())
            r2 = [fit[2] for fit in lines.values()]
            found.append(
                Claim(
                    f"{layer}: {error.replace('_', ' ')} falls with alpha, points to one of alpha: {texts}; "
                    f"r² {min(r2):.2f} to {max(r2):.2f}",
                    all(fit[0] > 0 for fit in lines.values()),
                )
            )
    fc1, fc2 = (frame[frame["layer"] == layer] for layer in LAYERS)
    below = sorted(fc1[fc1["alpha"] < 2]["lr"].unique())
    which = ", ".join(f"x{rate:g}" for rate in below) or "no rate"
    found.append(
        Claim(
            f"FC1 goes below 2 at {which} alone (published x{HOTTEST})",
            below == [HOTTEST],
        )
    )
    slow = fc1[(fc1["lr"] < HOTTEST) & (fc1["train_error"] < 0.001)].groupby("lr")["alpha"].max()
    texts = ", ".join(f"x{rate:g} {alpha:.2f}" for rate, alpha in slow.items())
    found += [
        Claim(f"training error is below 0.1 % already at alpha of FC1 {texts}", bool((slow > 2).all())),
        Claim(f"FC2 never goes below 2: least bin at {fc2['alpha'].min():.3f}", fc2["alpha"].min() > 2),
    ]
    return found


PLOTS = {"figure26": Plot(table, draw, claims)}

if __name__ == "__main__":
    run(__doc__, PLOTS)
