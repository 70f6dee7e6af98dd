"""The entries of a matrix as a sample: mean, noise, cumulants, how heavy their tail is, and which stand apart from it.

A shuffled matrix knows nothing but its entries. It has an outlying eigenvalue when their mean is not zero, or when
single elements are too large; and single elements are too large either because they stand apart from all others or
because all are heavy-tailed. This room tells the two apart, so that neither a trap hides itself by inflating the
variance, nor a heavy tail is read as a trap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import poisson

from ..core.arrays import FloatArray, to_numpy
from ..linalg.device import READ_ELEMENTS, is_there

# A block of entries in float64 is a quarter of a megabyte: what is computed from it stays in the cache.
BLOCK = 2**15
PILOT = 2**17 - 1
LARGEST_TAIL = 2000
SMALLEST_TAIL = 20
# Share of the tail's elements that may stand apart without touching the fit of the others.
CENSORED = 0.1
# Elements stand apart where chance does not reach them, and where they matter: an element is an outlier of the
# spectrum from (number of entries)^(1/4) standard deviations on (theory 4.9).
APART = 1e-3
RELEVANT = 0.7
LARGEST_SHAPE = 2.0
# Shapes over widths, in units of the mean excess, among which the likelihood is looked at first.
THETAS = tuple(np.geomspace(1e-4, 1e4, 17).tolist())


@dataclass(frozen=True)
class Tail:
    """A generalised Pareto law of what |w - centre| exceeds `start` by, `count` of the elements exceeding it.

    `shape` above 0 is a power law, 0 exponential; `width` in the units of the entries.
    """

    start: float
    count: int
    shape: float
    width: float

    def expected_beyond(self, size: float) -> float:
        """Expected number of elements with |w - centre| above `size`, for sizes above `start`."""
        z = max(0.0, (size - self.start) / self.width)
        if abs(self.shape) < 1e-9:
            return self.count * math.exp(-z)
        return self.count * math.exp(-math.log1p(self.shape * z) / self.shape)

    def pvalue(self, size: float, rank: int = 1) -> float:
        """Chance that at least `rank` elements exceed `size`."""
        return float(poisson.sf(rank - 1, self.expected_beyond(size)))


@dataclass(frozen=True)
class Entries:
    """What the entries of one matrix say.

    Attributes
    ----------
    mean, variance : float
        Of the entries that do not stand apart; the variance about that mean.
    k4, k6 : float
        Their fourth and sixth cumulants in units of the variance.
    centre : float
        Centre from which sizes |w - centre| are counted.
    tail : Tail or None
        None where the largest elements have fewer than 20 distinct sizes even after ties are spread.
    has_known_tail : bool
        False where there is no tail to judge elements by, although the largest is of a size that would matter.
    apart : ndarray of float64
        Sizes |w - centre| of the elements that stand apart, largest first.
    """

    mean: float
    variance: float
    k4: float
    k6: float
    centre: float
    tail: Tail | None
    has_known_tail: bool
    apart: FloatArray

    def tail_pvalue(self, size: float, rank: int = 1) -> float:
        """Chance that the tail of these entries reaches `size` with `rank` elements; 0 where there is no tail."""
        return self.tail.pvalue(size, rank) if self.tail is not None and size > self.tail.start else 0.0


def read_entries(flat: Any) -> Entries:
    """Statistics of a one-dimensional array or tensor of finite numbers of any real dtype, computed where it is."""
    number = flat.shape[0]
    pilot = _pilot(flat)
    centre = float(np.median(pilot))
    wanted = int(min(LARGEST_TAIL, max(SMALLEST_TAIL, number**0.65), number - 1))
    largest = _largest(flat, centre, wanted + 1)
    tail = fit_tail_of_entries(spread_ties(largest, lambda: _how_many(flat, centre, largest[-1])))
    relevant = RELEVANT * number**0.25 * _spread(pilot, centre)
    apart = largest[: _number_apart(largest, tail, relevant)]
    known = tail is not None or largest[0] <= relevant
    limit = apart[-1] if apart.size else math.inf
    parts = [(block.shape[0], float(block.sum())) for block in _kept_blocks(flat, centre, limit)]
    # Elements as large as the last that stands apart are left out too, however many they are.
    kept = sum(size for size, _ in parts)
    mean = sum(total for _, total in parts) / kept
    # In units of the largest size that is kept, sixth powers neither overflow nor vanish.
    unit = float(largest[apart.size]) or 1.0
    sums = np.zeros(3)
    for block in _kept_blocks(flat, centre, limit):
        size = (block - mean) / unit
        square = size * size
        fourth_power = square * square
        sums += [float(part) for part in (square.sum(), fourth_power.sum(), fourth_power @ square)]
    second, fourth, sixth = (float(value) for value in sums / kept)
    variance = second * unit**2
    if not second > 0:
        return Entries(mean, variance, 0.0, 0.0, centre, None, known, apart)
    m4, m6 = fourth / second**2, sixth / second**3
    return Entries(mean, variance, m4 - 3, m6 - 15 * m4 + 30, centre, tail, known, apart)


def fit_tail_of_entries(largest: FloatArray) -> Tail | None:
    """Generalised Pareto law of the sizes above the last of `largest` (descending), the top tenth of them censored.

    Maximum likelihood among exponential and heavier laws: a lighter one ends, and a fit that ends too early would put
    every largest element beyond it. Of the censored ones only their number counts, so that a few planted ones do not
    bend the law.
    """
    start, count = float(largest[-1]), largest.size - 1
    excess = largest[:-1] - start
    if count < SMALLEST_TAIL or np.unique(excess).size < SMALLEST_TAIL:
        return None
    hidden = math.ceil(CENSORED * count)
    seen, bound = excess[hidden:], float(excess[hidden - 1])
    unit = float(np.mean(seen))
    if not unit > 0:
        return None

    shape, width = censored_pareto(seen / unit, bound / unit, hidden)
    return Tail(start, count, shape, unit * width)


def censored_pareto(seen: FloatArray, bound: float, hidden: int) -> tuple[float, float]:
    r"""Shape (0 to 2) and width of the generalised Pareto law of `seen` excesses and `hidden` ones beyond `bound`.

    With :math:`\theta` = shape / width the likelihood is largest at shape :math:`= [\sum \ln(1+\theta x) + h
    \ln(1+\theta b)]/n` in closed form, which leaves one parameter.

    Parameters
    ----------
    seen : ndarray, shape (n,)
        In units of their mean.
    bound : float
    hidden : int
    """
    number = seen.size

    def at(theta: float) -> tuple[float, float]:
        """What is minimised, and the shape there."""
        logs, beyond = float(np.log1p(theta * seen).sum()), hidden * math.log1p(theta * bound)
        shape = min((logs + beyond) / number, LARGEST_SHAPE)
        return number * math.log(shape / theta) + logs + (logs + beyond) / shape, shape

    def slope(log_theta: float) -> float:
        """Derivative by theta of what is minimised, times theta."""
        theta = math.exp(log_theta)
        rise, beyond = float(np.sum(theta * seen / (1 + theta * seen))), hidden * theta * bound / (1 + theta * bound)
        shape = at(theta)[1]
        # One formula, below the largest shape and at it.
        return (rise + beyond) / shape - number + rise

    grid = [at(theta)[0] for theta in THETAS]
    best = int(np.argmin(grid))
    ends = math.log(THETAS[max(0, best - 1)]), math.log(THETAS[min(len(THETAS) - 1, best + 1)])
    inside = slope(ends[0]) < 0 < slope(ends[1])
    theta = math.exp(brentq(slope, *ends)) if inside else THETAS[best]
    loss, shape = at(theta)
    # Exponential: the limit of theta to 0.
    width = (float(seen.sum()) + hidden * bound) / number
    if number * math.log(width) + number <= loss:
        return 0.0, width
    return shape, shape / theta


def spread_ties(largest: FloatArray, of_smallest: Callable[[], int]) -> FloatArray:
    """Descending sizes of which equal ones are spread evenly over half the smaller gap to a neighbour, to both sides.

    Quantised elements have few sizes, each a bin of those they had before; spread, they show the law they come from.
    `of_smallest()` elements have the last size, more than are in `largest` where that cuts a bin, of which it has the
    upper ones.
    """
    sizes, counts = np.unique(largest, return_counts=True)
    if sizes.size < 3 or sizes.size == largest.size:
        return largest
    gaps = np.diff(sizes)
    half = np.minimum(np.append(gaps[0], gaps), np.append(gaps, gaps[-1])) / 2
    whole = counts.copy()
    whole[0] = of_smallest()
    within = np.arange(largest.size) + np.repeat(whole - np.cumsum(counts), counts)
    shift = (2 * within + 1) / np.repeat(whole, counts) - 1
    return np.sort(np.repeat(sizes, counts) + np.repeat(half, counts) * shift)[::-1]


def _pilot(flat: Any) -> FloatArray:
    """PILOT elements at one distance, all where there are fewer; a prime number of them, so that no multiple of a row's
    length keeps them in few columns.
    """
    number = flat.shape[0]
    places = slice(None) if number <= PILOT else np.arange(PILOT) * number // PILOT
    return np.asarray(to_numpy(flat[places]), dtype=np.float64)


def _spread(pilot: FloatArray, centre: float) -> float:
    """Standard deviation of the inner 99.5 %, a little small."""
    inside = max(1, int(0.995 * pilot.size))
    inner = np.partition(np.abs(pilot - centre), inside - 1)[:inside]
    unit = float(inner[-1]) or 1.0
    return unit * float(np.sqrt(np.mean((inner / unit) ** 2)))


def _number_apart(largest: FloatArray, tail: Tail | None, relevant: float) -> int:
    """How many of the largest stand apart: the last j for which j elements of that size have chance APART."""
    if tail is None:
        return 0
    limit = min(math.ceil(CENSORED * tail.count), int(np.count_nonzero(largest > relevant)))
    return max(
        (rank for rank in range(1, limit + 1) if tail.pvalue(float(largest[rank - 1]), rank) <= APART), default=0
    )


def _largest(flat: Any, centre: float, count: int) -> FloatArray:
    """The `count` largest |w - centre|, descending."""
    kept, bar = np.empty(0), -math.inf
    for block in blocks_of(flat):
        sizes = abs(block - centre)
        kept = np.concatenate([kept, _top(sizes[sizes > bar], count)])
        if kept.size > count:
            kept = _top(kept, count)
            bar = kept[0]
    return np.sort(kept)[::-1]


def _top(sizes: Any, count: int) -> FloatArray:
    """The `count` largest, the smallest of them first, or all where there are no more; in memory."""
    if sizes.shape[0] <= count:
        return to_numpy(sizes)
    if is_there(sizes):
        return to_numpy(sizes.topk(count).values.flip(0))
    return np.partition(sizes, sizes.shape[0] - count)[-count:]


def _how_many(flat: Any, centre: float, size: float) -> int:
    """Number of elements of exactly this |w - centre|."""
    return sum(int((abs(block - centre) == size).sum()) for block in blocks_of(flat))


def _kept_blocks(flat: Any, centre: float, limit: float) -> Iterator[Any]:
    """Blocks without the elements whose |w - centre| is `limit` or more."""
    for block in blocks_of(flat):
        yield block if math.isinf(limit) else block[abs(block - centre) < limit]


def places_beyond(blocks: Iterable[Any], centre: float, size: float) -> list[int]:
    """Positions of the elements with |w - centre| of at least `size` in what blocks of rows make."""
    places, start = [], 0
    for rows in blocks:
        for block in blocks_of(rows.reshape(-1)):
            beyond = abs(block - centre) >= size
            places += (np.flatnonzero(beyond.cpu() if is_there(beyond) else beyond) + start).tolist()
            start += block.shape[0]
    return places


def blocks_of(flat: Any) -> Iterator[Any]:
    """One block of a one-dimensional array or tensor after the other in float64: arrays, on a device tensors there."""
    there = is_there(flat)
    step = READ_ELEMENTS if there else BLOCK
    for start in range(0, flat.shape[0], step):
        block = flat[start : start + step]
        yield block.double() if there else np.asarray(to_numpy(block), dtype=np.float64)
