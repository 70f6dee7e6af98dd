"""Every `seed` that is taken: the same gives the same, another gives another draw, nothing else decides."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import inspect
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix, signed_pareto_matrix
from setol_ww.cli.main import main, parser
from setol_ww.traps.find import trap_row


def net() -> torch.nn.Module:
    """Two layers, one of them with an element that stands out of its noise."""
    torch.manual_seed(3)
    made = torch.nn.Sequential(torch.nn.Linear(60, 40), torch.nn.Linear(40, 50))
    with torch.no_grad():
        made[0].weight[5, 7] = 3.0
    return made


#: Noise in which the strict level of `spread` sees an outlier that no element and no shift carries.
NOISE = np.random.default_rng(23).normal(size=(60, 40))


def values(found: Any) -> Any:
    """What can be compared: bytes of arrays, text of tables and records."""
    if isinstance(found, torch.nn.Module):
        return [one.detach().numpy().tobytes() for one in found.parameters()]
    if isinstance(found, pd.DataFrame):
        return found.drop(columns=[name for name in found if "seconds" in name]).to_csv()
    if isinstance(found, np.ndarray):
        return found.tobytes()
    if dataclasses.is_dataclass(found):
        return repr(
            [(field.name, getattr(found, field.name)) for field in dataclasses.fields(found) if field.name != "seed"]
        )
    return found


def norm_of(model: torch.nn.Module) -> float:
    return float(sum((one**2).sum() for one in model.state_dict().values()))


def kept(folder: Path) -> str:
    np.savez(folder / "net.npz", first=signed_pareto_matrix(60, 40, 3.0, seed=0), second=NOISE)
    return str(folder / "net.npz")


def cut(seed: int, folder: Path) -> Any:
    out = folder / f"{seed}-{len(list(folder.iterdir()))}"
    ww.truncate_checkpoint(kept(folder), out, "random:7", seed=seed)
    return [path.read_bytes() for path in sorted(out.rglob("*.safetensors"))]


def in_truncated(seed: int, folder: Path) -> Any:
    model = net()
    with ww.truncated(model, "random:7", seed=seed):
        return values(model)


def watched(seed: int, folder: Path) -> Any:
    with ww.Monitor(net(), every=1, time_budget=None, background=False, randomize=True, seed=seed) as monitor:
        monitor.step(0)
    return monitor.history[["trap_pvalue", "trap_strength"]].to_csv()


def spread_taken_out(seed: int, folder: Path) -> Any:
    W = next(W for W in noises() if all(trapped(W, seed) for seed in (0, 1)))
    return ww.remove_traps(W, ww.find_traps(W, seed=seed, level=0.3))


def noises() -> Any:
    return (np.random.default_rng(number).normal(size=(40, 40)) for number in range(1000))


def trapped(W: Any, seed: int) -> bool:
    return any(trap.carrier == "spread" for trap in ww.find_traps(W, seed=seed, level=0.3).traps)


def unlike() -> list[Any]:
    return [signed_pareto_matrix(60, 60, mu, seed=0) for mu in (1.5, 2.0, 3.0, 5.0)]


def tower() -> dict[str, Any]:
    """A layer whose windows are unlike."""
    return {"fc.weight": np.concatenate(unlike())}


def detailed(**options: Any) -> Callable[[int, Path], Any]:
    return lambda seed, folder: ww.examine(net(), seed=seed, progress=False, **options).table()


def plugin(seed: int, folder: Path) -> Any:
    return ww.WeightWatcher(model=net()).analyze(randomize=True, seed=seed, progress=False)


def one_esd(seed: int, folder: Path) -> Any:
    return ww.WeightWatcher(model=net()).get_ESD(layer=1, random=True, seed=seed)


Draw = Callable[[int, Path], Any]

#: What takes a seed: a draw by that seed. A function or a method that is not here fails the test below.
DRAWS: dict[str, Draw] = {
    "find_traps": lambda seed, folder: ww.find_traps(NOISE, seed=seed),
    "find_traps permutations": lambda seed, folder: (
        ww.find_traps(NOISE, seed=seed, n_permutations=99).pvalue_permutation
    ),
    "remove_traps": lambda seed, folder: spread_taken_out(seed, folder),
    "fit_submatrices": lambda seed, folder: ww.fit_submatrices(unlike(), seed=seed),
    "fit_tail": lambda seed, folder: ww.fit_tail(
        ww.Spectrum.from_matrix(signed_pareto_matrix(90, 60, 3.0, seed=0)), uncertainty=20, seed=seed
    ),
    "scan": lambda seed, folder: ww.scan(kept(folder), randomize=True, seed=seed, progress=False),
    "truncate": lambda seed, folder: ww.truncate(net(), "random:7", seed=seed),
    "truncated": in_truncated,
    "truncate_checkpoint": cut,
    "evaluate_truncation": lambda seed, folder: ww.evaluate_truncation(net(), norm_of, ["random:7"], seed=seed),
    "truncation_curve": lambda seed, folder: ww.truncation_curve(net(), norm_of, fractions=[0.3], seed=seed),
    "trap_effect": lambda seed, folder: ww.trap_effect(net(), seed=seed).removals,
    "trap_effect inputs": lambda seed, folder: ww.trap_effect(net(), seed=seed, n_inputs=8, controls=1).removals[0].js,
    "trap_effect controls": lambda seed, folder: (
        ww.trap_effect(net(), torch.ones(8, 60), seed=seed, controls=3).removals[0].js_bulk
    ),
    "WeightWatcher.analyze": plugin,
    "WeightWatcher.get_ESD": one_esd,
    "Monitor": watched,
    "examine": detailed(randomize=True),
    "examine uncertainty": detailed(uncertainty=20),
    "analyze": lambda seed, folder: ww.analyze(net(), randomize=True, seed=seed, progress=False),
    "analyze_matrix": lambda seed, folder: repr(
        ww.analyze_matrix(signed_pareto_matrix(90, 60, 3.0, seed=0), ww.Settings(uncertainty=20, seed=seed)).intervals
    ),
    "examine windows": lambda seed, folder: ww.examine(tower(), farms=True, seed=seed, progress=False).table(),
    "analyze windows": lambda seed, folder: ww.analyze(tower(), farms=True, seed=seed, progress=False),
    "trap_row": lambda seed, folder: json.dumps(trap_row([NOISE], seed=seed)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_seed_alone_decides(name, tmp_path):
    one, again, other = (values(DRAWS[name](seed, tmp_path)) for seed in (0, 0, 1))
    assert one == again
    assert one != other


def seeded() -> set[str]:
    """Public functions and methods with a parameter `seed`; records only say which seed was used."""
    found = set()
    for name in ww.__all__:
        public = getattr(ww, name)
        if inspect.isclass(public):
            methods = inspect.getmembers(public, callable)
            found |= {f"{name}.{word}" for word, one in methods if not word.startswith("_") and takes_a_seed(one)}
        elif callable(public) and takes_a_seed(public):
            found.add(name)
    return found


def takes_a_seed(what: Any) -> bool:
    try:
        return "seed" in inspect.signature(what).parameters
    except (TypeError, ValueError):
        return False


def test_nothing_that_takes_a_seed_is_left_out():
    assert len(seeded()) >= 12
    assert seeded() <= set(DRAWS)


def said(*words: str) -> Callable[[int, Path], Any]:
    """What a command answers in JSON about the layers of a file, seeds and times apart."""

    def ask(seed: int, folder: Path) -> Any:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert main([word.replace("NET", kept(folder)) for word in words] + ["--seed", str(seed), "--json"]) == 0
        return re.sub(r'"(seconds|seed)": [^,}]*', "", out.getvalue().replace(str(folder), ""))

    return ask


def written(seed: int, folder: Path, *words: str) -> Any:
    """The table that a command writes."""
    out = folder / f"{seed}-{len(list(folder.iterdir()))}.csv"
    kept(folder)
    with contextlib.redirect_stdout(io.StringIO()):
        assert main([words[0], str(folder), *words[1:], "--out", str(out), "--seed", str(seed)]) == 0
    return values(ww.read_table(out))


def reported(seed: int, folder: Path) -> Any:
    page = folder / "page.html"
    assert main(["report", kept(folder), "--out", str(page), "--randomize", "--quiet", "--seed", str(seed)]) == 0
    return re.findall(r"trap_pvalue.{200}", page.read_text(encoding="utf-8"))


def truncated(seed: int, folder: Path) -> Any:
    out = folder / f"{seed}-{len(list(folder.iterdir()))}"
    words = ["truncate", kept(folder), "--rule", "random:7", "--out", str(out), "--quiet", "--seed", str(seed)]
    assert main(words) == 0
    return [path.read_bytes() for path in sorted(out.rglob("*.safetensors"))]


def asked_of_the_analysis(seed: int, folder: Path) -> Any:
    """A summary counts words, which most draws leave as they are: the seed that its analysis is given."""
    with mock.patch("setol_ww.watcher.examine", side_effect=ww.InvalidInput("seen")) as examine:
        assert main(["summary", kept(folder), "--randomize", "--seed", str(seed)]) == 2
    return examine.call_args.kwargs["seed"]


#: Commands that take `--seed`. One that is not here fails the test below.
COMMANDS: dict[str, Draw] = {
    "analyze": said("analyze", "NET", "--randomize"),
    "scan": lambda seed, folder: written(seed, folder, "scan", "--randomize"),
    "summary": asked_of_the_analysis,
    "report": reported,
    "compare": said("compare", "NET", "NET", "--uncertainty", "20"),
    "watch": lambda seed, folder: written(seed, folder, "watch", "--once", "--randomize"),
    "truncate": truncated,
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_seed_of_a_command_alone_decides(name, tmp_path):
    folders = [tmp_path / str(number) for number in range(3)]
    for folder in folders:
        folder.mkdir()
    one, again, other = (COMMANDS[name](seed, folder) for seed, folder in zip((0, 0, 1), folders))
    assert one == again
    assert one != other


def test_no_command_that_takes_a_seed_is_left_out():
    commands = next(one.choices for one in parser()._actions if isinstance(one, argparse._SubParsersAction))
    seeded = {name for name, one in commands.items() if any("--seed" in a.option_strings for a in one._actions)}
    # The seed of the spec is that of hypothesis; `test_conformance` has its test.
    assert seeded - {"spec"} == set(COMMANDS)


def test_permutations_of_noise_are_uniform_on_their_grid():
    """p of 9 permutations takes .1, .2, ... 1, each as often: 60 matrices of noise, error rate of the test 1e-3."""
    found = np.array(
        [
            ww.find_traps(gaussian_matrix(20, 12, 1000 + number), seed=number, n_permutations=9).pvalue_permutation
            for number in range(60)
        ]
    )
    steps = np.round(found * 10).astype(int)
    np.testing.assert_allclose(found, steps / 10, atol=1e-12)
    assert set(steps) == set(range(1, 11))
    assert stats.chisquare(np.bincount(steps)[1:]).pvalue > 1e-3


def test_replicas_of_one_call_are_not_one_shuffle():
    """Shuffles that are all the same put p at either end, in a third of the matrices here between."""
    found = [
        ww.find_traps(gaussian_matrix(20, 12, number), n_permutations=4).pvalue_permutation for number in range(20)
    ]
    between = [p for p in found if 0.2 < p < 1]
    assert len(between) >= 6


def test_the_level_decides_what_is_counted():
    """A level of .9 counts outliers in most noise, one of 1e-6 in none; a layer's row heeds it as a report does."""
    matrices = [gaussian_matrix(40, 30, number) for number in range(12)]
    counted = {level: [trap_row([W], level=level)["trap_count"] for W in matrices] for level in (1e-6, 0.9)}
    assert sum(counted[1e-6]) == 0
    assert sum(count > 0 for count in counted[0.9]) >= 8
    for level, counts in counted.items():
        assert counts == [ww.find_traps(W, level=level).count for W in matrices]
