"""The checks of the chapter's clauses."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from fixtures import ensembles, matrices, oracles
from spec_tests.runner import checks
from spec_tests.strategies import SEEDS, SpectrumCase, spectra

SEEDS_OF_A_MEDIAN = range(15)


def median_alpha(impl, rows: int, columns: int, draw) -> float:
    """Median over fixed seeds of the exponent of matrices that `draw` makes."""
    return float(
        np.median([impl.tail_fit(impl.eigenvalues(draw(rows, columns, seed))).alpha for seed in SEEDS_OF_A_MEDIAN])
    )


def signed(mu: float):
    """Sampler of signed Pareto matrices."""
    return lambda rows, columns, seed: ensembles.signed_pareto_matrix(rows, columns, mu, seed)


@checks.add("TAIL-01", case=spectra(20, 150))
def is_the_full_scan(impl, watch, case: SpectrumCase):
    fit, truth = impl.tail_fit(case.raw), oracles.power_law_scan(case.raw)
    watch.equal("number of eigenvalues in the tail", fit.rank, truth.rank)
    watch.near("alpha", fit.alpha, truth.alpha, rel=1e-9)
    watch.near("start of the tail", fit.lambda_min, truth.lambda_min, rel=1e-9)
    watch.close("KS distance", fit.ks, truth.ks, tol=1e-9)


@checks.add("TAIL-02", case=spectra(20, 120), power=st.integers(-60, 60))
def scale_free(impl, watch, case: SpectrumCase, power: int):
    one, other = impl.tail_fit(case.raw), impl.tail_fit(case.raw * 2.0**power)
    watch.equal("number of eigenvalues in the tail", other.rank, one.rank)
    watch.near("alpha", other.alpha, one.alpha, rel=1e-9)


@checks.add("TAIL-03", case=spectra(20, 150))
def standard_error(impl, watch, case: SpectrumCase):
    fit = impl.tail_fit(case.raw)
    watch.near("sigma", fit.sigma, (fit.alpha - 1) / math.sqrt(fit.rank), rel=1e-9)


@checks.add("TAIL-04", case=spectra(20, 150))
def is_the_hill_estimate_of_its_tail(impl, watch, case: SpectrumCase):
    fit = impl.tail_fit(case.raw)
    tail = case.raw[case.raw >= fit.lambda_min * (1 - 1e-12)]
    watch.equal("number of eigenvalues from the start on", tail.size, fit.rank)
    watch.near("alpha", fit.alpha, 1 + tail.size / np.sum(np.log(tail / tail.min())), rel=1e-9)


@checks.add("TAIL-05", case=spectra(20, 150))
def says_its_distance(impl, watch, case: SpectrumCase):
    fit = impl.tail_fit(case.raw)
    tail = np.sort(case.raw)[-fit.rank :]
    law = 1 - (tail / tail[0]) ** (1 - fit.alpha)
    watch.close("KS distance", fit.ks, np.max(np.abs(law - np.arange(tail.size) / tail.size)), tol=1e-9)


@checks.add("TAIL-06", layer=st.sampled_from([(60, 160, 2.0), (100, 300, 2.0), (200, 600, 2.0), (100, 175, 2.5)]))
def recovers_the_ideal_layer(impl, watch, layer):
    k, M, alpha = layer
    fit = impl.tail_fit(ensembles.ideal_layer_eigenvalues(k, M, alpha))
    watch.equal("number of eigenvalues in the tail", fit.rank, k)
    watch.close("alpha", fit.alpha, alpha, tol=1e-9)


@checks.add("TAIL-07", mu=st.sampled_from([0.75, 1.0, 1.25]), Q=st.sampled_from([1, 2]), share=0.1)
def pareto_elements_give_half_mu_plus_one(impl, watch, mu: float, Q: int):
    watch.close("median alpha", median_alpha(impl, 300 * Q, 300, signed(mu)), mu / 2 + 1, tol=0.2)


@checks.add("TAIL-08")
def alpha_grows_with_mu(impl, watch):
    one, two, three = (median_alpha(impl, 300, 300, signed(mu)) for mu in (1.0, 2.0, 3.0))
    watch.that(one + 0.5 < two < three - 0.5, f"medians at mu = 1, 2, 3 are {one:.2f}, {two:.2f}, {three:.2f}")


@checks.add("TAIL-09")
def no_saturation_of_centred_elements(impl, watch):
    centred = median_alpha(impl, 300, 300, signed(4.0))
    shifted = median_alpha(impl, 300, 300, lambda r, c, s: matrices.lomax_matrix(r, c, 4.0, s)[0])
    watch.that(centred > 5, f"median alpha of signed Pareto 4 is {centred:.2f}, no more than 5")
    watch.that(2.7 < shifted < 4.5, f"median alpha of positive Pareto 4 is {shifted:.2f}, outside (2.7, 4.5)")


@checks.add("TAIL-10", n=st.integers(2, 60), value=st.sampled_from([1e-3, 1.0, 1e3]))
def flat_has_no_tail(impl, watch, n: int, value: float):
    fit = impl.tail_fit(np.full(n, value))
    watch.that(fit is None, f"a flat spectrum has no tail, but {fit} was answered")


@checks.add("TAIL-11", case=spectra(5, 19))
def same_estimator_for_few(impl, watch, case: SpectrumCase):
    fit, truth = impl.tail_fit(case.raw), oracles.power_law_scan(case.raw)
    watch.near("alpha", fit.alpha, truth.alpha, rel=1e-9)
    watch.equal("number of eigenvalues in the tail", fit.rank, truth.rank)


@checks.add("TAIL-12")
def nothing_is_fitted_to_nothing(impl, watch):
    for raw in (np.zeros(30), np.array([0.0] * 29 + [5.0])):
        fit = impl.tail_fit(raw)
        watch.that(fit is None, f"there is no tail, but {fit} was answered")


@checks.add("TAIL-13", kappa=st.sampled_from([0.1, 0.25, 0.5]), share=0.1)
def inverse_marchenko_pastur_exponent(impl, watch, kappa: float):
    alphas = [
        impl.tail_fit(matrices.inverse_marchenko_pastur_eigenvalues(300, kappa, seed)[0]).alpha
        for seed in SEEDS_OF_A_MEDIAN
    ]
    watch.close("median alpha", float(np.median(alphas)), 1.53 + 1.24 * kappa, tol=0.2)
    watch.that(abs(np.median(alphas) - 2 * kappa) > 0.8, f"median alpha {np.median(alphas):.2f} is near 2 kappa")


@checks.add("TAIL-14", seed=SEEDS)
def tied_values_enter_together(impl, watch, seed: int):
    raw = np.repeat(ensembles.pareto_eigenvalues(40, 2.0, seed), 2)
    fit = impl.tail_fit(raw)
    watch.equal("tail size modulo 2", fit.rank % 2, 0)
    tail = raw[raw >= fit.lambda_min * (1 - 1e-12)]
    watch.near("alpha", fit.alpha, 1 + tail.size / np.sum(np.log(tail / tail.min())), rel=1e-9)


@checks.add("TAIL-15", alpha=st.sampled_from([1.5, 2.0, 3.0]), n=st.sampled_from([2000, 5000]), share=0.2)
def exact_quantiles_at_size(impl, watch, alpha: float, n: int):
    fit = impl.tail_fit(ensembles.power_law_quantiles(n, alpha))
    watch.close("alpha", fit.alpha, alpha, tol=4 * (alpha - 1) / math.sqrt(n))


@checks.add("TAIL-16", case=spectra(20, 120), zeros=st.integers(1, 100))
def zeros_do_not_touch_the_tail(impl, watch, case: SpectrumCase, zeros: int):
    fit, truth = impl.tail_fit(np.concatenate([np.zeros(zeros), case.raw])), oracles.power_law_scan(case.raw)
    watch.equal("number of eigenvalues in the tail", fit.rank, truth.rank)
    watch.near("alpha", fit.alpha, truth.alpha, rel=1e-9)


@checks.add("TAIL-17", alpha=st.sampled_from([1.8, 2.5]), seed=st.integers(0, 500), share=0.05)
def intervals_hold_the_truth(impl, watch, alpha: float, seed: int):
    held, widths = 0, []
    for draw in range(30):
        body = np.random.default_rng([seed, draw]).random(350)
        raw = np.concatenate([body, ensembles.pareto_eigenvalues(150, alpha, 30 * seed + draw)])
        low, high = impl.alpha_interval(raw, draw)
        held += low <= alpha <= high
        widths.append(high - low)
    watch.that(held >= 20, f"of 30 intervals {held} hold alpha = {alpha}")
    watch.at_most("median width", float(np.median(widths)), 1.0)


@checks.add("TAIL-18", case=spectra(20, 120))
def median_hill_is_published(impl, watch, case: SpectrumCase):
    ascending = np.sort(case.raw)
    start = int(ascending.size / 2)
    total = float(np.sum(np.log(ascending[start:] / ascending[start])))
    if total > 1e-9:
        watch.near("alpha", impl.median_hill(case.raw), 1 + (ascending.size - start) / total, rel=1e-9)
