"""Pictures in words: every line, area, mark and word of an `Axes`, in drawings that are the same on every machine.

`python -m spec_tests.golden.drawn` writes `files/drawings/` anew; look at the difference before it is committed, and at
the pictures that it puts into the folder it is given.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.text import Annotation
from matplotlib.ticker import FixedLocator

import setol_ww as ww
from setol_ww.layer.result import analyze_spectrum
from setol_ww.scanning.row import FORM

from .shown import layers as spectra
from .shown import of, some_changes

DRAWINGS = Path(__file__).parent / "files" / "drawings"
#: Points of a line that are told, evenly over it.
TOLD = 6
#: A share of the largest that is drawn as nothing.
NOTHING = 6e-8
POWER = re.compile(r"\$\\mathdefault\{10\^\{(-?\d+)\}\}\$")


# --- what is drawn ---------------------------------------------------------------------------------------------------


def in_words(ax: Axes) -> str:
    """Everything on an `Axes`, a line each."""
    ax.figure.canvas.draw()
    size = " x ".join(f"{side:g}" for side in ax.figure.get_size_inches())
    title, layout = ax.title, type(ax.figure.get_layout_engine()).__name__.removesuffix("LayoutEngine").lower()
    look = f"{title.get_fontsize():.3g} points{', broken into lines' * title.get_wrap()}"
    lines = [f"title: {title.get_text()!r}, {look}, {size} inches, {layout}", _axis("x", ax), _axis("y", ax)]
    for one in (*ax.lines, *ax.patches, *ax.collections):
        lines.append(f"{_label(one)} {_artist(one, ax)}")
    lines += [_text(one, ax) for one in ax.texts]
    return "\n".join([*lines, _legend(ax)])


def _axis(name: str, ax: Axes) -> str:
    axis = getattr(ax, f"{name}axis")
    low, high = axis.get_view_interval()
    told = f"{name}: {axis.get_scale()} from {low:.4g} to {high:.4g}, {axis.label.get_text()!r}"
    told += "" if axis.label.get_fontsize() == 10 else f" in {axis.label.get_fontsize():.3g} points"
    ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
    marked = [one for at, one in ticks if low <= at <= high]
    if isinstance(axis.get_major_locator(), FixedLocator) or axis.get_scale() == "log":
        told += f", ticks {' '.join(POWER.sub(_power, one.get_text()) for one in marked)}"
        told += ", some between" * any(one.get_text() for one in axis.get_minorticklabels())
    if marked:
        told += f", {marked[0].get_rotation():g} degrees, {marked[0].get_ha()}, {marked[0].get_fontsize():.3g} points"
    return told


def _power(found: re.Match[str]) -> str:
    return f"10^{found[1]}"


def _label(one: Any) -> str:
    label = str(one.get_label())
    kind = type(one).__name__
    return f"{kind} {label!r}" if not label.startswith("_") else kind


def _artist(one: Any, ax: Axes) -> str:
    held = "" if one.get_clip_on() else ", not clipped"
    beside = f"{_alpha(one)}, order {one.get_zorder():g}{_place(one, ax)}{held}"
    if isinstance(one, Line2D):
        return f"{_of_line(one)}{beside}: {_points(one.get_xydata())}"
    if isinstance(one, StepPatch):
        values, edges, baseline = one.get_data()
        stairs = f"{len(values)} stairs of sum {np.sum(values):.5g} on {_points(edges)} from {baseline}"
        return f"{_of_patch(one)}{beside}: {stairs}: {_points(values)}"
    if isinstance(one, Rectangle):
        ends = one.get_x(), one.get_x() + one.get_width(), one.get_y(), one.get_y() + one.get_height()
        return f"{_of_patch(one)}{beside}: {_points(np.array(ends))}"
    assert isinstance(one, Collection)
    colours = [to_hex(colour, keep_alpha=True) for colour in (*one.get_facecolor(), *one.get_edgecolor())]
    paths = one.get_segments() if isinstance(one, LineCollection) else [path.vertices for path in one.get_paths()]
    drawn = " | ".join(_points(np.asarray(path)) for path in paths)
    return f"{' '.join(colours)} width {one.get_linewidth()[0]:g}{beside}: {drawn}"


def _of_line(one: Line2D) -> str:
    # `get_linestyle` tells dashes of our own as '--'.
    start, dashes = one._unscaled_dash_pattern
    style = one.get_linestyle() if one.get_linestyle() in ("None", "-") else f"dashes {_points(np.array(dashes))}"
    style += f" from {start:g}" if start else ""
    told = f"{to_hex(one.get_color())} {style} width {one.get_linewidth():g} {one.get_drawstyle()}"
    if one.get_marker() in ("None", None, ""):
        return told
    inside, edge = (str(colour) for colour in (one.get_markerfacecolor(), one.get_markeredgecolor()))
    return f"{told}, marks {one.get_marker()} {one.get_markersize():.3g} {inside} {edge} {one.get_markeredgewidth():g}"


def _of_patch(one: Any) -> str:
    filled = to_hex(one.get_facecolor(), keep_alpha=True) if one.get_fill() else "empty"
    edge = to_hex(one.get_edgecolor(), keep_alpha=True)
    style, hatch = one.get_linestyle(), one.get_hatch()
    return f"{filled} {edge} {style} width {one.get_linewidth():g}{f' hatch {hatch}' if hatch else ''}"


def _alpha(one: Any) -> str:
    return "" if one.get_alpha() is None else f", alpha {one.get_alpha():.3g}"


def _place(one: Any, ax: Axes) -> str:
    """Which of its coordinates are shares of the picture."""
    shares = one.get_transform().contains_branch_seperately(ax.transData)
    return {(True, True): "", (True, False): ", x", (False, True): ", y", (False, False): ", fixed"}[shares]


def _points(values: Any) -> str:
    found = np.asarray(values, dtype=float)
    if not found.size:
        return "nothing"
    # What is next to nothing beside the others goes by the machine.
    largest = np.max(np.abs(np.where(np.isfinite(found), found, 0.0)), axis=0)
    found = np.where(np.abs(found) < NOTHING * largest, 0.0, found)
    at = np.unique(np.linspace(0, len(found) - 1, min(TOLD, len(found))).round().astype(int))
    told = [" ".join(f"{number:.5g}" for number in np.atleast_1d(found[place])) for place in at]
    return f"{len(found)} ({'; '.join(told)})"


def _text(one: Any, ax: Axes) -> str:
    told = f"text {one.get_text()!r} {one.get_fontsize():.3g} points {one.get_ha()} {one.get_va()}"
    if isinstance(one, Annotation):
        arrow = "" if one.arrow_patch is None else f", a line of {one.arrow_patch.get_linewidth():g}"
        return f"{told} {_points(np.array(one.xyann))} {one.anncoords} from {_points(np.array(one.xy))}{arrow}"
    return f"{told} at {_points(np.array(one.get_position()))}{_place(one, ax)}"


def _legend(ax: Axes) -> str:
    made = ax.get_legend()
    if made is None:
        return "no legend"
    size = made.get_texts()[0].get_fontsize()
    anchor = made.get_bbox_to_anchor().transformed(ax.transAxes.inverted()).bounds
    at = made.get_window_extent().transformed(ax.transAxes.inverted())
    # Beside, under or in the picture; how large it is goes by the version of matplotlib.
    where = "beside" if at.x0 >= 1 else "under" if at.y1 <= 0 else "inside"
    frame = "framed" if made.get_frame_on() else "no frame"
    look = f"{size:.3g} points, handles of {made.handlelength:g}, {made.borderaxespad:g} away, {frame}"
    anchored = f", anchored at {_points(np.array(anchor))}" if where == "beside" else ""
    return f"legend {where}, {look}{anchored}: {' | '.join(one.get_text() for one in made.get_texts())}"


# --- of what -------------------------------------------------------------------------------------------------------


def _matrix(rows: int = 100, columns: int = 60) -> np.ndarray:
    """As random as numbers can be that are the same on every machine."""
    return np.sin(np.arange(float(rows * columns)) ** 2).reshape(rows, columns)


@cache
def _layers() -> dict[str, ww.LayerResult]:
    named = spectra()
    trapped, shifted = _matrix(), _matrix() + 0.5
    trapped[13, 17], trapped[40, 3] = 40, 25
    uneven, loud = (np.exp(np.cos(np.arange(120.0))), np.where(np.arange(120) % 50 == 7, 30.0, 1.0))
    found = {name: analyze_spectrum(named[name]) for name in ("near ideal", "heavy", "tiny", "flat")}
    of_slices = ww.Spectrum.from_slices([_matrix(40, 30) * (1 + n) for n in range(4)])
    with_traps = ww.analyze_matrix(trapped).with_traps(ww.find_traps(trapped))
    return found | {
        "drawn anew": analyze_spectrum(named["short of ideal"], ww.Settings(uncertainty=40)),
        "two starts": analyze_spectrum(_two_tails()),
        "elements": with_traps,
        "elements, only the largest known": _without_shuffled(with_traps),
        "shift": ww.analyze_matrix(shifted).with_traps(ww.find_traps(shifted)),
        "noise": ww.analyze_matrix(_matrix(300, 120)).with_traps(ww.find_traps(_matrix(300, 120))),
        "square": ww.analyze_matrix(_matrix(80, 80)).with_traps(ww.find_traps(_matrix(80, 80))),
        "slices": analyze_spectrum(of_slices).with_traps(ww.find_traps(_matrix(40, 30 * 4).reshape(40, 30, 2, 2))),
        "low rank": ww.analyze_matrix(_matrix(90, 20) @ _matrix(20, 60)),
        "zeros": ww.analyze_matrix(np.zeros((30, 20))).with_traps(ww.find_traps(np.zeros((30, 20)))),
        "empty": ww.analyze_matrix(np.empty((0, 5))),
        "uneven rows": ww.analyze_matrix(_matrix(120, 80) * uneven[:, None]),
        "loud rows": ww.analyze_matrix(_matrix(120, 80) * loud[:, None]),
        "no quality": analyze_spectrum(named["near ideal"], ww.Settings(quality=False)),
    }


def _without_shuffled(result: ww.LayerResult) -> ww.LayerResult:
    assert result.traps is not None
    return replace(result, traps=replace(result.traps, shuffled=np.empty(0)))


def _two_tails() -> ww.Spectrum:
    """Quantiles of two power laws, the steeper below."""
    first, second = ((np.arange(number) + 0.5) / number for number in (150, 60))
    both = np.concatenate([0.3 * (1 - first) ** (-1 / 3.0), 1.5 * (1 - second) ** (-1 / 1.2)])
    return ww.Spectrum.from_eigenvalues(both, (400, 210))


def _table(number: int) -> pd.DataFrame:
    """Layers of every kind and state, each fifth without a number, an exponent beyond ten, intervals for some."""
    names = ("self_attn.q_proj", "mlp.up_proj", "block", "wte", "lm_head", "$odd$_name")
    types = ("dense", "dense", "conv2d", "embedding", "dense", "dense")
    at = np.arange(number)
    frame = pd.DataFrame(
        {
            "longname": [f"layers.{n}.{names[n % 6]}" for n in at],
            "slice": ["q" if n % 4 == 1 else "" for n in at],
            "layer_type": [types[n % 6] for n in at],
            "setol_state": [tuple(ww.State)[n % 5].value for n in at],
            "tail_alpha": 1.6 + 0.9 * at % 5.5,
            "tail_sigma": 0.05 + 0.01 * at,
            "delta_lambda_min": np.cos(at) / 2,
            "pl_lambda_min": 0.2 + 0.05 * at,
            "trap_count": at % 3,
            "q2_norm": 10.0 ** (at % 5),
            "q2_bs": np.where(at % 2, 0.5 + at, -1.0),
            "erg_log_det": np.sin(at),
            "status": "analyzed",
        }
    )
    frame.loc[at % 5 == 4, ["tail_alpha", "tail_sigma"]] = np.nan
    frame.loc[at == 3, "tail_alpha"] = 14.0
    skipped = frame.iloc[:1].assign(longname="skipped", status="skipped")
    return pd.concat([frame, skipped], ignore_index=True)


def _with_ends(frame: pd.DataFrame) -> pd.DataFrame:
    low, high = frame["tail_alpha"] - 0.5, frame["tail_alpha"] + 1
    middle = frame["delta_lambda_min"]
    return frame.assign(tail_alpha_low=low, tail_alpha_high=high, delta_low=middle - 0.1, delta_high=middle + 0.3)


def _run(layers: int) -> pd.DataFrame:
    """A run whose layers are looked at in turn, one of them without a number at a step."""
    rows = [
        {"step": 100 * step, "longname": f"fc{n}", "slice": "_q" if n == 1 else "", "tail_alpha": 6 - step - 0.3 * n}
        for step in range(4)
        for n in range(layers)
        if layers <= 3 or (step + n) % 2
    ]
    frame = pd.DataFrame(rows)
    frame.loc[(frame["step"] == 200) & (frame["longname"] == "fc1"), "tail_alpha"] = np.nan
    return frame.iloc[::-1]


def _curves() -> pd.DataFrame:
    """Two seeds of every family and every rule."""
    rules = {
        "top": 3,
        "random": 3,
        "bottom": 2,
        "erg": 1,
        "powerlaw": 1,
        "mp": 1,
        "gavish-donoho": 1,
        "energy": 2,
        "bulk": 1,
    }
    rows = [
        {
            "curve": curve,
            "layer": layer,
            "rule": f"{curve}:{9 - n}",
            "rank_fraction": (0.9 - 0.3 * n) / (1 + place / 9),
            "kept_energy": 1 - 0.2 * n,
            "error": 0.1 * (n + 1) + 0.02 * seed + 0.01 * place,
            "base_error": 0.05 + 0.01 * seed,
        }
        for place, (curve, number) in enumerate(rules.items())
        for n in range(number)
        for layer in ("all", "fc_1")
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows)


@cache
def _compared() -> ww.Comparison:
    """Weights before and after, one layer that is gone, one without a number."""
    noise = _matrix(120, 60)
    before = {"a.weight": noise, "$b$.weight": noise[:90], "c.weight": noise[:70], "d.weight": np.full((40, 30), 0.5)}
    heavy = noise * np.linspace(0.2, 3, 60) ** 3
    after = {"a.weight": heavy, "$b$.weight": noise[:90], "d.weight": np.full((40, 30), 0.5)}
    return ww.compare(before, after, progress=False)


def _own_axes(size: tuple[float, float]) -> Axes:
    """Somebody else's, so large."""
    return Figure(figsize=size).add_subplot()


