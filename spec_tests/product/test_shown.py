"""Chapter 14: every result as text, in one line, and in a notebook, held to files that were looked at."""

from __future__ import annotations

import dataclasses
import html.parser
import importlib
import inspect
import pkgutil
import re

import pytest

import setol_ww as ww
from setol_ww.core import colour
from setol_ww.core.card import Card, Fact, Shown, card_line, card_text
from setol_ww.core.colour import painted, words_painted
from setol_ww.core.outcomes import Outcome
from setol_ww.core.printable import GridColumn, cells, grid
from setol_ww.core.tones import Tone
from setol_ww.layer.classes import UniversalityClass
from setol_ww.layer.flags import GRAVE, MEANINGS, MILD
from setol_ww.layer.verdict import State
from setol_ww.results.printed import TONES
from setol_ww.views.notebook import COLOURS, card_html, grid_html

from ..golden.shown import GOLDEN, WIDTH, columns, golden, shown

RESULTS = shown()
# Their attributes are arrays or words; they have no verdict to show.
NOT_SHOWN = {"Alarm", "Options", "Settings", "Outcome", "State", "Ecs", "Spectrum", "UniversalityClass"}


class Parsed(html.parser.HTMLParser):
    """Tags in their order, and every tag closed by its own."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", RESULTS)
def test_what_a_result_prints_is_what_was_looked_at(name):
    for ending, text in golden(RESULTS[name]).items():
        kept = (GOLDEN / f"{name}{ending}").read_text(encoding="utf-8")
        assert text == kept, "if it is meant: python -m spec_tests.golden.shown, and look at the difference"


def test_no_golden_file_is_of_nothing():
    assert {path.stem for path in GOLDEN.iterdir()} == set(RESULTS)


@pytest.mark.parametrize("name", RESULTS)
def test_text_is_short_and_fits(name):
    result = RESULTS[name]
    with columns(80):
        lines = str(result).split("\n")
        assert len(lines) <= 22
        assert max(map(cells, lines)) <= 80
        assert "\x1b" not in str(result)
    if not isinstance(result, (ww.Results, ww.Summary)):
        assert cells(repr(result)) <= WIDTH
        assert "\n" not in repr(result)
        assert repr(result).startswith(f"<{type(result).__name__}: ")


@pytest.mark.parametrize("name", RESULTS)
def test_html_is_sound_and_leaks_nothing(name):
    shown_html = RESULTS[name]._repr_html_()
    parsed = Parsed(shown_html)
    assert parsed.open == []
    assert parsed.seen <= {"div", "table", "thead", "tbody", "tr", "th", "td"}
    # A colour of ours never stands without the colour of the text on it.
    for style in re.findall(r'style="([^"]*)"', shown_html):
        assert ("background:#" in style) == (";color:#000" in style)


def test_every_public_result_shows_itself():
    public = {name: getattr(ww, name) for name in ww.__all__}
    results = {
        name
        for name, found in public.items()
        if inspect.isclass(found) and (dataclasses.is_dataclass(found) or found is ww.Results)
    }
    bare = {name for name in results if not issubclass(public[name], Shown)} - NOT_SHOWN
    assert not bare, "make it a setol_ww.core.card.Shown and add one to spec_tests/golden/shown.py"
    assert {type(result).__name__ for result in RESULTS.values()} >= {
        name for name in results - NOT_SHOWN if issubclass(public[name], Shown)
    }


@pytest.mark.parametrize(
    ("name", "tones"),
    [
        ("layer-near", {Tone.GOOD}),
        ("layer-heavy", {Tone.BAD, Tone.CAUTION}),
        ("layer-with-trap", {Tone.BAD, Tone.CAUTION}),
        ("tail-none", {Tone.CAUTION}),
        ("traps", {Tone.BAD}),
        ("cut", set()),
        ("results", {Tone.GOOD, Tone.CAUTION, Tone.BAD}),
        ("summary", {Tone.GOOD, Tone.CAUTION, Tone.BAD}),
    ],
)
def test_green_yellow_red(name, tones):
    shown_html = RESULTS[name]._repr_html_()
    assert {tone for tone, shade in COLOURS.items() if shade in shown_html} == tones


def test_every_word_has_a_tone():
    assert {state.value for state in State} <= set(TONES)
    assert {kind.value for kind in UniversalityClass} <= set(TONES)
    assert all(state.tone is TONES[state.value] for state in State)
    assert set(GRAVE) | set(MILD) <= set(MEANINGS)
    assert State.IDEAL.tone is Tone.GOOD
    assert State.OVER_REGULARIZED.tone is Tone.BAD


def test_black_on_a_colour_can_be_read():
    for shade in COLOURS.values():
        parts = [int(shade[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert (luminance + 0.05) / 0.05 > 9


def test_names_are_text():
    bad = "<script>alert(1)</script>\x1b[31m\u202e"
    facts, table = [Fact(bad, bad, Tone.BAD, bad)], [GridColumn(bad, [bad], tones=[Tone.BAD])]
    shown_html = card_html(Card(bad, facts, [bad], table))
    text = card_text(Card(bad, facts, [bad]), 100, colour=True)
    for said in (shown_html, card_line("Kind", Card(bad, [Fact(bad, bad)]))):
        assert "\x1b" not in said
        assert "\u202e" not in said
    assert "<script" not in shown_html
    assert text.count("\x1b[") == 2 * len([line for line in text.split("\n") if "\x1b[" in line])


@pytest.mark.parametrize("word", TONES)
def test_each_word_has_its_own_colour_in_a_list(word):
    """One that another ends in does not lend it its own."""
    assert words_painted(f"states:   3 {word}, 1 odd", TONES) == f"states:   3 {painted(word, TONES[word])}, 1 odd"


def test_colour_is_painted_over_what_is_there_anyway():
    table = [
        GridColumn("layer", ["a", "b"], right=False, least=4),
        GridColumn("state", ["ideal", "over-regularized"], right=False, tones=[Tone.GOOD, Tone.BAD]),
    ]
    plain, coloured = grid(table, 80), grid(table, 80, colour=True)
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain
    assert coloured.split("\n")[2].endswith("\x1b[32mideal\x1b[0m")
    assert painted("a\n\nb", Tone.BAD) == "\x1b[31ma\x1b[0m\n\n\x1b[31mb\x1b[0m"
    assert painted("a", Tone.PLAIN) == "a"
    fact = Fact("outcome", Outcome.POOR_FIT.value, Tone.CAUTION, Outcome.POOR_FIT.sentence)
    coloured = card_text(Card("tail", [fact]), 60, colour=True)
    assert re.sub(r"\x1b\[\d+m", "", coloured) == card_text(Card("tail", [fact]), 60)
    assert coloured.count("\x1b[33m") == 2
    assert f"background:{COLOURS[Tone.GOOD]}" in grid_html(table)


class Stream:
    def __init__(self, terminal: bool) -> None:
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(
    ("told", "terminal", "wanted"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": ""}, False, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, False, True),
    ],
)
def test_when_there_is_colour(monkeypatch, told, terminal, wanted):
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert colour.wants_colour(Stream(terminal)) is wanted


def test_every_result_prints_as_a_card():
    """A data class with a `repr` of its own would print its fields, arrays and all."""
    found = []
    for module in pkgutil.walk_packages(ww.__path__, "setol_ww."):
        if "__main__" not in module.name:
            found += [one for one in vars(importlib.import_module(module.name)).values() if isinstance(one, type)]
    shown = {one for one in found if issubclass(one, Shown)}
    assert {ww.TailFit, ww.LayerResult} <= shown
    made = [one.__qualname__ for one in shown if dataclasses.is_dataclass(one) and one.__dataclass_params__.repr]
    assert made == []
