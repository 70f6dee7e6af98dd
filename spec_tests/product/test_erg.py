"""Chapter 2: the trace-log cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import setol_ww as ww
from fixtures.ensembles import (
    gaussian_matrix,
    ideal_layer_eigenvalues,
    lognormal_eigenvalues,
    marchenko_pastur_quantiles,
    pareto_eigenvalues,
)
from fixtures.oracles import erg_cut_mpmath
from setol_ww.spectrum.erg import first_product_below_one, leading_nonnegative
from spec_tests.plain import plain_detX

SPECTRA = {
    "Pareto 2": lambda n: pareto_eigenvalues(n, 2.0, seed=0),
    "Pareto 1.5": lambda n: pareto_eigenvalues(n, 1.5, seed=1),
    "Pareto 3.5": lambda n: pareto_eigenvalues(n, 3.5, seed=2),
    "lognormal": lambda n: lognormal_eigenvalues(n, 2.0, seed=3),
    "Marchenko-Pastur 1": lambda n: marchenko_pastur_quantiles(n, 1.0),
    "Marchenko-Pastur 4": lambda n: marchenko_pastur_quantiles(n, 0.25),
}


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("n", [3, 50, 2049, 16384])
@pytest.mark.parametrize("name", SPECTRA)
def test_cut_against_forty_digits(name, n, scale):
    raw = SPECTRA[name](n) * scale
    truth = erg_cut_mpmath(raw)
    spectrum = ww.Spectrum.from_eigenvalues(raw)
    cut = ww.erg_cut(spectrum)
    assert (cut.rank, cut.status) == (truth.rank, ww.Outcome.OK)
    assert cut.log_det == pytest.approx(truth.log_det, abs=1e-15 * n * 50)
    assert cut.lambda_min_raw == np.sort(raw)[-truth.rank]
    assert cut.lambda_min == pytest.approx(cut.lambda_min_raw / raw.mean(), rel=1e-12)
    assert first_product_below_one(spectrum) == truth.first_below_one


@pytest.mark.parametrize(
    ("n", "q", "said", "exact"),
    [(3000, 1.0, 2200, 2194), (4096, 1.0, 2952, 2995), (8192, 1.0, 5375, 5989), (8192, 0.25, 7557, 7126)],
)
def test_weightwatcher_overflows_where_it_is_known_to(n, q, said, exact):
    """weightwatcher multiplies eigenvalues: from about 3000 of them on its count is that of a lost exponent."""
    raw = marchenko_pastur_quantiles(n, q)
    unit_mean = raw / raw.mean()
    assert plain_detX(unit_mean) == pytest.approx(said, abs=1)
    assert first_product_below_one(ww.Spectrum.from_eigenvalues(raw)) == exact == erg_cut_mpmath(raw).first_below_one


@pytest.mark.parametrize("seed", range(20))
def test_weightwatcher_agrees_where_nothing_overflows(seed):
    raw = ww.Spectrum.from_matrix(gaussian_matrix(120, 90, seed)).raw
    assert first_product_below_one(ww.Spectrum.from_eigenvalues(raw)) == plain_detX(raw / raw.mean())


@pytest.mark.parametrize(("k", "M", "alpha"), [(60, 160, 2.0), (100, 300, 2.0), (200, 600, 2.0), (100, 175, 2.5)])
def test_ideal_layer_is_cut_where_its_power_law_starts(k, M, alpha):
    spectrum = ww.Spectrum.from_eigenvalues(ideal_layer_eigenvalues(k, M, alpha))
    cut = ww.erg_cut(spectrum)
    assert cut.rank == k
    assert abs(cut.log_det) < 1e-10
    assert cut.lambda_min == pytest.approx(math.exp(-1 / (alpha - 1)), rel=1e-12)
    assert cut.alpha == pytest.approx(alpha, abs=1e-9)


def test_flat():
    cut = ww.erg_cut(ww.Spectrum.from_eigenvalues(np.full(17, 3.7)))
    assert (cut.rank, cut.log_det, cut.lambda_min, cut.status) == (17, 0.0, pytest.approx(1), ww.Outcome.FLAT)
    assert math.isnan(cut.alpha)


def test_rank_one_is_rank_limited():
    cut = ww.erg_cut(ww.Spectrum.from_matrix(np.outer(np.arange(1.0, 8), np.ones(5))))
    assert (cut.rank, cut.status) == (1, ww.Outcome.RANK_LIMITED)
    assert cut.log_det == pytest.approx(math.log(5))
    assert math.isnan(cut.alpha)


def test_zeros_count_in_the_mean_only():
    """Twelve ones among twenty: mean 0.6, so every one counts ln(1/0.6) and no zero enters the sum."""
    cut = ww.erg_cut(ww.Spectrum.from_eigenvalues([0.0] * 8 + [1.0] * 12))
    assert (cut.rank, cut.status) == (12, ww.Outcome.RANK_LIMITED)
    assert cut.log_det == pytest.approx(12 * math.log(1 / 0.6))


@pytest.mark.parametrize("raw", [[0.0, 0.0], [], [math.nan, 1.0]])
def test_degenerate_is_nan_throughout(raw):
    spectrum = ww.Spectrum(np.array(raw, dtype=float), 2, 2)
    cut = ww.erg_cut(spectrum)
    assert (cut.rank, cut.status) == (0, ww.Outcome.DEGENERATE)
    assert all(math.isnan(number) for number in (cut.fraction, cut.lambda_min, cut.log_det, cut.alpha))
    assert first_product_below_one(spectrum) == 0


@pytest.mark.parametrize(("d", "rank"), [(0.3, 2), (0.61, 2), (0.63, 1), (0.99, 1)])
def test_two_eigenvalues_turn_at_the_golden_ratio(d, rank):
    """ln(1+d) + ln(1-d^2) changes sign in modulus at d = (sqrt 5 - 1)/2."""
    assert ww.erg_cut(ww.Spectrum.from_eigenvalues([1 - d, 1 + d])).rank == rank


@st.composite
def spectra(draw):
    n = draw(st.integers(2, 300))
    alpha = draw(st.floats(1.2, 6.0))
    seed = draw(st.integers(0, 2**20))
    return pareto_eigenvalues(n, alpha, seed)


@given(spectra(), st.floats(-200, 200))
def test_scale_changes_nothing_but_the_raw_start(raw, exponent):
    scale = 2.0**exponent
    one, other = (ww.erg_cut(ww.Spectrum.from_eigenvalues(values)) for values in (raw, raw * scale))
    assert (one.rank, one.status) == (other.rank, other.status)
    assert other.lambda_min_raw == pytest.approx(one.lambda_min_raw * scale, rel=1e-12)
    assert other.log_det == pytest.approx(one.log_det, abs=1e-9)


@given(spectra())
def test_bounds_of_the_cut(raw):
    spectrum = ww.Spectrum.from_eigenvalues(raw)
    cut, x = ww.erg_cut(spectrum), spectrum.unit_mean[::-1]
    truth = erg_cut_mpmath(raw)
    assert np.count_nonzero(x >= 1) <= truth.k0 <= cut.rank <= min(truth.k0 + 1, raw.size)
    if cut.status is ww.Outcome.OK and truth.k0 < raw.size:
        assert abs(cut.log_det) <= 0.5 * abs(math.log(x[truth.k0])) + 1e-9
    assert x[: cut.rank].mean() >= 1 - 1e-12


@given(spectra(), st.integers(2, 5))
def test_copies_of_the_spectrum_multiply_the_cut(raw, copies):
    k0 = erg_cut_mpmath(raw).k0
    repeated = erg_cut_mpmath(np.repeat(raw, copies)).k0
    assert copies * k0 <= repeated <= copies * k0 + copies - 1
    assert abs(ww.erg_cut(ww.Spectrum.from_eigenvalues(np.repeat(raw, copies))).rank - repeated) <= 1


@pytest.mark.parametrize(
    ("partial", "length"), [([0.5, 0.0, -0.1, 3.0], 2), ([0.0], 1), ([-1e-300], 0), ([1.0, 2.0], 2), ([], 0)]
)
def test_the_leading_run_has_the_sums_that_are_not_below_zero(partial, length):
    assert leading_nonnegative(np.array(partial)) == length
