"""The checks of the chapter's clauses."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from fixtures import free_probability
from spec_tests.runner import checks
from spec_tests.strategies import SpectrumCase, spectra

LEADING = spectra(1, 8, ("Pareto", "lognormal", "uniform"))


def leading(case: SpectrumCase) -> np.ndarray:
    """Unit-mean eigenvalues, taken as those of an ECS."""
    return case.raw / case.raw.mean()


@checks.add("QUAL-01", case=LEADING, extra=st.integers(0, 20))
def exact_quality(impl, watch, case: SpectrumCase, extra: int):
    x = leading(case)
    truth = float(free_probability.quality_exact(x, x.size + extra))
    watch.near("q2", impl.quality(x, x.size + extra), truth, rel=1e-9)


@checks.add("QUAL-02", case=LEADING, extra=st.integers(0, 20))
def quality_lies_between_its_bounds(impl, watch, case: SpectrumCase, extra: int):
    x, N = leading(case), case.n + extra
    q2 = impl.quality(x, N)
    watch.at_most("(sum x)^2 / N - q2", x.sum() ** 2 / N - q2, 1e-9 * q2)
    watch.at_most("q2 - x_1 sum x", q2 - x.max() * x.sum(), 1e-9 * q2)


@checks.add("QUAL-03", case=LEADING)
def full_square_spectrum_is_schur_convex(impl, watch, case: SpectrumCase):
    x = leading(case)
    q2, nearer = impl.quality(x, x.size), impl.quality((x + 1) / 2, x.size)
    watch.at_most("M - q2", x.size - q2, 1e-9 * x.size)
    watch.at_most("a majorised spectrum has more by", nearer - q2, 1e-9 * q2)
    watch.near("flat spectrum", impl.quality(np.ones(x.size), x.size), x.size, rel=1e-10)


@checks.add("QUAL-04", case=spectra(20, 60, ("uniform",)), share=0.15)
def series_is_right_inside_its_domain(impl, watch, case: SpectrumCase):
    x = leading(case)
    k, rho = x.size, x.max() ** 2 / x.size
    if rho < 0.3:
        exact = sum(float(free_probability.integrated_r_closed(value / k, x)) for value in x)
        watch.near("series over exact", impl.quality_series(x) / exact, 1.0, rel=1e-2)


@checks.add("QUAL-05", case=LEADING)
def series_is_equation_163(impl, watch, case: SpectrumCase):
    x = leading(case)
    watch.near("q2_series5", impl.quality_series(x), float(free_probability.q2_series5(x)), rel=1e-9)


@checks.add("QUAL-06", case=spectra(30, 300), pad=st.sampled_from([0.0, 0.5, 3.0]), share=0.5)
def long_spectra(impl, watch, case: SpectrumCase, pad: float):
    x = leading(case)
    N = x.size + round(pad * x.size)
    watch.near("q2", impl.quality(x, N), free_probability.quality_by_roots(x, N), rel=1e-10)
    watch.near("q2_norm", impl.quality_norm(x), free_probability.quality_by_roots(x, divisor=x.size), rel=1e-10)


@checks.add("QUAL-07", case=LEADING)
def normed_quality(impl, watch, case: SpectrumCase):
    x = leading(case)
    exact = sum(float(free_probability.integrated_r_closed(value / x.size, x)) for value in x)
    watch.near("q2_norm", impl.quality_norm(x), exact, rel=1e-9)
    watch.at_most("kappa_1^2 - q2_norm", x.mean() ** 2 - impl.quality_norm(x), 1e-9 * exact)
    watch.near("flat spectrum", impl.quality_norm(np.full(x.size, 1.5)), 2.25, rel=1e-10)


@checks.add("QUAL-08", case=spectra(4, 60, ("Pareto", "lognormal", "uniform")), share_kept=st.floats(0.1, 1))
def published_quality(impl, watch, case: SpectrumCase, share_kept: float):
    n = max(2, round(share_kept * case.n))
    truth = free_probability.figure_24(case.raw, n)
    watch.near("q2_paper", impl.quality_paper(case.raw, n), truth, rel=1e-9)
    watch.near("q2_paper of 1e3 W", impl.quality_paper(1e6 * case.raw, n), truth, rel=1e-9)


@checks.add("QUAL-09", case=LEADING, extra=st.integers(0, 9), copies=st.integers(2, 4), share=0.3)
def padding_and_repetition(impl, watch, case: SpectrumCase, extra: int, copies: int):
    x = leading(case)
    N = x.size + extra
    q2 = impl.quality(x, N)
    watch.at_most("q2 rises under padding by", impl.quality(x, N + 5) - q2, 1e-9 * q2)
    watch.near("copies", impl.quality(np.repeat(x, copies), copies * N), copies * q2, rel=1e-9)
