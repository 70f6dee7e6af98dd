"""A scan killed at random moments and resumed, against a scan in one go.

Claim      After every SIGKILL the results open and hold finished rows, each once and right; resumed, the table equals
           that of one go, byte for byte in every numeric column.
Command    python scripts/kill_and_resume.py [--kills 50] [--fresh] [--jobs 1] [--seed 0]
Run time   about 15 s for 50 kills; with --fresh (a new interpreter every time) 3 minutes.
Output     one line; exit status 1 and the difference when the claim fails.

Kills come at any moment of a run: while the store is made, a row is written, the table is exported, the store removed.
A run that ends before its kill is checked, and the next one begins from nothing.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

import setol_ww as ww
from setol_ww.results.results import Results
from setol_ww.results.store import Store, store_path

LAYERS = 60
SIZES = (40, 160)
CHILD = "import sys, setol_ww as ww; ww.scan(sys.argv[1], sys.argv[2], n_jobs=int(sys.argv[3]), progress=False)"


def make_checkpoint(folder: Path) -> Path:
    """Sixty layers of mixed types and sizes, a few of them not to be analysed."""
    generator = torch.Generator().manual_seed(0)
    rng = np.random.default_rng(0)
    dtypes = (torch.float32, torch.bfloat16, torch.float16)
    tensors = {}
    for number in range(LAYERS):
        shape = tuple(int(side) for side in rng.integers(*SIZES, size=2))
        weight = torch.randn(shape, generator=generator) ** 3 / 30
        tensors[f"layers.{number}.weight"] = weight.to(dtypes[number % 3])
    tensors["experts.up"] = torch.randn(6, 80, 50, generator=generator)
    tensors["conv.weight"] = torch.randn(32, 16, 3, 3, generator=generator)
    tensors["nan.weight"] = torch.full((30, 30), float("nan"))
    tensors["zero.weight"] = torch.zeros(30, 30)
    tensors["packed.weight"] = torch.ones(30, 30, dtype=torch.int8)
    path = folder / "model.safetensors"
    save_file(tensors, path)
    return path


def differences(one: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    """Columns that differ: numbers byte for byte, words as words."""
    if list(one) != list(other) or len(one) != len(other):
        return [f"{one.shape} and {other.shape}"]
    found = []
    for name in one:
        mine, yours = one[name], other[name]
        if pd.api.types.is_numeric_dtype(mine):
            same = mine.dtype == yours.dtype and mine.to_numpy().tobytes() == yours.to_numpy().tobytes()
        else:
            same = mine.fillna("?").tolist() == yours.fillna("?").tolist()
        if not same:
            found.append(name)
    return found


def begin(path: Path, out: Path, jobs: int, fresh: bool) -> int:
    """A scan in a process of its own; its id. Forked, so that a run costs no import, unless it is to be fresh."""
    if fresh:
        return subprocess.Popen([sys.executable, "-c", CHILD, str(path), str(out), str(jobs)]).pid
    pid = os.fork()
    if pid == 0:
        ww.scan(path, out, n_jobs=jobs, progress=False)
        os._exit(0)
    return pid


def check_left(out: Path, reference: pd.DataFrame) -> int:
    """What a killed run has left: rows of the reference; how many."""
    if out.exists():
        assert not differences(pd.read_parquet(out), reference), "a table that is not whole"
    if not store_path(out).exists():
        return 0
    try:
        store = Store.read(store_path(out))
    except ww.InvalidInput as error:
        if "holds none" not in str(error):
            raise
        return 0
    with store:
        results = Results.of_store(store)
    left = results.table()
    assert list(left) == list(reference)
    for row, record in enumerate(results.records):
        for name in left:
            mine, yours = left[name].iloc[row], reference[name].iloc[record.position]
            assert mine == yours or (pd.isna(mine) and pd.isna(yours)), (record.position, name, mine, yours)
    return len(left)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--fresh", action="store_true", help="a new interpreter for every run")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "results").mkdir()
        path, out = make_checkpoint(folder), folder / "results" / "layers.parquet"
        started = time.perf_counter()
        os.waitpid(begin(path, out, args.jobs, args.fresh), 0)
        whole = time.perf_counter() - started
        reference = pd.read_parquet(out)
        assert not differences(ww.scan(path), reference)
        out.unlink()
        kills = ends = 0
        left: list[int] = []
        while kills < args.kills:
            pid = begin(path, out, args.jobs, args.fresh)
            # Mostly early, so that many a kill meets one table; sometimes long enough to meet its export.
            longest = 1.2 if args.fresh else rng.choice([0.2, 1.2], p=[0.8, 0.2])
            time.sleep(rng.uniform(0, whole * longest))
            os.kill(pid, signal.SIGKILL)
            if os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
                kills += 1
                left.append(check_left(out, reference))
                continue
            ends += 1
            assert not differences(pd.read_parquet(out), reference), "a run that was left to end"
            out.unlink()
        resumed = ww.scan(path, out, progress=False)
        wrong = differences(resumed, reference) + differences(pd.read_parquet(out), reference)
        files = sorted(file.name for file in (folder / "results").iterdir())
    print(
        f"{kills} kills of a scan of {len(reference)} rows ({whole:.2f} s in one go), {ends} runs ended before theirs; "
        f"rows left at the kills: {min(left)} to {max(left)}, {len(set(left))} different numbers; "
        f"columns that differ: {wrong or 'none'}; files at the end: {files}"
    )
    return int(bool(wrong) or files != ["layers.parquet"])


if __name__ == "__main__":
    sys.exit(main())
