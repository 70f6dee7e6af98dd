"""Which packages the wheel holds: every room, and the spec suite under `setol_ww.suite`, out of the way of other names.

Everything else is in pyproject.toml, which cannot list packages by itself where some of them move.
"""

from setuptools import find_packages, setup

SUITE = find_packages(include=["spec_tests", "spec_tests.chapters*", "spec_tests.implementations", "fixtures"])

setup(
    packages=find_packages(include=["setol_ww", "setol_ww.*"]) + [f"setol_ww.suite.{name}" for name in SUITE],
    package_dir={f"setol_ww.suite.{name}": name for name in ("spec_tests", "fixtures")},
)
