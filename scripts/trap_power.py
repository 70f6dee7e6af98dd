"""False-positive rate and power of the trap detector beside WeightWatcher's rule.

Claim      `find_traps` reports a trap in noise at the level it is given (.01), from 50 x 50 to 4096 x 4096 and for
           Q = 1 to 8, whatever the light-tailed law of the entries; heavy-tailed and sparse entries cost what the
           table says. A planted trap is seen at 1.3 to 1.5 times the BBP threshold; WeightWatcher needs more, and its
           rate in noise falls with size far below any level.
Command    python scripts/trap_power.py            resumable: a cell that is in the table is not drawn again
           python scripts/trap_power.py --quick    few draws, into a folder of their own, to see that it runs
Run time   about 15 minutes on one core; --quick half a minute.
Output     docs/figures/trap_power/trap_power.csv, .png, .md, heavy_tails.csv

Planted: unit normal entries plus w = theta sqrt(N) in one element, or m = theta / sqrt(M) in all, theta = ratio times
(M/N)^(1/4) (theory 4.9). WeightWatcher's rule by its formula: eigenvalues of a shuffle scaled to mean 1, above
edge + sqrt(TW) with edge = (1 + Q^(-1/2))^2 and TW = Q^(-1/2) edge^(2/3) M^(-2/3), in any of five shuffles below 100
eigenvalues; --check holds the formula against `num_traps` of weightwatcher itself. Under heavy tails a mean shift of so
many thresholds is planted over entries of variance 1, and only shifts count as found. The draws contain SEED_BASE, on
which no threshold was chosen: whoever changes one takes a new base.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.linalg.lapack import dstebz
from scipy.optimize import brentq
from scipy.stats import binom, binomtest

from setol_ww.linalg.eigenvalues import gram
from setol_ww.linalg.leading import Leading
from setol_ww.linalg.shuffles import shuffle
from setol_ww.theory.laws.edge import edge, edge_pvalue
from setol_ww.traps.find import find_traps
from setol_ww.traps.search import tall_entries

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "figures" / "trap_power"
LEVEL = 0.01
# Of the draws of the table; thresholds were chosen on draws without it.
SEED_BASE = 20_261_127


def _student(degrees: float) -> Callable:
    return lambda rng, shape: rng.standard_t(degrees, size=shape)


LAWS: dict[str, Callable] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "uniform": lambda rng, shape: rng.uniform(-1, 1, size=shape),
    "Laplace": lambda rng, shape: rng.laplace(size=shape),
    "Student t5": lambda rng, shape: rng.standard_t(5, size=shape),
    "30 % nonzero": lambda rng, shape: rng.normal(size=shape) * (rng.random(shape) < 0.3),
    "10 % nonzero": lambda rng, shape: rng.normal(size=shape) * (rng.random(shape) < 0.1),
}
NOISE = {  # (N, M): draws of normal noise, of every other law
    (50, 50): (1500, 300),
    (100, 50): (500, 0),
    (200, 50): (500, 0),
    (400, 50): (500, 100),
    (100, 100): (1000, 200),
    (300, 300): (250, 60),
    (600, 300): (150, 40),
    (2400, 300): (30, 0),
    (1000, 1000): (20, 0),
    (4096, 4096): (2, 0),
}
EXACT = {(20, 20): 5000, (50, 50): 5000, (300, 300): 5000, (1000, 1000): 3000, (4096, 512): 3000, (4096, 4096): 1500}
POWER = {(50, 50): 120, (100, 100): 120, (300, 300): 40, (600, 300): 40, (1000, 1000): 4}
RATIOS = (1.1, 1.3, 1.5, 2.0)
# Laws of the entries under a planted shift of so many thresholds.
TAILS: dict[str, Callable] = {
    **{f"Student t{degrees:g}": _student(degrees) for degrees in (2.2, 3.0, 5.0)},
    "normal": LAWS["normal"],
}
TAIL_SIZE, TAIL_DRAWS, SHIFTS = (256, 256), 100, (3.0, 1.5)
CHECKED = ((50, 50), (100, 100), (300, 200))


@dataclass(frozen=True)
class Cell:
    """One row of the table before it is drawn."""

    study: str
    what: str
    N: int
    M: int
    ratio: float
    draws: int


def cells(quick: bool) -> list[Cell]:
    """The whole study, cheap cells first."""

    def some(draws: int) -> int:
        return min(draws, max(2, draws // 50)) if quick else draws

    listed = [Cell("exact noise", "normal", *size, 0.0, some(draws)) for size, draws in EXACT.items()]
    for size, (normal, other) in NOISE.items():
        for law in LAWS:
            draws = normal if law == "normal" else other
            if draws and not (quick and size[0] > 1000):
                listed.append(Cell("noise", law, *size, 0.0, some(draws)))
    for (size, draws), carrier, ratio in itertools.product(POWER.items(), ("element", "mean shift"), RATIOS):
        listed.append(Cell("planted", carrier, *size, ratio, some(draws)))
    return listed


def ww_threshold(N: int, M: int) -> float:
    """Where WeightWatcher starts counting, on eigenvalues of mean 1."""
    Q = N / M
    edge = (1 + 1 / math.sqrt(Q)) ** 2
    return edge + math.sqrt(edge ** (2 / 3) * M ** (-2 / 3) / math.sqrt(Q))


def ww_finds(W: np.ndarray, lambda_max: float, seed: int) -> bool:
    """WeightWatcher's rule on the shuffle of `find_traps`, and on four more below 100 eigenvalues."""
    N, M = W.shape
    largest = [lambda_max]
    if M < 100:
        tall = tall_entries(W)[0]
        largest += [Leading(gram(shuffle(tall, (seed, 0, more)))).largest(1)[0][0] for more in range(1, 5)]
    return max(largest) * M / float(np.sum(W**2)) > ww_threshold(N, M)


