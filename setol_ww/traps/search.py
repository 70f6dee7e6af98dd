"""One matrix: its shuffle, the leading eigenvalues of that, and which of them are traps."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.arrays import FloatArray, dtype_word, to_numpy
from ..linalg.buckets import number_of_buckets
from ..linalg.device import is_there, on_device, times_power_of_two
from ..linalg.eigenvalues import gram
from ..linalg.leading import Leading
from ..linalg.scaled import Scaled, representable
from ..linalg.shuffled import Pairs, Shuffled, ShuffledHere, ShuffledThere, memory_of_a_shuffle
from ..linalg.shuffles import is_large
from ..theory.laws.edge import centre_and_scale, edge, edge_pvalue, strength, threshold
from .elements import Entries, blocks_of, read_entries
from .location import CARRIES, Place, locate

SMALLEST_SIDE = 3
SMALLEST_SIZE = 21
FIRST_LOOK = 4
# So many eigenvalues are looked through for a shift of the mean among those of single elements.
LONG_LOOK = 64
# Entries whose largest is beyond 2^+-20 are scaled by a power of two, which is exact: elsewhere squares would be lost.
MODERATE_EXPONENT = 20
# Squares of scaled entries below this are not precise any more.
SMALLEST_VARIANCE = 1e-275


@dataclass(frozen=True)
class Slice:
    """One shuffled matrix and its outliers. `sources` are places in the flattened `tall`.

    `largest` is the largest eigenvalue, `spectrum` has all, ascending, where they were asked for or came with it, else
    none; `values`, p-values and vectors are those of the traps, `count` of them, and one more value with the p-value
    of what is none.

    Entries and eigenvalues are those of the matrix times 2^-exponent; `raw` and `raw_square` take the factor back.
    """

    entries: Entries
    exponent: int
    N: int
    M: int
    largest: float
    values: FloatArray
    pvalues_edge: FloatArray
    pvalues: FloatArray
    count: int
    place: Place
    sources: np.ndarray
    transposed: bool
    left: FloatArray
    right: FloatArray
    spectrum: FloatArray

    @property
    def excess(self) -> float:
        """Largest eigenvalue in Tracy-Widom scales beyond the edge, that of normal entries where there is no other."""
        centre, scale = centre_and_scale(self.N, self.M)
        return (self.largest / self.entries.variance - (centre if np.isnan(self.edge) else self.edge)) / scale

    @property
    def edge(self) -> float:
        """End of the bulk in units of the variance; NaN where the cumulants do not tell it."""
        return edge(self.N, self.M, self.entries.k4, self.entries.k6)

    @property
    def edge_reason(self) -> str:
        """Why there is no edge; empty where there is one."""
        if not np.isnan(self.edge):
            return ""
        first, second = self.entries.k4 / math.sqrt(self.N * self.M), self.entries.k6 / (self.N * self.M)
        return (
            f"the elements are too heavy-tailed: their cumulants would move it by {100 * first:.0f} % and "
            f"{100 * second:.0f} %, and their series has no domain"
        )

    def raw(self, value: float) -> float:
        """A number in units of the entries, in those of the matrix as it was given."""
        return representable(value, self.exponent)

    def raw_square(self, value: float) -> float:
        """A number in units of the eigenvalues, in units of the squares of the matrix as it was given.

        NaN where that is beyond the range of float64.
        """
        return representable(value, 2 * self.exponent)

    @property
    def raw_spectrum(self) -> FloatArray:
        """`spectrum` in units of the squares of the matrix as it was given; inf or 0 beyond the range of float64."""
        return Scaled(self.spectrum, 2 * self.exponent).plain

    def index(self, position: int) -> tuple[int, int]:
        """Row and column in the matrix as it was given of an element of the tall one."""
        row, column = divmod(int(position), self.M)
        return (column, row) if self.transposed else (row, column)


def look(
    matrix: Any, seed: tuple[int, ...], level: float, *, whole: bool = False, device: str = "cpu"
) -> tuple[Slice | None, str]:
    """The outliers of one shuffled matrix at `level`, or None and why there are none to look for.

    With `whole` all eigenvalues of it are told too, whatever they cost. On a device, where it fits, the shuffle is
    another draw.
    """
    if device != "cpu":
        needed = memory_of_a_shuffle(*matrix.shape)
        there = functools.partial(_looked_there, matrix, seed, device, level, whole)
        found = on_device(device, tuple(matrix.shape), needed, there)
        if found is not None:
            return found
    return _looked_here(matrix, seed, level, whole)


class _Tall:
    """The entries of a matrix with at least as many rows as columns, times 2^-exponent, and what they are as a sample.

    `reason` says why there is nothing to look for, or is empty.
    """

    entries: Entries

    def __init__(self, values: Any, transposed: bool) -> None:
        self.values, self.transposed, self.exponent = values, transposed, 0
        self.N, self.M = values.shape
        self.reason = _why_not(values)
        if not self.reason:
            self.values, self.exponent = of_moderate_size(values)
            self.entries = read_entries(self.values.reshape(-1))
            self.reason = _why_not_compared(self.entries)

    def give(self) -> Any:
        """The values, which are not kept."""
        values, self.values = self.values, None
        return values


def _looked_here(matrix: Any, seed: tuple[int, ...], level: float, whole: bool) -> tuple[Slice | None, str]:
    """`look` on the CPU."""
    tall = _Tall(*tall_entries(matrix))
    if tall.reason:
        return None, tall.reason
    is_own = _address(tall.values) != _address(matrix)
    source = tall.give()
    # The copy that was looked at goes where the matrix itself will do.
    if number_of_buckets((tall.N, tall.M)) > 1 and not tall.exponent and _is_at_hand(matrix):
        source = matrix.T if tall.transposed else matrix
    shuffled = ShuffledHere(source, seed, overwrite=is_own)
    del source
    return _slice(tall, _searched(shuffled, tall.entries, level, whole)), ""


def _looked_there(
    matrix: Any, seed: tuple[int, ...], device: str, level: float, whole: bool
) -> tuple[Slice | None, str]:
    """`look` on a device."""
    tall = _Tall(*tall_entries_there(matrix, device))
    if tall.reason:
        return None, tall.reason
    shuffled = ShuffledThere(tall.give(), seed)
    return _slice(tall, _searched(shuffled, tall.entries, level, whole)), ""


def _slice(tall: _Tall, found: _Searched) -> Slice:
    outliers, count = found.outliers, found.outliers.count
    return Slice(
        tall.entries,
        tall.exponent,
        tall.N,
        tall.M,
        outliers.largest,
        outliers.values,
        outliers.by_edge,
        outliers.pvalues,
        count,
        found.place,
        found.sources,
        tall.transposed,
        left=found.left,
        right=outliers.right[:, :count],
        spectrum=found.spectrum,
    )


@dataclass(frozen=True)
class _Searched:
    """What one shuffled matrix shows: `left` has the vectors of the traps, `sources` the places of their elements."""

    outliers: _Outliers
    left: FloatArray
    place: Place
    spectrum: FloatArray
    sources: np.ndarray


def _searched(shuffled: Shuffled, entries: Entries, level: float, whole: bool) -> _Searched:
    pairs, sums = shuffled.pairs()
    outliers = _outliers(pairs, sums, shuffled.shape[0], entries, level)
    left, right = _left_vectors(shuffled, outliers), outliers.right[:, : outliers.count]
    place = locate(shuffled, left, right, outliers.shares[: outliers.count], entries)
    # What follows is as large as it is.
    shuffled.let_go()
    spectrum = np.maximum(pairs.all(), 0.0) if whole or pairs.is_reduced else np.empty(0)
    del pairs
    return _Searched(outliers, left, place, spectrum, shuffled.sources(place.positions))


@dataclass(frozen=True)
class _Outliers:
    """Eigenvalues with their p-values, right vectors in columns, traps first: `count` of them.

    `shares` are squared overlaps of u v^T with the constant matrix of norm one; the first pair is made of constant
    vectors where `is_made`.
    """

    largest: float
    values: FloatArray
    by_edge: FloatArray
    pvalues: FloatArray
    count: int
    right: FloatArray
    shares: FloatArray
    is_made: bool


def _outliers(pairs: Pairs, sums: FloatArray, N: int, entries: Entries, level: float) -> _Outliers:
    """Leading eigenvalues down to the first that is no trap.

    The mean is tested by itself where there is no edge, and where the first that is no trap is beyond the edge, as the
    tail of the elements has it: a shift would stand behind it.
    """
    M = sums.size
    has_edge = not math.isnan(edge(N, M, entries.k4, entries.k6))
    mean_pvalue = 1.0 if has_edge else shift_pvalue(entries, N, M)
    number = min(FIRST_LOOK if has_edge or mean_pvalue > level else LONG_LOOK, M)
    while True:
        values, right = pairs.largest(number)
        shares, largest, is_made = _mean_shares(values, right, sums, N), float(values[0]), False
        if mean_pvalue <= level:
            values, right, shares, is_made = _shift_first(values, right, shares, N, entries)
        by_edge, pvalues = _judge(values, shares, (N, M), entries, level, mean_pvalue)
        above = int(np.argmax(np.append(pvalues > level, True)))
        hides = above < values.size and by_edge[above] <= level
        if hides and mean_pvalue == 1 and not np.any(shares[:above] >= CARRIES):
            mean_pvalue = shift_pvalue(entries, N, M)
            if mean_pvalue <= level:
                number = min(LONG_LOOK, M)
                continue
        if above < number or number == M:
            return _Outliers(largest, values, by_edge, pvalues, above, right, shares, is_made)
        number = min(2 * number, M)


def shift_pvalue(entries: Entries, N: int, M: int) -> float:
    """Chance that entries of mean 0 have a mean this large; 1 where it is too weak to leave the bulk anyway.

    The mean over its own standard error is normal whatever the law of the entries.
    """
    deviation = math.sqrt(entries.variance)
    theta = abs(entries.mean) * math.sqrt(M) / deviation
    if theta < threshold(N, M):
        return 1.0
    return math.erfc(abs(entries.mean) * math.sqrt(N * M) / deviation / math.sqrt(2))


def _mean_shares(values: FloatArray, right: FloatArray, sums: FloatArray, N: int) -> FloatArray:
    """Squared overlaps of u v^T with the constant matrix of norm one, u being the matrix on v over sqrt(value)."""
    of_left = (sums @ right) ** 2 / np.maximum(values, np.finfo(float).tiny) / N
    return of_left * right.sum(axis=0) ** 2 / right.shape[0]


def _shift_first(
    values: FloatArray, right: FloatArray, shares: FloatArray, N: int, entries: Entries
) -> tuple[FloatArray, FloatArray, FloatArray, bool]:
    """The eigenvalue of the mean shift before all others: the one whose vectors are nearest to constant ones.

    Where larger elements hide it among many, its place is that of a shift of this strength.
    """
    M, at = right.shape[0], int(np.argmax(shares))
    if shares[at] >= CARRIES:
        order = np.append(at, np.delete(np.arange(values.size), at))
        return values[order], right[:, order], shares[order], False
    square = entries.mean**2 * M / entries.variance
    value = entries.variance * N * (1 + square) * (M / N + square) / square
    constant = np.full((M, 1), 1 / math.sqrt(M))
    return np.append(value, values), np.hstack([constant, right]), np.append(1.0, shares), True


def _left_vectors(shuffled: Shuffled, found: _Outliers) -> FloatArray:
    """Those of the traps; of a pair that was made zeros, which give no element a share of it."""
    right = found.right[:, : found.count]
    if not found.count:
        return np.empty((shuffled.shape[0], 0))
    left = shuffled.times(right)
    if found.is_made:
        left[:, 0] = 0.0
    left /= np.maximum(np.linalg.norm(left, axis=0), np.finfo(float).tiny)
    return left


def _judge(
    values: FloatArray,
    shares: FloatArray,
    shape: tuple[int, int],
    entries: Entries,
    level: float,
    mean_pvalue: float,
) -> tuple[FloatArray, FloatArray]:
    """p-values of each eigenvalue by the edge, and by the tail of the elements too, down to the first that is no trap.

    Further ones are 1, and so is the last of all where one more was made than the matrix has. Without an edge (NaN) a
    shift has the p-value of the mean and all else that of the elements.
    """
    N, M = shape
    by_edge, pvalues = np.ones(values.size), np.ones(values.size)
    shifts = 0
    for rank, value in enumerate(values[:M] / entries.variance):
        by_edge[rank] = edge_pvalue(value, N - rank, M - rank, entries.k4, entries.k6)
        without_edge = math.isnan(by_edge[rank])
        if shares[rank] >= CARRIES:
            shifts += 1
            by_tail = mean_pvalue if without_edge else 0.0
        else:
            size = strength(value, N, M) * np.sqrt(N * entries.variance)
            by_tail = _element_pvalue(entries, size, rank + 1 - shifts, without_edge)
        pvalues[rank] = by_tail if without_edge else by_edge[rank] + by_tail * (1 - by_edge[rank])
        if pvalues[rank] > level:
            break
    return by_edge, pvalues


def _element_pvalue(entries: Entries, size: float, rank: int, without_edge: bool) -> float:
    """Chance of an element of this size; where nothing else speaks for a trap, no tail and none apart say nothing."""
    if without_edge and (entries.tail is None or size <= entries.tail.start):
        return 1.0
    return entries.tail_pvalue(size, rank)


def reference_excess(matrix: Any, seen: Slice, seed: tuple[int, ...]) -> float:
    """Excess of the largest eigenvalue of a shuffle without the mean and without elements that stand apart."""
    tall, _ = tall_entries(matrix)
    rng = np.random.default_rng(seed)
    flat = np.ldexp(to_numpy(tall).reshape(-1), -seen.exponent).astype(np.float64)
    if seen.entries.apart.size:
        out = np.abs(flat - seen.entries.centre) >= 0.999 * seen.entries.apart[-1]
        flat[out] = rng.choice(flat[~out], int(np.count_nonzero(out)))
    flat -= flat.mean()
    rng.shuffle(flat)
    values, _ = Leading(gram(flat.reshape(tall.shape))).largest(1)
    centre, scale = centre_and_scale(seen.N, seen.M)
    return (values[0] / np.mean(flat**2) - (centre if np.isnan(seen.edge) else seen.edge)) / scale


def tall_entries(matrix: Any) -> tuple[Any, bool]:
    """The entries in memory, at least as many rows as columns, and whether that is the transpose.

    Of a square matrix and its transpose the same one is taken, so that both are shuffled alike. An array of float32 or
    float64; large matrices of 16 bits stay as they are stored, bfloat16 as a tensor.
    """
    transposed, dtype = _is_turned(matrix), _searched_as(matrix)
    tall = matrix.T if transposed else matrix
    if hasattr(tall, "detach"):
        import torch

        # Turned and widened at once: a large layer is copied no more than once.
        as_dtype = getattr(torch, dtype)
        tall = tall.detach().to(device="cpu", dtype=as_dtype, memory_format=torch.contiguous_format).contiguous()
        return (tall if dtype == "bfloat16" else tall.numpy()), transposed
    return np.ascontiguousarray(tall, dtype=dtype), transposed


def tall_entries_there(matrix: Any, device: str) -> tuple[Any, bool]:
    """`tall_entries` as a tensor on a device, where they are turned and widened."""
    import torch

    transposed, dtype = _is_turned(matrix), _searched_as(matrix)
    tensor = matrix if hasattr(matrix, "detach") else torch.from_numpy(np.ascontiguousarray(matrix, dtype=dtype))
    there = tensor.detach().to(device).to(getattr(torch, dtype))
    return (there.T if transposed else there).contiguous(), transposed


def _is_turned(matrix: Any) -> bool:
    """True where the transpose is searched."""
    rows, columns = matrix.shape
    return rows < columns or (rows == columns and _transpose_first(matrix))


def _searched_as(matrix: Any) -> str:
    """The dtype in which entries are read and shuffled."""
    dtype, stays = dtype_word(matrix.dtype), is_large(matrix)
    if hasattr(matrix, "detach"):
        kept = ("float64", "float16", "bfloat16") if stays else ("float64",)
        return dtype if dtype in kept else "float64" if dtype in ("int64", "int32") else "float32"
    if dtype == "float16":
        return dtype if stays else "float32"
    return dtype if dtype in ("float32", "float64") else "float64"


def _is_at_hand(matrix: Any) -> bool:
    """True for an array, or a tensor of the CPU."""
    return not hasattr(matrix, "detach") or bool(matrix.device.type == "cpu")


def _address(matrix: Any) -> int:
    """Where in memory the first entry is."""
    return int(matrix.data_ptr() if hasattr(matrix, "data_ptr") else matrix.ctypes.data)


def of_moderate_size(tall: Any) -> tuple[Any, int]:
    """The matrix times 2^-exponent, its largest entry near 1, and the exponent; itself and 0 where that is moderate."""
    exponent = int(np.frexp(max(float(tall.max()), -float(tall.min())))[1])
    if abs(exponent) <= MODERATE_EXPONENT:
        return tall, 0
    if is_there(tall):
        return times_power_of_two(tall.double(), -exponent), exponent
    return np.ldexp(to_numpy(tall), -exponent), exponent


def _transpose_first(square: Any) -> bool:
    """True when |w_ij| < |w_ji| at the first pair that differs."""
    for row in range(square.shape[0]):
        above, below = (np.abs(to_numpy(line)) for line in (square[row, row + 1 :], square[row + 1 :, row]))
        differ = np.flatnonzero(above != below)
        if differ.size:
            return bool(above[differ[0]] < below[differ[0]])
    return False


def _why_not(tall: Any) -> str:
    N, M = tall.shape
    if M < SMALLEST_SIDE or N * M < SMALLEST_SIZE:
        return (
            f"{N} x {M} entries are too few for a bulk; {SMALLEST_SIDE} rows and columns and {SMALLEST_SIZE} are needed"
        )
    flat = tall.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        total = sum(float(block.sum()) for block in blocks_of(flat))
    if not np.isfinite(total):
        nan = sum(int((block != block).sum()) for block in blocks_of(flat))
        infinite = sum(int((abs(block) == math.inf).sum()) for block in blocks_of(flat))
        if nan or infinite:
            return f"{nan} NaN and {infinite} Inf among its {N * M} entries"
    if tall.min() == tall.max():
        return (
            "all entries are zero" if tall[0, 0] == 0 else "all entries are equal, so there is no noise to compare with"
        )
    return ""


def _why_not_compared(entries: Entries) -> str:
    if not entries.variance > SMALLEST_VARIANCE:
        return (
            f"the noise of its entries has {entries.variance:g} of the squared size of its largest entry as variance, "
            "which leaves nothing to compare with"
        )
    return "" if entries.has_known_tail else "too few distinct sizes of elements to know their tail"
