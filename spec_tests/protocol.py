"""What an implementation has to answer to be held against the clauses, and how to point the suite at one.

An implementation overrides the methods it can answer. A method it leaves alone raises `Untested`: the clauses that
need it are reported as untested, never as passed.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

VARIABLE = "SETOL_SPEC_IMPL"
Files = Sequence[Mapping[str, np.ndarray]]
SHIPPED = {
    "setol_ww": "spec_tests.implementations.ours:implementation",
    "weightwatcher": "spec_tests.implementations.upstream:implementation",
    "oracle": "spec_tests.implementations.oracle:implementation",
}


class Untested(Exception):
    """The implementation has no answer to give."""


@dataclass(frozen=True)
class Tail:
    """A fitted power-law tail; `lambda_min` in the units of the eigenvalues given."""

    alpha: float
    sigma: float
    lambda_min: float
    rank: int
    ks: float


@dataclass(frozen=True)
class Cut:
    """A trace-log cut: how many leading eigenvalues, and the smallest of them in the units of those given."""

    rank: int
    lambda_min: float


@dataclass(frozen=True)
class Meeting:
    """Where the two tails differ, unit-mean scale."""

    delta_lambda_min: float
    rank_gap: float
    erg_metric: float
    alpha_erg: float


@dataclass(frozen=True)
class Bulk:
    """A Marchenko-Pastur bulk: standard deviation of the entries, edges in the units of the eigenvalues, spikes."""

    sigma: float
    lambda_minus: float
    lambda_plus: float
    spikes: int


@dataclass(frozen=True)
class Traps:
    """Number of correlation traps and the largest eigenvalue of the randomised matrix (on any fixed scale)."""

    count: int
    lambda_max: float


@dataclass(frozen=True)
class Row:
    """One tensor of a scan.

    `reason` says why there are no numbers, and is empty where there are. `numbers` are all that were computed of its
    weights, by any names, NaN where undefined; `norm` and `lambda_max`, sum and largest of the eigenvalues, among them.
    """

    name: str
    reason: str
    numbers: dict[str, float]


@dataclass(frozen=True)
class Moved:
    """An update: norm over that of the base, rank, share inside the base's ECS, overlap and angles of both ECS."""

    norm_share: float
    rank: int
    inside: float
    left: float
    right: float
    overlap_left: float
    overlap_right: float
    angle_left: float
    angle_right: float

    @classmethod
    def of(cls, place: Any, size: Moved) -> Moved:
        """A place with the size of another."""
        angles = (place.overlap_left, place.overlap_right, place.angle_left, place.angle_right)
        return cls(size.norm_share, size.rank, place.both, place.left, place.right, *angles)

    def transposed(self) -> Moved:
        """Left and right exchanged."""
        shares = (self.inside, self.right, self.left, self.overlap_right, self.overlap_left)
        return Moved(self.norm_share, self.rank, *shares, self.angle_right, self.angle_left)


@dataclass(frozen=True)
class Windows:
    """Power-law tail of the pooled windows of a matrix; how many windows, and the shape of one."""

    alpha: float
    rank: int
    count: int
    rows: int
    columns: int


class Law:
    """What `Implementation.law` returns: any object that has these, each of a single number.

    R and its integral are those of a large spectrum of the law. A quantity that the law does not have, and parameters
    outside its range, raise `ValueError` with the reason.
    """

    support: tuple[float, float]
    mean: float
    erg_fraction: float
    erg_lambda_min: float

    def pdf(self, x: float) -> float:
        """Density."""
        raise Untested("pdf")

    def cdf(self, x: float) -> float:
        """Distribution function."""
        raise Untested("cdf")

    def moment(self, k: int) -> float:
        """Mean of x^k."""
        raise Untested("moment")

    def stieltjes(self, z: complex) -> complex:
        """G(z) off the support."""
        raise Untested("stieltjes")

    def r_transform(self, t: float) -> complex:
        """R(t), t > 0."""
        raise Untested("r_transform")

    def integrated_r(self, t: float) -> complex:
        """Integral of R from 0 to t."""
        raise Untested("integrated_r")

    def formal_integrated_r(self, t: float) -> float:
        """Of inverse Marchenko-Pastur: real part of the closed form continued past kappa/2, as in Eq. 152."""
        raise Untested("formal_integrated_r")

    def free_cumulants(self, n: int) -> list[float]:
        """kappa_1 ... kappa_n."""
        raise Untested("free_cumulants")


