"""The checks of the chapter's clauses."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy.integrate import quad

from fixtures import free_probability
from fixtures import laws as truth
from fixtures.ensembles import marchenko_pastur_quantiles
from spec_tests.runner import checks
from spec_tests.strategies import SpectrumCase, _Sentence, spectra

NODES, WEIGHTS = np.polynomial.legendre.leggauss(60)


@dataclass(frozen=True, repr=False)
class LawCase(_Sentence):
    """A law on an interval, in a sentence."""

    name: str
    parameters: tuple[float, ...]

    def __repr__(self) -> str:
        return f"{self.name}{self.parameters}"

    def of(self, impl: Any) -> Any:
        """The law of an implementation."""
        return impl.law(self.name, *self.parameters)

    @property
    def ends(self) -> tuple[float, float]:
        """Of the support."""
        return truth.law_ends(self.name, self.parameters)

    @property
    def middle(self) -> float:
        """A point inside."""
        return 0.7 * self.ends[0] + 0.3 * self.ends[1]

    def mean_of(self, function: Any, start: float | None = None) -> Any:
        """Under the density, by quadrature."""
        return truth.expectation(self.name, self.parameters, function, start)

    @property
    def edge(self) -> float:
        """G at a soft upper edge, up to which R is analytic; for a hard end a t of the same order."""
        upper = self.ends[1]
        return self.mean_of(lambda x: 1 / (upper - x)) if self.name != "TruncatedPowerLaw" else 3 / upper


POWERS = st.integers(-4, 4).map(lambda power: 2.0**power)
MARCHENKO_PASTUR = st.tuples(st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.9, 1.0]), POWERS).map(
    lambda parameters: LawCase("MarchenkoPastur", parameters)
)
INVERSE = st.sampled_from([0.05, 0.1, 0.5, 1.0, 3.0, 20.0]).map(
    lambda kappa: LawCase("InverseMarchenkoPastur", (kappa,))
)
POWER_LAW = st.tuples(
    st.integers(2, 20).map(lambda quarters: quarters / 4), POWERS, st.sampled_from([1.5, 10.0, 300.0])
).map(lambda drawn: LawCase("TruncatedPowerLaw", (drawn[0], drawn[1], drawn[1] * drawn[2])))
LAWS = st.one_of(MARCHENKO_PASTUR, INVERSE, POWER_LAW)
#: Without those whose variance, or largest values, are those of a few atoms.
MILD = st.one_of(
    MARCHENKO_PASTUR,
    INVERSE.filter(lambda case: case.parameters[0] >= 0.5),
    POWER_LAW.filter(lambda case: case.parameters[2] < 100 * case.parameters[1]),
)


def atoms(case: LawCase, n: int) -> tuple[np.ndarray, np.ndarray]:
    """n atoms of a law and their weights: quantiles, or for a power law the middles of cells even in ln x."""
    if case.name == "MarchenkoPastur":
        return case.parameters[1] * marchenko_pastur_quantiles(n, case.parameters[0]), np.full(n, 1 / n)
    if case.name == "InverseMarchenkoPastur":
        return truth.inverse_marchenko_pastur_quantiles(n, *case.parameters), np.full(n, 1 / n)
    ends = np.geomspace(case.ends[0], case.ends[1], n + 1)
    alpha = case.parameters[0]
    mass = np.diff(np.log(ends) if alpha == 1 else ends ** (1 - alpha) / (1 - alpha))
    return np.sqrt(ends[1:] * ends[:-1]), mass / mass.sum()


@checks.add("LAW-01", case=LAWS, places=st.lists(st.floats(0.01, 0.99), min_size=3, max_size=3))
def density_has_mass_one(impl, watch, case: LawCase, places: list[float]):
    law, (lower, upper) = case.of(impl), case.ends
    watch.close("support over its end", np.array(law.support) / upper, np.array([lower, upper]) / upper, tol=1e-12)
    watch.equal("density outside", [law.pdf(0.99 * lower - 0.01 * upper), law.pdf(1.01 * upper)], [0, 0])
    density = {
        "MarchenkoPastur": truth.marchenko_pastur_density,
        "InverseMarchenkoPastur": truth.inverse_marchenko_pastur_density,
        "TruncatedPowerLaw": truth.truncated_power_law_density,
    }[case.name]
    for place in places:
        x = lower + place * (upper - lower)
        watch.near("density", law.pdf(x), float(density(x, *case.parameters)), rel=1e-10)
    # In x = u^2 no density of these has more than a root at its ends, and the rule has no node there.
    corners = np.sqrt(lower + (upper - lower) * np.linspace(0, 1, 40) ** 3)
    mass = 0.0
    for first, last in itertools.pairwise(corners):
        u = first + (last - first) * (NODES + 1) / 2
        mass += np.sum(WEIGHTS * [law.pdf(float(x)) for x in u * u] * 2 * u) * (last - first) / 2
    watch.close("mass", mass, 1.0, tol=1e-5)


@checks.add("LAW-02", case=LAWS, places=st.lists(st.floats(-0.1, 1.1), min_size=3, max_size=3))
def distribution_function_is_the_integral(impl, watch, case: LawCase, places: list[float]):
    law, (lower, upper) = case.of(impl), case.ends
    for place in places:
        x = lower + place * (upper - lower)
        watch.close("distribution function", law.cdf(x), 1 - case.mean_of(lambda y: 1.0, x), tol=1e-9)
    watch.close("at the ends", [law.cdf(lower), law.cdf(upper)], [0, 1], tol=1e-12)


@checks.add("LAW-03", case=LAWS)
def moments_by_quadrature(impl, watch, case: LawCase):
    law = case.of(impl)
    watch.near("mean", law.mean, case.mean_of(lambda x: x), rel=1e-10)
    for k in range(7):
        watch.near(f"moment {k}", law.moment(k), case.mean_of(lambda x, k=k: x**k), rel=1e-9)
    if case.name == "MarchenkoPastur":
        q, sigma2 = case.parameters
        watch.near("sixth moment", law.moment(6), float(truth.marchenko_pastur_moment(6, q)) * sigma2**6, rel=1e-10)


@checks.add("LAW-04", case=LAWS, place=st.floats(0.05, 3), angle=st.floats(0.2, 3))
def stieltjes_by_quadrature(impl, watch, case: LawCase, place: float, angle: float):
    law, (lower, upper) = case.of(impl), case.ends
    turned = case.middle + place * upper * complex(math.cos(angle), math.sin(angle))
    for z in (upper * (1 + place), -upper * place, lower * 0.5 - 0.01 * upper, turned):
        want = case.mean_of(lambda x, z=z: 1 / (z - x))
        got = complex(law.stieltjes(z))
        watch.near("G", [got.real, got.imag], [complex(want).real, complex(want).imag], rel=1e-8)
    far = 1e6 * upper
    watch.near("z G far out", far * law.stieltjes(far), 1 + law.mean / far, rel=1e-11)


@checks.add("LAW-05", case=LAWS, share=0.5, part=st.floats(0.02, 0.95))
def r_inverts_stieltjes(impl, watch, case: LawCase, part: float):
    law, t = case.of(impl), part * case.edge
    B = law.r_transform(t) + 1 / t
    upper = case.ends[1]
    # At a hard end B can be as near to it as rounding: then G just before it has to be smaller.
    if B > upper * (1 + 1e-6):
        watch.near("G(R(t) + 1/t)", law.stieltjes(B), t, rel=1e-8)
    else:
        watch.that(case.name == "TruncatedPowerLaw", f"B is {B}, inside a soft edge {upper}")
        watch.near("B", B, upper, rel=2e-6)
        watch.at_most("G outside", law.stieltjes(upper * (1 + 1e-5)), t)


@checks.add("LAW-06", case=LAWS, share=0.5, part=st.floats(0.02, 0.95))
def integral_is_that_of_r(impl, watch, case: LawCase, part: float):
    law, t = case.of(impl), part * case.edge
    # A light power law has a bend in R where B comes near its end: adaptive quadrature finds it.
    total = quad(law.r_transform, 0, t, epsabs=1e-9 * t * case.ends[0], epsrel=1e-9, limit=200)[0]
    watch.near("integral of R", law.integrated_r(t), total, rel=1e-8)
    mean, upper = case.mean_of(lambda x: x), case.ends[1]
    watch.at_most("mean t - H", mean * t - law.integrated_r(t), 1e-9 * t * upper)
    watch.at_most("H - upper t", law.integrated_r(t) - upper * t, 1e-9 * t * upper)


@checks.add("LAW-07", case=LAWS)
def cumulants_are_those_of_the_moments(impl, watch, case: LawCase):
    law, upper = case.of(impl), case.ends[1]
    moments = [case.mean_of(lambda x, k=k: x**k) for k in range(1, 7)]
    wanted = free_probability.free_cumulants_by_enumeration(moments)
    got = list(law.free_cumulants(6))
    for n in range(1, 7):
        watch.close(f"kappa_{n} over upper^n", got[n - 1] / upper**n, wanted[n - 1] / upper**n, tol=1e-10)
    closed = {
        "MarchenkoPastur": lambda n, q, sigma2: q ** (n - 1) * sigma2**n,
        "InverseMarchenkoPastur": lambda n, kappa: truth.catalan(n - 1) / (2 * kappa) ** (n - 1),
    }.get(case.name)
    if closed:
        for n in range(1, 7):
            watch.near(f"kappa_{n}", got[n - 1], closed(n, *case.parameters), rel=1e-11)


@checks.add("LAW-08", case=LAWS)
def erg_cut_of_a_law(impl, watch, case: LawCase):
    law, mean = case.of(impl), case.mean_of(lambda x: x)
    start = law.erg_lambda_min * mean
    watch.that(
        case.ends[0] <= start <= mean, f"the ERG tail starts at {start / mean}, outside the law or above its mean"
    )
    watch.close("mean ln x over the ERG tail", case.mean_of(lambda x: math.log(x / mean), start), 0.0, tol=1e-8)
    watch.close("ERG fraction", law.erg_fraction, case.mean_of(lambda x: 1.0, start), tol=1e-9)


@checks.add("LAW-09")
def known_erg_cuts(impl, watch):
    for name, parameter, fraction, start in (
        ("MarchenkoPastur", 1.0, 0.7311, 0.1812),
        ("MarchenkoPastur", 0.5, 0.8145, 0.3117),
        ("MarchenkoPastur", 0.25, 0.8699, 0.4336),
        ("InverseMarchenkoPastur", 0.1, 0.480, 0.2513),
        ("InverseMarchenkoPastur", 0.5, 0.711, 0.3669),
        ("InverseMarchenkoPastur", 1.0, 0.791, 0.4377),
        ("InverseMarchenkoPastur", 3.0, 0.881, 0.5652),
    ):
        law = impl.law(name, parameter)
        watch.close(f"ERG fraction of {name} {parameter}", law.erg_fraction, fraction, tol=6e-4)
        watch.close(f"ERG start of {name} {parameter}", law.erg_lambda_min, start, tol=6e-5)


@checks.add("LAW-10", case=MILD, share=0.3, part=st.sampled_from([0.1, 0.4, 0.8]))
def atoms_follow_their_law(impl, watch, case: LawCase, part: float):
    law, (x, weights) = case.of(impl), atoms(case, 400)
    # Nearer to a hard end than 1/upper, R is that of the last few atoms.
    t = part * min(case.edge, 1.5 / case.ends[1])
    below = np.cumsum(weights) - weights / 2
    watch.close("distribution function at the atoms", [law.cdf(float(v)) for v in x[::25]], below[::25], tol=2e-3)
    watch.near("R of the law", law.r_transform(t), impl.r_transform(t, x, weights), rel=2e-2)
    watch.near("integral of R of the law", law.integrated_r(t), impl.integrated_r(t, x, weights), rel=1e-2)
    mean = float(weights @ x)
    watch.near("kappa_2 of the law", law.free_cumulants(2)[1], float(weights @ (x - mean) ** 2), rel=2e-2)
    tail = x >= law.erg_lambda_min * law.mean
    watch.close("mass of atoms in the ERG tail", weights[tail].sum(), law.erg_fraction, tol=2 * weights.max())
    watch.close("mean ln x of these atoms", weights[tail] @ np.log(x[tail] / mean), 0.0, tol=2e-2)


@checks.add("LAW-11", case=MARCHENKO_PASTUR, share=0.5, beyond=st.sampled_from([1.001, 1.5, 4.0, 30.0]))
def saturation_beyond_the_edge(impl, watch, case: LawCase, beyond: float):
    law, t, upper = case.of(impl), beyond * case.edge, case.ends[1]
    watch.near("R", law.r_transform(t), upper - 1 / t, rel=1e-10)
    watch.near("R at the edge", law.r_transform(case.edge), upper - 1 / case.edge, rel=1e-6)
    grown = upper * (t - case.edge) - math.log(beyond)
    watch.near("integral of R", law.integrated_r(t), law.integrated_r(case.edge * (1 - 1e-9)) + grown, rel=1e-7)
    x, _ = atoms(case, 400)
    inside = (upper - x.max()) + 1 / (400 * t)
    off = law.r_transform(t) - impl.r_transform(t, x)
    watch.close("R of the law - R of atoms", off, 0.0, tol=inside + 1e-9 * upper)


@checks.add("LAW-12", case=INVERSE, share=0.3)
def domain_of_inverse_marchenko_pastur(impl, watch, case: LawCase):
    law, (kappa,), upper = case.of(impl), case.parameters, case.ends[1]
    edge = (kappa + 1 - kappa / upper) / upper
    # G leaves the edge with a root: half the digits of the edge.
    watch.near("G at the upper edge", law.stieltjes(upper), edge, rel=1e-6)
    watch.that(law.stieltjes(upper) < kappa / 2, "G at the upper edge is not below kappa/2")
    watch.near("R at the branch point", law.r_transform(kappa / 2), 2.0, rel=1e-9)
    closed = 2 * kappa * (1 - math.log(2))
    watch.near("integral at the branch point", law.integrated_r(kappa / 2), closed, rel=1e-9)
    for t in (kappa / 2, kappa, 7 * kappa):
        formal = closed + kappa * math.log(2 * t / kappa)
        watch.near("formal continuation", law.formal_integrated_r(t), formal, rel=1e-10)
    refused(watch, "R past the branch point", lambda: law.r_transform(kappa))
    # A spectrum's own R is real there and saturates; the paper's real part is kappa/t.
    x = truth.inverse_marchenko_pastur_quantiles(400, kappa)
    t = 20 * edge
    R = impl.r_transform(t, x)
    watch.near("R of atoms past the edge", R, x.max() - 1 / t, rel=2e-2)
    watch.at_most("twice the paper's real part", 2 * kappa / t, R)


@checks.add("LAW-13", case=LAWS, share=0.5, c=POWERS, part=st.floats(0.05, 0.9))
def laws_scale(impl, watch, case: LawCase, c: float, part: float):
    if case.name == "MarchenkoPastur":
        larger = impl.law(case.name, case.parameters[0], c * case.parameters[1])
    elif case.name == "TruncatedPowerLaw":
        larger = impl.law(case.name, case.parameters[0], *(c * end for end in case.parameters[1:]))
    else:  # x = (1 - q)/y with y of Marchenko-Pastur, q = 1/(1 + 2 kappa)
        q = 1 / (1 + 2 * case.parameters[0])
        law, direct = case.of(impl), impl.law("MarchenkoPastur", q, c)
        x = case.middle
        watch.close("distribution of the inverse", law.cdf(x), 1 - direct.cdf(c * (1 - q) / x), tol=1e-9)
        watch.near("density of the inverse", law.pdf(x), direct.pdf(c * (1 - q) / x) * c * (1 - q) / x**2, rel=1e-9)
        return
    law, t, x = case.of(impl), part * case.edge, case.middle
    watch.near("density", larger.pdf(c * x), law.pdf(x) / c, rel=1e-9)
    watch.near("G", larger.stieltjes(c * 2 * case.ends[1]), law.stieltjes(2 * case.ends[1]) / c, rel=1e-9)
    watch.near("R", larger.r_transform(t / c), c * law.r_transform(t), rel=1e-9)
    watch.near("integral of R", larger.integrated_r(t / c), law.integrated_r(t), rel=1e-8)
    kappa = np.array(law.free_cumulants(4))
    watch.near(
        "cumulants", larger.free_cumulants(4) / (c * x) ** np.arange(1, 5), kappa / x ** np.arange(1, 5), rel=1e-9
    )
    watch.near("ERG start", larger.erg_lambda_min, law.erg_lambda_min, rel=1e-8)
    watch.near("ERG fraction", larger.erg_fraction, law.erg_fraction, rel=1e-8)


@checks.add("LAW-14", a=POWERS, ratio=st.floats(1.2, 200), alpha=st.sampled_from([2, 3, 4]))
def truncated_power_laws_of_the_appendix(impl, watch, a: float, ratio: float, alpha: int):
    b = a * ratio
    law, log = impl.law("TruncatedPowerLaw", float(alpha), a, b), math.log(ratio)
    constant = {2: a * b / (b - a), 3: 2 * a**2 * b**2 / (b**2 - a**2), 4: 3 * a**3 * b**3 / (b**3 - a**3)}[alpha]
    first = {2: constant * log, 3: 2 * a * b / (a + b), 4: constant * (a**-2 - b**-2) / 2}[alpha]
    second = {2: a * b, 3: constant * log, 4: constant * (1 / a - 1 / b)}[alpha] - first**2
    watch.near("density at the lower end", law.pdf(1.0000001 * a), constant * (1.0000001 * a) ** -alpha, rel=1e-9)
    watch.near("kappa_1", law.free_cumulants(2)[0], first, rel=1e-11)
    watch.close("kappa_2 over b^2", law.free_cumulants(2)[1] / b**2, second / b**2, tol=1e-12)
    t = 1e-4 / b
    watch.near("slope of R at 0", (law.r_transform(t) - first) / t / b**2, second / b**2, rel=2e-3)


@checks.add("LAW-15")
def hard_end_of_a_power_law(impl, watch):
    law = impl.law("TruncatedPowerLaw", 2.0, 1.0, 10.0)
    for t, want in ((0.05, 2.768), (0.3, 6.667), (3.0, 9.667)):
        watch.close(f"R({t})", law.r_transform(t), want, tol=6e-4)
    grid = [law.r_transform(t) for t in np.geomspace(1e-3, 30, 12)]
    watch.that(bool(np.all(np.diff(grid) > 0)) and grid[-1] < 10, "R does not rise to the upper end from below")
    kappa = law.free_cumulants(2)
    watch.that(kappa[0] + 3 * kappa[1] > 10 > grid[-1], "two terms of the series do not exceed the upper end at t = 3")


@checks.add("LAW-16", a=st.floats(-3, 3), gamma=st.floats(0.1, 3), x=st.floats(-5, 5), y=st.floats(0.1, 3))
def free_cauchy(impl, watch, a: float, gamma: float, x: float, y: float):
    law, z = impl.law("FreeCauchy", a, gamma), complex(x, y)
    G = complex(law.stieltjes(z))
    watch.close("G", [G.real, G.imag], _parts(1 / (z - a + 1j * gamma)), tol=1e-12)
    for t in (0.2, 5.0):
        watch.close("R", _parts(law.r_transform(t)), [a, -gamma], tol=1e-12)
        watch.close("integral of R", _parts(law.integrated_r(t)), [a * t, -gamma * t], tol=1e-11)
    watch.close("density", law.pdf(x), -complex(law.stieltjes(complex(x, 1e-9))).imag / math.pi, tol=1e-6)
    watch.close("quartiles", [law.cdf(a - gamma), law.cdf(a), law.cdf(a + gamma)], [0.25, 0.5, 0.75], tol=1e-12)


@checks.add("LAW-17", epsilon=st.floats(0.2, 4), phi=st.floats(0.1, 2), part=st.floats(0.05, 0.7))
def multiplicative_wishart(impl, watch, epsilon: float, phi: float, part: float):
    law = impl.law("MultiplicativeWishart", epsilon, phi)
    kappa, jump, t = list(law.free_cumulants(8)), phi * math.sqrt(epsilon / 2), part / (phi * math.sqrt(epsilon / 2))
    watch.close("odd cumulants", kappa[0::2], [0.0] * 4, tol=1e-12)
    watch.near("even cumulants", kappa[1::2], [jump ** (2 * n) / phi for n in range(1, 5)], rel=1e-10)
    watch.close("mean", law.mean, 0.0, tol=1e-12)
    watch.near("fourth moment", law.moment(4), kappa[3] + 2 * kappa[1] ** 2, rel=1e-10)
    watch.near("R", law.r_transform(t), epsilon * phi * t / (2 - epsilon * phi**2 * t**2), rel=1e-10)
    watch.near("integral of R", law.integrated_r(t), -math.log(1 - epsilon * (phi * t) ** 2 / 2) / (2 * phi), rel=1e-10)
    if phi <= 0.5:  # the difference of two free Marchenko-Pastur laws
        one = np.array(impl.law("MarchenkoPastur", 2 * phi, math.sqrt(epsilon / 8)).free_cumulants(8))
        watch.close("cumulants of a difference", kappa, one + (-1.0) ** np.arange(1, 9) * one, tol=1e-10 * max(kappa))
    refused(watch, "R past its pole", lambda: law.r_transform(1.01 / jump))


@checks.add("LAW-18", alpha=st.floats(1.05, 1.95), t=st.floats(0.01, 10))
def levy_wigner(impl, watch, alpha: float, t: float):
    law = impl.law("LevyWigner", alpha)
    watch.near("R", law.r_transform(t), (alpha - 1) * t ** (alpha - 2), rel=1e-11)
    watch.near("integral of R", law.integrated_r(t), t ** (alpha - 1), rel=1e-11)


@checks.add("LAW-19")
def levy_wigner_is_the_positive_free_stable_law_mirrored(impl, watch):
    law, x = impl.law("LevyWigner", 1.5), truth.positive_free_stable_quantiles(500)
    for t in (0.5, 2.0, 8.0):
        watch.near("R at -t", -impl.r_transform(t, -x), law.r_transform(t), rel=5e-3)
        watch.near("integral from -t to 0", -impl.integrated_r(t, -x), law.integrated_r(t), rel=3e-2)


@checks.add("LAW-20", kappa=st.floats(0.05, 5), alpha=st.floats(1.05, 1.95))
def what_does_not_exist_is_refused(impl, watch, kappa: float, alpha: float):
    cauchy, levy = impl.law("FreeCauchy", 0.0, kappa), impl.law("LevyWigner", alpha)
    wishart = impl.law("MultiplicativeWishart", 1.0, kappa)
    for what, ask in {
        "mean of free Cauchy": lambda: cauchy.mean,
        "moment of free Cauchy": lambda: cauchy.moment(2),
        "cumulants of free Cauchy": lambda: cauchy.free_cumulants(2),
        "ERG cut of free Cauchy": lambda: cauchy.erg_fraction,
        "mean of Levy-Wigner": lambda: levy.mean,
        "cumulants of Levy-Wigner": lambda: levy.free_cumulants(2),
        "ERG cut of multiplicative Wishart": lambda: wishart.erg_lambda_min,
        "Marchenko-Pastur with q > 1": lambda: impl.law("MarchenkoPastur", 1 + kappa, 1.0),
        "inverse Marchenko-Pastur with kappa < 0": lambda: impl.law("InverseMarchenkoPastur", -kappa),
        "a power law with its ends exchanged": lambda: impl.law("TruncatedPowerLaw", alpha, 2.0, 1.0),
        "free Cauchy without width": lambda: impl.law("FreeCauchy", 0.0, 0.0),
        "Levy-Wigner with alpha > 2": lambda: impl.law("LevyWigner", 2 + kappa),
    }.items():
        refused(watch, what, ask)


@checks.add("LAW-21", case=spectra(5, 200, ("Pareto", "lognormal", "uniform")), part=st.floats(0.05, 1.0))
def quality_of_inverse_marchenko_pastur(impl, watch, case: SpectrumCase, part: float):
    x = np.sort(case.raw / case.raw.mean())[::-1]
    raw = x[::-1].copy()
    cut, both = impl.erg_cut(raw), impl.meeting(raw)
    watch.that(cut is not None, "no cut")
    tail = x[: cut.rank]
    kappa = 2 * part * tail[-1]
    law = impl.law("InverseMarchenkoPastur", kappa)
    at_start = law.formal_integrated_r(float(tail[-1]))
    q2 = sum(law.formal_integrated_r(float(value)) - at_start for value in tail)
    log_det = float(np.sum(np.log(tail)))
    scale = kappa * cut.rank
    watch.close("kappa (S - k ln lambda_min)", q2, kappa * (log_det - cut.rank * math.log(tail[-1])), tol=1e-9 * scale)
    if cut.rank > 1:
        watch.near("kappa k / (alpha_erg - 1)", q2, scale / (both.alpha_erg - 1), rel=1e-8)


def refused(watch, what: str, ask: Any) -> None:
    """`ask` raises ValueError and says why."""
    try:
        got = ask()
    except ValueError as reason:
        watch.that(len(str(reason)) > 20, f"{what} is refused without a reason: {reason}")
        return
    watch.that(False, f"{what} is answered with {got!r}")


def _parts(value: complex) -> list[float]:
    return [complex(value).real, complex(value).imag]
