"""A sharded bfloat16 checkpoint of the shapes of a 7B model: how fast `scan` goes through it, in what memory, and how
far more workers help.

Claim      A scan holds one tensor and its Gram matrices per worker whatever the checkpoint's size; time goes with the
           cube of the width, and in proportion to one over the workers as long as each has a core.
Command    python scripts/bench/scale.py [--hidden 4096 --ffn 11008 --kv 4096 --vocabulary 32000 --blocks 32]
                                         [--workers 1 2] [--folder DIR] [--name scale] [--out docs/figures/bench]
Run time   with the defaults (one block of the full width, 0.9 GB on disk) about 2 minutes on two quiet cores;
           `--blocks 32` is the whole 7B model: 13.5 GB, 20 minutes with one worker, 10 with two.
Output     scale.csv (a line for each number of workers and each extrapolation), scale.json (the machine).

Resident memory is sampled over the calling process and its workers. `rss_holder_mib` is what the calling process grows
by, or with several workers the whole of the largest one, of which Python and torch are about 250. CPU seconds are of
all of them, so that a busy machine changes them little; wall seconds and the speed-up are of a quiet one or nothing.
The extrapolation multiplies the work units of `setol_ww.cost` (N M^2 + 2.5 M^3 for each matrix) with the rate measured
here: it assumes that the rate of the widest layers measured holds for wider ones, and that every worker has a core and
the memory it needs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
from machine import FIGURES, keep
from safetensors.torch import save_file

import setol_ww as ww
from setol_ww.scanning.cost import cost, in_words
from setol_ww.scanning.jobs import cost_of, jobs_of

PAGE = os.sysconf("SC_PAGE_SIZE")
# hidden, ffn, key and value width, vocabulary, blocks
MODELS = {
    "7B (Llama 2)": (4096, 11008, 4096, 32000, 32),
    "70B (Llama 2)": (8192, 28672, 1024, 32000, 80),
    "405B (Llama 3.1)": (16384, 53248, 1024, 128256, 126),
}


def shapes(hidden: int, ffn: int, kv: int, vocabulary: int, blocks: int) -> dict[str, tuple[int, int]]:
    """Names and shapes of a Llama-like model, as hubs call them."""
    found = {"model.embed_tokens.weight": (vocabulary, hidden), "lm_head.weight": (vocabulary, hidden)}
    for block in range(blocks):
        at = f"model.layers.{block}"
        for name, rows in (("q", hidden), ("k", kv), ("v", kv), ("o", hidden)):
            found[f"{at}.self_attn.{name}_proj.weight"] = (rows, hidden)
        for name in ("gate", "up"):
            found[f"{at}.mlp.{name}_proj.weight"] = (ffn, hidden)
        found[f"{at}.mlp.down_proj.weight"] = (hidden, ffn)
    return found


def generate(folder: Path, wanted: dict[str, tuple[int, int]], device: str = "cpu") -> int:
    """A shard for each block and one for the rest, with an index, drawn on a device; bytes written."""
    groups: dict[str, list[str]] = {}
    for name in wanted:
        groups.setdefault(".".join(name.split(".")[:3]) if "layers" in name else "rest", []).append(name)
    index, size = {}, 0
    for number, names in enumerate(groups.values(), start=1):
        generator = torch.Generator(device).manual_seed(number)
        file = f"model-{number:05d}-of-{len(groups):05d}.safetensors"
        tensors = {
            name: (torch.randn(wanted[name], generator=generator, device=device) * 0.02).bfloat16().cpu()
            for name in names
        }
        save_file(tensors, folder / file)
        index |= dict.fromkeys(names, file)
        size += (folder / file).stat().st_size
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return size


class Watch:
    """Largest resident set of this process and of any one of its workers, and CPU seconds of all, every 20 ms."""

    def __enter__(self) -> Watch:
        self.own = self.worker = self.together = 0
        self.first: dict[int, int] = {}
        self.cpu: dict[int, float] = {}
        self.base = _cpu(os.getpid())
        self.running = True
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while self.running:
            pids = [os.getpid(), *_workers(os.getpid())]
            sizes = {pid: _resident(pid) for pid in pids}
            for pid in pids:
                self.cpu[pid] = max(self.cpu.get(pid, 0.0), _cpu(pid))
            self.own = max(self.own, sizes[pids[0]])
            self.worker = max([self.worker, *(sizes[pid] for pid in pids[1:])])
            self.together = max(self.together, sum(sizes.values()))
            time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        self.running = False
        self.thread.join()

    @property
    def seconds(self) -> float:
        """CPU seconds of this process and its workers."""
        return sum(self.cpu.values()) - self.base


def _workers(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(child) for child in text.split()]


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(path: Path, workers: int, units: float) -> dict[str, Any]:
    """One scan."""
    before = _resident(os.getpid())
    out = path.parent / f"{path.name}.setol"
    with Watch() as watch:
        started = time.perf_counter()
        frame = ww.scan(path, out, resume=False, n_jobs=workers)
        wall = time.perf_counter() - started
    assert (frame["status"] == "analyzed").all(), frame[["longname", "reason"]]
    layer_seconds = float(sum(ww.open_results(out).seconds))
    side = float(frame["M"].max())
    holder = watch.worker if workers > 1 else watch.own - before
    return {
        "what": "measured",
        "workers": workers,
        "layers": len(frame),
        "work_units": units,
        "wall_s": round(wall, 1),
        "cpu_s": round(watch.seconds, 1),
        "layer_s": round(layer_seconds, 1),
        "layers_per_minute": round(60 * len(frame) / wall, 2),
        "layers_per_cpu_minute": round(60 * len(frame) / watch.seconds, 2),
        "rss_holder_mib": round(holder / 2**20),
        "rss_together_mib": round(watch.together / 2**20),
        "largest_tensor_mib": round(float((frame["N"] * frame["M"]).max()) * 2 / 2**20),
        "gram_mib": round(8 * side * side / 2**20),
        "checksum": repr(float(frame["norm"].sum() + frame["alpha"].sum())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=4096)
    parser.add_argument("--ffn", type=int, default=11008)
    parser.add_argument("--kv", type=int, help="width of keys and values, by default that of the model")
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--folder", type=Path, help="keep the checkpoint here, and use the one that is there")
    parser.add_argument("--name", default="scale", help="of the files written")
    parser.add_argument("--out", type=Path, default=FIGURES)
    args = parser.parse_args()
    torch.set_num_threads(1)
    wanted = shapes(args.hidden, args.ffn, args.kv or args.hidden, args.vocabulary, args.blocks)
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch) / "model"
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "model.safetensors.index.json").exists():
            print(f"written: {generate(folder, wanted) / 1e9:.2f} GB in {args.blocks + 1} shards")
        units = sum(cost_of(job) for job in jobs_of(folder))
        save_file({"warm.weight": torch.randn(60, 40)}, Path(scratch) / "warm.safetensors")
        ww.scan(Path(scratch) / "warm.safetensors")
        rows: list[dict[str, Any]] = []
        for workers in args.workers:
            rows.append(measure(folder, workers, units))
            print(rows[-1])
    assert len({row["checksum"] for row in rows}) == 1, "the numbers depend on the workers"
    first = rows[0]
    for row in rows:
        row["speedup_wall"] = round(first["wall_s"] / row["wall_s"], 2)
    rate = first["cpu_s"] / units
    for name, model in MODELS.items():
        every = shapes(*model).values()
        seconds = sum(cost(*shape) for shape in every) * rate
        rows.append({"what": f"extrapolated to {name}", "workers": 1, "layers": len(every), "cpu_s": round(seconds)})
        print(f"{name}: {len(every)} layers, {in_words(seconds)} on one core at this rate")
    print(keep(args.name, rows, args.out))


if __name__ == "__main__":
    main()
