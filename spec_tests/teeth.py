"""Planted bugs: each is an implementation with one method broken, and names the clause that has to notice.

A bug is planted in setol_ww where it has the capability, else in the oracle, through the adapter alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fixtures import free_probability, oracles, windows
from fixtures import traps as trap_oracle

from .protocol import Bulk, Cut, Files, Implementation, Meeting, Row, Tail, Traps, Windows, chosen


@dataclass(frozen=True)
class Bug:
    """What is broken, where, and which clause must fail."""

    name: str
    killer: str
    method: str
    broken: Callable[..., Any]
    base: str = "setol_ww"


def planted(bug: Bug) -> Implementation:
    """The base implementation with the bug in it."""
    sound = type(chosen(bug.base))
    return type(f"{sound.__name__}WithBug", (sound,), {bug.method: bug.broken, "expected_failures": {}})()


def _unit(raw: np.ndarray) -> np.ndarray:
    return np.sort(raw)[::-1] / np.mean(raw)


def _cut(raw: np.ndarray, rank: int) -> Cut:
    return Cut(rank, float(np.sort(raw)[-rank]) if rank else math.nan)


def _sums(x: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.cumsum(np.log(x))


def _nearest(partial: np.ndarray) -> int:
    finite = np.where(np.isfinite(partial), partial, 1e300)
    return int(np.argmin(np.abs(finite))) + 1


def _first_below(x: np.ndarray) -> int:
    return int(np.flatnonzero(np.append(_sums(x), -1) < 0)[0])


def product_for_log_sum(self: Implementation, raw: np.ndarray) -> Cut:
    x = _unit(raw)
    with np.errstate(over="ignore", under="ignore"):
        below = np.flatnonzero(np.cumprod(x) < 1)
    return _cut(raw, int(below[0]) if below.size else x.size)


def first_cut(self: Implementation, raw: np.ndarray) -> Cut:
    return _cut(raw, min(_first_below(_unit(raw)) + 1, raw.size))


def last_cut(self: Implementation, raw: np.ndarray) -> Cut:
    return _cut(raw, max(1, _first_below(_unit(raw))))


def nearest_of_all(self: Implementation, raw: np.ndarray) -> Cut:
    """|S_k| is smallest at k = 1 when x_1 is a little above 1."""
    return _cut(raw, _nearest(_sums(_unit(raw))))


def no_rescale(self: Implementation, raw: np.ndarray) -> Cut:
    return _cut(raw, max(1, _first_below(np.sort(raw)[::-1])))


def trace_one(self: Implementation, raw: np.ndarray) -> Cut:
    return _cut(raw, max(1, _first_below(np.sort(raw)[::-1] / np.sum(raw))))


def ascending(self: Implementation, raw: np.ndarray) -> Cut:
    partial = np.cumsum(np.log(np.sort(raw) / np.mean(raw)))
    above = np.flatnonzero(partial > 0)
    return _cut(raw, raw.size - int(above[0]) if above.size else 1)


def zeros_left_out_of_the_mean(self: Implementation, raw: np.ndarray) -> Cut:
    return _cut(raw, oracles.erg_cut_mpmath(raw[raw > 0]).rank)


def residual_without_zeros(self: Implementation, raw: np.ndarray) -> float:
    return oracles.erg_cut_mpmath(raw[raw > 0]).log_det


def one_zero_too_many(self: Implementation, raw: np.ndarray) -> Cut:
    truth = oracles.erg_cut_mpmath(raw)
    return _cut(raw, truth.rank + (truth.status == "rank_limited"))


def lost_beside_zeros(self: Implementation, raw: np.ndarray) -> Tail | None:
    fit = chosen("setol_ww").tail_fit(raw)
    return fit if fit is None or raw.min() > 0 else _with(fit, alpha=99.0)


def meeting_over_the_rank(both: Meeting, raw: np.ndarray) -> dict[str, float]:
    return {"delta_lambda_min": both.delta_lambda_min * np.mean(raw) / np.mean(raw[raw > 0])}


def float32_when_large(self: Implementation, W: np.ndarray) -> np.ndarray:
    return oracles.singular_value_squares(W.astype(np.float32) if W.size > 4000 else W)


def first_weight_only(self: Implementation, t: float, atoms: np.ndarray, weights: np.ndarray | None = None) -> float:
    if weights is not None and len(weights) > 1:
        weights = np.append(weights[0], np.full(len(weights) - 1, (1 - weights[0]) / (len(weights) - 1)))
    return float(free_probability.r_transform_bisection(t, atoms, weights))


def at_most_one_trap(self: Implementation, W: np.ndarray, seed: int) -> Traps:
    found = chosen("oracle").traps(W, seed)
    return Traps(min(found.count, 1), found.lambda_max)


def flat_is_nothing(self: Implementation, raw: np.ndarray) -> Cut | None:
    return None if np.ptp(raw) == 0 else _cut(raw, oracles.erg_cut_mpmath(raw).rank)


def cut_of_nothing(self: Implementation, raw: np.ndarray) -> Cut:
    rank = oracles.erg_cut_mpmath(raw).rank
    return Cut(max(rank, 1), float(np.sort(raw)[-max(rank, 1)]))


def ten_for_e(self: Implementation, raw: np.ndarray) -> float:
    return oracles.erg_cut_mpmath(raw).log_det / math.log(10)


def residual_per_eigenvalue(self: Implementation, raw: np.ndarray) -> float:
    truth = oracles.erg_cut_mpmath(raw)
    return truth.log_det / truth.rank


def one_status_for_all(self: Implementation, raw: np.ndarray) -> str:
    return "ok"


def not_squared(self: Implementation, W: np.ndarray) -> np.ndarray:
    return np.sqrt(oracles.singular_value_squares(W))


def rows_and_columns_swapped(self: Implementation, W: np.ndarray) -> np.ndarray:
    return np.sort(np.abs(np.linalg.eigvalsh(W @ W.T if W.shape[0] > W.shape[1] else W.T @ W)))


def divided_by_rows(self: Implementation, W: np.ndarray) -> np.ndarray:
    return oracles.singular_value_squares(W) / W.shape[0]


def float32_gram(self: Implementation, W: np.ndarray) -> np.ndarray:
    small = W.astype(np.float32)
    small = small if small.shape[0] >= small.shape[1] else small.T
    return np.sort(np.abs(np.linalg.eigvalsh(small.T @ small).astype(np.float64)))


def gram_alone(self: Implementation, W: np.ndarray) -> np.ndarray:
    tall = W if W.shape[0] >= W.shape[1] else W.T
    return np.sort(np.abs(np.linalg.eigvalsh(tall.T @ tall)))


def centred_columns(self: Implementation, W: np.ndarray) -> np.ndarray:
    return oracles.singular_value_squares(W - W.mean(axis=0))


def clipped_at_the_edge(self: Implementation, W: np.ndarray) -> np.ndarray:
    edge = np.var(W) * (math.sqrt(W.shape[0]) + math.sqrt(W.shape[1])) ** 2
    return np.minimum(oracles.singular_value_squares(W), edge)


def rank_at_single_precision(self: Implementation, W: np.ndarray) -> int:
    sigma = np.linalg.svd(W, compute_uv=False)
    return int(np.count_nonzero(sigma > 1e-2 * sigma[0]))


def one_slice_only(self: Implementation, matrices: list[np.ndarray]) -> np.ndarray:
    return oracles.singular_value_squares(matrices[0])


def unfolded(self: Implementation, matrices: list[np.ndarray]) -> np.ndarray:
    return oracles.singular_value_squares(np.concatenate(matrices, axis=1))


def summed_slices(self: Implementation, matrices: list[np.ndarray]) -> np.ndarray:
    return np.sort(sum(oracles.singular_value_squares(matrix) for matrix in matrices).repeat(len(matrices)))


def _fit_with(change: Callable[[Tail, np.ndarray], Tail]) -> Callable[..., Tail | None]:
    def broken(self: Implementation, raw: np.ndarray) -> Tail | None:
        fit = chosen("setol_ww").tail_fit(raw)
        return None if fit is None else change(fit, np.sort(raw))

    return broken


def _with(fit: Tail, **changes: float) -> Tail:
    return Tail(**{**vars(fit), **changes})


def absolute_threshold(self: Implementation, raw: np.ndarray) -> Tail | None:
    kept = raw[raw > 1e-5]
    return chosen("setol_ww").tail_fit(kept) if kept.size > 1 else None


def every_other_start(self: Implementation, raw: np.ndarray) -> Tail | None:
    values = np.sort(raw)
    return min((_longest(values[start:]) for start in range(0, values.size - 1, 2)), key=lambda fit: fit.ks)


def _longest(values: np.ndarray) -> Tail:
    """The whole spectrum as the tail, no choice of the start at all."""
    n = values.size
    alpha = 1 + n / np.sum(np.log(values / values[0]))
    law = 1 - (values / values[0]) ** (1 - alpha)
    return Tail(alpha, (alpha - 1) / math.sqrt(n), values[0], n, float(np.max(np.abs(law - np.arange(n) / n))))


def no_choice_of_the_start(self: Implementation, raw: np.ndarray) -> Tail | None:
    return _longest(np.sort(raw)) if np.ptp(raw) else None


def last_start_on_equal_values(self: Implementation, raw: np.ndarray) -> Tail | None:
    fit = chosen("setol_ww").tail_fit(raw)
    return None if fit is None else _with(fit, rank=fit.rank - 1)


def infinite_alpha(self: Implementation, raw: np.ndarray) -> Tail | None:
    fit = chosen("setol_ww").tail_fit(raw)
    return Tail(math.inf, math.inf, float(raw[0]), raw.size, 0.0) if fit is None and np.ptp(raw) == 0 else fit


def minus_one(self: Implementation, raw: np.ndarray) -> Tail | None:
    fit = chosen("setol_ww").tail_fit(raw)
    return Tail(-1, -1, -1, -1, -1) if fit is None and np.ptp(raw) else fit


def bias_corrected_when_few(self: Implementation, raw: np.ndarray) -> Tail | None:
    fit = chosen("setol_ww").tail_fit(raw)
    if fit is None or raw.size >= 20:
        return fit
    return _with(fit, alpha=1 + (fit.alpha - 1) * (fit.rank - 1) / fit.rank)


def two_kappa(self: Implementation, raw: np.ndarray) -> Tail | None:
    """The paper's alpha = 2 kappa, kappa read off the variance 1/(2 kappa) of the unit-mean spectrum."""
    fit = chosen("setol_ww").tail_fit(raw)
    return None if fit is None else _with(fit, alpha=1 / np.var(raw / raw.mean()))


