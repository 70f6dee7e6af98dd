"""From numbers to a word: the SETOL state of a layer, with the sentence that says what it rests on.

| state | when |
|---|---|
| ideal | alpha cannot be told from 2 nor det X of the power-law tail from 1, but alpha from 1.5 and from 3 |
| over-regularized | alpha is below 2 and the power-law tail starts below the ERG tail |
| under-trained | alpha is above 6 and little beyond noise, or no heavy tail: noise, or noise with a few weak spikes |
| short-of-ideal | alpha is above 2, or cannot be told from it while det X is above 1 |
| undetermined | no sound fit, no matrix, too little power, much beyond noise but no tail, or criteria that contradict |

One rule of evidence holds at 2, at 6 and at det X = 1: a number is above or below a limit when its whole interval is.
The interval contains the choice of the tail's start: resampled where that was asked for (`uncertainty`), else the
standard error of a known start times `intervals.INFLATION`; either holds a known alpha about nine times in ten
(docs/uncertainty.md).

At alpha = 2 the condition det X = 1 is the same as lambda_min = 1/e on the unit-mean scale. A state speaks of the
ideal point only: what else a spectrum is like, its universality class says; traps are flags beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from ..core.card import Card, Fact, Shown
from ..core.outcomes import Outcome
from ..core.tones import Tone
from ..spectrum.erg import ErgCut
from ..spectrum.tail import INTERVAL_SIGMAS, TailFit
from .classes import LITTLE_POWER, NO_MATRIX, Universality, UniversalityClass
from .ecs import Ecs
from .intervals import INFLATION, alpha_ends

IDEAL_ALPHA = 2.0
UNDER_TRAINED_ALPHA = 6.0
# An interval that reaches beyond these says nothing of the ideal point.
WIDEST_IDEAL = (1.5, 3.0)
MIN_TAIL = 8
# Spikes with more of the trace are more than noise, though no heavy tail whose alpha could be judged.
LEARNED = 0.1
_NO_TAIL = "is of no heavy tail"


class State(str, Enum):
    """The words of the column `setol_state`, each with what it means and what to do next.

    >>> State.UNDER_TRAINED.meaning
    'no heavy tail yet'
    >>> all(state.next_step.endswith(".") for state in State)
    True
    """

    meaning: str
    next_step: str

    IDEAL = (
        "ideal",
        "at the ideal point of the theory: alpha = 2 and det X = 1",
        "Leave it as it is; further training may carry it below 2, so look again after any.",
    )
    OVER_REGULARIZED = (
        "over-regularized",
        "the tail is heavier than at the ideal point",
        "Look for too large a learning rate, too small batches and traps (randomize=True); test an earlier checkpoint.",
    )
    UNDER_TRAINED = (
        "under-trained",
        "no heavy tail yet",
        "See whether the layer learns at all: its learning rate, its gradients, whether it is frozen; "
        "if it is not needed, it may be pruned.",
    )
    SHORT_OF_IDEAL = (
        "short-of-ideal",
        "the tail is lighter than at the ideal point",
        "alpha is no cause for worry; more training or a larger learning rate for this layer may bring it nearer to 2.",
    )
    UNDETERMINED = (
        "undetermined",
        "the data do not carry a statement",
        "Neither good nor bad: its reason (setol_reason) says what is lacking; uncertainty=200 may narrow a wide "
        "interval.",
    )

    def __new__(cls, word: str, meaning: str, next_step: str) -> State:
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning, member.next_step = meaning, next_step
        return member

    @property
    def tone(self) -> Tone:
        """How it is to be taken, for colours."""
        return TONES[self]


TONES = {
    State.IDEAL: Tone.GOOD,
    State.SHORT_OF_IDEAL: Tone.PLAIN,
    State.UNDETERMINED: Tone.CAUTION,
    State.UNDER_TRAINED: Tone.CAUTION,
    State.OVER_REGULARIZED: Tone.BAD,
}


@dataclass(frozen=True, repr=False)
class Verdict(Shown):
    """A state and the sentence with the numbers it rests on."""

    state: State
    reason: str

    @property
    def next_step(self) -> str:
        """What to do about it."""
        return self.state.next_step

    def _card(self) -> Card:
        facts = [Fact("state", self.state.value, self.state.tone, self.state.meaning)]
        return Card("state of the layer", facts, [self.reason, f"next: {self.next_step}"])


def judge(
    tail: TailFit, erg: ErgCut, ecs: Ecs, *, sigmas: float = INTERVAL_SIGMAS, kind: Universality | None = None
) -> Verdict:
    """The SETOL state of a layer.

    Parameters
    ----------
    tail, erg, ecs
        Of one spectrum.
    sigmas : float
        Half width of the intervals in standard errors that contain the choice of the start; 1.645 is 90 %.
    kind : Universality, optional
        The class: a layer without a heavy tail is under-trained whatever the alpha of its edge, and where there is no
        matrix there is no state.

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
    if not tail.rank:
        return Verdict(State.UNDETERMINED, f"No power-law tail: {tail.outcome.sentence}.")
    if kind is not None and NO_MATRIX in kind.flags:
        return Verdict(
            State.UNDETERMINED, "No state: eigenvalues of single columns or rows are their norms, no spectrum."
        )
    lacking = _no_heavy_tail(kind)
    if lacking and kind is not None:
        state, why = _without_a_tail(kind)
        unknown = kind.universality_class is UniversalityClass.UNDETERMINED or LITTLE_POWER in kind.flags
        shown = " that could be shown" if unknown else ""
        return Verdict(state, f"alpha = {tail.alpha:.2f} {_NO_TAIL}{shown}: {lacking}{why}.")
    doubt = _doubt(tail, erg)
    if doubt:
        return Verdict(State.UNDETERMINED, doubt)
    low, high = interval(tail, sigmas)
    metric_error = sigmas * INFLATION * ecs.erg_metric_sigma
    numbers = (
        f"alpha = {tail.alpha:.2f} ({low:.2f} to {high:.2f}), mean ln x of the tail = {ecs.erg_metric:+.3f} ± "
        f"{metric_error:.3f}, delta_lambda_min = {ecs.delta_lambda_min:+.3f}"
    )
    state, said = _by_criteria(tail, ecs, (low, high), abs(ecs.erg_metric) <= metric_error)
    if state is State.UNDER_TRAINED and kind is not None and kind.spike_share > LEARNED:
        state, said = (
            State.UNDETERMINED,
            (f"alpha is above 6, no tail that reaches far, but {_beyond(kind)} {_lie(kind)} above the edge of noise"),
        )
    return Verdict(state, f"{numbers}: {said}.")


