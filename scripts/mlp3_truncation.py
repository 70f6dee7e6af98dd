"""What truncating FC1 and FC2 to their tails costs MLP3, through training: the material of Figures 17, 18 and 19.

Claim      The error of nets whose FC1 and FC2 are cut to the power-law tail or to the ERG tail, minus that of the
           whole net (positive where truncation costs accuracy, errata E47), on the training and the test images.
Command    python scripts/mlp3_truncation.py     (nets of mlp3.py first; resumable)
Run time   0.8 s a kept epoch and net on one core: about 7 minutes for the learning rates at every kept epoch and
           the batch sizes at the last
Output     one CSV a net in the cache folder mlp3_truncation; the figures read them

Training error is that of the 90 % of the training images the net was trained on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import mlp3
import numpy as np
import pandas as pd
import torch
from mlp3_cache import CACHE, KNOBS, LAYERS, nets

import setol_ww as ww

RULES = ("powerlaw", "erg")


def results_folder(cache: Path) -> Path:
    """Beside the nets."""
    return cache.with_name(f"{cache.name}_truncation")


def trained_on(data: mlp3.Data, seed: int) -> np.ndarray:
    """Indices of the images a seed is trained on, as `mlp3.train` draws them."""
    rng = torch.Generator().manual_seed(seed)
    mlp3.initial_net(rng, data.x.shape[1])
    order = torch.randperm(len(data.x), generator=rng).numpy()
    return order[int(mlp3.HELD_OUT * len(order)) :]


def layers_of(tensors: dict[str, torch.Tensor]) -> list[tuple[np.ndarray, np.ndarray]]:
    """(inputs x outputs, bias) of each layer, as `mlp3.error_rate` takes them."""
    return [(tensors[f"fc{depth}.weight"].numpy().T, tensors[f"fc{depth}.bias"].numpy()) for depth in (1, 2, 3)]


def truncation_rows(net: dict[str, torch.Tensor], images: dict[str, tuple], base: dict[str, float]) -> list[dict]:
    """One row for each rule: ranks, error of the whole net, what truncation adds to it."""
    alphas = {f"alpha_{layer}": ww.analyze_matrix(net[f"{layer.lower()}.weight"]).tail.alpha for layer in LAYERS}
    rows = []
    for rule in RULES:
        with ww.truncated(net, rule, layers=[layer.lower() for layer in LAYERS]) as plan:
            errors = {part: mlp3.error_rate(layers_of(net), *labelled) for part, labelled in images.items()}
        rows.append(
            {
                "rule": rule,
                **{f"rank_{layer}": line.rank for layer, line in zip(LAYERS, plan, strict=True)},
                **alphas,
                **{f"{part}_error": value for part, value in base.items()},
                **{f"delta_{part}": errors[part] - base[part] for part in base},
            }
        )
    return rows


def net_rows(
    path: Path, setting: dict, history: dict, data: mlp3.Data, kept: np.ndarray, last_only: bool
) -> list[dict]:
    """All kept epochs of one net, or the last alone."""
    images = {"train": (data.x[kept], data.y[kept]), "test": (data.x_test, data.y_test)}
    rows = []
    with np.load(path.with_suffix(".steps.npz")) as file:
        steps = {key: file[key] for key in file.files}
    for index in range(len(steps["epoch"]))[-1 if last_only else 0 :]:
        epoch = int(steps["epoch"][index])
        net = {key: torch.from_numpy(values[index].copy()) for key, values in steps.items() if key.startswith("fc")}
        base = {"train": float(steps["train_error"][index]), "test": float(history["test_error"][epoch - 1])}
        is_last = index == len(steps["epoch"]) - 1
        if is_last:
            # The split is drawn again here: that it is the trainer's own shows in the error of the whole net.
            again = mlp3.error_rate(layers_of(net), *images["train"])
            if abs(again - base["train"]) > 1e-4:
                raise SystemExit(f"{path.name}: training error {again} here, {base['train']} when it was trained")
        rows += [{**setting, "epoch": epoch, "last": is_last, **row} for row in truncation_rows(net, images, base)]
    return rows


def truncation_table(cache: Path, knob: str) -> pd.DataFrame:
    """What is there of one experiment."""
    folder = results_folder(cache)
    parts = []
    for setting, net in nets(knob, cache=cache):
        path = folder / f"{net.path.stem}.csv"
        if path.exists():
            parts.append(pd.read_csv(path).assign(**setting))
    if not parts:
        raise SystemExit(f"nothing in {folder}: run mlp3_truncation.py")
    return pd.concat(parts, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=CACHE)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = mlp3.load_data()
    splits = {seed: trained_on(data, seed) for seed in range(5)}
    folder = results_folder(args.cache)
    folder.mkdir(parents=True, exist_ok=True)
    for knob in reversed(KNOBS):
        for setting, net in nets(knob, cache=args.cache):
            target = folder / f"{net.path.stem}.csv"
            if target.exists():
                continue
            started = time.perf_counter()
            rows = net_rows(
                net.path, setting, net.history, data, splits[setting["seed"]], last_only=knob == "batch_size"
            )
            partial = target.with_suffix(".partial")
            pd.DataFrame(rows).to_csv(partial, index=False, lineterminator="\n")
            partial.replace(target)
            print(f"{net.path.stem}: {len(rows)} rows, {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
