"""Does it help to choose LoRA ranks and layers to unfreeze by spectra? Digits 5 to 9 after digits 0 to 4.

Claim      At equal parameters LoRA ranks of `ww.recommend(results, "lora-rank")` leave a smaller test error than one
           rank in every layer, and layers that `ww.recommend(results, "unfreeze")` chooses a smaller one than layers
           chosen at random and than the topmost ones.
Command    python scripts/advice_tuning.py       (--redraw from the CSV alone; a killed run goes on where it was)
Run time   ten minutes on one core
Output     docs/figures/advice/tuning.csv, tuning.png

A net of seven layers (784-128-128-128-128-128-128-10, ReLU) learns digits 0 to 4 of MNIST from 27 000 images, then,
with a new last layer, digits 5 to 9 from 1000. The last layer is always trained. SGD with momentum; each method at the
rate of three with the least mean error on 1000 held-out images, five seeds, all test images of 5 to 9.

LoRA (PEFT): a budget of one rank for the six layers. By `erg`, by `spikes`, and `erg reversed`, whose weights have the
opposite order: a control. Unfreezing: two of the five layers of 128 x 128, so that every choice has the same number of
parameters. By `snr` (Spectrum), by `edge`, and `snr reversed`, the two that it would choose last; beside them all five
and none.
"""

from __future__ import annotations

import functools
from pathlib import Path

import mlp3
import numpy as np
import pandas as pd
import torch
from advice_cache import grown
from mlp3_cache import Claim, Plot, run

import setol_ww as ww
from setol_ww.advice.budgets import ranks
from setol_ww.advice.patterns import peft_key

SIDE, BLOCKS = 128, 5
SEEDS, RANKS, CHOSEN = range(5), (4, 16), 2
RATES = {"lora": (0.01, 0.03, 0.1), "unfreeze": (0.03, 0.1, 0.3)}
LORA = ("one rank", "erg", "spikes", "erg reversed")
UNFREEZE = ("snr", "edge", "snr reversed", "random", "top", "bottom", "all", "none")
IMAGES, BATCH, EPOCHS = 1000, 32, 12
# With decay, so that the layers are what was learned and not what they were drawn as.
PRETRAINING = {"rate": 0.05, "batch": 32, "epochs": 5, "decay": 1e-3}


class Block(torch.nn.Module):
    """A layer of one size with ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(SIDE, SIDE)

    def forward(self, x):
        return torch.relu(self.fc(x))


class Net(torch.nn.Module):
    """Six layers with ReLU, the five behind the first of one size, and a last one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Linear(784, SIDE)
        self.blocks = torch.nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.head = torch.nn.Linear(SIDE, 10)
        for layer in (self.stem, *(block.fc for block in self.blocks)):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, x):
        return self.head(self.blocks(torch.relu(self.stem(x))))


def fitted(net, x, y, *, rate: float, batch: int, epochs: int, seed: int, decay: float = 0.0) -> None:
    """What of the net may move, moved, at a rate that falls as a cosine."""
    moving = [one for one in net.parameters() if one.requires_grad]
    optimiser = torch.optim.SGD(moving, lr=rate, momentum=0.9, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    rng = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=rng).split(batch):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            optimiser.step()
        schedule.step()


def error(net, x, y) -> float:
    with torch.no_grad():
        return float((net(x).argmax(1) != y).double().mean())


@functools.cache
def digits() -> dict[str, tuple]:
    """Images of 0 to 4 to learn, of 5 to 9 to tune by, to choose the rate by and to test on."""
    data = mlp3.load_data()
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    test, of_test = torch.from_numpy(data.x_test), torch.from_numpy(data.y_test)
    early, late, last = torch.nonzero(y < 5)[:27000, 0], torch.nonzero(y >= 5)[:, 0], of_test >= 5
    tuning, held_out = late[:IMAGES], late[IMAGES : 2 * IMAGES]
    return {
        "learned": (x[early], y[early]),
        "tuned": (x[tuning], y[tuning] - 5),
        "held out": (x[held_out], y[held_out] - 5),
        "test": (test[last], of_test[last] - 5),
    }


@functools.lru_cache(maxsize=1)
def pretrained(seed: int) -> tuple[dict, ww.Results]:
    """Weights after digits 0 to 4, and what their spectra are."""
    torch.manual_seed(seed)
    net = Net()
    fitted(net, *digits()["learned"], seed=seed, **PRETRAINING)
    return net.state_dict(), ww.examine(net, progress=False)


def layers(results: ww.Results, method: str, seed: int) -> list[str]:
    """The layers that may move beside the last."""
    names = [f"blocks.{number}.fc" for number in range(BLOCKS)]
    by = "edge" if method == "edge" else "snr"
    table = ww.recommend(results, "unfreeze", share=CHOSEN / BLOCKS, by=by).table().set_index("longname").loc[names]
    order = table.sort_values("snr")["unfreeze"].index.tolist() if by == "snr" else []
    found = {
        "snr": table.index[table["unfreeze"]].tolist(),
        "edge": table.index[table["unfreeze"]].tolist(),
        "snr reversed": order[:CHOSEN],
        "random": np.random.default_rng(seed).permutation(names)[:CHOSEN].tolist(),
        "top": names[-CHOSEN:],
        "bottom": names[:CHOSEN],
        "all": names,
        "none": [],
    }[method]
    assert len(found) == CHOSEN or method in ("all", "none")
    return found


