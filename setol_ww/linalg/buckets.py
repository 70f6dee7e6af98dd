"""Entries of a large matrix in random order, made bucket by bucket: no copy of all of them is ever there.

Every entry draws a bucket, then each bucket is shuffled by itself: one behind the other they are a uniform permutation.
Draws are repeated rather than kept, one pass over the entries for each bucket.

C. R. Rao, Sankhya A 23, 305 (1961); M. Sandelius, J. R. Stat. Soc. B 24, 472 (1962).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..core.arrays import FloatArray

# A copy of fewer entries (64 MiB of 16 bits) is no burden, nor is one of a third of the Gram matrix: 16 bits beside
# 64, so that a matrix has to be 1.4 times as long as wide to have one.
FEW_ENTRIES, SMALL_RATIO = 2**25, 1.4
# A bucket of 16-bit entries takes about a fifth of the Gram matrix; with more of them the passes would take too long.
RATIO_OF_A_BUCKET, MOST_BUCKETS = 0.8, 16
# Entries that are looked at together; eight draws come from one random number.
TOGETHER = 2**20
DRAWS = 8


def number_of_buckets(shape: Sequence[int]) -> int:
    """A power of two, by the shape alone; 1 where a copy is small beside the Gram matrix.

    >>> number_of_buckets((4096, 4096)), number_of_buckets((4096, 11008)), number_of_buckets((128256, 4096))
    (1, 4, 16)
    """
    short, long = sorted(shape)
    if short * long <= FEW_ENTRIES or long <= SMALL_RATIO * short:
        return 1
    return 2 ** min(round(math.log2(MOST_BUCKETS)), max(1, round(math.log2(long / (RATIO_OF_A_BUCKET * short)))))


class Buckets:
    """A matrix of the same shape with the entries of `matrix` in random order, row by row.

    Parameters
    ----------
    matrix : ndarray or torch.Tensor of the CPU, shape (rows, columns)
        Of any real dtype and order in memory; read anew whenever the shuffled one is.
    seed : tuple of int

    Examples
    --------
    >>> found = Buckets(np.arange(600.0).reshape(30, 20), (0,))
    >>> whole = np.concatenate([block.flatten() for block in found.row_blocks(7)])
    >>> sorted(whole.tolist()) == list(range(600)), whole[found.sources(np.array([5]))].size
    (True, 1)
    """

    def __init__(self, matrix: Any, seed: tuple[int, ...], number: int = 2) -> None:
        self.matrix, self.shape, self.number = matrix, (int(matrix.shape[0]), int(matrix.shape[1])), number
        *self._orders, self._drawing = np.random.SeedSequence(seed).spawn(number + 1)
        self.counts = np.zeros(number, dtype=int)
        for _, drawn in self._drawn():
            self.counts += np.bincount(drawn, minlength=number)

    def row_blocks(self, step: int) -> Iterator[FloatArray]:
        """Float64 blocks of `step` rows, each written over the one before."""
        columns = self.shape[1]
        block, filled = np.empty(step * columns), 0
        for bucket in self.buckets():
            at = 0
            while at < bucket.shape[0]:
                taken = min(block.size - filled, bucket.shape[0] - at)
                _copy(bucket[at : at + taken], block[filled : filled + taken])
                filled, at = filled + taken, at + taken
                if filled == block.size:
                    yield block.reshape(step, columns)
                    filled = 0
        if filled:
            yield block[:filled].reshape(-1, columns)

    def buckets(self) -> Iterator[Any]:
        """The shuffled entries one bucket after the other, as they are stored, each written over the one before."""
        bits = _bits(self.matrix[:1])
        store = np.empty(int(self.counts.max()), bits.dtype)
        for number, order in enumerate(self._orders):
            filled = 0
            for rows, drawn in self._drawn():
                chosen = _bits(self.matrix[rows])[drawn == number]
                store[filled : filled + chosen.size] = chosen
                filled += chosen.size
            np.random.default_rng(order).shuffle(store[:filled])
            yield _values(store[:filled], self.matrix)

    def whole(self) -> Any:
        """All of it as it is stored."""
        found, filled = np.empty(math.prod(self.shape), _bits(self.matrix[:1]).dtype), 0
        for bucket in self.buckets():
            found[filled : filled + bucket.shape[0]] = _bits(bucket)
            filled += bucket.shape[0]
        return _values(found, self.matrix).reshape(self.shape)

    def sources(self, positions: np.ndarray) -> np.ndarray:
        """Where in the flattened matrix the entries at these positions of the flattened shuffled one come from."""
        found = np.empty(positions.shape, dtype=int)
        ends = np.cumsum(self.counts)
        owner = np.searchsorted(ends, positions, side="right")
        for number in np.unique(owner):
            order, filled = np.empty(int(self.counts[number]), np.int32 if ends[-1] < 2**31 else np.int64), 0
            for rows, drawn in self._drawn():
                places = np.flatnonzero(drawn == number)
                order[filled : filled + places.size] = places + rows.start * self.shape[1]
                filled += places.size
            np.random.default_rng(self._orders[number]).shuffle(order)
            mine = owner == number
            found[mine] = order[positions[mine] - (ends[number] - self.counts[number])]
        return found

    def _drawn(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Some rows, and the buckets that their entries draw."""
        rows, columns = self.shape
        step, generator = max(1, TOGETHER // columns), np.random.default_rng(self._drawing)
        for start in range(0, rows, step):
            part = slice(start, min(rows, start + step))
            number = (part.stop - start) * columns
            drawn = generator.integers(0, 2**64, -(-number // DRAWS), dtype=np.uint64).astype("<u8", copy=False)
            yield part, drawn.view(np.uint8)[:number] & np.uint8(self.number - 1)


def _bits(rows: Any) -> np.ndarray:
    """Flattened entries as numpy exchanges them: numpy has no bfloat16 and no float8."""
    if not hasattr(rows, "detach"):
        return np.ascontiguousarray(rows).reshape(-1)
    torch = sys.modules["torch"]
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return rows.detach().contiguous().view(kinds[rows.element_size()]).numpy().reshape(-1)


def _values(bits: np.ndarray, matrix: Any) -> Any:
    """What `_bits` of some entries of this matrix stand for."""
    return sys.modules["torch"].from_numpy(bits).view(matrix.dtype) if hasattr(matrix, "detach") else bits


def _copy(values: Any, into: FloatArray) -> None:
    if hasattr(values, "detach"):
        sys.modules["torch"].from_numpy(into).copy_(values)
    else:
        np.copyto(into, values)
