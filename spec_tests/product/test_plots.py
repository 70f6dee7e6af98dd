"""Pictures: what is drawn is what the result says, nothing of the host changes, nothing raises for lack of a tail."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import setol_ww as ww
from setol_ww.core.deprecation import DEPRECATED
from setol_ww.layer.result import analyze_spectrum
from setol_ww.spectrum.ks_curve import SAME, ks_curve
from setol_ww.spectrum.uncertainty import resample
from setol_ww.views.palette import css_variables
from setol_ww.views.plots.lines import unit_mean_of
from setol_ww.views.plots.style import STATES, log_axis, words
from setol_ww.views.report import report_page
from setol_ww.weights.kinds import Kind, kind_of

OF_A_LAYER = ("esd", "ccdf", "ks", "log_det", "log_det_areas", "traps", "qualities")
OF_A_MODEL = ("depth", "ideal_plane", "histogram", "qualities")
HOSTILE = "layers.$x_1$.\x1b[31m\n<b>_層_\u202eevil & %s {0} \\frac" + 40 * "long"


def heavy(seed: int = 0) -> np.ndarray:
    """200 x 120 with a power-law tail."""
    rng = np.random.default_rng(seed)
    left, _ = np.linalg.qr(rng.normal(size=(200, 120)))
    right, _ = np.linalg.qr(rng.normal(size=(120, 120)))
    values = np.sort(np.concatenate([0.2 + 0.8 * rng.random(60), (1 - rng.random(60)) ** (-1 / 1.3)]))
    return left * np.sqrt(values) @ right.T


@lru_cache
def layer() -> ww.LayerResult:
    W = heavy()
    W[3, 5] += 6.0
    return ww.analyze_matrix(W, ww.Settings(uncertainty=40)).with_traps(ww.find_traps(W))


@lru_cache
def model() -> ww.Results:
    rng = np.random.default_rng(1)
    weights = {
        "layers.0.self_attn.q_proj.weight": heavy(1),
        "layers.0.mlp.fc1.weight": heavy(2),
        "layers.1.self_attn.q_proj.weight": rng.normal(size=(80, 60)),
        "layers.1.mlp.fc1.weight": np.full((40, 30), 0.5),
        "layers.1.mlp.bad.weight": np.full((40, 30), np.nan),
        f"{HOSTILE}.weight": heavy(3),
    }
    return ww.examine(weights, progress=False, randomize=True)


def history() -> pd.DataFrame:
    rows = [(step, name, 2 + 3 * np.exp(-step / 50)) for step in (0, 50, 100) for name in ("fc1", "$fc2$")]
    return pd.DataFrame(rows, columns=["step", "longname", "tail_alpha"])


def curves() -> pd.DataFrame:
    rules = (("top", "top:0.5", 0.5, 0.1), ("top", "top:0.2", 0.2, 0.3), ("erg", "erg", 0.4, 0.15))
    rows = [
        {"curve": c, "layer": "all", "rule": r, "rank_fraction": s, "kept_energy": s, "error": e}
        for c, r, s, e in rules
    ]
    return pd.DataFrame(rows).assign(base_error=0.05)


@lru_cache
def compared() -> ww.Comparison:
    """One layer that went from noise to a heavy tail, one that stayed, one that is gone, one without a number."""
    noise = np.random.default_rng(1).normal(size=(200, 120))
    before = {"a.weight": noise, "$b$.weight": heavy(2), "c.weight": noise[:60], "d.weight": np.full((40, 30), 0.5)}
    after = {"a.weight": heavy(1), "$b$.weight": heavy(2), "d.weight": np.full((40, 30), 0.5)}
    return ww.compare(before, after, progress=False)


def example_of(name: str) -> object:
    """What the picture of this name draws."""
    if name in OF_A_LAYER:
        return layer()
    if name in OF_A_MODEL:
        return model()
    return {"training": history, "truncation_curve": curves, "comparison": compared}[name]()


def line(ax: Axes, label: str) -> np.ndarray:
    """Points of the one line whose label begins so."""
    found = [one for one in ax.lines if str(one.get_label()).startswith(label)]
    assert len(found) == 1, [one.get_label() for one in ax.lines]
    return np.asarray(found[0].get_xydata())


def labels(ax: Axes) -> list[str]:
    return ax.get_legend_handles_labels()[1]


def texts(ax: Axes) -> str:
    return " ".join(" ".join(one.get_text().split()) for one in ax.texts)


def test_the_register_is_the_module():
    named = {plot.name: plot.draw for plot in ww.plots.PLOTS}
    assert set(named) | {"PLOTS"} == set(ww.plots.__all__)
    folder = Path(inspect.getfile(ww.plots)).parent
    for plot in ww.plots.PLOTS:
        assert getattr(ww.plots, plot.name) is plot.draw
        assert (folder / f"{plot.name}.py").is_file(), "one file a picture"
        assert plot.shows
        assert not plot.shows.endswith(".")
        assert plot.takes
        assert "ax" in inspect.signature(plot.draw).parameters
        said = inspect.getdoc(plot.draw)
        assert all(head in said for head in ("Parameters", "Returns", "Raises", "Examples")), plot.name


def test_a_picture_loads_matplotlib_and_nothing_loads_pyplot():
    code = (
        "import io, sys, numpy as np, setol_ww as ww\n"
        "ww.plots\n"
        "print('matplotlib' in sys.modules)\n"
        "ww.plots.esd(ww.analyze_matrix(np.random.default_rng(0).normal(size=(60, 40)))).figure.savefig(io.BytesIO())\n"
        "print('matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert told.stdout.split() == ["False", "True", "False"], told.stderr


@pytest.mark.parametrize("name", [plot.name for plot in ww.plots.PLOTS])
def test_every_picture_makes_its_axes_or_takes_them_and_leaves_the_host_alone(name):
    draw, what = getattr(ww.plots, name), example_of(name)
    before = dict(mpl.rcParams.copy())
    pyplot = sys.modules.get("matplotlib.pyplot")
    figures = pyplot.get_fignums() if pyplot else []
    made = draw(what)
    assert isinstance(made, Axes)
    figure = Figure()
    given = figure.subplots(1, 2)[1]
    assert draw(what, ax=given) is given
    assert made.figure is not figure
    for ax in (made, given):
        ax.figure.canvas.draw()
        assert ax.get_xlabel() or name == "qualities"
        assert ax.get_ylabel() or name == "qualities"
    assert dict(mpl.rcParams.copy()) == before
    assert (pyplot.get_fignums() if pyplot else []) == figures


def test_the_spectrum_is_drawn_as_the_result_has_it():
    result = layer()
    tail, cut, bulk = result.tail, result.erg, result.bulk
    ax = ww.plots.esd(result)
    assert line(ax, "its start")[0, 0] == tail.lambda_min
    assert line(ax, "ERG start")[0, 0] == cut.lambda_min
    assert line(ax, "edge of the noise")[0, 0] == bulk.edge
    law = line(ax, "power law")
    assert law[0, 0] == pytest.approx(tail.lambda_min)
    slopes = np.diff(np.log(law[:, 1])) / np.diff(np.log(law[:, 0]))
    assert slopes == pytest.approx(-tail.alpha)
    # Integrated from its start to infinity the law is the tail's share.
    assert law[0, 1] * tail.lambda_min / (tail.alpha - 1) == pytest.approx(tail.rank / 120)
    assert f"{tail.rank} above" in " ".join(labels(ax))
    band = next(one for one in ax.patches if str(one.get_label()).startswith("90 %"))
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((tail.lambda_min_low, tail.lambda_min_high))
    traps = line(ax, f"{result.traps.count} trap")
    ratio = result.spectrum.unit_mean[-1] / result.spectrum.raw[-1]
    assert traps[0, 0] == pytest.approx(result.traps.traps[0].eigenvalue * ratio)


@pytest.mark.parametrize("scale", ["log-log", "lin-lin", "log-lin"])
def test_the_histogram_is_normalised_as_it_says(scale):
    result = layer()
    ax = ww.plots.esd(result, scale=scale)
    heights, edges, _ = next(one for one in ax.patches if hasattr(one, "get_data")).get_data()
    widths = np.diff(np.log10(edges)) if scale == "log-lin" else np.diff(edges)
    inside = np.mean((result.spectrum.unit_mean >= edges[0]) & (result.spectrum.unit_mean <= edges[-1]))
    assert np.sum(heights * widths) == pytest.approx(inside)
    assert inside > 0.9
    assert ("decade" in ax.get_ylabel()) == (scale == "log-lin")
    # The law has the histogram's unit: over its own bins both hold the same share.
    law = line(ax, "power law")
    x = np.log10(law[:, 0]) if scale == "log-lin" else law[:, 0]
    share = float(np.sum((law[1:, 1] + law[:-1, 1]) / 2 * np.diff(x)))
    assert share == pytest.approx(result.tail.rank / 120, rel=0.25)


def test_the_noise_is_drawn_as_a_law_of_what_is_below_its_edge():
    result = ww.analyze_matrix(np.random.default_rng(0).normal(size=(400, 200)))
    law = line(ww.plots.esd(result, scale="lin-lin"), "Marchenko-Pastur bulk, followed")
    area = float(np.sum((law[1:, 1] + law[:-1, 1]) / 2 * np.diff(law[:, 0])))
    assert area == pytest.approx(1 - result.bulk.spikes / 200, abs=2e-3)
    assert law[-1, 0] == pytest.approx(result.bulk.lambda_plus)


def test_shares_above_are_counted():
    result = layer()
    ax = ww.plots.ccdf(result)
    steps = line(ax, "120 eigenvalues")
    x = result.spectrum.unit_mean
    assert steps[:, 0] == pytest.approx(x)
    assert steps[:, 1] == pytest.approx([np.mean(x >= one) for one in x])
    law = line(ax, "power law")
    assert law[0, 1] == pytest.approx(result.tail.rank / 120)


def test_distances_are_those_of_each_start():
    result = layer()
    drawn = line(ww.plots.ks(result), "D of each start")
    x = result.spectrum.unit_mean
    for value, distance in drawn[:: max(1, len(drawn) // 20)]:
        tail = x[x >= value]
        rate = tail.size / np.log(tail / value).sum()
        law = 1 - (tail / value) ** -rate
        assert distance == pytest.approx(np.abs(law - np.arange(tail.size) / tail.size).max(), abs=1e-12)
    assert drawn[:, 1].min() == result.tail.ks
    assert drawn[np.argmin(drawn[:, 1]), 0] == result.tail.lambda_min


def test_a_second_start_is_drawn_where_one_fits_as_well():
    rng = np.random.default_rng(5)
    parts = [0.3 * (1 - rng.random(150)) ** (-1 / 3.0), 1.5 * (1 - rng.random(60)) ** (-1 / 1.2)]
    spectrum = ww.Spectrum.from_eigenvalues(np.concatenate(parts))
    found = analyze_spectrum(spectrum).ks_curve
    seeds = [analyze_spectrum(spectrum, ww.Settings(uncertainty=60)), analyze_spectrum(spectrum)]
    for result in seeds:
        curve = result.ks_curve
        drawn = [one for one in ww.plots.ks(result).lines if str(one.get_label()).startswith("second best")]
        assert len(drawn) == (curve.second >= 0)
        if curve.second >= 0:
            assert curve.distances[curve.second] >= curve.distances[curve.best]
            assert abs(curve.ranks[curve.second] - curve.ranks[curve.best]) > 1
    resampled = seeds[0]
    if resampled.tail.starts > 1:
        assert resampled.ks_curve.alphas[resampled.ks_curve.second] == pytest.approx(resampled.tail.alpha_2nd)
    assert found.tolerance > found.distances[found.best]


def test_the_start_has_an_interval_where_draws_were_asked_for():
    """That of the start of drawn spectra: fitted anew here, one by one."""
    spectrum = layer().spectrum
    log_x = np.log(spectrum.unit_mean)
    starts = []
    for drawn in resample(log_x, 40, 0):
        fit = ww.fit_tail(ww.Spectrum.from_eigenvalues(np.exp(drawn), (200, 120)))
        starts.append(fit.lambda_min * np.exp(drawn).mean())
    low, high = np.percentile(np.log(starts), [5, 95])
    tail = layer().tail
    assert np.log([tail.lambda_min_low, tail.lambda_min_high]) == pytest.approx([low, high], abs=1e-9)
    bare = analyze_spectrum(spectrum)
    assert np.isnan([bare.tail.lambda_min_low, bare.tail.lambda_min_high]).all()
    assert not [one for one in ww.plots.esd(bare).patches if str(one.get_label()).startswith("90 %")]


def test_the_log_determinant_crosses_where_the_cut_is():
    result = layer()
    ax = ww.plots.log_det(result)
    sums = line(ax, "S, sum")
    assert sums[:, 1] == pytest.approx(np.cumsum(np.log(result.spectrum.unit_mean[::-1])))
    assert line(ax, "ERG cut").tolist() == [[result.erg.rank, result.erg.log_det]]
    assert line(ax, "power-law tail")[0, 0] == result.tail.rank


def test_the_areas_cancel_down_to_what_is_left():
    result = layer()
    ax = ww.plots.log_det_areas(result)
    areas = [one.get_data() for one in ax.patches if str(one.get_label()).startswith("x ")]
    total = sum(float(np.sum(area.values * np.diff(area.edges))) for area in areas)
    assert len(areas) == 2
    assert total == pytest.approx(result.erg.log_det)
    assert {bool(np.all(area.values >= 0)) for area in areas} == {True, False}


def test_traps_stand_beyond_the_edge():
    result = layer()
    ax = ww.plots.traps(result)
    edge = line(ax, "edge of their noise")[0, 0]
    assert line(ax, "trap: element")[0, 0] > edge
    law = line(ax, "law of the shuffled")
    area = float(np.sum((law[1:, 1] + law[:-1, 1]) / 2 * np.diff(np.log10(law[:, 0]))))
    assert area == pytest.approx(1, abs=0.01)
    assert "element (3, 5)" in ax.get_title()
    values = result.traps.shuffled * (result.spectrum.unit_mean[-1] / result.spectrum.raw[-1])
    for picture, widths in ((ax, np.log10), (ww.plots.esd(result, scale="lin-lin"), np.asarray)):
        shuffled = next(one for one in picture.patches if "shuffled" in str(one.get_label())).get_data()
        inside = np.mean((values >= shuffled.edges[0]) & (values <= shuffled.edges[-1]))
        assert np.sum(shuffled.values * np.diff(widths(shuffled.edges))) == pytest.approx(inside)
        assert inside > 0.8
    only_largest = replace(result, traps=replace(result.traps, shuffled=np.empty(0)))
    assert line(ww.plots.esd(only_largest), "law of the shuffled").size
    bare = ww.analyze_matrix(heavy())
    assert "not shuffled" in texts(ww.plots.traps(bare))


def test_depth_has_a_line_for_each_kind_and_gaps():
    frame = model().table()
    ax = ww.plots.depth(model(), "tail_alpha")
    mlp, attention = line(ax, "MLP"), line(ax, "attention")
    expected = frame["tail_alpha"].to_numpy(dtype=float)
    assert attention[:, 1] == pytest.approx(expected[[0, 2]])
    assert mlp[:, 1] == pytest.approx(expected[[1, 3, 4]], nan_ok=True)
    assert line(ax, "2 layers without a number")[:, 0].tolist() == [3, 4]
    assert len(ax.get_xticklabels()) == 6
    assert "α = 2" in " ".join(labels(ax))
    for column in ("erg_fraction", "q2_norm", "trap_count", "delta_lambda_min"):
        drawn = ww.plots.depth(frame, column)
        assert column in drawn.get_ylabel()
    for wrong in ("setol_state", "nothing"):
        with pytest.raises(ww.InvalidInput, match="tail_alpha"):
            ww.plots.depth(model(), wrong)


@pytest.mark.parametrize(
    "name, layer_type, kind",
    [
        ("model.layers.3.self_attn.q_proj", "dense", Kind.ATTENTION),
        ("transformer.h.0.attn.c_attn", "dense", Kind.ATTENTION),
        ("transformer.h.0.attn.c_proj", "dense", Kind.ATTENTION),
        ("encoder.layer.0.attention.output.dense", "dense", Kind.ATTENTION),
        ("blocks.0.attn.qkv", "dense", Kind.ATTENTION),
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0", "dense", Kind.ATTENTION),
        ("blk.7.attn_q", "dense", Kind.ATTENTION),
        ("transformer.h.0.mlp.c_proj", "dense", Kind.MLP),
        ("encoder.layer.0.intermediate.dense", "dense", Kind.MLP),
        ("encoder.layer.0.output.dense", "dense", Kind.MLP),
        ("model.layers.0.block_sparse_moe.experts.3.w1", "dense", Kind.MLP),
        ("blk.7.ffn_up", "dense", Kind.MLP),
        ("fc1", "dense", Kind.MLP),
        ("layer1.0.conv1", "conv2d", Kind.CONVOLUTION),
        ("features.0", "conv2d", Kind.CONVOLUTION),
        ("patch_embed.proj", "conv2d", Kind.CONVOLUTION),
        ("model.embed_tokens", "embedding", Kind.EMBEDDING),
        ("wte", "dense", Kind.EMBEDDING),
        ("lm_head", "dense", Kind.HEAD),
        ("classifier", "dense", Kind.HEAD),
        ("lstm.weight_hh_l0", "dense", Kind.RECURRENT),
        ("linear", "dense", Kind.OTHER),
        ("", "", Kind.OTHER),
        (HOSTILE, float("nan"), Kind.OTHER),
    ],
)
def test_kinds_of_layers_by_their_names(name, layer_type, kind):
    assert kind_of(name, layer_type) is kind


def test_the_plane_has_each_layer_by_its_state():
    frame = model().table()
    ax = ww.plots.ideal_plane(model())
    points = np.vstack([one[0].get_xydata() for one in ax.containers])
    sound = frame.dropna(subset=["tail_alpha", "delta_lambda_min"])
    expected = sound[["tail_alpha", "delta_lambda_min"]].to_numpy(dtype=float, copy=True)
    expected[:, 0] = np.minimum(expected[:, 0], 10)
    assert points[np.lexsort(points.T)] == pytest.approx(expected[np.lexsort(expected.T)])
    assert line(ax, "ideal point").tolist() == [[2.0, 0.0]]
    assert "2 of 6 layers have no tail" in ax.get_xlabel()
    curve = line(ww.plots.ideal_plane(model(), against="pl_lambda_min"), "det X = 1")
    assert curve[:, 1] == pytest.approx(np.exp(-1 / (curve[:, 0] - 1)))
    assert np.interp(2.0, curve[:, 0], curve[:, 1]) == pytest.approx(np.exp(-1), abs=1e-3)


def test_bars_of_the_plane_reach_both_ends_of_every_interval():
    """To all four sides as far as the table says, cut at the right end of the axis alone."""
    frame = pd.DataFrame(
        {
            "longname": ["fc1", "fc2"],
            "setol_state": ["short-of-ideal", "under-trained"],
            "tail_alpha": [2.5, 9.0],
            "tail_sigma": [0.1, 0.2],
            "tail_alpha_low": [2.25, 7.0],
            "tail_alpha_high": [3.5, 12.0],
            "delta_lambda_min": [0.5, 1.0],
            "delta_low": [0.25, -1.0],
            "delta_high": [1.25, 4.0],
        }
    )
    ax = ww.plots.ideal_plane(frame)
    bars = [segment for container in ax.containers for one in container[2] for segment in one.get_segments()]
    across = sorted((y, *sorted(x)) for x, (y, again) in (bar.T for bar in bars) if y == again)
    upright = sorted((x, *sorted(y)) for (x, again), y in (bar.T for bar in bars) if x == again)
    np.testing.assert_allclose(across, [(0.5, 2.25, 3.5), (1.0, 7.0, 10.0)])
    np.testing.assert_allclose(upright, [(2.5, 0.25, 1.25), (9.0, -1.0, 4.0)])


def test_a_layer_of_an_exact_power_law_with_det_1_lies_on_the_curve():
    """Quantiles of a power law from e^(-1/(alpha - 1)) on: the mean of ln x is 0, whatever alpha."""
    for alpha in (1.7, 2.0, 2.6, 4.0):
        start = np.exp(-1 / (alpha - 1))
        x = start * (1 - (np.arange(20000) + 0.5) / 20000) ** (-1 / (alpha - 1))
        assert np.mean(np.log(x)) == pytest.approx(0, abs=1e-4)


def test_histograms_hold_the_share_of_the_layers():
    rng = np.random.default_rng(0)
    frames = [pd.DataFrame({"longname": "l", "tail_alpha": 1.5 + rng.gamma(shape, 1, 80)}) for shape in (1.5, 5)]
    frames[0].loc[0, "tail_alpha"] = np.nan
    ax = ww.plots.histogram(*frames, labels=["$a$", "_b"])
    told = labels(ax)
    assert told[0] == r"\$a\$: 79 layers, 1 without a number"
    assert told[1].startswith(" _b: ")
    beyond = np.sum(frames[1]["tail_alpha"] > 10)
    filled = [one.get_data() for one in ax.patches if str(one.get_label()).lstrip().startswith(("_b", r"\$a"))]
    assert sum(filled[0].values) == pytest.approx(79 / 80)
    assert sum(filled[1].values) == pytest.approx(1 - beyond / 80)
    for wrong in ({"labels": ["one"]}, {"column": "nothing"}):
        with pytest.raises(ww.InvalidInput):
            ww.plots.histogram(*frames, **wrong)
    with pytest.raises(ww.InvalidInput):
        ww.plots.histogram()


def test_qualities_are_the_readings():
    result = layer()
    ax = ww.plots.qualities(result)
    drawn = ax.lines[0].get_xdata()
    assert result.quality.q2_norm in drawn
    assert "not defined" in texts(ax) or len(drawn) == 8
    ax = ww.plots.qualities(model())
    assert np.nanmax(np.abs(line(ax, "q2_norm")[:, 1] / model().table()["q2_norm"].to_numpy(dtype=float) - 1)) < 1e-12
    assert "left out" in texts(ww.plots.qualities(ww.analyze_matrix(heavy(), ww.Settings(quality=False))))


def test_training_has_a_line_for_each_layer_or_their_median():
    ax = ww.plots.training(history())
    assert line(ax, "fc1").tolist() == [[step, 2 + 3 * np.exp(-step / 50)] for step in (0, 50, 100)]
    many = pd.concat([history().assign(longname=f"layer {n}", tail_alpha=float(n)) for n in range(9)])
    ax = ww.plots.training(many.drop_duplicates(["step", "longname"]))
    assert line(ax, "their median")[:, 1].tolist() == [4.0, 4.0, 4.0]
    for wrong in (history().drop(columns="step"), {"step": 1}):
        with pytest.raises(ww.InvalidInput, match="step"):
            ww.plots.training(wrong)


def test_a_comparison_goes_from_before_to_after():
    table = compared().table()
    ax = ww.plots.comparison(compared())
    for label, end in (("before", "base"), ("after", "tuned")):
        expected = table[f"tail_alpha_{end}"].to_numpy(dtype=float)
        assert line(ax, label)[:, 1] == pytest.approx(expected, nan_ok=True)
    moved = {one.get_label(): one.get_segments() for one in ax.collections}
    beyond = np.flatnonzero(table["d_tail_alpha_beyond"])
    assert [segment[0][0] for segment in moved[f"moved beyond its error: {beyond.size}"]] == beyond.tolist()
    assert beyond.size
    assert "1 layer could not be compared" in ax.get_xlabel()
    assert "before" in labels(ww.plots.comparison(compared(), column="q2_norm"))
    assert line(ww.plots.comparison(compared(), column="update_norm"), "after")[1, 1] == 0
    for wrong in ("nothing", "state_change"):
        with pytest.raises(ww.InvalidInput, match="accepted"):
            ww.plots.comparison(compared(), column=wrong)
    with pytest.raises(ww.InvalidInput, match="Comparison"):
        ww.plots.comparison(table)


ODD = {
    "no matrix": np.ones((1, 40)),
    "one element": np.ones((1, 1)),
    "empty": np.empty((0, 5)),
    "zeros": np.zeros((30, 20)),
    "constant": np.full((30, 20), 2.0),
    "rank one": np.outer(np.arange(1.0, 31), np.arange(1.0, 21)),
    "orthogonal": np.eye(30),
    "two": np.diag([1.0, 2.0]),
    "not finite": np.full((30, 20), np.nan),
    "huge": 1e160 * np.random.default_rng(0).normal(size=(60, 40)),
    "tiny": 1e-160 * np.random.default_rng(0).normal(size=(60, 40)),
    "half of it dead": np.pad(np.random.default_rng(0).normal(size=(60, 40)), ((0, 0), (0, 40))),
    "one huge element": np.pad(np.full((1, 1), 1e6), ((0, 49), (0, 39)))
    + np.random.default_rng(0).normal(size=(50, 40)),
}


@pytest.mark.parametrize("what", ODD)
def test_a_layer_with_nothing_to_see_is_drawn_all_the_same(what):
    W = ODD[what]
    result = ww.analyze_matrix(W)
    if W.size and min(W.shape) > 0:
        result = result.with_traps(ww.find_traps(W))
    for name in OF_A_LAYER:
        ax = getattr(ww.plots, name)(result)
        ax.figure.canvas.draw()
        assert ax.lines or ax.patches or texts(ax), name
    for scale in ("lin-lin", "log-lin"):
        ww.plots.esd(result, scale=scale).figure.canvas.draw()
    if not result.tail.rank:
        assert result.tail.outcome.sentence in texts(ww.plots.ks(result)) or not W.size


def test_models_with_nothing_to_see():
    empty = ww.Results.from_records([])
    bad = ww.examine({"a.weight": np.full((30, 20), np.nan)}, progress=False)
    for results in (empty, bad):
        for name in OF_A_MODEL:
            ax = getattr(ww.plots, name)(results)
            ax.figure.canvas.draw()
            assert texts(ax), name


def test_names_are_text():
    assert words("$x$") == r"\$x\$"
    assert "\x1b" not in words(HOSTILE)
    assert "\u202e" not in words(HOSTILE)
    assert r"\u5c64" in words("層")
    ax = ww.plots.depth(model())
    ax.figure.canvas.draw()
    shown = [one.get_text() for one in ax.get_xticklabels()]
    assert max(map(len, shown)) < 40


@pytest.mark.parametrize("name", ["esd", "ccdf", "traps", "ideal_plane"])
def test_a_legend_leaves_a_small_picture_to_be_seen(name):
    """Under a small picture of somebody else's, below what is written at its axis; in a large one inside."""
    figure = Figure(figsize=(12, 9))
    small, large = figure.add_axes((0.1, 0.6, 0.15, 0.2)), figure.add_axes((0.35, 0.1, 0.6, 0.8))
    for ax in (small, large):
        getattr(ww.plots, name)(example_of(name), ax=ax)
    figure.canvas.draw()
    said, written = (one.get_window_extent() for one in (small.get_legend(), small.xaxis.label))
    assert said.y1 <= written.y0
    inside, whole = (one.get_window_extent() for one in (large.get_legend(), large))
    assert whole.y0 <= inside.y0 < inside.y1 <= whole.y1