def interval(tail: TailFit, sigmas: float = INTERVAL_SIGMAS) -> tuple[float, float]:
    """Lower and upper end for alpha: the resampled interval where there is one, else by the inflated error.

    Examples
    --------
    >>> from setol_ww import Spectrum, fit_tail
    >>> fit = fit_tail(Spectrum.from_eigenvalues([1.0, 1.5, 2.0, 4.0, 9.0] * 8))
    >>> low, high = interval(fit)
    >>> 1 < low < fit.alpha < high
    True
    """
    low, high = alpha_ends(tail.alpha, tail.sigma, tail.alpha_low, tail.alpha_high, sigmas)
    return float(low), float(high)


def _by_criteria(tail: TailFit, ecs: Ecs, ends: tuple[float, float], erg_holds: bool) -> tuple[State, str]:
    """State of a sound fit of a heavy tail, and why."""
    low, high = ends
    if low <= IDEAL_ALPHA <= high:
        if erg_holds and not (WIDEST_IDEAL[0] < low and high < WIDEST_IDEAL[1]):
            return State.UNDETERMINED, (
                "neither alpha can be told from 2 nor det X from 1, but the interval is too wide to call that ideal"
            )
        if erg_holds:
            return State.IDEAL, (
                f"alpha cannot be told from 2 nor det X from 1 (lambda_min = {tail.lambda_min:.3f}, "
                f"1/e = {math.exp(-1):.3f})"
            )
        if ecs.erg_metric > 0:
            return State.SHORT_OF_IDEAL, "alpha cannot be told from 2, but the tail's det X is above 1"
        return State.UNDETERMINED, (
            "alpha cannot be told from 2, but the tail's det X is below 1, where over-regularized layers are"
        )
    if high < IDEAL_ALPHA:
        if ecs.delta_lambda_min < 0:
            return State.OVER_REGULARIZED, "alpha is below 2 and the power-law tail starts below the ERG tail"
        return State.UNDETERMINED, (
            "alpha is below 2 but the power-law tail does not start below the ERG tail: the two criteria contradict "
            "each other"
        )
    if low > UNDER_TRAINED_ALPHA:
        return State.UNDER_TRAINED, "alpha is above 6, hardly a heavy tail yet"
    det = "det X = 1 holds within its error" if erg_holds else "det X is not 1"
    if high >= UNDER_TRAINED_ALPHA:
        return State.SHORT_OF_IDEAL, f"alpha is above 2 and cannot be told from 6, and {det}"
    return State.SHORT_OF_IDEAL, f"alpha lies between 2 and 6, and {det}"


