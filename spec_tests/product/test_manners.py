"""Chapter 9: a quiet guest. Each claim is checked in a process of its own, with warnings as errors."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from tqdm import tqdm

import setol_ww as ww

PROLOGUE = """
import logging, os, random, sys, warnings
import numpy as np
"""

SNAPSHOT = """
def snapshot():
    import matplotlib, torch
    root = logging.getLogger()
    return {
        "handlers": list(root.handlers), "level": root.level,
        "levels": {n: logging.getLogger(n).level for n in ("weightwatcher", "matplotlib", "setol_ww", "powerlaw")},
        "child handlers": {n: list(logging.getLogger(n).handlers) for n in ("weightwatcher", "setol_ww")},
        "filters": list(warnings.filters), "filters object": id(warnings.filters),
        "numpy": str(np.random.get_state()), "torch": torch.get_rng_state().tolist(), "python": random.getstate(),
        "backend": dict.get(matplotlib.rcParams, "backend"), "rc": dict(matplotlib.rcParams.copy()),
        "figures": sys.modules["matplotlib.pyplot"].get_fignums() if "matplotlib.pyplot" in sys.modules else [],
        "cwd": os.getcwd(), "files": sorted(os.listdir(".")), "environment": dict(os.environ),
        "threads": torch.get_num_threads(), "errstate": np.geterr(), "stdout": id(sys.stdout),
        "default dtype": torch.get_default_dtype(), "grad": torch.is_grad_enabled(),
        "showwarning": id(warnings.showwarning),
    }

def compare(before):
    after = snapshot()
    for key in before:
        assert after[key] == before[key], (key, before[key], after[key])
"""


def run(body: str, cwd) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", PROLOGUE + SNAPSHOT + body],
        cwd=cwd,
        text=True,
        capture_output=True,
        timeout=300,
    )


def check(body: str, cwd, stdout: str = "") -> None:
    done = run(body, cwd)
    assert done.returncode == 0, done.stderr
    assert done.stdout == stdout
    assert done.stderr == ""


def test_import_loads_nothing_heavy_and_changes_nothing(tmp_path):
    check(
        """
before = (list(logging.getLogger().handlers), logging.getLogger().level, list(warnings.filters))
import setol_ww
for name in ("torch", "weightwatcher", "matplotlib", "pandas", "sklearn"):
    assert name not in sys.modules, name
setol_ww.Spectrum, setol_ww.erg_cut, setol_ww.fit_tail, setol_ww.analyze_matrix
result = setol_ww.analyze_matrix(np.random.default_rng(0).normal(size=(50, 30)))
for name in ("torch", "weightwatcher", "matplotlib", "pandas", "sklearn"):
    assert name not in sys.modules, name
assert before == (list(logging.getLogger().handlers), logging.getLogger().level, list(warnings.filters))
""",
        tmp_path,
    )


def test_no_module_loads_what_it_may_do_without(tmp_path):
    """Only the adapters of a trainer, the room of WeightWatcher and the modules in factors are of those libraries."""
    check(
        f"sys.path.insert(0, {str(Path(ww.__file__).parents[1])!r})"
        """
import importlib, pathlib
import setol_ww
root = pathlib.Path(setol_ww.__file__).parent
own = ("monitor/hf", "monitor/lightning", "monitor/tensorboard", "truncation/factors", "watcher/", "suite/")
for path in sorted(root.rglob("*.py")):
    name = path.relative_to(root).with_suffix("").as_posix()
    if not name.startswith(own):
        importlib.import_module(".".join(["setol_ww", *name.split("/")]).removesuffix(".__init__"))
for name in ("torch", "weightwatcher", "matplotlib", "sklearn", "transformers"):
    assert name not in sys.modules, name
""",
        tmp_path,
    )


ANALYSE = """
import matplotlib, torch
torch.manual_seed(3)
model = torch.nn.Sequential(torch.nn.Linear(60, 40), torch.nn.Conv2d(8, 8, 3), torch.nn.LSTM(16, 16),
                            torch.nn.Linear(40, 10), torch.nn.Linear(30, 30), torch.nn.Embedding(70, 30)).half()
model[4].weight.data.fill_(float("nan"))
model[0].weight.requires_grad_(False)
model[3].train(False)
attributes = [sorted(vars(module)) for module in model.modules()]
bits = {name: tensor.view(torch.int16).clone() for name, tensor in model.state_dict().items()}
flags = [(p.requires_grad, p.dtype, p.data_ptr(), p._version) for p in model.parameters()]
training = [module.training for module in model.modules()]
random.seed(5); np.random.seed(6)
"""

AFTER = """
assert attributes == [sorted(vars(module)) for module in model.modules()]
assert all(torch.equal(bits[name], tensor.view(torch.int16)) for name, tensor in model.state_dict().items())
assert flags == [(p.requires_grad, p.dtype, p.data_ptr(), p._version) for p in model.parameters()]
assert training == [module.training for module in model.modules()]
"""


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_analysis_leaves_the_host_as_it_was(tmp_path, engine):
    check(
        ANALYSE
        + f"""
