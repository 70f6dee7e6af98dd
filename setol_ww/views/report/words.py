"""What the page says to someone who has never read the paper."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...core.outcomes import Outcome
from ...core.printable import visible
from ...layer.classes import UniversalityClass
from ...layer.flags import MEANINGS
from ...layer.verdict import UNDER_TRAINED_ALPHA, State, says_no_tail
from ...results.apart import USUAL, apartness
from ...results.glosses import WORDS
from ...results.printed import alpha_told, flags_in, has_failed, is_number
from ...results.summary import ALL_ZERO, LOUD, Look

#: Terms of the page and what they mean.
GLOSSARY = {
    "layer": "one weight matrix of the model; a convolution counts as all its kernel slices together",
    "eigenvalues": "the squared singular values of the matrix: how strongly it acts in each of its directions. "
    "Training makes a few of them large; their distribution is the spectrum",
    "unit mean": "the scale of this page: eigenvalues divided by their mean, so that layers can be compared",
    "tail": "the large eigenvalues. Of a well-trained layer they fall off as a power law: a straight line when both "
    "axes are logarithmic",
    "alpha": "the steepness of that power law. Near 2 is the ideal of the theory; from 2 to 6 is usual for trained "
    "layers; above 6 it may have hardly learned, below 2 it may have learned too much by heart",
    "±": "one standard error",
    "ERG tail, k*": "as many leading eigenvalues as multiply to 1 (det X = 1). It is found without any power law; the "
    "theory says that it and the power-law tail start at the same place in an ideal layer",
    "delta": "where the power-law tail starts minus where the ERG tail starts: 0 in an ideal layer, negative beyond it",
    "q2_norm": "the layer quality of the theory, from the eigenvalues of the ERG tail alone; larger for heavier tails",
    "bulk": "the part of the spectrum that random numbers of the same spread would have as well; eigenvalues above its "
    "edge are what training put there",
    "trap": "an eigenvalue that stays large when the entries of the matrix are shuffled: it comes from single large "
    "weights or from a shifted mean, not from anything learned",
}
#: Universality classes in plain words.
CLASSES = {kind.value: WORDS.get(kind.value, "none of the others can be shown") for kind in UniversalityClass}
GRAVE = (State.OVER_REGULARIZED, State.UNDER_TRAINED)
TRAP_NEXT = (
    "setol_ww.find_traps of the weights says which elements they are; setol_ww.remove_traps takes them out. See "
    "whether the test error changes."
)
FAILED_NEXT = (
    "Look into the file, or at the training, for what the reason names; the other layers do not suffer from it."
)
ZERO_NEXT = "Some layers begin so, the second factor of an adapter for one. In a trained model it may be pruned."
COLLAPSE_NEXT = (
    "See whether it was cut to a low rank on purpose, as by an adapter or a truncation; if not, units may have died."
)
SHIFT_NEXT = "Nothing need be done about the shift itself; judge alpha with care, for the shift is in it."


def headline(row: Mapping[str, Any], look: Look | None) -> str:
    """What is the matter with a layer, in a few words."""
    if has_failed(row):
        return "could not be analysed"
    state, kind = _state(row), row.get("universality_class")
    said = [ALL_ZERO] if _is_zero(row) else []
    said += [kind] if kind == UniversalityClass.RANK_COLLAPSE.value else []
    said += [state.value] if state in GRAVE else []
    said += loud_flags(row)
    if look is not None and said:
        return ", ".join(said)
    rest = "apart from the rest" if apartness(row) > 1 else "no concern"
    return rest if state is None else f"{state.value}, {rest}"


def because(row: Mapping[str, Any], look: Look | None) -> list[str]:
    """Why a layer is looked at, a sentence each: its failure, or its state, spectrum, alpha and traps.

    What speaks against a statement on an undetermined layer has its alpha in it.
    """
    if has_failed(row):
        return [f"It could not be analysed: {visible(str(row.get('reason', '')))}"]
    said = []
    state, kind = _state(row), row.get("universality_class")
    if look is None:
        said.append(f"Nothing calls for a look here{_apart(row)}.")
    if state is not None:
        said.append(f"State {state.value}: {_ground(row, state)}.")
    if kind in CLASSES:
        said.append(f"Spectrum {kind}: {CLASSES[kind]}.")
    if is_number(row.get("tail_alpha")) and (state is not State.UNDETERMINED or not row.get("setol_reason")):
        said.append(f"Its {alpha_told(row)}: {_worth(row, state)}.")
    return said + [f"{_capital(flag)}: {MEANINGS[flag]}." for flag in loud_flags(row)]


def next_step(row: Mapping[str, Any]) -> str:
    """What to do about a layer: by its state where that is a grave one or there is no trap."""
    if has_failed(row):
        return FAILED_NEXT
    if _is_zero(row):
        return ZERO_NEXT
    state = _state(row)
    if state is State.UNDETERMINED and row.get("universality_class") == UniversalityClass.RANK_COLLAPSE.value:
        return COLLAPSE_NEXT
    if state is not None and (state in GRAVE or not loud_flags(row)):
        return state.next_step
    if loud_flags(row) == ["trap: mean shift"]:
        return SHIFT_NEXT
    return TRAP_NEXT if loud_flags(row) else ""


def loud_flags(row: Mapping[str, Any]) -> list[str]:
    """The flags that call for a look by themselves."""
    return [flag for flag in flags_in(row.get("setol_flags")) if flag.startswith(LOUD) and flag in MEANINGS]


def quiet_flags(row: Mapping[str, Any]) -> list[str]:
    """The others."""
    return [flag for flag in flags_in(row.get("setol_flags")) if flag not in loud_flags(row)]


def _state(row: Mapping[str, Any]) -> State | None:
    return next((state for state in State if state.value == row.get("setol_state")), None)


def _is_zero(row: Mapping[str, Any]) -> bool:
    return row.get("tail_outcome") == Outcome.DEGENERATE.value


def _apart(row: Mapping[str, Any]) -> str:
    """Why a layer is shown that nothing calls for."""
    score = apartness(row)
    if score > 0:
        return f", but its alpha lies outside the usual {USUAL}"
    return f"; of the others its alpha is among the nearest to an end of the usual {USUAL}" if score > -math.inf else ""


def _ground(row: Mapping[str, Any], state: State) -> str:
    """What a state means; for want of one, the sentence that says what is lacking."""
    reason = row.get("setol_reason")
    if state is not State.UNDETERMINED or not isinstance(reason, str):
        return state.meaning
    return visible(f"{state.meaning}: {reason.split('. ')[0].removesuffix('.')}")


def _worth(row: Mapping[str, Any], state: State | None) -> str:
    """What an alpha says."""
    if says_no_tail(row.get("setol_reason")):
        return "without a heavy tail it says little"
    usual = f"2 is ideal, {USUAL} is usual"
    if state is State.SHORT_OF_IDEAL and row["tail_alpha"] > UNDER_TRAINED_ALPHA:
        return f"{usual}, and by its 90 % interval it may be {UNDER_TRAINED_ALPHA:g} or less"
    return usual


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
