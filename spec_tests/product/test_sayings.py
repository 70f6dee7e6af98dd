"""Chapter 14: advice, comparisons and the data of a page are what was looked at, and of their results."""

from __future__ import annotations

import base64
import html
import json
import re
import string
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import setol_ww as ww
from setol_ww.advice.changes import LEVEL, Change, ComparisonSummary, _look
from setol_ww.advice.comparison import Comparison
from setol_ww.advice.difference import columns_of_both
from setol_ww.advice.matching import Unmatched
from setol_ww.advice.update import SAME, Update
from setol_ww.layer import columns as register
from setol_ww.results.means import Mean
from setol_ww.results.record import LayerRecord
from setol_ww.results.summary import Look
from setol_ww.scanning.row import FORM
from setol_ww.views.report import page, report_page
from setol_ww.views.report.compared import SHARED, comparison_of
from setol_ww.views.report.curves import curves_of, thinned
from setol_ww.views.report.payload import column_data, page_data, provenance, said_name
from setol_ww.views.report.words import headline, next_step

from ..golden.alike import assert_alike
from ..golden.sayings import KEPT, comparison, file_of, heavy, of_every_kind, sayings, told, transformer
from ..golden.shown import an_effect, columns, of, power_law, some_changes

MEANT = "if it is meant: python -m spec_tests.golden.sayings, and look at the difference"


@pytest.mark.parametrize("name", sayings())
def test_what_is_said_is_what_was_looked_at(name):
    kept = json.loads(file_of(name).read_text(encoding="utf-8"))
    assert_alike(told(name), kept, MEANT)


def test_no_file_is_of_nothing():
    assert set(KEPT.iterdir()) == {file_of(name) for name in sayings()}


# --- the data of a page ----------------------------------------------------------------------------------------------


def test_the_cells_of_a_page_are_those_of_the_table():
    """Five digits of every number; a number that is none is null."""
    results = of_every_kind()
    table, data = results.table(detX=True), page_data(results)
    assert set(data["cells"]) == set(table) - {"longname", "slice", "setol_reason", "name", "has_esd"}
    assert [one["name"] for one in data["columns"]] == list(data["cells"])
    for name, cells in data["cells"].items():
        for shown, value in zip(cells, table[name], strict=True):
            if isinstance(value, str):
                assert shown == value.replace("\x1b", "\\x1b")
            elif not np.isfinite(value):
                assert shown is None
            else:
                assert shown == pytest.approx(float(value), rel=6e-5)
                assert isinstance(shown, (bool, int)) == float(value).is_integer()


def test_a_column_of_a_page_is_that_of_the_register():
    known = (*register.COLUMNS, *register.UNCERTAINTY_COLUMNS, *register.FARMS_COLUMNS, register.DETX_ERROR)
    for one in known:
        expected = {"name": one.name, "group": one.group, "unit": one.unit, "meaning": one.meaning}
        assert column_data(one.name) == {**expected, "source": one.source}
    assert column_data("N") == {
        "name": "N", "group": "layer", "unit": "", "meaning": "larger side of the matrix", "source": "",
    }  # fmt: skip
    assert column_data("xmin") == {
        "name": "xmin", "group": "WeightWatcher", "unit": "", "meaning": "WeightWatcher's own column",
        "source": "WeightWatcher 0.7.7",
    }  # fmt: skip


def unpacked(told: dict) -> np.ndarray:
    steps = np.frombuffer(base64.b64decode(told["steps"]), "<u2")
    return told["from"] + steps * (told["to"] - told["from"]) / 65535


