"""Speed of `analyze` beside WeightWatcher 0.7.7: paired ratios, whole and per stage, and how stages grow with size.

Claim      At equal numbers twice to several times faster on one core from 512 columns on; within 1.25 of the bare
           eigensolver from M = 2048 on.
Command    python scripts/bench/speed.py [--quick] [--part whole|stages|solvers] [--out docs/figures/bench]
Run time   about a quarter of an hour on one core; --quick two minutes.
Output     speed_whole.csv, speed_stages.csv, speed_solvers.csv, their machines (.json), speed.png.

Times are CPU time of one process with one BLAS thread. The contenders take turns on the same object, and of each
the least time counts; only ratios are meant to be compared between machines. Weights are synthetic: noise with a
graded signal of one eighth of the rank, which gives spectra with a bulk and a tail. `bare` is the Gram matrix and
LAPACK's usual eigenvalues of every weight and no more, three times with `randomize`, for WeightWatcher's two shuffles
(that of the traps is a fourth). `at most` is WeightWatcher's time over `bare`: what that solver leaves to gain at equal
numbers. `share of SETOL columns` is the part of our time that goes into columns which WeightWatcher does not have, with
`randomize` traps too; `times faster without them` leaves that part out. Not in that part is the noise of a layer's own
rows and columns, which the classes of `analyze` are asked against.
What a second job gains is told by `jobs.py`.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import scipy.linalg
import torch
from machine import FIGURES, cpu_seconds, keep
from torch import nn

import setol_ww as ww
from setol_ww.layer.result import analyze_spectrum
from setol_ww.linalg.eigenvalues import eigenvalues, gram
from setol_ww.linalg.symmetric import eigenvalues_by, two_stage_routine
from setol_ww.spectrum.esd import Spectrum
from setol_ww.traps.find import find_traps_of
from setol_ww.watcher.mp import mp_columns
from setol_ww.watcher.numerics import default_fit, first_below_one
from spec_tests.plain import plain_analyze, plain_detX, plain_fit, weightwatcher

OPTIONS = {
    "detX": {"detX": True},
    "detX + randomize": {"detX": True, "randomize": True},
    "detX + randomize + mp_fit": {"detX": True, "randomize": True, "mp_fit": True},
}
# Spectra of each weight that all columns need: its own, and with `randomize` that of one shuffle.
SPECTRA = {"detX": 1, "detX + randomize": 2, "detX + randomize + mp_fit": 2}
# Repeats of ours and of WeightWatcher's; the slow ones are few.
REPEATS = {"MLP3": (20, 3), "MiniLM": (3, 1), "3 conv 512": (3, 1), "linear 2048": (3, 2), "linear 4096": (2, 1)}
SIZES = (128, 256, 512, 1024, 2048, 4096)
LARGEST = 8192


def with_signal(model: nn.Module, seed: int = 0) -> nn.Module:
    """Noise and a graded signal in every weight of two or more dimensions."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.dim() >= 2:
            with torch.no_grad():
                flat = parameter.view(parameter.shape[0], -1)
                rank = max(2, min(flat.shape[0], parameter[0].numel()) // 8)
                grades = torch.arange(1, rank + 1).float() ** -0.7
                left = torch.randn(flat.shape[0], rank, generator=generator) * grades
                noise = torch.randn(flat.shape, generator=generator)
                flat.copy_((noise + 2 * left @ torch.randn(rank, flat.shape[1], generator=generator)) / 30)
    return model


def mlp3() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))


def minilm() -> nn.Module:
    """The 39 weight matrices of a MiniLM of six layers: 384 wide, 1536 in between."""
    layers: list[nn.Module] = [nn.Embedding(30522, 384), nn.Embedding(512, 384)]
    for _ in range(6):
        layers += [nn.Linear(384, 384) for _ in range(4)] + [nn.Linear(384, 1536), nn.Linear(1536, 384)]
    return nn.Sequential(*layers, nn.Linear(384, 384))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "MLP3": mlp3,
    "MiniLM": minilm,
    "3 conv 512": lambda: nn.Sequential(*[nn.Conv2d(512, 512, 3) for _ in range(3)]),
    "linear 2048": lambda: nn.Sequential(nn.Linear(2048, 2048)),
    "linear 4096": lambda: nn.Sequential(nn.Linear(4096, 4096)),
}


