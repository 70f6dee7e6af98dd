"""The kill table of the planted bugs: docs/teeth.md.

Claim      Each planted bug is killed by the clause it names in the ci profile.
Command    python scripts/teeth_table.py
Run time   about fifteen seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

from setol_ww.cli.spec import suite_folder

PAGE = Path(__file__).resolve().parents[1] / "docs" / "teeth.md"


def main() -> int:
    sys.path.append(str(suite_folder()))
    from spec_tests import clauses, teeth  # noqa: F401 clauses fills the checks
    from spec_tests.runner import Watch, run
    from spec_tests.test_teeth import KILLS

    rows, survivors = [], []
    for bug in teeth.BUGS:
        watch = Watch()
        try:
            run(bug.killer, teeth.planted(bug), watch, profile_name="ci")
        except KILLS as noticed:
            said = str(noticed).splitlines()[0] if str(noticed) else type(noticed).__name__
            rows.append((bug, said.replace("|", "\\|"), watch.examples))
        else:
            survivors.append(bug.name)
    PAGE.write_text(teeth.as_markdown(rows), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))
    print(f"{len(rows)} killed, {len(survivors)} survived {survivors}")
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())
