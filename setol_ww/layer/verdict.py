"""From numbers to a word: the SETOL state of a layer, with the sentence that says what it rests on.

| state | when |
|---|---|
| ideal | alpha = 2 and det X = 1 on the power-law tail, both within one standard error of the fit |
| over-regularized | alpha < 2 and the power-law tail starts below the ERG tail |
| under-trained | alpha > 6, or a random-like spectrum, whose alpha is that of the edge of noise |
| short-of-ideal | alpha up to 6, above 2 or equal to it within the error, and not ideal |
| trapped | the shuffled matrix has an outlier (`find_traps`, asked for by `randomize`), whatever the others say |
| undetermined | no fit, a poor fit, a tail of fewer than 8 eigenvalues, or two criteria that contradict each other |

At alpha = 2 the condition det X = 1 is the same as lambda_min = 1/e on the unit-mean scale. A state speaks of the
ideal point only: what else a spectrum is like, its universality class says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from ..core.outcomes import Outcome
from ..spectrum.erg import ErgCut
from ..spectrum.tail import TailFit
from ..traps.find import TrapReport
from .ecs import Ecs

IDEAL_ALPHA = 2.0
UNDER_TRAINED_ALPHA = 6.0
MIN_TAIL = 8


class State(str, Enum):
    """The words of the column `setol_state`."""

    IDEAL = "ideal"
    OVER_REGULARIZED = "over-regularized"
    UNDER_TRAINED = "under-trained"
    SHORT_OF_IDEAL = "short-of-ideal"
    TRAPPED = "trapped"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True)
class Verdict:
    """A state and the sentence with the numbers it rests on."""

    state: State
    reason: str


def judge(tail: TailFit, erg: ErgCut, ecs: Ecs, *, sigmas: float = 1.0, random_like: bool = False) -> Verdict:
    """The SETOL state of a layer.

    Parameters
    ----------
    tail, erg, ecs
        Of one spectrum.
    sigmas : float
        Width of the band around the ideal point, in standard errors of the fit.
    random_like : bool
        The universality class: a layer without a heavy tail is under-trained whatever its alpha.

    Returns
    -------
    Verdict
        `undetermined` with the cause in the sentence when there is nothing sound to judge.

    Examples
    --------
    >>> from setol_ww import analyze_matrix
    >>> import numpy as np
    >>> judge_me = analyze_matrix(np.eye(30))
    >>> judge_me.verdict.state.value, judge_me.verdict.reason
    ('undetermined', 'No power-law tail: all eigenvalues are equal within rounding.')
    """
    doubt = _doubt(tail, erg)
    if doubt:
        return Verdict(State.UNDETERMINED, doubt)
    numbers = (
        f"alpha = {tail.alpha:.2f} ± {tail.sigma:.2f}, mean ln x of the tail = "
        f"{ecs.erg_metric:+.3f} ± {ecs.erg_metric_sigma:.3f}, delta_lambda_min = {ecs.delta_lambda_min:+.3f}"
    )
    if random_like:
        return Verdict(State.UNDER_TRAINED, f"{numbers}: no heavy tail, this is the edge of a random-like bulk.")
    alpha_holds = abs(tail.alpha - IDEAL_ALPHA) <= sigmas * tail.sigma
    erg_holds = abs(ecs.erg_metric) <= sigmas * ecs.erg_metric_sigma
    if alpha_holds and erg_holds:
        return Verdict(
            State.IDEAL,
            f"{numbers}: alpha = 2 and det X = 1 (lambda_min = {tail.lambda_min:.3f}, 1/e = {math.exp(-1):.3f}) "
            f"both hold within {sigmas:g} standard error{'s' if sigmas != 1 else ''}.",
        )
    if tail.alpha > UNDER_TRAINED_ALPHA:
        return Verdict(State.UNDER_TRAINED, f"{numbers}: alpha is above 6, hardly a heavy tail yet.")
    if tail.alpha < IDEAL_ALPHA and ecs.delta_lambda_min < 0:
        return Verdict(
            State.OVER_REGULARIZED,
            f"{numbers}: alpha is below 2 and the power-law tail starts below the ERG tail.",
        )
    if alpha_holds:
        return Verdict(
            State.SHORT_OF_IDEAL, f"{numbers}: alpha = 2 holds within the error, but the tail's det X is not 1."
        )
    if tail.alpha > IDEAL_ALPHA:
        also = (
            "det X = 1 holds within the error but alpha = 2 does not"
            if erg_holds
            else ("neither alpha = 2 nor det X = 1 holds within the error")
        )
        return Verdict(State.SHORT_OF_IDEAL, f"{numbers}: alpha lies between 2 and 6, and {also}.")
    return Verdict(
        State.UNDETERMINED,
        f"{numbers}: alpha is below 2 but the power-law tail does not start below the ERG tail; "
        "the two criteria contradict each other.",
    )


def trapped(verdict: Verdict, traps: TrapReport) -> Verdict:
    """`trapped` with where the traps are and what would be said without them; the verdict itself without a trap."""
    if not traps.count:
        return verdict
    return Verdict(State.TRAPPED, f"{traps.sentence} Without regard to that, {verdict.state.value}: {verdict.reason}")


def _doubt(tail: TailFit, erg: ErgCut) -> str:
    """Why nothing can be judged; empty when the fit is sound."""
    if not tail.rank:
        return f"No power-law tail: {tail.outcome.sentence}."
    numbers = f"alpha = {tail.alpha:.2f} ± {tail.sigma:.2f} on a tail of {tail.rank} eigenvalues"
    if tail.outcome is not Outcome.OK:
        return f"{numbers}, but {tail.outcome.sentence}."
    if tail.rank < MIN_TAIL:
        return f"{numbers}: fewer than {MIN_TAIL} say too little."
    if erg.status is not Outcome.OK:
        return f"{numbers}, but no ERG cut: {erg.status.sentence}."
    return ""
