"""The command `compare`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..core.card import card_text
from ..core.errors import InvalidInput
from ..core.options import add_flags, from_flags, names
from ..results.export import WRITERS, export, refuse_unwritable
from .analyses import ANALYSIS
from .asking import PATH_HELP, add_answers, answer, command, paths_of, say

COMPARE_EXAMPLE = """examples:
  setol-ww compare llama/ llama-tuned/
  setol-ww compare base.safetensors tuned.safetensors --out changes.csv --uncertainty 200
  setol-ww compare llama/ adapter/                         # a PEFT adapter as the update of its base
  setol-ww compare adapter/                                # the update by itself
  setol-ww compare before.setol after.setol --json         # kept results: no weights, no update
  setol-ww compare run/step-1/ run/step-2/ run/step-3/ --out run.csv     # each with the first
  setol-ww compare base/ tuned/ --fail-on "beyond>0"       # exit status 3
"""
BROKEN_RULE = 3


def add_compare(commands: Any) -> None:
    """`setol-ww compare`."""
    asked = command(commands, "compare", "what changed between two models, layer by layer", COMPARE_EXAMPLE, _compare)
    asked.add_argument(
        "paths",
        metavar="BASE TUNED",
        nargs="*",
        help=f"{PATH_HELP}, an adapter, a .setol file; more than two: a run",
    )
    asked.add_argument("--out", metavar="FILE", type=Path, help=f"the table: {', '.join(WRITERS)}")
    asked.add_argument(
        "--no-update", action="store_true", help="do not decompose tuned - base: a third to a sixth of the time"
    )
    asked.add_argument(
        "--fail-on",
        metavar="RULE",
        action="append",
        default=[],
        help="exit with status 3 when it holds: beyond, state changed, class changed, flags added, unmatched or "
        "failed, a comparison and a number; may be given several times",
    )
    add_flags(asked, *ANALYSIS)
    add_answers(asked)


def _compare(asked: argparse.Namespace) -> int:
    from ..advice.changes import RULE_WORDS
    from ..advice.comparing import compare
    from ..results.rules import Rule

    paths, rules = paths_of(asked), [Rule.of(text, RULE_WORDS) for text in asked.fail_on]
    if asked.out is not None:
        refuse_unwritable("--out", asked.out, tuple(WRITERS))
    told = from_flags(asked)
    options = {name: getattr(told, name) for name in names() if name in vars(asked)}
    if len(paths) > 2:
        return _run(asked, paths, rules, options)
    base, tuned = (None, paths[0]) if len(paths) == 1 else paths
    found = compare(base, tuned, update=not asked.no_update, **options)
    summary = found.summary()
    answer(asked, lambda colour: f"{card_text(found._card(), colour=colour)}\n\n{summary}", found.to_dict)
    _write(found.table(), asked, told.progress is False or asked.json)
    broken = [rule for rule in rules if rule.holds(summary)]
    for rule in broken:
        sys.stderr.write(f"setol-ww: {rule.text} holds: {rule.count(summary)} {rule.word}\n")
    return BROKEN_RULE if broken else 0


def _run(asked: argparse.Namespace, paths: list[str], rules: list[Any], options: dict[str, Any]) -> int:
    """Several checkpoints, each with the first."""
    from ..advice.runs import compare_run, run_text

    if rules or asked.json:
        raise InvalidInput(f"--fail-on and --json were asked of {len(paths)} paths; accepted are two")
    frame = compare_run(paths, update=not asked.no_update, **options)
    if options.get("progress") is not False:
        say(run_text(frame) + "\n")
    _write(frame, asked, options.get("progress") is False)
    return 0


def _write(frame: Any, asked: argparse.Namespace, quiet: bool) -> None:
    """The table where it was asked."""
    if asked.out is None:
        return
    try:
        export(frame, asked.out)
    except OSError as error:
        raise InvalidInput(f"--out {asked.out} was asked; it cannot be written: {error}") from None
    if not quiet:
        say(f"\nAll {frame.shape[1]} columns of {len(frame)} rows are in {asked.out}.\n")
