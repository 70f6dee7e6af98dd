"""Flags of a layer: words for what a reader of its numbers should know, none of which hides its state."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..core.tones import Tone, gravest
from ..spectrum.strengths import Strengths
from ..spectrum.tail import TailFit
from ..traps.find import TrapReport
from .classes import Universality

#: Flag -> what it means and what to do about it.
MEANINGS = {
    "no matrix": "the slices are single columns or rows (depthwise kernels): they have no spectrum",
    "few eigenvalues": "fewer than 20 eigenvalues cannot tell one class from another; judge by other means",
    "little power": "so few eigenvalues, or so uneven rows, that a heavy tail of alpha = 3 would often look like noise",
    "uneven rows": "rows differ in strength beyond sampling (folded norms, gains, dead units): alpha contains it",
    "uneven columns": "columns differ in strength beyond sampling (merged gains, dead inputs): alpha contains it",
    "uneven slices": "kernel slices differ in variance beyond sampling: alpha contains it",
    "ambiguous tail start": "another start of the tail fits as well and has another alpha; use the interval",
    "trap: mean shift": "the mean of the entries is an outlier; it costs nothing known, but alpha contains it",
    "trap: element": "single elements are outliers; see trap_* and find_traps for which, remove_traps to take them out",
    "trap: spread": "the shuffled matrix has an outlier that no element and no shift carries",
    "no trap edge": "elements are too heavy-tailed for an edge of the shuffled matrix; tail and mean were tested",
}
#: With one of the first the numbers of a layer are not to be trusted as they stand; the second describe, as most
#: trained layers are; the others call for caution.
GRAVE = ("no matrix", "trap: element", "trap: spread")
MILD = ("uneven rows", "uneven columns", "uneven slices")
# Standard deviation of the logarithm of the strengths that moves a spectrum visibly.
VISIBLE = 0.05


def flags_of(
    kind: Universality, tail: TailFit, strengths: Strengths | None, traps: TrapReport | None
) -> tuple[str, ...]:
    """The flags of one layer, in the order of `MEANINGS`."""
    found = set(kind.flags)
    if strengths is not None and "no matrix" not in found:
        spreads = {"rows": strengths.row_spread, "columns": strengths.column_spread, "slices": strengths.slice_spread}
        found |= {f"uneven {side}" for side, spread in spreads.items() if spread > VISIBLE}
    if tail.starts > 1 and not _same_alpha(tail):
        found.add("ambiguous tail start")
    if traps is not None:
        found |= {f"trap: {trap.carrier}" for trap in traps.traps}
        if traps.edge_reason:
            found.add("no trap edge")
    return tuple(flag for flag in MEANINGS if flag in found)


def tone_of(flags: Iterable[str]) -> Tone:
    """The gravest tone of some flags, for colours.

    >>> tone_of(["uneven rows", "trap: element"]).value, tone_of([]).value
    ('bad', 'plain')
    """
    return gravest(Tone.BAD if flag in GRAVE else Tone.PLAIN if flag in MILD else Tone.CAUTION for flag in flags)


def _same_alpha(tail: TailFit) -> bool:
    """True when the next best start has the same alpha within the error of a known start."""
    return not math.isfinite(tail.alpha_2nd) or abs(tail.alpha_2nd - tail.alpha) <= tail.sigma
