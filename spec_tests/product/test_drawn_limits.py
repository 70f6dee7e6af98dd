"""Pictures and pages at their limits: what is drawn, counted and said on both sides of each, and exactly there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import setol_ww as ww
from setol_ww.core.printable import GridColumn
from setol_ww.layer.result import LayerResult, analyze_spectrum
from setol_ww.views.notebook import WIDE, grid_html
from setol_ww.views.plots.points import write_names
from setol_ww.views.plots.style import log_axis
from setol_ww.views.report.payload import cell
from setol_ww.views.report.words import because

from ..golden.drawn import in_words
from ..golden.shown import power_law


def table(*values: float, column: str = "tail_alpha", **told: object) -> pd.DataFrame:
    """A layer for each number."""
    return pd.DataFrame({"longname": [f"fc{n}" for n in range(len(values))], column: values, **told})


def near_ideal() -> LayerResult:
    return analyze_spectrum(power_law(2.0, 0.36, 60, 200))


def shuffled() -> LayerResult:
    W = np.sin(np.arange(6000.0) ** 2).reshape(100, 60)
    W[13, 17] = 40
    return ww.analyze_matrix(W).with_traps(ww.find_traps(W))


def labels(ax: Axes) -> list[str]:
    return ax.get_legend_handles_labels()[1]


@pytest.mark.parametrize(
    ("values", "scale"),
    [((1.0, 200.0), "linear"), ((1.0, 200.1), "log"), ((0.0, 500.0), "linear"), ((-1.0, 500.0), "linear")],
)
def test_a_column_over_a_wide_spread_has_a_logarithmic_axis(values, scale):
    assert ww.plots.depth(table(*values, column="mine"), "mine").get_yscale() == scale


def test_counts_begin_at_nothing():
    ax = ww.plots.depth(table(0, 3, column="trap_count"), "trap_count")
    assert ax.get_ylim() == pytest.approx((-0.3, 3.5))
    assert ax.get_yscale() == "linear"
    assert ww.plots.depth(table(1, 300, column="trap_count"), "trap_count").get_yscale() == "linear"
    # No half of a trap.
    ax = ww.plots.depth(table(0, 1, column="trap_count"), "trap_count")
    assert [at for at in ax.get_yticks() if at % 1] == []


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("tail_alpha", {2.0: "ideal: α = 2", 6.0: "no heavy tail above 6"}),
        ("alpha", {2.0: "ideal: α = 2", 6.0: "no heavy tail above 6"}),
        ("delta_lambda_min", {0.0: "both starts meet"}),
        ("erg_metric", {0.0: "det X = 1 on the power-law tail"}),
        ("erg_rank_gap", {0.0: "both tails as long"}),
        ("erg_fraction", {}),
    ],
)
def test_levels_that_mean_something_are_named(column, said):
    """Across the picture of the depth, upright in that of the spread."""
    frame = table(3.0, 4.0, column=column) if "alpha" in column else table(-0.5, 1.0, column=column)
    flat = {line.get_label(): line.get_ydata()[0] for line in ww.plots.depth(frame, column).lines}
    upright = {line.get_label(): line.get_xdata()[0] for line in ww.plots.histogram(frame, column=column).lines}
    for at, words in said.items():
        assert flat[words] == upright[words] == at
    assert len(flat) == len(said) + 1
    assert len(upright) == len(said)


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        # From half of the larger end below the least to as much above the largest.
        ((4.0,), [2.0, 6.0]),
        ((4.0, 3.99), [2.0, 6.0]),
        ((3.99,), [2.0]),
        ((4.01,), [6.0]),
        ((4.1, 4.3), [2.0, 6.0]),
        ((1.3,), []),
        ((13.0, 12.2), [6.0]),
    ],
)
def test_which_levels_are_near_enough_to_be_drawn(values, drawn):
    ax = ww.plots.depth(table(*values))
    found = [
        line.get_ydata()[0] for line in ax.lines if "α" in str(line.get_label()) or "heavy" in str(line.get_label())
    ]
    assert found == drawn


def test_exponents_of_ten_are_shown_and_above_are_counted():
    ax = ww.plots.histogram(table(10.0, 10.5, np.nan, 3.0), labels=["net"])
    assert labels(ax)[0] == "net: 2 layers, 1 beyond 10, 1 without a number"
    frame = table(10.0, 3.0, pl_lambda_min=[0.5, 0.4], delta_lambda_min=[0.5, 0.4])
    for against in ("delta_lambda_min", "pl_lambda_min"):
        ax = ww.plots.ideal_plane(frame, against=against)
        assert "above 10" not in ax.get_xlabel()
        curve = [line for line in ax.lines if str(line.get_label()).startswith("det X = 1 on")]
        assert [line.get_xdata()[-1] for line in curve] == [11.0] * (against == "pl_lambda_min")
    beyond = ww.plots.ideal_plane(frame.assign(tail_alpha=[10.1, 3.0]), against="pl_lambda_min")
    assert "1 with α above 10 stand at the right end" in beyond.get_xlabel()
    (curve,) = (line for line in beyond.lines if str(line.get_label()).startswith("det X = 1 on"))
    assert curve.get_xdata()[-1] == pytest.approx(3.3)


@pytest.mark.parametrize("name", ["ks", "esd", "ccdf"])
def test_the_second_start_may_be_the_first_of_all(name):
    result = near_ideal()
    for second, number in ((0, 1), (-1, 0)):
        other = replace(result)
        vars(other)["ks_curve"] = replace(result.ks_curve, second=second)
        drawn = [line for line in getattr(ww.plots, name)(other).lines if "second" in str(line.get_label())]
        assert len(drawn) == number
        assert [line.get_xdata()[0] for line in drawn] == [result.ks_curve.lambda_min[0]] * number


@pytest.mark.parametrize("power", [-300, 400])
def test_the_size_of_the_weights_is_not_in_the_picture(power):
    """Times a power of two, far beyond squares that float64 has: on the unit-mean scale nothing moves by a bit."""
    W = np.sin(np.arange(6000.0) ** 2).reshape(100, 60)
    W[13, 17] = 40
    plain, other = (ww.analyze_matrix(one).with_traps(ww.find_traps(one)) for one in (W, np.ldexp(W, power)))
    for name in ("traps", "esd"):
        assert in_words(getattr(ww.plots, name)(other)) == in_words(getattr(ww.plots, name)(plain))


@pytest.mark.parametrize("slices", [1, 2])
def test_the_law_of_several_slices_is_that_of_one(slices):
    kernel = np.sin(np.arange(1200.0 * slices) ** 2).reshape(40, 30, slices)
    parts = [kernel[..., number] for number in range(slices)]
    result = analyze_spectrum(ww.Spectrum.from_slices(parts)).with_traps(
        ww.find_traps(kernel if slices > 1 else parts[0])
    )
    said = f"law of the shuffled entries{' (one slice)' * (slices > 1)}"
    assert [one for one in labels(ww.plots.traps(result)) if "law of the shuffled" in one] == [said]


@pytest.mark.parametrize("sigma", [0.0, np.inf])
def test_entries_without_a_spread_have_no_law(sigma):
    result = shuffled()
    odd = replace(result, traps=replace(result.traps, sigma=sigma, shuffled=np.empty(0)))
    for name in ("traps", "esd"):
        before = [one for one in labels(getattr(ww.plots, name)(result)) if "law of the shuffled" in one]
        after = [one for one in labels(getattr(ww.plots, name)(odd)) if "law of the shuffled" in one]
        assert (len(before), len(after)) == (int(name == "traps"), 0)


def test_a_tail_as_long_as_what_is_shown_is_marked():
    result = near_ideal()
    shown = result.erg.rank + int(0.25 * result.erg.rank)
    for rank, number in ((shown, 1), (shown + 1, 0)):
        ax = ww.plots.log_det_areas(replace(result, tail=replace(result.tail, rank=rank)))
        assert labels(ax).count(f"power-law tail of {rank}") == number
    # Beyond a short cut three eigenvalues are shown, as far as there are any.
    short = analyze_spectrum(ww.Spectrum.from_eigenvalues([0.1, 0.2, 0.3, 0.4, 9.0]))
    assert short.erg.rank == 2
    assert ww.plots.log_det_areas(short).get_xlim() == (0.5, 5.5)


@pytest.mark.parametrize(("number", "angle", "side"), [(6, 15, "right"), (7, 90, "center")])
def test_six_names_are_inclined_and_seven_stand_upright(number, angle, side):
    ax = ww.plots.depth(table(*np.linspace(2, 4, number)))
    assert [(one.get_rotation(), one.get_ha()) for one in ax.get_xticklabels()] == [(angle, side)] * number
    assert ax.get_xlim() == pytest.approx((-0.6, number - 0.4))


def test_a_reading_of_nothing_has_no_mark():
    result = near_ideal()
    odd = replace(result, quality=replace(result.quality, q2=0.0, q2_fc=-1.0))
    ax = ww.plots.qualities(odd)
    assert len(ax.lines[0].get_xdata()) == len(ww.plots.qualities(result).lines[0].get_xdata()) - 2
    assert ax.get_xlim()[0] > 0
    ax = ww.plots.qualities(table(0.0, 2.0, -1.0, column="q2_norm"))
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_ydata(), [np.nan, 2.0, np.nan])
    for number, style in ((40, "-"), (41, "None")):
        (line,) = ww.plots.qualities(table(*np.arange(1.0, number + 1), column="q2_norm")).lines
        assert line.get_linestyle() == style


@pytest.mark.parametrize(
    ("low", "high", "numbers"),
    [
        (1.0, 149.0, True),
        (1.0, 150.0, False),
        (0.01, 1.4, True),
        (0.0, 3.0, False),
        (2.0, 2.0, False),
        (3.0, 2.0, False),
    ],
)
def test_an_axis_of_few_decades_has_numbers_at_one_two_and_five(low, high, numbers):
    ax = Figure().add_subplot()
    ax.set_xscale("log")
    ax.set_xlim(1.0, 140.0)
    log_axis(ax.xaxis, low, high)
    shown = [one.get_text() for one in ax.get_xticklabels()]
    assert ("2" in shown and "5" in shown and "100" in shown) is numbers
    assert not any(one.get_text() for one in ax.get_xticklabels(minor=True))


def test_names_beside_points_leave_points_and_names_free():
    """Many names on a few points: none lies on a point or on another name as long as there is room."""
    rng = np.random.default_rng(0)
    frame = table(*rng.uniform(1.7, 5.0, 10), delta_lambda_min=rng.uniform(-1, 1, 10))
    ax = ww.plots.ideal_plane(frame)
    ax.figure.canvas.draw()
    assert [one.get_text() for one in sorted(ax.texts, key=lambda one: int(one.get_text()[2:]))] == [
        f"fc{n}" for n in range(10)
    ]
    scale = ax.figure.dpi / 72
    points = ax.transData.transform(frame[["tail_alpha", "delta_lambda_min"]].to_numpy())
    boxes = []
    for one in ax.texts:
        at = ax.transData.transform(one.xy)
        assert np.abs(points - at).sum(axis=1).min() < 1e-6
        across, up = one.xyann
        assert abs(up) == pytest.approx(8) or abs(up) == pytest.approx(17) or abs(up) == pytest.approx(26)
        assert (one.arrow_patch is not None) == (abs(up) > 16)
        # As wide as its letters at the size they are set in, to the right or to the left of its point.
        width = 4.4 * len(one.get_text())
        assert across == pytest.approx(6) or across == pytest.approx(-6 - width)
        left, bottom = at / scale + (across, up - 4.5)
        boxes.append((left, bottom, left + width, bottom + 9))
    for n, (left, bottom, right, top) in enumerate(boxes):
        assert not any(left < x + 3 and x - 3 < right and bottom < y + 3 and y - 3 < top for x, y in points / scale)
        for other in boxes[n + 1 :]:
            assert left >= other[2] or other[0] >= right or bottom >= other[3] or other[1] >= top


@pytest.mark.parametrize(("right", "up", "side"), [(-2, -1, -1), (2, -1, 1), (-2, 4, 1)])
def test_a_name_leaves_the_mark_of_the_ideal_point_free(right, up, side):
    """A square of thirteen points around it: a name goes to the other side where it would reach into it."""
    ax = Figure().subplots()
    ax.set(xlim=(0, 1), ylim=(0, 1))
    point = ax.transAxes.inverted().transform(
        ax.transAxes.transform((0.5, 0.5)) + np.array([right, up]) * ax.figure.dpi / 72
    )
    write_names(ax, point[:1], point[1:], ["fc"], around=(0.5, 0.5))
    (name,) = ax.texts
    assert name.xyann == pytest.approx((6 if side > 0 else -6 - 2 * 4.4, 8))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (999999999999999.0, 999999999999999),
        (1e15, 1e15),
        (-1e15, -1e15),
        (2.0, 2),
        (123456.7, 123460.0),
        (0.000123456, 0.00012346),
        (float("inf"), None),
        (True, True),
        ([1, "a\x1b"], "[1, 'a\\x1b']"),
        ({"a": 1.5}, "{'a': 1.5}"),
        (None, None),
        ((), "[]"),
    ],
)
def test_a_value_in_a_cell(value, shown):
    assert (type(cell(value)), cell(value)) == (type(shown), shown)


@pytest.mark.parametrize(("alpha", "may_be"), [(6.0, False), (6.1, True)])
def test_an_exponent_above_six_may_be_less(alpha, may_be):
    row = {
        "setol_state": "short-of-ideal",
        "tail_alpha": alpha,
        "tail_sigma": 0.3,
        "universality_class": "heavy-tailed",
    }
    first, *_, said = because(row, None)
    near = "of the others its alpha is among the nearest to an end of the usual 2 to 6"
    apart = "but its alpha lies outside the usual 2 to 6" if may_be else near
    assert apart in first
    assert ("and by its 90 % interval it may be 6 or less" in said) is may_be
    assert said.startswith("Its alpha")


def test_columns_of_words_are_broken_where_they_are_wide():
    for number, wrap in ((WIDE, "nowrap"), (WIDE + 1, "normal")):
        html = grid_html([GridColumn("a", ["x" * number], right=False), GridColumn("b", ["y" * number])])
        cells = html.partition("<tbody>")[2].split("<td ")[1:]
        assert [f"white-space:{wrap}" in cells[0], "white-space:nowrap" in cells[1]] == [True, True]
        assert ["text-align:left" in cells[0], "text-align:right" in cells[1]] == [True, True]
    assert WIDE == 24


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            lambda: ww.plots.esd(3),
            "a picture of a int was asked; accepted is a LayerResult, as setol_ww.analyze_matrix(W) and "
            "results.layer(name) give it",
        ),
        (
            lambda: ww.plots.depth([1]),
            "a picture of a list was asked; accepted are Results, as setol_ww.examine and "
            "setol_ww.open_results give them, and a table of layers with the column longname, as setol_ww.analyze "
            "does; several models are several arguments",
        ),
        (
            lambda: ww.plots.depth(3),
            "a picture of a int was asked; accepted are Results, as setol_ww.examine and "
            "setol_ww.open_results give them, and a table of layers with the column longname, as setol_ww.analyze does",
        ),
        (
            lambda: ww.plots.depth(table(3.0, other="x"), "other"),
            "column='other' was asked; accepted is one of 'tail_alpha', ...",
        ),
        (lambda: ww.plots.histogram(), "a histogram of nothing was asked; accepted are Results or tables of layers"),
        (
            lambda: ww.plots.histogram(table(3.0), labels=["a", "b"]),
            "labels=['a', 'b'] was asked for 1 models; accepted is one for each",
        ),
        (
            lambda: ww.plots.training(3),
            "a picture of a int was asked; accepted is a table of one row a step and layer, with the "
            "columns step, longname",
        ),
        (
            lambda: ww.plots.training(table(3.0)),
            "a picture of a DataFrame was asked; accepted is a table of one row a step and "
            "layer, with the columns step, longname",
        ),
        (
            lambda: ww.plots.comparison(3),
            "a picture of a int was asked; accepted is a Comparison, as setol_ww.compare makes",
        ),
        (
            lambda: ww.plots.truncation_curve(table(3.0)),
            "a picture of a DataFrame was asked; accepted is a table of setol_ww.truncation_curve",
        ),
        (
            lambda: ww.plots.esd(near_ideal(), ax=3),
            "ax=3 was asked; accepted is a matplotlib Axes, or None for a new one",
        ),
    ],
)
def test_what_is_no_picture(wrong, said):
    with pytest.raises(ww.InvalidInput) as refused:
        wrong()
    assert str(refused.value) == said


def test_long_names_of_two_models_are_shortened_in_the_title():
    W = {"a.weight": np.sin(np.arange(600.0) ** 2).reshape(30, 20)}
    found = ww.compare(W, W, progress=False)
    for number, is_whole in ((40, True), (41, False)):
        title = ww.plots.comparison(replace(found, names=("b" * number, "t" * number))).get_title()
        first, _, second = title.partition(" → ")
        assert [len(first), len(second)] == [40, 40]
        assert (first == "b" * 40) is is_whole
        assert (second == "t" * 40) is is_whole
    assert ww.plots.comparison(replace(found, names=("same", "same"))).get_title() == "before → after"


def test_a_picture_of_another_kind_names_those_there_are():
    for wrong, said in (
        (
            lambda: ww.plots.ideal_plane(table(3.0), against="alpha"),
            "against='alpha' was asked; accepted is one of 'delta_lambda_min', 'pl_lambda_min'",
        ),
        (
            lambda: ww.plots.esd(near_ideal(), scale="lin-log"),
            "scale='lin-log' was asked; accepted is one of 'log-log', 'lin-lin', 'log-lin'",
        ),
    ):
        with pytest.raises(ww.InvalidInput) as refused:
            wrong()
        assert str(refused.value) == said


def test_a_curve_of_another_metric_names_those_there_are():
    frame = pd.DataFrame(
        {
            "curve": ["top"],
            "layer": ["all"],
            "rule": ["top:1"],
            "rank_fraction": [0.5],
            "kept_energy": [0.5],
            "error": [0.1],
            "base_error": [0.1],
            "base_loss": [0.2],
        }
    )
    for asked, said in (
        ({"metric": "accuracy"}, "metric='accuracy' was asked; accepted is one of 'error', 'loss'"),
        ({"layer": "fc"}, "layer='fc' was asked; accepted is one of 'all'"),
        ({"against": "error"}, "against='error' was asked; accepted is one of 'rank_fraction', 'kept_energy'"),
    ):
        with pytest.raises(ww.InvalidInput) as refused:
            ww.plots.truncation_curve(frame, **asked)
        assert str(refused.value) == said


def test_of_two_looks_at_one_step_the_last_is_drawn():
    """As when a checkpoint is written again under its name."""
    history = pd.DataFrame({"step": [0, 5, 5], "longname": "fc", "tail_alpha": [3.0, 4.0, 4.5]})
    (line,) = (one for one in ww.plots.training(history).lines if one.get_label() == "fc")
    assert np.asarray(line.get_xydata()).tolist() == [[0.0, 3.0], [5.0, 4.5]]
