"""Correlation traps: eigenvalues of the shuffled matrix that noise does not explain, with a false-positive rate.

The entries of W are shuffled, so that everything learned is gone; what still sticks out of the bulk comes from single
large elements or from a mean that is not zero (arXiv 2507.17912, 3.3.1). `pvalue` decides, at `level`:

| p-value | hypothesis |
|---|---|
| `pvalue_edge` | independent entries of mean 0 and one variance, of a light-tailed law with W's cumulants |
| `pvalue` | the same, and the tail of the elements goes on as the rest of them shows: a heavy tail is no trap |
| `pvalue_permutation` | W's own entries, without those that stand apart and without their mean, in random order |
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..core.arrays import FloatArray, as_matrix
from ..core.as_json import as_json
from ..core.card import Card, Fact, Shown, chance_text
from ..core.checks import positive_integer
from ..core.errors import InvalidInput
from ..core.plain import as_computed
from ..core.tones import Tone
from ..theory.laws.edge import strength, threshold
from .location import Element, in_words
from .search import Slice, look, reference_excess

LEVEL = 0.01
SCHEMA = 1
SMALLEST_PVALUE = 1e-300
NUMBERS = (
    *("lambda_max", "edge", "strength", "threshold", "pvalue", "pvalue_edge", "pvalue_permutation"),
    *("sigma", "mean"),
)


@dataclass(frozen=True)
class Trap:
    """One outlier: eigenvalue in units of W squared, p-value, strength theta, the slice it is in, and its carrier.

    `carrier` is `element`, `mean shift`, or `spread` where neither stands out.
    """

    eigenvalue: float
    pvalue: float
    strength: float
    slice: int
    carrier: str


@dataclass(frozen=True, eq=False, repr=False)
class TrapReport(Shown):
    r"""What `find_traps` found.

    Attributes
    ----------
    count : int
        Number of traps at `level`, each counted once.
    lambda_max : float
        Largest eigenvalue of the shuffled matrix, raw (units of W squared); of the slice with the smallest p-value.
    edge : float
        End of the bulk there, raw: the centre of the law of the largest eigenvalue. NaN where the elements are too
        heavy-tailed for one; `edge_reason` then says so, their mean is tested by itself and single ones by the tail
        of the others.
    strength : float
        :math:`\theta` of the strongest trap, from :math:`\lambda = N\sigma^2 (1+\theta^2)(q+\theta^2)/\theta^2`; an
        element w has :math:`|w|/(\sigma\sqrt N)`, a mean shift m :math:`|m|\sqrt M/\sigma`. 0 without a trap.
    threshold : float
        :math:`q^{1/4}`: a weaker trap cannot be seen.
    pvalue, pvalue_edge, pvalue_permutation : float
        See the table above; the last is NaN unless `n_permutations` is above 1.
    indices : ndarray of int, shape (n, dimensions of W)
        Elements that carry traps, by leverage; empty for a mean shift.
    leverage : ndarray, shape (n,)
        Share of the traps' squared singular vectors at each.
    sigma, mean : float
        Noise and mean of the entries (of the slice with the smallest p-value), without elements that stand apart.
    traps : tuple of Trap
    elements : tuple of Element
    reason : str
        Why nothing is defined; empty otherwise. Then `count` is 0 and every number NaN.
    shape, seed, level
        What was asked.
    shuffled : ndarray
        All eigenvalues of the shuffled matrices, ascending, raw; empty where only the largest were computed.
    """

    count: int
    lambda_max: float
    edge: float
    strength: float
    threshold: float
    pvalue: float
    pvalue_edge: float
    pvalue_permutation: float
    indices: np.ndarray
    leverage: FloatArray
    sigma: float
    mean: float
    traps: tuple[Trap, ...]
    elements: tuple[Element, ...]
    reason: str
    shape: tuple[int, ...]
    seed: int
    level: float
    edge_reason: str = ""
    shuffled: FloatArray = field(default_factory=lambda: np.empty(0))

    @property
    def is_defined(self) -> bool:
        """True when there was noise to compare with."""
        return not self.reason

    @cached_property
    def sentence(self) -> str:
        """What was found, in words.

        >>> import numpy as np
        >>> W = np.random.default_rng(0).normal(size=(300, 200))
        >>> W[132, 17] = 40
        >>> find_traps(W).sentence
        '1 trap: element (132, 17) = +40.0 sigma (p = 3e-45).'
        """
        if self.reason:
            return f"No statement on traps: {self.reason}."
        by = f" There is no edge: {self.edge_reason}; mean and elements are tested by themselves." * bool(
            self.edge_reason
        )
        if not self.count:
            return f"No trap: the largest eigenvalue of the shuffled matrix has p = {self.pvalue:.2g}.{by}"
        shift = self.mean / self.sigma if self._pvalues("mean shift") else None
        words = in_words(
            list(self.elements),
            shift,
            len(self._pvalues("spread")),
            {carrier: _chance(self._pvalues(carrier)) for carrier in ("element", "mean shift", "spread")},
        )
        return f"{self.count} trap{'s' if self.count > 1 else ''}: {words}.{by}"

    def to_dict(self) -> dict[str, Any]:
        """Everything but `shuffled` as JSON has it; `schema` counts the versions of this form."""
        return {
            "schema": SCHEMA,
            **as_json({name: value for name, value in asdict(self).items() if name != "shuffled"}),
            "sentence": self.sentence,
        }

    def _card(self) -> Card:
        title = f"{' x '.join(map(str, self.shape))}, shuffled with seed {self.seed}"
        if not self.is_defined:
            return Card(title, [Fact("traps", "not known", Tone.CAUTION)], [self.sentence])
        edge = "" if math.isnan(self.edge) else f", the noise ends at {self.edge:.4g}"
        facts = [
            Fact("traps", str(self.count or "none"), self._tone, chance_text(self.pvalue)),
            Fact("largest", f"eigenvalue {self.lambda_max:.4g}{edge}"),
        ]
        if self.count:
            facts.append(Fact("strength", f"{self.strength:.3g}, visible from {self.threshold:.3g} on"))
        return Card(title, facts, [self.sentence])

    @property
    def _tone(self) -> Tone:
        """A shift of the mean costs nothing known; other traps do."""
        if not self.count:
            return Tone.GOOD
        return Tone.CAUTION if all(trap.carrier == "mean shift" for trap in self.traps) else Tone.BAD

    def _pvalues(self, carrier: str) -> list[float]:
        return [trap.pvalue for trap in self.traps if trap.carrier == carrier]


def _chance(pvalues: list[float]) -> str:
    """p of one trap, the largest p of several of a kind."""
    if not pvalues:
        return ""
    largest = max(pvalues)
    if not largest > SMALLEST_PVALUE:
        return f"p < {SMALLEST_PVALUE:g}"
    return f"p {'=' if len(pvalues) == 1 else '<='} {largest:.1g}"


def find_traps(W: Any, *, seed: int = 0, n_permutations: int = 1, level: float = LEVEL) -> TrapReport:
    r"""Correlation traps of one weight: outliers of the spectrum of its shuffled entries.

    Parameters
    ----------
    W : array_like or torch.Tensor, shape (rows, columns) or (out, in, kernel sides)
        Real, any dtype, any scale. With a kernel every kernel slice is shuffled on its own and the slices are judged
        together.
    seed : int
        Of the shuffle; W and its transpose are shuffled alike.
    n_permutations : int
        Above 1: that many shuffles of the entries without mean and without elements that stand apart, for
        `pvalue_permutation`, which cannot be smaller than 1 / (n_permutations + 1).
    level : float
        Chance of any trap reported in noise.

    Returns
    -------
    TrapReport
        With `reason` where nothing is defined: an entry that is not finite, no noise, fewer than 3 rows or columns,
        large elements of so few distinct sizes (2 to 4 bits) that their tail is not known.

    Raises
    ------
    InvalidInput
        W is not a real matrix or kernel; an option is out of its range.

    Notes
    -----
    `count` is sequential: the second largest eigenvalue is tested only where the largest is a trap, and so on.
    docs/traps.md has the derivation, the measured false-positive rates and the power.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).normal(size=(300, 200))
    >>> find_traps(noise).count, find_traps(noise + 0.2).sentence
    (0, '1 trap: mean shift +0.2 sigma (p < 1e-300).')
    """
    matrices, kernel = _as_slices(W)
    return find_traps_of(matrices, seed=seed, n_permutations=n_permutations, level=level, kernel=kernel)


def find_traps_of(
    matrices: Sequence[Any],
    *,
    seed: int = 0,
    n_permutations: int = 1,
    level: float = LEVEL,
    kernel: tuple[int, ...] | None = None,
    whole: bool = False,
    device: str = "cpu",
) -> TrapReport:
    """`find_traps` of matrices that are pooled, as the kernel slices of a convolution are.

    With `whole` all eigenvalues of the shuffled matrices are in the report, whatever they cost; up to 1500 columns they
    come with the largest ones. On a `device` other than `cpu` the shuffles are others.

    An element's index is (row, column), followed by its place in `kernel` (by default its matrix, where there are
    several).
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InvalidInput(f"seed={seed!r} was asked; accepted is an integer of 0 or more")
    if isinstance(level, bool) or not isinstance(level, (int, float, np.integer, np.floating)) or not 0 < level < 1:
        raise InvalidInput(f"level={level!r} was asked; accepted is a number between 0 and 1")
    positive_integer("n_permutations", n_permutations)
    checked = [as_matrix(matrix) for matrix in matrices]
    if not checked:
        raise InvalidInput("traps of no matrix were asked; accepted is at least one")
    kernel = kernel if kernel is not None else (() if len(checked) == 1 else (len(checked),))
    asked: dict[str, Any] = {"shape": (*checked[0].shape, *kernel), "seed": int(seed), "level": float(level)}
    # Independent slices: the chance of any false one stays `level`.
    share = -math.expm1(math.log1p(-level) / len(checked))
    slices: list[Slice] = []
    for number, matrix in enumerate(checked):
        found, reason = look(matrix, (seed, number), share, whole=whole, device=device)
        if found is None:
            return _undefined(reason if len(checked) == 1 else f"slice {number}: {reason}", asked)
        slices.append(found)
    worst = min(slices, key=lambda one: (one.pvalues[0], _known(one.pvalues_edge[0]), -one.excess))
    traps, elements = _gather(slices, checked, kernel)
    return TrapReport(
        count=len(traps),
        lambda_max=worst.raw_square(worst.largest),
        edge=worst.raw_square(worst.entries.variance * worst.edge),
        strength=max((trap.strength for trap in traps), default=0.0),
        threshold=threshold(worst.N, worst.M),
        pvalue=_pooled(worst.pvalues[0], len(slices)),
        pvalue_edge=_pooled(min(_known(one.pvalues_edge[0]) for one in slices), len(slices))
        if not worst.edge_reason
        else math.nan,
        pvalue_permutation=_permutation_pvalue(slices, checked, seed, n_permutations),
        indices=np.array([element.index for element in elements], dtype=int).reshape(-1, len(asked["shape"])),
        leverage=np.array([element.leverage for element in elements]),
        sigma=worst.raw(math.sqrt(worst.entries.variance)),
        mean=worst.raw(worst.entries.mean),
        traps=traps,
        elements=elements,
        reason="",
        edge_reason=worst.edge_reason,
        shuffled=np.sort(np.concatenate([one.raw_spectrum for one in slices])),
        **asked,
    )


