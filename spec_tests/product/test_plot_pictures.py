"""Every picture of docs/plots.md, drawn again, is the committed one within a tolerance; the page is the register's."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread

import setol_ww as ww
from spec_tests.conftest import ROOT
from spec_tests.kept_scripts import load_script

PAGE = load_script("make_plot_page")
#: Text is set a little differently from one version of matplotlib to the next.
DRAWN_WITH = (3, 11)
#: Grey levels of 0 to 1, over blocks of so many pixels: a line that moves by a pixel stays within it.
BLOCK, TOLERANCE, LARGEST = 6, 0.004, 0.12
LARGEST_FILE = 80_000


def blocks(path) -> np.ndarray:
    """A picture in grey, in means of blocks."""
    grey = imread(path)[..., :3].mean(axis=2)
    rows, columns = (side // BLOCK for side in grey.shape)
    return grey[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3))


def difference(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Mean and largest difference; infinite of pictures of two sizes."""
    if first.shape != second.shape:
        return np.inf, np.inf
    apart = np.abs(first - second)
    return float(apart.mean()), float(apart.max())


@pytest.mark.parametrize("name", PAGE.pictures())
def test_pictures_are_as_committed(name, tmp_path):
    if tuple(map(int, mpl.__version__.split(".")[:2])) != DRAWN_WITH:
        pytest.skip(
            f"the pictures were drawn with matplotlib {DRAWN_WITH[0]}.{DRAWN_WITH[1]}, this is {mpl.__version__}"
        )
    committed = PAGE.FOLDER / f"{name}.png"
    drawn = PAGE.save(name, PAGE.pictures()[name], tmp_path)
    mean, largest = difference(blocks(committed), blocks(drawn))
    assert mean < TOLERANCE, f"{name}: mean difference {mean:.4f}, largest {largest:.3f}"
    assert largest < LARGEST, f"{name}: mean difference {mean:.4f}, largest {largest:.3f}"


def test_a_line_that_moves_or_goes_is_seen(tmp_path):
    """The tolerance can tell: one line less, or a start a tenth further."""
    committed = blocks(PAGE.FOLDER / "ks.png")
    for change in ("gone", "moved"):

        def draw(change=change):
            ax = ww.plots.ks(PAGE.layer())
            line = next(one for one in ax.lines if len(one.get_xdata()) > 2)
            line.set_ydata(line.get_ydata() * 1.1) if change == "moved" else line.set_visible(False)
            return ax

        mean, largest = difference(committed, blocks(PAGE.save(f"{change}", draw, tmp_path)))
        assert mean > TOLERANCE or largest > LARGEST, (change, mean, largest)


def test_the_page_is_that_of_the_register_and_its_pictures_are_small():
    assert (ROOT / "docs" / "plots.md").read_text(encoding="utf-8") == PAGE.page()
    assert set(PAGE.EXAMPLES) == {plot.name for plot in ww.plots.PLOTS}
    files = {path.stem: path for path in PAGE.FOLDER.glob("*.png")}
    assert set(files) == set(PAGE.pictures())
    assert max(path.stat().st_size for path in files.values()) < LARGEST_FILE
