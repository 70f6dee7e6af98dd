"""The checks of the chapter's clauses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from fixtures import oracles
from spec_tests.protocol import Files, Row
from spec_tests.runner import checks
from spec_tests.strategies import FEWEST, MATRICES, SEEDS, MatrixCase, matrices

LAYERS = st.lists(matrices(FEWEST, 24, tuple(MATRICES)), min_size=1, max_size=4)
BAD = ("NaN", "infinite", "integers", "empty")


def checkpoint(layers: Sequence[MatrixCase]) -> dict[str, np.ndarray]:
    """A float32 tensor for each; their numbers go from 9 to 12, where order by letters and by size differ."""
    return {f"layers.{9 + i}.weight": case.W.astype(np.float32) for i, case in enumerate(layers)}


def bad_tensor(kind: str) -> np.ndarray:
    """What has no spectrum."""
    if kind == "empty":
        return np.zeros((0, 12), dtype=np.float32)
    if kind == "integers":
        return np.ones((12, 12), dtype=np.int8)
    W = np.random.default_rng(0).normal(size=(16, 12)).astype(np.float32)
    W[3, 5] = np.nan if kind == "NaN" else np.inf
    return W


def dealt(weights: dict[str, np.ndarray], count: int, seed: int) -> Files:
    """The same tensors shuffled and dealt out to `count` files, or as many as there are tensors."""
    names = np.random.default_rng(seed).permutation(list(weights)).tolist()
    return [{name: weights[name] for name in names[i::count]} for i in range(min(count, len(names)))]


def exactly(row: Row) -> dict[str, str]:
    """A row as it is compared: every bit of every number, one NaN like another."""
    return {"reason": row.reason, **{name: float(x).hex() for name, x in row.numbers.items()}}


def same(watch, what: str, got: Sequence[Row], want: Sequence[Row]) -> None:
    """Two lists of rows, row by row; what differs is told."""
    watch.equal(f"{what}: the rows", [row.name for row in got], [row.name for row in want])
    for one, other in zip(got, want, strict=True):
        ours, theirs = exactly(one), exactly(other)
        watch.equal(f"{what}: columns of {one.name}", list(ours), list(theirs))
        for name, value in ours.items():
            watch.equal(f"{what}: {name} of {one.name}", value, theirs[name])


@checks.add("SCAN-01", layers=LAYERS, count=st.integers(1, 3), seed=SEEDS, share=0.5)
def one_row_each(impl, watch, layers: list[MatrixCase], count: int, seed: int):
    weights = checkpoint(layers)
    rows = impl.scan([weights])
    watch.equal("names of the rows, sorted", sorted(row.name for row in rows), sorted(weights))
    for row in rows:
        truth = oracles.singular_value_squares(weights[row.name])
        watch.near(f"norm of {row.name}", row.numbers["norm"], truth.sum(), rel=1e-11)
        watch.near(f"lambda_max of {row.name}", row.numbers["lambda_max"], truth[-1], rel=1e-11)
    same(watch, "shuffled and dealt out", impl.scan(dealt(weights, count, seed)), rows)


@checks.add("SCAN-02", layers=LAYERS, bad=st.booleans(), n=st.integers(1, 4), seed=SEEDS, share=0.25)
def shards_are_one_scan(impl, watch, layers: list[MatrixCase], bad: bool, n: int, seed: int):
    files = dealt(checkpoint(layers) | ({"bad.weight": bad_tensor("NaN")} if bad else {}), 2, seed)
    whole = impl.scan(files)
    parts, merged = impl.scan_shards(files, n)
    watch.equal("number of shards", len(parts), n)
    watch.equal(
        "rows of all shards, sorted",
        sorted(row.name for part in parts for row in part),
        sorted(row.name for row in whole),
    )
    watch.equal("rows that one shard and its siblings hold", len(merged), sum(map(len, parts)))
    same(watch, f"{n} shards merged", merged, whole)


@checks.add("SCAN-03", layers=LAYERS, kept=st.integers(1, 15), seed=SEEDS, share=0.5)
def rows_stand_alone(impl, watch, layers: list[MatrixCase], kept: int, seed: int):
    weights = checkpoint(layers)
    whole = impl.scan([weights])
    chosen = {name: W for i, (name, W) in enumerate(weights.items()) if kept >> i & 1} or weights
    same(watch, "fewer layers", impl.scan([chosen]), [row for row in whole if row.name in chosen])


@checks.add(
    "SCAN-04",
    layers=LAYERS,
    kinds=st.lists(st.sampled_from(BAD), min_size=1, max_size=2),
    vector=st.booleans(),
    seed=SEEDS,
    share=0.5,
)
def bad_layers_keep_to_themselves(impl, watch, layers: list[MatrixCase], kinds: list[str], vector: bool, seed: int):
    weights = checkpoint(layers)
    bad = {f"layers.{5 * i + 8}.mlp.weight": bad_tensor(kind) for i, kind in enumerate(kinds)}
    others = {"layers.9.bias": np.ones(12, dtype=np.float32)} if vector else {}
    rows = impl.scan(dealt(weights | bad | others, 1, seed))
    same(watch, f"beside {kinds}", [row for row in rows if row.name in weights], impl.scan([weights]))
    watch.equal("bad layers with a row", sorted(row.name for row in rows if row.name in bad), sorted(bad))
    for row in rows:
        if row.name in bad:
            watch.that(bool(row.reason), f"{row.name} ({kinds}) has no reason")
            made_up = {name: x for name, x in row.numbers.items() if not np.isnan(x)}
            watch.that(not made_up, f"{row.name} ({kinds}) has numbers, {made_up}")


@checks.add("SCAN-05", layers=LAYERS, bad=st.booleans(), after=st.integers(0, 5), share=0.25)
def resumed_is_one_go(impl, watch, layers: list[MatrixCase], bad: bool, after: int):
    files = [checkpoint(layers) | ({"bad.weight": bad_tensor("NaN")} if bad else {})]
    whole = impl.scan(files)
    left, resumed = impl.scan_resumed(files, after)
    watch.equal("rows that were kept", len(left), min(after, len(whole)))
    same(watch, f"kept after {after}", left, [row for row in whole if row.name in {kept.name for kept in left}])
    same(watch, f"resumed after {after}", resumed, whole)


@checks.add("SCAN-06", layers=LAYERS, bad=st.booleans(), workers=st.integers(2, 4), share=0.25)
def workers_change_nothing(impl, watch, layers: list[MatrixCase], bad: bool, workers: int):
    weights = checkpoint(layers)
    model = weights | ({"layers.1.weight": bad_tensor("NaN")} if bad else {})
    alone = impl.analyzed(model, 1)
    watch.equal("names of the rows, sorted", sorted(row.name for row in alone), sorted(model))
    for row in alone:
        if row.name in weights:
            truth = oracles.singular_value_squares(weights[row.name])
            watch.near(f"norm of {row.name}", row.numbers["norm"], truth.sum(), rel=1e-11)
    same(watch, f"{workers} workers", impl.analyzed(model, workers), alone)
