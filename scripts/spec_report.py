"""The spec report of the three shipped implementations side by side: docs/spec-report.md.

Claim      setol_ww and the oracle pass every clause they answer; weightwatcher 0.7.7 fails where it is known to.
Command    python scripts/spec_report.py           (writes the page)
           python scripts/spec_report.py --check   (fails when the committed page is not what the code gives)
Run time   about four minutes on one core.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from setol_ww.cli.spec import suite_folder

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "spec-report.md"
DATA = ROOT.parent / "shared" / "data"
IMPLEMENTATIONS = ("setol_ww", "weightwatcher", "oracle")


def comparable(page: str) -> list[str]:
    """Lines of a page; without real data all but those of the clauses that need them, and the totals."""
    lines = page.splitlines()
    if Path(os.environ.get("SETOL_DATA", "")).joinpath("setol_tables").is_dir():
        return lines
    return [line for line in lines if not line.startswith(("| GOLD-", "| | | |"))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    sys.path.append(str(suite_folder()))
    # The suite may lie in an installed wheel, from where the data beside this checkout cannot be seen.
    if "SETOL_DATA" not in os.environ and DATA.is_dir():
        os.environ["SETOL_DATA"] = str(DATA)
    from spec_tests import reporting

    reports = [reporting.run_spec(implementation, "ci") for implementation in IMPLEMENTATIONS]
    page = reporting.as_columns(reports)
    for report in reports:
        print(f"{report.implementation}: exit status {report.exit_status}, {report.counts()}")
        for row in report.rows:
            if row.status in ("fail", "unexpected pass"):
                print(f"  {row.id}: {row.message} {row.counterexample}")
    if not check:
        PAGE.write_text(page, encoding="utf-8")
    elif comparable(page) != comparable(PAGE.read_text(encoding="utf-8")):
        print(f"{PAGE.relative_to(ROOT)} is not what the code gives now: run python scripts/spec_report.py")
        return 1
    return max(report.exit_status for report in reports)


if __name__ == "__main__":
    sys.exit(main())