before = snapshot()
import setol_ww as ww
frame = ww.analyze(model, randomize=True, mp_fit=True, vectors=True, engine="{engine}")
assert len(frame) > 10
ww.WeightWatcher(model).get_summary(frame)
compare(before)
"""
        + AFTER,
        tmp_path,
    )


def test_a_scan_leaves_the_host_as_it_was(tmp_path):
    """With two workers, and neither weightwatcher nor matplotlib loaded by it."""
    check(
        ANALYSE
        + """
import pandas, safetensors.torch
safetensors.torch.save_file({name: tensor.clone() for name, tensor in model.state_dict().items()}, "m.safetensors")
before = snapshot()
import setol_ww as ww
frame = ww.scan("m.safetensors", "layers.csv", n_jobs=2)
assert len(frame) > 10 and set(frame["status"]) == {"analyzed", "failed"}
assert "weightwatcher" not in sys.modules
before["files"] += ["layers.csv"]
before["files"].sort()
compare(before)
os.remove("layers.csv"), os.remove("m.safetensors")
"""
        + AFTER,
        tmp_path,
    )


def test_a_host_with_its_own_logging_keeps_it(tmp_path):
    check(
        ANALYSE
        + """
import io
heard = io.StringIO()
logging.basicConfig(level=logging.DEBUG, stream=heard)
logging.getLogger("weightwatcher").setLevel(logging.ERROR)
logging.getLogger("matplotlib").setLevel(logging.ERROR)
warnings.simplefilter("error")
before = snapshot()
import setol_ww as ww
ww.analyze(model)
compare(before)
assert "weightwatcher" not in heard.getvalue()
assert "1 NaN" not in heard.getvalue() and "900 NaN" in heard.getvalue()
"""
        + AFTER,
        tmp_path,
    )


def test_plots_leave_no_figures_and_only_the_files_asked_for(tmp_path):
    check(
        ANALYSE
        + """
matplotlib.use("Agg")
import matplotlib.pyplot as plt
own = plt.figure()
before = snapshot()
import setol_ww as ww
warnings.filterwarnings("default")
before["filters"] = list(warnings.filters)
ww.analyze(model, plot=True, savefig="pictures", layers=[1])
before["files"] = ["pictures"]
compare(before)
assert os.listdir("pictures") and plt.get_fignums() == [own.number]
""",
        tmp_path,
    )


def test_a_failing_analysis_puts_everything_back_too(tmp_path):
    check(
        ANALYSE
        + """
import setol_ww as ww
from setol_ww.watcher import together
before = snapshot()
def broken(matrix):
    raise KeyboardInterrupt
together.eigenvalues = broken
try:
    ww.analyze(model)
except KeyboardInterrupt:
    compare(before)
else:
    raise SystemExit("the interrupt was swallowed")
"""
        + AFTER,
        tmp_path,
    )


def test_weightwatcher_itself_is_no_quiet_guest(tmp_path):
    """What the checks above would see if the import were left to itself."""
    done = run(
        """
before = list(logging.getLogger().handlers), list(warnings.filters)
warnings.simplefilter("ignore")
import weightwatcher
assert logging.getLogger().handlers != before[0]
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "CUDA is not" in done.stderr


def test_same_input_same_bytes():
    import numpy as np
    import torch

    import setol_ww as ww

    torch.manual_seed(0)
    model = torch.nn.Linear(90, 70)
    first = ww.analyze(model, randomize=True, seed=4)
    np.random.random(17)
    second = ww.analyze(model, randomize=True, seed=4)
    assert first.to_json() == second.to_json()
    other = ww.analyze(model, randomize=True, seed=5)
    assert other["max_rand_eval"].iloc[0] != first["max_rand_eval"].iloc[0]
    assert other["alpha"].iloc[0] == first["alpha"].iloc[0]


def unruly(*_, **__):
    """What an import may do to its host."""
    warnings.simplefilter("ignore")


def test_what_an_import_does_to_the_filters_is_put_back(monkeypatch):
    import setol_ww.core.upstairs as stairs
    import setol_ww.monitor.live as live

    before = list(warnings.filters)
    monkeypatch.setattr(stairs, "import_module", unruly)
    stairs.upstairs("views.text")
    assert warnings.filters == before
    monkeypatch.setattr(live, "warm_up", unruly)
    ww.Monitor(torch.nn.Linear(9, 8))
    assert warnings.filters == before
    monkeypatch.setattr(ww, "import_module", unruly)
    ww._loaded("not.loaded")
    assert warnings.filters == before


def test_where_nothing_is_loaded_nothing_is_put_back(monkeypatch):
    """Another thread of the host may change them meanwhile."""
    with warnings.catch_warnings():
        monkeypatch.setattr(ww, "import_module", unruly)
        ww._loaded("core")
        assert warnings.filters[0][0] == "ignore"


def test_a_comparison_leaves_no_thread_that_watches_over_bars(monkeypatch):
    monkeypatch.setattr(tqdm, "monitor", None)
    rng = np.random.default_rng(0)
    ww.compare({"a.weight": rng.normal(size=(30, 20))}, {"a.weight": rng.normal(size=(30, 20))})
    assert tqdm.monitor is None