def sample(cell: Cell, rng: np.random.Generator) -> np.ndarray:
    """One matrix of a cell."""
    shape, theta = (cell.N, cell.M), cell.ratio * (cell.M / cell.N) ** 0.25
    if cell.study == "noise":
        return LAWS[cell.what](rng, shape)
    W = rng.normal(size=shape)
    if cell.what == "element":
        W[rng.integers(cell.N), rng.integers(cell.M)] += theta * math.sqrt(cell.N)
        return W
    return W + theta / math.sqrt(cell.M)


def exact_largest(N: int, M: int, rng: np.random.Generator) -> float:
    """Largest eigenvalue over the variance of the entries, normal noise, by its bidiagonal form.

    Dumitriu and Edelman 2002; for sizes of which full matrices are too dear.
    """
    diagonal = np.sqrt(rng.chisquare(N - np.arange(M)))
    below = np.sqrt(rng.chisquare(M - 1 - np.arange(M - 1)))
    squares = diagonal**2
    squares[1:] += below**2
    largest = dstebz(squares, diagonal[:-1] * below, 2, 0.0, 1.0, M, M, 0.0, "E")[1][0]
    return largest / (squares.sum() / (N * M))


def critical(N: int, M: int) -> float:
    """Where the p-value of normal noise is LEVEL."""
    end = edge(N, M)
    return brentq(lambda value: edge_pvalue(value, N, M) - LEVEL, end, 3 * end)


def draw(cell: Cell) -> dict:
    """All draws of a cell, ours and WeightWatcher's answer."""
    ours = theirs = several = 0
    bound = critical(cell.N, cell.M)
    for number in range(cell.draws):
        rng = np.random.default_rng([SEED_BASE, number, cell.N, cell.M, round(100 * cell.ratio), *cell.what.encode()])
        if cell.study == "exact noise":
            ours += exact_largest(cell.N, cell.M, rng) >= bound
            continue
        W = sample(cell, rng)
        report = find_traps(W, seed=number, level=LEVEL)
        ours += report.count > 0
        several += report.count > 1
        theirs += ww_finds(W, report.lambda_max, number)
    unknown = cell.study == "exact noise"
    return {**asdict(cell), "ours": ours, "several": several, "weightwatcher": math.nan if unknown else theirs}


def under_a_tail(law: str, draws: int) -> dict[str, object]:
    """Shares of draws in which a planted shift is found, and what is found without one."""
    (N, M), found = TAIL_SIZE, Counter[str]()
    for number in range(draws):
        rng = np.random.default_rng([SEED_BASE, number, *law.encode()])
        W = TAILS[law](rng, TAIL_SIZE)
        W /= W.std()
        for shift in (*SHIFTS, 0.0):
            report = find_traps(W + shift * (M / N) ** 0.25 / math.sqrt(M), seed=number, level=LEVEL)
            found[f"shift of {shift:g}"] += any(trap.carrier == "mean shift" for trap in report.traps)
        found["any trap without"] += report.count > 0
        found["no edge"] += math.isnan(report.edge)
    names = (*(f"shift of {shift:g}" for shift in (*SHIFTS, 0.0)), "any trap without", "no edge")
    return {"entries": law, "draws": draws, **{name: found[name] / draws for name in names}}


