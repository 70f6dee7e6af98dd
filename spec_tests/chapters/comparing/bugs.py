"""Bugs planted for the chapter's clauses to notice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fixtures import updates
from spec_tests.bug import Bug
from spec_tests.protocol import Implementation, Moved, chosen


def _sound(base: list[np.ndarray], tuned: list[np.ndarray]) -> Moved:
    return chosen("setol_ww").update(base, tuned)


def inside_of_the_tuned(self: Implementation, base: list[np.ndarray], tuned: list[np.ndarray]) -> Moved:
    found, other = _sound(base, tuned), _sound(tuned, base)
    return replace(found, inside=other.inside, left=other.left, right=other.right)


def one_side_only(self: Implementation, base: list[np.ndarray], tuned: list[np.ndarray]) -> Moved:
    found = _sound(base, tuned)
    return replace(found, inside=found.left)


def sides_exchanged(self: Implementation, base: list[np.ndarray], tuned: list[np.ndarray]) -> Moved:
    return _sound(base, tuned).transposed()


def norms_for_energies(self: Implementation, base: list[np.ndarray], tuned: list[np.ndarray]) -> Moved:
    found = _sound(base, tuned)
    return replace(found, inside=found.inside**0.5, left=found.left**0.5, right=found.right**0.5)


def as_many_of_each_slice(self: Implementation, base: list[np.ndarray], tuned: list[np.ndarray]) -> Moved:
    """Every slice has the same number of leading directions."""
    found = _sound(base, tuned)
    each = max(1, round(updates.erg_rank(base) / len(base)))
    energy = [np.sum((other - one) ** 2) for one, other in zip(base, tuned)]
    parts = [updates.place(one, other, each, each) for one, other in zip(base, tuned)]
    shares = {name: sum(getattr(p, key) * e for p, e in zip(parts, energy)) / sum(energy) if sum(energy) else 1.0
              for name, key in (("inside", "both"), ("left", "left"), ("right", "right"))}  # fmt: skip
    return replace(found, **shares) if len(base) > 1 else found


def over_the_norm_of_the_tuned(self: Implementation, base: list[np.ndarray], tuned: list[np.ndarray]) -> Moved:
    found = _sound(base, tuned)
    ratio = np.sqrt(sum(np.sum(one**2) for one in base) / sum(np.sum(one**2) for one in tuned))
    return replace(found, norm_share=found.norm_share * ratio)


def overlap_of_the_larger(self: Implementation, base: list[np.ndarray], tuned: list[np.ndarray]) -> Moved:
    """The sum of squared cosines over the number of directions of the base."""
    found = _sound(base, tuned)
    ranks = updates.erg_rank(base), updates.erg_rank(tuned)
    ratio = min(ranks) / ranks[0]
    return replace(found, overlap_left=found.overlap_left * ratio, overlap_right=found.overlap_right * ratio)


def numerical_rank(self: Implementation, base: np.ndarray, tuned: np.ndarray, dtype: str) -> int:
    """Rounding counts."""
    stored = [updates.rounded(one, dtype) for one in (base, tuned)]
    return int(np.linalg.matrix_rank(stored[1] - stored[0]))


def rank_above_a_share_of_the_weight(self: Implementation, base: np.ndarray, tuned: np.ndarray, dtype: str) -> int:
    """Singular values above a hundredth of the largest of the weight, whatever the type."""
    sigma = np.linalg.svd(tuned - base, compute_uv=False)
    return int(np.sum(sigma > 0.5 * np.linalg.norm(base, 2)))


BUGS: tuple[Bug, ...] = (
    Bug("shares in the space of the tuned model", "COMP-03", "update", inside_of_the_tuned),
    Bug("inside on one side counted as inside", "COMP-02", "update", one_side_only),
    Bug("left and right exchanged", "COMP-02", "update", sides_exchanged),
    Bug("norms in the place of energies", "COMP-06", "update", norms_for_energies),
    Bug("as many directions of each slice", "COMP-02", "update", as_many_of_each_slice),
    Bug("norm share over the tuned weight", "COMP-03", "update", over_the_norm_of_the_tuned),
    Bug("overlap over the directions of the base", "COMP-05", "update", overlap_of_the_larger),
    Bug("rounding counted as rank", "COMP-07", "update_stored", numerical_rank),
    Bug("rank by a share of the weight", "COMP-07", "update_stored", rank_above_a_share_of_the_weight),
)
