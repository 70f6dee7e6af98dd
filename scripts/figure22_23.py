"""Figures 22 and 23: the gap between the two starts of the tail against alpha, for nets that others trained.

Claim      As alpha falls to 2 from above, delta lambda_min goes to 0: a funnel that points to (2, 0). Here from the
           published tables of Falcon-7B (Fig. 23a) and Llama-13B (23c), and ResNet-20 and ResNet-32 in the place of the
           ResNet series (22b), whose numbers are not published.
Command    python scripts/figure22_23.py         (resnets.py first; --redraw from the CSV alone)
Run time   some seconds
Output     docs/figures/figure22_23.csv (one row a layer), .png

A funnel has two marks that can be measured on layers with 2 < alpha < 6: delta rises with alpha, and at alpha = 2 it is
near 0. delta = (xmin - detX_val) / mean eigenvalue, recomputed from the columns of the published tables.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from mlp3_cache import Claim, Plot, read_csv, run, shared_csv

TABLES = {"Falcon-7B": "falcon-7b", "Llama-13B": "llama-13b"}
NETS = {"ResNet-20": "resnet20", "ResNet-32": "resnet32"}
RANGE = (2, 6)
NEAR = (2, 2.75)
FAR = (3.5, 6)
MIN_LAYERS = 15


def published_table(model: str) -> pd.DataFrame:
    """alpha and delta of one of the paper's own WeightWatcher tables."""
    rows = shared_csv("setol_tables", TABLES[model])
    delta = (rows["xmin"] - rows["detX_val"]) / (rows["norm"] / rows["num_evals"])
    kind = rows["longname"].str.split(".").str[-1]
    return pd.DataFrame(
        {"model": model, "layer": rows["longname"], "kind": kind, "alpha": rows["alpha"], "delta_lambda_min": delta}
    )


def table(cache: Path) -> pd.DataFrame:
    resnets = read_csv("resnets")
    resnets = resnets.assign(
        model=resnets["net"].map({net: model for model, net in NETS.items()}),
        kind=resnets["layer"].str.extract(r"^(layer\d)")[0].fillna("other"),
    )
    parts = [published_table(model) for model in TABLES]
    return pd.concat([*parts, resnets[parts[0].columns]], ignore_index=True)


def line_of(rows: pd.DataFrame) -> tuple[float, float, float, float]:
    """Slope with its standard error, value at alpha = 2 and r² over layers with alpha inside RANGE."""
    x, y = rows["alpha"] - 2, rows["delta_lambda_min"]
    (slope, at_two), covariance = np.polyfit(x, y, 1, cov=True)
    return slope, covariance[0, 0] ** 0.5, at_two, np.corrcoef(x, y)[0, 1] ** 2


def within_kinds(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each kind of layer with MIN_LAYERS layers in RANGE: their number, rank correlation, value of a line at 2."""
    found = []
    for kind, part in inside(rows, RANGE).groupby("kind"):
        if len(part) >= MIN_LAYERS:
            rank_correlation = part["alpha"].rank().corr(part["delta_lambda_min"].rank())
            _, _, at_two, _ = line_of(part)
            found.append({"kind": kind, "n": len(part), "rank_correlation": rank_correlation, "at_two": at_two})
    return pd.DataFrame(found)


def inside(rows: pd.DataFrame, bounds: tuple[float, float]) -> pd.DataFrame:
    return rows[(rows["alpha"] > bounds[0]) & (rows["alpha"] < bounds[1])]


def draw(frame: pd.DataFrame):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(10, 7))
    for axis, (model, rows) in zip(axes.flat, frame.groupby("model", sort=False), strict=True):
        for position, (kind, part) in enumerate(rows.groupby("kind")):
            axis.plot(part["alpha"], part["delta_lambda_min"], "o", ms=3.5, alpha=0.7, color=f"C{position}", label=kind)
        slope, error, at_two, r2 = line_of(inside(rows, RANGE))
        ends = np.array(RANGE)
        axis.plot(ends, at_two + slope * (ends - 2), "k--", lw=1)
        axis.axvline(2, color="r", lw=1)
        axis.axhline(0, color="r", lw=1)
        axis.set(xlabel="alpha", ylabel="delta lambda_min (unit mean)", xlim=(1.4, 9), ylim=(-0.5, 12.5))
        axis.set_title(
            f"{model}, line of 2 < alpha < 6: slope {slope:+.2f} ± {error:.2f},\n"
            f"{at_two:.1f} at alpha = 2, r² = {r2:.2f}"
        )
        hidden = len(rows) - len(rows[(rows["delta_lambda_min"] < 12.5) & (rows["alpha"] < 9)])
        if hidden:
            axis.text(0.98, 0.02, f"{hidden} layers outside", transform=axis.transAxes, ha="right", fontsize=7)
        axis.legend(fontsize=6.5, ncols=3, loc="upper right")
    return figure


def claims(frame: pd.DataFrame) -> list[Claim]:
    found = []
    for model, rows in frame.groupby("model", sort=False):
        slope, error, at_two, r2 = line_of(inside(rows, RANGE))
        same = np.sign(rows["alpha"] - 2) == np.sign(rows["delta_lambda_min"])
        kinds = within_kinds(rows)
        near, far = inside(rows, NEAR)["delta_lambda_min"], inside(rows, FAR)["delta_lambda_min"]
        found += [
            Claim(
                f"{model}: delta is positive above alpha = 2 and negative below in {same.sum()} of {len(rows)} layers",
                bool(same.all()),
            ),
            Claim(
                f"{model}: delta rises with alpha, slope {slope:+.2f} ± {error:.2f} to one of alpha, r² = {r2:.3f}, "
                f"{len(inside(rows, RANGE))} layers with alpha in {RANGE}",
                slope > 2 * error,
            ),
            Claim(
                f"{model}: it goes to 0 at 2: the line says {at_two:.2f}; median {near.median():.2f} for alpha in "
                f"{NEAR} ({len(near)} layers), {far.median():.2f} in {FAR} ({len(far)})",
                len(near) > 1 and near.median() < far.median() / 2,
            ),
        ]
        if len(kinds):
            rising = kinds["rank_correlation"] > 0
            found += [
                Claim(
                    f"{model}: within a kind of layer delta rises: rank correlation above 0 in {rising.sum()} "
                    f"of {len(kinds)} kinds, median {kinds['rank_correlation'].median():.2f}",
                    bool(rising.all()),
                ),
                Claim(
                    f"{model}: and goes to 0 at 2: lines of the kinds say {kinds['at_two'].min():.1f} to "
                    f"{kinds['at_two'].max():.1f} there, median {kinds['at_two'].median():.1f}",
                    abs(kinds["at_two"].median()) < 0.3,
                ),
            ]
    return found


PLOTS = {"figure22_23": Plot(table, draw, claims)}

if __name__ == "__main__":
    run(__doc__, PLOTS)
