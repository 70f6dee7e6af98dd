"""Bugs planted for the chapter's clauses to notice."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fixtures import free_probability
from spec_tests.bug import Bug
from spec_tests.protocol import Implementation, chosen


def first_weight_only(self: Implementation, t: float, atoms: np.ndarray, weights: np.ndarray | None = None) -> float:
    if weights is not None and len(weights) > 1:
        weights = np.append(weights[0], np.full(len(weights) - 1, (1 - weights[0]) / (len(weights) - 1)))
    return float(free_probability.r_transform_bisection(t, atoms, weights))


def kappa4_of_all_partitions(self: Implementation, moments: list[float]) -> list[float]:
    """-3 m_2^2 instead of -2 m_2^2 in the centred fourth cumulant: the crossing pair is subtracted too."""
    kappa = list(free_probability.free_cumulants_by_enumeration(moments))
    if len(kappa) >= 4:
        kappa[3] = kappa[3] - kappa[1] ** 2
    return kappa


def classical_cumulants(self: Implementation, moments: list[float]) -> list[float]:
    kappa: list[float] = []
    for n in range(1, len(moments) + 1):
        rest = sum(math.comb(n - 1, k - 1) * kappa[k - 1] * moments[n - k - 1] for k in range(1, n))
        kappa.append(moments[n - 1] - rest)
    return kappa


def centred_moments(self: Implementation, moments: list[float]) -> list[float]:
    return [0.0, *list(free_probability.free_cumulants_by_enumeration(moments))[1:]]


def kappas_not_inverted(self: Implementation, cumulants: list[float]) -> list[float]:
    return list(cumulants)


def unbiased_variance(self: Implementation, moments: list[float]) -> list[float]:
    kappa = list(free_probability.free_cumulants_by_enumeration(moments))
    return [value * (1.1 if n == 1 else 1.0) for n, value in enumerate(kappa)]


def wrong_branch(self: Implementation, t: float, atoms: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The solution of G(B) = t below the spectrum, mirrored."""
    return -float(free_probability.r_transform_bisection(t, -np.asarray(atoms), weights))


def blue_for_r(self: Implementation, t: float, atoms: np.ndarray, weights: np.ndarray | None = None) -> float:
    return float(free_probability.r_transform_bisection(t, atoms, weights)) + 1 / t


def sum_of_atomic_r(self: Implementation, t: float, atoms: np.ndarray, weights: np.ndarray | None = None) -> float:
    """R of a mixture as the mean of the R's of its atoms: the constant kappa_1."""
    return float(np.average(atoms, weights=weights))


def weights_ignored(self: Implementation, t: float, atoms: np.ndarray, weights: np.ndarray | None = None) -> float:
    return float(free_probability.r_transform_bisection(t, atoms))


def lower_limit_at_lambda_min(
    self: Implementation, t: float, atoms: np.ndarray, weights: np.ndarray | None = None
) -> float:
    whole = free_probability.integrated_r_closed(t, atoms, weights)
    return float(whole - free_probability.integrated_r_closed(t / 10, atoms, weights))


def t_times_r(self: Implementation, t: float, atoms: np.ndarray, weights: np.ndarray | None = None) -> float:
    return t * float(free_probability.r_transform_bisection(t, atoms, weights))


def literal_third_cumulant(self: Implementation, moments: list[float]) -> list[float]:
    """Eq. 161 to the letter: m_3 - 3 m_1 m_2 - m_1^3."""
    kappa = list(free_probability.free_cumulants_by_enumeration(moments))
    if len(kappa) >= 3:
        kappa[2] = moments[2] - 3 * moments[0] * moments[1] - moments[0] ** 3
    return kappa


