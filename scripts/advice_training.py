"""Does it help to set rates and weight decay by alpha? MLP3 on MNIST, TempBalance and AlphaDecay against plain SGD.

Claim      At equal compute, five seeds and the same grid for everybody, TempBalance's rates and AlphaDecay's weight
           decay leave a smaller test error than plain SGD with its best rate and its best uniform weight decay.
Command    python scripts/advice_training.py     (resumable; --redraw: picture and verdict from the CSV that is there)
Run time   6 s a run of 12 epochs on one core, 105 runs: a quarter of an hour
Output     docs/figures/advice/training.csv (each run), training.png

Recipe: that of `mlp3.py` at batch size 32, 12 epochs, the rate falling along a cosine to 0, no momentum. 10 % of the
training images are held out; settings are chosen by the mean error on these, the test images judge. Before every epoch
the median-Hill alphas of the layers are read and rate or decay of each layer set by them.

As published both methods leave out the first and the last layer and those of fewer than 50 eigenvalues, which leaves
one layer of three: nothing then differs from plain SGD. Here FC1 is kept in, FC3 (10 eigenvalues) stays at the base
value. `reversed` gives the largest alpha the smallest factor: a control in which alpha says the opposite.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlp3
import numpy as np
import pandas as pd
from mlp3_cache import Claim, Plot, read_csv, run
from mlp3_kernel import epoch as sgd_epoch
from mlp3_kernel import sparse_rows

from setol_ww.advice.maps import linear
from setol_ww.spectrum.starts import median_hill

logger = logging.getLogger("advice_training")

EPOCHS, BATCH, SEEDS = 12, 32, range(5)
RATES = (0.04, 0.08, 0.16, 0.32, 0.64)
DECAYS = (1e-4, 1e-3)
# Low and high factor, of the rate and of the decay, as the authors set them.
FACTORS = {"tempbalance": (0.5, 1.5), "alphadecay": (0.6666, 3.0)}
RATE_METHODS = ("plain", "tempbalance", "tempbalance reversed")
DECAY_METHODS = ("uniform decay", "alphadecay", "alphadecay reversed")
# FC3 has 10 eigenvalues: too few for an alpha.
JUDGED = 2
LARGEST = 1e6


@dataclass(frozen=True)
class Run:
    """What is varied."""

    method: str
    rate: float
    decay: float
    seed: int

    @property
    def name(self) -> str:
        """Of the file with its weights: plain nets are kept, for the scripts that prune and truncate."""
        return f"{self.method}_rate{self.rate:g}_seed{self.seed}"

    @property
    def factors(self) -> tuple[float, float]:
        """Of the smallest and of the largest alpha."""
        low, high = FACTORS.get(self.method.removesuffix(" reversed"), (1.0, 1.0))
        return (high, low) if self.method.endswith("reversed") else (low, high)


def layer_factors(alphas: list[float], low: float, high: float) -> np.ndarray:
    """A factor of each layer; 1 for the last."""
    return np.append(linear(np.array(alphas), low, high), np.ones(len(mlp3.HIDDEN) - JUDGED))


def alphas_of(net) -> list[float]:
    """Median-Hill alpha of FC1 and FC2."""
    return [median_hill(mlp3.spectrum(weight)) for weight, _ in net[:JUDGED]]


def train(data: mlp3.Data, rows: tuple, run: Run, epochs: int = EPOCHS) -> tuple[list, dict]:
    """One run: its net, and its settings and errors."""
    import torch

    rng = torch.Generator().manual_seed(run.seed)
    net = mlp3.initial_net(rng, data.x.shape[1])
    flat = [array for layer in net for array in layer]
    order = torch.randperm(len(data.x), generator=rng).numpy()
    held_out, kept = np.split(order, [int(mlp3.HELD_OUT * len(order))])
    nothing = np.empty((0, mlp3.HIDDEN[0]), np.float32)
    for number in range(epochs):
        factors = layer_factors(alphas_of(net), *run.factors)
        rate = run.rate * (1 + np.cos(np.pi * number / epochs)) / 2
        of_rate, of_decay = (np.ones(3), factors) if run.method in DECAY_METHODS else (factors, np.ones(3))
        shuffled = kept[torch.randperm(len(kept), generator=rng).numpy()]
        loss, running = sgd_epoch(*rows, nothing, data.y, shuffled, BATCH, rate * of_rate, run.decay * of_decay, *flat)
        # fastmath knows no NaN: a net that has diverged is seen in its weights.
        if not all(np.abs(array).max() < LARGEST for array in flat):
            break
    diverged = number + 1 < epochs
    alphas = dict(zip(("alpha_FC1", "alpha_FC2"), [np.nan] * JUDGED if diverged else alphas_of(net), strict=True))
    return net, {
        **{"method": run.method, "rate": run.rate, "decay": run.decay, "seed": run.seed, "epochs": epochs},
        **{"train_loss": loss, "running_error": running, **alphas},
        "diverged": diverged,
        "factor_FC1": factors[0],
        "factor_FC2": factors[1],
        "held_out_error": mlp3.error_rate(net, data.x[held_out], data.y[held_out]),
        "test_error": mlp3.error_rate(net, data.x_test, data.y_test),
    }


def chosen(frame: pd.DataFrame, method: str) -> pd.DataFrame:
    """The runs of a method at the setting with the least mean held-out error."""
    part = frame[frame["method"] == method]
    means = part.groupby(["rate", "decay"])["held_out_error"].mean()
    rate, decay = means.idxmin()
    return part[(part["rate"] == rate) & (part["decay"] == decay)].sort_values("seed")


def rate_runs() -> list[Run]:
    return [Run(method, rate, 0.0, seed) for seed in SEEDS for rate in RATES for method in RATE_METHODS]


def decay_runs(rate: float) -> list[Run]:
    return [Run(method, rate, decay, seed) for seed in SEEDS for decay in DECAYS for method in DECAY_METHODS]


def completed(file: Path, runs: list[Run], data: mlp3.Data, rows: tuple) -> pd.DataFrame:
    """The table with all of `runs` in it, written as it grows."""
    done = pd.read_csv(file) if file.exists() else pd.DataFrame()
    settings = ["method", "rate", "decay", "seed"]
    there = {Run(*row) for row in done[settings].itertuples(index=False)} if len(done) else set()
    for one in runs:
        if one not in there:
            started = time.perf_counter()
            net, row = train(data, rows, one)
            if one.method == "plain":
                mlp3.write(file.with_name(f"{one.name}.npz"), mlp3.named(net), compressed=False)
            done = pd.concat([done, pd.DataFrame([row])], ignore_index=True)
            partial = file.with_suffix(".partial")
            done.to_csv(partial, index=False, float_format="%.9g", lineterminator="\n")
            partial.replace(file)
            logger.info("%s: test error %.4f, %.0f s", one, done["test_error"].iloc[-1], time.perf_counter() - started)
    return done


def table(cache: Path) -> pd.DataFrame:
    """All runs."""
    folder = folder_of(cache)
    folder.mkdir(parents=True, exist_ok=True)
    data = mlp3.load_data()
    rows = sparse_rows(data.x)
    file = folder / "training.csv"
    rates = completed(file, rate_runs(), data, rows)
    best = float(chosen(rates, "plain")["rate"].iloc[0])
    return completed(file, decay_runs(best), data, rows)


def nets_of(cache: Path) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Seed and weights of the plain nets at their best rate."""
    for setting in chosen(read_csv("advice/training"), "plain").itertuples():
        plain = Run("plain", setting.rate, 0.0, setting.seed)
        with np.load(folder_of(cache) / f"{plain.name}.npz") as kept:
            yield setting.seed, dict(kept)


