"""The house itself: nothing but rooms in the package, one list of public names, versions that can be asked."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import os
import pkgutil
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info

import setol_ww as ww
from setol_ww.cli.main import main

PACKAGE = Path(ww.__file__).parent
AT_THE_TOP = {"__init__.py", "__init__.pyi", "__main__.py", "py.typed"}
#: The spec suite, where the package was installed from a wheel.
INSTALLED = {"suite"}


def test_nothing_lies_at_the_top_of_the_package_but_rooms():
    found = {path.name for path in PACKAGE.iterdir()} - {"__pycache__"} - INSTALLED
    rooms = {name for name in found if (PACKAGE / name / "__init__.py").is_file()}
    assert found - rooms == AT_THE_TOP
    assert "core" in rooms


def test_every_room_says_what_lives_there():
    folders = {path.parent for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in INSTALLED}
    for folder in folders:
        home = folder / "__init__.py"
        assert home.is_file(), f"{folder} is no package"
        said = ast.get_docstring(ast.parse(home.read_text(encoding="utf-8")))
        assert said, f"{home} does not say what lives there"
        assert said.split("\n\n")[0].rstrip().endswith("."), home


def test_types_and_names_of_the_package_have_one_home():
    """`__init__.pyi` imports every public name from where `__init__.py` loads it, and names nothing else."""
    stubs = {}
    for line in ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8")).body:
        if isinstance(line, ast.ImportFrom):
            assert line.level == 1, ast.unparse(line)
            for name in line.names:
                assert name.asname == name.name, f"{name.name} is not exported again"
                assert name.name not in stubs, f"{name.name} is imported twice"
                stubs[name.name] = line.module
    homes = {name: (stubs.pop(name), name) for name in ww._MODULES}
    modules = {name: ".".join(filter(None, home)) for name, home in homes.items()}
    assert modules == ww._MODULES
    assert stubs == ww._HOME_OF
    assert set(ww.__all__) == {"__version__", *stubs, *modules}
    for name in ww.__all__:
        assert getattr(ww, name) is not None


def asked(*words: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "setol_ww", *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    ).stdout


def test_the_package_runs_as_a_module_and_tells_its_version():
    assert asked("--version") == f"setol-ww {ww.__version__}\n"


def test_all_versions_for_a_report_of_a_problem():
    lines = dict(line.split(maxsplit=1) for line in asked("--version", "--verbose").splitlines())
    assert lines["setol-ww"] == ww.__version__
    assert lines["python"] == platform.python_version()
    for library in ("numpy", "scipy", "pandas", "torch", "weightwatcher"):
        assert lines[library] == version(library)
    assert lines["platform"] == f"{platform.platform()}, {os.cpu_count()} cores"
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert all(f"{pool['internal_api']} {pool['version']}" in lines["BLAS"] for pool in pools)
    assert "1 thread(s)" in lines["BLAS"]


@pytest.mark.parametrize(
    "words, said", [([], "COMMAND"), (["--verbose"], "--version"), (["--verbose", "demo"], "--version")]
)
def test_a_command_is_needed(words, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_the_wheel_lists_every_package():
    """pyproject.toml cannot list packages by itself where the suite moves under setol_ww.suite."""
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no reader of TOML")
    root = Path(__file__).parents[2]
    listed = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    ours, suite = (
        {".".join(file.parent.relative_to(root).parts) for file in (root / name).rglob("*.py")}
        for name in ("setol_ww", "spec_tests")
    )
    suite -= {"spec_tests.product", "spec_tests.golden", "spec_tests.errata"}
    assert set(listed) == ours | {f"setol_ww.suite.{name}" for name in (*suite, "fixtures")}


#: What gathers while something is read or runs.
CHANGING = {
    *("advice.matching:Matching", "formats.onnx_file:_Tensor", "monitor.budget:Budget", "scanning.cost:Pace"),
    *("monitor.checkpoints_in:Folder", "spectrum.strengths:_Sums", "watcher.records:Record", "watcher.records:Run"),
}


def test_what_is_found_cannot_be_changed():
    """Every data class of the package is frozen, but for those that gather while something runs."""
    found = set()
    for module in pkgutil.walk_packages(ww.__path__, "setol_ww."):
        if "__main__" not in module.name:
            for one in vars(importlib.import_module(module.name)).values():
                if isinstance(one, type) and dataclasses.is_dataclass(one) and one.__module__ == module.name:
                    if not one.__dataclass_params__.frozen:
                        found.add(f"{module.name.removeprefix('setol_ww.')}:{one.__qualname__}")
    assert found == CHANGING


def test_text_is_read_and_written_in_utf8():
    """Whatever the machine takes for text: every call that opens some says so."""
    silent = []
    for path, node in _nodes():
        if isinstance(node, ast.Call) and _opens_text(node):
            told = {one.arg: one.value for one in node.keywords}.get("encoding")
            if not (isinstance(told, ast.Constant) and told.value in ("utf-8", "ascii")):
                silent.append(f"{path}:{node.lineno}")
    assert silent == []


def _nodes() -> Iterator[tuple[Path, ast.AST]]:
    """All code of the package, piece by piece, with the file that it stands in."""
    for path in PACKAGE.rglob("*.py"):
        inside = path.relative_to(PACKAGE)
        if inside.parts[0] not in INSTALLED:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                yield inside, node


def _opens_text(node: ast.Call) -> bool:
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name in ("read_text", "write_text"):
        return True
    modes = [one.value for one in (*node.args, *(word.value for word in node.keywords if word.arg == "mode"))
             if isinstance(one, ast.Constant) and isinstance(one.value, str)]  # fmt: skip
    return name == "open" and bool(modes) and all(set(mode) <= set("rwax+") for mode in modes)


def test_nothing_is_asked_by_its_place_alone():
    """No parameter of the package is positional only: what stands before a `*` may be given by its name."""
    found = []
    for path, node in _nodes():
        if isinstance(node, (ast.FunctionDef, ast.Lambda)) and node.args.posonlyargs:
            found.append(f"{path}:{node.lineno}")
    assert found == []


def test_what_a_module_says_it_has_is_there():
    for module in pkgutil.walk_packages(ww.__path__, "setol_ww."):
        if "__main__" not in module.name:
            found = importlib.import_module(module.name)
            assert [name for name in getattr(found, "__all__", ()) if not hasattr(found, name)] == [], module.name
