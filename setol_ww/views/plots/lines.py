"""What several pictures of one layer share: its title, the two starts of the tail, the laws as densities."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.arrays import FloatArray
from ...layer.classes import is_near_noise
from ...layer.result import LayerResult
from ...layer.verdict import interval
from ...spectrum.noise import marchenko_pastur_density, marchenko_pastur_quantiles
from ...traps.find import TrapReport
from . import style
from .asked import layer_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

X_LABEL = "eigenvalue x of $W^T W$ / mean"
POINTS = 400
# A law whose edges are further apart goes down to 0, where it is known least: its lowest 2 % are left out.
HARD_EDGE, LEFT_OUT = 1e-4, 0.02


def title_of(result: LayerResult) -> str:
    """Size, state and class of a layer."""
    spectrum = result.spectrum
    slices = f", {spectrum.slices} slices" if spectrum.slices > 1 else ""
    kind = result.universality.universality_class.value
    return f"{spectrum.N} x {spectrum.M}{slices}: {result.verdict.state.value}; class: {kind}"


def positive(result: LayerResult) -> FloatArray:
    """Eigenvalues within the numerical rank, unit mean, ascending; empty where nothing is defined."""
    spectrum = result.spectrum
    return spectrum.unit_mean[spectrum.num_evals - spectrum.rank :] if spectrum.is_defined else np.empty(0)


def why_nothing(result: LayerResult) -> str:
    """Why a layer has nothing to draw; empty where it has."""
    if not result.spectrum.num_evals:
        return "Nothing to draw: the matrix is empty."
    if not positive(result).size:
        return f"Nothing to draw: {result.tail.outcome.sentence}."
    return ""


def begun(result: Any, ax: Axes | None, why: Callable[[LayerResult], str] = why_nothing) -> tuple[bool, Axes, bool]:
    """How a picture of one layer begins: whether the `Axes` is ours, the `Axes` with a title, whether it is done.

    It is done where `why` has a reason why there is nothing to draw: the reason is the picture.
    """
    layer_of(result)
    mine, ax = ax is None, style.axes_of(ax)
    ax.set_title(title_of(result), fontsize="medium")
    reason = why(result)
    if reason:
        style.sentence(ax, reason)
    return mine, ax, bool(reason)


def without_tail(result: LayerResult) -> str:
    """The sentence for a layer without a power-law tail; empty where there is one."""
    return "" if result.tail.rank else f"No power-law tail: {result.tail.outcome.sentence}."


def zeros(result: LayerResult) -> str:
    """How many eigenvalues a logarithmic axis cannot show."""
    number = result.spectrum.num_evals - result.spectrum.rank
    return f"{number} of {result.spectrum.num_evals} eigenvalues are zero within rounding: not drawn" if number else ""


def alpha_in_words(result: LayerResult) -> str:
    """alpha with its 90 % interval."""
    low, high = interval(result.tail)
    return f"α = {result.tail.alpha:.2f} (90 %: {low:.2f} to {high:.2f})"


def tail_density(result: LayerResult, x: FloatArray) -> FloatArray:
    """The fitted law at x, as a share of all eigenvalues in a unit of x."""
    tail = result.tail
    share = tail.rank / result.spectrum.num_evals
    return share * (tail.alpha - 1) / tail.lambda_min * (x / tail.lambda_min) ** -tail.alpha


def tail_survival(result: LayerResult, x: FloatArray) -> FloatArray:
    """The share of eigenvalues above x by the fitted law."""
    tail = result.tail
    return tail.rank / result.spectrum.num_evals * (x / tail.lambda_min) ** (1 - tail.alpha)


def noise_density(result: LayerResult) -> tuple[FloatArray, FloatArray] | None:
    """The bulk's law, unit mean: points and the share of all eigenvalues in a unit of x; None without a fit."""
    bulk = result.bulk
    if bulk.noise is None:
        return None
    unit = bulk.sigma**2
    lower = bulk.lambda_minus
    if lower < HARD_EDGE * bulk.lambda_plus:
        lower = max(lower, unit * float(bulk.noise.quantile(np.array([LEFT_OUT]))[0]))
    x = _between(lower, bulk.lambda_plus)
    share = (result.spectrum.rank - bulk.spikes - bulk.loud) / result.spectrum.num_evals
    density = share * bulk.noise.pdf(x / unit) / unit
    # At an edge, on whichever side of it rounding has left the point.
    density[[0, -1] if lower == bulk.lambda_minus else [-1]] = 0.0
    return x, density


