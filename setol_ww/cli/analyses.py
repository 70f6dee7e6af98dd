"""The commands that analyse: `analyze`, `scan`, `merge`, `summary`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..core.colour import wants_colour
from ..core.errors import InvalidInput
from ..core.options import Options, add_flags, from_flags, names
from ..results.export import WRITERS, csv_of, export, refuse_unwritable
from ..results.export import records as rows_as_json
from ..results.store import ENDINGS, is_store
from .asking import INTERRUPTED, PATH_HELP, add_answers, answer, command, is_quiet, one_path, paths_of, say

ANALYZE_EXAMPLE = """examples:
  setol-ww analyze model.safetensors --out layers.csv
  setol-ww analyze checkpoints/llama/ --layers dense -lm_head --randomize --out llama.setol
  setol-ww analyze before.pt after.pt --quiet --out - > both.csv
"""
SCAN_EXAMPLE = """examples:
  setol-ww scan checkpoints/llama-70b/ --out layers.parquet --jobs 8
  setol-ww scan checkpoints/llama-70b/ --out shard-3.setol --shard 3/16
  setol-ww scan model.safetensors --out layers.csv --layers "model.layers.0.*"

Killed or interrupted, the same command goes on where it was.
"""
MERGE_EXAMPLE = """examples:
  setol-ww merge shard-*.setol --out layers.parquet
  setol-ww merge layers.csv --partial --out so-far.csv      # what a killed scan has left
"""
SUMMARY_EXAMPLE = """examples:
  setol-ww summary model.safetensors
  setol-ww summary llama.setol --json
  setol-ww summary model.pt --fail-on "over-regularized>3" --fail-on "failed>0"      # exit status 3
