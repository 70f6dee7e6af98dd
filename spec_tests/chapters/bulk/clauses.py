"""The checks of the chapter's clauses."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from fixtures import bulk, ensembles, matrices, oracles
from spec_tests.runner import checks
from spec_tests.strategies import SEEDS, SpectrumCase, spectra

SHAPES = ((60, 60), (100, 100), (150, 100), (200, 50), (320, 40))


def spectrum(W: np.ndarray) -> np.ndarray:
    """Squared singular values, ascending."""
    return oracles.singular_value_squares(W)


@checks.add("BULK-01", shape=st.sampled_from(SHAPES), seed=SEEDS, share=0.5)
def sigma_of_noise(impl, watch, shape, seed: int):
    rows, columns = shape
    W, _ = matrices.marchenko_pastur_matrix(rows, columns, 3.0, seed)
    fit = impl.bulk(spectrum(W), shape)
    watch.close("sigma", fit.sigma / 3, 1.0, tol=5 / math.sqrt(rows * columns))


@checks.add("BULK-02")
def false_spikes_at_the_stated_level(impl, watch):
    shapes = [SHAPES[seed % len(SHAPES)] for seed in range(400)]
    spiked = sum(
        impl.bulk(spectrum(ensembles.gaussian_matrix(*shape, seed)), shape).spikes > 0
        for seed, shape in enumerate(shapes)
    )
    watch.at_most("draws of noise with a spike, of 400", spiked, 16)


@checks.add(
    "BULK-03",
    shape=st.sampled_from(SHAPES[1:]),
    spikes=st.integers(1, 7),
    share=0.5,
    tenths=st.integers(3, 8),
    seed=SEEDS,
)
def counts_planted_spikes(impl, watch, shape, spikes: int, tenths: int, seed: int):
    W, truth = bulk.spiked_noise(*shape, spikes, tenths / 10, seed)
    found = impl.bulk(spectrum(W), shape).spikes
    watch.that(found in (truth.spikes, truth.spikes + 1), f"{found} spikes were found of {truth.spikes}")


@checks.add(
    "BULK-04",
    shape=st.sampled_from(SHAPES[1:]),
    spikes=st.integers(1, 7),
    share=0.5,
    tenths=st.integers(3, 8),
    seed=SEEDS,
)
def spikes_move_nothing(impl, watch, shape, spikes: int, tenths: int, seed: int):
    W, truth = bulk.spiked_noise(*shape, spikes, tenths / 10, seed, sigma=0.2)
    fit, root = impl.bulk(spectrum(W), shape), math.sqrt(shape[0] * shape[1])
    watch.close("sigma", fit.sigma / truth.sigma, 1.0, tol=6 / root)
    watch.close("upper edge", fit.lambda_plus / truth.lambda_plus, 1.0, tol=(2 * spikes + 14) / root)
    watch.close(
        "lower edge over the upper",
        (fit.lambda_minus - truth.lambda_minus) / truth.lambda_plus,
        0.0,
        tol=(2 * spikes + 14) / root,
    )


@checks.add("BULK-05", case=spectra(20, 120), power=st.integers(-60, 60), share=0.25)
def follows_the_scale(impl, watch, case: SpectrumCase, power: int):
    shape = (2 * case.n, case.n)
    one, other = impl.bulk(case.raw, shape), impl.bulk(case.raw * 4.0**power, shape)
    watch.equal("number of spikes", other.spikes, one.spikes)
    watch.near("sigma", other.sigma, one.sigma * 2.0**power, rel=1e-9)
    watch.near("upper edge", other.lambda_plus, one.lambda_plus * 4.0**power, rel=1e-9)


@checks.add("BULK-06", n=st.integers(1, 40))
def nothing_without_a_bulk(impl, watch, n: int):
    watch.equal("bulk of a zero layer", impl.bulk(np.zeros(n), (n, n)), None)
    watch.equal("bulk of a flat spectrum", impl.bulk(np.full(n, 2.5), (n + 3, n)), None)
    watch.equal("bulk of two eigenvalues", impl.bulk(np.array([1.0, 4.0]), (2, 2)), None)


@checks.add("BULK-07", dead=st.integers(1, 60), seed=SEEDS, share=0.25)
def dead_columns(impl, watch, dead: int, seed: int):
    W = ensembles.gaussian_matrix(200, 100, seed)
    W[:, :dead] = 0
    fit = impl.bulk(spectrum(W), W.shape)
    watch.close("sigma", fit.sigma, 1.0, tol=6 / math.sqrt(200 * (100 - dead)))


@checks.add("BULK-08", slices=st.integers(2, 9), planted=st.booleans(), seed=SEEDS, share=0.25)
def pooled_slices(impl, watch, slices: int, planted: bool, seed: int):
    noise = [ensembles.gaussian_matrix(120, 60, 9 * seed + i) for i in range(slices)]
    noise[0] += planted * 5 * np.outer(*(np.random.default_rng(seed).normal(size=n) for n in (120, 60))) / math.sqrt(60)
    fit = impl.bulk(np.sort(np.concatenate([spectrum(W) for W in noise])), (120, 60), slices)
    watch.close("sigma", fit.sigma, 1.0, tol=6 / math.sqrt(slices * 120 * 60))
    watch.that(fit.spikes in (planted, planted + 1), f"{fit.spikes} spikes were found of {int(planted)}")


@checks.add("BULK-09", shape=st.sampled_from(SHAPES[1:]), seed=SEEDS, share=0.1)
def nothing_below_the_threshold(impl, watch, shape, seed: int):
    q = shape[1] / shape[0]
    drawn = [matrices.signal_spike(*shape, 0.7 * q**0.25, 9 * seed + i) for i in range(9)]
    watch.that(not any(truth.is_outlier for _, truth in drawn), "the signal is below the threshold")
    none = sum(impl.bulk(spectrum(W), shape).spikes == 0 for W, _ in drawn)
    watch.that(none >= 5, f"no spike in {none} of nine draws only")
