"""Write docs/plots.md and its pictures from the register of plots.

Claim      The page shows every picture of `setol_ww.plots`, drawn from what is in this repository.
Command    python scripts/make_plot_page.py
Run time   half a minute.
Output     docs/plots.md, docs/figures/plots/*.png, which spec_tests/product/test_plot_pictures.py draws again
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pages import prose, table

import setol_ww as ww
from setol_ww.cli.demo import demo_nets

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, FOLDER = DOCS / "plots.md", DOCS / "figures" / "plots"
DPI = 80
#: Multiple of the base rate of the demonstration net whose layers are shown, and of the one it is held against.
SHOWN, BASE = 32, 1
DRAWS = 100
STEPS = 12
HEAD = """# Plots

`ww.plots` draws finished results: a result in, a matplotlib `Axes` out. Nothing is computed, shown or saved there.
Without `ax` a picture has an `Axes` of its own on a figure that pyplot does not know:

```python
ax = ww.plots.esd(results.layer("fc1"))
ax.figure.savefig("fc1.png", dpi=300)

figure, axes = plt.subplots(1, 2, layout="constrained")  # or into yours
ww.plots.depth(results, "tail_alpha", ax=axes[0])
ww.plots.ideal_plane(results, ax=axes[1])
```

In an `Axes` of yours the legend stands inside, and under the axis where it would cover the picture: a figure with
`layout="constrained"` makes room for it.

In a notebook `ax.figure` as the last line of a cell shows it, once `%matplotlib inline` was said.

Colours are those of Okabe and Ito, which colour-blind people tell apart; dashes and marks tell the same without colour.
Eigenvalues x are on the unit-mean scale. What a picture leaves out it says under its axis; a layer without a tail is
drawn as the sentence that says why. The layers shown are those of the nets of `setol-ww demo`.

