"""Where a correlation trap sits: the elements or the mean that carry an outlier of the shuffled matrix."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..core.arrays import FloatArray
from ..linalg.shuffled import Shuffled
from .elements import Entries, places_beyond

# Share of an outlier's squared vectors at one element, or along the constant matrix, that makes it the carrier. For
# vectors of noise both are below 0.02 from 50 x 50 on; at 1.3 times the threshold they are 0.17 (theory 4.4).
CARRIES = 0.08
LINE = 0.8


@dataclass(frozen=True)
class Element:
    """One element that carries a trap: its index in W, its value, its distance from the mean in sigma, its leverage."""

    index: tuple[int, ...]
    value: float
    sigmas: float
    leverage: float


@dataclass(frozen=True)
class Place:
    """What carries the traps of one matrix.

    Attributes
    ----------
    positions : ndarray of int
        Positions in the shuffled matrix, flattened, of the elements that carry them.
    leverage : ndarray
        Squared entries of U V^T (vectors of all traps) there.
    mean_share : ndarray
        For each trap the squared overlap of u v^T with the constant matrix of norm one.
    """

    positions: np.ndarray
    leverage: FloatArray
    mean_share: FloatArray

    @property
    def shifts(self) -> np.ndarray:
        """Which traps are a shift of the mean."""
        return self.mean_share >= CARRIES


def locate(shuffled: Shuffled, left: FloatArray, right: FloatArray, shares: FloatArray, entries: Entries) -> Place:
    """The carriers of the traps with these singular vectors (columns) and mean shares of the shuffled matrix."""
    M = shuffled.shape[1]
    positions = {int(np.argmax(np.abs(u))) * M + int(np.argmax(np.abs(v))) for u, v in zip(left.T, right.T)}
    if entries.apart.size:
        positions |= set(places_beyond(shuffled.blocks(), entries.centre, 0.999 * entries.apart[-1]))
    candidates = np.array(sorted(positions), dtype=int)
    rows, columns = np.divmod(candidates, M)
    leverage = np.einsum("ij,ij->i", left[rows], right[columns]) ** 2
    order = np.argsort(-leverage, kind="stable")
    order = order[leverage[order] >= CARRIES]
    return Place(candidates[order], leverage[order], shares)


def in_words(elements: list[Element], shift_sigmas: float | None, spread: int, chances: dict[str, str]) -> str:
    """The carriers as a sentence: elements by size, the row or column that holds most of them, the mean shift.

    `chances` has the p-value of each kind of carrier (`element`, `mean shift`, `spread`) in words.
    """
    parts = []
    if elements:
        said = []
        if len(elements) > 2:
            for axis, name in ((0, "row"), (1, "column")):
                (line, number), *_ = Counter(element.index[axis] for element in elements).most_common(1)
                if number >= LINE * len(elements):
                    said.append(f"{number} of {len(elements)} elements in {name} {line}")
        for element in elements[:3]:
            said.append(f"element {element.index} = {element.sigmas:+.1f} sigma")
        if len(elements) > 3:
            said.append(f"{len(elements) - 3} more elements")
        parts.append((", ".join(said), "element"))
    if shift_sigmas is not None:
        parts.append((f"mean shift {shift_sigmas:+.2g} sigma", "mean shift"))
    if spread:
        parts.append((f"{spread} that no element and no shift carries", "spread"))
    return ", ".join(f"{said} ({chances[kind]})" if chances.get(kind) else said for said, kind in parts)
