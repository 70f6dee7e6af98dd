"""The layer quality: every reading against its formula, domains, degenerate layers, columns and means."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import setol_ww as ww
from fixtures import free_probability, laws, matrices
from fixtures.ensembles import gaussian_matrix, signed_pareto_matrix
from setol_ww import transforms
from setol_ww.layer import columns as table
from setol_ww.layer import quality as readings
from setol_ww.theory.resolvents import sum_of_integrated_r

FIELDS = [column.name for column in table.COLUMNS if column.group == "quality"]


def quality_of(W) -> ww.Quality:
    spectrum = ww.Spectrum.from_matrix(W)
    return ww.quality(spectrum, ww.fit_tail(spectrum), ww.erg_cut(spectrum))


@pytest.mark.parametrize("W", [gaussian_matrix(120, 60, 0), signed_pareto_matrix(90, 60, 1.5, 1)])
def test_each_reading_is_its_formula(W):
    spectrum = ww.Spectrum.from_matrix(W)
    tail, erg = ww.fit_tail(spectrum), ww.erg_cut(spectrum)
    got = ww.quality(spectrum, tail, erg)
    x = np.sort(spectrum.raw)[::-1][: erg.rank] / spectrum.raw.mean()
    k, S = erg.rank, x.sum()
    kappa = free_probability.free_cumulants5([np.mean(x**j) for j in range(1, 6)])
    assert got.q2 == pytest.approx(free_probability.quality_by_roots(x, spectrum.N), rel=1e-10)
    assert got.q2_norm == pytest.approx(free_probability.quality_by_roots(x, divisor=k), rel=1e-10)
    assert got.q2_rho == pytest.approx(x[0] ** 2 / k)
    assert got.q2_bs == pytest.approx(S * (S - k * x[-1]))
    assert got.q2_fc == pytest.approx(S / k * (S - k * x[-1]))
    assert got.q2_imp == pytest.approx(-erg.alpha / 2 * k * (np.log(x[-1]) - erg.log_det / k), rel=1e-9)
    assert got.q2_lw == pytest.approx(np.mean(x ** (erg.alpha - 1)))
    assert [getattr(got, f"kappa{n}") for n in range(1, 6)] == pytest.approx(kappa, rel=1e-9, abs=1e-9)
    assert got.q2_paper == pytest.approx(free_probability.figure_24(spectrum.raw, tail.rank), rel=1e-9)
    assert got.q2_series_ok == (got.q2_rho < 0.5) == math.isfinite(got.q2_series5)


def test_values_of_the_theory_page():
    """Theory 3.4, whose numbers are those of one sample each: three laws at 500 eigenvalues."""
    for raw, N, q2, normed, tolerance in (
        (laws.inverse_marchenko_pastur_quantiles(500, 0.5), 1000, 1686, 1.693, 0.03),
        (np.linalg.svd(gaussian_matrix(500, 500, 0), compute_uv=False) ** 2, 500, 1209, 1.811, 0.02),
        (np.linalg.svd(gaussian_matrix(1500, 500, 0), compute_uv=False) ** 2, 1500, 464.1, 1.267, 0.02),
    ):
        spectrum = ww.Spectrum.from_eigenvalues(raw, (N, raw.size))
        got = ww.quality(spectrum, ww.fit_tail(spectrum), ww.erg_cut(spectrum))
        assert got.q2 == pytest.approx(q2, rel=tolerance)
        assert got.q2_norm == pytest.approx(normed, rel=tolerance)
        assert got.q2_series5 == pytest.approx(got.q2_norm, rel=1e-3)


@pytest.mark.parametrize("mu", [1.0, 2.0])
def test_a_series_outside_its_disc_is_no_number(mu):
    got = quality_of(signed_pareto_matrix(300, 300, mu, 0))
    assert got.q2_rho > 1
    assert math.isnan(got.q2_series5)
    assert not got.q2_series_ok
    assert "q2_series5: x_1^2 / k" in got.q2_reason
    assert np.isfinite([got.q2, got.q2_norm, got.q2_paper]).all()


def test_scale_orientation_and_rotation_do_not_matter():
    W = signed_pareto_matrix(80, 50, 2.0, 3)
    base = quality_of(W)
    for other in (1e-4 * W, 1e4 * W, W.T, matrices.haar(80, 0) @ W):
        got = quality_of(other)
        for name in FIELDS:
            if isinstance(getattr(base, name), float):
                assert getattr(got, name) == pytest.approx(getattr(base, name), rel=1e-8, nan_ok=True), name


@pytest.mark.parametrize(
    ("W", "said"),
    [
        (np.zeros((30, 20)), "no reading of the quality: no positive finite eigenvalue"),
        (np.full((30, 20), np.nan), "no reading of the quality"),
        (np.eye(30), "q2_paper: all eigenvalues are equal within rounding; q2_imp, q2_lw: the ERG tail has no spread"),
        (np.outer(np.arange(1.0, 31), np.ones(20)), "q2_series5"),
    ],
)
def test_degenerate_layers_say_why(W, said):
    got = quality_of(W)
    assert said in got.q2_reason
    for name in FIELDS:
        value = getattr(got, name)
        assert not isinstance(value, float) or math.isnan(value) or 0 <= abs(value) < 1e6, name


def test_flat_and_rank_one_by_hand():
    flat = quality_of(np.eye(40))
    assert flat.q2 == pytest.approx(40)
    assert flat.q2_norm == pytest.approx(1)
    assert flat.kappa2 == 0
    one = quality_of(np.outer(np.arange(1.0, 31), np.ones(20)))
    atoms, weights = [20.0, 0.0], [1 / 30, 29 / 30]
    assert one.q2 == pytest.approx(float(free_probability.integrated_r_closed(20, atoms, weights)), rel=1e-9)
    assert one.q2_norm == pytest.approx(400)


def test_pooled_kernel_slices_count_as_one_block_diagonal_matrix():
    slices = [gaussian_matrix(40, 30, seed) for seed in range(4)]
    pooled = ww.Spectrum.from_slices(slices)
    whole = np.zeros((160, 120))
    for at, matrix in enumerate(slices):
        whole[40 * at : 40 * at + 40, 30 * at : 30 * at + 30] = matrix
    got = ww.quality(pooled, ww.fit_tail(pooled), ww.erg_cut(pooled))
    assert got.q2 == pytest.approx(quality_of(whole).q2, rel=1e-9)


@pytest.mark.parametrize("decades", [1, 4, 8, 12])
@pytest.mark.parametrize("pad", [False, True])
def test_the_fast_sum_is_the_sum(decades, pad):
    """Atoms and points over many decades, in clusters and with a gap below the largest."""
    rng = np.random.default_rng(decades)
    x = 10 ** rng.uniform(-decades / 2, decades / 2, 150)
    x[:40] = x[0] * (1 + 1e-9 * rng.random(40))
    x[-1] = 30 * x.max()
    weights = np.full(150, 1 / 150)
    if pad:
        x, weights = np.append(x, 0.0), np.append(weights * 0.3, 0.7)
    for t in (x[x > 0], x[x > 0] / 150, rng.uniform(1e-3, 2e-3, 60)):
        truth = np.sum(transforms.integrated_r(t, x, weights))
        assert sum_of_integrated_r(t, x, weights) == pytest.approx(truth, rel=1e-11)


def test_columns_follow_the_option_and_the_result():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(60, 40), nn.Linear(40, 30))
    watcher = ww.WeightWatcher(net)
    frame = watcher.analyze(detX=True)
    assert set(FIELDS) <= set(frame)
    assert frame["q2"].tolist() == pytest.approx([quality_of(layer.weight).q2 for layer in net], rel=1e-6)
    assert frame["q2_series_ok"].tolist() == [True, True]
    assert not set(FIELDS) & set(watcher.analyze(detX=True, quality=False))
    assert set(FIELDS) <= set(watcher.analyze())


def test_means_over_layers_are_geometric():
    watcher = ww.WeightWatcher(nn.Sequential(nn.Linear(60, 40), nn.Linear(40, 30), nn.Linear(30, 5)))
    frame = watcher.analyze(detX=True)
    summary = watcher.get_summary()
    first = frame["q2"][:2]
    assert summary["q2"] == pytest.approx(math.sqrt(first[0] * first[1])), "the layer of five is too small to count"
    frame.loc[0, "q2_norm"] = math.nan
    assert watcher.get_summary(frame)["q2_norm"] == pytest.approx(frame["q2_norm"][1])
    frame.loc[1, "q2_fc"] = 0.0
    assert watcher.get_summary(frame)["q2_fc"] == 0, "a product with a factor of zero"


def test_demo_nets_have_the_published_quality():
    """Theory §9 at learning rate x1, batch 32: 14.3 +- 1.5 and 66.7 +- 3.2 published (Fig. 24), seed 0 here."""
    from setol_ww.cli.demo import demo_nets

    net, _ = demo_nets()[1]
    fc1, fc2 = (quality_of(net[f"fc{n}.weight"]) for n in (1, 2))
    assert fc1.q2_paper == pytest.approx(14.3, abs=3 * 1.5)
    assert fc2.q2_paper == pytest.approx(66.7, abs=3 * 3.2)


def test_the_module_head_lists_every_reading():
    for name in FIELDS:
        assert name.startswith("kappa") or f"`{name}`" in readings.__doc__ or name == "q2_series_ok"
