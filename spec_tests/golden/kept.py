"""Numbers of results as they were when they were last looked at, in `files/numbers.json`: what another version of the
package may not change without saying so.

`python -m spec_tests.golden.kept` writes them anew; a change of results has its line in `docs/changes/`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

import setol_ww as ww
from fixtures import ensembles, matrices
from fixtures.uneven_noise import draw, lognormal_strengths
from setol_ww.layer.result import analyze_spectrum
from setol_ww.layer.weightwatcher_columns import weightwatcher_row
from setol_ww.linalg.scaled import Scaled
from setol_ww.spectrum.ks_curve import KsCurve
from setol_ww.spectrum.noise import Noise
from setol_ww.spectrum.strengths import strengths_of
from setol_ww.traps.find import find_traps_of

from .shown import columns

KEPT = Path(__file__).parent / "files" / "numbers.json"
LEVELS = np.array([0.01, 0.1, 0.5, 0.9, 0.99])
#: Told by themselves.
LEFT_OUT = {
    "LayerResult": {"spectrum", "strengths", "traps", "ks_curve", "reason"},
    "BulkFit": {"noise"},
    "Spectrum": {"scan", "above_rounding", "raw", "values"},
}


def weights() -> dict[str, list[np.ndarray] | list[torch.Tensor]]:
    """Layers of every kind by name, as the matrices that are pooled."""
    noise, rng = ensembles.gaussian_matrix, np.random.default_rng(0)
    strong = np.where(np.arange(200) % 67 == 3, 30.0, 1.0)
    signs = np.where(np.arange(120) % 2, 1.0, -1.0)
    loud_one = np.where(np.arange(2400).reshape(60, 40) == 1234, 25.0, 1.0)
    last = np.where(np.arange(1400) == 1399, 1e8, 1.0)
    dead = noise(90, 60, seed=3)
    dead[::5], dead[:, ::4] = 0.0, 0.0
    return {
        "noise": [noise(90, 60, seed=1)],
        "wide noise": [noise(40, 300, seed=2)],
        "kernel": [noise(64, 32, seed=s) for s in range(9)],
        "kernel of few columns": [noise(50, 3, seed=s) for s in range(9)],
        "dead lines": [dead],
        "uneven rows": [draw(lognormal_strengths(120, 0.4, 1), np.ones(80), seed=2)],
        "uneven columns": [draw(np.ones(120), lognormal_strengths(80, 0.6, 3), seed=4)],
        "uneven rows and columns": [draw(lognormal_strengths(150, 0.3, 5), lognormal_strengths(150, 0.5, 6), seed=7)],
        "uneven kernel": [s * draw(lognormal_strengths(64, 0.3, 8), np.ones(48), seed=9 + s) for s in (1, 2, 3)],
        "loud rows": [noise(200, 120, seed=10) * strong[:, None]],
        "loud columns": [noise(160, 200, seed=11) * strong],
        "spikes": [noise(120, 80, seed=12) + 0.5 * np.outer(signs, signs[:80]) + 0.8 * np.eye(120, 80)],
        "heavy": [ensembles.signed_pareto_matrix(120, 90, 2.5, seed=13)],
        "very heavy": [ensembles.signed_pareto_matrix(70, 70, 1.2, seed=14)],
        "heavy elements": [rng.standard_t(3, size=(100, 100))],
        "ideal": [ensembles.matrix_with_eigenvalues(ensembles.ideal_layer_eigenvalues(30, 80), 100, seed=8)],
        "tail of correlations": [
            ensembles.matrix_with_eigenvalues(ensembles.power_law_quantiles(120, 3.0), 150, seed=15)
        ],
        "gap": [ensembles.matrix_with_eigenvalues(np.append(np.linspace(0.9, 1.1, 90), [20.0, 30.0]), 92, seed=16)],
        "deficient": [matrices.planted_rank(60, 40, 25, seed=6)[0]],
        "collapsed": [matrices.planted_rank(60, 40, 12, seed=6)[0]],
        "small": [noise(12, 9, seed=17)],
        "one column": [noise(30, 1, seed=35)],
        "few in slices": [noise(20, 5, seed=s) + 8 * (s == 36) * np.eye(20, 5) for s in (36, 37)],
        "uneven wide": [draw(lognormal_strengths(60, 0.7, 38), lognormal_strengths(140, 0.2, 39), seed=40)],
        "columns alone": [noise(30, 1, seed=s) for s in range(25)],
        "large numbers": [1e200 * noise(60, 40, seed=18)],
        "small numbers": [1e-200 * noise(60, 40, seed=18)],
        "bfloat16": [torch.from_numpy(noise(80, 50, seed=19)).to(torch.bfloat16)],
        "shifted": [noise(90, 60, seed=20) + 0.5],
        "few sizes": [np.round(noise(60, 40, seed=21))],
        "element": [noise(90, 60, seed=22) + 20 * (np.arange(5400).reshape(90, 60) == 777)],
        "quantised with an element": [
            4.0 * np.round(noise(80, 50, seed=25)) + 60 * (np.arange(4000) == 99).reshape(80, 50)
        ],
        "kernel with traps": [noise(60, 40, seed=26) + 0.6, noise(60, 40, seed=27), noise(60, 40, seed=28) * loud_one],
        "weak tail": [ensembles.matrix_with_eigenvalues(ensembles.power_law_quantiles(400, 9.0), 900, seed=29)],
        "strong tail": [ensembles.matrix_with_eigenvalues(ensembles.power_law_quantiles(200, 1.7), 220, seed=30)],
        "large noise": [noise(500, 250, seed=31)],
        "few spikes in large noise": [noise(400, 250, seed=32) + 0.1 * np.eye(400, 250) * (np.arange(250) < 3) * 300],
        "orthogonal": [np.eye(40)[::-1]],
        "rank one": [np.outer(np.arange(1.0, 31.0), np.arange(1.0, 26.0))],
        "zero": [np.zeros((30, 25))],
        "not a number": [np.full((30, 25), np.nan)],
        "few with a spike": [noise(40, 8, seed=34) + 9 * np.eye(40, 8) * (np.arange(8) == 2)],
        "shift below heavy elements": [ensembles.signed_pareto_matrix(120, 80, 1.5, seed=41) + 2.0],
        "kernel with elements": [
            noise(40, 30, seed=42 + s) + size * (np.arange(1200).reshape(40, 30) % 411 == 7)
            for s, size in enumerate((9.0, 30.0, 0.0))
        ],
        "narrow with tiny rows": [(noise(60, 40, seed=45) * np.geomspace(1e-12, 1, 60)[:, None]).astype(np.float32)],
        "narrow with a huge last row": [(noise(1400, 50, seed=46) * last[:, None]).astype(np.float32)],
        "kernel with a loud row": [noise(64, 32, seed=50 + s) * loud(64, 1, 30.0)[:, None] for s in range(5)],
        "kernel with loud columns": [noise(50, 80, seed=60 + s) * loud(80, 2, 20.0) for s in range(3)],
        "loud row of a wide one": [noise(60, 150, seed=70) * loud(60, 1, 20.0)[:, None]],
        "loud rows among uneven ones": [
            draw(lognormal_strengths(120, 0.4, 71), np.ones(80), seed=72) * loud(120, 2, 40.0)[:, None]
        ],
        "spike beside a loud row": [
            (noise(100, 80, seed=73) + 0.5 * np.outer(signs[:100], signs[:80])) * loud(100, 1, 30.0)[:, None]
        ],
        "dead lines and a loud column": [dead[:, ::-1] * loud(60, 1, 40.0)],
        "infinite": [np.where(np.arange(750).reshape(30, 25) == 99, np.inf, 0.0)],
        "correlated": [noise(90, 60, seed=23) @ np.diag(np.linspace(0.5, 1.5, 60)) @ matrices.haar(60, seed=24)],
    }


def loud(lines: int, number: int, strength: float) -> np.ndarray:
    """Strengths of so many lines, of which the third and those behind it are loud."""
    return np.where((np.arange(lines) >= 2) & (np.arange(lines) < 2 + number), strength, 1.0)


def eigenvalues() -> dict[str, ww.Spectrum]:
    """Spectra whose matrices nobody has: nothing is known of the strengths of rows and columns."""
    many, of = ensembles.power_law_quantiles, ww.Spectrum.from_eigenvalues
    pareto, rng = ensembles.pareto_eigenvalues, np.random.default_rng(5)
    return {
        "power law": of(pareto(60, 2.2, seed=3)),
        "long tail": of(pareto(90, 1.6, seed=4), (200, 90)),
        "steep": of(pareto(150, 4.5, seed=6), (150, 300)),
        "with zeros": of(np.append(np.zeros(15), pareto(45, 2.5, seed=7)), (80, 60)),
        "slices": of(pareto(60, 3.0, seed=8), (40, 20), slices=3),
        "slices with zeros": of(np.append(np.zeros(6), 2 + rng.random(54)), (30, 20), slices=3),
        "of narrow numbers": of(pareto(50, 2.0, seed=9), (70, 50), eps=2.0**-23),
        "ties": of(np.repeat(np.round(pareto(12, 2.0, seed=10), 1), 3)),
        "more starts than are tried": of(np.append(rng.random(500), many(400, 2.5))),
        "more starts than are drawn": of(np.append(rng.random(1000), many(900, 2.2))),
    }


def layer(parts: list[Any]) -> Any:
    """What an analysis with everything says of some pooled matrices."""
    found = analyze_spectrum(ww.Spectrum.from_slices(parts), ww.Settings(uncertainty=12, seed=3), strengths_of(parts))
    return found.with_traps(find_traps_of(parts, seed=1))


def told(value: Any) -> Any:
    """Numbers and words of a result by name; of an array its size, two sums, and its ends."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, (int, float, np.number)):
        return float(value)
    if isinstance(value, np.ndarray):
        flat = value.astype(float).ravel()
        weighted = float(flat @ np.arange(1, flat.size + 1))
        return [flat.size, float(flat.sum()), weighted, *map(float, flat[-1:])]
    if is_dataclass(value):
        names = [*(one.name for one in fields(value)), *computed(type(value))]
        left_out = LEFT_OUT.get(type(value).__name__, ())
        return {name: told(getattr(value, name)) for name in names if name not in left_out}
    return [told(one) for one in value]


