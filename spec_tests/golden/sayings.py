"""What advice, comparisons and the page of a report say, as data: of layers that are the same on every machine.

`python -m spec_tests.golden.sayings` writes `files/sayings/` anew; look at the difference before it is committed.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import setol_ww as ww
from fixtures.advice import with_alpha
from setol_ww.core.as_json import as_json
from setol_ww.results.record import LayerRecord
from setol_ww.scanning.row import FORM
from setol_ww.views.palette import css_variables
from setol_ww.views.report.compared import compared_data
from setol_ww.views.report.payload import page_data

from .shown import columns, of, power_law, some_changes, some_results

KEPT = Path(__file__).parent / "files" / "sayings"
WIDTH = 110
#: Of the page: what goes by the version, and what tests of their own hold to the table and to the spectra.
ELSEWHERE = ("provenance", "cells", "curves")
#: What is the same on every page.
SAME = ("columns", "glossary", "states", "flags", "classes")


def matrix(rows: int, columns: int, seed: float = 2.0) -> np.ndarray:
    """As random as numbers can be that are the same on every machine."""
    return np.sin(np.arange(1.0, rows * columns + 1) ** 2 / seed).reshape(rows, columns)


def spiked(rows: int, columns: int, spikes: int, seed: float = 2.0) -> np.ndarray:
    """The same with so many directions that stand out of it."""
    left, right = matrix(rows, max(spikes, 1), seed + 1), matrix(max(spikes, 1), columns, seed + 2)
    return matrix(rows, columns, seed) + (left @ right if spikes else 0.0)


# --- advice ----------------------------------------------------------------------------------------------------------

#: Layers of a transformer with everything beside them: name, what it is, alpha, eigenvalues, rows.
LAYERS = (
    ("model.embed_tokens", "embedding", 3.0, 60, 200),
    ("model.layers.0.attn.q_proj", "dense", 2.2, 60, 80),
    ("model.layers.0.mlp.up_proj", "dense", 3.1, 60, 150),
    ("model.layers.1.attn.q_proj", "dense", 4.0, 60, 80),
    ("model.layers.1.mlp.up_proj", "dense", 2.7, 30, 90),
    ("model.layers.2.attn.q_proj", "dense", 5.5, 60, 80),
    ("model.layers.2.mlp.up_proj", "dense", 2.0, 60, 150),
    ("model.norm_proj", "dense", 3.6, 60, 70),
    ("lm_head", "dense", 2.4, 60, 200),
)


def _record(position: int, name: str, spectrum: ww.Spectrum | None, **told: Any) -> LayerRecord:
    identity = {"longname": name, "slice": "", "tensor": f"{name}.weight", "layer_type": "dense", **told}
    if spectrum is not None:
        identity |= {"N": spectrum.N, "M": spectrum.M, "n_params": spectrum.N * spectrum.M}
        identity = {"shape": f"{spectrum.N} x {spectrum.M}", **identity}
        return LayerRecord(position, identity, spectrum=spectrum)
    status, reason = told.pop("became", ("failed", f"layer {name}: 3 entries are not finite"))
    return LayerRecord(position, {**identity, "shape": "80 x 60", "n_params": 4800}, status, reason)


@cache
def transformer() -> ww.Results:
    """`LAYERS`, one that failed, one that is all zero, one that was skipped, slices, experts and a convolution."""
    records = [
        _record(place, name, ww.Spectrum.from_eigenvalues(with_alpha(alpha, count), (rows, count)), layer_type=kind)
        for place, (name, kind, alpha, count, rows) in enumerate(LAYERS)
    ]
    zero = ww.Spectrum.from_eigenvalues(np.zeros(60), (80, 60))
    records.append(_record(len(records), "model.layers.1.attn.k_proj", None))
    records.append(_record(len(records), "model.layers.2.attn.k_proj", zero))
    for n, part in enumerate("qkv"):
        spectrum = ww.Spectrum.from_eigenvalues(with_alpha(2.5 + n, 60), (60, 60))
        told = {"slice": part, "tensor": "extra.in_proj_weight", "layer_type": "attention"}
        records.append(_record(len(records), "extra.in_proj_weight", spectrum, **told))
    spectrum = ww.Spectrum.from_eigenvalues(with_alpha(2.9, 48), (64, 48))
    records.append(_record(len(records), "extra.conv", spectrum, layer_type="conv2d", shape="64 x 48 x 1 x 1"))
    records.append(_record(len(records), "packed", None, became=("skipped", "no scheme for int4")))
    return ww.Results.from_records(records, form=FORM)


@cache
def net() -> ww.Results:
    """Six linear layers, not numbered, whose exponents are these."""
    alphas = {"first": 3.3, "second": 2.0, "third": 3.0, "fourth": 5.0, "fifth": 2.2, "last": 4.0}
    records = [
        _record(n, name, ww.Spectrum.from_eigenvalues(with_alpha(alpha, 80), (120 + n, 80)))
        for n, (name, alpha) in enumerate(alphas.items())
    ]
    return ww.Results.from_records(records, form=FORM)


ADVICE: dict[str, tuple[Callable[[], ww.Results], str, dict[str, Any]]] = {
    "rates": (transformer, "learning-rates", {}),
    "rates by rank, names kept": (net, "learning-rates", {"mapping": "step", "keep_base": ["f*", "last"], "base": 0.5}),
    "decay": (transformer, "weight-decay", {"min_evals": 10}),
    "decay by the logarithm above a third": (net, "weight-decay", {"mapping": "log2", "position": 1.5}),
    "decay of two": (net, "weight-decay", {"keep_base": ["second", "third", "fourth", "first"], "base": 0.2}),
    "decay of one": (net, "weight-decay", {"keep_base": ["f*", "second", "last"]}),
    "sparsity by blocks": (transformer, "sparsity", {"sparsity": 0.7}),
    "sparsity by layers": (transformer, "sparsity", {"blocks": False, "sparsity": 0.8, "most": 0.85, "min_evals": 40}),
    "sparsity to the end": (net, "sparsity", {"sparsity": 0.85, "epsilon": 1.0, "alpha": "peak"}),
    "ranks of adapters": (transformer, "lora-rank", {"rank": 8}),
    "ranks of adapters by spikes": (net, "lora-rank", {"by": "spikes", "rank": 3, "rslora": True, "scale": 0.5}),
    "unfreeze": (transformer, "unfreeze", {}),
    "unfreeze by the edge": (transformer, "unfreeze", {"by": "edge", "share": 0.4}),
    "truncate": (transformer, "truncate", {}),
    "truncate by ERG": (net, "truncate", {"by": "erg", "parameters": 0.3}),
    "truncate by energy": (net, "truncate", {"energy": 0.9}),
}


def _advised(name: str) -> dict[str, Any]:
    from setol_ww.advice.yaml_text import yaml_text

    results, target, options = ADVICE[name]
    advice = ww.recommend(results(), target, **options)
    with columns(WIDTH):
        printed = str(advice).split("\n")
    return {"text": printed, "yaml": yaml_text(advice).rstrip("\n").split("\n"), "dict": advice.to_dict()}


# --- comparisons -----------------------------------------------------------------------------------------------------


def _model(changed: bool) -> dict[str, np.ndarray]:
    """Layers that stay, move, go, come, change their size, are rounded, are all zero, cannot be read."""
    rows, plain = np.linspace(0.2, 3, 60) ** 3, matrix(70, 60).astype(np.float32)
    told = {
        "stays": matrix(90, 60),
        "heavier": matrix(120, 60) * (rows if changed else 1.0),
        "a little": matrix(100, 50) + (0.3 * spiked(100, 50, 2, 5.0) if changed else 0.0),
        "rounded": plain.astype(np.float16).astype(np.float32) if changed else plain,
        "zero": np.zeros((40, 30)) if changed else matrix(40, 30),
        "wider": matrix(40, 50 if changed else 30),
        "kernel": matrix(20, 30 * 4).reshape(20, 30, 2, 2) + (np.ones((20, 30, 2, 2)) if changed else 0.0),
        "bad": np.full((40, 30), np.nan) if changed else matrix(40, 30),
        "comes" if changed else "goes": matrix(30, 20),
        "words": np.eye(8).astype(np.int8),
    }
    return {f"module.{name}.weight" if changed else f"{name}.weight": value for name, value in told.items()}


@cache
def comparison(*, turned: bool = False, uncertainty: int = 0) -> ww.Comparison:
    """Both ways round."""
    return ww.compare(_model(turned), _model(not turned), progress=False, uncertainty=uncertainty)


def _whether_kept(name: str) -> bool:
    return not name.endswith(("_base", "_tuned")) or name.startswith(("tail_alpha_", "setol_state_"))


def _compared(found: ww.Comparison) -> dict[str, Any]:
    told = found.to_dict()
    told["columns"] = list(told["rows"][0])
    told["rows"] = [{name: value for name, value in row.items() if _whether_kept(name)} for row in told["rows"]]
    with columns(WIDTH):
        told |= {"text": str(found).split("\n"), "in short": found.summary().lines()}
    return told


def _intervals(found: ww.Comparison) -> list[dict[str, Any]]:
    named = [name for name in found.table() if name.endswith(("_error", "_beyond")) or name == "longname"]
    rows: list[dict[str, Any]] = as_json(found.table()[named].to_dict("records"))
    return rows


def _run() -> dict[str, Any]:
    from setol_ww.advice.runs import run_text

    states = [{"a.weight": matrix(60, 40), "b.weight": matrix(50, 40)}]
    states += [{"a.weight": matrix(60, 40) + step / 5} for step in (1, 2)]
    frame = ww.compare_run(states, steps=[0, 10, 25.5], progress=False)
    shown = ["step", "longname", "status", "reason", "update_norm", "update_norm_share", "d_tail_alpha"]
    return {"text": run_text(frame, WIDTH).split("\n"), "rows": as_json(frame[shown].to_dict("records"))}


LONG = "model.decoder.layers.31.self_attention.query_projection.inner.block"


def _narrow() -> dict[str, Any]:
    """Tables of layers with a long name in the narrowest terminal."""
    from setol_ww.advice.runs import run_text
    from setol_ww.advice.trap_effect import Removal, TrapEffect
    from setol_ww.views.text import truncation_text

    states = [{f"{LONG}.weight": matrix(60, 40) + step / 9, "b.weight": matrix(50, 40)} for step in (0, 1)]
    sizes = {LONG: 80, "b": 80, "c": 30, "d": 30}
    layers = ww.Results.from_records(
        [
            _record(n, name, ww.Spectrum.from_eigenvalues(with_alpha(2.0 + n, size), (80, size)))
            for n, (name, size) in enumerate(sizes.items())
        ],
        form=FORM,
    )
    effect = Removal(LONG, "element", "(3, 7)", 1e-30, 5.0, 0.03, 1.0, 1.0, 0.2, 0.31, 0.02, 0.05, 1.0)
    cut = {"layer": LONG, "rank": 3, "num_evals": 40, "kept_energy": 0.5, "reason": "cut", "parameters_after": 210}
    whole = {"left_out": ["odd"], "parameters_before": 1200, "parameters_after": 210}
    with columns(60):
        told = {
            "advice": str(ww.recommend(layers, "learning-rates", keep_base=())),
            "comparison": str(ww.compare(*states, progress=False)),
            "effect": str(TrapEffect((effect,), 10, False, 3, 4)),
            "run": run_text(ww.compare_run(states[:1] * 12, progress=False)),
            "truncation": truncation_text({"layers": [{**cut, "parameters_before": 1200}], **whole}, "out"),
        }
    return {name: text.split("\n") for name, text in told.items()}


# --- the page --------------------------------------------------------------------------------------------------------


@cache
def of_every_kind() -> ww.Results:
    """Layers in every state with flags, traps, failures and odd names."""
    plain = matrix(100, 60)
    trapped = plain.copy()
    trapped[13, 17] = 40
    low = matrix(90, 4) @ matrix(4, 60)
    weights = {"noise": plain, "shift": plain + 0.5, "trapped": trapped, "low": low, "zero": np.zeros((40, 30))}
    weights |= {"bad": np.full((40, 30), np.inf), "kernel": matrix(20, 120).reshape(20, 30, 2, 2)}
    weights |= {"spikes": spiked(120, 80, 3), "<b>\x1b": matrix(30, 20), "words": np.eye(8).astype(np.int8)}
    given = {f"{name}.weight": value for name, value in weights.items()}
    return ww.examine(given, progress=False, randomize=True)


@cache
def heavy() -> ww.Results:
    """Sound layers alone, whose exponents are near and far."""
    spectra = {f"fc{n}": power_law(alpha, 0.4, 90, 200) for n, alpha in enumerate((2.0, 2.6, 3.5, 4.2, 7.5))}
    return ww.Results.from_records(of(spectra), form=FORM)


def _page(results: ww.Results, *left: str) -> dict[str, Any]:
    return {name: value for name, value in page_data(results).items() if name not in (*ELSEWHERE, *left)}


def sayings() -> dict[str, Callable[[], Any]]:
    """What is kept, by its name."""
    found: dict[str, Callable[[], Any]] = {f"advice, {name}": lambda name=name: _advised(name) for name in ADVICE}
    return found | {
        "comparison": lambda: _compared(comparison()),
        "comparison, turned around": lambda: _compared(comparison(turned=True)),
        "comparison with intervals": lambda: _intervals(comparison(uncertainty=30)),
        "comparison of kept results": lambda: _compared(some_changes()),
        "run": _run,
        "tables in sixty columns": _narrow,
        "page of every kind": lambda: _page(of_every_kind()),
        "page of sound layers": lambda: _page(heavy(), *SAME),
        "page of what prints": lambda: _page(some_results(), *SAME),
        "page of nothing": lambda: _page(ww.Results.from_records([]), *SAME),
        "page, what changed": lambda: compared_data(comparison(), comparison().tuned),
        "page, what changed in another": lambda: compared_data(comparison(), some_results()),
        "colours": lambda: css_variables().split("\n"),
    }


def told(name: str) -> Any:
    """One of them as JSON has it."""
    return json.loads(json.dumps(as_json(sayings()[name]())))


def file_of(name: str) -> Path:
    """Where it is kept."""
    return KEPT / f"{name.replace(',', '').replace(' ', '-')}.json"


def rounded(value: Any) -> Any:
    """Numbers with six digits, which differ on no machine."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else value
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


def main() -> None:
    """Write all of them."""
    KEPT.mkdir(exist_ok=True)
    for old in KEPT.glob("*"):
        old.unlink()
    for name in sayings():
        text = json.dumps(rounded(told(name)), ensure_ascii=False, indent=1)
        file_of(name).write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(list(KEPT.iterdir()))} files are in {KEPT}\n")


if __name__ == "__main__":
    main()
