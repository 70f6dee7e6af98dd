"""The universality class of a layer: what kind of random matrix its spectrum is like, and on which evidence.

| class | when |
|---|---|
| random-like | no eigenvalue above the edge of the noise, and they follow its law; or all are equal |
| bulk+spikes | up to a quarter are above it, and the rest is noise or likelihood prefers that to a heavy tail |
| very heavy-tailed | evidence for a heavy tail, and the whole interval of alpha is below 2 |
| weakly heavy-tailed | evidence for a heavy tail, and the whole interval of alpha is above 6 |
| heavy-tailed | evidence for a heavy tail of any other alpha |
| rank collapse | at least half of the eigenvalues are zero |
| undetermined | no matrix, fewer than 20 eigenvalues, or neither noise nor noise with spikes nor heavy |

The null is asked first: independent entries W_ij = r_i c_j g_ij with the strengths of the layer's own rows, columns and
slices and the cumulants of its entries (`spectrum.noise`); where only eigenvalues are at hand, one variance. A heavy
tail reaches beyond the edge of that noise and hangs together with what is below it: without an eigenvalue above the
edge, or with a gap (an orthogonal bulk, narrower than any noise; many directions of one strength), there is none. It
has to be shown, by one of four:

1. Vuong's likelihood ratio of the best of power law, truncated power law and lognormal against the noise with spikes,
   on the power-law tail, is significant;
2. more eigenvalues are above the edge than spikes would be (10 and 5 % of them), and the ratio does not speak
   significantly for spikes: tails of some tens of eigenvalues seldom decide by likelihood;
3. the rest is far from noise (KS distance above .1 and twice its critical value), and
   the ratio does not speak for spikes;
4. the rest is more than twice as far from its law as noise may be, and the ratio leans to a heavy tail (one-sided
   level .1).

The exponent chooses among the heavy tails alone (arXiv 2507.17912, Table 1); no exponent of the entries is read off
it, which finite matrices do not allow (docs/errata.md, E1). Whether single elements or correlations carry the tail is
told by the entries after their strengths are divided out: where the series of their cumulants has no domain, elements.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from ..core.card import Card, Fact, Shown, chance_text, number_text
from ..core.outcomes import Outcome
from ..core.tones import Tone
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
from .intervals import alpha_ends

COLLAPSED_SHARE = 0.5
# A tail of fewer eigenvalues, or a spectrum of fewer than SMALL_SAMPLE, cannot show that it is heavy.
MIN_TAIL = 8
VERY_HEAVY_ALPHA, WEAKLY_HEAVY_ALPHA = 2.0, 6.0
# So many eigenvalues above the edge are spikes, whatever the size, and up to this share; more than the other share of
# the eigenvalues cannot be: there would be no bulk to call them so.
FEW, FEW_SHARE, LARGEST_SHARE = 10, 0.05, 0.25
# The rest is noise up to so many critical values: strengths are estimated. Cumulants move not the edge alone, and
# count with half of what they move it by, up to this.
NEAR_IN_CRITICAL_VALUES, LARGEST_BY_CUMULANTS = 1.5, 0.1
# The rest reaches the edge of the noise where its largest is beyond this share of the noise's own eigenvalues: .96 and
# more in heavy tails of 50 and more eigenvalues, .92 and less in orthogonal matrices with noise on them.
REACHED = 0.94
# A power law with the spread of the eigenvalues above the edge leaves a gap as wide below them more seldom.
CHANCE_OF_GAP = 1e-4
# KS distance, and in critical values, of what cannot be noise.
FAR_FROM_NOISE, FAR_IN_CRITICAL_VALUES = 0.1, 2.0
# One eigenvalue above the edge is a spike below this chance. Of random initialisations three times as many have one:
# the law of the largest eigenvalue is that of large sides.
CHANCE = 0.001
# z of Vuong's test: a heavy tail wins over spikes beyond the first, loses to them below the last; beyond the second it
# is the likelier one where the rest is farther from noise than so many times what noise may be.
WINS, LEANS, LOSES = 2.326, 1.282, -1.96
FAR_IN_DISTANCES = 2.0
# Log-likelihood that one more parameter has to gain: the 5 % point on the border of the power law is 1.35.
WORTH_A_PARAMETER = 2.0
# Where noise may be further from its law than this, a tail of alpha = 3 that is there is often taken for noise
# (docs/classes.md, power): 1 in 20 draws at .04, 1 in 3 at .06, 4 in 5 at .08.
POWER_DISTANCE = 0.05
# Flags that a class brings along.
NO_MATRIX, FEW_EIGENVALUES, LITTLE_POWER = "no matrix", "few eigenvalues", "little power"


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

    @property
    def tone(self) -> Tone:
        """How it is to be taken, for colours."""
        return TONES.get(self, Tone.PLAIN)


TONES = {
    UniversalityClass.HEAVY_TAILED: Tone.GOOD,
    UniversalityClass.VERY_HEAVY_TAILED: Tone.CAUTION,
    UniversalityClass.RANDOM_LIKE: Tone.CAUTION,
    UniversalityClass.UNDETERMINED: Tone.CAUTION,
    UniversalityClass.RANK_COLLAPSE: Tone.BAD,
}
HEAVY = (
    UniversalityClass.WEAKLY_HEAVY_TAILED,
    UniversalityClass.HEAVY_TAILED,
    UniversalityClass.VERY_HEAVY_TAILED,
)


NOT_COMPARED = Comparison(math.nan, math.nan, math.nan)


@dataclass(frozen=True, repr=False)
class Universality(Shown):
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
    carrier : str
        Of a heavy tail: `elements`, `correlations`, or empty where the entries are not known.
    apart : bool
        True where the eigenvalues above the edge do not hang together with the rest, as a tail does.
    noise_distance : float
        KS distance that noise of this size and these strengths may have: the larger, the less power.
    flags : tuple of str
        `no matrix`, `few eigenvalues`, `little power`.
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
    carrier: str = ""
    apart: bool = False
    noise_distance: float = math.nan
    flags: tuple[str, ...] = ()

    def _card(self) -> Card:
        kind = self.universality_class
        facts = [Fact("class", kind.value, kind.tone)]
        if not math.isnan(self.edge_pvalue):
            share = "" if math.isnan(self.spike_share) else f", {number_text(100 * self.spike_share)} % of the trace"
            spikes = f"{self.spikes} above the edge of the noise{share}"
            facts.append(Fact("spikes", spikes, more=chance_text(self.edge_pvalue)))
        if not math.isnan(self.bulk_ks):
            facts.append(Fact("bulk", f"KS distance {self.bulk_ks:.3g}, critical {number_text(self.bulk_critical_ks)}"))
        if self.heavy_law:
            z = number_text(self.heavy_against_bulk.z, "+.2f")
            facts.append(Fact("tail law", f"{self.heavy_law}; against noise with spikes z = {z}"))
        if self.flags:
            facts.append(Fact("flags", ", ".join(self.flags), Tone.CAUTION))
        return Card("universality class", facts, [self.evidence])


def universality(spectrum: Spectrum, tail: TailFit, bulk: BulkFit) -> Universality:
    """The class of a layer from its spectrum, its power-law tail and its bulk (`fit_bulk`, with strengths if known).

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
    told = _tested(spectrum, tail, bulk)
    little = told.noise_distance > POWER_DISTANCE and not told.universality_class.is_heavy
    return replace(told, flags=(LITTLE_POWER,)) if little else told


