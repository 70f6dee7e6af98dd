"""Bugs planted for the chapter's clauses to notice."""

from __future__ import annotations

import numpy as np

from fixtures import free_probability
from spec_tests.bug import Bug
from spec_tests.protocol import Implementation


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


BUGS: tuple[Bug, ...] = (
    Bug("A_M for A_N in the quality", "QUAL-01", "quality", ecs_normalisation, "oracle"),
    Bug("H on a grid of twelve points", "QUAL-06", "quality", quality_on_a_grid),
    Bug("the normed quality with zeros", "QUAL-07", "quality_norm", padded_when_normed, "oracle"),
    Bug("the normed quality to first order", "QUAL-07", "quality_norm", first_order_only),
    Bug("Fig. 24 with the share of the tail", "QUAL-08", "quality_paper", share_of_the_tail),
    Bug("Fig. 24 with two cumulants", "QUAL-08", "quality_paper", third_order_left_out),
    Bug("quality per ECS eigenvalue", "QUAL-09", "quality", grows_with_padding, "oracle"),
    Bug("Eq. 163 with its argument divided twice", "QUAL-05", "quality_series", argument_divided_twice, "oracle"),
    Bug("Eq. 163 with argument lambda, not lambda/M", "QUAL-04", "quality_series", argument_not_divided, "oracle"),
)  # fmt: skip
