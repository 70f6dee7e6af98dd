"""What results say, word for word, of layers whose numbers are written down: summary, table, coverage, means, rules."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import setol_ww as ww
from setol_ww.core.tones import Tone
from setol_ww.results.apart import apartness
from setol_ww.results.coverage import shape_of
from setol_ww.results.means import Apart, Mean, mean_of, told_apart
from setol_ww.results.printed import flags_in, has_failed, is_number, shortened_rows, title, tones_of
from setol_ww.results.record import LayerRecord
from setol_ww.results.results import Results
from setol_ww.results.rules import COMPARISONS, Rule
from setol_ww.results.summary import Look, Summary, layers_of
from setol_ww.scanning.row import FORM


def row(position: int, longname: str, status: str = "analyzed", reason: str = "", **more: Any) -> LayerRecord:
    """A row whose columns are written down, without a spectrum."""
    identity = {"longname": longname, "slice": more.pop("slice", ""), "n_params": more.pop("n_params", 100)}
    identity |= {name: more.pop(name) for name in ("N", "M", "rf") if name in more}
    return LayerRecord(position, identity, status, reason, cells=more)


def alpha(value: float, sigma: float, state: str, **more: Any) -> dict[str, Any]:
    return {"tail_alpha": value, "tail_sigma": sigma, "setol_state": state, "tail_outcome": "ok", **more}


NO_TAIL = "under-trained: what lies beyond the noise is of no heavy tail"


@pytest.fixture
def results() -> Results:
    """Every concern, one layer of most; three rows are missing."""
    heavy, very = {"universality_class": "heavy-tailed"}, {"universality_class": "very heavy-tailed"}
    near = {"delta_lambda_min": 0.5, "q2_norm": 4.0, "stable_rank": 3.0, "erg_rank": 7.0, "erg_log_det": 0.25}
    other = {"delta_lambda_min": -0.5, "q2_norm": 1.0, "stable_rank": 5.0}
    flags = {"setol_flags": "uneven rows, trap: element"}
    return Results.from_records(
        [
            row(
                0, "a", N=60, M=40.0, rf=9, **alpha(2.0, 0.1, "ideal", **near, **heavy, setol_flags="", setol_reason="")
            ),
            row(1, "b", slice="q", N=60, M=40, rf=1, **alpha(1.5, 0.1, "over-regularized", **other, **very, **flags)),
            row(2, "c", **{**alpha(1.2, 0.1, "over-regularized", **very), "tail_outcome": "poor_fit"}),
            row(3, "d", **alpha(7.0, 0.5, "under-trained", universality_class="random-like", setol_reason=NO_TAIL)),
            row(4, "e", n_params=50, tail_outcome="degenerate"),
            row(5, "f", universality_class="rank collapse", tail_outcome="ok", tail_alpha=3.0, tail_sigma=0.2),
            row(6, "g.weight", "failed", "layer g: 3 NaN and 0 Inf among its 60 entries"),
            row(7, "h", "skipped", "int8", n_params=math.nan),
            row(8, "i", "skipped", "int8"),
            row(9, "j", **{**alpha(8.0, 0.5, "undetermined"), "tail_outcome": "poor_fit"}),
            row(10, "k", **alpha(9.0, 3.0, "short-of-ideal")),
            row(11, "l", **alpha(4.0, 0.3, "short-of-ideal", setol_flags="trap: spread")),
        ],
        about={"rows": list(range(15))},
        form=FORM,
    )


WIDE = """\
9 of 12 rows analysed (81.0 % of the parameters), 1 failed, 2 skipped, 3 not come to yet
states:   2 over-regularized, 2 short-of-ideal, 1 ideal, 1 under-trained, 1 undetermined
classes:  2 very heavy-tailed, 1 heavy-tailed, 1 random-like, 1 rank collapse
flags:    1 uneven rows, 1 trap: element, 1 trap: spread
words:    very heavy-tailed: beyond noise, with alpha below 2; heavy-tailed: beyond noise,
          eigenvalues on all scales; random-like: as independent noise is; rank collapse: half of ..
alpha: 4.46 ± 1.1 over 8 layers (1 without a heavy tail), steepness of the tail of large
       eigenvalues; 2 is the ideal