def check_formula(folder: Path) -> None:
    """WeightWatcher's own `num_traps` on its own shuffle beside the formula on the same shuffle."""
    import setol_ww as ww

    lines = []
    for (N, M), ratio, seed in itertools.product(CHECKED, (0.0, 1.3, 1.6, 2.0), range(2)):
        W = sample(Cell("planted", "element", N, M, ratio, 1), np.random.default_rng([seed, N, round(10 * ratio)]))
        row = ww.analyze(W, randomize=True, engine="reference", seed=seed, progress=False).iloc[0]
        by_formula = row["max_rand_eval"] * M / float(np.sum(W**2)) > ww_threshold(N, M)
        lines.append((N, M, ratio, seed, int(row["num_traps"]), int(by_formula), row["rand_sigma_mp"]))
    table = pd.DataFrame(lines, columns=["N", "M", "ratio", "seed", "num_traps", "formula", "rand_sigma_mp"])
    table.to_csv(folder / "weightwatcher_formula.csv", index=False)
    agree = int(((table["num_traps"] > 0) == (table["formula"] > 0)).sum())
    print(f"weightwatcher and the formula agree in {agree} of {len(table)} matrices")


def interval(found: int, draws: int) -> tuple[float, float]:
    """95 % confidence interval of a rate (Wilson)."""
    between = binomtest(int(found), int(draws)).proportion_ci(method="wilson")
    return between.low, between.high