def _tested(spectrum: Spectrum, tail: TailFit, bulk: BulkFit) -> Universality:
    """The class by the tests of noise, spikes and heavy tail."""
    found = Universality(
        UniversalityClass.UNDETERMINED,
        "",
        spikes=bulk.spikes,
        spike_share=_share(spectrum, bulk),
        edge_pvalue=bulk.pvalue,
        bulk_ks=bulk.ks,
        bulk_critical_ks=bulk.critical_ks,
        alpha=tail.alpha,
        alpha_sigma=tail.sigma,
        noise_distance=largest_distance(bulk),
    )
    near = is_near_noise(bulk)
    if near and (not bulk.spikes or _is_chance(bulk)):
        said = f"Random-like: {_noise_in_words(spectrum, bulk)}."
        return replace(found, universality_class=UniversalityClass.RANDOM_LIKE, evidence=said)
    is_light = near and bulk.spikes <= LARGEST_SHARE * spectrum.rank
    light = UniversalityClass.BULK_AND_SPIKES if is_light else UniversalityClass.UNDETERMINED
    return _compared(spectrum, tail, bulk, replace(found, universality_class=light))


def _is_chance(bulk: BulkFit) -> bool:
    """One eigenvalue a little above the edge: of a hundred layers of noise one has it."""
    return bulk.spikes == 1 and bulk.pvalue > CHANCE


