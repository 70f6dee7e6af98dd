"""Figure 24: the layer quality of MLP3 against batch size and alpha, and which formula the paper plotted.

Claim      The "Percent G Mean" of Fig. 24 is `q2_paper`: eigenvalues of the power-law tail, standardised, moments
           without 1/n, K free cumulants, argument the share of the full trace. K = 2, 3, 4 and 5 are compared with
           the published means and bars by likelihood. Panels (b) and (d) as printed show the same alphas: FC1's
           quality stands there against FC2's alpha; the lower row shows it against FC1's.
Command    python scripts/figure24.py            (nets of mlp3.py first; --redraw from the CSV alone)
Run time   some seconds
Output     docs/figures/figure24.csv (one row a layer and net, every reading of the quality), figure24.png
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
from mlp3_cache import LAYERS, Claim, Plot, nets, over_seeds, published, reading, run, setting_colour

import setol_ww as ww
from setol_ww.layer.quality import figure_24

ORDERS = (2, 3, 4, 5)
# What a value read off the plot may be off: the marks of FC1 are 20 apart, those of FC2 5.
READING_ERROR = {"FC1": 0.3, "FC2": 0.5}
PANELS = (("FC1", "bs"), ("FC1", "alpha"), ("FC2", "bs"), ("FC2", "alpha"))


def readings(layer: str, spectrum: ww.Spectrum) -> dict:
    """alpha, delta and every reading of one layer."""
    tail, cut = ww.fit_tail(spectrum), ww.erg_cut(spectrum)
    found = dataclasses.asdict(ww.quality(spectrum, tail, cut))
    found.pop("q2_reason")
    orders = {f"q2_paper_K{order}": figure_24(spectrum, tail.rank, order) for order in ORDERS}
    return {"layer": layer, **reading(spectrum), **found, **orders}


def table(cache: Path) -> pd.DataFrame:
    rows = [
        {"batch_size": setting["value"], "seed": setting["seed"], **readings(layer, net.spectrum(layer))}
        for setting, net in nets("batch_size", cache=cache)
        for layer in LAYERS
    ]
    theirs = published("plot_fig24_Q2").add_prefix("published_")
    theirs = theirs.rename(columns={"published_layer": "layer", "published_batch_size": "batch_size"})
    return pd.DataFrame(rows).merge(theirs, on=["layer", "batch_size"], how="left", validate="many_to_one")


def means_of(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Means and standard deviations over seeds, the published numbers beside them."""
    theirs = ["published_Q2_mean", "published_Q2_err", "published_alpha_as_plotted", "published_alpha_err"]
    return over_seeds(frame, ["layer", "batch_size", *theirs], columns)


def log_likelihood(means: pd.DataFrame, column: str, bars_are_errors: bool) -> float:
    """Gaussian log-likelihood of the published means under ours, up to a constant that no K changes.

    The variance of a difference of means: that of theirs (their bar squared, over five seeds unless the bar is a
    standard error already), that of ours over n, and the error of reading the plot.
    """
    theirs = means["published_Q2_err"] ** 2 / (1 if bars_are_errors else 5)
    reading_error = means["layer"].map(READING_ERROR)
    variance = theirs + means[f"{column}_sd"] ** 2 / means["n"] + reading_error**2
    off = means[f"{column}_mean"] - means["published_Q2_mean"]
    return float(-0.5 * np.sum(off**2 / variance + np.log(variance)))


