"""Does alpha below 2 cost accuracy, or training that was cut short? Rate x32 with a more patient stopping rule.

Claim      At rate x32 some nets stop with training error above 0 and the worst test errors of the study. Trained on by
           the same random numbers until the loss has not fallen for PATIENCE epochs instead of 3 they reach training
           error 0 and a test error below that of rate x16, with alpha of FC1 below 2 all the while.
Command    python scripts/longer_training.py     (nets of mlp3.py first: the patient run repeats theirs and goes on)
Run time   1 minute a seed on one core
Output     docs/figures/longer_training.csv, one row a seed and patience
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mlp3
import numpy as np
import pandas as pd
from mlp3_cache import CACHE, EPS_FLOAT32, Claim, mean_sd, nets, read_csv, reading, verdict, write_csv

import setol_ww as ww

RATE = 32
PATIENCE = 12
CONVERGED = 1e-4


def row(seed: int, patience: int, last: dict, train_error: float) -> dict:
    """What stands at the end of one run; `last` is the last line of its history."""
    spectrum = ww.Spectrum.from_eigenvalues(last["fc1_spectrum"], (300, 784), eps=EPS_FLOAT32)
    found = reading(spectrum)
    return {
        "lr": RATE,
        "seed": seed,
        "patience": patience,
        "epochs": int(last["epoch"]),
        "train_error": train_error,
        "test_error": float(last["test_error"]),
        "alpha_FC1": found["alpha"],
        "delta_lambda_min_FC1": found["delta_lambda_min"],
    }


def table(cache: Path) -> pd.DataFrame:
    """Of each net that was cut short the kept run and the patient one."""
    data = mlp3.load_data()
    rows = []
    for setting, kept in nets("learning_rate", cache=cache, values=[RATE]):
        if kept.meta["train_error"] < CONVERGED:
            continue
        seed = setting["seed"]
        recipe = mlp3.Recipe(RATE, 32, seed)
        rows.append(row(seed, 3, {key: values[-1] for key, values in kept.history.items()}, kept.meta["train_error"]))
        mlp3.PATIENCE = PATIENCE
        _, history, steps = mlp3.train(data, recipe)
        again, before = history[len(kept.history["epoch"]) - 1]["train_loss"], kept.meta["train_loss"]
        if not np.isclose(again, before, rtol=1e-6):
            raise SystemExit(f"seed {seed}: the run is not the kept one, loss {again} and {before}")
        rows.append(row(seed, PATIENCE, history[-1], steps[-1]["train_error"]))
        print(pd.DataFrame(rows[-2:]).to_string(index=False), flush=True)
    return pd.DataFrame(rows)


def claims(frame: pd.DataFrame) -> list[Claim]:
    kept, patient = (frame[frame["patience"] == patience].set_index("seed") for patience in (3, PATIENCE))
    before, after = kept, patient.loc[kept.index]
    done = after["train_error"] < CONVERGED
    return [
        Claim(f"training cut short reaches training error 0 in {done.sum()} of {len(done)} nets", bool(done.all())),
        Claim(
            f"test error in % of these: {mean_sd(100 * before['test_error'])} when stopped, "
            f"{mean_sd(100 * after['test_error'])} when trained on",
            bool((after["test_error"] < before["test_error"]).all()),
        ),
        Claim(
            f"alpha of FC1: {mean_sd(before['alpha_FC1'], 3)} when stopped, {mean_sd(after['alpha_FC1'], 3)} after",
            bool((after["alpha_FC1"] < 2).all()),
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"nets of mlp3.py, default {CACHE}")
    parser.add_argument("--redraw", action="store_true", help="the sentences from the CSV that is there")
    args = parser.parse_args()
    if not args.redraw:
        write_csv(table(args.cache), "longer_training")
    found = claims(read_csv("longer_training"))
    for claim in found:
        print(f"  {'holds' if claim.holds else 'FAILS'}: {claim.text}")
    print(f"longer_training: {verdict(found)} ({sum(c.holds for c in found)} of {len(found)} claims)")


if __name__ == "__main__":
    main()
