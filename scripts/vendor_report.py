"""Fetch the libraries of the HTML report and write down what was fetched.

    python scripts/vendor_report.py            # download, compare with the manifest, write the files
    python scripts/vendor_report.py --renew    # after a change of PACKAGES: write the manifest too

Needs npm. A few seconds. Output: the files and licences in setol_ww/views/report/vendor, and manifest.json with the
version, the address of the package, its integrity as the registry tells it, and the SHA-256 of every file.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).parents[1] / "setol_ww" / "views" / "report" / "vendor"
MANIFEST = VENDOR / "manifest.json"
#: Package, version, licence, and the files that are taken, in the order in which the page loads them.
PACKAGES = (
    ("d3", "7.9.2", "ISC", ("dist/d3.min.js",)),
    ("@observablehq/plot", "0.6.17", "ISC", ("dist/plot.umd.min.js",)),
    ("tabulator-tables", "6.5.3", "MIT", ("dist/js/tabulator.min.js", "dist/css/tabulator.min.css")),
)
LICENCE = "LICENSE"


def fetched(name: str, version: str, files: tuple[str, ...], folder: Path) -> tuple[str, dict[str, bytes]]:
    """Integrity of a package and the files that are taken of it, by the name they have here."""
    packed = subprocess.run(
        ["npm", "pack", "--json", f"{name}@{version}"], cwd=folder, check=True, capture_output=True, text=True
    )
    told = json.loads(packed.stdout)[0]
    archive = folder / told["filename"]
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if integrity != told["integrity"]:
        raise SystemExit(f"{name}@{version}: the archive is not what the registry tells")
    with tarfile.open(archive) as opened:
        taken = {Path(file).name: _member(opened, file) for file in files}
        taken[f"{_short(name)}.{LICENCE}"] = _member(opened, LICENCE)
    return integrity, taken


def _member(opened: tarfile.TarFile, file: str) -> bytes:
    member = opened.extractfile(f"package/{file}")
    if member is None:
        raise SystemExit(f"{opened.name}: no file {file}")
    return member.read()


def _short(name: str) -> str:
    return name.rpartition("/")[2]


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--renew", action="store_true", help="write the manifest too")
    renew = asked.parse_args().renew
    entries, contents = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for name, version, licence, files in PACKAGES:
            integrity, taken = fetched(name, version, files, Path(folder))
            contents |= taken
            entries.append(
                {
                    "package": name,
                    "version": version,
                    "licence": licence,
                    "integrity": integrity,
                    "files": {file: hashlib.sha256(text).hexdigest() for file, text in taken.items()},
                }
            )
    text = json.dumps(entries, indent=1) + "\n"
    if not renew and (not MANIFEST.is_file() or MANIFEST.read_text(encoding="utf-8") != text):
        print("what was fetched is not what the manifest says; with --renew the manifest is written", file=sys.stderr)
        return 1
    for file, content in contents.items():
        (VENDOR / file).write_bytes(content)
    MANIFEST.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
