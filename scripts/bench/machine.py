"""What a bench has to say of the machine it ran on, and small tools that benches share."""

from __future__ import annotations

import csv
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).resolve().parents[2] / "docs" / "figures" / "bench"


def facts() -> dict[str, str]:
    """Processor, cores, memory, BLAS and versions of this machine."""
    import numpy
    import scipy
    import threadpoolctl
    import torch
    import weightwatcher

    blas = {f"{lib['internal_api']} {lib['version']} ({lib['num_threads']} thread)" for lib in _blas(threadpoolctl)}
    return {
        "processor": _from("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": str(os.cpu_count()),
        "memory": _from("/proc/meminfo", "MemTotal"),
        "blas": ", ".join(sorted(blas)),
        "load": " ".join(f"{value:.1f}" for value in os.getloadavg()),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "torch": torch.__version__,
        "weightwatcher": weightwatcher.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def _blas(threadpoolctl: Any) -> list[dict]:
    return [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]


def _from(path: str, key: str) -> str:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "")


def keep(name: str, rows: Sequence[dict[str, Any]], out: Path) -> Path:
    """Write rows as `name.csv` and the machine as `name.json` into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}.csv"
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (out / f"{name}.json").write_text(json.dumps(facts(), indent=1) + "\n", encoding="utf-8")
    return path


def cpu_seconds(run: Callable[[], Any]) -> float:
    """CPU time of this process for one call."""
    started = time.process_time()
    run()
    return time.process_time() - started


def wall_seconds(run: Callable[[], Any]) -> float:
    """Time on the wall for one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


class PeakMemory:
    """Largest resident set while the body runs, sampled every 2 ms; `grown` is what came on top of the start."""

    def __enter__(self) -> PeakMemory:
        self.start = self.peak = resident()
        self.running = True
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while self.running:
            self.peak = max(self.peak, resident())
            time.sleep(0.002)

    def __exit__(self, *_: object) -> None:
        self.running = False
        self.thread.join()

    @property
    def grown(self) -> int:
        """Bytes beyond the resident set at the start."""
        return self.peak - self.start


def resident() -> int:
    """Resident bytes of this process (Linux)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