def is_near_noise(bulk: BulkFit) -> bool:
    """True when the eigenvalues below the edge may be those of noise whose strengths are estimated."""
    return bulk.ks <= largest_distance(bulk)


def largest_distance(bulk: BulkFit) -> float:
    """KS distance to its law up to which noise may be off, its strengths being estimated."""
    return NEAR_IN_CRITICAL_VALUES * bulk.critical_ks + _by_cumulants(bulk) + _by_size(bulk)


def _by_size(bulk: BulkFit) -> float:
    """One eigenvalue a matrix: the law of uneven noise is that of large sides, and slices share what it lacks."""
    return 0.0 if bulk.noise is None or bulk.noise.is_even else 1 / bulk.M


def _by_cumulants(bulk: BulkFit) -> float:
    """KS distance that the fourth cumulant of the entries may account for."""
    if bulk.noise is None or bulk.noise.strengths is None:
        return 0.0
    return min(abs(bulk.noise.strengths.k4) / math.sqrt(bulk.N * bulk.M) / 2, LARGEST_BY_CUMULANTS)


def _compared(spectrum: Spectrum, tail: TailFit, bulk: BulkFit, found: Universality) -> Universality:
    """A heavy tail against noise with spikes, on the power-law tail; `found` has the class without a heavy tail."""
    noise, light = _noise_in_words(spectrum, bulk), found.universality_class
    if tail.rank < MIN_TAIL:
        said = f"{_title(light)}: {noise}; a tail of {tail.rank} of {spectrum.rank} is too short to be called heavy."
        return replace(found, evidence=said)
    laws = _heavy_laws(spectrum, tail)
    best = max(laws, key=lambda name: laws[name].log_likelihood - (name != "power law") * WORTH_A_PARAMETER)
    light_law = bulk_and_spikes(spectrum.unit_mean[spectrum.num_evals - tail.rank :], bulk)
    tested = vuong(laws[best].log_density, light_law, more_parameters=2 if best == "power law" else 1)
    joined = reaches_the_edge(spectrum, bulk)
    why = _why_heavy(spectrum, bulk, tested.z) if joined else ""
    if not why and tested.z < LOSES and 0 < bulk.spikes <= LARGEST_SHARE * spectrum.rank:
        # Likelihood speaks for spikes, although the rest is not exactly noise.
        light = UniversalityClass.BULK_AND_SPIKES
    word = _by_alpha(tail) if why else light
    gains = {name: law.log_likelihood - laws["power law"].log_likelihood for name, law in laws.items()}
    said = f"{_title(word)}: {noise}; {why or _why_not(word, bulk, joined)}; {_ratio_in_words(tail, best, tested)}"
    carrier = _carrier(bulk) if why else ""
    said += f". {CARRIED[carrier]}" if carrier else "."
    return replace(
        found,
        universality_class=word,
        evidence=said,
        heavy_law=best,
        heavy_against_bulk=tested,
        truncation_gain=gains["truncated power law"],
        lognormal_gain=gains["lognormal"],
        carrier=carrier,
        apart=bool(bulk.spikes) and not joined,
    )


def _why_heavy(spectrum: Spectrum, bulk: BulkFit, z: float) -> str:
    """The evidence for a heavy tail in words; empty where there is none."""
    far = bulk.ks > max(FAR_FROM_NOISE, FAR_IN_CRITICAL_VALUES * bulk.critical_ks) and not is_near_noise(bulk)
    if z > WINS:
        return "the tail is heavy by likelihood"
    if z < LOSES:
        return ""
    if bulk.spikes > max(FEW, FEW_SHARE * spectrum.rank):
        return "more are above the edge than spikes would be"
    if far:
        return "what is left is far from any noise"
    if z > LEANS and bulk.ks > FAR_IN_DISTANCES * largest_distance(bulk):
        return "what is left is more than twice as far from its law as noise is, and a heavy tail is likelier"
    return ""


