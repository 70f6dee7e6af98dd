"""Figures 15 and 16: errors of MLP3 against alpha of FC1 and FC2, over learning rates (15) and batch sizes (16).

Claim      alpha and test error fall together until alpha of FC1 passes below 2 (rate x32, batch size 1), where both
           errors rise; alpha of FC2 comes near 2 and does not reach it.
Command    python scripts/figure15_16.py         (nets of mlp3.py first; --redraw from the CSV alone)
Run time   some seconds
Output     docs/figures/figure15.csv, figure16.csv (one row a net, the published means beside), .png of both
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from mlp3_cache import (
    KNOB_LABELS,
    LAYERS,
    Claim,
    Plot,
    mean_sd,
    nets,
    over_seeds,
    published,
    reading,
    run,
    setting_colour,
    within,
)

READING_ERROR = 0.006
HOTTEST = {"batch_size": 1, "learning_rate": 32}
# A training error below this is none.
CONVERGED = 1e-4
BEST = {"batch_size": 2, "learning_rate": 16}
MARKERS = {"test_error": "o", "train_error": "x"}
THEIR_ERRORS = {error: f"published_{error}" for error in MARKERS}


def net_row(setting: dict, net) -> dict:
    """alpha and its standard error for both layers, and the last errors."""
    row = {**setting, "test_error": net.meta["test_error"], "train_error": net.meta["train_error"]}
    for layer in LAYERS:
        found = reading(net.spectrum(layer))
        row |= {f"alpha_{layer}": found["alpha"], f"alpha_sigma_{layer}": found["alpha_sigma"]}
    return row


def table(cache: Path, knob: str) -> pd.DataFrame:
    rows = pd.DataFrame([net_row(setting, net) for setting, net in nets(knob, cache=cache)])
    theirs = published("plot_fig15_16_21_alpha_detX").pivot(
        index=["knob", "value"], columns="layer", values=["alpha_mean", "alpha_bar"]
    )
    theirs.columns = [f"published_{name}_{layer}" for name, layer in theirs.columns]
    errors = published("plot_fig14_errors")[["knob", "value", *MARKERS]].rename(
        columns=lambda c: THEIR_ERRORS.get(c, c)
    )
    theirs = theirs.reset_index().merge(errors, on=["knob", "value"])
    return rows.merge(theirs, on=["knob", "value"], how="left")


def draw(frame: pd.DataFrame):
    import matplotlib.pyplot as plt

    knob = frame["knob"][0]
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True)
    for axis, layer in zip(axes, LAYERS, strict=True):
        means = over_seeds(frame, ["value"], [f"alpha_{layer}", *MARKERS])
        for error, marker in MARKERS.items():
            axis.plot(means[f"alpha_{layer}_mean"], 100 * means[f"{error}_mean"], "-", color="0.7", lw=1, zorder=1)
            for _, row in means.iterrows():
                axis.errorbar(
                    row[f"alpha_{layer}_mean"],
                    100 * row[f"{error}_mean"],
                    100 * row[f"{error}_sd"],
                    row[f"alpha_{layer}_sd"],
                    fmt=marker,
                    color=setting_colour(knob, row["value"]),
                    capsize=2,
                    label=f"{row['value']:g}  (n = {row['n']:g})" if error == "test_error" else None,
                )
        theirs = frame.groupby("value").first().dropna()
        for error in MARKERS:
            axis.plot(
                theirs[f"published_alpha_mean_{layer}"],
                100 * theirs[THEIR_ERRORS[error]],
                "s",
                color="0.35",
                mfc="none",
                ms=8,
                label="published" if error == "train_error" else None,
            )
        axis.axvline(2, color="r", lw=1)
        axis.set(xlabel=f"alpha of {layer}", title=f"{layer}: test (o) and training (x) error")
    axes[0].set_ylabel("error at the last epoch [%], mean ± sd over seeds")
    axes[1].legend(title=KNOB_LABELS[knob])
    return figure


def claims(frame: pd.DataFrame) -> list[Claim]:
    knob = frame["knob"][0]
    label = KNOB_LABELS[knob]
    hot, cool = frame[frame["value"] == HOTTEST[knob]], frame[frame["value"] != HOTTEST[knob]]
    best = frame[frame["value"] == BEST[knob]]
    found = []
    for layer in LAYERS:
        alpha = f"alpha_{layer}"
        columns = [f"published_alpha_mean_{layer}", f"published_alpha_bar_{layer}"]
        means = over_seeds(frame.dropna(subset=columns), ["value", *columns], [alpha])
        gap = means[f"{alpha}_mean"] - means[columns[0]]
        near = within(gap, means[f"{alpha}_sd"], 0, means[columns[1]], reading_error=READING_ERROR)
        found.append(
            Claim(
                f"alpha of {layer} within 2 sd of the published mean at {near.sum()} of {len(near)} settings, mean gap "
                f"{gap.abs().mean():.3f}, largest {gap.abs().max():.3f} at {means['value'][gap.abs().idxmax()]:g}",
                bool(near.all()),
            )
        )
        correlation = np.corrcoef(cool[alpha], cool["test_error"])[0, 1]
        slope = np.polyfit(cool[alpha], cool["test_error"], 1)[0]
        found.append(
            Claim(
                f"{layer}: without {label} {HOTTEST[knob]}, alpha and test error of {len(cool)} nets correlate with "
                f"r = {correlation:.2f}, {100 * slope:.2f} points of error to one of alpha",
                correlation > 0.7,
            )
        )
    errors = hot["alpha_sigma_FC1"].mean()
    found += [
        Claim(
            f"{label} {HOTTEST[knob]}: alpha of FC1 below 2 in {(hot['alpha_FC1'] < 2).sum()} of {len(hot)} nets, mean "
            f"{hot['alpha_FC1'].mean():.3f} (standard error of one fit {errors:.2f})",
            bool((hot["alpha_FC1"] < 2).all()),
        ),
        Claim(
            f"there test error is {100 * (hot['test_error'].mean() - best['test_error'].mean()):+.2f} points against "
            f"{BEST[knob]}, training error {100 * (hot['train_error'].mean() - best['train_error'].mean()):+.2f}",
            hot["test_error"].mean() > best["test_error"].mean() and hot["train_error"].mean() > 1e-4,
        ),
        converged_where_hot(hot, best, BEST[knob]),
        Claim(
            f"alpha of FC2 stays above 2: least mean {frame.groupby('value')['alpha_FC2'].mean().min():.2f}, "
            f"least net {frame['alpha_FC2'].min():.2f}",
            frame["alpha_FC2"].min() > 2,
        ),
    ]
    return found


def converged_where_hot(hot: pd.DataFrame, best: pd.DataFrame, best_value: float) -> Claim:
    """Is it alpha below 2 that costs accuracy, or training that the stopping rule ended before it was done?"""
    done = hot["train_error"] < CONVERGED
    texts = [
        f"{word} {mean_sd(100 * part['test_error'])} % at alpha {mean_sd(part['alpha_FC1'], 3)}"
        for word, part in (("training error 0:", hot[done]), ("above 0:", hot[~done]))
    ]
    return Claim(
        f"the rise is that of alpha below 2, not of training cut short: test error of nets with {'; '.join(texts)}; "
        f"{100 * best['test_error'].mean():.2f} % at {best_value}",
        hot[done]["test_error"].mean() > best["test_error"].mean(),
    )


PLOTS = {
    "figure15": Plot(partial(table, knob="learning_rate"), draw, claims),
    "figure16": Plot(partial(table, knob="batch_size"), draw, claims),
}

if __name__ == "__main__":
    run(__doc__, PLOTS)
