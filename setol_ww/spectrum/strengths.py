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
from functools import cached_property
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
    return strengths_of_each([matrices])[0]


def strengths_of_each(layers: Sequence[Sequence[Any]]) -> list[Strengths]:
    """`strengths_of` of many layers, each to the bit what it is alone; small ones of one shape cost less together.

    Examples
    --------
    >>> one, other = np.random.default_rng(0).normal(size=(2, 60, 40))
    >>> strengths_of_each([[one], [other]]) == [strengths_of([one]), strengths_of([other])]
    True
    """
    found: list[Strengths | None] = [None] * len(layers)
    alike: dict[tuple[int, ...], list[tuple[int, _Sums]]] = {}
    for place, matrices in enumerate(layers):
        sums = _sums_of(matrices)
        if not sums.filled or not sums.are_finite:
            rows, columns = matrices[0].shape
            even = np.ones(1)
            found[place] = Strengths(int(rows), int(columns), even, even, even, 0.0, 0.0, 0.0, math.nan, math.nan)
        else:
            alike.setdefault(sums.live, []).append((place, sums))
    for same in alike.values():
        together = _strengths_of_alike([sums for _, sums in same])
        for (place, _), strengths in zip(same, together, strict=True):
            found[place] = strengths
    return [strengths for strengths in found if strengths is not None]


def _sums_of(matrices: Sequence[Any]) -> _Sums:
    narrow = all(precision(matrix) == EPS_FLOAT32 for matrix in matrices)
    sums = _Sums.of(matrices, np.float32 if narrow else np.float64)
    return _Sums.of(matrices, np.float64) if narrow and not sums.are_finite else sums


def _strengths_of_alike(layers: list[_Sums]) -> list[Strengths]:
    """Strengths of layers with the same numbers of lines that are not zero."""
    sides = [_Lines.of([getattr(sums, name) for sums in layers]) for name in ("row", "column", "slice")]
    noise = _sampling_noise(layers, sides)
    profiles = [_profiles(lines, variances) for lines, variances in zip(sides, noise)]
    return [_strengths(sums, *three) for sums, *three in zip(layers, *profiles, strict=True)]


Profile = tuple[FloatArray, float]


def _strengths(sums: _Sums, row: Profile, column: Profile, part: Profile) -> Strengths:
    squares, cubes = (math.prod(_mean_power(side[0], power) for side in (row, column, part)) for power in (2, 3))
    m4 = sums.fourth * sums.filled / sums.second**2 / squares
    m6 = sums.sixth * sums.filled**2 / sums.second**3 / cubes
    # Zeros are entries of g as well, in the share that they have.
    share = sums.filled / math.prod(sums.live)
    m4, m6 = m4 / share, m6 / share**2
    return Strengths(
        rows=sums.live[0],
        columns=sums.live[1],
        row=row[0],
        column=column[0],
        slice=part[0],
        row_spread=row[1],
        column_spread=column[1],
        slice_spread=part[1],
        k4=m4 - 3,
        k6=m6 - 15 * m4 + 30,
    )


def _mean_power(profile: FloatArray, power: int) -> float:
    # A single strength is 1.
    return float(np.mean(profile**power)) if profile.size > 1 else 1.0


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

    @cached_property
    def filled(self) -> float:
        """Number of entries that are not zero."""
        return float(self.slice[1].sum())

    @cached_property
    def live(self) -> tuple[int, int, int]:
        """Numbers of rows, columns and slices that have such an entry."""
        rows, columns, slices = (int(np.count_nonzero(side[1])) for side in (self.row, self.column, self.slice))
        return rows, columns, slices

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
        step = BLOCK // np.dtype(dtype).itemsize
        # An entry that is not finite makes the sums so, and an overflow of sixth powers too.
        with np.errstate(over="ignore", under="ignore"):
            for number, matrix in enumerate(matrices):
                start = 0
                for block in blocks(matrix, 0, elements=step, dtype=dtype) if rows and columns else ():
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
class _Lines:
    """Sums of roots and numbers of entries of the lines of one side that have some, a row of each for every layer."""

    total: FloatArray
    number: FloatArray

    @classmethod
    def of(cls, sums: Sequence[tuple[FloatArray, FloatArray]]) -> _Lines:
        live = [number > 0 for _, number in sums]
        return cls(*(np.stack([side[which][kept] for side, kept in zip(sums, live)]) for which in (0, 1)))