def summary(table: pd.DataFrame, tails: pd.DataFrame, checked: pd.DataFrame | None) -> str:
    """The table in words."""
    lines = ["# False-positive rate and power of `find_traps`", "", "Made by `python scripts/trap_power.py`.", ""]
    lines += [f"Level {LEVEL}. `within` says whether so many have a chance of 2.5 % or more on either side.", ""]
    lines += ["| noise | N x M | draws | reported | rate | 95 % interval | within | WeightWatcher's rate |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for row in table[table["study"] != "planted"].itertuples():
        low, high = interval(row.ours, row.draws)
        fits = binom.cdf(row.ours, row.draws, LEVEL) >= 0.025 and binom.sf(row.ours - 1, row.draws, LEVEL) >= 0.025
        theirs = "" if math.isnan(row.weightwatcher) else f"{row.weightwatcher / row.draws:.4f}"
        name = f"{row.what}, bidiagonal form" if row.study == "exact noise" else row.what
        lines.append(
            f"| {name} | {row.N} x {row.M} | {row.draws} | {row.ours} | {row.ours / row.draws:.4f} | "
            f"{low:.4f} to {high:.4f} | {'yes' if fits else 'no'} | {theirs} |"
        )
    lines += ["", "Power: share of draws in which the planted trap is reported, ours / WeightWatcher's.", ""]
    lines += ["| planted | N x M | draws | " + " | ".join(f"{ratio} x threshold" for ratio in RATIOS) + " |"]
    lines += ["|---|---|---|" + "---|" * len(RATIOS)]
    planted = table[table["study"] == "planted"]
    for (carrier, N, M), rows in planted.groupby(["what", "N", "M"]):
        by_ratio = {
            row.ratio: f"{row.ours / row.draws:.2f} / {row.weightwatcher / row.draws:.2f}" for row in rows.itertuples()
        }
        shown = " | ".join(by_ratio.get(ratio, "") for ratio in RATIOS)
        lines.append(f"| {carrier} | {N} x {M} | {rows['draws'].iloc[0]} | {shown} |")
    twice = planted["several"].sum() / max(1, planted["draws"].sum())
    lines += [
        "",
        f"More than one trap was reported in {100 * twice:.2f} % of the {planted['draws'].sum()} planted draws.",
    ]
    lines += [
        "",
        "Under heavy tails, 256 x 256, entries of variance 1 and a mean shift of so many thresholds (`shift of 0`: "
        "none planted); `no edge`: the cumulants' series has no domain.",
        "",
        f"| {' | '.join(tails.columns)} |",
        "|---" * len(tails.columns) + "|",
        *(f"| {' | '.join(map(_told, row))} |" for row in tails.itertuples(index=False, name=None)),
    ]
    if checked is not None:
        agree = int(((checked["num_traps"] > 0) == (checked["formula"] > 0)).sum())
        kinder = int(((checked["num_traps"] == 0) & (checked["formula"] > 0)).sum())
        lines += [
            "",
            f"WeightWatcher's answer is taken from its formula; on {len(checked)} matrices analysed by weightwatcher "
            f"itself the two agree in {agree} (weightwatcher_formula.csv; `num_traps` counts one trap up to "
            f"{checked['num_traps'].max()} times below 100 eigenvalues). In {kinder} of the "
            f"{len(checked) - agree} others weightwatcher misses what the formula finds, because it fits a sigma of "
            f"up to {checked['rand_sigma_mp'].max():.3f} to noise of 1: the formula is kind to it.",
        ]
    return "\n".join(lines) + "\n"


def _told(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def picture(table: pd.DataFrame, path: Path) -> None:
    """False-positive rates on the left, power on the right."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.2), constrained_layout=True)
    noise = table[table["study"] == "noise"]
    sizes = list(dict.fromkeys(zip(noise["N"], noise["M"])))
    for offset, law in enumerate(LAWS):
        rows = noise[noise["what"] == law]
        x = np.array([sizes.index(size) for size in zip(rows["N"], rows["M"])]) + 0.11 * (offset - 2.5)
        rate = (rows["ours"] / rows["draws"]).to_numpy()
        bounds = np.array([interval(*pair) for pair in zip(rows["ours"], rows["draws"])])
        errors = np.maximum(0, np.abs(bounds - rate[:, None])).T
        left.errorbar(x, rate, yerr=errors, fmt="o", color=f"C{offset}", ms=4, capsize=2, lw=1, label=law)
    theirs = noise[noise["what"] == "normal"]
    left.plot(range(len(sizes)), theirs["weightwatcher"] / theirs["draws"], "kx", ms=7, label="WeightWatcher, normal")
    left.axhline(LEVEL, color="0.4", lw=1, ls="--")
    left.text(len(sizes) - 0.5, LEVEL, " level", va="bottom", ha="right", color="0.4", fontsize=9)
    left.set(ylabel="share of noise matrices with a trap", title="False positives (95 % intervals)", yscale="symlog")
    left.set_yscale("symlog", linthresh=0.01)
    left.set_yticks([0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3], ["0", ".005", ".01", ".02", ".05", ".1", ".3"])
    left.set_ylim(-0.0008, 0.5)
    left.set_xticks(range(len(sizes)), [f"{N}\nx {M}" for N, M in sizes], fontsize=8)
    left.legend(fontsize=8, loc="upper left", ncol=2)
    planted = table[(table["study"] == "planted") & (table["what"] == "element")]
    for color, ((N, M), rows) in enumerate(planted.groupby(["N", "M"])):
        right.plot(rows["ratio"], rows["ours"] / rows["draws"], "o-", color=f"C{color}", label=f"{N} x {M}")
        right.plot(rows["ratio"], rows["weightwatcher"] / rows["draws"], "x--", color=f"C{color}", alpha=0.7)
    right.plot([], [], "o-", color="0.4", label="find_traps, level .01")
    right.plot([], [], "x--", color="0.4", label="WeightWatcher's rule")
    right.set(
        xlabel=r"strength of one planted element, $\theta\,/\,q^{1/4}$",
        ylabel="share found",
        title="Power (1 is the BBP threshold)",
        ylim=(-0.03, 1.03),
    )
    right.legend(fontsize=8, loc="lower right")
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few draws into the folder trap_power_quick")
    parser.add_argument("--check", action="store_true", help="hold the formula against weightwatcher (a minute)")
    parser.add_argument("--out", type=Path, default=None, help=f"default {FOLDER}")
    args = parser.parse_args()
    folder = args.out or (FOLDER.with_name("trap_power_quick") if args.quick else FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "trap_power.csv"
    key = ["study", "what", "N", "M", "ratio", "draws"]
    table = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=[*key, "ours", "several", "weightwatcher"])
    for cell in cells(args.quick):
        if (table[key] == pd.Series(asdict(cell))[key]).all(axis=1).any():
            continue
        drawn = draw(cell)
        table = pd.DataFrame([*table.to_dict("records"), drawn], columns=table.columns)
        partial = file.with_suffix(".partial")
        table.to_csv(partial, index=False)
        partial.replace(file)
        print(drawn, flush=True)
    tails = pd.DataFrame([under_a_tail(law, 2 if args.quick else TAIL_DRAWS) for law in TAILS])
    tails.to_csv(folder / "heavy_tails.csv", index=False)
    if args.check:
        check_formula(folder)
    checked = folder / "weightwatcher_formula.csv"
    order = {cell: place for place, cell in enumerate(cells(args.quick))}
    table["order"] = [order.get(Cell(*row), len(order)) for row in table[key].itertuples(index=False, name=None)]
    table = table.sort_values("order", kind="stable").drop(columns="order")
    picture(table, folder / "trap_power.png")
    page = summary(table, tails, pd.read_csv(checked) if checked.exists() else None)
    (folder / "trap_power.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
