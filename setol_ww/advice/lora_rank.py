r"""A LoRA rank for each linear layer, within the parameters of one rank everywhere.

:math:`r_i \approx t\,w_i`, t as large as :math:`\sum r_i (N_i + M_i) \le r \sum (N_i + M_i)` allows. The weight w is
the rank k* of the ERG cut (arXiv 2507.17912, Eq. 126: the directions that the layer correlates by), or the number of
eigenvalues above the edge of the bulk (`setol_ww.fit_bulk`). No published procedure: mergekit sizes adapters by the
update, AlphaLoRA their number by alpha.
"""

from __future__ import annotations

import math

import numpy as np

from ..core.checks import is_finite, one_of, positive_integer
from ..core.errors import InvalidInput
from ..results.record import STRENGTHS, LayerRecord
from ..results.results import Results
from ..spectrum.bulk import fit_bulk
from ..spectrum.erg import erg_cut
from .budgets import ranks
from .candidates import Candidate, tensors_of
from .registry import Draft, Target


def advise(
    results: Results,
    *,
    rank: int = 16,
    by: str = "erg",
    least: int = 1,
    scale: float = 1.0,
    rslora: bool = False,
) -> Draft:
    """Ranks and alphas.

    Parameters
    ----------
    results : Results
        Of the base model.
    rank : int
        The rank whose parameters are the budget.
    by : str
        `erg` or `spikes`.
    least : int
        No rank is below it.
    scale : float
        What PEFT is to multiply the product of the factors with, in every layer: lora_alpha / rank.
    rslora : bool
        For `use_rslora=True`, where PEFT divides by the root of the rank.
    """
    positive_integer("rank", rank)
    one_of("by", by, ("erg", "spikes"))
    if positive_integer("least", least) > rank:
        raise InvalidInput(f"least={least}, rank={rank} was asked; accepted is least <= rank")
    if not is_finite(scale) or not scale > 0:
        raise InvalidInput(f"scale={scale!r} was asked; accepted is a number above 0")
    one_of("rslora", rslora, (True, False))
    found, left_out = _linear(tensors_of(results))
    weights = np.array([_weight(candidate, by) for candidate in found])
    known = np.isfinite(weights)
    # A layer without a weight of its own gets that of the mean layer.
    used = np.where(known, weights, weights[known].mean() if known.any() else 1.0)
    notes = []
    if not (used > 0).any():
        used, notes = np.ones(used.size), ["no layer has a spike: every layer gets the same rank"]
    costs = np.array([sum(candidate.shape) for candidate in found])
    chosen = ranks(used, costs, [min(candidate.shape) for candidate in found], rank * costs.sum(), least=least)
    rows = [
        {
            "longname": candidate.longname,
            "slice": "",
            "tensor": candidate.tensor,
            "n_params": candidate.n_params,
            "erg_rank" if by == "erg" else "bulk_spikes": float(weight),
            "rank": int(own),
            "lora_alpha": float(scale * (math.sqrt(own) if rslora else own)),
            "lora_params": int(own * cost),
            "reason": "" if np.isfinite(weight) else candidate.failure or "not defined: the weight of the mean layer",
        }
        for candidate, weight, own, cost in zip(found, weights, chosen, costs)
    ]
    return Draft(rows, tuple(notes), left_out)


def _linear(candidates: list[Candidate]) -> tuple[list[Candidate], dict[str, str]]:
    """Weights of linear modules, which PEFT adapts, and what the others are."""
    left_out = {}
    for candidate in candidates:
        if candidate.is_embedding:
            left_out[candidate.title] = "an embedding"
        elif len(candidate.shape) != 2 or candidate.is_bare:
            left_out[candidate.title] = "no weight of a linear module"
    found = [candidate for candidate in candidates if candidate.title not in left_out]
    if not found:
        raise InvalidInput("ranks of adapters were asked; accepted are results with a linear layer")
    return found, left_out


def _weight(candidate: Candidate, by: str) -> float:
    if candidate.failure:
        return math.nan
    return float(sum(_count(record, by) for record in candidate.records))


def _count(record: LayerRecord, by: str) -> float:
    spectrum = record.spectrum
    assert spectrum is not None
    if not spectrum.is_defined:
        return math.nan
    if by == "erg":
        return erg_cut(spectrum).rank
    return fit_bulk(spectrum, strengths=record.extras.get(STRENGTHS)).spikes


TARGET = Target(
    "lora-rank",
    "rank",
    "a LoRA rank for each linear layer by its ERG rank or its spikes",
    "r_i = t w_i rounded down, t the largest with sum r_i (rows + columns) within that of one rank; w = k* or spikes",
    "this project; k* of arXiv 2507.17912, Eq. 126",
    advise,
)
