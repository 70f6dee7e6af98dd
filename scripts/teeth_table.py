"""The kill table of the planted bugs: docs/teeth.md.

Claim      Each planted bug is killed by the clause it names in the ci profile.
Command    python scripts/teeth_table.py
Run time   about fifteen seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from setol_ww.cli.spec import suite_folder

PAGE = Path(__file__).resolve().parents[1] / "docs" / "teeth.md"


def as_markdown(rows: list[tuple[Any, str, int]]) -> str:
    """The kill table: bug, killer, what it said, after how many examples."""
    lines = [
        "# Planted bugs",
        "",
        f"{len(rows)} bugs, each planted in one method of an implementation and killed by the clause named, in the "
        "`ci` profile. Made by `python scripts/teeth_table.py`.",
        "",
        "| bug | in | killed by | examples until then | what the clause said |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {bug.name} | {bug.base}.{bug.method} | {bug.killer} | {examples} | {said} |" for bug, said, examples in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    sys.path.append(str(suite_folder()))
    from spec_tests.bug import planted
    from spec_tests.chapters import fill_checks, planted_bugs
    from spec_tests.runner import Watch, run
    from spec_tests.test_teeth import KILLS

    fill_checks()
    rows, survivors = [], []
    for bug in planted_bugs():
        watch = Watch()
        try:
            run(bug.killer, planted(bug), watch, profile_name="ci")
        except KILLS as noticed:
            said = str(noticed).splitlines()[0] if str(noticed) else type(noticed).__name__
            rows.append((bug, said.replace("|", "\\|"), watch.examples))
        else:
            survivors.append(bug.name)
    PAGE.write_text(as_markdown(rows), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))
    print(f"{len(rows)} killed, {len(survivors)} survived {survivors}")
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())
