"""Bugs planted for the chapter's clauses to notice."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from spec_tests.bug import Bug
from spec_tests.chapters.free.bugs import classical_cumulants
from spec_tests.protocol import Implementation, chosen


class _Bent:
    """A law with some of its answers replaced."""

    def __init__(self, sound: Any, changes: dict[str, Any]) -> None:
        self._sound = sound
        self.__dict__.update(changes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sound, name)


def _law_with(changes: Callable[..., dict[str, Any]]) -> Callable[..., Any]:
    """`changes(sound, name, *parameters)` says what of a law is replaced."""

    def law(self: Implementation, name: str, *parameters: float) -> Any:
        sound = chosen("setol_ww").law(name, *parameters)
        return _Bent(sound, changes(sound, name, *parameters))

    return law


def _law_of(kind: str, changes: Callable[..., dict[str, Any]]) -> Callable[..., Any]:
    """As `_law_with`, for the laws of one name."""
    return _law_with(lambda sound, name, *parameters: changes(sound, *parameters) if name == kind else {})


def other_root_of_g(sound: Any, q: float, sigma2: float = 1.0) -> dict[str, Any]:
    return {"stieltjes": lambda z: 1 / (q * sigma2 * z * sound.stieltjes(z))}


def classical_cumulants_of_a_law(sound: Any, name: str, *parameters: float) -> dict[str, Any]:
    try:
        moments = [sound.moment(k) for k in range(1, 9)]
    except ValueError:
        return {}
    return {"free_cumulants": lambda n: np.array(classical_cumulants(chosen("setol_ww"), moments[:n]))}


def erg_start_in_raw_units(sound: Any, q: float, sigma2: float = 1.0) -> dict[str, Any]:
    return {"erg_lambda_min": sound.erg_lambda_min * sigma2}


def of_sigma_not_squared(sound: Any, q: float, sigma2: float = 1.0) -> dict[str, Any]:
    other = chosen("setol_ww").law("MarchenkoPastur", q, math.sqrt(sigma2))
    return {name: getattr(other, name) for name in ("support", "pdf", "stieltjes", "r_transform", "integrated_r")}


def continued_past_the_branch_point(sound: Any, kappa: float) -> dict[str, Any]:
    return {"r_transform": lambda t: sound.r_transform(t) if t <= kappa / 2 else kappa / t}


def bare_mean(sound: Any, alpha: float, lower: float, upper: float) -> dict[str, Any]:
    """(alpha - 1)/(alpha - 2) of the law without cut-off, where it has a mean."""
    kappa = sound.free_cumulants(2)
    mean = (alpha - 1) / (alpha - 2) * lower if alpha > 2 else kappa[0]
    return {"free_cumulants": lambda n: np.array([mean, kappa[1]])}


def two_terms_of_r(sound: Any, alpha: float, lower: float, upper: float) -> dict[str, Any]:
    kappa = sound.free_cumulants(2)
    return {"r_transform": lambda t: kappa[0] + kappa[1] * t}


def wishart_as_printed(sound: Any, epsilon: float, phi: float) -> dict[str, Any]:
    return {"r_transform": lambda t: epsilon * phi * t * t / (2 - epsilon * (phi * t) ** 2)}


BUGS: tuple[Bug, ...] = (
    Bug("density without its variance", "LAW-01", "law",
        _law_of("MarchenkoPastur", lambda law, q, sigma2=1.0: {"pdf": lambda x: law.pdf(x) * sigma2})),
    Bug("share above for share below", "LAW-02", "law",
        _law_with(lambda law, *_: {"cdf": lambda x: 1 - law.cdf(x)})),
    Bug("moments one order too low", "LAW-03", "law",
        _law_with(lambda law, *_: {"moment": lambda k: law.moment(max(k - 1, 0))})),
    Bug("the other root of G", "LAW-04", "law", _law_of("MarchenkoPastur", other_root_of_g)),
    Bug("the Blue function of a law instead of its R", "LAW-05", "law",
        _law_with(lambda law, *_: {"r_transform": lambda t: law.r_transform(t) + 1 / t})),
    Bug("t R(t) for the integral of a law's R", "LAW-06", "law",
        _law_with(lambda law, *_: {"integrated_r": lambda t: t * law.r_transform(t)})),
    Bug("classical cumulants of a law", "LAW-07", "law", _law_with(classical_cumulants_of_a_law)),
    Bug("a law's ERG start in raw units", "LAW-08", "law", _law_of("MarchenkoPastur", erg_start_in_raw_units)),
    Bug("a law's ERG tail starts at its mean", "LAW-09", "law", _law_with(lambda *_: {"erg_lambda_min": 1.0})),
    Bug("N and M exchanged in a law", "LAW-10", "law",
        _law_of("MarchenkoPastur", lambda law, q, sigma2=1.0: {"r_transform": lambda t: sigma2 / (1 - sigma2 * t)})),
    Bug("no saturation beyond the edge", "LAW-11", "law",
        _law_of("MarchenkoPastur",
                lambda law, q, sigma2=1.0: {"r_transform": lambda t: sigma2 / (1 - q * sigma2 * t + 1e-9)})),
    Bug("real part past the branch point", "LAW-12", "law",
        _law_of("InverseMarchenkoPastur", continued_past_the_branch_point)),
    Bug("sigma for sigma squared", "LAW-13", "law",
        _law_of("MarchenkoPastur", of_sigma_not_squared)),
    Bug("moments of the law without cut-off", "LAW-14", "law", _law_of("TruncatedPowerLaw", bare_mean)),
    Bug("two terms for R of a power law", "LAW-15", "law", _law_of("TruncatedPowerLaw", two_terms_of_r)),
    Bug("a + i gamma for a - i gamma", "LAW-16", "law",
        _law_of("FreeCauchy", lambda law, a, gamma: {"r_transform": lambda t: complex(a, gamma)})),
    Bug("multiplicative Wishart as printed", "LAW-17", "law", _law_of("MultiplicativeWishart", wishart_as_printed)),
    Bug("b = alpha - 2 for alpha - 1", "LAW-18", "law",
        _law_of("LevyWigner", lambda law, alpha: {"r_transform": lambda t: (alpha - 2) * t ** (alpha - 2)})),
    Bug("alpha for alpha - 1 in Levy-Wigner", "LAW-19", "law",
        _law_of("LevyWigner", lambda law, alpha: {"r_transform": lambda t: alpha * t ** (alpha - 1)})),
    Bug("a mean for free Cauchy", "LAW-20", "law", _law_of("FreeCauchy", lambda law, a, gamma: {"mean": a})),
    Bug("alpha for kappa in the formal integral", "LAW-21", "law",
        _law_of("InverseMarchenkoPastur",
                lambda law, kappa: {"formal_integrated_r": lambda t: 2 * law.formal_integrated_r(t)})),
)  # fmt: skip
