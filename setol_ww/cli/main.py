"""The command `setol-ww`: no arithmetic, only asking and printing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..core.checks import writable_file
from ..core.errors import InvalidInput
from ..core.printable import visible
from ..results.export import WRITERS, export

ANALYZE_EXAMPLE = """example:
  setol-ww analyze model.safetensors --out layers.csv
  setol-ww analyze checkpoints/llama/ --layers embedding dense --randomize
"""
TRUNCATE_EXAMPLE = """examples:
  setol-ww truncate model.safetensors --rule erg --out truncated/
  setol-ww truncate checkpoints/llama/ --rule energy:0.9 --layers dense --out small/ --factorised

rules: erg, powerlaw, mp, gavish-donoho, bulk, rank:K, energy:F, random:K, bottom:K
In Python, setol_ww.load_factorised("small/") gives the tensors multiplied back, and
setol_ww.install_factorised(model, "small/") a model that multiplies by the factors.
"""
SCAN_EXAMPLE = """examples:
  setol-ww scan checkpoints/llama-70b/ --out layers.parquet --jobs 8
  setol-ww scan checkpoints/llama-70b/ --out shard-3.sqlite --shard 3/16
  setol-ww scan model.safetensors --out layers.csv --layers "model.layers.0.*"

Killed or interrupted, the same command goes on where it was.
"""
MERGE_EXAMPLE = """examples:
  setol-ww merge shard-*.sqlite --out layers.parquet
  setol-ww merge layers.csv --partial --out so-far.csv      # what a killed scan has left
"""
SPEC_EXAMPLE = """examples:
  setol-ww spec
  setol-ww spec --implementation weightwatcher --out report.html
  setol-ww spec --implementation mypackage.adapter:make --profile ci --only ERG-01 ERG-04
"""
DEMO_EXAMPLE = """example:
  setol-ww demo
"""
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 2 for what was asked wrongly, cannot be read or written, or
    130 when interrupted."""
    root = parser()
    options = root.parse_args(arguments)
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
    root = argparse.ArgumentParser(prog="setol-ww", description="SETOL diagnostics of trained weights, without data.")
    root.add_argument("--version", action="store_true", help="print the version")
    root.add_argument("--verbose", action="store_true", help="with --version: all that a report of a problem needs")
    root.set_defaults(run=None)
    commands = root.add_subparsers(dest="command", metavar="COMMAND")

    analyze = _command(commands, "analyze", "analyse every layer of a checkpoint", ANALYZE_EXAMPLE, _analyze)
    analyze.add_argument("path", metavar="PATH", help="safetensors, pt, pth, th, bin, npz or npy file, or a directory")
    analyze.add_argument("--out", metavar="FILE", type=Path, help="write the whole table: .csv, .json, .html, .parquet")
    analyze.add_argument(
        "--layers",
        nargs="+",
        default=[],
        metavar="WHICH",
        help="only these layers: ids, names or types (dense, conv2d, embedding)",
    )
    analyze.add_argument("--randomize", action="store_true", help="add WeightWatcher's randomised spectra")
    analyze.add_argument("--seed", type=int, default=0, help="seed of the randomisation (default 0)")
    analyze.add_argument(
        "--engine",
        choices=("fast", "reference"),
        default="fast",
        help="reference leaves WeightWatcher's numerics alone (default fast)",
    )
    analyze.add_argument("--reasons", action="store_true", help="print the sentence behind every state")

    truncate = _command(
        commands, "truncate", "write a checkpoint on its leading directions", TRUNCATE_EXAMPLE, _truncate
    )
    truncate.add_argument("path", metavar="PATH", help="safetensors, pt, pth, th, bin, npz or npy file, or a directory")
    truncate.add_argument("--rule", default="erg", metavar="RULE", help="which components stay, below (default erg)")
    truncate.add_argument("--out", metavar="DIR", type=Path, required=True, help="a folder that is new or empty")
    truncate.add_argument("--factorised", action="store_true", help="two factors where they save parameters")
    truncate.add_argument(
        "--layers",
        nargs="+",
        default=[],
        metavar="WHICH",
        help="only these layers: ids, names or types (dense, conv2d, embedding)",
    )
    truncate.add_argument("--seed", type=int, default=0, help="seed of random:K (default 0)")

    _scan_options(_command(commands, "scan", "analyse a checkpoint larger than memory", SCAN_EXAMPLE, _scan))

    merge = _command(commands, "merge", "one table from the results of shards", MERGE_EXAMPLE, _merge)
    merge.add_argument("results", metavar="FILE", nargs="+", help="--out of the scans")
    merge.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        required=True,
        help="the table: .csv, .json, .html, .parquet; or .setol: one store of all",
    )
    merge.add_argument("--partial", action="store_true", help="accept that rows are missing")

    spec = _command(commands, "spec", "hold an implementation against the clauses of the spec", SPEC_EXAMPLE, _spec)
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

    _command(commands, "demo", "read three small nets that come with the package", DEMO_EXAMPLE, _demo)
    return root


