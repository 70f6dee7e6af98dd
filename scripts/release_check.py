"""The checklist of a release, run: what a version has to have before its tag, and what its archives have to hold.

Claim      A release is one version told in one place, with notes, nothing overdue, and archives that hold the package.
Command    python scripts/release_check.py            (--tagged vX.Y.Z after the tag, --keep DIR keeps the archives)
Run time   half a minute; needs `build` and `twine`.

Steps of a release: set `__version__` and CITATION.cff, date the notes (`# X.Y.Z (YYYY-MM-DD)`), run
`python scripts/release_notes.py`, this script and `tox`; commit, tag `vX.Y.Z`, publish a release of that tag.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import release_notes

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "setol_ww"
Problems = Iterable[str]


def version_of(root: Path = ROOT) -> str:
    """The version as the package says it."""
    (said,) = re.findall(r'^__version__ = "(.*)"$', (root / PACKAGE / "__init__.py").read_text("utf-8"), re.MULTILINE)
    return said


def as_numbers(version: str) -> tuple[int, ...]:
    """A version for comparisons.

    >>> as_numbers("0.10.0") > as_numbers("0.9.3")
    True
    """
    return tuple(int(number) for number in version.split("."))


def one_version(root: Path = ROOT) -> Problems:
    """X.Y.Z, in CITATION.cff too, and not written into pyproject.toml."""
    version = version_of(root)
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        yield f"__version__ = {version!r} is no X.Y.Z"
    if re.search(r'^version = "', (root / "pyproject.toml").read_text("utf-8"), re.MULTILINE):
        yield 'pyproject.toml has a version of its own: `dynamic = ["version"]` takes the package\'s'
    cited = re.findall(r"^version: (.*)$", (root / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    if cited != [version]:
        yield f"CITATION.cff says {', '.join(cited) or 'no version'}, the package {version}"


def dated_notes(root: Path = ROOT) -> Problems:
    """Notes of the version with a date, which CITATION.cff has too, and no fragment left."""
    version = version_of(root)
    page = root / "docs" / "release-notes" / f"{version}.md"
    first = page.read_text("utf-8").splitlines()[0] if page.is_file() else ""
    date = re.fullmatch(rf"# {re.escape(version)} \((\d{{4}}-\d\d-\d\d)\)", first)
    if not date:
        yield f"docs/release-notes/{version}.md begins with {first!r}, not with `# {version} (YYYY-MM-DD)`"
    elif f"date-released: {date[1]}\n" not in (root / "CITATION.cff").read_text("utf-8"):
        yield f"CITATION.cff does not say `date-released: {date[1]}`"
    left = [path.name for path in release_notes.fragments(root)]
    if left:
        yield f"fragments are left: {', '.join(left)}"
    yield from release_notes.check(root)


def nothing_overdue(version: str, deprecated: Mapping[str, object]) -> Problems:
    """No deprecated name is there past the version that was to be without it."""
    for name, one in deprecated.items():
        removed_in: str = one.removed_in  # type: ignore[attr-defined]
        if as_numbers(removed_in) <= as_numbers(version):
            yield f"setol_ww.{name} was to go with {removed_in} and is there in {version}"


def has_addresses(root: Path = ROOT) -> Problems:
    """`project.urls` names the repository that publishes."""
    after = (root / "pyproject.toml").read_text("utf-8").partition("[project.urls]\n")[2].partition("\n[")[0]
    if not re.search(r"^Source = ", after, re.MULTILINE):
        yield "[project.urls] has no Source: the address of the repository that publishes"


def clean_and_untagged(root: Path = ROOT, tagged: str = "") -> Problems:
    """Nothing uncommitted; no tag of the version, or the one it was published by."""
    if _git(root, "status", "--porcelain"):
        yield "changes are not committed"
    tag = f"v{version_of(root)}"
    if tagged and tagged != tag:
        yield f"the tag {tagged} is not {tag}"
    if not tagged and _git(root, "tag", "--list", tag):
        yield f"the tag {tag} is there already"


def _git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def archives(root: Path, to: Path) -> tuple[Path, Path]:
    """The source archive and, from it, the wheel, built anew."""
    words = [sys.executable, "-m", "build", "--outdir", to, root]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"no archives: {done.stderr}")
    (source,), (wheel,) = to.glob("*.tar.gz"), to.glob("*.whl")
    return source, wheel


def described(paths: Iterable[Path]) -> Problems:
    """What an index asks of the description (`twine check --strict`)."""
    words = [sys.executable, "-m", "twine", "check", "--strict", *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        yield f"twine: {done.stdout.strip()}"


def wheel_holds(wheel: Path, root: Path = ROOT) -> Problems:
    """Every file of the package, the suite, the licence, and nothing beside; not too large."""
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {path.relative_to(root).as_posix() for path in (root / PACKAGE).rglob("*") if _belongs(path)}
    missing = sorted(wanted - names)
    if missing:
        yield f"the wheel lacks {', '.join(missing)}"
    beside = {name.split("/")[0] for name in names if not name.split("/")[0].endswith(".dist-info")} - {PACKAGE}
    if beside:
        yield f"the wheel would install {', '.join(sorted(beside))} beside the package"
    if f"{PACKAGE}/suite/spec_tests/protocol.py" not in names:
        yield "the wheel lacks the spec suite"
    if not any(name.endswith("/LICENSE") for name in names):
        yield "the wheel lacks the licence"


def _belongs(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def source_holds(source: Path) -> Problems:
    """What is needed to build and to test it again."""
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    lacking = {"pyproject.toml", "README.md", "LICENSE", f"{PACKAGE}/__init__.py", "spec_tests/protocol.py"} - names
    if lacking:
        yield f"the source archive lacks {', '.join(sorted(lacking))}"


def runs(wheel: Path, version: str) -> Problems:
    """Unpacked elsewhere it tells its version."""
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(wheel).extractall(folder)
        words = [sys.executable, "-m", PACKAGE, "--version"]
        done = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, check=False, env={"PYTHONPATH": folder}
        )
    if done.stdout != f"setol-ww {version}\n":
        yield f"the wheel answers --version with {done.stdout + done.stderr!r}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tagged", default="", metavar="TAG", help="the tag that is being published")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the archives here")
    asked = parser.parse_args()
    from setol_ww.core.deprecation import DEPRECATED

    version = version_of()
    steps: list[tuple[str, Callable[[], Problems]]] = [
        ("one version", one_version),
        ("dated notes, no fragments", dated_notes),
        ("nothing overdue", lambda: nothing_overdue(version, DEPRECATED)),
        ("addresses", has_addresses),
        ("clean, its tag free", lambda: clean_and_untagged(tagged=asked.tagged)),
    ]
    with tempfile.TemporaryDirectory() as temporary:
        source, wheel = archives(ROOT, asked.keep or Path(temporary))
        steps += [
            ("description", lambda: described((source, wheel))),
            ("wheel holds the package", lambda: wheel_holds(wheel)),
            ("source archive", lambda: source_holds(source)),
            ("wheel runs", lambda: runs(wheel, version)),
        ]
        return _told(steps)


def _told(steps: Iterable[tuple[str, Callable[[], Problems]]]) -> int:
    failed = 0
    for name, step in steps:
        problems = list(step())
        failed += bool(problems)
        print(f"{'fail' if problems else 'ok':5} {name}", *(f"      {problem}" for problem in problems), sep="\n")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
