"""The update `tuned - base` of one layer: how large, of what rank, how heavy its tail, and where it lies."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np

from ..core.arrays import FloatArray, as_matrix, precision, to_numpy
from ..core.outcomes import Outcome
from ..linalg.decomposed import Decomposed
from ..linalg.rounding import Rounding, rounding_of, significand
from ..linalg.scaled import representable
from ..linalg.subspaces import Subspace, angles, leading_subspaces, shares
from ..spectrum.erg import ErgCut, erg_cut
from ..spectrum.esd import Spectrum
from ..spectrum.tail import fit_tail

#: What is put together from factors is added in float32.
ADDED = re.compile(r" (\+ |update|LoRA)")
SAME = "the weights are the same, bit for bit"
NO_UPDATE = "the update is zero"
NO_BASE = "an update by itself: its base is not here"
NOT_FINITE = "the difference has entries beyond the range of its type"
NO_ECS = "the base has no effective correlation space"


@dataclass(frozen=True)
class Update:
    r"""What `tuned - base` is, D for short; a number that is not defined is NaN and `update_reason` says why.

    Attributes
    ----------
    update_norm : float
        :math:`\|D\|_F`, raw.
    update_norm_share : float
        :math:`\|D\|_F / \|W_{base}\|_F`.
    update_rank : float
        Singular values of D above what rounding to the stored types can make (`linalg.rounding`).
    update_stable_rank : float
        :math:`\|D\|_F^2 / \sigma_1(D)^2`.
    update_rounding : float
        Share of :math:`\|D\|_F^2` that rounding both models to their types makes at most; NaN for types whose rounding
        is not known.
    update_alpha, update_alpha_sigma : float
        Exponent of the power-law tail of D and its standard error.
    update_erg_rank, update_erg_fraction : float
        The trace-log cut of D.
    update_in_base_ecs, update_in_base_ecs_left, update_in_base_ecs_right : float
        :math:`\|P_L D P_R\|_F^2 / \|D\|_F^2`, P the projectors on the singular directions of the base's effective
        correlation space (its k* leading ones), left :math:`\|P_L D\|_F^2`, right :math:`\|D P_R\|_F^2` over the same.
    update_in_base_ecs_chance : float
        What the first of them is on average for a D without a preferred direction.
    ecs_overlap_left, ecs_overlap_right : float
        Mean squared cosine of the principal angles between the effective correlation spaces of base and tuned.
    ecs_angle_left, ecs_angle_right : float
        The largest of these angles in degrees.
    update_reason : str
    """

    update_norm: float = math.nan
    update_norm_share: float = math.nan
    update_rank: float = math.nan
    update_stable_rank: float = math.nan
    update_rounding: float = math.nan
    update_alpha: float = math.nan
    update_alpha_sigma: float = math.nan
    update_erg_rank: float = math.nan
    update_erg_fraction: float = math.nan
    update_in_base_ecs: float = math.nan
    update_in_base_ecs_left: float = math.nan
    update_in_base_ecs_right: float = math.nan
    update_in_base_ecs_chance: float = math.nan
    ecs_overlap_left: float = math.nan
    ecs_overlap_right: float = math.nan
    ecs_angle_left: float = math.nan
    ecs_angle_right: float = math.nan
    update_reason: str = ""


UPDATE_COLUMNS = tuple(one.name for one in fields(Update))


@dataclass(frozen=True, eq=False)
class Side:
    """One layer of one model: its matrices, the type they are stored in, and the spectrum of them times root scale."""

    parts: Sequence[Decomposed] = field(repr=False)
    dtype: str
    spectrum: Spectrum
    scale: float = 1.0

    @classmethod
    def of(cls, matrices: Sequence[Any], dtype: str) -> Side:
        """Of matrices as they are.

        >>> Side.of([np.eye(3)], "float64").spectrum.num_evals
        3
        """
        parts = [Decomposed(as_matrix(matrix)) for matrix in matrices]
        return cls(parts, dtype, pooled(parts))

    @property
    def matrices(self) -> list[Any]:
        """As they are stored."""
        return [part.matrix for part in self.parts]

    @cached_property
    def cut(self) -> ErgCut:
        """Where the effective correlation space ends."""
        return erg_cut(self.spectrum)

    @cached_property
    def ecs(self) -> list[Subspace] | None:
        """The effective correlation space on both sides, slice by slice; None for entries that are not finite."""
        return leading_subspaces(self.parts, self.cut.rank)


def pooled(parts: Sequence[Decomposed]) -> Spectrum:
    """The spectrum of slices that are decomposed."""
    matrices = [part.matrix for part in parts]
    return Spectrum.pooled([part.eigenvalues for part in parts], matrices[0].shape, min(map(precision, matrices)))


def update_of(base: Side, tuned: Side, device: str = "cpu") -> Update:
    """Everything said of the difference of two layers of one shape.

    Examples
    --------
    >>> W = np.random.default_rng(0).normal(size=(60, 40))
    >>> D = np.outer(np.ones(60), np.ones(40)) / 40
    >>> base, tuned = (Side.of([one], "float64") for one in (W, W + D))
    >>> found = update_of(base, tuned)
    >>> round(found.update_norm_share, 3), found.update_rank, round(found.update_stable_rank, 3)
    (0.025, 1.0, 1.0)
    """
    differences = [difference(one, other) for one, other in zip(tuned.matrices, base.matrices)]
    if not any(one.any() for one in differences):
        return Update(update_norm=0.0, update_norm_share=0.0, update_rank=0.0, **_same(base))
    spectrum = Spectrum.from_slices(differences, device=device)
    if not spectrum.is_defined:
        return Update(update_reason=NOT_FINITE)
    found = {**_size(spectrum, _rounding(base, tuned)), "update_norm_share": _norm_share(spectrum, base)}
    return Update(**found, **_places(base, tuned, differences))


def lone_update(side: Side) -> Update:
    """An adapter's update whose base is not here: what it is by itself."""
    if not side.spectrum.is_defined:
        return Update(update_norm=0.0, update_rank=0.0, update_reason=NO_UPDATE)
    return Update(**_size(side.spectrum.times(1 / side.scale), None), update_reason=NO_BASE)


