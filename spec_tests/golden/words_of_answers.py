"""What answers say beside their numbers: advice, pictures, the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import matplotlib.text
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

import setol_ww as ww
from setol_ww.advice.evidence import measured
from setol_ww.advice.registry import MODULES, target_called
from setol_ww.layer.result import analyze_spectrum
from setol_ww.views.report.compared import compared_data
from setol_ww.views.report.payload import page_data

from .kept_words import Call
from .shown import layers, of, power_law, report, some_changes, some_results


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


def alike(target: str, **options: Any) -> Call:
    """Advice on a model of one layer, three times."""

    def call(_: object) -> str:
        W = np.random.default_rng(0).standard_t(3, size=(120, 60))
        results = ww.examine({f"model.layers.{block}.q_proj.weight": W.copy() for block in range(3)}, progress=False)
        return listed(ww.recommend(results, target, **options).to_dict()["notes"])

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
    "advice: layers that are alike": alike("sparsity"),
    "advice: rates of layers that are alike": alike("learning-rates", keep_base=[]),
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


def far(number: int = 200) -> ww.LayerResult:
    """A layer with eigenvalues that no axis has room for, at both ends."""
    ends = [*np.geomspace(1e-9, 1e-7, 3), *power_law(1.4, 0.3, 90, number).raw]
    return analyze_spectrum(ww.Spectrum.from_eigenvalues(ends, (2 * len(ends), len(ends))))


def steep() -> ww.Results:
    """A layer whose alpha is beyond what the picture of ideals shows."""
    return ww.Results.from_records(of({"steep": power_law(14.0, 0.6, 90, 200), "near": power_law(2.0, 0.36, 60, 200)}))


def run(columns: int = 3) -> pd.DataFrame:
    """A training run of two layers."""
    rows = [
        {"step": 100 * step, "longname": name, "tail_alpha": 4.0 - step / 2 + number, "delta_lambda_min": 0.1 * step}
        for step in range(columns)
        for number, name in enumerate(("fc1", "fc2"))
    ]
    return pd.DataFrame(rows, columns=["step", "longname", "tail_alpha", "delta_lambda_min"])


def cuts() -> pd.DataFrame:
    """Truncations of a small layer by every rule."""
    net = torch.nn.Linear(60, 40, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.from_numpy(np.random.default_rng(0).standard_t(3, size=(40, 60))))
    return ww.truncation_curve(net, lambda model: float(model.weight.detach().norm()), fractions=[0.25, 0.5])


MORE: dict[str, Callable[[], Any]] = {
    "esd with both ends": lambda: ww.plots.esd(far()),
    "esd with both ends, from 0": lambda: ww.plots.esd(far(), scale="lin-lin"),
    "esd of decades": lambda: ww.plots.esd(far(), scale="log-lin"),
    "esd of an empty matrix": lambda: ww.plots.esd(ww.analyze_matrix(np.zeros((0, 3)))),
    "traps of one that has some": lambda: ww.plots.traps(layer("short of ideal").with_traps(report(1))),
    "traps of one that has none": lambda: ww.plots.traps(layer("short of ideal").with_traps(report(0))),
    "ideal_plane of a steep one": lambda: ww.plots.ideal_plane(steep()),
    "ideal_plane against the start": lambda: ww.plots.ideal_plane(steep(), against="delta_lambda_min"),
    "qualities of a model": lambda: ww.plots.qualities(some_results()),
    "qualities of no model": lambda: ww.plots.qualities(degenerate()),
    "qualities that were left out": lambda: ww.plots.qualities(layer("heavy", quality=False)),
    "training": lambda: ww.plots.training(run()),
    "training of no step": lambda: ww.plots.training(run(0)),
    "training without a number": lambda: ww.plots.training(run().assign(tail_alpha=np.nan)),
    "depth of starts": lambda: ww.plots.depth(some_results(), "delta_lambda_min"),
    "depth of ranks": lambda: ww.plots.depth(some_results(), "erg_rank_gap"),
    "truncation_curve": lambda: ww.plots.truncation_curve(cuts(), metric="metric"),
    "truncation_curve by energy": lambda: ww.plots.truncation_curve(cuts(), metric="metric", against="kept_energy"),
}
PICTURES |= {name: picture(draw) for name, draw in MORE.items()}

# Updates.

BASE = np.random.default_rng(1).standard_t(3, size=(60, 40))


def update(base: np.ndarray, tuned: np.ndarray) -> Call:
    """What is said of the difference of two layers."""
    return lambda _: listed(ww.compare({"fc.weight": base}, {"fc.weight": tuned}).to_dict())


UPDATES: dict[str, Call] = {
    "update: none": update(BASE, BASE),
    "update: of one direction": update(BASE, BASE + 0.1 * np.outer(np.ones(60), np.ones(40))),
    "update: of a base of one size": update(np.eye(60, 40), np.eye(60, 40) + 0.01 * BASE),
    "update: beyond the range": update(BASE, np.where(np.eye(60, 40), np.nan, BASE)),
}

# The page.


def of_every_kind() -> ww.Results:
    """Layers that are collapsed, with a trap, with a shifted mean, zero."""
    rng = np.random.default_rng(2)
    trapped = rng.normal(size=(60, 40))
    trapped[3, 4] = 40
    weights = {
        "collapsed": rng.normal(size=(60, 4)) @ rng.normal(size=(4, 40)),
        "trapped": trapped,
        "shifted": rng.normal(size=(60, 40)) + 1,
        "zero": np.zeros((60, 40)),
    }
    return ww.examine({f"{name}.weight": one for name, one in weights.items()}, randomize=True, progress=False)


# The page.


def versions() -> ww.Comparison:
    """Two versions of a layer, whose update is looked at."""
    return ww.compare({"fc.weight": BASE}, {"fc.weight": BASE + 0.1 * np.outer(np.ones(60), np.ones(40))})


PAGE: dict[str, Call] = {
    "page of a model": lambda _: listed(page_data(some_results())),
    "page of layers of every kind": lambda _: listed(page_data(of_every_kind())),
    "page of two versions": lambda _: listed(compared_data(versions(), of_every_kind())),
    "page of no model": lambda _: listed(page_data(degenerate())),
    "page of two models": lambda _: listed(compared_data(some_changes(), some_results())),
}

CALLS: dict[str, Call] = {**ADVICE, **UPDATES, **PICTURES, **PAGE}
