"""Figure 27: training and test error against alpha of FC1 through training, FC1 alone trained.

Claim      All learning rates follow one trajectory; test error is linear in alpha above 2 and bends at 2: below it
           goes on falling at a lower slope, while training error goes on to 0 at alpha of about 1.7.
Command    python scripts/figure27.py            (nets of mlp3.py first; --redraw from the CSV alone)
Run time   a minute
Output     docs/figures/figure27.csv (each net in bins of alpha), .png

From epoch FIRST_EPOCH on. The training error is the running one of an epoch. Where the test error bends is asked of
the data: two lines that meet at a knee, the knee fitted by least squares for each seed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from mlp3_cache import Claim, Plot, binned, mean_sd, nets, over_seeds, run, setting_colour, trajectory

FIRST_EPOCH = 5
BIN = 0.05
ERRORS = ("train_error", "test_error")
KNEES = np.arange(1.6, 3.01, 0.01)
# Beyond this alpha training has hardly begun.
LARGEST_ALPHA = 3.5
NEAR_TWO = 0.1
END_OF_TRAINING_ERROR = 1.7


def table(cache: Path) -> pd.DataFrame:
    parts = [
        binned(trajectory(net, "FC1", FIRST_EPOCH), BIN).assign(lr=setting["value"], seed=setting["seed"])
        for setting, net in nets("learning_rate", "fc1", cache=cache)
    ]
    return pd.concat(parts, ignore_index=True)[
        ["lr", "seed", "alpha", "epochs", "last_epoch", "train_error", "test_error"]
    ]


def bent_line(alpha: np.ndarray, error: np.ndarray) -> tuple[float, float, float, float]:
    """Knee, slope below, slope above, and the share of a straight line's squared deviations that are left."""

    def fit(columns):
        design = np.column_stack([np.ones_like(alpha), alpha, *columns])
        solved, *_ = np.linalg.lstsq(design, error, rcond=None)
        return solved, float(((design @ solved - error) ** 2).sum())

    _, straight = fit([])
    knees = KNEES[(KNEES > alpha.min() + 2 * BIN) & (KNEES < alpha.max() - 2 * BIN)]
    fits = [(fit([np.maximum(alpha - knee, 0)]), knee) for knee in knees]
    (solved, left), knee = min(fits, key=lambda one: one[0][1])
    return float(knee), solved[1], solved[1] + solved[2], left / straight


def knees_of(frame: pd.DataFrame) -> pd.DataFrame:
    """The bent line of each seed, all rates pooled."""
    rows = []
    for seed, part in frame[frame["alpha"] < LARGEST_ALPHA].groupby("seed"):
        knee, below, above, left = bent_line(part["alpha"].to_numpy(), part["test_error"].to_numpy())
        rows.append({"seed": seed, "knee": knee, "below": below, "above": above, "left": left})
    return pd.DataFrame(rows)


def draw(frame: pd.DataFrame):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for axis, error in zip(axes, ERRORS, strict=True):
        for rate, rows in frame.groupby("lr"):
            means = over_seeds(rows, ["alpha"], [error]).sort_values("alpha")
            axis.errorbar(
                means["alpha"],
                100 * means[f"{error}_mean"],
                100 * means[f"{error}_sd"],
                fmt="o",
                ms=3,
                elinewidth=0.6,
                color=setting_colour("learning_rate", rate),
                label=f"x{rate:g}  (n = {rows['seed'].nunique()})",
            )
        above = frame[(frame["alpha"] > 2) & (frame["alpha"] < LARGEST_ALPHA)]
        slope, offset = np.polyfit(above["alpha"], above[error], 1)
        ends = np.array([frame["alpha"].min(), above["alpha"].max()])
        axis.plot(ends, 100 * (slope * ends + offset), "k--", lw=1, label="line through alpha > 2")
        axis.axvline(2, color="r", lw=1)
        axis.set(xlabel=f"alpha of FC1 (bins of {BIN})", ylabel=f"{error.replace('_', ' ')} [%]", ylim=(0, None))
    knees = knees_of(frame)
    axes[1].axvspan(knees["knee"].min(), knees["knee"].max(), color="C1", alpha=0.2, label="fitted knees of the seeds")
    axes[1].legend(title="learning rate")
    axes[0].set_title("training error")
    axes[1].set_title("test error")
    return figure


def claims(frame: pd.DataFrame) -> list[Claim]:
    last = frame.loc[frame.groupby(["lr", "seed"])["last_epoch"].idxmax()]
    ends = last.groupby("lr")["alpha"].mean()
    knees = knees_of(frame)
    part = frame[frame["alpha"] < LARGEST_ALPHA]
    means = part.groupby(["alpha", "lr"])["test_error"].mean().unstack()
    between = (means.max(axis=1) - means.min(axis=1))[means.count(axis=1) > 1]
    total = part["test_error"].max() - part["test_error"].min()
    above = part[part["alpha"] > 2]
    r2 = np.corrcoef(above["alpha"], above["test_error"])[0, 1] ** 2
    done = frame[frame["train_error"] < 0.001].groupby(["lr", "seed"])["alpha"].max()
    return [
        Claim(
            f"alpha of FC1 ends below 2 at every rate: {', '.join(f'x{rate:g} {a:.2f}' for rate, a in ends.items())}",
            bool((ends < 2).all()),
        ),
        Claim(
            f"one trajectory: at equal alpha the rates differ by {100 * between.median():.2f} points of test error "
            f"(median over bins, largest {100 * between.max():.2f}), of a range of {100 * total:.2f}",
            between.median() < 0.1 * total,
        ),
        Claim(f"test error is linear in alpha above 2: r² = {r2:.2f}", r2 > 0.9),
        Claim(
            f"test error bends at alpha = {mean_sd(knees['knee'])}, published 2",
            abs(knees["knee"].mean() - 2) < NEAR_TWO,
        ),
        Claim(
            f"below the knee it falls by {100 * knees['below'].mean():.2f} points to one of alpha, above by "
            f"{100 * knees['above'].mean():.2f}; {knees['left'].mean():.2f} of a line's squared deviations remain",
            bool((knees["below"] < knees["above"]).all()) and knees["left"].mean() < 0.8,
        ),
        Claim(
            f"training error reaches 0.1 % at alpha = {mean_sd(done)} in {len(done)} of "
            f"{len(last)} nets, published {END_OF_TRAINING_ERROR}",
            len(done) > 0 and abs(done.mean() - END_OF_TRAINING_ERROR) < NEAR_TWO,
        ),
    ]


PLOTS = {"figure27": Plot(table, draw, claims)}

if __name__ == "__main__":
    run(__doc__, PLOTS)
