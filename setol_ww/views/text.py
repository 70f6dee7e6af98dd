"""Finished tables as plain text that fits a terminal."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from typing import Any

import pandas as pd

WIDTH = 100
NAME_WIDTH = 34


def layer_name(row: pd.Series) -> str:
    """Long name with the slice, shortened in the middle."""
    return shortened(str(row["longname"]) + (f" [{row['slice']}]" if row["slice"] else ""))


def shortened(name: str) -> str:
    """A name of at most the width of its column, cut in the middle."""
    if len(name) <= NAME_WIDTH:
        return name
    half = (NAME_WIDTH - 2) // 2
    return f"{name[:half]}..{name[-half:]}"


def text_table(frame: pd.DataFrame) -> str:
    """One line of at most 100 characters a layer: size, tail exponent, ERG cut and state.

    Parameters
    ----------
    frame : DataFrame
        As `setol_ww.analyze` returns it, with `detX=True`.
    """
    head = f"{'layer':<{NAME_WIDTH}} {'N x M':>12} {'alpha':>13} {'k*':>6} {'S_k*':>7} {'delta':>7}  state"
    lines = [head, "-" * WIDTH]
    for _, row in frame.iterrows():
        state = row["setol_state"] if isinstance(row["setol_state"], str) else row["status"]
        size = f"{row['N']:.0f} x {row['M']:.0f}" + (f" ({row['rf']:.0f})" if row["rf"] > 1 else "")
        alpha = "-" if math.isnan(row["tail_alpha"]) else f"{row['tail_alpha']:.2f} ± {row['tail_sigma']:.2f}"
        lines.append(
            f"{layer_name(row):<{NAME_WIDTH}} {size:>12} {alpha:>13} {_number(row['erg_rank'], '.0f'):>6} "
            f"{_number(row['erg_log_det'], '+.2f'):>7} {_number(row['delta_lambda_min'], '+.3f'):>7}  {state}"
        )
    return "\n".join(lines)


def legend() -> str:
    """What the columns of `text_table` mean."""
    return paragraph(
        "alpha: exponent of the power-law tail with its standard error. k*: number of leading eigenvalues whose "
        "product is nearest to 1 (the ERG cut), S_k*: what is left of its logarithm. delta: start of the power-law "
        "tail minus start of the ERG tail (delta_lambda_min), eigenvalues scaled to mean 1. A layer is ideal when "
        "alpha = 2 and the product over its power-law tail is 1."
    )


def coverage_lines(coverage: pd.DataFrame) -> str:
    """How many tensors were analysed, and for each of the others why not."""
    counts = Counter(coverage["status"])
    analysed = coverage.loc[coverage["status"] == "analyzed", "n_params"].sum()
    total = coverage["n_params"].sum()
    share = 100 * analysed / total if total else 0.0
    lines = [
        f"{counts['analyzed']} of {len(coverage)} weight tensors analysed ({share:.1f} % of their parameters), "
        f"{counts['skipped']} skipped, {counts['failed']} failed."
    ]
    for _, row in coverage[coverage["status"] != "analyzed"].iterrows():
        lines.append(
            textwrap.fill(
                f"{row['status']}: {row['longname']}: {row['reason']}",
                WIDTH,
                initial_indent="  ",
                subsequent_indent="    ",
            )
        )
    return "\n".join(lines)


def truncation_text(manifest: dict[str, Any], folder: str) -> str:
    """A line for each layer of a truncated checkpoint, and what it came to."""
    head = f"{'layer':<{NAME_WIDTH}} {'rank':>13} {'energy kept':>12} {'parameters':>12} {'after':>12}"
    lines = [head, "-" * WIDTH]
    for row in manifest["layers"]:
        energy = "-" if row["kept_energy"] is None else f"{100 * row['kept_energy']:.2f} %"
        lines.append(
            f"{shortened(row['layer']):<{NAME_WIDTH}} {row['rank']:>6} /{row['num_evals']:>5} {energy:>12} "
            f"{row['parameters_before']:>12} {row['parameters_after']:>12}"
        )
        if row["reason"]:
            lines.append(textwrap.fill(row["reason"], WIDTH, initial_indent="    ", subsequent_indent="    "))
    lines += [f"left out: {reason}" for reason in manifest["left_out"]]
    before, after = manifest["parameters_before"], manifest["parameters_after"]
    share = f" ({100 * after / before:.1f} %)" if before else ""
    return "\n".join([*lines, "", f"{before} parameters before, {after} stored{share}, in {folder}."])


def paragraph(text: str) -> str:
    """Text wrapped to the width of the table."""
    return textwrap.fill(text, WIDTH)


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)
