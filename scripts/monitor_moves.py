"""How often the column `move` of a history is right: pairs of spectra of known truth.

Claim      `moved` is said of a layer whose exponent did not change in fewer than one of a hundred pairs; a fit that
           leaps between two starts of one spectrum is called a leap, and a change of the exponent a move.
Command    python scripts/monitor_moves.py             all cases
           python scripts/monitor_moves.py --quick     20 pairs each, into a temporary folder
Run time   1 minute on one core.
Output     docs/figures/monitor/moves.csv, and the table on the standard output

Spectra of N_EVALS eigenvalues: a body, log-normal below 1, and a third of them a power law from 1 on. `again` draws a
second spectrum of the same law; `later` multiplies each eigenvalue by exp(.02 z), as a layer looks a little later.
`two starts`: the tail has one exponent up to where a tenth of the eigenvalues are left and a larger one from there, so
that two starts fit about as well; a pair counts where the fitted rank changed by more than a half.
`fit alone` is what comparing the fitted alphas with their errors would call a move.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

import setol_ww as ww
from setol_ww.monitor.moves import LEAPT, MOVED, Mark, move

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "figures" / "monitor"
N_EVALS, TAIL, UPPER, LATER = 400, 1 / 3, 0.1, 0.02
PAIRS, SEED = 400, 0
Pair = tuple[np.ndarray, np.ndarray]


def spectrum(rng: np.random.Generator, alpha: float) -> np.ndarray:
    """Body and a power-law tail of this exponent."""
    body = np.exp(-np.abs(rng.normal(scale=1.5, size=round(N_EVALS * (1 - TAIL)))))
    return np.concatenate([body, (1 - rng.random(round(N_EVALS * TAIL))) ** (-1 / (alpha - 1))])


def broken(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """A tail whose exponent changes where a tenth of all eigenvalues are left."""
    values = spectrum(rng, low)
    edge = np.quantile(values, 1 - UPPER)
    above = values > edge
    return np.where(above, edge * np.where(above, values / edge, 1) ** ((low - 1) / (high - 1)), values)


def later(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """The same a little later."""
    return values * np.exp(rng.normal(scale=LATER, size=values.size))


def changed(first: float, second: float) -> Callable[[np.random.Generator], Pair]:
    """Two independent spectra of these exponents."""
    return lambda rng: (spectrum(rng, first), spectrum(rng, second))


def drifted(alpha: float) -> Callable[[np.random.Generator], Pair]:
    """One spectrum and a little later."""

    def pair(rng: np.random.Generator) -> Pair:
        values = spectrum(rng, alpha)
        return values, later(rng, values)

    return pair


def two_starts(low: float, high: float) -> Callable[[np.random.Generator], Pair]:
    """One spectrum with two starts, and a little later, where the fit went from one to the other."""

    def pair(rng: np.random.Generator) -> Pair:
        while True:
            values = broken(rng, low, high)
            after = later(rng, values)
            ranks = [ww.fit_tail(ww.Spectrum.from_eigenvalues(one)).rank for one in (values, after)]
            if min(ranks) >= 8 and max(ranks) > 1.5 * min(ranks):
                return values, after

    return pair


CASES = {
    "again, alpha 2": changed(2, 2),
    "again, alpha 3": changed(3, 3),
    "again, alpha 4.5": changed(4.5, 4.5),
    "later, alpha 2": drifted(2),
    "later, alpha 3": drifted(3),
    "two starts, 2 and 3": two_starts(2, 3),
    "two starts, 2 and 4": two_starts(2, 4),
    "two starts, 3 and 6": two_starts(3, 6),
    "moved, 3 to 2.4": changed(3, 2.4),
    "moved, 3 to 2": changed(3, 2),
    "moved, 4 to 2": changed(4, 2),
    "moved, 2.5 to 1.6": changed(2.5, 1.6),
}


def words(make: Callable[[np.random.Generator], Pair], pairs: int, seed: int) -> Iterator[tuple[str, bool]]:
    """The word for each pair, and whether the fitted alphas differ beyond their errors."""
    rng = np.random.default_rng((SEED, seed))
    for _ in range(pairs):
        found = [ww.Spectrum.from_eigenvalues(values) for values in make(rng)]
        marks = [Mark.of(one, ww.fit_tail(one).rank) for one in found]
        assert marks[0] is not None
        assert marks[1] is not None
        word = move(*marks)
        yield word, word != ""


def main() -> None:
    """Every case, as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20 pairs each, into a temporary folder")
    asked = parser.parse_args()
    pairs = 20 if asked.quick else PAIRS
    rows = []
    for seed, (name, make) in enumerate(CASES.items()):
        said = list(words(make, pairs, seed))
        share = {word: sum(one == word for one, _ in said) / pairs for word in (MOVED, LEAPT)}
        rows.append({"case": name, "pairs": pairs, "fit alone": sum(two for _, two in said) / pairs, **share})
    frame = pd.DataFrame(rows)
    folder = Path(tempfile.mkdtemp()) if asked.quick else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "moves.csv", index=False, float_format="%.4g")
    print(frame.to_string(index=False))


if __name__ == "__main__":
    main()
