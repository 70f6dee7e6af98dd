"""The universality class of a layer: what kind of random matrix its spectrum is like, and on which evidence.

| class | when |
|---|---|
| random-like | no eigenvalue above the Tracy-Widom edge of a bulk near Marchenko-Pastur, or all eigenvalues equal |
| bulk+spikes | some are above it, and Marchenko-Pastur with spikes describes the rest |
| very heavy-tailed, heavy-tailed, weakly heavy-tailed | a heavy tail does better: alpha below 2, up to 6, above 6 |
| rank collapse | at least half of the eigenvalues are zero |
| undetermined | no spectrum, fewer than four eigenvalues, or neither above the edge nor Marchenko-Pastur nor heavy |

Between bulk+spikes and the heavy tails decide two tests on the layer's own spectrum. (1) Do the eigenvalues below the
edge follow a Marchenko-Pastur law? (2) Vuong's likelihood ratio, on the power-law tail, of the best of power law,
truncated power law and lognormal against Marchenko-Pastur with spikes. Where spikes are few (up to 5 % of the
eigenvalues, up to 25 % above a bulk that is Marchenko-Pastur) the heavy tail has to win significantly; where they are
many it must not lose significantly, for tails of some tens of eigenvalues seldom decide. Without any spike it has to
win with an alpha up to 6, and the bulk to be far from Marchenko-Pastur.

The exponent chooses among the heavy tails alone (arXiv 2507.17912, Table 1); no exponent of the entries is read off
it, which finite matrices do not allow (docs/errata.md, E1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from ..core.outcomes import Outcome
from ..spectrum.bulk import BulkFit
from ..spectrum.esd import Spectrum
from ..spectrum.likelihoods import (
    Comparison,
    TailLaw,
    bulk_and_spikes,
    lognormal,
    power_law,
    truncated_power_law,
    vuong,
)
from ..spectrum.tail import SMALL_SAMPLE, TailFit

COLLAPSED_SHARE = 0.5
# A tail of fewer eigenvalues, or a spectrum of fewer than SMALL_SAMPLE, cannot show that it is heavy.
MIN_TAIL = 8
VERY_HEAVY_ALPHA, WEAKLY_HEAVY_ALPHA = 2.0, 6.0
# Spikes are few up to this share of the eigenvalues, and up to the other above a bulk that is Marchenko-Pastur.
FEW_SPIKES, FEW_ABOVE_A_BULK = 0.05, 0.25
# A bulk this far from Marchenko-Pastur (KS distance, and in critical values) is not random-like, although nothing
# stands out of it.
FAR_FROM_NOISE, FAR_IN_CRITICAL_VALUES = 0.1, 2.0
# z of Vuong's test: a heavy tail wins over few spikes beyond the one, loses to many below the other.
WINS, LOSES = 1.645, -1.96
# Log-likelihood that one more parameter has to gain: the 5 % point on the border of the power law is 1.35.
WORTH_A_PARAMETER = 2.0


class UniversalityClass(str, Enum):
    """The words of the column `universality_class`."""

    RANDOM_LIKE = "random-like"
    BULK_AND_SPIKES = "bulk+spikes"
    WEAKLY_HEAVY_TAILED = "weakly heavy-tailed"
    HEAVY_TAILED = "heavy-tailed"
    VERY_HEAVY_TAILED = "very heavy-tailed"
    RANK_COLLAPSE = "rank collapse"
    UNDETERMINED = "undetermined"

    @property
    def is_heavy(self) -> bool:
        """One of the three heavy-tailed classes."""
        return self in HEAVY


HEAVY = (
    UniversalityClass.WEAKLY_HEAVY_TAILED,
    UniversalityClass.HEAVY_TAILED,
    UniversalityClass.VERY_HEAVY_TAILED,
)


NOT_COMPARED = Comparison(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Universality:
    """A class with the numbers it rests on; NaN where a number was not needed or is not defined.

    Attributes
    ----------
    universality_class : UniversalityClass
    evidence : str
        The numbers in a sentence.
    spikes, spike_share : int, float
        Eigenvalues above the edge, and their share of the trace.
    edge_pvalue : float
        Tracy-Widom p-value of the largest eigenvalue, were it noise.
    bulk_ks, bulk_critical_ks : float
        Distance of the rest to its Marchenko-Pastur law, and the 1 % critical value.
    heavy_law : str
        The best of `power law`, `truncated power law`, `lognormal`.
    heavy_against_bulk : Comparison
        Vuong's test of that law against Marchenko-Pastur with spikes on the power-law tail.
    truncation_gain, lognormal_gain : float
        Log-likelihood each gains over the power law by one more parameter.
    alpha, alpha_sigma : float
        Of the power-law fit, whatever the class.
    """

    universality_class: UniversalityClass
    evidence: str
    spikes: int = 0
    spike_share: float = math.nan
    edge_pvalue: float = math.nan
    bulk_ks: float = math.nan
    bulk_critical_ks: float = math.nan
    heavy_law: str = ""
    heavy_against_bulk: Comparison = NOT_COMPARED
    truncation_gain: float = math.nan
    lognormal_gain: float = math.nan
    alpha: float = math.nan
    alpha_sigma: float = math.nan


def universality(spectrum: Spectrum, tail: TailFit, bulk: BulkFit) -> Universality:
    """The class of a layer from its spectrum, its power-law tail and its Marchenko-Pastur bulk.

    Examples
    --------
    >>> import numpy as np
    >>> from setol_ww import Spectrum, fit_bulk, fit_tail
    >>> noise = Spectrum.from_matrix(np.random.default_rng(0).normal(size=(200, 100)))
    >>> universality(noise, fit_tail(noise), fit_bulk(noise)).universality_class.value
    'random-like'
    """
    plain = _without_a_test(spectrum, bulk)
    if plain is not None:
        return plain
    found = Universality(
        UniversalityClass.RANDOM_LIKE,
        f"Random-like: {_noise_in_words(spectrum, bulk)}.",
        spikes=bulk.spikes,
        spike_share=_share(spectrum, bulk),
        edge_pvalue=bulk.pvalue,
        bulk_ks=bulk.ks,
        bulk_critical_ks=bulk.critical_ks,
        alpha=tail.alpha,
        alpha_sigma=tail.sigma,
    )
    far = bulk.ks > max(FAR_FROM_NOISE, FAR_IN_CRITICAL_VALUES * bulk.critical_ks)
    return _compared(spectrum, tail, bulk, found) if bulk.spikes or far else found


def _compared(spectrum: Spectrum, tail: TailFit, bulk: BulkFit, found: Universality) -> Universality:
    """A heavy tail against Marchenko-Pastur with spikes, on the power-law tail."""
    noise = _noise_in_words(spectrum, bulk)
    light = UniversalityClass.BULK_AND_SPIKES if bulk.spikes else UniversalityClass.UNDETERMINED
    if tail.rank < MIN_TAIL or spectrum.rank < SMALL_SAMPLE:
        said = f"{_title(light)}: {noise}; a tail of {tail.rank} of {spectrum.rank} is too short to be called heavy."
        return replace(found, universality_class=light, evidence=said)
    laws = _heavy_laws(spectrum, tail)
    best = max(laws, key=lambda name: laws[name].log_likelihood - (name != "power law") * WORTH_A_PARAMETER)
    light_law = bulk_and_spikes(spectrum.unit_mean[spectrum.num_evals - tail.rank :], bulk, spectrum.slices)
    tested = vuong(laws[best].log_density, light_law, more_parameters=2 if best == "power law" else 1)
    few = bulk.spikes <= (FEW_ABOVE_A_BULK if bulk.is_marchenko_pastur else FEW_SPIKES) * spectrum.rank
    heavy = tested.z > (WINS if few else LOSES) and (bulk.spikes > 0 or tail.alpha <= WEAKLY_HEAVY_ALPHA)
    word = _by_alpha(tail.alpha) if heavy else light
    gains = {name: law.log_likelihood - laws["power law"].log_likelihood for name, law in laws.items()}
    said = (
        f"{_title(word)}: {noise}; on the tail of {tail.rank} the {best} against bulk + spikes has log-likelihood "
        f"ratio {tested.ratio:+.1f} (Vuong p = {tested.pvalue:.2g})"
    )
    if heavy and best != "power law":
        said += f", {gains[best]:.1f} of it not by the power law"
    return replace(
        found,
        universality_class=word,
        evidence=f"{said}.",
        heavy_law=best,
        heavy_against_bulk=tested,
        truncation_gain=gains["truncated power law"],
        lognormal_gain=gains["lognormal"],
    )


def _without_a_test(spectrum: Spectrum, bulk: BulkFit) -> Universality | None:
    """The class where counting and comparing eigenvalues is enough."""
    zeros = spectrum.num_evals - spectrum.rank
    if not spectrum.is_defined:
        return Universality(UniversalityClass.UNDETERMINED, f"No class: {Outcome.DEGENERATE.sentence}.")
    if spectrum.num_evals > 1 and zeros >= COLLAPSED_SHARE * spectrum.num_evals:
        said = f"Rank collapse: {zeros} of {spectrum.num_evals} eigenvalues are zero within rounding."
        return Universality(UniversalityClass.RANK_COLLAPSE, said)
    if bulk.outcome is Outcome.TOO_FEW:
        of = f" of {spectrum.slices} slices" if spectrum.slices > 1 else ""
        said = f"No class: {spectrum.rank} positive eigenvalues{of} are too few to have a bulk."
        return Universality(UniversalityClass.UNDETERMINED, said)
    if bulk.outcome is Outcome.FLAT:
        said = "Random-like: all eigenvalues are equal, as in an orthogonal initialisation."
        return Universality(UniversalityClass.RANDOM_LIKE, said)
    return None


def _title(word: UniversalityClass) -> str:
    return "No class" if word is UniversalityClass.UNDETERMINED else word.value.capitalize()


def _share(spectrum: Spectrum, bulk: BulkFit) -> float:
    """Share of the trace above the edge."""
    return float(spectrum.values[spectrum.num_evals - bulk.spikes :].sum() / spectrum.values.sum())


def _noise_in_words(spectrum: Spectrum, bulk: BulkFit) -> str:
    fits = "the rest is Marchenko-Pastur" if bulk.is_marchenko_pastur else "the rest is not Marchenko-Pastur"
    distance = f"{fits} (KS {bulk.ks:.3g}, 1 % critical value {bulk.critical_ks:.3g})"
    if not bulk.spikes:
        return (
            f"none of {spectrum.rank} eigenvalues is above the Tracy-Widom edge (largest: p = {bulk.pvalue:.2g}), and "
            + distance.replace("the rest", "the bulk")
        )
    share = f"{100 * _share(spectrum, bulk):.0f} % of the trace"
    return f"{bulk.spikes} of {spectrum.rank} eigenvalues with {share} lie above the Tracy-Widom edge, {distance}"


def _heavy_laws(spectrum: Spectrum, tail: TailFit) -> dict[str, TailLaw]:
    values = spectrum.values[spectrum.num_evals - tail.rank :]
    y = np.log(values / values[0])
    return {"power law": power_law(y), "truncated power law": truncated_power_law(y), "lognormal": lognormal(y)}


def _by_alpha(alpha: float) -> UniversalityClass:
    if alpha < VERY_HEAVY_ALPHA:
        return UniversalityClass.VERY_HEAVY_TAILED
    return UniversalityClass.HEAVY_TAILED if alpha <= WEAKLY_HEAVY_ALPHA else UniversalityClass.WEAKLY_HEAVY_TAILED
