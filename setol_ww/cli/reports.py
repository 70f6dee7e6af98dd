"""The command that makes a page: `report`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.options import add_flags, from_flags
from .analyses import results_of, told_of
from .asking import PATH_HELP, add_answers, answer, command, one_path

if TYPE_CHECKING:
    from ..advice.comparison import Comparison

REPORT_EXAMPLE = """examples:
  setol-ww report model.safetensors --out report.html --randomize
  setol-ww report llama.setol --out report.html
  setol-ww report tuned.setol --out report.html --compare base.setol

One file that needs no network; a browser opens it. A table alone: setol-ww analyze ... --out table.html
"""


def add_report(commands: Any) -> None:
    """`setol-ww report`."""
    asked = command(commands, "report", "write a page to look at and to send", REPORT_EXAMPLE, _report)
    asked.add_argument("paths", metavar="SOURCE_OR_RESULTS", nargs="*", help=f"{PATH_HELP}, or a .setol file")
    asked.add_argument("--out", metavar="FILE", type=Path, required=True, help="the page: .html")
    asked.add_argument("--compare", metavar="OTHER", help="weights or results to hold it against")
    add_flags(asked, "layers", "randomize", "seed", "uncertainty", "device", "n_jobs", "layouts")
    add_answers(asked)


def _report(asked: argparse.Namespace) -> int:
    from ..results.export import refuse_unwritable
    from ..results.store import is_store
    from ..views.report.page import ENDINGS

    path = one_path(asked)
    refuse_unwritable("--out", asked.out, ENDINGS)
    if asked.compare is not None and not any(is_store(Path(one)) for one in (path, asked.compare)):
        found = _of_weights(path, asked)
    else:
        found = results_of(path, asked)
        found.report(asked.out, compare=asked.compare)
    rows = f"The report of {len(found)} rows is in {asked.out}."
    answer(asked, lambda colour: rows, lambda: {"out": str(asked.out), **found.summary().to_dict()})
    return 0


def _of_weights(path: str, asked: argparse.Namespace) -> Comparison:
    """Weights on both sides: the update between them is looked at too."""
    from ..advice.comparing import compare

    found = compare(asked.compare, path, **told_of(from_flags(asked)))
    found.report(asked.out)
    return found