def reaches_the_edge(spectrum: Spectrum, bulk: BulkFit) -> bool:
    r"""True when eigenvalues are above the edge of the noise and hang together with the rest, as in one tail.

    The rest goes up to the edge, and the gap :math:`g = \ln(\lambda_k / \lambda_{k+1})` below the k above it is no
    wider than a power law with their spread leaves: normalised spacings are equally exponential, so that
    :math:`P(g) = (1 + k g / \sum_{i<k} \ln(\lambda_i / \lambda_k))^{1-k}`.

    Examples
    --------
    >>> import numpy as np
    >>> from setol_ww import fit_bulk
    >>> flat = Spectrum.from_eigenvalues([*np.linspace(0.9, 1.1, 100), 30.0])
    >>> reaches_the_edge(flat, fit_bulk(flat))
    False
    """
    if bulk.noise is None or not 0 < bulk.spikes < spectrum.rank:
        return False
    last = spectrum.num_evals - bulk.loud
    log_values = np.log(spectrum.unit_mean[last - 1 - bulk.spikes : last])
    gap, spread = log_values[1] - log_values[0], float(np.sum(log_values[2:] - log_values[1]))
    wide = spread > 0 and (1 - bulk.spikes) * math.log1p(bulk.spikes * gap / spread) < math.log(CHANCE_OF_GAP)
    of_noise = math.exp(log_values[0]) * bulk.noise.support[1] / bulk.lambda_plus
    return not wide and float(bulk.noise.cdf(np.array([of_noise]))[0]) > REACHED


def _why_not(word: UniversalityClass, bulk: BulkFit, joined: bool) -> str:
    if not joined:
        return "a gap parts them from the rest, as no tail has" if bulk.spikes else "a heavy tail would reach beyond it"
    if word is UniversalityClass.BULK_AND_SPIKES:
        return "no evidence for a heavy tail"
    return "neither noise nor noise with few spikes, and too little evidence for a heavy tail"


def _ratio_in_words(tail: TailFit, best: str, tested: Comparison) -> str:
    if tested.z > WINS:
        said = f"a {best} fits better than noise + spikes"
    elif tested.z < LOSES:
        said = f"noise + spikes fits better than a {best}"
    else:
        said = f"likelihood does not decide between a {best} and noise + spikes"
    return (
        f"on the tail of {tail.rank} {said} (log-likelihood ratio {tested.ratio:+.1f}, Vuong p = {tested.pvalue:.2g})"
    )


CARRIED = {
    "elements": "Single large elements carry it: the entries themselves are heavy-tailed.",
    "correlations": "Correlations carry it: divided by their strengths, the entries have no heavy tail.",
}


def _carrier(bulk: BulkFit) -> str:
    if bulk.noise is None or bulk.noise.strengths is None:
        return ""
    return "elements" if math.isnan(bulk.noise.shift) else "correlations"


def _without_a_test(spectrum: Spectrum, bulk: BulkFit) -> Universality | None:
    """The class where counting and comparing eigenvalues is enough."""
    zeros = spectrum.num_evals - spectrum.rank
    undetermined = UniversalityClass.UNDETERMINED
    if not spectrum.is_defined:
        return Universality(undetermined, f"No class: {Outcome.DEGENERATE.sentence}.")
    if spectrum.M == 1:
        slices = f"{spectrum.slices} slices of one column or row" if spectrum.slices > 1 else "one column or row"
        return Universality(undetermined, f"No class: {slices}, which is no matrix.", flags=(NO_MATRIX,))
    if zeros >= COLLAPSED_SHARE * spectrum.num_evals:
        said = f"Rank collapse: {zeros} of {spectrum.num_evals} eigenvalues are zero within rounding."
        return Universality(UniversalityClass.RANK_COLLAPSE, said)
    if bulk.outcome is Outcome.FLAT:
        said = "Random-like: all eigenvalues are equal, as in an orthogonal initialisation."
        return Universality(UniversalityClass.RANDOM_LIKE, said)
    if bulk.outcome is Outcome.TOO_FEW or spectrum.rank < SMALL_SAMPLE:
        of = f" of {spectrum.slices} slices" if spectrum.slices > 1 else ""
        said = f"No class: {spectrum.rank} positive eigenvalues{of} are too few to tell one from another"
        if bulk.spikes:
            said += f", although {bulk.spikes} of them stand{'s' * (bulk.spikes == 1)} above the edge of noise"
        return Universality(
            undetermined,
            f"{said}.",
            spikes=bulk.spikes,
            edge_pvalue=bulk.pvalue,
            flags=(FEW_EIGENVALUES,),
        )
    return None


