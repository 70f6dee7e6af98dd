"""Gather the fragments of docs/changes into the notes of the version to come, and write CHANGELOG.md from all notes.

Claim      Every change is told once: a fragment becomes a bullet of docs/release-notes/VERSION.md, and CHANGELOG.md is
           those notes, newest first.
Command    python scripts/release_notes.py            (--check changes nothing and tells what is to be done)
Run time   a second.

The version to come is the newest notes, which say `(unreleased)`. A fragment is a bullet or several, by any name. Links
in fragments and notes begin with `../`, which is `docs/` for both.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHANGELOG = "CHANGELOG.md"
HEAD = """# Changelog

All notable changes, with how far numbers moved. Versions follow semantic versioning. Written by
`python scripts/release_notes.py` from [the notes of each version](docs/release-notes/index.md).
"""


def fragments(root: Path = ROOT) -> list[Path]:
    """The fragments there are, by name."""
    return [path for path in sorted((root / "docs" / "changes").glob("*.md")) if path.name != "README.md"]


def notes(root: Path = ROOT) -> list[Path]:
    """The notes of all versions, newest first."""
    found = [path for path in (root / "docs" / "release-notes").glob("*.md") if path.name != "index.md"]
    return sorted(found, key=lambda path: [int(number) for number in path.stem.split(".")], reverse=True)


def ill_formed(fragment: Path) -> list[str]:
    """What is wrong with a fragment; empty when it is bullets and nothing else.

    Every line begins a bullet (`- `) or goes on with one (two spaces or more).
    """
    lines = fragment.read_text(encoding="utf-8").splitlines()
    wrong = [] if lines and lines[0].startswith("- ") else [f"{fragment.name}: it begins with a bullet, `- `"]
    for number, line in enumerate(lines, 1):
        if not line.startswith(("- ", "  ")):
            wrong.append(f"{fragment.name}:{number}: neither `- ` nor two spaces begin {line!r}")
        wrong += [
            f"{fragment.name}:{number}: the link {link!r} is to begin with ../"
            for link in re.findall(r"\]\(([^)]*)\)", line)
            if not link.startswith(("../", "https://"))
        ]
    return wrong


def gather(root: Path = ROOT) -> None:
    """Move the fragments behind the notes of the version to come."""
    newest = notes(root)[0]
    told = newest.read_text(encoding="utf-8").rstrip("\n") + "\n"
    if fragments(root) and "(unreleased)" not in told.splitlines()[0]:
        raise SystemExit(f"{newest.name} is released: begin the notes of the next version, `# X.Y.Z (unreleased)`")
    for fragment in fragments(root):
        told += fragment.read_text(encoding="utf-8").rstrip("\n") + "\n"
        fragment.unlink()
    newest.write_text(told, encoding="utf-8")


def changelog(root: Path = ROOT) -> str:
    """CHANGELOG.md as the notes make it."""
    told = (path.read_text(encoding="utf-8") for path in notes(root))
    return HEAD + "".join("\n#" + text.replace("](../", "](docs/") for text in told)


def check(root: Path = ROOT) -> list[str]:
    """What is to be done, apart from gathering; empty when nothing is."""
    wrong = [line for fragment in fragments(root) for line in ill_formed(fragment)]
    if (root / CHANGELOG).read_text(encoding="utf-8") != changelog(root):
        wrong.append(f"{CHANGELOG} is not what the notes make it: python scripts/release_notes.py")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing")
    if not parser.parse_args().check:
        wrong = [line for fragment in fragments() for line in ill_formed(fragment)]
        if not wrong:
            gather()
            (ROOT / CHANGELOG).write_text(changelog(), encoding="utf-8")
    else:
        wrong = check()
    print("\n".join(wrong) if wrong else "nothing to do")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
