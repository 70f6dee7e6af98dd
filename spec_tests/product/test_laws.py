"""Chapter 12: closed laws against quadrature, samples and each other."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import scipy.integrate

import setol_ww as ww
from fixtures import laws as truth
from fixtures.ensembles import marchenko_pastur_quantiles
from setol_ww.theory.laws.free_cauchy import FreeCauchy
from spec_tests.product.test_transforms import by_inversion

LAWS = {
    "MP 1": ww.laws.MarchenkoPastur(1.0),
    "MP .25": ww.laws.MarchenkoPastur(0.25),
    "MP .5 sigma2 3": ww.laws.MarchenkoPastur(0.5, 3.0),
    "IMP .1": ww.laws.InverseMarchenkoPastur(0.1),
    "IMP .5": ww.laws.InverseMarchenkoPastur(0.5),
    "IMP 3": ww.laws.InverseMarchenkoPastur(3.0),
    "TPL 2": ww.laws.TruncatedPowerLaw(2.0, 1.0, 10.0),
    "TPL 1.5": ww.laws.TruncatedPowerLaw(1.5, 0.1, 30.0),
    "TPL 3": ww.laws.TruncatedPowerLaw(3.0, 0.5, 40.0),
    "TPL 4": ww.laws.TruncatedPowerLaw(4.0, 1.0, 5.0),
}


@pytest.mark.parametrize("name", LAWS)
def test_density_has_mass_one_mean_and_distribution(name):
    law = LAWS[name]
    lower, upper = law.support
    middle = (lower + upper) / 2
    mass = sum(scipy.integrate.quad(law.pdf, *ends, limit=300)[0] for ends in ((lower, middle), (middle, upper)))
    mean = scipy.integrate.quad(lambda x: x * law.pdf(x), lower, upper, limit=300)[0]
    assert mass == pytest.approx(1, abs=1e-6)
    assert law.mean == pytest.approx(mean, rel=1e-6)
    assert law.cdf(middle) == pytest.approx(1 - scipy.integrate.quad(law.pdf, middle, upper)[0], abs=1e-8)
    assert law.cdf([lower - 1, upper + 1]).tolist() == pytest.approx([0, 1], abs=1e-12)
    assert law.pdf([lower - 0.01, upper + 1]).tolist() == [0, 0]


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("z", [-0.7, 50.0, 1.3 + 0.4j])
def test_stieltjes_against_quadrature(name, z):
    law = LAWS[name]
    lower, upper = law.support

    def part(take):
        return scipy.integrate.quad(lambda x: take(law.pdf(x) / (z - x)), lower, upper, limit=400)[0]

    want = complex(part(np.real), part(np.imag))
    assert complex(law.stieltjes(z)) == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("share", [0.05, 0.4, 0.9])
def test_r_inverts_stieltjes_and_integrates(name, share):
    law = LAWS[name]
    t = share * getattr(law, "r_limit", 3 / law.support[1])
    blue = law.r_transform(t) + 1 / t
    if blue > law.support[1] * (1 + 1e-6):
        assert law.stieltjes(blue) == pytest.approx(t, rel=1e-8)
    else:  # a hard end: G diverges so slowly that B and the end are nearly one number
        assert law.stieltjes(law.support[1] * (1 + 1e-6)) < t
        assert blue == pytest.approx(law.support[1], rel=2e-6)
    integral = scipy.integrate.quad(law.r_transform, 1e-9 * t, t, epsrel=1e-9, limit=200)[0]
    assert law.integrated_r(t) == pytest.approx(integral, rel=1e-6)


@pytest.mark.parametrize("name", LAWS)
def test_cumulants_are_the_slopes_of_r(name):
    law = LAWS[name]
    kappa = law.free_cumulants(5)
    assert kappa[0] == pytest.approx(law.mean, rel=1e-12)
    assert kappa.size == 5
    t = 1e-3 * min(getattr(law, "r_limit", 1.0), 1 / law.support[1])
    series = sum(kappa[n] * t**n for n in range(5))
    assert law.r_transform(t) == pytest.approx(series, rel=1e-9)


@pytest.mark.parametrize("q", [1.0, 0.5, 0.25])
def test_marchenko_pastur_cut_and_saturation(q):
    law, known = ww.laws.MarchenkoPastur(q), truth.marchenko_pastur_truth(q)
    assert law.erg_fraction == pytest.approx(known.erg_fraction, abs=1e-8)
    assert law.erg_lambda_min == pytest.approx(known.erg_lambda_min, abs=1e-8)
    # The largest of 4000 quantiles stands up to half a percent inside the edge at which R saturates.
    atoms = marchenko_pastur_quantiles(4000, q)
    for factor in (0.5, 3.0):
        t = factor * law.r_limit
        assert law.r_transform(t) == pytest.approx(ww.transforms.r_transform(t, atoms), rel=8e-3)
        assert law.integrated_r(t) == pytest.approx(ww.transforms.integrated_r(t, atoms), rel=8e-3)


@pytest.mark.parametrize("kappa", [0.1, 0.5, 1.0, 3.0])
def test_inverse_marchenko_pastur_cut_and_domain(kappa):
    law, known = ww.laws.InverseMarchenkoPastur(kappa), truth.inverse_marchenko_pastur_truth(kappa)
    assert law.erg_fraction == pytest.approx(known.erg_fraction, abs=1e-8)
    assert law.erg_lambda_min == pytest.approx(known.erg_lambda_min, abs=1e-8)
    assert law.r_limit < kappa / 2
    assert law.integrated_r(kappa / 2) == pytest.approx(law.formal_integrated_r(kappa / 2), rel=1e-12)
    with mpmath.workdps(20):
        want = mpmath.quad(lambda z: (kappa - mpmath.sqrt(kappa * (kappa - 2 * z))) / z, [0, kappa / 4, kappa / 2])
    assert law.integrated_r(kappa / 2) == pytest.approx(float(want), rel=1e-9)
    for refused in (lambda: law.r_transform(kappa), lambda: law.formal_integrated_r(kappa / 4)):
        with pytest.raises(ww.InvalidInput, match="kappa/2"):
            refused()


@pytest.mark.parametrize("alpha", [2.0, 3.0, 4.0, 2.5])
def test_truncated_power_law_moments(alpha):
    law = ww.laws.TruncatedPowerLaw(alpha, 0.5, 20.0)
    for k in range(5):
        assert law.moment(k) == pytest.approx(float(truth.truncated_power_law_moment(k, alpha, 0.5, 20.0)), rel=1e-12)
    a, b = 0.5, 20.0
    second = law.free_cumulants(2)[1]
    if alpha == 2.0:
        assert second == pytest.approx(a * b - law.mean**2, rel=1e-11)
    assert second == pytest.approx(law.moment(2) - law.mean**2, rel=1e-11)


def test_truncated_power_law_known_points():
    """R(.05), R(.3), R(3) of alpha = 2 on [1, 10]: 2.768, 6.667, 9.667 (E45)."""
    law = ww.laws.TruncatedPowerLaw(2.0, 1.0, 10.0)
    np.testing.assert_allclose(law.r_transform([0.05, 0.3, 3.0]), [2.768, 6.667, 9.667], atol=6e-4)


@pytest.mark.parametrize("law", [ww.laws.InverseMarchenkoPastur(0.5), ww.laws.MarchenkoPastur(0.3, 2.0)])
@pytest.mark.parametrize("factor", [0.3, 0.99, 1.5, 20.0])
def test_saturated_r_is_that_of_a_spectrum(law, factor):
    if isinstance(law, ww.laws.MarchenkoPastur):
        atoms = 2 * marchenko_pastur_quantiles(6000, 0.3)
    else:
        atoms = truth.inverse_marchenko_pastur_quantiles(6000, 0.5)
    t = factor * law.r_limit
    gap = law.support[1] - atoms.max()  # the last atom's distance from the edge
    got, want = law.saturated_r(t), ww.transforms.r_transform(t, atoms)
    assert got == pytest.approx(want, abs=gap + 1e-3 * want)
    got, want = law.saturated_integrated_r(t), ww.transforms.integrated_r(t, atoms)
    assert got == pytest.approx(want, abs=gap * t + 1e-3 * want)


def test_the_formal_continuation_is_not_the_spectrum():
    law, t = ww.laws.InverseMarchenkoPastur(0.5), np.array([0.25, 0.7, 4.0])
    formal = law.formal_r(t)
    np.testing.assert_allclose(formal.real, 0.5 / t)
    np.testing.assert_allclose(t * formal**2 - 2 * 0.5 * (formal - 1), 0, atol=1e-12)  # the quadratic of R
    assert law.formal_r(0.25) == pytest.approx(law.r_transform(0.25))
    rise = scipy.integrate.quad(lambda z: law.formal_r(z).real, 0.3, 2.0)[0]
    assert law.formal_integrated_r(2.0) - law.formal_integrated_r(0.3) == pytest.approx(rise)
    assert (law.saturated_r(t[1:]) > 2 * formal.real[1:]).all()


@pytest.mark.parametrize("kappa", [1e-4, 0.5, 1e4])
@pytest.mark.parametrize("u", [1e-12, 1e-5, 2e-3, 0.3, 1.0])
def test_inverse_marchenko_pastur_integral_keeps_its_digits(kappa, u):
    with mpmath.workdps(40):
        want = truth.inverse_marchenko_pastur_integrated_r(mpmath.mpf(u * kappa / 2), kappa)
    assert ww.laws.InverseMarchenkoPastur(kappa).integrated_r(u * kappa / 2) == pytest.approx(float(want), rel=1e-12)


@pytest.mark.parametrize("name", LAWS)
def test_moments_by_quadrature(name):
    law = LAWS[name]
    assert law.moment(0) == pytest.approx(1)
    for k in (1, 2, 5, 9):
        want = truth.expectation(
            type(law).__name__, tuple(vars(law)[key] for key in law.__match_args__), lambda x, k=k: x**k
        )
        assert law.moment(k) == pytest.approx(want, rel=1e-10)


def test_cumulants_of_a_power_law_keep_their_digits():
    for parameters in ((2.0, 1.0, 10.0), (3.0, 1e-8, 1e-6), (1.5, 1.0, 1.01)):
        got = ww.laws.TruncatedPowerLaw(*parameters).free_cumulants(16)
        with mpmath.workdps(80):
            m = [truth.truncated_power_law_moment(k, *parameters) for k in range(1, 17)]
            want = np.array([float(value) for value in by_inversion(m)])
        # Relative to what a law of that width can have: kappa_n is at most of the order of half the width to the n.
        scale = ((parameters[2] - parameters[1]) / 2) ** np.arange(1, 17)
        np.testing.assert_allclose(got[1:] / scale[1:], want[1:] / scale[1:], rtol=0, atol=3e-11)
        assert got[0] == pytest.approx(want[0], rel=1e-14)


EXTREME = [
    ww.laws.MarchenkoPastur(0.9999),
    ww.laws.MarchenkoPastur(1e-6),
    ww.laws.MarchenkoPastur(0.5, 1e-9),
    ww.laws.InverseMarchenkoPastur(1e-3),
    ww.laws.InverseMarchenkoPastur(1e3),
    ww.laws.TruncatedPowerLaw(1.3, 1.0, 1e12),
    ww.laws.TruncatedPowerLaw(2.0, 1e-9, 1e3),
    ww.laws.TruncatedPowerLaw(-2.0, 1.0, 5.0),
    ww.laws.TruncatedPowerLaw(4.0, 1.0, 1.00001),
]


@pytest.mark.parametrize("law", EXTREME, ids=repr)
def test_narrow_wide_and_tiny_laws(law):
    name, parameters = type(law).__name__, tuple(vars(law)[key] for key in law.__match_args__)
    start, mean = law.erg_lambda_min * law.mean, law.mean
    assert law.cdf(law.support[1]) == pytest.approx(1, abs=1e-11)
    assert law.cdf(mean) == pytest.approx(1 - truth.expectation(name, parameters, lambda x: 1.0, mean), abs=1e-9)
    assert truth.expectation(name, parameters, lambda x: math.log(x / mean), start) == pytest.approx(0, abs=1e-9)
    for z in (law.support[1] * 1.5, law.support[1] * 1e7, -law.support[1]):
        want = truth.expectation(name, parameters, lambda x, z=z: 1 / (z - x))
        assert law.stieltjes(z) == pytest.approx(want, rel=1e-11)


@pytest.mark.parametrize("t", [1e-9, 1e-3, 1.0, 100.0])
def test_power_law_integral_is_that_of_its_atoms(t):
    """Cells even in ln x of alpha = 2 on [1, 10], weighted by their mass."""
    ends = np.geomspace(1, 10, 200_001)
    atoms = (ends[1:] * ends[:-1]) ** 0.5
    law = ww.laws.TruncatedPowerLaw(2.0, 1.0, 10.0)
    weights = -np.diff(1 / ends)
    assert law.integrated_r(t) == pytest.approx(ww.transforms.integrated_r(t, atoms, weights), rel=2e-5)
    assert law.r_transform(t) == pytest.approx(ww.transforms.r_transform(t, atoms, weights), rel=2e-5)


def test_free_cauchy():
    law = ww.laws.FreeCauchy(1.0, 0.5)
    z = 2.0 + 0.3j
    G = law.stieltjes(z)
    assert law.r_transform(G) + 1 / G == pytest.approx(z)
    density = -law.stieltjes(0.4 + 1e-9j).imag / math.pi
    assert law.pdf(0.4) == pytest.approx(density, rel=1e-6)
    assert law.cdf(1.0) == pytest.approx(0.5)
    assert law.integrated_r(2.0) == 2 - 1j
    assert law.integrated_r([2j, 1.0]).tolist() == [1 + 2j, 1 - 0.5j]
    assert law.r_transform([2j, 1.0]).tolist() == [1 - 0.5j] * 2
    np.testing.assert_allclose(law.stieltjes([z, 5 + 1j]), [G, 1 / (4 + 1.5j)], rtol=1e-14)
    for z in (2.0, 1 - 1j, [1j, 0j]):
        with pytest.raises(ww.InvalidInput, match="accepted are z with a positive imaginary part"):
            law.stieltjes(z)


def test_levy_wigner_and_multiplicative_wishart_integrate():
    for law in (ww.laws.LevyWigner(1.5), ww.laws.MultiplicativeWishart(0.5, 1.2)):
        rise = scipy.integrate.quad(law.r_transform, 0.2, 1.0)[0]
        assert law.integrated_r(1.0) - law.integrated_r(0.2) == pytest.approx(rise, rel=1e-9)
    law = ww.laws.MultiplicativeWishart(0.5, 1.2)
    kappa = law.free_cumulants(9)
    assert law.r_transform(0.1) == pytest.approx(sum(kappa[n] * 0.1**n for n in range(9)), rel=1e-9)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: ww.laws.FreeCauchy(0, 1).mean, "no mean"),
        (lambda: ww.laws.FreeCauchy(0, 1).moment(2), "no moments"),
        (lambda: ww.laws.LevyWigner(1.5).moment(1), "singular at 0"),
        (lambda: ww.laws.MarchenkoPastur(1.0).moment(1.5), "k=1.5"),
        (lambda: ww.laws.MarchenkoPastur(1.0).stieltjes(0.0), "inside the support"),
        (lambda: ww.laws.InverseMarchenkoPastur(0.5).r_transform(1.0), "saturated_r"),
        (lambda: ww.laws.InverseMarchenkoPastur(0.5).formal_r(0.2), "t >= kappa/2"),
        (lambda: ww.laws.FreeCauchy(0, 1).free_cumulants(2), "no moments"),
        (lambda: ww.laws.FreeCauchy(0, 1).erg_fraction, "below zero"),
        (lambda: ww.laws.LevyWigner(1.5).pdf(1.0), "no closed form"),
        (lambda: ww.laws.LevyWigner(1.5).mean, "singular at 0"),
        (lambda: ww.laws.LevyWigner(2.5), "1 < alpha < 2"),
        (lambda: ww.laws.MultiplicativeWishart(1, 1).erg_lambda_min, "below zero"),
        (lambda: ww.laws.MultiplicativeWishart(1, 1).r_transform(2.0), "below its pole"),
        (lambda: ww.laws.MarchenkoPastur(1.5), "0 < q <= 1"),
        (lambda: ww.laws.MarchenkoPastur(0.5).stieltjes(1.0), "inside the support"),
        (lambda: ww.laws.TruncatedPowerLaw(2, 3, 1), "0 < lower < upper"),
        (lambda: ww.laws.MarchenkoPastur(0.5).r_transform(-1.0), "positive finite"),
    ],
)
def test_what_does_not_exist_says_why(call, reason):
    with pytest.raises(ww.InvalidInput, match=reason):
        call()


def test_a_steep_power_law_saturates():
    """The end of alpha = 40 holds so little that no B stands apart from it."""
    law = ww.laws.TruncatedPowerLaw(40.0, 1.0, 10.0)
    assert law.r_transform(1e-3) == pytest.approx(law.mean, rel=1e-3)
    assert law.mean < law.r_transform(0.1) < 10.0


def test_a_cauchy_law_says_what_it_lacks_and_why():
    law = FreeCauchy(1.0, 0.5)
    for ask, why in (
        (lambda: law.mean, "a Cauchy law has no mean: a is its centre"),
        (lambda: law.moment(1), "a Cauchy law has no moments"),
        (lambda: law.free_cumulants(2), "a Cauchy law has no moments and so no cumulants"),
    ):
        with pytest.raises(ww.InvalidInput) as refused:
            ask()
        assert str(refused.value).endswith(why) or f"{why};" in str(refused.value) or f"{why}," in str(refused.value)


def test_the_pole_itself_is_not_below_the_pole():
    law = ww.laws.MultiplicativeWishart(0.5, 1.2)
    below = np.nextafter(law.r_limit, 0)
    assert law.r_transform(below) > 1e10
    for points in (law.r_limit, [below, law.r_limit]):
        with pytest.raises(ww.InvalidInput, match="below its pole"):
            law.r_transform(points)


LACKING = [
    *(ww.laws.LevyWigner(1.5), ww.laws.MultiplicativeWishart(0.5, 1.2), ww.laws.FreeCauchy(0.0, 1.0)),
    ww.laws.UnevenNoise([1.0, 1.0, 4.0], np.ones(3)),
    *LAWS.values(),
]
ASKED = {
    **{name: (0.1,) for name in ("pdf", "cdf", "stieltjes", "r_transform", "integrated_r")},
    **{"moment": (2,), "free_cumulants": (2,), "mean": None, "support": None},
}


@pytest.mark.parametrize("law", LACKING, ids=lambda law: type(law).__name__)
def test_what_a_law_lacks_is_refused_by_its_name_and_with_its_reason(law):
    assert set(law.lacks) <= set(dir(type(law)))
    for name, why in law.lacks.items():
        if name in ASKED:
            with pytest.raises(ww.InvalidInput) as refused:
                getattr(law, name) if ASKED[name] is None else getattr(law, name)(*ASKED[name])
            assert str(refused.value) == f"{name} of {law!r} was asked; {why}"


def test_what_no_law_has_told_of_is_not_defined():
    law = ww.laws.base.Law()
    for name, asked in ASKED.items():
        with pytest.raises(ww.InvalidInput, match=r" of .* was asked; it is not defined for this law$") as refused:
            getattr(law, name) if asked is None else getattr(law, name)(*asked)
        assert str(refused.value).split(" ")[0] in (name, "free_cumulants")


@pytest.mark.parametrize("law", [LAWS["MP .25"], LAWS["IMP .5"]], ids=["MP", "IMP"])
def test_a_wrong_number_of_cumulants_is_refused_by_its_name(law):
    for wrong in (0, -1, 1.5, True, "2"):
        with pytest.raises(ww.InvalidInput, match=f"^n={wrong!r} was asked"):
            law.free_cumulants(wrong)


@pytest.mark.parametrize("kappa", [0.0, -1.0, math.inf, math.nan])
def test_an_inverse_law_has_a_positive_finite_parameter(kappa):
    with pytest.raises(ww.InvalidInput, match="was asked; accepted"):
        ww.laws.InverseMarchenkoPastur(kappa)
    assert ww.laws.InverseMarchenkoPastur(1e-6).mean == pytest.approx(1)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 2.5, math.nan])
def test_a_levy_law_has_an_index_between_one_and_two(alpha):
    with pytest.raises(ww.InvalidInput, match="accepted is 1 < alpha < 2"):
        ww.laws.LevyWigner(alpha)
    assert ww.laws.LevyWigner(1.001).alpha == 1.001


def test_every_law_that_is_named_is_there():
    assert all(hasattr(ww.laws, name) for name in ww.laws.__all__)