def test_pictures_and_the_report_have_one_palette():
    variables = dict(re.findall(r"--([\w-]+): light-dark\((#\w+), #\w+\)", css_variables()))
    assert {state: colour for state, (colour, _) in STATES.items()} == {state: variables[state] for state in STATES}
    ax = ww.plots.esd(layer())
    colours = {one.get_label().partition(",")[0]: one.get_color() for one in ax.lines}
    assert colours["its start"] == colours["power law"] == variables["power"]
    assert colours["ERG start"] == variables["erg"]
    page = report_page(model())
    assert page.count("--erg:") == page.count("--ideal:") == 1
    assert css_variables() in page


@pytest.mark.parametrize("wrong", [None, 3, "esd", np.eye(3), [1, 2]])
def test_what_cannot_be_drawn_is_told(wrong):
    for name in (*OF_A_LAYER, *OF_A_MODEL):
        with pytest.raises(ww.InvalidInput, match="accepted"):
            getattr(ww.plots, name)(wrong)
    with pytest.raises(ww.InvalidInput, match="accepted"):
        ww.plots.truncation_curve(wrong)
    with pytest.raises(ww.InvalidInput, match="matplotlib Axes"):
        ww.plots.esd(layer(), ax=Figure())
    with pytest.raises(ww.InvalidInput, match="log-lin"):
        ww.plots.esd(layer(), scale="loglog")


