"""What is said of a layer, word for word: every clause of the class's evidence, every reason for what is not known."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix
from setol_ww.layer import classes
from setol_ww.layer.classes import UniversalityClass
from setol_ww.spectrum.strengths import strengths_of

SPECTRUM = ww.Spectrum.from_eigenvalues(np.linspace(0.5, 1.5, 100))
PLAIN = replace(ww.fit_bulk(SPECTRUM), ks=0.05, critical_ks=0.1, pvalue=0.25, spikes=0)
W = gaussian_matrix(100, 100, seed=0)
KNOWN = replace(
    ww.fit_bulk(ww.Spectrum.from_matrix(W), strengths=strengths_of([W])),
    ks=0.05,
    critical_ks=0.1,
    pvalue=0.25,
    spikes=0,
)
FAR = {"ks": 0.9}
#: z beyond which a heavy tail wins over spikes, and below which it loses to them.
WINS, LOSES = 2.326, -1.96
LIMIT = f"{classes.largest_distance(PLAIN):.2g}"
UNKNOWN = "noise of one variance (the entries are not known)"

NOISE = {
    "none, near": (
        PLAIN,
        f"none of 100 eigenvalues is above the edge of {UNKNOWN} (largest: p = 0.25), and they follow its law "
        f"(KS distance 0.05, noise has up to {LIMIT})",
    ),
    "none, far": (
        replace(PLAIN, **FAR),
        f"none of 100 eigenvalues is above the edge of {UNKNOWN} (largest: p = 0.25), and they do not follow its law "
        f"(KS distance 0.9, noise has up to {LIMIT})",
    ),
    "none, entries known": (
        replace(KNOWN),
        "none of 100 eigenvalues is above the edge of noise with its strengths (largest",
    ),
    "one by chance": (
        replace(PLAIN, spikes=1, pvalue=0.005),
        f"one of 100 eigenvalues is a little above the edge of {UNKNOWN}, as chance has it in one layer of a hundred "
        f"(p = 0.005), and the rest follows its law (KS distance 0.05, noise has up to {LIMIT})",
    ),
    "one by chance, far": (
        replace(PLAIN, spikes=1, pvalue=0.005, **FAR),
        f"(p = 0.005), and the rest does not follow its law (KS distance 0.9, noise has up to {LIMIT})",
    ),
    "one": (
        replace(PLAIN, spikes=1, pvalue=1e-9),
        f"1 of 100 eigenvalues with 2 % of the trace lies above the edge of {UNKNOWN}, ",
    ),
    "several": (
        replace(PLAIN, spikes=10, pvalue=1e-9),
        f"10 of 100 eigenvalues with 15 % of the trace lie above the edge of {UNKNOWN}, ",
    ),
}


@pytest.mark.parametrize("name", NOISE)
def test_the_noise_in_words(name):
    bulk, said = NOISE[name]
    whole = classes._noise_in_words(SPECTRUM, bulk)
    assert said in whole
    assert whole.count("KS distance") == 1


def test_why_a_tail_is_heavy_in_words():
    """By likelihood, by the number beyond the edge, by the distance of the rest; each at its limit is not."""
    many = 10
    why = lambda bulk, z: classes._why_heavy(SPECTRUM, bulk, z)  # noqa: E731
    assert why(PLAIN, WINS + 1e-9) == "the tail is heavy by likelihood"
    assert why(PLAIN, WINS) == ""
    assert why(replace(PLAIN, spikes=many + 1), 0.0) == "more are above the edge than spikes would be"
    assert why(replace(PLAIN, spikes=many + 1), LOSES) == "more are above the edge than spikes would be"
    assert why(replace(PLAIN, spikes=many + 1), LOSES - 1e-9) == ""
    assert why(replace(PLAIN, spikes=many), 0.0) == ""
    assert why(replace(PLAIN, ks=0.9), 0.0) == "what is left is far from any noise"


def test_why_a_tail_is_not_heavy_in_words():
    spikes, undetermined = UniversalityClass.BULK_AND_SPIKES, UniversalityClass.UNDETERMINED
    apart = replace(PLAIN, spikes=3)
    assert classes._why_not(spikes, apart, False) == "a gap parts them from the rest, as no tail has"
    assert classes._why_not(spikes, PLAIN, False) == "a heavy tail would reach beyond it"
    assert classes._why_not(spikes, apart, True) == "no evidence for a heavy tail"
    assert (
        classes._why_not(undetermined, apart, True)
        == "neither noise nor noise with few spikes, and too little evidence for a heavy tail"
    )


@pytest.mark.parametrize(
    ("z", "said"),
    [
        (WINS + 1e-9, "a lognormal fits better than noise + spikes"),
        (WINS, "likelihood does not decide between a lognormal and noise + spikes"),
        (LOSES, "likelihood does not decide between a lognormal and noise + spikes"),
        (LOSES - 1e-9, "noise + spikes fits better than a lognormal"),
    ],
)
def test_likelihoods_in_words(z, said):
    tested = SimpleNamespace(z=z, ratio=-1.25, pvalue=0.0625)
    found = classes._ratio_in_words(SimpleNamespace(rank=12), "lognormal", tested)
    assert found == f"on the tail of 12 {said} (log-likelihood ratio -1.2, Vuong p = 0.062)"


def test_what_carries_a_heavy_tail_in_words():
    heavy = SimpleNamespace(noise=SimpleNamespace(strengths=1, shift=math.nan))
    light = SimpleNamespace(noise=SimpleNamespace(strengths=1, shift=0.0))
    unknown = [SimpleNamespace(noise=None), SimpleNamespace(noise=SimpleNamespace(strengths=None))]
    said = [classes.CARRIED.get(classes._carrier(bulk), "") for bulk in (heavy, light, *unknown)]
    assert said == [
        "Single large elements carry it: the entries themselves are heavy-tailed.",
        "Correlations carry it: divided by their strengths, the entries have no heavy tail.",
        "",
        "",
    ]


def deficient(rank: int) -> np.ndarray:
    return gaussian_matrix(60, rank, seed=1) @ gaussian_matrix(rank, 40, seed=2)


#: Matrices, and what is said of their class where nothing has to be compared.
WITHOUT_A_TEST = {
    "nothing": (np.zeros((40, 30)), "No class: no positive finite eigenvalue, so nothing is defined."),
    "a column": (gaussian_matrix(40, 1, seed=0), "No class: one column or row, which is no matrix."),
    "collapsed": (deficient(4), "Rank collapse: 36 of 40 eigenvalues are zero within rounding."),
    "orthogonal": (np.eye(40), "Random-like: all eigenvalues are equal, as in an orthogonal initialisation."),
    "few": (
        gaussian_matrix(40, 19, seed=0),
        "No class: 19 positive eigenvalues are too few to tell one from another.",
    ),
    "few, one beyond": (
        gaussian_matrix(40, 19, seed=0) + 5 * np.outer(np.ones(40), np.ones(19)),
        "No class: 19 positive eigenvalues are too few to tell one from another, although 1 of them stands above the "
        "edge of noise.",
    ),
}


@pytest.mark.parametrize("name", WITHOUT_A_TEST)
def test_the_class_in_words_where_nothing_is_compared(name):
    matrix, said = WITHOUT_A_TEST[name]
    assert ww.analyze_matrix(matrix).universality.evidence == said


def test_twenty_eigenvalues_are_enough_for_a_class():
    assert not ww.analyze_matrix(gaussian_matrix(40, 20, seed=0)).universality.evidence.startswith(
        "No class: 20 positive"
    )


#: Matrices in which there are no traps to look for, and why.
NO_TRAPS = {
    "two columns": (
        gaussian_matrix(40, 2, seed=0),
        "40 x 2 entries are too few for a bulk; 3 rows and columns and 21 are",
    ),
    "twenty entries": (
        gaussian_matrix(5, 4, seed=0),
        "5 x 4 entries are too few for a bulk; 3 rows and columns and 21 are",
    ),
    "zeros": (np.zeros((40, 30)), "all entries are zero"),
    "ones": (np.ones((40, 30)), "all entries are equal, so there is no noise to compare with"),
    "not finite": (np.where(np.eye(40, 30), np.nan, np.inf), "30 NaN and 1170 Inf among its 1200 entries"),
    "one size": (np.eye(40, 30) * np.eye(40, 30)[0], "too few distinct sizes of elements to know their tail"),
    "one entry": (
        np.where(np.eye(40, 30) * np.eye(40, 30)[0], 1.0, 1e-150 * gaussian_matrix(40, 30, seed=0)),
        "of the squared size of its largest entry as variance, which leaves nothing",
    ),
}


@pytest.mark.parametrize("name", NO_TRAPS)
def test_why_there_are_no_traps(name):
    matrix, said = NO_TRAPS[name]
    report = ww.find_traps(matrix)
    assert said in report.reason
    assert report.sentence == f"No statement on traps: {report.reason}."
    assert (report.count, math.isnan(report.lambda_max), math.isnan(report.pvalue)) == (0, True, True)


@pytest.mark.parametrize("shape", [(7, 3), (3, 7), (21, 21)])
def test_twenty_one_entries_in_three_columns_are_enough_for_traps(shape):
    assert ww.find_traps(gaussian_matrix(*shape, seed=0)).reason == ""
