"""Windows of one aspect ratio: what they cover, what they give, what they say where nothing can be fitted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix, signed_pareto_matrix
from fixtures.oracles import power_law_scan, singular_value_squares
from setol_ww.spectrum.windows import window_corners, window_shape


@pytest.mark.parametrize(
    ("shape", "Q", "side", "window"),
    [
        ((400, 100), 1, 512, (100, 100)),
        ((400, 100), 2, 512, (200, 100)),
        ((400, 100), 8, 512, (400, 50)),
        ((400, 100), 1, 32, (32, 32)),
        ((100, 100), 1.5, 512, (99, 66)),
        ((5, 5), 9, 512, (5, 1)),
    ],
)
def test_window_shape(shape, Q, side, window):
    assert window_shape(shape, Q, side) == window


@pytest.mark.parametrize("shape", [(400, 100), (401, 99), (64, 64), (1000, 333)])
@pytest.mark.parametrize("window", [(64, 64), (60, 30), (33, 17)])
def test_windows_cover_the_matrix(shape, window):
    touched = np.zeros(shape, dtype=bool)
    for top, left in window_corners(shape, window, 10**6):
        block = touched[top : top + window[0], left : left + window[1]]
        assert block.shape == window
        block[:] = True
    assert touched.all()


def test_thinned_windows_reach_rows_and_columns_evenly():
    every = window_corners((6400, 640), (64, 64), 10**6)
    kept = window_corners((6400, 640), (64, 64), 30)
    assert len(every) == 1000
    assert len(kept) == 30
    assert set(kept) <= set(every)
    tops = np.array([top for top, _ in kept])
    assert tops.min() < 0.1 * 6400
    assert tops.max() > 0.8 * 6400
    assert len({left for _, left in kept}) >= 2


@pytest.mark.parametrize("most", [1, 3, 4, 9, 10, 11, 99])
def test_thinned_windows_are_those_in_the_middle_of_equal_parts(most):
    """Of ten, one of each part; all of them where there are no more."""
    every = window_corners((100, 10), (10, 10), 10**6)
    assert every == [(top, 0) for top in range(0, 91, 10)]
    middles = {1: [5], 3: [1, 5, 8], 4: [1, 3, 6, 8], 9: [0, 1, 2, 3, 5, 6, 7, 8, 9]}
    assert window_corners((100, 10), (10, 10), most) == [every[at] for at in middles.get(most, range(10))]


def test_pooled_spectrum_by_hand():
    W = signed_pareto_matrix(90, 30, 3.0, seed=0)
    by_hand = np.concatenate([singular_value_squares(W[top : top + 30]) for top in (0, 30, 60)])
    truth = power_law_scan(np.sort(by_hand))
    for given in (W, W.T, torch.from_numpy(W), [W]):
        fit = ww.fit_submatrices(given)
        assert (fit.windows, fit.rows, fit.columns) == (3, 30, 30)
        assert fit.alpha == pytest.approx(truth.alpha, rel=1e-9)
        # All three windows share their columns, so they count as one.
        assert fit.sigma >= (fit.alpha - 1) / math.sqrt(fit.rank / 3) * (1 - 1e-12)


def test_slices_are_pooled():
    slices = [signed_pareto_matrix(40, 40, 3.0, seed=seed) for seed in range(3)]
    pooled = ww.fit_submatrices(slices)
    assert pooled.windows == 3
    by_hand = np.concatenate([singular_value_squares(W) for W in slices])
    assert pooled.alpha == pytest.approx(power_law_scan(np.sort(by_hand)).alpha, rel=1e-9)


@pytest.mark.parametrize("seed", [0, 5])
def test_the_spread_of_unlike_windows_is_that_of_resampled_ones(seed):
    """Slices of four exponents: their spread is larger than the error of the fit, and comes of 40 samples of them."""
    slices = [signed_pareto_matrix(40, 40, mu, seed=0) for mu in (1.5, 2.0, 3.0, 5.0)]
    squares = [singular_value_squares(W) for W in slices]
    rng, alphas = np.random.default_rng(seed), []
    for _ in range(40):
        drawn = np.concatenate([squares[place] for place in rng.integers(4, size=4)])
        alphas.append(power_law_scan(np.sort(drawn)).alpha)
    mean = sum(alphas) / 40
    spread = math.sqrt(sum((alpha - mean) ** 2 for alpha in alphas) / 39)
    fit = ww.fit_submatrices(slices, seed=seed)
    assert fit.sigma == pytest.approx(spread, rel=1e-9)
    assert fit.sigma > 1.1 * (fit.alpha - 1) / math.sqrt(fit.rank)


def test_one_window_is_the_matrix_itself():
    W = signed_pareto_matrix(50, 50, 3.0, seed=1)
    fit, whole = ww.fit_submatrices(W), ww.fit_tail(ww.Spectrum.from_matrix(W))
    assert (fit.alpha, fit.sigma, fit.windows) == (whole.alpha, whole.sigma, 1)


def test_the_shape_of_a_layer_moves_alpha_and_not_the_windows():
    """Independent entries with the same law: an 8 to 1 matrix beside a square one, over 6 draws."""
    square = [ww.fit_submatrices(signed_pareto_matrix(100, 100, 2.0, seed)).alpha for seed in range(6)]
    long = [signed_pareto_matrix(3200, 100, 2.0, seed) for seed in range(6)]
    windows = np.mean([ww.fit_submatrices(W).alpha for W in long])
    whole = np.mean([ww.fit_tail(ww.Spectrum.from_matrix(W)).alpha for W in long])
    error = np.std(square, ddof=1) / math.sqrt(6)
    assert abs(windows - np.mean(square)) < 3 * error
    assert whole > windows + 0.2


def test_scale_and_seed():
    W = signed_pareto_matrix(300, 50, 2.5, seed=3)
    fit = ww.fit_submatrices(W)
    scaled = ww.fit_submatrices(1e-4 * W)
    assert scaled.alpha == pytest.approx(fit.alpha, rel=1e-9)
    assert ww.fit_submatrices(W) == fit
    assert ww.fit_submatrices(W, seed=1).alpha == fit.alpha


@pytest.mark.parametrize(
    ("W", "outcome"),
    [
        (np.zeros((60, 20)), "degenerate"),
        (np.full((60, 20), np.nan), "degenerate"),
        (np.outer(np.arange(1.0, 21), np.ones(20)), "too_few"),
        (np.eye(20), "flat"),
        (np.ones((3, 1)), "flat"),
        (np.zeros((0, 4)), "degenerate"),
    ],
)
def test_where_there_is_no_tail(W, outcome):
    fit = ww.fit_submatrices(W)
    assert math.isnan(fit.alpha)
    assert math.isnan(fit.sigma)
    assert fit.outcome.value == outcome


@pytest.mark.parametrize(
    "options", [{"Q": 0.5}, {"Q": "1"}, {"Q": math.inf}, {"side": 0}, {"max_windows": 2.5}, {"device": "abacus"}]
)
def test_misuse_is_refused(options):
    with pytest.raises(ww.InvalidInput):
        ww.fit_submatrices(gaussian_matrix(20, 10, seed=0), **options)
    with pytest.raises(ww.InvalidInput):
        ww.fit_submatrices([1.0, 2.0])


def test_columns_are_there_when_asked_and_leave_the_others_alone():
    broken = gaussian_matrix(60, 30, seed=1)
    broken[3, 4] = np.inf
    weights = {
        "a.weight": torch.from_numpy(signed_pareto_matrix(120, 40, 3.0, seed=0)).bfloat16(),
        "b.weight": broken,
        "c.weight": torch.from_numpy(gaussian_matrix(16 * 16, 9, seed=2)).reshape(16, 16, 3, 3).float(),
    }
    without = ww.analyze(weights)
    frame = ww.analyze(weights, farms=True)
    names = ["farms_alpha", "farms_sigma", "farms_windows", "farms_side", "farms_outcome"]
    assert [name for name in frame if name not in without] == names
    assert frame.drop(columns=names).equals(without)
    one = ww.fit_submatrices(weights["a.weight"])
    assert frame.loc[0, names].tolist() == [one.alpha, one.sigma, 3, 40, one.outcome.value]
    assert frame.loc[1, "farms_outcome"] == "degenerate"
    assert np.isnan(frame.loc[1, "farms_alpha"])
    assert frame.loc[2, ["farms_windows", "farms_side"]].tolist() == [9, 16]
    with pytest.raises(ww.InvalidInput, match="farms='yes'"):
        ww.analyze(weights, farms="yes")