class Implementation:
    """Base of all implementations. Eigenvalues are those of W^T W, ascending, without any factor.

    Attributes
    ----------
    name, version : str
    required : frozenset of str
        Methods it claims: a clause that needs only these and stays untested is a failure of the run.
    expected_failures : dict
        Clause id -> reason. Strict: a listed clause that passes, or an id that does not exist, is an error.
    """

    name = "unnamed"
    version = ""
    required: frozenset[str] = frozenset({"eigenvalues", "tail_fit", "erg_cut"})
    expected_failures: dict[str, str] = {}  # noqa: RUF012 read only

    def eigenvalues(self, W: np.ndarray) -> np.ndarray:
        """Eigenvalues of W^T W (the smaller Gram matrix), ascending."""
        raise Untested("eigenvalues")

    def pooled_eigenvalues(self, matrices: list[np.ndarray]) -> np.ndarray:
        """Eigenvalues of the kernel slices of a convolution, pooled; any common factor is allowed."""
        raise Untested("pooled_eigenvalues")

    def matrix_rank(self, W: np.ndarray) -> int:
        """Numerical rank."""
        raise Untested("matrix_rank")

    def tail_fit(self, raw: np.ndarray) -> Tail | None:
        """Power-law tail of a spectrum; None where there is none to fit."""
        raise Untested("tail_fit")

    def erg_cut(self, raw: np.ndarray) -> Cut | None:
        """Trace-log cut of a spectrum; None where nothing is defined."""
        raise Untested("erg_cut")

    def log_det(self, raw: np.ndarray) -> float:
        """What is left of the logarithm at the cut."""
        raise Untested("log_det")

    def erg_status(self, raw: np.ndarray) -> str:
        """One of ok, flat, rank_limited, degenerate."""
        raise Untested("erg_status")

    def meeting(self, raw: np.ndarray) -> Meeting:
        """The two tails compared."""
        raise Untested("meeting")

    def state(self, raw: np.ndarray) -> str:
        """SETOL state of a layer."""
        raise Untested("state")

    def bulk(self, raw: np.ndarray, shape: tuple[int, int], slices: int = 1) -> Bulk | None:
        """Marchenko-Pastur bulk of a spectrum; `shape` of W, of one slice where slices are pooled. None without one."""
        raise Untested("bulk")

    def universality(self, raw: np.ndarray, shape: tuple[int, int]) -> str:
        """Universality class, a word of docs/columns.md, or undetermined."""
        raise Untested("universality")

    def matrix_class(self, W: np.ndarray) -> str:
        """Universality class of a matrix whose entries are at hand."""
        raise Untested("matrix_class")

    def alpha_interval(self, raw: np.ndarray, seed: int) -> tuple[float, float]:
        """90 % interval of the tail's exponent, the choice of its start in it."""
        raise Untested("alpha_interval")

    def median_hill(self, raw: np.ndarray) -> float:
        """Hill's exponent above the median eigenvalue, as TempBalance takes it."""
        raise Untested("median_hill")

    def trap_carriers(self, W: np.ndarray, seed: int) -> list[str]:
        """What carries each correlation trap: `mean shift`, `element` or `spread`."""
        raise Untested("trap_carriers")

    def free_cumulants(self, moments: list[float]) -> list[float]:
        """kappa_1 ... kappa_n from m_1 ... m_n."""
        raise Untested("free_cumulants")

    def moments_from_cumulants(self, cumulants: list[float]) -> list[float]:
        """m_1 ... m_n from kappa_1 ... kappa_n."""
        raise Untested("moments_from_cumulants")

    def r_transform(self, t: float, atoms: np.ndarray, weights: np.ndarray | None = None) -> float:
        """R(t) of an atomic law for t > 0."""
        raise Untested("r_transform")

    def integrated_r(self, t: float, atoms: np.ndarray, weights: np.ndarray | None = None) -> float:
        """Integral of R from 0 to t."""
        raise Untested("integrated_r")

    def law(self, name: str, *parameters: float) -> Any:
        """A closed law with what `Law` lists.

        MarchenkoPastur (q, sigma2), InverseMarchenkoPastur (kappa), TruncatedPowerLaw (alpha, lower, upper),
        FreeCauchy (a, gamma), LevyWigner (alpha) or MultiplicativeWishart (epsilon, phi).
        """
        raise Untested("law")

    def quality(self, x: np.ndarray, N: int) -> float:
        """q2: sum over the ECS eigenvalues x (unit mean) of the integrated R of the N x N spectrum."""
        raise Untested("quality")

    def quality_series(self, x: np.ndarray) -> float:
        """q2_series5: Eq. 163 to the letter."""
        raise Untested("quality_series")

    def quality_norm(self, x: np.ndarray) -> float:
        """q2_norm: sum over the ECS eigenvalues x of the integrated R of the ECS by itself at x / k."""
        raise Untested("quality_norm")

    def quality_paper(self, raw: np.ndarray, tail_rank: int) -> float:
        """q2_paper, in percent, of a spectrum whose power-law tail has `tail_rank` eigenvalues."""
        raise Untested("quality_paper")

    def traps(self, W: np.ndarray, seed: int) -> Traps:
        """Correlation traps found by randomising W."""
        raise Untested("traps")

    def trap_pvalue(self, W: np.ndarray, seed: int) -> float:
        """Chance that noise has an eigenvalue as large as the largest of the shuffled W; NaN where undefined."""
        raise Untested("trap_pvalue")

    def trap_elements(self, W: np.ndarray, seed: int) -> list[tuple[int, int]]:
        """(row, column) of the elements that carry correlation traps, the strongest first."""
        raise Untested("trap_elements")

    def remove_traps(self, W: np.ndarray, seed: int) -> np.ndarray:
        """A new matrix without correlation traps."""
        raise Untested("remove_traps")

    def truncate(self, W: np.ndarray, rank: int) -> np.ndarray:
        """W on its leading `rank` singular directions."""
        raise Untested("truncate")

    def truncate_slices(self, matrices: list[np.ndarray], rank: int) -> list[np.ndarray]:
        """Pooled kernel slices on the leading `rank` singular components of all of them."""
        raise Untested("truncate_slices")

    def optimal_threshold(self, beta: float) -> float:
        """Gavish and Donoho's hard threshold for singular values in units of their median, beta = M / N."""
        raise Untested("optimal_threshold")

    def stored_eigenvalues(self, W: np.ndarray, dtype: str) -> np.ndarray:
        """Of W in `dtype` (float32, float16 or bfloat16), which holds its values exactly."""
        raise Untested("stored_eigenvalues")

    def stored_rank(self, W: np.ndarray, dtype: str) -> int:
        """Numerical rank of W in `dtype`, which holds its values exactly."""
        raise Untested("stored_rank")

    def scan(self, files: Files) -> list[Row]:
        """Rows of a checkpoint, a mapping of names (`*.weight`) to tensors for each of its files.

        A row for every tensor of two dimensions, also for one that cannot be analysed. Rows are compared bit for bit.
        """
        raise Untested("scan")

    def scan_shards(self, files: Files, n: int) -> tuple[list[list[Row]], list[Row]]:
        """The same scan divided among n processes: the rows of each, and all of them merged."""
        raise Untested("scan_shards")

    def scan_resumed(self, files: Files, after: int) -> tuple[list[Row], list[Row]]:
        """The same scan broken off once `after` rows were kept (or all, if there are fewer): those, and all rows once
        it has gone on."""
        raise Untested("scan_resumed")

    def analyzed(self, weights: Mapping[str, np.ndarray], workers: int) -> list[Row]:
        """Rows of a model in memory by so many workers, from one seed, whatever a shuffle gives included."""
        raise Untested("analyzed")

    def window_tail(self, W: np.ndarray, Q: float, side: int) -> Windows | None:
        """Tail of the pooled eigenvalues of all windows of W in its tall orientation N x M; None where there is none.

        Windows have min(M, floor(N / Q), side) columns (at least one), Q times as many rows (rounded half to even, at
        most N), and stand on the coarsest grid that covers W: ceil(N / rows) times ceil(M / columns) of them, evenly
        spaced from edge to edge, starts rounded half to even.
        """
        raise Untested("window_tail")

    def update(self, base: list[np.ndarray], tuned: list[np.ndarray]) -> Moved:
        """The update between pooled slices of two models, held against the effective correlation spaces of both."""
        raise Untested("update")

    def update_stored(self, base: np.ndarray, tuned: np.ndarray, dtype: str) -> int:
        """Rank of the update beyond rounding, both matrices rounded to `dtype` (bfloat16 or float16) first."""
        raise Untested("update_stored")

    def answers(self) -> frozenset[str]:
        """Names of the methods it overrides."""
        return frozenset(name for name in METHODS if getattr(type(self), name) is not getattr(Implementation, name))


METHODS = tuple(
    name
    for name, value in vars(Implementation).items()
    if callable(value) and not name.startswith("_") and name != "answers"
)


def chosen(name: str | None = None) -> Implementation:
    """The implementation called `name`, or named by SETOL_SPEC_IMPL, else setol_ww.

    A name is one of the shipped ones or `package.module:factory`, a callable without arguments.
    """
    name = name or os.environ.get(VARIABLE) or "setol_ww"
    path = SHIPPED.get(name, name)
    module, _, factory = path.partition(":")
    if not factory:
        raise ValueError(
            f"implementation {name!r} was asked; accepted are {', '.join(SHIPPED)} or package.module:factory"
        )
    made: Any = getattr(importlib.import_module(module), factory)()
    if not isinstance(made, Implementation):
        raise TypeError(f"{path} returned {type(made).__name__}; accepted is a spec_tests.protocol.Implementation")
    return made
