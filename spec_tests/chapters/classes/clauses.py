"""The checks of the chapter's clauses."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import strategies as st

from fixtures import bulk, ensembles, matrices, oracles, uneven_noise
from spec_tests.runner import checks
from spec_tests.strategies import SEEDS, SpectrumCase, spectra

SHAPES = ((200, 200), (200, 400), (300, 200))
DRAWS = 9


def classes(impl, draw, seed: int, draws: int = DRAWS) -> Counter:
    """How often each class is given to matrices that `draw(seed)` makes."""
    made = [draw(draws * seed + i) for i in range(draws)]
    return Counter(impl.universality(oracles.singular_value_squares(W), W.shape) for W in made)


def most_are(watch, what: str, counted: Counter, wanted: str, least: int = 5) -> None:
    """At least `least` draws are of the class wanted."""
    watch.that(
        counted[wanted] >= least, f"{what}: {counted[wanted]} of {counted.total()} are {wanted}, {dict(counted)}"
    )


@checks.add(
    "CLASS-01",
    rows=st.integers(20, 120),
    columns=st.integers(20, 120),
    law=st.sampled_from(["normal", "uniform"]),
    seed=SEEDS,
    share=0.75,
)
def initialisations(impl, watch, rows: int, columns: int, law: str, seed: int):
    def draw(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return rng.normal(size=(rows, columns)) if law == "normal" else rng.uniform(-1, 1, size=(rows, columns))

    counted = classes(impl, draw, seed)
    most_are(watch, "initialisations", counted, "random-like", least=7)
    watch.equal("heavy-tailed ones", sum(n for word, n in counted.items() if "heavy" in word), 0)


@checks.add("CLASS-02", n=st.integers(4, 60), more=st.integers(0, 20), seed=SEEDS)
def flat_layers(impl, watch, n: int, more: int, seed: int):
    watch.equal("class of a flat spectrum", impl.universality(np.full(n, 0.7), (n + more, n)), "random-like")
    W, _ = matrices.degenerate("orthogonal", n + more, n, seed)
    word = impl.universality(oracles.singular_value_squares(W), W.shape)
    watch.equal("class of an orthogonal layer", word, "random-like")


@checks.add("CLASS-03", shape=st.sampled_from(SHAPES), spikes=st.integers(1, 10), seed=SEEDS, share=0.1)
def spiked_noise(impl, watch, shape, spikes: int, seed: int):
    rows, columns = max(shape), min(shape)
    counted = classes(impl, lambda s: bulk.spiked_noise(rows, columns, spikes, 0.1, s)[0], seed)
    most_are(watch, f"noise with {spikes} spikes", counted, "bulk+spikes")


@checks.add("CLASS-04", shape=st.sampled_from(SHAPES), fourths=st.integers(2, 4), seed=SEEDS, share=0.1)
def very_heavy(impl, watch, shape, fourths: int, seed: int):
    counted = classes(impl, lambda s: ensembles.signed_pareto_matrix(*shape, fourths / 4, s), seed)
    most_are(watch, f"Pareto matrices of mu = {fourths / 4}", counted, "very heavy-tailed")


@checks.add("CLASS-05", shape=st.sampled_from(SHAPES), seed=SEEDS, share=0.1)
def heavy(impl, watch, shape, seed: int):
    counted = classes(impl, lambda s: ensembles.signed_pareto_matrix(*shape, 2.0, s), seed)
    most_are(watch, "Pareto matrices of mu = 2", counted, "heavy-tailed")


@checks.add("CLASS-06", n=st.integers(60, 400), tenths=st.integers(13, 50), eighths=st.integers(1, 8))
def quantiles(impl, watch, n: int, tenths: int, eighths: int):
    noise = ensembles.marchenko_pastur_quantiles(n, eighths / 8)
    watch.equal("class of Marchenko-Pastur quantiles", impl.universality(noise, (n * 8 // eighths, n)), "random-like")
    # Close below the border alpha = 2 the width of the interval decides.
    alpha = tenths / 10 + 0.05
    raw = ensembles.power_law_quantiles(n, alpha)
    word, largest = impl.universality(raw, (n, n)), raw.max() / raw.mean()
    # The edge of square noise is 4 times the mean eigenvalue, of these sizes up to 4.5.
    if largest > 5:
        near = 1.7 < alpha < 2
        wanted = {"very heavy-tailed"} if alpha < 2 else {"heavy-tailed"}
        watch.that(word in wanted | ({"heavy-tailed"} if near else set()), f"class at alpha = {alpha} is {word}")
    elif largest < 3.8:
        watch.equal(f"class at alpha = {alpha}, nothing above the edge", word, "undetermined")


@checks.add(
    "CLASS-07", rows=st.integers(4, 80), columns=st.integers(4, 80), share_of_rank=st.floats(0.05, 0.5), seed=SEEDS
)
def collapsed(impl, watch, rows: int, columns: int, share_of_rank: float, seed: int):
    rank = max(1, int(share_of_rank * min(rows, columns)))
    W, _ = matrices.planted_rank(rows, columns, rank, seed)
    word = impl.universality(oracles.singular_value_squares(W), W.shape)
    watch.equal(f"class of rank {rank} of {min(rows, columns)}", word, "rank collapse")


@checks.add("CLASS-08", case=spectra(4, 150), power=st.integers(-60, 60))
def scale_free(impl, watch, case: SpectrumCase, power: int):
    shape = (case.n, 2 * case.n)
    watch.equal("class", impl.universality(case.raw * 2.0**power, shape), impl.universality(case.raw, shape))


@checks.add("CLASS-09", n=st.integers(1, 40))
def without_a_class(impl, watch, n: int):
    watch.equal("class of a zero layer", impl.universality(np.zeros(n), (n, n)), "undetermined")
    few = np.array([1.0, 1.2, 1.5, 9.0, 40.0])
    watch.equal("class of five eigenvalues", impl.universality(few, (9, 5)), "undetermined")
    watch.equal("class of three eigenvalues", impl.universality(np.array([1.0, 2.0, 4.0]), (n + 2, 3)), "undetermined")


def uneven(rows: int, columns: int, spread: float, side: str, seed: int) -> np.ndarray:
    """Normal entries, rows, columns or both of lognormal strength."""
    ones = np.ones(rows), np.ones(columns)
    d = uneven_noise.lognormal_strengths(rows, spread, 2 * seed) if side != "columns" else ones[0]
    e = uneven_noise.lognormal_strengths(columns, spread, 2 * seed + 1) if side != "rows" else ones[1]
    return uneven_noise.draw(d, e, seed)


def matrix_classes(impl, draw, seed: int) -> Counter:
    """How often each class is given to matrices whose entries are known."""
    return Counter(impl.matrix_class(draw(DRAWS * seed + i)) for i in range(DRAWS))


@checks.add(
    "CLASS-10",
    shape=st.sampled_from(((120, 100), (200, 120), (100, 240))),
    tenths=st.integers(1, 5),
    side=st.sampled_from(["rows", "columns", "both"]),
    seed=SEEDS,
    share=0.1,
)
def noise_of_any_strengths(impl, watch, shape, tenths: int, side: str, seed: int):
    counted = matrix_classes(impl, lambda s: uneven(*shape, tenths / 10, side, s), seed)
    most_are(watch, f"noise with {side} of spread {tenths / 10}", counted, "random-like", least=7)
    watch.equal("heavy-tailed ones", sum(n for word, n in counted.items() if "heavy" in word), 0)


@checks.add("CLASS-11", spikes=st.integers(1, 4), seed=SEEDS, share=0.1)
def spikes_above_uneven_noise(impl, watch, spikes: int, seed: int):
    def draw(s: int) -> np.ndarray:
        rng = np.random.default_rng(s)
        left, right = (np.linalg.qr(rng.normal(size=(n, spikes)))[0] for n in (200, 120))
        return uneven(200, 120, 0.3, "rows", s) + 5 * np.sqrt(200) * left @ right.T

    counted = matrix_classes(impl, draw, seed)
    most_are(watch, f"uneven noise with {spikes} spikes", counted, "bulk+spikes")


@checks.add("CLASS-12", halves=st.integers(1, 3), seed=SEEDS, share=0.1)
def heavy_elements_stay_heavy(impl, watch, halves: int, seed: int):
    counted = matrix_classes(impl, lambda s: ensembles.signed_pareto_matrix(200, 150, halves / 2, s), seed)
    heavy_ones = sum(n for word, n in counted.items() if "heavy" in word)
    watch.that(
        heavy_ones >= 7, f"Pareto matrices of mu = {halves / 2}: {heavy_ones} of nine are heavy, {dict(counted)}"
    )
