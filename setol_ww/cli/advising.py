"""The command that advises: `recommend`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..advice.registry import MODULES, target_called
from ..core.errors import InvalidInput
from ..core.options import add_flags
from ..core.whole_file import written_whole
from ..results.export import export, refuse_unwritable
from .analyses import results_of
from .asking import PATH_HELP, add_answers, answer, command, one_path

RECOMMEND_EXAMPLE = """examples:
  setol-ww recommend llama.setol --target sparsity --set sparsity=0.7 --out ratios.csv
  setol-ww recommend model.safetensors --target unfreeze --set share=0.25 --out unfrozen.yaml
  setol-ww recommend model.safetensors --target truncate --set parameters=0.4 --out plan.yaml
  setol-ww truncate model.safetensors --plan plan.yaml --out small/ --factorised

targets and their options (--set NAME=VALUE):
{targets}
"""
ENDINGS = (".csv", ".json", ".yaml", ".yml")


def add_recommend(commands: Any) -> None:
    """`setol-ww recommend`."""
    summary = "what the spectra say to do: rates, decay, sparsity, ranks, layers to train"
    asked = command(commands, "recommend", summary, RECOMMEND_EXAMPLE.format(targets=_targets()), _recommend)
    asked.add_argument("paths", metavar="SOURCE_OR_RESULTS", nargs="*", help=f"{PATH_HELP}, or a .setol file")
    asked.add_argument("--target", required=True, choices=tuple(MODULES), help="what is to be decided")
    asked.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], dest="told", help="an option of the target, below"
    )
    asked.add_argument("--out", metavar="FILE", type=Path, help=".csv, .json, or .yaml in the form that its user reads")
    add_flags(asked, "layers", "device", "n_jobs", "layouts")
    add_answers(asked)


def _targets() -> str:
    lines = []
    for name in MODULES:
        target = target_called(name)
        lines += [f"  {name}: {target.summary}", *(f"    {key}={value}" for key, value in target.defaults.items())]
    return "\n".join(lines)


def _recommend(asked: argparse.Namespace) -> int:
    from ..advice.recommend import recommend

    path = one_path(asked)
    options = dict(_option(text) for text in asked.told)
    if asked.out is not None:
        refuse_unwritable("--out", asked.out, ENDINGS)
    target_called(asked.target).options(options)
    advice = recommend(results_of(path, asked), asked.target, **options)
    where = ""
    if asked.out is not None:
        _write(advice, asked.out)
        where = f"\n\nThe advice on {len(advice.rows)} layers is in {asked.out}."
    answer(asked, lambda colour: f"{advice}{where}", advice.to_dict)
    return 0


def _option(text: str) -> tuple[str, Any]:
    """A name and a value: what JSON reads, else the word as it stands."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise InvalidInput(f"--set {text} was asked; accepted is NAME=VALUE, for instance sparsity=0.7")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _write(advice: Any, path: Path) -> None:
    if path.suffix == ".csv":
        export(advice.table(), path)
    elif path.suffix == ".json":
        with written_whole(path) as part:
            part.write_text(advice.to_json() + "\n", encoding="utf-8")
    else:
        advice.to_yaml(path)