#: Pictures of one layer and the layers they draw each in a way of its own; all where none are named.
OF_LAYERS = {
    "esd": (),
    "ccdf": ("near ideal", "drawn anew", "two starts", "slices", "low rank", "flat", "zeros"),
    "ks": ("near ideal", "drawn anew", "two starts", "slices", "flat", "tiny", "empty"),
    "log_det": ("near ideal", "heavy", "low rank", "flat", "tiny", "zeros"),
    "log_det_areas": ("near ideal", "heavy", "noise", "flat", "tiny", "zeros"),
    "traps": (
        "elements",
        "elements, only the largest known",
        "shift",
        "noise",
        "square",
        "slices",
        "low rank",
        "zeros",
    ),
    "qualities": ("near ideal", "heavy", "zeros", "no quality"),
}
#: Name of a drawing -> what makes it.
Drawing = Callable[[], Axes]


def drawings() -> dict[str, dict[str, Drawing]]:
    """Every picture, in every situation that it draws in a way of its own."""
    plots = ww.plots
    found: dict[str, dict[str, Drawing]] = {}
    for name, layers in OF_LAYERS.items():
        found[name] = {where: _of_layer(name, where) for where in layers or _layers()}
    for scale in ("lin-lin", "log-lin"):
        for where in ("near ideal", "heavy", "noise", "slices", "elements", "elements, only the largest known"):
            found["esd"][f"{where}, {scale}"] = _of_layer("esd", where, scale=scale)
    for where, size in (("in a small one", (2.0, 1.5)), ("in a large one", (14.0, 10.0))):
        found["esd"][where] = lambda size=size: plots.esd(_layers()["near ideal"], ax=_own_axes(size))
    some, none = _table(10), _table(2).assign(tail_alpha=np.nan, q2_norm=np.nan, q2_bs=np.nan)
    nothing = _table(0).iloc[:0]
    columns = ("tail_alpha", "trap_count", "q2_norm", "delta_lambda_min", "erg_log_det")
    found["depth"] = {
        **{column: lambda column=column: plots.depth(some, column) for column in columns},
        "with ends": lambda: plots.depth(_with_ends(some)),
        "up to the fifth": lambda: plots.depth(_table(5)),
        "of many": lambda: plots.depth(_table(41)),
        "of as many as are named": lambda: plots.depth(_table(40), "erg_log_det"),
        "of very many": lambda: plots.depth(_table(250)),
        "of one": lambda: plots.depth(_table(1)),
        "of none with a number": lambda: plots.depth(none),
        "of nothing": lambda: plots.depth(nothing),
        "of a column of nobody's": lambda: plots.depth(some.assign(mine=0.0), "mine"),
    }
    found["ideal_plane"] = {
        "by delta": lambda: plots.ideal_plane(some),
        "by start": lambda: plots.ideal_plane(_with_ends(some), against="pl_lambda_min"),
        "with ends": lambda: plots.ideal_plane(_with_ends(some)),
        "of many": lambda: plots.ideal_plane(_table(16)),
        "of as many as are named": lambda: plots.ideal_plane(_table(15)),
        "without states": lambda: plots.ideal_plane(some.drop(columns="setol_state")),
        "of none with a number": lambda: plots.ideal_plane(none),
        "of nothing": lambda: plots.ideal_plane(nothing),
    }
    found["histogram"] = {
        "of two": lambda: plots.histogram(some, _table(41), labels=["first", "$second$"]),
        "of one": lambda: plots.histogram(_table(1)),
        "of a column": lambda: plots.histogram(some, column="delta_lambda_min"),
        "of none with a number": lambda: plots.histogram(none),
    }
    found["qualities"] = {
        **found["qualities"],
        "of layers": lambda: plots.qualities(some),
        "of many layers": lambda: plots.qualities(_table(41)),
        "of none with a number": lambda: plots.qualities(none),
    }
    found["training"] = {
        "of three": lambda: plots.training(_run(3)),
        "of seven": lambda: plots.training(_run(7)),
        "of eight": lambda: plots.training(_run(8)),
        "of a column": lambda: plots.training(_run(2).assign(mine=1.0), column="mine"),
        "of none with a number": lambda: plots.training(_run(2).assign(tail_alpha=np.nan)),
        "of nothing": lambda: plots.training(_run(2).iloc[:0]),
    }
    found["truncation_curve"] = {
        "of all": lambda: plots.truncation_curve(_curves()),
        "of some": lambda: plots.truncation_curve(_curves().query("curve not in ('random', 'powerlaw', 'mp')")),
        "of a layer by energy": lambda: plots.truncation_curve(_curves(), layer="fc_1", against="kept_energy"),
    }
    found["comparison"] = {
        "of alpha": lambda: plots.comparison(_compared()),
        "of a number without errors": lambda: plots.comparison(_compared(), column="erg_fraction"),
        "of the update": lambda: plots.comparison(_compared(), column="update_norm_share"),
        "of kept results": lambda: plots.comparison(some_changes()),
        "of nothing": lambda: plots.comparison(ww.compare(*2 * [_nothing_in_it()])),
    }
    return found


def _nothing_in_it() -> ww.Results:
    return ww.Results.from_records(of({"flat": spectra()["flat"]}), form=FORM)


def _of_layer(name: str, where: str, **settings: Any) -> Drawing:
    return lambda: getattr(ww.plots, name)(_layers()[where], **settings)


def told(name: str) -> str:
    """What the drawings of one picture have on them."""
    return "".join(f"== {where}\n{in_words(draw())}\n" for where, draw in drawings()[name].items())


def main(folder: Iterable[str] = sys.argv[1:]) -> None:
    """Write every description, and the pictures where a folder for them is named."""
    DRAWINGS.mkdir(exist_ok=True)
    for old in DRAWINGS.glob("*"):
        old.unlink()
    for name, every in drawings().items():
        (DRAWINGS / f"{name}.txt").write_text(told(name), encoding="utf-8")
        for place in folder:
            for where, draw in every.items():
                draw().figure.savefig(Path(place) / f"{name} {where}.png", dpi=50)
    sys.stdout.write(f"{len(list(DRAWINGS.iterdir()))} files are in {DRAWINGS}\n")


if __name__ == "__main__":
    main()
