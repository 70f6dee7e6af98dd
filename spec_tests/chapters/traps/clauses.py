"""The checks of the chapter's clauses."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from fixtures import ensembles, matrices
from spec_tests.runner import checks

SHAPES = ((100, 100), (200, 100), (300, 100))


@checks.add("TRAP-01", seed=st.integers(0, 1000), share=0.025)
def none_in_noise(impl, watch, seed: int):
    """21 matrices an example: at a true rate of 1 % four or more false alarms have probability 5e-5."""
    drawn = [(shape, 7 * seed + turn) for turn in range(7) for shape in SHAPES]
    alarms = sum(impl.traps(ensembles.gaussian_matrix(*shape, one), one).count > 0 for shape, one in drawn)
    watch.at_most("matrices of Gaussian noise that are trapped, of 21", alarms, 3)


@checks.add("TRAP-02", shape=st.sampled_from(SHAPES), seed=st.integers(0, 1000), share=0.25)
def finds_one_element(impl, watch, shape, seed: int):
    W, truth = matrices.element_trap(*shape, 2.5, seed)
    watch.that(truth.is_outlier, "the planted element is above the threshold")
    watch.equal("traps with one planted element", impl.traps(W, seed).count, 1)


@checks.add("TRAP-03", shape=st.sampled_from(SHAPES), seed=st.integers(0, 1000), share=0.25)
def finds_a_mean_shift(impl, watch, shape, seed: int):
    W, _ = matrices.mean_trap(*shape, 2.5, seed)
    watch.equal("traps with a shifted mean", impl.traps(W, seed).count, 1)


@checks.add("TRAP-04", seed=st.integers(0, 1000), share=0.025)
def none_below_the_threshold(impl, watch, seed: int):
    """12 matrices an example: at a true rate of 1 % four or more alarms have probability 5e-6."""
    alarms = 0
    for shape, one in [(shape, 4 * seed + turn) for turn in range(4) for shape in SHAPES]:
        W, truth = matrices.element_trap(*shape, 0.7, one)
        watch.that(not truth.is_outlier, "the planted element is below the threshold")
        alarms += impl.traps(W, one).count > 0
    watch.at_most("matrices with an element below the threshold that are trapped, of 12", alarms, 3)


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
    # Two elements that a shuffle puts into one row or column are one outlier: chance 1/200 + 1/100.
    found = max(impl.traps(W, seed + more).count for more in range(3))
    watch.equal("traps with two planted elements, at most in three shuffles", found, 2)


@checks.add("TRAP-10", shape=st.sampled_from(((60, 40), (50, 50))), seed=st.integers(0, 1000), share=0.025)
def pvalues_of_noise(impl, watch, shape, seed: int):
    rng = np.random.default_rng([seed, *shape])
    pvalues = np.array([impl.trap_pvalue(rng.normal(size=shape), number) for number in range(200)])
    watch.at_most("share of p-values of at most 1e-4", float(np.mean(pvalues <= 1e-4)), 0.0)
    watch.close("share of p-values of at most 1/4", float(np.mean(pvalues <= 0.25)), 0.25, tol=5 * 0.0306)


LAWS = {
    "flat": (lambda rng, shape: rng.uniform(-1, 1, size=shape), 6),
    "exponential": (lambda rng, shape: rng.laplace(size=shape), 7),
    "Student's t, 5 degrees": (lambda rng, shape: rng.standard_t(5, size=shape), 13),
}


@checks.add("TRAP-11", seed=st.integers(0, 1000), share=0.025)
def no_trap_by_law(impl, watch, seed: int):
    """At rates of 1, 1.5 and 4 % more than 6, 7 and 13 of 100 have a chance of 1e-4."""
    for number, (law, (draw, bound)) in enumerate(LAWS.items()):
        rng = np.random.default_rng([seed, number])
        found = sum(impl.trap_pvalue(draw(rng, (50, 50)), replica) <= 0.01 for replica in range(100))
        watch.at_most(f"p-values below .01 among 100 matrices of {law} entries", found, bound)


@checks.add("TRAP-12", shape=st.sampled_from(SHAPES), shifted=st.booleans(), seed=st.integers(0, 1000), share=0.25)
def removal_moves_the_trap_alone(impl, watch, shape, shifted: bool, seed: int):
    W, truth = matrices.mean_trap(*shape, 2.5, seed) if shifted else matrices.element_trap(*shape, 2.5, seed)
    before = W.copy()
    cleaned = impl.remove_traps(W, seed)
    watch.that(bool((W == before).all()), "the matrix that was given has changed")
    watch.equal("traps left", impl.traps(cleaned, seed).count, 0)
    watch.that(bool((impl.remove_traps(cleaned, seed) == cleaned).all()), "removal applied twice changes the matrix")
    moved = W - cleaned
    if shifted:
        watch.near("what was subtracted everywhere", moved, np.full(shape, W.mean()), rel=1e-9)
    else:
        others = np.ones(shape, dtype=bool)
        others[truth.element] = False
        watch.that(not moved[others].any(), "elements that carry no trap have moved")
        watch.at_most("what is left of the element, in sigma", abs(float(cleaned[truth.element])), 4.0)


@checks.add("TRAP-13", shape=st.sampled_from(SHAPES), turned=st.booleans(), seed=st.integers(0, 1000), share=0.25)
def names_the_element(impl, watch, shape, turned: bool, seed: int):
    W, truth = matrices.element_trap(*shape, 2.5, seed)
    given, element = (W.T, truth.element[::-1]) if turned else (W, truth.element)
    watch.equal("elements named", impl.trap_elements(given, seed), [tuple(element)])


@checks.add(
    "TRAP-14",
    shape=st.sampled_from(((300, 300), (600, 300))),
    shifted=st.booleans(),
    strength=st.sampled_from((0.5, 0.8, 2.0, 3.0)),
    seed=st.integers(0, 1000),
    share=0.25,
)
def sees_from_twice_the_threshold(impl, watch, shape, shifted: bool, strength: float, seed: int):
    plant = matrices.mean_trap if shifted else matrices.element_trap
    W, truth = plant(*shape, strength, seed)
    watch.equal(f"traps at {strength} times the threshold", impl.traps(W, seed).count, int(truth.is_outlier))


@checks.add("TRAP-15", shape=st.sampled_from(((60, 60), (90, 60))), seed=st.integers(0, 1000), share=0.25)
def pvalue_is_invariant(impl, watch, shape, seed: int):
    W, _ = matrices.element_trap(*shape, 1.2, seed)
    known = impl.trap_pvalue(W, seed)
    for what, other in (("transposed", W.T), ("times 1024", 1024 * W), ("times -0.01", -0.01 * W)):
        watch.near(f"p-value of the matrix {what}", impl.trap_pvalue(other, seed), known, rel=1e-9)


@checks.add("TRAP-16")
def no_statement_without_noise(impl, watch):
    nan = np.random.default_rng(0).normal(size=(40, 30))
    nan[3, 4] = np.nan
    for what, W in (
        ("a zero", np.zeros((40, 30))),
        ("a constant", np.full((40, 30), 0.5)),
        ("a NaN", nan),
        ("a single-row", np.arange(40.0)[None, :]),
    ):
        watch.that(bool(np.isnan(impl.trap_pvalue(W, 0))), f"{what} matrix has a p-value")


@checks.add("TRAP-17", degrees=st.sampled_from((2.2, 3.0, 5.0)), seed=st.integers(0, 1000), share=0.1)
def shifts_under_any_tail(impl, watch, degrees: float, seed: int):
    found = false = 0
    for draw in range(9):
        W = np.random.default_rng([seed, draw]).standard_t(degrees, size=(144, 144))
        W /= W.std()
        found += "mean shift" in impl.trap_carriers(W + 3 / 12, draw)
        false += "mean shift" in impl.trap_carriers(W, draw)
    watch.that(found >= 8, f"of nine shifts under t({degrees}) {found} are found")
    watch.equal("shifts found where there is none", false, 0)
