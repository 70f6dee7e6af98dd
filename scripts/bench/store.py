"""Size of a results file and the time to ask it again, for the layers of a 7B model.

Claim      At most 14 bytes for each eigenvalue, everything in the file; a table of a reopened file takes under 2 % of
           the time of the eigenvalues.
Command    python scripts/bench/store.py [--layers 226] [--side 4096]
Run time   about a minute; the spectra are drawn, not decomposed, but for one.
Output     one line.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import setol_ww as ww
from setol_ww.core.options import Options
from setol_ww.results.findings import with_cells
from setol_ww.results.record import LayerRecord, settings_of
from setol_ww.results.results import Results


def record(position: int, side: int, rng: np.random.Generator) -> LayerRecord:
    """A layer of a plausible spectrum: a bulk and a heavy tail."""
    raw = np.sort(rng.pareto(2.5, side) + rng.normal(1, 0.1, side) ** 2)
    name = f"model.layers.{position}.self_attn.q_proj"
    identity = {
        **{"longname": name, "slice": "", "layer_type": "dense", "N": side, "M": side, "Q": 1.0, "rf": 1},
        **{"num_evals": side, "dtype": "bfloat16", "tensor": f"{name}.weight", "layer_id": position},
        **{"shape": f"{side} x {side}", "n_params": side * side},
    }
    plain = LayerRecord(position, identity, seconds=1.25, spectrum=ww.Spectrum(raw, side, side, 1, 1e-7))
    return with_cells(plain, settings_of(Options()))


def timed(task) -> tuple[float, object]:
    """Seconds and the answer."""
    started = time.perf_counter()
    answer = task()
    return time.perf_counter() - started, answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=226)
    parser.add_argument("--side", type=int, default=4096)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    one, _ = timed(lambda: ww.Spectrum.from_matrix(rng.normal(size=(args.side, args.side)).astype(np.float32)))
    results = Results.from_records([record(i, args.side, rng) for i in range(args.layers)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.setol"
        saving, _ = timed(lambda: results.save(path))
        size = path.stat().st_size
        opening, again = timed(lambda: ww.open_results(path))
        kept, _ = timed(again.table)
        other, _ = timed(lambda: again.table(sigmas=2.0))
    run = one * args.layers
    share = 100 * (opening + kept) / run
    print(
        f"{args.layers} layers of {args.side}: {size / 1e6:.1f} MB, {size / args.layers / args.side:.2f} bytes an "
        f"eigenvalue; eigenvalues in {run:.0f} s, saved in {saving:.2f} s, opened in {opening:.2f} s, table in "
        f"{kept:.2f} s ({share:.3f} % of them), with other settings in {other:.2f} s ({100 * other / run:.2f} %)"
    )


if __name__ == "__main__":
    main()
