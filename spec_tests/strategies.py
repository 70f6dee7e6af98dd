"""Cases drawn by hypothesis: parameters and a seed, so that a failure shrinks to a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fixtures import ensembles, laws, oracles

SPECTRA = {
    "Pareto": lambda n, p, seed: ensembles.pareto_eigenvalues(n, 1 + p, seed),
    "lognormal": lambda n, p, seed: ensembles.lognormal_eigenvalues(n, p, seed),
    "Marchenko-Pastur": lambda n, p, seed: _marchenko_pastur(n, p, seed),
    "plateau": lambda n, p, seed: _plateau(n, p, seed),
    "uniform": lambda n, p, seed: np.sort(np.random.default_rng(seed).random(n)) + p / 10,
}
MATRICES = {
    "Gaussian": ensembles.gaussian_matrix,
    "Pareto 1": lambda rows, columns, seed: ensembles.signed_pareto_matrix(rows, columns, 1.0, seed),
    "Pareto 3": lambda rows, columns, seed: ensembles.signed_pareto_matrix(rows, columns, 3.0, seed),
    "inverse Marchenko-Pastur": lambda rows, columns, seed: _inverse_marchenko_pastur(rows, columns, seed),
}
# weightwatcher passes over a layer with fewer eigenvalues; clauses that are not about that draw from here on.
FEWEST = 8
INDEPENDENT_ENTRIES = ("Gaussian", "Pareto 1", "Pareto 3")


class _Sentence:
    """A case that hypothesis prints by its `repr`, not field by field."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What hypothesis prints of a failing case."""
        printer.text(repr(self))


@dataclass(frozen=True, repr=False)
class SpectrumCase(_Sentence):
    """A spectrum in a sentence."""

    kind: str
    n: int
    parameter: float
    seed: int

    def __repr__(self) -> str:
        return f"{self.kind} {self.parameter:g}, n = {self.n}, seed {self.seed}"

    @property
    def raw(self) -> np.ndarray:
        """The eigenvalues, ascending."""
        return SPECTRA[self.kind](self.n, self.parameter, self.seed)


@dataclass(frozen=True, repr=False)
class MatrixCase(_Sentence):
    """A matrix in a sentence."""

    kind: str
    rows: int
    columns: int
    seed: int

    def __repr__(self) -> str:
        return f"{self.kind}, {self.rows} x {self.columns}, seed {self.seed}"

    @property
    def W(self) -> np.ndarray:
        """The entries."""
        return MATRICES[self.kind](self.rows, self.columns, seed=self.seed)


SEEDS = st.integers(0, 2**16)
PARAMETERS = st.integers(2, 40).map(lambda tenths: tenths / 10)


def spectra(
    min_n: int = 2, max_n: int = 200, kinds: tuple[str, ...] = tuple(SPECTRA)
) -> st.SearchStrategy[SpectrumCase]:
    """Spectra of distinct positive eigenvalues."""
    return st.builds(SpectrumCase, st.sampled_from(kinds), st.integers(min_n, max_n), PARAMETERS, SEEDS)


def matrices(
    min_side: int = 1, max_side: int = 60, kinds: tuple[str, ...] = INDEPENDENT_ENTRIES
) -> st.SearchStrategy[MatrixCase]:
    """Matrices of either orientation."""
    sides = st.integers(min_side, max_side)
    return st.builds(MatrixCase, st.sampled_from(kinds), sides, sides, SEEDS)


SCALES = st.integers(-60, 60).map(lambda power: 2.0**power)
ARGUMENTS = st.integers(-18, 9).map(lambda thirds: 10 ** (thirds / 3))


def _marchenko_pastur(n: int, parameter: float, seed: int) -> np.ndarray:
    """Of a Gaussian matrix with n columns and n * (1 + parameter) rows; small n only."""
    W = ensembles.gaussian_matrix(int(n * (1 + parameter)) + 1, n, seed)
    return oracles.singular_value_squares(W)


def _plateau(n: int, parameter: float, seed: int) -> np.ndarray:
    """Nearly equal eigenvalues with a tenth of them 10^parameter times smaller."""
    values = 1 + 1e-3 * np.random.default_rng(seed).random(n)
    values[: max(1, n // 10)] /= 10**parameter
    return np.sort(values)


def _inverse_marchenko_pastur(rows: int, columns: int, seed: int) -> np.ndarray:
    """Quantiles of the law at kappa = 1/2 between Haar vectors."""
    raw = laws.inverse_marchenko_pastur_quantiles(min(rows, columns), 0.5)
    W = ensembles.matrix_with_eigenvalues(raw, max(rows, columns), seed)
    return W if rows >= columns else W.T
