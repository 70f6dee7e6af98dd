"""Bugs planted for the chapter's clauses to notice."""

from __future__ import annotations

import itertools
import math

import numpy as np

from fixtures import oracles
from fixtures import traps as trap_oracle
from spec_tests.bug import Bug, kept_directions
from spec_tests.protocol import Implementation, Traps, chosen


def at_most_one_trap(self: Implementation, W: np.ndarray, seed: int) -> Traps:
    found = chosen("oracle").traps(W, seed)
    return Traps(min(found.count, 1), found.lambda_max)


def rows_shuffled_only(self: Implementation, W: np.ndarray, seed: int) -> Traps:
    shuffled = np.random.default_rng(seed).permutation(W, axis=0)
    return Traps(trap_oracle.count_traps(W, seed), float(oracles.singular_value_squares(shuffled)[-1]))


#: Seeds of a generator that goes on from call to call, whatever seed is asked.
_CALLS = itertools.count()


def seed_ignored(self: Implementation, W: np.ndarray, seed: int) -> Traps:
    fresh = np.random.default_rng([next(_CALLS), 1])
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
    return kept_directions(W, lambda sigma: np.where(np.arange(sigma.size) >= 1, sigma, 0))


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


def edge_outside_its_domain(self: Implementation, W: np.ndarray, seed: int) -> list[str]:
    """1 + k4 / sqrt(N M) + k6 / (N M) wherever it is asked."""
    x = (W - W.mean()) / W.std()
    m4, m6 = float(np.mean(x**4)), float(np.mean(x**6))
    centre = trap_oracle.johnstone(*W.shape)[0]
    end = centre * (1 + (m4 - 3) / np.sqrt(W.size) + (m6 - 15 * m4 + 30) / W.size)
    largest = np.linalg.norm(trap_oracle.shuffle(W, seed) / W.std(), 2) ** 2
    return chosen("setol_ww").trap_carriers(W, seed) if largest > end else []


BUGS: tuple[Bug, ...] = (
    Bug("at most one trap counted", "TRAP-09", "traps", at_most_one_trap),
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
    Bug("the series of the edge outside its domain", "TRAP-17", "trap_carriers", edge_outside_its_domain),
)  # fmt: skip