def folder_of(cache: Path) -> Path:
    """Beside the nets of `mlp3.py`."""
    return cache.with_name("advice")


def draw(frame: pd.DataFrame):
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.8))
    panels = ((left, RATE_METHODS, "rate", "base rate"), (right, DECAY_METHODS, "decay", "base weight decay"))
    for axis, methods, knob, label in panels:
        for method, colour in zip(methods, ("C0", "C3", "0.6"), strict=True):
            part = frame[(frame["method"] == method) & ~frame["diverged"]]
            line = part.groupby(knob)["test_error"].agg(["mean", "std"]) * 100
            axis.errorbar(line.index, line["mean"], line["std"], fmt="o-", ms=4, capsize=2, color=colour, label=method)
        axis.set(xscale="log", xlabel=label, xticks=line.index, title="test error [%], mean ± sd over seeds")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
        axis.legend()
    whole = 100 * chosen(frame, "plain")["test_error"]
    right.axhline(whole.mean(), color="k", lw=0.8, ls=":", label="no decay")
    return figure


def gap(frame: pd.DataFrame, method: str, other: str) -> tuple[float, float, int]:
    """Test error of a method minus another's, each at its chosen setting, over common seeds: mean, se, n; in points."""
    ours, theirs = (chosen(frame, one).set_index("seed")["test_error"] for one in (method, other))
    difference = 100 * (ours - theirs).dropna()
    return difference.mean(), difference.std() / len(difference) ** 0.5, len(difference)


def claims(frame: pd.DataFrame) -> list[Claim]:
    found = []
    pairs = [
        ("tempbalance", "plain"),
        ("tempbalance", "tempbalance reversed"),
        ("alphadecay", "uniform decay"),
        ("alphadecay", "alphadecay reversed"),
        ("alphadecay", "plain"),
    ]
    for method, other in pairs:
        mean, error, count = gap(frame, method, other)
        settings = [chosen(frame, one).iloc[0] for one in (method, other)]
        told = " and ".join(f"rate {one['rate']:g}, decay {one['decay']:g}" for one in settings)
        text = f"{method} minus {other}: {mean:+.3f} ± {error:.3f} points of test error over {count} seeds ({told})"
        found.append(Claim(text, mean < -2 * error))
    return found


PLOTS = {"advice/training": Plot(table, draw, claims)}

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    run(__doc__, PLOTS)