def saturating_alpha(self: Implementation, raw: np.ndarray) -> Tail | None:
    fit = chosen("setol_ww").tail_fit(raw)
    return None if fit is None else _with(fit, alpha=min(fit.alpha, 4.0))


def _meeting_with(change: Callable[[Meeting, np.ndarray], dict[str, float]]) -> Callable[..., Meeting]:
    def broken(self: Implementation, raw: np.ndarray) -> Meeting:
        both = chosen("setol_ww").meeting(raw)
        return Meeting(**{**vars(both), **change(both, raw)})

    return broken


def metric_of_the_erg_tail(both: Meeting, raw: np.ndarray) -> dict[str, float]:
    truth = oracles.erg_cut_mpmath(raw)
    return {"erg_metric": truth.log_det / truth.rank}


def alpha_of_the_power_law(both: Meeting, raw: np.ndarray) -> dict[str, float]:
    return {"alpha_erg": chosen("setol_ww").tail_fit(raw).alpha}


def every_layer_is_ideal(self: Implementation, raw: np.ndarray) -> str:
    return "ideal"


def ideal_by_alpha_alone(self: Implementation, raw: np.ndarray) -> str:
    fit = chosen("setol_ww").tail_fit(raw)
    return "ideal" if fit is None or fit.alpha < 2.2 else chosen("setol_ww").state(raw)


def _bulk_with(change: Callable[[Bulk, np.ndarray, tuple[int, int]], dict[str, float]]) -> Callable[..., Bulk | None]:
    def broken(self: Implementation, raw: np.ndarray, shape: tuple[int, int], slices: int = 1) -> Bulk | None:
        fit = chosen("setol_ww").bulk(raw, shape, slices)
        return None if fit is None else Bulk(**{**vars(fit), **change(fit, raw, shape)})

    return broken


def _beyond(raw: np.ndarray, edge: float) -> int:
    return int(np.count_nonzero(raw > edge))


def variance_of_all_entries(fit: Bulk, raw: np.ndarray, shape: tuple[int, int]) -> dict[str, float]:
    """Spikes inflate the noise they are judged by."""
    variance = raw.sum() / math.prod(shape)
    edge = variance * (math.sqrt(shape[0]) + math.sqrt(shape[1])) ** 2
    return {"sigma": math.sqrt(variance), "lambda_plus": edge, "spikes": _beyond(raw, 1.05 * edge)}


