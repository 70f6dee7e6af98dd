"""The eigenvalues of FC1 and FC2 of the final MLP3 nets, all layers trained: what Figures 15, 16 and 21 stand on.

Claim      With this file and the package the columns of those figures follow without the nets.
Command    python scripts/make_mlp3_spectra.py   (nets of mlp3.py first)
Run time   some seconds
Output     fixtures/mlp3_final_spectra.npz: `name` (of each net), `fc1` (nets x 300) and `fc2` (nets x 100), float64
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from mlp3_cache import CACHE, KNOBS, nets

OUTPUT = Path(__file__).resolve().parents[1] / "fixtures" / "mlp3_final_spectra.npz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=CACHE)
    args = parser.parse_args()
    found = {net.path.stem: net for knob in KNOBS for _, net in nets(knob, cache=args.cache)}
    spectra = {
        layer: np.array([net.history[f"{layer}_spectrum"][-1] for net in found.values()]) for layer in ("fc1", "fc2")
    }
    np.savez_compressed(OUTPUT, name=np.array(list(found)), **spectra)
    print(f"{OUTPUT}: {len(found)} nets, {OUTPUT.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