@pytest.mark.parametrize("number", [2, 30, 199, 200, 1000])
def test_a_curve_is_that_of_its_spectrum(number):
    """Written out: logarithms of x over the mean, the largest first, their sums, and counts between equal ends."""
    values = (1 - (np.arange(number) + 0.5) / number) ** -0.8
    found = curves_of(ww.Spectrum.from_eigenvalues([0.0, *values], (2 * number, number + 1)))
    logs = np.log(np.sort(values / (values.sum() / (number + 1)))[::-1])
    ranks = found["ranks"]
    assert (found["n"], found["rank"], ranks[0], ranks[-1]) == (number + 1, number, 1, number)
    half = np.rint([*np.geomspace(1, number, 100), *np.linspace(1, number, 100)]).astype(int)
    assert ranks == sorted(set(half.tolist())) == thinned(number)
    step = (logs[0] - logs[-1]) / 65535
    assert unpacked(found["log_x"]) == pytest.approx(logs[np.array(ranks) - 1], abs=step)
    sums = np.cumsum(logs)
    assert unpacked(found["log_det"]) == pytest.approx(sums[np.array(ranks) - 1], abs=(sums.max() - sums.min()) / 65535)
    # The least hundredth lies left of the bins.
    low = np.sort(logs)[number // 100]
    assert found["ends"] == [round(low, 5), round(logs[0], 5)]
    assert len(found["bins"]) == min(44, max(8, int(2 * number**0.4)))
    assert sum(found["bins"]) == number - number // 100
    width = (logs[0] - low) / len(found["bins"])
    counts = np.bincount(np.minimum(((logs[logs >= low] - low) / width).astype(int), len(found["bins"]) - 1))
    assert np.abs(np.cumsum(counts) - np.cumsum(found["bins"])[: counts.size]).max() <= 1


def test_layers_without_a_curve_have_none():
    data = page_data(of_every_kind())
    drawn = {title: curve is not None for title, curve in zip(data["titles"], data["curves"], strict=True)}
    assert [title for title, is_drawn in drawn.items() if not is_drawn] == ["zero", "bad"]


def test_how_a_page_was_made():
    results = heavy()
    found = dict(provenance(results))
    assert found["analysed"] == "a model in memory"
    assert found["fingerprint of the weights"] == "none: they did not come from a file"
    assert found["options"] == ", ".join(f"{name}={value!r}" for name, value in results.options.as_dict().items())
    assert {name: found[name] for name in results.versions} == {k: str(v) for k, v in results.versions.items()}
    assert next(iter(found)) == "analysed"
    assert list(found)[-1] == "options"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "a model in memory"),
        ("dict", "a model in memory"),
        ("builtins.dict", "a model in memory"),
        ("/a/b/net.pt", "net.pt"),
        *[(f"/a/b/{stem}-1.bin", f"b/{stem}-1.bin") for stem in ("model", "pytorch_model", "adapter_model", "last")],
        *[(f"/a/b/{stem}.pt", f"b/{stem}.pt") for stem in ("consolidated", "weights", "checkpoint", "best")],
        ("model.bin", "model.bin"),
        ("/a/\x1b.pt", "\\x1b.pt"),
    ],
)
def test_what_a_model_is_called_on_its_page(given, said):
    assert said_name(given) == said