def take_turns(runs: dict[str, tuple[Callable[[], Any], int]]) -> dict[str, float]:
    """Least CPU time of each contender over its repeats, one after the other in every round."""
    best = dict.fromkeys(runs, math.inf)
    for turn in range(max(repeats for _, repeats in runs.values())):
        for name, (run, repeats) in runs.items():
            if turn < repeats:
                best[name] = min(best[name], cpu_seconds(run))
    return best


def weights_of(model: nn.Module) -> list[torch.Tensor]:
    """Every weight of two or more dimensions."""
    return [parameter.detach() for parameter in model.parameters() if parameter.dim() >= 2]


def matrices(weight: torch.Tensor) -> list[torch.Tensor]:
    """The matrix, or the kernel slices."""
    flat = weight.reshape(*weight.shape[:2], -1)
    return [flat[:, :, position] for position in range(flat.shape[2])]


def bare(model: nn.Module) -> None:
    """`bare_eigenvalues` of every weight and no more."""
    for weight in weights_of(model):
        for matrix in matrices(weight):
            bare_eigenvalues(matrix)


def bare_eigenvalues(matrix: torch.Tensor) -> np.ndarray:
    """Gram matrix and LAPACK's usual eigenvalues, as scipy calls them."""
    return scipy.linalg.eigh(gram(matrix), lower=True, eigvals_only=True, driver="evd", overwrite_a=True)


def setol_columns(spectra: list[Spectrum], traps: list[torch.Tensor]) -> None:
    """What WeightWatcher does not compute: everything SETOL says of these spectra, and the traps of these weights."""
    for spectrum in spectra:
        analyze_spectrum(spectrum)
    for weight in traps:
        find_traps_of(matrices(weight))


def whole(quick: bool) -> list[dict[str, Any]]:
    """Whole analyses of five models under three sets of options."""
    rows = []
    for name in ("MLP3", "MiniLM") if quick else MODELS:
        model = with_signal(MODELS[name]())
        for label, options in OPTIONS.items():
            ours, theirs = REPEATS[name] if label == "detX" or name == "MLP3" else (1, 1)
            for analyze in (ww.analyze, plain_analyze):
                analyze(nn.Linear(30, 30), **options)
            runs: dict[str, tuple[Callable[[], Any], int]] = {
                "setol_ww": (lambda model=model, options=options: ww.analyze(model, **options), ours),
                "weightwatcher": (lambda model=model, options=options: plain_analyze(model, **options), theirs),
            }
            runs["bare"] = (lambda model=model: bare(model), ours)
            spectra = [Spectrum.from_slices(matrices(weight)) for weight in weights_of(model)]
            traps = weights_of(model) if options.get("randomize") else []
            runs["SETOL columns"] = (functools.partial(setol_columns, spectra, traps), ours)
            best = take_turns(runs)
            least = SPECTRA[label] * best["bare"]
            rest = best["setol_ww"] - best["SETOL columns"]
            rows.append(
                {
                    "model": name,
                    "options": label,
                    "times faster": round(best["weightwatcher"] / best["setol_ww"], 2),
                    "over bare eigvalsh": round(best["setol_ww"] / least, 2),
                    "at most": round(best["weightwatcher"] / least, 2),
                    "share of SETOL columns": round(best["SETOL columns"] / best["setol_ww"], 2),
                    "times faster without them": round(best["weightwatcher"] / rest, 2),
                    "setol_ww s": round(best["setol_ww"], 4),
                    "weightwatcher s": round(best["weightwatcher"], 4),
                    "bare s": round(least, 4),
                }
            )
            print(rows[-1], flush=True)
    return rows


def stage_contenders(side: int) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Ours and WeightWatcher's way through each stage of one square layer."""
    W = with_signal(nn.Linear(side, side, bias=False)).weight.detach().numpy()
    evals = eigenvalues(W)
    unit_mean, sizeable = evals / evals.mean(), evals[evals > 1e-5]
    plain = weightwatcher.WeightWatcher()
    plain_mp = functools.partial(plain.mp_fit, evals, side, side, 1, "", "", 0, False, False, "", "b", 1, True, evals)
    return {
        "spectrum": (lambda: eigenvalues(W), lambda: np.linalg.svd(W.astype(float), compute_uv=False)),
        "power-law fit": (lambda: default_fit(evals, (), {}), lambda: plain_fit(sizeable)),
        "detX": (lambda: first_below_one(unit_mean), lambda: plain_detX(unit_mean)),
        "MP fit": (lambda: mp_columns(evals, side, side, True), plain_mp),
    }


