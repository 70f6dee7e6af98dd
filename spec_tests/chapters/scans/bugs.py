"""Bugs planted for the chapter's clauses to notice."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fixtures import oracles
from spec_tests.bug import Bug
from spec_tests.protocol import Files, Implementation, Row, chosen


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
    from spec_tests.implementations import ours

    return ours.analyzed(weights, workers, seed=workers)


BUGS: tuple[Bug, ...] = (
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
)  # fmt: skip
