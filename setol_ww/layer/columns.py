"""The single register of our columns: name, group, unit, meaning, equation, and how each is read off a result."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..core.outcomes import Outcome
from ..spectrum.starts import median_hill, peak_alpha
from ..spectrum.windows import SubmatrixFit
from ..traps.find import row_of as trap_row_of
from .result import LayerResult


@dataclass(frozen=True, eq=False)
class Column:
    """One column of the table; equal to itself alone.

    Attributes
    ----------
    name, group : str
        Group `ERG`, `tail`, `quality`, `bulk`, `traps`, `class` or `uncertainty` as in the documentation.
    unit : str
        `unit mean`, `raw`, or the word for a number without scale.
    meaning : str
    source : str
        Where its formula stands.
    read : callable
        `LayerResult -> value`; for `FARMS_COLUMNS` `SubmatrixFit -> value`.
    """

    name: str
    group: str
    unit: str
    meaning: str
    source: str
    read: Callable[[Any], Any]


def _erg_number(value: float, result: LayerResult) -> float:
    """NaN instead of a count of zero where there is no cut."""
    return math.nan if result.erg.status is Outcome.DEGENERATE else value


def _tail_number(value: float, result: LayerResult) -> float:
    return value if result.tail.rank else math.nan


PAPER = "arXiv 2507.17912"


def _quality(name: str, unit: str, meaning: str, source: str) -> Column:
    """A column that reads the field of the same name off `LayerResult.quality`."""
    return Column(name, "quality", unit, meaning, source, lambda r: getattr(r.quality, name))


COLUMNS: tuple[Column, ...] = (
    Column(
        "erg_rank",
        "ERG",
        "count",
        "number k* of leading eigenvalues whose product is nearest to 1",
        f"{PAPER} Eq. 126; k* is the nearer of the two k at the sign change of S_k",
        lambda r: _erg_number(r.erg.rank, r),
    ),
    Column(
        "erg_fraction", "ERG", "share", "k* over the number of eigenvalues", "k* / num_evals", lambda r: r.erg.fraction
    ),
    Column(
        "erg_log_det",
        "ERG",
        "nat",
        "what is left over: the sum of ln x over the ERG tail, 0 when det X = 1",
        f"S_k* of {PAPER} Eq. 126",
        lambda r: r.erg.log_det,
    ),
    Column(
        "erg_lambda_min",
        "ERG",
        "unit mean",
        "smallest eigenvalue of the ERG tail",
        f"{PAPER} section 5.2.4",
        lambda r: r.erg.lambda_min,
    ),
    Column(
        "erg_lambda_min_raw",
        "ERG",
        "raw",
        "start of the ERG tail on the scale of WeightWatcher's xmin",
        f"{PAPER} section 5.2.4",
        lambda r: r.erg.lambda_min_raw,
    ),
    Column(
        "erg_status", "ERG", "word", "ok, flat, rank_limited or degenerate", "Outcome", lambda r: r.erg.status.value
    ),
    Column(
        "alpha_erg",
        "ERG",
        "exponent",
        "Hill exponent of the ERG tail",
        "1 + k / sum ln(x_i / x_k)",
        lambda r: r.erg.alpha,
    ),
    Column(
        "pl_lambda_min",
        "ERG",
        "unit mean",
        "smallest eigenvalue of the power-law tail",
        f"{PAPER} Eq. 164",
        lambda r: r.tail.lambda_min,
    ),
    Column(
        "delta_lambda_min",
        "ERG",
        "unit mean",
        "start of the power-law tail minus start of the ERG tail",
        f"{PAPER} Eq. 164",
        lambda r: r.ecs.delta_lambda_min,
    ),
    Column(
        "erg_rank_gap",
        "ERG",
        "count",
        "k* minus the number of eigenvalues in the power-law tail",
        "k* - tail_rank",
        lambda r: r.ecs.rank_gap,
    ),
    Column(
        "erg_metric",
        "ERG",
        "nat",
        "mean of ln x over the power-law tail, 0 when that tail has det X = 1",
        "1 / (alpha - 1) + ln pl_lambda_min",
        lambda r: r.ecs.erg_metric,
    ),
    Column(
        "detX_num_exact",
        "ERG",
        "count",
        "WeightWatcher's rule for detX_num (first k with a product below 1) carried out in log space",
        "first k with S_k < 0",
        lambda r: r.detX_num_exact,
    ),
    Column(
        "tail_alpha",
        "tail",
        "exponent",
        "exponent of the power-law tail, whatever the scale of W",
        "Clauset et al. 2009, Eq. 3.1",
        lambda r: r.tail.alpha,
    ),
    Column(
        "tail_sigma",
        "tail",
        "exponent",
        "standard error of tail_alpha",
        "(alpha - 1) / sqrt(tail_rank)",
        lambda r: r.tail.sigma,
    ),
    Column(
        "tail_rank",
        "tail",
        "count",
        "number of eigenvalues in the power-law tail",
        "Clauset et al. 2009, section 3.3",
        lambda r: _tail_number(r.tail.rank, r),
    ),
    Column(
        "tail_ks",
        "tail",
        "distance",
        "Kolmogorov-Smirnov distance of the tail to its power law",
        "Clauset et al. 2009, Eq. 3.9",
        lambda r: r.tail.ks,
    ),
    Column(
        "tail_outcome",
        "tail",
        "word",
        "ok, poor_fit, small_sample, flat, too_few or degenerate",
        "Outcome",
        lambda r: r.tail.outcome.value,
    ),
    Column(
        "alpha_hill",
        "tail",
        "exponent",
        "Hill's exponent above the median eigenvalue, as TempBalance and AlphaDecay take it; no scale, no search",
        "`setol_ww/spectrum/starts.py`, median_hill",
        lambda r: median_hill(r.spectrum.above_rounding.values) if r.spectrum.is_defined else math.nan,
    ),
    Column(
        "alpha_peak",
        "tail",
        "exponent",
        "AlphaPruning's alpha_peak: least distance with starts up to 1.5 times the peak of the density; depends on the "
        "scale of W, as published",
        "`setol_ww/spectrum/starts.py`, peak_alpha",
        lambda r: peak_alpha(r.spectrum.above_rounding.raw, r.spectrum.scan) if r.spectrum.is_defined else math.nan,
    ),
    _quality(
        "q2",
        "unit mean",
        "layer quality: R integrated up to each ERG eigenvalue and summed, spectrum padded with zeros to N",
        f"{PAPER} Eq. 131; exact, errata E13, E14",
    ),
    _quality(
        "q2_norm",
        "unit mean",
        "layer quality with the argument x/k and the ERG tail by itself: of order one for light tails, growing with M "
        "for heavy ones, never below kappa1 squared",
        f"{PAPER} Eqs. 131, 163",
    ),
    _quality(
        "q2_series5",
        "unit mean",
        "five-term cumulant series of q2_norm; NaN where q2_rho is 0.5 or more",
        f"{PAPER} Eq. 163",
    ),
    _quality("q2_rho", "number", "validity number of the series, x_1 squared over k", "errata E34"),
    _quality("q2_series_ok", "true/false", "whether q2_rho is below 0.5", "errata E34"),
    _quality(
        "q2_paper",
        "percent",
        "what the paper's Fig. 24 plots: size of the power-law tail times an inverse participation ratio",
        f"{PAPER} Fig. 24, identified in scripts/figure24.py",
    ),
    _quality(
        "q2_bs",
        "unit mean",
        "bulk and spikes: S (S - k x_k), S the sum over the ERG tail",
        f"{PAPER} Tables 8-9; errata E19, E20",
    ),
    _quality("q2_fc", "unit mean", "free Cauchy: (S/k) (S - k x_k)", f"{PAPER} Tables 8-9; errata E21"),
    _quality(
        "q2_imp",
        "unit mean",
        "inverse Marchenko-Pastur: kappa k / (alpha_erg - 1) with kappa = alpha_erg / 2",
        f"{PAPER} Eq. 152; errata E26",
    ),
    _quality(
        "q2_lw",
        "unit mean",
        "Lévy-Wigner: mean of x^(alpha_erg - 1) over the ERG tail; NaN unless 1 < alpha_erg < 2",
        f"{PAPER} Eqs. 153-155; errata E27",
    ),
    *(
        _quality(f"kappa{n}", "unit mean", f"free cumulant {n} of the ERG tail, normalised trace", f"{PAPER} Eq. 162")
        for n in range(1, 6)
    ),
    _quality("q2_reason", "sentence", "which readings are NaN and why; empty when none is", ""),
    Column(
        "bulk_sigma",
        "bulk",
        "unit mean",
        "square root of the mean eigenvalue of the Marchenko-Pastur bulk: 1 for noise, less where spikes carry norm",
        "trace without the spikes, Kritchman & Nadler 2009",
        lambda r: r.bulk.sigma,
    ),
    Column(
        "bulk_lambda_plus",
        "bulk",
        "unit mean",
        "upper edge of the bulk",
        "bulk_sigma^2 (1 + sqrt q)^2",
        lambda r: r.bulk.lambda_plus,
    ),
    Column(
        "bulk_lambda_minus",
        "bulk",
        "unit mean",
        "lower edge of the bulk",
        "bulk_sigma^2 (1 - sqrt q)^2",
        lambda r: r.bulk.lambda_minus,
    ),
    Column(
        "bulk_softrank",
        "bulk",
        "share",
        "upper edge over the largest eigenvalue: about 1 for noise, near 0 for a heavy tail",
        "bulk_lambda_plus / lambda_max",
        lambda r: r.bulk.softrank,
    ),
    Column(
        "bulk_spikes",
        "bulk",
        "count",
        "eigenvalues above the Tracy-Widom edge of the noise at level .01, those of single loud rows or columns aside",
        "Johnstone 2001, Nadler 2011",
        lambda r: r.bulk.spikes if r.bulk.ks == r.bulk.ks else math.nan,
    ),
    Column(
        "bulk_ks",
        "bulk",
        "distance",
        "Kolmogorov-Smirnov distance of the other eigenvalues to the Marchenko-Pastur law",
        "",
        lambda r: r.bulk.ks,
    ),
    Column(
        "universality_class",
        "class",
        "word",
        "random-like, bulk+spikes, weakly heavy-tailed, heavy-tailed, very heavy-tailed, rank collapse or undetermined",
        f"{PAPER} Table 1, by edge test and likelihood ratios; alpha chooses among the heavy tails only",
        lambda r: r.universality.universality_class.value,
    ),
    Column(
        "trap_count",
        "traps",
        "count",
        "eigenvalues of the shuffled matrix that noise does not explain, at level .01",
        f"{PAPER} section 3.3.1; setol_ww.find_traps",
        lambda r: trap_row_of(r.traps)["trap_count"],
    ),
    Column(
        "trap_lambda_max",
        "traps",
        "raw",
        "largest eigenvalue of the shuffled matrix, on the scale of WeightWatcher's eigenvalues (convolutions halved)",
        f"{PAPER} section 3.3.1",
        lambda r: trap_row_of(r.traps)["trap_lambda_max"],
    ),
    Column(
        "trap_edge",
        "traps",
        "raw",
        "end of the bulk of the shuffled matrix, on the scale of WeightWatcher's eigenvalues (convolutions halved)",
        "Johnstone 2001, moved by the cumulants of the entries",
        lambda r: trap_row_of(r.traps)["trap_edge"],
    ),
    Column(
        "trap_strength",
        "traps",
        "theta",
        "strength of the strongest trap; visible above (M/N)^(1/4), 0 without a trap",
        "lambda = N sigma^2 (1 + theta^2)(M/N + theta^2) / theta^2",
        lambda r: trap_row_of(r.traps)["trap_strength"],
    ),
    Column(
        "trap_pvalue",
        "traps",
        "probability",
        "chance of an eigenvalue as large in noise whose elements have the tail of this layer's",
        "Tracy-Widom law of order 1",
        lambda r: trap_row_of(r.traps)["trap_pvalue"],
    ),
    Column(
        "setol_state",
        "class",
        "word",
        "ideal, over-regularized, under-trained, short-of-ideal or undetermined",
        "intervals of alpha at 2 and 6 and of det X at 1, `setol_ww/layer/verdict.py`",
        lambda r: r.verdict.state.value,
    ),
    Column(
        "setol_reason",
        "class",
        "sentence",
        "the numbers the state and the class rest on",
        "",
        lambda r: r.reason,
    ),
    Column(
        "setol_flags",
        "class",
        "words",
        "what to know beside the state, separated by commas: trap: mean shift, trap: element, uneven rows, "
        "few eigenvalues, no matrix, ambiguous tail start, ...; empty where there is nothing",
        "`setol_ww/layer/flags.py` says what each means",
        lambda r: ", ".join(r.flags),
    ),
    Column(
        "row_spread",
        "class",
        "log",
        "standard deviation of the logarithms of the rows' strengths beyond sampling; 0 where sampling explains it, "
        "NaN where the entries are not known",
        "`setol_ww/spectrum/strengths.py`",
        lambda r: math.nan if r.strengths is None else r.strengths.row_spread,
    ),
    Column(
        "column_spread",
        "class",
        "log",
        "standard deviation of the logarithms of the columns' strengths beyond sampling; rows and columns as the "
        "matrix was taken",
        "`setol_ww/spectrum/strengths.py`",
        lambda r: math.nan if r.strengths is None else r.strengths.column_spread,
    ),
)


def _interval(name: str, unit: str, meaning: str, source: str) -> Column:
    """A column of `uncertainty` that reads the field of the same name off `LayerResult.intervals`."""
    return Column(
        name,
        "uncertainty",
        unit,
        meaning,
        source,
        lambda r: math.nan if r.intervals is None else getattr(r.intervals, name),
    )


_DRAWN = "eigenvalues drawn with replacement, start of the tail chosen anew; docs/uncertainty.md"

#: Columns of `uncertainty=B`; NaN where the layer has no fit.
UNCERTAINTY_COLUMNS: tuple[Column, ...] = (
    Column(
        "tail_alpha_low", "uncertainty", "exponent", "lower end of the 90 % interval of alpha, the choice of the "
        "tail's start in it", _DRAWN, lambda r: r.tail.alpha_low,
    ),
    Column(
        "tail_alpha_high",
        "uncertainty",
        "exponent",
        "upper end of the 90 % interval of alpha",
        _DRAWN,
        lambda r: r.tail.alpha_high,
    ),
    Column(
        "tail_gof_p", "uncertainty", "probability", "share of spectra with a power-law tail that fit it worse; small: "
        "no power law; uniform for independent draws alone, too large for the eigenvalues of a matrix",
        "Clauset et al. 2009, section 4.1, by simulation", lambda r: r.tail.gof_p,
    ),
    Column(
        "p_alpha_below_2", "uncertainty", "probability", "share of the resampled alphas below 2", _DRAWN,
        lambda r: r.tail.p_below_2,
    ),
    Column(
        "tail_starts", "uncertainty", "count", "starts of the tail that fit as well within the error of the distance",
        "`setol_ww/spectrum/uncertainty.py`", lambda r: r.tail.starts,
    ),
    Column(
        "tail_alpha_2nd", "uncertainty", "exponent", "alpha at the second best of them; NaN where there is one start",
        "", lambda r: r.tail.alpha_2nd,
    ),
    _interval("delta_low", "unit mean", "lower end of the 90 % interval of delta_lambda_min", _DRAWN),
    _interval("delta_high", "unit mean", "upper end of the 90 % interval of delta_lambda_min", _DRAWN),
    _interval("q2_norm_low", "unit mean squared", "lower end of the 90 % interval of q2_norm", _DRAWN),
    _interval("q2_norm_high", "unit mean squared", "upper end of the 90 % interval of q2_norm", _DRAWN),
)  # fmt: skip

#: Columns that hold WeightWatcher's answer against the exact one, filled where WeightWatcher ran.
DETX_ERROR = Column(
    "detX_num_error",
    "ERG",
    "count",
    "WeightWatcher's detX_num minus detX_num_exact: its over- or underflow",
    "",
    lambda r: math.nan,
)

#: Columns of `analyze(..., farms=True)`: another estimate, never mixed with those of the whole matrix.
FARMS_COLUMNS: tuple[Column, ...] = (
    Column(
        "farms_alpha",
        "farms",
        "exponent",
        "exponent of the pooled spectrum of square windows of W: one aspect ratio whatever the shape of W",
        "setol_ww.fit_submatrices; arXiv 2506.06280",
        lambda f: f.alpha,
    ),
    Column(
        "farms_sigma",
        "farms",
        "exponent",
        "standard error of farms_alpha: the larger of the asymptotic one of windows with no row or column in common "
        "and the spread over resampled windows",
        "",
        lambda f: f.sigma,
    ),
    Column("farms_windows", "farms", "count", "number of windows", "", lambda f: f.windows),
    Column("farms_side", "farms", "count", "rows and columns of a window", "", lambda f: f.columns),
    Column("farms_outcome", "farms", "word", "as tail_outcome", "Outcome", lambda f: f.outcome.value),
)


def farms_row(fit: SubmatrixFit) -> dict[str, Any]:
    """The columns of windows for one layer."""
    return {column.name: column.read(fit) for column in FARMS_COLUMNS}


def names(detX: bool = True, quality: bool = True, randomize: bool = False, uncertainty: bool = False) -> list[str]:
    """Names of our columns in their order; without `detX` none of ERG and class, those of traps with `randomize`.

    Those of `uncertainty` last.
    """
    groups = {"tail", "bulk"} | ({"ERG", "class"} if detX else set()) | ({"quality"} if quality else set())
    groups |= {"traps"} if randomize else set()
    listed = [column.name for column in COLUMNS if column.group in groups]
    if detX:
        listed.insert(listed.index("detX_num_exact") + 1, DETX_ERROR.name)
    return listed + [column.name for column in UNCERTAINTY_COLUMNS if uncertainty]


def row(
    result: LayerResult,
    *,
    detX: bool = True,
    detX_num: float | None = None,
    randomize: bool = False,
    uncertainty: bool = False,
) -> dict[str, Any]:
    """Our columns for one result.

    Parameters
    ----------
    result : LayerResult
    detX : bool
        Leave the ERG and class columns out when false. The quality columns are there when the result has them.
    detX_num : int, optional
        WeightWatcher's own count, for `detX_num_error`; NaN without it.
    randomize : bool
        Add the columns of traps.
    uncertainty : bool
        Add the intervals, which the result has where its settings asked for them.

    Examples
    --------
    >>> import setol_ww as ww
    >>> row(ww.analyze_matrix([[3.0, 0.0], [0.0, 1.0]]))["erg_rank"]
    1
    """
    found = {}
    for column in _read(detX, result.quality is not None, randomize, uncertainty, (*COLUMNS, *UNCERTAINTY_COLUMNS)):
        found[column.name] = column.read(result)
    if detX:
        found[DETX_ERROR.name] = math.nan if detX_num is None else detX_num - result.detX_num_exact
    return found


@functools.lru_cache
def _read(
    detX: bool, quality: bool, randomize: bool, uncertainty: bool, columns: tuple[Column, ...]
) -> tuple[Column, ...]:
    """The columns that `names` lists, in its order."""
    register = {column.name: column for column in (*columns, DETX_ERROR)}
    return tuple(register[name] for name in names(detX, quality, randomize, uncertainty))


def as_markdown() -> str:
    """The documentation page of the columns."""
    lines = ["| column | group | unit | meaning | formula or source |", "|---|---|---|---|---|"]
    listed = {column.name: column for column in (*COLUMNS, *UNCERTAINTY_COLUMNS, DETX_ERROR)}
    for name in names(randomize=True, uncertainty=True):
        column = listed[name]
        lines.append(f"| `{name}` | {column.group} | {column.unit} | {column.meaning} | {column.source} |")
    for column in FARMS_COLUMNS:
        lines.append(f"| `{column.name}` | {column.group} | {column.unit} | {column.meaning} | {column.source} |")
    return "\n".join(lines) + "\n"
