"""A real browser for tests of pages: Chromium of the system, headless, driven by playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

#: Says where it lies; else these names are looked for on the path.
VARIABLE = "SETOL_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
)


def chromium_path() -> str:
    """Where Chromium lies; without it the test is skipped, and fails in continuous integration (`CI=true`)."""
    found = os.environ.get(VARIABLE) or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        said = f"a browser is needed: neither {VARIABLE} nor any of {', '.join(NAMES)} is there"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(said)
    return found


@contextmanager
def browsing() -> Iterator[Any]:
    """A headless browser, closed at the end."""
    path = chromium_path()
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright needs Python 3.11 here")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()
