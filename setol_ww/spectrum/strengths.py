r"""What a class needs to know of the entries: how strong rows, columns and slices are, and how heavy the entries.

The noise of a layer is W_ij = r_i c_j g_ij with g independent of one law (folded batch norms, merged gains, dead
pixels make r and c differ). Strengths come from means of the root |W_ij|^(1/2) over rows and columns: a row's mean is
r_i^(1/2) times a constant for any law of g, single large elements weigh little, and the sampling error of a mean of n
is known from what is left after both factors are divided out. That error is taken out of the strengths; strengths that
differ by no more than it are called even.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from ..core.arrays import EPS_FLOAT32, FloatArray, precision
from ..linalg.eigenvalues import blocks
from ..theory.laws.sides import compressed

#: Strengths kept of each side, as equally likely quantiles.
QUANTILES = 1024
# Standard errors that the observed spread has to be beyond that of sampling before strengths count as uneven.
UNEVEN = 4.0
# Loud lines are so many at most, and at most this share of a side; the next of them has so many times less power.
MOST_LOUD, LOUD_SHARE, LOUD = 10, 0.05, 4.0
# Bytes of entries that are worked on at once: what is computed from them stays in the cache.
BLOCK = 2**18


@dataclass(frozen=True)
class Strengths:
    """Strengths of rows, columns and slices, and cumulants of the entries after these are divided out.

    Attributes
    ----------
    rows, columns : int
        Rows and columns of one matrix that have an entry beside zero.
    row, column : ndarray, ascending
        Squares r_i^2, c_j^2 of mean 1, all of them or 1024 equally likely ones; a single 1 where they are even.
    slice : ndarray
        Variances of the pooled matrices, of mean 1; a single 1 where they are even.
    row_spread, column_spread, slice_spread : float
        Standard deviation of ln r_i, ln c_j, ln s_t beyond that of sampling; 0 where sampling explains it.
    k4, k6 : float
        Fourth and sixth cumulant of g in units of its variance; 0 for normal entries, 3 and 30 for Laplace.
    """

    rows: int
    columns: int
    row: FloatArray = field(repr=False)
    column: FloatArray = field(repr=False)
    slice: FloatArray = field(repr=False)
    row_spread: float
    column_spread: float
    slice_spread: float
    k4: float
    k6: float

    def __eq__(self, other: object) -> bool:
        """The same numbers, NaN equal to itself."""
        if not isinstance(other, Strengths):
            return NotImplemented
        pairs = ((getattr(self, one.name), getattr(other, one.name)) for one in fields(self))
        return all(np.array_equal(mine, theirs, equal_nan=True) for mine, theirs in pairs)

    @property
    def is_even(self) -> bool:
        """True when no row, column or slice is stronger than the others beyond sampling."""
        return self.row.size == self.column.size == self.slice.size == 1


def strengths_of(matrices: Sequence[Any]) -> Strengths:
    """Strengths of one matrix, or of equal-sized pooled ones; one pass over the entries.

    Entries of 32 bits and fewer are worked on in float32: its rounding is far below the sampling error of a strength,
    and an entry of less than 1e-38 times the largest counts as zero. Where sixth powers overflow it is float64.

    Parameters
    ----------
    matrices : sequence of ndarray or torch.Tensor, each (rows, columns)
        Of any real dtype.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = strengths_of([rng.normal(size=(300, 200)) * np.exp(0.3 * rng.normal(size=(300, 1)))])
    >>> round(found.row_spread, 1), found.column_spread
    (0.3, 0.0)
    """
    narrow = all(precision(matrix) == EPS_FLOAT32 for matrix in matrices)
    sums = _Sums.of(matrices, np.float32 if narrow else np.float64)
    if narrow and not sums.are_finite:
        sums = _Sums.of(matrices, np.float64)
    if not sums.filled or not sums.are_finite:
        rows, columns = matrices[0].shape
        even = np.ones(1)
        return Strengths(int(rows), int(columns), even, even, even, 0.0, 0.0, 0.0, math.nan, math.nan)
    evenness = _evenness(sums)
    row, row_spread = _profile(sums.row, evenness, 0)
    column, column_spread = _profile(sums.column, evenness, 1)
    part, slice_spread = _profile(sums.slice, evenness, 2)
    profiles = row, column, part
    live = [int(np.count_nonzero(side[1])) for side in (sums.row, sums.column)]
    squares, cubes = (math.prod(_mean_power(profile, power) for profile in profiles) for power in (2, 3))
    m4 = sums.fourth * sums.filled / sums.second**2 / squares
    m6 = sums.sixth * sums.filled**2 / sums.second**3 / cubes
    # Zeros are entries of g as well, in the share that they have.
    share = sums.filled / (live[0] * live[1] * max(1, int(np.count_nonzero(sums.slice[1]))))
    m4, m6 = m4 / share, m6 / share**2
    return Strengths(
        rows=live[0],
        columns=live[1],
        row=row,
        column=column,
        slice=part,
        row_spread=row_spread,
        column_spread=column_spread,
        slice_spread=slice_spread,
        k4=m4 - 3,
        k6=m6 - 15 * m4 + 30,
    )


def _mean_power(profile: FloatArray, power: int) -> float:
    return float(np.mean(profile**power))


@dataclass
class _Sums:
    """Sums of |W|^(1/2) and numbers of non-zero entries for each row, column and slice; sums over all entries."""

    row: tuple[FloatArray, FloatArray]
    column: tuple[FloatArray, FloatArray]
    slice: tuple[FloatArray, FloatArray]
    first: float = 0.0
    second: float = 0.0
    fourth: float = 0.0
    sixth: float = 0.0

    @property
    def filled(self) -> float:
        """Number of entries that are not zero."""
        return float(self.slice[1].sum())

    @property
    def are_finite(self) -> bool:
        """False when an entry is not, or its sixth power."""
        return math.isfinite(self.second + self.sixth)

    @classmethod
    def of(cls, matrices: Sequence[Any], dtype: type[np.floating]) -> _Sums:
        rows, columns = matrices[0].shape
        row, column, part = ((np.zeros(n), np.zeros(n)) for n in (rows, columns, len(matrices)))
        sums = cls(row, column, part)
        shrink: tuple[float, ...] = ()
        # An entry that is not finite makes the sums so, and an overflow of sixth powers too.
        with np.errstate(over="ignore", under="ignore"):
            for number, matrix in enumerate(matrices):
                start = 0
                for block in (
                    blocks(matrix, 0, elements=BLOCK // np.dtype(dtype).itemsize, dtype=dtype)
                    if rows and columns
                    else ()
                ):
                    size = np.abs(block, out=block)
                    shrink = shrink or _powers_of_two(float(size.max()))
                    for factor in shrink:
                        np.multiply(size, factor, out=size)
                    sums._add(number, start, size)
                    start += block.shape[0]
        return sums

    def _add(self, number: int, start: int, size: Any) -> None:
        """Add a block of sizes, which is written over: what is computed of it stays in the cache."""
        rows, columns = size.shape
        part, by_columns, by_rows = slice(start, start + rows), _ones(columns, size.dtype), _ones(rows, size.dtype)
        root = np.sqrt(size)
        # Products with ones: BLAS sums in half of numpy's time.
        by_row = root @ by_columns
        self.row[0][part] += by_row
        self.column[0][:] += by_rows @ root
        self.slice[0][number] += by_row.sum(dtype=np.float64)
        if size.min() != 0:
            self.row[1][part] += columns
            self.column[1][:] += rows
            self.slice[1][number] += size.size
        else:
            filled = size != 0
            self.row[1][part] += filled.sum(axis=1)
            self.column[1][:] += filled.sum(axis=0)
            self.slice[1][number] += filled.sum()
        self.first += float((size @ by_columns).sum(dtype=np.float64))
        flat = size.ravel()
        self.second += float(flat @ flat)
        square = np.multiply(flat, flat, out=root.ravel())
        self.fourth += float(square @ square)
        cube = np.multiply(flat, square, out=flat)
        self.sixth += float(cube @ cube)


@functools.lru_cache(maxsize=64)
def _ones(number: int, dtype: np.dtype) -> np.ndarray:
    return np.ones(number, dtype)


def _powers_of_two(largest: float) -> tuple[float, ...]:
    """What brings a size near to 1 without rounding, in one or two steps; nothing where there is no size."""
    exponent = int(np.frexp(largest)[1])
    # No single normal number of float32 reaches from its subnormal ones to 1, and none of float64 from its own.
    steps = (exponent,) if abs(exponent) <= 100 else (exponent // 2, exponent - exponent // 2)
    return tuple(math.ldexp(1.0, -step) for step in steps) if largest else ()


@dataclass(frozen=True)
class _Evenness:
    """Relative variance of |g|^(1/2), and <f^2> / <f>^2 of the factors of rows, columns and slices."""

    variance: float
    factors: tuple[float, float, float]

    def noise(self, side: int) -> float:
        """Sampling variance of the mean root of a line, times its number of entries, relative to its square."""
        return self.variance * math.prod(factor for number, factor in enumerate(self.factors) if number != side)


def _evenness(sums: _Sums) -> _Evenness:
    """What is left of the roots' variance when the factors of rows, columns and slices are divided out."""
    grand = float(sums.slice[0].sum()) / sums.filled
    ratio = sums.first / sums.filled / grand**2
    observed, shares = [], []
    for total, number in (sums.row, sums.column, sums.slice):
        live = number > 0
        counts = number[live]
        means = total[live] / counts
        observed.append(float(means @ means) * means.size / float(means.sum()) ** 2)
        shares.append(float((1 / counts).sum()) / counts.size)
    evenness = _Evenness(max(ratio - 1, 0.0), (1.0, 1.0, 1.0))
    for _ in range(4):
        factors = tuple(
            max(1.0, value - evenness.noise(side) * share) for side, (value, share) in enumerate(zip(observed, shares))
        )
        evenness = _Evenness(max(ratio / math.prod(factors) - 1, 0.0), factors)  # type: ignore[arg-type]
    return evenness