def test_the_page_is_its_frame_with_everything_put_in(tmp_path):
    """Every part in its place: the template filled in by hand here."""
    results = heavy()
    text = report_page(results)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 4
    told_data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    assert told_data == json.loads(json.dumps(page_data(results)))
    folder = page.resources.files("setol_ww.views.report")

    def read(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    names = ("base", "charts", "overview", "table", "compared", "panel", "main")
    ours = "\n".join(read(f"{name}.js") for name in names)
    assert scripts[-1] == f'(() => {{\n"use strict";\n{ours}}})();\n'
    licences = [f"{name.split('.')[0]}\n{read(f'vendor/{name}')}" for name in page.LICENCES]
    filled = string.Template(read("page.html")).substitute(
        policy=page.policy(scripts),
        title="SETOL report: a model in memory",
        style="\n".join([read("vendor/tabulator.min.css"), page.css_variables(), read("page.css")]),
        summary=html.escape("\n".join(results.summary().lines())),
        licences=html.escape("\n\n".join(licences)),
        data=page.embedded(told_data),
        scripts="\n".join(f"<script>{one}</script>" for one in scripts),
    )
    unmapped = re.compile(r"^(//[#@]|/\*#) sourceMappingURL=.*$", re.MULTILINE)
    assert text == unmapped.sub("", filled)
    assert page.policy(["a", "b"]) == (
        "default-src 'none'; script-src 'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs=' "
        "'sha256-PiPoFgA5WUoziU9lZOGxNIu9egCI1CxKy3PurtWcAJ0='; style-src 'unsafe-inline'; img-src data:; base-uri "
        "'none'; form-action 'none'"
    )
    results.report(tmp_path / "a.htm")
    assert (tmp_path / "a.htm").read_bytes() == text.encode()
    page.write_comparison(comparison(), tmp_path / "b.html")
    assert (tmp_path / "b.html").read_text(encoding="utf-8") == report_page(comparison().tuned, comparison())


def test_weights_are_analysed_as_the_results_they_are_held_against(monkeypatch):
    """Options reach the comparison; kept spectra are taken as they are."""
    weights = {"a.weight": np.random.default_rng(0).normal(size=(60, 40))}
    results = ww.examine(weights, progress=False, randomize=True, uncertainty=12, seed=3)
    asked = []

    def compare(other, given, **options):
        asked.append(options)
        return ww.compare(other, given, **options)

    monkeypatch.setattr("setol_ww.views.report.compared.compare", compare)
    found = comparison_of(results, weights)
    assert {"d_trap_count", "tail_alpha_low_base"} <= set(found.table())
    assert comparison_of(results, found) is found
    comparison_of(results, results)
    assert asked == [{name: getattr(results.options, name) for name in SHARED}, {}]
    assert set(SHARED) == {
        "randomize", "seed", "uncertainty", "farms", "quality", "device", "n_jobs", "layouts", "progress",
    }  # fmt: skip


LOUD = "trap: element"


@pytest.mark.parametrize(
    ("row", "said", "step"),
    [
        ({"status": "failed", "reason": "x"}, "could not be analysed", "the other layers do not suffer"),
        ({"tail_outcome": "degenerate", "setol_state": "undetermined"}, "all zero", "it may be pruned"),
        ({"universality_class": "rank collapse", "setol_state": "undetermined"}, "rank collapse", "cut to a low rank"),
        ({"setol_state": "over-regularized", "setol_flags": LOUD}, f"over-regularized, {LOUD}", ""),
        ({"setol_state": "ideal", "setol_flags": LOUD}, LOUD, "setol_ww.find_traps of the weights says"),
        ({"setol_state": "ideal", "setol_flags": "trap: mean shift"}, "trap: mean shift", "Nothing need be done"),
        ({"setol_state": "ideal"}, "ideal, no concern", ""),
        ({"tail_alpha": 3.0}, "no concern", ""),
        (
            {"tail_alpha": 9.0, "tail_sigma": 0.5, "setol_state": "short-of-ideal"},
            "short-of-ideal, apart from the rest",
            "",
        ),
        ({"tail_alpha": 6.5, "tail_sigma": 0.5, "setol_state": "short-of-ideal"}, "short-of-ideal, no concern", ""),
        ({}, "no concern", ""),
    ],
)
def test_what_is_the_matter_with_a_layer(row, said, step):
    assert headline(row, Look("fc", "", "why")) == said
    assert step in next_step(row)
    if not step:
        state = ww.State(row["setol_state"]) if "setol_state" in row else None
        assert next_step(row) == (state.next_step if state else "")


# --- changes ---------------------------------------------------------------------------------------------------------


def made(updates: list[Update], alphas: list[tuple[float, float]], **told) -> Comparison:
    """A comparison whose updates and exponents are these."""
    names = [f"fc{n}" for n in range(len(alphas))]
    spectra = [{name: power_law(pair[side], 0.5, 90, 200) for name, pair in zip(names, alphas)} for side in (0, 1)]
    base, tuned = (ww.Results.from_records(of(one), form=FORM) for one in spectra)
    fields = {"notes": ("",) * len(alphas), "unmatched_rows": (), "remarks": (), "names": ("old", "new"), **told}
    return Comparison(base, tuned, tuple(updates), **fields)


def test_an_update_is_rounding_above_a_half_of_it():
    """At a half it is one still."""
    sizes = {"update_norm_share": 0.25, "update_rank": 3.0}
    updates = [Update(**sizes, update_rounding=share) for share in (0.5, 0.51)]
    updates += [Update(update_reason=SAME, update_norm_share=0.0, update_rank=9.0), Update(update_norm_share=0.0)]
    summary = made(updates, [(3.0, 3.0)] * 4).summary()
    assert (summary.rounded, summary.same) == (1, 1)
    assert [(look.layer, look.why) for look in summary.look_first] == [("fc0", "update 0.25")]
    # The median of those that are not the same.
    assert summary.sizes == {"update_norm_share": 0.25, "update_rank": 3.0}
    assert summary.lines(100) == [
        "old -> new: 4 layers compared",
        "1 are the same, bit for bit",
        "1 differ by no more than rounding to their types makes",
        "median update: norm share 0.25, rank 3",
        "alpha beyond its error in 0 of 4; no layer's spectrum can be told from before",
        "look first at 1 layer:",
        "  fc0: update 0.25",
    ]


def test_the_largest_move_beyond_its_error_comes_first():
    alphas = [(2.0, 2.1), (3.0, 1.6), (3.0, 2.0), (2.5, 2.5), (3.0, 1.4), (3.0, 1.8), (3.0, 1.5), (3.0, 1.7)]
    found = made([Update(update_norm_share=0.1 * n) for n in range(8)], alphas)
    table, summary = found.table(), found.summary()
    beyond = table[table["d_tail_alpha_beyond"]]
    assert summary.counts["beyond"] == len(beyond) > 5
    far = (beyond["d_tail_alpha"].abs() / beyond["d_tail_alpha_error"]).sort_values(ascending=False)
    assert [look.layer for look in summary.look_first][: len(far)] == table.loc[far.index, "longname"].tolist()
    rest = [look.layer for look in summary.look_first][len(far) :]
    assert rest == ["fc3", "fc0"][: len(rest)]
    lines = summary.lines(100)
    at = lines.index(f"look first at 5 of {len(summary.look_first)} layers:")
    shown = [line.split(":")[0].strip() for line in lines[at + 1 : at + 6]]
    assert shown == [look.layer for look in summary.look_first[:5]]
    row = table.set_index("longname").loc[summary.look_first[0].layer]
    assert summary.look_first[0].why.startswith(
        f"alpha {row['tail_alpha_base']:.2f} -> {row['tail_alpha_tuned']:.2f}, beyond ± {row['d_tail_alpha_error']:.2f}"
    )


def test_the_fullest_summary_has_twenty_lines():
    """Five on the models, three means, six on layers, two of remarks, four on what is not compared."""
    left = [Unmatched(f"gone{n}", "base", "3 x 3", f"reason {n}") for n in range(4) for _ in range(n + 1)]
    long = "a remark that is told in more than one line of a terminal of sixty columns"
    size = {"update_norm_share": 0.1, "update_rank": 2.0}
    updates = [Update(**size)] * 5 + [Update(**size, update_rounding=0.9), Update(update_reason=SAME)]
    alphas = [(3.0, 1.5 + 0.01 * n) for n in range(6)] + [(3.0, 3.0)]
    found = made(updates, alphas, unmatched_rows=tuple(left), remarks=(long, long, long))
    lines = found.summary().lines(60)
    assert len(lines) == 20
    assert max(map(len, lines)) <= 60
    assert [line.split(" on average")[0] for line in lines[5:8]] == ["alpha", "delta_lambda_min", "erg_fraction"]
    assert lines[8] == "look first at 5 of 6 layers:"
    # Two lines for all remarks, three reasons.
    assert lines[14:] == [
        "a remark that is told in more than one line of a terminal of",
        "  sixty columns",
        "not compared, 10:",
        "  4 x reason 3",
        "  3 x reason 2",
        "  2 x reason 1",
    ]
    assert found.summary().unmatched == {"reason 3": 4, "reason 2": 3, "reason 1": 2, "reason 0": 1}
    assert found.unmatched["longname"].tolist() == [row.longname for row in left]


@pytest.mark.parametrize(
    ("pvalue", "value", "word"),
    [
        (LEVEL, 1.0, "indistinguishable from none"),
        (np.nextafter(LEVEL, 0), 1.0, "up"),
        (0.0, -1.0, "down"),
        (float("nan"), 1.0, "indistinguishable from none"),
    ],
)
def test_a_change_in_a_word(pvalue, value, word):
    change = Change(Mean("tail_alpha", "alpha", value, 0.25, 7), pvalue)
    assert change.word == word
    assert change.told == f"on average {value:+.2g} ± 0.25 over 7 layers, {word}"


def test_the_mean_change_is_that_of_students_paired_test():
    from scipy import stats

    found = comparison()
    moved = found.table()["d_tail_alpha"].dropna()
    expected = stats.ttest_1samp(moved, 0.0)
    change = found.summary().changes[0]
    assert change.pvalue == pytest.approx(expected.pvalue)
    assert (change.mean.value, change.mean.count) == (pytest.approx(moved.mean()), len(moved))
    assert change.mean.error == pytest.approx(stats.sem(moved))
    # Where every layer moves alike there is no error to doubt it by, and no change where none moves.
    same = made([], [(3.0, 3.0)] * 3).summary()
    assert [one.mean.column for one in same.changes] == []
    alike = made([], [(3.0, 2.0)] * 3).summary().changes[0]
    assert (alike.pvalue, alike.word) == (0.0, "down")


def test_an_error_needs_both_ends_or_a_standard_error():
    """One end of an interval is none; of several layers each has its own."""
    plain = {"tail_alpha": [3.0, 2.0]}
    ends = {"tail_alpha_low": [2.5, 1.5], "tail_alpha_high": [3.25, 2.5]}
    tuned = pd.DataFrame({"tail_alpha": [2.0, 4.0], "tail_alpha_low": [1.75, 3.0], "tail_alpha_high": [2.5, 4.5]})
    for left_out in (("tail_alpha_low",), ("tail_alpha_high",), ("tail_alpha_low", "tail_alpha_high")):
        base = pd.DataFrame({name: value for name, value in (plain | ends).items() if name not in left_out})
        found = columns_of_both(base, tuned)
        assert found["d_tail_alpha"].tolist() == [-1.0, 2.0]
        assert "d_tail_alpha_error" not in found
        assert "d_tail_alpha_beyond" not in found
    found = columns_of_both(pd.DataFrame(plain | ends), tuned)
    # Down: the base's lower half with the tuned one's upper; up: the other way round.
    assert found["d_tail_alpha_error"].tolist() == pytest.approx([np.hypot(0.5, 0.5), np.hypot(0.5, 1.0)])
    assert found["d_tail_alpha_beyond"].tolist() == [True, True]
    # Where nothing moved the error is that towards below, and beyond all numbers there is neither.
    still = columns_of_both(
        pd.DataFrame(plain | ends), pd.DataFrame(plain | {"tail_alpha_low": 1.0, "tail_alpha_high": 4.0})
    )
    assert still["d_tail_alpha_error"].tolist() == pytest.approx([np.hypot(0.5, 1.0), np.hypot(0.5, 2.0)])
    odd = pd.DataFrame({"tail_alpha": [np.inf, 1e308, np.nan], "tail_sigma": [0.1, 0.1, 0.1]})
    found = columns_of_both(odd, pd.DataFrame({"tail_alpha": [np.inf, -1e308, 2.0], "tail_sigma": [0.1, 0.1, 0.1]}))
    np.testing.assert_array_equal(found["d_tail_alpha"], [np.nan, -np.inf, np.nan])
    assert found["d_tail_alpha_beyond"].tolist() == [False, True, False]
    # As far as its error is not beyond it.
    at = pd.DataFrame({"tail_alpha": [3.0], "tail_alpha_low": [2.25], "tail_alpha_high": [4.0]})
    other = pd.DataFrame({"tail_alpha": [1.75], "tail_alpha_low": [1.0], "tail_alpha_high": [2.75]})
    found = columns_of_both(at, other)
    assert found["d_tail_alpha_error"].tolist() == [1.25]
    assert found["d_tail_alpha_beyond"].tolist() == [False]


def test_of_an_adapter_alone_there_is_no_difference():
    record = LayerRecord(0, {"longname": "fc", "slice": ""}, spectrum=power_law(2.5, 0.5, 90, 200), reason="kept")
    tuned = ww.Results.from_records([record], form=FORM)
    update = Update(update_norm=3.0, update_rank=2.0, update_stable_rank=1.5, update_alpha=2.25)
    found = Comparison(None, tuned, (update,), ("added",), (), (), ("", "adapter"))
    table = found.table()
    assert not [name for name in table if name.startswith("d_") or name.endswith(("_base", "_tuned"))]
    assert table["reason"].tolist() == ["added; kept"]
    assert ComparisonSummary.of(found).lines(90) == [
        "adapter: 1 layers compared",
        "median update: norm 3, rank 2, stable rank 1.5, alpha 2.25",
    ]


def heads(shown: object, width: int) -> list[str]:
    """The columns of what prints, in a terminal of so many."""
    with columns(width):
        lines = str(shown).split("\n")
    ruled = next(n for n, line in enumerate(lines) if line and set(line) == {"-"})
    return re.split(r" {2,}", lines[ruled - 1].strip())


@pytest.mark.parametrize(
    ("shown", "first", "gone"),
    [
        (
            comparison,
            "layer, N x M, alpha, tuned, change, k*, update, norm, rank, in ECS, turned",
            ["norm", "turned", "N x M", "k*", "in ECS"],
        ),
        (some_changes, "layer, N x M, alpha, tuned, change, k*, state", ["N x M", "k*", "state"]),
        (an_effect, "layer, trap, p, variance, participation, overlap, JS, bulk, 95 %", ["participation", "p"]),
    ],
)
def test_the_order_in_which_columns_give_way(shown, first, gone):
    result = shown()
    every = [heads(result, width) for width in range(200, 59, -1)]
    assert every[0] == first.split(", ")
    left = [name for wide, narrow in pairwise(every) for name in wide if name not in narrow]
    assert left == gone


def test_the_number_that_is_advised_stays_in_the_narrowest_terminal():
    """Of the others what can be had from the table goes first; a reason is cut, never left out."""
    for target, column in (("sparsity", "sparsity"), ("learning-rates", "learning_rate"), ("lora-rank", "rank")):
        found = heads(ww.recommend(transformer(), target), 60)
        assert (found[0], column in found) == ("layer", True)
        assert found[-1].startswith("why not")


def test_a_long_name_of_a_layer_leaves_room_for_why():
    """Half of the line at least, and what the reason leaves."""
    name = "model.decoder.layers.31.self_attention.query_projection.inner.weights"
    look = Look(name, "", "update 0.25")
    for room in (60, 80, 100):
        said = _look(look, room)
        assert len(said) <= room
        assert said.endswith(": update 0.25")
    assert _look(look, 100) == f"  {name}: update 0.25"


def test_the_picture_of_the_demonstration(monkeypatch, tmp_path):
    """A layer of each net side by side above the plane of all, legends under the spectra and not on them."""
    from matplotlib.figure import Figure

    from setol_ww.views.demonstration import demo_picture

    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **told: kept.append((self, path, told)))
    demo_picture(heavy(), ["fc0", "fc3", "fc4"], tmp_path / "a.png")
    ((figure, path, told),) = kept
    assert (path, told) == (tmp_path / "a.png", {"dpi": 150})
    assert figure.get_size_inches().tolist() == [13.0, 9.5]
    figure.canvas.draw()
    *spectra, plane = figure.axes
    assert [ax.get_title() for ax in (*spectra, plane)] == ["fc0", "fc3", "fc4", "all layers of the three nets"]
    results = heavy()
    for ax, name in zip(spectra, ("fc0", "fc3", "fc4"), strict=True):
        start = next(line for line in ax.lines if str(line.get_label()).startswith("its start"))
        assert start.get_xdata()[0] == results.layer(name).tail.lambda_min
        legend, where = ax.get_legend(), ax.get_window_extent()
        box = legend.get_window_extent()
        assert box.y1 < where.y0
        assert (box.x0 + box.x1) / 2 == pytest.approx((where.x0 + where.x1) / 2, abs=1)
        assert not legend.get_frame_on()
        assert legend.get_texts()[0].get_fontsize() == pytest.approx(8.33, abs=0.01)
    tops = [ax.get_window_extent() for ax in (*spectra, plane)]
    assert max(box.y0 for box in tops[:3]) == pytest.approx(min(box.y0 for box in tops[:3]))
    assert tops[0].x1 < tops[1].x0 < tops[1].x1 < tops[2].x0
    assert tops[3].y1 < tops[0].y0
    assert tops[3].width > 1.9 * tops[1].width
    assert figure.get_layout_engine() is not None