def computed(kind: type) -> list[str]:
    """What instances answer beside their fields."""
    ways = (property, cached_property)
    return [name for name in dir(kind) if name[0] != "_" and isinstance(getattr(kind, name), ways)]


def of_layer(name: str) -> dict[str, Any]:
    """Every number and sentence of one layer, in each of its parts."""
    parts = weights()[name]
    found = layer(parts)
    noise, strengths = found.bulk.noise, found.strengths
    return {
        **told(found),
        "strengths": told(strengths),
        "noise": of_noise(noise) if isinstance(noise, Noise) else None,
        "traps": told(found.traps),
        "sentences": [found.reason, found.verdict.next_step, *found.flags],
        "curve": of_curve(found.ks_curve),
        "windows": told(ww.fit_submatrices(parts, side=25, max_windows=6, seed=5)),
        "spectrum": told(found.spectrum),
        "scale": [found.spectrum.exponent, told(found.spectrum.raw[-3:])],
        "weightwatcher": weightwatcher_row(found.spectrum),
        "cards": cards(found) if name in SHOWN else [],
    }


def of_eigenvalues(name: str) -> dict[str, Any]:
    """What is said of eigenvalues alone."""
    spectrum = eigenvalues()[name]
    found = analyze_spectrum(spectrum, ww.Settings(uncertainty=6, seed=2))
    loose = ww.fit_bulk(spectrum, level=0.2)
    return {
        **told(found),
        "sentences": [found.reason, *found.flags],
        "curve": of_curve(found.ks_curve),
        "loose": told(loose),
        "spectrum": told(spectrum),
    }