def spikes_above_the_bare_edge(fit: Bulk, raw: np.ndarray, shape: tuple[int, int]) -> dict[str, float]:
    return {"spikes": _beyond(raw, fit.lambda_plus)}


def quarter_circle_edge(fit: Bulk, raw: np.ndarray, shape: tuple[int, int]) -> dict[str, float]:
    """The lower edge of a square layer for every layer."""
    return {"lambda_minus": 0.0}


def edge_without_sigma(fit: Bulk, raw: np.ndarray, shape: tuple[int, int]) -> dict[str, float]:
    return {"lambda_plus": (math.sqrt(shape[0]) + math.sqrt(shape[1])) ** 2}


def sigma_over_the_columns(fit: Bulk, raw: np.ndarray, shape: tuple[int, int]) -> dict[str, float]:
    return {"sigma": fit.sigma * math.sqrt(max(shape) / min(shape))}


def all_columns_alive(fit: Bulk, raw: np.ndarray, shape: tuple[int, int]) -> dict[str, float]:
    return {"sigma": math.sqrt(raw.sum() / math.prod(shape))}


def subcritical_spikes(fit: Bulk, raw: np.ndarray, shape: tuple[int, int]) -> dict[str, float]:
    return {"spikes": _beyond(raw, 0.9 * fit.lambda_plus)}


def one_slice_of_all(self: Implementation, raw: np.ndarray, shape: tuple[int, int], slices: int = 1) -> Bulk | None:
    return chosen("setol_ww").bulk(raw[:: slices or 1][: min(shape)], shape)


def bulk_of_everything(self: Implementation, raw: np.ndarray, shape: tuple[int, int], slices: int = 1) -> Bulk:
    fit = chosen("setol_ww").bulk(raw, shape, slices)
    return Bulk(0.0, 0.0, 0.0, 0) if fit is None else fit


def _alpha_of(raw: np.ndarray) -> float:
    fit = chosen("setol_ww").tail_fit(raw)
    return math.nan if fit is None else fit.alpha


def class_by_alpha_alone(self: Implementation, raw: np.ndarray, shape: tuple[int, int]) -> str:
    alpha = _alpha_of(raw)
    if math.isnan(alpha):
        return chosen("setol_ww").universality(raw, shape)
    return "very heavy-tailed" if alpha < 2 else "heavy-tailed" if alpha <= 6 else "weakly heavy-tailed"


def _class_with(change: dict[str, str]) -> Callable[..., str]:
    def broken(self: Implementation, raw: np.ndarray, shape: tuple[int, int]) -> str:
        word = chosen("setol_ww").universality(raw, shape)
        return change.get(word, word)

    return broken


def classes_of_the_entries(self: Implementation, raw: np.ndarray, shape: tuple[int, int]) -> str:
    """alpha -> mu by Table 1 as printed, mu below 2 from alpha below 2.5 on."""
    word, alpha = chosen("setol_ww").universality(raw, shape), _alpha_of(raw)
    return "very heavy-tailed" if word == "heavy-tailed" and alpha < 3.5 else word


def heavy_once_it_leaves_the_bulk(self: Implementation, raw: np.ndarray, shape: tuple[int, int]) -> str:
    word = chosen("setol_ww").universality(raw, shape)
    return "heavy-tailed" if word == "bulk+spikes" else word


def spikes_where_the_tail_is_heavy(self: Implementation, raw: np.ndarray, shape: tuple[int, int]) -> str:
    word = chosen("setol_ww").universality(raw, shape)
    return "bulk+spikes" if "heavy" in word else word


def flat_is_undetermined(self: Implementation, raw: np.ndarray, shape: tuple[int, int]) -> str:
    return "undetermined" if np.ptp(raw) <= 1e-10 * raw.max() else chosen("setol_ww").universality(raw, shape)


def class_of_unscaled_eigenvalues(self: Implementation, raw: np.ndarray, shape: tuple[int, int]) -> str:
    kept = raw[raw > 1e-5]
    return chosen("setol_ww").universality(kept, (max(shape), kept.size)) if kept.size else "undetermined"


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


def ecs_normalisation(self: Implementation, x: np.ndarray, N: int) -> float:
    return float(free_probability.quality_exact(x, len(x)))


def quality_on_a_grid(self: Implementation, x: np.ndarray, N: int) -> float:
    """H on twelve points and straight lines between them."""
    grid = np.linspace(np.min(x), np.max(x), 12)
    values = [self.integrated_r(t, np.append(x, 0.0), np.append(np.full(x.size, 1 / N), 1 - x.size / N)) for t in grid]
    return float(np.sum(np.interp(x, grid, values)))


def padded_when_normed(self: Implementation, x: np.ndarray) -> float:
    return float(free_probability.quality_exact(x / x.size, 2 * x.size)) * x.size**2


def first_order_only(self: Implementation, x: np.ndarray) -> float:
    return float(np.mean(x) ** 2)


def share_of_the_tail(self: Implementation, raw: np.ndarray, tail_rank: int) -> float:
    return free_probability.figure_24(np.sort(raw)[-tail_rank:], tail_rank)


def third_order_left_out(self: Implementation, raw: np.ndarray, tail_rank: int) -> float:
    return free_probability.figure_24(raw, tail_rank, order=2)


def grows_with_padding(self: Implementation, x: np.ndarray, N: int) -> float:
    return float(free_probability.quality_exact(x, N)) * N / x.size


def argument_divided_twice(self: Implementation, x: np.ndarray) -> float:
    return float(free_probability.q2_series5(x / len(x)))


def argument_not_divided(self: Implementation, x: np.ndarray) -> float:
    kappa = free_probability.free_cumulants_by_enumeration([float(np.mean(x**k)) for k in range(1, 6)])
    return float(sum(kappa[j] * value ** (j + 1) / (j + 1) for value in x for j in range(5)))


def rows_shuffled_only(self: Implementation, W: np.ndarray, seed: int) -> Traps:
    shuffled = np.random.default_rng(seed).permutation(W, axis=0)
    return Traps(trap_oracle.count_traps(W, seed), float(oracles.singular_value_squares(shuffled)[-1]))


def seed_ignored(self: Implementation, W: np.ndarray, seed: int) -> Traps:
    fresh = np.random.default_rng(np.random.SeedSequence().entropy)
    shuffled = fresh.permutation(W.ravel()).reshape(W.shape)
    return Traps(trap_oracle.count_traps(W, seed), float(oracles.singular_value_squares(shuffled)[-1]))


