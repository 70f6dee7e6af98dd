"""The checks of the chapter's clauses."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from fixtures import ensembles
from spec_tests.runner import checks
from spec_tests.strategies import SCALES, SpectrumCase, spectra


@checks.add("MEET-01", case=spectra(20, 150))
def hill_erg_identity(impl, watch, case: SpectrumCase):
    fit, both = impl.tail_fit(case.raw), impl.meeting(case.raw)
    identity = 1 / (fit.alpha - 1) + math.log(fit.lambda_min / case.raw.mean())
    watch.close("mean ln x of the power-law tail", both.erg_metric, identity, tol=1e-10 * (1 + abs(identity)))


@checks.add("MEET-02", case=spectra(20, 150))
def signs_agree(impl, watch, case: SpectrumCase):
    both = impl.meeting(case.raw)
    watch.that(math.isfinite(both.rank_gap), f"the rank gap is {both.rank_gap}")
    if abs(both.rank_gap) >= 2:
        watch.equal("sign of the mean ln x", np.sign(both.erg_metric), np.sign(both.rank_gap))
        watch.equal("sign of delta_lambda_min", np.sign(both.delta_lambda_min), np.sign(both.rank_gap))


@checks.add("MEET-03", case=spectra(20, 150))
def delta_follows_the_gap(impl, watch, case: SpectrumCase):
    both = impl.meeting(case.raw)
    if both.rank_gap == 0:
        watch.close("delta_lambda_min", both.delta_lambda_min, 0.0, tol=1e-12)
    else:
        watch.that(both.delta_lambda_min * both.rank_gap >= 0, f"delta and gap of opposite sign: {both}")


@checks.add("MEET-04", case=spectra(20, 150))
def delta_is_power_law_minus_erg(impl, watch, case: SpectrumCase):
    fit, cut = impl.tail_fit(case.raw), impl.erg_cut(case.raw)
    want = (fit.lambda_min - cut.lambda_min) / case.raw.mean()
    watch.close("delta_lambda_min", impl.meeting(case.raw).delta_lambda_min, want, tol=1e-10 * (1 + abs(want)))
    watch.equal("rank gap", impl.meeting(case.raw).rank_gap, cut.rank - fit.rank)


@checks.add("MEET-05", layer=st.sampled_from([(60, 160, 2.0), (100, 300, 2.0), (200, 600, 2.0), (100, 175, 2.5)]))
def the_ideal_layer_meets(impl, watch, layer):
    k, M, alpha = layer
    raw = ensembles.ideal_layer_eigenvalues(k, M, alpha)
    both = impl.meeting(raw)
    watch.close("delta_lambda_min", both.delta_lambda_min, 0.0, tol=1e-10)
    watch.close("mean ln x", both.erg_metric, 0.0, tol=1e-10)
    watch.close("alpha_erg", both.alpha_erg, alpha, tol=1e-9)
    watch.close("start of the tail", impl.tail_fit(raw).lambda_min, math.exp(-1 / (alpha - 1)), tol=1e-10)


@checks.add("MEET-06", case=spectra(5, 150))
def alpha_erg_is_the_hill_estimate_of_the_cut(impl, watch, case: SpectrumCase):
    cut = impl.erg_cut(case.raw)
    top = np.sort(case.raw)[-cut.rank :]
    spread = np.sum(np.log(top / top[0]))
    if spread > 1e-9:
        watch.near("alpha_erg", impl.meeting(case.raw).alpha_erg, 1 + cut.rank / spread, rel=1e-9)


@checks.add("MEET-07", case=spectra(20, 100), scale=SCALES)
def all_of_it_is_scale_free(impl, watch, case: SpectrumCase, scale: float):
    one, other = impl.meeting(case.raw), impl.meeting(case.raw * scale)
    watch.close(
        "delta_lambda_min", other.delta_lambda_min, one.delta_lambda_min, tol=1e-9 * (1 + abs(one.delta_lambda_min))
    )
    watch.close("mean ln x", other.erg_metric, one.erg_metric, tol=1e-9)
    watch.equal("rank gap", other.rank_gap, one.rank_gap)


@checks.add("MEET-08")
def states(impl, watch):
    for raw, state in (
        (ensembles.ideal_layer_eigenvalues(200, 600), "ideal"),
        # Eigenvalues without a shape are those of a square matrix.
        (ensembles.marchenko_pastur_quantiles(2000, 1.0), "under-trained"),
        (ensembles.power_law_quantiles(2000, 1.4), "over-regularized"),
        (np.full(50, 2.0), "undetermined"),
        (np.geomspace(1, 1.5, 500), "undetermined"),
    ):
        watch.equal("state", impl.state(raw), state)


@checks.add("MEET-09", case=spectra(20, 120), zeros=st.integers(1, 60))
def zeros_enter_through_the_mean(impl, watch, case: SpectrumCase, zeros: int):
    raw = np.concatenate([np.zeros(zeros), case.raw])
    fit, cut, both = impl.tail_fit(raw), impl.erg_cut(raw), impl.meeting(raw)
    want = (fit.lambda_min - cut.lambda_min) / raw.mean()
    watch.close("delta_lambda_min", both.delta_lambda_min, want, tol=1e-10 * (1 + abs(want)))
    identity = 1 / (fit.alpha - 1) + math.log(fit.lambda_min / raw.mean())
    watch.close("mean ln x of the power-law tail", both.erg_metric, identity, tol=1e-9 * (1 + abs(identity)))