delta: 0 ± 0.5 over 2 layers, power-law tail's start minus that of the tail whose product is 1
q2_norm: 2 ± 1.4 over 2 layers, the theory's quality of a layer, geometric mean
stable rank: 4 ± 1 over 2 layers, how many directions carry the weights
look first at 4 of 7 layers:
  g.weight: 3 NaN and 0 Inf among its 60 entries
  e: all zero
  f: rank collapse, alpha 3.00
  c: over-regularized, alpha 1.20
next:     over-regularized (the tail is heavier than at the ideal point): Look for too large a
          learning rate, too small batches and traps (randomize=True); test an earlier checkpoint.
not analysed, 3 tensors:
  2 x int8"""

NARROW = """\
9 of 12 rows analysed (81.0 % of the parameters), 1 failed,
  2 skipped, 3 not come to yet
states:   2 over-regularized, 2 short-of-ideal, 1 ideal, 1
          under-trained, 1 undetermined
classes:  2 very heavy-tailed, 1 heavy-tailed, 1
          random-like, 1 rank collapse
flags:    1 uneven rows, 1 trap: element, 1 trap: spread
words:    very heavy-tailed: beyond noise, with alpha ..
alpha: 4.46 ± 1.1 over 8 layers (1 without a heavy tail),
       steepness of the tail of large eigenvalues; 2 is ..
delta: 0 ± 0.5 over 2 layers, power-law tail's start ..
q2_norm: 2 ± 1.4 over 2 layers, the theory's quality of a ..
stable rank: 4 ± 1 over 2 layers, how many directions ..
look first at 4 of 7 layers:
  g.weight: 3 NaN and 0 Inf among its 60 entries
  e: all zero
  f: rank collapse, alpha 3.00
  c: over-regularized, alpha 1.20
