"""The package by its names, and the small things that every room leans on, at their limits."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import math
import os
import random
import runpy
import sys
import threading
import warnings
from enum import Enum
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import setol_ww as ww
from setol_ww.cli.asking import answer, say
from setol_ww.core import checks, manners
from setol_ww.core.arrays import as_matrix, as_vector, as_weightwatcher_reads, dtype_word, precision, to_numpy
from setol_ww.core.as_json import as_json
from setol_ww.core.boundary import Attempt, attempt, in_words
from setol_ww.core.deprecation import DEPRECATED
from setol_ww.core.errors import ChangedCheckpoint
from setol_ww.core.options import Options
from setol_ww.core.plain import as_computed, is_subclass
from setol_ww.core.whole_file import written_whole

from ..golden import signatures


@pytest.mark.parametrize("name", [*ww._MODULES, *ww._HOME_OF])
def test_a_public_name_is_loaded_once_and_then_there(name, monkeypatch):
    known = getattr(ww, name)
    monkeypatch.delitem(vars(ww), name)
    assert getattr(ww, name) is known
    assert vars(ww)[name] is known
    home = ww._MODULES.get(name) or ww._HOME_OF[name]
    module = sys.modules[f"setol_ww.{home}"]
    assert known is (module if name in ww._MODULES else getattr(module, name))


def test_the_names_of_the_package_are_those_it_says():
    assert dir(ww) == sorted(["__version__", *ww._MODULES, *ww._HOME_OF])
    assert set(ww.__all__) == set(dir(ww))
    assert ww.__version__.count(".") == 2


def test_every_public_name_is_called_as_before():
    """By place or by name, with the same defaults; what a result answers is asked as before."""
    kept = signatures.KEPT.read_text(encoding="utf-8")
    assert signatures.text() == kept, "if it is meant: python -m spec_tests.golden.signatures"


@pytest.mark.parametrize("name", DEPRECATED)
def test_an_old_name_works_and_warns_where_it_is_written(name):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = getattr(ww, name)
    (one,) = caught
    told = DEPRECATED[name]
    assert found is getattr(sys.modules[f"setol_ww.{told.home}"], told.name)
    assert Path(one.filename).name == Path(__file__).name
    assert str(one.message) == (
        f"setol_ww.{name} is deprecated and goes with version {told.removed_in}; use {told.replacement}"
    )


def test_the_module_runs_as_the_command_and_not_when_it_is_imported(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["setol-ww", "--version"])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("setol_ww", run_name="__main__", alter_sys=True)
    assert left.value.code == 0
    assert capsys.readouterr().out == f"setol-ww {ww.__version__}\n"
    runpy.run_module("setol_ww.__main__", run_name="imported")
    assert capsys.readouterr().out == ""


# What an import does to the process.


def test_imports_are_made_one_thread_at_a_time():
    inside, seen = threading.Event(), []

    def other() -> None:
        with manners.importing():
            seen.append("other")

    with manners.importing():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.2)
        assert not seen
        # The same thread may import inside of an import.
        with manners.importing():
            inside.set()
    thread.join(60)
    assert inside.is_set()
    assert seen == ["other"]


@pytest.mark.parametrize("importing", [manners.importing, manners.importing_quietly])
def test_what_an_import_sets_is_gone_and_what_is_the_hosts_stays(importing, monkeypatch):
    mine, other = manners.RUNTIME_VARIABLES
    monkeypatch.delenv(mine, raising=False)
    monkeypatch.setenv(other, "host")
    filters = list(warnings.filters)
    with contextlib.suppress(ImportError), importing():
        os.environ[mine], os.environ["SOME_OTHER"] = "set", "set"
        warnings.simplefilter("ignore")
        raise ImportError
    assert warnings.filters == filters
    assert mine not in os.environ
    assert os.environ[other] == "host"
    assert os.environ.pop("SOME_OTHER") == "set"


def test_what_is_imported_quietly_says_nothing_and_draws_nothing():
    loggers = [logging.getLogger(name) for name in ("weightwatcher", "matplotlib")]
    before = [one.level for one in loggers]
    handlers, state = list(logging.getLogger().handlers), random.getstate()
    loggers[0].setLevel(logging.INFO)
    try:
        with contextlib.suppress(ImportError), manners.importing_quietly():
            assert logging.getLogger().handlers
            assert not any(one.isEnabledFor(logging.CRITICAL) for one in loggers)
            random.random()
            raise ImportError
        assert [one.level for one in loggers] == [logging.INFO, *before[1:]]
        assert logging.getLogger().handlers == handlers
        assert random.getstate() == state
    finally:
        loggers[0].setLevel(before[0])


# Values at the door.


@pytest.mark.parametrize(
    ("check", "sound", "wrong"),
    [
        (lambda value: checks.positive_integer("n", value), (1, np.int8(3)), (0, -1, 1.0, "1", True, None)),
        (checks.seed_of, (0, 2**32 - 1, np.int64(5)), (-1, 2**32, 0.0, "0", False, None)),
        (lambda value: Options(n_jobs=value).n_jobs, (1, -1, np.int32(2)), (0, 1.0, True, "2", None)),
        (lambda value: Options(uncertainty=value).uncertainty, (0, 1, np.int64(200)), (-1, 0.0, False, "1", None)),
    ],
)
def test_whole_numbers_at_their_limits(check, sound, wrong):
    for value in sound:
        assert check(value) == value
        assert type(check(value)) is int
    for value in wrong:
        with pytest.raises(ww.InvalidInput, match=f"={value!r} was asked; accepted is a"):
            check(value)


def test_paths_and_places(tmp_path, monkeypatch):
    assert checks.path_of("source", "a") == Path("a")
    with pytest.raises(ww.InvalidInput, match=r"^source=3 was asked; accepted is the path of a file or a folder$"):
        checks.path_of("source", 3)
    monkeypatch.chdir(tmp_path)
    checks.writable_file("--out", Path("a.csv"), (".csv", ".json"))
    with pytest.raises(ww.InvalidInput, match=r"^--out a.txt was asked; accepted endings are .csv, .json$"):
        checks.writable_file("--out", Path("a.txt"), (".csv", ".json"))
    with pytest.raises(
        ww.InvalidInput, match=r"^--out b/a.csv was asked; it cannot be written: there is no such folder$"
    ):
        checks.writable_file("--out", Path("b/a.csv"), (".csv",))
    with pytest.raises(ww.InvalidInput, match=r"^how='c' was asked; accepted is one of 'a', 3$"):
        checks.one_of("how", "c", ("a", 3))
    assert checks.one_of("how", 3, ("a", 3)) == 3
    assert checks.is_finite(1, 2.5, np.float32(3))
    assert not checks.is_finite(1, math.inf)
    assert not checks.is_finite("1")


def test_a_file_is_whole_or_not_there(tmp_path):
    file = tmp_path / "a.txt"
    (tmp_path / ".a.txt.part").mkdir()
    (tmp_path / ".a.txt.part").rmdir()
    (tmp_path / ".a.txt.part").write_text("of a run that was killed")
    with written_whole(file) as part:
        assert part.parent == tmp_path
        assert not part.exists()
        part.write_text("new")
        assert not file.exists()
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("a.txt", "new")]
    with contextlib.suppress(KeyboardInterrupt), written_whole(file) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("a.txt", "new")]
    with pytest.raises(FileNotFoundError), written_whole(file):
        # Nothing was written to move there.
        pass
    assert file.read_text() == "new"


class Word(str, Enum):
    """A word."""

    A = "a"


def test_values_in_json():
    given = {
        "a": [np.float32(0.5), (np.int8(1), None)],
        "b": {"c": np.array([[1.0, math.inf]])},
        "d": Word.A,
        "e": True,
    }
    found = as_json(given)
    assert found == {"a": [0.5, [1, None]], "b": {"c": [[1.0, None]]}, "d": "a", "e": True}
    assert type(found["d"]) is str
    assert as_json(-math.inf) is None
    assert as_json(0.1) == 0.1


def test_a_stage_that_fails_is_a_value_and_an_interrupt_is_none(caplog):
    def broken(error: BaseException):
        def stage():
            raise error

        return stage

    with caplog.at_level(logging.DEBUG, "setol_ww.core.boundary"):
        assert attempt("fc", "no spectrum", broken(ValueError("one\ntwo"))) == Attempt(
            None, "layer fc: no spectrum, ValueError: one"
        )
    assert caplog.records[0].getMessage() == "layer fc: no spectrum"
    assert caplog.records[0].exc_info is not None
    for error in (KeyboardInterrupt(), SystemExit(), ChangedCheckpoint("changed")):
        with pytest.raises(type(error)):
            attempt("fc", "no spectrum", broken(error))
    told = (ww.UnreadableCheckpoint("a.pt: cut"), OSError(), ValueError(" \n"), MemoryError("no room"))
    assert [in_words(one) for one in told] == ["a.pt: cut", "OSError", "ValueError", "MemoryError: no room"]


def test_vectors_and_matrices():
    assert as_vector([1, 2]).dtype == np.float64
    given = np.ones(3)
    assert as_vector(given) is not given
    for wrong in (np.ones((2, 2)), np.array(["a"]), np.array([1j]), np.array([True])):
        with pytest.raises(
            ww.InvalidInput, match=r"^an array of shape \(.*\) and type .* was given; accepted: 1-D, real$"
        ):
            as_vector(wrong)
    matrix = np.ones((2, 3))
    assert as_matrix(matrix) is matrix
    assert as_matrix([[1, 2], [3, 4]]).shape == (2, 2)
    with pytest.raises(
        ww.InvalidInput, match=r"^rows that make no matrix were given \(.*\); accepted are rows of one length$"
    ):
        as_matrix([[1, 2], [3]])
    for wrong in (np.ones(3), np.ones((2, 2, 2)), np.ones((2, 2)) * 1j, np.array([["a"]])):
        with pytest.raises(
            ww.InvalidInput, match=r"^an object of type ndarray, shape .* and dtype .* was given; accepted is a"
        ):
            as_matrix(wrong)


def test_types_and_their_precision():
    torch = pytest.importorskip("torch")
    wide, narrow = float(np.finfo(np.float64).eps), float(np.finfo(np.float32).eps)
    kinds = {"float64": wide, "float32": narrow, "float16": narrow, "int64": wide, "int32": narrow}
    for name, eps in kinds.items():
        assert precision(np.ones((2, 2), name)) == precision(torch.ones(2, 2, dtype=getattr(torch, name))) == eps
        assert dtype_word(getattr(torch, name)) == dtype_word(np.dtype(name)) == name
    assert precision(np.ones((2, 2), np.longdouble)) == precision(np.ones((2, 2), np.uint64)) == wide
    assert precision(torch.ones(2, 2, dtype=torch.bfloat16)) == narrow
    # weightwatcher cuts what torch has in more than four bytes, and nothing of numpy's.
    read = {name: as_weightwatcher_reads(torch.ones(2, 2, dtype=getattr(torch, name))).dtype for name in kinds}
    assert read == {name: torch.float32 if name.endswith("64") else getattr(torch, name) for name in kinds}
    assert as_weightwatcher_reads(np.ones((2, 2))).dtype == np.float64
    numbers = {name: to_numpy(torch.ones(2, 2, dtype=getattr(torch, name))).dtype.name for name in kinds}
    assert numbers == {name: "float64" if name == "float64" else "float32" for name in kinds}
    assert to_numpy(np.ones((2, 2), ">f2")).dtype == np.dtype("float16")


# torch warns of its nested and its quantised tensors.
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tensors_of_every_kind_as_plain_ones():
    torch = pytest.importorskip("torch")
    plain = torch.arange(6.0).reshape(2, 3)
    turned = torch._neg_view(plain)
    assert turned.is_neg()
    assert not as_computed(turned).is_neg()
    assert torch.equal(as_computed(turned), -plain)
    assert torch.equal(as_computed(plain.to_mkldnn()), plain)
    assert torch.equal(as_computed(torch.quantize_per_tensor(plain, 1.0, 0, torch.qint8)), plain)
    assert not as_computed(torch.nn.Parameter(plain)).requires_grad
    assert as_computed(plain).data_ptr() == plain.data_ptr()
    conjugate = torch.complex(plain, plain).conj()
    assert conjugate.is_conj()
    assert not as_computed(conjugate).is_conj()
    refused = {
        "a tensor on the meta device was given, which has no values": torch.empty(2, 3, device="meta"),
        "a sparse_coo tensor was given; accepted is a dense one": plain.to_sparse(),
        "a nested tensor was given; accepted is a dense one": torch.nested.nested_tensor([plain, plain[:1]]),
        "a masked array was given, 2 of whose 6 entries have no value": np.ma.masked_less(plain.numpy(), 2),
    }
    for said, given in refused.items():
        with pytest.raises(ww.InvalidInput, match=f"^{said}"):
            as_computed(given)


def test_arrays_of_every_kind_as_plain_ones():
    whole = np.ma.masked_array(np.ones((2, 2)), mask=False)
    assert type(as_computed(whole)) is np.ndarray
    big = np.array([np.longdouble("1e4000"), 1], dtype=np.longdouble)
    assert as_computed(big).tolist() == [math.inf, 1.0]
    assert as_computed(big).dtype == np.float64
    swapped = np.arange(3, dtype=">i4")
    assert as_computed(swapped).dtype == np.dtype("=i4")
    assert as_computed(swapped).tolist() == [0, 1, 2]
    given = np.ones(3, np.float16)
    assert as_computed(given) is given
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for name in ("bfloat16", "float8_e4m3fn"):
        small = as_computed(np.array([1.5, -2], getattr(ml_dtypes, name)))
        assert small.dtype == np.float32
        assert small.tolist() == [1.5, -2.0]


# How a command speaks.


class Terminal(io.StringIO):
    """A standard output of some encoding."""

    def __init__(self, encoding: str | None) -> None:
        super().__init__()
        self.kind = encoding

    @property
    def encoding(self):
        return self.kind


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "a ± b 層"),
        ("ascii", "a +- b ?"),
        ("cp932", "a ± b 層"),
        ("iso8859-5", "a +- b ?"),
        (None, "a ± b 層"),
    ],
)
def test_what_a_terminal_cannot_show(encoding, shown, monkeypatch):
    terminal = Terminal(encoding)
    monkeypatch.setattr(sys, "stdout", terminal)
    say("a ± b 層")
    assert terminal.getvalue() == shown


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"json": True}, '{\n "a": 1\n}\n'),
        ({"json": True, "progress": False}, '{\n "a": 1\n}\n'),
        ({"json": False}, "text False\n"),
        ({"json": False, "progress": True}, "text False\n"),
        ({"json": False, "progress": False}, ""),
    ],
)
def test_an_answer_is_for_people_or_a_program_or_none(told, shown, capsys, monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    answer(argparse.Namespace(**told), lambda colour: f"text {colour}", lambda: {"a": 1})
    assert capsys.readouterr().out == shown


def test_tensors_of_derived_classes_by_their_values():
    """What a class says of itself, else what lies in its memory; a part of a whole that is elsewhere is refused."""
    torch = pytest.importorskip("torch")

    class Derived(torch.Tensor):
        """Of no rules of its own."""

    class Distributed(torch.Tensor):
        """As torch's DTensor asks and answers."""

        ranks, replicated = 1, False

        @property
        def device_mesh(self):
            return SimpleNamespace(size=lambda: self.ranks)

        @property
        def placements(self):
            return [SimpleNamespace(is_replicate=lambda: True), SimpleNamespace(is_replicate=lambda: self.replicated)]

        def to_local(self):
            return plain + 1

    class Masked(torch.Tensor):
        """As torch's masked tensors answer."""

        mask = torch.ones(2, 3, dtype=torch.bool)

        def get_mask(self):
            return self.mask

        def get_data(self):
            return plain + 2

    class Coded(torch.Tensor):
        """With arithmetic of its own."""

        def dequantize(self):
            return plain + 3

    class Turned(torch.Tensor):
        """Its arithmetic gives one of its own kind again."""

        def dequantize(self):
            return (plain + 4).as_subclass(Turned)

    plain = torch.arange(6.0).reshape(2, 3)
    whole = torch.arange(24.0).reshape(4, 6)
    derived = {
        "as it lies": (plain.as_subclass(Derived), plain),
        "a view": (whole[1:3, ::2].as_subclass(Derived), whole[1:3, ::2]),
        "negated": (torch._neg_view(plain).as_subclass(Derived), -plain),
        "nothing": (torch.empty(0, 3).as_subclass(Derived), torch.empty(0, 3)),
        "one process": (plain.as_subclass(Distributed), plain + 1),
        "masked nowhere": (plain.as_subclass(Masked), plain + 2),
        "coded": (plain.as_subclass(Coded), plain + 3),
        "coded as itself": (plain.as_subclass(Turned), plain),
    }
    for name, (given, expected) in derived.items():
        found = as_computed(given)
        assert type(found) is torch.Tensor, name
        assert torch.equal(found, expected), name
        assert is_subclass(given), name
    assert not is_subclass(plain)
    assert not is_subclass(torch.nn.Parameter(plain))
    assert not is_subclass(np.ones(3))
    many = plain.as_subclass(Distributed)
    many.ranks, many.replicated = 4, True
    assert torch.equal(as_computed(many), plain + 1)
    many.replicated = False
    with pytest.raises(
        ww.InvalidInput, match=r"^a DTensor sharded over 4 processes was given, of which this one has a part"
    ):
        as_computed(many)
    holes = plain.as_subclass(Masked)
    holes.mask = torch.tensor([[True, False, True], [True, True, False]])
    with pytest.raises(ww.InvalidInput, match=r"^a masked array was given, 2 of whose 6 entries have no value"):
        as_computed(holes)
    nowhere = torch.empty(2, 3, device="meta").as_subclass(Derived)
    with pytest.raises(
        ww.InvalidInput, match=r"^a tensor of type .*Derived was given, which holds no values of its own"
    ):
        as_computed(nowhere)