def test_a_name_of_an_earlier_version_warns_once_at_the_line_that_asked():
    with pytest.warns(DeprecationWarning, match="goes with version") as caught:
        assert ww.plot_truncation_curve is ww.plots.truncation_curve
    assert [Path(one.filename).name for one in caught] == ["test_plots.py"]
    now = tuple(map(int, ww.__version__.split(".")[:3]))
    for name, told in DEPRECATED.items():
        assert name not in ww.__all__
        assert name not in dir(ww)
        assert now < tuple(map(int, told.removed_in.split("."))), f"{name} was to be removed with {told.removed_in}"


def test_no_picture_fits_anything():
    """Nothing is computed there: of the rooms below only what reads a finished result is imported."""
    folder = Path(inspect.getfile(ww.plots)).parent
    forbidden = {
        "fit_tail",
        "erg_cut",
        "fit_bulk",
        "analyze_spectrum",
        "analyze_matrix",
        "find_traps",
        "quality",
        "judge",
    }
    for file in folder.glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        imported = {one.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for one in node.names}
        assert not imported & forbidden, file
        assert "pyplot" not in {part for name in imported for part in name.split(".")}


def test_without_a_candidate_near_the_second_exponent_the_curve_has_no_second():
    spectrum = ww.Spectrum.from_eigenvalues(np.random.default_rng(0).pareto(1.0, 60) + 1)
    tail = ww.fit_tail(spectrum)
    curve = ks_curve(spectrum, replace(tail, starts=1.5, alpha_2nd=90.0))
    assert curve.second == -1
    near = ks_curve(spectrum, replace(tail, starts=1.5, alpha_2nd=curve.alphas[7]))
    same = np.abs(curve.alphas - curve.alphas[7]) <= SAME * np.abs(curve.alphas)
    assert near.distances[near.second] == curve.distances[same].min()


def test_numbers_stand_at_one_two_and_five_where_an_axis_has_few_decades():
    axis = Figure().subplots().xaxis
    for low, high, few in (
        (1, 149, True),
        (1, 150, False),
        (1, 1, False),
        (0, 50, False),
        (-1, 50, False),
        (5, 2, False),
    ):
        axis.axes.set_xscale("log")
        log_axis(axis, low, high)
        ticks = axis.get_major_locator().tick_values(1, 1000)
        inside = [round(tick, 9) for tick in ticks if 1 <= tick <= 10]
        assert inside == ([1, 2, 5, 10] if few else [1, 10]), (low, high)
        assert (axis.get_major_formatter()(0.25) == "0.25") == few
        assert axis.get_minor_formatter()(20) == ""


def test_an_eigenvalue_beyond_float64_is_told_without_a_warning():
    result = analyze_spectrum(ww.Spectrum.from_eigenvalues(np.array([1.0, 2.0, 3.0]) * 1e-200))
    assert unit_mean_of(result, 1e-200) == pytest.approx(0.5)
    assert unit_mean_of(result, 1e300) == np.inf