def difference(tuned: Any, base: Any) -> np.ndarray:
    """`tuned - base` in float64 where one of them is, else in float32, which the difference of near numbers fits."""
    one, other = to_numpy(tuned), to_numpy(base)
    wide = np.float64 if np.float64 in (one.dtype, other.dtype) else np.float32
    with np.errstate(over="ignore", under="ignore"):
        return np.subtract(one, other, dtype=wide)


def _same(base: Side) -> dict[str, Any]:
    """What is known without a difference."""
    has_ecs = base.cut.status is not Outcome.DEGENERATE
    unmoved = {"ecs_overlap_left": 1.0, "ecs_overlap_right": 1.0, "ecs_angle_left": 0.0, "ecs_angle_right": 0.0}
    return {**(unmoved if has_ecs else {}), "update_reason": SAME}


def _size(spectrum: Spectrum, rounding: Rounding | None) -> dict[str, Any]:
    """Norm, ranks, tail and cut of the update."""
    tail, erg = fit_tail(spectrum), erg_cut(spectrum)
    energy = spectrum.in_raw_units(float(spectrum.values.sum()))
    edge = math.ldexp(rounding.edge, -spectrum.exponent // 2) if rounding else 0.0
    floor = max(edge**2, spectrum.rounding**2 * float(spectrum.values[-1]))
    return {
        "update_norm": representable(math.sqrt(float(spectrum.values.sum())), spectrum.exponent // 2),
        "update_rank": float(np.count_nonzero(spectrum.values > floor)),
        "update_stable_rank": float(spectrum.values.sum() / spectrum.values[-1]),
        "update_rounding": min(1.0, rounding.energy / energy) if rounding and energy > 0 else math.nan,
        "update_alpha": tail.alpha,
        "update_alpha_sigma": tail.sigma,
        "update_erg_rank": float(erg.rank),
        "update_erg_fraction": erg.fraction,
    }


def _norm_share(spectrum: Spectrum, base: Side) -> float:
    """In units of each spectrum, so that no scale of the weights over- or underflows."""
    whole = float(base.spectrum.values.sum()) / base.scale
    if not whole > 0:
        return math.nan
    share = math.sqrt(float(spectrum.values.sum()) / whole)
    return float(np.ldexp(share, (spectrum.exponent - base.spectrum.exponent) // 2))


def _rounding(base: Side, tuned: Side) -> Rounding | None:
    """Rounding errors of both sides; None where that of a type is not known. Of pooled slices those of one matrix."""
    ours, theirs = _significand(base), _significand(tuned)
    if ours is None or theirs is None:
        return None
    pairs = zip(base.matrices, tuned.matrices)
    slices = [rounding_of([(one, ours), (other, theirs)]) for one, other in pairs]
    energy = sum(one.energy for one in slices)
    rows = np.array([max(one.rows.max() for one in slices)])
    columns = np.array([max(one.columns.max() for one in slices)])
    return Rounding(energy, rows, columns)


def _significand(side: Side) -> int | None:
    """The most bits that the values of any of its matrices were rounded to; None where that is not known."""
    dtype = "float32" if ADDED.search(side.dtype) else side.dtype
    found = [significand(matrix, dtype) for matrix in side.matrices]
    known = [bits for bits in found if bits is not None]
    return max(known) if known else None


def _places(base: Side, tuned: Side, differences: Sequence[np.ndarray]) -> dict[str, Any]:
    """Where the update lies, and how far the effective correlation space has turned."""
    if Outcome.DEGENERATE in (base.cut.status, tuned.cut.status):
        return {"update_reason": NO_ECS}
    ours, theirs = base.ecs, tuned.ecs
    assert ours is not None
    assert theirs is not None
    inside = shares(differences, ours)
    left, right = angles(_left(ours), _left(theirs)), angles(_right(ours), _right(theirs))
    return {
        "update_in_base_ecs": inside.both,
        "update_in_base_ecs_left": inside.left,
        "update_in_base_ecs_right": inside.right,
        "update_in_base_ecs_chance": _chance(ours),
        "ecs_overlap_left": left.overlap,
        "ecs_overlap_right": right.overlap,
        "ecs_angle_left": left.largest,
        "ecs_angle_right": right.largest,
    }


def _left(found: Sequence[Subspace]) -> list[FloatArray]:
    return [one.left for one in found]


def _right(found: Sequence[Subspace]) -> list[FloatArray]:
    return [one.right for one in found]


def _chance(found: Sequence[Subspace]) -> float:
    """The mean share of an update whose entries are drawn independently, all with one variance."""
    return float(np.mean([one.size**2 / (one.left.shape[0] * one.right.shape[0]) for one in found]))