def cards(found: Any) -> list[str]:
    """The parts of a result as they print."""
    parts = (found, found.tail, found.erg, found.ecs, found.bulk, found.universality, found.quality, found.traps)
    with columns(100):
        return [str(one) for one in parts]


def of_noise(noise: Noise) -> dict[str, Any]:
    """A law of noise at some levels: quantiles, chances, edges."""
    quantiles = noise.quantile(LEVELS)
    edges = [noise.edge(level) for level in (0.001, 0.05)]
    return {
        "support": list(noise.support),
        "quantiles": quantiles.tolist(),
        "density": noise.pdf(quantiles).tolist(),
        "edges": edges,
        "chances": [noise.sf(edge, shift) for edge in edges for shift in (0.0, 0.3)],
        "shift": noise.shift,
    }


def of_curve(curve: KsCurve) -> dict[str, Any]:
    return {one.name: told(getattr(curve, one.name)) for one in fields(curve)}


def of_traps(name: str) -> dict[str, Any]:
    """Traps in two shuffles with their chances by permutation, and what is left without them."""
    parts = weights()[name]
    found = [told(find_traps_of(parts, seed=seed, n_permutations=3, level=0.05, whole=True)) for seed in (0, 1)]
    if len(parts) > 1 or not hasattr(parts[0], "dtype") or parts[0].dtype == torch.bfloat16:
        return {"traps": found}
    return {"traps": found, "without": told(ww.remove_traps(parts[0], seed=2))}