not analysed, 3 tensors:
  2 x int8"""


@pytest.mark.parametrize(("width", "wanted"), [(100, WIDE), (60, NARROW)])
def test_a_summary_word_for_word(results, width, wanted):
    """Lines, their order and their cuts; the means are 35.7 / 8 and the square root of 4 times 1."""
    assert "\n".join(results.summary().lines(width)) == wanted


def test_a_short_summary_has_room_for_all():
    """Two layers without a concern: what stands apart is told, the furthest first, and all of each line."""
    records = [row(0, "j", **alpha(8.0, 0.5, "undetermined")), row(1, "k", **alpha(9.0, 0.5, "short-of-ideal"))]
    assert Results.from_records(records).summary().lines(100) == [
        "2 of 2 rows analysed (100.0 % of the parameters), 0 failed, 0 skipped",
        "states:   1 undetermined, 1 short-of-ideal",
        "alpha: 8.5 ± 0.5 over 2 layers, steepness of the tail of large eigenvalues; 2 is the ideal",
        "no concern, but apart from the usual alpha of 2 to 6:",
        "  k: short-of-ideal, alpha 9.00 ± 0.50",
        "  j: undetermined, alpha 8.00 ± 0.50",
        f"next:     short-of-ideal ({ww.State.SHORT_OF_IDEAL.meaning}): alpha is no cause for worry;",
        "          more training or a larger learning rate for this layer may bring it nearer to 2.",
        f"next:     undetermined ({ww.State.UNDETERMINED.meaning}): Neither good nor bad: its reason",
        "          (setol_reason) says what is lacking; uncertainty=200 may narrow a wide interval.",
    ]


def test_which_layers_are_looked_at_first():
    """By the kind of concern, then by how far alpha is from 2, then as they come; a flag that is not loud is none."""
    collapsed = {"universality_class": "rank collapse"}
    records = [
        row(0, "at 1.2", **alpha(1.2, 0.1, "over-regularized", setol_flags="a, uneven, trap: z")),
        row(1, "at 2.9", **alpha(2.9, 0.1, "over-regularized")),
        row(2, "at 2.5", tail_alpha=2.5, **collapsed),
        row(3, "none", **collapsed),
        row(4, "at 1.1", **alpha(1.1, 0.1, "over-regularized")),
        row(5, "as far", **alpha(2.9, 0.1, "over-regularized")),
        row(6, "quiet", **alpha(3.0, 0.1, "short-of-ideal", setol_flags="uneven rows")),
        row(7, "failed", "failed", ""),
        row(8, "further", **alpha(7.5, 1.0, "short-of-ideal")),
        row(9, "at the error", **alpha(7.0, 1.0, "short-of-ideal")),
        row(10, "as far again", **alpha(7.5, 1.0, "undetermined")),
    ]
    told = Results.from_records(records).summary()
    assert [look.layer for look in told.look_first] == [
        *("failed", "at 2.5", "none", "at 2.9", "at 1.1", "as far", "at 1.2"),
    ]
    assert told.look_first[0].why == "no reason given"
    assert told.look_first[-1].why == "over-regularized, trap: z, a, uneven, alpha 1.20"
    assert [look.layer for look in told.stand_apart] == ["further", "as far again"]
    assert told.not_analyzed == {"no reason given": 1}


def test_columns_give_way_to_a_third_of_a_long_name(monkeypatch):
    record = row(0, "a" * 60, N=60, M=40, rf=1, **alpha(3.0, 0.1, "short-of-ideal", universality_class="heavy-tailed"))
    shown = {}
    for width in (70, 80, 90, 100):
        monkeypatch.setenv("COLUMNS", str(width))
        head, _, line, *_ = str(Results.from_records([record])).split("\n")
        shown[width] = (" ".join(head.split()), len(line.split()[0]))
    narrow, wide = "layer N x M alpha k* delta state", "layer N x M alpha k* S_k* delta class state"
    assert shown == {70: (narrow, 22), 80: (narrow, 32), 90: (narrow, 42), 100: (wide, 32)}


def test_long_names_and_long_lists_are_cut():
    """A list has two lines; a name gives way to the reason, down to sixteen letters."""
    flags = {f"flag number {at}": 1 for at in range(20)}
    looks = (Look("a.very.long.name." * 4, "q", "rank collapse, alpha 3.00"), Look("b", "", "why " * 30))
    lines = Summary(1, 1, 0, 0, 0, {}, {}, flags, (), looks, (), {}, math.nan).lines(60)
    assert lines[0] == "1 of 1 rows analysed, 0 failed, 0 skipped"
    assert lines[1].startswith("flags:    1 flag number 0, 1 flag number 1")
    assert lines[2].endswith(" ..")
    assert lines[3] == "look first at 2 layers:"
    assert lines[4].startswith("  a.very.")
    assert lines[4].endswith(": rank collapse, alpha 3.00")
    assert len(lines[4]) in (59, 60)
    assert lines[5].startswith("  b: why why")
    assert len(lines) == 6


def test_a_name_gives_way_to_its_reason_to_the_letter():
    """As many as there is room for, an even number beside the cut; not below sixteen."""
    looks = (*(Look("a" * 70, "", "x" * count) for count in (20, 21, 22)), Look("a" * 40, "", "word " * 12))
    lines = Summary(1, 1, 0, 0, 0, {}, {}, {}, (), looks, (), {}, math.nan).lines(60)[2:]
    assert [(len(line), line.index(":")) for line in lines] == [(60, 38), (59, 36), (60, 36), (60, 16)]


@pytest.mark.parametrize(("number", "last"), [(1, "  1 x why"), (0, None)])
def test_one_tensor_that_was_not_analysed_is_not_tensors(number, last):
    lines = Summary(1, 1, 0, 0, 0, {}, {}, {}, (), (), (), {"why": number} if number else {}, math.nan).lines(60)
    assert lines[1:] == (["not analysed, 1 tensor:", last] if last else [])


def test_advice_is_told_where_twenty_lines_have_room_for_it():
    """Two lines of it, and two for what was not analysed where something was not."""
    state = ww.State.UNDER_TRAINED.value
    for missing in ({}, {"why": 3}):
        told = []
        for number in range(12, 19):
            looks, means = (Look("a", "", "why"),), tuple(Mean("x", "x", 1.0, 0.1, 3) for _ in range(number - 4))
            lines = Summary(1, 1, 0, 0, 0, {state: 1}, {}, {}, means, looks, (), missing, math.nan).lines(100)
            assert len(lines) <= 20
            told.append(any(line.startswith("next:") for line in lines))
        # Lines before it are as many as `number`.
        assert told == [number + 2 + 2 * bool(missing) <= 20 for number in range(12, 19)]


def test_the_numbers_of_a_summary(results):
    """All that `to_dict` has, each counted by hand."""
    told = json.loads(json.dumps(results.summary().to_dict(), allow_nan=False))
    looks = {one["layer"]: one["why"] for one in told.pop("look_first")}
    assert list(looks.items()) == [
        ("g.weight", "3 NaN and 0 Inf among its 60 entries"),
        ("e", "all zero"),
        ("f", "rank collapse, alpha 3.00"),
        ("c", "over-regularized, alpha 1.20"),
        ("b", "over-regularized, trap: element, uneven rows, alpha 1.50"),
        ("d", "under-trained, no heavy tail"),
        ("l", "trap: spread, alpha 4.00"),
    ]
    means = {one["column"]: one for one in told.pop("means")}
    assert list(means) == ["tail_alpha", "delta_lambda_min", "q2_norm", "stable_rank"]
    alphas = [2.0, 1.5, 1.2, 7.0, 3.0, 8.0, 9.0, 4.0]
    assert means["tail_alpha"]["value"] == pytest.approx(sum(alphas) / 8)
    assert means["tail_alpha"]["error"] == pytest.approx(float(np.std(alphas, ddof=1)) / 8**0.5)
    assert means["q2_norm"] == {
        "column": "q2_norm",
        "label": "q2_norm",
        "value": pytest.approx(2.0),
        "error": pytest.approx(2 * math.log(2)),
        "count": 2,
        "geometric": True,
    }
    assert list(told.pop("next_steps")) == ["over-regularized", "under-trained", "short-of-ideal", "undetermined"]
    assert told == {
        "schema": 1,
        "rows": 12,
        "analyzed": 9,
        "failed": 1,
        "skipped": 2,
        "missing": 3,
        "states": {"over-regularized": 2, "short-of-ideal": 2, "ideal": 1, "under-trained": 1, "undetermined": 1},
        "classes": {"very heavy-tailed": 2, "heavy-tailed": 1, "random-like": 1, "rank collapse": 1},
        "flags": {"uneven rows": 1, "trap: element": 1, "trap: spread": 1},
        "stand_apart": [
            {"layer": "j", "slice": "", "why": "undetermined, alpha 8.00 ± 0.50, of a tail that is no power law"}
        ],
        "not_analyzed": {"int8": 2, "3 NaN and 0 Inf among its 60 entries": 1},
        "share": pytest.approx(850 / 1050),
        "without_tail": 1,
    }


def test_what_a_rule_counts_in_a_summary(results):
    """Each word of states, classes, flags and statuses; a word for two of them counts the more."""
    summary = results.summary()
    counts = summary.counts
    assert {word: counts[word] for word in ("analyzed", "failed", "skipped", "missing", "ideal", "trap: spread")} == {
        "analyzed": 9,
        "failed": 1,
        "skipped": 2,
        "missing": 3,
        "ideal": 1,
        "trap: spread": 1,
    }
    both = Summary(3, 3, 0, 0, 0, {"odd": 1, "even": 2}, {"odd": 2, "even": 1}, {}, (), (), (), {}, 1.0)
    assert (both.counts["odd"], both.counts["even"]) == (2, 2)


def test_a_summary_as_a_card(results):
    """What a notebook shows: a fact for each word, its name once, means, looks, advice, what was not analysed."""
    card = results.summary()._card()
    assert [(one.name, one.said) for one in card.facts[:9]] == [
        ("states", "2 over-regularized"),
        ("", "2 short-of-ideal"),
        ("", "1 ideal"),
        ("", "1 under-trained"),
        ("", "1 undetermined"),
        ("classes", "2 very heavy-tailed"),
        ("", "1 heavy-tailed"),
        ("", "1 random-like"),
        ("", "1 rank collapse"),
    ]
    assert [(one.said, one.tone) for one in card.facts[9:12]] == [
        ("1 uneven rows", Tone.PLAIN),
        ("1 trap: element", Tone.BAD),
        ("1 trap: spread", Tone.BAD),
    ]
    assert (card.facts[0].tone, card.facts[2].tone) == (Tone.BAD, Tone.GOOD)
    assert [one.name for one in card.facts[12:]] == ["alpha", "delta", "q2_norm", "stable rank"]
    assert card.title == WIDE.split("\n")[0]
    head, why = card.table
    assert (head.head, head.cells, why.head) == ("layers to look at first", ["g.weight", "e", "f", "c"], "why")
    assert list(why.cells) == ["3 NaN and 0 Inf among its 60 entries", "all zero", *why.cells[2:]]
    assert [note.partition(":")[0] for note in card.notes] == [
        "words",
        *["next"] * 4,
        *["2 not analysed", "1 not analysed"],
    ]
    assert not head.right
    assert not why.right
    assert Results.from_records([row(0, "a", **alpha(3.0, 0.1, "short-of-ideal"))]).summary()._card().table == ()


def test_the_colours_of_a_summary_are_those_of_its_words(results):
    plain, painted = results.summary().lines(100), results.summary().lines(100, colour=True)
    assert len(plain) == len(painted)
    changed = [one for one, other in zip(plain, painted, strict=True) if one != other]
    assert changed == plain[1:3]
    assert "\x1b[" in painted[1]
    assert "2 " in painted[1]


TABLE = """\
layer           N x M        alpha  k*   S_k*   delta  q2_norm  class              flags                       state
-------------------------------------------------------------------------------------------------------------------------------
a         60 x 40 (9)  2.00 ± 0.10   7  +0.25  +0.500        4  heavy-tailed                                   ideal
b [q]         60 x 40  1.50 ± 0.10   -      -  -0.500        1  very heavy-tailed  uneven rows, trap: element  over-regularized
c                   -  1.20 ± 0.10   -      -       -        -  very heavy-tailed                              over-regularized
d                   -  7.00 ± 0.50   -      -       -        -  random-like                                    under-trained
e                   -            -   -      -       -        -                                                 analyzed
f                   -  3.00 ± 0.20   -      -       -        -  rank collapse                                  analyzed
g.weight            -            -   -      -       -        -                                                 failed
j                   -  8.00 ± 0.50   -      -       -        -                                                 undetermined
k                   -  9.00 ± 3.00   -      -       -        -                                                 short-of-ideal
l                   -  4.00 ± 0.30   -      -       -        -                     trap: spread                short-of-ideal
12 rows, 1 failed, 2 skipped, 3 not come to yet. All columns: .table(); in short: .summary(); one layer: .layer(name)."""  # noqa: E501


def test_a_table_word_for_word(results, monkeypatch):
    """All rows but those that were skipped; lines end where their words do."""
    monkeypatch.setenv("COLUMNS", "150")
    assert [line.rstrip() for line in str(results).split("\n")] == TABLE.split("\n")


def test_rows_that_were_skipped_have_no_table():
    told = str(Results.from_records([row(0, "a", "skipped", "int8"), row(1, "b", "skipped", "int8")])).split("\n")
    assert told[0].startswith("2 rows, 0 failed, 2 skipped. All columns: ")


def test_one_row_is_not_rows(monkeypatch):
    monkeypatch.setenv("COLUMNS", "110")
    assert str(Results.from_records([row(0, "a")])).split("\n")[-1].startswith("1 row, 0 failed, 0 skipped.")


@pytest.mark.parametrize(("number", "shown", "left_out"), [(60, 60, 0), (61, 60, 1), (63, 60, 3)])
def test_long_tables_show_thirty_rows_of_either_end(number, shown, left_out):
    whole = Results.from_records([row(at, f"l{at}") for at in range(number)])
    frame, rest = shortened_rows(whole.table())
    assert (len(frame), rest) == (shown, left_out)
    names = [f"l{at}" for at in range(number)]
    assert frame["longname"].tolist() == (names if not left_out else names[:30] + names[-30:])
    lines = str(whole).split("\n")
    gap = [at for at, line in enumerate(lines) if "more" in line]
    assert gap == ([32] if left_out else [])
    assert not left_out or lines[32].strip() == f"... {left_out} more ..."


def test_words_of_a_cell():
    assert flags_in("a, b ,, c") == ["a", "b", "c"]
    assert flags_in(math.nan) == []
    assert title("attn", math.nan) == "attn"
    assert title("\t") == r"\t"
    assert title("") == "(no name)"
    assert [is_number(value) for value in (1, 1.5, True, math.nan, "1", None, math.inf)] == [
        *(True, True, False, False),
        *(False, False, True),
    ]
    assert tones_of(["failed", "skipped", "ideal", "rank collapse", "?"]) == [
        Tone.BAD,
        Tone.CAUTION,
        Tone.GOOD,
        ww.UniversalityClass("rank collapse").tone,
        Tone.PLAIN,
    ]
    assert not has_failed({"status": "analyzed"})
    assert [layers_of(4, number) for number in (0, 1, 4, 5)] == ["0 layers", "1 layer", "4 layers", "4 of 5 layers"]
    assert Look("a", "q", "why").title == "a [q]"


# Which layers stand apart.


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ({"tail_alpha": 6.0, "tail_sigma": 0.5}, 0.0),
        ({"tail_alpha": 2.0, "tail_sigma": 0.5}, 0.0),
        ({"tail_alpha": 7.0, "tail_sigma": 0.5}, 2.0),
        ({"tail_alpha": 1.0, "tail_sigma": 0.5}, 2.0),
        ({"tail_alpha": 7.0}, 1.0),
        ({"tail_alpha": 7.0, "tail_sigma": math.nan}, 1.0),
        ({"tail_alpha": 7.0, "tail_sigma": "wide"}, 1.0),
        ({"tail_alpha": 7.0, "tail_sigma": 0.0}, 1.0),
        ({"tail_alpha": 7.0, "tail_sigma": -0.5}, 1.0),
        ({"tail_alpha": math.nan, "tail_sigma": 0.5}, -math.inf),
        ({"tail_sigma": 0.5}, -math.inf),
        ({"tail_alpha": 7.0, "tail_sigma": 0.5, "setol_flags": "a, few eigenvalues"}, -math.inf),
        ({"tail_alpha": 7.0, "tail_sigma": 0.5, "setol_flags": "uneven rows"}, 2.0),
        ({"tail_alpha": 7.0, "tail_sigma": 0.5, "setol_flags": math.nan}, 2.0),
        ({"tail_alpha": 1.9, "tail_sigma": 0.5, "setol_state": "ideal"}, -math.inf),
        ({"tail_alpha": 7.0, "tail_sigma": 0.5, "setol_reason": NO_TAIL}, -math.inf),
    ],
)
def test_how_far_alpha_is_outside_of_what_is_usual(told, wanted):
    assert apartness(told) == pytest.approx(wanted)


# Means.


def test_a_mean_takes_what_is_a_number():
    """Of a geometric mean also what is above 0; of either no infinite one, and two at the least."""
    values = [2.0, 8.0, 0.0, -4.0, math.inf, math.nan, None, "3", True]
    plain, geometric = (mean_of(values, "a", "a", one) for one in (False, True))
    assert plain is not None
    assert geometric is not None
    assert (plain.value, plain.count) == (1.5, 4)
    assert (geometric.value, geometric.count) == (pytest.approx(4.0), 2)
    small = mean_of([0.5, 0.25], "a", "a", True)
    assert small is not None
    assert (small.value, small.error) == (pytest.approx(0.125**0.5), pytest.approx(0.125**0.5 * math.log(2) / 2))
    assert mean_of([3.0, 5.0], "a", "a") == Mean("a", "a", 4.0, 1.0, 2)
    assert mean_of([3.0], "a", "a") is None


def test_two_means_at_the_level():
    """At .05 itself they are not told apart; below 1e-4 the p-value is not told by its digits."""
    one, other = Mean("a", "a", 3.0, 0.1, 3), Mean("a", "a", 2.5, 0.1, 3)
    words = {(d, p): Apart(one, other, d, 0.1, p) for d in (0.5, -0.5, 0.0) for p in (0.05, 0.049, 1e-4, 0.9e-4)}
    assert [words[0.5, p].word for p in (0.05, 0.049)] == ["indistinguishable", "larger"]
    assert [bool(words[0.5, p]) for p in (0.05, 0.049)] == [False, True]
    assert words[-0.5, 0.049].word == "smaller"
    assert str(words[0.5, 0.049]) == "3 ± 0.1 over 3 layers and 2.5 ± 0.1 over 3 layers: larger (p = 0.049)"
    assert str(words[0.5, 1e-4]).endswith("larger (p = 0.0001)")
    assert str(words[0.5, 0.9e-4]).endswith("larger (p < 1e-4)")
    assert words[0.5, 0.049].to_dict() == {
        "schema": 1,
        "first": {"column": "a", "label": "a", "value": 3.0, "error": 0.1, "count": 3, "geometric": False},
        "second": {"column": "a", "label": "a", "value": 2.5, "error": 0.1, "count": 3, "geometric": False},
        "difference": 0.5,
        "error": 0.1,
        "pvalue": 0.049,
        "word": "larger",
    }


@pytest.mark.parametrize("other", [Mean("b", "b", 3.0, 0.1, 3), Mean("a", "a", 3.0, 0.1, 3, True)])
def test_means_of_two_things_are_refused(other):
    with pytest.raises(ww.InvalidInput) as told:
        told_apart(Mean("a", "a", 3.0, 0.1, 3), other)
    assert str(told.value) == (f"the means of 'a' and {other.column!r} were asked; accepted are two of one column")


# Coverage.


def part(position: int, slice_: str, status: str, reason: str, **identity: Any) -> LayerRecord:
    told = {"longname": "attn", "tensor": "attn.weight", "slice": slice_, "dtype": "float32", **identity}
    return LayerRecord(position, told, status, reason)


def test_the_coverage_of_a_tensor_is_that_of_its_parts():
    """Failed where a part failed, and how many of them; the reasons once each; the first part tells the tensor."""
    cases = {
        "some": [("q", "failed", "bad"), ("k", "analyzed", ""), ("v", "failed", "worse")],
        "all": [("q", "failed", "bad"), ("k", "failed", "bad")],
        "done": [("q", "analyzed", "note"), ("k", "skipped", "left out"), ("v", "analyzed", "other")],
        "none": [("q", "skipped", "left out"), ("k", "skipped", ""), ("v", "skipped", "too")],
    }
    rows = {}
    for case, parts in cases.items():
        records = [part(at, *one, shape="60 x 40" if at == 0 else "9 x 9") for at, one in enumerate(parts)]
        rows[case] = Results.from_records(records).coverage_rows
    assert {case: [(one["status"], one["reason"]) for one in told] for case, told in rows.items()} == {
        "some": [("failed", "2 of 3 slices: bad; worse")],
        "all": [("failed", "bad")],
        "done": [("analyzed", "note; other")],
        "none": [("skipped", "left out; too")],
    }
    assert rows["all"][0] == {
        "longname": "attn.weight",
        "shape": (60, 40),
        "dtype": "float32",
        "n_params": 2400,
        "status": "failed",
        "reason": "bad",
    }


def test_what_a_tensor_without_a_shape_holds():
    told = [{"n_params": 7}, {}, {"shape": [], "n_params": 8}, {"shape": [2, 3], "n_params": 9}]
    rows = [Results.from_records([LayerRecord(0, {"longname": "a", **one})]).coverage_rows[0] for one in told]
    assert [row["shape"] for row in rows] == [(), (), (), (2, 3)]
    assert rows[0]["n_params"] == 7
    assert math.isnan(rows[1]["n_params"])
    assert [row["n_params"] for row in rows[2:]] == [8, 6]
    assert rows[0]["dtype"] == ""
    assert [shape_of(one) for one in ("60 x 40", "", None, [3, 4])] == [(60, 40), (), (), (3, 4)]


# Rules of `--fail-on`.


@dataclass
class Counts:
    counts: dict[str, int] = field(default_factory=lambda: {"failed": 3})


@pytest.mark.parametrize("sign", COMPARISONS)
def test_a_rule_below_at_and_above_its_number(sign):
    wanted = {"<": "100", "<=": "110", "==": "010", "!=": "101", ">=": "011", ">": "001"}[sign]
    # The count is 3: below 4, at 3, above 2.
    told = [Rule.of(f"failed {sign} {number}").holds(Counts()) for number in (4, 3, 2)]
    assert "".join(str(int(one)) for one in told) == wanted
    assert Rule.of(f" failed{sign}2.5 ") == Rule(f" failed{sign}2.5 ", "failed", sign, 2.5)


def test_a_word_that_is_not_there_counts_none():
    assert (Rule.of("ideal<1").count(Counts()), Rule.of("ideal<1").holds(Counts())) == (0, True)


@pytest.mark.parametrize(
    "text", ["failed", "failed>", "failed>x", "nothing>3", "failed=>3", "failed>-1", "", "failed>3 4"]
)
def test_what_is_no_rule(text):
    with pytest.raises(ww.InvalidInput) as told:
        Rule.of(text, ["one word", "failed"])
    assert str(told.value) == (
        f"the rule {text!r} was asked; accepted are a word (one word, failed), one of >= <= == != > <, and a number, "
        "for instance 'one word>3'"
    )


def test_the_words_of_a_rule_are_those_of_a_summary():
    with pytest.raises(ww.InvalidInput) as told:
        Rule.of("x>3")
    listed = str(told.value).partition("(")[2].partition(")")[0].split(", ")
    states, kinds = [one.value for one in ww.State], [one.value for one in ww.UniversalityClass]
    assert listed[:4] == ["analyzed", "failed", "skipped", "missing"]
    assert listed[4 : 4 + len(states)] == states
    assert set(kinds) <= set(listed)
    assert len(set(listed)) == len(listed)
    assert {"trap: element", "uneven rows"} <= set(listed)
