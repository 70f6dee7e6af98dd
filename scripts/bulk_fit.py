"""Our Marchenko-Pastur fit beside WeightWatcher's, on noise with planted spikes.

Claim      Seven spikes from 1.6 times the BBP threshold up, in geometric steps, that carry 10 to 80 % of the norm: we
           find seven, sigma to half a per cent and the edge within 4 %, square and rectangular; WeightWatcher finds
           five to seven, and on square layers its edge is 1.1 to 3.6 times too high, the more so the more norm spikes
           carry. Noise has a spike at the stated level of .01.
Command    python scripts/bulk_fit.py             fits and pictures
           python scripts/bulk_fit.py --picture   the pictures from the tables that are there
Run time   3 minutes on one core, nearly all of it WeightWatcher's fits and the largest matrices.
Output     docs/figures/bulk_fit/spikes.csv (a row a fit), level.csv (false positives, and the deviation in the count of
           eigenvalues that `setol_ww.bulk.CRITICAL_COUNT` was read off), bulk_fit.png
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

mpl.use("Agg")

import matplotlib.pyplot as plt
from weightwatcher.weightwatcher import WeightWatcher

from fixtures.bulk import graded_noise
from setol_ww import Spectrum, fit_bulk
from setol_ww.spectrum.bulk import CRITICAL_COUNT
from spec_tests.quietly import quiet

FOLDER = Path(__file__).parents[1] / "docs" / "figures" / "bulk_fit"
SHAPES = ((300, 300), (1000, 1000), (600, 300), (1200, 400))
SHARES = (0.1, 0.3, 0.5, 0.8)
SPIKES, SEEDS = 7, range(3)
LEVEL_SHAPES = {(10, 10): 4000, (20, 20): 4000, (50, 50): 4000, (100, 100): 2000, (300, 300): 400, (1000, 1000): 60}
LEVEL_SHAPES |= {(100, 10): 4000, (200, 50): 4000, (800, 100): 2000, (600, 300): 400, (2000, 500): 100}


def theirs(watcher: WeightWatcher, spectrum: Spectrum) -> tuple[int, float, float]:
    """WeightWatcher's number of spikes, sigma (unit mean) and upper edge (raw)."""
    evals = spectrum.raw
    with quiet():
        fit = watcher.mp_fit(
            evals, spectrum.N, spectrum.M, 1, "", 0, 0, False, False, "", "red", 1.0, True, evals, randomize=False
        )
    return int(fit[0]), float(fit[1]), float(fit[4])


def spike_table() -> pd.DataFrame:
    """One row a fit."""
    with quiet():
        watcher = WeightWatcher()
    rows = []
    for shape in SHAPES:
        for share in SHARES:
            for seed in SEEDS:
                W, truth = graded_noise(*shape, SPIKES, share, seed)
                spectrum = Spectrum.from_matrix(W)
                carried = float(spectrum.raw[-SPIKES:].sum() / spectrum.raw.sum())
                fit, (number, sigma, edge) = fit_bulk(spectrum), theirs(watcher, spectrum)
                unit = float(np.sqrt(shape[0] / spectrum.raw.mean()))
                rows.append(
                    {
                        "N": shape[0],
                        "M": shape[1],
                        "norm_in_spikes": round(carried, 3),
                        "seed": seed,
                        "planted": SPIKES,
                        "bulk_spikes": fit.spikes,
                        "mp_num_spikes": number,
                        "sigma_over_true": round(fit.sigma_raw, 4),
                        "mp_sigma_over_true": round(sigma / unit, 4),
                        "edge_over_true": round(float(fit.lambda_plus * spectrum.raw.mean() / truth.lambda_plus), 4),
                        "mp_edge_over_true": round(edge / truth.lambda_plus, 4),
                        "bulk_ks": round(fit.ks, 4),
                    }
                )
                print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def level_table() -> pd.DataFrame:
    """False positives of the edge test at .01 on Gaussian noise, and quantiles of the deviation in the count."""
    rows = []
    for (N, M), draws in LEVEL_SHAPES.items():
        rng = np.random.default_rng(N * M)
        fits = [fit_bulk(Spectrum.from_matrix(rng.normal(size=(N, M)))) for _ in range(draws)]
        spiked = sum(fit.spikes > 0 for fit in fits)
        count = np.array([fit.ks * fit.M for fit in fits])
        rows.append(
            {
                "N": N,
                "M": M,
                "draws": draws,
                "with_a_spike": spiked,
                "rate": spiked / draws,
                "two_standard_errors": round(2 * math.sqrt(0.01 * 0.99 / draws), 4),
                "mean_sigma": round(float(np.mean([fit.sigma_raw for fit in fits])), 4),
                "count_deviation_median": round(float(np.median(count)), 2),
                "count_deviation_99": round(float(np.quantile(count, 0.99)), 2),
                "critical": round(CRITICAL_COUNT[0] + CRITICAL_COUNT[1] * math.log(M), 2),
                "called_no_bulk": sum(not fit.is_marchenko_pastur for fit in fits) / draws,
            }
        )
        print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def picture(table: pd.DataFrame) -> None:
    """Spikes found and edge over the true one, against the share of the norm in spikes."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for (N, M), rows in table.groupby(["N", "M"]):
        mean = rows.assign(share=rows["norm_in_spikes"].round(1)).groupby("share").mean(numeric_only=True)
        for axis, ours, ww in (
            (axes[0], "bulk_spikes", "mp_num_spikes"),
            (axes[1], "edge_over_true", "mp_edge_over_true"),
        ):
            (line,) = axis.plot(mean["norm_in_spikes"], mean[ours], "o-", label=f"{N} x {M}, ours")
            axis.plot(
                mean["norm_in_spikes"], mean[ww], "x--", color=line.get_color(), label=f"{N} x {M}, WeightWatcher"
            )
    axes[0].axhline(SPIKES, color="grey", lw=0.7)
    axes[1].axhline(1, color="grey", lw=0.7)
    axes[0].set(xlabel="share of the norm in spikes", ylabel=f"spikes found of {SPIKES}", ylim=(0, SPIKES + 2))
    axes[1].set(xlabel="share of the norm in spikes", ylabel="upper edge / true edge")
    axes[1].legend(fontsize=7)
    figure.savefig(FOLDER / "bulk_fit.png", dpi=110)


def main() -> None:
    """Tables first, the picture from the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", action="store_true", help="only the picture, from the table that is there")
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not parser.parse_args().picture:
        spike_table().to_csv(FOLDER / "spikes.csv", index=False)
        level_table().to_csv(FOLDER / "level.csv", index=False)
    picture(pd.read_csv(FOLDER / "spikes.csv"))


if __name__ == "__main__":
    main()
