"""Copy the three demonstration nets from the cache of `scripts/mlp3.py` into the package.

Claim      The nets that `setol-ww demo` reads are those of `scripts/mlp3.py`, seed 0, batch size 32.
Command    python scripts/mlp3.py --lr-scale 1 16 32 --seeds 0 --cache DIR && python scripts/make_demo_weights.py DIR
Run time   about five minutes of training on one core, then a second.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "setol_ww" / "demo_weights"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    cache = parser.parse_args().cache
    TARGET.mkdir(exist_ok=True)
    for rate in (1, 16, 32):
        name = f"mlp3_lr{rate}_bs32_seed0.npz"
        shutil.copyfile(cache / name, TARGET / name)


if __name__ == "__main__":
    main()
