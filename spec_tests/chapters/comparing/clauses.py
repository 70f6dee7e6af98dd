"""The checks of the chapter's clauses."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from fixtures import ensembles, updates
from spec_tests.protocol import Moved
from spec_tests.runner import checks
from spec_tests.strategies import SCALES, SEEDS

SHAPES = st.tuples(st.integers(12, 40), st.integers(12, 40))
SHARES = ("inside", "left", "right", "overlap_left", "overlap_right")
ANGLES = ("angle_left", "angle_right")


def drawn(shape: tuple[int, int], seed: int, size: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """A matrix of a heavy tail, and the same with noise added."""
    base = updates.heavy_matrix(*shape, seed=seed)
    noise = np.random.default_rng(seed + 1).normal(size=shape)
    return base, base + noise * size * np.linalg.norm(base) / np.linalg.norm(noise)


def same(watch, what: str, got: Moved, want: Moved, tol: float) -> None:
    """Shares within `tol`, angles within 1e-4 degrees."""
    for name in SHARES:
        watch.close(f"{what}: {name}", getattr(got, name), getattr(want, name), tol=tol)
    for name in ANGLES:
        watch.close(f"{what}: {name}", getattr(got, name), getattr(want, name), tol=1e-4)


@checks.add("COMP-01", shape=SHAPES, seed=SEEDS)
def nothing_moved(impl, watch, shape: tuple[int, int], seed: int):
    base = updates.heavy_matrix(*shape, seed=seed)
    found = impl.update([base], [base.copy()])
    watch.equal("norm share", found.norm_share, 0.0)
    watch.equal("rank", found.rank, 0)
    watch.equal("overlaps", (found.overlap_left, found.overlap_right), (1.0, 1.0))
    watch.equal("angles", (found.angle_left, found.angle_right), (0.0, 0.0))


@checks.add("COMP-02", shape=SHAPES, slices=st.integers(1, 4), seed=SEEDS)
def projectors_written_out(impl, watch, shape: tuple[int, int], slices: int, seed: int):
    pairs = [drawn(shape, seed + 7 * number, 0.2 + 0.1 * number) for number in range(slices)]
    scales = 1 + np.arange(slices)
    base, tuned = ([scale * pair[side] for scale, pair in zip(scales, pairs)] for side in (0, 1))
    whole = [updates.block_diagonal(one) for one in (base, tuned)]
    ranks = [updates.erg_rank(one) for one in (base, tuned)]
    truth = updates.place(*whole, *ranks)
    found = impl.update(base, tuned)
    same(watch, "written out", found, Moved.of(truth, found), 1e-8)
    share = np.linalg.norm(whole[1] - whole[0]) / np.linalg.norm(whole[0])
    watch.near("norm share", found.norm_share, share, rel=1e-12)


@checks.add("COMP-03", shape=SHAPES, rank=st.integers(1, 4), inside=st.booleans(), seed=SEEDS)
def a_planted_update_is_found(impl, watch, shape: tuple[int, int], rank: int, inside: bool, seed: int):
    base = updates.heavy_matrix(*shape, seed=seed)
    ecs_rank = updates.erg_rank([base])
    if not rank <= min(ecs_rank, min(shape) - ecs_rank):
        return
    update = updates.planted(base, rank, ecs_rank, inside=inside, size=0.25, seed=seed)
    found = impl.update([base], [base + update])
    watch.equal("rank", found.rank, rank)
    watch.near("norm share", found.norm_share, 0.25, rel=1e-9)
    for side in ("inside", "left", "right"):
        watch.close(side, getattr(found, side), float(inside), tol=1e-8)


@checks.add("COMP-04", shape=SHAPES, scale=SCALES, seed=SEEDS)
def sees_no_axes_and_no_scale(impl, watch, shape: tuple[int, int], scale: float, seed: int):
    base, tuned = drawn(shape, seed)
    found = impl.update([base], [tuned])
    left, right = (np.linalg.qr(ensembles.gaussian_matrix(side, side, seed + side))[0] for side in shape)
    turned = impl.update([scale * left @ base @ right], [scale * left @ tuned @ right])
    same(watch, f"rotated, times {scale}", turned, found, 1e-7)
    watch.near("norm share", turned.norm_share, found.norm_share, rel=1e-9)
    watch.equal("rank", turned.rank, found.rank)
    same(watch, "transposed", impl.update([base.T], [tuned.T]), found.transposed(), 1e-7)


@checks.add("COMP-05", shape=SHAPES, seed=SEEDS)
def angles_from_either_side(impl, watch, shape: tuple[int, int], seed: int):
    base, tuned = drawn(shape, seed)
    found, back = impl.update([base], [tuned]), impl.update([tuned], [base])
    for name in ("overlap_left", "overlap_right"):
        watch.close(name, getattr(back, name), getattr(found, name), tol=1e-9)
    for name in ANGLES:
        watch.close(name, getattr(back, name), getattr(found, name), tol=1e-4)


@checks.add("COMP-06", shape=st.tuples(st.integers(60, 90), st.integers(60, 90)), seed=SEEDS, share=0.5)
def chance_is_the_share_of_directions(impl, watch, shape: tuple[int, int], seed: int):
    base, tuned = drawn(shape, seed)
    found = impl.update([base], [tuned])
    rank = updates.erg_rank([base])
    wanted = {"left": rank / shape[0], "right": rank / shape[1], "inside": rank**2 / (shape[0] * shape[1])}
    for name, mean in wanted.items():
        # A share of N M independent squares: 2 (1 - share) share over their number is its variance.
        error = np.sqrt(2 * mean * (1 - mean) / (shape[0] * shape[1]))
        watch.close(name, getattr(found, name), mean, tol=6 * error)
    watch.at_most("inside both minus inside one", found.inside - min(found.left, found.right), 0.0)


@checks.add("COMP-07", dtype=st.sampled_from(["bfloat16", "float16"]), rank=st.integers(0, 4), seed=SEEDS)
def rounding_is_no_update(impl, watch, dtype: str, rank: int, seed: int):
    base = updates.heavy_matrix(60, 40, seed=seed).astype(np.float32)
    update = np.zeros_like(base)
    if rank:
        update = updates.planted(base.astype(float), rank, 10, inside=True, size=0.2, seed=seed).astype(np.float32)
    found = impl.update_stored(base, base + update, dtype)
    watch.equal("rank", found, rank)
