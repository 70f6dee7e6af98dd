"""Shared fixtures: real data where it is, hypothesis profiles."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("dev", max_examples=25, deadline=None)
settings.register_profile(
    "ci",
    max_examples=100,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("deep", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

ROOT = Path(__file__).resolve().parents[1]


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Draws at the top of a module are those of every run."""
    _seed_everything()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Every test, and every fixture, begins with the same global generators, whatever ran before."""
    _seed_everything()


def _seed_everything() -> None:
    random.seed(0)
    np.random.seed(0)
    # Loaded for nobody who does without: another implementation's spec need not have it.
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data: `SETOL_DATA`, else `../shared/data`."""
    named = os.environ.get("SETOL_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data needed: neither SETOL_DATA nor {folder} is a folder")
    return folder