def adapter(results: ww.Results, method: str, rank: int) -> dict:
    """Ranks and alphas for PEFT."""
    by = "spikes" if method == "spikes" else "erg"
    advice = ww.recommend(results, "lora-rank", rank=rank, by=by)
    table = advice.table()
    table = table[table["longname"] != "head"]
    sides = np.array([784 + SIDE, *[2 * SIDE] * BLOCKS])
    weights = table["bulk_spikes" if by == "spikes" else "erg_rank"].to_numpy(dtype=float)
    if method == "one rank":
        chosen = np.full(len(table), rank)
    else:
        weights = weights.max() + weights.min() - weights if method == "erg reversed" else weights
        weights = weights if weights.any() else np.ones(len(table))
        chosen = ranks(weights, sides, [SIDE] * len(table), rank * sides.sum())
    pattern = dict(zip(map(peft_key, table["longname"]), map(int, chosen), strict=True))
    return {"target_modules": table["longname"].tolist(), "rank_pattern": pattern, "alpha_pattern": pattern}


def measured(part: str, method: str, rank: int, rate: float, seed: int) -> dict:
    """Errors of one run, and how many parameters it moved beside those of the last layer."""
    torch.set_num_threads(1)
    weights, results = pretrained(seed)
    net = Net()
    net.load_state_dict(weights)
    torch.manual_seed(1000 + seed)
    net.head.reset_parameters()
    if part == "lora":
        from peft import LoraConfig, get_peft_model

        net = get_peft_model(net, LoraConfig(modules_to_save=["head"], **adapter(results, method, rank)))
    else:
        chosen = layers(results, method, seed)
        for name, parameter in net.named_parameters():
            parameter.requires_grad_(name.rpartition(".")[0] in (*chosen, "head"))
    moved = sum(one.numel() for one in net.parameters() if one.requires_grad) - 10 * (SIDE + 1)
    fitted(net, *digits()["tuned"], rate=rate, batch=BATCH, epochs=EPOCHS, seed=seed)
    return {
        "parameters": moved,
        "held_out_error": error(net, *digits()["held out"]),
        "test_error": error(net, *digits()["test"]),
    }


def settings() -> list[dict]:
    """In the order of the table."""
    kinds = [("lora", method, rank) for rank in RANKS for method in LORA]
    kinds += [("unfreeze", method, 0) for method in UNFREEZE]
    return [
        {"part": part, "method": method, "rank": rank, "rate": rate, "seed": seed}
        for seed in SEEDS
        for part, method, rank in kinds
        for rate in RATES[part]
    ]


def table(cache: Path) -> pd.DataFrame:
    return grown(cache.with_name("advice") / "tuning.csv", settings(), measured)


def best(frame: pd.DataFrame, part: str, method: str, rank: int = 0) -> pd.Series:
    """Test errors by seed, in points, at the rate with the least mean held-out error."""
    rows = frame[(frame["part"] == part) & (frame["method"] == method) & (frame["rank"] == rank)]
    rate = rows.groupby("rate")["held_out_error"].mean().idxmin()
    return 100 * rows[rows["rate"] == rate].set_index("seed")["test_error"]


def gap(frame: pd.DataFrame, part: str, method: str, other: str, rank: int = 0) -> tuple[float, float, int]:
    """Error of a method minus another's over seeds: mean, standard error, number."""
    difference = best(frame, part, method, rank) - best(frame, part, other, rank)
    return difference.mean(), difference.std() / len(difference) ** 0.5, len(difference)


def pairs() -> list[tuple[str, str, str]]:
    """What is held against what."""
    lora = [("lora", method, other) for method in ("erg", "spikes") for other in ("one rank", "erg reversed")]
    rivals = ("random", "top", "bottom", "snr reversed")
    return lora + [("unfreeze", method, other) for method in ("snr", "edge") for other in rivals]


def claims(frame: pd.DataFrame) -> list[Claim]:
    found = []
    for part, method, other in pairs():
        levels = RANKS if part == "lora" else (0,)
        gaps = [gap(frame, part, method, other, rank) for rank in levels]
        at = [f"rank {rank}: " if part == "lora" else "" for rank in levels]
        told = ", ".join(f"{where}{mean:+.2f} ± {se:.2f}" for where, (mean, se, _) in zip(at, gaps, strict=True))
        better = sum(mean < -2 * se for mean, se, _ in gaps)
        text = f"{part}: {method} minus {other} in points of error over {gaps[0][2]} seeds, {told}"
        found.append(Claim(text, better > len(gaps) / 2))
    return found


def draw(frame: pd.DataFrame):
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6), width_ratios=(1, 1.2))
    for method, colour in zip(LORA, ("C0", "C3", "C4", "0.6"), strict=True):
        errors = [best(frame, "lora", method, rank) for rank in RANKS]
        means, spreads = [one.mean() for one in errors], [one.std() for one in errors]
        left.errorbar(RANKS, means, spreads, fmt="o-", ms=4, capsize=2, color=colour, label=method)
    left.set(title="LoRA at equal parameters", xlabel="rank whose parameters are the budget", xscale="log")
    left.set(xticks=RANKS, xticklabels=RANKS, ylabel="test error [%], mean ± sd over seeds")
    left.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    left.legend()
    errors = [best(frame, "unfreeze", method) for method in UNFREEZE]
    right.errorbar(range(len(UNFREEZE)), [e.mean() for e in errors], [e.std() for e in errors], fmt="o", capsize=2)
    right.set(title=f"{CHOSEN} of {BLOCKS} layers unfrozen", xticks=range(len(UNFREEZE)))
    right.set_xticklabels(UNFREEZE, rotation=30, ha="right")
    return figure


PLOTS = {"advice/tuning": Plot(table, draw, claims)}

if __name__ == "__main__":
    run(__doc__, PLOTS)
