"""Mutation testing: small slips in the package that nobody chose, and which of them no test notices.

    python scripts/mutants.py cover FILE...          # which test runs which line, kept in FOLDER/covered.sqlite
    python scripts/mutants.py try --sample 300       # draws a sample, tries it; goes on where it was stopped
    python scripts/mutants.py table                  # docs/mutants.md from the session

`tox -e mutants` does all three. Kept under --folder (default .mutants): the coverage, and the session in the
format of cosmic-ray, whose cr-report and cr-html read it. About 90 minutes for the coverage of the whole suite on
one core, and 10 seconds a mutant.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from cosmic_ray.work_db import WorkDB
from mutation import children, covered, draw, telling, trying

ROOT = Path(__file__).resolve().parents[1]


def main(words: list[str] | None = None) -> int:
    """0, or 1 where a smaller share than --least was killed."""
    asked = _parser().parse_args(words)
    folder = Path(asked.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if asked.what == "cover":
        children.load_libraries()
        files = asked.files or sorted(
            str(path.relative_to(asked.root)) for path in asked.root.glob("spec_tests/**/test_*.py")
        )
        covered.collect(asked.root, folder / "covered.sqlite", files, asked.limit, again=asked.again)
        return 0
    database = WorkDB(str(folder / f"session-{asked.seed}.sqlite"), WorkDB.Mode.create)
    if asked.what == "table":
        telling.write(database, asked.seed, asked.root)
        return 0
    children.load_libraries()
    if not database.num_work_items:
        drawn = draw.sample(asked.root, asked.sample, asked.seed, asked.rooms)
        database.add_work_items(draw.work_item(number, one) for number, one in enumerate(drawn))
    choose = trying.chooser(asked.root, folder / "covered.sqlite", asked.seconds, asked.most)
    trying.try_all(asked.root, folder, database, choose, asked.workers, asked.rooms, asked.again)
    share = telling.share(database)
    print(f"killed {share:.0%} of {database.num_results}")
    database.close()
    return int(share < asked.least)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("cover", "try", "table"))
    parser.add_argument("files", nargs="*", help="cover: test files, all without any")
    parser.add_argument("--folder", default=".mutants")
    parser.add_argument("--root", type=Path, default=ROOT, help="the tree that is mutated")
    parser.add_argument("--again", action="store_true", help="cover: files that are kept too; try: survivors too")
    parser.add_argument("--limit", type=float, default=900, help="cover: seconds a file")
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rooms", nargs="*", default=[])
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--seconds", type=float, default=40.0, help="processor seconds of tests a mutant at most")
    parser.add_argument("--most", type=int, default=120, help="tests a mutant at most")
    parser.add_argument("--least", type=float, default=0.0, help="smallest share killed that is a success")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