def stages(quick: bool) -> list[dict[str, Any]]:
    """Each stage of a square layer at several sizes, and the exponent of its growth over the last doubling."""
    rows: list[dict[str, Any]] = []
    for side in SIZES[:-2] if quick else (*SIZES, LARGEST):
        contenders = stage_contenders(side)
        if side == LARGEST:
            # WeightWatcher's SVD alone would take minutes.
            del contenders["spectrum"]
        for stage, (ours, theirs) in contenders.items():
            many = 1 if side >= 4096 else 5
            best = take_turns({"setol_ww": (ours, many), "weightwatcher": (theirs, 1 if stage == "MP fit" else many)})
            rows.append(
                {
                    "stage": stage,
                    "side": side,
                    "times faster": round(best["weightwatcher"] / best["setol_ww"], 2),
                    **{f"{who} s": float(f"{seconds:.3g}") for who, seconds in best.items()},
                }
            )
            print(rows[-1], flush=True)
    for stage in dict.fromkeys(row["stage"] for row in rows):
        mine = [row for row in rows if row["stage"] == stage]
        for who in ("setol_ww", "weightwatcher"):
            growth = math.log2(mine[-1][f"{who} s"] / mine[-2][f"{who} s"])
            mine[-1][f"{who} exponent"] = round(growth, 2)
    return sorted(rows, key=lambda row: (row["stage"], row["side"]))


def solver_contenders(side: int) -> dict[str, Callable[[], Any]]:
    """Eigensolvers, eigenvalues only, that could be the engine's, on one Gram matrix."""
    lower = gram(with_signal(nn.Linear(side, side, bias=False)).weight.detach())
    full = np.tril(lower) + np.tril(lower, -1).T
    as_tensor, routine = torch.from_numpy(full), two_stage_routine()
    runs: dict[str, Callable[[], Any]] = {
        "scipy evd": lambda: scipy.linalg.eigh(full, eigvals_only=True, driver="evd"),
        "scipy evr": lambda: scipy.linalg.eigh(full, eigvals_only=True, driver="evr"),
        "numpy": lambda: np.linalg.eigvalsh(full),
        "torch": lambda: torch.linalg.eigvalsh(as_tensor),
    }
    if routine is not None:
        runs["two-stage"] = lambda: eigenvalues_by(routine, full.copy(order="F"))
    return runs


def solvers(quick: bool) -> list[dict[str, Any]]:
    """The eigensolvers at several sizes."""
    rows = []
    for side in (*SIZES[1:-2], *(() if quick else (2048, 2560, 3072, 4096))):
        repeats = 1 if side >= 4096 else 3
        best = take_turns({name: (run, repeats) for name, run in solver_contenders(side).items()})
        rows.append({"side": side, **{f"{name} s": float(f"{seconds:.3g}") for name, seconds in best.items()}})
        print(rows[-1], flush=True)
    return rows


def picture(out: Path) -> None:
    """speed.png from the CSV files."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import pandas as pd

    whole_table, stage_table = pd.read_csv(out / "speed_whole.csv"), pd.read_csv(out / "speed_stages.csv")
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), constrained_layout=True)
    pivot = whole_table.pivot(index="model", columns="options", values="times faster")
    pivot.loc[list(dict.fromkeys(whole_table["model"]))].plot.barh(ax=left, logx=True)
    left.axvline(1, color="black", linewidth=0.8)
    left.set(xlabel="times faster than WeightWatcher (CPU time)", ylabel="", xlim=(0.8, 120))
    left.legend(loc="upper right")
    for stage, rows in stage_table.groupby("stage"):
        right.loglog(rows["side"], rows["times faster"], marker="o", label=stage)
    right.axhline(1, color="black", linewidth=0.8)
    right.set(xlabel="side of a square layer", ylabel="times faster", ylim=(0.8, 2000))
    right.legend(loc="upper left", ncols=2)
    figure.savefig(out / "speed.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--part", choices=("whole", "stages", "solvers"))
    parser.add_argument("--out", type=Path, default=FIGURES)
    args = parser.parse_args()
    torch.set_num_threads(1)
    parts = {"whole": whole, "stages": stages, "solvers": solvers}
    for name, part in parts.items():
        if args.part in (None, name):
            print(keep(f"speed_{name}", part(args.quick), args.out))
    if (args.out / "speed_whole.csv").exists() and (args.out / "speed_stages.csv").exists():
        picture(args.out)


if __name__ == "__main__":
    main()