def _title(word: UniversalityClass) -> str:
    return "No class" if word is UniversalityClass.UNDETERMINED else word.value.capitalize()


def _share(spectrum: Spectrum, bulk: BulkFit) -> float:
    """Share of the trace above the edge."""
    last = spectrum.num_evals - bulk.loud
    return float(spectrum.values[last - bulk.spikes : last].sum() / spectrum.values.sum())


def _noise_in_words(spectrum: Spectrum, bulk: BulkFit) -> str:
    known = bulk.noise is not None and bulk.noise.strengths is not None
    law = "noise with its strengths" if known else "noise of one variance (the entries are not known)"
    near, loud = is_near_noise(bulk), _loud_in_words(bulk)
    of = f"of {spectrum.rank - bulk.loud} {'other ' if loud else ''}eigenvalues"
    fits = "follow" if near else "do not follow"
    rest = f"and the rest {'follows' if near else 'does not follow'} its law"
    distance = "KS distance {}, noise has up to {}".format(*_apart(bulk.ks, largest_distance(bulk)))
    if not bulk.spikes:
        return (
            f"{loud}none {of} is above the edge of {law} (largest: p = {bulk.pvalue:.2g}), and they {fits} its law "
            f"({distance})"
        )
    if _is_chance(bulk):
        return (
            f"{loud}one {of} is a little above the edge of {law}, as chance has it in one layer of a hundred "
            f"(p = {bulk.pvalue:.2g}), {rest} ({distance})"
        )
    share = f"{100 * _share(spectrum, bulk):.0f} % of the trace"
    verb = "lies" if bulk.spikes == 1 else "lie"
    return f"{loud}{bulk.spikes} {of} with {share} {verb} above the edge of {law}, {rest} ({distance})"


def _loud_in_words(bulk: BulkFit) -> str:
    """Whose the largest eigenvalues are where lines are far stronger than all others."""
    if not bulk.loud:
        return ""
    if bulk.loud == 1:
        return f"the largest eigenvalue is that of a {bulk.loud_side} far stronger than all others; "
    return f"the {bulk.loud} largest eigenvalues are those of {bulk.loud_side}s far stronger than all others; "


def _apart(first: float, second: float) -> tuple[str, str]:
    """Two numbers in two digits, or in as many as part them.

    >>> _apart(0.0561, 0.0558), _apart(0.25, 0.0558)
    (('0.0561', '0.0558'), ('0.25', '0.056'))
    """
    told = [(f"{first:.{digits}g}", f"{second:.{digits}g}") for digits in range(2, 7)]
    return next((pair for pair in told if pair[0] != pair[1]), told[-1])


def _heavy_laws(spectrum: Spectrum, tail: TailFit) -> dict[str, TailLaw]:
    values = spectrum.values[spectrum.num_evals - tail.rank :]
    y = np.log(values / values[0])
    return {"power law": power_law(y), "truncated power law": truncated_power_law(y), "lognormal": lognormal(y)}


def _by_alpha(tail: TailFit) -> UniversalityClass:
    """Very or weakly heavy where the whole interval of alpha is beyond the limit."""
    low, high = alpha_ends(tail.alpha, tail.sigma, tail.alpha_low, tail.alpha_high)
    if high < VERY_HEAVY_ALPHA:
        return UniversalityClass.VERY_HEAVY_TAILED
    return UniversalityClass.WEAKLY_HEAVY_TAILED if low > WEAKLY_HEAVY_ALPHA else UniversalityClass.HEAVY_TAILED
