"""A layer's result as a person reads it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..core.card import Card, Fact, outcome_fact
from ..core.tones import Tone
from .flags import tone_of

if TYPE_CHECKING:
    from .result import LayerResult


def layer_card(result: LayerResult) -> Card:
    """Size, state, class, flags, tail, ERG cut and quality, and the sentences behind them.

    Examples
    --------
    >>> import setol_ww as ww
    >>> layer_card(ww.analyze_matrix([[3.0, 0.0], [0.0, 1.0]])).title
    '2 x 2, 2 eigenvalues, rank 2'
    """
    spectrum = result.spectrum
    slices = f", {spectrum.slices} slices" if spectrum.slices > 1 else ""
    state, kind = result.verdict.state, result.universality.universality_class
    facts = [
        Fact("state", state.value, state.tone, state.meaning),
        Fact("class", kind.value, kind.tone),
        Fact("flags", ", ".join(result.flags), tone_of(result.flags)),
        _tail(result),
        _erg_cut(result),
        _quality(result),
    ]
    return Card(
        f"{spectrum.N} x {spectrum.M}{slices}, {spectrum.values.size} eigenvalues, rank {spectrum.rank}",
        [fact for fact in facts if fact.said],
        [result.reason, f"next: {result.verdict.next_step}"],
    )


def _tail(result: LayerResult) -> Fact:
    tail, fact = result.tail, outcome_fact("tail", result.tail.outcome)
    if not tail.rank:
        return Fact("tail", f"none, {fact.whole}", fact.tone)
    doubt = "" if fact.tone is Tone.GOOD else f"; {fact.whole}"
    said = f"alpha {tail.alpha:.2f} ± {tail.sigma:.2f} of the {tail.rank} largest eigenvalues{doubt}"
    return Fact("tail", said, Tone.PLAIN if fact.tone is Tone.GOOD else fact.tone)


def _erg_cut(result: LayerResult) -> Fact:
    erg, fact = result.erg, outcome_fact("ERG cut", result.erg.status)
    if not math.isfinite(erg.log_det):
        return Fact("ERG cut", f"none, {fact.whole}", fact.tone)
    doubt = "" if fact.tone is Tone.GOOD else f"; {fact.whole}"
    said = f"k* = {erg.rank} of {result.spectrum.num_evals}, S_k* = {erg.log_det:+.3f}{doubt}"
    return Fact("ERG cut", said, Tone.PLAIN if fact.tone is Tone.GOOD else fact.tone)


def _quality(result: LayerResult) -> Fact:
    quality = result.quality
    known = quality is not None and math.isfinite(quality.q2_norm)
    return Fact("quality", f"q2_norm {quality.q2_norm:.3g}" if known and quality is not None else "")
