"""Chapter TRAP: correlation traps by randomisation. Small matrices keep weightwatcher's own fit affordable."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from fixtures import ensembles, matrices
from spec_tests.runner import checks

SHAPES = ((100, 100), (200, 100), (300, 100))


@checks.add("TRAP-01", shape=st.sampled_from(SHAPES), seed=st.integers(0, 1000), share=0.5)
def none_in_noise(impl, watch, shape, seed: int):
    """Twenty draws in the ci profile: at a true rate of 1 % two or more false alarms have probability .017."""
    watch.equal("traps in Gaussian noise", impl.traps(ensembles.gaussian_matrix(*shape, seed), seed).count, 0)


@checks.add("TRAP-02", shape=st.sampled_from(SHAPES), seed=st.integers(0, 1000), share=0.25)
def finds_one_element(impl, watch, shape, seed: int):
    W, truth = matrices.element_trap(*shape, 2.5, seed)
    watch.that(truth.is_outlier, "the planted element is above the threshold")
    watch.equal("traps with one planted element", impl.traps(W, seed).count, 1)


@checks.add("TRAP-03", shape=st.sampled_from(SHAPES), seed=st.integers(0, 1000), share=0.25)
def finds_a_mean_shift(impl, watch, shape, seed: int):
    W, _ = matrices.mean_trap(*shape, 2.5, seed)
    watch.equal("traps with a shifted mean", impl.traps(W, seed).count, 1)


@checks.add("TRAP-04", shape=st.sampled_from(SHAPES), seed=st.integers(0, 1000), share=0.25)
def none_below_the_threshold(impl, watch, shape, seed: int):
    W, truth = matrices.element_trap(*shape, 0.7, seed)
    watch.that(not truth.is_outlier, "the planted element is below the threshold")
    watch.equal("traps", impl.traps(W, seed).count, 0)


@checks.add("TRAP-05", seed=st.integers(0, 1000), share=0.1)
def follows_its_seed(impl, watch, seed: int):
    W = ensembles.gaussian_matrix(120, 100, seed)
    first, second = impl.traps(W, seed), impl.traps(W, seed)
    watch.near("largest eigenvalue with the same seed", second.lambda_max, first.lambda_max, rel=1e-12)
    other = impl.traps(W, seed + 1)
    watch.that(abs(other.lambda_max / first.lambda_max - 1) > 1e-9, "another seed gives the same shuffle")


@checks.add("TRAP-06", scale=st.sampled_from([1e-3, 1e3]), seed=st.integers(0, 1000), share=0.1)
def scale_free(impl, watch, scale: float, seed: int):
    W, _ = matrices.element_trap(120, 100, 2.5, seed)
    watch.equal("traps", impl.traps(W * scale, seed).count, impl.traps(W, seed).count)
    watch.equal("traps of the transpose", impl.traps(W.T, seed).count, 1)


@checks.add("TRAP-07", seed=st.integers(0, 1000), share=0.1)
def counts_once_on_small_layers(impl, watch, seed: int):
    W, _ = matrices.element_trap(80, 50, 4.0, seed)
    watch.equal("traps with one planted element", impl.traps(W, seed).count, 1)


@checks.add("TRAP-08", seed=st.integers(0, 1000), share=0.25)
def every_element_is_shuffled(impl, watch, seed: int):
    """A strong row signal is spread over the matrix by a full shuffle: its direction cannot survive."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(150, 100)) * np.where(np.arange(150) < 75, 0.2, 1.4)[:, None]
    # The unit of lambda_max is the implementation's own: it is measured on a matrix that shuffling does not change.
    plain = rng.normal(size=W.shape)
    unit = impl.traps(plain, seed).lambda_max / float(np.linalg.svd(plain, compute_uv=False)[0] ** 2)
    kept = unit * float(np.linalg.svd(W, compute_uv=False)[0] ** 2)
    watch.close("largest shuffled over largest", impl.traps(W, seed).lambda_max / kept, 0.75, tol=0.15)


@checks.add("TRAP-09", seed=st.integers(0, 1000), share=0.1)
def counts_every_trap(impl, watch, seed: int):
    W, truth = matrices.element_trap(200, 100, 4.0, seed)
    row, column = truth.element
    W[(row + 77) % 200, (column + 31) % 100] = 1.3 * W[row, column]
    watch.equal("traps with two planted elements", impl.traps(W, seed).count, 2)
