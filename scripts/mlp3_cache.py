"""What the figure scripts share: nets of the cache, their readings, means over seeds, CSV, picture and verdict.

Every figure script has a dictionary `PLOTS` of the figures it makes, each with three functions: `table(cache)` (the
numbers), `draw(frame)` (the picture, from the CSV as it stands on disk) and `claims(frame)` (what the paper says of
it, as sentences that hold or do not). The verdict follows: all hold, reproduced; none, not; else partly.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import setol_ww as ww

# As in mlp3.py, which is not imported here: it brings torch and numba, and no figure but the truncated ones needs them.
CACHE = Path(os.environ.get("SETOL_CACHE", Path.home() / ".cache" / "setol_ww")) / "mlp3"
FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures"
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
LR_SCALES = (1, 2, 4, 8, 16, 32)
SEEDS = range(5)
LAYERS = ("FC1", "FC2")
KNOBS = {"batch_size": BATCH_SIZES, "learning_rate": LR_SCALES}
KNOB_LABELS = {"batch_size": "batch size", "learning_rate": "learning rate / 0.01"}
# What our columns call a knob and what the published CSVs call it.
PUBLISHED_KNOB = {"batch_size": "batch_size", "learning_rate": "learning_rate_x0.01"}
EPS_FLOAT32 = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Net:
    """One trained net: what was varied, its last errors, its curves by epoch."""

    path: Path
    meta: dict
    history: dict[str, np.ndarray]
    shapes: dict[str, tuple[int, int]]

    def spectrum(self, layer: str, epoch: int = -1) -> ww.Spectrum:
        """Spectrum of a layer after an epoch of `history` (by index): float64 eigenvalues of float32 weights."""
        raw = self.history[f"{layer.lower()}_spectrum"][epoch]
        return ww.Spectrum.from_eigenvalues(raw, self.shapes[layer], eps=EPS_FLOAT32)


def net_name(knob: str, value: float, seed: int, train: str = "all") -> str:
    """Name of the files of a net, as `mlp3.Recipe.name` makes it."""
    rate, size = (value, 32) if knob == "learning_rate" else (1, value)
    return f"mlp3{'' if train == 'all' else f'_{train}'}_lr{rate:g}_bs{size}_seed{seed}"


def nets(
    knob: str, train: str = "all", *, cache: Path = CACHE, values: Sequence[float] = ()
) -> Iterator[tuple[dict, Net]]:
    """The nets of one experiment that are there, each with its `knob`, `value` and `seed`."""
    for value in values or KNOBS[knob]:
        for seed in SEEDS:
            path = cache / f"{net_name(knob, value, seed, train)}.npz"
            if path.exists():
                yield {"knob": knob, "value": value, "seed": seed}, read_net(path)


def read_net(path: Path) -> Net:
    """The curves and last errors of a net; its weights stay on disk."""
    with np.load(path) as kept:
        history = {key.removeprefix("history."): kept[key] for key in kept.files if key.startswith("history.")}
        shapes = {layer: kept[f"{layer.lower()}.weight"].shape for layer in LAYERS}
        return Net(path, json.loads(str(kept["meta"])), history, shapes)


def reading(spectrum: ww.Spectrum) -> dict[str, float]:
    """alpha with its standard error, both starts of the tail (unit mean), their difference, both ranks."""
    tail, cut = ww.fit_tail(spectrum), ww.erg_cut(spectrum)
    return {
        "alpha": tail.alpha,
        "alpha_sigma": tail.sigma,
        "delta_lambda_min": tail.lambda_min - cut.lambda_min,
        "pl_lambda_min": tail.lambda_min,
        "erg_lambda_min": cut.lambda_min,
        "pl_rank": tail.rank,
        "erg_rank": cut.rank,
    }


def trajectory(net: Net, layer: str, first: int) -> pd.DataFrame:
    """alpha and rank of the tail of a layer and both errors after each epoch from `first` on.

    The training error is the running one: the share of wrong answers as they came up during the epoch.
    """
    epochs = net.history["epoch"]
    rows = range(int(np.searchsorted(epochs, first)), len(epochs))
    tails = [ww.fit_tail(net.spectrum(layer, row)) for row in rows]
    return pd.DataFrame(
        {
            "epoch": epochs[rows.start :],
            "alpha": [tail.alpha for tail in tails],
            "pl_rank": [tail.rank for tail in tails],
            "train_error": net.history["running_error"][rows.start :],
            "test_error": net.history["test_error"][rows.start :],
        }
    )


def binned(frame: pd.DataFrame, width: float) -> pd.DataFrame:
    """Mean errors of one trajectory in bins of alpha; `epochs` counts what went into a bin."""
    middle = (np.floor(frame["alpha"] / width) + 0.5) * width
    groups = frame.groupby(middle.round(6).rename("alpha"))
    means = groups[["train_error", "test_error"]].mean()
    return means.assign(epochs=groups.size(), last_epoch=groups["epoch"].max()).reset_index()


def seeds_text(rows: pd.DataFrame) -> str:
    """`mean ± sd over 5 seeds`, from a column n."""
    fewest, most = rows["n"].min(), rows["n"].max()
    return f"mean ± sd over {fewest if fewest == most else f'{fewest} to {most}'} seeds"


def over_seeds(frame: pd.DataFrame, by: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """n, mean and standard deviation (n - 1) of `columns` for each setting."""
    groups = frame.groupby(list(by), sort=False)
    parts = [groups[columns[0]].size().rename("n")]
    for column in columns:
        parts += [groups[column].mean().rename(f"{column}_mean"), groups[column].std().rename(f"{column}_sd")]
    return pd.concat(parts, axis=1).reset_index()


def mean_sd(values, digits: int = 2) -> str:
    """`2.05 ± 0.03 (n = 3)`; no sd of one value."""
    values = np.asarray(values, dtype=float)
    spread = f" ± {values.std(ddof=1):.{digits}f}" if values.size > 1 else ""
    mean = f"{values.mean():.{digits}f}" if values.size else "none"
    return f"{mean}{spread} (n = {values.size})"


def shared_csv(folder: str, name: str) -> pd.DataFrame:
    """A CSV of the shared data; the script ends with a sentence where they are not at hand."""
    named = os.environ.get("SETOL_DATA")
    data = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    path = data / folder / f"{name}.csv"
    if not path.exists():
        raise SystemExit(f"{path} is not there: set SETOL_DATA, or use --redraw")
    return pd.read_csv(path)


def published(name: str) -> pd.DataFrame:
    """A CSV of the paper's numbers, its knobs called as ours."""
    frame = shared_csv("figures", name)
    if "knob" in frame:
        frame["knob"] = frame["knob"].map({theirs: ours for ours, theirs in PUBLISHED_KNOB.items()})
    return frame.drop(columns=["source", "note"], errors="ignore")