def noise_in_words(result: LayerResult) -> str:
    """Which law it is, and whether the eigenvalues below the edge follow it."""
    noise = result.bulk.noise
    law = "Marchenko-Pastur bulk" if noise is None or noise.is_even else "noise of uneven strengths"
    return f"{law}, {'followed' if is_near_noise(result.bulk) else 'not followed'}"


def draw_starts(ax: Axes, result: LayerResult, *, second: bool = True, erg: bool = True) -> None:
    """Vertical lines at the starts of the tails, with the interval of the fitted one where it was asked for."""
    tail, cut, curve = result.tail, result.erg, result.ks_curve
    if tail.rank:
        if math.isfinite(tail.lambda_min_low) and math.isfinite(tail.lambda_min_high):
            band: style.Look = {"color": style.POWER_LAW_COLOUR, "alpha": 0.15, "linewidth": 0}
            ax.axvspan(tail.lambda_min_low, tail.lambda_min_high, label="90 % interval of its start", **band)
        ax.axvline(tail.lambda_min, label=f"its start, {tail.lambda_min:.3g}: {tail.rank} above", **style.START)
    if second and curve.second >= 0:
        at = curve.second
        said = f"second-best start, {curve.lambda_min[at]:.3g}: α = {curve.alphas[at]:.2f}"
        ax.axvline(curve.lambda_min[at], label=said, **style.SECOND)
    if erg and cut.rank:
        ax.axvline(cut.lambda_min, label=f"ERG start, {cut.lambda_min:.3g}: {cut.rank} above", **style.ERG)


def unit_mean_of(result: LayerResult, raw: float) -> float:
    """A raw eigenvalue on the unit-mean scale; NaN beyond float64."""
    return float(unit_means_of(result, np.array([raw]))[0])


def unit_means_of(result: LayerResult, raw: FloatArray) -> FloatArray:
    """Raw eigenvalues on the unit-mean scale."""
    spectrum = result.spectrum
    with np.errstate(over="ignore", under="ignore"):
        found: FloatArray = np.ldexp(raw, -spectrum.exponent) * (spectrum.num_evals / spectrum.values.sum())
    return found


def shuffled_spectrum(result: LayerResult, traps: TrapReport) -> FloatArray:
    """Eigenvalues of the shuffled matrix, unit mean; empty where not all of them are known."""
    known = traps.shuffled.size == result.spectrum.num_evals
    return unit_means_of(result, traps.shuffled) if known else np.empty(0)


def shuffled_in_words(result: LayerResult) -> str:
    """Whose law that is."""
    one = " (one slice)" if result.spectrum.slices > 1 else ""
    return f"law of the shuffled entries{one}"


def shuffled_density(result: LayerResult, traps: TrapReport) -> tuple[FloatArray, FloatArray] | None:
    """Marchenko-Pastur's law of the shuffled entries, unit mean, as a share of all eigenvalues; None without noise."""
    spectrum = result.spectrum
    # The power of two first: the square of 1e160 is beyond float64, and exponents are even.
    sigma = float(np.ldexp(traps.sigma, -spectrum.exponent // 2))
    unit = sigma**2 * spectrum.N * (spectrum.num_evals / float(spectrum.values.sum()))
    if not 0 < unit < math.inf:
        return None
    q = spectrum.M / spectrum.N
    lower, upper = (1 - math.sqrt(q)) ** 2, (1 + math.sqrt(q)) ** 2
    if lower < HARD_EDGE * upper:
        lower = float(marchenko_pastur_quantiles(np.array([LEFT_OUT]), q)[0])
    x = _between(lower, upper)
    return unit * x, marchenko_pastur_density(x, q) / unit


def _between(low: float, high: float) -> FloatArray:
    """Points that are dense at both ends and even in the logarithm between them."""
    return low * (high / low) ** (np.sin(np.linspace(0, np.pi / 2, POINTS)) ** 2)
