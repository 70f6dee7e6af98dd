"""A layer's result as a few lines for a person."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..core.printable import terminal_width, visible, wrapped

if TYPE_CHECKING:
    from .result import LayerResult


def layer_text(result: LayerResult, width: int | None = None) -> str:
    """Size, tail, ERG cut, quality, class and state, and the sentences behind them.

    Examples
    --------
    >>> import setol_ww as ww
    >>> print(layer_text(ww.analyze_matrix([[3.0, 0.0], [0.0, 1.0]]), 80).splitlines()[0])
    2 x 2, 2 eigenvalues, rank 2
    """
    spectrum, tail, erg = result.spectrum, result.tail, result.erg
    slices = f", {spectrum.slices} slices" if spectrum.slices > 1 else ""
    lines = [
        f"{spectrum.N} x {spectrum.M}{slices}, {spectrum.values.size} eigenvalues, rank {spectrum.rank}",
        f"state: {result.verdict.state.value}; class: {result.universality.universality_class.value}",
    ]
    if result.flags:
        lines.append(f"flags: {', '.join(result.flags)}")
    if tail.rank:
        lines.append(f"tail: alpha {tail.alpha:.2f} ± {tail.sigma:.2f} of the {tail.rank} largest eigenvalues")
    else:
        lines.append(f"tail: none, {tail.outcome.value}")
    if math.isfinite(erg.log_det):
        lines.append(f"ERG cut: k* = {erg.rank}, S_k* = {erg.log_det:+.3f}, {erg.status.value}")
    else:
        lines.append(f"ERG cut: none, {erg.status.value}")
    if result.quality is not None and math.isfinite(result.quality.q2_norm):
        lines.append(f"layer quality: q2_norm {result.quality.q2_norm:.3g}")
    lines += [result.reason, f"next: {result.verdict.next_step}"]
    room = terminal_width(width)
    return "\n".join(wrapped(visible(line), room, later="  ") for line in lines if line)
