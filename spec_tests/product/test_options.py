"""Chapter 14: one set of options for every entry point."""

from __future__ import annotations

import argparse
import io
import json
import pickle

import numpy as np
import pandas as pd
import pytest

import setol_ww as ww
from setol_ww.cli.main import main
from setol_ww.core.options import Options, add_flags, from_flags, names, parameters


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": [1.5]}, r"layers=\[1.5\] was asked; accepted are names"),
        ({"layers": True}, "layers=True was asked"),
        ({"layers": 2.5}, "layers=2.5 was asked"),
        ({"randomize": "yes"}, "randomize='yes' was asked; accepted is one of True, False"),
        ({"quality": None}, "quality=None was asked"),
        ({"detX": 2}, "detX=2 was asked"),
        ({"farms": "no"}, "farms='no' was asked"),
        ({"seed": -1}, "seed=-1 was asked"),
        ({"seed": True}, "seed=True was asked"),
        ({"uncertainty": -1}, "uncertainty=-1 was asked; accepted is a number of resamplings, 0 or more"),
        ({"uncertainty": True}, "uncertainty=True was asked"),
        ({"n_jobs": 0}, "n_jobs=0 was asked; accepted is an integer other than 0"),
        ({"n_jobs": 1.5}, "n_jobs=1.5 was asked"),
        ({"device": 3}, "device=3 was asked; accepted is one of 'cpu', 'cuda'"),
        ({"device": ""}, "device='' was asked"),
        ({"progress": "loud"}, "progress='loud' was asked"),
        ({"layouts": ["a"]}, r"layouts=\['a'\] was asked; accepted is a mapping"),
        ({"layouts": {"a": 3}}, "layouts=.* was asked; accepted is a mapping"),
    ],
)
def test_what_is_not_accepted_is_repeated_with_what_is(given, message):
    with pytest.raises(ww.InvalidInput, match=message):
        Options(**given)
    with pytest.raises(ww.InvalidInput, match=message):
        Options().changed(**given)


def test_words_numbers_and_nothing_are_layers():
    assert Options(layers="fc").layers == ("fc",)
    assert Options(layers=-3).layers == (-3,)
    assert Options(layers=["fc*", np.int64(2)]).layers == ("fc*", 2)
    assert Options(layers=None).layers == Options(layers=[]).layers == ()
    assert type(Options(layers=[np.int64(2)]).layers[0]) is int


def test_the_key_has_what_changes_numbers_and_nothing_else():
    plain = Options().key()
    assert json.loads(json.dumps(plain)) == plain
    assert set(names()) - set(plain) == {"n_jobs", "progress"}
    others = {
        **{"layers": "a", "randomize": True, "seed": 1, "detX": False, "quality": False, "uncertainty": 9},
        **{"farms": True, "device": "cuda", "layouts": {"a": "skip"}, "n_jobs": 4, "progress": True},
    }
    assert set(others) == set(names())
    for name, value in others.items():
        assert (Options(**{name: value}).key() == plain) == (name in ("n_jobs", "progress")), name


def test_there_and_back():
    options = Options(layers=["fc", 3], layouts={"a": "qkv:1,2"}, seed=4, progress=False)
    assert Options.from_dict(json.loads(json.dumps(options.as_dict()))) == options
    assert pickle.loads(pickle.dumps(options)) == options
    with pytest.raises(ww.InvalidInput, match="the option 'sede' was asked; accepted are layers, randomize, seed"):
        Options.from_dict({"sede": 1})


def test_flags_of_every_option():
    parser = argparse.ArgumentParser()
    add_flags(parser)
    assert from_flags(parser.parse_args([])) == Options()
    told = [
        *["--layers", "fc*", "--layers", "-3", "--randomize", "--seed", "4", "--no-detX", "--no-quality"],
        *["--uncertainty", "20", "--farms", "--device", "cuda", "--jobs", "-1", "--quiet"],
        *["--layout", "*.qkv=qkv:1,2", "--layout", "a=b=skip"],
    ]
    assert from_flags(parser.parse_args(told)) == Options(
        **{"layers": ["fc*", "-3"], "randomize": True, "seed": 4, "detX": False, "quality": False, "uncertainty": 20},
        **{"farms": True, "device": "cuda", "n_jobs": -1, "progress": False},
        layouts={"*.qkv": "qkv:1,2", "a=b": "skip"},
    )
    with pytest.raises(ww.InvalidInput, match="--layout 'a' was asked; accepted is PATTERN=WHAT"):
        from_flags(parser.parse_args(["--layout", "a"]))
    shown = parser.format_help()
    assert "do not add the columns of the layer quality" in " ".join(shown.split())


def test_some_flags_only_and_documentation_of_each():
    parser = argparse.ArgumentParser()
    add_flags(parser, "seed", "layers")
    with pytest.raises(SystemExit):
        parser.parse_args(["--farms"])
    text = parameters()
    assert all(f"    {name} : " in text for name in names())
    assert max(map(len, text.split("\n"))) <= 120
    with pytest.raises(ww.InvalidInput, match="the option 'colour' was asked"):
        parameters("colour")


@pytest.mark.parametrize(
    ("told", "names"),
    [
        (["PATH", "--layers", "-fc*"], ["7", "conv"]),
        (["--layers", "dense", "-fc2", "PATH"], ["7", "fc1"]),
        (["--layers", "-fc1", "-fc2", "-conv", "PATH"], ["7"]),
        (["PATH", "--layers=-dense"], ["conv"]),
        (["--layers", "conv*", "--", "PATH"], ["conv"]),
        # The layer called 7, as in Python; no layer is called 2.
        (["PATH", "--layers", "7"], ["7"]),
        (["PATH", "--layers", "-7", "-2"], ["fc1", "fc2"]),
    ],
)
def test_the_command_line_speaks_the_dialect_of_layers(tmp_path, capsys, told, names):
    rng = np.random.default_rng(0)
    weights = {f"{name}.weight": rng.normal(size=(12, 8)) for name in ("7", "conv", "fc1", "fc2")}
    weights["conv.weight"] = rng.normal(size=(6, 4, 3, 3))
    path = str(tmp_path / "net.npz")
    np.savez(path, **weights)
    words = ["analyze", "--quiet", "--out", "-", *(path if word == "PATH" else word for word in told)]
    assert main(words) == 0
    frame = pd.read_csv(io.StringIO(capsys.readouterr().out), dtype={"longname": str})
    assert sorted(frame["longname"]) == names
    asked = [word.removeprefix("--layers=") for word in told if word not in ("PATH", "--", "--layers")]
    assert sorted(ww.analyze(path, layers=asked, progress=False)["longname"]) == names


@pytest.mark.parametrize("rest", [[], ["--quiet"]])
def test_layers_without_a_word_is_refused(tmp_path, capsys, rest):
    with pytest.raises(SystemExit, match="2"):
        main(["analyze", str(tmp_path), "--layers", *rest])
    assert "--layers: expected at least one argument" in capsys.readouterr().err