def draw(frame: pd.DataFrame):
    import matplotlib.pyplot as plt

    columns = ["alpha", "q2_paper_K3", "q2_paper_K2"]
    means = means_of(frame, columns)
    figure, axes = plt.subplots(2, 4, figsize=(15, 7))
    alpha_of_fc2 = means[means["layer"] == "FC2"].set_index("batch_size")
    for row, as_published in enumerate((True, False)):
        for axis, (layer, against) in zip(axes[row], PANELS, strict=True):
            part = means[means["layer"] == layer]
            source = alpha_of_fc2.loc[part["batch_size"]] if as_published else part
            for (_, ours), (_, x) in zip(part.iterrows(), source.iterrows(), strict=True):
                colour = setting_colour("batch_size", ours["batch_size"])
                at = ours["batch_size"] if against == "bs" else x["alpha_mean"]
                spread = None if against == "bs" else x["alpha_sd"]
                axis.errorbar(
                    at,
                    ours["q2_paper_K3_mean"],
                    ours["q2_paper_K3_sd"],
                    spread,
                    fmt="o",
                    color=colour,
                    capsize=2,
                    label=f"batch {ours['batch_size']:g}, n = {ours['n']:g}",
                )
                axis.plot(at, ours["q2_paper_K2_mean"], "x", color=colour)
                if against == "bs" or as_published:
                    theirs = ours["batch_size"] * 1.12 if against == "bs" else ours["published_alpha_as_plotted"]
                    axis.errorbar(
                        theirs,
                        ours["published_Q2_mean"],
                        ours["published_Q2_err"],
                        None if against == "bs" else ours["published_alpha_err"],
                        fmt="^",
                        color="0.45",
                        mfc="white",
                        ms=5,
                        capsize=2,
                        lw=0.8,
                    )
            axis.set_xscale("log" if against == "bs" else "linear", **({"base": 2} if against == "bs" else {}))
            whose = "FC2" if as_published else layer
            axis.set_xlabel("batch size" if against == "bs" else f"alpha of {whose}")
            title = "as published" if as_published else "as it should be"
            axis.set_title(f"{layer} against {'batch size' if against == 'bs' else f'alpha of {whose}'}, {title}")
            if against == "alpha":
                axis.axvline(2, color="r", lw=1)
        axes[row, 0].set_ylabel("q2_paper [%], mean ± sd over seeds")
    axes[0, 0].legend(title="● K = 3   × K = 2   △ published", fontsize=7)
    return figure


def claims(frame: pd.DataFrame) -> list[Claim]:
    columns = [f"q2_paper_K{order}" for order in ORDERS]
    means = means_of(frame, ["alpha", "q2", "q2_norm", *columns])
    found = []
    for layer in LAYERS:
        part = means[means["layer"] == layer]
        off = part["q2_paper_K3_mean"] - part["published_Q2_mean"]
        allowed = 2 * np.hypot(part["q2_paper_K3_sd"], part["published_Q2_err"]) + READING_ERROR[layer]
        worst = off.abs().idxmax()
        found.append(
            Claim(
                f"{layer} against batch size: K = 3 within 2 sd of the published mean at "
                f"{(off.abs() <= allowed).sum()} of {len(part)}, mean gap {off.abs().mean():.1f} points, "
                f"largest {off[worst]:+.1f} at batch size "
                f"{part['batch_size'][worst]:g}",
                bool((off.abs() <= allowed).all()),
            )
        )
    one, two = (means[means["layer"] == layer].set_index("batch_size") for layer in LAYERS)
    plotted = one["published_alpha_as_plotted"]
    gaps = {layer: (part["alpha_mean"] - plotted).abs().mean() for layer, part in (("FC1", one), ("FC2", two))}
    found.append(
        Claim(
            f"FC1 against alpha: the alphas printed there are FC2's: mean gap to FC2's {gaps['FC2']:.3f}, to FC1's "
            f"{gaps['FC1']:.2f}",
            gaps["FC2"] < 0.1 < gaps["FC1"],
        )
    )
    for layer, part in (("FC1", one), ("FC2", two)):
        order = part["q2_paper_K3_mean"].corr(part["alpha_mean"], method="spearman")
        found.append(
            Claim(
                f"{layer}: quality rises as its own alpha falls, rank correlation of the means {order:.2f}",
                order < -0.7,
            )
        )
    over = one.loc[1, "q2_paper_K3_mean"]
    found.append(Claim(f"FC1 at batch size 1 exceeds 100 %: {over:.0f} (published 125)", over > 100))
    for bars_are_errors, word in ((False, "standard deviations"), (True, "standard errors")):
        scores = {order: log_likelihood(means, f"q2_paper_K{order}", bars_are_errors) for order in ORDERS}
        best = max(scores, key=scores.get)
        said = ", ".join(f"K = {order} {scores[order] - scores[best]:.1f}" for order in ORDERS)
        found.append(
            Claim(f"bars read as {word} of five seeds: log-likelihood against the best, {said}: K = {best}", best == 3)
        )
    return found


PLOTS = {"figure24": Plot(table, draw, claims)}

if __name__ == "__main__":
    run(__doc__, PLOTS)
