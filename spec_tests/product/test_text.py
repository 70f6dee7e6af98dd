"""Chapter 14: text for people, whatever the names are."""

from __future__ import annotations

import itertools
import json
import os
import re
import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import setol_ww as ww
from setol_ww.core.printable import (
    GridColumn,
    cells,
    first_parts,
    first_words,
    grid,
    shortened,
    terminal_width,
    visible,
    wrapped,
)
from setol_ww.results.record import LayerRecord
from setol_ww.results.results import Results
from setol_ww.views.text import coverage_lines, layer_name, legend, paragraph, text_table, truncation_text

TEXT = st.text(st.characters(exclude_categories=()))
SENT = {"Cc", "Cf", "Cs", "Zl", "Zp", "Cn"}


def rows(number: int = 3, names: list[str] | None = None) -> pd.DataFrame:
    names = names or [f"model.layers.{i}.self_attn.q_proj" for i in range(number)]
    count = len(names)
    return pd.DataFrame(
        {
            "longname": pd.Series(names, dtype=object),
            "slice": ["q"] + [""] * (count - 1),
            "N": 4096,
            "M": [1024.0] * (count - 1) + [np.nan],
            "rf": 9,
            "tail_alpha": [2.031] * (count - 1) + [np.nan],
            "tail_sigma": 0.05,
            "erg_rank": 153,
            "erg_log_det": 0.12,
            "delta_lambda_min": -0.034,
            "q2_norm": 1.634,
            "universality_class": "weakly heavy-tailed",
            "setol_state": ["over-regularized"] * (count - 1) + [None],
            "status": ["analyzed"] * (count - 1) + ["failed"],
            "reason": "",
        }
    )


def test_a_table_as_it_is_printed():
    assert text_table(rows(2), 100).split("\n") == [
        "layer                                          N x M        alpha   k*   delta  state",
        "-" * 96,
        "model.layers.0.self_attn.q_proj [q]  4096 x 1024 (9)  2.03 ± 0.05  153  -0.034  over-regularized",
        "model.layers.1.self_attn.q_proj                    -            -  153  -0.034  failed",
    ]
    assert text_table(rows(2), 60).split("\n") == [
        "layer                        alpha   delta  state",
        "-" * 60,
        "model.lay.._proj [q]   2.03 ± 0.05  -0.034  over-regularized",
        "model.lay..tn.q_proj             -  -0.034  failed",
    ]


@pytest.mark.parametrize("width", [1, 60, 61, 79, 80, 100, 120, 163, 200, 5000])
@pytest.mark.parametrize(
    "name", ["a", "model.layers.0.self_attn.q_proj" * 3, "層" * 40, "e\u0301" * 90, "a\x1b[31m\n" * 20]
)
def test_every_line_fits(width, name):
    frame = rows(names=[name, name + "2"])
    room = min(max(width, 60), 200)
    why = f"layer {name}: no"
    coverage = pd.DataFrame({"status": ["failed"], "n_params": [3], "longname": [name], "reason": [why]})
    layer = {"layer": name, "rank": 3, "num_evals": 9, "kept_energy": 0.5, "parameters_before": 9, "reason": why}
    layer["parameters_after"] = 3
    manifest = {
        "layers": [layer, {**layer, "kept_energy": None, "reason": ""}],
        "left_out": [why],
        "parameters_before": 9,
        "parameters_after": 3,
    }
    for text in (text_table(frame, width), coverage_lines(coverage, width), legend(width)):
        assert max(map(cells, text.split("\n"))) <= room
    for text in (text_table(frame, width), coverage_lines(coverage, width), truncation_text(manifest, "out", width)):
        assert not any(unicodedata.category(character) in SENT for character in text.replace("\n", ""))
    assert text_table(frame, width).count("\n") == 3


def test_wider_terminals_show_more():
    heads = [text_table(rows(), width).split("\n")[0].split() for width in (60, 80, 100, 140, 200)]
    assert [len(head) for head in heads] == sorted(len(head) for head in heads)
    assert heads[0] == ["layer", "alpha", "delta", "state"]
    assert "class" in heads[-1]
    assert "model.layers.0.self_attn.q_proj [q]" in text_table(rows(), 200)


def test_the_width_is_that_of_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "77")
    assert terminal_width() == 77
    monkeypatch.setenv("COLUMNS", "500")
    assert terminal_width() == 200
    monkeypatch.setenv("COLUMNS", "20")
    assert terminal_width() == 60
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setattr(os, "get_terminal_size", lambda _: (_ for _ in ()).throw(OSError("no terminal")))
    assert terminal_width() == 100