"""
TABLE_ENDINGS = ", ".join(WRITERS)
STDOUT = "-"
#: Of the answers that are made here; results and summaries have their own.
SCHEMA = 1
# The one that is missing comes with `add_answers`.
ANALYSIS = tuple(name for name in names() if name != "progress")
BROKEN_RULE = 3


def add_analyze(commands: Any) -> None:
    """`setol-ww analyze`."""
    asked = command(commands, "analyze", "analyse every layer of a checkpoint", ANALYZE_EXAMPLE, _analyze)
    asked.add_argument("paths", metavar="PATH", nargs="*", help=f"{PATH_HELP}; several have one table")
    asked.add_argument(
        "--out",
        metavar="FILE",
        help=f"where everything goes: {TABLE_ENDINGS}; .setol with the spectra; - for a table on the standard output",
    )
    add_flags(asked, *ANALYSIS)
    asked.add_argument(
        "--engine",
        choices=("fast", "reference"),
        default="fast",
        help="reference leaves WeightWatcher's numerics alone (default fast)",
    )
    asked.add_argument("--reasons", action="store_true", help="print the sentence behind every state")
    add_answers(asked)


def add_scan(commands: Any) -> None:
    """`setol-ww scan`."""
    asked = command(commands, "scan", "analyse a checkpoint larger than memory", SCAN_EXAMPLE, _scan)
    asked.add_argument("paths", metavar="PATH", nargs="*", help=PATH_HELP)
    asked.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        required=True,
        help=f"the table: {TABLE_ENDINGS}; or {', '.join(ENDINGS)}: the spectra, from which every table is made",
    )
    asked.add_argument("--shard", metavar="I/N", type=_shard, help="only shard I of N, I from 0 to N - 1")
    add_flags(asked, *ANALYSIS)
    asked.add_argument("--no-resume", action="store_true", help="start anew instead of going on")
    add_answers(asked)


def add_merge(commands: Any) -> None:
    """`setol-ww merge`."""
    asked = command(commands, "merge", "one table from the results of shards", MERGE_EXAMPLE, _merge)
    asked.add_argument("results", metavar="FILE", nargs="+", help="--out of the scans")
    asked.add_argument("--out", metavar="FILE", type=Path, required=True, help=f"the table: {TABLE_ENDINGS}")
    asked.add_argument("--partial", action="store_true", help="accept that rows are missing")
    add_answers(asked)


def add_summary(commands: Any) -> None:
    """`setol-ww summary`."""
    asked = command(commands, "summary", "what to look at first in a model or kept results", SUMMARY_EXAMPLE, _summary)
    asked.add_argument("paths", metavar="SOURCE_OR_RESULTS", nargs="*", help=f"{PATH_HELP}, or a .setol file")
    add_flags(asked, "layers", "randomize", "seed", "uncertainty", "device", "n_jobs", "layouts")
    asked.add_argument(
        "--fail-on",
        metavar="RULE",
        action="append",
        default=[],
        help="exit with status 3 when it holds: a state, class, flag or status, a comparison and a number; may be "
        "given several times",
    )
    add_answers(asked)


def _analyze(asked: argparse.Namespace) -> int:
    paths, told = paths_of(asked), from_flags(asked)
    out = _out_of(asked, paths)
    from ..watcher import WeightWatcher

    frames, found = [], []
    for path in paths:
        watcher = WeightWatcher(path)
        frame = watcher.analyze(engine=asked.engine, **told_of(told))
        if asked.json:
            found.append(table_as_json(frame, path=path, coverage=rows_as_json(watcher.coverage)))
        elif asked.out != STDOUT and not is_quiet(asked):
            say(_blocks(frame, watcher, path if len(paths) > 1 else "", asked.reasons) + "\n")
        if out is not None and is_store(out) and watcher.results is not None:
            watcher.results.save(out)
        if len(paths) > 1:
            frame.insert(0, "path", path)
        frames.append(frame)
    said = _hand_over(frames, out, asked.out == STDOUT)
    if asked.json or said:
        answer(asked, lambda colour: said, lambda: found[0] if len(found) == 1 else found)
    return 0


def _out_of(asked: argparse.Namespace, paths: list[str]) -> Path | None:
    """The file for the table, refused before any work where it cannot be written."""
    if asked.out == STDOUT and asked.json:
        raise InvalidInput("--out - and --json were asked; accepted is one of them on the standard output")
    if asked.out in (None, STDOUT):
        return None
    out = Path(asked.out)
    refuse_unwritable("--out", out, (*WRITERS, *ENDINGS))
    if is_store(out) and len(paths) > 1:
        raise InvalidInput(f"--out {out} was asked of {len(paths)} paths; accepted are {TABLE_ENDINGS} for several")
    return out


def told_of(options: Options) -> dict[str, Any]:
    """Every option by name, as `analyze` and `examine` take them."""
    return {name: getattr(options, name) for name in names()} | {"layers": options.layers or None}


def table_as_json(frame: Any, **about: Any) -> dict[str, Any]:
    """A table as the answer for a program: what it is about, and a mapping a row."""
    return {"schema": SCHEMA, **about, "rows": rows_as_json(frame)}


def _hand_over(frames: list[Any], out: Path | None, to_stdout: bool) -> str:
    """The tables where they were asked, and where that is."""
    import pandas as pd

    frame = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    if to_stdout:
        say(csv_of(frame))
    if out is None:
        return ""
    if not is_store(out):
        _write(frame, out)
    return f"\n{_where(frame, out)}"


def _where(frame: Any, out: Path) -> str:
    return f"All {frame.shape[1]} columns of {len(frame)} rows are in {out}."


def _blocks(frame: Any, watcher: Any, heading: str, reasons: bool) -> str:
    """What is printed of one checkpoint."""
    from ..views.text import coverage_lines, layer_name, legend, paragraph, text_table

    blocks = [heading] if heading else []
    blocks += [text_table(frame, colour=wants_colour(sys.stdout)), legend()] if len(frame) else []
    blocks.append(coverage_lines(watcher.coverage))
    if reasons:
        blocks += [
            paragraph(f"{layer_name(row)}: {row['setol_state']}. {row['setol_reason']}")
            for _, row in frame[frame["setol_reason"].notna()].iterrows()
        ]
    return "\n\n".join(blocks)


def _scan(asked: argparse.Namespace) -> int:
    from ..results.findings import coverage_table
    from ..scanning.run import scan
    from ..views.text import coverage_lines, legend, text_table

    path = one_path(asked)
    told = from_flags(asked)
    try:
        frame = scan(path, asked.out, resume=not asked.no_resume, shard=asked.shard, **told_of(told))
    except KeyboardInterrupt:
        sys.stderr.write(f"setol-ww: interrupted; the same command goes on with what is in {asked.out}\n")
        return INTERRUPTED

    def text(colour: bool) -> str:
        seen = frame[frame["status"] != "skipped"]
        blocks = [text_table(seen, colour=colour), legend()] if len(seen) else []
        return "\n\n".join([*blocks, coverage_lines(coverage_table(frame.attrs["coverage"])), _where(frame, asked.out)])

    answer(asked, text, lambda: table_as_json(frame, path=path, out=str(asked.out)))
    return 0


def _merge(asked: argparse.Namespace) -> int:
    from ..results.merge import merge_scans

    frame = merge_scans(asked.results, asked.out, partial=asked.partial)
    answer(asked, lambda colour: _where(frame, asked.out), lambda: table_as_json(frame, out=str(asked.out)))
    return 0


def _summary(asked: argparse.Namespace) -> int:
    from ..results.rules import Rule

    path = one_path(asked)
    rules = [Rule.of(text) for text in asked.fail_on]
    summary = results_of(path, asked).summary()
    answer(asked, lambda colour: "\n".join(summary.lines(colour=colour)), summary.to_dict)
    broken = [rule for rule in rules if rule.holds(summary)]
    for rule in broken:
        sys.stderr.write(f"setol-ww: {rule.text} holds: {rule.count(summary)} {rule.word}\n")
    return BROKEN_RULE if broken else 0


def results_of(path: str, asked: argparse.Namespace) -> Any:
    """Kept results, or those of a checkpoint that is analysed now."""
    if is_store(Path(path)):
        from ..results.results import open_results

        unserved = [name for name in names() if name in vars(asked) and name != "progress"]
        if unserved:
            raise InvalidInput(
                f"{', '.join(unserved)} was asked of the kept results {path}; accepted is what they were made with. "
                "For another analysis give the weights"
            )
        return open_results(path)
    if Path(path).suffix.lower() in WRITERS:
        raise InvalidInput(
            f"the table {path} was asked; it has no spectra. Accepted are weights, and a .setol file as "
            "analyze --out NAME.setol writes it"
        )
    from ..watcher import examine

    told = from_flags(asked)
    return examine(path, **told_of(told))


def _write(frame: Any, path: Path) -> None:
    """The table to a file; an unwritable place is said as what was asked wrongly."""
    try:
        export(frame, path)
    except OSError as error:
        raise InvalidInput(f"--out {path} was asked; it cannot be written: {error}") from None


def _shard(text: str) -> tuple[int, int]:
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form I/N, for instance 0/8")
    return int(number), int(count)
