"""What correlation traps do to the outputs of MLP3, trained and planted, beside directions of the bulk of their size.

Claim      A trap's effect on the function is to be held against that of a bulk direction of the same norm (after
           arXiv 2605.12394, which judges traps by the Jensen-Shannon divergence of the outputs).
Command    python scripts/trap_effect.py             every net
           python scripts/trap_effect.py --quick     three nets, 100 images, into a temporary folder
Run time   1 minute on one core.
Output     docs/figures/trap_effect/trap_effect.csv, and the table on the standard output

Trained: the nets that come with the package, MLP3 of scripts/mlp3.py at rate x1, x16 and x32, seed 0; without a trap
there is no row. Planted, as in scripts/correlation_trap.py, in FC1 of the net at x1: one element, or a shift of all,
of 2, 6 and 16 thresholds (M/N)^(1/4). `js` is on 1000 test images, `js_drawn` on normal inputs, `d_error` the test
error on all 10 000 images after removal minus before.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from correlation_trap import read
from mlp3 import Data, load_data

import setol_ww as ww

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "figures" / "trap_effect"
NETS = Path(ww.__file__).parent / "cli" / "demo_weights"
RATES, BASE = (1, 16, 32), 1
STRENGTHS = (2, 6, 16)
PLACE = (137, 300)
IMAGES = 1000


def weights_of(rate: int) -> dict[str, np.ndarray]:
    """A trained net."""
    return read(NETS / f"mlp3_lr{rate}_bs32_seed0.npz")[1]


def module(weights: dict[str, np.ndarray]) -> torch.nn.Sequential:
    """The net as a module."""
    net = torch.nn.Sequential()
    for number in (1, 2, 3):
        weight = torch.from_numpy(weights[f"fc{number}.weight"])
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            layer.weight.copy_(weight)
            layer.bias.copy_(torch.from_numpy(weights[f"fc{number}.bias"]))
        net.add_module(f"fc{number}", layer)
        if number < 3:
            net.add_module(f"relu{number}", torch.nn.ReLU())
    return net


def planted(weights: dict[str, np.ndarray], carrier: str, strength: float) -> dict[str, np.ndarray]:
    """A copy with a trap of so many thresholds in FC1."""
    W = weights["fc1.weight"].copy()
    N, M, sigma = max(W.shape), min(W.shape), W.std()
    theta = strength * (M / N) ** 0.25
    if carrier == "element":
        W[PLACE] = theta * math.sqrt(N) * sigma
    else:
        W += theta * sigma / math.sqrt(M)
    return {**weights, "fc1.weight": W}


def nets(quick: bool) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Every net by its name."""
    for rate in RATES[-1:] if quick else RATES:
        yield f"trained x{rate}", weights_of(rate)
    base = weights_of(BASE)
    for carrier in ("element", "mean shift"):
        for strength in STRENGTHS[-1:] if quick else STRENGTHS:
            yield f"planted {carrier} x{strength}", planted(base, carrier, strength)


def error(net: torch.nn.Module, data: Data) -> float:
    """Test error."""
    with torch.no_grad():
        return float(np.mean(net(torch.from_numpy(data.x_test)).argmax(1).numpy() != data.y_test))


def rows_of(name: str, weights: dict[str, np.ndarray], data: Data, images: int) -> Iterator[dict]:
    """A row for each trap of a net."""
    net = module(weights)
    base = error(net, data)
    on_data = ww.trap_effect(net, torch.from_numpy(data.x_test[:images]))
    on_drawn = ww.trap_effect(net)
    for one, drawn in zip(on_data.removals, on_drawn.removals, strict=True):
        told = {"net": name, **{key: getattr(one, key) for key in on_data.table().columns}}
        told |= {"js_drawn": drawn.js, "js_drawn_bulk": drawn.js_bulk, "error": base, "d_error": math.nan}
        if one.carrier in ("all", "mean shift", "spread") or len(on_data.removals) == 1:
            layer = net.get_submodule(one.layer)
            cleaned = module(weights)
            with torch.no_grad():
                cleaned.get_submodule(one.layer).weight.copy_(ww.remove_traps(layer.weight))
            told["d_error"] = error(cleaned, data) - base
        yield told


def main() -> None:
    """All nets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three nets, 100 images, into a temporary folder")
    asked = parser.parse_args()
    data = load_data()
    images = 100 if asked.quick else IMAGES
    rows = [row for name, weights in nets(asked.quick) for row in rows_of(name, weights, data, images)]
    folder = Path(tempfile.mkdtemp()) if asked.quick else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(rows)
    frame.to_csv(folder / "trap_effect.csv", index=False, float_format="%.4g")
    print(frame.to_string(index=False))


if __name__ == "__main__":
    main()
