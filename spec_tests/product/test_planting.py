"""Every bug planted in the product is noticed by the test it names."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from spec_tests.conftest import ROOT
from spec_tests.planting import PLANTS

#: Bugs a process: a process of its own costs the imports, and two of them the two cores.
GROUPS = 4


@pytest.mark.parametrize("group", range(GROUPS))
def test_planted_bugs_are_noticed(group):
    names = [plant.name for plant in PLANTS[group::GROUPS]]
    environment = {**os.environ, "PYTEST_ADDOPTS": "", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-m", "spec_tests.planting", *names],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    killed = json.loads(done.stdout.splitlines()[-1])
    assert [name for name in names if not killed[name]] == []


def test_names_and_tests_are_what_they_say():
    assert len({plant.name for plant in PLANTS}) == len(PLANTS)
    for plant in PLANTS:
        assert (ROOT / plant.killer.partition("::")[0]).is_file()