def small_matrices() -> Iterator[np.ndarray]:
    """Of a few rows and columns: light and heavy entries, shifted, with a large element or row, rounded."""
    for seed in range(80):
        rng = np.random.default_rng([seed, 9])
        W = rng.standard_t(rng.choice([0.7, 1.1, 1.5, 2.2, 5.0, 50.0]), size=(rng.integers(7, 60), rng.integers(3, 25)))
        W += rng.choice([0.0, 0.0, 0.3, 1.0, 3.0]) * np.median(np.abs(W))
        if seed % 3 == 0:
            W.flat[rng.integers(W.size)] = 10 ** rng.uniform(0, 4)
        if seed % 5 == 0:
            W[rng.integers(W.shape[0])] *= 10 ** rng.uniform(0, 3)
        yield np.round(4 * W) if seed % 7 == 0 else W


def of_small_matrices() -> list[list[Any]]:
    """Of each what its traps are, their chances and their places, and what their removal moves."""
    found = []
    for seed, W in enumerate(small_matrices()):
        report = ww.find_traps(W, seed=seed, level=0.1, n_permutations=1 + 4 * (seed % 4 == 0))
        numbers = (report.lambda_max, report.edge, report.pvalue, report.pvalue_edge, report.pvalue_permutation)
        traps = [[one.carrier, one.pvalue, one.strength] for one in report.traps]
        places = [[*map(int, one.index), one.leverage, one.sigmas] for one in report.elements]
        moved = W - ww.remove_traps(W, report)
        told = [report.reason or report.edge_reason, *map(float, numbers), *traps, *places]
        found.append([*told, float(np.abs(moved).sum()), int(np.count_nonzero(moved))])
    return found


TRAPS = ("noise", "kernel", "heavy", "heavy elements", "shifted", "few sizes", "element", "loud rows", "small numbers",
         "quantised with an element", "kernel with traps", "very heavy", "wide noise", "zero", "small",
         "shift below heavy elements", "kernel with elements")  # fmt: skip

#: Layers whose parts print in different ways.
SHOWN = ("kernel", "loud rows", "loud columns", "very heavy", "gap", "collapsed", "one column", "orthogonal", "zero",
         "few in slices", "kernel with traps", "element")  # fmt: skip

LAWS: dict[str, Any] = {
    "Marchenko-Pastur": ww.laws.MarchenkoPastur(0.3, 2.0),
    "square": ww.laws.MarchenkoPastur(1.0),
    "inverse": ww.laws.InverseMarchenkoPastur(0.7),
    "power law": ww.laws.TruncatedPowerLaw(2.5, 0.2, 30.0),
    "rising power": ww.laws.TruncatedPowerLaw(-0.5, 1.0, 3.0),
    "Cauchy": ww.laws.FreeCauchy(1.0, 0.5),
    "Levy": ww.laws.LevyWigner(1.4),
    "Wishart": ww.laws.MultiplicativeWishart(0.5, 2.0),
    "uneven": ww.laws.UnevenNoise(lognormal_strengths(60, 0.5, 1), lognormal_strengths(40, 0.3, 2)),
    "uneven, wide": ww.laws.UnevenNoise(lognormal_strengths(30, 0.8, 3), np.ones(60)),
    "uneven, square": ww.laws.UnevenNoise(lognormal_strengths(50, 1.0, 4), lognormal_strengths(50, 1.0, 5)),
    "with dead lines": ww.laws.UnevenNoise(np.append(np.zeros(10), np.geomspace(0.01, 5, 40)), [0.0, 1.0, 1.0, 9.0]),
}


def of_law(name: str) -> dict[str, Any]:
    """Everything a law answers, at points inside, outside and beyond its limits."""
    law = LAWS[name]
    asked: dict[str, Callable[[], Any]] = {
        "support": lambda: list(law.support),
        "mean": lambda: law.mean,
        "moments": lambda: [law.moment(k) for k in range(4)],
        "cumulants": lambda: law.free_cumulants(4).tolist(),
        "cut": lambda: [law.erg_lambda_min, law.erg_fraction],
        "r_limit": lambda: law.r_limit,
        "scale": lambda: law.scale,
        "density": lambda: law.pdf(inside(law)).tolist(),
        "distribution": lambda: law.cdf(inside(law)).tolist(),
        "quantiles": lambda: law.quantile(LEVELS).tolist(),
        "r": lambda: [parts_of(law.r_transform(t)) for t in (0.01, 0.1, 0.3)],
        "integral": lambda: [parts_of(law.integrated_r(t)) for t in (0.01, 0.1, 0.3)],
        "saturated": lambda: [law.saturated_r(9.0), law.saturated_integrated_r(9.0)],
        "formal": lambda: [parts_of(law.formal_r(2.0)), law.formal_integrated_r(2.0)],
        "stieltjes": lambda: [parts_of(law.stieltjes(z)) for z in (0.7 + 0.2j, 50.0 + 1j)],
    }
    return {one: answer for one in asked if (answer := answered(asked[one])) is not None}