def looks_like_noise(kind: Universality) -> bool:
    """Noise, or noise with a few spikes of little weight: no heavy tail and nothing strong beside it.

    Examples
    --------
    >>> import numpy as np
    >>> from setol_ww import analyze_matrix
    >>> looks_like_noise(analyze_matrix(np.random.default_rng(0).normal(size=(400, 200))).universality)
    True
    """
    if kind.universality_class is UniversalityClass.RANDOM_LIKE:
        return True
    few = kind.universality_class is UniversalityClass.BULK_AND_SPIKES and kind.spikes < MIN_TAIL
    return few and kind.spike_share <= LEARNED


def says_no_tail(reason: object) -> bool:
    """Whether the sentence of a verdict says that there is no heavy tail, so that alpha is only that of an edge.

    Examples
    --------
    >>> import numpy as np
    >>> from setol_ww import analyze_matrix
    >>> says_no_tail(analyze_matrix(np.random.default_rng(0).normal(size=(400, 200))).reason), says_no_tail(None)
    (True, False)
    """
    return isinstance(reason, str) and _NO_TAIL in reason


def _without_a_tail(kind: Universality) -> tuple[State, str]:
    """State of a layer in which no heavy tail is seen, and why it is not simply under-trained."""
    if kind.universality_class is UniversalityClass.UNDETERMINED:
        return State.UNDETERMINED, ""
    if not looks_like_noise(kind):
        return State.UNDETERMINED, ": more than noise, but no tail whose alpha could be judged"
    if LITTLE_POWER in kind.flags:
        return State.UNDETERMINED, (
            f"; but there is too little power: noise of this size may lie {kind.noise_distance:.2g} from its law, and "
            "a heavy tail of alpha = 3 would often look like it"
        )
    return State.UNDER_TRAINED, ""


def _no_heavy_tail(kind: Universality | None) -> str:
    """Why the tail of the fit is none; empty where it may be one: no class asked, none possible, or heavy."""
    if kind is None or kind.universality_class.is_heavy:
        return ""
    if kind.universality_class is UniversalityClass.RANDOM_LIKE:
        return "this is the edge of a random-like bulk"
    if kind.universality_class is UniversalityClass.BULK_AND_SPIKES:
        return f"this is the edge of the noise and {_beyond(kind)} beyond it"
    if kind.universality_class is not UniversalityClass.UNDETERMINED or not math.isfinite(kind.noise_distance):
        return ""
    if not kind.spikes:
        return "no eigenvalue is above the edge of noise, although they do not follow its law"
    why = "too little evidence for a tail"
    if kind.apart or kind.spikes < MIN_TAIL:
        why = "apart from the rest" if kind.apart else "too little for a tail"
    return f"{_beyond(kind)} {_lie(kind)} above the edge of noise, {why}"


def _beyond(kind: Universality) -> str:
    """How many eigenvalues lie above the edge of the noise, and with what share of the trace."""
    number = "one eigenvalue" if kind.spikes == 1 else f"{kind.spikes} eigenvalues"
    return f"{number} with {100 * kind.spike_share:.0f} % of the trace"


def _lie(kind: Universality) -> str:
    return "lies" if kind.spikes == 1 else "lie"


def _doubt(tail: TailFit, erg: ErgCut) -> str:
    """Why nothing can be judged; empty when the fit is sound."""
    numbers = f"alpha = {tail.alpha:.2f} ± {tail.sigma:.2f} on a tail of {tail.rank} eigenvalues"
    if tail.outcome is not Outcome.OK:
        return f"{numbers}, but {tail.outcome.sentence}."
    if tail.rank < MIN_TAIL:
        return f"{numbers}: fewer than {MIN_TAIL} say too little."
    if erg.status is not Outcome.OK:
        return f"{numbers}, but no ERG cut: {erg.status.sentence}."
    return ""