@given(TEXT)
def test_what_is_shown_is_what_can_be_shown(text):
    shown = visible(text)
    assert not any(unicodedata.category(character) in SENT for character in shown)
    shown.encode("utf-8")
    if text.isprintable() and text.isascii():
        assert shown == text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\u2066x\u2069\u200b\ufeff", r"\u2066x\u2069\u200b\ufeff"),
        ("\x9b31m", r"\x9b31m"),
        ("\ud800", r"\ud800"),
        ("\u2028", r"\u2028"),
        ("\U000e0041", r"\U000e0041"),
        ("層 é 😀", "層 é 😀"),
    ],
)
def test_characters_that_act_are_shown(name, shown):
    assert visible(name) == shown


@given(TEXT, st.integers(4, 40))
def test_shortened_text_fits(text, width):
    short = shortened(visible(text), width)
    assert cells(short) <= width
    if cells(visible(text)) <= width:
        assert short == visible(text)


@given(TEXT, st.integers(4, 40))
def test_first_words_fit_and_are_whole(text, width):
    text = visible(text)
    told = first_words(text, width)
    assert cells(told) <= width
    kept = told.removesuffix(" ..")
    if kept != told:
        assert text.startswith(kept)
        assert text[len(kept) :].startswith(" ")
    elif cells(text) <= width:
        assert told == text


@pytest.mark.parametrize("width", range(80))
def test_first_flags_are_whole_and_the_others_counted(width):
    flags = ["few eigenvalues", "uneven rows", "trap: element"]
    told = first_parts(", ".join(flags), width)
    kept, plus, left = told.partition(" +")
    assert kept.split(", ") == flags[: len(kept.split(", "))]
    assert len(kept.split(", ")) + int(left or 0) == len(flags)
    assert cells(told) <= max(width, cells("few eigenvalues +2"))
    assert bool(plus) == (width < cells(", ".join(flags)))


@pytest.mark.parametrize("width", range(60, 201, 7))
def test_a_table_of_results_cuts_no_word_of_ours(width):
    """Whatever its width; names of layers are cut, and columns left out."""
    words = {"universality_class": "very heavy-tailed", "setol_state": "over-regularized"}
    row = {"longname": "model.layers.3.self_attn.q_proj", "slice": "", "N": 4096, "M": 1024, "tail_alpha": 1.5, **words}
    rows = [{**row, "setol_flags": "ambiguous tail start, uneven rows"}, {**row, "setol_flags": ""}]
    told = text_table(pd.DataFrame(rows), width)
    assert max(map(cells, told.split("\n"))) <= width
    head, _, *lines = told.split("\n")
    assert all(line.endswith("over-regularized") for line in lines)
    assert all(("very heavy-tailed" in line) == ("class" in head) for line in lines)
    if "flags" in head:
        assert "ambiguous tail start +1" in lines[0] or "ambiguous tail start, uneven rows" in lines[0]


@given(st.lists(TEXT), st.integers(10, 40))
def test_wrapped_text_fits_and_loses_nothing(words, width):
    text = " ".join(map(visible, words))
    lines = wrapped(text, width, "  ", "    ").split("\n")
    assert max(map(cells, lines)) <= width
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_wide_and_combining_characters():
    assert cells("層") == 2
    assert cells("ｱ") == 1
    assert cells("Ａ") == 2
    assert cells("e\u0301") == 1
    table = grid([GridColumn("a", ["層層", "abcd"], right=False), GridColumn("b", ["x", "y"])], 80)
    assert {cells(line) for line in table.split("\n")} == {7}


def test_a_paragraph_is_one_paragraph():
    assert paragraph("a\n b \x1b[0m\t c", 60) == r"a b \x1b[0m c"


def test_a_text_table_copies_nothing_that_hangs_on_the_table():
    """Two thousand rows took thirteen seconds while pandas copied that for every row."""

    copies = []

    class Heavy(list):
        def __deepcopy__(self, memo):
            copies.append(1)
            return self

    weights = {f"layers.{i}.weight": np.random.default_rng(i).normal(size=(6, 5)) for i in range(20)}
    frame = ww.analyze(weights)
    many = pd.concat([frame] * 100, ignore_index=True)
    many.attrs["heavy"] = Heavy()
    copies.clear()
    assert text_table(many, 100).count("\n") == 2001
    assert len(copies) < 100


