"""Means of two models, told apart by their errors or not."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import scipy.stats

import setol_ww as ww
from setol_ww.results.means import Mean, mean_of, told_apart


def alphas(seed: int, mean: float, count: int = 12) -> Mean:
    found = mean_of(np.random.default_rng(seed).normal(mean, 0.5, size=count).tolist(), "tail_alpha", "alpha")
    assert found is not None
    return found


def test_welch_as_scipy_has_it():
    """The p-value is that of `scipy.stats.ttest_ind` without equal variances."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        first, second = rng.normal(3, 1, size=5), rng.normal(3.5, 0.2, size=30)
        told = told_apart(*(mean_of(values.tolist(), "q", "q") for values in (first, second)))
        assert told.pvalue == pytest.approx(scipy.stats.ttest_ind(first, second, equal_var=False).pvalue, rel=1e-9)


def test_the_level():
    """Models of one mean are told apart in about one pair of twenty, of 3 layers too."""
    for count in (3, 12):
        pairs = [told_apart(alphas(2 * i, 3.0, count), alphas(2 * i + 1, 3.0, count)) for i in range(400)]
        assert 0.01 < np.mean([bool(pair) for pair in pairs]) < 0.09


def test_words():
    low, high = alphas(0, 2.0), alphas(1, 4.0)
    assert [told_apart(*pair).word for pair in ((low, high), (high, low), (low, low))] == [
        "smaller",
        "larger",
        "indistinguishable",
    ]
    assert "indistinguishable" in str(told_apart(alphas(2, 2.0), alphas(3, 2.1)))


def test_geometric_means_are_compared_as_logarithms():
    """A factor between layers that are powers of ten apart: the error of the mean itself says nothing."""
    rng = np.random.default_rng(5)
    first = mean_of(np.exp(rng.normal(0, 1, size=40)).tolist(), "q2_norm", "quality", geometric=True)
    second = mean_of(np.exp(rng.normal(2, 1, size=40)).tolist(), "q2_norm", "quality", geometric=True)
    told = told_apart(first, second)
    assert told.word == "smaller"
    assert told.difference == pytest.approx(-2, abs=0.6)


def test_means_that_have_no_error():
    """Equal numbers, and a mean whose error is none: no word is made up."""
    same = Mean("a", "a", 2.0, 0.0, 3)
    assert told_apart(same, same).word == "indistinguishable"
    assert told_apart(same, Mean("a", "a", 3.0, 0.0, 3)).word == "smaller"
    unknown = Mean("a", "a", 3.0, math.nan, 3)
    assert told_apart(same, unknown).word == "indistinguishable"
    assert math.isnan(told_apart(same, unknown).pvalue)
    tiny = Mean("a", "a", 1e-200, 1e-201, 3)
    assert math.isfinite(told_apart(tiny, Mean("a", "a", 3e-200, 1e-201, 3)).pvalue)
    assert mean_of([1.0, math.nan, None], "a", "a") is None


def test_means_of_different_columns_are_refused():
    with pytest.raises(ww.InvalidInput, match="two of one column"):
        told_apart(alphas(0, 2.0), Mean("q2_norm", "quality", 2.0, 0.1, 3, True))


def test_of_summaries_and_as_json():
    """Two models through their summaries; the dictionary is JSON."""
    rng = np.random.default_rng(0)
    models = [{f"l{i}.weight": rng.normal(size=(60, 40)) for i in range(3)} for _ in range(2)]
    first, second = (ww.examine(model, progress=False).summary().means for model in models)
    told = told_apart(first[0], second[0])
    assert json.loads(json.dumps(told.to_dict()))["word"] == told.word
