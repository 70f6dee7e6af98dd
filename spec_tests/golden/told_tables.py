"""Tables in words: every column of a small model, what each option changes, summaries, sizes, distances."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import setol_ww as ww
from setol_ww.core.errors import InvalidInput

#: Columns that are told where the rows are others.
FEW = (
    "layer_id",
    "longname",
    "slice",
    "row_origin",
    "status",
    "reason",
    "num_evals",
    "alpha",
    "lambda_max",
    "tail_alpha",
)

#: Options of `analyze`, each by itself.
OPTIONS: tuple[dict[str, Any], ...] = (
    {"engine": "reference"},
    {"detX": False},
    {"detX": False, "ERG": True},
    {"quality": False},
    {"randomize": True},
    {"randomize": True, "seed": 1},
    {"randomize": True, "engine": "reference"},
    {"mp_fit": True},
    {"farms": True},
    {"farms": True, "seed": 1},
    {"uncertainty": 30},
    {"uncertainty": 30, "seed": 1},
    {"conv2d_norm": False},
    {"conv2d_norm": False, "engine": "reference"},
    {"pool": False},
    {"ww2x": True},
    {"min_evals": 12},
    {"max_evals": 60},
    {"max_N": 40},
    {"min_evals": 12, "max_evals": 12},
    {"max_N": 48},
    {"start_ids": 3},
    {"fix_fingers": "clip_xmax", "max_fingers": 3},
    {"xmax": 5.0},
    {"fit": "TPL"},
    {"fit": "E_TPL"},
    {"glorot_fix": True},
    {"glorot_fix": True, "engine": "reference"},
    {"inverse": True},
    {"vectors": True, "layers": ["fc1", "conv", "experts"]},
    {"conv2d_fft": True},
    {"layers": ["dense", "-fc2"]},
    {"layers": "conv", "layouts": {"experts": "skip"}},
    {"layouts": {"qkv.weight": "qkv:16,16,16", "table": "stack:2"}},
    {"fft": True},
    {"channels": "first"},
    {"fit": "other"},
    {"other": 1},
    {"engine": "slow"},
    {"n_jobs": 0},
    {"device": "cpu", "engine": "reference", "layers": 3},
)


#: Modes that make one row of several layers, and what else weightwatcher reads by itself.
MODES: tuple[dict[str, Any], ...] = (
    {"stacked": True},
    {"intra": True},
    {"intra": True, "layers": ["fc1", "fc2"]},
    {"peft": "peft"},
    {"peft": "with_base"},
    {"stacked": True, "layouts": {"fc1.weight": "skip"}},
    {"stacked": True, "intra": True},
    {"intra": True, "base_model": {}},
)


def pairs() -> dict[str, np.ndarray]:
    """Dense layers of one width, one with a pair of factors, and what no mode combines."""
    draw = np.random.default_rng(11)
    sides = {"fc1": (40, 60), "fc2": (40, 60), "fc3": (40, 60), "fc2.lora_A": (30, 60), "fc2.lora_B": (40, 30)}
    found = {f"{name}.weight": draw.normal(size=shape) for name, shape in sides.items()}
    return {**found, "experts": draw.normal(size=(2, 12, 12))}


def model(seed: int = 7) -> dict[str, np.ndarray]:
    """Weights of every kind that numpy can hold, in float64 and well conditioned."""
    draw = np.random.default_rng(seed)
    heavy = draw.standard_t(3, size=(60, 40))
    return {
        "fc1.weight": heavy,
        "fc2.weight": draw.normal(size=(12, 30)) + 0.3,
        "conv.weight": draw.normal(size=(16, 8, 3, 2)),
        "wide.weight": draw.normal(size=(6, 20, 2, 2)),
        "qkv.weight": draw.normal(size=(48, 16)),
        "experts": draw.normal(size=(2, 1, 24, 16)),
        "table": draw.normal(size=(30, 14)),
        "conv1d.weight": draw.normal(size=(12, 10, 3)),
        "kernel1d": draw.normal(size=(1, 10, 14)),
        "broken.weight": np.where(np.eye(14) > 0, np.nan, 1.0),
        "tied.weight": heavy,
        "ids": np.arange(12).reshape(3, 4),
        "flat.weight": np.eye(14),
        "fc1.bias": np.zeros(60),
    }


def usual() -> str:
    """The table of every column."""
    return lines_of(columns_of(ww.analyze(model())))


def options(first: int) -> str:
    """What some options change, each by itself."""
    before = ww.analyze(model())
    return "\n\n".join(f"# {in_a_call(told)}\n{changed(before, told)}" for told in OPTIONS[first : first + TOGETHER])


def in_a_call(told: dict[str, Any]) -> str:
    """Options as they are written."""
    return ", ".join(f"{name}={value!r}" for name, value in told.items())


def modes() -> str:
    """The rows of modes that combine layers."""
    return "\n\n".join(map(combined, MODES))


def combined(told: dict[str, Any]) -> str:
    """The rows of a mode, and what went into them."""
    watcher, given = ww.WeightWatcher(pairs()), dict(told)
    if "base_model" in told:
        given["base_model"] = pairs()
    try:
        now = columns_of(watcher.analyze(**given))
        said = f"{lines_of({name: now[name] for name in FEW if name in now})}\n{coverage_of(watcher)}"
    except InvalidInput as error:
        said = str(error)
    return f"# {in_a_call(told)}, of pairs\n{said}"


def changed(usual: pd.DataFrame, told: dict[str, Any]) -> str:
    """The columns that differ from the usual ones, or a few where there are other rows; how it is refused."""
    watcher = ww.WeightWatcher(model())
    try:
        frame = watcher.analyze(**told)
    except InvalidInput as error:
        return str(error)
    before, now = columns_of(usual), columns_of(frame)
    same = ("longname", "slice", "row_origin")
    if any(before[name] != now.get(name) for name in same):
        return f"{lines_of({name: now[name] for name in FEW if name in now})}\n{coverage_of(watcher)}"
    gone = [name for name in before if name not in now]
    told_of = {name: values for name, values in now.items() if before.get(name) != values}
    return "\n".join(filter(None, [lines_of(told_of) or "nothing changes", f"gone: {' '.join(gone)}" if gone else ""]))


def columns_of(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Every column in words, numbers with three digits."""
    return {name: list(map(in_words, frame[name])) for name in frame.columns}


