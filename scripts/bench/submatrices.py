"""Bias and spread of `fit_submatrices` beside the whole matrix, on matrices of known exponent and several shapes.

Claim      alpha of the whole matrix moves with the aspect ratio of W at one and the same law, that of square
           windows much less, and `farms_sigma` is of the size of what windows scatter.
Command    python scripts/bench/submatrices.py [--quick] [--out docs/figures/bench]
Run time   about two minutes on one core; --quick half a minute.
Output     submatrices.csv, submatrices.json (the machine).

Two ensembles, `M = 256` columns and `Q * M` rows:
`entries`      independent entries with P(|w| > x) = x^-mu: eigenvalues have the exponent 1 + mu/2 (mu < 4);
`covariance`   Gaussian rows whose population eigenvalues have density ~ x^-alpha: the sample tail has alpha too.
Both exponents are those of the limit of large matrices; finite ones are biased at any shape, which is what the
columns `bias` show: mean of alpha minus the exponent. `covered` is the share of draws whose alpha is within two of
its own sigmas of the mean over all draws of that shape: the error that sigma is an estimate of.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from machine import FIGURES, keep

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix, pareto_eigenvalues, signed_pareto_matrix

M = 256
RATIOS = (1, 2, 4, 8, 32)
EXPONENTS = (2.0, 3.0)


def draw(ensemble: str, alpha: float, Q: int, seed: int) -> np.ndarray:
    """One matrix of `Q * M` rows and M columns whose limiting tail exponent is alpha."""
    if ensemble == "entries":
        return signed_pareto_matrix(Q * M, M, 2 * (alpha - 1), seed)
    return gaussian_matrix(Q * M, M, seed) * np.sqrt(np.random.default_rng(seed).permutation(population(alpha, seed)))


def population(alpha: float, seed: int) -> np.ndarray:
    """Population eigenvalues, drawn apart from the Gaussian rows."""
    return pareto_eigenvalues(M, alpha, 1000 + seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=FIGURES)
    args = parser.parse_args()
    draws = 3 if args.quick else 6
    rows = []
    for ensemble in ("entries", "covariance"):
        for alpha in EXPONENTS[:1] if args.quick else EXPONENTS:
            for Q in RATIOS[:-1] if args.quick else RATIOS:
                matrices = [draw(ensemble, alpha, Q, seed) for seed in range(draws)]
                whole = [ww.fit_tail(ww.Spectrum.from_matrix(W)) for W in matrices]
                windows = [ww.fit_submatrices(W) for W in matrices]
                rows.append({"ensemble": ensemble, "exponent": alpha, "Q": Q, "draws": draws})
                for name, fits in (("whole", whole), ("windows", windows)):
                    found, sigma = np.array([fit.alpha for fit in fits]), np.array([fit.sigma for fit in fits])
                    rows[-1] |= {
                        f"{name} bias": round(float(found.mean() - alpha), 2),
                        f"{name} sd": round(float(found.std(ddof=1)), 2),
                        f"{name} mean sigma": round(float(sigma.mean()), 2),
                        f"{name} covered": round(float(np.mean(np.abs(found - found.mean()) < 2 * sigma)), 2),
                    }
                print(rows[-1], flush=True)
                keep("submatrices", rows, args.out)


if __name__ == "__main__":
    main()
