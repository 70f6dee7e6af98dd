"""How our pictures look: colours that colour-blind people tell apart, line styles and marks that tell without colour.

Nothing of matplotlib's own state is changed: what is drawn goes on one `Axes`. The first picture loads matplotlib.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...core.errors import InvalidInput
from ...core.printable import abbreviated, visible
from ...weights.kinds import Kind
from .. import palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.legend import Legend

# M. Okabe and K. Ito, "Color universal design" (2008).
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE = "#767676", "#D0D0D0"
# Those that the report has as well.
POWER_LAW_COLOUR, ERG_COLOUR = palette.POWER_LAW.light, palette.ERG.light

#: Keywords of what is drawn.
Look = dict[str, Any]
#: Inches: as wide as a notebook's cell.
SIZE = (9.0, 4.2)
SMALL = "small"
# A legend in somebody else's picture takes at most this share of it.
LARGEST_LEGEND = 0.4
# High over low of a logarithmic axis whose ticks are at 1, 2 and 5.
FEW_DECADES = 150.0

#: What each thing is drawn with, the same in every picture.
EIGENVALUES: Look = {"facecolor": PALE, "edgecolor": GREY, "linewidth": 0.6}
TAIL: Look = {"color": POWER_LAW_COLOUR, "linestyle": "-", "linewidth": 1.8}
START: Look = {"color": POWER_LAW_COLOUR, "linestyle": (0, (5, 2)), "linewidth": 1.2}
SECOND: Look = {"color": PURPLE, "linestyle": (0, (1, 1.5)), "linewidth": 1.8}
ERG: Look = {"color": ERG_COLOUR, "linestyle": "-.", "linewidth": 1.4}
NOISE: Look = {"color": BLACK, "linestyle": "-", "linewidth": 0.9}
EDGE: Look = {"color": BLACK, "linestyle": (0, (1, 3)), "linewidth": 1.1}
SHUFFLED: Look = {"color": GREEN, "linestyle": (0, (7, 1.5)), "linewidth": 1.5}
LEVEL: Look = {"color": GREY, "linestyle": "-", "linewidth": 0.8}
TRAP: Look = {"color": GREEN, "marker": "v", "linestyle": "none", "markersize": 7, "markeredgecolor": BLACK}

#: What carries a trap.
CARRIERS: Mapping[str, str] = {"mean shift": "v", "element": "D", "spread": "s"}
STATES: Mapping[str, tuple[str, str]] = {
    state.value: (ink.light, mark.matplotlib) for state, (ink, mark) in palette.STATES.items()
}
KINDS: Mapping[Kind, tuple[str, str]] = {
    Kind.ATTENTION: (BLUE, "o"),
    Kind.MLP: (VERMILLION, "s"),
    Kind.CONVOLUTION: (GREEN, "^"),
    Kind.EMBEDDING: (PURPLE, "D"),
    Kind.HEAD: (BLACK, "P"),
    Kind.RECURRENT: (ORANGE, "v"),
    Kind.OTHER: (GREY, "X"),
}
#: For series that have no colour of their own; the dashes tell them apart too.
SERIES: tuple[tuple[str, Any, str], ...] = (
    (BLUE, "-", "o"),
    (VERMILLION, (0, (5, 2)), "s"),
    (GREEN, "-.", "^"),
    (PURPLE, (0, (1, 1)), "D"),
    (ORANGE, (0, (3, 1, 1, 1, 1, 1)), "v"),
    (SKY, (0, (8, 2)), "P"),
    (BLACK, (0, (2, 2)), "X"),
    (GREY, (0, (4, 1, 1, 1)), "*"),
)
#: Levels that mean something, by their number.
LEVELS: tuple[dict[str, Any], ...] = (
    {"color": BLACK, "linestyle": (0, (2, 3)), "linewidth": 1.0},
    {"color": BLACK, "linestyle": (0, (6, 3, 1, 3)), "linewidth": 0.8},
)


def series(number: int) -> tuple[str, Any, str]:
    """Colour, dashes and mark of a series by its number."""
    return SERIES[number % len(SERIES)]


def axes_of(ax: Axes | None) -> Axes:
    """`ax`, or the `Axes` of a new figure that pyplot does not know.

    Raises
    ------
    InvalidInput
        `ax` is something else.
    """
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    if ax is None:
        return Figure(figsize=SIZE, layout="constrained").add_subplot()
    if not isinstance(ax, Axes):
        raise InvalidInput(f"ax={ax!r:.200} was asked; accepted is a matplotlib Axes, or None for a new one")
    return ax


def log_axis(axis: Axis, low: float, high: float) -> None:
    """Plain numbers at 1, 2 and 5 where the axis has few decades, powers of ten elsewhere, no small print between."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if 0 < low < high and high / low < FEW_DECADES:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def legend(ax: Axes, *, outside: bool) -> None:
    """The lines in words: beside a picture of our own, inside one of somebody else's or under it where it is small."""
    handles, labels = ax.get_legend_handles_labels()
    if not handles:
        return
    look: Look = {"fontsize": SMALL, "handlelength": 2.6}
    if outside:
        beside: Look = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
        ax.legend(handles, labels, frameon=False, **beside, **look)
    elif _covers(ax.legend(handles, labels, **look), ax):
        ax.legend(handles, labels, frameon=False, **_under(ax), **{**look, "fontsize": "x-small"})


def _covers(made: Legend, ax: Axes) -> bool:
    """Whether a legend would leave little to see of the picture it is in."""
    said, whole = made.get_window_extent(), ax.get_window_extent()
    return said.width > whole.width or said.width * said.height > LARGEST_LEGEND * whole.width * whole.height


def _under(ax: Axes) -> Look:
    """The place below the axis and what is written there."""
    from matplotlib.transforms import ScaledTranslation

    written = ax.xaxis.get_tightbbox()
    below = 0.0 if written is None else ax.get_window_extent().y0 - written.y0
    down = ScaledTranslation(0, -below / ax.figure.dpi, ax.figure.dpi_scale_trans)
    return {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "bbox_transform": ax.transAxes + down}


def sentence(ax: Axes, text: str) -> None:
    """Instead of a picture that cannot be drawn: why."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.text(
        0.5,
        0.5,
        textwrap.fill(words(text), 60),
        transform=ax.transAxes,
        horizontalalignment="center",
        verticalalignment="center",
    )


def note(ax: Axes, texts: Sequence[str]) -> None:
    """Under the axis, where nothing is drawn: what the picture leaves out, and why."""
    said = "\n".join(textwrap.fill(words(text), 90) for text in texts if text)
    if said:
        ax.set_xlabel(f"{ax.get_xlabel()}\n{said}".strip())


def words(text: str) -> str:
    r"""Text as matplotlib shows it: no mathematics in it, no character that is hidden or that the font lacks.

    Examples
    --------
    >>> words("layers.$x$\n[31m")
    'layers.\\$x\\$\\n[31m'
    """
    shown = visible(str(text))
    if not shown.isascii():
        known = _charmap()
        shown = "".join(one if ord(one) in known else f"\\u{ord(one):04x}" for one in shown)
    return shown.replace("$", r"\$")


def label(text: str) -> str:
    """`words` for a legend, which leaves out what begins with an underscore."""
    said = words(text)
    return f" {said}" if said.startswith("_") else said


def name(text: str, width: int = 32) -> str:
    """A layer's name in so many columns."""
    return label(abbreviated(visible(text), width))


def _charmap() -> Mapping[int, int]:
    """Characters of the font that text is written in."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return get_font(findfont(FontProperties())).get_charmap()
