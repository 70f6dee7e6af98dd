"""Results are those of before: every number to six digits and every sentence, of layers, laws and traps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ..golden import kept

#: Small differences of large numbers, the second of float32.
ABSOLUTE = {"log_det": 1e-12, "erg_metric": 1e-12, "k4": 1e-4, "k6": 1e-4}


@pytest.mark.parametrize("name", kept.CASES)
def test_results_are_those_of_before(name):
    """A number in a table of last year's can be compared with one of today's; a host may let numpy raise."""
    with np.errstate(all="raise"):
        found = kept.CASES[name]()
    now, before = kept.flat(kept.rounded(found)), kept.flat(kept.kept()[name])
    changed = {place: (before.get(place), now.get(place)) for place in now | before if not same(place, now, before)}
    assert changed == {}, "if it is meant: python -m spec_tests.golden.kept, and a line in docs/changes"


def same(place: str, now: dict[str, Any], before: dict[str, Any]) -> bool:
    if place not in now or place not in before:
        return False
    one, other = now[place], before[place]
    if isinstance(one, float) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=ABSOLUTE.get(place.rpartition(".")[2], 1e-300))
    return bool(one == other)


def test_no_kept_number_is_of_nothing():
    assert set(kept.kept()) == set(kept.CASES)