def _scan_options(scan: argparse.ArgumentParser) -> None:
    scan.add_argument("path", metavar="PATH", help="safetensors, pt, pth, th, bin, npz or npy file, or a directory")
    scan.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        required=True,
        help="the table: .csv, .json, .html, .parquet; or .setol (.sqlite, .db): the results with their spectra",
    )
    scan.add_argument("--shard", metavar="I/N", type=_shard, help="only shard I of N, I from 0 to N - 1")
    scan.add_argument(
        "--jobs", metavar="J", type=int, default=1, help="worker processes, -1 for every core (default 1)"
    )
    scan.add_argument(
        "--layers",
        nargs="+",
        metavar="WHICH",
        help="only these layers: ids, names, patterns (model.layers.3.*) or types (dense, conv2d, expert, ...)",
    )
    scan.add_argument("--randomize", action="store_true", help="add the columns of correlation traps")
    scan.add_argument("--seed", type=int, default=0, help="seed of the randomisation (default 0)")
    scan.add_argument("--device", default="cpu", help="where spectra are computed (default cpu)")
    scan.add_argument("--no-resume", action="store_true", help="start anew instead of going on")
    scan.add_argument("--quiet", action="store_true", help="no progress bar and no table")


def _shard(text: str) -> tuple[int, int]:
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form I/N, for instance 0/8")
    return int(number), int(count)


def _command(commands: Any, name: str, summary: str, example: str, run: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=summary,
        description=summary.capitalize() + ".",
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def _analyze(options: argparse.Namespace) -> int:
    if options.out is not None:
        writable_file("--out", options.out, WRITERS)
    from ..views.text import coverage_lines, layer_name, legend, paragraph, text_table
    from ..watcher import WeightWatcher

    watcher = WeightWatcher(options.path)
    frame = watcher.analyze(
        layers=_layers(options.layers), detX=True, randomize=options.randomize, seed=options.seed, engine=options.engine
    )
    blocks = (
        [text_table(frame), legend(), coverage_lines(watcher.coverage)]
        if len(frame)
        else [coverage_lines(watcher.coverage)]
    )
    if options.reasons:
        blocks += [
            paragraph(f"{layer_name(row)}: {row['setol_state']}. {row['setol_reason']}")
            for _, row in frame[frame["setol_reason"].notna()].iterrows()
        ]
    if options.out is not None:
        _write(frame, options.out)
        blocks.append(f"All {frame.shape[1]} columns of {len(frame)} rows are in {options.out}.")
    _say("\n\n".join(blocks) + "\n")
    return 0


def _truncate(options: argparse.Namespace) -> int:
    from ..truncation.checkpoints import truncate_checkpoint
    from ..views.text import truncation_text

    manifest = truncate_checkpoint(
        options.path,
        options.out,
        options.rule,
        _layers(options.layers),
        factorised=options.factorised,
        seed=options.seed,
    )
    _say(truncation_text(manifest, str(options.out)) + "\n")
    return 0


def _layers(words: Sequence[str]) -> list[str | int]:
    return [int(which) if which.lstrip("-").isdigit() else which for which in words]


def _scan(options: argparse.Namespace) -> int:
    from ..scanning.run import scan
    from ..views.text import coverage_lines, legend, text_table

    try:
        frame = scan(
            options.path,
            options.out,
            resume=not options.no_resume,
            shard=options.shard,
            n_jobs=options.jobs,
            device=options.device,
            layers=None if options.layers is None else _layers(options.layers),
            randomize=options.randomize,
            seed=options.seed,
            progress=False if options.quiet else None,
        )
    except KeyboardInterrupt:
        sys.stderr.write(f"setol-ww: interrupted; the same command goes on with what is in {options.out}\n")
        return INTERRUPTED
    if not options.quiet:
        seen = frame[frame["status"] != "skipped"]
        blocks = [text_table(seen), legend()] if len(seen) else []
        blocks += [coverage_lines(frame), f"All {frame.shape[1]} columns of {len(frame)} rows are in {options.out}."]
        _say("\n\n".join(blocks) + "\n")
    return 0


def _merge(options: argparse.Namespace) -> int:
    from ..results.merge import merge_scans

    frame = merge_scans(options.results, options.out, partial=options.partial)
    _say(f"{len(frame)} rows are in {options.out}.\n")
    return 0


def _say(text: str) -> None:
    """Print, with +- for ± where the terminal cannot show it."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(
        text.replace("±", "+-").encode(encoding, "replace").decode(encoding) if not _shows(encoding) else text
    )


def _shows(encoding: str) -> bool:
    try:
        "±".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _write(frame: Any, path: Path) -> None:
    """The table to a file; a missing parquet library or an unwritable place is said as what was asked wrongly."""
    try:
        export(frame, path)
    except ImportError as error:
        raise InvalidInput(f"--out {path} was asked; it needs another package: pip install pyarrow ({error})") from None
    except OSError as error:
        raise InvalidInput(f"--out {path} was asked; it cannot be written: {error}") from None


def _version(options: argparse.Namespace) -> int:
    if not options.verbose:
        _say(f"setol-ww {__version__}\n")
        return 0
    from .versions import versions_text

    _say(versions_text() + "\n")
    return 0


def _spec(options: argparse.Namespace) -> int:
    from .spec import conform

    return conform(options.implementation, options.profile, options.only, options.out, options.seed)


def _demo(options: argparse.Namespace) -> int:
    from .demo import demo_text

    _say(demo_text() + "\n")
    return 0