def _scaled_spectrum(W: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """Shuffled eigenvalues over the noise, and the Marchenko-Pastur edge."""
    shuffled = trap_oracle.shuffle(W, seed)
    rows, columns = max(W.shape), min(W.shape)
    return oracles.singular_value_squares(shuffled) / rows / np.var(W), (1 + math.sqrt(columns / rows)) ** 2


def counted_in_the_bulk(self: Implementation, W: np.ndarray, seed: int) -> Traps:
    values, edge = _scaled_spectrum(W, seed)
    return Traps(int(np.count_nonzero(values >= 0.9 * edge)), float(values[-1]))


def counted_far_out(self: Implementation, W: np.ndarray, seed: int) -> Traps:
    values, edge = _scaled_spectrum(W, seed)
    return Traps(int(np.count_nonzero(values >= 3 * edge)), float(values[-1]))


def unit_noise_assumed(self: Implementation, W: np.ndarray, seed: int) -> Traps:
    values, edge = _scaled_spectrum(W, seed)
    return Traps(int(np.count_nonzero(values * np.var(W) >= 1.1 * edge)), float(values[-1]))


def _plain_pvalue(W: np.ndarray, seed: int) -> float:
    """Of normal noise, by the oracle, from the variance of all entries."""
    centre, scale = trap_oracle.johnstone(*W.shape)
    largest = oracles.singular_value_squares(trap_oracle.shuffle(W, seed))[-1] / np.var(W)
    return 1 - trap_oracle.tracy_widom_1_cdf(float((largest - centre) / scale))


def certain_beyond_the_edge(self: Implementation, W: np.ndarray, seed: int) -> float:
    values, edge = _scaled_spectrum(W, seed)
    return 0.0 if values[-1] > edge else 1.0


def nothing_is_improbable(self: Implementation, W: np.ndarray, seed: int) -> float:
    return 1.0


def normal_entries_assumed(self: Implementation, W: np.ndarray, seed: int) -> float:
    return _plain_pvalue(W, seed)


def shuffled_as_it_lies(self: Implementation, W: np.ndarray, seed: int) -> float:
    return _plain_pvalue(W, seed)


def one_without_noise(self: Implementation, W: np.ndarray, seed: int) -> float:
    pvalue = chosen("setol_ww").trap_pvalue(W, seed)
    return 1.0 if math.isnan(pvalue) else pvalue


def removed_in_place(self: Implementation, W: np.ndarray, seed: int) -> np.ndarray:
    W[...] = chosen("setol_ww").remove_traps(W, seed)
    return W


def all_clipped(self: Implementation, W: np.ndarray, seed: int) -> np.ndarray:
    return np.clip(W - W.mean(), -3, 3)


def leading_part_subtracted(self: Implementation, W: np.ndarray, seed: int) -> np.ndarray:
    return _truncated(W, lambda sigma: np.where(np.arange(sigma.size) >= 1, sigma, 0))


def column_before_row(self: Implementation, W: np.ndarray, seed: int) -> list[tuple[int, int]]:
    return [(column, row) for row, column in chosen("setol_ww").trap_elements(W, seed)]


def counted_from_three_thresholds(self: Implementation, W: np.ndarray, seed: int) -> Traps:
    values, _ = _scaled_spectrum(W, seed)
    q = min(W.shape) / max(W.shape)
    theta = 9 * math.sqrt(q)
    return Traps(int(np.count_nonzero(values > (1 + theta) * (q + theta) / theta)), float(values[-1]))


def counted_in_five_shuffles(self: Implementation, W: np.ndarray, seed: int) -> Traps:
    replicas = 5 if min(W.shape) < 100 else 1
    found = sum(trap_oracle.count_traps(W, seed + replica) for replica in range(replicas))
    return Traps(found, chosen("oracle").traps(W, seed).lambda_max)


def _truncated(W: np.ndarray, keep: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    left, sigma, right = np.linalg.svd(W, full_matrices=False)
    return (left * keep(sigma)) @ right


def keeps_the_smallest(self: Implementation, W: np.ndarray, rank: int) -> np.ndarray:
    return _truncated(W, lambda sigma: np.where(np.arange(sigma.size) >= sigma.size - rank, sigma, 0))


def one_too_many(self: Implementation, W: np.ndarray, rank: int) -> np.ndarray:
    return _truncated(W, lambda sigma: np.where(np.arange(sigma.size) <= rank, sigma, 0))


def keeps_the_norm(self: Implementation, W: np.ndarray, rank: int) -> np.ndarray:
    kept = _truncated(W, lambda sigma: np.where(np.arange(sigma.size) < rank, sigma, 0))
    return kept * np.linalg.norm(W) / np.linalg.norm(kept)


def soft_threshold(self: Implementation, W: np.ndarray, rank: int) -> np.ndarray:
    return _truncated(W, lambda sigma: np.maximum(sigma - sigma[rank], 0))


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


def rows_of_a_tall_matrix(self: Implementation, W: np.ndarray, rank: int) -> np.ndarray:
    """The leading directions of the first rows stand for those of the whole."""
    right = np.linalg.svd(W[: min(W.shape)], full_matrices=False)[2]
    return W @ right[:rank].T @ right[:rank]


def not_orthonormal(self: Implementation, W: np.ndarray, rank: int) -> np.ndarray:
    return _truncated(W, lambda sigma: np.where(np.arange(sigma.size) < rank, 1.01 * sigma, 0))


def one_less_when_rank_deficient(self: Implementation, W: np.ndarray, rank: int) -> np.ndarray:
    less = int(np.linalg.matrix_rank(W, tol=1e-9 * np.linalg.norm(W, 2)) < min(W.shape))
    return _truncated(W, lambda sigma: np.where(np.arange(sigma.size) < rank - less, sigma, 0))


def as_many_of_each(self: Implementation, matrices: list[np.ndarray], rank: int) -> list[np.ndarray]:
    each = max(1, round(rank / len(matrices)))
    return [_truncated(one, lambda sigma: np.where(np.arange(sigma.size) < each, sigma, 0)) for one in matrices]


def unfolded_and_cut(self: Implementation, matrices: list[np.ndarray], rank: int) -> list[np.ndarray]:
    side_by_side = np.concatenate(matrices, axis=1)
    return np.split(
        _truncated(side_by_side, lambda sigma: np.where(np.arange(sigma.size) < rank, sigma, 0)), len(matrices), axis=1
    )


def cubic_threshold(self: Implementation, beta: float) -> float:
    return 0.56 * beta**3 - 0.95 * beta**2 + 1.82 * beta + 1.43


def threshold_of_known_noise(self: Implementation, beta: float) -> float:
    return math.sqrt(2 * (beta + 1) + 8 * beta / (beta + 1 + math.sqrt(beta**2 + 14 * beta + 1)))


def multiplied_as_stored(self: Implementation, W: np.ndarray, dtype: str) -> np.ndarray:
    """The Gram matrix of float16 weights in float16, of others in float32."""
    narrow = np.float16 if dtype == "float16" else np.float32
    tall = (W if W.shape[0] >= W.shape[1] else W.T).astype(narrow)
    return np.sort(np.abs(np.linalg.eigvalsh((tall.T @ tall).astype(np.float64))))


def full_blocks_only(self: Implementation, W: np.ndarray) -> np.ndarray:
    """The rows beyond the last full block of 4096 elements are left out."""
    tall = W if W.shape[0] >= W.shape[1] else W.T
    step = 4096 // tall.shape[1]
    whole = len(tall) // step * step if step else 0
    return oracles.singular_value_squares(tall[:whole] if whole else tall)


def overlapping_blocks(self: Implementation, W: np.ndarray) -> np.ndarray:
    """The row on the border of two blocks of 1000 is in both."""
    tall = W if W.shape[0] >= W.shape[1] else W.T
    parts = [tall[top : top + 1001] for top in range(0, len(tall), 1000)]
    return oracles.singular_value_squares(np.concatenate(parts))


def read_as_it_lies(self: Implementation, W: np.ndarray) -> np.ndarray:
    return oracles.singular_value_squares(W.ravel(order="K").reshape(W.shape))


def scaled_in_place(self: Implementation, W: np.ndarray) -> np.ndarray:
    largest = np.abs(W).max()
    W /= largest
    return oracles.singular_value_squares(W) * largest**2


def rank_at_the_precision_of_the_weights(self: Implementation, W: np.ndarray, dtype: str) -> int:
    eps = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype]
    sigma = np.linalg.svd(W, compute_uv=False)
    return int(np.count_nonzero(sigma > max(W.shape) * eps * sigma[0]))


def zeros_of_a_gram_matrix(self: Implementation, W: np.ndarray, dtype: str) -> np.ndarray:
    return gram_alone(self, W)


def rows_of_files_in_turn(self: Implementation, files: Files) -> list[Row]:
    sound = {row.name: row for row in chosen("oracle").scan(files)}
    return [sound[name] for tensors in files for name in tensors if name in sound]


def first_file_only(self: Implementation, files: Files) -> list[Row]:
    return chosen("oracle").scan(files[:1])


def numbers_of_another_row(self: Implementation, files: Files) -> list[Row]:
    """Names in one order, numbers in another: 10 before 9."""
    sound = chosen("setol_ww").scan(files)
    other = sorted(sound, key=lambda row: row.name)
    return [Row(row.name, row.reason, it.numbers) for row, it in zip(sound, other, strict=True)]


def shards_one_behind_the_other(self: Implementation, files: Files, n: int) -> tuple[list[list[Row]], list[Row]]:
    parts, _ = chosen("oracle").scan_shards(files, n)
    return parts, [row for part in parts for row in part]


def shards_that_overlap(self: Implementation, files: Files, n: int) -> tuple[list[list[Row]], list[Row]]:
    """The first row of every shard is in the shard before too; merging hides it."""
    parts, merged = chosen("oracle").scan_shards(files, n)
    return [part + after[:1] for part, after in zip(parts, [*parts[1:], []], strict=True)], merged


def by_the_largest_layer(self: Implementation, files: Files) -> list[Row]:
    """A column relative to the whole checkpoint."""
    rows = chosen("oracle").scan(files)
    largest = np.nanmax([row.numbers["norm"] for row in rows])
    return [Row(row.name, row.reason, row.numbers | {"share": row.numbers["norm"] / largest}) for row in rows]


def ended_by_a_bad_layer(self: Implementation, files: Files) -> list[Row]:
    rows = chosen("setol_ww").scan(files)
    return [] if any(row.reason for row in rows) else rows


def bad_layers_left_out(self: Implementation, files: Files) -> list[Row]:
    return [row for row in chosen("setol_ww").scan(files) if not row.reason]


def minus_one_for_bad_layers(self: Implementation, files: Files) -> list[Row]:
    return [
        Row(row.name, row.reason, dict.fromkeys(row.numbers, -1.0) if row.reason else row.numbers)
        for row in chosen("setol_ww").scan(files)
    ]


def zeros_for_what_is_not_finite(self: Implementation, files: Files) -> list[Row]:
    """NaN and infinities replaced, so that there is something to analyse."""
    return chosen("setol_ww").scan(
        [{name: np.nan_to_num(W, posinf=0, neginf=0) for name, W in tensors.items()} for tensors in files]
    )


def row_under_way_lost(self: Implementation, files: Files, after: int) -> tuple[list[Row], list[Row]]:
    left, rows = chosen("oracle").scan_resumed(files, after)
    lost = next((row for row in rows if row not in left), None) if left else None
    return left, [row for row in rows if row is not lost]


def kept_in_twelve_digits(self: Implementation, files: Files, after: int) -> tuple[list[Row], list[Row]]:
    """What was there before goes through text."""
    left, rows = chosen("oracle").scan_resumed(files, after)
    names = {row.name for row in left}

    def printed(row: Row) -> Row:
        return Row(row.name, row.reason, {name: float(f"{x:.12g}") for name, x in row.numbers.items()})

    return left, [printed(row) if row.name in names else row for row in rows]


def written_at_the_end(self: Implementation, files: Files, after: int) -> tuple[list[Row], list[Row]]:
    """Nothing is kept until all is done: every resumption starts anew."""
    left, rows = chosen("oracle").scan_resumed(files, after)
    return left if len(left) == len(rows) else [], rows


def rows_as_they_are_done(self: Implementation, weights: Mapping[str, np.ndarray], workers: int) -> list[Row]:
    """Small layers first."""
    rows = chosen("oracle").analyzed(weights, workers)
    return rows if workers == 1 else sorted(rows, key=lambda row: weights[row.name].size)


def sums_of_each_worker(self: Implementation, weights: Mapping[str, np.ndarray], workers: int) -> list[Row]:
    def divided(row: Row) -> Row:
        if row.reason:
            return row
        shares = np.array_split(oracles.singular_value_squares(weights[row.name]), workers)
        return Row(row.name, "", row.numbers | {"norm": float(sum(np.sum(share) for share in shares))})

    return [divided(row) for row in chosen("oracle").analyzed(weights, workers)]


def a_generator_for_each_worker(self: Implementation, weights: Mapping[str, np.ndarray], workers: int) -> list[Row]:
    # The package itself is imported for its own bugs only.
    from .implementations import ours

    return ours.analyzed(weights, workers, seed=workers)


def _tail_of(raw: np.ndarray, of: windows.WindowsTruth) -> Windows | None:
    fit = chosen("setol_ww").tail_fit(np.sort(raw))
    return None if fit is None else Windows(fit.alpha, fit.rank, of.count, of.rows, of.columns)


def first_window_only(self: Implementation, W: np.ndarray, Q: float, side: int) -> Windows | None:
    of = windows.pooled_windows(W, Q, side)
    tall = W if W.shape[0] >= W.shape[1] else W.T
    return _tail_of(oracles.singular_value_squares(tall[: of.rows, : of.columns]), of)


def remainder_left_out(self: Implementation, W: np.ndarray, Q: float, side: int) -> Windows | None:
    """What is left over beside windows that stand edge to edge."""
    of = windows.pooled_windows(W, Q, side)
    tall = W if W.shape[0] >= W.shape[1] else W.T
    return chosen("oracle").window_tail(
        tall[: tall.shape[0] // of.rows * of.rows, : tall.shape[1] // of.columns * of.columns], Q, side
    )


def the_matrix_for_its_windows(self: Implementation, W: np.ndarray, Q: float, side: int) -> Windows | None:
    return _tail_of(oracles.singular_value_squares(W), windows.pooled_windows(W, Q, side))


def windows_as_it_lies(self: Implementation, W: np.ndarray, Q: float, side: int) -> Windows | None:
    """Rows stay rows: of a wide matrix the windows are other ones."""
    columns = max(1, min(W.shape[1], math.floor(W.shape[0] / Q), side))
    rows = min(W.shape[0], round(Q * columns))
    corners = [(i, j) for i in windows.even_starts(W.shape[0], rows) for j in windows.even_starts(W.shape[1], columns)]
    raw = np.concatenate([oracles.singular_value_squares(W[i : i + rows, j : j + columns]) for i, j in corners])
    return _tail_of(raw, windows.WindowsTruth(raw, len(corners), rows, columns))


def windows_above_an_absolute_threshold(self: Implementation, W: np.ndarray, Q: float, side: int) -> Windows | None:
    of = windows.pooled_windows(W, Q, side)
    kept = of.raw[of.raw > 1e-5]
    return _tail_of(kept, of) if kept.size > 1 else None


def windows_averaged(self: Implementation, W: np.ndarray, Q: float, side: int) -> Windows | None:
    """The mean of every so many pooled eigenvalues: one spectrum of the size of a window."""
    of = windows.pooled_windows(W, Q, side)
    return _tail_of(of.raw.reshape(-1, of.count).mean(axis=1), of)


BUGS: tuple[Bug, ...] = (
    Bug("product instead of a sum of logarithms", "ERG-04", "erg_cut", product_for_log_sum),
    Bug("first cut: always the k behind the sign change", "ERG-02", "erg_cut", first_cut),
    Bug("last cut: always the k before the sign change", "ERG-02", "erg_cut", last_cut),
    Bug("nearest |S_k| of all k, not of the two at the sign change", "ERG-01", "erg_cut", nearest_of_all),
    Bug("eigenvalues not rescaled to mean one", "ERG-05", "erg_cut", no_rescale),
    Bug("eigenvalues rescaled to trace one", "ERG-01", "erg_cut", trace_one),
    Bug("logarithms summed from the smallest eigenvalue up", "ERG-18", "erg_cut", ascending),
    Bug("zeros left out of the mean", "ERG-20", "erg_cut", zeros_left_out_of_the_mean),
    Bug("zeros left out of the residual", "ERG-21", "log_det", residual_without_zeros),
    Bug("one zero taken into the tail", "ERG-10", "erg_cut", one_zero_too_many),
    Bug("alpha lost beside zeros", "TAIL-16", "tail_fit", lost_beside_zeros),
    Bug("delta_lambda_min on the mean of the rank", "MEET-09", "meeting", _meeting_with(meeting_over_the_rank)),
    Bug("float32 for large matrices", "SPEC-09", "eigenvalues", float32_when_large),
    Bug("a flat spectrum has no cut", "ERG-09", "erg_cut", flat_is_nothing),
    Bug("a zero spectrum has a start of 0", "ERG-12", "erg_cut", cut_of_nothing),
    Bug("base-10 for natural logarithm in the residual", "ERG-03", "log_det", ten_for_e),
    Bug("residual divided by the rank", "ERG-03", "log_det", residual_per_eigenvalue),
    Bug("one status for every spectrum", "ERG-11", "erg_status", one_status_for_all),
    Bug("singular values, not their squares", "SPEC-03", "eigenvalues", not_squared),
    Bug("N and M swapped: the larger Gram matrix", "SPEC-01", "eigenvalues", rows_and_columns_swapped),
    Bug("divided by the number of rows", "SPEC-01", "eigenvalues", divided_by_rows),
    Bug("Gram matrix in float32", "SPEC-01", "eigenvalues", float32_gram),
    Bug("Gram matrix without a fallback for small singular values", "SPEC-06", "eigenvalues", gram_alone),
    Bug("columns centred first", "SPEC-02", "eigenvalues", centred_columns),
    Bug("spikes clipped at the bulk edge", "SPEC-08", "eigenvalues", clipped_at_the_edge),
    Bug("rank counted at one percent", "SPEC-04", "matrix_rank", rank_at_single_precision),
    Bug("one kernel slice instead of all", "SPEC-05", "pooled_eigenvalues", one_slice_only),
    Bug("convolution unfolded instead of pooled", "SPEC-05", "pooled_eigenvalues", unfolded),
    Bug("slices summed instead of pooled", "SPEC-05", "pooled_eigenvalues", summed_slices),
    Bug("absolute threshold on eigenvalues", "TAIL-02", "tail_fit", absolute_threshold),
    Bug("std with ddof: sigma over sqrt(n - 1)", "TAIL-03", "tail_fit",
        _fit_with(lambda fit, raw: _with(fit, sigma=fit.sigma * math.sqrt(fit.rank / (fit.rank - 1))))),
    Bug("bias-corrected alpha, (n - 1)/n", "TAIL-04", "tail_fit",
        _fit_with(lambda fit, raw: _with(fit, alpha=1 + (fit.alpha - 1) * (fit.rank - 1) / fit.rank))),
    Bug("base-10 for natural logarithm in alpha", "TAIL-06", "tail_fit",
        _fit_with(lambda fit, raw: _with(fit, alpha=1 + (fit.alpha - 1) * math.log(10)))),
    Bug("alpha of the distribution function, one too small", "TAIL-15", "tail_fit",
        _fit_with(lambda fit, raw: _with(fit, alpha=fit.alpha - 1))),
    Bug("half of mu: alpha halved", "TAIL-07", "tail_fit",
        _fit_with(lambda fit, raw: _with(fit, alpha=fit.alpha / 2))),
    Bug("tail without its smallest eigenvalue", "TAIL-04", "tail_fit",
        _fit_with(lambda fit, raw: _with(fit, rank=fit.rank - 1))),
    Bug("one-sided KS", "TAIL-05", "tail_fit",
        _fit_with(lambda fit, raw: _with(fit, ks=_one_sided(fit, raw)))),
    Bug("KS with upper steps i+1", "TAIL-05", "tail_fit",
        _fit_with(lambda fit, raw: _with(fit, ks=fit.ks + 1 / fit.rank))),
    Bug("no choice of the start", "TAIL-01", "tail_fit", no_choice_of_the_start),
    Bug("every other start tried", "TAIL-01", "tail_fit", every_other_start),
    Bug("tail starts between equal values", "TAIL-14", "tail_fit", last_start_on_equal_values),
    Bug("equal eigenvalues give alpha = inf", "TAIL-10", "tail_fit", infinite_alpha),
    Bug("a failed fit is -1", "TAIL-12", "tail_fit", minus_one),
    Bug("another estimator below twenty", "TAIL-11", "tail_fit", bias_corrected_when_few),
    Bug("alpha = 2 kappa for inverse Marchenko-Pastur", "TAIL-13", "tail_fit", two_kappa),
    Bug("alpha saturates at 4", "TAIL-09", "tail_fit", saturating_alpha),
    Bug("delta_lambda_min with the sign of the text, not of Eq. 164", "MEET-04", "meeting",
        _meeting_with(lambda both, raw: {"delta_lambda_min": -both.delta_lambda_min})),
    Bug("delta_lambda_min on the raw scale", "MEET-07", "meeting",
        _meeting_with(lambda both, raw: {"delta_lambda_min": both.delta_lambda_min * np.mean(raw)})),
    Bug("rank gap with the other sign", "MEET-02", "meeting",
        _meeting_with(lambda both, raw: {"rank_gap": -both.rank_gap})),
    Bug("delta_lambda_min always positive", "MEET-03", "meeting",
        _meeting_with(lambda both, raw: {"delta_lambda_min": abs(both.delta_lambda_min)})),
    Bug("erg_metric over the ERG tail", "MEET-01", "meeting", _meeting_with(metric_of_the_erg_tail)),
    Bug("alpha_erg of the power-law tail", "MEET-06", "meeting", _meeting_with(alpha_of_the_power_law)),
    Bug("every layer is ideal", "MEET-08", "state", every_layer_is_ideal),
    Bug("ideal by alpha alone", "MEET-08", "state", ideal_by_alpha_alone),
    Bug("sigma of the bulk from the variance of all entries", "BULK-04", "bulk", _bulk_with(variance_of_all_entries)),
    Bug("spikes masked by the variance they inflate", "BULK-03", "bulk", _bulk_with(variance_of_all_entries)),
    Bug("no Tracy-Widom fluctuation at the edge", "BULK-02", "bulk", _bulk_with(spikes_above_the_bare_edge)),
    Bug("lower edge 0 for rectangular layers", "BULK-04", "bulk", _bulk_with(quarter_circle_edge)),
    Bug("edge of unit variance", "BULK-05", "bulk", _bulk_with(edge_without_sigma)),
    Bug("sigma by the smaller side", "BULK-01", "bulk", _bulk_with(sigma_over_the_columns)),
    Bug("dead columns in the variance", "BULK-07", "bulk", _bulk_with(all_columns_alive)),
    Bug("one slice for all", "BULK-08", "bulk", one_slice_of_all),
    Bug("a bulk of zeros for a zero layer", "BULK-06", "bulk", bulk_of_everything),
    Bug("signals below the threshold counted", "BULK-09", "bulk", _bulk_with(subcritical_spikes)),
    Bug("the class by alpha alone", "CLASS-01", "universality", class_by_alpha_alone),
    Bug("the class of noise by alpha alone", "CLASS-06", "universality", class_by_alpha_alone),
    Bug("an orthogonal layer without a class", "CLASS-02", "universality", flat_is_undetermined),
    Bug("a spike is a heavy tail", "CLASS-03", "universality", heavy_once_it_leaves_the_bulk),
    Bug("a heavy tail is many spikes", "CLASS-04", "universality", spikes_where_the_tail_is_heavy),
    Bug("mu read off alpha", "CLASS-05", "universality", classes_of_the_entries),
    Bug("rank collapse is bulk and spikes", "CLASS-07", "universality",
        _class_with({"rank collapse": "bulk+spikes"})),
    Bug("the class after an absolute threshold", "CLASS-08", "universality", class_of_unscaled_eigenvalues),
    Bug("noise where nothing is known", "CLASS-09", "universality", _class_with({"undetermined": "random-like"})),
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
    Bug("at most one trap counted", "TRAP-09", "traps", at_most_one_trap),
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
    Bug("A_M for A_N in the quality", "QUAL-01", "quality", ecs_normalisation, "oracle"),
    Bug("H on a grid of twelve points", "QUAL-06", "quality", quality_on_a_grid),
    Bug("the normed quality with zeros", "QUAL-07", "quality_norm", padded_when_normed, "oracle"),
    Bug("the normed quality to first order", "QUAL-07", "quality_norm", first_order_only),
    Bug("Fig. 24 with the share of the tail", "QUAL-08", "quality_paper", share_of_the_tail),
    Bug("Fig. 24 with two cumulants", "QUAL-08", "quality_paper", third_order_left_out),
    Bug("quality per ECS eigenvalue", "QUAL-09", "quality", grows_with_padding, "oracle"),
    Bug("Eq. 163 with its argument divided twice", "QUAL-05", "quality_series", argument_divided_twice, "oracle"),
    Bug("Eq. 163 with argument lambda, not lambda/M", "QUAL-04", "quality_series", argument_not_divided, "oracle"),
    Bug("biased permutation: rows only", "TRAP-08", "traps", rows_shuffled_only),
    Bug("seed ignored", "TRAP-05", "traps", seed_ignored),
    Bug("spikes counted below the edge", "TRAP-01", "traps", counted_in_the_bulk),
    Bug("spikes counted at three times the edge", "TRAP-02", "traps", counted_far_out),
    Bug("noise of variance one assumed", "TRAP-06", "traps", unit_noise_assumed),
    Bug("the trap counted in each of five shuffles", "TRAP-07", "traps", counted_in_five_shuffles),
    Bug("everything beyond the edge is certain", "TRAP-10", "trap_pvalue", certain_beyond_the_edge),
    Bug("nothing is ever improbable", "TRAP-10", "trap_pvalue", nothing_is_improbable),
    Bug("normal entries assumed", "TRAP-11", "trap_pvalue", normal_entries_assumed),
    Bug("traps removed in place", "TRAP-12", "remove_traps", removed_in_place),
    Bug("all entries clipped at 3 sigma", "TRAP-12", "remove_traps", all_clipped),
    Bug("the outlier subtracted from the original", "TRAP-12", "remove_traps", leading_part_subtracted),
    Bug("row and column of the element exchanged", "TRAP-13", "trap_elements", column_before_row),
    Bug("traps from three times the threshold on", "TRAP-14", "traps", counted_from_three_thresholds),
    Bug("shuffled as it lies in memory", "TRAP-15", "trap_pvalue", shuffled_as_it_lies),
    Bug("a p-value of 1 without noise", "TRAP-16", "trap_pvalue", one_without_noise),
    Bug("the smallest singular values kept", "TRUNC-01", "truncate", keeps_the_smallest),
    Bug("off by one in the rank", "TRUNC-01", "truncate", one_too_many),
    Bug("truncation rescaled to the old norm", "TRUNC-03", "truncate", keeps_the_norm),
    Bug("soft instead of hard threshold", "TRUNC-02", "truncate", soft_threshold),
    Bug("the same projection whatever the orientation", "TRUNC-05", "truncate", rows_of_a_tall_matrix),
    Bug("projected by vectors that are not orthonormal", "TRUNC-06", "truncate", not_orthonormal),
    Bug("truncated again at another rank", "TRUNC-04", "truncate", one_less_when_rank_deficient),
    Bug("every kernel slice cut at its own rank", "TRUNC-07", "truncate_slices", as_many_of_each),
    Bug("kernel slices unfolded before they are cut", "TRUNC-07", "truncate_slices", unfolded_and_cut),
    Bug("the cubic approximation of the hard threshold", "TRUNC-08", "optimal_threshold", cubic_threshold),
    Bug("the hard threshold for known noise", "TRUNC-08", "optimal_threshold", threshold_of_known_noise),
    Bug("half precision multiplied in half precision", "SPEC-10", "stored_eigenvalues", multiplied_as_stored),
    Bug("the last, incomplete block left out", "SPEC-11", "eigenvalues", full_blocks_only),
    Bug("blocks that share a row", "SPEC-11", "eigenvalues", overlapping_blocks),
    Bug("entries read as they lie in memory", "SPEC-12", "eigenvalues", read_as_it_lies),
    Bug("weights scaled in place", "SPEC-12", "eigenvalues", scaled_in_place),
    Bug("rank at the epsilon of the storage type", "SPEC-13", "stored_rank", rank_at_the_precision_of_the_weights),
    Bug("no fallback for the zeros of a stored layer", "SPEC-13", "stored_eigenvalues", zeros_of_a_gram_matrix),
    Bug("rows in the order of the files", "SCAN-01", "scan", rows_of_files_in_turn, "oracle"),
    Bug("only the first file", "SCAN-01", "scan", first_file_only, "oracle"),
    Bug("names and numbers in different orders", "SCAN-01", "scan", numbers_of_another_row),
    Bug("shards merged one behind the other", "SCAN-02", "scan_shards", shards_one_behind_the_other, "oracle"),
    Bug("shards that overlap", "SCAN-02", "scan_shards", shards_that_overlap, "oracle"),
    Bug("a column relative to the largest layer", "SCAN-03", "scan", by_the_largest_layer, "oracle"),
    Bug("one bad layer ends the scan", "SCAN-04", "scan", ended_by_a_bad_layer),
    Bug("bad layers without a row", "SCAN-04", "scan", bad_layers_left_out),
    Bug("-1 for the numbers of a bad layer", "SCAN-04", "scan", minus_one_for_bad_layers),
    Bug("NaN analysed as zero", "SCAN-04", "scan", zeros_for_what_is_not_finite),
    Bug("the row under way lost by an interruption", "SCAN-05", "scan_resumed", row_under_way_lost, "oracle"),
    Bug("kept rows in twelve digits", "SCAN-05", "scan_resumed", kept_in_twelve_digits, "oracle"),
    Bug("rows written at the end only", "SCAN-05", "scan_resumed", written_at_the_end, "oracle"),
    Bug("rows as workers are done with them", "SCAN-06", "analyzed", rows_as_they_are_done, "oracle"),
    Bug("sums divided among workers", "SCAN-06", "analyzed", sums_of_each_worker, "oracle"),
    Bug("a generator for each worker", "SCAN-06", "analyzed", a_generator_for_each_worker),
    Bug("the first window only", "FARMS-01", "window_tail", first_window_only),
    Bug("the remainder beside the windows left out", "FARMS-01", "window_tail", remainder_left_out),
    Bug("the matrix for its windows", "FARMS-01", "window_tail", the_matrix_for_its_windows),
    Bug("windows in the orientation of W", "FARMS-02", "window_tail", windows_as_it_lies),
    Bug("an absolute threshold on the eigenvalues of windows", "FARMS-02", "window_tail",
        windows_above_an_absolute_threshold),
    Bug("spectra of windows averaged", "FARMS-03", "window_tail", windows_averaged),
)  # fmt: skip


def _one_sided(fit: Tail, raw: np.ndarray) -> float:
    tail = raw[-fit.rank :]
    law = 1 - (tail / tail[0]) ** (1 - fit.alpha)
    return float(np.max(law - np.arange(tail.size) / tail.size))


def as_markdown(rows: list[tuple[Bug, str, int]]) -> str:
    """The kill table: bug, killer, what it said, after how many examples."""
    lines = [
        "# Planted bugs",
        "",
        f"{len(rows)} bugs, each planted in one method of an implementation and killed by the clause named, in the "
        "`ci` profile. Made by `python scripts/teeth_table.py`.",
        "",
        "| bug | in | killed by | examples until then | what the clause said |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {bug.name} | {bug.base}.{bug.method} | {bug.killer} | {examples} | {said} |" for bug, said, examples in rows
    ]
    return "\n".join(lines) + "\n"
