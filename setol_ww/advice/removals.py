"""What is taken out of a layer when a trap is, and directions of the bulk of the same size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.arrays import FloatArray, to_numpy
from ..linalg.directions import Directions, directions
from ..spectrum.erg import erg_cut
from ..spectrum.esd import Spectrum
from ..traps.find import TrapReport, find_traps
from ..traps.removal import remove_traps

# Share of the entries of which `mass` is told.
FEW = 0.05
ALL = "all"


@dataclass(frozen=True, eq=False)
class Part:
    """Something that removal takes out of a layer: values to be subtracted, shape (rows, columns, slices)."""

    carrier: str
    place: str
    pvalue: float
    values: FloatArray = field(repr=False)

    @property
    def norm(self) -> float:
        """Frobenius norm."""
        return float(np.linalg.norm(self.values))

    @property
    def mass(self) -> float:
        """Share of its energy in the twentieth of the entries where it is largest."""
        squares = np.sort(self.values.reshape(-1) ** 2)[::-1]
        return float(squares[: max(1, round(FEW * squares.size))].sum() / squares.sum())

    @property
    def participation(self) -> float:
        """Participation ratio: 1 for a single entry, the number of entries where all are alike."""
        squares = self.values**2
        return float(squares.sum() ** 2 / (squares**2).sum())


class Trapped:
    """A layer with its traps: what is taken out, its leading sector and its bulk."""

    def __init__(self, matrices: Sequence[Any], kernel: tuple[int, ...] = (), *, seed: int, level: float) -> None:
        self.stack = np.stack([to_numpy(matrix).astype(np.float64) for matrix in matrices], axis=-1)
        sides = kernel or (() if len(matrices) == 1 else (len(matrices),))
        whole = self.stack.reshape(*self.stack.shape[:2], *sides)
        self.report: TrapReport = find_traps(whole, seed=seed, level=level)
        if self.report.count:
            cleaned = remove_traps(whole, self.report).reshape(self.stack.shape)
            self.removed: FloatArray = self.stack - cleaned
            parts = [self.stack[..., number] for number in range(len(matrices))]
            self.slices = [_Slice(part, directions(part)) for part in parts]

    def parts(self, most: int) -> list[Part]:
        """Each element that carries a trap, up to `most` of them, what carries the others, and all together."""
        chances = _chances(self.report)
        found = []
        rest = self.removed.copy()
        for number, element in enumerate(self.report.elements):
            row, column, *inside = element.index
            index = row, column, int(np.ravel_multi_index(inside, self.report.shape[2:])) if inside else 0
            if number < most:
                values = np.zeros_like(rest)
                values[index] = rest[index]
                found.append(Part("element", str(element.index), chances.get("element", math.nan), values))
            rest[index] = 0.0
        if rest.any():
            carrier = "mean shift" if "mean shift" in chances else "spread" if "spread" in chances else "element"
            found.append(Part(carrier, "all entries", chances.get(carrier, math.nan), rest))
        if len(found) > 1 or len(self.report.elements) > most:
            found.append(Part(ALL, "together", self.report.pvalue, self.removed))
        return found

    def share_of_variance(self, part: Part) -> float:
        """Squared norm of a part over that of the layer."""
        return float((part.values**2).sum() / (self.stack**2).sum())

    def overlap(self, part: Part) -> float:
        """Share of a part's energy inside the leading sector of the layer (its ERG tail), on both sides."""
        inside = sum(one.energy_inside(part.values[..., number]) for number, one in enumerate(self.slices))
        return float(inside / (part.values**2).sum())

    def controls(self, part: Part, number: int, seed: tuple[int, ...]) -> Iterator[FloatArray]:
        """Rank-one directions of the bulk, with the norm of the part in each slice."""
        rng = np.random.default_rng(seed)
        norms = np.linalg.norm(part.values, axis=(0, 1))
        for _ in range(number):
            drawn = [one.bulk_direction(rng) * norm for one, norm in zip(self.slices, norms)]
            yield np.stack(drawn, axis=-1)


class _Slice:
    """One matrix with its leading directions on both sides, and directions from outside of them."""

    def __init__(self, matrix: FloatArray, found: Directions | None) -> None:
        # Where an entry is not finite no trap is looked for.
        assert found is not None
        self.tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
        self.is_turned = self.tall is not matrix
        shape = (max(matrix.shape), min(matrix.shape))
        rank = erg_cut(Spectrum.from_eigenvalues(found.sigma[::-1] ** 2, shape)).rank
        self.right, self.bulk = found.vectors[:, :rank], found.vectors[:, rank:]
        leading = self.tall @ self.right
        self.left = leading / np.maximum(np.linalg.norm(leading, axis=0), np.finfo(float).tiny)

    def energy_inside(self, values: FloatArray) -> float:
        tall = values.T if self.is_turned else values
        return float(((self.left.T @ tall @ self.right) ** 2).sum())

    def bulk_direction(self, rng: np.random.Generator) -> FloatArray:
        """a b^T of norm one, a and b drawn from the bulk on the left and on the right."""
        first, second = (self.bulk @ rng.standard_normal(self.bulk.shape[1]) for _ in range(2))
        a = self.tall @ first
        product = np.outer(a / _norm(a), second / _norm(second))
        return product.T if self.is_turned else product


def _norm(vector: FloatArray) -> float:
    return float(np.linalg.norm(vector)) or 1.0


def _chances(report: TrapReport) -> dict[str, float]:
    """By carrier the largest p-value of its traps."""
    found: dict[str, float] = {}
    for trap in report.traps:
        found[trap.carrier] = max(found.get(trap.carrier, 0.0), trap.pvalue)
    return found
