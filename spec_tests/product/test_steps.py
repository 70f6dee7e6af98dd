"""Roots and vectors that are looked for step by step are found in few: counted by the lines that are run."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.ensembles import gaussian_matrix, pareto_eigenvalues
from fixtures.uneven_noise import lognormal_strengths
from setol_ww.linalg import filtered
from setol_ww.theory import transforms
from setol_ww.theory.laws import edges
from setol_ww.theory.laws.separable import Separable, _Unknown
from setol_ww.theory.laws.sides import Side
from setol_ww.theory.laws.uneven_noise import UnevenNoise
from setol_ww.theory.resolvents import _interpolated, sum_of_integrated_r

SIDE = Side(np.sort(lognormal_strengths(60, 0.5, 1)))
OTHER = Side(np.append(np.sort(lognormal_strengths(40, 0.3, 2)), 30.0))
LAW = UnevenNoise(SIDE.strengths, OTHER.strengths)
ATOMS = pareto_eigenvalues(90, 2.0, seed=0)
GRAM = torch.from_numpy(np.cov(gaussian_matrix(200, 100, seed=0).T))


def most_runs_of_a_line(code: CodeType, work: Callable[[], Any]) -> int:
    """How often the line of this code was run that was run most in one call."""
    most = 0

    def tracer(frame: Any, event: str, _: Any) -> Any:
        if frame.f_code is not code:
            return None
        counts: dict[int, int] = {}

        def lines(frame: Any, event: str, _: Any) -> Any:
            nonlocal most
            if event == "line":
                counts[frame.f_lineno] = counts.get(frame.f_lineno, 0) + 1
                most = max(most, counts[frame.f_lineno])
            return lines

        return lines

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        work()
    finally:
        sys.settrace(before)
    return most


LAW.support  # noqa: B018 what the next law is near to


def resolvent() -> np.ndarray:
    return Separable(SIDE, OTHER, 0.6).solve(np.linspace(0.5, 4, 20))


#: What is looked for, in which function, and in how many steps at most.
SEARCHES: dict[str, tuple[Callable[[], Any], Callable[..., Any], int]] = {
    "roots above": (lambda: [SIDE.above(value) for value in (1e-3, 1.0, 50.0)], Side.above, 7),
    "roots below": (lambda: [SIDE.below(value) for value in (1.001, 3.0, 50.0)], Side.below, 8),
    "roots below zero": (lambda: [SIDE.negative(value) for value in (1e-3, 0.5, 0.99)], Side.negative, 7),
    "an upper edge": (lambda: edges.upper_edge(SIDE, OTHER, 0.6), edges.upper_edge, 10),
    "a lower edge": (lambda: edges.lower_edge(SIDE, OTHER, 0.6), edges.lower_edge, 6),
    "an edge near another": (lambda: LAW.at(1.02 * LAW.q).support, edges.upper_edge, 4),
    "a resolvent": (resolvent, _Unknown._newton, 10),
    "R of a spectrum": (lambda: transforms.r_transform(np.geomspace(1e-4, 1e4, 9), ATOMS), transforms.distances, 9),
    "sums of R": (
        lambda: sum_of_integrated_r(np.geomspace(0.01, 9, 99), ATOMS, np.full(90, 1 / 90)), _interpolated, 4,
    ),
    "vectors by a filter": (
        lambda: filtered.leading_vectors(GRAM, torch.linalg.eigvalsh(GRAM), 3), filtered._filtered, 3,
    ),
    "a polynomial": (
        lambda: filtered.leading_vectors(GRAM, torch.linalg.eigvalsh(GRAM), 3), filtered._polynomial, 40,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SEARCHES)
def test_what_is_looked_for_is_found_in_few_steps(name):
    work, function, most = SEARCHES[name]
    steps = most_runs_of_a_line(function.__code__, work)
    assert 1 <= steps <= most


def test_steps_are_counted_by_the_lines_that_are_run():
    def slowly(number: int) -> float:
        total = 0.0
        for place in range(number):
            total += math.sqrt(place)
        return total

    assert [most_runs_of_a_line(slowly.__code__, lambda: slowly(number)) for number in (3, 90)] == [4, 91]  # noqa: B023
