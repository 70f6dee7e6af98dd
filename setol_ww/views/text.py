"""Finished tables as plain text that fits a terminal, names shown whatever is in them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from ..core.printable import USUAL, GridColumn, grid, shortened, terminal_width, visible, wrapped
from ..results.printed import ten_columns, title

WIDTH = USUAL
NAME_WIDTH = 34
# More than these with one reason have one line.
ALIKE = 3


def layer_name(row: pd.Series) -> str:
    """Long name with the slice as it can be shown, shortened in the middle."""
    return shortened(title(row["longname"], row["slice"]), NAME_WIDTH)


def text_table(frame: pd.DataFrame, width: int | None = None, *, colour: bool = False) -> str:
    """A line for each layer, as much of it as the terminal is wide: size, tail exponent, ERG cut, class and state.

    Parameters
    ----------
    frame : DataFrame
        As `setol_ww.analyze` returns it, with `detX=True`.
    width : int, optional
        Columns of the terminal, from 60 to 200; found out by default.
    colour : bool
        Whether states, classes and flags are painted.
    """
    room = terminal_width(width)
    columns = ten_columns(frame, room)
    return grid([column for column in columns if not column.worth or any(column.cells)], room, colour=colour)


def legend(width: int | None = None) -> str:
    """What the columns of `text_table` mean."""
    return paragraph(
        "N x M: sides of the matrix; (9): so many slices of a kernel, taken together. "
        "alpha: exponent of the power-law tail (the large eigenvalues), with its standard error; the smaller, the "
        "heavier the tail. k*: number of leading eigenvalues whose product is nearest to 1; these are the ERG tail "
        "(exact renormalization group, the theory's condition). S_k*: what is left of the logarithm of that product. "
        "delta: start of the power-law tail minus start of the ERG tail (delta_lambda_min), eigenvalues scaled to mean "
        "1. q2_norm: the theory's quality of a layer. det X: product of the eigenvalues of the power-law tail. A layer "
        "is ideal when alpha = 2 and det X = 1. Classes: random-like is as noise, bulk+spikes noise and few strong "
        "directions, heavy-tailed neither. Over-regularized: a tail heavier than the ideal; short-of-ideal: a lighter "
        "one; under-trained: none yet.",
        width,
    )


def coverage_lines(coverage: pd.DataFrame, width: int | None = None) -> str:
    """How many tensors were analysed, and for the others why not; many with one reason in one line."""
    counts = Counter(coverage["status"])
    analysed = coverage.loc[coverage["status"] == "analyzed", "n_params"].sum()
    total = coverage["n_params"].sum()
    share = 100 * analysed / total if total else 0.0
    said = (
        f"{counts['analyzed']} of {len(coverage)} weight tensors analysed ({share:.1f} % of their parameters), "
        f"{counts['skipped']} skipped, {counts['failed']} failed."
    )
    room = terminal_width(width)
    lines = [wrapped(said, room)]
    left = coverage[coverage["status"] != "analyzed"]
    alike: dict[tuple[str, str], list[str]] = {}
    for status, name, reason in zip(left["status"], left["longname"], left["reason"]):
        alike.setdefault((status, reason), []).append(name)
    for (status, reason), names in alike.items():
        for who in names if len(names) <= ALIKE else [_several(names)]:
            lines.append(wrapped(visible(f"{status}: {who}: {reason}"), room, "  ", "    "))
    return "\n".join(lines)


def _several(names: list[str]) -> str:
    """A few of many names.

    >>> _several([f"layers.{n}" for n in range(30)])
    '30 tensors (layers.0, layers.1, ..., layers.29)'
    """
    return f"{len(names)} tensors ({', '.join(names[: ALIKE - 1])}, ..., {names[-1]})"


def truncation_text(manifest: dict[str, Any], folder: str, width: int | None = None) -> str:
    """A line for each layer of a truncated checkpoint, and what it came to."""
    room, rows = terminal_width(width), manifest["layers"]
    table = grid(
        [
            GridColumn("layer", [visible(row["layer"]) for row in rows], right=False, least=room // 3),
            GridColumn("rank", [f"{row['rank']} /{row['num_evals']:>5}" for row in rows]),
            GridColumn("energy kept", [_percent(row["kept_energy"]) for row in rows], worth=2),
            GridColumn("parameters", [str(row["parameters_before"]) for row in rows], worth=1),
            GridColumn("after", [str(row["parameters_after"]) for row in rows]),
        ],
        room,
    ).split("\n")
    lines = table[:2]
    for line, row in zip(table[2:], rows):
        lines.append(line)
        if row["reason"]:
            lines.append(wrapped(visible(row["reason"]), room, "    ", "    "))
    lines += [wrapped(visible(f"left out: {reason}"), room, later="  ") for reason in manifest["left_out"]]
    before, after = manifest["parameters_before"], manifest["parameters_after"]
    share = f" ({100 * after / before:.1f} %)" if before else ""
    return "\n".join([*lines, "", f"{before} parameters before, {after} stored{share}, in {visible(folder)}."])


def paragraph(text: str, width: int | None = None) -> str:
    """Text wrapped to the width of the terminal; line ends in it are blanks."""
    return wrapped(visible(" ".join(text.split())), terminal_width(width))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"
