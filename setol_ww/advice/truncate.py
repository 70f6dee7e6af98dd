r"""Ranks to cut layers to, within a budget of parameters or of energy.

A layer of rank r in two factors has :math:`r (N + M)` parameters, and stays whole where that is no fewer than it has.

| `by` | ranks |
|---|---|
| `energy` | components by :math:`x / (N + M)`, x the unit-mean eigenvalue: the most energy for the parameters |
| `erg` | :math:`r_i \approx t\,k^*_i`, in proportion to the rank of the ERG cut (arXiv 2507.17912, Eq. 126) |

Energy is the sum of the kept unit-mean eigenvalues over the number of all: each layer counts by its number of
eigenvalues, whatever its norm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.arrays import FloatArray
from ..core.checks import is_finite, one_of
from ..core.errors import InvalidInput
from ..results.results import Results
from ..spectrum.erg import erg_cut
from .candidates import Candidate, rows_of
from .registry import Draft, Target


def advise(
    results: Results, *, parameters: float | None = None, energy: float | None = None, by: str = "energy"
) -> Draft:
    """Ranks.

    Parameters
    ----------
    results : Results
    parameters : float, optional
        Share of the parameters that the factors may have, above 0 and up to 1; 0.5 where nothing is asked.
    energy : float, optional
        Share of the energy that is to stay, at the least cost; instead of `parameters`.
    by : str
        `energy` or `erg`.
    """
    one_of("by", by, ("energy", "erg"))
    if parameters is not None and energy is not None:
        raise InvalidInput(f"parameters={parameters!r}, energy={energy!r} was asked; accepted is one of them")
    share = 0.5 if parameters is None else parameters
    for name, value in (("parameters", share), ("energy", energy)):
        if value is not None and not (is_finite(value) and 0 < value <= 1):
            raise InvalidInput(f"{name}={value!r} was asked; accepted is a number above 0 and up to 1")
    listed = rows_of(results)
    left_out = {row.title: _why_left(row) for row in listed if _why_left(row)}
    found = [_Layer.of(row) for row in listed if not _why_left(row)]
    if not found:
        raise InvalidInput("ranks were asked; accepted are results with a layer whose spectrum is defined")
    plans = _by_energy(found) if by == "energy" else _by_erg(found)
    ranks = _within(found, plans, share * sum(layer.n_params for layer in found), energy)
    rows = [
        {
            "longname": layer.row.longname,
            "slice": layer.row.slice,
            "tensor": layer.row.tensor,
            "n_params": layer.n_params,
            "erg_rank": layer.erg_rank,
            "num_evals": layer.num_evals,
            "rank": int(rank),
            "kept_energy": layer.kept(int(rank)) / layer.num_evals,
            "parameters": layer.cost(int(rank)),
            "reason": "stays whole: two factors would not be smaller" if rank == layer.num_evals else "",
        }
        for layer, rank in zip(found, ranks)
    ]
    return Draft(rows, (), left_out)


def _why_left(row: Candidate) -> str:
    if row.is_embedding:
        return "an embedding: stays whole"
    if row.failure:
        return row.failure
    return "" if row.spectra[0].is_defined else "its spectrum is not defined"


@dataclass(frozen=True, eq=False)
class _Layer:
    """A row with what its components cost and keep."""

    row: Candidate
    n_params: int
    side: int
    descending: FloatArray
    erg_rank: int

    @classmethod
    def of(cls, row: Candidate) -> _Layer:
        (spectrum,) = row.spectra
        return cls(row, row.n_params, spectrum.N + spectrum.M, spectrum.unit_mean[::-1], erg_cut(spectrum).rank)

    @property
    def num_evals(self) -> int:
        return self.descending.size

    def settled(self, rank: int) -> int:
        """The rank, or all where factors of it would not be smaller than the matrix."""
        return self.num_evals if rank * self.side >= self.n_params else rank

    def cost(self, rank: int) -> int:
        return min(self.n_params, rank * self.side)

    def kept(self, rank: int) -> float:
        return float(self.descending[:rank].sum())


def _by_energy(layers: list[_Layer]) -> list[np.ndarray]:
    """Rank of every layer at each level of the price, from the dearest components to all."""
    prices = [layer.descending / layer.side for layer in layers]
    levels = np.unique(np.concatenate(prices))[::-1]
    return [np.searchsorted(-price, -levels, side="right") for price in prices]


def _by_erg(layers: list[_Layer]) -> list[np.ndarray]:
    """Rank of every layer at each level of the proportion, from the smallest at which one changes to all."""
    levels = np.unique(np.concatenate([np.arange(1, layer.num_evals + 1) / max(layer.erg_rank, 1) for layer in layers]))
    return [
        np.clip(np.floor(levels * max(layer.erg_rank, 1) + 1e-9), 0, layer.num_evals).astype(np.int64)
        for layer in layers
    ]


def _within(layers: list[_Layer], plans: list[np.ndarray], budget: float, energy: float | None) -> list[int]:
    """The last level within the budget of parameters, or the first that keeps the energy; a component at least."""

    def at(level: int) -> list[int]:
        return [layer.settled(max(int(plan[level]), 1)) for layer, plan in zip(layers, plans)]

    def fits(level: int) -> bool:
        ranks = at(level)
        if energy is None:
            return sum(layer.cost(rank) for layer, rank in zip(layers, ranks)) <= budget * (1 + 1e-12)
        kept = sum(layer.kept(rank) for layer, rank in zip(layers, ranks))
        return kept < energy * sum(layer.num_evals for layer in layers) * (1 - 1e-12)

    low, high = -1, plans[0].size
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    if energy is not None:
        return at(min(high, plans[0].size - 1))
    if low < 0:
        least = sum(layer.cost(layer.settled(1)) for layer in layers)
        raise InvalidInput(
            f"a budget of {budget:.0f} parameters was asked; accepted is one of at least {least}, which rank 1 takes"
        )
    return at(low)


TARGET = Target(
    "truncate",
    "rank",
    "ranks to cut layers to, within a budget of parameters or energy",
    "components by unit-mean eigenvalue over (rows + columns), or ranks in proportion to k*, to the budget",
    "this project; k* of arXiv 2507.17912, Eq. 126",
    advise,
)
