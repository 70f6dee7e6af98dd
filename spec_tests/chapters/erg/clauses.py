"""The checks of the chapter's clauses."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from fixtures import ensembles, laws, oracles
from spec_tests.runner import checks
from spec_tests.strategies import SCALES, MatrixCase, SpectrumCase, matrices, spectra


@checks.add("ERG-01", case=spectra())
def within_one_of_the_sign_change(impl, watch, case: SpectrumCase):
    truth = oracles.erg_cut_mpmath(case.raw)
    cut = impl.erg_cut(case.raw)
    watch.at_most("|k - k*|", abs(cut.rank - truth.rank), 1)
    watch.that(bool(np.isclose(case.raw, cut.lambda_min, rtol=1e-9).any()), f"{cut.lambda_min} is no eigenvalue")


@checks.add("ERG-02", case=spectra())
def takes_the_nearer_of_the_two(impl, watch, case: SpectrumCase):
    truth = oracles.erg_cut_mpmath(case.raw)
    cut = impl.erg_cut(case.raw)
    watch.equal("k*", cut.rank, truth.rank)
    watch.near("raw start of the tail", cut.lambda_min, np.sort(case.raw)[-truth.rank], rel=1e-12)


@checks.add("ERG-03", case=spectra())
def says_what_is_left(impl, watch, case: SpectrumCase):
    watch.close("S_k*", impl.log_det(case.raw), oracles.erg_cut_mpmath(case.raw).log_det, tol=1e-9)


@checks.add(
    "ERG-04", n=st.sampled_from([3000, 4096, 8192, 16384]), alpha=st.sampled_from([0.0, 2.0, 3.0, 3.5]), share=0.4
)
def right_at_every_size(impl, watch, n: int, alpha: float):
    raw = ensembles.power_law_quantiles(n, alpha) if alpha else ensembles.marchenko_pastur_quantiles(n, 1.0)
    watch.at_most("|k - k*|", abs(impl.erg_cut(raw).rank - oracles.erg_cut_mpmath(raw).rank), 1)


@checks.add("ERG-05", case=spectra(), scale=SCALES)
def scale_free(impl, watch, case: SpectrumCase, scale: float):
    one, other = impl.erg_cut(case.raw), impl.erg_cut(scale * case.raw)
    watch.equal("k*", other.rank, one.rank)
    watch.near("raw start over the scale", other.lambda_min / scale, one.lambda_min, rel=1e-12)


@checks.add("ERG-06", case=matrices(3, 40, ("Gaussian", "Pareto 1")))
def sees_singular_values_only(impl, watch, case: MatrixCase):
    rng = np.random.default_rng(case.seed)
    ranks = {
        what: impl.erg_cut(impl.eigenvalues(W)).rank
        for what, W in (
            ("as it is", case.W),
            ("transposed", case.W.T),
            ("shuffled rows", rng.permutation(case.W, axis=0)),
            ("times 1000", 1000 * case.W),
        )
    }
    watch.equal("k* of equal spectra", len(set(ranks.values())), 1)


@checks.add("ERG-07", case=spectra())
def bounds_of_the_cut(impl, watch, case: SpectrumCase):
    x, cut = np.sort(case.raw)[::-1] / case.raw.mean(), impl.erg_cut(case.raw)
    above = int(np.count_nonzero(x >= 1 + 1e-12))
    watch.at_most("number of x above 1", above, cut.rank)
    watch.at_most("k*", cut.rank, min(oracles.erg_cut_mpmath(case.raw).k0 + 1, case.n))
    watch.at_most("1 minus the mean of the ECS", 1 - x[: cut.rank].mean(), 1e-12)


@checks.add("ERG-08", case=spectra(3))
def residual_is_at_most_half_a_step(impl, watch, case: SpectrumCase):
    x, truth = np.sort(case.raw)[::-1] / case.raw.mean(), oracles.erg_cut_mpmath(case.raw)
    if truth.k0 < case.n:
        watch.at_most("|S_k*|", abs(impl.log_det(case.raw)), 0.5 * abs(math.log(x[truth.k0])) + 1e-9)


@checks.add("ERG-09", n=st.integers(1, 60), value=SCALES)
def flat_takes_everything(impl, watch, n: int, value: float):
    cut = impl.erg_cut(np.full(n, value))
    watch.that(cut is not None, "a flat spectrum has a cut")
    watch.equal("k*", cut.rank, n)


@checks.add("ERG-10", ones=st.integers(1, 40), zeros=st.integers(1, 40))
def ends_at_the_rank(impl, watch, ones: int, zeros: int):
    cut = impl.erg_cut(np.array([0.0] * zeros + [1.0] * ones))
    watch.equal("k*", cut.rank, ones)
    watch.near("raw start of the tail", cut.lambda_min, 1.0, rel=1e-12)


@checks.add("ERG-11", case=spectra(2, 60), zeros=st.integers(1, 60))
def says_which_case_it_is(impl, watch, case: SpectrumCase, zeros: int):
    for what, raw in (
        ("distinct", case.raw),
        ("with zeros", np.concatenate([np.zeros(zeros), case.raw])),
        ("flat", np.full(case.n, case.raw[0])),
        ("zero", np.zeros(case.n)),
    ):
        watch.equal(f"status of a spectrum that is {what}", impl.erg_status(raw), oracles.erg_cut_mpmath(raw).status)
    for raw, status in (
        ([1.0, 2.0, 9.0], "ok"),
        ([3.0] * 5, "flat"),
        ([0.0, 0.0, 7.0], "rank_limited"),
        ([0.0, 0.0], "degenerate"),
    ):
        watch.equal(f"status of {raw}", impl.erg_status(np.array(raw)), status)


@checks.add("ERG-12")
def nothing_is_cut_from_nothing(impl, watch):
    cut = impl.erg_cut(np.zeros(20))
    nothing = cut is None or (cut.rank == 0 and math.isnan(cut.lambda_min))
    watch.that(nothing, f"a zero spectrum has no tail, but {cut} was answered")


@checks.add("ERG-13", d=st.floats(0.01, 0.99).filter(lambda d: abs(d - (math.sqrt(5) - 1) / 2) > 1e-6))
def two_eigenvalues_turn_at_the_golden_ratio(impl, watch, d: float):
    watch.equal("k*", impl.erg_cut(np.array([1 - d, 1 + d])).rank, 1 if d > (math.sqrt(5) - 1) / 2 else 2)


@checks.add("ERG-14", case=spectra(2, 60), copies=st.integers(2, 5))
def copies_multiply_the_cut(impl, watch, case: SpectrumCase, copies: int):
    k0 = oracles.erg_cut_mpmath(case.raw).k0
    rank = impl.erg_cut(np.repeat(case.raw, copies)).rank
    watch.that(copies * k0 <= rank <= copies * k0 + copies, f"{copies} copies of k0 = {k0} are cut at {rank}")


@checks.add("ERG-15", q=st.sampled_from([1.0, 0.5, 0.25]))
def marchenko_pastur_share(impl, watch, q: float):
    truth, n = laws.marchenko_pastur_truth(q), 2000
    raw = ensembles.marchenko_pastur_quantiles(n, q)
    cut = impl.erg_cut(raw)
    watch.close("k*/M", cut.rank / n, truth.erg_fraction, tol=1.5e-3)
    watch.close("unit-mean start", cut.lambda_min / raw.mean(), truth.erg_lambda_min, tol=3e-3)


@checks.add("ERG-16", q=st.sampled_from([1.0, 0.5, 0.25]), seed=st.integers(0, 40), share=0.3)
def marchenko_pastur_share_of_matrices(impl, watch, q: float, seed: int):
    columns = 300
    truth = laws.marchenko_pastur_truth(q)
    raw = impl.eigenvalues(ensembles.gaussian_matrix(round(columns / q), columns, seed))
    cut = impl.erg_cut(raw)
    watch.close("k*/M", cut.rank / columns, truth.erg_fraction, tol=0.012)
    watch.close("unit-mean start", cut.lambda_min / raw.mean(), truth.erg_lambda_min, tol=0.03)


@checks.add("ERG-17", kappa=st.sampled_from([0.1, 0.5, 1.0, 3.0]))
def inverse_marchenko_pastur_share(impl, watch, kappa: float):
    truth, n = laws.inverse_marchenko_pastur_truth(kappa), 1500
    raw = laws.inverse_marchenko_pastur_quantiles(n, kappa)
    cut = impl.erg_cut(raw)
    watch.close("k*/M", cut.rank / n, truth.erg_fraction, tol=4e-3)
    watch.close("unit-mean start", cut.lambda_min / raw.mean(), truth.erg_lambda_min, tol=4e-3)


@checks.add("ERG-18", case=spectra())
def one_sign_change(impl, watch, case: SpectrumCase):
    x, rank = np.sort(case.raw)[::-1] / case.raw.mean(), impl.erg_cut(case.raw).rank
    partial = np.cumsum(np.log(x))
    watch.that(bool((partial[: max(rank - 2, 0)] > -1e-9).all()), "S_k is negative before the cut")
    watch.that(bool((partial[rank + 1 :] < 1e-9).all()), "S_k is positive behind the cut")
    watch.at_most("S_M", float(partial[-1]), 1e-9)


@checks.add("ERG-19", size=st.integers(2, 30), seed=st.integers(0, 1000))
def one_direction_holds_the_whole_trace(impl, watch, size: int, seed: int):
    W = np.outer(ensembles.gaussian_matrix(size, 1, seed), ensembles.gaussian_matrix(size, 1, seed + 1))
    raw = impl.eigenvalues(W)
    watch.close("x_1 / M", raw[-1] / raw.mean() / size, 1.0, tol=1e-12)


@checks.add("ERG-20", case=spectra(), zeros=st.integers(1, 100))
def zeros_count_in_the_mean(impl, watch, case: SpectrumCase, zeros: int):
    raw = np.concatenate([np.zeros(zeros), case.raw])
    truth, cut = oracles.erg_cut_mpmath(raw), impl.erg_cut(raw)
    watch.at_most("|k - k*|", abs(cut.rank - truth.rank), 1)


@checks.add("ERG-21", case=spectra(), zeros=st.integers(1, 100))
def zeros_count_in_the_residual(impl, watch, case: SpectrumCase, zeros: int):
    raw = np.concatenate([np.zeros(zeros), case.raw])
    watch.close("S_k*", impl.log_det(raw), oracles.erg_cut_mpmath(raw).log_det, tol=1e-8)
