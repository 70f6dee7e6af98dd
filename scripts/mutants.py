"""Mutation testing: small slips in the package that nobody chose, and which of them no test notices.

    python scripts/mutants.py cover [FILE...]            # which test runs which line, kept in FOLDER/covered.sqlite
    python scripts/mutants.py unrun                      # refusals that no test runs; 1 where there are some
    python scripts/mutants.py try --sample 300           # draws a sample of all rooms and tries it
    python scripts/mutants.py try --functions 2 --rooms theory linalg    # two mutants of every function there
    python scripts/mutants.py try ... --again            # what survived, once more: after tests were written
    python scripts/mutants.py table                      # docs/mutants.md

`tox -e mutants` does the first three. Kept under --folder (default .mutants): the coverage, what was drawn, and a line
for every mutant tried, by a key of its own, so that a stopped run goes on where it was, also when the code has changed
elsewhere. About 30 minutes for the coverage of the whole suite on one core, and about 4 seconds a mutant.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from mutation import children, covered, draw, keeping, telling, trying, unrun

ROOT = Path(__file__).resolve().parents[1]


def main(words: list[str] | None = None) -> int:
    """0, or 1 where a smaller share than --least was killed, or a refusal is run by no test."""
    asked = _parser().parse_args(words)
    folder = Path(asked.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if asked.what == "cover":
        children.load_libraries()
        files = asked.files or _files(asked.root)
        covered.collect(asked.root, folder / "covered.sqlite", files, asked.limit, again=asked.again)
        return 0
    if asked.what == "unrun":
        found = unrun.refusals(asked.root, folder / "covered.sqlite")
        print("\n".join([*found, f"{len(found)} refusals are run by no test"]))
        return int(bool(found))
    if asked.what == "table":
        telling.write(folder, asked.root)
        return 0
    children.load_libraries()
    keys = _drawn(asked, folder)
    there = {each.key: each for module in draw.modules(asked.root, []) for each in draw.candidates(asked.root, module)}
    known = keeping.stories(folder)
    pending = [there[key] for key in keys if key in there and _is_due(known.get(key), asked.again)]
    chooser = partial(trying.chooser, folder / "covered.sqlite", asked.seconds, asked.most)
    trying.try_all(asked.root, folder, pending, chooser, asked.workers)
    tried = [story.last for key, story in keeping.stories(folder).items() if key in set(keys)]
    share = sum(trial.killed for trial in tried) / max(len(tried), 1)
    print(f"killed {share:.0%} of {len(tried)}")
    return int(share < asked.least)


def _files(root: Path) -> list[str]:
    """All test files, and the rooms for the examples in their docstrings."""
    rooms = {draw.room_of(module) for module in draw.modules(root, [])} - {draw.PACKAGE}
    tests = [str(path.relative_to(root)) for path in root.glob("spec_tests/**/test_*.py")]
    return [f"{draw.PACKAGE}/{room}" for room in sorted(rooms)] + sorted(tests)


def _drawn(asked: argparse.Namespace, folder: Path) -> list[str]:
    how, number, kept = draw.sample, asked.sample, f"sample-{asked.sample}"
    if asked.functions:
        how, number, kept = draw.of_functions, asked.functions, f"functions-{asked.functions}"
    name = "-".join([kept, str(asked.seed), *sorted(asked.rooms)])
    return keeping.drawn(folder, name, lambda: how(asked.root, number, asked.seed, asked.rooms))


def _is_due(story: keeping.Story | None, again: bool) -> bool:
    return story is None or (again and not story.last.killed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("cover", "unrun", "try", "table"))
    parser.add_argument("files", nargs="*", help="cover: test files, all without any")
    parser.add_argument("--folder", default=".mutants")
    parser.add_argument("--root", type=Path, default=ROOT, help="the tree that is mutated")
    parser.add_argument("--again", action="store_true", help="cover: files that are kept too; try: survivors too")
    parser.add_argument("--limit", type=float, default=900, help="cover: seconds a file")
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--functions", type=int, default=0, help="mutants of every function, in the place of a sample")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rooms", nargs="*", default=[])
    parser.add_argument("--workers", type=int, default=1, help="mutants at a time")
    parser.add_argument("--seconds", type=float, default=20.0, help="processor seconds of tests a mutant at most")
    parser.add_argument("--most", type=int, default=120, help="tests a mutant at most")
    parser.add_argument("--least", type=float, default=0.0, help="smallest share killed that is a success")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