def saturated_without_weight(
    self: Implementation, t: float, atoms: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """lambda_max - 1/t, as beyond a soft edge, where the weight of the largest atom still counts."""
    sound = chosen("setol_ww").r_transform(t, atoms, weights)
    return min(sound, float(np.max(atoms)) - 1 / t) if t * np.ptp(atoms) > 100 else sound


def absolute_values(self: Implementation, t: float, atoms: np.ndarray, weights: np.ndarray | None = None) -> float:
    return chosen("setol_ww").r_transform(t, np.abs(atoms), weights)


def geometric_mean(self: Implementation, t: float, atoms: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The mean of eigenvalues that R is, taken in logarithms."""
    top = np.max(atoms)
    B = chosen("setol_ww").r_transform(t, atoms, weights) + 1 / t
    resolvents = 1 / (np.maximum(B, top * (1 + 1e-12)) - atoms) * (1.0 if weights is None else weights)
    return float(np.exp(np.average(np.log(np.maximum(atoms, 1e-12 * top)), weights=resolvents)))


def digits_lost_at_the_top(
    self: Implementation, t: float, atoms: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """ln(1 + t (R - lambda)) at the largest atom too, where the difference is rounding."""
    R = chosen("setol_ww").r_transform(t, atoms, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(t * R - np.average(np.log1p(t * (R - atoms)), weights=weights))


def _linear_beyond(level: float) -> Callable[..., float]:
    """The integral to t as t/level times that to level, from there on."""

    def integrated_r(self: Implementation, t: float, atoms: np.ndarray, weights: np.ndarray | None = None) -> float:
        sound = chosen("setol_ww").integrated_r
        return sound(t, atoms, weights) if t <= level else t / level * sound(level, atoms, weights)

    return integrated_r


def weights_ignored_in_the_integral(
    self: Implementation, t: float, atoms: np.ndarray, weights: np.ndarray | None = None
) -> float:
    return chosen("setol_ww").integrated_r(t, atoms)


BUGS: tuple[Bug, ...] = (
    Bug("kappa_4 coefficient: -3 for -2", "FREE-01", "free_cumulants", kappa4_of_all_partitions, "oracle"),
    Bug("all partitions instead of non-crossing ones", "FREE-05", "free_cumulants", classical_cumulants, "oracle"),
    Bug("moments centred first", "FREE-03", "free_cumulants", centred_moments, "oracle"),
    Bug("kappa_2 as an unbiased variance", "FREE-04", "free_cumulants", unbiased_variance, "oracle"),
    Bug("cumulants taken for moments", "FREE-06", "moments_from_cumulants", kappas_not_inverted, "oracle"),
    Bug("wrong branch of R", "FREE-08", "r_transform", wrong_branch, "oracle"),
    Bug("the Blue function instead of R", "FREE-09", "r_transform", blue_for_r, "oracle"),
    Bug("R of a mixture as a sum of R's", "FREE-12", "r_transform", sum_of_atomic_r, "oracle"),
    Bug("weights ignored", "FREE-11", "r_transform", weights_ignored, "oracle"),
    Bug("only the first weight heeded", "FREE-19", "r_transform", first_weight_only, "oracle"),
    Bug("lower limit of the integral not 0", "FREE-13", "integrated_r", lower_limit_at_lambda_min, "oracle"),
    Bug("t R(t) for the integral of R", "FREE-14", "integrated_r", t_times_r, "oracle"),
    Bug("three cumulants by the letter of Eq. 161", "FREE-20", "free_cumulants", literal_third_cumulant, "oracle"),
    Bug("a soft edge's saturation for atoms", "FREE-21", "r_transform", saturated_without_weight),
    Bug("absolute values of eigenvalues", "FREE-22", "r_transform", absolute_values),
    Bug("R as a geometric mean", "FREE-23", "r_transform", geometric_mean),
    Bug("digits lost at the largest eigenvalue", "FREE-24", "integrated_r", digits_lost_at_the_top),
    Bug("n beta times the integral to lambda", "FREE-25", "integrated_r", _linear_beyond(0.5)),
    Bug("n beta times the integral to lambda, rank two", "FREE-26", "integrated_r", _linear_beyond(0.1)),
    Bug("weights ignored in the integral", "FREE-27", "integrated_r", weights_ignored_in_the_integral),
)  # fmt: skip
