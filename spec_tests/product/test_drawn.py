"""Chapter 14: what each picture has on it, in words that were looked at beside the picture."""

from __future__ import annotations

import pytest

import setol_ww as ww

from ..golden.alike import assert_alike
from ..golden.drawn import DRAWINGS, drawings, told

MEANT = "if it is meant: python -m spec_tests.golden.drawn FOLDER, and look at the difference and at the pictures"


@pytest.mark.parametrize("name", drawings())
def test_what_a_picture_has_on_it_is_what_was_looked_at(name):
    kept = (DRAWINGS / f"{name}.txt").read_text(encoding="utf-8")
    # A density ends in the root of a rounding error.
    assert_alike(told(name).split("\n"), kept.split("\n"), MEANT, least=1e-7)


def test_every_picture_is_drawn_and_no_description_is_of_nothing():
    assert {path.stem for path in DRAWINGS.iterdir()} == set(drawings()) == {plot.name for plot in ww.plots.PLOTS}
