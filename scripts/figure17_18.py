"""Figures 17 and 18: what truncating FC1 and FC2 to their tail costs, through training, for each learning rate.

Claim      17, power-law rule: the cost falls through training to a lower level the larger the rate, least at x16,
           is larger on the training images than on the test images, and rises again at x32. 18, ERG rule: the cost
           on the test images is 0 throughout, on the training images it settles at about 0.2 points.
Command    python scripts/mlp3_truncation.py && python scripts/figure17_18.py
Run time   some seconds (the truncations before it 15 minutes)
Output     docs/figures/figure17.csv, figure18.csv (mean, sd, n over seeds by epoch), .png of both

Cost = error of the truncated net minus error of the net, in points; positive where truncation costs accuracy (the
formulas of section 6.2 have the other sign, the pictures this one). Epochs are those of which mlp3.py keeps weights.
`last` marks the last epoch of each net, which differs between seeds.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd
from mlp3_cache import LR_SCALES, Claim, Plot, over_seeds, run

PARTS = ("train", "test")
COLOURS = {"train": "C0", "test": "C1"}
BEST, HOTTEST = 16, 32
# Read off the text of section 6.2.1.
PUBLISHED_TRAIN = {"powerlaw": {16: 0.0025}, "erg": dict.fromkeys((1, 2, 4, 8, 16), 0.002)}
FLAT = 0.001


def table(cache: Path, rule: str) -> pd.DataFrame:
    from mlp3_truncation import truncation_table

    rows = truncation_table(cache, "learning_rate")
    rows = rows[rows["rule"] == rule].rename(columns={"value": "lr"})
    columns = [*(f"delta_{part}" for part in PARTS), *(f"{part}_error" for part in PARTS), "rank_FC1", "rank_FC2"]
    by_epoch = over_seeds(rows[~rows["last"]], ["lr", "epoch"], columns).assign(when="epoch")
    last = rows[rows["last"]]
    final = over_seeds(last, ["lr"], columns).assign(when="last")
    final["epoch"] = final["lr"].map(last.groupby("lr")["epoch"].mean())
    found = pd.concat([by_epoch, final], ignore_index=True).sort_values(["lr", "epoch"], ignore_index=True)
    return found.assign(rule=rule, published_delta_train=found["lr"].map(PUBLISHED_TRAIN[rule]))


def draw(frame: pd.DataFrame):
    import matplotlib.pyplot as plt

    rule = frame["rule"][0]
    figure, axes = plt.subplots(2, 3, figsize=(10, 5.6), sharex=True, sharey="row" if rule == "powerlaw" else True)
    for axis, rate in zip(axes.flat, LR_SCALES, strict=True):
        rows = frame[frame["lr"] == rate]
        rows = rows[(rows["n"] > 1) | (rows["when"] == "last")]
        if rows.empty:
            continue
        for part in PARTS:
            axis.errorbar(
                rows["epoch"],
                100 * rows[f"delta_{part}_mean"],
                100 * rows[f"delta_{part}_sd"],
                fmt="o-",
                ms=3,
                lw=1,
                capsize=2,
                color=COLOURS[part],
                label=f"{part} images",
            )
        known = rows["published_delta_train"].iloc[0]
        if known == known:
            axis.axhline(100 * known, color="C0", ls=":", label="published level, training images")
        last = rows[rows["when"] == "last"].iloc[0]
        axis.axhline(0, color="k", lw=0.6)
        axis.set(xscale="log", title=f"learning rate x{rate:g}, {last['n']:g} seeds")
    for axis in axes[-1]:
        axis.set_xlabel("epoch (the last point: mean last epoch)")
    for axis in axes[:, 0]:
        axis.set_ylabel("truncated - whole [points]")
    (axes[0][0] if rule == "erg" else axes[1][1]).legend()
    if rule == "powerlaw":
        axes[0][0].set_ylim(-1, 12)
        axes[1][0].set_ylim(-0.5, 4)
    return figure


def claims(frame: pd.DataFrame) -> list[Claim]:
    rule = frame["rule"][0]
    last = frame[frame["when"] == "last"].set_index("lr")
    train, test = last["delta_train_mean"], last["delta_test_mean"]
    levels = ", ".join(f"x{rate:g}: {100 * train[rate]:.2f}/{100 * test[rate]:.2f}" for rate in last.index)
    known = last["published_delta_train"].dropna()
    ratio = (train[known.index] / known).round(2)
    agreement = Claim(
        f"cost on training images over the published level: {', '.join(f'x{rate:g} {r}' for rate, r in ratio.items())}",
        bool(ratio.between(0.5, 2).all()),
    )
    if rule == "powerlaw":
        return [powerlaw_falls(frame, last, levels), agreement, *powerlaw_ends(last, train, test)]
    after = frame[frame["epoch"] > 4]
    largest = after["delta_test_mean"].abs().max()
    early = frame[frame["epoch"] <= 4]["delta_train_mean"].min()
    return [
        Claim(f"last cost in points, train/test: {levels}; test below 0.1", bool((test.abs() < FLAT).all())),
        Claim(f"cost on test images stays within {100 * largest:.2f} points after epoch 4", largest < 2 * FLAT),
        agreement,
        Claim(f"early on truncation improves training error: least {100 * early:+.2f} points by epoch 4", early < 0),
        Claim(
            f"at the end it costs more on training than on test images at {(train > test).sum()} of {len(last)} rates",
            bool((train > test).all()),
        ),
    ]


def powerlaw_falls(frame: pd.DataFrame, last: pd.DataFrame, levels: str) -> Claim:
    """Below a third of the largest cost at the end, for every rate."""
    peaks = frame.groupby("lr")["delta_train_mean"].max()
    share = last["delta_train_mean"] / peaks[last.index]
    return Claim(
        f"cost at the last epoch in points, train/test: {levels}; at most {share.max():.2f} of its largest",
        bool((share < 1 / 3).all()),
    )


def powerlaw_ends(last: pd.DataFrame, train: pd.Series, test: pd.Series) -> list[Claim]:
    found = [
        Claim(f"the last cost is least at x{train.idxmin():g} (published x{BEST})", train.idxmin() == BEST),
        Claim(
            f"at the end it costs more on training than on test images at {(train > test).sum()} of {len(last)} rates",
            bool((train > test).all()),
        ),
    ]
    if {HOTTEST, BEST} <= set(last.index):
        row, best = last.loc[HOTTEST], last.loc[BEST]
        wider = row["delta_train_sd"] / best["delta_train_sd"]
        found.append(
            Claim(
                f"at x{HOTTEST} training images cost {100 * (train[HOTTEST] - train[BEST]):+.3f} points more than at "
                f"x{BEST}, with {wider:.1f} times the sd",
                train[HOTTEST] > train[BEST] and wider > 1,
            )
        )
    return found


PLOTS = {
    "figure17": Plot(partial(table, rule="powerlaw"), draw, claims),
    "figure18": Plot(partial(table, rule="erg"), draw, claims),
}

if __name__ == "__main__":
    run(__doc__, PLOTS)