def results(number: int) -> Results:
    spectrum = ww.Spectrum.from_eigenvalues(np.arange(1.0, 41) ** 2)
    return Results.from_records(
        [LayerRecord(i, {"longname": f"l{i}", "N": 50, "M": 40, "rf": 1}, spectrum=spectrum) for i in range(number)]
    )


def test_results_print_as_a_table_of_ten_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    lines = str(results(3)).split("\n")
    assert lines[0].split() == [
        "layer",
        "N",
        "x",
        "M",
        "alpha",
        "k*",
        "S_k*",
        "delta",
        "q2_norm",
        "class",
        "flags",
        "state",
    ]
    assert len(lines) == 6
    assert lines[-1].startswith("3 rows, 0 failed, 0 skipped.")
    long = str(results(500)).split("\n")
    assert len(long) == 64
    assert "... 440 more ..." in long[32]


def test_results_in_a_notebook():
    shown = results(3)._repr_html_()
    assert shown.count("<tr>") == 4
    bad = Results.from_records([LayerRecord(0, {"longname": "<script>&\x1b"}, "failed", "<b>")])
    assert "&lt;script&gt;&amp;\\x1b" in bad._repr_html_()
    assert "<script>" not in bad._repr_html_()


def one_layer(with_trap: bool) -> ww.LayerResult:
    W = np.random.default_rng(0).normal(size=(120, 80))
    if with_trap:
        W[13, 17] = 40
    result = ww.analyze_matrix(W)
    return result.with_traps(ww.find_traps(W)) if with_trap else result


@pytest.mark.parametrize("with_trap", [False, True])
def test_a_layer_prints_as_a_few_lines(monkeypatch, with_trap):
    monkeypatch.setenv("COLUMNS", "80")
    result = one_layer(with_trap)
    lines = str(result).split("\n")
    assert lines[0] == "120 x 80, 80 eigenvalues, rank 80"
    assert max(map(len, lines)) <= 80
    assert 6 <= len(lines) <= 20
    told = " ".join(line.strip() for line in lines)
    assert f"state    {result.verdict.state.value} (" in told
    assert f"alpha {result.tail.alpha:.2f}" in told
    assert result.reason in told
    assert result.verdict.next_step in told
    assert ("trap: element" in told) == with_trap