def in_words(value: Any) -> str:
    """A cell; what is 0 within rounding is 0."""
    if isinstance(value, (float, np.floating)):
        whole = np.isfinite(value) and value == round(value)
        return "-" if np.isnan(value) else f"{value:.0f}" if whole else f"{0.0 if abs(value) < 1e-9 else value:.3g}"
    return str(value).replace("\n", " ") or "''"


def lines_of(columns: dict[str, list[str]]) -> str:
    """A line a column; of long texts a line each."""
    return "\n".join(
        f"{name}: {(' | ' if max(map(len, values), default=0) > 24 else '  ').join(values)}"
        for name, values in columns.items()
    )


def coverage_of(watcher: ww.WeightWatcher) -> str:
    """What became of every tensor."""
    return "\n".join(f"  {row.longname} {row.shape} {row.status} {row.reason}" for row in watcher.coverage.itertuples())


def sizes() -> str:
    """What else a watcher tells: coverage, summary, sizes; a table of failures alone."""
    watcher = ww.WeightWatcher(model())
    watcher.analyze(randomize=True)
    summary = "\n".join(f"{name} {value:.3g}" for name, value in watcher.get_summary().items())
    failed = ww.analyze({"a.weight": np.full((20, 10), np.nan)})
    few = watcher.describe(pool=False, min_evals=12, start_ids=2)
    return "\n\n".join(
        [
            f"# coverage\n{coverage_of(watcher)}",
            f"# summary\n{summary}",
            f"# a failure alone\n{lines_of(columns_of(failed))}",
            f"# sizes\n{lines_of(columns_of(watcher.describe()))}",
            f"# sizes without pooling\n{lines_of(columns_of(few))}",
            f"# sizes of dense layers\n{lines_of(columns_of(watcher.describe(layers='dense')))}",
        ]
    )


def distances() -> str:
    """Two models that differ in a shape, a name and an entry, and differences to a base."""
    watcher = ww.WeightWatcher(model())
    second = model(8)
    second["fc2.weight"], second["qkv.weight"] = second["fc2.weight"].T, second.pop("qkv.weight")[:40]
    del second["table"]
    second["flat.weight"][3, 3] = np.nan
    parts = []
    for method in ("raw", "EUCLIDEAN", "cka"):
        weights, biases, frame = watcher.distances(model(), second, method=method)
        numbers = f"{in_words(weights)} {in_words(biases)}"
        parts.append(f"# {method}: {numbers}\n{lines_of(columns_of(frame.reset_index()))}")
    slices = watcher.distances(model(), model(8), pool=False)[2]
    few = watcher.distances(model(), model(8), layers=["fc1", "fc2"], start_ids=3)[2]
    base = columns_of(ww.analyze(model(), base_model=second))
    return "\n\n".join(
        [
            *parts,
            f"# of slices\n{lines_of(columns_of(slices.reset_index()))}",
            f"# of two layers\n{lines_of(columns_of(few.reset_index()))}",
            f"# to a base\n{lines_of({name: base[name] for name in FEW})}",
        ]
    )


ASKED: tuple[Any, ...] = (
    "fc1",
    2,
    ("qkv", ""),
    "experts [1,0]",
    "conv",
    "kernel1d",
    "weight",
    "fc",
    99,
    "experts",
    ("fc1", "q"),
)


def layers() -> str:
    """Single rows, as they are asked for."""
    watcher = ww.WeightWatcher(model())
    return "\n".join(f"{asked!r}: {spectra_of(watcher, asked)}" for asked in ASKED)


def spectra_of(watcher: ww.WeightWatcher, asked: Any) -> str:
    """Eigenvalues of one layer as stored and shuffled, and its matrices."""
    try:
        ends = [watcher.get_ESD(layer=asked, random=random, seed=3)[[0, -1]] for random in (False, True)]
        matrices = watcher.get_Weights(layer=asked)
        numbers = ", ".join(f"{in_words(low)} to {in_words(high)}" for low, high in ends)
        shapes = ", ".join(sorted({str(matrix.shape) for matrix in matrices}))
        return f"{numbers}; {len(matrices)} of {shapes}; {watcher.get_framework_layer(layer=asked)}"
    except InvalidInput as error:
        return str(error)


#: Options in one file.
TOGETHER = 6
TABLES: dict[str, Callable[[], str]] = {
    "tables-usual": usual,
    **{f"tables-options-{first}": functools.partial(options, first) for first in range(0, len(OPTIONS), TOGETHER)},
    "tables-modes": modes,
    "tables-sizes": sizes,
    "tables-distances": distances,
    "tables-layers": layers,
}