def answered(ask: Callable[[], Any]) -> Any:
    """None where the law has no such answer."""
    try:
        return ask()
    except (ww.InvalidInput, AttributeError):
        return None


def inside(law: Any) -> np.ndarray:
    lower, upper = (max(law.support[0], -5.0), min(law.support[1], 5.0))
    return lower + (upper - lower) * LEVELS


def parts_of(number: Any) -> list[float]:
    return [complex(number).real, complex(number).imag]


def others() -> dict[str, Any]:
    """What is asked of eigenvalues alone, and functions of a few numbers."""
    values = ensembles.pareto_eigenvalues(60, 2.2, seed=3)
    from setol_ww.spectrum.starts import median_hill, peak_alpha
    from setol_ww.theory import transforms
    from setol_ww.theory.laws import edge

    few = ww.Spectrum.pooled([Scaled(values[:12]), Scaled(values[12:24], 2)], (15, 12), 1e-16)
    return {
        "starts": [median_hill(values), median_hill(values, 3.0), peak_alpha(values), peak_alpha(1000 * values)],
        "weightwatcher": weightwatcher_row(ww.Spectrum.from_eigenvalues(values)),
        "weightwatcher, few": weightwatcher_row(ww.Spectrum.from_eigenvalues(values[:15])),
        "weightwatcher, pooled": weightwatcher_row(few),
        "transforms": [
            told(np.asarray(ask(np.array([1e-6, 0.1, 1.0, 30.0]), values)))
            for ask in (transforms.r_transform, transforms.integrated_r, transforms.r_derivative, transforms.blue)
        ],
        "cumulants": transforms.free_cumulants_of(values, 8).tolist(),
        "moments": transforms.moments(values, 5).tolist(),
        "edge": [
            [edge.edge(60, 40, 0.5, 1.0), edge.threshold(60, 40), edge.strength(300.0, 60, 40)],
            [edge.edge_pvalue(x, 60, 40, 0.5, 1.0) for x in (190.0, 230.0, 300.0)],
            [edge.quick_tracy_widom_sf(x) for x in (-6.0, -1.0, 0.5, 4.0, 11.0, 14.0, 60.0)],
            [edge.tracy_widom_sf(x) for x in (-6.0, -1.0, 0.5, 4.0)],
        ],
    }


CASES: dict[str, Callable[[], Any]] = {
    **{f"layer: {name}": lambda name=name: of_layer(name) for name in weights()},
    **{f"eigenvalues: {name}": lambda name=name: of_eigenvalues(name) for name in eigenvalues()},
    **{f"traps: {name}": lambda name=name: of_traps(name) for name in TRAPS},
    **{f"law: {name}": lambda name=name: of_law(name) for name in LAWS},
    "traps: small matrices": of_small_matrices,
    "others": others,
}


@cache
def kept() -> dict[str, Any]:
    """The file as it stands."""
    return json.loads(KEPT.read_text(encoding="utf-8"))


def flat(value: Any, at: str = "") -> dict[str, Any]:
    """Every number and word by its place."""
    if isinstance(value, dict):
        pairs = [(f"{at}.{name}", one) for name, one in value.items()]
    elif isinstance(value, list):
        pairs = [(f"{at}[{number}]", one) for number, one in enumerate(value)]
    else:
        return {at: value}
    return {place: one for name, part in pairs for place, one in flat(part, name).items()}


def rounded(value: Any) -> Any:
    """Eight digits are enough to see a change."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(one) for one in value]
    if isinstance(value, (bool, str)) or value is None:
        return value
    return float(f"{value:.8g}") if math.isfinite(value) else str(float(value))


def main() -> None:
    """Write all of them."""
    found = {name: rounded(ask()) for name, ask in CASES.items()}
    lines = json.dumps(found, indent=0, ensure_ascii=False)
    # Numbers of one list in one line.
    KEPT.write_text(re.sub(r"\[[^\[\]{}]*\]", lambda one: one[0].replace("\n", " "), lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
