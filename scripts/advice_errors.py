"""Test errors of methods at settings of one knob, over seeds: their differences and their curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def gaps(frame: pd.DataFrame, knob: str, method: str, other: str, images: int) -> pd.DataFrame:
    """Error of a method minus another's by a knob, in points: `mean` and `se` over seeds.

    Of one net the standard error is that of so many test images.
    """
    errors = frame.pivot_table(index=[knob, "seed"], columns="method", values="error") * 100
    found = (errors[method] - errors[other]).groupby(knob).agg(["mean", "std", "size"])
    alone = np.sqrt((errors[[method, other]] * (100 - errors[[method, other]])).sum(axis=1) / images)
    alone = alone.groupby(knob).mean()
    return found.assign(se=np.where(found["size"] > 1, found["std"] / np.sqrt(found["size"]), alone))


def told(found: pd.DataFrame) -> str:
    """Differences in words: knob in per cent, mean and standard error."""
    return ", ".join(f"{100 * at:g} %: {row['mean']:+.2f} ± {row['se']:.2f}" for at, row in found.iterrows())


def is_mostly_better(found: pd.DataFrame) -> bool:
    """Whether the error is less by two standard errors at more than half of the settings."""
    return bool((found["mean"] < -2 * found["se"]).sum() > len(found) / 2)


def draw_errors(axis: Any, part: pd.DataFrame, knob: str, colours: Mapping[str, str]) -> None:
    """A curve a method with its spread over seeds, and the error of the whole net, on a logarithmic axis."""
    for method, colour in colours.items():
        line = part[part["method"] == method].groupby(knob)["error"].agg(["mean", "std"]) * 100
        if not line.empty:
            style = {"fmt": "o-", "ms": 4, "capsize": 2, "color": colour, "label": method}
            axis.errorbar(100 * line.index, line["mean"], line["std"].fillna(0), **style)
    axis.axhline(100 * part[part["method"] == "whole"]["error"].mean(), color="k", lw=0.8, ls=":", label="whole")
    axis.set(yscale="log")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("{x:g}")