def _known(pvalue: float) -> float:
    """1 where there is no p-value."""
    return 1.0 if math.isnan(pvalue) else pvalue


def trap_row(matrices: Sequence[Any], *, seed: int = 0, level: float = LEVEL) -> dict[str, float]:
    """The `trap_*` columns of one layer from its matrices in memory; NaN where nothing is defined.

    Examples
    --------
    >>> import numpy as np
    >>> sorted(trap_row([np.random.default_rng(0).normal(size=(60, 40))]))
    ['trap_count', 'trap_edge', 'trap_lambda_max', 'trap_pvalue', 'trap_strength']
    """
    return row_of(find_traps_of(matrices, seed=seed, level=level))


def row_of(report: TrapReport | None) -> dict[str, float]:
    """The `trap_*` columns of a report; all NaN without one."""
    names = ("count", "lambda_max", "edge", "strength", "pvalue")
    if report is None or report.reason:
        return {f"trap_{name}": math.nan for name in names}
    return {f"trap_{name}": getattr(report, name) for name in names}


def _pooled(pvalue: float, number: int) -> float:
    """Chance that the smallest of `number` independent p-values is this small."""
    return -math.expm1(number * math.log1p(-pvalue)) if pvalue < 1 else 1.0


def _gather(
    slices: list[Slice], matrices: list[Any], kernel: tuple[int, ...]
) -> tuple[tuple[Trap, ...], tuple[Element, ...]]:
    """Traps by p-value and elements by leverage, of all slices."""
    traps: list[Trap] = []
    elements: list[Element] = []
    for number, one in enumerate(slices):
        by_shift = one.place.shifts
        carried = one.place.positions.size
        for rank in range(one.count):
            if by_shift[rank]:
                carrier = "mean shift"
            else:
                carrier, carried = ("element", carried - 1) if carried > 0 else ("spread", 0)
            value = float(one.values[rank])
            theta = strength(value / one.entries.variance, one.N, one.M)
            traps.append(Trap(one.raw_square(value), float(one.pvalues[rank]), theta, number, carrier))
        for source, leverage in zip(one.sources, one.place.leverage):
            index = one.index(source)
            value = float(matrices[number][index])
            sigmas = (math.ldexp(value, -one.exponent) - one.entries.mean) / math.sqrt(one.entries.variance)
            inside = tuple(int(i) for i in np.unravel_index(number, kernel)) if kernel else ()
            elements.append(Element((*index, *inside), value, sigmas, float(leverage)))
    traps.sort(key=lambda trap: (trap.pvalue, -trap.strength))
    elements.sort(key=lambda element: (-element.leverage, -abs(element.sigmas)))
    return tuple(traps), tuple(elements)


