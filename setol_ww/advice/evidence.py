"""What this project measured of each advice, said beside it. A test holds the numbers against docs/figures/advice."""

from __future__ import annotations

NOT_MEASURED = "not tried in this project: whether following it helps is open"
READOUT = (
    "alpha is a readout here, not a knob: it tells how a net was trained, and setting something by it was not found to "
    "help (docs/findings.md)"
)
MEASURED: dict[str, str] = {}


def measured(target: str) -> str:
    """The sentence for a target."""
    return MEASURED.get(target, NOT_MEASURED)
