"""The command `setol-ww`: no arithmetic, only asking and printing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from .. import __version__
from ..core.errors import InvalidInput
from ..core.options import add_flags, from_flags
from ..core.printable import visible
from .advising import add_recommend
from .analyses import SCHEMA, add_analyze, add_merge, add_scan, add_summary, table_as_json
from .asking import INTERRUPTED, PATH_HELP, add_answers, answer, command, one_path, say, with_minus
from .comparing import add_compare
from .completion import add_completion
from .following import add_watch
from .reports import add_report

TRUNCATE_EXAMPLE = """examples:
  setol-ww truncate model.safetensors --rule erg --out truncated/
  setol-ww truncate checkpoints/llama/ --rule energy:0.9 --layers dense --out small/ --factorised
  setol-ww truncate model.safetensors --plan plan.yaml --out small/      # of setol-ww recommend --target truncate

rules: erg, powerlaw, mp, gavish-donoho, bulk, rank:K, energy:F, random:K, bottom:K
In Python, setol_ww.load_factorised("small/") gives the tensors multiplied back, and
setol_ww.install_factorised(model, "small/") a model that multiplies by the factors.
"""
SPEC_EXAMPLE = """examples:
  setol-ww spec
  setol-ww spec --implementation weightwatcher --out report.html
  setol-ww spec --implementation mypackage.adapter:make --profile ci --only ERG-01 ERG-04
"""
DEMO_FOLDER = "setol-ww-demo"
DEMO_EXAMPLE = """examples:
  setol-ww demo
  setol-ww demo --out nets
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 2 for what was asked wrongly, cannot be read or written, or
    130 when interrupted."""
    root = parser()
    options = root.parse_args(with_minus(sys.argv[1:] if arguments is None else arguments))
    if options.version:
        return _version(options)
    if options.verbose:
        root.error("--verbose goes with --version")
    if options.run is None:
        root.error("the following arguments are required: COMMAND")
    try:
        return options.run(options)
    except (InvalidInput, OSError) as error:
        sys.stderr.write(f"setol-ww: {visible(str(error))}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("setol-ww: interrupted before the end\n")
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = Parser(prog="setol-ww", description="SETOL diagnostics of trained weights, without data.")
    root.add_argument("--version", action="store_true", help="print the version")
    root.add_argument("--verbose", action="store_true", help="with --version: all that a report of a problem needs")
    root.set_defaults(run=None, root=root)
    commands = root.add_subparsers(dest="command", metavar="COMMAND")

    for add in (add_analyze, add_scan, add_merge, add_summary, add_report, add_compare, add_recommend, add_watch):
        add(commands)

    truncate = command(
        commands, "truncate", "write a checkpoint on its leading directions", TRUNCATE_EXAMPLE, _truncate
    )
    truncate.add_argument("paths", metavar="PATH", nargs="*", help=PATH_HELP)
    truncate.add_argument("--rule", metavar="RULE", help="which components stay, below (default erg)")
    truncate.add_argument("--plan", metavar="FILE", type=Path, help="a rule for each layer: .json or .yaml, no --rule")
    truncate.add_argument("--out", metavar="DIR", type=Path, required=True, help="a folder that is new or empty")
    truncate.add_argument("--factorised", action="store_true", help="two factors where they save parameters")
    add_flags(truncate, "layers", "seed")
    add_answers(truncate)

    spec = command(commands, "spec", "hold an implementation against the clauses of the spec", SPEC_EXAMPLE, _spec)
    spec.add_argument(
        "--implementation",
        default="setol_ww",
        metavar="NAME",
        help="setol_ww (default), weightwatcher, oracle, or package.module:factory",
    )
    spec.add_argument("--profile", choices=("dev", "ci", "deep"), default="dev", help="how many examples (default dev)")
    spec.add_argument("--only", nargs="+", default=[], metavar="CLAUSE", help="only these clauses, for instance ERG-04")
    spec.add_argument("--seed", type=int, help="repeat a run of the deep profile")
    spec.add_argument("--out", metavar="FILE", type=Path, help="write the report: .md, .json, .html")
    add_answers(spec)

    demo = command(
        commands,
        "demo",
        "read three small nets that come with the package",
        DEMO_EXAMPLE,
        _demo,
    )
    demo.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path(DEMO_FOLDER),
        help=f"folder for report.html, nets.png and nets.setol, made if need be (default {DEMO_FOLDER})",
    )
    add_answers(demo)
    add_completion(commands)
    return root


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line with the way out."""

    def error(self, message: str) -> NoReturn:
        """Say it and leave with status 2."""
        self.exit(2, f"{self.prog}: {visible(message)}; see {self.prog} --help\n")


def _truncate(options: argparse.Namespace) -> int:
    from ..truncation.checkpoints import truncate_checkpoint
    from ..truncation.plans import read_plan
    from ..views.text import truncation_text

    path, told = one_path(options), from_flags(options)
    if options.plan is not None and options.rule is not None:
        raise InvalidInput(f"--rule {options.rule} and --plan {options.plan} were asked; accepted is one of them")
    rule = read_plan(options.plan) if options.plan is not None else options.rule or "erg"
    layers = told.layers or None
    kept = {"factorised": options.factorised, "seed": told.seed, "progress": told.progress}
    manifest = truncate_checkpoint(path, options.out, rule, layers, **kept)
    out = str(options.out)
    answer(options, lambda colour: truncation_text(manifest, out), lambda: {"schema": SCHEMA, "out": out, **manifest})
    return 0


def _version(options: argparse.Namespace) -> int:
    if not options.verbose:
        say(f"setol-ww {__version__}\n")
        return 0
    from .versions import versions_text

    say(versions_text() + "\n")
    return 0


def _spec(options: argparse.Namespace) -> int:
    from .spec import conform

    report, text, status = conform(options.implementation, options.profile, options.only, options.out, options.seed)
    answer(options, lambda colour: text, lambda: {"schema": SCHEMA, **asdict(report)})
    return status


def _demo(options: argparse.Namespace) -> int:
    from .demo import demo_results, demo_text, files_text, write_demo

    results, records = demo_results()
    frame, files = results.table(), write_demo(results, options.out)
    told = {name: str(path) for name, path in files.items()}
    answer(
        options,
        lambda colour: f"{demo_text(frame, records, colour=colour)}\n\n{files_text(files)}",
        lambda: table_as_json(frame, files=told),
    )
    return 0