def _sampling_noise(layers: list[_Sums], sides: list[_Lines]) -> list[FloatArray]:
    """Sampling variance of the mean root of a line of each side, times its number of entries, relative to its square.

    From what is left of the roots' variance when the factors <f^2> / <f>^2 of rows, columns and slices are divided out.
    """
    filled, first = (np.array([getattr(sums, name) for sums in layers]) for name in ("filled", "first"))
    ratio = first / filled / (sides[2].total.sum(axis=1) / filled) ** 2
    observed, shares = [], []
    for lines in sides:
        means = lines.total / lines.number
        observed.append((means * means).mean(axis=1) / means.mean(axis=1) ** 2)
        shares.append((1 / lines.number).mean(axis=1))
    # As if the factors were 1: most layers have none.
    noise, factors = np.tile(np.maximum(ratio - 1, 0.0), (3, 1)), np.ones((3, len(layers)))
    for _ in range(4):
        before, factors = factors, np.maximum(1.0, np.stack(observed) - noise * np.stack(shares))
        if (factors == before).all():
            break
        product = factors[0] * factors[1] * factors[2]
        noise = np.maximum(ratio / product - 1, 0.0) * (product / factors)
    return list(noise)


def _profiles(lines: _Lines, noise: FloatArray) -> list[Profile]:
    """Squared strengths of mean 1 without their sampling error, and the spread of the logarithms of the strengths."""
    count = lines.number.shape[1]
    if count < 2:
        return [(np.ones(1), 0.0)] * len(noise)
    share = lines.number / lines.number.max(axis=1, keepdims=True)
    logs = 4 * np.log(lines.total / lines.number) + np.log(share)
    # Where zeros are scattered at random their number varies too: as that of a Poisson law at most.
    sampling = 16 * noise[:, None] / lines.number + np.where(share < 1, 1 / lines.number, 0.0)
    logs.sort(axis=1)
    error = sampling.sum(axis=1) / count
    loud = _numbers_of_loud(logs, UNEVEN * np.sqrt(error))
    shrunk, is_even = _without_sampling(logs, error)
    found = []
    for place in range(len(logs)):
        kept, alike = shrunk[place], is_even[place]
        if loud[place]:
            # Loud lines have no part in what the others' spread is.
            quiet = logs[place : place + 1, : count - loud[place]]
            rest = _without_sampling(quiet, error[place : place + 1])[0][0]
            kept, alike = np.concatenate([rest, logs[place, rest.size :]]), False
        found.append((np.ones(1), 0.0) if alike else _profile(kept))
    return found


def _profile(logs: FloatArray) -> Profile:
    """Of the logarithms of squared strengths."""
    strengths = np.exp(logs - np.mean(logs))
    return compressed(strengths, QUANTILES) / float(np.mean(strengths)), float(np.std(logs, ddof=1)) / 2


def _without_sampling(logs: FloatArray, noise: FloatArray) -> tuple[FloatArray, np.ndarray]:
    """Logarithms nearer to their mean by the share of their spread that is sampling; whether that may be all of it."""
    lines = logs.shape[1]
    middle = logs.sum(axis=1, keepdims=True) / lines
    off = logs - middle
    observed = (off * off).sum(axis=1) / (lines - 1)
    is_even = observed <= noise * (1 + UNEVEN * math.sqrt(2 / (lines - 1))) + 1e-12
    share = np.divide(noise, observed, out=np.ones_like(noise), where=~is_even)
    return middle + np.sqrt(1 - share)[:, None] * off, is_even


def number_of_loud(logs: FloatArray, least: float = 0.0) -> int:
    """How many lines are far stronger than all others: the few above the widest gap, where that is wide enough.

    `logs` are ascending logarithms of squared strengths; a gap is wide from ln 4 on, and no less than `least`.

    >>> number_of_loud(np.log([1.0] * 40 + [900.0])), number_of_loud(np.log(np.arange(1.0, 42.0)))
    (1, 0)
    """
    return int(_numbers_of_loud(logs[np.newaxis], np.array([least]))[0])


def _numbers_of_loud(logs: FloatArray, least: FloatArray) -> np.ndarray:
    """`number_of_loud` of each row."""
    lines = logs.shape[1]
    most = min(MOST_LOUD, int(LOUD_SHARE * lines))
    if not most:
        return np.zeros(len(logs), dtype=np.int64)
    gaps = np.diff(logs[:, lines - most - 1 :], axis=1)
    is_wide = gaps.max(axis=1) >= np.maximum(math.log(LOUD), least)
    return np.where(is_wide, most - gaps.argmax(axis=1), 0)
