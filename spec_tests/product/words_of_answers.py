"""What answers say beside their numbers: advice, pictures, the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import matplotlib.text
import numpy as np
from matplotlib.figure import Figure

import setol_ww as ww
from setol_ww.advice.evidence import measured
from setol_ww.advice.registry import MODULES, target_called
from setol_ww.views.report.compared import compared_data
from setol_ww.views.report.payload import page_data

from .kept_words import Call
from .shown import layers, of, some_changes, some_results


def strings(value: Any) -> Iterator[str]:
    """The sentences somewhere in an answer."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from strings(key)
            yield from strings(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from strings(one)
    elif isinstance(value, str) and len(value.split()) > 2:
        yield value


def listed(value: Any) -> str:
    """The sentences of an answer, each once."""
    return "\n".join(dict.fromkeys(one.replace("\n", " ") for one in strings(value)))


# Advice.


def model() -> dict[str, np.ndarray]:
    """Layers of every kind that advice meets: an embedding, blocks, a convolution, one too small, one of zeros."""
    rng = np.random.default_rng(0)
    weights = {"model.embed_tokens.weight": rng.normal(size=(120, 40))}
    for block in range(3):
        weights[f"model.layers.{block}.q_proj.weight"] = rng.standard_t(2 + block, size=(120, 60))
        weights[f"model.layers.{block}.down_proj.weight"] = rng.normal(size=(60, 140))
    weights["conv.weight"] = rng.normal(size=(40, 30, 3, 3))
    weights["small.weight"] = rng.normal(size=(30, 8))
    weights["zero.weight"] = np.zeros((40, 30))
    return weights


def advised(target: str, **options: Any) -> Call:
    def call(_: object) -> str:
        with np.errstate(all="ignore"):
            results = ww.examine(model(), progress=False)
        advice = ww.recommend(results, target, **options)
        return listed(advice.to_dict())

    return call


def of_target(target: str) -> Call:
    """What a target says of itself, and what this project measured of it."""
    return lambda _: listed([target_called(target).summary, target_called(target).source, measured(target)])


ADVICE: dict[str, Call] = {
    **{f"target: {name}": of_target(name) for name in MODULES},
    **{f"advice: {name}": advised(name) for name in MODULES},
    "advice: the first and the last stay": advised("learning-rates", keep_base=["first", "last"]),
    "advice: all stay": advised("weight-decay", keep_base=["*"]),
    "advice: a layer goes": advised("sparsity", sparsity=0.9, most=1, epsilon=0.9),
    "advice: by energy": advised("truncate", by="energy"),
}


# Pictures.


def texts(figure: Figure) -> str:
    """What is written in a picture, but for the numbers at its axes."""
    ticks = {
        id(one)
        for ax in figure.axes
        for axis in (ax.xaxis, ax.yaxis)
        for one in (*axis.get_ticklabels(which="both"), axis.get_offset_text())
    }
    found = [
        one.get_text()
        for one in figure.findobj(matplotlib.text.Text)
        if id(one) not in ticks and one.get_text() and one.get_visible()
    ]
    return "\n".join(sorted({one.replace("\n", " / ") for one in found}))


def picture(draw: Callable[[], Any]) -> Call:
    def call(_: object) -> str:
        ax = draw()
        ax.figure.canvas.draw()
        return texts(ax.figure)

    return call


def layer(name: str, **settings: Any) -> ww.LayerResult:
    from setol_ww.layer.result import analyze_spectrum

    return analyze_spectrum(layers()[name], ww.Settings(**settings))


def degenerate() -> ww.Results:
    """Results without a tail, a cut or a quality in any layer."""
    return ww.Results.from_records(of({"a": ww.Spectrum.from_eigenvalues(np.zeros(9))}))


ONE = {
    name: getattr(ww.plots, name) for name in ("esd", "ccdf", "ks", "log_det", "log_det_areas", "traps", "qualities")
}
ALL = {name: getattr(ww.plots, name) for name in ("depth", "histogram", "ideal_plane")}
PICTURES: dict[str, Call] = {
    f"{name} of {kind}": picture(lambda draw=draw, kind=kind: draw(layer(kind)))
    for name, draw in ONE.items()
    for kind in ("near ideal", "short of ideal", "heavy", "flat")
}
PICTURES |= {
    f"{name} of nothing": picture(lambda draw=draw: draw(ww.analyze_matrix(np.zeros((9, 9)))))
    for name, draw in ONE.items()
}
PICTURES |= {f"{name} of a model": picture(lambda draw=draw: draw(some_results())) for name, draw in ALL.items()}
PICTURES |= {f"{name} of no model": picture(lambda draw=draw: draw(degenerate())) for name, draw in ALL.items()}
PICTURES |= {
    "esd with an interval": picture(lambda: ww.plots.esd(layer("short of ideal", uncertainty=40))),
    "comparison of two models": picture(lambda: ww.plots.comparison(some_changes())),
}

# The page.

PAGE: dict[str, Call] = {
    "page of a model": lambda _: listed(page_data(some_results())),
    "page of no model": lambda _: listed(page_data(degenerate())),
    "page of two models": lambda _: listed(compared_data(some_changes(), some_results())),
}

CALLS: dict[str, Call] = {**ADVICE, **PICTURES, **PAGE}
