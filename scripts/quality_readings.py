"""What each reading of the layer quality sees: closed laws, a planted spike, ideal layers, trained nets.

Claim      The readings are different quantities. On the same spectra they disagree on order, size and sign of the
           trend with alpha; the series of Eq. 163 agrees with the exact sum while rho = x_1^2 / k is below one half,
           and loses every digit soon after.
Command    python scripts/quality_readings.py        (nets of mlp3.py first; --redraw from the CSV alone)
Run time   a minute
Output     docs/figures/quality_readings.csv (one row a layer), quality_readings.png

Every layer has about 300 eigenvalues, so that size does not enter. `radius` is the radius of convergence of the
cumulant series, by the root test on free cumulants 20 to 40 of the ERG tail at 60 digits; the series needs it to
exceed the largest argument, x_1 / k.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import mpmath
import numpy as np
import pandas as pd
from mlp3_cache import Claim, Plot, nets, run

import setol_ww as ww
from setol_ww.layer.quality import series_quality

# The checkout's own ensembles; the folder is not on the path of a script.
sys.path.append(str(Path(__file__).resolve().parents[1]))
from fixtures import ensembles, laws, matrices

SIDE = 300
READINGS = ("q2", "q2_norm", "q2_series5", "q2_paper", "q2_bs", "q2_fc", "q2_imp", "q2_lw")
COLOURS = {
    "Marchenko-Pastur": "C0",
    "spiked": "C1",
    "inverse Marchenko-Pastur": "C2",
    "Pareto": "C3",
    "ideal": "C4",
    "truncated power law": "C5",
    "FC1 trained": "k",
    "FC2 trained": "0.55",
}


def synthetic() -> list[tuple[str, float, ww.Spectrum]]:
    """(family, parameter, spectrum) of the layers with known truth."""
    made = []

    def add(family: str, parameter: float, raw: np.ndarray, rows: int = SIDE) -> None:
        made.append((family, parameter, ww.Spectrum.from_eigenvalues(raw, (max(rows, raw.size), raw.size))))

    for Q in (1, 2, 4):
        W = ensembles.gaussian_matrix(Q * SIDE, SIDE, 0)
        add("Marchenko-Pastur", Q, squares(W), Q * SIDE)
    for theta in (2.0, 5.0, 15.0):
        W, _ = matrices.signal_spike(2 * SIDE, SIDE, theta, 0)
        add("spiked", theta, squares(W), 2 * SIDE)
    for kappa in (0.1, 0.5, 1.0, 3.0):
        add("inverse Marchenko-Pastur", kappa, laws.inverse_marchenko_pastur_quantiles(SIDE, kappa))
    for mu in (1.0, 1.5, 2.0, 3.0):
        add("Pareto", mu, squares(ensembles.signed_pareto_matrix(SIDE, SIDE, mu, 0)))
    for alpha, tail, side in ((1.8, 60, 300), (2.0, 100, 300), (2.5, 100, 175)):
        add("ideal", alpha, ensembles.ideal_layer_eigenvalues(tail, side, alpha), side)
    for alpha in (1.5, 2.0, 3.0, 4.0):
        add("truncated power law", alpha, laws.truncated_power_law_quantiles(SIDE, alpha, 1.0, 100.0))
    return made


def squares(W: np.ndarray) -> np.ndarray:
    return np.linalg.svd(W, compute_uv=False) ** 2


def trained(cache: Path) -> list[tuple[str, float, ww.Spectrum]]:
    """FC1 and FC2 of every batch size, seed 0."""
    return [
        (f"{layer} trained", setting["value"], net.spectrum(layer))
        for setting, net in nets("batch_size", cache=cache)
        if setting["seed"] == 0
        for layer in ("FC1", "FC2")
    ]


def radius_of_convergence(x: np.ndarray, digits: int = 60) -> float:
    """1 / lim |kappa_n|^(1/n), the largest of |kappa_n|^(1/n) over n = 20 ... 40."""
    with mpmath.workdps(digits):
        moments = [mpmath.fsum(mpmath.mpf(value) ** n for value in x) / x.size for n in range(1, 41)]
        kappa = [power(moments, 1 - n, n) / (1 - n) for n in range(20, 41)]
        return float(1 / max(abs(value) ** (mpmath.mpf(1) / n) for n, value in zip(range(20, 41), kappa)))


def power(a: list, p: int, n: int):
    """Coefficient n of (1 + sum_k a_k x^k)^p."""
    b = [mpmath.mpf(1)]
    for m in range(1, n + 1):
        b.append(mpmath.fsum((p * k - (m - k)) * a[k - 1] * b[m - k] for k in range(1, m + 1)) / m)
    return b[n]


def table(cache: Path) -> pd.DataFrame:
    rows = []
    for family, parameter, spectrum in [*synthetic(), *trained(cache)]:
        tail, cut = ww.fit_tail(spectrum), ww.erg_cut(spectrum)
        found = dataclasses.asdict(ww.quality(spectrum, tail, cut))
        x = spectrum.unit_mean[-cut.rank :]
        rows.append(
            {
                **{"family": family, "parameter": parameter, "N": spectrum.N, "M": spectrum.M},
                **{"alpha": tail.alpha, "alpha_erg": cut.alpha, "erg_rank": cut.rank},
                **{name: found[name] for name in (*READINGS, "q2_rho", "kappa1", "kappa2")},
                "series_anywhere": series_quality(x),
                "radius": radius_of_convergence(x),
                "largest_argument": x[-1] / x.size,
            }
        )
    return pd.DataFrame(rows)


def draw(frame: pd.DataFrame):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 3, figsize=(12, 9))
    for axis, name in zip(axes.flat, READINGS, strict=False):
        for family, part in frame.groupby("family", sort=False):
            axis.plot(part["alpha"], part[name], "o-", ms=4, lw=0.8, color=COLOURS[family], label=family)
        axis.axvline(2, color="r", lw=1)
        # The alphas near 8 and 10 are fits of a power law to Marchenko-Pastur layers, which have none.
        axis.set(title=name, xlim=(1.2, 10.5), yscale="log")
    for axis in axes[-1]:
        axis.set_xlabel("alpha of the power-law tail")
    last = axes.flat[-1]
    for family, part in frame.groupby("family", sort=False):
        off = (part["series_anywhere"] / part["q2_norm"] - 1).abs().clip(lower=1e-12)
        last.loglog(part["q2_rho"], off, "o", ms=4, color=COLOURS[family])
    last.axvline(0.5, color="r", lw=1)
    last.set(title="Eq. 163 against the exact sum", xlabel="rho = x_1^2 / k", ylabel="relative error of five terms")
    axes.flat[0].legend(fontsize=6.5)
    return figure


def claims(frame: pd.DataFrame) -> list[Claim]:
    off = (frame["series_anywhere"] / frame["q2_norm"] - 1).abs()
    inside, outside = frame["q2_rho"] < 0.5, frame["q2_rho"] > 2
    converges = frame["radius"] > frame["largest_argument"]
    nets_only = frame[frame["family"] == "FC1 trained"]
    signs = {name: nets_only[name].corr(nets_only["alpha"], method="spearman") for name in READINGS}
    rising = [name for name, value in signs.items() if value < -0.9]
    falling = [name for name, value in signs.items() if value > 0.9]
    mp = frame[frame["family"] == "Marchenko-Pastur"].iloc[0]
    sharpest = frame.loc[frame["q2_norm"].idxmax()]
    return [
        Claim(
            f"below rho = 0.5 five terms are right to {off[inside].max():.0e} ({inside.sum()} layers); above 2 they "
            f"are off by {off[outside].min():.0e} to {off[outside].max():.0e} ({outside.sum()} layers)",
            bool((off[inside] < 1e-2).all() and (off[outside] > 0.05).all()),
        ),
        Claim(
            f"the series converges at its largest argument on {converges.sum()} of {len(frame)} layers; of those with "
            f"rho < 0.5 on {(converges & inside).sum()} of {inside.sum()}",
            bool(converges[inside].all() and not converges[frame["q2_rho"] > 1.2].any()),
        ),
        Claim(
            f"along FC1's training towards alpha = 2 these rise: {', '.join(rising)}; these fall: {', '.join(falling)}",
            "q2" in rising and bool(falling),
        ),
        Claim(
            f"q2_norm is {mp['q2_norm']:.2f} on a square random layer and {sharpest['q2_norm']:.3g} on "
            f"{sharpest['family']} {sharpest['parameter']:g}",
            sharpest["q2_norm"] > 10 * mp["q2_norm"],
        ),
    ]


PLOTS = {"quality_readings": Plot(table, draw, claims)}

if __name__ == "__main__":
    run(__doc__, PLOTS)