@dataclass(frozen=True)
class Claim:
    """A sentence with its numbers, and whether it holds."""

    text: str
    holds: bool


def verdict(claims: Sequence[Claim]) -> str:
    """`reproduced` when every claim holds, `not` when none does, else `partly`."""
    held = sum(claim.holds for claim in claims)
    return "reproduced" if held == len(claims) else "partly" if held else "not"


def within(ours, ours_sd, theirs, theirs_sd, *, reading_error: float, sds: float = 2) -> np.ndarray:
    """Where two means differ by no more than `sds` combined standard deviations and the error of reading a plot."""
    return np.abs(ours - theirs) <= sds * np.hypot(ours_sd, theirs_sd) + reading_error


def write_csv(frame: pd.DataFrame, stem: str) -> Path:
    """`docs/figures/STEM.csv`, floats to 9 digits."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    path = FIGURES / f"{stem}.csv"
    frame.to_csv(path, index=False, float_format="%.9g", lineterminator="\n")
    return path


def read_csv(stem: str) -> pd.DataFrame:
    """The committed numbers of a figure."""
    return pd.read_csv(FIGURES / f"{stem}.csv")


def style() -> None:
    """One look for all pictures, drawn without a display."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update(
        {
            "figure.constrained_layout.use": True,
            "figure.dpi": 110,
            "font.size": 9,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            "legend.fontsize": 8,
            "svg.hashsalt": "setol",
        }
    )


def colour(position: float):
    """Colours of an ordered knob, from 0 to 1, readable in grey."""
    from matplotlib import colormaps

    return colormaps["viridis"](0.9 * position)


def setting_colour(knob: str, value: float):
    """The colour of one setting in every figure: yellow for the coldest nets, violet for the hottest."""
    values = KNOBS[knob]
    at = values.index(value) / (len(values) - 1)
    return colour(at if knob == "batch_size" else 1 - at)


@dataclass(frozen=True)
class Plot:
    """How one figure is made and what it is to show."""

    table: Callable[[Path], pd.DataFrame]
    draw: Callable[[pd.DataFrame], object]
    claims: Callable[[pd.DataFrame], Sequence[Claim]]


def run(doc: str, plots: dict[str, Plot]) -> None:
    """The command line of a figure script: of each of its figures the CSV, the picture from the CSV, the verdict."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"nets of mlp3.py, default {CACHE}")
    parser.add_argument("--redraw", action="store_true", help="picture and verdict from the CSV that is there")
    args = parser.parse_args()
    style()
    for stem, plot in plots.items():
        if not args.redraw:
            write_csv(plot.table(args.cache), stem)
        frame = read_csv(stem)
        plot.draw(frame).savefig(FIGURES / f"{stem}.png", metadata={"Software": None})
        found = plot.claims(frame)
        for claim in found:
            print(f"  {'holds' if claim.holds else 'FAILS'}: {claim.text}")
        print(f"{stem}: {verdict(found)} ({sum(c.holds for c in found)} of {len(found)} claims)")
