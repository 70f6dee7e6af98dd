r"""Which layers to train and which to freeze: Spectrum's signal-to-noise ratio, or the energy above our edge.

`snr` (Hartford et al., Spectrum, 2024; `spectrum.py`, Apache-2.0), of the singular values S of a layer:
:math:`\mathrm{SNR} = \left[\sum_{S > \theta} S / \sum_{S \le \theta} S\right] / S_{\max}` with
:math:`\theta = s\,(1 + \sqrt\beta)`, s the interquartile range over 1.349, :math:`\beta` = smaller over larger side.
That is no Marchenko-Pastur edge. Without a value below the threshold the noise counts as 1, as theirs does.

`edge`: the sum of the eigenvalues above the Tracy-Widom edge of the bulk over the sum of those below
(`setol_ww.fit_bulk`), which has a stated rate of false positives.

Of each type of layer (the name behind the number of the block) the share with the largest ratios is trained.
"""

from __future__ import annotations

import math
import re

import numpy as np

from ..core.arrays import FloatArray
from ..core.checks import is_finite, one_of
from ..core.errors import InvalidInput
from ..results.record import STRENGTHS, LayerRecord
from ..results.results import Results
from ..spectrum.bulk import fit_bulk
from .candidates import Candidate, tensors_of
from .registry import Draft, Target

QUARTILES_OF_A_GAUSSIAN = 1.349
AFTER_NUMBER = re.compile(r"^(?:.*?\.)?\d+(?:\.(.+))?$")


def advise(results: Results, *, share: float = 0.5, by: str = "snr") -> Draft:
    """Yes or no.

    Parameters
    ----------
    results : Results
    share : float
        Of the layers of each type, rounded down: half of one layer is none.
    by : str
        `snr` or `edge`.
    """
    if not is_finite(share) or not 0 < share <= 1:
        raise InvalidInput(f"share={share!r} was asked; accepted is a number above 0 and up to 1")
    one_of("by", by, ("snr", "edge"))
    found = tensors_of(results)
    left_out = {one.title: "an embedding: Spectrum always trains it" for one in found if one.is_embedding}
    found = [candidate for candidate in found if not candidate.is_embedding]
    values = [_ratio(candidate, by) for candidate in found]
    types = [type_of(candidate.longname) for candidate in found]
    chosen: set[int] = set()
    for kind in dict.fromkeys(types):
        places = [place for place, one in enumerate(types) if one == kind and math.isfinite(values[place])]
        ranked = sorted(places, key=lambda place: -values[place])
        # Of all layers of the type, those without a ratio too.
        chosen |= set(ranked[: int(types.count(kind) * share + 1e-9)])
    rows = [
        {
            "longname": candidate.longname,
            "slice": "",
            "tensor": candidate.tensor,
            "n_params": candidate.n_params,
            "type": types[place],
            by if by == "snr" else "signal_over_bulk": values[place],
            "unfreeze": place in chosen,
            "reason": "" if math.isfinite(values[place]) else candidate.failure or "its ratio is not defined",
        }
        for place, candidate in enumerate(found)
    ]
    empty = sorted({kind for kind in types if not any(types[place] == kind for place in chosen)})
    told = ", ".join(one or "layers without a number" for one in empty)
    notes = [f"of some types the share rounds down to no layer: {told}"] if empty else []
    return Draft(rows, tuple(notes), left_out)


def type_of(longname: str) -> str:
    """The name behind the first number; one type for all layers without.

    >>> type_of("model.layers.3.mlp.up_proj"), type_of("layer1.0.conv1"), type_of("fc1")
    ('mlp.up_proj', 'conv1', '')
    """
    found = AFTER_NUMBER.match(longname)
    return found.group(1) or "" if found else ""


def signal_to_noise(singular: FloatArray, sides: tuple[int, int]) -> float:
    """Spectrum's ratio.

    >>> sigma = np.array([10, 4, 3, 2.5, 2, 1.5, 1.2, 1])
    >>> round(signal_to_noise(sigma, (8, 16)), 6), round(signal_to_noise(sigma, (8, 8)), 6)
    (0.342105, 0.207317)
    """
    low, high = np.quantile(singular, (0.25, 0.75))
    threshold = (high - low) / QUARTILES_OF_A_GAUSSIAN * (1 + math.sqrt(min(sides) / max(sides)))
    above = singular > threshold
    noise = float(singular[~above].sum())
    return float(singular[above].sum()) / (noise if noise > 0 else 1.0) / float(singular.max())


def _ratio(candidate: Candidate, by: str) -> float:
    if candidate.failure:
        return math.nan
    return float(np.mean([_snr(record) if by == "snr" else _above_edge(record) for record in candidate.records]))


def _snr(record: LayerRecord) -> float:
    spectrum = record.spectrum
    assert spectrum is not None
    if not spectrum.is_defined:
        return math.nan
    return signal_to_noise(np.sqrt(spectrum.raw), (spectrum.N, spectrum.M))


def _above_edge(record: LayerRecord) -> float:
    spectrum = record.spectrum
    assert spectrum is not None
    edge = fit_bulk(spectrum, strengths=record.extras.get(STRENGTHS)).edge
    below = float(spectrum.unit_mean[spectrum.unit_mean <= edge].sum())
    return float(spectrum.unit_mean[spectrum.unit_mean > edge].sum()) / below if below > 0 else math.nan


TARGET = Target(
    "unfreeze",
    "unfreeze",
    "which layers to train (Spectrum's signal-to-noise ratio, or our edge)",
    "the `share` of each type with the largest [sum S > t / sum S <= t] / max S, t = IQR/1.349 (1 + sqrt beta); or "
    "with the largest energy above the Tracy-Widom edge over that below",
    "Spectrum, Hartford et al., 2024 (github.com/QuixiAI/spectrum, spectrum.py); edge: setol_ww.fit_bulk",
    advise,
)
