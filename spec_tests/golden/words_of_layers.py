"""What is said of single layers: their verdicts and traps, how they were read, why they were left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

import setol_ww as ww
from setol_ww.layer.result import analyze_spectrum
from setol_ww.truncation.pieces import pieces_of

from .kept_words import Call
from .refused_calls import command, does, noise
from .shown import of, power_law


def sentences(W: Any) -> Call:
    """What traps are said to be in a matrix."""
    return lambda _: str(ww.find_traps(W))


def judged(spectrum: ww.Spectrum, **settings: Any) -> Call:
    """A layer in words, whole."""
    return lambda _: str(analyze_spectrum(spectrum, ww.Settings(**settings)))


def reasons(weights: Mapping[str, Any], **options: Any) -> Call:
    """What is said of every tensor of a model, and how it was read."""

    def call(_: object) -> str:
        frame = ww.analyze(weights, **options)
        lines = [f"{one['longname']}: {one['status']}, {one['reason']}" for one in frame.attrs["coverage"]]
        return "\n".join(
            lines + [f"{one.longname}: {one.layout}" for one in frame.itertuples() if hasattr(one, "layout")]
        )

    return call


def asked(layout: str, shape: tuple[int, ...]) -> Call:
    """A tensor that is said to be read so."""
    W = np.random.default_rng(0).normal(size=shape)
    return does(lambda: reasons({"a.weight": W, "b.weight": noise()}, layouts={"a.weight": layout})(None))


def heavy() -> np.ndarray:
    return np.random.default_rng(0).standard_cauchy((60, 40))


def one_entry() -> np.ndarray:
    W = 1e-150 * noise()
    W[3, 4] = 1.0
    return W


def uncut(model: Any) -> str:
    """Why layers are not cut."""
    return "\n".join(f"{one.title}: {one.reason}" for one in pieces_of(model))


class Computed(nn.Module):
    def forward(self, W: torch.Tensor) -> torch.Tensor:
        return W * 2


def parametrised(_: object) -> str:
    """Why a weight that is computed from others is not cut."""
    model = nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 10))
    nn.utils.parametrize.register_parametrization(model[0], "weight", Computed())
    return uncut(model)


def put_together(_: object) -> str:
    """Why weights of several tensors are not cut."""
    stored = {"fc.weight_orig": torch.ones(30, 20), "fc.weight_mask": torch.eye(30, 20), "b.weight": torch.ones(9, 8)}
    return uncut(stored)


KERNEL = np.random.default_rng(0).normal(size=(30, 20, 3, 3))
SOME_BEYOND = ww.Spectrum.from_eigenvalues([*np.linspace(0.9, 1.1, 190), *[3.0] * 10], (400, 200))
THREE = nn.Sequential(nn.Linear(30, 20), nn.Linear(30, 20), nn.Conv1d(20, 9, 3))
FUSED = {"a.weight": noise(60, 20), "b.weight": noise(60, 20), "c.weight": noise(20, 10)}

CALLS: dict[str, Call] = {
    "traps: none": sentences(noise(60, 40)),
    "traps: heavy elements": sentences(heavy()),
    "traps: one entry alone": sentences(one_entry()),
    "layer: steep": judged(power_law(9.0, 0.6, 120, 200)),
    "layer: steep, with few beyond": judged(
        ww.Spectrum.from_eigenvalues([*np.linspace(0.9, 1.1, 190), *[3.0] * 10], (400, 200))
    ),
    "layer: two starts": judged(power_law(2.6, 0.5, 50, 120), uncertainty=40),
    "layouts: kernel": asked("kernel:0,1", (6, 5, 4)),
    "layouts: kernel of words": asked("kernel:0", (6, 5, 4)),
    "layouts: rows": asked("rows:q=20,k=20", (60, 20)),
    "layouts: columns": asked("columns:q=7,k=5", (60, 20)),
    "layouts: skip": asked("skip", (60, 20)),
    "layouts: stack or kernel": reasons({"conv.weight": KERNEL, "b.weight": noise()}),
    "layouts: seven axes": reasons({"a.weight": np.ones((2, 3, 2, 3, 2, 3, 2)), "b.weight": noise()}),
    "limits": reasons(FUSED, max_evals=15),
    "limits of size": reasons(FUSED, max_N=30),
    "combined: stacked": reasons(THREE, stacked=True),
    "combined: intra": reasons(THREE[:2], intra=True),
    "selector: a name that is none": does(lambda: ww.examine({"a.weight": noise()}, layers="zzz")),
    "watcher: a name that is none": does(lambda: ww.WeightWatcher({"a.weight": noise()}).get_ESD(layer="zzz")),
    "watcher: mappings in a mapping": does(lambda: ww.analyze({"a": {"lr": 1}, "b": {"lr": 2}})),
    "truncation: parametrised": parametrised,
    "truncation: put together": put_together,
    "picture: no layer of both": does(
        lambda: ww.plots.comparison(
            ww.compare(
                ww.Results.from_records(of({"a": power_law(2.0, 0.4, 60, 200)})),
                ww.Results.from_records(of({"b": power_law(2.0, 0.4, 60, 190)})),
            )
        )
    ),
    "command: --verbose alone": command("--verbose"),
    "command: none": command(""),
}