def test_a_layer_without_numbers_prints_why(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for W in (np.zeros((30, 20)), np.full((30, 20), np.nan), np.ones((1, 1))):
        lines = str(ww.analyze_matrix(W)).split("\n")
        assert any(line.strip().startswith("tail     none, ") for line in lines)
        assert not any("nan" in line for line in lines)


def test_a_layer_and_its_traps_as_json_and_for_a_notebook():
    result = one_layer(True)
    assert result.traps is not None
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert (told["schema"], told["N"], told["M"], told["num_evals"]) == (1, 120, 80, 80)
    assert told["tail_alpha"] == result.tail.alpha
    assert told["setol_state"] == result.verdict.state.value
    assert told["flags"] == list(result.flags)
    assert told["trap_count"] == 1
    traps = json.loads(json.dumps(result.traps.to_dict(), allow_nan=False))
    assert (traps["schema"], traps["count"], traps["indices"]) == (1, 1, [[13, 17]])
    assert traps["pvalue"] == result.traps.pvalue
    assert traps["pvalue_permutation"] is None
    lines = str(result.traps).split("\n")
    assert lines[0] == "120 x 80, shuffled with seed 0"
    assert lines[1].strip().startswith("traps     1 (p = ")
    assert lines[4].startswith("1 trap: element (13, 17)")
    assert len(lines) <= 5
    undefined = ww.find_traps(np.zeros((4, 4)))
    assert "too few" in str(undefined)
    assert json.loads(json.dumps(undefined.to_dict(), allow_nan=False))["lambda_max"] is None
    assert "trap_count" not in one_layer(False).to_dict()


def test_what_was_not_analysed_has_its_lines():
    told = [("analyzed", 60, "a", ""), ("failed", 30, "b", "no room")]
    told += [("skipped", 1, f"c{number}", "a bias") for number in range(9)]
    coverage = pd.DataFrame(told, columns=["status", "n_params", "longname", "reason"])
    lines = coverage_lines(coverage, 120).split("\n")
    assert lines[0] == "1 of 11 weight tensors analysed (60.6 % of their parameters), 9 skipped, 1 failed."
    assert lines[1] == "  failed: b: no room"
    assert lines[2:] == ["  skipped: 9 tensors (c0, c1, ..., c8): a bias"]


def test_three_of_one_reason_have_a_line_each_and_four_have_one():
    told = [("skipped", 1, f"a{number}", "a bias") for number in range(3)]
    told += [("skipped", 1, f"b{number}", "a mask") for number in range(4)]
    coverage = pd.DataFrame(told, columns=["status", "n_params", "longname", "reason"])
    assert coverage_lines(coverage, 120).split("\n") == [
        "0 of 7 weight tensors analysed (0.0 % of their parameters), 7 skipped, 0 failed.",
        *[f"  skipped: a{number}: a bias" for number in range(3)],
        "  skipped: 4 tensors (b0, b1, ..., b3): a mask",
    ]
    # Nothing has no share, and no line is wider than the terminal.
    assert coverage_lines(coverage.iloc[:0], 120).startswith("0 of 0 weight tensors analysed (0.0 %")
    long = coverage.iloc[:1].assign(reason="of no use " * 9)
    assert coverage_lines(long, 60).split("\n")[2:] == [
        "  skipped: a0: of no use of no use of no use of no use of no",
        "    use of no use of no use of no use of no use",
    ]


def test_a_truncated_checkpoint_in_words():
    layer = {"layer": "fc\x1b", "rank": 3, "num_evals": 40, "kept_energy": 0.98765, "parameters_before": 1200}
    rows_ = [
        {**layer, "parameters_after": 210, "reason": ""},
        {**layer, "layer": "long", "rank": 40, "kept_energy": None, "parameters_after": 1200, "reason": "x " * 40},
    ]
    left = ["conv: " + "no matrix " * 6]
    manifest = {"layers": rows_, "left_out": left, "parameters_before": 2400, "parameters_after": 1410}
    assert truncation_text(manifest, "out\x1b", 60).split("\n") == [
        "layer        rank  energy kept  parameters  after",
        "-------------------------------------------------",
        "fc\\x1b   3 /   40      98.77 %        1200    210",
        "long    40 /   40            -        1200   1200",
        "    x x x x x x x x x x x x x x x x x x x x x x x x x x x x",
        "    x x x x x x x x x x x x",
        "left out: conv: no matrix no matrix no matrix no matrix no",
        "  matrix no matrix",
        "",
        "2400 parameters before, 1410 stored (58.8 %), in out\\x1b.",
    ]
    nothing = {"layers": [], "left_out": [], "parameters_before": 0, "parameters_after": 0}
    assert truncation_text(nothing, "out", 60).endswith("0 parameters before, 0 stored, in out.")


def test_what_the_columns_mean_in_words():
    """Whole, on as many lines as it takes, and to the letter."""
    assert legend(200).replace("\n", " ") == legend(60).replace("\n", " ")
    assert legend(80) == "\n".join(
        [
            "N x M: sides of the matrix; (9): so many slices of a kernel, taken together.",
            "alpha: exponent of the power-law tail (the large eigenvalues), with its standard",
            "error; the smaller, the heavier the tail. k*: number of leading eigenvalues",
            "whose product is nearest to 1; these are the ERG tail (exact renormalization",
            "group, the theory's condition). S_k*: what is left of the logarithm of that",
            "product. delta: start of the power-law tail minus start of the ERG tail",
            "(delta_lambda_min), eigenvalues scaled to mean 1. q2_norm: the theory's quality",
            "of a layer. det X: product of the eigenvalues of the power-law tail. A layer is",
            "ideal when alpha = 2 and det X = 1. Classes: random-like is as noise,",
            "bulk+spikes noise and few strong directions, heavy-tailed neither.",
            "Over-regularized: a tail heavier than the ideal; short-of-ideal: a lighter one;",
            "under-trained: none yet.",
        ]
    )


def test_a_name_is_shortened_in_its_middle():
    row = pd.Series({"longname": "model.layers.0.self_attn.q_proj.inner", "slice": "q"})
    assert layer_name(row) == "model.layers.0.s..q_proj.inner [q]"
    assert layer_name(pd.Series({"longname": "f" * 34, "slice": ""})) == "f" * 34
    assert len(layer_name(pd.Series({"longname": "f" * 35, "slice": ""}))) == 34


def test_the_order_in_which_columns_give_way():
    frame = rows(3).assign(setol_flags="little power")
    shown = [text_table(frame, width).split("\n")[0] for width in range(200, 59, -1)]
    heads = [tuple(re.split(r" {2,}", line.strip())) for line in shown]
    gone = [set(wide) - set(narrow) for wide, narrow in itertools.pairwise(dict.fromkeys(heads))]
    assert gone == [{"flags"}, {"q2_norm"}, {"S_k*"}, {"class"}, {"k*"}, {"N x M"}]
