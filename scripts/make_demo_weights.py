"""Copy the three demonstration nets, without their histories, from the cache of `scripts/mlp3.py` into the package.

Claim      The nets that `setol-ww demo` reads are those of `scripts/mlp3.py`, seed 0, batch size 32.
Command    python scripts/mlp3.py --lr-scale 1 16 32 --seeds 0 --cache DIR && python scripts/make_demo_weights.py DIR
Run time   about five minutes of training on one core, then a second.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

TARGET = Path(__file__).resolve().parents[1] / "setol_ww" / "cli" / "demo_weights"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    cache = parser.parse_args().cache
    TARGET.mkdir(exist_ok=True)
    for rate in (1, 16, 32):
        name = f"mlp3_lr{rate}_bs32_seed0.npz"
        with np.load(cache / name) as net:
            kept = {key: net[key] for key in net.files if not key.startswith("history.")}
        np.savez_compressed(TARGET / name, **kept)


if __name__ == "__main__":
    main()