"""


@cache
def layer() -> ww.LayerResult:
    """The first layer of the net at the highest rate, with intervals and traps."""
    W = demo_nets()[SHOWN][0]["fc1.weight"]
    return ww.analyze_matrix(W, ww.Settings(uncertainty=DRAWS)).with_traps(ww.find_traps(W))


@cache
def model() -> ww.Results:
    """All layers of the three nets."""
    nets = demo_nets()
    weights = {f"x{rate}.{name}": value for rate in nets for name, value in nets[rate][0].items() if value.ndim == 2}
    return ww.examine(weights, progress=False, randomize=True)


@cache
def resnets() -> list[pd.DataFrame]:
    """alpha of the layers of two ResNets, from docs/figures/resnets.csv."""
    frame = pd.read_csv(DOCS / "figures" / "resnets.csv").rename(columns={"layer": "longname", "alpha": "tail_alpha"})
    return [rows for _, rows in frame.groupby("net")]


@cache
def curves() -> pd.DataFrame:
    """Truncations of the nets at rate 1, from docs/figures/truncation_curves."""
    frame = pd.read_csv(DOCS / "figures" / "truncation_curves" / "mlp3.csv")
    return frame[frame["lr_scale"] == BASE]


@cache
def compared() -> list[dict[str, np.ndarray]]:
    """The weights of the nets at the lowest and at the highest rate."""
    nets = demo_nets()
    return [{name: one for name, one in nets[rate][0].items() if one.ndim == 2} for rate in (BASE, SHOWN)]


@cache
def history() -> pd.DataFrame:
    """A made-up run: from noise to the trained net in a straight line."""
    rng = np.random.default_rng(0)
    weights = {name: value for name, value in demo_nets()[SHOWN][0].items() if value.ndim == 2}
    rows = []
    for name, trained in weights.items():
        noise = rng.normal(scale=1 / np.sqrt(trained.shape[1]), size=trained.shape)
        for step in range(STEPS + 1):
            W = (1 - step / STEPS) * noise + step / STEPS * trained
            tail = ww.analyze_matrix(W, ww.Settings(quality=False)).tail
            rows.append({"step": 100 * step, "longname": name.removesuffix(".weight"), "tail_alpha": tail.alpha})
    return pd.DataFrame(rows)


#: How each picture is asked for, and the same as code.
EXAMPLES: dict[str, tuple[str, Callable[[], Any]]] = {
    "esd": ('ww.plots.esd(results.layer("fc1"))', lambda: ww.plots.esd(layer())),
    "ccdf": ('ww.plots.ccdf(results.layer("fc1"))', lambda: ww.plots.ccdf(layer())),
    "ks": ('ww.plots.ks(results.layer("fc1"))', lambda: ww.plots.ks(layer())),
    "log_det": ('ww.plots.log_det(results.layer("fc1"))', lambda: ww.plots.log_det(layer())),
    "log_det_areas": ('ww.plots.log_det_areas(results.layer("fc1"))', lambda: ww.plots.log_det_areas(layer())),
    "traps": ('ww.plots.traps(results.layer("fc1"))', lambda: ww.plots.traps(layer())),
    "qualities": ('ww.plots.qualities(results.layer("fc1"))', lambda: ww.plots.qualities(layer())),
    "depth": ('ww.plots.depth(results, "tail_alpha")', lambda: ww.plots.depth(model(), "tail_alpha")),
    "ideal_plane": ("ww.plots.ideal_plane(results)", lambda: ww.plots.ideal_plane(model())),
    "histogram": (
        'ww.plots.histogram(first, second, labels=["ResNet-20", "ResNet-32"])',
        lambda: ww.plots.histogram(*resnets(), labels=["ResNet-20", "ResNet-32"]),
    ),
    "truncation_curve": (
        'ww.plots.truncation_curve(frame, metric="test_error")',
        lambda: ww.plots.truncation_curve(curves(), metric="test_error"),
    ),
    "comparison": (
        "ww.plots.comparison(ww.compare(before, after))",
        lambda: ww.plots.comparison(ww.compare(*compared(), progress=False)),
    ),
    "training": ("ww.plots.training(history)", lambda: ww.plots.training(history())),
}
#: More of the same picture.
MORE: dict[str, tuple[str, str, Callable[[], Any]]] = {
    "esd_log-lin": ("esd", 'ww.plots.esd(result, scale="log-lin")', lambda: ww.plots.esd(layer(), scale="log-lin")),
    "esd_lin-lin": ("esd", 'ww.plots.esd(result, scale="lin-lin")', lambda: ww.plots.esd(layer(), scale="lin-lin")),
    "qualities_of_a_model": ("qualities", "ww.plots.qualities(results)", lambda: ww.plots.qualities(model())),
    "ideal_plane_start": (
        "ideal_plane",
        'ww.plots.ideal_plane(results, against="pl_lambda_min")',
        lambda: ww.plots.ideal_plane(model(), against="pl_lambda_min"),
    ),
}


def pictures() -> dict[str, Callable[[], Any]]:
    """Every picture by the name of its file."""
    return {name: draw for name, (_, draw) in EXAMPLES.items()} | {name: draw for name, (_, _, draw) in MORE.items()}


def save(name: str, draw: Callable[[], Any], folder: Path) -> Path:
    """Draw one picture under matplotlib's own defaults, whatever the user's are."""
    import matplotlib as mpl

    path = folder / f"{name}.png"
    with mpl.rc_context():
        mpl.rcdefaults()
        draw().figure.savefig(path, dpi=DPI, metadata={"Software": None})
    return path


def page() -> str:
    """The whole page."""
    listed = table(
        ["plot", "of", "shows"], [(f"[`{one.name}`](#{one.name})", one.takes, one.shows) for one in ww.plots.PLOTS]
    )
    return HEAD + listed + "".join(_section(one.name, one.draw) for one in ww.plots.PLOTS)


def _section(name: str, draw: Callable[..., Any]) -> str:
    shown = [(name, EXAMPLES[name][0]), *((more, code) for more, (of, code, _) in MORE.items() if of == name)]
    parts = [f"\n```python\n{code}\n```\n\n![{code}](figures/plots/{file}.png)\n" for file, code in shown]
    return f"\n## `{name}`\n\n{prose(draw)}\n{''.join(parts)}"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, draw in pictures().items():
        save(name, draw, FOLDER)
    PAGE.write_text(page(), encoding="utf-8")
