"""Figure 14: train and test error of MLP3 against batch size and learning rate.

Claim      Test error falls with smaller batches and larger rates down to batch size 2 or rate x16; one step further
           it rises, spreads over seeds, and training error is no longer 0.
Command    python scripts/figure14.py            (nets of mlp3.py first; --redraw from the CSV alone)
Run time   some seconds
Output     docs/figures/figure14.csv, .png: mean, sd and n over seeds beside the published means and bars

Errors are those of the last epoch, where the paper keeps the best weights of a run.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from mlp3_cache import KNOB_LABELS, KNOBS, Claim, Plot, nets, over_seeds, published, run, seeds_text, within

# An eye reads an error off the published picture to about this much.
READING_ERROR = 0.0003
ERRORS = ("test_error", "train_error")
BEST = {"batch_size": 2, "learning_rate": 16}
HOTTEST = {"batch_size": 1, "learning_rate": 32}


def table(cache: Path) -> pd.DataFrame:
    rows = [
        {**setting, **{error: net.meta[error] for error in ERRORS}, "epochs": net.meta["epochs"]}
        for knob in KNOBS
        for setting, net in nets(knob, cache=cache)
    ]
    ours = over_seeds(pd.DataFrame(rows), ["knob", "value"], [*ERRORS, "epochs"])
    theirs = published("plot_fig14_errors").rename(
        columns={
            "test_error": "published_test_error",
            "test_err_bar": "published_test_bar",
            "train_error": "published_train_error",
            "train_err_bar": "published_train_bar",
        }
    )
    return ours.merge(theirs, on=["knob", "value"], how="left")


def draw(frame: pd.DataFrame):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    for axis, (knob, rows) in zip(axes, frame.groupby("knob", sort=False), strict=True):
        for error, colour in (("test", "C1"), ("train", "C0")):
            column = f"{error}_error"
            axis.errorbar(
                rows["value"] * 0.97,
                100 * rows[f"{column}_mean"],
                100 * rows[f"{column}_sd"],
                fmt="o-",
                color=colour,
                capsize=3,
                label=f"{error}, here",
            )
            axis.errorbar(
                rows["value"] * 1.03,
                100 * rows[f"published_{column}"],
                100 * rows[f"published_{error}_bar"],
                fmt="s",
                mfc="none",
                color=colour,
                alpha=0.6,
                capsize=3,
                label=f"{error}, published",
            )
        axis.set(xscale="log", xlabel=KNOB_LABELS[knob], title=seeds_text(rows))
        axis.set_xticks(KNOBS[knob], [str(value) for value in KNOBS[knob]])
        axis.minorticks_off()
    axes[0].set_ylabel("error at the last epoch [%]")
    axes[1].legend(ncols=2, loc="center left")
    return figure


def claims(frame: pd.DataFrame) -> list[Claim]:
    known = frame.dropna(subset=["published_test_error"])
    near = within(
        known["test_error_mean"],
        known["test_error_sd"],
        known["published_test_error"],
        known["published_test_bar"],
        reading_error=READING_ERROR,
    )
    gap = (known["test_error_mean"] - known["published_test_error"]).abs().max()
    found = [
        Claim(
            f"test error within 2 sd of the published mean at {near.sum()} of {len(near)} settings, "
            f"at most {100 * gap:.2f} points away",
            bool(near.all()),
        )
    ]
    for knob, rows in frame.groupby("knob", sort=False):
        rows = rows.set_index("value")
        if not {HOTTEST[knob], BEST[knob]} <= set(rows.index):
            found.append(Claim(f"{KNOB_LABELS[knob]}: nets are missing", False))
            continue
        best = rows["test_error_mean"].idxmin()
        hot, cool = rows.loc[HOTTEST[knob]], rows.loc[BEST[knob]]
        sd = (hot["test_error_sd"] ** 2 / hot["n"] + cool["test_error_sd"] ** 2 / cool["n"]) ** 0.5
        rise = hot["test_error_mean"] - cool["test_error_mean"]
        label = KNOB_LABELS[knob]
        found += [
            Claim(f"{label}: least test error at {best} (published {BEST[knob]})", best == BEST[knob]),
            Claim(
                f"{label}: one step beyond, test error is {100 * rise:+.2f} ± {100 * sd:.2f} points higher",
                rise > 2 * sd,
            ),
            Claim(
                f"{label}: its sd there {hot['test_error_sd'] / cool['test_error_sd']:.1f} times that at the best",
                hot["test_error_sd"] > cool["test_error_sd"],
            ),
            Claim(
                f"{label}: training error there is {100 * hot['train_error_mean']:.2f} %, "
                f"{100 * cool['train_error_mean']:.3f} % at the best",
                hot["train_error_mean"] > 10 * max(cool["train_error_mean"], 1e-5),
            ),
        ]
    return found


PLOTS = {"figure14": Plot(table, draw, claims)}

if __name__ == "__main__":
    run(__doc__, PLOTS)
