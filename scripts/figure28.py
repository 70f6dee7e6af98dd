"""Figure 28: training and test error against alpha of FC2 through training, FC2 alone trained, seed by seed.

Claim      alpha of FC2 falls to about 1.5 and rebounds while training error goes on falling; test error has its least
           value, a little above 3 %, during the rebound; after that the seeds go separate ways and end at different
           alphas, some near 2.
Command    python scripts/figure28.py            (nets of mlp3.py first; --redraw from the CSV alone)
Run time   some seconds
Output     docs/figures/figure28.csv (each epoch of each seed), .png

From epoch FIRST_EPOCH on. The training error is the running one of an epoch.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from mlp3_cache import Claim, Plot, mean_sd, nets, run, trajectory

FIRST_EPOCH = 5
RATES = (16, 32)
ERRORS = ("train_error", "test_error")
PUBLISHED = {"turning alpha": 1.5, "least test error": 0.031}
TOLERANCE = 0.1
REBOUND = 0.02
JUMP = 0.2


def table(cache: Path) -> pd.DataFrame:
    parts = [
        trajectory(net, "FC2", FIRST_EPOCH).assign(lr=setting["value"], seed=setting["seed"])
        for setting, net in nets("learning_rate", "fc2", cache=cache, values=RATES)
    ]
    return pd.concat(parts, ignore_index=True)[["lr", "seed", "epoch", "alpha", "pl_rank", *ERRORS]]


def draw(frame: pd.DataFrame):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(10, 7))
    for row_of_axes, rate in zip(axes, RATES, strict=True):
        for axis, error in zip(row_of_axes, ERRORS, strict=True):
            for seed, rows in frame[frame["lr"] == rate].groupby("seed"):
                axis.plot(rows["alpha"], 100 * rows[error], "-", lw=0.9, color=f"C{seed}", label=f"seed {seed}")
                axis.plot(rows["alpha"].iloc[-1], 100 * rows[error].iloc[-1], "o", color=f"C{seed}", ms=5)
            axis.axvline(2, color="r", lw=1)
            axis.set(
                xlabel="alpha of FC2", ylabel=f"{error.replace('_', ' ')} [%]", title=f"learning rate x{rate}; dot: end"
            )
    axes[-1][0].legend()
    return figure


def turns(frame: pd.DataFrame) -> pd.DataFrame:
    """Of each seed: the least alpha, where it ends, the least test error and when both are reached."""
    rows = []
    for (rate, seed), part in frame.groupby(["lr", "seed"]):
        jump = int(part["alpha"].diff().abs().fillna(0).to_numpy().argmax())
        turn, best = part.loc[part["alpha"].idxmin()], part.loc[part["test_error"].idxmin()]
        rows.append(
            {
                "lr": rate,
                "seed": seed,
                "least_alpha": turn["alpha"],
                "turn_epoch": turn["epoch"],
                "end_alpha": part["alpha"].iloc[-1],
                "least_test_error": best["test_error"],
                "best_epoch": best["epoch"],
                "jump": part["alpha"].diff().abs().max(),
                "rank_before": part["pl_rank"].iloc[jump - 1],
                "rank_after": part["pl_rank"].iloc[jump],
                "epochs": part["epoch"].iloc[-1],
                "error_fell": part["train_error"].iloc[-1] < turn["train_error"],
            }
        )
    return pd.DataFrame(rows)


def leap_text(broken: pd.DataFrame) -> str:
    """By how much, and what happens to the rank of the tail."""
    leaps = [
        f"{row['jump']:.2f} as the tail goes from {row['rank_before']:.0f} to {row['rank_after']:.0f} eigenvalues"
        for _, row in broken.iterrows()
    ]
    return f": {'; '.join(leaps)}" if leaps else ""


def claims(frame: pd.DataFrame) -> list[Claim]:
    found = []
    for rate, rows in turns(frame).groupby("lr"):
        n = len(rows)
        rebound = rows["end_alpha"] - rows["least_alpha"]
        later = rows["best_epoch"] > rows["turn_epoch"]
        broken = rows[rows["jump"] > JUMP]
        error = rows["least_test_error"].mean()
        found += [
            Claim(
                f"x{rate:g}: alpha falls to {mean_sd(rows['least_alpha'])}, published {PUBLISHED['turning alpha']}",
                abs(rows["least_alpha"].mean() - PUBLISHED["turning alpha"]) < TOLERANCE,
            ),
            Claim(
                f"x{rate:g}: it rebounds by {mean_sd(rebound)} while training error falls, in "
                f"{((rebound > REBOUND) & rows['error_fell']).sum()} of {n} nets",
                bool(((rebound > REBOUND) & rows["error_fell"]).all()),
            ),
            Claim(
                f"x{rate:g}: least test error in % {mean_sd(100 * rows['least_test_error'])}, "
                f"published a little above 3, during the rebound in {later.sum()} of {n} nets",
                abs(error - PUBLISHED["least test error"]) < 0.003 and bool(later.all()),
            ),
            Claim(
                f"x{rate:g}: the tail fractures: alpha leaps by {JUMP} or more in an epoch in {len(broken)} of {n} nets"
                f"{leap_text(broken)}",
                len(broken) > 0,
            ),
        ]
        if n > 1:
            found.append(
                Claim(
                    f"x{rate:g}: the seeds end at {rows['end_alpha'].min():.2f} to {rows['end_alpha'].max():.2f}, "
                    f"sd {rows['end_alpha'].std():.2f}, {rows['least_alpha'].std():.3f} at the turn",
                    rows["end_alpha"].std() > 2 * rows["least_alpha"].std(),
                )
            )
    return found


PLOTS = {"figure28": Plot(table, draw, claims)}

if __name__ == "__main__":
    run(__doc__, PLOTS)
