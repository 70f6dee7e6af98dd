"""A matrix in random order and what is asked of it: the Gram matrix, products, entries. On the CPU or on a device."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from ..core.arrays import FloatArray
from .device import BLOCK_BYTES, DEVICE_BLOCK_ELEMENTS, GRAM_MATRICES, READ_ELEMENTS, device_blocks, device_gram
from .eigenvalues import gram_of, row_blocks
from .filtered import leading_vectors
from .leading import Leading
from .shuffles import in_random_order, sources_of

# Bytes of an entry's place, with what the draw of an order takes, and of its values, twice, at most.
ORDER_BYTES, ENTRY_BYTES = 32, 16
# Bytes of an entry that is read: itself in float64, its size, what is sorted of it, its powers.
READ_BYTES = 64


class Pairs(Protocol):
    """Eigenpairs of a Gram matrix, as `Leading` has them."""

    @property
    def is_reduced(self) -> bool:
        """True once `all` costs next to nothing."""

    def largest(self, number: int) -> tuple[FloatArray, FloatArray]:
        """The `number` largest eigenvalues, descending, and their vectors in columns."""

    def all(self) -> FloatArray:
        """Every eigenvalue, ascending."""


class Shuffled(Protocol):
    """A matrix, at least as long as wide, in random order.

    Attributes
    ----------
    shape : (int, int)
    """

    shape: tuple[int, int]

    def blocks(self) -> Iterator[FloatArray]:
        """Float64 blocks of rows, each perhaps written over the one before."""

    def pairs(self) -> tuple[Pairs, FloatArray]:
        """The eigenpairs of its Gram matrix, and the sums of its columns."""

    def times(self, right: FloatArray) -> FloatArray:
        """The product with the columns of an array of shape (M, k)."""

    def let_go(self) -> None:
        """Its entries are asked no more."""

    def sources(self, positions: np.ndarray) -> np.ndarray:
        """Where in the flattened matrix the entries at these positions come from."""


class ShuffledHere:
    """`Shuffled` on the CPU, in the order of `shuffles`.

    Examples
    --------
    >>> found = ShuffledHere(np.arange(12.0).reshape(4, 3), (0,))
    >>> pairs, sums = found.pairs()
    >>> round(float(pairs.all().sum()), 9) == sum(n**2 for n in range(12)), sums.sum()
    (True, np.float64(66.0))
    """

    def __init__(self, matrix: Any, seed: tuple[int, ...], *, overwrite: bool = False) -> None:
        self.shape, self.seed = (int(matrix.shape[0]), int(matrix.shape[1])), seed
        self.entries = in_random_order(matrix, seed, overwrite=overwrite)

    def blocks(self) -> Iterator[FloatArray]:
        return row_blocks(self.entries)

    def pairs(self) -> tuple[Pairs, FloatArray]:
        sums = np.zeros(self.shape[1])

        def summed() -> Iterator[FloatArray]:
            for block in self.blocks():
                sums[:] += block.sum(axis=0)
                yield block

        return Leading(gram_of(summed(), sums.size)), sums

    def times(self, right: FloatArray) -> FloatArray:
        return np.concatenate([block @ right for block in self.blocks()])

    def let_go(self) -> None:
        self.entries = None

    def sources(self, positions: np.ndarray) -> np.ndarray:
        return sources_of(positions, self.shape, self.seed)


class ShuffledThere:
    """`Shuffled` by torch on the device of a tensor, in an order of its generator there: another draw than the CPU's.

    Parameters
    ----------
    entries : torch.Tensor, at least as long as wide
        Not kept.
    seed : tuple of int
    """

    def __init__(self, entries: Any, seed: tuple[int, ...]) -> None:
        self.shape, self.device = (int(entries.shape[0]), int(entries.shape[1])), entries.device
        self.seed = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
        self.entries = entries.reshape(-1)[self._order()].reshape(self.shape)

    def _order(self) -> Any:
        import torch

        generator = torch.Generator(self.device).manual_seed(self.seed)
        return torch.randperm(math.prod(self.shape), generator=generator, device=self.device)

    def blocks(self) -> Iterator[Any]:
        return device_blocks(self.entries, self.device)

    def pairs(self) -> tuple[Pairs, FloatArray]:
        total, sums = device_gram(self.entries, self.device)
        return PairsThere(total), sums.cpu().numpy()

    def times(self, right: FloatArray) -> FloatArray:
        import torch

        there = torch.from_numpy(np.ascontiguousarray(right)).to(self.device)
        return np.concatenate([(block @ there).cpu().numpy() for block in self.blocks()])

    def let_go(self) -> None:
        self.entries = None

    def sources(self, positions: np.ndarray) -> np.ndarray:
        import torch

        return self._order()[torch.from_numpy(positions).to(self.device)].cpu().numpy()


class PairsThere:
    """`Pairs` of a symmetric tensor on its device: all values first, vectors by a filter that knows them."""

    def __init__(self, total: Any) -> None:
        self.total = total
        self._values: Any = None

    @property
    def is_reduced(self) -> bool:
        return self._values is not None

    def all(self) -> FloatArray:
        return self._known().cpu().numpy()

    def largest(self, number: int) -> tuple[FloatArray, FloatArray]:
        vectors = leading_vectors(self.total, self._known(), number)
        return self.all()[::-1][:number].copy(), vectors.cpu().numpy()

    def _known(self) -> Any:
        import torch

        if self._values is None:
            self._values = torch.linalg.eigvalsh(self.total)
        return self._values


def memory_of_a_shuffle(rows: int, columns: int) -> int:
    """Bytes that reading a matrix, its random order and its eigenpairs take on a device, about.

    >>> memory_of_a_shuffle(4096, 11008) // 2**20
    2224
    """
    side, entries = min(rows, columns), rows * columns
    block = BLOCK_BYTES * min(entries, max(side, DEVICE_BLOCK_ELEMENTS))
    most = max(ORDER_BYTES * entries, READ_BYTES * min(entries, READ_ELEMENTS), block + 8 * GRAM_MATRICES * side**2)
    return ENTRY_BYTES * entries + most