def _permutation_pvalue(slices: list[Slice], matrices: list[Any], seed: int, number: int) -> float:
    if number == 1:
        return math.nan
    seen = max(one.excess for one in slices)
    beyond = 0
    for replica in range(number):
        excess = max(reference_excess(m, one, (seed, k, replica)) for k, (m, one) in enumerate(zip(matrices, slices)))
        beyond += excess >= seen
    return (1 + beyond) / (1 + number)


def _undefined(reason: str, asked: dict[str, Any]) -> TrapReport:
    numbers: dict[str, Any] = dict.fromkeys(NUMBERS, math.nan)
    nothing = np.empty((0, len(asked["shape"])), dtype=int)
    return TrapReport(
        count=0, indices=nothing, leverage=np.empty(0), traps=(), elements=(), reason=reason, **numbers, **asked
    )


def _as_slices(W: Any) -> tuple[list[Any], tuple[int, ...]]:
    """The matrices of a 2-D weight or of a kernel (out, in, ...), and the shape of the kernel."""
    whole = as_array(W)
    if whole.ndim <= 2:
        return [as_matrix(whole)], ()
    kernel = tuple(int(side) for side in whole.shape[2:])
    if 0 in kernel:
        raise InvalidInput(f"a kernel of shape {tuple(whole.shape)} was given; accepted is one with entries")
    # Indexing gives views whatever the order in memory; `remove_traps` writes into them.
    return [as_matrix(whole[(slice(None), slice(None), *place)]) for place in np.ndindex(*kernel)], kernel


def as_array(W: Any) -> Any:
    """W as a plain array or tensor, `InvalidInput` for lists that make none."""
    try:
        return as_computed(W)
    except InvalidInput:
        raise
    except ValueError as error:
        raise InvalidInput(f"rows that make no matrix were given ({error}); accepted are rows of one length") from None