def _profile(sums: tuple[FloatArray, FloatArray], evenness: _Evenness, side: int) -> tuple[FloatArray, float]:
    """Squared strengths of mean 1 without their sampling error, and the spread of the logarithms of the strengths."""
    total, counts = sums
    live = counts > 0
    lines = int(np.count_nonzero(live))
    if lines < 2:
        return np.ones(1), 0.0
    number, total = counts[live], total[live]
    share = number / counts.max()
    logs = 4 * np.log(total / number) + np.log(share)
    # Where zeros are scattered at random their number varies too: as that of a Poisson law at most.
    sampling = 16 * evenness.noise(side) / number + np.where(share < 1, 1 / number, 0.0)
    logs.sort()
    noise = float(sampling.sum()) / lines
    loud = number_of_loud(logs, UNEVEN * math.sqrt(noise))
    shrunk = _without_sampling(logs[: lines - loud], noise)
    if shrunk is None and not loud:
        return np.ones(1), 0.0
    kept = np.full(lines - loud, np.mean(logs[: lines - loud])) if shrunk is None else shrunk
    # Loud lines have no part in what the others' spread is.
    kept = np.concatenate([kept, logs[lines - loud :]])
    strengths = np.exp(kept - np.mean(kept))
    spread = float(np.std(kept, ddof=1)) / 2
    return compressed(strengths, QUANTILES) / float(np.mean(strengths)), spread


def _without_sampling(logs: FloatArray, noise: float) -> FloatArray | None:
    """Logarithms nearer to their mean by the share of their spread that is sampling; None where it may be all of it."""
    lines = logs.size
    middle = float(logs.sum()) / lines
    off = logs - middle
    observed = float(off @ off) / (lines - 1)
    if observed <= noise * (1 + UNEVEN * math.sqrt(2 / (lines - 1))) + 1e-12:
        return None
    shrunk: FloatArray = middle + math.sqrt(1 - noise / observed) * off
    return shrunk


def number_of_loud(logs: FloatArray, least: float = 0.0) -> int:
    """How many lines are far stronger than all others: the few above the widest gap, where that is wide enough.

    `logs` are ascending logarithms of squared strengths; a gap is wide from ln 4 on, and no less than `least`.

    >>> number_of_loud(np.log([1.0] * 40 + [900.0])), number_of_loud(np.log(np.arange(1.0, 42.0)))
    (1, 0)
    """
    most = min(MOST_LOUD, int(LOUD_SHARE * logs.size))
    gaps = np.diff(logs[logs.size - most - 1 :])
    if not most or gaps.max() < max(math.log(LOUD), least):
        return 0
    return most - int(np.argmax(gaps))
